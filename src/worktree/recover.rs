//! Undoes what was made for a task that no agent has worked on: because it is not needed, or because a crash left it half
//! made.
//!
//! Only what pleach made may be undone. Before it makes a branch or a worktree it has seen that neither is there, and
//! has written a ref that says so: without that ref what is found belongs to somebody else. Even so nothing is deleted
//! but a branch that leads to nothing of its own: files go to the trash.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use git2::{ErrorCode, Oid, Repository};
use uuid::Uuid;

use super::bring;
use super::inspect::{self, is_real_dir, path_of, small_file};
use super::provision::registered_as;
use super::remove::{admin_to_trash, move_to_trash};
use super::view::{LONGEST, View};
use super::{MADE, Standing, Workshop, WorktreeError, history, repository_lock, snapshot, standing};
use crate::git::{GitError, Place};
use crate::process::is_used;
use crate::session::Site;
use crate::store::failpoint;
use crate::store::lock::Lock;
use crate::task::TaskId;
use crate::words::elapsed;

/// Undoes the branch and the worktree that were made for a task, whole or half. What was not made for it is left alone.
pub fn release(shop: &Workshop, site: &Site, task: &TaskId) -> Result<(), WorktreeError> {
    let _lock = shop.lock()?;
    let repository = shop.repository()?;
    if is_claimed(shop, &repository, site, task) {
        // No agent has written it, but somebody has.
        if let Ok(Standing::Uncommitted(_)) = standing(shop, site, false) {
            snapshot::keep(shop, site, task)?;
        }
        undo(shop, &repository, site, task)?;
    }
    Ok(())
}

/// Undoes branch and worktree of a task whose agent was not wanted after all, if the commands before it have left nothing
/// that a commit could keep. Else nothing is touched: it is settled as any other then. Says whether it was undone.
pub fn release_untouched(shop: &Workshop, site: &Site, task: &TaskId) -> Result<bool, WorktreeError> {
    let _lock = shop.lock()?;
    let repository = shop.repository()?;
    let is_untouched = match is_claimed(shop, &repository, site, task) {
        true => is_untouched(shop, &repository, site)?,
        // This was done, and cut off before anybody was told.
        false => is_gone(shop, &repository, site, task),
    };
    if is_untouched {
        undo(shop, &repository, site, task)?;
    }
    Ok(is_untouched)
}

fn undo(shop: &Workshop, repository: &Repository, site: &Site, task: &TaskId) -> Result<(), WorktreeError> {
    put_half_away(shop, site)?;
    drop_branch(shop, repository, site)?;
    drop_claim(shop, repository, task);
    failpoint::passed("undone");
    Ok(())
}

/// Whether nothing was ever settled at a site, and nothing is there.
fn is_gone(shop: &Workshop, repository: &Repository, site: &Site, task: &TaskId) -> bool {
    let is_free = |name: &str| {
        repository
            .find_reference(name)
            .is_err_and(|e| e.code() == ErrorCode::NotFound)
    };
    is_free(&shop.pin(task, "head"))
        && is_free(&format!("refs/heads/{}", site.branch))
        && own_admin(shop, site).is_none()
        && fs::symlink_metadata(&site.worktree).is_err_and(|e| e.kind() == ErrorKind::NotFound)
}

/// Whether a worktree is as it was made, but for what git ignores, and its HEAD has been nowhere else.
fn is_untouched(shop: &Workshop, repository: &Repository, site: &Site) -> Result<bool, WorktreeError> {
    let base = Oid::from_str(&site.base).map_err(GitError::libgit2("its base is no commit"))?;
    let branch = format!("refs/heads/{}", site.branch);
    let admin = own_admin(shop, site);
    let visited = history::visited(repository, admin.as_deref(), &branch);
    let beside = history::beside(repository, visited, [base, base]);
    let is_at_base = match repository.find_reference(&branch) {
        Ok(found) => found.target() == Some(base),
        Err(e) => e.code() == ErrorCode::NotFound,
    };
    if !is_at_base || !beside.map_err(GitError::libgit2("cannot compare commits"))?.is_empty() {
        return Ok(false);
    }
    if fs::symlink_metadata(&site.worktree).is_err_and(|e| e.kind() == ErrorKind::NotFound) {
        // What was only staged is kept for no agent either.
        return Ok(true);
    }
    let Some(admin) = admin.filter(|admin| history::unfinished(admin).is_none()) else {
        return Ok(false);
    };
    let head = inspect::head(repository, &admin).and_then(|head| head.reference);
    if head.as_ref() != Some(&branch) || !is_own(&site.worktree, Some(&admin), &admin) {
        return Ok(false);
    }
    let view = View::open(shop, &site.worktree, Some(&admin), base, LONGEST)?;
    let found = view.uncommitted()?;
    Ok(!view.rebuilt
        && found.changed.is_empty()
        && view.why_not(&found).is_none()
        && view.brought.changed(&site.worktree).is_empty())
}

