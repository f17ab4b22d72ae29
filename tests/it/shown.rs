//! Every text that pleach prints for people, whole, against what was looked at and found good.
//!
//! What differs from run to run (ids, times, paths, commits, processes) is replaced by a name. After a change that is
//! meant: `INSTA_UPDATE=always cargo test --test it shown`, and read what git says is different.

use std::fs;

use insta::{Settings, assert_snapshot};
use pleach::doctor::{Check, Finding, Level};
use pleach::report::{Diagnosis, diagnosis};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Project, Ran};

/// One task of each kind of end, with what they say, change and leave.
const TASKS: [(&str, &str); 6] = [
    (
        "changelog",
        "@write CHANGELOG.md # Changes\\n\\n- one\n@commit Add a changelog\n@say Added CHANGELOG.md.\n@say It has one entry.",
    ),
    (
        "polite",
        "@write README.md good day\\n\n@say The greeting is polite now.",
    ),
    ("loud", "@write README.md HELLO\\n\n@say The greeting is loud now."),
    ("idle", "@say There was nothing to do."),
    ("api", "@write half.txt half\n@fail API Error: 529 overloaded"),
    ("denied", "@deny Write\n@say I was not allowed to."),
];

/// Fails with the first of them, and says why.
const CHECK: &str = "if test -f CHANGELOG.md; then echo a changelog; exit 3; fi";

#[test]
fn a_session_from_its_start_to_its_end() {
    let project = Project::new();
    let ended = project.session(&TASKS, &["--max-parallel", "1"]);
    let whole_run = whole(&Ran(ended.output.clone()));
    shown(&project, "run_sync", &whole_run);
    for (name, arguments) in [
        ("status", &["status"][..]),
        ("status_of_a_task", &["status", "", "changelog"]),
        ("results", &["results"]),
        ("results_of_a_failed_task", &["results", "", "api"]),
        ("plan", &["plan"]),
        ("recover", &["recover"]),
        ("diff", &["diff"]),
        ("diff_of_a_task", &["diff", "", "polite"]),
        ("open", &["open", "changelog"]),
        ("list", &["list"]),
        ("overview", &["overview"]),
        ("wait", &["wait"]),
        ("stop", &["stop"]),
        ("watch", &["watch"]),
        ("logs", &["logs", "changelog"]),
        ("logs_of_a_failed_task", &["logs", "api"]),
        ("logs_of_a_refused_task", &["logs", "denied"]),
        ("merge_dry_run", &["merge", "--dry-run"]),
        ("merge", &["merge", "-y"]),
        ("merge_nothing", &["merge", "-y", "--exclude", "loud"]),
        ("undo", &["undo", "-y"]),
        ("merge_verify", &["merge", "-y", "--verify", CHECK]),
        (
            "merge_verify_remembered",
            &["merge", "-y", "--task", "changelog", "--verify", CHECK],
        ),
    ] {
        let id = ended.status["session_id"].as_str().expect("an id");
        let arguments: Vec<&str> = arguments.iter().map(|&a| if a.is_empty() { id } else { a }).collect();
        shown(&project, name, &whole(&project.run(&arguments)));
    }
}

/// A plan of branches that no session made, with all that it can say of them.
#[test]
fn a_plan_of_any_branches() {
    let project = Project::new();
    let make = "seq 20 >l.txt; git add .; git commit -qm lines
        new() { git switch -qc $1 main; }
        new greet; sed -i 1s/.*/hello/ l.txt; git commit -qam 'Greet whoever comes'
        new shout; sed -i 1s/.*/HELLO/ l.txt; sed -i 20s/.*/BYE/ l.txt; git commit -qam 'Shout at whoever comes'
        new part; sed -i 20s/.*/bye/ l.txt; git commit -qam 'Say good-bye'
        new move; git mv l.txt lines.txt; git commit -qm 'Give the lines a better name'
        new picked; echo picked >p.txt; git add .; git commit -qm 'What main has by now'
        new done; echo done >d.txt; git add .; git commit -qm 'What main has, too'
        new same; git commit -q --allow-empty -m 'Nothing at all'
        new stale; sed -i 10s/.*/stale/ l.txt; git commit -qam 'What has become of ten'
        git switch -q main; git merge -q --no-edit done; git cherry-pick picked >../out
        sed -i 10s/.*/ten/ l.txt; git commit -qam ten; git config merge.verifySignatures true";
    let made = project.shell(make).output().expect("run a shell");
    assert!(made.status.success(), "{made:?}");
    let names = ["greet", "shout", "part", "move", "picked", "done", "same", "stale"];
    let named = names.map(|name| format!("--branch={name}"));
    let arguments = [&["plan"][..], &named.each_ref().map(String::as_str)].concat();
    shown(&project, "plan_of_branches", &whole(&project.run(&arguments)));
    let squashed = [&arguments[..], &["--squash"]].concat();
    shown(&project, "plan_of_branches_squashed", &whole(&project.run(&squashed)));
}

