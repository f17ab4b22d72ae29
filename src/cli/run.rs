//! The options of `pleach run`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::values::{
    Parallel, parse_cost, parse_count, parse_duration, parse_parallel, parse_size, parse_time_limit, parse_variable,
};

/// What a task file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// `{"prompts": [...]}`
    Json,
    /// A prompt a line.
    Text,
    /// Instructions, or a specification with a plan of who does what.
    Markdown,
}

/// The headings of the help.
const TASKS: &str = "Tasks";
const AGENTS: &str = "Agents";
const LIMITS: &str = "Limits";
const CHECKS: &str = "Checks and retries";
const WORKTREES: &str = "Worktrees";
const DONE: &str = "When done";
const OUTPUT: &str = "Output";

/// `pleach run`
#[derive(Debug, Default, Args)]
#[command(
    after_help = "Options that are left out are taken from the environment, the repository's pleach.toml and your \
config.toml: pleach config\n\nWith PLEACH_MAX_AGENTS=N no more than N agents run at once in all sessions on this machine \
that were started so."
)]
pub struct RunArgs {
    /// Task files: .json, .txt (a prompt a line) or .md (a task a file, or a plan of several); - for standard input
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// A task, given here (can be repeated)
    #[arg(help_heading = TASKS, short, long = "prompt", value_name = "PROMPT", allow_hyphen_values = true)]
    pub prompts: Vec<String>,
    /// What the task files are [default: by their names; standard input is JSON]
    #[arg(help_heading = TASKS, long, value_enum)]
    pub format: Option<Format>,
    /// The agent: claude, scripted (follows directives in its prompt), or one of the configuration [default: claude]
    #[arg(help_heading = AGENTS, long, value_name = "NAME")]
    pub agent: Option<String>,
    /// The model [default: that of the agent's own settings]
    #[arg(help_heading = AGENTS, long)]
    pub model: Option<String>,
    /// Pass ARG on to the agent (can be repeated)
    #[arg(help_heading = AGENTS, long = "agent-arg", value_name = "ARG", allow_hyphen_values = true)]
    pub agent_args: Vec<String>,
    /// The program of Claude Code [env: CLAUDE_CLI_PATH] [default: claude in PATH]
    #[arg(help_heading = AGENTS, long, value_name = "PATH")]
    pub claude: Option<PathBuf>,
    /// Give agents the permissions of MODE instead of skipping the checks
    #[arg(help_heading = AGENTS, long, value_name = "MODE")]
    pub permission_mode: Option<String>,
    /// Set a variable for agents and the commands around them (can be repeated)
    #[arg(help_heading = AGENTS, long, value_name = "NAME=VALUE", value_parser = parse_variable)]
    pub env: Vec<(String, String)>,
    /// How many agents at once: a number, auto (by cores and free memory) or unlimited [env: MAX_CLAUDE_WORKERS]
    #[arg(help_heading = LIMITS, long, value_name = "N", value_parser = parse_parallel, allow_negative_numbers = true)]
    pub max_parallel: Option<Parallel>,
    /// At least so long between the starts of two agents
    #[arg(help_heading = LIMITS, long, value_name = "TIME", value_parser = parse_duration)]
    pub stagger: Option<Duration>,
    /// End an agent that runs longer (such as 90s, 10m, 2h) [default: none]
    #[arg(help_heading = LIMITS, long, value_name = "TIME", value_parser = parse_time_limit)]
    pub timeout: Option<Duration>,
    /// End an agent that prints nothing for so long [default: none]
    #[arg(help_heading = LIMITS, long, value_name = "TIME", value_parser = parse_time_limit)]
    pub idle_timeout: Option<Duration>,
    /// Time between asking an agent to end and killing it [default: 10s]
    #[arg(help_heading = LIMITS, long, value_name = "TIME", value_parser = parse_duration)]
    pub grace: Option<Duration>,
    /// The most turns of the model in an attempt
    #[arg(help_heading = LIMITS, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), allow_negative_numbers = true)]
    pub max_turns: Option<u32>,
    /// Start no more tasks once the session has cost more than this, in US dollars [default: no limit]
    #[arg(help_heading = LIMITS, long, value_name = "USD", value_parser = parse_cost, allow_negative_numbers = true)]
    pub max_cost: Option<f64>,
    /// What the attempts at one task may cost together, in US dollars [default: no limit]
    #[arg(help_heading = LIMITS, long, value_name = "USD", value_parser = parse_cost, allow_negative_numbers = true)]
    pub max_cost_usd: Option<f64>,
    /// How much output of a task is kept (such as 512K, 64M, 1G) [default: 64M]
    #[arg(help_heading = LIMITS, long, value_name = "SIZE", value_parser = parse_size)]
    pub max_output: Option<u64>,
    /// Start no task while less disk is free [env: PLEACH_MIN_FREE_DISK] [default: 1G]
    #[arg(help_heading = LIMITS, long, value_name = "SIZE", value_parser = parse_size)]
    pub min_free_disk: Option<u64>,
    /// Start no task while less memory is available [env: PLEACH_MIN_FREE_MEMORY] [default: 512M]
    #[arg(help_heading = LIMITS, long, value_name = "SIZE", value_parser = parse_size)]
    pub min_free_memory: Option<u64>,
    /// Run COMMAND in each new worktree before the agent (can be repeated)
    #[arg(help_heading = CHECKS, long, value_name = "COMMAND")]
    pub setup: Vec<String>,
    /// Run COMMAND in the worktree after the agent; unless it exits with 0 the attempt has failed
    #[arg(help_heading = CHECKS, long, value_name = "COMMAND")]
    pub verify: Option<String>,
    /// Try a task that failed so many more times, in the same conversation and worktree
    #[arg(help_heading = CHECKS, long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true)]
    pub retry: Option<u32>,
    /// How long the first retry waits; each further one twice as long, up to 5m [default: 5s]
    #[arg(help_heading = CHECKS, long, value_name = "TIME", value_parser = parse_duration)]
    pub retry_delay: Option<Duration>,
    /// Start each retry from the base again; the earlier work is kept
    #[arg(help_heading = CHECKS, long, conflicts_with = "no_worktree")]
    pub retry_fresh: bool,
    /// Start the other tasks although one failed (the default)
    #[arg(help_heading = CHECKS, long, conflicts_with = "fail_fast")]
    pub keep_going: bool,
    /// Stop the session with the first task that fails
    #[arg(help_heading = CHECKS, long)]
    pub fail_fast: bool,
    /// Give each task a worktree and a branch of its own (the default)
    #[arg(help_heading = WORKTREES, long, conflicts_with = "no_worktree")]
    pub worktree: bool,
    /// Run all agents in the current directory, and commit nothing
    #[arg(help_heading = WORKTREES, long, conflicts_with_all = ["worktree_dir", "keep_worktrees"])]
    pub no_worktree: bool,
    /// Make the worktrees in DIR instead of ../<repository>.pleach
    #[arg(help_heading = WORKTREES, long, value_name = "DIR")]
    pub worktree_dir: Option<PathBuf>,
    /// Keep the worktrees of succeeded tasks too
    #[arg(help_heading = WORKTREES, long)]
    pub keep_worktrees: bool,
    /// How often the work of running agents is kept, uncommitted changes too; 0 is never [default: 5m]
    #[arg(help_heading = WORKTREES, long, value_name = "TIME", value_parser = parse_duration)]
    pub snapshot_every: Option<Duration>,
    /// Run COMMAND when the session has ended
    #[arg(help_heading = DONE, long, value_name = "COMMAND")]
    pub on_done: Option<String>,
    /// Run COMMAND when a task is settled, with its answer on standard input
    #[arg(help_heading = DONE, long, value_name = "COMMAND")]
    pub on_task_done: Option<String>,
    /// End such a command that runs longer [default: 10m]
    #[arg(help_heading = DONE, long, value_name = "TIME", value_parser = parse_time_limit)]
    pub handler_timeout: Option<Duration>,
    /// Stay until the session has ended; exit 1 unless every task succeeded
    #[arg(help_heading = OUTPUT, long)]
    pub sync: bool,
    /// Say more: what holds for the session; with --sync each line of its log
    #[arg(help_heading = OUTPUT, long)]
    pub verbose: bool,
    /// Show what would be started, where and with which command, and start nothing
    #[arg(help_heading = OUTPUT, long)]
    pub dry_run: bool,
    /// Print what --dry-run shows as JSON
    #[arg(help_heading = OUTPUT, long, requires = "dry_run")]
    pub json: bool,
    /// Write the answer of each task to DIR, as ID.txt; without an id by number and title, as 01-fix-the-login.txt
    #[arg(help_heading = OUTPUT, long, value_name = "DIR")]
    pub output_dir: Option<PathBuf>,
    /// Write the answer of the only task to FILE
    #[arg(help_heading = OUTPUT, long, value_name = "FILE", conflicts_with = "output_dir")]
    pub output_file: Option<PathBuf>,
    /// Copy the log of each attempt to DIR, as TASK.ATTEMPT.log
    #[arg(help_heading = OUTPUT, long, value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
    /// Approve what the repository's pleach.toml has run and allows, as pleach trust -y does
    #[arg(short, long)]
    pub yes: bool,
}
