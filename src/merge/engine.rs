//! Asks git what a merge gives: only git itself predicts git.
//!
//! Everything that is made on the way goes to a temporary object directory with the repository as its alternate, so
//! that the repository gains nothing. Attributes are read from the first parent, as `git merge` in a clean checkout
//! of it reads them.

use std::os::unix::fs::symlink;
use std::path::Path;

use git2::{Oid, Repository, Signature, Time};
use schemars::JsonSchema;
use serde::Serialize;
use tempfile::TempDir;

use crate::git::{Drivers, Git, GitError, decides_merges, without_foreign};

/// One path in which a merge conflicts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Conflict {
    /// As `git merge` leaves it in the checkout.
    pub path: String,
    /// The kind of conflict, in git's own words, such as `content` or `modify/delete`.
    pub kind: String,
}

/// A merge that is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    /// The commit that is merged into; attributes are read from it.
    pub ours: Oid,
    /// The commit that is merged.
    pub theirs: Oid,
    /// What would be typed for it: git puts it into the names of paths that it cannot take.
    pub name: &'a str,
}

/// What merging two commits gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Merged {
    /// This tree.
    Clean(Oid),
    /// Conflicts, and the tree with their markers in it.
    Conflicts {
        /// The tree.
        tree: Oid,
        /// Where, in the order of the paths.
        paths: Vec<Conflict>,
    },
}

/// Merges that leave no trace.
pub(super) struct Engine {
    git: Git,
    repository: Repository,
    _objects: TempDir,
}

impl Engine {
    /// Drivers that are not `known` are not used; their settings are returned.
    pub(super) fn new(common_dir: &Path, known: &Drivers) -> Result<(Self, Vec<String>), GitError> {
        let objects = tempfile::tempdir().map_err(GitError::io("cannot make a directory for temporary objects"))?;
        let repository = with_objects_in(common_dir, objects.path())?;
        let git = Git::bare(common_dir).with_variable("GIT_OBJECT_DIRECTORY", objects.path().join("objects"));
        // Nothing is fetched either: a planted remote could name any command for that.
        let git = git
            .with_variable("GIT_NO_LAZY_FETCH", "1")
            .with_variable("GIT_ALLOW_PROTOCOL", "none");
        let (git, mut foreign) = without_foreign(git, known)?;
        foreign.retain(|key| decides_merges(key));
        let engine = Self {
            git,
            repository,
            _objects: objects,
        };
        Ok((engine, foreign))
    }

    /// The repository, with all that was made on the way.
    pub(super) fn repository(&self) -> &Repository {
        &self.repository
    }

    /// What `git merge` gives for each of these in a clean checkout.
    pub(super) fn merges(&self, asked: &[Ask]) -> Result<Vec<Merged>, GitError> {
        asked.iter().map(|ask| self.merge(*ask)).collect()
    }

    /// What `git merge name` gives in a clean checkout of `ours`, when `name` stands for `theirs`.
    pub(super) fn merge(&self, ask: Ask) -> Result<Merged, GitError> {
        let (ours, theirs) = (ask.ours.to_string(), ask.theirs.to_string());
        let attributes = format!("--attr-source={ours}");
        let args = [
            &attributes,
            "merge-tree",
            "--write-tree",
            "-z",
            "--name-only",
            "--no-messages",
            &ours,
            &theirs,
        ];
        let (code, text) = self.git.ask(&args, &[0, 1])?;
        let mut parts = text.split(|&b| b == 0).filter(|p| !p.is_empty());
        let tree = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        let tree = Oid::from_str(&tree).map_err(GitError::libgit2("cannot read what git merge-tree printed"))?;
        if code == 0 {
            return Ok(Merged::Clean(tree));
        }
        // Where a path cannot be taken git adds the name of a side to it, which for `git merge` is what was typed.
        let sides = [
            (format!("~{ours}"), "~HEAD".to_owned()),
            (format!("~{theirs}"), format!("~{}", ask.name.replace('/', "_"))),
        ];
        let mut paths: Vec<Conflict> = parts
            .map(|p| Conflict {
                path: sides
                    .iter()
                    .fold(String::from_utf8_lossy(p).into_owned(), |path, (id, side)| {
                        path.replace(id, side)
                    }),
                kind: "content".into(),
            })
            .collect();
        paths.sort_unstable();
        Ok(Merged::Conflicts { tree, paths })
    }

    /// A commit of what was merged, for the next merge to start from. `date` is in Unix seconds.
    pub(super) fn commit(&self, tree: Oid, parents: &[Oid], date: i64) -> Result<Oid, GitError> {
        let write = || {
            let who = Signature::new("pleach", "pleach@localhost", &Time::new(date, 0))?;
            let parents: Vec<_> = parents
                .iter()
                .map(|id| self.repository.find_commit(*id))
                .collect::<Result<_, _>>()?;
            let parents: Vec<_> = parents.iter().collect();
            let tree = self.repository.find_tree(tree)?;
            self.repository.commit(None, &who, &who, "predicted", &tree, &parents)
        };
        write().map_err(GitError::libgit2("cannot write a predicted commit"))
    }
}

/// The repository, whose new objects go to a bare one in `scratch`.
fn with_objects_in(common_dir: &Path, scratch: &Path) -> Result<Repository, GitError> {
    let unmade = "cannot make a directory for temporary objects";
    let bare = Repository::init_bare(scratch).map_err(GitError::libgit2(unmade))?;
    // A link, because the list of alternates takes no path with a line break, and libgit2 none that is not UTF-8.
    symlink(common_dir.join("objects"), scratch.join("alternate")).map_err(GitError::io(unmade))?;
    let alternates = scratch.join("objects/info/alternates");
    std::fs::write(alternates, "../alternate\n").map_err(GitError::io(unmade))?;
    let open = || -> Result<Repository, git2::Error> {
        let repository = Repository::open(common_dir)?;
        repository.set_odb(&bare.odb()?)?;
        Ok(repository)
    };
    open().map_err(GitError::libgit2("cannot open the repository"))
}
