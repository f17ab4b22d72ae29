//! Moments, names and commands as people read them.

use std::fmt::Write;
use std::path::Path;

use console::{Alignment, Term, measure_text_width, pad_str};

use crate::words::quote;

/// A moment in the user's time zone: `2026-01-31 14:05`.
pub fn time_of_day(unix_seconds: u64) -> String {
    let seconds = i64::try_from(unix_seconds).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_second(seconds) {
        Ok(at) => at
            .to_zoned(jiff::tz::TimeZone::system())
            .strftime("%Y-%m-%d %H:%M")
            .to_string(),
        Err(_) => unix_seconds.to_string(),
    }
}

/// A time of the day in the user's time zone: `14:05:12`.
pub fn clock(unix_ms: u64) -> String {
    let at = i64::try_from(unix_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    match at {
        Some(at) => at
            .to_zoned(jiff::tz::TimeZone::system())
            .strftime("%H:%M:%S")
            .to_string(),
        None => unix_ms.to_string(),
    }
}

/// Text that cannot do anything to a terminal: control characters, and those that turn the direction of writing, are
/// shown as what they are.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => safe.push(c),
            '\r' => {}
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => safe.extend(c.escape_unicode()),
            c if c.is_control() => {
                let _ = write!(safe, "\\x{:02x}", u32::from(c));
            }
            c => safe.push(c),
        }
    }
    safe
}

/// Such text in one line: what would break or widen it becomes a space.
pub(super) fn one_line(text: &str) -> String {
    escape(text).replace(['\n', '\t'], " ")
}

/// The same where a line break means something, as in a path: it is shown as what it is.
pub(super) fn unbroken(text: &str) -> String {
    escape(text).replace('\n', "\\n")
}

/// How the user can call this program: by its name when that is what PATH gives, else by its path.
pub fn program() -> String {
    let Ok(own) = std::env::current_exe() else {
        return "pleach".into();
    };
    match which::which("pleach").map(|found| found.canonicalize().unwrap_or(found)) {
        Ok(found) if found == own => "pleach".into(),
        _ => quote(&own),
    }
}

/// A hint whose commands look where this one looked, if that was named with `--results-dir`.
pub fn looking_there(hint: &str, results_option: Option<&Path>) -> String {
    let Some(dir) = results_option else { return hint.into() };
    let option = format!("--results-dir {}", quote(dir));
    const VERBS: [&str; 20] = [
        "clean", "config", "diff", "doctor", "list", "logs", "merge", "open", "overview", "plan", "recover", "results",
        "resume", "run", "status", "stop", "trust", "undo", "wait", "watch",
    ];
    VERBS.iter().fold(hint.to_owned(), |hint, verb| {
        hint.replace(&format!("pleach {verb}"), &format!("pleach {option} {verb}"))
    })
}

/// Commands to copy, one a line, with what each is for behind it; or before it, if a terminal has no room there.
pub fn commands_of(commands: &[(String, &str)]) -> String {
    let columns = Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
    commands_within(columns.unwrap_or(usize::MAX), commands)
}

fn commands_within(columns: usize, commands: &[(String, &str)]) -> String {
    let widest = |width: fn(&(String, &str)) -> usize| commands.iter().map(width).max().unwrap_or(0);
    let width = widest(|(command, _)| measure_text_width(command));
    let beside = 4 + width + 2 + widest(|(_, what)| measure_text_width(what)) <= columns;
    let mut text = String::new();
    for (command, what) in commands {
        let _ = if beside {
            let padded = pad_str(command, width, Alignment::Left, None);
            writeln!(text, "  {padded}  # {what}")
        } else {
            writeln!(text, "  # {what}\n  {command}")
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_is_for_stands_where_there_is_room() {
        let commands = [
            ("pleach list".to_owned(), "all"),
            ("pleach stop 1".to_owned(), "end it"),
        ];
        let beside = "  pleach list    # all\n  pleach stop 1  # end it\n";
        assert_eq!(commands_within(usize::MAX, &commands), beside);
        assert_eq!(commands_within(25, &commands), beside);
        let before = "  # all\n  pleach list\n  # end it\n  pleach stop 1\n";
        assert_eq!(commands_within(24, &commands), before);
    }

    #[test]
    fn nothing_reaches_the_terminal_unescaped() {
        assert_eq!(escape("a\x1b[2Jb\tc\r\nd\u{202e}"), "a\\x1b[2Jb\tc\nd\\u{202e}");
    }

    #[test]
    fn a_line_stays_one() {
        assert_eq!(one_line("a\n\tb\x07"), "a  b\\x07");
        assert_eq!(unbroken("a\nb\x07"), "a\\nb\\x07");
    }

    #[test]
    fn commands_in_hints_look_where_this_one_looked() {
        let hint = "see them all: pleach list; pleach status X; pleaching";
        assert_eq!(looking_there(hint, None), hint);
        let there = "see them all: pleach --results-dir 'a b' list; pleach --results-dir 'a b' status X; pleaching";
        assert_eq!(looking_there(hint, Some(Path::new("a b"))), there);
        let there = looking_there(
            "pleach stop 1; pleach trust; pleach logs 1 2; pleach wait",
            Some(Path::new("d")),
        );
        let d = "pleach --results-dir d";
        assert_eq!(there, format!("{d} stop 1; {d} trust; {d} logs 1 2; {d} wait"));
    }
}
