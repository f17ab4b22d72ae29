//! How what was begun ends in a play: as a number decides, and as its troubles allow.

use super::*;
use crate::session::NextAttempt;
use crate::task::{AgentEnd, UsageLimit};

impl Play {
    /// How an attempt ends.
    fn outcome(&mut self, task: usize) -> AttemptOutcome {
        let refused = |reason, limit: Option<&str>| AttemptOutcome {
            verdict: Verdict::Failed {
                reason,
                error: "it said no".into(),
            },
            limit: limit.map(|what| UsageLimit {
                what: what.into(),
                resets_at_ms: None,
            }),
            ..bad_attempt()
        };
        if self.told.contains(&task) && self.throw(3) > 0 {
            return AttemptOutcome {
                verdict: Verdict::Stopped,
                ..bad_attempt()
            };
        }
        match self.throw(10) {
            0 => bad_attempt(),
            1 => AttemptOutcome {
                conversation_seen: true,
                cost_usd: Some(0.1),
                ..bad_attempt()
            },
            2 => AttemptOutcome {
                conversation_gone: self.state.tasks[task].next == NextAttempt::Resume,
                ..bad_attempt()
            },
            3 if self.trouble.refusals => refused(FailureReason::RateLimit, Some("429")),
            4 if self.trouble.refusals => refused(FailureReason::Login, None),
            5 if self.trouble.shortages => {
                let end = AgentEnd::NotStarted {
                    error: "no room".into(),
                    shortage: Some(Shortage::Disk),
                };
                AttemptOutcome::unseen(end, FailureReason::Exit, "no room")
            }
            6 => AttemptOutcome {
                verdict: Verdict::Skipped {
                    error: "it is not wanted".into(),
                },
                ..bad_attempt()
            },
            _ => good_attempt(),
        }
    }

    /// How something that was begun ends.
    pub(super) fn ending(&mut self, action: Action) -> Input {
        match action {
            Action::Combine { task } => Input::Combined {
                task,
                base: "89abcdef".into(),
            },
            Action::Provision { task, .. } => {
                let result = match self.throw(12) {
                    0 => Err(NoWorktree::Taken("the branch".into())),
                    1 => Err(NoWorktree::Failed("no room".into())),
                    2 if self.trouble.shortages => Err(NoWorktree::Short(short())),
                    _ => Ok(()),
                };
                Input::Provisioned { task, result }
            }
            Action::Start { task, number } => {
                let attempt = NewAttempt { number, ..attempt() };
                self.waiting.insert(task, attempt.clone());
                Input::RunnerReady { task, attempt }
            }
            Action::Go { task } | Action::TakeOver { task, .. } => {
                assert!(self.agents.remove(&task), "no agent works on {task}");
                let outcome = self.outcome(task);
                self.told.remove(&task);
                match matches!(action, Action::TakeOver { .. }) && self.throw(2) == 0 {
                    true => Input::AttemptLost {
                        task,
                        outcome: bad_attempt(),
                    },
                    false => Input::AttemptEnded { task, outcome },
                }
            }
            Action::Release { task } => {
                self.waiting.remove(&task);
                Input::Released { task }
            }
            Action::Settle { task } => self.settlement(task),
            Action::Remove { task } => Input::Removed {
                task,
                removal: Removal::Kept("it is in use".into()),
            },
            Action::Handle { task } => {
                let error = (self.throw(2) == 0).then(|| "exited with code 1".into());
                Input::Handled { task, error }
            }
            Action::End { .. } | Action::Snapshot { .. } | Action::Forget(_) => unreachable!("it is never open"),
        }
    }

    fn settlement(&mut self, task: usize) -> Input {
        let verdict = self.state.tasks[task].attempt_outcome().map(|o| o.verdict.clone());
        let settlement = match verdict {
            Some(Verdict::Failed { reason, error }) => Settlement::failed(reason, error),
            Some(Verdict::Skipped { error }) => Settlement {
                outcome: Outcome::Skipped,
                reason: Some(FailureReason::Condition),
                error: Some(error),
                ..Settlement::stopped()
            },
            Some(Verdict::Succeeded) => Settlement {
                head: Some(format!("{task:040x}")),
                ..good_settlement(match self.throw(2) {
                    0 => WorktreeIntent::Remove,
                    _ => WorktreeIntent::Keep("asked for".into()),
                })
            },
            Some(Verdict::Stopped) | None => Settlement::stopped(),
        };
        if self.trouble.shortages && self.throw(4) == 0 {
            self.unsettled.push(task);
            let short = short();
            return Input::Unsettled {
                task,
                short,
                settlement,
            };
        }
        Input::Settled { task, settlement }
    }
}

fn short() -> Short {
    Short {
        of: Shortage::Disk,
        error: "no room".into(),
    }
}
