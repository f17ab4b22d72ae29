//! Puts a worktree away: a rename into the trash, after a check that every byte in it is committed or ignored.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use git2::Oid;

use super::bring;
use super::inspect::is_real_dir;
use super::naming::{OWN, TRASH, is_trashed, trash_prefix};
use super::view::{LONGEST, View};
use super::{Workshop, WorktreeError};
use crate::session::Site;
use crate::store::paths::VIEW_PREFIX;
use crate::store::{atomic, failpoint, tree};

/// What was the worktree, in its directory in the trash.
pub(super) const WORKTREE: &str = "worktree";
/// What git kept about it.
pub(super) const GIT: &str = "git";
/// What git keeps about it while that is copied from another file system.
const COPY: &str = "git.part";

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
        ignored = found.uncounted();
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
        let whole = is_real_dir(&trash.join(GIT)) || (admin.is_none() && is_real_dir(&trash.join(COPY)));
        if named && is_real_dir(&trash.join(WORKTREE)) && whole == admin.is_none() {
            let at = fs::metadata(&trash).and_then(|m| m.modified());
            newest = newest.max(Some((at.map_err(WorktreeError::io("read", &trash))?, trash)));
        }
    }
    Ok(newest.map(|(_, trash)| trash))
}

/// Moves the rest, and looks at what is in the trash by now.
fn finish(shop: &Workshop, trash: PathBuf, admin: Option<&Path>, head: Oid) -> Result<Removal, WorktreeError> {
    let (worktree, git) = (trash.join(WORKTREE), trash.join(GIT));
    if let Some(admin) = admin {
        put(shop, admin, &git).map_err(WorktreeError::io("move to the trash", admin))?;
    } else if !is_real_dir(&git) {
        let copy = trash.join(COPY);
        fs::rename(&copy, &git).map_err(WorktreeError::io("move to the trash", &copy))?;
    }
    let found = View::open(shop, &worktree, Some(&git), head, LONGEST)?.uncommitted()?;
    let ignored = found.uncounted();
    Ok(Removal::Trashed { trash, ignored })
}

/// What is in the trash of a directory of worktrees. That directory may be the user's, and so may be what is called
/// like the trash: only what has a name of ours and holds nothing else than what we put there counts.
pub fn trashed(worktrees: &Path) -> Result<Vec<PathBuf>, WorktreeError> {
    let all = worktrees.join(TRASH);
    let entries = match fs::read_dir(&all) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(Vec::new()),
        other => other.map_err(WorktreeError::io("read", &all))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(WorktreeError::io("read", &all))?;
        if entry.file_name().to_str().is_some_and(is_trashed) && holds_only_ours(&entry.path()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Whether this is a directory (no link) in which there is only what is put into the trash, or what is left of it while
/// it is deleted. One that cannot be read is not ours: ours can.
fn holds_only_ours(entry: &Path) -> bool {
    let is_ours = |name: &OsStr| {
        let name = name.to_string_lossy();
        let taken_apart = name.strip_prefix('~').is_some_and(|n| n.parse::<u64>().is_ok());
        taken_apart || [WORKTREE, GIT, COPY].contains(&&*name)
    };
    is_real_dir(entry)
        && fs::read_dir(entry).is_ok_and(|mut inner| inner.all(|e| e.is_ok_and(|e| is_ours(&e.file_name()))))
}

/// Moves a worktree and what git keeps about it to a new directory in the trash. The caller holds the lock.
pub(super) fn move_to_trash(shop: &Workshop, worktree: &Path, admin: Option<&Path>) -> Result<PathBuf, WorktreeError> {
    // The worktree first: one that git still lists without its files is recognised as gone by git itself.
    put_away(shop, worktree, &[(Some(worktree), WORKTREE), (admin, GIT)])
}

/// Moves what the tasks of a session have left for each other there.
pub fn put_in_trash(shop: &Workshop, notes: &Path) -> Result<PathBuf, WorktreeError> {
    let _lock = shop.lock()?;
    move_to_trash(shop, notes, None)
}

/// Moves only what git keeps about a worktree there.
pub(super) fn admin_to_trash(shop: &Workshop, worktree: &Path, admin: &Path) -> Result<PathBuf, WorktreeError> {
    put_away(shop, worktree, &[(Some(admin), GIT)])
}

fn put_away(shop: &Workshop, worktree: &Path, what: &[(Option<&Path>, &str)]) -> Result<PathBuf, WorktreeError> {
    let all = shop.worktrees.join(TRASH);
    atomic::private_dir(&all).map_err(WorktreeError::io("make", &all))?;
    let prefix = trash_prefix(worktree, shop.session);
    let private = fs::Permissions::from_mode(0o700);
    let trash = tempfile::Builder::new()
        .prefix(&prefix)
        .rand_bytes(OWN)
        .permissions(private)
        .tempdir_in(&all);
    let trash = trash.map_err(WorktreeError::io("make a directory in", &all))?.keep();
    let mut moved = Vec::new();
    for (from, to) in what {
        let Some(from) = from.filter(|f| fs::symlink_metadata(f).is_ok()) else {
            continue;
        };
        failpoint::passed("trash");
        let to = trash.join(to);
        if let Err(e) = put(shop, from, &to) {
            // What is said to be where it was should be there.
            for (from, to) in moved.into_iter().rev() {
                put_back(to, from);
            }
            let _ = fs::remove_dir(&trash);
            return Err(WorktreeError::io("move to the trash", from)(e));
        }
        moved.push((from, to));
    }
    failpoint::passed("trashed");
    // One that stays is about a worktree that is not there: it is swept.
    let _ = bring::forget(shop, worktree);
    Ok(trash)
}

fn put_back(from: PathBuf, to: &Path) {
    if fs::symlink_metadata(to).is_err() {
        let _ = fs::rename(from, to);
    }
}

/// Moves one part of what goes to the trash. What git keeps may be on another file system than the worktree.
fn put(shop: &Workshop, from: &Path, to: &Path) -> io::Result<()> {
    failpoint::passed("rename");
    match fs::rename(from, to) {
        Err(e) if e.kind() == io::ErrorKind::CrossesDevices && to.ends_with(GIT) => put_copy(shop, from, to),
        other => other,
    }
}

/// As a rename would: git knows the worktree until there is a whole copy of all of `from` on the disk, and that gets its
/// name when git knows it no longer.
fn put_copy(shop: &Workshop, from: &Path, to: &Path) -> io::Result<()> {
    let copy = to.with_file_name(COPY);
    tree::remove(&copy)?;
    tree::copy(from, &copy)?;
    failpoint::passed("copied");
    // With such a name it is removed by whoever cleans, if nobody does here.
    let aside = tempfile::Builder::new()
        .prefix(VIEW_PREFIX)
        .tempdir_in(shop.place.common_dir.join("pleach"))?;
    fs::rename(from, aside.path().join(GIT))?;
    failpoint::passed("put-aside");
    fs::rename(copy, to)
}
