//! Holds tasks back while something is short: disk, memory, places among all agents, or what an action has just failed
//! of.
//!
//! What is enough is decided in `pool::resources`; here it is looked at, only when a task could start, and again every
//! second while it is waited for. After a failure the session waits longer each time. That it waits, and for what, is
//! journaled when that changes, not when a number in it does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::statvfs;
use tokio::time::Instant;

use super::decide::{Input, NoWorktree, Short};
use super::places;
use crate::pool;
use crate::pool::resources::{Free, Lack, lacking};
use crate::process::available_memory;
use crate::session::{EventKind, SessionOptions, SessionSpec, SessionState, TaskState};
use crate::store::lock::Lock;
use crate::store::{Shortage, free_files};
use crate::task::AgentEnd;
use crate::words::count;

/// How often it is looked again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The longest that is waited after a failure.
const LONGEST: Duration = Duration::from_secs(30);

/// The gate of one session.
pub(super) struct Gate {
    /// The directories on whose disks there must be room.
    directories: Vec<PathBuf>,
    /// What is waited for.
    cause: Option<Cause>,
    back_off: Option<BackOff>,
    looked: Instant,
    /// Places that are held for tasks which start now.
    pub places: Vec<Lock>,
    /// For how many tasks there are files.
    files_for: usize,
    /// Tasks whose work could not be committed.
    unsettled: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Cause {
    Lack(Lack),
    Short(Shortage),
    Places,
}

/// After something has failed.
struct BackOff {
    short: Short,
    wait: Duration,
    until: Instant,
}

impl Gate {
    pub(super) fn new(spec: &SessionSpec, session: &Path) -> Self {
        Self {
            directories: directories(spec, session),
            cause: None,
            back_off: None,
            looked: Instant::now(),
            places: Vec::new(),
            files_for: 0,
            unsettled: Vec::new(),
        }
    }

    /// Takes in what an input says of shortages.
    pub(super) fn notice(&mut self, input: &Input, now: Instant) {
        match input {
            Input::Provisioned {
                result: Err(NoWorktree::Short(short)),
                ..
            } => self.failed(short.clone(), now),
            Input::Unsettled { task, short, .. } => {
                self.unsettled.push(*task);
                self.failed(short.clone(), now);
            }
            Input::AttemptEnded { outcome, .. } => match &outcome.end {
                AgentEnd::NotStarted {
                    error,
                    shortage: Some(of),
                } => {
                    let (of, error) = (*of, error.clone());
                    self.failed(Short { of, error }, now);
                }
                _ => self.works_again(now),
            },
            Input::Settled { .. } => self.works_again(now),
            _ => {}
        }
    }

    /// The next failure is a new one.
    fn works_again(&mut self, now: Instant) {
        self.back_off.take_if(|b| b.until <= now);
    }

    fn failed(&mut self, short: Short, now: Instant) {
        let wait = match &self.back_off {
            // Of the same round.
            Some(before) if before.until > now => return,
            Some(before) if before.until + 2 * LONGEST < now => LOOK_AGAIN,
            Some(before) => (before.wait * 2).min(LONGEST),
            None => LOOK_AGAIN,
        };
        let until = now + wait;
        self.back_off = Some(BackOff { short, wait, until });
    }

    /// The tasks to be settled once more: when the time has come, or at once when nobody wants to wait any longer.
    pub(super) fn settle_again(&mut self, state: &SessionState, now: Instant) -> Vec<usize> {
        let waits = self.back_off.as_ref().is_some_and(|b| b.until > now);
        let stops = |task: usize| state.stop_asked.or(state.tasks[task].stop_asked).is_some();
        // One that was stopped is settled already, if that was its last try.
        let is_settled = |task: usize| state.tasks[task].settlement().is_some();
        let (again, later) =
            (self.unsettled.iter().filter(|task| !is_settled(**task))).partition(|t| !waits || stops(**t));
        self.unsettled = later;
        again
    }

