//! When the work of running agents is kept: at an interval, before an agent is asked to end, and before another attempt
//! in the same worktree.
//!
//! Each attempt has a timer of its own (of the monotonic clock), set anew when a snapshot is done: so there is one at a
//! time for each task, and they do not all come at once. `decide` says whether the attempt that it was set for still
//! runs. Before a worktree goes to the trash there is none: it goes only when all in it is committed or ignored.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::act::Shared;
use super::attempt::Word;
use super::combine;
use super::decide::Input;
use crate::runner::Ending;
use crate::session::{SessionState, Site, TaskRecord, TaskState};
use crate::words::few;
use crate::worktree::snapshot::{self, Snapshot};
use crate::worktree::{Workshop, base_pin};

/// How long a stop waits for a snapshot; one that takes longer goes on while the agent ends.
const STOP_WAITS: Duration = Duration::from_secs(2);

/// What is known of the snapshots of one task.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    /// It was said that one failed.
    warned: bool,
    /// The task is being settled, or is: nobody changes its worktree.
    settled: bool,
    /// Those that this process has made.
    made: Vec<Snapshot>,
}

impl Shared {
    /// Sets the timer of a task whose agent runs.
    pub(super) fn keep_later(self: &Arc<Self>, task: usize, state: &SessionState) {
        if let TaskState::Running { attempt, site: Some(_) } = &state.tasks[task].state {
            self.wait_to_keep(task, attempt.number);
        }
    }

    fn wait_to_keep(self: &Arc<Self>, task: usize, number: u32) {
        let every = self.spec.options.snapshot_every_ms.filter(|ms| *ms > 0);
        let Some(every) = every.map(Duration::from_millis) else {
            return;
        };
        let shared = self.clone();
        tokio::spawn(async move {
            sleep(every).await;
            shared.tell(Input::SnapshotDue { task, number });
        });
    }

    /// Keeps what a running agent has done, and sets the timer anew.
    pub(super) fn keep_now(self: Arc<Self>, task: usize, number: u32, record: TaskRecord) {
        tokio::spawn(async move {
            let shared = self.clone();
            let _ = spawn_blocking(move || shared.keep(task, &record)).await;
            self.wait_to_keep(task, number);
        });
    }

    /// Gives the word to end; before an agent is asked what it has done is kept, since it may tidy up.
    pub(super) fn end(self: Arc<Self>, task: usize, how: Ending, record: TaskRecord, words: UnboundedSender<Word>) {
        let word = Word::End(how);
        if how == Ending::AtOnce || self.spec.options.snapshot_every_ms.is_none_or(|ms| ms == 0) {
            let _ = words.send(word);
            return;
        }
        tokio::spawn(async move {
            let _ = timeout(STOP_WAITS, spawn_blocking(move || self.keep(task, &record))).await;
            let _ = words.send(word);
        });
    }

    /// Keeps what an earlier attempt has left before the one with this number begins.
    pub(super) async fn keep_before(self: &Arc<Self>, task: usize, number: u32, record: &TaskRecord) {
        let (shared, record) = (self.clone(), record.clone());
        // One of the attempt before may be under way: not even the first step may make the loop wait for it.
        let keep = move || {
            shared.of_task(task).settled = false;
            if number > 1 {
                shared.keep(task, &record);
            }
        };
        let _ = spawn_blocking(keep).await;
    }

    /// Keeps what is in the worktree of a task. That it failed is said once.
    fn keep(&self, task: usize, record: &TaskRecord) {
        let Some((shop, site)) = self.shop.as_ref().zip(record.site()) else {
            return;
        };
        let mut keeping = self.of_task(task);
        if keeping.settled {
            return;
        }
        let kept = match self.files.turn() {
            Ok(_turn) => snapshot::keep(shop, site, &record.id).map_err(|e| e.to_string()),
            Err(short) => Err(short.error),
        };
        match kept {
            Ok(made) => keeping.made.extend(made),
            Err(e) => {
                let text = format!("a snapshot of its work could not be kept ({e}); it is tried again");
                if !std::mem::replace(&mut keeping.warned, true) {
                    self.tell(Input::TaskWarning { task, text });
                }
            }
        }
    }

    /// Waits for a snapshot that is under way, and lets no other begin. Those that somebody has deleted are made again,
    /// and the pin of the session's base; gives what the user should know of that. A task may start from another commit:
    /// from what its dependencies have come to, and the merge of that is kept for it alone.
    pub(super) fn no_more_snapshots(&self, task: usize, shop: &Workshop, site: &Site) -> Vec<String> {
        let mut keeping = self.of_task(task);
        keeping.settled = true;
        let base = self.spec.repository.as_ref().map(|repository| &repository.base.commit);
        let base = base.and_then(|commit| commit.parse().ok()).map(|commit| Snapshot {
            name: base_pin(shop.session),
            commit,
        });
        let own_base = (self.spec.tasks.get(task)).and_then(|spec| combine::pinned(shop, &spec.id, site));
        let kept: Vec<Snapshot> = keeping.made.iter().cloned().chain(base).chain(own_base).collect();
        // A ref that cannot be opened would be taken for one that was deleted.
        let restored = match self.files.turn() {
            Ok(_turn) => snapshot::restore(shop, &kept).map_err(|e| e.to_string()),
            Err(short) => Err(short.error),
        };
        let restored = match restored {
            Ok(restored) => restored,
            Err(e) => return vec![format!("the refs that keep its work could not be looked at: {e}")],
        };
        let said = [
            (restored.again, "were deleted while it ran, and are there again"),
            (restored.lost, "were deleted while it ran, and what they named is gone"),
            (restored.broken, "kept nothing whole after a git gc, and are deleted"),
        ];
        let said = said.into_iter().filter(|(refs, _)| !refs.is_empty());
        said.map(|(refs, how)| format!("refs that keep its work {how}: {}", few(&refs)))
            .collect()
    }

    /// As long as it is held, no snapshot of this task is made.
    pub(super) fn of_task(&self, task: usize) -> MutexGuard<'_, Keeping> {
        locked(&self.keeping[task])
    }
}

/// What it holds is whole also after a thread has panicked that had it.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
