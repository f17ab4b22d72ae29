//! When the tasks go on that wait for another attempt: by a clock that does not jump.
//!
//! Each of them has its time from when this supervisor saw it waiting first: what is left of the wait by the clock of the
//! machine, and never more than the wait was. When there is to be no other attempt any more, because the session or the
//! task is to stop, it is settled as what its last one came to; when the session is only halted it waits for its turn. Pure but for what it remembers.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::decide::{Action, is_only_halted, is_unwanted};
use crate::session::{EventKind, SessionState, TaskState};

/// The waiting tasks of a session, by index.
#[derive(Debug, Default)]
pub(super) struct Waits {
    over: HashMap<usize, Instant>,
    /// Those that are being settled.
    given_up: HashSet<usize>,
}

impl Waits {
    /// The tasks whose time is over, and those to be settled. `clock_ms` is the time by the clock, in Unix milliseconds.
    pub(super) fn look(&mut self, state: &SessionState, now: Instant, clock_ms: u64) -> (Vec<EventKind>, Vec<Action>) {
        let waits = |task: &usize| matches!(state.tasks[*task].state, TaskState::Waiting { .. });
        self.over.retain(|task, _| waits(task));
        self.given_up.retain(waits);
        let (mut events, mut actions) = (Vec::new(), Vec::new());
        for (task, record) in state.tasks.iter().enumerate() {
            let TaskState::Waiting { wait, .. } = &record.state else {
                continue;
            };
            if is_only_halted(state, task) {
                self.over.remove(&task);
                let task = record.id.clone();
                events.push(EventKind::TaskWaited { task });
                continue;
            }
            if is_unwanted(state, task) {
                self.over.remove(&task);
                if self.given_up.insert(task) {
                    actions.push(Action::Settle { task });
                }
                continue;
            }
            let rest = wait.until_ms.saturating_sub(clock_ms).min(wait.delay_ms);
            let over = *self
                .over
                .entry(task)
                .or_insert_with(|| now + Duration::from_millis(rest));
            if over <= now {
                self.over.remove(&task);
                let task = record.id.clone();
                events.push(EventKind::TaskWaited { task });
            }
        }
        (events, actions)
    }

    /// When to look again even if nothing happens.
    pub(super) fn due(&self) -> Option<Instant> {
        self.over.values().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::fixture::{MADE, bad_attempt, ended, preparing, spec, started, state_after, task_id};
    use crate::session::{NextAttempt, Wait};

    fn waiting(more: &[EventKind]) -> SessionState {
        let wait = Wait {
            delay_ms: 5000,
            until_ms: MADE + 9000,
            why: "exited with code 3".into(),
            next: NextAttempt::Resume,
            counts: true,
        };
        let task = task_id("a");
        let waits = EventKind::TaskWaits { task, wait };
        let events = [
            &[preparing("a"), started("a", 1), ended("a", bad_attempt()), waits],
            more,
        ];
        state_after(&spec(&["a", "b"]), &events.concat())
    }

    #[test]
    fn it_goes_on_after_the_rest_of_its_time_whatever_the_clock_does() {
        let waited = vec![EventKind::TaskWaited { task: task_id("a") }];
        let state = waiting(&[]);
        for (clock, rest) in [
            (MADE + 4000, 5000),
            (MADE + 8000, 1000),
            // A clock that was set back, and one that was set forward.
            (MADE - 1_000_000, 5000),
            (MADE + 9000, 0),
            (u64::MAX, 0),
        ] {
            let (mut waits, now) = (Waits::default(), Instant::now());
            let rest = Duration::from_millis(rest);
            let (events, actions) = waits.look(&state, now, clock);
            assert_eq!((events.is_empty(), actions), (!rest.is_zero(), vec![]), "{clock}");
            if rest.is_zero() {
                assert_eq!((events, waits.due()), (waited.clone(), None));
                continue;
            }
            assert_eq!(waits.due(), Some(now + rest));
            // By now the clock says something else.
            let just_before = now + rest - Duration::from_millis(1);
            assert_eq!(waits.look(&state, just_before, u64::MAX), (vec![], vec![]));
            assert_eq!(waits.look(&state, now + rest, 0), (waited.clone(), vec![]));
            assert_eq!(waits.due(), None);
        }
    }

    #[test]
    fn who_is_to_stop_is_settled_once() {
        let (stop, task) = (EventKind::StopAsked { now: false }, task_id("a"));
        for event in [stop, EventKind::TaskStopAsked { task, now: true }] {
            let (mut waits, now) = (Waits::default(), Instant::now());
            waits.look(&waiting(&[]), now, MADE);
            let state = waiting(&[event]);
            let settle = vec![Action::Settle { task: 0 }];
            assert_eq!(waits.look(&state, now, u64::MAX), (vec![], settle));
            assert_eq!(waits.look(&state, now, u64::MAX), (vec![], vec![]));
            assert_eq!(waits.due(), None);
        }
    }

    #[test]
    fn in_a_session_that_is_halted_it_waits_for_its_turn() {
        let halted = EventKind::SessionHalted {
            why: "no login".into(),
            ends_agents: false,
        };
        let (mut waits, now, task) = (Waits::default(), Instant::now(), task_id("a"));
        let back = vec![EventKind::TaskWaited { task }];
        assert_eq!(waits.look(&waiting(&[halted]), now, MADE), (back, vec![]));
        assert_eq!(waits.due(), None);
    }
}
