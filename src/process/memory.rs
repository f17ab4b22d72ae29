//! How much memory this machine has, and how much is left.

/// Bytes that can be used without swapping, as the kernel estimates it (`MemAvailable`); `None` where it does not.
pub fn available_memory() -> Option<u64> {
    meminfo("MemAvailable:")
}

/// All memory of the machine in bytes (`MemTotal`).
pub fn installed_memory() -> Option<u64> {
    meminfo("MemTotal:")
}

/// The room for what is swapped out, in bytes (`SwapTotal`).
pub fn swap_space() -> Option<u64> {
    meminfo("SwapTotal:")
}

fn meminfo(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}
