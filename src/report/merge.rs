//! What a merge is going to do, what it has done, and what was taken back.

use std::fmt::Write;

use schemars::JsonSchema;
use serde::Serialize;

use super::verify::{VerifyFailure, VerifyRuns, end_of, why_not_passed};
use super::{CleanDocument, Inside, count, program, quote, unbroken};
use crate::landing::verify::{Verified, Why};
use crate::merge::{Branch, BranchState, MergePlan, Mode, TARGET};

/// A merge as JSON.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct MergeDocument {
    /// The number of this format.
    pub schema: u32,
    /// Whose branches these are.
    pub session_id: String,
    /// The id of this merge, for the records; none when nothing was merged.
    pub merge_id: Option<String>,
    /// Whether nothing was to be changed.
    pub dry_run: bool,
    /// How.
    pub mode: Mode,
    /// What was merged into.
    pub target: String,
    /// Its commit before.
    pub old: String,
    /// Its commit after; none when nothing has moved.
    pub new: Option<String>,
    /// What was merged, or would be, in this order.
    pub merged: Vec<MergedEntry>,
    /// What was not, and why.
    pub left_out: Vec<LeftOutEntry>,
    /// Branches that were not merged themselves, but whose commits are in one that was.
    pub inside: Vec<Inside>,
    /// Branches in which there is nothing to merge: they are in the target already, or change nothing.
    pub nothing_to_merge: Vec<String>,
    /// How often the command to verify with was asked, also for plans that were made again; none without one.
    pub verification: Option<VerifyRuns>,
    /// What the user should know, a line each.
    pub notes: Vec<String>,
    /// What became of merged branches and worktrees; none when they were left.
    pub cleaned: Option<CleanDocument>,
}

/// A branch that was merged, or would be.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct MergedEntry {
    /// Its name.
    pub branch: String,
    /// The task that made it.
    pub task_id: Option<String>,
    /// What that was.
    pub title: String,
    /// Its commit.
    pub head: String,
    /// The commit that has it in the target; none when that was not made.
    pub commit: Option<String>,
}

/// A branch that was not merged.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LeftOutEntry {
    /// Its name.
    pub branch: String,
    /// The task that made it.
    pub task_id: Option<String>,
    /// Why, in words.
    pub why: String,
    /// The branches that it conflicts with; `<target>` is the target itself.
    pub with: Vec<String>,
    /// Where.
    pub paths: Vec<String>,
    /// What the command to verify with said of it; none when the plan left it out.
    pub verify: Option<VerifyFailure>,
}

impl MergeDocument {
    /// What a plan is going to do; `notes` is what there is to know besides.
    pub fn of(plan: &MergePlan, session_id: &str, dry_run: bool, mut notes: Vec<String>) -> Self {
        notes.extend(plan.missing.iter().map(|name| format!("the branch {name} is gone")));
        if !plan.cannot_foresee.is_empty() {
            let what = plan.cannot_foresee.join(", ");
            notes.push(format!("pleach does not use or run what git merge would: {what}"));
        }
        if !plan.unused_drivers.is_empty() {
            let what = plan.unused_drivers.join(", ");
            notes.push(format!(
                "not used, because it was configured during the session: {what}"
            ));
        }
        let find = |name: &str| plan.branches.iter().find(|b| b.name == name);
        let left_out = |name: &str| plan.left_out.iter().any(|l| l.branch == name);
        let idle = |b: &&Branch| matches!(b.state, BranchState::Empty | BranchState::Merged) && !left_out(&b.name);
        Self {
            schema: 1,
            session_id: session_id.to_owned(),
            merge_id: None,
            dry_run,
            mode: plan.mode,
            target: plan.target.branch.clone().unwrap_or_default(),
            old: plan.target.commit.clone(),
            new: None,
            merged: (plan.steps.iter())
                .filter_map(|step| find(&step.branch))
                .map(MergedEntry::of)
                .collect(),
            left_out: (plan.left_out.iter())
                .map(|left| LeftOutEntry {
                    branch: left.branch.clone(),
                    task_id: find(&left.branch).and_then(|b| b.task_id.clone()),
                    why: why(&left.with, &left.paths),
                    with: left.with.clone(),
                    paths: left.paths.clone(),
                    verify: None,
                })
                .collect(),
            inside: Vec::new(),
            nothing_to_merge: plan.branches.iter().filter(idle).map(|b| b.name.clone()).collect(),
            verification: None,
            notes,
            cleaned: None,
        }
    }

