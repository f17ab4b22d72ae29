//! Reads what is kept under `refs/pleach`, of sessions whose directory is gone too: refs are all it needs.

use std::collections::{BTreeSet, HashMap};

use git2::{Oid, Repository};
use uuid::Uuid;

use super::again::REMADE;
use super::moved::MOVED;
use super::pins::{ATTEMPT, CLEANED, DROPPED, SNAPSHOT, numbered};
use super::{BASE, MADE, base_pin};
use crate::git::{Changes, GitError, changes_between};

/// What something that is kept was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeptKind {
    /// The work of a task as it was settled.
    Head,
    /// What was in a worktree while its agent worked.
    Snapshot,
    /// What an attempt had left before the next one started from the base.
    Attempt,
    /// A commit that the agent had dropped.
    Dropped,
    /// What was kept before its worktree or branch went.
    Cleaned,
    /// Where its branch and worktree were made.
    Begun,
    /// What a branch or tag was that moved while agents ran.
    Moved,
    /// Anything else.
    Other,
}

/// A commit that a ref of ours keeps.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The task; none for what is of the session as a whole.
    pub task: Option<String>,
    /// Below the task or the session: `head`, `snap/3`, ...
    pub name: String,
    /// What it was.
    pub kind: KeptKind,
    /// The full name of the ref.
    pub reference: String,
    /// The commit to go on from: of a snapshot that holds nothing uncommitted the one below it.
    pub commit: Oid,
    /// When it was made, in Unix seconds.
    pub time: i64,
    /// Its number, if it has one.
    pub number: u32,
    /// Whether it holds what was in no commit.
    pub uncommitted: bool,
    /// Against the base of the session; none when that is not known.
    pub changes: Option<Changes>,
    /// Whether a branch leads to it.
    pub on_branch: bool,
}

/// The sessions of which something is kept, and when the newest of it was made in Unix seconds.
pub fn kept_sessions(repository: &Repository) -> Result<HashMap<Uuid, i64>, GitError> {
    let mut found = HashMap::new();
    let references = repository.references_glob("refs/pleach/*");
    for reference in references.map_err(GitError::libgit2("cannot read the refs"))?.flatten() {
        let id = reference.name().ok().and_then(|name| name.split('/').nth(2));
        let Some(id) = id.and_then(|id| Uuid::parse_str(id).ok()) else {
            continue;
        };
        let time = reference.peel_to_commit().map_or(0, |commit| commit.time().seconds());
        let newest = found.entry(id).or_insert(time);
        *newest = time.max(*newest);
    }
    Ok(found)
}

/// The commit that a session started from, if that is kept.
pub fn kept_base(repository: &Repository, session: Uuid) -> Option<Oid> {
    // Version 0.1.0 kept it under the other name, which a task can have too.
    let names = [base_pin(session), format!("refs/pleach/{session}/base")];
    let kept = |name: &String| repository.find_reference(name).ok()?.target();
    names.iter().find_map(kept)
}

