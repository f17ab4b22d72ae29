//! When the service refuses an agent for a reason that is not the task's: a limit of what may be used, or nobody is
//! logged in.
//!
//! Only what the CLI itself says of the API counts, in fields that no model and no tool can write: the status of an
//! error, the kind of it, and the limit that was told. Versions that have none of these fields are known by the texts
//! that they print in place of an answer. Pure; read by the runner while the agent runs, and when it has ended.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

use super::event::{RateLimitInfo, Retry, RunResult, Turn};
use crate::task::UsageLimit;

/// Why an agent could not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A limit is reached.
    Limit(UsageLimit),
    /// Nobody is logged in, or the key is not accepted.
    Login,
}

/// Seconds and milliseconds are told apart by this: as milliseconds it is in 1973, as seconds in 5138.
const SURELY_MILLISECONDS: f64 = 1e11;

/// What the stream has told of the service.
#[derive(Debug, Default)]
pub(super) struct Service {
    /// The limit for which requests are rejected.
    rejected: Option<RateLimitInfo>,
    /// For what the API has given no answer and is asked again.
    asks_again: Option<&'static str>,
    /// The kind of the error that was said in place of the last answer.
    error: Option<String>,
}

impl Service {
    /// How much may still be used.
    pub fn told(&mut self, info: RateLimitInfo) {
        self.rejected = (info.status.as_deref() == Some("rejected")).then_some(info);
    }

    /// The API is asked again.
    pub fn asked_again(&mut self, retry: &Retry) {
        self.asks_again = limit_of(retry.error_status, Some(retry.why()));
    }

    /// The model, or the program in its place, said something.
    pub fn said(&mut self, turn: &Turn) {
        let own = turn.parent_tool_use_id.is_none();
        let error = turn.error.as_deref().filter(|_| turn.is_api_error_message);
        if error.is_none() {
            // The API has answered.
            self.asks_again = None;
        }
        if own {
            self.error = error.map(str::to_owned);
        }
    }

    /// A run has ended: nothing is asked again.
    pub fn ended(&mut self) {
        self.asks_again = None;
    }

    /// The limit that the agent is up against now, while it tries again by itself.
    pub fn limited(&self) -> Option<UsageLimit> {
        let what = self.asks_again?;
        Some(self.limit(what, None))
    }

    /// Whether a run ended like that because it was refused. `now_ms` is in Unix milliseconds: some versions tell only
    /// the time of day.
    pub fn refusal(&self, result: &RunResult, now_ms: u64) -> Option<Refusal> {
        if !result.is_api_error() {
            return None;
        }
        let text = result.result.as_deref().unwrap_or_default();
        let kind = self.error.as_deref();
        if result.api_error_status == Some(401) || kind.is_some_and(|kind| LOGIN_KINDS.contains(&kind)) {
            return Some(Refusal::Login);
        }
        let reset = || reset_in(text, now_ms);
        if let Some(what) = limit_of(result.api_error_status, kind) {
            let is_usage = result.api_error.as_deref() == Some("usage_limit_reached") || is_usage_limit(text);
            let what = if is_usage { USAGE_LIMIT } else { what };
            return Some(Refusal::Limit(self.limit(what, is_usage.then(reset).flatten())));
        }
        // What is said in fields counts; an older version says it in words.
        if result.api_error_status.is_some() || kind.is_some() {
            return None;
        }
        if is_usage_limit(text) {
            return Some(Refusal::Limit(self.limit(USAGE_LIMIT, reset())));
        }
        if LOGIN_TEXTS.iter().any(|start| text.starts_with(start)) {
            return Some(Refusal::Login);
        }
        let (_, what) = LIMIT_TEXTS.iter().find(|(start, _)| text.starts_with(start))?;
        Some(Refusal::Limit(self.limit(what, None)))
    }

    /// A limit, with what is known of it.
    fn limit(&self, what: &str, reset_ms: Option<u64>) -> UsageLimit {
        let told = self.rejected.as_ref();
        let kind = told.and_then(|info| info.kind.clone());
        UsageLimit {
            what: kind.unwrap_or_else(|| what.to_owned()),
            resets_at_ms: told.and_then(|info| info.resets_at).and_then(milliseconds).or(reset_ms),
        }
    }
}

/// A time of day that was so many minutes ago is that, and not the one of tomorrow: it leaves out the seconds, and who waited
/// for it may ask a little too early.
const JUST_OVER: i64 = 10;
/// What a limit is called of which nothing is known but that it is one.
const USAGE_LIMIT: &str = "usage limit";
/// The kinds of errors that logging in helps against.
const LOGIN_KINDS: [&str; 2] = ["authentication_failed", "oauth_org_not_allowed"];
/// How older versions begin what they say then.
const LOGIN_TEXTS: [&str; 5] = [
    "Not logged in",
    "Invalid API key",
    "Failed to authenticate",
    "API Error: 401 ",
    "OAuth token ",
];
/// How they begin when the API refuses, and what that is called.
const LIMIT_TEXTS: [(&str, &str); 4] = [
    ("API Error: Request rejected (429)", "429"),
    ("API Error: Rate limit reached", "429"),
    ("API Error: 429 ", "429"),
    ("API Error: 529 ", "overloaded"),
];

