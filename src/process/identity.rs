//! Which process is meant: a pid alone is given to another one sooner or later.

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::table;

/// A process of one boot of one machine: whoever would signal it later has to find all three parts unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The process id.
    pub pid: i32,
    /// When it started, in clock ticks since the boot.
    pub start_time: u64,
    /// Which boot: `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

impl ProcessIdentity {
    /// This process.
    pub fn current() -> Self {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        Self {
            pid,
            start_time: table::start_time(pid).unwrap_or_default(),
            boot_id: boot_id(),
        }
    }

    /// Whether the machine has not been started anew since.
    pub fn is_of_this_boot(&self) -> bool {
        self.boot_id == boot_id()
    }

    /// Whether it is there still, and no other has got its pid.
    pub fn is_alive(&self) -> bool {
        self.is_of_this_boot() && table::alive_since(self.pid) == Some(self.start_time)
    }
}

/// Sends a signal to a process if it is still the one that is meant; whether it was.
pub fn signal_process(process: &ProcessIdentity, signal: Signal) -> bool {
    let pid = Pid::from_raw(process.pid).filter(|_| process.is_alive());
    pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
}

#[cfg(target_os = "linux")]
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

#[cfg(not(target_os = "linux"))]
fn boot_id() -> String {
    std::process::Command::new("sysctl")
        .args(["-n", "kern.boottime"])
        .output()
        .map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Fault 4: a process is more than its pid.
    #[test]
    fn this_process_is_named_by_pid_start_and_boot() {
        let me = ProcessIdentity::current();
        assert_eq!(me.pid, std::process::id().cast_signed());
        assert!(me.start_time > 0 && !me.boot_id.is_empty());
        assert_eq!(me, ProcessIdentity::current());
        assert!(me.is_alive());
    }

    #[test]
    fn one_of_another_time_or_boot_is_not_signalled() {
        let me = ProcessIdentity::current();
        let later = ProcessIdentity {
            start_time: me.start_time + 1,
            ..me.clone()
        };
        let before = ProcessIdentity {
            boot_id: "another".into(),
            ..me.clone()
        };
        // This process would end.
        for other in [later, before] {
            assert!(!other.is_alive());
            assert!(!signal_process(&other, Signal::KILL));
        }
        assert!(signal_process(&me, Signal::CONT));
    }
}
