//! Stopping a session: agents end with grace or at once, what they did is kept on their branches, what had not begun
//! stays pending, and nothing is left half done.
//!
//! The agents wait at gates that only a test opens, so a session that ends was stopped.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{PATIENCE, Project, Ran};

/// An agent that has done half of its work, and ends when it is asked to.
const WORKS: &str = "@write part.txt half\n@touch ../../here\n@wait ../../gate\n@write rest.txt rest";
/// The same, and it does not care.
const IGNORES: &str =
    "@ignore-sigterm\n@write part.txt half\n@touch ../../stubborn\n@wait ../../gate\n@write rest.txt rest";

#[test]
fn what_agents_did_is_kept_and_what_had_not_begun_stays_pending() {
    let project = Project::new();
    let commits = "@write part.txt one\n@commit by the agent\n@append part.txt two\n@touch ../../too\n@wait ../../gate";
    let plain = "@plain\n@say so far\n@write part.txt half\n@touch ../../plain\n@wait ../../gate";
    let tasks = [
        ("done", "@write part.txt whole"),
        ("half", WORKS),
        ("commits", commits),
        ("plain", plain),
        ("later", WORKS),
        ("last", WORKS),
    ];
    let run = project.start_session(&tasks, &["--max-parallel", "3"]);
    for gate in ["here", "too", "plain"] {
        project.await_file(gate);
    }
    let stop = project.run(&["stop"]);
    assert_eq!(stop.code(), 0, "{stop:?}");
    assert!(
        stop.out()
            .contains("  stopped, 4 of 6 tasks settled: 1 successful, 0 failed, 3 stopped"),
        "{stop:?}"
    );
    assert_eq!(project.agents(), Vec::<String>::new());
    let ended = project.ended(&run);
    assert_eq!(ended.output.status.code(), Some(1), "{:?}", ended.output);
    assert_eq!(ended.status["overall_status"], "stopped");
    assert_eq!(ended.status["error"], "stopped on request");
    assert_eq!(project.run(&["wait"]).code(), 1);
    ended.assert_succeeded("done");
    for (id, kept) in [("half", "half\n"), ("commits", "one\ntwo\n"), ("plain", "half\n")] {
        let task = ended.task(id);
        let about = ["status", "outcome", "success", "reason"].map(|key| task[key].clone());
        assert_eq!(
            about,
            [json!("completed"), json!("stopped"), json!(false), Value::Null],
            "{task:#}"
        );
        assert_eq!(project.show(&format!("main-task-{id}:part.txt")), kept);
        assert!(project.worktrees().join(format!("main-task-{id}")).is_dir(), "it stays");
    }
    let subjects = project.git(&["log", "--format=%s", "main..main-task-commits"]);
    assert_eq!(subjects.lines().last(), Some("by the agent"));
    for id in ["later", "last"] {
        let task = ended.task(id);
        for key in ["outcome", "success", "branch", "worktree", "duration"] {
            assert_eq!(task[key], Value::Null, "{task:#}");
        }
        assert_eq!((&task["status"], &task["attempts"]), (&json!("pending"), &json!(0)));
    }
    nothing_is_half_done(&project);
}

#[test]
fn an_agent_may_use_its_time_of_grace() {
    let project = Project::new();
    let run = project.start_session(
        &[("a", IGNORES), ("b", WORKS)],
        &["--grace", "1h", "--max-parallel", "1"],
    );
    project.await_file("stubborn");
    let stop = project.pleach(&["stop"]);
    until_asked(&project, 1);
    project.open("gate");
    let stop = Ran(stop.recv_timeout(PATIENCE).expect("it stops"));
    assert_eq!(stop.code(), 0, "{stop:?}");
    let ended = project.ended(&run);
    ended.assert_succeeded("a");
    assert_eq!(project.show("main-task-a:rest.txt"), "rest\n");
    assert_eq!(ended.status["overall_status"], "stopped");
    assert_eq!(ended.task("b")["status"], "pending");
}

// Fault 26: SIGTERM is ignored when the session is stopped.
#[test]
fn an_agent_that_does_not_end_is_killed() {
    for (grace, arguments) in [("100ms", &["stop"][..]), ("1h", &["stop", "--now"])] {
        let project = Project::new();
        let child = "@run setsid sleep 1000 & echo $! >child; touch ../../child; wait";
        let run = project.start_session(&[("a", IGNORES), ("b", child)], &["--grace", grace]);
        project.await_file("stubborn");
        project.await_file("child");
        let stop = project.run(arguments);
        assert_eq!(stop.code(), 0, "{stop:?}");
        assert_eq!(project.agents(), Vec::<String>::new());
        let ended = project.ended(&run);
        assert_eq!(ended.output.status.code(), Some(1));
        for id in ["a", "b"] {
            assert_eq!(ended.task(id)["outcome"], "stopped");
        }
        assert_eq!(ended.task("a")["exit_code"], 137);
        assert_eq!(project.show("main-task-a:part.txt"), "half\n");
        nothing_is_half_done(&project);
    }
}

#[test]
fn many_may_ask_and_the_most_urgent_counts() {
    let project = Project::new();
    project.start(
        &[("a", IGNORES), ("b", WORKS)],
        &["--grace", "1h", "--max-parallel", "1"],
    );
    project.await_file("stubborn");
    let gentle = [project.pleach(&["stop"]), project.pleach(&["stop", "--json"])];
    until_asked(&project, 1);
    let urgent = [project.pleach(&["stop", "--now"]), project.pleach(&["stop", "--now"])];
    for stop in gentle.iter().chain(&urgent) {
        let stop = Ran(stop.recv_timeout(PATIENCE).expect("it stops"));
        assert_eq!(stop.code(), 0, "{stop:?}");
        assert!(stop.out().contains("stopped"), "{stop:?}");
    }
    until_asked(&project, 2);
    let status = project.query(&["status"]);
    assert_eq!(status["overall_status"], "stopped");
    assert_eq!(status["tasks"][0]["outcome"], "stopped");
    assert_eq!(
        fs::read_dir(project.session_dir().join("requests"))
            .expect("read it")
            .count(),
        0
    );
    nothing_is_half_done(&project);
}

