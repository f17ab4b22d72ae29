//! Stopping some tasks while the others go on, stopping every session, and how long agents may take to end.
//!
//! The agents wait at gates that only a test opens, so a task that ends was stopped.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{PATIENCE, Process, Project, Ran, output_of};

/// An agent that has done half of its work, says so in a file, and ends when it is asked to.
fn works(id: &str) -> String {
    format!("@write part.txt half\n@touch ../../up-{id}\n@wait ../../gate-{id}\n@write rest.txt rest")
}

/// The same, and it does not care.
fn ignores(id: &str) -> String {
    format!("@ignore-sigterm\n{}", works(id))
}

fn task(status: &Value, id: &str) -> Value {
    let mut tasks = status["tasks"].as_array().expect("tasks").iter();
    tasks.find(|t| t["transaction_id"] == id).expect("a task").clone()
}

/// The tasks of the journal's records of one kind.
fn tasks_of(project: &Project, kind: &str) -> Vec<String> {
    let events = project.events(kind);
    events
        .iter()
        .map(|e| e["task"].as_str().expect("a task").to_owned())
        .collect()
}

#[test]
fn the_named_tasks_end_and_the_others_go_on() {
    let project = Project::new();
    let prompts = [
        ("done", "@say hi".to_owned()),
        ("runs", works("runs")),
        ("goes-on", ignores("goes-on")),
        ("waits", works("waits")),
        ("later", "@say later".to_owned()),
    ];
    let prompts: Vec<(&str, &str)> = prompts.iter().map(|(id, p)| (*id, p.as_str())).collect();
    let session = project.start(&prompts, &["--max-parallel", "2", "--grace", "1h"]);
    for file in ["up-runs", "up-goes-on"] {
        project.await_file(file);
    }
    // By the whole id, the beginning of it, and the number; one of them twice.
    let stop = project.run(&["stop", &session, "runs", "wait", "1", "4"]);
    assert_eq!(stop.code(), 0, "{stop:?}");
    assert_eq!(stop.err(), "task done was settled before: succeeded\n");
    assert!(stop.out().contains("  running, "), "{stop:?}");
    let status = project.query(&["status"]);
    let runs = task(&status, "runs");
    assert_eq!(
        (&runs["outcome"], &runs["error"]),
        (&json!("stopped"), &json!("stopped on request"))
    );
    assert_eq!(project.show("main-task-runs:part.txt"), "half\n");
    assert!(project.worktree("runs").is_dir(), "it stays");
    let waits = task(&status, "waits");
    assert_eq!(
        (&waits["outcome"], &waits["status"], &waits["attempts"]),
        (&json!("stopped"), &json!("completed"), &json!(0))
    );
    for key in ["branch", "worktree", "duration"] {
        assert_eq!(waits[key], Value::Null, "{waits:#}");
    }
    assert_eq!(task(&status, "goes-on")["status"], "running");
    assert_eq!(tasks_of(&project, "task_stop_asked"), ["runs", "waits"]);
    // What is on disk for scripts tells it too.
    let written = fs::read(project.session_dir().join("status.json")).expect("status.json");
    let written: Value = serde_json::from_slice(&written).expect("JSON");
    assert_eq!(task(&written, "runs")["outcome"], "stopped");

    project.until("the last one had its turn", |project| {
        (task(&project.query(&["status"]), "later")["outcome"] == "succeeded").then_some(())
    });
    project.open("gate-goes-on");
    assert_eq!(project.run(&["wait"]).code(), 1);
    let status = project.query(&["status"]);
    assert_eq!(
        (&status["overall_status"], &status["error"]),
        (&json!("completed"), &Value::Null)
    );
    assert_eq!(task(&status, "goes-on")["outcome"], "succeeded");
    assert!(!tasks_of(&project, "task_preparing").contains(&"waits".to_owned()));
    assert_eq!(project.events("stop_asked"), Vec::<Value>::new());
    let branches = project.git(&["branch", "--list", "main-task-waits*"]);
    assert_eq!(branches, "");
}