#[test]
fn a_session_while_it_runs_and_after_it_was_stopped() {
    let project = Project::new();
    let (here, gate) = (project.beside("here"), project.beside("gate"));
    let works = format!("@write a.txt one\n@touch {here}\n@wait {gate}\n@say done");
    let tasks = project.tasks(&[("quick", "@say quick"), ("works", &works), ("waits", "@say never")]);
    let started = project.run(&["run", "--agent", "scripted", "--max-parallel", "1", &tasks]);
    shown(&project, "run", &whole(&started));
    project.await_file("here");
    // What a runner tells of its agent comes a moment later.
    project.until("the last that the agent did", |project| {
        let status = project.query(&["status"]);
        let activity = status["tasks"][1]["activity"].as_str()?.to_owned();
        activity.contains("here").then_some(())
    });
    for (name, arguments) in [
        ("running_status", &["status"][..]),
        ("running_results", &["results"]),
        ("running_list", &["list"]),
        ("running_plan", &["plan"]),
        ("running_wait", &["wait", "--timeout", "1ms"]),
        ("running_logs", &["logs", "works"]),
        ("running_logs_of_a_pending_task", &["logs", "waits"]),
        ("stopped_stop", &["stop"]),
        ("stopped_status", &["status"]),
        ("stopped_results", &["results"]),
        ("stopped_watch", &["watch"]),
        ("stopped_wait", &["wait"]),
        ("stopped_recover", &["recover"]),
    ] {
        shown(&project, name, &whole(&project.run(arguments)));
    }
    let id = started.out().trim().to_owned();
    for name in ["recover_to", "recover_to_again"] {
        let ran = project.run(&["recover", &id, "works", "--from", "snap/1", "--to", "back"]);
        shown(&project, name, &whole(&ran));
    }
}

#[test]
fn tasks_and_sessions_that_are_stopped() {
    let project = Project::new();
    for name in ["none_stop_all", "none_wait_all"] {
        let (command, _) = name[5..].split_once('_').expect("a command");
        shown(&project, name, &whole(&project.run(&[command, "--all"])));
    }
    let (here, gate) = (project.beside("here"), project.beside("gate"));
    let works = format!("@plain\n@write a.txt one\n@touch {here}\n@wait {gate}");
    let tasks = [("quick", "@say quick"), ("works", &works), ("waits", "@say never")];
    let id = project.start(&tasks, &["--max-parallel", "1"]);
    project.await_file("here");
    for (name, arguments) in [
        ("stop_of_a_task", &["stop", &id, "waits"][..]),
        ("stop_of_a_task_that_has_ended", &["stop", &id, "quick"]),
        ("running_wait_all", &["wait", "--all", "--timeout", "1ms"]),
        ("stop_all", &["stop", "--all"]),
    ] {
        shown(&project, name, &whole(&project.run(arguments)));
    }
}

#[test]
fn a_run_that_is_only_tried() {
    let project = Project::new();
    let claude = project.program("claude", "exit 1");
    project.write("README.md", "changed\n");
    let tasks = project.tasks(&[("one", "Add a changelog\nin the usual format"), ("two", "Test it")]);
    let arguments = [
        "run",
        "--dry-run",
        "--max-parallel",
        "2",
        "--max-cost",
        "5",
        "--permission-mode",
        "acceptEdits",
        "--claude",
        &claude,
        &tasks,
    ];
    shown(&project, "dry_run", &whole(&project.run(&arguments)));
}

#[test]
fn a_limit_of_costs() {
    let project = Project::new();
    let tasks = [("one", "@cost 2.5\n@say expensive"), ("two", "@say never")];
    let ended = project.session(&tasks, &["--max-parallel", "1", "--max-cost", "2"]);
    let whole_run = whole(&Ran(ended.output.clone()));
    shown(&project, "cost_limit_run_sync", &whole_run);
    shown(&project, "cost_limit_status", &whole(&project.run(&["status"])));
}

