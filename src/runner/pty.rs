//! An agent on a terminal of its own: starting it there, typing, and reading its screen.
//!
//! What it prints goes through the emulator of [`Screen`]; what is typed is its prompt, if it reads that from standard
//! input, and what the terminal answers. Both streams of the agent are the terminal.

use std::fs::File;
use std::io;
use std::process::{Child, Command};

use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::sync::mpsc::{Sender, channel};

use super::screen::{COLUMNS, ROWS, Screen, TERM};
use crate::process::{open_terminal, spawn_bound_on_terminal};

/// So many bytes of output are shown at once: one of them can stand for many cells.
const PIECE: usize = 256;

/// An agent that was started on a terminal.
pub(super) struct Started {
    /// Its process.
    pub child: Child,
    /// What it prints.
    pub out: pipe::Receiver,
    /// Its screen.
    pub terminal: OnTerminal,
    /// Its end of the terminal. As long as this is open the terminal does not hang up, whoever else has closed it.
    pub line: File,
}

/// The screen of an agent, and somebody who types.
pub(super) struct OnTerminal {
    screen: Screen,
    typist: Sender<Vec<u8>>,
}

/// Starts an agent on a terminal, where `prompt` is typed, and then the key Enter; nothing if it is empty.
pub(super) fn start(command: &mut Command, prompt: &str) -> io::Result<Started> {
    let terminal = open_terminal(ROWS, COLUMNS)?;
    command.env("TERM", TERM).env_remove("LINES").env_remove("COLUMNS");
    let child = spawn_bound_on_terminal(command, &terminal.line)?;
    let out = pipe::Receiver::from_owned_fd_unchecked(terminal.keyboard_and_screen.try_clone()?)?;
    let mut keyboard = pipe::Sender::from_owned_fd_unchecked(terminal.keyboard_and_screen)?;
    // Whoever does not read what is typed gets no more answers than these.
    let (typist, mut typed) = channel::<Vec<u8>>(16);
    let mut first = prompt.as_bytes().to_vec();
    if !first.is_empty() {
        first.push(b'\r');
    }
    tokio::spawn(async move {
        // It ends with the terminal, or when nobody types any more.
        let mut next = Some(first);
        while let Some(bytes) = next {
            keyboard.write_all(&bytes).await?;
            next = typed.recv().await;
        }
        io::Result::Ok(())
    });
    Ok(Started {
        child,
        out,
        terminal: OnTerminal {
            screen: Screen::default(),
            typist,
        },
        line: terminal.line,
    })
}

impl OnTerminal {
    /// Shows what was printed, and gives what leaves the screen, a piece of text at a time.
    pub(super) fn show(&mut self, bytes: &[u8], mut take: impl FnMut(&[u8])) {
        for piece in bytes.chunks(PIECE) {
            take(self.screen.push(piece).as_bytes());
        }
        let answers = self.screen.answers();
        if !answers.is_empty() {
            let _ = self.typist.try_send(answers);
        }
    }

    /// Gives what is left on the screen.
    pub(super) fn finish(&mut self) -> String {
        self.screen.finish()
    }
}
