//! The commands of a plan, as they are typed.

use super::PlanContext;
use crate::merge::{Branch, BranchState, MergePlan, Mode};
use crate::words::quote;

/// The merges, in order.
pub(super) fn merges(plan: &MergePlan) -> Vec<String> {
    let mut tree = None;
    let mut commands = Vec::new();
    for step in &plan.steps {
        let revision = revision(plan, &step.branch);
        match plan.mode {
            Mode::Merge => commands.push(merge(&revision)),
            // There would be nothing to commit.
            Mode::Squash if tree == Some(&step.tree) => {}
            Mode::Squash => commands.push(format!("{} && git commit --no-edit", squash(&revision))),
        }
        tree = Some(&step.tree);
    }
    commands
}

/// The merge of a branch that conflicts.
pub(super) fn merge_by_hand(plan: &MergePlan, branch: &str) -> String {
    let revision = revision(plan, branch);
    match plan.mode {
        Mode::Merge => merge(&revision),
        Mode::Squash => squash(&revision),
    }
}

fn merge(revision: &str) -> String {
    format!("git merge --no-ff --no-edit {revision}")
}

/// `--ff` says nothing but that no `merge.ff` of the user's counts: with any of them git refuses to squash.
fn squash(revision: &str) -> String {
    format!("git merge --squash --ff {revision}")
}

fn revision(plan: &MergePlan, branch: &str) -> String {
    let found = plan.branches.iter().find(|b| b.name == branch);
    quote(found.map_or(branch, |b| &b.revision))
}

/// What may go once the steps are done: worktrees of branches whose work is then in the target, and the branches whose
/// commits are.
pub(super) fn clean_up(plan: &MergePlan, context: &PlanContext) -> Vec<String> {
    let goes = |wanted: &str| {
        let branch = plan.branches.iter().find(|b| b.name == wanted);
        branch.is_some_and(|b| fate(plan, context, b) != Fate::Stays)
    };
    let worktrees = context.worktrees.iter().filter(|(branch, _)| goes(branch));
    let mut commands: Vec<String> = worktrees
        .map(|(_, worktree)| format!("git worktree remove {}", quote(worktree)))
        .collect();
    commands.extend(delete(plan, context, Fate::Merged, "-d"));
    commands
}

/// The deletion of branches whose changes are then in the target, but not their commits: `git branch -d` refuses it.
pub(super) fn delete_by_content(plan: &MergePlan, context: &PlanContext) -> Option<String> {
    delete(plan, context, Fate::SameContent, "-D")
}

fn delete(plan: &MergePlan, context: &PlanContext, wanted: Fate, option: &str) -> Option<String> {
    let gone = plan.branches.iter().filter(|b| fate(plan, context, b) == wanted);
    let names: Vec<&String> = gone.map(|b| &b.name).collect();
    if names.is_empty() {
        return None;
    }
    let no_option = if names.iter().any(|name| name.starts_with('-')) {
        "-- "
    } else {
        ""
    };
    let names: Vec<String> = names.into_iter().map(quote).collect();
    Some(format!("git branch {option} {no_option}{}", names.join(" ")))
}

/// What becomes of a branch after the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It holds what the target has not, cannot be deleted, or is none.
    Stays,
    /// Its commits are in the target.
    Merged,
    /// What they change is.
    SameContent,
}

fn fate(plan: &MergePlan, context: &PlanContext, branch: &Branch) -> Fate {
    // Without a branch to merge into, that one may be all that keeps its commits.
    let is_last = plan.target.branch.as_ref().is_none_or(|target| *target == branch.name);
    if !branch.is_branch || is_last || context.held.contains(&branch.name) {
        return Fate::Stays;
    }
    let is_step = plan.steps.iter().any(|s| s.branch == branch.name);
    match (branch.state, plan.mode) {
        (BranchState::Merged | BranchState::Empty, _) if branch.commits == 0 => Fate::Merged,
        (BranchState::Merged, _) => Fate::SameContent,
        (BranchState::Ready | BranchState::Conflicts, Mode::Merge) if is_step => Fate::Merged,
        (BranchState::Ready | BranchState::Conflicts, Mode::Squash) if is_step => Fate::SameContent,
        // Commits that change nothing are not merged, and git does not let go of a branch that has them.
        _ => Fate::Stays,
    }
}
