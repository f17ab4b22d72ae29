//! The detached process of a running session: it schedules, records, provisions and settles.
//!
//! `launch` starts it (called by `pleach run`, and by `resume` for a session that had one before: then `recover` says
//! what the end of that one meant), `main` is the process itself. One loop orders everything: inputs come
//! through one channel, `decide` (pure) turns each into events and actions, `record` makes the events durable, and
//! only then does `act` carry the actions out. While the journal is being written more inputs gather: they share the
//! next fsync. It prints nothing but to its own log.
//!
//! It is a subreaper, as its runners are: what one of them leaves behind when it is killed comes to this process.

mod act;
mod answers;
mod attempt;
mod back_off;
mod combine;
mod decide;
mod files;
mod gate;
mod handlers;
mod keeping;
mod launch;
mod moved;
mod places;
mod record;
mod recover;
mod request;
mod runner_request;
mod session_log;
mod setting_up;
mod settle;
mod takeover;
mod told;
mod waits;

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::debug;

pub use gate::would_wait;
pub use launch::{AGAIN, COMMAND, LaunchError, launch};
pub use places::check as check_places;
pub use request::{GoOn, Stop, ask_to_go_on, ask_to_stop, left_behind};
pub use runner_request::{Beginning, runner_request};

use act::Hands;
use decide::{
    Action, Input, decide, finish, go_on, instead_of_settling, never_started, schedule, skipped, stop_before,
};
use gate::Gate;
use record::Recorder;
use recover::recover;
use request::TakingUp;
use waits::Waits;

use crate::git::{self, Drivers, Git, GitError};
use crate::process::{ProcessIdentity, become_subreaper, reap_orphans, take_stdin};
use crate::session::{EventKind, SessionEnd, SessionError, TaskState};
use crate::store::failpoint;
use crate::store::lock::{Lock, SharedLock};
use crate::store::now_ms;
use crate::store::paths::SessionPaths;
use crate::worktree::{self, Workshop, WorktreeError};

/// What the supervisor says on its standard output when it holds the session.
const READY: &[u8] = b"ready\n";

