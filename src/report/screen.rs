//! The lines at the bottom of a terminal that are drawn again and again.
//!
//! Between two draws the cursor rests on the first of them. So the next draw begins there, whatever the terminal did
//! with the lines in the meantime: one that breaks lines anew when it becomes narrower keeps the cursor where they
//! begin, and none of them has to be counted. A draw is one write: what scrolls above, the lines, and the way back up.
//!
//! While the lines stand the cursor is hidden, and what is typed is not shown (it would stand between the lines). All
//! that is given back by `clear`, and when the screen is dropped.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::Duration;

use console::Term;
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, QueueSelector, tcflush, tcgetattr, tcsetattr};

use crate::process::is_in_foreground;

/// A terminal that supports it shows what comes between the two at once.
const BEGIN: &str = "\x1b[?2026h";
const END: &str = "\x1b[?2026l";
const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";
/// Off while lines are drawn: a character that is wider than was thought then breaks no line.
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";
/// The whole line, so that a terminal also forgets that it had gone on in the next one.
const CLEAR_LINE: &str = "\x1b[2K";
const CLEAR_BELOW: &str = "\x1b[J";
/// The same from the beginning of a line. From the first one of a terminal tmux takes it for the clearing of the whole
/// screen, and keeps what stood there in its history: so it begins at the second column.
const CLEAR_FROM_HERE: &str = "\x1b[2K\x1b[C\x1b[J\r";

/// Which terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A terminal on which lines stand.
#[derive(Debug)]
pub(super) struct Screen {
    side: Side,
    standing: bool,
    /// How it treated what is typed before.
    modes: Option<LocalModes>,
}

impl Screen {
    /// Nothing when this is no terminal, or one that only prints (`TERM=dumb`, or no `TERM`).
    pub(super) fn on(side: Side) -> Option<Self> {
        let terminal = match side {
            Side::Out => io::stdout().is_terminal(),
            Side::Err => io::stderr().is_terminal(),
        };
        (terminal && !console::is_dumb()).then_some(Self {
            side,
            standing: false,
            modes: None,
        })
    }

    /// Columns and lines of the terminal.
    pub(super) fn size(&self) -> (usize, usize) {
        let term = match self.side {
            Side::Out => Term::stdout(),
            Side::Err => Term::stderr(),
        };
        let (lines, columns) = term.size();
        (columns.into(), lines.into())
    }

    /// Draws `lines` in the place of those that stand, with what is to stay `above` them. None of either may be wider
    /// than the terminal. In the background of a shell, whose terminal it then is, only what is to stay is written.
    pub(super) fn draw(&mut self, above: &[String], lines: &[String]) -> io::Result<()> {
        let in_foreground = self.in_foreground();
        if !in_foreground {
            // What stood is the shell's since it stopped this process.
            (self.standing, self.modes) = (false, None);
        }
        if lines.is_empty() || !in_foreground {
            self.clear();
            let text: String = above.iter().flat_map(|line| [line, "\r\n"]).collect();
            return self.write(&text);
        }
        if !self.standing {
            self.modes = self.set_modes();
            self.standing = true;
        }
        self.write(&drawn(above, lines))
    }

    /// Takes the lines away, and gives the terminal back.
    pub(super) fn clear(&mut self) {
        if !self.standing {
            return;
        }
        self.standing = false;
        if !self.in_foreground() {
            return;
        }
        // If the terminal has gone there is nothing to be cleared.
        let _ = self.write(&format!("\r{CLEAR_FROM_HERE}{SHOW_CURSOR}"));
        if let Some(before) = self.modes.take() {
            self.restore_modes(before);
        }
    }

    /// Changes how the terminal treats what is typed: it is not shown, and Ctrl-C and Ctrl-Z do not throw away output
    /// that is on its way, which would leave half a draw. Gives what was changed.
    fn set_modes(&self) -> Option<LocalModes> {
        // In a pipeline the terminal is set up by another program (a pager), and stays as it is.
        if !(io::stdout().is_terminal() && io::stderr().is_terminal()) {
            return None;
        }
        let before = tcgetattr(self.fd()).ok()?.local_modes;
        self.change_modes(before.difference(LocalModes::ECHO).union(LocalModes::NOFLSH));
        Some(before)
    }

