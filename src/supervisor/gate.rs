//! Holds tasks back while something is short: disk, memory, places among all agents, or what an action has just failed
//! of; while the service refuses agents; and for the time between the starts of two.
//!
//! What is enough is decided in `pool::resources`; here it is looked at, only when a task could start, and again every
//! second while it is waited for. After a failure the session waits longer each time. That it waits, and for what, is
//! journaled when that changes, not when a number in it does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::statvfs;
use tokio::time::Instant;
use uuid::Uuid;

use super::back_off::{BackOff as Service, Moment, in_words};
use super::decide::{Input, NoWorktree, Short};
use super::places;
use crate::pool;
use crate::pool::resources::{Free, Lack, lacking};
use crate::process::available_memory;
use crate::session::{EventKind, SessionOptions, SessionSpec, SessionState, TaskState, read_json};
use crate::store::lock::Lock;
use crate::store::paths::SessionPaths;
use crate::store::{Shortage, free_files, now_ms};
use crate::task::{AgentEnd, AttemptOutcome, FailureReason, Live, Verdict, counted_cost};
use crate::words::count;

/// How often it is looked again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The longest that is waited after a failure.
const LONGEST: Duration = Duration::from_secs(30);
/// How often runners tell what their agents do.
const LIVE_EVERY: Duration = Duration::from_millis(500);

/// At a known time too it is looked again so often: a machine that sleeps has clocks that do not agree.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(60);

/// The gate of one session.
pub(super) struct Gate {
    paths: SessionPaths,
    /// What the service has refused.
    service: Service,
    /// The limit that running agents come up against, and when that was looked at.
    strain: Option<(Instant, Option<String>)>,
    /// When an agent was started last.
    started: Option<Instant>,
    /// When the time between two starts is over, if that is what is waited for.
    stagger_over: Option<Instant>,
    /// How many tasks the service and the time between two starts leave room for.
    room: usize,
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
    /// What was refused, by its number.
    Refused(u32),
    /// Running agents are refused.
    Strain(String),
}

/// After something has failed.
struct BackOff {
    short: Short,
    wait: Duration,
    until: Instant,
}

impl Gate {
    /// For a session in the directory `session`, of which `state` is known.
    pub(super) fn new(spec: &SessionSpec, state: &SessionState, session: &Path) -> Self {
        let mut service = Service::new(Duration::from_millis(spec.options.retry_delay_ms));
        if let Some(limit) = &state.limit {
            service.go_on(limit, usual(spec), moment(Instant::now()));
        }
        Self {
            paths: SessionPaths::new(session),
            service,
            strain: None,
            started: state
                .last_start_ms
                .and_then(|at_ms| before(at_ms, spec.options.stagger_ms)),
            stagger_over: None,
            room: usize::MAX,
            directories: directories(spec, session),
            cause: None,
            back_off: None,
            looked: Instant::now(),
            places: Vec::new(),
            files_for: 0,
            unsettled: Vec::new(),
        }
    }

