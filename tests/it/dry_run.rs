//! `run --dry-run`: everything is checked and shown, and nothing is made.
//!
//! What is shown is held against what a run then does: its refusals and warnings, and the requests of its runners.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Project, Ran, assert_same, contents, ran};

const TASKS: [(&str, &str); 2] = [("one", "@write one.txt 1"), ("two", "/not a command\n@say it's $HOME")];

/// Everything of the project: repository, home, temporary directory.
fn everything(project: &Project) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    contents(project.root(), |_| false)
}

/// Runs it, and holds that nothing is left of it.
#[track_caller]
fn dry(project: &Project, arguments: &[&str]) -> Ran {
    let before = everything(project);
    let ran = project.run(&[&["run", "--dry-run"], arguments].concat());
    assert_same("after a dry run", &everything(project), &before);
    // A refusal does not wait for the `git --version` that it has begun with, and that has our name for a moment.
    project.until("nothing of pleach is left", |project| {
        let mut left = project.processes().into_iter();
        left.all(|process| !process.line.contains("pleach")).then_some(())
    });
    ran
}

/// The request of the runner of a task's first attempt.
fn request(session: &Path, id: &str) -> Value {
    let file = session.join(format!("attempts/{id}.1/request.json"));
    let text = fs::read(file).expect("read a request");
    serde_json::from_slice(&text).expect("JSON")
}

/// A command line as words, with the id of the conversation as `ID`.
fn words<'v>(words: impl IntoIterator<Item = &'v Value>) -> Vec<String> {
    let mut words: Vec<String> = words
        .into_iter()
        .map(|w| w.as_str().expect("a word").to_owned())
        .collect();
    let option = words.iter().position(|w| w == "--session-id").expect("a conversation");
    uuid::Uuid::parse_str(&words[option + 1]).expect("an id");
    words[option + 1] = "ID".into();
    // The directory of the session, whose id is another at every start.
    let shared = words
        .iter()
        .position(|w| w == "--add-dir")
        .map(|at| words[at + 1].clone());
    let shared = shared.expect("a directory that tasks share");
    assert!(
        shared.contains("/.shared/") || shared.contains("/pleach/shared/"),
        "{shared}"
    );
    words.iter().map(|w| w.replace(&shared, "SHARED")).collect()
}

#[test]
fn what_is_shown_is_what_runs() {
    let agent = |project: &Project| project.program("claude-like", "cat >/dev/null; echo done");
    for options in [
        &["--agent", "scripted"][..],
        &["--agent", "scripted", "--no-worktree"],
        &[
            "--agent",
            "scripted",
            "--worktree-dir",
            "../else where",
            "--max-cost",
            "3",
        ],
        &[
            "--claude",
            "AGENT",
            "--model",
            "it's",
            "--permission-mode",
            "plan",
            "--agent-arg",
            "--add-dir=a b",
        ],
    ] {
        let project = Project::new();
        let (file, agent) = (project.tasks(&TASKS), agent(&project));
        let mut options: Vec<&str> = options.iter().map(|&o| if o == "AGENT" { &agent } else { o }).collect();
        options.extend(["--max-parallel", "2", &file]);
        let shown = dry(&project, &[&options[..], &["--json"]].concat());
        assert_eq!((shown.code(), shown.err()), (0, String::new()));
        let shown = shown.json();
        assert_eq!((&shown["schema"], &shown["max_parallel"]), (&json!(1), &json!(2)));
        let keys: Vec<&String> = shown.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["max_parallel", "schema", "tasks"]);

        let id = project.run(&[&["run"], &options[..]].concat());
        assert_eq!(id.code(), 0, "{id:?}");
        assert_eq!(project.run(&["wait"]).code(), 0);
        let status = project.query(&["status"]);
        let session = project.session_dir();
        for (index, (id, prompt)) in TASKS.iter().enumerate() {
            let (task, done, ran) = (&shown["tasks"][index], &status["tasks"][index], request(&session, id));
            assert_eq!((&task["id"], &task["prompt"]), (&json!(id), &json!(prompt)));
            assert_eq!((&task["title"], &task["branch"]), (&done["title"], &done["branch"]));
            assert_eq!(task["directory"], ran["directory"]);
            let worktree = if task["branch"].is_null() {
                &Value::Null
            } else {
                &ran["directory"]
            };
            assert_eq!(&task["worktree"], worktree);
            let executed = [&ran["program"]]
                .into_iter()
                .chain(ran["args"].as_array().expect("arguments"));
            assert_eq!(
                words(task["argv"].as_array().expect("words")),
                words(executed),
                "{options:?}"
            );
        }
    }
}

