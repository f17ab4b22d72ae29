//! What is told of a session while it runs and after: its log, the logs of attempts, `--verbose`, and what the program says
//! of its own doing.

use std::fs;
use std::io::{Seek, read_to_string};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::support::{Project, ran};

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The lines of a session's log without their times, which are in order.
fn lines(log: &str) -> Vec<String> {
    let mut last = "";
    let split = log
        .lines()
        .map(|line| line.split_once("  ").expect("a time and a text"));
    split
        .map(|(time, said)| {
            assert!(time >= last && time.ends_with('Z') && time.len() == 24, "{time}");
            last = time;
            said.to_owned()
        })
        .collect()
}

fn logs_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("read the logs").flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn each_attempt_has_its_log_in_the_directory_and_the_session_has_one() {
    let project = Project::new();
    let tasks = [("good", "@say hello\n@write a.txt a"), ("bad", "@exit 3")];
    let ended = project.session(&tasks, &["--log-dir", "logs/of/today"]);
    assert_eq!(ended.output.status.code(), Some(1));
    let logs = project.repo().join("logs/of/today");
    let dir = project.session_dir();
    let id = dir
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .replace("session-", "");
    let session = format!("{id}.log");
    let mut expected = vec!["bad.1.log".to_owned(), session.clone(), "good.1.log".to_owned()];
    expected.sort_unstable();
    assert_eq!(logs_in(&logs), expected);
    assert!(text(&logs.join("good.1.log")).contains("hello"));
    assert_eq!(text(&logs.join("good.1.log")), text(&dir.join("task-good.log")));
    // They are the user's: what becomes of them is nothing to the session.
    fs::write(logs.join("good.1.log"), "mine").expect("write");
    assert!(text(&dir.join("task-good.log")).contains("hello"));
    let log = text(&dir.join("session.log"));
    assert_eq!(text(&logs.join(session)), log);
    assert_eq!(log.lines().count(), project.journal().len(), "a line for each event");
    let lines = lines(&log);
    for part in [
        "task good: attempt 1 starts, new conversation",
        "task good: attempt ends: succeeded",
        "task bad: attempt ends: failed (exit): ",
        "task bad: settled: failed (exit): ",
        "session: ends: completed",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(part)), "{part}: {lines:#?}");
    }
    for shown in [
        &["logs", "--session"][..],
        &["logs", "--session", &id[..8]],
        &["logs", "--session", "-f"],
    ] {
        let ran = project.run(shown);
        assert_eq!((ran.code(), ran.out()), (0, log.clone()), "{shown:?}: {ran:?}");
    }
}

#[test]
fn a_session_that_is_gone_on_with_continues_its_logs() {
    let project = Project::new();
    let gate = project.beside("gate");
    let prompt = format!("@say hello\n@wait {gate}");
    let logs = project.root().join("logs");
    let session = project.start(&[("a", &prompt)], &["--log-dir", logs.to_str().expect("UTF-8")]);
    project.until_it_runs(&session);
    project.kill_supervisor();
    // What has happened last may not have come into the log.
    let log = project.session_dir().join("session.log");
    let before = text(&log);
    fs::write(&log, &before[..before.len() - 30]).expect("cut it");
    project.open("gate");
    project.until("the attempt has ended", |project| {
        project.attempt_dir("a").join("outcome.json").exists().then_some(())
    });
    assert_eq!(project.run(&["resume", "--sync"]).code(), 0);
    let after = text(&log);
    assert!(after.starts_with(&before), "{after}");
    assert_eq!(after.lines().count(), project.journal().len());
    assert_eq!(text(&logs.join(format!("{session}.log"))), after);
    // It ended while no supervisor was there.
    assert_eq!(
        text(&logs.join("a.1.log")),
        text(&project.session_dir().join("task-a.log"))
    );
    let begins = lines(&after)
        .iter()
        .filter(|line| line.starts_with("session: begins"))
        .count();
    assert_eq!(begins, 2);
}

#[test]
fn logs_that_cannot_be_written_are_refused_before_or_warned_of() {
    let project = Project::new();
    project.write("file", "a file");
    let file = project.tasks(&[("a", "@run rm -r ../../logs && echo x > ../../logs\n@say hi")]);
    let run = project.run(&["run", "--agent", "scripted", "--log-dir", "file/logs", &file]);
    run.assert_refused(2, &["cannot write logs to", "file/logs"]);
    let logs: PathBuf = project.root().join("logs");
    let run = project.run(&[
        "run",
        "--sync",
        "--agent",
        "scripted",
        "--log-dir",
        logs.to_str().expect("UTF-8"),
        &file,
    ]);
    assert_eq!(run.code(), 0, "{run:?}");
    assert!(
        run.err()
            .contains("task 1: the log of attempt 1 could not be copied to"),
        "{run:?}"
    );
}

