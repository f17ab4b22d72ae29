//! Which branches the plan merges and in which order, when they do not all fit together; why it leaves out the others,
//! and what resolving them would take.
//!
//! As in `plan`, each case is shown true with git itself: the trees of the steps, and what a left-out branch leaves in
//! the checkout, with the markers in it.

use crate::plan_shown::{CASE, Case, show_true};
use crate::support::Project;

const LINES: &str = "seq 40 >l.txt";
/// Eight files in two directories, of which agents move some.
const MOVED: &str = "mkdir d; for n in 1 2 3 4; do seq $n 40 >d/$n; done";
const SOME: &str = "@run mkdir -p e; git mv d/1 d/2 e";
const OTHERS: &str = "@run mkdir -p e; git mv d/3 d/4 e";

#[test]
fn the_most_that_fit_together_are_merged() {
    show_true(&[
        Case {
            name: "the first is in the way of three",
            before: LINES,
            tasks: &[
                "@run sed -i '1s/.*/a/;11s/.*/a/;21s/.*/a/' l.txt",
                "@run sed -i 1s/.*/b/ l.txt",
                "@run sed -i 11s/.*/c/ l.txt",
                "@run sed -i 21s/.*/d/ l.txt",
            ],
            steps: "b c d",
            left_out: &[("a", "b c d", &["l.txt"])],
            ..CASE
        },
        Case {
            name: "of as many those that come first",
            before: LINES,
            tasks: &[
                "@run sed -i 1s/.*/a/ l.txt",
                "@run sed -i '1s/.*/b/;11s/.*/b/' l.txt",
                "@run sed -i '11s/.*/c/;21s/.*/c/' l.txt",
                "@run sed -i 21s/.*/d/ l.txt",
            ],
            steps: "a c",
            left_out: &[("b", "a c", &["l.txt"]), ("d", "c", &["l.txt"])],
            ..CASE
        },
        Case {
            name: "three of which each two fit",
            before: MOVED,
            tasks: &[SOME, OTHERS, "@write d/n.txt new"],
            steps: "a b",
            left_out: &[("c", "a b", &["e/n.txt"])],
            ..CASE
        },
        Case {
            name: "the same, in the middle of others",
            before: MOVED,
            tasks: &["@write x new", SOME, "@write y new", OTHERS, "@write d/n.txt new"],
            steps: "a b c d",
            left_out: &[("e", "b d", &["e/n.txt"])],
            ..CASE
        },
        Case {
            name: "one of three for two others, and it fits at the end after all",
            before: MOVED,
            tasks: &[SOME, OTHERS, "@write d/n.txt new", "@write d/m.txt new"],
            steps: "a c d b",
            ..CASE
        },
        Case {
            name: "attributes of one keep two others apart, but not when it comes last",
            before: "mkdir d e; seq 40 >d/l.txt; seq 40 >e/l.txt",
            tasks: &[
                "@write .gitattributes *.txt -merge",
                "@run sed -i 1s/.*/b/ d/l.txt",
                "@run sed -i 11s/.*/c/ d/l.txt",
                "@run sed -i 1s/.*/d/ e/l.txt",
                "@run sed -i 11s/.*/e/ e/l.txt",
            ],
            steps: "b c d e a",
            ..CASE
        },
    ]);
}

#[test]
fn a_branch_that_contains_another_follows_it() {
    show_true(&[
        Case {
            name: "of an earlier task",
            before: LINES,
            tasks: &["@write a.txt a", "@write b.txt b", "@write c.txt c"],
            after: "git checkout -q main-task-a; git merge -q --no-edit main-task-c; git checkout -q main",
            steps: "b c a",
            ..CASE
        },
        Case {
            name: "one on the other on the other",
            before: LINES,
            tasks: &["@say nothing", "@say nothing", "@run sed -i 1s/.*/c/ l.txt"],
            after: "git checkout -q main-task-b; git reset -q --hard main-task-c; sed -i 1s/.*/b/ l.txt
                git commit -qam b; git checkout -q main-task-a; git reset -q --hard main-task-b
                sed -i 1s/.*/a/ l.txt; git commit -qam a; git checkout -q main",
            steps: "c b a",
            ..CASE
        },
        Case {
            name: "two that are the same",
            tasks: &["@write a.txt a", "@say nothing"],
            after: "git branch -f main-task-b main-task-a",
            steps: "a b",
            ..CASE
        },
        Case {
            name: "all that is built on one that conflicts",
            before: LINES,
            tasks: &[
                "@run sed -i 1s/.*/a/ l.txt",
                "@run sed -i 1s/.*/b/ l.txt",
                "@say nothing",
            ],
            after: "git checkout -q main-task-c; git reset -q --hard main-task-b; echo c >c.txt; git add .
                git commit -qm c; git checkout -q main",
            steps: "b c",
            left_out: &[("a", "b c", &["l.txt"])],
        },
    ]);
}

