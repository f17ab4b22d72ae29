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
        // All: the one that is woken may give up, and nobody would wake the others.
        self.0.one_less.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_waits_is_told_when_nobody_is_at_work_any_more() {
        let files = Arc::new(Files::default());
        // As many as nobody has files for.
        *files.at_work.lock().unwrap() = u64::MAX;
        let (sender, turned) = channel();
        for _ in 0..3 {
            let (files, sender) = (files.clone(), sender.clone());
            thread::spawn(move || {
                // Those that were given up by others are not to be waited for.
                let turn = files.turn();
                sender.send(()).unwrap();
                std::mem::forget(turn);
            });
        }
        thread::sleep(Duration::from_millis(50));
        *files.at_work.lock().unwrap() = 1;
        drop(Turn(&files));
        for _ in 0..3 {
            turned.recv_timeout(Duration::from_secs(60)).unwrap();
        }
    }
}
