//! The limit of what a session may cost: above it nothing more starts, what runs goes on to its end, and the rest stays
//! pending.
//!
//! A scripted agent costs a cent for each turn, and what `@cost` says.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{PATIENCE, Project, Ran};

const WAITS: &str = "@touch ../../here\n@wait ../../gate\n@write slow.txt done";

#[track_caller]
fn assert_cost(status: &Value, expected: f64) {
    let cost = status["cost_usd"].as_f64().expect("a cost");
    assert!((cost - expected).abs() < 1e-6, "{cost} is not {expected}");
}

/// What a task is when it has not begun.
#[track_caller]
fn assert_pending(task: &Value) {
    assert_eq!(
        (&task["status"], &task["attempts"]),
        (&json!("pending"), &json!(0)),
        "{task:#}"
    );
    for key in ["outcome", "success", "branch", "worktree", "duration", "cost_usd"] {
        assert_eq!(task[key], Value::Null, "{task:#}");
    }
}

#[test]
fn above_the_limit_nothing_more_starts_and_the_rest_stays_pending() {
    let project = Project::new();
    let tasks = [
        ("one", "@cost 0.74\n@write one.txt x"),
        ("two", "@cost 0.5\n@fail no credit"),
        ("three", "@say hi"),
        ("four", "@say hi"),
    ];
    let ended = project.session(&tasks, &["--max-parallel", "1", "--max-cost", "$1"]);
    let (out, err) = (
        String::from_utf8_lossy(&ended.output.stdout).into_owned(),
        String::from_utf8_lossy(&ended.output.stderr).into_owned(),
    );
    assert_eq!(ended.output.status.code(), Some(1), "{out}{err}");
    assert!(
        err.starts_with("4 tasks, 1 at once, permissions skipped, cost limit $1.00\n"),
        "{err}"
    );
    let warning = "the cost limit of $1.00 is reached ($1.26): 2 tasks are not started";
    assert_eq!(err.matches(warning).count(), 1, "{err}");
    let counts = "stopped, 2 of 4 tasks settled: 1 successful, 1 failed, $1.26 (limit $1.00)";
    assert!(out.contains(counts), "{out}");
    let status = &ended.status;
    assert_eq!(status["overall_status"], "stopped");
    assert_eq!(status["error"], "cost limit of $1.00 reached: $1.26");
    assert_eq!(status["warnings"], json!([warning]));
    assert_eq!(status["max_cost_usd"], 1.0);
    assert_cost(status, 1.26);
    ended.assert_succeeded("one");
    ended.assert_failed("two", "agent_error");
    for id in ["three", "four"] {
        assert_pending(ended.task(id));
        assert_eq!(project.git(&["branch", "--list", &format!("main-task-{id}")]), "");
    }
    assert!(ended.left.is_empty(), "{:?}", ended.left);
    assert_eq!(project.run(&["wait"]).code(), 1);
    let text = project.run(&["status"]).out();
    assert!(
        text.contains(counts) && text.contains(&format!("warning: {warning}")),
        "{text}"
    );
    let on_disk = fs::read(project.session_dir().join("status.json")).expect("read the status");
    assert_eq!(&serde_json::from_slice::<Value>(&on_disk).expect("JSON"), status);
}

#[test]
fn agents_that_run_go_on_when_the_limit_is_crossed() {
    let project = Project::new();
    let tasks = [("slow", WAITS), ("dear", "@cost 2"), ("never", "@say hi")];
    let run = project.start_session(&tasks, &["--max-parallel", "2", "--max-cost", "1.50"]);
    project.await_file("here");
    project.until("the limit is told", |project| {
        let warned = project.query(&["status"])["warnings"].to_string();
        warned.contains("1 task is not started").then_some(())
    });
    let running = project.query(&["status"]);
    assert_eq!(running["overall_status"], "running", "{running:#}");
    assert_cost(&running, 2.01);
    project.open("gate");
    let ended = project.ended(&run);
    assert_eq!(ended.output.status.code(), Some(1));
    ended.assert_succeeded("slow");
    assert_eq!(project.show("main-task-slow:slow.txt"), "done\n");
    assert_pending(ended.task("never"));
    // What the last one cost is in it.
    assert_eq!(ended.status["error"], "cost limit of $1.50 reached: $2.04");
}

