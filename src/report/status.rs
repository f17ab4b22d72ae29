//! The state of a session as a table.

use std::fmt::Write;
use std::time::Duration;

use console::{Style, strip_ansi_codes};

use super::columns::{cut, cut_styled, fit, width as wide};
use super::{bytes, count, dollars, elapsed, escape, one_line, terminal_width, unbroken};
use crate::session::{OverallStatus, STOPPED_ON_REQUEST, StatusDocument, TaskStatus, TaskStatusName, Wait, is_above};
use crate::store::now_ms;
use crate::task::Outcome;
use crate::words::{NO_AGENT, few};

/// How wide a title may be.
const TITLE: usize = 40;
/// How wide it may be at least, however narrow the terminal is.
const NARROW_TITLE: usize = 16;
/// An agent that has printed nothing for so long, in seconds, is called quiet.
const QUIET: u64 = 10;

/// The whole table; `task` shows only the one with that number. On a terminal no line about a task is wider than it.
pub fn status(doc: &StatusDocument, task: Option<usize>) -> String {
    table(doc, task, terminal_width(), now_ms() / 1000)
}

/// The table at `now`, in Unix seconds; without a width nothing is cut.
fn table(doc: &StatusDocument, task: Option<usize>, width: Option<usize>, now: u64) -> String {
    let mut text = header(doc, width);
    // That somebody wanted it, or what it has cost, is said already.
    let is_told = is_above(doc.max_cost_usd, doc.cost_usd);
    if let Some(error) = &doc.error
        && match doc.overall_status {
            OverallStatus::Stopped => error != STOPPED_ON_REQUEST && !is_told,
            status => status == OverallStatus::Error,
        }
    {
        let _ = writeln!(text, "  {}", escape(error));
    }
    if let Some(why) = &doc.waiting_for
        && doc.overall_status == OverallStatus::Running
    {
        let _ = writeln!(text, "  {}", escape(&waits_for(why)));
    }
    let shown: Vec<&TaskStatus> = doc
        .tasks
        .iter()
        .filter(|t| task.is_none_or(|n| t.task_num == n))
        .collect();
    let numbers = doc.total.to_string().len();
    let titles = shown
        .iter()
        .map(|t| wide(&t.title))
        .max()
        .unwrap_or(0)
        .min(width.map_or(TITLE, |w| (w.saturating_sub(27) / 2).clamp(NARROW_TITLE, TITLE)));
    for task in shown {
        let after = comes_after(doc, task);
        for line in lines(task, (is_left(doc, task), after), numbers, titles, width, now) {
            let line = match width {
                Some(width) => cut_styled(line.trim_end(), width),
                None => line.trim_end().to_owned(),
            };
            let _ = writeln!(text, "{line}");
        }
        for note in &task.notes {
            let _ = writeln!(text, "  {:numbers$}    note: {}", "", escape(note));
        }
    }
    // What stands above as why it has stopped need not be said twice.
    let is_said =
        |warning: &&String| doc.overall_status == OverallStatus::Stopped && doc.error.as_ref() == Some(warning);
    for warning in doc.warnings.iter().filter(|warning| !is_said(warning)) {
        let _ = writeln!(text, "  warning: {}", escape(warning));
    }
    text
}

/// What is said of the whole session: in one line, or in two where that is wider than the terminal.
pub(super) fn header(doc: &StatusDocument, width: Option<usize>) -> String {
    let (session, headline) = (format!("session {}", doc.session_id), headline(doc));
    let one = format!("{session}  {headline}\n");
    match width {
        Some(width) if wide(one.trim_end()) > width => format!("{session}\n  {headline}\n"),
        _ => one,
    }
}

/// What a session waits for before it starts another task.
pub(super) fn waits_for(why: &str) -> String {
    format!("no task starts now: waits for {why}; goes on by itself")
}

/// Whether nobody works on a task any more that was begun and is not settled: with the supervisor its runner is gone
/// too, or it has none. Since when, nobody knows.
fn is_left(doc: &StatusDocument, task: &TaskStatus) -> bool {
    let begun = task.status == TaskStatusName::Running;
    doc.overall_status == OverallStatus::Interrupted && begun && task.pid.is_none()
}

/// What a task waits for that has not begun: `after schema, api`.
fn comes_after(doc: &StatusDocument, task: &TaskStatus) -> Option<String> {
    if task.status != TaskStatusName::Pending || task.attempts > 0 {
        return None;
    }
    let open = |id: &&String| {
        let done = |t: &TaskStatus| t.outcome == Some(Outcome::Succeeded);
        !doc.tasks.iter().any(|t| t.transaction_id == **id && done(t))
    };
    let open: Vec<String> = task.depends_on.iter().filter(open).map(|id| one_line(id)).collect();
    (!open.is_empty()).then(|| format!("after {}", few(&open)))
}

