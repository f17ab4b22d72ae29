//! The user's repository: libgit2 where it does what git does, the git program where it does not.
//!
//! Called by worktree, merge and the commands. It knows commits, refs, trees and worktrees, and nothing of tasks;
//! it prints nothing. Commands of the git program run without hooks and fsmonitor, and with every variable that
//! could point them at another repository taken out of their environment.

mod changes;
mod drivers;
mod pager;
mod program;
mod refs;
mod register;
mod repository;
mod worktrees;

pub use changes::{Changes, FileChange, FileChangeKind, changes_between, files_between};
pub use drivers::{Drivers, Showing, decides_merges, drivers, for_showing, without_foreign};
pub use pager::Pager;
pub use program::{Git, LOCAL_VARIABLES, TO_TELL, Version, version};
pub use refs::delete_refs;
pub use register::add_worktree_without_checkout;
pub use repository::{
    Base, Identity, Place, base_of, dirty_warning, file_in, identity, open, patiently, pin, place_of,
};
pub use worktrees::{Checkout, checkouts};

/// The oldest git that `run` works with.
pub const OLDEST_TO_RUN: Version = Version(2, 30);
/// The oldest git that can plan merges: `--attr-source` came with 2.41, `merge-tree --write-tree` with 2.38.
pub const OLDEST_TO_PLAN: Version = Version(2, 41);

/// What went wrong with git.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// libgit2 refused.
    #[error("{doing}: {}", source.message())]
    Libgit2 {
        /// What was being done, as a clause: "cannot ...".
        doing: String,
        /// Its answer.
        source: git2::Error,
    },
    /// The git program ended with an error.
    #[error("git {args} failed: {stderr}")]
    Program {
        /// Its arguments, without the fixed ones.
        args: String,
        /// The exit code, if it was not killed.
        code: Option<i32>,
        /// The last lines it printed.
        stderr: String,
    },
    /// The git program waited for something that did not come, and was killed.
    #[error("git {args} was ended: it had not ended by itself after {} s", limit.as_secs())]
    TimeOut {
        /// Its arguments, without the fixed ones.
        args: String,
        /// How long it was given.
        limit: std::time::Duration,
    },
    /// Its files belong to another user, whose configuration could run anything.
    #[error("the repository at {} belongs to another user", .0.display())]
    NotYours(std::path::PathBuf),
    /// The git program cannot be started.
    #[error("git cannot be started: {0}")]
    NoProgram(#[source] std::io::Error),
    /// What is called git does not say which version it is.
    #[error("git --version names no version: {0:?}")]
    NoVersion(String),
    /// Something that would run a program was configured by somebody else, in a way that cannot be switched off.
    #[error("the git setting {0:?} was made during the run, and cannot be switched off")]
    Foreign(String),
    /// A file of the repository cannot be read or written.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done, as a clause: "cannot ...".
        doing: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl GitError {
    pub(crate) fn libgit2(doing: impl Into<String>) -> impl FnOnce(git2::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Libgit2 { doing, source }
    }

    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}
