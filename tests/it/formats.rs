//! What is on disk is read for ever: sessions as earlier versions left them, a journal with every kind of event, and a
//! journal that was cut or spoilt anywhere.
//!
//! The sessions in `fixtures/sessions` are frozen, and so is what version 0.1.0 said of them, in `expected`: a later
//! version may say more, and nothing else. (One thing it said was wrong: worktrees that are gone are no longer named.)

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pleach::session::{Event, EventKind, SessionError, document, recorded};
use pleach::store::journal::JournalError;
use pleach::store::paths::SessionPaths;
use serde_json::{Value, json};

use crate::support::{Project, contents};

const OF_0_1_0: [&str; 3] = ["v0.1.0-completed", "v0.1.0-stopped", "v0.1.0-interrupted"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sessions")
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("read a fixture")).expect("JSON")
}

/// Puts a frozen session where the program finds it, and gives its id.
fn thaw(results: &Path, name: &str) -> String {
    let frozen = fixtures().join(name);
    let id = read(&frozen.join("session.json"))["session_id"].clone();
    let id = id.as_str().expect("an id").to_owned();
    copy(&frozen, &results.join(format!("session-{id}")));
    id
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("make a directory");
    for entry in fs::read_dir(from).expect("read a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("copy a file")),
        }
    }
}

/// All that is expected is there, in the same places; there may be more.
#[track_caller]
fn assert_holds(found: &Value, expected: &Value, at: &str) {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            for (key, value) in expected {
                assert_holds(
                    found.get(key).unwrap_or(&json!("(missing)")),
                    value,
                    &format!("{at}.{key}"),
                );
            }
        }
        (Value::Array(found), Value::Array(expected)) => {
            assert_eq!(found.len(), expected.len(), "{at}");
            for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
                assert_holds(found, expected, &format!("{at}[{index}]"));
            }
        }
        _ => assert_eq!(found, expected, "{at}"),
    }
}

#[test]
fn sessions_of_version_0_1_0_say_what_they_said_then() {
    let mut project = Project::empty();
    let results = project.root().join("results");
    project.set("PLEACH_RESULTS_DIR", results.to_str().expect("UTF-8"));
    let ids = OF_0_1_0.map(|name| thaw(&results, name));
    let before = contents(&results, |_| false);
    let list = project.query(&["list"]);
    for (name, id) in OF_0_1_0.iter().zip(&ids) {
        let text = fs::read_to_string(fixtures().join(format!("expected/{name}.json"))).expect("what is expected");
        let text = text.replace("RESULTS", results.to_str().expect("UTF-8"));
        let expected: Value = serde_json::from_str(&text).expect("JSON");
        for query in ["status", "results"] {
            assert_holds(
                &project.query(&[query, id]),
                &expected[query],
                &format!("{name} {query}"),
            );
        }
        let mut listed = list["sessions"].as_array().expect("sessions").iter();
        let listed = listed.find(|entry| entry["session_id"] == **id).expect("it is listed");
        assert_holds(listed, &expected["list"], name);
        for (task, entries) in expected["logs"].as_object().expect("logs") {
            let logs = project.query(&["logs", id, task]);
            assert_holds(&logs["entries"], entries, &format!("{name} logs {task}"));
        }
        let (settled, total) = (&expected["status"]["completed"], &expected["status"]["total"]);
        let watched = project.run(&["watch", id]);
        assert!(
            watched.out().contains(&format!("{settled} of {total} tasks settled")),
            "{watched:?}"
        );
        let code = i32::from(*name != "v0.1.0-completed" || expected["status"]["failed"] != 0);
        assert_eq!(project.run(&["wait", id]).code(), code, "{name}");
        // Without its repository nothing can be planned, and that is said.
        let plan = project.run(&["plan", id]);
        assert!(plan.code() != 0 && plan.out().is_empty(), "{plan:?}");
        assert!(plan.err().contains("/src/app"), "{plan:?}");
    }
    assert_eq!(project.query(&["overview"])["sessions"], 3);
    assert_eq!(contents(&results, |_| false), before, "a query changed something");
}

