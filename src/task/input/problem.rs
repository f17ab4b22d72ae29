//! What can be wrong with a source of tasks, in words, and what the user may do about it.
//!
//! Made by `input` and `json`, shown through [`InputError`](super::InputError). Each message is a clause of one line;
//! text from outside is quoted when it is shown: without what hides or moves the cursor, and cut.

use std::fmt;
use std::io;

use crate::task::id::{IdError, LONGEST_ID, TaskId};
use crate::task::title::quoted;

/// What to write when a file holds nothing of use.
const FORM: &str = r#"write {"prompts": ["first task", "second task"]}"#;

/// What is wrong with a text, and where.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) position: Option<Position>,
    /// Counted from 1.
    pub(crate) entry: Option<usize>,
    /// The id or the title of that entry, as given, if it came before the fault.
    pub(crate) name: Option<String>,
    pub(crate) problem: Problem,
}

impl Fault {
    /// A fault of the whole text.
    pub(crate) fn whole(problem: Problem) -> Self {
        Self {
            position: None,
            entry: None,
            name: None,
            problem,
        }
    }
}

/// A place in a text, both counted from 1; the column counts characters, as editors do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Position {
    pub(crate) const START: Self = Self { line: 1, column: 1 };

    /// The position after some more text.
    pub(crate) fn past(self, text: &str) -> Self {
        match text.rfind('\n') {
            None => Self {
                column: self.column + text.chars().count(),
                ..self
            },
            Some(last) => Self {
                line: self.line + text.matches('\n').count(),
                column: 1 + text[last + 1..].chars().count(),
            },
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// What a JSON value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    Boolean,
    Null,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Null => "null",
        })
    }
}

