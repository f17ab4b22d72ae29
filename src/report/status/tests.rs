//! The table at several widths: what stands where, and that nothing of a task makes a line wider than the terminal.

use super::*;
use crate::session::fixture::{
    bad_attempt, ended, preparing, session_started, settled, spec, started, state_after, success,
};
use crate::session::{EventKind, Settlement, document};
use crate::task::{FailureReason, Live};

const NOW: u64 = 1_800_000_000;

/// A session of a settled, a failed, a running and a waiting task; the running one does this.
fn session(activity: &str) -> StatusDocument {
    let spec = spec(&["one", "two", "three", "four"]);
    let long = "API Error: 529 overloaded, and more than that ".repeat(4);
    let failed = Settlement::failed(FailureReason::AgentError, long.trim_end());
    let events: Vec<EventKind> = [
        vec![session_started()],
        success("one"),
        vec![
            preparing("two"),
            started("two", 1),
            ended("two", bad_attempt()),
            settled("two", failed),
        ],
        vec![preparing("three"), started("three", 1)],
    ]
    .concat();
    let live = Live {
        activity: Some(activity.into()),
        turns: Some(7),
        cost_usd: Some(0.25),
        output_bytes: 10,
        last_output_ms: Some((NOW - 312) * 1000),
        limited: None,
        conversation_seen: false,
        agent_pid: Some(4242),
        ended_ms: None,
    };
    let mut doc = document(&spec, &state_after(&spec, &events), true, |record| {
        (record.id.as_ref() == "three").then(|| live.clone())
    });
    for task in &mut doc.tasks {
        task.duration = task.duration.map(|_| 7500.0);
    }
    let task = &mut doc.tasks[2];
    (task.memory_bytes, task.cpu_seconds, task.cpu_percent) = (Some(231_000_000), Some(1.5), Some(12.3));
    doc
}

/// The lines about tasks.
fn shown(doc: &StatusDocument, width: Option<usize>) -> Vec<String> {
    let text = strip_ansi_codes(&table(doc, None, width, NOW)).into_owned();
    text.lines()
        .skip(header(doc, width).lines().count())
        .filter(|l| !l.contains("note: "))
        .map(str::to_owned)
        .collect()
}

const FACTS: &str = "       pid 4242, 220 MiB, 12% CPU, 7 turns, $0.25, quiet for 5 m 12 s";

#[test]
fn what_a_task_comes_after_is_said_until_it_is_done() {
    let mut doc = session("Bash make");
    doc.tasks[3].depends_on = vec!["one".into(), "three".into()];
    let text = strip_ansi_codes(&table(&doc, Some(4), None, NOW)).into_owned();
    assert!(text.trim_end().ends_with("  after three"), "{text}");
}

#[test]
fn why_a_session_has_stopped_is_said_once() {
    let mut doc = session("Bash make");
    (doc.overall_status, doc.error) = (OverallStatus::Stopped, Some("not logged in".into()));
    doc.warnings = vec!["not logged in".into(), "another".into()];
    let text = table(&doc, None, None, NOW);
    assert_eq!(text.matches("not logged in").count(), 1, "{text}");
    assert!(text.contains("warning: another"), "{text}");
}

#[test]
fn what_was_skipped_says_because_of_what_and_is_counted_apart() {
    use crate::report::fixture::Task::{Failed, Skipped, Stopped, Succeeded};
    let doc = crate::report::fixture::document(&[Failed(1.0), Skipped, Succeeded(1.0), Stopped(1.0)]);
    let lines = shown(&doc, None);
    assert_eq!(
        lines[1].split_whitespace().collect::<Vec<_>>().join(" "),
        "2 skipped Do the task with number 2 dependency: it depends on t1, which failed: exited with code 3"
    );
    assert!(headline(&doc).contains("4 of 4 tasks settled: 1 successful, 1 failed, 1 stopped, 1 skipped"));
    assert_eq!((doc.failed, doc.skipped), (3, 1));
}

#[test]
fn in_a_file_nothing_is_cut() {
    let activity = format!("Bash {}", "x".repeat(500));
    let lines = shown(&session(&activity), None);
    assert_eq!(lines.len(), 5, "{lines:#?}");
    assert_eq!(
        lines[0],
        "  1  succeeded   2 h 05 m  Do one    main-task-one  1 commit, 2 files, +3 -4, 3 turns, $0.50"
    );
    assert!(lines[1].starts_with("  2  failed      2 h 05 m  Do two    agent_error: API Error: 529"));
    assert!(lines[1].ends_with("more than that"), "{lines:#?}");
    assert_eq!(lines[2], format!("  3  running     2 h 05 m  Do three  {activity}"));
    assert_eq!(lines[3], FACTS);
    assert_eq!(lines[4], "  4  pending               Do four");
}

