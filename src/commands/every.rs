//! All sessions of a results directory that a command is for with `--all`: what is done to one does not depend on how
//! another fares, and what went wrong is said at the end.

use std::time::Instant;

use super::follow::{Followed, follow};
use super::list::{entry_of, unreadable};
use super::place::results_dir_here;
use super::status::say_how_to_go_on;
use super::{Context, output};
use crate::error::Error;
use crate::report::{self, ListDocument, ListEntry};
use crate::session::{StatusDocument, Stored, all};
use crate::store::paths::SessionPaths;

/// The sessions, newest first.
pub(super) struct Every {
    sessions: Vec<Stored>,
    entries: Vec<ListEntry>,
    interrupted: Vec<StatusDocument>,
    errors: Vec<(String, Error)>,
}

/// How following one of them ended.
pub(super) struct Seen {
    pub how: Followed,
    pub doc: StatusDocument,
}

impl Every {
    /// Those for which `wanted` holds. One that cannot be read may be one of them.
    pub(super) fn of(context: &Context, wanted: impl Fn(&Stored) -> bool) -> Result<Self, Error> {
        let mut every = Self {
            sessions: Vec::new(),
            entries: Vec::new(),
            interrupted: Vec::new(),
            errors: Vec::new(),
        };
        for (id, read) in all(&results_dir_here(context)?)? {
            match read {
                Ok(stored) if wanted(&stored) => every.sessions.push(stored),
                Ok(_) => {}
                Err(e) => every.failed(&id.to_string(), e.into()),
            }
        }
        let newest = |s: &Stored| std::cmp::Reverse(s.recorded.spec.created_ms);
        every.sessions.sort_by_key(newest);
        Ok(every)
    }

    fn failed(&mut self, id: &str, error: Error) {
        self.entries.push(unreadable(id, &error));
        self.errors.push((id.to_owned(), error));
    }

    /// Where they are.
    pub(super) fn paths(&self) -> Vec<SessionPaths> {
        self.sessions.iter().map(|stored| stored.paths.clone()).collect()
    }

    /// Does this to each; one for which it fails is left out from there on.
    pub(super) fn each(&mut self, mut act: impl FnMut(&Stored) -> Result<(), Error>) {
        for stored in std::mem::take(&mut self.sessions) {
            match act(&stored) {
                Ok(()) => self.sessions.push(stored),
                Err(e) => self.failed(&stored.recorded.spec.session_id.to_string(), e),
            }
        }
    }

    /// Follows each until it has ended, its supervisor is gone, or `deadline` has come.
    pub(super) fn follow(&mut self, deadline: Option<Instant>) -> Vec<Seen> {
        let mut seen = Vec::new();
        for stored in std::mem::take(&mut self.sessions) {
            match follow(&stored.paths, deadline) {
                Ok((how, doc)) => {
                    self.entries.push(entry_of(doc.clone()));
                    seen.push(Seen { how, doc });
                }
                Err(e) => self.failed(&stored.recorded.spec.session_id.to_string(), e),
            }
        }
        let is_interrupted = |s: &&Seen| s.doc.overall_status == crate::session::OverallStatus::Interrupted;
        self.interrupted = seen.iter().filter(is_interrupted).map(|s| s.doc.clone()).collect();
        seen
    }

    /// Whether something went wrong with one of them.
    pub(super) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Shows how each stands, as `list` does, and what went wrong.
    pub(super) fn show(&mut self, context: &Context, json: bool) -> Result<(), Error> {
        let sessions = std::mem::take(&mut self.entries);
        if json {
            report::json(&ListDocument { schema: 1, sessions }).map_err(output)?;
        } else if sessions.is_empty() {
            report::out("no session is running\n").map_err(output)?;
        } else {
            report::out(&report::list(&sessions)).map_err(output)?;
        }
        if !json {
            self.interrupted.iter().for_each(|doc| say_how_to_go_on(context, doc));
        }
        for (id, error) in &self.errors {
            report::error(&format!("session {id}: {error}"), &error.hint());
        }
        Ok(())
    }
}
