//! The directory of a session: making one, finding one, reading one, following one.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{Event, Graph, IllegalMove, NoGraph, SessionSpec, SessionState, apply, document};
use crate::store::atomic::{self, Durability};
use crate::store::failpoint;
use crate::store::journal::{JournalError, JournalReader, JournalWriter, SCHEMA};
use crate::store::lock::{self, Lock};
use crate::store::paths::{HALF_MADE_PREFIX, SESSION_PREFIX, SessionPaths};
use crate::words::few;

/// Why a session cannot be found, made or read.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Nothing has run here yet.
    #[error("there is no session in {} yet", results.display())]
    None {
        /// Where it was looked for.
        results: PathBuf,
    },
    /// No session's id begins so.
    #[error("there is no session {query:?} in {}", results.display())]
    NotFound {
        /// What was asked for.
        query: String,
        /// Where it was looked for.
        results: PathBuf,
    },
    /// More than one does.
    #[error("{query:?} is the beginning of {} sessions: {}", ids.len(), few(ids))]
    Ambiguous {
        /// What was asked for.
        query: String,
        /// Their ids.
        ids: Vec<String>,
    },
    /// A file or directory cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or directory cannot be made or written.
    #[error("cannot write {}: {source}", path.display())]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {source}", path.display())]
    Json {
        /// Which.
        path: PathBuf,
        /// Where and how.
        source: serde_json::Error,
    },
    /// Written by another version.
    #[error("{}: format {found} is not known: this pleach reads up to {SCHEMA}", path.display())]
    Schema {
        /// Which file.
        path: PathBuf,
        /// The number in it.
        found: u32,
    },
    /// The tasks depend on each other, or on what is not there.
    #[error("{}: {source}", path.display())]
    Dependencies {
        /// Which file.
        path: PathBuf,
        /// How.
        source: NoGraph,
    },
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal tells of something that cannot have happened.
    #[error("{}: {source}", path.display())]
    Illegal {
        /// The journal.
        path: PathBuf,
        /// What.
        source: IllegalMove,
    },
}

/// A session that no supervisor works on yet, with its lock held.
#[derive(Debug)]
pub struct NewSession {
    /// Its files.
    pub paths: SessionPaths,
    /// To be handed to the supervisor.
    pub lock: Lock,
}

/// A session as it is written down.
#[derive(Debug)]
pub struct Recorded {
    /// What was asked for.
    pub spec: SessionSpec,
    /// What has happened.
    pub state: SessionState,
    /// Whether the journal ends in a torn line.
    pub torn: bool,
}

/// A session as it stands: what is written down, and whether a supervisor is at work on it.
#[derive(Debug)]
pub struct Stored {
    /// Its files.
    pub paths: SessionPaths,
    /// What is written down.
    pub recorded: Recorded,
    /// Whether its lock is held.
    pub held: bool,
}

/// Makes the directory of a session. It appears under its name only when it is whole and its lock is held, so that
/// no reader ever sees a half one, or one without a holder.
pub fn create(results: &Path, spec: &SessionSpec) -> Result<NewSession, SessionError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| SessionError::Unwritable { path, source }
    };
    atomic::private_dir(results).map_err(failed(results))?;
    let paths = SessionPaths::of(results, spec.session_id);
    let half = tempfile::Builder::new()
        .prefix(HALF_MADE_PREFIX)
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(results)
        .map_err(failed(results))?;
    let new = SessionPaths::new(half.path());
    for dir in [new.attempts(), new.requests()] {
        atomic::private_dir(&dir).map_err(failed(&dir))?;
    }
    let lock = Lock::acquire(&new.lock()).map_err(failed(&new.lock()))?;
    JournalWriter::create(&new.journal()).map_err(failed(&new.journal()))?;
    // For who looks before the supervisor has said anything.
    let status = document(spec, &SessionState::new(spec), true, |_| None);
    atomic::write_json(&new.status(), &status, Durability::Fast).map_err(failed(&new.status()))?;
    // Its fsync of the directory covers the journal's name too.
    atomic::write_json(&new.spec(), spec, Durability::Synced).map_err(failed(&new.spec()))?;
    failpoint::passed("rename");
    fs::rename(half.path(), paths.dir()).map_err(failed(paths.dir()))?;
    // It has moved: there is nothing left to clean up under the old name.
    let _ = half.keep();
    atomic::sync_dir(results).map_err(failed(results))?;
    Ok(NewSession { paths, lock })
}

/// The ids of the sessions in `results`, in no order.
pub fn ids(results: &Path) -> Result<Vec<Uuid>, SessionError> {
    let unreadable = |source| SessionError::Unreadable {
        path: results.into(),
        source,
    };
    let entries = match fs::read_dir(results) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(unreadable)?,
    };
    let mut ids = Vec::new();
    for entry in entries {
        let name = entry.map_err(unreadable)?.file_name();
        let id = name.to_str().and_then(|n| n.strip_prefix(SESSION_PREFIX));
        ids.extend(id.and_then(|id| Uuid::parse_str(id).ok()));
    }
    Ok(ids)
}

