//! `pleach plan`, `pleach merge`, `pleach undo`

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

/// `pleach plan`
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Its id or the beginning of it [default: the newest]
    pub session: Option<String>,
    /// Plan for this branch, tag or commit instead of a session (can be repeated)
    #[arg(long = "branch", value_name = "BRANCH", conflicts_with = "session")]
    pub branches: Vec<String>,
    /// Merge into this branch, tag or commit [default: the branch that the session started from, or HEAD]
    #[arg(long, value_name = "BRANCH")]
    pub onto: Option<String>,
    /// Plan for git merge --squash
    #[arg(long)]
    pub squash: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `pleach merge`
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Its id or the beginning of it [default: the newest]
    pub session: Option<String>,
    /// Merge into this branch [default: the one that the session started from]
    #[arg(long, value_name = "BRANCH")]
    pub onto: Option<String>,
    /// Only this task: its id, the beginning of it, or its number (can be repeated)
    #[arg(long = "task", value_name = "TASK")]
    pub tasks: Vec<String>,
    /// Not this task (can be repeated)
    #[arg(long, value_name = "TASK")]
    pub exclude: Vec<String>,
    /// Make one commit of each branch
    #[arg(long, conflicts_with = "no_ff")]
    pub squash: bool,
    /// Make a merge commit for each branch (the default)
    #[arg(long)]
    pub no_ff: bool,
    /// The message of each commit; {branch}, {task}, {title}, {session} and {target} stand for what they say
    #[arg(long, value_name = "TEMPLATE")]
    pub message: Option<String>,
    /// Land only what this shell command succeeds in; branches that make it fail are left out
    #[arg(long, value_name = "CMD", value_parser = NonEmptyStringValueParser::new())]
    pub verify: Option<String>,
    /// Run it after each branch, not only at the end
    #[arg(long, requires = "verify")]
    pub verify_each: bool,
    /// Run it also where it is remembered what it said of the same files
    #[arg(long, requires = "verify")]
    pub verify_again: bool,
    /// Remove the merged branches and their worktrees afterwards
    #[arg(long)]
    pub clean: bool,
    /// Show what would be merged, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `pleach undo`
#[derive(Debug, Args)]
pub struct UndoArgs {
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
