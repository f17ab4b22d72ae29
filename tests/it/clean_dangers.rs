//! Cleaning where something could be missed afterwards: files of the user that look like ours, work that only a worktree
//! or only a ref of ours has, and what others are at.

use std::fs;
use std::os::unix::fs::symlink;

use crate::clean::{branches, clean, date, planned, session_of, things, trash, why};
use crate::support::{Project, SmallDisk, ran, skipped};

/// A name as a directory in the trash has it.
const LIKE_TRASH: &str = "notes.20240101.backup";

// Fault 48: what looks like ours, by its name, and is not ours is left alone.
#[test]
fn directories_of_the_user_that_are_called_like_ours_stay() {
    let project = Project::new();
    let results = project.root().join("results");
    let option = results.to_str().expect("UTF-8");
    session_of(&project, &[("a", "@write a a")], &[]);
    let run = project.session(&[("b", "@write b b")], &["--results-dir", option, "--keep-worktrees"]);
    drop(run);
    let mine = [
        results.join("view-models"),
        results.join(".new-design"),
        results.join(".trash-old"),
        project.worktrees().join(".trash").join(LIKE_TRASH),
    ];
    for path in &mine {
        fs::create_dir_all(path.join("worktree-of-mine")).expect("make a directory");
        fs::write(path.join("worktree-of-mine/x"), "x").expect("write a file");
        date(path, "30 hours ago");
    }
    let link = project.worktrees().join(".trash/link.20240101.backup");
    symlink(&results, &link).expect("make a link");
    for arguments in [&["--all"][..], &["--empty-trash"], &["--all", "--empty-trash"]] {
        clean(&project, arguments);
        clean(&project, &[&["--results-dir", option], arguments].concat());
    }
    // A supervisor comes by, too.
    session_of(&project, &[("c", "@say nothing")], &[]);
    for path in &mine {
        assert!(path.join("worktree-of-mine/x").exists(), "{}", path.display());
    }
    assert!(link.symlink_metadata().is_ok());
}

// Fault 47: somebody works in a worktree that was kept.
#[test]
fn a_worktree_in_which_a_program_of_the_user_works_stays() {
    let project = Project::new();
    let id = session_of(
        &project,
        &[("a", "@write a a\n@fail no"), ("b", "@write b b\n@fail no")],
        &[],
    );
    let mut inside = project.command("sleep");
    let mut inside = inside
        .arg("100")
        .current_dir(project.worktree("a"))
        .spawn()
        .expect("start a program");
    let mut done = Vec::new();
    for arguments in [&["--all"][..], &[&id, "--unmerged"], &[&id, "--discard"]] {
        done.push(clean(&project, arguments));
    }
    inside.kill().expect("end it");
    inside.wait().expect("wait for it");
    for done in &done {
        assert!(things(done).contains(&"worktree main-task-a stays".into()), "{done:#}");
        assert_eq!(why(done, "main-task-a"), "a process is in it");
    }
    assert!(project.worktree("a").join("a").exists() && branches(&project).contains(&"main-task-a".into()));
    assert!(!project.worktree("b").exists());
    assert!(things(&clean(&project, &[&id, "--discard"])).contains(&"record gone".into()));
}

// Fault 30: a tag that an agent deletes is kept, also when it is no commit, until the user says otherwise.
#[test]
fn a_tag_that_only_a_ref_of_ours_keeps_keeps_the_record() {
    for (make, kind) in [
        ("git tag -a -m 'who and why' v1", "tag"),
        ("git tag v1 HEAD:README.md", "blob"),
    ] {
        let project = Project::new();
        project.sh(make);
        let tag = project.git(&["rev-parse", "v1"]);
        let id = session_of(&project, &[("a", "@run git tag -d v1")], &[]);
        let done = clean(&project, &[&id]);
        assert!(things(&done).contains(&"record stays".into()), "{kind}: {done:#}");
        project.git(&["reflog", "expire", "--expire=now", "--all"]);
        project.git(&["gc", "-q", "--prune=now"]);
        assert_eq!(project.git(&["cat-file", "-t", tag.trim()]).trim(), kind);
        // Where it is again nothing is missed.
        project.git(&["update-ref", "refs/tags/v1", tag.trim()]);
        assert_eq!(things(&clean(&project, &[&id])), ["record gone"], "{kind}");
    }
}

