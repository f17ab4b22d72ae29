//! Makes the worktree of a task fit for another attempt: what an earlier one left there is what the next one finds.
//!
//! A worktree that is there is used as it is. One that is gone is made again, on the branch with what was committed
//! before; a branch that is gone comes back from what is pinned. Nothing that is there is replaced.

use std::fs;
use std::path::Path;

use git2::{Oid, Repository};

use super::bring::bring;
use super::inspect::is_real_dir;
use super::provision::{add, check_out};
use super::recover::{clear, put_half_away};
use super::remove::admin_to_trash;
use super::settle::{Report, check_git_file, pin_left};
use super::{Workshop, WorktreeError, history};
use crate::git::{self, GitError, patiently};
use crate::session::Site;
use crate::store::failpoint;
use crate::task::TaskId;

/// The ref of a task that stands for: its worktree is being made again, and what is found there is half of one.
pub(super) const REMADE: &str = "remade";

/// A worktree that is ready for another attempt.
#[derive(Debug, Default)]
pub struct Again {
    /// What the user should know, a line each.
    pub notes: Vec<String>,
    /// Whether it was made anew: then it is not set up.
    pub is_new: bool,
}

/// Makes branch and worktree of a site ready in which an attempt was made before.
pub fn again(shop: &Workshop, site: &Site, task: &TaskId) -> Result<Again, WorktreeError> {
    let mut report = Report::default();
    let tip = prepare(shop, site, task, &mut report)?;
    if let Some(tip) = tip {
        failpoint::passed("registered");
        check_out(shop, site, &tip.to_string())?;
        failpoint::passed("checked-out");
        report.notes.extend(bring(shop, &site.worktree, tip)?);
        drop_remade(&shop.repository()?, shop, task)?;
    }
    Ok(Again {
        notes: report.notes,
        is_new: tip.is_some(),
    })
}

/// All that takes git's locks. Gives the commit that is to be checked out, if there are no files.
fn prepare(shop: &Workshop, site: &Site, task: &TaskId, report: &mut Report) -> Result<Option<Oid>, WorktreeError> {
    let _lock = shop.lock()?;
    let repository = shop.repository()?;
    let branch = format!("refs/heads/{}", site.branch);
    if repository.find_reference(&shop.pin(task, REMADE)).is_ok() {
        // No agent has seen it: there is nothing in it that is not in the branch.
        put_half_away(shop, site)?;
    }
    let admin = shop.admin_dir(&site.worktree);
    let tip = repository.refname_to_id(&branch).ok();
    let there = is_real_dir(&site.worktree);
    let at = match tip {
        Some(tip) => tip,
        None => {
            let at = last_known(shop, &repository, site, task, admin.as_deref())?;
            let message = format!("pleach: restored for {task}");
            patiently(|| repository.reference(&branch, at, false, &message))
                .map_err(GitError::libgit2(format!("cannot restore the branch {}", site.branch)))?;
            report.note(format!(
                "the branch {} was gone and was made again at {at}",
                site.branch
            ));
            at
        }
    };
    if there {
        let Some(admin) = admin else {
            return Err(WorktreeError::Strange(site.worktree.clone()));
        };
        check_git_file(&site.worktree, Some(&admin), report);
        for name in ["index.lock", "HEAD.lock"] {
            let found = clear(&admin.join(name), &site.worktree)?;
            report.notes.extend(found);
        }
        return Ok(None);
    }
    if fs::symlink_metadata(&site.worktree).is_ok() {
        return Err(WorktreeError::Taken(site.worktree.display().to_string()));
    }
    if let Some(admin) = &admin {
        forget(shop, &repository, site, task, admin, at, report)?;
    }
    register(shop, &repository, site, task, at)?;
    report.note(format!(
        "the worktree {} was gone: it was made again from the branch",
        site.worktree.display()
    ));
    Ok(Some(at))
}

/// Has git forget a worktree whose files are gone, and keeps what only its HEAD has been at.
pub(super) fn forget(
    shop: &Workshop,
    repository: &Repository,
    site: &Site,
    task: &TaskId,
    admin: &Path,
    at: Oid,
    report: &mut Report,
) -> Result<(), WorktreeError> {
    // With it git's memory goes of what HEAD has been at.
    let base = Oid::from_str(&site.base).map_err(GitError::libgit2("the base is no commit"))?;
    let visited = history::visited(repository, Some(admin), &format!("refs/heads/{}", site.branch));
    let left = history::beside(repository, visited, [at, base])
        .map_err(GitError::libgit2("cannot compare the commits of a task"))?;
    pin_left(shop, repository, task, &left, report)?;
    admin_to_trash(shop, &site.worktree, admin)?;
    Ok(())
}

/// Registers the worktree of a site anew, whose branch is at a commit. Until [`drop_remade`] it counts as half made.
pub(super) fn register(
    shop: &Workshop,
    repository: &Repository,
    site: &Site,
    task: &TaskId,
    at: Oid,
) -> Result<(), WorktreeError> {
    git::pin(repository, &shop.pin(task, REMADE), &at.to_string())?;
    failpoint::passed("claimed");
    if let Err(e) = add(shop, site) {
        drop_remade(repository, shop, task)?;
        return Err(e.into());
    }
    Ok(())
}

/// Puts away a worktree that was being made again, so that the files which are not there yet are not taken for deleted.
pub(super) fn put_unfinished_away(shop: &Workshop, site: &Site, task: &TaskId) -> Result<(), WorktreeError> {
    let repository = shop.repository()?;
    if repository.find_reference(&shop.pin(task, REMADE)).is_ok() {
        let _lock = shop.lock()?;
        put_half_away(shop, site)?;
        drop_remade(&repository, shop, task)?;
    }
    Ok(())
}

/// From here on a worktree that was made again is whole.
pub(super) fn drop_remade(repository: &Repository, shop: &Workshop, task: &TaskId) -> Result<(), WorktreeError> {
    Ok(shop.drop_ref(repository, &shop.pin(task, REMADE))?)
}

/// The commit that a task had come to: what HEAD of its worktree was at last, else the newest that is pinned, else the
/// base.
fn last_known(
    shop: &Workshop,
    repository: &Repository,
    site: &Site,
    task: &TaskId,
    admin: Option<&Path>,
) -> Result<Oid, WorktreeError> {
    let seen = admin.and_then(|admin| history::of_head(repository, admin).pop());
    if let Some(seen) = seen {
        return Ok(seen);
    }
    let find = || -> Result<Oid, git2::Error> {
        if let Ok(head) = repository.refname_to_id(&shop.pin(task, "head")) {
            return Ok(head);
        }
        let mut newest = None;
        for pinned in repository.references_glob(&shop.pin(task, "*"))? {
            let commit = pinned?.peel_to_commit()?;
            newest = newest.max(Some((commit.time().seconds(), commit.id())));
        }
        newest.map_or_else(|| Oid::from_str(&site.base), |(_, id)| Ok(id))
    };
    Ok(find().map_err(GitError::libgit2(format!("cannot find what {task} had committed")))?)
}
