//! A program that is only asked something: it gets little time, little room for its answer, and leaves nothing behind.

use std::io::{self, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use uuid::Uuid;

use super::{ATTEMPT_MARK, end_marked, signal_group, spawn_bound_to_parent};

/// The most that is kept of what such a program prints, in bytes, of each stream.
const MOST: u64 = 4 << 10;
/// How long its pipes may stay open once nothing is left of it that could be found.
const DRAIN: Duration = Duration::from_secs(1);

/// What came of asking.
#[derive(Debug)]
pub struct Brief {
    /// How it ended; none when it did not within its time, and was killed.
    pub status: Option<ExitStatus>,
    /// The beginning of its standard output.
    pub out: Vec<u8>,
    /// The beginning of its standard error.
    pub err: Vec<u8>,
}

/// Runs a program without input for at most `limit`, and ends all that is left of it. Call it from the main thread, with
/// which the program ends.
pub fn ask_briefly(command: &mut Command, limit: Duration) -> io::Result<Brief> {
    let mark = Uuid::new_v4().to_string();
    command
        .env(ATTEMPT_MARK, &mark)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = spawn_bound_to_parent(command)?;
    let leader = child.id().cast_signed();
    let out = child.stdout.take().map(beginning_of);
    let err = child.stderr.take().map(beginning_of);
    let (sender, ended) = channel();
    thread::spawn(move || sender.send(child.wait()));
    let status = ended.recv_timeout(limit).ok().transpose()?;
    if status.is_none() {
        signal_group(leader, Signal::KILL)?;
    }
    end_marked(&mark)?;
    let read = |pipe: Option<Receiver<Vec<u8>>>| pipe.and_then(|p| p.recv_timeout(DRAIN).ok()).unwrap_or_default();
    Ok(Brief {
        status,
        out: read(out),
        err: read(err),
    })
}

/// Reads a pipe up to [`MOST`]; a program that prints more meets a closed one.
fn beginning_of(pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut text = Vec::new();
        // What was read before an error is the answer.
        let _ = pipe.take(MOST).read_to_end(&mut text);
        sender.send(text)
    });
    receiver
}
