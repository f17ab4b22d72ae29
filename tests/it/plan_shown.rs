//! Shows that a merge plan is true: its commands, typed one after the other into a copy of the repository, give exactly
//! the trees it names, what it leaves out conflicts in exactly the paths it names, and its clean-up works.
//!
//! Everything else that it says is compared with what git says.

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Project, Ran};

/// A repository, and what its plan is.
pub struct Case {
    pub name: &'static str,
    /// A shell script in the checkout before the session; what it leaves is committed.
    pub before: &'static str,
    /// What each agent does.
    pub tasks: &'static [&'static str],
    /// A shell script in the checkout after the session.
    pub after: &'static str,
    /// The ids of the tasks whose branches merge, in order.
    pub steps: &'static str,
    /// The others, with whom they conflict (`<target>`, or ids), and where.
    pub left_out: &'static [(&'static str, &'static str, &'static [&'static str])],
}

pub const CASE: Case = Case {
    name: "",
    before: "",
    tasks: &[],
    after: "",
    steps: "",
    left_out: &[],
};

/// For [`Case::steps`], where versions of git differ: what conflicts then is not given either.
pub const AS_GIT_DOES: &str = "as git does";

/// Plays every case and shows that what its plan says is true.
#[track_caller]
pub fn show_true(cases: &[Case]) {
    let fails = |case: &&Case| catch_unwind(|| Shown::new(case).is_true()).is_err();
    let failed: Vec<&str> = cases.iter().filter(fails).map(|case| case.name).collect();
    assert!(failed.is_empty(), "not true: {failed:?}");
}

/// A case that was played to its end, with its plan and a copy of the repository.
struct Shown {
    project: Project,
    copy: PathBuf,
    printed: [Ran; 2],
    plan: Value,
}

impl Shown {
    #[track_caller]
    fn new(case: &Case) -> Self {
        let project = Project::new();
        script(&project, &project.repo(), case.before);
        script(
            &project,
            &project.repo(),
            "git add -A; git diff --cached --quiet || git commit -qm base",
        );
        let tasks: Vec<(&str, &str)> = ["a", "b", "c", "d", "e"]
            .into_iter()
            .zip(case.tasks.iter().copied())
            .collect();
        project.session(&tasks, &[]).assert_exit(0);
        script(&project, &project.repo(), case.after);
        let copy = project.root().join("copy");
        script(&project, project.root(), "cp -a repo copy");
        let printed = [project.run(&["plan", "--json"]), project.run(&["plan"])];
        let plan = printed[0].json();
        let shown = Self {
            project,
            copy,
            printed,
            plan,
        };
        if case.steps == AS_GIT_DOES {
            return shown;
        }
        let steps: Vec<&str> = shown.each("steps").map(|step| shown.task(step)).collect();
        assert_eq!(steps.join(" "), case.steps, "{:#}", shown.plan);
        let left_out: Vec<(&str, String, Vec<&str>)> = shown
            .each("left_out")
            .map(|left| {
                let with: Vec<&str> = words(&left["with"]).into_iter().map(|w| shown.task_of(w)).collect();
                (shown.task(left), with.join(" "), words(&left["paths"]))
            })
            .collect();
        let expected: Vec<(&str, String, Vec<&str>)> = case
            .left_out
            .iter()
            .map(|(id, with, paths)| (*id, (*with).to_owned(), paths.to_vec()))
            .collect();
        assert_eq!(left_out, expected, "{:#}", shown.plan);
        shown
    }

    fn each(&self, key: &str) -> impl Iterator<Item = &Value> {
        self.plan[key].as_array().expect("a list").iter()
    }

    /// The id of the task whose branch this is about.
    fn task<'a>(&'a self, about: &'a Value) -> &'a str {
        self.task_of(text(&about["branch"]))
    }

    /// The id of the task that made a branch; what is no branch stays as it is.
    fn task_of<'a>(&'a self, name: &'a str) -> &'a str {
        let branch = self.each("branches").find(|b| b["name"] == name);
        branch.map_or(name, |b| text(&b["task_id"]))
    }

    fn is_true(&self) {
        self.says_what_git_says();
        self.adds_nothing();
        self.merges();
        self.conflicts();
        self.cleans_up();
    }

