//! Where the files of a session lie. Every name on disk is here and nowhere else.

use std::path::{Path, PathBuf};

/// How a session's directory begins; its id follows.
pub const SESSION_PREFIX: &str = "session-";
/// How the name of something begins that is being made, until it is whole and gets its own.
pub const HALF_MADE_PREFIX: &str = ".new-";
/// How a git dir of our own begins, through which a worktree is looked at.
pub const VIEW_PREFIX: &str = "view-";
/// How the name of a session's directory begins while it is being deleted: no reader looks at it.
pub const GOING_PREFIX: &str = ".trash-";

/// The directory of one session and the names in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPaths {
    dir: PathBuf,
}

impl SessionPaths {
    /// The session whose directory is `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The session `id` among those in `results`.
    pub fn of(results: &Path, id: impl std::fmt::Display) -> Self {
        Self::new(results.join(format!("{SESSION_PREFIX}{id}")))
    }

    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Locked by the supervisor as long as it lives; its text says who that is.
    pub fn lock(&self) -> PathBuf {
        self.dir.join("session.lock")
    }

    /// The specification, written once.
    pub fn spec(&self) -> PathBuf {
        self.dir.join("session.json")
    }

    /// What happened.
    pub fn journal(&self) -> PathBuf {
        self.dir.join("journal.jsonl")
    }

    /// The fold of the journal, for scripts.
    pub fn status(&self) -> PathBuf {
        self.dir.join("status.json")
    }

    /// What the supervisor itself printed.
    pub fn supervisor_log(&self) -> PathBuf {
        self.dir.join("supervisor.log")
    }

    /// What others ask of the supervisor, a file each.
    pub fn requests(&self) -> PathBuf {
        self.dir.join("requests")
    }

    /// What the tasks leave for each other, unless the session says that it is elsewhere.
    pub fn shared(&self) -> PathBuf {
        self.dir.join("shared")
    }

    /// The answer of a task's last attempt.
    pub fn answer(&self, task: &str) -> PathBuf {
        self.dir.join(format!("task-{task}.txt"))
    }

    /// Everything captured of a task's last attempt.
    pub fn log(&self, task: &str) -> PathBuf {
        self.dir.join(format!("task-{task}.log"))
    }

    /// Held by whoever runs the command for the end of the session, or is going to.
    pub fn handler_lock(&self) -> PathBuf {
        self.dir.join("on_done.lock")
    }

    /// What that command printed.
    pub fn handler_log(&self) -> PathBuf {
        self.dir.join("on_done.log")
    }

    /// How that command ended.
    pub fn handler_outcome(&self) -> PathBuf {
        self.dir.join("on_done.json")
    }

    /// Held by whoever runs the command for the end of a task.
    pub fn task_handler_lock(&self, task: &str) -> PathBuf {
        self.dir.join(format!("on_done-{task}.lock"))
    }

    /// What that command printed.
    pub fn task_handler_log(&self, task: &str) -> PathBuf {
        self.dir.join(format!("on_done-{task}.log"))
    }

    /// How that command ended.
    pub fn task_handler_outcome(&self, task: &str) -> PathBuf {
        self.dir.join(format!("on_done-{task}.json"))
    }

    /// What happened, a line for each event.
    pub fn session_log(&self) -> PathBuf {
        self.dir.join("session.log")
    }

    /// Where the attempts of all tasks are.
    pub fn attempts(&self) -> PathBuf {
        self.dir.join("attempts")
    }

    /// One attempt of a task; `number` counts from 1.
    pub fn attempt(&self, task: &str, number: u32) -> AttemptPaths {
        AttemptPaths::new(self.attempts().join(format!("{task}.{number}")))
    }
}

/// The directory of one attempt and the names in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptPaths {
    dir: PathBuf,
}

impl AttemptPaths {
    /// The attempt whose directory is `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Locked by the runner as long as it lives.
    pub fn lock(&self) -> PathBuf {
        self.dir.join("attempt.lock")
    }

    /// What the runner is asked to do.
    pub fn request(&self) -> PathBuf {
        self.dir.join("request.json")
    }

    /// Which process the runner is.
    pub fn identity(&self) -> PathBuf {
        self.dir.join("identity.json")
    }

    /// What changes often while the agent runs.
    pub fn live(&self) -> PathBuf {
        self.dir.join("live.json")
    }

    /// All output of the agent, up to the cap.
    pub fn log(&self) -> PathBuf {
        self.dir.join("output.log")
    }

    /// The answer: of a plain-text agent all it printed so far.
    pub fn answer(&self) -> PathBuf {
        self.dir.join("answer.txt")
    }

    /// The prompt, for an agent that reads it from a file.
    pub fn prompt(&self) -> PathBuf {
        self.dir.join("prompt.md")
    }

    /// What was in the task's status file before this attempt.
    pub fn earlier_status(&self) -> PathBuf {
        self.dir.join("earlier.status")
    }

    /// What was in the task's status file before the agent of this attempt began, if that says that the task is done.
    pub fn status_before_agent(&self) -> PathBuf {
        self.dir.join("before-agent.status")
    }

    /// How long the agent may take to end, when it is asked to.
    pub fn ending(&self) -> PathBuf {
        self.dir.join("ending.json")
    }

    /// There when the worktree was made anew before this attempt: then it is not set up.
    pub fn new_worktree(&self) -> PathBuf {
        self.dir.join("new-worktree")
    }

    /// All that a command around the agent printed, up to the cap.
    pub fn step_log(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }

    /// How the attempt ended.
    pub fn outcome(&self) -> PathBuf {
        self.dir.join("outcome.json")
    }
}
