//! Makes the commit that a task starts from which depends on several others: the merge of what they have come to, one
//! after the other in the order of the list, as the user's `git merge` would make it in a clean checkout.
//!
//! It is made off to the side, and is the same however often it is made: its names and dates come from the session and
//! from what is merged. What another one already contains is not merged again. Before anybody hears of it, it is kept
//! under a ref of the task's own.

use std::fmt::Display;

use git2::{Oid, Repository, Signature, Time};

use super::act::{Shared, without};
use super::decide::{Input, NoWorktree};
use crate::git::{Git, GitError, OLDEST_TO_PLAN, decides_merges, version, without_foreign};
use crate::merge::Keeping;
use crate::session::{SessionState, Site};
use crate::store::failpoint;
use crate::task::TaskId;
use crate::words::few;
use crate::worktree::snapshot::Snapshot;
use crate::worktree::{self, Workshop, WorktreeError};

/// How its message names the task and the session that it was made for.
const OF_TASK: &str = "Pleach-Task";
const OF_SESSION: &str = "Pleach-Session";

/// What a task depends on has come to this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Its branch, to name it by.
    pub branch: String,
    /// Its commit.
    pub head: String,
}

/// A commit to start from.
pub(super) struct Combined {
    pub commit: String,
    /// What the user should know, a line each.
    pub notes: Vec<String>,
}

/// Merges these, and pins what comes of it.
pub(super) fn combine(shop: &Workshop, task: &TaskId, parts: &[Part]) -> Result<Combined, NoWorktree> {
    let broken = |e: GitError| {
        let e = WorktreeError::from(e);
        without(e.to_string(), shop.shortage_behind(&e))
    };
    let found = version().map_err(broken)?;
    if found < OLDEST_TO_PLAN {
        let error = format!("git {found} cannot merge what it depends on: that needs {OLDEST_TO_PLAN} or newer");
        return Err(NoWorktree::Failed(error));
    }
    let merging = Merging::new(shop, task).map_err(broken)?;
    let parts = merging.independent(parts).map_err(broken)?;
    let combined = match merging.merged(&parts).map_err(broken)? {
        Ok(commit) => commit,
        Err(conflict) => return Err(NoWorktree::Conflict(conflict)),
    };
    failpoint::passed("combined");
    let commit = combined.to_string();
    worktree::pin_base(shop, task, &commit).map_err(|e| without(e.to_string(), shop.shortage_behind(&e)))?;
    failpoint::passed("base-pinned");
    Ok(Combined {
        commit,
        notes: merging.notes,
    })
}

struct Merging<'a> {
    shop: &'a Workshop,
    task: &'a TaskId,
    git: Git,
    repository: Repository,
    merges: Keeping,
    notes: Vec<String>,
}

impl<'a> Merging<'a> {
    fn new(shop: &'a Workshop, task: &'a TaskId) -> Result<Self, GitError> {
        let common_dir = &shop.place.common_dir;
        let bare = Git::bare(common_dir)
            // Nothing is fetched: a planted remote could name any command for that.
            .with_variable("GIT_NO_LAZY_FETCH", "1")
            .with_variable("GIT_ALLOW_PROTOCOL", "none")
            // A branch is to lead to it.
            .with_configuration(["core.fsync=committed".to_owned()]);
        let (git, mut foreign) = without_foreign(bare, &shop.drivers)?;
        foreign.retain(|key| decides_merges(key));
        let note =
            |key: String| format!("{key} was configured during the session: what it depends on was merged without");
        Ok(Self {
            shop,
            task,
            merges: Keeping::new(&git)?,
            git,
            repository: Repository::open(common_dir).map_err(GitError::libgit2("cannot open the repository"))?,
            notes: foreign.into_iter().map(note).collect(),
        })
    }

