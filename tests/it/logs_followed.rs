//! `pleach logs --follow` and `--raw`: what an agent does as it comes, and as it was captured.
//!
//! The agents wait at gates that only a test opens: what is shown before one opens was shown while they ran.

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::sync::mpsc::Receiver;

use serde_json::json;

use crate::support::{PATIENCE, Project, Ran, output_of, ran};

/// An agent that does something, and then waits.
const WAITS: &str = "@run echo begun\n@touch ../../here\n@wait ../../gate\n@say at the end";

#[test]
fn a_task_is_followed_from_before_its_beginning_to_its_end() {
    let project = Project::new();
    let second = "@touch ../../second\n@write x.txt x\n@wait ../../gate2\n@say at the end\n@fail API Error: 500 broken";
    let run = project.start_session(&[("first", WAITS), ("second", second)], &["--max-parallel", "1"]);
    project.await_file("here");
    let shown = project.run(&["logs", "second"]);
    assert_eq!((shown.code(), shown.out().as_str()), (0, ""));
    assert_eq!(shown.err(), "task second has not begun yet\n");
    assert_eq!(project.query(&["logs", "second"])["entries"], json!([]));
    // One that runs: what there is.
    let shown = project.run(&["logs", "first"]);
    assert!(
        shown.out().contains("→ Bash echo begun\n") && shown.err().is_empty(),
        "{shown:?}"
    );

    let first = Following::start(&project, &["logs", "-f", "first"]);
    let later = Following::start(&project, &["logs", "--follow", "second"]);
    first.until(&project, "→ Bash echo begun\n");
    assert_eq!(later.text(), "");
    project.open("gate");
    assert_eq!(first.ended(), (Some(0), String::new()));
    assert!(
        first.text().ends_with("\nat the end\n\n— success, 3 turns, $0.03\n"),
        "{}",
        first.text()
    );
    later.until(&project, "→ Write x.txt\n");
    project.open("gate2");
    let note = "task second failed: agent_error: API Error: 500 broken\n";
    assert_eq!(later.ended(), (Some(0), note.into()));
    project.ended(&run).assert_failed("second", "agent_error");
    for (following, id) in [(first, "first"), (later, "second")] {
        assert_eq!(following.text(), project.run(&["logs", id]).out());
    }
}

#[test]
fn a_line_is_shown_when_it_is_whole() {
    let project = Project::new();
    // Longer than what the runner holds back of a line.
    let part = "printf '%070000d' 0";
    let (here, gate) = (project.beside("here"), gate(&project));
    let script = format!("echo plain; {part}; touch {here}; {gate}; echo rest; {part}");
    let run = project.start_shell_session(&[("slow", &script)], &[]);
    project.await_file("here");
    let log = project.session_dir().join("task-slow.log");
    project.until("a part is in the log", |_| {
        (fs::metadata(&log).ok()?.len() > 60_000).then_some(())
    });
    let following = Following::start(&project, &["logs", "-f", "slow"]);
    following.until(&project, "plain\n");
    assert_eq!(project.run(&["logs", "slow"]).out(), "plain\n");
    assert_eq!(following.text(), "plain\n");
    project.open("gate");
    assert_eq!(following.ended(), (Some(0), String::new()));
    project.ended(&run).assert_exit(0);
    let zeros = "0".repeat(70_000);
    assert_eq!(following.text(), format!("plain\n{zeros}rest\n{zeros}\n"));
}

#[test]
fn following_ends_when_the_session_is_stopped() {
    let project = Project::new();
    let run = project.start_session(&[("runs", WAITS), ("waits", WAITS)], &["--max-parallel", "1"]);
    project.await_file("here");
    let runs = Following::start(&project, &["logs", "-f", "runs"]);
    let waits = Following::start(&project, &["logs", "-f", "waits"]);
    runs.until(&project, "→ Bash echo begun\n");
    assert_eq!(project.run(&["stop"]).code(), 0);
    assert_eq!(runs.ended(), (Some(0), "task runs was stopped on request\n".into()));
    let note = "task waits never began: the session is stopped\n";
    assert_eq!(waits.ended(), (Some(0), note.into()));
    assert_eq!(waits.text(), "");
    assert_eq!(project.run(&["logs", "waits"]).err(), note);
    project.ended(&run);
}

#[test]
fn following_goes_on_without_a_supervisor_as_long_as_the_agent_runs() {
    let project = Project::new();
    project.start(&[("runs", WAITS), ("waits", WAITS)], &["--max-parallel", "1"]);
    project.await_file("here");
    let following = Following::start(&project, &["logs", "-f", "runs"]);
    following.until(&project, "→ Bash echo begun\n");
    project.kill_supervisor();
    let waits = project.run(&["logs", "-f", "waits"]);
    assert_eq!(waits.err(), "task waits never began: the session is interrupted\n");
    project.open("gate");
    let note = "task runs is not settled: the session is interrupted\n";
    assert_eq!(following.ended(), (Some(0), note.into()));
    assert!(
        following.text().ends_with("— success, 3 turns, $0.03\n"),
        "{}",
        following.text()
    );
}