/// A task in one line, or in two: what its agent uses stands below, and so does what has no room beside the title.
/// `after`: what it depends on and is not done yet.
fn lines(
    task: &TaskStatus,
    (left, after): (bool, Option<String>),
    numbers: usize,
    titles: usize,
    width: Option<usize>,
    now: u64,
) -> Vec<String> {
    let time = task
        .duration
        .map(|s| elapsed(Duration::from_secs_f64(s)))
        .unwrap_or_default();
    let word = if left {
        Style::new().yellow().apply_to("unsettled").to_string()
    } else {
        word(task)
    };
    let head = format!(
        "  {:>numbers$}  {word}  {time:>9}  {}",
        task.task_num,
        fit(&task.title, titles)
    );
    let indent = " ".repeat(numbers + 6);
    let (words, facts) = (after.unwrap_or_else(|| words(task)), facts(task, now));
    if task.outcome.is_none() {
        let below = (!facts.is_empty()).then(|| format!("{indent}{facts}"));
        return [format!("{head}  {words}")].into_iter().chain(below).collect();
    }
    let beside = together(&words, &facts, None);
    match width {
        Some(width) if wide(&strip_ansi_codes(&head)) + 2 + wide(&beside) > width => {
            let room = width.saturating_sub(indent.len());
            vec![head, format!("{indent}{}", together(&words, &facts, Some(room)))]
        }
        _ => vec![format!("{head}  {beside}")],
    }
}

/// Both beside each other; if there is no room for all of it, the words are cut.
fn together(words: &str, facts: &str, room: Option<usize>) -> String {
    let gap = if words.is_empty() || facts.is_empty() { "" } else { "  " };
    let room = room.map(|r| r.saturating_sub(wide(facts) + gap.len()));
    let words = match room {
        Some(room) => cut(words, room),
        None => words.into(),
    };
    format!("{words}{gap}{facts}")
}

/// What is known of a task in numbers and names.
fn facts(task: &TaskStatus, now: u64) -> String {
    let mut facts: Vec<String> = Vec::new();
    match (task.status, task.attempts) {
        (TaskStatusName::Pending, made @ 1..) if task.waiting_until.is_none() => {
            facts.push(format!("to be tried again, after {}", count(made, "attempt")));
        }
        (TaskStatusName::Pending, number @ 1..) => facts.push(format!("after attempt {number}")),
        (TaskStatusName::Running, number @ 2..) => facts.push(format!("attempt {number}")),
        (TaskStatusName::Completed, made @ 2..) => facts.push(count(made, "attempt")),
        _ => {}
    }
    // Of one that was skipped its word says it.
    if task.outcome.is_some() && task.attempts > 0 && task.agent_runs == 0 {
        facts.push(NO_AGENT.into());
    }
    if let Some(pid) = task.pid {
        facts.push(format!("pid {pid}"));
        facts.extend(task.memory_bytes.map(bytes));
        facts.extend(task.cpu_percent.map(|percent| format!("{percent:.0}% CPU")));
    }
    facts.extend(task.turns.filter(|t| *t > 0).map(|t| count(t, "turn")));
    facts.extend(task.cost_usd.filter(|usd| *usd > 0.0).map(dollars));
    if task.pid.is_some() {
        // Both are whole seconds: it must not seem quiet for longer than it is there.
        let longest = task.duration.map_or(u64::MAX, |s| s as u64);
        match task.last_activity.map(|at| now.saturating_sub(at).min(longest)) {
            Some(quiet) if quiet > QUIET => facts.push(format!("quiet for {}", elapsed(Duration::from_secs(quiet)))),
            Some(_) => {}
            None => facts.push("no output yet".into()),
        }
    }
    let facts = facts.join(", ");
    match (task.outcome, &task.branch) {
        // What it failed of is in the words; where there is work of it all the same, that is said too.
        (Some(_), Some(branch)) if task.error.is_none() || task.commits.is_some_and(|n| n > 0) => {
            let changes = [changes(task), facts].into_iter().filter(|f| !f.is_empty());
            format!("{}  {}", unbroken(branch), changes.collect::<Vec<_>>().join(", "))
        }
        _ => facts,
    }
}

