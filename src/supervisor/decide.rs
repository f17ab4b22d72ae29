//! What an input means: events to record, and actions to carry out once they are durable. Pure.

mod dependencies;
mod refused;
mod retry;
mod stopping;

use std::path::PathBuf;

pub(super) use dependencies::skipped;
pub(super) use refused::is_put_back;
pub(super) use retry::{instead_of_settling, resumes};
pub(super) use stopping::{is_only_halted, is_unwanted, never_started};

use super::handlers;
use super::request::{GoOn, Stop};
use crate::pool;
use crate::runner::Ending;
use crate::session::{
    EventKind, STOPPED_ON_REQUEST, SessionEnd, SessionSpec, SessionState, Settlement, Site, TaskRecord, TaskState,
    WorktreeIntent,
};
use crate::store::Shortage;
use crate::task::{AttemptOutcome, FailureReason, Outcome, TaskId, Verdict};
use crate::words::dollars;
use crate::worktree::{Removal, naming::other_site};
use uuid::Uuid;

/// Something that happened outside of the loop. Tasks are given by their index.
#[derive(Debug)]
pub(super) enum Input {
    /// The commit is made that a task starts from which depends on several others.
    Combined { task: usize, base: String },
    /// A worktree was made, or not.
    Provisioned {
        task: usize,
        result: Result<(), NoWorktree>,
    },
    /// A runner waits for the word.
    RunnerReady { task: usize, attempt: NewAttempt },
    /// The runner is gone.
    AttemptEnded { task: usize, outcome: AttemptOutcome },
    /// The end of an attempt was recorded, and that its task goes back was not.
    LeftBehind { task: usize },
    /// The runner of an attempt that was taken over is gone, and nobody knows how it ended.
    AttemptLost { task: usize, outcome: AttemptOutcome },
    /// The work of a task is committed.
    Settled { task: usize, settlement: Settlement },
    /// The work of a task could not be committed for want of something; `settlement` is what it came to otherwise.
    Unsettled {
        task: usize,
        short: Short,
        settlement: Settlement,
    },
    /// A worktree that was not needed after all is undone.
    Released { task: usize },
    /// The worktree of a settled task was put away, or not.
    Removed { task: usize, removal: Removal },
    /// What was to be done for a settled task was done; or what failed of it.
    Handled { task: usize, error: Option<String> },
    /// It is time to keep what the agent of this attempt has done so far.
    SnapshotDue { task: usize, number: u32 },
    /// Somebody wants the session, or some of its tasks, to stop.
    StopAsked(Stop),
    /// What is asked for in this file was told.
    TakenUp(PathBuf),
    /// The user should know.
    Warning(String),
    /// The user should know, of a task.
    TaskWarning { task: usize, text: String },
}

impl Input {
    /// What it is, in words: for the log. Not what is in it, some of which an agent has said.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Combined { .. } => "what it starts from is made, or not",
            Self::Provisioned { result: Ok(()), .. } => "has its worktree",
            Self::Provisioned { .. } => "has no worktree",
            Self::RunnerReady { .. } => "its runner is ready",
            Self::AttemptEnded { .. } => "its attempt has ended",
            Self::AttemptLost { .. } => "its attempt is lost",
            Self::LeftBehind { .. } => "it was left between two attempts",
            Self::Settled { .. } => "its work is committed",
            Self::Unsettled { .. } => "its work cannot be committed yet",
            Self::Handled { .. } => "it is handled",
            Self::Released { .. } => "it is released",
            Self::Removed { .. } => "its worktree is put away, or stays",
            Self::SnapshotDue { .. } => "a snapshot is due",
            Self::StopAsked(_) => "a stop is asked for",
            Self::TakenUp(_) => "a request is taken up",
            Self::Warning(_) | Self::TaskWarning { .. } => "a warning",
        }
    }

    /// The task that it is about.
    pub(super) fn task(&self) -> Option<usize> {
        match self {
            Self::Combined { task, .. }
            | Self::Provisioned { task, .. }
            | Self::LeftBehind { task }
            | Self::RunnerReady { task, .. }
            | Self::AttemptEnded { task, .. }
            | Self::AttemptLost { task, .. }
            | Self::Settled { task, .. }
            | Self::Unsettled { task, .. }
            | Self::Handled { task, .. }
            | Self::Released { task }
            | Self::Removed { task, .. }
            | Self::SnapshotDue { task, .. }
            | Self::TaskWarning { task, .. } => Some(*task),
            Self::StopAsked(_) | Self::TakenUp(_) | Self::Warning(_) => None,
        }
    }
}

