//! Worktrees of sessions whose records are gone: deleted by hand, or with the directory that `--results-dir` named.
//!
//! They are known by the refs of ours that such a session left. Nobody can tell whether a supervisor is at work on one
//! whose record is elsewhere, so any process in a worktree keeps it, and any that was told of the session; and its branch
//! stays in any case. What the user has called alike is not where a session puts it, or goes on from other commits.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use git2::Repository;
use uuid::Uuid;

use super::Grounds;
use super::survey::{WorktreeFacts, worktree};
use crate::git::{Drivers, GitError, Identity, Place};
use crate::process::{is_any_called_with, is_any_in};
use crate::session::Site;
use crate::store::paths::SessionPaths;
use crate::task::{TaskId, TaskSpec};
use crate::worktree::{Checkout, Wanted, Workshop, WorktreeError, branch_at, leads_on, naming};

/// A worktree without a record.
#[derive(Debug)]
pub(super) struct Vanished {
    pub shop: Workshop,
    pub site: Site,
    pub task: TaskSpec,
    pub facts: WorktreeFacts,
}

/// Looks for them where worktrees go; those for which `is_known` holds are others'.
pub(super) fn look(grounds: &Grounds, is_known: impl Fn(&Path) -> bool) -> Result<Vec<Vanished>, WorktreeError> {
    let Some(place) = &grounds.place else {
        return Ok(Vec::new());
    };
    let lost = tasks_without_record(grounds, &place.common_dir)?;
    let worktrees = naming::worktrees_dir(place);
    let worktrees = worktrees.canonicalize().unwrap_or(worktrees);
    let mut found = Vec::new();
    for entry in fs::read_dir(&worktrees).into_iter().flatten().flatten() {
        let path = entry.path();
        if lost.is_empty()
            || entry.file_name() == naming::TRASH
            || entry.file_name() == naming::SHARED
            || is_known(&path)
        {
            continue;
        }
        let shop = |session| shop(place, &worktrees, session);
        let Some(branch) = branch_at(&shop(Uuid::nil()), &path) else {
            continue;
        };
        let is_of = |(session, task): &&(Uuid, TaskId)| {
            let name = format!("-task-{task}");
            branch.ends_with(&name) || branch.ends_with(&format!("{name}-{}", naming::short(*session)))
        };
        let is_its_place =
            |shop: &Workshop, task| path.ends_with(naming::directory_of(&branch)) && leads_on(shop, task, &branch);
        let mut found_of = lost.iter().filter(is_of);
        let Some((session, task)) = found_of.find(|(session, task)| is_its_place(&shop(*session), task)) else {
            continue;
        };
        let (shop, base) = (shop(*session), String::new());
        let site = Site {
            branch,
            worktree: path.clone(),
            base,
        };
        let facts = match is_any_in(&path) {
            Ok(false) if is_any_called_with(&session.to_string()) => stays(&path, "its session is at work"),
            Ok(false) => worktree(grounds, &shop, &site, true),
            Ok(true) => stays(&path, "a process is in it"),
            Err(e) => stays(&path, &format!("whether a process is in it cannot be seen: {e}")),
        };
        let task = TaskSpec {
            id: task.clone(),
            title: String::new(),
            prompt: String::new(),
            options: crate::task::TaskOptions::default(),
        };
        found.push(Vanished {
            shop,
            site,
            task,
            facts,
        });
    }
    found.sort_by(|a, b| a.site.worktree.cmp(&b.site.worktree));
    Ok(found)
}

/// The repository as a session used it of which nothing else is known.
pub(super) fn shop(place: &Place, worktrees: &Path, session: Uuid) -> Workshop {
    Workshop {
        session,
        place: place.clone(),
        worktrees: worktrees.to_owned(),
        identity: Identity {
            name: String::new(),
            email: String::new(),
            configured: false,
        },
        // Which ones there were when it started nobody knows.
        drivers: Drivers::new(),
        checkout: Checkout::Libgit2,
        wanted: Wanted::default(),
    }
}

fn stays(path: &Path, why: &str) -> WorktreeFacts {
    let (path, why) = (path.to_owned(), why.to_owned());
    WorktreeFacts::Stays { path, why }
}

/// The sessions and tasks that only refs of ours tell of.
fn tasks_without_record(grounds: &Grounds, common_dir: &Path) -> Result<BTreeSet<(Uuid, TaskId)>, GitError> {
    let doing = || GitError::libgit2("cannot list what is kept in refs/pleach");
    let repository = Repository::open(common_dir).map_err(doing())?;
    let mut found = BTreeSet::new();
    for reference in repository.references_glob("refs/pleach/*").map_err(doing())? {
        let reference = reference.map_err(doing())?;
        let Ok(name) = reference.name() else { continue };
        let mut parts = name.split('/').skip(2);
        let session = parts.next().and_then(|id| Uuid::parse_str(id).ok());
        let task = parts.next().and_then(|id| TaskId::parse(id).ok());
        // The base is of the session as a whole.
        if let (Some(session), Some(task), Some(_)) = (session, task, parts.next()) {
            found.insert((session, task));
        }
    }
    found.retain(|(session, _)| !SessionPaths::of(&grounds.results, session).dir().exists());
    Ok(found)
}
