//! What a repository's `pleach.toml` has pleach run: nothing of it before the user has approved exactly that.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::{Left, Project, Terminal, ran};

const RUN: [&str; 5] = ["run", "--sync", "-p", "@say hi", "--permission-mode=plan"];
const SCRIPTED: [&str; 6] = ["run", "--sync", "--agent", "scripted", "-p", "@say hi"];

fn approvals(project: &Project) -> PathBuf {
    project.root().join("home/.local/state/pleach/trust")
}

#[track_caller]
fn assert_unapproved(project: &Project, arguments: &[&str]) {
    let file = project.repo().join("pleach.toml").display().to_string();
    project
        .run(arguments)
        .assert_refused(2, &[&file, "was not approved", "\n hint: ", ": pleach trust\n"]);
}

#[track_caller]
fn assert_runs(project: &Project, arguments: &[&str]) {
    let ran = project.run(arguments);
    assert_eq!(ran.code(), 0, "{ran:?}");
}

/// Answers the question of `pleach trust`.
fn answered(project: &Project, answer: &str) -> Left {
    let terminal = Terminal::start(&project.pleach_command(&["trust"]), (100, 30));
    terminal.until_shown("Approve that? [y/N]");
    terminal.send(&format!("{answer}\r"));
    terminal.end()
}

#[test]
fn nothing_of_it_is_run_before_it_was_approved() {
    let project = Project::new();
    let canary = project.beside("canary");
    let evil = project.program("repo/evil", &format!("touch {canary}; cat >/dev/null; echo done"));
    project.write(
        "pleach.toml",
        format!(
            "claude = \"./evil\"\nverify = \"touch {canary}\"\non_done = \"{evil}\"\non_task_done = \"{evil}\"\n\
             [worktree]\nsetup = [\"touch {canary}\"]\n[env]\nLD_PRELOAD = \"{canary}\"\n\
             [agent.claud]\ncommand = [\"{evil}\"]\n"
        ),
    );
    assert_unapproved(&project, &RUN);
    assert_unapproved(&project, &SCRIPTED);
    assert_unapproved(&project, &["run", "--agent", "claud", "-p", "hi"]);
    assert_unapproved(&project, &[&RUN[..], &["--no-worktree"]].concat());
    assert_unapproved(&project, &["run", "--dry-run", "-p", "hi"]);
    for arguments in [
        &["config"][..],
        &["doctor"],
        &["list"],
        &["overview"],
        &["clean", "-y"],
        &["trust"],
    ] {
        project.run(arguments);
    }
    let left = answered(&project, "n");
    assert_eq!(left.code, 0, "{}", left.text);
    assert!(left.text.contains("nothing was approved"), "{}", left.text);
    assert_unapproved(&project, &RUN);
    assert!(!Path::new(&canary).exists(), "it was run");
    assert!(!project.repo().join(".git/pleach/results").exists() && !approvals(&project).exists());

    // What is shown is what runs.
    let left = answered(&project, "y");
    assert_eq!(left.code, 0, "{}", left.text);
    let shown = left.text.replace('\n', "");
    for part in [
        format!("verify = \"touch {canary}\""),
        format!("worktree.setup = [\"touch {canary}\"]"),
        format!("env.LD_PRELOAD = \"{canary}\""),
        format!("agent.claud.command = [\"{evil}\"]"),
        format!("claude = \"{}/./evil\"", project.repo().display()),
    ] {
        assert!(shown.contains(&part), "{part}: {}", left.text);
    }
    project.run(&RUN);
    assert!(Path::new(&canary).exists(), "it was not run");
}

