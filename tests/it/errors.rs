//! Errors as they are documented: `docs/errors.md` is made of the program's own catalog, and here the program is brought
//! to say them, with the exit code and the hint that stand there. What is not here has a test of its own: `input`,
//! `preflight`, `asking`, `damaged`, `plan_printed`, `runner`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::{Project, Ran, ran};

/// Whatever stands for the user's own paths and ids in the documentation.
const EXAMPLES: [&str; 2] = ["/home/you", "3f2a9c1e"];

/// All commands that ask about a session.
const QUERIES: [&str; 7] = ["status", "results", "logs", "wait", "stop", "plan", "recover"];
/// All that ask about all of them.
const OF_ALL: [&str; 2] = ["list", "overview"];

/// A query as a whole command line: of the newest session, or of one.
fn line<'a>(query: &'a str, session: Option<&'a str>) -> Vec<&'a str> {
    let task = (query == "logs").then_some("1");
    [query].into_iter().chain(session).chain(task).collect()
}

/// The exit code and the hint of an error, as they are documented.
#[track_caller]
fn documented(name: &str) -> (i32, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
    let text = fs::read_to_string(path).expect("read docs/errors.md");
    let row = text.lines().find(|line| line.contains(&format!(" | {name} | ")));
    let cells: Vec<&str> = row.expect("a row").trim_matches(['|', ' ']).split(" | ").collect();
    let hint = cells[3].trim_matches('`').to_owned();
    (cells[0].parse().expect("a code"), hint)
}

/// The error with this name was said, and nothing was answered.
#[track_caller]
fn assert_said(name: &str, ran: &Ran, parts: &[&str]) {
    let (code, hint) = documented(name);
    let end = EXAMPLES.iter().filter_map(|example| hint.find(example)).min();
    let hint = match end {
        None => format!("\n hint: {hint}\n"),
        Some(end) => format!("\n hint: {}", &hint[..end]),
    };
    ran.assert_refused(code, &[&[hint.as_str()], parts].concat());
    assert_eq!(ran.out(), "", "{name}");
}

#[test]
fn a_query_that_fails_prints_no_json() {
    let project = Project::new();
    for query in QUERIES.iter().chain(&OF_ALL) {
        let line = line(query, None);
        let ran = project.run(&[&["--results-dir", "README.md"], &line[..], &["--json"]].concat());
        assert_said("session-unreadable", &ran, &["README.md", "Not a directory"]);
        if QUERIES.contains(query) {
            let ran = project.run(&[&line[..], &["--json"]].concat());
            assert_said("no-session", &ran, &[".git/pleach/results"]);
        }
        let ran = project.run(&[&line[..], &["--jsonl"]].concat());
        assert_eq!((ran.code(), ran.out().as_str()), (documented("usage").0, ""), "{ran:?}");
        assert!(ran.err().starts_with("error: "), "{ran:?}");
    }
    project.start(&[("a", "@say hi")], &[]);
    project.run(&["wait"]);
    for query in QUERIES {
        let ran = project.run(&[&line(query, Some("77777777-7"))[..], &["--json"]].concat());
        assert_said("session-not-found", &ran, &["\"77777777-7\"", ".git/pleach/results"]);
    }
    for query in ["status", "results", "logs", "recover", "diff"] {
        let id = project.query(&["status"])["session_id"]
            .as_str()
            .expect("an id")
            .to_owned();
        let ran = project.run(&[query, &id, "b", "--json"]);
        assert_said(
            "task-not-found",
            &ran,
            &["\"b\"", &format!("pleach status {}", &id[..8])],
        );
    }
}

#[test]
fn hints_ask_where_the_command_asked() {
    let project = Project::new();
    let there = |arguments: &[&str]| project.run(&[&["--results-dir", "my results"], arguments].concat());
    let hint = |ran: &Ran| {
        let err = ran.err();
        let (_, command) = err
            .split_once(": pleach ")
            .unwrap_or_else(|| panic!("no command in {err}"));
        format!("\"$PLEACH\" {command}")
    };
    let start = hint(&there(&["status"]));
    assert!(
        start.starts_with("\"$PLEACH\" --results-dir 'my results' run -p"),
        "{start}"
    );
    assert_eq!(
        there(&["run", "--sync", "--agent", "scripted", "-p", "@say hi"]).code(),
        0
    );
    let list = ran(&mut project.shell(&hint(&there(&["status", "77777777-7"]))));
    assert!(list.out().contains("completed"), "{list:?}");
    let status = ran(&mut project.shell(&hint(&there(&["logs", "no-such"]))));
    assert!(status.code() == 0 && status.out().contains("@say hi"), "{status:?}");
}

