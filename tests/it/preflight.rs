//! What `run` checks before it starts anything: repository, git, place for worktrees, agent program, user.
//!
//! A refusal names what is wrong and the way out, and leaves every directory as it was: each test compares all names
//! below the project before and after. Programs are faked by shell scripts that are found first. What only root or only
//! another user meets is tested as that user; as another user than root, the tests that need root are skipped.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::support::{Project, Ran, ran};

const SCRIPTED: [&str; 6] = ["run", "--sync", "--agent", "scripted", "-p", "@say hi"];

/// An agent whose answer is this text, expanded by the shell.
fn agent(project: &Project, name: &str, answer: &str) -> String {
    project.program(name, &format!("cat >/dev/null\necho \"{answer}\""))
}

/// A PATH that begins with a directory of the project.
fn path_with(project: &Project, directory: &str) -> String {
    format!(
        "{}:/usr/local/bin:/usr/bin:/bin",
        project.root().join(directory).display()
    )
}

/// Every name below a directory.
fn names(directory: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).expect("read a directory") {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("a type").is_dir() {
            found.extend(names(&entry.path()));
        }
        found.insert(entry.path());
    }
    found
}

#[track_caller]
fn assert_refused(project: &Project, arguments: &[&str], parts: &[&str]) {
    let before = names(project.root());
    project.run(arguments).assert_refused(2, parts);
    assert_eq!(names(project.root()), before, "{arguments:?}");
}

#[track_caller]
fn assert_runs(ran: &Ran) {
    assert_eq!(ran.code(), 0, "{ran:?}");
}

/// The answer of the only task of the newest session.
fn answer(project: &Project) -> String {
    let results = project.query(&["results"]);
    let answer = results["tasks"][0]["answer"].as_str().expect("an answer");
    answer.trim_end().to_owned()
}

/// A repository of a format that not every git can make; nothing when this one cannot.
fn repository_of(format: &str) -> Option<Project> {
    let project = Project::empty();
    fs::create_dir(project.repo()).expect("make a directory");
    let made = project.command("git").args(["init", "-q", format]).output();
    if !made.expect("run git").status.success() {
        eprintln!("skipped: this git has no {format}");
        return None;
    }
    project.git(&["commit", "-q", "--allow-empty", "-m", "first"]);
    Some(project)
}

// Fault 16: an unborn HEAD is refused.
#[test]
fn a_repository_with_a_commit_is_needed() {
    let project = Project::empty();
    let here = project.root().display().to_string();
    assert_refused(
        &project,
        &SCRIPTED,
        &[&here, "no git repository", "git init", "--no-worktree"],
    );
    fs::create_dir(project.repo()).expect("make a directory");
    project.git(&["init", "-q", "-b", "main"]);
    assert_refused(&project, &SCRIPTED, &["no commit yet", "git commit"]);
}

#[test]
fn without_worktrees_no_repository_is_needed() {
    let project = Project::empty();
    let ran = project.run(&[
        "run",
        "--sync",
        "--no-worktree",
        "--agent",
        "scripted",
        "-p",
        "@write a.txt hi",
    ]);
    assert_runs(&ran);
    let written = fs::read_to_string(project.root().join("a.txt"));
    assert_eq!(written.expect("the file of the agent"), "hi\n");
    let state = project.root().join("home/.local/state/pleach");
    assert!(state.is_dir(), "{:?}", names(project.root()));
    let status = project.query(&["status"]);
    assert_eq!(status["tasks"][0]["outcome"], "succeeded", "{status:#}");
}

// Fault 17: what cannot be opened is refused up front.
#[test]
fn a_repository_that_libgit2_cannot_open_is_refused() {
    for format in ["--object-format=sha256", "--ref-format=reftable"] {
        if let Some(project) = repository_of(format) {
            let repo = project.repo().display().to_string();
            assert_refused(&project, &SCRIPTED, &[&repo, "cannot open", "SHA-1", "not reftable"]);
        }
    }
}

#[test]
fn a_place_for_worktrees_that_cannot_be_known_is_refused() {
    let project = Project::new();
    let options = [&SCRIPTED[..], &["--worktree-dir", "not-there/../x"]].concat();
    assert_refused(&project, &options, &["not-there/../x", "--worktree-dir"]);
}

