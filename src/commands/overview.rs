//! `pleach overview`: all sessions of the repository together. What cannot be read is named, and the rest is shown.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::place::{repository_of_results, results_dir, status_of};
use super::{Context, output};
use crate::cli::ListArgs;
use crate::error::{Error, exit};
use crate::report::{self, Disk, Overview};
use crate::session::{OverallStatus, StatusDocument, Stored, TaskState, TaskStatus, TaskStatusName, all, read_json};
use crate::store::lock;
use crate::store::now_ms;
use crate::store::usage::Usage;
use crate::task::{AttemptOutcome, Outcome};
use crate::worktree::{naming, trashed};

pub(super) fn run(context: &Context, args: &ListArgs) -> Result<u8, Error> {
    let repository = repository_of_results(context)?;
    let results = results_dir(context, repository.as_ref())?;
    let mut overview = Overview {
        schema: 1,
        ..Overview::default()
    };
    let mut places = Places::default();
    places.parents.extend(repository.as_ref().map(naming::worktrees_dir));
    for (id, read) in all(&results)? {
        overview.sessions += 1;
        match read {
            Ok(stored) => {
                let doc = status_of(&stored);
                add(&mut overview, &stored, &doc);
                places.add(&stored, &doc);
            }
            Err(e) => {
                overview.sessions_by_state.unreadable += 1;
                report::warning(&format!("session {id} cannot be read: {e}"));
            }
        }
    }
    let settled = overview.tasks.successful + overview.tasks.failed;
    overview.success_rate = (settled > 0).then(|| overview.tasks.successful as f64 / settled as f64);
    let disk = places.measure(&results);
    overview.disk_bytes = disk.worktrees + disk.trash + disk.results;
    overview.disk = disk;
    if args.json {
        report::json(&overview).map_err(output)?;
    } else {
        report::out(&report::overview(&overview)).map_err(output)?;
    }
    Ok(exit::DONE)
}

/// Adds one session.
fn add(overview: &mut Overview, stored: &Stored, doc: &StatusDocument) {
    let states = &mut overview.sessions_by_state;
    *match doc.overall_status {
        OverallStatus::Running => &mut states.running,
        OverallStatus::Completed => &mut states.completed,
        OverallStatus::Stopped => &mut states.stopped,
        OverallStatus::Error => &mut states.error,
        OverallStatus::Interrupted => &mut states.interrupted,
    } += 1;
    let tasks = &mut overview.tasks;
    let running = doc.tasks.iter().filter(|t| t.status == TaskStatusName::Running).count();
    tasks.total += doc.total;
    tasks.successful += doc.successful;
    tasks.failed += doc.failed;
    tasks.skipped += doc.skipped;
    let in_vain = |t: &&TaskStatus| t.outcome == Some(Outcome::Skipped) && t.success.is_some();
    tasks.skipped_in_vain += doc.tasks.iter().filter(in_vain).count();
    tasks.running += running;
    tasks.pending += doc.total - doc.completed - running;
    overview.cost_usd += doc.cost_usd.unwrap_or(0.0);
    overview.agent_seconds += spent_ms(stored) as f64 / 1000.0;
}

/// How long the attempts of a session took in which an agent ran, in milliseconds.
fn spent_ms(stored: &Stored) -> u64 {
    let mut ms: u64 = 0;
    for record in &stored.recorded.state.tasks {
        ms = ms.saturating_add(record.attempts_ms);
        let TaskState::Running { attempt, .. } = &record.state else {
            continue;
        };
        let paths = stored.paths.attempt(record.id.as_ref(), attempt.number);
        if stored.held || lock::is_held(&paths.lock()).unwrap_or(false) {
            ms = ms.saturating_add(now_ms().saturating_sub(attempt.started_ms));
        } else if paths.outcome().exists() {
            // Without its supervisor the runner wrote down the end, and nobody took it into the journal.
            match read_json::<AttemptOutcome>(&paths.outcome()) {
                Ok(outcome) if outcome.end.is_of_agent() => ms = ms.saturating_add(outcome.duration_ms),
                Ok(_) => {}
                Err(e) => report::warning(&format!("time and cost are not complete: {e}")),
            }
        }
    }
    ms
}

/// Where the files of sessions are. Only pleach's own: the directory that holds the worktrees may be the user's.
#[derive(Default)]
struct Places {
    worktrees: BTreeSet<PathBuf>,
    /// The directories that hold the worktrees.
    parents: BTreeSet<PathBuf>,
    /// What tasks left for each other, where that is not with the records of their sessions.
    shared: BTreeSet<PathBuf>,
}

impl Places {
    fn add(&mut self, stored: &Stored, doc: &StatusDocument) {
        self.worktrees
            .extend(doc.tasks.iter().filter_map(|t| t.worktree.clone()));
        let repository = stored.recorded.spec.repository.as_ref();
        self.shared.extend(stored.recorded.spec.shared.clone());
        self.parents.extend(repository.map(|r| r.worktrees.clone()));
    }

    fn measure(&self, results: &Path) -> Disk {
        let mut usage = Usage::default();
        let mut disk = Disk::default();
        for worktree in &self.worktrees {
            disk.worktrees += usage.count(worktree);
        }
        for parent in &self.parents {
            match trashed(parent) {
                Ok(places) => disk.trash += places.iter().map(|place| usage.count(place)).sum::<u64>(),
                Err(e) => usage.unreadable.push(e.to_string()),
            }
        }
        disk.results = usage.count(results);
        let shared = self.shared.iter().filter(|path| path.symlink_metadata().is_ok());
        disk.results += shared.map(|path| usage.count(path)).sum::<u64>();
        for what in usage.unreadable {
            report::warning(&format!("the sizes are not complete: {what}"));
        }
        disk
    }
}
