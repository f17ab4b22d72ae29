//! The merge plan: a table of branches, the commands in order, what conflicts, and what to clean up.

use std::fmt::Write;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use super::{count, escape, quote, unbroken};
use crate::merge::{Branch, BranchState, MergePlan, TARGET};

/// What the plan's text needs besides the plan.
#[derive(Debug, Default)]
pub struct PlanContext {
    /// The session it is made for, if it is for one.
    pub session: Option<String>,
    /// Go there first: the checkout in which the commands work.
    pub change_to: Option<PathBuf>,
    /// Check this out first, because something else is.
    pub switch: Option<String>,
    /// Worktrees of succeeded tasks that were kept on request, with their branches.
    pub worktrees: Vec<(String, PathBuf)>,
    /// Branches of worktrees that hold something which is in no commit.
    pub held: Vec<String>,
    /// Tasks that did not succeed, or are not settled yet: they are not in the plan.
    pub unplanned: usize,
}

/// The plan as JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlanDocument<'p> {
    schema: u32,
    session_id: Option<&'p str>,
    #[serde(flatten)]
    plan: &'p MergePlan,
    merge_commands: Vec<String>,
    cleanup_commands: Vec<String>,
}

/// The plan with its commands, for programs.
pub fn plan_document<'p>(plan: &'p MergePlan, context: &'p PlanContext) -> PlanDocument<'p> {
    PlanDocument {
        schema: 1,
        session_id: context.session.as_deref(),
        plan,
        merge_commands: plan.steps.iter().map(|s| merge_command(plan, &s.branch)).collect(),
        cleanup_commands: cleanup_commands(plan, context),
    }
}

/// The plan for people.
pub fn plan(plan: &MergePlan, context: &PlanContext) -> String {
    let target = match &plan.target.branch {
        Some(branch) => branch.clone(),
        None => format!("the detached HEAD {}", &plan.target.commit[..12]),
    };
    let mut text = format!(
        "plan: {} into {target}\n",
        count(plan.branches.len(), "branch").replace("branchs", "branches")
    );
    let names = plan.branches.iter().map(|b| b.name.len()).max().unwrap_or(0);
    for branch in &plan.branches {
        let _ = writeln!(
            text,
            "  {:<names$}  {:<9}  {}",
            branch.name,
            branch.state.name(),
            numbers(branch)
        );
    }
    for branch in &plan.missing {
        let _ = writeln!(text, "  {branch:<names$}  deleted");
    }
    if !plan.cannot_foresee.is_empty() {
        let what = unbroken(&plan.cannot_foresee.join(", "));
        let _ = writeln!(text, "  may change what git merge does: {what}");
    }
    if !plan.unused_drivers.is_empty() {
        let _ = writeln!(
            text,
            "  not used, because it was configured during the session: {}",
            escape(&plan.unused_drivers.join(", "))
        );
    }
    if context.unplanned > 0 {
        let tasks = count(context.unplanned, "task");
        let _ = writeln!(text, "  {tasks} without a finished branch: not in the plan");
    }
    merges(&mut text, plan, context);
    conflicts(&mut text, plan);
    let cleanup = cleanup_commands(plan, context);
    if !cleanup.is_empty() {
        text.push_str("\nafter that, clean up:\n");
        if cleanup.iter().any(|c| c.starts_with("git worktree remove")) {
            text.push_str("  # git worktree remove also deletes files that git ignores\n");
        }
        for command in cleanup {
            let _ = writeln!(text, "  {command}");
        }
    }
    text
}

fn numbers(branch: &Branch) -> String {
    match branch.state {
        BranchState::Merged => "is in the target already".into(),
        BranchState::Empty if branch.commits > 0 => {
            format!("{}, which change nothing", count(branch.commits, "commit"))
        }
        BranchState::Empty => "changes nothing".into(),
        BranchState::Ready | BranchState::Conflicts => format!(
            "{}, {}, +{} -{}",
            count(branch.commits, "commit"),
            count(branch.files_changed, "file"),
            branch.insertions,
            branch.deletions
        ),
    }
}

fn merges(text: &mut String, plan: &MergePlan, context: &PlanContext) {
    if plan.steps.is_empty() && plan.left_out.is_empty() {
        text.push_str("\nnothing to merge\n");
        return;
    }
    let go = context.change_to.iter().map(|dir| format!("cd {}", quote(dir)));
    let switch = context.switch.iter().map(|to| format!("git switch {to}"));
    let merge = plan.steps.iter().map(|s| merge_command(plan, &s.branch));
    let commands: Vec<String> = go.chain(switch).chain(merge).collect();
    if plan.steps.is_empty() {
        text.push_str("\nno branch merges without conflicts\n");
    } else {
        text.push_str("\nthese merge cleanly, in this order:\n");
    }
    for command in commands {
        let _ = writeln!(text, "  {command}");
    }
}

fn conflicts(text: &mut String, plan: &MergePlan) {
    if plan.left_out.is_empty() {
        return;
    }
    let after = if plan.steps.is_empty() { "" } else { " after that" };
    let _ = writeln!(text, "\nthese conflict{after}; each needs a hand:");
    for left in &plan.left_out {
        let _ = writeln!(text, "  {}", merge_command(plan, &left.branch));
        if left.paths.is_empty() {
            text.push_str("    has no commit in common with the target\n");
            continue;
        }
        let with: Vec<&str> = left
            .with
            .iter()
            .map(|w| if w == TARGET { "the target" } else { w })
            .collect();
        let with = if with.is_empty() {
            String::new()
        } else {
            format!("  (with {})", with.join(", "))
        };
        // A path may hold a line break, and must not look like a command of the plan.
        let paths = unbroken(&left.paths.join(", "));
        let _ = writeln!(text, "    conflicts in {paths}{with}");
    }
}

fn merge_command(plan: &MergePlan, branch: &str) -> String {
    let found = plan.branches.iter().find(|b| b.name == branch);
    format!(
        "git merge --no-ff --no-edit {}",
        quote(found.map_or(branch, |b| &b.revision))
    )
}

/// What may go once the steps are done: branches whose work is then in the target, and their worktrees.
fn cleanup_commands(plan: &MergePlan, context: &PlanContext) -> Vec<String> {
    let left_out = |name: &str| plan.left_out.iter().any(|l| l.branch == name);
    // Commits that change nothing are not merged, and git does not let go of a branch that has them.
    let unmerged = |b: &Branch| b.state == BranchState::Empty && b.commits > 0;
    let is_target = |b: &Branch| plan.target.branch.as_ref() == Some(&b.name);
    let goes = |b: &&Branch| b.is_branch && !is_target(b) && !unmerged(b) && !context.held.contains(&b.name);
    let gone = plan.branches.iter().filter(|b| !left_out(&b.name)).filter(goes);
    let done: Vec<&str> = gone.map(|b| b.name.as_str()).collect();
    let mut commands: Vec<String> = context
        .worktrees
        .iter()
        .filter(|(branch, _)| done.contains(&branch.as_str()))
        .map(|(_, worktree)| format!("git worktree remove {}", quote(worktree)))
        .collect();
    if !done.is_empty() {
        let names: Vec<String> = done.iter().map(quote).collect();
        let no_option = if done.iter().any(|name| name.starts_with('-')) {
            "-- "
        } else {
            ""
        };
        commands.push(format!("git branch -d {no_option}{}", names.join(" ")));
    }
    commands
}
