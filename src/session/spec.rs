//! What a session was asked to do: written once, before its supervisor starts, and never changed.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::git::{Base, Identity, Place};
use crate::store::path_json;
use crate::store::paths::SessionPaths;
use crate::task::{AgentSpec, TaskSpec};

/// The file `session.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionSpec {
    /// The number of this format.
    pub schema: u32,
    /// The version of pleach that wrote it.
    pub version: String,
    /// The session's id.
    pub session_id: Uuid,
    /// When it was made, in Unix milliseconds.
    pub created_ms: u64,
    /// Where `run` was called; without worktrees the agents work here.
    #[serde(with = "path_json")]
    pub directory: PathBuf,
    /// The repository, its base and where worktrees go; none with `--no-worktree`.
    pub repository: Option<RepositorySpec>,
    /// The agent.
    pub agent: AgentSpec,
    /// Others that tasks name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_agents: Vec<AgentSpec>,
    /// Limits and what to keep.
    pub options: SessionOptions,
    /// The tasks in the user's order.
    pub tasks: Vec<TaskSpec>,
    /// The branch and worktree meant for each task, in the same order; empty with `--no-worktree`.
    pub places: Vec<TaskPlace>,
    /// What the tasks leave for each other, where that is not in the session's directory. Tools of agents do not write
    /// below `.git`, where that usually is.
    #[serde(default, with = "path_json::option", skip_serializing_if = "Option::is_none")]
    pub shared: Option<PathBuf>,
}

/// The repository of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RepositorySpec {
    /// Where it lies.
    #[serde(flatten)]
    pub place: Place,
    /// What every task starts from.
    pub base: Base,
    /// The directory that holds the worktrees.
    #[serde(with = "path_json")]
    pub worktrees: PathBuf,
    /// Who commits.
    pub identity: Identity,
}

/// The branch and the worktree that a task is meant to get, decided when the session is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskPlace {
    /// Without `refs/heads/`.
    pub branch: String,
    /// Absolute.
    #[serde(with = "path_json")]
    pub worktree: PathBuf,
}

/// Where a task works: its branch and worktree, and the commit they started from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Without `refs/heads/`.
    pub branch: String,
    /// Absolute.
    #[serde(with = "path_json")]
    pub worktree: PathBuf,
    /// The full id of the commit.
    pub base: String,
}

/// How much output of each task is kept, in bytes, when the user does not say.
pub const USUAL_OUTPUT: u64 = 64 << 20;
/// How often the work of running agents is kept, in milliseconds, when the user does not say.
pub const USUAL_SNAPSHOT_EVERY_MS: u64 = 5 * 60 * 1000;
/// How long an agent has to end by itself, in milliseconds, when the user does not say.
pub const USUAL_GRACE_MS: u64 = 10_000;
/// How much disk has to be free for another task, in bytes, when the user does not say.
pub const USUAL_FREE_DISK: u64 = 1 << 30;
/// How much memory has to be available for another task, in bytes, when the user does not say.
pub const USUAL_FREE_MEMORY: u64 = 512 << 20;

