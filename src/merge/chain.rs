//! Merges branches one after the other, in predictions only, and remembers each merge: none is made twice.
//!
//! `walk` goes with it, `explain` asks it which merges a conflict needs. All that it tells was said by git.

use std::collections::HashMap;
use std::path::Path;

use git2::Oid;

use super::engine::{Ask, Conflict, Merged};
use super::guess::guess;
use super::look::Looked;
use super::plan::PlanError;
use super::walk::Ground;
use crate::git::GitError;

/// Merges that stand on each other, and all that were made.
pub(super) struct Chains<'g> {
    ground: &'g Ground<'g>,
    /// What can be merged. Branches are named by their places in it.
    pub looked: &'g [Looked],
    /// By the commit that was merged into, and the branch.
    known: HashMap<(Oid, usize), Merged>,
}

/// A branch that was merged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// Which.
    pub branch: usize,
    /// The commit after it.
    pub commit: Oid,
    /// Its tree.
    pub tree: Oid,
}

/// What merging some branches one after the other gives.
#[derive(Debug)]
pub(super) struct Chain {
    /// Those that merged.
    pub links: Vec<Link>,
    /// The one that did not, at which it ends.
    pub conflicts: Option<usize>,
}

impl<'g> Chains<'g> {
    /// Begins with what looking at each branch has told.
    pub(super) fn new(ground: &'g Ground<'g>, looked: &'g [Looked]) -> Self {
        let known = looked.iter().enumerate().filter_map(|(branch, one)| {
            let merged = one.merged.clone()?;
            Some(((ground.target, branch), merged))
        });
        Self {
            ground,
            looked,
            known: known.collect(),
        }
    }

    /// Where every chain begins.
    pub(super) fn ground(&self) -> &'g Ground<'g> {
        self.ground
    }

    /// What merging each of these branches into this commit gives.
    pub(super) fn merges(&mut self, ours: Oid, branches: &[usize]) -> Result<Vec<Merged>, PlanError> {
        self.ask(branches.iter().map(|branch| (ours, *branch)).collect())?;
        Ok(branches
            .iter()
            .map(|branch| self.known[&(ours, *branch)].clone())
            .collect())
    }

    /// What merging this branch into this commit gives.
    pub(super) fn merge(&mut self, ours: Oid, branch: usize) -> Result<Merged, PlanError> {
        if let Some(merged) = self.known.get(&(ours, branch)) {
            return Ok(merged.clone());
        }
        let merged = self.ground.engine.merge(self.looked[branch].onto(ours))?;
        self.known.insert((ours, branch), merged.clone());
        Ok(merged)
    }

    /// Asks git for what is not known yet, all at once.
    fn ask(&mut self, mut merges: Vec<(Oid, usize)>) -> Result<(), PlanError> {
        merges.retain(|merge| !self.known.contains_key(merge));
        let asked: Vec<Ask> = merges.iter().map(|(ours, b)| self.looked[*b].onto(*ours)).collect();
        let merged = self.ground.engine.merges(&asked)?;
        self.known.extend(merges.into_iter().zip(merged));
        Ok(())
    }

    /// Merges these into the target, as far as they merge.
    pub(super) fn through(&mut self, branches: &[usize]) -> Result<Chain, PlanError> {
        self.foresee(branches)?;
        let mut links: Vec<Link> = Vec::new();
        for branch in branches {
            let ours = links.last().map_or(self.ground.target, |link| link.commit);
            match self.merge(ours, *branch)? {
                Merged::Clean(tree) => links.push(self.link(tree, ours, *branch)?),
                Merged::Conflicts { .. } => {
                    let conflicts = Some(*branch);
                    return Ok(Chain { links, conflicts });
                }
            }
        }
        Ok(Chain { links, conflicts: None })
    }

