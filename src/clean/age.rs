//! Whether the time of something is over, by a clock that may be wrong. Pure.

use std::time::Duration;

/// How long something stays in the trash.
pub(super) const TRASH: Duration = Duration::from_secs(24 * 3600);
/// How long the commits of a discarded session are kept.
pub(super) const DISCARDED: Duration = Duration::from_secs(7 * 24 * 3600);
/// Whoever works with pleach comes by more often. A date that is further back than this, or that is still to come, was
/// written or is read by a clock that is wrong.
const PLAUSIBLE: Duration = Duration::from_secs(180 * 24 * 3600);

/// How something stands to its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    /// It is not over.
    Runs,
    /// It is over.
    Over,
    /// Nobody knows: it begins anew.
    Unknown,
}

/// How something that was put away at one time stands at another, both in Unix milliseconds.
pub(super) fn judge(put_ms: u64, now_ms: u64, keep: Duration) -> Time {
    match now_ms.checked_sub(put_ms).map(Duration::from_millis) {
        Some(age) if age > keep + PLAUSIBLE => Time::Unknown,
        Some(age) if age >= keep => Time::Over,
        Some(_) => Time::Runs,
        None => Time::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Fault 12: a clock that jumps ends the time of nothing early.
    #[test]
    fn a_clock_that_jumps_a_year_ends_no_time() {
        const HOUR: u64 = 3_600_000;
        const YEAR: u64 = 365 * 24 * HOUR;
        let now = 60 * YEAR;
        for (put, expected) in [
            (now, Time::Runs),
            (now - 23 * HOUR, Time::Runs),
            (now - 24 * HOUR, Time::Over),
            (now - 100 * 24 * HOUR, Time::Over),
            // Put there before the clock jumped forward, after it jumped back, or before it was set at all.
            (now - YEAR, Time::Unknown),
            (now + YEAR, Time::Unknown),
            (now + 1, Time::Unknown),
            (0, Time::Unknown),
        ] {
            assert_eq!(judge(put, now, TRASH), expected, "{put}");
        }
    }
}
