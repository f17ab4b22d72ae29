//! `pleach clean`

use std::time::Duration;

use clap::Args;

use super::parse_duration;

/// What is said below the options.
const MORE: &str = "\
Without SESSION and --all: the worktrees and branches of merged tasks, what has been in the trash for 24 hours, and \
what was half made when something was killed. Worktrees go to the trash. A branch is merged when all of its commits are \
on the branch that the session started from, or on the one that is checked out here. What is uncommitted, or kept \
nowhere else, stays.";

/// `pleach clean`
#[derive(Debug, Args)]
#[command(after_help = MORE)]
pub struct CleanArgs {
    /// Ids or beginnings of them: all of these sessions, also of interrupted ones
    #[arg(value_name = "SESSION", conflicts_with = "all")]
    pub sessions: Vec<String>,
    /// All of every session that has ended
    #[arg(long)]
    pub all: bool,
    /// Only tasks whose branch is merged
    #[arg(long, conflicts_with_all = ["unmerged", "discard"])]
    pub merged: bool,
    /// Branches that are not merged, too; their commits stay in refs/pleach
    #[arg(long, requires = "sessions", conflicts_with = "all")]
    pub unmerged: bool,
    /// Only sessions that ended longer ago (such as 7d, 12h)
    #[arg(long, value_name = "TIME", value_parser = parse_age, conflicts_with = "discard")]
    pub older_than: Option<Duration>,
    /// Undo these sessions: their worktrees and branches go, merged or not, and their commits after 7 days
    #[arg(long, requires = "sessions", conflicts_with = "all")]
    pub discard: bool,
    /// Delete now what is in the trash; alone, do only that
    #[arg(long)]
    pub empty_trash: bool,
    /// Show what would go, and remove nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Reads an age: a duration, or a number of days such as `7d`.
fn parse_age(text: &str) -> Result<Duration, String> {
    const DAY: u64 = 24 * 3600;
    match text.trim().strip_suffix('d') {
        Some(days) => days
            .trim_end()
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(DAY))
            .map(Duration::from_secs),
        None => parse_duration(text).ok(),
    }
    .ok_or_else(|| "must be an age such as 7d, 12h or 90m".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_durations_or_days() {
        for (text, seconds) in [
            ("7d", 7 * 86_400),
            ("1 d", 86_400),
            ("12h", 43_200),
            ("0", 0),
            ("90", 90),
        ] {
            assert_eq!(parse_age(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "d",
            "-1d",
            "1.5d",
            "1w",
            "1dd",
            "99999999999999999999d",
            "999999999999999d",
        ] {
            assert!(parse_age(text).is_err(), "{text}");
        }
    }
}
