//! The plain form of a task file: a prompt a line. And what every form of it is: text in UTF-8.
//!
//! Called by `input`. Blank lines are left out, and those whose first character is a `#`; of the others the white space
//! around them is not a part of the prompt.

use crate::task::entry::Entry;
use crate::task::input::{Fault, Format, Position, Problem};
use crate::task::title::is_blank;

/// The text of a file, without a byte order mark; something is in it.
pub(crate) fn decode(bytes: &[u8]) -> Result<&str, Fault> {
    // Task files start with two ASCII characters, nearly always; as UTF-16 one byte of each is zero.
    let utf16 =
        matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) || matches!(bytes, [a, b, ..] if (*a == 0) != (*b == 0));
    if utf16 {
        return Err(Fault::whole(Problem::Utf16));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = str::from_utf8(bytes).map_err(|error| {
        let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        Fault {
            position: Some(Position::START.past(&good)),
            ..Fault::whole(Problem::NotUtf8)
        }
    })?;
    if text.trim().is_empty() {
        return Err(Fault::whole(Problem::Empty(Format::Text)));
    }
    Ok(text)
}

/// Reads the entries of a text; there is at least one.
pub(crate) fn parse(text: &str) -> Result<Vec<Entry>, Fault> {
    let entry = |(line, number): (&str, usize)| {
        let prompt = line.trim();
        let indent = line.chars().take_while(|c| c.is_whitespace()).count();
        let at = Position {
            line: number,
            column: indent + 1,
        };
        let counts = !is_blank(prompt) && !prompt.starts_with('#');
        counts.then(|| Entry::prompt(at, prompt.to_owned()))
    };
    let entries: Vec<Entry> = text.lines().zip(1..).filter_map(entry).collect();
    match entries.is_empty() {
        true => Err(Fault::whole(Problem::NoLine)),
        false => Ok(entries),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_prompt_but_blank_ones_and_comments() {
        let text = "# tasks\r\nFix #12\r\n\r\n   # more\n\u{200b}\n\t Add a test  \n漢";
        let entries = parse(text).unwrap();
        let found: Vec<_> = entries
            .iter()
            .map(|entry| entry.prompt.as_ref().unwrap())
            .map(|(at, prompt)| (at.line, at.column, prompt.as_str()))
            .collect();
        assert_eq!(found, [(2, 1, "Fix #12"), (6, 3, "Add a test"), (7, 1, "漢")]);
        for text in ["# only\n", "\n \n# a"] {
            assert!(matches!(parse(text).unwrap_err().problem, Problem::NoLine));
        }
    }

    // Fault 38: UTF-16, and a byte order mark.
    #[test]
    fn encodings_are_told_apart_by_their_first_bytes() {
        for (bytes, good) in [
            (&b"{}"[..], true),
            (b"\xef\xbb\xbf{}", true),
            (b"\xff\xfe{\0}\0", false),
            (b"\xfe\xff\0{\0}", false),
            (b"{\0}\0", false),
            (b"\0{\0}", false),
            (b"\xff\xfe", false),
        ] {
            match decode(bytes) {
                Ok(text) => assert!(good && text == "{}", "{bytes:?}"),
                Err(fault) => {
                    assert!(!good && matches!(fault.problem, Problem::Utf16), "{bytes:?}");
                }
            }
        }
    }
}
