//! Who works on the repository needs some open files at once. libgit2 takes a file that it cannot open for one that is not
//! there: work would be judged by what could not be seen. So nobody begins without enough of them, all at work together.

use std::sync::{Condvar, Mutex, PoisonError};

use super::decide::Short;
use crate::store::{FILES_OF_ONE, Shortage, free_files};

/// Counts those at work.
#[derive(Default)]
pub(super) struct Files {
    at_work: Mutex<u64>,
    one_less: Condvar,
}

/// The right to work; it ends when it is dropped.
pub(super) struct Turn<'f>(&'f Files);

impl Files {
    /// Waits while others at work need the files; what is lacking when nobody else is at work.
    pub(super) fn turn(&self) -> Result<Turn<'_>, Short> {
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let free = free_files().unwrap_or(u64::MAX);
            // Those at work may have opened theirs, or be about to.
            if free / FILES_OF_ONE > *at_work {
                *at_work += 1;
                return Ok(Turn(self));
            }
            if *at_work == 0 {
                return Err(Short {
                    of: Shortage::Files,
                    error: format!("the supervisor may open only {free} more (ulimit -n)"),
                });
            }
            at_work = self.one_less.wait(at_work).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.at_work.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.one_less.notify_one();
    }
}