    /// Takes in what an input says of shortages and refusals, in the state before it.
    pub(super) fn notice(&mut self, spec: &SessionSpec, state: &SessionState, input: &Input, now: Instant) {
        match input {
            Input::RunnerReady { .. } => self.started = Some(now),
            Input::Provisioned {
                result: Err(NoWorktree::Short(short)),
                ..
            } => self.failed(short.clone(), now),
            Input::Unsettled { task, short, .. } => {
                self.unsettled.push(*task);
                self.failed(short.clone(), now);
            }
            Input::AttemptEnded { outcome, .. } => {
                if let Some(limit) = &outcome.limit {
                    self.service.refused(limit, running(state).count(), moment(now));
                } else if was_served(outcome) {
                    self.service.served(usual(spec));
                }
                match &outcome.end {
                    AgentEnd::NotStarted {
                        error,
                        shortage: Some(of),
                    } => {
                        let (of, error) = (*of, error.clone());
                        self.failed(Short { of, error }, now);
                    }
                    _ => self.works_again(now),
                }
            }
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
        let found = self.waits_for(spec, state, tasks, now);
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
        state: &SessionState,
        (ready, preparing): (usize, usize),
        now: Instant,
    ) -> Option<(Cause, String)> {
        (self.room, self.stagger_over) = (usize::MAX, None);
        let back_off = self.back_off.as_ref().filter(|b| b.until > now);
        if let Some(BackOff { short, .. }) = back_off.filter(|_| ready > 0 || !self.unsettled.is_empty()) {
            self.places.clear();
            return Some((Cause::Short(short.of), format!("{}: {}", short.of.name(), short.error)));
        }
        if ready == 0 {
            self.places.clear();
            return None;
        }
        if let Some(found) = self.refused(state, now) {
            self.places.clear();
            return Some(found);
        }
        self.room = self.room_for(spec, state, preparing, now);
        let ready = ready.min(self.room);
        if ready == 0 {
            // As when as many run as may: nothing is waited for.
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

    /// What the service refuses.
    fn refused(&mut self, state: &SessionState, now: Instant) -> Option<(Cause, String)> {
        if let Some((round, why)) = self.service.holds(moment(now)) {
            return Some((Cause::Refused(round), why.to_owned()));
        }
        let what = self.strain(state, now)?;
        let why = format!("{}: agents that run are refused", in_words(&what));
        Some((Cause::Strain(what), why))
    }

    /// The limit that a running agent comes up against now and tries again by itself, as its runner tells. That is looked
    /// at only before something starts, and not more often than runners tell.
    fn strain(&mut self, state: &SessionState, now: Instant) -> Option<String> {
        if let Some((looked, strain)) = &self.strain
            && now < *looked + LIVE_EVERY
        {
            return strain.clone();
        }
        let limited = running(state).find_map(|(id, number)| {
            let live: Live = read_json(&self.paths.attempt(id, number).live()).ok()?;
            Some(live.limited?.what)
        });
        self.service.strain(limited.is_some(), running(state).count());
        self.strain = Some((now, limited.clone()));
        limited
    }

    /// How many tasks may start as far as it is not for want of something.
    fn room_for(&mut self, spec: &SessionSpec, state: &SessionState, preparing: usize, now: Instant) -> usize {
        let room = self.service.room(preparing + running(state).count());
        let stagger = Duration::from_millis(spec.options.stagger_ms);
        if stagger.is_zero() || room == 0 {
            return room;
        }
        // What is being prepared starts at a time that is not known yet.
        let over = self.started.map(|started| started + stagger).filter(|over| *over > now);
        self.stagger_over = over.filter(|_| preparing == 0);
        usize::from(preparing == 0 && over.is_none())
    }

    /// How many tasks may start.
    pub(super) fn most(&self, spec: &SessionSpec) -> usize {
        let most = match spec.options.agents_of_all {
            Some(_) => self.places.len(),
            None => self.files_for,
        };
        most.min(self.room)
    }

    /// When to look again even if nothing happens.
    pub(super) fn due(&self) -> Option<Instant> {
        let back_off = self.back_off.as_ref().map(|b| b.until).filter(|t| *t > self.looked);
        match self.cause {
            None => self.stagger_over,
            Some(Cause::Short(_)) if back_off.is_some() => back_off,
            Some(Cause::Refused(_)) => self.service.until().map(|until| until.min(self.looked + LOOK_AT_CLOCK)),
            Some(_) => Some(self.looked + LOOK_AGAIN),
        }
    }
}

/// When that happened which is recorded with this time, unless it is longer ago than so long; both in milliseconds.
fn before(at_ms: u64, most_ms: u64) -> Option<Instant> {
    // By a clock that may have been set back: it is not taken to be yet to come.
    let ago = now_ms().saturating_sub(at_ms);
    let ago = Duration::from_millis(ago);
    Instant::now()
        .checked_sub(ago)
        .filter(|_| ago < Duration::from_millis(most_ms))
}

/// Now, by both clocks.
fn moment(now: Instant) -> Moment {
    Moment {
        now,
        wall_ms: now_ms(),
        chance: f64::from(Uuid::new_v4().as_fields().0) / (f64::from(u32::MAX) + 1.0),
    }
}

/// The attempts at work: the id of each task, and the attempt's number.
fn running(state: &SessionState) -> impl Iterator<Item = (&str, u32)> {
    state.tasks.iter().filter_map(|task| match &task.state {
        TaskState::Running { attempt, .. } => Some((task.id.as_ref(), attempt.number)),
        _ => None,
    })
}

/// How many agents run at once when nothing is refused.
fn usual(spec: &SessionSpec) -> usize {
    spec.options.max_parallel.unwrap_or(usize::MAX).min(spec.tasks.len())
}

/// Whether the service did for an attempt what it is there for, whatever came of that.
fn was_served(outcome: &AttemptOutcome) -> bool {
    match &outcome.verdict {
        Verdict::Succeeded => true,
        Verdict::Failed { reason, .. } => {
            *reason != FailureReason::Login && counted_cost(outcome.cost_usd).is_some_and(|usd| usd > 0.0)
        }
        Verdict::Stopped | Verdict::Skipped { .. } => false,
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
mod tests;
