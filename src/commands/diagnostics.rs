//! What the program says of its own doing, for whoever looks for a fault: `PLEACH_LOG` chooses it.
//!
//! Commands say it on standard error, a supervisor, its runners and handlers in `supervisor.log`. Without the variable
//! nothing is set up, and each place where something could be said costs one comparison. No prompt, no value of a
//! variable, and nothing that an agent printed is ever said, at any level.

use std::fmt;
use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::error::{AroundError, Error};
use crate::store::now_ms;

const VARIABLE: &str = "PLEACH_LOG";
/// What other tools call theirs, and the value that turns it on.
const SWITCHES: [(&str, &str); 2] = [("DEBUG", "true"), ("CLAUDE_ASYNC_DEBUG", "1")];

/// Sets it up as the environment says. A filter that cannot be read is refused: who asks for a log would miss it.
pub(super) fn begin() -> Result<(), Error> {
    let Some((variable, filter)) = wanted(|name| std::env::var_os(name).map(|v| v.to_string_lossy().into_owned()))
    else {
        return Ok(());
    };
    let parsed = match stray_word(&filter) {
        Some(word) => Err(format!("{word:?} is neither a level nor a part of pleach")),
        None => EnvFilter::builder().parse(&filter).map_err(|e| e.to_string()),
    };
    let parsed = parsed.map_err(|problem| AroundError::LogFilter {
        variable,
        value: filter,
        problem,
    })?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_timer(Moment)
        .finish();
    // There is none yet: this is called once.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

/// The filter, and the variable that has it.
fn wanted(variable: impl Fn(&str) -> Option<String>) -> Option<(&'static str, String)> {
    if let Some(filter) = variable(VARIABLE) {
        return (!filter.trim().is_empty()).then_some((VARIABLE, filter));
    }
    let on = SWITCHES
        .iter()
        .find(|(name, value)| variable(name).is_some_and(|set| set == *value));
    on.map(|&(name, _)| (name, "pleach=debug".into()))
}

/// A word for which nothing would ever be said: it is taken for a part of some other program.
fn stray_word(filter: &str) -> Option<&str> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let known = |word: &str| {
        let level = LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
        level || word.is_empty() || word.parse::<u8>().is_ok() || word.starts_with("pleach")
    };
    let plain = filter.split(',').map(str::trim);
    // What has marks in it chooses by more than a word.
    let mut plain = plain.filter(|word| !word.contains(['=', '[', ']', '{', '}']));
    plain.find(|word| !known(word)).filter(|_| !filter.contains('{'))
}

/// The time (UTC), and which process speaks: several share a log.
struct Moment;

impl FormatTime for Moment {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        let ms = i64::try_from(now_ms()).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_millisecond(ms) {
            Ok(at) => write!(w, "{at:.3} [{}]", std::process::id()),
            Err(_) => write!(w, "{ms} [{}]", std::process::id()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_own_variable_counts_before_those_of_other_tools() {
        let with = |set: &'static [(&'static str, &'static str)]| {
            wanted(move |name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
        };
        let debug = |name| Some((name, "pleach=debug".to_owned()));
        assert_eq!(with(&[]), None);
        assert_eq!(with(&[("DEBUG", "true")]), debug("DEBUG"));
        assert_eq!(with(&[("CLAUDE_ASYNC_DEBUG", "1")]), debug("CLAUDE_ASYNC_DEBUG"));
        // Other programs take other values: those are not meant for this one.
        assert_eq!(with(&[("DEBUG", "express:*"), ("CLAUDE_ASYNC_DEBUG", "0")]), None);
        assert_eq!(
            with(&[("PLEACH_LOG", "info"), ("DEBUG", "true")]),
            Some((VARIABLE, "info".into()))
        );
        assert_eq!(with(&[("PLEACH_LOG", ""), ("DEBUG", "true")]), None);
    }

    #[test]
    fn a_word_that_chooses_nothing_is_found() {
        for filter in [
            "debug",
            "DEBUG",
            "4",
            "off",
            "pleach",
            "info,pleach::git",
            "info, pleach::git=debug",
            "other=debug",
            "pleach[run{a,b,c}]=trace",
        ] {
            assert_eq!(stray_word(filter), None, "{filter}");
        }
        for (filter, word) in [
            ("verbose", "verbose"),
            ("info,debgu", "debgu"),
            ("true,pleach=debug", "true"),
        ] {
            assert_eq!(stray_word(filter), Some(word));
        }
    }
}
