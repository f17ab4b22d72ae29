//! Stays with a session and shows it, for `run --sync`, `watch` and `status --watch`: one loop for the changes of the
//! session, the clocks of the display, and the signals.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::follow::{Look, Looks};
use super::output;
use super::signals::{Caught, Signals, Wake, suspend};
use crate::error::Error;
use crate::session::{SessionSpec, SessionState, StatusDocument};
use crate::store::paths::SessionPaths;
use crate::store::watch::{DirectoryWatch, LOOK_AGAIN};

/// The shortest time between two looks: many changes at once are shown together.
const PACE: Duration = Duration::from_millis(100);

/// What a session is shown on.
pub(super) trait Display {
    /// Shows what happened since the last time, and where the session stands.
    fn show(&mut self, look: &Look, state: &SessionState) -> io::Result<()>;
    /// Takes away what stands on the terminal, until it is shown again.
    fn clear(&mut self);
    /// Says with the next look that something else failed.
    fn warn(&mut self, text: String);
}

/// How it ended.
pub(super) enum Attended {
    /// The session has ended, or its supervisor is gone.
    Ended(Box<StatusDocument>),
    /// A signal ended the display, and the session goes on.
    Left(Caught),
    /// Nobody reads what is printed any more.
    Unread,
}

/// A session that is attended.
pub(super) struct Attendance {
    looks: Looks,
    wakes: Receiver<Wake>,
    _watch: DirectoryWatch,
    /// The first signal that asked to end, if that is not to end the display.
    pub asked: Option<Caught>,
}

impl Attendance {
    /// Begins; `act` is called with each signal, on another thread.
    pub(super) fn begin(
        paths: &SessionPaths,
        signals: Signals,
        act: impl FnMut(Caught) -> Result<(), Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let looks = Looks::open(paths)?;
        let (sender, wakes) = channel();
        let changed = sender.clone();
        signals.forward(sender, act);
        // Before the first look, so that nothing falls between the two.
        let watch = DirectoryWatch::calling(paths.dir(), move || {
            let _ = changed.send(Wake::Changed);
        });
        Ok(Self {
            looks,
            wakes,
            _watch: watch,
            asked: None,
        })
    }

    /// What the session was asked to do.
    pub(super) fn spec(&self) -> &SessionSpec {
        self.looks.spec()
    }

    /// Shows the session until it has ended, or until a signal for which `leaves` holds.
    pub(super) fn stay(
        &mut self,
        display: &mut impl Display,
        leaves: impl Fn(Caught) -> bool,
    ) -> Result<Attended, Error> {
        loop {
            let look = self.looks.look()?;
            let looked = Instant::now();
            match display.show(&look, self.looks.state()) {
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(Attended::Unread),
                other => other.map_err(output)?,
            }
            if look.is_over {
                // One that came at the end is still the cause.
                while let Ok(wake) = self.wakes.try_recv() {
                    self.note(&wake);
                }
                return Ok(Attended::Ended(Box::new(look.doc)));
            }
            if let Some(caught) = self.wait(looked, display, &leaves) {
                return Ok(Attended::Left(caught));
            }
        }
    }

    /// Until it is time to look again; gives the signal that ends the display.
    fn wait(
        &mut self,
        looked: Instant,
        display: &mut impl Display,
        leaves: &impl Fn(Caught) -> bool,
    ) -> Option<Caught> {
        let mut until = looked + LOOK_AGAIN;
        loop {
            let wake = match self.wakes.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(wake) => wake,
                // The thread of the signals holds a sender for ever.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            };
            self.note(&wake);
            match wake {
                Wake::Changed => until = until.min(looked + PACE),
                Wake::Caught(caught) if leaves(caught) => return Some(caught),
                Wake::Caught(Caught::Suspend) => {
                    display.clear();
                    suspend();
                    return None;
                }
                Wake::Caught(_) => return None,
                Wake::Failed(text) => {
                    display.warn(text);
                    return None;
                }
            }
        }
    }

    /// The signal that has come meanwhile to end this process.
    pub(super) fn caught(&mut self) -> Option<Caught> {
        self.wakes.try_iter().find_map(|wake| match wake {
            Wake::Caught(caught) if caught.leaves() => Some(caught),
            Wake::Caught(Caught::Suspend) => {
                suspend();
                None
            }
            _ => None,
        })
    }

    fn note(&mut self, wake: &Wake) {
        if let Wake::Caught(caught) = wake
            && caught.ends()
        {
            self.asked.get_or_insert(*caught);
        }
    }
}
