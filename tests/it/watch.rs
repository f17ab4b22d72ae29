//! The live display on a terminal: what stands there while a session runs, whatever its size and whatever becomes of
//! it, and what is left when the session has ended.

use std::collections::BTreeSet;
use std::io::{Seek, read_to_string};
use std::process::Stdio;

use insta::assert_snapshot;
use rustix::process::Signal;

use crate::support::{CTRL_C, CTRL_Z, Left, Project, Terminal};

/// An agent that has done something and waits at the gate.
pub const WAITS: &str = "@run echo hi\n@wait ../../gate\n@write new.txt text\n@say It is done.\\nAnd more of it.";

/// No line of the frame stands twice.
pub fn once(screen: &str) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for line in screen.lines() {
        let what = if line.contains(" settled  ") {
            "the session"
        } else if line.contains("more running") {
            "the folded ones"
        } else {
            // The number of a task.
            match line.trim_start().split_once("  ") {
                Some((number, _)) if number.parse::<u32>().is_ok() => number,
                _ => continue,
            }
        };
        if !seen.insert(what) {
            return Err(format!("there are two lines of {what}"));
        }
    }
    Ok(())
}

/// The text without what differs from run to run, as wide as it was where columns follow.
pub fn redacted(text: &str) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let unit = |i: usize, unit: &str| words.get(i).is_some_and(|w| w.trim_end_matches('…') == unit);
        let number = |i: usize| words.get(i).is_some_and(|w| w.parse::<f64>().is_ok());
        let mut kept: Vec<&str> = Vec::new();
        let mut i = 0;
        while i < words.len() {
            let long = number(i) && unit(i + 1, "m") && number(i + 2) && unit(i + 3, "s");
            if long || (number(i) && (unit(i + 1, "s") || unit(i + 1, "m"))) {
                // A length of time is filled up on its left.
                while kept.last() == Some(&"") {
                    kept.pop();
                }
                kept.extend(["", "TIME"]);
                i += if long { 4 } else { 2 };
            } else {
                kept.push(words[i]);
                i += 1;
            }
        }
        lines.push_str(kept.join(" ").trim_end());
        lines.push('\n');
    }
    lines
}

/// The same of a narrow terminal, in which a longer time has no room.
fn narrowed(text: &str) -> String {
    redacted(text).replace(" running  TIME", " running")
}

/// A terminal on which a session is watched.
pub fn watching(project: &Project, arguments: &[&str], size: (u16, u16)) -> Terminal {
    let command = project.pleach_command(&[&["watch"], arguments].concat());
    Terminal::start_checked(&command, size, once)
}

/// Nothing of the frame is left.
pub fn assert_cleared(left: &Left) {
    assert!(!left.text.contains(" settled  "), "{}", left.text);
    assert!(!left.text.contains("Bash echo hi"), "{}", left.text);
    assert!(left.raw.contains("\x1b[?7l") && left.raw.contains("\x1b[?25l"));
    let last = |on: &str, off: &str| left.raw.rfind(on) > left.raw.rfind(off);
    assert!(last("\x1b[?7h", "\x1b[?7l"), "lines are broken again");
}

/// Waits until both of two tasks wait at the gate, and the third is settled.
fn until_two_wait(terminal: &Terminal) -> String {
    terminal.until("two wait", |screen| {
        // A guess is made while the two have run for less time than the third one took.
        let guess = screen.contains(" about ") || screen.contains("a few seconds left");
        screen.matches("Bash echo").count() == 2 && screen.contains("1/3") && !guess
    })
}

#[test]
fn three_tasks_at_40_and_at_200_columns() {
    let project = Project::new();
    let tasks = [("one", WAITS), ("two", "@fail No such luck."), ("three", WAITS)];
    project.start(&tasks, &[]);
    let narrow = watching(&project, &[], (40, 24));
    let wide = watching(&project, &[], (200, 24));
    assert_snapshot!("three_40", narrowed(&until_two_wait(&narrow)));
    assert_snapshot!("three_200", redacted(&until_two_wait(&wide)));
    project.open("gate");
    let (narrow, wide) = (narrow.end(), wide.end());
    for left in [&narrow, &wide] {
        assert_eq!(left.code, 0);
        assert_cleared(left);
    }
    let mut lines: Vec<String> = redacted(&wide.text).lines().map(str::to_owned).collect();
    // Either of the two may be the first.
    lines[1..3].sort();
    assert_snapshot!("three_200_end", lines[..7].join("\n"));
}

