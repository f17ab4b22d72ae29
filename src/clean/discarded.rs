//! The sessions whose user wanted nothing of them any more: when that was, so that their commits can go in time.
//!
//! A file each in `<common dir>/pleach/discarded`. Until then all that was committed is below `refs/pleach/<session>`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use git2::{Oid, Repository};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::age::{self, Time};
use crate::git::{GitError, delete_refs};
use crate::session::{SessionError, read_json};
use crate::store::atomic::{self, Durability};
use crate::store::journal::SCHEMA;
use crate::store::paths::SessionPaths;
use crate::store::{now_ms, path_json};

/// The file.
#[derive(Debug, Serialize, Deserialize)]
struct Discarded {
    schema: u32,
    session_id: Uuid,
    /// In Unix milliseconds.
    discarded_ms: u64,
    /// Where its record was.
    #[serde(with = "path_json")]
    results: PathBuf,
}

fn directory(common_dir: &Path) -> PathBuf {
    common_dir.join("pleach/discarded")
}

/// Writes down that a session is discarded now.
pub(super) fn note(common_dir: &Path, results: &Path, session: Uuid) -> io::Result<()> {
    write(
        common_dir,
        &Discarded {
            schema: SCHEMA,
            session_id: session,
            discarded_ms: now_ms(),
            results: results.to_owned(),
        },
    )
}

fn write(common_dir: &Path, discarded: &Discarded) -> io::Result<()> {
    let dir = directory(common_dir);
    atomic::private_dir(&dir)?;
    let path = dir.join(format!("{}.json", discarded.session_id));
    atomic::write_json(&path, discarded, Durability::Synced)
}

/// The files, in no order.
pub(super) fn all(common_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory(common_dir)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    let named = |path: &PathBuf| path.extension().is_some_and(|e| e == "json");
    Ok(paths.into_iter().filter(named).collect())
}

fn read(path: &Path) -> Result<Discarded, SessionError> {
    let found: Discarded = read_json(path)?;
    if found.schema == SCHEMA {
        return Ok(found);
    }
    Err(SessionError::Schema {
        path: path.into(),
        found: found.schema,
    })
}

/// Whose file this is, and how it stands to its time. A session whose record is still there is not gone: its time does
/// not run.
pub(super) fn time_of(path: &Path) -> Result<(Uuid, Time), SessionError> {
    let found = read(path)?;
    let record = SessionPaths::of(&found.results, found.session_id);
    let time = match record.dir().symlink_metadata() {
        Ok(_) => Time::Runs,
        Err(_) => age::judge(found.discarded_ms, now_ms(), age::DISCARDED),
    };
    Ok((found.session_id, time))
}

/// Lets the time of a session begin now.
pub(super) fn begin_anew(common_dir: &Path, path: &Path) -> Result<(), SessionError> {
    let found = read(path)?;
    let again = Discarded {
        discarded_ms: now_ms(),
        ..found
    };
    write(common_dir, &again).map_err(|source| SessionError::Unwritable {
        path: path.into(),
        source,
    })
}

/// The refs of ours of a session, and where they are.
pub(super) fn pins(repository: &Repository, session: Uuid) -> Result<Vec<(String, Oid)>, git2::Error> {
    let mut found = Vec::new();
    for reference in repository.references_glob(&format!("refs/pleach/{session}/*"))? {
        let reference = reference?;
        if let (Ok(name), Some(at)) = (reference.name(), reference.target()) {
            found.push((name.to_owned(), at));
        }
    }
    Ok(found)
}

/// Lets go of the commits of a session whose time is over.
pub(super) fn forget(common_dir: &Path, path: &Path) -> Result<(), GitError> {
    let doing = || format!("cannot let go of what {} names", path.display());
    let (session, _) = time_of(path).map_err(|e| GitError::io(doing())(io::Error::other(e.to_string())))?;
    let repository = Repository::open(common_dir).map_err(GitError::libgit2(doing()))?;
    let refs = pins(&repository, session).map_err(GitError::libgit2(doing()))?;
    delete_refs(common_dir, &refs)?;
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(GitError::io(doing())(e)),
        _ => Ok(()),
    }
}
