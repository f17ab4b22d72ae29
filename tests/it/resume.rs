//! Going on with a session: after its supervisor was killed at any moment, after it was stopped, and to try again what
//! failed. What was done is not done again, what was lost is, and nothing that is there is replaced.
//!
//! Agents leave a line in `effects` each time they do their work, so that it shows when one does it twice.

use std::fs;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Project, Ran};

/// Says that it is there, waits for its gate, and does its work: a file, and a line in `effects`.
fn works(project: &Project, id: &str) -> String {
    let [here, gate, effects] = ["here", "gate", "effects"].map(|name| project.beside(name));
    format!(
        "@write early-{id}.txt early\n@touch {here}-{id}\n@wait {gate}\n@run echo {id} >> {effects}\n@write {id}.txt done\n@say done"
    )
}

fn effects(project: &Project) -> Vec<String> {
    let text = fs::read_to_string(project.root().join("effects")).unwrap_or_default();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// `pleach resume --sync` of the newest session, to its end.
#[track_caller]
fn resumed(project: &Project, options: &[&str]) -> Value {
    let ran = project.run(&[&["resume", "--sync"], options].concat());
    assert!(matches!(ran.code(), 0 | 1), "{ran:?}");
    let status = project.query(&["status"]);
    assert_eq!(project.agents(), [""; 0]);
    status
}

fn task<'s>(status: &'s Value, id: &str) -> &'s Value {
    let tasks = status["tasks"].as_array().expect("tasks");
    tasks
        .iter()
        .find(|task| task["transaction_id"] == id)
        .expect("the task")
}

