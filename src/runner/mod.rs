//! The process of one attempt: it starts the agent, bounds its output and time, and writes down how it ended.
//!
//! The supervisor starts it as a hidden subcommand with the attempt's directory. It takes the attempt's lock, says
//! who it is, and starts the agent only after it has read "go" on its standard input, which is sent when the
//! journal's line about the attempt is durable; end of file instead means exit. So a crash of the supervisor between
//! the two can neither lose nor double an attempt. It outlives its supervisor, and knows nothing of sessions.

mod attempt;
mod course;
mod ending;
mod launch;
mod output;
mod port;
mod pty;
mod request;
mod screen;
mod status_file;
mod steps;

use std::io::{self, BufRead, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use tracing::debug;

pub use ending::{Ending, ask_to_end};
pub use request::{PathVariable, RunnerRequest, StepRequest};

use crate::process::{ProcessIdentity, become_subreaper, take_handed};
use crate::store::Shortage;
use crate::store::atomic::{self, Durability};
use crate::store::lock::Lock;
use crate::store::paths::AttemptPaths;

/// The hidden subcommand that is a runner.
pub const COMMAND: &str = "__runner";
/// How long it waits for another runner of its attempt, which has not begun, to end.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the runner says when it is ready to start the agent.
pub const READY: &str = "ready";
/// What it waits for.
pub const GO: &str = "go";

/// How long it waits for room for its outcome before it tries again.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How it says instead that it cannot be, for want of what follows.
pub const SHORT: &str = "short of ";

/// Runs one attempt to its end. `place` is the number of the open file that is its place among all agents; it has that
/// as long as it lives. An error means that no outcome was written.
pub fn main(dir: &Path, place: Option<i32>) -> io::Result<()> {
    // Before anything is started that could inherit it.
    let _place = place.map(take_handed).transpose()?;
    let paths = AttemptPaths::new(dir);
    // On this thread, the main one: the agent ends when the thread ends that started it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let prepared = runtime.and_then(|runtime| {
        let (lock, request, signals) = {
            let _in_runtime = runtime.enter();
            prepare(&paths)?
        };
        Ok((runtime, lock, request, signals))
    });
    let (runtime, _lock, request, signals) = prepared.inspect_err(|e| {
        if let Some(shortage) = Shortage::of(e) {
            let _ = say(&format!("{SHORT}{}", shortage.name()));
        }
    })?;
    say(READY)?;
    let mut word = String::new();
    io::stdin().lock().read_line(&mut word)?;
    if word.trim_end() != GO {
        return Ok(());
    }
    debug!(attempt = %request.attempt, program = %request.program.display(), "the attempt begins");
    let outcome = runtime.block_on(course::run(&paths, request, signals))?;
    debug!(end = ?outcome.end, ms = outcome.duration_ms, "the attempt ends");
    loop {
        match atomic::write_json(&paths.outcome(), &outcome, Durability::Synced) {
            // The agent is gone, and nobody else knows how it ended.
            Err(e) if Shortage::of(&e).is_some() => sleep(TRY_AGAIN),
            other => return other,
        }
    }
}

fn prepare(paths: &AttemptPaths) -> io::Result<(Lock, RunnerRequest, attempt::Signals)> {
    let lock = lock(paths)?;
    let request = RunnerRequest::read(&paths.request())?;
    atomic::write_json(&paths.identity(), &ProcessIdentity::current(), Durability::Synced)?;
    become_subreaper()?;
    // Before the word is given: from here on a signal is a request, and does not end this process.
    Ok((lock, request, attempt::Signals::catch()?))
}

/// Takes the lock of the attempt. One whose supervisor was killed before it could give the word may just be beginning,
/// and ends at once: it is waited for.
fn lock(paths: &AttemptPaths) -> io::Result<Lock> {
    let held = || io::Error::other(format!("{} is held by another runner", paths.lock().display()));
    Lock::acquire_within(&paths.lock(), PATIENCE)?.ok_or_else(held)
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{line}")?;
    out.flush()
}
