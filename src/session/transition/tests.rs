//! Every event on every state of a task, what the session itself goes through, and that all of it survives JSON.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::*;
use crate::session::fixture::{
    MADE, bad_attempt, ended, good_attempt, good_settlement, kept, lost, preparing, released, removed, retried,
    session_ended, session_started, settled, site, spec, started, state_after, success, task_id,
};
use crate::session::{SessionEnd, SessionSpec};
use crate::task::{AgentEnd, AttemptOutcome, FailureReason, UsageLimit};

/// A task in each of its states, by the events that lead there, and what each event makes of it (`-`: refused).
const MOVES: &str = "
                    preparing released started ended    lost settled removed kept    retried
    pending         preparing -        -       -        -    -       -       -       -
    preparing       preparing pending  running -        -    gone    -       -       -
    running         -         -        -       settling left -       -       -       -
    left            preparing -        -       -        -    -       -       -       -
    preparing-again preparing left     running -        -    staying -       -       -
    settling        -         -        -       -        -    staying -       -       -
    removing        -         -        -       -        -    -       trashed staying -
    trashed         -         -        -       -        -    -       -       -       -
    staying         -         -        -       -        -    -       -       -       -
    gone            -         -        -       -        -    -       -       -       -
    failed          -         -        -       -        -    -       -       -       left
";

fn way_to(state: &str) -> Vec<EventKind> {
    let mut way = success("a");
    way.truncate(match state {
        "pending" => 0,
        "preparing" | "gone" => 1,
        "running" | "left" | "preparing-again" => 2,
        "settling" | "staying" | "failed" => 3,
        "removing" => 4,
        "trashed" => 5,
        _ => panic!("{state}"),
    });
    match state {
        "gone" => way.push(event("settled", WorktreeIntent::None)),
        "staying" => way.push(event("settled", WorktreeIntent::Keep("asked for".into()))),
        "left" => way.push(lost("a", bad_attempt())),
        "preparing-again" => way.extend([lost("a", bad_attempt()), preparing("a")]),
        "failed" => way.push(settled("a", failed_settlement())),
        _ => {}
    }
    way
}

fn event(name: &str, intent: WorktreeIntent) -> EventKind {
    match name {
        "preparing" => preparing("a"),
        "released" => released("a"),
        "started" => started("a", 1),
        "ended" => ended("a", good_attempt()),
        "settled" => settled("a", good_settlement(intent)),
        "removed" => removed("a"),
        "kept" => kept("a"),
        "lost" => lost("a", bad_attempt()),
        "retried" => retried("a"),
        _ => panic!("{name}"),
    }
}

fn failed_settlement() -> Settlement {
    Settlement {
        outcome: Outcome::Failed,
        ..good_settlement(WorktreeIntent::Keep("the task failed".into()))
    }
}

fn name_of(record: &TaskRecord) -> &'static str {
    match &record.state {
        TaskState::Pending { site: None } => "pending",
        TaskState::Pending { .. } => "left",
        TaskState::Preparing { .. } => "preparing",
        TaskState::Running { .. } => "running",
        TaskState::Settling { .. } => "settling",
        TaskState::Waiting { .. } => "waiting",
        TaskState::Settled { worktree, .. } => match worktree {
            WorktreeFate::None => "gone",
            WorktreeFate::Removing => "removing",
            WorktreeFate::Trashed { .. } => "trashed",
            WorktreeFate::Kept(_) => "staying",
        },
    }
}

fn at(at_ms: u64, kind: EventKind) -> Event {
    Event { at_ms, kind }
}

fn one_task() -> SessionSpec {
    spec(&["a"])
}