// Fault 48: for 7 days from when a session was discarded, whatever becomes of the others.
#[test]
fn a_discarded_session_keeps_its_commits_by_itself() {
    let project = Project::new();
    let first = session_of(&project, &[("a", "@write a a")], &[]);
    project.sh("git checkout -q main-task-a; echo mine >mine; git add mine; git commit -qm mine");
    let tip = project.git(&["rev-parse", "HEAD"]);
    let second = session_of(&project, &[("b", "@write b b")], &[]);
    project.git(&["checkout", "-q", "main"]);
    clean(&project, &[&second, "--discard"]);
    clean(&project, &[&first, "--discard"]);
    let record = project.repo().join(format!(".git/pleach/discarded/{second}.json"));
    let text = fs::read_to_string(&record).expect("the record");
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let put = json["discarded_ms"].as_u64().expect("a time");
    json["discarded_ms"] = (put - 8 * 86_400_000).into();
    fs::write(&record, json.to_string()).expect("write the record");
    clean(&project, &[]);
    assert!(!record.exists());
    project.git(&["reflog", "expire", "--expire=now", "--all"]);
    project.git(&["gc", "-q", "--prune=now"]);
    assert_eq!(project.show(&format!("{}:mine", tip.trim())), "mine\n");
    let kept = project.run(&["recover", &first]);
    assert!(kept.out().contains(&tip[..10]), "{kept:?}");
}

// Fault 36: what was half made is known from what is not: a file that the user has written is no half of one.
#[test]
fn what_the_user_writes_into_a_worktree_that_no_agent_has_seen_stays() {
    let project = Project::new();
    project.write("second.txt", "one\ntwo\n");
    project.sh("git add .; git commit -qm second");
    let file = project.tasks(&[("a", "@write a a")]);
    let mut command = project.pleach_command(&["run", "--agent", "scripted", &file]);
    let started = ran(command.env("PLEACH_TEST_KILL", "checked-out:1@supervisor"));
    let id = started.out().trim().to_owned();
    project.until("the supervisor is gone", |p| {
        (p.query(&["status"])["overall_status"] == "interrupted").then_some(())
    });
    let edited = project.worktree("a").join("second.txt");
    fs::write(&edited, "one\nmine\n").expect("write a file");
    let done = clean(&project, &[&id]);
    assert!(things(&done).contains(&"worktree main-task-a stays".into()), "{done:#}");
    assert_eq!(fs::read_to_string(&edited).expect("it is there"), "one\nmine\n");
    // Discarded it is kept first.
    let done = clean(&project, &[&id, "--discard"]);
    assert!(things(&done).contains(&"record gone".into()), "{done:#}");
    let all = project.git(&["log", "-p", &format!("--glob=refs/pleach/{id}")]);
    assert!(all.contains("+mine"), "{all}");
    // What is half of a file goes.
    let started = ran(project
        .pleach_command(&["run", "--agent", "scripted", &file])
        .env("PLEACH_TEST_KILL", "checked-out:1@supervisor"));
    let id = started.out().trim().to_owned();
    project.until("the supervisor is gone", |p| {
        (p.query(&["status"])["overall_status"] == "interrupted").then_some(())
    });
    fs::write(&edited, "one\n").expect("cut a file off");
    let done = clean(&project, &[&id]);
    assert!(things(&done).contains(&"worktree main-task-a gone".into()), "{done:#}");
}

// Fault 36: a half-made worktree is made anew when its session goes on; what the user wrote into it is kept first.
#[test]
fn what_the_user_writes_into_it_outlives_going_on_too() {
    let project = Project::new();
    let file = project.tasks(&[("a", "@write a a")]);
    let mut command = project.pleach_command(&["run", "--agent", "scripted", &file]);
    let started = ran(command.env("PLEACH_TEST_KILL", "checked-out:1@supervisor"));
    let id = started.out().trim().to_owned();
    project.until("the supervisor is gone", |p| {
        (p.query(&["status"])["overall_status"] == "interrupted").then_some(())
    });
    fs::write(project.worktree("a").join("README.md"), "mine\n").expect("write a file");
    fs::write(project.worktree("a").join("new"), "new\n").expect("write a file");
    let resumed = project.run(&["resume", "--sync", &id]);
    assert_eq!(resumed.code(), 0, "{resumed:?}");
    project.sh(&format!("rm -rf {}/.trash", project.worktrees().display()));
    let all = project.git(&[
        "log",
        "-p",
        "--format=",
        &format!("--glob=refs/pleach/{id}"),
        "main-task-a",
    ]);
    assert!(all.contains("+mine") && all.contains("+new"), "{all}");
}

