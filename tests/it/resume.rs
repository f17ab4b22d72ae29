//! Going on with a session: after its supervisor was killed at any moment, after it was stopped, and to try again what
//! failed. What was done is not done again, what was lost is, and nothing that is there is replaced.
//!
//! Agents leave a line in `effects` each time they do their work, so that it shows when one does it twice.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Project, Ran, limit, pairs};

/// Says that it is there, waits for its gate, and does its work: a file, and a line in `effects`.
pub fn works(project: &Project, id: &str) -> String {
    let [here, gate, effects] = ["here", "gate", "effects"].map(|name| project.beside(name));
    format!(
        "@write early-{id}.txt early\n@touch {here}-{id}\n@wait {gate}\n@run echo {id} >> {effects}\n@write {id}.txt done\n@say done"
    )
}

pub fn effects(project: &Project) -> Vec<String> {
    let text = fs::read_to_string(project.root().join("effects")).unwrap_or_default();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// `pleach resume --sync` of the newest session, to its end.
#[track_caller]
pub fn resumed(project: &Project, options: &[&str]) -> Value {
    let ran = project.run(&[&["resume", "--sync"], options].concat());
    assert!(matches!(ran.code(), 0 | 1), "{ran:?}");
    let status = project.query(&["status"]);
    assert_eq!(project.agents(), [""; 0]);
    status
}

pub fn task<'s>(status: &'s Value, id: &str) -> &'s Value {
    let tasks = status["tasks"].as_array().expect("tasks");
    tasks
        .iter()
        .find(|task| task["transaction_id"] == id)
        .expect("the task")
}

#[track_caller]
pub fn assert_done(project: &Project, status: &Value, ids: &[&str], attempts: u64) {
    assert_eq!(status["overall_status"], "completed", "{status:#}");
    for id in ids {
        let task = task(status, id);
        assert_eq!(
            (&task["outcome"], &task["attempts"]),
            (&json!("succeeded"), &json!(attempts)),
            "{task:#}"
        );
        assert_eq!(project.show(&format!("main-task-{id}:{id}.txt")), "done\n");
        assert_eq!(
            project.git(&["rev-list", "--count", &format!("main..main-task-{id}")]),
            "1\n"
        );
    }
    let mut expected: Vec<String> = ids.iter().map(|&id| id.to_owned()).collect();
    expected.sort_unstable();
    assert_eq!(effects(project), expected);
}

pub fn runner(project: &Project, id: &str) -> Pid {
    let path = project.attempt_dir(id).join("identity.json");
    let identity: Value = serde_json::from_slice(&fs::read(path).expect("an identity")).expect("JSON");
    pid(&identity["pid"])
}

pub fn pid(value: &Value) -> Pid {
    let number = value.as_i64().and_then(|pid| i32::try_from(pid).ok());
    number.and_then(Pid::from_raw).expect("a pid")
}

pub fn kill(pid: Pid) {
    kill_process(pid, Signal::KILL).expect("kill it");
}

/// Starts a session whose supervisor kills itself at a point, and waits until it is interrupted.
pub fn killed_at(project: &Project, point: &str, tasks: &[(&str, &str)], options: &[&str]) {
    let file = project.tasks(tasks);
    let mut command = project.pleach_command(&[&["run", "--agent", "scripted"], options, &[&file]].concat());
    let output = command
        .env("PLEACH_TEST_KILL", format!("{point}@supervisor"))
        .output()
        .expect("run pleach");
    assert!(output.status.success(), "{output:?}");
    project.until("the supervisor's end", |project| {
        (project.query(&["status"])["overall_status"] == "interrupted").then_some(())
    });
}

#[test]
fn agents_whose_supervisor_was_killed_are_taken_over_and_none_works_twice() {
    let project = Project::new();
    let (a, b, c) = (works(&project, "a"), works(&project, "b"), works(&project, "c"));
    let id = project.start(&[("a", &a), ("b", &b), ("c", &c)], &["--max-parallel", "2"]);
    project.await_file("here-a");
    project.await_file("here-b");
    let runners = [runner(&project, "a"), runner(&project, "b")];
    project.kill_supervisor();
    for (command, told) in [
        ("status", true),
        ("list", true),
        ("watch", true),
        ("wait", true),
        ("results", false),
    ] {
        let ran = project.run(&[command]);
        assert_eq!(
            ran.err().contains(&format!("resume {}", &id[..8])),
            told,
            "{command}: {ran:?}"
        );
    }
    let ran = project.run(&["resume"]);
    assert_eq!((ran.code(), ran.out()), (0, format!("{id}\n")), "{ran:?}");
    assert!(ran.err().starts_with("3 of 3 tasks, 2 at once"), "{ran:?}");
    let status = project.query(&["status"]);
    assert_eq!(
        (&status["overall_status"], &status["supervisor"]["alive"]),
        (&json!("running"), &json!(true))
    );
    assert_eq!(runners, [runner(&project, "a"), runner(&project, "b")]);
    project.open("gate");
    assert_eq!(project.run(&["wait"]).code(), 0);
    assert_done(&project, &project.query(&["status"]), &["a", "b", "c"], 1);
}