#[test]
fn two_hundred_tasks_at_40_and_at_200_columns() {
    let project = Project::new();
    let ids: Vec<String> = (1..=200).map(|n| format!("t{n}")).collect();
    let tasks: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), WAITS)).collect();
    project.start(&tasks, &["--max-parallel", "14"]);
    let narrow = watching(&project, &[], (40, 24));
    let wide = watching(&project, &[], (200, 24));
    let folded = |terminal: &Terminal| {
        terminal.until("all wait", |screen| {
            screen.matches("Bash echo").count() == 10 && screen.contains("more running")
        })
    };
    assert_snapshot!("many_40", narrowed(&folded(&narrow)));
    assert_snapshot!("many_200", redacted(&folded(&wide)));
    narrow.resize((40, 60));
    let all = narrow.until("there is room for all", |screen| {
        screen.matches("Bash echo").count() == 14
    });
    assert!(!all.contains("more running"), "{all}");
    let stop = project.run(&["stop", "--now"]);
    assert!(stop.out().contains("14 of 200 tasks settled"), "{stop:?}");
    for left in [narrow.end(), wide.end()] {
        assert_eq!(left.code, 0);
        assert_cleared(&left);
        assert!(left.text.starts_with("killing the agents\n"), "{}", left.text);
        let stopped = left.text.matches("\nstopped ").count();
        assert_eq!(stopped, 14, "{}", left.text);
    }
}

#[test]
fn a_terminal_of_any_size_shows_each_line_once() {
    let project = Project::new();
    let tasks = [
        ("one", WAITS),
        ("two", WAITS),
        ("three", "@wait ../../second\n@say quick"),
    ];
    project.start(&tasks, &[]);
    let terminal = watching(&project, &[], (100, 24));
    terminal.until("two wait", |screen| screen.matches("Bash echo").count() == 2);
    for size in [
        (40, 24),
        (120, 24),
        (60, 6),
        (60, 3),
        (200, 50),
        (20, 24),
        (10, 2),
        (90, 24),
    ] {
        terminal.resize(size);
        // The line of the session is as long as there is room for.
        let (start, end) = match size.0 {
            90.. => ("░", "time left not known yet"),
            60.. => ("0/3 settled  3 running", "time left not known yet"),
            20.. => ("0/3 settled", " s"),
            _ => ("0/3 sett…", "…"),
        };
        terminal.until(&format!("drawn at {size:?}"), |screen| {
            let mut lines = screen.lines().filter(|l| l.contains("0/3 sett"));
            let fits = lines.next().is_some_and(|l| l.starts_with(start) && l.ends_with(end));
            fits && lines.next().is_none()
        });
    }
    project.open("second");
    terminal.until_shown("1/3 settled");
    terminal.resize((50, 10));
    terminal.until("drawn again", |screen| {
        screen.contains("1/3 settled") && !screen.contains("left")
    });
    // A frame that was being drawn when the terminal became lower than it has scrolled in part, as it would anywhere.
    terminal.forget_scrolled();
    project.open("gate");
    let left = terminal.end();
    assert_eq!(left.code, 0);
    assert_cleared(&left);
    assert_eq!(left.text.matches("\nsucceeded ").count(), 2, "{}", left.text);
}

#[test]
fn nothing_that_is_typed_stands_between_the_lines() {
    let project = Project::new();
    project.start(&[("one", WAITS)], &[]);
    let terminal = watching(&project, &[], (80, 24));
    let before = terminal.until_shown("Bash echo hi");
    terminal.send("abc\n\n\ndef");
    project.open("gate");
    let left = terminal.end();
    assert_eq!(redacted(&before).lines().count(), 2, "{before}");
    assert!(left.text.starts_with("succeeded   1  "), "{}", left.text);
    assert!(
        !left.text.contains("abc") && !left.text.contains("def"),
        "{}",
        left.text
    );
}

