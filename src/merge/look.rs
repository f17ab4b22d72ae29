//! Looks at each branch by itself: what it changes, and how it stands to the target.

use std::collections::HashSet;

use git2::Oid;

use super::engine::{Ask, Engine, Merged};
use super::plan::{Branch, BranchState, Candidate, PlanError};
use crate::git::{GitError, changes_between};

/// A branch, and what merging it into the target gives.
#[derive(Debug)]
pub(super) struct Looked {
    /// What the plan says of it.
    pub branch: Branch,
    /// Its commit.
    pub head: Oid,
    /// Where it left the target.
    pub merge_base: Option<Oid>,
    /// What merging it into the target gives; none when there is nothing to merge, or nothing in common.
    pub merged: Option<Merged>,
}

impl Looked {
    /// The merge of it into `ours`.
    pub(super) fn onto(&self, ours: Oid) -> Ask<'_> {
        Ask {
            ours,
            theirs: self.head,
            name: &self.branch.revision,
            after: None,
        }
    }
}

/// Looks at all of them.
pub(super) fn look(engine: &Engine, target: Oid, candidates: &[Candidate]) -> Result<Vec<Looked>, PlanError> {
    let mut looked = candidates
        .iter()
        .map(|c| look_at(engine, target, c))
        .collect::<Result<Vec<_>, _>>()?;
    let open: Vec<usize> = (0..looked.len())
        .filter(|i| looked[*i].branch.state == BranchState::Ready)
        .collect();
    let asked: Vec<Ask> = open.iter().map(|i| looked[*i].onto(target)).collect();
    let merged = engine.merges(&asked)?;
    for (index, merged) in open.into_iter().zip(merged) {
        let one = &mut looked[index];
        if matches!(merged, Merged::Conflicts { .. }) {
            one.branch.state = BranchState::Conflicts;
        }
        one.merged = Some(merged);
    }
    Ok(looked)
}

/// A branch before it is merged with anything: ready until that shows a conflict.
fn look_at(engine: &Engine, target: Oid, candidate: &Candidate) -> Result<Looked, PlanError> {
    let head = candidate.head;
    let merge_base = engine.merge_bases(target, head)?.first().copied();
    let [from, to] = [merge_base.unwrap_or(target), head].map(|id| engine.stand_in(id));
    let changes = changes_between(engine.repository(), from, to)?;
    // Not those since the merge base: there may be several of these.
    let commits = engine.ahead(head, target)?;
    let state = match merge_base {
        None => BranchState::Conflicts,
        // A task that has made no commit has nothing in the target.
        Some(base) if base == head && (head != target || candidate.task_id.is_none()) => BranchState::Merged,
        Some(_) if changes.files_changed == 0 => BranchState::Empty,
        Some(_) => BranchState::Ready,
    };
    Ok(Looked {
        branch: Branch {
            name: candidate.name.clone(),
            revision: candidate.revision.clone(),
            is_branch: candidate.is_branch,
            task_id: candidate.task_id.clone(),
            title: candidate.title.clone(),
            head: head.to_string(),
            merge_base: merge_base.map(|id| id.to_string()),
            commits,
            files_changed: changes.files_changed,
            renames: changes.renames,
            insertions: changes.insertions,
            deletions: changes.deletions,
            state,
        },
        head,
        merge_base,
        merged: None,
    })
}

/// The order in which branches are merged, as far as they are: that of the tasks, but one that contains another follows
/// it. Only branches that something can be merged of.
pub(super) fn merge_order(engine: &Engine, target: Oid, looked: &[Looked]) -> Result<Vec<usize>, PlanError> {
    let mut waiting: Vec<usize> = (0..looked.len()).filter(|i| looked[*i].merged.is_some()).collect();
    let heads: HashSet<Oid> = waiting.iter().map(|i| looked[*i].head).collect();
    let contained = |one: &Looked| heads_in(engine, target, one, &heads);
    let contained: Vec<HashSet<Oid>> = looked.iter().map(contained).collect::<Result<_, _>>()?;
    let mut order = Vec::new();
    while !waiting.is_empty() {
        let comes_first = |one: &usize| {
            !waiting
                .iter()
                .any(|other| contained[*one].contains(&looked[*other].head))
        };
        // Nothing contains itself, so that there is one.
        let next = waiting.iter().position(comes_first).unwrap_or_default();
        order.push(waiting.remove(next));
    }
    Ok(order)
}

/// The heads of others that a branch contains. The target contains none of them, so that only the commits that it has
/// not are looked at.
fn heads_in(engine: &Engine, target: Oid, one: &Looked, heads: &HashSet<Oid>) -> Result<HashSet<Oid>, PlanError> {
    // Its own head is one of them.
    if one.merged.is_none() || one.branch.commits < 2 {
        return Ok(HashSet::new());
    }
    let mut contained: HashSet<Oid> = engine.ahead_of(one.head, target)?.into_iter().collect();
    contained.retain(|id| *id != one.head && heads.contains(id));
    Ok(contained)
}

/// A date, in Unix seconds, after those of all commits that are planned with: a predicted commit has it, as that which
/// it stands for would be the newest.
pub(super) fn newest(engine: &Engine, target: Oid, candidates: &[Candidate]) -> Result<i64, PlanError> {
    let mut newest = 0;
    for id in candidates.iter().map(|c| c.head).chain([target]) {
        let commit = engine.repository().find_commit(id);
        let commit = commit.map_err(GitError::libgit2("cannot read a commit"))?;
        newest = newest.max(commit.time().seconds());
    }
    Ok(newest + 1)
}
