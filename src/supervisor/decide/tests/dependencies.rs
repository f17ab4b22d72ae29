//! Where a task begins that depends on others, that it is skipped, and what the first failure does to a session that is
//! to stop with it.

use super::*;
use crate::session::fixture::ended;
use crate::store::Shortage;

/// `d` depends on `b` and `c`, these on `a`.
pub(super) fn diamond() -> SessionSpec {
    let mut spec = spec(&["a", "b", "c", "d", "e"]);
    for (task, on) in [(1, &["a"][..]), (2, &["a"]), (3, &["c", "b"])] {
        spec.tasks[task].options.depends_on = on.iter().map(|id| task_id(id)).collect();
    }
    spec
}

/// A task that succeeded and came to this commit.
fn came_to(id: &str, head: &str) -> Vec<EventKind> {
    let mut events = success(id);
    events[3] = settled(
        id,
        Settlement {
            head: Some(head.into()),
            ..good_settlement(WorktreeIntent::Remove)
        },
    );
    events
}

fn at(id: &str, base: &str) -> Option<Site> {
    Some(Site {
        base: base.into(),
        ..site(id)
    })
}

fn preparing_at(id: &str, site: Option<Site>) -> EventKind {
    let task = task_id(id);
    EventKind::TaskPreparing { task, site }
}

#[test]
fn a_task_begins_where_the_one_that_it_depends_on_has_come_to() {
    let mut spec = diamond();
    spec.options.max_parallel = Some(1);
    let after = |events: &[Vec<EventKind>]| schedule(&spec, &state_after(&spec, &events.concat()));
    let a = came_to("a", "aa");
    let (site, none) = (at("b", "aa"), None::<Site>);
    let provision = |task, site: &Option<Site>| Action::Provision {
        task,
        site: site.clone(),
    };
    assert_eq!(
        after(from_ref(&a)),
        (vec![preparing_at("b", site.clone())], vec![provision(1, &site)])
    );
    // Of two that came to the same there is nothing to be merged.
    let same = [a.clone(), came_to("b", "bb"), came_to("c", "bb")];
    let site = at("d", "bb");
    assert_eq!(
        after(&same),
        (vec![preparing_at("d", site.clone())], vec![provision(3, &site)])
    );
    let several = [a.clone(), came_to("b", "bb"), came_to("c", "cc")];
    let combine = (vec![preparing_at("d", none.clone())], vec![Action::Combine { task: 3 }]);
    assert_eq!(after(&several), combine);
    // Where an attempt was made the next one is made, from the same commit.
    let mut before = several.to_vec();
    let lost = crate::session::fixture::lost("d", crate::session::fixture::bad_attempt());
    before.push(vec![preparing_at("d", at("d", "merged")), started("d", 1), lost]);
    let site = at("d", "merged");
    assert_eq!(
        after(&before),
        (vec![preparing_at("d", site.clone())], vec![provision(3, &site)])
    );
    // Without worktrees there is nothing to begin from.
    let mut plain = spec.clone();
    (plain.repository, plain.places) = (None, Vec::new());
    let decided = schedule(&plain, &state_after(&plain, &several.concat()));
    assert_eq!(
        decided,
        (vec![preparing_at("d", none.clone())], vec![provision(3, &none)])
    );
}

#[test]
fn the_commit_that_was_made_is_recorded_before_the_worktree_is_made() {
    let spec = diamond();
    let events = [
        came_to("a", "aa"),
        came_to("b", "bb"),
        came_to("c", "cc"),
        vec![preparing_at("d", None)],
    ]
    .concat();
    let combined = || Input::Combined {
        task: 3,
        base: "merged".into(),
    };
    let (site, task) = (at("d", "merged"), 3);
    let state = state_after(&spec, &events);
    assert_eq!(
        decide(&spec, &state, combined()),
        (
            vec![preparing_at("d", site.clone())],
            vec![Action::Provision { task, site }]
        )
    );
    let stopped = state_after(&spec, &[events.clone(), vec![STOP]].concat());
    assert_eq!(
        decide(&spec, &stopped, combined()),
        (vec![], vec![Action::Release { task }])
    );
    let not = |why| decide(&spec, &state, Input::Provisioned { task, result: Err(why) }).0;
    let conflict = settled("d", Settlement::failed(FailureReason::Conflict, "in f"));
    assert_eq!(not(NoWorktree::Conflict("in f".into())), [conflict]);
    let (of, error) = (Shortage::Disk, "full".into());
    assert_eq!(
        not(NoWorktree::Short(Short { of, error })),
        [EventKind::TaskReleased { task: task_id("d") }]
    );
}

