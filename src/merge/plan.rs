//! Puts the plan together: each branch by itself, the pairs, the choice, and the merges one after the other.
//!
//! A plan is a function of commit ids and options: the same input gives the same plan, to the byte.

use git2::Oid;
use schemars::JsonSchema;
use serde::Serialize;
use std::path::Path;

use super::engine::{Conflict, Engine};
use super::{chain, explain, foresee, look, once, pairs, patches, walk};
use crate::git::{Drivers, GitError, OLDEST_TO_PLAN, decides_merges, version};

/// Stands in [`LeftOut::with`] for the target itself.
pub const TARGET: &str = "<target>";

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The target's branch is gone.
    #[error("the branch {branch}, which the session started from, is gone")]
    NoTarget {
        /// Its name.
        branch: String,
        /// The commit it was at when the session started.
        commit: String,
    },
    /// What was named is no commit here.
    #[error("there is no branch, tag or commit {0:?} here")]
    NoRevision(String),
    /// The git program is too old for `--attr-source`.
    #[error("git {0} cannot plan merges exactly: it has to be {OLDEST_TO_PLAN} or newer")]
    OldGit(crate::git::Version),
    /// The git program is too old to merge what a task depends on.
    #[error("git {found} cannot merge what task {number} depends on: it has to be {OLDEST_TO_PLAN} or newer")]
    OldGitForBase {
        /// Its version.
        found: crate::git::Version,
        /// The number of the task, from 1.
        number: usize,
    },
    /// git cannot say what a merge gives: an object is missing or damaged.
    #[error("git cannot say what merging {branch}{} gives: {source}", then(after.as_deref()))]
    NoAnswer {
        /// The branch that is merged.
        branch: String,
        /// The one that is merged before it, if it is just one.
        after: Option<String>,
        /// What git said.
        source: Box<GitError>,
    },
    /// git refused.
    #[error(transparent)]
    Git(#[from] GitError),
}

fn then(after: Option<&str>) -> String {
    after.map_or_else(String::new, |branch| format!(" after {branch}"))
}

/// How branches are put onto the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// `git merge --no-ff`: a commit with two parents for each branch.
    #[default]
    Merge,
    /// `git merge --squash`: a commit with one parent for each branch.
    Squash,
}

/// A branch, tag or commit that may be merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// A branch without `refs/heads/`; anything else as it was named.
    pub name: String,
    /// How a command names it: its name, or the full one where a tag goes by that name.
    pub revision: String,
    /// Whether it is a branch of the repository, which can be deleted.
    pub is_branch: bool,
    /// Its commit.
    pub head: Oid,
    /// The task that made it, if one did.
    pub task_id: Option<String>,
    /// What that was; else the subject of its last commit.
    pub title: String,
    /// The commit that the task started from: what it depends on had come to that.
    pub base: Option<Oid>,
}

/// What is merged into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Target {
    /// Its branch; none for a detached HEAD, a tag or a commit.
    pub branch: Option<String>,
    /// Its commit.
    pub commit: String,
}

/// What a plan is asked for.
#[derive(Clone, Debug)]
pub struct PlanRequest<'a> {
    /// The git dir that all worktrees share.
    pub common_dir: &'a Path,
    /// What is merged into.
    pub target: Target,
    /// What may be merged, in the order of the tasks.
    pub candidates: Vec<Candidate>,
    /// Branches that were meant and are gone.
    pub missing: Vec<String>,
    /// How.
    pub mode: Mode,
    /// Filter and merge drivers that may be run.
    pub known: &'a Drivers,
}

/// How a branch stands to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BranchState {
    /// It can be merged.
    Ready,
    /// It changes nothing.
    Empty,
    /// It is in the target already.
    Merged,
    /// It conflicts with the target itself.
    Conflicts,
}

impl BranchState {
    /// The word as it stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Empty => "empty",
            Self::Merged => "merged",
            Self::Conflicts => "conflicts",
        }
    }
}

