//! Which two branches conflict: each is merged into the target after the other.

use std::collections::BTreeSet;

use super::choose::Graph;
use super::engine::{Ask, Merged};
use super::look::Looked;
use super::overlap::{self, Lone};
use super::plan::{PairConflict, Pairs, PlanError};
use super::walk::Ground;

/// Merges each pair of branches that merge into the target by themselves, but for those that surely merge. The vertices
/// of the graph are places in `order`; a branch that conflicts with the target stands alone in it.
pub(super) fn check(ground: &Ground, looked: &[Looked], order: &[usize]) -> Result<(Graph, Pairs), PlanError> {
    let mut graph = Graph::new(order.len());
    let (mut places, mut lone) = (Vec::new(), Vec::new());
    for (place, one) in order.iter().map(|i| &looked[*i]).enumerate() {
        let Some(Merged::Clean(tree)) = one.merged else {
            graph.leave_out(place);
            continue;
        };
        let merged = ground.commit(tree, ground.target, one.head)?;
        places.push(place);
        lone.push(Lone { head: one.head, merged });
    }
    let apart = match ground.engine.is_plain() {
        true => overlap::apart(ground.engine.repository(), ground.target, &lone)?,
        false => BTreeSet::new(),
    };
    let branch = |at: usize| &looked[order[places[at]]];
    let all = (0..lone.len()).flat_map(|first| (first + 1..lone.len()).map(move |second| (first, second)));
    let near: Vec<(usize, usize)> = all.filter(|pair| !apart.contains(pair)).collect();
    let ask = |(first, second): &(usize, usize)| Ask {
        after: Some(&branch(*first).branch.name),
        ..branch(*second).onto(lone[*first].merged)
    };
    let asked: Vec<Ask> = near.iter().map(ask).collect();
    let mut pairs = Pairs {
        checked: near.len() + apart.len(),
        merged: near.len(),
        conflicts: Vec::new(),
    };
    for ((first, second), merged) in near.iter().zip(ground.engine.merges_without_trees(&asked)?) {
        if let Merged::Conflicts { paths, .. } = merged {
            graph.connect(places[*first], places[*second]);
            pairs.conflicts.push(PairConflict {
                a: branch(*first).branch.name.clone(),
                b: branch(*second).branch.name.clone(),
                paths,
            });
        }
    }
    Ok((graph, pairs))
}
