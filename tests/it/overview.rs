//! All sessions together: what is counted, what is not, and what is said of what cannot be counted.
//!
//! Sizes are held against `du`, which counts as the overview does.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::{Project, Ran};

fn number(overview: &Value, path: &str) -> u64 {
    let value = overview.pointer(path).and_then(Value::as_u64);
    value.unwrap_or_else(|| panic!("no number {path} in {overview:#}"))
}

/// What `du` says of some paths in the repository, which the shell may expand.
fn du(project: &Project, paths: &str) -> u64 {
    let line = format!("du -sc --block-size=1 {paths} | tail -1 | cut -f1");
    project.sh(&line).trim().parse().expect("a number")
}

fn lines(ran: &Ran) -> String {
    assert_eq!(ran.code(), 0, "{ran:?}");
    ran.out()
}

#[test]
fn without_a_session_everything_is_nothing() {
    let project = Project::new();
    let overview = project.query(&["overview"]);
    assert_eq!(overview["schema"], 1);
    for path in [
        "/sessions",
        "/sessions_by_state/running",
        "/sessions_by_state/unreadable",
        "/tasks/total",
        "/tasks/pending",
        "/disk_bytes",
        "/disk/worktrees",
        "/disk/trash",
        "/disk/results",
    ] {
        assert_eq!(number(&overview, path), 0, "{path}");
    }
    assert_eq!(overview["success_rate"], Value::Null);
    assert_eq!(
        (&overview["cost_usd"], &overview["agent_seconds"]),
        (&0.0.into(), &0.0.into())
    );
    let ran = project.run(&["overview"]);
    assert!(lines(&ran).contains("no task is settled"), "{ran:?}");
    assert_eq!(ran.err(), "");
    assert!(!project.repo().join(".git/pleach").exists());
    // Outside of a repository too.
    let empty = Project::empty();
    assert_eq!(number(&empty.query(&["overview"]), "/sessions"), 0);
}

