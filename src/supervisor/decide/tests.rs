//! What each input means in each situation; `play` shows what holds for any order of them.

use std::slice::from_ref;

use super::*;
use crate::session::fixture::{
    MADE, good_attempt, good_settlement, preparing, removed, session_ended, session_started, settled, site, spec,
    started, state_after, success, task_id,
};
use crate::session::{Event, TaskState, apply};

mod again;
mod cost;
mod dependencies;
mod play;
mod refused;
mod retry;
mod short;
mod stop;

const STOP: EventKind = EventKind::StopAsked { now: false };
const STOP_NOW: EventKind = EventKind::StopAsked { now: true };

/// What an input means in a session of the tasks `a` and `b` after these events. Whatever is to be recorded must be
/// legal.
fn decided(events: &[EventKind], input: Input) -> (Vec<EventKind>, Vec<Action>) {
    let spec = spec(&["a", "b"]);
    let mut state = state_after(&spec, events);
    let decided = decide(&spec, &state, input);
    for kind in &decided.0 {
        let kind = kind.clone();
        apply(&mut state, &Event { at_ms: MADE, kind }).unwrap();
    }
    decided
}

fn provisioned(result: Result<(), NoWorktree>) -> Input {
    Input::Provisioned { task: 0, result }
}

/// The first attempt as [`started`] records it.
fn attempt() -> NewAttempt {
    NewAttempt {
        number: 1,
        id: Uuid::from_u128(1),
        conversation: Uuid::from_u128(101),
        resumes: false,
        runner_pid: 70,
    }
}

fn ready() -> Input {
    Input::RunnerReady {
        task: 0,
        attempt: attempt(),
    }
}

fn failed_to_provision(error: &str) -> EventKind {
    settled("a", Settlement::failed(FailureReason::Provisioning, error))
}

#[test]
fn a_task_goes_from_its_worktree_to_its_end_one_step_at_a_time() {
    let way = success("a");
    let outcome = good_attempt();
    let settlement = good_settlement(WorktreeIntent::Remove);
    let (trash, ignored) = ("/src/app.pleach/.trash/x".into(), vec!["target/".into()]);
    let removal = Removal::Trashed { trash, ignored };
    let steps = [
        (provisioned(Ok(())), None, Some(Action::Start { task: 0, number: 1 })),
        (ready(), Some(1), Some(Action::Go { task: 0 })),
        (
            Input::AttemptEnded { task: 0, outcome },
            Some(2),
            Some(Action::Settle { task: 0 }),
        ),
        (
            Input::Settled { task: 0, settlement },
            Some(3),
            Some(Action::Remove { task: 0 }),
        ),
        (Input::Removed { task: 0, removal }, Some(4), None),
    ];
    let mut done = 1;
    for (input, event, action) in steps {
        let said = format!("{input:?}");
        let expected: Vec<EventKind> = event.map(|index: usize| way[index].clone()).into_iter().collect();
        let actions: Vec<Action> = action.into_iter().collect();
        assert_eq!(decided(&way[..done], input), (expected.clone(), actions), "{said}");
        done += expected.len();
    }
    assert_eq!(done, way.len());
}

#[test]
fn a_worktree_that_stays_or_never_was_is_not_removed() {
    for intent in [WorktreeIntent::None, WorktreeIntent::Keep("the task failed".into())] {
        let settlement = good_settlement(intent);
        let input = Input::Settled {
            task: 0,
            settlement: settlement.clone(),
        };
        assert_eq!(
            decided(&success("a")[..3], input),
            (vec![settled("a", settlement)], vec![])
        );
    }
    let why = "it is in use".to_owned();
    let input = Input::Removed {
        task: 0,
        removal: Removal::Kept(why.clone()),
    };
    let task = task_id("a");
    assert_eq!(
        decided(&success("a")[..4], input),
        (vec![EventKind::WorktreeKept { task, why }], vec![])
    );
}

#[test]
fn a_snapshot_is_made_of_the_attempt_it_was_due_for_while_that_runs() {
    let way = success("a");
    let due = |number| Input::SnapshotDue { task: 0, number };
    for steps in 0..way.len() {
        let runs = steps == 2;
        let snapshot = runs.then_some(Action::Snapshot { task: 0, number: 1 });
        let expected = (vec![], snapshot.into_iter().collect());
        assert_eq!(decided(&way[..steps], due(1)), expected, "{steps}");
        assert_eq!(decided(&way[..steps], due(2)), (vec![], vec![]), "{steps}");
    }
    let text = "it failed".to_owned();
    let task = Some(task_id("a"));
    let warned = EventKind::Warned {
        task,
        text: text.clone(),
    };
    let input = Input::TaskWarning { task: 0, text };
    assert_eq!(decided(&way[..2], input), (vec![warned], vec![]));
}

