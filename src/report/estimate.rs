//! How long a session will still take, as far as that can be known.
//!
//! A guess from what was settled so far: every task takes as long as those did on average (one that runs already as
//! long as those that took longer than it has until now), and whoever becomes free takes the next one. Nothing is known
//! while nothing is settled, while a session is being stopped, or when a task runs for longer than any that is settled.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::iter::repeat_n;
use std::time::Duration;

use super::frame::Moment;
use crate::session::{StatusDocument, TaskStatus, TaskStatusName, is_above};
use crate::task::Outcome;

/// The time that is left; none when it cannot be known.
pub(super) fn time_left(doc: &StatusDocument, moment: &Moment) -> Option<Duration> {
    let Moment { now_ms, most, stopping } = *moment;
    if stopping {
        return None;
    }
    let took = |outcome: Option<Outcome>| matches!(outcome, Some(Outcome::Succeeded | Outcome::Failed));
    let settled = doc.tasks.iter().filter(|t| took(t.outcome));
    let settled: Vec<Duration> = settled.filter_map(duration).collect();
    let running = doc.tasks.iter().filter(|t| t.status == TaskStatusName::Running);
    // When each place becomes free, from now on; the first of them first.
    let places: Option<BinaryHeap<Reverse<Duration>>> = running
        .map(|t| rest(&settled, duration(t).unwrap_or_default()).map(Reverse))
        .collect();
    let (mut places, whole) = (places?, rest(&settled, Duration::ZERO)?);
    let waiting = match over_its_limit(doc) {
        true => 0,
        false => doc.tasks.iter().filter(|t| t.status == TaskStatusName::Pending).count(),
    };
    let free = most.unwrap_or(usize::MAX).saturating_sub(places.len());
    places.extend(repeat_n(Reverse(Duration::ZERO), free.min(waiting)));
    for _ in 0..waiting {
        let mut first = places.peek_mut()?;
        first.0 = first.0.saturating_add(whole);
    }
    // What waits to be tried again begins no sooner than it may.
    let until = doc.tasks.iter().filter_map(|t| t.waiting_until).max();
    let tried = until
        .map(|until| Duration::from_millis(until.saturating_mul(1000).saturating_sub(now_ms)).saturating_add(whole));
    let left = places.into_iter().map(|Reverse(left)| left).chain(tried).max()?;
    (!left.is_zero()).then_some(left)
}

fn duration(task: &TaskStatus) -> Option<Duration> {
    task.duration.and_then(|s| Duration::try_from_secs_f64(s).ok())
}

/// How long a task still takes that has taken `so_far`: as long as those that took longer, on average.
fn rest(settled: &[Duration], so_far: Duration) -> Option<Duration> {
    let (mut sum, mut number) = (Duration::ZERO, 0);
    for took in settled.iter().filter(|took| **took > so_far) {
        (sum, number) = (sum.saturating_add(*took), number + 1);
    }
    (number > 0).then(|| sum.div_f64(f64::from(number)).saturating_sub(so_far))
}

/// Whether the cost limit keeps what waits from starting.
pub(super) fn over_its_limit(doc: &StatusDocument) -> bool {
    is_above(doc.max_cost_usd, doc.cost_usd)
}

