//! What others ask of a supervisor: a file each in the session's `requests` directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use super::decide::Input;
use crate::store::atomic::{self, Durability};
use crate::store::paths::SessionPaths;
use crate::store::watch::{DirectoryWatch, LOOK_AGAIN};

/// A request to stop the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Without a time of grace.
    pub now: bool,
}

/// What is changed for a session that goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GoOn {
    /// Tasks that were settled without success wait again.
    pub retry_failed: bool,
    /// Another limit of the cost, in US dollars.
    pub max_cost_usd: Option<f64>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
enum Request {
    Stop(Stop),
    GoOn(GoOn),
}

/// Leaves a request for the supervisor of a session. It takes it up at once; the caller sees by the journal.
pub fn ask_to_stop(paths: &SessionPaths, stop: Stop) -> io::Result<()> {
    let path = paths.requests().join(format!("{}.json", Uuid::new_v4()));
    atomic::write_json(&path, &Request::Stop(stop), Durability::Fast)
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
pub(super) fn watch(paths: &SessionPaths, sender: UnboundedSender<Input>) {
    let dir = paths.requests();
    std::thread::spawn(move || {
        let watch = DirectoryWatch::new(&dir);
        while take_up(&dir, &sender) {
            watch.wait(LOOK_AGAIN);
        }
    });
}

/// False when nobody listens any more.
fn take_up(dir: &Path, sender: &UnboundedSender<Input>) -> bool {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let text = fs::read(&path).unwrap_or_default();
        let input = match serde_json::from_slice(&text) {
            Ok(Request::Stop(Stop { now })) => Input::StopAsked { now },
            // Those are for one that begins.
            Ok(Request::GoOn(_)) => continue,
            Err(e) => Input::Warning(format!("a request could not be read: {}: {e}", path.display())),
        };
        let _ = fs::remove_file(&path);
        if sender.send(input).is_err() {
            return false;
        }
    }
    !sender.is_closed()
}