#[test]
fn a_task_moves_along_legal_moves_and_an_illegal_one_changes_nothing() {
    let mut lines = MOVES.lines().filter(|line| !line.trim().is_empty());
    let events: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    for line in lines {
        let (from, row) = line.trim().split_once(' ').unwrap();
        let row: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(row.len(), events.len(), "{line}");
        for (name, to) in events.iter().zip(row) {
            let mut state = state_after(&one_task(), &way_to(from));
            match from {
                "preparing-again" => assert_eq!(name_of(&state.tasks[0]), "preparing"),
                "failed" => assert_eq!(name_of(&state.tasks[0]), "staying"),
                _ => assert_eq!(name_of(&state.tasks[0]), from),
            }
            let before = state.clone();
            // From preparing there is no work, so nothing to keep.
            let intent = match from {
                "preparing" => WorktreeIntent::None,
                _ => WorktreeIntent::Keep("asked for".into()),
            };
            let kind = match name {
                &"started" => started("a", before.tasks[0].attempts + 1),
                name => event(name, intent),
            };
            let result = apply(&mut state, &at(MADE + 60_000, kind));
            if to == "-" {
                assert!(
                    matches!(result, Err(IllegalMove::Task { .. })),
                    "{from}, {name}: {result:?}"
                );
                assert_eq!(state, before, "{from}, {name}");
            } else {
                assert_eq!((result, name_of(&state.tasks[0])), (Ok(()), to), "{from}, {name}");
            }
        }
    }
}

#[test]
fn a_refusal_says_which_task_stands_where() {
    let mut state = state_after(&one_task(), &way_to("running"));
    let refused = |state: &mut SessionState, kind| apply(state, &at(MADE, kind)).unwrap_err().to_string();
    let error = refused(&mut state, preparing("a"));
    assert_eq!(error, "task a is running and cannot become preparing");
    assert_eq!(refused(&mut state, preparing("b")), "there is no task b");
    let text = "x".into();
    let task = Some(task_id("b"));
    assert_eq!(
        refused(&mut state, EventKind::Warned { task, text }),
        "there is no task b"
    );
}

#[test]
fn a_task_that_is_tried_again_goes_on_where_it_was_and_costs_count_together() {
    let cost = |usd| AttemptOutcome {
        cost_usd: Some(usd),
        ..bad_attempt()
    };
    let mut events = way_to("running");
    events.extend([
        lost("a", cost(0.5)),
        preparing("a"),
        started("a", 2),
        ended("a", cost(0.25)),
    ]);
    events.push(settled("a", failed_settlement()));
    events.push(retried("a"));
    let state = state_after(&one_task(), &events);
    let record = &state.tasks[0];
    assert_eq!(record.state, TaskState::Pending { site: Some(site("a")) });
    assert_eq!((record.attempts, state.cost_usd), (2, Some(0.75)));
    assert_eq!((record.settled_ms, record.stop_asked), (None, None));
    // It waits for its turn, and how long it takes is counted from there.
    assert_eq!(record.started_ms, None);
    // Without an attempt there is nothing to go on with at its place.
    let mut without = vec![session_started(), preparing("a")];
    without.push(settled("a", failed_settlement()));
    without.push(retried("a"));
    let record = &state_after(&one_task(), &without).tasks[0];
    assert_eq!(record.state, TaskState::Pending { site: None });
}

