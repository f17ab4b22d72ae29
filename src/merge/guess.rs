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