/// A branch by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Branch {
    /// Without `refs/heads/`; a tag or a commit as it was named.
    pub name: String,
    /// How a command names it: its name, or the full one where a tag goes by that name.
    #[serde(skip)]
    pub revision: String,
    /// Whether it is a branch of the repository, which can be deleted.
    #[serde(skip)]
    pub is_branch: bool,
    /// The task that made it, if one did.
    pub task_id: Option<String>,
    /// What that was; else the subject of its last commit.
    pub title: String,
    /// Its last commit.
    pub head: String,
    /// Where it left the target; none when they have no commit in common.
    pub merge_base: Option<String>,
    /// Commits that the target has not, nor those that are planned and that the task started from.
    pub commits: usize,
    /// Files that differ from the merge base, or from what the task started from; a renamed one counts once.
    pub files_changed: usize,
    /// Files that have another name than there.
    pub renames: usize,
    /// Lines added since.
    pub insertions: usize,
    /// Lines taken away since.
    pub deletions: usize,
    /// How it stands to the target.
    pub state: BranchState,
}

/// Two branches that do not both merge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PairConflict {
    /// The one that is merged first.
    pub a: String,
    /// The one that then conflicts.
    pub b: String,
    /// Where and how.
    pub paths: Vec<Conflict>,
}

/// Which two branches conflict. Only those that merge into the target by themselves are paired.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Pairs {
    /// All pairs.
    pub checked: usize,
    /// Those that git was asked about; the others change nothing in common.
    pub merged: usize,
    /// Those that conflict.
    pub conflicts: Vec<PairConflict>,
}

/// One merge, and the tree that it gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Step {
    /// The branch that is merged.
    pub branch: String,
    /// The tree after it.
    pub tree: String,
}

/// A branch that does not merge after all the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LeftOut {
    /// Which.
    pub branch: String,
    /// The merged branches that it conflicts with, or [`TARGET`].
    pub with: Vec<String>,
    /// Where it conflicts; nowhere when it has no commit in common with the target: git then refuses.
    pub paths: Vec<String>,
    /// How many places would have to be resolved: those between conflict markers, and files that have none.
    pub hunks: usize,
    /// How many lines are between the markers.
    pub lines: usize,
}

/// The plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MergePlan {
    /// What is merged into.
    pub target: Target,
    /// How.
    pub mode: Mode,
    /// All branches, in the order of the tasks.
    pub branches: Vec<Branch>,
    /// Which two conflict.
    pub pairs: Pairs,
    /// What can make `git merge` do something else than the plan says: options and hooks of the user's.
    pub cannot_foresee: Vec<String>,
    /// Branches of the session that are not there any more.
    pub missing: Vec<String>,
    /// Settings of drivers that were not there when the session started: the user's git would use them.
    pub unused_drivers: Vec<String>,
    /// The merges, in order.
    pub steps: Vec<Step>,
    /// What is not merged, and why.
    pub left_out: Vec<LeftOut>,
    /// The tree after the last step; without steps the target's.
    pub final_tree: String,
    /// Whether no other choice merges more, as far as pairs and what was tried tell.
    pub optimal: bool,
}

/// Plans the merges. Drivers that are not known are not run.
pub fn plan(request: &PlanRequest) -> Result<MergePlan, PlanError> {
    let git = version()?;
    if git < OLDEST_TO_PLAN {
        return Err(PlanError::OldGit(git));
    }
    let (engine, mut unused_drivers) = Engine::new(request.common_dir, request.known)?;
    unused_drivers.retain(|key| decides_merges(key));
    let commit = Oid::from_str(&request.target.commit).map_err(GitError::libgit2("cannot read the target"))?;
    let mut looked = look::look(&engine, commit, &request.candidates)?;
    patches::settle(&engine, commit, &mut looked)?;
    // By all that a branch contains, of which then only what is its own counts.
    let order = look::merge_order(&engine, commit, &looked)?;
    once::count_once(&engine, commit, &request.candidates, &mut looked)?;
    let ground = walk::Ground {
        engine: &engine,
        target: commit,
        mode: request.mode,
        date: look::newest(&engine, commit, &request.candidates)?,
    };
    let (graph, pairs) = pairs::check(&ground, &looked, &order)?;
    let mut chains = chain::Chains::new(&ground, &looked);
    let walked = walk::walk(&mut chains, &order, graph)?;
    let left_out = explain::left_out(&mut chains, &walked, &pairs)?;
    Ok(MergePlan {
        cannot_foresee: foresee::cannot_foresee(engine.repository(), request)?,
        target: request.target.clone(),
        mode: request.mode,
        pairs,
        steps: walked.steps,
        branches: looked.into_iter().map(|l| l.branch).collect(),
        missing: request.missing.clone(),
        unused_drivers,
        left_out,
        final_tree: walked.tree.to_string(),
        optimal: walked.optimal,
    })
}
