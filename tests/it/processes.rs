//! Every process of an attempt ends with it, wherever it hid; and the death of one process is not the end of the others.
//!
//! Agents leave processes in sessions and groups of their own, some without the mark in their environment. Then the
//! agent, its runner and the supervisor are killed, one at a time and all at once. Processes are looked up by the pid
//! that they wrote down themselves, and each sleeps for a minute only, should a test fail to end it.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

use crate::support::{Ended, PATIENCE, Project};

/// Where an agent's command hides a process, as `NAME: COMMAND`; the process is `sh -c HIDDEN`.
const HIDEOUTS: [(&str, &str); 5] = [
    ("background", "sh -c HIDDEN &"),
    ("session", "setsid sh -c HIDDEN &"),
    ("orphan", "( ( setsid sh -c HIDDEN & ) & )"),
    ("group", "perl -e 'setpgrp; exec @ARGV' sh -c HIDDEN &"),
    ("unmarked", "env -i PATH=\"$PATH\" setsid sh -c HIDDEN &"),
];

/// The directives of an agent that hides a process in every way, and goes on when all of them are there.
fn hide(project: &Project) -> String {
    let hide = |(name, command): (&str, &str)| {
        let file = project.beside(name);
        let hidden = format!("'echo $$ >{file}.new; mv {file}.new {file}; exec sleep 60'");
        let command = command.replace("HIDDEN", &hidden);
        format!("@run ({command}) >/dev/null 2>&1\n@wait {file}\n")
    };
    HIDEOUTS.map(hide).concat()
}

/// The pids of all hidden processes, once they are there.
fn hidden(project: &Project) -> Vec<(&'static str, Pid)> {
    HIDEOUTS
        .map(|(name, _)| (name, pid_of(&project.line_beside(name))))
        .to_vec()
}

fn pid_of(text: &str) -> Pid {
    let pid = text.trim().parse().ok().and_then(Pid::from_raw);
    pid.unwrap_or_else(|| panic!("no pid: {text:?}"))
}

fn pid_in(value: &Value) -> Pid {
    pid_of(&value.to_string())
}

/// Whether the process is there and no zombie.
fn lives(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    test_kill_process(pid).is_ok() && !stat.is_ok_and(|stat| stat.contains(") Z "))
}

#[track_caller]
fn assert_all_ended(processes: &[(&str, Pid)]) {
    let left: Vec<&str> = processes
        .iter()
        .filter(|(_, pid)| lives(*pid))
        .map(|(name, _)| *name)
        .collect();
    assert!(left.is_empty(), "still there: {left:?}");
}

fn kill(pid: Pid) {
    kill_process(pid, Signal::KILL).expect("kill a process");
}

/// The end of a prompt: says that all before it is done, and waits.
fn wait_for_ever(project: &Project) -> String {
    format!(
        "@append {} all done\n@wait {}",
        project.beside("progress"),
        project.beside("never")
    )
}

/// The agent of the only task, once it waits for ever.
fn waiting_agent_of(project: &Project) -> Pid {
    project.line_beside("progress");
    agent_of(project)
}

/// The agent of the only running task, once it runs.
fn agent_of(project: &Project) -> Pid {
    project.until("the agent's pid", pid_if_running)
}

fn pid_if_running(project: &Project) -> Option<Pid> {
    let listed = project.query(&["list"]);
    listed["sessions"]
        .as_array()
        .is_some_and(|s| !s.is_empty())
        .then_some(())?;
    let pid = &project.query(&["status"])["tasks"][0]["pid"];
    (!pid.is_null()).then(|| pid_in(pid))
}

fn runner_of(project: &Project) -> Pid {
    let journal = project.journal();
    let started = journal.iter().find(|event| event["event"] == "attempt_started");
    pid_in(&started.expect("an attempt")["runner_pid"])
}

fn supervisor_of(project: &Project) -> Pid {
    pid_in(&project.query(&["status"])["supervisor"]["pid"])
}

fn outcome_in(attempt: &Path) -> Option<Value> {
    let text = fs::read(attempt.join("outcome.json")).ok()?;
    Some(serde_json::from_slice(&text).expect("JSON"))
}

#[track_caller]
fn assert_timed_out(ended: &Ended, id: &str, exit_code: i64, limit: &str) {
    ended.assert_exit(1);
    ended.assert_failed(id, "time_out");
    let task = ended.task(id);
    assert_eq!(task["error"], format!("ran longer than {limit}"));
    assert_eq!(task["exit_code"], exit_code, "{task:#}");
    assert!(task["duration"].as_f64() < Some(40.0), "{task:#}");
}

