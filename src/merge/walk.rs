//! Merges one branch after the other on what has come of it so far, in predictions only.

use git2::Oid;

use super::choose::{Graph, choose};
use super::engine::{Engine, Merged};
use super::look::Looked;
use super::plan::{Mode, PlanError, Step};

/// Where merges are predicted.
pub(super) struct Ground<'e> {
    /// Who predicts them.
    pub engine: &'e Engine,
    /// What is merged into.
    pub target: Oid,
    /// How.
    pub mode: Mode,
    /// The date of predicted commits, in Unix seconds.
    pub date: i64,
}

impl Ground<'_> {
    /// The commit that such a merge makes.
    pub(super) fn commit(&self, tree: Oid, ours: Oid, theirs: Oid) -> Result<Oid, PlanError> {
        let parents = match self.mode {
            Mode::Merge => &[ours, theirs][..],
            Mode::Squash => &[ours],
        };
        Ok(self.engine.commit(tree, parents, self.date)?)
    }
}

/// What the merges give.
#[derive(Debug)]
pub(super) struct Walked {
    /// The merges.
    pub steps: Vec<Step>,
    /// The branches that were merged, in that order, as indices of what was looked at.
    pub merged: Vec<usize>,
    /// The commit after them.
    pub commit: Oid,
    /// Its tree.
    pub tree: Oid,
    /// Whether no other choice merges more.
    pub optimal: bool,
}

/// Chooses, merges, and tries at the end once more what was left out.
pub(super) fn walk(ground: &Ground, looked: &[Looked], order: &[usize], graph: Graph) -> Result<Walked, PlanError> {
    let choice = choose(&graph);
    let tree = ground.engine.repository().find_commit(ground.target);
    let tree = tree
        .map_err(crate::git::GitError::libgit2("cannot read the target"))?
        .tree_id();
    let mut walked = Walked {
        steps: Vec::new(),
        merged: Vec::new(),
        commit: ground.target,
        tree,
        optimal: choice.optimal,
    };
    let mut aside: Vec<usize> = choice.chosen.iter().map(|v| order[*v]).collect();
    aside.extend(
        (0..order.len())
            .filter(|v| !choice.chosen.contains(v))
            .map(|v| order[v]),
    );
    loop {
        let tried = aside.len();
        aside = go(ground, looked, aside, &mut walked)?;
        if aside.len() == tried {
            return Ok(walked);
        }
    }
}

/// Merges what merges cleanly, one after the other, and gives back the rest.
fn go(ground: &Ground, looked: &[Looked], branches: Vec<usize>, walked: &mut Walked) -> Result<Vec<usize>, PlanError> {
    let mut aside = Vec::new();
    for index in branches {
        let one = &looked[index];
        match ground.engine.merge(one.onto(walked.commit))? {
            Merged::Clean(tree) => {
                walked.commit = ground.commit(tree, walked.commit, one.head)?;
                walked.tree = tree;
                walked.merged.push(index);
                walked.steps.push(Step {
                    branch: one.branch.name.clone(),
                    tree: tree.to_string(),
                });
            }
            Merged::Conflicts { .. } => aside.push(index),
        }
    }
    Ok(aside)
}
