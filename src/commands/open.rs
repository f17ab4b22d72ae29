//! `pleach open`: the path of a worktree with the work of a task, or a shell in it.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use git2::Repository;

use super::place::{repository_of, session, set_path, task_number};
use super::signals::leave_interrupts;
use super::{Context, output};
use crate::cli::OpenArgs;
use crate::error::{Error, exit};
use crate::git::{Git, LOCAL_VARIABLES};
use crate::report;
use crate::session::{RepositorySpec, SessionSpec, Site, Stored, TaskRecord, TaskState, WorktreeFate, stored};
use crate::worktree::naming::short;
use crate::worktree::{Checkout, Opened, Workshop, WorktreeError, choose_checkout, reopen};

pub(super) fn run(context: &Context, args: &OpenArgs) -> Result<u8, Error> {
    let stored = stored(&session(context, args.session.as_deref())?)?;
    let spec = &stored.recorded.spec;
    let index = task_number(spec, &args.task)? - 1;
    let Some((repository, opened)) = repository_of(spec)? else {
        return Err(no_branches(spec));
    };
    let record = &stored.recorded.state.tasks[index];
    let Some(site) = record.site() else {
        return Err(Error::NoWorkYet {
            session: short(spec.session_id),
            task: record.id.to_string(),
        });
    };
    let path = place(&stored, repository, &opened, record, site)?;
    if args.shell {
        return enter(&path, &site.branch);
    }
    report::pour(&[path.as_os_str().as_bytes(), b"\n"].concat()).map_err(output)?;
    Ok(exit::DONE)
}

fn no_branches(spec: &SessionSpec) -> Error {
    Error::NoBranches {
        directory: spec.directory.clone(),
    }
}

/// Where the work of a task can be looked at; what has to be known about it is said.
fn place(
    stored: &Stored,
    repository: &RepositorySpec,
    opened: &Repository,
    record: &TaskRecord,
    site: &Site,
) -> Result<PathBuf, Error> {
    let session = stored.recorded.spec.session_id;
    if record.settlement().is_none() {
        let there = site.worktree.is_dir();
        // Before an agent has worked in it, and as long as somebody is there to make it, it is the supervisor's.
        if record.attempts == 0 || (stored.held && !there) {
            return Err(Error::NoWorkYet {
                session: short(session),
                task: record.id.to_string(),
            });
        }
        if there {
            report::note(&report::not_settled(record.id.as_ref()));
        }
        if stored.held {
            return Ok(site.worktree.clone());
        }
    }
    let (spec, state) = (&stored.recorded.spec, &stored.recorded.state);
    let shop = Workshop::of(spec, state, checkout(repository, opened, site)?).ok_or_else(|| no_branches(spec))?;
    let found = reopen(&shop, site, &record.id).map_err(|e| not_made(site, e))?;
    let path = site.worktree.clone();
    match found {
        None => Err(Error::BranchGone {
            session: short(session),
            task: record.id.to_string(),
            branch: site.branch.clone(),
        }),
        Some(Opened::There(branch)) => {
            if branch.as_ref() != Some(&site.branch) {
                report::note(&report::other_branch_there(branch.as_deref(), &site.branch));
            }
            Ok(path)
        }
        Some(Opened::Elsewhere(there)) => {
            report::note(&report::checked_out_elsewhere(&site.branch));
            Ok(there)
        }
        Some(Opened::Made(notes)) => {
            report::note(&report::made_anew(&site.branch, trash_of(record)));
            notes.iter().for_each(|note| report::note(&report::escape(note)));
            Ok(path)
        }
    }
}

/// Where the worktree that was removed still is, if something was in it that git ignores.
fn trash_of(record: &TaskRecord) -> Option<&Path> {
    match &record.state {
        TaskState::Settled {
            worktree: WorktreeFate::Trashed { trash, ignored },
            ..
        } => Some(trash.as_path()).filter(|trash| !ignored.is_empty() && trash.is_dir()),
        _ => None,
    }
}

/// How files are checked out: as git would today.
fn checkout(repository: &RepositorySpec, opened: &Repository, site: &Site) -> Result<Checkout, Error> {
    match opened.refname_to_id(&format!("refs/heads/{}", site.branch)) {
        Ok(tip) => Ok(choose_checkout(
            opened,
            &Git::bare(repository.place.origin()),
            &tip.to_string(),
        )?),
        // Then nothing is checked out.
        Err(_) => Ok(Checkout::Libgit2),
    }
}

fn not_made(site: &Site, source: WorktreeError) -> Error {
    let branch = site.branch.clone();
    match source {
        WorktreeError::Strange(_) | WorktreeError::Taken(_) | WorktreeError::Stays { .. } => {
            Error::WorktreeBlocked { branch, source }
        }
        WorktreeError::Git(_) | WorktreeError::Io { .. } => Error::WorktreeNotMade { branch, source },
    }
}

/// Starts the user's shell there, and waits for its end. How that was is the shell's affair.
fn enter(path: &Path, branch: &str) -> Result<u8, Error> {
    let shell = set_path("SHELL").unwrap_or_else(|| "/bin/sh".into());
    report::note(&report::entering(path, branch));
    leave_interrupts()?;
    let mut command = Command::new(&shell);
    for name in LOCAL_VARIABLES {
        command.env_remove(name);
    }
    // Some shells believe it when it names the same place in another way.
    let ended = command.current_dir(path).env("PWD", path).status();
    ended.map_err(|source| Error::ShellNotStarted { shell, source })?;
    Ok(exit::DONE)
}
