//! The user's commands for the end of a task and of a session, and the files that answers go to: what they are told, that
//! they run once whatever is killed, that nothing of them is left, and that they change no outcome.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{PATIENCE, Project, Ran, ran};

/// A line for each time that a task's command has run.
const COUNT: &str = r#"echo "$PLEACH_TASK_ID" >> "$BESIDE/ran""#;

pub fn project() -> Project {
    let mut project = Project::new();
    let beside = project.root().to_str().expect("UTF-8").to_owned();
    project.set("BESIDE", &beside);
    project.set("PLEACH", env!("CARGO_BIN_EXE_pleach"));
    project
}

pub fn read(project: &Project, name: &str) -> String {
    fs::read_to_string(project.root().join(name)).unwrap_or_default()
}

/// The variables in the output of `env`.
pub fn variable(text: &str, name: &str) -> Option<String> {
    let start = format!("{name}=");
    text.lines()
        .find_map(|line| line.strip_prefix(&start))
        .map(str::to_owned)
}

pub fn pid_of(project: &Project, part: &str) -> Option<rustix::process::Pid> {
    let found = project.processes();
    found
        .into_iter()
        .find(|process| process.line.contains(part))
        .map(|process| process.pid)
}

#[test]
fn a_tasks_command_is_told_how_it_ended_and_reads_the_answer() {
    let mut project = project();
    project.set("PLEACH_PORT", "4000");
    project.set("GIT_PREFIX", "outer");
    fs::create_dir(project.repo().join("sub")).expect("make a directory");
    let file = project.tasks(&[("good", "@write a.txt a\n@say the answer"), ("bad", "@exit 3")]);
    let line = r#"{ cat; echo; env; pwd; "$PLEACH" status --json | head -c 40; } > "$BESIDE/told-$PLEACH_TASK_ID""#;
    let mut command = project.pleach_command(&["run", "--sync", "--agent", "scripted", "--on-task-done", line, &file]);
    let run = ran(command.current_dir(project.repo().join("sub")));
    assert_eq!(run.code(), 1, "{run:?}");
    let dir = project.session_dir();
    let told = read(&project, "told-good");
    assert!(told.starts_with("the answer\n"), "{told}");
    assert!(
        told.contains(&format!("\n{}\n", project.repo().join("sub").display())),
        "{told}"
    );
    assert!(told.contains("\n{\n  \"schema\": 1,\n"), "{told}");
    let head = project.git(&["rev-parse", "main-task-good"]);
    let base = project.git(&["rev-parse", "main"]);
    let id = dir
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .replace("session-", "");
    let path = |name: &str| dir.join(name).to_str().expect("UTF-8").to_owned();
    for (name, value) in [
        ("PLEACH_HANDLER", Some("task".into())),
        ("PLEACH_SESSION", Some(id)),
        ("PLEACH_TASK_ID", Some("good".into())),
        ("PLEACH_TASK_TITLE", Some("@write a.txt a".into())),
        ("PLEACH_OUTCOME", Some("succeeded".into())),
        ("PLEACH_REASON", None),
        ("PLEACH_EXIT_CODE", Some("0".into())),
        ("PLEACH_BRANCH", Some("main-task-good".into())),
        ("PLEACH_BASE", Some(base.trim().into())),
        ("PLEACH_HEAD", Some(head.trim().into())),
        ("PLEACH_WORKTREE", None),
        ("PLEACH_REPO", Some(project.repo().to_str().expect("UTF-8").into())),
        ("PLEACH_ANSWER_FILE", Some(path("task-good.txt"))),
        ("PLEACH_LOG_FILE", Some(path("task-good.log"))),
        ("PLEACH_PORT", None),
        ("PLEACH_SUPERVISOR", None),
        ("GIT_PREFIX", None),
    ] {
        assert_eq!(variable(&told, name), value, "{name} in {told}");
    }
    let told = read(&project, "told-bad");
    assert!(told.starts_with('\n'), "no answer, no input: {told}");
    assert_eq!(variable(&told, "PLEACH_OUTCOME").as_deref(), Some("failed"));
    assert_eq!(variable(&told, "PLEACH_REASON").as_deref(), Some("exit"));
    assert_eq!(variable(&told, "PLEACH_EXIT_CODE").as_deref(), Some("3"));
    let worktree = project.worktree("bad");
    assert_eq!(variable(&told, "PLEACH_WORKTREE").as_deref(), worktree.to_str());
    assert_eq!(project.events("task_handled").len(), 2);
}