#[test]
fn with_its_last_tasks_stopped_a_session_ends_by_itself() {
    let project = Project::new();
    let (a, b) = (works("a"), works("b"));
    let session = project.start(&[("a", &a), ("b", &b)], &["--max-parallel", "1"]);
    project.await_file("up-a");
    let stop = project.run(&["stop", &session, "b", "--json"]);
    assert_eq!(stop.code(), 0, "{stop:?}");
    let ids: Vec<Value> = stop.json()["tasks"]
        .as_array()
        .expect("tasks")
        .iter()
        .map(|t| t["transaction_id"].clone())
        .collect();
    assert_eq!(ids, ["b"]);
    let stop = project.run(&["stop", &session, "a"]);
    assert_eq!(stop.code(), 0, "{stop:?}");
    assert_eq!(project.run(&["wait"]).code(), 1);
    let status = project.query(&["status"]);
    assert_eq!(
        (&status["overall_status"], &status["error"]),
        (&json!("completed"), &Value::Null)
    );
    assert_eq!(status["failed"], 2);
    // Afterwards there is nothing to stop, and a task that there never was is still none.
    let again = project.run(&["stop", &session, "a", "2"]);
    assert_eq!(
        (again.code(), again.err().as_str()),
        (
            0,
            "task a was settled before: stopped\ntask b was settled before: stopped\n"
        )
    );
    assert!(again.out().contains("  completed, 2 of 2 tasks settled"), "{again:?}");
    project
        .run(&["stop", &session, "c"])
        .assert_refused(2, &["no task \"c\""]);
}

#[test]
fn before_anything_is_asked_every_task_has_to_be_known() {
    let project = Project::new();
    let prompts = [("login", works("login")), ("logout", works("logout"))];
    let prompts: Vec<(&str, &str)> = prompts.iter().map(|(id, p)| (*id, p.as_str())).collect();
    let session = project.start(&prompts, &[]);
    project.await_file("up-login");
    for (tasks, parts) in [
        (["login", "nobody"], "no task \"nobody\""),
        (["log", "login"], "beginning of 2 tasks"),
        (["1", "3"], "no task \"3\""),
    ] {
        let stop = project.run(&["stop", &session, tasks[0], tasks[1]]);
        stop.assert_refused(2, &[parts]);
    }
    assert_eq!(project.query(&["status"])["overall_status"], "running");
    assert_eq!(tasks_of(&project, "task_stop_asked"), [""; 0]);
    assert_eq!(project.run(&["stop", &session]).code(), 0);
}

#[test]
fn a_task_whose_worktree_is_being_made_is_released() {
    let project = Project::new();
    project.write("slow.txt", "text\n");
    project.write(".gitattributes", "slow.txt filter=slow\n");
    project.git(&["add", "."]);
    project.git(&["commit", "-qm", "files"]);
    let (here, gate) = (project.beside("here"), project.beside("gate"));
    let smudge = format!("touch {here}; until [ -e {gate} ]; do sleep 0.05; done; cat");
    project.git(&["config", "filter.slow.smudge", &smudge]);
    let session = project.start(&[("a", &works("a")), ("b", "@say hi")], &["--max-parallel", "1"]);
    project.await_file("here");
    let stop = project.pleach(&["stop", &session, "a"]);
    project.until("it is asked", |project| {
        (!tasks_of(project, "task_stop_asked").is_empty()).then_some(())
    });
    project.open("gate");
    let stop = Ran(stop.recv_timeout(PATIENCE).expect("it stops"));
    assert_eq!(stop.code(), 0, "{stop:?}");
    assert_eq!(project.run(&["wait"]).code(), 1);
    let status = project.query(&["status"]);
    assert_eq!(
        (&status["overall_status"], &status["successful"]),
        (&json!("completed"), &json!(1))
    );
    let a = task(&status, "a");
    assert_eq!(
        (&a["outcome"], &a["attempts"], &a["branch"]),
        (&json!("stopped"), &json!(0), &Value::Null)
    );
    assert_eq!(tasks_of(&project, "task_released"), ["a"]);
    assert!(!project.worktree("a").exists() && !project.root().join("up-a").exists());
    assert_eq!(project.git(&["branch", "--list", "main-task-a*"]), "");
    assert!(!project.git(&["worktree", "list"]).contains("task-a"));
}

