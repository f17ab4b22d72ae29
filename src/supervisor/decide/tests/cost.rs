//! What the limit of the cost does: nothing more starts, what runs goes on, and the session ends with what it was.

use super::*;
use crate::session::fixture::{bad_attempt, ended, released};
use crate::session::{NextAttempt, Wait};

/// An attempt that cost this.
fn cost(usd: f64) -> AttemptOutcome {
    AttemptOutcome {
        cost_usd: Some(usd),
        ..good_attempt()
    }
}

/// A session of the tasks `a`, `b` and `c` that may cost so much.
fn limited(max_cost_usd: f64) -> SessionSpec {
    let mut spec = spec(&["a", "b", "c"]);
    spec.options.max_cost_usd = Some(max_cost_usd);
    spec
}

#[test]
fn the_limit_of_the_cost_is_told_once_and_only_if_tasks_are_left() {
    let running = |id| vec![preparing(id), started(id, 1)];
    let waiting = |id: &str| {
        let wait = Wait {
            delay_ms: 5000,
            until_ms: MADE + 5000,
            why: "exited with code 3".into(),
            next: NextAttempt::Resume,
            counts: true,
        };
        let task = task_id(id);
        let waits = EventKind::TaskWaits { task, wait };
        vec![preparing(id), started(id, 1), ended(id, bad_attempt()), waits]
    };
    let over = "the cost limit of $1.00 is reached ($1.50): ";
    let a_ends = |usd| Input::AttemptEnded {
        task: 0,
        outcome: cost(usd),
    };
    for (past, usd, told) in [
        (vec![], 0.5, None),
        (vec![], 1.0, None),
        (vec![], 1.5, Some(format!("{over}2 tasks are not started"))),
        (running("b"), 1.5, Some(format!("{over}1 task is not started"))),
        // One that is being prepared is not started either.
        (
            vec![preparing("b")],
            1.5,
            Some(format!("{over}2 tasks are not started")),
        ),
        ([running("b"), running("c")].concat(), 1.5, None),
        // What waits for another attempt has come to its end.
        (
            [waiting("b"), running("c")].concat(),
            1.5,
            Some(format!("{over}1 task is not tried again")),
        ),
        (
            waiting("c"),
            1.5,
            Some(format!("{over}1 task is not started, 1 task is not tried again")),
        ),
        (
            [running("b"), vec![ended("b", cost(0.7))]].concat(),
            0.8,
            Some(format!("{over}1 task is not started")),
        ),
        // Told before, and asked to stop before.
        ([running("b"), vec![ended("b", cost(1.2))]].concat(), 0.3, None),
        (vec![STOP], 1.5, None),
    ] {
        let spec = limited(1.0);
        let past = [running("a"), past].concat();
        let (events, actions) = decide(&spec, &state_after(&spec, &past), a_ends(usd));
        let warned = told.map(|text| EventKind::Warned { task: None, text });
        let expected: Vec<EventKind> = [ended("a", cost(usd))].into_iter().chain(warned).collect();
        assert_eq!(
            (events, actions),
            (expected, vec![Action::Settle { task: 0 }]),
            "{past:?}"
        );
    }
}

#[test]
fn nothing_more_starts_once_the_cost_is_above_its_limit() {
    let spec = limited(1.0);
    let over = [preparing("b"), started("b", 1), ended("b", cost(1.5))];
    let state = state_after(&spec, &[&[preparing("a")], &over[..]].concat());
    let taken = NoWorktree::Taken("the branch main-task-a".into());
    let release = vec![Action::Release { task: 0 }];
    let released = vec![EventKind::TaskReleased { task: task_id("a") }];
    assert_eq!(decide(&spec, &state, provisioned(Ok(()))), (vec![], release.clone()));
    assert_eq!(decide(&spec, &state, ready()), (vec![], release));
    assert_eq!(decide(&spec, &state, provisioned(Err(taken))), (released, vec![]));
    assert_eq!(schedule(&spec, &state), (vec![], vec![]));
    // What runs is not ended.
    let state = state_after(&spec, &[&[preparing("a"), started("a", 1)], &over[..]].concat());
    assert_eq!(schedule(&spec, &state), (vec![], vec![]));
}

