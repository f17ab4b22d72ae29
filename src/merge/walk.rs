//! Merges the branches that fit together one after the other on what has come of it so far, in predictions only.
//!
//! What conflicts although no two of them do is not merged together again: the choice is made anew without that set.

use std::collections::BTreeSet;

use git2::Oid;

use super::chain::{Chains, Link};
use super::choose::{Graph, choose};
use super::engine::{Engine, Merged};
use super::plan::{Mode, PlanError, Step};

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
        let same = self.engine.tree_of(ours)? == tree;
        Ok(same && (self.mode == Mode::Squash || self.engine.contains(ours, theirs)?))
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
    let step = |link: &Link| Step {
        branch: chains.looked[link.branch].branch.name.clone(),
        tree: link.tree.to_string(),
    };
    Ok(Walked {
        steps: links.iter().map(step).collect(),
        links,
        commit,
        tree: chains.ground().engine.tree_of(commit)?,
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use git2::{Repository, Signature};

    use super::super::{Candidate, LeftOut, MergePlan, PlanRequest, Target, plan};
    use super::*;
    use crate::git::Drivers;

    /// A commit of one file, `f`.
    fn commit(repository: &Repository, parent: Option<Oid>, content: &str) -> Oid {
        let mut tree = repository.treebuilder(None).unwrap();
        tree.insert("f", repository.blob(content.as_bytes()).unwrap(), 0o100_644)
            .unwrap();
        let tree = repository.find_tree(tree.write().unwrap()).unwrap();
        let who = Signature::new("a", "a@b", &git2::Time::new(1, 0)).unwrap();
        let parent = parent.map(|id| repository.find_commit(id).unwrap());
        let parents: Vec<_> = parent.iter().collect();
        repository.commit(None, &who, &who, "c", &tree, &parents).unwrap()
    }

    fn planned(dir: &Path, target: Oid, heads: &[(&str, Oid)], mode: Mode) -> MergePlan {
        let candidate = |(name, head): &(&str, Oid)| Candidate {
            name: (*name).to_owned(),
            revision: (*name).to_owned(),
            is_branch: true,
            head: *head,
            task_id: None,
            title: String::new(),
            base: None,
        };
        plan(&PlanRequest {
            common_dir: dir,
            target: Target {
                branch: None,
                commit: target.to_string(),
            },
            candidates: heads.iter().map(candidate).collect(),
            missing: Vec::new(),
            mode,
            known: &Drivers::new(),
        })
        .unwrap()
    }

    #[test]
    fn what_is_stacked_merges_after_a_merge_and_may_collide_after_a_squash() {
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::init_bare(dir.path()).unwrap();
        let target = commit(&repository, None, "1\n2\n3\n4\n5\n");
        let a = commit(&repository, Some(target), "a\n2\n3\n4\n5\n");
        let b = commit(&repository, Some(a), "b\n2\n3\n4\n5\n");
        let c = commit(&repository, Some(target), "1\n2\n3\n4\nc\n");
        // The same as in `a`: nothing is left to commit after it.
        let d = commit(&repository, Some(target), "a\n2\n3\n4\n5\n");
        let heads = [("b", b), ("a", a), ("c", c), ("d", d)];
        for (mode, merged, left_out) in [
            (Mode::Merge, vec!["a", "c", "d", "b"], vec![]),
            (Mode::Squash, vec!["a", "c", "d"], vec![("b", vec!["a", "d"])]),
        ] {
            let plan = planned(dir.path(), target, &heads, mode);
            let steps: Vec<&str> = plan.steps.iter().map(|s| s.branch.as_str()).collect();
            assert_eq!(steps, merged);
            assert_eq!(plan.steps[1].tree, plan.steps[2].tree);
            let with = |left: &LeftOut| left.with.clone();
            let left: Vec<(&str, Vec<String>)> = plan.left_out.iter().map(|l| (l.branch.as_str(), with(l))).collect();
            let expected = left_out.iter().map(|(name, with): &(&str, Vec<&str>)| {
                let with = with.iter().map(|w| (*w).to_owned());
                (*name, with.collect())
            });
            assert_eq!(left, expected.collect::<Vec<_>>());
        }
    }
}
