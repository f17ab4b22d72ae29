//! Puts a worktree away: a rename into the trash, after a check that every byte in it is committed or ignored.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use git2::Oid;

use super::inspect::{self, is_real_dir};
use super::naming::{TRASH, is_trashed, trash_prefix};
use super::view::{LONGEST, View};
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
    let _lock = shop.lock()?;
    let found = shop.admin_dir(&site.worktree);
    if let Some(trash) = begun(shop, site, found.as_deref())? {
        return finish(shop, trash, found.as_deref(), head);
    }
    let Some(admin) = found else {
        return Ok(Removal::Kept("git no longer knows it as a worktree".into()));
    };
    let mut ignored = Vec::new();
    if is_real_dir(&site.worktree) {
        let found = View::open(shop, &site.worktree, Some(&admin), head, LONGEST)?.uncommitted()?;
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

/// Where the worktree of a site is in the trash already: its removal was cut off. `admin` is what git keeps about it, if
/// that has not gone with it.
fn begun(shop: &Workshop, site: &Site, admin: Option<&Path>) -> Result<Option<PathBuf>, WorktreeError> {
    if fs::symlink_metadata(&site.worktree).is_ok() {
        return Ok(None);
    }
    let prefix = trash_prefix(&site.worktree, shop.session);
    let mut newest = None;
    for trash in trashed(&shop.worktrees)? {
        let named = trash
            .file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with(&prefix));
        let whole = is_real_dir(&trash.join("git"));
        if named && is_real_dir(&trash.join("worktree")) && whole == admin.is_none() {
            let at = fs::metadata(&trash).and_then(|m| m.modified());
            newest = newest.max(Some((at.map_err(WorktreeError::io("read", &trash))?, trash)));
        }
    }
    Ok(newest.map(|(_, trash)| trash))
}

/// Moves the rest, and looks at what is in the trash by now.
fn finish(shop: &Workshop, trash: PathBuf, admin: Option<&Path>, head: Oid) -> Result<Removal, WorktreeError> {
    let (worktree, git) = (trash.join("worktree"), trash.join("git"));
    if let Some(admin) = admin {
        fs::rename(admin, &git).map_err(WorktreeError::io("move to the trash", admin))?;
    }
    let found = View::open(shop, &worktree, Some(&git), head, LONGEST)?.uncommitted()?;
    let ignored = inspect::names(&found.ignored);
    Ok(Removal::Trashed { trash, ignored })
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
    // The worktree first: one that git still lists without its files is recognised as gone by git itself.
    put_away(shop, worktree, &[(Some(worktree), "worktree"), (admin, "git")])
}

/// Moves only what git keeps about a worktree there.
pub(super) fn admin_to_trash(shop: &Workshop, worktree: &Path, admin: &Path) -> Result<PathBuf, WorktreeError> {
    put_away(shop, worktree, &[(Some(admin), "git")])
}

fn put_away(shop: &Workshop, worktree: &Path, what: &[(Option<&Path>, &str)]) -> Result<PathBuf, WorktreeError> {
    let all = shop.worktrees.join(TRASH);
    atomic::private_dir(&all).map_err(WorktreeError::io("make", &all))?;
    let prefix = trash_prefix(worktree, shop.session);
    let private = fs::Permissions::from_mode(0o700);
    let trash = tempfile::Builder::new()
        .prefix(&prefix)
        .permissions(private)
        .tempdir_in(&all);
    let trash = trash.map_err(WorktreeError::io("make a directory in", &all))?.keep();
    for (from, to) in what {
        let Some(from) = from.filter(|f| fs::symlink_metadata(f).is_ok()) else {
            continue;
        };
        failpoint::passed("trash");
        failpoint::passed("rename");
        fs::rename(from, trash.join(to)).map_err(WorktreeError::io("move to the trash", from))?;
    }
    failpoint::passed("trashed");
    Ok(trash)
}
