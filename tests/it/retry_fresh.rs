//! `--retry-fresh`: each retry starts from the base again, in a new conversation; what the attempt before has left is kept
//! first, and a crash at any step of that loses nothing.

use std::fs;

use serde_json::{Value, json};

use crate::resume::resumed;
use crate::retry::{conversations, request};
use crate::support::Project;

/// The first time it commits, leaves something uncommitted and something ignored, and fails; the second time it writes down
/// what it has found.
fn script(project: &Project) -> String {
    let [second, seen] = ["second", "seen"].map(|name| project.beside(name));
    format!(
        "if [ -e {second} ]; then ls -A >{seen}; echo fine >good.txt; exit 0; fi; touch {second}; echo one >a.txt; \
         git add a.txt; git commit -qm mine; echo two >left.txt; echo three >noise.log; exit 3"
    )
}

fn project() -> Project {
    let project = Project::new();
    project.write(".gitignore", "*.log\n");
    project.sh("git add .gitignore && git commit -qm ignore");
    project
}

/// What is kept of the task under the number of its first attempt.
fn kept(project: &Project) -> String {
    let refs = project.git(&["for-each-ref", "--format=%(refname)", "refs/pleach/*/a/attempt/*"]);
    let name = refs.trim_end().to_owned();
    assert!(name.ends_with("/a/attempt/1"), "{refs}");
    name
}

/// The retry started from the base, and what was there before is kept.
#[track_caller]
fn assert_fresh(project: &Project, status: &Value) {
    let task = &status["tasks"][0];
    assert_eq!(task["outcome"], "succeeded", "{task:#}");
    assert_eq!(task["notes"], json!([]), "{task:#}");
    assert_eq!(project.changed_in("main-task-a"), "good.txt\n");
    let seen = fs::read_to_string(project.root().join("seen")).expect("what the second saw");
    assert_eq!(seen, ".git\n.gitignore\nREADME.md\n");
    let kept = kept(project);
    assert_eq!(project.git(&["show", &format!("{kept}:left.txt")]), "two\n");
    assert_eq!(project.git(&["show", &format!("{kept}:a.txt")]), "one\n");
    assert_eq!(
        project.git(&["log", "-1", "--format=%s", &format!("{kept}^")]),
        "mine\n"
    );
    let left = project.git(&["for-each-ref", "--format=%(refname)", "refs/pleach/*/a/left/*"]);
    assert_eq!(left, "");
    let trash = project.sh(&format!(
        "cat {}/.trash/*/worktree/noise.log",
        project.worktrees().display()
    ));
    assert_eq!(trash, "three\n");
    assert_eq!(project.git(&["status", "--porcelain"]), "");
}

#[test]
fn it_starts_from_the_base_and_the_earlier_work_is_kept() {
    let project = project();
    let script = script(&project);
    let options = ["--retry", "1", "--retry-delay", "0", "--retry-fresh"];
    let ended = project.shell_session(&[("a", &script)], &options);
    ended.assert_exit(0);
    assert_fresh(&project, &ended.status);
    let conversations = conversations(&project, "a");
    assert!(conversations[0].0 != conversations[1].0 && !conversations[1].1);
    let second = request(&project, "a", 2);
    assert_eq!(second["stdin"], script.as_str());
    assert!(
        second["args"]
            .to_string()
            .contains("Nothing of it is here: you start where it started.")
    );
    let listed = project.query(&["recover"]);
    let work = listed["tasks"][0]["kept"].as_array().expect("what is kept").iter();
    let found: Vec<&Value> = work.filter(|work| work["name"] == "attempt/1").collect();
    assert_eq!(found.len(), 1, "{listed:#}");
    assert_eq!(
        (&found[0]["what"], &found[0]["files_changed"]),
        (&json!("its files at the end of an attempt"), &json!(2))
    );
    let restored = project.run(&["recover", "--to", "back", "--from", "attempt/1"]);
    assert_eq!(restored.code(), 0, "{restored:?}");
    assert_eq!(project.show("back:left.txt"), "two\n");
}

#[test]
fn a_crash_at_any_step_loses_nothing() {
    for point in [
        "kept:1",
        "trash:1",
        "trash:2",
        "trashed:1",
        "put-away:1",
        "moved-back:1",
        "claimed:2",
        "registered:2",
        "checked-out:2",
    ] {
        let project = project();
        let script = script(&project);
        let (agent, file) = (project.shell_agent(), project.tasks(&[("a", &script)]));
        let options = ["--retry", "1", "--retry-delay", "0", "--retry-fresh"];
        let mut run = project.pleach_command(&[&["run", "--claude", &agent], &options[..], &[&file]].concat());
        let output = run.env("PLEACH_TEST_KILL", format!("{point}@supervisor")).output();
        assert!(output.expect("run pleach").status.success());
        project.until(point, |project| {
            (project.query(&["status"])["overall_status"] == "interrupted").then_some(())
        });
        let status = resumed(&project, &[]);
        assert_fresh(&project, &status);
        assert_eq!(status["tasks"][0]["attempts"], 2, "{point}");
    }
}

#[test]
fn what_would_be_lost_stays_and_the_task_says_why() {
    let project = project();
    let script = "mkdir sub; cd sub; git init -q; git commit -q --allow-empty -m inner; echo x >file; exit 3";
    let options = ["--retry", "1", "--retry-delay", "0", "--retry-fresh"];
    let ended = project.shell_session(&[("a", script)], &options);
    ended.assert_exit(1);
    ended.assert_failed("a", "provisioning");
    let error = ended.task("a")["error"].as_str().expect("an error");
    assert!(
        error.contains("cannot be made anew: it holds another git repository"),
        "{error}"
    );
    assert_eq!(
        fs::read_to_string(project.worktree("a").join("sub/file")).expect("the file"),
        "x\n"
    );
}

#[test]
fn without_worktrees_there_is_no_base_to_start_from() {
    let project = Project::new();
    let file = project.tasks(&[("a", "@say hi")]);
    let ran = project.run(&["run", "--agent", "scripted", "--no-worktree", "--retry-fresh", &file]);
    assert_eq!(ran.code(), 2, "{ran:?}");
}
