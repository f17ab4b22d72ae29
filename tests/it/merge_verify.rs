//! `pleach merge --verify`: what a command succeeds on lands, and what makes it fail is left out and named.
//!
//! The commands write down beside the repository that they ran, so that their runs can be counted.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{CTRL_C, Project, Ran, Terminal, ran};

/// Counts a run; what follows decides.
const COUNT: &str = r#"echo run >>"$PLEACH_REPO/../runs"; "#;

/// A session whose task `a` writes `a.txt`, and so on.
fn session(ids: &[&str]) -> Project {
    let project = Project::new();
    run_session(&project, ids);
    project
}

fn run_session(project: &Project, ids: &[&str]) {
    let prompts: Vec<String> = ids.iter().map(|id| format!("@write {id}.txt {id}")).collect();
    let tasks: Vec<(&str, &str)> = ids.iter().copied().zip(prompts.iter().map(String::as_str)).collect();
    project.session(&tasks, &[]).assert_exit(0);
}

/// Fails where all of these files are.
fn fails_with(ids: &[&str]) -> String {
    let all: Vec<String> = ids.iter().map(|id| format!("test -f {id}.txt")).collect();
    let (all, ids) = (all.join(" && "), ids.join(" and "));
    format!("{COUNT}if {all}; then echo broken by {ids}; exit 3; fi")
}

fn merge(project: &Project, command: &str, options: &[&str]) -> Ran {
    project.run(&[&["merge", "-y", "--verify", command], options].concat())
}

fn runs(project: &Project) -> usize {
    let text = fs::read_to_string(project.root().join("runs")).unwrap_or_default();
    text.lines().count()
}

/// The files on `main`.
fn on_main(project: &Project) -> String {
    let files = project.git(&["ls-tree", "-r", "--name-only", "main"]);
    files
        .lines()
        .filter(|f| *f != "README.md")
        .collect::<Vec<_>>()
        .join(" ")
}

/// What is left out because of the command: branch and details.
fn left_out(merged: &Value) -> Vec<(String, Value)> {
    let all = merged["left_out"].as_array().expect("what is left out");
    let of_verify = all.iter().filter(|entry| entry["verify"].is_object());
    of_verify
        .map(|entry| {
            (
                entry["branch"].as_str().expect("a branch").to_owned(),
                entry["verify"].clone(),
            )
        })
        .collect()
}

