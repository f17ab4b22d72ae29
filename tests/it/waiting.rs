//! `pleach wait`: for one session or for all that run, on what changes and not by looking all the time.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::support::{PATIENCE, Project, Ran, skipped};

/// An agent that ends when there is a file of this name.
fn until(gate: &str) -> String {
    format!("@touch ../../up-{gate}\n@wait ../../{gate}\n@say It is done.")
}

#[test]
fn all_that_run_are_waited_for_and_one_that_failed_counts() {
    let project = Project::new();
    let none = project.run(&["wait", "--all"]);
    assert_eq!(
        (none.code(), none.out().as_str()),
        (0, "no session is running\n"),
        "{none:?}"
    );
    // One that has ended before has no part in it.
    project.session(&[("failed", "@exit 3")], &[]);
    for (last, code) in [("@say fine", 0), ("@exit 3", 1)] {
        let first = project.start(&[("a", &until("one"))], &[]);
        let second = project.start(&[("b", &format!("{}\n{last}", until("two")))], &[]);
        for gate in ["up-one", "up-two"] {
            project.await_file(gate);
        }
        let early = project.run(&["wait", "--all", "--timeout", "50ms"]);
        assert_eq!(early.code(), 124, "{early:?}");
        assert_eq!(early.out().matches("  running  ").count(), 2, "{early:?}");
        let all = project.pleach(&["wait", "--all", "--json"]);
        let generous = project.pleach(&["wait", "--all", "--timeout", "1h"]);
        project.open("two");
        project.open("one");
        let all = Ran(all.recv_timeout(PATIENCE).expect("it ends"));
        assert_eq!(all.code(), code, "{all:?}");
        let listed = all.json();
        assert_eq!(listed["schema"], 1);
        let ids: Vec<&str> = listed["sessions"]
            .as_array()
            .expect("sessions")
            .iter()
            .map(|s| {
                assert_eq!(s["overall_status"], "completed", "{s:#}");
                s["session_id"].as_str().expect("an id")
            })
            .collect();
        assert_eq!(ids, [second.as_str(), first.as_str()]);
        assert_eq!(Ran(generous.recv_timeout(PATIENCE).expect("it ends")).code(), code);
        for file in ["one", "two", "up-one", "up-two"] {
            fs::remove_file(project.root().join(file)).expect("close the gate");
        }
    }
}

#[test]
fn a_session_that_is_cut_off_meanwhile_ends_the_waiting_with_1() {
    let project = Project::new();
    project.start(&[("a", &until("one"))], &[]);
    project.await_file("up-one");
    let waits = [project.pleach(&["wait"]), project.pleach(&["wait", "--all"])];
    project.kill_supervisor();
    for wait in waits {
        let wait = Ran(wait.recv_timeout(PATIENCE).expect("it ends"));
        // Before it began to wait, perhaps: then there is nothing that runs.
        if wait.out() != "no session is running\n" {
            assert_eq!(wait.code(), 1, "{wait:?}");
            assert!(
                wait.err().starts_with("warning: the session was interrupted"),
                "{wait:?}"
            );
        }
    }
    let again = project.run(&["wait"]);
    assert_eq!(again.code(), 1, "{again:?}");
    project.open("one");
}

#[test]
fn an_unreadable_session_does_not_keep_the_others_from_being_waited_for() {
    let project = Project::new();
    project.session(&[("a", "@say hi")], &[]);
    let damaged = project.session_dir();
    fs::write(damaged.join("session.json"), "{").expect("damage it");
    project.start(&[("b", &until("one"))], &[]);
    project.await_file("up-one");
    let all = project.pleach(&["wait", "--all"]);
    project.open("one");
    let all = Ran(all.recv_timeout(PATIENCE).expect("it ends"));
    assert_eq!(all.code(), 3, "{all:?}");
    assert!(all.out().contains("  completed  "), "{all:?}");
    let id = damaged
        .to_str()
        .expect("UTF-8")
        .rsplit_once("session-")
        .expect("an id")
        .1
        .to_owned();
    assert!(all.err().starts_with(&format!("error: session {id}: ")), "{all:?}");
}

#[test]
fn options_that_exclude_each_other_are_refused() {
    let project = Project::new();
    for arguments in [
        &["wait", "--all", "3f2a"][..],
        &["stop", "--all", "3f2a"],
        &["stop", "--now", "--grace", "1s"],
    ] {
        let ran = project.run(arguments);
        assert_eq!(ran.code(), 2, "{ran:?}");
        assert!(ran.err().contains("cannot be used with"), "{ran:?}");
    }
}

#[test]
fn nothing_is_done_while_nothing_happens() {
    let project = Project::new();
    project.start(&[("a", &until("one"))], &[]);
    project.await_file("up-one");
    for arguments in [&["wait"][..], &["wait", "--all"]] {
        let mut wait = project.pleach_command(arguments).spawn().expect("start pleach");
        let proc = Path::new("/proc").join(wait.id().to_string());
        // It has begun to watch when it has a thread for that.
        project.until("it waits", |_| {
            (fs::read_dir(proc.join("task")).ok()?.count() > 1).then_some(())
        });
        sleep(Duration::from_millis(500));
        let before = reads(&proc);
        sleep(Duration::from_secs(3));
        let made = before.zip(reads(&proc)).map(|(before, after)| after - before);
        wait.kill().expect("end the waiting");
        wait.wait().expect("wait for it");
        let Some(made) = made else {
            return skipped("/proc does not tell how often a process reads");
        };
        // A look each second, of some files each. One that looks all the time would make thousands.
        assert!(made < 60, "{made} reads in 3 s");
    }
    project.open("one");
}

/// How many system calls that read a process has made.
fn reads(proc: &Path) -> Option<u64> {
    let io = fs::read_to_string(proc.join("io")).ok()?;
    io.lines()
        .find_map(|line| line.strip_prefix("syscr: "))?
        .trim()
        .parse()
        .ok()
}
