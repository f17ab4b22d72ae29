//! Chooses the most branches that fit together: a largest set of vertices of which no two are connected, and which holds
//! no forbidden set. Pure.
//!
//! What does not touch each other is chosen apart: `exact` finds the best of up to [`MOST_EXACT`] vertices that hang
//! together, `greedy` a good choice of more.

mod exact;
mod greedy;

use std::collections::{BTreeMap, BTreeSet};

/// So many vertices that hang together are chosen from exactly.
const MOST_EXACT: usize = 32;

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

/// Vertices that hang together, by their places in `members`.
#[derive(Debug, Default)]
struct Part {
    /// The vertices, ascending.
    members: Vec<usize>,
    /// Of each, those that it is connected to.
    neighbours: Vec<Vec<usize>>,
    /// Sets of three and more.
    forbidden: Vec<Vec<usize>>,
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
    pub(super) fn forbid(&mut self, set: BTreeSet<usize>) {
        match *set.iter().collect::<Vec<_>>() {
            [&one] => self.leave_out(one),
            [&a, &b] => self.connect(a, b),
            _ => _ = self.forbidden.insert(set),
        }
    }

    /// This one conflicts with the target.
    pub(super) fn leave_out(&mut self, vertex: usize) {
        self.out.insert(vertex);
    }

    /// What hangs together by edges and forbidden sets, without what is left out.
    fn parts(&self) -> Vec<Part> {
        let open = |v: &usize| !self.out.contains(v);
        let edges = self.edges.iter().filter(|(a, b)| open(a) && open(b));
        let edges: Vec<(usize, usize)> = edges.copied().collect();
        let bites = |set: &&BTreeSet<usize>| {
            set.iter().all(open) && !edges.iter().any(|(a, b)| set.contains(a) && set.contains(b))
        };
        let forbidden: Vec<&BTreeSet<usize>> = self.forbidden.iter().filter(bites).collect();

        let mut part_of: Vec<usize> = (0..self.vertices).collect();
        let pairs = edges.iter().copied();
        let links = forbidden.iter().flat_map(|set| set.iter().zip(set.iter().skip(1)));
        for (a, b) in pairs.chain(links.map(|(a, b)| (*a, *b))) {
            let (kept, gone) = (part_of[a], part_of[b]);
            part_of.iter_mut().filter(|p| **p == gone).for_each(|p| *p = kept);
        }
        let mut parts: BTreeMap<usize, Part> = BTreeMap::new();
        let mut place = vec![0; self.vertices];
        for vertex in (0..self.vertices).filter(open) {
            let part = parts.entry(part_of[vertex]).or_default();
            place[vertex] = part.members.len();
            part.members.push(vertex);
            part.neighbours.push(Vec::new());
        }
        for (a, b) in edges {
            if let Some(part) = parts.get_mut(&part_of[a]) {
                part.neighbours[place[a]].push(place[b]);
                part.neighbours[place[b]].push(place[a]);
            }
        }
        for set in forbidden {
            let part = set.first().and_then(|v| parts.get_mut(&part_of[*v]));
            if let Some(part) = part {
                part.forbidden.push(set.iter().map(|v| place[*v]).collect());
            }
        }
        parts.into_values().collect()
    }
}

/// The most vertices that fit together; of several such sets the one whose vertices come first.
pub(super) fn choose(graph: &Graph) -> Choice {
    let mut choice = Choice {
        chosen: Vec::new(),
        optimal: true,
    };
    for part in graph.parts() {
        let good = greedy::choose(&part);
        let (best, optimal) = match part.members.len() {
            0..=MOST_EXACT => exact::choose(&part, &good),
            _ => (good, false),
        };
        choice.chosen.extend(best.into_iter().map(|place| part.members[place]));
        choice.optimal &= optimal;
    }
    choice.chosen.sort_unstable();
    choice
}

/// Graphs to try things on.
#[cfg(test)]
mod sample {
    use super::Graph;

    /// Numbers that look random and are always the same: xorshift.
    pub(super) struct Dice(u64);

    impl Dice {
        pub(super) fn of(seed: u64) -> Self {
            Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        }

        /// A number below `end`.
        pub(super) fn below(&mut self, end: usize) -> usize {
            for shift in [13, -7, 17] {
                self.0 ^= if shift > 0 { self.0 << shift } else { self.0 >> -shift };
            }
            usize::try_from((self.0 >> 11) % end as u64).unwrap()
        }
    }

