//! Carries a merge plan out: builds its commits off to the side, has them verified where that is asked for, and moves
//! the target once, with the checkout that has it. What it is about to do is written down before, so that whatever ends
//! it, the target is where it was or where it was to be, and the next command knows. Called by `merge` and `undo`; it
//! prints nothing.

mod build;
mod message;
pub mod verify;

use std::path::PathBuf;

pub use build::{BuildRequest, Builder, Built, Made};
pub use message::Template;

use crate::git::GitError;

/// Why nothing landed, or nothing was taken back.
#[derive(Debug, thiserror::Error)]
pub enum LandingError {
    /// `--message` has a placeholder that stands for nothing.
    #[error("the message has {{{0}}}, which stands for nothing")]
    Placeholder(String),
    /// `--message` says nothing.
    #[error("the message of the commits is empty")]
    EmptyMessage,
    /// What was built is not what was planned.
    #[error("merging {branch} gave the tree {built}, and the plan says {planned}")]
    NotAsPlanned {
        /// Which.
        branch: String,
        /// What git made.
        built: String,
        /// What it was to make.
        planned: String,
    },
    /// A commit could not be signed.
    #[error("a commit could not be signed: {0}")]
    Unsigned(GitError),
    /// git refused.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A file of pleach's could not be read or written.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// read, write, lock
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}