    /// Looks whether tasks may start, and gives the event of a change.
    pub(super) fn look(&mut self, spec: &SessionSpec, state: &SessionState, now: Instant) -> Option<EventKind> {
        self.looked = now;
        let preparing = state
            .tasks
            .iter()
            .filter(|t| matches!(t.state, TaskState::Preparing { .. }));
        let tasks = (pool::ready(state, &spec.options).len(), preparing.count());
        let found = self.waits_for(spec, tasks, now);
        let (cause, why) = found.unzip();
        // The state too: it may have been forgotten with a supervisor.
        let is_said = state.waiting_for.is_some() == cause.is_some();
        if cause == self.cause && is_said {
            return None;
        }
        self.cause = cause;
        Some(EventKind::Waiting { why })
    }

    fn waits_for(
        &mut self,
        spec: &SessionSpec,
        (ready, preparing): (usize, usize),
        now: Instant,
    ) -> Option<(Cause, String)> {
        let back_off = self.back_off.as_ref().filter(|b| b.until > now);
        if let Some(BackOff { short, .. }) = back_off.filter(|_| ready > 0 || !self.unsettled.is_empty()) {
            self.places.clear();
            return Some((Cause::Short(short.of), format!("{}: {}", short.of.name(), short.error)));
        }
        if ready == 0 {
            self.places.clear();
            return None;
        }
        let free = Free {
            files: free_files(),
            ..free(&spec.options, &self.directories)
        };
        if let Some((lack, why)) = lacking(&free, &spec.options) {
            self.places.clear();
            return Some((Cause::Lack(lack), why));
        }
        self.files_for = free.tasks(preparing);
        let ready = ready.min(self.files_for);
        let all = spec.options.agents_of_all.as_ref()?;
        let error = places::take(all, ready, &mut self.places).err();
        // Without files for them none would start.
        if !self.places.is_empty() || ready == 0 {
            return None;
        }
        let mut why = format!(
            "a free place among the {} of this machine (PLEACH_MAX_AGENTS)",
            count(all.most, "agent")
        );
        if let Some(e) = error {
            why.push_str(&format!(": {e}"));
        }
        Some((Cause::Places, why))
    }

    /// How many tasks may start.
    pub(super) fn most(&self, spec: &SessionSpec) -> usize {
        match spec.options.agents_of_all {
            Some(_) => self.places.len(),
            None => self.files_for,
        }
    }