/// The name of each kind of event: whoever adds one adds it here, and to the frozen journal.
fn name_of(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::SessionStarted { .. } => "session_started",
        EventKind::TaskPreparing { .. } => "task_preparing",
        EventKind::TaskReleased { .. } => "task_released",
        EventKind::AttemptStarted { .. } => "attempt_started",
        EventKind::AttemptEnded { .. } => "attempt_ended",
        EventKind::AttemptLost { .. } => "attempt_lost",
        EventKind::TaskWaits { .. } => "task_waits",
        EventKind::TaskWaited { .. } => "task_waited",
        EventKind::TaskPutBack { .. } => "task_put_back",
        EventKind::SessionHalted { .. } => "session_halted",
        EventKind::TaskRetried { .. } => "task_retried",
        EventKind::TaskStopAsked { .. } => "task_stop_asked",
        EventKind::TaskSettled { .. } => "task_settled",
        EventKind::WorktreeRemoved { .. } => "worktree_removed",
        EventKind::WorktreeKept { .. } => "worktree_kept",
        EventKind::TaskHandled { .. } => "task_handled",
        EventKind::StopAsked { .. } => "stop_asked",
        EventKind::CostLimitSet { .. } => "cost_limit_set",
        EventKind::Waiting { .. } => "waiting",
        EventKind::Warned { .. } => "warned",
        EventKind::SessionEnded { .. } => "session_ended",
    }
}

/// How many kinds there are.
const KINDS: usize = 21;

#[test]
fn a_journal_with_every_kind_of_event_is_read_and_loses_nothing() {
    let mut project = Project::empty();
    let results = project.root().join("results");
    project.set("PLEACH_RESULTS_DIR", results.to_str().expect("UTF-8"));
    let id = thaw(&results, "every-event");
    let text = fs::read_to_string(fixtures().join("every-event/journal.jsonl")).expect("the journal");
    let mut kinds = BTreeSet::new();
    for line in text.lines().skip(1) {
        let event: Event = serde_json::from_str(line).expect("an event");
        let written: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(serde_json::to_value(&event).expect("JSON"), written);
        assert_eq!(written["event"], name_of(&event.kind));
        kinds.insert(name_of(&event.kind));
    }
    assert_eq!(kinds.len(), KINDS, "{kinds:?}");
    let status = project.query(&["status", &id]);
    let task = |number: usize, key: &str| status["tasks"][number][key].clone();
    assert_eq!(
        (&status["overall_status"], &status["max_cost_usd"]),
        (&json!("completed"), &json!(20.0))
    );
    assert_eq!(status["cost_usd"], json!(1.0), "of four attempts, one of them lost");
    assert_eq!(
        (task(0, "outcome"), task(0, "attempts")),
        (json!("succeeded"), json!(3))
    );
    assert_eq!(
        (task(1, "outcome"), task(1, "exit_code")),
        (json!("stopped"), json!(137))
    );
    assert_eq!((task(2, "outcome"), task(2, "attempts")), (json!("stopped"), json!(0)));
    assert_eq!(
        (task(3, "outcome"), task(3, "reason")),
        (json!("failed"), json!("provisioning"))
    );
    assert_eq!(task(0, "notes"), json!(["a note", "about the task"]));
}

// Fault 5: a torn journal tail, at every byte; any other bad line is refused by its number.
#[test]
fn a_journal_cut_at_any_byte_tells_how_far_the_session_had_come() {
    let project = Project::empty();
    let results = project.root().join("results");
    for (name, end) in [("v0.1.0-stopped", "stopped"), ("every-event", "completed")] {
        let id = thaw(&results, name);
        let directory = results.join(format!("session-{id}"));
        let paths = SessionPaths::new(&directory);
        let whole = fs::read(paths.journal()).expect("the journal");
        for cut in (0..=whole.len()).rev() {
            let journal = fs::File::options().write(true).open(paths.journal());
            journal.and_then(|file| file.set_len(cut as u64)).expect("cut it");
            let read = recorded(&paths).unwrap_or_else(|e| panic!("{name}, {cut} bytes: {e}"));
            assert_eq!(read.torn, cut > 0 && whole[cut - 1] != b'\n', "{name}, {cut} bytes");
            let doc = document(&read.spec, &read.state, false, |_| None);
            let state = doc.overall_status.name();
            let expected = if cut == whole.len() { end } else { "interrupted" };
            assert_eq!(state, expected, "{name}, {cut} bytes");
            assert!(
                pleach::report::status(&doc, None).contains(state),
                "{name}, {cut} bytes"
            );
        }
        for line in 1..=whole.iter().filter(|&&b| b == b'\n').count() {
            let mut lines: Vec<&[u8]> = whole.split_inclusive(|&b| b == b'\n').collect();
            lines[line - 1] = b"{\"at_ms\":1,\n";
            let spoilt = lines.concat();
            fs::write(paths.journal(), &spoilt).expect("spoil a line");
            match recorded(&paths) {
                Err(SessionError::Journal(JournalError::Line { line: named, .. })) => {
                    assert_eq!(named, line as u64, "{name}");
                }
                other => panic!("{name}, line {line}: {other:?}"),
            }
            assert_eq!(
                fs::read(paths.journal()).expect("the journal"),
                spoilt,
                "{name}, line {line}"
            );
        }
    }
}