#[test]
fn a_session_that_has_ended_says_how() {
    let project = Project::new();
    for (prompt, options, said) in [
        ("@say hi", &[][..], "completed, 1 of 1 task settled: 1 successful"),
        (
            "@exit 3",
            &["--now"],
            "completed, 1 of 1 task settled: 0 successful, 1 failed",
        ),
    ] {
        project.start(&[("a", prompt)], &[]);
        project.run(&["wait"]);
        let before = project.query(&["status"]);
        let stop = project.run(&[&["stop"], options].concat());
        assert_eq!(stop.code(), 0, "{stop:?}");
        assert!(stop.out().contains(said), "{stop:?}");
        assert!(
            stop.err().is_empty() || stop.err().contains("--retry-failed"),
            "{stop:?}"
        );
        assert_eq!(project.query(&["stop"]), before);
    }
    project.start(&[("b", WORKS)], &[]);
    project.await_file("here");
    project.kill_supervisor();
    // There is somebody again to stop its agents.
    let stop = project.run(&["stop"]);
    assert_eq!(stop.code(), 0, "{stop:?}");
    assert!(stop.out().contains("  stopped, ") && stop.err().is_empty(), "{stop:?}");
    assert_eq!(project.agents(), [""; 0]);
}

#[test]
fn a_stop_while_worktrees_are_made_leaves_nothing_half_done() {
    let ids: Vec<String> = (0..60).map(|n| format!("t{n}")).collect();
    let tasks: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), WORKS)).collect();
    for (made, arguments) in [
        (0, &["stop"][..]),
        (1, &["stop", "--now"]),
        (15, &["stop"]),
        (40, &["stop", "--now"]),
    ] {
        let project = Project::new();
        let files: Vec<String> = (0..50).map(|n| format!("f{n}.txt")).collect();
        for file in &files {
            project.write(file, "text\n");
        }
        project.git(&["add", "."]);
        project.git(&["commit", "-qm", "files"]);
        project.start(&tasks, &["--max-parallel", "unlimited"]);
        let worktrees = || fs::read_dir(project.worktrees()).map_or(0, Iterator::count);
        project.until("worktrees are made", |_| (worktrees() >= made).then_some(()));
        let stop = project.run(arguments);
        assert_eq!(stop.code(), 0, "{stop:?}");
        nothing_is_half_done(&project);
        assert_eq!(project.git(&["status", "--porcelain"]), "");
    }
}

#[test]
fn a_stop_takes_no_longer_than_the_agents_take() {
    let project = Project::new();
    project.start(&[("a", WORKS)], &["--grace", "1h"]);
    project.await_file("here");
    let started = Instant::now();
    assert_eq!(project.run(&["stop"]).code(), 0);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

/// Waits until the journal has so many requests to stop.
fn until_asked(project: &Project, times: usize) {
    let journal = project.session_dir().join("journal.jsonl");
    project.until("the stop is recorded", |_| {
        let text = fs::read_to_string(&journal).expect("read the journal");
        (text.matches("\"stop_asked\"").count() == times).then_some(())
    });
}

/// Every branch, worktree and record of git belongs to a task that is settled, and no process is left.
#[track_caller]
fn nothing_is_half_done(project: &Project) {
    let status = project.query(&["status"]);
    let mut settled = BTreeSet::new();
    for task in status["tasks"].as_array().expect("tasks") {
        if task["status"] == "completed" {
            settled.insert(task["branch"].as_str().expect("a branch").to_owned());
        } else {
            assert_eq!(task["status"], "pending", "{task:#}");
            assert_eq!(task["branch"], Value::Null, "{task:#}");
        }
    }
    let branches = project.git(&["for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/main-task-*"]);
    let branches: BTreeSet<String> = branches.lines().map(str::to_owned).collect();
    assert_eq!(branches, settled);
    let entries = |directory: std::path::PathBuf| -> BTreeSet<String> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name != ".trash" && name != ".shared").collect()
    };
    let worktrees = entries(project.worktrees());
    assert!(
        worktrees.is_subset(&settled),
        "{worktrees:?}, but settled are {settled:?}"
    );
    assert_eq!(entries(project.repo().join(".git/worktrees")), worktrees);
    assert!(!project.git(&["worktree", "list", "--porcelain"]).contains("prunable"));
    project.until("all processes are gone", |project| {
        project.processes().is_empty().then_some(())
    });
}

#[test]
fn a_session_whose_last_tasks_are_stopped_is_stopped() {
    let project = Project::new();
    project.start(&[("a", "@write part.txt half\n@touch ../../up\n@sleep 100s")], &[]);
    project.await_file("up");
    let stop = project.run(&["stop"]);
    assert_eq!(stop.code(), 0, "{stop:?}");
    let status = project.query(&["status"]);
    assert_eq!(status["overall_status"], "stopped", "{status:#}");
    assert_eq!(status["tasks"][0]["outcome"], "stopped", "{status:#}");
    assert_eq!(project.show("main-task-a:part.txt"), "half\n");
    assert_eq!(project.run(&["wait"]).code(), 1);
}
