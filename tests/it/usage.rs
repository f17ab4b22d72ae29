//! What `status` shows of agents while they run: process, memory, CPU, turns, cost and the last output.
//!
//! Agents use what a test can tell apart, and wait at gates; what takes time to show is looked at until it does.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Project, Ran, ran};

/// Holds 70 MB in a process below the agent.
const LARGE: &str = "(head -c 70000000 /dev/zero; touch ../../large; while [ ! -e ../../gate ]; do sleep 0.05; done) \
                     | tail -c 70000000 >/dev/null";
/// Computes without an end in a process below the agent that is in a session of its own. The kernel counts few pages
/// only roughly: so it and the next one hold some.
const BUSY: &str = "held=$(head -c 5000000 /dev/zero | tr '\\0' a); setsid sh -c 'while :; do :; done' & touch ../../busy; \
                    while [ ! -e ../../gate ]; do sleep 0.2; done";
const IDLE: &str = "held=$(head -c 5000000 /dev/zero | tr '\\0' a); echo hello; touch ../../idle; \
                    while [ ! -e ../../gate ]; do sleep 0.2; done";

const LOOKED_AT: [&str; 3] = ["memory_bytes", "cpu_seconds", "cpu_percent"];

fn kill(pid: &Value) {
    let pid = pid.as_i64().and_then(|pid| i32::try_from(pid).ok());
    let pid = pid.and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, Signal::KILL).expect("kill it");
}

#[track_caller]
fn assert_unknown(answer: &Value, keys: &[&str]) {
    for task in answer["tasks"].as_array().expect("tasks") {
        for key in keys {
            assert_eq!(task[key], Value::Null, "{key}: {task:#}");
        }
    }
}

#[test]
fn each_task_has_what_its_own_processes_use() {
    let project = Project::new();
    let tasks = [("large", LARGE), ("busy", BUSY), ("idle", IDLE), ("later", "echo hi")];
    let run = project.start_shell_session(&tasks, &["--max-parallel", "3"]);
    for name in ["large", "busy", "idle"] {
        project.await_file(name);
    }
    let status = project.until("what they use", |project| {
        let status = project.query(&["status"]);
        let number = |task: usize, key: &str| status["tasks"][task][key].as_f64();
        let large = number(0, "memory_bytes")? > 60e6;
        let busy = number(1, "cpu_seconds")? >= 0.3 && number(1, "cpu_percent")? > 1.0;
        (large && busy && number(2, "last_activity").is_some()).then_some(status)
    });
    let number = |task: usize, key: &str| status["tasks"][task][key].as_f64().expect("a number");
    for task in [1, 2] {
        let memory = number(task, "memory_bytes");
        assert!(memory > 100e3 && memory < 60e6, "{status:#}");
    }
    assert!(number(2, "cpu_seconds") < number(1, "cpu_seconds"), "{status:#}");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("now").as_secs_f64();
    assert!(now - number(2, "last_activity") < 120.0 && now >= number(2, "last_activity"));
    assert_eq!(
        status["tasks"][1]["last_activity"],
        Value::Null,
        "it has printed nothing"
    );
    let later = json!({ "tasks": [status["tasks"][3]] });
    assert_unknown(&later, &[&LOOKED_AT[..], &["last_activity", "pid"]].concat());
    // One task alone has the same.
    let one = project.query(&["status", status["session_id"].as_str().expect("an id"), "large"]);
    assert!(one["tasks"][0]["memory_bytes"].as_f64().expect("memory") > 60e6);

    let text = project.run(&["status"]).out();
    let lines: Vec<&str> = text.lines().collect();
    let beginning = format!("       pid {}, ", status["tasks"][1]["pid"]);
    assert!(
        lines[3].contains("running") && lines[4].starts_with(&beginning),
        "{text}"
    );
    assert!(
        lines[4].contains("B, ") && lines[4].contains("% CPU, no output yet"),
        "{text}"
    );
    assert!(lines[2].contains(" MiB, "), "{text}");

    // Others do not look.
    let on_disk = std::fs::read(project.session_dir().join("status.json")).expect("read the status");
    assert_unknown(&serde_json::from_slice(&on_disk).expect("JSON"), &LOOKED_AT);
    assert_unknown(&project.query(&["results"]), &LOOKED_AT);
    let wait = project.run(&["wait", "--timeout", "0", "--json"]);
    assert_unknown(&wait.json(), &LOOKED_AT);
    project.open("gate");
    let ended = project.ended(&run);
    ended.assert_exit(0);
    assert_unknown(&ended.status, &[&LOOKED_AT[..], &["last_activity", "pid"]].concat());
}

