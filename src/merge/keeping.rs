//! Merges for what is to land: asked of git just as they are when they are planned, but with objects that stay.

use git2::Oid;
use tempfile::TempDir;

use super::engine::{Ask, Asking};
use crate::git::{Git, GitError};

/// Merges into the repository's own objects.
pub struct Keeping {
    asking: Asking,
    _scratch: TempDir,
}

impl Keeping {
    /// By `git`, which is on the repository and knows no work tree.
    pub fn new(git: &Git) -> Result<Self, GitError> {
        let unmade = "cannot make a directory for temporary files";
        let scratch = tempfile::tempdir().map_err(GitError::io(unmade))?;
        // Drivers have their files in it.
        let work_tree = scratch.path().join("work-tree");
        std::fs::create_dir(&work_tree).map_err(GitError::io(unmade))?;
        Ok(Self {
            asking: Asking::new(git.clone().with_work_tree(work_tree), scratch.path())?,
            _scratch: scratch,
        })
    }

    /// The tree that `git merge` gives in a clean checkout of `ours`, or where it conflicts.
    pub fn merge(&self, ours: Oid, theirs: Oid) -> Result<Result<Oid, Vec<String>>, GitError> {
        let answer = self.asking.one(Ask {
            ours,
            theirs,
            name: "",
            after: None,
        })?;
        Ok(match answer.conflicts {
            None => Ok(answer.tree),
            Some(paths) => Err(paths
                .into_iter()
                .map(|(path, _)| String::from_utf8_lossy(&path).into_owned())
                .collect()),
        })
    }
}
