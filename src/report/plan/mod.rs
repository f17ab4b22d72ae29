//! The merge plan: a table of branches, which two conflict, the commands in order, what needs a hand, and what to clean
//! up. `commands` says what is typed, `branches` and `matrix` draw; `plan` and the end of a watched run show it, and
//! `merge` what of it does not only tell what to type.

mod branches;
mod commands;
mod matrix;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use super::columns::wrap;
use super::{count, one_line, quote, terminal_width, unbroken};
use crate::merge::{Branch, BranchState, LeftOut, MergePlan, Mode, TARGET};

/// As wide as a terminal that does not tell, as for git.
const COLUMNS: usize = 80;

/// So many paths of a branch are shown in which it conflicts.
const PATHS: usize = 8;

/// What the plan's text needs besides the plan.
#[derive(Debug, Default)]
pub struct PlanContext {
    /// The session it is made for, if it is for one.
    pub session: Option<String>,
    /// Go there first: the checkout in which the commands work.
    pub change_to: Option<PathBuf>,
    /// There is nowhere to go: the repository is bare.
    pub no_checkout: bool,
    /// Check this out first, because something else is.
    pub switch: Option<String>,
    /// The command that does all of the merges; none where it would refuse.
    pub merge: Option<String>,
    /// Worktrees of the tasks that are there and hold nothing of their own, with their branches.
    pub worktrees: Vec<(String, PathBuf)>,
    /// Branches that stay: git would not delete them, or their worktrees hold something that would be lost.
    pub held: Vec<String>,
    /// What became of the tasks that are not in the plan: they did not succeed, or are not settled yet.
    pub unplanned: BTreeMap<&'static str, usize>,
    /// Branches that were not wanted, but land all the same, with that of a task that builds on them.
    pub inside: Vec<Inside>,
}

/// A branch that is not merged itself, but whose commits are in one that is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Inside {
    /// Its name.
    pub branch: String,
    /// The task that made it.
    pub task_id: Option<String>,
    /// The merged branch that has its commits.
    pub inside: String,
    /// Why it is not merged itself: `not chosen`, or what the command to verify with said of it alone.
    pub why: String,
}

impl std::fmt::Display for Inside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            branch, inside, why, ..
        } = self;
        write!(
            f,
            "{} lands inside {}, which builds on it ({why})",
            unbroken(branch),
            unbroken(inside)
        )
    }
}

/// The plan as JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlanDocument<'p> {
    schema: u32,
    /// None for branches that no session made.
    session_id: Option<&'p str>,
    #[serde(flatten)]
    plan: &'p MergePlan,
    /// To be typed in a clean checkout of the target. In squash mode a step that changes nothing has none.
    merge_commands: Vec<String>,
    /// To be typed after these: only what git itself takes for merged.
    cleanup_commands: Vec<String>,
}

/// The plan with its commands, for programs.
pub fn plan_document<'p>(plan: &'p MergePlan, context: &'p PlanContext) -> PlanDocument<'p> {
    PlanDocument {
        schema: 1,
        session_id: context.session.as_deref(),
        plan,
        merge_commands: commands::merges(plan),
        cleanup_commands: commands::clean_up(plan, context),
    }
}

/// The plan for people.
pub fn plan(plan: &MergePlan, context: &PlanContext) -> String {
    within(plan, context, terminal_width().unwrap_or(COLUMNS))
}

fn within(plan: &MergePlan, context: &PlanContext, columns: usize) -> String {
    let mut text = drawn(plan, context, columns);
    let go = context.change_to.iter().map(|dir| format!("cd {}", quote(dir)));
    let switch = context.switch.iter().map(|to| format!("git switch {to}"));
    let nowhere = context.no_checkout.then(|| {
        let target = plan.target.branch.as_ref().unwrap_or(&plan.target.commit);
        format!("# git merge needs a checkout: git worktree add DIR {}", quote(target))
    });
    let typed = nowhere
        .into_iter()
        .chain(go)
        .chain(switch)
        .chain(commands::merges(plan));
    merges(&mut text, plan, typed);
    if let Some(command) = context.merge.as_ref().filter(|_| !plan.steps.is_empty()) {
        let _ = writeln!(text, "\nor all of these at once: {command}");
    }
    left_out(&mut text, plan, columns);
    clean_up(&mut text, plan, context);
    text
}

/// What `pleach merge` is going to do, for people.
pub fn foreseen(plan: &MergePlan, context: &PlanContext) -> String {
    let columns = terminal_width().unwrap_or(COLUMNS);
    let mut text = drawn(plan, context, columns);
    let names: Vec<&str> = plan.steps.iter().map(|step| step.branch.as_str()).collect();
    let names = wrap(&names.join(", "), columns.saturating_sub(2));
    merges(&mut text, plan, names.into_iter().filter(|_| !plan.steps.is_empty()));
    left_out(&mut text, plan, columns);
    text
}

/// All that is no command.
fn drawn(plan: &MergePlan, context: &PlanContext, columns: usize) -> String {
    let mut text = format!("plan: {}\n", headline(plan));
    let table = branches::table(plan, columns);
    if !table.is_empty() {
        let _ = write!(text, "\n{table}");
    }
    text.push_str(&notes(plan, context, columns));
    let matrix = matrix::matrix(plan, columns);
    if !matrix.is_empty() {
        let _ = write!(text, "\n{matrix}");
    }
    text
}

