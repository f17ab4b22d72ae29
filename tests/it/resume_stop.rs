//! Sessions and tasks that were to stop while their supervisors were killed: a task that was to stop does not work again,
//! and a session goes on when it is resumed.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::resume::{assert_done, effects, kill, resumed, runner, task, works};
use crate::support::{PATIENCE, Project, Ran};

#[test]
fn a_stopped_session_goes_on_with_what_had_not_begun() {
    let project = Project::new();
    let (a, b) = (works(&project, "a"), works(&project, "b"));
    project.start(&[("a", &a), ("b", &b)], &["--max-parallel", "1"]);
    project.await_file("here-a");
    assert_eq!(project.run(&["stop"]).code(), 0);
    project.open("gate");
    let status = resumed(&project, &[]);
    assert_eq!(task(&status, "a")["outcome"], "stopped");
    assert_done(&project, &status, &["b"], 1);
    let status = resumed(&project, &["--retry-failed"]);
    assert_eq!(task(&status, "a")["outcome"], "succeeded");
    assert_eq!(effects(&project), ["a", "b"]);
    assert_eq!(project.show("main-task-a:early-a.txt"), "early\n");
}

#[test]
fn a_session_without_a_supervisor_can_be_stopped() {
    for runner_dies in [false, true] {
        let project = Project::new();
        let (a, b) = (works(&project, "a"), works(&project, "b"));
        project.start(&[("a", &a), ("b", &b)], &["--max-parallel", "1"]);
        project.await_file("here-a");
        let runner = runner(&project, "a");
        project.kill_supervisor();
        if runner_dies {
            kill(runner);
        }
        let ran = project.run(&["stop"]);
        assert_eq!(ran.code(), 0, "{ran:?}");
        assert_eq!(project.agents(), [""; 0]);
        let status = project.query(&["status"]);
        assert_eq!(status["overall_status"], "stopped", "{status:#}");
        let of = |id: &str| {
            [
                task(&status, id)["status"].clone(),
                task(&status, id)["outcome"].clone(),
            ]
        };
        assert_eq!(
            [of("a"), of("b")],
            [[json!("completed"), json!("stopped")], [json!("pending"), Value::Null]]
        );
        assert_eq!(project.show("main-task-a:early-a.txt"), "early\n");
        project.open("gate");
        assert_done(&project, &resumed(&project, &[]), &["b"], 1);
    }
}

/// Stops a task while nobody takes requests up, and kills the one who should have.
fn asked_in_vain(project: &Project, session: &str, tasks: &[&str]) {
    let pid = project.query(&["status"])["supervisor"]["pid"].as_i64().expect("a pid");
    let supervisor = Pid::from_raw(pid.try_into().expect("a pid")).expect("a pid");
    kill_process(supervisor, Signal::STOP).expect("stop it");
    let stop = project.pleach(&[&["stop", session], tasks].concat());
    let requests = project.session_dir().join("requests");
    project.until("the request", |_| {
        let mut entries = fs::read_dir(&requests).into_iter().flatten().flatten();
        entries
            .any(|e| e.path().extension().is_some_and(|e| e == "json"))
            .then_some(())
    });
    project.kill_supervisor();
    let stop = Ran(stop.recv_timeout(PATIENCE).expect("it ends"));
    assert_eq!(stop.code(), 3, "{stop:?}");
}

// Fault 1: the supervisor is killed before it has taken up a request.
#[test]
fn a_task_that_was_to_stop_does_not_work_after_the_supervisor_was_killed() {
    let project = Project::new();
    let prompts = ["a", "b", "c"].map(|id| works(&project, id));
    let session = project.start(
        &[("a", &prompts[0]), ("b", &prompts[1]), ("c", &prompts[2])],
        &["--max-parallel", "1"],
    );
    project.await_file("here-a");
    asked_in_vain(&project, &session, &["a", "b"]);
    // That of the whole session is of no account: it is wanted to go on.
    let request = project.session_dir().join("requests/1.json");
    fs::write(&request, "{\"request\":\"stop\",\"now\":true}").expect("write");
    assert_eq!(project.run(&["resume"]).code(), 0);
    project.until("the end of the first", |project| {
        (task(&project.query(&["status"]), "a")["status"] == "completed").then_some(())
    });
    project.open("gate");
    assert_eq!(project.run(&["wait"]).code(), 1);
    let status = project.query(&["status"]);
    assert_eq!(
        [&task(&status, "a")["outcome"], &task(&status, "b")["outcome"]],
        ["stopped", "stopped"],
        "{status:#}"
    );
    assert_eq!(project.show("main-task-a:early-a.txt"), "early\n");
    assert_eq!(task(&status, "b")["attempts"], 0);
    assert_done(&project, &status, &["c"], 1);
    let left = fs::read_dir(project.session_dir().join("requests"))
        .expect("read")
        .count();
    assert_eq!(left, 0);
}

