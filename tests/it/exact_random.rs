//! Plans are exact for repositories that nobody thought of.
//!
//! `PLEACH_TEST_SEEDS=100` tries the repositories of a hundred seeds in each test instead of those of one;
//! `PLEACH_TEST_SEEDS=@17` those of that one. A failure names its seed, and the smallest repository that was found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{RngSeed, TestRunner};

use crate::exact::{Question, compare};
use crate::support::Project;

/// So many repositories for each seed.
const REPOSITORIES: u32 = 8;

/// How long a smaller repository that fails as well is looked for, in milliseconds.
const TIME_TO_SHRINK: u32 = 20_000;

/// The branches that are planned; `main` comes before them.
const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// What stands in a path: mode, and content (of a submodule nothing).
type Entry = (&'static str, String);

type Tree = BTreeMap<String, Entry>;

/// A repository: what all start from, and what is committed then.
#[derive(Clone, Debug)]
struct History {
    /// For each file of the base how many lines it has.
    base: Vec<usize>,
    branches: usize,
    commits: Vec<Commit>,
    /// Lines of git's configuration, in which dots part names.
    settings: Vec<&'static str>,
    squash: bool,
}

#[derive(Clone, Debug)]
struct Commit {
    /// The place of its branch; 0 is `main`.
    on: Index,
    /// The branch that it merges as well, and what of it.
    merges: Option<(Index, u64)>,
    changes: Vec<Change>,
    /// How much later it was than the one before; clocks may be wrong.
    later: i64,
}

#[derive(Clone, Debug)]
enum Change {
    Line(Index, Index, u8),
    Insert(Index, Index, u8),
    Cut(Index, Index),
    Move(Index, &'static str),
    MoveDirectory(Index, &'static str),
    Delete(Index),
    DeleteDirectory(Index),
    Put(&'static str, &'static str, u8),
    Mode(Index),
    Attributes(&'static str, &'static str),
}

/// Places for files; some are directories of others.
const PATHS: [&str; 14] = [
    "p", "q", "r", "d", "e", "d/p", "d/q", "d/s/p", "d/s/q", "e/p", "e/q", "e/s/p", "g", "g/p/p",
];

const DIRECTORIES: [&str; 7] = ["d", "e", "d/s", "e/s", "g", "g/p", "h"];

const ATTRIBUTES: [&str; 8] = [
    "* merge=union",
    "p merge=union",
    "* -merge",
    "q binary",
    "* text",
    "p text eol=crlf",
    "p merge=both",
    "* -text conflict-marker-size=9",
];

const SETTINGS: [&str; 13] = [
    "merge.directoryRenames=true",
    "merge.directoryRenames=true",
    "merge.directoryRenames=false",
    "merge.renames=false",
    "merge.renameLimit=1",
    "merge.conflictStyle=diff3",
    "merge.conflictStyle=zdiff3",
    "merge.renormalize=true",
    "diff.algorithm=histogram",
    "diff.algorithm=patience",
    "diff.renames=copies",
    "core.autocrlf=true",
    "merge.both.driver=cat %B >>%A",
];

/// What a test is about.
#[derive(Clone, Copy)]
struct Weights {
    lines: u32,
    renames: u32,
    types: u32,
    attributes: u32,
    merges: f64,
    settings: usize,
}

fn change(weights: Weights) -> impl Strategy<Value = Change> {
    let index = || any::<Index>();
    let text = || 0..3_u8;
    prop_oneof![
        weights.lines * 3 => (index(), index(), text()).prop_map(|(f, l, t)| Change::Line(f, l, t)),
        weights.lines => (index(), index(), text()).prop_map(|(f, l, t)| Change::Insert(f, l, t)),
        weights.lines => (index(), index()).prop_map(|(f, l)| Change::Cut(f, l)),
        weights.renames => (index(), select(&PATHS[..])).prop_map(|(f, p)| Change::Move(f, p)),
        weights.renames => (index(), select(&DIRECTORIES[..])).prop_map(|(d, p)| Change::MoveDirectory(d, p)),
        weights.types.max(1) => index().prop_map(Change::Delete),
        weights.types => index().prop_map(Change::DeleteDirectory),
        weights.types.max(1) * 2 => (select(&PATHS[..]), select(vec!["100644", "100755", "120000", "160000", "100644", "100644"]), text())
            .prop_map(|(p, m, t)| Change::Put(p, m, t)),
        weights.types => index().prop_map(Change::Mode),
        weights.attributes => (select(vec!["", "d/", "e/", "d/s/"]), select(&ATTRIBUTES[..]))
            .prop_map(|(d, a)| Change::Attributes(d, a)),
    ]
}

fn history(weights: Weights) -> impl Strategy<Value = History> {
    let changes = prop::collection::vec(change(weights), 1..4);
    let merges = prop::option::weighted(weights.merges, (any::<Index>(), any::<u64>()));
    let commit = (any::<Index>(), merges, changes, select(vec![0, 0, 1, 1, 100, -50]));
    let commit = commit.prop_map(|(on, merges, changes, later)| Commit {
        on,
        merges,
        changes,
        later,
    });
    let settings = prop::collection::vec(select(&SETTINGS[..]), 0..=weights.settings);
    let base = prop::collection::vec(0..9_usize, 3..10);
    let commits = prop::collection::vec(commit, 4..12);
    (base, 2..=5_usize, commits, settings, any::<bool>()).prop_map(|(base, branches, commits, settings, squash)| {
        History {
            base,
            branches,
            commits,
            settings,
            squash,
        }
    })
}

/// Lines of which no two files have the same, so that renames are found where there are some.
fn lines(path: &str, count: usize) -> String {
    (0..count).fold(String::new(), |text, n| format!("{text}{n} of {path}\n"))
}

/// Puts something into a path, where nothing that is in its way may stay.
fn put(tree: &mut Tree, path: &str, entry: Entry) {
    let below = format!("{path}/");
    tree.retain(|other, _| !other.starts_with(&below) && !path.starts_with(&format!("{other}/")));
    tree.insert(path.to_owned(), entry);
}

fn path_of(tree: &Tree, index: Index) -> Option<String> {
    (!tree.is_empty()).then(|| tree.keys().nth(index.index(tree.len())).cloned())?
}

fn directory_of(tree: &Tree, index: Index) -> Option<String> {
    let of = |path: &String| path.rsplit_once('/').map(|(directory, _)| directory.to_owned());
    let directories: Vec<String> = tree
        .keys()
        .filter_map(of)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    (!directories.is_empty()).then(|| index.get(&directories).clone())
}

impl Change {
    fn apply(&self, tree: &mut Tree) {
        // Whatever there is nothing to do it to is left as it is.
        let _ = self.try_to(tree);
    }

    fn try_to(&self, tree: &mut Tree) -> Option<()> {
        match self {
            Self::Line(file, line, text) => edit(tree, *file, *line, |at, lines| {
                lines.splice(at..(at + 1).min(lines.len()), [format!("changed {text}")]);
            })?,
            Self::Insert(file, line, text) => {
                edit(tree, *file, *line, |at, lines| lines.insert(at, format!("new {text}")))?;
            }
            Self::Cut(file, line) => edit(tree, *file, *line, |at, lines| {
                lines.splice(at..(at + 2).min(lines.len()), []);
            })?,
            Self::Move(file, to) => {
                let entry = tree.remove(&path_of(tree, *file)?)?;
                put(tree, to, entry);
            }
            Self::MoveDirectory(directory, to) => {
                let from = format!("{}/", directory_of(tree, *directory)?);
                let moved: Vec<String> = tree.keys().filter(|p| p.starts_with(&from)).cloned().collect();
                let moved: Vec<(String, Entry)> = moved.into_iter().filter_map(|p| tree.remove_entry(&p)).collect();
                for (path, entry) in moved {
                    put(tree, &format!("{to}/{}", &path[from.len()..]), entry);
                }
            }
            Self::Delete(file) => drop(tree.remove(&path_of(tree, *file)?)),
            Self::DeleteDirectory(directory) => {
                let below = format!("{}/", directory_of(tree, *directory)?);
                tree.retain(|path, _| !path.starts_with(&below));
            }
            Self::Put(path, mode, text) => {
                let content = match *mode {
                    "160000" => format!("{}", text + 1).repeat(40),
                    "120000" => format!("to{text}"),
                    _ => format!("{}put {text}\n", lines(path, 4)),
                };
                put(tree, path, (mode, content));
            }
            Self::Mode(file) => {
                let mode = &mut tree.get_mut(&path_of(tree, *file)?)?.0;
                *mode = match *mode {
                    "100644" => "100755",
                    "100755" => "100644",
                    other => other,
                };
            }
            Self::Attributes(directory, line) => {
                put(
                    tree,
                    &format!("{directory}.gitattributes"),
                    ("100644", format!("{line}\n")),
                );
            }
        }
        Some(())
    }
}

/// Changes the lines of a file, if it is one.
fn edit(tree: &mut Tree, file: Index, line: Index, change: impl FnOnce(usize, &mut Vec<String>)) -> Option<()> {
    let (mode, content) = tree.get_mut(&path_of(tree, file)?)?;
    if !mode.starts_with("100") {
        return None;
    }
    let mut lines: Vec<String> = content.lines().map(str::to_owned).collect();
    change(line.index(lines.len() + 1), &mut lines);
    *content = lines
        .into_iter()
        .fold(String::new(), |text, line| format!("{text}{line}\n"));
    Some(())
}

impl History {
    /// As `git fast-import` reads it.
    fn stream(&self) -> String {
        let mut stream = String::new();
        let mut base = Tree::new();
        for (path, count) in PATHS.iter().rev().zip(&self.base) {
            put(&mut base, path, ("100644", lines(path, *count)));
        }
        let mut date = 1_700_000_000;
        let mut heads = vec![(1, base.clone()); self.branches + 1];
        commit(&mut stream, 1, date, &[], &base);
        for (mark, one) in (2..).zip(&self.commits) {
            let on = one.on.index(heads.len());
            let (parent, mut tree) = heads[on].clone();
            let mut parents = vec![parent];
            if let Some((other, choice)) = one.merges {
                let (other, theirs) = &heads[other.index(heads.len())];
                parents.extend((*other != parent).then_some(*other));
                // Some of what is there, bit by bit.
                for (bit, (path, entry)) in theirs.iter().enumerate() {
                    if choice >> (bit % 64) & 1 == 1 {
                        put(&mut tree, path, entry.clone());
                    }
                }
            }
            for change in &one.changes {
                change.apply(&mut tree);
            }
            date += one.later;
            commit(&mut stream, mark, date, &parents, &tree);
            heads[on] = (mark, tree);
        }
        for (name, (mark, _)) in ["main"].iter().chain(&NAMES).zip(&heads) {
            let _ = writeln!(stream, "reset refs/heads/{name}\nfrom :{mark}\n");
        }
        stream
    }

    fn build(&self) -> Project {
        let project = Project::empty();
        fs::create_dir(project.repo()).expect("make a directory");
        fs::write(project.root().join("stream"), self.stream()).expect("write the stream");
        let settings = self.settings.iter().filter_map(|s| s.split_once('='));
        let settings = settings.map(|(key, value)| format!("git config {key} '{value}'\n"));
        project.sh(&format!(
            "git init -q -b main\n{}git fast-import --quiet <../stream\ngit reset -q --hard",
            settings.collect::<String>()
        ));
        project
    }
}

fn commit(stream: &mut String, mark: usize, date: i64, parents: &[usize], tree: &Tree) {
    // Writing to a string does not fail.
    let _ = writeln!(
        stream,
        "commit refs/heads/scratch\nmark :{mark}\ncommitter T <t@example.org> {date} +0000\ndata 2\nc\n"
    );
    for (word, parent) in ["from", "merge"].iter().zip(parents) {
        let _ = writeln!(stream, "{word} :{parent}");
    }
    let _ = writeln!(stream, "deleteall");
    for (path, (mode, content)) in tree {
        let _ = match *mode {
            "160000" => writeln!(stream, "M {mode} {content} {path}"),
            _ => writeln!(stream, "M {mode} inline {path}\ndata {}\n{content}", content.len()),
        };
    }
    let _ = writeln!(stream);
}

/// Compares plans with git in repositories of this kind.
#[track_caller]
fn show_exact(weights: Weights) {
    let asked = std::env::var("PLEACH_TEST_SEEDS").unwrap_or_default();
    let seeds: Vec<u64> = match asked.strip_prefix('@').map(str::parse) {
        Some(Ok(seed)) => vec![seed],
        _ => (1..=asked.parse().unwrap_or(1)).collect(),
    };
    for seed in seeds {
        let mut runner = TestRunner::new(ProptestConfig {
            cases: REPOSITORIES,
            rng_seed: RngSeed::Fixed(seed),
            // What failed once becomes a case of `exact_kinds`.
            failure_persistence: None,
            max_shrink_time: TIME_TO_SHRINK,
            ..ProptestConfig::default()
        });
        let ended = runner.run(&history(weights), |history| {
            let project = history.build();
            let compared = compare(&Question {
                project: &project,
                branches: &NAMES[..history.branches],
                options: if history.squash { &["--squash"] } else { &[] },
                from: "repo",
            });
            prop_assert!(
                compared.disagreements.is_empty(),
                "{}",
                compared.disagreements.join("\n")
            );
            Ok(())
        });
        assert!(
            ended.is_ok(),
            "seed {seed}: {}",
            ended.err().map(|e| e.to_string()).unwrap_or_default()
        );
    }
}

const EVEN: Weights = Weights {
    lines: 2,
    renames: 1,
    types: 1,
    attributes: 0,
    merges: 0.1,
    settings: 0,
};

#[test]
fn where_lines_change() {
    show_exact(Weights { lines: 10, ..EVEN });
}

#[test]
fn where_files_and_directories_move() {
    show_exact(Weights {
        renames: 6,
        settings: 1,
        ..EVEN
    });
}

#[test]
fn where_types_change() {
    show_exact(Weights { types: 4, ..EVEN });
}

#[test]
fn where_attributes_and_settings_change() {
    show_exact(Weights {
        lines: 6,
        attributes: 4,
        settings: 3,
        ..EVEN
    });
}

#[test]
fn where_branches_merge_each_other() {
    show_exact(Weights {
        lines: 6,
        merges: 0.6,
        ..EVEN
    });
}
