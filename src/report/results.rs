//! What each task answered, what it changed and what it took; of a failed one why, and where to look.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::diff::{ChangedFile, files};
use super::status::{activity, changes, word};
use super::{count, dollars, elapsed, escape, from_agent, one_line, quote, unbroken};
use crate::session::{OverallStatus, TaskStatus, TaskStatusName};
use crate::store::path_json;
use crate::task::{Outcome, StepOutcome};
use crate::words::NO_AGENT;

/// How many files of a task are named.
const FILES: usize = 10;
/// How many lines of a command that failed are shown.
const PRINTED: usize = 20;

/// The results as JSON.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the documentation, in the README's table")]
pub struct ResultsDocument {
    pub schema: u32,
    pub session_id: String,
    pub overall_status: OverallStatus,
    pub tasks: Vec<TaskResult>,
}

/// The result of one task.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the documentation, in the README's table")]
pub struct TaskResult {
    pub id: String,
    /// What was answered; of a running plain-text agent what it printed so far.
    pub answer: Option<String>,
    pub last_words: Option<String>,
    /// Everything captured of its last attempt.
    #[serde(with = "path_json::option")]
    #[schemars(with = "Option<path_json::Form>")]
    pub log: Option<PathBuf>,
    #[serde(with = "path_json::option")]
    #[schemars(with = "Option<path_json::Form>")]
    pub answer_file: Option<PathBuf>,
    /// The commands around its last attempt that has ended, in the order in which they ran.
    pub steps: Vec<StepResult>,
    /// What it changed; none before it is settled, and where its repository cannot be read.
    pub files: Option<Vec<ChangedFile>>,
    #[serde(flatten)]
    pub status: TaskStatus,
}

/// A command that ran around an agent.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StepResult {
    /// How it ended.
    #[serde(flatten)]
    pub outcome: StepOutcome,
    /// All that it printed, if that is there.
    #[serde(with = "path_json::option")]
    #[schemars(with = "Option<path_json::Form>")]
    pub log: Option<PathBuf>,
}

impl StepResult {
    fn is_good(&self) -> bool {
        self.outcome.exit_code == Some(0)
    }
}

/// All of it as text. `diff` is the command that shows what a task of the session changed, without the task.
pub fn results(session: OverallStatus, tasks: &[TaskResult], diff: &str) -> String {
    let mut text = String::new();
    for task in tasks {
        one(&mut text, session, task, diff);
    }
    text
}

fn one(text: &mut String, session: OverallStatus, task: &TaskResult, diff: &str) {
    let status = &task.status;
    if !text.is_empty() {
        text.push('\n');
    }
    let _ = writeln!(
        text,
        "━━ {}  {}  {}",
        status.task_num,
        word(status).trim_end(),
        status.title
    );
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "   {name:<8} {value}");
    };
    if status.task_num.to_string() != task.id {
        line("id", &task.id);
    }
    if let Some(branch) = &status.branch {
        line(
            "branch",
            format!("{}  {}", unbroken(branch), changes(status)).trim_end(),
        );
    }
    let changed = task.files.as_deref().unwrap_or_default();
    for (index, file) in files(changed, FILES).iter().enumerate() {
        line(if index == 0 { "files" } else { "" }, file);
    }
    if let Some(more @ 1..) = changed.len().checked_sub(FILES) {
        line("", &format!("and {more} more: {diff} {}", quote(&task.id)));
    }
    for step in &task.steps {
        line(step.outcome.kind.name(), &ended(step));
    }
    if let Some(took) = took(status) {
        line("took", &took);
    }
    if let Some(error) = &status.error {
        let reason = status.reason.map_or(String::new(), |r| format!("{}: ", r.name()));
        line("reason", &format!("{reason}{}", escape(error)));
    }
    if status.outcome != Some(Outcome::Succeeded) {
        if let Some(log) = &task.log {
            line("log", &quote(log));
        }
        if let Some(worktree) = &status.worktree {
            line("worktree", &quote(worktree));
        }
    }
    for note in &status.notes {
        line("note", &escape(note));
    }
    match status.status {
        TaskStatusName::Pending if session == OverallStatus::Running => {
            let waits = activity(status).unwrap_or_else(|| "waits for its turn".into());
            line("", &one_line(&waits));
        }
        TaskStatusName::Pending if status.attempts > 0 => {
            let made = count(status.attempts, "attempt");
            line(
                "",
                &format!("to be tried again, after {made}: the session is {}", session.name()),
            );
        }
        TaskStatusName::Pending => line("", &format!("never began: the session is {}", session.name())),
        TaskStatusName::Running => {
            let activity = activity(status).unwrap_or_else(|| "no output yet".into());
            line("running", &one_line(&activity));
        }
        TaskStatusName::Completed => {}
    }
    for step in task.steps.iter().filter(|step| !step.is_good()) {
        printed(text, step);
    }
    answer(text, task);
}

/// `cargo test: exited with code 101 after 3 s`
fn ended(step: &StepResult) -> String {
    let StepOutcome {
        command,
        exit_code,
        duration_ms,
        ..
    } = &step.outcome;
    let took = elapsed(Duration::from_millis(*duration_ms));
    let how = match exit_code {
        Some(0) => took,
        Some(code) => format!("exited with code {code} after {took}"),
        None => format!("did not end by itself; it ran for {took}"),
    };
    format!("{}: {how}", one_line(command))
}

/// The end of what a command printed that did not succeed, and where all of it is.
fn printed(text: &mut String, step: &StepResult) {
    let said = step.outcome.output.trim_end();
    let lines: Vec<&str> = said.lines().collect();
    let shown = &lines[lines.len().saturating_sub(PRINTED)..];
    if !shown.is_empty() {
        let _ = writeln!(text, "\n{} printed at last:", step.outcome.kind.name());
        text.push_str(&from_agent(&shown.join("\n")));
        text.push('\n');
    }
    if let Some(log) = step.log.as_ref().filter(|_| !shown.is_empty()) {
        let _ = writeln!(text, "(all of it: {})", quote(log));
    }
}

/// `2 min, 1 attempt, 3 turns, $0.12` or `2 s, 1 attempt, no agent ran`, once it is settled.
fn took(status: &TaskStatus) -> Option<String> {
    let settled = status.duration.filter(|_| status.outcome.is_some());
    let time = elapsed(Duration::from_secs_f64(settled?));
    let more = [
        (status.attempts > 0).then(|| count(status.attempts, "attempt")),
        (status.agent_runs == 0).then(|| NO_AGENT.to_owned()),
        status
            .turns
            .filter(|turns| *turns > 0)
            .map(|turns| count(turns, "turn")),
        status.cost_usd.filter(|usd| *usd > 0.0).map(dollars),
    ];
    let parts: Vec<String> = [time].into_iter().chain(more.into_iter().flatten()).collect();
    Some(parts.join(", "))
}

fn answer(text: &mut String, task: &TaskResult) {
    let said = task.answer.as_deref().unwrap_or_default();
    let (name, said) = match task.status.outcome {
        Some(Outcome::Succeeded) | None => ("", said),
        _ => ("last words:", task.last_words.as_deref().unwrap_or(said)),
    };
    if said.trim().is_empty() {
        if task.status.outcome == Some(Outcome::Succeeded) {
            text.push_str("\n(no answer)\n");
        }
        return;
    }
    text.push('\n');
    if !name.is_empty() {
        let _ = writeln!(text, "{name}");
    }
    text.push_str(&from_agent(said));
    if !text.ends_with('\n') {
        text.push('\n');
    }
}
