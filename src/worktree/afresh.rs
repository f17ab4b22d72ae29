//! Makes the worktree of a task as it was at its base, for an attempt that starts from there: what the one before has left
//! is kept first.
//!
//! Everything in the files and all commits are pinned as `attempt/<n>`; the worktree goes to the trash as that of a settled
//! task does, so what git ignores is there for a while; the branch goes back to the base, from where it is seen to be and
//! only when that is pinned; then the worktree is made again. Each step is found done when it is done again after a crash,
//! and what somebody else is in the way of is an error. Called by the supervisor, which lets no snapshot be made meanwhile.

use std::fs;

use git2::{ErrorCode, Oid, ReferenceType, Repository};

use super::again::{Again, drop_remade, put_unfinished_away, register};
use super::bring::bring;
use super::history::leads_to;
use super::inspect::{self, is_real_dir};
use super::pins::{ATTEMPT, Pins};
use super::provision::check_out;
use super::recover::is_checked_out;
use super::remove::{Removal, move_to_trash, remove};
use super::view::{LONGEST, View};
use super::{Workshop, WorktreeError, snapshot};
use crate::git::{GitError, patiently};
use crate::session::Site;
use crate::store::failpoint;
use crate::task::TaskId;
use crate::words::few;

/// Makes branch and worktree of a site as they were at the base, after the attempt with this number.
pub fn afresh(shop: &Workshop, site: &Site, task: &TaskId, number: u32) -> Result<Again, WorktreeError> {
    // One that was being made anew: nobody has worked in it.
    put_unfinished_away(shop, site, task)?;
    let repository = shop.repository()?;
    let base = Oid::from_str(&site.base).map_err(GitError::libgit2("the base is no commit"))?;
    let left = keep(shop, &repository, site, task, number)?;
    failpoint::passed("kept");
    put_away(shop, &repository, site, left.unwrap_or(base))?;
    failpoint::passed("put-away");
    {
        let _lock = shop.lock()?;
        move_back(shop, &repository, site, task, base)?;
        failpoint::passed("moved-back");
        register(shop, &repository, site, task, base)?;
    }
    failpoint::passed("registered");
    check_out(shop, site, &site.base)?;
    failpoint::passed("checked-out");
    let notes = bring(shop, &site.worktree, base)?;
    drop_remade(&repository, shop, task)?;
    Ok(Again { notes, is_new: true })
}

/// Keeps what is there; gives the commit that holds all of it.
fn keep(
    shop: &Workshop,
    repository: &Repository,
    site: &Site,
    task: &TaskId,
    number: u32,
) -> Result<Option<Oid>, WorktreeError> {
    let doing = || GitError::libgit2("cannot read what is kept of a task");
    if !is_real_dir(&site.worktree) {
        // It was put away before this was cut off, or somebody has removed it: then the commits are left.
        let pins = Pins::read(shop, repository, task).map_err(doing())?;
        let tip = repository.refname_to_id(&format!("refs/heads/{}", site.branch)).ok();
        for (_, kept) in pins.of(ATTEMPT).into_iter().rev() {
            if tip
                .map_or(Ok(true), |tip| leads_to(repository, kept, tip))
                .map_err(doing())?
            {
                return Ok(Some(kept));
            }
        }
    }
    let kept = snapshot::keep_attempt(shop, site, task, number)?;
    Ok(kept.map(|kept| kept.commit))
}

/// Moves the worktree to the trash, once it is seen again that all of it is in the commit `left` or ignored.
fn put_away(shop: &Workshop, repository: &Repository, site: &Site, left: Oid) -> Result<(), WorktreeError> {
    let path = &site.worktree;
    let stays = |why: String| WorktreeError::Stays {
        path: path.clone(),
        why,
    };
    if !is_real_dir(path) {
        return match remove(shop, site, left)? {
            Removal::Trashed { .. } => Ok(()),
            // There is nothing left of it.
            Removal::Kept(_) if fs::symlink_metadata(path).is_err() && shop.admin_dir(path).is_none() => Ok(()),
            Removal::Kept(why) => Err(stays(why)),
        };
    }
    let _lock = shop.lock()?;
    let admin = shop
        .admin_dir(path)
        .ok_or_else(|| WorktreeError::Strange(path.clone()))?;
    if is_real_dir(&path.join(".git")) {
        return Err(stays("it holds another git repository".into()));
    }
    let view = View::open(shop, path, Some(&admin), left, LONGEST)?;
    let found = view.uncommitted()?;
    if let Some(why) = view.why_not(&found) {
        return Err(stays(why));
    }
    let unreadable = view.stage(&found)?;
    if !unreadable.is_empty() {
        let names = few(&inspect::names(&unreadable));
        return Err(stays(format!("git cannot read all of it: {names}")));
    }
    let kept = repository
        .find_commit(left)
        .map_err(GitError::libgit2("cannot read what is kept"))?;
    if view.tree()? != kept.tree_id().to_string() {
        return Err(stays("something has changed in it meanwhile".into()));
    }
    move_to_trash(shop, path, Some(&admin))?;
    Ok(())
}

/// Moves the branch back to the base. The caller holds the lock.
fn move_back(
    shop: &Workshop,
    repository: &Repository,
    site: &Site,
    task: &TaskId,
    base: Oid,
) -> Result<(), WorktreeError> {
    let branch = format!("refs/heads/{}", site.branch);
    let doing = || GitError::libgit2(format!("cannot move the branch {} back to its base", site.branch));
    if is_checked_out(&shop.place, &branch) {
        return Err(WorktreeError::Taken(format!("another checkout of {}", site.branch)));
    }
    let message = format!("pleach: {task} starts from its base again");
    let found = match repository.find_reference(&branch) {
        Err(e) if e.code() == ErrorCode::NotFound => {
            let made = patiently(|| repository.reference(&branch, base, false, &message));
            return Ok(made.map(drop).map_err(doing())?);
        }
        found => found.map_err(doing())?,
    };
    // An agent may have made it another name of a branch: that one is not ours to move.
    let tip = found.resolve().ok().and_then(|branch| branch.target());
    if let Some(tip) = tip {
        let mut pins = Pins::read(shop, repository, task).map_err(doing())?;
        if !pins.without(&[tip], &[base]).map_err(doing())?.is_empty() {
            pins.keep_dropped(tip)?;
        }
    }
    let moved = match (found.kind(), tip) {
        (_, Some(tip)) if tip == base && found.kind() == Some(ReferenceType::Direct) => return Ok(()),
        (Some(ReferenceType::Direct), Some(tip)) => {
            patiently(|| repository.reference_matching(&branch, base, true, tip, &message))
        }
        _ => patiently(|| repository.reference(&branch, base, true, &message)),
    };
    Ok(moved.map(drop).map_err(doing())?)
}
