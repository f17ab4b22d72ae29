//! The user's command for the end of a session: when it runs, what it may use, and that what it starts outlives it.

use std::fs;

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::handlers::{pid_of, project, read, variable};
use crate::support::ran;

#[test]
fn the_sessions_command_can_use_the_session_that_has_ended() {
    let project = project();
    let line = r#"{ cat; env; "$PLEACH" wait; "$PLEACH" plan && "$PLEACH" merge -y; echo "merge: $?"; } > "$BESIDE/told" 2>&1"#;
    let tasks = [("a", "@write a.txt a"), ("b", "@exit 3")];
    let ended = project.session(&tasks, &["--on-done", line]);
    assert_eq!(ended.output.status.code(), Some(1));
    let told = read(&project, "told");
    let status: Value = serde_json::from_str(told.lines().next().expect("a line")).expect("status.json");
    assert_eq!(
        (&status["overall_status"], &status["completed"]),
        (&json!("completed"), &json!(2))
    );
    let path = project.session_dir().join("status.json");
    for (name, value) in [
        ("PLEACH_HANDLER", Some("session")),
        ("PLEACH_OUTCOME", Some("completed")),
        ("PLEACH_EXIT_CODE", Some("1")),
        ("PLEACH_TOTAL", Some("2")),
        ("PLEACH_SUCCESSFUL", Some("1")),
        ("PLEACH_FAILED", Some("1")),
        ("PLEACH_STATUS_JSON", path.to_str()),
        ("PLEACH_TASK_ID", None),
    ] {
        assert_eq!(variable(&told, name).as_deref(), value, "{name} in {told}");
    }
    assert!(told.ends_with("merge: 0\n"), "{told}");
    assert_eq!(project.show("main:a.txt"), "a\n");
    // Nothing is done by going on with a session in which nothing is left to do.
    fs::remove_file(project.root().join("told")).expect("remove it");
    let again = project.session_dir();
    assert_eq!(project.run(&["resume", "--sync"]).code(), 0);
    assert!(!project.root().join("told").exists() && again.exists());
}

#[test]
fn who_waits_for_a_session_waits_for_its_command_and_is_told_what_failed() {
    let project = project();
    let line = r#"touch "$BESIDE/here"; while ! test -e "$BESIDE/gate"; do sleep 0.02; done; echo no; exit 7"#;
    let run = project.start_session(&[("a", "@say hi")], &["--on-done", line]);
    project.await_file("here");
    assert_eq!(project.query(&["status"])["overall_status"], "completed");
    let late = project.run(&["wait", "--timeout", "200ms"]);
    assert_eq!(late.code(), 124, "{late:?}");
    let waits = project.pleach(&["wait"]);
    assert!(run.try_recv().is_err() && waits.try_recv().is_err());
    project.open("gate");
    let log = project.session_dir().join("on_done.log");
    for output in [project.ended(&run).output, waits.recv().expect("it ends")] {
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{err}");
        let said = format!(
            "the on_done command exited with code 7; what it printed is in {}",
            log.display()
        );
        assert!(err.contains(&format!("warning: {said}")), "{err}");
    }
    assert_eq!(fs::read_to_string(&log).expect("the log"), "no\n");
}

#[test]
fn a_session_that_was_interrupted_runs_it_once_and_at_its_end() {
    let project = project();
    let line = r#"echo "$PLEACH_OUTCOME" >> "$BESIDE/ends""#;
    let gate = project.beside("gate");
    let session = project.start(&[("a", &format!("@wait {gate}\n@say hi"))], &["--on-done", line]);
    project.until_it_runs(&session);
    project.kill_supervisor();
    let waited = project.run(&["wait"]);
    assert_eq!(
        (waited.code(), read(&project, "ends")),
        (1, String::new()),
        "{waited:?}"
    );
    let resumed = project.pleach(&["resume", "--sync"]);
    project.open("gate");
    assert_eq!(project.ended(&resumed).output.status.code(), Some(0));
    assert_eq!(read(&project, "ends"), "completed\n");
    // One that ends again after something was done runs it again.
    let bad = project.session(&[("b", "@exit 3")], &["--on-done", line]);
    assert_eq!(bad.output.status.code(), Some(1));
    assert_eq!(project.run(&["resume", "--retry-failed", "--sync"]).code(), 1);
    assert_eq!(read(&project, "ends"), "completed\n".repeat(3));
}

