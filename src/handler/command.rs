//! Runs one command of the shell: without a terminal, for a limited time, with its output in a file up to a cap; and
//! leaves no process of it behind but sessions that it has started.
//!
//! Called on the main thread, with which the kernel ends the command (Linux). It knows nothing of tasks.

use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot::{self, Receiver};
use tokio::time::{sleep, timeout};

use super::environment::Environment;
use crate::process::{kill_descendants_but_sessions, signal_group, spawn_bound_without_terminal};

/// How much of what it prints is kept, in bytes.
const CAP: usize = 1 << 20;
/// How long it has to end when it is asked to.
const GRACE: Duration = Duration::from_secs(2);
/// How long the pipe may stay open once nothing is left of the command that could be found.
const DRAIN: Duration = Duration::from_secs(1);

/// What holds for a command.
pub(super) struct Bounds<'a> {
    /// How long it may run.
    pub limit: Duration,
    /// Where its output goes.
    pub log: &'a Path,
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Exited(i32),
    Killed(i32),
    /// It was ended: its time was over.
    TimedOut,
    /// It was ended on request.
    Stopped,
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exited(code),
            (None, signal) => Self::Killed(signal.unwrap_or_default()),
        }
    }
}

/// Runs it to its end. SIGTERM to this process ends it.
pub(super) fn run(
    line: &str,
    directory: &Path,
    stdin: File,
    environment: &Environment,
    bounds: &Bounds<'_>,
) -> io::Result<Ended> {
    let log = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(bounds.log)?;
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new("sh");
    command
        // A command may begin with a dash.
        .args(["-c", "--", line])
        .current_dir(directory)
        .stdin(stdin)
        .stdout(writer.try_clone()?)
        .stderr(Stdio::from(writer));
    environment.set_on(&mut command);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut asked = signal(SignalKind::terminate())?;
        let mut child = spawn_bound_without_terminal(&mut command)?;
        // It has the writing ends of the pipe, which would never be at its end.
        drop(command);
        let copied = copy(reader, log);
        let leader = child.id().cast_signed();
        let (sender, mut ended) = oneshot::channel();
        thread::spawn(move || sender.send(child.wait()));
        let why = tokio::select! {
            status = &mut ended => Ok(Ended::from(status.map_err(io::Error::other)??)),
            () = sleep(bounds.limit) => Err(Ended::TimedOut),
            _ = asked.recv() => Err(Ended::Stopped),
        };
        let (came_to, waited) = match why {
            Ok(came_to) => (came_to, true),
            Err(why) => {
                signal_group(leader, Signal::TERM)?;
                (why, timeout(GRACE, &mut ended).await.is_ok())
            }
        };
        kill_descendants_but_sessions(leader)?;
        if !waited {
            let _ = timeout(DRAIN, ended).await;
        }
        // If somebody out of reach holds the pipe, what has come until now is all.
        let _ = timeout(DRAIN, copied).await;
        Ok(came_to)
    })
}

/// Copies what comes through a pipe, up to the cap, and takes in the rest; the receiver is told of the end.
fn copy(mut pipe: PipeReader, mut log: File) -> Receiver<()> {
    let (sender, ended) = oneshot::channel();
    thread::spawn(move || {
        let (mut buffer, mut room, mut over) = (vec![0; 64 << 10], CAP, 0);
        loop {
            let length = match pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            let kept = length.min(room);
            // Without room on the disk it is not kept; the command goes on.
            let written = log.write_all(&buffer[..kept]).is_ok();
            room = if written { room - kept } else { 0 };
            over += length - if written { kept } else { 0 };
        }
        if over > 0 {
            let _ = writeln!(log, "\n[pleach: {over} more bytes were printed, and are not kept]");
        }
        sender.send(())
    });
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_kept_up_to_the_cap_and_the_rest_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let (reader, mut writer) = io::pipe().unwrap();
        let ended = copy(reader, File::create(&path).unwrap());
        writer.write_all(&vec![b'x'; CAP + 10]).unwrap();
        drop(writer);
        ended.blocking_recv().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&"x".repeat(CAP)));
        assert_eq!(
            &text[CAP..],
            "\n[pleach: 10 more bytes were printed, and are not kept]\n"
        );
    }
}
