use std::convert::Infallible;

use super::*;

/// Why steps fail here: two reasons that are not alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Fails,
    Collides,
}

/// What is found, and how often was asked.
fn found(n: usize, judge: impl Fn(&[usize]) -> Option<Why>) -> (Found<Why>, usize) {
    let mut asked = 0;
    let found = search(n, |steps: &[usize]| {
        assert!(steps.is_sorted() && !steps.is_empty(), "{steps:?}");
        asked += 1;
        Ok::<_, Infallible>(judge(steps))
    });
    let Ok(found) = found;
    (found, asked)
}

/// What holds whatever passes and whatever not.
fn assert_holds(n: usize, found: &Found<Why>, judge: impl Fn(&[usize]) -> Option<Why>) {
    let Found { kept, culprits } = found;
    let steps: Vec<usize> = culprits.iter().map(|c| c.step).collect();
    assert_eq!(union(kept, &steps), (0..n).collect::<Vec<_>>());
    assert!(kept.is_empty() || judge(kept).is_none(), "{found:?}");
    for culprit in culprits {
        assert!(judge(&with(kept, culprit.step)).is_some(), "{found:?}");
        assert!(
            culprit.together_with.iter().all(|step| kept.contains(step)),
            "{found:?}"
        );
        let group = with(&culprit.together_with, culprit.step);
        assert_eq!(judge(&group), Some(culprit.why), "{found:?}");
    }
}

/// What holds besides when nothing mends anything.
fn assert_minimal(n: usize, found: &Found<Why>, asked: usize, judge: impl Fn(&[usize]) -> Option<Why>) {
    for culprit in &found.culprits {
        for partner in &culprit.together_with {
            let mut others = with(&culprit.together_with, culprit.step);
            others.retain(|step| step != partner);
            assert_eq!(judge(&others), None, "without {partner}: {found:?}");
        }
    }
    if n == 0 {
        return;
    }
    let bound = 2.0 * (n as f64).log2() + n as f64;
    let most = bound * found.culprits.len().max(1) as f64;
    assert!(asked as f64 <= most + 1e-9, "{asked} questions of {most}: {found:?}");
}

fn as_bits(steps: &[usize]) -> usize {
    steps.iter().map(|step| 1 << step).sum()
}

/// Every function of `n` steps as the set of those sets that fail; of no steps none does.
fn functions(n: usize) -> impl Iterator<Item = u64> {
    (0..1u64 << (1 << n)).filter(|fails| fails & 1 == 0)
}

fn is_monotone(n: usize, fails: u64) -> bool {
    let sets = 0..1usize << n;
    sets.clone()
        .filter(|set| fails >> set & 1 == 1)
        .all(|set| sets.clone().all(|more| more & set != set || fails >> more & 1 == 1))
}

#[test]
fn whatever_up_to_four_steps_do() {
    for n in 0..=4 {
        for fails in functions(n) {
            let judge = |steps: &[usize]| (fails >> as_bits(steps) & 1 == 1).then_some(Why::Fails);
            let (found, asked) = found(n, judge);
            assert_holds(n, &found, judge);
            assert!(asked <= n * (most(n) + 1), "{asked} questions about {n} steps");
            if is_monotone(n, fails) {
                assert_minimal(n, &found, asked, judge);
            }
        }
    }
}

#[test]
fn whatever_five_steps_do_when_none_mends_another() {
    let four: Vec<u64> = functions(4).filter(|fails| is_monotone(4, *fails)).collect();
    let mut functions = 0;
    // Without the fifth, and with it: what fails without it does so with it.
    for (without, with_it) in four
        .iter()
        .chain(&[0xffff])
        .flat_map(|b| four.iter().map(move |a| (*a, *b)))
    {
        if without & !with_it != 0 {
            continue;
        }
        functions += 1;
        let fails = without | with_it << 16;
        let judge = |steps: &[usize]| (fails >> as_bits(steps) & 1 == 1).then_some(Why::Fails);
        let (found, asked) = found(5, judge);
        assert_holds(5, &found, judge);
        assert_minimal(5, &found, asked, judge);
    }
    // The number of monotone functions of five variables, but for the one that fails without any.
    assert_eq!(functions, 7580);
}

/// Numbers that look random, the same for the same seed.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn group(&mut self, n: usize, size: usize) -> Vec<usize> {
        let mut group: Vec<usize> = (0..size).map(|_| self.below(n)).collect();
        group.sort_unstable();
        group.dedup();
        group
    }
}

