//! What a runner needs of memory, whatever its agent prints: little.
//!
//! The peak is that of the runner's own process, so that nothing that runs beside it counts.

use std::fs;
use std::process::Output;
use std::sync::mpsc::Receiver;

use serde_json::{Value, json};

use crate::agents::describe_as;
use crate::runner::read_json;
use crate::support::Project;

/// Runs an agent that prints so many bytes, and gives the most memory that its runner ever had, in MiB. The agent says
/// `fine` after that.
#[track_caller]
fn memory_for(project: &Project, bytes: u64, options: &[&str], start: impl FnOnce(&str) -> Receiver<Output>) -> u64 {
    let gate = project.beside("gate");
    let run = start(&gate);
    let hungry = project.until("all of the output is taken in", |project| {
        let results = project.repo().join(".git/pleach/results");
        let session = fs::read_dir(results).ok()?.flatten().next()?.path();
        let dir = session.join("attempts/loud.1");
        let live: Value = serde_json::from_slice(&fs::read(dir.join("live.json")).ok()?).ok()?;
        (live["output_bytes"].as_u64()? >= bytes).then(|| read_json(dir.join("identity.json"))["pid"].clone())
    });
    let status = fs::read_to_string(format!("/proc/{hungry}/status")).expect("the runner is there");
    let peak = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .expect("its memory");
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    project.open("gate");
    let ended = project.ended(&run);
    ended.assert_exit(0);
    let answer = ended.result("loud")["answer"].as_str().map(str::trim_end);
    assert_eq!(answer, Some("fine"));
    let log = project.session_dir().join("task-loud.log");
    let length = fs::metadata(log).expect("the log").len();
    assert_eq!(length < 70_000, options.contains(&"64K"), "{length}");
    peak >> 10
}

// Fault 23: a line without an end.
#[test]
fn a_line_of_100_mb_needs_no_memory() {
    let project = Project::new();
    let options = ["--max-output", "64K"];
    let peak = memory_for(&project, 100_000_000, &options, |gate| {
        let prompt = format!("@line 100000000\n@wait {gate}\n@say fine");
        project.start_session(&[("loud", &prompt)], &options)
    });
    assert!(peak < 100, "{peak} MiB");
}

// Fault 23: an event of the stream that is too long.
#[test]
fn an_event_of_15_mb_that_is_passed_over_needs_no_memory() {
    let project = Project::new();
    // Each of its numbers would take sixteen times its space if it were kept.
    let numbers = "yes 1, | head -n 7500000 | tr -d '\\n'";
    let event = format!("printf '{{\"type\":\"user\",\"extra\":['; {numbers}; echo '1]}}'; seq 1000");
    let peak = memory_for(&project, 15_001_000, &[], |gate| {
        let result = r#"echo '{"type":"result","subtype":"success","result":"fine"}'"#;
        let waits = format!("until [ -e {gate} ]; do sleep 0.05; done");
        project.start_shell_session(&[("loud", &format!("{event}; {waits}; {result}"))], &[])
    });
    assert!(peak < 100, "{peak} MiB");
}

// Fault 23: a title that an agent gives its terminal, and that has no end.
#[test]
fn a_title_without_an_end_needs_no_memory() {
    let project = Project::new();
    let script = r#"stty -opost; printf '\033]0;'; head -c 100000000 /dev/zero | tr '\0' x
until [ -e "$1" ]; do sleep 0.05; done; printf '\007fine'"#;
    let command = json!(["sh", "-c", script, "agent", project.beside("gate")]).to_string();
    describe_as(&project, &command, "prompt = \"arg\"\npty = true\n");
    let options = ["--max-output", "64K"];
    let peak = memory_for(&project, 100_000_000, &options, |_| {
        let file = project.tasks(&[("loud", "do it")]);
        project.pleach(&[&["run", "--sync", "--agent", "other"], &options[..], &[&file]].concat())
    });
    assert!(peak < 100, "{peak} MiB");
}
