//! What a task comes to once its agent is gone: its work is committed, its answer put in its place, and its worktree put
//! away; a task that was skipped has what was made for it undone.
//!
//! Called by `act`, beside the loop. What cannot be done now for want of something is told, and done again later.

use super::act::Shared;
use super::decide::{Input, Short};
use crate::session::{KEPT_ON_REQUEST, Settlement, Site, TaskRecord, WorktreeIntent};
use crate::store::{Shortage, atomic};
use crate::task::{AttemptOutcome, FailureReason, Outcome, Verdict};
use crate::worktree::{self, Removal, Workshop};

impl Shared {
    /// Commits what is left and says what the task came to; and what was lacking, if that was not possible.
    pub(super) fn settle(&self, task: usize, record: &TaskRecord) -> (Settlement, Option<Short>) {
        let mut short = None;
        let mut settlement = match record.attempt_outcome() {
            Some(attempt) => {
                let (outcome, reason, error) = came_to(&attempt.verdict);
                Settlement {
                    outcome,
                    reason,
                    error,
                    notes: notes(attempt),
                    ..Settlement::stopped()
                }
            }
            // It was stopped before another attempt, and an earlier one has left something.
            None if record.stop_asked.is_some() => Settlement::stopped(),
            None => return (Settlement::failed(FailureReason::Lost, "it has no outcome"), None),
        };
        let answer = self.paths.attempt(record.id.as_ref(), record.attempts).answer();
        if answer.exists()
            && let Err(e) = atomic::publish(&answer, &self.paths.answer(record.id.as_ref()))
        {
            let error = format!("its answer could not be put in its place: {e}");
            short = Shortage::of(&e).map(|of| Short {
                of,
                error: error.clone(),
            });
            settlement.notes.push(error);
        }
        if let Some((shop, site)) = self.shop.as_ref().zip(record.site()) {
            // A snapshot that is under way is waited for: two that look at one worktree would both be slower.
            settlement.notes.extend(self.no_more_snapshots(task, shop, site));
            // No agent has been there.
            if settlement.outcome == Outcome::Skipped && record.attempts == 1 {
                match self.undone(shop, site, record) {
                    Ok(()) => return (settlement, None),
                    Err(Some(short)) => return (settlement, Some(short)),
                    // It is settled as any other then, and nothing of it is lost.
                    Err(None) => {}
                }
            }
            let settled = self.files.turn().map_err(|short| (short.error, Some(short.of)));
            let settled = settled.and_then(|_turn| {
                worktree::settle(shop, site, &self.spec.tasks[task])
                    .map_err(|e| (e.to_string(), shop.shortage_behind(&e)))
            });
            match settled {
                Ok(settled) => self.work_done(&mut settlement, settled),
                Err((error, of)) => {
                    settlement.outcome = Outcome::Failed;
                    settlement.reason = Some(FailureReason::Settling);
                    let error = format!("its work could not be committed: {error}");
                    short = of.map(|of| Short {
                        of,
                        error: error.clone(),
                    });
                    settlement.error = Some(error);
                    settlement.worktree = WorktreeIntent::Keep("its work could not be committed".into());
                }
            }
            // Each move is told once: with the settlement that is recorded.
            if short.is_none() {
                settlement.notes.extend(self.moved_refs(shop, site));
            }
        }
        (settlement, short)
    }

    /// Undoes branch and worktree of a task whose agent never ran. What was lacking, if it cannot be done for that.
    fn undone(&self, shop: &Workshop, site: &Site, record: &TaskRecord) -> Result<(), Option<Short>> {
        let _turn = self.files.turn().map_err(Some)?;
        worktree::release(shop, site, &record.id).map_err(|e| {
            let error = format!("its worktree could not be undone: {e}");
            shop.shortage_behind(&e).map(|of| Short { of, error })
        })
    }

    fn work_done(&self, settlement: &mut Settlement, settled: worktree::Settled) {
        let kept = settled.keep.or_else(|| match settlement.outcome {
            Outcome::Failed => Some("the task failed".into()),
            Outcome::Stopped => Some("the task was stopped".into()),
            Outcome::Skipped => None,
            Outcome::Succeeded => self.spec.options.keep_worktrees.then(|| KEPT_ON_REQUEST.into()),
        });
        settlement.head = Some(settled.head.to_string());
        settlement.changes = Some(settled.changes);
        settlement.committed_leftovers = settled.committed;
        settlement.notes.extend(settled.notes);
        settlement.worktree = kept.map_or(WorktreeIntent::Remove, WorktreeIntent::Keep);
    }

    pub(super) fn remove(&self, task: usize, record: &TaskRecord) {
        let head = record.settlement().and_then(|s| s.head.as_ref());
        let head = head.and_then(|id| git2::Oid::from_str(id).ok());
        let removal = match self.shop.as_ref().zip(record.site()).zip(head) {
            Some(((shop, site), head)) => match self.files.turn() {
                Ok(_turn) => worktree::remove(shop, site, head)
                    .unwrap_or_else(|e| Removal::Kept(format!("it could not be moved: {e}"))),
                Err(short) => Removal::Kept(format!("it could not be moved: {}", short.error)),
            },
            None => Removal::Kept("it has no worktree".into()),
        };
        self.tell(Input::Removed { task, removal });
    }
}

fn came_to(verdict: &Verdict) -> (Outcome, Option<FailureReason>, Option<String>) {
    match verdict {
        Verdict::Succeeded => (Outcome::Succeeded, None, None),
        Verdict::Failed { reason, error } => (Outcome::Failed, Some(*reason), Some(error.clone())),
        Verdict::Skipped { error } => (Outcome::Skipped, Some(FailureReason::Condition), Some(error.clone())),
        Verdict::Stopped => (Outcome::Stopped, None, Some("stopped on request".into())),
    }
}

fn notes(attempt: &AttemptOutcome) -> Vec<String> {
    let mut notes = attempt.notes.clone();
    if attempt.dropped_bytes > 0 {
        notes.push(format!(
            "{} bytes of its output were dropped: they were over the limit, or there was no room on the disk",
            attempt.dropped_bytes
        ));
    }
    match attempt.killed_processes {
        0 => {}
        1 => notes.push("a process that it had left behind was ended".into()),
        many => notes.push(format!("{many} processes that it had left behind were ended")),
    }
    if !attempt.left_processes.is_empty() {
        notes.push(format!(
            "processes that could not be ended: {:?}",
            attempt.left_processes
        ));
    }
    notes
}
