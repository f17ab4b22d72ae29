//! The directory that the tasks of a session share, where it is not in the session's record. It goes with the record, after
//! that, and is then found by it: so a crash in between leaves a record that is known to be going, and with it the way here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::session::{SessionSpec, read_json};
use crate::store::paths::{GOING_PREFIX, SessionPaths};
use crate::store::usage::Usage;
use crate::store::{atomic, failpoint, tree};
use crate::worktree::naming::SHARED;

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
