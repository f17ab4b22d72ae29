//! Finds the commits that names stand for.

use git2::{Oid, Reference, Repository};

use super::plan::{Candidate, PlanError, Target};
use crate::session::Site;

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// A branch without `refs/heads/`; anything else as it was given.
    pub name: String,
    /// How a command names it.
    pub revision: String,
    /// Whether it is a branch of the repository.
    pub is_branch: bool,
    /// The commit.
    pub commit: Oid,
}

impl Resolved {
    /// As the target of a plan.
    pub fn into_target(self) -> Target {
        Target {
            branch: self.is_branch.then_some(self.name),
            commit: self.commit.to_string(),
        }
    }
}

/// What is merged into: a branch, or a tag or a commit.
pub fn target(repository: &Repository, name: &str) -> Result<Resolved, PlanError> {
    resolve(repository, name)
}

/// What is merged: a branch, or a tag or a commit, that no task has made.
pub fn candidate(repository: &Repository, name: &str) -> Result<Candidate, PlanError> {
    let found = resolve(repository, name)?;
    let commit = repository.find_commit(found.commit);
    let title = commit.ok().and_then(|c| c.summary().ok().flatten().map(str::to_owned));
    Ok(Candidate {
        name: found.name,
        revision: found.revision,
        is_branch: found.is_branch,
        head: found.commit,
        task_id: None,
        title: title.unwrap_or_default(),
        base: None,
    })
}

impl Candidate {
    /// The branch of a task; none when it is gone.
    pub fn of_task(repository: &Repository, site: &Site, task_id: &str, title: &str) -> Option<Self> {
        let found = branch_of(repository, &site.branch)?;
        Some(Self {
            name: found.name,
            revision: found.revision,
            is_branch: true,
            head: found.commit,
            task_id: Some(task_id.to_owned()),
            title: title.to_owned(),
            base: Oid::from_str(&site.base).ok(),
        })
    }
}

/// A branch by its name without `refs/heads/`.
fn branch_of(repository: &Repository, branch: &str) -> Option<Resolved> {
    let full = format!("refs/heads/{branch}");
    let commit = repository.refname_to_id(&full).ok()?;
    Some(Resolved {
        name: branch.to_owned(),
        revision: revision(repository, branch, &full),
        is_branch: true,
        commit,
    })
}

fn resolve(repository: &Repository, name: &str) -> Result<Resolved, PlanError> {
    let branch = name.strip_prefix("refs/heads/").unwrap_or(name);
    if let Some(found) = branch_of(repository, branch) {
        return Ok(found);
    }
    let nothing = || PlanError::NoRevision(name.to_owned());
    let (object, reference) = repository.revparse_ext(name).map_err(|_| nothing())?;
    let commit = object.peel_to_commit().map_err(|_| nothing())?.id();
    let full = reference.as_ref().and_then(|r| r.name().ok());
    // HEAD, or the upstream of a branch.
    if let Some(found) = full
        .and_then(|full| full.strip_prefix("refs/heads/"))
        .and_then(|branch| branch_of(repository, branch))
    {
        return Ok(found);
    }
    let full = full.filter(|full| full.starts_with("refs/"));
    let short = reference.as_ref().and_then(|r| r.shorthand().ok());
    Ok(Resolved {
        name: name.to_owned(),
        // What is counted from HEAD is another commit once something was merged.
        revision: match (full, short) {
            (Some(full), Some(short)) => revision(repository, short, full),
            _ => commit.to_string(),
        },
        is_branch: false,
        commit,
    })
}

/// How a command names a ref: by its short name, unless git prefers another ref to it (a tag to a branch), or takes it
/// for an option.
fn revision(repository: &Repository, short: &str, full: &str) -> String {
    let is_it = |r: Reference| r.name_bytes() == full.as_bytes();
    match repository.resolve_reference_from_short_name(short).is_ok_and(is_it) && !short.starts_with('-') {
        true => short.to_owned(),
        false => full.to_owned(),
    }
}
