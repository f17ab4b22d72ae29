//! What is kept of a task under `refs/pleach/<session>/<task>/`.
//!
//! `head` is its work as it was settled last, and moves with it. What has a number, `snap/<n>`, `left/<n>` and
//! `attempt/<n>`, never moves and is never written over: what such a ref names stays kept until somebody deletes the
//! ref.

use git2::{ErrorCode, Oid, Repository};

use super::history::beside;
use super::{Workshop, WorktreeError};
use crate::git::{GitError, patiently};
use crate::task::TaskId;

/// Snapshots of running work.
pub(super) const SNAPSHOT: &str = "snap";
/// Commits that the agent had and has no longer.
pub(super) const DROPPED: &str = "left";
/// What an attempt had left before the next one started from the base.
pub(super) const ATTEMPT: &str = "attempt";
/// What was kept before a worktree or a branch went.
pub(super) const CLEANED: &str = "cleaned";

/// The numbered refs of one task.
pub(super) struct Pins<'r> {
    repository: &'r Repository,
    prefix: String,
    /// Kind, number and commit.
    found: Vec<(&'static str, u32, Oid)>,
}

impl<'r> Pins<'r> {
    pub(super) fn read(shop: &Workshop, repository: &'r Repository, task: &TaskId) -> Result<Self, git2::Error> {
        let prefix = shop.pin(task, "");
        let mut found = Vec::new();
        // One that cannot be read, or names no commit, keeps nothing.
        for reference in repository.references_glob(&format!("{prefix}*"))?.flatten() {
            let known = reference
                .name()
                .ok()
                .and_then(|name| numbered(name.strip_prefix(&prefix)?));
            let commit = reference.peel_to_commit().ok().map(|commit| commit.id());
            if let Some(((kind, number), commit)) = known.zip(commit) {
                found.push((kind, number, commit));
            }
        }
        found.sort_unstable();
        Ok(Self {
            repository,
            prefix,
            found,
        })
    }

    /// The ref of the newest snapshot, and what it names, whether that is there or not.
    pub(super) fn newest(
        shop: &Workshop,
        repository: &Repository,
        task: &TaskId,
    ) -> Result<Option<(String, Oid)>, git2::Error> {
        let prefix = shop.pin(task, "");
        let references = repository.references_glob(&format!("{prefix}{SNAPSHOT}/*"))?.flatten();
        let read = |r: git2::Reference<'_>| {
            let (name, target) = (r.name().ok()?.to_owned(), r.target()?);
            Some((numbered(name.strip_prefix(&prefix)?)?.1, name, target))
        };
        Ok(references
            .filter_map(read)
            .max()
            .map(|(_, name, target)| (name, target)))
    }

    /// The commit of the newest snapshot.
    pub(super) fn last_snapshot(&self) -> Option<Oid> {
        self.found
            .iter()
            .rfind(|(kind, ..)| *kind == SNAPSHOT)
            .map(|(.., commit)| *commit)
    }

    /// All of one kind: ref and commit.
    pub(super) fn of(&self, kind: &str) -> Vec<(String, Oid)> {
        let of_kind = self.found.iter().filter(|(found, ..)| *found == kind);
        of_kind
            .map(|(kind, number, commit)| (format!("{}{kind}/{number}", self.prefix), *commit))
            .collect()
    }

    /// Those of `commits` that are kept by no numbered ref and are not before `known`.
    pub(super) fn without(&self, commits: &[Oid], known: &[Oid]) -> Result<Vec<Oid>, git2::Error> {
        if commits.iter().all(|commit| known.contains(commit)) {
            return Ok(Vec::new());
        }
        let mut walk = self.repository.revwalk()?;
        for commit in commits {
            walk.push(*commit)?;
        }
        for commit in known.iter().chain(self.found.iter().map(|(.., commit)| commit)) {
            walk.hide(*commit)?;
        }
        walk.filter(|found| found.as_ref().map_or(true, |id| commits.contains(id)))
            .collect()
    }

    /// Keeps a commit as the next of its kind; gives the name of the ref.
    pub(super) fn keep(&mut self, kind: &'static str, commit: Oid) -> Result<String, GitError> {
        let last = self.found.iter().filter(|(k, ..)| *k == kind).map(|(_, n, _)| *n).max();
        self.keep_from(kind, last.unwrap_or(0).saturating_add(1), commit)
    }

    /// Keeps a commit under this number, or the next one that is free; gives the name of the ref.
    pub(super) fn keep_from(&mut self, kind: &'static str, first: u32, commit: Oid) -> Result<String, GitError> {
        let mut number = first;
        loop {
            let name = format!("{}{kind}/{number}", self.prefix);
            match patiently(|| self.repository.reference(&name, commit, false, "pleach: kept")) {
                Ok(_) => {
                    self.found.push((kind, number, commit));
                    self.found.sort_unstable();
                    return Ok(name);
                }
                // By somebody else at this moment, or unreadable.
                Err(e) if e.code() == ErrorCode::Exists && number < u32::MAX => number += 1,
                Err(e) => return Err(GitError::libgit2(format!("cannot write {name}"))(e)),
            }
        }
    }

    /// Keeps a commit that the agent had dropped, unless it is kept so already; gives the name of its ref.
    pub(super) fn keep_dropped(&mut self, commit: Oid) -> Result<String, GitError> {
        let known = self
            .found
            .iter()
            .find(|(kind, _, kept)| *kind == DROPPED && *kept == commit);
        match known {
            Some((kind, number, _)) => Ok(format!("{}{kind}/{number}", self.prefix)),
            None => self.keep(DROPPED, commit),
        }
    }

    /// Keeps those of `visited` that nothing else keeps: not what is before `known`, and not what is kept already.
    pub(super) fn keep_visited(&mut self, visited: &[Oid], known: [Oid; 2]) -> Result<(), WorktreeError> {
        let doing = || GitError::libgit2("cannot compare the commits of a task");
        let left = self.without(visited, &known).map_err(doing())?;
        for commit in beside(self.repository, left, known).map_err(doing())? {
            self.keep_dropped(commit)?;
        }
        Ok(())
    }
}

/// Reads `snap/3`, `left/3` or `attempt/3`.
pub(super) fn numbered(name: &str) -> Option<(&'static str, u32)> {
    let (kind, number) = name.split_once('/')?;
    let kind = [SNAPSHOT, DROPPED, ATTEMPT].into_iter().find(|known| *known == kind)?;
    Some((kind, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::numbered;

    #[test]
    fn names_with_a_number() {
        for (name, expected) in [
            ("snap/3", Some(("snap", 3))),
            ("left/12", Some(("left", 12))),
            ("attempt/2", Some(("attempt", 2))),
            ("head", None),
            ("snap/x", None),
            ("snap/99999999999", None),
            ("other/1", None),
        ] {
            assert_eq!(numbered(name), expected, "{name}");
        }
    }
}
