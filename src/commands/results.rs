//! `pleach results`: what each task answered, what it changed and what it took.

use git2::{Oid, Repository};

use super::diff::listed;
use super::place::{repository_of, session_before_task, status_of, task_number, text_of, typed};
use super::{Context, output};
use crate::cli::QueryArgs;
use crate::error::{Error, exit};
use crate::git::files_between;
use crate::report::{self, ChangedFile, ResultsDocument, StepResult, TaskResult};
use crate::session::{Stored, TaskStatus, TaskStatusName, stored};
use crate::store::paths::AttemptPaths;
use crate::task::{AttemptOutcome, StepOutcome};
use crate::worktree::naming::short;

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
    // Where it cannot be read the answers are shown all the same.
    let repository = repository_of(&stored.recorded.spec)
        .ok()
        .flatten()
        .map(|(_, opened)| opened);
    let tasks: Vec<TaskResult> = chosen.map(|task| result(&stored, repository.as_ref(), task)).collect();
    if args.json {
        let document = ResultsDocument {
            schema: 1,
            session_id,
            overall_status,
            tasks,
        };
        report::json(&document).map_err(output)?;
    } else {
        let session = short(stored.recorded.spec.session_id);
        let diff = typed(context, &format!("diff {session}"));
        report::out(&report::results(overall_status, &tasks, &diff)).map_err(output)?;
    }
    Ok(exit::DONE)
}

fn result(stored: &Stored, repository: Option<&Repository>, status: TaskStatus) -> TaskResult {
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
        steps: steps(&stored.paths.attempt(&id, record.attempts), record.attempt_outcome()),
        files: repository.and_then(|repository| changed(repository, &status)),
        answer_file: path.exists().then_some(path),
        id,
        status,
    }
}

/// The commands around an attempt, with their files.
fn steps(paths: &AttemptPaths, outcome: Option<&AttemptOutcome>) -> Vec<StepResult> {
    let steps = outcome.map_or(&[][..], |o| &o.steps);
    let result = |(index, step): (usize, &StepOutcome)| {
        let before = steps[..index].iter().filter(|s| s.kind == step.kind).count();
        let log = paths.step_log(&step.kind.numbered(before));
        StepResult {
            outcome: step.clone(),
            log: log.exists().then_some(log),
        }
    };
    steps.iter().enumerate().map(result).collect()
}

/// The files of a settled task, as it was settled: later its branch may have more.
fn changed(repository: &Repository, status: &TaskStatus) -> Option<Vec<ChangedFile>> {
    let commit = |id: &Option<String>| Oid::from_str(id.as_deref()?).ok();
    let files = files_between(repository, commit(&status.base)?, commit(&status.head)?).ok()?;
    Some(files.into_iter().map(listed).collect())
}

/// While it runs, the beginning of a stream may stand where the answer will be.
fn looks_like_stream(text: &str) -> bool {
    text.starts_with('{')
}
