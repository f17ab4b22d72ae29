//! What stands at the bottom of a terminal while a session runs: a line for each running task, and one for all.
//!
//! Pure: a document, the size of the terminal and a moment make lines. They fit: none is as wide as the terminal, so
//! none wraps, and together they take at most half of its height (but the lower ones of small terminals), so that
//! what scrolls above them can be read, and a terminal that is made half as wide still shows all of them.

use std::time::Duration;

use console::Style;

use super::columns::{cut, fit, width};
use super::estimate::{over_its_limit, time_left, words};
use super::status::activity;
use super::{count, dollars, elapsed};
use crate::session::{StatusDocument, TaskStatus, TaskStatusName};
use crate::task::Outcome;

/// How wide a title may be.
const TITLE: usize = 40;
/// How wide what a task does may be: more of it is hard to read along a line.
const ACTIVITY: usize = 60;
/// How wide a length of time is at most.
const TIME: usize = 9;
/// With fewer columns besides its number a task is only named.
const NARROW: usize = 12;
/// How many columns the bar takes, where there is room for it.
const BAR: usize = 20;
/// So many lines are taken even if they are more than half of the terminal.
const LINES: usize = 8;

/// What is drawn, besides the document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Unix milliseconds.
    pub now_ms: u64,
    /// How many tasks run at once.
    pub most: Option<usize>,
    /// Whether the session was asked to stop.
    pub stopping: bool,
}

/// The lines, from top to bottom.
#[derive(Debug, Default)]
pub(super) struct Frame {
    /// Of the running tasks.
    pub tasks: Vec<String>,
    /// Columns of the bar before the last line; none where it has no room.
    pub bar: Option<usize>,
    /// Of the session.
    pub session: String,
}

/// Lays a document out on a terminal of this many columns and lines.
pub(super) fn frame(doc: &StatusDocument, moment: &Moment, columns: usize, lines: usize) -> Frame {
    // The last column stays free: a terminal that is written full to the edge may go on to the next line.
    let columns = columns.saturating_sub(1).max(1);
    let running: Vec<&TaskStatus> = doc
        .tasks
        .iter()
        .filter(|t| t.status == TaskStatusName::Running)
        .collect();
    let room = (lines / 2).max(LINES).min(lines.saturating_sub(1)).saturating_sub(1);
    let shown = if running.len() <= room {
        running.len()
    } else {
        room.saturating_sub(1)
    };
    let table = Table::new(doc, &running[..shown], columns);
    let mut tasks: Vec<String> = running[..shown].iter().map(|t| table.line(t)).collect();
    if room > 0 && shown < running.len() {
        let more = running.len() - shown;
        let text = match shown {
            0 => format!("{more} running"),
            _ => format!("{:table$}  … and {more} more running", "", table = table.numbers),
        };
        tasks.push(cut(&text, columns));
    }
    let parts = parts(doc, moment, running.len());
    let (session, taken) = fitting(&parts, columns);
    // Only beside the whole text.
    let bar = (taken == parts.len() && columns >= session.1 + BAR + 2).then_some(BAR);
    Frame {
        tasks,
        bar,
        session: session.0,
    }
}

/// The columns of the lines of tasks, which are the same in all of them.
struct Table {
    columns: usize,
    numbers: usize,
    title: usize,
    activity: usize,
    turns: bool,
    cost: bool,
    time: bool,
}

impl Table {
    fn new(doc: &StatusDocument, shown: &[&TaskStatus], columns: usize) -> Self {
        let numbers = doc.total.to_string().len();
        let time = columns >= 20;
        let turns = columns >= 60;
        let cost = columns >= 60 && shown.iter().any(|t| t.cost_usd.is_some());
        let right = [(time, TIME), (turns, 11), (cost, 9)];
        let right: usize = right.iter().filter(|(there, _)| *there).map(|(_, n)| n).sum();
        let left = columns.saturating_sub(numbers + 2 + right + 2);
        let titles = shown.iter().map(|t| width(&t.title)).max().unwrap_or(0);
        // What the agent does is what changes; the title only says which task it is.
        let title = titles.min(TITLE).min(left * 2 / 5);
        Self {
            columns,
            numbers,
            title,
            activity: left.saturating_sub(title + 2).min(ACTIVITY),
            turns,
            cost,
            time,
        }
    }

    fn line(&self, task: &TaskStatus) -> String {
        if self.columns < self.numbers + NARROW {
            let text = format!("{:>numbers$}  {}", task.task_num, task.title, numbers = self.numbers);
            return cut(&text, self.columns);
        }
        let mut line = format!(
            "{:>numbers$}  {}  {}  ",
            task.task_num,
            fit(&task.title, self.title),
            Style::new()
                .for_stderr()
                .cyan()
                .apply_to(fit(&doing(task), self.activity)),
            numbers = self.numbers,
        );
        if self.turns {
            let turns = task.turns.map(|n| count(n, "turn"));
            line.push_str(&format!("{:>9}  ", turns.unwrap_or_default()));
        }
        if self.cost {
            let cost = task.cost_usd.map(dollars);
            line.push_str(&format!("{:>7}  ", cost.unwrap_or_default()));
        }
        if self.time {
            let time = task.duration.map(|s| elapsed(Duration::from_secs(s as u64)));
            let time = format!("{:>TIME$}", time.unwrap_or_default());
            line.push_str(&Style::new().for_stderr().dim().apply_to(time).to_string());
        }
        line
    }
}

