//! Merges that are killed at any step, and gits that are killed while they update a checkout: the target is where it was
//! or where it was to be, no file of the user's is touched, and the next command brings it to an end.

use std::fs;

use serde_json::Value;

use crate::merge::{LINES, TASKS, assert_clean, at, merge, project_with};
use crate::support::{Project, ran};

/// The states of all records, the oldest first.
fn states(project: &Project) -> Vec<String> {
    let dir = project.repo().join(".git/pleach/merges");
    let mut found: Vec<Value> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .map(|path| serde_json::from_slice(&fs::read(path).expect("read a record")).expect("JSON"))
        .collect();
    found.sort_by_key(|record| record["begun_ms"].as_u64());
    found
        .iter()
        .map(|r| r["state"].as_str().expect("a state").to_owned())
        .collect()
}

/// Runs a command that is killed when it passes a point for the N-th time; whether it was.
pub fn killed(project: &Project, arguments: &[&str], point: &str) -> bool {
    let mut command = project.pleach_command(arguments);
    command.env("PLEACH_TEST_KILL", format!("{point}@command"));
    ran(&mut command).0.status.code().is_none()
}

#[test]
fn a_merge_that_is_killed_at_any_step_has_moved_all_or_nothing() {
    let mut deaths = 0;
    for checked_out in [true, false] {
        let project = project_with(&TASKS[..2]);
        if !checked_out {
            project.git(&["checkout", "-q", "--detach"]);
        }
        let old = at(&project, "main");
        for (point, most) in [("fsync", 4), ("rename", 2), ("intended", 1), ("moved", 1)] {
            for n in 1..=most {
                let what = format!("{point}:{n} {checked_out}");
                if !killed(&project, &["merge", "-y"], &format!("{point}:{n}")) {
                    panic!("{what}: it lives");
                }
                deaths += 1;
                assert_clean(&project);
                let moved = at(&project, "main") != old;
                let ran = project.run(&["merge", "-y"]);
                assert_eq!(ran.code(), 0, "{what}: {ran:?}");
                // It is merged once.
                let commits = project.git(&["rev-list", "--count", "--merges", &format!("{old}..main")]);
                assert_eq!(commits.trim(), "2", "{what}");
                assert_eq!(ran.out().contains("nothing to merge\n"), moved, "{what}: {ran:?}");
                assert!(!states(&project).contains(&"landing".into()), "{what}");
                assert_eq!(states(&project).last().map(String::as_str), Some("landed"), "{what}");
                assert_clean(&project);
                assert_eq!(project.run(&["undo", "-y"]).code(), 0);
                assert_eq!(at(&project, "main"), old, "{what}");
            }
        }
    }
    assert_eq!(deaths, 16);
}

#[test]
fn an_undo_that_is_killed_at_any_step_is_ended_by_the_next() {
    let mut deaths = 0;
    let project = project_with(&TASKS[..2]);
    let old = at(&project, "main");
    for (point, most) in [
        ("fsync", 3),
        ("rename", 2),
        ("intended", 1),
        ("files-moved", 1),
        ("moved", 1),
    ] {
        for n in 1..=most {
            let what = format!("{point}:{n}");
            let new = merge(&project, 0, &[])["new"].as_str().expect("a commit").to_owned();
            assert!(killed(&project, &["undo", "-y"], &what), "{what}");
            deaths += 1;
            assert!([&old, &new].contains(&&at(&project, "main")), "{what}");
            let ran = project.run(&["undo", "-y"]);
            assert_eq!(ran.code(), 0, "{what}: {ran:?}");
            assert_eq!(at(&project, "main"), old, "{what}");
            assert_clean(&project);
            assert!(!states(&project).contains(&"undoing".into()), "{what}");
            // One merge was taken back, and no other.
            project
                .run(&["undo", "-y"])
                .assert_refused(2, &["no merge of pleach's here"]);
        }
    }
    assert_eq!(deaths, 8);
}

/// A project in which the git that updates the checkout is killed as soon as it writes `m.txt`, and with it, if that is
/// wanted, the pleach that started it.
fn deadly(and_its_parent: bool) -> Project {
    let project = Project::new();
    let parent = if and_its_parent {
        "parent=$(sed 's/.*) . //; s/ .*//' /proc/$p/stat); kill -9 $parent;"
    } else {
        ""
    };
    let script = format!(
        "if grep -qs first \"$1\" /dev/null; then :; fi\ncat >{0}/content\n\
         if [ -e {0}/armed ]; then rm {0}/armed; p=$PPID\n\
         while [ \"$(cat /proc/$p/comm)\" != git ]; do p=$(sed 's/.*) . //; s/ .*//' /proc/$p/stat); done\n\
         {parent} kill -9 $p; exit 1; fi\ncat {0}/content",
        project.root().display()
    );
    let filter = project.program("filter", &script);
    let config = project.root().join("gitconfig");
    let known = fs::read_to_string(&config).expect("read gitconfig");
    let text = format!("{known}[filter \"deadly\"]\nsmudge = {filter}\nclean = cat\n");
    fs::write(&config, text).expect("write gitconfig");
    project.write("m.txt", LINES);
    project.write("c.txt", "old\n");
    project.write(".gitattributes", "m.txt filter=deadly\n");
    project.sh("git add -A; git commit -qm lines");
    let does = "@write a/new.txt new\n@write c.txt changed\n@write z.txt new\n@run sed -i 1s/.*/first/ m.txt";
    project.session(&[("t", does)], &[]).assert_exit(0);
    project.open("armed");
    project
}

