//! Looks at a worktree that an agent had, without trusting anything in it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use git2::{Oid, Repository};

use crate::git::{Git, GitError};
use crate::words::few;

/// The paths of a worktree that are in no commit, by kind; relative to it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Uncommitted {
    /// Changed, deleted, staged or new files.
    pub changed: Vec<Vec<u8>>,
    /// Those of them that are not staged as they are now.
    pub unstaged: Vec<Vec<u8>>,
    /// Repositories inside the worktree: git would make a bare link of each.
    pub nested: Vec<Vec<u8>>,
    /// What git ignores; a directory counts once and ends with a slash.
    pub ignored: Vec<Vec<u8>>,
    /// What was brought in from the user's checkout, where git does not ignore it: it counts as if it did.
    pub brought: Vec<Vec<u8>>,
}

impl Uncommitted {
    /// Sets apart what is not the agent's.
    pub(super) fn set_apart(&mut self, is_brought: impl Fn(&[u8]) -> bool) {
        let (brought, changed) = std::mem::take(&mut self.changed)
            .into_iter()
            .partition(|path| is_brought(path));
        self.changed = changed;
        self.brought = brought;
        self.unstaged.retain(|path| !is_brought(path));
    }

    /// By name all that is in no commit and does not keep a worktree.
    pub(super) fn uncounted(&self) -> Vec<String> {
        let mut all = names(&self.ignored);
        all.extend(names(&self.brought));
        all
    }

    /// Why its worktree cannot go, if it cannot.
    pub(super) fn why_not(&self) -> Option<String> {
        if self.changed.is_empty() && self.nested.is_empty() {
            return None;
        }
        let mut paths = names(&self.changed);
        paths.extend(names(&self.nested));
        paths.dedup();
        Some(format!("it has uncommitted files: {}", few(&paths)))
    }
}

/// Asks git what is uncommitted. Submodules are not looked into.
pub(super) fn uncommitted(git: &Git) -> Result<Uncommitted, GitError> {
    Ok(parse_status(&status(git)?))
}

/// What git says of a work tree: two letters, a space and a path for each entry, with a NUL behind it. Directories that it
/// ignores as a whole are not gone into, and neither are submodules.
pub(super) fn status(git: &Git) -> Result<Vec<u8>, GitError> {
    git.run(&[
        "status",
        "--porcelain=v1",
        "-z",
        "--untracked-files=all",
        "--ignored=matching",
        "--ignore-submodules=all",
        "--no-renames",
    ])
}

fn parse_status(text: &[u8]) -> Uncommitted {
    let mut found = Uncommitted::default();
    for entry in text.split(|&b| b == 0).filter(|e| e.len() > 3) {
        let (kind, path) = (&entry[..2], entry[3..].to_vec());
        match kind {
            b"!!" => found.ignored.push(path),
            // Every untracked file is listed by itself; only what has a repository of its own ends with a slash.
            b"??" if path.ends_with(b"/") => found.nested.push(path),
            _ => {
                if kind[1] != b' ' {
                    found.unstaged.push(path.clone());
                }
                found.changed.push(path);
            }
        }
    }
    found
}

/// What HEAD of a worktree is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The branch, as a full ref name; none when it is detached.
    pub reference: Option<String>,
    /// The commit; none when the branch has none.
    pub commit: Option<Oid>,
}

impl Head {
    pub(super) fn is_detached(&self) -> bool {
        self.reference.is_none() && self.commit.is_some()
    }
}

/// Reads HEAD of a worktree from its administrative directory. `None` when there is none, or none that git knows.
pub(super) fn head(repository: &Repository, admin: &Path) -> Option<Head> {
    let text = String::from_utf8(small_file(&admin.join("HEAD"))?).ok()?;
    let text = text.trim();
    let commit = |id: Oid| repository.find_commit(id).ok().map(|c| c.id());
    let Some(name) = text.strip_prefix("ref:") else {
        return Some(Head {
            reference: None,
            commit: Some(commit(Oid::from_str(text).ok()?)?),
        });
    };
    let name = name.trim().to_owned();
    Some(Head {
        commit: repository.refname_to_id(&name).ok().and_then(commit),
        reference: Some(name),
    })
}

/// A file of git's that is never large, if it is there. Anything else that an agent may have put in its place (a
/// pipe, a link to a device) is not touched.
pub(super) fn small_file(path: &Path) -> Option<Vec<u8>> {
    const LARGEST: u64 = 16 << 20;
    let found = fs::symlink_metadata(path).ok()?;
    (found.is_file() && found.len() <= LARGEST).then(|| fs::read(path).ok())?
}

/// Whether there is a directory, and not a link to one.
pub(super) fn is_real_dir(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

/// The path in a `gitdir` file, without its end of line.
pub(super) fn path_of(text: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(text.trim_ascii_end()))
}

/// Paths of git as text for people.
pub(super) fn names(paths: &[Vec<u8>]) -> Vec<String> {
    paths.iter().map(|p| String::from_utf8_lossy(p).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_by_kind() {
        let text = b" M a.txt\0?? new/b.txt\0?? inner/\0!! target/\0D  gone\0UU both\0";
        let found = parse_status(text);
        assert_eq!(names(&found.changed), ["a.txt", "new/b.txt", "gone", "both"]);
        assert_eq!(names(&found.unstaged), ["a.txt", "new/b.txt", "both"]);
        assert_eq!(names(&found.nested), ["inner/"]);
        assert_eq!(names(&found.ignored), ["target/"]);
        assert_eq!(parse_status(b""), Uncommitted::default());
    }
}
