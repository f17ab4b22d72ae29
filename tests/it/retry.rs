//! `--retry`: what failed is tried again after a while, in the same conversation and worktree, and is told what went
//! wrong; whoever waits for that is in nobody's way, survives a crash, and is settled when there is to be no other attempt.
//!
//! A scripted agent that goes on with a conversation goes on with its script: after what made it fail.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::resume::{kill, resumed, runner};
use crate::support::{Ended, Project};

/// Longer than any test.
const LATER: &str = "1h";

/// What the attempts of a task began with: their conversations, and whether they went on with them.
pub fn conversations(project: &Project, id: &str) -> Vec<(String, bool)> {
    let started = project
        .events("attempt_started")
        .into_iter()
        .filter(|e| e["task"] == id);
    started
        .map(|event| {
            let conversation = event["conversation"].as_str().expect("an id").to_owned();
            (conversation, event["resumes"] == true)
        })
        .collect()
}

/// What the runner of an attempt was asked.
pub fn request(project: &Project, id: &str, number: u32) -> Value {
    let path = attempt(project, id, number).join("request.json");
    serde_json::from_slice(&fs::read(path).expect("a request")).expect("JSON")
}

fn attempt(project: &Project, id: &str, number: u32) -> PathBuf {
    project.session_dir().join("attempts").join(format!("{id}.{number}"))
}

/// The argument after another one.
fn after<'r>(request: &'r Value, name: &str) -> Option<&'r str> {
    let args = request["args"].as_array().expect("arguments");
    let at = args.iter().position(|arg| arg == name)?;
    args[at + 1].as_str()
}

/// Waits until a task waits for another attempt, and gives it as it is shown.
pub fn waits(project: &Project, id: &str) -> Value {
    project.until("a wait for another attempt", |project| {
        // There may be no session yet.
        let ran = project.run(&["status", "--json"]);
        let status = (ran.code() == 0).then(|| ran.json())?;
        let mut tasks = status["tasks"].as_array()?.iter();
        let is_waiting = |task: &&Value| task["transaction_id"] == id && task["waiting_until"].is_number();
        tasks.find(is_waiting).cloned()
    })
}

/// The second attempt went on in the conversation of the first.
#[track_caller]
pub fn assert_went_on(project: &Project, id: &str) {
    let conversations = conversations(project, id);
    assert_eq!((&conversations[0].0, true), (&conversations[1].0, conversations[1].1));
}

#[track_caller]
pub fn assert_cost(value: &Value, expected: f64) {
    let cost = value["cost_usd"].as_f64().expect("a cost");
    assert!((cost - expected).abs() < 1e-6, "{cost} is not {expected}");
}

#[test]
fn a_retry_goes_on_in_the_same_conversation_and_is_told_what_went_wrong() {
    let project = Project::new();
    let script = "@write a.txt one\n@cost 0.5\n@fail no credit\n@write b.txt two\n@exit 3\n@say done at last";
    let ended = project.session(&[("a", script)], &["--retry", "2", "--retry-delay", "100ms"]);
    ended.assert_exit(0);
    ended.assert_succeeded("a");
    assert_eq!(ended.task("a")["attempts"], 3);
    assert_eq!(ended.result("a")["answer"], "done at last");
    let conversations = conversations(&project, "a");
    let first = conversations[0].0.clone();
    assert_eq!(
        conversations,
        [(first.clone(), false), (first.clone(), true), (first.clone(), true)]
    );
    assert_eq!(project.changed_in("main-task-a"), "a.txt\nb.txt\n");
    assert_eq!(project.git(&["rev-list", "--count", "main..main-task-a"]), "1\n");
    // Two turns of a cent, what was added, and the last answer: nothing is counted twice.
    assert_cost(ended.task("a"), 0.53);
    assert_cost(&ended.status, 0.53);
    let second = request(&project, "a", 2);
    let told = second["stdin"].as_str().expect("a prompt");
    assert!(
        told.starts_with("The last attempt at this task ended without success: no credit.\n"),
        "{told}"
    );
    assert_eq!(
        (after(&second, "--resume"), after(&second, "--session-id")),
        (Some(first.as_str()), None)
    );
    for number in 1..=3 {
        assert!(attempt(&project, "a", number).join("output.log").is_file());
    }
    let last = fs::read(attempt(&project, "a", 3).join("output.log")).expect("a log");
    assert_eq!(fs::read(project.session_dir().join("task-a.log")).expect("a log"), last);
    let err = String::from_utf8_lossy(&ended.output.stderr).into_owned();
    assert!(err.contains("  tries again in 1 s: no credit\n"), "{err}");
    assert!(project.run(&["status"]).out().contains(", 3 attempts, "));
}

