//! How an attempt ended: the runner writes it down, the supervisor settles by it, every display shows it.

use std::ops::Not;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::store::Shortage;

/// How the agent's process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum AgentEnd {
    /// By itself.
    Exited {
        /// Its exit code.
        code: i32,
    },
    /// By a signal.
    Killed {
        /// Its number.
        signal: i32,
    },
    /// It never ran.
    NotStarted {
        /// Why.
        error: String,
        /// What was lacking, if that is why: nothing was done, and it may be tried again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shortage: Option<Shortage>,
    },
    /// Nobody saw it: the runner was lost.
    Unknown,
}

impl AgentEnd {
    /// Why it never ran, if that was for want of something that may come back.
    pub fn shortage(&self) -> Option<Shortage> {
        match self {
            Self::NotStarted { shortage, .. } => *shortage,
            _ => None,
        }
    }

    /// Whether the agent ran, or may have.
    pub fn is_of_agent(&self) -> bool {
        !matches!(self, Self::NotStarted { .. })
    }

    /// The exit code as a shell gives it: 128 and the signal for a killed process.
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Exited { code } => Some(*code),
            Self::Killed { signal } => Some(128 + signal),
            Self::NotStarted { .. } | Self::Unknown => None,
        }
    }
}

/// Why a task failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// The program's exit code, or a signal, or a missing result.
    Exit,
    /// The agent itself reported an error.
    AgentError,
    /// The agent was refused tools, so its work is not what was asked.
    DeniedTools,
    /// It ran longer than allowed.
    TimeOut,
    /// It printed nothing for longer than allowed.
    IdleTimeOut,
    /// The agent could not log in: nothing can be done before the user has.
    Login,
    /// The limit of what may be used was reached.
    RateLimit,
    /// A command that sets the worktree up failed; the agent never ran.
    Setup,
    /// The command that verifies the work failed.
    Verify,
    /// The branches of the tasks that it depends on conflict.
    Conflict,
    /// A task that it depends on did not succeed.
    Dependency,
    /// Its own condition does not hold, or that of a task that it depends on.
    Condition,
    /// Its worktree could not be made.
    Provisioning,
    /// What it left could not be committed or pinned.
    Settling,
    /// Its runner died without writing down an outcome.
    Lost,
}

impl FailureReason {
    /// The name as it stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::AgentError => "agent_error",
            Self::DeniedTools => "denied_tools",
            Self::TimeOut => "time_out",
            Self::IdleTimeOut => "idle_time_out",
            Self::Login => "login",
            Self::RateLimit => "rate_limit",
            Self::Setup => "setup",
            Self::Verify => "verify",
            Self::Conflict => "conflict",
            Self::Dependency => "dependency",
            Self::Condition => "condition",
            Self::Provisioning => "provisioning",
            Self::Settling => "settling",
            Self::Lost => "lost",
        }
    }
}

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It did what success means for its kind of agent.
    Succeeded,
    /// It did not.
    Failed {
        /// The kind of failure.
        reason: FailureReason,
        /// In words, one line.
        error: String,
    },
    /// It was ended on request.
    Stopped,
    /// Its condition does not hold: the agent never ran.
    Skipped {
        /// In words, one line.
        error: String,
    },
}

/// A command that is run around the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Whether the task is done at all.
    RunIf,
    /// Before the agent, in a new worktree.
    Setup,
    /// After the agent.
    Verify,
}

impl StepKind {
    /// The name as it stands in JSON, and of the file with its output.
    pub fn name(self) -> &'static str {
        match self {
            Self::RunIf => "run_if",
            Self::Setup => "setup",
            Self::Verify => "verify",
        }
    }

    /// What one of an attempt's commands is called, and its file, when there were so many of its kind before it.
    pub fn numbered(self, before: usize) -> String {
        match before {
            0 => self.name().to_owned(),
            before => format!("{}-{}", self.name(), before + 1),
        }
    }
}

/// How such a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepOutcome {
    /// What it was for.
    pub kind: StepKind,
    /// The command as the user wrote it.
    pub command: String,
    /// As a shell gives it; none when it could not be started.
    pub exit_code: Option<i32>,
    /// In milliseconds.
    pub duration_ms: u64,
    /// The end of what it printed; at most 4,000 characters.
    pub output: String,
}

/// A limit of the service that an attempt came up against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageLimit {
    /// In words, such as `429`, `overloaded` or `five_hour`.
    pub what: String,
    /// When it is over, in Unix milliseconds, if that was said.
    pub resets_at_ms: Option<u64>,
}

/// The outcome of one attempt, as it stands in `outcome.json` and in the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptOutcome {
    /// What it came to.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// How the process ended.
    pub end: AgentEnd,
    /// From the start of the agent, or of the first command before it, until all of them and their descendants were
    /// gone, in milliseconds.
    pub duration_ms: u64,
    /// Turns of the model, as the agent counts them.
    pub turns: Option<u64>,
    /// What the conversation has cost so far, in US dollars, as the agent counts it.
    pub cost_usd: Option<f64>,
    /// The end of what the agent said, for a look at a failure; at most 2,000 characters.
    pub last_words: String,
    /// Bytes that the agent printed.
    pub output_bytes: u64,
    /// Bytes of it that were over the cap and are in no file.
    pub dropped_bytes: u64,
    /// Processes that the agent had left behind and that were killed.
    pub killed_processes: usize,
    /// Processes that could not be killed.
    pub left_processes: Vec<i32>,
    /// Whether the agent has said that its conversation is there: then it can be gone on with.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub conversation_seen: bool,
    /// Whether the agent was to go on with a conversation that is not there.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub conversation_gone: bool,
    /// Whether the commands that set the worktree up have all succeeded.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub is_set_up: bool,
    /// The commands that were run around the agent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepOutcome>,
    /// The limit that it came up against, if that is why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<UsageLimit>,
    /// What the user should know besides, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl AttemptOutcome {
    /// The outcome of an attempt that nobody saw the end of, or that never began.
    pub fn unseen(end: AgentEnd, reason: FailureReason, error: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Failed {
                reason,
                error: error.into(),
            },
            end,
            duration_ms: 0,
            turns: None,
            cost_usd: None,
            last_words: String::new(),
            output_bytes: 0,
            dropped_bytes: 0,
            killed_processes: 0,
            left_processes: Vec::new(),
            conversation_seen: false,
            conversation_gone: false,
            is_set_up: false,
            steps: Vec::new(),
            limit: None,
            notes: Vec::new(),
        }
    }
}

/// What counts of the cost that an agent claims, in US dollars. A claim below nothing is none: it must not make room for
/// more agents.
pub fn counted_cost(claimed_usd: Option<f64>) -> Option<f64> {
    claimed_usd.filter(|usd| *usd >= 0.0)
}

/// What a task came to, as it stands in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The agent did its work.
    Succeeded,
    /// It did not, or its work could not be kept as it should.
    Failed,
    /// It was ended on request.
    Stopped,
    /// There was no reason to do it: a task that it depends on did not succeed, or its condition does not hold.
    Skipped,
}

impl Outcome {
    /// The name as it stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Skipped => "skipped",
        }
    }
}
