//! Which tasks start next in every situation of a session, and how many agents at once when nobody says.

use super::*;
use crate::session::fixture::{
    ended, good_attempt, good_settlement, preparing, released, session_ended, session_started, settled, spec, started,
    state_after, success, task_id,
};
use crate::session::{EventKind, SessionSpec, Settlement, WorktreeIntent};
use crate::task::{AttemptOutcome, FailureReason};

/// The choice in a session of five tasks after these events.
fn chosen(events: &[EventKind], max_parallel: Option<usize>) -> Vec<usize> {
    chosen_within(events, max_parallel, None)
}

/// A session of tasks that depend on each other: `d` on `b` and `c`, these on `a`; `e` on nothing.
fn diamond() -> SessionSpec {
    let mut spec = spec(&["a", "b", "c", "d", "e"]);
    for (task, on) in [(1, &["a"][..]), (2, &["a"]), (3, &["b", "c"])] {
        spec.tasks[task].options.depends_on = on.iter().map(|id| task_id(id)).collect();
    }
    spec
}

#[test]
fn a_task_is_ready_when_all_that_it_depends_on_has_succeeded() {
    let spec = diamond();
    let ready_after = |events: &[EventKind]| ready(&state_after(&spec, events), &spec.options);
    assert_eq!(ready_after(&[]), [0, 4]);
    assert_eq!(ready_after(&success("a")[..3]), [4], "its work is not committed yet");
    // What becomes of its worktree does not matter.
    assert_eq!(ready_after(&success("a")[..4]), [1, 2, 4]);
    assert_eq!(ready_after(&[success("a"), success("c")].concat()), [1, 4]);
    assert_eq!(
        ready_after(&[success("a"), success("c"), success("b")].concat()),
        [3, 4]
    );
    let failed = settled("a", Settlement::failed(FailureReason::Exit, "no"));
    assert_eq!(ready_after(&[preparing("a"), failed]), [4]);
}

#[test]
fn priority_goes_first_then_the_longest_chain_then_the_list() {
    let mut spec = diamond();
    spec.tasks.swap(0, 4);
    let order = |spec: &SessionSpec| ready(&state_after(spec, &[]), &spec.options);
    assert_eq!(order(&spec), [4, 0]);
    spec.tasks[0].options.priority = Some(1);
    assert_eq!(order(&spec), [0, 4]);
    // It helps nobody over its dependencies.
    spec.tasks[3].options.priority = Some(9);
    assert_eq!(order(&spec), [0, 4]);
}