// Fault 1: the supervisor is killed while it writes down that a task is to stop.
#[test]
fn a_request_that_was_taken_up_is_not_lost_before_it_is_written_down() {
    for (point, written) in [("journal:3", 0), ("journaled:3", 1)] {
        let project = Project::new();
        let prompt = works(&project, "a");
        let file = project.tasks(&[("a", &prompt)]);
        let mut command = project.pleach_command(&["run", "--agent", "scripted", &file]);
        command.env("PLEACH_TEST_KILL", format!("{point}@supervisor"));
        let ran = Ran(command.output().expect("run pleach"));
        assert_eq!(ran.code(), 0, "{ran:?}");
        project.await_file("here-a");
        let id = ran.out().trim().to_owned();
        if project.query(&["status"])["overall_status"] == "interrupted" {
            panic!("{point} comes too early: {:#?}", project.journal());
        }
        let stop = project.run(&["stop", &id, "a"]);
        assert_eq!(stop.code(), 3, "{point}: {stop:?}");
        assert_eq!(project.events("task_stop_asked").len(), written, "{point}");
        assert_eq!(project.events("attempt_started").len(), 1, "{point}");
        assert_eq!(project.run(&["resume"]).code(), 0);
        assert_eq!(project.run(&["wait"]).code(), 1, "{point}");
        let status = project.query(&["status"]);
        let task = task(&status, "a");
        assert_eq!(
            (&task["outcome"], &task["attempts"]),
            (&json!("stopped"), &json!(1)),
            "{point}: {task:#}"
        );
        assert_eq!(effects(&project), [""; 0]);
        assert_eq!(project.show("main-task-a:early-a.txt"), "early\n");
    }
}

#[test]
fn a_request_that_was_left_does_not_stop_what_is_tried_again() {
    let project = Project::new();
    project
        .session(&[("a", "@write a.txt one\n@fail no")], &[])
        .assert_exit(1);
    for (name, text) in [
        ("1", "{\"request\":\"stop_tasks\",\"tasks\":[\"a\"],\"now\":true}"),
        ("2", "{\"request\":\"stop\",\"now\":true}"),
        (
            "3",
            "{\"request\":\"go_on\",\"retry_failed\":false,\"max_cost_usd\":0.0}",
        ),
    ] {
        fs::write(project.session_dir().join(format!("requests/{name}.json")), text).expect("write");
    }
    let status = resumed(&project, &["--retry-failed"]);
    let task = task(&status, "a");
    assert_eq!(
        (&task["outcome"], &task["attempts"]),
        (&json!("failed"), &json!(2)),
        "{task:#}"
    );
    assert_eq!(project.events("cost_limit_set").len(), 0);
}

/// A session whose only task has lost its attempt and its worktree, which a filter makes again: it has begun to, says so
/// by the file `seen`, and waits for `again`.
fn being_made_again() -> (Project, String) {
    let project = Project::new();
    project.write("slow.txt", "text\n");
    project.write(".gitattributes", "slow.txt filter=slow\n");
    project.git(&["add", "."]);
    project.git(&["commit", "-qm", "files"]);
    let [closed, seen, gate] = ["closed", "seen", "again"].map(|name| project.beside(name));
    let smudge = format!("if [ -e {closed} ]; then touch {seen}; until [ -e {gate} ]; do sleep 0.05; done; fi; cat");
    project.git(&["config", "filter.slow.smudge", &smudge]);
    let prompt = works(&project, "a");
    let session = project.start(&[("a", &prompt)], &[]);
    project.await_file("here-a");
    project.kill_supervisor();
    // It is lost while somebody looks after it.
    let runner = runner(&project, "a");
    kill_process(runner, Signal::STOP).expect("stop it");
    assert_eq!(project.run(&["resume"]).code(), 0);
    fs::remove_dir_all(project.worktree("a")).expect("remove it");
    project.open("closed");
    kill(runner);
    project.await_file("seen");
    (project, session)
}

