//! Runs the user's command on a checked out tree, keeps the end of what it prints, and leaves no process of it behind.
//!
//! It runs without a terminal and without input. Called by `verify`; it knows nothing of branches.

use std::io::{self, PipeReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use uuid::Uuid;

use crate::git::LOCAL_VARIABLES;
use crate::process::{
    ATTEMPT_MARK, become_subreaper, end_marked, kill_descendants, resign_as_subreaper, signal_group,
    spawn_bound_without_terminal,
};

/// How much of the end of the output is kept, in bytes.
const TAIL: usize = 8 << 10;
/// How long the command has to end when it is asked to.
const GRACE: Duration = Duration::from_secs(2);
/// How long the pipe may stay open once nothing is left of the command that could be found.
const DRAIN: Duration = Duration::from_secs(1);

/// How the command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Its exit code; none when a signal killed it.
    pub exit_code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// The end of what it printed.
    pub output: String,
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.exit_code, self.signal) {
            (Some(0), _) => write!(f, "passed"),
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(signal)) => write!(f, "killed by signal {signal}"),
            (None, None) => write!(f, "ended"),
        }
    }
}

impl Ending {
    pub(super) fn exited(code: i32, output: String) -> Self {
        Self {
            exit_code: Some(code),
            signal: None,
            output,
        }
    }

    #[cfg(test)]
    pub(super) fn killed(signal: i32, output: String) -> Self {
        Self {
            exit_code: None,
            signal: Some(signal),
            output,
        }
    }

    /// Whether it succeeded.
    pub fn passed(&self) -> bool {
        self.exit_code == Some(0)
    }

    /// The exit code that says something of the tree. From 126 on it is the shell's own: the command could not be
    /// started, or a signal killed it, for lack of memory perhaps.
    pub(super) fn answer(&self) -> Option<i32> {
        self.exit_code.filter(|code| (0..126).contains(code))
    }
}

/// What is waited for while the command runs.
#[derive(Debug)]
enum Wake {
    Ended(io::Result<ExitStatus>),
    Stop(u8),
}

/// Where whoever is to stop a verification says so.
#[derive(Debug)]
pub struct Interrupts {
    sender: Sender<Wake>,
    wakes: Receiver<Wake>,
}

impl Default for Interrupts {
    fn default() -> Self {
        let (sender, wakes) = channel();
        Self { sender, wakes }
    }
}

impl Interrupts {
    /// What stops it, from any thread; the exit code that pleach ends with then comes back from the verification.
    pub fn stop(&self) -> impl Fn(u8) + Send + 'static {
        let sender = self.sender.clone();
        move |code| {
            // When nobody waits any more there is nothing to stop.
            let _ = sender.send(Wake::Stop(code));
        }
    }

    /// Whether it was stopped since this was asked last.
    pub fn stopped(&self) -> Option<u8> {
        self.wakes.try_iter().find_map(|wake| match wake {
            Wake::Stop(code) => Some(code),
            Wake::Ended(_) => None,
        })
    }
}

/// What came of running the command.
#[derive(Debug)]
pub(super) enum Ran {
    /// It ended.
    Ended(Ending),
    /// It was ended, because of this exit code.
    Stopped(u8),
}

/// Runs a command of the shell in `directory`, on the main thread, with which it ends. `mark` stands in the environment
/// of all its processes, `repository` is where the user's files are.
pub(super) fn run(
    line: &str,
    directory: &Path,
    repository: &Path,
    mark: Uuid,
    interrupts: &Interrupts,
) -> io::Result<Ran> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new("sh");
    command
        // A command may begin with a dash.
        .args(["-c", "--", line])
        .current_dir(directory)
        .env(ATTEMPT_MARK, mark.to_string())
        .env("PLEACH_REPO", repository)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    for name in LOCAL_VARIABLES {
        command.env_remove(name);
    }
    // Not for longer: what git starts to stay, such as an agent that signs, is none of ours.
    become_subreaper()?;
    let ran = attend(command, reader, interrupts).and_then(|ran| {
        end_all(mark)?;
        Ok(ran)
    });
    resign_as_subreaper()?;
    let (woken, tail) = ran?;
    let output = tail.finish();
    Ok(match woken {
        Wake::Stop(code) => Ran::Stopped(code),
        Wake::Ended(status) => {
            let status = status?;
            Ran::Ended(Ending {
                exit_code: status.code(),
                signal: status.signal(),
                output,
            })
        }
    })
}

/// Ends all that is left of the command that carries `mark`.
pub(super) fn end_all(mark: Uuid) -> io::Result<()> {
    kill_descendants(|_, _| ())?;
    end_marked(&mark.to_string())?;
    Ok(())
}

/// Waits for the end of the command, or ends it when that is asked for.
fn attend(mut command: Command, reader: PipeReader, interrupts: &Interrupts) -> io::Result<(Wake, Tail)> {
    let mut child = spawn_bound_without_terminal(&mut command)?;
    // It has the writing ends of the pipe, which would never be at its end.
    drop(command);
    let tail = Tail::of(reader);
    let leader = child.id().cast_signed();
    let sender = interrupts.sender.clone();
    thread::spawn(move || sender.send(Wake::Ended(child.wait())));
    let woken = match interrupts.wakes.recv() {
        Ok(Wake::Stop(code)) => {
            signal_group(leader, Signal::TERM)?;
            // Until it has ended, its time is over, or it is asked for once more.
            let _ = interrupts.wakes.recv_timeout(GRACE);
            Wake::Stop(code)
        }
        Ok(ended) => ended,
        Err(e) => return Err(io::Error::other(e)),
    };
    Ok((woken, tail))
}

/// The end of what comes through a pipe.
struct Tail {
    bytes: Arc<Mutex<Vec<u8>>>,
    ended: Receiver<()>,
}

impl Tail {
    fn of(mut pipe: PipeReader) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (sender, ended) = channel();
        let kept = Arc::clone(&bytes);
        thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(length @ 1..) = pipe.read(&mut buffer) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&buffer[length.saturating_sub(TAIL)..length]);
                let over = kept.len().saturating_sub(TAIL);
                kept.drain(..over);
            }
            sender.send(())
        });
        Self { bytes, ended }
    }

    /// All that came, once nobody can write any more.
    fn finish(self) -> String {
        // If somebody out of reach holds it, what has come until now is the end.
        let _ = self.ended.recv_timeout(DRAIN);
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
