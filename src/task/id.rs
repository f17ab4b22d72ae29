//! The id of a task: it names the task in commands, its files, and the end of its branch.
//!
//! Made by the readers of task files and by [`TaskId::fresh`]; everything else only passes it on. Since it becomes a
//! part of branch names and file names, one that git or a file system would refuse cannot be made at all, neither
//! from a task file nor from a recorded session.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::task::title::{is_hidden, quoted};

/// The most characters that an id may have.
pub const LONGEST_ID: usize = 64;

/// A valid id: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`, without `..`, a final `.` and a final `.lock`.
///
/// It keeps its case; two ids that differ in case alone are the same name for some file systems, so that a list of
/// tasks may not hold both (see [`read`](crate::task::input::read)).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskId(String);

impl TaskId {
    /// Takes an id that somebody gave, as it is.
    pub fn parse(given: &str) -> Result<Self, IdError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let first = given.chars().next().ok_or(IdError::Empty)?;
        if let Some(character) = given.chars().find(|&c| !allowed(c)) {
            return Err(IdError::Character(character));
        }
        if !first.is_ascii_alphanumeric() {
            return Err(IdError::Start(first));
        }
        if given.len() > LONGEST_ID {
            return Err(IdError::TooLong(given.len()));
        }
        if given.contains("..") {
            return Err(IdError::TwoDots);
        }
        if given.ends_with('.') {
            return Err(IdError::FinalDot);
        }
        // Git refuses `.lock` as it stands here; where case does not count, `.LOCK` is its lock file all the same.
        if given.to_ascii_lowercase().ends_with(".lock") {
            return Err(IdError::FinalLock);
        }
        Ok(Self(given.to_owned()))
    }

    /// An id that no other task has: a random UUID (version 4).
    pub fn fresh() -> Self {
        Self(uuid::Uuid::new_v4().to_string())
    }

    /// Whether it looks like one that was made up: nobody knows the task by it.
    pub fn is_made_up(&self) -> bool {
        uuid::Uuid::try_parse(&self.0).is_ok()
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for TaskId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for TaskId {
    type Error = IdError;

    fn try_from(given: String) -> Result<Self, IdError> {
        Self::parse(&given)
    }
}

impl From<TaskId> for String {
    fn from(id: TaskId) -> Self {
        id.0
    }
}

/// Why a given id is none. The texts continue the sentence "the id ... is refused:".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// There is no character in it.
    #[error("it is empty")]
    Empty,
    /// A character that an id cannot have.
    #[error("it contains {}", name_of(*.0))]
    Character(char),
    /// Its first character may only stand further on.
    #[error("it starts with {}", name_of(*.0))]
    Start(char),
    /// It has this many characters.
    #[error("it has {0} characters, more than {LONGEST_ID}")]
    TooLong(usize),
    /// Git refuses two dots in the name of a branch.
    #[error("it contains \"..\"")]
    TwoDots,
    /// Git refuses a dot at the end.
    #[error("it ends with \".\"")]
    FinalDot,
    /// Git keeps this ending for its lock files.
    #[error("it ends with \".lock\"")]
    FinalLock,
}

fn name_of(character: char) -> String {
    match character {
        ' ' => "a space".into(),
        c if is_hidden(c) || c.is_whitespace() => format!("U+{:04X}", u32::from(c)),
        c => quoted(c.encode_utf8(&mut [0; 4])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_are_safe_in_branches_and_files_are_taken_as_they_are() {
        let longest = "a".repeat(LONGEST_ID);
        for id in ["a", "7", "Fix_auth-2.1", "a.lock.b", "alock", "x-", "x_", &longest] {
            assert_eq!(TaskId::parse(id).unwrap().as_ref(), id);
        }
    }

    // Fault 37: what is no id is refused.
    #[test]
    fn every_other_id_is_refused_in_words() {
        let long = "a".repeat(LONGEST_ID + 1);
        for (id, words) in [
            ("", "it is empty"),
            ("a b", "it contains a space"),
            ("a/b", "it contains \"/\""),
            ("a\u{1b}[2J", "it contains U+001B"),
            ("a\u{202e}b", "it contains U+202E"),
            ("a\u{a0}b", "it contains U+00A0"),
            ("a\"b", "it contains \"\\\"\""),
            ("größe", "it contains \"ö\""),
            ("@", "it contains \"@\""),
            ("-rf", "it starts with \"-\""),
            (".hidden", "it starts with \".\""),
            ("_x", "it starts with \"_\""),
            (&long, "it has 65 characters, more than 64"),
            ("a..b", "it contains \"..\""),
            ("a.", "it ends with \".\""),
            ("a.lock", "it ends with \".lock\""),
            ("a.LoCk", "it ends with \".lock\""),
        ] {
            assert_eq!(TaskId::parse(id).unwrap_err().to_string(), words, "{id:?}");
        }
    }

    #[test]
    fn fresh_ids_are_valid_and_differ() {
        let (one, two) = (TaskId::fresh(), TaskId::fresh());
        assert_ne!(one, two);
        assert_eq!(TaskId::parse(one.as_str()), Ok(one));
    }

    // Fault 37: ids in recorded sessions are checked too.
    #[test]
    fn a_recorded_id_is_checked_when_it_is_read() {
        let id: TaskId = serde_json::from_str("\"a.b\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"a.b\"");
        let error = serde_json::from_str::<TaskId>("\"../etc\"").unwrap_err();
        assert!(error.to_string().starts_with("it contains \"/\""), "{error}");
    }
}
