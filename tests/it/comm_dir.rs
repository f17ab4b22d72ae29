//! The directory that the tasks of a session share.

use std::fs;
use std::os::unix::fs::PermissionsExt;

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
    let shared = project.session_dir().join("shared");
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
    let cleaned = project.run(&["clean", "-y", "--discard", ended.mark().trim()]);
    assert!(!shared.exists(), "{cleaned:?}");
}

#[test]
fn it_is_where_the_results_are_and_there_without_worktrees() {
    for options in [&["--no-worktree"][..], &[]] {
        let mut project = Project::new();
        let results = project.beside("elsewhere");
        project.set("PLEACH_RESULTS_DIR", &results);
        let ended = project.session(
            &[("one", "@run echo hi >\"$PLEACH_COMM_DIR/note\"\n@env PLEACH_COMM_DIR")],
            options,
        );
        ended.assert_exit(0);
        let answer = ended.result("one")["answer"].as_str().expect("an answer");
        let shared = answer.strip_prefix("PLEACH_COMM_DIR=").expect("a variable");
        assert!(shared.starts_with(&format!("{results}/session-")), "{shared}");
        assert_eq!(fs::read_to_string(format!("{shared}/note")).expect("read"), "hi\n");
        assert_eq!(project.git(&["status", "--porcelain"]), "");
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
