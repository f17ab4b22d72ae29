//! What differs between two trees, entry by entry: without renames, and with names as bytes.
//!
//! Called by `engine`, for the files of attributes, and by `overlap`. libgit2's own diff would pair names that differ
//! only in case where `core.ignorecase` is set; git's merges never do.

use std::cmp::Ordering;

use git2::{ObjectType, Oid, Repository, Tree, TreeEntry};

use crate::git::GitError;

/// A file, link or submodule: its mode and its object.
pub(super) type Entry = (i32, Oid);

/// What differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    /// Files, links and submodules that are not the same: what they were, and what they are. In no order.
    pub entries: Vec<(Vec<u8>, Option<Entry>, Option<Entry>)>,
    /// Directories that are none any more.
    pub gone: Vec<Vec<u8>>,
}

/// Whether it is a file of attributes.
pub(super) fn is_attributes(path: &[u8]) -> bool {
    path.rsplit(|&b| b == b'/').next() == Some(b".gitattributes")
}

/// Compares the trees of two commits.
pub(super) fn changed(repository: &Repository, from: Oid, to: Oid) -> Result<Changed, GitError> {
    let mut changed = Changed::default();
    let mut compare = || {
        let (old, new) = (
            repository.find_commit(from)?.tree()?,
            repository.find_commit(to)?.tree()?,
        );
        changed.compare(repository, b"", Some(&old), Some(&new))
    };
    compare().map_err(GitError::libgit2(format!("cannot compare {from} with {to}")))?;
    Ok(changed)
}

impl Changed {
    fn compare(
        &mut self,
        repository: &Repository,
        directory: &[u8],
        old: Option<&Tree>,
        new: Option<&Tree>,
    ) -> Result<(), git2::Error> {
        if old.map(Tree::id) == new.map(Tree::id) {
            return Ok(());
        }
        let (old, new) = (sorted(old), sorted(new));
        let (mut left, mut right) = (old.iter().peekable(), new.iter().peekable());
        loop {
            let order = match (left.peek(), right.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => a.name_bytes().cmp(b.name_bytes()),
            };
            let a = if order.is_le() { left.next() } else { None };
            let b = if order.is_ge() { right.next() } else { None };
            self.entry(repository, directory, a, b)?;
        }
    }

    fn entry(
        &mut self,
        repository: &Repository,
        directory: &[u8],
        old: Option<&TreeEntry>,
        new: Option<&TreeEntry>,
    ) -> Result<(), git2::Error> {
        let same = |a: &TreeEntry, b: &TreeEntry| a.id() == b.id() && a.filemode_raw() == b.filemode_raw();
        if let (Some(a), Some(b)) = (old, new)
            && same(a, b)
        {
            return Ok(());
        }
        let Some(either) = old.or(new) else {
            return Ok(());
        };
        let mut path = directory.to_vec();
        path.extend(either.name_bytes());
        let tree = |entry: Option<&TreeEntry>| match entry {
            Some(e) if e.kind() == Some(ObjectType::Tree) => repository.find_tree(e.id()).map(Some),
            _ => Ok(None),
        };
        let (old_tree, new_tree) = (tree(old)?, tree(new)?);
        let file = |entry: Option<&TreeEntry>, is_tree: bool| {
            let entry = entry.filter(|_| !is_tree)?;
            Some((entry.filemode_raw(), entry.id()))
        };
        let (old, new) = (file(old, old_tree.is_some()), file(new, new_tree.is_some()));
        if old.is_some() || new.is_some() {
            self.entries.push((path.clone(), old, new));
        }
        if old_tree.is_some() && new_tree.is_none() {
            self.gone.push(path.clone());
        }
        path.push(b'/');
        self.compare(repository, &path, old_tree.as_ref(), new_tree.as_ref())
    }
}

/// The entries by their names: git orders a directory as if its name ended with a slash.
fn sorted<'t>(tree: Option<&'t Tree>) -> Vec<TreeEntry<'t>> {
    let mut entries: Vec<TreeEntry> = tree.into_iter().flat_map(Tree::iter).collect();
    entries.sort_by(|a, b| a.name_bytes().cmp(b.name_bytes()));
    entries
}
