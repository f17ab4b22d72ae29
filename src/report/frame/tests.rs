use std::path::PathBuf;

use super::*;
use crate::report::columns::width;
use crate::report::fixture::Task::{self, Failed, Pending, Running, Stopped, Succeeded};
use crate::report::fixture::{STARTED, document};

const MOMENT: Moment = Moment {
    now_ms: (STARTED + 125) * 1000,
    most: Some(4),
    stopping: false,
};

fn plain(text: &str) -> String {
    console::strip_ansi_codes(text).into_owned()
}

/// The lines without their colours; the bar as `[bar]`.
fn shown(doc: &StatusDocument, moment: &Moment, columns: usize, lines: usize) -> String {
    let frame = frame(doc, moment, columns, lines);
    let bar = frame.bar.map_or("", |_| "[bar]  ");
    let tasks: String = frame.tasks.iter().map(|t| format!("{}\n", plain(t))).collect();
    format!("{tasks}{bar}{}\n", plain(&frame.session))
}

const SOME_OF_EACH: [Task; 8] = [
    Succeeded(100.0),
    Running(75.4),
    Failed(30.0),
    Running(3.0),
    Stopped(1.0),
    Running(0.2),
    Pending,
    Pending,
];

/// These, so many times.
fn some_of_each(times: usize) -> StatusDocument {
    let mut doc = document(&SOME_OF_EACH.repeat(times));
    for tasks in doc.tasks.chunks_mut(SOME_OF_EACH.len()) {
        say_more(tasks);
    }
    doc.cost_usd = Some(doc.tasks.iter().filter_map(|t| t.cost_usd).sum());
    doc
}

fn say_more(tasks: &mut [TaskStatus]) {
    tasks[1].title = "漢字を読む 👩\u{200d}💻 and more of it".into();
    tasks[1].worktree = Some(PathBuf::from("/src/app.pleach/main-task-t2"));
    tasks[1].activity = Some("Edit /src/app.pleach/main-task-t2/src/deep/inside/main.rs".into());
    tasks[3].activity = Some("  I am\nthinking \x1b[31mred".into());
    tasks[3].turns = Some(1);
    tasks[5].activity = None;
    (tasks[5].turns, tasks[5].cost_usd) = (None, None);
}

