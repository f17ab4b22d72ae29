//! What lies between two commits, in numbers.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use git2::{Delta, Diff, DiffFindOptions, Index, Oid, Patch, Repository};
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
        let diff = diff(repository, from, to)?;
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

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
    /// It has another content or mode.
    Modified,
    /// It has another name, and perhaps another content.
    Renamed,
    /// It is of another kind: a file was a link, or the like.
    TypeChanged,
}

impl FileChangeKind {
    /// The word as it stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Deleted => "deleted",
            Self::Modified => "modified",
            Self::Renamed => "renamed",
            Self::TypeChanged => "type_changed",
        }
    }
}

/// A file that differs between two commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// Where it is; of a deleted one where it was.
    pub path: PathBuf,
    /// Where a renamed one was.
    pub old_path: Option<PathBuf>,
    /// What became of it.
    pub status: FileChangeKind,
    /// Lines that were added; none for one that is no text.
    pub insertions: Option<usize>,
    /// Lines that were taken away; none for one that is no text.
    pub deletions: Option<usize>,
}

/// The files that differ between the trees of two commits, in git's order.
pub fn files_between(repository: &Repository, from: Oid, to: Oid) -> Result<Vec<FileChange>, GitError> {
    let list = || -> Result<Vec<FileChange>, git2::Error> {
        let diff = diff(repository, from, to)?;
        (0..diff.deltas().len())
            .map(|index| file_change(&diff, index))
            .collect()
    };
    list().map_err(GitError::libgit2(format!("cannot compare {from} with {to}")))
}

fn file_change(diff: &Diff<'_>, index: usize) -> Result<FileChange, git2::Error> {
    // None for a file that is no text.
    let patch = Patch::from_diff(diff, index)?;
    let lines = patch.as_ref().map(Patch::line_stats).transpose()?;
    let delta = diff
        .get_delta(index)
        .ok_or_else(|| git2::Error::from_str("a file has gone"))?;
    let binary = delta.flags().is_binary();
    let lines = lines.filter(|_| !binary);
    let path = |file: git2::DiffFile<'_>| {
        let bytes = file.path_bytes().unwrap_or_default();
        Path::new(std::ffi::OsStr::from_bytes(bytes)).to_owned()
    };
    let (old, new) = (path(delta.old_file()), path(delta.new_file()));
    let status = match delta.status() {
        Delta::Added => FileChangeKind::Added,
        Delta::Deleted => FileChangeKind::Deleted,
        Delta::Renamed => FileChangeKind::Renamed,
        Delta::Typechange => FileChangeKind::TypeChanged,
        _ => FileChangeKind::Modified,
    };
    Ok(FileChange {
        old_path: (status == FileChangeKind::Renamed).then_some(old),
        path: new,
        status,
        insertions: lines.map(|(_, plus, _)| plus),
        deletions: lines.map(|(_, _, minus)| minus),
    })
}

/// Compares the trees of two commits, with renames.
fn diff(repository: &Repository, from: Oid, to: Oid) -> Result<Diff<'_>, git2::Error> {
    // Counting lines looks for attributes in the index, which is none of this diff's, and which libgit2 cannot read when
    // it is sparse or split.
    repository.set_index(&mut Index::new()?)?;
    let old = repository.find_commit(from)?.tree()?;
    let new = repository.find_commit(to)?.tree()?;
    let mut diff = repository.diff_tree_to_tree(Some(&old), Some(&new), None)?;
    diff.find_similar(Some(DiffFindOptions::new().renames(true)))?;
    Ok(diff)
}
