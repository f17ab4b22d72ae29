//! What is written down of each landing, in `<common dir>/pleach/merges`, and the lock under which it is.
//!
//! A record is there before anything moves, and says then what is about to be done; afterwards it says what was done.
//! Only who holds `merge.lock` writes one. `clean` reads them: what a landing has merged is merged.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use git2::{Oid, Repository};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::LandingError;
use super::checkout::Checkout;
use crate::git::Drivers;
use crate::process::ProcessIdentity;
use crate::store::atomic::{self, Durability};
use crate::store::journal::SCHEMA;
use crate::store::lock::{Lock, is_held};

/// How far a landing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The target is about to move.
    Landing,
    /// It has moved.
    Landed,
    /// It is about to move back.
    Undoing,
    /// It has moved back.
    Undone,
    /// Nothing has moved. Such a record is not kept.
    Abandoned,
}

/// A landing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    schema: u32,
    /// Its own id.
    pub id: Uuid,
    /// Whose branches these are.
    pub session_id: Uuid,
    /// How far it has come.
    pub state: State,
    /// What was merged into: a branch, without `refs/heads/`.
    pub target: String,
    /// Its commit before.
    pub old: String,
    /// Its commit after.
    pub new: String,
    /// Whether each branch became one commit with one parent.
    pub squash: bool,
    /// What was merged, in that order.
    pub branches: Vec<MergedBranch>,
    /// The checkout that has the target.
    pub checkout: Option<Checkout>,
    /// Drivers that may be run in the checkout.
    pub drivers: Drivers,
    /// When that was written down, in Unix milliseconds.
    pub begun_ms: u64,
}

/// A branch that was merged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedBranch {
    /// Without `refs/heads/`.
    pub name: String,
    /// Its commit.
    pub head: String,
    /// The task that made it.
    pub task_id: Option<String>,
}

impl Record {
    /// Something that is about to be done.
    pub(super) fn of_intent(intent: Intent) -> Self {
        Self {
            schema: SCHEMA,
            id: Uuid::new_v4(),
            session_id: intent.session_id,
            state: State::Landing,
            target: intent.target,
            old: intent.old,
            new: intent.new,
            squash: intent.squash,
            branches: intent.branches,
            checkout: None,
            drivers: intent.drivers,
            begun_ms: crate::store::now_ms(),
        }
    }

    /// The full name of the target.
    pub fn target_ref(&self) -> String {
        format!("refs/heads/{}", self.target)
    }

    /// Where the target comes from and goes to by what is being done, or was done last.
    pub(super) fn way(&self) -> (&str, &str) {
        match self.state {
            State::Landing | State::Landed | State::Abandoned => (&self.old, &self.new),
            State::Undoing | State::Undone => (&self.new, &self.old),
        }
    }

    fn is_unfinished(&self) -> bool {
        matches!(self.state, State::Landing | State::Undoing)
    }
}

/// What is to land.
#[derive(Clone, Debug)]
pub struct Intent {
    /// Whose branches these are.
    pub session_id: Uuid,
    /// The branch that moves, without `refs/heads/`.
    pub target: String,
    /// Where it is.
    pub old: String,
    /// Where it is to be.
    pub new: String,
    /// Whether each branch became one commit with one parent.
    pub squash: bool,
    /// What was merged.
    pub branches: Vec<MergedBranch>,
    /// Drivers that may be run in the checkout.
    pub drivers: Drivers,
}

/// The landings of a repository, with the lock held that lets one at a time move anything.
#[derive(Debug)]
pub struct Merges {
    common_dir: PathBuf,
    lock: Arc<fs::File>,
}

impl Merges {
    /// Takes the lock, or says who has it.
    pub fn hold(common_dir: &Path) -> Result<Self, LandingError> {
        /// How long a git may take to end whose merge was killed, and which holds the lock as long as it lives.
        const PATIENCE: Duration = Duration::from_secs(2);
        let path = lock_path(common_dir);
        let holder = || -> Option<ProcessIdentity> {
            let text = fs::read(&path).ok()?;
            let holder: Option<ProcessIdentity> = serde_json::from_slice(&text).ok();
            holder.filter(ProcessIdentity::is_alive)
        };
        let take = || -> io::Result<Option<Lock>> {
            atomic::private_dir(&common_dir.join("pleach"))?;
            let lock = match Lock::try_acquire(&path)? {
                None if holder().is_none() => Lock::acquire_within(&path, PATIENCE)?,
                lock => lock,
            };
            let Some(lock) = lock else { return Ok(None) };
            let mut file = lock.file();
            file.set_len(0)?;
            file.write_all(&serde_json::to_vec(&ProcessIdentity::current())?)?;
            Ok(Some(lock))
        };
        match take().map_err(LandingError::io("lock", &path))? {
            Some(lock) => Ok(Self {
                common_dir: common_dir.to_owned(),
                lock: Arc::new(lock.into_file()),
            }),
            None => Err(LandingError::Held {
                holder: holder().map(|holder| holder.pid),
            }),
        }
    }

    /// The git dir that all worktrees share.
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// The lock, for a git that moves something.
    pub(super) fn lock(&self) -> Arc<fs::File> {
        self.lock.clone()
    }

