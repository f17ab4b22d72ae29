//! The checkout that has the target: where it is, whether it may be updated, and what of the user's is in the way.
//!
//! git would see most of that itself, but not that an ignored file is somebody's, and it names files in words of its own.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use git2::Repository;
use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use super::LandingError;
use crate::git::{Drivers, Git, GitError, without_foreign};
use crate::store::path_json;
use crate::worktree::unfinished;

/// A checkout of a branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkout {
    /// Where its files are.
    #[serde(with = "path_json")]
    pub path: PathBuf,
    /// Where git keeps what belongs to it.
    #[serde(with = "path_json")]
    pub git_dir: PathBuf,
}

/// The only checkout that has a branch, if one has. Nobody may be at work on the branch.
pub(super) fn of_branch(common_dir: &Path, branch: &str) -> Result<Option<Checkout>, LandingError> {
    let full = format!("refs/heads/{branch}");
    let repository = Repository::open(common_dir).map_err(GitError::libgit2("cannot open the repository"))?;
    let linked = fs::read_dir(common_dir.join("worktrees"));
    let linked = linked.into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found = Vec::new();
    for git_dir in std::iter::once(common_dir.to_owned()).chain(linked) {
        let says = |file: &str| {
            let text = fs::read(git_dir.join(file)).unwrap_or_default();
            String::from_utf8_lossy(text.trim_ascii()).into_owned()
        };
        let path = match git_dir == common_dir {
            true => repository.workdir().map(Path::to_owned),
            false => Some(linked_path(&git_dir)),
        };
        // A bare repository has a HEAD, and no files.
        let Some(path) = path else { continue };
        let path: PathBuf = path.components().collect();
        let busy = |what: &'static str| LandingError::Busy {
            branch: branch.to_owned(),
            what,
            path: path.clone(),
        };
        if ["rebase-merge/head-name", "rebase-apply/head-name"]
            .iter()
            .any(|file| says(file) == full)
        {
            return Err(busy("rebased"));
        }
        if says("BISECT_START") == branch {
            return Err(busy("bisected"));
        }
        if says("HEAD")
            .strip_prefix("ref:")
            .is_some_and(|name| name.trim() == full)
        {
            found.push(Checkout { path, git_dir });
        }
    }
    match found.as_slice() {
        [] => Ok(None),
        [only] if is_linked(only) => Ok(found.pop()),
        [only] => Err(LandingError::NotItsCheckout {
            branch: branch.to_owned(),
            path: only.path.clone(),
        }),
        several => Err(LandingError::CheckedOutTwice {
            branch: branch.to_owned(),
            paths: several.iter().map(|c| c.path.clone()).collect(),
        }),
    }
}

/// Where the files of a linked worktree are.
fn linked_path(git_dir: &Path) -> PathBuf {
    let text = fs::read(git_dir.join("gitdir")).unwrap_or_default();
    let git_file = git_dir.join(OsStr::from_bytes(text.trim_ascii_end()));
    git_file.parent().unwrap_or(git_dir).to_owned()
}

/// Whether the files lead back to the git dir: else somebody else's would be written over.
pub(super) fn is_linked(checkout: &Checkout) -> bool {
    let git = checkout.path.join(".git");
    let named = match git.is_dir() {
        true => git,
        false => {
            let text = fs::read(&git).unwrap_or_default();
            let Some(name) = text.strip_prefix(b"gitdir:") else {
                return false;
            };
            checkout.path.join(OsStr::from_bytes(name.trim_ascii()))
        }
    };
    let real = |path: &Path| path.canonicalize().ok();
    real(&named).is_some() && real(&named) == real(&checkout.git_dir)
}

/// The lock that git holds while it changes the index.
pub(super) fn index_lock(checkout: &Checkout) -> PathBuf {
    checkout.git_dir.join("index.lock")
}

/// Refuses a checkout in which something else is going on.
pub(super) fn check_idle(checkout: &Checkout) -> Result<(), LandingError> {
    if let Some(what) = unfinished(&checkout.git_dir) {
        return Err(LandingError::Unfinished {
            what,
            path: checkout.path.clone(),
        });
    }
    Ok(())
}

