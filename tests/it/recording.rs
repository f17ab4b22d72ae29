//! The recording of a run in the README: made by running pleach on a terminal, and held to what it prints today.
//!
//! `PLEACH_UPDATE=1 cargo test --test it recording` makes it anew. The agents follow directives; all else is real.

use std::fs;
use std::path::Path;
use std::time::Duration;

use vt100::Parser;

use crate::support::picture::{Frame, picture};
use crate::support::{Left, Project, Terminal};

/// Columns and lines of the terminal.
const SIZE: (u16, u16) = (120, 34);
/// What stands before the command.
const LINE: &str = "pleach run --sync --max-parallel 3 tasks.json";
/// How long the end is shown.
const REST: Duration = Duration::from_secs(12);
/// What comes within this time is one frame.
const ONE_FRAME: Duration = Duration::from_millis(40);

const TASKS: &str = r#"{ "prompts": [
  { "id": "changelog", "title": "Add a changelog",
    "prompt": "@sleep 1500ms\n@write CHANGELOG.md # Changelog\\n\\n- The first greeting.\n@sleep 1s\n@commit Add a changelog\n@sleep 1s\n@say Added CHANGELOG.md." },
  { "id": "polite", "title": "Make the greeting polite",
    "prompt": "@run cat greet.sh\n@sleep 1200ms\n@write greet.sh echo good day\n@sleep 700ms\n@say It is polite now." },
  { "id": "loud", "title": "Make the greeting loud",
    "prompt": "@run cat greet.sh\n@sleep 2500ms\n@write greet.sh echo HELLO\n@run sh greet.sh\n@sleep 2200ms\n@say It is loud now." },
  { "id": "test", "title": "Test the greeting",
    "prompt": "@write test.sh sh greet.sh | grep .\n@sleep 1s\n@run sh test.sh\n@sleep 3200ms\n@commit Test the greeting\n@say test.sh passes." },
  { "id": "translate", "title": "Translate the README",
    "prompt": "@write LIESMICH.md # Gruss\n@sleep 1800ms\n@fail API Error: 529 overloaded" }
] }"#;

#[test]
fn the_recording_in_the_documents_shows_what_pleach_prints() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/run.svg");
    let left = recorded();
    if std::env::var_os("PLEACH_UPDATE").is_some() {
        let title = "pleach runs five tasks, and plans how their branches merge";
        fs::write(&path, picture(&frames(&left), title, &left.text)).expect("write the recording");
    }
    let shipped = fs::read_to_string(&path).expect("read the recording");
    let (_, after) = shipped.split_once("<desc>\n").expect("a description");
    let (text, _) = after.split_once("</desc>").expect("the end of the description");
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let (shipped, printed) = (comparable(&text), comparable(&left.text));
    let how = "make it anew with: PLEACH_UPDATE=1 cargo test --test it recording";
    assert_eq!(shipped, printed, "{} is not what pleach prints; {how}", path.display());
}

/// Runs it on a terminal, as somebody who types it.
fn recorded() -> Left {
    let project = Project::new();
    project.write("greet.sh", "echo hello\n");
    project.git(&["add", "greet.sh"]);
    project.git(&["commit", "-qm", "Start with a greeting"]);
    fs::write(project.root().join("tasks.json"), TASKS).expect("write the tasks");
    let agent = project.program("claude", "exec pleach __agent \"$@\"");
    let run = LINE.replace("tasks", "../tasks");
    let line = format!("PATH=${{PLEACH%/*}}:$PATH; printf '$ {LINE}\\n'; exec {run}");
    let mut command = project.shell(&line);
    // What is called claude is the scripted agent: it may be root.
    command.env("CLAUDE_CLI_PATH", agent).env("IS_SANDBOX", "1");
    let left = Terminal::start(&command, SIZE).end();
    assert_eq!(left.code, 1, "{}", left.text);
    left
}

/// The lines of a text in an order of their own, without what differs from run to run: ids, paths and times. Which task
/// is settled first is not the same on every machine.
fn comparable(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(without_times).collect();
    lines.sort();
    lines
}

fn without_times(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_unit = |word: Option<&&str>| word.is_some_and(|w| ["s", "s,"].contains(w));
    let mut kept = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let is_time = word.parse::<f64>().is_ok() && is_unit(words.get(index + 1));
        match word {
            _ if is_time => {}
            _ if word.len() == 36 && word.matches('-').count() == 4 => kept.push("ID"),
            _ if index > 0 && ["merge", "resume"].contains(&words[index - 1]) && word.len() == 8 => kept.push("ID"),
            _ if word.contains("/tmp/") => kept.push("PATH"),
            word => kept.push(word),
        }
    }
    kept.join(" ")
}

/// What was on the screen, from draw to draw.
fn frames(left: &Left) -> Vec<Frame> {
    let cells = |number| std::num::NonZeroU16::new(number).expect("a size");
    let mut parser = Parser::new(cells(SIZE.1), cells(SIZE.0), 0);
    let mut frames: Vec<Frame> = Vec::new();
    let mut shown = 0;
    for (index, (at, end)) in left.moments.iter().enumerate() {
        parser.process(&left.raw.as_bytes()[shown..*end]);
        shown = *end;
        let next = left.moments.get(index + 1).map(|(next, _)| *next);
        let shown_for = next.map_or(REST, |next| next.saturating_sub(*at));
        match frames.last_mut() {
            Some(last) if last.shown_for < ONE_FRAME => {
                last.screen = parser.screen().clone();
                last.shown_for += shown_for;
            }
            _ => frames.push(Frame {
                screen: parser.screen().clone(),
                shown_for,
            }),
        }
    }
    frames
}
