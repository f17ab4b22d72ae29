//! Tasks for which no agent ran: because their condition does not hold, or their setup failed. What the commands before
//! the agent leave is kept, and what is shown is that there was no agent.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Ended, Project, ran};

/// A task for each condition, with its id.
fn list(project: &Project, conditions: &[(&str, &str)]) -> String {
    let entry = |(id, run_if): &(&str, &str)| json!({ "id": id, "prompt": "@say no", "run_if": run_if });
    let entries: Vec<Value> = conditions.iter().map(entry).collect();
    let file = project.beside("tasks.json");
    fs::write(&file, json!({ "prompts": entries }).to_string()).expect("write the tasks");
    file
}

fn session(project: &Project, conditions: &[(&str, &str)], options: &[&str]) -> Ended {
    let file = list(project, conditions);
    let arguments = [&["run", "--sync", "--agent", "scripted"], options, &[&file]].concat();
    project.ended(&project.pleach(&arguments))
}

/// Whether nothing is left of a task but its record.
fn assert_undone(project: &Project, task: &Value) {
    let id = task["transaction_id"].as_str().expect("an id");
    assert_eq!(
        (&task["outcome"], &task["reason"]),
        (&json!("skipped"), &json!("condition")),
        "{task}"
    );
    assert_eq!(
        (&task["branch"], &task["worktree"], &task["notes"]),
        (&Value::Null, &Value::Null, &json!([])),
        "{task}"
    );
    assert!(!project.worktree(id).exists(), "{id}");
    let branch = format!("main-task-{id}");
    assert_eq!(project.git(&["branch", "--list", &branch]), "", "{id}");
    let worktrees = project.git(&["worktree", "list", "--porcelain"]);
    assert!(!worktrees.contains(&branch), "{id}: {worktrees}");
    let kept = project.git(&["for-each-ref", "refs/pleach"]);
    assert!(!kept.contains(&format!("/{id}/")), "{id}: {kept}");
}

const COMMIT: &str = "echo more >more.txt; git add more.txt; git commit -qm more";

#[test]
fn what_a_condition_leaves_is_kept_and_said() {
    let project = Project::new();
    let (commits, both) = (format!("{COMMIT}; false"), format!("{COMMIT}; echo l >left.txt; false"));
    let ended = session(
        &project,
        &[
            ("leaves", "echo left >left.txt; false"),
            ("commits", &commits),
            ("both", &both),
        ],
        &[],
    );
    ended.assert_exit(0);
    let status = project.run(&["status"]).out();
    let clean = project.run(&["clean", "--dry-run"]).out();
    for (id, files, number) in [
        ("leaves", "left.txt\n", 1),
        ("commits", "more.txt\n", 1),
        ("both", "left.txt\nmore.txt\n", 2),
    ] {
        let task = ended.task(id);
        let branch = format!("main-task-{id}");
        assert_eq!(
            (&task["outcome"], &task["success"], &task["reason"]),
            (&json!("skipped"), &Value::Null, &json!("condition"))
        );
        assert_eq!(
            (&task["branch"], &task["commits"], &task["worktree"]),
            (&json!(branch), &json!(number), &Value::Null)
        );
        let note = format!("it was skipped, and what a command before its agent has left is kept on {branch}");
        assert_eq!(task["notes"], json!([note]));
        assert_eq!(project.changed_in(&branch), files);
        let pinned = project.git(&[
            "for-each-ref",
            "--format=%(objectname)",
            &format!("refs/pleach/*/{id}/head"),
        ]);
        assert_eq!(json!(pinned.trim()), task["head"]);
        assert!(
            status.contains(&note) && status.contains(&format!("  {branch}  {number} commit")),
            "{status}"
        );
        assert!(
            clean.contains(&format!("stays   branch     {branch}: {number} commit")),
            "{clean}"
        );
        assert_eq!(
            ended.result(id)["files"].as_array().expect("files").len(),
            files.lines().count()
        );
    }
    // Nobody has asked for it: it merges nowhere.
    let plan = project.run(&["plan"]).out();
    assert!(
        plan.contains("not in the plan (3 skipped)") && !plan.contains("main-task-"),
        "{plan}"
    );
}

#[test]
fn a_commit_that_a_condition_takes_back_is_pinned() {
    let project = Project::new();
    let back = format!("{COMMIT}; git rev-parse HEAD >../../was; git reset -q --hard HEAD~; false");
    let ended = session(&project, &[("one", &back)], &[]);
    ended.assert_exit(0);
    let was = fs::read_to_string(project.beside("was")).expect("a commit");
    let pinned = project.git(&[
        "for-each-ref",
        "--format=%(objectname) %(refname)",
        "refs/pleach/*/one/left/*",
    ]);
    assert!(
        pinned.starts_with(was.trim()) && pinned.ends_with("/one/left/1\n"),
        "{pinned}"
    );
    let task = ended.task("one");
    assert_eq!((&task["outcome"], &task["head"]), (&json!("skipped"), &task["base"]));
    let note = format!(
        "a command before its agent had dropped the commit {}; it is kept as",
        was.trim()
    );
    assert!(ended.notes("one").contains(&note), "{task}");
    let recover = project.run(&["recover"]).out();
    assert!(recover.contains("left/1") && recover.contains(&was[..7]), "{recover}");
    assert!(
        project
            .run(&["clean", "--dry-run"])
            .out()
            .contains("goes    branch     main-task-one")
    );
}

