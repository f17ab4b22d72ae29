//! `run --sync` on a terminal, and the signals that reach it: the first Ctrl-C stops the session with grace, the second
//! at once, and a terminal that goes away leaves it alone.

use std::os::unix::process::CommandExt;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use crate::support::{CTRL_C, CTRL_Z, PATIENCE, Process, Project, Ran, Terminal, output_of, skipped};
use crate::watch::{WAITS, assert_cleared, once};

/// An agent that does not care about being asked to end.
const IGNORES: &str = "@ignore-sigterm\n@write part.txt half\n@run echo hi\n@wait ../../gate\n@say It is done.";

/// `run --sync` of these prompts on a terminal, once all of them show what they do.
fn started(project: &Project, prompts: &[&str], options: &[&str]) -> Terminal {
    let prompts = prompts.iter().flat_map(|p| ["-p", p]);
    let arguments: Vec<&str> = ["run", "--sync", "--agent", "scripted"]
        .into_iter()
        .chain(prompts)
        .collect();
    let count = arguments.iter().filter(|a| **a == "-p").count();
    let command = project.pleach_command(&[&arguments, options].concat());
    let terminal = Terminal::start_checked(&command, (100, 30), once);
    terminal.until("all wait", |screen| screen.matches("Bash echo").count() == count);
    terminal
}

fn outcomes(project: &Project) -> (Value, Vec<Value>) {
    let status = project.query(&["status"]);
    let tasks = status["tasks"].as_array().expect("tasks").iter();
    (
        status["overall_status"].clone(),
        tasks.map(|t| t["outcome"].clone()).collect(),
    )
}

// Fault 44: Ctrl-C once.
#[test]
fn the_first_ctrl_c_stops_with_grace() {
    let project = Project::new();
    for (signal, code) in [(None, 130), (Some(Signal::TERM), 143)] {
        let terminal = started(&project, &[WAITS, WAITS], &["--grace", "1h"]);
        match signal {
            None => terminal.send(CTRL_C),
            Some(signal) => terminal.signal(signal),
        }
        let left = terminal.end();
        assert_eq!(left.code, code);
        assert_cleared(&left);
        assert!(
            left.text.contains("\nstopping: agents end, their work is kept\n"),
            "{}",
            left.text
        );
        assert!(left.text.contains("stopped, 2 of 2 tasks settled"), "{}", left.text);
        assert_eq!(outcomes(&project), ("stopped".into(), vec!["stopped".into(); 2]));
        assert_eq!(project.agents(), Vec::<String>::new());
    }
}

/// Whether a process catches Ctrl-C at this moment.
fn catches_interrupts(pid: Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 << (Signal::INT.as_raw() - 1) != 0)
}

// Fault 44: Ctrl-C while it starts.
#[test]
fn a_ctrl_c_while_the_session_starts_stops_it_and_is_no_error() {
    if !cfg!(target_os = "linux") {
        return skipped("only Linux tells which signals a process catches");
    }
    let project = Project::new();
    let mut command = project.pleach_command(&["run", "--sync", "--agent", "scripted", "-p", WAITS]);
    // All that Ctrl-C reaches: the foreground.
    let mut run = command.process_group(0).spawn().expect("start pleach");
    let group = Pid::from_child(&run);
    while run.try_wait().expect("look at it").is_none() {
        // From then on, over and over: some come while the supervisor does not yet catch them.
        if catches_interrupts(group) {
            kill_process_group(group, Signal::INT).expect("send a signal");
        }
        sleep(Duration::from_micros(200));
    }
    let ended = Ran(output_of(run).recv_timeout(PATIENCE).expect("it ends"));
    assert_eq!(ended.code(), 130, "{ended:?}");
    assert!(ended.out().contains("\nstopped, "), "{ended:?}");
    assert_eq!(project.query(&["status"])["overall_status"], "stopped");
}