#[test]
fn what_fails_of_it_is_a_warning_and_changes_no_outcome() {
    let project = project();
    let ended = project.session(&[("a", "@say hi")], &["--on-task-done", "echo why; exit 3"]);
    let err = String::from_utf8_lossy(&ended.output.stderr).into_owned();
    assert_eq!(ended.output.status.code(), Some(0), "{err}");
    let log = project.session_dir().join("on_done-a.log");
    assert_eq!(fs::read_to_string(&log).expect("the log"), "why\n");
    let said = format!(
        "its on_done command exited with code 3; what it printed is in {}",
        log.display()
    );
    assert!(err.contains(&format!("warning: task 1: {said}")), "{err}");
    assert_eq!(
        ended.status["tasks"][0]["notes"].as_array().expect("notes").last(),
        Some(&json!(said))
    );
    assert_eq!(ended.status["tasks"][0]["outcome"], "succeeded");
}

#[test]
fn one_that_takes_too_long_is_ended_with_all_that_it_started() {
    let project = project();
    let line = "setsid sleep 4711 & sleep 4711";
    let ended = project.session(
        &[("a", "@say hi")],
        &["--handler-timeout", "300ms", "--on-task-done", line],
    );
    assert_eq!(ended.output.status.code(), Some(0));
    let err = String::from_utf8_lossy(&ended.output.stderr).into_owned();
    assert!(
        err.contains("its on_done command was ended: it ran longer than 0.3 s"),
        "{err}"
    );
    assert_eq!(pid_of(&project, "sleep 4711"), None);
    // What is left behind by one that ends in time goes too.
    let ended = project.session(&[("b", "@say hi")], &["--on-task-done", "setsid sleep 4712 & true"]);
    assert_eq!(ended.status["tasks"][0]["notes"], json!([]));
    assert_eq!(pid_of(&project, "sleep 4712"), None);
}

#[test]
fn a_stop_lets_it_have_the_grace_and_no_more() {
    let project = project();
    let line = r#"touch "$BESIDE/here"; exec sleep 4713"#;
    let run = project.start_session(&[("a", "@say hi")], &["--grace", "200ms", "--on-task-done", line]);
    project.await_file("here");
    let asked = Instant::now();
    assert_eq!(project.run(&["stop"]).code(), 0);
    let ended = project.ended(&run);
    assert!(asked.elapsed() < Duration::from_secs(60), "{:?}", asked.elapsed());
    let err = String::from_utf8_lossy(&ended.output.stderr).into_owned();
    assert!(
        err.contains("its on_done command was ended, as the session was stopped"),
        "{err}"
    );
    assert_eq!(ended.status["tasks"][0]["outcome"], "succeeded");
    assert_eq!(pid_of(&project, "sleep 4713"), None);
}