#[test]
fn exactly_what_was_approved_may_be_run_and_only_here() {
    let project = Project::new();
    let write = |verify: &str, more: &str| project.write("pleach.toml", format!("verify = \"{verify}\"\n{more}"));
    write("true", "max_parallel = 2\n");
    assert_unapproved(&project, &SCRIPTED);
    assert_runs(&project, &["trust", "-y"]);
    assert_runs(&project, &SCRIPTED);
    let again = project.run(&["trust"]);
    assert!(
        again.code() == 0 && again.err().contains("approved already"),
        "{again:?}"
    );
    // What runs nothing may change.
    write("true", "# more\nmax_parallel = 3\nworktree.copy = [\".env\"]\n");
    assert_runs(&project, &SCRIPTED);
    for other in ["true ", "True", "true;"] {
        write(other, "");
        assert_unapproved(&project, &SCRIPTED);
    }
    write("true", "env.A = \"1\"\n");
    assert_unapproved(&project, &SCRIPTED);
    write("true", "");
    assert_runs(&project, &SCRIPTED);
    // Another clone is another repository, also where this one was.
    let clone = project.beside("clone");
    project.git(&["clone", "-q", ".", &clone]);
    fs::copy(project.repo().join("pleach.toml"), format!("{clone}/pleach.toml")).expect("copy the file");
    let there = ran(project.pleach_command(&SCRIPTED).current_dir(&clone));
    there.assert_refused(2, &["clone/pleach.toml", "was not approved"]);
    // What goes on does so with what it was started with.
    let id = project.start(&[("a", "@say a")], &[]);
    project.run(&["wait", &id]);
    write("false", "");
    let resumed = project.run(&["resume", &id]);
    assert_eq!(resumed.code(), 0, "{resumed:?}");
    write("true", "");
    let removed = project.run(&["trust", "--remove"]);
    assert!(
        removed.code() == 0 && removed.err().contains("1 approval of"),
        "{removed:?}"
    );
    assert_unapproved(&project, &SCRIPTED);
}

#[test]
fn what_runs_nothing_needs_no_approval() {
    let project = Project::new();
    project.write(
        "pleach.toml",
        "max_parallel = 2\nmodel = \"opus\"\nmax_cost = 5\nworktree.link = [\"node_modules\"]\n",
    );
    assert_runs(&project, &SCRIPTED);
    let nothing = project.run(&["trust"]);
    assert!(
        nothing.code() == 0 && nothing.err().contains("nothing to approve"),
        "{nothing:?}"
    );
    assert!(!approvals(&project).exists());
    // The user's own file needs none either, whatever it runs.
    let user = project.root().join("home/.config/pleach/config.toml");
    fs::create_dir_all(user.parent().expect("a directory")).expect("make directories");
    fs::write(user, "verify = \"true\"\n").expect("write a file");
    assert_runs(&project, &SCRIPTED);
}

#[test]
fn no_repository_spends_more_than_the_user_wanted() {
    let project = Project::new();
    let user = project.root().join("home/.config/pleach/config.toml");
    fs::create_dir_all(user.parent().expect("a directory")).expect("make directories");
    fs::write(&user, "max_cost = 5\nmodel = \"haiku\"\nmax_turns = 10\n").expect("write a file");
    let theirs = |text: &str| project.write("pleach.toml", text);
    let status = |name: &str| {
        let document = project.query(&["config"]);
        let settings = document["settings"].as_array().expect("settings").clone();
        let found = settings
            .into_iter()
            .find(|entry| entry["key"] == name)
            .expect("the setting");
        (found["needs_approval"] == true, document["approved"] == true)
    };
    // Less of everything.
    theirs("max_cost = 4.99\nmodel = \"haiku\"\nmax_turns = 9\nmax_cost_usd = 1\ntimeout = \"1h\"\n");
    assert_runs(&project, &SCRIPTED);
    assert_eq!(status("max_cost"), (false, true));
    for more in ["max_cost = 5.01", "max_turns = 11", "model = \"opus\"", "retry = 1"] {
        theirs(&format!("{more}\ngrace = \"9s\"\n"));
        assert_unapproved(&project, &SCRIPTED);
        let name = more.split(' ').next().expect("a name");
        assert_eq!(status(name), (true, false), "{more}");
        assert_eq!(status("grace"), (false, false), "{more}");
        let shown = project.run(&["trust", "-y"]);
        assert!(
            shown.out().contains(more) && !shown.out().contains("grace"),
            "{shown:?}"
        );
        assert_runs(&project, &SCRIPTED);
        assert_eq!(status(name), (true, true), "{more}");
    }
    // It is what the user says that counts: who lowers a limit is asked again.
    theirs("max_cost = 4\n");
    assert_runs(&project, &SCRIPTED);
    fs::write(&user, "max_cost = 3\n").expect("write a file");
    assert_unapproved(&project, &SCRIPTED);
}