#[test]
fn whoever_leaves_changes_nothing_for_the_others() {
    let project = Project::new();
    let id = project.start(&[("one", WAITS)], &[]);
    let stays = watching(&project, &[], (80, 24));
    let goes_on = format!(" watch {}\n", &id[..8]);
    for (signal, code) in [
        (None, 130),
        (Some(Signal::TERM), 143),
        (Some(Signal::HUP), 129),
        (Some(Signal::QUIT), 131),
    ] {
        let leaves = watching(&project, &[&id[..6]], (80, 24));
        leaves.until_shown("Bash echo hi");
        assert!(!leaves.cursor_is_shown() && !leaves.echoes());
        match signal {
            None => leaves.send(CTRL_C),
            Some(signal) => leaves.signal(signal),
        }
        let left = leaves.end();
        assert_eq!(left.code, code);
        assert_cleared(&left);
        let said = left.text.contains("the session goes on: ") && left.text.ends_with(&goes_on);
        assert_eq!(said, code == 130 || code == 143, "{}", left.text);
        assert_eq!(project.query(&["status"])["overall_status"], "running");
    }
    stays.until_shown("0/1 settled");
    project.open("gate");
    let left = stays.end();
    assert_eq!(left.code, 0);
    assert!(left.text.contains("completed, 1 of 1 task settled"), "{}", left.text);
}

// Fault 43: Ctrl-Z in `watch`.
#[test]
fn a_stopped_watcher_gives_the_terminal_back_and_goes_on_where_it_is_continued() {
    let project = Project::new();
    project.start(&[("one", WAITS), ("two", "@wait ../../second\n@say quick")], &[]);
    let terminal = watching(&project, &[], (80, 24));
    terminal.until_shown("Bash echo hi");
    for times in 1..3 {
        terminal.send(CTRL_Z);
        terminal.until_stopped(times);
        assert!(!terminal.text().contains("settled  "), "{}", terminal.text());
        terminal.send("\n");
        terminal.until_shown("0/2 settled");
        assert!(!terminal.cursor_is_shown() && !terminal.echoes());
    }
    terminal.send(CTRL_Z);
    terminal.until_stopped(3);
    project.open("second");
    project.until("a task is settled", |project| {
        (project.query(&["status"])["completed"] == 1).then_some(())
    });
    terminal.send("\n");
    let text = terminal.until_shown("1/2 settled");
    assert!(text.contains("succeeded   2  "), "{text}");
    project.open("gate");
    let left = terminal.end();
    assert_eq!(left.code, 0);
    assert_cleared(&left);
}

// Fault 24: escapes in the live display.
#[test]
fn what_agents_and_tasks_say_can_do_nothing_to_the_terminal() {
    let project = Project::new();
    let hostile = "@run printf '\x1b[2J\x1b]0;owned\x07' # 漢字 👩\u{200d}💻\n@wait ../../gate\n\
                   @say \x1b[2J\x1b[10;10Howned 漢字 👩\u{200d}💻\x07";
    let file = project.root().join("hostile.json");
    let tasks = serde_json::json!({ "prompts": [
        { "id": "one", "title": "漢字を読む 👩\u{200d}💻👩\u{200d}💻 \x1b[31m and \u{202e}turns", "prompt": hostile },
        { "id": "two", "prompt": format!("{hostile}\n@fail \x1b[2Jno 漢字") },
    ] });
    std::fs::write(&file, tasks.to_string()).expect("write the tasks");
    let file = file.to_str().expect("a path in UTF-8");
    assert_eq!(project.run(&["run", "--agent", "scripted", file]).code(), 0);
    let narrow = watching(&project, &[], (50, 12));
    let wide = watching(&project, &[], (200, 12));
    let shown = wide.until("both wait", |screen| screen.matches("\\x07' # 漢字").count() == 2);
    assert!(
        shown.contains("Bash printf '\\x1b[2J\\x1b]0;owned\\x07' # 漢字"),
        "{shown}"
    );
    narrow.until("both wait", |screen| screen.matches("Bash printf").count() == 2);
    project.open("gate");
    for (left, columns) in [(narrow.end(), 50), (wide.end(), 200)] {
        assert_cleared(&left);
        let settled: Vec<&str> = left.text.lines().take(2).collect();
        for word in ["succeeded   1  漢字を読む", "failed      2  @run printf"] {
            assert!(
                settled.iter().any(|line| line.starts_with(word)),
                "{word}: {}",
                left.text
            );
        }
        assert!(settled.iter().all(|line| line.chars().count() < columns), "{settled:?}");
        for code in ["\x1b[2J", "\x1b]0;", "\x1b[10;10H", "\x07", "\u{202e}"] {
            let own = left.raw.split("\x1b]0;ended").next().unwrap_or_default();
            assert!(!own.contains(code), "{code:?} is in {own:?}");
        }
    }
}