#[test]
fn of_a_conversation_that_goes_on_only_what_is_new_counts() {
    const NEW: u128 = 9;
    // The conversation of each attempt, what its agent says, and what it cost, the attempt and all of them.
    let table = [
        (1, Some(0.5), Some(0.5), Some(0.5)),
        (1, Some(0.75), Some(0.25), Some(0.75)),
        (1, None, None, Some(0.75)),
        (1, Some(1.0), Some(0.25), Some(1.0)),
        // It could not begin, which tells nothing of the conversation.
        (1, Some(0.0), Some(0.0), Some(1.0)),
        (1, Some(1.25), Some(0.25), Some(1.25)),
        // It counts from the beginning again.
        (1, Some(0.25), Some(0.25), Some(1.5)),
        (1, Some(0.5), Some(0.25), Some(1.75)),
        (NEW, Some(2.0), Some(2.0), Some(3.75)),
    ];
    let mut state = state_after(&one_task(), &[session_started()]);
    for ((conversation, said, spent, sum), number) in table.into_iter().zip(1..) {
        let outcome = AttemptOutcome {
            cost_usd: said,
            ..bad_attempt()
        };
        let begun = EventKind::AttemptStarted {
            task: task_id("a"),
            number,
            attempt: Uuid::nil(),
            conversation: Uuid::from_u128(conversation),
            runner_pid: 7,
            resumes: number > 1,
        };
        for kind in [preparing("a"), begun] {
            apply(&mut state, &at(MADE, kind)).unwrap();
        }
        assert_eq!(state.tasks[0].spent(said), spent, "{number}");
        assert_eq!(state.cost_with(0, &outcome), sum, "{number}");
        apply(&mut state, &at(MADE, lost("a", outcome))).unwrap();
        assert_eq!((state.cost_usd, state.tasks[0].cost_usd), (sum, sum), "{number}");
    }
}

#[test]
fn attempts_are_counted_without_a_gap() {
    for (number, legal) in [(0, false), (1, true), (2, false)] {
        let mut state = state_after(&one_task(), &way_to("preparing"));
        let result = apply(&mut state, &at(MADE, started("a", number)));
        assert_eq!(result.is_ok(), legal, "{number}");
        assert_eq!(state.tasks[0].attempts, u32::from(legal));
    }
}

#[test]
fn an_attempt_counts_by_how_far_it_came() {
    let not_started = AgentEnd::NotStarted {
        error: "not its turn".into(),
        shortage: None,
    };
    let before = |verdict| AttemptOutcome {
        verdict,
        duration_ms: 700,
        ..AttemptOutcome::unseen(not_started.clone(), FailureReason::Setup, "exited with code 4")
    };
    let skipped = before(Verdict::Skipped { error: "no".into() });
    let no_setup = before(bad_attempt().verdict);
    // Attempts made, runs of the agent and what they took; of one that nobody saw the end of it may have run.
    for (outcome, expected) in [
        (skipped, (0, 0, 0)),
        (no_setup, (1, 0, 0)),
        (bad_attempt(), (1, 1, 0)),
        (good_attempt(), (1, 1, good_attempt().duration_ms)),
        (
            AttemptOutcome::unseen(AgentEnd::Unknown, FailureReason::Lost, "cut off"),
            (1, 1, 0),
        ),
    ] {
        let running = [preparing("a"), started("a", 1)];
        assert_eq!(state_after(&one_task(), &running).tasks[0].attempts_made(), 1);
        let state = state_after(&one_task(), &[&running[..], &[ended("a", outcome)]].concat());
        let record = &state.tasks[0];
        assert_eq!(
            (record.attempts_made(), record.agent_runs, record.attempts_ms),
            expected
        );
        assert_eq!(record.attempts, 1);
    }
}

#[test]
fn a_settled_task_knows_where_it_worked_and_how_its_attempt_ended() {
    let state = state_after(&one_task(), &success("a"));
    let record = &state.tasks[0];
    assert_eq!(record.site(), Some(&site("a")));
    assert_eq!(record.attempt_outcome(), Some(&good_attempt()));
    assert_eq!(record.settlement(), Some(&good_settlement(WorktreeIntent::Remove)));
    assert_eq!(
        (record.started_ms, record.settled_ms),
        (Some(MADE + 1000), Some(MADE + 4000))
    );

    // Without a worktree there was neither.
    let state = state_after(&one_task(), &way_to("gone"));
    let record = &state.tasks[0];
    assert_eq!((record.site(), record.attempt_outcome()), (None, None));
}

