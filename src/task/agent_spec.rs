//! Which agent works on the tasks, and what it is allowed to do.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::store::path_json;

/// The agents that pleach can drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentKind {
    /// Claude Code, or a program that takes its arguments.
    Claude,
    /// The agent inside pleach that follows directives in its prompt: for the demo and the tests.
    Scripted,
}

/// What the agent may do without asking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permissions {
    /// Everything (`--dangerously-skip-permissions`).
    Skip,
    /// What this mode of the agent allows (`--permission-mode`).
    Mode(String),
}

/// The agent of a session as the user chose it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentSpec {
    /// Which agent.
    pub kind: AgentKind,
    /// Its program, absolute.
    #[serde(with = "path_json")]
    pub program: PathBuf,
    /// What it may do.
    pub permissions: Permissions,
    /// `--model`
    pub model: Option<String>,
    /// Arguments that are passed on as they are.
    pub args: Vec<String>,
}