/// Refuses where a git holds what a move needs, or was killed while it did: git would find out about a ref when the files
/// have moved.
pub(super) fn check_unlocked(
    common_dir: &Path,
    target_ref: &str,
    checkout: Option<&Checkout>,
) -> Result<(), LandingError> {
    let of_checkout = checkout.map(|checkout| [index_lock(checkout), checkout.git_dir.join("HEAD.lock")]);
    let of_target = common_dir.join(format!("{target_ref}.lock"));
    let mut locks = of_checkout.into_iter().flatten().chain([of_target]);
    match locks.find(|lock| lock.symlink_metadata().is_ok()) {
        Some(lock) => Err(LandingError::Locked { lock }),
        None => Ok(()),
    }
}

/// git on a checkout, with the drivers that may be run. With others files would be written that are not what the user's
/// git makes of them.
pub(super) fn git_on(common_dir: &Path, checkout: &Checkout, known: &Drivers) -> Result<Git, LandingError> {
    let git = Git::in_work_tree(&checkout.git_dir, &checkout.path)
        .with_variable("GIT_COMMON_DIR", common_dir)
        .with_variable("GIT_NO_LAZY_FETCH", "1")
        .with_variable("GIT_ALLOW_PROTOCOL", "none")
        .with_configuration(
            [
                "diff.autoRefreshIndex=true",
                "submodule.recurse=false",
                "gc.auto=0",
                "maintenance.auto=false",
                "core.filesRefLockTimeout=2000",
            ]
            .map(str::to_owned),
        );
    let (git, foreign) = without_foreign(git, known)?;
    match foreign.into_iter().find(|key| key.starts_with("filter.")) {
        Some(setting) => Err(LandingError::Foreign {
            setting,
            does: "change files of the checkout",
        }),
        None => Ok(git),
    }
}

/// A path that two commits have differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub path: OsString,
    pub from: Option<Entry>,
    pub to: Option<Entry>,
}

impl Change {
    pub(super) fn has_mode(&self, mode: &str) -> bool {
        let entries = self.from.iter().chain(&self.to);
        entries.into_iter().any(|entry| entry.mode == mode)
    }
}

/// A file of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Such as `100644`.
    pub mode: String,
    /// The id of its content.
    pub id: String,
}

/// The mode of a submodule: its files are none of ours.
pub(super) const SUBMODULE: &str = "160000";