/// A supervisor that lives elsewhere is seen by its processes, and what is only called like ours is not ours.
#[test]
fn worktrees_of_sessions_elsewhere_and_of_the_user_stay() {
    let project = Project::new();
    let results = project.root().join("results");
    let option = results.to_str().expect("UTF-8");
    let gate = project.beside("gate");
    let file = project.tasks(&[
        ("failed", "@write f f\n@fail no"),
        ("waits", &format!("@wait {gate}")),
        ("done", "@write d d"),
    ]);
    let started = project.run(&[
        "run",
        "--agent",
        "scripted",
        "--max-parallel",
        "1",
        "--results-dir",
        option,
        &file,
    ]);
    assert_eq!(started.code(), 0, "{started:?}");
    project.until("the second task", |p| p.worktree("waits").exists().then_some(()));
    project.sh("git worktree add -q -b fix-task-failed ../repo.pleach/mine main");
    project.sh("git worktree add -q -b other-task-failed ../repo.pleach/other-task-failed main; echo x >../repo.pleach/other-task-failed/x; cd ../repo.pleach/other-task-failed; git add x; git commit -qm x");
    clean(&project, &["--all"]);
    for there in ["main-task-failed", "main-task-waits", "mine", "other-task-failed"] {
        assert!(project.worktrees().join(there).exists(), "{there}");
    }
    project.open("gate");
    assert_eq!(project.run(&["wait", "--results-dir", option]).code(), 1);
    fs::remove_dir_all(&results).expect("remove the record");
    let done = clean(&project, &["--all"]);
    assert_eq!(things(&done), ["worktree main-task-failed gone"], "{done:#}");
    for there in ["mine", "other-task-failed"] {
        assert!(project.worktrees().join(there).exists(), "{there}");
    }
}

#[test]
fn what_is_not_finished_in_a_worktree_keeps_it() {
    let project = Project::new();
    session_of(
        &project,
        &[("bisected", "@write a a\n@fail no"), ("refs", "@write b b\n@fail no")],
        &[],
    );
    project.sh("cd ../repo.pleach/main-task-bisected; git bisect start -q >/dev/null; git bisect bad >/dev/null");
    let own = project.sh(
        "cd ../repo.pleach/main-task-refs; c=$(git commit-tree -m own HEAD^{tree}); git update-ref refs/worktree/own $c; echo $c",
    );
    let done = clean(&project, &["--all"]);
    assert!(
        things(&done).contains(&"worktree main-task-bisected stays".into()),
        "{done:#}"
    );
    assert_eq!(why(&done, "main-task-bisected"), "a bisect in it is not finished");
    assert!(
        things(&done).contains(&"worktree main-task-refs gone".into()),
        "{done:#}"
    );
    project.git(&["reflog", "expire", "--expire=now", "--all"]);
    project.git(&["gc", "-q", "--prune=now"]);
    assert_eq!(project.git(&["log", "-1", "--format=%s", own.trim()]), "own\n");
    let kept = project.run(&["recover"]);
    assert!(kept.out().contains("kept before it was cleaned up"), "{kept:?}");
}

// Two who clean at the same time, and a supervisor, take nothing twice and trip over nothing.
#[test]
fn whoever_cleans_at_the_same_time_trips_over_nothing() {
    let project = Project::new();
    for round in 0..3 {
        let make = "@run for i in 1 2 3 4 5 6 7 8; do mkdir -p a$i/b/c/d a$i/e/f; echo x >a$i/b/c/d/x; echo y >a$i/e/f/y; done";
        let ids: Vec<String> = (0..4).map(|n| format!("t{round}-{n}")).collect();
        let tasks: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), make)).collect();
        session_of(&project, &tasks, &[]);
        assert_eq!(trash(&project).len(), 4);
        let all: Vec<_> = (0..4)
            .map(|_| project.pleach(&["clean", "-y", "--all", "--empty-trash"]))
            .collect();
        for one in all {
            let output = one.recv_timeout(crate::support::PATIENCE).expect("it ends");
            assert_eq!(output.status.code(), Some(0), "{round}: {output:?}");
        }
        assert!(trash(&project).is_empty(), "{:?}", trash(&project));
    }
    project.git(&["fsck", "--full"]);
}

