//! `docs/errors.md`: the table of all errors, made of the samples. A test holds the file against it, or writes it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::Parser;
use console::measure_text_width;
use strum::IntoEnumIterator;

use super::around::AroundErrorName;
use super::catalog::Name;
use super::{Error, exit, samples};
use crate::cli::Cli;
use crate::config::ConfigErrorName;
use crate::landing::LandingErrorName;
use crate::task::input::problem::Name as ProblemName;
use crate::worktree::WorktreeErrorName;

const UPDATE: &str = "PLEACH_UPDATE=1 cargo test --lib errors_md";

const INTRODUCTION: &str = "\
# Errors

Every error is one line that says what happened to what, and one that says what to do next:

```
error: the repository has no commit yet: there is nothing to start from
 hint: make one: git add -A && git commit --allow-empty -m start
```

Both go to standard error; standard output stays empty, with `--json` too. Exit code 2 is for what you can mend by asking
differently or by setting something up, 3 for what is not as it must be on the machine or in pleach's files. The codes
0, 1, 124, and those above 128 are no errors: see the README.

Values in the messages are examples.
";

struct Row {
    code: u8,
    name: String,
    message: String,
    hint: String,
}

impl From<&Error> for Row {
    fn from(e: &Error) -> Self {
        let name = match e {
            Error::Input(e) => format!("input-{}", e.name()),
            Error::Landing(e) => format!("landing-{}", <&str>::from(LandingErrorName::from(e))),
            Error::Config(e) => format!("config-{}", <&str>::from(ConfigErrorName::from(e))),
            Error::Around(e) => format!("around-{}", <&str>::from(AroundErrorName::from(e))),
            _ => <&str>::from(Name::from(e)).into(),
        };
        Self {
            code: e.exit_code(),
            name,
            message: e.to_string(),
            hint: e.hint(),
        }
    }
}

/// What clap says.
fn usage() -> Row {
    let e = Cli::try_parse_from(["pleach", "run", "--max-parallel", "0"]).unwrap_err();
    let text = e.to_string();
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    Row {
        code: u8::try_from(e.exit_code()).unwrap(),
        name: "usage".into(),
        message: lines[0].strip_prefix("error: ").unwrap().into(),
        hint: lines[lines.len() - 1].into(),
    }
}

fn sections() -> Vec<(String, Vec<Row>)> {
    let mut sections = vec![("The command line".to_owned(), vec![usage()])];
    for (heading, errors) in samples::all() {
        sections.push((heading.into(), errors.iter().map(Row::from).collect()));
    }
    let worktree = |e: &crate::worktree::WorktreeError| Row {
        code: exit::UNSUCCESSFUL,
        name: format!("worktree-{}", <&str>::from(WorktreeErrorName::from(e))),
        message: e.to_string(),
        hint: "the others go on; mend that, and try it again: pleach resume --retry-failed".into(),
    };
    let rows = samples::worktrees().iter().map(worktree).collect();
    sections.push(("Of a task that fails (`pleach results` shows it)".into(), rows));
    sections
}

/// A text as it is in a cell of a table.
fn code(text: &str) -> String {
    let fence = if text.contains('`') { "``" } else { "`" };
    format!("{fence}{}{fence}", text.replace('|', "\\|"))
}

fn errors_md() -> String {
    let mut text = format!("<!-- Written by: {UPDATE} -->\n{INTRODUCTION}");
    for (heading, rows) in sections() {
        text += &format!("\n## {heading}\n\n| exit | name | error | hint |\n|---|---|---|---|\n");
        for row in rows {
            let (message, hint) = (code(&row.message), code(&row.hint));
            text += &format!("| {} | {} | {message} | {hint} |\n", row.code, row.name);
        }
    }
    text
}

#[test]
fn errors_md_says_what_the_program_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
    let now = errors_md();
    if std::env::var_os("PLEACH_UPDATE").is_some() {
        fs::write(&path, &now).expect("write docs/errors.md");
    }
    let written = fs::read_to_string(&path).expect("read docs/errors.md");
    let differs = written.lines().zip(now.lines()).find(|(written, now)| written != now);
    assert!(written == now, "docs/errors.md is out of date: {UPDATE}\n{differs:#?}");
}

#[test]
fn every_error_has_a_sample() {
    let samples: Vec<Error> = samples::all().into_iter().flat_map(|(_, errors)| errors).collect();
    let names = |names: Vec<&'static str>| {
        let all: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(all.len(), names.len(), "one is there twice: {names:?}");
        all
    };
    let problems: Vec<&str> = samples
        .iter()
        .filter_map(|e| match e {
            Error::Input(e) => Some(e.name()),
            _ => None,
        })
        .collect();
    assert_eq!(names(problems), ProblemName::iter().map(<&str>::from).collect());
    let landings: Vec<&str> = samples
        .iter()
        .filter_map(|e| match e {
            Error::Landing(e) => Some(LandingErrorName::from(e).into()),
            _ => None,
        })
        .collect();
    let mut all: BTreeSet<&str> = LandingErrorName::iter().map(<&str>::from).collect();
    // It is told as git's own.
    all.remove("git");
    assert_eq!(names(landings), all);
    let configs: Vec<&str> = samples
        .iter()
        .filter_map(|e| match e {
            Error::Config(e) => Some(ConfigErrorName::from(e).into()),
            _ => None,
        })
        .collect();
    let mut all: BTreeSet<&str> = ConfigErrorName::iter().map(<&str>::from).collect();
    // It is told as that of a variable.
    all.remove("variable");
    assert_eq!(names(configs), all);
    let around: Vec<&str> = samples
        .iter()
        .filter_map(|e| match e {
            Error::Around(e) => Some(AroundErrorName::from(e).into()),
            _ => None,
        })
        .collect();
    assert_eq!(names(around), AroundErrorName::iter().map(<&str>::from).collect());
    const GROUPS: [&str; 4] = ["input", "landing", "config", "around"];
    let mut others: Vec<&str> = samples.iter().map(|e| Name::from(e).into()).collect();
    others.retain(|name| !GROUPS.contains(name));
    others.extend(GROUPS);
    assert_eq!(names(others), Name::iter().map(<&str>::from).collect());
    let worktrees = samples::worktrees();
    let worktrees = worktrees.iter().map(|e| WorktreeErrorName::from(e).into()).collect();
    assert_eq!(names(worktrees), WorktreeErrorName::iter().map(<&str>::from).collect());
}

#[test]
fn message_and_hint_are_a_short_line_each() {
    for (_, rows) in sections() {
        for Row {
            name, message, hint, ..
        } in rows
        {
            // A path in a session is long, and no line is shorter for leaving it out.
            let short = |text: &str| {
                text.split([' ', ':'])
                    .map(|word| if word.contains("/session-") { "PATH" } else { word })
                    .map(|word| measure_text_width(word) + 1)
                    .sum::<usize>()
            };
            for text in [&message, &hint] {
                assert!(!text.is_empty() && !text.contains('\n'), "{name}: {text:?}");
                assert!(short(text) <= 120, "{name}: {} columns: {text}", short(text));
            }
            if name != "usage" {
                assert!(!hint.ends_with('.') || hint.ends_with(".."), "{name}: {hint}");
            }
        }
    }
}
