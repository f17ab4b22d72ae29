//! How commits stand to each other, as git sees it: with `git replace` a commit may have other parents and another tree
//! than is written in it. libgit2, which answers faster, knows nothing of that, and is asked where nothing is replaced.

use git2::{ErrorCode, Oid};

use super::engine::Engine;
use crate::git::GitError;

impl Engine {
    /// The merge bases of two commits, the best first; none of what has nothing in common.
    pub(super) fn merge_bases(&self, one: Oid, other: Oid) -> Result<Vec<Oid>, GitError> {
        if !self.is_plain() {
            return self.commits(&["merge-base", "--all", &one.to_string(), &other.to_string()]);
        }
        match self.repository().merge_bases(one, other) {
            Ok(bases) => Ok(bases.to_vec()),
            Err(e) if e.code() == ErrorCode::NotFound => Ok(Vec::new()),
            Err(e) => Err(GitError::libgit2("cannot find a merge base")(e)),
        }
    }

    /// How many commits a branch has that the target has not.
    pub(super) fn ahead(&self, head: Oid, target: Oid) -> Result<usize, GitError> {
        if !self.is_plain() {
            return Ok(self.ahead_of(head, target)?.len());
        }
        let counted = self.repository().graph_ahead_behind(head, target);
        Ok(counted.map_err(GitError::libgit2("cannot count commits"))?.0)
    }

    /// The commits that a branch has and the target has not.
    pub(super) fn ahead_of(&self, head: Oid, target: Oid) -> Result<Vec<Oid>, GitError> {
        self.ahead_of_all(head, &[target])
    }

    /// The commits that a branch has and none of these has.
    pub(super) fn ahead_of_all(&self, head: Oid, others: &[Oid]) -> Result<Vec<Oid>, GitError> {
        if !self.is_plain() {
            let others = others.iter().map(|other| format!("^{other}"));
            let arguments: Vec<String> = ["rev-list".to_owned(), head.to_string()]
                .into_iter()
                .chain(others)
                .collect();
            return self.commits(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        }
        let walk = || -> Result<Vec<Oid>, git2::Error> {
            let mut walk = self.repository().revwalk()?;
            walk.push(head)?;
            others.iter().try_for_each(|other| walk.hide(*other))?;
            walk.collect()
        };
        walk().map_err(GitError::libgit2("cannot list commits"))
    }

    /// Whether a commit is another one, or contains it.
    pub(super) fn contains(&self, one: Oid, other: Oid) -> Result<bool, GitError> {
        if one == other || !self.is_plain() {
            return Ok(one == other || self.ahead_of(other, one)?.is_empty());
        }
        let found = self.repository().graph_descendant_of(one, other);
        found.map_err(GitError::libgit2("cannot compare two commits"))
    }

    /// The commit that git takes for this one.
    pub(super) fn stand_in(&self, commit: Oid) -> Oid {
        let mut commit = commit;
        if !self.is_plain() {
            let replaced = |id: Oid| self.repository().refname_to_id(&format!("refs/replace/{id}"));
            // git gives up on chains that are longer.
            for _ in 0..5 {
                commit = replaced(commit).unwrap_or(commit);
            }
        }
        commit
    }

    /// How many parents a commit has.
    pub(super) fn parents(&self, commit: Oid) -> Result<usize, GitError> {
        let commit = self.repository().find_commit(self.stand_in(commit));
        Ok(commit
            .map_err(GitError::libgit2("cannot read a commit"))?
            .parent_count())
    }

    /// The tree of a commit.
    pub(super) fn tree_of(&self, commit: Oid) -> Result<Oid, GitError> {
        let commit = self.repository().find_commit(self.stand_in(commit));
        Ok(commit.map_err(GitError::libgit2("cannot read a commit"))?.tree_id())
    }

    /// The commits that git prints.
    fn commits(&self, arguments: &[&str]) -> Result<Vec<Oid>, GitError> {
        // What finds nothing may exit with 1.
        let (_, printed) = self.git().ask(arguments, &[0, 1])?;
        let lines = String::from_utf8_lossy(&printed);
        let ids = lines.lines().map(Oid::from_str).collect::<Result<_, _>>();
        ids.map_err(GitError::libgit2("cannot read what git printed"))
    }
}
