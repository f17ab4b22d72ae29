//! The table of all keys: what each is called, what it takes, what it means, and how else it can be said.
//!
//! It is the only list of them. Files and environment are read by it, `pleach config` shows it, `docs/configuration.md`
//! is written from it, and it says what in the repository's file has to be approved. Plain data.

mod agent;
mod approval;

use std::path::Path;

pub use self::agent::AGENT_KEYS;
pub use self::approval::Approval;
use super::value::Value;
use crate::cli::{parse_cost, parse_count, parse_duration, parse_most, parse_parallel, parse_size, parse_time_limit};

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// How many agents at once.
    Parallel,
    /// A length of time.
    Time,
    /// The same, longer than nothing.
    TimeLimit,
    /// A number from 0.
    Count,
    /// A number from 1.
    CountFromOne,
    /// An amount of US dollars above 0.
    Usd,
    /// A size in bytes.
    Size,
    /// Yes or no.
    Flag,
    /// A file or directory; from a file relative to the directory of that.
    Path,
    /// A program: a path if there is a slash in it, else a name in PATH.
    Program,
    /// Any text.
    Text,
    /// A line for the shell.
    Shell,
    /// Several.
    Shells,
    /// Arguments as they are.
    Words,
    /// Patterns of files below the main checkout; one may begin with a slash, as in `.gitignore`.
    Patterns,
    /// Paths below the main checkout.
    Inside,
    /// A table of variables.
    Variables,
}

impl Kind {
    /// What it takes, with an article and an example.
    pub fn wanted(self) -> &'static str {
        match self {
            Self::Parallel => "a number from 1, \"auto\" or \"unlimited\"",
            Self::Time | Self::TimeLimit => "a time such as \"90s\", \"10m\" or \"2h\"",
            Self::Count => "a number",
            Self::CountFromOne => "a number from 1",
            Self::Usd => "an amount of US dollars such as 2.50",
            Self::Size => "a size such as \"512K\", \"64M\" or \"1G\"",
            Self::Flag => "true or false",
            Self::Path => "a path in quotes",
            Self::Program => "a program in quotes",
            Self::Text => "a text in quotes",
            Self::Shell => "a command in quotes",
            Self::Shells => "a list such as [\"npm ci\"]",
            Self::Words => "a list such as [\"--effort\", \"low\"]",
            Self::Patterns => "a list such as [\".env\"]",
            Self::Inside => "a list such as [\"node_modules\"]",
            Self::Variables => "a table such as { CI = \"1\" }",
        }
    }

    /// Reads one value of this kind; relative paths are below `base`. A refusal is a clause: what it must be.
    pub fn parse(self, text: &str, base: &Path) -> Result<Value, String> {
        if text.contains('\0') {
            return Err("must have no NUL in it".into());
        }
        let said = || match text.trim().is_empty() {
            true => Err("must not be empty".to_owned()),
            false => Ok(text.to_owned()),
        };
        Ok(match self {
            Self::Parallel => Value::Parallel(parse_parallel(text)?),
            Self::Time => Value::Time(parse_duration(text)?),
            Self::TimeLimit => Value::Time(parse_time_limit(text)?),
            Self::Count => Value::Count(parse_count(text)?),
            Self::CountFromOne => {
                let number = parse_most(text)?;
                Value::Count(u32::try_from(number).map_err(|_| "must be a smaller number")?)
            }
            Self::Usd => Value::Usd(parse_cost(text)?),
            Self::Size => Value::Bytes(parse_size(text)?),
            Self::Flag => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" => Value::Flag(true),
                "false" | "0" | "no" => Value::Flag(false),
                _ => return Err("must be true or false".into()),
            },
            Self::Path => Value::Path(base.join(without_tilde(&said()?)?)),
            Self::Program => {
                let program = without_tilde(&said()?)?.to_owned();
                match program.contains('/') {
                    true => Value::Path(base.join(program)),
                    false => Value::Path(program.into()),
                }
            }
            Self::Text | Self::Shell | Self::Shells => Value::Text(said()?),
            Self::Patterns | Self::Inside => {
                let path = said()?;
                let outside = path.split('/').any(|part| part == "..") || path.starts_with('~');
                if outside || self == Self::Inside && path.starts_with('/') {
                    return Err("must be below the main checkout".into());
                }
                Value::Text(path)
            }
            // One of several, which may be empty.
            Self::Words | Self::Variables => Value::Text(text.to_owned()),
        })
    }

    /// Whether a file has it as a list.
    pub fn is_list(self) -> bool {
        matches!(self, Self::Shells | Self::Words | Self::Patterns | Self::Inside)
    }
}

/// Nobody expands it here, and a directory of that name is not what is meant.
fn without_tilde(path: &str) -> Result<&str, String> {
    match path == "~" || path.starts_with("~/") {
        true => Err("must be in full: ~ stands for nothing".into()),
        false => Ok(path),
    }
}

