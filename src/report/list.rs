//! The sessions, newest first.

use std::fmt::Write;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::{elapsed, escape, time_of_day};

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
    /// Seconds, until now for one that runs.
    pub duration: Option<u64>,
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
        let _ = writeln!(
            text,
            "{id}  {started:<16}  {state:<11}  {settled:>9}  {:>10}  {time:>9}",
            entry.successful
        );
    }
    text
}