#[test]
fn a_repository_of_another_user_is_refused() {
    if !geteuid().is_root() {
        return eprintln!("skipped: not root");
    }
    let project = Project::new();
    let chown = project.command("chown").args(["-R", "65534", "."]).status();
    assert!(chown.expect("run chown").success());
    let trust = format!("safe.directory {}", project.repo().display());
    assert_refused(&project, &SCRIPTED, &["belongs to another user", &trust]);
}

#[test]
fn git_must_be_there_and_new_enough() {
    let mut project = Project::new();
    let real = project.shell("command -v git").output().expect("find git").stdout;
    let real = String::from_utf8(real).expect("a path in UTF-8");
    let fake = |project: &Project, said: &str| {
        let script = format!(
            "case \"$*\" in --version) echo '{said}' ;; *) exec {} \"$@\" ;; esac",
            real.trim()
        );
        project.program("bin/git", &script)
    };
    project.set("PATH", &path_with(&project, "bin"));
    for (said, named) in [
        ("git version 2.29.3", "git 2.29 is too old"),
        ("git version 2.9.5", "git 2.9 is too old"),
        ("git version 1.99.1.windows.1", "git 1.99 is too old"),
        ("nonsense", "nonsense"),
    ] {
        fake(&project, said);
        assert_refused(&project, &SCRIPTED, &[named]);
    }
    fake(&project, "git version 2.29.3");
    assert_refused(&project, &SCRIPTED, &["needs 2.30", "upgrade git"]);
    fake(&project, "git version 2.30.0");
    let ran = project.run(&SCRIPTED);
    assert_runs(&ran);
    assert!(ran.err().contains("2.41"), "what it cannot do is not said: {ran:?}");
    project.set("PATH", project.root().join("tmp").display().to_string().as_str());
    assert_refused(&project, &SCRIPTED, &["git cannot be started", "install git"]);
}

#[test]
fn the_directory_of_the_worktrees_must_be_writable() {
    let project = Project::unprivileged();
    let beside = project.worktrees().display().to_string();
    let closed = |mode| fs::set_permissions(project.root(), Permissions::from_mode(mode)).expect("change the mode");
    closed(0o555);
    assert_refused(&project, &SCRIPTED, &[&beside, "denied", "--worktree-dir"]);
    let elsewhere = [&SCRIPTED[..], &["--worktree-dir", "../tmp/trees", "--keep-worktrees"]].concat();
    let ran = project.run(&elsewhere);
    closed(0o755);
    assert_runs(&ran);
    let made = names(&project.root().join("tmp/trees"));
    assert!(made.iter().any(|path| path.ends_with("README.md")), "{made:?}");
    assert!(!project.worktrees().exists());
}

#[test]
fn what_stands_where_the_worktrees_go_must_be_a_directory() {
    let project = Project::new();
    fs::write(project.worktrees(), "").expect("write a file");
    assert_refused(
        &project,
        &SCRIPTED,
        &["repo.pleach is not a directory", "--worktree-dir"],
    );
    let below_a_file = [&SCRIPTED[..], &["--worktree-dir", "README.md/trees"]].concat();
    assert_refused(
        &project,
        &below_a_file,
        &["README.md is not a directory", "--worktree-dir"],
    );
}

#[test]
fn the_agent_is_the_one_of_the_option_then_of_the_environment_then_of_the_path() {
    let mut project = Project::new();
    project.set("IS_SANDBOX", "1");
    project.set("PATH", &path_with(&project, "bin"));
    agent(&project, "bin/claude", "of the path");
    let of_environment = agent(&project, "one", "of the environment");
    let of_option = agent(&project, "two", "of the option");
    let cases: [(&str, &[&str], &str); 5] = [
        ("", &[], "of the path"),
        (&of_environment, &[], "of the environment"),
        (&of_environment, &["--claude", &of_option], "of the option"),
        ("", &["--claude", "../two"], "of the option"),
        ("../one", &["--claude", "claude"], "of the path"),
    ];
    for (environment, options, expected) in cases {
        let arguments = [&["run", "--sync", "-p", "hi"], options].concat();
        let ran = ran(project.pleach_command(&arguments).env("CLAUDE_CLI_PATH", environment));
        assert_runs(&ran);
        assert_eq!(answer(&project), expected, "{environment} {options:?}");
    }
}

