//! The only code that changes the state of a session: one event at a time, and only along legal moves.
//!
//! Pure. The supervisor applies an event when it is durable; readers apply the same events from the journal.

use std::mem::replace;

use super::state::sum;
use super::{
    Attempt, Event, EventKind, NextAttempt, SessionState, Settlement, Site, TaskRecord, TaskState, WentWrong,
    WorktreeFate, WorktreeIntent,
};
use crate::task::{AttemptOutcome, Outcome, TaskId, Verdict, counted_cost};

/// An event that does not fit the state: the journal is damaged, or the program is wrong.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum IllegalMove {
    /// The event names a task that the session does not have.
    #[error("there is no task {0}")]
    NoSuchTask(TaskId),
    /// The task is in another state.
    #[error("task {task} is {state} and cannot become {event}")]
    Task {
        /// Which.
        task: TaskId,
        /// Where it stands.
        state: &'static str,
        /// Where the event would take it.
        event: &'static str,
    },
    /// Something happened after the end.
    #[error("the session had ended before")]
    AfterTheEnd,
}

/// Changes `state` as `event` says.
pub fn apply(state: &mut SessionState, event: &Event) -> Result<(), IllegalMove> {
    change(state, event)?;
    state.last_ms = Some(event.at_ms);
    Ok(())
}

