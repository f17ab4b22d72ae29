//! What goes without being asked about: what is past its time.

use std::path::Path;

use super::age::Time;
use super::{discarded, trash};
use crate::git::Place;
use crate::store::lock::Lock;
use crate::worktree::{repository_lock, trashed};

/// Empties the trash of what is past its time, and lets go of the commits of sessions that were discarded long ago.
/// Gives what went wrong, a line each; it is tried again by the next who comes by.
pub fn in_passing(place: &Place, worktrees: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    match trashed(worktrees) {
        Ok(entries) => {
            for path in entries {
                let done = trash::time_of(&path).and_then(|time| match time {
                    Time::Over => trash::delete(&path),
                    Time::Unknown => trash::begin_anew(&path),
                    Time::Runs => Ok(()),
                });
                wrong.extend(done.err().map(|e| format!("the trash {}: {e}", path.display())));
            }
        }
        Err(e) => wrong.push(e.to_string()),
    }
    match discarded::all(&place.common_dir) {
        Ok(files) => wrong.extend(files.iter().filter_map(|path| let_go(place, path).err())),
        Err(e) => wrong.push(format!("the discarded sessions: {e}")),
    }
    wrong
}

fn let_go(place: &Place, path: &Path) -> Result<(), String> {
    match discarded::time_of(path).map_err(|e| e.to_string())?.1 {
        Time::Runs => Ok(()),
        Time::Unknown => discarded::begin_anew(&place.common_dir, path).map_err(|e| e.to_string()),
        Time::Over => {
            let _lock = Lock::acquire(&repository_lock(place)).map_err(|e| e.to_string())?;
            discarded::forget(&place.common_dir, path).map_err(|e| e.to_string())
        }
    }
}
