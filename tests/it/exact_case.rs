//! A repository with some branches, of which [`crate::exact`] compares the plans with git: of merges and of squashes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::exact::{Question, compare};
use crate::plan_shown::script;
use crate::support::Project;

/// A repository, and what git says of merges in it.
pub struct Case {
    pub name: &'static str,
    /// A shell script that makes what all branches start from.
    pub base: &'static str,
    /// What is done on the branches `a`, `b`, and so on, each from the base; what a script leaves is committed.
    pub branches: &'static [&'static str],
    /// A shell script on `main` when all branches are there.
    pub after: &'static str,
    /// What git has to say at one of the merges: the case is what it is called. Nothing: that nothing conflicts.
    pub says: &'static [&'static str],
    /// Whether squashes are compared as well. What the target has after one branch is the same commit or not; that can
    /// only matter to others which share commits with it.
    pub squashed: bool,
}

pub const CASE: Case = Case {
    name: "",
    base: "",
    branches: &[],
    after: "",
    says: &[],
    squashed: false,
};

/// What scripts have: a file with lines, and changing one of them.
const WORDS: &str = r#"
lines() { mkdir -p "$(dirname "$1")"; seq "${2:-12}" | sed "s|$|  of $1|" >"$1"; }
set_line() { sed -i "$2s/.*/$3/" "$1"; }
keep() { git add -A; git diff --cached --quiet || git commit -qm "$1"; }
"#;

#[track_caller]
pub fn show_exact(cases: &[Case]) {
    let failed: Vec<String> = cases.iter().flat_map(Case::disagreements).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

impl Case {
    fn disagreements(&self) -> Vec<String> {
        let compare = || {
            let project = self.build();
            let mut found = self.compared(&project, &[]);
            if self.squashed {
                found.extend(self.compared(&project, &["--squash"]));
            }
            found
        };
        let found = catch_unwind(AssertUnwindSafe(compare)).unwrap_or_else(|_| vec!["it cannot be tried".to_owned()]);
        found.iter().map(|what| format!("{}: {what}", self.name)).collect()
    }

    fn names(&self) -> Vec<&'static str> {
        ["a", "b", "c", "d", "e", "f"][..self.branches.len()].to_vec()
    }

    fn build(&self) -> Project {
        let project = Project::new();
        let mut lines = format!("{WORDS}\n{}\nkeep base\nbase=$(git rev-parse HEAD)\n", self.base);
        for (name, done) in self.names().iter().zip(self.branches) {
            lines += &format!("git checkout -q -b {name} $base\n{done}\nkeep {name}\n");
        }
        lines += &format!("git checkout -q main\n{}", self.after);
        script(&project, &project.repo(), &lines);
        project
    }

    fn compared(&self, project: &Project, options: &[&str]) -> Vec<String> {
        let compared = compare(&Question {
            project,
            branches: &self.names(),
            options,
            from: "repo",
        });
        let mut found = compared.disagreements;
        let unsaid = self.says.iter().filter(|words| !compared.said.contains(**words));
        found.extend(unsaid.map(|words| format!("git does not say {words:?}: {}", compared.said)));
        if self.says.is_empty() && compared.said.contains("CONFLICT") {
            found.push(format!("git says: {}", compared.said));
        }
        found.iter().map(|what| format!("{options:?} {what}")).collect()
    }
}