/// [`release`] of a worktree that this process has just made, or begun to make, and that nobody else has worked in, for
/// want of something. It is removed in place: in the trash a half checkout would keep the disk full, and on a disk that
/// is full to the last block not even a directory can be made there. As long as something is lacking for that, too, it
/// is tried again for a while.
pub fn discard(shop: &Workshop, site: &Site, task: &TaskId) -> Result<(), WorktreeError> {
    const TIMES: u32 = 60;
    const PAUSE: Duration = Duration::from_secs(1);
    for _ in 1..TIMES {
        match discard_now(shop, site, task) {
            Err(e) if shop.shortage_behind(&e).is_some() => sleep(PAUSE),
            other => return other,
        }
    }
    discard_now(shop, site, task)
}

fn discard_now(shop: &Workshop, site: &Site, task: &TaskId) -> Result<(), WorktreeError> {
    let _lock = shop.lock()?;
    let repository = shop.repository()?;
    if !is_claimed(shop, &repository, site, task) {
        return Ok(());
    }
    let admin = own_admin(shop, site);
    // The files first: without them git itself sees that the worktree is gone.
    for path in [Some(site.worktree.as_path()), admin.as_deref()].into_iter().flatten() {
        match fs::remove_dir_all(path) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(WorktreeError::io("undo", path)(e)),
            _ => {}
        }
    }
    bring::forget(shop, &site.worktree)?;
    drop_branch(shop, &repository, site)?;
    drop_claim(shop, &repository, task);
    Ok(())
}

/// Whether what is found at a site was made for the task, if it is not too late to undo it.
fn is_claimed(shop: &Workshop, repository: &Repository, site: &Site, task: &TaskId) -> bool {
    let claim = repository.refname_to_id(&shop.pin(task, MADE));
    claim.is_ok_and(|at| at.to_string() == site.base)
}

/// Moves to the trash what there is of a worktree that was being made. The caller holds the lock, and knows that it was.
pub(super) fn put_half_away(shop: &Workshop, site: &Site) -> Result<(), WorktreeError> {
    let admin = own_admin(shop, site);
    if is_own(&site.worktree, admin.as_deref(), &registered_as(shop, site).1) {
        move_to_trash(shop, &site.worktree, admin.as_deref())?;
    } else if let Some(admin) = admin {
        // The directory is somebody else's by now: only what git keeps about ours goes.
        admin_to_trash(shop, &site.worktree, &admin)?;
    }
    Ok(())
}

/// What git keeps about the worktree of a site; also when it does not say yet which one it is about.
fn own_admin(shop: &Workshop, site: &Site) -> Option<PathBuf> {
    shop.admin_dir(&site.worktree).or_else(|| {
        let (_, admin) = registered_as(shop, site);
        let said = small_file(&admin.join("gitdir")).unwrap_or_default();
        (is_real_dir(&admin) && said.trim_ascii().is_empty()).then_some(admin)
    })
}

/// Whether a directory is the worktree that was made: it says so, or there is nothing in it yet but what says so.
fn is_own(worktree: &Path, admin: Option<&Path>, likely: &Path) -> bool {
    if !is_real_dir(worktree) {
        return false;
    }
    let begun = |name: &OsStr| name == ".git" || name == ".git.lock";
    let entries = fs::read_dir(worktree).into_iter().flatten();
    if entries.flatten().all(|entry| begun(&entry.file_name())) {
        return true;
    }
    let text = small_file(&worktree.join(".git")).unwrap_or_default();
    let named = text
        .strip_prefix(b"gitdir:")
        .map(|name| path_of(name.trim_ascii_start()));
    named.is_some_and(|named| Some(named.as_path()) == admin || named == likely)
}

