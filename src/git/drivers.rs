//! Programs that git's configuration names: filter and merge drivers, those that sign, and those that show a diff.
//!
//! An agent can configure one as well as the user can, and have it chosen by attributes that it commits. Those that
//! were there when a session started are the user's; with any other switched off git runs nothing of an agent's. It
//! does not matter in which file a setting stands: an agent runs as the user, and can write `~/.gitconfig` as well as
//! `.git/config`. So only what was written down before the first agent ran is used. What a later session of the user's
//! is to use stands in its own record; for a pager there is `GIT_PAGER`, which no agent can set for the user.

use std::collections::BTreeMap;

use super::{Git, GitError};

/// The drivers, each setting with its value (of one that is set again and again the last).
pub type Drivers = BTreeMap<String, String>;

/// What decides about files and commits: filter and merge drivers, and the programs that sign.
const WORKING: &str = r"filter\..*|merge\..*\.driver|gpg\.((openpgp|x509|ssh)\.)?program|gpg\.ssh\.defaultkeycommand";
/// What shows a diff.
const SHOWING: &str = r"core\.pager|pager\..*|diff\.external|diff\..*\.(command|textconv)";

/// The drivers in git's configuration, as the git program reads it.
pub fn drivers(git: &Git) -> Result<Drivers, GitError> {
    matching(git, &format!("^({WORKING}|{SHOWING})$"))
}

fn matching(git: &Git, keys: &str) -> Result<Drivers, GitError> {
    let (_, text) = git.ask(&["config", "--null", "--get-regexp", keys], &[0, 1])?;
    let entries = text.split(|&b| b == 0).filter(|e| !e.is_empty());
    Ok(entries
        .map(|entry| {
            let entry = String::from_utf8_lossy(entry);
            let (key, value) = entry.split_once('\n').unwrap_or((&entry, ""));
            (key.to_owned(), value.to_owned())
        })
        .collect())
}

/// Those that are set now and are not as they are `known`.
fn foreign(now: &Drivers, known: &Drivers) -> Vec<String> {
    let foreign = now.iter().filter(|(key, value)| known.get(*key) != Some(*value));
    foreign.map(|(key, _)| key.clone()).collect()
}

/// The same git without the drivers that are not `known`, and the names of their settings. Not those that only show
/// something: git needs none of them for what it does to files and commits.
pub fn without_foreign(git: Git, known: &Drivers) -> Result<(Git, Vec<String>), GitError> {
    let foreign = foreign(&matching(&git, &format!("^({WORKING})$"))?, known);
    let off = foreign
        .iter()
        .map(|key| switched_off(key))
        .collect::<Result<Vec<_>, _>>()?;
    Ok((git.with_configuration(off), foreign))
}

/// Whether such a setting can decide about a merge.
pub fn decides_merges(key: &str) -> bool {
    key.starts_with("filter.") || key.starts_with("merge.")
}

/// A git that shows diffs.
#[derive(Debug)]
pub struct Showing {
    /// The program.
    pub git: Git,
    /// What `git diff` has to be told.
    pub options: Vec<&'static str>,
    /// The settings that are not used.
    pub unused: Vec<String>,
}

/// The same git for showing diffs, without the programs that are not `known`.
pub fn for_showing(git: Git, known: &Drivers) -> Result<Showing, GitError> {
    let now = matching(&git, &format!("^({SHOWING})$"))?;
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let mut showing = shown_with(&now, known, set("GIT_EXTERNAL_DIFF"));
    let off = showing.unused.iter().filter_map(|key| match key.as_str() {
        // Without one, what an agent wrote into its files would act on the terminal: so the usual one.
        "core.pager" => Some(format!("core.pager={}", usual_pager())),
        "pager.diff" => Some("pager.diff=true".into()),
        // Of other commands, or switched off by the options.
        _ => None,
    });
    let git = git.with_configuration(off.collect::<Vec<_>>());
    showing
        .unused
        .retain(|key| !key.starts_with("pager.") || key == "pager.diff");
    Ok(Showing {
        git,
        options: showing.options,
        unused: showing.unused,
    })
}

/// What `git diff` is told, and what is not used of what is set now.
struct Shown {
    options: Vec<&'static str>,
    unused: Vec<String>,
}

