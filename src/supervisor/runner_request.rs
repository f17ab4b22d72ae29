//! What a runner is asked to do for a task: the agent's command line, directory, standard input and environment.
//!
//! The one place where that is decided. The supervisor sends it to the runner of an attempt, and `run --dry-run` shows
//! it: so what is shown is what would run. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use uuid::Uuid;

use super::answers;
use crate::agent::claude;
use crate::git::LOCAL_VARIABLES;
use crate::runner::RunnerRequest;
use crate::session::{SessionSpec, Site};
use crate::task::{SuccessBy, TaskId};

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
    let agent = spec.agent_of(index);
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
        stdin: claude::standard_input(&answers::filled(&task.prompt, begins.answers)),
        environment,
        // Those of an outer session go too: not every one of them is set anew.
        environment_removed: (LOCAL_VARIABLES.iter().chain(claude::SESSION_VARIABLES))
            .chain(&["PLEACH_BRANCH", "PLEACH_BASE"])
            .map(|&v| v.to_owned())
            .collect(),
        timeout_ms: spec.timeout_ms(index),
        grace_ms: spec.options.grace_ms,
        max_output_bytes: spec.options.max_output_bytes,
        // Another attempt at work that was begun is not asked about.
        run_if: answers::condition(task, begins.answers).filter(|_| begins.went_wrong.is_none() && !begins.resumes),
        setup: Vec::new(),
        verify: None,
        idle_timeout_ms: spec.tasks[index].options.idle_timeout_ms,
        success: SuccessBy::Output,
        status_file: None,
        pty: false,
        ports: None,
    }
}
