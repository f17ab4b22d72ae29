//! Numbers, times, sizes, amounts and lists as people read them, times as they write them, and paths as a shell takes them.

use std::borrow::Cow;
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// Of what came to its end before an agent was started: nothing was spent on it.
pub const NO_AGENT: &str = "no agent ran";

/// `1 task`, `2 tasks`.
pub fn count(number: impl TryInto<u64>, one: &str) -> String {
    // Nothing that is counted here is negative.
    let number = number.try_into().unwrap_or(u64::MAX);
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {one}{s}")
}

/// A length of time: `0.4 s`, `12 s`, `3 m 05 s`, `2 h 10 m`.
pub fn elapsed(time: Duration) -> String {
    let s = time.as_secs();
    match s {
        // What was counted in whole seconds is not shown as if it were known better.
        0..10 if time.subsec_nanos() == 0 => format!("{s} s"),
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..60 => format!("{s} s"),
        60..3600 => format!("{} m {:02} s", s / 60, s % 60),
        _ => format!("{} h {:02} m", s / 3600, s % 3600 / 60),
    }
}

/// A time as a clock here shows it: `15:04:05`, and with the day when that is not soon: `2026-11-24 15:04`. Both are in
/// Unix milliseconds.
pub fn clock_time(ms: u64, now_ms: u64) -> String {
    const SOON_MS: u64 = 12 * 3600 * 1000;
    let format = if ms.abs_diff(now_ms) < SOON_MS {
        "%H:%M:%S"
    } else {
        "%Y-%m-%d %H:%M"
    };
    let stamp = i64::try_from(ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    stamp.map_or_else(
        || format!("{ms} ms"),
        |stamp| {
            stamp
                .to_zoned(jiff::tz::TimeZone::system())
                .strftime(format)
                .to_string()
        },
    )
}

/// A time as people write it: `200ms`, `90` (seconds), `90s`, `10m`, `2h`.
pub fn read_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text);
    let unit = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let ms = number.parse::<u64>().ok()?.checked_mul(unit)?;
    Some(Duration::from_millis(ms))
}

/// A number as people write it, and what follows it.
pub fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// A size as people read it: `512 bytes`, `3.4 MiB`, `120 GiB`.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if number < 1024 {
        return format!("{number} bytes");
    }
    let mut size = number as f64 / 1024.0;
    let mut unit = 0;
    // What would be shown as 1024 of a unit is 1 of the next.
    while size >= 1023.5 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(size < 9.95);
    format!("{size:.digits$} {}", UNITS[unit])
}

/// `$5.12`; below a cent the first two digits that are not zero: `$0.0042`.
pub fn dollars(usd: f64) -> String {
    /// Nobody is charged less than a millionth of a dollar.
    const MOST_DIGITS: usize = 6;
    let cents = format!("${usd:.2}");
    if usd <= 0.0 || usd >= 0.01 {
        return cents;
    }
    // The digit before the last is the first that is not zero.
    let digits = (2..=MOST_DIGITS).find(|&digits| usd * 10f64.powi(digits as i32 - 1) >= 1.0);
    digits.map_or(cents, |digits| {
        format!("${usd:.digits$}").trim_end_matches('0').to_owned()
    })
}

/// The first of a list, and how many more there are.
pub fn few(items: &[impl Display]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = items.iter().take(SHOWN).map(ToString::to_string).collect();
    match items.len() {
        0..=SHOWN => shown.join(", "),
        all => format!("{} and {} more", shown.join(", "), all - SHOWN),
    }
}

/// Text in one line that cannot do anything to a terminal: whatever breaks a line, or acts otherwise, is shown as what it is.
pub fn in_one_line(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                safe.extend(c.escape_unicode());
            }
            c if c.is_control() => safe.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => safe.push(c),
        }
    }
    safe
}

/// A path or word as a shell takes it. What is no text, or would do something to a terminal, is spelt in the form
/// `$'\377'` that bash, zsh and ksh read: as it is it could not be shown, and the command would be another one.
pub fn quote(text: impl AsRef<Path>) -> String {
    let path = text.as_ref();
    let acts = |c: char| {
        c.is_control() && !matches!(c, '\n' | '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    match path.to_str().filter(|text| !text.contains(acts)) {
        // Only a NUL cannot be quoted, and no path has one.
        Some(text) => shlex::try_quote(text).map_or_else(|_| text.to_owned(), Cow::into_owned),
        None => spelt(path.as_os_str().as_bytes()),
    }
}

fn spelt(bytes: &[u8]) -> String {
    let mut word = String::from("$'");
    for &byte in bytes {
        match byte {
            b'\'' | b'\\' => word.extend(['\\', char::from(byte)]),
            b' '..=b'~' => word.push(char::from(byte)),
            _ => word.push_str(&format!("\\{byte:03o}")),
        }
    }
    word + "'"
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn of_a_long_list_the_first_are_named() {
        assert_eq!(few(&[""; 0]), "");
        assert_eq!(few(&["a", "b", "c"]), "a, b, c");
        assert_eq!(few(&[1, 2, 3, 4, 5]), "1, 2, 3 and 2 more");
    }

    #[test]
    fn words_for_a_shell() {
        assert_eq!(quote("/a/b"), "/a/b");
        assert_eq!(quote("/a b"), "'/a b'");
        assert_eq!(quote("/a\nb"), "'/a\nb'");
        assert_eq!(quote("/it's\u{1b}[31m\\ä"), r"$'/it\'s\033[31m\\\303\244'");
        assert_eq!(quote("\u{202e}"), r"$'\342\200\256'");
        assert_eq!(quote(OsStr::from_bytes(b"/a\xff")), r"$'/a\377'");
    }

    #[test]
    fn times_as_people_read_them() {
        for (ms, text) in [
            (430, "0.4 s"),
            (2_000, "2 s"),
            (12_900, "12 s"),
            (185_000, "3 m 05 s"),
            (7_800_000, "2 h 10 m"),
        ] {
            assert_eq!(elapsed(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn sizes_as_people_read_them() {
        for (number, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (10 << 10, "10 KiB"),
            (3_565_158, "3.4 MiB"),
            ((1 << 30) - 1, "1.0 GiB"),
            (120 << 30, "120 GiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn cents_and_below_a_cent_more_digits() {
        for (usd, text) in [
            (0.0, "$0.00"),
            (5.0, "$5.00"),
            (5.125, "$5.12"),
            (1234.5, "$1234.50"),
            (0.01, "$0.01"),
            (0.0174, "$0.02"),
            (0.0042, "$0.0042"),
            (0.004, "$0.004"),
            (0.009_99, "$0.01"),
            (0.000_012, "$0.000012"),
            (0.000_000_4, "$0.00"),
        ] {
            assert_eq!(dollars(usd), text);
        }
    }
}
