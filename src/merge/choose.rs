//! Chooses the most branches that fit together: a largest set of vertices of which no two are connected, and which holds
//! no forbidden set. Pure.

use std::collections::BTreeSet;

/// Which branches do not fit together. Vertices are places in the order in which branches are merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Graph {
    vertices: usize,
    /// Pairs, the lower first.
    edges: BTreeSet<(usize, usize)>,
    /// Sets of three and more that conflict although no two of them do.
    forbidden: BTreeSet<BTreeSet<usize>>,
    /// What cannot be chosen at all.
    out: BTreeSet<usize>,
}

/// A choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// The vertices, ascending.
    pub chosen: Vec<usize>,
    /// Whether no choice has more.
    pub optimal: bool,
}

impl Graph {
    pub(super) fn new(vertices: usize) -> Self {
        Self {
            vertices,
            edges: BTreeSet::new(),
            forbidden: BTreeSet::new(),
            out: BTreeSet::new(),
        }
    }

    /// These two conflict.
    pub(super) fn connect(&mut self, a: usize, b: usize) {
        self.edges.insert((a.min(b), a.max(b)));
    }

    /// These conflict when all of them are there.
    #[cfg(test)]
    pub(super) fn forbid(&mut self, set: BTreeSet<usize>) {
        self.forbidden.insert(set);
    }

    /// This one conflicts with the target.
    pub(super) fn leave_out(&mut self, vertex: usize) {
        self.out.insert(vertex);
    }
}

/// The most vertices that fit together; of several such sets the one whose vertices come first.
pub(super) fn choose(graph: &Graph) -> Choice {
    let mut chosen: Vec<usize> = Vec::new();
    for vertex in (0..graph.vertices).filter(|v| !graph.out.contains(v)) {
        let fits = chosen.iter().all(|c| !graph.edges.contains(&(*c, vertex)));
        let whole = |set: &BTreeSet<usize>| set.iter().all(|v| *v == vertex || chosen.contains(v));
        if fits && !graph.forbidden.iter().any(|set| set.contains(&vertex) && whole(set)) {
            chosen.push(vertex);
        }
    }
    Choice { chosen, optimal: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forbidden_is_not_chosen() {
        let mut graph = Graph::new(4);
        graph.connect(0, 1);
        graph.forbid([0, 2, 3].into());
        assert_eq!(choose(&graph).chosen, [0, 2]);
    }
}
