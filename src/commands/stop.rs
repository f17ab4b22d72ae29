//! `pleach stop`: asks the supervisor to end the agents, of a session or of some of its tasks, and waits until it has.
//! An interrupted session gets a supervisor for that.

use std::collections::HashMap;

use super::every::Every;
use super::follow::{follow, follow_until};
use super::place::{session_before_task, task_number};
use super::resume::take_over_to_stop;
use super::status::say_how_to_go_on;
use super::{Context, output};
use crate::cli::StopArgs;
use crate::error::{Error, exit};
use crate::process::is_any_alive;
use crate::report;
use crate::session::{OverallStatus, SessionState, StatusDocument, Stored, TaskRecord, TaskState, stored};
use crate::store::lock;
use crate::store::paths::SessionPaths;
use crate::supervisor::{Stop, ask_to_stop};
use crate::task::FailureReason;
use crate::words::quote;

pub(super) fn run(context: &Context, args: &StopArgs) -> Result<u8, Error> {
    let stop = Stop {
        tasks: None,
        now: args.now,
        grace_ms: args.grace.map(|g| u64::try_from(g.as_millis()).unwrap_or(u64::MAX)),
    };
    if args.all {
        return stop_all(context, &stop, args.json);
    }
    let paths = session_before_task(context, args.session.as_deref(), "stop")?;
    let before = stored(&paths)?;
    let mut tasks = Vec::new();
    for query in &args.tasks {
        tasks.push(task_number(&before.recorded.spec, query)? - 1);
    }
    tasks.sort_unstable();
    tasks.dedup();
    let state = &before.recorded.state;
    if tasks.is_empty() {
        let open = open(state);
        ask_or_take_over(&before, &stop)?;
        let (_, doc) = follow(&paths, None)?;
        return answer(context, doc, (&tasks, &open), args.json);
    }
    let (ended, open): (Vec<usize>, Vec<usize>) = tasks.iter().partition(|&&t| state.tasks[t].settlement().is_some());
    for task in ended {
        let record = &state.tasks[task];
        let outcome = record.settlement().map_or("", |s| s.outcome.name());
        report::note(&format!("task {} was settled before: {outcome}", record.id));
    }
    if runs(&before) && !open.is_empty() {
        let named = open.iter().map(|&t| state.tasks[t].id.clone()).collect();
        let tasks = Some(named);
        ask(&paths, &Stop { tasks, ..stop })?;
    }
    let are_settled = |state: &SessionState| open.iter().all(|&t| state.tasks[t].settlement().is_some());
    let (_, doc) = follow_until(&paths, None, are_settled)?;
    answer(context, doc, (&tasks, &open), args.json)
}

/// The tasks that are not settled, by index.
fn open(state: &SessionState) -> Vec<usize> {
    let open = |&task: &usize| state.tasks[task].settlement().is_none();
    (0..state.tasks.len()).filter(open).collect()
}

/// Whether somebody is there to be asked.
fn runs(stored: &Stored) -> bool {
    stored.held && stored.recorded.state.end.is_none()
}

/// Asks whoever works on a session, or starts somebody only to stop it.
fn ask_or_take_over(stored: &Stored, stop: &Stop) -> Result<(), Error> {
    let open = stored.recorded.state.end.is_none();
    if open && (stored.held || !take_over_to_stop(&stored.paths, &stored.recorded.spec, stop)?) {
        ask(&stored.paths, stop)?;
    }
    Ok(())
}

/// Shows where the session stands, or these of its tasks. Those that were `open` came to their end by the stop.
fn answer(
    context: &Context,
    mut doc: StatusDocument,
    (tasks, open): (&[usize], &[usize]),
    json: bool,
) -> Result<u8, Error> {
    // Its supervisor is gone, and with named tasks nobody takes its place: that would start the others.
    let interrupted = doc.overall_status == OverallStatus::Interrupted;
    let left = left_uncommitted(context, &doc, open);
    if json {
        doc.tasks
            .retain(|t| tasks.is_empty() || tasks.contains(&(t.task_num - 1)));
        report::json(&doc).map_err(output)?;
    } else {
        let only = match tasks {
            [task] => Some(task + 1),
            _ => None,
        };
        report::out(&report::status(&doc, only)).map_err(output)?;
        say_how_to_go_on(context, &doc);
    }
    left.iter().for_each(|text| report::warning(text));
    Ok(if interrupted || !left.is_empty() {
        exit::BROKEN
    } else {
        exit::DONE
    })
}

/// What to say of those of the tasks with these indices that have ended, and whose work is in no commit.
fn left_uncommitted(context: &Context, doc: &StatusDocument, open: &[usize]) -> Vec<String> {
    let again = report::resume(&doc.session_id, context.results_dir.as_deref());
    let tasks = open.iter().map(|&task| &doc.tasks[task]);
    let left = tasks.filter(|task| task.reason == Some(FailureReason::Settling));
    left.map(|task| {
        let error = task.error.as_deref().unwrap_or("its work could not be committed");
        let place = task.worktree.as_ref().map_or(String::new(), |worktree| {
            format!(". The work stays in {}", quote(worktree))
        });
        format!(
            "task {} has ended, and {error}{place}; mend that, and let another attempt take it up there \
             when the session has ended: {again} --retry-failed",
            task.transaction_id
        )
    })
    .collect()
}

/// All that run are asked first, and waited for then.
fn stop_all(context: &Context, stop: &Stop, json: bool) -> Result<u8, Error> {
    let mut every = Every::of(context, |stored| runs(stored) || has_agents(stored))?;
    let mut before: HashMap<String, Vec<usize>> = HashMap::new();
    every.each(|stored| {
        let recorded = &stored.recorded;
        before.insert(recorded.spec.session_id.to_string(), open(&recorded.state));
        ask_or_take_over(stored, stop)
    });
    let ended = every.follow(None);
    every.show(context, json)?;
    let mut uncommitted = Vec::new();
    for seen in &ended {
        let open = before.get(&seen.doc.session_id).map_or(&[][..], Vec::as_slice);
        uncommitted.extend(left_uncommitted(context, &seen.doc, open));
    }
    uncommitted.iter().for_each(|text| report::warning(text));
    let left = ended.iter().any(|e| e.doc.overall_status == OverallStatus::Interrupted);
    Ok(if left || every.has_errors() || !uncommitted.is_empty() {
        exit::BROKEN
    } else {
        exit::DONE
    })
}

/// Whether an agent is at work although its session's supervisor is gone, or has left processes.
fn has_agents(stored: &Stored) -> bool {
    let is_at_work = |record: &TaskRecord| match &record.state {
        TaskState::Running { attempt, .. } => {
            let paths = stored.paths.attempt(record.id.as_ref(), attempt.number);
            let left = || is_any_alive(&[attempt.id.to_string()]);
            lock::is_held(&paths.lock()).unwrap_or(false) || left().is_ok_and(|left| left.contains(&true))
        }
        _ => false,
    };
    let state = &stored.recorded.state;
    state.end.is_none() && state.tasks.iter().any(is_at_work)
}

/// Leaves the request.
pub(super) fn ask(paths: &SessionPaths, stop: &Stop) -> Result<(), Error> {
    ask_to_stop(paths, stop).map_err(|source| Error::StopNotAsked {
        directory: paths.requests(),
        source,
    })
}
