//! What the end of an earlier supervisor meant for each task: from what is written down and what is found of the attempts
//! that were going on, what has happened meanwhile and what is to be done now. Pure.
//!
//! Nothing that was recorded as done is done again; what may or may not have been done is done in such a way that it
//! makes no difference.

use super::decide::{Action, Input, is_put_back};
use crate::runner::Ending;
use crate::session::{Attempt, SessionSpec, SessionState, TaskState, WorktreeFate};
use crate::task::AttemptOutcome;

/// What is found of an attempt that was recorded as started and not as ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    /// Its runner holds its lock.
    Lives,
    /// Its runner has written down how it ended.
    Ended(Box<AttemptOutcome>),
    /// Neither; processes of it may be left.
    Lost,
    /// Neither, and the machine was started anew since: whatever has a pid of it now is somebody else.
    LostWithTheMachine,
}

/// What every task needs. Inputs are for [`decide`](super::decide::decide), as if they came now; actions are to be carried
/// out as they are.
pub(super) fn recover(
    spec: &SessionSpec,
    state: &SessionState,
    found: impl Fn(usize, &Attempt) -> Found,
) -> (Vec<Input>, Vec<Action>) {
    let grace_ms = spec.options.grace_ms;
    let mut inputs = Vec::new();
    let mut actions = Vec::new();
    for (task, record) in state.tasks.iter().enumerate() {
        match &record.state {
            // Of its runner, if it had one, nobody has heard: it has not had the word, and never will.
            TaskState::Preparing { .. } => actions.push(Action::Release { task }),
            TaskState::Running { attempt, .. } => match found(task, attempt) {
                Found::Ended(outcome) => inputs.push(Input::AttemptEnded {
                    task,
                    outcome: *outcome,
                }),
                Found::Lives | Found::Lost => actions.push(Action::TakeOver { task, search: true }),
                Found::LostWithTheMachine => actions.push(Action::TakeOver { task, search: false }),
            },
            TaskState::Settling { outcome, .. } if is_put_back(spec, state, task, (outcome, record.cost_usd)) => {
                inputs.push(Input::LeftBehind { task });
            }
            TaskState::Settling { .. } => actions.push(Action::Settle { task }),
            TaskState::Settled {
                worktree: WorktreeFate::Removing,
                ..
            } => actions.push(Action::Remove { task }),
            TaskState::Pending { .. } | TaskState::Waiting { .. } | TaskState::Settled { .. } => {}
        }
        // Asked before the end, and perhaps not passed on.
        if let (TaskState::Running { .. }, Some(now)) = (&record.state, record.stop_asked) {
            let how = if now {
                Ending::AtOnce
            } else {
                Ending::Within { grace_ms }
            };
            actions.push(Action::End { task, how });
        }
    }
    (inputs, actions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::fixture::{
        bad_attempt, ended, good_attempt, good_settlement, kept, lost, preparing, released, session_started, settled,
        spec, started, state_after, success, task_id,
    };
    use crate::session::{EventKind, WorktreeIntent};
    use crate::task::{AgentEnd, FailureReason};

    /// What becomes of the only task after these events, as text.
    fn of(events: &[EventKind], found: &Found) -> String {
        let all = [&[session_started()], events].concat();
        let spec = spec(&["a"]);
        let (inputs, actions) = recover(&spec, &state_after(&spec, &all), |task, attempt| {
            assert_eq!((task, attempt.number), (0, 1));
            found.clone()
        });
        let inputs = inputs.iter().map(|input| match input {
            Input::AttemptEnded { task: 0, outcome } => format!("ended {:?}", outcome.end),
            Input::LeftBehind { task: 0 } => "left behind".into(),
            other => panic!("{other:?}"),
        });
        let actions = actions.iter().map(|action| format!("{action:?}"));
        inputs.chain(actions).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_was_going_on_is_undone_taken_over_or_done_again() {
        let running = [preparing("a"), started("a", 1)];
        let settling = [&running[..], &[ended("a", good_attempt())]].concat();
        let removing = success("a")[..4].to_vec();
        let stays = [
            &settling[..],
            &[settled("a", good_settlement(WorktreeIntent::Keep("asked".into())))],
        ]
        .concat();
        let lost = lost("a", bad_attempt());
        for (events, expected) in [
            (vec![], ""),
            (vec![preparing("a")], "Release { task: 0 }"),
            (vec![preparing("a"), released("a")], ""),
            // Prepared again: whether anything is undone is for whoever does it.
            (
                [&running[..], &[lost.clone(), preparing("a")]].concat(),
                "Release { task: 0 }",
            ),
            ([&running[..], &[lost]].concat(), ""),
            (settling.clone(), "Settle { task: 0 }"),
            (removing.clone(), "Remove { task: 0 }"),
            (success("a"), ""),
            ([&removing[..], &[kept("a")]].concat(), ""),
            (stays, ""),
        ] {
            assert_eq!(of(&events, &Found::Lost), expected, "{events:?}");
        }
    }

    #[test]
    fn what_was_refused_goes_back_also_when_only_the_refusal_was_recorded() {
        for (reason, expected) in [
            (FailureReason::RateLimit, "left behind"),
            (FailureReason::Login, "left behind"),
            (FailureReason::Exit, "Settle { task: 0 }"),
        ] {
            let outcome = AttemptOutcome::unseen(AgentEnd::Exited { code: 1 }, reason, "no");
            let ended = [preparing("a"), started("a", 1), ended("a", outcome)];
            assert_eq!(of(&ended, &Found::Lost), expected);
        }
    }

    #[test]
    fn a_running_attempt_is_what_is_found_of_it() {
        let running = [preparing("a"), started("a", 1)];
        for (found, expected) in [
            (Found::Lives, "TakeOver { task: 0, search: true }"),
            (Found::Lost, "TakeOver { task: 0, search: true }"),
            (Found::LostWithTheMachine, "TakeOver { task: 0, search: false }"),
            (Found::Ended(Box::new(good_attempt())), "ended Exited { code: 0 }"),
        ] {
            assert_eq!(of(&running, &found), expected);
        }
    }

    #[test]
    fn a_task_that_was_to_be_stopped_is_still_to_be() {
        let asked = EventKind::TaskStopAsked {
            task: task_id("a"),
            now: true,
        };
        let running = [preparing("a"), started("a", 1), asked];
        assert_eq!(
            of(&running, &Found::Lives),
            "TakeOver { task: 0, search: true }, End { task: 0, how: AtOnce }"
        );
    }
}
