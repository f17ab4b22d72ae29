//! Guesses what a merge gives, tree by tree, so that many merges that stand on each other can be asked for at once.
//!
//! It knows no renames, no attributes and no drivers: a guess only says which merge comes next, and nobody believes it
//! before git has said the same (`chain`).

use git2::{FileMode, IndexEntry, IndexTime, ObjectType, Oid, Repository, Tree};

/// The tree that merging `theirs` into `ours` probably gives; none where that is not plain.
pub(super) fn guess(repository: &Repository, ours: Oid, theirs: Oid) -> Option<Oid> {
    let base = repository.merge_base(ours, theirs).ok()?;
    let tree = |commit: Oid| repository.find_commit(commit).ok()?.tree().ok();
    trees(repository, Some(tree(base)?), tree(ours)?, &tree(theirs)?)
}

/// What stands under a name: its id and mode.
type Entry = (Oid, i32);

fn trees(repository: &Repository, base: Option<Tree>, ours: Tree, theirs: &Tree) -> Option<Oid> {
    let entry = |tree: &Tree, name: &[u8]| -> Option<Entry> {
        let entry = tree.get_name_bytes(name)?;
        Some((entry.id(), entry.filemode()))
    };
    let of = |tree: &Tree| -> Vec<Vec<u8>> { tree.iter().map(|e| e.name_bytes().to_vec()).collect() };
    let mut names = of(theirs);
    names.extend(base.iter().flat_map(of));
    names.sort_unstable();
    names.dedup();
    let mut merged = repository.treebuilder(Some(&ours)).ok()?;
    for name in names {
        let was = base.as_ref().and_then(|base| entry(base, &name));
        let (mine, other) = (entry(&ours, &name), entry(theirs, &name));
        if was == other || mine == other {
            continue;
        }
        let taken = if was == mine {
            other
        } else {
            Some(both(repository, was, mine?, other?)?)
        };
        match taken {
            Some((id, mode)) => _ = merged.insert(&name[..], id, mode).ok()?,
            None => merged.remove(&name[..]).ok()?,
        }
    }
    merged.write().ok()
}

/// What was changed on both sides: two directories, or two texts.
fn both(repository: &Repository, was: Option<Entry>, mine: Entry, other: Entry) -> Option<Entry> {
    if mine.1 != other.1 || was.is_some_and(|was| was.1 != mine.1) {
        return None;
    }
    if mine.1 == i32::from(FileMode::Tree) {
        let tree = |entry: Entry| repository.find_tree(entry.0).ok();
        let was = match was {
            Some(was) => Some(tree(was)?),
            None => None,
        };
        return Some((trees(repository, was, tree(mine)?, &tree(other)?)?, mine.1));
    }
    let is_blob = |entry: Entry| {
        let found = repository.odb().ok()?.read_header(entry.0).ok()?;
        (found.1 == ObjectType::Blob).then(|| text(entry))
    };
    let (was, mine_text, other_text) = (is_blob(was?)?, is_blob(mine)?, is_blob(other)?);
    let merged = repository
        .merge_file_from_index(&was, &mine_text, &other_text, None)
        .ok()?;
    let content = merged.is_automergeable().then(|| merged.content())?;
    Some((repository.blob(content).ok()?, mine.1))
}

/// An entry as libgit2 takes it for a merge of files.
fn text((id, mode): Entry) -> IndexEntry {
    IndexEntry {
        ctime: IndexTime::new(0, 0),
        mtime: IndexTime::new(0, 0),
        dev: 0,
        ino: 0,
        mode: u32::try_from(mode).unwrap_or_default(),
        uid: 0,
        gid: 0,
        file_size: 0,
        id,
        flags: 0,
        flags_extended: 0,
        path: b"text".to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use git2::{Signature, Time};

    use super::*;

    /// A commit of these files; a name with a slash is in a directory.
    fn commit(repository: &Repository, parents: &[Oid], files: &[(&str, &str)]) -> Oid {
        let mut root = repository.treebuilder(None).unwrap();
        let mut directory = repository.treebuilder(None).unwrap();
        for (path, content) in files {
            let blob = repository.blob(content.as_bytes()).unwrap();
            match path.strip_prefix("d/") {
                Some(name) => directory.insert(name, blob, 0o100_644).unwrap(),
                None => root.insert(path, blob, 0o100_644).unwrap(),
            };
        }
        if !directory.is_empty() {
            root.insert("d", directory.write().unwrap(), 0o040_000).unwrap();
        }
        let tree = repository.find_tree(root.write().unwrap()).unwrap();
        let who = Signature::new("a", "a@b", &Time::new(1, 0)).unwrap();
        let parents: Vec<_> = parents.iter().map(|id| repository.find_commit(*id).unwrap()).collect();
        let parents: Vec<_> = parents.iter().collect();
        repository.commit(None, &who, &who, "c", &tree, &parents).unwrap()
    }

    type Files = &'static [(&'static str, &'static str)];

    #[test]
    fn what_is_plain_is_guessed() {
        const SIX: &str = "1\n2\n3\n4\n5\n6\n";
        const FIRST: &str = "x\n2\n3\n4\n5\n6\n";
        const LAST: &str = "1\n2\n3\n4\n5\ny\n";
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::init_bare(dir.path()).unwrap();
        let cases: [(Files, Files, Files, Option<Files>); 8] = [
            (
                &[("a", "1")],
                &[("a", "2")],
                &[("a", "1"), ("b", "1")],
                Some(&[("a", "2"), ("b", "1")]),
            ),
            (&[("a", "1"), ("b", "1")], &[("a", "1")], &[("b", "1")], Some(&[])),
            (
                &[("d/a", "1")],
                &[("d/a", "1"), ("d/b", "1")],
                &[("d/a", "2")],
                Some(&[("d/a", "2"), ("d/b", "1")]),
            ),
            (
                &[("a", "1")],
                &[("a", "1"), ("d/b", "1")],
                &[("a", "1"), ("d/c", "1")],
                Some(&[("a", "1"), ("d/b", "1"), ("d/c", "1")]),
            ),
            (
                &[("a", SIX)],
                &[("a", FIRST)],
                &[("a", LAST)],
                Some(&[("a", "x\n2\n3\n4\n5\ny\n")]),
            ),
            (&[("a", SIX)], &[("a", FIRST)], &[("a", "z\n2\n")], None),
            (&[("a", "1")], &[("a", "2")], &[("b", "1")], None),
            (
                &[("a", "1")],
                &[("a", "1"), ("d", "f")],
                &[("a", "1"), ("d/b", "1")],
                None,
            ),
        ];
        for (base, ours, theirs, merged) in cases {
            let base = commit(&repository, &[], base);
            let (ours, theirs) = (commit(&repository, &[base], ours), commit(&repository, &[base], theirs));
            let merged = merged.map(|files| {
                let commit = commit(&repository, &[], files);
                repository.find_commit(commit).unwrap().tree_id()
            });
            assert_eq!(guess(&repository, ours, theirs), merged);
        }
        let (alone, other) = (
            commit(&repository, &[], &[("a", "1")]),
            commit(&repository, &[], &[("b", "1")]),
        );
        assert_eq!(guess(&repository, alone, other), None);
    }
}