/// Why a supervisor cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// The session cannot be read.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Anything else of the system: most of all that the journal cannot be written.
    #[error("{doing}: {source}")]
    Io {
        /// As a clause: "cannot ...".
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl SupervisorError {
    fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}

/// The process: works on the session in `dir` until nothing is left to do; `again` says that another has before. The
/// session's lock is its standard input, a pipe to whoever started it its standard output. It has no terminal.
pub fn main(dir: &Path, again: bool) -> Result<(), SupervisorError> {
    let paths = SessionPaths::new(dir);
    // What a runner that is killed leaves behind comes to this process.
    become_subreaper().map_err(SupervisorError::io("cannot become a subreaper"))?;
    let lock = Lock::inherited(take_stdin().map_err(SupervisorError::io("cannot take over the lock"))?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // The system may refuse new ones later: one is always there, and takes what waits.
        .thread_keep_alive(Duration::from_secs(u32::MAX.into()))
        .build()
        .map_err(SupervisorError::io("cannot start"))?;
    let result = runtime.block_on(async {
        // Caught before anybody is told that this process is ready; what came with a terminal is not its affair.
        let caught = |kind| signal(kind).map_err(SupervisorError::io("cannot catch signals"));
        let _hangup = caught(SignalKind::hangup())?;
        tokio::spawn(bury_orphans(caught(SignalKind::child())?));
        let stops = [caught(SignalKind::terminate())?, caught(SignalKind::interrupt())?];
        let _ = spawn_blocking(|| ()).await;
        let ready = || say_ready(&lock).map_err(SupervisorError::io("cannot say that it is ready"));
        if !again {
            ready()?;
        }
        let begun = begin(&paths)?;
        if again {
            // Until then what is written down says that the session has ended, or was interrupted.
            ready()?;
        }
        supervise(&paths, begun, stops).await
    });
    // Nothing that still waits in a thread may hold the lock any longer.
    runtime.shutdown_background();
    drop(lock);
    result
}

/// Writes down who holds the lock, and tells whoever waits.
fn say_ready(lock: &Lock) -> io::Result<()> {
    lock.write_holder(&ProcessIdentity::current())?;
    let mut out = io::stdout();
    out.write_all(READY)?;
    out.flush()?;
    // From here on it goes to the log, and the pipe is closed.
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok(())
}

/// A session that this process has begun to work on.
struct Begun {
    recorder: Recorder,
    /// The drivers in git's configuration, or why they are not known.
    filters: Result<Drivers, WorktreeError>,
    /// The supervisor that worked on it before.
    before: Option<ProcessIdentity>,
    /// That the command for the end of the session is to come.
    last: Option<SharedLock>,
}

/// Writes down that this process works on the session.
fn begin(paths: &SessionPaths) -> Result<Begun, SupervisorError> {
    let mut recorder = Recorder::open(paths)?;
    let last = handlers::announce(paths, &recorder.spec);
    let last = last.map_err(SupervisorError::io("cannot take the lock of the handler"))?;
    let before = recorder.state.supervisor.clone();
    let filters = match &recorder.spec.repository {
        Some(repository) => git::drivers(&Git::bare(repository.place.origin())),
        None => Ok(Drivers::new()),
    };
    recorder.add(EventKind::SessionStarted {
        supervisor: ProcessIdentity::current(),
        filters: filters.as_ref().cloned().unwrap_or_default(),
    })?;
    if recorder.torn {
        let text = "the last line of the journal was torn, and was cut off".into();
        recorder.add(EventKind::Warned { task: None, text })?;
    }
    let wanted = request::wanted(paths);
    // Before what is tried again: that was not there to be stopped.
    for stop in &wanted.stops {
        for event in stop_before(&recorder.spec, &recorder.state, stop) {
            recorder.add(event)?;
        }
    }
    for change in &wanted.changes {
        for event in go_on(&recorder.spec, &recorder.state, change) {
            recorder.add(event)?;
        }
    }
    let is_durable = (before.is_some() || !wanted.files.is_empty()) && recorder.commit()?;
    for path in wanted.files.iter().filter(|_| is_durable) {
        // Whoever resumes the session removes what is left of this.
        let _ = fs::remove_file(path);
    }
    Ok(Begun {
        recorder,
        filters: filters.map_err(WorktreeError::from),
        before,
        last,
    })
}

async fn supervise(paths: &SessionPaths, begun: Begun, signals: [Signal; 2]) -> Result<(), SupervisorError> {
    let Begun {
        mut recorder,
        filters,
        before,
        last,
    } = begun;
    let (sender, mut inputs) = mpsc::unbounded_channel();
    let cleared = match &before {
        Some(_) => clear_locks(&recorder),
        None => Ok(Vec::new()),
    };
    let shop = match filters.and(cleared).and_then(|said| Ok((workshop(&recorder)?, said))) {
        Ok((shop, said)) => {
            for text in said {
                recorder.add(EventKind::Warned { task: None, text })?;
            }
            shop
        }
        Err(e) => {
            let (end, error) = (SessionEnd::Error, Some(e.to_string()));
            add_end(&mut recorder, EventKind::SessionEnded { end, error }, last.as_ref())?;
            return write_the_end(&mut recorder, &mut inputs).await;
        }
    };
    let mut hands = Hands::new(paths.clone(), recorder.spec.clone(), shop, sender.clone());
    let mut gate = Gate::new(&recorder.spec, &recorder.state, paths.dir());
    let mut waits = Waits::default();
    hands.empty_trash();
    let mut batch: Vec<Input> = Vec::new();
    if before.is_none() {
        hands.look_at_checkout();
    } else {
        batch = go_on_from(&mut hands, &mut recorder, paths, before.as_ref())?;
    }
    // Before any task starts: one of them may be to start none.
    let mut requests = TakingUp::new(paths, sender.clone());
    requests.all();
    while let Ok(input) = inputs.try_recv() {
        batch.push(input);
    }
    requests
        .watch()
        .map_err(SupervisorError::io("cannot watch for requests"))?;
    forward_signals(signals, sender);
    let mut held: Vec<Action> = Vec::new();
    loop {
        let timers = (&mut gate, &mut waits);
        held.extend(take_in(&mut recorder, timers, &mut hands, batch.drain(..))?);
        // After all else: with the last task that was stopped before it started the session is at its end.
        let end = finish(&recorder.state).filter(|_| handlers::are_done(&recorder.spec, &recorder.state));
        if let Some(end) = end.filter(|_| !recorder.is_stuck()) {
            add_end(&mut recorder, end, last.as_ref())?;
        }
        let committed = recorder.commit()?;
        warn_of_logs(&mut recorder)?;
        for action in may_be_done(&mut held, committed) {
            hands.act(action, &recorder.state);
        }
        hands.give_places_back(&recorder.state);
        hands.hurry_handlers(&recorder.state);
        if recorder.state.end.is_some() {
            return write_the_end(&mut recorder, &mut inputs).await;
        }
        // They are not asked while nothing can be begun: their time would be over, again and again.
        let timers = gate.due().into_iter().chain(waits.due());
        let due = recorder
            .due()
            .into_iter()
            .chain(timers.filter(|_| !recorder.is_stuck()))
            .min();
        tokio::select! {
            input = inputs.recv() => batch.extend(input),
            () = sleep_until(due.unwrap_or_else(far)), if due.is_some() => {}
        }
        while let Ok(input) = inputs.try_recv() {
            batch.push(input);
        }
    }
}

/// What keeps the log from being written is told: it is wanted by the user.
fn warn_of_logs(recorder: &mut Recorder) -> Result<(), SupervisorError> {
    if recorder.state.end.is_some() {
        return Ok(());
    }
    for text in recorder.problems() {
        recorder.add(EventKind::Warned { task: None, text })?;
    }
    Ok(())
}

/// Takes over what an earlier supervisor has left, and gives what has happened meanwhile.
fn go_on_from(
    hands: &mut Hands,
    recorder: &mut Recorder,
    paths: &SessionPaths,
    before: Option<&ProcessIdentity>,
) -> Result<Vec<Input>, SupervisorError> {
    let (happened, actions) = recover(&recorder.spec, &recorder.state, |task, attempt| {
        let id = &recorder.spec.tasks[task].id;
        takeover::look(&paths.attempt(id.as_ref(), attempt.number), before)
    });
    hands.copy_logs(&recorder.state);
    // They rely on what the earlier one has made durable.
    for action in actions {
        if let Some(action) = or_wait(recorder, action)? {
            hands.act(action, &recorder.state);
        }
    }
    Ok(happened)
}

/// Nothing is left to do but to write that down. Without room for it there is somebody who waits for it; a signal ends
/// that, and the session is interrupted if the journal does not have its end.
async fn write_the_end(
    recorder: &mut Recorder,
    inputs: &mut mpsc::UnboundedReceiver<Input>,
) -> Result<(), SupervisorError> {
    loop {
        recorder.commit()?;
        let due = recorder.due();
        if recorder.is_done() {
            failpoint::passed("ended");
            return Ok(());
        }
        tokio::select! {
            Some(input) = inputs.recv() => if matches!(input, Input::StopAsked(_)) {
                return Ok(());
            },
            () = sleep_until(due.unwrap_or_else(far)) => {}
        }
    }
}

/// The actions that may be carried out now. Without their events being durable only the end of agents: that nobody
/// has to remember. An agent whose start is held back with it does not run.
fn may_be_done(held: &mut Vec<Action>, committed: bool) -> Vec<Action> {
    if committed {
        return std::mem::take(held);
    }
    let starts: Vec<usize> = held
        .iter()
        .filter_map(|a| match a {
            Action::Go { task } => Some(*task),
            _ => None,
        })
        .collect();
    let ends = |action: &mut Action| matches!(action, Action::End { task, .. } if !starts.contains(task));
    held.extract_if(.., ends).collect()
}

/// An action, unless it is to settle a task that waits for another attempt instead: that is recorded then.
fn or_wait(recorder: &mut Recorder, action: Action) -> Result<Option<Action>, SupervisorError> {
    let waits = match &action {
        Action::Settle { task } => instead_of_settling(&recorder.spec, &recorder.state, *task),
        _ => None,
    };
    let Some(waits) = waits else { return Ok(Some(action)) };
    recorder.add(waits)?;
    Ok(None)
}

/// Turns inputs into events in memory, and gives the actions to carry out once these are durable.
fn take_in(
    recorder: &mut Recorder,
    (gate, waits): (&mut Gate, &mut Waits),
    hands: &mut Hands,
    inputs: impl Iterator<Item = Input>,
) -> Result<Vec<Action>, SupervisorError> {
    let mut actions = Vec::new();
    let now = Instant::now();
    for input in inputs {
        debug!(task = input.task(), "{}", input.name());
        gate.notice(&recorder.spec, &recorder.state, &input, now);
        let (events, then) = decide(&recorder.spec, &recorder.state, input);
        for event in events {
            recorder.add(event)?;
        }
        for action in then {
            actions.extend(or_wait(recorder, action)?);
        }
    }
    // Without room for what has happened nothing more is begun.
    if recorder.is_stuck() {
        return Ok(actions);
    }
    let again = gate.settle_again(&recorder.state, now);
    actions.extend(again.into_iter().map(|task| Action::Settle { task }));
    for (events, then) in [
        never_started(&recorder.state),
        waits.look(&recorder.state, now, now_ms()),
    ] {
        actions.extend(then);
        for event in events {
            recorder.add(event)?;
        }
    }
    for event in skipped(&recorder.state) {
        recorder.add(event)?;
    }
    if let Some(event) = gate.look(&recorder.spec, &recorder.state, now) {
        debug!(?event, "the gate decides");
        recorder.add(event)?;
    }
    let (mut events, mut then) = schedule(&recorder.spec, &recorder.state);
    let most = gate.most(&recorder.spec);
    events.truncate(most);
    then.truncate(most);
    for action in &then {
        if let Action::Combine { task } | Action::Provision { task, .. } | Action::Start { task, .. } = action
            && let Some(place) = gate.places.pop()
        {
            hands.keep_place(*task, place);
        }
    }
    actions.extend(then);
    for event in events {
        recorder.add(event)?;
    }
    let due = handlers::due(&recorder.spec, &recorder.state);
    actions.extend(due.into_iter().filter(|action| !hands.is_under_way(action)));
    Ok(actions)
}

/// Adds the end of the session, with somebody who waits for it to run the user's command.
fn add_end(recorder: &mut Recorder, end: EventKind, last: Option<&SharedLock>) -> Result<(), SupervisorError> {
    let paths = recorder.paths().clone();
    if let Err(e) = handlers::start_last(&paths, last) {
        let text = format!("the on_done command of the session could not be run: {e}");
        recorder.add(EventKind::Warned { task: None, text })?;
    }
    recorder.add(end)
}

/// Removes the locks that an earlier supervisor of the session has left in the repository.
fn clear_locks(recorder: &Recorder) -> Result<Vec<String>, WorktreeError> {
    let Some(repository) = &recorder.spec.repository else {
        return Ok(Vec::new());
    };
    let open = (recorder.state.tasks.iter()).filter(|task| !matches!(task.state, TaskState::Pending { site: None }));
    let tasks: Vec<_> = open.map(|task| (&task.id, task.site())).collect();
    worktree::clear_locks(&repository.place, recorder.spec.session_id, &tasks)
}

/// The repository as this session uses it; pins the base.
fn workshop(recorder: &Recorder) -> Result<Option<Workshop>, WorktreeError> {
    let Some(repository) = &recorder.spec.repository else {
        return Ok(None);
    };
    let doing = || format!("cannot open {}", repository.place.common_dir.display());
    let opened = git2::Repository::open(&repository.place.common_dir).map_err(GitError::libgit2(doing()))?;
    git::pin(
        &opened,
        &worktree::base_pin(recorder.spec.session_id),
        &repository.base.commit,
    )?;
    let checkout = worktree::choose_checkout(&opened, &Git::bare(repository.place.origin()), &repository.base.commit)?;
    Ok(Workshop::of(&recorder.spec, &recorder.state, checkout))
}

/// Orphans that come to this process and die stay in the table of processes until it takes notice; it does so some time
/// after a child has died, and not after each of many.
async fn bury_orphans(mut child_died: Signal) {
    /// How long after it.
    const LATER: Duration = Duration::from_secs(5);
    while child_died.recv().await.is_some() {
        sleep(LATER).await;
        let _ = spawn_blocking(|| reap_orphans(None)).await;
    }
}

/// SIGTERM and SIGINT are requests to stop: a machine that shuts down sends them.
fn forward_signals(signals: [Signal; 2], sender: mpsc::UnboundedSender<Input>) {
    for mut signal in signals {
        let sender = sender.clone();
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                let _ = sender.send(Input::StopAsked(Stop::default()));
            }
        });
    }
}

fn far() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}