/// `4 branches into main: 2 merge, 1 needs a hand`
fn headline(plan: &MergePlan) -> String {
    let target = match &plan.target.branch {
        Some(branch) => one_line(branch),
        None => format!("commit {}", &plan.target.commit[..12]),
    };
    let branches = match plan.branches.len() {
        1 => "1 branch".to_owned(),
        all => format!("{all} branches"),
    };
    let how = match plan.mode {
        Mode::Merge => "",
        Mode::Squash => ", a commit each",
    };
    let numbered = |number: usize, one: &str, more: &str| match number {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{number} {more}")),
    };
    let parts = [
        numbered(plan.steps.len(), "merges", "merge"),
        numbered(plan.left_out.len(), "needs a hand", "need a hand"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let said = if parts.is_empty() { "" } else { ": " };
    format!("{branches} into {target}{how}{said}{}", parts.join(", "))
}

/// What else there is to know of it.
fn notes(plan: &MergePlan, context: &PlanContext, columns: usize) -> String {
    let mut notes = Vec::new();
    if !context.unplanned.is_empty() {
        let tasks = count(context.unplanned.values().sum::<usize>(), "task");
        let each = context
            .unplanned
            .iter()
            .map(|(what, number)| format!("{number} {what}"));
        let each = each.collect::<Vec<_>>().join(", ");
        notes.push(format!("{tasks} without a finished branch: not in the plan ({each})"));
    }
    notes.extend(context.inside.iter().map(ToString::to_string));
    let by_content = |b: &Branch| b.state == BranchState::Merged && b.commits > 0;
    if plan.branches.iter().any(by_content) {
        notes.push("merged with commits: the target has the same changes in commits of its own".into());
    }
    if !plan.unused_drivers.is_empty() {
        let what = unbroken(&plan.unused_drivers.join(", "));
        notes.push(format!(
            "not used, because it was configured during the session: {what}"
        ));
    }
    if !plan.optimal && !plan.left_out.is_empty() {
        notes.push("too many conflicts to try every choice: another one might merge more".into());
    }
    if !plan.cannot_foresee.is_empty() {
        notes.push("git merge may do something else here, because of:".into());
    }
    let lines = notes.iter().flat_map(|note| wrap(note, columns.saturating_sub(2)));
    let named = plan.cannot_foresee.iter().map(|what| format!("  {}", unbroken(what)));
    let lines: String = lines.chain(named).map(|line| format!("  {line}\n")).collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

/// What merges, a line each.
fn merges(text: &mut String, plan: &MergePlan, lines: impl Iterator<Item = String>) {
    text.push_str(match (plan.steps.is_empty(), plan.left_out.is_empty()) {
        (true, true) => {
            text.push_str("\nnothing to merge\n");
            return;
        }
        (true, false) => "\nno branch merges without conflicts\n",
        (false, _) => "\nthese merge cleanly, in this order:\n",
    });
    for line in lines {
        let _ = writeln!(text, "  {line}");
    }
}

fn left_out(text: &mut String, plan: &MergePlan, columns: usize) {
    if plan.left_out.is_empty() {
        return;
    }
    let after = if plan.steps.is_empty() { "" } else { " after that" };
    let _ = writeln!(text, "\nthese conflict{after}; each needs a hand:");
    for left in &plan.left_out {
        let _ = writeln!(text, "  {}", commands::merge_by_hand(plan, &left.branch));
        if left.paths.is_empty() {
            text.push_str("    has no commit in common with the target\n");
            continue;
        }
        for line in wrap(&collides_with(left), columns.saturating_sub(4)) {
            let _ = writeln!(text, "    {line}");
        }
        // A path may hold a line break, and must not look like a command of the plan.
        match left.paths.as_slice() {
            [path] => {
                let _ = writeln!(text, "    {} to resolve in {}", work(left), unbroken(path));
            }
            paths => {
                let _ = writeln!(text, "    {} to resolve in", work(left));
                for path in paths.iter().take(PATHS) {
                    let _ = writeln!(text, "      {}", unbroken(path));
                }
                if paths.len() > PATHS {
                    let _ = writeln!(text, "      … {} more", paths.len() - PATHS);
                }
            }
        }
    }
}

/// `conflicts with a, the target`
fn collides_with(left: &LeftOut) -> String {
    let named = |with: &String| match with.as_str() {
        TARGET => "the target".to_owned(),
        name => one_line(name),
    };
    let with: Vec<String> = left.with.iter().map(named).collect();
    match with.as_slice() {
        [] => "conflicts".into(),
        names => format!("conflicts with {}", names.join(", ")),
    }
}

/// `2 hunks, 14 lines`
fn work(left: &LeftOut) -> String {
    let hunks = count(left.hunks, "hunk");
    match left.lines {
        0 => hunks,
        lines => format!("{hunks}, {}", count(lines, "line")),
    }
}

fn clean_up(text: &mut String, plan: &MergePlan, context: &PlanContext) {
    if plan.target.branch.is_none() && !plan.steps.is_empty() {
        text.push_str("\nthe result is then on no branch; to keep it: git switch -c NAME\n");
    }
    let cleanup = commands::clean_up(plan, context);
    if !cleanup.is_empty() {
        text.push_str("\nafter that, clean up:\n");
        if cleanup.iter().any(|c| c.starts_with("git worktree remove")) {
            text.push_str("  # git worktree remove also deletes files that git ignores\n");
        }
        for command in cleanup {
            let _ = writeln!(text, "  {command}");
        }
    }
    if let Some(command) = commands::delete_by_content(plan, context) {
        let then = if plan.steps.is_empty() { "" } else { "then " };
        let _ = write!(
            text,
            "\nthe target {then}has these in commits of its own; git branch -d would refuse them:\n  {command}\n"
        );
    }
}
