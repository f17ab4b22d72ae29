//! Which process is meant: a pid alone is given to another one sooner or later.

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
    }
}
