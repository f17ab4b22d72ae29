//! A disk that is full or broken, under worktrees, the repository, and what a session writes down: nothing is lost, nothing
//! that is not durable is reported, and the session goes on when there is room.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::resources::{one_after_the_other, supervisor, until_it_waits_for, waits};
use crate::support::{Injected, Project, Ran, SmallDisk, assert_same, contents, ran};

/// A repository whose checkout takes about three megabytes.
fn project_of_some_size(attributes: &str) -> Project {
    let project = Project::new();
    for number in 0..8 {
        let line = format!("{number} is a line that is long enough to fill some room\n");
        project.write(&format!("{number}.txt"), line.repeat(7000));
    }
    project.write(".gitattributes", attributes);
    project.git(&["add", "."]);
    project.git(&["commit", "-qm", "large"]);
    project
}

// Fault 7: ENOSPC in a checkout, by libgit2 and by the git program.
#[test]
fn a_checkout_that_fills_the_disk_is_undone_and_made_again_when_there_is_room() {
    for attributes in ["", "*.c ident\n"] {
        let project = project_of_some_size(attributes);
        let Some(disk) = SmallDisk::new(&project, "1m") else {
            return;
        };
        let checkout = |project: &Project| contents(&project.repo(), |path| path.starts_with(".git"));
        let before = (checkout(&project), project.git(&["status", "--porcelain"]));
        let tasks = project.tasks(&[("a", "@write a.txt a"), ("b", "@write b.txt b")]);
        let worktrees = disk.path.join("w").display().to_string();
        let one = ["--max-parallel", "1", "--worktree-dir", &worktrees, &tasks];
        let run = [&["run", "--agent", "scripted"], &one[..]].concat();
        assert_eq!(disk.pleach(&run).code(), 0);
        let why = until_it_waits_for(&project, "disk: ");
        assert!(why.contains("check out") || why.contains("git reset"), "{why}");
        // Again and again: nothing of the half is left, and its room is free.
        project.until("it is undone twice", |project| {
            (project.events("task_released").len() >= 2).then_some(())
        });
        disk.grow("64m");
        assert_eq!(disk.pleach(&["wait"]).code(), 0);
        let branches = project.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads"]);
        assert_eq!(branches, "main\nmain-task-a\nmain-task-b\n");
        assert_eq!(project.changed_in("main-task-a"), "a.txt\n");
        assert_eq!(project.changed_in("main-task-b"), "b.txt\n");
        assert_same("the checkout", &checkout(&project), &before.0);
        assert_eq!(project.git(&["status", "--porcelain"]), before.1);
        let status = project.query(&["status"]);
        assert_eq!(status["tasks"][0]["attempts"], 1);
        assert!(waits(&project).len() >= 2 && waits(&project).last() == Some(&Value::Null));
        assert_eq!(
            disk.run(r#"ls -A "$1/w/.trash" | wc -l"#),
            "2\n",
            "only those of the ended tasks"
        );
    }
}

/// A clone of the project on a small disk, in which pleach is run.
fn in_clone<'d>(disk: &'d SmallDisk<'_>) -> impl Fn(&[&str]) -> Ran + 'd {
    let clone = disk.path.join("clone").display().to_string();
    disk.run(r#"git clone -q . "$1/clone""#);
    move |arguments| {
        let mut command = disk.command("sh");
        command.args(["-c", r#"cd "$0" && exec "$@""#, &clone, env!("CARGO_BIN_EXE_pleach")]);
        ran(command.args(arguments))
    }
}

/// Starts a session of `a`, whose work has no room where the repository is, and of `b`, which comes after it; gives its id
/// once the first waits for room.
fn until_it_waits_to_commit(project: &Project, pleach: &impl Fn(&[&str]) -> Ran) -> String {
    let worktrees = project.beside("elsewhere");
    let work = "@run head -c 6000000 /dev/urandom >large.bin\n@say done";
    let tasks = project.tasks(&[("a", work), ("b", "@write b.txt b")]);
    let one = ["--max-parallel", "1", "--worktree-dir", &worktrees, &tasks];
    let run = pleach(&[&["run", "--agent", "scripted"], &one[..]].concat());
    assert_eq!(run.code(), 0, "{run:?}");
    project.until("it waits", |_| {
        let status = pleach(&["status", "--json"]).json();
        let waits_for = status["waiting_for"].as_str();
        waits_for.filter(|what| what.starts_with("disk: ")).map(drop)
    });
    run.out().trim().to_owned()
}

// Fault 6: ENOSPC where the repository is, when work is to be committed and written down.
// Fault 7: the same.
#[test]
fn work_that_cannot_be_committed_waits_for_room_and_is_not_called_failed() {
    let project = Project::new();
    let Some(disk) = SmallDisk::new(&project, "3m") else {
        return;
    };
    let pleach = in_clone(&disk);
    until_it_waits_to_commit(&project, &pleach);
    let status = || pleach(&["status", "--json"]).json();
    let waiting = status();
    assert_eq!(waiting["tasks"][0]["status"], "running", "{waiting:#}");
    assert_eq!(waiting["tasks"][1]["status"], "pending", "{waiting:#}");
    disk.grow("64m");
    assert_eq!(pleach(&["wait"]).code(), 0);
    let ended = status();
    assert_eq!(ended["successful"], 2, "{ended:#}");
    assert_eq!(ended["tasks"][0]["attempts"], 1, "{ended:#}");
    let size = disk.run(r#"git -C "$1/clone" cat-file -s main-task-a:large.bin"#);
    assert_eq!(size, "6000000\n");
}

/// How somebody stops what waits for room.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stops {
    /// As a machine does that shuts down.
    Signal,
    /// With a command, and whether all of the session is to stop.
    Command(&'static [&'static str], bool),
}

// Fault 6: ENOSPC where work is to be committed that is to be stopped, by itself or with its session.
#[test]
fn who_stops_what_waits_to_be_committed_finds_the_work_in_the_worktree_and_is_told() {
    for stops in [
        Stops::Signal,
        Stops::Command(&["stop"], true),
        Stops::Command(&["stop", "--all"], true),
        Stops::Command(&["stop", "", "a"], false),
    ] {
        let project = Project::new();
        let Some(disk) = SmallDisk::new(&project, "3m") else {
            return;
        };
        let pleach = in_clone(&disk);
        let session = until_it_waits_to_commit(&project, &pleach);
        let status = || pleach(&["status", "--json"]).json();
        let is_whole = match stops {
            Stops::Signal => {
                kill_process(supervisor(&status()), Signal::TERM).expect("ask it to stop");
                true
            }
            Stops::Command(arguments, is_whole) => {
                let named = |a: &&'static str| if a.is_empty() { session.clone() } else { (*a).to_owned() };
                let arguments: Vec<String> = arguments.iter().map(named).collect();
                let ran = pleach(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
                assert_eq!(ran.code(), 3, "{stops:?}: {ran:?}");
                let err = ran.err();
                for part in [
                    "task a has ended, and its work could not be committed: ",
                    "The work stays in ",
                    "; mend that, and let another attempt take it up there",
                    &format!("resume {} --retry-failed", &session[..8]),
                ] {
                    assert!(err.contains(part), "{stops:?}: {err}");
                }
                is_whole
            }
        };
        if is_whole {
            project.until("it has ended", |_| {
                (status()["overall_status"] == "stopped").then_some(())
            });
        }
        let ended = status();
        let task = &ended["tasks"][0];
        assert_eq!(
            (&task["outcome"], &task["reason"]),
            (&json!("failed"), &json!("settling")),
            "{task:#}"
        );
        let worktree = task["worktree"].as_str().expect("a worktree");
        let large = fs::metadata(Path::new(worktree).join("large.bin")).expect("the work");
        assert_eq!(large.len(), 6_000_000);
        // As it says: with room the work is committed by whoever takes it up.
        disk.grow("64m");
        if !is_whole {
            assert_eq!(pleach(&["wait"]).code(), 1);
            assert_eq!(status()["overall_status"], "completed");
        }
        let again = pleach(&["resume", "--retry-failed", "--sync"]);
        assert_eq!(again.code(), 0, "{stops:?}: {again:?}");
        let size = disk.run(r#"git -C "$1/clone" cat-file -s main-task-a:large.bin"#);
        assert_eq!(size, "6000000\n");
    }
}

// Fault 6: ENOSPC for all that a session writes while an agent runs.
#[test]
fn a_disk_that_is_full_for_a_while_costs_nothing() {
    let project = Project::new();
    let Some(disk) = SmallDisk::new(&project, "4m") else {
        return;
    };
    let results_dir = disk.path.join("results");
    let results = ["--results-dir", results_dir.to_str().expect("UTF-8")];
    let pleach = |arguments: &[&str]| disk.pleach(&[&results[..], arguments].concat());
    let tasks = project.tasks(&[
        (
            "a",
            &format!(
                "@touch {}\n@wait {}\n@write a.txt a",
                project.beside("here"),
                project.beside("gate")
            ),
        ),
        ("b", "@write b.txt b"),
    ]);
    assert_eq!(
        pleach(&["run", "--agent", "scripted", "--max-parallel", "1", &tasks]).code(),
        0
    );
    project.await_file("here");
    disk.fill();
    project.open("gate");
    let parsed = || {
        let text = disk.run(r#"cat "$1"/results/session-*/status.json"#);
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    // Its agent is gone, and neither its outcome nor anything that follows can be written.
    project.until("the agent has ended", |project| {
        project.agents().is_empty().then_some(())
    });
    for _ in 0..20 {
        let status = parsed();
        assert_eq!(
            (&status["completed"], &status["overall_status"]),
            (&json!(0), &json!("running")),
            "{status:#}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(pleach(&["status", "--json"]).json()["supervisor"]["alive"], true);
    disk.free();
    assert_eq!(pleach(&["wait"]).code(), 0);
    let status = parsed();
    assert_eq!(
        (&status["successful"], &status["overall_status"]),
        (&json!(2), &json!("completed")),
        "{status:#}"
    );
    assert!(
        status["tasks"]
            .as_array()
            .expect("tasks")
            .iter()
            .all(|t| t["attempts"] == 1),
        "{status:#}"
    );
}

// Fault 6: ENOSPC of the journal of a session that waits for room on another disk.
#[test]
fn who_waits_for_room_does_not_try_to_write_all_the_time() {
    let project = Project::new();
    let Some(disk) = SmallDisk::new(&project, "4m") else {
        return;
    };
    let (here, gate) = (project.beside("here"), project.beside("gate"));
    let filler = disk.path.join("filler").display().to_string();
    let first = format!("@touch {here}\n@wait {gate}");
    let second = format!("@wait {here}\n@run head -c 2500000 /dev/zero >{filler}");
    let tasks = project.tasks(&[("a", &first), ("b", &second), ("c", "@write c.txt c")]);
    let worktrees = disk.path.join("w").display().to_string();
    let run = [
        "run",
        "--agent",
        "scripted",
        "--max-parallel",
        "2",
        "--min-free-disk",
        "2M",
    ];
    let on_disk = ["--worktree-dir", &worktrees, &tasks];
    assert_eq!(disk.pleach(&[&run[..], &on_disk].concat()).code(), 0);
    until_it_waits_for(&project, "disk: ");
    let journal = project.session_dir().join("journal.jsonl");
    let supervisor = supervisor(&project.query(&["status"]));
    let Some(full) = Injected::into(supervisor, &journal, "write", "ENOSPC") else {
        return;
    };
    project.open("gate");
    full.await_one();
    let tries = full.count_in(Duration::from_secs(4));
    assert!((1..=20).contains(&tries), "{tries} in four seconds");
    drop(full);
    disk.free();
    assert_eq!(project.run(&["wait"]).code(), 0);
    assert_eq!(project.query(&["status"])["successful"], 3);
}

// Fault 6: ENOSPC of the journal itself.
#[test]
fn without_room_in_the_journal_nothing_is_begun_and_nothing_is_forgotten() {
    let project = Project::new();
    let status = one_after_the_other(&project, &[]);
    let journal = project.session_dir().join("journal.jsonl");
    let Some(full) = Injected::into(supervisor(&status), &journal, "write", "ENOSPC") else {
        return;
    };
    let before = fs::read(&journal).expect("read the journal");
    project.open("gate");
    let log = project.session_dir().join("supervisor.log");
    let said = project.until("it is said", |_| {
        fs::read_to_string(&log).ok().filter(|log| !log.is_empty())
    });
    assert!(
        said.contains("warning: the journal cannot be written now") && said.contains("No space left"),
        "{said}"
    );
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(fs::read(&journal).expect("read the journal"), before);
    assert_eq!(project.query(&["status"])["completed"], 0);
    assert_eq!(project.git(&["branch", "--list", "main-task-b"]), "");
    drop(full);
    assert_eq!(project.run(&["wait"]).code(), 0);
    assert_eq!(project.query(&["status"])["successful"], 2);
    assert_eq!(project.events("attempt_started").len(), 2);
    assert_eq!(fs::read_to_string(&log).expect("read the log").lines().count(), 1);
}

// Fault 6: who asks it to stop then does not wait for room.
#[test]
fn without_room_in_the_journal_agents_are_ended_all_the_same() {
    let project = Project::new();
    let status = one_after_the_other(&project, &[]);
    let journal = project.session_dir().join("journal.jsonl");
    let Some(full) = Injected::into(supervisor(&status), &journal, "write", "ENOSPC") else {
        return;
    };
    kill_process(supervisor(&status), Signal::TERM).expect("ask it to stop");
    project.until("the agent has ended", |project| {
        project.agents().is_empty().then_some(())
    });
    assert!(project.events("stop_asked").is_empty());
    drop(full);
    project.until("it is stopped", |project| {
        (project.query(&["status"])["overall_status"] == "stopped").then_some(())
    });
    assert_eq!(project.events("stop_asked").len(), 1);
}

// Fault 8: EIO on fsync.
#[test]
fn what_is_not_durable_is_not_reported_and_the_supervisor_ends() {
    let project = Project::new();
    let status = one_after_the_other(&project, &[]);
    let journal = project.session_dir().join("journal.jsonl");
    let Some(broken) = Injected::into(supervisor(&status), &journal, "fdatasync", "EIO") else {
        return;
    };
    let before = fs::read(&journal).expect("read the journal");
    project.open("gate");
    project.until("it is interrupted", |project| {
        (project.query(&["status"])["overall_status"] == "interrupted").then_some(())
    });
    drop(broken);
    assert_eq!(fs::read(&journal).expect("read the journal"), before);
    let log = fs::read_to_string(project.session_dir().join("supervisor.log")).expect("read the log");
    assert!(log.contains("cannot write the journal: Input/output error"), "{log}");
    assert_eq!(project.query(&["status"])["completed"], 0);
}
