//! A terminal of its own for a command: a pseudo-terminal, and an emulator that knows what is shown on it.
//!
//! The command is a job of a shell that is the first process of the terminal, as with a user: Ctrl-C and Ctrl-Z are
//! typed, and the terminal is still there when the command has ended. What is written is followed draw by draw, and a
//! check can look at the screen after each of them.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::io::write;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcgetpgrp, tcsetwinsize};

use super::PATIENCE;

/// What stands at the end of each draw that is meant to be seen at once.
const DRAWN: &[u8] = b"\x1b[?2026l";
/// The shell. What it tells the test comes as titles of the terminal, which are not shown; a stopped job goes on when a
/// line is typed.
const SHELL: &str = r#"
"$@"; code=$?
while [ $code = 147 ] || [ $code = 148 ]; do
    printf '\033]0;stopped\007'; read -r line
    fg >/dev/null; code=$?
done
printf '\033]0;ended %d\007' $code; read -r line"#;
const ENDED: &[u8] = b"\x1b]0;ended ";
const STOPPED: &[u8] = b"\x1b]0;stopped\x07";
const NO_WRAP: &[u8] = b"\x1b[?7l";
const WRAP: &[u8] = b"\x1b[?7h";
/// Whoever runs the tests may ignore some, as `nohup` does; no shell can change that for its jobs.
const DEFAULT_SIGNALS: &str = "--default-signal=HUP,INT,QUIT,TSTP";
/// How many lines that scrolled away are kept.
const SCROLLBACK: usize = 10_000;

pub const CTRL_C: &str = "\x03";
pub const CTRL_Z: &str = "\x1a";

/// A command on a terminal.
pub struct Terminal {
    shell: Child,
    master: OwnedFd,
    screen: Arc<(Mutex<Screen>, Condvar)>,
}

struct Screen {
    parser: vt100::Parser,
    sequence: Sequence,
    /// Whether a line that is full goes on in the next one.
    wraps: bool,
    /// All that was written.
    raw: Vec<u8>,
    begun: Instant,
    /// When so much of it had been written.
    moments: Vec<(Duration, usize)>,
    /// The exit code of the command.
    ended: Option<i32>,
    /// How often it was stopped.
    stopped: usize,
    /// What the check found first.
    complaint: Option<String>,
}

/// In what the bytes that are written stand.
#[derive(Clone, Copy)]
enum Sequence {
    None,
    /// After the byte that begins every other.
    Escape,
    Control,
    Title,
}

/// How a command on a terminal ended, and what it left there.
#[derive(Debug)]
pub struct Left {
    /// The exit code as a shell gives it.
    pub code: i32,
    /// All lines, those that scrolled away first.
    pub text: String,
    pub raw: String,
    /// When, since the start, so many bytes of it had been written.
    pub moments: Vec<(Duration, usize)>,
}

impl Terminal {
    /// Starts a command on a terminal of so many columns and lines.
    pub fn start(command: &Command, size: (u16, u16)) -> Self {
        Self::start_checked(command, size, |_| Ok(()))
    }

