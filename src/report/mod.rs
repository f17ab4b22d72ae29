//! Everything that is shown: text for people. It reads what is written down and decides nothing.
//!
//! Answers go to standard output, narration and errors to standard error. Colour is never the only sign. What comes
//! from tasks and agents is escaped before it reaches a terminal.

mod bars;
mod clean;
mod columns;
mod config;
mod diff;
mod doctor;
mod dry_run;
mod estimate;
#[cfg(test)]
mod fixture;
mod follow;
mod frame;
mod list;
mod logs;
mod merge;
mod open;
mod overview;
mod plan;
mod recover;
mod results;
mod run;
mod schema;
mod screen;
mod status;
mod table;
mod verify;
mod words;

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

pub use clean::{CleanDocument, CleanItem, Cleaning};
pub use config::{ConfigDocument, acting, approved, config, config_document, config_keys, results_not_there};
pub use diff::{ChangedFile, DiffDocument, TaskDiff, about_work, heading, unused_to_show, without_changes};
pub use doctor::{Diagnosis, diagnosis};
pub use dry_run::{Argv, DryRun, DryTask, dry_run};
pub use follow::Progress;
pub use list::{ListDocument, ListEntry, interrupted, list};
pub use logs::{LogText, LogsDocument, about_log};
pub use merge::{LeftOutEntry, MergeDocument, MergedEntry, UndoDocument, UndoneBranch};
pub use open::{checked_out_elsewhere, entering, made_anew, not_settled, other_branch_there};
pub use overview::{Disk, Overview, SessionsByState, TaskCounts, overview};
pub use plan::{Inside, PlanContext, PlanDocument, foreseen, plan, plan_document};
pub use recover::{KeptTask, KeptWork, RecoverDocument, Restored, recover, restored};
pub use results::{ResultsDocument, StepResult, TaskResult, results};
pub use run::{Left, Started, details, goes_on, resume, started};
pub use schema::schemas;
pub use status::{headline, status, tries_again};
pub use table::LiveTable;
pub use verify::{VerifyFailure, VerifyRuns, end_of, verifying};
pub use words::{clock, commands_of, escape, looking_there, program, time_of_day};

use words::{one_line, unbroken};

use crate::words::{bytes, count, dollars, elapsed, quote};

/// Prints an answer. A reader that has gone away (`| head`) is no error, and changes nothing else: the exit code is
/// still that of what was done.
pub fn out(text: &str) -> io::Result<()> {
    pour(text.as_bytes()).map(|_| ())
}

/// Prints a part of a long answer; false when its reader has gone away.
pub fn pour(bytes: &[u8]) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        other => other.map(|()| true),
    }
}

/// The same, and a reader that has gone away is an error: for what is printed only to be read at once.
fn written(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

/// Prints an answer as JSON.
pub fn json<T: Serialize>(value: &T) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    out(&text)
}

/// Prints narration, a line or several.
pub fn note(text: &str) {
    // Nobody left to tell.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints a question, whose answer is typed behind it.
pub fn ask(text: &str) -> io::Result<()> {
    let mut err = io::stderr().lock();
    err.write_all(escape(text).as_bytes()).and_then(|()| err.flush())
}

/// Prints a warning.
pub fn warning(text: &str) {
    let word = console::style("warning:").for_stderr().yellow();
    note(&format!("{word} {}", escape(text)));
}

/// Prints an error, and what to do about it, a line each whatever a path in it may hold.
pub fn error(message: &str, hint: &str) {
    let word = console::style("error:").for_stderr().red().bold();
    note(&format!("{word} {}\n hint: {}", bounded(message), bounded(hint)));
}

/// A line, without the end of one that nobody would read: there may be a megabyte of somebody else's text in it.
fn bounded(text: &str) -> String {
    const MOST: usize = 10_000;
    match text.char_indices().nth(MOST) {
        Some((cut, _)) => unbroken(&text[..cut]) + "…",
        None => unbroken(text),
    }
}

/// The columns of the terminal that is standard output; none when it is a file, or does not tell.
fn terminal_width() -> Option<usize> {
    let size = console::Term::stdout().size_checked();
    size.map(|(_, columns)| usize::from(columns))
}

/// Text of an agent for standard output: as it is into a file, escaped on a terminal.
pub fn from_agent(text: &str) -> String {
    if io::stdout().is_terminal() {
        escape(text)
    } else {
        text.to_owned()
    }
}
