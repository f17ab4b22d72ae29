//! What was brought into a worktree, as it is written down: a file for each worktree, outside of it.
//!
//! By it whoever looks at the worktree later knows what is not the agent's work. What the agent has made its own is: what
//! it has committed, and what it has put in the place of something that was brought. A file that was only written to
//! goes on to be what was copied, and that is told.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use git2::Oid;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::git::{GitError, Place};
use crate::store::atomic::{self, Durability};
use crate::store::path_json;
use crate::worktree::inspect;
use crate::worktree::{Workshop, WorktreeError};

/// What was brought into a worktree.
#[derive(Debug, Default)]
pub(in crate::worktree) struct Brought {
    paths: BTreeMap<Vec<u8>, What>,
}

/// By what a file is known not to have been written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    size: u64,
    seconds: i64,
    nanoseconds: i64,
}

/// The file that says what was brought into a worktree.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    schema: u32,
    #[serde(with = "path_json")]
    worktree: PathBuf,
    brought: Vec<Item>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Item {
    #[serde(with = "path_json")]
    path: PathBuf,
    /// Of a file; absent until it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stamp: Option<Stamp>,
    /// Where a link leads; absent until it is there.
    #[serde(default, with = "path_json::option", skip_serializing_if = "Option::is_none")]
    target: Option<PathBuf>,
}

/// What was put at a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum What {
    /// A file, with this stamp.
    File(Stamp),
    /// A link to this path.
    Link(PathBuf),
    /// Nothing yet: or it was cut off just then.
    #[default]
    Planned,
}

impl What {
    /// What is at a path now.
    pub(super) fn at(path: &Path) -> Self {
        match stamp(path) {
            Some(stamp) => Self::File(stamp),
            None => fs::read_link(path).map_or(Self::Planned, Self::Link),
        }
    }

    /// Whether something else is at the path now than was put there. A file that was written to is the same file.
    fn is_replaced(&self, path: &Path) -> bool {
        let Ok(now) = fs::symlink_metadata(path) else {
            return false;
        };
        match self {
            Self::File(_) => !now.is_file(),
            Self::Link(target) => fs::read_link(path).ok().as_ref() != Some(target),
            Self::Planned => false,
        }
    }
}

pub(super) fn item(path: &Path, what: What) -> Item {
    let (stamp, target) = match what {
        What::File(stamp) => (Some(stamp), None),
        What::Link(target) => (None, Some(target)),
        What::Planned => (None, None),
    };
    let path = path.to_owned();
    Item { path, stamp, target }
}

/// Of a file; none of anything else.
fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some(Stamp {
        size: found.len(),
        seconds: found.mtime(),
        nanoseconds: found.mtime_nsec(),
    })
}

impl Brought {
    /// What is written down of a worktree.
    pub(in crate::worktree) fn of(shop: &Workshop, worktree: &Path) -> Result<Self, WorktreeError> {
        let path = record_of(&shop.place, worktree);
        let text = match fs::read(&path) {
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Self::default()),
            other => other.map_err(WorktreeError::io("read", &path))?,
        };
        let record: Record = serde_json::from_slice(&text)
            .map_err(std::io::Error::from)
            .and_then(|record: Record| match record.schema {
                1 => Ok(record),
                other => Err(std::io::Error::other(format!("unknown format {other}"))),
            })
            .map_err(WorktreeError::io("read", &path))?;
        let entry = |item: Item| {
            let what = match (item.stamp, item.target) {
                (Some(stamp), _) => What::File(stamp),
                (None, Some(target)) => What::Link(target),
                (None, None) => What::Planned,
            };
            (item.path.into_os_string().into_encoded_bytes(), what)
        };
        Ok(Self {
            paths: record.brought.into_iter().map(entry).collect(),
        })
    }

    /// The same without what the agent has put something else in the place of.
    pub(in crate::worktree) fn there(shop: &Workshop, worktree: &Path) -> Result<Self, WorktreeError> {
        let mut brought = Self::of(shop, worktree)?;
        brought
            .paths
            .retain(|path, what| !what.is_replaced(&worktree.join(OsStr::from_bytes(path))));
        Ok(brought)
    }

    /// The same without what has become the agent's: what `commit` has, since the agent has committed it, and what it has put
    /// in the place of something else: of a link a file, a directory or another link, of a file a directory or a link.
    pub(in crate::worktree) fn at(shop: &Workshop, worktree: &Path, commit: Oid) -> Result<Self, WorktreeError> {
        let mut brought = Self::there(shop, worktree)?;
        if brought.is_empty() {
            return Ok(brought);
        }
        let repository = shop.repository()?;
        let tree = repository.find_commit(commit).and_then(|commit| commit.tree());
        let tree = tree.map_err(GitError::libgit2("cannot read the commit of a worktree"))?;
        brought
            .paths
            .retain(|path, _| tree.get_path(&inspect::path_of(path)).is_err());
        Ok(brought)
    }

    pub(in crate::worktree) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Whether it was brought, and is not the agent's.
    pub(in crate::worktree) fn has(&self, path: &[u8]) -> bool {
        self.paths.contains_key(path)
    }

    /// Whether what git ignores is there because of what was brought: of a directory, which ends with a slash, something
    /// in it.
    pub(in crate::worktree) fn accounts_for(&self, ignored: &[u8]) -> bool {
        let next = self.paths.range(ignored.to_vec()..).next();
        self.has(ignored) || ignored.ends_with(b"/") && next.is_some_and(|(path, _)| path.starts_with(ignored))
    }

    /// Those files that were written to since, by name.
    pub(in crate::worktree) fn changed(&self, worktree: &Path) -> Vec<String> {
        let is_changed = |(path, before): &(&Vec<u8>, &What)| match before {
            What::File(before) => stamp(&worktree.join(OsStr::from_bytes(path))).is_some_and(|now| now != *before),
            What::Link(_) | What::Planned => false,
        };
        let changed = self.paths.iter().filter(is_changed).map(|(path, _)| path.clone());
        inspect::names(&changed.collect::<Vec<_>>())
    }
}

