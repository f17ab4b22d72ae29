//! What a runner is asked to do for a task: the agent's command line, directory, standard input and environment.
//!
//! The one place where that is decided. The supervisor sends it to the runner of an attempt, and `run --dry-run` shows
//! it: so what is shown is what would run. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use uuid::Uuid;

use crate::agent::claude;
use crate::agent::command::{self, Given, Invocation};
use crate::git::LOCAL_VARIABLES;
use crate::runner::{PathVariable, RunnerRequest};
use crate::session::{SessionSpec, Site};
use crate::store::paths::SessionPaths;
use crate::task::{AgentSpec, SuccessBy, TaskId, TaskSpec};

/// What an attempt begins with, besides what the user has written.
pub struct Beginning<'a> {
    /// Where it works; without a site in the directory that `run` was called in.
    pub site: Option<&'a Site>,
    /// The directory of the session.
    pub session: &'a Path,
    /// The number of the attempt, from 1.
    pub number: u32,
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
    let Beginning { site, attempt, .. } = *begins;
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
    let paths = SessionPaths::new(begins.session);
    let Invocation {
        args,
        stdin,
        prompt_file,
    } = invoked(&agent, task, begins, &paths);
    let command = agent.command.as_ref();
    let path = |name: &str, path| PathVariable {
        name: name.into(),
        path,
    };
    RunnerRequest {
        schema: 1,
        attempt,
        program: agent.program.clone(),
        args,
        directory: directory.clone(),
        stdin,
        environment,
        environment_paths: vec![
            path("PLEACH_COMM_DIR", paths.shared()),
            path("PLEACH_STATUS_FILE", paths.status_file(task.id.as_ref())),
        ],
        // Those of an outer session go too: not every one of them is set anew.
        environment_removed: (LOCAL_VARIABLES.iter().chain(claude::SESSION_VARIABLES))
            .chain(&["PLEACH_BRANCH", "PLEACH_BASE", "PLEACH_COMM_DIR", "PLEACH_STATUS_FILE"])
            .map(|&v| v.to_owned())
            .collect(),
        timeout_ms: spec.timeout_ms(index),
        grace_ms: spec.options.grace_ms,
        max_output_bytes: spec.options.max_output_bytes,
        run_if: None,
        setup: Vec::new(),
        verify: None,
        idle_timeout_ms: spec.tasks[index].options.idle_timeout_ms,
        success: command.map_or(SuccessBy::Output, |command| command.success),
        status_file: Some(paths.status_file(task.id.as_ref())),
        prompt_file,
        resumable: command.is_some_and(|command| command.resume.is_some()),
        pty: command.is_some_and(|command| command.pty),
        ports: None,
    }
}

/// How the agent is started: Claude Code and what takes its arguments, or as the configuration says.
fn invoked(agent: &AgentSpec, task: &TaskSpec, begins: &Beginning<'_>, paths: &SessionPaths) -> Invocation {
    let prompt = &task.prompt;
    if let Some(command) = &agent.command {
        let file = paths.attempt(task.id.as_ref(), begins.number).prompt();
        let given = Given {
            prompt,
            // The runner starts nothing where the path is not exactly this.
            prompt_file: &file.to_string_lossy(),
            conversation: begins.conversation,
            resumes: begins.resumes && command.resume.is_some(),
            title: &task.title,
        };
        return command::invocation(agent, command, &given);
    }
    let (branch, shared) = (begins.site.map(|s| s.branch.as_str()), paths.shared());
    Invocation {
        args: claude::arguments(agent, begins.conversation, branch, shared.to_str()),
        stdin: claude::standard_input(prompt),
        prompt_file: None,
    }
}
