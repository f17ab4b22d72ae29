//! What can be wrong with the configuration. What to do about each stands in `error::config`.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::task::title::quoted;

/// A place in a file, line and column counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The file.
    pub path: PathBuf,
    /// The line.
    pub line: usize,
    /// The character in it.
    pub column: usize,
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: line {}, column {}", self.path.display(), self.line, self.column)
    }
}

/// Why there is no configuration that could be used.
#[derive(Debug, thiserror::Error)]
#[cfg_attr(
    test,
    derive(strum::EnumDiscriminants),
    strum_discriminants(
        name(ConfigErrorName),
        vis(pub(crate)),
        derive(strum::EnumIter, strum::IntoStaticStr),
        strum(serialize_all = "kebab-case")
    )
)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum ConfigError {
    /// No right to, most of all.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// A directory, a pipe.
    #[error("{} is {what}, not a file", path.display())]
    NotAFile { path: PathBuf, what: &'static str },
    /// Nobody writes so much.
    #[error("{} is larger than {} KiB", path.display(), most >> 10)]
    TooLarge { path: PathBuf, most: u64 },
    /// The first byte that is none.
    #[error("{spot}: this is not UTF-8")]
    NotUtf8 { spot: Spot },
    /// As the reader of TOML says it.
    #[error("{spot}: not TOML: {problem}")]
    NotToml { spot: Spot, problem: String },
    /// In `table`, if it is in one.
    #[error("{spot}: unknown key {}{}", quoted(key), table.as_ref().map(|t| format!(" in [{t}]")).unwrap_or_default())]
    UnknownKey {
        spot: Spot,
        key: String,
        table: Option<String>,
        near: Option<&'static str>,
        /// The table that has a key of this name; empty for none.
        home: Option<&'static str>,
    },
    /// A number where a text is wanted.
    #[error("{spot}: {} is {found}", quoted(key))]
    WrongType {
        spot: Spot,
        key: String,
        found: &'static str,
        wanted: &'static str,
    },
    /// Of the right type.
    #[error("{spot}: {what}: it {problem}")]
    BadValue {
        spot: Spot,
        what: String,
        wanted: &'static str,
        problem: String,
    },
    /// Of the environment.
    #[error("{name} is {value:?}: it {problem}")]
    Variable {
        name: &'static str,
        value: String,
        problem: String,
    },
    /// It has to have a program.
    #[error("{spot}: the agent {} has no command", quoted(name))]
    NoCommand { spot: Spot, name: String },
    /// Taken, or no name.
    #[error("{spot}: an agent cannot be called {}", quoted(name))]
    AgentName { spot: Spot, name: String },
    /// Named by an option, a setting or a task.
    #[error("there is no agent {} ({by})", quoted(name))]
    UnknownAgent {
        name: String,
        by: String,
        known: Vec<String>,
    },
    /// As it is described.
    #[error("the program {} of the agent {name} {problem}", program.display())]
    AgentProgram {
        name: String,
        program: PathBuf,
        problem: &'static str,
        path: PathBuf,
        line: usize,
    },
    /// By the user, in this text.
    #[error("what {} has pleach do was not approved", path.display())]
    NotApproved { path: PathBuf },
    /// Neither a terminal nor `-y`.
    #[error("nobody can be asked here to approve that: this is no terminal")]
    NobodyToApprove,
    /// Without a home.
    #[error("there is no place for what was approved: HOME is not set")]
    NoPlaceForApprovals,
    /// What is remembered.
    #[error("cannot read the approval {}: {source}", path.display())]
    ApprovalUnreadable { path: PathBuf, source: io::Error },
    /// The disk is full, most of all.
    #[error("cannot write the approval {}: {source}", path.display())]
    ApprovalUnwritable { path: PathBuf, source: io::Error },
}
