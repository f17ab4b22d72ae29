//! `pleach recover`: it lists what is kept of a session, and brings any of it back on a new branch.

use std::fs;

use serde_json::Value;

use crate::snapshots::{pins, project, waits};
use crate::support::Project;

/// A settled session whose agent has made something, seen it kept, and destroyed it; gives its id.
fn destroyed(project: &Project) -> String {
    let destroys = format!(
        "@write lost.txt lost\n{}\n@run git reset -q --hard; git clean -qfd\n@write made.txt made",
        waits(project, "a")
    );
    let tasks = [("a", destroys.as_str()), ("b", "@write b.txt b")];
    let session = project.start(&tasks, &["--snapshot-every", "50ms"]);
    project.await_file("here-a");
    project.until("a snapshot", |project| {
        let last = pins(project, &session, "a/snap").pop()?;
        (project.git(&["ls-tree", "--name-only", &last, "lost.txt"]) == "lost.txt\n").then_some(())
    });
    project.open("gate-a");
    assert_eq!(project.run(&["wait"]).code(), 0);
    session
}

fn names(task: &Value) -> Vec<&str> {
    let kept = task["kept"].as_array().expect("a list");
    kept.iter().map(|kept| kept["name"].as_str().expect("a name")).collect()
}

/// The newest snapshot that holds a file.
fn that_holds(project: &Project, session: &str, file: &str) -> String {
    let all = pins(project, session, "a/snap");
    let holds = |name: &&String| !project.git(&["ls-tree", "--name-only", name, file]).is_empty();
    let full = all.iter().rfind(holds).expect("a snapshot");
    full.split_once("/a/").expect("a task").1.to_owned()
}

