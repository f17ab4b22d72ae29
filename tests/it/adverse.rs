//! Surroundings that nobody wishes for: a base that is rewritten, processes that are stopped and continued, paths that
//! are no text, a repository that means harm, text that would do something to a terminal, a gigabyte of output.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Project, Ran, ran};

// Fault 20: the base branch is rewritten and its old commits collected while a session runs.
#[test]
fn a_base_that_is_rewritten_during_the_run_stays_the_base() {
    let project = Project::new();
    project.sh("echo old >old.txt; git add -A; git commit -qm second");
    let base = project.git(&["rev-parse", "HEAD"]);
    let waits = "@touch ../../up\n@wait ../../gate\n@write a.txt a";
    let run = project.start_session(&[("a", waits), ("b", "@write b.txt b")], &["--max-parallel", "1"]);
    project.await_file("up");
    project.sh("git commit -q --amend -m rewritten; git reset -q --hard HEAD~1; echo new >new.txt; git add -A");
    project.sh("git commit -qm third; git reflog expire --expire=now --all; git gc -q --prune=now");
    let main = project.git(&["rev-parse", "main"]);
    project.open("gate");
    let ended = project.ended(&run);
    ended.assert_exit(0);
    for (id, file) in [("a", "a.txt"), ("b", "b.txt")] {
        ended.assert_succeeded(id);
        let task = ended.task(id);
        assert_eq!(task["base"], base.trim(), "{id}");
        assert_eq!(
            (&task["commits"], &task["files_changed"]),
            (&json!(1), &json!(1)),
            "{id}"
        );
        let branch = format!("main-task-{id}");
        assert_eq!(project.git(&["rev-parse", &format!("{branch}~1")]), base, "{id}");
        assert_eq!(
            project.git(&["diff", "--name-only", base.trim(), &branch]),
            format!("{file}\n")
        );
    }
    assert_eq!(project.git(&["rev-parse", "main"]), main);
    assert_eq!(project.git(&["status", "--porcelain"]), "");
}

// Fault 43: every process of a session is stopped and continued.
#[test]
fn processes_that_are_stopped_and_continued_go_on_where_they_were() {
    let project = Project::new();
    let session = project.start(&[("a", "@touch ../../up\n@wait ../../gate\n@write a.txt a")], &[]);
    project.await_file("up");
    project.until_it_runs(&session);
    let of_session: Vec<Pid> = project.processes().iter().map(|p| p.pid).collect();
    assert!(of_session.len() >= 3, "supervisor, runner and agent");
    let signal = |signal| {
        for pid in &of_session {
            // The agent may be between two processes of its own.
            let _ = kill_process(*pid, signal);
        }
    };
    signal(Signal::STOP);
    // What is there is shown, although nobody answers.
    let status = project.query(&["status"]);
    assert_eq!(
        (&status["overall_status"], &status["supervisor"]["alive"]),
        (&json!("running"), &json!(true))
    );
    let waited = project.run(&["wait", "--timeout", "100ms"]);
    assert_eq!(waited.code(), 124, "{waited:?}");
    project.open("gate");
    signal(Signal::CONT);
    let waited = project.run(&["wait"]);
    assert_eq!(waited.code(), 0, "{waited:?}");
    assert_eq!(project.show("main-task-a:a.txt"), "a\n");
}

/// A path as it stands in JSON: text, or bytes where it is none.
fn path_of(value: &Value) -> PathBuf {
    match value {
        Value::String(text) => text.into(),
        bytes => {
            let bytes: Vec<u8> = serde_json::from_value(bytes.clone()).expect("bytes");
            OsStr::from_bytes(&bytes).into()
        }
    }
}

