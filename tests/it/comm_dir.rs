//! The directory that the tasks of a session share.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::agents::describe;
use crate::support::Project;

#[test]
fn tasks_leave_notes_for_each_other() {
    let project = Project::new();
    let ended = project.session(
        &[
            (
                "asks",
                "@run echo question >\"$PLEACH_COMM_DIR/q.new\" && mv \"$PLEACH_COMM_DIR/q.new\" \"$PLEACH_COMM_DIR/q\"\n\
                 @run until [ -e \"$PLEACH_COMM_DIR/a\" ]; do sleep 0.01; done; cp \"$PLEACH_COMM_DIR/a\" told.txt",
            ),
            (
                "answers",
                "@run until [ -e \"$PLEACH_COMM_DIR/q\" ]; do sleep 0.01; done\n\
                 @run echo 42 >\"$PLEACH_COMM_DIR/a.new\" && mv \"$PLEACH_COMM_DIR/a.new\" \"$PLEACH_COMM_DIR/a\"\n\
                 @env PLEACH_COMM_DIR\n@env PLEACH_STATUS_FILE\n@system",
            ),
        ],
        &[],
    );
    ended.assert_exit(0);
    assert_eq!(project.show("main-task-asks:told.txt"), "42\n");
    assert_eq!(project.changed_in("main-task-asks"), "told.txt\n");
    assert_eq!(project.changed_in("main-task-answers"), "");
    let shared = project.shared_dir();
    let id = ended.mark();
    assert_eq!(shared, project.worktrees().join(".shared").join(id.trim()));
    let answer = ended.result("answers")["answer"].as_str().expect("an answer");
    let path = shared.to_str().expect("UTF-8");
    assert!(
        answer.starts_with(&format!(
            "PLEACH_COMM_DIR={path}\nPLEACH_STATUS_FILE={path}/answers.status\n"
        )),
        "{answer}"
    );
    assert!(
        answer.contains(&format!("use the directory {path} ($PLEACH_COMM_DIR)")),
        "{answer}"
    );
    assert_eq!(
        fs::metadata(&shared).expect("a directory").permissions().mode() & 0o777,
        0o700
    );
    // It outlives its session, and goes with the rest of it.
    assert!(fs::read_dir(&shared).expect("read").count() >= 2);
    let doctor = project.run(&["doctor"]);
    assert!(!doctor.out().contains(".shared"), "{doctor:?}");
    let kept = project.run(&["clean", "-y", "--all"]);
    assert!(shared.join("q").exists() && !kept.out().contains("notes"), "{kept:?}");
    let cleaned = project.run(&["clean", "-y", "--discard", id.trim()]);
    let named = format!("{path} (");
    assert!(!shared.exists() && cleaned.out().contains("notes"), "{cleaned:?}");
    assert!(cleaned.out().contains(&named), "{cleaned:?}");
    assert!(!project.worktrees().join(".shared").exists());
}

#[test]
fn it_is_below_no_git_directory_wherever_the_rest_is() {
    for (options, named, expected) in [
        (&["--no-worktree"][..], true, "elsewhere/session-"),
        (&["--no-worktree"], false, "pleach/shared/"),
        (&[], true, "repo.pleach/.shared/"),
        (&["--worktree-dir", "../other"], false, "other/.shared/"),
    ] {
        let mut project = Project::new();
        let results = project.beside("elsewhere");
        if named {
            project.set("PLEACH_RESULTS_DIR", &results);
        }
        // The user's commands find it, too.
        let copy = |name| format!("cp \"$PLEACH_COMM_DIR/note\" {}", project.beside(name));
        let (of_task, of_session) = (copy("of-task"), copy("of-session"));
        let around = ["--on-task-done", of_task.as_str(), "--on-done", &of_session];
        let ended = project.session(
            &[("one", "@run echo hi >\"$PLEACH_COMM_DIR/note\"\n@env PLEACH_COMM_DIR")],
            &[&around, options].concat(),
        );
        ended.assert_exit(0);
        let answer = ended.result("one")["answer"].as_str().expect("an answer");
        let shared = answer.strip_prefix("PLEACH_COMM_DIR=").expect("a variable");
        assert!(
            shared.contains(&format!("/{expected}")) && !shared.contains("/.git/"),
            "{shared}"
        );
        for note in [
            format!("{shared}/note"),
            project.beside("of-task"),
            project.beside("of-session"),
        ] {
            assert_eq!(fs::read_to_string(note).expect("read"), "hi\n");
        }
        assert_eq!(project.git(&["status", "--porcelain"]), "");
        let cleaned = project.run(&["clean", "-y", "--discard", ended.mark().trim()]);
        assert!(!Path::new(shared).exists(), "{cleaned:?}");
    }
}