#[test]
fn a_frame_at_40_80_and_200_columns() {
    let doc = some_of_each(1);
    assert_eq!(
        shown(&doc, &MOMENT, 40, 24),
        "\
2  漢字を読…   Edit src/dee…   1 m 15 s
4  Do the ta…  I am thinkin…        3 s
6  Do the ta…  starting             0 s
3/8 settled  1 failed  3 running  $1.25
"
    );
    assert_eq!(
        shown(&doc, &MOMENT, 80, 24),
        "\
2  漢字を読む 👩\u{200d}💻 a…  Edit src/deep/inside/mai…    4 turns    $0.25   1 m 15 s
4  Do the task with…   I am thinking \\x1b[31mred     1 turn    $0.25        3 s
6  Do the task with…   starting                                             0 s
3/8 settled  1 failed  1 stopped  3 running  $1.25  2 m 05 s  about 1 m left
"
    );
    // A longer line could hardly be read.
    assert_eq!(
        shown(&doc, &MOMENT, 200, 24).replace(&" ".repeat(30), "[30]"),
        "\
2  漢字を読む 👩\u{200d}💻 and more of it  Edit src/deep/inside/main.rs[30]      4 turns    $0.25   1 m 15 s
4  Do the task with number 4       I am thinking \\x1b[31mred[30]          1 turn    $0.25        3 s
6  Do the task with number 6       starting[30][30]                    0 s
[bar]  3/8 settled  1 succeeded  1 failed  1 stopped  3 running  2 waiting  $1.25  2 m 05 s  about 1 m left
"
    );
}

#[test]
fn a_session_at_its_beginning_at_its_end_and_while_it_stops() {
    let line = |tasks: &[Task], moment: &Moment, columns| shown(&document(tasks), moment, columns, 24);
    assert_eq!(
        line(&[Pending, Pending], &MOMENT, 80),
        "0/2 settled  0 running  2 waiting  2 m 05 s  time left not known yet\n"
    );
    assert_eq!(
        line(&[Succeeded(1.0), Failed(1.0)], &MOMENT, 80),
        "2/2 settled  1 succeeded  1 failed  0 running  $0.50  2 m 05 s\n"
    );
    assert_eq!(line(&[], &MOMENT, 40), "0/0 settled  0 running  2 m 05 s\n");
    for (why, said) in [
        ("disk: 3 MiB free in /w, 1.0 GiB needed (--min-free-disk)", "disk"),
        (
            "a free place among the 4 agents of this machine (PLEACH_MAX_AGENTS)",
            "a free place",
        ),
    ] {
        let mut waits = document(&[Pending, Pending]);
        waits.waiting_for = Some(why.into());
        assert_eq!(
            shown(&waits, &MOMENT, 80, 24),
            format!("0/2 settled  0 running  2 waiting  2 m 05 s  waits for {said}\n")
        );
    }
    // Where what it waits for has no room, that it waits has.
    let mut waits = document(&[Succeeded(1.0), Running(1.0), Pending]);
    waits.waiting_for = Some("the usage limit (five_hour), until 23:00:37".into());
    for (columns, said) in [
        (60, "1/3 settled  1 running  1 waiting  $0.50  2 m 05 s  waits"),
        (40, "1/3 settled  1 running  2 m 05 s  waits"),
        (24, "1/3 settled  waits"),
    ] {
        assert_eq!(shown(&waits, &MOMENT, columns, 24).lines().last(), Some(said));
    }
    // Nothing known of the time is less than what waits.
    assert_eq!(
        shown(&document(&[Running(1.0), Pending]), &MOMENT, 60, 24)
            .lines()
            .last(),
        Some("0/2 settled  1 running  1 waiting  $0.25  2 m 05 s")
    );
    let stopping = Moment {
        stopping: true,
        ..MOMENT
    };
    assert_eq!(
        line(&[Succeeded(1.0), Pending], &stopping, 80),
        "1/2 settled  1 succeeded  0 running  1 not started  $0.25  2 m 05 s  stopping\n"
    );
    // Nor does anything wait for its turn once the cost limit is passed.
    let mut doc = document(&[Succeeded(200.0), Running(100.0), Pending]);
    (doc.cost_usd, doc.max_cost_usd) = (Some(2.5), Some(2.0));
    assert_eq!(
        shown(&doc, &MOMENT, 100, 24).lines().last(),
        Some("1/3 settled  1 succeeded  1 running  1 not started  $2.50 of $2.00  2 m 05 s  about 2 m left")
    );
}

#[test]
fn what_happens_before_and_after_the_agent_runs_is_said() {
    let mut doc = document(&[Running(1.0); 4]);
    for task in &mut doc.tasks {
        task.activity = None;
    }
    (doc.tasks[0].attempts, doc.tasks[1].exit_code) = (0, Some(0));
    // One of a model that thinks about its first words.
    doc.tasks[3].last_activity = Some(STARTED + 2);
    let said = |doc: &StatusDocument| -> Vec<String> {
        let text = shown(doc, &MOMENT, 120, 24);
        let said = text.lines().filter_map(|l| l.split("  ").nth(2));
        said.map(str::to_owned).take(4).collect()
    };
    // Without a worktree nothing is committed.
    assert_eq!(said(&doc), ["starting", "ending", "starting", "at work"]);
    for task in &mut doc.tasks {
        task.worktree = Some(PathBuf::from("/src/app.pleach/main-task-t1"));
    }
    assert_eq!(
        said(&doc),
        [
            "its worktree is being made",
            "its work is being committed",
            "starting",
            "at work"
        ]
    );
}

#[test]
fn many_running_tasks_fold() {
    let tasks: Vec<Task> = (0..200).map(|n| if n < 40 { Running(1.0) } else { Pending }).collect();
    let doc = document(&tasks);
    let of = |lines| shown(&doc, &MOMENT, 80, lines);
    let text = of(24);
    assert_eq!(text.lines().count(), 12);
    assert!(text.starts_with("  1  Do") && text.contains("\n 10  Do"), "{text}");
    assert!(text.contains("\n     … and 30 more running\n0/200 settled"), "{text}");
    assert!(of(100).contains("\n 40  Do") && !of(100).contains("more running"));
    assert_eq!(
        of(3),
        "40 running\n0/200 settled  40 running  160 waiting  $10.00  2 m 05 s\n"
    );
    assert_eq!(of(2).lines().count(), 1);
    let all = document(&[Running(1.0); 7]);
    assert!(
        !shown(&all, &MOMENT, 80, 9).contains("more"),
        "seven and the session fit in eight"
    );
    assert!(shown(&all, &MOMENT, 80, 8).contains("\n   … and 2 more running\n"));
}

#[test]
fn every_frame_fits_its_terminal() {
    for doc in [document(&[]), some_of_each(1), some_of_each(25)] {
        for columns in (1..100).chain([120, 199, 200, 300]) {
            for lines in [1, 2, 3, 4, 8, 9, 24, 100] {
                let frame = frame(&doc, &MOMENT, columns, lines);
                let height = frame.tasks.len() + 1;
                assert!(height <= (lines - 1).max(1), "{height} lines of {lines}");
                let bar = frame.bar.map_or(0, |bar| bar + 2);
                for (line, more) in frame.tasks.iter().map(|t| (t, 0)).chain([(&frame.session, bar)]) {
                    let line = plain(line);
                    let wide = width(&line) + more;
                    assert!(wide <= (columns - 1).max(1), "{wide} of {columns}: {line:?}");
                    assert!(!line.chars().any(char::is_control), "{line:?}");
                }
            }
        }
    }
}
