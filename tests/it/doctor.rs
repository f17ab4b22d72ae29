//! What the doctor finds, with faults that are made for real, and that it changes nothing.
//!
//! Every test begins with a project that lacks nothing; the agent is a shell script that knows its version. The machine
//! itself (its disks, its memory) may have faults of its own here: they are not asked about.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Project, Ran, ran, skipped};

pub const VERSION: &str = "echo '2.1.329 (Claude Code)'";

/// A project in which nothing is wrong.
pub fn healthy(mut project: Project) -> Project {
    agent(&project, VERSION);
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", project.root().join("bin").display());
    project.set("PATH", &path);
    project.set("IS_SANDBOX", "1");
    project.set("ANTHROPIC_API_KEY", "canary");
    project
}

/// Makes `claude` in PATH this script.
pub fn agent(project: &Project, script: &str) -> PathBuf {
    project.program("bin/claude", script).into()
}

/// What the doctor says, in JSON and in text, which agree with each other and with the exit code.
#[track_caller]
pub fn doctor(project: &Project, options: &[&str]) -> Value {
    let run = |more: &[&str]| project.run(&[&["doctor"], options, more].concat());
    diagnosed(&run(&["--json"]), &run(&[]))
}

#[track_caller]
pub fn diagnosed(json: &Ran, text: &Ran) -> Value {
    let doc = json.json();
    assert_eq!(doc["schema"], 1);
    let of = |level: &str| findings(&doc).iter().filter(|f| f["level"] == level).count();
    assert_eq!(
        (&doc["problems"], &doc["warnings"]),
        (&json!(of("problem")), &json!(of("warning")))
    );
    let code = i32::from(of("problem") > 0);
    assert_eq!((json.code(), text.code()), (code, code), "{json:?}\n{text:?}");
    assert_eq!((json.err(), text.err()), (String::new(), String::new()));
    for finding in findings(&doc) {
        let level = finding["level"].as_str().expect("a level");
        let needed = ["warning", "problem"].contains(&level);
        assert!(
            !needed || finding["hint"].is_string(),
            "nothing to do about {finding:#}"
        );
    }
    let words = |word: &str| {
        text.out()
            .lines()
            .filter(|l| l.starts_with(&format!("  {word:<7}  ")))
            .count()
    };
    for (level, word) in [
        ("ok", "ok"),
        ("note", "note"),
        ("warning", "warning"),
        ("problem", "PROBLEM"),
    ] {
        assert_eq!(words(word), of(level), "{word}\n{}", text.out());
    }
    doc
}

pub fn findings(doc: &Value) -> &Vec<Value> {
    doc["findings"].as_array().expect("findings")
}

/// One finding of this kind says all of `parts`.
#[track_caller]
pub fn assert_found(doc: &Value, check: &str, level: &str, parts: &[&str]) {
    let says = |finding: &&Value| {
        let text = format!(
            "{} {}",
            finding["message"].as_str().unwrap_or_default(),
            finding["hint"].as_str().unwrap_or_default()
        );
        finding["check"] == check && finding["level"] == level && parts.iter().all(|part| text.contains(part))
    };
    assert!(
        findings(doc).iter().any(|f| says(&f)),
        "no {level} of {check} with {parts:?} in {doc:#}"
    );
}

/// The messages about one thing that are more than notes.
pub fn complaints<'a>(doc: &'a Value, check: &str) -> Vec<&'a str> {
    let found = findings(doc).iter().filter(|f| f["check"] == check);
    let bad = found.filter(|f| ["warning", "problem"].contains(&f["level"].as_str().unwrap_or_default()));
    bad.map(|f| f["message"].as_str().expect("a message")).collect()
}

/// What an entry is, when it and its attributes were changed, and what is in it.
type Entry = (u32, [i64; 4], Vec<u8>);

