//! The course of one attempt: whether the task is done at all, setting its worktree up, the agent, verifying its work.
//!
//! Each part is reached only when the one before went well. All of them share the time of the attempt and its port, and
//! a request to end the attempt ends whichever runs; what comes later is not begun then. Called by `main` of the runner,
//! when it has got the word.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::{self, NEVER, Signals, not_started, seconds};
use super::output::Output;
use super::port::{self, VARIABLE};
use super::status_file::StatusFile;
use super::steps::{Ended, Steps, named};
use super::{RunnerRequest, StepRequest};
use crate::store::Shortage;
use crate::store::paths::AttemptPaths;
use crate::task::{AgentEnd, AttemptOutcome, FailureReason, StepKind, StepOutcome, Verdict};

/// Runs the attempt. An error means that the outcome could not be written down, not that it failed.
pub(super) async fn run(
    paths: &AttemptPaths,
    mut request: RunnerRequest,
    mut signals: Signals,
) -> io::Result<AttemptOutcome> {
    let mut output = match Output::create(paths, request.max_output_bytes) {
        Err(e) if Shortage::of(&e).is_some() => return Ok(not_started("cannot keep what it prints".into(), &e)),
        other => other?,
    };
    match StatusFile::begin(request.status_file.as_deref(), &paths.earlier_status()) {
        Ok(status) => output.status = status,
        Err(e) => {
            let doing = "cannot make the directory that the tasks share ready";
            return Ok(not_started(doing.into(), &e));
        }
    }
    let started = Instant::now();
    let times_out = started + request.timeout_ms.map_or(NEVER, Duration::from_millis);
    // Kept until the attempt is over.
    let (port, note) = port::of_attempt(&request);
    if let Some(port) = &port {
        request.environment.push((VARIABLE.into(), port.number().to_string()));
    }
    let mut steps = Steps::new(paths, &request, times_out);
    let mut outcome = match before(&mut steps, &request, &mut signals, &mut output).await? {
        Some(instead) => {
            output.finish(paths).or_else(unless_short)?;
            instead
        }
        None => {
            let agent = attempt::run(paths, &request, &mut signals, &mut output, times_out);
            let (mut outcome, asked) = agent.await?;
            outcome.is_set_up = true;
            if let (Verdict::Succeeded, Some(verify)) = (&outcome.verdict, &request.verify) {
                outcome.verdict = match asked {
                    // It was done before the request reached it; whether that is good work nobody will know now.
                    true => Verdict::Stopped,
                    false => after(&mut steps, &request, verify, &mut signals, &mut output).await?,
                };
                output.sync();
            }
            outcome
        }
    };
    outcome.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    outcome.killed_processes += steps.killed;
    outcome.left_processes.append(&mut steps.left);
    outcome.steps = steps.outcomes;
    outcome.notes.extend(note);
    Ok(outcome)
}

/// What has no room is lost; how the attempt ended is not.
fn unless_short(e: io::Error) -> io::Result<()> {
    match Shortage::of(&e) {
        Some(_) => Ok(()),
        None => Err(e),
    }
}

/// Everything before the agent. Gives the outcome of the attempt if that is it.
async fn before(
    steps: &mut Steps<'_>,
    request: &RunnerRequest,
    signals: &mut Signals,
    output: &mut Output,
) -> io::Result<Option<AttemptOutcome>> {
    let condition = request.run_if.iter().map(|step| (StepKind::RunIf, step));
    let setup = request.setup.iter().map(|step| (StepKind::Setup, step));
    for (kind, step) in condition.chain(setup) {
        let ended = steps.run(kind, step, signals, output).await?;
        let last = steps.outcomes.last();
        if let Some(instead) = verdict(kind, &ended, last, request.timeout_ms) {
            return Ok(Some(without_agent(instead, &ended)));
        }
    }
    if let Err(e) = output.status.agent_begins(&steps.paths.status_before_agent()) {
        return Ok(Some(not_started("cannot put its status file aside".into(), &e)));
    }
    Ok(None)
}

/// Verifies the work of an agent that has succeeded.
async fn after(
    steps: &mut Steps<'_>,
    request: &RunnerRequest,
    verify: &StepRequest,
    signals: &mut Signals,
    output: &mut Output,
) -> io::Result<Verdict> {
    let ended = steps.run(StepKind::Verify, verify, signals, output).await?;
    let verdict = verdict(StepKind::Verify, &ended, steps.outcomes.last(), request.timeout_ms);
    Ok(verdict.unwrap_or(Verdict::Succeeded))
}

