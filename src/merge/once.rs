//! Counts what a task's branch has from those that it depends on where it comes from: with them, and not again.
//!
//! Such a branch contains the others, so that merging it after them adds only what is its own, with the merge that it
//! started from where there are several. What it contains of branches that are not planned counts as its own: it lands
//! with it.

use std::collections::HashSet;

use git2::Oid;

use super::engine::Engine;
use super::look::Looked;
use super::plan::{Candidate, PlanError};
use crate::git::changes_between;

/// Counts each branch that starts from others which are planned too by what it adds to them.
pub(super) fn count_once(
    engine: &Engine,
    target: Oid,
    candidates: &[Candidate],
    looked: &mut [Looked],
) -> Result<(), PlanError> {
    let planned: Vec<bool> = looked.iter().map(|one| one.merged.is_some()).collect();
    // All that the target has not, as none is counted anew yet.
    let reach: Vec<usize> = looked.iter().map(|one| one.branch.commits).collect();
    for (index, candidate) in candidates.iter().enumerate().filter(|(index, _)| planned[*index]) {
        let Some(base) = candidate.base else { continue };
        let inside: HashSet<Oid> = engine.ahead_of(base, target)?.into_iter().collect();
        if inside.is_empty() {
            continue;
        }
        let comes_before = |other: usize| {
            let theirs = &candidates[other];
            // Of those that have nothing of their own the first counts as what the others start from.
            let has_own = theirs.base != Some(theirs.head) || other < index;
            other != index && planned[other] && has_own && inside.contains(&theirs.head)
        };
        let others: Vec<usize> = (0..candidates.len()).filter(|other| comes_before(*other)).collect();
        let Some(most) = others.iter().max_by_key(|other| reach[**other]) else {
            continue;
        };
        let most = candidates[*most].head;
        let known: Vec<Oid> = others.iter().map(|o| candidates[*o].head).chain([target]).collect();
        let own = engine.ahead_of_all(candidate.head, &known)?;
        if let Some(from) = start(engine, target, base, most, &known)? {
            let [from, to] = [from, candidate.head].map(|id| engine.stand_in(id));
            let changes = changes_between(engine.repository(), from, to)?;
            let branch = &mut looked[index].branch;
            branch.commits = own.len();
            branch.files_changed = changes.files_changed;
            branch.renames = changes.renames;
            branch.insertions = changes.insertions;
            branch.deletions = changes.deletions;
        }
    }
    Ok(())
}

/// A commit that has just what those give together that are `known`, the target among them; none where that is not to be
/// had. `most` is the one of them that has the most commits which the target has not.
fn start(engine: &Engine, target: Oid, base: Oid, most: Oid, known: &[Oid]) -> Result<Option<Oid>, PlanError> {
    // If one contains all others, it is that; to compare each two takes minutes where many stand on each other.
    let has: HashSet<Oid> = engine.ahead_of(most, target)?.into_iter().collect();
    if known.iter().all(|one| *one == target || has.contains(one)) {
        return Ok(Some(most));
    }
    // Or the merge of all of them: besides what they have it has only merges.
    for commit in engine.ahead_of_all(base, known)? {
        if engine.parents(commit)? < 2 {
            return Ok(None);
        }
    }
    Ok(Some(base))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use git2::{Repository, Signature, Time};

    use super::super::{MergePlan, Mode, PlanRequest, Target, look, plan};
    use super::*;
    use crate::git::Drivers;

    /// A target and a chain of branches on it, each with a file of its own, of tasks that started from the one before.
    fn chain(dir: &Path, length: usize) -> (Oid, Vec<Candidate>) {
        let repository = Repository::init_bare(dir).unwrap();
        let mut files = repository.treebuilder(None).unwrap();
        let mut tip: Option<Oid> = None;
        let mut commit = |number: usize| {
            let blob = repository.blob(b"x\n").unwrap();
            files.insert(format!("f{number}"), blob, 0o100_644).unwrap();
            let tree = repository.find_tree(files.write().unwrap()).unwrap();
            let who = Signature::new("a", "a@b", &Time::new(1, 0)).unwrap();
            let parent = tip.map(|id| repository.find_commit(id).unwrap());
            let parents: Vec<_> = parent.iter().collect();
            let made = repository.commit(None, &who, &who, "c", &tree, &parents).unwrap();
            tip = Some(made);
            made
        };
        let target = commit(0);
        let mut base = target;
        let candidates = (1..=length).map(|number| {
            let head = commit(number);
            let name = format!("b{number}");
            let candidate = Candidate {
                revision: name.clone(),
                name,
                is_branch: true,
                head,
                task_id: None,
                title: String::new(),
                base: Some(base),
            };
            base = head;
            candidate
        });
        (target, candidates.collect())
    }

    fn planned(dir: &Path, target: Oid, candidates: Vec<Candidate>, mode: Mode) -> MergePlan {
        let request = PlanRequest {
            common_dir: dir,
            target: Target {
                branch: None,
                commit: target.to_string(),
            },
            candidates,
            missing: Vec::new(),
            mode,
            known: &Drivers::new(),
        };
        plan(&request).unwrap()
    }

    #[test]
    fn what_a_task_started_from_is_merged_before_it_wherever_it_stands_in_the_list() {
        for mode in [Mode::Merge, Mode::Squash] {
            let dir = tempfile::tempdir().unwrap();
            let (target, mut candidates) = chain(dir.path(), 4);
            candidates.reverse();
            let plan = planned(dir.path(), target, candidates, mode);
            let steps: Vec<&str> = plan.steps.iter().map(|step| step.branch.as_str()).collect();
            assert_eq!(steps, ["b1", "b2", "b3", "b4"]);
            let counted: Vec<_> = plan.branches.iter().map(|b| (b.commits, b.files_changed)).collect();
            assert_eq!(counted, [(1, 1); 4]);
        }
    }

    #[test]
    fn of_a_long_chain_each_has_only_what_is_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let (target, mut candidates) = chain(dir.path(), 60);
        // In any order: 37 and 60 have no common divisor.
        candidates = (0..60).map(|n| candidates[n * 37 % 60].clone()).collect();
        let (engine, _) = Engine::new(dir.path(), &Drivers::new()).unwrap();
        let mut looked = look::look(&engine, target, &candidates).unwrap();
        count_once(&engine, target, &candidates, &mut looked).unwrap();
        let own = |one: &Looked| (one.branch.commits, one.branch.files_changed) == (1, 1);
        assert!(looked.iter().all(own));
    }
}
