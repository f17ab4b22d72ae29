//! What is done once a task is settled, and when the session is at its end: answers are put where they are wanted, and
//! the user's commands are run, in processes of their own.
//!
//! What is due follows from the journal alone, so another supervisor does what one has left: it waits for a handler that
//! still runs, takes what one has written down, and runs again only one that was killed before it could do that. `decide`
//! does not know of it: an outcome never changes by what comes after it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::act::Shared;
use super::decide::{Action, Input};
use crate::handler::{COMMAND, HandlerOutcome};
use crate::process::{ProcessIdentity, hand, own_program, signal_process};
use crate::session::{EventKind, SessionSpec, SessionState, TaskRecord, TaskState, read_json};
use crate::store::Shortage;
use crate::store::failpoint;
use crate::store::lock::{Lock, SharedLock, is_held};
use crate::store::paths::{HALF_MADE_PREFIX, SessionPaths};

/// Commands that run at once.
const MOST: usize = 4;
/// How long it waits for what is lacking, in all and between two tries.
const TRIES: usize = 60;
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Between two looks whether one has ended that is no child of this process.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Whether anything is to be done once the task with this index is settled.
fn is_wanted(spec: &SessionSpec, task: usize) -> bool {
    let options = &spec.tasks[task].options;
    options.on_done.is_some() || options.output_file.is_some()
}

fn is_due(spec: &SessionSpec, task: usize, record: &TaskRecord) -> bool {
    !record.is_handled && matches!(record.state, TaskState::Settled { .. }) && is_wanted(spec, task)
}

/// What is to be done now; what is under way already too.
pub(super) fn due(spec: &SessionSpec, state: &SessionState) -> Vec<Action> {
    let tasks = state.tasks.iter().enumerate();
    let due = tasks.filter(|(task, record)| is_due(spec, *task, record));
    due.map(|(task, _)| Action::Handle { task }).collect()
}

/// Whether nothing of that is left: before, the session is not at its end.
pub(super) fn are_done(spec: &SessionSpec, state: &SessionState) -> bool {
    !state
        .tasks
        .iter()
        .enumerate()
        .any(|(task, record)| is_due(spec, task, record))
}

/// What is recorded when it was done. Of a task that is to be tried again meanwhile nothing: it will be settled again.
pub(super) fn handled(state: &SessionState, task: usize, error: Option<String>) -> Option<EventKind> {
    let record = &state.tasks[task];
    let is_open = !record.is_handled && record.settlement().is_some();
    is_open.then(|| EventKind::TaskHandled {
        task: record.id.clone(),
        error,
    })
}

/// What the handlers of one supervisor have in common.
pub(super) struct Handling {
    turns: Semaphore,
    /// How long one that runs may still take, once a stop was asked for.
    hurry: watch::Sender<Option<Duration>>,
}

impl Default for Handling {
    fn default() -> Self {
        Self {
            turns: Semaphore::new(MOST),
            hurry: watch::Sender::new(None),
        }
    }
}

impl Handling {
    /// Lets those that run end soon when the session is to stop, or at once.
    pub(super) fn hurry(&self, state: &SessionState, grace_ms: u64) {
        let time = state.stop_asked.map(|now| match now {
            true => Duration::ZERO,
            false => Duration::from_millis(grace_ms),
        });
        self.hurry
            .send_if_modified(|before| std::mem::replace(before, time) != time);
    }
}

impl Shared {
    /// Does what is to be done for a settled task, and tells of it.
    pub(super) async fn handle(self: Arc<Self>, task: usize, record: TaskRecord) {
        let options = &self.spec.tasks[task].options;
        let mut errors = Vec::new();
        if let Some(to) = options.output_file.clone() {
            let answer = self.paths.answer(record.id.as_ref());
            let write = move || match answer.exists() {
                true => write_answer(&answer, &to)
                    .map_err(|e| format!("its answer could not be written to {}: {e}", to.display())),
                false => Ok(()),
            };
            errors.extend(spawn_blocking(write).await.ok().and_then(Result::err));
        }
        if options.on_done.is_some()
            && let Err(error) = self.run_handler(&record).await
        {
            errors.push(error);
        }
        let error = (!errors.is_empty()).then(|| errors.join("; "));
        self.tell(Input::Handled { task, error });
    }

