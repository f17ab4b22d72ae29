//! What becomes of branches and worktrees when a supervisor was killed at any moment and the session is gone on with: what
//! was being made is undone or made whole, what was being put away is put away once, and nothing of anybody else's is
//! touched.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::resume::{assert_done, killed_at, resumed, task, works};
use crate::support::{Project, Ran};

#[test]
fn a_supervisor_killed_while_it_prepares_leaves_nothing_that_is_not_undone() {
    for point in [
        "claimed:1",
        "branched:1",
        "registered:1",
        "checked-out:1",
        "spawned:1",
        "journal:3",
        "go:1",
        "gone:1",
    ] {
        let project = Project::new();
        project.open("gate");
        let prompt = works(&project, "a");
        killed_at(&project, point, &[("a", &prompt)], &[]);
        if point == "branched:1" {
            // As a git that is killed leaves it.
            fs::write(project.repo().join(".git/refs/heads/main-task-a.lock"), "").expect("a lock");
        }
        let status = resumed(&project, &[]);
        let attempts = task(&status, "a")["attempts"].as_u64().expect("a number");
        // After the word it may have begun.
        assert!(
            attempts == 1 || (point.starts_with("go") && attempts == 2),
            "{point}: {status:#}"
        );
        assert_done(&project, &status, &["a"], attempts);
        assert_eq!(task(&status, "a")["branch"], "main-task-a", "{point}");
        assert_eq!(project.git(&["worktree", "list"]).lines().count(), 1, "{point}");
        assert_eq!(
            project.git(&["for-each-ref", "--format=%(refname)", "refs/heads"]),
            "refs/heads/main\nrefs/heads/main-task-a\n"
        );
        let pins = project.git(&["for-each-ref", "--format=%(refname)", "refs/pleach"]);
        assert!(!pins.contains("/made") && !pins.contains("/left"), "{pins}");
    }
}

/// Kills a session's supervisor at the `nth` passage of a point, and each one that takes it over one passage later than
/// the one before, until one comes to the end; gives how often it was killed.
fn killed_again_and_again(project: &Project, point: &str, nth: usize, file: &str) -> usize {
    let mut arguments = vec!["run", "--agent", "scripted", "--max-parallel", "2", file];
    for killed in 0..60 {
        let kill = format!("{point}:{}@supervisor", nth + killed);
        let mut command = project.pleach_command(&arguments);
        let ran = Ran(command.env("PLEACH_TEST_KILL", kill).output().expect("run pleach"));
        // It may be killed before it is ready.
        assert!(matches!(ran.code(), 0 | 3), "{ran:?}");
        let status = project.until("the end of the supervisor", |project| {
            let status = project.query(&["status"]);
            (status["supervisor"]["alive"] == false).then_some(status)
        });
        if status["overall_status"] == "completed" {
            return killed;
        }
        arguments = vec!["resume"];
    }
    panic!("it comes to no end: {point}:{nth}");
}

#[test]
fn a_session_whose_supervisors_are_killed_at_every_step_comes_to_its_end() {
    for point in ["fsync", "rename"] {
        for nth in 1.. {
            let project = Project::new();
            project.open("gate");
            let ids = ["a", "b", "c"];
            let prompts = ids.map(|id| works(&project, id));
            let tasks: Vec<(&str, &str)> = ids.into_iter().zip(prompts.iter().map(String::as_str)).collect();
            let file = project.tasks(&tasks);
            let killed = killed_again_and_again(&project, point, nth, &file);
            let status = project.query(&["status"]);
            assert_eq!(status["overall_status"], "completed", "{point}:{nth}: {status:#}");
            for id in ids {
                let about = [&task(&status, id)["outcome"], &task(&status, id)["branch"]];
                let branch = format!("main-task-{id}");
                assert_eq!(about, ["succeeded", &branch], "{point}:{nth}: {:#?}", project.journal());
                assert_eq!(
                    project.show(&format!("main-task-{id}:{id}.txt")),
                    "done\n",
                    "{point}:{nth}"
                );
                let commits = project.git(&["rev-list", "--count", &format!("main..main-task-{id}")]);
                assert_eq!(commits, "1\n", "{point}:{nth}");
            }
            let journal = project.journal();
            let ended = |id: &str| {
                let of = |record: &&Value| record["event"] == "attempt_ended" && record["task"] == id;
                journal.iter().filter(of).count()
            };
            assert!(ids.iter().all(|id| ended(id) == 1), "{point}:{nth}: {journal:#?}");
            assert_eq!(project.git(&["worktree", "list"]).lines().count(), 1, "{point}:{nth}");
            assert_eq!(project.agents(), [""; 0]);
            // Once with nobody killed it has been every one of them.
            if killed == 0 {
                break;
            }
        }
    }
}

