//! One runner, from its start to its end, as the supervisor sees it.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::decide::NewAttempt;
use crate::process::{end_lost, hand, own_program, reap_orphans};
use crate::runner::{self, Ending, RunnerRequest, ask_to_end};
use crate::session::read_json;
use crate::store::Shortage;
use crate::store::atomic::{self, Durability};
use crate::store::failpoint;
use crate::store::lock::Lock;
use crate::store::paths::AttemptPaths;
use crate::task::{AgentEnd, AttemptOutcome, FailureReason, Live};

/// What the supervisor tells the one that looks after a runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// The attempt is recorded: start the agent.
    Go,
    /// End the agent.
    End(Ending),
}

/// A runner that waits for the word.
pub(super) struct Waiting {
    child: Child,
    attempt: NewAttempt,
}

/// Why a runner did not become ready.
pub(super) struct NotReady {
    /// In words.
    pub error: String,
    /// What was lacking, if that is why.
    pub shortage: Option<Shortage>,
}

impl From<io::Error> for NotReady {
    fn from(e: io::Error) -> Self {
        Self {
            shortage: Shortage::of(&e),
            error: e.to_string(),
        }
    }
}

/// Writes the request down and starts the runner; returns when it is ready. It gets the place, and keeps it as long as
/// it lives: what is open here is closed, also when it could not be started.
pub(super) async fn start(
    paths: &AttemptPaths,
    request: &RunnerRequest,
    mut attempt: NewAttempt,
    place: Option<Lock>,
) -> Result<Waiting, NotReady> {
    atomic::private_dir(paths.dir())?;
    atomic::write_json(&paths.request(), request, Durability::Synced)?;
    let mut command = Command::new(own_program()?);
    command
        .arg0("pleach")
        .arg(runner::COMMAND)
        .arg(paths.dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0);
    if let Some(place) = &place {
        let number = hand(command.as_std_mut(), place.file());
        command.arg(format!("--place={number}"));
    }
    let mut child = command.spawn()?;
    drop(place);
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
    let shortage = line.trim_end().strip_prefix(runner::SHORT).and_then(Shortage::named);
    Err(NotReady {
        error: match shortage {
            Some(shortage) => format!("it is short of {}", shortage.name()),
            None => format!("the runner ended before it was ready ({status})"),
        },
        shortage,
    })
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
        let mut shortest: Option<u64> = None;
        loop {
            tokio::select! {
                _ = self.child.wait() => break,
                Some(Word::End(mut how)) = words.recv() => {
                    // Two requests may reach the runner as one, with the file of the second.
                    if let (Ending::Within { grace_ms }, Some(before)) = (&mut how, shortest) {
                        *grace_ms = before.min(*grace_ms);
                    }
                    if let Ending::Within { grace_ms } = how {
                        shortest = Some(grace_ms);
                    }
                    // Its pid is its own: it has not been waited for yet.
                    if let Some(pid) = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
                        let _ = ask_to_end(paths, how, |signal| Ok(kill_process(pid, signal)?));
                    }
                }
            }
        }
        Some(self.outcome(paths).await)
    }

    /// What the runner wrote down; or that it is lost, after all that its agent has left behind is ended.
    async fn outcome(&self, paths: &AttemptPaths) -> AttemptOutcome {
        /// How long it waits until it can read it.
        const TRY_AGAIN: Duration = Duration::from_secs(1);
        let path = paths.outcome();
        let read = loop {
            match read_json::<AttemptOutcome>(&path) {
                Err(e) if Shortage::of(&e).is_some() => sleep(TRY_AGAIN).await,
                read => break read,
            }
        };
        match read {
            Ok(outcome) => outcome,
            Err(e) => {
                let mark = self.attempt.id.to_string();
                let live = read_json::<Live>(&paths.live()).unwrap_or_default();
                let agent = live.agent_pid;
                let ended = spawn_blocking(move || {
                    let ended = end_lost(&mark);
                    // The agent ended with its runner, most likely before anybody looked for it.
                    let _ = reap_orphans(agent);
                    ended
                })
                .await;
                let (killed, left) = ended.ok().and_then(Result::ok).unwrap_or_default();
                let error = format!("its runner ended without an outcome ({e})");
                let mut outcome = AttemptOutcome::unseen(AgentEnd::Unknown, FailureReason::Lost, error);
                outcome.killed_processes = killed;
                outcome.left_processes = left;
                // What it has cost is spent, whatever came of it.
                (outcome.turns, outcome.cost_usd) = (live.turns, live.cost_usd);
                (outcome.output_bytes, outcome.conversation_seen) = (live.output_bytes, live.conversation_seen);
                outcome
            }
        }
    }
}