#[test]
fn the_last_place_counts_and_the_first_start() {
    let mut moved = preparing("a");
    let other = Site {
        branch: "main-task-a-12345678".into(),
        ..site("a")
    };
    if let EventKind::TaskPreparing { site, .. } = &mut moved {
        *site = Some(other.clone());
    }
    let state = state_after(&one_task(), &[preparing("a"), moved]);
    assert_eq!(state.tasks[0].site(), Some(&other));
    assert_eq!(state.tasks[0].started_ms, Some(MADE + 1000));
    let state = state_after(&one_task(), &[preparing("a"), released("a")]);
    assert_eq!((state.tasks[0].site(), state.tasks[0].started_ms), (None, None));
    let state = state_after(&one_task(), &[preparing("a"), released("a"), preparing("a")]);
    assert_eq!(state.tasks[0].started_ms, Some(MADE + 3000));
}

#[test]
fn after_its_end_a_session_takes_nothing_but_a_new_start() {
    let stop = |now| EventKind::StopAsked { now };
    let end = [session_started(), stop(true), session_ended()];
    for kind in [preparing("a"), stop(false), session_ended(), warning(None)] {
        let mut state = state_after(&one_task(), &end);
        let before = state.clone();
        assert_eq!(apply(&mut state, &at(MADE, kind)), Err(IllegalMove::AfterTheEnd));
        assert_eq!(state, before);
    }
    let first = state_after(&one_task(), &end);
    assert_eq!(first.end, Some((SessionEnd::Completed, MADE + 3000, None)));
    let mut again = session_started();
    if let EventKind::SessionStarted { supervisor, filters } = &mut again {
        supervisor.pid = 8;
        filters.insert("filter.late.clean".into(), "cat".into());
    }
    let state = state_after(&one_task(), &[&end[..], &[again]].concat());
    assert_eq!((state.end, state.stop_asked), (None, None));
    assert_eq!(state.supervisor.map(|s| s.pid), Some(8));
    // What was there when the session first started is what the user had configured.
    assert_eq!(
        (state.filters, state.started_ms),
        (Some(BTreeMap::new()), Some(MADE + 1000))
    );
}

#[test]
fn a_request_to_stop_at_once_is_not_taken_back() {
    for (asked, expected) in [
        (&[][..], None),
        (&[false][..], Some(false)),
        (&[false, true][..], Some(true)),
        (&[true, false][..], Some(true)),
    ] {
        let events: Vec<EventKind> = asked.iter().map(|&now| EventKind::StopAsked { now }).collect();
        assert_eq!(state_after(&one_task(), &events).stop_asked, expected);
    }
}

#[test]
fn a_task_that_waits_is_settled_only_when_it_was_stopped() {
    let stop = |now| EventKind::TaskStopAsked {
        task: task_id("a"),
        now,
    };
    let stopped = || settled("a", Settlement::stopped());
    let mut state = state_after(&one_task(), &[]);
    assert!(apply(&mut state, &at(MADE, stopped())).is_err());
    let state = state_after(&one_task(), &[stop(true), stop(false), stopped()]);
    let record = &state.tasks[0];
    assert_eq!(record.stop_asked, Some(true));
    assert_eq!(
        (name_of(record), record.site(), record.started_ms),
        ("gone", None, None)
    );
    assert_eq!(state.stop_asked, None);
    let retried = EventKind::TaskRetried { task: task_id("a") };
    let state = state_after(&one_task(), &[stop(true), stopped(), retried]);
    assert_eq!((name_of(&state.tasks[0]), state.tasks[0].stop_asked), ("pending", None));
}

#[test]
fn a_task_that_had_an_attempt_keeps_its_place_when_there_is_no_other() {
    let lost = EventKind::AttemptLost {
        task: task_id("a"),
        outcome: bad_attempt(),
    };
    let way = [preparing("a"), started("a", 1), lost, preparing("a")];
    let settlement = good_settlement(WorktreeIntent::Keep("the task was stopped".into()));
    let state = state_after(&one_task(), &[&way[..], &[settled("a", settlement)]].concat());
    assert_eq!(state.tasks[0].site(), Some(&site("a")));
    assert_eq!(name_of(&state.tasks[0]), "staying");
}

