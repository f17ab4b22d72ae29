//! Where `pleach merge` refuses, and that nothing has moved then: not a ref, not a byte of a checkout.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::merge::{TASKS, assert_clean, at, merge, project_with};
use crate::support::{Project, assert_same, contents};

/// All of the project's directory, but for objects that nothing leads to, the lock, and what only says when a file was
/// looked at.
pub fn state(project: &Project) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let left_out = |path: &Path| {
        let inside = path
            .strip_prefix("repo/.git")
            .or(path.strip_prefix("repo/.git/worktrees/linked"));
        let objects = inside.is_ok_and(|p| p.starts_with("objects") || p == Path::new("pleach/merge.lock"));
        objects || path.starts_with("tmp") || path.starts_with("home")
    };
    contents(project.root(), left_out)
}

/// It is refused with this exit code and these words, and nothing has changed.
#[track_caller]
fn refused(name: &str, before: &str, arguments: &[&str], code: i32, words: &[&str]) {
    let tasks = [
        TASKS[0],
        ("n", "@write n.txt new\n@write d/n.txt new"),
        ("r", "@delete README.md"),
    ];
    let project = project_with(&tasks);
    project.sh(before);
    let there = state(&project);
    let ran = project.run(&[&["merge", "-y"], arguments].concat());
    assert_eq!(ran.code(), code, "{name}: {ran:?}");
    for word in words {
        assert!(ran.err().contains(word), "{name}: {word}: {ran:?}");
    }
    assert_same(name, &state(&project), &there);
}

#[test]
fn files_of_the_user_that_are_in_the_way_are_named() {
    let way = "nothing was moved: uncommitted files are in the way in ";
    for (name, before, file) in [
        ("changed", "echo mine >>l.txt", "l.txt"),
        ("staged", "echo mine >>l.txt; git add l.txt", "l.txt"),
        (
            "staged and put back",
            "echo x >>l.txt; git add l.txt; git show HEAD:l.txt >l.txt",
            "l.txt",
        ),
        (
            "hidden from comparisons",
            "git update-index --assume-unchanged l.txt; echo mine >>l.txt",
            "l.txt",
        ),
        (
            "hidden otherwise",
            "git update-index --skip-worktree l.txt; echo mine >>l.txt",
            "l.txt",
        ),
        ("deleted", "rm l.txt", "l.txt"),
        ("changed where it is deleted", "echo mine >>README.md", "README.md"),
        ("untracked", "echo mine >n.txt", "n.txt"),
        ("the same as the new one", "printf new >n.txt", "n.txt"),
        ("added", "echo mine >n.txt; git add n.txt", "n.txt"),
        ("ignored", "echo n.txt >>.git/info/exclude; echo mine >n.txt", "n.txt"),
        (
            "a directory where a file is to be",
            "mkdir n.txt; echo mine >n.txt/x",
            "n.txt/x",
        ),
        ("a file where a directory is to be", "echo mine >d", "d"),
        ("a link where a directory is to be", "ln -s /etc d", "d"),
    ] {
        refused(name, before, &[], 2, &[way, &format!("/repo: {file}\n"), "stash"]);
    }
}

#[test]
fn the_hint_puts_away_what_is_in_the_way_and_nothing_else() {
    let project = project_with(&TASKS);
    project.sh("echo mine >>l.txt; echo kept >>README.md; echo out >>.git/info/exclude; echo kept >out");
    let ran = project.run(&["merge", "-y"]);
    assert_eq!(ran.code(), 2, "{ran:?}");
    let hint = ran.err();
    let command = hint.split("call it again: ").nth(1).expect("a command");
    project.sh(command);
    assert_eq!(project.run(&["merge", "-y"]).code(), 1);
    assert_eq!(
        project.sh("cat out; tail -1 README.md; git stash list | wc -l").trim(),
        "kept\nkept\n1"
    );
}

#[test]
fn what_goes_on_in_a_checkout_is_named() {
    for (name, before, arguments, code, words) in [
        (
            "a merge",
            "git rev-parse HEAD >.git/MERGE_HEAD",
            &[][..],
            2,
            &["a merge is not finished in ", "/repo"][..],
        ),
        (
            "a cherry-pick",
            "git rev-parse HEAD >.git/CHERRY_PICK_HEAD",
            &[],
            2,
            &["a cherry-pick is not finished"],
        ),
        (
            "a revert",
            "git rev-parse HEAD >.git/REVERT_HEAD",
            &[],
            2,
            &["a revert is not finished"],
        ),
        (
            "a bisection",
            "git bisect start >/dev/null",
            &[],
            2,
            &["main is being bisected in ", "/repo"],
        ),
        (
            "a rebase elsewhere",
            "git worktree add -q --detach ../w; mkdir .git/worktrees/w/rebase-merge; \
             echo refs/heads/main >.git/worktrees/w/rebase-merge/head-name",
            &[],
            2,
            &["main is being rebased in ", "/w"],
        ),
        (
            "a lock",
            "touch .git/index.lock",
            &[],
            3,
            &["has left its lock: ", "repo/.git/index.lock"],
        ),
        (
            "a lock of HEAD",
            "touch .git/HEAD.lock",
            &[],
            3,
            &["has left its lock: ", "repo/.git/HEAD.lock"],
        ),
        (
            "a lock of the branch",
            "touch .git/refs/heads/main.lock",
            &[],
            3,
            &["has left its lock: ", "repo/.git/refs/heads/main.lock"],
        ),
    ] {
        refused(name, before, arguments, code, words);
    }
}

