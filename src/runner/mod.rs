//! The process of one attempt: it starts the agent, bounds its output and time, and writes down how it ended.
//!
//! The supervisor starts it as a hidden subcommand with the attempt's directory. It takes the attempt's lock, says
//! who it is, and starts the agent only after it has read "go" on its standard input, which is sent when the
//! journal's line about the attempt is durable; end of file instead means exit. So a crash of the supervisor between
//! the two can neither lose nor double an attempt. It outlives its supervisor, and knows nothing of sessions.

mod attempt;
mod ending;
mod output;
mod request;

use std::io::{self, BufRead, Write};
use std::path::Path;

pub use ending::{Ending, ask_to_end};
pub use request::RunnerRequest;

use crate::process::{ProcessIdentity, become_subreaper};
use crate::store::atomic::{self, Durability};
use crate::store::lock::Lock;
use crate::store::paths::AttemptPaths;

/// The hidden subcommand that is a runner.
pub const COMMAND: &str = "__runner";
/// What the runner says when it is ready to start the agent.
pub const READY: &str = "ready";
/// What it waits for.
pub const GO: &str = "go";

/// Runs one attempt to its end. An error means that no outcome was written.
pub fn main(dir: &Path) -> io::Result<()> {
    let paths = AttemptPaths::new(dir);
    let held = || io::Error::other(format!("{} is held by another runner", paths.lock().display()));
    let _lock = Lock::try_acquire(&paths.lock())?.ok_or_else(held)?;
    let request = RunnerRequest::read(&paths.request())?;
    atomic::write_json(&paths.identity(), &ProcessIdentity::current(), Durability::Synced)?;
    become_subreaper()?;
    // On this thread, the main one: the agent ends when the thread ends that started it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _in_runtime = runtime.enter();
    // Before the word is given: from here on a signal is a request, and does not end this process.
    let signals = attempt::Signals::catch()?;
    let mut out = io::stdout();
    writeln!(out, "{READY}")?;
    out.flush()?;
    let mut word = String::new();
    io::stdin().lock().read_line(&mut word)?;
    if word.trim_end() != GO {
        return Ok(());
    }
    let outcome = runtime.block_on(attempt::run(&paths, &request, signals))?;
    atomic::write_json(&paths.outcome(), &outcome, Durability::Synced)
}