#[test]
fn an_agent_that_cannot_be_started_is_named_and_no_other_is_taken() {
    let mut project = Project::new();
    project.set("IS_SANDBOX", "1");
    let install = "npm install -g @anthropic-ai/claude-code";
    assert_refused(
        &project,
        &["run", "-p", "hi"],
        &["no claude in PATH", install, "--claude PATH"],
    );
    let good = agent(&project, "good", "");
    let missing = project.root().join("missing").display().to_string();
    let directory = project.root().join("home").display().to_string();
    let plain = project.root().join("gitconfig").display().to_string();
    for (path, problem) in [
        (missing, "is not there"),
        (directory, "is a directory"),
        (plain, "is not executable"),
    ] {
        project.set("CLAUDE_CLI_PATH", &good);
        let parts = [path.as_str(), "--claude", problem, install];
        assert_refused(&project, &["run", "--claude", &path, "-p", "hi"], &parts);
        project.set("CLAUDE_CLI_PATH", &path);
        let parts = [path.as_str(), "CLAUDE_CLI_PATH", problem, install];
        assert_refused(&project, &["run", "-p", "hi"], &parts);
    }
}

#[test]
fn root_is_told_the_ways_out_and_is_not_put_into_a_sandbox() {
    if !geteuid().is_root() {
        return eprintln!("skipped: not root");
    }
    let project = Project::new();
    let claude = agent(&project, "claude", "${IS_SANDBOX-unset}");
    let other = agent(&project, "other", "${IS_SANDBOX-unset}");
    let bypass = ["--permission-mode", "bypassPermissions"];
    // The variable, the program, more options, and the answer of the agent if it is started.
    let cases = [
        (None, &claude, &[][..], None),
        (Some("0"), &claude, &[], None),
        (Some(""), &claude, &[], None),
        (None, &claude, &bypass, None),
        (Some("1"), &claude, &[], Some("1")),
        (None, &claude, &["--permission-mode", "plan"], Some("unset")),
        (Some("0"), &claude, &["--permission-mode", "plan"], Some("0")),
        (None, &other, &[], Some("unset")),
    ];
    for (sandbox, program, options, expected) in cases {
        let before = names(project.root());
        let arguments = [&["run", "--sync", "-p", "hi", "--claude", program], options].concat();
        let mut command = project.pleach_command(&arguments);
        command.envs(sandbox.map(|value| ("IS_SANDBOX", value)));
        let ran = ran(&mut command);
        match expected {
            Some(expected) => {
                assert_runs(&ran);
                assert_eq!(answer(&project), expected, "{sandbox:?} {options:?}");
            }
            None => {
                ran.assert_refused(2, &["root", "another user", "--permission-mode", "IS_SANDBOX=1"]);
                assert_eq!(names(project.root()), before, "{sandbox:?} {options:?}");
            }
        }
    }
}

#[test]
fn another_user_than_root_needs_no_sandbox() {
    let project = Project::unprivileged();
    let claude = agent(&project, "claude", "${IS_SANDBOX-unset}");
    assert_runs(&project.run(&["run", "--sync", "-p", "hi", "--claude", &claude]));
    assert_eq!(answer(&project), "unset");
}

// Fault 21: the checkout has edits.
#[test]
fn agents_start_from_the_commit_and_a_dirty_checkout_is_a_warning() {
    let project = Project::new();
    project.write("README.md", "edited\n");
    project.write("new.txt", "new\n");
    let gate = project.root().join("gate");
    let look = format!("@run cat README.md >seen.txt; ls >>seen.txt\n@wait {}", gate.display());
    let run = project.start_session(&[("looks", &look)], &[]);
    let warning = project.until("a warning", |project| {
        let sessions = project.query(&["list"])["sessions"].as_array().map_or(0, Vec::len);
        let status = (sessions > 0).then(|| project.query(&["status"]))?;
        status["warnings"][0].as_str().map(str::to_owned)
    });
    fs::write(&gate, "").expect("open the gate");
    let ended = project.ended(&run);
    ended.assert_exit(0);
    for part in ["1 changed, 1 untracked", "start from the commit", "do not see"] {
        assert!(warning.contains(part), "{warning}");
    }
    let shown = String::from_utf8_lossy(&ended.output.stderr);
    assert!(shown.contains(&format!("warning: {warning}")), "{shown}");
    assert_eq!(project.show("main-task-looks:seen.txt"), "hi\nREADME.md\nseen.txt\n");
    assert_eq!(project.git(&["status", "--porcelain"]), " M README.md\n?? new.txt\n");
}