/// What a limit is called that shows in the status of an answer, or in the kind of the error.
fn limit_of(status: Option<u16>, kind: Option<&str>) -> Option<&'static str> {
    match (status, kind) {
        (Some(429), _) | (None, Some("rate_limit")) => Some("429"),
        (Some(529), _) | (None, Some("overloaded")) => Some("overloaded"),
        _ => None,
    }
}

fn is_usage_limit(text: &str) -> bool {
    let hit = ["You've hit your ", "You've reached your "].iter().any(|start| {
        let rest = text.strip_prefix(start);
        rest.is_some_and(|rest| rest.lines().next().is_some_and(|line| line.contains("limit")))
    });
    hit || text.starts_with("Claude AI usage limit reached") || text.starts_with("Claude usage limit reached")
}

fn milliseconds(time: f64) -> Option<u64> {
    let ms = if time < SURELY_MILLISECONDS {
        time * 1000.0
    } else {
        time
    };
    (ms > 0.0 && ms < 1e15).then_some(ms as u64)
}

/// The time that a text names for the end of a limit, in Unix milliseconds: `...|1735689600`,
/// `resets 3pm (America/New_York)`, `resets Apr 23 at 4:30pm`, `will reset at 12am`. Without a zone it is that of the
/// machine. A time of day is the next one, unless it is only just over.
fn reset_in(text: &str, now_ms: u64) -> Option<u64> {
    let line = text.lines().next()?;
    if let Some((_, seconds)) = line.split_once('|') {
        return milliseconds(seconds.trim().parse().ok()?);
    }
    let marks = ["resets at ", "resets ", "reset at "];
    let rest = marks.iter().find_map(|mark| Some(line.split_once(mark)?.1))?;
    let (when, zone) = match rest.split_once('(') {
        Some((when, zone)) => (when, TimeZone::get(zone.split(')').next()?.trim()).ok()?),
        None => (rest, TimeZone::system()),
    };
    let now = Timestamp::from_millisecond(i64::try_from(now_ms).ok()?)
        .ok()?
        .to_zoned(zone);
    let (date, time) = match when.rsplit_once(" at ") {
        Some((date, time)) => (Some(date), time),
        None => (None, when),
    };
    let time = time_of_day(time)?;
    let reset = match date {
        Some(date) => next_such_day(date.trim(), time, &now)?,
        None => {
            let just_over = now.checked_sub(JUST_OVER.minutes()).ok()?;
            let today = now.date();
            let days = [today.yesterday(), Ok(today), today.tomorrow()].into_iter().flatten();
            let mut times = days.filter_map(|day| day.to_datetime(time).to_zoned(now.time_zone().clone()).ok());
            times.find(|reset| *reset >= just_over)?
        }
    };
    u64::try_from(reset.timestamp().as_millisecond()).ok()
}

/// `3pm`, `12:50am`; what follows a blank is left out.
fn time_of_day(text: &str) -> Option<Time> {
    let text = text
        .split_whitespace()
        .next()?
        .trim_end_matches('.')
        .to_ascii_lowercase();
    let (number, pm) = match (text.strip_suffix("am"), text.strip_suffix("pm")) {
        (Some(number), _) => (number, false),
        (_, Some(number)) => (number, true),
        _ => return None,
    };
    let (hour, minute) = number.split_once(':').unwrap_or((number, "0"));
    let hour: i8 = hour.parse().ok().filter(|h| (1..=12).contains(h))?;
    Time::new(hour % 12 + if pm { 12 } else { 0 }, minute.parse().ok()?, 0, 0).ok()
}

/// `Apr 23`, `Apr 23, 2026`; without a year the one that is not long past.
fn next_such_day(text: &str, time: Time, now: &Zoned) -> Option<Zoned> {
    const MONTHS: [&str; 12] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ];
    let mut words = text.split([' ', ',']).filter(|word| !word.is_empty());
    let month = words.next()?.to_ascii_lowercase();
    let month = MONTHS.iter().position(|name| month.starts_with(name))? + 1;
    let day = words.next()?.parse().ok()?;
    let year = words.next().map(str::parse::<i16>).transpose().ok()?;
    let in_year = |year| {
        let date = Date::new(year, i8::try_from(month).ok()?, day).ok()?;
        date.to_datetime(time).to_zoned(now.time_zone().clone()).ok()
    };
    if let Some(year) = year {
        return in_year(year);
    }
    let this = in_year(now.year())?;
    let long_past = now.checked_sub(180.days()).ok()?;
    if this < long_past {
        in_year(now.year() + 1)
    } else {
        Some(this)
    }
}

#[cfg(test)]
mod tests;
