//! What happened, as a line of text for each event: for `session.log`, `pleach logs --session` and `run --verbose`.
//!
//! Pure, and of the event alone: so a log is continued by counting its lines, and the same wherever it is shown. It names
//! no prompt, and none of what the agent printed but the line that says why it failed.

use std::time::Duration;

use super::{Event, EventKind, NextAttempt, SessionEnd, Settlement, WorktreeIntent};
use crate::task::{AttemptOutcome, TaskId, Verdict, counted_cost};
use crate::words::{NO_AGENT, count, dollars, elapsed, few, in_one_line};

/// The line of an event, without its end: when (UTC), of which task, and what.
pub fn log_line(event: &Event) -> String {
    log_line_of(event, |_| None)
}

/// The same for somebody who knows the tasks by other names than their ids, where there is one.
pub fn log_line_of(event: &Event, name: impl Fn(&TaskId) -> Option<String>) -> String {
    let (task, what) = told(&event.kind);
    let name = |task: &TaskId| name(task).unwrap_or_else(|| task.to_string());
    let of = task.map_or_else(|| "session".into(), |task| format!("task {}", name(task)));
    in_one_line(&format!("{}  {of}: {what}", moment(event.at_ms)))
}

fn moment(unix_ms: u64) -> String {
    let at = i64::try_from(unix_ms).ok();
    let at = at.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    // What no clock can tell is shown as it is.
    at.map_or_else(|| unix_ms.to_string(), |at| format!("{at:.3}"))
}

fn told(kind: &EventKind) -> (Option<&TaskId>, String) {
    match kind {
        EventKind::TaskPreparing { task, .. }
        | EventKind::TaskReleased { task }
        | EventKind::AttemptStarted { task, .. }
        | EventKind::AttemptEnded { task, .. }
        | EventKind::AttemptLost { task, .. }
        | EventKind::TaskWaits { task, .. }
        | EventKind::TaskWaited { task }
        | EventKind::TaskPutBack { task }
        | EventKind::TaskRetried { task }
        | EventKind::TaskStopAsked { task, .. }
        | EventKind::TaskSettled { task, .. }
        | EventKind::WorktreeRemoved { task, .. }
        | EventKind::WorktreeKept { task, .. }
        | EventKind::TaskHandled { task, .. } => (Some(task), of_task(kind)),
        EventKind::Warned { task, text } => (task.as_ref(), format!("warning: {text}")),
        other => (None, of_session(other)),
    }
}

fn of_session(kind: &EventKind) -> String {
    match kind {
        EventKind::SessionStarted { supervisor, .. } => format!("begins, supervisor {}", supervisor.pid),
        EventKind::SessionHalted { why, .. } => format!("no task starts any more: {why}"),
        EventKind::StopAsked { now } => format!("stop asked for{}", at_once(*now)),
        EventKind::CostLimitSet { max_cost_usd } => format!("cost limit is {} now", dollars(*max_cost_usd)),
        EventKind::Waiting { why: Some(why) } => format!("waits for {why}"),
        EventKind::Waiting { why: None } => "waits no longer".into(),
        EventKind::SessionEnded { end, error } => {
            let how = match end {
                SessionEnd::Completed => "completed",
                SessionEnd::Stopped => "stopped",
                SessionEnd::Error => "error",
            };
            format!("ends: {how}{}", because(error.as_deref()))
        }
        _ => String::new(),
    }
}

fn of_task(kind: &EventKind) -> String {
    match kind {
        EventKind::TaskPreparing { site: Some(site), .. } => {
            format!(
                "chosen, on {} from {}",
                site.branch,
                site.base.get(..12).unwrap_or(&site.base)
            )
        }
        EventKind::TaskPreparing { site: None, .. } => "chosen".into(),
        EventKind::TaskReleased { .. } => "goes back to wait".into(),
        EventKind::AttemptStarted {
            number,
            conversation,
            resumes,
            runner_pid,
            ..
        } => {
            let goes_on = if *resumes { "goes on with" } else { "new" };
            format!("attempt {number} starts, {goes_on} conversation {conversation}, runner {runner_pid}")
        }
        EventKind::AttemptEnded { outcome, .. } => format!("attempt ends: {}", of_attempt(outcome)),
        EventKind::AttemptLost { outcome, .. } => format!("attempt lost: {}", of_attempt(outcome)),
        EventKind::TaskWaits { wait, .. } => {
            let next = match wait.next {
                NextAttempt::Anew => "a new conversation",
                NextAttempt::Resume => "the same conversation",
                NextAttempt::FromBase => "a new conversation, from the base",
            };
            let counts = if wait.counts { "retry" } else { "another attempt" };
            let after = elapsed(Duration::from_millis(wait.delay_ms));
            format!("{counts} in {after}, in {next}: {}", wait.why)
        }
        EventKind::TaskWaited { .. } => "the wait is over".into(),
        EventKind::TaskPutBack { .. } => "waits for its turn again: it is not its fault".into(),
        EventKind::TaskRetried { .. } => "is to be tried again".into(),
        EventKind::TaskStopAsked { now, .. } => format!("stop asked for{}", at_once(*now)),
        EventKind::TaskSettled { settlement, .. } => format!("settled: {}", of_settlement(settlement)),
        EventKind::WorktreeRemoved { ignored, .. } if ignored.is_empty() => "worktree put into the trash".into(),
        EventKind::WorktreeRemoved { ignored, .. } => format!("worktree put into the trash, with {}", few(ignored)),
        EventKind::WorktreeKept { why, .. } => format!("worktree stays: {why}"),
        EventKind::TaskHandled { error: None, .. } => "handled".into(),
        EventKind::TaskHandled { error: Some(error), .. } => format!("handled: warning: {error}"),
        _ => String::new(),
    }
}

