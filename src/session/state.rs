//! The state of a session: the fold of its events. Only `transition` changes it.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use super::{Graph, NextAttempt, SessionEnd, SessionSpec, Settlement, Site, Wait, is_above};
use crate::process::ProcessIdentity;
use crate::task::{AttemptOutcome, Outcome, StepOutcome, TaskId, UsageLimit, counted_cost};

/// All that is known of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionState {
    /// The supervisor that worked on it last.
    pub supervisor: Option<ProcessIdentity>,
    /// The drivers when its first supervisor started.
    pub filters: Option<BTreeMap<String, String>>,
    /// When its first supervisor started, in Unix milliseconds.
    pub started_ms: Option<u64>,
    /// Whether somebody asked it to stop, and if so whether without grace.
    pub stop_asked: Option<bool>,
    /// How and when it ended, and the cause.
    pub end: Option<(SessionEnd, u64, Option<String>)>,
    /// Why no task starts any more before somebody goes on with the session.
    pub halted: Option<String>,
    /// What is waited for before another task starts, in words.
    pub waiting_for: Option<String>,
    /// The limit of the service that an attempt came up against last, if none has succeeded since.
    pub limit: Option<UsageLimit>,
    /// The cost, in US dollars, above which no more tasks are started; none is no limit.
    pub max_cost_usd: Option<f64>,
    /// What all attempts that have ended cost together, in US dollars; none when no agent told.
    pub cost_usd: Option<f64>,
    /// About the session as a whole.
    pub warnings: Vec<String>,
    /// When anything was recorded last, in Unix milliseconds.
    pub last_ms: Option<u64>,
    /// When an agent was started last, in Unix milliseconds.
    pub last_start_ms: Option<u64>,
    /// In the order of the list.
    pub tasks: Vec<TaskRecord>,
    /// Which task depends on which.
    pub graph: Arc<Graph>,
    index: HashMap<TaskId, usize>,
}

/// All that is known of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRecord {
    /// Its id.
    pub id: TaskId,
    /// Where it stands.
    pub state: TaskState,
    /// The number of the last attempt that was started. How many are shown: [`TaskRecord::attempts_made`].
    pub attempts: u32,
    /// How many of those that have ended came to nothing but that the task is not wanted.
    pub attempts_skipped: u32,
    /// In how many of those that have ended an agent ran, or may have.
    pub agent_runs: u32,
    /// How long those took together, in milliseconds.
    pub attempts_ms: u64,
    /// When it was chosen, in Unix milliseconds; anew when it is chosen again.
    pub started_ms: Option<u64>,
    /// For how long nobody was there to go on with it since then, in milliseconds; the agent may have run meanwhile.
    pub unattended_ms: u64,
    /// When it was settled, in Unix milliseconds.
    pub settled_ms: Option<u64>,
    /// Whether somebody asked for it to be stopped, and if so whether without grace.
    pub stop_asked: Option<bool>,
    /// Whether that was asked before the whole session was to stop, or to end its agent.
    pub stopped_alone: bool,
    /// Why its agent is being ended, or was, if nobody asked for that.
    pub ended_for: Option<String>,
    /// How many of its attempts count as retries.
    pub retries: u32,
    /// What the next attempt begins with.
    pub next: NextAttempt,
    /// What went wrong in the last attempt, for the next one.
    pub went_wrong: Option<WentWrong>,
    /// The conversation of the last attempt.
    pub conversation: Option<Uuid>,
    /// What that conversation had cost, as its agent counts, when an attempt at it ended last, in US dollars.
    pub conversation_usd: Option<f64>,
    /// What its attempts cost together that have ended, in US dollars; none when no agent told.
    pub cost_usd: Option<f64>,
    /// How many attempts were cut off one after the other.
    pub lost: u32,
    /// Whether its worktree was set up by the commands for that.
    pub is_set_up: bool,
    /// Whether what is to be done once it is settled was done.
    pub is_handled: bool,
    /// About this task.
    pub warnings: Vec<String>,
}

/// What went wrong in an attempt: the next one is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WentWrong {
    /// In words, one line.
    pub why: String,
    /// The command around the agent that it failed of.
    pub step: Option<StepOutcome>,
}

/// Where a task stands.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskState {
    /// Waits for its turn.
    Pending {
        /// Where an attempt was made before, which is where the next one is made.
        site: Option<Site>,
    },
    /// Its worktree is being made and its runner started.
    Preparing {
        /// Where it will work.
        site: Option<Site>,
    },
    /// Its agent runs.
    Running {
        /// Where.
        site: Option<Site>,
        /// Which attempt.
        attempt: Attempt,
    },
    /// Its agent is gone; its work is being committed.
    Settling {
        /// Where.
        site: Option<Site>,
        /// How the attempt ended.
        outcome: AttemptOutcome,
    },
    /// Waits for the time of another attempt.
    Waiting {
        /// Where.
        site: Option<Site>,
        /// How the last attempt ended.
        outcome: AttemptOutcome,
        /// For how long.
        wait: Wait,
    },
    /// Done with.
    Settled {
        /// Where it worked.
        site: Option<Site>,
        /// How the last attempt ended; none when there was no attempt.
        outcome: Option<AttemptOutcome>,
        /// What it came to.
        settlement: Settlement,
        /// Where its worktree is.
        worktree: WorktreeFate,
    },
}

/// One run of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Counted from 1.
    pub number: u32,
    /// The mark of its processes.
    pub id: Uuid,
    /// The id of the agent's conversation.
    pub conversation: Uuid,
    /// The runner's process.
    pub runner_pid: i32,
    /// When it started, in Unix milliseconds.
    pub started_ms: u64,
}

