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
use crate::runner::{PathVariable, RunnerRequest, StepRequest};
use crate::session::{SessionSpec, Site};
use crate::task::{SuccessBy, TaskId};

/// The variables that tell an agent and the commands around it where they are. Those of an outer session go from its
/// environment: not every one of them is set anew.
const OWN_VARIABLES: [&str; 9] = [
    "PLEACH_SESSION",
    "PLEACH_TASK_ID",
    "PLEACH_BRANCH",
    "PLEACH_BASE",
    "PLEACH_WORKTREE",
    "PLEACH_REPO",
    "PLEACH_PORT",
    "PLEACH_COMM_DIR",
    "PLEACH_STATUS_FILE",
];

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
    let options = &task.options;
    let (environment, environment_paths) = environment(spec, index, site);
    let step = |command: &String, stdin: &str| StepRequest {
        command: command.clone(),
        stdin: stdin.to_owned(),
    };
    let setup = options.setup.as_deref().filter(|_| begins.sets_up).unwrap_or_default();
    RunnerRequest {
        schema: 1,
        attempt,
        program: agent.program.clone(),
        args: claude::arguments(&agent, conversation, site.map(|s| s.branch.as_str())),
        directory: directory.clone(),
        stdin: claude::standard_input(&answers::filled(&task.prompt, begins.answers)),
        environment,
        environment_paths,
        environment_removed: (LOCAL_VARIABLES.iter().chain(claude::SESSION_VARIABLES))
            .chain(&OWN_VARIABLES)
            .map(|&v| v.to_owned())
            .collect(),
        timeout_ms: spec.timeout_ms(index),
        grace_ms: spec.options.grace_ms,
        max_output_bytes: spec.options.max_output_bytes,
        // Another attempt at work that was begun is not asked about.
        run_if: answers::condition(task, begins.answers).filter(|_| begins.went_wrong.is_none() && !begins.resumes),
        setup: setup.iter().map(|command| step(command, "")).collect(),
        verify: options.verify.as_ref().map(|command| step(command, "")),
        idle_timeout_ms: options.idle_timeout_ms,
        success: SuccessBy::Output,
        status_file: None,
        pty: false,
        ports: spec.options.ports.clone(),
    }
}

/// The variables of an attempt, and those of them that are paths. What the user has set comes before git's identity,
/// and never in the place of what says where an agent is.
fn environment(spec: &SessionSpec, index: usize, site: Option<&Site>) -> (Vec<(String, String)>, Vec<PathVariable>) {
    let task = &spec.tasks[index];
    let mut variables = BTreeMap::new();
    let mut paths = Vec::new();
    let site = site.zip(spec.repository.as_ref());
    if let Some((_, repository)) = site.filter(|(_, repository)| !repository.identity.configured) {
        let who = &repository.identity;
        for role in ["AUTHOR", "COMMITTER"] {
            variables.insert(format!("GIT_{role}_NAME"), who.name.clone());
            variables.insert(format!("GIT_{role}_EMAIL"), who.email.clone());
        }
    }
    let options = task.options.env.iter();
    variables.extend(options.map(|(name, value)| (name.clone(), value.clone())));
    variables.retain(|name, _| !OWN_VARIABLES.contains(&name.as_str()));
    let mut set = |name: &str, value: String| variables.insert(name.to_owned(), value);
    set("PLEACH_SESSION", spec.session_id.to_string());
    set("PLEACH_TASK_ID", task.id.to_string());
    if let Some((site, repository)) = site {
        set("PLEACH_BRANCH", site.branch.clone());
        set("PLEACH_BASE", site.base.clone());
        let worktree = site.worktree.as_path();
        for (name, path) in [("PLEACH_WORKTREE", worktree), ("PLEACH_REPO", repository.place.root())] {
            let (name, path) = (name.to_owned(), path.to_owned());
            paths.push(PathVariable { name, path });
        }
    }
    (variables.into_iter().collect(), paths)
}
