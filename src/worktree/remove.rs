//! Puts a worktree away: a rename into the trash, after a check that every byte in it is committed or ignored.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use git2::Oid;

use super::inspect::{self, is_real_dir};
use super::naming::{TRASH, is_trashed, trash_prefix};
use super::view::View;
use super::{Workshop, WorktreeError};
use crate::session::Site;
use crate::store::atomic;
use crate::store::failpoint;

/// What became of a worktree.
#[derive(Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is in the trash.
    Trashed {
        /// Where: `worktree` in it is what was the worktree, `git` what git kept about it.
        trash: PathBuf,
        /// What git ignores in it, and what is therefore in no commit.
        ignored: Vec<String>,
    },
    /// It stays where it is, for this reason.
    Kept(String),
}

/// Moves the worktree of a settled task, all of whose work is in the commit `head`, to the trash.
pub fn remove(shop: &Workshop, site: &Site, head: Oid) -> Result<Removal, WorktreeError> {
    let Some(admin) = shop.admin_dir(&site.worktree) else {
        return Ok(Removal::Kept("git no longer knows it as a worktree".into()));
    };
    let _lock = shop.lock()?;
    let mut ignored = Vec::new();
    if is_real_dir(&site.worktree) {
        let found = View::open(shop, &site.worktree, Some(&admin), head)?.uncommitted()?;
        if let Some(why) = found.why_not() {
            return Ok(Removal::Kept(why));
        }
        ignored = inspect::names(&found.ignored);
    }
    Ok(Removal::Trashed {
        trash: move_to_trash(shop, &site.worktree, Some(&admin))?,
        ignored,
    })
}

/// What is in the trash of a directory of worktrees. That directory may be the user's, and so may be what is called
/// like the trash: only what has a name of ours counts.
pub fn trashed(worktrees: &Path) -> Result<Vec<PathBuf>, WorktreeError> {
    let all = worktrees.join(TRASH);
    let entries = match fs::read_dir(&all) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(Vec::new()),
        other => other.map_err(WorktreeError::io("read", &all))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(WorktreeError::io("read", &all))?;
        if entry.file_name().to_str().is_some_and(is_trashed) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Moves a worktree and what git keeps about it to a new directory in the trash. The caller holds the lock.
pub(super) fn move_to_trash(shop: &Workshop, worktree: &Path, admin: Option<&Path>) -> Result<PathBuf, WorktreeError> {
    let all = shop.worktrees.join(TRASH);
    atomic::private_dir(&all).map_err(WorktreeError::io("make", &all))?;
    let prefix = trash_prefix(worktree, shop.session);
    let private = fs::Permissions::from_mode(0o700);
    let trash = tempfile::Builder::new()
        .prefix(&prefix)
        .permissions(private)
        .tempdir_in(&all);
    let trash = trash.map_err(WorktreeError::io("make a directory in", &all))?.keep();
    // The worktree first: one that git still lists without its files is recognised as gone by git itself.
    for (from, to) in [(Some(worktree), "worktree"), (admin, "git")] {
        let Some(from) = from.filter(|f| fs::symlink_metadata(f).is_ok()) else {
            continue;
        };
        failpoint::passed("rename");
        fs::rename(from, trash.join(to)).map_err(WorktreeError::io("move to the trash", from))?;
    }
    failpoint::passed("trashed");
    Ok(trash)
}
