//! All that is in the tree of a commit, in numbers, and the attributes in it that matter.

use std::collections::BTreeSet;

use git2::{Commit, ErrorCode, ObjectType, Odb, Oid, Repository, Tree};

/// The size of the unit in which a file system gives room to a file, in bytes: that of nearly all of them.
const BLOCK: u64 = 4096;

/// What a worktree of the commit would hold.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Files and links.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// The room that the files take, in bytes.
    pub bytes: u64,
    /// Files and trees that are in the commit and not in the repository.
    pub missing: u64,
    /// The paths of submodules.
    pub submodules: Vec<String>,
    /// What attributes files say.
    pub attributes: Attributes,
}

/// The attributes of a tree that change files on their way into a worktree.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    /// The names of filters.
    pub filters: BTreeSet<String>,
    /// `ident` and `working-tree-encoding`, if they are set for anything.
    pub others: BTreeSet<&'static str>,
}

impl Survey {
    pub(super) fn of(repository: &Repository, commit: &Commit<'_>) -> Result<Self, git2::Error> {
        let mut survey = Self::default();
        let odb = repository.odb()?;
        survey.tree(repository, &odb, commit.tree_id(), "")?;
        Ok(survey)
    }

    fn tree(&mut self, repository: &Repository, odb: &Odb<'_>, id: Oid, path: &str) -> Result<(), git2::Error> {
        self.directories += 1;
        self.bytes += BLOCK;
        let tree: Tree<'_> = match repository.find_tree(id) {
            Err(e) if e.code() == ErrorCode::NotFound => {
                self.missing += 1;
                return Ok(());
            }
            other => other?,
        };
        for entry in &tree {
            let name = String::from_utf8_lossy(entry.name_bytes());
            match entry.kind() {
                Some(ObjectType::Tree) => self.tree(repository, odb, entry.id(), &format!("{path}{name}/"))?,
                Some(ObjectType::Commit) => self.submodules.push(format!("{path}{name}")),
                _ => {
                    self.files += 1;
                    match odb.read_header(entry.id()) {
                        Ok((size, _)) => self.bytes += (size as u64).next_multiple_of(BLOCK),
                        Err(e) if e.code() == ErrorCode::NotFound => self.missing += 1,
                        Err(e) => return Err(e),
                    }
                    if name == ".gitattributes"
                        && let Ok(blob) = repository.find_blob(entry.id())
                    {
                        self.attributes.read(&String::from_utf8_lossy(blob.content()));
                    }
                }
            }
        }
        Ok(())
    }
}

impl Attributes {
    /// Adds what an attributes file sets.
    fn read(&mut self, text: &str) {
        const OTHERS: [&str; 2] = ["ident", "working-tree-encoding"];
        let lines = text.lines().map(str::trim).filter(|l| !l.starts_with('#'));
        for word in lines.flat_map(|l| l.split_ascii_whitespace().skip(1)) {
            match word.split_once('=') {
                Some(("filter", name)) => {
                    self.filters.insert(name.to_owned());
                }
                Some((name, _)) => self.others.extend(OTHERS.iter().find(|o| **o == name)),
                None => self.others.extend(OTHERS.iter().find(|o| **o == word)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_that_change_files() {
        let mut attributes = Attributes::default();
        attributes
            .read("# *.x filter=no\n*.bin filter=lfs diff=lfs -text\n*.c ident\nfilter=no text\n*.a -ident -filter\n");
        attributes.read("*.txt working-tree-encoding=UTF-16\n[attr]secret filter=crypt\n");
        assert_eq!(attributes.filters, ["crypt".into(), "lfs".into()].into());
        assert_eq!(attributes.others, ["ident", "working-tree-encoding"].into());
    }
}
