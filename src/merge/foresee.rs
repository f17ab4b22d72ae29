//! What can make the commands of a plan do something else than it says, or refuse: settings that `git merge` heeds and
//! `git merge-tree` does not, and hooks. They are named, for nobody can know what they do.
//!
//! `merge.ff` is none of them: the options in the commands are stronger.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use git2::Repository;
use rustix::fs::{Access, access};

use super::plan::{Mode, PlanRequest};
use crate::git::{Git, GitError};

/// Those there are, in an order of their own.
pub(super) fn cannot_foresee(repository: &Repository, request: &PlanRequest) -> Result<Vec<String>, GitError> {
    let git = Git::bare(request.common_dir);
    let set = settings(&git)?;
    let set = set.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let mut named = that_matter(&set.collect::<Vec<_>>(), request.target.branch.as_deref());
    if std::env::var_os("GIT_ATTR_SOURCE").is_some_and(|v| !v.is_empty()) {
        named.push("the variable GIT_ATTR_SOURCE".into());
    }
    let root = repository.workdir().unwrap_or(repository.path());
    let hooks = match hooks_path(&git)? {
        Some(dir) => root.join(dir),
        None => repository.commondir().join("hooks"),
    };
    let runs = |name: &&&str| access(hooks.join(name), Access::EXEC_OK).is_ok();
    named.extend(
        hooks_of(request.mode)
            .iter()
            .filter(runs)
            .map(|name| format!("the hook {name}")),
    );
    Ok(named)
}

/// The hooks that the commands run, in their order.
fn hooks_of(mode: Mode) -> &'static [&'static str] {
    match mode {
        Mode::Merge => &[
            "pre-merge-commit",
            "prepare-commit-msg",
            "commit-msg",
            "reference-transaction",
            "post-merge",
        ],
        Mode::Squash => &[
            "reference-transaction",
            "post-merge",
            "pre-commit",
            "prepare-commit-msg",
            "commit-msg",
            "post-commit",
        ],
    }
}

/// The settings that may matter, as the git program reads them, the last of each key at the end.
fn settings(git: &Git) -> Result<Vec<(String, String)>, GitError> {
    let keys = concat!(
        r"^(pull\.twohead|merge\.(verifysignatures|.*\.driver)|attr\.tree|core\.sparsecheckout|",
        r"branch\..*\.mergeoptions)$",
    );
    let (_, text) = git.ask(&["config", "--null", "--get-regexp", keys], &[0, 1])?;
    let entries = text.split(|&b| b == 0).filter(|e| !e.is_empty());
    Ok(entries
        .map(|entry| {
            let entry = String::from_utf8_lossy(entry);
            // One without a value is switched on.
            let (key, value) = entry.split_once('\n').unwrap_or((&entry, "true"));
            (key.to_owned(), value.to_owned())
        })
        .collect())
}

/// What the settings say that is not what git does by itself, for a target.
fn that_matter(set: &[(&str, &str)], onto: Option<&str>) -> Vec<String> {
    let last = |wanted: &str| {
        set.iter()
            .rev()
            .find(|(key, _)| *key == wanted)
            .map(|(_, value)| *value)
    };
    let options = onto.map(|branch| {
        (
            format!("branch.{branch}.mergeOptions"),
            format!("branch.{branch}.mergeoptions"),
        )
    });
    let options = options.and_then(|(name, key)| Some((name, last(&key)?)));
    let off = ["", "0", "false", "no", "off"];
    // Which strategy merges: this one does anyway.
    let strategy = last("pull.twohead").filter(|value| *value != "ort");
    let is_on = |key: &str| last(key).filter(|value| !off.contains(&value.to_lowercase().as_str()));
    let others = [
        ("pull.twohead", strategy),
        ("merge.verifySignatures", is_on("merge.verifysignatures")),
        ("attr.tree", last("attr.tree")),
        // git merge does not see attributes whose files are not checked out.
        ("core.sparseCheckout", is_on("core.sparsecheckout")),
    ];
    let others = others
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let drivers: BTreeMap<&str, &str> = set
        .iter()
        .filter(|(key, _)| key.ends_with(".driver"))
        .copied()
        .collect();
    let drivers = drivers.into_iter().filter(|(_, command)| looks_around(command));
    let drivers = drivers.map(|(key, command)| (key.to_owned(), command));
    let named = options.into_iter().chain(others).chain(drivers);
    named.map(|(name, value)| format!("{name} = {value}")).collect()
}

/// Whether a merge driver is told what the sides are called, which are commits for `git merge-tree`, or names a file
/// that may lie in the checkout.
fn looks_around(command: &str) -> bool {
    let told = command.replace("%%", "");
    let lies_there = |word: &str| {
        let word = word.trim_matches(['\'', '"']);
        word.contains('/') && !word.starts_with(['/', '~', '$', '-', '%'])
    };
    ["%S", "%X", "%Y"].iter().any(|name| told.contains(name)) || command.split_whitespace().any(lies_there)
}

/// Where the user has put hooks.
fn hooks_path(git: &Git) -> Result<Option<PathBuf>, GitError> {
    let arguments = [
        "config",
        "--null",
        "--show-scope",
        "--type=path",
        "--get-all",
        "core.hooksPath",
    ];
    let (_, text) = git.ask(&arguments, &[0, 1])?;
    let parts: Vec<&[u8]> = text.split(|&b| b == 0).collect();
    let (pairs, _) = parts.as_chunks::<2>();
    // On the command line is that which switches them off for us.
    let of_user = pairs.iter().rev().find(|[scope, _]| *scope != b"command");
    Ok(of_user.map(|[_, path]| OsStr::from_bytes(path).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_a_merge_into_this_target_is_named() {
        let set = [
            ("branch.main.mergeoptions", "-s ours"),
            ("branch.other.mergeoptions", "-X theirs"),
            ("branch.main.mergeoptions", "-X ours"),
            ("pull.twohead", "resolve"),
            ("merge.verifysignatures", "true"),
            ("attr.tree", "v1"),
            ("core.sparsecheckout", "true"),
            ("merge.sides.driver", "tool %A %O %B %X"),
            ("merge.there.driver", "'./tools/merge' %A"),
            ("merge.later.driver", "tool %Y"),
            ("merge.later.driver", "/bin/tool %%Y %A %P"),
        ];
        let others = [
            "pull.twohead = resolve",
            "merge.verifySignatures = true",
            "attr.tree = v1",
            "core.sparseCheckout = true",
            "merge.sides.driver = tool %A %O %B %X",
            "merge.there.driver = './tools/merge' %A",
        ];
        assert_eq!(that_matter(&set, None), others);
        let main = that_matter(&set, Some("main"));
        assert_eq!(main, [&["branch.main.mergeOptions = -X ours"][..], &others].concat());
        let usual = [
            ("pull.twohead", "ours"),
            ("pull.twohead", "ort"),
            ("merge.verifysignatures", "Off"),
            ("core.sparsecheckout", "false"),
        ];
        assert_eq!(that_matter(&usual, Some("main")), [""; 0]);
    }
}
