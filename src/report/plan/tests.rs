use super::*;
use crate::merge::{Conflict, PairConflict, Pairs, Step, Target};
use crate::report::columns::width;

fn branch(name: &str) -> Branch {
    Branch {
        name: name.into(),
        revision: name.into(),
        is_branch: true,
        task_id: None,
        title: format!("About {name}"),
        head: "1".repeat(40),
        merge_base: Some("2".repeat(40)),
        commits: 1,
        files_changed: 1,
        renames: 0,
        insertions: 1,
        deletions: 0,
        state: BranchState::Ready,
    }
}

/// Of so many branches, of which these conflict.
fn plan_of(branches: usize, conflicts: &[(usize, usize)]) -> MergePlan {
    let name = |number: usize| format!("b{number}");
    let paths = vec![Conflict {
        path: "l.txt".into(),
        kind: "content".into(),
    }];
    let pair = |(a, b): &(usize, usize)| PairConflict {
        a: name(*a),
        b: name(*b),
        paths: paths.clone(),
    };
    MergePlan {
        target: Target {
            branch: Some("main".into()),
            commit: "2".repeat(40),
        },
        mode: Mode::Merge,
        branches: (1..=branches).map(|number| branch(&name(number))).collect(),
        pairs: Pairs {
            conflicts: conflicts.iter().map(pair).collect(),
            ..Pairs::default()
        },
        cannot_foresee: Vec::new(),
        missing: Vec::new(),
        unused_drivers: Vec::new(),
        steps: Vec::new(),
        left_out: Vec::new(),
        final_tree: "3".repeat(40),
        optimal: true,
    }
}

fn step(plan: &mut MergePlan, branch: &str, tree: &str) {
    plan.steps.push(Step {
        branch: branch.into(),
        tree: tree.into(),
    });
}

#[test]
fn the_matrix_folds_to_those_that_conflict_and_then_to_a_list() {
    let small = matrix::matrix(&plan_of(3, &[(1, 3)]), 80);
    let lines: Vec<&str> = small.lines().collect();
    assert_eq!(lines[0], "which conflict with each other:");
    assert_eq!(lines[1], "      1  2  3");
    assert_eq!(lines[2], "   1  -  ·  x  b1");
    assert_eq!(lines.len(), 5);
    let large = matrix::matrix(&plan_of(40, &[(2, 40), (7, 40)]), 80);
    let rows: Vec<&str> = large.lines().skip(1).collect();
    assert_eq!(rows[0].trim(), "2  7 40");
    assert_eq!(rows[3], "  40  x  x  -  b40");
    assert_eq!(rows[4], "  37 branches that conflict with no other are not shown");
    // Every pair of forty: no terminal has room for that.
    let all: Vec<_> = (1..=40).flat_map(|a| (a + 1..=40).map(move |b| (a, b))).collect();
    let list = matrix::matrix(&plan_of(40, &all), 80);
    assert!(list.contains("\n   1  x  2 3 4 5 "), "{list}");
    assert_eq!(matrix::matrix(&plan_of(40, &[]), 80), "");
}

#[test]
fn table_and_matrix_fit_the_terminal() {
    let all: Vec<_> = (1..=40).flat_map(|a| (a + 1..=40).map(move |b| (a, b))).collect();
    let plans = [plan_of(3, &[(1, 2)]), plan_of(12, &all[..11]), plan_of(40, &all)];
    for columns in [50, 60, 80, 200] {
        for plan in &plans {
            for line in within(plan, &PlanContext::default(), columns).lines() {
                assert!(width(line) <= columns, "{columns}: {line}");
            }
        }
    }
}

