//! Shows a session while it runs.
//!
//! On a terminal the running tasks stand at its bottom, and what is over scrolls above them: a line for each task that
//! is settled, for each warning, and when the session is asked to stop. Without one there is a line for each change,
//! with its time. Settled tasks go to standard output, all else to standard error.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::Duration;
use std::{mem, ptr};

use console::{Style, Term};

use super::bars::Bars;
use super::columns::{cut, fit, width, wrap};
use super::frame::{Moment, frame};
use super::screen::{Screen, Side, is_shared};
use super::status::{detail, tries_again, waits_for, word};
use super::{clock, count, elapsed, one_line};
use crate::session::{Event, EventKind, OverallStatus, SessionSpec, StatusDocument, TaskStatus, Wait, log_line_of};
use crate::store::now_ms;
use crate::task::TaskId;

/// How wide a title may be where the line has an end.
const TITLE: usize = 40;
/// With fewer columns a line of a task has none for a time that there is not.
const NARROW: usize = 60;

/// The display of a session that is watched.
pub struct Progress {
    /// None without a terminal.
    screen: Option<Screen>,
    bars: Bars,
    /// Whether settled tasks are shown on the same terminal.
    shared: bool,
    most: Option<usize>,
    stopping: bool,
    /// What is waited for, as it was said last: the same is not said again and again.
    awaited: Option<String>,
    /// The last warning of the session: what is said next need not say it again.
    warned_last: Option<String>,
    /// How wide the titles are.
    titles: usize,
    /// To be shown with the next look.
    warnings: Vec<String>,
    /// Whether each event is shown as the session's log has it.
    verbose: bool,
}

/// What a change is shown as.
enum Line {
    /// Of a settled task.
    Settled(String),
    /// Of a task that is tried again.
    Retried(String),
    /// A word about the session.
    Said(String),
    /// A warning.
    Warned(String),
    /// What is only said where nothing else shows it.
    Narrated(String),
}

impl Progress {
    /// Begins.
    pub fn new(spec: &SessionSpec) -> Self {
        let titles = spec.tasks.iter().map(|t| width(&t.title)).max().unwrap_or(0);
        Self {
            screen: Screen::on(Side::Err),
            bars: Bars::new(spec.tasks.len()),
            shared: is_shared(),
            most: spec.options.max_parallel,
            stopping: false,
            awaited: None,
            warned_last: None,
            titles: titles.min(TITLE),
            warnings: Vec::new(),
            verbose: false,
        }
    }

    /// The same, which shows each event as the session's log has it.
    #[must_use]
    pub fn verbose(self, verbose: bool) -> Self {
        Self { verbose, ..self }
    }

    /// Shows what happened, and where the session stands. `answer` gives the beginning of what a task answered. An
    /// error is one of standard output; all that could be shown was shown.
    pub fn show(
        &mut self,
        events: &[Event],
        doc: &StatusDocument,
        answer: impl Fn(&str) -> Option<String>,
    ) -> io::Result<()> {
        let columns = self.columns();
        let by_id = doc.tasks.iter().map(|t| (t.transaction_id.as_str(), t));
        // Not at each look: most of them see nothing happen.
        let tasks: HashMap<&str, &TaskStatus> = by_id.take(if events.is_empty() { 0 } else { doc.total }).collect();
        let (mut out, mut above, mut written) = (String::new(), Vec::new(), Ok(()));
        let mut news = news(events, &tasks).into_iter().peekable();
        for event in events {
            if self.verbose {
                let name = |id: &TaskId| tasks.get(id.as_ref()).and_then(|task| named(id, task));
                above.extend(self.said("", &log_line_of(event, name)));
            }
            let shown = news.next_if(|next| ptr::eq(*next, event));
            let Some(line) = shown.and_then(|event| self.line(event, &tasks, columns, &answer)) else {
                continue;
            };
            let stamp = || format!("{}  ", clock(event.at_ms));
            let stamp = self.screen.is_none().then(stamp).unwrap_or_default();
            // They stand in the log too.
            if self.verbose && !matches!(line, Line::Settled(_)) {
                continue;
            }
            match (line, self.screen.is_some() && self.shared) {
                (Line::Settled(text), true) => above.push(text),
                (Line::Settled(text), false) => out.push_str(&format!("{stamp}{text}\n")),
                (Line::Retried(text), _) => above.push(format!("{stamp}{text}")),
                (Line::Said(text), _) => above.extend(self.said(&stamp, &text)),
                (Line::Warned(text), _) => above.extend(self.warned(&stamp, &text)),
                (Line::Narrated(text), _) => above.extend(self.screen.is_none().then(|| format!("{stamp}{text}"))),
            }
            if self.screen.is_none() && !out.is_empty() {
                // Both streams may go to one file: there it stands in the order in which it happened.
                above.drain(..).for_each(|line| super::note(&line));
                written = written.and(super::written(&mem::take(&mut out)));
            }
        }
        for text in mem::take(&mut self.warnings) {
            above.extend(self.warned("", &text));
        }
        if !out.is_empty() {
            // It may be the same terminal under another name (`/dev/tty`), or a reader that takes nothing now: what
            // stood would not be true any more by the time it is drawn again.
            self.clear();
            written = super::written(&out);
        }
        self.draw(&above, doc);
        written
    }

