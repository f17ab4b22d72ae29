//! `pleach status`: where each task of a session stands.

use std::io;
use std::time::Duration;

use super::attend::{Attendance, Attended, Display};
use super::follow::Look;
use super::place::{session_before_task, status_of, task_number};
use super::signals::{Caught, Signals, end_at_the_second};
use super::usage::{Sample, add_usage};
use super::watch::left;
use super::{Context, output};
use crate::cli::StatusArgs;
use crate::error::{Error, exit};
use crate::report::{self, LiveTable};
use crate::session::{OverallStatus, SessionState, StatusDocument, Stored, is_above, stored};
use crate::store::paths::SessionPaths;
use crate::task::{FailureReason, Outcome};
use crate::words::count;

/// The share of the CPU is taken over at least this time.
const SHORTEST_SHARE: Duration = Duration::from_millis(900);

pub(super) fn run(context: &Context, args: &StatusArgs) -> Result<u8, Error> {
    let StatusArgs { query: args, watch } = args;
    let stored = stored(&session_before_task(context, args.session.as_deref(), "status")?)?;
    let task = args
        .task
        .as_deref()
        .map(|t| task_number(&stored.recorded.spec, t))
        .transpose()?;
    if *watch {
        return stay(context, &stored, task);
    }
    let mut doc = status_of(&stored);
    let _ = add_usage(&mut doc, &stored.paths, &stored.recorded.state, None);
    if args.json {
        doc.tasks.retain(|t| task.is_none_or(|n| t.task_num == n));
        report::json(&doc).map_err(output)?;
    } else {
        report::out(&report::status(&doc, task)).map_err(output)?;
        say_how_to_go_on(context, &doc);
    }
    Ok(exit::DONE)
}

/// Shows the table until the session has ended.
fn stay(context: &Context, stored: &Stored, task: Option<usize>) -> Result<u8, Error> {
    let mut attendance = Attendance::begin(&stored.paths, Signals::catch()?, end_at_the_second())?;
    let mut shown = Shown {
        table: LiveTable::new(task),
        paths: &stored.paths,
        sample: None,
    };
    let attended = attendance.stay(&mut shown, Caught::leaves)?;
    match attended {
        Attended::Ended(doc) => {
            shown.table.finish(&doc).map_err(output)?;
            say_how_to_go_on(context, &doc);
            Ok(exit::DONE)
        }
        Attended::Left(caught) => {
            drop(shown);
            Ok(left(context, attendance.spec(), caught))
        }
        Attended::Unread => Ok(exit::DONE),
    }
}

/// The table with what the agents use between two looks.
struct Shown<'p> {
    table: LiveTable,
    paths: &'p SessionPaths,
    sample: Option<Sample>,
}

impl Display for Shown<'_> {
    fn show(&mut self, look: &Look, state: &SessionState) -> io::Result<()> {
        let mut doc = look.doc.clone();
        let sample = add_usage(&mut doc, self.paths, state, self.sample.as_ref());
        // Over a shorter time the share of the CPU would jump.
        if self.sample.as_ref().is_none_or(|s| s.at.elapsed() >= SHORTEST_SHARE) {
            self.sample = Some(sample);
        }
        self.table.show(&look.events, &doc)
    }

    fn clear(&mut self) {
        self.table.clear();
    }

    fn warn(&mut self, text: String) {
        report::warning(&text);
    }
}

/// How to go on with a session that nobody works on and that is not done.
pub(super) fn say_how_to_go_on(context: &Context, doc: &StatusDocument) {
    let go_on = report::resume(&doc.session_id, context.results_dir.as_deref());
    match (doc.overall_status, doc.total - doc.completed) {
        (OverallStatus::Interrupted, _) => report::warning(&format!(
            "the session was interrupted: its supervisor is gone. Nothing of it is lost; to go on: {go_on}"
        )),
        (OverallStatus::Stopped | OverallStatus::Error, left @ 1..) => {
            let limit = match is_above(doc.max_cost_usd, doc.cost_usd) {
                true => " --max-cost USD",
                false => "",
            };
            report::note(&format!("{} not settled; to go on: {go_on}{limit}", left_of(left)));
        }
        // Where all of them were stopped on request nobody wants to hear that.
        (OverallStatus::Completed, _) if doc.tasks.iter().any(|t| t.outcome == Some(Outcome::Failed)) => {
            let tasks = count(doc.failed, "task");
            let failed = doc.tasks.iter().filter(|t| t.outcome == Some(Outcome::Failed));
            let next = after_failure(failed.map(|task| task.reason), &go_on);
            report::note(&format!("{tasks} did not succeed; {next}"));
        }
        _ => {}
    }
}

/// What to do about tasks that ended for these reasons. `go_on` is the command that goes on with their session.
pub(super) fn after_failure(mut reasons: impl Iterator<Item = Option<FailureReason>>, go_on: &str) -> String {
    // What has succeeded is not done again, so it would conflict again.
    match reasons.all(|reason| reason == Some(FailureReason::Conflict)) {
        true => "merge the branches that conflict by hand, and run what is left from there".into(),
        false => format!("to try again: {go_on} --retry-failed"),
    }
}

fn left_of(tasks: usize) -> String {
    let are = if tasks == 1 { "is" } else { "are" };
    format!("{} {are}", count(tasks, "task"))
}
