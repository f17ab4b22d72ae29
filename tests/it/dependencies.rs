//! Tasks that depend on others: when they start and from what, what is skipped, and what of it merges.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Project, Ran, ran};

/// Writes a list of tasks, and gives what starts a session of it whose agents run their prompts as shell scripts.
fn arguments(project: &Project, entries: &Value, options: &[&str]) -> Vec<String> {
    let file = project.beside("tasks.json");
    fs::write(&file, json!({ "prompts": entries }).to_string()).expect("write the tasks");
    let agent = project.shell_agent();
    let arguments = [&["run", "--claude", &agent], options, &[&file]].concat();
    arguments.into_iter().map(str::to_owned).collect()
}

fn until_interrupted(project: &Project) {
    project.until("the supervisor is killed", |project| {
        (project.query(&["status"])["overall_status"] == "interrupted").then_some(())
    });
}

/// Runs such a session to its end.
pub fn session(project: &Project, entries: &Value, options: &[&str]) -> Ran {
    let arguments = arguments(project, entries, &[options, &["--sync"]].concat());
    project.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// `b` and `c` depend on `a`, `d` on both; each writes a file of its own.
pub fn diamond() -> Value {
    json!([
        { "id": "a", "prompt": "echo a >a.txt; echo from a" },
        { "id": "b", "prompt": "cat a.txt >b.txt; echo b >>b.txt", "depends_on": ["a"] },
        { "id": "c", "prompt": "test ! -e b.txt && cat a.txt >c.txt; echo c >>c.txt", "depends_on": ["a"] },
        { "id": "d", "prompt": "cat a.txt b.txt c.txt >d.txt; git add d.txt; git commit -qm own; echo d >>d.txt", "depends_on": ["c", "b"] },
    ])
}

pub fn at(project: &Project, revision: &str) -> String {
    project.git(&["rev-parse", revision]).trim().to_owned()
}

/// Of each task of the only session a value.
fn of(project: &Project, key: &str) -> Vec<Value> {
    let status = project.query(&["status"]);
    let tasks = status["tasks"].as_array().expect("tasks");
    tasks.iter().map(|task| task[key].clone()).collect()
}

#[test]
fn a_task_starts_from_all_that_it_depends_on() {
    let project = Project::new();
    let ran = session(&project, &diamond(), &[]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    let (bases, heads) = (of(&project, "base"), of(&project, "head"));
    assert_eq!(bases[0], json!(at(&project, "main")));
    // What keeps the base of the session is not taken for one of theirs.
    let id = project.query(&["status"])["session_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert_eq!(at(&project, &format!("refs/pleach/{id}/_base")), at(&project, "main"));
    assert!(of(&project, "notes").iter().all(|notes| notes == &json!([])), "{ran:?}");
    assert_eq!((&bases[1], &bases[2]), (&heads[0], &heads[0]));
    let base = bases[3].as_str().expect("a base");
    // One after the other as in the list, and not as in the entry.
    let parents = project.git(&["show", "-s", "--format=%P", base]);
    let [b, c] = [&heads[1], &heads[2]].map(|head| head.as_str().expect("a commit").to_owned());
    assert_eq!(parents.trim(), format!("{b} {c}"));
    let id = project.query(&["status"])["session_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert_eq!(at(&project, &format!("refs/pleach/{id}/d/base")), base);
    // What `git merge` gives.
    project.sh(&format!(
        "git worktree add -q --detach ../copy {b}; git -C ../copy merge -q --no-edit {c}"
    ));
    let copy = project.git_in(&project.root().join("copy"), &["rev-parse", "HEAD^{tree}"]);
    assert_eq!(copy.trim(), at(&project, &format!("{base}^{{tree}}")));
    // Only its own work counts as its own.
    assert_eq!(of(&project, "commits"), [1, 1, 1, 2]);
    assert_eq!(of(&project, "files_changed"), [1, 1, 1, 1]);
    assert_eq!(of(&project, "depends_on")[3], json!(["c", "b"]));
    assert_eq!(project.show("main-task-d:d.txt"), "a\na\nb\na\nc\nd\n");
    let shown = project.run(&["diff", &id, "d"]);
    assert!(
        shown.out().contains("d.txt") && !shown.out().contains("b.txt"),
        "{shown:?}"
    );
}

#[test]
fn the_base_of_the_session_stays_pinned_whatever_its_tasks_start_from() {
    let project = Project::new();
    let ran = session(&project, &diamond(), &[]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    let pins = project.git(&["for-each-ref", "--format=%(objectname)", "refs/pleach/*/_base"]);
    assert_eq!(pins.trim(), at(&project, "main"));
    for task in project.query(&["status"])["tasks"].as_array().expect("tasks") {
        assert_eq!(task["notes"], json!([]), "{task:#}");
    }
}

#[test]
fn nobody_is_said_to_have_deleted_what_keeps_the_base_of_the_session() {
    let project = Project::new();
    assert_eq!(session(&project, &diamond(), &[]).code(), 0);
    assert_eq!(of(&project, "notes"), vec![json!([]); 4]);
    let session = project.query(&["status"])["session_id"]
        .as_str()
        .expect("id")
        .to_owned();
    assert_eq!(
        at(&project, &format!("refs/pleach/{session}/_base")),
        at(&project, "main")
    );
}

// Fault 30: the agent deletes refs, those of pleach.
#[test]
fn the_merge_that_a_task_starts_from_is_kept_whatever_its_agent_deletes() {
    let project = Project::new();
    let deletes = "git update-ref -d refs/pleach/$PLEACH_SESSION/c/base && echo c >c.txt";
    let entries = json!([
        { "id": "a", "prompt": "echo a >a.txt" },
        { "id": "b", "prompt": "echo b >b.txt" },
        { "id": "c", "prompt": deletes, "depends_on": ["a", "b"] },
        { "id": "d", "prompt": "echo d >d.txt", "depends_on": ["c"] },
    ]);
    let ran = session(&project, &entries, &[]);
    let tasks = project.query(&["status"])["tasks"].clone();
    assert_eq!(ran.code(), 0, "{tasks:#}");
    let id = project.query(&["status"])["session_id"]
        .as_str()
        .expect("id")
        .to_owned();
    let base = at(&project, "main-task-c^");
    assert_eq!(at(&project, &format!("refs/pleach/{id}/c/base")), base);
    assert_eq!(
        tasks[2]["notes"],
        json!([format!(
            "refs that keep its work were deleted while it ran, and are there again: refs/pleach/{id}/c/base"
        )])
    );
    // What starts from one commit that others keep needs no ref of its own.
    assert_eq!(tasks[3]["notes"], json!([]));
    let pins = project.git(&["for-each-ref", "--format=%(refname)", "refs/pleach/*/d/base"]);
    assert_eq!(pins, "");
}

#[test]
fn what_its_dependencies_come_to_has_to_merge() {
    let project = Project::new();
    let entries = json!([
        { "id": "a", "prompt": "echo a >same.txt" },
        { "id": "b", "prompt": "echo b >same.txt; echo b >b.txt" },
        { "id": "c", "prompt": "echo c >c.txt" },
        { "id": "d", "prompt": "true", "depends_on": ["a", "b", "c"] },
        { "id": "e", "prompt": "true", "depends_on": ["d"] },
        { "id": "f", "prompt": "ls", "depends_on": ["b", "c"] },
    ]);
    let ran = session(&project, &entries, &[]);
    assert_eq!(ran.code(), 1, "{ran:?}");
    // The same branches would conflict again.
    let next = "2 tasks did not succeed; merge the branches that conflict by hand, and run what is left from there";
    assert!(ran.err().contains(next), "{ran:?}");
    let again = project.run(&["resume"]).err();
    assert!(again.contains(" success; merge the branches that"), "{again}");
    let status = project.query(&["status"]);
    let task = |n: usize| &status["tasks"][n];
    assert_eq!(
        (&task(3)["outcome"], &task(3)["reason"]),
        (&json!("failed"), &json!("conflict"))
    );
    assert_eq!(
        task(3)["error"],
        "the branches of what it depends on conflict: main-task-b with main-task-a in same.txt"
    );
    assert_eq!((&task(3)["branch"], &task(3)["worktree"]), (&Value::Null, &Value::Null));
    assert_eq!(
        (&task(4)["outcome"], &task(4)["reason"]),
        (&json!("skipped"), &json!("dependency"))
    );
    assert_eq!(task(5)["outcome"], "succeeded");
    assert!(!project.worktree("d").exists() && project.git(&["branch", "--list", "main-task-d"]).is_empty());
}

#[test]
fn what_depends_on_a_failure_is_skipped_and_tried_again_with_it() {
    let project = Project::new();
    let gate = project.beside("gate");
    let entries = json!([
        { "id": "backend", "prompt": format!("echo b >>b.txt; test -e {gate} || exit 3") },
        { "id": "api", "prompt": "cat b.txt >api.txt", "depends_on": ["backend"] },
        { "id": "web", "prompt": "cat api.txt >web.txt", "depends_on": ["api", "docs"] },
        { "id": "docs", "prompt": "echo docs >docs.txt" },
    ]);
    let ran = session(&project, &entries, &["--keep-going"]);
    assert_eq!(ran.code(), 1, "{ran:?}");
    assert_eq!(of(&project, "outcome"), ["failed", "skipped", "skipped", "succeeded"]);
    assert_eq!(of(&project, "success"), [false, false, false, true]);
    assert_eq!(of(&project, "reason")[1..3], ["dependency", "dependency"]);
    let errors = of(&project, "error");
    let why = errors[0].as_str().expect("an error");
    assert_eq!(errors[1], format!("it depends on backend, which failed: {why}"));
    assert_eq!(
        errors[2],
        format!("it depends on api, and that, in the end, on backend, which failed: {why}")
    );
    let status = project.query(&["status"]);
    let counts = ["completed", "successful", "failed", "skipped"].map(|key| status[key].as_u64());
    assert_eq!(counts, [4, 1, 3, 2].map(Some));
    assert_eq!(status["overall_status"], "completed");
    let shown = project.run(&["status"]);
    assert!(shown.out().contains("1 successful, 1 failed, 2 skipped"), "{shown:?}");
    assert!(
        shown.out().contains("dependency: it depends on backend, which failed"),
        "{shown:?}"
    );
    for command in ["results", "overview", "list", "plan", "logs"] {
        let arguments = match command {
            "logs" => vec!["logs", "web"],
            command => vec![command],
        };
        let ran = project.run(&arguments);
        assert!(ran.code() <= 1, "{command}: {ran:?}");
    }
    assert_eq!(project.run(&["wait"]).code(), 1);
    project.open("gate");
    let again = project.run(&["resume", "--retry-failed", "--sync"]);
    assert_eq!(again.code(), 0, "{again:?}");
    assert_eq!(of(&project, "outcome"), ["succeeded"; 4]);
    assert_eq!(project.show("main-task-web:web.txt"), "b\nb\n");
    assert_eq!(of(&project, "attempts"), [2, 1, 1, 1]);
}

#[test]
fn with_fail_fast_the_first_failure_ends_the_session_and_what_it_ended_can_go_on() {
    let project = Project::new();
    let gate = project.beside("gate");
    let runs = project.beside("runs");
    let entries = json!([
        { "id": "slow", "prompt": format!("echo half >half.txt; touch {runs}; while test ! -e {gate}; do sleep 0.05; done") },
        { "id": "bad", "prompt": format!("while test ! -e {runs}; do sleep 0.05; done; test -e {gate}") },
        { "id": "after", "prompt": "true", "depends_on": ["bad"] },
        { "id": "later", "prompt": "true" },
        { "id": "on-slow", "prompt": "cat half.txt", "depends_on": ["slow"] },
    ]);
    let ran = session(&project, &entries, &["--fail-fast", "--max-parallel", "2"]);
    assert_eq!(ran.code(), 1, "{ran:?}");
    let status = project.query(&["status"]);
    assert_eq!(status["overall_status"], "stopped", "{status:#}");
    assert_eq!(status["error"], "task bad failed (--fail-fast)");
    assert_eq!(
        of(&project, "outcome"),
        json!(["stopped", "failed", "skipped", null, null])
            .as_array()
            .unwrap()
            .clone()
    );
    assert_eq!(of(&project, "error")[0], "stopped: task bad failed (--fail-fast)");
    assert_eq!(of(&project, "status")[3..], ["pending", "pending"]);
    // Its work is kept.
    assert_eq!(project.show("main-task-slow:half.txt"), "half\n");
    assert!(
        project
            .run(&["status"])
            .out()
            .contains("\n  task bad failed (--fail-fast)\n")
    );
    project.open("gate");
    let again = project.run(&["resume", "--retry-failed", "--sync"]);
    assert_eq!(again.code(), 0, "{again:?}");
    assert_eq!(of(&project, "outcome"), ["succeeded"; 5]);
}

#[test]
fn a_session_that_ended_by_its_first_failure_goes_on_with_what_waits() {
    let project = Project::new();
    let entries = json!([
        { "id": "bad", "prompt": "false" },
        { "id": "after", "prompt": "true", "depends_on": ["bad"] },
        { "id": "later", "prompt": "true" },
    ]);
    let ran = session(&project, &entries, &["--fail-fast", "--max-parallel", "1"]);
    assert_eq!(ran.code(), 1, "{ran:?}");
    assert_eq!(
        of(&project, "outcome"),
        json!(["failed", "skipped", null]).as_array().unwrap().clone()
    );
    assert_eq!(project.run(&["resume", "--sync"]).code(), 1);
    assert_eq!(of(&project, "outcome"), ["failed", "skipped", "succeeded"]);
    assert_eq!(project.query(&["status"])["overall_status"], "completed");
}

#[test]
fn priority_decides_and_then_the_longest_chain() {
    let project = Project::new();
    let entries = json!([
        { "id": "plain", "prompt": "true" },
        { "id": "end", "prompt": "true", "depends_on": ["start"] },
        { "id": "start", "prompt": "true" },
        { "id": "urgent", "prompt": "true", "priority": 5 },
        { "id": "last", "prompt": "true", "priority": -1 },
    ]);
    assert_eq!(session(&project, &entries, &["--max-parallel", "1"]).code(), 0);
    let started = project.events("attempt_started");
    let order: Vec<&str> = started.iter().filter_map(|event| event["task"].as_str()).collect();
    assert_eq!(order, ["urgent", "start", "plain", "end", "last"]);
}

#[test]
fn independent_branches_of_the_graph_run_side_by_side() {
    let project = Project::new();
    let (one, other) = (project.beside("one"), project.beside("other"));
    // Each waits for the other to be there.
    let meet = |mine: &str, theirs: &str| format!("touch {mine}; while test ! -e {theirs}; do sleep 0.05; done");
    let entries = json!([
        { "id": "a", "prompt": "true" },
        { "id": "b", "prompt": meet(&one, &other), "depends_on": ["a"] },
        { "id": "c", "prompt": meet(&other, &one), "depends_on": ["a"] },
    ]);
    assert_eq!(session(&project, &entries, &[]).code(), 0);
}

#[test]
fn answers_stand_in_the_prompts_of_those_that_depend_on_them() {
    let project = Project::new();
    let entries = json!([
        { "id": "a", "prompt": "printf 'one {{%s a}}\\n' answer" },
        { "id": "b", "prompt": "printf 'tw\\377o'", "depends_on": ["a"] },
        { "id": "silent", "prompt": "true" },
        { "id": "c", "prompt": "cat >c.txt <<'END'\n{{answer a}}|{{ answer b }}|{{answers other}}|{{answer silent}}|\nEND", "depends_on": ["b", "silent"] },
    ]);
    let ran = session(&project, &entries, &[]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    let text = project.show("main-task-c:c.txt");
    assert_eq!(
        text.split_whitespace().collect::<Vec<_>>().join(" "),
        "one {{answer a}} |tw\u{fffd}o|{{answers other}}||"
    );
}

#[test]
fn a_prompt_that_its_answers_make_too_long_fails_its_task() {
    let project = Project::new();
    let entries = json!([
        { "id": "a", "prompt": "head -c 6000000 /dev/zero | tr '\\0' x" },
        { "id": "b", "prompt": ": {{answer a}} {{answer a}}", "depends_on": ["a"] },
    ]);
    assert_eq!(session(&project, &entries, &[]).code(), 1);
    assert_eq!(of(&project, "outcome"), ["succeeded", "failed"]);
    let error = of(&project, "error")[1].clone();
    assert_eq!(
        error,
        "with the answers of a its prompt is longer than the 10 MB that an agent takes"
    );
    assert!(!project.worktree("b").exists());
}

#[test]
fn a_condition_that_does_not_hold_skips_its_task_and_is_no_failure() {
    let project = Project::new();
    let seen = project.beside("seen");
    let entries = json!([
        { "id": "review", "prompt": "echo LGTM" },
        { "id": "more", "prompt": "echo and more" },
        { "id": "fix", "prompt": "echo fix >fix.txt", "depends_on": ["more", "review"],
          "run_if": format!("cat >{seen}; grep -q PROBLEM {seen}") },
        { "id": "after", "prompt": "true", "depends_on": ["fix"] },
        { "id": "praise", "prompt": "echo {{answer review}} >p.txt", "depends_on": ["review"], "run_if": "grep -q LGTM" },
    ]);
    let ran = session(&project, &entries, &[]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert_eq!(fs::read_to_string(&seen).expect("a file"), "and more\n\nLGTM\n\n");
    assert_eq!(
        of(&project, "outcome"),
        ["succeeded", "succeeded", "skipped", "skipped", "succeeded"]
    );
    assert_eq!(of(&project, "success")[2..4], [Value::Null, Value::Null]);
    assert_eq!(of(&project, "reason")[2..4], ["condition", "condition"]);
    let status = project.query(&["status"]);
    assert_eq!(
        (&status["failed"], &status["skipped"], &status["completed"]),
        (&json!(0), &json!(2), &json!(5))
    );
    // Nothing of it stays.
    assert_eq!(
        (&of(&project, "branch")[2], &of(&project, "worktree")[2]),
        (&Value::Null, &Value::Null)
    );
    assert!(!project.worktree("fix").exists() && project.git(&["branch", "--list", "main-task-fix"]).is_empty());
    assert!(!project.git(&["for-each-ref", "refs/pleach"]).contains("/fix/"));
    let again = project.run(&["resume", "--retry-failed"]);
    assert!(
        again.code() == 0 && again.err().contains("skipped by a condition"),
        "{again:?}"
    );
    assert_eq!(project.run(&["wait"]).code(), 0);
}

#[test]
fn without_worktrees_dependencies_only_order() {
    let project = Project::new();
    let entries = json!([
        { "id": "c", "prompt": "cat a.txt b.txt >c.txt", "depends_on": ["a", "b"] },
        { "id": "b", "prompt": "cat a.txt >b.txt", "depends_on": ["a"] },
        { "id": "a", "prompt": "echo a >a.txt" },
    ]);
    assert_eq!(session(&project, &entries, &["--no-worktree"]).code(), 0);
    assert_eq!(
        fs::read_to_string(project.repo().join("c.txt")).expect("a file"),
        "a\na\n"
    );
}

// Fault 1: the supervisor is killed between any two steps of making what a task starts from.
#[test]
fn what_a_task_starts_from_is_the_same_after_a_crash_at_any_step() {
    for point in [
        "combined:1",
        "base-pinned:1",
        "claimed:4",
        "branched:4",
        "registered:4",
        "checked-out:4",
        "go:4",
    ] {
        let project = Project::new();
        let arguments = arguments(&project, &diamond(), &["--max-parallel", "1"]);
        let mut command = project.pleach_command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        command.env("PLEACH_TEST_KILL", format!("{point}@supervisor"));
        command.output().expect("run pleach");
        until_interrupted(&project);
        let ran = project.run(&["resume", "--sync"]);
        assert_eq!(ran.code(), 0, "{point}: {ran:?}");
        let bases: Vec<String> = (project.events("task_preparing").iter())
            .filter(|event| event["task"] == "d")
            .filter_map(|event| event["site"]["base"].as_str().map(str::to_owned))
            .collect();
        assert!(
            !bases.is_empty() && bases.iter().all(|base| *base == bases[0]),
            "{point}: {bases:?}"
        );
        let id = project.query(&["status"])["session_id"]
            .as_str()
            .expect("an id")
            .to_owned();
        assert_eq!(at(&project, &format!("refs/pleach/{id}/d/base")), bases[0], "{point}");
        assert_eq!(project.show("main-task-d:d.txt"), "a\na\nb\na\nc\nd\n", "{point}");
        let runs = of(&project, "attempts");
        assert_eq!(runs[..3], [1, 1, 1], "{point}");
    }
}

#[test]
fn a_specification_that_makes_no_sense_is_an_error_that_names_it() {
    let project = Project::new();
    let entries = json!([{ "id": "a", "prompt": "true" }, { "id": "b", "prompt": "true", "depends_on": ["a"] }]);
    assert_eq!(session(&project, &entries, &[]).code(), 0);
    let path = project.session_dir().join("session.json");
    let mut spec: Value = serde_json::from_str(&fs::read_to_string(&path).expect("a session")).expect("JSON");
    spec["tasks"][0]["options"] = json!({ "depends_on": ["b"] });
    fs::write(&path, spec.to_string()).expect("write the session");
    let ran = project.run(&["status"]);
    ran.assert_refused(3, &["session.json: tasks depend on each other: a -> b -> a"]);
}

#[test]
fn a_git_that_cannot_merge_what_a_task_starts_from_is_refused_up_front() {
    let project = Project::new();
    let git = project.sh("command -v git").trim().to_owned();
    let script = format!("[ \"$1\" = --version ] && exec echo git version 2.40.1\nexec {git} \"$@\"");
    fs::create_dir(project.root().join("old")).expect("make a directory");
    project.program("old/git", &script);
    let run = |entries: &Value| {
        let arguments = arguments(&project, entries, &["--sync"]);
        let mut command = project.pleach_command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let path = std::env::var("PATH").expect("PATH");
        command.env("PATH", format!("{}:{path}", project.beside("old")));
        ran(&mut command)
    };
    let refused = run(&diamond());
    refused.assert_refused(
        2,
        &[
            "git 2.40 cannot merge what task 4 depends on",
            "2.41 or newer",
            "upgrade git",
        ],
    );
    assert!(!project.repo().join(".git/pleach/results").exists());
    // One after the other they need no merge.
    let chain = json!([{ "id": "a", "prompt": "echo a >a" }, { "id": "b", "prompt": "cat a", "depends_on": ["a"] }]);
    assert_eq!(run(&chain).code(), 0);
}
