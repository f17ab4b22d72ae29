//! Which attempts are followed by another one, when, and with what that begins; and how long lost ones are made again.

use super::super::retry::{MOST_LOST, delay_ms, instead_of_settling, resumes};
use super::*;
use crate::session::fixture::{bad_attempt, ended, lost};
use crate::session::{NextAttempt, SessionSpec, Wait};
use crate::task::{AgentEnd, AgentKind, CommandSpec, FailureReason, PromptBy, SuccessBy};

/// A session that allows each task so many retries, the first one after a second.
fn with_retries(most: u32) -> SessionSpec {
    let mut spec = spec(&["a", "b"]);
    spec.options.retry_delay_ms = 1000;
    for task in &mut spec.tasks {
        task.options.retry = Some(most);
    }
    spec
}

fn failed(reason: FailureReason) -> AttemptOutcome {
    let verdict = Verdict::Failed {
        reason,
        error: "it failed".into(),
    };
    AttemptOutcome {
        verdict,
        conversation_seen: true,
        ..bad_attempt()
    }
}

/// The wait after these events and such an end of the first attempt, if there is one.
fn wait_after(spec: &SessionSpec, more: &[EventKind], outcome: AttemptOutcome) -> Option<Wait> {
    let events = [&[preparing("a"), started("a", 1)], more, &[ended("a", outcome)]].concat();
    let mut state = state_after(spec, &events);
    let waits = instead_of_settling(spec, &state, 0)?;
    let at_ms = state.last_ms.unwrap();
    let kind = waits.clone();
    apply(&mut state, &Event { at_ms, kind }).unwrap();
    match waits {
        EventKind::TaskWaits { task, wait } if task == task_id("a") => {
            assert_eq!(wait.until_ms, at_ms + wait.delay_ms);
            Some(wait)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_what_may_come_to_another_end_is_tried_again() {
    use FailureReason::*;
    let table = [
        (Exit, true),
        (AgentError, true),
        (TimeOut, true),
        (IdleTimeOut, true),
        (Setup, true),
        (Verify, true),
        (Lost, true),
        (DeniedTools, false),
        (Login, false),
        (RateLimit, false),
        (Conflict, false),
        (Dependency, false),
        (Condition, false),
        (Provisioning, false),
        (Settling, false),
    ];
    for (reason, again) in table {
        let waits = wait_after(&with_retries(1), &[], failed(reason));
        assert_eq!(waits.is_some(), again, "{reason:?}");
        assert_eq!(wait_after(&with_retries(0), &[], failed(reason)), None);
        assert_eq!(wait_after(&spec(&["a", "b"]), &[], failed(reason)), None);
        if let Some(wait) = waits {
            assert_eq!((wait.next, wait.counts), (NextAttempt::Resume, true));
            assert_eq!(wait.why, "it failed");
            assert!((500..=1000).contains(&wait.delay_ms), "{}", wait.delay_ms);
        }
    }
    for verdict in [Verdict::Succeeded, Verdict::Stopped] {
        let outcome = AttemptOutcome {
            verdict,
            ..bad_attempt()
        };
        assert_eq!(wait_after(&with_retries(1), &[], outcome), None);
    }
}

#[test]
fn nothing_is_tried_again_that_is_to_stop() {
    let task = task_id("a");
    let limit = EventKind::CostLimitSet { max_cost_usd: 0.1 };
    for event in [STOP, EventKind::TaskStopAsked { task, now: false }, limit] {
        let outcome = AttemptOutcome {
            cost_usd: Some(0.2),
            ..failed(FailureReason::Exit)
        };
        assert!(wait_after(&with_retries(1), &[], outcome.clone()).is_some());
        assert_eq!(wait_after(&with_retries(1), &[event], outcome), None);
    }
}

#[test]
fn a_task_with_retries_left_stays_while_the_session_is_halted() {
    let halted = EventKind::SessionHalted {
        why: "no login".into(),
        ends_agents: false,
    };
    let outcome = failed(FailureReason::Exit);
    assert!(wait_after(&with_retries(1), from_ref(&halted), outcome.clone()).is_some());
    assert_eq!(wait_after(&with_retries(1), &[halted, STOP], outcome), None);
}

#[test]
fn retries_are_counted_and_each_waits_longer() {
    let spec = with_retries(3);
    let mut events = vec![];
    let mut delays = vec![];
    for number in 1..=4 {
        let attempt = [
            preparing("a"),
            started("a", number),
            ended("a", failed(FailureReason::Exit)),
        ];
        events.extend(attempt);
        let state = state_after(&spec, &events);
        assert_eq!(state.tasks[0].retries, number - 1);
        match instead_of_settling(&spec, &state, 0) {
            Some(EventKind::TaskWaits { task, wait }) => {
                delays.push(wait.delay_ms);
                let waited = EventKind::TaskWaited { task: task.clone() };
                events.extend([EventKind::TaskWaits { task, wait }, waited]);
            }
            other => assert_eq!((other, number), (None, 4)),
        }
    }
    for (delay, most) in delays.iter().zip([1000, 2000, 4000]) {
        assert!((most / 2..=most).contains(delay), "{delays:?}");
    }
    assert_eq!(delays.len(), 3);
}

#[test]
fn the_time_doubles_up_to_five_minutes_and_the_dice_take_up_to_a_half_of_it() {
    for (first, retries, most) in [
        (5000, 0, 5000),
        (5000, 1, 10_000),
        (5000, 5, 160_000),
        (5000, 6, 300_000),
        (5000, 63, 300_000),
        (5000, u32::MAX, 300_000),
        (0, 7, 0),
        (1, 0, 1),
        // Who wants to wait longer may.
        (600_000, 0, 600_000),
        (600_000, 3, 600_000),
        (u64::MAX, 9, u64::MAX),
    ] {
        assert_eq!(delay_ms(first, retries, 0), most, "{first} {retries}");
        assert_eq!(delay_ms(first, retries, 1000), most - most / 2);
        for dice in (0..10_000).step_by(7) {
            let delay = delay_ms(first, retries, dice);
            assert!((most - most / 2..=most).contains(&delay), "{delay}");
        }
    }
    let different: std::collections::BTreeSet<u64> = (0..100).map(|dice| delay_ms(5000, 0, dice * 31)).collect();
    assert!(different.len() > 50);
}

#[test]
fn the_next_attempt_goes_on_where_it_can() {
    let seen = |conversation_seen, conversation_gone| AttemptOutcome {
        conversation_seen,
        conversation_gone,
        ..failed(FailureReason::Exit)
    };
    let command = |resume: Option<Vec<String>>, success| {
        let mut spec = with_retries(1);
        spec.agent.kind = AgentKind::Command;
        spec.agent.command = Some(CommandSpec {
            args: vec![],
            prompt: PromptBy::Stdin,
            success,
            pty: false,
            resume,
        });
        spec
    };
    let mut fresh = with_retries(1);
    fresh.options.retry_fresh = true;
    let mut in_place = fresh.clone();
    in_place.repository = None;
    in_place.places.clear();
    let next = |spec: &SessionSpec, outcome| wait_after(spec, &[], outcome).unwrap().next;
    let table = [
        (with_retries(1), true, NextAttempt::Resume),
        (with_retries(1), false, NextAttempt::Anew),
        (fresh, true, NextAttempt::FromBase),
        (command(None, SuccessBy::Exit), true, NextAttempt::Anew),
        (command(Some(vec![]), SuccessBy::Exit), false, NextAttempt::Resume),
        (command(Some(vec![]), SuccessBy::StreamJson), false, NextAttempt::Anew),
        (command(Some(vec![]), SuccessBy::StreamJson), true, NextAttempt::Resume),
    ];
    for (spec, is_seen, expected) in table {
        assert_eq!(next(&spec, seen(is_seen, false)), expected, "{:?}", spec.agent);
    }
    let unstarted = AttemptOutcome {
        end: AgentEnd::NotStarted {
            error: "no program".into(),
            shortage: None,
        },
        ..seen(false, false)
    };
    assert_eq!(next(&with_retries(1), unstarted.clone()), NextAttempt::Anew);
    // Without a worktree there is no base to start from.
    let events = [
        EventKind::TaskPreparing {
            task: task_id("a"),
            site: None,
        },
        started("a", 1),
        ended("a", seen(true, false)),
    ];
    match instead_of_settling(&in_place, &state_after(&in_place, &events), 0) {
        Some(EventKind::TaskWaits { wait, .. }) => assert_eq!(wait.next, NextAttempt::Anew),
        other => panic!("{other:?}"),
    }
    // What it was to go on with is there still when the agent did not even start.
    let spec = with_retries(2);
    let wait = wait_after(&spec, &[], seen(true, false)).unwrap();
    let task = task_id("a");
    let second = [
        preparing("a"),
        started("a", 1),
        ended("a", seen(true, false)),
        EventKind::TaskWaits {
            task: task.clone(),
            wait,
        },
        EventKind::TaskWaited { task },
        preparing("a"),
    ];
    let state = state_after(&spec, &second);
    assert!(resumes(&spec, 0, &state.tasks[0]));
    let second = [&second[..], &[started("a", 2), ended("a", unstarted)]].concat();
    match instead_of_settling(&spec, &state_after(&spec, &second), 0) {
        Some(EventKind::TaskWaits { wait, .. }) => assert_eq!(wait.next, NextAttempt::Resume),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_conversation_that_is_gone_costs_neither_time_nor_a_retry() {
    for spec in [with_retries(0), with_retries(1)] {
        let gone = AttemptOutcome {
            conversation_gone: true,
            ..failed(FailureReason::AgentError)
        };
        let wait = wait_after(&spec, &[], gone.clone()).unwrap();
        assert_eq!(
            (wait.delay_ms, wait.next, wait.counts),
            (0, NextAttempt::Anew, false),
            "{wait:?}"
        );
        assert_eq!(wait_after(&spec, &[STOP], gone), None);
    }
}

#[test]
fn a_lost_attempt_goes_on_where_it_can_and_is_not_made_again_for_ever() {
    let spec = spec(&["a", "b"]);
    let mut events = vec![session_started()];
    for number in 1..MOST_LOST {
        let outcome = AttemptOutcome {
            conversation_seen: number > 1,
            ..AttemptOutcome::unseen(AgentEnd::Unknown, FailureReason::Lost, "its runner ended")
        };
        events.extend([preparing("a"), started("a", number)]);
        let input = Input::AttemptLost {
            task: 0,
            outcome: outcome.clone(),
        };
        let (decided, actions) = decide(&spec, &state_after(&spec, &events), input);
        assert_eq!((decided.first(), actions), (Some(&lost("a", outcome)), vec![]));
        events.extend(decided);
        let record = &state_after(&spec, &events).tasks[0];
        assert_eq!(resumes(&spec, 0, record), number > 1);
        assert_eq!((record.lost, record.retries), (number, 0));
        assert!(record.went_wrong.is_some());
    }
    events.extend([preparing("a"), started("a", MOST_LOST)]);
    let outcome = AttemptOutcome::unseen(AgentEnd::Unknown, FailureReason::Lost, "its runner ended");
    let input = Input::AttemptLost { task: 0, outcome };
    let (decided, actions) = decide(&spec, &state_after(&spec, &events), input);
    assert_eq!(actions, [Action::Settle { task: 0 }]);
    match decided.as_slice() {
        [EventKind::AttemptEnded { outcome, .. }] => assert_eq!(
            outcome.verdict,
            Verdict::Failed {
                reason: FailureReason::Lost,
                error: "10 attempts were cut off one after the other".into()
            }
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_waits_is_first_in_line_when_the_time_is_over_and_takes_no_place_before() {
    let mut spec = with_retries(1);
    spec.options.max_parallel = Some(1);
    let wait = wait_after(&spec, &[], failed(FailureReason::Exit)).unwrap();
    let task = task_id("b");
    let mut events = vec![
        preparing("b"),
        started("b", 1),
        ended("b", failed(FailureReason::Exit)),
        EventKind::TaskWaits {
            task: task.clone(),
            wait,
        },
    ];
    let chosen = |events: &[EventKind]| pool::next(&state_after(&spec, events), &spec.options);
    assert_eq!(chosen(&events), [0]);
    assert!(finish(&state_after(&spec, &[&[STOP], &events[..]].concat())).is_none());
    events.push(EventKind::TaskWaited { task });
    assert_eq!(chosen(&events), [1]);
}
