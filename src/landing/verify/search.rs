//! Which steps of a plan to leave out so that the others pass. Pure: what passes is asked of a closure.
//!
//! Nothing is taken for granted of what passes: a later step may mend an earlier one, or need it. So what is kept has
//! passed in exactly that form, and each step that is left out was seen to fail together with exactly what is kept.
//! Called by `verify`.

use std::collections::HashMap;
use std::mem::discriminant;

/// What is kept of the steps, and what is not. Steps are numbers in the order of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<W> {
    /// Those that passed, all together.
    pub kept: Vec<usize>,
    /// The others.
    pub culprits: Vec<Culprit<W>>,
}

/// A step that is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Culprit<W> {
    /// Which.
    pub step: usize,
    /// Those of the kept ones without any of which it does not fail that way. Empty: it fails by itself.
    pub together_with: Vec<usize>,
    /// How it fails with these.
    pub why: W,
}

/// Finds a minimal set of the `n` steps to leave out: putting any one of them back fails. `ask` says why some steps
/// (ascending) fail, or nothing when they pass; without any step they do. Of two reasons the variant says whether they
/// are alike. `ask` is never called twice with the same, and, as long as no step mends another, at most 2 log2(n) + n
/// times for each that is left out.
pub fn search<W: Clone, E>(n: usize, ask: impl FnMut(&[usize]) -> Result<Option<W>, E>) -> Result<Found<W>, E> {
    let mut search = Search {
        n,
        ask,
        answers: HashMap::new(),
    };
    let (mut kept, mut failed) = search.halve()?;
    search.put_back(&mut kept, &mut failed)?;
    let mut culprits = Vec::new();
    let most = failed.len() * most(n);
    let mut others = failed.len();
    for failure in failed {
        others -= 1;
        // Enough is left for each of the others.
        culprits.push(search.explain(&kept, failure, most.saturating_sub(others * (kept.len() + 1)))?);
    }
    culprits.sort_by_key(|culprit| culprit.step);
    Ok(Found { kept, culprits })
}

/// Keeps each step that passes after those before it that are kept: at most one question a step.
pub fn walk<W, E>(n: usize, mut ask: impl FnMut(&[usize]) -> Result<Option<W>, E>) -> Result<Found<W>, E> {
    let (mut kept, mut culprits) = (Vec::new(), Vec::new());
    for step in 0..n {
        match ask(&with(&kept, step))? {
            None => kept.push(step),
            Some(why) => culprits.push(Culprit {
                step,
                together_with: Vec::new(),
                why,
            }),
        }
    }
    Ok(Found { kept, culprits })
}

impl<W> Default for Found<W> {
    fn default() -> Self {
        Self {
            kept: Vec::new(),
            culprits: Vec::new(),
        }
    }
}

/// A step that failed together with so many that were kept then.
struct Failure<W> {
    step: usize,
    kept: usize,
    why: W,
}

struct Search<A, W> {
    n: usize,
    ask: A,
    answers: HashMap<Vec<usize>, Option<W>>,
}

impl<W: Clone, E, A: FnMut(&[usize]) -> Result<Option<W>, E>> Search<A, W> {
    fn ask(&mut self, steps: Vec<usize>) -> Result<Option<W>, E> {
        if let Some(known) = self.answers.get(&steps) {
            return Ok(known.clone());
        }
        let answer = (self.ask)(&steps)?;
        self.answers.insert(steps, answer.clone());
        Ok(answer)
    }

    /// Goes through the steps in order: as long as what is kept fails with all that comes after it, the last step of
    /// the shortest part that fails is left out.
    fn halve(&mut self) -> Result<(Vec<usize>, Vec<Failure<W>>), E> {
        let (mut kept, mut failed) = (Vec::new(), Vec::new());
        let mut rest: Vec<usize> = (0..self.n).collect();
        while !rest.is_empty() {
            let Some(mut why) = self.ask(union(&kept, &rest))? else {
                kept.extend(rest);
                break;
            };
            let (mut passes, mut fails) = (0, rest.len());
            while fails - passes > 1 {
                let middle = passes.midpoint(fails);
                match self.ask(union(&kept, &rest[..middle]))? {
                    None => passes = middle,
                    Some(earlier) => (fails, why) = (middle, earlier),
                }
            }
            let after = rest.split_off(fails);
            let step = rest.remove(passes);
            kept.extend(rest);
            failed.push(Failure {
                step,
                kept: kept.len(),
                why,
            });
            rest = after;
        }
        Ok((kept, failed))
    }

