//! What happened in a session: the records of the journal, plain data that can be read for ever.

use std::collections::BTreeMap;
use std::ops::Not;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Site;
use crate::git::Changes;
use crate::process::ProcessIdentity;
use crate::store::path_json;
use crate::task::{AttemptOutcome, FailureReason, Outcome, TaskId};

/// One record of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, in Unix milliseconds.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// A supervisor began to work on the session.
    SessionStarted {
        /// Which process it is.
        supervisor: ProcessIdentity,
        /// The drivers in git's configuration: those that appear later were not the user's. Sessions of version 0.1.0 have
        /// only those for filters and merges.
        filters: BTreeMap<String, String>,
    },
    /// A task was chosen; its worktree is being made.
    TaskPreparing {
        /// Which.
        task: TaskId,
        /// Where; none with `--no-worktree`.
        site: Option<Site>,
    },
    /// A task that was being prepared went back to wait. A worktree in which no attempt was made is undone.
    TaskReleased {
        /// Which.
        task: TaskId,
    },
    /// The agent is about to run: its runner starts it when this is durable.
    AttemptStarted {
        /// Which task.
        task: TaskId,
        /// Counted from 1.
        number: u32,
        /// The mark of its processes.
        attempt: Uuid,
        /// The id of the agent's conversation.
        conversation: Uuid,
        /// The runner's process.
        runner_pid: i32,
        /// Whether that conversation was begun in an earlier attempt.
        #[serde(default, skip_serializing_if = "Not::not")]
        resumes: bool,
    },
    /// The agent and its descendants are gone.
    AttemptEnded {
        /// Which task.
        task: TaskId,
        /// How it ended.
        outcome: AttemptOutcome,
    },
    /// The runner is gone and nobody knows how its agent ended; all its processes are ended. The task waits for another
    /// attempt in the same worktree.
    AttemptLost {
        /// Which task.
        task: TaskId,
        /// What can be said of it.
        outcome: AttemptOutcome,
    },
    /// The attempt has failed, and another one is to be made after a while.
    TaskWaits {
        /// Which.
        task: TaskId,
        /// For how long, and what then.
        wait: Wait,
    },
    /// That while is over.
    TaskWaited {
        /// Which.
        task: TaskId,
    },
    /// The attempt has ended for a reason that is not the task's: the task waits for its turn again, and goes on then.
    TaskPutBack {
        /// Which.
        task: TaskId,
    },
    /// No task starts any more before somebody goes on with the session; the session ends when nothing runs.
    SessionHalted {
        /// Why, in words; what to do is said too.
        why: String,
        /// Whether the agents that run are ended for it.
        #[serde(default, skip_serializing_if = "Not::not")]
        ends_agents: bool,
    },
    /// A task that was settled without success is to be tried again, in the same worktree.
    TaskRetried {
        /// Which.
        task: TaskId,
    },
    /// Somebody asked for one task to be stopped.
    TaskStopAsked {
        /// Which.
        task: TaskId,
        /// Without a time of grace.
        now: bool,
    },
    /// What the agent left is committed and pinned: nothing more will happen to the task's work.
    TaskSettled {
        /// Which.
        task: TaskId,
        /// What it came to.
        settlement: Settlement,
    },
    /// The worktree of a settled task was moved to the trash.
    WorktreeRemoved {
        /// Which task.
        task: TaskId,
        /// Where it is now.
        #[serde(with = "path_json")]
        trash: PathBuf,
        /// Entries in it that git ignores, and that are therefore in no commit.
        ignored: Vec<String>,
    },
    /// The worktree of a settled task was meant to go and stays.
    WorktreeKept {
        /// Which task.
        task: TaskId,
        /// Why, in words.
        why: String,
    },
    /// What is to be done once a task is settled was done: its answer is in the file that it is for, its command has ended.
    TaskHandled {
        /// Which.
        task: TaskId,
        /// What failed of it, in words.
        error: Option<String>,
    },
    /// Somebody asked the session to stop.
    StopAsked {
        /// Without a time of grace.
        now: bool,
    },
    /// Another limit of the cost holds from now on.
    CostLimitSet {
        /// In US dollars.
        max_cost_usd: f64,
    },
    /// No task starts for now, or tasks start again.
    Waiting {
        /// What for, in words; none when there is nothing to wait for any more.
        why: Option<String>,
    },
    /// Something that the user should know.
    Warned {
        /// About this task, or the session.
        task: Option<TaskId>,
        /// One line.
        text: String,
    },
    /// Nothing more will happen.
    SessionEnded {
        /// How.
        end: SessionEnd,
        /// The cause, when it is not that all tasks are settled.
        error: Option<String>,
    },
}

/// The time between an attempt that failed and the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// How long it is, in milliseconds: by a clock that does not jump.
    pub delay_ms: u64,
    /// When it is over by the clock, in Unix milliseconds: for a display, and for a supervisor that comes later.
    pub until_ms: u64,
    /// What went wrong, in words: the next attempt is told.
    pub why: String,
    /// What the next attempt begins with.
    pub next: NextAttempt,
    /// Whether it counts as one of the task's retries.
    pub counts: bool,
}

/// What an attempt begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NextAttempt {
    /// A new conversation, in the worktree as it is.
    #[default]
    Anew,
    /// The conversation of the last attempt, in the worktree as it is.
    Resume,
    /// A new conversation, and the worktree as it was at the base.
    FromBase,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionEnd {
    /// All tasks are settled, whatever the outcomes.
    Completed,
    /// On request.
    Stopped,
    /// The session itself could not go on.
    Error,
}

/// What a task came to, with its work committed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settlement {
    /// The outcome.
    pub outcome: Outcome,
    /// Why it failed.
    pub reason: Option<FailureReason>,
    /// In words, one line.
    pub error: Option<String>,
    /// The commit with all of its work; none without a worktree.
    pub head: Option<String>,
    /// Against its base.
    pub changes: Option<Changes>,
    /// Whether what the agent had left uncommitted was committed for it.
    pub committed_leftovers: bool,
    /// What the user should know about it, a line each.
    pub notes: Vec<String>,
    /// What is to become of the worktree.
    pub worktree: WorktreeIntent,
}

impl Settlement {
    /// Of a task that was ended on request, before anything is committed.
    pub fn stopped() -> Self {
        Self {
            outcome: Outcome::Stopped,
            reason: None,
            error: Some(STOPPED_ON_REQUEST.into()),
            head: None,
            changes: None,
            committed_leftovers: false,
            notes: Vec::new(),
            worktree: WorktreeIntent::None,
        }
    }

    /// Of a task that has nothing to be committed.
    pub fn failed(reason: FailureReason, error: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Failed,
            reason: Some(reason),
            error: Some(error.into()),
            head: None,
            changes: None,
            committed_leftovers: false,
            notes: Vec::new(),
            worktree: WorktreeIntent::None,
        }
    }
}

/// Why a session or a task ended that somebody wanted to end.
pub const STOPPED_ON_REQUEST: &str = "stopped on request";

/// Why a worktree stays that could go: the user wants to keep all of them.
pub const KEPT_ON_REQUEST: &str = "all worktrees are kept";

/// What is to become of a settled task's worktree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorktreeIntent {
    /// There is none.
    None,
    /// It goes to the trash.
    Remove,
    /// It stays, for the reason given.
    Keep(String),
}
