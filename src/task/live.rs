//! What is known of an attempt while it runs.

use serde::{Deserialize, Serialize};

use super::UsageLimit;

/// What a runner says of its attempt while it runs: `live.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// What the agent does now: a tool and its target, or words.
    pub activity: Option<String>,
    /// Turns so far.
    pub turns: Option<u64>,
    /// Cost so far, in US dollars.
    pub cost_usd: Option<f64>,
    /// Bytes of output so far.
    pub output_bytes: u64,
    /// When it last printed anything, in Unix milliseconds. Runners of version 0.1.0 do not tell.
    #[serde(default)]
    pub last_output_ms: Option<u64>,
    /// The limit that the service refuses it for now, while it tries again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited: Option<UsageLimit>,
    /// Whether the agent has said that its conversation is there.
    #[serde(default)]
    pub conversation_seen: bool,
    /// The agent's process.
    pub agent_pid: Option<i32>,
    /// The last sign of life of an attempt that is not at work any more, in Unix milliseconds: whoever finds that out
    /// adds it.
    #[serde(skip)]
    pub ended_ms: Option<u64>,
}
