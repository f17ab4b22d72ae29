//! What the agents of a session use of the machine at this moment. Only `status` looks; it costs a scan of all processes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::process::{ProcessIdentity, cpu_percent, usage_below};
use crate::session::{Attempt, SessionState, StatusDocument, TaskState, TaskStatus, read_json};
use crate::store::lock;
use crate::store::now_ms;
use crate::store::paths::SessionPaths;

/// The CPU time that agents had used at one moment, for a later look that counts from there.
pub(super) struct Sample {
    pub at: Instant,
    /// By the attempt.
    cpu: HashMap<Uuid, Duration>,
}

/// Adds memory and CPU to the tasks of `doc` whose agents run, and gives the sample for the next look. The share of the
/// CPU is that since `earlier`; without it, and of an attempt that is not in it, since the agent's start. What cannot be
/// found out stays unknown.
pub(super) fn add_usage(
    doc: &mut StatusDocument,
    paths: &SessionPaths,
    state: &SessionState,
    earlier: Option<&Sample>,
) -> Sample {
    let mut running: Vec<(&mut TaskStatus, &Attempt)> = Vec::new();
    let mut runners = Vec::new();
    for task in &mut doc.tasks {
        if let Some((attempt, runner)) = runner(paths, state, task) {
            running.push((task, attempt));
            runners.push(runner);
        }
    }
    let mut sample = Sample {
        at: Instant::now(),
        cpu: HashMap::new(),
    };
    let found = usage_below(&runners).unwrap_or_default();
    for ((task, attempt), usage) in running.into_iter().zip(found) {
        let Some(usage) = usage else { continue };
        let before = earlier.and_then(|e| Some((e.cpu.get(&attempt.id)?, sample.at.duration_since(e.at))));
        let lately = before.and_then(|(cpu, time)| cpu_percent(usage.cpu.saturating_sub(*cpu), time));
        let age = Duration::from_millis(now_ms().saturating_sub(attempt.started_ms));
        task.memory_bytes = Some(usage.memory_bytes);
        task.cpu_seconds = Some(usage.cpu.as_secs_f64());
        task.cpu_percent = lately.or_else(|| cpu_percent(usage.cpu, age));
        sample.cpu.insert(attempt.id, usage.cpu);
    }
    sample
}

/// The attempt of a task that runs, and its runner if that is alive: it holds the attempt's lock.
fn runner<'s>(
    paths: &SessionPaths,
    state: &'s SessionState,
    task: &TaskStatus,
) -> Option<(&'s Attempt, ProcessIdentity)> {
    let record = state.tasks.get(task.task_num.checked_sub(1)?)?;
    let TaskState::Running { attempt, .. } = &record.state else {
        return None;
    };
    let files = paths.attempt(record.id.as_ref(), attempt.number);
    let alive = lock::is_held(&files.lock()).unwrap_or(false);
    let runner = alive.then(|| read_json(&files.identity()).ok())??;
    Some((attempt, runner))
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};
    use std::thread::sleep;

    use super::*;
    use crate::session::document;
    use crate::session::fixture::{preparing, session_started, spec, started, state_after};
    use crate::store::lock::Lock;

    /// Computes until the test is over, however it ends.
    struct Busy(Child);

    impl Drop for Busy {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_later_look_counts_from_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let paths = SessionPaths::new(dir.path());
        let spec = spec(&["a", "b"]);
        let state = state_after(&spec, &[session_started(), preparing("a"), started("a", 1)]);
        let look = |earlier: Option<&Sample>| {
            let mut doc = document(&spec, &state, true, |_| None);
            let sample = add_usage(&mut doc, &paths, &state, earlier);
            (doc.tasks.remove(0), sample)
        };
        // This process is the runner: it has the lock, and the agent is below it.
        let attempt = paths.attempt("a", 1);
        std::fs::create_dir_all(attempt.dir()).unwrap();
        std::fs::write(
            attempt.identity(),
            serde_json::to_vec(&ProcessIdentity::current()).unwrap(),
        )
        .unwrap();
        let _busy = Busy(Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap());
        assert_eq!(look(None).0.memory_bytes, None, "nobody holds the lock");
        let _lock = Lock::try_acquire(&attempt.lock()).unwrap().unwrap();
        let (task, first) = look(None);
        assert!(task.memory_bytes.is_some(), "{task:?}");
        // By the journal it runs since years.
        assert_eq!(task.cpu_percent, Some(0.0));
        let lately = (0..1000).find_map(|_| {
            sleep(Duration::from_millis(20));
            let (task, _) = look(Some(&first));
            assert!(task.cpu_seconds >= Some(0.0));
            task.cpu_percent.filter(|percent| *percent > 1.0)
        });
        assert!(lately.is_some());
    }
}
