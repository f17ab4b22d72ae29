//! Limits of the service: all tasks of a session give way to them together, no attempt is spent on them, and it is shown.
//! And when nobody is logged in, the session stops, and goes on where it was.
//!
//! `@rate-limit FILE` and the like refuse as long as there is no such file.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::resources::{until_it_waits_for, waits};
use crate::support::{PATIENCE, Project, Ran, pairs};

/// How many attempts there were.
fn attempts(project: &Project) -> usize {
    project.events("attempt_started").len()
}

fn until_attempts(project: &Project, wanted: usize) {
    project.until(&format!("{wanted} attempts"), |project| {
        (attempts(project) >= wanted).then_some(())
    });
}

/// How many tasks are in a state.
fn in_state(status: &Value, state: &str) -> usize {
    let tasks = status["tasks"].as_array().expect("tasks");
    tasks.iter().filter(|task| task["status"] == state).count()
}

/// Waits until a session that was started with `--sync` is there.
pub fn until_it_began(project: &Project) {
    project.until("a session", |project| {
        project.query(&["list"])["sessions"].get(0).is_some().then_some(())
    });
}

/// So many seconds from now, in Unix seconds.
fn in_seconds(seconds: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    now.as_secs() + seconds
}

/// The first task has failed because nothing was left of what it may cost.
pub fn assert_out_of_budget(project: &Project) {
    let task = &project.query(&["status"])["tasks"][0];
    assert_eq!(
        (&task["outcome"], &task["reason"]),
        (&json!("failed"), &json!("agent_error")),
        "{task:#}"
    );
    let error = task["error"].as_str().expect("an error");
    assert!(
        error.starts_with("error_max_budget_usd: Reached maximum budget ($"),
        "{error}"
    );
}

fn until_settled(project: &Project, wanted: u64) {
    project.until("tasks are settled", |project| {
        (project.query(&["status"])["completed"] == wanted).then_some(())
    });
}

// Fault 41: all agents are refused at the same time.
#[test]
fn agents_that_are_refused_together_wait_together_and_come_back_one_by_one() {
    let project = Project::new();
    let ids: Vec<String> = (1..=8).map(|n| format!("t{n}")).collect();
    let prompts: Vec<String> = ids
        .iter()
        .map(|id| {
            format!(
                "@touch ../../up-{id}\n@wait ../../together\n@rate-limit ../../fine\n@touch ../../on-{id}\n\
                 @wait ../../gate-{id}\n@write {id}.txt x"
            )
        })
        .collect();
    let tasks = pairs(&ids, &prompts);
    let run = project.start_session(&tasks, &["--max-parallel", "8", "--retry-delay", "4s"]);
    for id in &ids {
        project.await_file(&format!("up-{id}"));
    }
    project.open("together");
    let why = until_it_waits_for(&project, "the rate limit of the service (429), until ");
    let text = project.run(&["status"]).out();
    assert!(
        text.contains(&format!("no task starts now: waits for {why}; goes on by itself")),
        "{text}"
    );
    project.open("fine");
    // Half of them come first.
    until_attempts(&project, 12);
    let status = project.query(&["status"]);
    assert_eq!(
        (in_state(&status, "running"), in_state(&status, "pending")),
        (4, 4),
        "{status:#}"
    );
    assert_eq!(status["waiting_for"], Value::Null);
    let all_on = |project: &Project| {
        let on: Vec<&String> = ids
            .iter()
            .filter(|id| project.root().join(format!("on-{id}")).exists())
            .collect();
        (on.len() == 4).then(|| on[0].clone())
    };
    let first = project.until("four are served", all_on);
    // One more after one that was served: two take its place.
    project.open(&format!("gate-{first}"));
    until_attempts(&project, 14);
    until_settled(&project, 1);
    let status = project.query(&["status"]);
    assert_eq!(
        (in_state(&status, "running"), in_state(&status, "pending")),
        (5, 2),
        "{status:#}"
    );
    for id in &ids {
        project.open(&format!("gate-{id}"));
    }
    let ended = project.ended(&run);
    ended.assert_exit(0);
    for id in &ids {
        ended.assert_succeeded(id);
        assert_eq!(ended.task(id)["attempts"], 2, "refused once");
        assert_eq!(project.show(&format!("main-task-{id}:{id}.txt")), "x\n");
    }
    // No retry was there to be spent.
    assert_eq!(project.events("task_put_back").len(), 8);
    assert!(project.events("task_waits").is_empty());
    assert_eq!(
        waits(&project),
        [json!(why), Value::Null],
        "all of them are of one round"
    );
    let refused = project.events("attempt_ended");
    let refused: Vec<&Value> = refused
        .iter()
        .filter(|event| event["outcome"]["reason"] == "rate_limit")
        .collect();
    assert_eq!(refused.len(), 8);
    assert_eq!(
        refused[0]["outcome"]["limit"],
        json!({"what": "429", "resets_at_ms": null})
    );
}