#[test]
fn of_ten_thousand_tasks_that_stand_on_each_other_the_first_is_next() {
    let ids: Vec<String> = (0..10_000).map(|n| format!("t{n}")).collect();
    let mut spec = spec(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    spec.options.max_parallel = Some(4);
    for n in 1..10_000_usize {
        spec.tasks[n].options.depends_on = vec![task_id(&ids[n / 2])];
    }
    let state = state_after(&spec, &[]);
    // Again and again: a look at every chain each time would take minutes.
    for _ in 0..100 {
        assert_eq!(next(&state, &spec.options), [0]);
    }
}

/// The same with a limit of the cost.
fn chosen_within(events: &[EventKind], max_parallel: Option<usize>, max_cost_usd: Option<f64>) -> Vec<usize> {
    let mut spec = spec(&["a", "b", "c", "d", "e"]);
    spec.options.max_parallel = max_parallel;
    spec.options.max_cost_usd = max_cost_usd;
    next(&state_after(&spec, events), &spec.options)
}

/// A task whose attempt ended with this cost.
fn cost(id: &str, cost_usd: Option<f64>) -> Vec<EventKind> {
    let outcome = AttemptOutcome {
        cost_usd,
        ..good_attempt()
    };
    vec![preparing(id), started(id, 1), ended(id, outcome)]
}

#[test]
fn pending_tasks_start_in_their_order_as_far_as_there_is_room() {
    for (most, expected) in [
        (None, &[0, 1, 2, 3, 4][..]),
        (Some(0), &[]),
        (Some(1), &[0]),
        (Some(3), &[0, 1, 2]),
        (Some(5), &[0, 1, 2, 3, 4]),
        (Some(99), &[0, 1, 2, 3, 4]),
    ] {
        assert_eq!(chosen(&[], most), expected, "{most:?}");
    }
}

#[test]
fn a_task_holds_its_place_from_being_chosen_until_it_is_settled() {
    let way = success("b");
    for (steps, free) in [(0, 2), (1, 1), (2, 1), (3, 1)] {
        assert_eq!(chosen(&way[..steps], Some(2)).len(), free, "{steps}");
        assert_eq!(chosen(&way[..steps], Some(1)).len(), free - 1, "{steps}");
    }
    // The removal of the worktree is not waited for.
    for steps in [4, 5] {
        assert_eq!(chosen(&success("b")[..steps], Some(2)), [0, 2], "{steps}");
    }
    let gone = [preparing("b"), settled("b", good_settlement(WorktreeIntent::None))];
    assert_eq!(chosen(&gone, Some(2)), [0, 2]);
    assert_eq!(chosen(&[preparing("b"), released("b")], Some(2)), [0, 1]);
}

#[test]
fn more_at_work_than_allowed_is_no_room() {
    let three = [preparing("a"), preparing("b"), preparing("c")];
    assert!(chosen(&three, Some(2)).is_empty());
    assert_eq!(chosen(&three, None), [3, 4]);
}

#[test]
fn nothing_starts_in_a_session_that_stops_or_has_ended() {
    for last in [
        EventKind::StopAsked { now: false },
        EventKind::StopAsked { now: true },
        session_ended(),
    ] {
        assert!(chosen(&[session_started(), last.clone()], None).is_empty(), "{last:?}");
        // A new start is a new beginning.
        assert_eq!(chosen(&[session_started(), last, session_started()], Some(1)), [0]);
    }
}

#[test]
fn nothing_starts_once_the_cost_is_above_its_limit() {
    let dime = |id| cost(id, Some(0.1));
    let three = [dime("a"), dime("b"), dime("c")].concat();
    for (events, limit, starts) in [
        (vec![], Some(0.1), true),
        (cost("a", Some(1e9)), None, true),
        (cost("a", Some(0.5)), Some(0.6), true),
        (cost("a", Some(0.5)), Some(0.5), true),
        (cost("a", Some(0.5)), Some(0.49), false),
        ([cost("a", Some(0.5)), cost("b", Some(0.5))].concat(), Some(0.9), false),
        // In binary fractions it is 0.30000000000000004.
        (three.clone(), Some(0.3), true),
        (three, Some(0.29), false),
        // An agent that runs has not told yet.
        (vec![preparing("a"), started("a", 1)], Some(0.001), true),
        (cost("a", None), Some(0.001), true),
        // Whatever an agent claims, it makes no room for others.
        ([cost("a", Some(0.5)), cost("b", Some(-9.0))].concat(), Some(0.4), false),
    ] {
        let chosen = chosen_within(&events, None, limit);
        assert_eq!(!chosen.is_empty(), starts, "{limit:?} {events:?}");
    }
    // It is over for good, also for a supervisor that comes later.
    let again = [cost("a", Some(2.0)), vec![session_ended(), session_started()]].concat();
    assert!(chosen_within(&again, None, Some(1.0)).is_empty());
}

#[test]
fn automatic_follows_cores_and_memory() {
    for (cores, memory, expected) in [
        (2, Some(24 << 30), 4),
        (16, Some(4 << 30), 8),
        (4, Some(100 << 20), 1),
        (4, None, 8),
        (0, None, 1),
        (1, Some(0), 1),
    ] {
        assert_eq!(automatic(cores, memory), expected);
    }
}
