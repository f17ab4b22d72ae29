//! What becomes of tasks whose agents the service has refused.

use super::*;
use crate::session::fixture::{bad_attempt, ended};
use crate::task::UsageLimit;

fn refused(reason: FailureReason) -> AttemptOutcome {
    AttemptOutcome {
        verdict: Verdict::Failed {
            reason,
            error: "it said no".into(),
        },
        cost_usd: Some(0.5),
        limit: (reason == FailureReason::RateLimit).then(|| UsageLimit {
            what: "429".into(),
            resets_at_ms: None,
        }),
        ..bad_attempt()
    }
}

fn back() -> EventKind {
    EventKind::TaskPutBack { task: task_id("a") }
}

fn ends(outcome: &AttemptOutcome) -> Input {
    let outcome = outcome.clone();
    Input::AttemptEnded { task: 0, outcome }
}

#[test]
fn a_task_that_was_refused_goes_back_and_is_not_settled() {
    let limited = refused(FailureReason::RateLimit);
    let running = [preparing("a"), started("a", 1)];
    let decided = decided(&running, ends(&limited));
    assert_eq!(decided, (vec![ended("a", limited), back()], vec![]));
    let state = state_after(&spec(&["a", "b"]), &[&running[..], &decided.0].concat());
    assert_eq!(state.tasks[0].state, TaskState::Pending { site: Some(site("a")) });
    assert_eq!((state.tasks[0].attempts, state.tasks[0].retries), (1, 0));
    assert_eq!(state.limit.map(|limit| limit.what).as_deref(), Some("429"));
}

#[test]
fn one_that_was_to_go_on_and_was_refused_before_it_began_goes_on_later() {
    use crate::session::{NextAttempt, Wait};
    let wait = Wait {
        delay_ms: 0,
        until_ms: MADE,
        why: "exited with code 3".into(),
        next: NextAttempt::Resume,
        counts: true,
    };
    let task = task_id("a");
    let waits = EventKind::TaskWaits {
        task: task.clone(),
        wait,
    };
    let waited = EventKind::TaskWaited { task };
    let first = [
        preparing("a"),
        started("a", 1),
        ended("a", bad_attempt()),
        waits,
        waited,
    ];
    for (gone, next) in [(false, NextAttempt::Resume), (true, NextAttempt::Anew)] {
        let limited = AttemptOutcome {
            conversation_gone: gone,
            ..refused(FailureReason::RateLimit)
        };
        let second = [preparing("a"), started("a", 2), ended("a", limited), back()];
        let state = state_after(&spec(&["a", "b"]), &[&first[..], &second].concat());
        assert_eq!(state.tasks[0].next, next);
        // It has not been told yet what went wrong before.
        assert!(state.tasks[0].went_wrong.is_some());
    }
}

#[test]
fn without_a_login_nothing_more_starts_and_the_session_ends_when_it_is_quiet() {
    let out = refused(FailureReason::Login);
    let spec = spec(&["a", "b", "c"]);
    let running = [preparing("a"), started("a", 1), preparing("b"), started("b", 1)];
    let (events, actions) = decide(&spec, &state_after(&spec, &running), ends(&out));
    let why = "not logged in (it said no): run claude and then /login, or set ANTHROPIC_API_KEY, and go on \
               with the session then"
        .to_owned();
    let text = why.clone();
    let halted = EventKind::SessionHalted {
        why: why.clone(),
        ends_agents: false,
    };
    let expected = vec![
        ended("a", out.clone()),
        EventKind::Warned { task: None, text },
        halted,
        back(),
    ];
    assert_eq!((&events, actions), (&expected, vec![]));
    let halted = [&running[..], &events].concat();
    let state = state_after(&spec, &halted);
    assert_eq!((schedule(&spec, &state), finish(&state)), ((vec![], vec![]), None));
    // The other one too: it is said once.
    let outcome = out.clone();
    let (events, _) = decide(&spec, &state, Input::AttemptEnded { task: 1, outcome });
    let back = EventKind::TaskPutBack { task: task_id("b") };
    assert_eq!(events, vec![ended("b", out), back]);
    let quiet = [halted, events].concat();
    let end = EventKind::SessionEnded {
        end: SessionEnd::Stopped,
        error: Some(why),
    };
    assert_eq!(finish(&state_after(&spec, &quiet)), Some(end));
    // Whoever goes on with it begins anew.
    let again = state_after(&spec, &[quiet, vec![session_started()]].concat());
    assert_eq!(schedule(&spec, &again).1.len(), 3);
}

#[test]
fn a_refused_task_that_is_to_stop_is_stopped() {
    let limited = refused(FailureReason::RateLimit);
    let stopped = AttemptOutcome {
        verdict: Verdict::Stopped,
        ..limited.clone()
    };
    let named = EventKind::TaskStopAsked {
        task: task_id("a"),
        now: false,
    };
    for stop in [STOP, STOP_NOW, named] {
        let events = [preparing("a"), started("a", 1), stop];
        let expected = (vec![ended("a", stopped.clone())], vec![Action::Settle { task: 0 }]);
        assert_eq!(decided(&events, ends(&limited)), expected);
    }
}

#[test]
fn a_task_that_has_used_up_what_it_may_cost_goes_on_no_more() {
    let limited = refused(FailureReason::RateLimit);
    let mut spec = spec(&["a", "b"]);
    let running = [preparing("a"), started("a", 1)];
    for (most, goes_on) in [(0.4, false), (0.5, false), (0.6, true)] {
        spec.tasks[0].options.max_cost_usd = Some(most);
        let (events, actions) = decide(&spec, &state_after(&spec, &running), ends(&limited));
        assert_eq!(
            (events.contains(&back()), actions.is_empty()),
            (goes_on, goes_on),
            "{most}"
        );
        // Nor is it tried again when the user wants failed ones to be.
        let settled = settled("a", Settlement::failed(FailureReason::RateLimit, "no"));
        let past = [&running[..], &[ended("a", limited.clone()), settled]].concat();
        let wanted = GoOn {
            retry_failed: true,
            max_cost_usd: None,
        };
        let events = go_on(&spec, &state_after(&spec, &past), &wanted);
        let retried = EventKind::TaskRetried { task: task_id("a") };
        assert_eq!(events.contains(&retried), goes_on, "{most}");
        assert_eq!(events.len(), 1, "otherwise it is said why");
    }
}

#[test]
fn a_refusal_that_takes_the_cost_above_the_limit_of_the_session_says_so() {
    let limited = refused(FailureReason::RateLimit);
    let mut spec = spec(&["a", "b"]);
    spec.options.max_cost_usd = Some(0.4);
    let running = [preparing("a"), started("a", 1)];
    let (events, _) = decide(&spec, &state_after(&spec, &running), ends(&limited));
    assert!(
        matches!(&events[1], EventKind::Warned { task: None, text } if text.contains("cost limit")),
        "{events:?}"
    );
    assert_eq!(events.last(), Some(&back()));
}