/// A key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As it is written; below a table with a dot.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it is when nobody says anything: a value, or in words.
    pub usual: &'static str,
    /// What it means.
    pub about: &'static str,
    /// The variable of the environment that says the same.
    pub variable: Option<&'static str>,
    /// The option of `run`.
    pub flag: Option<&'static str>,
    /// When it counts in the repository's file only once the user has approved it.
    pub approval: Approval,
}

const fn key(name: &'static str, kind: Kind, usual: &'static str, about: &'static str) -> Key {
    Key {
        name,
        kind,
        usual,
        about,
        variable: None,
        flag: None,
        approval: Approval::Never,
    }
}

impl Key {
    const fn variable(self, name: &'static str) -> Self {
        Self {
            variable: Some(name),
            ..self
        }
    }

    const fn flag(self, name: &'static str) -> Self {
        Self {
            flag: Some(name),
            ..self
        }
    }

    /// Something is run by it, or written to where it says.
    const fn acts(self) -> Self {
        self.approved(Approval::Always)
    }

    const fn approved(self, approval: Approval) -> Self {
        Self { approval, ..self }
    }

    /// The value that it has when nobody says anything; none if that is no value.
    pub fn usual_value(&self) -> Option<Value> {
        match self.kind {
            _ if self.usual == NONE || self.usual.contains(' ') || self.kind.is_list() => None,
            Kind::Variables | Kind::Path | Kind::Program => None,
            kind => kind.parse(self.usual, Path::new("/")).ok(),
        }
    }
}

/// In place of a usual value.
const NONE: &str = "none";