fn change(state: &mut SessionState, event: &Event) -> Result<(), IllegalMove> {
    let at = event.at_ms;
    match &event.kind {
        EventKind::SessionStarted { supervisor, filters } => {
            unattended(state, at.saturating_sub(state.last_ms.unwrap_or(at)));
            state.supervisor = Some(supervisor.clone());
            state.filters.get_or_insert_with(|| filters.clone());
            state.started_ms.get_or_insert(at);
            // Who goes on with a session that had ended wants it to be tried now: the account may be another one.
            state.limit.take_if(|_| state.end.is_some());
            state.end = None;
            state.stop_asked = None;
            state.halted = None;
            state.waiting_for = None;
            return Ok(());
        }
        _ if state.end.is_some() => return Err(IllegalMove::AfterTheEnd),
        EventKind::StopAsked { now } => {
            state.stop_asked = Some(state.stop_asked.unwrap_or(false) || *now);
            state.tasks.iter_mut().for_each(asked_too);
        }
        EventKind::SessionEnded { end, error } => state.end = Some((*end, at, error.clone())),
        EventKind::SessionHalted { why, ends_agents } => halt(state, why, *ends_agents),
        EventKind::CostLimitSet { max_cost_usd } => state.max_cost_usd = Some(*max_cost_usd),
        EventKind::Waiting { why } => state.waiting_for.clone_from(why),
        EventKind::Warned { task: None, text } => state.warnings.push(text.clone()),
        EventKind::Warned { task: Some(id), text } => task(state, id)?.warnings.push(text.clone()),
        EventKind::TaskStopAsked { task: id, now } => {
            let all_stop = state.stop_asked.is_some();
            let record = task(state, id)?;
            record.stopped_alone |= record.stop_asked.is_none() && !all_stop && record.ended_for.is_none();
            record.stop_asked = Some(record.stop_asked.unwrap_or(false) || *now);
            asked_too(record);
        }
        EventKind::TaskPreparing { task: id, .. }
        | EventKind::TaskReleased { task: id }
        | EventKind::AttemptStarted { task: id, .. }
        | EventKind::AttemptEnded { task: id, .. }
        | EventKind::AttemptLost { task: id, .. }
        | EventKind::TaskWaits { task: id, .. }
        | EventKind::TaskWaited { task: id }
        | EventKind::TaskPutBack { task: id }
        | EventKind::TaskRetried { task: id }
        | EventKind::TaskSettled { task: id, .. }
        | EventKind::WorktreeRemoved { task: id, .. }
        | EventKind::WorktreeKept { task: id, .. }
        | EventKind::TaskHandled { task: id, .. } => {
            let record = task(state, id)?;
            let before = replace(&mut record.state, TaskState::Pending { site: None });
            match moved(&before, record, &event.kind, at) {
                Some(next) => {
                    record.state = next;
                    let spent = spend(record, &event.kind);
                    state.cost_usd = sum(state.cost_usd, spent);
                    if matches!(event.kind, EventKind::AttemptStarted { .. }) {
                        state.last_start_ms = Some(at);
                    }
                    if let EventKind::AttemptEnded { outcome, .. } | EventKind::AttemptLost { outcome, .. } =
                        &event.kind
                    {
                        match &outcome.limit {
                            Some(limit) => state.limit = Some(limit.clone()),
                            None if outcome.verdict == Verdict::Succeeded => state.limit = None,
                            None => {}
                        }
                    }
                }
                None => {
                    let error = IllegalMove::Task {
                        task: id.clone(),
                        state: name(&before),
                        event: target(&event.kind),
                    };
                    record.state = before;
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

/// Nothing more starts. Agents that nobody has asked to end, and that are ended for it, remember that.
fn halt(state: &mut SessionState, why: &str, ends_agents: bool) {
    let is_ended = |t: &&mut TaskRecord| t.stop_asked.is_none() && matches!(t.state, TaskState::Running { .. });
    if ends_agents && state.stop_asked.is_none() {
        let ended = state.tasks.iter_mut().filter(is_ended);
        ended.for_each(|task| task.ended_for = Some(why.to_owned()));
    }
    state.halted = Some(why.to_owned());
}

/// Somebody wants its agent to end, whatever else it was to end for.
fn asked_too(record: &mut TaskRecord) {
    record
        .ended_for
        .take_if(|_| matches!(record.state, TaskState::Running { .. }));
}

/// Counts what an attempt has cost that has ended, and gives it.
fn spend(record: &mut TaskRecord, event: &EventKind) -> Option<f64> {
    let (EventKind::AttemptEnded { outcome, .. } | EventKind::AttemptLost { outcome, .. }) = event else {
        return None;
    };
    let spent = record.spent(outcome.cost_usd);
    record.cost_usd = sum(record.cost_usd, spent);
    // An agent that could not even begin says that nothing was spent: that tells nothing of the conversation.
    if let Some(total) = counted_cost(outcome.cost_usd).filter(|total| *total > 0.0) {
        record.conversation_usd = Some(total);
    }
    spent
}

/// A supervisor takes up what another one left so long ago.
fn unattended(state: &mut SessionState, ms: u64) {
    for record in &mut state.tasks {
        if matches!(record.state, TaskState::Waiting { .. }) || record.is_between_attempts() {
            record.started_ms = record.started_ms.map(|started| started.saturating_add(ms));
        }
        if matches!(record.state, TaskState::Running { .. } | TaskState::Settling { .. }) {
            record.unattended_ms = record.unattended_ms.saturating_add(ms);
        }
    }
}

fn task<'s>(state: &'s mut SessionState, id: &TaskId) -> Result<&'s mut TaskRecord, IllegalMove> {
    let found = state.index_of(id).and_then(|index| state.tasks.get_mut(index));
    found.ok_or_else(|| IllegalMove::NoSuchTask(id.clone()))
}

/// The state that `event` leads to from `before`; `None` when it leads nowhere from there.
fn moved(before: &TaskState, record: &mut TaskRecord, event: &EventKind, at: u64) -> Option<TaskState> {
    Some(match (before, event) {
        // From preparing to preparing: the first place was taken.
        (TaskState::Pending { .. } | TaskState::Preparing { .. }, EventKind::TaskPreparing { site, .. }) => {
            record.started_ms.get_or_insert(at);
            TaskState::Preparing { site: site.clone() }
        }
        (TaskState::Preparing { site }, EventKind::TaskReleased { .. }) => pending(record, site),
        (TaskState::Settled { site, settlement, .. }, EventKind::TaskRetried { .. })
            if settlement.outcome != Outcome::Succeeded =>
        {
            record.settled_ms = None;
            record.stop_asked = None;
            record.stopped_alone = false;
            record.ended_for = None;
            record.is_handled = false;
            record.retries = 0;
            record.lost = 0;
            record.next = NextAttempt::Anew;
            record.went_wrong = None;
            pending(record, site)
        }
        // Nobody wants it any more, or there is no reason to do it.
        (TaskState::Pending { .. }, EventKind::TaskSettled { settlement, .. })
            if record.stop_asked.is_some() || settlement.outcome == Outcome::Skipped =>
        {
            record.settled_ms = Some(at);
            settled(before, record.attempts, settlement)
        }
        // One that waits for another attempt has its work committed when there is to be none any more.
        (
            TaskState::Preparing { .. } | TaskState::Settling { .. } | TaskState::Waiting { .. },
            EventKind::TaskSettled { settlement, .. },
        ) => {
            record.settled_ms = Some(at);
            settled(before, record.attempts, settlement)
        }
        (
            TaskState::Settled {
                worktree: WorktreeFate::Removing,
                ..
            },
            EventKind::WorktreeRemoved { trash, ignored, .. },
        ) => with_fate(
            before,
            WorktreeFate::Trashed {
                trash: trash.clone(),
                ignored: ignored.clone(),
            },
        ),
        (
            TaskState::Settled {
                worktree: WorktreeFate::Removing,
                ..
            },
            EventKind::WorktreeKept { why, .. },
        ) => with_fate(before, WorktreeFate::Kept(why.clone())),
        (TaskState::Settled { .. }, EventKind::TaskHandled { error, .. }) if !record.is_handled => {
            record.is_handled = true;
            record.warnings.extend(error.clone());
            before.clone()
        }
        _ => return attempted(before, record, event, at),
    })
}

/// The same for what happens to attempts and between them.
fn attempted(before: &TaskState, record: &mut TaskRecord, event: &EventKind, at: u64) -> Option<TaskState> {
    Some(match (before, event) {
        (
            TaskState::Preparing { site },
            EventKind::AttemptStarted {
                number,
                attempt,
                conversation,
                runner_pid,
                ..
            },
        ) if *number == record.attempts + 1 => {
            record.attempts = *number;
            record.ended_for = None;
            if record.conversation.replace(*conversation) != Some(*conversation) {
                record.conversation_usd = None;
            }
            TaskState::Running {
                site: site.clone(),
                attempt: Attempt {
                    number: *number,
                    id: *attempt,
                    conversation: *conversation,
                    runner_pid: *runner_pid,
                    started_ms: at,
                },
            }
        }
        (TaskState::Running { site, attempt }, EventKind::AttemptEnded { outcome, .. }) => {
            let ended = attempt.started_ms.saturating_add(outcome.duration_ms);
            record.unattended_ms = record.unattended_ms.min(at.saturating_sub(ended));
            count(record, outcome);
            record.is_set_up |= outcome.is_set_up;
            record.lost = 0;
            TaskState::Settling {
                site: site.clone(),
                outcome: outcome.clone(),
            }
        }
        (TaskState::Running { site, .. }, EventKind::AttemptLost { outcome, .. }) => {
            record.ended_for = None;
            count(record, outcome);
            cut_off(record, outcome);
            pending(record, site)
        }
        (TaskState::Settling { site, outcome }, EventKind::TaskWaits { wait, .. }) => {
            record.next = wait.next;
            // An attempt whose agent never ran leaves nothing that the next one would have to know.
            if outcome.end.is_of_agent() && !outcome.conversation_gone {
                record.went_wrong = Some(WentWrong {
                    why: wait.why.clone(),
                    step: outcome.steps.iter().find(|step| step.exit_code != Some(0)).cloned(),
                });
            }
            record.is_set_up &= wait.next != NextAttempt::FromBase;
            record.retries = record.retries.saturating_add(u32::from(wait.counts));
            TaskState::Waiting {
                site: site.clone(),
                outcome: outcome.clone(),
                wait: wait.clone(),
            }
        }
        (TaskState::Settling { site, outcome }, EventKind::TaskPutBack { .. }) => {
            // One that was to go on may have been refused before it could say that it does.
            let goes_on =
                outcome.conversation_seen || (record.next == NextAttempt::Resume && !outcome.conversation_gone);
            record.next = match goes_on {
                true => NextAttempt::Resume,
                false => NextAttempt::Anew,
            };
            // Whoever was in that conversation was told.
            record.went_wrong.take_if(|_| outcome.conversation_seen);
            pending(record, site)
        }
        // It is in the middle of its work: its time goes on.
        (TaskState::Waiting { site, .. }, EventKind::TaskWaited { .. }) => TaskState::Pending { site: site.clone() },
        _ => return None,
    })
}

/// Counts an attempt that has ended, by how far it came.
fn count(record: &mut TaskRecord, outcome: &AttemptOutcome) {
    if outcome.end.is_of_agent() {
        record.agent_runs += 1;
        record.attempts_ms = record.attempts_ms.saturating_add(outcome.duration_ms);
    }
    record.attempts_skipped += u32::from(matches!(outcome.verdict, Verdict::Skipped { .. }));
}

/// What the attempt after one begins with that nobody saw the end of. The agent may never have begun: then what it was to
/// begin with holds still.
fn cut_off(record: &mut TaskRecord, outcome: &AttemptOutcome) {
    if !outcome.end.is_of_agent() {
        return;
    }
    record.lost = record.lost.saturating_add(1);
    if outcome.conversation_seen {
        record.next = NextAttempt::Resume;
    } else if record.next != NextAttempt::Resume {
        // Of one that was to start from the base the worktree is as it began: it is not made anew once more.
        record.next = NextAttempt::Anew;
    }
    if let (Verdict::Failed { error, .. }, true) = (
        &outcome.verdict,
        outcome.conversation_seen || record.went_wrong.is_none(),
    ) {
        record.went_wrong = Some(WentWrong {
            why: error.clone(),
            step: None,
        });
    }
}

/// It waits for its turn, again, and how long it takes is counted from there: where an attempt was made before the next
/// one is made; else nothing of it is to be found anywhere.
fn pending(record: &mut TaskRecord, site: &Option<Site>) -> TaskState {
    record.started_ms = None;
    record.unattended_ms = 0;
    let site = site.clone().filter(|_| record.attempts > 0);
    TaskState::Pending { site }
}

fn settled(before: &TaskState, attempts: u32, settlement: &Settlement) -> TaskState {
    let (site, outcome) = match before {
        // What was made for it was undone.
        TaskState::Settling { outcome, .. } if settlement.outcome == Outcome::Skipped && settlement.head.is_none() => {
            (None, Some(outcome.clone()))
        }
        TaskState::Settling { site, outcome } | TaskState::Waiting { site, outcome, .. } => {
            (site.clone(), Some(outcome.clone()))
        }
        // There was an attempt before: what it left is there still.
        TaskState::Pending { site } | TaskState::Preparing { site } if attempts > 0 => (site.clone(), None),
        // Its worktree could not be made, or was undone.
        _ => (None, None),
    };
    TaskState::Settled {
        site,
        outcome,
        settlement: settlement.clone(),
        worktree: match &settlement.worktree {
            WorktreeIntent::None => WorktreeFate::None,
            WorktreeIntent::Remove => WorktreeFate::Removing,
            WorktreeIntent::Keep(why) => WorktreeFate::Kept(why.clone()),
        },
    }
}

fn with_fate(before: &TaskState, fate: WorktreeFate) -> TaskState {
    let mut after = before.clone();
    if let TaskState::Settled { worktree, .. } = &mut after {
        *worktree = fate;
    }
    after
}

fn name(state: &TaskState) -> &'static str {
    match state {
        TaskState::Pending { .. } => "pending",
        TaskState::Preparing { .. } => "preparing",
        TaskState::Running { .. } => "running",
        TaskState::Settling { .. } => "settling",
        TaskState::Waiting { .. } => "waiting",
        TaskState::Settled { .. } => "settled",
    }
}

fn target(event: &EventKind) -> &'static str {
    match event {
        EventKind::TaskPreparing { .. } => "preparing",
        EventKind::TaskReleased { .. }
        | EventKind::AttemptLost { .. }
        | EventKind::TaskWaited { .. }
        | EventKind::TaskPutBack { .. }
        | EventKind::TaskRetried { .. } => "pending",
        EventKind::TaskWaits { .. } => "waiting",
        EventKind::AttemptStarted { .. } => "running",
        EventKind::AttemptEnded { .. } => "settling",
        EventKind::TaskSettled { .. } => "settled",
        EventKind::WorktreeRemoved { .. } => "settled without a worktree",
        EventKind::WorktreeKept { .. } => "settled with a worktree",
        EventKind::TaskHandled { .. } => "handled",
        EventKind::SessionStarted { .. }
        | EventKind::StopAsked { .. }
        | EventKind::TaskStopAsked { .. }
        | EventKind::CostLimitSet { .. }
        | EventKind::SessionHalted { .. }
        | EventKind::Waiting { .. }
        | EventKind::Warned { .. }
        | EventKind::SessionEnded { .. } => "anything by that",
    }
}

#[cfg(test)]
mod tests;
