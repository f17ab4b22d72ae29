//! The signals of the commands that stay (`run --sync`, `watch` and `status --watch`), or that start a program on the
//! terminal (`diff`, `open --shell`).
//!
//! They come on a thread of their own, so that they are acted on even while the display waits for a terminal or a
//! reader that takes nothing.

use std::future::poll_fn;
use std::process::exit;
use std::sync::mpsc::Sender;
use std::task::Poll;
use std::thread;

use rustix::process::{Signal as Posix, getpid, kill_process};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::Error;
use crate::error::exit as code;
use crate::process;

/// A signal that was caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caught {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// The terminal has gone.
    HangUp,
    /// Ctrl-\.
    Quit,
    /// Ctrl-Z.
    Suspend,
    /// It goes on after it was stopped, or the terminal has another size: what is shown has to be drawn again.
    Redraw,
}

impl Caught {
    /// The exit code of a process that ends because of it.
    pub(super) fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => code::INTERRUPTED,
            Self::Terminate => code::TERMINATED,
            Self::HangUp => code::HUNG_UP,
            Self::Quit => code::QUIT,
            Self::Suspend | Self::Redraw => code::DONE,
        }
    }

    /// Whether it ends a display that only looks on.
    pub(super) fn leaves(self) -> bool {
        !matches!(self, Self::Suspend | Self::Redraw)
    }

    /// Whether it asks to end, and somebody is there to be told.
    pub(super) fn ends(self) -> bool {
        matches!(self, Self::Interrupt | Self::Terminate)
    }
}

/// From here on Ctrl-C does not end this process: it is for the program that has the terminal, which gets it too.
pub(super) fn leave_interrupts() -> Result<(), Error> {
    let failed = Error::SignalsNotCaught;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let _in_runtime = runtime.enter();
    // Once it was caught it stays so, and what this process starts gets it as usual.
    signal(SignalKind::interrupt()).map(drop).map_err(failed)
}

/// What a command that stays waits for.
#[derive(Debug)]
pub(super) enum Wake {
    /// The session's files changed.
    Changed,
    /// A signal came.
    Caught(Caught),
    /// What was done because of a signal failed.
    Failed(String),
}

/// The signals, caught.
pub(super) struct Signals {
    runtime: Runtime,
    streams: Vec<(Caught, Signal)>,
}

impl Signals {
    /// From here on they do not end this process. One that was ignored (`nohup`) still is.
    pub(super) fn catch() -> Result<Self, Error> {
        let failed = Error::SignalsNotCaught;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let in_runtime = runtime.enter();
        let mut streams = Vec::new();
        for (caught, kind, number) in [
            (Caught::Interrupt, SignalKind::interrupt(), None),
            (Caught::Terminate, SignalKind::terminate(), None),
            (Caught::HangUp, SignalKind::hangup(), Some(Posix::HUP)),
            (Caught::Quit, SignalKind::quit(), Some(Posix::QUIT)),
            (
                Caught::Suspend,
                SignalKind::from_raw(Posix::TSTP.as_raw()),
                Some(Posix::TSTP),
            ),
            (Caught::Redraw, SignalKind::from_raw(Posix::CONT.as_raw()), None),
            (Caught::Redraw, SignalKind::window_change(), None),
        ] {
            if number.is_none_or(|number| !process::is_ignored(number)) {
                streams.push((caught, signal(kind).map_err(failed)?));
            }
        }
        drop(in_runtime);
        Ok(Self { runtime, streams })
    }

    /// Hands each signal on, also those that came before this; then `act` is called with it.
    pub(super) fn forward(
        self,
        sender: Sender<Wake>,
        mut act: impl FnMut(Caught) -> Result<(), Error> + Send + 'static,
    ) {
        let Self { runtime, mut streams } = self;
        thread::spawn(move || {
            loop {
                let caught = runtime.block_on(poll_fn(|context| {
                    for (caught, stream) in &mut streams {
                        if stream.poll_recv(context).is_ready() {
                            return Poll::Ready(*caught);
                        }
                    }
                    Poll::Pending
                }));
                // Before anything is done because of it: whoever sees the effect knows the cause.
                let _ = sender.send(Wake::Caught(caught));
                if let Err(e) = act(caught) {
                    let _ = sender.send(Wake::Failed(format!("{e}\n hint: {}", e.hint())));
                }
            }
        });
    }
}

/// For a command that a signal ends: the second one ends it even if the display cannot go on.
pub(super) fn end_at_the_second() -> impl FnMut(Caught) -> Result<(), Error> {
    let mut first = true;
    move |caught| {
        if caught.ends() && !std::mem::take(&mut first) {
            exit(caught.exit_code().into());
        }
        Ok(())
    }
}

/// Stops this process as Ctrl-Z would have, and returns when it goes on. Where nobody could let it go on, nothing
/// happens, as the system has it.
pub(super) fn suspend() {
    if process::can_be_continued() {
        // The shell continues the whole job.
        let _ = kill_process(getpid(), Posix::STOP);
    }
}
