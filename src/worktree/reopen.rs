//! Gives the user a worktree of a task's branch: the one that is there, or the one that was removed, made anew.
//!
//! It is made at the place where it was, on the branch as that is, so that `clean` and `resume` know it for the task's
//! own. Nothing that is there is replaced, and no branch is moved. Called by `open`, which has seen that no supervisor
//! is about to make it.

use std::fs;
use std::path::{Path, PathBuf};

use git2::{Oid, Repository};

use super::again::{REMADE, drop_remade, forget, register};
use super::bring::forget as forget_brought;
use super::clear::{branch_at, users_of_branch};
use super::inspect::is_real_dir;
use super::provision::check_out;
use super::recover::put_half_away;
use super::settle::Report;
use super::{Workshop, WorktreeError};
use crate::session::Site;
use crate::store::{atomic, failpoint};
use crate::task::TaskId;

/// A worktree in which the work of a task can be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The task's own was there, perhaps with another branch than its own by now.
    There(Option<String>),
    /// The branch is checked out in another place.
    Elsewhere(PathBuf),
    /// The task's own was made anew. With what the user should know, a line each.
    Made(Vec<String>),
}

/// Finds or makes the worktree of a task; none when its branch is gone, and with it what could be checked out.
pub fn reopen(shop: &Workshop, site: &Site, task: &TaskId) -> Result<Option<Opened>, WorktreeError> {
    // Until the files are there: whoever comes at the same time finds all of it or nothing.
    let _lock = shop.lock()?;
    let repository = shop.repository()?;
    let path = &site.worktree;
    if repository.find_reference(&shop.pin(task, REMADE)).is_ok() {
        // Somebody was killed meanwhile. Nobody has worked in it.
        put_half_away(shop, site)?;
        drop_remade(&repository, shop, task)?;
    }
    let admin = shop.admin_dir(path);
    if is_real_dir(path) {
        return match admin {
            Some(_) => Ok(Some(Opened::There(branch_at(shop, path)))),
            None => Err(WorktreeError::Strange(path.clone())),
        };
    }
    if fs::symlink_metadata(path).is_ok() {
        return Err(WorktreeError::Taken(path.display().to_string()));
    }
    let Ok(tip) = repository.refname_to_id(&format!("refs/heads/{}", site.branch)) else {
        return Ok(None);
    };
    let is_elsewhere = |user: &PathBuf| user != path && fs::symlink_metadata(user.join(".git")).is_ok();
    if let Some(user) = users_of_branch(&shop.place.common_dir, &site.branch)
        .into_iter()
        .find(is_elsewhere)
    {
        return Ok(Some(Opened::Elsewhere(user)));
    }
    make(shop, &repository, site, task, admin.as_deref(), tip).map(|notes| Some(Opened::Made(notes)))
}

fn make(
    shop: &Workshop,
    repository: &Repository,
    site: &Site,
    task: &TaskId,
    admin: Option<&Path>,
    tip: Oid,
) -> Result<Vec<String>, WorktreeError> {
    let mut report = Report::default();
    forget_brought(shop, &site.worktree)?;
    atomic::private_dir(&shop.worktrees).map_err(WorktreeError::io("make", &shop.worktrees))?;
    if let Some(admin) = admin {
        if fs::symlink_metadata(admin.join("locked")).is_ok() {
            // On a disk that is not there now, most of all.
            return Err(WorktreeError::Taken(format!(
                "a locked worktree for {}",
                site.worktree.display()
            )));
        }
        forget(shop, repository, site, task, admin, tip, &mut report)?;
    }
    register(shop, repository, site, task, tip)?;
    failpoint::passed("registered");
    let filled = check_out(shop, site, &tip.to_string());
    failpoint::passed("checked-out");
    if filled.is_err() {
        // The first error is the one to tell.
        put_half_away(shop, site)?;
    }
    drop_remade(repository, shop, task)?;
    filled.map(|()| report.notes)
}
