//! Text of strangers in a given number of terminal columns.
//!
//! Terminals do not agree on how wide some characters are (emoji of several characters most of all), so a text counts
//! as wide as the widest of them would show it: a line never takes more columns than it was given, though it may take
//! fewer.

use console::{AnsiCodeIterator, measure_text_width, strip_ansi_codes};

use super::escape;

/// Text without width (stacked accents) is cut too: at so many characters for each column.
const CHARACTERS_PER_COLUMN: usize = 4;

/// The most columns that a terminal may show the text in. It has no escape sequences.
pub(super) fn width(text: &str) -> usize {
    let single = |c: char| measure_text_width(c.encode_utf8(&mut [0; 4]));
    measure_text_width(text).max(text.chars().map(single).sum())
}

/// One line of text that can do nothing to a terminal, in at most so many columns; what is cut off shows as `…`.
pub(super) fn cut(text: &str, columns: usize) -> String {
    let most = columns.saturating_mul(CHARACTERS_PER_COLUMN);
    // It may be megabytes: no more of it is looked at than can be shown.
    let beginning: String = text.chars().take(most.saturating_add(1)).collect();
    let mut line: String = escape(&beginning)
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .take(most.saturating_add(1))
        .collect();
    line.truncate(line.trim_end().len());
    if line.chars().count() <= most && width(&line) <= columns {
        return line;
    }
    if columns == 0 {
        return String::new();
    }
    while line.chars().count() > most || width(&line) >= columns || line.ends_with([' ', '\u{200d}']) {
        line.pop();
    }
    line.push('…');
    line
}

/// The same of a line of ours that has colours, which stay.
pub(super) fn cut_styled(line: &str, columns: usize) -> String {
    if width(&strip_ansi_codes(line)) <= columns {
        return line.to_owned();
    }
    let (mut cut_off, mut room) = (String::new(), columns);
    let mut is_full = false;
    for (piece, is_code) in AnsiCodeIterator::new(line) {
        let wide = width(piece);
        if is_code {
            cut_off.push_str(piece);
        } else if !is_full && wide < room {
            cut_off.push_str(piece);
            room -= wide;
        } else if !is_full {
            // One more than there is room for: so it ends with what says that there is more.
            cut_off.push_str(&cut(&format!("{piece}."), room));
            is_full = true;
        }
    }
    cut_off
}

/// Text in at most so many columns, and filled up with spaces.
pub(super) fn fit(text: &str, columns: usize) -> String {
    let mut line = cut(text, columns);
    line.extend(std::iter::repeat_n(' ', columns.saturating_sub(width(&line))));
    line
}

/// The words of a text on lines of at most so many columns; the second line and those after it are indented.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    const INDENT: &str = "  ";
    let mut lines = vec![String::new()];
    for word in escape(text).split_whitespace() {
        let word = cut(word, columns.saturating_sub(INDENT.len()));
        let line = lines.last_mut().map(|line| (width(line) + 1 + width(&word), line));
        match line {
            Some((wide, line)) if wide <= columns || line.trim().is_empty() => {
                if !line.trim().is_empty() {
                    line.push(' ');
                }
                line.push_str(&word);
            }
            _ => lines.push(format!("{INDENT}{word}")),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_never_takes_more_columns_than_it_was_given() {
        for text in [
            "plain text that is long enough to be cut",
            "漢字漢字漢字漢字漢字漢字漢字漢字漢字",
            "👩\u{200d}💻👩\u{200d}💻👩\u{200d}💻👩\u{200d}💻👩\u{200d}💻",
            "☀\u{fe0f}☀\u{fe0f}☀\u{fe0f}☀\u{fe0f}☀\u{fe0f}☀\u{fe0f}",
            "e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}",
            "\x1b[31mred\x1b[0m\x1b]0;title\x07",
            "one\ntwo\tthree\r\nfour",
            "",
        ] {
            for columns in 0..50 {
                let line = cut(text, columns);
                assert!(width(&line) <= columns, "{columns}: {line:?}");
                assert!(!line.chars().any(char::is_control), "{line:?}");
                let line = fit(text, columns);
                assert_eq!(width(&line), columns, "{line:?}");
                assert!(wrap(text, columns.max(8)).iter().all(|l| width(l) <= columns.max(8)));
            }
        }
        assert!(cut(&"\u{301}".repeat(100_000), 10).chars().count() <= 41);
    }

    #[test]
    fn colours_stay_where_a_line_is_cut() {
        for (columns, expected) in [
            (12, "a \x1b[31mred\x1b[0m \x1b[2mline\x1b[0m"),
            (10, "a \x1b[31mred\x1b[0m \x1b[2mline\x1b[0m"),
            (9, "a \x1b[31mred\x1b[0m \x1b[2mli…\x1b[0m"),
            (5, "a \x1b[31mre…\x1b[0m\x1b[2m\x1b[0m"),
            (2, "a…\x1b[31m\x1b[0m\x1b[2m\x1b[0m"),
            (0, "\x1b[31m\x1b[0m\x1b[2m\x1b[0m"),
        ] {
            assert_eq!(
                cut_styled("a \x1b[31mred\x1b[0m \x1b[2mline\x1b[0m", columns),
                expected,
                "{columns}"
            );
        }
    }

    #[test]
    fn what_is_cut_off_is_shown_as_such() {
        assert_eq!(cut("a text  ", 6), "a text");
        assert_eq!(cut("a text", 5), "a te…");
        assert_eq!(cut("two\nlines", 20), "two lines");
        assert_eq!(cut("漢字漢字", 6), "漢字…");
        assert_eq!(cut("a\x1bb", 20), "a\\x1bb");
        assert_eq!(fit("漢字", 6), "漢字  ");
        assert_eq!(wrap("one two three four", 9), ["one two", "  three", "  four"]);
        assert_eq!(wrap("", 9), [""]);
    }
}