#[test]
fn an_attempt_that_ended_meanwhile_is_settled_and_not_made_again() {
    let project = Project::new();
    let prompt = works(&project, "a");
    project.start(&[("a", &prompt), ("b", "@fail no")], &[]);
    project.await_file("here-a");
    project.kill_supervisor();
    project.open("gate");
    project.until("the outcome", |project| {
        project.attempt_dir("a").join("outcome.json").exists().then_some(())
    });
    project.until("the end of the agents", |project| {
        project.agents().is_empty().then_some(())
    });
    let status = resumed(&project, &[]);
    assert_done(&project, &status, &["a"], 1);
    assert_eq!(task(&status, "b")["outcome"], "failed");
    // Another time there is nothing to do, and that is said.
    let ran = project.run(&["resume"]);
    assert_eq!((ran.code(), ran.out().as_str()), (0, ""), "{ran:?}");
    assert!(
        ran.err().contains("nothing is left to do") && ran.err().trim_end().ends_with("--retry-failed"),
        "{ran:?}"
    );
}

#[test]
fn an_attempt_whose_runner_was_killed_too_is_made_again_in_the_same_worktree() {
    for project in [Project::new(), Project::unprivileged()] {
        let [pids, effects_file, gate] = ["pids", "effects", "gate"].map(|name| project.beside(name));
        // The first time it leaves two processes behind, one of them in a session of its own.
        let script = format!(
            "if test -e early.txt; then test -e {gate}; echo a >> {effects_file}; echo done > a.txt; else \
             echo early > early.txt; setsid sleep 300 & sleep 300 & echo $! > {pids}; wait; fi"
        );
        let agent = project.shell_agent();
        let file = project.tasks(&[("a", &script)]);
        let ran = project.run(&["run", "--claude", &agent, &file]);
        assert_eq!(ran.code(), 0, "{ran:?}");
        project.line_beside("pids");
        let runner = runner(&project, "a");
        project.kill_supervisor();
        kill(runner);
        project.open("gate");
        let status = resumed(&project, &[]);
        let conversations: Vec<Value> = project
            .events("attempt_started")
            .iter()
            .map(|event| event["conversation"].clone())
            .collect();
        assert_eq!(conversations.len(), 2);
        assert_ne!(conversations[0], conversations[1]);
        assert_done(&project, &status, &["a"], 2);
        assert_eq!(project.show("main-task-a:early.txt"), "early\n");
        let notes = task(&status, "a")["notes"].to_string();
        assert!(notes.contains("attempt 1 was cut off"), "{notes}");
    }
}

#[test]
fn a_torn_journal_is_cut_and_a_damaged_one_refused() {
    let project = Project::new();
    let prompt = works(&project, "a");
    project.start(&[("a", &prompt)], &[]);
    project.await_file("here-a");
    project.kill_supervisor();
    let journal = project.session_dir().join("journal.jsonl");
    let text = fs::read(&journal).expect("the journal");
    let damaged = [&text[..], b"damage\n"].concat();
    fs::write(&journal, &damaged).expect("write");
    let ran = project.run(&["resume"]);
    assert_eq!(ran.code(), 3, "{ran:?}");
    let line = format!("line {}", text.iter().filter(|&&b| b == b'\n').count() + 1);
    assert!(ran.err().contains(&line), "{ran:?}");
    assert_eq!(fs::read(&journal).expect("the journal"), damaged);
    fs::write(&journal, [&text[..], b"{\"at_ms\":17,\"ev"].concat()).expect("write");
    project.open("gate");
    let status = resumed(&project, &[]);
    assert_done(&project, &status, &["a"], 1);
    assert_eq!(
        status["warnings"],
        json!(["the last line of the journal was torn, and was cut off"])
    );
    assert!(fs::read(&journal).expect("the journal").starts_with(&text));
}