#[test]
fn each_refusal_after_a_wait_makes_the_next_longer() {
    let project = Project::new();
    let run = project.start_session(&[("a", "@rate-limit ../../fine\n@say hi")], &["--retry-delay", "100ms"]);
    until_it_began(&project);
    until_attempts(&project, 4);
    project.open("fine");
    let ended = project.ended(&run);
    ended.assert_exit(0);
    let (ends, starts) = (project.events("attempt_ended"), project.events("attempt_started"));
    let at = |event: &Value| event["at_ms"].as_u64().expect("a time");
    let pauses: Vec<u64> = ends
        .iter()
        .zip(&starts[1..])
        .map(|(end, start)| at(start) - at(end))
        .collect();
    for (pause, least) in pauses.iter().zip([100, 200, 400]) {
        assert!(*pause >= least, "{pauses:?}");
    }
}

#[test]
fn what_was_refused_is_refused_again_as_long_as_the_limit_holds() {
    let project = Project::new();
    let gate = project.beside("gate");
    for directive in ["rate-limit", "usage-limit"] {
        let _ = fs::remove_file(&gate);
        let tasks = project.tasks(&[("a", &format!("@{directive} {gate}\n@say hi"))]);
        let options = ["run", "--agent", "scripted", "--retry-delay", "100ms", &tasks];
        assert_eq!(project.run(&options).code(), 0);
        project.until("the third attempt", |project| {
            (project.query(&["status"])["tasks"][0]["attempts"].as_u64()? > 2).then_some(())
        });
        project.open("gate");
        assert_eq!(project.run(&["wait"]).code(), 0, "{directive}");
    }
}

