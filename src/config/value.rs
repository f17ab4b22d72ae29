//! Values of keys, and how they are written down.
//!
//! A value is written in one way whatever way it was given: so it can be shown, compared and hashed. Pure.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value as Json;

use crate::cli::Parallel;
use crate::task::title::{is_hidden, is_joiner};

/// What a key was given.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// How many agents at once.
    Parallel(Parallel),
    /// A length of time.
    Time(Duration),
    /// A number.
    Count(u32),
    /// US dollars.
    Usd(f64),
    /// A size.
    Bytes(u64),
    /// Yes or no.
    Flag(bool),
    /// A path, absolute; or the name of a program.
    Path(PathBuf),
    /// A text.
    Text(String),
    /// Several texts.
    List(Vec<String>),
}

impl Value {
    /// As it stands in JSON.
    pub fn json(&self) -> Json {
        match self {
            Self::Parallel(Parallel::Auto) => "auto".into(),
            Self::Parallel(Parallel::Unlimited) => "unlimited".into(),
            Self::Parallel(Parallel::Most(most)) => (*most).into(),
            Self::Time(time) => time_text(*time).into(),
            Self::Count(number) => (*number).into(),
            Self::Usd(usd) => (*usd).into(),
            Self::Bytes(bytes) => size_text(*bytes).into(),
            Self::Flag(flag) => (*flag).into(),
            Self::Path(path) => path.to_string_lossy().into(),
            Self::Text(text) => text.as_str().into(),
            Self::List(items) => items.as_slice().into(),
        }
    }

    /// As it stands in a file, in one line that shows all that is in it.
    pub fn toml(&self) -> String {
        toml_of(&self.json())
    }
}

fn toml_of(json: &Json) -> String {
    match json {
        Json::String(text) => toml_text(text),
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(toml_of).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}

/// A text in quotes. What hides, or moves what stands beside it, is spelt out: two texts never look the same because of
/// that.
pub fn toml_text(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if is_hidden(c) || is_joiner(c) || (c.is_whitespace() && c != ' ') => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// In the largest unit that it is a whole number of.
fn time_text(time: Duration) -> String {
    let ms = time.as_millis();
    let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    match units.iter().find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", ms / unit),
        None if ms == 0 => "0s".into(),
        None => format!("{ms}ms"),
    }
}

/// The same.
fn size_text(bytes: u64) -> String {
    let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
    match units
        .iter()
        .find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift))
    {
        Some((shift, name)) => format!("{}{name}", bytes >> shift),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_read_as_the_same() {
        use crate::config::key::Kind;
        use std::path::Path;
        for (kind, text) in [
            (Kind::Time, "90s"),
            (Kind::Time, "0s"),
            (Kind::Time, "200ms"),
            (Kind::Time, "10m"),
            (Kind::Time, "2h"),
            (Kind::Size, "0"),
            (Kind::Size, "1023"),
            (Kind::Size, "64M"),
            (Kind::Size, "3T"),
            (Kind::Parallel, "unlimited"),
            (Kind::Text, "a text"),
        ] {
            let value = kind.parse(text, Path::new("/")).unwrap();
            assert_eq!(value.json(), Json::from(text));
        }
        assert_eq!(Value::Time(Duration::from_secs(60)).toml(), "\"1m\"");
        assert_eq!(Value::Usd(2.5).toml(), "2.5");
        assert_eq!(Value::Flag(true).toml(), "true");
        assert_eq!(Value::List(vec!["a".into(), "b\"".into()]).toml(), r#"["a", "b\""]"#);
    }

    // Fault 24: escapes.
    #[test]
    fn nothing_hides_in_a_text_and_it_is_still_toml() {
        for hostile in [
            "a\u{1b}[2Jb",
            "a\u{202e}b",
            "\u{200b}\u{200d}",
            "\u{e0041}",
            "a\nb\r\tc",
            "\\U0000202E",
            "\u{85}\u{a0}",
            "\"\u{7f}",
        ] {
            let shown = toml_text(hostile);
            assert!(!shown.chars().any(|c| is_hidden(c) || c == '\u{200d}'), "{shown:?}");
            let text = format!("a = {shown}");
            let read = toml::de::DeTable::parse(&text).unwrap();
            assert_eq!(read.get_ref()["a"].get_ref().as_str(), Some(hostile));
        }
    }
}
