//! The live displays where there is no terminal, or not one that can be drawn on: a line for each change, with its time.

use std::fs::File;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{CTRL_C, PATIENCE, Project, Ran, Terminal, output_of, ran};
use crate::watch::{WAITS, assert_cleared, once, redacted, watching};

/// The time of a record in the journal, as UTC shows it.
fn clock(event: &Value) -> String {
    let seconds = event["at_ms"].as_u64().expect("a time") / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn ended(project: &mut Project) {
    let tasks = [
        ("one", "@write a.txt a\n@say \x1b[31mDone.\x1b[0m"),
        ("two", "@fail No."),
    ];
    project.session(&tasks, &["--max-parallel", "1"]);
}

#[test]
fn every_change_is_a_line_with_the_time_at_which_it_happened() {
    let mut project = Project::new();
    ended(&mut project);
    let watched = project.run(&["watch"]);
    assert_eq!(watched.code(), 0, "{watched:?}");
    let started = project.events("attempt_started");
    let narrated = format!(
        "{}  started     1  @write a.txt a\n{}  started     2  @fail No.\n",
        clock(&started[0]),
        clock(&started[1])
    );
    assert!(watched.err().starts_with(&narrated), "{watched:?}");
    let rest = &watched.err()[narrated.len()..];
    assert!(rest.contains("--retry-failed") && rest.lines().count() == 1, "{rest}");
    let settled = project.events("task_settled");
    let text = watched.out();
    let mut lines = text.lines();
    let first = format!("{}  succeeded   1  @write a.txt a  ", clock(&settled[0]));
    let line = lines.next().expect("a line");
    assert!(line.starts_with(&first), "{line}");
    // Into a file it comes as it is: but never as a code of ours, and in one line.
    assert!(
        line.ends_with(" s  1 file +1 -0  main-task-one  \\x1b[31mDone.\\x1b[0m"),
        "{line}"
    );
    let line = lines.next().expect("a line");
    let second = format!("{}  failed      2  @fail No.       ", clock(&settled[1]));
    assert!(
        line.starts_with(&second) && line.ends_with(" s  agent_error: No."),
        "{line}"
    );
    assert_eq!(lines.next(), Some(""));
    assert!(
        lines
            .next()
            .is_some_and(|l| l.starts_with("completed, 2 of 2 tasks settled: 1 successful, 1 failed"))
    );
    assert!(
        text.contains("plan: 1 branch into main") && !text.contains('\x1b'),
        "{text}"
    );
}

#[test]
fn the_times_are_those_of_the_users_zone() {
    let mut project = Project::new();
    ended(&mut project);
    let utc = project.run(&["watch"]).err();
    let mut command = project.pleach_command(&["watch"]);
    let there = ran(command.env("TZ", "<+0530>-5:30")).err();
    let minutes = |text: &str| -> u32 {
        let (hours, rest) = text.split_once(':').expect("a time");
        hours.parse::<u32>().expect("hours") * 60 + rest[..2].parse::<u32>().expect("minutes")
    };
    assert_eq!((minutes(&utc) + 330) % 1440, minutes(&there), "{utc} {there}");
}

#[test]
fn a_run_that_is_stopped_says_so_in_a_line_of_its_own() {
    let project = Project::new();
    let run = project.start_session(&[("one", "@touch ../../here\n@wait ../../gate")], &[]);
    project.await_file("here");
    assert_eq!(project.run(&["stop"]).code(), 0);
    let ended = Ran(run.recv_timeout(PATIENCE).expect("it ends"));
    let stopped = clock(&project.events("stop_asked")[0]);
    let said = format!("\n{stopped}  stopping: agents end, their work is kept\n");
    assert!(ended.err().contains(&said), "{ended:?}");
    assert!(ended.out().contains("  stopped     1  "), "{ended:?}");
}

#[test]
fn colours_are_as_the_environment_asks() {
    let mut project = Project::new();
    ended(&mut project);
    let colours = |text: &str| text.contains("\x1b[3") || text.contains("\x1b[2m");
    let moves = |text: &str| text.contains("\x1b[?") || text.contains("\x1b[K") || text.contains("\x1b[J");
    // Without a terminal.
    for (variables, coloured) in [
        (&[][..], false),
        (&[("CLICOLOR_FORCE", "1")], true),
        (&[("CLICOLOR_FORCE", "0")], false),
        (&[("CLICOLOR", "1"), ("TERM", "xterm")], false),
    ] {
        let mut command = project.pleach_command(&["watch"]);
        let watched = ran(command.envs(variables.iter().copied()));
        for text in [watched.out(), watched.err()] {
            assert_eq!(colours(&text), coloured, "{variables:?}: {text}");
            assert!(!moves(&text), "{variables:?}: {text}");
        }
    }
    // On one.
    project.start(&[("three", WAITS)], &[]);
    for (variables, coloured, drawn) in [
        (&[][..], true, true),
        (&[("NO_COLOR", "1")], false, true),
        (&[("CLICOLOR", "0")], false, true),
        (&[("TERM", "dumb")], false, false),
    ] {
        let mut command = project.pleach_command(&["watch"]);
        let terminal = Terminal::start(command.envs(variables.iter().copied()), (80, 24));
        if drawn {
            terminal.until_shown("0/1 settled");
        } else {
            terminal.until_shown("  started     1  @run echo hi");
        }
        terminal.send(CTRL_C);
        let left = terminal.end();
        assert_eq!(left.code, 130, "{variables:?}");
        let own = left.raw.split("\x1b]0;ended").next().unwrap_or_default();
        assert_eq!(colours(own), coloured, "{variables:?}: {own:?}");
        assert_eq!(moves(own), drawn, "{variables:?}: {own:?}");
    }
    project.open("gate");
}

#[test]
fn settled_tasks_go_to_a_file_while_the_others_stand_on_the_terminal() {
    let project = Project::new();
    project.start(&[("one", WAITS), ("two", "@wait ../../second\n@say quick")], &[]);
    let mut command = project.shell(r#""$PLEACH" watch >../out"#);
    command.env("TERM", "xterm");
    let terminal = Terminal::start_checked(&command, (80, 24), once);
    terminal.until_shown("Bash echo hi");
    project.open("second");
    terminal.until_shown("1/2 settled");
    project.open("gate");
    let left = terminal.end();
    assert_eq!((left.code, left.text.trim()), (0, ""));
    let out = std::fs::read_to_string(project.root().join("out")).expect("read what it printed");
    assert!(
        out.contains("succeeded   2  ") && out.contains("succeeded   1  "),
        "{out}"
    );
    assert!(out.contains("completed, 2 of 2") && !out.contains('\x1b'), "{out}");
}

#[test]
fn both_outputs_may_be_the_terminal_by_different_names() {
    let project = Project::new();
    project.start(&[("one", WAITS), ("two", "@wait ../../second\n@say quick")], &[]);
    let mut command = project.shell(r#""$PLEACH" watch 2>/dev/tty"#);
    command.env("TERM", "xterm");
    let terminal = Terminal::start_checked(&command, (100, 24), once);
    terminal.until_shown("Bash echo hi");
    project.open("second");
    let text = terminal.until("the frame is drawn again", |screen| {
        screen.contains("succeeded   2  ") && screen.contains("1/2 settled")
    });
    assert!(
        text.lines().next().is_some_and(|line| line.ends_with("  quick")),
        "{text}"
    );
    project.open("gate");
    let left = terminal.end();
    assert_eq!(left.code, 0);
    assert!(
        !left.text.contains(" settled  ") && !left.text.contains("Bash"),
        "{}",
        left.text
    );
}

#[test]
fn a_reader_that_goes_away_ends_the_display_quietly() {
    let project = Project::new();
    project.start(&[("one", "@say one"), ("two", WAITS)], &[]);
    project.until("the first one is settled", |project| {
        (project.query(&["status"])["completed"] == 1).then_some(())
    });
    for arguments in [&["watch"][..], &["status", "--watch"]] {
        let (reader, unread) = std::io::pipe().expect("make a pipe");
        drop(reader);
        let mut command = project.pleach_command(arguments);
        let ended = ran(command.stdout(unread));
        assert_eq!(ended.code(), 0, "{ended:?}");
        assert!(!ended.err().contains("error"), "{ended:?}");
    }
    assert_eq!(project.query(&["status"])["overall_status"], "running");
    project.open("gate");
}

#[test]
fn nothing_out_of_date_stands_while_a_reader_takes_nothing() {
    let project = Project::new();
    // More than a pipe holds.
    let ids: Vec<String> = (1..=8).map(|n| format!("t{n}")).collect();
    let much = format!("@wait ../../second\n@say {}", "much ".repeat(3000));
    let mut tasks: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), much.as_str())).collect();
    tasks.push(("last", WAITS));
    project.start(&tasks, &["--max-parallel", "unlimited"]);
    let pipe = project.root().join("pipe");
    assert!(
        project
            .command("mkfifo")
            .arg(&pipe)
            .status()
            .expect("run mkfifo")
            .success()
    );
    let mut command = project.shell(r#"exec "$PLEACH" watch >../pipe"#);
    command.env("TERM", "xterm");
    let terminal = Terminal::start_checked(&command, (100, 40), once);
    let mut reader = File::open(&pipe).expect("open the pipe");
    terminal.until_shown("0/9 settled");
    project.open("second");
    project.until("all but one are settled", |project| {
        (project.query(&["status"])["completed"] == 8).then_some(())
    });
    terminal.until("nothing stands", |screen| screen.trim().is_empty());
    let read = std::thread::spawn(move || std::io::read_to_string(&mut reader).expect("read it"));
    terminal.until_shown("8/9 settled  8 succeeded  1 running");
    project.open("gate");
    let left = terminal.end();
    assert_eq!(left.code, 0);
    assert_cleared(&left);
    let out = read.join().expect("it is read");
    assert!(out.contains("completed, 9 of 9 tasks settled"), "{out}");
}

#[test]
fn the_table_of_status_stays_until_the_session_has_ended() {
    let project = Project::new();
    let ids: Vec<String> = (1..=20).map(|n| format!("t{n}")).collect();
    let mut tasks: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), WAITS)).collect();
    tasks[17].1 = "@fail No such luck.";
    (tasks[16].1, tasks[18].1) = ("@say quick", "@say quick");
    project.start(&tasks, &["--max-parallel", "unlimited"]);
    let command = project.pleach_command(&["status", "--watch"]);
    let high = Terminal::start_checked(&command, (80, 40), once_in_table);
    let low = Terminal::start_checked(&command, (70, 39), once_in_table);
    let leaves = Terminal::start(&command, (80, 40));
    let all = |screen: &str| screen.matches("Bash echo").count() == 17 && screen.contains("  running, 3 of 20");
    high.until("all wait", all);
    let text = low.until("all wait", all);
    assert!(text.ends_with("  … 2 more\n"), "{text}");
    assert!(
        text.contains("  18  failed") && !text.contains("  19  succeeded"),
        "{text}"
    );
    low.resize((70, 10));
    low.until("it fits", |screen| {
        screen.contains("  … 17 more") && screen.starts_with("session ")
    });
    leaves.until("all wait", all);
    leaves.send(CTRL_C);
    let left = leaves.end();
    assert_eq!(left.code, 130);
    assert!(
        !left.text.contains("Bash echo hi") && left.text.contains("the session goes on: "),
        "{}",
        left.text
    );
    // A draw that was on its way when the terminal became so low has scrolled out of it: nobody can take that away.
    let scrolled = low.scrolled();
    project.open("gate");
    for (terminal, scrolled) in [(high, 0), (low, scrolled)] {
        let left = terminal.end();
        assert_eq!(left.code, 0);
        let text: String = left.text.lines().skip(scrolled).map(|l| format!("{l}\n")).collect();
        assert_eq!(text.matches("  succeeded  ").count(), 19, "{text}");
        assert_eq!(text.matches("session ").count(), 1, "{text}");
        assert!(!text.contains("Bash echo hi") && !text.contains(" more\n"), "{text}");
    }
}

