//! One command around the agent: before it (whether the task is done at all, setting the worktree up) or after it
//! (verifying the work). It runs where the agent does, with its environment and mark, and ends with all that it started.
//!
//! What it prints, both streams in the order in which they come, goes to a file of its own up to the cap; the beginning
//! of it to the attempt's log, so that it can be followed there; its end to the outcome.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at};

use super::attempt::{Cause, DRAIN, LIVE_EVERY, NEVER, Running, Signals, is_seen, surrounded};
use super::ending::asked_grace;
use super::launch::for_want_of_directory;
use super::output::{CappedFile, Output};
use super::{RunnerRequest, StepRequest};
use crate::process::spawn_bound_to_parent;
use crate::store::Shortage;
use crate::store::atomic::{self, Durability};
use crate::store::paths::AttemptPaths;
use crate::task::{Live, StepKind, StepOutcome};

/// How much of the end of the output stands in the outcome, in characters.
const SHOWN: usize = 4_000;
/// How much of the output goes to the attempt's log as well, in bytes: that is the agent's above all.
const LOGGED: usize = 64 << 10;
/// How much of a command stands in a message, in characters.
const NAMED: usize = 80;

/// How a command ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// By itself, with this exit code as a shell gives it.
    Code(i32),
    /// On request.
    Stopped,
    /// With the time of the attempt.
    TimedOut,
    /// It never ran.
    NotStarted(io::Error),
}

/// The commands of an attempt that have run so far.
pub(super) struct Steps<'a> {
    pub(super) paths: &'a AttemptPaths,
    request: &'a RunnerRequest,
    times_out: Instant,
    /// How they ended, in their order.
    pub(super) outcomes: Vec<StepOutcome>,
    /// How many processes they had left behind.
    pub(super) killed: usize,
    /// Those of them that would not go.
    pub(super) left: Vec<i32>,
}

impl<'a> Steps<'a> {
    /// None yet; each ends by `times_out`.
    pub(super) fn new(paths: &'a AttemptPaths, request: &'a RunnerRequest, times_out: Instant) -> Self {
        Self {
            paths,
            request,
            times_out,
            outcomes: Vec::new(),
            killed: 0,
            left: Vec::new(),
        }
    }

    /// Runs one to its end. An error means that nobody can know how it ended.
    pub(super) async fn run(
        &mut self,
        kind: StepKind,
        step: &StepRequest,
        signals: &mut Signals,
        output: &mut Output,
    ) -> io::Result<Ended> {
        let what = format!("{}: {}", kind.name(), named(&step.command));
        output.beside(format!("[pleach: {what}]\n").as_bytes());
        let began = Instant::now();
        let before = self.outcomes.iter().filter(|o| o.kind == kind).count();
        let name = kind.numbered(before);
        let mut printed = Printed::default();
        let ended = match CappedFile::create(&self.paths.step_log(&name), self.request.max_output_bytes) {
            Ok(mut file) => {
                let watched = self.watched(&what, step, signals, output, (&mut file, &mut printed));
                let ended = watched.await?;
                file.sync();
                ended
            }
            Err(e) if Shortage::of(&e).is_some() => Ended::NotStarted(e),
            Err(e) => return Err(e),
        };
        let took = began.elapsed();
        output.beside(printed.end_of_line());
        output.beside(format!("[pleach: {} {}]\n", kind.name(), in_words(&ended, took)).as_bytes());
        self.outcomes.push(StepOutcome {
            kind,
            command: step.command.clone(),
            exit_code: match ended {
                Ended::Code(code) => Some(code),
                _ => None,
            },
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            output: match &ended {
                Ended::NotStarted(e) => e.to_string(),
                _ => printed.shown(),
            },
        });
        Ok(ended)
    }