    /// Changes them back. What was typed unseen is forgotten: the shell would take it for a command.
    fn restore_modes(&self, before: LocalModes) {
        let _ = tcflush(self.fd(), QueueSelector::IFlush);
        self.change_modes(before);
    }

    fn change_modes(&self, wanted: LocalModes) {
        const OURS: LocalModes = LocalModes::ECHO.union(LocalModes::NOFLSH);
        if let Ok(mut modes) = tcgetattr(self.fd()) {
            modes.local_modes = modes.local_modes.difference(OURS).union(wanted.intersection(OURS));
            // Else it stays as it is: drawing works all the same.
            let _ = tcsetattr(self.fd(), OptionalActions::Now, &modes);
        }
    }

    /// Whether the terminal is ours at this moment; also when nobody shares it out.
    fn in_foreground(&self) -> bool {
        is_in_foreground(self.fd())
    }

    fn fd(&self) -> BorrowedFd<'static> {
        match self.side {
            Side::Out => rustix::stdio::stdout(),
            Side::Err => rustix::stdio::stderr(),
        }
    }

    /// Past the buffer of standard output, which would break it into several writes.
    fn write(&self, text: &str) -> io::Result<()> {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match rustix::io::write(self.fd(), rest) {
                Ok(written) => rest = &rest[written..],
                Err(Errno::INTR) => {}
                // Another program that has the same terminal made it so.
                Err(Errno::AGAIN) => thread::sleep(Duration::from_millis(5)),
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.clear();
    }
}

/// All that is written for one draw of at least one line.
fn drawn(above: &[String], lines: &[String]) -> String {
    let mut text = format!("{BEGIN}{HIDE_CURSOR}{NO_WRAP}\r");
    for line in above {
        text.push_str(&format!("{CLEAR_LINE}{line}\r\n"));
    }
    text.push_str(CLEAR_LINE);
    text.push_str(&lines.join(&format!("\r\n{CLEAR_LINE}")));
    text.push_str(CLEAR_BELOW);
    text.push('\r');
    if lines.len() > 1 {
        text.push_str(&format!("\x1b[{}A", lines.len() - 1));
    }
    text.push_str(WRAP);
    text.push_str(END);
    text
}

/// Whether standard output and standard error are the same terminal.
pub(super) fn is_shared() -> bool {
    let device = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).map(|stat| stat.st_rdev);
    let (out, err) = (io::stdout(), io::stderr());
    out.is_terminal() && err.is_terminal() && device(out.as_fd()).ok() == device(err.as_fd()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|t| (*t).to_owned()).collect()
    }

    /// What a terminal shows after these draws, and where its cursor is.
    fn shown(draws: &[(&[&str], &[&str])]) -> (String, (u16, u16)) {
        let mut parser = vt100::Parser::new(6.try_into().unwrap(), 20.try_into().unwrap(), 100);
        for (above, frame) in draws {
            parser.process(drawn(&lines(above), &lines(frame)).as_bytes());
        }
        (parser.screen().contents(), parser.screen().cursor_position())
    }

    #[test]
    fn a_draw_takes_the_place_of_the_one_before() {
        let (text, cursor) = shown(&[(&[], &["a long line", "b", "c"]), (&[], &["d", "e"])]);
        assert_eq!((text.as_str(), cursor), ("d\ne", (0, 0)));
        let (text, cursor) = shown(&[(&["1"], &["a", "b"]), (&["2", "3"], &["a", "c"])]);
        assert_eq!((text.as_str(), cursor), ("1\n2\n3\na\nc", (3, 0)));
        let (text, cursor) = shown(&[(&["1", "2", "3", "4"], &["a", "b", "c"])]);
        assert_eq!((text.as_str(), cursor), ("2\n3\n4\na\nb\nc", (3, 0)));
    }
}
