//! When tasks start and when not, and what is said of that: at times that the test makes up.

use super::*;
use crate::session::fixture::{good_attempt, good_settlement, preparing, spec, started, state_after};
use crate::session::{Settlement, WorktreeIntent};
use crate::supervisor::decide::NewAttempt;
use crate::task::UsageLimit;

fn gate(spec: &SessionSpec) -> Gate {
    Gate::new(spec, &state_after(spec, &[]), Path::new("/"))
}

fn short(of: Shortage) -> Input {
    let error = "no".into();
    Input::Provisioned {
        task: 0,
        result: Err(NoWorktree::Short(Short { of, error })),
    }
}

fn why(event: Option<EventKind>) -> Option<Option<String>> {
    event.map(|event| match event {
        EventKind::Waiting { why } => why,
        other => panic!("{other:?}"),
    })
}

#[test]
fn after_each_failure_it_waits_longer_up_to_a_limit_and_says_so_once() {
    let spec = spec(&["a", "b"]);
    let mut gate = gate(&spec);
    let mut now = Instant::now();
    let mut events = Vec::new();
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        // Two of the same round.
        gate.notice(&spec, &state_after(&spec, &[]), &short(Shortage::Disk), now);
        gate.notice(&spec, &state_after(&spec, &[]), &short(Shortage::Disk), now);
        let state = state_after(&spec, &events);
        let said = gate.look(&spec, &state, now);
        assert_eq!(why(said.clone()), Some(Some("disk: no".into())));
        events.extend(said);
        assert_eq!(gate.look(&spec, &state_after(&spec, &events), now), None);
        let due = gate.due().unwrap();
        assert_eq!((due - now).as_secs(), seconds);
        now = due;
        let goes_on = gate.look(&spec, &state_after(&spec, &events), now);
        assert_eq!(why(goes_on.clone()), Some(None));
        events.extend(goes_on);
    }
    // What works in between makes the next failure a first one.
    let outcome = good_attempt();
    let nothing = state_after(&spec, &[]);
    gate.notice(&spec, &nothing, &Input::AttemptEnded { task: 0, outcome }, now);
    gate.notice(&spec, &nothing, &short(Shortage::Files), now);
    gate.look(&spec, &state_after(&spec, &events), now);
    assert_eq!(gate.due(), Some(now + LOOK_AGAIN));
}

#[test]
fn what_could_not_be_committed_is_tried_when_the_time_has_come_or_at_once_when_it_is_to_stop() {
    let spec = spec(&["a"]);
    let now = Instant::now();
    let unsettled = Input::Unsettled {
        task: 0,
        short: Short {
            of: Shortage::Disk,
            error: "no".into(),
        },
        settlement: Settlement::failed(FailureReason::Settling, "no"),
    };
    let running = state_after(&spec, &[]);
    let stops = state_after(&spec, &[EventKind::StopAsked { now: false }]);
    for (state, at, again) in [
        (&running, now, vec![]),
        (&running, now + LOOK_AGAIN, vec![0]),
        (&stops, now, vec![0]),
    ] {
        let mut gate = gate(&spec);
        gate.notice(&spec, &running, &unsettled, now);
        assert_eq!(gate.settle_again(state, at), again);
        assert_eq!(gate.unsettled.len(), 1 - again.len());
    }
    let mut gate = gate(&spec);
    gate.notice(&spec, &running, &unsettled, now);
    let settlement = good_settlement(WorktreeIntent::None);
    gate.notice(
        &spec,
        &running,
        &Input::Settled { task: 0, settlement },
        now + LOOK_AGAIN,
    );
    assert!(gate.back_off.is_none());
}

fn refusal(what: &str) -> Input {
    let limit = Some(UsageLimit {
        what: what.into(),
        resets_at_ms: None,
    });
    Input::AttemptEnded {
        task: 0,
        outcome: AttemptOutcome {
            limit,
            ..AttemptOutcome::unseen(AgentEnd::Exited { code: 1 }, FailureReason::RateLimit, "no")
        },
    }
}

#[test]
fn after_a_refusal_nothing_starts_for_a_while_and_then_half_as_many_as_ran() {
    let ids = ["a", "b", "c", "d", "e", "f"];
    let spec = spec(&ids);
    let (mut gate, now) = (gate(&spec), Instant::now());
    let running: Vec<EventKind> = ids[..4].iter().flat_map(|id| [preparing(id), started(id, 1)]).collect();
    let mut events = running.clone();
    gate.notice(&spec, &state_after(&spec, &events), &refusal("overloaded"), now);
    let said = gate.look(&spec, &state_after(&spec, &events), now);
    let text = why(said.clone()).flatten().expect("it waits");
    assert!(
        text.starts_with("the service, which is overloaded (529), until "),
        "{text}"
    );
    events.extend(said);
    // Another of the same round is nothing new.
    gate.notice(&spec, &state_after(&spec, &events), &refusal("429"), now);
    assert_eq!(gate.look(&spec, &state_after(&spec, &events), now), None);
    let due = gate.due().expect("a time");
    assert!((5..=7).contains(&(due - now).as_secs()), "{:?}", due - now);
    // Two may be at work, and four are.
    let goes_on = gate.look(&spec, &state_after(&spec, &events), due);
    assert_eq!((why(goes_on), gate.most(&spec)), (Some(None), 0));
    let one_runs = state_after(&spec, &[preparing("a"), started("a", 1)]);
    gate.look(&spec, &one_runs, due);
    assert_eq!(gate.most(&spec), 1);
    gate.notice(
        &spec,
        &one_runs,
        &Input::AttemptEnded {
            task: 0,
            outcome: good_attempt(),
        },
        due,
    );
    gate.look(&spec, &one_runs, due);
    assert_eq!(gate.most(&spec), 2);
    // What failed for its own reasons before it cost anything says nothing of the service.
    let outcome = AttemptOutcome::unseen(AgentEnd::Exited { code: 1 }, FailureReason::Exit, "no");
    gate.notice(&spec, &one_runs, &Input::AttemptEnded { task: 0, outcome }, due);
    gate.look(&spec, &one_runs, due);
    assert_eq!(gate.most(&spec), 2);
}