/// What happens to a running task now.
fn doing(task: &TaskStatus) -> String {
    match (activity(task), &task.worktree) {
        _ if task.stopping => "stopping".into(),
        (Some(activity), _) => activity,
        (None, Some(_)) if task.attempts == 0 => "its worktree is being made".into(),
        (None, Some(_)) if task.exit_code.is_some() => "its work is being committed".into(),
        // It works in the checkout, in which nothing is committed.
        (None, None) if task.exit_code.is_some() => "ending".into(),
        // It has printed something, and nothing of what it does.
        (None, _) if task.last_activity.is_some() => "at work".into(),
        (None, _) => "starting".into(),
    }
}

/// A part of the session's line: how much it matters (least first to go), its text and what may stand for it where that
/// has no room, its style.
struct Part {
    matters: u8,
    text: String,
    short: &'static str,
    style: Style,
}

fn parts(doc: &StatusDocument, moment: &Moment, running: usize) -> Vec<Part> {
    let plain = Style::new().for_stderr();
    let came_to = |outcome| doc.tasks.iter().filter(|t| t.outcome == Some(outcome)).count();
    let waiting = doc.total - doc.completed - running;
    let waits = if moment.stopping || over_its_limit(doc) {
        "not started"
    } else {
        "waiting"
    };
    let cost = doc.cost_usd.filter(|usd| *usd > 0.0).map(dollars);
    let cost = match (cost, doc.max_cost_usd.map(dollars)) {
        (cost, Some(limit)) => format!("{} of {limit}", cost.unwrap_or_else(|| dollars(0.0))),
        (cost, None) => cost.unwrap_or_default(),
    };
    let seconds = (moment.now_ms / 1000).saturating_sub(doc.start_time);
    // All of it scrolls above, with the numbers.
    let awaited = doc
        .waiting_for
        .as_ref()
        .map(|why| why.split(": ").next().unwrap_or_default());
    let awaited = awaited.map(|why| why.split(" among ").next().unwrap_or_default());
    let (left, matters) = match (moment.stopping, awaited) {
        (true, _) => ("stopping".into(), 6),
        (false, Some(awaited)) => (format!("waits for {awaited}"), 8),
        (false, None) if doc.completed == doc.total => (String::new(), 6),
        (false, None) => match time_left(doc, moment) {
            // That nothing is known says less than any number.
            None => (words(None), 1),
            known => (words(known), 6),
        },
    };
    // Where that it waits has no room with all of what for, it is said all the same.
    let short = if awaited.is_some() && !moment.stopping {
        "waits"
    } else {
        ""
    };
    let parts = [
        (
            9,
            format!("{}/{} settled", doc.completed, doc.total),
            plain.clone().bold(),
        ),
        (2, some(doc.successful, "succeeded"), plain.clone().green()),
        (8, some(came_to(Outcome::Failed), "failed"), plain.clone().red()),
        (5, some(came_to(Outcome::Stopped), "stopped"), plain.clone().yellow()),
        (5, some(came_to(Outcome::Skipped), "skipped"), plain.clone().yellow()),
        (7, format!("{running} running"), plain.clone().cyan()),
        (3, some(waiting, waits), plain.clone()),
        (4, cost, plain.clone()),
        (6, elapsed(Duration::from_secs(seconds)), plain.clone()),
        (matters, left, plain.clone().dim()),
    ];
    let part = |(matters, text, style)| Part {
        matters,
        text,
        short: "",
        style,
    };
    let mut parts: Vec<Part> = parts.into_iter().map(part).filter(|p| !p.text.is_empty()).collect();
    if let Some(last) = parts.last_mut() {
        last.short = short;
    }
    parts
}

/// `3 failed`, and nothing for none.
fn some(number: usize, what: &str) -> String {
    if number == 0 {
        String::new()
    } else {
        format!("{number} {what}")
    }
}

/// The parts that have room, those that matter most before the others; the line with its width, and how many they are.
fn fitting(parts: &[Part], columns: usize) -> ((String, usize), usize) {
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(parts[i].matters));
    let with = |wide: usize, text: &str| wide + width(text) + if wide > 0 { 2 } else { 0 };
    let mut taken: Vec<Option<&str>> = vec![None; parts.len()];
    let mut wide = 0;
    for i in order {
        let fits = |text: &&str| !text.is_empty() && with(wide, text) <= columns;
        taken[i] = [parts[i].text.as_str(), parts[i].short].into_iter().find(fits);
        wide = taken[i].map_or(wide, |text| with(wide, text));
    }
    // How many are settled is said even if not all of it can be read.
    if taken.first().is_none_or(Option::is_none) {
        let text = parts.first().map(|p| cut(&p.text, columns)).unwrap_or_default();
        return ((text, columns), 0);
    }
    let styled = |(part, text): (&Part, &Option<&str>)| Some(part.style.apply_to((*text)?).to_string());
    let texts: Vec<String> = parts.iter().zip(&taken).filter_map(styled).collect();
    ((texts.join("  "), wide), texts.len())
}

#[cfg(test)]
mod tests;