#[test]
fn a_session_above_its_limit_is_stopped_once_it_is_quiet_if_tasks_are_left() {
    let spec = limited(1.0);
    let after = |events: &[EventKind]| match finish(&state_after(&spec, events)) {
        None => None,
        Some(EventKind::SessionEnded { end, error }) => Some((end, error)),
        Some(other) => panic!("{other:?}"),
    };
    let done = |id, usd| -> Vec<EventKind> {
        let mut way = success(id);
        way[2] = ended(id, cost(usd));
        way
    };
    let limit = |cost: &str| {
        Some((
            SessionEnd::Stopped,
            Some(format!("cost limit of $1.00 reached: {cost}")),
        ))
    };
    let request = Some((SessionEnd::Stopped, Some("stopped on request".to_owned())));
    let completed = Some((SessionEnd::Completed, None));
    assert_eq!(after(&done("a", 1.0)), None);
    assert_eq!(after(&done("a", 1.5)), limit("$1.50"));
    assert_eq!(after(&[done("a", 0.9), done("b", 0.9)].concat()), limit("$1.80"));
    assert_eq!(after(&[done("a", 1.5), vec![preparing("b")]].concat()), None);
    let goes_back = [done("a", 1.5), vec![preparing("b"), released("b")]].concat();
    assert_eq!(after(&goes_back), limit("$1.50"));
    for steps in 1..5 {
        let at_work = [done("a", 1.5), done("b", 1.5)[..steps].to_vec()].concat();
        assert_eq!(after(&at_work), None, "{steps}");
    }
    // The last one that runs crosses it, and nothing is left.
    let all = [done("a", 0.3), done("b", 0.3), done("c", 1.5)].concat();
    assert_eq!(after(&all), completed);
    // Who asked to stop is told of that.
    for past in [vec![done("a", 1.5), vec![STOP]], vec![vec![STOP_NOW], done("a", 1.5)]] {
        assert_eq!(after(&past.concat()), request);
    }
}

#[test]
fn an_attempt_that_crosses_the_limit_and_is_not_followed_by_another_counts_too() {
    let over = "the cost limit of $1.00 is reached ($1.50): ";
    let failed = |reason| AttemptOutcome {
        verdict: Verdict::Failed {
            reason,
            error: "it failed".into(),
        },
        ..cost(1.5)
    };
    let gone = AttemptOutcome {
        conversation_gone: true,
        ..failed(FailureReason::AgentError)
    };
    let both = Some("2 tasks are not started, 1 task is not tried again");
    let others = Some("2 tasks are not started");
    let stop_a = EventKind::TaskStopAsked {
        task: task_id("a"),
        now: false,
    };
    let no_stop: &[EventKind] = &[];
    for (retries, more, outcome, told) in [
        (1, no_stop, failed(FailureReason::Exit), both),
        (0, no_stop, failed(FailureReason::Exit), others),
        (1, no_stop, failed(FailureReason::DeniedTools), others),
        (0, no_stop, gone, both),
        (0, no_stop, failed(FailureReason::RateLimit), both),
        (1, from_ref(&stop_a), failed(FailureReason::Exit), others),
        (1, no_stop, cost(1.5), others),
    ] {
        let mut spec = limited(1.0);
        spec.tasks[0].options.retry = Some(retries);
        let said = |spec: &SessionSpec, past: &[EventKind]| {
            let input = Input::AttemptEnded {
                task: 0,
                outcome: outcome.clone(),
            };
            let (events, _) = decide(spec, &state_after(spec, past), input);
            events.into_iter().find_map(|event| match event {
                EventKind::Warned { task: None, text } => Some(text),
                _ => None,
            })
        };
        let past = [&[preparing("a"), started("a", 1)], more].concat();
        assert_eq!(
            said(&spec, &past),
            told.map(|told| format!("{over}{told}")),
            "{outcome:?}"
        );
        // What it may cost itself is used up by then.
        spec.tasks[0].options.max_cost_usd = Some(1.2);
        assert_eq!(said(&spec, &past), others.map(|told| format!("{over}{told}")));
        // When nothing else is left, it is only about that.
        spec.tasks[0].options.max_cost_usd = None;
        let past = [past, success("b"), success("c")].concat();
        let alone = told
            .filter(|told| told.contains("again"))
            .map(|_| "1 task is not tried again");
        assert_eq!(
            said(&spec, &past),
            alone.map(|told| format!("{}{told}", over.replace("1.50", "2.50")))
        );
    }
}