fn once_in_table(screen: &str) -> Result<(), String> {
    match screen.matches("tasks settled").count() {
        0 | 1 => Ok(()),
        _ => Err("there are two tables".into()),
    }
}

#[test]
fn without_a_terminal_the_table_comes_again_after_each_change() {
    let project = Project::new();
    project.start(&[("one", "@touch ../../here\n@wait ../../gate\n@say It is done.")], &[]);
    project.await_file("here");
    let watched = project
        .pleach_command(&["status", "--watch"])
        .stdin(Stdio::null())
        .spawn()
        .expect("start pleach");
    let watched = output_of(watched);
    project.open("gate");
    let watched = Ran(watched.recv_timeout(PATIENCE).expect("it ends"));
    assert_eq!((watched.code(), watched.err().as_str()), (0, ""));
    let text = watched.out();
    let tables: Vec<&str> = text.split("\n\n").collect();
    let last = tables.last().expect("a table");
    assert!(
        last.contains("completed, 1 of 1 task settled") && last.contains("succeeded"),
        "{text}"
    );
    assert!(tables.iter().all(|table| table.starts_with("session ")), "{text}");
    assert_eq!(*last, project.run(&["status"]).out(), "{text}");
    let again = project.run(&["status", "--watch", "--json"]);
    assert_eq!(again.code(), 2, "{again:?}");
}

#[test]
fn watching_is_for_a_session_that_is_there() {
    let project = Project::new();
    project.run(&["watch"]).assert_refused(2, &["there is no session in"]);
    project.start(&[("one", "@say hi")], &[]);
    project.run(&["watch", "nope"]).assert_refused(2, &["\"nope\""]);
    project.run(&["wait"]);
    let terminal = watching(&project, &[], (80, 24));
    assert!(redacted(&terminal.end().text).starts_with("succeeded   1  "));
}
