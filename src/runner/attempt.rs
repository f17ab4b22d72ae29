//! One run of the agent, from its start until it and all its descendants are gone. `course` says what is around it.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Signal as Posix, WaitOptions, wait};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at};

use super::RunnerRequest;
use super::ending::asked_grace;
use super::launch::{NotLaunched, launch};
use super::output::{Output, Stream};
use crate::agent::{Evidence, is_gone, judge};
use crate::process::{ATTEMPT_MARK, SUPERVISOR_MARK, kill_descendants, signal_group};
use crate::store::atomic::{self, Durability};
use crate::store::paths::AttemptPaths;
use crate::store::{Shortage, now_ms};
use crate::task::{AgentEnd, AttemptOutcome, FailureReason, Live, SuccessBy, UsageLimit, Verdict};

/// `live.json` is replaced at most this often.
pub(super) const LIVE_EVERY: Duration = Duration::from_millis(500);
/// How long the pipes may stay open when nobody is left who could write to them.
pub(super) const DRAIN: Duration = Duration::from_secs(2);
/// Far enough away to stand for never.
pub(super) const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The signals of a runner: news of its children, SIGTERM to end the agent with grace, SIGQUIT to end it at once.
pub(super) struct Signals {
    pub(super) child: Signal,
    pub(super) terminate: Signal,
    pub(super) quit: Signal,
    // Caught only so that they do not end the runner.
    _others: [Signal; 2],
}

impl Signals {
    pub(super) fn catch() -> io::Result<Self> {
        Ok(Self {
            child: signal(SignalKind::child())?,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            _others: [signal(SignalKind::hangup())?, signal(SignalKind::interrupt())?],
        })
    }
}

/// Why the agent, or a command around it, is being ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Asked,
    TimeOut,
    Idle,
    /// It is done, and does not exit by itself.
    Completed,
}

/// A process that is watched until it and everything below this one are gone.
pub(super) struct Running {
    pub(super) pid: i32,
    started: Instant,
    /// In Unix milliseconds.
    pub(super) last_output_ms: Option<u64>,
    /// The same by the clock that never jumps; at first the start.
    last_output: Instant,
    pub(super) end: Option<AgentEnd>,
    pub(super) ending: Option<Cause>,
    pub(super) kill_at: Option<Instant>,
    on_terminal: bool,
    /// When an agent on a terminal is told that this is gone: a shell that somebody types into takes no notice of
    /// SIGTERM.
    hang_up_at: Option<Instant>,
    pub(super) killed: usize,
    pub(super) left: Vec<i32>,
}

/// Runs the agent, until `times_out` at the longest, and says also whether it was asked to end. An error means that the
/// outcome could not be written down, not that the agent failed.
pub(super) async fn run(
    paths: &AttemptPaths,
    request: &RunnerRequest,
    signals: &mut Signals,
    output: &mut Output,
    times_out: Instant,
) -> io::Result<(AttemptOutcome, bool)> {
    let mut agent = match launch(paths, request, output) {
        Ok(agent) => agent,
        Err(NotLaunched { doing, source }) => return Ok((not_started(doing, &source), false)),
    };
    let mut running = Running::new(agent.pid);
    running.on_terminal = request.pty;
    output.answers_by_status = request.pty && request.success == SuccessBy::StatusFile;
    let pipes = (&mut agent.out, &mut agent.err);
    supervise(paths, request, signals, &mut running, output, times_out, pipes).await?;
    // Now the terminal may hang up.
    drop(agent.line);
    let deadline = Instant::now() + DRAIN;
    let _ = timeout_at(deadline, drain(output, (&mut agent.out, &mut agent.err))).await;
    match output.finish(paths) {
        // What has no room is lost; how the agent ended is not.
        Err(e) if Shortage::of(&e).is_none() => return Err(e),
        _ => {}
    }
    let asked = running.ending == Some(Cause::Asked);
    Ok((outcome(running, output, request), asked))
}

/// The outcome of an attempt whose agent never ran.
pub(super) fn not_started(doing: String, e: &io::Error) -> AttemptOutcome {
    let error = format!("{doing}: {e}");
    let end = AgentEnd::NotStarted {
        error: error.clone(),
        shortage: Shortage::of(e),
    };
    AttemptOutcome::unseen(end, FailureReason::Exit, error)
}

