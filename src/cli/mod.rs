//! The command line: types for clap. Nothing is decided here.

mod clean;
mod merge;
mod review;
mod run;
mod shell;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand};

pub use clean::CleanArgs;
pub use merge::{MergeArgs, PlanArgs, UndoArgs};
pub use review::{DiffArgs, OpenArgs};
pub use run::{Format, RunArgs};
pub use shell::{CompletionsArgs, ManArgs, Shell};
pub use values::{
    Parallel, parse_cost, parse_count, parse_duration, parse_most, parse_parallel, parse_size, parse_time_limit,
};

/// Run many Claude Code agents side by side in one repository, each on a branch of its own
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, subcommand_required = true)]
pub struct Cli {
    /// Keep sessions in DIR instead of the git directory [env: PLEACH_RESULTS_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub results_dir: Option<PathBuf>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Reads the command line of this process; ends it where clap does, for help and for mistakes.
    pub fn of_this_process() -> Self {
        Self::try_parse().unwrap_or_else(|e| without_hidden(e).exit())
    }
}

/// clap proposes hidden commands too, to somebody who has mistyped a verb.
fn without_hidden(mut error: clap::Error) -> clap::Error {
    const KIND: ContextKind = ContextKind::SuggestedSubcommand;
    if let Some(ContextValue::Strings(proposed)) = error.get(KIND).cloned() {
        let shown: Vec<String> = proposed.into_iter().filter(|name| !name.starts_with("__")).collect();
        error.remove(KIND);
        if !shown.is_empty() {
            error.insert(KIND, ContextValue::Strings(shown));
        }
    }
    error
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a session of agents, one for each task, and print its id
    Run(Box<RunArgs>),
    /// Show a session while it runs, task by task, and how it ended
    Watch(WatchArgs),
    /// Show where each task of a session stands
    Status(StatusArgs),
    /// Print what each task answered, and of a failed one why
    Results(QueryArgs),
    /// Show what the agent of a task does and says
    Logs(LogsArgs),
    /// List the sessions, newest first
    List(ListArgs),
    /// Show all sessions together: states, success, cost, time and disk
    Overview(ListArgs),
    /// Wait until a session has ended, or all that run
    Wait(WaitArgs),
    /// End the agents of a session or of some tasks, and keep their work
    Stop(StopArgs),
    /// Go on with a session that was interrupted or stopped, or whose tasks failed
    Resume(ResumeArgs),
    /// Show what is kept of a session's work beside its branches, and bring it back
    Recover(RecoverArgs),
    /// Show in which order the branches of a session merge, and which conflict
    Plan(PlanArgs),
    /// Merge the branches of a session that fit together, in one move
    Merge(MergeArgs),
    /// Take the last merge back
    Undo(UndoArgs),
    /// Show what a task has changed
    Diff(DiffArgs),
    /// Print the worktree of a task, or work in it; one that was removed is made anew
    Open(OpenArgs),
    /// Remove what sessions that are over have left, where nothing is lost by it
    Clean(CleanArgs),
    /// Check what pleach needs here, and say what to do about it; changes nothing
    Doctor(DoctorArgs),
    /// Show each setting that is in effect here, and where it comes from
    Config(ConfigArgs),
    /// Show what this repository's pleach.toml has run and allows, and approve it
    Trust(TrustArgs),
    /// Print the JSON Schema of task files, or of what a command prints with --json
    Schema(SchemaArgs),
    /// Show it all on a small repository in a temporary directory
    Demo,
    /// Print what makes a shell complete commands, and the ids of sessions and tasks
    Completions(CompletionsArgs),
    /// Print the page of the manual
    Man(ManArgs),
    /// The supervisor of a session
    #[command(name = "__supervisor", hide = true)]
    Supervisor {
        /// The session's directory
        dir: PathBuf,
        /// Another supervisor has worked on it before
        #[arg(long)]
        again: bool,
    },
    /// Who runs the command for the end of a task or of a session
    #[command(name = "__handler", hide = true)]
    Handler {
        /// The session's directory
        dir: PathBuf,
        /// The task that was settled
        #[arg(long, conflicts_with = "lock", required_unless_present = "lock")]
        task: Option<String>,
        /// The number of the open file that is locked until the command for the end of the session has ended
        #[arg(long)]
        lock: Option<i32>,
    },
    /// The runner of an attempt
    #[command(name = "__runner", hide = true)]
    Runner {
        /// The attempt's directory
        dir: PathBuf,
        /// The number of the open file that is its place
        #[arg(long)]
        place: Option<i32>,
    },
}

/// A session, and perhaps one of its tasks.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// Its id or the beginning of it [default: the newest]
    pub session: Option<String>,
    /// One task: its id, the beginning of it, or its number
    pub task: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `pleach status`
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// What is asked about
    #[command(flatten)]
    pub query: QueryArgs,
    /// Stay, and show it anew after each change, until the session has ended
    #[arg(short, long, conflicts_with = "json")]
    pub watch: bool,
}

