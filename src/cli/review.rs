//! `pleach diff`, `pleach open`

use clap::Args;

/// `pleach diff`
#[derive(Debug, Args)]
#[command(
    after_help = "Shown is what lies between the commit that the task started from and its branch, by git diff and with \
your pager. With --against the lines of the other task have a minus, those of the task itself a plus."
)]
pub struct DiffArgs {
    /// Its id or the beginning of it [default: the newest]
    pub session: Option<String>,
    /// One task: its id, the beginning of it, or its number [default: all of them]
    pub task: Option<String>,
    /// Show which files changed, and how much (the default for several tasks)
    #[arg(long, conflicts_with_all = ["name_only", "patch"])]
    pub stat: bool,
    /// Show only the names of the files
    #[arg(long, conflicts_with = "patch")]
    pub name_only: bool,
    /// Show the lines (the default for one task)
    #[arg(long)]
    pub patch: bool,
    /// Compare with what another task made of it
    #[arg(long, value_name = "TASK", requires = "task")]
    pub against: Option<String>,
    /// Print the list of the files as JSON
    #[arg(long, conflicts_with_all = ["stat", "name_only", "patch"])]
    pub json: bool,
}

/// `pleach open`
#[derive(Debug, Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Only the path is printed on standard output, for: cd \"$(pleach open TASK)\""
)]
pub struct OpenArgs {
    /// Its id or the beginning of it [default: the newest]
    pub session: Option<String>,
    /// Its id, the beginning of it, or its number
    pub task: String,
    /// Start $SHELL in it
    #[arg(long)]
    pub shell: bool,
}
