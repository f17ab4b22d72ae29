//! A good choice of many vertices: always the one that is in the way of the fewest, and then two for one where that fits.

use super::Part;

/// Chooses; no vertex can be added, and none can be given up for two.
pub(super) fn choose(part: &Part) -> Vec<usize> {
    let mut greedy = Greedy::new(part);
    let mut open: Vec<usize> = (0..part.members.len()).collect();
    while let Some(next) = greedy.least_in_the_way(&open) {
        greedy.add(next);
        open.retain(|v| greedy.fits(*v));
    }
    while greedy.exchange() {}
    (0..part.members.len()).filter(|v| greedy.chosen[*v]).collect()
}

struct Greedy<'p> {
    part: &'p Part,
    /// Of each vertex, the forbidden sets that it is in.
    sets: Vec<Vec<&'p Vec<usize>>>,
    chosen: Vec<bool>,
    /// Of each vertex, how many chosen ones it is connected to.
    blocked: Vec<usize>,
}

impl<'p> Greedy<'p> {
    fn new(part: &'p Part) -> Self {
        let mut sets = vec![Vec::new(); part.members.len()];
        for set in &part.forbidden {
            set.iter().for_each(|v| sets[*v].push(set));
        }
        Self {
            part,
            sets,
            chosen: vec![false; part.members.len()],
            blocked: vec![0; part.members.len()],
        }
    }

    fn add(&mut self, vertex: usize) {
        self.chosen[vertex] = true;
        self.part.neighbours[vertex].iter().for_each(|n| self.blocked[*n] += 1);
    }

    fn remove(&mut self, vertex: usize) {
        self.chosen[vertex] = false;
        self.part.neighbours[vertex].iter().for_each(|n| self.blocked[*n] -= 1);
    }

    /// Whether it can be added.
    fn fits(&self, vertex: usize) -> bool {
        let whole = |set: &&Vec<usize>| set.iter().all(|v| *v == vertex || self.chosen[*v]);
        !self.chosen[vertex] && self.blocked[vertex] == 0 && !self.sets[vertex].iter().any(whole)
    }

    /// The first of those that are connected to the fewest open ones and in the fewest sets.
    fn least_in_the_way(&self, open: &[usize]) -> Option<usize> {
        let mut is_open = vec![false; self.chosen.len()];
        open.iter().for_each(|v| is_open[*v] = true);
        let around = |v: &usize| self.part.neighbours[*v].iter().filter(|n| is_open[**n]).count();
        open.iter().copied().min_by_key(|v| (around(v), self.sets[*v].len()))
    }

    /// Gives up one vertex for two others, if that is possible anywhere.
    fn exchange(&mut self) -> bool {
        for one in 0..self.chosen.len() {
            if !self.chosen[one] {
                continue;
            }
            self.remove(one);
            let instead: Vec<usize> = (0..self.chosen.len()).filter(|v| *v != one && self.fits(*v)).collect();
            for (at, first) in instead.iter().enumerate() {
                self.add(*first);
                if let Some(second) = instead[at + 1..].iter().find(|v| self.fits(**v)) {
                    self.add(*second);
                    return true;
                }
                self.remove(*first);
            }
            self.add(one);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Dice, fit, random};
    use super::super::{Graph, choose};

    #[test]
    fn what_is_chosen_of_many_fits_and_nothing_can_be_added() {
        for (seed, percent) in [(1, 2), (2, 5), (3, 20), (4, 60)] {
            let graph = random(&mut Dice::of(seed), 120, percent, 40);
            let choice = choose(&graph);
            assert!(fit(&graph, &choice.chosen));
            for vertex in (0..120).filter(|v| !choice.chosen.contains(v)) {
                let more = [&choice.chosen[..], &[vertex]].concat();
                assert!(!fit(&graph, &more), "{vertex} could be added");
            }
            assert_eq!(choose(&graph), choice);
        }
    }

    #[test]
    fn two_are_taken_for_one() {
        // The vertex with the fewest edges is 0, but without it two of those that it is connected to can be chosen.
        let mut graph = Graph::new(40);
        (2..40).for_each(|v| graph.connect(v, 0));
        (3..40).for_each(|v| graph.connect(v, 1));
        assert_eq!(choose(&graph).chosen, (2..40).collect::<Vec<_>>());
    }
}