// Fault 46: directories and files whose names are no text.
#[test]
fn paths_that_are_no_text_work_and_come_whole_out_of_the_json() {
    let project = Project::new();
    let odd = project.root().join(OsStr::from_bytes(b"odd\xff\x1b[31m"));
    let repo = odd.join("repo");
    fs::create_dir(&odd).expect("make a directory");
    fs::rename(project.repo(), &repo).expect("move the repository");
    let prompt = "@run echo x >\"$(printf 'f\\377')\"\n@say done";
    let arguments = ["run", "--sync", "--keep-worktrees", "--agent", "scripted", "-p", prompt];
    let run = |arguments: &[&str]| ran(project.pleach_command(arguments).current_dir(&repo));
    let made = run(&arguments);
    assert_eq!(made.code(), 0, "{made:?}");
    let query = |name: &str| run(&[name, "--json"]).json();
    let status = query("status");
    let task = &status["tasks"][0];
    let branch = task["branch"].as_str().expect("a branch");
    let worktree = path_of(&task["worktree"]);
    assert_eq!(worktree, odd.join("repo.pleach").join(branch));
    assert_eq!(
        fs::read(worktree.join(OsStr::from_bytes(b"f\xff"))).expect("the file"),
        b"x\n"
    );
    let tree = ran(project
        .command("git")
        .args(["ls-tree", "-z", "--name-only", branch])
        .current_dir(&repo));
    assert!(tree.0.stdout.windows(4).any(|name| name == b"\0f\xff\0"), "{tree:?}");
    let results = query("results");
    let log = path_of(&results["tasks"][0]["log"]);
    assert!(log.starts_with(&odd) && log.is_file(), "{}", log.display());
    assert_eq!(query("list")["sessions"][0]["successful"], 1);
    assert_eq!(query("overview")["tasks"]["successful"], 1);
    assert!(query("doctor")["findings"].is_array());
    assert_eq!(query("plan")["target"]["branch"], "main");
    for command in ["status", "results", "overview", "doctor", "list"] {
        assert_harmless(command, &run(&[command]));
    }
    // The commands of the plan are for a shell, also where they name such a path.
    let plan = run(&["plan"]);
    assert_harmless("plan", &plan);
    let lines = plan.out();
    let remove = lines
        .lines()
        .find(|line| line.contains("worktree remove $'"))
        .expect("a command");
    let removed = ran(project.command("bash").args(["-c", remove]).current_dir(&repo));
    assert!(removed.code() == 0 && !worktree.exists(), "{removed:?}");
}

/// Nothing in it does anything to a terminal.
#[track_caller]
fn assert_harmless(command: &str, shown: &Ran) {
    let text = shown.out() + &shown.err();
    let control = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!text.contains(control), "{command}: {text:?}");
}

// Fault 24: what tasks and agents say is raw on disk, and in no command does anything to a terminal.
#[test]
fn no_command_shows_what_would_do_something_to_a_terminal() {
    const EVIL: &str = "\u{1b}[2J\u{1b}]0;title\u{7}\u{202e}\u{9b}31m\r";
    let project = Project::new();
    // git takes a branch that turns the direction of writing.
    project.git(&["switch", "-qc", "ba\u{202e}se"]);
    let escaped = r"\033[2J\033]0;title\007\302\23331m\r";
    let file = format!(
        "@run printf x >\"$(printf '{escaped}\\377')\"; git checkout -qb side; git commit -q --allow-empty -m x"
    );
    let prompts = [
        format!("{file}\n@say {EVIL} said\n@stderr {EVIL} printed"),
        format!("@write README.md {EVIL}\n@fail {EVIL} refused"),
        format!("@stderr {EVIL}\n@exit 3"),
        format!("@deny {}", EVIL.replace('\r', "")),
        format!("@touch ../../up\n@run echo {EVIL}; touch ../../busy; while [ ! -e ../../gate ]; do sleep 0.05; done"),
    ];
    let titled: Vec<Value> = (prompts.iter().enumerate())
        .map(|(n, prompt)| json!({ "id": format!("t{n}"), "title": format!("{EVIL} title {n}"), "prompt": prompt }))
        .collect();
    let tasks = project.beside("evil.json");
    fs::write(&tasks, json!({ "prompts": titled }).to_string()).expect("write the tasks");
    let dry = project.run(&["run", "--dry-run", "--agent", "scripted", &tasks]);
    assert_eq!(dry.code(), 0, "{dry:?}");
    assert_harmless("run --dry-run", &dry);
    let run = project.pleach(&["run", "--sync", "--agent", "scripted", &tasks]);
    project.await_file("busy");
    let commands = [
        &["status"][..],
        &["list"],
        &["overview"],
        &["plan"],
        &["doctor"],
        &["logs", "t0"],
        &["logs", "t1"],
        &["logs", "t2"],
        &["logs", "t3"],
        &["logs", "t4"],
    ];
    for command in commands {
        assert_harmless(&format!("{command:?} while it runs"), &project.run(command));
    }
    project.open("gate");
    let ended = project.ended(&run);
    assert_eq!(ended.output.status.code(), Some(1));
    assert_harmless("run --sync", &Ran(ended.output.clone()));
    for command in commands
        .into_iter()
        .chain([&["watch"][..], &["wait"], &["status", "--watch"], &["diff", "--stat"]])
    {
        assert_harmless(&format!("{command:?}"), &project.run(command));
    }
    // Into a file an answer goes as it is.
    if let Some(mut results) = project.on_terminal("\"$PLEACH\" results") {
        let shown = ran(results.env("NO_COLOR", "1").env("TERM", "xterm"));
        let text = shown.out().replace("\r\n", "\n");
        assert!(
            text.contains("\\x1b[2J") && !text.contains(['\u{1b}', '\u{9b}', '\u{202e}', '\u{7}', '\r']),
            "{text:?}"
        );
    }
    let answer = fs::read_to_string(project.session_dir().join("task-t0.txt")).expect("the answer");
    assert!(answer.contains("\u{1b}[2J") && answer.contains('\u{9b}'), "{answer:?}");
}

