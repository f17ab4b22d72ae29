//! Where tasks stand: a file, standard input, the command line; and in which form.
//!
//! What a file is follows from its name, unless the user says it. Only what has no name that says it is looked into: JSON
//! starts with a brace.

use std::fmt;
use std::path::{Path, PathBuf};

use super::Problem;
use crate::task::title::is_hidden;

/// What a task file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `{"prompts": [...]}`
    Json,
    /// A prompt a line.
    Text,
    /// Instructions, or a specification with a plan of who does what.
    Markdown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    File(PathBuf),
    Stdin,
    Prompt(usize),
}

impl Source {
    pub(super) fn of(path: &Path) -> Self {
        if path == Path::new("-") {
            Self::Stdin
        } else {
            Self::File(path.into())
        }
    }

    /// What it is, if that is not `asked` for: standard input is JSON.
    pub(super) fn format(&self, asked: Option<Format>, text: &str) -> Result<Format, Problem> {
        let Self::File(path) = self else {
            return Ok(asked.unwrap_or(Format::Json));
        };
        let extension = path
            .extension()
            .and_then(|end| end.to_str())
            .map(str::to_ascii_lowercase);
        let by_name = match extension.as_deref() {
            Some("json") => Some(Format::Json),
            Some("txt" | "text" | "prompts") => Some(Format::Text),
            Some("md" | "markdown") => Some(Format::Markdown),
            _ => text.trim_start().starts_with('{').then_some(Format::Json),
        };
        asked.or(by_name).ok_or(Problem::NoFormat)
    }

    /// The name of the file without its extension, if it is text.
    pub(super) fn stem(&self) -> Option<&str> {
        match self {
            Self::File(path) => path.file_stem()?.to_str(),
            _ => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("standard input"),
            Self::Prompt(number) => write!(f, "-p number {number}"),
            // In full, since the user named it; but a name can hold anything.
            Self::File(path) => path.to_string_lossy().chars().try_for_each(|c| {
                if is_hidden(c) {
                    write!(f, "{}", c.escape_default())
                } else {
                    write!(f, "{c}")
                }
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_its_name_says_or_the_user() {
        let json = Some(Format::Json);
        for (name, text, asked, format) in [
            ("a.json", "x", None, json),
            ("a.JSON", "x", None, json),
            ("a.txt", "{", None, Some(Format::Text)),
            ("a.prompts", "{", None, Some(Format::Text)),
            ("a.Markdown", "{", None, Some(Format::Markdown)),
            ("a.md", "{", json, json),
            ("a", " \n{", None, json),
            ("/dev/fd/63", "{}", None, json),
            ("a.yaml", "x", None, None),
            ("a", "x", None, None),
            ("a", "x", Some(Format::Text), Some(Format::Text)),
            ("-", "x", None, json),
            ("-", "x", Some(Format::Markdown), Some(Format::Markdown)),
        ] {
            let source = Source::of(Path::new(name));
            assert_eq!(source.format(asked, text).ok(), format, "{name} {text} {asked:?}");
        }
    }
}
