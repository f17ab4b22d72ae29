//! What the unit tests of the displays start from: documents of sessions with tasks in given states.

use crate::session::fixture::spec;
use crate::session::{self, OverallStatus, SessionState, StatusDocument, TaskStatus, TaskStatusName};
use crate::task::{FailureReason, Outcome};

/// The start of every session here, in Unix seconds.
pub(super) const STARTED: u64 = 1_700_000_000;

/// A task in some state; times in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Task {
    Pending,
    Running(f64),
    Succeeded(f64),
    Failed(f64),
    Stopped(f64),
    Skipped,
}

/// A running session with these tasks.
pub(super) fn document(tasks: &[Task]) -> StatusDocument {
    let ids: Vec<String> = (1..=tasks.len()).map(|n| format!("t{n}")).collect();
    let spec = spec(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    let mut doc = session::document(&spec, &SessionState::new(&spec), true, |_| None);
    for (status, task) in doc.tasks.iter_mut().zip(tasks) {
        become_one(status, *task);
    }
    let count = |wanted: fn(&TaskStatus) -> bool| doc.tasks.iter().filter(|t| wanted(t)).count();
    StatusDocument {
        overall_status: OverallStatus::Running,
        start_time: STARTED,
        completed: count(|t| t.outcome.is_some()),
        successful: count(|t| t.success == Some(true)),
        failed: count(|t| t.success == Some(false)),
        skipped: count(|t| t.outcome == Some(Outcome::Skipped)),
        cost_usd: Some(doc.tasks.iter().filter_map(|t| t.cost_usd).sum()),
        ..doc
    }
}

fn become_one(status: &mut TaskStatus, task: Task) {
    let (name, outcome, duration) = match task {
        Task::Pending => (TaskStatusName::Pending, None, None),
        Task::Running(s) => (TaskStatusName::Running, None, Some(s)),
        Task::Succeeded(s) => (TaskStatusName::Completed, Some(Outcome::Succeeded), Some(s)),
        Task::Failed(s) => (TaskStatusName::Completed, Some(Outcome::Failed), Some(s)),
        Task::Skipped => (TaskStatusName::Completed, Some(Outcome::Skipped), None),
        Task::Stopped(s) => (TaskStatusName::Completed, Some(Outcome::Stopped), Some(s)),
    };
    status.title = format!("Do the task with number {}", status.task_num);
    (status.status, status.outcome, status.duration) = (name, outcome, duration);
    status.success = outcome.map(|o| o == Outcome::Succeeded);
    if outcome == Some(Outcome::Skipped) {
        status.reason = Some(FailureReason::Dependency);
        status.error = Some("it depends on t1, which failed: exited with code 3".into());
    } else if let Some(outcome) = outcome {
        (status.commits, status.files_changed) = (Some(1), Some(2));
        (status.insertions, status.deletions) = (Some(30), Some(4));
        if outcome == Outcome::Failed {
            status.reason = Some(FailureReason::Exit);
            status.error = Some("exited with code 3".into());
        }
    }
    if duration.is_some() {
        status.branch = Some(format!("main-task-{}", status.transaction_id));
        (status.attempts, status.agent_runs) = (1, 1);
        (status.cost_usd, status.turns) = (Some(0.25), Some(4));
    }
    status.activity = (name == TaskStatusName::Running).then(|| "Edit src/main.rs".into());
}
