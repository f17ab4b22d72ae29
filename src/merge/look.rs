//! Looks at each branch by itself: what it changes, and how it stands to the target.

use std::cmp::Reverse;

use git2::{Oid, Repository};

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
        }
    }
}

/// Looks at all of them.
pub(super) fn look(engine: &Engine, target: Oid, candidates: &[Candidate]) -> Result<Vec<Looked>, PlanError> {
    let mut looked = candidates
        .iter()
        .map(|c| look_at(engine.repository(), target, c))
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
fn look_at(repository: &Repository, target: Oid, candidate: &Candidate) -> Result<Looked, PlanError> {
    let head = candidate.head;
    let merge_base = repository.merge_base(target, head).ok();
    let changes = changes_between(repository, merge_base.unwrap_or(target), head)?;
    // Not those since the merge base: there may be several of these.
    let ahead = repository.graph_ahead_behind(head, target);
    let (commits, _) = ahead.map_err(GitError::libgit2(format!(
        "cannot count the commits of {}",
        candidate.name
    )))?;
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
pub(super) fn merge_order(engine: &Engine, looked: &[Looked]) -> Result<Vec<usize>, PlanError> {
    let open = |l: &Looked| l.merged.is_some();
    let mut waiting: Vec<usize> = (0..looked.len()).filter(|i| open(&looked[*i])).collect();
    let mut order = Vec::new();
    while !waiting.is_empty() {
        let mut next = 0;
        for (at, one) in waiting.iter().enumerate() {
            let mut follows = false;
            for other in &waiting {
                let contains = engine
                    .repository()
                    .graph_descendant_of(looked[*one].head, looked[*other].head);
                follows |= contains.map_err(GitError::libgit2("cannot compare two branches"))?;
            }
            if !follows {
                next = at;
                break;
            }
        }
        order.push(waiting.remove(next));
    }
    Ok(order)
}

/// A date, in Unix seconds, after those of all commits that are planned with: a predicted commit has it, as that which
/// it stands for would be the newest.
pub(super) fn newest(engine: &Engine, target: Oid, candidates: &[Candidate]) -> Result<i64, PlanError> {
    let dates = candidates.iter().map(|c| c.head).chain([target]).map(|id| {
        let commit = engine.repository().find_commit(id);
        commit.map(|c| Reverse(c.time().seconds()))
    });
    let mut newest = 0;
    for date in dates {
        let Reverse(date) = date.map_err(GitError::libgit2("cannot read a commit"))?;
        newest = newest.max(date);
    }
    Ok(newest + 1)
}
