//! Counts what has to be resolved in a text with git's conflict markers in it. Pure.

/// So many places between markers, and so many lines to choose from in them: those of both sides, not of their base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marked {
    /// Places.
    pub hunks: usize,
    /// Lines.
    pub lines: usize,
}

/// Where in a text a line is.
enum At {
    /// Outside of all markers.
    Outside,
    /// After the first marker, which is so long, and so many lines.
    Side { size: usize, lines: usize },
    /// In what both sides come from, as the styles `diff3` and `zdiff3` show it.
    Base { size: usize, lines: usize },
}

/// Counts, where the sides are labelled so. Other lines that look like markers are content.
pub(super) fn count(text: &[u8], ours: &str, theirs: &str) -> Marked {
    let mut marked = Marked::default();
    let mut at = At::Outside;
    for line in text.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        at = match at {
            At::Outside => match marker(line, b'<', |label| is_of(label, ours)) {
                Some(size) => At::Side { size, lines: 0 },
                None => At::Outside,
            },
            At::Side { size, lines } if marker(line, b'>', |label| is_of(label, theirs)) == Some(size) => {
                marked.hunks += 1;
                marked.lines += lines.saturating_sub(1);
                At::Outside
            }
            At::Side { size, lines } if marker(line, b'|', is_of_base) == Some(size) => At::Base { size, lines },
            // The line between the sides counts here, and is taken off at the end.
            At::Side { size, lines } => At::Side { size, lines: lines + 1 },
            At::Base { size, lines } if line.len() == size && line.iter().all(|byte| *byte == b'=') => {
                At::Side { size, lines: lines + 1 }
            }
            base @ At::Base { .. } => base,
        };
    }
    marked
}

/// The length of a marker with such a label.
fn marker(line: &[u8], of: u8, is_label: impl Fn(&[u8]) -> bool) -> Option<usize> {
    let size = line.iter().take_while(|byte| **byte == of).count();
    let label = line[size..].strip_prefix(b" ")?;
    (size > 0 && is_label(label)).then_some(size)
}

/// Where a file was renamed its path follows after a colon.
fn is_of(label: &[u8], side: &str) -> bool {
    let rest = label.strip_prefix(side.as_bytes());
    rest.is_some_and(|rest| rest.is_empty() || rest[0] == b':')
}

/// git names the base by a short id, or in words where there are several or none.
fn is_of_base(label: &[u8]) -> bool {
    let name = label.split(|byte| *byte == b':').next().unwrap_or_default();
    let is_id = name.len() >= 4 && name.iter().all(u8::is_ascii_hexdigit);
    is_id || name == b"merged common ancestors" || name == b"empty tree"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_the_markers_of_both_sides_counts() {
        for (text, hunks, lines) in [
            ("", 0, 0),
            ("a\nb\n", 0, 0),
            ("a\n<<<<<<< 0a\nb\n=======\nc\nd\n>>>>>>> 0b\ne\n", 1, 3),
            (
                "<<<<<<< 0a\r\nb\r\n=======\r\n>>>>>>> 0b\r\n<<<<<<< 0a\r\n=======\r\nc\r\n>>>>>>> 0b\r\n",
                2,
                2,
            ),
            // A file that was renamed, and a last line without an end.
            ("<<<<<<< 0a:x y\nb\n=======\nc\n>>>>>>> 0b:z", 1, 2),
            // Another length.
            ("<<< 0a\nb\n===\nc\n>>> 0b\n", 1, 2),
            // With the base, which git names in one of three ways.
            ("<<<<<<< 0a\nb\n||||||| 1f2e3d4\no\no\n=======\nc\n>>>>>>> 0b\n", 1, 2),
            (
                "<<<<<<< 0a\nb\n||||||| merged common ancestors:p\no\n=======\n>>>>>>> 0b\n",
                1,
                1,
            ),
            ("<<<<<<< 0a\nb\n||||||| empty tree\n=======\nc\n>>>>>>> 0b\n", 1, 2),
            // The markers of a base that was itself merged.
            (
                "<<<<<<< 0a\nb\n||||||| merged common ancestors\n<<<<<<<<< Temporary merge branch 1\no\n=========\np\n\
                >>>>>>>>> Temporary merge branch 2\n=======\nc\n>>>>>>> 0b\n",
                1,
                2,
            ),
            // Lines that look like markers: others' conflicts, headings, tables.
            ("<<<<<<< HEAD\nb\n=======\nc\n>>>>>>> 0b\n", 0, 0),
            (
                "<<<<<<< 0a\nTitle\n=======\n||||||| x\n=======\n>>>>>>> other\n>>>> 0b\n>>>>>>> 0b\n",
                1,
                5,
            ),
            ("<<<<<<< 0ac\nb\n=======\nc\n>>>>>>> 0b\n", 0, 0),
        ] {
            assert_eq!(count(text.as_bytes(), "0a", "0b"), Marked { hunks, lines }, "{text}");
        }
    }
}