    /// Without those that another one contains, in the same order. Only git knows what is replaced or grafted.
    fn independent<'p>(&self, parts: &'p [Part]) -> Result<Vec<&'p Part>, GitError> {
        let heads = parts.iter().map(|part| part.head.as_str());
        let args: Vec<&str> = ["merge-base", "--independent"].into_iter().chain(heads).collect();
        let said = self.git.run(&args)?;
        let said = String::from_utf8_lossy(&said);
        let left: Vec<&str> = said.lines().collect();
        let mut taken: Vec<&str> = Vec::new();
        let mut first = |head: &'p str| {
            let is_new = !taken.contains(&head);
            taken.push(head);
            is_new
        };
        Ok(parts
            .iter()
            .filter(|part| left.contains(&part.head.as_str()) && first(&part.head))
            .collect())
    }

    /// The merge of all of them, or where it conflicts in words.
    fn merged(&self, parts: &[&Part]) -> Result<Result<Oid, String>, GitError> {
        let Some((first, others)) = parts.split_first() else {
            return Err(GitError::Program {
                args: "merge-base --independent".into(),
                code: Some(0),
                stderr: "it named none of the commits".into(),
            });
        };
        let mut tip = oid(&first.head)?;
        let mut before = vec![*first];
        for part in others {
            let theirs = oid(&part.head)?;
            tip = match self.merges.merge(tip, theirs) {
                Ok(Ok(tree)) => self.commit(tree, tip, theirs, part)?,
                Ok(Err(paths)) => return Ok(Err(self.conflict(&before, part, &paths)?)),
                Err(_) if !self.are_related(tip, theirs)? => return Ok(Err(unrelated(&before, part))),
                Err(e) => return Err(e),
            };
            before.push(*part);
        }
        Ok(Ok(tip))
    }

    /// `the branches of what it depends on conflict: main-task-c with main-task-b in src/a.rs`
    fn conflict(&self, before: &[&Part], part: &Part, paths: &[String]) -> Result<String, GitError> {
        let theirs = oid(&part.head)?;
        let mut with = Vec::new();
        for other in before {
            // Those that have nothing in common conflict in nothing.
            if let Ok(Err(_)) = self.merges.merge(oid(&other.head)?, theirs) {
                with.push(other.branch.as_str());
            }
        }
        if with.is_empty() {
            // It takes several of them.
            with = before.iter().map(|other| other.branch.as_str()).collect();
        }
        Ok(format!(
            "the branches of what it depends on conflict: {} with {} in {}",
            part.branch,
            few(&with),
            few(paths)
        ))
    }

    /// Whether git finds a commit that both go back to: without one it refuses to merge them.
    fn are_related(&self, ours: Oid, theirs: Oid) -> Result<bool, GitError> {
        let args = ["merge-base", &ours.to_string(), &theirs.to_string()];
        Ok(self.git.ask(&args, &[0, 1])?.0 == 0)
    }

    fn commit(&self, tree: Oid, ours: Oid, theirs: Oid, part: &Part) -> Result<Oid, GitError> {
        let write = || -> Result<Oid, git2::Error> {
            let parents = [self.repository.find_commit(ours)?, self.repository.find_commit(theirs)?];
            let date = parents.iter().map(|parent| parent.time().seconds()).max().unwrap_or(0);
            let identity = &self.shop.identity;
            let who = Signature::new(&identity.name, &identity.email, &Time::new(date, 0))?;
            let message = format!(
                "Merge branch '{}' for the task {}\n\n{OF_TASK}: {}\n{OF_SESSION}: {}\n",
                part.branch, self.task, self.task, self.shop.session
            );
            let tree = self.repository.find_tree(tree)?;
            let parents: Vec<_> = parents.iter().collect();
            self.repository.commit(None, &who, &who, &message, &tree, &parents)
        };
        write().map_err(GitError::libgit2("cannot write a merge commit"))
    }
}

/// What keeps the commit that a task starts from, if that is a merge that was made for it. One that cannot be read is what
/// is gone because nothing kept it.
pub(super) fn pinned(shop: &Workshop, task: &TaskId, site: &Site) -> Option<Snapshot> {
    let commit = Oid::from_str(&site.base).ok()?;
    let repository = Repository::open(&shop.place.common_dir).ok()?;
    let is_made_for_it = match repository.find_commit(commit) {
        Ok(found) => {
            let said = String::from_utf8_lossy(found.message_bytes()).into_owned();
            let of = |key: &str, value: &dyn Display| said.lines().any(|line| line == format!("{key}: {value}"));
            found.parent_count() > 1 && of(OF_TASK, task) && of(OF_SESSION, &shop.session)
        }
        Err(_) => true,
    };
    let name = worktree::base_pin_of(shop, task);
    is_made_for_it.then_some(Snapshot { name, commit })
}

/// What a task depends on, as it was settled: one part for each that has a commit, in the order of the list.
pub(super) fn parts(state: &SessionState, task: usize) -> Vec<Part> {
    let mut dependencies = state.graph.dependencies(task).to_vec();
    dependencies.sort_unstable();
    let part = |on: usize| {
        let record = &state.tasks[on];
        let branch = record.site().map(|site| site.branch.clone());
        Some(Part {
            branch: branch.unwrap_or_else(|| record.id.to_string()),
            head: record.settlement()?.head.clone()?,
        })
    };
    dependencies.into_iter().filter_map(part).collect()
}

/// `the branches of what it depends on have no history in common, and git does not merge such: main-task-b with main-task-a`
fn unrelated(before: &[&Part], part: &Part) -> String {
    let with: Vec<&str> = before.iter().map(|other| other.branch.as_str()).collect();
    format!(
        "the branches of what it depends on have no history in common, and git does not merge such: {} with {}",
        part.branch,
        few(&with)
    )
}

fn oid(text: &str) -> Result<Oid, GitError> {
    Oid::from_str(text).map_err(GitError::libgit2(format!("{text:?} is not the id of a commit")))
}

impl Shared {
    /// Makes the commit that a task starts from, and tells of it.
    pub(super) fn combine(&self, task: usize, parts: &[Part]) {
        let made = match &self.shop {
            Some(shop) => (self.files.turn().map_err(NoWorktree::Short))
                .and_then(|_turn| combine(shop, &self.spec.tasks[task].id, parts)),
            None => Err(NoWorktree::Failed("the session has no repository".into())),
        };
        match made {
            Ok(Combined { commit: base, notes }) => {
                for text in notes {
                    self.tell(Input::TaskWarning { task, text });
                }
                self.tell(Input::Combined { task, base });
            }
            Err(why) => self.tell(Input::Provisioned { task, result: Err(why) }),
        }
    }

    /// The repository as a task at `site` uses it.
    pub(super) fn shop_at(&self, shop: &Workshop, site: &Site) -> Result<Workshop, WorktreeError> {
        let base = self.spec.repository.as_ref().map(|repository| &repository.base.commit);
        match base == Some(&site.base) {
            true => Ok(shop.clone()),
            false => shop.starting_from(&site.base),
        }
    }
}