#[test]
fn one_that_outlives_its_supervisor_runs_once() {
    let project = project();
    let line = format!(r#"{COUNT}; touch "$BESIDE/here"; while ! test -e "$BESIDE/gate"; do sleep 0.02; done"#);
    project.start(&[("a", "@say hi")], &["--on-task-done", &line]);
    project.await_file("here");
    assert_eq!(project.kill_supervisor()["tasks"][0]["outcome"], "succeeded");
    let resumed = project.pleach(&["resume", "--sync"]);
    project.until("another supervisor", |project| {
        (project.query(&["status"])["overall_status"] == "running").then_some(())
    });
    assert_eq!(project.events("task_handled"), [Value::Null; 0]);
    project.open("gate");
    let ended = project.ended(&resumed);
    assert_eq!(ended.output.status.code(), Some(0));
    assert_eq!(read(&project, "ran"), "a\n");
    assert_eq!(project.events("task_handled").len(), 1);
}

// Fault 1: the supervisor is killed while a command of the user runs that is to be ended later.
#[test]
fn a_stop_reaches_one_that_a_killed_supervisor_has_started() {
    let line = format!(r#"{COUNT}; touch "$BESIDE/here"; exec sleep 4714"#);
    for (resumes, stop) in [
        (true, &["stop", "--now"][..]),
        (true, &["stop"]),
        // There is nobody to be asked: somebody begins for that.
        (false, &["stop", "--now"]),
    ] {
        let project = project();
        project.start(&[("a", "@say hi")], &["--grace", "200ms", "--on-task-done", &line]);
        project.await_file("here");
        project.kill_supervisor();
        if resumes {
            assert_eq!(project.run(&["resume"]).code(), 0);
        }
        let stopped = project.pleach(stop).recv_timeout(PATIENCE).expect("it stops");
        assert_eq!(Ran(stopped).code(), 0, "{resumes} {stop:?}");
        let handled = project.events("task_handled");
        let said = handled[0]["error"].as_str().expect("an error");
        assert!(said.contains("was ended, as the session was stopped"), "{said}");
        assert_eq!((handled.len(), read(&project, "ran").as_str()), (1, "a\n"));
        assert_eq!(pid_of(&project, "sleep 4714"), None);
        assert_eq!(project.query(&["status"])["tasks"][0]["outcome"], "succeeded");
    }
}

#[test]
fn one_that_ended_while_no_supervisor_was_there_is_not_run_again() {
    let project = project();
    let line = format!(r#"touch "$BESIDE/here"; while ! test -e "$BESIDE/gate"; do sleep 0.02; done; {COUNT}; exit 4"#);
    project.start(&[("a", "@say hi")], &["--on-task-done", &line]);
    project.await_file("here");
    project.kill_supervisor();
    project.open("gate");
    project.until("its outcome", |project| {
        project.session_dir().join("on_done-a.json").exists().then_some(())
    });
    assert_eq!(project.run(&["resume", "--sync"]).code(), 0);
    assert_eq!(read(&project, "ran"), "a\n");
    let handled = project.events("task_handled");
    assert!(
        handled[0]["error"]
            .as_str()
            .expect("an error")
            .contains("exited with code 4"),
        "{handled:?}"
    );
}

#[test]
fn one_that_was_killed_with_its_supervisor_is_run_again() {
    for point in ["handler-started:1@supervisor", "handled:1@handler"] {
        let project = project();
        let file = project.tasks(&[("a", "@say hi"), ("b", "@say hi")]);
        let mut command = project.pleach_command(&["run", "--agent", "scripted", "--on-task-done", COUNT, &file]);
        let run = ran(command.env("PLEACH_TEST_KILL", point));
        assert_eq!(run.code(), 0, "{run:?}");
        let is_of_supervisor = point.ends_with("supervisor");
        if is_of_supervisor {
            project.until("it is interrupted", |project| {
                (project.query(&["status"])["overall_status"] == "interrupted").then_some(())
            });
            assert_eq!(project.run(&["resume", "--sync"]).code(), 0);
            // The process that ran it lived on.
            let mut ran: Vec<String> = read(&project, "ran").lines().map(str::to_owned).collect();
            ran.sort_unstable();
            assert_eq!(ran, ["a", "b"]);
        } else {
            // Each of them was killed before it could tell; the command had run.
            let waited = project.run(&["wait"]);
            assert_eq!(waited.code(), 0, "{waited:?}");
            for event in project.events("task_handled") {
                assert_eq!(event["error"], "its on_done command was killed before its end");
            }
        }
    }
    // Both at once: nobody knows how far it came.
    let project = project();
    let line = format!(r#"{COUNT}; touch "$BESIDE/here"; while ! test -e "$BESIDE/gate"; do sleep 0.02; done"#);
    project.start(&[("a", "@say hi")], &["--on-task-done", &line]);
    project.await_file("here");
    project.kill_supervisor();
    let handler = pid_of(&project, "__handler").expect("the handler");
    kill_process(handler, Signal::KILL).expect("kill it");
    project.open("gate");
    assert_eq!(project.run(&["resume", "--sync"]).code(), 0);
    assert_eq!(read(&project, "ran"), "a\na\n");
}

#[test]
fn answers_are_written_where_they_are_wanted_before_the_command_runs() {
    let project = project();
    let tasks = [
        ("a", "@say one"),
        ("b", "@say two\n@fail no more"),
        ("c", "@exit 3"),
        ("d", "@exit 3"),
    ];
    let line = r#"cp "$PLEACH_OUTPUT_FILE" "$BESIDE/seen-$PLEACH_TASK_ID""#;
    fs::create_dir(project.repo().join("out")).expect("make a directory");
    project.write("out/a.txt", "old");
    project.write("out/d.txt", "the user's");
    let ended = project.session(&tasks, &["--output-dir", "out/", "--on-task-done", line]);
    assert_eq!(ended.output.status.code(), Some(1));
    let out = |name: &str| fs::read_to_string(project.repo().join("out").join(name)).ok();
    let answer = |id: &str| fs::read_to_string(project.session_dir().join(format!("task-{id}.txt"))).ok();
    assert_eq!(out("a.txt").as_deref(), Some("one"));
    assert_eq!(out("b.txt"), answer("b"), "what a failed one has answered");
    // Without an answer there is no file, and what is there stays.
    assert_eq!((out("c.txt"), answer("c")), (None, None));
    assert_eq!((out("d.txt").as_deref(), answer("d")), (Some("the user's"), None));
    let result = ended.result("c");
    assert_eq!(
        (&result["answer"], &result["answer_file"]),
        (&json!(null), &json!(null))
    );
    assert_eq!(read(&project, "seen-a"), "one");
    let left: Vec<_> = fs::read_dir(project.repo().join("out")).expect("read it").collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn what_has_no_agent_writes_no_answer() {
    let project = project();
    let file = project.beside("tasks.json");
    let entries = json!([
        { "id": "not", "prompt": "@say no", "run_if": "echo printed; false" },
        { "id": "setup", "prompt": "@say no", "setup": "echo printed; false" },
        { "id": "kept", "prompt": "@say no", "run_if": "false" },
        { "id": "silent", "prompt": "true" },
        { "id": "blank", "prompt": "echo; echo ' '" },
    ]);
    fs::write(&file, json!({ "prompts": entries }).to_string()).expect("write the tasks");
    project.write("out/kept.txt", "the user's");
    let agent = project.shell_agent();
    let run = project.run(&["run", "--sync", "--claude", &agent, "--output-dir", "out", &file]);
    assert_eq!(run.code(), 1, "{run:?}");
    let names = project.sh("ls out");
    assert_eq!(names, "kept.txt\n");
    assert_eq!(project.sh("cat out/kept.txt"), "the user's");
    let results = project.query(&["results"]);
    let results = results["tasks"].as_array().expect("tasks");
    for (id, outcome) in [
        ("not", "skipped"),
        ("setup", "failed"),
        ("silent", "succeeded"),
        ("blank", "succeeded"),
    ] {
        let result = results.iter().find(|task| task["id"] == id).expect("the task");
        assert_eq!(
            (&result["outcome"], &result["answer"], &result["answer_file"]),
            (&json!(outcome), &json!(null), &json!(null)),
            "{id}"
        );
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_refused_before_or_warned_of_after() {
    let project = project();
    project.write("file", "a file");
    project.write("directory/x", "");
    let file = project.tasks(&[("a", "@run rm -r ../../repo/later; echo x > ../../repo/later\n@say hi")]);
    let run = project.run(&["run", "--agent", "scripted", "--output-file", "directory", &file]);
    run.assert_refused(2, &["\"output_file\" names a directory"]);
    for (to, part) in [
        ("file/under", "is no directory"),
        ("/dev/null", "is no file"),
        (".git/HEAD", "is in a .git directory"),
    ] {
        let run = project.run(&["run", "--agent", "scripted", "--output-file", to, &file]);
        run.assert_refused(2, &["the answer of task 1", to, part]);
    }
    let several = project.tasks(&[("a", "@say hi"), ("b", "@say hi")]);
    let run = project.run(&["run", "--agent", "scripted", "--output-file", "same.txt", &several]);
    run.assert_refused(2, &["--output-file is for one task, not for 2", "--output-dir"]);
    let file = project.tasks(&[("a", "@run rm -rf ../../repo/later; echo x > ../../repo/later\n@say hi")]);
    fs::create_dir(project.repo().join("later")).expect("make a directory");
    let run = project.run(&[
        "run",
        "--sync",
        "--agent",
        "scripted",
        "--output-file",
        "later/a.txt",
        &file,
    ]);
    assert_eq!(run.code(), 0, "{run:?}");
    assert!(
        run.err()
            .contains("warning: task 1: its answer could not be written to"),
        "{run:?}"
    );
}
