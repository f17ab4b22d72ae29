//! The document for each state of a session and its tasks, and the names that scripts rely on.

use serde_json::{Value, json};

use super::*;
use crate::session::fixture::{
    MADE, bad_attempt, ended, good_attempt, good_settlement, kept, preparing, retried, session_ended, session_started,
    settled, spec, started, state_after, success, task_id,
};
use crate::session::{Event, EventKind, Settlement, WorktreeIntent, apply};
use crate::task::AttemptOutcome;

fn live() -> Live {
    Live {
        activity: Some("Write a.txt".into()),
        turns: Some(2),
        cost_usd: Some(0.25),
        output_bytes: 10,
        last_output_ms: Some(MADE + 2_500),
        limited: None,
        conversation_seen: false,
        agent_pid: Some(77),
        ended_ms: None,
    }
}

/// The document of a session with the tasks `a` and `b` after these events; nobody holds it if it has ended.
fn after(events: &[EventKind]) -> StatusDocument {
    let spec = spec(&["a", "b"]);
    let state = state_after(&spec, &[&[session_started()], events].concat());
    document(&spec, &state, state.end.is_none(), |_| None)
}

/// How far `success("a")` has gone.
fn part_way(steps: usize) -> TaskStatus {
    after(&success("a")[..steps]).tasks.remove(0)
}

#[test]
fn a_session_is_in_the_state_of_its_end_or_interrupted_when_nobody_holds_it() {
    use OverallStatus::{Completed, Error, Interrupted, Running, Stopped};
    let spec = spec(&["a"]);
    for (end, held, expected) in [
        (None, true, Running),
        (None, false, Interrupted),
        (Some(SessionEnd::Completed), false, Completed),
        (Some(SessionEnd::Completed), true, Completed),
        (Some(SessionEnd::Stopped), false, Stopped),
        (Some(SessionEnd::Error), false, Error),
    ] {
        let error = end.map(|_| "a cause".to_owned());
        let ended = end.map(|end| EventKind::SessionEnded {
            end,
            error: error.clone(),
        });
        let events: Vec<EventKind> = [session_started()].into_iter().chain(ended).collect();
        let doc = document(&spec, &state_after(&spec, &events), held, |_| None);
        assert_eq!((doc.overall_status, doc.error), (expected, error), "{end:?}");
        // It holds the lock for a moment longer than it works.
        let alive = held && end.is_none();
        assert_eq!((doc.supervisor.pid, doc.supervisor.alive), (Some(7), alive));
        assert_eq!(doc.end_time, end.map(|_| MADE / 1000 + 2));
        assert_eq!(json!(doc.overall_status), expected.name());
    }
}

#[test]
fn times_are_in_seconds_from_the_first_start() {
    let spec = spec(&["a"]);
    let unstarted = document(&spec, &SessionState::new(&spec), true, |_| None);
    assert_eq!((unstarted.start_time, unstarted.supervisor.pid), (MADE / 1000, None));
    let doc = after(&[success("a"), vec![session_ended()]].concat());
    assert_eq!(doc.start_time, MADE / 1000 + 1);
    assert_eq!(doc.end_time, Some(MADE / 1000 + 7));
    // From being chosen to being settled, not to the removal of the worktree.
    assert_eq!(doc.tasks[0].duration, Some(3.0));
    assert_eq!(doc.tasks[1].duration, None);
    // One that is not settled counts until the end of the session.
    let doc = after(&[preparing("a"), session_ended()]);
    assert_eq!(doc.tasks[0].duration, Some(1.0));
}

#[test]
fn settled_tasks_are_counted_by_what_they_came_to() {
    let lost = settled("b", Settlement::failed(FailureReason::Provisioning, "no room"));
    let stopped = Settlement {
        outcome: Outcome::Stopped,
        ..good_settlement(WorktreeIntent::None)
    };
    for (events, counts) in [
        (vec![], (2, 0, 0, 0)),
        (success("a")[..3].to_vec(), (2, 0, 0, 0)),
        (success("a"), (2, 1, 1, 0)),
        ([success("a"), vec![preparing("b"), lost]].concat(), (2, 2, 1, 1)),
        ([&success("a")[..3], &[settled("a", stopped)]].concat(), (2, 1, 0, 1)),
    ] {
        let doc = after(&events);
        assert_eq!((doc.total, doc.completed, doc.successful, doc.failed), counts);
    }
}