    /// The same; `check` gets the text of the screen after every draw, and what it finds fails the test.
    pub fn start_checked(
        command: &Command,
        size: (u16, u16),
        check: impl Fn(&str) -> Result<(), String> + Send + 'static,
    ) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("open a terminal");
        grantpt(&master).expect("grant the terminal");
        unlockpt(&master).expect("unlock the terminal");
        let name = ptsname(&master, Vec::new()).expect("the terminal's name");
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NOCTTY.bits().cast_signed())
            .open(name.to_str().expect("a path in UTF-8"))
            .expect("open the terminal's other side");
        set_size(&master, size);
        let end = || Stdio::from(slave.try_clone().expect("clone a descriptor"));
        let mut on_terminal = Command::new("setsid");
        on_terminal
            .args(["--ctty", "env", DEFAULT_SIGNALS, "sh", "-mc", SHELL, "sh"])
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .env("TERM", "xterm-256color")
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .stdin(end())
            .stdout(end())
            .stderr(end());
        if let Some(directory) = command.get_current_dir() {
            on_terminal.current_dir(directory);
        }
        let shell = on_terminal.spawn().expect("start a command on a terminal");
        let screen = Screen {
            parser: vt100::Parser::new(cells(size.1), cells(size.0), SCROLLBACK),
            sequence: Sequence::None,
            wraps: true,
            raw: Vec::new(),
            begun: Instant::now(),
            moments: Vec::new(),
            ended: None,
            stopped: 0,
            complaint: None,
        };
        let terminal = Self {
            shell,
            master,
            screen: Arc::new((Mutex::new(screen), Condvar::new())),
        };
        terminal.read(check);
        terminal
    }

    /// Follows what is written, on a thread.
    fn read(&self, check: impl Fn(&str) -> Result<(), String> + Send + 'static) {
        let mut output = File::from(self.master.try_clone().expect("clone a descriptor"));
        let shared = Arc::clone(&self.screen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let read = output.read(&mut buffer).unwrap_or(0);
                let mut screen = lock(&shared.0);
                screen.take(&buffer[..read], &check);
                shared.1.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
    }

    /// Types.
    pub fn send(&self, keys: &str) {
        let written = write(&self.master, keys.as_bytes()).expect("type");
        assert_eq!(written, keys.len());
    }

    /// Makes the terminal so many columns wide and lines high.
    pub fn resize(&self, size: (u16, u16)) {
        let mut screen = lock(&self.screen.0);
        screen.parser.screen_mut().set_size(cells(size.1), cells(size.0));
        set_size(&self.master, size);
    }

    /// Forgets what scrolled away.
    pub fn forget_scrolled(&self) {
        lock(&self.screen.0).parser.screen_mut().clear_scrollback();
    }

    /// Waits until the screen is as it should be, and gives its text.
    #[track_caller]
    pub fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        self.wait(what, |screen| is_so(&screen.text())).text()
    }

    /// Waits until a text is on the screen.
    #[track_caller]
    pub fn until_shown(&self, text: &str) -> String {
        self.until(text, |screen| screen.contains(text))
    }

    /// The text of the screen at this moment.
    pub fn text(&self) -> String {
        lock(&self.screen.0).text()
    }

    /// All lines, those that scrolled away first.
    pub fn whole(&self) -> String {
        lock(&self.screen.0).whole()
    }

    /// How many lines have scrolled away.
    pub fn scrolled(&self) -> usize {
        let mut screen = lock(&self.screen.0);
        screen.parser.screen_mut().scrollback_len()
    }

    /// Whether the cursor can be seen.
    pub fn cursor_is_shown(&self) -> bool {
        !lock(&self.screen.0).parser.screen().hide_cursor()
    }

    /// Whether what is typed can be seen.
    pub fn echoes(&self) -> bool {
        let modes = tcgetattr(&self.master).expect("read the terminal's modes");
        modes.local_modes.contains(LocalModes::ECHO)
    }

    /// The process of the command, while it runs in the foreground.
    pub fn pid(&self) -> Pid {
        tcgetpgrp(&self.master).expect("the terminal's foreground")
    }

    /// Sends the command a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("send a signal");
    }

    /// Closes the terminal: when its first process ends, the system takes it from all others, and tells them.
    pub fn hang_up(mut self) {
        self.shell.kill().expect("kill the shell");
        self.shell.wait().expect("wait for the shell");
    }

    /// Waits until the command was stopped so many times. It must have left the terminal as it was.
    #[track_caller]
    pub fn until_stopped(&self, times: usize) {
        drop(self.wait("it stops", |screen| screen.stopped == times));
        self.is_given_back();
    }

    /// Waits until the command has ended. It must have left the terminal as it was, and the check found nothing.
    #[track_caller]
    pub fn end(self) -> Left {
        let code = {
            let screen = self.wait("it ends", |screen| screen.ended.is_some());
            assert_eq!(screen.complaint, None);
            screen.ended.expect("an exit code")
        };
        self.is_given_back();
        let text = self.whole();
        let screen = lock(&self.screen.0);
        Left {
            code,
            text,
            raw: String::from_utf8_lossy(&screen.raw).into_owned(),
            moments: screen.moments.clone(),
        }
    }

    #[track_caller]
    fn is_given_back(&self) {
        assert!(self.echoes(), "what is typed cannot be seen any more");
        assert!(self.cursor_is_shown(), "the cursor stays hidden");
    }

    #[track_caller]
    fn wait(&self, what: &str, is_so: impl Fn(&Screen) -> bool) -> MutexGuard<'_, Screen> {
        let deadline = Instant::now() + PATIENCE;
        let mut screen = lock(&self.screen.0);
        while !is_so(&screen) {
            let left = deadline.saturating_duration_since(Instant::now());
            let ended = screen.ended.is_some();
            assert!(!left.is_zero() && !ended, "in vain: {what}\n{}", screen.whole());
            let waited = self.screen.1.wait_timeout(screen, left);
            screen = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        screen
    }
}

