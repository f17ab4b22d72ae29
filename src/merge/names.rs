//! Names of paths that a merge cannot take as they are: git adds `~` and the name of a side to them.
//!
//! `git merge` calls the sides `HEAD` and what was typed, with `_` for each `/`, and adds `_0`, `_1`, ... as long as the
//! name is taken. `git merge-tree` is asked with commit ids, which nothing else is named after; here they are replaced.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use git2::{Oid, Tree};

use super::engine::{Ask, Engine};
use crate::git::GitError;

/// The names that one merge gives.
pub(super) struct Names<'e> {
    engine: &'e Engine,
    ask: Ask<'e>,
    /// The trees that are merged, and those of their merge bases; read when they are needed.
    trees: Option<Vec<Tree<'e>>>,
    given: Vec<String>,
}

impl<'e> Names<'e> {
    pub(super) fn new(engine: &'e Engine, ask: Ask<'e>) -> Self {
        Self {
            engine,
            ask,
            trees: None,
            given: Vec::new(),
        }
    }

    /// The path that `git merge` gives to what `git merge-tree` calls so.
    pub(super) fn of(&mut self, path: &[u8]) -> Result<String, GitError> {
        let path = String::from_utf8_lossy(path).into_owned();
        let sides = [
            (format!("~{}", self.ask.ours), "~HEAD".to_owned()),
            (
                format!("~{}", self.ask.theirs),
                format!("~{}", self.ask.name.replace('/', "_")),
            ),
        ];
        let replace = |path: String, (id, side): &(String, String)| path.replace(id, side);
        let named = sides.iter().fold(path.clone(), replace);
        if named == path {
            return Ok(path);
        }
        let mut free = named.clone();
        let mut number = 0;
        while self.is_taken(&free)? {
            free = format!("{named}_{number}");
            number += 1;
        }
        self.given.push(free.clone());
        Ok(free)
    }

    fn is_taken(&mut self, path: &str) -> Result<bool, GitError> {
        let trees = match self.trees.take() {
            Some(trees) => trees,
            None => self.read()?,
        };
        let path_in_tree = Path::new(OsStr::from_bytes(path.as_bytes()));
        let taken = trees.iter().any(|tree| tree.get_path(path_in_tree).is_ok());
        self.trees = Some(trees);
        Ok(taken || self.given.iter().any(|given| given == path))
    }

    fn read(&self) -> Result<Vec<Tree<'e>>, GitError> {
        let repository = self.engine.repository();
        let mut commits = vec![self.ask.ours, self.ask.theirs];
        commits.extend(self.engine.merge_bases(self.ask.ours, self.ask.theirs)?);
        let tree = |id: Oid| {
            repository
                .find_tree(self.engine.tree_of(id)?)
                .map_err(GitError::libgit2("cannot read a tree"))
        };
        commits.into_iter().map(tree).collect()
    }
}
