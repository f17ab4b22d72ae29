//! The process of one handler: the user's command for the end of a task, or of the session.
//!
//! The supervisor starts it as a hidden subcommand with the session's directory, when what the command is told of is
//! durable. It reads session and journal, runs the command with a limit of time and output, ends what that leaves behind
//! (but for sessions that it has started), and writes down how it ended. It outlives its supervisor: another one finds
//! its lock held, or its outcome. The session's own handler waits until the supervisor is gone, so that the session is
//! over for everybody, and no command finds it held.

mod command;
mod environment;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tracing::debug;

use command::{Bounds, Ended};

use crate::process::{ProcessIdentity, become_subreaper, take_handed, take_stdin};
use crate::session::{Recorded, SessionError, is_held, recorded};
use crate::store::atomic::{self, Durability};
use crate::store::lock::{Lock, SharedLock};
use crate::store::paths::SessionPaths;
use crate::store::{Shortage, failpoint};
use crate::task::TaskId;
use crate::words::{elapsed, quote};

/// The hidden subcommand that is a handler.
pub const COMMAND: &str = "__handler";

/// The variable that says for what a command runs: `task` or `session`.
pub const ROLE: &str = "PLEACH_HANDLER";

/// How long the supervisor may take to let go of the session once it has closed its end of the pipe.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it waits for room before it tries again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// How a handler ended, as it stands in its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlerOutcome {
    /// When that happened for which it ran, in Unix milliseconds: a task may be settled again.
    pub of_ms: u64,
    /// What failed, in words; none when it exited with 0.
    pub error: Option<String>,
}

/// What this process is for.
#[derive(Clone, Debug)]
pub enum Role {
    /// The end of this task. The lock is standard input.
    Task(TaskId),
    /// The end of the session. The lock is the open file with this number; standard input is at its end when the
    /// supervisor is gone.
    Session(i32),
}

/// Runs the command to its end. An error means that no outcome was written.
pub fn main(dir: &Path, role: &Role) -> Result<(), SessionError> {
    let paths = SessionPaths::new(dir);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| SessionError::Unwritable { path, source }
    };
    match role {
        Role::Task(task) => {
            let lock = Lock::inherited(take_stdin().map_err(failed(dir))?);
            // For a supervisor that has not started it. Without room for it that one waits until it has ended.
            let _ = lock.write_holder(&ProcessIdentity::current());
            of_task(&paths, task)
        }
        Role::Session(number) => {
            let _lock = SharedLock::inherited(take_handed(*number).map_err(failed(dir))?);
            // What comes before the end does not matter: nothing is ever written.
            let _ = io::stdin().read_to_end(&mut Vec::new());
            of_session(&paths)
        }
    }
}

fn of_task(paths: &SessionPaths, task: &TaskId) -> Result<(), SessionError> {
    let Recorded { spec, state, .. } = recorded(paths)?;
    let Some(index) = state.index_of(task) else {
        return Ok(());
    };
    let (Some(line), Some(settled_ms)) = (&spec.tasks[index].options.on_done, state.tasks[index].settled_ms) else {
        return Ok(());
    };
    let answer = paths.answer(task.as_ref());
    let is_answered = answer.exists();
    let mut limit_ms = spec.options.handler_timeout_ms;
    if state.stop_asked.is_some() {
        limit_ms = limit_ms.min(spec.options.grace_ms);
    }
    let asked = Asked {
        line,
        directory: &spec.directory,
        stdin: is_answered.then_some(answer.as_path()),
        environment: environment::of_task(paths, &spec, &state, index, is_answered),
        limit: Duration::from_millis(limit_ms),
        log: &paths.task_handler_log(task.as_ref()),
        outcome: &paths.task_handler_outcome(task.as_ref()),
        of_ms: settled_ms,
    };
    asked.carry_out()
}

fn of_session(paths: &SessionPaths) -> Result<(), SessionError> {
    let deadline = Instant::now() + PATIENCE;
    // The supervisor lets go of its files in any order when it is killed.
    while is_held(paths.lock())? && Instant::now() < deadline {
        sleep(Duration::from_millis(10));
    }
    let Recorded { spec, state, .. } = recorded(paths)?;
    // It has not come to its end, or somebody goes on with it already: then there will be another one of these.
    let (Some(line), Some((_, ended_ms, _))) = (&spec.options.on_done, &state.end) else {
        return Ok(());
    };
    failpoint::passed("handling");
    let status = paths.status();
    let asked = Asked {
        line,
        directory: &spec.directory,
        stdin: Some(&status),
        environment: environment::of_session(paths, &spec, &state),
        limit: Duration::from_millis(spec.options.handler_timeout_ms),
        log: &paths.handler_log(),
        outcome: &paths.handler_outcome(),
        of_ms: *ended_ms,
    };
    asked.carry_out()
}

/// A command that is to be run.
struct Asked<'a> {
    line: &'a str,
    directory: &'a Path,
    /// None is no input.
    stdin: Option<&'a Path>,
    environment: environment::Environment,
    limit: Duration,
    log: &'a Path,
    outcome: &'a Path,
    of_ms: u64,
}

impl Asked<'_> {
    fn carry_out(&self) -> Result<(), SessionError> {
        let outcome = HandlerOutcome {
            of_ms: self.of_ms,
            error: self.error(),
        };
        failpoint::passed("handled");
        loop {
            match atomic::write_json(self.outcome, &outcome, Durability::Synced) {
                Ok(()) => return Ok(()),
                Err(e) if Shortage::of(&e).is_some() => sleep(TRY_AGAIN),
                // The command may have cleaned the session up.
                Err(_) if self.outcome.parent().is_some_and(|dir| !dir.exists()) => return Ok(()),
                Err(source) => {
                    let path = self.outcome.to_owned();
                    return Err(SessionError::Unwritable { path, source });
                }
            }
        }
    }

    /// Runs it, and says what went wrong.
    fn error(&self) -> Option<String> {
        // An earlier one of the same name is not how this one ended.
        let _ = fs::remove_file(self.outcome);
        let ended = self.run();
        let printed = format!("what it printed is in {}", quote(self.log));
        Some(match ended {
            Ok(Ended::Exited(0)) => return None,
            Ok(Ended::Exited(code)) => format!("its on_done command exited with code {code}; {printed}"),
            Ok(Ended::Killed(signal)) => format!("its on_done command was killed by signal {signal}; {printed}"),
            Ok(Ended::TimedOut) => format!(
                "its on_done command was ended: it ran longer than {}; {printed}",
                elapsed(self.limit)
            ),
            Ok(Ended::Stopped) => format!("its on_done command was ended, as the session was stopped; {printed}"),
            Err(e) => format!("its on_done command could not be run: {e}"),
        })
    }

    fn run(&self) -> io::Result<Ended> {
        debug!(directory = %self.directory.display(), "the on_done command begins");
        become_subreaper()?;
        let stdin = match self.stdin {
            Some(path) => File::open(path)?,
            None => File::open("/dev/null")?,
        };
        let bounds = Bounds {
            limit: self.limit,
            log: self.log,
        };
        let ended = command::run(self.line, self.directory, stdin, &self.environment, &bounds);
        debug!(?ended, "the on_done command ends");
        ended
    }
}
