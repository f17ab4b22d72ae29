//! Tells which pairs surely merge, so that git need not be asked.
//!
//! git merges the second branch (`theirs`) into the first one's merge with the target (`ours`) by comparing both with their
//! merge base. Common commits of `ours` and the second are the target's or the first one's; if the two share no commit that
//! the target has not, all are the target's, and the base is that of the second and the target. It is the same whether the
//! first was squashed or not. Without a single such base nothing is told.
//!
//! With that base nothing conflicts where only one side changed a path, unless
//! - a path of one side is a directory of the other's,
//! - one side adds, or renames, a file into a directory that is gone from the other, and so may have been renamed,
//! - a rename has its source or its new name among what the other side changed: both are paths that its own side changed.
//!
//! A path that both sides changed does no harm if it is on both, and in the base, and the first branch has it as the
//! target has it: then it merges as it does when the second branch is merged into the target alone, which is clean.
//! Attributes that the first changes may change that, and are left to git. Drivers, submodules and the rest of a merge
//! need a path that both changed. Names that differ only in case are two to git's merges.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use git2::{Oid, Repository};

use super::trees::{self, Changed, Entry};
use crate::git::GitError;

/// What one side of a merge changes against the base.
#[derive(Debug, Default)]
struct Side {
    /// What was changed: each path, whether it was there, and what it is.
    paths: BTreeMap<Vec<u8>, (bool, Option<Entry>)>,
    /// The directories above these.
    above: BTreeSet<Vec<u8>>,
    /// The directories that new paths are below.
    filled: BTreeSet<Vec<u8>>,
    /// The directories that are gone.
    gone: Vec<Vec<u8>>,
}

impl Side {
    fn between(repository: &Repository, base: Oid, side: Oid) -> Result<Self, GitError> {
        Ok(Self::of(trees::changed(repository, base, side)?))
    }

    fn of(changed: Changed) -> Self {
        let mut side = Self {
            gone: changed.gone,
            ..Self::default()
        };
        for (path, old, new) in changed.entries {
            side.above.extend(directories(&path).map(<[u8]>::to_vec));
            if old.is_none() {
                side.filled.extend(directories(&path).map(<[u8]>::to_vec));
            }
            side.paths.insert(path, (old.is_some(), new));
        }
        side
    }

    /// What of the attributes is not as in the base.
    fn attributes(&self) -> impl Iterator<Item = (&Vec<u8>, &(bool, Option<Entry>))> {
        self.paths.iter().filter(|(path, _)| trees::is_attributes(path))
    }

    fn fills_what_is_gone_from(&self, other: &Self) -> bool {
        other.gone.iter().any(|directory| self.filled.contains(directory))
    }

    fn is_above(&self, other: &Self) -> bool {
        self.paths.keys().any(|path| other.above.contains(path))
    }
}

/// The directories that a path is in.
fn directories(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().filter(|(_, b)| **b == b'/');
    slashes.map(|(at, _)| &path[..at])
}

/// Whether `theirs` surely merges into `ours`. All three are compared with the same base; `theirs` merges into `target`.
fn surely_merges(target: &Side, ours: &Side, theirs: &Side) -> bool {
    let harmless = |path: &Vec<u8>| match (ours.paths.get(path), theirs.paths.get(path), target.paths.get(path)) {
        (None, ..) | (_, None, _) => true,
        (Some((true, Some(ours))), Some((true, Some(_))), Some((true, Some(target)))) => ours == target,
        _ => false,
    };
    !ours.is_above(theirs)
        && !theirs.is_above(ours)
        && !ours.fills_what_is_gone_from(theirs)
        && !theirs.fills_what_is_gone_from(ours)
        && theirs.paths.keys().all(harmless)
        && ours.attributes().eq(target.attributes())
}

/// A branch that merges into the target.
pub(super) struct Lone {
    /// Its commit.
    pub head: Oid,
    /// That of its merge into the target.
    pub merged: Oid,
}

/// The pairs of these that surely merge, the first of them merged first. What libgit2 reads has to be what git reads.
pub(super) fn apart(repository: &Repository, target: Oid, lone: &[Lone]) -> Result<BTreeSet<(usize, usize)>, GitError> {
    let kin = kin(repository, target, lone)?;
    let mut by_base: BTreeMap<Oid, Vec<usize>> = BTreeMap::new();
    for (at, one) in lone.iter().enumerate() {
        let bases = repository.merge_bases(target, one.head);
        let bases = bases.map_err(GitError::libgit2("cannot find a merge base"))?;
        if let [base] = bases[..] {
            by_base.entry(base).or_default().push(at);
        }
    }
    let mut apart = BTreeSet::new();
    for (base, seconds) in by_base {
        let onto = Side::between(repository, base, target)?;
        let theirs = seconds.iter().map(|at| Side::between(repository, base, lone[*at].head));
        let theirs = theirs.collect::<Result<Vec<_>, _>>()?;
        for (first, one) in lone.iter().enumerate() {
            let ours = Side::between(repository, base, one.merged)?;
            let others = seconds.iter().zip(&theirs);
            let others = others.filter(|(second, _)| first < **second && kin[first] != kin[**second]);
            let merging = others.filter(|(_, theirs)| surely_merges(&onto, &ours, theirs));
            apart.extend(merging.map(|(second, _)| (first, *second)));
        }
    }
    Ok(apart)
}

/// The same number for branches that have a commit in common which the target has not, or have one with the same third.
fn kin(repository: &Repository, target: Oid, lone: &[Lone]) -> Result<Vec<usize>, GitError> {
    let mut kin: Vec<usize> = (0..lone.len()).collect();
    let mut owners: HashMap<Oid, usize> = HashMap::new();
    let mut walk = || -> Result<(), git2::Error> {
        for (at, one) in lone.iter().enumerate() {
            let mut walk = repository.revwalk()?;
            walk.push(one.head)?;
            walk.hide(target)?;
            for commit in walk {
                let owner = kin[*owners.entry(commit?).or_insert(at)];
                let own = kin[at];
                for one in kin.iter_mut().filter(|k| **k == own) {
                    *one = owner;
                }
            }
        }
        Ok(())
    };
    walk().map_err(GitError::libgit2("cannot compare the branches"))?;
    Ok(kin)
}

#[cfg(test)]
mod tests;
