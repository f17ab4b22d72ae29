//! Starting processes: the supervisor without a terminal, an agent that ends with its runner.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::setsid;

/// The program that runs now, for starting it again. On Linux the very file that is running, even when an upgrade
/// has put another one in its place meanwhile.
pub fn own_program() -> io::Result<OsString> {
    #[cfg(target_os = "linux")]
    return Ok("/proc/self/exe".into());
    #[cfg(not(target_os = "linux"))]
    return std::env::current_exe().map(Into::into);
}

/// Keeps every open file but the three standard ones from the children that are started after this. Files of our own
/// are kept from them anyway; this is for those that this process was started with, such as a pipe that somebody reads
/// to its end, or a lock.
pub fn keep_files_from_children() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    let open = "/proc/self/fd";
    #[cfg(not(target_os = "linux"))]
    let open = "/dev/fd";
    for entry in std::fs::read_dir(open)? {
        let Some(number) = entry?.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else {
            continue;
        };
        if number > 2 {
            // SAFETY: it was open a moment ago. If another thread has closed it since, or opened another file under
            // its number, the flag is refused, or is what that file has already: nothing of ours goes to children.
            #[expect(unsafe_code, reason = "files that were inherited are known by number alone")]
            let file = unsafe { BorrowedFd::borrow_raw(number) };
            let _ = fcntl_setfd(file, FdFlags::CLOEXEC);
        }
    }
    Ok(())
}

/// Starts a program as the leader of an OS session of its own, so that no terminal can signal it: not even between its
/// start and its first line, when it could do nothing about a Ctrl-C.
pub fn spawn_without_terminal(command: &mut Command) -> io::Result<Child> {
    let leave = || Ok(setsid().map(|_| ())?);
    // SAFETY: between fork and exec only setsid is called, which is async-signal-safe, and nothing is allocated: its
    // error is a plain number.
    #[expect(unsafe_code, reason = "a signal may come before the program could leave by itself")]
    unsafe {
        command.pre_exec(leave);
    }
    command.spawn()
}

/// Takes what the parent gave as standard input, and puts `/dev/null` there, so that no child inherits it.
pub fn take_stdin() -> io::Result<File> {
    let taken = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    rustix::stdio::dup2_stdin(&File::open("/dev/null")?)?;
    Ok(taken.into())
}

/// Lets the child that `command` starts, and no other one, inherit an open file under the number that it has here, which
/// is given back. The child [takes](take_handed) it by that number.
pub fn hand(command: &mut Command, file: &File) -> i32 {
    let number = file.as_raw_fd();
    let keep = move || {
        // SAFETY: between fork and exec nothing is closed that this process has open; the caller keeps `file` until then.
        #[expect(unsafe_code, reason = "a reference to it could not go into the child")]
        let file = unsafe { BorrowedFd::borrow_raw(number) };
        Ok(fcntl_setfd(file, FdFlags::empty())?)
    };
    // SAFETY: only fcntl is called, which is async-signal-safe, and nothing is allocated: its error is a plain number.
    #[expect(
        unsafe_code,
        reason = "before the fork every child that is started meanwhile would inherit it"
    )]
    unsafe {
        command.pre_exec(keep);
    }
    number
}

/// Takes a file that was [handed](hand) to this process, and keeps it from its own children.
pub fn take_handed(number: i32) -> io::Result<File> {
    if number <= 2 {
        return Err(io::Error::other(format!("{number} is the number of a standard file")));
    }
    // SAFETY: the parent has opened it for this process alone, which has opened nothing yet that could have its number;
    // if nothing is open under it the next line fails, and closing it changes nothing.
    #[expect(unsafe_code, reason = "a file that was inherited is known by its number alone")]
    let file = unsafe { File::from_raw_fd(number) };
    if let Err(e) = fcntl_setfd(&file, FdFlags::CLOEXEC) {
        // Nobody's: it must not be closed either.
        let _ = file.into_raw_fd();
        return Err(e.into());
    }
    Ok(file)
}

/// Lets orphans among this process's descendants become its children, where the system can do that (Linux).
pub fn become_subreaper() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// Lets orphans go where they would go without [`become_subreaper`].
pub fn resign_as_subreaper() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(None)?;
    Ok(())
}

/// Starts a program in a process group of its own that the kernel kills when the calling *thread* ends (Linux): call
/// it from the main thread.
pub fn spawn_bound_to_parent(command: &mut Command) -> io::Result<Child> {
    bind_to_parent(command.process_group(0)).spawn()
}

/// The same in an OS session of its own: what asks on the terminal is refused, instead of being stopped for ever.
pub fn spawn_bound_without_terminal(command: &mut Command) -> io::Result<Child> {
    spawn_without_terminal(bind_to_parent(command))
}

pub(super) fn bind_to_parent(command: &mut Command) -> &mut Command {
    #[cfg(target_os = "linux")]
    {
        let parent = rustix::process::getpid();
        let bind = move || {
            use rustix::process::{Signal, getppid, set_parent_process_death_signal};
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // The parent may have ended before the line above: nobody would ever end this process then.
            if getppid() != Some(parent) {
                return Err(rustix::io::Errno::SRCH.into());
            }
            Ok(())
        };
        // SAFETY: between fork and exec only prctl and getppid are called, which are async-signal-safe, and nothing
        // is allocated: both kinds of error are plain numbers.
        #[expect(
            unsafe_code,
            reason = "the parent-death signal can only be set between fork and exec"
        )]
        unsafe {
            command.pre_exec(bind);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use rustix::process::{Pid, getpgid, getsid};

    use super::*;

    #[test]
    fn no_terminal_reaches_what_is_started_without_one() {
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped());
        let mut child = spawn_without_terminal(&mut command).unwrap();
        // It may not have come to its first line yet.
        let pid = Pid::from_child(&child);
        assert_eq!((getsid(Some(pid)), getpgid(Some(pid))), (Ok(pid), Ok(pid)));
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    }
}