#[test]
fn a_stop_has_a_time_of_grace_of_its_own() {
    // Shorter than the session's, for all or for one; and one that comes later only hurries.
    for (first, second) in [
        (&["stop", "", "--grace", "100ms"][..], None),
        (&["stop", "", "a", "--grace", "100ms"], None),
        (&["stop", ""], Some(&["stop", "", "--grace", "100ms"][..])),
        (
            &["stop", "", "--grace", "2h"],
            Some(&["stop", "", "a", "--grace", "100ms"]),
        ),
        (&["stop", "", "a"], Some(&["stop", "", "a", "--now"])),
        (&["stop", "", "a"], Some(&["stop", "", "--now"])),
    ] {
        let project = Project::new();
        let session = project.start(&[("a", &ignores("a"))], &["--grace", "1h"]);
        project.await_file("up-a");
        let with_session = |arguments: &[&str]| -> Vec<String> {
            let named = |a: &&str| if a.is_empty() { session.clone() } else { (*a).to_owned() };
            arguments.iter().map(named).collect()
        };
        let start = |arguments: &[&str]| {
            let arguments = with_session(arguments);
            project.pleach(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let mut stops = vec![start(first)];
        if let Some(second) = second {
            let asked = project.session_dir().join("attempts/a.1/ending.json");
            project.until("the first reaches the runner", |_| asked.exists().then_some(()));
            stops.push(start(second));
        }
        for stop in stops {
            let stop = Ran(stop.recv_timeout(PATIENCE).expect("it stops"));
            assert_eq!(stop.code(), 0, "{first:?} {second:?}: {stop:?}");
        }
        let status = project.query(&["status"]);
        assert_eq!(status["tasks"][0]["outcome"], "stopped", "{first:?} {second:?}");
        assert_eq!(status["tasks"][0]["exit_code"], 137);
        assert_eq!(project.show("main-task-a:part.txt"), "half\n");
        assert_eq!(project.agents(), [""; 0]);
    }
}

#[test]
fn a_stop_may_give_agents_more_time_than_their_session_does() {
    let project = Project::new();
    let session = project.start(&[("a", &ignores("a")), ("b", &ignores("b"))], &["--grace", "50ms"]);
    for file in ["up-a", "up-b"] {
        project.await_file(file);
    }
    let stop = project.pleach(&["stop", &session, "--grace", "1h"]);
    for id in ["a", "b"] {
        let asked = project.session_dir().join(format!("attempts/{id}.1/ending.json"));
        project.until("it reaches the runner", |_| asked.exists().then_some(()));
    }
    // In the session's own time they would be gone; nothing is waited for that could be seen.
    std::thread::sleep(Duration::from_millis(500));
    project.open("gate-a");
    project.open("gate-b");
    assert_eq!(Ran(stop.recv_timeout(PATIENCE).expect("it stops")).code(), 0);
    assert_eq!(project.query(&["status"])["successful"], 2);
    assert_eq!(project.show("main-task-a:rest.txt"), "rest\n");
}

#[test]
fn every_session_is_stopped_whatever_another_is_like() {
    let project = Project::new();
    let none = project.run(&["stop", "--all"]);
    assert_eq!(
        (none.code(), none.out().as_str()),
        (0, "no session is running\n"),
        "{none:?}"
    );
    let ended = project.start(&[("e", "@say hi")], &[]);
    project.run(&["wait"]);
    let ids = ["a", "b"].map(|id| {
        let started = project.start(&[(id, &ignores(id))], &["--grace", "1h"]);
        project.await_file(&format!("up-{id}"));
        started
    });
    // With one that waits for hours the others would not be reached, were they not all asked first.
    let slow = project.pleach(&["stop", "--all", "--json"]);
    for (id, session) in ["a", "b"].into_iter().zip(&ids) {
        let results = project.repo().join(".git/pleach/results");
        let asked = results.join(format!("session-{session}/attempts/{id}.1/ending.json"));
        project.until("both are asked", |_| asked.exists().then_some(()));
    }
    let now = project.run(&["stop", "--all", "--now"]);
    assert_eq!(now.code(), 0, "{now:?}");
    assert_eq!(now.out().matches("  stopped  ").count(), 2, "{now:?}");
    let slow = Ran(slow.recv_timeout(PATIENCE).expect("it stops"));
    assert_eq!(slow.code(), 0, "{slow:?}");
    let listed = slow.json();
    let seen: Vec<&Value> = listed["sessions"]
        .as_array()
        .expect("sessions")
        .iter()
        .map(|s| &s["session_id"])
        .collect();
    assert_eq!(seen, [&ids[1], &ids[0]]);
    assert_eq!(project.agents(), [""; 0]);

    // One that nobody can read is named, and the others are stopped all the same.
    let results = project.repo().join(".git/pleach/results");
    fs::write(
        results.join(format!("session-{ended}/journal.jsonl")),
        "{\"schema\":1,\"version\":\"0\"}\nno\n{}\n",
    )
    .expect("damage it");
    project.start(&[("c", &works("c"))], &[]);
    project.await_file("up-c");
    let stop = project.run(&["stop", "--all"]);
    assert_eq!(stop.code(), 3, "{stop:?}");
    assert!(
        stop.err().starts_with(&format!("error: session {ended}: ")) && stop.err().contains("line 2"),
        "{stop:?}"
    );
    assert_eq!(stop.out().matches("  stopped  ").count(), 1, "{stop:?}");
    let json = project.run(&["stop", "--all", "--json"]);
    assert_eq!(
        (json.code(), &json.json()["sessions"][0]["overall_status"]),
        (3, &json!("unreadable"))
    );
    assert_eq!(project.query(&["status"])["overall_status"], "stopped");
}

#[test]
fn the_older_form_of_a_request_is_read() {
    for (now, exit_code) in [(true, 137), (false, 143)] {
        let project = Project::new();
        project.start(&[("a", &works("a"))], &["--grace", "1h"]);
        project.await_file("up-a");
        let requests = project.session_dir().join("requests");
        let draft = project.root().join("draft");
        fs::write(&draft, json!({ "request": "stop", "now": now }).to_string()).expect("write a request");
        fs::rename(draft, requests.join("older.json")).expect("leave the request");
        assert_eq!(project.run(&["wait"]).code(), 1);
        let status = project.query(&["status"]);
        assert_eq!(
            (&status["overall_status"], &status["tasks"][0]["exit_code"]),
            (&json!("stopped"), &json!(exit_code))
        );
    }
}

#[test]
fn whoever_leaves_the_waiting_has_asked_all_the_same() {
    let project = Project::new();
    project.start(&[("a", &ignores("a"))], &["--grace", "1h"]);
    project.await_file("up-a");
    let stop = project
        .pleach_command(&["stop", "--grace", "2h"])
        .spawn()
        .expect("start pleach");
    let asked = project.session_dir().join("attempts/a.1/ending.json");
    project.until("it is asked", |_| asked.exists().then_some(()));
    kill_process(Pid::from_child(&stop), Signal::INT).expect("send a signal");
    assert!(
        !output_of(stop)
            .recv_timeout(PATIENCE)
            .expect("it ends")
            .status
            .success()
    );
    assert_eq!(project.query(&["status"])["overall_status"], "running");
    project.open("gate-a");
    assert_eq!(project.run(&["wait"]).code(), 0);
    assert_eq!(project.events("stop_asked").len(), 1);
}

// Fault 4: a pid is given to another process sooner or later, and that one is not killed.
#[test]
fn no_command_signals_a_process_that_has_the_pid_of_a_runner_or_an_agent_of_old() {
    let project = Project::new();
    let session = project.start(&[("a", "@touch ../../up-a\n@wait ../../gate-a")], &[]);
    project.await_file("up-a");
    project.until_it_runs(&session);
    project.kill_supervisor();
    let dir = project.session_dir();
    let runner = &project.events("attempt_started")[0]["runner_pid"].clone();
    let pid = runner
        .as_i64()
        .and_then(|pid| Pid::from_raw(pid.try_into().ok()?))
        .expect("a pid");
    kill_process(pid, Signal::KILL).expect("kill the runner");
    project.until("agent and runner are gone", |project| {
        project.processes().is_empty().then_some(())
    });
    // Not of this project's environment: it is nobody's.
    let mut innocent = std::process::Command::new("sleep")
        .arg("600")
        .env_clear()
        .spawn()
        .expect("start a process");
    // Everything that is recorded names the innocent one now.
    let new = innocent.id().to_string();
    for file in ["journal.jsonl", "attempts/a.1/identity.json", "attempts/a.1/live.json"] {
        let text = fs::read_to_string(dir.join(file)).expect("a record");
        let agent: Value =
            serde_json::from_str(&fs::read_to_string(dir.join("attempts/a.1/live.json")).expect("live")).expect("JSON");
        let mut text = text.replace(&format!("\"runner_pid\":{runner}"), &format!("\"runner_pid\":{new}"));
        text = text.replace(&format!("\"pid\":{runner}"), &format!("\"pid\":{new}"));
        text = text.replace(
            &format!("\"agent_pid\":{}", agent["agent_pid"]),
            &format!("\"agent_pid\":{new}"),
        );
        assert!(text.contains(&new), "{file}: {text}");
        fs::write(dir.join(file), text).expect("write a record");
    }
    for arguments in [
        &["stop"][..],
        &["stop", "--now"],
        &["stop", "--all", "--now"],
        &["wait"],
        &["status"],
    ] {
        project.run(arguments);
        assert!(innocent.try_wait().expect("look at it").is_none(), "{arguments:?}");
    }
    innocent.kill().expect("end it");
    innocent.wait().expect("wait for it");
    let of_ours: Vec<Process> = project.processes();
    assert!(of_ours.is_empty());
}

#[test]
fn a_task_that_is_to_end_and_has_not_is_shown_as_stopping() {
    let project = Project::new();
    let session = project.start(
        &[("slow", &ignores("slow")), ("other", &works("other"))],
        &["--grace", "1h"],
    );
    for file in ["up-slow", "up-other"] {
        project.await_file(file);
    }
    let stop = project.pleach(&["stop", &session, "slow"]);
    let status = project.until("it was asked", |project| {
        let status = project.query(&["status"]);
        (task(&status, "slow")["stopping"] == true).then_some(status)
    });
    assert_eq!(task(&status, "other")["stopping"], false);
    let shown = project.run(&["status"]).out();
    assert!(
        shown.contains("  1  stopping  ") && shown.contains("  2  running  "),
        "{shown}"
    );
    assert_eq!(project.run(&["stop", &session, "slow", "--now"]).code(), 0);
    stop.recv_timeout(PATIENCE).expect("the first one ends too");
    assert_eq!(task(&project.query(&["status"]), "slow")["stopping"], false);
    project.open("gate-other");
    assert_eq!(project.run(&["wait"]).code(), 1);
}

#[test]
fn a_task_that_is_named_without_its_session_is_told_how() {
    let project = Project::new();
    let session = project.start(&[("hurt", &works("hurt"))], &[]);
    project.await_file("up-hurt");
    // No id of a session begins so: it would have to have an `u` in it.
    for verb in ["stop", "status", "results"] {
        let command = format!(" {verb} {} hurt", &session[..8]);
        project
            .run(&[verb, "hurt"])
            .assert_refused(2, &["there is no session \"hurt\"", &command]);
        project
            .run(&[verb, "hurl"])
            .assert_refused(2, &["there is no session \"hurl\"", "pleach list"]);
    }
    // The rest of the session that was stopped is not forgotten.
    let ran = project.run(&["stop"]);
    assert_eq!((ran.code(), ran.err()), (0, String::new()), "{ran:?}");
}