#[test]
fn each_task_shows_how_far_it_is() {
    use TaskStatusName::{Completed, Pending, Running};
    let branch = Some("main-task-a".to_owned());
    let worktree = Some(PathBuf::from("/src/app.pleach/main-task-a"));
    for (steps, status, success, attempts, exit_code) in [
        (0, Pending, None, 0, None),
        (1, Running, None, 0, None),
        (2, Running, None, 1, None),
        (3, Running, None, 1, Some(0)),
        (4, Completed, Some(true), 1, Some(0)),
        (5, Completed, Some(true), 1, Some(0)),
    ] {
        let task = part_way(steps);
        assert_eq!((task.status, task.success), (status, success), "{steps}");
        assert_eq!((task.attempts, task.exit_code), (attempts, exit_code), "{steps}");
        assert_eq!(task.branch, branch.clone().filter(|_| steps > 0), "{steps}");
        // Only as long as it is there.
        assert_eq!(
            task.worktree,
            worktree.clone().filter(|_| (1..5).contains(&steps)),
            "{steps}"
        );
        assert_eq!(task.head.is_some(), steps > 3, "{steps}");
    }
    let task = part_way(5);
    assert_eq!(
        (task.task_num, task.transaction_id.as_str(), task.title.as_str()),
        (1, "a", "Do a")
    );
    let changes = (task.commits, task.files_changed, task.insertions, task.deletions);
    assert_eq!(changes, (Some(1), Some(2), Some(3), Some(4)));
    assert_eq!((task.turns, task.cost_usd), (Some(3), Some(0.5)));
    assert_eq!(
        (task.outcome, task.reason, task.error),
        (Some(Outcome::Succeeded), None, None)
    );
}

#[test]
fn a_worktree_that_stays_is_shown_and_one_that_never_was_is_not() {
    let way = &success("a")[..3];
    let keep = WorktreeIntent::Keep("the task failed".into());
    let shown = |last: EventKind| after(&[way, &[last]].concat()).tasks[0].worktree.is_some();
    assert!(shown(settled("a", good_settlement(keep))));
    assert!(shown(settled("a", good_settlement(WorktreeIntent::Remove))));
    assert!(!shown(settled("a", good_settlement(WorktreeIntent::None))));
    let stays = [&success("a")[..4], &[kept("a")]].concat();
    assert!(after(&stays).tasks[0].worktree.is_some());
}

#[test]
fn a_failed_task_says_why() {
    let failed = Settlement::failed(FailureReason::Exit, "exited with code 3");
    let events = [
        preparing("a"),
        started("a", 1),
        ended("a", bad_attempt()),
        settled("a", failed),
    ];
    let task = after(&events).tasks.remove(0);
    assert_eq!((task.success, task.outcome), (Some(false), Some(Outcome::Failed)));
    assert_eq!(task.reason, Some(FailureReason::Exit));
    assert_eq!(
        (task.error.as_deref(), task.exit_code),
        (Some("exited with code 3"), Some(3))
    );
}

#[test]
fn what_a_runner_says_is_added_until_the_attempt_has_ended() {
    let spec = spec(&["a"]);
    for (steps, turns, cost) in [(2, Some(2), Some(0.25)), (3, Some(3), Some(0.5))] {
        let state = state_after(&spec, &success("a")[..steps]);
        let task = document(&spec, &state, true, |_| Some(live())).tasks.remove(0);
        assert_eq!((task.turns, task.cost_usd), (turns, cost));
    }
    let state = state_after(&spec, &success("a")[..2]);
    let task = document(&spec, &state, true, |record| (record.attempts == 1).then(live))
        .tasks
        .remove(0);
    assert_eq!((task.activity.as_deref(), task.pid), (Some("Write a.txt"), Some(77)));
    assert_eq!(task.last_activity, Some(MADE / 1000 + 2));
}

#[test]
fn the_cost_of_the_session_is_that_of_all_its_agents() {
    let mut spec = spec(&["a", "b", "c"]);
    let dear = |id: &str, cost_usd| {
        let outcome = AttemptOutcome {
            cost_usd,
            ..bad_attempt()
        };
        vec![preparing(id), started(id, 1), ended(id, outcome)]
    };
    let total = |spec: &_, events: &[EventKind], live: Option<Live>| {
        let doc = document(spec, &state_after(spec, events), true, |record| {
            live.clone()
                .filter(|_| record.id == task_id("b") && record.attempt_outcome().is_none())
        });
        (doc.cost_usd, doc.max_cost_usd)
    };
    assert_eq!(total(&spec, &[], None), (None, None));
    assert_eq!(total(&spec, &dear("a", None), None), (None, None));
    assert_eq!(total(&spec, &dear("a", Some(0.0)), None), (Some(0.0), None));
    spec.options.max_cost_usd = Some(2.5);
    let two = [dear("a", Some(0.5)), dear("b", Some(1.0))].concat();
    assert_eq!(total(&spec, &two, Some(live())), (Some(1.5), Some(2.5)));
    // One that has told and still runs.
    assert_eq!(total(&spec, &two[..5], Some(live())), (Some(0.75), Some(2.5)));
    assert_eq!(
        total(&spec, &dear("b", None)[..2], Some(live())),
        (Some(0.25), Some(2.5))
    );
}