/// Every entry below a directory.
fn everything(root: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let about = path.symlink_metadata().expect("look at an entry");
        let content = if about.is_file() {
            fs::read(&path).expect("read a file")
        } else {
            Vec::new()
        };
        if about.is_dir() {
            let entries = fs::read_dir(&path).expect("read a directory");
            open.extend(entries.map(|e| e.expect("an entry").path()));
        }
        let times = [about.mtime(), about.mtime_nsec(), about.ctime(), about.ctime_nsec()];
        found.insert(path, (about.mode(), times, content));
    }
    found
}

#[test]
fn where_nothing_is_wrong_everything_is_looked_at_and_nothing_complained_of() {
    let project = healthy(Project::new());
    let doc = doctor(&project, &[]);
    assert_eq!(doc["problems"], 0, "{doc:#}");
    let checks: BTreeSet<&str> = findings(&doc).iter().filter_map(|f| f["check"].as_str()).collect();
    let all = "agent checkout disk git leftovers limits locks login logout memory platform repository sessions terminal watching";
    assert_eq!(
        checks,
        all.split(' ')
            .filter(|c| *c != "logout" || cfg!(target_os = "linux"))
            .collect()
    );
    for check in [
        "agent",
        "checkout",
        "git",
        "leftovers",
        "locks",
        "login",
        "repository",
        "sessions",
        "terminal",
    ] {
        assert_eq!(complaints(&doc, check), [""; 0], "{doc:#}");
    }
    assert_found(&doc, "checkout", "ok", &["libgit2"]);
    assert_found(&doc, "repository", "ok", &["branch main"]);
    assert_found(&doc, "repository", "ok", &["Tester <tester@example.org>"]);
    assert_found(&doc, "agent", "ok", &["bin/claude", "PATH"]);
    assert_found(&doc, "agent", "ok", &["2.1.329"]);
    let text = project.run(&["doctor"]).out();
    assert!(text.starts_with("git\n  ok       git 2."), "{text}");
    assert!(
        text.lines()
            .last()
            .is_some_and(|l| l.starts_with("pleach can work here: 0 problems, ")),
        "{text}"
    );
    assert!(!text.contains("canary") && !doc.to_string().contains("canary"));
}

#[test]
fn nothing_is_changed() {
    let project = healthy(Project::new());
    fs::create_dir(project.root().join("home/.claude")).expect("make a directory");
    let tasks = [("kept", "@write a.txt x\n@fail no"), ("gone", "@write a.txt x")];
    project.session(&tasks, &[]).assert_exit(1);
    project.until("the end of all", |project| project.processes().is_empty().then_some(()));
    project.sh("mkdir .git/pleach/view-x .git/pleach/results/.new-x; echo >.git/index.lock; echo '*.b filter=lfs' >.git/info/attributes");
    let mut agents = vec![("a script".to_owned(), agent(&project, VERSION))];
    match std::env::var_os("PLEACH_TEST_CLAUDE") {
        Some(claude) => agents.push(("Claude Code".to_owned(), claude.into())),
        None => skipped("PLEACH_TEST_CLAUDE is not set"),
    }
    for (name, path) in agents {
        let before = everything(project.root());
        let doc = doctor(&project, &["--claude", path.to_str().expect("UTF-8")]);
        assert_found(&doc, "agent", "ok", &["2.1.329"]);
        let after = everything(project.root());
        let changed: Vec<&PathBuf> = before
            .keys()
            .chain(after.keys())
            .filter(|path| before.get(*path) != after.get(*path))
            .collect();
        assert!(changed.is_empty(), "{name}: {changed:?}");
    }
}