#[test]
fn on_a_terminal_what_has_no_room_stands_below_or_is_cut() {
    let activity = format!("Bash {}", "x".repeat(500));
    let lines = shown(&session(&activity), Some(80));
    assert_eq!(
        lines[..2],
        [
            "  1  succeeded   2 h 05 m  Do one",
            "       main-task-one  1 commit, 2 files, +3 -4, 3 turns, $0.50",
        ]
    );
    assert_eq!(lines[2], "  2  failed      2 h 05 m  Do two");
    assert!(lines[3].starts_with("       agent_error: API Error: 529 overloaded, and"));
    assert!(lines[3].ends_with('…'), "{lines:#?}");
    assert!(lines[4].starts_with("  3  running     2 h 05 m  Do three  Bash xxx") && lines[4].ends_with("x…"));
    assert_eq!(lines[5], FACTS);
    assert_eq!(lines[6], "  4  pending               Do four");
    let wide = shown(&session("Bash ls"), Some(200));
    assert_eq!(wide[0], shown(&session("Bash ls"), None)[0]);
    assert_eq!(wide.len(), 6, "only the long error has no room: {wide:#?}");
}

#[test]
fn no_line_about_a_task_is_wider_than_the_terminal() {
    // Terminals do not agree on how wide emoji of several characters are.
    let mut doc = session(&"Bash \u{4e16}\u{754c} 👩\u{200d}💻☀\u{fe0f}\t".repeat(50));
    doc.tasks[0].title = "👩\u{200d}💻".repeat(30);
    doc.tasks[2].title = "☀\u{fe0f}".repeat(30);
    doc.tasks[1].title = "A title of more than forty characters, as they are".into();
    doc.tasks[3].title = "\u{4e16}\u{754c}".repeat(30);
    for width in [20, 40, 60, 80, 81, 100, 120, 150, 200] {
        for line in shown(&doc, Some(width)) {
            assert!(wide(&line) <= width, "{width}: {line}");
        }
    }
    for width in [80, 100, 120, 150, 200] {
        let lines = shown(&doc, Some(width));
        assert!(lines.iter().any(|l| l == FACTS), "{width}: {lines:#?}");
        assert!(
            lines.iter().any(|l| l.contains("  Bash \u{4e16}")),
            "{width}: {lines:#?}"
        );
    }
}

#[test]
fn text_of_an_agent_is_one_escaped_line() {
    let lines = shown(&session("Bash \x1b[2Jevil\nsecond\u{202e}\r"), None);
    assert_eq!(
        lines[2],
        "  3  running     2 h 05 m  Do three  Bash \\x1b[2Jevil second\\u{202e}"
    );
    assert_eq!(lines.len(), 5);
}

#[test]
fn silence_is_told_once_it_is_long() {
    let mut doc = session("Bash ls");
    let end = |doc: &StatusDocument| shown(doc, None)[3].rsplit(", ").next().map(str::to_owned);
    for (last, expected) in [
        (Some(NOW), "$0.25"),
        (Some(NOW + 5), "$0.25"),
        (Some(NOW - 10), "$0.25"),
        (Some(NOW - 11), "quiet for 11 s"),
        (Some(NOW - 7300), "quiet for 2 h 01 m"),
        (None, "no output yet"),
    ] {
        doc.tasks[2].last_activity = last;
        assert_eq!(end(&doc).as_deref(), Some(expected));
    }
    // Who does not look at processes knows less.
    let task = &mut doc.tasks[2];
    (task.memory_bytes, task.cpu_percent, task.turns, task.cost_usd) = (None, None, None, None);
    assert_eq!(shown(&doc, None)[3], "       pid 4242, no output yet");
    // Before there is an agent, or after it, there is nothing to tell.
    task_without_agent(&mut doc);
    assert_eq!(shown(&doc, None).len(), 4);
}

fn task_without_agent(doc: &mut StatusDocument) {
    doc.tasks[2].pid = None;
}

#[test]
fn a_task_that_nobody_works_on_any_more_does_not_run() {
    let mut doc = session("Edit src/main.rs");
    doc.overall_status = OverallStatus::Interrupted;
    let line = |doc: &StatusDocument| shown(doc, None)[2].clone();
    // Its runner goes on without the supervisor.
    assert_eq!(line(&doc), "  3  running     2 h 05 m  Do three  Edit src/main.rs");
    (doc.tasks[2].pid, doc.tasks[2].activity) = (None, Some("its runner is gone".into()));
    assert_eq!(line(&doc), "  3  unsettled   2 h 05 m  Do three  its runner is gone");
    doc.overall_status = OverallStatus::Running;
    assert_eq!(line(&doc), "  3  running     2 h 05 m  Do three  its runner is gone");
}

#[test]
fn what_was_asked_and_tried_before_is_told() {
    let mut doc = session("Bash ls");
    (doc.tasks[2].stopping, doc.tasks[2].attempts) = (true, 2);
    doc.tasks[3].attempts = 1;
    let lines = shown(&doc, None);
    assert_eq!(lines[2], "  3  stopping    2 h 05 m  Do three  Bash ls");
    assert!(lines[3].starts_with("       attempt 2, pid 4242, "), "{lines:#?}");
    assert_eq!(lines[5], "       to be tried again, after 1 attempt");
}
