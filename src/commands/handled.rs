//! Waits for the user's command for the end of a session, for `run --sync`, `resume --sync` and `wait`.
//!
//! Whoever runs that command, or is going to, holds a lock, which the kernel drops when there is nobody any more.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::handler::{HandlerOutcome, ROLE};
use crate::report;
use crate::session::{SessionError, SessionSpec, SessionState, read_json, recorded};
use crate::store::lock::is_shared_held;
use crate::store::paths::SessionPaths;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// After this it is said what is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Waits for the command of a session that has ended, until `leaves` gives something, which is given back. What failed of
/// the command is said, and is no matter of the tasks.
pub(super) fn await_handler<T>(
    paths: &SessionPaths,
    mut leaves: impl FnMut() -> Option<T>,
) -> Result<Option<T>, Error> {
    let path = paths.handler_lock();
    let held = || {
        is_shared_held(&path).map_err(|source| SessionError::Unreadable {
            path: path.clone(),
            source,
        })
    };
    let began = Instant::now();
    let mut is_said = false;
    while held()? {
        if let Some(left) = leaves() {
            return Ok(Some(left));
        }
        if !is_said && began.elapsed() > PATIENCE {
            report::note("waiting for the on_done command");
            is_said = true;
        }
        sleep(PAUSE);
    }
    let recorded = recorded(paths)?;
    if let Some(problem) = problem(paths, &recorded.spec, &recorded.state) {
        report::warning(&problem);
    }
    Ok(None)
}

/// Whether this process is a part of that very command: it would wait for itself.
pub(super) fn is_of_handler(paths: &SessionPaths) -> bool {
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|set| set == value);
    let of_this = std::env::var("PLEACH_SESSION").is_ok_and(|id| paths.dir().to_string_lossy().ends_with(&id));
    is(ROLE, "session") && of_this
}

/// What went wrong with it.
fn problem(paths: &SessionPaths, spec: &SessionSpec, state: &SessionState) -> Option<String> {
    spec.options.on_done.as_ref()?;
    let (_, ended_ms, _) = state.end.as_ref()?;
    match read_json::<HandlerOutcome>(&paths.handler_outcome()) {
        Ok(outcome) if outcome.of_ms == *ended_ms => outcome.error.map(|error| error.replacen("its", "the", 1)),
        _ => Some("the on_done command of the session was killed before its end, or never began".into()),
    }
}