    /// Tries each step that failed with less than what is kept now once more: what came later may have mended it.
    fn put_back(&mut self, kept: &mut Vec<usize>, failed: &mut Vec<Failure<W>>) -> Result<(), E> {
        while let Some(at) = failed.iter().position(|f| f.kept != kept.len()) {
            let more = with(kept, failed[at].step);
            match self.ask(more.clone())? {
                // It is longer now: so all others are tried again.
                None => {
                    *kept = more;
                    failed.remove(at);
                }
                Some(why) => {
                    failed[at].kept = kept.len();
                    failed[at].why = why;
                }
            }
        }
        Ok(())
    }

    /// Finds the kept steps that a culprit fails together with. Those that are needed are looked for from the last one
    /// on, in strides that double; one after the other where the strides could take more than `most` questions in all.
    fn explain(&mut self, kept: &[usize], failure: Failure<W>, most: usize) -> Result<Culprit<W>, E> {
        let Failure { step, mut why, .. } = failure;
        let mut needed = Vec::new();
        // It fails with those that are needed and so many of the kept ones.
        let mut open = kept.len();
        let mut are_they_all = true;
        while open > 0 {
            let left = most.saturating_sub(self.answers.len());
            if are_they_all && left > open {
                are_they_all = false;
                if self.fails(&[], &needed, step, &mut why)? {
                    break;
                }
            } else if !are_they_all && left > open {
                open = self.shortest(&kept[..open], &needed, step, &mut why)? - 1;
                needed.push(kept[open]);
                are_they_all = true;
            } else {
                open -= 1;
                if !self.fails(&kept[..open], &needed, step, &mut why)? {
                    needed.push(kept[open]);
                    are_they_all = true;
                }
            }
        }
        needed.sort_unstable();
        Ok(Culprit {
            step,
            together_with: needed,
            why,
        })
    }

    /// How many of `open` it takes at least, from the first on, for a culprit to fail: all do, and none does not.
    fn shortest(&mut self, open: &[usize], needed: &[usize], step: usize, why: &mut W) -> Result<usize, E> {
        let (mut passes, mut fails, mut stride) = (0, open.len(), 1);
        while fails - passes > 1 {
            let middle = match fails.checked_sub(stride) {
                Some(next) if next > passes => next,
                _ => passes.midpoint(fails),
            };
            if self.fails(&open[..middle], needed, step, why)? {
                fails = middle;
                stride *= 2;
            } else {
                passes = middle;
                // From here on the middle is nearer.
                stride = open.len();
            }
        }
        Ok(fails)
    }

    /// Whether a culprit fails in the same way with these; then why.
    fn fails(&mut self, some: &[usize], needed: &[usize], step: usize, why: &mut W) -> Result<bool, E> {
        let steps = with(&union(some, needed), step);
        let found = self.ask(steps)?;
        // What collides without its predecessors says nothing of why it fails with them.
        let alike = found.filter(|now| discriminant(now) == discriminant(why));
        Ok(alike.map(|now| *why = now).is_some())
    }
}

/// 2 log2(n) + n, rounded down.
fn most(n: usize) -> usize {
    n + n.checked_pow(2).map_or(0, |square| square.checked_ilog2().unwrap_or(0)) as usize
}

fn union(a: &[usize], b: &[usize]) -> Vec<usize> {
    let mut all = [a, b].concat();
    all.sort_unstable();
    all
}

fn with(steps: &[usize], step: usize) -> Vec<usize> {
    union(steps, &[step])
}

#[cfg(test)]
mod tests;
