//! Stopping a session or some of its tasks, while the others go on.

use super::*;
use crate::session::fixture::ended;

/// How long the agents of these sessions may take when nobody says otherwise.
const USUAL: u64 = 10_000;

fn whole(now: bool, grace_ms: Option<u64>) -> Input {
    let tasks = None;
    Input::StopAsked(Stop { tasks, now, grace_ms })
}

fn of(ids: &[&str], now: bool, grace_ms: Option<u64>) -> Input {
    let tasks = Some(ids.iter().map(|id| task_id(id)).collect());
    Input::StopAsked(Stop { tasks, now, grace_ms })
}

fn within(task: usize, grace_ms: u64) -> Action {
    let how = Ending::Within { grace_ms };
    Action::End { task, how }
}

fn at_once(task: usize) -> Action {
    let how = Ending::AtOnce;
    Action::End { task, how }
}

fn stop_of(id: &str, now: bool) -> EventKind {
    let task = task_id(id);
    EventKind::TaskStopAsked { task, now }
}

fn stopped(id: &str) -> EventKind {
    settled(id, Settlement::stopped())
}

/// What is scheduled in a session of `a` and `b` after these events, with one place for agents.
fn scheduled(events: &[EventKind]) -> (Vec<EventKind>, Vec<Action>) {
    let mut spec = spec(&["a", "b"]);
    spec.options.max_parallel = Some(1);
    let mut state = state_after(&spec, events);
    let (mut events, mut actions) = never_started(&state);
    for kind in events.clone() {
        apply(&mut state, &Event { at_ms: MADE, kind }).unwrap();
    }
    let (more, then) = schedule(&spec, &state);
    for kind in more.clone() {
        apply(&mut state, &Event { at_ms: MADE, kind }).unwrap();
    }
    events.extend(more);
    actions.extend(then);
    (events, actions)
}

/// Any request, for a play.
pub(super) fn thrown(play: &mut play::Play) -> Stop {
    let ids = ["a", "b", "c", "d", "e"];
    let tasks = match play.throw(3) {
        0 => None,
        _ => Some(vec![task_id(ids[play.throw(5)]), task_id(ids[play.throw(5)])]),
    };
    Stop {
        tasks,
        now: play.throw(2) == 0,
        grace_ms: (play.throw(2) == 0).then_some(5),
    }
}

#[test]
fn a_stop_ends_the_agents_that_run_and_only_a_more_urgent_one_is_more() {
    let running = [preparing("a"), started("a", 1)];
    for (before, now, grace, events, actions) in [
        (None, false, None, vec![STOP], vec![within(0, USUAL)]),
        (None, true, None, vec![STOP_NOW], vec![at_once(0)]),
        (None, false, Some(7), vec![STOP], vec![within(0, 7)]),
        (Some(STOP), false, None, vec![], vec![]),
        (Some(STOP), false, Some(7), vec![], vec![within(0, 7)]),
        (Some(STOP), true, None, vec![STOP_NOW], vec![at_once(0)]),
        (Some(STOP_NOW), false, None, vec![], vec![]),
        (Some(STOP_NOW), true, None, vec![], vec![]),
    ] {
        let past: Vec<EventKind> = running.iter().cloned().chain(before).collect();
        let found = decided(&past, whole(now, grace));
        assert_eq!(found, (events, actions), "{past:?} {now} {grace:?}");
    }
    for steps in [0, 1, 3, 4, 5] {
        let (_, actions) = decided(&success("a")[..steps], whole(true, None));
        assert_eq!(actions, [], "{steps}");
    }
}

#[test]
fn a_task_that_is_stopped_is_ended_where_it_stands_and_the_other_is_left_alone() {
    let both = [preparing("a"), started("a", 1), preparing("b"), started("b", 1)];
    for (past, ids, now, grace, events, actions) in [
        (
            &both[..],
            &["b"][..],
            false,
            None,
            vec![stop_of("b", false)],
            vec![within(1, USUAL)],
        ),
        (&both, &["b"], true, None, vec![stop_of("b", true)], vec![at_once(1)]),
        (
            &both,
            &["a", "b"],
            false,
            Some(7),
            vec![stop_of("a", false), stop_of("b", false)],
            vec![within(0, 7), within(1, 7)],
        ),
        // It waits, or is being prepared: what is under way comes to its end first.
        (&both[..2], &["b"], false, None, vec![stop_of("b", false)], vec![]),
        (&both[..3], &["b"], true, None, vec![stop_of("b", true)], vec![]),
        (&both, &["nobody"], true, None, vec![], vec![]),
    ] {
        assert_eq!(decided(past, of(ids, now, grace)), (events, actions), "{ids:?} {now}");
    }
    for (before, now, grace, event, action) in [
        (false, false, None, None, None),
        (false, false, Some(7), None, Some(within(0, 7))),
        (false, true, None, Some(stop_of("a", true)), Some(at_once(0))),
        (true, true, None, None, None),
        (true, false, None, None, None),
    ] {
        let past = [&both[..2], &[stop_of("a", before)]].concat();
        let expected = (event.into_iter().collect(), action.into_iter().collect());
        assert_eq!(decided(&past, of(&["a"], now, grace)), expected, "{before} {now}");
    }
    // Its agent is gone, and its work may wait for room to be committed: whoever asks does not want that.
    let found = decided(&success("a")[..3], of(&["a"], true, None));
    assert_eq!(found, (vec![stop_of("a", true)], vec![]));
    for steps in [4, 5] {
        let found = decided(&success("a")[..steps], of(&["a"], true, None));
        assert_eq!(found, (vec![], vec![]), "{steps}");
    }
}

