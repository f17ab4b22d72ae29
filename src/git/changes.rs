//! What lies between two commits, in numbers.

use git2::{Delta, DiffFindOptions, Index, Oid, Repository};
use serde::{Deserialize, Serialize};

use super::GitError;

/// How much a branch changed against a commit it started from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Commits that the branch has and the other has not.
    pub commits: usize,
    /// Files that differ; a renamed one counts once.
    pub files_changed: usize,
    /// Files that have another name. Those of sessions of version 0.1.0 were not counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub renames: usize,
    /// Lines that were added.
    pub insertions: usize,
    /// Lines that were taken away.
    pub deletions: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Compares the trees of two commits, and counts the commits from one to the other.
pub fn changes_between(repository: &Repository, from: Oid, to: Oid) -> Result<Changes, GitError> {
    let count = || -> Result<Changes, git2::Error> {
        let mut walk = repository.revwalk()?;
        walk.push(to)?;
        walk.hide(from)?;
        let commits = walk.count();
        // Counting lines looks for attributes in the index, which is none of this diff's, and which libgit2 cannot
        // read when it is sparse or split.
        repository.set_index(&mut Index::new()?)?;
        let old = repository.find_commit(from)?.tree()?;
        let new = repository.find_commit(to)?.tree()?;
        let mut diff = repository.diff_tree_to_tree(Some(&old), Some(&new), None)?;
        diff.find_similar(Some(DiffFindOptions::new().renames(true)))?;
        let renames = diff.deltas().filter(|d| d.status() == Delta::Renamed).count();
        let stats = diff.stats()?;
        Ok(Changes {
            commits,
            files_changed: stats.files_changed(),
            renames,
            insertions: stats.insertions(),
            deletions: stats.deletions(),
        })
    };
    count().map_err(GitError::libgit2(format!("cannot compare {from} with {to}")))
}
