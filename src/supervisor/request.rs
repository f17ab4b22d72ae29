//! What others ask of a supervisor: a file each in the session's `requests` directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use super::decide::Input;
use crate::store::atomic::{self, Durability};
use crate::store::paths::SessionPaths;
use crate::store::watch::{DirectoryWatch, LOOK_AGAIN};
use crate::task::TaskId;

/// A request to stop the session, or some of its tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stop {
    /// These tasks only, while the others go on; none is the whole session.
    pub tasks: Option<Vec<TaskId>>,
    /// Without a time of grace.
    pub now: bool,
    /// The time of grace, in milliseconds, instead of the session's own.
    pub grace_ms: Option<u64>,
}

/// What is changed for a session that goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GoOn {
    /// Tasks that were settled without success wait again.
    pub retry_failed: bool,
    /// Another limit of the cost, in US dollars.
    pub max_cost_usd: Option<f64>,
}

/// A request as it stands in its file. That for some tasks has a name of its own: a supervisor of an older version does
/// not know it, and must not take it for one that ends them all.
#[derive(Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
enum Request {
    Stop {
        now: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grace_ms: Option<u64>,
    },
    StopTasks {
        tasks: Vec<TaskId>,
        now: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grace_ms: Option<u64>,
    },
    GoOn(GoOn),
}

impl From<&Stop> for Request {
    fn from(stop: &Stop) -> Self {
        let (now, grace_ms) = (stop.now, stop.grace_ms);
        match stop.tasks.clone() {
            None => Self::Stop { now, grace_ms },
            Some(tasks) => Self::StopTasks { tasks, now, grace_ms },
        }
    }
}

impl Request {
    /// The request to stop that it is, if it is one.
    fn stop(self) -> Option<Stop> {
        let (tasks, now, grace_ms) = match self {
            Self::GoOn(_) => return None,
            Self::Stop { now, grace_ms } => (None, now, grace_ms),
            Self::StopTasks { tasks, now, grace_ms } => (Some(tasks), now, grace_ms),
        };
        Some(Stop { tasks, now, grace_ms })
    }
}

/// Leaves a request for the supervisor of a session. It takes it up at once; the caller sees by the journal.
pub fn ask_to_stop(paths: &SessionPaths, stop: &Stop) -> io::Result<()> {
    let path = paths.requests().join(format!("{}.json", Uuid::new_v4()));
    atomic::write_json(&path, &Request::from(stop), Durability::Fast)
}

/// Leaves word for the supervisor that will take over a session. The caller holds the session's lock.
pub fn ask_to_go_on(paths: &SessionPaths, wanted: GoOn) -> io::Result<()> {
    let path = paths.requests().join(format!("{}.json", Uuid::new_v4()));
    atomic::write_json(&path, &Request::GoOn(wanted), Durability::Fast)
}

/// The requests that nobody has taken up.
pub fn left_behind(paths: &SessionPaths) -> Vec<PathBuf> {
    let entries = fs::read_dir(paths.requests()).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect()
}

/// What is wanted of a supervisor that begins, and the files that say so: to be removed once that is durable.
pub(super) fn wanted(paths: &SessionPaths) -> Vec<(PathBuf, GoOn)> {
    let read = |path: PathBuf| match serde_json::from_slice(&fs::read(&path).ok()?) {
        Ok(Request::GoOn(wanted)) => Some((path, wanted)),
        _ => None,
    };
    left_behind(paths).into_iter().filter_map(read).collect()
}

/// Takes up what is there already.
pub(super) fn take_up_all(paths: &SessionPaths, sender: &UnboundedSender<Input>) {
    take_up(&paths.requests(), sender);
}

/// Takes up requests as long as the process lives, on a thread of its own.
pub(super) fn watch(paths: &SessionPaths, sender: UnboundedSender<Input>) -> io::Result<()> {
    let dir = paths.requests();
    let take_up_what_comes = move || {
        let watch = DirectoryWatch::new(&dir);
        while take_up(&dir, &sender) {
            watch.wait(LOOK_AGAIN);
        }
    };
    thread::Builder::new().spawn(take_up_what_comes).map(drop)
}

/// False when nobody listens any more.
fn take_up(dir: &Path, sender: &UnboundedSender<Input>) -> bool {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let text = fs::read(&path).unwrap_or_default();
        let input = match serde_json::from_slice::<Request>(&text).map(Request::stop) {
            Ok(Some(stop)) => Input::StopAsked(stop),
            // Those are for one that begins.
            Ok(None) => continue,
            Err(e) => Input::Warning(format!("a request could not be read: {}: {e}", path.display())),
        };
        let _ = fs::remove_file(&path);
        if sender.send(input).is_err() {
            return false;
        }
    }
    !sender.is_closed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Stop> {
        serde_json::from_str::<Request>(text).ok()?.stop()
    }

    #[test]
    fn a_request_is_the_same_after_its_way_through_a_file_and_the_older_form_is_read() {
        let tasks = Some(vec![TaskId::parse("a").unwrap(), TaskId::parse("b").unwrap()]);
        for (stop, text) in [
            (Stop::default(), r#"{"request":"stop","now":false}"#),
            (
                Stop {
                    now: true,
                    ..Stop::default()
                },
                r#"{"request":"stop","now":true}"#,
            ),
            (
                Stop {
                    tasks,
                    now: false,
                    grace_ms: Some(500),
                },
                r#"{"request":"stop_tasks","tasks":["a","b"],"now":false,"grace_ms":500}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&Request::from(&stop)).unwrap(), text);
            assert_eq!(read(text), Some(stop));
        }
        assert_eq!(read(r#"{"request":"stop_tasks","now":true}"#), None);
        assert_eq!(read(r#"{"request":"dance"}"#), None);
    }
}