#[test]
fn groups_of_every_size_among_many_steps() {
    for seed in 1..=3000 {
        let mut random = Random::new(seed);
        let n = 1 + random.below(70);
        let groups: Vec<Vec<usize>> = (0..=random.below(4))
            .map(|_| {
                let size = [1, 2, 2, 3, 1 + random.below(n)][random.below(5)];
                random.group(n, size)
            })
            .collect();
        let judge = |steps: &[usize]| {
            let fails = groups.iter().any(|g| g.iter().all(|step| steps.contains(step)));
            fails.then_some(Why::Fails)
        };
        let (found, asked) = found(n, judge);
        assert_holds(n, &found, judge);
        assert_minimal(n, &found, asked, judge);
    }
}

#[test]
fn many_steps_that_mend_and_collide_as_it_happens() {
    for seed in 1..=3000 {
        let mut random = Random::new(seed);
        let n = 1 + random.below(24);
        let salt = random.0;
        let judge = |steps: &[usize]| {
            let mut hash = Random::new(salt ^ as_bits(steps) as u64);
            match hash.below(1 << 20) % 5 {
                0 | 1 => None,
                2 => Some(Why::Collides),
                _ => Some(Why::Fails),
            }
        };
        let (found, asked) = found(n, judge);
        assert_holds(n, &found, judge);
        assert!(asked <= n * (most(n) + 1), "{asked} questions about {n} steps");
    }
}

#[test]
fn the_usual_takes_few_questions() {
    let fails =
        |group: &'static [usize]| move |steps: &[usize]| group.iter().all(|s| steps.contains(s)).then_some(Why::Fails);
    for (n, group, most) in [
        (1, &[0][..], 1),
        (2, &[0], 3),
        (2, &[0, 1], 3),
        (3, &[1], 5),
        (8, &[5], 6),
        (8, &[2, 5], 14),
        (64, &[17], 9),
        (64, &[3, 60], 22),
        (64, &[3, 30, 60], 30),
    ] {
        let (found, asked) = found(n, fails(group));
        let culprit = &found.culprits[0];
        assert_eq!(with(&culprit.together_with, culprit.step), group);
        assert!(asked <= most, "{n} {group:?}: {asked}");
    }
    let (nothing, asked) = found(9, |_| None);
    assert_eq!((nothing.kept.len(), nothing.culprits.len(), asked), (9, 0, 1));
    assert_eq!(found(0, |_| None).1, 0);
}

#[test]
fn what_a_later_step_mends_is_put_back() {
    // The first fails without the third, and the second by itself.
    let judge = |steps: &[usize]| {
        let fails = steps.contains(&1) || steps.contains(&0) && !steps.contains(&2);
        fails.then_some(Why::Fails)
    };
    let (found, _) = found(3, judge);
    assert_eq!(found.kept, [0, 2]);
    assert_eq!(found.culprits[0].step, 1);
}

#[test]
fn a_collision_without_predecessors_is_no_reason_to_fail_alone() {
    // The third needs the first to merge, and fails with it.
    let judge = |steps: &[usize]| match (steps.contains(&2), steps.contains(&0)) {
        (true, true) => Some(Why::Fails),
        (true, false) => Some(Why::Collides),
        _ => None,
    };
    let (found, _) = found(4, judge);
    assert_eq!(found.kept, [0, 1, 3]);
    let culprit = &found.culprits[0];
    assert_eq!(
        (culprit.step, &culprit.together_with[..], culprit.why),
        (2, &[0][..], Why::Fails)
    );
}

#[test]
fn a_walk_asks_once_for_each_step() {
    let mut asked = Vec::new();
    let found = walk(4, |steps: &[usize]| {
        asked.push(steps.to_vec());
        Ok::<_, Infallible>((steps.contains(&1) || steps == [0, 2]).then_some(Why::Fails))
    });
    let Ok(found) = found;
    assert_eq!(found.kept, [0, 3]);
    assert_eq!(found.culprits.iter().map(|c| c.step).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(asked, [vec![0], vec![0, 1], vec![0, 2], vec![0, 3]]);
}

#[test]
fn an_error_ends_the_search() {
    let mut asked = 0;
    let found = search(8, |_| {
        asked += 1;
        if asked == 3 { Err("stop") } else { Ok(Some(Why::Fails)) }
    });
    assert_eq!((found, asked), (Err("stop"), 3));
}