#[test]
fn notes_and_warnings_of_a_task_stand_together() {
    let mut events = success("a");
    let text = "taken".to_owned();
    let task = Some(task_id("a"));
    events.insert(0, EventKind::Warned { task, text });
    assert_eq!(after(&events).tasks[0].notes, ["a note", "taken"]);
}

#[test]
fn what_was_skipped_has_failed_with_its_dependency_and_not_with_a_condition() {
    let skipped = |id: &str, reason| {
        let outcome = Outcome::Skipped;
        let reason = Some(reason);
        settled(
            id,
            Settlement {
                outcome,
                reason,
                ..Settlement::stopped()
            },
        )
    };
    for (reason, success, failed) in [
        (FailureReason::Dependency, Some(false), 1),
        (FailureReason::Condition, None, 0),
    ] {
        let doc = after(&[skipped("a", reason)]);
        let task = &doc.tasks[0];
        assert_eq!(
            (task.success, task.outcome, task.status),
            (success, Some(Outcome::Skipped), TaskStatusName::Completed)
        );
        assert_eq!((doc.failed, doc.skipped, doc.completed), (failed, 1, 1));
    }
}

#[test]
fn names_stay_what_scripts_know() {
    let doc = after(&success("a"));
    let value = json!(doc);
    let keys = |value: &Value| -> Vec<String> {
        let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    };
    let words = |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
    let session = "completed cost_usd end_time error failed max_cost_usd overall_status schema session_id skipped start_time \
                   successful supervisor tasks total waiting_for warnings";
    let task = "activity agent_runs attempts base branch commits cost_usd cpu_percent cpu_seconds deletions depends_on duration error \
                exit_code files_changed head insertions last_activity memory_bytes notes outcome pid reason status \
                stopping success task_num title transaction_id turns waiting_until worktree";
    assert_eq!(keys(&value), words(session));
    assert_eq!(keys(&value["tasks"][0]), words(task));
    assert_eq!(keys(&value["supervisor"]), ["alive", "pid"]);
    let first = &value["tasks"][0];
    assert_eq!(
        (&first["status"], &first["outcome"]),
        (&json!("completed"), &json!("succeeded"))
    );
    assert_eq!(value["tasks"][1]["status"], "pending");
    let text = serde_json::to_string(&doc).unwrap();
    assert!(text.starts_with("{\"schema\":1,"), "{text}");
    assert_eq!(serde_json::from_str::<StatusDocument>(&text).unwrap(), doc);
}

// Fault 12: the wall clock jumps a year, back or ahead, between any two events.
#[test]
fn a_clock_that_jumps_makes_no_time_negative() {
    const YEAR_MS: u64 = 365 * 24 * 3_600_000;
    let events = [
        vec![session_started()],
        success("a"),
        vec![preparing("b"), session_ended()],
    ]
    .concat();
    for jump in 1..events.len() {
        for ahead in [false, true] {
            let spec = spec(&["a", "b"]);
            let mut state = SessionState::new(&spec);
            for (index, kind) in events.iter().enumerate() {
                let at_ms = match (index < jump, ahead) {
                    (true, _) => MADE + 1000 * index as u64,
                    (false, true) => MADE + YEAR_MS,
                    (false, false) => MADE - YEAR_MS,
                };
                let kind = kind.clone();
                apply(&mut state, &Event { at_ms, kind }).unwrap();
            }
            let doc = document(&spec, &state, false, |_| None);
            assert_eq!(doc.overall_status, OverallStatus::Completed, "{jump}");
            for duration in doc.tasks.iter().filter_map(|t| t.duration) {
                let longest = if ahead { YEAR_MS / 1000 } else { 10 };
                assert!((0.0..=longest as f64).contains(&duration), "{jump} {ahead}: {duration}");
            }
            // What an agent took is measured by a clock that does not jump.
            assert_eq!(state.tasks[0].attempts_ms, 1000);
        }
    }
    // One that runs, started in what is the future by now.
    let ahead = state_at(now_ms() + YEAR_MS);
    assert_eq!(
        document(&spec(&["a"]), &ahead, true, |_| None).tasks[0].duration,
        Some(0.0)
    );
}