#[test]
fn what_is_left_out_names_with_what_it_conflicts() {
    show_true(&[
        Case {
            name: "the target in one file, a branch in another",
            before: "seq 40 >l.txt; seq 40 >m.txt",
            tasks: &[
                "@run sed -i 1s/.*/a/ m.txt",
                "@run sed -i 1s/.*/b/ l.txt m.txt",
                "@write n.txt n",
            ],
            after: "sed -i 1s/.*/mine/ l.txt; git commit -qam on",
            steps: "a c",
            left_out: &[("b", "<target> a", &["l.txt", "m.txt"])],
        },
        Case {
            name: "the target, and each other",
            before: LINES,
            tasks: &["@run sed -i 1s/.*/a/ l.txt", "@run sed -i 1s/.*/b/ l.txt"],
            after: "sed -i 1s/.*/mine/ l.txt; git commit -qam on",
            steps: "",
            left_out: &[("a", "<target>", &["l.txt"]), ("b", "<target>", &["l.txt"])],
        },
    ]);
}

/// The conflict that agents make of these lines, in many ways that git shows it.
#[test]
fn what_resolving_takes_is_counted_as_git_leaves_it() {
    let case = Case {
        tasks: &[
            "@run sed -i '3s/.*/b/;4s/.*/b\\nb\\nb/;20d;30s/.*/b/' l.txt",
            "@run sed -i '3s/.*/c\\nc/;20s/.*/c/;35s/.*/c/' l.txt",
        ],
        steps: "a",
        left_out: &[("b", "a", &["l.txt"])],
        ..CASE
    };
    show_true(&[
        Case {
            name: "as git does it by itself",
            before: LINES,
            ..case
        },
        Case {
            name: "with the base",
            before: "seq 40 >l.txt; git config merge.conflictStyle diff3",
            ..case
        },
        Case {
            name: "with less of it",
            before: "seq 40 >l.txt; git config merge.conflictStyle zdiff3",
            ..case
        },
        Case {
            name: "with long markers",
            before: "seq 40 >l.txt; echo 'l.txt conflict-marker-size=12' >.gitattributes",
            ..case
        },
        Case {
            name: "with other line ends",
            before: "seq 40 | sed 's/$/\\r/' >l.txt",
            ..case
        },
        Case {
            name: "where lines look like markers",
            before: "seq 40 | sed '1s/.*/<<<<<<< x\\n=======\\n>>>>>>> x/' >l.txt",
            ..case
        },
    ]);
}

/// Each branch conflicts with the one before and the one after it.
#[test]
fn a_choice_among_more_than_32_that_hang_together_is_not_called_the_best() {
    let project = Project::new();
    project.sh("seq 340 >l.txt; git add .; git commit -qm lines
        for n in $(seq 10 42); do
            git switch -qc t$n main; sed -i \"$((n*8-79))s/.*/$n/;$((n*8-71))s/.*/$n/\" l.txt; git commit -qam $n
        done; git switch -q main");
    let names: Vec<String> = (10..=42).map(|n| format!("t{n}")).collect();
    for (branches, optimal) in [(&names[1..], true), (&names[..], false)] {
        let mut arguments = vec!["plan"];
        arguments.extend(branches.iter().flat_map(|name| ["--branch", name]));
        let plan = project.query(&arguments);
        assert_eq!(plan["optimal"], optimal);
        let steps = plan["steps"].as_array().expect("steps");
        assert_eq!(steps.len(), branches.len().div_ceil(2), "{plan:#}");
        // Every second, from the first on.
        let chosen: Vec<&str> = steps.iter().filter_map(|step| step["branch"].as_str()).collect();
        let seconds: Vec<&str> = branches.iter().step_by(2).map(String::as_str).collect();
        assert_eq!(chosen, seconds);
    }
}
