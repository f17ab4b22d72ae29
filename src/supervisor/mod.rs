//! The detached process of a running session: it schedules, records, provisions and settles.
//!
//! `launch` starts it (called by `pleach run`, and by `resume` for a session that had one before: then `recover` says
//! what the end of that one meant), `main` is the process itself. One loop orders everything: inputs come
//! through one channel, `decide` (pure) turns each into events and actions, `record` makes the events durable, and
//! only then does `act` carry the actions out. While the journal is being written more inputs gather: they share the
//! next fsync. It prints nothing but to its own log.

mod act;
mod attempt;
mod decide;
mod launch;
mod record;
mod recover;
mod request;
mod runner_request;
mod takeover;

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

pub use launch::{AGAIN, COMMAND, LaunchError, launch};
pub use request::{GoOn, Stop, ask_to_go_on, ask_to_stop, left_behind};
pub use runner_request::runner_request;

use act::Hands;
use decide::{Action, Input, decide, finish, go_on, schedule};
use record::Recorder;
use recover::recover;

use crate::git::{self, Drivers, Git, GitError};
use crate::process::{ProcessIdentity, take_stdin};
use crate::session::{EventKind, SessionEnd, SessionError, TaskState};
use crate::store::lock::Lock;
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
    let lock = Lock::inherited(take_stdin().map_err(SupervisorError::io("cannot take over the lock"))?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(SupervisorError::io("cannot start"))?;
    let result = runtime.block_on(async {
        // Caught before anybody is told that this process is ready; what came with a terminal is not its affair.
        let caught = |kind| signal(kind).map_err(SupervisorError::io("cannot catch signals"));
        let _hangup = caught(SignalKind::hangup())?;
        let stops = [caught(SignalKind::terminate())?, caught(SignalKind::interrupt())?];
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
    let mut file = lock.file();
    file.set_len(0)?;
    file.write_all(&serde_json::to_vec(&ProcessIdentity::current())?)?;
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
    /// The filter and merge drivers in git's configuration, or why they are not known.
    filters: Result<Drivers, WorktreeError>,
    /// The supervisor that worked on it before.
    before: Option<ProcessIdentity>,
}

/// Writes down that this process works on the session.
fn begin(paths: &SessionPaths) -> Result<Begun, SupervisorError> {
    let mut recorder = Recorder::open(paths)?;
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
    let asked = request::wanted(paths);
    for (_, wanted) in &asked {
        for event in go_on(&recorder.state, wanted) {
            recorder.add(event)?;
        }
    }
    if before.is_some() || !asked.is_empty() {
        recorder.commit()?;
    }
    for (path, _) in asked {
        // Whoever resumes the session removes what is left of this.
        let _ = fs::remove_file(path);
    }
    Ok(Begun {
        recorder,
        filters: filters.map_err(WorktreeError::from),
        before,
    })
}

async fn supervise(
    paths: &SessionPaths,
    begun: Begun,
    signals: [tokio::signal::unix::Signal; 2],
) -> Result<(), SupervisorError> {
    let Begun {
        mut recorder,
        filters,
        before,
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
            recorder.add(EventKind::SessionEnded {
                end: SessionEnd::Error,
                error: Some(e.to_string()),
            })?;
            return recorder.commit();
        }
    };
    let mut hands = Hands::new(paths.clone(), recorder.spec.clone(), shop, sender.clone());
    let mut batch: Vec<Input> = Vec::new();
    if before.is_none() {
        hands.look_at_checkout();
    } else {
        let (happened, actions) = recover(&recorder.state, |task, attempt| {
            let id = &recorder.spec.tasks[task].id;
            takeover::look(&paths.attempt(id.as_ref(), attempt.number), before.as_ref())
        });
        batch = happened;
        // They rely on what an earlier supervisor has made durable.
        for action in actions {
            hands.act(action, &recorder.state);
        }
    }
    // Before any task starts: one of them may be to start none.
    request::take_up_all(paths, &sender);
    while let Ok(input) = inputs.try_recv() {
        batch.push(input);
    }
    request::watch(paths, sender.clone());
    forward_signals(signals, sender);
    loop {
        let actions = take_in(&mut recorder, batch.drain(..))?;
        recorder.commit()?;
        for action in actions {
            hands.act(action, &recorder.state);
        }
        if recorder.state.end.is_some() {
            return Ok(());
        }
        let flush = recorder.status_due();
        tokio::select! {
            input = inputs.recv() => batch.extend(input),
            () = sleep_until(flush.unwrap_or_else(far)), if flush.is_some() => {}
        }
        while let Ok(input) = inputs.try_recv() {
            batch.push(input);
        }
    }
}

/// Turns inputs into events in memory, and gives the actions to carry out once these are durable.
fn take_in(recorder: &mut Recorder, inputs: impl Iterator<Item = Input>) -> Result<Vec<Action>, SupervisorError> {
    let mut actions = Vec::new();
    for input in inputs {
        let (events, then) = decide(&recorder.spec, &recorder.state, input);
        for event in events {
            recorder.add(event)?;
        }
        actions.extend(then);
    }
    let (events, then) = schedule(&recorder.spec, &recorder.state);
    actions.extend(then);
    for event in events.into_iter().chain(finish(&recorder.state)) {
        recorder.add(event)?;
    }
    Ok(actions)
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
        &format!("refs/pleach/{}/base", recorder.spec.session_id),
        &repository.base.commit,
    )?;
    Ok(Some(Workshop {
        session: recorder.spec.session_id,
        place: repository.place.clone(),
        worktrees: repository.worktrees.clone(),
        identity: repository.identity.clone(),
        drivers: recorder.state.filters.clone().unwrap_or_default(),
        checkout: worktree::choose_checkout(&opened, &Git::bare(repository.place.origin()), &repository.base.commit)?,
    }))
}

/// SIGTERM and SIGINT are requests to stop: a machine that shuts down sends them.
fn forward_signals(signals: [tokio::signal::unix::Signal; 2], sender: mpsc::UnboundedSender<Input>) {
    for mut signal in signals {
        let sender = sender.clone();
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                let _ = sender.send(Input::StopAsked { now: false });
            }
        });
    }
}

fn far() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}
