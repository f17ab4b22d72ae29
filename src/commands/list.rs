//! `pleach list`: all sessions, newest first. One that cannot be read is shown as such, and the list goes on.

use uuid::Uuid;

use super::place::{results_dir_here, status_of};
use super::{Context, output};
use crate::cli::ListArgs;
use crate::error::{Error, exit};
use crate::report::{self, ListDocument, ListEntry};
use crate::session::{OverallStatus, SessionError, StatusDocument, Stored, all};
use crate::store::now_ms;

pub(super) fn run(context: &Context, args: &ListArgs) -> Result<u8, Error> {
    let results = results_dir_here(context)?;
    let mut entries: Vec<(u64, ListEntry)> = all(&results)?.map(|(id, read)| entry(id, read)).collect();
    entries.sort_by(|(a, left), (b, right)| b.cmp(a).then_with(|| left.session_id.cmp(&right.session_id)));
    let sessions: Vec<ListEntry> = entries.into_iter().map(|(_, entry)| entry).collect();
    if args.json {
        report::json(&ListDocument { schema: 1, sessions }).map_err(output)?;
    } else {
        report::out(&report::list(&sessions)).map_err(output)?;
        for text in report::interrupted(&sessions, context.results_dir.as_deref()) {
            report::warning(&text);
        }
    }
    Ok(exit::DONE)
}

/// One line of the list, and when the session was made.
fn entry(id: Uuid, read: Result<Stored, SessionError>) -> (u64, ListEntry) {
    match read {
        Ok(stored) => {
            let entry = entry_of(status_of(&stored));
            (stored.recorded.spec.created_ms, entry)
        }
        // First, where it is seen.
        Err(e) => (u64::MAX, unreadable(&id.to_string(), &e)),
    }
}

/// A session as one line of a list.
pub(super) fn entry_of(doc: StatusDocument) -> ListEntry {
    let until = match (doc.end_time, doc.overall_status) {
        (Some(end), _) => Some(end),
        (None, OverallStatus::Running) => Some(now_ms() / 1000),
        (None, _) => None,
    };
    ListEntry {
        session_id: doc.session_id,
        overall_status: doc.overall_status.name(),
        start_time: Some(doc.start_time),
        end_time: doc.end_time,
        total: doc.total,
        completed: doc.completed,
        successful: doc.successful,
        failed: doc.failed,
        skipped: doc.skipped,
        duration: until.map(|end| end.saturating_sub(doc.start_time)),
        waiting_for: doc.waiting_for.filter(|_| doc.overall_status == OverallStatus::Running),
        error: doc.error,
    }
}

/// One of which nothing can be told but why.
pub(super) fn unreadable(id: &str, why: &impl ToString) -> ListEntry {
    ListEntry {
        session_id: id.to_owned(),
        overall_status: "unreadable",
        start_time: None,
        end_time: None,
        total: 0,
        completed: 0,
        successful: 0,
        failed: 0,
        skipped: 0,
        duration: None,
        waiting_for: None,
        error: Some(why.to_string()),
    }
}
