//! How the whole session gives way to a limit of the service: nothing starts for a while, then fewer agents run at once,
//! and one more after each that is served.
//!
//! The gate asks it. Pure: the time comes from outside, and so does the chance that spreads sessions which were refused
//! together. Refusals that come while nothing starts belong to one round: all of them are of agents that ran already.

use std::time::Duration;

use tokio::time::Instant;

use crate::task::UsageLimit;
use crate::words::clock_time;

/// The shortest first wait: less would be no giving way.
const SHORTEST: Duration = Duration::from_millis(100);
/// The longest wait when nobody says when the limit resets.
const LONGEST: Duration = Duration::from_secs(5 * 60);
/// The longest that a reset time is believed: a limit is that of a week at most.
const LONGEST_RESET_MS: u64 = 8 * 24 * 3600 * 1000;
/// After a reset time, sessions start again within this time.
const SPREAD: Duration = Duration::from_secs(5);

/// A moment, by both clocks, and what chance makes of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// By the clock that does not jump.
    pub now: Instant,
    /// By the clock on the wall, in Unix milliseconds.
    pub wall_ms: u64,
    /// From 0 up to 1.
    pub chance: f64,
}

/// What a session knows of the limits of the service.
#[derive(Debug)]
pub(super) struct BackOff {
    first: Duration,
    /// How long was waited last; none when the service has served since.
    wait: Option<Duration>,
    hold: Option<Hold>,
    /// How many agents may be at work at once; none is as many as usual.
    most: Option<usize>,
    /// Whether running agents are refused and try again by themselves.
    strained: bool,
    /// Told apart by this.
    round: u32,
}

/// Nothing starts.
#[derive(Debug)]
struct Hold {
    until: Instant,
    /// When the limit resets, in Unix milliseconds, if that was said.
    resets_at_ms: Option<u64>,
    why: String,
}

impl BackOff {
    /// Nothing was refused yet. The first wait is about `first` long.
    pub(super) fn new(first: Duration) -> Self {
        Self {
            first: first.clamp(SHORTEST, LONGEST),
            wait: None,
            hold: None,
            most: None,
            strained: false,
            round: 0,
        }
    }

    /// Goes on with a wait that another supervisor had begun, if the limit has not reset meanwhile.
    pub(super) fn go_on(&mut self, limit: &UsageLimit, usual: usize, at: Moment) {
        if is_ahead(limit, at) {
            self.refused(limit, usual, at);
        }
    }

