//! The best choice of few vertices: branch and bound over bit masks.
//!
//! First how many can be chosen, then, vertex by vertex, whether as many can with this one. The work is bounded by the
//! steps it takes, not by time: the same graph gives the same choice everywhere.

use super::{MOST_EXACT, Part};

/// So many steps are taken at most: some tenths of a second.
const MOST_STEPS: usize = 100_000;

/// Chooses, given a good choice to start from; tells whether none has more vertices.
pub(super) fn choose(part: &Part, good: &[usize]) -> (Vec<usize>, bool) {
    let (chosen, optimal, _) = choose_in(part, good, MOST_STEPS);
    (chosen, optimal)
}

/// The same in so many steps, with how many were not needed.
fn choose_in(part: &Part, good: &[usize], steps: usize) -> (Vec<usize>, bool, usize) {
    let all = Rest::new(part);
    let good = good.iter().fold(0, |mask, v| mask | bit(*v));
    let mut search = Search {
        best: good,
        beaten: size(good),
        enough: u32::MAX,
        steps,
    };
    search.go(0, &all);
    let optimal = search.steps > 0;
    // As many, but of those that come first.
    search.enough = size(search.best);
    let (mut chosen, mut rest) = (0, all);
    while search.steps > 0 && rest.open != 0 {
        let first = rest.open & rest.open.wrapping_neg();
        let with = rest.with(first);
        if search.best & first == 0 {
            search.beaten = search.enough - 1;
            search.go(chosen | first, &with);
        }
        if search.best & first == 0 {
            rest = rest.without(first);
        } else {
            chosen |= first;
            rest = with;
        }
    }
    (bits(search.best).collect(), optimal, search.steps)
}

/// What is searched for, and what was found.
struct Search {
    /// The best so far.
    best: u32,
    /// A choice has to have more vertices than this to become it.
    beaten: u32,
    /// No more vertices than this are looked for.
    enough: u32,
    /// The steps that are left.
    steps: usize,
}

impl Search {
    /// Looks for what can be added to `chosen`.
    fn go(&mut self, chosen: u32, rest: &Rest) {
        if self.steps == 0 || self.beaten >= self.enough || size(chosen) + rest.most() <= self.beaten {
            return;
        }
        self.steps -= 1;
        if let Some(easy) = rest.easy() {
            return self.go(chosen | easy, &rest.with(easy));
        }
        let Some(hard) = rest.hardest() else {
            // Nothing is left, and it is more than was found before.
            self.best = chosen;
            self.beaten = size(chosen);
            return;
        };
        self.go(chosen | hard, &rest.with(hard));
        self.go(chosen, &rest.without(hard));
    }
}

/// What can still be chosen, and what of it does not fit together.
#[derive(Clone)]
struct Rest {
    open: u32,
    /// Of each open vertex, the open ones that it is connected to.
    neighbours: [u32; MOST_EXACT],
    /// Sets of three and more open vertices.
    forbidden: Vec<u32>,
}

impl Rest {
    fn new(part: &Part) -> Self {
        let mask = |places: &Vec<usize>| places.iter().fold(0, |mask, v| mask | bit(*v));
        let mut neighbours = [0; MOST_EXACT];
        for (mine, places) in neighbours.iter_mut().zip(&part.neighbours) {
            *mine = mask(places);
        }
        Self {
            open: (0..part.members.len()).fold(0, |mask, v| mask | bit(v)),
            neighbours,
            forbidden: part.forbidden.iter().map(mask).collect(),
        }
    }

    /// What is left when this vertex is chosen.
    fn with(&self, vertex: u32) -> Self {
        let mut rest = self.without(vertex | self.neighbours[place(vertex)]);
        for set in &self.forbidden {
            let left = set & !vertex;
            // Where it still counts, it is one of more than two vertices without this one, or has become an edge.
            if left != *set && left & !rest.open == 0 && size(left) == 2 {
                let (low, high) = (left & left.wrapping_neg(), left & (left - 1));
                rest.neighbours[place(low)] |= high;
                rest.neighbours[place(high)] |= low;
            } else if left != *set && left & !rest.open == 0 {
                rest.forbidden.push(left);
            }
        }
        let Self {
            neighbours, forbidden, ..
        } = &mut rest;
        // A set with an edge in it forbids nothing more.
        forbidden.retain(|set| bits(*set).all(|v| neighbours[v] & set == 0));
        rest
    }

    /// What is left when none of these is chosen.
    fn without(&self, gone: u32) -> Self {
        let open = self.open & !gone;
        let mut neighbours = self.neighbours;
        neighbours.iter_mut().for_each(|n| *n &= open);
        let forbidden = self.forbidden.iter().copied().filter(|set| set & !open == 0);
        Self {
            open,
            neighbours,
            forbidden: forbidden.collect(),
        }
    }