#[test]
fn the_text_shows_each_task_and_a_command_that_a_shell_takes() {
    let project = Project::new();
    let file = project.tasks(&TASKS);
    let shown = dry(
        &project,
        &[
            "--agent",
            "scripted",
            "--max-parallel",
            "1",
            "--model",
            "it's \"$HOME\"",
            &file,
        ],
    );
    assert_eq!((shown.code(), shown.err()), (0, String::new()));
    let text = shown.out();
    let parts: Vec<&str> = text.split("\n\n").collect();
    assert_eq!(parts.len(), 3, "{text}");
    assert!(
        parts[0].starts_with("2 tasks, 1 at once, permissions skipped, no cost limit\nnothing was started"),
        "{text}"
    );
    assert_eq!(text.matches("standard input").count(), 1);
    assert_eq!(text.matches("others at every start").count(), 1);
    for (index, id) in ["one", "two"].into_iter().enumerate() {
        let worktree = project.worktree(id).display().to_string();
        let lines: Vec<&str> = parts[index + 1].lines().collect();
        assert!(lines[0].starts_with(&format!("{}  ", index + 1)), "{text}");
        assert_eq!(lines[1], format!("  branch    main-task-{id}"));
        assert_eq!(lines[2], format!("  worktree  {worktree}"));
        let command = lines[3].strip_prefix("  command   ").expect("a command");
        assert!(command.starts_with(&format!("cd {worktree} && ")), "{command}");
        // A shell makes of it the words that it was made of.
        fs::create_dir_all(&worktree).expect("make the directory");
        fs::write(Path::new(&worktree).join("PROMPT"), "@cwd\n@system").expect("write a prompt");
        let ran = ran(&mut project.shell(command));
        assert_eq!(ran.code(), 0, "{command}: {ran:?}");
        let said = ran.out();
        assert!(said.contains(r#""model":"it's \"$HOME\"""#), "{said}");
        assert!(said.contains(&format!("{worktree}\\nYou work alone")), "{said}");
    }
}

#[test]
fn all_that_a_run_refuses_is_refused_in_the_same_words() {
    let project = Project::new();
    let nothing = Project::empty();
    let broken = project.beside("broken.json");
    fs::write(&broken, "{\"prompts\":[\"a\",{\"prompt\":\"\"}]}").expect("write a file");
    for (project, arguments) in [
        (&nothing, &["-p", "@say hi", "--agent", "scripted"][..]),
        (&project, &["-p", "@say hi", "--claude", "not-there"]),
        (&project, &["--agent", "scripted", &broken]),
        (&project, &["--agent", "scripted"]),
        (
            &project,
            &["--agent", "scripted", "-p", "x", "--worktree-dir", "not-there/../x"],
        ),
        (&project, &["--agent", "scripted", "-p", "x", "--max-cost", "0"]),
    ] {
        let shown = dry(project, arguments);
        let run = project.run(&[&["run"], arguments].concat());
        assert_eq!((shown.code(), run.code()), (2, 2), "{arguments:?}: {shown:?} {run:?}");
        assert_eq!((shown.out(), shown.err()), (String::new(), run.err()), "{arguments:?}");
    }
    let nowhere = ["--results-dir", "README.md/x", "--agent", "scripted", "-p", "@say hi"];
    let (shown, run) = (dry(&project, &nowhere), project.run(&[&["run"], &nowhere[..]].concat()));
    assert_eq!((shown.code(), run.code()), (3, 3), "{shown:?} {run:?}");
    assert_eq!((shown.out(), shown.err()), (String::new(), run.err()));
    let json = project.run(&["run", "--json", "-p", "@say hi", "--agent", "scripted"]);
    assert_eq!(json.code(), 2, "{json:?}");
    assert!(json.err().contains("--dry-run"), "{json:?}");
    assert!(!project.repo().join(".git/pleach").exists());
}

#[test]
fn what_a_run_warns_of_is_warned_of() {
    let project = Project::new();
    project.git(&["branch", "main-task-one"]);
    project.write("README.md", "changed\n");
    project.write("new.txt", "new\n");
    let file = project.tasks(&TASKS);
    for json in [&[][..], &["--json"]] {
        let shown = dry(&project, &[&["--agent", "scripted", &file], json].concat());
        assert_eq!(shown.code(), 0, "{shown:?}");
        let warnings: Vec<String> = shown.err().lines().map(str::to_owned).collect();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        let renamed = "warning: the branch main-task-one exists already: the task works on main-task-one-";
        assert!(warnings[0].starts_with(renamed), "{warnings:?}");
        assert!(
            warnings[1].contains("uncommitted files (1 changed, 1 untracked)"),
            "{warnings:?}"
        );
        assert!(shown.out().contains("main-task-one-") && shown.out().contains("main-task-two"));
    }
}

#[test]
fn places_of_the_user_are_not_made_either() {
    let project = Project::new();
    let before = everything(&project);
    for arguments in [
        &[
            "--results-dir",
            "results",
            "run",
            "--dry-run",
            "--agent",
            "scripted",
            "-p",
            "@say hi",
        ][..],
        &[
            "run",
            "--dry-run",
            "--agent",
            "scripted",
            "--worktree-dir",
            "../a/b/c",
            "-p",
            "@say hi",
            "--json",
        ],
        &[
            "run",
            "--dry-run",
            "--agent",
            "scripted",
            "--no-worktree",
            "-p",
            "@say hi",
        ],
    ] {
        let ran = project.run(arguments);
        assert_eq!(ran.code(), 0, "{ran:?}");
        assert!(ran.out().contains("@say hi"), "{ran:?}");
        assert_same("after a dry run", &everything(&project), &before);
    }
}

#[test]
fn tasks_on_standard_input_are_read_and_a_terminal_sees_no_control_characters() {
    let project = Project::new();
    let ran = project.run_with_input(
        &["run", "--dry-run", "--agent", "scripted"],
        br#"{"prompts": ["@say one", "@say two"]}"#,
    );
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(
        ran.out().contains("\n1  @say one\n") && ran.out().contains("\n2  @say two\n"),
        "{ran:?}"
    );
    let line = r#""$PLEACH" run --dry-run --agent scripted -p x --agent-arg "$(printf 'a\033[2Jb')""#;
    let Some(mut command) = project.on_terminal(line) else {
        return;
    };
    let shown = crate::support::ran(&mut command).out();
    assert!(shown.contains("$'a\\033[2Jb'") && !shown.contains('\x1b'), "{shown:?}");
}
