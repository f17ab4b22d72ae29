//! `pleach diff`, `pleach open`

use clap::Args;

/// `pleach diff`
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// Its id or the beginning of it [default: the newest]
    pub session: Option<String>,
    /// One task: its id, the beginning of it, or its number
    pub task: Option<String>,
    /// Show which files changed, and how much
    #[arg(long, conflicts_with_all = ["name_only", "patch"])]
    pub stat: bool,
    /// Show only the names of the files
    #[arg(long, conflicts_with = "patch")]
    pub name_only: bool,
    /// Show the lines (the default)
    #[arg(long)]
    pub patch: bool,
    /// Compare with what another task made of it
    #[arg(long, value_name = "TASK")]
    pub against: Option<String>,
}

/// `pleach open`
#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub struct OpenArgs {
    /// Its id or the beginning of it [default: the newest]
    pub session: Option<String>,
    /// Its id, the beginning of it, or its number
    pub task: String,
    /// Start $SHELL in it
    #[arg(long)]
    pub shell: bool,
}
