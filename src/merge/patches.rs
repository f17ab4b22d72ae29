//! Finds the branches that are in the target by content, although their commits are not: after a squash, a rebase, a
//! cherry-pick, or because somebody else has made the same change.
//!
//! A patch is what a commit changes: paths, modes, and the changed lines with those around them, wherever in the file
//! they are. It is stricter than `git patch-id`, for which white space and modes do not count: what is called merged
//! here may be deleted by its user. A target may have gone far since: only its newest commits are looked at, and of
//! these only what touches the same paths is read.

use std::collections::{BTreeMap, BTreeSet};

use git2::{Delta, DiffDelta, DiffFile, FileMode, ObjectType, Oid, Patch, Repository, Sort};

use super::engine::{Engine, Merged};
use super::look::Looked;
use super::plan::{BranchState, PlanError};
use crate::git::GitError;

/// So many commits of the target's, the newest, are compared with, and a branch with more is compared only as a whole:
/// to find what a commit touches takes up to a millisecond, and a second is what a plan may take for it.
const MOST: usize = 1000;

/// Larger files are the same change only when they are the same files.
const LARGEST: usize = 1 << 20;

/// Calls those branches merged whose changes the target has, and takes away what merging them would give. Of which a
/// merge would leave nothing, though the target has it not, are empty: a merge driver drops it. Where commits are replaced,
/// only the tree tells: libgit2 would see the patches of others.
pub(super) fn settle(engine: &Engine, target: Oid, looked: &mut [Looked]) -> Result<(), PlanError> {
    let incomparable = || GitError::libgit2("cannot compare the branches with the target's commits");
    let tree = engine.tree_of(target)?;
    let mut history = History::new(engine.repository(), target);
    for one in looked {
        let Some(merged) = &one.merged else {
            continue;
        };
        let changes_nothing = *merged == Merged::Clean(tree);
        let has_moved = engine.is_plain() && one.merge_base != Some(target);
        one.branch.state = match () {
            () if changes_nothing && engine.as_text(one.onto(target))? == Some(tree) => BranchState::Merged,
            () if has_moved && history.has(one.head).map_err(incomparable())? => BranchState::Merged,
            () if changes_nothing => BranchState::Empty,
            () => continue,
        };
        one.merged = None;
    }
    Ok(())
}

/// What the target has, and branches have not.
struct History<'r> {
    repository: &'r Repository,
    target: Oid,
    /// The commits since certain merge bases, by the paths that they touch.
    since: BTreeMap<Vec<Oid>, BTreeMap<Oid, Vec<Oid>>>,
    /// Which paths a commit of the target's touches: to find it out is what takes time, and merge bases have most of
    /// the newest commits in common.
    touched: BTreeMap<Oid, Option<Oid>>,
    /// The patches of commits that were compared.
    patches: BTreeMap<Oid, Oid>,
}

impl<'r> History<'r> {
    fn new(repository: &'r Repository, target: Oid) -> Self {
        Self {
            repository,
            target,
            since: BTreeMap::new(),
            touched: BTreeMap::new(),
            patches: BTreeMap::new(),
        }
    }