    /// The plan's numbers are git's, and the text has what the JSON has.
    fn says_what_git_says(&self) {
        let git = |arguments: &[&str]| self.project.git(arguments).trim().to_owned();
        let target = text(&self.plan["target"]["commit"]);
        assert_eq!(self.plan["schema"], 1);
        assert_eq!(git(&["rev-parse", "HEAD"]), target);
        let lines = self.printed[1].out();
        for branch in self.each("branches") {
            let (name, head) = (text(&branch["name"]), text(&branch["head"]));
            assert!(lines.contains(name), "{lines}");
            assert_eq!(git(&["rev-parse", &format!("refs/heads/{name}")]), head);
            let commits = git(&["rev-list", "--count", &format!("{target}..{head}")]);
            assert_eq!(branch["commits"].to_string(), commits, "{branch:#}");
            let state = text(&branch["state"]);
            let left = self.each("left_out").find(|left| left["branch"] == *name);
            let step = self.each("steps").any(|step| step["branch"] == *name);
            let with = left.map(|left| words(&left["with"])).unwrap_or_default();
            assert_eq!(with.contains(&"<target>"), left.is_some() && state == "conflicts");
            assert_eq!(left.is_some(), !with.is_empty(), "{branch:#}");
            assert_eq!(
                step || left.is_some(),
                ["ready", "conflicts"].contains(&state),
                "{branch:#}"
            );
            let Some(base) = branch["merge_base"].as_str() else {
                continue;
            };
            assert!(git(&["merge-base", "--all", target, head]).contains(base));
            let counted = git(&["diff", "--shortstat", "-M", base, head]);
            assert_eq!(numbers(branch), shortstat(&counted), "{branch:#}");
            // What is in the target by other commits changes something all the same.
            let nothing = ["empty", "merged"].contains(&state) && !in_by_content(branch);
            assert_eq!(counted.is_empty(), nothing, "{branch:#}");
        }
        for command in words(&self.plan["merge_commands"])
            .iter()
            .chain(&words(&self.plan["cleanup_commands"]))
        {
            assert!(lines.contains(&format!("\n  {command}\n")), "{command:?}: {lines}");
        }
        for left in self.each("left_out") {
            for path in words(&left["paths"]) {
                assert!(lines.contains(&path.replace('\n', "\\n")), "{path:?}: {lines}");
            }
        }
    }

    /// Planning leaves the repository as it is, and says the same again.
    fn adds_nothing(&self) {
        let before = self.listing();
        let again = [self.project.run(&["plan", "--json"]), self.project.run(&["plan"])];
        for (first, second) in self.printed.iter().zip(again) {
            assert_eq!((first.code(), second.code()), (0, 0));
            assert_eq!(first.0, second.0);
        }
        assert_eq!(self.listing(), before);
    }

    /// Every file of the repository with its size.
    fn listing(&self) -> String {
        output(&self.project, &self.project.repo(), "find . -printf '%p %s\\n' | sort")
    }

    /// The commands, typed one after the other.
    fn merges(&self) {
        let commands = words(&self.plan["merge_commands"]);
        let steps: Vec<&Value> = self.each("steps").collect();
        assert_eq!(commands.len(), steps.len());
        let tree = || {
            output(&self.project, &self.copy, "git rev-parse HEAD^{tree}")
                .trim()
                .to_owned()
        };
        for (command, step) in commands.into_iter().zip(steps) {
            script(&self.project, &self.copy, command);
            assert_eq!(tree(), text(&step["tree"]), "{command}");
        }
        assert_eq!(tree(), text(&self.plan["final_tree"]));
        assert_eq!(output(&self.project, &self.copy, "git status --porcelain"), "");
    }

    /// What is left out conflicts after that, and in these paths.
    fn conflicts(&self) {
        for left in self.each("left_out") {
            let mut git = self.project.command("git");
            git.current_dir(&self.copy)
                .args(["merge", "--no-ff", "--no-edit", text(&left["branch"])]);
            let merge = git.output().expect("run git");
            assert!(!merge.status.success(), "{left:#}: {merge:?}");
            let found = output(&self.project, &self.copy, "git diff --name-only --diff-filter=U -z");
            let mut found: Vec<&str> = found.split_terminator('\0').collect();
            found.dedup();
            assert_eq!(found, words(&left["paths"]), "{merge:?}");
            let (hunks, lines) = self.to_resolve(&found);
            assert_eq!(
                (&left["hunks"], &left["lines"]),
                (&hunks.into(), &lines.into()),
                "{left:#}"
            );
            if !found.is_empty() {
                script(&self.project, &self.copy, "git merge --abort");
            }
        }
    }