// Fault 44: Ctrl-C twice.
#[test]
fn the_second_ctrl_c_kills_at_once() {
    let project = Project::new();
    let terminal = started(&project, &[IGNORES, WAITS], &["--grace", "1h"]);
    terminal.send(CTRL_C);
    let text = terminal.until("the first one is stopped", |screen| {
        screen.contains("stopping: agents end") && screen.contains("stopped     2  ")
    });
    assert!(text.contains("1/2 settled") && text.contains("  stopping"), "{text}");
    terminal.send(CTRL_C);
    let left = terminal.end();
    assert_eq!(left.code, 130);
    assert_cleared(&left);
    assert!(left.text.contains("\nkilling the agents\n"), "{}", left.text);
    assert_eq!(outcomes(&project), ("stopped".into(), vec!["stopped".into(); 2]));
    assert_eq!(project.query(&["status"])["tasks"][0]["exit_code"], 137);
    assert_eq!(project.agents(), Vec::<String>::new());
}

// Fault 42: the terminal goes away under `run --sync`.
#[test]
fn a_terminal_that_goes_away_leaves_the_session_alone() {
    let project = Project::new();
    for gone in [false, true] {
        let terminal = started(&project, &[WAITS], &[]);
        if gone {
            terminal.hang_up();
            project.until("what watched it has gone", |project| {
                let watches = |p: &Process| p.line.contains(" run --sync ");
                (!project.processes().iter().any(watches)).then_some(())
            });
        } else {
            terminal.signal(Signal::HUP);
            let left = terminal.end();
            assert_eq!(left.code, 129);
            assert_cleared(&left);
            assert!(!left.text.contains("stopping"), "{}", left.text);
        }
        let status = project.query(&["status"]);
        assert_eq!(status["overall_status"], "running", "{status:#}");
        project.open("gate");
        let waited = project.run(&["wait"]);
        assert_eq!(waited.code(), 0, "{waited:?}");
        std::fs::remove_file(project.root().join("gate")).expect("close the gate");
    }
    project.until("all processes are gone", |project| {
        project.processes().is_empty().then_some(())
    });
}

// Fault 43: Ctrl-Z in `run --sync`.
#[test]
fn a_stopped_run_goes_on_and_its_session_never_stopped() {
    let project = Project::new();
    let terminal = started(&project, &[WAITS], &[]);
    terminal.send(CTRL_Z);
    terminal.until_stopped(1);
    project.open("gate");
    let waited = project.run(&["wait"]);
    assert_eq!(waited.code(), 0, "{waited:?}");
    terminal.send("\n");
    let left = terminal.end();
    assert_eq!(left.code, 0);
    assert_cleared(&left);
    assert!(left.text.contains("\nsucceeded   1  "), "{}", left.text);
}

// Fault 42: SIGHUP under nohup.
#[test]
fn what_was_started_with_nohup_outlives_its_terminal() {
    let project = Project::new();
    let line = r#"exec nohup "$PLEACH" run --sync --agent scripted -p "$PROMPT" >../out 2>&1"#;
    let mut command = project.shell(line);
    command.env("PROMPT", "@touch ../../here\n@wait ../../gate\n@say It is done.");
    let run = command.spawn().expect("start pleach");
    project.await_file("here");
    kill_process(Pid::from_child(&run), Signal::HUP).expect("send a signal");
    project.open("gate");
    assert_eq!(Ran(output_of(run).recv_timeout(PATIENCE).expect("it ends")).code(), 0);
    let out = std::fs::read_to_string(project.root().join("out")).expect("read what it printed");
    assert!(out.contains("completed, 1 of 1 task settled"), "{out}");
}

// Fault 43: Ctrl-Z where nobody could continue it.
#[test]
fn where_nobody_could_continue_it_ctrl_z_does_nothing() {
    let project = Project::new();
    let line = r#"exec setsid -w "$PLEACH" run --sync --agent scripted -p "$PROMPT" >../out 2>&1"#;
    let mut command = project.shell(line);
    command.env("PROMPT", "@touch ../../here\n@wait ../../gate\n@say It is done.");
    let run = command.spawn().expect("start pleach");
    project.await_file("here");
    let sync = project.until("the process that watches", |project| {
        let found = project
            .processes()
            .into_iter()
            .find(|p| p.line.contains(" run --sync "));
        found.filter(|p| !p.line.starts_with("setsid"))
    });
    kill_process(sync.pid, Signal::TSTP).expect("send a signal");
    project.open("gate");
    assert_eq!(Ran(output_of(run).recv_timeout(PATIENCE).expect("it ends")).code(), 0);
}
