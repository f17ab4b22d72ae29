//! What a request to stop means: for the whole session, or for some of its tasks while the others go on. Pure.
//!
//! A task that runs is ended, one that is prepared is released when that is done, and one that waits is settled as
//! stopped by [`never_started`], which goes by the state alone: so it does not matter how a task came to wait, nor
//! whether the supervisor that was asked is the one that settles it.

use super::Action;
use crate::pool;
use crate::runner::Ending;
use crate::session::{EventKind, SessionSpec, SessionState, Settlement, TaskRecord, TaskState};
use crate::supervisor::request::Stop;

/// Whether a task that is being prepared, or waits for another attempt, is not to start after all.
pub(in crate::supervisor) fn is_unwanted(state: &SessionState, task: usize) -> bool {
    pool::is_closed(state) || state.tasks[task].stop_asked.is_some()
}

/// Whether all that stands in the way of another attempt is that the session is halted: whoever goes on with it finds the
/// task waiting for its turn.
pub(in crate::supervisor) fn is_only_halted(state: &SessionState, task: usize) -> bool {
    let stops = state.stop_asked.or(state.tasks[task].stop_asked).is_some();
    state.halted.is_some() && !stops && state.end.is_none() && state.limit_below(state.cost_usd).is_none()
}

/// What a request means.
pub(super) fn asked(spec: &SessionSpec, state: &SessionState, stop: &Stop) -> (Vec<EventKind>, Vec<Action>) {
    let how = match stop.now {
        true => Ending::AtOnce,
        false => Ending::Within {
            grace_ms: stop.grace_ms.unwrap_or(spec.options.grace_ms),
        },
    };
    let mut events = Vec::new();
    let mut actions = Vec::new();
    let mut take = |before: Option<bool>, event: EventKind, tasks: &[(usize, &TaskRecord)]| {
        let more = before.is_none_or(|before| stop.now && !before);
        if more {
            events.push(event);
        }
        // The runner keeps the shortest time of grace that it was told.
        if more || stop.grace_ms.is_some() {
            let running = tasks
                .iter()
                .filter(|(_, t)| matches!(t.state, TaskState::Running { .. }));
            actions.extend(running.map(|&(task, _)| Action::End { task, how }));
        }
    };
    let Some(named) = &stop.tasks else {
        let all: Vec<_> = state.tasks.iter().enumerate().collect();
        take(state.stop_asked, EventKind::StopAsked { now: stop.now }, &all);
        return (events, actions);
    };
    for id in named {
        match state.index_of(id).map(|task| (task, &state.tasks[task])) {
            // Also one whose agent is gone: whoever asks does not want to wait until there is room for its work.
            Some((task, record)) if record.settlement().is_none() => {
                let event = EventKind::TaskStopAsked {
                    task: id.clone(),
                    now: stop.now,
                };
                take(record.stop_asked, event, &[(task, record)]);
            }
            // It came to its end meanwhile, or never was one of this session.
            _ => {}
        }
    }
    (events, actions)
}

/// Settles the tasks that wait and were stopped. One in whose worktree an agent had been has its work committed first.
pub(in crate::supervisor) fn never_started(state: &SessionState) -> (Vec<EventKind>, Vec<Action>) {
    let mut events = Vec::new();
    let mut actions = Vec::new();
    if state.end.is_some() {
        return (events, actions);
    }
    for (task, record) in state.tasks.iter().enumerate() {
        let (TaskState::Pending { site }, true) = (&record.state, record.stop_asked.is_some()) else {
            continue;
        };
        events.push(match site {
            None => EventKind::TaskSettled {
                task: record.id.clone(),
                settlement: Settlement::stopped(),
            },
            Some(_) => {
                actions.push(Action::Settle { task });
                EventKind::TaskPreparing {
                    task: record.id.clone(),
                    site: site.clone(),
                }
            }
        });
    }
    (events, actions)
}
