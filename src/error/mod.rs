//! The one error that a user sees: what happened to what, what to do next, and the exit code.
//!
//! `catalog` is the list of them all, `docs/errors.md` the table of it, which a test writes. Every module has an error
//! type of its own; here each of its cases is turned into one of the list. Rendered by `main` and nowhere else.

mod around;
mod catalog;
mod config;
#[cfg(test)]
mod docs;
mod landing;
#[cfg(test)]
mod samples;

pub use around::AroundError;
pub use catalog::Error;

use crate::git::GitError;
use crate::merge::PlanError;
use crate::session::SessionError;
use crate::store::journal::JournalError;
use crate::supervisor::{LaunchError, SupervisorError};

/// Exit codes, as documented in the README.
pub mod exit {
    /// Done, or started.
    pub const DONE: u8 = 0;
    /// A task did not succeed, or the doctor found a problem.
    pub const UNSUCCESSFUL: u8 = 1;
    /// Bad input, no such session, agent not found, refused.
    pub const REFUSED: u8 = 2;
    /// Damaged state, an I/O error, a lock held by another.
    pub const BROKEN: u8 = 3;
    /// `wait` gave up.
    pub const TIMED_OUT: u8 = 124;
    /// Ended by SIGHUP.
    pub const HUNG_UP: u8 = 129;
    /// Ended by SIGINT.
    pub const INTERRUPTED: u8 = 130;
    /// Ended by SIGQUIT.
    pub const QUIT: u8 = 131;
    /// Ended by SIGTERM.
    pub const TERMINATED: u8 = 143;
}

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The user can mend it by asking differently, or by setting something up.
    Refused,
    /// Something on the machine or in pleach's files is not as it must be.
    Broken,
}

impl Kind {
    /// The exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Refused => exit::REFUSED,
            Self::Broken => exit::BROKEN,
        }
    }
}

impl Error {
    /// A repository that cannot be used, before the start: that is something to be mended, not a damage of ours.
    pub(crate) fn unusable(e: GitError) -> Self {
        match e.into() {
            Self::RepositoryBroken(e) => Self::RepositoryUnusable(e),
            other => other,
        }
    }
}

impl From<GitError> for Error {
    fn from(e: GitError) -> Self {
        match &e {
            GitError::NoProgram(_) => Self::NoGit(e),
            GitError::NoVersion(_) => Self::GitVersionUnknown(e),
            GitError::NotYours(path) => Self::RepositoryNotYours {
                path: path.clone(),
                source: e,
            },
            // SHA-256 objects and reftable are what today's git can make and libgit2 cannot open.
            GitError::Libgit2 { source, .. }
                if ["unsupported extension", "unknown object format"]
                    .iter()
                    .any(|said| source.message().contains(said)) =>
            {
                Self::RepositoryUnsupported(e)
            }
            GitError::Libgit2 { .. } => Self::RepositoryBroken(e),
            GitError::Program { .. } => Self::GitFailed(e),
            GitError::TimeOut { .. } => Self::GitTimedOut(e),
            GitError::Foreign(setting) => Self::GitSettingForeign {
                setting: setting.clone(),
                source: e,
            },
            GitError::Io { .. } => Self::GitFiles(e),
        }
    }
}

impl From<SessionError> for Error {
    fn from(e: SessionError) -> Self {
        match e {
            SessionError::None { .. } => Self::NoSession(e),
            SessionError::NotFound { .. } => Self::SessionNotFound(e),
            SessionError::Ambiguous { .. } => Self::SessionAmbiguous(e),
            SessionError::Unreadable { ref path, .. } | SessionError::Journal(JournalError::Io { ref path, .. }) => {
                Self::SessionUnreadable {
                    path: path.clone(),
                    source: e,
                }
            }
            SessionError::Unwritable { .. } => Self::SessionUnwritable(e),
            SessionError::Schema { .. } | SessionError::Journal(JournalError::Schema { .. }) => Self::FormatUnknown(e),
            SessionError::Json { .. } | SessionError::Dependencies { .. } => Self::SessionDamaged(e),
            SessionError::Journal(JournalError::Line { .. }) => Self::JournalDamaged(e),
            SessionError::Illegal { .. } => Self::JournalImpossible(e),
        }
    }
}

impl From<LaunchError> for Error {
    fn from(e: LaunchError) -> Self {
        match &e {
            LaunchError::Start(_) => Self::SupervisorNotStarted(e),
            LaunchError::Ended { log, .. } => Self::SupervisorEnded {
                log: log.clone(),
                source: e,
            },
        }
    }
}

impl From<SupervisorError> for Error {
    fn from(e: SupervisorError) -> Self {
        match e {
            SupervisorError::Session(e) => e.into(),
            SupervisorError::Io { .. } => Self::SupervisorFailed(e),
        }
    }
}

/// What to do about a git that is too old for merges.
fn old_git(e: &PlanError) -> (Kind, String) {
    catalog::refused(match e {
        PlanError::OldGitForBase { .. } => "upgrade git, or have each task depend on one other at most",
        _ => "upgrade git, or merge by hand the branches that are named in: pleach status",
    })
}

impl From<PlanError> for Error {
    fn from(e: PlanError) -> Self {
        match e {
            PlanError::NoTarget { ref branch, ref commit } => Self::TargetGone {
                branch: branch.clone(),
                commit: commit.clone(),
                source: e,
            },
            PlanError::OldGit(_) | PlanError::OldGitForBase { .. } => Self::GitTooOldToPlan(e),
            PlanError::NoRevision(name) => Self::NoRevision { name },
            PlanError::NoAnswer { .. } => Self::MergeNotForeseen(e),
            PlanError::Git(e) => e.into(),
        }
    }
}
