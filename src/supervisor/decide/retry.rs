//! Whether an attempt that failed is followed by another one, after how long, and with what that begins. Pure: by the state
//! alone, in which the end of the attempt is the last thing that happened.
//!
//! An attempt that could not find the conversation it was to go on with is followed by one in a new conversation, at once
//! and for nothing: no work was done in it. How the times are spread follows from the random id of the conversation.

use super::refused::is_used_up;
use super::stopping::{is_only_halted, is_unwanted};
use crate::session::{EventKind, NextAttempt, SessionSpec, SessionState, TaskRecord, TaskState, Wait};
use crate::task::{AgentEnd, AgentKind, AgentSpec, AttemptOutcome, FailureReason, SuccessBy, Verdict};

/// The longest that a retry waits, unless the user wants the first one to wait longer, in milliseconds.
const LONGEST_MS: u64 = 5 * 60 * 1000;
/// So many attempts may be cut off one after the other: more are no accident.
pub(super) const MOST_LOST: u32 = 10;

/// That a task waits for another attempt, instead of being settled now that this one has ended.
pub(in crate::supervisor) fn instead_of_settling(
    spec: &SessionSpec,
    state: &SessionState,
    task: usize,
) -> Option<EventKind> {
    let record = &state.tasks[task];
    let TaskState::Settling { outcome, site } = &record.state else {
        return None;
    };
    let Verdict::Failed { error, .. } = &outcome.verdict else {
        return None;
    };
    let is_over = is_unwanted(state, task) && !is_only_halted(state, task);
    if is_over || !has_another(spec, record, task, (outcome, record.cost_usd)) {
        return None;
    }
    let waits = |delay_ms: u64, next: NextAttempt, counts: bool| EventKind::TaskWaits {
        task: record.id.clone(),
        wait: Wait {
            delay_ms,
            until_ms: state.last_ms.unwrap_or_default().saturating_add(delay_ms),
            why: error.clone(),
            next,
            counts,
        },
    };
    if outcome.conversation_gone {
        return Some(waits(0, NextAttempt::Anew, false));
    }
    let next = match (spec.options.retry_fresh, site) {
        (true, Some(_)) => NextAttempt::FromBase,
        (false, _) if is_known(&spec.agent_of(task), record, outcome) => NextAttempt::Resume,
        _ => NextAttempt::Anew,
    };
    let delay = delay_ms(spec.options.retry_delay_ms, record.retries, dice(record));
    Some(waits(delay, next, true))
}

/// Whether a task that has cost so much with an attempt that ended like that, in US dollars, may have another one.
pub(super) fn has_another(
    spec: &SessionSpec,
    record: &TaskRecord,
    task: usize,
    (outcome, cost_usd): (&AttemptOutcome, Option<f64>),
) -> bool {
    let Verdict::Failed { reason, .. } = outcome.verdict else {
        return false;
    };
    let most = spec.tasks[task].options.retry.unwrap_or(0);
    let is_left = outcome.conversation_gone || (may_help(reason) && record.retries < most);
    is_left && !is_used_up(spec, task, cost_usd)
}

/// Whether the next attempt at a task goes on with the conversation of the last one.
pub(in crate::supervisor) fn resumes(spec: &SessionSpec, task: usize, record: &TaskRecord) -> bool {
    record.next == NextAttempt::Resume && record.conversation.is_some() && can_resume(&spec.agent_of(task))
}

/// Whether another attempt may come to another end.
fn may_help(reason: FailureReason) -> bool {
    match reason {
        FailureReason::Exit
        | FailureReason::AgentError
        | FailureReason::TimeOut
        | FailureReason::IdleTimeOut
        | FailureReason::Setup
        | FailureReason::Verify
        | FailureReason::Lost => true,
        // The same would be refused again; what is waited for or needs the user is no affair of retries; and the rest is
        // of no attempt, or of pleach's own.
        FailureReason::DeniedTools
        | FailureReason::Login
        | FailureReason::RateLimit
        | FailureReason::Conflict
        | FailureReason::Dependency
        | FailureReason::Condition
        | FailureReason::Provisioning
        | FailureReason::Settling => false,
    }
}

fn can_resume(agent: &AgentSpec) -> bool {
    match agent.kind {
        AgentKind::Claude | AgentKind::Scripted => true,
        AgentKind::Command => agent.command.as_ref().is_some_and(|c| c.resume.is_some()),
    }
}

/// Whether there is a conversation that can be gone on with.
fn is_known(agent: &AgentSpec, record: &TaskRecord, outcome: &AttemptOutcome) -> bool {
    // An agent of the user's own need not print a stream that would say so.
    let tells = agent
        .command
        .as_ref()
        .is_none_or(|c| c.success == SuccessBy::StreamJson);
    can_resume(agent)
        && match outcome.end {
            // What it was to go on with is as it was.
            AgentEnd::NotStarted { .. } => record.next == NextAttempt::Resume,
            _ => outcome.conversation_seen || !tells,
        }
}

/// How long the next retry waits after so many: twice as long each time, up to a limit, and of that between a half and all,
/// as the dice fall. In milliseconds.
pub(super) fn delay_ms(first_ms: u64, retries: u32, dice: u64) -> u64 {
    const PARTS: u64 = 1000;
    let doubled = first_ms.saturating_mul(1_u64.checked_shl(retries).unwrap_or(u64::MAX));
    let most = doubled.min(LONGEST_MS.max(first_ms));
    let less = u128::from(most / 2) * u128::from(dice % (PARTS + 1)) / u128::from(PARTS);
    most - u64::try_from(less).unwrap_or_default()
}

/// Another number for each attempt of each conversation (splitmix64 of the bits of an id that was drawn at random).
fn dice(record: &TaskRecord) -> u64 {
    let (high, low) = record.conversation.unwrap_or_default().as_u64_pair();
    let mut z = (high ^ low).wrapping_add(u64::from(record.attempts).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
