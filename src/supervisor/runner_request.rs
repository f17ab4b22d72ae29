//! What a runner is asked to do for a task: the agent's command line, directory, standard input and environment.
//!
//! The one place where that is decided. The supervisor sends it to the runner of an attempt, and `run --dry-run` shows
//! it: so what is shown is what would run. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use uuid::Uuid;

use crate::agent::claude;
use crate::git::LOCAL_VARIABLES;
use crate::runner::RunnerRequest;
use crate::session::{SessionSpec, Site};
use crate::task::{AgentKind, SuccessBy, TaskId};

/// What an attempt begins with, besides what the user has written.
pub struct Beginning<'a> {
    /// Where it works; without a site in the directory that `run` was called in.
    pub site: Option<&'a Site>,
    /// The directory of the session.
    pub session: &'a Path,
    /// The mark of its processes.
    pub attempt: Uuid,
    /// The agent's conversation.
    pub conversation: Uuid,
    /// Whether that was begun in an earlier attempt.
    pub resumes: bool,
    /// What went wrong in the attempt before, in words.
    pub went_wrong: Option<&'a str>,
    /// What the attempts before it cost together, in US dollars.
    pub cost_usd: Option<f64>,
    /// Whether the worktree is to be set up.
    pub sets_up: bool,
    /// What the tasks answered that this one depends on, by their ids.
    pub answers: &'a BTreeMap<TaskId, String>,
}

/// The request for an attempt at the task with this index.
pub fn runner_request(spec: &SessionSpec, index: usize, begins: &Beginning<'_>) -> RunnerRequest {
    let Beginning {
        site,
        attempt,
        conversation,
        ..
    } = *begins;
    let task = &spec.tasks[index];
    let mut agent = spec.agent_of(index);
    if agent.kind != AgentKind::Command {
        let left = (task.options.max_cost_usd).map(|most| most - begins.cost_usd.unwrap_or(0.0));
        // First, so that what the user passes on himself counts.
        let limits = claude::limits(task.options.max_turns, left);
        agent.args.splice(0..0, limits);
    }
    let directory = site.map_or(&spec.directory, |s| &s.worktree);
    let mut environment = vec![
        ("PLEACH_SESSION".to_owned(), spec.session_id.to_string()),
        ("PLEACH_TASK_ID".to_owned(), task.id.to_string()),
    ];
    let mut set = |name: &str, value: &str| environment.push((name.to_owned(), value.to_owned()));
    if let Some((site, repository)) = site.zip(spec.repository.as_ref()) {
        set("PLEACH_BRANCH", &site.branch);
        set("PLEACH_BASE", &site.base);
        let who = &repository.identity;
        if !who.configured {
            for role in ["AUTHOR", "COMMITTER"] {
                set(&format!("GIT_{role}_NAME"), &who.name);
                set(&format!("GIT_{role}_EMAIL"), &who.email);
            }
        }
    }
    RunnerRequest {
        schema: 1,
        attempt,
        program: agent.program.clone(),
        args: claude::arguments(&agent, conversation, site.map(|s| s.branch.as_str())),
        directory: directory.clone(),
        stdin: claude::standard_input(&task.prompt),
        environment,
        // Those of an outer session go too: not every one of them is set anew.
        environment_removed: (LOCAL_VARIABLES.iter().chain(claude::SESSION_VARIABLES))
            .chain(&["PLEACH_BRANCH", "PLEACH_BASE"])
            .map(|&v| v.to_owned())
            .collect(),
        timeout_ms: spec.timeout_ms(index),
        grace_ms: spec.options.grace_ms,
        max_output_bytes: spec.options.max_output_bytes,
        run_if: None,
        setup: Vec::new(),
        verify: None,
        idle_timeout_ms: spec.tasks[index].options.idle_timeout_ms,
        success: SuccessBy::Output,
        status_file: None,
        pty: false,
        ports: None,
    }
}