#[test]
fn nothing_in_a_name_or_title_leaves_its_line() {
    let hostile = "x\n  git push --force\x1b[2J\u{202e}";
    let mut plan = plan_of(2, &[(1, 2)]);
    plan.branches[0].title = hostile.into();
    plan.branches[1].name = hostile.into();
    plan.branches[1].revision = hostile.into();
    plan.pairs.conflicts[0].b = hostile.into();
    plan.missing.push(hostile.into());
    plan.cannot_foresee.push(hostile.into());
    plan.unused_drivers.push(hostile.into());
    plan.left_out.push(LeftOut {
        branch: hostile.into(),
        with: vec![hostile.into(), TARGET.into()],
        paths: vec![hostile.into(), hostile.into()],
        hunks: 2,
        lines: 14,
    });
    step(&mut plan, hostile, "1");
    let text = within(&plan, &PlanContext::default(), 80);
    assert!(!text.contains("\n  git push"), "{text}");
    assert!(!text.contains(['\x1b', '\u{202e}']), "{text}");
    assert!(text.contains("    2 hunks, 14 lines to resolve in\n"), "{text}");
}

#[test]
fn only_what_git_lets_go_of_is_deleted_by_the_clean_up() {
    let mut plan = plan_of(7, &[]);
    let states = [
        (BranchState::Ready, 1),
        (BranchState::Conflicts, 1),
        (BranchState::Merged, 0),
        (BranchState::Merged, 2),
        (BranchState::Empty, 0),
        (BranchState::Empty, 2),
        (BranchState::Merged, 0),
    ];
    for (branch, (state, commits)) in plan.branches.iter_mut().zip(states) {
        (branch.state, branch.commits) = (state, commits);
    }
    plan.branches[6].is_branch = false;
    step(&mut plan, "b1", "1");
    let context = PlanContext {
        worktrees: ["b1", "b2", "b4"]
            .map(|b| (b.to_owned(), format!("/w/{b}").into()))
            .into(),
        ..PlanContext::default()
    };
    let remove = ["git worktree remove /w/b1", "git worktree remove /w/b4"];
    let commands = commands::clean_up(&plan, &context);
    assert_eq!(commands, [&remove[..], &["git branch -d b1 b3 b5"]].concat());
    assert_eq!(
        commands::delete_by_content(&plan, &context).as_deref(),
        Some("git branch -D b4")
    );
    plan.mode = Mode::Squash;
    let commands = commands::clean_up(&plan, &context);
    assert_eq!(commands, [&remove[..], &["git branch -d b3 b5"]].concat());
    assert_eq!(
        commands::delete_by_content(&plan, &context).as_deref(),
        Some("git branch -D b1 b4")
    );
    let held = PlanContext {
        held: ["b1", "b3", "b4", "b5"].map(str::to_owned).into(),
        ..context
    };
    assert_eq!(commands::clean_up(&plan, &held), [""; 0]);
    assert_eq!(commands::delete_by_content(&plan, &held), None);
    plan.target.branch = Some("b3".into());
    assert_eq!(commands::clean_up(&plan, &PlanContext::default()), ["git branch -d b5"]);
    // What is merged into a commit is on no branch.
    plan.target.branch = None;
    assert_eq!(commands::clean_up(&plan, &PlanContext::default()), [""; 0]);
    assert_eq!(commands::delete_by_content(&plan, &PlanContext::default()), None);
    assert!(within(&plan, &PlanContext::default(), 80).contains("to keep it: git switch -c NAME\n"));
}

#[test]
fn a_squash_that_changes_nothing_has_no_command() {
    let mut plan = plan_of(3, &[]);
    for (branch, tree) in [("b1", "1"), ("b2", "1"), ("b3", "2")] {
        step(&mut plan, branch, tree);
    }
    assert_eq!(commands::merges(&plan).len(), 3);
    plan.mode = Mode::Squash;
    let squash = |name| format!("git merge --squash --ff {name} && git commit --no-edit");
    assert_eq!(commands::merges(&plan), [squash("b1"), squash("b3")]);
}

#[test]
fn a_choice_that_may_not_be_the_best_is_called_so() {
    let mut plan = plan_of(2, &[(1, 2)]);
    plan.optimal = false;
    let said = |plan: &MergePlan| within(plan, &PlanContext::default(), 80).contains("another one might merge more");
    assert!(!said(&plan), "nothing is left out");
    plan.left_out.push(LeftOut {
        branch: "b2".into(),
        with: vec!["b1".into()],
        paths: vec!["l.txt".into()],
        hunks: 1,
        lines: 2,
    });
    assert!(said(&plan));
    plan.optimal = true;
    assert!(!said(&plan));
}