#[test]
fn a_session_that_has_ended_is_shown_as_it_went() {
    let project = Project::new();
    let file = project.tasks(&[
        ("one", "@wait ../../gate\n@write a.txt a\n@say The first one."),
        ("two", "@say The second one."),
    ]);
    let options = ["run", "--sync", "--agent", "scripted", &file];
    let run = Terminal::start_checked(&project.pleach_command(&options), (100, 30), once);
    run.until_shown("1/2 settled");
    project.open("gate");
    let ran = run.end();
    assert_eq!(ran.code, 0);
    assert_cleared(&ran);
    let replayed = watching(&project, &[], (100, 30)).end();
    assert_eq!(replayed.code, 0);
    let from = ran
        .text
        .find("succeeded   2  ")
        .expect("the second one is the first to settle");
    assert_eq!(&ran.text[from..], replayed.text);
    // What follows names the program, wherever that is.
    let text = replayed.text.split("\nor all of these at once:").next();
    assert_snapshot!("replayed", redacted(text.unwrap_or_default()));
    assert!(!replayed.raw.contains("\x1b[?25l"), "there is no frame to draw");
}

/// What is said and what is settled go to different streams.
#[test]
fn in_one_file_everything_stands_in_the_order_in_which_it_happened() {
    let project = Project::new();
    let options = ["--max-parallel", "1"];
    project.session(&[("a", "@say a"), ("b", "@exit 3"), ("c", "@say c")], &options);
    let mut file = tempfile::tempfile().expect("a file");
    let stream = || Stdio::from(file.try_clone().expect("the same file"));
    let mut watch = project.pleach_command(&["watch"]);
    watch.stdout(stream()).stderr(stream());
    assert_eq!(watch.status().expect("it runs").code(), Some(0));
    file.rewind().expect("its beginning");
    let text = read_to_string(file).expect("text");
    let words: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    let (a, b) = (["started", "succeeded"], ["started", "failed"]);
    let found = words.windows(6).any(|six| six == [a, b, a].concat());
    assert!(found, "{text}");
}

#[test]
fn an_interrupted_session_is_shown_as_such() {
    let project = Project::new();
    project.start(&[("one", "@say quick"), ("two", WAITS)], &[]);
    let terminal = watching(&project, &[], (100, 30));
    terminal.until("one waits", |screen| {
        screen.contains("1/2 settled") && screen.contains("Bash echo hi")
    });
    project.kill_supervisor();
    for left in [terminal.end(), watching(&project, &[], (100, 30)).end()] {
        assert_eq!(left.code, 0);
        assert!(!left.text.contains(" settled  "), "{}", left.text);
        assert!(left.text.contains("interrupted, 1 of 2 tasks settled"), "{}", left.text);
        assert!(
            left.text.contains("warning: the session was interrupted"),
            "{}",
            left.text
        );
    }
    project.open("gate");
}

#[test]
fn a_session_whose_directory_is_taken_away_is_not_called_interrupted() {
    let project = Project::new();
    project.start(&[("one", "@say quick"), ("two", WAITS)], &[]);
    let there = project.session_dir();
    let away = project.root().join("away");
    let on_terminal = |command: &[&str]| Terminal::start(&project.pleach_command(command), (300, 30));
    let terminals = [&["watch"][..], &["status", "--watch"]].map(on_terminal);
    for terminal in &terminals {
        terminal.until_shown("Bash echo hi");
    }
    std::fs::rename(&there, &away).expect("take it away");
    let journal = format!("cannot read {}", there.join("journal.jsonl").display());
    for terminal in terminals {
        let left = terminal.end();
        assert_eq!(left.code, 3, "{}", left.text);
        assert_cleared(&left);
        assert!(left.text.contains(&journal), "{}", left.text);
        assert!(!left.text.contains("interrupted"), "{}", left.text);
    }
    // Its supervisor was there all the time.
    std::fs::rename(&away, &there).expect("bring it back");
    assert_eq!(project.query(&["status"])["overall_status"], "running");
    project.open("gate");
    assert_eq!(project.run(&["wait"]).code(), 0);
}