#[test]
fn what_is_cleaned() {
    let project = Project::new();
    project.write(".gitignore", "*.log\n");
    project.git(&["add", "."]);
    project.git(&["commit", "-qm", "ignore"]);
    let tasks = [
        ("merged", "@write a.txt one"),
        ("open", "@write b.txt two\n@write b.log hi\n@fail no"),
        ("dirty", "@write c.txt three\n@fail no"),
    ];
    let ended = project.session(&tasks, &["--max-parallel", "1"]);
    let id = ended.status["session_id"].as_str().expect("an id");
    project.git(&["merge", "-q", "--no-edit", "main-task-merged"]);
    fs::write(project.worktree("dirty").join("new.txt"), "mine").expect("write a file");
    for (name, arguments) in [
        ("clean_dry_run", &["clean", "--dry-run"][..]),
        ("clean", &["clean", "-y"]),
        ("clean_all", &["clean", "-y", "--all"]),
        ("clean_discard", &["clean", "-y", "--discard", id]),
        ("clean_nothing", &["clean", "-y"]),
    ] {
        shown(&project, name, &whole(&project.run(arguments)));
    }
}

#[test]
fn where_nothing_has_run_yet() {
    let project = Project::new();
    for (name, arguments) in [
        ("none_list", &["list"][..]),
        ("none_overview", &["overview"]),
        ("none_status", &["status"]),
        ("none_run", &["run", "missing.json"]),
    ] {
        shown(&project, name, &whole(&project.run(arguments)));
    }
}

#[test]
fn a_session_without_its_supervisor() {
    let project = Project::new();
    let (here, gate) = (project.beside("here"), project.beside("gate"));
    let works = format!("@touch {here}\n@wait {gate}");
    project.start(&[("quick", "@say quick"), ("works", &works)], &["--max-parallel", "1"]);
    project.await_file("here");
    let pid = project.query(&["status"])["supervisor"]["pid"].as_i64().expect("a pid");
    let pid = pid.try_into().ok().and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, Signal::KILL).expect("kill the supervisor");
    project.until("nobody holds the session", |project| {
        (project.query(&["status"])["overall_status"] == "interrupted").then_some(())
    });
    // The agent has nothing left to tell.
    project.until("the last that the agent did", |project| {
        let status = project.query(&["status"]);
        status["tasks"][1]["activity"].as_str()?.contains("here").then_some(())
    });
    for (name, arguments) in [
        ("interrupted_status", &["status"][..]),
        ("interrupted_watch", &["watch"]),
        ("interrupted_wait", &["wait"]),
        ("interrupted_list", &["list"]),
        ("interrupted_overview", &["overview"]),
        ("interrupted_resume", &["resume"]),
        ("interrupted_stop", &["stop"]),
        ("stopped_resume_sync", &["resume", "--sync", "--retry-failed"]),
        ("resumed_resume", &["resume"]),
    ] {
        if name == "stopped_resume_sync" {
            project.open("gate");
        }
        shown(&project, name, &whole(&project.run(arguments)));
    }
}

#[test]
fn a_session_that_cannot_be_read() {
    let project = Project::new();
    let dir = project
        .repo()
        .join(".git/pleach/results/session-8c5ab0de-7d44-4c1b-9a53-0c6a1f0e8b21");
    fs::create_dir_all(&dir).expect("make a directory");
    fs::write(dir.join("session.json"), "{").expect("write half a file");
    for (name, arguments) in [
        ("unreadable_list", &["list"][..]),
        ("unreadable_overview", &["overview"]),
        ("unreadable_status", &["status"]),
    ] {
        shown(&project, name, &whole(&project.run(arguments)));
    }
}

#[test]
fn what_is_configured() {
    let project = Project::new();
    shown(&project, "config_usual", &whole(&project.run(&["config"])));
    project.write(
        "pleach.toml",
        "timeout = \"30m\"\nverify = \"cargo test\"\n[worktree]\nsetup = [\"npm ci\"]\n[env]\nCI = \"1\"\n\
         [agent]\ndefault = \"codex\"\n[agent.codex]\ncommand = [\"codex\", \"exec\"]\nprompt = \"arg\"\n",
    );
    for (name, arguments) in [
        ("config_not_approved", &["config"][..]),
        ("config_run_refused", &["run", "-p", "hi"]),
        ("trust", &["trust", "-y"]),
        ("trust_again", &["trust"]),
        ("config", &["config"]),
        ("trust_remove", &["trust", "--remove"]),
    ] {
        shown(&project, name, &whole(&project.run(arguments)));
    }
}

#[test]
fn the_demo() {
    let project = Project::new();
    let ran = project.run(&["demo"]);
    // The tasks are settled in an order of their own. What stands where on this machine has no part in the sorting.
    let root = project.root().to_str().expect("a path in UTF-8");
    let sorted = |text: String| -> String {
        let text = text
            .replace(env!("CARGO_BIN_EXE_pleach"), "PLEACH")
            .replace(root, "HERE");
        let mut lines: Vec<&str> = text.lines().collect();
        // Not by times and ids.
        lines.sort_by_key(|line| line.trim_start_matches(|c: char| c.is_ascii_hexdigit() || " :-".contains(c)));
        lines.join("\n")
    };
    let text = format!("{}\n--- stderr\n{}\n", sorted(ran.out()), sorted(ran.err()));
    shown(&project, "demo_sorted", &text);
}

