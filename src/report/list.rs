//! The sessions, newest first.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::run::resume;
use super::{elapsed, escape, one_line, time_of_day};
use crate::session::OverallStatus;

/// The list as JSON.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the documentation, in the README's table")]
pub struct ListDocument {
    pub schema: u32,
    pub sessions: Vec<ListEntry>,
}

/// One session of the list.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the documentation, in the README's table")]
pub struct ListEntry {
    pub session_id: String,
    /// As in `status`, or `unreadable`.
    pub overall_status: &'static str,
    /// Unix seconds; none when it cannot be read.
    pub start_time: Option<u64>,
    pub end_time: Option<u64>,
    pub total: usize,
    pub completed: usize,
    pub successful: usize,
    pub failed: usize,
    pub skipped: usize,
    /// Seconds, until now for one that runs.
    pub duration: Option<u64>,
    /// What has to be there before another task of it starts.
    pub waiting_for: Option<String>,
    pub error: Option<String>,
}

/// The list as text.
pub fn list(entries: &[ListEntry]) -> String {
    if entries.is_empty() {
        return "no sessions\n".into();
    }
    let mut text = format!(
        "{:<8}  {:<16}  {:<11}  {:>9}  {:>10}  {:>9}\n",
        "session", "started", "state", "settled", "successful", "time"
    );
    for entry in entries {
        let id: String = entry.session_id.chars().take(8).collect();
        let started = entry.start_time.map(time_of_day).unwrap_or_default();
        let state = entry.overall_status;
        if let (None, Some(error)) = (entry.start_time, &entry.error) {
            let _ = writeln!(text, "{id}  {started:<16}  {state:<11}  {}", escape(error));
            continue;
        }
        let settled = format!("{}/{}", entry.completed, entry.total);
        let time = entry
            .duration
            .map(|s| elapsed(Duration::from_secs(s)))
            .unwrap_or_default();
        let waits = entry
            .waiting_for
            .as_deref()
            .map(|why| format!("  waits for {}", one_line(why)));
        let _ = writeln!(
            text,
            "{id}  {started:<16}  {state:<11}  {settled:>9}  {:>10}  {time:>9}{}",
            entry.successful,
            waits.unwrap_or_default()
        );
    }
    text
}

/// How to go on with the sessions that were interrupted, a line each, for the newest of them.
pub fn interrupted(entries: &[ListEntry], results_option: Option<&Path>) -> Vec<String> {
    const MOST: usize = 3;
    let interrupted = || {
        entries
            .iter()
            .filter(|e| e.overall_status == OverallStatus::Interrupted.name())
    };
    let line = |entry: &ListEntry| {
        let id: String = entry.session_id.chars().take(8).collect();
        let go_on = resume(&entry.session_id, results_option);
        format!("session {id} was interrupted; to go on: {go_on}")
    };
    let mut lines: Vec<String> = interrupted().take(MOST).map(line).collect();
    if let more @ 1.. = interrupted().count().saturating_sub(MOST) {
        lines.push(format!("and so were {more} more"));
    }
    lines
}