// Fault 22: a gigabyte of output.
#[test]
fn a_gigabyte_of_output_is_capped_and_holds_nobody_up() {
    let project = Project::new();
    let script = "yes 'a line of plain text' | head -c 1000000000; echo over >over";
    let ended = project.shell_session(&[("loud", script)], &["--max-output", "1M"]);
    ended.assert_exit(0);
    assert_eq!(project.show("main-task-loud:over"), "over\n");
    let outcome = fs::read(project.attempt_dir("loud").join("outcome.json")).expect("the outcome");
    let outcome: Value = serde_json::from_slice(&outcome).expect("JSON");
    assert_eq!(outcome["output_bytes"], 1_000_000_000);
    assert!(outcome["dropped_bytes"].as_u64() > Some(990_000_000), "{outcome}");
    let log = fs::metadata(project.session_dir().join("task-loud.log")).expect("the log");
    assert!(log.len() < 2 << 20, "{} bytes", log.len());
}

// Fault 49: a repository with hooks and settings of its own: no hook runs by our doing, and the settings are told.
#[test]
fn a_hostile_repository_runs_no_hook_and_its_settings_are_told() {
    let project = Project::new();
    let settings = r#"{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "evil"}]}]}, "permissions": {}}"#;
    project.write(".claude/settings.json", settings);
    project.write(".mcp.json", r#"{"mcpServers": {"evil": {"command": "evil"}}}"#);
    project.sh("git add -A; git commit -qm 'with settings'");
    let all = "applypatch-msg commit-msg fsmonitor-watchman post-applypatch post-checkout post-commit post-index-change \
               post-merge post-rewrite pre-applypatch pre-auto-gc pre-commit pre-merge-commit prepare-commit-msg \
               pre-push pre-rebase reference-transaction";
    // Where git looks by itself, and where the repository tells it to.
    project.sh(&format!(
        "mkdir -p .git/hooks; for h in {all}; do printf '#!/bin/sh\\ntouch %s/../hook-ran\\n' \"$PWD\" >.git/hooks/$h; \
         chmod +x .git/hooks/$h; done; git config core.fsmonitor \"$PWD/.git/hooks/fsmonitor-watchman\""
    ));
    let agent = project.program("agent", "cat >/dev/null; echo x >x.txt; echo done");
    let told = "agents obey what the repository itself says: hooks in .claude/settings.json; mcpServers in .mcp.json";
    let dry = project.run(&["run", "--dry-run", "--claude", &agent, "-p", "hi"]);
    assert!(dry.err().contains(told), "{dry:?}");
    let run = project.run(&["run", "--sync", "--claude", &agent, "-p", "hi"]);
    assert_eq!(run.code(), 0, "{run:?}");
    assert_eq!(run.err().matches(told).count(), 1, "{run:?}");
    let doctor = project.run(&["doctor", "--claude", &agent]);
    assert!(doctor.out().contains(told), "{doctor:?}");
    // The scripted agent obeys nobody else.
    let scripted = project.run(&["run", "--dry-run", "--agent", "scripted", "-p", "hi"]);
    assert!(!scripted.err().contains("obey"), "{scripted:?}");
    for command in ["status", "results", "plan", "overview"] {
        project.run(&[command]);
    }
    let ran = project.root().join("hook-ran");
    assert!(!ran.exists(), "a hook was run");
    let by_hand = Command::new("git").arg("-C").arg(project.repo()).arg("status").output();
    assert!(
        by_hand.expect("run git").status.success() && ran.exists(),
        "the trap does not work at all"
    );
}