#[test]
fn when_no_retry_is_left_the_task_is_what_the_last_attempt_came_to() {
    let project = Project::new();
    let tasks = [
        ("a", "@write a.txt x\n@fail one\n@fail two\n@fail three"),
        ("b", "@deny Bash\n@say I could not"),
    ];
    let ended = project.session(&tasks, &["--retry", "1", "--retry-delay", "0"]);
    ended.assert_exit(1);
    ended.assert_failed("a", "agent_error");
    assert_eq!(
        (&ended.task("a")["error"], &ended.task("a")["attempts"]),
        (&json!("two"), &json!(2))
    );
    assert_eq!(project.show("main-task-a:a.txt"), "x\n");
    // The same would be refused again.
    ended.assert_failed("b", "denied_tools");
    assert_eq!(ended.task("b")["attempts"], 1);
}

#[test]
fn a_time_out_is_gone_on_with_too() {
    let project = Project::new();
    let script = "@write a.txt x\n@wait ../../gate\n@say done";
    let options = ["--timeout", "2s", "--retry", "1", "--retry-delay", "4s"];
    let run = project.start_session(&[("a", script)], &options);
    waits(&project, "a");
    project.open("gate");
    let ended = project.ended(&run);
    ended.assert_exit(0);
    ended.assert_succeeded("a");
    assert!(conversations(&project, "a")[1].1);
    let wait = &project.events("task_waits")[0]["wait"];
    assert_eq!(
        (&wait["next"], &wait["why"]),
        (&json!("resume"), &json!("ran longer than 2 s"))
    );
}

#[test]
fn an_agent_without_a_conversation_begins_anew_with_the_whole_prompt_in_the_same_worktree() {
    let project = Project::new();
    let script = "if [ -e a.txt ]; then echo two >b.txt; else echo one >a.txt; exit 3; fi";
    let ended = project.shell_session(&[("a", script)], &["--retry", "1", "--retry-delay", "0"]);
    ended.assert_exit(0);
    ended.assert_succeeded("a");
    assert_eq!(project.changed_in("main-task-a"), "a.txt\nb.txt\n");
    let conversations = conversations(&project, "a");
    assert!(conversations[0].0 != conversations[1].0 && !conversations[1].1);
    let second = request(&project, "a", 2);
    assert_eq!(second["stdin"], script);
    let rules = after(&second, "--append-system-prompt").expect("rules");
    assert!(
        rules.contains("ended without success: exited with code 3. What it left is in the current directory"),
        "{rules}"
    );
    let rules = request(&project, "a", 1);
    assert!(
        !after(&rules, "--append-system-prompt")
            .expect("rules")
            .contains("attempt")
    );
}

#[test]
fn a_conversation_that_is_gone_is_begun_anew_at_once_and_for_nothing() {
    let project = Project::new();
    let run = project.start_session(
        &[("a", "@write a.txt x\n@fail no")],
        &["--retry", "1", "--retry-delay", "6s"],
    );
    waits(&project, "a");
    fs::remove_dir_all(project.root().join("home/.local/state/pleach/scripted")).expect("remove the conversations");
    let ended = project.ended(&run);
    ended.assert_exit(1);
    ended.assert_failed("a", "agent_error");
    assert_eq!(ended.task("a")["attempts"], 3);
    let conversations = conversations(&project, "a");
    assert_eq!(conversations[0].0, conversations[1].0);
    assert_ne!(conversations[1].0, conversations[2].0);
    assert_eq!(
        [false, true, false],
        [conversations[0].1, conversations[1].1, conversations[2].1]
    );
    let waits = project.events("task_waits");
    let second = &waits[1]["wait"];
    assert_eq!(
        (waits.len(), &second["delay_ms"], &second["counts"], &second["next"]),
        (2, &json!(0), &json!(false), &json!("anew"))
    );
    // What went wrong before is told, not that the conversation was gone.
    let third = request(&project, "a", 3);
    let rules = after(&third, "--append-system-prompt").expect("rules");
    assert!(rules.contains("ended without success: no."), "{rules}");
}