#[test]
fn a_time_out_asks_the_agent_to_end_and_lets_it_tidy_up() {
    let project = Project::new();
    // That it exits with 0 does not make it a success.
    let script = "trap 'sleep 0.2; echo tidy >tidy.txt; echo bye; exit 0' TERM; sleep 60 & wait; wait";
    let ended = project.shell_session(&[("tidy", script)], &["--timeout", "4s", "--grace", "60s"]);
    assert_timed_out(&ended, "tidy", 0, "4 s");
    assert_eq!(ended.result("tidy")["last_words"], "bye");
    assert_eq!(project.show("main-task-tidy:tidy.txt"), "tidy\n");
}

// Fault 26: SIGTERM is ignored.
#[test]
fn after_a_time_out_nothing_is_left_of_an_agent_that_ignores_sigterm() {
    let project = Project::new();
    let prompt = format!("@ignore-sigterm\n{}@write a.txt x\n@sleep 60", hide(&project));
    let run = project.start_session(&[("deaf", &prompt)], &["--timeout", "6s", "--grace", "300ms"]);
    let hidden = hidden(&project);
    let ended = project.ended(&run);
    assert_all_ended(&hidden);
    assert_timed_out(&ended, "deaf", 137, "6 s");
    assert_eq!(project.show("main-task-deaf:a.txt"), "x\n");
    assert!(ended.task("deaf")["notes"].to_string().contains("left behind"));
}

// Fault 25: a daemon holds the output open.
#[test]
fn after_a_good_end_nothing_is_left_of_an_agent_not_even_what_holds_its_output_open() {
    let project = Project::new();
    let prompt = format!("@daemon 60\n{}@say done", hide(&project));
    let run = project.start_session(&[("parent", &prompt)], &[]);
    let hidden = hidden(&project);
    let ended = project.ended(&run);
    assert_all_ended(&hidden);
    ended.assert_exit(0);
    ended.assert_succeeded("parent");
    let task = ended.task("parent");
    assert!(task["duration"].as_f64() < Some(40.0), "{task:#}");
    let outcome = outcome_in(&project.attempt_dir("parent")).expect("an outcome");
    assert_eq!(outcome["killed_processes"], HIDEOUTS.len() + 1);
    let notes = task["notes"].to_string();
    assert!(
        notes.contains("6 processes") && notes.contains("left behind"),
        "{notes}"
    );
}

/// Leaves work uncommitted and processes hidden, and then waits to be killed.
fn hides_and_waits(project: &Project) -> String {
    format!("@write a.txt x\n{}{}", hide(project), wait_for_ever(project))
}

// Fault 2: the agent is killed.
#[test]
fn a_killed_agent_fails_its_task_and_takes_its_processes_with_it() {
    let project = Project::new();
    let prompt = hides_and_waits(&project);
    let run = project.start_session(&[("killed", &prompt)], &[]);
    let hidden = hidden(&project);
    kill(waiting_agent_of(&project));
    let ended = project.ended(&run);
    assert_all_ended(&hidden);
    ended.assert_exit(1);
    ended.assert_failed("killed", "exit");
    assert_eq!(ended.task("killed")["exit_code"], 137);
    let error = ended.task("killed")["error"].as_str().unwrap_or_default();
    assert!(error.starts_with("was killed by signal 9"), "{error}");
}

#[test]
fn the_attempt_of_a_killed_runner_is_lost_and_no_process_with_its_mark_is_left() {
    let project = Project::new();
    let prompt = hides_and_waits(&project);
    let run = project.start_session(&[("lost", &prompt)], &[]);
    let hidden = hidden(&project);
    let agent = waiting_agent_of(&project);
    kill(runner_of(&project));
    let ended = project.ended(&run);
    // One without the mark can only be found through its runner.
    let (unmarked, marked): (Vec<_>, Vec<_>) = hidden.into_iter().partition(|(name, _)| *name == "unmarked");
    unmarked
        .into_iter()
        .filter(|(_, pid)| lives(*pid))
        .for_each(|(_, pid)| kill(pid));
    assert_all_ended(&marked);
    assert!(!lives(agent));
    ended.assert_exit(1);
    ended.assert_failed("lost", "lost");
    assert_eq!(ended.task("lost")["exit_code"], Value::Null);
    assert_eq!(ended.task("lost")["error"].as_str().map(|e| e.lines().count()), Some(1));
    assert_eq!(outcome_in(&project.attempt_dir("lost")), None);
    assert_eq!(project.show("main-task-lost:a.txt"), "x\n");
}

