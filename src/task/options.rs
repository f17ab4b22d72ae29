//! What a task may have beside its prompt, in the form that a session keeps.
//!
//! The same keys stand in task files (there as the user writes them, see `input`), in the `defaults` of a list, in
//! configuration files and, as options, on the command line. `or` puts a weaker source under a stronger one; what is left
//! unsaid in the end has the usual value. Plain data.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::store::path_json;
use crate::task::TaskId;

/// Everything but id, title and prompt. What is absent was not said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TaskOptions {
    /// Tasks of the same list that have to succeed before it starts; it starts from the merge of their branches.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub depends_on: Vec<TaskId>,
    /// A shell command that gets the answers of those on standard input: unless it exits with 0 the task is skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_if: Option<String>,
    /// `--model`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The name of the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Arguments for the agent, besides its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_args: Option<Vec<String>>,
    /// Variables for the agent and for the commands around it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The longest that an attempt may run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// The longest that an attempt may print nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout_ms: Option<u64>,
    /// How many more attempts there may be after one that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<u32>,
    /// A shell command that is run in the worktree after the agent: unless it exits with 0 the attempt has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<String>,
    /// Shell commands that are run in a new worktree before the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setup: Option<Vec<String>>,
    /// Where a copy of the answer goes, absolute.
    #[serde(with = "path_json::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<path_json::Form>")]
    pub output_file: Option<PathBuf>,
    /// A shell command that is run when the task is settled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_done: Option<String>,
    /// The most turns of the model in one attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_turns: Option<u32>,
    /// What its attempts may cost together, in US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cost_usd: Option<f64>,
    /// Tasks with a higher one start first; 0 if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
}

impl TaskOptions {
    /// This, and where it says nothing what `weaker` says. Of variables each counts by itself.
    #[must_use]
    pub fn or(self, weaker: &Self) -> Self {
        let mut env = weaker.env.clone();
        env.extend(self.env);
        Self {
            depends_on: if self.depends_on.is_empty() {
                weaker.depends_on.clone()
            } else {
                self.depends_on
            },
            run_if: self.run_if.or_else(|| weaker.run_if.clone()),
            model: self.model.or_else(|| weaker.model.clone()),
            agent: self.agent.or_else(|| weaker.agent.clone()),
            agent_args: self.agent_args.or_else(|| weaker.agent_args.clone()),
            env,
            timeout_ms: self.timeout_ms.or(weaker.timeout_ms),
            idle_timeout_ms: self.idle_timeout_ms.or(weaker.idle_timeout_ms),
            retry: self.retry.or(weaker.retry),
            verify: self.verify.or_else(|| weaker.verify.clone()),
            setup: self.setup.or_else(|| weaker.setup.clone()),
            output_file: self.output_file.or_else(|| weaker.output_file.clone()),
            on_done: self.on_done.or_else(|| weaker.on_done.clone()),
            max_turns: self.max_turns.or(weaker.max_turns),
            max_cost_usd: self.max_cost_usd.or(weaker.max_cost_usd),
            priority: self.priority.or(weaker.priority),
        }
    }

    /// Whether nothing is said at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_counts_and_each_variable_by_itself() {
        let env = |pairs: &[(&str, &str)]| pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        let own = TaskOptions {
            model: Some("opus".into()),
            env: env(&[("A", "own"), ("B", "own")]),
            agent_args: Some(Vec::new()),
            setup: Some(Vec::new()),
            ..TaskOptions::default()
        };
        let weaker = TaskOptions {
            model: Some("haiku".into()),
            retry: Some(2),
            env: env(&[("B", "weaker"), ("C", "weaker")]),
            setup: Some(vec!["npm ci".into()]),
            agent_args: Some(vec!["--effort".into(), "low".into()]),
            ..TaskOptions::default()
        };
        let both = own.clone().or(&weaker);
        assert_eq!((both.model.as_deref(), both.retry), (Some("opus"), Some(2)));
        assert_eq!(both.env, env(&[("A", "own"), ("B", "own"), ("C", "weaker")]));
        // Nothing, said aloud, is something else than nothing said.
        assert_eq!((both.setup, both.agent_args), (Some(Vec::new()), Some(Vec::new())));
        let unsaid = TaskOptions::default().or(&weaker);
        assert_eq!((&unsaid.setup, &unsaid.agent_args), (&weaker.setup, &weaker.agent_args));
        assert!(TaskOptions::default().or(&TaskOptions::default()).is_empty() && !own.is_empty());
        let json = serde_json::to_string(&TaskOptions::default()).unwrap();
        assert_eq!(json, "{}");
    }
}
