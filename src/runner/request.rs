//! What a runner is asked to do: `request.json` in the attempt's directory.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::store::path_json;

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
    /// Variables that it does not get.
    pub environment_removed: Vec<String>,
    /// The longest that it may run.
    pub timeout_ms: Option<u64>,
    /// Between SIGTERM and SIGKILL.
    pub grace_ms: u64,
    /// How much of its output is kept.
    pub max_output_bytes: u64,
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