/// Why a task has no worktree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoWorktree {
    /// Somebody else has its name.
    Taken(String),
    /// What it is to start from conflicts, as said.
    Conflict(String),
    /// Something is lacking now.
    Short(Short),
    /// Anything else.
    Failed(String),
}

/// Something that was lacking, and what could not be done without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Short {
    pub of: Shortage,
    pub error: String,
}

/// An attempt whose runner is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewAttempt {
    pub number: u32,
    pub id: Uuid,
    pub conversation: Uuid,
    /// Whether that was begun before.
    pub resumes: bool,
    pub runner_pid: i32,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Make the commit that it starts from, of those that it depends on.
    Combine { task: usize },
    /// Make the worktree.
    Provision { task: usize, site: Option<Site> },
    /// Start a runner, which then waits for the word.
    Start { task: usize, number: u32 },
    /// Give the word.
    Go { task: usize },
    /// Let the runner go without the word, and undo the worktree.
    Release { task: usize },
    /// Keep what is in the worktree now, and again after a while.
    Snapshot { task: usize, number: u32 },
    /// End the agent.
    End { task: usize, how: Ending },
    /// Look after an attempt of an earlier supervisor; `search` for what is left of it when it is lost.
    TakeOver { task: usize, search: bool },
    /// Commit what the agent left.
    Settle { task: usize },
    /// Put the worktree away.
    Remove { task: usize },
    /// Do what is to be done for a settled task.
    Handle { task: usize },
    /// Remove the file of a request.
    Forget(PathBuf),
}

/// What `input` means in `state`.
pub(super) fn decide(spec: &SessionSpec, state: &SessionState, input: Input) -> (Vec<EventKind>, Vec<Action>) {
    dependencies::follow(spec, state, meaning(spec, state, input))
}

