//! One of each error of reading tasks: real ones, from texts that cannot be read.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::error::Error;
use crate::task::input::{Format, Given, InputError, Outputs, read, set_outputs};

pub(super) fn all() -> Vec<Error> {
    let files = |files: &[&str]| {
        let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
        refused(&files, None, &mut &b"{\"prompts\": [\"a\"]}"[..])
    };
    let from = |stdin: &mut dyn Read| refused(&["-".into()], None, stdin);
    let mut found = vec![
        files(&[]),
        files(&["-", "-"]),
        files(&["no-such.json"]),
        files(&["src"]),
        files(&["Cargo.toml"]),
        files(&["fixtures/tasks/objects.json", "fixtures/tasks/objects.json"]),
        from(&mut Failing),
        from(&mut io::repeat(b' ')),
    ];
    found.extend(JSON.iter().map(|sample| refused(&["-".into()], None, &mut &sample[..])));
    for (format, sample) in OTHERS {
        found.push(refused(&["-".into()], Some(*format), &mut sample.as_bytes()));
    }
    let plan = format!("# Task Distribution Plan\n{}", "- Pane: a\n".repeat(10_000));
    found.push(refused(&["-".into()], Some(Format::Markdown), &mut plan.as_bytes()));
    found.extend([
        outputs(r#"{"prompts": ["a", "b"]}"#, Outputs::File(Path::new("answer.txt"))),
        outputs(
            r#"{"prompts": [{"prompt": "Fix the login", "output_file": "/"}]}"#,
            Outputs::Unsaid,
        ),
        outputs(
            r#"{"prompts": [{"prompt": "Fix the login", "output_file": "a.txt"}, {"prompt": "Add a test", "output_file": "a.txt"}]}"#,
            Outputs::Unsaid,
        ),
    ]);
    let mut found: Vec<Error> = found.into_iter().map(Error::Input).collect();
    found.push(Error::TaskTooLong { number: 3 });
    found
}

const JSON: &[&[u8]] = &[
    b"",
    b"\xff\xfe{\0",
    b"{\"prompts\": [\"caf\xe9\"]}",
    b"Fix the login",
    br#"{"prompts": ["Fix the login",]}"#,
    br#"{"prompts": ["Fix the login"]} {"prompts": ["Add a test"]}"#,
    br#"["Fix the login"]"#,
    br#"{"$schema": "https://example.org/tasks.json"}"#,
    br#"{"prompts": ["Fix the login"], "tasks": ["Add a test"]}"#,
    br#"{"prompts": "Fix the login"}"#,
    br#"{"defaults": []}"#,
    br#"{"defaults": {"id": "login"}}"#,
    br#"{"prompts": []}"#,
    br#"{"prompts": [7]}"#,
    br#"{"prompts": [{"id": 7, "prompt": "Fix the login"}]}"#,
    br#"{"prompts": [{"setup": ["npm ci", 7], "prompt": "Fix the login"}]}"#,
    br#"{"prompts": [{"promt": "Fix the login"}]}"#,
    br#"{"prompts": [{"id": "a", "id": "b", "prompt": "Fix the login"}]}"#,
    br#"{"prompts": [{"env": {"A": "1", "A": "2"}, "prompt": "Fix the login"}]}"#,
    br#"{"prompts": [{"env": {"A=B": "1"}, "prompt": "Fix the login"}]}"#,
    br#"{"prompts": [{"verify": " ", "prompt": "Fix the login"}]}"#,
    br#"{"prompts": [{"verify": "make\u0000", "prompt": "Fix the login"}]}"#,
    br#"{"prompts": [{"timeout": "soon", "prompt": "Fix the login"}]}"#,
    br#"{"prompts": [{"retry": -1, "prompt": "Fix the login"}]}"#,
    br#"{"prompts": [{"max_cost_usd": 0, "prompt": "Fix the login"}]}"#,
    br#"{"prompts": [{"id": "login"}]}"#,
    br#"{"prompts": [{"id": "login", "prompt": "Fix the login", "prompt_file": "login.md"}]}"#,
    br#"{"prompts": [{"id": "login", "prompt_file": "no-such.md"}]}"#,
    br#"{"prompts": ["Fix the login", " "]}"#,
    br#"{"prompts": [{"id": "the login", "prompt": "Fix the login"}]}"#,
    br#"{"prompts": [{"id": "a", "prompt": "Fix the login"}, {"id": "A", "prompt": "Add a test"}]}"#,
    br#"{"prompts": [{"id": "login", "prompt": "Fix it"}, {"prompt": "Add a test", "depends_on": "lgin"}]}"#,
    br#"{"prompts": ["Fix it", "Fix it", {"prompt": "Add a test", "depends_on": "Fix it"}]}"#,
    br#"{"prompts": [{"id": "login", "prompt": "Fix it", "depends_on": "login"}]}"#,
    br#"{"prompts": [{"id": "a", "prompt": "Fix it", "depends_on": "b"}, {"id": "b", "prompt": "Add a test", "depends_on": "a"}]}"#,
    br#"{"prompts": [{"id": "a", "prompt": "Fix it"}, {"prompt": "Test {{answer a}}"}]}"#,
];

const OTHERS: &[(Format, &str)] = &[
    (Format::Text, "# later\n"),
    (Format::Markdown, "---\ntimeout: 5m\n\n# Fix the login\n"),
    (Format::Markdown, "---\ntitle: Fix: the login\n---\n# Fix the login\n"),
    (Format::Markdown, "---\n- timeout\n---\n# Fix the login\n"),
    (Format::Markdown, "---\nmodel: &m opus\n---\n# Fix the login\n"),
    (
        Format::Markdown,
        "# Shop\n\n## Task Distribution Plan\n\nComes later.\n",
    ),
];

fn refused(files: &[PathBuf], format: Option<Format>, stdin: &mut dyn Read) -> InputError {
    let given = Given {
        files,
        format,
        ..Given::here(Path::new("."))
    };
    read(&given, stdin).unwrap_err()
}

fn outputs(json: &str, outputs: Outputs<'_>) -> InputError {
    let files = ["-".into()];
    let given = Given {
        files: &files,
        ..Given::here(Path::new("."))
    };
    let mut tasks = read(&given, &mut json.as_bytes()).unwrap();
    set_outputs(&mut tasks, outputs, Path::new("/home/you/shop")).unwrap_err()
}

/// A file on a disk that fails.
struct Failing;

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(Errno::IO.into())
    }
}