/// Waits until a request to stop is written down.
fn until_asked(project: &Project, kind: &str) {
    project.until("it is asked", |project| {
        (!project.events(kind).is_empty()).then_some(())
    });
}

#[test]
fn a_task_that_is_made_again_can_be_stopped_before_it_starts() {
    for named in [false, true] {
        let (project, session) = being_made_again();
        let (arguments, kind, outcome) = match named {
            true => (vec!["stop", &session, "a"], "task_stop_asked", json!("stopped")),
            false => (vec!["stop", &session], "stop_asked", Value::Null),
        };
        let stop = project.pleach(&arguments);
        until_asked(&project, kind);
        project.open("again");
        let stop = Ran(stop.recv_timeout(PATIENCE).expect("it stops"));
        assert_eq!(stop.code(), 0, "{stop:?}");
        let status = project.query(&["status"]);
        assert_eq!(task(&status, "a")["outcome"], outcome, "{status:#}");
        assert_eq!(effects(&project), [""; 0]);
    }
}

// Fault 36: a worktree that was being made again when the supervisor was killed, of a task that is to stop.
#[test]
fn files_that_are_not_there_yet_are_not_taken_for_deleted() {
    let (project, session) = being_made_again();
    let stop = project.pleach(&["stop", &session, "a"]);
    until_asked(&project, "task_stop_asked");
    project.kill_supervisor();
    let stop = Ran(stop.recv_timeout(PATIENCE).expect("it ends"));
    assert_eq!(stop.code(), 3, "{stop:?}");
    // Whoever was writing the files goes with it, as when the machine goes down.
    for process in project.processes() {
        let _ = kill_process(process.pid, Signal::KILL);
    }
    project.open("again");
    let status = resumed(&project, &[]);
    let task = task(&status, "a");
    assert_eq!(task["outcome"], "stopped", "{task:#}");
    assert_eq!(project.changed_in("main-task-a"), "", "{task:#}");
    let refs = project.git(&["for-each-ref", "--format=%(refname)", "refs/pleach"]);
    assert!(!refs.contains("/remade"), "{refs}");
}

// Fault 1: the supervisor is killed while agents are ended because a task has failed.
#[test]
fn what_fail_fast_was_ending_says_so_when_its_supervisor_was_killed() {
    for ends_meanwhile in [false, true] {
        let project = Project::new();
        let [up, asked, gate] = ["up", "asked", "gate"].map(|name| project.beside(name));
        let slow = format!(
            "trap 'touch {asked}; while test ! -e {gate}; do sleep 0.02; done; exit 1' TERM\n\
             touch {up}; while :; do sleep 0.02; done"
        );
        let bad = format!("while test ! -e {up}; do sleep 0.02; done; exit 3");
        let file = project.tasks(&[("slow", &slow), ("bad", &bad)]);
        let options = ["run", "--fail-fast", "--grace", "1h", "--max-parallel", "2"];
        let agent = project.shell_agent();
        let run = project.run(&[&options[..], &["--claude", &agent, &file]].concat());
        assert_eq!(run.code(), 0, "{run:?}");
        project.await_file("asked");
        project.kill_supervisor();
        if ends_meanwhile {
            project.open("gate");
            let outcome = project.session_dir().join("attempts/slow.1/outcome.json");
            project.until("it has ended", |_| outcome.exists().then_some(()));
        }
        assert_eq!(project.run(&["resume"]).code(), 0);
        project.open("gate");
        assert_eq!(project.run(&["wait"]).code(), 1);
        let status = project.query(&["status"]);
        let slow = task(&status, "slow");
        assert_eq!(
            (&slow["outcome"], &slow["reason"], &slow["error"]),
            (
                &json!("stopped"),
                &Value::Null,
                &json!("stopped: task bad failed (--fail-fast)")
            ),
            "{ends_meanwhile}: {slow:#}"
        );
    }
}