    async fn run_handler(&self, record: &TaskRecord) -> Result<(), String> {
        let not_run = |e: &dyn std::fmt::Display| format!("its on_done command could not be run: {e}");
        let id = record.id.as_ref();
        let (path, outcome) = (self.paths.task_handler_lock(id), self.paths.task_handler_outcome(id));
        // Before its turn: it runs already, and a stop is to reach it.
        attend_earlier(&path, self.handling.hurry.subscribe()).await;
        let _turn = self.handling.turns.acquire().await.map_err(|e| not_run(&e))?;
        let lock = spawn_blocking(move || Lock::acquire(&path)).await;
        let lock = lock.map_err(|e| not_run(&e))?.map_err(|e| not_run(&e))?;
        let ended = || {
            let ended = read_json::<HandlerOutcome>(&outcome).ok();
            ended.filter(|ended| Some(ended.of_ms) == record.settled_ms)
        };
        if ended().is_none() {
            let mut hurry = self.handling.hurry.subscribe();
            hurry.borrow_and_update();
            let child = start(&self.paths, id, lock).await.map_err(|e| not_run(&e))?;
            failpoint::passed("handler-started");
            attend(child, hurry).await.map_err(|e| not_run(&e))?;
        }
        match ended() {
            Some(HandlerOutcome { error: None, .. }) => Ok(()),
            Some(HandlerOutcome { error: Some(error), .. }) => Err(error),
            None => Err("its on_done command was killed before its end".into()),
        }
    }
}

/// Starts the process, which gets the lock; tries again while something is lacking.
async fn start(paths: &SessionPaths, id: &str, lock: Lock) -> io::Result<tokio::process::Child> {
    let mut tries = 0;
    loop {
        let mut command = Command::new(own_program()?);
        command
            .arg0("pleach")
            .arg(COMMAND)
            .arg(paths.dir())
            .args(["--task", id]);
        let lock = Stdio::from(lock.file().try_clone()?);
        command.stdin(lock).stdout(Stdio::null()).process_group(0);
        match command.spawn() {
            Err(e) if Shortage::of(&e).is_some() && tries < TRIES => tries += 1,
            other => return other,
        }
        sleep(TRY_AGAIN).await;
    }
}

