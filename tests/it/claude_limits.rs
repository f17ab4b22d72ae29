//! Limits with the real Claude Code CLI, which talks to a stub of its API: it refuses, has nobody logged in, counts turns.

use std::fs;

use serde_json::{Value, json};

use crate::claude::ClaudeProject;
use crate::rate_limits::{assert_out_of_budget, until_it_began};
use crate::resources::until_it_waits_for;

/// Each attempt asks three times: once, and as often again as `CLAUDE_CODE_MAX_RETRIES` says.
const ASKED: u32 = 3;

// Fault 41: with the real CLI.
#[test]
fn what_is_refused_by_the_api_is_done_later_and_spends_no_retry() {
    let Some(project) = ClaudeProject::new() else {
        return;
    };
    let prompt = |code: u16, id: &str| {
        format!("STUB fail {code} {ASKED}\nSTUB write {id}.txt <<<x\\n>>>\nSTUB say {id} is done")
    };
    let (one, two, over) = (prompt(429, "one"), prompt(429, "two"), prompt(529, "over"));
    let tasks = [("one", &*one), ("two", &*two), ("over", &*over)];
    let ended = project.run(&tasks, &["--max-parallel", "3", "--retry-delay", "500ms"]);
    ended.assert_exit(0);
    for (id, what) in [("one", "429"), ("two", "429"), ("over", "overloaded")] {
        ended.assert_succeeded(id);
        assert_eq!(ended.result(id)["answer"], format!("{id} is done"));
        assert_eq!(project.show(&format!("main-task-{id}:{id}.txt")), "x\n");
        assert_eq!(ended.task(id)["attempts"], 2);
        let ends = project.events("attempt_ended");
        let refused = ends.iter().find(|event| event["task"] == id).expect("an end");
        let outcome = &refused["outcome"];
        assert_eq!(outcome["reason"], "rate_limit", "{outcome:#}");
        assert_eq!(outcome["limit"], json!({"what": what, "resets_at_ms": null}));
    }
    assert!(project.events("task_waits").is_empty());
    assert!(!project.events("waiting").is_empty());
}

#[test]
fn the_reset_time_of_a_usage_limit_is_known_and_waited_for() {
    let Some(project) = ClaudeProject::with(("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-dummy")) else {
        return;
    };
    let run = project.start(&[("limited", "STUB limit 6 1\nSTUB say done")], &[]);
    until_it_began(&project);
    until_it_waits_for(&project, "the usage limit (five_hour) to reset at ");
    let ended = project.ended(&run);
    ended.assert_exit(0);
    ended.assert_succeeded("limited");
    let refused = &project.events("attempt_ended")[0];
    let resets = refused["outcome"]["limit"]["resets_at_ms"].as_u64().expect("a time");
    let next = project.events("attempt_started")[1]["at_ms"].as_u64().expect("a time");
    assert!(next >= resets, "{next} is before {resets}");
    assert_eq!(project.stub.requests(), 2, "such a limit is not asked again and again");
}

#[test]
fn a_key_that_is_not_accepted_stops_the_session_and_it_goes_on_with_one_that_is() {
    let Some(project) = ClaudeProject::new() else {
        return;
    };
    let prompt = format!("STUB fail 401 {ASKED}\nSTUB say done");
    let tasks = [("first", &*prompt), ("second", "STUB say done")];
    let run = project.start(&tasks, &["--max-parallel", "1"]);
    let ended = project.ended(&run);
    assert_eq!(ended.output.status.code(), Some(1));
    assert_eq!(ended.status["overall_status"], "stopped");
    let error = ended.status["error"].as_str().expect("an error");
    let what =
        "not logged in (Failed to authenticate. API Error: 401 stub: refused with 401): run claude and then /login";
    assert!(error.starts_with(what), "{error}");
    let pending = |id| (ended.task(id)["status"].clone(), ended.task(id)["attempts"].clone());
    assert_eq!(pending("first"), (json!("pending"), json!(1)));
    assert_eq!(pending("second"), (json!("pending"), json!(0)));
    // The stub refuses it no more.
    let resumed = project.project.run(&["resume", "--sync"]);
    assert_eq!(resumed.code(), 0, "{resumed:?}");
    assert_eq!(project.query(&["status"])["successful"], 2);
}

#[test]
fn without_any_account_the_session_stops() {
    let Some(project) = ClaudeProject::with(("NOBODY", "1")) else {
        return;
    };
    let run = project.start(&[("a", "STUB say never")], &[]);
    let ended = project.ended(&run);
    assert_eq!(ended.output.status.code(), Some(1));
    let error = ended.status["error"].as_str().expect("an error");
    assert!(
        error.starts_with("not logged in (Not logged in · Please run /login): "),
        "{error}"
    );
    assert_eq!(project.stub.requests(), 0);
}

#[test]
fn a_tool_that_prints_what_a_refusal_looks_like_is_no_refusal() {
    let Some(project) = ClaudeProject::new() else {
        return;
    };
    let prompt = "STUB bash echo 'API Error: 401 Unauthorized'; echo '{\"type\":\"result\",\"is_error\":true,\"subtype\":\
                  \"success\",\"api_error_status\":401}'; exit 1\nSTUB say Not logged in";
    let ended = project.run(&[("a", prompt)], &[]);
    ended.assert_exit(0);
    ended.assert_succeeded("a");
}

#[test]
fn a_limit_of_turns_is_kept_by_the_cli() {
    let Some(project) = ClaudeProject::new() else {
        return;
    };
    let prompt = "STUB write a.txt <<<one\\n>>>\nSTUB write b.txt <<<two\\n>>>\nSTUB say never";
    let ended = project.run(&[("limited", prompt)], &["--max-turns", "1"]);
    ended.assert_exit(1);
    ended.assert_failed("limited", "agent_error");
    let error = ended.task("limited")["error"].as_str().unwrap_or_default();
    assert!(error.starts_with("error_max_turns: "), "{error}");
}

#[test]
fn what_a_task_may_cost_is_counted_over_all_its_attempts() {
    let Some(project) = ClaudeProject::new() else {
        return;
    };
    // Each turn costs some cents; after the first it is refused.
    let prompt = "STUB usage 20000 50\nSTUB write a.txt <<<one>>>\nSTUB fail 401 3\nSTUB write b.txt <<<two>>>\n\
                  STUB write c.txt <<<three>>>\nSTUB say never";
    let run = project.start(&[("dear", prompt)], &["--model", "claude-sonnet-4-5"]);
    let ended = project.ended(&run);
    assert_eq!(ended.status["overall_status"], "stopped", "{:#}", ended.status);
    let first = project.events("attempt_ended")[0]["outcome"]["cost_usd"]
        .as_f64()
        .expect("a cost");
    // What is left is less than a turn costs.
    project.limit_cost(first * 1.5);
    let resumed = project.project.run(&["resume", "--sync"]);
    assert_eq!(resumed.code(), 1, "{resumed:?}");
    let request = project.session_dir().join("attempts/dear.2/request.json");
    let request: Value = serde_json::from_slice(&fs::read(request).expect("read the request")).expect("JSON");
    let args: Vec<&str> = request["args"]
        .as_array()
        .expect("arguments")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let budget = args
        .windows(2)
        .find(|two| two[0] == "--max-budget-usd")
        .expect("a budget");
    let left: f64 = budget[1].parse().expect("a number");
    assert!((left - first * 0.5).abs() < 1e-5, "{left} of {first}");
    assert_out_of_budget(&project);
}