#[test]
fn it_is_not_that_of_an_outer_session() {
    let mut project = Project::new();
    project.set("PLEACH_COMM_DIR", "/outer");
    project.set("PLEACH_STATUS_FILE", "/outer/x.status");
    let ended = project.session(&[("one", "@env PLEACH_COMM_DIR\n@env PLEACH_STATUS_FILE")], &[]);
    ended.assert_exit(0);
    let answer = ended.result("one")["answer"].as_str().expect("an answer");
    assert!(!answer.contains("/outer"), "{answer}");
}

#[test]
fn the_last_line_of_the_status_file_is_the_activity_and_does_nothing_to_the_terminal() {
    let project = Project::new();
    let id = project.start(
        &[(
            "one",
            "@run printf 'COMPLETED: first\\n\\033[2Jhalf \\033]0;x\\007way\\n\\n' >\"$PLEACH_STATUS_FILE\"\n@wait ../../gate",
        )],
        &[],
    );
    let shown = project.until("its status is its activity", |project| {
        let status = project.query(&["status", &id]);
        let activity = status["tasks"][0]["activity"].as_str()?.to_owned();
        activity.contains("way").then_some(activity)
    });
    assert_eq!(shown, "\u{1b}[2Jhalf \u{1b}]0;x\u{7}way");
    let status = project.run(&["status", &id]);
    assert!(
        status.out().contains("way") && !status.out().contains('\x1b'),
        "{status:?}"
    );
    project.open("gate");
    // Of an agent that exits by itself a line with COMPLETED: is only shown.
    assert_eq!(project.run(&["wait", &id]).code(), 0);
}

#[test]
fn that_a_task_is_done_nobody_can_have_said_before_its_agent() {
    let project = Project::new();
    describe(&project, "true", "success = \"status-file\"\n");
    let file = project.tasks(&[("one", "x")]);
    let setup = "echo 'COMPLETED: set up' >\"$PLEACH_STATUS_FILE\"";
    let run = project.pleach(&["run", "--sync", "--agent", "other", "--setup", setup, &file]);
    let ended = project.ended(&run);
    ended.assert_exit(1);
    ended.assert_failed("one", "exit");
    let kept = fs::read_to_string(project.attempt_dir("one").join("before-agent.status")).expect("it is kept");
    assert_eq!(kept, "COMPLETED: set up\n");
}

#[test]
fn whatever_agents_put_in_its_place_the_session_goes_on() {
    let project = Project::new();
    let ended = project.session(
        &[
            ("fifo", "@run mkfifo \"$PLEACH_STATUS_FILE\"\n@sleep 1s"),
            ("link", "@run ln -s /dev/zero \"$PLEACH_STATUS_FILE\"\n@sleep 1s"),
            ("huge", "@run truncate -s 10G \"$PLEACH_STATUS_FILE\"\n@sleep 1s"),
            ("directory", "@run mkdir \"$PLEACH_STATUS_FILE\"\n@sleep 1s"),
        ],
        &[],
    );
    ended.assert_exit(0);
    // What is no directory any more is said by those that come after.
    let ended = project.session(
        &[
            ("first", "@run rm -r \"$PLEACH_COMM_DIR\"; echo x >\"$PLEACH_COMM_DIR\""),
            ("second", "@say hi"),
        ],
        &["--max-parallel", "1"],
    );
    ended.assert_exit(1);
    ended.assert_succeeded("first");
    ended.assert_failed("second", "exit");
    let error = ended.task("second")["error"].as_str().expect("an error");
    assert!(error.contains("the directory that the tasks share"), "{error}");
}