#[test]
fn of_a_condition_that_leaves_nothing_nothing_stays_whatever_it_did() {
    let project = Project::new();
    project.write(".gitignore", "target/\n");
    project.git(&["add", ".gitignore"]);
    project.git(&["commit", "-qm", "ignore"]);
    let ended = session(
        &project,
        &[
            ("nothing", "false"),
            ("ignored", "mkdir target; echo x >target/x; false"),
            ("undoes", "echo x >new; rm new; false"),
            ("looks", "git checkout -q --detach; git checkout -q -; false"),
            ("removes", "rm -rf \"$PWD\"; false"),
        ],
        &[],
    );
    ended.assert_exit(0);
    for task in ended.status["tasks"].as_array().expect("tasks") {
        assert_undone(&project, task);
    }
    let clean = project.run(&["clean", "--dry-run"]).out();
    assert!(!clean.contains("main-task-"), "{clean}");
}

// Fault 1: the supervisor is killed between any two steps of undoing what was made for a task that is not wanted.
#[test]
fn what_was_made_for_a_task_that_is_not_wanted_is_undone_after_a_crash_at_any_step() {
    let commits = format!("{COMMIT}; false");
    for point in ["trash:1", "trash:2", "trashed:1", "undone:1"] {
        let project = Project::new();
        let file = list(&project, &[("one", "false")]);
        let mut command = project.pleach_command(&["run", "--sync", "--agent", "scripted", &file]);
        ran(command.env("PLEACH_TEST_KILL", format!("{point}@supervisor")));
        assert_eq!(project.query(&["status"])["overall_status"], "interrupted", "{point}");
        let again = project.run(&["resume", "--sync"]);
        assert_eq!(again.code(), 0, "{point}: {again:?}");
        assert_undone(&project, &project.query(&["status"])["tasks"][0]);
    }
    for point in ["committed:1", "pinned:1", "settled:1", "trash:1"] {
        let project = Project::new();
        let file = list(&project, &[("one", &commits)]);
        let mut command = project.pleach_command(&["run", "--sync", "--agent", "scripted", &file]);
        ran(command.env("PLEACH_TEST_KILL", format!("{point}@supervisor")));
        let again = project.run(&["resume", "--sync"]);
        assert_eq!(again.code(), 0, "{point}: {again:?}");
        let task = &project.query(&["status"])["tasks"][0];
        assert_eq!(
            (&task["outcome"], &task["commits"]),
            (&json!("skipped"), &json!(1)),
            "{point}"
        );
        assert_eq!(task["notes"].as_array().map(Vec::len), Some(1), "{point}: {task}");
        assert_eq!(project.changed_in("main-task-one"), "more.txt\n", "{point}");
        assert!(!project.worktree("one").exists(), "{point}");
    }
}

#[test]
fn what_is_shown_is_that_no_agent_ran() {
    let project = Project::new();
    let file = project.beside("tasks.json");
    let line = |id: &str| format!("echo {id} $PLEACH_ATTEMPTS >>{}", project.beside("made"));
    let entries = json!([
        { "id": "not", "prompt": "@say no", "run_if": "false", "on_done": line("not") },
        { "id": "setup", "prompt": "@say no", "setup": "echo x >x; exit 4", "retry": 1, "on_done": line("setup") },
    ]);
    fs::write(&file, json!({ "prompts": entries }).to_string()).expect("write the tasks");
    let ended = project.ended(&project.pleach(&[
        "run",
        "--sync",
        "--agent",
        "scripted",
        "--max-parallel",
        "1",
        "--retry-delay",
        "0s",
        &file,
    ]));
    ended.assert_exit(1);
    for (id, attempts) in [("not", 0), ("setup", 2)] {
        for told in [ended.task(id), ended.result(id)] {
            assert_eq!(
                (&told["attempts"], &told["agent_runs"], &told["cost_usd"]),
                (&json!(attempts), &json!(0), &Value::Null),
                "{id}"
            );
        }
    }
    let results = project.run(&["results"]).out();
    let took: Vec<&str> = (results.lines().filter(|line| line.trim_start().starts_with("took ")))
        .map(|line| line.split_once(", ").expect("more than the time").1)
        .collect();
    assert_eq!(took, ["no agent ran", "2 attempts, no agent ran"], "{results}");
    let status = project.run(&["status"]).out();
    assert!(
        status.contains("2 attempts, no agent ran") && !status.contains("1 attempt"),
        "{status}"
    );
    let log = project.run(&["logs", "--session"]).out();
    let ends: Vec<&str> = log.lines().filter(|line| line.contains(": attempt ends: ")).collect();
    assert!(
        ends.len() == 3 && ends.iter().all(|line| line.ends_with(", no agent ran")),
        "{log}"
    );
    let about = project.run(&["logs", "setup"]).err();
    assert!(
        about.contains("task setup failed before its agent began: setup: "),
        "{about}"
    );
    assert_eq!(project.query(&["overview"])["agent_seconds"], 0.0);
    let made = fs::read_to_string(project.beside("made")).expect("what was told");
    assert_eq!(made, "not 0\nsetup 2\n");
}
