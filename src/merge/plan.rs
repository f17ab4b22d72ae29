//! Puts the plan together: each branch by itself, then one merge after the other on what has come of it so far.
//!
//! A branch that conflicts with what is there is set aside, tried again at the end, and else left out with the paths
//! it conflicts in. So the merges that the plan names go through one after the other, and give the trees it names.

use std::collections::BTreeSet;
use std::path::Path;

use git2::{Oid, Repository};
use rustix::fs::{Access, access};
use schemars::JsonSchema;
use serde::Serialize;

use super::predict::{Merged, Predictor};
use crate::git::{Drivers, GitError, OLDEST_TO_PLAN, changes_between, version};

/// Stands in [`LeftOut::with`] for the target itself.
pub const TARGET: &str = "<target>";

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The target's branch is gone.
    #[error("the branch {branch}, which the session started from, is gone")]
    NoTarget {
        /// Its name.
        branch: String,
        /// The commit it was at when the session started.
        commit: String,
    },
    /// The git program is too old for `--attr-source`.
    #[error("git {0} cannot plan merges exactly: it has to be {OLDEST_TO_PLAN} or newer")]
    OldGit(crate::git::Version),
    /// git refused.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// A branch that may be merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Without `refs/heads/`.
    pub branch: String,
    /// The task that made it.
    pub task_id: String,
    /// What that was.
    pub title: String,
}

/// What is merged into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Target {
    /// Its branch; none for a detached HEAD.
    pub branch: Option<String>,
    /// Its commit.
    pub commit: String,
}

/// How a branch stands to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BranchState {
    /// It can be merged.
    Ready,
    /// It changes nothing.
    Empty,
    /// It is in the target already.
    Merged,
    /// It conflicts with the target itself.
    Conflicts,
}

impl BranchState {
    /// The word as it stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Empty => "empty",
            Self::Merged => "merged",
            Self::Conflicts => "conflicts",
        }
    }
}

/// A branch by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Branch {
    /// Without `refs/heads/`.
    pub name: String,
    /// How a command names it: its name, or the full one where a tag goes by that name.
    #[serde(skip)]
    pub revision: String,
    /// The task that made it.
    pub task_id: String,
    /// What that was.
    pub title: String,
    /// Its last commit.
    pub head: String,
    /// Where it left the target; none when they have no commit in common.
    pub merge_base: Option<String>,
    /// Commits that the target has not.
    pub commits: usize,
    /// Files that differ from the merge base.
    pub files_changed: usize,
    /// Lines added since.
    pub insertions: usize,
    /// Lines taken away since.
    pub deletions: usize,
    /// How it stands to the target.
    pub state: BranchState,
}

/// One merge, and the tree that it gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Step {
    /// The branch that is merged.
    pub branch: String,
    /// The tree after it.
    pub tree: String,
}

/// A branch that does not merge after all the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LeftOut {
    /// Which.
    pub branch: String,
    /// The merged branches that it conflicts with, or [`TARGET`].
    pub with: Vec<String>,
    /// Where it conflicts; nowhere when it has no commit in common with the target: git then refuses.
    pub paths: Vec<String>,
}

/// The plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MergePlan {
    /// What is merged into.
    pub target: Target,
    /// All branches, in the order of the tasks.
    pub branches: Vec<Branch>,
    /// What can make `git merge` do something else than the plan says: options and hooks of the user's.
    pub cannot_foresee: Vec<String>,
    /// Branches of the session that are not there any more.
    pub missing: Vec<String>,
    /// Settings of drivers that were not there when the session started: the user's git would use them.
    pub unused_drivers: Vec<String>,
    /// The merges, in order.
    pub steps: Vec<Step>,
    /// What is not merged, and why.
    pub left_out: Vec<LeftOut>,
    /// The tree after the last step; without steps the target's.
    pub final_tree: String,
}