fn read(project: &Project, path: &str) -> Option<String> {
    fs::read_to_string(project.repo().join(path)).ok()
}

#[test]
fn when_git_is_killed_in_a_checkout_its_files_are_put_back() {
    let project = deadly(false);
    let old = at(&project, "main");
    project.write("mine.txt", "mine\n");
    let ran = project.run(&["merge", "-y"]);
    assert!([2, 3].contains(&ran.code()), "{ran:?}");
    assert!(ran.err().contains("git merge"), "{ran:?}");
    assert_eq!(at(&project, "main"), old);
    assert_eq!(project.git(&["status", "--porcelain"]), "?? mine.txt\n");
    assert!(!project.repo().join("a").exists());
    assert!(states(&project).is_empty());
    merge(&project, 0, &[]);
    assert_eq!(project.git(&["status", "--porcelain"]), "?? mine.txt\n");
}

#[test]
fn a_checkout_that_was_left_half_updated_is_put_back_by_the_next_command() {
    for next in [&["merge", "-y"][..], &["undo", "-y"], &["clean", "-y"]] {
        let project = deadly(true);
        let old = at(&project, "main");
        assert_eq!(project.run(&["merge", "-y"]).0.status.code(), None);
        // Just as git was killed.
        assert_eq!(read(&project, "c.txt").as_deref(), Some("changed\n"));
        assert!(project.repo().join(".git/index.lock").exists());
        assert_eq!(states(&project), ["landing"]);
        assert_eq!(at(&project, "main"), old);
        let told = "a merge into main, or the undoing of one, was cut off";
        let ran = project.run(&["doctor"]);
        assert!(ran.out().contains(told), "{ran:?}");
        let ran = project.run(next);
        assert!(
            ran.err().contains("a merge that was cut off: main has not moved"),
            "{ran:?}"
        );
        assert_clean(&project);
        assert!(!project.run(&["doctor"]).out().contains(told));
        let merged = next[0] == "merge";
        assert_eq!(states(&project), ["landed"][..usize::from(merged)]);
        assert_eq!(at(&project, "main") != old, merged, "{ran:?}");
        assert_eq!(read(&project, "m.txt").is_some_and(|m| m.starts_with("first")), merged);
        assert_eq!(project.repo().join("a").exists(), merged);
    }
}

#[test]
fn what_the_user_did_to_a_half_updated_checkout_is_named_and_left_alone() {
    let project = deadly(true);
    let old = at(&project, "main");
    assert_eq!(project.run(&["merge", "-y"]).0.status.code(), None);
    project.write("c.txt", "mine\n");
    for next in [&["merge", "-y"][..], &["undo", "-y"], &["clean", "-y"]] {
        let ran = project.run(next);
        assert_eq!(ran.code(), 3, "{next:?}: {ran:?}");
        for word in ["these files changed since: c.txt\n", "index.lock", "restore FILE"] {
            assert!(ran.err().contains(word), "{word}: {ran:?}");
        }
        assert_eq!(read(&project, "c.txt").as_deref(), Some("mine\n"));
        assert_eq!(read(&project, "a/new.txt").as_deref(), Some("new\n"));
    }
    project.sh("rm .git/index.lock; git restore c.txt");
    merge(&project, 0, &[]);
    assert_clean(&project);
    assert_eq!(at(&project, "main^"), old);
}

#[test]
fn a_lock_that_somebody_may_hold_is_named_and_left_alone() {
    let project = deadly(true);
    assert_eq!(project.run(&["merge", "-y"]).0.status.code(), None);
    // As a git leaves it that has an editor open.
    let lock = project.repo().join(".git/index.lock");
    fs::write(&lock, "DIRC").expect("write a lock");
    let ran = project.run(&["merge", "-y"]);
    assert_eq!(ran.code(), 3, "{ran:?}");
    assert!(ran.err().contains("index.lock"), "{ran:?}");
    assert_eq!(read(&project, "c.txt").as_deref(), Some("changed\n"));
    assert_eq!(fs::read(&lock).expect("read the lock"), b"DIRC");
}

#[test]
fn a_damaged_record_is_named() {
    let project = project_with(&TASKS[..2]);
    merge(&project, 0, &[]);
    let record = project.sh("ls .git/pleach/merges/*.json");
    let record = record.trim();
    let mode = project.sh(&format!("stat -c %a {record} .git/pleach/merges"));
    assert_eq!(mode, "600\n700\n");
    let text = fs::read_to_string(project.repo().join(record)).expect("read a record");
    for damaged in [text.replace("\"schema\":1", "\"schema\":2"), "{".into(), String::new()] {
        fs::write(project.repo().join(record), damaged).expect("damage it");
        let ran = project.run(&["undo", "-y"]);
        assert_eq!(ran.code(), 3, "{ran:?}");
        assert!(
            ran.err().contains(record) && ran.err().contains("cannot be read"),
            "{ran:?}"
        );
    }
}