/// Deletes a branch that was just made, if nothing has been added to it and nobody has checked it out.
pub(super) fn drop_branch(shop: &Workshop, repository: &Repository, site: &Site) -> Result<(), WorktreeError> {
    let name = format!("refs/heads/{}", site.branch);
    if is_checked_out(&shop.place, &name) {
        return Ok(());
    }
    match repository.find_reference(&name) {
        Ok(branch) if branch.target().is_some_and(|id| id.to_string() == site.base) => {
            Ok(shop.drop_ref(repository, &name)?)
        }
        Err(e) if e.code() != ErrorCode::NotFound => {
            Err(GitError::libgit2(format!("cannot undo the branch {}", site.branch))(e).into())
        }
        _ => Ok(()),
    }
}

/// Whether HEAD of the repository or of one of its worktrees is this branch.
pub(super) fn is_checked_out(place: &Place, branch: &str) -> bool {
    let worktrees = fs::read_dir(place.common_dir.join("worktrees"));
    let admins = worktrees.into_iter().flatten().flatten().map(|entry| entry.path());
    [place.common_dir.clone()].into_iter().chain(admins).any(|dir| {
        let head = small_file(&dir.join("HEAD")).unwrap_or_default();
        head.trim_ascii().strip_prefix(b"ref: ") == Some(branch.as_bytes())
    })
}

/// Takes back what says that the branch and the worktree of a task are made by pleach.
pub(super) fn drop_claim(shop: &Workshop, repository: &Repository, task: &TaskId) {
    // It can stay: it only matters as long as no attempt was made.
    let _ = shop.drop_ref(repository, &shop.pin(task, MADE));
}

/// Removes the locks of refs that a supervisor of this session left when it was killed, and says in a line each what was
/// found. The caller is the session's only supervisor, and has done nothing yet; nobody else of pleach is at work in the
/// repository meanwhile. A lock of a task's branch may also be that of a git of the user's: it goes only when no process
/// has it open or works in that worktree, and else it is named with its age.
pub fn clear_locks(
    place: &Place,
    session: Uuid,
    tasks: &[(&TaskId, Option<&Site>)],
) -> Result<Vec<String>, WorktreeError> {
    let path = repository_lock(place);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let _lock = Lock::acquire(&path).map_err(WorktreeError::io("lock", &path))?;
    let refs = place.common_dir.join("refs");
    let own = refs.join(format!("pleach/{session}"));
    let mut said = Vec::new();
    for dir in [own.clone()]
        .into_iter()
        .chain(tasks.iter().map(|(id, _)| own.join(id.as_ref())))
    {
        // No other process writes there.
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|e| e == "lock") {
                fs::remove_file(entry.path()).map_err(WorktreeError::io("remove", &entry.path()))?;
            }
        }
    }
    for (task, site) in tasks {
        let Some(site) = site.filter(|_| own.join(task.as_ref()).is_dir()) else {
            continue;
        };
        let lock = refs.join(format!("heads/{}.lock", site.branch));
        said.extend(clear(&lock, &site.worktree)?);
    }
    Ok(said)
}

/// Removes a lock of git's if nobody can hold it any more: no process has it open, and none works in `worktree`. Says in a
/// line what was found.
pub(super) fn clear(lock: &Path, worktree: &Path) -> Result<Option<String>, WorktreeError> {
    let Ok(found) = fs::symlink_metadata(lock) else {
        return Ok(None);
    };
    let since = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let since = elapsed(SystemTime::now().duration_since(since).unwrap_or_default());
    let lock_shown = lock.display();
    if !found.is_file() || is_used(&[lock, worktree]) {
        return Ok(Some(format!(
            "{lock_shown} is there, for {since}: a git may be at work, so it was left"
        )));
    }
    fs::remove_file(lock).map_err(WorktreeError::io("remove", lock))?;
    Ok(Some(format!(
        "{lock_shown} was there, for {since}: a git that was killed had left it, and it was removed"
    )))
}