    /// Shows a warning that is not of the session, with what is shown next.
    pub fn warn(&mut self, text: String) {
        self.warnings.push(text);
    }

    /// Takes away what stands at the bottom of the terminal. The next [`show`](Self::show) brings it back.
    pub fn clear(&mut self) {
        if let Some(screen) = &mut self.screen {
            screen.clear();
        }
    }

    fn draw(&mut self, above: &[String], doc: &StatusDocument) {
        let Some(screen) = &mut self.screen else {
            for line in above {
                super::note(line);
            }
            return;
        };
        let (columns, lines) = screen.size();
        let moment = Moment {
            now_ms: now_ms(),
            most: self.most,
            stopping: self.stopping,
        };
        let standing = if doc.overall_status == OverallStatus::Running {
            self.bars
                .lines(&frame(doc, &moment, columns, lines), doc.completed, columns)
        } else {
            Vec::new()
        };
        if screen.draw(above, &standing).is_err() {
            // The terminal has gone. The session goes on, and standard output may still be there.
            self.screen = None;
        }
    }

    /// The columns for a settled task: none where its line has no end.
    fn columns(&self) -> Option<usize> {
        let out = Term::stdout();
        out.is_term().then(|| usize::from(out.size().1).saturating_sub(1))
    }

    /// Text that is said: on a terminal in lines that it does not break.
    fn said(&self, stamp: &str, text: &str) -> Vec<String> {
        match &self.screen {
            Some(screen) => wrap(text, screen.size().0.saturating_sub(1)),
            None => vec![format!("{stamp}{}", one_line(text))],
        }
    }

    fn warned(&self, stamp: &str, text: &str) -> Vec<String> {
        const WORD: &str = "warning:";
        let mut said = self.said(stamp, &format!("{WORD} {text}"));
        let style = Style::new().for_stderr().yellow();
        if let Some(first) = said.first_mut() {
            *first = first.replacen(WORD, &style.apply_to(WORD).to_string(), 1);
        }
        said
    }

    /// What an event is shown as; nothing for most.
    fn line(
        &mut self,
        event: &Event,
        tasks: &HashMap<&str, &TaskStatus>,
        columns: Option<usize>,
        answer: &impl Fn(&str) -> Option<String>,
    ) -> Option<Line> {
        let of = |id: &TaskId| tasks.get(id.as_ref()).copied();
        Some(match &event.kind {
            EventKind::AttemptStarted { task, number, .. } => {
                let style = Style::new().for_stderr().cyan();
                Line::Narrated(began("started", &style, of(task)?, *number))
            }
            EventKind::TaskStopAsked { task, .. } => {
                let style = Style::new().for_stderr().yellow();
                Line::Narrated(began("stopping", &style, of(task)?, 1))
            }
            EventKind::TaskWaits { task, wait } => {
                // Of the other stream, which may be another terminal.
                let columns = self.screen.as_ref().map(|screen| screen.size().0.saturating_sub(1));
                Line::Retried(retried(of(task)?, wait, self.titles, columns))
            }
            EventKind::TaskSettled { task, .. } => {
                let task = of(task)?;
                let answer = answer(&task.transaction_id);
                Line::Settled(settled(task, answer.as_deref(), self.titles, columns))
            }
            EventKind::Warned {
                task: Some(task),
                text: warning,
            }
            | EventKind::TaskHandled {
                task,
                error: Some(warning),
            } => Line::Warned(format!("task {}: {warning}", of(task)?.task_num)),
            other => return self.line_of_session(other),
        })
    }

    /// The same of what is of no task.
    fn line_of_session(&mut self, kind: &EventKind) -> Option<Line> {
        Some(match kind {
            EventKind::SessionStarted { .. } => {
                self.stopping = false;
                return None;
            }
            EventKind::Warned { task: None, text } => {
                self.warned_last = Some(text.clone());
                Line::Warned(text.clone())
            }
            EventKind::StopAsked { now } => {
                self.stopping = true;
                let what = match now {
                    true => "killing the agents",
                    false => "stopping: agents end, their work is kept",
                };
                Line::Said(what.into())
            }
            EventKind::SessionHalted { why, .. } => Line::Said(match self.warned_last.as_ref() == Some(why) {
                true => "no task starts any more".into(),
                false => format!("no task starts any more: {why}"),
            }),
            EventKind::Waiting { why: Some(why) } => {
                let said = self.awaited.replace(why.clone());
                if said.as_ref() == Some(why) {
                    return None;
                }
                Line::Said(waits_for(why))
            }
            _ => return None,
        })
    }
}

