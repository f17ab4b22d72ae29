//! What others ask of a supervisor: a file each in the session's `requests` directory.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;

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

#[derive(Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
enum Request {
    Stop(Stop),
}

/// Leaves a request for the supervisor of a session. It takes it up at once; the caller sees by the journal.
pub fn ask_to_stop(paths: &SessionPaths, stop: Stop) -> io::Result<()> {
    let path = paths.requests().join(format!("{}.json", Uuid::new_v4()));
    atomic::write_json(&path, &Request::Stop(stop), Durability::Fast)
}

/// Takes up requests as long as the process lives, on a thread of its own.
pub(super) fn watch(paths: &SessionPaths, sender: UnboundedSender<Input>) -> io::Result<()> {
    let dir = paths.requests();
    let take_up_all = move || {
        let watch = DirectoryWatch::new(&dir);
        while take_up(&dir, &sender) {
            watch.wait(LOOK_AGAIN);
        }
    };
    thread::Builder::new().spawn(take_up_all).map(drop)
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
            Err(e) => Input::Warning(format!("a request could not be read: {}: {e}", path.display())),
        };
        let _ = fs::remove_file(&path);
        if sender.send(input).is_err() {
            return false;
        }
    }
    !sender.is_closed()
}