    async fn watched(
        &mut self,
        what: &str,
        step: &StepRequest,
        signals: &mut Signals,
        output: &mut Output,
        (file, printed): (&mut CappedFile, &mut Printed),
    ) -> io::Result<Ended> {
        let (mut pipe, mut running) = match self.spawned(step) {
            Ok(spawned) => spawned,
            Err(e) => return Ok(Ended::NotStarted(e)),
        };
        let mut take = |bytes: &[u8], output: &mut Output| {
            file.write(bytes);
            output.beside(&printed.push(bytes));
        };
        let grace = Duration::from_millis(self.request.grace_ms);
        let far = Instant::now() + NEVER;
        let mut tick = interval(LIVE_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut shown = None;
        let mut open = true;
        let mut buffer = vec![0; 64 << 10];
        running.reap();
        while running.end.is_none() {
            tokio::select! {
                biased;
                _ = signals.child.recv() => running.reap(),
                _ = signals.terminate.recv() => running.terminate(Cause::Asked, asked_grace(self.paths, grace))?,
                _ = signals.quit.recv() => {
                    running.ending.get_or_insert(Cause::Asked);
                    running.sweep()?;
                }
                () = sleep_until(self.times_out), if running.ending.is_none() => {
                    running.terminate(Cause::TimeOut, grace)?;
                }
                () = sleep_until(running.kill_at.unwrap_or(far)), if running.kill_at.is_some() => running.sweep()?,
                _ = tick.tick() => self.show(what, &running, output, &mut shown),
                read = pipe.read(&mut buffer), if open => {
                    let length = read.unwrap_or(0);
                    open = length > 0;
                    if open {
                        running.has_printed();
                    }
                    take(&buffer[..length], output);
                }
            }
        }
        running.sweep()?;
        // Nobody is left who could write: what is in the pipe is the rest.
        let deadline = Instant::now() + DRAIN;
        while let Ok(Ok(length @ 1..)) = timeout_at(deadline, pipe.read(&mut buffer)).await {
            take(&buffer[..length], output);
        }
        self.killed += running.killed;
        self.left.append(&mut running.left);
        Ok(match (running.ending, running.end.and_then(|end| end.exit_code())) {
            (Some(Cause::Asked), _) => Ended::Stopped,
            (Some(_), _) => Ended::TimedOut,
            (None, Some(code)) => Ended::Code(code),
            (None, None) => Ended::NotStarted(io::Error::other("nobody saw how it ended")),
        })
    }

    /// Starts it, with one pipe for both of its streams.
    fn spawned(&self, step: &StepRequest) -> io::Result<(pipe::Receiver, Running)> {
        let (out, into) = io::pipe()?;
        let mut command = surrounded(self.request, Path::new("/bin/sh"));
        command
            // A command may begin with a dash.
            .args(["-c", "--", &step.command])
            .stdin(Stdio::piped())
            .stdout(into.try_clone()?)
            .stderr(into);
        let spawned = spawn_bound_to_parent(&mut command);
        let mut child = spawned.map_err(|e| for_want_of_directory(self.request, e))?;
        // With it our own ends go: the pipe is at its end when nobody below has it any more.
        drop(command);
        let running = Running::new(child.id().cast_signed());
        if let Some(stdin) = child.stdin.take() {
            let mut stdin = pipe::Sender::from_owned_fd(OwnedFd::from(stdin))?;
            let input = step.stdin.clone().into_bytes();
            // One that does not read it to the end closes the pipe: its own affair.
            tokio::spawn(async move { stdin.write_all(&input).await });
        }
        Ok((pipe::Receiver::from_owned_fd(out.into())?, running))
    }

    fn show(&self, what: &str, running: &Running, output: &Output, shown: &mut Option<Live>) {
        let live = Live {
            activity: Some(what.to_owned()),
            turns: output.stream.turns(),
            cost_usd: output.stream.cost_usd(),
            output_bytes: output.total,
            last_output_ms: running.last_output_ms,
            conversation_seen: is_seen(self.request, output),
            agent_pid: Some(running.pid),
            limited: None,
            ended_ms: None,
        };
        // Only a display: the next tick tries again.
        if shown.as_ref() != Some(&live) && atomic::write_json(&self.paths.live(), &live, Durability::Fast).is_ok() {
            *shown = Some(live);
        }
    }
}

/// What a command has printed, as far as it is shown.
#[derive(Debug, Default)]
struct Printed {
    tail: Vec<u8>,
    logged: usize,
    /// Whether the log is in the middle of a line.
    in_line: bool,
}

impl Printed {
    /// Takes in a piece, and gives what of it goes to the log: each line marked, so that none is taken for the agent's.
    fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        // A character has four bytes at most.
        const KEPT: usize = SHOWN * 4;
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(KEPT)..]);
        self.tail.drain(..self.tail.len().saturating_sub(KEPT));
        let room = LOGGED.saturating_sub(self.logged);
        let mut marked = Vec::new();
        for line in bytes[..bytes.len().min(room)].split_inclusive(|&b| b == b'\n') {
            if !self.in_line {
                marked.extend_from_slice(b"| ");
            }
            marked.extend_from_slice(line);
            self.in_line = !line.ends_with(b"\n");
        }
        if self.logged <= LOGGED && bytes.len() > room {
            let end = if self.in_line { "\n" } else { "" };
            marked.extend_from_slice(format!("{end}| [pleach: the rest is not in this log]\n").as_bytes());
            self.in_line = false;
            // Said once.
            self.logged = LOGGED + 1;
        } else {
            self.logged = self.logged.saturating_add(bytes.len());
        }
        marked
    }

    fn end_of_line(&self) -> &'static [u8] {
        if self.in_line { b"\n" } else { b"" }
    }

    fn shown(&self) -> String {
        let text = String::from_utf8_lossy(&self.tail);
        match text.char_indices().rev().nth(SHOWN - 1) {
            Some((cut, _)) => text[cut..].to_owned(),
            None => text.into_owned(),
        }
    }
}

