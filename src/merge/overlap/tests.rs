//! Repositories made at random, of which git is asked every pair: what is told apart is clean.

use std::collections::BTreeMap;
use std::path::Path;

use git2::{Oid, Repository, Signature, Time};

use super::{Lone, apart};
use crate::git::Drivers;
use crate::merge::engine::{Ask, Engine, Merged};
use crate::merge::plan::PlanError;

/// Numbers that are the same each time (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    fn of<T: Clone>(&mut self, among: &[T]) -> T {
        among[self.below(among.len())].clone()
    }
}

/// Mode and content; that of a submodule is a commit's number.
type Files = BTreeMap<String, (u32, String)>;

fn lines(random: &mut Random) -> String {
    let tag = random.below(1000);
    (0..12).map(|line| format!("line {line} of {tag}\n")).collect()
}

fn start(random: &mut Random) -> Files {
    let mut files = Files::new();
    for directory in ["", "a/", "a/b/", "c/", "d/e/"] {
        for name in ["1", "2", "3"] {
            files.insert(format!("{directory}{name}"), (0o100_644, lines(random)));
        }
    }
    files.insert("a/module".into(), (0o160_000, "1".into()));
    files.insert(".gitattributes".into(), (0o100_644, "3 -merge\n".into()));
    files
}

/// What a branch may do, each in its own way.
fn change(random: &mut Random, files: &mut Files) {
    let names: Vec<String> = files.keys().cloned().collect();
    let name = random.of(&names);
    let places = ["", "a/", "a/b/", "c/", "d/e/", "n/", "d/", "A/"];
    let new = format!("{}{}", random.of(&places), random.of(&["1", "4", "5", "n", "a", "b"]));
    let above = |path: &str, other: &str| other.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    match random.below(9) {
        0..3 => {
            let (mode, content) = files.get_mut(&name).unwrap();
            if *mode == 0o160_000 {
                *content = random.below(9).to_string();
                return;
            }
            let at = random.below(12);
            let tag = random.below(1000);
            let changed = content.lines().enumerate();
            *content = changed
                .map(|(line, text)| {
                    if line == at {
                        format!("changed {tag}\n")
                    } else {
                        format!("{text}\n")
                    }
                })
                .collect();
        }
        3 => {
            files.remove(&name);
        }
        4 => {
            // A file takes the place of what is in its way.
            files.retain(|other, _| !above(&new, other) && !above(other, &new));
            let content = lines(random);
            files.insert(new, (random.of(&[0o100_644, 0o100_755, 0o120_000]), content));
        }
        5 => {
            let moved = files.remove(&name).unwrap();
            files.retain(|other, _| !above(&new, other) && !above(other, &new));
            files.insert(new, moved);
        }
        6..8 => {
            let (from, to) = (random.of(&["a/", "a/b/", "c/", "d/", "d/e/"]), random.of(&places));
            let moved: Vec<String> = names.iter().filter(|n| n.starts_with(from)).cloned().collect();
            for old in moved {
                let content = files.remove(&old).unwrap();
                let new = format!("{to}{}", &old[from.len()..]);
                files.retain(|other, _| !above(&new, other) && !above(other, &new));
                files.insert(new, content);
            }
        }
        _ => {
            let text = random.of(&["1 merge=union\n", "* binary\n"]).to_owned();
            if random.below(4) == 0 && !names.iter().any(|n| n == "c") {
                files.insert("c/.gitattributes".into(), (0o100_644, text));
            }
        }
    }
}

fn tree(repository: &Repository, files: &Files, below: &str) -> Oid {
    let mut builder = repository.treebuilder(None).unwrap();
    for (path, (mode, content)) in files.iter().filter(|(path, _)| path.starts_with(below)) {
        let rest = &path[below.len()..];
        let Some((directory, _)) = rest.split_once('/') else {
            let object = match mode {
                0o160_000 => Oid::from_str(&format!("{content:0>40}")).unwrap(),
                _ => repository.blob(content.as_bytes()).unwrap(),
            };
            builder.insert(rest, object, i32::try_from(*mode).unwrap()).unwrap();
            continue;
        };
        if builder.get(directory).unwrap().is_none() {
            let inner = tree(repository, files, &format!("{below}{directory}/"));
            builder.insert(directory, inner, 0o040_000).unwrap();
        }
    }
    builder.write().unwrap()
}

fn commit(repository: &Repository, files: &Files, parents: &[Oid]) -> Oid {
    let who = Signature::new("a", "a@example.org", &Time::new(1_700_000_000, 0)).unwrap();
    let tree = repository.find_tree(tree(repository, files, "")).unwrap();
    let parents: Vec<_> = parents.iter().map(|p| repository.find_commit(*p).unwrap()).collect();
    let parents: Vec<_> = parents.iter().collect();
    repository.commit(None, &who, &who, "made", &tree, &parents).unwrap()
}

