//! What a program shows on its terminal, as lines of plain text.
//!
//! The bytes go to an emulator of a screen. A row is text when it leaves the screen at the top; the rest is at the end,
//! and what a program shows on the alternate screen when it leaves that. Rows that are one line too long for the screen
//! are one line again. What is written over or cleared before is gone, as on any terminal. Programs that ask the
//! terminal who it is and where its cursor stands get an answer: some wait for it. Never more than a screen is held.

use std::num::NonZeroU16;

use console::measure_text_width;
use vt100::capture::{BasicFormattedCaptureRange, BasicFormattedCaptureState, RowContents, basic_formatted_to_plain};
use vt100::{Callbacks, Parser};

/// How high the terminal is, in lines.
pub const ROWS: u16 = 30;
/// How wide it is, in cells.
pub const COLUMNS: u16 = 80;
/// What it calls itself.
pub const TERM: &str = "xterm-256color";

/// A sequence that is longer than this is none that matters here, in bytes.
const LONGEST_SEQUENCE: usize = 32;

/// Stands in the last cell of a row where a character of two cells had no room: without anything there the emulator would
/// take the row for a whole line. Nobody has a meaning for this one, which is in no text.
const NO_ROOM: char = '\u{10fffd}';

/// The screen of a terminal.
pub struct Screen {
    emulator: Parser<Told>,
    /// The beginning of an escape sequence whose end has not come.
    sequence: Vec<u8>,
    /// The beginning of a character whose end has not come.
    character: Vec<u8>,
}

/// What the emulator tells.
#[derive(Default)]
struct Told {
    /// Rows that have gone, as text with attributes, which is what the emulator gives.
    text: String,
    rows: BasicFormattedCaptureState,
    /// Whether the last rows were of the alternate screen.
    alternate: bool,
    /// Whether there has been any text.
    has_begun: bool,
    /// Whether a line of another screen has to be ended before the next.
    line_due: bool,
    /// What the terminal answers.
    answers: Vec<u8>,
}

impl Default for Screen {
    fn default() -> Self {
        let cells = |n| NonZeroU16::new(n).unwrap_or(NonZeroU16::MIN);
        Self {
            emulator: Parser::new_with_callbacks(cells(ROWS), cells(COLUMNS), 0, Told::default()),
            sequence: Vec::new(),
            character: Vec::new(),
        }
    }
}

