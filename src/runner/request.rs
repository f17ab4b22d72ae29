//! What a runner is asked to do: `request.json` in the attempt's directory.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::store::path_json;
use crate::task::SuccessBy;

/// Everything a runner needs, so that it depends on no other file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerRequest {
    /// The number of this format.
    pub schema: u32,
    /// The mark of every process of the attempt.
    pub attempt: Uuid,
    /// The agent's program, absolute.
    #[serde(with = "path_json")]
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Where it works.
    #[serde(with = "path_json")]
    pub directory: PathBuf,
    /// What it reads on standard input.
    pub stdin: String,
    /// Variables that are set for it, besides those of the supervisor.
    pub environment: Vec<(String, String)>,
    /// Those of them that are paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment_paths: Vec<PathVariable>,
    /// Variables that it does not get.
    pub environment_removed: Vec<String>,
    /// The longest that it may run.
    pub timeout_ms: Option<u64>,
    /// Between SIGTERM and SIGKILL.
    pub grace_ms: u64,
    /// How much of its output is kept.
    pub max_output_bytes: u64,
    /// Before everything else: unless it exits with 0 nothing is done.
    #[serde(default)]
    pub run_if: Option<StepRequest>,
    /// Before the agent, one after the other.
    #[serde(default)]
    pub setup: Vec<StepRequest>,
    /// After an agent that has succeeded.
    #[serde(default)]
    pub verify: Option<StepRequest>,
    /// The longest that the agent may print nothing.
    #[serde(default)]
    pub idle_timeout_ms: Option<u64>,
    /// By what its success is known.
    #[serde(default)]
    pub success: SuccessBy,
    /// A file that it writes its progress to, line by line.
    #[serde(default, with = "path_json::option")]
    pub status_file: Option<PathBuf>,
    /// Whether it runs on a terminal.
    #[serde(default)]
    pub pty: bool,
    /// Where the ports are kept of which each attempt gets one of its own.
    #[serde(default, with = "path_json::option")]
    pub ports: Option<PathBuf>,
}

/// A variable that is a path, of any bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathVariable {
    /// Its name.
    pub name: String,
    /// Its value.
    #[serde(with = "path_json")]
    pub path: PathBuf,
}

/// A shell command around the agent, in its directory and with its environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRequest {
    /// As the user wrote it.
    pub command: String,
    /// What it reads on standard input.
    pub stdin: String,
}

impl RunnerRequest {
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
        let text = std::fs::read(path).map_err(named)?;
        let request: Self = serde_json::from_slice(&text).map_err(|e| named(e.into()))?;
        if request.schema != 1 {
            return Err(named(io::Error::other(format!("unknown format {}", request.schema))));
        }
        Ok(request)
    }
}