/// One task, whose agent started at that time.
fn state_at(at_ms: u64) -> SessionState {
    let mut state = SessionState::new(&spec(&["a"]));
    for kind in [session_started(), preparing("a"), started("a", 1)] {
        apply(&mut state, &Event { at_ms, kind }).unwrap();
    }
    state
}

/// The document of a session that is held or not, after events at these seconds.
fn at_seconds(events: &[(u64, EventKind)], held: bool, live: Option<&Live>) -> StatusDocument {
    let spec = spec(&["a", "b"]);
    let mut state = SessionState::new(&spec);
    for (second, kind) in events {
        let at_ms = MADE + second * 1000;
        let kind = kind.clone();
        apply(&mut state, &Event { at_ms, kind }).unwrap();
    }
    document(&spec, &state, held, |_| live.cloned())
}

#[test]
fn what_nobody_works_on_takes_no_time() {
    let mut events = vec![(0, session_started()), (1, preparing("a")), (2, started("a", 1))];
    let of = |events: &[(u64, EventKind)], held, live| at_seconds(events, held, live).tasks[0].duration;
    let years = |duration: Option<f64>| duration.is_some_and(|s| s > 365.0 * 24.0 * 3600.0);
    assert!(years(of(&events, true, None)), "until now");
    let at_work = live();
    assert!(years(of(&events, false, Some(&at_work))), "its agent is at work still");
    assert_eq!(of(&events, false, None), Some(1.0));
    let ended = Live {
        ended_ms: Some(MADE + 9_000),
        ..Live::default()
    };
    assert_eq!(of(&events, false, Some(&ended)), Some(8.0));
    // It ended a second after its start, and that was seen an hour later.
    let attempt_ended = super::super::fixture::ended("a", good_attempt());
    events.extend([(3602, session_started()), (3603, attempt_ended)]);
    assert_eq!(of(&events, false, None), Some(2.0));
    // Another hour without anybody.
    events.push((7203, session_started()));
    events.push((7204, settled("a", good_settlement(WorktreeIntent::None))));
    assert_eq!(of(&events, true, None), Some(3.0));
}

#[test]
fn an_agent_that_worked_on_without_a_supervisor_took_that_time() {
    let outcome = AttemptOutcome {
        duration_ms: 3_601_000,
        ..good_attempt()
    };
    let events = [
        (0, session_started()),
        (1, preparing("a")),
        (2, started("a", 1)),
        (3000, session_started()),
        (3603, ended("a", outcome)),
        (3604, settled("a", good_settlement(WorktreeIntent::None))),
    ];
    assert_eq!(at_seconds(&events, true, None).tasks[0].duration, Some(3603.0));
}

#[test]
fn a_task_that_waits_again_is_counted_anew() {
    let mut events = vec![
        (0, session_started()),
        (1, preparing("a")),
        (2, started("a", 1)),
        (3, ended("a", bad_attempt())),
        (4, settled("a", bad_settlement())),
        (5000, retried("a")),
    ];
    let waits = at_seconds(&events, true, None).tasks.remove(0);
    assert_eq!(
        (waits.status, waits.duration, waits.attempts),
        (TaskStatusName::Pending, None, 1)
    );
    events.extend([
        (6000, preparing("a")),
        (6001, started("a", 2)),
        (6002, ended("a", good_attempt())),
        (6003, settled("a", good_settlement(WorktreeIntent::None))),
    ]);
    assert_eq!(at_seconds(&events, true, None).tasks[0].duration, Some(3.0));
}

fn bad_settlement() -> Settlement {
    Settlement {
        outcome: Outcome::Failed,
        ..good_settlement(WorktreeIntent::Keep("it failed".into()))
    }
}

#[test]
fn what_runs_and_was_asked_to_stop_is_stopping() {
    let running = [(0, session_started()), (1, preparing("a")), (2, started("a", 1))];
    let stopping = |more: EventKind| {
        let doc = at_seconds(&[&running[..], &[(3, more)]].concat(), true, None);
        (doc.tasks[0].stopping, doc.tasks[1].stopping)
    };
    let task = task_id("a");
    assert_eq!(stopping(EventKind::TaskStopAsked { task, now: false }), (true, false));
    assert_eq!(stopping(EventKind::StopAsked { now: false }), (true, false));
    assert_eq!(stopping(session_started()), (false, false));
}