#[track_caller]
fn assert_done(project: &Project, status: &Value, ids: &[&str], attempts: u64) {
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

fn runner(project: &Project, id: &str) -> Pid {
    let path = project.attempt_dir(id).join("identity.json");
    let identity: Value = serde_json::from_slice(&fs::read(path).expect("an identity")).expect("JSON");
    pid(&identity["pid"])
}

fn pid(value: &Value) -> Pid {
    let number = value.as_i64().and_then(|pid| i32::try_from(pid).ok());
    number.and_then(Pid::from_raw).expect("a pid")
}

fn kill(pid: Pid) {
    kill_process(pid, Signal::KILL).expect("kill it");
}

/// Starts a session whose supervisor kills itself at a point, and waits until it is interrupted.
fn killed_at(project: &Project, point: &str, tasks: &[(&str, &str)], options: &[&str]) {
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
fn a_supervisor_killed_while_it_prepares_leaves_nothing_that_is_not_undone() {
    for point in [
        "claimed:1",
        "branched:1",
        "registered:1",
        "checked-out:1",
        "spawned:1",
        "journal:3",
        "go:1",
        "gone:1",
    ] {
        let project = Project::new();
        project.open("gate");
        let prompt = works(&project, "a");
        killed_at(&project, point, &[("a", &prompt)], &[]);
        if point == "branched:1" {
            // As a git that is killed leaves it.
            fs::write(project.repo().join(".git/refs/heads/main-task-a.lock"), "").expect("a lock");
        }
        let status = resumed(&project, &[]);
        let attempts = task(&status, "a")["attempts"].as_u64().expect("a number");
        // After the word it may have begun.
        assert!(
            attempts == 1 || (point.starts_with("go") && attempts == 2),
            "{point}: {status:#}"
        );
        assert_done(&project, &status, &["a"], attempts);
        assert_eq!(task(&status, "a")["branch"], "main-task-a", "{point}");
        assert_eq!(project.git(&["worktree", "list"]).lines().count(), 1, "{point}");
        assert_eq!(
            project.git(&["for-each-ref", "--format=%(refname)", "refs/heads"]),
            "refs/heads/main\nrefs/heads/main-task-a\n"
        );
        let pins = project.git(&["for-each-ref", "--format=%(refname)", "refs/pleach"]);
        assert!(!pins.contains("/made") && !pins.contains("/left"), "{pins}");
    }
}

/// Kills a session's supervisor at the `nth` passage of a point, and each one that takes it over one passage later than
/// the one before, until one comes to the end; gives how often it was killed.
fn killed_again_and_again(project: &Project, point: &str, nth: usize, file: &str) -> usize {
    let mut arguments = vec!["run", "--agent", "scripted", "--max-parallel", "2", file];
    for killed in 0..60 {
        let kill = format!("{point}:{}@supervisor", nth + killed);
        let mut command = project.pleach_command(&arguments);
        let ran = Ran(command.env("PLEACH_TEST_KILL", kill).output().expect("run pleach"));
        // It may be killed before it is ready.
        assert!(matches!(ran.code(), 0 | 3), "{ran:?}");
        let status = project.until("the end of the supervisor", |project| {
            let status = project.query(&["status"]);
            (status["supervisor"]["alive"] == false).then_some(status)
        });
        if status["overall_status"] == "completed" {
            return killed;
        }
        arguments = vec!["resume"];
    }
    panic!("it comes to no end: {point}:{nth}");
}

#[test]
fn a_session_whose_supervisors_are_killed_at_every_step_comes_to_its_end() {
    for point in ["fsync", "rename"] {
        for nth in 1.. {
            let project = Project::new();
            project.open("gate");
            let ids = ["a", "b", "c"];
            let prompts = ids.map(|id| works(&project, id));
            let tasks: Vec<(&str, &str)> = ids.into_iter().zip(prompts.iter().map(String::as_str)).collect();
            let file = project.tasks(&tasks);
            let killed = killed_again_and_again(&project, point, nth, &file);
            let status = project.query(&["status"]);
            assert_eq!(status["overall_status"], "completed", "{point}:{nth}: {status:#}");
            for id in ids {
                let about = [&task(&status, id)["outcome"], &task(&status, id)["branch"]];
                let branch = format!("main-task-{id}");
                assert_eq!(about, ["succeeded", &branch], "{point}:{nth}: {:#?}", project.journal());
                assert_eq!(
                    project.show(&format!("main-task-{id}:{id}.txt")),
                    "done\n",
                    "{point}:{nth}"
                );
                let commits = project.git(&["rev-list", "--count", &format!("main..main-task-{id}")]);
                assert_eq!(commits, "1\n", "{point}:{nth}");
            }
            let journal = project.journal();
            let ended = |id: &str| {
                let of = |record: &&Value| record["event"] == "attempt_ended" && record["task"] == id;
                journal.iter().filter(of).count()
            };
            assert!(ids.iter().all(|id| ended(id) == 1), "{point}:{nth}: {journal:#?}");
            assert_eq!(project.git(&["worktree", "list"]).lines().count(), 1, "{point}:{nth}");
            assert_eq!(project.agents(), [""; 0]);
            // Once with nobody killed it has been every one of them.
            if killed == 0 {
                break;
            }
        }
    }
}

#[test]
fn what_somebody_else_made_under_the_name_of_a_task_is_left_alone() {
    let project = Project::new();
    project.open("gate");
    let prompt = works(&project, "a");
    // The site is written down, and nothing is made.
    killed_at(&project, "journaled:1", &[("a", &prompt)], &[]);
    assert_eq!(project.git(&["branch", "--list", "main-task-a"]), "");
    let worktree = project.worktree("a");
    let at = worktree.to_str().expect("UTF-8");
    project.git(&["worktree", "add", "-q", "-b", "main-task-a", at]);
    fs::write(worktree.join("mine.txt"), "mine").expect("write");
    let status = resumed(&project, &[]);
    let branch = task(&status, "a")["branch"].as_str().expect("a branch").to_owned();
    assert!(branch.starts_with("main-task-a-"), "{branch}");
    assert_eq!(project.show(&format!("{branch}:a.txt")), "done\n");
    assert_eq!(
        fs::read_to_string(worktree.join("mine.txt")).expect("it is there"),
        "mine"
    );
    assert_eq!(
        project.git(&["rev-parse", "main-task-a"]),
        project.git(&["rev-parse", "main"])
    );
}

#[test]
fn a_supervisor_killed_while_it_settles_or_puts_away_does_so_once() {
    for point in [
        "committed:1",
        "pinned:1",
        "settled:1",
        "trashed:1",
        "journal:4",
        "journal:5",
        "trash:1",
        "trash:2",
    ] {
        let project = Project::new();
        project.open("gate");
        project.write(".gitignore", "*.log\n");
        project.git(&["add", "."]);
        project.git(&["commit", "-qm", "ignore"]);
        let prompt = format!("{}\n@write x.log ignored", works(&project, "a"));
        killed_at(&project, point, &[("a", &prompt)], &[]);
        let status = resumed(&project, &[]);
        assert_done(&project, &status, &["a"], 1);
        assert_eq!(task(&status, "a")["notes"], json!([]), "{point}");
        let pins = project.git(&["for-each-ref", "--format=%(refname)", "refs/pleach"]);
        assert!(!pins.contains("/left"), "{point}: {pins}");
        let removed = project.events("worktree_removed");
        assert_eq!(removed.len(), 1, "{point}: {:#?}", project.journal());
        assert_eq!(removed[0]["ignored"], json!(["x.log"]), "{point}");
        let trash = PathBuf::from(removed[0]["trash"].as_str().expect("a path"));
        assert!(
            trash.join("worktree/x.log").is_file() && trash.join("git/HEAD").is_file(),
            "{point}"
        );
        assert!(!project.worktree("a").exists());
        assert_eq!(project.git(&["worktree", "list"]).lines().count(), 1, "{point}");
        let settled = &project.events("task_settled")[0]["settlement"];
        assert_eq!(settled["committed_leftovers"], true, "{point}");
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
fn a_worktree_or_a_branch_that_is_gone_comes_back_with_what_was_committed() {
    // What is taken away, and what is there afterwards.
    for (line, notes) in [
        ("rm -r ../repo.pleach/main-task-a", "the worktree"),
        ("rm -r ../repo.pleach/main-task-a && git worktree prune", "the worktree"),
        (
            "git update-ref -d refs/heads/main-task-a",
            "the branch main-task-a was gone",
        ),
        (
            "rm -r ../repo.pleach/main-task-a && git update-ref -d refs/heads/main-task-a",
            "the branch main-task-a was gone",
        ),
        (
            "rm -r ../repo.pleach/main-task-a && git worktree prune && git update-ref -d refs/heads/main-task-a",
            "the branch main-task-a was gone",
        ),
    ] {
        let project = Project::new();
        let agent = project.shell_agent();
        let script = "if test -e one.txt; then echo done > a.txt; else echo one > one.txt; git add -A; git commit -qm one; exit 3; fi";
        let file = project.tasks(&[("a", script)]);
        assert_eq!(project.run(&["run", "--sync", "--claude", &agent, &file]).code(), 1);
        let tip = project.git(&["rev-parse", "main-task-a"]);
        project.sh(line);
        let status = resumed(&project, &["--retry-failed"]);
        let task = task(&status, "a");
        assert_eq!(task["outcome"], "succeeded", "{line}: {task:#}");
        assert!(task["notes"].to_string().contains(notes), "{line}: {task:#}");
        assert_eq!(project.git(&["rev-parse", "main-task-a~1"]), tip, "{line}");
        assert_eq!(project.show("main-task-a:a.txt"), "done\n");
        let pins = project.git(&["for-each-ref", "--format=%(refname)", "refs/pleach"]);
        assert!(!pins.contains("/remade"), "{pins}");
    }
}

#[test]
fn what_is_in_the_place_of_a_worktree_is_not_replaced() {
    let project = Project::new();
    let failed = project.session(&[("a", "@write a.txt one\n@fail no")], &[]);
    failed.assert_exit(1);
    let worktree = project.worktree("a");
    fs::remove_dir_all(&worktree).expect("remove it");
    project.git(&["worktree", "prune"]);
    fs::create_dir(&worktree).expect("make another");
    fs::write(worktree.join("mine.txt"), "mine").expect("write");
    let status = resumed(&project, &["--retry-failed"]);
    let task = task(&status, "a");
    assert_eq!(
        (&task["outcome"], &task["reason"], &task["branch"]),
        (&json!("failed"), &json!("provisioning"), &json!("main-task-a")),
        "{task:#}"
    );
    assert_eq!(
        fs::read_to_string(worktree.join("mine.txt")).expect("it is there"),
        "mine"
    );
    assert_eq!(project.show("main-task-a:a.txt"), "one\n");
}

#[test]
fn a_resumed_supervisor_that_is_killed_making_a_worktree_again_is_resumed_too() {
    for point in ["claimed:1", "registered:1", "checked-out:1"] {
        let project = Project::new();
        let agent = project.shell_agent();
        let script = "if test -e one.txt; then git status --porcelain > a.txt; else echo one > one.txt; exit 3; fi";
        let file = project.tasks(&[("a", script)]);
        assert_eq!(project.run(&["run", "--sync", "--claude", &agent, &file]).code(), 1);
        fs::remove_dir_all(project.worktree("a")).expect("remove it");
        let mut command = project.pleach_command(&["resume", "--retry-failed"]);
        let output = command
            .env("PLEACH_TEST_KILL", format!("{point}@supervisor"))
            .output()
            .expect("run it");
        assert!(output.status.success(), "{output:?}");
        project.until("the supervisor's end", |project| {
            (project.query(&["status"])["overall_status"] == "interrupted").then_some(())
        });
        let status = resumed(&project, &[]);
        assert_eq!(task(&status, "a")["outcome"], "succeeded", "{point}: {status:#}");
        // No agent has seen half a worktree.
        assert_eq!(project.show("main-task-a:a.txt"), "?? a.txt\n", "{point}");
        assert_eq!(project.git(&["worktree", "list"]).lines().count(), 1, "{point}");
    }
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
