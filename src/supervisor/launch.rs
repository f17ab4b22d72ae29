//! Starts the supervisor of a session that was just made, and waits until it holds it.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::READY;
use uuid::Uuid;

use crate::process::{SUPERVISOR_MARK, keep_files_from_children, own_program, spawn_without_terminal};
use crate::session::NewSession;

/// The hidden subcommand that is the supervisor.
pub const COMMAND: &str = "__supervisor";

/// Its option for a session that another has worked on before.
pub const AGAIN: &str = "--again";

/// The supervisor did not come up.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// It could not be started.
    #[error("the supervisor cannot be started: {0}")]
    Start(#[from] io::Error),
    /// It ended before it was ready.
    #[error("the supervisor ended before it was ready: {said}")]
    Ended {
        /// The error that it wrote last, or else its last line.
        said: String,
        /// Its log.
        log: PathBuf,
    },
}

/// Starts the supervisor detached from everything of this process, and hands it the lock; `again` says that the session
/// had another before.
pub fn launch(session: NewSession, again: bool) -> Result<(), LaunchError> {
    let log_path = session.paths.supervisor_log();
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&log_path)?;
    let before = usize::try_from(log.metadata()?.len()).unwrap_or(usize::MAX);
    keep_files_from_children()?;
    let mut command = Command::new(own_program()?);
    command
        .arg0("pleach")
        .arg(COMMAND)
        .args(again.then_some(AGAIN))
        .arg(session.paths.dir())
        .current_dir("/")
        .env(SUPERVISOR_MARK, Uuid::new_v4().to_string())
        .stdin(Stdio::from(session.lock.into_file()))
        .stdout(Stdio::piped())
        .stderr(log);
    let mut child = spawn_without_terminal(&mut command)?;
    let mut said = Vec::new();
    if let Some(mut out) = child.stdout.take() {
        out.read_to_end(&mut said)?;
    }
    if said == READY {
        return Ok(());
    }
    let text = std::fs::read(&log_path).unwrap_or_default();
    // What another has said before is not why this one ended.
    let text = String::from_utf8_lossy(text.get(before..).unwrap_or_default());
    Err(LaunchError::Ended {
        said: last_words(&text).unwrap_or_else(|| "its log is empty".into()),
        log: log_path,
    })
}

/// What a log says at its end: the last error without its hint, or else the last line.
fn last_words(log: &str) -> Option<String> {
    // A variable can force colours.
    let log = console::strip_ansi_codes(log);
    let error = log.lines().rev().find_map(|line| line.strip_prefix("error: "));
    error.or_else(|| log.lines().last()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::last_words;

    #[test]
    fn of_a_log_the_last_error_is_told() {
        for (log, said) in [
            (
                "error: one\n hint: do\n\u{1b}[31merror:\u{1b}[0m two\n hint: do\n",
                Some("two"),
            ),
            ("a\nlast\n", Some("last")),
            ("", None),
        ] {
            assert_eq!(last_words(log).as_deref(), said, "{log}");
        }
    }
}