#[test]
fn a_supervisor_that_is_killed_right_after_the_end_has_its_command_run() {
    let project = project();
    let file = project.tasks(&[("a", "@say hi")]);
    let line = r#"echo "$PLEACH_OUTCOME" >> "$BESIDE/ends""#;
    let mut command = project.pleach_command(&["run", "--sync", "--agent", "scripted", "--on-done", line, &file]);
    let run = ran(command.env("PLEACH_TEST_KILL", "ended:1@supervisor"));
    assert_eq!(run.code(), 0, "{run:?}");
    assert!(!run.err().contains("on_done"), "{run:?}");
    assert_eq!(read(&project, "ends"), "completed\n");
}

#[test]
fn a_session_that_a_command_starts_outlives_it() {
    let project = project();
    let gate = project.beside("gate");
    let next =
        format!(r#"test "$PLEACH_TASK_ID" = a && "$PLEACH" run --agent scripted -p '@wait {gate}' > "$BESIDE/next""#);
    let last = format!(r#""$PLEACH" run --agent scripted -p '@wait {gate}' > "$BESIDE/last""#);
    let ended = project.session(&[("a", "@say hi")], &["--on-task-done", &next, "--on-done", &last]);
    assert_eq!(ended.output.status.code(), Some(0), "{:?}", ended.output);
    for name in ["next", "last"] {
        let id = read(&project, name);
        let status = project.query(&["status", id.trim()]);
        assert_eq!(status["overall_status"], "running", "{status:#}");
    }
    project.open("gate");
    for name in ["next", "last"] {
        let waited = project.run(&["wait", read(&project, name).trim()]);
        assert_eq!(waited.code(), 0, "{waited:?}");
    }
}

#[test]
fn a_session_that_a_command_started_outlives_a_lost_attempt_of_the_first() {
    let project = project();
    let gate = project.beside("gate");
    let next = format!(
        r#"test "$PLEACH_TASK_ID" = a && "$PLEACH" run --agent scripted -p '@wait {gate}' > "$BESIDE/next"; echo >"$BESIDE/nexted""#
    );
    let b = format!("@wait {gate}");
    let tasks = project.tasks(&[("a", "@say hi"), ("b", &b)]);
    let started = project.run(&["run", "--agent", "scripted", "--on-task-done", &next, &tasks]);
    assert_eq!(started.code(), 0, "{started:?}");
    let first = project.until("the first session", |project| {
        let list = project.query(&["list"]);
        let mut sessions = list["sessions"].as_array()?.iter();
        let id = |s: &Value| s["session_id"].as_str().map(str::to_owned);
        (list["sessions"].as_array()?.len() == 2 && project.root().join("nexted").exists())
            .then(|| sessions.find_map(|s| id(s).filter(|id| *id != read(project, "next").trim())))?
    });
    let next = read(&project, "next").trim().to_owned();
    // Its command has ended: what it started has come to the first supervisor.
    project.until("the end of the command", |project| {
        let status = project.query(&["status", &first]);
        let has_ended = pid_of(project, "__handler").is_none();
        (status["successful"] == 1 && has_ended).then_some(())
    });
    let mut runners = project
        .processes()
        .into_iter()
        .filter(|p| p.line.contains("__runner") && p.line.contains(&first));
    let runner = runners.next().expect("a runner").pid;
    kill_process(runner, Signal::KILL).expect("kill it");
    let waited = project.run(&["wait", &first]);
    assert_eq!(waited.code(), 1, "{waited:?}");
    assert_eq!(project.query(&["status", &next])["overall_status"], "running");
    project.open("gate");
    assert_eq!(project.run(&["wait", &next]).code(), 0);
}