    /// Whether the target has the branch as one commit, or each of its commits.
    fn has(&mut self, head: Oid) -> Result<bool, git2::Error> {
        let mut bases: Vec<Oid> = self.repository.merge_bases(self.target, head)?.to_vec();
        bases.sort_unstable();
        // With several there is no whole to compare: each leaves out something that the branch has.
        if let [base] = bases[..]
            && self.has_change(&bases, base, head, &mut BTreeSet::new())?
        {
            return Ok(true);
        }
        let mut walk = self.repository.revwalk()?;
        walk.push(head)?;
        walk.hide(self.target)?;
        let commits = walk.take(MOST + 1).collect::<Result<Vec<Oid>, _>>()?;
        if commits.len() > MOST {
            return Ok(false);
        }
        let mut taken = BTreeSet::new();
        for id in commits {
            let commit = self.repository.find_commit(id)?;
            // A merge may hold a change of its own.
            let (1, Ok(parent)) = (commit.parent_count(), commit.parent_id(0)) else {
                return Ok(false);
            };
            if !self.has_change(&bases, parent, id, &mut taken)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether one commit of the target's since then makes the change between these two. It is `taken` by that: a change
    /// that a branch makes twice has to be there twice.
    fn has_change(
        &mut self,
        bases: &[Oid],
        from: Oid,
        to: Oid,
        taken: &mut BTreeSet<Oid>,
    ) -> Result<bool, git2::Error> {
        if !self.since.contains_key(bases) {
            let found = self.commits_since(bases)?;
            self.since.insert(bases.to_vec(), found);
        }
        let Some(paths) = paths(self.repository, from, to)? else {
            return Ok(true);
        };
        let Some(alike) = self.since.get(bases).and_then(|s| s.get(&paths)) else {
            return Ok(false);
        };
        let wanted = patch(self.repository, from, to)?;
        for id in alike {
            if taken.contains(id) {
                continue;
            }
            let made = match self.patches.get(id) {
                Some(made) => *made,
                None => {
                    let parent = self.repository.find_commit(*id)?.parent_id(0)?;
                    let made = patch(self.repository, parent, *id)?;
                    self.patches.insert(*id, made);
                    made
                }
            };
            if made == wanted {
                taken.insert(*id);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn commits_since(&mut self, bases: &[Oid]) -> Result<BTreeMap<Oid, Vec<Oid>>, git2::Error> {
        let mut walk = self.repository.revwalk()?;
        walk.set_sorting(Sort::TIME)?;
        walk.push(self.target)?;
        for base in bases {
            walk.hide(*base)?;
        }
        let mut found: BTreeMap<Oid, Vec<Oid>> = BTreeMap::new();
        for id in walk.take(MOST) {
            let id = id?;
            if let Some(paths) = self.touched(id)? {
                found.entry(paths).or_default().push(id);
            }
        }
        Ok(found)
    }

    /// The paths that a commit touches, as one id; none of a merge.
    fn touched(&mut self, id: Oid) -> Result<Option<Oid>, git2::Error> {
        if let Some(known) = self.touched.get(&id) {
            return Ok(*known);
        }
        let commit = self.repository.find_commit(id)?;
        let found = match (commit.parent_count(), commit.parent_id(0)) {
            (1, Ok(parent)) => paths(self.repository, parent, id)?,
            _ => None,
        };
        self.touched.insert(id, found);
        Ok(found)
    }
}

/// The paths in which two commits differ, as one id; none when they do not.
fn paths(repository: &Repository, from: Oid, to: Oid) -> Result<Option<Oid>, git2::Error> {
    let mut paths = Vec::new();
    each_change(repository, from, to, |delta| {
        paths.extend(path(&delta.new_file()));
        Ok(())
    })?;
    if paths.is_empty() {
        return Ok(None);
    }
    Oid::hash_object(ObjectType::Blob, &paths).map(Some)
}

/// What changes between two commits, as one id.
fn patch(repository: &Repository, from: Oid, to: Oid) -> Result<Oid, git2::Error> {
    let mut text = Vec::new();
    each_change(repository, from, to, |delta| {
        let (old, new) = (delta.old_file(), delta.new_file());
        text.extend(path(&new));
        text.extend(u32::from(old.mode()).to_be_bytes());
        text.extend(u32::from(new.mode()).to_be_bytes());
        match lines(repository, &old, &new)? {
            Some(lines) => {
                text.extend((lines.len() as u64).to_be_bytes());
                text.extend(lines);
            }
            None => {
                text.extend(old.id().as_bytes());
                text.extend(new.id().as_bytes());
            }
        }
        Ok(())
    })?;
    Oid::hash_object(ObjectType::Blob, &text)
}

fn path(file: &DiffFile) -> Vec<u8> {
    // Of what was removed it is here too.
    [file.path_bytes().unwrap_or_default(), b"\0"].concat()
}

/// Calls `see` for each path in which two commits differ, in the order of the paths. A renamed file is two.
fn each_change(
    repository: &Repository,
    from: Oid,
    to: Oid,
    mut see: impl FnMut(&DiffDelta) -> Result<(), git2::Error>,
) -> Result<(), git2::Error> {
    let old = repository.find_commit(from)?.tree()?;
    let new = repository.find_commit(to)?.tree()?;
    let diff = repository.diff_tree_to_tree(Some(&old), Some(&new), None)?;
    diff.deltas()
        .filter(|d| d.status() != Delta::Unmodified)
        .try_for_each(|d| see(&d))
}

/// The changed lines of a file and those around them; none of what is no text, is too large for it, or is no file.
fn lines(repository: &Repository, old: &DiffFile, new: &DiffFile) -> Result<Option<Vec<u8>>, git2::Error> {
    let (Some(old), Some(new)) = (content(repository, old)?, content(repository, new)?) else {
        return Ok(None);
    };
    // From the contents alone: no attributes of a checkout have a say in it.
    let patch = Patch::from_buffers(&old, None, &new, None, None)?;
    if patch.delta().flags().is_binary() {
        return Ok(None);
    }
    let mut text = Vec::new();
    for hunk in 0..patch.num_hunks() {
        text.push(b'@');
        for line in 0..patch.num_lines_in_hunk(hunk)? {
            let line = patch.line_in_hunk(hunk, line)?;
            text.extend(u32::from(line.origin()).to_be_bytes());
            text.extend((line.content().len() as u64).to_be_bytes());
            text.extend(line.content());
        }
    }
    Ok(Some(text))
}

fn content(repository: &Repository, file: &DiffFile) -> Result<Option<Vec<u8>>, git2::Error> {
    if file.id().is_zero() {
        return Ok(Some(Vec::new()));
    }
    if file.mode() == FileMode::Commit {
        return Ok(None);
    }
    let (size, _) = repository.odb()?.read_header(file.id())?;
    if size > LARGEST {
        return Ok(None);
    }
    Ok(Some(repository.find_blob(file.id())?.content().to_vec()))
}
