//! What a shell's job control means for this process.

use std::os::fd::BorrowedFd;

use rustix::process::{Signal, getpid};
use rustix::termios::tcgetpgrp;

use super::table::relations;

/// Whether a shell would continue this process if it were stopped. Without one (the first process of a terminal, a
/// service) the system does not stop it on Ctrl-Z: somebody of the same session outside of the job has to be the
/// parent of it (POSIX calls any other group orphaned).
pub fn can_be_continued() -> bool {
    let Some(own) = relations(getpid().as_raw_nonzero().get()) else {
        return false;
    };
    let mut above = own.parent;
    while let Some(parent) = relations(above) {
        if parent.group != own.group {
            return parent.session == own.session;
        }
        above = parent.parent;
    }
    false
}

/// Whether a terminal is this process's at this moment; also when nobody shares it out, or it is not known.
pub fn is_in_foreground(terminal: BorrowedFd<'_>) -> bool {
    let own = relations(getpid().as_raw_nonzero().get()).map(|own| own.group);
    let foreground = tcgetpgrp(terminal).ok().map(|group| group.as_raw_nonzero().get());
    own.zip(foreground).is_none_or(|(own, foreground)| own == foreground)
}

/// Whether this process was started with a signal ignored (as `nohup` does with SIGHUP). Only Linux tells.
pub fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored(&status).is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}

/// The set of ignored signals in `/proc/PID/status`.
fn ignored(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_with_whom_it_stands() {
        let own = relations(std::process::id() as i32).unwrap();
        assert_eq!(own.parent, std::os::unix::process::parent_id() as i32);
        assert_eq!(relations(0), None);
    }

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        assert_eq!(ignored("Name:\tx\nSigIgn:\t0000000000001001\n"), Some(0x1001));
        assert_eq!(ignored("Name:\tx\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_rust_program_ignores_sigpipe_and_nothing_fatal() {
        assert!(is_ignored(Signal::PIPE));
        assert!(!is_ignored(Signal::SEGV));
    }
}
