//! Whether a worktree is to be set up before an attempt: it was never, or it was made anew since.

use std::io;

use crate::session::{TaskRecord, read_json};
use crate::store::atomic::{self, Durability};
use crate::store::paths::AttemptPaths;
use crate::task::AttemptOutcome;

/// Writes down that the worktree was made anew before an attempt that is about to begin.
pub(super) fn mark_new(next: &AttemptPaths) -> io::Result<()> {
    atomic::private_dir(next.dir())?;
    atomic::write(&next.new_worktree(), b"", Durability::Synced)
}

/// Whether the worktree is to be set up before the attempt with this number.
pub(super) fn is_due(record: &TaskRecord, number: u32, paths: impl Fn(u32) -> AttemptPaths) -> bool {
    let is_new = |n: &u32| paths(*n).new_worktree().exists();
    match (1..=number).rev().find(is_new) {
        None => !record.is_set_up,
        Some(new) => {
            let has_set_up = |n| read_json::<AttemptOutcome>(&paths(n).outcome()).is_ok_and(|o| o.is_set_up);
            !(new..number).any(has_set_up)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::fixture::{good_attempt, spec};

    #[test]
    fn a_worktree_that_was_made_anew_is_set_up_anew() {
        let dir = tempfile::tempdir().unwrap();
        let paths = |n: u32| AttemptPaths::new(dir.path().join(n.to_string()));
        let mut record = crate::session::SessionState::new(&spec(&["a"])).tasks.remove(0);
        assert!(is_due(&record, 1, paths));
        record.is_set_up = true;
        assert!(!is_due(&record, 2, paths));
        mark_new(&paths(3)).unwrap();
        // Until an attempt has done it.
        for n in 3..6 {
            assert!(is_due(&record, n, paths), "{n}");
        }
        atomic::write_json(&paths(5).outcome(), &good_attempt(), Durability::Fast).unwrap();
        assert!(!is_due(&record, 6, paths));
    }
}
