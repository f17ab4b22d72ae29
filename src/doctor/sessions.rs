//! The sessions: which cannot be read, which were interrupted, and whose agents go on with nobody to settle them.

use std::fs;
use std::io;

use uuid::Uuid;

use super::{Check, Finding, Level, Subject};
use crate::error::Error;
use crate::process::ProcessIdentity;
use crate::session::{Stored, all, read_json};
use crate::store::lock;
use crate::store::paths::{AttemptPaths, SessionPaths};
use crate::words::{count, quote};
use crate::worktree::naming::short;

/// Looks at all sessions, and gives those that can be read.
pub(super) fn look(subject: &Subject, found: &mut Vec<Finding>) -> Vec<Stored> {
    // That there is no place for them is said with the disks or with the repository.
    let Some(results) = &subject.results else {
        return Vec::new();
    };
    let sessions = match all(results) {
        Ok(sessions) => sessions,
        Err(e) => {
            found.push(Finding::refusal(Check::Sessions, Level::Problem, &Error::from(e)));
            return Vec::new();
        }
    };
    let before = found.len();
    let mut read = Vec::new();
    for (id, session) in sessions {
        match session {
            Ok(stored) => {
                let state = State::of(&stored, found);
                found.extend(judge(id, &state));
                read.push(stored);
            }
            Err(e) => {
                let paths = SessionPaths::of(results, id);
                found.push(
                    Check::Sessions
                        .problem(format!("session {} cannot be read: {e}", short(id)))
                        .hint(format!(
                            "keep it for a look at what happened, or move it away: {}",
                            quote(paths.dir())
                        )),
                );
            }
        }
    }
    if read.is_empty() && found.len() == before {
        found.push(Check::Sessions.ok("no session has been started here yet"));
    } else if found.len() == before {
        let running = read.iter().filter(|s| s.held && s.recorded.state.end.is_none()).count();
        found.push(Check::Sessions.ok(format!(
            "{}, {running} running; all can be read, and none was interrupted",
            count(read.len(), "session")
        )));
    }
    read
}

/// What matters of a session.
#[derive(Debug, Default)]
struct State {
    held: bool,
    ended: bool,
    torn: bool,
    settled: usize,
    tasks: usize,
    /// The runners that are at work, as far as they say who they are.
    runners: Vec<Option<i32>>,
}

impl State {
    fn of(stored: &Stored, found: &mut Vec<Finding>) -> Self {
        let recorded = &stored.recorded;
        let tasks = &recorded.state.tasks;
        let runners = if stored.held { Ok(Vec::new()) } else { runners(stored) };
        Self {
            held: stored.held,
            ended: recorded.state.end.is_some(),
            torn: recorded.torn,
            settled: tasks.iter().filter(|t| t.settlement().is_some()).count(),
            tasks: tasks.len(),
            runners: runners.unwrap_or_else(|e| {
                let dir = stored.paths.attempts();
                found.push(Check::Sessions.unseen(format!("cannot look at the attempts in {}: {e}", dir.display())));
                Vec::new()
            }),
        }
    }
}

/// The runners of a session that hold the lock of their attempt.
fn runners(stored: &Stored) -> io::Result<Vec<Option<i32>>> {
    let mut runners = Vec::new();
    for entry in fs::read_dir(stored.paths.attempts())? {
        let attempt = AttemptPaths::new(entry?.path());
        if lock::is_held(&attempt.lock())? {
            let who = read_json::<ProcessIdentity>(&attempt.identity());
            runners.push(who.ok().map(|who| who.pid));
        }
    }
    Ok(runners)
}

fn judge(id: Uuid, state: &State) -> Vec<Finding> {
    let mut found = Vec::new();
    let id = short(id);
    if state.held {
        return found;
    }
    if !state.ended {
        found.push(
            Check::Sessions
                .warning(format!(
                    "session {id} was interrupted: its supervisor is gone, {} of {} settled",
                    state.settled,
                    count(state.tasks, "task")
                ))
                .hint(format!("nothing of it is lost; to go on with it: pleach resume {id}")),
        );
    }
    if !state.runners.is_empty() {
        found.push(
            Check::Sessions
                .warning(format!(
                    "{} of session {id} still at work, without a supervisor: nobody settles what comes of it",
                    count(state.runners.len(), "agent")
                ))
                .hint(format!(
                    "what takes the session over settles it, too (pleach resume {id}); to end it now: pleach stop {id}"
                )),
        );
    }
    if state.torn {
        found.push(Check::Sessions.note(format!(
            "the journal of session {id} ends in a part of a line, which is left out: it was cut off while it wrote"
        )));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn what_becomes_of_sessions() {
        let levels = |state: State| -> Vec<Level> { judge(Uuid::nil(), &state).iter().map(|f| f.level).collect() };
        let ended = State {
            ended: true,
            ..State::default()
        };
        assert_eq!(levels(ended), []);
        assert_eq!(levels(State::default()), [Level::Warning]);
        // While somebody holds it the last line is being written.
        let held = State {
            held: true,
            torn: true,
            ..State::default()
        };
        assert_eq!(levels(held), []);
        let all = State {
            torn: true,
            runners: vec![Some(7), None, Some(9)],
            ..State::default()
        };
        let found = judge(Uuid::nil(), &all);
        assert_eq!(found.len(), 3);
        assert!(found[1].message.starts_with("3 agents of"), "{found:?}");
        assert!(
            found[1]
                .hint
                .as_deref()
                .is_some_and(|h| h.ends_with("pleach stop 00000000")),
            "{found:?}"
        );
        assert_eq!(found[2].level, Level::Note);
    }
}
