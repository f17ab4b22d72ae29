//! Shows that a merge plan is exact: everything that it says of merges is compared with what `git merge` does in a
//! checkout of a copy of the repository, with its configuration.
//!
//! Each branch alone, each pair (also those that no merge was predicted for), the printed commands one after the other,
//! what is left out after that, and larger sets where more might have merged. `git merge-tree`, by which plans are
//! made, is no witness here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::exact_git::{Did, Reference, is_said};
use crate::plan_shown::{text, words};
use crate::support::{Project, Ran, contents, ran};

/// Sets of up to so many branches are merged to find out whether more could have been planned.
const ALL_SETS_OF: usize = 5;

/// What a plan is asked for, in a repository that lies in `repo`.
pub struct Question<'a> {
    pub project: &'a Project,
    pub branches: &'a [&'a str],
    /// More of the command line.
    pub options: &'a [&'a str],
    /// The directory that it is asked from, beside the repository.
    pub from: &'a str,
}

/// What came of it.
pub struct Compared {
    /// All that git printed.
    pub said: String,
    /// Where plan and git do not agree.
    pub disagreements: Vec<String>,
}

/// Asks for the plan, and compares it with git.
pub fn compare(question: &Question) -> Compared {
    let repository = question.project.repo().join(".git");
    let before = contents(&repository, |_| false);
    let planned = question.plan();
    let mut disagreements = Vec::new();
    if planned.code() != 0 {
        disagreements.push(format!("no plan: {planned:?}"));
    }
    if contents(&repository, |_| false) != before {
        disagreements.push("the repository is not what it was".to_owned());
    }
    let plan = match planned.code() {
        0 => planned.json(),
        _ => Value::Null,
    };
    let git = Reference::new(question.project, question.squashes());
    let mut comparison = Comparison {
        question,
        plan: &plan,
        git: &git,
        disagreements,
    };
    if !plan.is_null() {
        comparison.all();
    }
    let disagreements = comparison.disagreements;
    Compared {
        said: git.said(),
        disagreements,
    }
}

impl Question<'_> {
    fn plan(&self) -> Ran {
        let mut command = self.project.pleach_command(&["plan", "--json"]);
        for branch in self.branches {
            command.args(["--branch", branch]);
        }
        command.args(self.options);
        ran(command.current_dir(self.project.root().join(self.from)))
    }

    fn squashes(&self) -> bool {
        self.options.contains(&"--squash")
    }
}

struct Comparison<'a> {
    question: &'a Question<'a>,
    plan: &'a Value,
    git: &'a Reference<'a>,
    disagreements: Vec<String>,
}

impl<'a> Comparison<'a> {
    fn all(&mut self) {
        let names: Vec<&str> = self.each("branches").map(|b| text(&b["name"])).collect();
        self.agree("the branches", &names, &self.question.branches.to_vec());
        self.alone();
        let order = self.order();
        self.pairs(&order);
        self.steps();
        self.left_out();
        if self.plan["optimal"] == true && order.len() <= ALL_SETS_OF {
            self.no_larger_set_merges(&order);
        }
    }

    fn each(&self, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        let plan = self.plan;
        plan[key].as_array().expect("a list").iter()
    }