/// Those of the events that are shown. Of what happened before the session was gone on with only what has come of it: how
/// tasks were settled that are so still, and warnings. A task that was tried again is shown once.
fn news<'e>(events: &'e [Event], tasks: &HashMap<&str, &TaskStatus>) -> Vec<&'e Event> {
    let started = |event: &Event| matches!(event.kind, EventKind::SessionStarted { .. });
    let begin = events.iter().rposition(started).unwrap_or(0);
    let mut shown = HashSet::new();
    let mut news: Vec<&Event> = Vec::new();
    for (index, event) in events.iter().enumerate().rev() {
        let is_news = match &event.kind {
            EventKind::TaskSettled { task, .. } => {
                let settled = tasks.get(task.as_ref()).is_some_and(|task| task.outcome.is_some());
                settled && shown.insert(task)
            }
            EventKind::Warned { .. } | EventKind::TaskHandled { .. } => true,
            _ => index >= begin,
        };
        if is_news {
            news.push(event);
        }
    }
    news.reverse();
    news
}

/// What a task is called whose id nobody has given: its number and its title, as in the other lines.
fn named(id: &TaskId, task: &TaskStatus) -> Option<String> {
    let title = || cut(&task.title, TITLE);
    id.is_made_up().then(|| format!("{} ({})", task.task_num, title()))
}

/// One line for a task with which something begins.
fn began(what: &str, style: &Style, task: &TaskStatus, attempt: u32) -> String {
    let word = style.apply_to(format!("{what:<9}"));
    let again = match attempt {
        0 | 1 => String::new(),
        number => format!("  (attempt {number})"),
    };
    format!("{word} {:>3}  {}{again}", task.task_num, one_line(&task.title))
}

/// One line for a task whose attempt has failed and that is tried again, in the columns of the settled ones.
fn retried(task: &TaskStatus, wait: &Wait, titles: usize, columns: Option<usize>) -> String {
    let what = tries_again(wait, Some(wait.until_ms.saturating_sub(wait.delay_ms)));
    let word = Style::new().for_stderr().yellow().apply_to("retrying ");
    // What it has taken is only known when it is settled.
    let waits = TaskStatus {
        duration: None,
        ..task.clone()
    };
    let mut parts = head(&waits, titles, columns);
    parts.push(what);
    format!("{word} {}", rest(&parts, columns))
}

/// Number, title and time of a task as they stand in its line.
fn head(task: &TaskStatus, titles: usize, columns: Option<usize>) -> Vec<String> {
    let time = task.duration.map(|s| elapsed(Duration::from_secs_f64(s)));
    let titles = columns.map_or(titles, |columns| titles.min(columns * 2 / 7));
    let title = match columns {
        Some(_) => fit(&task.title, titles),
        None => format!("{}{:2$}", task.title, "", titles.saturating_sub(width(&task.title))),
    };
    let time = match (time, columns) {
        // There is no room for what has not come.
        (None, Some(0..NARROW)) => String::new(),
        (time, _) => format!("{:>9}", time.unwrap_or_default()),
    };
    vec![format!("{:>3}  {title}", task.task_num), time]
}

/// What stands behind the word of a line, which is nine columns wide.
fn rest(parts: &[String], columns: Option<usize>) -> String {
    let there: Vec<&str> = parts.iter().map(String::as_str).filter(|p| !p.is_empty()).collect();
    cut(
        &there.join("  "),
        columns.map_or(usize::MAX, |columns| columns.saturating_sub(10)),
    )
}

/// One line for a settled task, in at most so many columns: how it ended, what it changed and where, and what it
/// answered, or why it failed.
fn settled(task: &TaskStatus, answer: Option<&str>, titles: usize, columns: Option<usize>) -> String {
    let mut parts = head(task, titles, columns);
    let first = answer.and_then(|a| a.lines().find(|l| !l.trim().is_empty()));
    if task.success == Some(true) {
        parts.extend([changed(task), task.branch.clone().unwrap_or_default()]);
        parts.push(first.unwrap_or_default().trim().to_owned());
    } else {
        let branch = None;
        parts.push(detail(&TaskStatus { branch, ..task.clone() }));
        // The work of one that did not succeed is kept too, if there is any.
        if task.commits.is_some_and(|n| n > 0) {
            parts.extend([changed(task), task.branch.clone().unwrap_or_default()]);
        }
    }
    format!("{} {}", word(task), rest(&parts, columns))
}

