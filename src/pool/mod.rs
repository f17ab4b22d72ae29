//! Which tasks start next, and which wait in vain. Pure: decided from the state alone, so the same state always gives the same choice.
//!
//! Called by the supervisor after every change. A task holds its place from the moment it is prepared until it is
//! settled: checking out and committing cost the same machine as the agents do.

mod dependencies;
pub mod resources;

pub use dependencies::{InVain, in_vain, to_retry};

use crate::session::{SessionOptions, SessionState, TaskState};
use crate::task::Outcome;

/// Whether no agent starts any more: the session is to stop, has cost too much, or has ended.
pub fn is_closed(state: &SessionState) -> bool {
    state.stop_asked.is_some()
        || state.end.is_some()
        || state.halted.is_some()
        || state.limit_below(state.cost_usd).is_some()
}

/// The indices of the pending tasks that may start now: those whose dependencies have all succeeded; first those that have
/// waited for another attempt, then the one with the highest priority, then the one that the longest chain of others waits
/// for, then as in the list.
pub fn next(state: &SessionState, options: &SessionOptions) -> Vec<usize> {
    match state.waiting_for {
        Some(_) => Vec::new(),
        None => ready(state, options),
    }
}

/// Those that could start if nothing were waited for.
pub fn ready(state: &SessionState, options: &SessionOptions) -> Vec<usize> {
    if is_closed(state) {
        return Vec::new();
    }
    let busy = state.tasks.iter().filter(|t| {
        !matches!(
            t.state,
            TaskState::Pending { .. } | TaskState::Waiting { .. } | TaskState::Settled { .. }
        )
    });
    let free = options
        .max_parallel
        .map_or(usize::MAX, |most| most.saturating_sub(busy.count()));
    if free == 0 {
        return Vec::new();
    }
    let is_ready = |task: &usize| {
        let record = &state.tasks[*task];
        matches!(record.state, TaskState::Pending { .. })
            && record.stop_asked.is_none()
            && state
                .graph
                .dependencies(*task)
                .iter()
                .all(|on| has_succeeded(state, *on))
    };
    let ready = || state.graph.order().iter().copied().filter(is_ready);
    let begun = |task: &usize| state.tasks[*task].is_between_attempts();
    // What is begun is brought to its end first.
    let first = ready().filter(begun);
    first.chain(ready().filter(|task| !begun(task))).take(free).collect()
}

fn has_succeeded(state: &SessionState, task: usize) -> bool {
    (state.tasks[task].settlement()).is_some_and(|settlement| settlement.outcome == Outcome::Succeeded)
}

/// What one agent needs, in bytes: 207 to 233 MB as measured, and half a gigabyte with its tools.
pub const MEMORY_OF_ONE: u64 = 512 << 20;

/// How many agents at once when the user does not say: they wait for the network most of the time, so two for each
/// core, as far as memory allows.
pub fn automatic(cores: usize, available_memory: Option<u64>) -> usize {
    let by_memory = available_memory.map_or(usize::MAX, |m| usize::try_from(m / MEMORY_OF_ONE).unwrap_or(usize::MAX));
    (2 * cores).min(by_memory).max(1)
}

#[cfg(test)]
mod tests;