#[test]
fn a_warning_goes_to_its_task_or_to_the_session() {
    let state = state_after(&one_task(), &[warning(None), warning(Some("a"))]);
    assert_eq!((state.warnings.len(), state.tasks[0].warnings.len()), (1, 1));
    assert_eq!(state.tasks[0].state, TaskState::Pending { site: None });
}

#[test]
fn what_is_done_for_a_settled_task_is_recorded_once_and_anew_when_it_is_tried_again() {
    let handled = |error: Option<&str>| EventKind::TaskHandled {
        task: task_id("a"),
        error: error.map(str::to_owned),
    };
    let mut state = state_after(&one_task(), &way_to("running"));
    let refused = apply(&mut state, &at(MADE, handled(None))).unwrap_err();
    assert_eq!(refused.to_string(), "task a is running and cannot become handled");
    let mut state = state_after(&one_task(), &way_to("failed"));
    let before = state.tasks[0].state.clone();
    apply(&mut state, &at(MADE, handled(Some("no room")))).unwrap();
    assert_eq!((state.tasks[0].is_handled, &state.tasks[0].state), (true, &before));
    assert_eq!(state.tasks[0].warnings, ["no room"]);
    assert!(apply(&mut state, &at(MADE, handled(None))).is_err());
    apply(&mut state, &at(MADE, retried("a"))).unwrap();
    assert!(!state.tasks[0].is_handled);
    // It may end while the worktree is on its way to the trash.
    let mut state = state_after(&one_task(), &way_to("removing"));
    apply(&mut state, &at(MADE, handled(None))).unwrap();
    apply(&mut state, &at(MADE, removed("a"))).unwrap();
    assert_eq!((state.tasks[0].is_handled, name_of(&state.tasks[0])), (true, "trashed"));
}

#[test]
fn every_event_is_the_same_after_its_way_through_json() {
    let mut all = success("a");
    all.extend([session_started(), session_ended(), released("a"), kept("a")]);
    all.extend([warning(None), warning(Some("a")), EventKind::StopAsked { now: true }]);
    all.push(EventKind::TaskStopAsked {
        task: task_id("a"),
        now: false,
    });
    all.extend([ended("a", bad_attempt()), event("settled", WorktreeIntent::None)]);
    all.extend([lost("a", bad_attempt()), retried("a")]);
    all.push(EventKind::CostLimitSet { max_cost_usd: 2.5 });
    for kind in all {
        let event = at(MADE, kind);
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event, "{text}");
    }
}

fn warning(task: Option<&str>) -> EventKind {
    EventKind::Warned {
        task: task.map(task_id),
        text: "careful".into(),
    }
}

#[test]
fn a_limit_is_known_until_an_attempt_succeeds_or_somebody_goes_on_with_what_had_ended() {
    let spec = spec(&["a", "b"]);
    let limit = UsageLimit {
        what: "five_hour".into(),
        resets_at_ms: Some(MADE),
    };
    let limited = AttemptOutcome {
        limit: Some(limit.clone()),
        ..bad_attempt()
    };
    let refused = [preparing("a"), started("a", 1), ended("a", limited)];
    let after = |more: &[EventKind]| state_after(&spec, &[&refused[..], more].concat()).limit;
    let b_ends = |outcome| [preparing("b"), started("b", 1), ended("b", outcome)];
    assert_eq!(after(&[]), Some(limit.clone()));
    assert_eq!(after(&b_ends(bad_attempt())), Some(limit.clone()));
    assert_eq!(after(&b_ends(good_attempt())), None);
    assert_eq!(after(&[session_started()]), Some(limit));
    assert_eq!(after(&[session_ended(), session_started()]), None);
}