/// Plans to merge `candidates` into the branch `onto`, or into the commit `base` when there is no branch. Filter and merge
/// drivers that are not `known` are not run.
pub fn plan(
    common_dir: &Path,
    onto: Option<&str>,
    base: &str,
    candidates: &[Candidate],
    known: &Drivers,
) -> Result<MergePlan, PlanError> {
    let git = version()?;
    if git < OLDEST_TO_PLAN {
        return Err(PlanError::OldGit(git));
    }
    let repository = Repository::open(common_dir).map_err(GitError::libgit2("cannot open the repository"))?;
    let commit = match onto {
        Some(branch) => tip(&repository, branch).ok_or_else(|| PlanError::NoTarget {
            branch: branch.into(),
            commit: base.into(),
        })?,
        None => Oid::from_str(base).map_err(GitError::libgit2("cannot read the base"))?,
    };
    let (predictor, unused_drivers) = Predictor::new(common_dir, known)?;
    let mut missing = Vec::new();
    let mut branches = Vec::new();
    for candidate in candidates {
        match tip(&repository, &candidate.branch) {
            Some(head) => branches.push(look_at(&repository, &predictor, commit, candidate, head)?),
            None => missing.push(candidate.branch.clone()),
        }
    }
    let mut walk = Walk {
        predictor: &predictor,
        target: commit.to_string(),
        at: commit.to_string(),
        steps: Vec::new(),
    };
    let open = |b: &&Branch| matches!(b.state, BranchState::Ready | BranchState::Conflicts) && b.merge_base.is_some();
    let mut aside: Vec<&Branch> = branches.iter().filter(open).collect();
    // What is merged later can make room for what conflicted before: those set aside are tried again.
    loop {
        let tried = aside.len();
        aside = walk.go(aside)?;
        if aside.len() == tried {
            break;
        }
    }
    let mut left_out = Vec::new();
    for branch in &branches {
        if branch.merge_base.is_none() || aside.iter().any(|b| b.name == branch.name) {
            left_out.push(walk.explain(&repository, &branches, branch)?);
        }
    }
    let final_tree = predictor.tree(&walk.at)?;
    Ok(MergePlan {
        cannot_foresee: cannot_foresee(&repository, onto),
        target: Target {
            branch: onto.map(str::to_owned),
            commit: commit.to_string(),
        },
        steps: walk.steps,
        branches,
        missing,
        unused_drivers,
        left_out,
        final_tree,
    })
}

/// The options that `git merge` takes from the configuration of the target, and the hooks that it runs.
fn cannot_foresee(repository: &Repository, onto: Option<&str>) -> Vec<String> {
    let Ok(config) = repository.config().and_then(|mut c| c.snapshot()) else {
        return Vec::new();
    };
    let key = onto.map(|branch| format!("branch.{branch}.mergeOptions"));
    let options = key.and_then(|key| Some(format!("{key} = {}", config.get_str(&key).ok()?)));
    let root = repository.workdir().unwrap_or(repository.path());
    let hooks = match config.get_path("core.hooksPath") {
        Ok(dir) => root.join(dir),
        Err(_) => repository.commondir().join("hooks"),
    };
    let runs = |name: &&str| access(hooks.join(name), Access::EXEC_OK).is_ok();
    let hooks = ["pre-merge-commit", "prepare-commit-msg", "commit-msg", "post-merge"];
    let hooks = hooks.into_iter().filter(runs).map(|name| format!("the hook {name}"));
    options.into_iter().chain(hooks).collect()
}

fn tip(repository: &Repository, branch: &str) -> Option<Oid> {
    repository.refname_to_id(&format!("refs/heads/{branch}")).ok()
}

/// How a command names a branch: git prefers a tag to a branch with the same name.
fn revision(repository: &Repository, branch: &str) -> String {
    let full = format!("refs/heads/{branch}");
    let found = repository.resolve_reference_from_short_name(branch);
    match found.is_ok_and(|reference| reference.name_bytes() == full.as_bytes()) {
        true => branch.to_owned(),
        false => full,
    }
}

fn look_at(
    repository: &Repository,
    predictor: &Predictor,
    target: Oid,
    candidate: &Candidate,
    head: Oid,
) -> Result<Branch, PlanError> {
    let merge_base = repository.merge_base(target, head).ok();
    let changes = changes_between(repository, merge_base.unwrap_or(target), head)?;
    // Not those since the merge base: there may be several of these.
    let ahead = repository.graph_ahead_behind(head, target);
    let (commits, _) = ahead.map_err(GitError::libgit2(format!(
        "cannot count the commits of {}",
        candidate.branch
    )))?;
    let revision = revision(repository, &candidate.branch);
    let state = match merge_base {
        None => BranchState::Conflicts,
        Some(base) if base == head && head != target => BranchState::Merged,
        Some(_) if changes.files_changed == 0 => BranchState::Empty,
        Some(_) => match predictor.merge(&target.to_string(), &head.to_string(), &revision)? {
            Merged::Clean(_) => BranchState::Ready,
            Merged::Conflicts(_) => BranchState::Conflicts,
        },
    };
    Ok(Branch {
        name: candidate.branch.clone(),
        revision,
        task_id: candidate.task_id.clone(),
        title: candidate.title.clone(),
        head: head.to_string(),
        merge_base: merge_base.map(|id| id.to_string()),
        commits,
        files_changed: changes.files_changed,
        insertions: changes.insertions,
        deletions: changes.deletions,
        state,
    })
}

