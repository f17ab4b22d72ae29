//! The document that scripts read: `status.json`, and `pleach status --json`.
//!
//! Names that scripts already use are kept. The supervisor writes the fold of the journal; a reader adds what the
//! runners say at this moment, and `interrupted` when a running session has no supervisor any more.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SessionEnd, SessionSpec, SessionState, TaskRecord, TaskState, WorktreeFate};
use crate::store::{now_ms, path_json};
use crate::task::{FailureReason, Live, Outcome, TaskSpec};

/// The state of a session in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OverallStatus {
    /// A supervisor works on it.
    Running,
    /// All tasks are settled, whatever the outcomes.
    Completed,
    /// It was stopped; tasks may be left.
    Stopped,
    /// It could not go on.
    Error,
    /// It has not ended, and no supervisor works on it. Never written to disk.
    Interrupted,
}

impl OverallStatus {
    /// The word as it stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Stopped => "stopped",
            Self::Error => "error",
            Self::Interrupted => "interrupted",
        }
    }
}

/// The state of a task in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatusName {
    /// Waits for its turn.
    Pending,
    /// Is worked on.
    Running,
    /// Is settled, whatever the outcome.
    Completed,
}

/// The supervisor of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Supervisor {
    /// Its process id; none before it has started.
    pub pid: Option<i32>,
    /// Whether it is at work: it holds the session's lock, and the session has not ended.
    pub alive: bool,
}

/// The whole document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the documentation, in the README's table")]
pub struct StatusDocument {
    pub schema: u32,
    pub session_id: String,
    pub overall_status: OverallStatus,
    /// Unix seconds.
    pub start_time: u64,
    /// Unix seconds.
    pub end_time: Option<u64>,
    pub total: usize,
    pub completed: usize,
    pub successful: usize,
    pub failed: usize,
    #[serde(default)]
    pub skipped: usize,
    pub error: Option<String>,
    /// What its agents cost together, as far as they have told; those that run too.
    pub cost_usd: Option<f64>,
    pub max_cost_usd: Option<f64>,
    /// What is waited for before another task starts, such as free disk.
    pub waiting_for: Option<String>,
    pub supervisor: Supervisor,
    pub warnings: Vec<String>,
    pub tasks: Vec<TaskStatus>,
}

/// One task of the document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the documentation, in the README's table")]
pub struct TaskStatus {
    pub task_num: usize,
    pub transaction_id: String,
    pub title: String,
    /// The ids of the tasks that have to succeed before it.
    #[serde(default)]
    pub depends_on: Vec<String>,
    pub status: TaskStatusName,
    /// Not said before it is settled, and of one that was skipped because a condition does not hold.
    pub success: Option<bool>,
    /// Seconds since it was chosen, until it was settled; of one that nobody works on any more, until its last sign of
    /// life. Not the time for which it was ended and an interrupted session did not settle it.
    pub duration: Option<f64>,
    pub outcome: Option<Outcome>,
    pub reason: Option<FailureReason>,
    pub error: Option<String>,
    pub branch: Option<String>,
    pub base: Option<String>,
    pub head: Option<String>,
    /// Only as long as it is there.
    #[serde(with = "path_json::option")]
    #[schemars(with = "Option<path_json::Form>")]
    pub worktree: Option<PathBuf>,
    /// How many attempts were made; at one whose own condition does not hold none.
    pub attempts: u32,
    /// In how many attempts that have ended an agent ran.
    #[serde(default)]
    pub agent_runs: u32,
    /// Whether it was asked to stop, and has not ended yet.
    #[serde(default)]
    pub stopping: bool,
    pub exit_code: Option<i32>,
    pub commits: Option<usize>,
    pub files_changed: Option<usize>,
    pub insertions: Option<usize>,
    pub deletions: Option<usize>,
    pub cost_usd: Option<f64>,
    pub turns: Option<u64>,
    pub activity: Option<String>,
    /// When it is tried again, in Unix seconds, while it waits for that.
    #[serde(default)]
    pub waiting_until: Option<u64>,
    /// When it last printed anything, in Unix seconds, while it runs.
    pub last_activity: Option<u64>,
    /// The agent's process while it runs.
    pub pid: Option<i32>,
    /// Resident memory of the agent and all below it; only `status` looks.
    pub memory_bytes: Option<u64>,
    /// CPU time of the agent and all below it, in seconds; only `status` looks.
    pub cpu_seconds: Option<f64>,
    /// The share of it in the time since the agent started, or since the last look of one that looks again and again;
    /// 100 is one core. Only `status` looks.
    pub cpu_percent: Option<f64>,
    pub notes: Vec<String>,
}