fn meaning(spec: &SessionSpec, state: &SessionState, input: Input) -> (Vec<EventKind>, Vec<Action>) {
    let id = |task: usize| spec.tasks[task].id.clone();
    match input {
        Input::Combined { task, .. } | Input::Provisioned { task, result: Ok(()) } if is_unwanted(state, task) => {
            (vec![], vec![Action::Release { task }])
        }
        Input::Combined { task, base } => dependencies::combined(spec, task, base),
        Input::Provisioned { task, result: Ok(()) } => {
            let number = state.tasks[task].attempts + 1;
            (vec![], vec![Action::Start { task, number }])
        }
        Input::Provisioned {
            task,
            result: Err(error),
        } => without_worktree(spec, state, task, error),
        Input::RunnerReady { task, .. } if is_unwanted(state, task) => (vec![], vec![Action::Release { task }]),
        Input::RunnerReady { task, attempt } => {
            let started = EventKind::AttemptStarted {
                task: id(task),
                number: attempt.number,
                attempt: attempt.id,
                conversation: attempt.conversation,
                runner_pid: attempt.runner_pid,
                resumes: attempt.resumes,
            };
            (vec![started], vec![Action::Go { task }])
        }
        Input::AttemptEnded { task, outcome } => attempt_ended(spec, state, task, outcome),
        Input::LeftBehind { task } => (vec![EventKind::TaskPutBack { task: id(task) }], vec![]),
        Input::AttemptLost { task, outcome } => lost(state, task, outcome),
        Input::Settled { task, settlement } => settled(id(task), task, settlement),
        Input::Unsettled { task, settlement, .. } => {
            // Who wants it to stop does not want it to wait; the work stays in the worktree.
            match state.stop_asked.or(state.tasks[task].stop_asked) {
                Some(_) => settled(id(task), task, settlement),
                None => (vec![], vec![]),
            }
        }
        Input::Released { task } => (vec![EventKind::TaskReleased { task: id(task) }], vec![]),
        Input::Removed { task, removal } => (vec![removed(id(task), removal)], vec![]),
        Input::Handled { task, error } => (handlers::handled(state, task, error).into_iter().collect(), vec![]),
        Input::SnapshotDue { task, number } => {
            let runs =
                matches!(&state.tasks[task].state, TaskState::Running { attempt, .. } if attempt.number == number);
            let snapshot = runs.then_some(Action::Snapshot { task, number });
            (vec![], snapshot.into_iter().collect())
        }
        Input::StopAsked(stop) => stopping::asked(spec, state, &stop),
        Input::TakenUp(path) => (vec![], vec![Action::Forget(path)]),
        Input::Warning(text) => (vec![EventKind::Warned { task: None, text }], vec![]),
        Input::TaskWarning { task, text } => {
            let task = Some(id(task));
            (vec![EventKind::Warned { task, text }], vec![])
        }
    }
}

/// What the end of an attempt means that its runner told of.
fn attempt_ended(
    spec: &SessionSpec,
    state: &SessionState,
    task: usize,
    mut outcome: AttemptOutcome,
) -> (Vec<EventKind>, Vec<Action>) {
    let id = spec.tasks[task].id.clone();
    if outcome.end.shortage().is_some() {
        // Its agent never ran: nothing was done that would be done twice.
        return (vec![EventKind::AttemptLost { task: id, outcome }], vec![]);
    }
    if let Some(back) = refused::went_back(spec, state, task, &outcome) {
        return back;
    }
    if refused::is_refused(&outcome) && state.stop_asked.or(state.tasks[task].stop_asked).is_some() {
        // Nobody wants it to go on.
        outcome.verdict = Verdict::Stopped;
    }
    let at_the_limit = limit_reached(spec, state, task, &outcome);
    let ended = EventKind::AttemptEnded { task: id, outcome };
    let events = [ended].into_iter().chain(at_the_limit).collect();
    (events, vec![Action::Settle { task }])
}

/// The tasks that start now: an event and an action for each.
pub(super) fn schedule(spec: &SessionSpec, state: &SessionState) -> (Vec<EventKind>, Vec<Action>) {
    let mut events = Vec::new();
    let mut actions = Vec::new();
    for task in pool::next(state, &spec.options) {
        let record = &state.tasks[task];
        let Some(site) = record.site() else {
            let (event, action) = dependencies::begin(spec, state, task);
            events.push(event);
            actions.push(action);
            continue;
        };
        // Where it has worked before it goes on.
        let site = Some(site.clone());
        events.push(EventKind::TaskPreparing {
            task: record.id.clone(),
            site: site.clone(),
        });
        actions.push(Action::Provision { task, site });
    }
    (events, actions)
}