/// A command in a line of text, not all of a long one.
pub(super) fn named(command: &str) -> String {
    let words: Vec<&str> = command.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(NAMED) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}

fn in_words(ended: &Ended, took: Duration) -> String {
    let how = match ended {
        Ended::Code(code) => format!("exited with code {code}"),
        Ended::Stopped => "was stopped".into(),
        Ended::TimedOut => "was ended: the time was over".into(),
        Ended::NotStarted(e) => return format!("could not be started: {e}"),
    };
    format!("{how} after {:.1} s", took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_output_the_end_is_shown_and_the_beginning_logged() {
        let mut printed = Printed::default();
        assert_eq!(printed.push(b"{\"type\":1}\nha"), b"| {\"type\":1}\n| ha");
        assert_eq!(printed.end_of_line(), b"\n");
        assert_eq!(printed.push(b"lf\n"), b"lf\n");
        assert_eq!(
            (printed.end_of_line(), printed.shown().as_str()),
            (&b""[..], "{\"type\":1}\nhalf\n")
        );
        let more = "ä".repeat(LOGGED);
        let logged = String::from_utf8_lossy(&printed.push(more.as_bytes())).into_owned();
        assert!(
            logged.ends_with("\n| [pleach: the rest is not in this log]\n"),
            "{}",
            &logged[logged.len() - 80..]
        );
        assert!(logged.len() < LOGGED + 100);
        assert_eq!(printed.push(b"more"), b"");
        assert_eq!(printed.shown(), "ä".repeat(SHOWN - 4) + "more");
    }

    #[test]
    fn a_log_that_is_just_full_says_so_when_there_is_more() {
        let mut printed = Printed::default();
        printed.push(&vec![b'x'; LOGGED]);
        let logged = printed.push(b"y");
        assert_eq!(logged, b"\n| [pleach: the rest is not in this log]\n");
    }

    #[test]
    fn commands_are_named_in_a_line() {
        assert_eq!(named("  cargo test\n  --all "), "cargo test --all");
        assert_eq!(named(&"x".repeat(200)).chars().count(), NAMED + 1);
    }
}