/// What differs between two commits.
pub(super) fn changes(git: &Git, from: &str, to: &str) -> Result<Vec<Change>, GitError> {
    let text = git.run(&[
        "diff-tree",
        "-r",
        "-z",
        "--raw",
        "--no-renames",
        "--no-abbrev",
        "--no-ext-diff",
        from,
        to,
    ])?;
    let mut parts = text.split(|&b| b == 0).filter(|p| !p.is_empty());
    let mut found = Vec::new();
    while let (Some(about), Some(path)) = (parts.next(), parts.next()) {
        let about = String::from_utf8_lossy(about).into_owned();
        let mut words = about.trim_start_matches(':').split(' ').map(str::to_owned);
        let (Some(old_mode), Some(new_mode), Some(old), Some(new)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        let entry = |mode: String, id| (mode != "000000").then_some(Entry { mode, id });
        found.push(Change {
            path: OsString::from_vec(path.to_vec()),
            from: entry(old_mode, old),
            to: entry(new_mode, new),
        });
    }
    Ok(found)
}

/// Paths as git lists them.
pub(super) fn listed(git: &Git, args: &[&str]) -> Result<BTreeSet<OsString>, GitError> {
    let text = git.run(args)?;
    let paths = text.split(|&b| b == 0).filter(|p| !p.is_empty());
    Ok(paths.map(|p| OsString::from_vec(p.to_vec())).collect())
}

/// What differs between a commit and the index, or the files with `cached` false.
pub(super) fn differing(git: &Git, cached: bool, commit: &str) -> Result<BTreeSet<OsString>, GitError> {
    let mut args = vec![
        "diff",
        "--name-only",
        "-z",
        "--no-renames",
        "--no-ext-diff",
        "--no-relative",
    ];
    // What is in a submodule is none of ours; which commit of it is staged is.
    args.extend(match cached {
        true => ["--cached", "--ignore-submodules=dirty"].as_slice(),
        false => &["--ignore-submodules=all"],
    });
    args.push(commit);
    listed(git, &args)
}

/// The ids of the files as git would add them; none of what is no file.
pub(super) fn cleaned(git: &Git, checkout: &Checkout, changes: &[Change]) -> Result<Vec<Option<String>>, LandingError> {
    const AT_ONCE: usize = 200;
    let is_file = |change: &&Change| {
        let found = checkout.path.join(&change.path).symlink_metadata();
        found.is_ok_and(|m| m.is_file())
    };
    let mut ids = std::collections::HashMap::new();
    let files: Vec<&Change> = changes.iter().filter(is_file).collect();
    for some in files.chunks(AT_ONCE) {
        let mut args: Vec<OsString> = vec!["hash-object".into(), "--".into()];
        args.extend(some.iter().map(|change| change.path.clone()));
        let said = git.run(&args)?;
        let said = String::from_utf8_lossy(&said).into_owned();
        ids.extend(some.iter().map(|c| c.path.clone()).zip(said.lines().map(str::to_owned)));
    }
    Ok(changes.iter().map(|change| ids.remove(&change.path)).collect())
}

/// Files that going from one commit to another would take or write over, and that are not as the first has them.
pub(super) fn in_the_way(git: &Git, checkout: &Checkout, from: &str, to: &str) -> Result<Vec<PathBuf>, LandingError> {
    let changes = changes(git, from, to)?;
    let mut dirty = differing(git, false, from)?;
    dirty.extend(differing(git, true, from)?);
    let tracked = listed(git, &["ls-files", "-z"])?;
    let mut found = BTreeSet::new();
    // git compares none that it was told to take for unchanged, until it is to write one.
    let flagged = listed(git, &["ls-files", "-v", "-z"])?;
    let hidden: BTreeSet<&[u8]> = (flagged.iter().map(|line| line.as_bytes()))
        .filter(|line| {
            line.first()
                .is_some_and(|flag| flag.is_ascii_lowercase() || *flag == b'S')
        })
        .filter_map(|line| line.get(2..))
        .collect();
    let doubted: Vec<Change> = (changes.iter())
        .filter(|change| hidden.contains(change.path.as_bytes()))
        .cloned()
        .collect();
    for (change, id) in doubted.iter().zip(cleaned(git, checkout, &doubted)?) {
        if id.is_some() && id != change.from.as_ref().map(|entry| entry.id.clone()) {
            found.insert(PathBuf::from(&change.path));
        }
    }
    for change in &changes {
        if dirty.contains(&change.path) {
            found.insert(PathBuf::from(&change.path));
        }
        if change.from.is_none() {
            found.extend(untracked_at(&checkout.path, Path::new(&change.path), &tracked));
        }
    }
    Ok(found.into_iter().collect())
}

/// What git does not know and is where a new file is to be, or where a directory of it has to be.
fn untracked_at(root: &Path, path: &Path, tracked: &BTreeSet<OsString>) -> Vec<PathBuf> {
    for above in path.ancestors().skip(1).filter(|a| !a.as_os_str().is_empty()) {
        let blocks = root.join(above).symlink_metadata().is_ok_and(|m| !m.is_dir());
        if blocks && !tracked.contains(above.as_os_str()) {
            return vec![above.to_owned()];
        }
    }
    let files = WalkDir::new(root.join(path)).into_iter().flatten();
    let files = files.filter(|entry| !entry.file_type().is_dir());
    let relative = files.filter_map(|entry| Some(entry.path().strip_prefix(root).ok()?.to_owned()));
    relative.filter(|file| !tracked.contains(file.as_os_str())).collect()
}
