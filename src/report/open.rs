//! What is said of a worktree that is opened. The path itself is the answer, and not printed here.

use std::path::Path;

use super::{escape, quote};

/// A worktree that an agent works in, or is to work in again.
pub fn not_settled(task: &str) -> String {
    format!("{task} is not settled: what you change there, its agent finds")
}

/// A worktree that was made again. `trash` is where the one before still is, with what git ignores.
pub fn made_anew(branch: &str, trash: Option<&Path>) -> String {
    let before = trash.map_or(String::new(), |trash| {
        format!(
            "; what the one before had that git ignores is still in {}",
            quote(trash)
        )
    });
    escape(&format!("a new worktree, as {branch} is now{before}"))
}

/// A worktree in which not the task's branch is checked out.
pub fn other_branch_there(found: Option<&str>, branch: &str) -> String {
    let found = found.map_or("a commit is".into(), |name| format!("{name} is"));
    escape(&format!("{found} checked out there, not {branch}"))
}

/// A branch that another worktree has.
pub fn checked_out_elsewhere(branch: &str) -> String {
    escape(&format!("{branch} is checked out there already"))
}

/// Before a shell starts in it.
pub fn entering(path: &Path, branch: &str) -> String {
    escape(&format!("{} ({branch}); to come back: exit", quote(path)))
}