#[test]
fn nothing_starts_while_a_runner_tells_that_its_agent_is_refused() {
    let spec = spec(&["a", "b"]);
    let dir = tempfile::tempdir().unwrap();
    let mut gate = Gate::new(&spec, &state_after(&spec, &[]), dir.path());
    let live = SessionPaths::new(dir.path()).attempt("a", 1).live();
    std::fs::create_dir_all(live.parent().unwrap()).unwrap();
    let tell = |limited: Option<&str>| {
        let limited = limited.map(|what| UsageLimit {
            what: what.into(),
            resets_at_ms: None,
        });
        let told = Live {
            limited,
            ..Live::default()
        };
        std::fs::write(&live, serde_json::to_vec(&told).unwrap()).unwrap();
    };
    let state = state_after(&spec, &[preparing("a"), started("a", 1)]);
    let now = Instant::now();
    tell(Some("429"));
    let said = why(gate.look(&spec, &state, now)).flatten();
    let text = "the rate limit of the service (429): agents that run are refused";
    assert_eq!(said.as_deref(), Some(text));
    assert_eq!(gate.due(), Some(now + LOOK_AGAIN));
    tell(None);
    // It is not read more often than it is written.
    gate.look(&spec, &state, now + LIVE_EVERY / 2);
    assert_eq!(gate.cause, Some(Cause::Strain("429".into())));
    gate.look(&spec, &state, now + LOOK_AGAIN);
    // One runs, and half of one is one.
    assert_eq!((&gate.cause, gate.most(&spec)), (&None, 0));
}

#[test]
fn two_starts_are_as_far_apart_as_the_user_wants() {
    let mut spec = spec(&["a", "b", "c"]);
    spec.options.stagger_ms = 3000;
    let (mut gate, now) = (gate(&spec), Instant::now());
    let looked = |gate: &mut Gate, events: &[EventKind], at: Instant| {
        assert_eq!(
            gate.look(&spec, &state_after(&spec, events), at),
            None,
            "nothing is waited for"
        );
        (gate.most(&spec), gate.due().map(|due| due - now))
    };
    assert_eq!(looked(&mut gate, &[], now), (1, None));
    let preparing_a = [preparing("a")];
    assert_eq!(
        looked(&mut gate, &preparing_a, now),
        (0, None),
        "it has not started yet"
    );
    let attempt = NewAttempt {
        resumes: false,
        number: 1,
        id: Uuid::nil(),
        conversation: Uuid::nil(),
        runner_pid: 1,
    };
    let ready = Input::RunnerReady { task: 0, attempt };
    gate.notice(&spec, &state_after(&spec, &preparing_a), &ready, now);
    let running = [preparing("a"), started("a", 1)];
    let three = Duration::from_secs(3);
    assert_eq!(looked(&mut gate, &running, now), (0, Some(three)));
    assert_eq!(looked(&mut gate, &running, now + three), (1, None));
}

#[test]
fn another_supervisor_starts_nothing_sooner_after_the_last_start() {
    let mut spec = spec(&["a", "b"]);
    spec.options.stagger_ms = 3000;
    let running = [preparing("a"), started("a", 1)];
    // Set back, the clock says that it has yet to come: it is just over.
    for (ago_ms, rest_ms) in [(1000, Some(2000)), (-60_000, Some(3000)), (3000, None), (60_000, None)] {
        let mut state = state_after(&spec, &running);
        assert!(state.last_start_ms.is_some());
        state.last_start_ms = now_ms().checked_add_signed(-ago_ms);
        let (mut gate, now) = (Gate::new(&spec, &state, Path::new("/")), Instant::now());
        gate.look(&spec, &state, now);
        let rest = gate.due().map(|due| due - now);
        assert_eq!(gate.most(&spec), usize::from(rest_ms.is_none()), "{ago_ms}");
        match (rest, rest_ms.map(Duration::from_millis)) {
            (None, None) => {}
            // A little of it is over by now.
            (Some(rest), Some(most)) => assert!(rest <= most && rest + LOOK_AGAIN > most, "{ago_ms}: {rest:?}"),
            other => panic!("{ago_ms}: {other:?}"),
        }
    }
}

#[test]
fn who_has_nothing_to_start_waits_for_nothing() {
    let mut spec = spec(&["a"]);
    spec.options.min_free_disk_bytes = u64::MAX;
    let mut gate = gate(&spec);
    let now = Instant::now();
    let waits = gate.look(&spec, &state_after(&spec, &[]), now);
    assert!(
        why(waits.clone())
            .flatten()
            .is_some_and(|why| why.starts_with("disk: "))
    );
    let stop = EventKind::StopAsked { now: false };
    let events: Vec<EventKind> = waits.into_iter().chain([stop]).collect();
    let goes = gate.look(&spec, &state_after(&spec, &events), now);
    assert_eq!(why(goes), Some(None));
    assert_eq!(gate.due(), None);
}