// Fault 5: what the program itself makes of a journal that was cut.
#[test]
fn a_session_whose_journal_was_cut_anywhere_is_shown_by_every_query() {
    let mut project = Project::empty();
    let results = project.root().join("results");
    project.set("PLEACH_RESULTS_DIR", results.to_str().expect("UTF-8"));
    let id = thaw(&results, "v0.1.0-completed");
    let journal = results.join(format!("session-{id}/journal.jsonl"));
    let whole = fs::read(&journal).expect("the journal");
    for cut in [0, 5, 31, 32, 700, 2_000, 5_000, whole.len() - 1] {
        fs::write(&journal, &whole[..cut]).expect("cut the journal");
        for query in ["status", "results", "list", "overview"] {
            project.query(&[query]);
        }
        let status = project.query(&["status"]);
        assert_eq!(status["overall_status"], "interrupted", "{cut} bytes");
        let torn = cut > 0 && whole[cut - 1] != b'\n';
        assert_eq!(status["warnings"].to_string().contains("torn"), torn, "{cut} bytes");
        assert_eq!(fs::read(&journal).expect("the journal"), whole[..cut], "{cut} bytes");
    }
}

// Fault 12: the clock jumps while a session runs, by a year or to where no clock ever was.
#[test]
fn whatever_times_are_recorded_every_query_answers() {
    const YEAR_MS: u64 = 365 * 24 * 3_600_000;
    let mut project = Project::empty();
    let results = project.root().join("results");
    project.set("PLEACH_RESULTS_DIR", results.to_str().expect("UTF-8"));
    let id = thaw(&results, "every-event");
    let stays = thaw(&results, "v0.1.0-interrupted");
    let journal = results.join(format!("session-{id}/journal.jsonl"));
    let text = fs::read_to_string(&journal).expect("the journal");
    let events: Vec<Value> = (text.lines())
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let then = events[1]["at_ms"].as_u64().expect("a time");
    for (jump, time) in [
        (2, then + YEAR_MS),
        (9, then - YEAR_MS),
        (20, 0),
        (1, u64::MAX),
        (30, u64::MAX),
    ] {
        let mut jumped = events.clone();
        for event in &mut jumped[jump..] {
            event["at_ms"] = json!(time);
        }
        let lines: String = jumped.iter().map(|event| format!("{event}\n")).collect();
        fs::write(&journal, lines).expect("write the journal");
        for query in ["status", "results"] {
            let answer = project.query(&[query, &id]);
            assert_eq!(answer["overall_status"], "completed", "{time}");
            for duration in answer["tasks"].as_array().into_iter().flatten().map(|t| &t["duration"]) {
                assert!(duration.as_f64().is_none_or(|s| s >= 0.0), "{time}: {duration}");
            }
        }
        for command in [
            &["list"][..],
            &["overview"],
            &["status", &id],
            &["results", &id],
            &["watch", &id],
            &["wait", &id],
        ] {
            let ran = project.run(command);
            assert!(ran.code() < 2, "{time}, {command:?}: {ran:?}");
        }
        assert!(project.query(&["list"])["sessions"].to_string().contains(&stays));
    }
}