#[test]
fn what_the_doctor_found() {
    let finding = |check, level, message: &str, hint: Option<&str>| Finding {
        check,
        level,
        message: message.into(),
        hint: hint.map(Into::into),
    };
    let findings = vec![
        finding(Check::Git, Level::Ok, "git 2.47", None),
        finding(Check::Repository, Level::Note, "it is a bare repository", None),
        finding(
            Check::Locks,
            Level::Warning,
            "/src/shop/.git/index.lock is 2 hours old",
            Some("if no git is at work: rm /src/shop/.git/index.lock"),
        ),
        finding(
            Check::Agent,
            Level::Problem,
            "a name with \x1b[31m in it",
            Some("mend it"),
        ),
        finding(Check::Agent, Level::Ok, "the rest", None),
    ];
    let all_well = vec![finding(Check::Git, Level::Ok, "git 2.47", None)];
    let text = format!(
        "{}---\n{}",
        diagnosis(&Diagnosis::new(findings)),
        diagnosis(&Diagnosis::new(all_well))
    );
    shown(&Project::empty(), "doctor", &console::strip_ansi_codes(&text));
}

#[test]
fn the_help_of_every_command() {
    let project = Project::new();
    shown(&project, "help", &whole(&project.run(&["--help"])));
    for command in [
        "run", "status", "results", "logs", "list", "merge", "overview", "watch", "wait", "stop", "resume", "recover",
        "plan", "undo", "diff", "open", "clean", "doctor", "config", "trust", "demo",
    ] {
        let name = format!("help_{command}");
        shown(&project, &name, &whole(&project.run(&[command, "--help"])));
    }
}

/// Compares a text with the one that was found good.
#[track_caller]
fn shown(project: &Project, name: &str, text: &str) {
    settings(project).bind(|| assert_snapshot!(name, text));
}

fn settings(project: &Project) -> Settings {
    let mut settings = Settings::clone_current();
    settings.set_omit_expression(true);
    let root = project.root().to_str().expect("a path in UTF-8");
    settings.add_filter(&regex_of(env!("CARGO_BIN_EXE_pleach")), "PLEACH");
    settings.add_filter(&regex_of(root), "HERE");
    for (pattern, name) in [
        (
            r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "SESSION-ID",
        ),
        (r"\b[0-9a-f]{40}\b", "COMMIT"),
        (r"\b[0-9a-f]{10}\b", "COMMIT"),
        (r"\b[0-9a-f]{7} -> [0-9a-f]{7}\b", "COMMIT -> COMMIT"),
        (r"PLEACH ([a-z]+) [0-9a-f]{8}\b", "PLEACH $1 SESSION"),
        (r"(?m)^[0-9a-f]{8}  ", "SESSION   "),
        (r"\bsession [0-9a-f]{8}\b", "session SESSION"),
        (r"pleach-demo-\w{6}", "pleach-demo-NAME"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d", "DATE"),
        (r"\d\d:\d\d:\d\d", "CLOCK"),
        // On a slow machine it may seem so.
        (r", quiet for [^,\n]*", ""),
        // The spaces before them depend on how long they are.
        (r" *\b(\d+ m )?\d+(\.\d)? s\b", " TIME"),
        (r"pid \d+", "pid PID"),
        (r", \d+(\.\d)?% CPU", ""),
        (r"\d+(\.\d)? [kKMG]i?B", "SIZE"),
        (r"\d+ %", "SHARE"),
        // File systems do not agree on what a small file takes, and paths are not everywhere as long.
        (r"(?m)^disk .*$", "disk        SIZES"),
        (r" +# ", "  # "),
        (r"(?m)^session [0-9a-f]{8}$", "session SESSION"),
        (r"(\.trash/[a-z-]+)\.[0-9a-f]{8}\.\w{6}", "$1.SESSION.OWN"),
    ] {
        settings.add_filter(pattern, name);
    }
    settings
}

fn regex_of(text: &str) -> String {
    let escaped = |c: char| c.is_ascii_punctuation().then_some('\\').into_iter().chain([c]);
    text.chars().flat_map(escaped).collect()
}

/// Everything that a command printed, and its exit code.
fn whole(ran: &Ran) -> String {
    let (out, err) = (ran.out(), ran.err());
    format!("exit code {}\n--- stdout\n{out}--- stderr\n{err}", ran.code())
}