    /// A graph in which each pair is connected in so many of a hundred cases, with forbidden sets of 1 to 5 vertices.
    pub(super) fn random(dice: &mut Dice, vertices: usize, percent: usize, sets: usize) -> Graph {
        let mut graph = Graph::new(vertices);
        for a in 0..vertices {
            for b in a + 1..vertices {
                if dice.below(100) < percent {
                    graph.connect(a, b);
                }
            }
        }
        for _ in 0..sets {
            let size = [3, 3, 3, 3, 4, 4, 5, 2, 1][dice.below(if vertices > 12 { 7 } else { 9 })];
            graph.forbid((0..size).map(|_| dice.below(vertices)).collect());
        }
        graph
    }

    /// Whether all of these fit together.
    pub(super) fn fit(graph: &Graph, chosen: &[usize]) -> bool {
        let has = |v: &usize| chosen.contains(v);
        !graph.out.iter().any(has)
            && !graph.edges.iter().any(|(a, b)| has(a) && has(b))
            && !graph.forbidden.iter().any(|set| set.iter().all(has))
    }
}

#[cfg(test)]
mod tests {
    use super::sample::{Dice, fit, random};
    use super::*;

    fn chosen(vertices: usize, edges: &[(usize, usize)], forbidden: &[&[usize]]) -> Vec<usize> {
        let mut graph = Graph::new(vertices);
        edges.iter().for_each(|(a, b)| graph.connect(*a, *b));
        forbidden
            .iter()
            .for_each(|set| graph.forbid(set.iter().copied().collect()));
        let choice = choose(&graph);
        assert!(choice.optimal);
        choice.chosen
    }

    #[test]
    fn the_most_that_fit_are_chosen_and_of_as_many_the_first() {
        assert!(chosen(0, &[], &[]).is_empty());
        assert_eq!(chosen(3, &[], &[]), [0, 1, 2]);
        // A star: its rays, not its middle.
        assert_eq!(chosen(4, &[(0, 1), (0, 2), (0, 3)], &[]), [1, 2, 3]);
        // Ties.
        assert_eq!(chosen(2, &[(0, 1)], &[]), [0]);
        assert_eq!(chosen(4, &[(0, 1), (1, 2), (2, 3)], &[]), [0, 2]);
        assert_eq!(chosen(5, &[(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)], &[]), [0, 2]);
        // Two parts, one in the other.
        assert_eq!(chosen(5, &[(0, 4), (1, 2), (2, 3)], &[]), [0, 1, 3]);
        // Three that fit two by two.
        assert_eq!(chosen(3, &[], &[&[0, 1, 2]]), [0, 1]);
        assert_eq!(chosen(4, &[(0, 1)], &[&[0, 2, 3]]), [1, 2, 3]);
        assert_eq!(chosen(5, &[], &[&[0, 1, 2], &[0, 3, 4]]), [1, 2, 3, 4]);
        // Of two, and of one.
        assert_eq!(chosen(3, &[], &[&[0, 1], &[2]]), [0]);
        // What cannot happen any more forbids nothing.
        assert_eq!(chosen(4, &[(0, 1)], &[&[0, 1, 2], &[1, 2, 3]]), [0, 2, 3]);
    }

    #[test]
    fn no_choice_of_a_random_graph_is_better() {
        for seed in 1..=300_u64 {
            let mut dice = Dice::of(seed);
            let (vertices, percent, sets) = (1 + dice.below(12), dice.below(70), dice.below(8));
            let graph = random(&mut dice, vertices, percent, sets);
            let subsets = (0..1_u32 << vertices).map(|bits| {
                let set: Vec<usize> = (0..vertices).filter(|v| bits >> v & 1 == 1).collect();
                set
            });
            let best = subsets
                .filter(|set| fit(&graph, set))
                .min_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
            let choice = choose(&graph);
            assert!(choice.optimal);
            assert_eq!(Some(choice.chosen), best, "seed {seed}: {graph:?}");
        }
    }

    #[test]
    fn what_is_left_out_is_not_chosen_and_is_in_nobodys_way() {
        let mut graph = Graph::new(4);
        graph.connect(0, 1);
        graph.forbid([0, 2, 3].into());
        graph.leave_out(0);
        assert_eq!(choose(&graph).chosen, [1, 2, 3]);
    }

    #[test]
    fn more_than_32_that_hang_together_are_not_said_to_be_chosen_best() {
        for (vertices, optimal) in [(32, true), (33, false)] {
            let mut path = Graph::new(vertices + 2);
            (1..vertices).for_each(|v| path.connect(v - 1, v));
            let choice = choose(&path);
            assert_eq!(choice.chosen.len(), vertices.div_ceil(2) + 2);
            assert_eq!(choice.optimal, optimal);
        }
        // Of no matter how many that do not.
        let mut graph = Graph::new(200);
        (0..100).for_each(|v| graph.connect(v, 199 - v));
        let choice = choose(&graph);
        assert_eq!((choice.chosen.len(), choice.optimal), (100, true));
    }
}
