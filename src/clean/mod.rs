//! What may go of sessions that are over, and the removal of it.
//!
//! `survey` looks, `plan` (pure) decides from what was seen, and only it can make a [`Plan`]; `carry_out` takes one,
//! looks again at each thing right before it goes, and leaves what has changed. Nothing is forced: what is kept nowhere
//! else stays, or is kept first. `trash`, `discarded` and `leftovers` are what goes by time. Called by `pleach clean`,
//! by a supervisor when it starts (what is past its time), and by the doctor (what is half made). It prints nothing.

mod age;
mod branches;
mod carry_out;
mod claims;
mod discarded;
mod leftovers;
mod passing;
mod plan;
mod shared;
mod survey;
#[cfg(test)]
mod tests;
mod trash;
mod vanished;

use std::path::PathBuf;
use std::time::Duration;

use git2::Oid;
use uuid::Uuid;

pub use carry_out::carry_out;
pub use leftovers::{cut_off_merges, half_made};
pub use passing::in_passing;
pub use plan::Plan;
pub use shared::notes_without_record;
pub use survey::{Grounds, Survey, survey};

use crate::task::TaskId;

/// Which sessions are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// None: only the trash.
    Nothing,
    /// All that have ended, and of them only what was merged. Their records stay.
    Merged,
    /// All that have ended.
    All,
    /// These, also when they were interrupted.
    Named(Vec<Uuid>),
}

/// What the user asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which sessions.
    pub scope: Scope,
    /// Only tasks whose branch is merged.
    pub merged: bool,
    /// Branches that are not merged too; only with named sessions.
    pub unmerged: bool,
    /// All of the named sessions; their commits are kept for a time.
    pub discard: bool,
    /// Only sessions that ended so long ago.
    pub older_than: Option<Duration>,
    /// All that is in the trash.
    pub empty_trash: bool,
}

/// Something that can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A session's worktree: to the trash.
    Worktree {
        /// Whose it is.
        task: TaskId,
        /// Where it is.
        path: PathBuf,
        /// Its commit; none when it was never finished, or is still to be committed.
        head: Option<Oid>,
        /// What git ignores in it.
        ignored: Ignored,
    },
    /// A session's branch.
    Branch {
        /// Whose it is.
        task: TaskId,
        /// Without `refs/heads/`.
        name: String,
        /// Where it is; none when it cannot be told.
        tip: Option<Oid>,
    },
    /// The record of a session: its journal, answers and logs, and what is pinned for it.
    Record(PathBuf),
    /// What the tasks of a session left for each other, where that is not in its record.
    Shared {
        /// Where.
        path: PathBuf,
        /// What it takes on the disk.
        bytes: u64,
    },
    /// Something in the trash.
    Trash {
        /// Where.
        path: PathBuf,
        /// What it takes on the disk.
        bytes: u64,
    },
    /// Something of pleach's that nobody is making any more.
    HalfMade(PathBuf),
    /// The commits of a discarded session, and the file that says when that was.
    Discarded(PathBuf),
}

/// Files that git ignores: they are in no commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    /// How many entries git names; a directory counts once.
    pub entries: usize,
    /// The largest of them, relative to the worktree.
    pub largest: Vec<String>,
    /// How long they are together.
    pub bytes: u64,
    /// What they take on the disk: less when there are holes in them.
    pub disk_bytes: u64,
}

/// What is to become of something, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes.
    Goes(String),
    /// It stays.
    Stays(String),
}

/// One thing of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Whose it is, if it is a session's.
    pub session: Option<Uuid>,
    /// What.
    pub thing: Thing,
    /// What becomes of it.
    pub fate: Fate,
}

/// What became of something that was to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is gone; of a worktree where it is now.
    Gone(Option<PathBuf>),
    /// It stays after all, for this reason.
    Stayed(String),
    /// It could not be removed.
    Failed(String),
}