    /// Leaves out what did not pass. `has` says whether the first of two commits has the other: what a branch that
    /// passed has of one that did not lands with it.
    pub fn verified(&mut self, verified: &Verified, has: &dyn Fn(&str, &str) -> bool) {
        let before = self.verification.unwrap_or_default();
        self.verification = Some(VerifyRuns {
            runs: before.runs + verified.runs,
            remembered: before.remembered + verified.remembered,
        });
        let names: Vec<String> = self.merged.iter().map(|merged| merged.branch.clone()).collect();
        let culprit = |step: usize| verified.found.culprits.iter().find(|culprit| culprit.step == step);
        let all = std::mem::take(&mut self.merged);
        let passed: Vec<(String, String)> = (all.iter().enumerate())
            .filter(|(step, _)| culprit(*step).is_none())
            .map(|(_, merged)| (merged.branch.clone(), merged.head.clone()))
            .collect();
        for (step, merged) in all.into_iter().enumerate() {
            let inside = passed.iter().find(|(_, head)| has(head, &merged.head));
            match (culprit(step), inside) {
                (None, _) => self.merged.push(merged),
                (Some(culprit), Some((branch, _))) => self.inside.push(Inside {
                    branch: merged.branch,
                    task_id: merged.task_id,
                    inside: branch.clone(),
                    why: why_not_passed(culprit, &names),
                }),
                (Some(culprit), None) => self.left_out.push(LeftOutEntry {
                    branch: merged.branch,
                    task_id: merged.task_id,
                    why: why_not_passed(culprit, &names),
                    with: Vec::new(),
                    paths: match &culprit.why {
                        Why::Fails(_) => Vec::new(),
                        Why::Collides { paths, .. } => paths.clone(),
                    },
                    verify: Some(VerifyFailure::of(culprit, &names)),
                }),
            }
        }
    }

    /// What has happened, as text that stands below the plan.
    pub fn landed(&self) -> String {
        let mut text = "\n".to_owned();
        let failed = |left: &LeftOutEntry| Some((unbroken(&left.branch), unbroken(&left.why), left.verify.clone()?));
        for (branch, why, failure) in self.left_out.iter().filter_map(failed) {
            let _ = writeln!(text, "left out: {branch}: {why}{}", end_of(&failure.output_tail));
        }
        for inside in self.inside.iter().filter(|_| self.verification.is_some()) {
            let _ = writeln!(text, "{inside}");
        }
        if let Some(VerifyRuns { runs, remembered }) = self.verification {
            let remembered = match remembered {
                0 => String::new(),
                n => format!(", {n} remembered"),
            };
            let _ = writeln!(text, "verified: {}{remembered}", count(runs, "run"));
        }
        let Some(new) = &self.new else {
            text.push_str("nothing was merged\n");
            return text;
        };
        let left_out = match self.left_out.len() {
            0 => String::new(),
            n => format!(", {n} left out"),
        };
        let _ = write!(
            text,
            "{}: {} -> {}, {} merged{left_out}\nto take it back: {} undo\n",
            unbroken(&self.target),
            short(&self.old),
            short(new),
            branches(self.merged.len()),
            program()
        );
        text
    }
}

impl MergedEntry {
    fn of(branch: &Branch) -> Self {
        Self {
            branch: branch.name.clone(),
            task_id: branch.task_id.clone(),
            title: branch.title.clone(),
            head: branch.head.clone(),
            commit: None,
        }
    }
}

fn why(with: &[String], paths: &[String]) -> String {
    if paths.is_empty() {
        return "has no commit in common with the target".into();
    }
    let with: Vec<&str> = with
        .iter()
        .map(|w| if w == TARGET { "the target" } else { w })
        .collect();
    match with.is_empty() {
        true => format!("conflicts in {}", paths.join(", ")),
        false => format!("conflicts with {} in {}", with.join(", "), paths.join(", ")),
    }
}

fn branches(number: usize) -> String {
    match number {
        1 => "1 branch".into(),
        n => format!("{n} branches"),
    }
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

/// What was taken back, as JSON.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct UndoDocument {
    /// The number of this format.
    pub schema: u32,
    /// The merge that was taken back.
    pub merge_id: String,
    /// Whose branches were merged.
    pub session_id: String,
    /// The branch that moved back.
    pub target: String,
    /// Its commit before.
    pub old: String,
    /// Its commit now.
    pub new: String,
    /// The ref that keeps what was undone.
    pub kept: String,
    /// The branches that were merged.
    pub branches: Vec<UndoneBranch>,
    /// What the user should know, a line each.
    pub notes: Vec<String>,
}

/// A branch that was merged, and is no more.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct UndoneBranch {
    /// Its name.
    pub branch: String,
    /// Its commit.
    pub head: String,
    /// Whether it is not there any more.
    pub gone: bool,
}

impl UndoDocument {
    /// What is going to happen, as text.
    pub fn planned(&self) -> String {
        let names: Vec<String> = self.branches.iter().map(|b| unbroken(&b.branch)).collect();
        format!(
            "{}: {} -> {}, without {}\n",
            unbroken(&self.target),
            short(&self.old),
            short(&self.new),
            names.join(", ")
        )
    }

    /// What has happened, as text.
    pub fn undone(&self) -> String {
        let mut text = format!(
            "{}: {} -> {}, {} taken back\nkept as {}\n",
            unbroken(&self.target),
            short(&self.old),
            short(&self.new),
            branches(self.branches.len()),
            self.kept
        );
        let gone: Vec<&UndoneBranch> = self.branches.iter().filter(|b| b.gone).collect();
        if !gone.is_empty() {
            text.push_str("branches that are gone, and how to bring them back:\n");
        }
        for branch in gone {
            let _ = writeln!(
                text,
                "  git branch {} {}",
                unbroken(&quote(&branch.branch)),
                branch.head
            );
        }
        text
    }
}