#[test]
fn failed_tasks_are_tried_again_only_when_that_is_asked_for() {
    let project = Project::new();
    let effects_file = project.beside("effects");
    let script = "test -e half.txt; echo half > half.txt; echo a >> EFFECTS; test -e GATE || exit 3; echo done > a.txt"
        .replace("EFFECTS", &effects_file)
        .replace("GATE", &project.beside("gate"));
    let agent = project.shell_agent();
    let file = project.tasks(&[("a", &script), ("b", "echo done > b.txt")]);
    let ran = project.run(&["run", "--sync", "--claude", &agent, &file]);
    assert_eq!(ran.code(), 1, "{ran:?}");
    project.open("gate");
    assert!(project.run(&["resume"]).err().contains("nothing is left to do"));
    let status = resumed(&project, &["--retry-failed"]);
    assert_eq!(status["overall_status"], "completed");
    let of = |id: &str| {
        [
            task(&status, id)["outcome"].clone(),
            task(&status, id)["attempts"].clone(),
        ]
    };
    assert_eq!(
        [of("a"), of("b")],
        [[json!("succeeded"), json!(2)], [json!("succeeded"), json!(1)]]
    );
    assert_eq!(effects(&project), ["a", "a"]);
    assert_eq!(project.show("main-task-a:a.txt"), "done\n");
    assert_eq!(project.show("main-task-a:half.txt"), "half\n");
    let ran = project.run(&["resume", "--retry-failed"]);
    assert!(
        ran.code() == 0 && ran.err().contains("every task of session"),
        "{ran:?}"
    );
}

#[test]
fn a_session_at_its_cost_limit_goes_on_with_another() {
    let project = Project::new();
    project.open("gate");
    let b = works(&project, "b");
    let ended = project.session(
        &[("a", "@cost 2.5"), ("b", &b)],
        &["--max-parallel", "1", "--max-cost", "2"],
    );
    assert_eq!(ended.status["overall_status"], "stopped");
    for options in [&["resume"][..], &["resume", "--max-cost", "2.2"]] {
        let ran = project.run(options);
        assert_eq!((ran.code(), ran.out().as_str()), (2, ""), "{ran:?}");
        assert!(
            ran.err().contains("above its limit of $2") && ran.err().contains("--max-cost USD"),
            "{ran:?}"
        );
    }
    let status = resumed(&project, &["--max-cost", "10"]);
    assert_done(&project, &status, &["b"], 1);
    assert_eq!(status["max_cost_usd"], 10.0);
    assert_eq!(project.events("cost_limit_set").len(), 1);
}

#[test]
fn of_two_at_once_one_goes_on_and_the_other_says_who_does() {
    let project = Project::new();
    let prompt = works(&project, "a");
    let id = project.start(&[("a", &prompt)], &[]);
    project.await_file("here-a");
    // While somebody works on it, too.
    let held = project.run(&["resume"]);
    assert_eq!(held.code(), 3, "{held:?}");
    project.kill_supervisor();
    let both = [project.pleach(&["resume"]), project.pleach(&["resume"])];
    let both = both.map(|run| Ran(run.recv_timeout(crate::support::PATIENCE).expect("it ends")));
    let mut codes = [both[0].code(), both[1].code()];
    codes.sort_unstable();
    assert_eq!(codes, [0, 3], "{both:?}");
    let loser = both.iter().find(|ran| ran.code() == 3).expect("one");
    let holder = project.query(&["status"])["supervisor"]["pid"].as_i64().expect("a pid");
    let said = format!(
        "session {0} is held by process {holder}\n hint: it is being worked on; see it live: pleach watch {0}\n",
        &id[..8]
    );
    assert_eq!(loser.err(), format!("error: {said}"));
    project.open("gate");
    assert_eq!(project.run(&["wait"]).code(), 0);
    assert_done(&project, &project.query(&["status"]), &["a"], 1);
    assert_eq!(project.events("session_started").len(), 2);
}