#[test]
fn sessions_tasks_cost_and_time_are_added_up() {
    let project = Project::new();
    let first = [
        ("a", "@write a.txt 1"),
        ("b", "@fail no"),
        ("c", "@sleep 300ms\n@say hi"),
    ];
    project.session(&first, &[]).assert_exit(1);
    project.session(&[("d", "@write d.txt 1")], &[]).assert_exit(0);
    let gate = project.beside("gate");
    let waits = format!("@wait {gate}");
    let stopped = project.start(&[("e", &waits), ("f", "@say never")], &["--max-parallel", "1"]);
    project.until_it_runs(&stopped);
    assert_eq!(project.run(&["stop", "--now", &stopped]).code(), 0);
    let running = project.start(&[("g", &waits), ("h", "@say later")], &["--max-parallel", "1"]);
    project.until_it_runs(&running);

    let overview = project.query(&["overview"]);
    let states = overview["sessions_by_state"].to_string();
    assert_eq!(
        states,
        r#"{"completed":2,"error":0,"interrupted":0,"running":1,"stopped":1,"unreadable":0}"#
    );
    let tasks = overview["tasks"].to_string();
    assert_eq!(
        tasks,
        r#"{"failed":2,"pending":2,"running":1,"skipped":0,"successful":3,"total":8}"#
    );
    assert_eq!(
        (number(&overview, "/sessions"), &overview["success_rate"]),
        (4, &0.6.into())
    );
    // Each of those that ended by themselves says that it cost a cent.
    let status = |id: &str| project.query(&["status", id]);
    let sessions = project.query(&["list"]);
    let all: Vec<Value> = (sessions["sessions"].as_array().into_iter().flatten())
        .map(|session| status(session["session_id"].as_str().expect("an id")))
        .collect();
    let cost: f64 = all
        .iter()
        .flat_map(|doc| doc["tasks"].as_array().into_iter().flatten())
        .filter_map(|task| task["cost_usd"].as_f64())
        .sum();
    let counted = overview["cost_usd"].as_f64().expect("a number");
    assert!(cost > 0.03 && (counted - cost).abs() < 1e-9, "{counted} {cost}");
    let seconds = overview["agent_seconds"].as_f64().expect("a number");
    assert!((0.3..110.0).contains(&seconds), "{seconds}");
    // One that runs has run for longer now.
    let later = project.until("more time", |project| {
        let now = project.query(&["overview"])["agent_seconds"].as_f64()?;
        (now > seconds).then_some(now)
    });
    assert!(later < 110.0, "{later}");

    let text = lines(&project.run(&["overview"]));
    for part in [
        "4: 1 running, 2 completed, 1 stopped",
        "8: 3 successful, 2 failed or stopped, 1 running, 2 not begun",
        "60 % of 5 settled tasks",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    project.open("gate");
    assert_eq!(project.run(&["wait", &running]).code(), 0);
    let overview = project.query(&["overview"]);
    assert_eq!(number(&overview, "/sessions_by_state/completed"), 3);
    assert_eq!(number(&overview, "/tasks/successful"), 5);
}

#[test]
fn an_unreadable_session_is_counted_and_named_and_the_rest_is_shown() {
    let project = Project::new();
    project.session(&[("a", "@say hi")], &[]).assert_exit(0);
    let bad = "11111111-0000-4000-8000-000000000000";
    let results = project.repo().join(".git/pleach/results");
    fs::create_dir(results.join(format!("session-{bad}"))).expect("make a directory");
    for json in [&["overview"][..], &["overview", "--json"]] {
        let ran = project.run(json);
        assert_eq!(ran.code(), 0, "{ran:?}");
        let err = ran.err();
        for part in ["warning:", bad, "session.json", "No such file"] {
            assert!(err.contains(part), "{part:?} is not in: {err}");
        }
    }
    let overview = project.run(&["overview", "--json"]).json();
    assert_eq!(number(&overview, "/sessions"), 2);
    assert_eq!(number(&overview, "/sessions_by_state/unreadable"), 1);
    assert_eq!(number(&overview, "/sessions_by_state/completed"), 1);
    assert_eq!(number(&overview, "/tasks/total"), 1);
}

#[test]
fn disk_is_what_is_allocated_and_only_for_what_is_pleachs() {
    let project = Project::new();
    // The worktrees are in a directory of the user's, with the user's own things, also in what is called like the trash.
    let mine = project.root().join("mine");
    fs::create_dir_all(mine.join(".trash/notes")).expect("make directories");
    for file in ["big", ".trash/notes/big"] {
        fs::write(mine.join(file), vec![1; 3 << 20]).expect("write a file");
    }
    let hole = "@run mkdir x; cd x; echo \"*\" >.gitignore; head -c 200000 /dev/urandom >full; truncate -s 5G hole; ln full again; ln -s / out; ln -s . circle";
    let options = ["--worktree-dir", "../mine"];
    // The first is kept, because it failed; the second goes to the trash.
    project
        .session(
            &[("kept", &format!("{hole}\n@fail no")), ("gone", "@write a.txt 1")],
            &options,
        )
        .assert_exit(1);
    let kept = project.query(&["status"])["tasks"][0]["worktree"].clone();
    assert_eq!(kept, mine.join("main-task-kept").to_str().expect("UTF-8"));
    // Some file systems say what a file takes only once it has been written out.
    project.sh("sync -f .");
    let overview = project.query(&["overview"]);
    let (worktrees, trash) = (number(&overview, "/disk/worktrees"), number(&overview, "/disk/trash"));
    assert_eq!(worktrees, du(&project, "../mine/main-task-kept"));
    assert_eq!(trash, du(&project, "../mine/.trash/main-task-gone.*"));
    assert!(
        worktrees > 200_000 && trash > 0 && worktrees + trash < 2 << 20,
        "{overview:#}"
    );
    let results = du(&project, ".git/pleach/results") + du(&project, "../mine/.shared/*");
    assert_eq!(number(&overview, "/disk/results"), results);
    let sum: u64 = ["worktrees", "trash", "results"]
        .map(|part| number(&overview, &format!("/disk/{part}")))
        .iter()
        .sum();
    assert_eq!(number(&overview, "/disk_bytes"), sum);

    // A second session that knows the same place does not make it larger.
    let results = project.repo().join(".git/pleach/results");
    let first = project.query(&["list"])["sessions"][0]["session_id"].clone();
    let (first, second) = (first.as_str().expect("an id"), "11111111-0000-4000-8000-000000000000");
    project.sh(&format!(
        "cd {}; cp -a session-{first} session-{second}; sed -i s/{first}/{second}/ session-{second}/session.json",
        results.display()
    ));
    let overview = project.query(&["overview"]);
    assert_eq!(number(&overview, "/sessions"), 2);
    assert_eq!(number(&overview, "/disk/worktrees"), worktrees);
    assert_eq!(number(&overview, "/disk/trash"), trash);
}

#[test]
fn what_cannot_be_measured_is_named() {
    let project = Project::unprivileged();
    let ended = project.session(&[("kept", "@run mkdir closed; echo x >closed/file\n@fail no")], &[]);
    ended.assert_exit(1);
    let closed = project.worktree("kept").join("closed");
    fs::set_permissions(&closed, Permissions::from_mode(0o000)).expect("change the mode");
    let ran = project.run(&["overview", "--json"]);
    fs::set_permissions(&closed, Permissions::from_mode(0o755)).expect("change the mode");
    assert_eq!(ran.code(), 0, "{ran:?}");
    for part in ["warning:", "main-task-kept/closed", "denied"] {
        assert!(ran.err().contains(part), "{ran:?}");
    }
    assert!(number(&ran.json(), "/disk/worktrees") > 0);
}

#[test]
fn attempts_that_an_interrupted_session_left_are_counted_as_far_as_they_went() {
    let project = Project::new();
    let gate = project.beside("gate");
    let id = project.start(&[("a", &format!("@wait {gate}\n@say done"))], &[]);
    project.until_it_runs(&id);
    project.kill_supervisor();
    assert_eq!(
        number(&project.query(&["overview"]), "/sessions_by_state/interrupted"),
        1
    );
    project.open("gate");
    let outcome = project.attempt_dir("a").join("outcome.json");
    project.until("the end of the runner", |project| {
        project.processes().is_empty().then_some(())
    });
    let mut outcome: Value = serde_json::from_slice(&fs::read(&outcome).expect("an outcome")).expect("JSON");
    let overview = project.query(&["overview"]);
    let seconds = outcome["duration_ms"].as_f64().expect("a number") / 1000.0;
    assert_eq!(overview["agent_seconds"].as_f64(), Some(seconds));
    assert!(outcome["cost_usd"].as_f64() > Some(0.0), "{outcome:#}");
    let status = project.query(&["status"]);
    for cost in [
        &overview["cost_usd"],
        &status["cost_usd"],
        &status["tasks"][0]["cost_usd"],
    ] {
        assert_eq!(cost, &outcome["cost_usd"], "{status:#}");
    }
    assert_eq!(number(&overview, "/tasks/running"), 1);
    // Whatever is claimed there, it is no gain and no end of the overview.
    (outcome["cost_usd"], outcome["duration_ms"]) = ((-5).into(), u64::MAX.into());
    fs::write(project.attempt_dir("a").join("outcome.json"), outcome.to_string()).expect("change it");
    assert_eq!(project.query(&["overview"])["cost_usd"], 0.0);
    assert_eq!(project.run(&["overview"]).code(), 0);
    fs::write(project.attempt_dir("a").join("outcome.json"), "{").expect("damage it");
    let ran = project.run(&["overview"]);
    assert!(ran.code() == 0 && ran.err().contains("outcome.json"), "{ran:?}");
}