/// The file about what was brought into a worktree. By the path of that: what git keeps about it an agent may take away.
fn record_of(place: &Place, worktree: &Path) -> PathBuf {
    let name = Uuid::new_v5(&Uuid::NAMESPACE_URL, worktree.as_os_str().as_bytes());
    records(place).join(format!("{name}.json"))
}

pub(super) fn excludes_of(place: &Place, worktree: &Path) -> PathBuf {
    record_of(place, worktree).with_extension("exclude")
}

fn records(place: &Place) -> PathBuf {
    place.common_dir.join("pleach/brought")
}

pub(super) fn write(shop: &Workshop, worktree: &Path, brought: Vec<Item>) -> Result<(), WorktreeError> {
    let path = record_of(&shop.place, worktree);
    let dir = records(&shop.place);
    atomic::private_dir(&dir).map_err(WorktreeError::io("make", &dir))?;
    let worktree = worktree.to_owned();
    let record = Record {
        schema: 1,
        worktree,
        brought,
    };
    atomic::write_json(&path, &record, Durability::Synced).map_err(WorktreeError::io("write", &path))
}

/// Forgets what was brought into a worktree: that is gone, or another is about to be made.
pub(in crate::worktree) fn forget(shop: &Workshop, worktree: &Path) -> Result<(), WorktreeError> {
    for path in [excludes_of(&shop.place, worktree), record_of(&shop.place, worktree)] {
        match fs::remove_file(&path) {
            Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Err(WorktreeError::io("remove", &path)(e));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Forgets it of all worktrees that somebody else has removed.
pub fn forget_removed(place: &Place) {
    for entry in fs::read_dir(records(place)).into_iter().flatten().flatten() {
        let record = fs::read(entry.path()).ok();
        let record: Option<Record> = record.and_then(|text| serde_json::from_slice(&text).ok());
        // It is made after its worktree. What cannot be read is told by whoever needs it.
        if record.is_some_and(|r| fs::symlink_metadata(&r.worktree).is_err_and(|e| e.kind() == ErrorKind::NotFound)) {
            let _ = fs::remove_file(entry.path().with_extension("exclude"));
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_because_of_what_was_brought() {
        let paths = [".env", "a/b/c", "a-b", "link"];
        let brought = Brought {
            paths: paths.iter().map(|p| (p.as_bytes().to_vec(), What::Planned)).collect(),
        };
        for (ignored, accounted) in [
            (".env", true),
            ("a/", true),
            ("a/b/", true),
            ("a", false),
            ("a/c/", false),
            ("link", true),
            ("link/", false),
            ("zz/", false),
        ] {
            assert_eq!(brought.accounts_for(ignored.as_bytes()), accounted, "{ignored}");
        }
    }
}
