//! The merge plan, shown true with git itself for many repositories.
//!
//! Each case is a repository, what the agents `a`, `b` and `c` do in it, what happens to it afterwards, and what the
//! plan has to say.

use crate::plan_shown::{AS_GIT_DOES, CASE, Case, show_true};

/// A file with eight lines, of which the agents change the first or the last.
const LINES: &str = "seq 8 >l.txt";
const FIRST: &str = "@run sed -i 1s/.*/first/ l.txt";
const LAST: &str = "@run sed -i 8s/.*/last/ l.txt";
const OTHER_LAST: &str = "@run sed -i 8s/.*/other/ l.txt";

#[test]
fn content_that_conflicts_is_left_out_and_all_else_merges() {
    show_true(&[
        Case {
            name: "changes far from each other",
            before: LINES,
            tasks: &[FIRST, LAST, "@write n.txt new"],
            steps: "a b c",
            ..CASE
        },
        Case {
            name: "three of which a pair conflicts",
            before: LINES,
            tasks: &[LAST, FIRST, OTHER_LAST],
            steps: "a b",
            left_out: &[("c", "a", &["l.txt"])],
            ..CASE
        },
        Case {
            name: "the same file made twice",
            tasks: &["@write d/n.txt one", "@write d/n.txt two"],
            steps: "a",
            left_out: &[("b", "a", &["d/n.txt"])],
            ..CASE
        },
        Case {
            name: "the same change made twice",
            before: LINES,
            tasks: &[FIRST, FIRST],
            steps: "a b",
            ..CASE
        },
        Case {
            name: "changed here and deleted there",
            before: LINES,
            tasks: &["@delete l.txt", FIRST],
            steps: "a",
            left_out: &[("b", "a", &["l.txt"])],
            ..CASE
        },
        Case {
            name: "bytes that are no text",
            before: r"printf 'a\000b' >x.bin; printf 'a\000b' >y.bin",
            tasks: &[
                r"@run printf 'a\000c' >x.bin",
                r"@run printf 'a\000d' | tee x.bin >y.bin",
            ],
            steps: "a",
            left_out: &[("b", "a", &["x.bin"])],
            ..CASE
        },
        Case {
            name: "what is executable for one",
            before: LINES,
            tasks: &["@run chmod +x l.txt", FIRST],
            steps: "a b",
            ..CASE
        },
    ]);
}

#[test]
fn renames_are_followed_as_git_follows_them() {
    show_true(&[
        Case {
            name: "renamed here and changed there",
            before: LINES,
            tasks: &["@run git mv l.txt m.txt", FIRST],
            steps: "a b",
            ..CASE
        },
        Case {
            name: "renamed to two names",
            before: LINES,
            tasks: &["@run git mv l.txt m.txt", "@run git mv l.txt n.txt"],
            steps: "a",
            left_out: &[("b", "a", &["l.txt", "m.txt", "n.txt"])],
            ..CASE
        },
        Case {
            name: "a file for one, a directory for the other",
            tasks: &["@write d file", "@write d/f.txt inside"],
            steps: "a",
            left_out: &[("b", "a", &["d~HEAD"])],
            ..CASE
        },
        Case {
            name: "a directory for one, a file for the other",
            tasks: &["@write d/f.txt inside", "@write d file"],
            steps: "a",
            left_out: &[("b", "a", &["d~main-task-b"])],
            ..CASE
        },
        Case {
            name: "a file for one, a link for the other",
            tasks: &["@write d file", "@run ln -s README.md d"],
            steps: "a",
            left_out: &[("b", "a", &["d", "d~HEAD"])],
            ..CASE
        },
        Case {
            name: "a new file in a directory that moved",
            before: "mkdir d; seq 8 >d/l.txt; seq 9 >d/m.txt",
            tasks: &["@run git mv d e", "@write d/n.txt new"],
            steps: "a",
            left_out: &[("b", "a", &["e/n.txt"])],
            ..CASE
        },
        Case {
            name: "the same, and it may move too",
            before: "mkdir d; seq 8 >d/l.txt; seq 9 >d/m.txt; git config merge.directoryRenames true",
            tasks: &["@run git mv d e", "@write d/n.txt new"],
            steps: "a b",
            ..CASE
        },
        Case {
            name: "renames are switched off",
            before: "seq 8 >l.txt; git config merge.renames false",
            tasks: &["@run git mv l.txt m.txt", FIRST],
            steps: AS_GIT_DOES,
            ..CASE
        },
    ]);
}