/// A directory of worktrees on a file system of its own: the trash is there, and what git keeps is not.
// Fault 48: nothing is half in the trash.
#[test]
fn worktrees_on_another_file_system_go_to_the_trash_whole() {
    let project = Project::new();
    project.write(".gitignore", "ign\n");
    project.sh("git add .; git commit -qm ignore");
    let Some(disk) = SmallDisk::new(&project, "20m") else {
        return;
    };
    let place = disk.path.join("w");
    let place = place.to_str().expect("UTF-8");
    let file = project.tasks(&[("a", "@write a a\n@write ign i"), ("b", "@write b b\n@fail no")]);
    let run = disk.pleach(&["run", "--sync", "--agent", "scripted", "--worktree-dir", place, &file]);
    assert_eq!(run.code(), 1, "{run:?}");
    let status = project.query(&["status"]);
    assert_eq!(status["tasks"][0]["worktree"], serde_json::Value::Null, "{status:#}");
    let whole = "cd \"$1\"/w/.trash; for t in *; do ls \"$t\"; done; cat */git/HEAD; cat main-task-a*/worktree/ign";
    assert_eq!(disk.run(whole), "git\nworktree\nref: refs/heads/main-task-a\ni\n");
    assert_eq!(project.git(&["worktree", "list"]).lines().count(), 2);
    let id = status["session_id"].as_str().expect("an id");
    // Killed at any point it is ended by the next.
    for (point, n) in [("trash", 2), ("copied", 1), ("put-aside", 1), ("trashed", 1)] {
        let killed = ran(disk
            .command(env!("CARGO_BIN_EXE_pleach"))
            .args(["clean", "-y", "--all"])
            .env("PLEACH_TEST_KILL", format!("{point}:{n}@command")));
        if killed.0.status.code().is_some() {
            skipped(&format!("{point} was not passed"));
        }
        let again = disk.pleach(&["clean", "-y", "--all"]);
        assert_eq!(again.code(), 0, "{point}: {again:?}");
        assert_eq!(project.git(&["worktree", "list"]).lines().count(), 1, "{point}");
        disk.run("cat \"$1\"/w/.trash/main-task-b*/worktree/b");
        project.git(&["worktree", "prune"]);
        // Once more.
        disk.run("rm -rf \"$1\"/w/.trash/main-task-b*");
        ran(disk
            .command("git")
            .args(["worktree", "add", "-q", &format!("{place}/main-task-b"), "main-task-b"]));
    }
    let done = disk.pleach(&["clean", "-y", id, "--discard", "--empty-trash"]);
    assert_eq!(done.code(), 0, "{done:?}");
    assert_eq!(branches(&project), ["main"]);
    project.git(&["fsck", "--full"]);
}

// A mount of the user below a worktree is not emptied with the trash.
#[test]
fn what_is_mounted_in_the_trash_is_not_emptied() {
    let project = Project::new();
    project.write(".gitignore", "data\n");
    project.sh("git add .; git commit -qm ignore");
    session_of(
        &project,
        &[("a", "@run mkdir -p data/deep/in; echo x >data/deep/in/x")],
        &[],
    );
    let Some(disk) = SmallDisk::new(&project, "4m") else {
        return;
    };
    let entry = trash(&project).remove(0);
    let mount = entry.join("worktree/data/deep");
    disk.run("mkdir \"$1\"/mine; echo mine >\"$1\"/mine/file");
    let line = format!("mount --bind \"$1\"/mine {}", mount.display());
    disk.run(&line);
    let emptied = disk.pleach(&["clean", "-y", "--empty-trash"]);
    assert_eq!(disk.run("cat \"$1\"/mine/file"), "mine\n", "{emptied:?}");
    assert_eq!(emptied.code(), 3, "{emptied:?}");
    assert!(planned(&project, &["--empty-trash"])["items"][0]["kind"] == "trash");
}