/// Waits for the end of one that an earlier supervisor has started, which is asked for when the session is to stop. It has
/// written into its lock who it is.
async fn attend_earlier(path: &Path, mut hurry: watch::Receiver<Option<Duration>>) {
    // A stop that this supervisor was started for is one that it has not heard of.
    hurry.mark_changed();
    let held = || is_held(path).unwrap_or(false);
    let ended = async {
        while held() {
            sleep(LOOK_AGAIN).await;
        }
    };
    tokio::select! {
        () = ended => return,
        () = time_is_over(&mut hurry) => {}
    }
    // Again and again: it may have begun only just, and not have written that down.
    while held() {
        if let Ok(handler) = read_json::<ProcessIdentity>(path) {
            signal_process(&handler, Signal::TERM);
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// Comes when the session is to stop, and what runs then has had its time.
async fn time_is_over(hurry: &mut watch::Receiver<Option<Duration>>) {
    loop {
        if hurry.changed().await.is_err() {
            return std::future::pending().await;
        }
        let time = *hurry.borrow_and_update();
        let Some(time) = time else { continue };
        tokio::select! {
            () = sleep(time) => return,
            _ = hurry.changed() => hurry.mark_changed(),
        }
    }
}

/// Waits for its end, which is asked for when the session is to stop.
async fn attend(mut child: tokio::process::Child, mut hurry: watch::Receiver<Option<Duration>>) -> io::Result<()> {
    tokio::select! {
        ended = child.wait() => return ended.map(|_| ()),
        () = time_is_over(&mut hurry) => {}
    }
    // Its pid is its own: it has not been waited for yet.
    if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
        let _ = kill_process(pid, Signal::TERM);
    }
    child.wait().await.map(|_| ())
}

/// Puts a copy of an answer where the user wants it: beside it first, so that a reader sees a whole one. It is the user's
/// file, with the mode of any other; what is no file is never replaced.
fn write_answer(answer: &Path, to: &Path) -> io::Result<()> {
    let parent = to.parent().ok_or_else(|| io::Error::other("it names no file"))?;
    fs::create_dir_all(parent)?;
    match to.symlink_metadata() {
        Ok(there) if !there.is_file() && !there.is_symlink() => {
            return Err(io::Error::other("it is there, and is no file"));
        }
        _ => {}
    }
    let mut file = tempfile::Builder::new()
        .prefix(HALF_MADE_PREFIX)
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(parent)?;
    io::copy(&mut fs::File::open(answer)?, &mut file)?;
    failpoint::passed("rename");
    file.persist(to).map_err(|e| e.error)?;
    Ok(())
}

/// Holds, from the beginning of a supervisor on, what tells that the session's own command is still to come.
pub(super) fn announce(paths: &SessionPaths, spec: &SessionSpec) -> io::Result<Option<SharedLock>> {
    let wanted = spec.options.on_done.is_some();
    wanted.then(|| SharedLock::acquire(&paths.handler_lock())).transpose()
}

/// Starts the process for the session's own command, before its end is recorded. It waits until this one is gone, and runs
/// the command only if the end stands in the journal by then.
pub(super) fn start_last(paths: &SessionPaths, announced: Option<&SharedLock>) -> io::Result<()> {
    let Some(lock) = announced else { return Ok(()) };
    let mut command = std::process::Command::new(own_program()?);
    let number = hand(&mut command, lock.file());
    command
        .arg0("pleach")
        .arg(COMMAND)
        .arg(paths.dir())
        .arg(format!("--lock={number}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0);
    let mut child = command.spawn()?;
    // Its other end closes when this process ends, however it does.
    std::mem::forget(child.stdin.take());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::fixture::{preparing, retried, spec, state_after, success, task_id};
    use crate::session::{Settlement, WorktreeIntent};
    use crate::task::FailureReason;

    fn event(id: &str, error: Option<&str>) -> EventKind {
        EventKind::TaskHandled {
            task: task_id(id),
            error: error.map(str::to_owned),
        }
    }

    #[test]
    fn what_is_settled_is_handled_once_and_before_the_end() {
        let mut spec = spec(&["a", "b", "c"]);
        spec.tasks[0].options.on_done = Some("true".into());
        spec.tasks[1].options.output_file = Some("/out/b".into());
        let done = [success("a"), success("b"), success("c")].concat();
        let state = state_after(&spec, &done);
        assert_eq!(
            due(&spec, &state),
            [Action::Handle { task: 0 }, Action::Handle { task: 1 }]
        );
        assert!(!are_done(&spec, &state));
        assert!(are_done(&spec, &state_after(&spec, &[preparing("a")])));
        assert_eq!(handled(&state, 0, None), Some(event("a", None)));
        let state = state_after(
            &spec,
            &[&done[..], &[event("a", None), event("b", Some("no room"))]].concat(),
        );
        assert!(due(&spec, &state).is_empty() && are_done(&spec, &state));
        assert_eq!(state.tasks[1].warnings, ["no room"]);
        assert_eq!(handled(&state, 0, None), None);
    }

    #[test]
    fn a_task_that_is_settled_again_is_handled_again() {
        let mut spec = spec(&["a"]);
        spec.tasks[0].options.on_done = Some("true".into());
        let settlement = Settlement {
            worktree: WorktreeIntent::None,
            ..Settlement::failed(FailureReason::Provisioning, "no room")
        };
        let settled = crate::session::fixture::settled("a", settlement);
        let mut events = vec![preparing("a"), settled.clone(), event("a", None)];
        assert!(are_done(&spec, &state_after(&spec, &events)));
        events.push(retried("a"));
        let state = state_after(&spec, &events);
        assert!(are_done(&spec, &state) && handled(&state, 0, None).is_none());
        events.extend([preparing("a"), settled]);
        assert_eq!(due(&spec, &state_after(&spec, &events)), [Action::Handle { task: 0 }]);
    }

    #[test]
    fn an_answer_replaces_a_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let answer = dir.path().join("answer");
        fs::write(&answer, "new").unwrap();
        let to = dir.path().join("deep/er/out.txt");
        write_answer(&answer, &to).unwrap();
        write_answer(&answer, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "new");
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o600, 0o600);
        // A link is replaced, and what it points to stays.
        let (kept, link) = (dir.path().join("kept"), dir.path().join("link"));
        fs::write(&kept, "old").unwrap();
        std::os::unix::fs::symlink(&kept, &link).unwrap();
        write_answer(&answer, &link).unwrap();
        assert_eq!(fs::read_to_string(&kept).unwrap(), "old");
        for (to, said) in [
            (dir.path().to_owned(), "no file"),
            ("/dev/null".into(), "no file"),
            (answer.join("x"), ""),
        ] {
            let error = write_answer(&answer, &to).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        assert_eq!(fs::read_dir(to.parent().unwrap()).unwrap().count(), 1);
    }
}