// Killed at any point, it goes with its session or stays with it.
#[test]
fn it_goes_with_the_record_also_when_that_is_cut_off() {
    for n in 1..=3 {
        let project = Project::new();
        let ended = project.session(
            &[(
                "one",
                "@run mkdir -p \"$PLEACH_COMM_DIR/a/b\"; echo hi >\"$PLEACH_COMM_DIR/a/b/note\"",
            )],
            &[],
        );
        let shared = project.shared_dir();
        let record = project.session_dir();
        let id = ended.mark();
        let arguments = ["clean", "-y", "--discard", id.trim()];
        let mut command = project.pleach_command(&arguments);
        // In the end: the record is renamed, then the notes, then both are deleted.
        let point = if n == 3 {
            "removing:1"
        } else {
            &format!("rename:{}", n + 1)
        };
        command.env("PLEACH_TEST_KILL", format!("{point}@command"));
        let ran = crate::support::ran(&mut command);
        assert_eq!(ran.0.status.code(), None, "{point}: {ran:?}");
        assert_eq!(shared.join("a/b/note").exists(), n < 3, "{point}");
        if record.exists() {
            assert!(shared.join("a/b/note").exists(), "{point}");
            project.run(&arguments);
        }
        for entry in fs::read_dir(project.repo().join(".git/pleach/results"))
            .expect("read")
            .flatten()
        {
            crate::clean::date(&entry.path(), "2 minutes ago");
        }
        let again = project.run(&["clean", "-y"]);
        assert!(!project.worktrees().join(".shared").exists(), "{point}: {again:?}");
        let left = fs::read_dir(project.repo().join(".git/pleach/results"))
            .expect("read")
            .count();
        assert_eq!(left, 0, "{point}: {again:?}");
    }
}

#[test]
fn nothing_else_is_removed_because_a_record_says_so() {
    let project = Project::new();
    let ended = project.session(&[("one", "@run echo hi >\"$PLEACH_COMM_DIR/note\"")], &[]);
    let mine = project.root().join(".shared/mine");
    fs::create_dir_all(&mine).expect("make");
    fs::write(mine.join("precious"), "mine").expect("write");
    let path = project.session_dir().join("session.json");
    let spec = fs::read_to_string(&path).expect("read");
    let other = spec.replace(
        project.shared_dir().to_str().expect("UTF-8"),
        mine.to_str().expect("UTF-8"),
    );
    assert_ne!(spec, other);
    fs::write(&path, other).expect("write");
    let cleaned = project.run(&["clean", "-y", "--discard", ended.mark().trim()]);
    assert_eq!(cleaned.code(), 0, "{cleaned:?}");
    assert_eq!(fs::read_to_string(mine.join("precious")).expect("read"), "mine");
}

#[test]
fn that_of_a_session_whose_record_was_deleted_by_hand_is_named_and_goes_to_the_trash() {
    let project = Project::new();
    let hold = "@run echo hi >\"$PLEACH_COMM_DIR/note\"";
    let shared = |id: &str| project.worktrees().join(".shared").join(id);
    let ended = project.session(&[("one", hold)], &[]);
    let (lost, record) = (shared(ended.mark().trim()), project.session_dir());
    let other = project.session(&[("two", "@write a.txt is not merged")], &[]);
    let kept = shared(other.mark().trim());
    fs::write(kept.join("note"), "there\n").expect("write");
    // What is the user's is never touched.
    let mine = project.worktrees().join(".shared/mine");
    fs::create_dir_all(&mine).expect("make");
    let path = lost.to_str().expect("UTF-8").to_owned();
    assert!(!project.run(&["doctor"]).out().contains("notes of"));
    fs::remove_dir_all(record).expect("remove the record");
    let doctor = project.run(&["doctor"]);
    let said = "notes of 1 session without a record here";
    assert!(
        doctor.out().contains(said) && doctor.out().contains(&path),
        "{doctor:?}"
    );
    assert!(doctor.out().contains("pleach clean --all"), "{doctor:?}");
    // Only when all sessions are meant, and only when nobody is there.
    assert!(!project.run(&["clean", "-y"]).out().contains(&path));
    let mut there = std::process::Command::new("sleep");
    let mut there = there.arg("1000").current_dir(&lost).spawn().expect("start it");
    let held = project.run(&["clean", "-y", "--all"]);
    there.kill().expect("kill it");
    there.wait().expect("wait for it");
    assert!(held.out().contains("a process is in it") && lost.exists(), "{held:?}");
    let cleaned = project.run(&["clean", "-y", "--all"]);
    assert_eq!(cleaned.code(), 0, "{cleaned:?}");
    assert!(
        cleaned.out().contains("its session has no record any more")
            && cleaned.out().contains("in the trash for 24 hours"),
        "{cleaned:?}"
    );
    assert!(!lost.exists() && mine.exists(), "{cleaned:?}");
    assert!(kept.join("note").exists(), "{cleaned:?}");
    assert_eq!(project.sh("cat ../repo.pleach/.trash/*/*/note"), "hi\n");
    let emptied = project.run(&["clean", "-y", "--empty-trash"]);
    assert_eq!(emptied.code(), 0, "{emptied:?}");
    assert_eq!(project.sh("ls ../repo.pleach/.trash"), "", "{emptied:?}");
}