#[test]
fn before_anything_is_started() {
    let project = Project::new();
    let scripted = ["run", "--agent", "scripted", "-p", "@say hi"];
    let run = |more: &[&str]| project.run(&[&scripted, more].concat());
    let usage = run(&["--max-parallel", "0"]);
    assert_eq!(usage.code(), documented("usage").0);
    assert!(usage.err().contains("must be a number from 1"), "{usage:?}");
    assert_said(
        "session-unwritable",
        &run(&["--results-dir", "README.md/x"]),
        &["README.md/x", "Not a directory"],
    );
    // Nothing that a path holds looks like a line of ours.
    let forged = run(&["--worktree-dir", "a\n hint: rm -rf ~/../x"]);
    assert_said("worktree-dir-unknown", &forged, &["a\\n hint: rm"]);
    let gone = project.shell("mkdir gone; cd gone; rmdir ../gone; exec \"$PLEACH\" list");
    assert_said("no-current-directory", &ran(&mut { gone }), &["No such file"]);
    let prompt = "x".repeat(10_000_000);
    let tasks = format!(r#"{{"prompts": ["good", "{prompt}"]}}"#);
    let long = project.run_with_input(&scripted[..3], tasks.as_bytes());
    assert_said("task-too-long", &long, &["task 2", "10 MB"]);
    let mut demo = project.pleach_command(&["demo"]);
    assert_said("demo-not-made", &ran(demo.env("TMPDIR", "/nowhere")), &["/nowhere"]);

    project.write(".git/config", "[core\n");
    assert_said("repository-unusable", &run(&[]), &["cannot open the repository"]);
    for query in QUERIES.iter().chain(&OF_ALL) {
        let ran = project.run(&line(query, None));
        assert_said("repository-broken", &ran, &["cannot open the repository"]);
    }
    let homeless = Project::empty();
    let mut list = homeless.pleach_command(&["list"]);
    assert_said("no-place-for-results", &ran(list.env_remove("HOME")), &["HOME"]);
}

// Fault 11: the results cannot be written.
#[test]
fn who_may_not_write_the_results_is_told_where() {
    let project = Project::unprivileged();
    let mode = |mode| fs::set_permissions(project.root(), Permissions::from_mode(mode)).expect("change the mode");
    mode(0o555);
    let ran = project.run(&[
        "--results-dir",
        "../r",
        "run",
        "--agent",
        "scripted",
        "--no-worktree",
        "-p",
        "x",
    ]);
    mode(0o755);
    assert_said("session-unwritable", &ran, &["/r: Permission denied"]);
}

#[test]
fn a_full_disk_behind_the_output_is_an_error() {
    let project = Project::new();
    project.start(&[("a", "@say hi")], &[]);
    project.run(&["wait"]);
    for query in QUERIES.iter().chain(&OF_ALL).chain(&["doctor", "logs --raw 1"]) {
        let query = line(query, None).join(" ");
        let ran = ran(&mut project.shell(&format!("exec \"$PLEACH\" {query} >/dev/full")));
        assert_said("output-unwritable", &ran, &["No space left"]);
    }
}

#[test]
fn with_a_session() {
    let project = Project::new();
    let wait = format!("@wait {}", project.beside("gate"));
    project.start(&[("login", "@write a.txt a"), ("logout", &wait)], &[]);
    let ran_with =
        |arguments: &[&str], name: &str, value: &str| ran(project.pleach_command(arguments).env(name, value));
    let ambiguous = project.run(&[
        "status",
        &project.query(&["status"])["session_id"].as_str().expect("an id")[..8],
        "log",
    ]);
    assert_said("task-ambiguous", &ambiguous, &["2 tasks: login, logout"]);

    // Whoever asks cannot leave the request, root included.
    let requests = project.session_dir().join("requests");
    fs::rename(&requests, project.root().join("aside")).expect("move the directory");
    fs::write(&requests, "").expect("write a file");
    let stop = project.run(&["stop"]);
    let path = requests.display().to_string();
    assert_said(
        "stop-not-asked",
        &stop,
        &[&path, "Not a directory", &format!("ls -ld {path}")],
    );
    project.open("gate");
    assert_eq!(project.run(&["wait"]).code(), 0);
    let plan = ran_with(&["plan"], "TMPDIR", "/nowhere");
    assert_said("git-files", &plan, &["temporary objects", "/nowhere"]);
    let base = project.git(&["rev-parse", "main"]);
    project.git(&["checkout", "-q", "--detach"]);
    project.git(&["branch", "-D", "main"]);
    let plan = project.run(&["plan"]);
    let again = format!("git branch main {}", base.trim());
    plan.assert_refused(documented("target-gone").0, &["main", "is gone", &again]);
    // The hint works as it stands.
    project.sh(&again);
    assert_eq!(project.run(&["plan"]).code(), 0);
}
