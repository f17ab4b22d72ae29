//! What a task has come to at this moment: the commit that it started from, and the one that its work is in.
//!
//! For whoever wants to see the work; it changes nothing. Refs are all it looks at: neither files nor HEAD of a worktree,
//! which are the agent's.

use git2::{Oid, Repository};
use uuid::Uuid;

use super::pins::{SNAPSHOT, numbered};
use crate::git::GitError;
use crate::session::Site;
use crate::task::TaskId;

/// Which ref the work was found under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkSource {
    /// Its branch.
    Branch,
    /// The ref that keeps it as it was settled: the branch is gone.
    Kept,
    /// The last snapshot, made at this moment in Unix seconds: it has what is in no commit of the branch.
    Snapshot(i64),
}

/// The work of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// The commit that it started from.
    pub base: Oid,
    /// The commit that it is in.
    pub head: Oid,
    /// Where that was found.
    pub source: WorkSource,
}

/// Finds the work of a task that was given this site; none where nothing leads to any. Only of a task that is not
/// `settled` a snapshot counts: later its branch has all of it.
pub fn work_of(
    repository: &Repository,
    session: Uuid,
    task: &TaskId,
    site: &Site,
    settled: bool,
) -> Result<Option<Work>, GitError> {
    let doing = || GitError::libgit2(format!("cannot find the work of {task}"));
    let base = Oid::from_str(&site.base).map_err(doing())?;
    let commit_at = |name: &str| {
        let commit = repository.find_reference(name).and_then(|r| r.peel_to_commit());
        commit.ok().map(|commit| commit.id())
    };
    let prefix = format!("refs/pleach/{session}/{task}/");
    let branch = commit_at(&format!("refs/heads/{}", site.branch));
    let kept = || commit_at(&format!("{prefix}head")).map(|head| (head, WorkSource::Kept));
    let newest = || last_snapshot(repository, &prefix);
    let found = match (branch, settled) {
        (Some(tip), true) => Some((tip, WorkSource::Branch)),
        (Some(tip), false) => match newest().map_err(doing())? {
            Some(snapshot) if !is_behind(repository, &snapshot, tip).map_err(doing())? => Some(snapshot.found),
            _ => Some((tip, WorkSource::Branch)),
        },
        (None, true) => kept(),
        (None, false) => newest().map_err(doing())?.map(|snapshot| snapshot.found).or_else(kept),
    };
    Ok(found.map(|(head, source)| Work { base, head, source }))
}

/// A snapshot, and the commit that HEAD was at when it was made.
struct Snapshot {
    found: (Oid, WorkSource),
    below: Option<Oid>,
}

fn last_snapshot(repository: &Repository, prefix: &str) -> Result<Option<Snapshot>, git2::Error> {
    let references = repository.references_glob(&format!("{prefix}{SNAPSHOT}/*"))?.flatten();
    let newest = references
        .filter_map(|r| {
            let (_, number) = numbered(r.name().ok()?.strip_prefix(prefix)?)?;
            Some((number, r.peel_to_commit().ok()?))
        })
        .max_by_key(|(number, _)| *number);
    Ok(newest.map(|(_, commit)| {
        let below = commit.parent(0).ok();
        // One that holds nothing else than the commit below it stands for that.
        let clean = below.as_ref().filter(|below| below.tree_id() == commit.tree_id());
        let head = clean.unwrap_or(&commit).id();
        Snapshot {
            found: (head, WorkSource::Snapshot(commit.time().seconds())),
            below: below.map(|below| below.id()),
        }
    }))
}

/// Whether the branch has gone on since a snapshot was made.
fn is_behind(repository: &Repository, snapshot: &Snapshot, tip: Oid) -> Result<bool, git2::Error> {
    match snapshot.below {
        // A clean one: the branch has it.
        Some(below) if below == tip => Ok(snapshot.found.0 == tip),
        Some(below) => repository.graph_descendant_of(tip, below),
        None => Ok(false),
    }
}