/// What becomes of a task whose attempt is lost: another is made, unless its work is to be kept as it is, or too many are
/// lost.
fn lost(state: &SessionState, task: usize, outcome: AttemptOutcome) -> (Vec<EventKind>, Vec<Action>) {
    let record = &state.tasks[task];
    let id = record.id.clone();
    if state.stop_asked.is_some() || record.stop_asked.is_some() {
        let outcome = AttemptOutcome {
            verdict: Verdict::Stopped,
            ..outcome
        };
        return (
            vec![EventKind::AttemptEnded { task: id, outcome }],
            vec![Action::Settle { task }],
        );
    }
    if record.lost + 1 >= retry::MOST_LOST {
        let error = format!("{} attempts were cut off one after the other", record.lost + 1);
        let reason = FailureReason::Lost;
        let verdict = Verdict::Failed { reason, error };
        let outcome = AttemptOutcome { verdict, ..outcome };
        return (
            vec![EventKind::AttemptEnded { task: id, outcome }],
            vec![Action::Settle { task }],
        );
    }
    let ended = match outcome.killed_processes {
        0 => String::new(),
        1 => ", a process that it had left behind was ended".into(),
        many => format!(", {many} processes that it had left behind were ended"),
    };
    let text = format!(
        "attempt {} was cut off with its runner{ended}; another is made in the same place",
        record.attempts
    );
    let left = &outcome.left_processes;
    let stuck = (!left.is_empty()).then(|| format!("processes that could not be ended: {left:?}"));
    let said = [text].into_iter().chain(stuck).map(|text| EventKind::Warned {
        task: Some(id.clone()),
        text,
    });
    let mut events: Vec<EventKind> = said.collect();
    events.insert(0, EventKind::AttemptLost { task: id, outcome });
    (events, vec![])
}

/// What is changed for a session that goes on.
pub(super) fn go_on(spec: &SessionSpec, state: &SessionState, wanted: &GoOn) -> Vec<EventKind> {
    let limit = wanted
        .max_cost_usd
        .map(|max_cost_usd| EventKind::CostLimitSet { max_cost_usd });
    let failed = if wanted.retry_failed {
        pool::to_retry(state)
    } else {
        Vec::new()
    };
    let retried = failed.into_iter().map(|index| {
        let record = &state.tasks[index];
        let task = record.id.clone();
        match refused::is_used_up(spec, index, record.cost_usd) {
            false => EventKind::TaskRetried { task },
            true => EventKind::Warned {
                task: Some(task),
                text: "it is not tried again: what it may cost is used up (max_cost_usd)".into(),
            },
        }
    });
    limit.into_iter().chain(retried).collect()
}

/// What a request means that an earlier supervisor has not taken up. How agents are ended that still run follows from
/// the state.
pub(super) fn stop_before(spec: &SessionSpec, state: &SessionState, stop: &Stop) -> Vec<EventKind> {
    stopping::asked(spec, state, stop).0
}

/// Whether the session is at its end.
pub(super) fn finish(state: &SessionState) -> Option<EventKind> {
    if state.end.is_some() {
        return None;
    }
    let ended = |end, error| Some(EventKind::SessionEnded { end, error });
    if !state.is_quiet() {
        return None;
    }
    // A request that came when all was done has changed nothing, and neither has one for a task that was stopped by itself.
    let cut_short = |t: &TaskRecord| (t.settlement()).is_none_or(|s| s.outcome == Outcome::Stopped && !t.stopped_alone);
    let why = match state.stop_asked {
        Some(_) => Some(STOPPED_ON_REQUEST.to_owned()),
        None => state.halted.clone(),
    };
    if why.is_some() && state.tasks.iter().any(cut_short) {
        return ended(SessionEnd::Stopped, why);
    }
    if state.all_settled() {
        return ended(SessionEnd::Completed, None);
    }
    if let Some(why) = &state.halted {
        return ended(SessionEnd::Stopped, Some(why.clone()));
    }
    let limit = state.limit_below(state.cost_usd);
    limit.zip(state.cost_usd).and_then(|(limit, cost)| {
        let error = format!("cost limit of {} reached: {}", dollars(limit), dollars(cost));
        ended(SessionEnd::Stopped, Some(error))
    })
}