#[test]
fn results_that_cannot_be_written_or_read() {
    let project = healthy(Project::unprivileged());
    let results = project.root().join("results");
    project.sh("mkdir ../results");
    let options = ["--results-dir", "../results"];
    for (mode, parts) in [
        (0o555, ["cannot write", "--results-dir"]),
        (0o000, ["cannot read", "who may read it"]),
    ] {
        fs::set_permissions(&results, Permissions::from_mode(mode)).expect("change the mode");
        let doc = doctor(&project, &options);
        let check = if mode == 0 { "sessions" } else { "disk" };
        assert_found(&doc, check, "problem", &parts);
    }
    fs::set_permissions(&results, Permissions::from_mode(0o755)).expect("change the mode");
    assert_eq!(doctor(&project, &options)["problems"], 0);
    // A file in their place.
    let doc = doctor(&project, &["--results-dir", "README.md"]);
    assert_found(
        &doc,
        "disk",
        "problem",
        &["README.md: Not a directory", "--results-dir"],
    );
    assert!(complaints(&doc, "leftovers").is_empty(), "{doc:#}");
    // Nor worktrees, nor the git directory.
    let git = project.repo().join(".git");
    for dir in [project.root(), &git] {
        fs::set_permissions(dir, Permissions::from_mode(0o555)).expect("change the mode");
    }
    let doc = doctor(&project, &options);
    for dir in [project.root(), &git] {
        fs::set_permissions(dir, Permissions::from_mode(0o755)).expect("change the mode");
    }
    assert_found(&doc, "repository", "problem", &["repo.pleach", "--worktree-dir"]);
    assert_found(&doc, "repository", "problem", &["repo/.git cannot be written"]);
}

#[test]
fn an_interrupted_session_and_the_agents_that_go_on() {
    let project = healthy(Project::new());
    let gate = project.beside("gate");
    let id = project.start(
        &[("a", &format!("@wait {gate}")), ("b", "@say hi")],
        &["--max-parallel", "1"],
    );
    project.until_it_runs(&id);
    assert_found(&doctor(&project, &[]), "sessions", "ok", &["1 session, 1 running"]);
    assert_eq!(complaints(&doctor(&project, &[]), "leftovers"), [""; 0]);
    project.kill_supervisor();
    let short = &id[..8];
    let doc = doctor(&project, &[]);
    assert_found(
        &doc,
        "sessions",
        "warning",
        &[short, "interrupted", "0 of 2 tasks", "pleach resume"],
    );
    let stop = format!("pleach stop {short}");
    assert_found(
        &doc,
        "sessions",
        "warning",
        &["1 agent of", short, "without a supervisor", &stop],
    );
    assert_found(
        &doc,
        "leftovers",
        "warning",
        &["1 worktree of interrupted sessions", "main-task-a"],
    );
    assert_eq!(doc["problems"], 0, "{doc:#}");
    project.open("gate");
    project.until("the end of all", |project| project.processes().is_empty().then_some(()));
    assert_eq!(complaints(&doctor(&project, &[]), "sessions").len(), 1);
}

#[test]
fn damaged_sessions() {
    let project = healthy(Project::new());
    project.session(&[("a", "@say hi")], &[]).assert_exit(0);
    project.until("the end of all", |project| project.processes().is_empty().then_some(()));
    let journal = project.session_dir().join("journal.jsonl");
    let text = fs::read(&journal).expect("read the journal");
    fs::write(&journal, [&text[..], b"{\"at_ms\":17"].concat()).expect("tear it");
    assert_found(&doctor(&project, &[]), "sessions", "note", &["a part of a line"]);
    fs::write(&journal, [&text[..], b"garbage\n"].concat()).expect("damage it");
    let doc = doctor(&project, &[]);
    let dir = project.session_dir().display().to_string();
    assert_found(
        &doc,
        "sessions",
        "problem",
        &["cannot be read", "journal.jsonl", "line ", &dir],
    );
    assert_eq!(doc["problems"], 1, "{doc:#}");
}

