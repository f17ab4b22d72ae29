//! A text that serde_json reads byte by byte, so that a seed can ask where the value starts that it is about to read.
//!
//! Called by the seeds and visitors of `json`. It turns every error into a [`Fault`] with the position of the key or
//! value that it is about; serde_json's own position is that of the byte at which it noticed.

use std::cell::{Cell, RefCell};
use std::io::{self, Read};

use serde::de::Error;

use crate::task::input::{Fault, Kind, Position, Problem};
use crate::task::title::is_blank;

/// What the seeds and visitors share: how far the text is read, and what they refused. serde's errors carry a text
/// alone; the rest waits here for [`Reader::fault`].
pub(super) struct Reader<'a> {
    text: &'a str,
    /// So many bytes were handed to serde_json.
    read: Cell<usize>,
    /// The last position that was asked for, with its byte.
    counted: Cell<(usize, Position)>,
    refused: RefCell<Option<(Option<Position>, Problem)>>,
    /// The entry that is being read, from 1; 0 outside the list.
    pub(super) entry: Cell<usize>,
    /// Its id or title, as given, once that is known.
    pub(super) name: RefCell<Option<String>>,
}

/// The text as serde_json takes it.
pub(super) struct Feed<'a>(pub(super) &'a Reader<'a>);

impl Read for Feed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let at = self.0.read.get();
        let mut rest = &self.0.text.as_bytes()[at..];
        // One byte at a time: whoever takes more would not be where `start` says.
        let end = buffer.len().min(1);
        let count = rest.read(&mut buffer[..end])?;
        self.0.read.set(at + count);
        Ok(count)
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            read: Cell::new(0),
            counted: Cell::new((0, Position::START)),
            refused: RefCell::default(),
            entry: Cell::new(0),
            name: RefCell::default(),
        }
    }

    /// The start of the value that is about to be read, if it is of a wanted kind.
    pub(super) fn want<E: Error>(
        &self,
        kinds: &[Kind],
        otherwise: impl FnOnce(Kind) -> Problem,
    ) -> Result<Position, E> {
        let start = self.start();
        let at = self.position(start);
        match self.kind(start) {
            Some(kind) if !kinds.contains(&kind) => Err(self.refuse(at, otherwise(kind))),
            _ => Ok(at),
        }
    }

    /// Keeps what is wrong, and gives the error that makes serde_json stop.
    pub(super) fn refuse<E: Error>(&self, at: impl Into<Option<Position>>, problem: Problem) -> E {
        self.refused.replace(Some((at.into(), problem)));
        E::custom("refused")
    }

    /// The position of a byte of the text.
    pub(super) fn position(&self, at: usize) -> Position {
        let at = self.text.floor_char_boundary(at);
        // Goes on from the last one: to count from the start for each id would take quadratic time.
        let (from, known) = match self.counted.get() {
            (from, _) if from > at => (0, Position::START),
            counted => counted,
        };
        let position = known.past(&self.text[from..at]);
        self.counted.set((at, position));
        position
    }

    /// What was refused; or else serde_json's own complaint.
    pub(super) fn fault(&self, error: &serde_json::Error) -> Fault {
        let refused = self.refused.take();
        let (position, problem) = refused.unwrap_or_else(|| {
            let (at, problem) = self.complaint(error);
            (at.map(|at| self.position(at)), problem)
        });
        let entry = Some(self.entry.get()).filter(|&number| number > 0);
        Fault {
            position,
            entry,
            name: self.name.take().filter(|name| !is_blank(name)),
            problem,
        }
    }

    /// serde_json has seen the first byte of a key or of an element of an array already when it asks a seed to read
    /// it; of a value in an object it has seen no more than the colon.
    fn start(&self) -> usize {
        let bytes = self.text.as_bytes();
        let read = self.read.get();
        let blank = |bytes: &[u8]| bytes.iter().take_while(|b| b.is_ascii_whitespace()).count();
        match read.checked_sub(1) {
            Some(last) if bytes[last] != b':' => last,
            _ => read + blank(&bytes[read..]),
        }
    }

    /// What kind of value starts there; none if it is no JSON, which serde_json then says better.
    fn kind(&self, start: usize) -> Option<Kind> {
        let rest = &self.text.as_bytes()[start..];
        match *rest {
            [b'{', ..] => Some(Kind::Object),
            [b'[', ..] => Some(Kind::Array),
            [b'"', ..] => Some(Kind::String),
            [b'0'..=b'9', ..] | [b'-', b'0'..=b'9', ..] => Some(Kind::Number),
            _ if rest.starts_with(b"true") || rest.starts_with(b"false") => Some(Kind::Boolean),
            _ if rest.starts_with(b"null") => Some(Kind::Null),
            _ => None,
        }
    }

    /// What serde_json says, in words that need no knowledge of parsers.
    fn complaint(&self, error: &serde_json::Error) -> (Option<usize>, Problem) {
        let said = error.to_string();
        let said = said.split(" at line ").next().unwrap_or_default();
        if let Some(inside) = said.strip_prefix("EOF while parsing ") {
            let problem = Problem::NotJson(format!("the text ends inside {inside}"));
            return (Some(self.text.trim_end().len()), problem);
        }
        let at = self.noticed(error);
        let words = match said {
            "trailing characters" => return (at, Problem::Trailing),
            "expected value" if at.is_some_and(|at| self.text[..at].trim().is_empty()) => {
                return (at, Problem::NoJson);
            }
            "trailing comma" => "a comma before a closing bracket",
            "key must be a string" => "a key without double quotes",
            "expected ident" => "expected true, false or null",
            "recursion limit exceeded" => "nested too deeply",
            s if s.starts_with("control character") => {
                r"a line break or another control character inside a string (write \n or \u001b)"
            }
            other => other,
        };
        (at, Problem::NotJson(words.into()))
    }

    /// The byte at which serde_json noticed. It reads on a little after that, so that `read` does not say it; its
    /// column is the number of bytes that it took from that line.
    fn noticed(&self, error: &serde_json::Error) -> Option<usize> {
        let lines = self.text.split_inclusive('\n');
        let start: usize = lines.take(error.line().saturating_sub(1)).map(str::len).sum();
        (start + error.column()).checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_in_any_order() {
        let reader = Reader::new("a\né漢x\r\n\ny");
        for (at, line, column) in [
            (0, 1, 1),
            (2, 2, 1),
            (4, 2, 2),
            (7, 2, 3),
            (8, 2, 4),
            (10, 3, 1),
            (11, 4, 1),
            (3, 2, 1),
            (99, 4, 2),
        ] {
            assert_eq!(reader.position(at), Position { line, column }, "{at}");
        }
    }
}