// Fault 1: the supervisor is killed.
#[test]
fn runner_and_agent_outlive_a_killed_supervisor_and_the_session_is_interrupted() {
    let project = Project::new();
    let gate = project.beside("gate");
    let prompt = format!("@write a.txt x\n@wait {gate}\n@daemon 60\n@say done");
    let run = project.start_session(
        &[("goes-on", &prompt), ("waits", "@say never")],
        &["--max-parallel", "1"],
    );
    let agent = agent_of(&project);
    let runner = runner_of(&project);
    kill(supervisor_of(&project));
    // Whoever watches is told at once.
    let watched = run.recv_timeout(PATIENCE).expect("the watching ends");
    assert_eq!(watched.status.code(), Some(1), "{watched:?}");
    assert!(
        String::from_utf8_lossy(&watched.stderr).contains("interrupted"),
        "{watched:?}"
    );
    let status = project.query(&["status"]);
    assert_eq!(status["overall_status"], "interrupted");
    assert_eq!(status["supervisor"]["alive"], false);
    assert_eq!(status["tasks"][0]["pid"], agent.as_raw_nonzero().get());
    for (command, code) in [("wait", 1), ("stop", 3), ("status", 0), ("results", 0)] {
        assert_eq!(project.run(&[command]).code(), code, "{command}");
    }
    assert!(lives(agent) && lives(runner));
    assert_eq!(outcome_in(&project.attempt_dir("goes-on")), None);

    project.open("gate");
    let outcome = project.until("an outcome", |project| outcome_in(&project.attempt_dir("goes-on")));
    assert_eq!(outcome["verdict"], "succeeded", "{outcome:#}");
    assert_eq!(outcome["killed_processes"], 1, "{outcome:#}");
    project.until("the runner's end", |_| (!lives(runner)).then_some(()));
    assert_eq!(project.agents(), [""; 0]);
    let status = project.query(&["status"]);
    let task = &status["tasks"][0];
    assert_eq!(status["overall_status"], "interrupted");
    assert_eq!((&task["status"], &task["success"]), (&"running".into(), &Value::Null));
    // Nobody who is gone is shown as if it were still at work.
    assert_eq!(
        (&task["pid"], &task["activity"]),
        (&Value::Null, &"ended, and not settled".into())
    );
    let worktree = task["worktree"].as_str().expect("a worktree");
    assert_eq!(
        fs::read_to_string(Path::new(worktree).join("a.txt")).expect("its work"),
        "x\n"
    );
    assert_eq!(project.journal().last().expect("a record")["event"], "attempt_started");
}

// Fault 3: everything is killed.
#[test]
fn after_all_were_killed_the_work_is_there_and_another_session_runs() {
    // When its runner is killed the kernel ends the agent.
    for kill_agent in [true, false] {
        let project = Project::new();
        let prompt = format!("@write a.txt x\n{}", wait_for_ever(&project));
        let run = project.start_session(&[("cut", &prompt)], &[]);
        let agent = waiting_agent_of(&project);
        let runner = runner_of(&project);
        kill(supervisor_of(&project));
        if kill_agent {
            // One that waits cannot write down that it ended.
            kill_process(runner, Signal::STOP).expect("stop the runner");
            kill(agent);
        }
        kill(runner);
        let watched = run.recv_timeout(PATIENCE).expect("the watching ends");
        assert_eq!(watched.status.code(), Some(1), "{watched:?}");
        project.until("the end of all", |project| project.agents().is_empty().then_some(()));
        assert_interrupted(&project);
        let again = project.session(&[("cut", "@write b.txt x")], &[]);
        again.assert_exit(0);
        let branch = again.task("cut")["branch"].as_str().expect("a branch").to_owned();
        assert!(branch.starts_with("main-task-cut-"), "{branch}");
        assert_eq!(project.changed_in(&branch), "b.txt\n");
    }
}

/// Its only task, which has written `a.txt`, is cut off, and nothing is lost.
#[track_caller]
fn assert_interrupted(project: &Project) {
    let status = project.query(&["status"]);
    let task = &status["tasks"][0];
    assert_eq!(status["overall_status"], "interrupted");
    assert_eq!((&task["pid"], &task["success"]), (&Value::Null, &Value::Null));
    assert_eq!(task["activity"], "its runner is gone");
    let worktree = task["worktree"].as_str().expect("a worktree");
    let written = fs::read_to_string(Path::new(worktree).join("a.txt"));
    assert_eq!(written.expect("its work"), "x\n");
    assert_eq!(project.git(&["status", "--porcelain"]), "");
    assert_eq!(outcome_in(&project.attempt_dir("cut")), None);
    for (command, code) in [("wait", 1), ("stop", 3)] {
        assert_eq!(project.run(&[command]).code(), code, "{command}");
    }
}