/// Limits and what to keep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionOptions {
    /// Agents at once; none is no limit.
    pub max_parallel: Option<usize>,
    /// The longest that an attempt may run.
    pub timeout_ms: Option<u64>,
    /// Between SIGTERM and SIGKILL.
    pub grace_ms: u64,
    /// How much output of one attempt is kept.
    pub max_output_bytes: u64,
    /// Whether worktrees of succeeded tasks stay.
    pub keep_worktrees: bool,
    /// The cost, in US dollars, above which no more tasks are started; none is no limit. Sessions of version 0.1.0 have
    /// none written down.
    #[serde(default)]
    pub max_cost_usd: Option<f64>,
    /// How often the work of running agents is kept, in milliseconds; none is never.
    #[serde(default)]
    pub snapshot_every_ms: Option<u64>,
    /// No task starts while less is free on the disks of the worktrees and of the results.
    #[serde(default)]
    pub min_free_disk_bytes: u64,
    /// No task starts while less memory is available.
    #[serde(default)]
    pub min_free_memory_bytes: u64,
    /// How many agents the user wants at once on this machine, in all sessions together; none is no limit.
    #[serde(default)]
    pub agents_of_all: Option<Places>,
    /// Where the ports are kept of which each running attempt gets one of its own; none are given out where that is
    /// not known.
    #[serde(default, with = "path_json::option", skip_serializing_if = "Option::is_none")]
    pub ports: Option<PathBuf>,
    /// Whether the session stops with the first task that fails.
    #[serde(default)]
    pub fail_fast: bool,
    /// How long the first retry waits; each further one twice as long.
    #[serde(default = "usual_retry_delay")]
    pub retry_delay_ms: u64,
    /// Whether each retry starts from the base again.
    #[serde(default)]
    pub retry_fresh: bool,
    /// At least so long between the starts of two agents.
    #[serde(default)]
    pub stagger_ms: u64,
    /// Files of the main checkout that each worktree gets a copy of: patterns as in `.gitignore`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copy: Vec<String>,
    /// Files and directories of the main checkout that each worktree gets a link to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub link: Vec<String>,
    /// A shell command that is run when the session has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_done: Option<String>,
    /// The longest that `on_done` may run, of the session and of a task.
    #[serde(default = "usual_handler_timeout")]
    pub handler_timeout_ms: u64,
    /// Where a copy of the log of each attempt goes, absolute.
    #[serde(default, with = "path_json::option", skip_serializing_if = "Option::is_none")]
    pub log_dir: Option<PathBuf>,
}

/// How long the first retry waits, in milliseconds, when the user does not say.
pub const USUAL_RETRY_DELAY_MS: u64 = 5_000;

/// How long a command may run that is for the end of a task or of the session, in milliseconds, when the user does not say.
pub const USUAL_HANDLER_TIMEOUT_MS: u64 = 10 * 60 * 1000;

fn usual_handler_timeout() -> u64 {
    USUAL_HANDLER_TIMEOUT_MS
}

fn usual_retry_delay() -> u64 {
    USUAL_RETRY_DELAY_MS
}

/// Places for agents, which the sessions of a user share: a file each, locked by the runner that has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// How many there are for this session; others may see more or fewer of the same.
    pub most: usize,
    /// Where their files are.
    #[serde(with = "path_json")]
    pub directory: PathBuf,
}

/// Whether a cost is above its limit, if there is one, in US dollars.
pub fn is_above(max_cost_usd: Option<f64>, cost_usd: Option<f64>) -> bool {
    /// Sums of decimal fractions are off by less than this: 0.1 + 0.2 is not above 0.3.
    const ROUNDING: f64 = 1e-9;
    max_cost_usd
        .zip(cost_usd)
        .is_some_and(|(limit, cost)| cost > limit + ROUNDING)
}

impl SessionSpec {
    /// The agent that works on the task with this index, with the task's own model and arguments.
    pub fn agent_of(&self, index: usize) -> AgentSpec {
        let options = &self.tasks[index].options;
        let named = options.agent.as_ref();
        let named = named.and_then(|name| self.other_agents.iter().find(|agent| agent.name == *name));
        let mut agent = named.unwrap_or(&self.agent).clone();
        agent.model = options.model.clone().or(agent.model);
        agent.args.extend(options.agent_args.iter().flatten().cloned());
        agent
    }

    /// The longest that an attempt at the task with this index may run, in milliseconds.
    pub fn timeout_ms(&self, index: usize) -> Option<u64> {
        self.tasks[index].options.timeout_ms.or(self.options.timeout_ms)
    }

    /// The directory that the tasks share; `paths` are the session's files.
    pub fn shared(&self, paths: &SessionPaths) -> PathBuf {
        self.shared.clone().unwrap_or_else(|| paths.shared())
    }

    /// The place of the task with this index in the list.
    pub fn place(&self, index: usize) -> Option<&TaskPlace> {
        self.places.get(index)
    }

    /// Where the task with this index is meant to work; none with `--no-worktree`.
    pub fn site(&self, index: usize) -> Option<Site> {
        let (place, repository) = self.place(index).zip(self.repository.as_ref())?;
        Some(Site {
            branch: place.branch.clone(),
            worktree: place.worktree.clone(),
            base: repository.base.commit.clone(),
        })
    }
}