#[test]
fn a_limit_that_the_last_agents_cross_changes_nothing() {
    let project = Project::new();
    let tasks = [("a", "@cost 0.5"), ("b", "@cost 3")];
    let ended = project.session(&tasks, &["--max-parallel", "1", "--max-cost", "1"]);
    ended.assert_exit(0);
    assert_cost(&ended.status, 3.52);
    assert_eq!(
        (&ended.status["error"], &ended.status["warnings"]),
        (&Value::Null, &json!([]))
    );
}

#[test]
fn without_a_limit_and_below_it_everything_is_done() {
    for (options, limit) in [(&[][..], Value::Null), (&["--max-cost", "100"], json!(100.0))] {
        let project = Project::new();
        let ended = project.session(&[("a", "@cost 9"), ("b", "@cost 9"), ("c", "@say hi")], options);
        ended.assert_exit(0);
        assert_eq!(ended.status["max_cost_usd"], limit);
        assert_cost(&ended.status, 18.03);
    }
}

#[test]
fn an_agent_that_tells_no_cost_costs_nothing() {
    let project = Project::new();
    let tasks = [("a", "echo hi"), ("b", "echo hi")];
    let ended = project.shell_session(&tasks, &["--max-parallel", "1", "--max-cost", "0.01"]);
    ended.assert_exit(0);
    assert_eq!(ended.status["cost_usd"], Value::Null);
}

#[test]
fn a_session_above_its_limit_can_be_stopped() {
    let project = Project::new();
    let tasks = [("slow", WAITS), ("dear", "@cost 2"), ("never", "@say hi")];
    let run = project.start_session(&tasks, &["--max-parallel", "2", "--max-cost", "1"]);
    project.await_file("here");
    project.until("the limit is told", |project| {
        let warned = project.query(&["status"])["warnings"].to_string();
        warned.contains("cost limit").then_some(())
    });
    let stop = project.pleach(&["stop"]);
    let stop = Ran(stop.recv_timeout(PATIENCE).expect("it stops"));
    assert_eq!(stop.code(), 0, "{stop:?}");
    let ended = project.ended(&run);
    assert_eq!(ended.output.status.code(), Some(1));
    assert_eq!(ended.status["error"], "stopped on request");
    assert_eq!(ended.task("slow")["outcome"], "stopped");
    assert_pending(ended.task("never"));
}

#[test]
fn a_limit_is_an_amount_of_dollars() {
    let project = Project::new();
    for bad in ["0", "-1", "five", "1e9", "inf", ""] {
        let option = format!("--max-cost={bad}");
        let ran = project.run(&["run", "--agent", "scripted", "-p", "@say hi", &option]);
        assert_eq!(ran.code(), 2, "{ran:?}");
        assert!(ran.err().contains("such as 5, 2.50 or $5"), "{ran:?}");
    }
    assert!(!project.repo().join(".git/pleach").exists());
}

#[test]
fn a_session_of_a_version_without_limits_is_read() {
    let project = Project::new();
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sessions/before-the-cost-limit");
    let id = "ed410a64-0897-4f4a-8a42-315be4eb1bac";
    let session = project.repo().join(".git/pleach/results").join(format!("session-{id}"));
    fs::create_dir_all(&session).expect("make a directory");
    for file in ["session.json", "journal.jsonl"] {
        fs::copy(frozen.join(file), session.join(file)).expect("copy a file");
    }
    let status = project.query(&["status"]);
    assert_eq!(
        (&status["session_id"], &status["overall_status"]),
        (&json!(id), &json!("completed"))
    );
    assert_eq!(status["max_cost_usd"], Value::Null);
    assert_cost(&status, 0.02);
    assert_eq!(project.run(&["wait"]).code(), 1, "one of its tasks failed");
}
