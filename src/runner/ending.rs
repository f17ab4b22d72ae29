//! How a runner is asked to end its agent before its time: by a signal, and a file that says how long the agent may take.
//!
//! The one who asks writes `ending.json` and then sends SIGTERM; SIGQUIT alone means at once. Whoever may signal the
//! runner can do that, also a supervisor that has not started it. A runner that is asked again only ever hurries.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::store::atomic::{self, Durability};
use crate::store::paths::AttemptPaths;

/// How an agent is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Killed.
    AtOnce,
    /// Asked to end, and killed when it has not after this time.
    Within {
        /// In milliseconds.
        grace_ms: u64,
    },
}

/// `ending.json`
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    schema: u32,
    grace_ms: u64,
}

/// Asks the runner of an attempt to end its agent: `signal` sends one to that process, and to no other. A file that
/// cannot be written, on a full disk, is an error after the signal was sent: then the time is the one that the runner was
/// started with.
pub fn ask_to_end(paths: &AttemptPaths, how: Ending, signal: impl FnOnce(Signal) -> io::Result<()>) -> io::Result<()> {
    let (written, which) = match how {
        Ending::AtOnce => (Ok(()), Signal::QUIT),
        Ending::Within { grace_ms } => {
            let request = Request { schema: 1, grace_ms };
            let written = atomic::write_json(&paths.ending(), &request, Durability::Fast);
            (written, Signal::TERM)
        }
    };
    signal(which)?;
    written
}

/// The time of grace that was asked for last; `usual` when nobody said one that can be read.
pub(super) fn asked_grace(paths: &AttemptPaths, usual: Duration) -> Duration {
    let request = fs::read(paths.ending()).ok();
    let request: Option<Request> = request.and_then(|text| serde_json::from_slice(&text).ok());
    request.map_or(usual, |r| Duration::from_millis(r.grace_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_time_holds_unless_another_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let paths = AttemptPaths::new(dir.path());
        let usual = Duration::from_secs(10);
        assert_eq!(asked_grace(&paths, usual), usual);
        for (text, expected) in [
            ("{\"schema\":1,\"grace_ms\":250}", Duration::from_millis(250)),
            ("{\"schema\":1", usual),
            ("", usual),
        ] {
            fs::write(paths.ending(), text).unwrap();
            assert_eq!(asked_grace(&paths, usual), expected, "{text}");
        }
    }
}