#[test]
fn a_new_attempt_is_followed_too() {
    let project = Project::new();
    let run = project.start_session(&[("again", WAITS)], &[]);
    project.await_file("here");
    let following = Following::start(&project, &["logs", "-f", "again"]);
    let raw = Following::start(&project, &["logs", "--raw", "-f", "again"]);
    following.until(&project, "→ Bash echo begun\n");
    project.until("it is there", |_| raw.text().contains("begun").then_some(()));
    // As when another runner begins: its log takes the place of this one.
    let next = project.root().join("next.log");
    fs::write(&next, "another try\n").expect("write a log");
    fs::rename(&next, project.session_dir().join("task-again.log")).expect("put it in its place");
    following.until(&project, "\n— the task is tried again\nanother try\n");
    project.until("it is there", |_| {
        raw.text().ends_with("}\nanother try\n").then_some(())
    });
    fs::write(project.session_dir().join("task-again.log"), "short\n").expect("make it shorter");
    following.until(&project, "another try\nshort\n");
    project.open("gate");
    let (code, said) = following.ended();
    assert_eq!(code, Some(0));
    assert!(said.contains("warning: the log was made shorter"), "{said}");
    raw.ended();
    project.ended(&run).assert_exit(0);
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let project = Project::new();
    let many = "yes 'a line of text' | head -n 100000";
    let silent = format!("{many}; touch {}; {}", project.beside("here"), gate(&project));
    let run = project.start_shell_session(&[("many", many), ("silent", &silent)], &["--max-parallel", "2"]);
    project.await_file("here");
    for (arguments, reader) in [
        ("silent", "head -n 1"),
        ("--raw silent", "head -n 1"),
        ("-f silent", "head -n 1"),
        // It is gone while nothing is printed.
        ("-f silent", "head -n 100000 | tail -n 1"),
        ("-f --raw silent", "head -n 100000 | tail -n 1"),
    ] {
        let line = format!(r#"{{ "$PLEACH" logs {arguments}; echo $? >../code; }} | {reader}"#);
        let shown = ran(&mut project.shell(&line));
        let code = fs::read_to_string(project.root().join("code")).expect("read the code");
        let seen = (shown.out(), shown.err(), code);
        assert_eq!(seen, ("a line of text\n".into(), String::new(), "0\n".into()), "{line}");
    }
    project.open("gate");
    project.ended(&run).assert_exit(0);
}

#[test]
fn raw_is_what_was_captured_byte_for_byte() {
    let project = Project::new();
    let bytes: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    fs::write(project.root().join("bytes"), &bytes).expect("write bytes");
    let script = format!("cat {}", project.beside("bytes"));
    let gated = format!(
        "{script}; touch {}; {}; {script}",
        project.beside("here"),
        gate(&project)
    );
    let run = project.start_shell_session(&[("once", &script), ("twice", &gated)], &["--max-parallel", "2"]);
    project.await_file("here");
    let following = Following::start(&project, &["logs", "--raw", "-f", "twice"]);
    // The end of a line that is not complete is still with the runner.
    let complete = bytes.iter().rposition(|&byte| byte == b'\n').expect("a line") + 1;
    project.until("the first half is there", |_| {
        (following.out().len() >= complete).then_some(())
    });
    project.open("gate");
    assert_eq!(following.ended(), (Some(0), String::new()));
    project.ended(&run).assert_exit(0);
    assert!(following.out() == bytes.repeat(2), "followed bytes differ");
    for (id, expected) in [("once", bytes.clone()), ("twice", bytes.repeat(2))] {
        let shown = project.run(&["logs", id, "--raw"]);
        assert!(shown.0.stdout == expected, "{id}: bytes differ");
        let file = fs::read(project.session_dir().join(format!("task-{id}.log"))).expect("read the log");
        assert!(file == expected, "{id}: the file differs");
        // Whatever it is, something of it can be shown.
        assert_eq!(project.run(&["logs", id]).code(), 0);
        assert!(
            project.query(&["logs", id])["entries"]
                .as_array()
                .is_some_and(|e| !e.is_empty())
        );
    }
}

/// A line of a script that waits for the gate.
fn gate(project: &Project) -> String {
    format!("while ! [ -e {} ]; do sleep 0.01; done", project.beside("gate"))
}

/// A `logs --follow` that runs.
struct Following {
    out: PathBuf,
    output: Receiver<Output>,
}

impl Following {
    fn start(project: &Project, arguments: &[&str]) -> Self {
        let out = tempfile::NamedTempFile::new_in(project.root()).expect("a file");
        let (file, out) = out.keep().expect("keep it");
        let child = project.pleach_command(arguments).stdout(file).spawn();
        let output = output_of(child.expect("start pleach"));
        Self { out, output }
    }

    fn out(&self) -> Vec<u8> {
        fs::read(&self.out).expect("read the output")
    }

    fn text(&self) -> String {
        String::from_utf8(self.out()).expect("UTF-8")
    }

    /// Waits until this has been shown.
    fn until(&self, project: &Project, part: &str) {
        project.until(part, |_| self.text().contains(part).then_some(()));
    }

    /// Its exit code and what it printed on standard error.
    fn ended(&self) -> (Option<i32>, String) {
        let output = self.output.recv_timeout(PATIENCE).expect("it ends");
        let ran = Ran(output);
        (Some(ran.code()), ran.err())
    }
}
