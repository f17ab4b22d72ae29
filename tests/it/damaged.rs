//! Sessions that cannot be read: each is listed as such with the reason, the others as ever; whoever asks for that very
//! one is told file and line; and nothing is repaired, overwritten or thrown away.
//!
//! A damaged session is a copy of one that has ended, with one of its files changed by a shell script.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::plan_shown::output;
use crate::support::Project;

/// The script, and what has to be said of it.
type Damage = (&'static str, &'static [&'static str]);

const UNREADABLE: &[Damage] = &[
    ("sed -i '3s/.*/garbage/' journal.jsonl", &["journal.jsonl", "line 3"]),
    ("sed -i '3s/.*//' journal.jsonl", &["journal.jsonl", "line 3"]),
    ("sed -i '3s/^/[[[[/' journal.jsonl", &["journal.jsonl", "line 3"]),
    (
        r#"sed -i '3s/"event":"[a-z_]*"/"event":"of tomorrow"/' journal.jsonl"#,
        &["journal.jsonl", "line 3", "of tomorrow"],
    ),
    (r"printf '\377\376\n' >>journal.jsonl", &["journal.jsonl", "line "]),
    ("sed -i 5d journal.jsonl", &["journal.jsonl", "task a is "]),
    ("sed -i '1s/1/9/' journal.jsonl", &["journal.jsonl", "format 9"]),
    ("sed -i 1d journal.jsonl", &["journal.jsonl", "line 1"]),
    ("rm journal.jsonl", &["journal.jsonl", "No such file"]),
    ("rm journal.jsonl; mkdir journal.jsonl", &["journal.jsonl", "directory"]),
    (
        r#"sed -i 's/"schema":1/"schema":9/' session.json"#,
        &["session.json", "format 9"],
    ),
    ("truncate -s 200 session.json", &["session.json", "line 1", "EOF"]),
    ("truncate -s 0 session.json", &["session.json", "line 1", "EOF"]),
    ("rm session.json", &["session.json", "No such file"]),
    (
        r#"sed -i 's/"tasks":/"chores":/' session.json"#,
        &["session.json", "line 1", "tasks"],
    ),
];

/// Every command that reads a session.
const COMMANDS: &[&str] = &["status", "results", "plan", "wait", "stop"];

#[test]
fn an_unreadable_session_is_listed_with_the_reason_and_the_list_goes_on() {
    let project = Project::new();
    let (good, _) = damaged(&project, UNREADABLE);
    let before = content(&project);
    let list = project.query(&["list"]);
    let text = project.run(&["list"]);
    assert_eq!((text.code(), text.err().as_str()), (0, ""));
    let sessions = list["sessions"].as_array().expect("sessions");
    assert_eq!(
        (sessions.len(), text.out().lines().count()),
        (UNREADABLE.len() + 1, UNREADABLE.len() + 2)
    );
    for session in sessions {
        let id = session["session_id"].as_str().expect("an id");
        let line = |text: String| text.lines().find(|line| line.starts_with(&id[..8])).map(str::to_owned);
        let line = line(text.out()).expect("a line");
        if id == good {
            assert_eq!(
                (&session["overall_status"], &session["error"]),
                (&Value::from("completed"), &Value::Null)
            );
            assert!(line.contains("completed") && line.contains("1/1"), "{line}");
            continue;
        }
        assert_eq!(
            (&session["overall_status"], &session["total"]),
            (&Value::from("unreadable"), &Value::from(0))
        );
        let error = session["error"].as_str().expect("an error");
        assert!(line.contains("unreadable") && line.contains(error), "{line}");
        for part in reason(id) {
            assert!(error.contains(part), "{part:?} is not in: {error}");
        }
    }
    assert_eq!(content(&project), before);
}

// Fault 5: any other bad line is refused by its number.
#[test]
fn asking_for_an_unreadable_session_names_file_and_line() {
    let project = Project::new();
    let (good, bad) = damaged(&project, UNREADABLE);
    let before = content(&project);
    for id in &bad {
        for command in COMMANDS {
            for json in [&[][..], &["--json"]] {
                let ran = project.run(&[&[*command, id], json].concat());
                let path = format!("session-{id}/");
                let parts: Vec<&str> = [path.as_str()].into_iter().chain(reason(id).iter().copied()).collect();
                ran.assert_refused(3, &parts);
                assert_eq!(ran.out(), "", "{command}");
            }
        }
    }
    assert_eq!(content(&project), before);
    assert_eq!(project.run(&["status", &good]).code(), 0);
}

#[test]
fn an_unreadable_session_that_is_the_newest_is_not_passed_over() {
    let project = Project::new();
    damaged(&project, &[("rm session.json; touch -d tomorrow .", &[])]);
    for command in COMMANDS {
        project
            .run(&[command])
            .assert_refused(3, &["session.json", "No such file"]);
    }
    // What is no session is passed over, by the list too.
    let results =
        "mkdir session-x .new-y; touch notes.txt session-z; mkdir session-11111111-2222-4333-8444-55555555555";
    output(&project, &project.repo().join(".git/pleach/results"), results);
    assert_eq!(project.query(&["list"])["sessions"].as_array().map(Vec::len), Some(2));
}

// Fault 5: the last line is torn.
#[test]
fn a_torn_last_line_is_left_out_with_a_warning() {
    const TORN: &[Damage] = &[
        // The end of the session is not there, so nobody works on it and it has not ended.
        ("truncate -s -1 journal.jsonl", &["interrupted"]),
        ("truncate -s -40 journal.jsonl", &["interrupted"]),
        // Something was to follow.
        (r#"printf '{"at_ms":17' >>journal.jsonl"#, &["completed"]),
    ];
    let project = Project::new();
    let (_, torn) = damaged(&project, TORN);
    let before = content(&project);
    for id in &torn {
        let [state] = reason_in(TORN, id) else {
            panic!("one word")
        };
        for (command, code) in [("status", 0), ("wait", if *state == "completed" { 0 } else { 1 })] {
            let ran = project.run(&[command, id]);
            assert_eq!(ran.code(), code, "{ran:?}");
            assert!(
                ran.out().contains(&format!("  {state}, 1 of 1 task settled")),
                "{ran:?}"
            );
            let json = project.run(&[command, id, "--json"]).json();
            let warnings = json["warnings"].to_string();
            for said in [warnings, ran.out()] {
                assert!(
                    said.contains("last line") && said.contains("torn"),
                    "{command} {id}: {said}"
                );
            }
        }
        let list = project.run(&["list"]).out();
        let line = list.lines().find(|line| line.starts_with(&id[..8])).expect("a line");
        assert!(line.contains(*state) && line.contains("1/1"), "{line}");
        assert_eq!(project.run(&["results", id]).code(), 0);
    }
    assert_eq!(content(&project), before);
}

#[test]
fn a_session_whose_journal_was_never_begun_is_interrupted() {
    let project = Project::new();
    let (_, ids) = damaged(
        &project,
        &[
            ("truncate -s 0 journal.jsonl", &[]),
            ("truncate -s 9 journal.jsonl", &[]),
        ],
    );
    for id in ids {
        let status = project.query(&["status", &id]);
        assert_eq!(status["overall_status"], "interrupted");
        assert_eq!(status["tasks"][0]["status"], "pending");
        assert_eq!(project.run(&["wait", &id]).code(), 1);
    }
}

/// A session that has ended, and copies of it with these damages, in their order.
fn damaged(project: &Project, damages: &[Damage]) -> (String, Vec<String>) {
    let good = project.start(&[("a", "@write n.txt new")], &[]);
    assert_eq!(project.run(&["wait"]).code(), 0);
    project.until("its supervisor is gone", |project| {
        project.processes().is_empty().then_some(())
    });
    let results = project.repo().join(".git/pleach/results");
    let ids: Vec<String> = (0..damages.len()).map(id).collect();
    for (id, (script, _)) in ids.iter().zip(damages) {
        let copy =
            format!("cp -a session-{good} session-{id}; cd session-{id}; sed -i s/{good}/{id}/ session.json; {script}");
        output(project, &results, &copy);
    }
    (good, ids)
}

fn id(index: usize) -> String {
    format!("{index:08}-0000-4000-8000-000000000000")
}

fn reason(session: &str) -> &'static [&'static str] {
    reason_in(UNREADABLE, session)
}

fn reason_in(damages: &[Damage], session: &str) -> &'static [&'static str] {
    let index: usize = session[..8].parse().expect("the id of a damaged session");
    damages[index].1
}

/// Every file of every session, with its bytes.
fn content(project: &Project) -> Vec<(PathBuf, Vec<u8>)> {
    let results = project.repo().join(".git/pleach/results");
    let files = output(project, &results, "find . -type f | sort");
    files
        .lines()
        .map(|file| (file.into(), fs::read(results.join(file)).expect("read a file")))
        .collect()
}