#[test]
fn after_a_reboot_no_process_is_signalled() {
    let project = Project::new();
    let prompt = works(&project, "a");
    project.start(&[("a", &prompt)], &[]);
    project.await_file("here-a");
    let killed = runner(&project, "a");
    project.kill_supervisor();
    kill(killed);
    project.until("the end of the agents", |project| {
        project.agents().is_empty().then_some(())
    });
    // A process of today has the mark of that time, and the pid of the runner is somebody's.
    let mark = project.events("attempt_started")[0]["attempt"]
        .as_str()
        .expect("a mark")
        .to_owned();
    let mut other = project
        .command("sleep")
        .arg("600")
        .env("PLEACH_ATTEMPT", &mark)
        .spawn()
        .expect("start it");
    let identity = project.attempt_dir("a").join("identity.json");
    let text = json!({ "pid": other.id(), "start_time": 1, "boot_id": "another" }).to_string();
    fs::write(&identity, text).expect("write");
    project.open("gate");
    let ran = project.run(&["resume", "--sync"]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert_eq!(other.try_wait().expect("look"), None, "it was ended");
    other.kill().expect("end it");
    other.wait().expect("its end");
    assert_done(&project, &project.query(&["status"]), &["a"], 2);
}

#[test]
fn a_moved_or_copied_repository_is_not_gone_on_with() {
    let project = Project::new();
    let prompt = works(&project, "a");
    project.start(&[("a", &prompt)], &[]);
    project.await_file("here-a");
    assert_eq!(project.run(&["stop"]).code(), 0);
    let moved = project.root().join("moved");
    for way in ["mv", "cp -a"] {
        project.sh(&format!("cd .. && {way} repo moved"));
        let mut command = project.pleach_command(&["resume", "--retry-failed"]);
        let ran = Ran(command.current_dir(&moved).output().expect("run it"));
        assert_eq!(ran.code(), 2, "{way}: {ran:?}");
        assert!(
            ran.err().contains("is not at") && ran.err().trim_end().ends_with("git worktree repair"),
            "{ran:?}"
        );
        if way == "mv" {
            // It says the same, and not that something is damaged.
            let mut plan = project.pleach_command(&["plan"]);
            let plan = Ran(plan.current_dir(&moved).output().expect("run it"));
            assert_eq!((plan.code(), plan.err()), (2, ran.err()), "{plan:?}");
        }
        project.sh(&format!(
            "cd {0} && rm -rf repo.gone && if test -e repo; then rm -rf moved; else mv moved repo; fi",
            project.root().display()
        ));
    }
    project.open("gate");
    let status = resumed(&project, &["--retry-failed"]);
    assert_eq!(task(&status, "a")["outcome"], "succeeded", "{status:#}");
    assert_eq!(project.show("main-task-a:a.txt"), "done\n");
}

#[test]
fn what_a_session_needs_has_to_be_there() {
    let project = Project::new();
    let program = project.program("agent", "exit 3");
    let file = project.tasks(&[("a", "x")]);
    assert_eq!(project.run(&["run", "--sync", "--claude", &program, &file]).code(), 1);
    fs::rename(&program, project.root().join("away")).expect("move it");
    let ran = project.run(&["resume", "--retry-failed"]);
    assert_eq!(ran.code(), 2, "{ran:?}");
    assert!(
        ran.err().contains(&format!("{program} of the session is not there")),
        "{ran:?}"
    );
    assert_eq!(project.events("session_started").len(), 1);
}

// Fault 9: hardly a file can be opened while many attempts are taken over.
#[test]
fn agents_are_not_taken_for_lost_because_no_file_can_be_opened() {
    let project = Project::new();
    let ids: Vec<String> = (0..12).map(|n| format!("t{n}")).collect();
    let prompts: Vec<String> = ids.iter().map(|id| works(&project, id)).collect();
    let tasks = pairs(&ids, &prompts);
    project.start(&tasks, &["--max-parallel", "12"]);
    for id in &ids {
        project.await_file(&format!("here-{id}"));
    }
    project.kill_supervisor();
    let ran = Ran(project
        .shell("ulimit -Sn 18; exec \"$PLEACH\" resume")
        .output()
        .expect("run it"));
    assert_eq!(ran.code(), 0, "{ran:?}");
    let status = project.query(&["status"]);
    let supervisor = pid(&status["supervisor"]["pid"]);
    let open = || fs::read_dir(format!("/proc/{}/fd", supervisor.as_raw_nonzero())).map(Iterator::count);
    project.until("it has opened all that it may", |_| {
        open().map_or(true, |n| n >= 17).then_some(())
    });
    project.until("it has looked once more", |project| {
        let events = project.events("attempt_lost").len();
        assert_eq!(events, 0, "living agents are taken for lost");
        let since = fs::metadata(project.session_dir().join("session.lock")).and_then(|m| m.modified());
        let since = since.expect("a lock").elapsed().unwrap_or_default();
        (since.as_millis() > 1500).then_some(())
    });
    limit(&project, supervisor, "nofile", "1024");
    project.open("gate");
    assert_eq!(project.run(&["wait"]).code(), 0);
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    assert_done(&project, &project.query(&["status"]), &ids, 1);
}
