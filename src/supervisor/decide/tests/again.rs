//! Attempts that were lost, tasks that are tried again, sessions that go on.

use super::*;
use crate::session::fixture::{bad_attempt, ended, lost, retried};

fn running() -> [EventKind; 2] {
    [preparing("a"), started("a", 1)]
}

fn lost_now() -> Input {
    Input::AttemptLost {
        task: 0,
        outcome: bad_attempt(),
    }
}

#[test]
fn a_lost_attempt_is_made_again_in_its_place() {
    let (events, actions) = decided(&running(), lost_now());
    assert_eq!(events[0], lost("a", bad_attempt()));
    let EventKind::Warned { task: Some(task), text } = &events[1] else {
        panic!("{events:?}");
    };
    assert_eq!((task, events.len(), actions), (&task_id("a"), 2, vec![]));
    assert_eq!(
        text,
        "attempt 1 was cut off with its runner; another is made in the same place"
    );

    let spec = spec(&["a", "b"]);
    let state = state_after(&spec, &[&running()[..], &events].concat());
    let (events, actions) = schedule(&spec, &state);
    assert_eq!(events[0], preparing("a"));
    let site = Some(site("a"));
    assert_eq!(actions[0], Action::Provision { task: 0, site });
    let state = state_after(
        &spec,
        &[&running()[..], &[lost("a", bad_attempt()), preparing("a")]].concat(),
    );
    let (_, actions) = decide(&spec, &state, provisioned(Ok(())));
    assert_eq!(actions, [Action::Start { task: 0, number: 2 }]);
}

#[test]
fn what_is_left_of_a_lost_attempt_is_said() {
    let outcome = AttemptOutcome {
        killed_processes: 2,
        left_processes: vec![7],
        ..bad_attempt()
    };
    let (events, _) = decided(&running(), Input::AttemptLost { task: 0, outcome });
    let said = |event: &EventKind| match event {
        EventKind::Warned { text, .. } => text.clone(),
        _ => String::new(),
    };
    assert!(said(&events[1]).contains("2 processes that it had left behind were ended"));
    assert_eq!(said(&events[2]), "processes that could not be ended: [7]");
}

#[test]
fn when_it_is_to_stop_the_work_of_a_lost_attempt_is_settled() {
    let task_asked = EventKind::TaskStopAsked {
        task: task_id("a"),
        now: false,
    };
    let stopped = AttemptOutcome {
        verdict: Verdict::Stopped,
        ..bad_attempt()
    };
    for asked in [STOP, task_asked] {
        let events = [&running()[..], &[asked]].concat();
        let expected = (vec![ended("a", stopped.clone())], vec![Action::Settle { task: 0 }]);
        assert_eq!(decided(&events, lost_now()), expected);
    }
}

#[test]
fn another_attempt_is_made_nowhere_else() {
    let events = [&running()[..], &[lost("a", bad_attempt()), preparing("a")]].concat();
    let taken = provisioned(Err(NoWorktree::Taken("the directory x".into())));
    let (events, actions) = decided(&events, taken);
    let EventKind::TaskSettled { settlement, .. } = &events[0] else {
        panic!("{events:?}");
    };
    assert_eq!(settlement.error.as_deref(), Some("the directory x exists already"));
    assert!(matches!(settlement.worktree, WorktreeIntent::Keep(_)));
    assert_eq!((events.len(), actions), (1, vec![]));
}

#[test]
fn a_session_goes_on_as_it_is_asked_to() {
    let failed = Settlement {
        outcome: Outcome::Failed,
        ..good_settlement(WorktreeIntent::Keep("the task failed".into()))
    };
    let good = good_settlement(WorktreeIntent::Keep("all are kept".into()));
    let mut events = vec![preparing("a"), preparing("b"), started("a", 1), started("b", 1)];
    events.extend([ended("a", bad_attempt()), ended("b", good_attempt())]);
    events.extend([
        settled("a", failed),
        settled("b", good),
        session_ended(),
        session_started(),
    ]);
    let limit = EventKind::CostLimitSet { max_cost_usd: 7.5 };
    for (retry_failed, max_cost_usd, expected) in [
        (false, None, vec![]),
        (true, None, vec![retried("a")]),
        (true, Some(7.5), vec![limit.clone(), retried("a")]),
        (false, Some(7.5), vec![limit]),
    ] {
        let wanted = GoOn {
            retry_failed,
            max_cost_usd,
        };
        let spec = spec(&["a", "b"]);
        let state = state_after(&spec, &events);
        let decided = go_on(&spec, &state, &wanted);
        assert_eq!(decided, expected);
        state_after(&spec, &[&events[..], &decided].concat());
    }
}
