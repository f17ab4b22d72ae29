//! `pleach open`: a worktree with the work of a task, also after it was removed, and nothing lost or moved by it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Project, Ran, Terminal, ran};

/// The path that was printed, and nothing else.
#[track_caller]
fn path_of(ran: &Ran) -> String {
    assert_eq!(ran.code(), 0, "{ran:?}");
    let out = ran.out();
    let path = out.strip_suffix('\n').expect("a line");
    assert!(Path::new(path).is_dir(), "{path}");
    path.to_owned()
}

/// Where the first task's worktree is, as `status` says.
fn worktree_in_status(project: &Project) -> Value {
    project.query(&["status"])["tasks"][0]["worktree"].clone()
}

/// A session of one task, whose worktree went to the trash.
fn settled() -> Project {
    let project = Project::new();
    project.write(".gitattributes", "*.txt text eol=crlf\n");
    project.write(".gitignore", "*.log\n");
    project.sh("git add .; git commit -qm attributes");
    let ended = project.session(&[("a", "@write a.txt one\\ntwo\\n\n@write a.log ignored")], &[]);
    ended.assert_exit(0);
    assert!(!project.worktree("a").exists());
    project
}

#[test]
fn a_worktree_that_was_removed_is_made_anew() {
    let project = settled();
    assert_eq!(worktree_in_status(&project), Value::Null);
    let tip = project.git(&["rev-parse", "main-task-a"]);
    let first = project.run(&["open", "a"]);
    let path = path_of(&first);
    assert_eq!(Path::new(&path), project.worktree("a"));
    assert!(
        first.err().contains("a new worktree") && first.err().contains(".trash"),
        "{first:?}"
    );
    // As `git worktree add` makes one.
    assert_eq!(
        fs::read(project.worktree("a").join("a.txt")).expect("the work"),
        b"one\r\ntwo\r\n"
    );
    assert_eq!(project.git_in(path.as_ref(), &["status", "--porcelain"]), "");
    assert_eq!(
        project.git_in(path.as_ref(), &["symbolic-ref", "HEAD"]),
        "refs/heads/main-task-a\n"
    );
    assert_eq!(project.git(&["rev-parse", "main-task-a"]), tip);
    assert!(!project.git(&["for-each-ref", "refs/pleach"]).contains("remade"));
    assert_eq!(worktree_in_status(&project), *path);
    // The second time it is there; and so it is for whoever goes there.
    let again = project.run(&["open", "a"]);
    assert_eq!((path_of(&again), again.err()), (path.clone(), String::new()));
    let line = "cd \"$(\"$PLEACH\" open 1)\" && pwd";
    assert_eq!(ran(&mut project.shell(line)).out().trim(), path);
    // It goes by the rules for all worktrees: not as long as its branch is not merged, and not with work in it.
    let open = project.run(&["clean", "-y"]);
    assert!(
        open.out().contains(&path) && open.out().contains("not merged"),
        "{open:?}"
    );
    project.git(&["merge", "-q", "--no-edit", "main-task-a"]);
    fs::write(project.worktree("a").join("b.txt"), "mine").expect("write a file");
    let stays = project.run(&["clean", "-y"]);
    assert!(stays.out().contains(&path), "{stays:?}");
    assert!(project.worktree("a").join("b.txt").is_file(), "{stays:?}");
    fs::remove_file(project.worktree("a").join("b.txt")).expect("remove a file");
    let goes = project.run(&["clean", "-y"]);
    assert_eq!(goes.code(), 0, "{goes:?}");
    assert!(!project.worktree("a").exists(), "{goes:?}");
    assert_eq!(project.git(&["branch", "--list", "main-task-a"]), "", "{goes:?}");
    assert_eq!(worktree_in_status(&project), Value::Null);
}

#[test]
fn what_the_user_commits_there_is_the_branch() {
    let project = settled();
    let path = path_of(&project.run(&["open", "a"]));
    project.sh(&format!("cd {path}; echo three >>a.txt; git commit -qam third"));
    // Without a word to git.
    fs::remove_dir_all(&path).expect("remove the worktree");
    let made = project.run(&["open", "a"]);
    assert_eq!(path_of(&made), path);
    assert!(
        fs::read_to_string(project.worktree("a").join("a.txt"))
            .expect("the work")
            .contains("three")
    );
    assert_eq!(project.git(&["worktree", "list"]).lines().count(), 2);
    assert_eq!(project.query(&["diff"])["tasks"][0]["commits"], 2);
}

#[test]
fn one_that_is_there_is_taken() {
    let project = Project::new();
    let (here, gate) = (project.beside("here"), project.beside("gate"));
    let works = format!("@touch {here}\n@wait {gate}");
    let tasks = [
        ("bad", "@write x x\n@fail no"),
        ("works", &*works),
        ("waits", "@say never"),
    ];
    let session = project.start(&tasks, &["--max-parallel", "1"]);
    project.await_file("here");
    let failed = project.run(&["open", &session, "bad"]);
    assert_eq!(
        (path_of(&failed), failed.err().as_str()),
        (project.worktree("bad").display().to_string(), "")
    );
    let at_work = project.run(&["open", &session, "works"]);
    assert_eq!(path_of(&at_work), project.worktree("works").display().to_string());
    assert!(at_work.err().contains("works is not settled"), "{at_work:?}");
    project
        .run(&["open", &session, "waits"])
        .assert_refused(2, &["waits has no work yet", "pleach status"]);
    project.git_in(&project.worktree("bad"), &["checkout", "-q", "-b", "mine"]);
    let other = project.run(&["open", "bad"]);
    assert_eq!(path_of(&other), path_of(&failed));
    assert!(
        other.err().contains("mine is checked out there, not main-task-bad"),
        "{other:?}"
    );
    project.run(&["stop", "--now"]);
    project
        .run(&["open", "waits"])
        .assert_refused(2, &["waits has no work yet"]);
}