    fn agree<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, plan: &T, git: &T) {
        if plan != git {
            self.disagreements.push(format!("{what}: plan {plan:?}, git {git:?}"));
        }
    }

    fn branch(&self, index: usize) -> &'a str {
        self.question.branches[index]
    }

    fn state(&self, index: usize) -> &'a str {
        let plan = self.plan;
        text(&plan["branches"][index]["state"])
    }

    fn tree_of_target(&self) -> String {
        match self.git.did("target") {
            Did::Merged(_, tree) => tree,
            Did::Conflict(_) => unreachable!("nothing was merged"),
        }
    }

    /// Each branch merged into the target.
    fn alone(&mut self) {
        let all: Vec<usize> = (0..self.question.branches.len()).collect();
        self.git.try_all(&self.sets(all.iter().map(|i| vec![*i])));
        let target = self.tree_of_target();
        for index in all {
            let what = format!("the state of {}", self.branch(index));
            let state = self.state(index);
            let right = match self.git.did(&label(&[index])) {
                Did::Merged(_, tree) if tree == target => ["merged", "empty"].contains(&state),
                Did::Merged(..) => state == "ready" || state == "merged" && self.same_patch(index),
                Did::Conflict(_) => state == "conflicts" || state == "merged" && self.same_patch(index),
            };
            if !right {
                let did = self.git.did(&label(&[index]));
                self.disagreements.push(format!("{what}: plan {state}, git {did:?}"));
            }
        }
    }

    /// Whether the target has every change of a branch as a patch of its own, or all together in one.
    fn same_patch(&self, index: usize) -> bool {
        let head = text(&self.plan["branches"][index]["head"]);
        let target = text(&self.plan["target"]["commit"]);
        let script = format!(
            "if git cherry {target} {head} | grep -q '^-' && ! git cherry {target} {head} | grep -q '^+'; then echo one by one; fi
            base=$(git merge-base {target} {head})
            whole=$(git diff $base {head} | git patch-id --verbatim | cut -d' ' -f1)
            if git log -p $base..{target} | git patch-id --verbatim | grep \"^$whole \"; then echo all together; fi"
        );
        !self.git.run(&script).is_empty()
    }

    /// The branches that can be merged, in the order in which they are: that in which they were given, but one that
    /// contains another follows it.
    fn order(&self) -> Vec<usize> {
        let history = self.git.history();
        let head = |i: usize| text(&self.plan["branches"][i]["head"]);
        let mut waiting: Vec<usize> = (0..self.question.branches.len())
            .filter(|i| self.state(*i) == "ready")
            .collect();
        let mut order = Vec::new();
        while !waiting.is_empty() {
            let free = |i: &usize| !waiting.iter().any(|other| history[head(*i)].contains(head(*other)));
            let next = waiting.iter().position(free).expect("history has no circle");
            order.push(waiting.remove(next));
        }
        order
    }

    fn pairs(&mut self, order: &[usize]) {
        let pairs: Vec<Vec<usize>> = pairs_of(order);
        self.git.try_all(&self.sets(pairs.iter().cloned()));
        let number = |key: &str| self.plan["pairs"][key].as_u64().expect("a number");
        let (checked, merged) = (number("checked"), number("merged"));
        self.agree("pairs", &checked, &(pairs.len() as u64));
        if merged > checked {
            self.disagreements.push(format!("{merged} of {checked} pairs merged"));
        }
        let mut planned: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        let mut kinds: BTreeMap<(String, String), Vec<&Value>> = BTreeMap::new();
        for conflict in self.plan["pairs"]["conflicts"].as_array().expect("a list") {
            let paths = conflict["paths"].as_array().expect("a list");
            let names = (text(&conflict["a"]).to_owned(), text(&conflict["b"]).to_owned());
            kinds.insert(names.clone(), paths.iter().collect());
            planned.insert(names, paths.iter().map(|p| text(&p["path"]).to_owned()).collect());
        }
        let mut done = BTreeMap::new();
        for pair in pairs {
            if let Did::Conflict(paths) = self.git.did(&label(&pair)) {
                let names = (self.branch(pair[0]).to_owned(), self.branch(pair[1]).to_owned());
                // Where git leaves no path unmerged the plan names one that it is told of.
                let told = planned.get(&names).filter(|_| paths.is_empty()).cloned();
                let said = self.git.said_of(&label(&pair));
                let unsaid = kinds.get(&names).into_iter().flatten().filter(|c| !is_said(&said, c));
                let unsaid: Vec<String> = unsaid.map(|c| format!("git does not say {c}: {said}")).collect();
                self.disagreements.extend(unsaid);
                done.insert(names, told.unwrap_or(paths));
            }
        }
        self.agree("the pairs that conflict", &planned, &done);
    }

    /// The commands, typed one after the other.
    fn steps(&mut self) {
        let repository = self.question.project.repo();
        let [repository, copy] = [&repository, &self.git.copy].map(|p| p.to_str().expect("UTF-8"));
        let commands = words(&self.plan["merge_commands"]);
        let typed = commands.into_iter().map(|command| {
            let merges = if command.contains("git merge ") { "echo next" } else { ":" };
            let command = command.replace(repository, copy);
            let refused = shlex::try_quote(&command).expect("no NUL in a command");
            format!(
                "{merges}\n{command} >>\"$results/typed.said\" 2>&1 || echo refused: {refused}\ngit rev-parse 'HEAD^{{tree}}'\n"
            )
        });
        let typed = typed.collect::<String>();
        let end = r#"git rev-parse HEAD >"$results/end.merged"; trees"#;
        let printed = self
            .git
            .run(&format!("clean {}\n{typed}{end}", text(&self.plan["target"]["commit"])));
        let mut trees = Vec::new();
        for line in printed.lines() {
            match line {
                "next" => trees.push(String::new()),
                refused if refused.starts_with("refused") => self.disagreements.push(refused.to_owned()),
                // After what comes before the first merge, and after each command of one.
                tree => trees
                    .iter_mut()
                    .last()
                    .into_iter()
                    .for_each(|last| tree.clone_into(last)),
            }
        }
        let mut planned: Vec<String> = self.each("steps").map(|s| text(&s["tree"]).to_owned()).collect();
        if self.question.squashes() {
            // Nothing is typed for what changes nothing: git does not commit that.
            let mut last = self.tree_of_target();
            planned.retain(|tree| std::mem::replace(&mut last, tree.clone()) != *tree);
        }
        self.agree("the trees of the steps", &planned, &trees);
        let last = trees.pop().unwrap_or_else(|| self.tree_of_target());
        self.agree("the final tree", &text(&self.plan["final_tree"]), &&*last);
    }

    /// What is left out conflicts after the last step, where the plan says.
    fn left_out(&mut self) {
        let left: BTreeSet<String> = self.each("left_out").map(|l| text(&l["branch"]).to_owned()).collect();
        let step: BTreeSet<String> = self.each("steps").map(|l| text(&l["branch"]).to_owned()).collect();
        let open = (0..self.question.branches.len()).filter(|i| ["ready", "conflicts"].contains(&self.state(*i)));
        let open: BTreeSet<String> = open.map(|i| self.branch(i).to_owned()).collect();
        self.agree("what is merged or left out", &(&left | &step), &open);
        for (at, left) in self.each("left_out").enumerate() {
            let branch = text(&left["branch"]);
            let label = format!("left{at}");
            self.git.try_all(&[(label.clone(), "end".to_owned(), branch)]);
            let paths: BTreeSet<String> = words(&left["paths"]).into_iter().map(str::to_owned).collect();
            let did = match self.git.did(&label) {
                Did::Conflict(none) if none.is_empty() => Did::Conflict(paths.clone()),
                did => did,
            };
            if let Did::Conflict(paths) = &did {
                let number = |key: &str| left[key].as_u64().expect("a number");
                let takes = (number("hunks"), number("lines"));
                self.agree(&format!("what {branch} takes"), &takes, &self.git.takes(paths));
            }
            self.agree(&format!("{branch} after all"), &Did::Conflict(paths), &did);
        }
    }

    /// No larger set merges of which no part conflicts either.
    fn no_larger_set_merges(&mut self, order: &[usize]) {
        let steps = self.each("steps").count();
        let merges = |set: &[usize]| matches!(self.git.did(&label(set)), Did::Merged(..));
        let mut fit: Vec<Vec<usize>> = order.iter().map(|i| vec![*i]).collect();
        for size in 2..=steps + 1 {
            // Each that fits, and one that comes later: all parts that leave out one have to fit too.
            let mut sets = Vec::new();
            for set in &fit {
                let last = order.iter().position(|i| set.last() == Some(i)).expect("a branch");
                for next in &order[last + 1..] {
                    let larger = [&set[..], &[*next]].concat();
                    let without = |at: usize| [&larger[..at], &larger[at + 1..]].concat();
                    if (0..size).all(|at| fit.contains(&without(at))) {
                        sets.push(larger);
                    }
                }
            }
            if size > 2 {
                self.git.try_all(&self.sets(sets.iter().cloned()));
            }
            fit = sets.into_iter().filter(|set| merges(set)).collect();
        }
        if let Some(set) = fit.first().filter(|set| set.len() > steps) {
            let names: Vec<&str> = set.iter().map(|i| self.branch(*i)).collect();
            self.disagreements
                .push(format!("more would merge than {steps}: {names:?}"));
        }
    }

    /// What to try so that each set is merged, whose last is merged after all others were.
    fn sets(&self, sets: impl Iterator<Item = Vec<usize>>) -> Vec<(String, String, &'a str)> {
        sets.map(|set| {
            let (last, first) = set.split_last().expect("no set is empty");
            (label(&set), label(first), self.question.branches[*last])
        })
        .collect()
    }
}

/// Each two, in this order.
fn pairs_of(order: &[usize]) -> Vec<Vec<usize>> {
    let after = |at: usize| order[at + 1..].iter().map(move |b| vec![order[at], *b]);
    (0..order.len()).flat_map(after).collect()
}

/// What a merge of these, one after the other, is called.
fn label(set: &[usize]) -> String {
    let parts: Vec<String> = set.iter().map(ToString::to_string).collect();
    if parts.is_empty() {
        "target".to_owned()
    } else {
        parts.join("-")
    }
}
