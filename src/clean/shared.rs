//! The directory that the tasks of a session share, where it is not in the session's record. It goes with the record, after
//! that, and is then found by it: so a crash in between leaves a record that is known to be going, and with it the way here.
//!
//! Of a session whose record somebody has deleted, it is known by its place and name alone, and goes to the trash: nobody
//! can tell what of it is still wanted. As long as anything may belong to that session it stays.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::Grounds;
use super::survey::WorktreeFacts;
use super::vanished::{self, Vanished};
use crate::process::{is_any_called_with, is_any_in};
use crate::session::{SessionSpec, read_json};
use crate::store::paths::{GOING_PREFIX, SessionPaths};
use crate::store::usage::Usage;
use crate::store::{atomic, failpoint, tree};
use crate::worktree::naming::SHARED;
use crate::worktree::{Workshop, WorktreeError, put_in_trash};

/// What the tasks have left for each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notes {
    pub path: PathBuf,
    /// What they take on the disk.
    pub bytes: u64,
}

/// Looks whether there are any outside of the record.
pub(super) fn notes(spec: &SessionSpec) -> Option<Notes> {
    let path = place(spec)?;
    let _ = fs::read_dir(path).ok()?.next()?;
    let bytes = Usage::default().count(path);
    Some(Notes {
        path: path.to_owned(),
        bytes,
    })
}

/// What a session without a record has left.
#[derive(Debug)]
pub(super) struct Lost {
    pub shop: Workshop,
    pub notes: Notes,
    /// Why it stays, if it does.
    pub stays: Option<String>,
}

/// What is in a directory of worktrees of sessions of which `results` has no record: paths, with the sessions.
pub fn notes_without_record(results: &Path, worktrees: &Path) -> Vec<(PathBuf, Uuid)> {
    let all = worktrees.join(SHARED);
    let is_dir = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    if !is_dir(&all) {
        return Vec::new();
    }
    let of_session = |path: PathBuf| {
        let name = path.file_name()?.to_str()?;
        // Not in any of the other forms in which one can be written.
        let session = Uuid::parse_str(name).ok().filter(|id| id.to_string() == name)?;
        let record = SessionPaths::of(results, session);
        let is_gone = (record.dir().symlink_metadata()).is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
        // An empty one tells of nothing.
        let holds = is_gone && is_dir(&path) && fs::read_dir(&path).is_ok_and(|mut inner| inner.next().is_some());
        holds.then_some((path, session))
    };
    let entries = fs::read_dir(&all).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries.filter_map(|entry| of_session(entry.path())).collect();
    found.sort_unstable();
    found
}

/// Looks at them. `vanished` are the worktrees without a record.
pub(super) fn lost(grounds: &Grounds, worktrees: &Path, vanished: &[Vanished]) -> Vec<Lost> {
    let Some(place) = &grounds.place else {
        return Vec::new();
    };
    let look = |(path, session): (PathBuf, Uuid)| {
        let worktree_stays = vanished.iter().any(|vanished| {
            let stays = matches!(
                vanished.facts,
                WorktreeFacts::Uncommitted { .. } | WorktreeFacts::Stays { .. }
            );
            vanished.shop.session == session && stays
        });
        let stays = match is_any_in(&path) {
            _ if worktree_stays => Some("a worktree of its session stays".to_owned()),
            // Its record may be in another place, or in the making.
            Ok(false) if is_any_called_with(&session.to_string()) => Some("its session is at work".into()),
            Ok(false) if grounds.directory.starts_with(&path) => Some("you are in it".into()),
            Ok(false) => None,
            Ok(true) => Some("a process is in it".into()),
            Err(e) => Some(format!("whether a process is in it cannot be seen: {e}")),
        };
        Lost {
            shop: vanished::shop(place, worktrees, session),
            notes: Notes {
                bytes: Usage::default().count(&path),
                path,
            },
            stays,
        }
    };
    notes_without_record(&grounds.results, worktrees)
        .into_iter()
        .map(look)
        .collect()
}

/// Moves what a session without a record has left to the trash; gives where it is there.
pub(super) fn put_away(lost: &Lost) -> Result<PathBuf, WorktreeError> {
    let trash = put_in_trash(&lost.shop, &lost.notes.path)?;
    // With the last of them.
    let _ = lost.notes.path.parent().map(fs::remove_dir);
    Ok(trash)
}

/// Removes them, and their directory.
pub(super) fn remove(spec: &SessionSpec) -> io::Result<()> {
    let Some((path, all)) = place(spec).and_then(|path| Some((path, path.parent()?))) else {
        return Ok(());
    };
    let going = all.join(format!("{GOING_PREFIX}{}", spec.session_id));
    tree::remove(&going)?;
    failpoint::passed("rename");
    match fs::rename(path, &going) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        other => other?,
    }
    atomic::sync_dir(all)?;
    tree::remove(&going)?;
    // With the last of them; one that holds more stays.
    let _ = fs::remove_dir(all);
    Ok(())
}

/// Removes those of a session whose record is half deleted, unless that session is there all the same.
pub(super) fn remove_of(record: &Path) -> io::Result<()> {
    let is_going =
        (record.file_name()).is_some_and(|name| name.as_encoded_bytes().starts_with(GOING_PREFIX.as_bytes()));
    let Ok(spec) = read_json::<SessionSpec>(&SessionPaths::new(record).spec()) else {
        return Ok(());
    };
    let there = |results: &Path| {
        SessionPaths::of(results, spec.session_id)
            .dir()
            .symlink_metadata()
            .is_ok()
    };
    match record.parent().filter(|results| is_going && !there(results)) {
        Some(_) => remove(&spec),
        None => Ok(()),
    }
}

/// Where they are, outside of the record. Only a place that `run` gives, without a link on the way from the directory of
/// all sessions: nothing else is removed because a file says so.
fn place(spec: &SessionSpec) -> Option<&Path> {
    let path = spec.shared.as_deref()?;
    let all = path.parent()?;
    let beside = (spec.repository.as_ref()).is_some_and(|repository| all == repository.worktrees.join(SHARED));
    let of_user = spec.repository.is_none() && all.ends_with("pleach/shared");
    let named = path.file_name()? == spec.session_id.to_string().as_str();
    let real = fs::symlink_metadata(all).is_ok_and(|found| found.is_dir());
    (named && (beside || of_user) && real).then_some(path)
}