/// Where the worktree of a settled task is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorktreeFate {
    /// There is none.
    None,
    /// On its way to the trash.
    Removing,
    /// In the trash, with these ignored entries.
    Trashed {
        /// Where.
        trash: PathBuf,
        /// What git ignores in it.
        ignored: Vec<String>,
    },
    /// Where the task worked, for this reason.
    Kept(String),
}

impl SessionState {
    /// The state before anything has happened.
    pub fn new(spec: &SessionSpec) -> Self {
        let record = |id: &TaskId| TaskRecord {
            id: id.clone(),
            state: TaskState::Pending { site: None },
            attempts: 0,
            attempts_skipped: 0,
            agent_runs: 0,
            attempts_ms: 0,
            started_ms: None,
            unattended_ms: 0,
            settled_ms: None,
            stop_asked: None,
            stopped_alone: false,
            ended_for: None,
            retries: 0,
            next: NextAttempt::default(),
            went_wrong: None,
            conversation: None,
            conversation_usd: None,
            cost_usd: None,
            lost: 0,
            is_set_up: false,
            is_handled: false,
            warnings: Vec::new(),
        };
        Self {
            supervisor: None,
            filters: None,
            started_ms: None,
            stop_asked: None,
            end: None,
            halted: None,
            waiting_for: None,
            limit: None,
            max_cost_usd: spec.options.max_cost_usd,
            cost_usd: None,
            warnings: Vec::new(),
            last_ms: None,
            last_start_ms: None,
            tasks: spec.tasks.iter().map(|t| record(&t.id)).collect(),
            // One that makes no sense is refused when it is read.
            graph: Arc::new(Graph::of(&spec.tasks).unwrap_or_default()),
            index: spec.tasks.iter().enumerate().map(|(i, t)| (t.id.clone(), i)).collect(),
        }
    }

    /// The place of a task in the list.
    pub fn index_of(&self, id: &TaskId) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// What it has cost once this attempt at the task with this index has ended too.
    pub fn cost_with(&self, task: usize, attempt: &AttemptOutcome) -> Option<f64> {
        sum(self.cost_usd, self.tasks[task].spent(attempt.cost_usd))
    }

    /// The limit of the cost, once `cost_usd` is above it.
    pub fn limit_below(&self, cost_usd: Option<f64>) -> Option<f64> {
        self.max_cost_usd.filter(|limit| is_above(Some(*limit), cost_usd))
    }

    /// How many tasks have no agent yet and are not settled.
    pub fn unstarted(&self) -> usize {
        let waits = |task: &&TaskRecord| matches!(task.state, TaskState::Pending { .. } | TaskState::Preparing { .. });
        self.tasks.iter().filter(waits).count()
    }

    /// Whether every task is settled and every worktree where it is to be.
    pub fn all_settled(&self) -> bool {
        self.tasks.iter().all(
            |task| matches!(&task.state, TaskState::Settled { worktree, .. } if *worktree != WorktreeFate::Removing),
        )
    }

    /// Whether no task is anywhere between pending and settled.
    pub fn is_quiet(&self) -> bool {
        self.tasks.iter().all(|task| match &task.state {
            TaskState::Pending { .. } => true,
            TaskState::Settled { worktree, .. } => *worktree != WorktreeFate::Removing,
            _ => false,
        })
    }
}

impl TaskRecord {
    /// What it came to, once it is settled.
    pub fn settlement(&self) -> Option<&Settlement> {
        match &self.state {
            TaskState::Settled { settlement, .. } => Some(settlement),
            _ => None,
        }
    }

    /// Whether it is settled without success.
    pub fn is_unsuccessful(&self) -> bool {
        self.settlement().is_some_and(|s| s.outcome != Outcome::Succeeded)
    }

    /// Where it works or worked.
    pub fn site(&self) -> Option<&Site> {
        match &self.state {
            TaskState::Pending { site }
            | TaskState::Preparing { site }
            | TaskState::Running { site, .. }
            | TaskState::Settling { site, .. }
            | TaskState::Waiting { site, .. }
            | TaskState::Settled { site, .. } => site.as_ref(),
        }
    }

    /// What its last attempt has cost, when the agent says that the conversation has cost so much by now, in US dollars:
    /// an agent that goes on with a conversation counts what that had cost before, too. If it counts from the beginning
    /// again, that is less than before and counts as it is.
    pub fn spent(&self, claimed_usd: Option<f64>) -> Option<f64> {
        let total = counted_cost(claimed_usd)?;
        Some(match self.conversation_usd {
            Some(before) if total >= before => total - before,
            _ => total,
        })
    }

    /// What all its attempts have cost when the agent of the last one says this, in US dollars.
    pub fn cost_with(&self, claimed_usd: Option<f64>) -> Option<f64> {
        sum(self.cost_usd, self.spent(claimed_usd))
    }

    /// How many attempts were made at it. That its condition does not hold is found out before there is any.
    pub fn attempts_made(&self) -> u32 {
        self.attempts - self.attempts_skipped
    }

    /// Whether it is in the middle of its work, and waits only for its turn.
    pub fn is_between_attempts(&self) -> bool {
        matches!(self.state, TaskState::Pending { .. }) && self.started_ms.is_some()
    }

    /// How its last attempt ended, once it did.
    pub fn attempt_outcome(&self) -> Option<&AttemptOutcome> {
        match &self.state {
            TaskState::Settling { outcome, .. } | TaskState::Waiting { outcome, .. } => Some(outcome),
            TaskState::Settled { outcome, .. } => outcome.as_ref(),
            _ => None,
        }
    }
}

/// Both together; nothing when neither is known.
pub(super) fn sum(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one + other),
        (one, other) => one.or(other),
    }
}
