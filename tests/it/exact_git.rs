//! What `git merge` does in a checkout of a copy of the repository, with its configuration: the witness of
//! [`crate::exact`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::plan_shown::text;
use crate::support::{Project, ran};

/// What git does in a copy of the repository.
pub struct Reference<'a> {
    project: &'a Project,
    pub copy: PathBuf,
    /// Where each merge leaves what came of it, in files that its label names.
    results: PathBuf,
    script: String,
}

/// What came of a merge.
#[derive(Debug, PartialEq, Eq)]
pub enum Did {
    /// The commit and its tree.
    Merged(String, String),
    /// Where.
    Conflict(BTreeSet<String>),
}

/// `try LABEL FROM REVISION` merges the revision into the commit that was made under another label, in a clean checkout.
const TRY: &str = r#"
dirty=yes
clean() { git reset -q --hard "$1"; test -z "$dirty" || git clean -qffdx; dirty=; }
try() {
    read -r commit <"$results/$2.merged"
    clean "$commit"
    if merge "$3" >"$results/$1.said" 2>&1
    then cat .git/refs/heads/main >"$results/$1.merged"
    else git ls-files -uz >"$results/$1.conflict"; dirty=yes
    fi
}
trees() { cat "$results"/*.merged | git log --no-walk --stdin --format='%H %T' >"$results/trees"; }
"#;

impl<'a> Reference<'a> {
    /// Of merges or squashes.
    pub fn new(project: &'a Project, squashes: bool) -> Self {
        let (copy, results) = (project.root().join("copy"), project.root().join("results"));
        for old in [&copy, &results] {
            if old.exists() {
                fs::remove_dir_all(old).expect("remove what an earlier comparison left");
            }
        }
        fs::create_dir(&results).expect("make a directory");
        let copied = project
            .command("cp")
            .args(["-a"])
            .args([&project.repo(), &copy])
            .status();
        assert!(copied.expect("copy the repository").success());
        let merge = match squashes {
            true => r#"git merge --squash --ff "$1" && git commit -q --allow-empty -m squashed"#,
            false => r#"git merge --no-ff --no-edit "$1""#,
        };
        let script = format!("results={}\nmerge() {{ {merge}; }}\n{TRY}", results.display());
        let reference = Self {
            project,
            copy,
            results,
            script,
        };
        reference.run(r#"git rev-parse HEAD >"$results/target.merged"; trees"#);
        reference
    }

    /// Runs lines of the shell in the copy, and gives what they print.
    pub fn run(&self, lines: &str) -> String {
        let mut shell = self.project.command("sh");
        let script = format!("{}{lines}\n", self.script);
        let ran = ran(shell.current_dir(&self.copy).args(["-ec", &script]));
        assert_eq!(ran.code(), 0, "{lines}: {ran:?}");
        ran.out()
    }

    pub fn try_all<'s>(&self, merges: impl IntoIterator<Item = &'s (String, String, &'s str)>) {
        let lines = merges.into_iter().map(|(label, from, branch)| {
            let branch = shlex::try_quote(branch).expect("no NUL in a name");
            format!("try {label} {from} {branch}\n")
        });
        let lines: String = lines.collect();
        if !lines.is_empty() {
            self.run(&format!("{lines}trees\n"));
        }
    }

    pub fn did(&self, label: &str) -> Did {
        if let Ok(merged) = fs::read_to_string(self.results.join(format!("{label}.merged"))) {
            let commit = merged.trim_end();
            let trees = fs::read_to_string(self.results.join("trees")).expect("the trees of commits");
            let mut trees = trees.lines().filter_map(|line| line.split_once(' '));
            let (_, tree) = trees.find(|(of, _)| *of == commit).expect("the tree of a commit");
            return Did::Merged(commit.to_owned(), tree.to_owned());
        }
        let conflict = fs::read(self.results.join(format!("{label}.conflict"))).expect("a merge that was tried");
        let entries = conflict.split(|b| *b == 0).filter(|e| !e.is_empty());
        let path = |e: &[u8]| {
            String::from_utf8_lossy(&e[1 + e.iter().position(|b| *b == b'\t').expect("a tab")..]).into_owned()
        };
        Did::Conflict(entries.map(path).collect())
    }

    pub fn said(&self) -> String {
        let files = fs::read_dir(&self.results).expect("read a directory");
        let mut files: Vec<PathBuf> = files.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        let said = files.iter().filter(|f| f.extension().is_some_and(|e| e == "said"));
        said.map(|file| String::from_utf8_lossy(&fs::read(file).expect("read a file")).into_owned())
            .collect()
    }

    /// What git printed at one merge.
    pub fn said_of(&self, label: &str) -> String {
        let said = fs::read(self.results.join(format!("{label}.said")));
        String::from_utf8_lossy(&said.expect("a merge that was tried")).into_owned()
    }

    /// How many places and lines are between markers in these files of the checkout; a file without any is one place.
    pub fn takes(&self, paths: &BTreeSet<String>) -> (u64, u64) {
        let (mut hunks, mut lines) = (0, 0);
        for path in paths.iter().map(|path| self.copy.join(path)) {
            let is_file = path.symlink_metadata().is_ok_and(|m| m.is_file());
            let text = if is_file {
                fs::read(&path).expect("read a file")
            } else {
                Vec::new()
            };
            // Markers of other lengths are those of a conflict within one of the sides.
            let (mut found, mut inside, mut counts) = (0, 0, false);
            for line in String::from_utf8_lossy(&text).lines() {
                let length = |mark: char| line.chars().take_while(|c| *c == mark).count();
                let marks = |mark: char| inside > 0 && length(mark) == inside;
                match inside {
                    0 if length('<') >= 7 => (inside, counts) = (length('<'), true),
                    _ if marks('|') => counts = false,
                    _ if marks('=') => counts = true,
                    _ if marks('>') => {
                        inside = 0;
                        found += 1;
                    }
                    _ => lines += u64::from(inside > 0 && counts),
                }
            }
            hunks += found.max(1);
        }
        (hunks, lines)
    }

    /// All commits with all that they contain.
    pub fn history(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut contained: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for line in self.run("git rev-list --all --reverse --topo-order --parents").lines() {
            let (commit, parents) = line.split_once(' ').unwrap_or((line, ""));
            let mut all = BTreeSet::new();
            for parent in parents.split(' ').filter(|p| !p.is_empty()) {
                all.insert(parent.to_owned());
                all.extend(contained.get(parent).cloned().unwrap_or_default());
            }
            contained.insert(commit.to_owned(), all);
        }
        contained
    }
}

/// Whether git has said of the path of a conflict that it is of this kind.
pub fn is_said(said: &str, conflict: &Value) -> bool {
    let (path, kind) = (text(&conflict["path"]), text(&conflict["kind"]));
    match kind {
        "binary" => said.contains(&format!("Cannot merge binary files: {path} (")),
        // Of what had to make way for another type git names the place that both would have.
        "distinct types" => {
            path.rsplit_once('~')
                .is_some_and(|(place, _)| said_of(said, kind, place))
                || said_of(said, kind, path)
        }
        _ => said_of(said, kind, path),
    }
}

fn said_of(said: &str, kind: &str, path: &str) -> bool {
    let kind = format!("{kind})");
    let mut conflicts = said.split("CONFLICT (");
    conflicts.any(|words| words.starts_with(&kind) && words.contains(path))
}