#[test]
fn what_somebody_else_made_under_the_name_of_a_task_is_left_alone() {
    let project = Project::new();
    project.open("gate");
    let prompt = works(&project, "a");
    // The site is written down, and nothing is made.
    killed_at(&project, "journaled:1", &[("a", &prompt)], &[]);
    assert_eq!(project.git(&["branch", "--list", "main-task-a"]), "");
    let worktree = project.worktree("a");
    let at = worktree.to_str().expect("UTF-8");
    project.git(&["worktree", "add", "-q", "-b", "main-task-a", at]);
    fs::write(worktree.join("mine.txt"), "mine").expect("write");
    let status = resumed(&project, &[]);
    let branch = task(&status, "a")["branch"].as_str().expect("a branch").to_owned();
    assert!(branch.starts_with("main-task-a-"), "{branch}");
    assert_eq!(project.show(&format!("{branch}:a.txt")), "done\n");
    assert_eq!(
        fs::read_to_string(worktree.join("mine.txt")).expect("it is there"),
        "mine"
    );
    assert_eq!(
        project.git(&["rev-parse", "main-task-a"]),
        project.git(&["rev-parse", "main"])
    );
}

#[test]
fn a_supervisor_killed_while_it_settles_or_puts_away_does_so_once() {
    for point in [
        "committed:1",
        "pinned:1",
        "settled:1",
        "trashed:1",
        "journal:4",
        "journal:5",
        "trash:1",
        "trash:2",
    ] {
        let project = Project::new();
        project.open("gate");
        project.write(".gitignore", "*.log\n");
        project.git(&["add", "."]);
        project.git(&["commit", "-qm", "ignore"]);
        let prompt = format!("{}\n@write x.log ignored", works(&project, "a"));
        killed_at(&project, point, &[("a", &prompt)], &[]);
        let status = resumed(&project, &[]);
        assert_done(&project, &status, &["a"], 1);
        assert_eq!(task(&status, "a")["notes"], json!([]), "{point}");
        let pins = project.git(&["for-each-ref", "--format=%(refname)", "refs/pleach"]);
        assert!(!pins.contains("/left"), "{point}: {pins}");
        let removed = project.events("worktree_removed");
        assert_eq!(removed.len(), 1, "{point}: {:#?}", project.journal());
        assert_eq!(removed[0]["ignored"], json!(["x.log"]), "{point}");
        let trash = PathBuf::from(removed[0]["trash"].as_str().expect("a path"));
        assert!(
            trash.join("worktree/x.log").is_file() && trash.join("git/HEAD").is_file(),
            "{point}"
        );
        assert!(!project.worktree("a").exists());
        assert_eq!(project.git(&["worktree", "list"]).lines().count(), 1, "{point}");
        let settled = &project.events("task_settled")[0]["settlement"];
        assert_eq!(settled["committed_leftovers"], true, "{point}");
    }
}

