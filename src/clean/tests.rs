//! The decision, for every kind of session, worktree and branch, and everything that can be asked for.

use std::time::Duration;

use git2::Oid;
use uuid::Uuid;

use super::age::Time;
use super::plan::of_session;
use super::shared::Notes;
use super::survey::{BranchFacts, SessionFacts, SessionStanding, Survey, TaskFacts, WorktreeFacts};
use super::trash::Trashed;
use super::{Fate, Ignored, Item, Plan, Request, Scope, Thing};
use crate::task::TaskId;

const NOW: u64 = 1_800_000_000_000;

fn oid() -> Oid {
    Oid::from_bytes(&[7; 20]).unwrap()
}

fn request(scope: Scope) -> Request {
    Request {
        scope,
        merged: false,
        unmerged: false,
        discard: false,
        older_than: None,
        empty_trash: false,
    }
}

fn named() -> Request {
    request(Scope::Named(vec![Uuid::nil()]))
}

fn branch(word: &str) -> BranchFacts {
    let (name, tip) = ("b".to_owned(), oid());
    match word {
        "merged" => BranchFacts::Merged {
            name,
            tip,
            into: "it is merged into main".into(),
        },
        "unmerged" => BranchFacts::Unmerged { name, tip, commits: 2 },
        "busy" => BranchFacts::Busy {
            name,
            tip: Some(tip),
            why: "it is checked out in /x".into(),
        },
        _ => BranchFacts::Gone,
    }
}

fn worktree(word: &str) -> WorktreeFacts {
    let path = "/w".into();
    let why = || "why".to_owned();
    match word {
        "clear" => WorktreeFacts::Clear {
            path,
            head: Some(oid()),
            ignored: Ignored::default(),
        },
        "dirty" => WorktreeFacts::Uncommitted { path, why: why() },
        "fixed" => WorktreeFacts::Stays { path, why: why() },
        _ => WorktreeFacts::Gone,
    }
}

fn task(words: &str) -> TaskFacts {
    let mut parts = words.split(' ');
    let (w, b) = (parts.next().unwrap(), parts.next().unwrap());
    let more: Vec<&str> = parts.collect();
    TaskFacts {
        id: TaskId::parse("a").unwrap(),
        site: None,
        attempted: true,
        settled: !more.contains(&"unsettled"),
        at_work: more.contains(&"at-work"),
        worktree: worktree(w),
        branch: branch(b),
    }
}

fn session(standing: SessionStanding, words: &str) -> SessionFacts {
    SessionFacts {
        id: Uuid::nil(),
        record: "/r".into(),
        standing,
        tasks: vec![task(words)],
        unkept: usize::from(words.ends_with("unkept")),
        loose: usize::from(words.ends_with("loose")),
        notes: words.contains("notes").then(|| Notes {
            path: "/n".into(),
            bytes: 1,
        }),
    }
}

fn ended() -> SessionStanding {
    SessionStanding::Ended { at_ms: NOW - 1000 }
}

/// What goes, in letters: worktree, branch, record; a dash for what stays.
fn shown(items: &[Item]) -> String {
    let letter = |item: &Item| {
        let letter = match item.thing {
            Thing::Worktree { .. } => 'w',
            Thing::Branch { .. } => 'b',
            Thing::Record(_) => 'r',
            Thing::Shared { .. } => 'n',
            _ => '?',
        };
        if item.goes() {
            letter.to_string()
        } else {
            format!("-{letter}")
        }
    };
    items.iter().map(letter).collect::<Vec<_>>().join(" ")
}

fn decided(session: &SessionFacts, request: &Request) -> String {
    shown(&of_session(session, request, NOW))
}

