//! `pleach undo`: the last merge is taken back, nothing is lost by it, and nothing of the user's is in danger.

use std::path::Path;

use crate::merge::{TASKS, assert_clean, at, merge, project_with};
use crate::merge_refused::state;
use crate::support::{Project, assert_same, contents};

fn files(project: &Project) -> std::collections::BTreeMap<std::path::PathBuf, (u32, Vec<u8>)> {
    contents(&project.repo(), |path| path.starts_with(".git"))
}

#[test]
fn all_is_as_it_was_and_nothing_is_lost() {
    let tasks = [TASKS[0], ("n", "@write d/n.txt new"), ("r", "@delete README.md")];
    for place in ["here", "nowhere", "linked"] {
        let project = project_with(&tasks);
        let onto = match place {
            "here" => "main",
            "nowhere" => project
                .git(&["branch", "other"])
                .is_empty()
                .then_some("other")
                .expect("quiet"),
            _ => {
                project.sh("git worktree add -q -b other ../linked");
                "other"
            }
        };
        project.write("mine.txt", "mine\n");
        project.write("staged.txt", "staged\n");
        project.git(&["add", "staged.txt"]);
        let (old, before) = (at(&project, onto), files(&project));
        let status = project.git(&["status", "--porcelain"]);
        let doc = merge(&project, 0, &["--onto", onto]);
        let undone = project.run(&["undo", "-y", "--json"]);
        assert_eq!(undone.code(), 0, "{undone:?}");
        let undone = undone.json();
        assert_eq!(at(&project, onto), old, "{place}");
        assert_same(place, &files(&project), &before);
        assert_eq!(project.git(&["status", "--porcelain"]), status, "{place}");
        if place == "linked" {
            let linked = project.root().join("linked");
            assert_eq!(project.git_in(&linked, &["status", "--porcelain"]), "");
            assert!(!linked.join("d").exists() && linked.join("README.md").exists());
        }
        assert_eq!((&undone["merge_id"], &undone["old"]), (&doc["merge_id"], &doc["new"]));
        let kept = undone["kept"].as_str().expect("a ref");
        assert_eq!(at(&project, kept), doc["new"].as_str().expect("a commit"));
        assert!(kept.starts_with("refs/pleach/_undone/"), "{kept}");
        assert_eq!(
            project.git(&["reflog", "-1", "--format=%gs", onto]).trim(),
            "pleach undo"
        );
        // It can be merged again.
        let again = merge(&project, 0, &["--onto", onto]);
        assert_eq!(
            at(&project, &format!("{onto}^{{tree}}")),
            at(&project, &format!("{kept}^{{tree}}"))
        );
        assert_ne!(again["merge_id"], doc["merge_id"]);
    }
}

#[test]
fn the_last_is_taken_back_first() {
    let project = project_with(&TASKS[..2]);
    let first = at(&project, "main");
    merge(&project, 0, &["--task", "a"]);
    let second = at(&project, "main");
    merge(&project, 0, &["--task", "b"]);
    for expected in [&second, &first] {
        assert_eq!(project.run(&["undo", "-y"]).code(), 0);
        assert_eq!(at(&project, "main"), *expected);
        assert_clean(&project);
    }
    project
        .run(&["undo", "-y"])
        .assert_refused(2, &["no merge of pleach's here", "pleach plan"]);
}

#[test]
fn it_is_refused_where_something_is_in_the_way() {
    let tasks = [TASKS[0], ("n", "@write d/n.txt new"), ("r", "@delete README.md")];
    for (name, before, code, words) in [
        (
            "a commit came after",
            "git commit -q --allow-empty -m 'more work'",
            2,
            &["main is not where the merge has put it", "more work"][..],
        ),
        (
            "it went elsewhere",
            "git reset -q --hard main^",
            2,
            &["main is not where the merge has put it"],
        ),
        ("a change", "echo mine >>l.txt", 2, &["in the way", "/repo: l.txt\n"]),
        (
            "a change of a new file",
            "echo mine >>d/n.txt",
            2,
            &["in the way", "/repo: d/n.txt\n"],
        ),
        (
            "a file in the place of a deleted one",
            "echo mine >README.md",
            2,
            &["/repo: README.md\n"],
        ),
        (
            "an ignored one",
            "echo README.md >>.git/info/exclude; echo mine >README.md",
            2,
            &["/repo: README.md\n"],
        ),
        (
            "a merge",
            "git rev-parse HEAD >.git/MERGE_HEAD",
            2,
            &["a merge is not finished"],
        ),
        ("a lock", "touch .git/index.lock", 3, &["repo/.git/index.lock"]),
        (
            "a second checkout",
            "git worktree add -q -f ../twice main",
            2,
            &["more than one place"],
        ),
    ] {
        let project = project_with(&tasks);
        merge(&project, 0, &[]);
        project.sh(before);
        let there = state(&project);
        let ran = project.run(&["undo", "-y"]);
        assert_eq!(ran.code(), code, "{name}: {ran:?}");
        for word in words {
            assert!(ran.err().contains(word), "{name}: {word}: {ran:?}");
        }
        assert_same(name, &state(&project), &there);
    }
}

#[test]
fn branches_that_went_are_named_with_what_brings_them_back() {
    for squash in [false, true] {
        let project = project_with(&TASKS[..2]);
        let head = at(&project, "main-task-a");
        let mut arguments = vec!["--clean"];
        arguments.extend(squash.then_some("--squash"));
        merge(&project, 0, &arguments);
        project.run(&["undo"]).assert_refused(2, &["nobody can be asked"]);
        let ran = project.run(&["undo", "-y"]);
        let command = format!("  git branch main-task-a {head}");
        assert!(ran.out().contains(&command), "{ran:?}");
        project.git(&["gc", "-q", "--prune=now"]);
        project.sh(&command);
        assert_eq!(at(&project, "main-task-a"), head);
    }
}

#[test]
fn outside_of_a_repository_there_is_none() {
    let project = Project::empty();
    let ran = project.run(&["undo", "-y"]);
    assert_eq!(ran.code(), 2, "{ran:?}");
    assert!(!Path::new(&project.beside("pleach")).exists());
}

#[test]
fn what_is_long_ago_is_forgotten() {
    let project = project_with(&TASKS[..2]);
    merge(&project, 0, &["--squash"]);
    assert_eq!(project.run(&["undo", "-y"]).code(), 0);
    merge(&project, 0, &["--squash"]);
    let left = |days: u32| {
        project.sh(&format!(
            "touch .git/pleach/merges/.new-cut; touch -d '{days} days ago' .git/pleach/merges/*.json"
        ));
        assert_eq!(project.run(&["clean", "-y", "--empty-trash"]).code(), 0);
        let records = project.sh("ls -A .git/pleach/merges");
        let kept = project.git(&["for-each-ref", "refs/pleach/_undone"]);
        (records.lines().count(), kept.lines().count())
    };
    assert_eq!(left(29), (2, 1));
    // Nothing else says that the branches are merged.
    assert_eq!(left(31), (1, 0));
    project.git(&["branch", "-qD", "main-task-a", "main-task-b"]);
    assert_eq!(left(29), (1, 0));
    assert_eq!(left(31), (0, 0));
}