#[test]
fn yes_approves_says_so_and_is_remembered_privately() {
    let project = Project::new();
    project.write("pleach.toml", "verify = \"true\"\n");
    let tried = project.run(&["run", "-y", "--dry-run", "--agent", "scripted", "-p", "@say hi"]);
    assert_eq!(tried.code(), 0, "{tried:?}");
    assert!(!approvals(&project).exists(), "a dry run made something");
    assert_unapproved(&project, &SCRIPTED);
    let yes = project.run(&[&SCRIPTED[..], &["-y"]].concat());
    assert_eq!(yes.code(), 0, "{yes:?}");
    assert!(
        yes.err().contains("approved what ") && yes.err().contains("pleach.toml"),
        "{yes:?}"
    );
    let next = project.run(&[&SCRIPTED[..], &["-y"]].concat());
    assert!(next.code() == 0 && !next.err().contains("approved"), "{next:?}");
    assert_runs(&project, &SCRIPTED);
    let mode = |path: &Path| fs::metadata(path).expect("look").permissions().mode() & 0o777;
    let directory = approvals(&project);
    assert_eq!(mode(&directory), 0o700);
    let files: Vec<PathBuf> = fs::read_dir(&directory)
        .expect("read it")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert!(files.len() == 1 && mode(&files[0]) == 0o600, "{files:?}");
    // One that is damaged approves nothing, and is named.
    fs::write(&files[0], "{").expect("damage it");
    project
        .run(&SCRIPTED)
        .assert_refused(3, &[files[0].to_str().expect("UTF-8"), "rm "]);
}

#[test]
fn where_nobody_can_be_asked_nothing_is_approved() {
    let project = Project::new();
    project.write("pleach.toml", "verify = \"true\"\n");
    let ran_ = project.run(&["trust"]);
    ran_.assert_refused(2, &["this is no terminal", "pleach trust -y"]);
    assert_eq!(ran_.out(), "");
    let outside = ran(project.pleach_command(&["trust", "-y"]).current_dir(project.root()));
    outside.assert_refused(2, &["in no git repository"]);
    let homeless = ran(project.pleach_command(&["trust", "-y"]).env_remove("HOME"));
    homeless.assert_refused(2, &["HOME is not set", "XDG_STATE_HOME"]);
}

// Fault 24: escapes in what is to be approved.
#[test]
fn nothing_hides_in_what_is_to_be_approved() {
    let project = Project::new();
    let text = "verify = \"good\\u001b[2K\\r\\u202e evil \\u200b\\U000E0041\\n\\n\\n\"\n\
                [env]\n\"A\\u001b[31m\" = \"\\u0007\"\n";
    project.write("pleach.toml", text);
    let shown = project.run(&["trust", "-y"]);
    assert_eq!(shown.code(), 0, "{shown:?}");
    for ran in [shown, project.run(&["trust"]), project.run(&["config"])] {
        let text = ran.out() + &ran.err();
        let hides = |c: char| c != '\n' && (c.is_control() || "\u{202e}\u{200b}\u{e0041}".contains(c));
        assert!(!text.chars().any(hides), "{text:?}");
        let line = "\"good\\U0000001B[2K\\r\\U0000202E evil \\U0000200B\\U000E0041\\n\\n\\n\"";
        assert!(text.contains(line), "{text}");
        assert!(
            text.contains("A\\U0000001B[31m") && text.contains("\\U00000007"),
            "{text}"
        );
    }
}