#[test]
fn what_becomes_of_each_kind_of_task() {
    let requests = [
        request(Scope::Merged),
        request(Scope::All),
        Request {
            merged: true,
            ..request(Scope::All)
        },
        Request {
            unmerged: true,
            ..named()
        },
        Request {
            discard: true,
            ..named()
        },
    ];
    // For each: by default, --all, --all --merged, SESSION --unmerged, SESSION --discard.
    let table = "
        gone  gone     |         | r        | r        | r        | r
        clear merged   | w b     | w b r    | w b r    | w b r    | w b r
        clear gone     | w       | w r      | w r      | w r      | w r
        clear unmerged | -w -b   | w -b -r  | -w -b -r | w b r    | w b r
        clear busy     | -w -b   | w -b -r  | -w -b -r | w -b -r  | w -b -r
        gone  unmerged | -b      | -b -r    | -b -r    | b r      | b r
        gone  busy     | -b      | -b -r    | -b -r    | -b -r    | -b -r
        dirty merged   | -w -b   | -w -b -r | -w -b -r | -w -b -r | w b r
        dirty unmerged | -w -b   | -w -b -r | -w -b -r | -w -b -r | w b r
        fixed merged   | -w -b   | -w -b -r | -w -b -r | -w -b -r | -w -b -r
        fixed unmerged | -w -b   | -w -b -r | -w -b -r | -w -b -r | -w -b -r
        clear merged at-work   | -w -b | -w -b -r | -w -b -r | -w -b -r | -w -b -r
        dirty merged at-work   | -w -b | -w -b -r | -w -b -r | -w -b -r | -w -b -r
        gone  gone   unsettled |       | -r       | -r       | -r       | r
        gone  gone   unkept    |       | -r       | -r       | -r       | r
        gone  gone   loose     |       | -r       | -r       | -r       | r
        gone  gone   notes     |       | r n      | r n      | r n      | r n
        clear unmerged notes   | -w -b | w -b -r | -w -b -r | w b r n  | w b r n
    ";
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut cells = line
            .split('|')
            .map(|cell| cell.split_whitespace().collect::<Vec<_>>().join(" "));
        let words = cells.next().unwrap();
        for (request, expected) in requests.iter().zip(cells) {
            assert_eq!(
                decided(&session(ended(), &words), request),
                expected,
                "{words}: {request:?}"
            );
        }
    }
}

#[test]
fn what_becomes_of_each_kind_of_session() {
    let interrupted = || SessionStanding::Interrupted { since_ms: NOW - 1000 };
    let unreadable = || SessionStanding::Unreadable("no".into());
    for (standing, scope, expected) in [
        (ended(), Scope::Nothing, ""),
        (ended(), Scope::Named(vec![Uuid::max()]), ""),
        (SessionStanding::AtWork, Scope::Merged, "-r"),
        (SessionStanding::AtWork, named().scope, "-r"),
        (interrupted(), Scope::Merged, "-r"),
        (interrupted(), Scope::All, "-r"),
        (interrupted(), named().scope, "w b r"),
        (unreadable(), Scope::All, "-r"),
        (unreadable(), named().scope, "-r"),
    ] {
        let shown = decided(&session(standing.clone(), "clear merged"), &request(scope.clone()));
        assert_eq!(shown, expected, "{standing:?} {scope:?}");
    }
    // One that is at work stays whatever is asked for.
    let discard = Request {
        discard: true,
        unmerged: true,
        ..named()
    };
    assert_eq!(
        decided(&session(SessionStanding::AtWork, "clear merged"), &discard),
        "-r"
    );
}

// Fault 12: a date of the end that is still to come is no age.
#[test]
fn only_those_that_ended_long_ago() {
    const HOUR: u64 = 3_600_000;
    for (at_ms, is_meant) in [
        (NOW - 2 * HOUR, true),
        (NOW - HOUR, true),
        (NOW - 1, false),
        (NOW + HOUR, false),
        (u64::MAX, false),
    ] {
        let request = Request {
            older_than: Some(Duration::from_millis(HOUR)),
            ..request(Scope::All)
        };
        let items = of_session(
            &session(SessionStanding::Ended { at_ms }, "clear merged"),
            &request,
            NOW,
        );
        assert_eq!(!items.is_empty(), is_meant, "{at_ms}");
    }
}

#[test]
fn the_trash_goes_by_its_time_or_when_it_is_emptied() {
    let trashed = |time| Trashed {
        path: "/t".into(),
        bytes: 1,
        time,
    };
    for (time, by_time, emptied) in [
        (Time::Over, Some(true), Some(true)),
        (Time::Runs, None, Some(true)),
        (Time::Unknown, Some(false), Some(true)),
    ] {
        for (empty_trash, expected) in [(false, by_time), (true, emptied)] {
            let survey = Survey {
                trash: vec![trashed(time)],
                ..Survey::default()
            };
            let request = Request {
                empty_trash,
                ..request(Scope::Merged)
            };
            let plan = Plan::of(&survey, request, NOW);
            assert_eq!(plan.items().first().map(Item::goes), expected, "{time:?} {empty_trash}");
            assert_eq!(plan.is_idle(), expected != Some(true));
        }
    }
    let discarded = Survey {
        discarded: vec![
            ("/d".into(), Uuid::nil(), Time::Over),
            ("/e".into(), Uuid::max(), Time::Runs),
        ],
        ..Survey::default()
    };
    let plan = Plan::of(&discarded, request(Scope::Merged), NOW);
    assert!(
        matches!(
            &plan.items(),
            [Item {
                fate: Fate::Goes(_),
                ..
            }]
        ),
        "{plan:?}"
    );
}
