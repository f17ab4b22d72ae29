//! Waits until something changes in a directory.
//!
//! With inotify or kqueue where they work; and because they may not (a network file system, no watches left), a
//! wait never lasts longer than a second before its caller looks again.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

/// The longest time between two looks.
pub const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Whether a directory can be watched now; if not, why.
pub fn can_watch(dir: &Path) -> Result<(), notify::Error> {
    notify::recommended_watcher(|_| {})?.watch(dir, RecursiveMode::NonRecursive)
}

/// A watch on one directory, without those below it.
pub struct DirectoryWatch {
    // Dropping it ends the watch.
    watcher: Option<RecommendedWatcher>,
    changes: Option<Receiver<()>>,
}

impl DirectoryWatch {
    /// Begins to watch. When the system cannot, waits are for [`LOOK_AGAIN`] each.
    pub fn new(dir: &Path) -> Self {
        let (sender, changes) = channel();
        let watch = Self::calling(dir, move || {
            let _ = sender.send(());
        });
        Self {
            changes: watch.watcher.is_some().then_some(changes),
            ..watch
        }
    }

    /// Begins to watch for one who waits for other things too: `changed` is called on another thread. When the system
    /// cannot, it never is.
    pub fn calling(dir: &Path, changed: impl Fn() + Send + 'static) -> Self {
        let on_event = move |event: notify::Result<notify::Event>| {
            // Reading is no change, and our own reading would wake us for ever.
            let read = |e: &notify::Event| {
                matches!(e.kind, notify::EventKind::Access(access)
                    if access != notify::event::AccessKind::Close(notify::event::AccessMode::Write))
            };
            if !event.as_ref().is_ok_and(read) {
                changed();
            }
        };
        let watcher = notify::recommended_watcher(on_event)
            .and_then(|mut w| w.watch(dir, RecursiveMode::NonRecursive).map(|()| w));
        Self {
            watcher: watcher.ok(),
            changes: None,
        }
    }

    /// Watches a file too, also when it is written to under a name in another directory. When the system cannot, its
    /// changes are seen at the next look.
    pub fn and_file(&mut self, path: &Path) {
        if let Some(watcher) = &mut self.watcher {
            let _ = watcher.watch(path, RecursiveMode::NonRecursive);
        }
    }

    /// Returns after a change, at the latest after `limit` or [`LOOK_AGAIN`], whichever is shorter.
    pub fn wait(&self, limit: Duration) {
        let limit = limit.min(LOOK_AGAIN);
        match &self.changes {
            None => std::thread::sleep(limit),
            Some(changes) => match changes.recv_timeout(limit) {
                Ok(()) => while changes.try_recv().is_ok() {},
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(limit),
            },
        }
    }
}