// Fault 20: the target has moved on when the plan is made.
#[test]
fn a_target_that_moved_on_is_what_is_merged_into() {
    show_true(&[
        Case {
            name: "elsewhere",
            before: LINES,
            tasks: &[FIRST, LAST],
            after: "echo new >n.txt; git add .; git commit -qm on",
            steps: "a b",
            ..CASE
        },
        Case {
            name: "in conflict with one of them",
            before: LINES,
            tasks: &[FIRST, LAST],
            after: "sed -i 8s/.*/mine/ l.txt; git commit -qam on",
            steps: "a",
            left_out: &[("b", "<target>", &["l.txt"])],
        },
        Case {
            name: "in conflict with one of them, which another has overcome",
            before: LINES,
            tasks: &[LAST, FIRST],
            after:
                "sed -i 8s/.*/mine/ l.txt; git commit -qam on; git checkout -q main-task-b
                git merge -q -X theirs --no-edit main-task-a; git merge -q -X ours --no-edit main; git checkout -q main",
            steps: "b a",
            ..CASE
        },
        Case {
            name: "by one of them",
            before: LINES,
            tasks: &[FIRST, LAST],
            after: "git merge -q --no-ff --no-edit main-task-a",
            steps: "b",
            ..CASE
        },
        Case {
            name: "by the same change",
            before: LINES,
            tasks: &[FIRST, LAST],
            after: "git cherry-pick main-task-a; git commit --amend -qm again",
            steps: "b",
            ..CASE
        },
        Case {
            name: "and back",
            before: LINES,
            tasks: &[FIRST],
            after: "git commit -q --allow-empty -m on; git reset -q --hard HEAD~2",
            steps: "a",
            ..CASE
        },
        Case {
            name: "with more than one base",
            before: LINES,
            tasks: &[FIRST, OTHER_LAST],
            after: "git checkout -q main-task-a; git merge -q --no-edit main-task-b; git checkout -q main-task-b
                git merge -q --no-edit main-task-a~; sed -i 4s/.*/middle/ l.txt; git commit -qam middle
                git checkout -q main; git merge -q --no-ff --no-edit main-task-a~
                sed -i 2s/.*/second/ l.txt; git commit -qam on; git branch -f main-task-a main-task-b~2",
            steps: "a b",
            ..CASE
        },
        Case {
            name: "criss-cross, and the bases conflict",
            before: LINES,
            tasks: &[FIRST, "@run sed -i 1s/.*/zeroth/ l.txt"],
            after: "merge() { git merge -q --no-edit $1 || { echo $2 >n; cat n >l.txt; git add l.txt; rm n; }
                git commit -qm merged; }
                git checkout -q main-task-a; merge main-task-b one; git checkout -q main-task-b
                merge main-task-a~ two; git checkout -q main; git merge -q main-task-a",
            steps: "",
            left_out: &[("b", "<target>", &["l.txt"])],
        },
    ]);
}

// Fault 15: the branch is gone when the plan is made.
#[test]
fn a_branch_that_is_gone_or_holds_nothing_is_said_and_not_merged() {
    show_true(&[
        Case {
            name: "deleted",
            before: LINES,
            tasks: &[FIRST, LAST],
            after: "git branch -qD main-task-a",
            steps: "b",
            ..CASE
        },
        Case {
            name: "without a commit",
            tasks: &["@say nothing to do", "@write n.txt new"],
            steps: "b",
            ..CASE
        },
        Case {
            name: "without a commit, and the target moved on",
            tasks: &["@say nothing to do", "@write n.txt new"],
            after: "git commit -q --allow-empty -m on",
            steps: "b",
            ..CASE
        },
        Case {
            name: "with a commit that is empty",
            tasks: &["@run git commit --allow-empty -qm nothing", "@write n.txt new"],
            steps: "b",
            ..CASE
        },
        Case {
            name: "with commits that cancel out",
            tasks: &[
                "@write n.txt new\n@commit on\n@run git revert --no-edit HEAD",
                "@write m.txt new",
            ],
            steps: "b",
            ..CASE
        },
        Case {
            name: "with nothing in common",
            tasks: &[
                "@run git checkout -q --orphan o && git commit -qm alone && git branch -M main-task-a",
                "@write n.txt new",
            ],
            steps: "b",
            left_out: &[("a", "<target>", &[])],
            ..CASE
        },
    ]);
}

