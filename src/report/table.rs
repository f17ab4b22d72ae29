//! The table of `status`, drawn again and again in its place.
//!
//! As much of it as the terminal has room for: when that is not all, then the header and the tasks that matter most
//! at the moment, those that run and those that failed. Without a terminal it is printed after each change.

use std::io;

use super::columns::cut_styled;
use super::screen::{Screen, Side};
use super::status::{header, status};
use super::terminal_width;
use crate::session::{Event, StatusDocument, TaskStatus, TaskStatusName};
use crate::task::Outcome;

/// The table on a terminal, or without one.
pub struct LiveTable {
    screen: Option<Screen>,
    printed: bool,
    /// Only the task with this number.
    task: Option<usize>,
}

impl LiveTable {
    /// Begins.
    pub fn new(task: Option<usize>) -> Self {
        Self {
            screen: Screen::on(Side::Out),
            printed: false,
            task,
        }
    }

    /// Shows where the session stands. An error is one of standard output.
    pub fn show(&mut self, events: &[Event], doc: &StatusDocument) -> io::Result<()> {
        match &mut self.screen {
            Some(screen) => {
                let (columns, lines) = screen.size();
                let shown = within(doc, self.task, lines.saturating_sub(1).max(1));
                let shown: Vec<String> = shown.iter().map(|l| cut_styled(l, columns.saturating_sub(1))).collect();
                // A terminal that has gone is a reader that has gone.
                let gone = |e| io::Error::new(io::ErrorKind::BrokenPipe, e);
                screen.draw(&[], &shown).map_err(gone)
            }
            None if events.is_empty() && self.printed => Ok(()),
            None => {
                let before = if self.printed { "\n" } else { "" };
                self.printed = true;
                super::written(&format!("{before}{}", status(doc, self.task)))
            }
        }
    }

    /// Takes the table away. The next [`show`](Self::show) brings it back.
    pub fn clear(&mut self) {
        if let Some(screen) = &mut self.screen {
            screen.clear();
        }
    }

    /// Leaves the whole table as the last thing that is shown.
    pub fn finish(mut self, doc: &StatusDocument) -> io::Result<()> {
        self.clear();
        match self.screen {
            Some(_) => super::out(&status(doc, self.task)),
            // It was printed after the last change.
            None => Ok(()),
        }
    }
}

/// The table in at most so many lines.
fn within(doc: &StatusDocument, task: Option<usize>, lines: usize) -> Vec<String> {
    let mut tasks: Vec<&TaskStatus> = doc.tasks.iter().collect();
    tasks.retain(|t| task.is_none_or(|n| t.task_num == n));
    // A task has one line or two: what has more tasks than there are lines need not be laid out to be seen not to fit.
    if tasks.len() < lines {
        let whole = status(doc, task);
        if whole.lines().count() <= lines {
            return whole.lines().map(str::to_owned).collect();
        }
    }
    tasks.sort_by_key(|task| rank(task));
    // Only the header is about all of them.
    let first = header(doc, None).trim_end().to_owned();
    let mut most = tasks.len().min(lines);
    let without_notes = |task: &&TaskStatus| TaskStatus {
        notes: Vec::new(),
        ..(*task).clone()
    };
    let mut part = StatusDocument {
        tasks: tasks[..most].iter().map(without_notes).collect(),
        warnings: Vec::new(),
        ..doc.clone()
    };
    loop {
        part.tasks.truncate(most);
        let mut shown = vec![first.clone()];
        // One line is enough for it where there are too few.
        let taken = header(&part, terminal_width()).lines().count();
        shown.extend(status(&part, task).lines().skip(taken).map(str::to_owned));
        if most < tasks.len() {
            shown.push(format!("  … {} more", tasks.len() - most));
        }
        if shown.len() <= lines || most == 0 {
            shown.truncate(lines);
            return shown;
        }
        most -= 1;
    }
}

/// Which tasks are shown before others.
fn rank(task: &TaskStatus) -> u8 {
    match (task.status, task.outcome) {
        (TaskStatusName::Running, _) => 0,
        (_, Some(Outcome::Failed)) => 1,
        (_, Some(Outcome::Stopped | Outcome::Skipped)) => 2,
        (TaskStatusName::Pending, _) => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::Task::{Failed, Pending, Running, Stopped, Succeeded};
    use crate::report::fixture::document;

    #[test]
    fn what_matters_now_is_shown_first_when_not_all_fits() {
        let doc = document(&[
            Succeeded(1.0),
            Pending,
            Failed(1.0),
            Stopped(1.0),
            Running(1.0),
            Running(1.0),
        ]);
        let numbers = |lines| -> Vec<String> {
            let shown = within(&doc, None, lines);
            assert!(
                shown.len() <= lines && shown[0].contains("3 of 6 tasks settled: 1 successful, 1 failed, 1 stopped")
            );
            // What a running one uses stands below it.
            let rest = shown[1..].iter().filter(|l| !l.starts_with("   "));
            rest.map(|l| l.trim().chars().take_while(|c| *c != ' ' || l.contains('…')).collect())
                .collect()
        };
        assert_eq!(numbers(9), ["1", "2", "3", "4", "5", "6"]);
        assert_eq!(numbers(8), ["5", "6", "3", "4", "… 2 more"]);
        assert_eq!(numbers(7), ["5", "6", "3", "… 3 more"]);
        assert_eq!(numbers(6), ["5", "6", "… 4 more"]);
        assert_eq!(numbers(5), ["5", "… 5 more"]);
        assert_eq!(numbers(2), ["… 6 more"]);
        assert_eq!(numbers(1), [""; 0]);
    }
}