#[test]
fn without_a_runner_nothing_is_taken_for_its_processes() {
    let project = Project::new();
    let agent = project.shell_agent();
    let file = project.tasks(&[("idle", IDLE)]);
    let started = project.run(&["run", "--claude", &agent, &file]);
    assert_eq!(started.code(), 0, "{started:?}");
    project.await_file("idle");
    let memory = |project: &Project| project.query(&["status"])["tasks"][0]["memory_bytes"].clone();
    project.until("it is seen", |project| memory(project).is_number().then_some(()));
    // The runner goes on without its supervisor, and is looked at as before.
    let interrupted = project.kill_supervisor();
    assert!(interrupted["tasks"][0]["memory_bytes"].is_number(), "{interrupted:#}");
    let identity = project.attempt_dir("idle").join("identity.json");
    let runner: Value = serde_json::from_slice(&std::fs::read(identity).expect("read it")).expect("JSON");
    kill(&runner["pid"]);
    project.until("the runner is gone", |project| {
        (project.query(&["status"])["tasks"][0]["activity"] == "its runner is gone").then_some(())
    });
    assert_unknown(
        &project.query(&["status"]),
        &[&LOOKED_AT[..], &["last_activity", "pid"]].concat(),
    );
}

#[test]
fn turns_and_cost_of_settled_tasks_are_shown() {
    let project = Project::new();
    let tasks = [
        ("good", "@cost 0.5\n@write a.txt x"),
        ("bad", "@touch b\n@fail no credit"),
        ("plain", "@plain"),
    ];
    project.session(&tasks, &[]).assert_exit(1);
    let text = project.run(&["status"]).out();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[1].ends_with("main-task-good  1 commit, 1 file, +1 -0, 2 turns, $0.52"),
        "{text}"
    );
    assert!(
        lines[2].ends_with("agent_error: no credit  main-task-bad  1 commit, 1 file, +0 -0, 1 turn, $0.01"),
        "{text}"
    );
    assert!(lines[3].ends_with("main-task-plain  changed nothing"), "{text}");
    assert_eq!(lines.len(), 4, "{text}");
}

#[test]
fn on_a_terminal_an_activity_is_cut_and_can_do_nothing() {
    let project = Project::new();
    let long = format!(
        "@run : \u{1b}[2J {}; touch ../../here; while [ ! -e ../../gate ]; do sleep 0.05; done",
        "x".repeat(150)
    );
    project.start(&[("a", &long)], &[]);
    project.await_file("here");
    project.until("what it does", |project| {
        project.query(&["status"])["tasks"][0]["activity"]
            .is_string()
            .then_some(())
    });
    let file = project.run(&["status"]).out();
    assert!(
        file.contains("Bash : \\x1b[2J xxx") && file.contains(&"x".repeat(150)),
        "{file}"
    );
    for width in [80, 120] {
        let line = format!("stty cols {width} rows 24; \"$PLEACH\" status");
        let Some(mut command) = project.on_terminal(&line) else {
            continue;
        };
        let Ran(shown) = ran(&mut command);
        let shown = String::from_utf8(shown.stdout).expect("UTF-8").replace('\r', "");
        let plain = console::strip_ansi_codes(&shown);
        let lines: Vec<&str> = plain.lines().skip_while(|line| !line.starts_with("  1  ")).collect();
        assert!(
            lines[0].contains("Bash : \\x1b[2J") && lines[0].ends_with('…'),
            "{shown}"
        );
        assert!(lines[1].starts_with("       pid "), "{shown}");
        let widest = lines.iter().map(|line| line.chars().count()).max();
        assert_eq!(widest, Some(width), "{shown}");
        assert!(!shown.contains("[2J;") && !shown.contains("\u{1b}[2J"), "{shown}");
    }
    project.open("gate");
    assert_eq!(project.run(&["wait"]).code(), 0);
}
