//! Keeps what is in a worktree while its agent works: all that is tracked or untracked, and the commit that HEAD is at.
//!
//! The agent's own index, HEAD and files are not touched: the commit is made through a view, and only a ref of ours
//! names it. What git ignores is not in it, nor what settling would not commit, such as repositories inside the
//! worktree. Called by the supervisor at an interval, before a stop and before another attempt in the same worktree.
//! Before a worktree goes to the trash none is needed: it goes only when the commit it was settled with holds all of it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use git2::{ErrorCode, Oid, Repository, Signature};

use super::inspect::{self, is_real_dir};
use super::pins::{Pins, SNAPSHOT};
use super::view::View;
use super::{Workshop, WorktreeError, history};
use crate::git::{self, Git, GitError, patiently};
use crate::session::Site;
use crate::store::now_ms;
use crate::task::TaskId;

/// How long each command of git may take. Who settles the task waits for a snapshot that is under way.
const LONGEST: Duration = Duration::from_secs(120);

/// How often it is tried: git gives up when a file vanishes between the moment it lists it and the moment it reads it.
const TRIES: u32 = 5;

/// What was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The ref.
    pub name: String,
    /// What it names: a commit with the files, whose parent is the commit that HEAD was at.
    pub commit: Oid,
}

/// Keeps what is in the worktree at `site` now. `None` when all of that is kept already.
pub fn keep(shop: &Workshop, site: &Site, task: &TaskId) -> Result<Option<Snapshot>, WorktreeError> {
    let repository = shop.repository()?;
    let doing = || GitError::libgit2("cannot keep what is in a worktree");
    let base = Oid::from_str(&site.base).map_err(doing())?;
    let admin = shop.admin_dir(&site.worktree);
    let branch = format!("refs/heads/{}", site.branch);
    let tip = || repository.refname_to_id(&branch).ok();
    let head = || {
        let head = admin
            .as_ref()
            .and_then(|admin| inspect::head(&repository, admin)?.commit);
        history::start(&repository, admin.as_deref(), head.or_else(tip)).unwrap_or(base)
    };
    let look = |start| files(shop, &site.worktree, admin.as_deref(), start);
    let mut start = head();
    let mut found = look(start);
    for _ in 0..TRIES {
        let before = std::mem::replace(&mut start, head());
        if before == start {
            break;
        }
        // The agent has committed meanwhile: what was seen may be of after that.
        found = look(start);
    }
    drop_broken(shop, &repository, task)?;
    let mut pins = Pins::read(shop, &repository, task).map_err(doing())?;
    // What the agent has had before: git forgets it with the worktree.
    let mut visited = history::visited(&repository, admin.as_deref(), &branch);
    visited.extend(tip());
    // When the files cannot be had the commits are kept all the same.
    visited.extend(found.is_err().then_some(start));
    pins.keep_visited(&visited, if found.is_err() { [base; 2] } else { [start, base] })?;
    let own = repository.find_commit(start).map_err(doing())?.tree_id();
    let tree = found?.unwrap_or(own);
    let same = |last: Oid| -> Result<bool, git2::Error> {
        let last = repository.find_commit(last)?;
        Ok(last.tree_id() == tree && last.parent_ids().eq([start]))
    };
    let is_known = match pins.last_snapshot() {
        Some(last) if same(last).map_err(doing())? => true,
        _ => tree == own && pins.without(&[start], &[base]).map_err(doing())?.is_empty(),
    };
    if is_known {
        return Ok(None);
    }
    let commit = patiently(|| commit(shop, &repository, task, tree, start)).map_err(doing())?;
    let name = pins.keep(SNAPSHOT, commit)?;
    if is_broken(shop, &repository, commit)? {
        shop.drop_ref(&repository, &name)?;
        let why = std::io::Error::other("a git gc that lets nothing unnamed live has taken a part of it");
        return Err(GitError::io(format!("cannot keep {name}"))(why).into());
    }
    Ok(Some(Snapshot { name, commit }))
}

/// What became of refs that somebody had deleted or moved.
#[derive(Debug, Default)]
pub struct Restored {
    /// They are there again.
    pub again: Vec<String>,
    /// They could not be made again: what they named is gone, most of all.
    pub lost: Vec<String>,
    /// A part of what they named is gone, and so are they.
    pub broken: Vec<String>,
}

/// Makes those of `kept` anew whose refs somebody has deleted or moved, and deletes those that keep nothing whole.
pub fn restore(shop: &Workshop, kept: &[Snapshot]) -> Result<Restored, WorktreeError> {
    let repository = shop.repository()?;
    let gone = |s: &&Snapshot| repository.refname_to_id(&s.name).ok() != Some(s.commit);
    let mut restored = Restored::default();
    let kept = with_names_of_their_own(kept);
    for snapshot in kept.iter().filter(gone) {
        match git::pin(&repository, &snapshot.name, &snapshot.commit.to_string()) {
            Ok(()) => restored.again.push(snapshot.name.clone()),
            Err(_) => restored.lost.push(snapshot.name.clone()),
        }
    }
    for snapshot in kept.iter().filter(|s| !restored.lost.contains(&s.name)) {
        if is_broken(shop, &repository, snapshot.commit)? {
            shop.drop_ref(&repository, &snapshot.name)?;
            restored.broken.push(snapshot.name.clone());
        }
    }
    Ok(restored)
}

