//! Which two branches conflict: each is merged into the target after the other.

use super::choose::Graph;
use super::engine::{Ask, Merged};
use super::look::Looked;
use super::plan::{PairConflict, Pairs, PlanError};
use super::walk::Ground;

/// Merges each pair of branches that merge into the target by themselves. The vertices of the graph are places in
/// `order`; a branch that conflicts with the target stands alone in it.
pub(super) fn check(ground: &Ground, looked: &[Looked], order: &[usize]) -> Result<(Graph, Pairs), PlanError> {
    let mut graph = Graph::new(order.len());
    let mut pairs = Pairs::default();
    for (at, first) in order.iter().map(|i| &looked[*i]).enumerate() {
        let Some(Merged::Clean(tree)) = first.merged else {
            graph.leave_out(at);
            continue;
        };
        let ours = ground.commit(tree, ground.target, first.head)?;
        let later: Vec<(usize, &Looked)> = order
            .iter()
            .map(|i| &looked[*i])
            .enumerate()
            .skip(at + 1)
            .filter(|(_, l)| matches!(l.merged, Some(Merged::Clean(_))))
            .collect();
        let asked: Vec<Ask> = later.iter().map(|(_, l)| l.onto(ours)).collect();
        pairs.checked += asked.len();
        pairs.merged += asked.len();
        for ((place, second), merged) in later.iter().zip(ground.engine.merges(&asked)?) {
            if let Merged::Conflicts { paths, .. } = merged {
                graph.connect(at, *place);
                pairs.conflicts.push(PairConflict {
                    a: first.branch.name.clone(),
                    b: second.branch.name.clone(),
                    paths,
                });
            }
        }
    }
    Ok((graph, pairs))
}
