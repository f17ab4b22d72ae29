//! Makes events durable, and keeps `status.json` in step with them.

use std::io::{self, Write};
use std::time::Duration;

use tokio::time::Instant;

use super::SupervisorError;
use super::session_log::SessionLog;
use crate::session::{Event, EventKind, SessionError, SessionSpec, SessionState, apply, document, recorded};
use crate::store::atomic::{self, Durability};
use crate::store::journal::{AppendError, JournalWriter};
use crate::store::paths::SessionPaths;
use crate::store::{Shortage, now_ms};

/// `status.json` is replaced at most this often.
const STATUS_EVERY: Duration = Duration::from_millis(100);
/// Of the time, writing `status.json` takes at most one part in this many.
const STATUS_SHARE: u32 = 20;
/// When there is no room, it is tried again after this time.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// The only writer of a session's journal and status.
pub(super) struct Recorder {
    paths: SessionPaths,
    journal: JournalWriter,
    log: SessionLog,
    /// What is to be said of that.
    problems: Vec<String>,
    unwritten: Vec<Event>,
    status_stale: bool,
    status_after: Instant,
    /// Whether there was no room for events the last time.
    is_stuck: bool,
    /// Whether it was said that there is no room.
    is_said: bool,
    /// Whether the journal ended in a torn line.
    pub torn: bool,
    /// What was asked for.
    pub spec: SessionSpec,
    /// What has happened, with the events that are not durable yet.
    pub state: SessionState,
}

impl Recorder {
    pub(super) fn open(paths: &SessionPaths) -> Result<Self, SupervisorError> {
        let past = recorded(paths)?;
        let opened = JournalWriter::open(&paths.journal());
        let (journal, torn) = opened.map_err(SupervisorError::io("cannot open the journal"))?;
        Ok(Self {
            paths: paths.clone(),
            journal,
            log: SessionLog::open(paths, &past.spec),
            problems: Vec::new(),
            torn,
            unwritten: Vec::new(),
            status_stale: true,
            status_after: Instant::now(),
            is_stuck: false,
            is_said: false,
            spec: past.spec,
            state: past.state,
        })
    }

    /// The session's files.
    pub(super) fn paths(&self) -> &SessionPaths {
        &self.paths
    }

    /// Applies an event in memory. Nothing may be done because of it before [`commit`](Self::commit).
    pub(super) fn add(&mut self, kind: EventKind) -> Result<(), SupervisorError> {
        let event = Event { at_ms: now_ms(), kind };
        apply(&mut self.state, &event).map_err(|source| SessionError::Illegal {
            path: self.paths.journal(),
            source,
        })?;
        self.unwritten.push(event);
        Ok(())
    }

    /// Waits until all events are durable, then replaces `status.json` if it is time to. False when there is no room for
    /// them now: they are kept here, nothing may rely on them, and it is to be [tried again](Self::due).
    pub(super) fn commit(&mut self) -> Result<bool, SupervisorError> {
        if !self.unwritten.is_empty() {
            match self.journal.append(&self.unwritten) {
                Ok(()) => {}
                Err(AppendError::NoRoom(e)) => {
                    self.is_stuck = true;
                    self.say("the journal cannot be written now", &e);
                    return Ok(false);
                }
                Err(AppendError::Broken(e)) => return Err(SupervisorError::io("cannot write the journal")(e)),
            }
            let problems = self.log.append(&self.unwritten);
            self.problems.extend(problems);
            self.unwritten.clear();
            (self.is_stuck, self.status_stale) = (false, true);
        }
        self.write_status()?;
        Ok(true)
    }

    /// What the user should know of the log, once.
    pub(super) fn problems(&mut self) -> Vec<String> {
        std::mem::take(&mut self.problems)
    }

    fn write_status(&mut self) -> Result<(), SupervisorError> {
        let ended = self.state.end.is_some();
        if !self.status_stale || (!ended && self.status_after > Instant::now()) {
            return Ok(());
        }
        let started = Instant::now();
        let durability = if ended { Durability::Synced } else { Durability::Fast };
        let status = document(&self.spec, &self.state, true, |_| None);
        match atomic::write_json(&self.paths.status(), &status, durability) {
            Ok(()) => {
                (self.status_stale, self.is_said) = (false, false);
                self.status_after = Instant::now() + STATUS_EVERY.max(started.elapsed() * STATUS_SHARE);
                Ok(())
            }
            // Only a display: what stands there is an older one, whole.
            Err(e) if Shortage::of(&e).is_some() => {
                self.say("status.json cannot be written now", &e);
                self.status_after = Instant::now() + TRY_AGAIN;
                Ok(())
            }
            Err(e) => Err(SupervisorError::io("cannot write status.json")(e)),
        }
    }

    /// Says so once, in the log.
    fn say(&mut self, what: &str, e: &io::Error) {
        if !self.is_said {
            // If there is no room for that either, it is not said.
            let _ = writeln!(io::stderr(), "warning: {what}, and is tried again every second: {e}");
        }
        self.is_said = true;
    }

    /// Whether there are events that could not be made durable.
    pub(super) fn is_stuck(&self) -> bool {
        self.is_stuck
    }

    /// Whether there are events that are not durable.
    fn is_behind(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// Whether all is written, `status.json` too.
    pub(super) fn is_done(&self) -> bool {
        self.unwritten.is_empty() && !self.status_stale
    }

    /// When to [commit](Self::commit) even if nothing more happens.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.is_behind() {
            true => Some(Instant::now() + TRY_AGAIN),
            false => self.status_stale.then_some(self.status_after),
        }
    }
}
