//! Cleaning while something is at work, after something was killed, and killed itself.

use std::fs;

use serde_json::Value;

use crate::clean::{branches, clean, date, planned, session_of, things, trash, why};
use crate::support::{Project, pairs};

/// What git says of a file that is not there.
const NOTHING: &str = "";

// Fault 47: a session that is at work is refused when it is named, and stays else.
#[test]
fn a_live_session_and_a_live_agent_are_left_alone() {
    let project = Project::new();
    let gate = project.beside("gate");
    let id = project.start(
        &[
            ("a", &format!("@write a.txt a\n@wait {gate}")),
            ("b", "@write b.txt b\n@fail no"),
        ],
        &["--max-parallel", "1"],
    );
    project.until_it_runs(&id);
    for more in [&[][..], &["--discard"], &["--unmerged"], &["--empty-trash"]] {
        let arguments = [&["clean", "-y", &id], more].concat();
        project
            .run(&arguments)
            .assert_refused(2, &["is at work", "pleach stop"]);
    }
    assert_eq!(things(&clean(&project, &["--all"])), ["record stays"]);
    // Without its supervisor the agent goes on, and what it does is not taken from it.
    project.kill_supervisor();
    assert_eq!(things(&clean(&project, &["--all"])), ["record stays"]);
    for more in [&[][..], &["--discard"]] {
        let done = clean(&project, &[&[id.as_str()], more].concat());
        assert!(things(&done).contains(&"worktree main-task-a stays".into()), "{done:#}");
        assert_eq!(why(&done, "main-task-a"), "an agent works in it");
    }
    assert_eq!(project.agents().len(), 1, "{:?}", project.agents());
    project.open("gate");
    project.until("the agent has ended", |p| p.agents().is_empty().then_some(()));
}

// Fault 47: whoever cleans again and again while tasks run takes nothing from them.
#[test]
fn cleaning_again_and_again_while_tasks_run() {
    let project = Project::new();
    let ids: Vec<String> = (0..12).map(|n| format!("t{n}")).collect();
    let prompts: Vec<String> = ids
        .iter()
        .map(|id| format!("@write {id}.txt {id}\n@commit {id}\n@write left.txt {id}"))
        .collect();
    let tasks = pairs(&ids, &prompts);
    let run = project.start_session(&tasks, &["--max-parallel", "3"]);
    let ended = loop {
        match run.try_recv() {
            Ok(output) => break output,
            Err(_) => {
                let ran = project.run(&["clean", "-y", "--all"]);
                assert_eq!(ran.code(), 0, "{ran:?}");
            }
        }
    };
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    for id in &ids {
        assert_eq!(
            project.changed_in(&format!("main-task-{id}")),
            format!("left.txt\n{id}.txt\n")
        );
    }
}

#[test]
fn what_an_interrupted_session_has_goes_only_when_it_is_named_and_nothing_is_lost() {
    let project = Project::new();
    let gate = project.beside("gate");
    let waits = |file: &str| format!("@write {file} x\n@touch {gate}-{file}\n@wait {gate}");
    let id = project.start(
        &[
            ("dirty", &waits("d")),
            ("clean", &format!("@touch {gate}-c\n@wait {gate}")),
        ],
        &[],
    );
    project.await_file("gate-d");
    project.await_file("gate-c");
    project.kill_supervisor();
    for process in project.processes().iter().filter(|p| p.line.contains("__runner")) {
        let _ = rustix::process::kill_process(process.pid, rustix::process::Signal::KILL);
    }
    project.until("all have ended", |p| p.processes().is_empty().then_some(()));
    for scope in [&[][..], &["--all"]] {
        let done = clean(&project, scope);
        assert_eq!(things(&done), ["record stays"], "{done:#}");
        assert!(
            why(&done, &format!("session-{id}")).contains("pleach resume"),
            "{done:#}"
        );
    }
    let done = clean(&project, &[&id]);
    assert_eq!(
        things(&done),
        [
            "branch main-task-clean gone",
            "branch main-task-dirty stays",
            "record stays",
            "worktree main-task-clean gone",
            "worktree main-task-dirty stays",
        ],
        "{done:#}"
    );
    let done = clean(&project, &[&id, "--discard"]);
    assert_eq!(
        things(&done),
        [
            "branch main-task-dirty gone",
            "record gone",
            "worktree main-task-dirty gone"
        ],
        "{done:#}"
    );
    let pinned = project.git(&[
        "for-each-ref",
        "--format=%(refname)",
        &format!("refs/pleach/{id}/dirty"),
    ]);
    let kept = pinned.lines().any(|pin| {
        let shown = project.command("git").args(["show", &format!("{pin}:d")]).output();
        shown.expect("run git").stdout == b"x\n"
    });
    assert!(kept, "{pinned}");
}

