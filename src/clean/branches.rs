//! Looks at the branches of a session: whether all of one is elsewhere, and which commits only refs of ours keep.

use std::collections::BTreeSet;

use git2::{ObjectType, Oid, Repository};

use super::discarded;
use super::survey::{BranchFacts, Grounds, SessionFacts};
use crate::git::{GitError, base_of};
use crate::landing::InTarget;
use crate::session::{Site, Stored};
use crate::worktree::users_of_branch;

/// The branches that a task's branch may be merged into: the one that its session started from, and the one that the
/// user is on.
pub(super) fn targets(
    grounds: &Grounds,
    stored: &Stored,
    repository: &Repository,
) -> Result<Vec<(String, Oid)>, GitError> {
    let own = stored.recorded.spec.repository.as_ref();
    let started_from = own.and_then(|r| r.base.branch.clone());
    let place = grounds.place.iter().chain(own.map(|r| &r.place));
    let here = place
        .filter(|place| own.is_some_and(|r| r.place.common_dir == place.common_dir))
        .find_map(|place| Repository::open(&place.git_dir).ok());
    let current = match here {
        Some(here) => base_of(&here)?.and_then(|base| base.branch),
        None => None,
    };
    let mut found: Vec<(String, Oid)> = Vec::new();
    for name in [started_from, current].into_iter().flatten() {
        let tip = repository.refname_to_id(&format!("refs/heads/{name}")).ok();
        found.extend(tip.map(|tip| (name, tip)));
    }
    found.dedup();
    Ok(found)
}

/// What a task's branch is.
pub(super) fn branch(
    repository: &Repository,
    site: &Site,
    targets: &[(String, Oid)],
    landed: &[InTarget],
) -> Result<BranchFacts, git2::Error> {
    let name = site.branch.clone();
    let reference = match repository.find_reference(&format!("refs/heads/{name}")) {
        Err(e) if e.code() == git2::ErrorCode::NotFound => return Ok(BranchFacts::Gone),
        other => other?,
    };
    let Some(tip) = reference.target() else {
        let why = "it is another name of a ref".into();
        return Ok(BranchFacts::Busy { name, tip: None, why });
    };
    let elsewhere = users_of_branch(repository.commondir(), &name)
        .into_iter()
        .find(|path| *path != site.worktree);
    if let Some(there) = elsewhere {
        let why = format!("it is checked out in {}", there.display());
        return Ok(BranchFacts::Busy {
            name,
            tip: Some(tip),
            why,
        });
    }
    if tip.to_string() == site.base {
        let into = "it has no commits of its own".into();
        return Ok(BranchFacts::Merged { name, tip, into });
    }
    for (target, at) in targets {
        if *at == tip || repository.graph_descendant_of(*at, tip)? {
            let into = format!("it is merged into {target}");
            return Ok(BranchFacts::Merged { name, tip, into });
        }
    }
    if let Some(landed) = landed.iter().find(|l| l.branch == name && l.head == tip) {
        let into = format!("pleach merge has merged it into {}", landed.target);
        return Ok(BranchFacts::Landed { name, tip, into });
    }
    for landed in landed {
        if landed.head == tip || repository.graph_descendant_of(landed.head, tip).unwrap_or(false) {
            let into = format!(
                "pleach merge has merged it into {} inside {}",
                landed.target, landed.branch
            );
            return Ok(BranchFacts::Landed { name, tip, into });
        }
    }
    let mut walk = repository.revwalk()?;
    walk.push(tip)?;
    match targets.first() {
        Some((_, at)) => walk.hide(*at)?,
        None => walk.hide(Oid::from_str(&site.base)?)?,
    }
    let commits = walk.count();
    Ok(BranchFacts::Unmerged { name, tip, commits })
}

/// Counts the commits that only refs of ours lead to, and branches of the session that may go; and what is no commit and
/// only they name: an agent may have deleted a tag, and a tag can be of anything.
pub(super) fn unkept(repository: &Repository, facts: &SessionFacts) -> Result<(usize, usize), git2::Error> {
    let own: Vec<String> = (facts.tasks.iter())
        .filter_map(|task| match &task.branch {
            BranchFacts::Merged { name, .. }
            | BranchFacts::Landed { name, .. }
            | BranchFacts::Unmerged { name, .. } => Some(format!("refs/heads/{name}")),
            _ => None,
        })
        .collect();
    let mut walk = repository.revwalk()?;
    let mut loose = BTreeSet::new();
    for (_, at) in discarded::pins(repository, facts.id)? {
        let object = repository.find_object(at, None)?;
        if object.kind() != Some(ObjectType::Commit) {
            loose.insert(at);
        }
        if let Ok(commit) = object.peel_to_commit() {
            walk.push(commit.id())?;
        }
    }
    for reference in repository.references_glob("refs/heads/*")? {
        let reference = reference?;
        let is_own = reference.name().is_ok_and(|name| own.iter().any(|o| o == name));
        if let Some(at) = reference.target().filter(|_| !is_own) {
            walk.hide(at)?;
        }
    }
    if !loose.is_empty() {
        for reference in repository.references()? {
            let reference = reference?;
            let is_ours = reference.name_bytes().starts_with(b"refs/pleach/");
            if let Some(at) = reference.target().filter(|_| !is_ours) {
                loose.remove(&at);
            }
        }
    }
    Ok((walk.count(), loose.len()))
}
