//! What goes of landings with time, so that their records do not grow without bound. Whoever holds their lock does it by
//! the way.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use git2::{Oid, Repository};

use super::LandingError;
use super::moving::undone_pin;
use super::record::{Merges, Record, State};
use crate::git::{GitError, delete_refs};
use crate::store::paths::HALF_MADE_PREFIX;

/// How long a landing is remembered after it was made or undone, and what was undone is kept.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 3600);

/// Forgets landings of long ago: those that were undone, with the ref that keeps what they made, and those of whose
/// branches none is left. Removes what was half written, too.
pub fn forget_past(merges: &Merges) -> Result<(), LandingError> {
    let repository = Repository::open(merges.common_dir()).map_err(GitError::libgit2("cannot open the repository"))?;
    for path in merges.files()? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Only who holds the lock writes.
        if name.starts_with(HALF_MADE_PREFIX) {
            remove(&path)?;
        }
    }
    for record in merges.all()? {
        let path = merges.path(&record);
        // A time that is still to come is not over.
        let age = fs::metadata(&path).and_then(|m| m.modified()).ok();
        let age = age.and_then(|since| since.elapsed().ok());
        if age.is_none_or(|age| age < REMEMBERED) || is_needed(&repository, &record) {
            continue;
        }
        let pin = undone_pin(&record);
        if let Ok(at) = repository.refname_to_id(&pin) {
            delete_refs(merges.common_dir(), &[(pin, at)])?;
        }
        remove(&path)?;
    }
    Ok(())
}

/// One that is not settled, or without which nobody would know that a branch is merged: it was squashed.
fn is_needed(repository: &Repository, record: &Record) -> bool {
    match record.state {
        State::Landing | State::Undoing => true,
        State::Undone | State::Abandoned => false,
        State::Landed => record.branches.iter().any(|branch| {
            let at = repository.refname_to_id(&format!("refs/heads/{}", branch.name)).ok();
            at.is_some() && at == Oid::from_str(&branch.head).ok()
        }),
    }
}

fn remove(path: &Path) -> Result<(), LandingError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(LandingError::io("remove", path)(e)),
        _ => Ok(()),
    }
}