/// A target, which may have moved on, and branches that left it at one of its commits, or another branch.
fn repository(random: &mut Random, directory: &Path) -> (Oid, Vec<Oid>) {
    let repository = Repository::init_bare(directory).unwrap();
    let files = start(random);
    let mut history = vec![(commit(&repository, &files, &[]), files)];
    for _ in 0..random.below(3) {
        let (parent, mut files) = history.last().unwrap().clone();
        for _ in 0..=random.below(2) {
            change(random, &mut files);
        }
        history.push((commit(&repository, &files, &[parent]), files));
    }
    let target = history.last().unwrap().0;
    let mut branches = Vec::new();
    for _ in 0..8 {
        let (parent, mut files) = random.of(&history);
        for _ in 0..=random.below(4) {
            change(random, &mut files);
        }
        // Now and then the target was merged, or another branch: only what is a parent counts here.
        let other = random.of(&history).0;
        let parents = [parent, other];
        let merges = random.below(6) == 0 && other != parent;
        let head = commit(&repository, &files, &parents[..1 + usize::from(merges)]);
        branches.push(head);
        if random.below(4) == 0 {
            history.push((head, files));
        }
    }
    (target, branches)
}

fn ask(ours: Oid, theirs: Oid) -> Ask<'static> {
    Ask {
        ours,
        theirs,
        name: "feature/x",
        after: None,
    }
}

/// Nothing where git 2.47 itself is at its end, which renames of whole directories sometimes bring about.
fn answered(merged: Result<Vec<Merged>, PlanError>) -> Option<Vec<Merged>> {
    match merged {
        Err(e) if e.to_string().contains("Assertion") => None,
        merged => Some(merged.unwrap()),
    }
}

/// Plays a repository: how many pairs were told apart, and how many conflict.
fn play(seed: u64, squash: bool) -> (usize, usize) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let directory = tempfile::tempdir().unwrap();
    let (target, branches) = repository(&mut random, directory.path());
    let (engine, _) = Engine::new(directory.path(), &Drivers::new()).unwrap();
    let asked: Vec<Ask> = branches.iter().map(|b| ask(target, *b)).collect();
    let Some(alone) = answered(engine.merges(&asked)) else {
        return (0, 0);
    };
    let lone: Vec<Lone> = branches
        .iter()
        .zip(alone)
        .filter_map(|(head, merged)| match merged {
            Merged::Clean(tree) if *head != target => {
                let parents = [target, *head];
                let parents = &parents[..if squash { 1 } else { 2 }];
                let merged = engine.commit(tree, parents, 1_700_000_001).unwrap();
                Some(Lone { head: *head, merged })
            }
            _ => None,
        })
        .collect();
    let apart = apart(engine.repository(), target, &lone).unwrap();
    let pairs: Vec<(usize, usize)> = (0..lone.len())
        .flat_map(|a| (a + 1..lone.len()).map(move |b| (a, b)))
        .collect();
    let asked: Vec<Ask> = pairs.iter().map(|(a, b)| ask(lone[*a].merged, lone[*b].head)).collect();
    let Some(merged) = answered(engine.merges(&asked)) else {
        return (0, 0);
    };
    for (pair, merged) in pairs.iter().zip(&merged) {
        let clean = matches!(merged, Merged::Clean(_));
        assert!(clean || !apart.contains(pair), "seed {seed}: {pair:?}: {merged:?}");
    }
    // What a batch says is what git says when it is asked for one merge alone.
    for (ask, merged) in asked.iter().zip(&merged).step_by(9) {
        assert_eq!(engine.merge(*ask).unwrap(), *merged, "seed {seed}");
        if let Merged::Conflicts { .. } = merged {
            assert_eq!(engine.unsaid(*ask), [""; 0], "seed {seed}");
        }
    }
    let conflicts = merged.iter().filter(|m| !matches!(m, Merged::Clean(_))).count();
    (apart.len(), conflicts)
}

#[test]
fn what_is_told_apart_is_clean_for_git() {
    let seeds = std::env::var("PLEACH_TEST_SEEDS").ok().and_then(|s| s.parse().ok());
    let (mut told_apart, mut conflicts) = (0, 0);
    for seed in 1..=seeds.unwrap_or(12) {
        let (apart, conflicting) = play(seed, seed % 3 == 0);
        told_apart += apart;
        conflicts += conflicting;
    }
    assert!(
        told_apart > 20 && conflicts > 20,
        "{told_apart} and {conflicts}: too few"
    );
}
