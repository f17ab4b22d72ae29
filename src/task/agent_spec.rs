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
    /// Another program, as the configuration describes it.
    Command,
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

/// How another program gets its prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PromptBy {
    /// On standard input.
    #[default]
    Stdin,
    /// As its last argument, or where `{prompt}` stands in its command.
    Arg,
    /// In a file, whose path is its last argument, or stands where `{prompt_file}` does.
    File,
}

/// By what a program is known to have done its work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SuccessBy {
    /// Its output if that is a stream of Claude Code, else its exit code.
    #[default]
    Output,
    /// It exits with 0.
    Exit,
    /// Its output, which has to be a stream of Claude Code.
    StreamJson,
    /// A line with `COMPLETED:` in its status file.
    StatusFile,
}

/// Another program than Claude Code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandSpec {
    /// Its arguments; what stands in braces is filled in.
    pub args: Vec<String>,
    /// How it gets the prompt.
    pub prompt: PromptBy,
    /// What is success.
    pub success: SuccessBy,
    /// Whether it runs on a terminal.
    pub pty: bool,
    /// The arguments that go on with a conversation; without them each attempt is a new one.
    pub resume: Option<Vec<String>>,
}

/// The agent of a session as the user chose it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentSpec {
    /// As it is called on the command line; sessions of version 0.1.0 have none written down.
    #[serde(default = "claude")]
    pub name: String,
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
    /// How it is driven if it is another program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandSpec>,
}

fn claude() -> String {
    "claude".into()
}
