//! Carries a merge plan out: builds its commits off to the side, has them verified where that is asked for, and moves
//! the target once, with the checkout that has it. What it is about to do is written down before, so that whatever ends
//! it, the target is where it was or where it was to be, and the next command knows. Called by `merge` and `undo`; it
//! prints nothing.

mod build;
mod checkout;
mod interrupted;
mod message;
mod moving;
mod past;
mod record;
pub mod verify;

use std::path::{Path, PathBuf};

pub use build::{BuildRequest, Builder, Built, Made};
pub use checkout::Checkout;
pub use interrupted::settle_all;
pub use message::Template;
pub use moving::{check_undo, land, undo, undone_pin};
pub use past::forget_past;
pub use record::{InTarget, Intent, MergedBranch, Merges, Record, State, cut_off, in_targets};

use crate::git::GitError;
use crate::words::few;

/// Why nothing landed, or nothing was taken back.
#[derive(Debug, thiserror::Error)]
#[cfg_attr(
    test,
    derive(strum::EnumDiscriminants),
    strum_discriminants(
        name(LandingErrorName),
        vis(pub(crate)),
        derive(strum::EnumIter, strum::IntoStaticStr),
        strum(serialize_all = "kebab-case")
    )
)]
pub enum LandingError {
    /// `--message` has a placeholder that stands for nothing.
    #[error("the message has {{{0}}}, which stands for nothing")]
    Placeholder(String),
    /// `--message` says nothing.
    #[error("the message of the commits is empty")]
    EmptyMessage,
    /// What was built is not what was planned.
    #[error("merging {branch} does not give what was planned")]
    NotAsPlanned {
        /// Which.
        branch: String,
    },
    /// A commit could not be signed.
    #[error("a commit could not be signed, and nothing was merged: {0}")]
    Unsigned(GitError),
    /// A program would be run that is not one of before the agents.
    #[error("{setting} was configured after the session started, and would {does}")]
    Foreign {
        /// The setting that names it.
        setting: String,
        /// What the program would do.
        does: &'static str,
    },
    /// Another command has the lock.
    #[error("{} is merging or undoing in this repository", holder.map_or("another process".into(), |pid| format!("process {pid}")))]
    Held {
        /// Its process, unless that has ended and left a git.
        holder: Option<i32>,
    },
    /// The target is checked out more than once.
    #[error("{branch} is checked out in more than one place: {}", few(&shown(paths)))]
    CheckedOutTwice {
        /// The target.
        branch: String,
        /// Where.
        paths: Vec<PathBuf>,
    },
    /// git knows it in a place that is no checkout of it, or is gone.
    #[error("{branch} is checked out in {}, which is no checkout of this repository", path.display())]
    NotItsCheckout {
        /// The target.
        branch: String,
        /// Where.
        path: PathBuf,
    },
    /// Somebody is at work on the target.
    #[error("{branch} is being {what} in {}", path.display())]
    Busy {
        /// The target.
        branch: String,
        /// `rebased`, `bisected`
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// Something is going on in the target's checkout.
    #[error("a {what} is not finished in {}", path.display())]
    Unfinished {
        /// A merge, rebase, ...
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// A git is at work on the target or in its checkout, or was killed there.
    #[error("a git is at work there, or was killed and has left its lock: {}", lock.display())]
    Locked {
        /// The lock of the index, of HEAD, or of the branch.
        lock: PathBuf,
    },
    /// Files of the user's.
    #[error("nothing was moved: uncommitted files are in the way in {}: {}", path.display(), few(&shown(files)))]
    InTheWay {
        /// The checkout.
        path: PathBuf,
        /// Relative to it.
        files: Vec<PathBuf>,
    },
    /// The target is a symbolic ref.
    #[error("{branch} is another name of a branch")]
    AnotherName {
        /// The target.
        branch: String,
    },
    /// The target is not where it was.
    #[error("{branch} has moved: it is at {}", at.as_ref().map_or("no commit", |at| &at[..12]))]
    Moved {
        /// The target.
        branch: String,
        /// Its commit; none when it is gone.
        at: Option<String>,
    },
    /// The target was checked out, or something else in its place, while it was looked at.
    #[error("nothing was moved: another branch was checked out meanwhile, or {branch} was")]
    Switched {
        /// The target.
        branch: String,
    },
    /// Somebody has gone on from what landed, or went elsewhere.
    #[error("{branch} is not where the merge has put it: its last commit is {last}")]
    CameAfter {
        /// The target.
        branch: String,
        /// Where the merge has put it.
        new: String,
        /// What is there.
        last: String,
    },
    /// Nothing has landed that was not undone.
    #[error("there is no merge of pleach's here that could be undone")]
    NothingToUndo,
    /// A move was cut off, and files hold neither what was there nor what was to be.
    #[error("a merge was cut off in {}, and these files changed since: {}", path.display(), few(&shown(files)))]
    HalfDone {
        /// The checkout.
        path: PathBuf,
        /// Relative to it.
        files: Vec<PathBuf>,
        /// The lock of the index, if git left it.
        lock: Option<PathBuf>,
    },
    /// A record is none.
    #[error("{} cannot be read: {why}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// git refused.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A file could not be read or written.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// read, write, lock, remove
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl LandingError {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}

fn shown(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.display().to_string()).collect()
}

/// What the reflogs say of a move.
fn reflog(record: &Record) -> &'static str {
    match record.state {
        State::Undoing | State::Undone => "pleach undo",
        State::Landing | State::Landed | State::Abandoned => "pleach merge",
    }
}
