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
        let before: Vec<Oid> = (0..candidates.len())
            .filter(|other| comes_before(*other))
            .map(|o| candidates[o].head)
            .collect();
        if before.is_empty() {
            continue;
        }
        let known: Vec<Oid> = before.iter().copied().chain([target]).collect();
        let own = engine.ahead_of_all(candidate.head, &known)?;
        if let Some(from) = start(engine, base, &before, &known)? {
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

/// A commit that has just what those before it give together; none where that is not to be had.
fn start(engine: &Engine, base: Oid, before: &[Oid], known: &[Oid]) -> Result<Option<Oid>, PlanError> {
    // The one that contains all others.
    for one in before {
        let mut others = before.iter().filter(|other| *other != one);
        if others.try_fold(true, |all, other| {
            Ok::<_, PlanError>(all && engine.contains(*one, *other)?)
        })? {
            return Ok(Some(*one));
        }
    }
    // Or the merge of all of them: besides what they have it has only merges.
    for commit in engine.ahead_of_all(base, known)? {
        if engine.parents(commit)? < 2 {
            return Ok(None);
        }
    }
    Ok(Some(base))
}
