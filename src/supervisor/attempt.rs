//! One runner, from its start to its end, as the supervisor sees it.

use std::io;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::spawn_blocking;

use super::decide::NewAttempt;
use crate::process::{end_marked, own_program};
use crate::runner::{self, RunnerRequest};
use crate::session::read_json;
use crate::store::atomic::{self, Durability};
use crate::store::failpoint;
use crate::store::paths::AttemptPaths;
use crate::task::{AgentEnd, AttemptOutcome, FailureReason};

/// What the supervisor tells the one that looks after a runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// The attempt is recorded: start the agent.
    Go,
    /// End the agent, with or without grace.
    End { now: bool },
}

/// A runner that waits for the word.
pub(super) struct Waiting {
    child: Child,
    attempt: NewAttempt,
}

/// Writes the request down and starts the runner; returns when it is ready.
pub(super) async fn start(
    paths: &AttemptPaths,
    request: &RunnerRequest,
    mut attempt: NewAttempt,
) -> io::Result<Waiting> {
    atomic::private_dir(paths.dir())?;
    atomic::write_json(&paths.request(), request, Durability::Synced)?;
    let mut child = Command::new(own_program()?)
        .arg0("pleach")
        .arg(runner::COMMAND)
        .arg(paths.dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()?;
    failpoint::passed("spawned");
    attempt.runner_pid = child.id().unwrap_or_default().cast_signed();
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut line).await?;
    }
    if line.trim_end() == runner::READY {
        return Ok(Waiting { child, attempt });
    }
    let status = child.wait().await?;
    Err(io::Error::other(format!(
        "the runner ended before it was ready ({status})"
    )))
}

impl Waiting {
    /// The attempt that will be.
    pub(super) fn attempt(&self) -> NewAttempt {
        self.attempt.clone()
    }

    /// Waits for the word, gives it, and waits for the end. `None` when the word never came: no agent was started.
    pub(super) async fn run(
        mut self,
        paths: &AttemptPaths,
        mut words: UnboundedReceiver<Word>,
    ) -> Option<AttemptOutcome> {
        let mut stdin = self.child.stdin.take()?;
        if words.recv().await != Some(Word::Go) {
            drop(stdin);
            let _ = self.child.wait().await;
            return None;
        }
        failpoint::passed("go");
        let go = format!("{}\n", runner::GO);
        // If it cannot be told it is dead: that shows below.
        let _ = stdin.write_all(go.as_bytes()).await;
        drop(stdin);
        failpoint::passed("gone");
        loop {
            tokio::select! {
                _ = self.child.wait() => break,
                Some(word) = words.recv() => {
                    let now = word == (Word::End { now: true });
                    // Its pid is its own: it has not been waited for yet.
                    if let Some(pid) = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
                        let _ = kill_process(pid, if now { Signal::QUIT } else { Signal::TERM });
                    }
                }
            }
        }
        Some(self.outcome(paths).await)
    }

    /// What the runner wrote down; or that it is lost, after all that its agent has left behind is ended.
    async fn outcome(&self, paths: &AttemptPaths) -> AttemptOutcome {
        let path = paths.outcome();
        match read_json::<AttemptOutcome>(&path) {
            Ok(outcome) => outcome,
            Err(e) => {
                let mark = self.attempt.id.to_string();
                let ended = spawn_blocking(move || end_marked(&mark)).await;
                let (killed, left) = ended.ok().and_then(Result::ok).unwrap_or_default();
                let error = format!("its runner ended without an outcome ({e})");
                let mut outcome = AttemptOutcome::unseen(AgentEnd::Unknown, FailureReason::Lost, error);
                outcome.killed_processes = killed;
                outcome.left_processes = left;
                outcome
            }
        }
    }
}
