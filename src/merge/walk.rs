//! Merges the branches that fit together one after the other on what has come of it so far, in predictions only.
//!
//! What conflicts although no two of them do is not merged together again: the choice is made anew without that set.

use std::collections::BTreeSet;

use git2::Oid;

use super::chain::{Chains, Link};
use super::choose::{Graph, choose};
use super::engine::{Engine, Merged};
use super::plan::{Mode, PlanError, Step};
use crate::git::GitError;

/// So many times the choice is made anew; after that, what conflicts is passed over.
const MOST_CHOICES: usize = 50;

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
    /// The commit after such a merge: `ours`, when there is nothing to commit.
    pub(super) fn commit(&self, tree: Oid, ours: Oid, theirs: Oid) -> Result<Oid, PlanError> {
        let parents = match self.mode {
            _ if self.is_nothing_new(tree, ours, theirs)? => return Ok(ours),
            Mode::Merge => &[ours, theirs][..],
            Mode::Squash => &[ours],
        };
        Ok(self.engine.commit(tree, parents, self.date)?)
    }

    fn is_nothing_new(&self, tree: Oid, ours: Oid, theirs: Oid) -> Result<bool, PlanError> {
        let repository = self.engine.repository();
        let look =
            || -> Result<bool, git2::Error> {
                let same = repository.find_commit(ours)?.tree_id() == tree;
                Ok(same
                    && (self.mode == Mode::Squash || ours == theirs || repository.graph_descendant_of(ours, theirs)?))
            };
        Ok(look().map_err(GitError::libgit2("cannot compare two commits"))?)
    }
}

/// What the merges give.
#[derive(Debug)]
pub(super) struct Walked {
    /// The merges.
    pub steps: Vec<Step>,
    /// The same with their commits.
    pub links: Vec<Link>,
    /// The commit after them.
    pub commit: Oid,
    /// Its tree.
    pub tree: Oid,
    /// Whether no other choice merges more.
    pub optimal: bool,
}

/// Chooses, merges, and tries at the end once more what was left out.
pub(super) fn walk(chains: &mut Chains, order: &[usize], graph: Graph) -> Result<Walked, PlanError> {
    let (mut links, optimal) = choose_and_merge(chains, order, graph)?;
    let target = chains.ground().target;
    let is_merged = |links: &[Link], branch: usize| links.iter().any(|link| link.branch == branch);
    let mut aside: Vec<usize> = order.iter().copied().filter(|b| !is_merged(&links, *b)).collect();
    loop {
        let ours = links.last().map_or(target, |link| link.commit);
        let merges = chains.merges(ours, &aside)?;
        let clean = merges.into_iter().enumerate().find_map(|(at, merged)| match merged {
            Merged::Clean(tree) => Some((at, tree)),
            Merged::Conflicts { .. } => None,
        });
        let Some((at, tree)) = clean else {
            break;
        };
        links.push(chains.link(tree, ours, aside.remove(at))?);
    }
    let commit = links.last().map_or(target, |link| link.commit);
    let tree = chains.ground().engine.repository().find_commit(commit);
    let step = |link: &Link| Step {
        branch: chains.looked[link.branch].branch.name.clone(),
        tree: link.tree.to_string(),
    };
    Ok(Walked {
        steps: links.iter().map(step).collect(),
        links,
        commit,
        tree: tree
            .map_err(GitError::libgit2("cannot read what was merged"))?
            .tree_id(),
        optimal: optimal || aside.is_empty(),
    })
}

/// Merges the most that fit together; tells whether no other choice merges more.
fn choose_and_merge(chains: &mut Chains, order: &[usize], mut graph: Graph) -> Result<(Vec<Link>, bool), PlanError> {
    let mut choice = choose(&graph);
    let mut choices = 1;
    loop {
        let branches: Vec<usize> = choice.chosen.iter().map(|place| order[*place]).collect();
        let chain = chains.through(&branches)?;
        let Some(conflicts) = chain.conflicts else {
            return Ok((chain.links, choice.optimal));
        };
        if choices == MOST_CHOICES {
            choice.chosen.remove(chain.links.len());
            choice.optimal = false;
            continue;
        }
        choices += 1;
        let mut set = chains.needed(&chain.links, conflicts, &|_| true)?;
        set.push(conflicts);
        let places = (0..order.len()).filter(|place| set.contains(&order[*place]));
        graph.forbid(places.collect::<BTreeSet<usize>>());
        choice = choose(&graph);
    }
}
