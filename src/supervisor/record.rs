//! Makes events durable, and keeps `status.json` in step with them.

use std::time::Duration;

use tokio::time::Instant;

use super::SupervisorError;
use crate::session::{Event, EventKind, SessionError, SessionSpec, SessionState, apply, document, recorded};
use crate::store::atomic::{self, Durability};
use crate::store::journal::JournalWriter;
use crate::store::now_ms;
use crate::store::paths::SessionPaths;

/// `status.json` is replaced at most this often.
const STATUS_EVERY: Duration = Duration::from_millis(100);
/// Of the time, writing `status.json` takes at most one part in this many.
const STATUS_SHARE: u32 = 20;

/// The only writer of a session's journal and status.
pub(super) struct Recorder {
    paths: SessionPaths,
    journal: JournalWriter,
    unwritten: Vec<Event>,
    status_stale: bool,
    status_after: Instant,
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
            torn,
            unwritten: Vec::new(),
            status_stale: true,
            status_after: Instant::now(),
            spec: past.spec,
            state: past.state,
        })
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

    /// Waits until all events are durable, then replaces `status.json` if it is time to.
    pub(super) fn commit(&mut self) -> Result<(), SupervisorError> {
        if !self.unwritten.is_empty() {
            let written = self.journal.append(&self.unwritten);
            written.map_err(SupervisorError::io("cannot write the journal"))?;
            self.unwritten.clear();
            self.status_stale = true;
        }
        let ended = self.state.end.is_some();
        if self.status_stale && (ended || self.status_after <= Instant::now()) {
            let started = Instant::now();
            let durability = if ended { Durability::Synced } else { Durability::Fast };
            let status = document(&self.spec, &self.state, true, |_| None);
            let written = atomic::write_json(&self.paths.status(), &status, durability);
            written.map_err(SupervisorError::io("cannot write status.json"))?;
            self.status_stale = false;
            self.status_after = Instant::now() + STATUS_EVERY.max(started.elapsed() * STATUS_SHARE);
        }
        Ok(())
    }

    /// When `status.json` should be replaced even if nothing more happens.
    pub(super) fn status_due(&self) -> Option<Instant> {
        self.status_stale.then_some(self.status_after)
    }
}