#[test]
fn a_worktree_or_a_branch_that_is_gone_comes_back_with_what_was_committed() {
    // What is taken away, and what is there afterwards.
    for (line, notes) in [
        ("rm -r ../repo.pleach/main-task-a", "the worktree"),
        ("rm -r ../repo.pleach/main-task-a && git worktree prune", "the worktree"),
        (
            "git update-ref -d refs/heads/main-task-a",
            "the branch main-task-a was gone",
        ),
        (
            "rm -r ../repo.pleach/main-task-a && git update-ref -d refs/heads/main-task-a",
            "the branch main-task-a was gone",
        ),
        (
            "rm -r ../repo.pleach/main-task-a && git worktree prune && git update-ref -d refs/heads/main-task-a",
            "the branch main-task-a was gone",
        ),
    ] {
        let project = Project::new();
        let agent = project.shell_agent();
        let script = "if test -e one.txt; then echo done > a.txt; else echo one > one.txt; git add -A; git commit -qm one; exit 3; fi";
        let file = project.tasks(&[("a", script)]);
        assert_eq!(project.run(&["run", "--sync", "--claude", &agent, &file]).code(), 1);
        let tip = project.git(&["rev-parse", "main-task-a"]);
        project.sh(line);
        let status = resumed(&project, &["--retry-failed"]);
        let task = task(&status, "a");
        assert_eq!(task["outcome"], "succeeded", "{line}: {task:#}");
        assert!(task["notes"].to_string().contains(notes), "{line}: {task:#}");
        assert_eq!(project.git(&["rev-parse", "main-task-a~1"]), tip, "{line}");
        assert_eq!(project.show("main-task-a:a.txt"), "done\n");
        let pins = project.git(&["for-each-ref", "--format=%(refname)", "refs/pleach"]);
        assert!(!pins.contains("/remade"), "{pins}");
    }
}

#[test]
fn what_is_in_the_place_of_a_worktree_is_not_replaced() {
    let project = Project::new();
    let failed = project.session(&[("a", "@write a.txt one\n@fail no")], &[]);
    failed.assert_exit(1);
    let worktree = project.worktree("a");
    fs::remove_dir_all(&worktree).expect("remove it");
    project.git(&["worktree", "prune"]);
    fs::create_dir(&worktree).expect("make another");
    fs::write(worktree.join("mine.txt"), "mine").expect("write");
    let status = resumed(&project, &["--retry-failed"]);
    let task = task(&status, "a");
    assert_eq!(
        (&task["outcome"], &task["reason"], &task["branch"]),
        (&json!("failed"), &json!("provisioning"), &json!("main-task-a")),
        "{task:#}"
    );
    assert_eq!(
        fs::read_to_string(worktree.join("mine.txt")).expect("it is there"),
        "mine"
    );
    assert_eq!(project.show("main-task-a:a.txt"), "one\n");
}

#[test]
fn a_resumed_supervisor_that_is_killed_making_a_worktree_again_is_resumed_too() {
    for point in ["claimed:1", "registered:1", "checked-out:1"] {
        let project = Project::new();
        let agent = project.shell_agent();
        let script = "if test -e one.txt; then git status --porcelain > a.txt; else echo one > one.txt; exit 3; fi";
        let file = project.tasks(&[("a", script)]);
        assert_eq!(project.run(&["run", "--sync", "--claude", &agent, &file]).code(), 1);
        fs::remove_dir_all(project.worktree("a")).expect("remove it");
        let mut command = project.pleach_command(&["resume", "--retry-failed"]);
        let output = command
            .env("PLEACH_TEST_KILL", format!("{point}@supervisor"))
            .output()
            .expect("run it");
        assert!(output.status.success(), "{output:?}");
        project.until("the supervisor's end", |project| {
            (project.query(&["status"])["overall_status"] == "interrupted").then_some(())
        });
        let status = resumed(&project, &[]);
        assert_eq!(task(&status, "a")["outcome"], "succeeded", "{point}: {status:#}");
        // No agent has seen half a worktree.
        assert_eq!(project.show("main-task-a:a.txt"), "?? a.txt\n", "{point}");
        assert_eq!(project.git(&["worktree", "list"]).lines().count(), 1, "{point}");
    }
}