/// Until the agent and everything below it are gone.
async fn supervise(
    paths: &AttemptPaths,
    request: &RunnerRequest,
    signals: &mut Signals,
    running: &mut Running,
    output: &mut Output,
    times_out: Instant,
    (out, err): (&mut pipe::Receiver, &mut pipe::Receiver),
) -> io::Result<()> {
    let idle = request.idle_timeout_ms.map_or(NEVER, Duration::from_millis);
    let grace = Duration::from_millis(request.grace_ms);
    let mut tick = interval(LIVE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut shown = None;
    let (mut out_open, mut err_open) = (true, true);
    let (mut out_buffer, mut err_buffer) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    running.reap();
    while running.end.is_none() {
        let kill_at = running.kill_at.unwrap_or(running.started + NEVER);
        let hang_up_at = running.hang_up_at.unwrap_or(running.started + NEVER);
        tokio::select! {
            biased;
            _ = signals.child.recv() => running.reap(),
            _ = signals.terminate.recv() => running.terminate(Cause::Asked, asked_grace(paths, grace))?,
            _ = signals.quit.recv() => {
                running.ending.get_or_insert(Cause::Asked);
                running.sweep()?;
            }
            () = sleep_until(times_out), if running.ending.is_none() => running.terminate(Cause::TimeOut, grace)?,
            () = sleep_until(running.last_output + idle), if running.ending.is_none() => {
                running.terminate(Cause::Idle, grace)?;
            }
            () = sleep_until(kill_at), if running.kill_at.is_some() => running.sweep()?,
            () = sleep_until(hang_up_at), if running.hang_up_at.is_some() => running.hang_up()?,
            _ = tick.tick() => {
                output.status.look();
                let completed = request.success == SuccessBy::StatusFile && output.status.is_completed();
                if completed && running.ending.is_none() {
                    running.terminate(Cause::Completed, grace)?;
                }
                show(paths, request, running, output, &mut shown);
            }
            // Not biased: a flood on one stream must not hold up the other.
            (stream, length) = async { tokio::select! {
                read = out.read(&mut out_buffer), if out_open => (Stream::Out, read.unwrap_or(0)),
                read = err.read(&mut err_buffer), if err_open => (Stream::Err, read.unwrap_or(0)),
            } }, if out_open || err_open => {
                let (open, buffer) = match stream {
                    Stream::Out => (&mut out_open, &out_buffer),
                    Stream::Err => (&mut err_open, &err_buffer),
                };
                *open = length > 0;
                if *open {
                    running.has_printed();
                }
                output.push(stream, &buffer[..length]);
            }
        }
    }
    output.status.look();
    running.sweep()
}

/// Takes in what is still in the pipes, until nobody holds their other ends.
async fn drain(output: &mut Output, (out, err): (&mut pipe::Receiver, &mut pipe::Receiver)) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    for (stream, pipe) in [(Stream::Out, out), (Stream::Err, err)] {
        loop {
            match pipe.read(&mut buffer).await? {
                0 => break,
                length => output.push(stream, &buffer[..length]),
            }
        }
    }
    Ok(())
}

impl Running {
    /// One that has just been started.
    pub(super) fn new(pid: i32) -> Self {
        let now = Instant::now();
        Self {
            pid,
            started: now,
            last_output_ms: None,
            last_output: now,
            end: None,
            ending: None,
            kill_at: None,
            on_terminal: false,
            hang_up_at: None,
            killed: 0,
            left: Vec::new(),
        }
    }

    pub(super) fn has_printed(&mut self) {
        self.last_output_ms = Some(now_ms());
        self.last_output = Instant::now();
    }

    /// Takes in the dead: the agent itself, and orphans that came to this process.
    pub(super) fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            self.reaped(pid.as_raw_nonzero().get(), status.as_raw());
        }
    }

    fn reaped(&mut self, pid: i32, status: i32) {
        if pid != self.pid {
            return;
        }
        let status = ExitStatus::from_raw(status);
        self.end = Some(match (status.code(), status.signal()) {
            (Some(code), _) => AgentEnd::Exited { code },
            (None, Some(signal)) => AgentEnd::Killed { signal },
            (None, None) => AgentEnd::Unknown,
        });
    }

    /// Asks the agent to end, and sets the time after which it is not asked any more. If it was asked before, that time
    /// can only become shorter.
    pub(super) fn terminate(&mut self, why: Cause, grace: Duration) -> io::Result<()> {
        let kill_at = Instant::now() + grace.min(NEVER);
        self.kill_at = Some(self.kill_at.map_or(kill_at, |before| before.min(kill_at)));
        if self.ending.is_some() {
            return Ok(());
        }
        self.ending = Some(why);
        self.hang_up_at = self.on_terminal.then(|| Instant::now() + grace.min(NEVER) / 2);
        signal_group(self.pid, Posix::TERM)
    }

    /// Tells the agent that its terminal is gone.
    fn hang_up(&mut self) -> io::Result<()> {
        self.hang_up_at = None;
        signal_group(self.pid, Posix::HUP)
    }

    /// Kills everything below this process, the agent too if it is still there.
    pub(super) fn sweep(&mut self) -> io::Result<()> {
        let agent_was_there = self.end.is_none();
        let mut reaped = Vec::new();
        let (killed, left) = kill_descendants(|pid, status| reaped.push((pid, status)))?;
        for (pid, status) in reaped {
            self.reaped(pid, status);
        }
        if self.end.is_none() {
            // It would not die: what is known is written down, rather than waiting for ever.
            self.end = Some(AgentEnd::Unknown);
        }
        self.killed += killed.saturating_sub(usize::from(agent_was_there));
        self.left = left;
        Ok(())
    }
}