    /// When to look again even if nothing happens.
    pub(super) fn due(&self) -> Option<Instant> {
        let back_off = self.back_off.as_ref().map(|b| b.until).filter(|t| *t > self.looked);
        match self.cause {
            None => None,
            Some(Cause::Short(_)) if back_off.is_some() => back_off,
            Some(_) => Some(self.looked + LOOK_AGAIN),
        }
    }
}

/// Where a session needs room: for worktrees, and for what it keeps.
fn directories(spec: &SessionSpec, results: &Path) -> Vec<PathBuf> {
    let worktrees = spec.repository.as_ref().map(|r| r.worktrees.clone());
    worktrees.into_iter().chain([results.to_owned()]).collect()
}

/// What the tasks of a session that keeps its results there would wait for now, in words.
pub fn would_wait(spec: &SessionSpec, results: &Path) -> Option<String> {
    let free = free(&spec.options, &directories(spec, results));
    lacking(&free, &spec.options).map(|(_, why)| why)
}

/// What is free of what is asked for.
fn free(options: &SessionOptions, directories: &[PathBuf]) -> Free {
    let free = |dir: &PathBuf| {
        let there = dir.ancestors().find(|p| p.is_dir())?;
        let disk = statvfs(there).ok()?;
        Some((dir.clone(), disk.f_bavail.saturating_mul(disk.f_frsize)))
    };
    let wanted = |least: u64| least > 0;
    let disks = directories.iter().filter(|_| wanted(options.min_free_disk_bytes));
    Free {
        disks: disks.filter_map(free).collect(),
        memory: available_memory().filter(|_| wanted(options.min_free_memory_bytes)),
        files: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::fixture::{good_attempt, good_settlement, spec, state_after};
    use crate::session::{Settlement, WorktreeIntent};
    use crate::task::FailureReason;

    fn short(of: Shortage) -> Input {
        let error = "no".into();
        Input::Provisioned {
            task: 0,
            result: Err(NoWorktree::Short(Short { of, error })),
        }
    }

    fn why(event: Option<EventKind>) -> Option<Option<String>> {
        event.map(|event| match event {
            EventKind::Waiting { why } => why,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn after_each_failure_it_waits_longer_up_to_a_limit_and_says_so_once() {
        let spec = spec(&["a", "b"]);
        let mut gate = Gate::new(&spec, Path::new("/"));
        let mut now = Instant::now();
        let mut events = Vec::new();
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            // Two of the same round.
            gate.notice(&short(Shortage::Disk), now);
            gate.notice(&short(Shortage::Disk), now);
            let state = state_after(&spec, &events);
            let said = gate.look(&spec, &state, now);
            assert_eq!(why(said.clone()), Some(Some("disk: no".into())));
            events.extend(said);
            assert_eq!(gate.look(&spec, &state_after(&spec, &events), now), None);
            let due = gate.due().unwrap();
            assert_eq!((due - now).as_secs(), seconds);
            now = due;
            let goes_on = gate.look(&spec, &state_after(&spec, &events), now);
            assert_eq!(why(goes_on.clone()), Some(None));
            events.extend(goes_on);
        }
        // What works in between makes the next failure a first one.
        let outcome = good_attempt();
        gate.notice(&Input::AttemptEnded { task: 0, outcome }, now);
        gate.notice(&short(Shortage::Files), now);
        gate.look(&spec, &state_after(&spec, &events), now);
        assert_eq!(gate.due(), Some(now + LOOK_AGAIN));
    }

    #[test]
    fn what_could_not_be_committed_is_tried_when_the_time_has_come_or_at_once_when_it_is_to_stop() {
        let spec = spec(&["a"]);
        let now = Instant::now();
        let unsettled = Input::Unsettled {
            task: 0,
            short: Short {
                of: Shortage::Disk,
                error: "no".into(),
            },
            settlement: Settlement::failed(FailureReason::Settling, "no"),
        };
        let running = state_after(&spec, &[]);
        let stops = state_after(&spec, &[EventKind::StopAsked { now: false }]);
        for (state, at, again) in [
            (&running, now, vec![]),
            (&running, now + LOOK_AGAIN, vec![0]),
            (&stops, now, vec![0]),
        ] {
            let mut gate = Gate::new(&spec, Path::new("/"));
            gate.notice(&unsettled, now);
            assert_eq!(gate.settle_again(state, at), again);
            assert_eq!(gate.unsettled.len(), 1 - again.len());
        }
        let mut gate = Gate::new(&spec, Path::new("/"));
        gate.notice(&unsettled, now);
        let settlement = good_settlement(WorktreeIntent::None);
        gate.notice(&Input::Settled { task: 0, settlement }, now + LOOK_AGAIN);
        assert!(gate.back_off.is_none());
    }

    #[test]
    fn who_has_nothing_to_start_waits_for_nothing() {
        let mut spec = spec(&["a"]);
        spec.options.min_free_disk_bytes = u64::MAX;
        let mut gate = Gate::new(&spec, Path::new("/"));
        let now = Instant::now();
        let waits = gate.look(&spec, &state_after(&spec, &[]), now);
        assert!(
            why(waits.clone())
                .flatten()
                .is_some_and(|why| why.starts_with("disk: "))
        );
        let stop = EventKind::StopAsked { now: false };
        let events: Vec<EventKind> = waits.into_iter().chain([stop]).collect();
        let goes = gate.look(&spec, &state_after(&spec, &events), now);
        assert_eq!(why(goes), Some(None));
        assert_eq!(gate.due(), None);
    }
}
