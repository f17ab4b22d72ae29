//! What `pleach doctor` looks at: everything that `run` needs, and everything that an end with violence may have left.
//!
//! A file for each group of checks. In each, what decides is pure and knows nothing of this machine, and what looks
//! decides nothing. Nothing is changed: no file is made, no lock is taken that anybody could wait for, and the programs
//! that are started (git, the agent for its version) write nothing. What `run` decides too is asked of the code that
//! decides it there.

mod agent;
mod checkout;
mod config;
mod git;
mod leftovers;
mod locks;
mod login;
mod logind;
mod machine;
mod repository;
mod sessions;
mod survey;
mod terminal;

use std::path::PathBuf;

use git2::Repository;
use schemars::JsonSchema;
use serde::Serialize;

pub use config::Configuration;

use crate::error::Error;
use crate::words::count;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing; nothing has to be done.
    Note,
    /// It works, and somebody will be surprised.
    Warning,
    /// Something does not work.
    Problem,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The git program and libgit2.
    Git,
    /// The repository: whether it can be used, what kind it is, whose name is on commits.
    Repository,
    /// The configuration.
    Config,
    /// How files come into a worktree.
    Checkout,
    /// Locks of git that nobody holds any more, and worktrees that are registered and gone.
    Locks,
    /// The agent program.
    Agent,
    /// Whether the agent has an account.
    Login,
    /// Room on the disks.
    Disk,
    /// Memory.
    Memory,
    /// How many files and processes there may be.
    Limits,
    /// Whether changes of files are reported.
    Watching,
    /// The sessions of this repository.
    Sessions,
    /// What is left of sessions: worktrees, trash, half-made things.
    Leftovers,
    /// Whether a session outlives the logout of its user.
    Logout,
    /// What this system lacks.
    Platform,
    /// The terminal.
    Terminal,
}

impl Check {
    /// The name as it stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Repository => "repository",
            Self::Config => "config",
            Self::Checkout => "checkout",
            Self::Locks => "locks",
            Self::Agent => "agent",
            Self::Login => "login",
            Self::Disk => "disk",
            Self::Memory => "memory",
            Self::Limits => "limits",
            Self::Watching => "watching",
            Self::Sessions => "sessions",
            Self::Leftovers => "leftovers",
            Self::Logout => "logout",
            Self::Platform => "platform",
            Self::Terminal => "terminal",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// What was looked at.
    pub check: Check,
    /// How much it matters.
    pub level: Level,
    /// What is so.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Finding {
    fn new(check: Check, level: Level, message: impl Into<String>) -> Self {
        Self {
            check,
            level,
            message: message.into(),
            hint: None,
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What `run` would say.
    fn refusal(check: Check, level: Level, error: &Error) -> Self {
        Self {
            hint: Some(error.hint()),
            ..Self::new(check, level, error.to_string())
        }
    }
}

impl Check {
    fn ok(self, message: impl Into<String>) -> Finding {
        Finding::new(self, Level::Ok, message)
    }

    fn note(self, message: impl Into<String>) -> Finding {
        Finding::new(self, Level::Note, message)
    }

    /// Something could not be looked at.
    fn unseen(self, message: impl Into<String>) -> Finding {
        self.warning(message)
            .hint("give yourself the right to read it, and ask the doctor again")
    }

    fn warning(self, message: impl Into<String>) -> Finding {
        Finding::new(self, Level::Warning, message)
    }

    fn problem(self, message: impl Into<String>) -> Finding {
        Finding::new(self, Level::Problem, message)
    }
}

/// What is looked at, as `run` would find it.
pub struct Subject {
    /// Where the command was given.
    pub directory: PathBuf,
    /// The repository, or why there is none that can be used.
    pub repository: Result<Repository, NoRepository>,
    /// Where worktrees go, and whether they can be made there; none without a repository.
    pub worktrees: Option<(PathBuf, Result<(), Error>)>,
    /// Where sessions are kept, if that is known.
    pub results: Option<PathBuf>,
    /// Whether they can be kept.
    pub keeps: Result<(), Error>,
    /// The agent.
    pub agent: Agent,
    /// The configuration.
    pub configuration: Configuration,
    /// How many agents would run at once; none is no limit.
    pub max_parallel: Result<Option<usize>, Error>,
    /// No task starts while less disk is free, in bytes.
    pub min_free_disk: u64,
    /// No task starts while less memory is available, in bytes.
    pub min_free_memory: u64,
}

/// Why there is no repository that can be used.
pub enum NoRepository {
    /// There is none here.
    None(Error),
    /// There is one, and it cannot be opened.
    Unusable(Error),
}

/// The agent as `run` would start it.
pub struct Agent {
    /// Its program.
    pub program: Result<PathBuf, Error>,
    /// By what it is named: an option, a variable; empty when it is found in PATH.
    pub by: &'static str,
    /// Whether it is Claude Code itself, as far as that can be seen.
    pub is_claude_code: bool,
    /// Whether it would refuse to run as this user.
    pub root: Result<(), Error>,
}

/// Looks at everything.
pub fn examine(subject: &Subject) -> Vec<Finding> {
    let mut found = Vec::new();
    let git_works = git::look(&mut found);
    let seen = repository::look(subject, git_works, &mut found);
    if let Some(seen) = &seen {
        checkout::look(seen, &mut found);
        locks::look(&seen.place, &mut found);
    }
    config::look(&subject.configuration, &mut found);
    agent::look(subject, seen.as_ref(), &mut found);
    machine::look(subject, seen.as_ref(), &mut found);
    let sessions = sessions::look(subject, &mut found);
    leftovers::look(subject, seen.as_ref(), &sessions, &mut found);
    logind::look(&mut found);
    machine::platform(std::env::consts::OS, &mut found);
    terminal::look(&mut found);
    found
}

/// A path in the environment; a variable that is empty is not set.
fn set_path(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|v| !v.is_empty()).map(PathBuf::from)
}

/// A length of time in its largest unit.
fn age(time: std::time::Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => count(seconds, "second"),
        60..3600 => count(seconds / 60, "minute"),
        3600..86_400 => count(seconds / 3600, "hour"),
        _ => count(seconds / 86_400, "day"),
    }
}