/// What a task does that waits for another attempt: `tries again in 12 s: exited with code 3`. Without the time now, in Unix
/// milliseconds, nobody is there to do it.
pub fn tries_again(wait: &Wait, now_ms: Option<u64>) -> String {
    let left = now_ms.map(|now| wait.until_ms.saturating_sub(now).min(wait.delay_ms));
    match left {
        // Whole seconds: it is counted down.
        Some(ms @ 1..) => {
            let left = Duration::from_secs(ms.div_ceil(1000));
            format!("tries again in {}: {}", elapsed(left), wait.why)
        }
        Some(0) => format!("tries again: {}", wait.why),
        None => format!("is to be tried again: {}", wait.why),
    }
}

/// What the agent of a task does. Its own worktree is not named: that is where it works.
pub fn activity(task: &TaskStatus) -> Option<String> {
    let activity = task.activity.as_deref()?.trim();
    Some(match &task.worktree {
        Some(worktree) => activity.replace(&format!("{}/", worktree.display()), ""),
        None => activity.to_owned(),
    })
}

/// What somebody said of a task: why it came to nothing, or what its agent does.
fn words(task: &TaskStatus) -> String {
    let said = match (&task.error, task.outcome) {
        (Some(error), _) => {
            let reason = task.reason.map_or("", |r| r.name());
            format!("{reason}: {error}").trim_start_matches(": ").to_owned()
        }
        (None, None) => activity(task).unwrap_or_default(),
        (None, Some(_)) => String::new(),
    };
    one_line(&said)
}

/// `running, 3 of 5 settled: 2 successful, 1 failed, 12 s`
pub fn headline(doc: &StatusDocument) -> String {
    let mut text = format!(
        "{}, {} of {} settled: {}",
        doc.overall_status.name(),
        doc.completed,
        count(doc.total, "task"),
        summary(doc)
    );
    if let Some(end) = doc.end_time {
        let _ = write!(
            text,
            ", {}",
            elapsed(Duration::from_secs(end.saturating_sub(doc.start_time)))
        );
    }
    text
}

/// `2 successful, 1 failed, 1 stopped, 1 skipped, $0.12`
fn summary(doc: &StatusDocument) -> String {
    let came_to = |outcome| doc.tasks.iter().filter(|t| t.outcome == Some(outcome)).count();
    let mut text = format!("{} successful, {} failed", doc.successful, came_to(Outcome::Failed));
    for outcome in [Outcome::Stopped, Outcome::Skipped] {
        match came_to(outcome) {
            0 => {}
            number => _ = write!(text, ", {number} {}", outcome.name()),
        }
    }
    let cost = doc.cost_usd.filter(|usd| *usd > 0.0).map(dollars);
    match (cost, doc.max_cost_usd.map(dollars)) {
        (Some(cost), Some(limit)) => text.push_str(&format!(", {cost} (limit {limit})")),
        (Some(cost), None) => text.push_str(&format!(", {cost}")),
        (None, Some(limit)) => text.push_str(&format!(", cost limit {limit}")),
        (None, None) => {}
    }
    text
}

/// The state of a task in one word, padded.
pub(super) fn word(task: &TaskStatus) -> String {
    let (word, style) = match (task.status, task.outcome) {
        (_, Some(outcome @ Outcome::Succeeded)) => (outcome.name(), Style::new().green()),
        (_, Some(outcome @ Outcome::Failed)) => (outcome.name(), Style::new().red()),
        (_, Some(outcome @ (Outcome::Stopped | Outcome::Skipped))) => (outcome.name(), Style::new().yellow()),
        (TaskStatusName::Running, _) if task.stopping => ("stopping", Style::new().yellow()),
        (TaskStatusName::Running, _) => ("running", Style::new().cyan()),
        _ => ("pending", Style::new().dim()),
    };
    style.apply_to(format!("{word:<9}")).to_string()
}

/// What there is to say of a task that did not succeed, in the rest of the line.
pub(super) fn detail(task: &TaskStatus) -> String {
    match (&task.error, &task.branch) {
        (None, Some(branch)) if task.outcome.is_some() => format!("{}  {}", unbroken(branch), changes(task)),
        _ => words(task),
    }
}

/// `2 commits, 3 files, +10 -2`
pub(super) fn changes(task: &TaskStatus) -> String {
    match (task.commits, task.files_changed, task.insertions, task.deletions) {
        (Some(0), ..) => "changed nothing".into(),
        (Some(commits), Some(files), Some(plus), Some(minus)) => amount(commits, files, plus, minus),
        _ => String::new(),
    }
}

/// The same of any two commits.
pub(super) fn amount(commits: usize, files: usize, plus: usize, minus: usize) -> String {
    format!(
        "{}, {}, +{plus} -{minus}",
        count(commits, "commit"),
        count(files, "file")
    )
}

#[cfg(test)]
mod tests;
