//! What a task comes to once its agent is gone: its work is committed, its answer put in its place, and its worktree put
//! away; a task that was skipped has what was made for it undone.
//!
//! Called by `act`, beside the loop. What cannot be done now for want of something is told, and done again later.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::Path;

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
        if let Err(e) = put_answer(&answer, &self.paths.answer(record.id.as_ref())) {
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
            if settlement.outcome == Outcome::Skipped {
                match self.undone(shop, site, record) {
                    Ok(true) => {
                        settlement.notes.extend(self.moved_refs(shop, site));
                        return (settlement, None);
                    }
                    Err(Some(short)) => return (settlement, Some(short)),
                    // It is settled as any other then, and nothing of it is lost.
                    Ok(false) | Err(None) => {}
                }
            }
            let who = if record.agent_runs > 0 {
                worktree::AGENT
            } else {
                "a command before its agent"
            };
            let settled = self.files.turn().map_err(|short| (short.error, Some(short.of)));
            let settled = settled.and_then(|_turn| {
                worktree::settle(shop, site, &self.spec.tasks[task], who)
                    .map_err(|e| (e.to_string(), shop.shortage_behind(&e)))
            });
            match settled {
                Ok(settled) => {
                    if settlement.outcome == Outcome::Skipped && settled.changes.commits > 0 {
                        let note = format!("it was skipped, and what {who} has left is kept on {}", site.branch);
                        settlement.notes.push(note);
                    }
                    self.work_done(&mut settlement, settled);
                }
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

    /// Undoes branch and worktree of a task that was skipped, if nothing was left there; says whether it did. What was
    /// lacking, if it cannot be done for that.
    fn undone(&self, shop: &Workshop, site: &Site, record: &TaskRecord) -> Result<bool, Option<Short>> {
        let _turn = self.files.turn().map_err(Some)?;
        worktree::release_untouched(shop, site, &record.id).map_err(|e| {
            let error = format!("its worktree could not be undone: {e}");
            shop.shortage_behind(&e).map(|of| Short { of, error })
        })
    }

    fn work_done(&self, settlement: &mut Settlement, settled: worktree::Settled) {
        let kept = settled.keep.or_else(|| match settlement.outcome {
            Outcome::Failed => Some("the task failed".into()),
            Outcome::Stopped => Some("the task was stopped".into()),
            Outcome::Skipped | Outcome::Succeeded => self.spec.options.keep_worktrees.then(|| KEPT_ON_REQUEST.into()),
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

/// Puts the answer of an attempt in its place. One in which nothing stands is none: then none is there, not that of an
/// attempt before either, which is kept with that.
fn put_answer(from: &Path, to: &Path) -> io::Result<()> {
    if says_something(from)? {
        return atomic::publish(from, to);
    }
    match fs::remove_file(to) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Whether there is anything but white space in a file.
fn says_something(path: &Path) -> io::Result<bool> {
    let mut file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => BufReader::new(file?),
    };
    loop {
        let piece = file.fill_buf()?;
        if piece.is_empty() || !piece.trim_ascii().is_empty() {
            return Ok(!piece.is_empty());
        }
        let read = piece.len();
        file.consume(read);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_in_which_nothing_stands_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("attempt"), dir.path().join("answer"));
        let put = |answer: Option<&str>| {
            match answer {
                Some(answer) => fs::write(&from, answer).unwrap(),
                None => fs::remove_file(&from).unwrap(),
            }
            put_answer(&from, &to).unwrap();
            fs::read_to_string(&to).ok()
        };
        let late = " \n".repeat(20_000) + "x";
        for said in ["yes\n", "\0", &late] {
            assert_eq!(put(Some(said)).as_deref(), Some(said));
            fs::remove_file(&from).unwrap();
            for nothing in ["", " \n\t\r\n", &" ".repeat(100_000)] {
                assert_eq!(put(Some(nothing)), None);
                // Nor was there one before.
                assert_eq!(put(Some(nothing)), None);
            }
        }
        assert_eq!((put(Some("old")), put(None)), (Some("old".into()), None));
        fs::create_dir(&from).unwrap();
        assert!(put_answer(&from, &to).is_err());
    }
}