/// `a few seconds left`, `about 40 s left`, `about 12 m left`, `about 2 h 10 m left`, `time left not known yet`: no more
/// exact than it is.
pub(super) fn words(left: Option<Duration>) -> String {
    let Some(left) = left else {
        return "time left not known yet".into();
    };
    let seconds = left.as_secs_f64();
    let tens = (seconds / 10.0).ceil() as u64 * 10;
    let minutes = (seconds / 60.0).round() as u64;
    match (tens, minutes) {
        (0..=10, _) => "a few seconds left".into(),
        (20..60, _) => format!("about {tens} s left"),
        (_, 0..60) => format!("about {} m left", minutes.max(1)),
        _ => {
            let tens = minutes.div_ceil(10) * 10;
            format!("about {} h {:02} m left", tens / 60, tens % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{STARTED, Task, document};

    fn left_of(doc: &StatusDocument, most: Option<usize>, stopping: bool) -> Option<Duration> {
        let now_ms = STARTED * 1000;
        time_left(doc, &Moment { now_ms, most, stopping })
    }

    fn left(tasks: &[Task], most: Option<usize>, stopping: bool) -> Option<u64> {
        left_of(&document(tasks), most, stopping).map(|d| d.as_secs())
    }

    #[test]
    fn the_time_that_is_left() {
        use Task::{Failed, Pending, Running, Stopped, Succeeded};
        for (tasks, most, expected) in [
            (&[][..], None, None),
            // Nothing is settled yet, or nothing that tells how long a task takes.
            (&[Running(50.0), Pending], Some(1), None),
            (&[Stopped(5.0), Pending], Some(1), None),
            // One after the other.
            (&[Succeeded(10.0), Pending, Pending], Some(1), Some(20)),
            (&[Succeeded(10.0), Running(4.0), Pending, Pending], Some(1), Some(26)),
            // Side by side.
            (&[Succeeded(10.0), Running(4.0), Pending, Pending], Some(2), Some(16)),
            (&[Succeeded(10.0), Running(4.0), Pending, Pending], Some(9), Some(10)),
            (&[Succeeded(10.0), Running(4.0), Pending, Pending], None, Some(10)),
            // The mean, of the failed ones too.
            (&[Succeeded(10.0), Failed(30.0), Pending], Some(1), Some(20)),
            // One that runs for longer than some takes as long as the others.
            (&[Succeeded(10.0), Failed(100.0), Running(5.0)], Some(1), Some(50)),
            (&[Succeeded(10.0), Failed(100.0), Running(40.0)], Some(1), Some(60)),
            (
                &[Succeeded(10.0), Failed(100.0), Running(40.0), Pending],
                Some(2),
                Some(60),
            ),
            (
                &[Succeeded(10.0), Failed(100.0), Running(40.0), Pending],
                Some(1),
                Some(115),
            ),
            // For longer than all: nobody knows, however many wait.
            (&[Succeeded(10.0), Running(40.0)], Some(1), None),
            (&[Succeeded(10.0), Running(40.0), Pending], Some(1), None),
            (&[Succeeded(10.0), Running(40.0), Running(8.0)], Some(2), None),
            (&[Succeeded(10.0)], Some(1), None),
            (&[Succeeded(0.0), Pending], Some(1), None),
        ] {
            assert_eq!(left(tasks, most, false), expected, "{tasks:?} {most:?}");
            assert_eq!(left(tasks, most, true), None, "{tasks:?}: stopping");
        }
        let mut many = vec![Succeeded(60.0)];
        many.resize(201, Pending);
        assert_eq!(left(&many, Some(8), false), Some(1500));
        // What the cost limit keeps from starting takes no time.
        let mut doc = document(&[Succeeded(10.0), Running(4.0), Pending]);
        (doc.cost_usd, doc.max_cost_usd) = (Some(2.5), Some(2.0));
        assert_eq!(left_of(&doc, Some(1), false), Some(Duration::from_secs(6)));
        // In binary fractions it is 0.30000000000000004, and no agent is kept from starting.
        (doc.cost_usd, doc.max_cost_usd) = (Some(0.1 + 0.2), Some(0.3));
        assert_eq!(left_of(&doc, Some(1), false), Some(Duration::from_secs(16)));
        // One that waits to be tried again takes its time after that.
        for (waits, expected) in [
            (0, 20),
            (5, 20),
            (300, 310),
            (u64::MAX - STARTED, u64::MAX / 1000 - STARTED),
        ] {
            let mut doc = document(&[Succeeded(10.0), Pending, Pending]);
            doc.tasks[1].waiting_until = Some(STARTED + waits);
            let left = left_of(&doc, Some(1), false).map(|d| d.as_secs());
            assert!(
                left.is_some_and(|left| left.abs_diff(expected) <= 10),
                "{waits}: {left:?}"
            );
        }
    }

    #[test]
    fn the_words_are_no_more_exact_than_the_guess() {
        for (seconds, text) in [
            (0.2, "a few seconds left"),
            (10.0, "a few seconds left"),
            (10.1, "about 20 s left"),
            (33.0, "about 40 s left"),
            (50.0, "about 50 s left"),
            (51.0, "about 1 m left"),
            (85.0, "about 1 m left"),
            (95.0, "about 2 m left"),
            (3540.0, "about 59 m left"),
            (3600.0, "about 1 h 00 m left"),
            (7500.0, "about 2 h 10 m left"),
        ] {
            assert_eq!(words(Some(Duration::from_secs_f64(seconds))), text, "{seconds}");
        }
        assert_eq!(words(None), "time left not known yet");
    }

    // Fault 12: after the clock has jumped, tasks seem to have taken a year, or no time at all.
    #[test]
    fn a_clock_that_jumps_makes_a_guess_no_worse_than_wrong() {
        use Task::{Pending, Running, Succeeded};
        const YEAR: f64 = 365.0 * 24.0 * 3600.0;
        for (tasks, text) in [
            (&[Succeeded(0.0), Running(0.0), Pending][..], "time left not known yet"),
            (&[Succeeded(10.0), Running(YEAR), Pending], "time left not known yet"),
            (&[Succeeded(YEAR), Running(0.0)], "about 8760 h 00 m left"),
            (&[Succeeded(f64::MAX), Running(1.0)], "time left not known yet"),
        ] {
            assert_eq!(words(left_of(&document(tasks), Some(1), false)), text, "{tasks:?}");
        }
    }
}