/// The session whose id is or begins with `query`; without one the newest.
pub fn find(results: &Path, query: Option<&str>) -> Result<SessionPaths, SessionError> {
    let ids = ids(results)?;
    let Some(query) = query else {
        let none = || SessionError::None {
            results: results.into(),
        };
        let newest = ids.into_iter().max_by_key(|id| made(results, *id));
        return newest.map(|id| SessionPaths::of(results, id)).ok_or_else(none);
    };
    let wanted = query.strip_prefix(SESSION_PREFIX).unwrap_or(query).to_ascii_lowercase();
    let mut found: Vec<String> = ids
        .iter()
        .map(Uuid::to_string)
        .filter(|id| id.starts_with(&wanted))
        .collect();
    found.sort_unstable();
    let not_found = || SessionError::NotFound {
        query: query.into(),
        results: results.into(),
    };
    match found.as_slice() {
        // Nothing is the beginning of every id: a variable that was not set is not a choice.
        _ if wanted.is_empty() => Err(not_found()),
        [_] => Ok(SessionPaths::of(results, found.remove(0))),
        [] => Err(not_found()),
        _ => Err(SessionError::Ambiguous {
            query: query.into(),
            ids: found,
        }),
    }
}

/// When a session was made. An unreadable one counts by its file's date, so that it can still be the newest: what
/// is wrong with it is then said, instead of an older one taken for it.
fn made(results: &Path, id: Uuid) -> u64 {
    #[derive(serde::Deserialize)]
    struct Made {
        created_ms: u64,
    }
    let paths = SessionPaths::of(results, id);
    let by_file = || {
        let modified = fs::metadata(paths.dir()).and_then(|m| m.modified()).ok()?;
        let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
        u64::try_from(since.as_millis()).ok()
    };
    match read_json::<Made>(&paths.spec()) {
        Ok(made) => made.created_ms,
        Err(_) => by_file().unwrap_or(0),
    }
}

/// Reads a file as JSON; missing or broken is an error that names it.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, SessionError> {
    parse(path, &read(path)?)
}

fn read(path: &Path) -> Result<Vec<u8>, SessionError> {
    fs::read(path).map_err(|source| SessionError::Unreadable {
        path: path.into(),
        source,
    })
}

fn parse<T: DeserializeOwned>(path: &Path, text: &[u8]) -> Result<T, SessionError> {
    serde_json::from_slice(text).map_err(|source| SessionError::Json {
        path: path.into(),
        source,
    })
}

/// Reads the specification; a format that is not known is refused.
fn read_spec(paths: &SessionPaths) -> Result<SessionSpec, SessionError> {
    #[derive(serde::Deserialize)]
    struct Format {
        schema: u32,
    }
    let path = paths.spec();
    let text = read(&path)?;
    // All at once: a long list of tasks is not read twice. Of another format nothing else need be understood.
    let spec = parse::<SessionSpec>(&path, &text);
    let found = match &spec {
        Ok(spec) => spec.schema,
        Err(_) => parse::<Format>(&path, &text)?.schema,
    };
    if found != SCHEMA {
        return Err(SessionError::Schema { path, found });
    }
    let spec = spec?;
    if let Err(source) = Graph::of(&spec.tasks) {
        return Err(SessionError::Dependencies { path, source });
    }
    Ok(spec)
}

/// Reads specification and journal.
pub fn recorded(paths: &SessionPaths) -> Result<Recorded, SessionError> {
    let mut follower = Follower::open(paths)?;
    follower.poll()?;
    let torn = follower.is_torn();
    let Follower { spec, state, .. } = follower;
    Ok(Recorded { spec, state, torn })
}

/// Reads a session as it stands.
pub fn stored(paths: &SessionPaths) -> Result<Stored, SessionError> {
    // The lock first: one that ends between the two looks is then seen as ended, not as abandoned.
    let held = is_held(paths.lock())?;
    Ok(Stored {
        paths: paths.clone(),
        recorded: recorded(paths)?,
        held,
    })
}

/// Whether somebody holds the lock of a session or of an attempt.
pub fn is_held(lock: PathBuf) -> Result<bool, SessionError> {
    lock::is_held(&lock).map_err(|source| SessionError::Unreadable { path: lock, source })
}

/// Every session in `results` as it stands, in no order. One that cannot be read does not hide the others.
pub fn all(
    results: &Path,
) -> Result<impl Iterator<Item = (Uuid, Result<Stored, SessionError>)> + use<'_>, SessionError> {
    let read = |id| (id, stored(&SessionPaths::of(results, id)));
    Ok(ids(results)?.into_iter().map(read))
}

/// A session that is read as it goes on.
#[derive(Debug)]
pub struct Follower {
    paths: SessionPaths,
    reader: JournalReader<Event>,
    /// What was asked for.
    pub spec: SessionSpec,
    /// What has happened so far.
    pub state: SessionState,
}

impl Follower {
    /// Opens a session at its beginning: the first [`poll`](Self::poll) gives all that has happened.
    pub fn open(paths: &SessionPaths) -> Result<Self, SessionError> {
        let spec = read_spec(paths)?;
        Ok(Self {
            paths: paths.clone(),
            reader: JournalReader::open(&paths.journal())?,
            state: SessionState::new(&spec),
            spec,
        })
    }

    /// Whether the journal ends in a part of a line.
    pub fn is_torn(&self) -> bool {
        self.reader.has_torn_tail()
    }

    /// The events since the last call, already applied to [`state`](Self::state).
    pub fn poll(&mut self) -> Result<Vec<Event>, SessionError> {
        let events = self.reader.poll()?;
        for event in &events {
            apply(&mut self.state, event).map_err(|source| SessionError::Illegal {
                path: self.paths.journal(),
                source,
            })?;
        }
        Ok(events)
    }
}