#[test]
fn whoever_waits_is_shown_holds_up_nobody_and_is_settled_when_it_is_to_stop() {
    let tasks = [
        ("a", "@write a.txt x\n@cost 0.25\n@fail no credit"),
        ("b", "@write b.txt x"),
    ];
    for named in [&[][..], &["a"]] {
        let project = Project::new();
        let session = project.start(&tasks, &["--max-parallel", "1", "--retry", "3", "--retry-delay", LATER]);
        let other = project.until("the end of the other task", |project| {
            let status = project.query(&["status"]);
            (status["completed"] == 1).then_some(status)
        });
        assert_eq!(other["tasks"][1]["outcome"], "succeeded", "{other:#}");
        let task = waits(&project, "a");
        assert_eq!(
            (&task["status"], &task["attempts"]),
            (&json!("pending"), &json!(1)),
            "{task:#}"
        );
        assert_eq!((&task["outcome"], &task["success"]), (&Value::Null, &Value::Null));
        assert_cost(&task, 0.26);
        let doing = task["activity"].as_str().expect("an activity");
        assert!(
            doing.starts_with("tries again in ") && doing.ends_with(": no credit"),
            "{doing}"
        );
        let text = project.run(&["status"]).out();
        assert!(
            text.contains("tries again in ") && text.contains("after attempt 1"),
            "{text}"
        );
        let stop = project.run(&[&["stop", &session], named].concat());
        assert_eq!(stop.code(), 0, "{stop:?}");
        let status = project.query(&["status"]);
        assert_eq!(status["overall_status"], "completed", "{status:#}");
        let task = &status["tasks"][0];
        assert_eq!(
            (
                &task["outcome"],
                &task["reason"],
                &task["error"],
                &task["waiting_until"]
            ),
            (
                &json!("failed"),
                &json!("agent_error"),
                &json!("no credit"),
                &Value::Null
            ),
            "{task:#}"
        );
        assert_eq!(project.show("main-task-a:a.txt"), "x\n");
        assert_eq!(project.agents(), [""; 0]);
    }
}

#[test]
fn a_limit_of_the_cost_ends_the_wait() {
    let project = Project::new();
    let tasks = [
        ("a", "@write a.txt x\n@fail no credit\n@say never"),
        ("b", "@wait ../../gate\n@cost 2"),
    ];
    let options = ["--max-cost", "1", "--retry", "1", "--retry-delay", LATER];
    let run = project.start_session(&tasks, &options);
    waits(&project, "a");
    project.open("gate");
    let ended = project.ended(&run);
    ended.assert_exit(1);
    ended.assert_failed("a", "agent_error");
    ended.assert_succeeded("b");
    assert_eq!(project.show("main-task-a:a.txt"), "x\n");
}

#[test]
fn a_crash_while_it_waits_changes_nothing_but_who_waits() {
    let project = Project::new();
    let script = "@write a.txt x\n@fail no credit\n@say done";
    let options = ["--retry", "1", "--retry-delay", "8s"];
    project.start(&[("a", script)], &options);
    let task = waits(&project, "a");
    let shown = project.kill_supervisor();
    assert_eq!(
        shown["tasks"][0]["activity"], "is to be tried again: no credit",
        "{shown:#}"
    );
    assert_eq!(shown["tasks"][0]["waiting_until"], task["waiting_until"]);
    assert_eq!(project.run(&["resume"]).code(), 0);
    let again = waits(&project, "a");
    assert_eq!(again["waiting_until"], task["waiting_until"]);
    project.kill_supervisor();
    // It is over when the next one comes.
    let over = project.events("task_waits")[0]["wait"]["until_ms"]
        .as_u64()
        .expect("a time");
    project.until("the end of the wait", |_| {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("a time");
        (now.as_millis() > u128::from(over)).then_some(())
    });
    let status = resumed(&project, &[]);
    let task = &status["tasks"][0];
    assert_eq!(
        (&task["outcome"], &task["attempts"]),
        (&json!("succeeded"), &json!(2)),
        "{task:#}"
    );
    assert_eq!(project.events("task_waits").len(), 1);
    let conversations = conversations(&project, "a");
    assert_eq!((&conversations[0].0, true), (&conversations[1].0, conversations[1].1));
}