/// `pleach watch`
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Its id or the beginning of it [default: the newest]
    pub session: Option<String>,
}

/// `pleach logs`
#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub struct LogsArgs {
    /// Its id or the beginning of it [default: the newest]
    pub session: Option<String>,
    /// Its id, the beginning of it, or its number
    #[arg(required_unless_present = "whole")]
    pub task: Option<String>,
    /// Show what happened in the session, a line for each event, instead of one task
    #[arg(long = "session", conflicts_with_all = ["raw", "json"])]
    pub whole: bool,
    /// Show what comes, too, until the task is settled or the session has ended
    #[arg(short, long)]
    pub follow: bool,
    /// Print the bytes as the agent printed them
    #[arg(long)]
    pub raw: bool,
    /// Print JSON
    #[arg(long, conflicts_with_all = ["follow", "raw"])]
    pub json: bool,
}

/// `pleach list`, `pleach overview`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `pleach doctor`
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The program of Claude Code [env: CLAUDE_CLI_PATH] [default: claude in PATH]
    #[arg(long, value_name = "PATH")]
    pub claude: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `pleach config`
#[derive(Debug, Args)]
#[command(
    after_help = "Settings come from the environment, pleach.toml in the checkout, and pleach/config.toml in \
    ~/.config.\nWhat each takes and means: pleach config --keys"
)]
pub struct ConfigArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// List all keys that these files may have, with what each takes and means, and read none of them
    #[arg(long, conflicts_with = "json")]
    pub keys: bool,
}

/// `pleach trust`
#[derive(Debug, Args)]
pub struct TrustArgs {
    /// Approve it without being asked
    #[arg(short, long)]
    pub yes: bool,
    /// Forget all that was approved of this repository
    #[arg(long, conflicts_with = "yes")]
    pub remove: bool,
}

/// What there are schemas of, as `report` has them.
pub const SCHEMAS: [&str; 15] = [
    "tasks", "status", "results", "list", "plan", "merge", "undo", "logs", "diff", "recover", "overview", "doctor",
    "clean", "config", "dry-run",
];

/// `pleach schema`
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Of what [default: a list of the names]
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(SCHEMAS))]
    pub name: Option<String>,
}

/// `pleach wait`
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// Its id or the beginning of it [default: the newest]
    pub session: Option<String>,
    /// Wait for every session that runs now
    #[arg(long, conflicts_with = "session")]
    pub all: bool,
    /// Give up after this time (exit 124)
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `pleach stop`
#[derive(Debug, Args)]
pub struct StopArgs {
    /// Its id or the beginning of it [default: the newest]
    pub session: Option<String>,
    /// End only these tasks: their ids, the beginnings of them, or their numbers [default: the whole session]
    #[arg(value_name = "TASK")]
    pub tasks: Vec<String>,
    /// End every session that runs
    #[arg(long, conflicts_with_all = ["session", "tasks"])]
    pub all: bool,
    /// Time between asking an agent to end and killing it [default: the session's own]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, conflicts_with = "now")]
    pub grace: Option<Duration>,
    /// Kill the agents at once, without a time of grace
    #[arg(long)]
    pub now: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `pleach resume`
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// Its id or the beginning of it [default: the newest]
    pub session: Option<String>,
    /// Try the tasks again, too, that failed or were stopped
    #[arg(long)]
    pub retry_failed: bool,
    /// Start no more tasks once the session has cost more than this in all, in US dollars [default: as before]
    #[arg(long, value_name = "USD", value_parser = parse_cost)]
    pub max_cost: Option<f64>,
    /// Stay until the session has ended; exit 1 unless every task succeeded
    #[arg(long)]
    pub sync: bool,
}

/// `pleach recover`
#[derive(Debug, Args)]
#[command(
    after_help = "Kept are snapshots of running work, work as it was settled, and commits that an agent has \
    dropped.\nFiles that git ignores are in none of them."
)]
pub struct RecoverArgs {
    /// Its id or the beginning of it [default: the newest]
    pub session: Option<String>,
    /// One task: its id, the beginning of it, or its number
    pub task: Option<String>,
    /// Make a new branch of this name at one of them
    #[arg(long, value_name = "BRANCH", allow_hyphen_values = true)]
    pub to: Option<String>,
    /// Which: head, snap/3, left/1, ... [default: the newest; for a task's own branch its head]
    #[arg(long, value_name = "NAME", requires = "to")]
    pub from: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn nobody_is_shown_a_hidden_command() {
        for (typed, proposed) in [
            ("runn", Some("'run'")),
            ("__supervisr", None),
            ("statu", Some("'status'")),
        ] {
            let error = without_hidden(Cli::try_parse_from(["pleach", typed]).unwrap_err());
            let text = error.render().to_string();
            assert!(
                text.contains(typed) && !text.contains("__runner") && !text.contains("__supervisor"),
                "{text}"
            );
            assert_eq!(text.contains("similar"), proposed.is_some(), "{text}");
            assert!(proposed.is_none_or(|name| text.contains(name)), "{text}");
        }
    }
}