    /// An attempt has failed of this limit, when so many agents ran.
    pub(super) fn refused(&mut self, limit: &UsageLimit, running: usize, at: Moment) {
        let later = match &self.hold {
            Some(hold) if hold.holds(at) => {
                let (told, known) = (limit.resets_at_ms.filter(|_| is_ahead(limit, at)), hold.resets_at_ms);
                if told.is_none() || told <= known {
                    return;
                }
                true
            }
            _ => false,
        };
        if !later {
            self.fewer(running);
        }
        self.round += 1;
        let resets_at_ms = limit.resets_at_ms.filter(|_| is_ahead(limit, at));
        let delay = match resets_at_ms {
            Some(reset) => Duration::from_millis(reset - at.wall_ms) + SPREAD.mul_f64(at.chance),
            None => {
                let wait = self.wait.map_or(self.first, |wait| (wait * 2).min(LONGEST));
                self.wait = Some(wait);
                wait.mul_f64(1.0 + at.chance / 4.0)
            }
        };
        let until_ms = resets_at_ms.unwrap_or(at.wall_ms + u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        let until = clock_time(until_ms, at.wall_ms);
        let what = in_words(&limit.what);
        self.hold = Some(Hold {
            until: at.now + delay,
            resets_at_ms,
            why: match resets_at_ms {
                Some(_) => format!("{what} to reset at {until}"),
                None => format!("{what}, until {until}"),
            },
        });
    }

    /// Running agents are refused now and try again by themselves, or not any more.
    pub(super) fn strain(&mut self, is_strained: bool, running: usize) {
        if is_strained && !self.strained {
            self.fewer(running);
        }
        self.strained = is_strained;
    }

    /// The service has served an attempt; `usual` is how many agents run at once when there is no limit.
    pub(super) fn served(&mut self, usual: usize) {
        self.wait = None;
        self.most = self.most.map(|most| most + 1).filter(|most| *most < usual);
    }

    /// Why nothing starts, with a number that changes when the answer does.
    pub(super) fn holds(&self, at: Moment) -> Option<(u32, &str)> {
        let hold = self.hold.as_ref().filter(|hold| hold.holds(at))?;
        Some((self.round, &hold.why))
    }

    /// How many more agents may start when so many are at work.
    pub(super) fn room(&self, at_work: usize) -> usize {
        self.most.map_or(usize::MAX, |most| most.saturating_sub(at_work))
    }

    /// When nothing is held back any more.
    pub(super) fn until(&self) -> Option<Instant> {
        self.hold.as_ref().map(|hold| hold.until)
    }

    /// Half of those that ran.
    fn fewer(&mut self, running: usize) {
        let half = (running / 2).max(1);
        self.most = Some(self.most.map_or(half, |most| most.min(half)));
    }
}

impl Hold {
    /// A machine that slept has a clock that did not: then it is the one on the wall that tells of a reset.
    fn holds(&self, at: Moment) -> bool {
        at.now < self.until
            && self
                .resets_at_ms
                .is_none_or(|reset| at.wall_ms < reset + SPREAD.as_millis() as u64)
    }
}

/// Whether the time at which a limit resets is known, and to come.
fn is_ahead(limit: &UsageLimit, at: Moment) -> bool {
    limit
        .resets_at_ms
        .is_some_and(|reset| (at.wall_ms + 1..=at.wall_ms.saturating_add(LONGEST_RESET_MS)).contains(&reset))
}

/// A limit as something that is waited for.
pub(super) fn in_words(what: &str) -> String {
    match what {
        "429" => "the rate limit of the service (429)".into(),
        "overloaded" => "the service, which is overloaded (529)".into(),
        "usage limit" => "the usage limit".into(),
        kind => format!("the usage limit ({kind})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 22:13:20 in UTC.
    const WALL_MS: u64 = 1_700_000_000_000;

    fn limit(what: &str, resets_in_s: Option<i64>) -> UsageLimit {
        UsageLimit {
            what: what.into(),
            resets_at_ms: resets_in_s.map(|s| WALL_MS.saturating_add_signed(s * 1000)),
        }
    }

    /// A clock that is where the test wants it.
    struct Clock(Instant);

    impl Clock {
        fn at_ms(&self, ms: u64, chance: f64) -> Moment {
            Moment {
                now: self.0 + Duration::from_millis(ms),
                wall_ms: WALL_MS + ms,
                chance,
            }
        }
    }

    /// How long it holds from then on, in milliseconds.
    fn wait_ms(back_off: &BackOff, at: Moment) -> Option<u128> {
        back_off.holds(at)?;
        Some((back_off.until()? - at.now).as_millis())
    }

    #[test]
    fn each_round_is_twice_as_long_up_to_five_minutes_and_what_is_refused_meanwhile_is_of_the_same() {
        let clock = Clock(Instant::now());
        let mut back_off = BackOff::new(Duration::from_secs(5));
        let mut ms = 0;
        for seconds in [5, 10, 20, 40, 80, 160, 300, 300] {
            back_off.refused(&limit("429", None), 8, clock.at_ms(ms, 0.0));
            let said = back_off.holds(clock.at_ms(ms, 0.0)).map(|(round, _)| round);
            for later in [0, 1, seconds * 1000 - 1] {
                // The same, and all the others that ran.
                back_off.refused(&limit("429", None), 7, clock.at_ms(ms + later, 0.9));
                let held = back_off.holds(clock.at_ms(ms + later, 0.0)).map(|(round, _)| round);
                assert_eq!(held, said);
            }
            assert_eq!(
                wait_ms(&back_off, clock.at_ms(ms, 0.0)),
                Some(u128::from(seconds) * 1000)
            );
            ms += seconds * 1000;
            assert_eq!(back_off.holds(clock.at_ms(ms, 0.0)), None, "{seconds}");
        }
        // What is served makes the next one a first one.
        back_off.served(8);
        back_off.refused(&limit("429", None), 8, clock.at_ms(ms, 0.0));
        assert_eq!(wait_ms(&back_off, clock.at_ms(ms, 0.0)), Some(5000));
    }

    // Fault 41: those that were refused together do not come back together.
    #[test]
    fn chance_makes_a_wait_longer_by_a_quarter_at_most_and_no_delay_is_no_time_at_all() {
        let clock = Clock(Instant::now());
        for (first_ms, chance, wait) in [(5000, 0.0, 5000), (5000, 0.5, 5625), (5000, 0.999, 6248), (0, 0.0, 100)] {
            let mut back_off = BackOff::new(Duration::from_millis(first_ms));
            back_off.refused(&limit("overloaded", None), 1, clock.at_ms(0, chance));
            assert_eq!(wait_ms(&back_off, clock.at_ms(0, 0.0)), Some(wait));
        }
    }

    #[test]
    fn a_reset_time_that_is_to_come_is_waited_for_and_any_other_is_none() {
        let clock = Clock(Instant::now());
        let hour = 3600;
        for (resets_in_s, wait_s) in [
            (hour, 3600),
            (7 * 24 * hour, 7 * 24 * 3600),
            // In the past, now, or beyond belief: as if nothing was said.
            (-hour, 5),
            (0, 5),
            (9 * 24 * hour, 5),
            (i64::MAX / 2_000, 5),
        ] {
            let mut back_off = BackOff::new(Duration::from_secs(5));
            back_off.refused(&limit("five_hour", Some(resets_in_s)), 1, clock.at_ms(0, 0.0));
            let wait = wait_ms(&back_off, clock.at_ms(0, 0.0));
            assert_eq!(wait, Some(wait_s * 1000), "{resets_in_s}");
        }
    }

    #[test]
    fn a_reset_time_that_is_told_meanwhile_is_waited_for_too_and_said() {
        let clock = Clock(Instant::now());
        let mut back_off = BackOff::new(Duration::from_secs(5));
        let at = |ms| clock.at_ms(ms, 0.0);
        let said = |back_off: &BackOff, ms| back_off.holds(at(ms)).map(|(round, why)| (round, why.to_owned()));
        back_off.refused(&limit("429", None), 4, at(0));
        let first = said(&back_off, 0).unwrap();
        assert!(
            first.1.starts_with("the rate limit of the service (429), until "),
            "{}",
            first.1
        );
        back_off.refused(&limit("five_hour", Some(60)), 3, at(1000));
        let second = said(&back_off, 1000).unwrap();
        assert!(
            second.0 != first.0 && second.1.starts_with("the usage limit (five_hour) to reset at "),
            "{second:?}"
        );
        // An earlier one, and none, change nothing.
        back_off.refused(&limit("five_hour", Some(30)), 3, at(2000));
        back_off.refused(&limit("overloaded", None), 3, at(2000));
        assert_eq!(said(&back_off, 2000), Some(second));
        assert_eq!(said(&back_off, 60_000), None);
        assert_eq!(back_off.room(0), 2, "half of the four that ran at first");
    }

    #[test]
    fn a_machine_that_slept_through_the_reset_does_not_wait_for_it_again() {
        let clock = Clock(Instant::now());
        let mut back_off = BackOff::new(Duration::from_secs(5));
        back_off.refused(&limit("five_hour", Some(3600)), 1, clock.at_ms(0, 0.0));
        let woken = Moment {
            wall_ms: WALL_MS + 2 * 3_600_000,
            ..clock.at_ms(1000, 0.0)
        };
        assert_eq!(back_off.holds(woken), None);
    }

    #[test]
    fn fewer_run_at_once_and_one_more_after_each_that_is_served() {
        let clock = Clock(Instant::now());
        let mut back_off = BackOff::new(Duration::from_secs(5));
        assert_eq!(back_off.room(1000), usize::MAX);
        back_off.refused(&limit("429", None), 8, clock.at_ms(0, 0.0));
        assert_eq!((back_off.room(0), back_off.room(3), back_off.room(9)), (4, 1, 0));
        back_off.refused(&limit("429", None), 4, clock.at_ms(5000, 0.0));
        assert_eq!(back_off.room(0), 2);
        // More than before there never are.
        back_off.refused(&limit("429", None), 8, clock.at_ms(20_000, 0.0));
        assert_eq!(back_off.room(0), 2);
        for room in [3, 4, 5, 6, 7] {
            back_off.served(8);
            assert_eq!(back_off.room(0), room);
        }
        back_off.served(8);
        assert_eq!(back_off.room(0), usize::MAX);
        // One alone is still one.
        back_off.refused(&limit("429", None), 1, clock.at_ms(60_000, 0.0));
        assert_eq!(back_off.room(0), 1);
    }

    #[test]
    fn agents_that_are_refused_while_they_run_count_once() {
        let mut back_off = BackOff::new(Duration::from_secs(5));
        for running in [8, 8, 6] {
            back_off.strain(true, running);
            assert_eq!(back_off.room(0), 4);
        }
        back_off.strain(false, 6);
        assert_eq!(back_off.room(0), 4);
        back_off.strain(true, 4);
        assert_eq!(back_off.room(0), 2);
    }

    #[test]
    fn another_supervisor_goes_on_waiting_only_for_a_reset_that_is_to_come() {
        let clock = Clock(Instant::now());
        for (resets_in_s, held) in [(Some(60), true), (Some(-1), false), (None, false)] {
            let mut back_off = BackOff::new(Duration::from_secs(5));
            back_off.go_on(&limit("five_hour", resets_in_s), 6, clock.at_ms(0, 0.0));
            assert_eq!(back_off.holds(clock.at_ms(0, 0.0)).is_some(), held);
            assert_eq!(back_off.room(0), if held { 3 } else { usize::MAX });
        }
    }
}