/// The merges so far.
struct Walk<'p> {
    predictor: &'p Predictor,
    target: String,
    at: String,
    steps: Vec<Step>,
}

impl Walk<'_> {
    /// Merges what merges cleanly, one after the other, and gives back the rest.
    fn go<'b>(&mut self, branches: Vec<&'b Branch>) -> Result<Vec<&'b Branch>, PlanError> {
        let mut aside = Vec::new();
        for branch in branches {
            match self.predictor.merge(&self.at, &branch.head, &branch.revision)? {
                Merged::Clean(tree) => {
                    self.at = self.predictor.commit(&tree, &self.at, &branch.head)?;
                    self.steps.push(Step {
                        branch: branch.name.clone(),
                        tree,
                    });
                }
                Merged::Conflicts(_) => aside.push(branch),
            }
        }
        Ok(aside)
    }

    /// Why a branch does not merge after all the others.
    fn explain(&self, repository: &Repository, all: &[Branch], branch: &Branch) -> Result<LeftOut, PlanError> {
        let mut paths = Vec::new();
        if branch.merge_base.is_some()
            && let Merged::Conflicts(found) = self.predictor.merge(&self.at, &branch.head, &branch.revision)?
        {
            paths = found;
        }
        let with = match branch.state {
            BranchState::Conflicts => vec![TARGET.to_owned()],
            _ => self.collides_with(repository, all, branch, &paths)?,
        };
        Ok(LeftOut {
            branch: branch.name.clone(),
            with,
            paths,
        })
    }

    /// The merged branches that conflict with this one when nothing else is merged; when none does by itself, those
    /// that change the same paths.
    fn collides_with(
        &self,
        repository: &Repository,
        all: &[Branch],
        branch: &Branch,
        paths: &[String],
    ) -> Result<Vec<String>, PlanError> {
        let wanted: BTreeSet<&str> = paths.iter().map(String::as_str).collect();
        let merged = self
            .steps
            .iter()
            .filter_map(|s| all.iter().find(|b| b.name == s.branch));
        let merged: Vec<&Branch> = merged.collect();
        let mut near = Vec::new();
        for other in &merged {
            if touches(repository, other, &wanted)? {
                near.push(*other);
            }
        }
        // By a rename, or a directory in the way, they conflict in a path that only one of them knows.
        let suspects = if near.is_empty() { &merged } else { &near };
        let mut with = Vec::new();
        for other in suspects {
            if self.conflict(other, branch)? {
                with.push(other.name.clone());
            }
        }
        if with.is_empty() {
            with = suspects.iter().map(|b| b.name.clone()).collect();
        }
        Ok(with)
    }

    /// Whether two branches conflict when one is merged after the other.
    fn conflict(&self, first: &Branch, second: &Branch) -> Result<bool, PlanError> {
        let Merged::Clean(tree) = self.predictor.merge(&self.target, &first.head, &first.revision)? else {
            return Ok(true);
        };
        let at = self.predictor.commit(&tree, &self.target, &first.head)?;
        let merged = self.predictor.merge(&at, &second.head, &second.revision)?;
        Ok(matches!(merged, Merged::Conflicts(_)))
    }
}

/// Whether a branch changes one of the paths.
fn touches(repository: &Repository, branch: &Branch, paths: &BTreeSet<&str>) -> Result<bool, GitError> {
    let Some(base) = &branch.merge_base else {
        return Ok(true);
    };
    let look = || -> Result<bool, git2::Error> {
        let tree = |id: &str| repository.find_commit(Oid::from_str(id)?)?.tree();
        let diff = repository.diff_tree_to_tree(Some(&tree(base)?), Some(&tree(&branch.head)?), None)?;
        let files = diff
            .deltas()
            .flat_map(|d| [d.old_file().path_bytes(), d.new_file().path_bytes()]);
        Ok(files.flatten().any(|p| paths.contains(&*String::from_utf8_lossy(p))))
    };
    look().map_err(GitError::libgit2(format!("cannot compare {}", branch.name)))
}