#[test]
fn an_attempt_whose_runner_was_lost_goes_on_in_its_conversation() {
    let project = Project::new();
    let script = "@write a.txt x\n@wait ../../gate\n@write b.txt x\n@say done";
    project.start(&[("a", script)], &[]);
    let live = attempt_live(&project);
    project.until("a word of the conversation", |_| {
        let text = fs::read_to_string(&live).unwrap_or_default();
        let seen = serde_json::from_str::<Value>(&text).is_ok_and(|live| live["conversation_seen"] == true);
        (seen && project.worktree("a").join("a.txt").exists()).then_some(())
    });
    project.kill_supervisor();
    kill(runner(&project, "a"));
    project.open("gate");
    let status = resumed(&project, &[]);
    let task = &status["tasks"][0];
    assert_eq!(
        (&task["outcome"], &task["attempts"]),
        (&json!("succeeded"), &json!(2)),
        "{task:#}"
    );
    assert_went_on(&project, "a");
    let told = request(&project, "a", 2)["stdin"].clone();
    assert!(
        told.as_str()
            .is_some_and(|told| told.contains("its runner ended without an outcome")),
        "{told}"
    );
    assert_eq!(project.changed_in("main-task-a"), "a.txt\nb.txt\n");
}

fn attempt_live(project: &Project) -> PathBuf {
    project.attempt_dir("a").join("live.json")
}

// Fault 2: the agent is killed, and there is a retry.
#[test]
fn a_killed_agent_is_gone_on_with() {
    let project = Project::new();
    let script = "@write a.txt x\n@run kill -9 $PPID\n@say done";
    let ended: Ended = project.session(&[("a", script)], &["--retry", "2", "--retry-delay", "0"]);
    // The kill is not done when it is done: it is tried to the end.
    ended.assert_exit(1);
    ended.assert_failed("a", "exit");
    assert_eq!(ended.task("a")["attempts"], 3);
    assert!(conversations(&project, "a")[1..].iter().all(|(_, resumes)| *resumes));
    let project = Project::new();
    let script = "@write a.txt x\n@run [ -e ../../killed ] || { touch ../../killed; kill -9 $PPID; }\n@say done";
    let ended = project.session(&[("a", script)], &["--retry", "1", "--retry-delay", "0"]);
    ended.assert_exit(0);
    ended.assert_succeeded("a");
    assert_eq!(project.show("main-task-a:a.txt"), "x\n");
}

#[test]
fn what_did_not_pass_is_told_with_the_end_of_its_output_and_mended() {
    let project = Project::new();
    let script = "@write a.txt bad\n@say I think so";
    let mended = project.beside("mended");
    let verify = format!("cat a.txt; echo it is not good; [ -e {mended} ]");
    let options = ["--retry", "1", "--retry-delay", "5s", "--verify", &verify];
    let run = project.start_session(&[("a", script)], &options);
    let task = waits(&project, "a");
    assert!(
        task["activity"]
            .as_str()
            .is_some_and(|doing| doing.contains("exited with code 1: it is not good")),
        "{task:#}"
    );
    project.open("mended");
    let ended = project.ended(&run);
    ended.assert_exit(0);
    ended.assert_succeeded("a");
    assert_went_on(&project, "a");
    let told = request(&project, "a", 2)["stdin"].clone();
    let told = told.as_str().expect("a prompt");
    assert!(
        told.contains(&format!(
            "\n\nThe end of the output of `{verify}`:\n\nbad\nit is not good\n\nSee to that"
        )),
        "{told}"
    );
}

#[test]
fn whatever_a_verification_prints_the_next_attempt_starts_and_is_told_of_it() {
    let project = Project::new();
    // With a NUL in an argument no program starts.
    let verify = r"printf '\033[31mred\000\033[0m\r\n'; false";
    let options = [
        "--verify",
        verify,
        "--retry",
        "1",
        "--retry-fresh",
        "--retry-delay",
        "100ms",
    ];
    let ended = project.session(&[("one", "@say hi")], &options);
    ended.assert_failed("one", "verify");
    let request = request(&project, "one", 2);
    let told = after(&request, "--append-system-prompt").expect("what it is told");
    assert!(told.ends_with("\n\nred"), "{told:?}");
}