#[test]
fn verbose_shows_each_line_of_the_log_as_it_happens_or_what_is_started() {
    let project = Project::new();
    let ended = project.session(&[("a", "@say hi")], &["--verbose"]);
    let err = String::from_utf8_lossy(&ended.output.stderr).into_owned();
    for line in text(&project.session_dir().join("session.log")).lines() {
        assert_eq!(err.matches(line).count(), 1, "{line} is not once in {err}");
    }
    // Nobody knows a task by an id that was made up.
    for (sync, expected) in [
        (true, "  task 1 (@say hi): attempt 1 starts"),
        (false, "task 1: @say hi on main-task-"),
    ] {
        let arguments = ["run", "--verbose", "--agent", "scripted", "-p", "@say hi", "--sync"];
        let run = project.run(&arguments[..arguments.len() - usize::from(!sync)]);
        assert_eq!(run.code(), 0, "{run:?}");
        assert!(run.err().contains(expected), "{run:?}");
        assert_eq!(project.run(&["wait"]).code(), 0);
    }
    let quiet = project.session(&[("b", "@say hi")], &[]);
    let err = String::from_utf8_lossy(&quiet.output.stderr).into_owned();
    assert!(!err.contains("session: begins"), "{err}");
    let file = project.tasks(&[("c", "@say hi")]);
    let run = project.run(&[
        "run",
        "--verbose",
        "--agent",
        "scripted",
        "--on-done",
        "true",
        "--output-file",
        "c.txt",
        &file,
    ]);
    for part in [
        "task c: @say hi on main-task-c",
        "at the end: true",
        "answer to",
        "worktrees in",
        "from ",
    ] {
        assert!(run.err().contains(part), "{part}: {run:?}");
    }
    assert_eq!(project.run(&["wait"]).code(), 0);
}

/// Settled tasks go to standard output, the lines of the log to standard error.
#[test]
fn verbose_tells_in_one_file_what_happens_in_its_order() {
    let project = Project::new();
    let tasks = project.tasks(&[("a", "@say a"), ("b", "@exit 3"), ("c", "@say c")]);
    let mut file = tempfile::tempfile().expect("a file");
    let stream = || Stdio::from(file.try_clone().expect("the same file"));
    let options = ["--agent", "scripted", "--max-parallel", "1", "--sync", "--verbose"];
    let mut run = project.pleach_command(&[&["run", &tasks], &options[..]].concat());
    run.stdout(stream()).stderr(stream());
    assert_eq!(run.status().expect("it runs").code(), Some(1));
    file.rewind().expect("its beginning");
    let text = read_to_string(file).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    for (of_log, settled) in [
        ("task a: settled", "  succeeded   1  "),
        ("task b: settled", "  failed      2  "),
        ("task c: settled", "  succeeded   3  "),
    ] {
        let next_to = |two: &[&str]| two[0].contains(of_log) && two[1].contains(settled);
        assert!(lines.windows(2).any(next_to), "{of_log}: {text}");
    }
}

#[test]
fn what_the_program_does_is_said_when_it_is_asked_for_and_never_what_is_secret() {
    let mut project = Project::new();
    let file = project.tasks(&[("a", "@say mysecretprompt")]);
    let arguments = [
        "run",
        "--sync",
        "--agent",
        "scripted",
        "--env",
        "TOKEN=mysecretvalue",
        "--on-done",
        "true",
        &file,
    ];
    let quiet = project.run(&arguments);
    assert_eq!(quiet.code(), 0, "{quiet:?}");
    assert!(!quiet.err().contains("DEBUG"), "{quiet:?}");
    assert_eq!(text(&project.session_dir().join("supervisor.log")), "");
    assert_eq!(project.run(&["clean", "-y", "--discard", "--all"]).code() & 4, 0);
    for (name, value) in [("PLEACH_LOG", "trace"), ("DEBUG", "true"), ("CLAUDE_ASYNC_DEBUG", "1")] {
        let mut command = project.pleach_command(&arguments);
        let run = ran(command.env(name, value));
        assert_eq!(run.code(), 0, "{run:?}");
        let id = run.out().lines().next().expect("the id").to_owned();
        let log = text(
            &project
                .repo()
                .join(format!(".git/pleach/results/session-{id}/supervisor.log")),
        );
        for part in [
            "pleach::supervisor",
            "begins action=Provision",
            "the attempt ends",
            "git args=",
            "the on_done command ends",
        ] {
            assert!(log.contains(part), "{name}: {part:?} is not in {log}");
        }
        assert!(
            run.err().contains("DEBUG pleach::commands: begins verb=\"run\""),
            "{name}: {run:?}"
        );
        for said in [log, run.err()] {
            assert!(!said.contains("mysecretvalue"), "{said}");
            let leaks = said
                .lines()
                .filter(|line| line.contains("DEBUG") || line.contains("TRACE"));
            assert!(leaks.clone().all(|line| !line.contains("mysecretprompt")), "{said}");
        }
    }
    project.set("PLEACH_LOG", "pleach=loud");
    project
        .run(&["list"])
        .assert_refused(2, &["PLEACH_LOG is \"pleach=loud\"", "no filter"]);
    // A word that is no level would be taken for another program's: nothing would be said, and nobody told.
    project.set("PLEACH_LOG", "verbose");
    project
        .run(&["list"])
        .assert_refused(2, &["PLEACH_LOG is \"verbose\"", "neither a level"]);
    project.set("PLEACH_LOG", "");
    assert_eq!(project.run(&["list"]).code(), 0);
}