// Fault 33: what an agent has thrown away is recoverable.
#[test]
fn it_lists_what_is_kept_and_makes_a_branch_of_it() {
    // What an agent has thrown away is recoverable.
    let project = project();
    let session = destroyed(&project);
    let doc = project.query(&["recover"]);
    assert_eq!(doc["session_id"], session);
    let (a, b) = (&doc["tasks"][0], &doc["tasks"][1]);
    assert_eq!(
        (&a["id"], &a["task_num"], &a["branch"]),
        (&"a".into(), &1.into(), &"main-task-a".into())
    );
    let head = b["kept"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|kept| kept["name"] == "head")
        .expect("its head");
    assert_eq!((&head["on_branch"], &head["files_changed"]), (&true.into(), &1.into()));
    let name = that_holds(&project, &session, "lost.txt");
    let kept = a["kept"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|kept| kept["name"] == name.as_str());
    let kept = kept.expect("the snapshot");
    assert_eq!((&kept["on_branch"], &kept["insertions"]), (&false.into(), &1.into()));
    let ran = project.run(&["recover", &session[..8], "1", "--from", &name, "--to", "back"]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert_eq!(project.show("back:lost.txt"), "lost\n");
    // The commands that it names work as they stand.
    for line in ran.out().lines().filter(|line| line.starts_with("  git ")) {
        project.sh(line);
    }
    assert_eq!(project.git(&["branch", "--show-current"]), "back\n");
    let again = project.query(&["recover", &session, "a"]);
    assert_eq!(again["tasks"].as_array().map(Vec::len), Some(1));
    let kept = again["tasks"][0]["kept"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|kept| kept["name"] == name.as_str());
    assert_eq!(kept.expect("the snapshot")["on_branch"], true);
    // Without a name it is the newest of its work.
    let doc = project.query(&["recover", &session, "a", "--to", "newest"]);
    assert_eq!(doc["restored"]["commit"], project.git(&["rev-parse", "newest"]).trim());
    assert_eq!(doc["restored"]["name"], names(&again["tasks"][0])[0]);
}

// Fault 15: the task branch is deleted.
#[test]
fn a_deleted_task_branch_is_made_again() {
    // The task branch is deleted.
    let project = project();
    let session = destroyed(&project);
    let head = project.git(&["rev-parse", "main-task-a"]);
    project.git(&["update-ref", "-d", "refs/heads/main-task-a"]);
    let ran = project.run(&["recover"]);
    assert!(ran.out().contains("its branch main-task-a is gone"), "{ran:?}");
    let doc = project.query(&["recover"]);
    assert_eq!(
        (&doc["tasks"][0]["branch_gone"], &doc["tasks"][1]["branch_gone"]),
        (&true.into(), &false.into())
    );
    // As it is told, and by the branch alone.
    let told = ran.out();
    let command = told
        .lines()
        .find(|line| line.contains("--from head --to main-task-a"))
        .expect("a command");
    let (_, command) = command.split_once(" recover ").expect("a command");
    let restored = project
        .shell(&format!("\"$PLEACH\" recover {command}"))
        .output()
        .expect("run pleach");
    assert!(restored.status.success(), "{restored:?}");
    assert_eq!(project.git(&["rev-parse", "main-task-a"]), head);
    project.git(&["update-ref", "-d", "refs/heads/main-task-a"]);
    let ran = project.run(&["recover", &session, "a", "--to", "main-task-a"]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert_eq!(project.git(&["rev-parse", "main-task-a"]), head);
}

#[test]
fn nothing_is_written_over_and_nothing_is_guessed() {
    let project = project();
    let session = destroyed(&project);
    let before = project.git(&["for-each-ref"]);
    project.git(&["branch", "there/too"]);
    let with_branch = project.git(&["for-each-ref"]);
    for (arguments, parts) in [
        (
            &["recover", &session, "a", "--to", "main"][..],
            &["main", "already"][..],
        ),
        (&["recover", &session, "a", "--to", "there"], &["there/too", "already"]),
        (
            &["recover", &session, "a", "--to", "main/x"],
            &["branch main", "already"],
        ),
        (&["recover", &session, "a", "--to", "a..b"], &["a..b", "cannot be"]),
        (&["recover", &session, "a", "--to", "-x"], &["-x", "cannot be"]),
        (&["recover", &session, "a", "--to", "@"], &["@", "cannot be"]),
        (&["recover", &session, "a", "--to", "@{-1}"], &["@{-1}", "cannot be"]),
        (
            &["recover", &session, "a", "--to", "refs/heads/x"],
            &["refs/heads/x", "cannot be"],
        ),
        (&["recover", &session, "a", "--to", ""], &["cannot be"]),
        (&["recover", &session, "--to", "back"], &["2 tasks", "a, b"]),
        (
            &["recover", &session, "a", "--from", "snap/999", "--to", "back"],
            &["snap/999"],
        ),
        (&["recover", &session, "c"], &["\"c\""]),
        (&["recover", "77777777"], &["77777777"]),
    ] {
        project.run(arguments).assert_refused(2, parts);
    }
    assert_ne!(before, with_branch);
    assert_eq!(project.git(&["for-each-ref"]), with_branch);
    let unused = project.run(&["recover", "--from", "head"]);
    assert_eq!(unused.code(), 2, "{unused:?}");
}

#[test]
fn refs_are_enough() {
    let project = project();
    let session = destroyed(&project);
    let list = |project: &Project, query: &[&str]| project.query(&[&["recover"], query].concat());
    let whole = list(&project, &[]);
    let dir = project.session_dir();
    // Unreadable: only what git keeps is shown, and that is said.
    let text = fs::read(dir.join("session.json")).expect("read a file");
    fs::write(dir.join("session.json"), "{").expect("damage the session");
    let ran = project.run(&["recover", "--json"]);
    assert!(ran.err().contains("the session cannot be read"), "{ran:?}");
    assert_eq!(ran.json()["tasks"][0]["kept"], whole["tasks"][0]["kept"]);
    assert_eq!(ran.json()["tasks"][0]["task_num"], Value::Null);
    fs::write(dir.join("session.json"), text).expect("mend the session");
    // Gone.
    fs::rename(&dir, project.root().join("aside")).expect("move the session away");
    for query in [&[][..], &[&session[..6]], &[&session, "a"]] {
        let doc = list(&project, query);
        assert_eq!(
            (&doc["session_id"], &doc["tasks"][0]["kept"]),
            (&whole["session_id"], &whole["tasks"][0]["kept"])
        );
    }
    let name = that_holds(&project, &session, "lost.txt");
    let ran = project.run(&["recover", &session, "a", "--from", &name, "--to", "back"]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert_eq!(project.show("back:lost.txt"), "lost\n");
    project
        .run(&["recover", &session, "c"])
        .assert_refused(2, &["nothing is kept of a task \"c\""]);
}

#[test]
fn results_elsewhere_and_sessions_without_branches() {
    let project = project();
    let there = ["--results-dir", "../results"];
    let run = ["run", "--sync", "--agent", "scripted", "-p", "@write x x"];
    assert_eq!(project.run(&[&there[..], &run].concat()).code(), 0);
    let doc = project.query(&[&there[..], &["recover"]].concat());
    assert_eq!(names(&doc["tasks"][0]), ["head"]);
    let none = ["run", "--sync", "--no-worktree", "--agent", "scripted", "-p", "@say hi"];
    assert_eq!(project.run(&none).code(), 0);
    let ran = project.run(&["recover"]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(ran.out().contains("nothing is kept beside its branches"), "{ran:?}");
    project
        .run(&["recover", "--to", "back"])
        .assert_refused(2, &["nothing is kept"]);
}

#[test]
fn a_ref_that_names_no_commit_is_named_and_hides_nothing() {
    let project = project();
    let session = destroyed(&project);
    let blob = project.sh("echo x | git hash-object -w --stdin");
    project.git(&["update-ref", &format!("refs/pleach/{session}/a/snap/900"), blob.trim()]);
    let ran = project.run(&["recover", "--json"]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(ran.err().contains("a/snap/900 names no commit"), "{ran:?}");
    assert!(names(&ran.json()["tasks"][0]).contains(&"head"));
}

// Fault 31: the tip before a rewrite stays pinned, also when it was seen by no snapshot.
#[test]
fn what_was_kept_stays_until_somebody_takes_it_away() {
    // The tip before a rewrite stays pinned, also when it was seen by no snapshot.
    let project = project();
    let dropped = "@run echo 1 >c; git add c; git commit -qm one; git commit -q --amend -m two";
    let ended = project.session(&[("a", dropped)], &["--snapshot-every", "0"]);
    ended.assert_exit(0);
    let doc = project.query(&["recover"]);
    assert_eq!(names(&doc["tasks"][0]).len(), 2);
    project.git(&["reflog", "expire", "--expire=now", "--all"]);
    project.git(&["gc", "-q", "--prune=now"]);
    assert_eq!(project.run(&["recover", "--from", "left/1", "--to", "back"]).code(), 0);
    assert_eq!(project.git(&["log", "-1", "--format=%s", "back"]), "one\n");
}

#[test]
fn a_task_may_be_called_as_a_ref_of_ours_is() {
    let project = project();
    let tasks = [("base", "@write x x"), ("head", "@write y y"), ("snap", "@write z z")];
    let ended = project.session(&tasks, &[]);
    for (id, _) in tasks {
        ended.assert_succeeded(id);
    }
    let doc = project.query(&["recover"]);
    assert_eq!(doc["tasks"].as_array().map(Vec::len), Some(3));
}

// Fault 24: what others have called a ref or written into a commit does nothing to a terminal.
#[test]
fn refs_that_anybody_made_are_shown_and_do_nothing_to_the_terminal() {
    let project = project();
    let session = destroyed(&project);
    let below = format!(".git/refs/pleach/{session}/a");
    project.sh(&format!(
        "c=$(printf 'x\\033[2Jy' | git commit-tree HEAD^{{tree}} -p HEAD)
         echo $c >\"{below}/$(printf '\\377\\302\\2332J\\342\\200\\256')\"
         git update-ref refs/pleach/{session}/a/left/9 $c
         git update-ref refs/pleach/{session}/a/cleaned/1 $c
         git update-ref refs/pleach/{session}/a/remade $c"
    ));
    let ran = project.run(&["recover", &session]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    let shown = ran.out();
    let bad = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    assert!(!shown.contains(bad) && shown.contains("\\u{202e}"), "{shown:?}");
    for words in [
        "kept before it was cleaned up",
        "where its branch was made",
        "a commit that was dropped",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(project.query(&["recover", &session])["tasks"][0]["kept"].is_array());
}