impl Drop for Terminal {
    /// Ends the shell, and what a failed test left running in it.
    fn drop(&mut self) {
        if let Ok(job) = tcgetpgrp(&self.master) {
            let _ = kill_process(job, Signal::KILL);
        }
        // Not by its pid: that may be somebody else's by now.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

impl Screen {
    fn take(&mut self, bytes: &[u8], check: &impl Fn(&str) -> Result<(), String>) {
        self.moments.push((self.begun.elapsed(), self.raw.len() + bytes.len()));
        for byte in bytes {
            self.raw.push(*byte);
            if !self.is_past_the_edge() {
                self.parser.process(&[*byte]);
            }
            match byte {
                b'l' if self.raw.ends_with(DRAWN) && self.complaint.is_none() => {
                    let text = self.text();
                    self.complaint = check(&text).err().map(|e| format!("{e}\n{text}"));
                }
                0x07 if self.raw.ends_with(STOPPED) => self.stopped += 1,
                0x07 => self.ended = self.ended.or_else(|| exit_code(&self.raw)),
                _ => {}
            }
        }
    }

    /// Whether the last byte is a character that a terminal does not show, because lines are not to be broken and this
    /// one is full: what is drawn while the terminal becomes narrower. The emulator does not know that mode.
    fn is_past_the_edge(&mut self) -> bool {
        let byte = self.raw.last().copied().unwrap_or_default();
        self.sequence = match (self.sequence, byte) {
            (Sequence::None | Sequence::Title, 0x1b) => Sequence::Escape,
            (Sequence::Escape, b'[') => Sequence::Control,
            (Sequence::Escape, b']') => Sequence::Title,
            (Sequence::Escape, _) | (Sequence::Control, b'@'..=b'~') | (Sequence::Title, 0x07) => {
                if self.raw.ends_with(NO_WRAP) || self.raw.ends_with(WRAP) {
                    self.wraps = byte == b'h';
                }
                Sequence::None
            }
            (Sequence::None, 0x20..) if !self.wraps => {
                let screen = self.parser.screen();
                return screen.cursor_position().1 >= screen.size().1.get();
            }
            (state, _) => state,
        };
        false
    }

    fn text(&self) -> String {
        let screen = self.parser.screen();
        trimmed(screen.rows(0, screen.size().1.get()))
    }

    fn whole(&mut self) -> String {
        let screen = self.parser.screen_mut();
        let columns = screen.size().1.get();
        let mut rows = Vec::new();
        for above in (1..=screen.scrollback_len()).rev() {
            screen.set_scrollback(above);
            rows.extend(screen.rows(0, columns).next());
        }
        screen.set_scrollback(0);
        rows.extend(screen.rows(0, columns));
        trimmed(rows.into_iter())
    }
}

/// What the shell said of the command's end, if that is the last thing written.
fn exit_code(raw: &[u8]) -> Option<i32> {
    let at = raw.windows(ENDED.len()).rposition(|part| part == ENDED)?;
    let code = raw.get(at + ENDED.len()..raw.len() - 1)?;
    std::str::from_utf8(code).ok()?.parse().ok()
}

/// Lines without the spaces and the empty lines at their ends.
fn trimmed(rows: impl Iterator<Item = String>) -> String {
    let text: String = rows.map(|row| format!("{}\n", row.trim_end())).collect();
    format!("{}\n", text.trim_end())
}

fn lock(screen: &Mutex<Screen>) -> MutexGuard<'_, Screen> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cells(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).expect("a size")
}

fn set_size(master: &OwnedFd, (columns, lines): (u16, u16)) {
    let size = Winsize {
        ws_row: lines,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(master, size).expect("set the terminal's size");
}