    /// Has git make the merges that will probably be needed, all at once. A wrong guess costs a merge that nobody asks
    /// for: those after it are then made one by one.
    fn foresee(&mut self, branches: &[usize]) -> Result<(), PlanError> {
        let mut ours = self.ground.target;
        let mut likely = Vec::new();
        for branch in branches {
            let known = self.known.get(&(ours, *branch)).cloned();
            let guessed = || guess(self.ground.engine.repository(), ours, self.looked[*branch].head);
            let merged = match known.or_else(|| guessed().map(Merged::Clean)) {
                Some(merged) => merged,
                None => self.merge(ours, *branch)?,
            };
            likely.push((ours, *branch));
            let Merged::Clean(tree) = merged else {
                break;
            };
            ours = self.link(tree, ours, *branch)?.commit;
        }
        self.ask(likely)
    }

    /// What comes of such a merge.
    pub(super) fn link(&self, tree: Oid, ours: Oid, branch: usize) -> Result<Link, PlanError> {
        let commit = self.ground.commit(tree, ours, self.looked[branch].head)?;
        Ok(Link { branch, commit, tree })
    }

    /// Which of the branches that were merged it takes for `last` to conflict in a way that `counts`: without any one of
    /// them it does not.
    pub(super) fn needed(
        &mut self,
        merged: &[Link],
        last: usize,
        counts: &dyn Fn(&Conflict) -> bool,
    ) -> Result<Vec<usize>, PlanError> {
        let ours = merged.last().map_or(self.ground.target, |link| link.commit);
        let mut needed: Vec<usize> = merged.iter().map(|link| link.branch).collect();
        if let Merged::Conflicts { paths, .. } = self.merge(ours, last)? {
            let paths: Vec<Conflict> = paths.into_iter().filter(counts).collect();
            let touching = self.touching(merged, &paths)?;
            if self.collide(&touching, last, counts)? {
                needed = touching;
            }
        }
        let mut size = needed.len();
        loop {
            size = size.div_ceil(2).max(1);
            let (before, mut at) = (needed.len(), 0);
            while at < needed.len() {
                let end = needed.len().min(at + size);
                let rest = [&needed[..at], &needed[end..]].concat();
                if self.collide(&rest, last, counts)? {
                    needed = rest;
                } else {
                    at = end;
                }
            }
            if size == 1 && needed.len() == before {
                return Ok(needed);
            }
        }
    }

    /// Those whose merge changed what stands at one of the paths.
    fn touching(&self, merged: &[Link], paths: &[Conflict]) -> Result<Vec<usize>, PlanError> {
        let repository = self.ground.engine.repository();
        let at_paths = |tree: Oid| -> Result<Vec<Option<Oid>>, git2::Error> {
            let tree = repository.find_tree(tree)?;
            let at = |c: &Conflict| tree.get_path(Path::new(&c.path)).ok().map(|e| e.id());
            Ok(paths.iter().map(at).collect())
        };
        let find = || -> Result<Vec<usize>, git2::Error> {
            let mut before = at_paths(repository.find_commit(self.ground.target)?.tree_id())?;
            let mut touching = Vec::new();
            for link in merged {
                let after = at_paths(link.tree)?;
                if after != before {
                    touching.push(link.branch);
                }
                before = after;
            }
            Ok(touching)
        };
        Ok(find().map_err(GitError::libgit2("cannot compare what was merged"))?)
    }

    /// Whether these merge, and `last` then conflicts in a way that counts.
    fn collide(
        &mut self,
        branches: &[usize],
        last: usize,
        counts: &dyn Fn(&Conflict) -> bool,
    ) -> Result<bool, PlanError> {
        let chain = self.through(branches)?;
        if chain.conflicts.is_some() {
            return Ok(false);
        }
        let ours = chain.links.last().map_or(self.ground.target, |link| link.commit);
        Ok(match self.merge(ours, last)? {
            Merged::Clean(_) => false,
            Merged::Conflicts { paths, .. } => paths.iter().any(counts),
        })
    }
}