#[test]
fn what_is_left_over_is_counted() {
    let project = healthy(Project::new());
    let tasks = [("kept", "@write a.txt x\n@fail no"), ("gone", "@write a.txt x")];
    project.session(&tasks, &[]).assert_exit(1);
    project.until("the end of all", |project| project.processes().is_empty().then_some(()));
    // Things of nobody, of which one would do something to a terminal; half-made things, old and young.
    project.sh("mkdir ../repo.pleach/mine \"../repo.pleach/$(printf '\\033[2Jx')\"");
    let half = ["results/.new-OldOld", "view-OldOld", ".new-OldOld"];
    for name in half {
        project.sh(&format!(
            "mkdir .git/pleach/{name}; touch -d '1 hour ago' .git/pleach/{name}"
        ));
    }
    project.sh("mkdir .git/pleach/results/.new-youngs .git/pleach/view-youngs");
    let doc = doctor(&project, &[]);
    assert_found(
        &doc,
        "leftovers",
        "note",
        &["1 worktree of settled tasks", "KiB", "main-task-kept", "pleach clean"],
    );
    assert_found(
        &doc,
        "leftovers",
        "note",
        &[
            "1 worktree in the trash",
            "KiB",
            "clean --empty-trash",
            "repo.pleach/.trash",
        ],
    );
    assert_found(
        &doc,
        "leftovers",
        "note",
        &["2 entries", "no session", "repo.pleach/mine"],
    );
    assert_found(
        &doc,
        "leftovers",
        "note",
        &["3 entries", "half made", half[0], half[1], "pleach clean"],
    );
    assert!(!doc.to_string().contains("young"), "{doc:#}");
    let text = project.run(&["doctor"]).out();
    assert!(text.contains("\\x1b[2Jx") && !text.contains('\u{1b}'), "{text:?}");
    // One that is in the making is held, however old it looks.
    let held = project.repo().join(".git/pleach/results/.new-OldOld");
    let lock = fs::File::create(held.join("session.lock")).expect("make a lock");
    lock.lock().expect("take it");
    project.sh("touch -d '1 hour ago' .git/pleach/results/.new-OldOld");
    assert_found(&doctor(&project, &[]), "leftovers", "note", &["2 entries", "half made"]);
    // What is the user's in the trash does not count.
    fs::create_dir(project.worktrees().join(".trash/mine")).expect("make a directory");
    let doc = doctor(&project, &[]);
    assert_found(&doc, "leftovers", "note", &["1 worktree in the trash"]);
}

#[test]
fn limits_and_a_number_that_is_none() {
    let mut project = healthy(Project::new());
    let low = ran(&mut project.shell("ulimit -n 200; exec \"$PLEACH\" doctor --json")).json();
    assert_found(&low, "limits", "warning", &["at most 200 open files", "ulimit -n"]);
    project.set("MAX_CLAUDE_WORKERS", "many");
    assert_found(
        &doctor(&project, &[]),
        "config",
        "problem",
        &["MAX_CLAUDE_WORKERS", "many", "unset MAX_CLAUDE_WORKERS"],
    );
    project.set("MAX_CLAUDE_WORKERS", "4000000000");
    let doc = doctor(&project, &[]);
    assert_found(
        &doc,
        "disk",
        "warning",
        &["results", "4000000000 at once", "--results-dir"],
    );
    assert_found(
        &doc,
        "disk",
        "warning",
        &["worktrees", "4000000000 at once", "--worktree-dir"],
    );
}

#[test]
fn on_a_terminal_its_kind_and_size_are_shown() {
    let project = healthy(Project::new());
    let Some(mut command) = project.on_terminal("stty cols 90 rows 30; \"$PLEACH\" doctor") else {
        return;
    };
    let out = ran(command.env("TERM", "xterm")).out();
    assert!(out.contains("xterm, 90 x 30, with colours, in UTF-8"), "{out}");
    let Some(mut command) = project.on_terminal("stty cols 40 rows 30; \"$PLEACH\" doctor") else {
        return;
    };
    let plain = ran(command.envs([("TERM", "dumb"), ("LANG", "C")]));
    for part in ["TERM", "narrow", "no colours", "not UTF-8"] {
        assert!(plain.out().contains(part), "{part}: {}", plain.out());
    }
}