#[test]
fn attributes_count_as_they_do_for_git_merge() {
    const UNION: &str = "@write .gitattributes *.txt merge=union\n@run sed -i 8s/.*/union/ l.txt";
    show_true(&[
        Case {
            name: "union from the branch that merges first",
            before: LINES,
            tasks: &[UNION, LAST],
            steps: "a b",
            ..CASE
        },
        Case {
            name: "union from the branch that merges last",
            before: LINES,
            tasks: &[LAST, UNION],
            steps: "a",
            left_out: &[("b", "a", &["l.txt"])],
            ..CASE
        },
        Case {
            name: "union from the target, taken back by a branch",
            before: "seq 8 >l.txt; echo '*.txt merge=union' >.gitattributes",
            tasks: &[LAST, OTHER_LAST, "@delete .gitattributes\n@run sed -i 8s/.*/c/ l.txt"],
            steps: "a b c",
            ..CASE
        },
        Case {
            name: "no text merge at all, from one branch",
            before: "seq 8 >l.txt; mkdir d; seq 8 >d/l.txt",
            tasks: &[
                "@write d/.gitattributes *.txt -merge",
                "@run sed -i 1s/.*/b/ d/l.txt l.txt",
                "@run sed -i 8s/.*/c/ d/l.txt l.txt",
            ],
            steps: "a b",
            left_out: &[("c", "a b", &["d/l.txt"])],
            ..CASE
        },
        Case {
            name: "union from the repository itself",
            before: "seq 8 >l.txt; echo '*.txt merge=union' >.git/info/attributes",
            tasks: &[LAST, OTHER_LAST],
            steps: "a b",
            ..CASE
        },
        Case {
            name: "a merge driver of the user's",
            before: "seq 8 >l.txt; echo 'l.txt merge=longest' >.gitattributes
                git config merge.longest.driver 'cat %A %B | sort -u >%A.new && mv %A.new %A'",
            tasks: &[LAST, OTHER_LAST],
            steps: "a b",
            ..CASE
        },
        Case {
            name: "line ends that are made the same",
            before: r"printf '1\r\n2\r\n3\r\n' >l.txt; git config merge.renormalize true",
            tasks: &[
                r"@write .gitattributes *.txt text\n@run sed -i 's/1/one/;s/\r//' l.txt",
                r"@run printf '1\r\n2\r\nthree\r\n' >l.txt",
            ],
            steps: AS_GIT_DOES,
            ..CASE
        },
    ]);
}

#[test]
fn names_are_printed_as_a_shell_takes_them() {
    show_true(&[
        Case {
            name: "of branches",
            before: "git checkout -qb \"it's/\\$HOME;&(x)!\"",
            tasks: &["@write n.txt new", "@write n.txt other", "@write m.txt new"],
            steps: "a c",
            left_out: &[("b", "a", &["n.txt"])],
            ..CASE
        },
        Case {
            name: "of paths",
            before: "printf 'a\\n' >' \"q\" \u{e4}\n'",
            tasks: &[
                "@run for f in *q*; do echo b >\"$f\"; done",
                "@run for f in *q*; do echo c >\"$f\"; done",
            ],
            steps: "a",
            left_out: &[("b", "a", &[" \"q\" \u{e4}\n"])],
            ..CASE
        },
        Case {
            name: "that a tag has too",
            tasks: &["@write n.txt new"],
            after: "git tag main-task-a",
            steps: "a",
            ..CASE
        },
    ]);
}

// Fault 16: the plan is made for a detached HEAD.
#[test]
fn a_detached_head_is_a_target_too() {
    show_true(&[Case {
        name: "detached",
        before: "seq 8 >l.txt; git checkout -q --detach",
        tasks: &[FIRST, LAST, OTHER_LAST],
        steps: "a b",
        left_out: &[("c", "b", &["l.txt"])],
        ..CASE
    }]);
}
