//! What the terminal can show. Nothing here keeps a session from running.

use std::io::{IsTerminal, stderr, stdout};

use super::{Check, Finding};

/// What is known of the terminal.
#[derive(Clone, Debug, Default)]
struct Terminal {
    out: bool,
    err: bool,
    /// `TERM`
    kind: Option<String>,
    /// Columns and lines.
    size: Option<(u16, u16)>,
    colours: bool,
    utf8: bool,
}

pub(super) fn look(found: &mut Vec<Finding>) {
    let variable = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let size = console::Term::stderr()
        .size_checked()
        .map(|(lines, columns)| (columns, lines));
    found.extend(judge(&Terminal {
        out: stdout().is_terminal(),
        err: stderr().is_terminal(),
        kind: variable("TERM"),
        size,
        colours: console::colors_enabled_stderr(),
        utf8: speaks_utf8(variable),
    }));
}

/// Whether text is UTF-8 by the locale: the first variable that is set decides.
fn speaks_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(variable)
        .unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

fn judge(terminal: &Terminal) -> Vec<Finding> {
    const NARROW: u16 = 60;
    let mut found = Vec::new();
    let mut note = |text: &str| found.push(Check::Terminal.note(text));
    if !terminal.err {
        note("standard error is no terminal: displays that move are lines instead");
    } else if matches!(terminal.kind.as_deref(), None | Some("dumb")) {
        note("TERM is not set or dumb: displays that move are lines instead");
    }
    if !terminal.out {
        note("standard output is no terminal: what agents print is passed on as it is");
    }
    if terminal.size.is_some_and(|(columns, _)| columns < NARROW) {
        note("it is narrow: lines will be cut or broken");
    }
    if terminal.err && !terminal.colours {
        note("no colours; words say everything that they would");
    }
    if !terminal.utf8 {
        note("the locale is not UTF-8: some characters may be shown wrongly");
    }
    if found.is_empty() {
        let (columns, lines) = terminal.size.unwrap_or_default();
        let kind = terminal.kind.as_deref().unwrap_or_default();
        found.push(Check::Terminal.ok(format!("{kind}, {columns} x {lines}, with colours, in UTF-8")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn every_lack_is_a_note() {
        let good = Terminal {
            out: true,
            err: true,
            kind: Some("xterm-256color".into()),
            size: Some((80, 24)),
            colours: true,
            utf8: true,
        };
        let all = judge(&good);
        assert_eq!((all.len(), all[0].level), (1, Level::Ok));
        assert!(all[0].message.contains("80 x 24"), "{all:?}");
        let bad = |change: fn(&mut Terminal)| {
            let mut terminal = good.clone();
            change(&mut terminal);
            let found = judge(&terminal);
            assert_eq!((found.len(), found[0].level), (1, Level::Note), "{found:?}");
            found[0].message.clone()
        };
        assert!(bad(|t| t.out = false).contains("output"));
        assert!(bad(|t| t.err = false).contains("error"));
        assert!(bad(|t| t.kind = None).contains("TERM"));
        assert!(bad(|t| t.size = Some((40, 10))).contains("narrow"));
        assert!(bad(|t| t.colours = false).contains("colours"));
        assert!(bad(|t| t.utf8 = false).contains("UTF-8"));
    }

    #[test]
    fn the_first_variable_of_the_locale_decides() {
        let speaks = |set: &[(&str, &str)]| {
            speaks_utf8(|name| {
                set.iter()
                    .find(|(n, _)| *n == name)
                    .map(|(_, value)| (*value).to_owned())
            })
        };
        assert!(speaks(&[("LANG", "en_GB.UTF-8")]));
        assert!(speaks(&[("LANG", "C"), ("LC_ALL", "C.utf8")]));
        assert!(!speaks(&[("LANG", "C.UTF-8"), ("LC_ALL", "C")]));
        assert!(!speaks(&[]));
    }
}
