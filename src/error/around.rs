//! Errors of what surrounds a session: files that answers and logs go to, the log, the pages of the manual.

use std::io;
use std::path::PathBuf;

use super::Kind;
use super::catalog::{broken, refused};
use crate::words::quote;

/// What is wrong with it.
#[derive(Debug, thiserror::Error)]
#[cfg_attr(
    test,
    derive(strum::EnumDiscriminants),
    strum_discriminants(
        name(AroundErrorName),
        vis(pub(crate)),
        derive(strum::EnumIter, strum::IntoStaticStr),
        strum(serialize_all = "kebab-case")
    )
)]
pub enum AroundError {
    /// `--output-file`, `--output-dir`, `output_file`
    #[error("the answer of task {number} cannot go to {}: it {problem}", quote(path))]
    OutputFile {
        /// Counted from 1.
        number: usize,
        /// The file.
        path: PathBuf,
        /// As in "is a directory".
        problem: String,
    },
    /// The same for two tasks.
    #[error("the answers of tasks {first} and {second} cannot both go to {}", quote(path))]
    SameOutputFile {
        /// Counted from 1.
        first: usize,
        /// Counted from 1.
        second: usize,
        /// The file.
        path: PathBuf,
    },
    /// `--log-dir`
    #[error("cannot write logs to {}: {source}", quote(directory))]
    LogDir {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// `PLEACH_LOG`
    #[error("{variable} is {value:?}, which is no filter: {problem}")]
    LogFilter {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What is wrong.
        problem: String,
    },
    /// `pleach man --dir`
    #[error("cannot write the pages to {}: {source}", quote(directory))]
    ManPages {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The kind and the hint.
pub(super) fn remedy(e: &AroundError) -> (Kind, String) {
    match e {
        AroundError::OutputFile { .. } => {
            refused("name a file that can be written, in a directory that is there or can be made")
        }
        AroundError::SameOutputFile { .. } => {
            refused("give each task a file of its own, or all of them a directory: --output-dir DIR")
        }
        AroundError::LogDir { directory, .. } => refused(format!(
            "name another one, or get the right to write there: ls -ld {}",
            quote(directory)
        )),
        AroundError::LogFilter { .. } => refused("such as: PLEACH_LOG=debug, or PLEACH_LOG=info,pleach::git=debug"),
        AroundError::ManPages { directory, .. } => broken(format!(
            "make room, or get the right to write there: ls -ld {}",
            quote(directory)
        )),
    }
}

impl From<AroundError> for super::Error {
    fn from(e: AroundError) -> Self {
        Self::Around(e)
    }
}