/// Builds the document. `held` says whether the session's lock is held, `live` reads what a runner says of a task's
/// attempt.
pub fn document(
    spec: &SessionSpec,
    state: &SessionState,
    held: bool,
    live: impl Fn(&TaskRecord) -> Option<Live>,
) -> StatusDocument {
    let (overall_status, end_ms, error) = match &state.end {
        Some((end, at, error)) => (of_end(*end), Some(*at), error.clone()),
        None if held => (OverallStatus::Running, None, None),
        None => (OverallStatus::Interrupted, None, None),
    };
    let now = end_ms.unwrap_or_else(now_ms);
    let tasks: Vec<TaskStatus> = (spec.tasks.iter().zip(&state.tasks).enumerate())
        .map(|(index, (task, record))| {
            let live = live(record).unwrap_or_default();
            // Without a supervisor, time goes on only for an agent that is at work.
            let until = match held || end_ms.is_some() || live.agent_pid.is_some() {
                true => now,
                false => state.last_ms.max(live.ended_ms).unwrap_or(now),
            };
            let mut status = task_status(index + 1, task, record, until, live);
            status.stopping |= state.stop_asked.is_some() && status.status == TaskStatusName::Running;
            status
        })
        .collect();
    let count = |wanted: fn(&TaskStatus) -> bool| tasks.iter().filter(|t| wanted(t)).count();
    StatusDocument {
        schema: 1,
        session_id: spec.session_id.to_string(),
        overall_status,
        start_time: state.started_ms.unwrap_or(spec.created_ms) / 1000,
        end_time: end_ms.map(|ms| ms / 1000),
        total: tasks.len(),
        completed: count(|t| t.outcome.is_some()),
        successful: count(|t| t.success == Some(true)),
        failed: count(|t| t.success == Some(false)),
        skipped: count(|t| t.outcome == Some(Outcome::Skipped)),
        error,
        cost_usd: cost(state, &tasks),
        max_cost_usd: state.max_cost_usd,
        waiting_for: state.waiting_for.clone(),
        supervisor: Supervisor {
            pid: state.supervisor.as_ref().map(|s| s.pid),
            // It holds the lock for a moment longer than it works.
            alive: held && state.end.is_none(),
        },
        warnings: state.warnings.clone(),
        tasks,
    }
}

/// What is recorded, and what those tell that run.
fn cost(state: &SessionState, tasks: &[TaskStatus]) -> Option<f64> {
    let told = state.tasks.iter().zip(tasks).filter_map(|(record, task)| {
        let more = task.cost_usd? - record.cost_usd.unwrap_or(0.0);
        (more > 0.0).then_some(more)
    });
    told.fold(state.cost_usd, |sum, more| Some(sum.unwrap_or(0.0) + more))
}

fn of_end(end: SessionEnd) -> OverallStatus {
    match end {
        SessionEnd::Completed => OverallStatus::Completed,
        SessionEnd::Stopped => OverallStatus::Stopped,
        SessionEnd::Error => OverallStatus::Error,
    }
}

fn task_status(task_num: usize, task: &TaskSpec, record: &TaskRecord, now: u64, live: Live) -> TaskStatus {
    let settlement = record.settlement();
    let attempt = record.attempt_outcome();
    let changes = settlement.and_then(|s| s.changes);
    let site = record.site();
    let until = record.settled_ms.unwrap_or(now);
    // As long as its agent is not known to have ended, it may have been at work meanwhile.
    let idle = attempt.map_or(0, |_| record.unattended_ms);
    let elapsed = record
        .started_ms
        .map(|start| until.saturating_sub(start).saturating_sub(idle) as f64 / 1000.0);
    let notes = settlement.iter().flat_map(|s| s.notes.iter());
    TaskStatus {
        task_num,
        transaction_id: task.id.to_string(),
        title: task.title.clone(),
        depends_on: task.options.depends_on.iter().map(ToString::to_string).collect(),
        status: match record.state {
            TaskState::Pending { .. } | TaskState::Waiting { .. } => TaskStatusName::Pending,
            TaskState::Settled { .. } => TaskStatusName::Completed,
            _ => TaskStatusName::Running,
        },
        success: settlement.and_then(|s| match s.outcome {
            Outcome::Skipped if s.reason == Some(FailureReason::Condition) => None,
            outcome => Some(outcome == Outcome::Succeeded),
        }),
        duration: elapsed,
        outcome: settlement.map(|s| s.outcome),
        reason: settlement.and_then(|s| s.reason),
        error: settlement.and_then(|s| s.error.clone()),
        branch: site.map(|s| s.branch.clone()),
        base: site.map(|s| s.base.clone()),
        head: settlement.and_then(|s| s.head.clone()),
        worktree: worktree(record),
        attempts: record.attempts_made(),
        agent_runs: record.agent_runs,
        stopping: settlement.is_none() && record.stop_asked.is_some(),
        exit_code: attempt.and_then(|a| a.end.exit_code()),
        commits: changes.map(|c| c.commits),
        files_changed: changes.map(|c| c.files_changed),
        insertions: changes.map(|c| c.insertions),
        deletions: changes.map(|c| c.deletions),
        cost_usd: record.cost_with(live.cost_usd.filter(|_| attempt.is_none())),
        turns: attempt.map_or(live.turns, |a| a.turns),
        activity: live.activity,
        waiting_until: match &record.state {
            TaskState::Waiting { wait, .. } => Some(wait.until_ms / 1000),
            _ => None,
        },
        last_activity: live.last_output_ms.map(|ms| ms / 1000),
        pid: live.agent_pid,
        memory_bytes: None,
        cpu_seconds: None,
        cpu_percent: None,
        notes: notes.chain(&record.warnings).cloned().collect(),
    }
}

fn worktree(record: &TaskRecord) -> Option<PathBuf> {
    match &record.state {
        TaskState::Settled {
            worktree: WorktreeFate::None | WorktreeFate::Trashed { .. },
            ..
        } => None,
        _ => record.site().map(|site| site.worktree.clone()),
    }
}

#[cfg(test)]
mod tests;
