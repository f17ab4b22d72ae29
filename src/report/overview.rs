//! All sessions together.

use std::fmt::Write;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::{bytes, count, dollars, elapsed};

/// All sessions of a repository together, as JSON.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Overview {
    /// The number of this format.
    pub schema: u32,
    /// How many there are, those that cannot be read among them.
    pub sessions: usize,
    /// The same by state.
    pub sessions_by_state: SessionsByState,
    /// The tasks of all that can be read.
    pub tasks: TaskCounts,
    /// Successful of settled tasks, from 0 to 1; none when no task is settled.
    pub success_rate: Option<f64>,
    /// What the agents have cost, in US dollars, as far as they said.
    pub cost_usd: f64,
    /// How long all attempts together took in which an agent ran, in seconds; those at work until now.
    pub agent_seconds: f64,
    /// All of `disk`.
    pub disk_bytes: u64,
    /// Allocated bytes.
    pub disk: Disk,
}

/// How many sessions are in each state: those of `status`, and `unreadable`.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the states are those of `status`")]
pub struct SessionsByState {
    pub running: usize,
    pub completed: usize,
    pub stopped: usize,
    pub error: usize,
    pub interrupted: usize,
    pub unreadable: usize,
}

/// How many tasks stand where, in the same words as in `status`.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct TaskCounts {
    /// All.
    pub total: usize,
    /// Settled, and successful.
    pub successful: usize,
    /// Settled without success: failed, stopped, or skipped because of one that did not succeed.
    pub failed: usize,
    /// Skipped, for that or because a condition does not hold.
    pub skipped: usize,
    /// Those of them that count as failed.
    #[serde(skip)]
    pub skipped_in_vain: usize,
    /// Begun, and not settled; also those that an interrupted session left so.
    pub running: usize,
    /// Not begun.
    pub pending: usize,
}

/// What pleach's files take on disk, in allocated bytes.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Disk {
    /// The worktrees of tasks that are there.
    pub worktrees: u64,
    /// Worktrees that were put away.
    pub trash: u64,
    /// What the sessions wrote down.
    pub results: u64,
}

/// The overview as text.
pub fn overview(overview: &Overview) -> String {
    let Overview { tasks, disk, .. } = overview;
    let states = &overview.sessions_by_state;
    let states = [
        (states.running, "running"),
        (states.completed, "completed"),
        (states.stopped, "stopped"),
        (states.error, "error"),
        (states.interrupted, "interrupted"),
        (states.unreadable, "unreadable"),
    ];
    let tasks_by_state = [
        (tasks.successful, "successful"),
        (tasks.failed.saturating_sub(tasks.skipped_in_vain), "failed or stopped"),
        (tasks.skipped, "skipped"),
        (tasks.running, "running"),
        (tasks.pending, "not begun"),
    ];
    let settled = tasks.successful + tasks.failed;
    let rate = match overview.success_rate {
        Some(rate) => format!("{:.0} % of {}", rate * 100.0, count(settled, "settled task")),
        None => "no task is settled".into(),
    };
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<10}  {}", value.trim_end());
    };
    line("sessions", &in_states(overview.sessions, &states));
    line("tasks", &in_states(tasks.total, &tasks_by_state));
    line("successful", &rate);
    line("cost", &dollars(overview.cost_usd));
    // What is written down may be any number.
    let ran = Duration::try_from_secs_f64(overview.agent_seconds).unwrap_or(Duration::MAX);
    line("agents ran", &elapsed(ran));
    let of_disk = [
        (disk.worktrees, "worktrees"),
        (disk.trash, "trash"),
        (disk.results, "results"),
    ];
    let parts: Vec<String> = of_disk
        .iter()
        .map(|(size, what)| format!("{what} {}", bytes(*size)))
        .collect();
    line("disk", &format!("{}: {}", bytes(overview.disk_bytes), parts.join(", ")));
    text
}

/// `5: 3 completed, 2 stopped`
fn in_states(total: usize, states: &[(usize, &str)]) -> String {
    let there = states.iter().filter(|(number, _)| *number > 0);
    let parts: Vec<String> = there.map(|(number, state)| format!("{number} {state}")).collect();
    match parts.is_empty() {
        true => total.to_string(),
        false => format!("{total}: {}", parts.join(", ")),
    }
}
