//! What depends on what, as numbers: pure functions of a list that has for each task those that it depends on.
//!
//! Called by `input`, which refuses what cannot be done, and of use to whoever orders tasks. A task is its index in the
//! list. No function calls itself, however long a chain is, and each gives the same for the same list.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The tasks that a task depends on, directly or through others, each once, the nearest first.
pub fn all_before(depends: &[Vec<usize>], of: usize) -> Vec<usize> {
    let mut seen = vec![false; depends.len()];
    let mut found = Vec::new();
    let mut next = 0;
    let mut at = of;
    loop {
        for &before in &depends[at] {
            if !std::mem::replace(&mut seen[before], true) {
                found.push(before);
            }
        }
        match found.get(next) {
            Some(&before) => at = before,
            None => return found,
        }
        next += 1;
    }
}

/// All tasks, each after those that it depends on, otherwise as they stand in the list. None if there is a cycle.
pub fn order(depends: &[Vec<usize>]) -> Option<Vec<usize>> {
    let after = dependants(depends);
    let mut open: Vec<usize> = depends.iter().map(Vec::len).collect();
    let free = open.iter().enumerate().filter(|&(_, &left)| left == 0);
    let mut ready: BinaryHeap<Reverse<usize>> = free.map(|(task, _)| Reverse(task)).collect();
    let mut order = Vec::with_capacity(depends.len());
    while let Some(Reverse(task)) = ready.pop() {
        order.push(task);
        for &dependant in &after[task] {
            open[dependant] -= 1;
            if open[dependant] == 0 {
                ready.push(Reverse(dependant));
            }
        }
    }
    (order.len() == depends.len()).then_some(order)
}

/// A cycle, if there is one: each depends on the next, and the last on the first, which is the one that stands first in
/// the list.
pub fn cycle(depends: &[Vec<usize>]) -> Option<Vec<usize>> {
    // What remains when those are taken away that can start, and those that can start then.
    let mut open: Vec<usize> = depends.iter().map(Vec::len).collect();
    let after = dependants(depends);
    let mut done: Vec<usize> = (0..depends.len()).filter(|&task| open[task] == 0).collect();
    while let Some(task) = done.pop() {
        for &dependant in &after[task] {
            open[dependant] -= 1;
            if open[dependant] == 0 {
                done.push(dependant);
            }
        }
    }
    // Each of them depends on another one of them: who goes on and on comes back.
    let start = open.iter().position(|&left| left > 0)?;
    let mut place = vec![None; depends.len()];
    let mut way: Vec<usize> = Vec::new();
    let mut at = start;
    while place[at].is_none() {
        place[at] = Some(way.len());
        way.push(at);
        at = *depends[at].iter().find(|&&before| open[before] > 0)?;
    }
    let mut cycle = way.split_off(place[at]?);
    let first = (0..cycle.len()).min_by_key(|&i| cycle[i])?;
    cycle.rotate_left(first);
    Some(cycle)
}

/// For each task how many there are in the longest chain of tasks that starts with it, each depending on the one before:
/// 1 if nothing depends on it. None if there is a cycle.
pub fn longest_chains(depends: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut chains = vec![1; depends.len()];
    for &task in order(depends)?.iter().rev() {
        for &before in &depends[task] {
            chains[before] = chains[before].max(chains[task] + 1);
        }
    }
    Some(chains)
}

/// For each task those that depend on it.
fn dependants(depends: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut after = vec![Vec::new(); depends.len()];
    for (task, before) in depends.iter().enumerate() {
        for &before in before {
            after[before].push(task);
        }
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(depends: &[&[usize]]) -> Vec<Vec<usize>> {
        depends.iter().map(|before| before.to_vec()).collect()
    }

    #[test]
    fn each_comes_after_what_it_depends_on_and_otherwise_as_listed() {
        for (depends, expected, chains) in [
            (graph(&[]), vec![], vec![]),
            (graph(&[&[], &[], &[]]), vec![0, 1, 2], vec![1, 1, 1]),
            (graph(&[&[2], &[], &[]]), vec![1, 2, 0], vec![1, 1, 2]),
            (graph(&[&[3], &[0, 3], &[1], &[]]), vec![3, 0, 1, 2], vec![3, 2, 1, 4]),
            (
                graph(&[&[], &[0], &[0], &[1, 2], &[]]),
                vec![0, 1, 2, 3, 4],
                vec![3, 2, 2, 1, 1],
            ),
        ] {
            assert_eq!(order(&depends), Some(expected));
            assert_eq!(longest_chains(&depends), Some(chains));
            assert_eq!(cycle(&depends), None);
        }
    }

    #[test]
    fn a_cycle_is_found_wherever_it_is_and_starts_with_the_first_of_the_list() {
        for (depends, expected) in [
            (graph(&[&[0]]), vec![0]),
            (graph(&[&[1], &[2], &[0]]), vec![0, 1, 2]),
            (graph(&[&[2], &[0], &[1]]), vec![0, 2, 1]),
            // Reached from outside, with something behind it.
            (graph(&[&[3], &[], &[3, 1], &[1, 4], &[2]]), vec![2, 3, 4]),
            // What depends on a cycle is none.
            (graph(&[&[1], &[2], &[1]]), vec![1, 2]),
        ] {
            assert_eq!(cycle(&depends), Some(expected), "{depends:?}");
            assert_eq!(order(&depends), None);
            assert_eq!(longest_chains(&depends), None);
        }
    }

    #[test]
    fn what_is_before_is_found_through_others_and_once() {
        let depends = graph(&[&[1, 2], &[3], &[3], &[], &[0]]);
        assert_eq!(all_before(&depends, 0), [1, 2, 3]);
        assert_eq!(all_before(&depends, 4), [0, 1, 2, 3]);
        assert_eq!(all_before(&depends, 3), [0; 0]);
        assert_eq!(all_before(&graph(&[&[1], &[0]]), 0), [1, 0]);
    }

    #[test]
    fn no_chain_is_too_long() {
        const LENGTH: usize = 200_000;
        let mut depends: Vec<Vec<usize>> = (0..LENGTH).map(|n| n.checked_sub(1).into_iter().collect()).collect();
        assert_eq!(longest_chains(&depends).unwrap()[0], LENGTH);
        assert_eq!(all_before(&depends, LENGTH - 1).len(), LENGTH - 1);
        depends[0] = vec![LENGTH - 1];
        assert_eq!(cycle(&depends).unwrap().len(), LENGTH);
    }
}