/// When the newest ref is deleted the next snapshot gets its name. The one that had it before gets another here.
fn with_names_of_their_own(kept: &[Snapshot]) -> Vec<Snapshot> {
    let numbered = |name: &str| name.rsplit_once('/')?.1.parse::<u64>().ok();
    let mut last = kept.iter().filter_map(|s| numbered(&s.name)).max().unwrap_or(0);
    let mut named: Vec<Snapshot> = Vec::new();
    for snapshot in kept.iter().rev() {
        let mut snapshot = snapshot.clone();
        if let Some((kind, _)) = snapshot.name.rsplit_once('/')
            && named.iter().any(|other| other.name == snapshot.name)
        {
            last += 1;
            snapshot.name = format!("{kind}/{last}");
        }
        named.push(snapshot);
    }
    named.reverse();
    named
}

/// What is in the files and not in `commit`, as a tree; `None` when there is nothing, or no worktree any more.
fn files(shop: &Workshop, worktree: &Path, admin: Option<&Path>, commit: Oid) -> Result<Option<Oid>, WorktreeError> {
    let which = || {
        let found = fs::symlink_metadata(worktree).ok()?;
        is_real_dir(worktree).then(|| (found.dev(), found.ino()))
    };
    for attempt in 1..=TRIES {
        let Some(before) = which() else { break };
        let found = staged(shop, worktree, admin, commit);
        match found {
            // What was looked at is not what is there now.
            _ if which() != Some(before) => {}
            Err(WorktreeError::Git(GitError::Program { .. })) if attempt < TRIES => {}
            other => return other,
        }
        std::thread::sleep(Duration::from_millis(20) * attempt);
    }
    Ok(None)
}

fn staged(shop: &Workshop, worktree: &Path, admin: Option<&Path>, commit: Oid) -> Result<Option<Oid>, WorktreeError> {
    let view = View::open(shop, worktree, admin, commit, LONGEST)?;
    let found = view.uncommitted()?;
    if found.changed.is_empty() {
        return Ok(None);
    }
    // What cannot be read is told when the task is settled; all else is kept.
    view.stage(&found)?;
    let tree = view.tree()?;
    let read = Oid::from_str(&tree).map_err(GitError::libgit2(format!("{tree:?} is not the id of a tree")));
    Ok(Some(read?))
}

fn commit(shop: &Workshop, repository: &Repository, task: &TaskId, tree: Oid, parent: Oid) -> Result<Oid, git2::Error> {
    let ms = i64::try_from(now_ms()).unwrap_or(i64::MAX);
    let when = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    let message = format!(
        "Snapshot of task {task}\n\n\
         What was in its worktree at that time, without what git ignores.\n\n\
         Pleach-Task: {task}\nPleach-Session: {}\nPleach-Time: {when}\n",
        shop.session
    );
    let who = Signature::now(&shop.identity.name, &shop.identity.email)?;
    let (tree, parent) = (repository.find_tree(tree)?, repository.find_commit(parent)?);
    repository.commit(None, &who, &who, &message, &tree, &[&parent])
}

/// Deletes the newest snapshot of a task if a part of it is gone: a `git gc` that lets nothing unnamed live may have
/// begun before there was its ref. A ref to what is not there keeps nothing, and breaks git.
fn drop_broken(shop: &Workshop, repository: &Repository, task: &TaskId) -> Result<(), WorktreeError> {
    let newest = Pins::newest(shop, repository, task).map_err(GitError::libgit2("cannot read the refs"))?;
    match newest {
        Some((name, commit)) if is_broken(shop, repository, commit)? => Ok(shop.drop_ref(repository, &name)?),
        _ => Ok(()),
    }
}

/// Whether a part of a snapshot is gone, or the commit that is its parent. That one is taken to be whole.
fn is_broken(shop: &Workshop, repository: &Repository, snapshot: Oid) -> Result<bool, GitError> {
    const SAID: [&str; 5] = ["bad object", "missing", "bad tree", "unable to read", "could not read"];
    let found = match repository.find_commit(snapshot) {
        Err(e) if e.code() == ErrorCode::NotFound => return Ok(true),
        other => other.map_err(GitError::libgit2(format!("cannot read {snapshot}")))?,
    };
    let parent = found.parent_id(0).ok().map(|id| id.to_string());
    let git = Git::bare(&shop.place.common_dir)
        .with_variable("GIT_NO_LAZY_FETCH", "1")
        .with_variable("GIT_ALLOW_PROTOCOL", "none")
        .with_limit(LONGEST);
    let snapshot = snapshot.to_string();
    let mut args = vec!["rev-list", "--objects", "--quiet", &snapshot];
    args.extend(parent.iter().flat_map(|parent| ["--not", parent]));
    match git.run(&args) {
        Ok(_) => Ok(false),
        Err(GitError::Program { stderr, .. }) if SAID.iter().any(|said| stderr.to_lowercase().contains(said)) => {
            Ok(true)
        }
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_was_given_twice_is_that_of_the_newer_one() {
        let named = |name: &str, byte| Snapshot {
            name: name.to_owned(),
            commit: Oid::from_bytes(&[byte; 20]).unwrap(),
        };
        let kept = [
            named("snap/1", 1),
            named("snap/2", 2),
            named("snap/1", 3),
            named("snap/1", 4),
            named("_base", 5),
        ];
        let names: Vec<(String, Oid)> = (with_names_of_their_own(&kept).into_iter())
            .map(|s| (s.name, s.commit))
            .collect();
        let expected = ["snap/4", "snap/2", "snap/3", "snap/1", "_base"];
        assert_eq!(names, [0, 1, 2, 3, 4].map(|n| (expected[n].to_owned(), kept[n].commit)));
    }
}