/// All of them, in the order in which they are shown.
pub const KEYS: [Key; 35] = [
    key(
        "max_parallel",
        Kind::Parallel,
        "auto",
        "How many agents run at once in a session",
    )
    .variable("MAX_CLAUDE_WORKERS")
    .flag("--max-parallel")
    .approved(Approval::ForMore),
    key(
        "max_agents",
        Kind::CountFromOne,
        NONE,
        "How many agents run at once on this machine, in all sessions that have it",
    )
    .variable("PLEACH_MAX_AGENTS")
    .approved(Approval::ForMore),
    key("timeout", Kind::TimeLimit, NONE, "An agent that runs longer is ended")
        .variable("PLEACH_TIMEOUT")
        .flag("--timeout")
        .approved(Approval::ForMore),
    key(
        "idle_timeout",
        Kind::TimeLimit,
        NONE,
        "An agent that prints nothing for so long is ended",
    )
    .variable("PLEACH_IDLE_TIMEOUT")
    .flag("--idle-timeout")
    .approved(Approval::ForMore),
    key(
        "grace",
        Kind::Time,
        "10s",
        "Time between asking an agent to end and killing it",
    )
    .variable("PLEACH_GRACE")
    .flag("--grace"),
    key(
        "retry",
        Kind::Count,
        "0",
        "How many more times a task is tried that failed",
    )
    .variable("PLEACH_RETRY")
    .flag("--retry")
    .approved(Approval::ForMore),
    key(
        "retry_delay",
        Kind::Time,
        "5s",
        "How long the first retry waits; each further one twice as long, up to 5 minutes",
    )
    .variable("PLEACH_RETRY_DELAY")
    .flag("--retry-delay"),
    key(
        "retry_fresh",
        Kind::Flag,
        "false",
        "Each retry starts from the base again",
    )
    .variable("PLEACH_RETRY_FRESH")
    .flag("--retry-fresh"),
    key(
        "fail_fast",
        Kind::Flag,
        "false",
        "The session stops with the first task that fails",
    )
    .variable("PLEACH_FAIL_FAST")
    .flag("--fail-fast, --keep-going")
    .approved(Approval::ForLess),
    key(
        "stagger",
        Kind::Time,
        "0s",
        "At least so long between the starts of two agents",
    )
    .variable("PLEACH_STAGGER")
    .flag("--stagger"),
    key(
        "max_cost",
        Kind::Usd,
        NONE,
        "No more tasks start once the session has cost more, in US dollars",
    )
    .variable("PLEACH_MAX_COST")
    .flag("--max-cost")
    .approved(Approval::ForMore),
    key(
        "max_cost_usd",
        Kind::Usd,
        NONE,
        "What the attempts at one task may cost together, in US dollars",
    )
    .variable("PLEACH_MAX_COST_USD")
    .flag("--max-cost-usd")
    .approved(Approval::ForMore),
    key(
        "max_turns",
        Kind::CountFromOne,
        NONE,
        "The most turns of the model in an attempt",
    )
    .variable("PLEACH_MAX_TURNS")
    .flag("--max-turns")
    .approved(Approval::ForMore),
    key("max_output", Kind::Size, "64M", "How much output of a task is kept")
        .variable("PLEACH_MAX_OUTPUT")
        .flag("--max-output"),
    key(
        "snapshot_every",
        Kind::Time,
        "5m",
        "How often the work of running agents is kept, uncommitted changes too; 0 is never",
    )
    .variable("PLEACH_SNAPSHOT_EVERY")
    .flag("--snapshot-every"),
    key(
        "min_free_disk",
        Kind::Size,
        "1G",
        "No task starts while less disk is free",
    )
    .variable("PLEACH_MIN_FREE_DISK")
    .flag("--min-free-disk")
    .approved(Approval::ForLess),
    key(
        "min_free_memory",
        Kind::Size,
        "512M",
        "No task starts while less memory is available",
    )
    .variable("PLEACH_MIN_FREE_MEMORY")
    .flag("--min-free-memory")
    .approved(Approval::ForLess),
    key(
        "keep_worktrees",
        Kind::Flag,
        "false",
        "The worktrees of succeeded tasks are kept too",
    )
    .variable("PLEACH_KEEP_WORKTREES")
    .flag("--keep-worktrees"),
    key(
        "results_dir",
        Kind::Path,
        "in the git directory",
        "Where sessions are kept",
    )
    .variable("PLEACH_RESULTS_DIR")
    .flag("--results-dir")
    .acts(),
    key(
        "output_dir",
        Kind::Path,
        NONE,
        "Where the answer of each task goes that has no output_file",
    )
    .variable("PLEACH_OUTPUT_DIR")
    .flag("--output-dir")
    .acts(),
    key(
        "log_dir",
        Kind::Path,
        NONE,
        "Where a copy of the log of each attempt goes",
    )
    .variable("PLEACH_LOG_DIR")
    .flag("--log-dir")
    .acts(),
    key(
        "model",
        Kind::Text,
        NONE,
        "The model; without it that of the agent's own settings",
    )
    .variable("PLEACH_MODEL")
    .flag("--model")
    .approved(Approval::ForOther),
    key(
        "agent",
        Kind::Text,
        "claude",
        "The agent: claude, scripted, or one that is described",
    )
    .variable("PLEACH_AGENT")
    .flag("--agent")
    .acts(),
    key(
        "agent_args",
        Kind::Words,
        NONE,
        "Arguments that the agent gets besides its own",
    )
    .variable("PLEACH_AGENT_ARGS")
    .flag("--agent-arg")
    .acts(),
    key(
        "permission_mode",
        Kind::Text,
        NONE,
        "What agents may do without asking; without it the checks are skipped",
    )
    .variable("PLEACH_PERMISSION_MODE")
    .flag("--permission-mode")
    .acts(),
    key("claude", Kind::Program, "claude in PATH", "The program of Claude Code")
        .variable("CLAUDE_CLI_PATH")
        .flag("--claude")
        .acts(),
    key(
        "env",
        Kind::Variables,
        NONE,
        "Variables for agents and the commands around them, each by itself",
    )
    .flag("--env")
    .acts(),
    key(
        "verify",
        Kind::Shell,
        NONE,
        "A command that is run in the worktree after the agent; unless it exits with 0 the attempt has failed",
    )
    .variable("PLEACH_VERIFY")
    .flag("--verify")
    .acts(),
    key(
        "on_task_done",
        Kind::Shell,
        NONE,
        "A command that is run when a task is settled",
    )
    .variable("PLEACH_ON_TASK_DONE")
    .flag("--on-task-done")
    .acts(),
    key(
        "on_done",
        Kind::Shell,
        NONE,
        "A command that is run when the session has ended",
    )
    .variable("PLEACH_ON_DONE")
    .flag("--on-done")
    .acts(),
    key(
        "handler_timeout",
        Kind::TimeLimit,
        "10m",
        "A command that is run when something is done, and that runs longer, is ended",
    )
    .variable("PLEACH_HANDLER_TIMEOUT")
    .flag("--handler-timeout"),
    key(
        "worktree.dir",
        Kind::Path,
        "../<repository>.pleach",
        "Where worktrees are made",
    )
    .variable("PLEACH_WORKTREE_DIR")
    .flag("--worktree-dir")
    .acts(),
    key(
        "worktree.copy",
        Kind::Patterns,
        NONE,
        "Files of the main checkout that each worktree gets a copy of: patterns as in .gitignore",
    ),
    key(
        "worktree.link",
        Kind::Inside,
        NONE,
        "Files and directories of the main checkout that each worktree gets a link to",
    ),
    key(
        "worktree.setup",
        Kind::Shells,
        NONE,
        "Commands that are run in each new worktree before the agent",
    )
    .flag("--setup")
    .acts(),
];

/// The key of this name.
pub fn find(name: &str) -> Option<&'static Key> {
    static ALL: [Key; KEYS.len()] = KEYS;
    ALL.iter().find(|key| key.name == name)
}

#[cfg(test)]
mod tests;