    /// A vertex that can be chosen at no cost: it is in no forbidden set, and of those that it is connected to only one
    /// could be chosen in its place.
    fn easy(&self) -> Option<u32> {
        let sets = self.forbidden.iter().fold(0, |all, set| all | set);
        let easy = |v: &usize| {
            let around = self.neighbours[*v];
            bits(around).all(|n| around & !bit(n) & !self.neighbours[n] == 0)
        };
        bits(self.open & !sets).find(easy).map(bit)
    }

    /// The vertex with which most is decided.
    fn hardest(&self) -> Option<u32> {
        let weight = |v: &usize| {
            let sets = self.forbidden.iter().filter(|set| *set & bit(*v) != 0);
            let sets: u32 = sets.map(|set| if size(*set) == 3 { 2 } else { 1 }).sum();
            4 * size(self.neighbours[*v]) + sets
        };
        // The last of the heaviest.
        bits(self.open).max_by_key(weight).map(bit)
    }

    /// No more vertices than this fit together: one of those that are all connected, and all but one of a forbidden set.
    fn most(&self) -> u32 {
        let (mut left, mut alone, mut most) = (self.open, 0, 0);
        while left != 0 {
            let first = left & left.wrapping_neg();
            let mut clique = first;
            let mut around = left & self.neighbours[place(first)];
            while around != 0 {
                let next = around & around.wrapping_neg();
                clique |= next;
                around &= self.neighbours[place(next)];
            }
            left &= !clique;
            most += 1;
            if clique == first {
                alone |= first;
            }
        }
        for set in &self.forbidden {
            if set & !alone == 0 {
                alone &= !set;
                most -= 1;
            }
        }
        most
    }
}

fn bit(place: usize) -> u32 {
    1 << place
}

fn place(bit: u32) -> usize {
    bit.trailing_zeros() as usize
}

fn size(set: u32) -> u32 {
    set.count_ones()
}

/// The places of a set, ascending.
fn bits(set: u32) -> impl Iterator<Item = usize> {
    (0..MOST_EXACT).filter(move |v| set >> v & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::super::greedy;
    use super::super::sample::{Dice, fit, random};
    use super::super::{Graph, Part};
    use super::*;

    /// The steps that the largest part of a graph takes.
    fn steps(graph: &Graph) -> usize {
        let parts = graph.parts();
        let part = parts.iter().max_by_key(|p| p.members.len()).unwrap();
        let (chosen, optimal, left) = choose_in(part, &greedy::choose(part), MOST_STEPS);
        let chosen: Vec<usize> = chosen.into_iter().map(|v| part.members[v]).collect();
        assert!(fit(graph, &chosen));
        assert!(optimal);
        MOST_STEPS - left
    }

    /// Triangles that one vertex, or the edges from each to the next, hold together: with the most largest sets.
    fn triangles(held: fn(&mut Graph, usize)) -> Graph {
        let mut graph = Graph::new(32);
        for first in (0..30).step_by(3) {
            graph.connect(first, first + 1);
            graph.connect(first, first + 2);
            graph.connect(first + 1, first + 2);
            held(&mut graph, first);
        }
        graph
    }

    #[test]
    fn the_worst_graphs_take_few_steps() {
        let hub = triangles(|graph, first| graph.connect(first, 31));
        let ring = triangles(|graph, first| graph.connect(first + 2, (first + 3) % 30));
        for graph in [hub, ring] {
            assert!(steps(&graph) < 500, "{}", steps(&graph));
        }
        for (percent, sets) in [
            (3, 0),
            (10, 0),
            (20, 0),
            (40, 0),
            (80, 0),
            (5, 40),
            (20, 40),
            (0, 24),
            (0, 60),
            (0, 200),
            (3, 200),
        ] {
            for seed in 1..=10_u64 {
                let graph = random(&mut Dice::of(seed), 32, percent, sets);
                let steps = steps(&graph);
                assert!(steps < 2_000, "{percent} {sets} {seed}: {steps}");
            }
        }
    }

    #[test]
    fn without_enough_steps_the_best_so_far_is_given_and_not_called_best() {
        let graph = triangles(|graph, first| graph.connect(first, 31));
        let part: &Part = &graph.parts()[0];
        let given = [0, 3];
        let (chosen, optimal, left) = choose_in(part, &given, 1);
        assert_eq!((chosen, optimal, left), (given.to_vec(), false, 0));
        let (chosen, optimal, _) = choose_in(part, &given, MOST_STEPS);
        assert_eq!((chosen.len(), optimal), (11, true));
    }
}