#[test]
fn a_branch_that_is_checked_out_elsewhere_is_not_taken_from_there() {
    let project = settled();
    let else_where = project.beside("elsewhere");
    project.git(&["worktree", "add", "-q", &else_where, "main-task-a"]);
    let ran = project.run(&["open", "a"]);
    assert_eq!(path_of(&ran), else_where);
    assert!(ran.err().contains("checked out there already"), "{ran:?}");
    assert!(!project.worktree("a").exists());
    // One that is gone is no place to be sent to.
    fs::remove_dir_all(&else_where).expect("remove a worktree");
    project.git(&["worktree", "prune"]);
    assert_eq!(
        path_of(&project.run(&["open", "a"])),
        project.worktree("a").display().to_string()
    );
}

#[test]
fn what_is_in_the_way_stays() {
    let project = settled();
    let place = project.worktree("a");
    let name = place.display().to_string();
    let tip = project.git(&["rev-parse", "main-task-a"]);
    for (put, file) in [
        ("mkdir -p P; echo mine >P/x", "x"),
        ("echo mine >P", ""),
        ("ln -s nowhere P", ""),
    ] {
        project.sh(&put.replace('P', &name));
        let before = fs::symlink_metadata(&place).expect("it").file_type();
        project
            .run(&["open", "a"])
            .assert_refused(2, &[&name, "git worktree add DIR main-task-a"]);
        assert_eq!(fs::symlink_metadata(&place).expect("it").file_type(), before);
        if before.is_dir() || before.is_file() {
            assert_eq!(
                fs::read_to_string(place.join(file).components().collect::<std::path::PathBuf>()).expect("it"),
                "mine\n"
            );
        }
        project.sh(&format!("rm -r {name}"));
    }
    assert_eq!(project.git(&["worktree", "list"]).lines().count(), 1);
    assert_eq!(project.git(&["rev-parse", "main-task-a"]), tip);
    // A worktree on a disk that is not there now.
    path_of(&project.run(&["open", "a"]));
    project.git(&["worktree", "lock", &name]);
    project.sh(&format!("mv {name} {name}.away"));
    project.run(&["open", "a"]).assert_refused(2, &["locked", &name]);
    assert_eq!(project.git(&["worktree", "list"]).lines().count(), 2);
}

#[test]
fn without_its_branch_the_way_back_is_told() {
    let project = settled();
    project.git(&["branch", "-D", "main-task-a"]);
    let gone = project.run(&["open", "a"]);
    gone.assert_refused(2, &["the branch main-task-a of task a is gone", "pleach recover"]);
    assert!(!project.worktree("a").exists());
    let err = gone.err();
    let (_, command) = err.split_once(": pleach ").expect("a command");
    assert_eq!(ran(&mut project.shell(&format!("\"$PLEACH\" {command}"))).code(), 0);
    path_of(&project.run(&["open", "a"]));
    let in_place = Project::new();
    in_place.session(&[("a", "@say hi")], &["--no-worktree"]);
    in_place
        .run(&["open", "a"])
        .assert_refused(2, &["without worktrees", "cd "]);
}

#[test]
fn one_that_was_killed_half_way_is_made_whole() {
    for point in ["claimed", "registered", "checked-out"] {
        let project = settled();
        let mut killed = project.pleach_command(&["open", "a"]);
        let killed = killed.env("PLEACH_TEST_KILL", format!("{point}:1@command"));
        let ended = killed.output().expect("run pleach");
        assert_eq!(ended.status.code(), None, "{point}: it was not killed: {ended:?}");
        assert_eq!(ended.stdout, b"", "{point}");
        let path = path_of(&project.run(&["open", "a"]));
        assert_eq!(project.git_in(path.as_ref(), &["status", "--porcelain"]), "", "{point}");
        assert_eq!(project.git(&["worktree", "list"]).lines().count(), 2, "{point}");
        assert!(
            !project.git(&["for-each-ref", "refs/pleach"]).contains("remade"),
            "{point}"
        );
    }
}

#[test]
fn with_shell_the_user_works_in_it() {
    let mut project = settled();
    let shell = project.program("shell", "pwd; git rev-parse --abbrev-ref HEAD; echo $GIT_DIR; exit 3");
    project.set("SHELL", &shell);
    let ran = project.run(&["open", "a", "--shell"]);
    let place = project.worktree("a").display().to_string();
    assert_eq!(
        (ran.code(), ran.out()),
        (0, format!("{place}\nmain-task-a\n\n")),
        "{ran:?}"
    );
    assert!(ran.err().contains("to come back: exit"), "{ran:?}");
    project.set("SHELL", "/bin/sh");
    let terminal = Terminal::start(&project.pleach_command(&["open", "a", "--shell"]), (120, 20));
    terminal.until_shown("to come back: exit");
    terminal.send("echo in-${PWD##*/}\n");
    terminal.until_shown("in-main-task-a");
    terminal.send("exit\n");
    assert_eq!(terminal.end().code, 0);
    project.set("SHELL", "/no/such/shell");
    let none = project.run(&["open", "a", "--shell"]);
    assert_eq!(none.code(), 2);
    assert!(
        none.err().contains("the shell /no/such/shell cannot be started"),
        "{none:?}"
    );
}
