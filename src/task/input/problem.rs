//! What can be wrong with a source of tasks, in words, and what the user may do about it.
//!
//! Made by `input` and `json`, shown through [`InputError`](super::InputError). Each message is a clause of one line;
//! text from outside is quoted when it is shown: without what hides or moves the cursor, and cut.

use std::fmt;
use std::io;
use std::ops::RangeInclusive;

use crate::task::entry::{Scope, Takes};
use crate::task::id::{IdError, LONGEST_ID, TaskId};
use crate::task::title::{clean_title, quoted};

use super::Format;

/// What to write when a file holds nothing of use.
const FORM: &str = r#"write {"prompts": ["first task", "second task"]}"#;

/// How times are written.
const TIME: &str = r#"write "90s", "10m", "2h", or a number of seconds"#;

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

/// What a value of JSON or YAML is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    Boolean,
    Null,
}

impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "a string",
            Self::OneOrMore => "a string or an array",
            Self::Texts => "an array",
            Self::Time => "a string or a number",
            Self::Number => "a number",
            Self::Variables => "an object",
        })
    }
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
    Empty(Format),
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
    #[error("\"{key}\" is {found}, not an object")]
    NotAnObject { key: &'static str, found: Kind },
    #[error("\"{key}\" is {found}, not {takes}")]
    WrongKind {
        key: &'static str,
        found: Kind,
        takes: Takes,
    },
    #[error("\"{key}\" has {found} in it, not only strings")]
    WrongInside { key: &'static str, found: Kind },
    #[error("unknown key {}", quoted(key))]
    UnknownKey { key: String, known: Vec<&'static str> },
    #[error("key \"{0}\" is given twice")]
    KeyTwice(&'static str),
    #[error("the variable {} is given twice", quoted(.0))]
    VariableTwice(String),
    #[error("\"{key}\" cannot stand in {}", where_of(*scope))]
    NotHere { key: &'static str, scope: Scope },
    #[error("\"{0}\" is blank")]
    Blank(&'static str),
    #[error("\"{0}\" has a NUL in it")]
    Nul(&'static str),
    #[error("no variable can have the name {}", quoted(.0))]
    BadVariable(String),
    #[error("\"{key}\" is {}, which is no time above zero", given.as_deref().map_or("a number".into(), quoted))]
    BadTime { key: &'static str, given: Option<String> },
    #[error("\"{key}\" is not a whole number from {} to {}", fits.start(), fits.end())]
    BadNumber {
        key: &'static str,
        fits: RangeInclusive<i64>,
    },
    #[error("\"{0}\" is not an amount above zero")]
    BadAmount(&'static str),
    #[error("\"output_file\" names a directory")]
    OutputDirectory,
    #[error("there is no key \"prompt\"")]
    NoPrompt,
    #[error("there is both \"prompt\" and \"prompt_file\"")]
    BothPrompts,
    #[error("the prompt is blank")]
    BlankPrompt,
    #[error("the prompt file {}: {}{problem}", quoted(path), at.map(|at| format!("{at}: ")).unwrap_or_default())]
    PromptFile {
        path: String,
        at: Option<Position>,
        problem: Box<Self>,
    },
    #[error("what its tasks are given is together larger than {} MiB", super::LARGEST >> 20)]
    TasksTooLarge,
    #[error("the id {} is refused: {error}", quoted(id))]
    BadId { id: String, error: IdError },
    #[error("the id {} is that of {of}", quoted(id.as_str()))]
    TakenId { id: TaskId, of: String },
    #[error("the file is named twice")]
    FileTwice,
    #[error("its name does not say what it is")]
    NoFormat,
    #[error("there is no prompt in it")]
    NoLine,
    #[error("the front matter that starts here has no end")]
    OpenFrontMatter,
    #[error("the front matter is no YAML: {}", clean_title(.0))]
    NotYaml(String),
    #[error("the front matter is {0}, not a list of keys")]
    NoKeys(Kind),
    #[error("there is an anchor, an alias or a tag")]
    NotPlain,
    #[error("there is no list under \"Task Distribution Plan\"")]
    NoPlan,
    #[error("no task of the list is called {}", quoted(name))]
    UnknownTask { name: String, near: Option<String> },
    #[error("{count} tasks of the list are called {}", quoted(name))]
    AmbiguousTask { name: String, count: usize },
    #[error("the task depends on itself")]
    ItsOwn,
    #[error("tasks depend on each other: {}", chain(.0))]
    Cycle(Vec<String>),
    #[error("it wants the answer of {}, but does not depend on it", quoted(.0))]
    NotBefore(String),
    #[error("{} and {} both write their answers to {}", quoted(&tasks[0]), quoted(&tasks[1]), quoted(path))]
    OutputTwice { tasks: Box<[String; 2]>, path: String },
    #[error("--output-file is for one task, not for {0}")]
    OneOutput(usize),
}

/// The names of a cycle, from the first to the first again; of a long one its ends.
fn chain(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let names: Vec<String> = names.iter().map(|name| short(name)).collect();
    match names.len() {
        0..=9 => names.join(" -> "),
        all => {
            let (start, end) = (&names[..SHOWN], &names[all - SHOWN..]);
            let between = all - 2 * SHOWN;
            format!("{} -> ({between} more) -> {}", start.join(" -> "), end.join(" -> "))
        }
    }
}

/// A name among others: as it is if it is a plain word, else quoted.
fn short(name: &str) -> String {
    match TaskId::parse(name) {
        Ok(id) if name.len() <= 40 => id.to_string(),
        _ => quoted(name),
    }
}

fn where_of(scope: Scope) -> &'static str {
    match scope {
        Scope::Entry => "an entry",
        Scope::Defaults => "\"defaults\"",
        Scope::FrontMatter => "front matter",
        Scope::Specification => "the front matter of a specification",
    }
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
            Self::Empty(Format::Text) => Self::NoLine.hint(),
            Self::Empty(Format::Markdown) => Self::BlankPrompt.hint(),
            Self::Empty(Format::Json) | Self::NoPrompts => FORM.into(),
            Self::NoJson => format!("{FORM}, or say what it is: --format text or markdown"),
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
            Self::NotAnObject { .. } => r#"write "defaults": {"timeout": "30m"}"#.into(),
            Self::NoPrompt => r#"add "prompt": "what the agent shall do", or "prompt_file": "FILE""#.into(),
            Self::BlankPrompt => "write what the agent shall do".into(),
            Self::UnknownKey { key, known } => match nearest(key, known.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"? see all keys: pleach schema tasks"),
                None if OF_THE_SESSION.contains(&key.as_str()) => format!(
                    "that holds for the whole session: --{}, or {key} in pleach.toml",
                    key.replace('_', "-")
                ),
                None => format!("known keys: {}", known.join(", ")),
            },
            Self::KeyTwice(_) | Self::VariableTwice(_) | Self::BothPrompts => "keep one of the two".into(),
            Self::BadId { .. } => format!(
                "an id has 1 to {LONGEST_ID} of A-Z a-z 0-9 . _ - and starts with a letter or digit, \
                 or leave it out"
            ),
            Self::TakenId { .. } => {
                "give each task an id of its own, in Markdown with \"id\" in front matter; A and a count as the same"
                    .into()
            }
            Self::FileTwice => "name the file once".into(),
            Self::PromptFile { problem, .. } => match **problem {
                Self::Missing => "its path starts from the directory of the task file".into(),
                Self::Directory => "name a file in it".into(),
                Self::TooLarge => "shorten it".into(),
                Self::Empty(_) | Self::BlankPrompt => "write into it what the agent shall do".into(),
                ref other => other.hint(),
            },
            Self::TasksTooLarge => "shorten it, or make several sessions of it".into(),
            other => other.hint_of_value(),
        }
    }

    fn hint_of_value(&self) -> String {
        match self {
            Self::WrongKind { key: "prompt", .. } => "write what the agent shall do".into(),
            Self::WrongKind { takes, .. } => match takes {
                Takes::Text => "write it in double quotes, or leave the key out".into(),
                Takes::OneOrMore => r#"write "one", or ["one", "two"]"#.into(),
                Takes::Texts => r#"write ["one", "two"]"#.into(),
                Takes::Time => TIME.into(),
                Takes::Number => "write a number such as 3, without quotes, or leave the key out".into(),
                Takes::Variables => r#"write {"NAME": "value"}"#.into(),
            },
            Self::WrongInside { .. } => "write each in double quotes".into(),
            Self::NotHere { key, scope } => match (scope, *key) {
                (Scope::Defaults, _) => "write it in the entries: it is not the same for all".into(),
                (_, "prompt" | "prompt_file") => "leave it out: the text below the front matter is the prompt".into(),
                _ => "leave it out: each entry of the plan is a task of its own".into(),
            },
            Self::Blank(_) => "leave the key out if nothing is meant".into(),
            Self::Nul(_) => "leave it out: no program can be given one".into(),
            Self::BadVariable(_) => "a name is not empty, and has neither = nor NUL in it".into(),
            Self::BadTime { .. } => TIME.into(),
            Self::BadNumber { .. } => "write a number such as 3, or leave the key out".into(),
            Self::BadAmount(_) => "write US dollars, such as 2.50, or leave the key out for no limit".into(),
            Self::OutputDirectory => "name a file".into(),
            Self::NoFormat => "call it .json, .txt or .md, or say: --format json, text or markdown".into(),
            Self::NoLine => "write a prompt a line; lines that start with # are left out".into(),
            Self::OpenFrontMatter => "close it with another line of ---, or start the file with something else".into(),
            Self::NotYaml(_) => {
                "write a key a line, such as: timeout: 30m; a text with a colon stands in quotes".into()
            }
            Self::NoKeys(_) => "write a key a line between the lines of ---, such as: timeout: 30m".into(),
            Self::NotPlain => "write the value out; a text that starts with & * or ! stands in quotes".into(),
            Self::NoPlan => "add an entry for each task: - Pane 1: Backend API".into(),
            Self::UnknownTask { near, .. } => match near {
                Some(near) => format!("did you mean {}?", quoted(near)),
                None => "write the id or the title of another task of this run".into(),
            },
            Self::AmbiguousTask { .. } => "give them ids, and write the id".into(),
            Self::ItsOwn => "leave it out".into(),
            Self::Cycle(_) => "leave out one of these dependencies".into(),
            Self::NotBefore(name) => format!("add it to the task: \"depends_on\": [{}]", quoted(name)),
            Self::OutputTwice { .. } => "give each a file of its own".into(),
            Self::OneOutput(_) => "name a directory for all of them: --output-dir DIR".into(),
            // `hint` has the others.
            _ => String::new(),
        }
    }
}

/// What a configuration says and a task cannot, since it is of all of them together.
pub(crate) const OF_THE_SESSION: [&str; 14] = [
    "fail_fast",
    "grace",
    "handler_timeout",
    "keep_worktrees",
    "log_dir",
    "max_output",
    "max_parallel",
    "min_free_disk",
    "min_free_memory",
    "output_dir",
    "retry_delay",
    "retry_fresh",
    "snapshot_every",
    "stagger",
];

/// The known word that is meant by a misspelt one: at most a third of it is wrong, case aside.
pub(crate) fn nearest<'k>(key: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    // Nobody misspells a word of this length, and the distance takes time that grows with it.
    if key.len() > LONGEST_ID {
        return None;
    }
    let key = key.to_lowercase();
    known
        .filter(|near| near.len() <= LONGEST_ID)
        .map(|near| (strsim::damerau_levenshtein(&key, &near.to_lowercase()), near))
        .filter(|(distance, near)| *distance <= (near.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, near)| near)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::input::{Format, Given, read};
    use crate::task::title::is_hidden;
    use std::path::Path;

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
            assert_eq!(nearest(key, known.into_iter()), near, "{key:?}");
        }
        assert_eq!(nearest(&"prompt".repeat(100_000), known.into_iter()), None);
    }

    #[test]
    fn no_text_from_outside_reaches_the_message_raw_or_whole() {
        for hostile in ["\u{1b}[2J\n\r", "\u{202e}", "\u{301}", "x", "漢", "\u{0}"] {
            let value = serde_json::to_string(&hostile.repeat(5_000)).unwrap();
            let json = |text: String| (Format::Json, text);
            let front = |yaml: String| (Format::Markdown, format!("---\n{yaml}\n---\ntext"));
            for (format, text) in [
                json(format!("{{{value}: 1}}")),
                json(format!(r#"{{"prompts": [{{{value}: 1}}]}}"#)),
                json(format!(r#"{{"prompts": [{{"id": {value}, "prompt": "a"}}]}}"#)),
                json(format!(r#"{{"prompts": [{{"id": {value}, "promt": "a"}}]}}"#)),
                json(format!(r#"{{"prompts": [{{"title": {value}, {value}: "a"}}]}}"#)),
                json(format!(r#"{{"defaults": {{{value}: "a"}}}}"#)),
                json(format!(r#"{{"prompts": [{{"timeout": {value}, "prompt": "a"}}]}}"#)),
                json(format!(r#"{{"prompts": [{{"env": {{{value}: 1}}, "prompt": "a"}}]}}"#)),
                json(format!(r#"{{"prompts": [{{"env": {{"A={hostile}": ""}}, "prompt": "a"}}]}}"#).replace('\n', "")),
                json(format!(r#"{{"prompts": [{{"prompt_file": {value}}}]}}"#)),
                json(format!(r#"{{"prompts": [{{"depends_on": {value}, "prompt": "a"}}]}}"#)),
                json(format!(
                    r#"{{"prompts": [{{"title": {value}, "prompt": "a", "depends_on": {value}}}]}}"#
                )),
                json(format!(
                    r#"{{"prompts": ["a", {{"title": {value}, "prompt": "b {{{{answer a}}}}"}}]}}"#
                )),
                front(format!("{value}: 1")),
                front(format!("id: {value}")),
                front(format!("title: {value}\n{value}: a")),
                front(format!("*{}: a", hostile.repeat(5_000))),
                front(format!("title: {}\n\tx", hostile.repeat(5_000))),
            ] {
                let files = ["-".into()];
                let given = Given {
                    files: &files,
                    format: Some(format),
                    ..Given::here(Path::new("."))
                };
                let error = read(&given, &mut text.as_bytes()).unwrap_err();
                for line in [error.to_string(), error.hint()] {
                    assert!(console::measure_text_width(&line) < 240, "{line}");
                    assert!(line.chars().count() < 700 && !line.chars().any(is_hidden), "{line}");
                }
            }
        }
    }
}
