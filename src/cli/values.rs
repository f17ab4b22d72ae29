//! Values on the command line: durations, sizes, amounts, numbers of agents.

use std::time::Duration;

use crate::words::{read_duration, split_unit};

/// How many agents at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parallel {
    /// As cores and memory allow.
    Auto,
    /// All.
    Unlimited,
    /// So many, at least one.
    Most(usize),
}

/// Reads `--max-parallel`.
pub fn parse_parallel(text: &str) -> Result<Parallel, String> {
    match text.trim() {
        "auto" => Ok(Parallel::Auto),
        "unlimited" => Ok(Parallel::Unlimited),
        number => match number.parse() {
            Ok(most) if most > 0 => Ok(Parallel::Most(most)),
            _ => Err("must be a number from 1, auto or unlimited".into()),
        },
    }
}

/// Reads `PLEACH_MAX_AGENTS`.
pub fn parse_most(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(most) if most > 0 => Ok(most),
        _ => Err("must be a number from 1".into()),
    }
}

/// Reads a number that may be 0.
pub fn parse_count(text: &str) -> Result<u32, String> {
    let number = text.trim().parse();
    number.map_err(|_| format!("must be a whole number from 0 to {}", u32::MAX))
}

/// Reads a duration: `200ms`, `90` (seconds), `90s`, `10m`, `2h`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    read_duration(text).ok_or_else(|| "must be a duration such as 200ms, 90s, 10m or 2h".into())
}

/// Reads a duration that is longer than nothing.
pub fn parse_time_limit(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("must be longer than nothing".into()),
        limit => Ok(limit),
    }
}

/// Reads an amount of US dollars that is more than nothing: `5`, `2.50`, `$5`.
pub fn parse_cost(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let number = text.strip_prefix('$').unwrap_or(text);
    // Not what a number may be elsewhere: `1e3`, `inf` or `+5` are no amounts.
    let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match number.parse::<f64>() {
        Ok(usd) if plain && usd > 0.0 && usd.is_finite() => Ok(usd),
        _ => Err("must be an amount of US dollars above 0, such as 5, 2.50 or $5".into()),
    }
}

/// Reads a size in bytes: `4096`, `512K`, `64M`, `1G`, `2T` (also with `iB`).
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => return Err("must be a size such as 512K, 64M or 1G".into()),
    };
    let bytes = number.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift));
    bytes.ok_or_else(|| "must be a size such as 512K, 64M or 1G".into())
}

/// Reads a variable: `NAME=VALUE`.
pub fn parse_variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be NAME=VALUE".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_sizes_and_parallelism() {
        for (text, ms) in [
            ("200ms", 200),
            ("90", 90_000),
            ("90s", 90_000),
            ("10m", 600_000),
            ("2h", 7_200_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)));
        }
        for (text, bytes) in [
            ("10", 10),
            ("512K", 512 << 10),
            ("64M", 64 << 20),
            ("1GiB", 1 << 30),
            ("2T", 2 << 40),
        ] {
            assert_eq!(parse_size(text), Ok(bytes));
        }
        for text in [
            "",
            "s",
            "1d",
            "-1",
            "1.5h",
            "99999999999999999999s",
            "99999999999999999h",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        for text in ["", "1P", "-1", "99999999999999999999"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        for (text, usd) in [("5", 5.0), ("2.50", 2.5), ("$5", 5.0), (" $0.01 ", 0.01), (".5", 0.5)] {
            assert_eq!(parse_cost(text), Ok(usd));
        }
        let huge = "9".repeat(400);
        for text in [
            "", "$", "0", "0.00", "-1", "+5", "1e3", "inf", "NaN", "5 EUR", "5,50", "$$5", &huge,
        ] {
            assert!(parse_cost(text).is_err(), "{text}");
        }
        assert!(parse_time_limit("0s").is_err() && parse_time_limit("1ms").is_ok());
        assert_eq!((parse_count("0"), parse_count(" 7")), (Ok(0), Ok(7)));
        for text in ["", "-1", "1.5", "4294967296"] {
            assert!(parse_count(text).is_err(), "{text}");
        }
        assert_eq!(parse_parallel("3"), Ok(Parallel::Most(3)));
        assert_eq!(parse_most(" 4 "), Ok(4));
        assert!(
            ["", "0", "-1", "all", "1.5"]
                .iter()
                .all(|text| parse_most(text).is_err())
        );
        assert!(parse_parallel("0").is_err() && parse_parallel("many").is_err());
    }
}