fn at_once(now: bool) -> &'static str {
    if now { ", at once" } else { "" }
}

fn because(error: Option<&str>) -> String {
    error.map_or_else(String::new, |error| format!(": {error}"))
}

fn of_attempt(outcome: &AttemptOutcome) -> String {
    let came_to = match &outcome.verdict {
        Verdict::Succeeded => "succeeded".into(),
        Verdict::Failed { reason, error } => format!("failed ({}): {error}", reason.name()),
        Verdict::Skipped { error } => format!("skipped: {error}"),
        Verdict::Stopped => "stopped".into(),
    };
    let mut parts = vec![came_to, elapsed(Duration::from_millis(outcome.duration_ms))];
    parts.extend(outcome.turns.map(|turns| count(turns, "turn")));
    parts.extend(counted_cost(outcome.cost_usd).map(dollars));
    parts.extend((!outcome.end.is_of_agent()).then(|| NO_AGENT.to_owned()));
    parts.extend(outcome.end.exit_code().map(|code| format!("exit code {code}")));
    parts.join(", ")
}

fn of_settlement(settlement: &Settlement) -> String {
    let reason = settlement.reason.map(|reason| format!(" ({})", reason.name()));
    let mut text = format!(
        "{}{}{}",
        settlement.outcome.name(),
        reason.unwrap_or_default(),
        because(settlement.error.as_deref())
    );
    if let Some(changes) = &settlement.changes {
        text.push_str(&format!(
            ", {}, {} +{} -{}",
            count(changes.commits as u64, "commit"),
            count(changes.files_changed as u64, "file"),
            changes.insertions,
            changes.deletions
        ));
    }
    if let Some(head) = &settlement.head {
        text.push_str(&format!(", head {}", head.get(..12).unwrap_or(head)));
    }
    if let WorktreeIntent::Keep(why) = &settlement.worktree {
        text.push_str(&format!(", worktree stays: {why}"));
    }
    for note in &settlement.notes {
        text.push_str(&format!("; note: {note}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kind of event there is: a test of the frozen journals counts them.
    const ALL: &str = include_str!("../../fixtures/sessions/every-event/journal.jsonl");

    #[test]
    fn every_kind_of_event_is_one_line_that_says_what_happened() {
        let events = ALL
            .lines()
            .skip(1)
            .map(|line| serde_json::from_str::<Event>(line).unwrap());
        let lines: Vec<String> = events.map(|event| log_line(&event)).collect();
        for line in &lines {
            assert!(
                line.starts_with("2026-11-21T") && !line.chars().any(char::is_control),
                "{line:?}"
            );
            assert!(!line.ends_with(": ") && line.contains(": "), "{line:?}");
        }
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn tasks_are_called_as_they_are_known() {
        let event = |kind| Event { at_ms: 0, kind };
        let task = TaskId::parse("t1").unwrap();
        let waited = event(EventKind::TaskWaited { task });
        let said = |name: Option<&str>| log_line_of(&waited, |_| name.map(str::to_owned));
        assert_eq!(said(None), log_line(&waited));
        assert_eq!(
            said(Some("1 (a\x1bb)")),
            "1970-01-01T00:00:00.000Z  task 1 (a\\x1bb): the wait is over"
        );
        let stop = event(EventKind::StopAsked { now: true });
        assert_eq!(log_line_of(&stop, |_| Some("1".into())), log_line(&stop));
    }

    #[test]
    fn nothing_breaks_a_line_and_no_time_is_out_of_range() {
        let text = "a\nb\u{1b}[2J\u{202e}".to_owned();
        let kind = EventKind::Warned { task: None, text };
        let line = log_line(&Event { at_ms: u64::MAX, kind });
        assert_eq!(line, "18446744073709551615  session: warning: a\\nb\\x1b[2J\\u{202e}");
    }
}
