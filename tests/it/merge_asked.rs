//! What `pleach merge` and `pleach undo` ask on a terminal, what stands there before the question, and what an answer
//! does.

use std::collections::BTreeSet;

use crate::clean::branches;
use crate::merge::{TASKS, assert_clean, at, project_with};
use crate::support::{Left, Project, Terminal, ran};

/// Answers each of these questions, in order.
fn answered(project: &Project, arguments: &[&str], answers: &[(&str, &str)]) -> Left {
    let terminal = Terminal::start(&project.pleach_command(arguments), (80, 60));
    for (question, answer) in answers {
        terminal.until_shown(&format!("{question} [y/N]"));
        terminal.send(&format!("{answer}\r"));
    }
    terminal.end()
}

#[test]
fn merge_remove_and_undo_are_asked_for() {
    let project = project_with(&TASKS);
    let old = at(&project, "main");
    let all: BTreeSet<String> = branches(&project).into_iter().collect();
    for no in ["n", "", "yes please"] {
        let left = answered(&project, &["merge"], &[("Merge 2 branches into main?", no)]);
        assert_eq!(left.code, 0, "{}", left.text);
        assert!(left.text.trim_end().ends_with("\nnothing was merged"), "{}", left.text);
        assert_eq!(at(&project, "main"), old);
    }

    let merge = |remove: &str| {
        let answers = [("Merge 2 branches into main?", "y"), ("Remove these?", remove)];
        answered(&project, &["merge"], &answers)
    };
    let left = merge("n");
    assert_eq!(left.code, 1, "{}", left.text);
    // What is agreed to is the plan, as the plan itself is shown, and not a command more.
    for part in [
        "plan: 3 branches into main: 2 merge, 1 needs a hand",
        "which conflict with each other:",
        "these merge cleanly, in this order:\n  main-task-a, main-task-b\n",
        "git merge --no-ff --no-edit main-task-c\n    conflicts with main-task-a",
        "2 branches merged, 1 left out",
        "to take it back: ",
        "to remove what is merged: ",
    ] {
        assert!(left.text.contains(part), "{part}: {}", left.text);
    }
    assert!(!left.text.contains("--no-edit main-task-a"), "{}", left.text);
    let new = at(&project, "main");
    assert!(new != old && branches(&project).into_iter().collect::<BTreeSet<_>>() == all);

    let left = answered(&project, &["undo"], &[("Take this merge back?", "n")]);
    assert_eq!((left.code, at(&project, "main")), (0, new), "{}", left.text);
    let left = answered(&project, &["undo"], &[("Take this merge back?", "y")]);
    assert_eq!((left.code, at(&project, "main")), (0, old.clone()), "{}", left.text);

    let left = merge("y");
    assert_eq!(left.code, 1, "{}", left.text);
    assert!(at(&project, "main") != old);
    for (branch, stays) in [("main-task-a", false), ("main-task-b", false), ("main-task-c", true)] {
        assert_eq!(
            branches(&project).iter().any(|b| b == branch),
            stays,
            "{branch}: {}",
            left.text
        );
    }
    assert_clean(&project);
}

/// The plan's own words for it do it, from where they were read.
#[test]
fn the_plan_says_what_to_type_for_all_of_it() {
    for (from, arguments) in [
        ("repo", &["plan"][..]),
        ("repo", &["plan", "--squash", "--onto", "next"]),
        ("repo.pleach/main-task-c", &["plan"]),
        ("", &["--results-dir", "repo/.git/pleach/results", "plan"]),
    ] {
        let project = project_with(&[TASKS[0], ("c", "@write c.txt c\n@fail no")]);
        project.git(&["branch", "next"]);
        let from = project.root().join(from);
        let mut plan = project.pleach_command(arguments);
        let plan = ran(plan.current_dir(&from)).out();
        let typed = plan
            .lines()
            .find_map(|line| line.strip_prefix("or all of these at once: "));
        let typed = typed.unwrap_or_else(|| panic!("{plan}"));
        let onto = if arguments.contains(&"next") { "next" } else { "main" };
        let tree = project.run(&["plan", "--json", "--onto", onto]).json()["final_tree"].clone();
        let merged = ran(project.shell(&format!("{typed} -y")).current_dir(&from));
        assert_eq!(merged.code(), 0, "{typed}: {merged:?}");
        assert_eq!(tree, at(&project, &format!("{onto}^{{tree}}")), "{typed}");
        let parents = project.git(&["log", "-1", "--format=%P", onto]);
        assert_eq!(parents.split_whitespace().count(), if onto == "next" { 1 } else { 2 });
    }
    // Not where it would refuse.
    let project = project_with(&TASKS[..1]);
    let tag = project.run(&["plan", "--onto", "main^{commit}"]).out();
    assert!(tag.contains("in this order:") && !tag.contains("at once:"), "{tag}");
    project.run(&["merge", "-y"]);
    let done = project.run(&["plan"]).out();
    assert!(
        done.contains("nothing to merge") && !done.contains("at once:"),
        "{done}"
    );
}