#[test]
fn a_taken_place_is_left_for_another_once() {
    let taken = || provisioned(Err(NoWorktree::Taken("the branch main-task-a".into())));
    let other = Site {
        branch: "main-task-a-12345678".into(),
        worktree: "/src/app.pleach/main-task-a-12345678".into(),
        ..site("a")
    };
    let (task, text) = (
        task_id("a"),
        "the branch main-task-a exists already: the task works on main-task-a-12345678 instead".to_owned(),
    );
    let events = vec![
        EventKind::Warned {
            task: Some(task.clone()),
            text,
        },
        EventKind::TaskPreparing {
            task,
            site: Some(other.clone()),
        },
    ];
    let site = Some(other);
    let again = Action::Provision { task: 0, site };
    assert_eq!(decided(&[preparing("a")], taken()), (events.clone(), vec![again]));
    let both = [vec![preparing("a")], events].concat();
    let failed = failed_to_provision("the branch main-task-a exists already");
    assert_eq!(decided(&both, taken()), (vec![failed], vec![]));
}

#[test]
fn a_worktree_that_cannot_be_made_fails_its_task() {
    let failed = provisioned(Err(NoWorktree::Failed("no room".into())));
    assert_eq!(
        decided(&[preparing("a")], failed),
        (vec![failed_to_provision("no room")], vec![])
    );
}

#[test]
fn nothing_more_starts_once_a_stop_is_asked_for() {
    let taken = NoWorktree::Taken("the branch main-task-a".into());
    let release = vec![Action::Release { task: 0 }];
    let released = vec![EventKind::TaskReleased { task: task_id("a") }];
    for stop in [STOP, STOP_NOW] {
        let stopping = [preparing("a"), stop.clone()];
        assert_eq!(decided(&stopping, provisioned(Ok(()))), (vec![], release.clone()));
        assert_eq!(decided(&stopping, ready()), (vec![], release.clone()));
        assert_eq!(
            decided(&stopping, provisioned(Err(taken.clone()))),
            (released.clone(), vec![])
        );
        assert_eq!(
            decided(&stopping, Input::Released { task: 0 }),
            (released.clone(), vec![])
        );
        let spec = spec(&["a", "b"]);
        assert_eq!(schedule(&spec, &state_after(&spec, &[stop])), (vec![], vec![]));
    }
}

#[test]
fn a_warning_is_recorded() {
    let text = "careful".to_owned();
    let warned = EventKind::Warned {
        task: None,
        text: text.clone(),
    };
    assert_eq!(decided(&[], Input::Warning(text)), (vec![warned], vec![]));
}

#[test]
fn chosen_tasks_are_prepared_at_their_places() {
    let mut limited = spec(&["a", "b"]);
    limited.options.max_parallel = Some(1);
    let site_of_a = Some(site("a"));
    let provision = vec![Action::Provision {
        task: 0,
        site: site_of_a,
    }];
    let state = state_after(&limited, &[]);
    assert_eq!(schedule(&limited, &state), (vec![preparing("a")], provision));
    let mut in_place = spec(&["a"]);
    in_place.repository = None;
    in_place.places.clear();
    let task = task_id("a");
    let expected = EventKind::TaskPreparing { task, site: None };
    let (events, actions) = schedule(&in_place, &state_after(&in_place, &[]));
    assert_eq!(
        (events, actions),
        (vec![expected], vec![Action::Provision { task: 0, site: None }])
    );
}

#[test]
fn a_session_ends_when_all_is_done_or_when_it_stops_and_nothing_is_at_work() {
    let spec = spec(&["a", "b"]);
    let after = |events: &[EventKind]| match finish(&state_after(&spec, events)) {
        None => None,
        Some(EventKind::SessionEnded { end, error }) => Some((end, error.is_some())),
        Some(other) => panic!("{other:?}"),
    };
    let both = [success("a"), success("b")].concat();
    let last = both.len() - 1;
    assert_eq!(after(&both), Some((SessionEnd::Completed, false)));
    assert_eq!(after(&both[..last]), None);
    assert_eq!(after(&success("a")), None);
    assert_eq!(after(&[session_started(), session_ended()]), None);
    for stop in [STOP, STOP_NOW] {
        assert_eq!(after(from_ref(&stop)), Some((SessionEnd::Stopped, true)));
        for steps in 1..5 {
            let at_work = [&success("a")[..steps], from_ref(&stop)].concat();
            assert_eq!(after(&at_work), None, "{steps}");
        }
        let half = [success("a"), vec![stop.clone()]].concat();
        assert_eq!(after(&half), Some((SessionEnd::Stopped, true)));
        // A stop that came too late changes nothing.
        let whole = [both[..last].to_vec(), vec![stop, removed("b")]].concat();
        assert_eq!(after(&whole), Some((SessionEnd::Completed, false)));
    }
}
