//! What to do about each error of a landing.

use std::path::PathBuf;

use super::catalog::{broken, refused};
use super::{Error, Kind};
use crate::landing::LandingError;
use crate::words::quote;

/// So many files have room in a hint.
const MOST_NAMED: usize = 3;

/// Puts only these files away, as long as they can be named: the others may be dear, and many.
fn stashing(files: &[PathBuf]) -> String {
    if files.len() > MOST_NAMED {
        return "--all".into();
    }
    let files: Vec<String> = files.iter().map(quote).collect();
    format!("push --all -- {}", files.join(" "))
}

/// The kind and the hint.
pub(super) fn remedy(e: &LandingError) -> (Kind, String) {
    match e {
        LandingError::Placeholder(_) => refused("it may have {branch}, {task}, {title}, {session} and {target}"),
        LandingError::EmptyMessage => refused("say something, such as: --message \"{title}\""),
        LandingError::NotAsPlanned { .. } => {
            broken("nothing was merged; git was configured anew meanwhile, or is another one: call it again")
        }
        LandingError::Unsigned(_) => {
            refused("mend that (commit.gpgSign asks for it), or merge by hand with the commands of: pleach plan")
        }
        LandingError::Foreign { setting, .. } => refused(format!(
            "remove it if you do not know it, else merge with the commands of pleach plan: git config --unset-all {}",
            quote(setting)
        )),
        LandingError::Held { .. } => broken("wait until it has ended, and call it again"),
        LandingError::CheckedOutTwice { .. } => refused("check something else out in all but one of them: git switch"),
        LandingError::NotItsCheckout { .. } => refused(
            "if it was moved: git worktree repair, in its new place; if it is gone: git worktree unlock, git worktree prune",
        ),
        LandingError::Busy { path, .. } | LandingError::Unfinished { path, .. } => refused(format!(
            "finish that or abort it; to see it: git -C {} status",
            quote(path)
        )),
        LandingError::Locked { lock } => broken(format!(
            "if no git and no editor of one is at work there, remove it: rm {}",
            quote(lock)
        )),
        LandingError::InTheWay { path, files } => refused(format!(
            "commit them or put them away, and call it again: git -C {} stash {}",
            quote(path),
            stashing(files)
        )),
        LandingError::Switched { .. } => refused("see what is checked out where, and call it again: git worktree list"),
        LandingError::AnotherName { .. } => refused("name that branch: --onto BRANCH"),
        LandingError::Moved { branch, .. } => refused(format!("see what came: git log --oneline -5 {}", quote(branch))),
        LandingError::CameAfter { branch, new, .. } => refused(format!(
            "take back what came after, or leave the merge; to see it: git log --oneline {}..{}",
            &new[..12],
            quote(branch)
        )),
        LandingError::NothingToUndo => refused("see what can be merged: pleach plan"),
        LandingError::HalfDone { path, lock, .. } => {
            let unlock = lock
                .as_ref()
                .map_or(String::new(), |lock| format!("rm {} && ", quote(lock)));
            broken(format!(
                "put those back that you do not need, and call it again: {unlock}git -C {} restore FILE",
                quote(path)
            ))
        }
        LandingError::Damaged { path, .. } => broken(format!("if you need no undo of it: rm {}", quote(path))),
        // That one is told as git's own.
        LandingError::Git(_) => broken("see what is wrong with the repository: pleach doctor"),
        LandingError::Io { path, .. } => broken(format!(
            "make room, or get the right to write there: ls -ld {}",
            quote(path)
        )),
    }
}

impl From<LandingError> for Error {
    fn from(e: LandingError) -> Self {
        match e {
            LandingError::Git(e) => e.into(),
            other => Self::Landing(other),
        }
    }
}
