//! What others ask of a supervisor: a file each in the session's `requests` directory.
//!
//! A file stays until what it asks for is in the journal. One that a supervisor has left behind when it was killed is
//! of no account if it was about the whole session, which somebody has wanted to go on since; that some of its tasks are
//! to stop still holds.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use super::decide::Input;
use crate::store::Shortage;
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

/// The requests that nobody has taken up, and that are of no account to another supervisor.
pub fn left_behind(paths: &SessionPaths) -> Vec<PathBuf> {
    let is_void = |path: &PathBuf| !matches!(read(path), Ok(Request::StopTasks { .. }));
    all(paths).into_iter().filter(is_void).collect()
}

fn all(paths: &SessionPaths) -> Vec<PathBuf> {
    let entries = fs::read_dir(paths.requests()).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect()
}

fn read(path: &Path) -> io::Result<Request> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// What is wanted of a supervisor that begins. The files that say so are to be removed once that is durable.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Tasks that were to stop before.
    pub stops: Vec<Stop>,
    /// What is changed.
    pub changes: Vec<GoOn>,
    /// All of the files.
    pub files: Vec<PathBuf>,
}

/// Reads what is wanted of a supervisor that begins.
pub(super) fn wanted(paths: &SessionPaths) -> Wanted {
    let mut wanted = Wanted::default();
    for path in all(paths) {
        match read(&path) {
            Ok(Request::GoOn(change)) => wanted.changes.push(change),
            Ok(request @ Request::StopTasks { .. }) => wanted.stops.extend(request.stop()),
            _ => continue,
        }
        wanted.files.push(path);
    }
    wanted
}

/// Takes up requests, each once.
pub(super) struct TakingUp {
    paths: SessionPaths,
    sender: UnboundedSender<Input>,
    /// Those that were taken up and are there still.
    taken: HashSet<PathBuf>,
}

impl TakingUp {
    pub(super) fn new(paths: &SessionPaths, sender: UnboundedSender<Input>) -> Self {
        Self {
            paths: paths.clone(),
            sender,
            taken: HashSet::new(),
        }
    }

    /// Takes up what is there. False when nobody listens any more.
    pub(super) fn all(&mut self) -> bool {
        let found = all(&self.paths);
        self.taken.retain(|path| found.contains(path));
        for path in found {
            if self.taken.contains(&path) {
                continue;
            }
            let input = match read(&path).map(Request::stop) {
                Ok(Some(stop)) => Input::StopAsked(stop),
                // Those are for one that begins.
                Ok(None) => continue,
                Err(e) if Shortage::of(&e).is_some() || e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => Input::Warning(format!("a request could not be read: {}: {e}", path.display())),
            };
            self.taken.insert(path.clone());
            for input in [input, Input::TakenUp(path)] {
                if self.sender.send(input).is_err() {
                    return false;
                }
            }
        }
        !self.sender.is_closed()
    }

    /// Takes up what comes as long as the process lives, on a thread of its own.
    pub(super) fn watch(mut self) -> io::Result<()> {
        let take_up_what_comes = move || {
            let watch = DirectoryWatch::new(&self.paths.requests());
            while self.all() {
                watch.wait(LOOK_AGAIN);
            }
        };
        thread::Builder::new().spawn(take_up_what_comes).map(drop)
    }
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