fn without_agent(verdict: Verdict, ended: &Ended) -> AttemptOutcome {
    let (error, shortage) = match ended {
        Ended::NotStarted(e) => (e.to_string(), Shortage::of(e)),
        _ => ("the attempt ended before the agent's turn".to_owned(), None),
    };
    let end = AgentEnd::NotStarted { error, shortage };
    AttemptOutcome {
        verdict,
        ..AttemptOutcome::unseen(end, FailureReason::Setup, "")
    }
}

/// What the end of a command means for the attempt; nothing if that goes on.
fn verdict(kind: StepKind, ended: &Ended, outcome: Option<&StepOutcome>, timeout_ms: Option<u64>) -> Option<Verdict> {
    let command = named(outcome.map_or("", |o| o.command.as_str()));
    let reason = match kind {
        StepKind::RunIf | StepKind::Setup => FailureReason::Setup,
        StepKind::Verify => FailureReason::Verify,
    };
    let failed = |reason, error| Some(Verdict::Failed { reason, error });
    match ended {
        Ended::Code(0) => None,
        Ended::Code(code) => {
            let error = with_last_line(format!("{command} exited with code {code}"), outcome);
            match kind {
                StepKind::RunIf => Some(Verdict::Skipped { error }),
                StepKind::Setup | StepKind::Verify => failed(reason, error),
            }
        }
        Ended::Stopped => Some(Verdict::Stopped),
        Ended::TimedOut => failed(
            FailureReason::TimeOut,
            format!(
                "ran longer than {}, at last {}: {command}",
                seconds(timeout_ms.unwrap_or_default()),
                kind.name()
            ),
        ),
        Ended::NotStarted(e) => failed(reason, format!("cannot start {command}: {e}")),
    }
}

fn with_last_line(what: String, outcome: Option<&StepOutcome>) -> String {
    let lines = outcome.map_or("", |o| &o.output).lines();
    match lines.rev().map(str::trim).find(|line| !line.is_empty()) {
        Some(line) => format!("{what}: {}", line.chars().take(200).collect::<String>()),
        None => what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(command: &str, output: &str) -> StepOutcome {
        StepOutcome {
            kind: StepKind::Verify,
            command: command.into(),
            exit_code: None,
            duration_ms: 1,
            output: output.into(),
        }
    }

    #[test]
    fn what_the_end_of_a_command_means() {
        use StepKind::{RunIf, Setup, Verify};
        let said = outcome("make\n  check", "one\nlast line\n\n");
        let of = |kind, ended: &Ended| verdict(kind, ended, Some(&said), Some(1500));
        let failed = |reason, error: &str| {
            let error = error.to_owned();
            Some(Verdict::Failed { reason, error })
        };
        let code = "make check exited with code 3: last line";
        for (kind, ended, expected) in [
            (RunIf, Ended::Code(0), None),
            (RunIf, Ended::Code(3), Some(Verdict::Skipped { error: code.into() })),
            (Setup, Ended::Code(3), failed(FailureReason::Setup, code)),
            (Verify, Ended::Code(3), failed(FailureReason::Verify, code)),
            (Verify, Ended::Stopped, Some(Verdict::Stopped)),
            (
                Setup,
                Ended::TimedOut,
                failed(
                    FailureReason::TimeOut,
                    "ran longer than 1500 ms, at last setup: make check",
                ),
            ),
            (
                RunIf,
                Ended::NotStarted(io::Error::other("no shell")),
                failed(FailureReason::Setup, "cannot start make check: no shell"),
            ),
        ] {
            assert_eq!(of(kind, &ended), expected, "{kind:?} {ended:?}");
        }
    }

    #[test]
    fn what_lacked_for_a_command_before_the_agent_may_come_back() {
        let lacking = Ended::NotStarted(io::Error::from_raw_os_error(rustix::io::Errno::AGAIN.raw_os_error()));
        let verdict = verdict(StepKind::Setup, &lacking, None, None).unwrap();
        assert!(without_agent(verdict, &lacking).end.shortage().is_some());
        assert!(
            without_agent(Verdict::Stopped, &Ended::Stopped)
                .end
                .shortage()
                .is_none()
        );
    }
}
