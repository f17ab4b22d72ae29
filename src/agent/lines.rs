//! Puts pieces of output together to lines, in bounded memory.

/// A line that is longer than this many bytes is not held, and not read as JSON.
pub const LONGEST_LINE: usize = 16 << 20;

/// A line without its line break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'l> {
    /// All of it.
    Whole(&'l [u8]),
    /// One that is longer than [`LONGEST_LINE`].
    TooLong {
        /// How many bytes it has.
        bytes: u64,
    },
}

/// What has come of a line that is not complete.
#[derive(Debug, Default)]
pub struct Lines {
    held: Vec<u8>,
    length: u64,
}

impl Lines {
    /// Takes in a piece, and gives every line that it completes.
    pub fn push(&mut self, mut bytes: &[u8], mut on_line: impl FnMut(Line<'_>)) {
        while let Some(end) = bytes.iter().position(|&b| b == b'\n') {
            self.extend(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.end(&mut on_line);
        }
        self.extend(bytes);
    }

    /// Gives what is there of a line whose end will not come.
    pub fn finish(&mut self, on_line: impl FnMut(Line<'_>)) {
        if self.length > 0 {
            self.end(on_line);
        }
    }

    fn end(&mut self, mut on_line: impl FnMut(Line<'_>)) {
        match self.length {
            bytes if bytes > LONGEST_LINE as u64 => on_line(Line::TooLong { bytes }),
            _ => on_line(Line::Whole(&self.held)),
        }
        self.held.clear();
        self.length = 0;
    }

    /// How many bytes are held.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    fn extend(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        if self.length > LONGEST_LINE as u64 {
            self.held = Vec::new();
        } else {
            self.held.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Fault 23: a line that is too long is marked as such.
    #[test]
    fn pieces_become_lines_and_one_that_is_too_long_is_counted() {
        let mut lines = Lines::default();
        let mut seen: Vec<String> = Vec::new();
        let mut push = |lines: &mut Lines, bytes: &[u8]| {
            lines.push(bytes, |line| {
                seen.push(match line {
                    Line::Whole(line) => String::from_utf8_lossy(line).into_owned(),
                    Line::TooLong { bytes } => format!("{bytes} bytes"),
                });
            });
        };
        push(&mut lines, b"on");
        push(&mut lines, b"e\n\ntwo\nthr");
        push(&mut lines, b"ee\n");
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..17 {
            push(&mut lines, &piece);
            assert!(lines.held() <= LONGEST_LINE);
        }
        push(&mut lines, b"\nlast");
        lines.finish(|line| assert_eq!(line, Line::Whole(b"last")));
        lines.finish(|line| panic!("{line:?}"));
        assert_eq!(seen, ["one", "", "two", "three", "17825792 bytes"]);
    }
}