#[test]
fn a_task_that_is_stopped_before_it_runs_is_released_and_never_starts() {
    let stopping = [preparing("a"), stop_of("a", false)];
    let release = (vec![], vec![Action::Release { task: 0 }]);
    assert_eq!(decided(&stopping, provisioned(Ok(()))), release);
    assert_eq!(decided(&stopping, ready()), release);
    let released = EventKind::TaskReleased { task: task_id("a") };
    let taken = NoWorktree::Taken("the branch main-task-a".into());
    for input in [provisioned(Err(taken)), Input::Released { task: 0 }] {
        assert_eq!(decided(&stopping, input), (vec![released.clone()], vec![]));
    }
    // The other one takes its place.
    let site = Some(site("b"));
    let provision = Action::Provision { task: 1, site };
    for past in [[&stopping[..], &[released]].concat(), vec![stop_of("a", true)]] {
        assert_eq!(
            scheduled(&past),
            (vec![stopped("a"), preparing("b")], vec![provision.clone()])
        );
    }
    // So it is if the whole session is to stop too, and not when it has.
    assert_eq!(scheduled(&[stop_of("a", true), STOP]), (vec![stopped("a")], vec![]));
    assert_eq!(scheduled(&[stop_of("a", true), session_ended()]), (vec![], vec![]));
}

#[test]
fn what_an_earlier_attempt_left_is_committed_when_its_task_is_stopped_before_the_next() {
    let lost = EventKind::AttemptLost {
        task: task_id("a"),
        outcome: good_attempt(),
    };
    let waits = [
        preparing("a"),
        started("a", 1),
        lost,
        preparing("b"),
        stop_of("a", false),
    ];
    let settle = Action::Settle { task: 0 };
    assert_eq!(scheduled(&waits), (vec![preparing("a")], vec![settle]));
    // Once.
    let at_work = [&waits[..], &[preparing("a")]].concat();
    assert_eq!(scheduled(&at_work), (vec![], vec![]));
    let settlement = Settlement {
        worktree: WorktreeIntent::Keep("the task was stopped".into()),
        ..Settlement::stopped()
    };
    let input = Input::Settled { task: 0, settlement };
    let (events, actions) = decided(&at_work, input);
    assert_eq!(actions, []);
    let state = state_after(&spec(&["a", "b"]), &[&at_work[..], &events].concat());
    assert_eq!(state.tasks[0].site(), Some(&site("a")));
    assert_eq!(state.tasks[0].settlement().map(|s| s.outcome), Some(Outcome::Stopped));
}

#[test]
fn a_session_whose_tasks_were_stopped_by_name_is_completed() {
    let spec = spec(&["a", "b"]);
    let end = |events: &[EventKind]| match finish(&state_after(&spec, events)) {
        Some(EventKind::SessionEnded { end, .. }) => Some(end),
        _ => None,
    };
    let mut cut = good_attempt();
    cut.verdict = Verdict::Stopped;
    let kept = Settlement {
        worktree: WorktreeIntent::Keep("the task was stopped".into()),
        ..Settlement::stopped()
    };
    let a_ran = [
        preparing("a"),
        started("a", 1),
        stop_of("a", false),
        ended("a", cut),
        settled("a", kept),
    ];
    let b_never_did = [stop_of("b", false), stopped("b")];
    assert_eq!(end(&a_ran), None);
    assert_eq!(end(&[&a_ran[..], &success("b")].concat()), Some(SessionEnd::Completed));
    assert_eq!(end(&[&a_ran[..], &b_never_did].concat()), Some(SessionEnd::Completed));
    // A stop of all that came when nothing was left to stop.
    let late = [&a_ran[..], &success("b")[..4], &[STOP, removed("b")]].concat();
    assert_eq!(end(&late), Some(SessionEnd::Completed));
    // And one that did cut something short.
    assert_eq!(end(&[&a_ran[..], &[STOP]].concat()), Some(SessionEnd::Stopped));
    // Whoever has stopped all changes nothing of that by naming one besides.
    let named_too = |first: EventKind| [&success("b"), &a_ran[..2], &[first], &a_ran[2..]].concat();
    assert_eq!(end(&named_too(STOP)), Some(SessionEnd::Stopped));
    let halted = EventKind::SessionHalted {
        why: "task b failed (--fail-fast)".into(),
        ends_agents: true,
    };
    assert_eq!(end(&named_too(halted)), Some(SessionEnd::Stopped));
    assert_eq!(end(&named_too(stop_of("a", false))), Some(SessionEnd::Completed));
}