impl Screen {
    /// Takes in what the program has printed. Gives the text that has left the screen.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        let mut bytes = [&std::mem::take(&mut self.character), bytes].concat();
        self.character = bytes.split_off(whole_characters(&bytes));
        self.process(&bytes);
        self.taken()
    }

    fn process(&mut self, bytes: &[u8]) {
        let mut shown = 0;
        for (index, &byte) in bytes.iter().enumerate() {
            if self.leaves(byte) {
                // Before its last byte is seen, the screen is still there.
                self.emulator.process(&bytes[shown..index]);
                shown = index;
                if self.emulator.screen().alternate_screen() {
                    self.take_rest();
                }
            } else if is_wide(&bytes[index..]) {
                self.emulator.process(&bytes[shown..index]);
                shown = index;
                if self.emulator.screen().cursor_position().1 == COLUMNS - 1 {
                    self.emulator.process(NO_ROOM.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
        self.emulator.process(&bytes[shown..]);
    }

    /// Gives what is left on the screen.
    pub fn finish(&mut self) -> String {
        let character = std::mem::take(&mut self.character);
        self.process(&character);
        if self.emulator.screen().alternate_screen() {
            self.process(b"\x1b[?47l");
        }
        self.take_rest();
        let mut rest = self.taken();
        if self.emulator.callbacks().has_begun {
            rest.push('\n');
        }
        rest
    }

    /// What the terminal answers to what the program has asked since the last call.
    pub fn answers(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.emulator.callbacks_mut().answers)
    }

    /// Whether this byte ends a sequence that leaves the alternate screen. Of several modes in one sequence each may.
    fn leaves(&mut self, byte: u8) -> bool {
        match (byte, self.sequence.len()) {
            (0x1b, _) => {
                self.sequence.clear();
                self.sequence.push(byte);
                false
            }
            (_, 0) => false,
            (b'[', 1) => {
                self.sequence.push(byte);
                false
            }
            (b'0'..=b'?', 2..LONGEST_SEQUENCE) => {
                self.sequence.push(byte);
                false
            }
            _ => {
                let sequence = std::mem::take(&mut self.sequence);
                match (&sequence[1..], byte) {
                    ([], b'c') => true,
                    ([b'[', b'?', modes @ ..], b'l') => modes.split(|b| *b == b';').any(|m| m == b"47" || m == b"1049"),
                    _ => false,
                }
            }
        }
    }

    /// Takes all rows of the screen that is shown, but for the empty ones at its end.
    fn take_rest(&mut self) {
        let (screen, told) = self.emulator.screen_and_callbacks_mut();
        told.on_screen(screen.alternate_screen());
        let mut rest = String::new();
        // Nothing that is written to a text fails.
        let _ = screen.write_contents_formatted_basic(&mut rest, BasicFormattedCaptureRange::Full(&mut told.rows));
        let plain = plain(&rest);
        let plain = plain.trim_end();
        if !plain.is_empty() {
            told.begin_row();
            told.text.push_str(plain);
        }
    }

    fn taken(&mut self) -> String {
        let text = std::mem::take(&mut self.emulator.callbacks_mut().text);
        plain(&text)
    }
}

fn plain(text: &str) -> String {
    let plain: String = basic_formatted_to_plain(text).collect();
    plain.replace(NO_ROOM, "")
}

/// How many bytes a character has that begins with this one; nothing if none of more than one does.
fn length_of(first: u8) -> Option<usize> {
    match first {
        0xc2..=0xdf => Some(2),
        0xe0..=0xef => Some(3),
        0xf0..=0xf4 => Some(4),
        _ => None,
    }
}

/// How many of these bytes there are without the beginning of a character whose end is missing.
fn whole_characters(bytes: &[u8]) -> usize {
    let cut = (1..bytes.len().min(3) + 1).find(|back| {
        let length = length_of(bytes[bytes.len() - back]);
        length.is_some_and(|length| length > *back)
    });
    bytes.len() - cut.unwrap_or_default()
}

/// Whether these bytes begin with a character of two cells.
fn is_wide(bytes: &[u8]) -> bool {
    let character = bytes.first().and_then(|first| bytes.get(..length_of(*first)?));
    character
        .and_then(|character| std::str::from_utf8(character).ok())
        .is_some_and(|character| measure_text_width(character) == 2)
}

impl Told {
    /// The next rows are of this screen: they begin a line of their own.
    fn on_screen(&mut self, alternate: bool) {
        if self.alternate != alternate {
            self.alternate = alternate;
            self.rows = BasicFormattedCaptureState::new();
            self.line_due = self.has_begun;
        }
    }

    fn begin_row(&mut self) {
        self.has_begun = true;
        if std::mem::take(&mut self.line_due) {
            self.text.push('\n');
        }
    }

    fn answer(&mut self, answer: &str) {
        /// One that asks and does not read is not answered for ever.
        const MOST: usize = 4 << 10;
        if self.answers.len() < MOST {
            self.answers.extend_from_slice(answer.as_bytes());
        }
    }
}

impl Callbacks for Told {
    fn on_scroll(&mut self, row: RowContents<'_>, alternate_screen: bool) {
        self.on_screen(alternate_screen);
        self.begin_row();
        let _ = row.write_formatted_basic(&mut self.text, &mut self.rows);
    }

    fn unhandled_csi(
        &mut self,
        screen: &mut vt100::Screen,
        i1: Option<u8>,
        _i2: Option<u8>,
        params: &[&[u16]],
        c: char,
    ) {
        let first = params.first().and_then(|p| p.first()).copied().unwrap_or_default();
        match (i1, c, first) {
            (None, 'n', 5) => self.answer("\x1b[0n"),
            (None, 'n', 6) => {
                let (row, column) = screen.cursor_position();
                self.answer(&format!("\x1b[{};{}R", row + 1, column.min(COLUMNS - 1) + 1));
            }
            // A VT100 with the advanced video option, and no version of it.
            (None, 'c', 0) => self.answer("\x1b[?1;2c"),
            (Some(b'>'), 'c', 0) => self.answer("\x1b[>0;0;0c"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(printed: &str) -> String {
        let whole = {
            let mut screen = Screen::default();
            screen.push(printed.as_bytes()) + &screen.finish()
        };
        // However it comes, it is the same.
        let mut screen = Screen::default();
        let mut bit_by_bit = String::new();
        for byte in printed.as_bytes() {
            bit_by_bit += &screen.push(&[*byte]);
        }
        bit_by_bit += &screen.finish();
        assert_eq!(bit_by_bit, whole);
        whole
    }

    #[test]
    fn colours_and_movements_become_what_was_seen() {
        for (printed, seen) in [
            ("", ""),
            ("plain\r\n", "plain\n"),
            (
                "\x1b[1;31mred\x1b[0m and \x1b[4mlined\x1b[m\r\n\r\nend",
                "red and lined\n\nend\n",
            ),
            ("10%\r50%\r100%\r\n", "100%\n"),
            ("\x1b[3;5Hthere\x1b[Hhere", "here\n\n    there\n"),
            ("wrong\x1b[2K\rright", "right\n"),
            (
                "\x1b]0;a title\x07shown\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\",
                "shownlink\n",
            ),
            ("a\tb\r\n\u{e4}\u{754c}\r\n", "a       b\n\u{e4}\u{754c}\n"),
        ] {
            assert_eq!(text(printed), seen, "{printed:?}");
        }
    }

    #[test]
    fn lines_that_leave_at_the_top_come_as_they_leave() {
        let mut screen = Screen::default();
        let mut log = String::new();
        for n in 1..=100 {
            log += &screen.push(format!("\x1b[32mline {n}\x1b[m\r\n").as_bytes());
        }
        assert!(log.ends_with("line 71"), "{log}");
        log += &screen.finish();
        let expected: String = (1..=100).map(|n| format!("line {n}\n")).collect();
        assert_eq!(log, expected);
    }

    #[test]
    fn a_line_that_is_too_long_for_the_screen_is_one_line() {
        let long = "0123456789".repeat(1000);
        assert_eq!(
            text(&format!("{long}\r\n{long}\r\nend")),
            format!("{long}\n{long}\nend\n")
        );
        // A character of two cells has no room in the last one.
        for before in ["", "a", "\u{e4}"] {
            let wide = format!("{before}{}", "\u{754c}\u{1f600}".repeat(1000));
            assert_eq!(text(&format!("{wide}\r\n{wide}")), format!("{wide}\n{wide}\n"));
        }
    }

    #[test]
    fn what_was_on_the_alternate_screen_is_kept_when_it_is_left() {
        let inside = "\x1b[?1049h\x1b[2J\x1b[Hfull screen\x1b[5;1Hof text";
        let seen = "full screen\n\n\n\nof text\n";
        assert_eq!(
            text(&format!("before\r\n{inside}\x1b[?1049lafter")),
            format!("{seen}before\nafter\n")
        );
        assert_eq!(text(&format!("{inside}\x1b[?25;1049l")), seen);
        assert_eq!(text(inside), seen);
        assert_eq!(text(&format!("before\r\n{inside}")), format!("{seen}before\n"));
        assert_eq!(text(&format!("{inside}\x1bcafter")), format!("{seen}after\n"));
        assert_eq!(text("\x1b[?1049h\x1b[?1049lonly"), "only\n");
    }

    #[test]
    fn questions_are_answered() {
        for (asked, answer) in [
            ("\x1b[6n", "\x1b[1;1R"),
            ("ab\r\nc\x1b[6n", "\x1b[2;2R"),
            ("\x1b[5n\x1b[c\x1b[>0c", "\x1b[0n\x1b[?1;2c\x1b[>0;0;0c"),
            ("\x1b[?6n\x1b[1c", ""),
        ] {
            let mut screen = Screen::default();
            screen.push(asked.as_bytes());
            assert_eq!(String::from_utf8(screen.answers()).unwrap(), answer, "{asked:?}");
            assert!(screen.answers().is_empty());
        }
        let mut screen = Screen::default();
        screen.push("\x1b[6n".repeat(100_000).as_bytes());
        assert!(screen.answers().len() < 5_000);
    }

    // Fault 24: whatever bytes come, no escape sequence and no other control character is left of them.
    #[test]
    fn nothing_of_any_bytes_can_do_anything_to_a_terminal() {
        let mut state = 1_u64;
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            // As many escapes and brackets as anything else.
            match state >> 60 {
                0..3 => 0x1b,
                3..5 => b'[',
                _ => (state >> 33) as u8,
            }
        })
        .take(1 << 20)
        .collect();
        let mut screen = Screen::default();
        let log = screen.push(&bytes) + &screen.finish();
        assert!(log.len() > 1000);
        assert_eq!(log.chars().find(|c| c.is_control() && *c != '\n'), None);
    }
}
