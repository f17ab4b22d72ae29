//! Looks at the attempts that an earlier supervisor had started, and looks after those whose runners are still at work.
//!
//! A runner holds its attempt's lock as long as it lives, so its end is waited for there. Whatever is signalled is first
//! found to be the process that it was: by its pid, when it started, and the boot of the machine.

use std::io;
use std::path::Path;
use std::thread;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::attempt::Word;
use super::recover::Found;
use crate::process::{ProcessIdentity, end_marked, signal_process};
use crate::runner::ask_to_end;
use crate::session::{Attempt, read_json};
use crate::store::Shortage;
use crate::store::lock::{Lock, is_held};
use crate::store::paths::AttemptPaths;
use crate::store::watch::LOOK_AGAIN;
use crate::task::{AgentEnd, AttemptOutcome, FailureReason, Live};

/// Looks at an attempt; `before` is the supervisor that started it.
pub(super) fn look(paths: &AttemptPaths, before: Option<&ProcessIdentity>) -> Found {
    if may_live(&paths.lock()) {
        return Found::Lives;
    }
    match outcome(paths) {
        Ok(Some(outcome)) => return Found::Ended(Box::new(outcome)),
        Ok(None) => {}
        // It is read again where that can wait.
        Err(_) => return Found::Lives,
    }
    let runner = read_json::<ProcessIdentity>(&paths.identity()).ok();
    match runner.as_ref().or(before) {
        Some(process) if !process.is_of_this_boot() => Found::LostWithTheMachine,
        _ => Found::Lost,
    }
}

/// Whether a runner may hold this lock: also when that cannot be seen for want of something.
fn may_live(lock: &Path) -> bool {
    is_held(lock).unwrap_or_else(|e| Shortage::of(&e).is_some())
}

/// What the runner wrote down. One that wrote what cannot be read has ended all the same, and its work is not done again;
/// an error says that it cannot be read now.
fn outcome(paths: &AttemptPaths) -> Result<Option<AttemptOutcome>, Shortage> {
    let path = paths.outcome();
    match read_json(&path) {
        Ok(outcome) => Ok(Some(outcome)),
        Err(_) if !path.exists() => Ok(None),
        Err(e) => match Shortage::of(&e) {
            Some(short) => Err(short),
            None => {
                let error = format!("how it ended cannot be read ({e})");
                let unseen = AttemptOutcome::unseen(AgentEnd::Unknown, FailureReason::Lost, error);
                Ok(Some(unseen))
            }
        },
    }
}

/// How an attempt that was taken over ended.
pub(super) enum Ended {
    /// As its runner wrote down.
    Told(AttemptOutcome),
    /// Nobody knows; none of its processes is left.
    Lost(AttemptOutcome),
}

/// Waits for the end of an attempt, and passes requests to end it on. Processes that it has left are looked for only
/// when `search` says so.
pub(super) async fn wait_for_end(
    paths: &AttemptPaths,
    attempt: &Attempt,
    search: bool,
    mut words: UnboundedReceiver<Word>,
) -> Ended {
    let mut free = freed(paths);
    let mut listens = true;
    loop {
        tokio::select! {
            _ = &mut free => break,
            word = words.recv(), if listens => match word {
                Some(Word::End(how)) => {
                    let runner = read_json::<ProcessIdentity>(&paths.identity());
                    // One that is not there any more has let go of the lock.
                    let _ = runner.map(|runner| {
                        ask_to_end(paths, how, |signal| {
                            signal_process(&runner, signal);
                            Ok(())
                        })
                    });
                }
                Some(Word::Go) => {}
                None => listens = false,
            },
        }
    }
    loop {
        match outcome(paths) {
            Ok(Some(outcome)) => return Ended::Told(outcome),
            Ok(None) => break,
            Err(_) => sleep(LOOK_AGAIN).await,
        }
    }
    let mut lost = AttemptOutcome::unseen(
        AgentEnd::Unknown,
        FailureReason::Lost,
        "its runner ended without an outcome",
    );
    if search {
        let mark = attempt.id.to_string();
        (lost.killed_processes, lost.left_processes) = end_all(mark).await;
    }
    // What it has cost is spent, whatever came of it.
    if let Ok(live) = read_json::<Live>(&paths.live()) {
        (lost.turns, lost.cost_usd, lost.output_bytes) = (live.turns, live.cost_usd, live.output_bytes);
        lost.conversation_seen = live.conversation_seen;
    }
    Ended::Lost(lost)
}

/// Ends what is left of a lost attempt. As long as that cannot be looked for, it is not made again.
async fn end_all(mark: String) -> (usize, Vec<i32>) {
    loop {
        let mark = mark.clone();
        match spawn_blocking(move || end_marked(&mark)).await {
            Ok(Err(e)) if Shortage::of(&e).is_some() => sleep(LOOK_AGAIN).await,
            ended => return ended.ok().and_then(Result::ok).unwrap_or_default(),
        }
    }
}

/// Waits until no runner is left that never had the word.
pub(super) fn await_unheard(paths: &AttemptPaths) {
    if paths.dir().is_dir() {
        let _ = Lock::acquire(&paths.lock());
    }
}

/// Comes when the lock of an attempt is free.
fn freed(paths: &AttemptPaths) -> oneshot::Receiver<()> {
    let (sender, receiver) = oneshot::channel();
    let path = paths.lock();
    let wait = {
        let path = path.clone();
        // On a thread of its own: there can be more of these than the runtime has threads for.
        move || match Lock::acquire(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    };
    let (told, waited) = oneshot::channel();
    let spawned = thread::Builder::new().spawn(move || {
        let _ = told.send(wait().is_ok());
    });
    tokio::spawn(async move {
        if spawned.is_err() || !waited.await.unwrap_or(false) {
            while may_live(&path) {
                sleep(LOOK_AGAIN).await;
            }
        }
        let _ = sender.send(());
    });
    receiver
}