/// All that is kept of a session, by task, the newest first. Refs that cannot be read are left out, and named.
pub fn kept(repository: &Repository, session: Uuid) -> Result<(Vec<Kept>, Vec<String>), GitError> {
    let doing = || GitError::libgit2("cannot read what is kept");
    let prefix = format!("refs/pleach/{session}/");
    let base = kept_base(repository, session);
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    let mut changes: HashMap<Oid, Option<Changes>> = HashMap::new();
    for reference in repository.references_glob(&format!("{prefix}*")).map_err(doing())? {
        let reference = reference.map_err(doing())?;
        let full = String::from_utf8_lossy(reference.name_bytes()).into_owned();
        let Some((task, name, kind)) = full.strip_prefix(&prefix).and_then(parts) else {
            continue;
        };
        let Ok(commit) = reference.peel_to_commit() else {
            unreadable.push(full);
            continue;
        };
        let parent = commit.parent(0).ok();
        let of_files = matches!(kind, KeptKind::Snapshot | KeptKind::Attempt);
        let clean = of_files
            .then(|| parent.filter(|p| p.tree_id() == commit.tree_id()))
            .flatten();
        let of = clean.as_ref().unwrap_or(&commit).id();
        let against = |base| changes_between(repository, base, of).ok();
        found.push(Kept {
            commit: of,
            time: commit.time().seconds(),
            number: numbered(&name).map_or(0, |(_, number)| number),
            uncommitted: of_files && clean.is_none(),
            changes: *changes.entry(of).or_insert_with(|| base.and_then(against)),
            on_branch: false,
            task,
            name,
            kind,
            reference: full,
        });
    }
    let beside = on_no_branch(repository, &found).map_err(doing())?;
    for kept in &mut found {
        kept.on_branch = !beside.contains(&kept.commit);
    }
    found.sort_by(|a, b| {
        let newest = (b.time, b.kind == KeptKind::Head, b.number).cmp(&(a.time, a.kind == KeptKind::Head, a.number));
        a.task.cmp(&b.task).then(newest).then_with(|| a.name.cmp(&b.name))
    });
    Ok((found, unreadable))
}

/// Takes apart the name of a ref below that of its session; none for the base.
fn parts(name: &str) -> Option<(Option<String>, String, KeptKind)> {
    let (task, name) = name.split_once('/')?;
    if task == MOVED {
        return Some((None, format!("{MOVED}/{name}"), KeptKind::Moved));
    }
    let kind = match numbered(name) {
        Some((SNAPSHOT, _)) => KeptKind::Snapshot,
        Some((DROPPED, _)) => KeptKind::Dropped,
        Some((ATTEMPT, _)) => KeptKind::Attempt,
        _ if name == "head" => KeptKind::Head,
        _ if name.starts_with(CLEANED) => KeptKind::Cleaned,
        _ if [BASE, MADE, REMADE].contains(&name) => KeptKind::Begun,
        _ => KeptKind::Other,
    };
    Some((Some(task.to_owned()), name.to_owned(), kind))
}

/// The commits before which no branch is, of all that are kept, and of what leads to them.
fn on_no_branch(repository: &Repository, kept: &[Kept]) -> Result<BTreeSet<Oid>, git2::Error> {
    if kept.is_empty() {
        return Ok(BTreeSet::new());
    }
    let mut walk = repository.revwalk()?;
    for kept in kept {
        walk.push(kept.commit)?;
    }
    // A branch that is broken leads to nothing, and one whose name is no text leads on all the same.
    for reference in repository.references_glob("refs/heads/*")?.flatten() {
        if let Ok(commit) = reference.peel_to_commit() {
            walk.hide(commit.id())?;
        }
    }
    walk.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_name_of_a_ref_says() {
        let read = |name| parts(name).map(|(task, name, kind)| (task.unwrap_or_default(), name, kind));
        for (name, expected) in [
            ("base", None),
            ("_base", None),
            ("a/head", Some(("a", "head", KeptKind::Head))),
            ("a/snap/3", Some(("a", "snap/3", KeptKind::Snapshot))),
            ("a/left/1", Some(("a", "left/1", KeptKind::Dropped))),
            ("a/attempt/2", Some(("a", "attempt/2", KeptKind::Attempt))),
            ("a/cleaned/1", Some(("a", "cleaned/1", KeptKind::Cleaned))),
            ("a/made", Some(("a", "made", KeptKind::Begun))),
            ("a/remade", Some(("a", "remade", KeptKind::Begun))),
            ("a/base", Some(("a", "base", KeptKind::Begun))),
            ("base/base", Some(("base", "base", KeptKind::Begun))),
            ("a/snap/x", Some(("a", "snap/x", KeptKind::Other))),
            (
                "_moved/1/heads/main",
                Some(("", "_moved/1/heads/main", KeptKind::Moved)),
            ),
        ] {
            let expected = expected.map(|(task, name, kind)| (task.to_owned(), name.to_owned(), kind));
            assert_eq!(read(name), expected, "{name}");
        }
    }
}