/// What can be wrong with a source of tasks. Texts from outside are quoted when they are shown, not before.
#[derive(Debug, thiserror::Error)]
#[cfg_attr(
    test,
    derive(strum::EnumDiscriminants),
    strum_discriminants(
        name(Name),
        vis(pub(crate)),
        derive(strum::EnumIter, strum::IntoStaticStr),
        strum(serialize_all = "kebab-case")
    )
)]
pub(crate) enum Problem {
    #[error("no task is given")]
    NoTask,
    #[error("it is named twice")]
    StdinTwice,
    #[error("no such file")]
    Missing,
    #[error("it is a directory")]
    Directory,
    #[error("it cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("it is larger than {} MiB", super::LARGEST >> 20)]
    TooLarge,
    #[error("it is empty")]
    Empty,
    #[error("it is UTF-16, not UTF-8")]
    Utf16,
    #[error("this is not UTF-8")]
    NotUtf8,
    /// From its first character on.
    #[error("not JSON")]
    NoJson,
    #[error("not JSON: {0}")]
    NotJson(String),
    #[error("more text after the end of the object")]
    Trailing,
    #[error("the top level is {0}, not an object")]
    TopLevel(Kind),
    #[error("there is no key \"prompts\"")]
    NoPrompts,
    #[error("there is both \"prompts\" and \"tasks\"")]
    BothNames,
    #[error("\"{key}\" is {found}, not an array")]
    NotAnArray { key: &'static str, found: Kind },
    #[error("\"{0}\" is an empty array")]
    NoEntries(&'static str),
    #[error("it is {0}, not a string or an object")]
    NotAnEntry(Kind),
    #[error("\"{key}\" is {found}, not a string")]
    NotAString { key: &'static str, found: Kind },
    #[error("unknown key {}", quoted(key))]
    UnknownKey {
        key: String,
        known: &'static [&'static str],
    },
    #[error("key \"{0}\" is given twice")]
    KeyTwice(&'static str),
    #[error("there is no key \"prompt\"")]
    NoPrompt,
    #[error("the prompt is blank")]
    BlankPrompt,
    #[error("the id {} is refused: {error}", quoted(id))]
    BadId { id: String, error: IdError },
    #[error("the id {} is that of {of}", quoted(id.as_str()))]
    TakenId { id: TaskId, of: String },
}

impl Problem {
    /// What the user may do: one line, without a full stop.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::NoTask => r#"name a task file, or give a task: pleach run -p "Add a changelog""#.into(),
            Self::StdinTwice => "it can be read only once: leave one \"-\" out".into(),
            Self::Missing => "check the path; a prompt itself is given with -p".into(),
            Self::Directory => "name a task file in it".into(),
            Self::Unreadable(_) => "check that you may read it".into(),
            Self::TooLarge => "split it into several files, and name them all".into(),
            Self::Empty | Self::NoJson | Self::NoPrompts => FORM.into(),
            Self::Utf16 | Self::NotUtf8 => "save it as UTF-8".into(),
            Self::NotJson(_) => {
                "keys and texts stand in double quotes; no comments; no comma before a closing bracket".into()
            }
            Self::Trailing => "one file holds one object: keep what follows in a file of its own".into(),
            Self::TopLevel(Kind::Array) => r#"wrap it: {"prompts": [...]}"#.into(),
            Self::TopLevel(_) => FORM.into(),
            Self::BothNames => "they are two names of the same key: keep one list".into(),
            Self::NotAnArray { key, .. } => format!(r#"write "{key}": ["first task", "second task"]"#),
            Self::NoEntries(_) => "add a prompt to it".into(),
            Self::NotAnEntry(_) => r#"write "a prompt", or {"id": "...", "title": "...", "prompt": "..."}"#.into(),
            Self::NotAString { key: "prompt", .. } | Self::BlankPrompt => "write what the agent shall do".into(),
            Self::NoPrompt => r#"add "prompt": "what the agent shall do""#.into(),
            Self::NotAString { .. } => "write it in double quotes, or leave the key out".into(),
            Self::UnknownKey { key, known } => {
                let list = format!("known keys: {}", known.join(", "));
                match nearest(key, known) {
                    Some(near) => format!("did you mean \"{near}\"? {list}"),
                    None => list,
                }
            }
            Self::KeyTwice(_) => "keep one of the two".into(),
            Self::BadId { .. } => format!(
                "an id has 1 to {LONGEST_ID} of A-Z a-z 0-9 . _ - and starts with a letter or digit, \
                 or leave it out"
            ),
            Self::TakenId { .. } => "give each task an id of its own; A and a count as the same".into(),
        }
    }
}

/// The known key that is meant by a misspelt one: at most a third of it is wrong, case aside.
pub(crate) fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    // Nobody misspells a key at this length, and the distance takes time that grows with it.
    if key.len() > 32 {
        return None;
    }
    let key = key.to_lowercase();
    known
        .iter()
        .map(|&near| (strsim::damerau_levenshtein(&key, near), near))
        .filter(|(distance, near)| *distance <= (near.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, near)| near)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::input::read;
    use crate::task::title::is_hidden;

    #[test]
    fn a_misspelt_key_is_recognised_and_another_is_not() {
        let known = ["id", "prompt", "title"];
        for (key, near) in [
            ("promt", Some("prompt")),
            ("prompts", Some("prompt")),
            ("PROMPT", Some("prompt")),
            ("prompt\u{200b}", Some("prompt")),
            ("tilte", Some("title")),
            ("ID", Some("id")),
            ("name", None),
            ("", None),
            ("text", None),
        ] {
            assert_eq!(nearest(key, &known), near, "{key:?}");
        }
        assert_eq!(nearest(&"prompt".repeat(100_000), &known), None);
    }

    #[test]
    fn no_text_from_outside_reaches_the_message_raw_or_whole() {
        for hostile in ["\u{1b}[2J\n\r", "\u{202e}", "\u{301}", "x", "漢", "\u{0}"] {
            let value = serde_json::to_string(&hostile.repeat(5_000)).unwrap();
            for text in [
                format!("{{{value}: 1}}"),
                format!(r#"{{"prompts": [{{{value}: 1}}]}}"#),
                format!(r#"{{"prompts": [{{"id": {value}, "prompt": "a"}}]}}"#),
                format!(r#"{{"prompts": [{{"id": {value}, "promt": "a"}}]}}"#),
                format!(r#"{{"prompts": [{{"title": {value}, {value}: "a"}}]}}"#),
            ] {
                let error = read(&["-".into()], &[], &mut text.as_bytes()).unwrap_err();
                for line in [error.to_string(), error.hint()] {
                    assert!(console::measure_text_width(&line) < 240, "{line}");
                    assert!(line.chars().count() < 600 && !line.chars().any(is_hidden), "{line}");
                }
            }
        }
    }
}
