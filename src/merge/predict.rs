//! Asks git what a merge gives: only git itself predicts git.
//!
//! Everything that is made on the way goes to a temporary object directory with the repository as its alternate, so
//! that the repository gains nothing. Attributes are read from the first parent, as `git merge` in a clean checkout
//! of it reads them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use tempfile::TempDir;

use crate::git::{Drivers, Git, GitError, without_foreign};

/// What merging two commits gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Merged {
    /// This tree.
    Clean(String),
    /// Conflicts in these paths.
    Conflicts(Vec<String>),
}

/// Merges that leave no trace.
#[derive(Debug)]
pub(super) struct Predictor {
    git: Git,
    _objects: TempDir,
}

impl Predictor {
    /// Drivers that are not `known` are not used; their settings are returned.
    pub(super) fn new(common_dir: &Path, known: &Drivers) -> Result<(Self, Vec<String>), GitError> {
        let objects = tempfile::tempdir().map_err(GitError::io("cannot make a directory for temporary objects"))?;
        let git = Git::bare(common_dir)
            .with_variable("GIT_OBJECT_DIRECTORY", objects.path())
            .with_variable(
                "GIT_ALTERNATE_OBJECT_DIRECTORIES",
                in_list(common_dir.join("objects").as_os_str()),
            )
            .with_configuration(["user.name=pleach".into(), "user.email=pleach@localhost".into()]);
        // Nothing is fetched either: a planted remote could name any command for that.
        let git = git
            .with_variable("GIT_NO_LAZY_FETCH", "1")
            .with_variable("GIT_ALLOW_PROTOCOL", "none");
        let (git, foreign) = without_foreign(git, known)?;
        Ok((Self { git, _objects: objects }, foreign))
    }

    /// What `git merge name` gives in a clean checkout of `ours`, when `name` stands for `theirs`; both are commits.
    pub(super) fn merge(&self, ours: &str, theirs: &str, name: &str) -> Result<Merged, GitError> {
        let attributes = format!("--attr-source={ours}");
        let args = [
            &attributes,
            "merge-tree",
            "--write-tree",
            "-z",
            "--name-only",
            "--no-messages",
            ours,
            theirs,
        ];
        let (code, text) = self.git.ask(&args, &[0, 1])?;
        let mut parts = text.split(|&b| b == 0).filter(|p| !p.is_empty());
        let tree = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        if code == 0 {
            return Ok(Merged::Clean(tree));
        }
        // Where a path cannot be taken git adds the name of a side to it, which for `git merge` is what was typed.
        let sides = [
            (format!("~{ours}"), "~HEAD".to_owned()),
            (format!("~{theirs}"), format!("~{}", name.replace('/', "_"))),
        ];
        let mut paths: Vec<String> = parts
            .map(|p| {
                sides
                    .iter()
                    .fold(String::from_utf8_lossy(p).into_owned(), |path, (id, side)| {
                        path.replace(id, side)
                    })
            })
            .collect();
        paths.sort_unstable();
        Ok(Merged::Conflicts(paths))
    }

    /// The commit that such a merge would make, for the next one to start from.
    pub(super) fn commit(&self, tree: &str, ours: &str, theirs: &str) -> Result<String, GitError> {
        let id = self
            .git
            .run(&["commit-tree", tree, "-p", ours, "-p", theirs, "-m", "predicted"])?;
        Ok(String::from_utf8_lossy(&id).trim().to_owned())
    }

    /// The tree of a commit.
    pub(super) fn tree(&self, commit: &str) -> Result<String, GitError> {
        let id = self
            .git
            .run(&["rev-parse", "--verify", &format!("{commit}^{{tree}}")])?;
        Ok(String::from_utf8_lossy(&id).trim().to_owned())
    }
}

/// A path as one entry of a list that is separated by colons: quoted as git does when it has one itself.
fn in_list(path: &OsStr) -> OsString {
    let bytes = path.as_bytes();
    if !bytes.contains(&b':') && !bytes.starts_with(b"\"") {
        return path.to_owned();
    }
    let mut quoted = vec![b'"'];
    for &byte in bytes {
        if matches!(byte, b'"' | b'\\') {
            quoted.push(b'\\');
        }
        quoted.push(byte);
    }
    quoted.push(b'"');
    OsString::from_vec(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_colon_is_one_entry() {
        for (path, entry) in [("/a/b", "/a/b"), ("/a:b\"", "\"/a:b\\\"\"")] {
            assert_eq!(in_list(OsStr::new(path)), entry);
        }
    }
}