/// Nothing is left of the verification: no worktree, no process, no file of it.
#[track_caller]
fn assert_nothing_left(project: &Project) {
    let worktrees = project.git(&["worktree", "list", "--porcelain"]);
    assert!(!worktrees.contains("verify-"), "{worktrees}");
    let beside = fs::read_dir(project.worktrees()).into_iter().flatten().flatten();
    let left: Vec<_> = beside
        .filter(|e| e.file_name().to_string_lossy().starts_with("verify-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let agents = project.agents();
    assert!(agents.is_empty(), "{agents:?}");
}

#[test]
fn one_culprit_of_eight_is_found_with_few_runs_and_the_others_land() {
    let project = session(&["a", "b", "c", "d", "e", "f", "g", "h"]);
    let merged = merge(&project, &fails_with(&["f"]), &["--json"]);
    assert_eq!(merged.code(), 1, "{merged:?}");
    assert_eq!(on_main(&project), "a.txt b.txt c.txt d.txt e.txt g.txt h.txt");
    let left = left_out(&merged.json());
    assert_eq!(left.len(), 1, "{left:?}");
    let (branch, why) = &left[0];
    assert_eq!(branch, "main-task-f");
    assert_eq!(why["exit_code"], 3);
    assert_eq!(why["together_with"], serde_json::json!([]));
    assert_eq!(why["output_tail"], "broken by f\n");
    // The target, and 2 log2(8) + 8 for one culprit.
    assert!(runs(&project) <= 1 + 14, "{}", runs(&project));
    assert_nothing_left(&project);
}

#[test]
fn two_that_only_fail_together_are_named_and_the_first_lands() {
    let project = session(&["a", "b", "c", "d"]);
    let merged = merge(&project, &fails_with(&["b", "d"]), &[]);
    assert_eq!(merged.code(), 1, "{merged:?}");
    assert_eq!(on_main(&project), "a.txt b.txt c.txt");
    let text = merged.out() + &merged.err();
    assert!(
        text.contains("main-task-d: the command fails only together with main-task-b: exit code 3"),
        "{text}"
    );
    assert!(text.contains("\n    broken by b and d\n"), "{text}");
}

#[test]
fn a_target_on_which_the_command_fails_already_is_refused() {
    let project = session(&["a"]);
    let before = project.git(&["rev-parse", "main"]);
    let refused = merge(&project, "echo who broke this; exit 7", &[]);
    assert_eq!(refused.code(), 2, "{refused:?}");
    let err = refused.err();
    for part in [
        "fails on main itself",
        "exit code 7",
        "    who broke this",
        "--verify-again",
    ] {
        assert!(err.contains(part), "{part}: {err}");
    }
    assert_eq!(project.git(&["rev-parse", "main"]), before);
    assert_nothing_left(&project);
}

#[test]
fn what_is_known_is_not_asked_again_unless_that_is_wanted() {
    let project = session(&["a", "b", "c"]);
    let command = fails_with(&["b"]);
    let before = project.git(&["rev-parse", "main"]);
    assert_eq!(merge(&project, &command, &[]).code(), 1);
    let first = runs(&project);
    assert!(first > 1);
    let landed = project.git(&["rev-parse", "main^{tree}"]);
    for (options, more) in [(&[][..], 0), (&["--verify-again"], first)] {
        let asked = runs(&project);
        project.git(&["reset", "-q", "--hard", before.trim()]);
        let again = merge(&project, &command, options);
        assert_eq!(again.code(), 1, "{again:?}");
        assert_eq!(runs(&project) - asked, more);
        assert_eq!(project.git(&["rev-parse", "main^{tree}"]), landed);
        let text = again.out() + &again.err();
        assert!(text.contains("broken by"), "{text}");
        assert_eq!(text.contains("as remembered"), more == 0, "{text}");
    }
    // A damaged file is named, and costs another run.
    let dir = project.repo().join(".git/pleach/verified");
    let files: Vec<_> = fs::read_dir(&dir)
        .expect("remembered")
        .flatten()
        .map(|e| e.path())
        .collect();
    for file in &files {
        fs::write(file, "{").expect("write");
    }
    project.git(&["reset", "-q", "--hard", before.trim()]);
    let asked = runs(&project);
    let again = merge(&project, &command, &[]);
    assert!(again.err().contains("cannot use what is remembered in"), "{again:?}");
    assert_eq!((again.code(), runs(&project) - asked), (1, first));
}

#[test]
fn each_step_passes_where_that_is_asked_for() {
    let project = session(&["a", "b", "c"]);
    // What c mends is broken after b.
    let command = format!("{COUNT}! test -f b.txt || test -f c.txt");
    let merged = merge(&project, &command, &["--verify-each"]);
    assert_eq!(merged.code(), 1, "{merged:?}");
    assert_eq!(on_main(&project), "a.txt c.txt");
    assert_eq!(runs(&project), 4);

    let together = session(&["a", "b", "c"]);
    assert_eq!(merge(&together, &command, &[]).code(), 0);
    assert_eq!(on_main(&together), "a.txt b.txt c.txt");
    assert_eq!(runs(&together), 2);
}

#[test]
fn what_lands_inside_a_branch_that_builds_on_it_is_not_called_left_out() {
    let project = Project::new();
    let tasks = r#"{"tasks": [
        {"id": "a", "prompt": "@write a.txt a"},
        {"id": "b", "prompt": "@write b.txt b", "depends_on": "a"}
    ]}"#;
    project.write("../tasks.json", tasks);
    let ran = project.run(&["run", "--sync", "--agent", "scripted", "../tasks.json"]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    // What b mends is broken by a.
    let command = format!("{COUNT}! test -f a.txt || test -f b.txt");
    let merged = merge(&project, &command, &["--verify-each", "--json"]);
    assert_eq!(merged.code(), 0, "{merged:?}");
    let merged: Value = merged.json();
    assert_eq!(merged["left_out"], serde_json::json!([]));
    assert_eq!(merged["inside"][0]["branch"], "main-task-a", "{merged:#}");
    assert_eq!(merged["inside"][0]["inside"], "main-task-b");
    let why = merged["inside"][0]["why"].as_str().expect("why");
    assert!(why.starts_with("the command fails with it"), "{why}");
    assert_eq!(on_main(&project), "a.txt b.txt");
}

#[test]
fn whatever_the_command_does_to_its_worktree_the_next_run_is_on_the_commit() {
    let project = Project::new();
    project.write(".gitignore", "cache\n");
    project.git(&["add", ".gitignore"]);
    project.git(&["commit", "-qm", "ignore"]);
    run_session(&project, &["a", "b", "c", "d"]);
    let branches = project.git(&["for-each-ref", "refs/heads"]);
    // Each run finds what stands in its commit and nothing else but what is ignored, and makes a mess of it.
    let command = format!(
        r#"{COUNT}
        test -z "$(git status --porcelain)" || {{ git status; exit 9; }}
        test "$(cat README.md)" = hi || exit 9
        n=$(wc -l <"$PLEACH_REPO/../runs")
        test "$n" = 1 || test -f cache || exit 9
        if test -f c.txt; then result=1; else result=0; fi
        echo {{}} >cache; echo new >untracked; mkdir -p nested; git init -q nested; echo x >nested/x
        echo changed >README.md; git add -A; git rm -q --cached README.md
        case $n in
            2) git commit -qm mine; git checkout -q --detach main ;;
            3) git update-index --assume-unchanged README.md 2>/dev/null; touch "$(git rev-parse --git-dir)/index.lock" ;;
            4) git update-index --add README.md; git update-index --assume-unchanged README.md; echo other >README.md; touch "$PLEACH_REPO/../runs.remade" ;;
            5) rm -f .git; echo "gitdir: $PLEACH_REPO/.git" >.git ;;
        esac
        exit $result"#
    )
    .replace("|| test -f cache ||", r#"|| test -f cache || test -f "$PLEACH_REPO/../runs.remade" ||"#);
    project.write("mine.txt", "not committed");
    let merged = merge(&project, &command, &[]);
    assert_eq!(merged.code(), 1, "{merged:?}");
    assert_eq!(on_main(&project), ".gitignore a.txt b.txt d.txt");
    assert!(runs(&project) >= 5, "{merged:?}");
    assert_eq!(
        fs::read_to_string(project.repo().join("mine.txt")).expect("mine"),
        "not committed"
    );
    assert_eq!(project.git(&["status", "--porcelain"]), "?? mine.txt\n");
    let others = |refs: &str| {
        refs.lines()
            .filter(|r| !r.ends_with("heads/main"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(others(&project.git(&["for-each-ref", "refs/heads"])), others(&branches));
    assert_nothing_left(&project);
}

#[test]
fn a_branch_that_the_command_checks_out_stays_where_it_is() {
    let project = session(&["a", "b"]);
    let command = r#"git checkout -q -b "mine-$(git rev-parse --short HEAD)"; git commit -q --allow-empty -m mine"#;
    let merged = merge(&project, command, &[]);
    assert_eq!(merged.code(), 0, "{merged:?}");
    let mine = project.git(&[
        "for-each-ref",
        "--format=%(refname:short) %(subject)",
        "refs/heads/mine-*",
    ]);
    assert_eq!(mine.lines().filter(|line| line.ends_with(" mine")).count(), 2, "{mine}");
}

#[test]
fn a_link_in_place_of_the_worktree_does_not_lead_to_the_users_files() {
    let project = session(&["a", "b"]);
    project.write("mine.txt", "not committed");
    let command = r#"here=$PWD; cd /; rm -rf "$here"; ln -s "$PLEACH_REPO" "$here""#;
    let merged = merge(&project, command, &[]);
    assert_eq!(merged.code(), 0, "{merged:?}");
    assert_eq!(
        fs::read_to_string(project.repo().join("mine.txt")).expect("mine"),
        "not committed"
    );
    assert_eq!(on_main(&project), "a.txt b.txt");
    assert_nothing_left(&project);
}

#[test]
fn a_command_that_is_killed_fails_and_that_is_not_remembered() {
    let project = session(&["a", "b"]);
    let command = format!("{COUNT}test ! -f b.txt || kill -9 $$");
    for remembered in [0, 2] {
        let before = project.git(&["rev-parse", "main"]);
        let asked = runs(&project);
        let merged = merge(&project, &command, &["--json"]);
        assert_eq!(merged.code(), 1, "{merged:?}");
        let left = left_out(&merged.json());
        assert_eq!((left[0].0.as_str(), &left[0].1["signal"]), ("main-task-b", &9.into()));
        assert_eq!(left[0].1["exit_code"], Value::Null);
        // The target, both, the first, the second alone: two of them fail.
        assert_eq!(runs(&project) - asked, 4 - remembered);
        project.git(&["reset", "-q", "--hard", before.trim()]);
    }
}

#[test]
fn what_the_command_leaves_running_is_ended_and_what_it_prints_is_not_held() {
    let project = session(&["a"]);
    let command = format!(
        r#"{COUNT}yes "a line of output" | head -n 2500000
        setsid sh -c 'echo $$ >>"$PLEACH_REPO/../daemons"; exec sleep 600' &
        env -i setsid sleep 600 & echo $! >>"$PLEACH_REPO/../daemons"
        while test "$(wc -l <"$PLEACH_REPO/../daemons")" -lt "$(( 2 * $(wc -l <"$PLEACH_REPO/../runs") ))"; do :; done
        echo the end; test ! -f a.txt"#
    );
    let merged = merge(&project, &command, &["--json"]);
    assert_eq!(merged.code(), 1, "{merged:?}");
    let tail = left_out(&merged.json())[0].1["output_tail"]
        .as_str()
        .expect("a tail")
        .to_owned();
    assert!(
        tail.len() <= 8 << 10 && tail.ends_with("a line of output\nthe end\n"),
        "{tail}"
    );
    let daemons = fs::read_to_string(project.root().join("daemons")).expect("daemons");
    assert_eq!(daemons.lines().count(), 4, "{daemons}");
    for pid in daemons.lines() {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(!line.contains("sleep"), "{pid} is still there: {line}");
    }
    assert_nothing_left(&project);
}

#[test]
fn the_command_has_neither_terminal_nor_input_nor_variables_of_another_git() {
    let mut project = session(&["a"]);
    project.set("GIT_INDEX_FILE", "/nowhere/index");
    let command = r#"test -z "$GIT_INDEX_FILE" && test -z "$(cat)" && test -d "$PLEACH_REPO/.git" && ! (: </dev/tty)"#;
    let started = project.pleach_command(&["merge", "-y", "--verify", command]);
    let left = Terminal::start(&started, (80, 24)).end();
    assert_eq!(left.code, 0, "{}", left.text);
    assert!(
        left.text.contains("verify, run 2: main with main-task-a"),
        "{}",
        left.text
    );
}

#[test]
fn ctrl_c_ends_the_command_and_nothing_has_moved() {
    let project = session(&["a", "b"]);
    let before = project.git(&["rev-parse", "main"]);
    let command = r#"trap 'echo asked >"$PLEACH_REPO/../asked"; exit' TERM; echo >"$PLEACH_REPO/../running"
        if test -f a.txt; then touch "$PLEACH_REPO/../on-a"; sleep 600 & wait; fi"#;
    let terminal = Terminal::start(&project.pleach_command(&["merge", "-y", "--verify", command]), (80, 24));
    project.await_file("on-a");
    terminal.send(CTRL_C);
    let left = terminal.end();
    assert_eq!(left.code, 130, "{}", left.text);
    assert!(project.root().join("asked").exists());
    assert_eq!(project.git(&["rev-parse", "main"]), before);
    assert_nothing_left(&project);
}

#[test]
fn a_terminated_merge_ends_a_command_that_ignores_it() {
    let project = session(&["a"]);
    let command = r#"trap '' TERM; touch "$PLEACH_REPO/../on"; sleep 600"#;
    let child = project
        .pleach_command(&["merge", "-y", "--verify", command])
        .spawn()
        .expect("start pleach");
    let pid = Pid::from_child(&child);
    let output = crate::support::output_of(child);
    project.await_file("on");
    kill_process(pid, Signal::TERM).expect("terminate");
    let ended = Ran(output.recv_timeout(crate::support::PATIENCE).expect("it ends"));
    assert_eq!(ended.code(), 143, "{ended:?}");
    assert_nothing_left(&project);
}

#[test]
fn what_a_killed_merge_left_is_swept_by_the_next() {
    let project = session(&["a"]);
    let before = project.git(&["rev-parse", "main"]);
    let command = r#"setsid sleep 600 & touch "$PLEACH_REPO/../on"; test -f "$PLEACH_REPO/../gate" || sleep 600"#;
    let mut child = project
        .pleach_command(&["merge", "-y", "--verify", command])
        .spawn()
        .expect("start pleach");
    project.await_file("on");
    child.kill().expect("kill pleach");
    child.wait().expect("it is dead");
    assert!(project.git(&["worktree", "list"]).contains("/verify-"));
    assert_eq!(project.git(&["rev-parse", "main"]), before);
    // What the user has called alike is none of it.
    let mine = project.worktrees().join("verify-11111111-2222-4333-8444-555555555555");
    fs::create_dir(&mine).expect("a directory");
    project.open("gate");
    let merged = merge(&project, command, &[]);
    assert_eq!(merged.code(), 0, "{merged:?}");
    assert!(mine.is_dir());
    fs::remove_dir(&mine).expect("a directory");
    assert_nothing_left(&project);
}

#[test]
fn a_merge_that_is_killed_as_it_makes_or_removes_the_worktree_is_swept_too() {
    for point in ["scratch:1", "scratch-gone:1"] {
        let project = session(&["a"]);
        let mut killed = project.pleach_command(&["merge", "-y", "--verify", "true"]);
        let output = crate::support::output_of(killed.env("PLEACH_TEST_KILL", point).spawn().expect("start pleach"));
        let status = output.recv_timeout(crate::support::PATIENCE).expect("it ends").status;
        assert_eq!(status.code(), None, "{point}: {status}");
        assert!(project.git(&["worktree", "list"]).contains("/verify-"), "{point}");
        let merged = merge(&project, "true", &[]);
        assert_eq!(merged.code(), 0, "{point}: {merged:?}");
        assert_nothing_left(&project);
    }
}

#[test]
fn files_are_checked_out_as_git_does() {
    let project = Project::new();
    project.write(".gitattributes", "*.up filter=up\n");
    project.git(&["config", "filter.up.clean", "tr A-Z a-z"]);
    project.git(&["config", "filter.up.smudge", "tr a-z A-Z"]);
    project.write("x.up", "LOUD\n");
    project.git(&["add", "."]);
    project.git(&["commit", "-qm", "filtered"]);
    run_session(&project, &["a"]);
    let merged = merge(&project, r#"test "$(cat x.up)" = LOUD && git diff --quiet"#, &[]);
    assert_eq!(merged.code(), 0, "{merged:?}");
}

#[test]
fn a_target_that_moves_meanwhile_is_verified_too() {
    let project = session(&["a", "b"]);
    // Somebody commits on the target, once.
    let command = format!(
        r#"{COUNT}if test -f a.txt && ! test -e "$PLEACH_REPO/new.txt"; then
        cd "$PLEACH_REPO" && echo new >new.txt && git add new.txt && git commit -qm new; fi"#
    );
    let merged = merge(&project, &command, &["--json"]);
    assert_eq!(merged.code(), 0, "{merged:?}");
    assert_eq!(on_main(&project), "a.txt b.txt new.txt");
    // The first target and all on it, the second and all on that.
    assert_eq!(runs(&project), 4, "{merged:?}");
    assert_eq!(merged.json()["verification"]["runs"], 4);
    assert!(merged.err().contains("planned again"), "{merged:?}");
    assert_nothing_left(&project);
}

#[test]
fn what_is_remembered_counts_in_either_mode_and_after_a_refusal() {
    let project = session(&["a", "b"]);
    let command = fails_with(&["b"]);
    project.write("a.txt", "mine");
    let refused = merge(&project, &command, &[]);
    assert_eq!(refused.code(), 2, "{refused:?}");
    assert!(refused.err().contains("error: nothing was moved: "), "{refused:?}");
    let asked = runs(&project);
    fs::remove_file(project.repo().join("a.txt")).expect("mine");
    let merged = merge(&project, &command, &["--squash"]);
    assert_eq!(merged.code(), 1, "{merged:?}");
    assert_eq!((on_main(&project).as_str(), runs(&project)), ("a.txt", asked));
}

#[test]
fn nothing_is_run_without_anything_to_merge() {
    let project = session(&["a"]);
    // A variable that is not set, perhaps: everything would pass.
    assert_eq!(merge(&project, "", &[]).code(), 2);
    assert_eq!(merge(&project, &fails_with(&["b"]), &[]).code(), 0);
    let asked = runs(&project);
    let again = merge(&project, &fails_with(&["b"]), &["--verify-again"]);
    assert_eq!(again.code(), 0, "{again:?}");
    assert_eq!(runs(&project), asked);
    let dry = ran(&mut project.pleach_command(&["merge", "--dry-run", "--verify", "touch ../ran"]));
    assert_eq!(dry.code(), 0, "{dry:?}");
    assert!(!project.root().join("ran").exists() && !project.worktrees().join("ran").exists());
}
