//! Titles: the one line by which a person knows a task.
//!
//! Called by the readers of task files; `quoted` and `is_blank` also serve error messages. Prompts and titles are
//! text of strangers, and what is made here is printed on terminals: nothing in it moves a cursor, turns the
//! direction of writing or hides, and it is as wide as its terminal columns say.

use console::measure_text_width;

/// The most terminal columns that a title takes.
pub const TITLE_COLUMNS: usize = 60;
/// The most terminal columns of text that an error message quotes.
const QUOTE_COLUMNS: usize = 40;
/// Text without width (stacked accents) is cut too: at so many characters for each column.
const CHARACTERS_PER_COLUMN: usize = 4;

/// The title of a task that was given none: the first line of its prompt in which something can be seen.
pub fn title_of(prompt: &str) -> String {
    prompt
        .split(['\n', '\r'])
        .map(clean_title)
        .find(|title| !title.is_empty())
        .unwrap_or_default()
}

/// A given title as it is kept: one line, trimmed, white space and control characters as single spaces, invisible
/// formatting removed, cut at [`TITLE_COLUMNS`] with `…`. Empty if nothing in it can be seen.
pub fn clean_title(given: &str) -> String {
    let mut line = String::new();
    let mut length = 0;
    let mut gap = false;
    for c in given.chars().filter(|&c| !is_invisible(c)) {
        if c.is_whitespace() || c.is_control() {
            gap = length > 0;
            continue;
        }
        if length == 0 && !is_seen(c) {
            continue;
        }
        if std::mem::take(&mut gap) {
            line.push(' ');
        }
        line.push(c);
        length += 1;
        // A prompt may be one line of megabytes: no more of it is taken than decides the title.
        if length > TITLE_COLUMNS * CHARACTERS_PER_COLUMN {
            break;
        }
    }
    cut(line, TITLE_COLUMNS)
}

/// Whether nothing in the text can be seen; such a text has no title.
pub(crate) fn is_blank(text: &str) -> bool {
    !text.chars().any(is_seen)
}

/// Whether printing the character would do something else than show it.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control() || is_invisible(c)
}

/// Whether it is not seen itself, and shows in what stands beside it at most: scripts and emoji need it.
pub(crate) fn is_joiner(c: char) -> bool {
    matches!(c, '\u{34f}' | '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}')
}

fn is_seen(c: char) -> bool {
    let width = || measure_text_width(c.encode_utf8(&mut [0; 4]));
    !c.is_whitespace() && !is_hidden(c) && width() > 0
}

/// The text in double quotes for a message of one line: what hides is escaped, and a long text is cut with `…`.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars().take(QUOTE_COLUMNS * CHARACTERS_PER_COLUMN + 1) {
        match c {
            '"' | '\\' => shown.extend(['\\', c]),
            '\n' | '\r' | '\t' => shown.extend(c.escape_default()),
            c if is_hidden(c) || is_joiner(c) || (c.is_whitespace() && c != ' ') => {
                shown.extend(c.escape_unicode());
            }
            c => shown.push(c),
        }
    }
    format!("\"{}\"", cut(shown, QUOTE_COLUMNS))
}

/// Formatting that changes the look of other text, or the meaning, without being seen: directions of writing,
/// separators, fillers, tags. Joiners and the usual variation selectors stay: scripts and emoji need them.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

// `console::truncate_str` adds up single characters, which is too little for emoji of two characters.
fn cut(mut text: String, columns: usize) -> String {
    let most = columns * CHARACTERS_PER_COLUMN;
    let end = text.char_indices().nth(most).map(|(i, _)| i);
    if end.is_none() && measure_text_width(&text) <= columns {
        return text;
    }
    text.truncate(end.unwrap_or(text.len()));
    while measure_text_width(&text) >= columns || text.ends_with([' ', '\u{200d}']) {
        text.pop();
    }
    text.push('…');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_title_is_the_first_line_that_can_be_seen() {
        for (prompt, title) in [
            ("Fix the login", "Fix the login"),
            ("\n \t\r\n  Fix the login  \r\nand more", "Fix the login"),
            ("\u{200b}\u{7}\n\u{feff}real", "real"),
            ("one\rtwo", "one"),
            ("tabs\tand\u{a0} spaces", "tabs and spaces"),
            ("\u{1b}[31mred\u{1b}[0m", "[31mred [0m"),
            ("a\0b\u{9b}2Jc\u{2028}d", "a b 2Jc d"),
            ("abc\u{202e}fdp.exe\u{2066}x\u{2069}", "abcfdp.exex"),
            ("👩\u{200d}💻 codes", "👩\u{200d}💻 codes"),
            ("\u{200d}\u{301}\nseen", "seen"),
            (" \n\u{200b}\u{200d}", ""),
            ("", ""),
        ] {
            assert_eq!(title_of(prompt), title, "{prompt:?}");
            assert_eq!(is_blank(prompt), title.is_empty(), "{prompt:?}");
        }
    }

    #[test]
    fn a_title_is_cut_by_columns_not_by_bytes() {
        let (exact, over) = ("x".repeat(60), "x".repeat(61));
        assert_eq!(clean_title(&exact), exact);
        assert_eq!(clean_title(&over), format!("{}…", "x".repeat(59)));
        assert_eq!(clean_title(&"漢".repeat(31)), format!("{}…", "漢".repeat(29)));
        assert_eq!(clean_title(&"漢".repeat(30)), "漢".repeat(30));
        let word = format!("{} {}", "x".repeat(58), "y".repeat(9));
        assert_eq!(clean_title(&word), format!("{}…", "x".repeat(58)));
    }

    #[test]
    fn no_text_makes_a_title_wide_or_long() {
        for unit in [
            "☀\u{fe0f}",
            "e\u{301}",
            "\u{301}",
            "👩\u{200d}💻",
            "a b",
            "\u{200d}",
            "\u{1b}",
            "🇩",
        ] {
            for repeated in [1, 29, 30, 31, 60, 61, 100_000] {
                for text in [unit.repeat(repeated), format!("x{}", unit.repeat(repeated))] {
                    let title = clean_title(&text);
                    assert!(measure_text_width(&title) <= TITLE_COLUMNS, "{title}");
                    assert!(title.chars().count() <= 241, "{title}");
                    assert!(!title.chars().any(is_hidden), "{title}");
                    assert_eq!(title, title.trim());
                    assert_eq!(title, clean_title(&title), "cleaning again changes nothing");
                }
            }
        }
    }

    #[test]
    fn quoted_text_shows_what_hides_and_stays_short() {
        for (text, shown) in [
            ("promt", "\"promt\""),
            ("it's", "\"it's\""),
            ("a\"b\\", "\"a\\\"b\\\\\""),
            ("a\n\u{1b}", "\"a\\n\\u{1b}\""),
            ("prompt\u{200b}", "\"prompt\\u{200b}\""),
            ("prompt\u{a0}", "\"prompt\\u{a0}\""),
            ("prompt\u{200d}", "\"prompt\\u{200d}\""),
            (
                "a\u{34f}\u{180b}\u{17b4}\u{1d173}",
                "\"a\\u{34f}\\u{180b}\\u{17b4}\\u{1d173}\"",
            ),
        ] {
            assert_eq!(quoted(text), shown);
        }
        for unit in ["x", "\u{1b}", "\u{301}", "漢", "☀\u{fe0f}"] {
            let shown = quoted(&unit.repeat(100_000));
            assert!(measure_text_width(&shown) <= QUOTE_COLUMNS + 2, "{shown}");
            assert!(shown.ends_with("…\""), "{shown}");
        }
    }
}