/// `3 files +10 -2`
fn changed(task: &TaskStatus) -> String {
    match (task.files_changed, task.insertions, task.deletions) {
        (Some(0), ..) => "changed nothing".into(),
        (Some(files), Some(plus), Some(minus)) => format!("{} +{plus} -{minus}", count(files, "file")),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::Task::{Failed, Pending, Stopped, Succeeded};
    use crate::report::fixture::document;
    use crate::session::NextAttempt;

    #[test]
    fn a_made_up_id_is_not_what_a_task_is_called() {
        let mut doc = document(&[Pending]);
        doc.tasks[0].title = "Do it ".repeat(20);
        let made_up = TaskId::fresh();
        let expected = "1 (Do it Do it Do it Do it Do it Do it Do…)";
        assert_eq!(named(&made_up, &doc.tasks[0]).as_deref(), Some(expected));
        for given in ["t1", "95186245", "main-task-1"] {
            assert_eq!(named(&TaskId::parse(given).unwrap(), &doc.tasks[0]), None);
        }
    }

    fn line(task: &TaskStatus, answer: &str, columns: Option<usize>) -> String {
        let line = settled(task, Some(answer), 25, columns);
        console::strip_ansi_codes(&line).into_owned()
    }

    #[test]
    fn a_settled_task_is_one_line() {
        let doc = document(&[Succeeded(3.2), Failed(75.0), Stopped(3700.0)]);
        for (task, columns, expected) in [
            (
                0,
                None,
                "succeeded   1  Do the task with number 1      3.2 s  2 files +30 -4  main-task-t1  I did it",
            ),
            (
                1,
                None,
                "failed      2  Do the task with number 2   1 m 15 s  exit: exited with code 3  2 files +30 -4  main-task-t2",
            ),
            (
                2,
                None,
                "stopped     3  Do the task with number 3   1 h 01 m  2 files +30 -4  main-task-t3",
            ),
            (
                0,
                Some(79),
                "succeeded   1  Do the task with numb…      3.2 s  2 files +30 -4  main-task-t1…",
            ),
            (
                1,
                Some(79),
                "failed      2  Do the task with numb…   1 m 15 s  exit: exited with code 3  2…",
            ),
            (0, Some(39), "succeeded   1  Do the tas…      3.2 s…"),
        ] {
            assert_eq!(line(&doc.tasks[task], "\n  \n  I did it\nand more", columns), expected);
        }
    }

    #[test]
    fn a_task_that_is_tried_again_stands_in_the_same_columns() {
        let wait = Wait {
            delay_ms: 5_000,
            until_ms: 1_700_000_005_000,
            why: "exit: exited with code 3".into(),
            next: NextAttempt::Anew,
            counts: true,
        };
        let mut doc = document(&[Succeeded(3.2), Pending]);
        doc.tasks[1].duration = Some(75.0);
        let line = |columns| {
            let line = retried(&doc.tasks[1], &wait, 25, columns);
            console::strip_ansi_codes(&line).into_owned()
        };
        for (columns, expected) in [
            (
                None,
                "retrying    2  Do the task with number 2             tries again in 5 s: exit: exited with code 3",
            ),
            (
                Some(79),
                "retrying    2  Do the task with numb…             tries again in 5 s: exit: ex…",
            ),
            (Some(39), "retrying    2  Do the tas…  tries agai…"),
        ] {
            assert_eq!(line(columns), expected);
        }
        doc.tasks[1].title = "漢\x1b[2J字".repeat(30);
        for columns in 20..100 {
            let line = retried(&doc.tasks[1], &wait, 25, Some(columns));
            let line = console::strip_ansi_codes(&line);
            assert!(width(&line) <= columns && !line.contains('\x1b'), "{line:?}");
        }
    }

    #[test]
    fn a_task_that_changed_nothing_and_one_without_a_branch() {
        let mut doc = document(&[Succeeded(3.0), Failed(3.0)]);
        (doc.tasks[0].commits, doc.tasks[0].files_changed) = (Some(0), Some(0));
        (doc.tasks[1].commits, doc.tasks[1].branch) = (None, None);
        assert!(line(&doc.tasks[0], "", None).ends_with("3 s  changed nothing  main-task-t1"));
        assert!(line(&doc.tasks[1], "ignored", None).ends_with("3 s  exit: exited with code 3"));
    }

    #[test]
    fn nothing_in_it_reaches_the_terminal_unescaped_or_makes_it_wide() {
        let mut doc = document(&[Succeeded(3.0)]);
        doc.tasks[0].title = "漢".repeat(30);
        let hostile = "\x1b[2J\x1b]0;title\x07 漢字 👩\u{200d}💻 ".repeat(1000);
        for columns in (20..200).step_by(9).map(Some).chain([None]) {
            let line = line(&doc.tasks[0], &hostile, columns);
            assert!(!line.chars().any(char::is_control), "{line:?}");
            assert!(columns.is_none_or(|columns| width(&line) <= columns), "{line}");
        }
    }
}
