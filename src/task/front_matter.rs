//! What stands before the text of a Markdown file: keys of a task in YAML, between two lines of `---`.
//!
//! Called by `markdown`. Of YAML no more is read than a task needs: keys with strings, numbers, lists and mappings of
//! strings. The parser brings one piece after the other with its place, so that nothing is ever held that no key takes;
//! aliases, which can make a little text into a lot, are refused, and so are anchors and tags.

use std::collections::HashSet;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError};

use crate::task::entry::{Entry, Key, Misfit, Node, Scope, Value};
use crate::task::input::{Fault, Kind, Position, Problem};

/// Splits a text in what stands between the lines, if it starts with one, and what follows; with the number of the
/// line at which that begins.
pub(super) fn split(text: &str) -> Result<(Option<&str>, &str, usize), Fault> {
    let is_line = |line: &str| line.trim_end() == "---";
    let mut lines = text.split_inclusive('\n');
    let Some(first) = lines.next().filter(|line| is_line(line)) else {
        return Ok((None, text, 1));
    };
    let mut end = first.len();
    for (line, number) in lines.zip(2..) {
        if is_line(line) {
            return Ok((Some(&text[first.len()..end]), &text[end + line.len()..], number + 1));
        }
        end += line.len();
    }
    Err(Fault {
        position: Some(Position::START),
        ..Fault::whole(Problem::OpenFrontMatter)
    })
}

/// Reads the keys that may stand in `scope` into an entry.
pub(super) fn read(yaml: &str, scope: Scope) -> Result<Entry, Fault> {
    let mut entry = Entry::new(Position::START);
    Pieces(Parser::new_from_str(yaml))
        .fill(&mut entry, scope)
        .map_err(|(at, problem)| Fault {
            position: Some(at),
            entry: None,
            name: entry.name().map(str::to_owned),
            problem,
        })?;
    Ok(entry)
}

/// One piece, as much of it as counts here.
enum Piece {
    Scalar(String, ScalarStyle),
    List,
    Map,
    /// Of a list, of a mapping, or of the text.
    End,
}

struct Pieces<'y>(Parser<'y, saphyr_parser::StrInput<'y>>);

impl Pieces<'_> {
    /// The next piece; what surrounds documents is passed over.
    fn next(&mut self) -> Result<(Position, Piece), Misfit> {
        loop {
            let Some(next) = self.0.next_event() else {
                return Ok((Position::START, Piece::End));
            };
            let (event, span) = next.map_err(|e| unreadable(&e))?;
            let at = position(span.start);
            let plain = |anchor: usize, tagged: bool, piece| match anchor > 0 || tagged {
                true => Err((at, Problem::NotPlain)),
                false => Ok((at, piece)),
            };
            return match event {
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => continue,
                Event::StreamEnd | Event::SequenceEnd | Event::MappingEnd => Ok((at, Piece::End)),
                Event::Alias(_) => Err((at, Problem::NotPlain)),
                Event::Scalar(text, style, anchor, tag) => {
                    plain(anchor, tag.is_some(), Piece::Scalar(text.into_owned(), style))
                }
                Event::SequenceStart(anchor, tag) => plain(anchor, tag.is_some(), Piece::List),
                Event::MappingStart(anchor, tag) => plain(anchor, tag.is_some(), Piece::Map),
            };
        }
    }

    fn fill(&mut self, entry: &mut Entry, scope: Scope) -> Result<(), Misfit> {
        match self.next()? {
            (_, Piece::End) => return Ok(()),
            (_, Piece::Map) => {}
            (at, other) => return Err((at, Problem::NoKeys(kind(&other)))),
        }
        let mut seen = HashSet::new();
        while let Some((at, name)) = self.key()? {
            let key = scope.key(&name).map_err(|problem| (at, problem))?;
            if !seen.insert(key.name) {
                return Err((at, Problem::KeyTwice(key.name)));
            }
            let node = self.node(key)?;
            entry.set(key, node)?;
        }
        match self.next()? {
            (_, Piece::End) => Ok(()),
            (at, _) => Err((at, Problem::NotYaml("more than one document".into()))),
        }
    }

    /// The next key of a mapping.
    fn key(&mut self) -> Result<Option<(Position, String)>, Misfit> {
        match self.next()? {
            (_, Piece::End) => Ok(None),
            (at, Piece::Scalar(text, _)) => Ok(Some((at, text))),
            (at, _) => Err((at, Problem::NotYaml("a key that is no word".into()))),
        }
    }

    /// The value of a key.
    fn node(&mut self, key: &'static Key) -> Result<Node, Misfit> {
        let (at, piece) = self.next()?;
        let found = kind(&piece);
        if !key.takes.kinds().contains(&found) {
            return Err((at, key.refuses(found)));
        }
        let value = match piece {
            Piece::Scalar(text, _) if found == Kind::Number => Value::Number(text.parse().unwrap_or(f64::NAN)),
            Piece::Scalar(text, _) => Value::Text(text),
            Piece::List => Value::Texts(self.texts(key)?),
            Piece::Map => Value::Variables(self.variables(key)?),
            // Where a value is missing the parser gives an empty one.
            Piece::End => return Err((at, key.refuses(Kind::Null))),
        };
        Ok(Node { at, value })
    }

    fn texts(&mut self, key: &'static Key) -> Result<Vec<(Position, String)>, Misfit> {
        let mut texts = Vec::new();
        loop {
            match self.next()? {
                (_, Piece::End) => return Ok(texts),
                (at, piece) => texts.push((at, inside(key, at, piece)?)),
            }
        }
    }

    fn variables(&mut self, key: &'static Key) -> Result<Vec<(Position, String, String)>, Misfit> {
        let mut variables = Vec::new();
        let mut names = HashSet::new();
        while let Some((at, name)) = self.key()? {
            if !names.insert(name.clone()) {
                return Err((at, Problem::VariableTwice(name)));
            }
            let (start, piece) = self.next()?;
            variables.push((at, name, inside(key, start, piece)?));
        }
        Ok(variables)
    }
}