/// What to say when this end of an attempt takes the cost above the limit, and attempts are left that would have been made.
fn limit_reached(spec: &SessionSpec, state: &SessionState, task: usize, outcome: &AttemptOutcome) -> Option<EventKind> {
    let cost = state.cost_with(task, outcome)?;
    let limit = state.limit_below(Some(cost))?;
    let record = &state.tasks[task];
    let itself = (outcome, record.cost_with(outcome.cost_usd));
    let is_next = record.stop_asked.is_none()
        && (retry::has_another(spec, record, task, itself) || is_put_back(spec, state, task, itself));
    let waits = |task: &&TaskRecord| matches!(task.state, TaskState::Waiting { .. });
    let waiting = state.tasks.iter().filter(waits).count() + usize::from(is_next);
    let left = state.unstarted();
    if pool::is_closed(state) || left + waiting == 0 {
        return None;
    }
    let what = |number: usize, not: &str| match number {
        0 => None,
        1 => Some(format!("1 task is not {not}")),
        many => Some(format!("{many} tasks are not {not}")),
    };
    let what: Vec<String> = what(left, "started")
        .into_iter()
        .chain(what(waiting, "tried again"))
        .collect();
    let text = format!(
        "the cost limit of {} is reached ({}): {}",
        dollars(limit),
        dollars(cost),
        what.join(", ")
    );
    Some(EventKind::Warned { task: None, text })
}

fn without_worktree(
    spec: &SessionSpec,
    state: &SessionState,
    task: usize,
    error: NoWorktree,
) -> (Vec<EventKind>, Vec<Action>) {
    let id = spec.tasks[task].id.clone();
    let error = match error {
        NoWorktree::Taken(_) if is_unwanted(state, task) => {
            return (vec![EventKind::TaskReleased { task: id }], vec![]);
        }
        NoWorktree::Short(_) => return (vec![EventKind::TaskReleased { task: id }], vec![]),
        NoWorktree::Taken(what) if state.tasks[task].attempts > 0 => format!("{what} exists already"),
        NoWorktree::Taken(what) => {
            let other = state.tasks[task]
                .site()
                .and_then(|site| other_site(site, spec.session_id));
            match other {
                Some(site) => return elsewhere(id, task, &what, site),
                None => format!("{what} exists already"),
            }
        }
        NoWorktree::Conflict(error) => {
            let settlement = Settlement::failed(FailureReason::Conflict, error);
            return (vec![EventKind::TaskSettled { task: id, settlement }], vec![]);
        }
        NoWorktree::Failed(error) => error,
    };
    let mut settlement = Settlement::failed(FailureReason::Provisioning, error);
    if state.tasks[task].attempts > 0 {
        settlement.worktree = WorktreeIntent::Keep("an attempt was made in it before".into());
    }
    (vec![EventKind::TaskSettled { task: id, settlement }], vec![])
}

fn elsewhere(id: TaskId, task: usize, what: &str, site: Site) -> (Vec<EventKind>, Vec<Action>) {
    let text = format!("{what} exists already: the task works on {} instead", site.branch);
    let events = vec![
        EventKind::Warned {
            task: Some(id.clone()),
            text,
        },
        EventKind::TaskPreparing {
            task: id,
            site: Some(site.clone()),
        },
    ];
    let site = Some(site);
    (events, vec![Action::Provision { task, site }])
}

/// What a task came to is recorded, and its worktree put away if that is what it came to.
fn settled(id: TaskId, task: usize, settlement: Settlement) -> (Vec<EventKind>, Vec<Action>) {
    let remove = settlement.worktree == WorktreeIntent::Remove;
    let event = EventKind::TaskSettled { task: id, settlement };
    (
        vec![event],
        remove.then_some(Action::Remove { task }).into_iter().collect(),
    )
}

fn removed(task: TaskId, removal: Removal) -> EventKind {
    match removal {
        Removal::Trashed { trash, ignored } => EventKind::WorktreeRemoved { task, trash, ignored },
        Removal::Kept(why) => EventKind::WorktreeKept { task, why },
    }
}

#[cfg(test)]
mod tests;