#[test]
fn what_waits_in_vain_is_settled_as_skipped_unless_all_is_over() {
    let spec = diamond();
    let failed = vec![
        preparing("a"),
        settled("a", Settlement::failed(FailureReason::Exit, "exited with code 3")),
    ];
    let mut state = state_after(&spec, &failed);
    let events = skipped(&state);
    let ids = events.iter().map(|event| match event {
        EventKind::TaskSettled { task, settlement } => {
            assert_eq!(
                (settlement.outcome, settlement.reason),
                (Outcome::Skipped, Some(FailureReason::Dependency))
            );
            task.as_ref()
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(ids.collect::<Vec<_>>(), ["b", "c", "d"]);
    for kind in events.clone() {
        apply(&mut state, &Event { at_ms: MADE, kind }).unwrap();
    }
    assert!(skipped(&state).is_empty());
    assert!(skipped(&state_after(&spec, &[failed, vec![session_ended()]].concat())).is_empty());
}

/// The end of a session with `--fail-fast`.
fn halted_for(why: &str) -> EventKind {
    EventKind::SessionHalted {
        why: why.into(),
        ends_agents: true,
    }
}

#[test]
fn with_fail_fast_the_first_failure_halts_and_ends_what_runs() {
    let mut spec = diamond();
    spec.options.fail_fast = true;
    let running = |id| vec![preparing(id), started(id, 1)];
    let settling = [running("a"), vec![ended("a", good_attempt())]].concat();
    let events = [settling, running("e"), running("b"), vec![ended("b", good_attempt())]].concat();
    let state = state_after(&spec, &events);
    let settle = |state: &SessionState, task, settlement| decide(&spec, state, Input::Settled { task, settlement });
    let bad = || Settlement::failed(FailureReason::Exit, "exited with code 3");
    let why = "task a failed (--fail-fast)".to_owned();
    let halted = halted_for(&why);
    let how = Ending::Within {
        grace_ms: spec.options.grace_ms,
    };
    assert_eq!(
        settle(&state, 0, bad()),
        (
            vec![settled("a", bad()), halted.clone()],
            vec![Action::End { task: 4, how }]
        )
    );
    assert_eq!(settle(&state, 0, Settlement::stopped()).0.len(), 1);
    // It is told once, and what ends by it says so; not what somebody asked to stop.
    let after = state_after(
        &spec,
        &[events.clone(), vec![settled("a", bad()), halted.clone()]].concat(),
    );
    assert_eq!(settle(&after, 1, bad()), (vec![settled("b", bad())], vec![]));
    let by_it = Settlement {
        error: Some(format!("stopped: {why}")),
        ..Settlement::stopped()
    };
    assert_eq!(settle(&after, 1, Settlement::stopped()).0, [settled("b", by_it)]);
    let asked = EventKind::TaskStopAsked {
        task: task_id("b"),
        now: false,
    };
    let asked = state_after(
        &spec,
        &[running("b"), vec![asked, ended("b", good_attempt()), halted.clone()]].concat(),
    );
    assert_eq!(
        settle(&asked, 1, Settlement::stopped()).0,
        [settled("b", Settlement::stopped())]
    );
    // The session has ended by it when nothing runs any more; not when nothing was left.
    let over = |events: &[EventKind]| finish(&state_after(&spec, events));
    let quiet = [
        running("a"),
        vec![ended("a", good_attempt()), settled("a", bad()), halted.clone()],
    ]
    .concat();
    let end = SessionEnd::Stopped;
    assert_eq!(over(&quiet), Some(EventKind::SessionEnded { end, error: Some(why) }));
    let rest = ["b", "c", "d", "e"].map(|id| {
        settled(
            id,
            Settlement {
                outcome: Outcome::Skipped,
                ..Settlement::stopped()
            },
        )
    });
    let (end, error) = (SessionEnd::Completed, None);
    assert_eq!(
        over(&[quiet, rest.to_vec()].concat()),
        Some(EventKind::SessionEnded { end, error })
    );
    // Without the option it goes on.
    spec.options.fail_fast = false;
    let decided = decide(
        &spec,
        &state,
        Input::Settled {
            task: 0,
            settlement: bad(),
        },
    );
    assert_eq!(decided, (vec![settled("a", bad())], vec![]));
}

#[test]
fn what_fail_fast_was_ending_says_so_also_when_somebody_goes_on_with_the_session_meanwhile() {
    let spec = spec(&["a", "b"]);
    let why = "task a failed (--fail-fast)".to_owned();
    let halted = halted_for(&why);
    let running = vec![preparing("b"), started("b", 1)];
    let cut = || AttemptOutcome {
        verdict: Verdict::Stopped,
        ..good_attempt()
    };
    let stop_of_b = EventKind::TaskStopAsked {
        task: task_id("b"),
        now: false,
    };
    let error = |between: &[EventKind]| {
        let state = state_after(&spec, &[&running, between].concat());
        let settlement = Settlement::stopped();
        let (events, _) = decide(&spec, &state, Input::Settled { task: 1, settlement });
        match &events[..] {
            [EventKind::TaskSettled { settlement, .. }] => settlement.error.clone().unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let by_it = format!("stopped: {why}");
    let (ended_b, goes_on) = (ended("b", cut()), session_started());
    for between in [
        vec![halted.clone(), ended_b.clone()],
        vec![halted.clone(), goes_on.clone(), ended_b.clone()],
        vec![halted.clone(), ended_b.clone(), goes_on.clone()],
        // It was over when somebody asked.
        vec![halted.clone(), ended_b.clone(), goes_on.clone(), stop_of_b.clone()],
    ] {
        assert_eq!(error(&between), by_it, "{between:?}");
    }
    let not_ended = EventKind::SessionHalted {
        why,
        ends_agents: false,
    };
    let again = vec![
        EventKind::AttemptLost {
            task: task_id("b"),
            outcome: cut(),
        },
        preparing("b"),
        started("b", 2),
        STOP,
        ended_b.clone(),
    ];
    for between in [
        // Whoever asks is the one who ended it, as far as anybody knows.
        vec![halted.clone(), goes_on.clone(), STOP, ended_b.clone()],
        vec![halted.clone(), goes_on.clone(), stop_of_b.clone(), ended_b.clone()],
        vec![STOP, halted.clone(), goes_on.clone(), ended_b.clone()],
        vec![stop_of_b, halted.clone(), goes_on.clone(), ended_b.clone()],
        vec![not_ended, goes_on.clone(), ended_b],
        [vec![halted, goes_on], again].concat(),
    ] {
        assert_eq!(error(&between), STOPPED_ON_REQUEST, "{between:?}");
    }
}