#[test]
fn a_target_that_cannot_be_moved_is_named() {
    let onto = &["--onto", "other"][..];
    for (name, before, arguments, code, words) in [
        (
            "two checkouts",
            "git worktree add -q -f ../twice main",
            &[][..],
            2,
            &["main is checked out in more than one place", "/repo", "/twice"][..],
        ),
        (
            "a checkout that is gone",
            "git worktree add -q -b other ../gone; rm -r ../gone",
            onto,
            2,
            &[
                "other is checked out in ",
                "/gone, which is no checkout",
                "git worktree prune",
            ],
        ),
        (
            "a checkout that is another's",
            "git worktree add -q -b other ../w; git init -q ../x; echo keep >../x/l.txt; \
             echo \"$(cd ..; pwd)/x/.git\" >.git/worktrees/w/gitdir",
            onto,
            2,
            &["which is no checkout of this repository"],
        ),
        ("a tag", "git tag v1", &["--onto", "v1"], 2, &["v1 is no branch"]),
        (
            "another name",
            "git symbolic-ref refs/heads/other refs/heads/main",
            onto,
            2,
            &["other is another name of a branch"],
        ),
        (
            "no such branch",
            "true",
            onto,
            2,
            &["no branch, tag or commit \"other\""],
        ),
        (
            "a filter of nobody's",
            "git config filter.evil.smudge 'touch ../ran; cat'; echo '* filter=evil' >.git/info/attributes",
            &[],
            2,
            &["filter.evil.smudge"],
        ),
    ] {
        refused(name, before, arguments, code, words);
    }
}

#[test]
fn a_session_on_a_detached_head_needs_a_target() {
    let project = Project::new();
    project.git(&["checkout", "-q", "--detach"]);
    let ended = project.session(&[("a", "@write a.txt a")], &[]);
    ended.assert_exit(0);
    project
        .run(&["merge", "-y"])
        .assert_refused(2, &["the detached HEAD", "--onto BRANCH"]);
    let old = at(&project, "HEAD");
    merge(&project, 0, &["--onto", "main"]);
    assert_eq!(at(&project, "HEAD"), old);
    assert_eq!(at(&project, "main^"), old);
}

/// A project in which a merge driver of the user's makes a commit on the target while the merge is built.
fn restless(commits: &str) -> Project {
    let project = Project::new();
    // The plan is made in a place of its own.
    let script = format!(
        "git merge-file -q \"$1\" \"$2\" \"$3\"; code=$?\n[ -z \"$GIT_OBJECT_DIRECTORY\" ] || exit $code\n\
         cd {}; unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE; {commits}\nexit $code",
        project.repo().display()
    );
    let driver = project.program("driver", &script);
    let config = project.root().join("gitconfig");
    let known = fs::read_to_string(&config).expect("read gitconfig");
    let text = format!("{known}[merge \"mine\"]\ndriver = {driver} %A %O %B\n");
    fs::write(&config, text).expect("write gitconfig");
    project.write("l.txt", "1\n2\n3\n4\n5\n6\n7\n8\n");
    project.write(".gitattributes", "l.txt merge=mine\n");
    project.sh("git add -A; git commit -qm lines");
    project.session(&TASKS[..2], &[]);
    project
}

#[test]
fn somebody_elses_commit_is_planned_with_and_said() {
    let project = restless("[ -e ../did ] || { touch ../did; echo t >t.txt; git add t.txt; git commit -qm theirs; }");
    let old = at(&project, "main");
    let doc = merge(&project, 0, &[]);
    assert!(doc["notes"].to_string().contains("main has moved to "), "{doc:#}");
    assert_eq!(
        project
            .git(&["log", "--format=%s", "--first-parent", &format!("{old}..main")])
            .lines()
            .count(),
        3
    );
    assert_eq!(project.git(&["log", "-1", "--format=%s", "main~2"]), "theirs\n");
    assert_eq!(doc["old"], at(&project, "main~2"));
    assert_clean(&project);
}

#[test]
fn a_target_that_never_rests_is_left_alone() {
    let project = restless("git commit -q --allow-empty -m theirs");
    let ran = project.run(&["merge", "-y"]);
    ran_refused(&ran);
    assert_eq!(project.git(&["log", "-1", "--format=%s", "main"]), "theirs\n");
    assert_eq!(project.git(&["rev-list", "--merges", "main"]), "");
    assert_clean(&project);
}

#[track_caller]
fn ran_refused(ran: &crate::support::Ran) {
    assert_eq!(ran.code(), 2, "{ran:?}");
    assert!(ran.err().contains("main has moved again and again"), "{ran:?}");
}

#[test]
fn a_branch_that_moves_while_the_target_does_is_shown_anew() {
    for (moves, times) in [
        ("", 1),
        (
            "git update-ref refs/heads/main-task-b \
             $(git commit-tree -p main-task-b -m later $(git rev-parse main-task-b^{tree}));",
            2,
        ),
    ] {
        let project = restless(&format!(
            "[ -e ../did ] || {{ touch ../did; {moves} git commit -q --allow-empty -m theirs; }}"
        ));
        let ran = project.run(&["merge", "-y"]);
        assert_eq!(ran.code(), 0, "{ran:?}");
        assert!(ran.err().contains("main has moved to "), "{ran:?}");
        assert_eq!(ran.out().matches("2 branches into main").count(), times, "{ran:?}");
    }
}
