//! What becomes of a task whose agent the service has refused: the attempt is no failure of the task, so it goes back to
//! wait for its turn, and none of its retries is spent. When nobody is logged in, nothing more starts at all. Pure.
//!
//! How long nothing starts after a limit is the gate's affair.

use super::{Action, limit_reached};
use crate::session::{EventKind, SessionSpec, SessionState};
use crate::task::{AttemptOutcome, FailureReason, Verdict};

/// What the end of an attempt means that was refused; nothing when it was not, or when the task has no other attempt to
/// come: then it is settled as any other.
pub(super) fn went_back(
    spec: &SessionSpec,
    state: &SessionState,
    task: usize,
    outcome: &AttemptOutcome,
) -> Option<(Vec<EventKind>, Vec<Action>)> {
    let id = || spec.tasks[task].id.clone();
    let cost_usd = state.tasks[task].cost_with(outcome.cost_usd);
    if !is_put_back(spec, state, task, (outcome, cost_usd)) {
        return None;
    }
    let limit = limit_reached(spec, state, task, outcome);
    let halted = halts(outcome).filter(|_| state.halted.is_none());
    // The warning stands where it is seen at once; the session ends only when the others have.
    let halted = halted.into_iter().flat_map(|why| {
        let text = why.clone();
        let ends_agents = false;
        [
            EventKind::Warned { task: None, text },
            EventKind::SessionHalted { why, ends_agents },
        ]
    });
    let ended = EventKind::AttemptEnded {
        task: id(),
        outcome: outcome.clone(),
    };
    let back = EventKind::TaskPutBack { task: id() };
    let events = [ended].into_iter().chain(limit).chain(halted).chain([back]);
    Some((events.collect(), Vec::new()))
}

/// Whether the task waits for its turn again after an attempt that ended like that, when it has cost so much with that
/// attempt, in US dollars.
pub(in crate::supervisor) fn is_put_back(
    spec: &SessionSpec,
    state: &SessionState,
    task: usize,
    (outcome, cost_usd): (&AttemptOutcome, Option<f64>),
) -> bool {
    let stops = state.stop_asked.or(state.tasks[task].stop_asked).is_some();
    is_refused(outcome) && !stops && !is_used_up(spec, task, cost_usd)
}

/// Whether the service has refused it.
pub(super) fn is_refused(outcome: &AttemptOutcome) -> bool {
    matches!(
        outcome.verdict,
        Verdict::Failed {
            reason: FailureReason::RateLimit | FailureReason::Login,
            ..
        }
    )
}

/// Whether nothing is left of what the attempts of a task may cost, when they have cost so much, in US dollars.
pub(super) fn is_used_up(spec: &SessionSpec, task: usize, cost_usd: Option<f64>) -> bool {
    let most = spec.tasks[task].options.max_cost_usd;
    most.zip(cost_usd).is_some_and(|(most, cost)| cost >= most)
}

/// Why nothing more starts after it, and what to do.
fn halts(outcome: &AttemptOutcome) -> Option<String> {
    match &outcome.verdict {
        Verdict::Failed {
            reason: FailureReason::Login,
            error,
        } => Some(format!(
            "not logged in ({error}): run claude and then /login, or set ANTHROPIC_API_KEY, and go on with the session then"
        )),
        _ => None,
    }
}