/// A program in the directory and with the environment of the attempt.
pub(super) fn surrounded(request: &RunnerRequest, program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(&request.directory);
    for name in &request.environment_removed {
        command.env_remove(name);
    }
    command.envs(request.environment.iter().map(|(name, value)| (name, value)));
    command.envs(request.environment_paths.iter().map(|v| (&v.name, &v.path)));
    command.env(ATTEMPT_MARK, request.attempt.to_string());
    command.env_remove(SUPERVISOR_MARK);
    command
}

fn show(paths: &AttemptPaths, request: &RunnerRequest, running: &Running, output: &Output, shown: &mut Option<Live>) {
    let live = Live {
        activity: output.activity().map(str::to_owned),
        turns: output.stream.turns(),
        cost_usd: output.stream.cost_usd(),
        output_bytes: output.total,
        last_output_ms: running.last_output_ms,
        limited: limited(request, output),
        conversation_seen: is_seen(request, output),
        agent_pid: Some(running.pid),
        ended_ms: None,
    };
    if shown.as_ref() != Some(&live) {
        // Only a display: a full disk must not end the agent's work for it. The next tick tries again.
        if atomic::write_json(&paths.live(), &live, Durability::Fast).is_ok() {
            *shown = Some(live);
        }
    }
}

fn outcome(running: Running, output: &Output, request: &RunnerRequest) -> AttemptOutcome {
    let end = running.end.unwrap_or(AgentEnd::Unknown);
    let evidence = Evidence {
        end: &end,
        stream: &output.stream,
        printed: &output.printed(),
        completed: output.status.is_completed(),
        told: output.told(),
        is_believed: is_believed(request, output),
        now_ms: now_ms(),
    };
    let judged = judge(request.success, &evidence);
    // One that ran out of time while it was refused came up against the limit too, whatever else it is called.
    let limit = match running.ending {
        None => judged.limit,
        Some(Cause::Asked | Cause::Completed) => None,
        Some(_) => judged.limit.or_else(|| limited(request, output)),
    };
    // For as long as the limit holds it is no fault of the task's.
    let out_of_time = |reason, error: String| match &limit {
        None => Verdict::Failed { reason, error },
        Some(limit) => Verdict::Failed {
            reason: FailureReason::RateLimit,
            error: format!("{error}, at last refused by the service ({})", limit.what),
        },
    };
    let verdict = match (running.ending, judged.verdict) {
        (None | Some(Cause::Completed), verdict) => verdict,
        // A result in the stream was there before the request took effect. An exit code alone says nothing here: many
        // programs take SIGTERM as a reason to end well.
        (Some(_), Verdict::Succeeded) if output.stream.is_stream() => Verdict::Succeeded,
        (Some(Cause::Asked), _) => Verdict::Stopped,
        (Some(Cause::TimeOut), _) => out_of_time(
            FailureReason::TimeOut,
            format!("ran longer than {}", seconds(request.timeout_ms.unwrap_or_default())),
        ),
        (Some(Cause::Idle), _) => out_of_time(
            FailureReason::IdleTimeOut,
            format!(
                "printed nothing for {}",
                seconds(request.idle_timeout_ms.unwrap_or_default())
            ),
        ),
    };
    AttemptOutcome {
        verdict,
        end,
        duration_ms: u64::try_from(running.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        turns: output.stream.turns(),
        cost_usd: output.stream.cost_usd(),
        last_words: judged.last_words,
        output_bytes: output.total,
        dropped_bytes: output.dropped(),
        killed_processes: running.killed,
        left_processes: running.left,
        conversation_seen: is_seen(request, output),
        conversation_gone: request.resumes && is_gone(&output.stream, &output.printed()),
        is_set_up: false,
        steps: Vec::new(),
        limit,
        notes: Vec::new(),
    }
}

/// Whether what the stream tells of the service is the agent's own: of a program that is known by something else than a
/// stream it is a file that it has printed, and nothing for a whole session to wait for.
fn is_believed(request: &RunnerRequest, output: &Output) -> bool {
    match request.success {
        SuccessBy::StreamJson => true,
        SuccessBy::Output => output.stream.is_own(request.conversation),
        SuccessBy::Exit | SuccessBy::StatusFile => false,
    }
}

/// The limit that the service refuses it for now.
fn limited(request: &RunnerRequest, output: &Output) -> Option<UsageLimit> {
    output.stream.limited().filter(|_| is_believed(request, output))
}

/// Whether the agent has said that the conversation that it was given is there.
pub(super) fn is_seen(request: &RunnerRequest, output: &Output) -> bool {
    request.resumable || request.conversation.is_some_and(|id| output.stream.has_begun(id))
}

/// A time as the user may have written it.
pub(super) fn seconds(ms: u64) -> String {
    if ms.is_multiple_of(1000) {
        return format!("{} s", ms / 1000);
    }
    format!("{ms} ms")
}