#[test]
fn who_runs_out_of_time_while_being_refused_has_failed_nothing() {
    let project = Project::new();
    let options = ["--timeout", "1s", "--grace", "100ms", "--retry-delay", "100ms"];
    let run = project.start_session(&[("a", "@limited ../../fine\n@say hi")], &options);
    until_it_began(&project);
    until_attempts(&project, 2);
    project.open("fine");
    let ended = project.ended(&run);
    ended.assert_exit(0);
    let refused = project.events("attempt_ended")[0]["outcome"].to_string();
    for part in [
        "rate_limit",
        "ran longer than 1 s, at last refused by the service (429)",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
    assert!(project.events("task_waits").is_empty(), "a retry was spent");
}

#[test]
fn a_reset_time_is_waited_for() {
    let project = Project::new();
    let prompt = format!("@usage-limit ../../fine {}\n@say hi", in_seconds(8));
    let tasks = [("a", &*prompt), ("b", "@say hi")];
    let run = project.start_session(&tasks, &["--max-parallel", "1", "--retry-delay", "0"]);
    until_it_began(&project);
    until_it_waits_for(&project, "the usage limit (five_hour) to reset at ");
    project.open("fine");
    let ended = project.ended(&run);
    ended.assert_exit(0);
    let refused = &project.events("attempt_ended")[0];
    let resets = refused["outcome"]["limit"]["resets_at_ms"].as_u64().expect("a time");
    let next = project.events("attempt_started")[1]["at_ms"].as_u64().expect("a time");
    assert!(next >= resets, "{next} is before {resets}");
    assert_eq!(ended.task("a")["attempts"], 2);
}

#[test]
fn a_limit_without_end_is_shown_can_be_stopped_at_once_and_is_known_to_whoever_goes_on() {
    let project = Project::new();
    let prompt = format!("@write a.txt x\n@usage-limit ../../fine {}\n@say hi", in_seconds(7200));
    let tasks = [("a", &*prompt), ("b", "@say hi")];
    let session = project.start(&tasks, &["--max-parallel", "1"]);
    let why = until_it_waits_for(&project, "the usage limit (five_hour) to reset at ");
    // Whoever takes over waits for the same.
    project.kill_supervisor();
    let resumed = project.run(&["resume", &session]);
    assert_eq!(resumed.code(), 0, "{resumed:?}");
    assert_eq!(until_it_waits_for(&project, "the usage limit "), why);
    assert_eq!(attempts(&project), 1);
    let stopped = Ran(project
        .pleach(&["stop", &session])
        .recv_timeout(PATIENCE)
        .expect("it stops"));
    assert_eq!(stopped.code(), 0, "{stopped:?}");
    let status = project.query(&["status"]);
    assert_eq!(
        (&status["overall_status"], &status["error"]),
        (&json!("stopped"), &json!("stopped on request"))
    );
    assert_eq!(in_state(&status, "pending"), 2, "{status:#}");
    // What it has done is there still.
    assert!(project.worktree("a").join("a.txt").exists());
    // Who goes on with what was stopped knows better than the recorded time: it is tried at once.
    project.open("fine");
    let resumed = project.run(&["resume", &session, "--sync"]);
    assert_eq!(resumed.code(), 0, "{resumed:?}");
    assert_eq!(project.query(&["status"])["successful"], 2);
}

#[test]
fn nothing_starts_while_an_agent_that_runs_is_refused() {
    let project = Project::new();
    let tasks = [
        ("refused", "@limited ../../fine\n@say hi"),
        ("other", "@wait ../../gate\n@say hi"),
        ("next", "@say hi"),
    ];
    let run = project.start_session(&tasks, &["--max-parallel", "2"]);
    until_it_began(&project);
    project.until("it is refused", |project| {
        let status = project.query(&["status"]);
        let activity = status["tasks"][0]["activity"].as_str()?;
        activity.starts_with("rate_limit: retry ").then_some(())
    });
    // Nothing is waited for as long as there is nothing to start.
    assert!(waits(&project).is_empty());
    project.open("gate");
    until_it_waits_for(
        &project,
        "the rate limit of the service (429): agents that run are refused",
    );
    assert_eq!(attempts(&project), 2);
    project.open("fine");
    let ended = project.ended(&run);
    ended.assert_exit(0);
    assert_eq!(attempts(&project), 3, "it got through by itself");
}

#[test]
fn without_a_login_the_session_stops_and_goes_on_where_it_was() {
    let project = Project::new();
    let tasks = [
        ("out", "@wait ../../up\n@write out.txt x\n@login ../../in\n@say hi"),
        ("also", "@wait ../../up\n@login ../../in\n@say hi"),
        ("works", "@touch ../../up\n@wait ../../gate\n@write works.txt x"),
        ("later", "@say hi"),
    ];
    let run = project.start_session(&tasks, &["--max-parallel", "3", "--retry-delay", "0"]);
    project.await_file("up");
    let what = "not logged in (Not logged in · Please run /login): run claude and then /login, or set \
                ANTHROPIC_API_KEY, and go on with the session then";
    project.until("it is said while another works", |project| {
        let warned = project.query(&["status"])["warnings"][0].as_str()?.to_owned();
        warned.starts_with(what).then_some(())
    });
    project.until("both are back", |project| {
        (project.events("task_put_back").len() == 2).then_some(())
    });
    project.open("gate");
    let ended = project.ended(&run);
    assert_eq!(ended.output.status.code(), Some(1));
    let status = &ended.status;
    assert_eq!(status["overall_status"], "stopped");
    let error = status["error"].as_str().expect("an error");
    assert!(error.starts_with(what), "{error}");
    assert_eq!(status["warnings"].as_array().map(Vec::len), Some(1), "it is said once");
    ended.assert_succeeded("works");
    for (id, attempts) in [("out", 1), ("also", 1), ("later", 0)] {
        let task = ended.task(id);
        assert_eq!(
            (&task["status"], &task["attempts"]),
            (&json!("pending"), &json!(attempts)),
            "{task:#}"
        );
        assert_eq!(task["outcome"], Value::Null);
    }
    assert!(
        project.worktree("out").join("out.txt").exists(),
        "its work stays as it is"
    );
    assert_eq!(project.run(&["wait"]).code(), 1);

    // Still out: it stops again, without having lost anything.
    let again = project.run(&["resume", "--sync"]);
    assert_eq!(again.code(), 1, "{again:?}");
    assert_eq!(project.query(&["status"])["overall_status"], "stopped");
    // As it says.
    project.open("in");
    let hint = project.run(&["status"]).err();
    let (_, id) = hint.trim_end().rsplit_once(" resume ").expect("a command");
    let resumed = project.run(&["resume", id, "--sync"]);
    assert_eq!(resumed.code(), 0, "{resumed:?}");
    let status = project.query(&["status"]);
    assert_eq!(
        (&status["overall_status"], &status["successful"], &status["error"]),
        (&json!("completed"), &json!(4), &Value::Null)
    );
    assert_eq!(project.show("main-task-out:out.txt"), "x\n");
}

#[test]
fn what_only_looks_like_a_refusal_is_a_matter_of_its_task() {
    let project = Project::new();
    let tasks = [
        ("tool", "@run echo 'API Error: 401 Unauthorized'; exit 1\n@say ok"),
        ("says", "@say Not logged in · Please run /login"),
        ("limit", "@say You've hit your limit · resets 3pm (UTC)"),
        ("stderr", "@stderr API Error: Request rejected (429)\n@exit 1"),
        ("plain", "@plain\n@say API Error: 429 slow down\n@exit 1"),
        ("error", "@fail API Error: 401 of something else"),
    ];
    let ended = project.session(&tasks, &[]);
    ended.assert_exit(1);
    for id in ["tool", "says", "limit"] {
        ended.assert_succeeded(id);
    }
    for (id, reason) in [("stderr", "exit"), ("plain", "exit"), ("error", "agent_error")] {
        ended.assert_failed(id, reason);
    }
    assert!(project.events("session_halted").is_empty() && waits(&project).is_empty());
    assert_eq!(attempts(&project), 6);
}

#[test]
fn a_refused_task_that_was_asked_to_stop_is_stopped() {
    let project = Project::new();
    let tasks = [(
        "a",
        "@touch ../../up\n@ignore-sigterm\n@wait ../../gate\n@rate-limit ../../never",
    )];
    let session = project.start(&tasks, &["--grace", "60s"]);
    project.await_file("up");
    let stop = project.pleach(&["stop", &session]);
    project.until("it is asked", |project| {
        (!project.events("stop_asked").is_empty()).then_some(())
    });
    project.open("gate");
    assert_eq!(Ran(stop.recv_timeout(PATIENCE).expect("it stops")).code(), 0);
    let status = project.query(&["status"]);
    assert_eq!(status["tasks"][0]["outcome"], "stopped", "{status:#}");
    assert!(project.events("task_put_back").is_empty());
}

#[test]
fn starts_are_as_far_apart_as_the_user_wants() {
    let project = Project::new();
    let tasks = [("a", "@say hi"), ("b", "@say hi"), ("c", "@say hi")];
    let ended = project.session(&tasks, &["--max-parallel", "3", "--stagger", "700ms"]);
    ended.assert_exit(0);
    let starts = project.events("attempt_started");
    let at: Vec<u64> = starts.iter().filter_map(|start| start["at_ms"].as_u64()).collect();
    assert_eq!(at.len(), 3);
    // By the clock on the wall it may be a little less.
    assert!(at.windows(2).all(|two| two[1] - two[0] >= 690), "{at:?}");
    assert!(waits(&project).is_empty(), "that is nothing to wait for");
}

#[test]
fn a_limit_of_turns_is_passed_on_and_says_so_when_it_is_reached() {
    let project = Project::new();
    let prompt = "@write a.txt x\n@write b.txt x\n@say hi";
    let ended = project.session(&[("a", prompt)], &["--max-turns", "1"]);
    ended.assert_exit(1);
    ended.assert_failed("a", "agent_error");
    assert_eq!(
        ended.task("a")["error"],
        "error_max_turns: Reached maximum number of turns (1)"
    );
    assert_eq!(project.changed_in("main-task-a"), "a.txt\n");
}

#[test]
fn what_a_task_may_cost_is_counted_over_its_attempts_and_ends_them() {
    let project = Project::new();
    // A cent for each turn, and half a dollar.
    let tasks = [(
        "a",
        "@cost 0.5\n@write a.txt x\n@login ../../in\n@write b.txt x\n@write c.txt x",
    )];
    let ended = project.session(&tasks, &[]);
    assert_eq!(ended.status["overall_status"], "stopped");
    project.limit_cost(0.53);
    project.open("in");
    let resumed = project.run(&["resume", "--sync"]);
    assert_eq!(resumed.code(), 1, "{resumed:?}");
    assert_out_of_budget(&project);
    // Nothing is left of it, so it is not tried again either.
    let again = project.run(&["resume", "--retry-failed", "--sync"]);
    assert_eq!(attempts(&project), 2, "{again:?}");
    let notes = project.query(&["status"])["tasks"][0]["notes"].to_string();
    assert!(
        notes.contains("it is not tried again: what it may cost is used up"),
        "{notes}"
    );
}
