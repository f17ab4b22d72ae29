//! A terminal for a program that wants one.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{ioctl_tiocsctty, setsid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::spawn::bind_to_parent;

/// The two ends of a terminal.
#[derive(Debug)]
pub struct Terminal {
    /// Ours: what is shown is read from it, what is typed is written to it. It does not block.
    pub keyboard_and_screen: OwnedFd,
    /// The one of the program.
    pub line: File,
}

/// Makes a terminal of this size, in cells.
pub fn open_terminal(rows: u16, columns: u16) -> io::Result<Terminal> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    fcntl_setfd(&ours, FdFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    fcntl_setfl(&ours, fcntl_getfl(&ours)? | OFlags::NONBLOCK)?;
    let name = ptsname(&ours, Vec::new())?;
    let line = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::NOCTTY.bits().cast_signed())
        .open(Path::new(OsStr::from_bytes(name.as_bytes())))?;
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&line, size)?;
    Ok(Terminal {
        keyboard_and_screen: ours,
        line,
    })
}

/// Starts a program on a terminal: in an OS session of its own whose terminal that is. The kernel kills it when the
/// calling *thread* ends (Linux), as with [`spawn_bound_to_parent`](super::spawn_bound_to_parent).
pub fn spawn_bound_on_terminal(command: &mut Command, line: &File) -> io::Result<Child> {
    command
        .stdin(line.try_clone()?)
        .stdout(line.try_clone()?)
        .stderr(line.try_clone()?);
    let take = || {
        setsid()?;
        // It is standard input by now.
        Ok(ioctl_tiocsctty(rustix::stdio::stdin())?)
    };
    // SAFETY: between fork and exec only setsid and ioctl are called, which are async-signal-safe, and nothing is
    // allocated: their errors are plain numbers.
    #[expect(
        unsafe_code,
        reason = "only the leader of a session can take a terminal, before its program begins"
    )]
    unsafe {
        bind_to_parent(command).pre_exec(take);
    }
    let child = command.spawn();
    // Else this process would hold the terminal open as long as the command is there.
    command.stdin(std::process::Stdio::null());
    command.stdout(std::process::Stdio::null());
    command.stderr(std::process::Stdio::null());
    child
}