    /// How many places the files of the checkout have between markers, and how many lines of either side are there; a
    /// file without markers is one place.
    fn to_resolve(&self, paths: &[&str]) -> (usize, usize) {
        let (mut hunks, mut lines) = (0, 0);
        for path in paths {
            let text = std::fs::read(self.copy.join(path)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let is_marker = |line: &str, of: char, label: &str| {
                let rest = line.trim_end().trim_start_matches(of);
                line.starts_with(of) && rest.starts_with(label)
            };
            let starts: Vec<&str> = text.lines().filter(|line| is_marker(line, '<', " HEAD")).collect();
            hunks += starts.len().max(1);
            let mut counts = false;
            let is_end = |line: &str| is_marker(line, '>', " ") && line.contains("-task-");
            for line in text.lines() {
                match () {
                    () if is_marker(line, '<', " HEAD") => counts = true,
                    () if is_marker(line, '|', " ") || is_end(line) => counts = false,
                    // The first after a base: the sides of these tests have others.
                    () if !counts && line.trim_end().len() > 6 && line.trim_end().chars().all(|c| c == '=') => {
                        counts = true;
                    }
                    () => lines += usize::from(counts),
                }
            }
            let with_base = text.lines().any(|line| is_marker(line, '|', " "));
            // Without a base the line between the sides was counted too.
            lines -= if with_base { 0 } else { starts.len() };
        }
        (hunks, lines)
    }

    /// Only what is nowhere else stays.
    fn cleans_up(&self) {
        for command in words(&self.plan["cleanup_commands"]) {
            script(&self.project, &self.copy, command);
        }
        // What is merged into no branch is on no branch but its own.
        let detached = self.plan["target"]["branch"].is_null();
        let unmerged =
            |branch: &&Value| detached || in_by_content(branch) || branch["state"] == "empty" && branch["commits"] != 0;
        let left_out = self.each("left_out").map(|left| text(&left["branch"]));
        let mut kept: Vec<&str> = self
            .each("branches")
            .filter(unmerged)
            .map(|branch| text(&branch["name"]))
            .chain(left_out)
            .collect();
        kept.sort_unstable();
        kept.dedup();
        let left = output(
            &self.project,
            &self.copy,
            "git for-each-ref --format='%(refname:lstrip=2)' refs/heads | grep -e -task- || true",
        );
        assert_eq!(left.lines().collect::<Vec<_>>(), kept);
    }
}

/// Whether the target has what a branch changes, and not its commits.
fn in_by_content(branch: &Value) -> bool {
    branch["state"] == "merged" && branch["commits"] != 0
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

pub fn words(value: &Value) -> Vec<&str> {
    value.as_array().expect("a list").iter().map(text).collect()
}

fn numbers(branch: &Value) -> [u64; 3] {
    ["files_changed", "insertions", "deletions"].map(|key| branch[key].as_u64().expect("a number"))
}

/// The numbers of ` 2 files changed, 3 insertions(+), 1 deletion(-)`, of which any may be missing.
fn shortstat(line: &str) -> [u64; 3] {
    ["file", "insertion", "deletion"].map(|what| {
        let part = line.split(',').find(|part| part.contains(what));
        let number = part.and_then(|part| part.split_whitespace().next());
        number.map_or(0, |number| number.parse().expect("a number"))
    })
}

/// Runs a shell script in a directory; it must succeed.
#[track_caller]
pub fn script(project: &Project, directory: &Path, script: &str) {
    output(project, directory, script);
}

/// What such a script prints.
#[track_caller]
pub fn output(project: &Project, directory: &Path, script: &str) -> String {
    let mut shell = project.command("sh");
    let ran = shell.current_dir(directory).args(["-ec", script]).output();
    let ran = ran.expect("run a shell");
    assert!(ran.status.success(), "{script}: {ran:?}");
    String::from_utf8(ran.stdout).expect("UTF-8")
}