// Fault 36: what was cut off while it was made is known from the journal, and goes.
#[test]
fn a_half_made_worktree_goes() {
    for point in ["branched:1", "registered:1", "checked-out:1"] {
        let project = Project::new();
        let tasks = project.tasks(&[("a", "@write a.txt a")]);
        let mut command = project.pleach_command(&["run", "--agent", "scripted", &tasks]);
        command.env("PLEACH_TEST_KILL", format!("{point}@supervisor"));
        let ran = crate::support::ran(&mut command);
        let id = ran.out().trim().to_owned();
        project.until("the supervisor is gone", |p| {
            (p.query(&["status"])["overall_status"] == "interrupted").then_some(())
        });
        assert!(branches(&project).contains(&"main-task-a".into()), "{point}");
        let done = clean(&project, &[&id, "--discard"]);
        assert!(
            things(&done).iter().all(|thing| thing.ends_with("gone")),
            "{point}: {done:#}"
        );
        assert_eq!(branches(&project), ["main"], "{point}");
        assert_eq!(project.git(&["worktree", "list"]).lines().count(), 1, "{point}");
        assert!(!project.worktree("a").exists(), "{point}");
    }
}

#[test]
fn what_was_half_made_by_something_that_was_killed_goes() {
    let project = Project::new();
    session_of(&project, &[("a", "@say hi")], &[]);
    let pleach = project.repo().join(".git/pleach");
    let half = [
        "results/.new-OldOld",
        "results/.trash-0c0b7bd0-93d1-4b53-8ba0-6a4b8c8c2d01",
        "view-OldOld",
    ];
    for name in half {
        fs::create_dir_all(pleach.join(name).join("attempts")).expect("make a directory");
        date(&pleach.join(name), "1 hour ago");
    }
    for name in ["results/.new-Younge", "view-Younge", "other"] {
        fs::create_dir(pleach.join(name)).expect("make a directory");
    }
    let held = pleach.join("results/.new-TheOne");
    fs::create_dir(&held).expect("make a directory");
    let lock = fs::File::create(held.join("session.lock")).expect("make a lock");
    lock.lock().expect("take it");
    date(&held, "1 hour ago");
    let done = clean(&project, &[]);
    assert_eq!(
        things(&done)
            .iter()
            .filter(|thing| thing.starts_with("half_made "))
            .count(),
        3,
        "{done:#}"
    );
    for name in half {
        assert!(!pleach.join(name).exists(), "{name}");
    }
    for name in ["results/.new-Younge", "view-Younge", "other", "results/.new-TheOne"] {
        assert!(pleach.join(name).exists(), "{name}");
    }
}

#[test]
fn worktrees_of_a_session_whose_record_is_gone() {
    let project = Project::new();
    let tasks = [
        ("clear", "@write a.txt a\n@fail no"),
        ("dirty", "@write a.txt a\n@fail no"),
        ("used", "@write a.txt a\n@fail no"),
    ];
    session_of(&project, &tasks, &[]);
    fs::write(project.worktree("dirty").join("new.txt"), "new").expect("write a file");
    project
        .sh("git worktree add -q -b mine ../repo.pleach/mine; git worktree add -q -b x-task-y ../repo.pleach/x-task-y");
    fs::remove_dir_all(project.session_dir()).expect("remove the record");
    let mut inside = project.command("sleep");
    let mut inside = inside
        .arg("100")
        .current_dir(project.worktree("used"))
        .spawn()
        .expect("start a program");
    assert_eq!(things(&clean(&project, &[])), [NOTHING; 0]);
    let done = clean(&project, &["--all"]);
    inside.kill().expect("end it");
    inside.wait().expect("wait for it");
    assert_eq!(
        things(&done),
        [
            "worktree main-task-clear gone",
            "worktree main-task-dirty stays",
            "worktree main-task-used stays",
        ],
        "{done:#}"
    );
    assert_eq!(why(&done, "main-task-used"), "a process is in it");
    assert_eq!(project.show("main-task-clear:a.txt"), "a\n");
    assert!(project.worktrees().join("mine").exists() && project.worktrees().join("x-task-y").exists());
}