/// One program that is not known switches all of its kind off: a single one cannot be. They are off, too, where there is
/// none that is known: what is planted a moment after this look then finds nobody who runs it.
fn shown_with(now: &Drivers, known: &Drivers, external: bool) -> Shown {
    let unused = foreign(now, known);
    let is_converter = |key: &&String| key.ends_with(".textconv");
    let is_differ = |key: &&String| key.starts_with("diff.") && !is_converter(key);
    let mut options = Vec::new();
    if unused.iter().any(|key| is_differ(&key)) || !(external || now.keys().any(|key| is_differ(&key))) {
        options.push("--no-ext-diff");
    }
    if unused.iter().any(|key| is_converter(&key)) || !now.keys().any(|key| is_converter(&key)) {
        options.push("--no-textconv");
    }
    Shown { options, unused }
}

/// What git takes where no pager is configured.
fn usual_pager() -> String {
    let named = std::env::var("PAGER").ok().filter(|pager| !pager.is_empty());
    named.unwrap_or_else(|| "less".into())
}

fn switched_off(key: &str) -> Result<String, GitError> {
    // On the command line the first equals sign ends the name, and what is no text was read with a stand-in.
    if key.contains(['=', char::REPLACEMENT_CHARACTER]) {
        return Err(GitError::Foreign(key.to_owned()));
    }
    Ok(match key.rsplit('.').next() {
        // This one is no command but a word of git's.
        Some("required") => format!("{key}=false"),
        // A command that fails: what it would have merged is a conflict.
        Some("driver") if key.starts_with("merge.") => format!("{key}=false"),
        // One that signs nothing: a commit that is to be signed is then not made.
        _ if key.starts_with("gpg.") => format!("{key}=false"),
        _ => format!("{key}="),
    })
}

#[cfg(test)]
mod tests {
    use super::{Drivers, shown_with, switched_off};

    #[test]
    fn settings_that_run_nothing() {
        for (key, expected) in [
            ("filter.lfs.clean", Some("filter.lfs.clean=")),
            ("filter.lfs.required", Some("filter.lfs.required=false")),
            ("merge.ours.driver", Some("merge.ours.driver=false")),
            ("filter.driver.process", Some("filter.driver.process=")),
            ("gpg.program", Some("gpg.program=false")),
            ("gpg.ssh.defaultkeycommand", Some("gpg.ssh.defaultkeycommand=false")),
            ("filter.a=b.clean", None),
            ("filter.\u{fffd}.clean", None),
        ] {
            assert_eq!(switched_off(key).ok().as_deref(), expected, "{key}");
        }
    }
    #[test]
    fn what_shows_a_diff_is_known_or_off() {
        let of = |keys: &[&str]| {
            keys.iter()
                .map(|key| ((*key).to_owned(), "x".to_owned()))
                .collect::<Drivers>()
        };
        let (pager, command, textconv) = ("core.pager", "diff.a.command", "diff.a.textconv");
        let (ext, text) = ("--no-ext-diff", "--no-textconv");
        for (now, known, external, options, unused) in [
            (&[][..], &[][..], false, &[ext, text][..], &[][..]),
            (&[], &[], true, &[text], &[]),
            (&[pager], &[pager], false, &[ext, text], &[]),
            (&[pager], &[], false, &[ext, text], &[pager]),
            (&[command, textconv], &[command, textconv], false, &[], &[]),
            (&[command, textconv], &[command], false, &[text], &[textconv]),
            (&[command, textconv], &[textconv], true, &[ext], &[command]),
            (&["diff.external"], &[], true, &[ext, text], &["diff.external"]),
            (&["diff.a=b.command"], &[], false, &[ext, text], &["diff.a=b.command"]),
        ] {
            let shown = shown_with(&of(now), &of(known), external);
            assert_eq!(
                (&shown.options[..], shown.unused),
                (options, of(unused).into_keys().collect()),
                "{now:?}"
            );
        }
        // The same name with another value is another program.
        let other = Drivers::from([(pager.to_owned(), "y".to_owned())]);
        assert_eq!(shown_with(&of(&[pager]), &other, false).unused, [pager]);
    }
}