/// A string inside of a list or a mapping.
fn inside(key: &'static Key, at: Position, piece: Piece) -> Result<String, Misfit> {
    match (kind(&piece), piece) {
        (Kind::String, Piece::Scalar(text, _)) => Ok(text),
        (found, _) => Err((at, key.refuses_inside(found))),
    }
}

/// What a piece is; a plain word may be something else than a string.
fn kind(piece: &Piece) -> Kind {
    match piece {
        Piece::Map => Kind::Object,
        Piece::List => Kind::Array,
        Piece::Scalar(text, ScalarStyle::Plain) => match text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
            "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => Kind::Boolean,
            // Not what Rust reads besides: `inf`, `nan`.
            text if text.parse::<f64>().is_ok() && text.contains(|c: char| c.is_ascii_digit()) => Kind::Number,
            _ => Kind::String,
        },
        Piece::Scalar(..) => Kind::String,
        Piece::End => Kind::Null,
    }
}

/// The place in the file: the line of `---` is the first.
fn position(mark: Marker) -> Position {
    Position {
        line: mark.line() + 1,
        column: mark.col() + 1,
    }
}

fn unreadable(e: &ScanError) -> Misfit {
    (position(*e.marker()), Problem::NotYaml(e.info().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(yaml: &str) -> (Position, Problem) {
        let fault = read(yaml, Scope::FrontMatter).unwrap_err();
        (fault.position.unwrap(), fault.problem)
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let yaml = "# options\nid: api\ntitle: \"The: API\"\ntimeout: 10m\nidle_timeout: 1.5\nretry: 2\nenv:\n  PORT: \"80\"\n  \
                    NAME: a b\nsetup:\n- npm ci\n- 'make x'\ndepends_on: [a, \"b c\"]\nverify: |\n  cargo test\n  cargo doc\n";
        let entry = read(yaml, Scope::FrontMatter).unwrap();
        assert_eq!(entry.name(), Some("api"));
        assert_eq!(entry.title.as_deref(), Some("The: API"));
        let options = entry.options;
        assert_eq!(
            (options.timeout_ms, options.idle_timeout_ms),
            (Some(600_000), Some(1_500))
        );
        assert_eq!(options.retry, Some(2));
        let env: Vec<_> = options.env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(env, [("NAME", "a b"), ("PORT", "80")]);
        assert_eq!(options.setup.unwrap(), ["npm ci", "make x"]);
        assert_eq!(options.verify.as_deref(), Some("cargo test\ncargo doc\n"));
        let depends: Vec<_> = entry.depends_on.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(depends, ["a", "b c"]);
        for nothing in ["", "\n", "# nothing\n", "{}"] {
            assert!(read(nothing, Scope::FrontMatter).unwrap().options.is_empty());
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_in_the_file() {
        for (yaml, line, column, words) in [
            ("timout: 5m\n", 2, 1, "unknown key \"timout\""),
            ("retry: 1\nretry: 2\n", 3, 1, "key \"retry\" is given twice"),
            ("retry: two\n", 2, 8, "\"retry\" is a string, not a number"),
            (
                "retry: .5\n",
                2,
                8,
                "\"retry\" is not a whole number from 0 to 4294967295",
            ),
            ("title: 7\n", 2, 8, "\"title\" is a number, not a string"),
            ("title: true\n", 2, 8, "\"title\" is a boolean, not a string"),
            ("model: ~\n", 2, 8, "\"model\" is null, not a string"),
            ("env:\n  A: 1\n", 3, 6, "\"env\" has a number in it, not only strings"),
            ("env:\n  A: a\n  A: b\n", 4, 3, "the variable \"A\" is given twice"),
            (
                "setup:\n- [a]\n",
                3,
                3,
                "\"setup\" has an array in it, not only strings",
            ),
            ("prompt: x\n", 2, 1, "\"prompt\" cannot stand in front matter"),
            ("- a\n", 2, 1, "the front matter is an array, not a list of keys"),
            ("some text\n", 2, 1, "the front matter is a string, not a list of keys"),
            ("title: &a x\n", 2, 8, "there is an anchor, an alias or a tag"),
            ("title: !!str x\n", 2, 8, "there is an anchor, an alias or a tag"),
            (
                "? [a]\n: b\n",
                2,
                3,
                "the front matter is no YAML: a key that is no word",
            ),
        ] {
            let (at, problem) = refused(yaml);
            assert_eq!(
                (problem.to_string().as_str(), at),
                (words, Position { line, column }),
                "{yaml}"
            );
        }
        let (at, problem) = refused("title: \"open\n");
        assert!(matches!(problem, Problem::NotYaml(_)) && at.line >= 2, "{problem}");
    }

    // Fault 38: YAML that grows, and nesting without end.
    #[test]
    fn no_front_matter_grows_or_is_gone_into_without_end() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..20 {
            let before = format!("*a{}", n - 1);
            bomb += &format!("a{n}: &a{n} [{}]\n", [before.as_str(); 9].join(", "));
        }
        for yaml in [
            bomb,
            "title: &t x\nmodel: *t\n".into(),
            "title: *t\n".into(),
            "<<: *t\n".into(),
            format!("title: {}", "[".repeat(100_000)),
            format!("env: {}", "{a: ".repeat(100_000)),
            "- ".repeat(100_000),
            "? ".repeat(100_000),
            "a: ".repeat(100_000),
            format!("setup: {}", "- ".repeat(100_000)),
        ] {
            assert!(read(&yaml, Scope::FrontMatter).is_err());
        }
    }

    #[test]
    fn it_stands_between_two_lines_at_the_very_start() {
        let split = |text| split(text).map_err(|fault| fault.problem.to_string());
        assert_eq!(split("---\na: b\n---\ntext\n"), Ok((Some("a: b\n"), "text\n", 4)));
        assert_eq!(split("---\r\na: b\r\n--- \r\ntext"), Ok((Some("a: b\r\n"), "text", 4)));
        assert_eq!(split("---\n---"), Ok((Some(""), "", 3)));
        assert_eq!(split("text\n---\na: b\n---\n"), Ok((None, "text\n---\na: b\n---\n", 1)));
        assert_eq!(split("----\n"), Ok((None, "----\n", 1)));
        assert!(split("---\na: b\n").is_err() && split("---").is_err());
    }
}