#[test]
fn a_session_without_worktrees_has_only_its_record() {
    let project = Project::new();
    let id = session_of(&project, &[("a", "@say hi")], &["--no-worktree"]);
    assert_eq!(things(&clean(&project, &[])), [NOTHING; 0]);
    assert_eq!(things(&clean(&project, &[&id, "--discard"])), ["record gone"]);
    assert!(!project.repo().join(".git/pleach/discarded").exists());
}

/// All that a session left that anybody could miss: each file of its tasks, wherever it is.
fn is_somewhere(project: &Project, file: &str) -> bool {
    let refs = project.git(&["for-each-ref", "--format=%(refname)"]);
    refs.lines().any(|name| {
        let shown = project
            .command("git")
            .args(["show", &format!("{name}:{file}")])
            .output();
        shown.expect("run git").status.success()
    })
}

// Killed at any point, it leaves nothing half: the next one ends what it began.
#[test]
fn an_interrupted_clean_is_ended_by_the_next() {
    let mut deaths = 0;
    for discards in [false, true] {
        for (point, most) in [
            ("rename", 6),
            ("fsync", 2),
            ("trashed", 1),
            ("pinned", 2),
            ("delete-refs", 3),
            ("removing", 1),
        ] {
            for n in 1..=most {
                let project = Project::new();
                let tasks = [("a", "@write a.txt a\n@fail no"), ("b", "@write b.txt b\n@fail no")];
                let id = session_of(&project, &tasks, &[]);
                if discards {
                    fs::write(project.worktree("a").join("new.txt"), "new").expect("write a file");
                } else {
                    project.git(&["merge", "-q", "--no-edit", "main-task-a", "main-task-b"]);
                }
                let mut arguments = vec!["clean", "-y", &id];
                arguments.extend(discards.then_some("--discard"));
                let mut command = project.pleach_command(&arguments);
                command.env("PLEACH_TEST_KILL", format!("{point}:{n}@command"));
                let killed = crate::support::ran(&mut command).0.status.code().is_none();
                let what = format!("{point}:{n} {discards}");
                for file in ["a.txt", "b.txt"].iter().chain(discards.then_some(&"new.txt")) {
                    let in_worktree = ["a", "b"].iter().any(|id| project.worktree(id).join(file).exists());
                    assert!(in_worktree || is_somewhere(&project, file), "{what}: {file}");
                }
                if !killed {
                    break;
                }
                deaths += 1;
                // A session whose record is gone is no session any more.
                let again = project.run(&arguments);
                let gone = again.err().contains("no session");
                assert!(gone || again.code() == 0, "{what}: {again:?}");
                let plan = planned(&project, &["--all"]);
                let left: Vec<String> = things(&plan)
                    .into_iter()
                    .filter(|t| !t.starts_with("half_made"))
                    .collect();
                assert_eq!(left, [NOTHING; 0], "{what}: {again:?}");
                assert_eq!(branches(&project), ["main"], "{what}");
                assert_eq!(project.git(&["worktree", "list"]).lines().count(), 1, "{what}");
                assert!(
                    !project.worktree("a").exists() && !project.worktree("b").exists(),
                    "{what}"
                );
                for file in ["a.txt", "b.txt"].iter().chain(discards.then_some(&"new.txt")) {
                    assert!(is_somewhere(&project, file), "{what}: {file}");
                }
            }
        }
    }
    assert!(deaths >= 12, "{deaths}");
}

#[test]
fn emptying_the_trash_that_was_cut_off_goes_on() {
    let project = Project::new();
    let make = "@run mkdir -p a/b/c/d e/f; touch a/b/c/d/x e/f/y";
    session_of(&project, &[("a", make)], &[]);
    for n in [1, 3] {
        let mut command = project.pleach_command(&["clean", "-y", "--empty-trash"]);
        command.env("PLEACH_TEST_KILL", format!("removing:{n}@command"));
        assert_eq!(crate::support::ran(&mut command).0.status.code(), None, "{n}");
        assert_eq!(trash(&project).len(), 1);
    }
    // It is known to be going, whatever its date.
    let plan: Value = planned(&project, &[]);
    let goes = |thing: &String| thing.starts_with("trash ~main-task-a") && thing.ends_with(" goes");
    assert!(things(&plan).iter().any(goes), "{plan:#}");
    clean(&project, &[]);
    assert!(trash(&project).is_empty());
}