    /// What was begun and is not known to have ended.
    pub(super) fn unfinished(&self) -> Result<Vec<Record>, LandingError> {
        let mut found = self.all()?;
        found.retain(Record::is_unfinished);
        Ok(found)
    }

    /// All records, the oldest first.
    pub(super) fn all(&self) -> Result<Vec<Record>, LandingError> {
        all(&self.common_dir)
    }

    /// All files, records and others.
    pub(super) fn files(&self) -> Result<Vec<PathBuf>, LandingError> {
        files(&self.common_dir)
    }

    /// The last landing that stands.
    pub fn last(&self) -> Result<Option<Record>, LandingError> {
        Ok(self.all()?.into_iter().rfind(|record| record.state == State::Landed))
    }

    /// Where a record is.
    pub(super) fn path(&self, record: &Record) -> PathBuf {
        directory(&self.common_dir).join(format!("{}.json", record.id))
    }

    /// Writes a record, durably.
    pub(super) fn write(&self, record: &Record) -> Result<(), LandingError> {
        let dir = directory(&self.common_dir);
        if !dir.exists() {
            let make = || {
                atomic::private_dir(&dir)?;
                // A record is lost with the name of its directory.
                atomic::sync_dir(&self.common_dir.join("pleach"))?;
                atomic::sync_dir(&self.common_dir)
            };
            make().map_err(LandingError::io("make", &dir))?;
        }
        let path = self.path(record);
        atomic::write_json(&path, record, Durability::Synced).map_err(LandingError::io("write", &path))
    }

    /// Writes down how a move ended; of one that was not made nothing stays.
    pub(super) fn write_end(&self, record: &Record) -> Result<(), LandingError> {
        if record.state != State::Abandoned {
            return self.write(record);
        }
        let path = self.path(record);
        fs::remove_file(&path).map_err(LandingError::io("remove", &path))
    }
}

fn directory(common_dir: &Path) -> PathBuf {
    common_dir.join("pleach/merges")
}

/// The merges and undos that were cut off, and that nobody is at work on.
pub fn cut_off(common_dir: &Path) -> Result<Vec<Record>, LandingError> {
    let mut found = all(common_dir)?;
    found.retain(Record::is_unfinished);
    // Asked last: what was at work and has ended since is settled.
    let lock = lock_path(common_dir);
    let at_work = !found.is_empty() && is_held(&lock).map_err(LandingError::io("look at", &lock))?;
    Ok(if at_work { Vec::new() } else { found })
}

fn lock_path(common_dir: &Path) -> PathBuf {
    common_dir.join("pleach/merge.lock")
}

fn files(common_dir: &Path) -> Result<Vec<PathBuf>, LandingError> {
    let dir = directory(common_dir);
    let entries = match fs::read_dir(&dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(LandingError::io("read", &dir))?,
    };
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    paths.map_err(LandingError::io("read", &dir))
}

/// All records, the oldest first.
fn all(common_dir: &Path) -> Result<Vec<Record>, LandingError> {
    let mut found = Vec::new();
    for path in files(common_dir)? {
        // Another file is what was half made when somebody was killed.
        if path.extension().is_some_and(|e| e == "json") {
            found.push(read(&path)?);
        }
    }
    found.sort_by_key(|record| (record.begun_ms, record.id));
    Ok(found)
}

fn read(path: &Path) -> Result<Record, LandingError> {
    let text = fs::read(path).map_err(LandingError::io("read", path))?;
    let damaged = |why: String| LandingError::Damaged {
        path: path.to_owned(),
        why,
    };
    let record: Record = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
    if record.schema != SCHEMA {
        return Err(damaged(format!(
            "its schema is {}, which this pleach does not know",
            record.schema
        )));
    }
    for id in [&record.old, &record.new] {
        Oid::from_str(id).map_err(|_| damaged(format!("{id:?} is not the id of a commit")))?;
    }
    Ok(record)
}

/// A branch that a landing has merged, as it was then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InTarget {
    /// The branch.
    pub branch: String,
    /// Its commit.
    pub head: Oid,
    /// What it was merged into.
    pub target: String,
}

/// What landings have merged that stand: they were not undone, and what they made is still in their target. A record that
/// cannot be read says nothing.
pub fn in_targets(repository: &Repository) -> Vec<InTarget> {
    let stands = |record: &Record| -> Option<()> {
        let tip = repository.refname_to_id(&record.target_ref()).ok()?;
        let new = Oid::from_str(&record.new).ok()?;
        let holds = tip == new || repository.graph_descendant_of(tip, new).unwrap_or(false);
        (record.state == State::Landed && holds).then_some(())
    };
    let records = all(repository.commondir()).unwrap_or_default();
    let standing = records.into_iter().filter(|record| stands(record).is_some());
    standing
        .flat_map(|record| {
            let target = record.target;
            record.branches.into_iter().filter_map(move |branch| {
                Some(InTarget {
                    head: Oid::from_str(&branch.head).ok()?,
                    branch: branch.name,
                    target: target.clone(),
                })
            })
        })
        .collect()
}
