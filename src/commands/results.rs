//! `pleach results`: what each task answered.

use super::place::{session_before_task, status_of, task_number, text_of};
use super::{Context, output};
use crate::cli::QueryArgs;
use crate::error::{Error, exit};
use crate::report::{self, ResultsDocument, TaskResult};
use crate::session::{Stored, TaskStatus, TaskStatusName, stored};

pub(super) fn run(context: &Context, args: &QueryArgs) -> Result<u8, Error> {
    let stored = stored(&session_before_task(context, args.session.as_deref(), "results")?)?;
    let only = args
        .task
        .as_deref()
        .map(|t| task_number(&stored.recorded.spec, t))
        .transpose()?;
    let doc = status_of(&stored);
    let (session_id, overall_status) = (doc.session_id, doc.overall_status);
    let chosen = doc.tasks.into_iter().filter(|t| only.is_none_or(|n| t.task_num == n));
    let tasks: Vec<TaskResult> = chosen.map(|task| result(&stored, task)).collect();
    if args.json {
        let document = ResultsDocument {
            schema: 1,
            session_id,
            overall_status,
            tasks,
        };
        report::json(&document).map_err(output)?;
    } else {
        report::out(&report::results(overall_status, &tasks)).map_err(output)?;
    }
    Ok(exit::DONE)
}

fn result(stored: &Stored, status: TaskStatus) -> TaskResult {
    let id = status.transaction_id.clone();
    let running = status.status == TaskStatusName::Running;
    // Of a running task what it printed so far; else what it answered.
    let path = match running {
        true => stored.paths.attempt(&id, status.attempts).answer(),
        false => stored.paths.answer(&id),
    };
    let log = stored.paths.log(&id);
    let record = &stored.recorded.state.tasks[status.task_num - 1];
    TaskResult {
        answer: text_of(&path).filter(|text| !running || !looks_like_stream(text)),
        last_words: record
            .attempt_outcome()
            .map(|o| o.last_words.clone())
            .filter(|w| !w.is_empty()),
        log: log.exists().then_some(log),
        answer_file: path.exists().then_some(path),
        id,
        status,
    }
}

/// While it runs, the beginning of a stream may stand where the answer will be.
fn looks_like_stream(text: &str) -> bool {
    text.starts_with('{')
}
