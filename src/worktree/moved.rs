//! Watches the branches and tags that are none of pleach's while agents run: an agent can move them as well as the
//! user can.
//!
//! What they are is remembered in memory when the supervisor starts, and taken anew when a session is resumed: what
//! moved while no agent of the session was looked after is nobody's to be blamed for, and a repository with ten thousand
//! refs costs the journal nothing. What a ref no longer leads to is pinned, so that going back works after a `git gc`.
//! Task branches, of any session, are known by their names; remotes are not watched.

use std::collections::{BTreeMap, BTreeSet};

use git2::{Oid, ReferenceType, Repository};

use super::{Workshop, WorktreeError, history};
use crate::git::{GitError, patiently};
use crate::session::Site;
use crate::task::TaskId;

/// What a ref points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A commit, or the object of a tag.
    Object(Oid),
    /// Another ref, by its full name.
    Symbolic(String),
}

/// How a ref was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveKind {
    /// What it was before is before what it is now.
    Forward,
    /// It is not.
    Rewritten,
    /// It is gone.
    Deleted,
    /// It is another name of some ref, or is that no longer.
    Symbolic,
}

/// A ref that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Its full name.
    pub name: String,
    /// What it was.
    pub from: Target,
    /// What it is.
    pub to: Option<Target>,
    /// In which way.
    pub kind: MoveKind,
    /// The ref under which what it was is kept.
    pub kept: Option<String>,
    /// Why that could not be kept.
    pub lost: Option<String>,
}

type Refs = BTreeMap<String, Target>;

/// What the refs of a repository were when they were last looked at.
#[derive(Debug)]
pub struct RefWatch {
    /// The full name of the branch that the session started from, whatever it is called.
    base_branch: Option<String>,
    refs: Refs,
    /// All that was found so far.
    moves: Vec<Move>,
}

/// How many moves are remembered to be compared with the commits of a task.
const MOST_MOVES: usize = 1000;

impl RefWatch {
    /// Remembers the refs as they are. `base_branch` is the branch the session started from.
    pub fn new(shop: &Workshop, base_branch: Option<&str>) -> Result<Self, WorktreeError> {
        let mut watch = Self {
            base_branch: base_branch.map(|name| format!("refs/heads/{name}")),
            refs: Refs::new(),
            moves: Vec::new(),
        };
        watch.refs = watch.read(&shop.repository()?)?;
        Ok(watch)
    }

    /// What has moved since the last look. Each move is told once.
    pub fn look(&mut self, shop: &Workshop) -> Result<Vec<Move>, WorktreeError> {
        let repository = shop.repository()?;
        let now = self.read(&repository)?;
        let mut moves = compare(&self.refs, &now, |old, new| {
            let commit = |id: Oid| repository.find_object(id, None)?.peel_to_commit().map(|c| c.id());
            let forward = commit(old).and_then(|old| history::leads_to(&repository, commit(new)?, old));
            forward.unwrap_or(false)
        });
        let pinned = |m: &Move| m.kind != MoveKind::Forward;
        let mut number = 0;
        if moves.iter().any(pinned) {
            number = last_number(shop, &repository).map_err(GitError::libgit2("cannot read the refs"))?;
        }
        for moved in &mut moves {
            if let (Target::Object(old), true) = (&moved.from, pinned(moved)) {
                number = number.saturating_add(1);
                match pin(shop, &repository, number, &moved.name, *old) {
                    Ok(kept) => moved.kept = Some(kept),
                    // Gone already, most of all: that has to be told too.
                    Err(e) => moved.lost = Some(e.to_string()),
                }
            }
        }
        self.refs = now;
        self.moves.extend(moves.iter().cloned());
        let old = self.moves.len().saturating_sub(MOST_MOVES);
        self.moves.drain(..old);
        Ok(moves)
    }

    /// The moves, of all that were found, that brought commits onto a ref at which HEAD of a task's worktree has been.
    pub fn with_commits_of(&self, shop: &Workshop, site: &Site) -> Result<Vec<&Move>, WorktreeError> {
        if self.moves.is_empty() {
            return Ok(Vec::new());
        }
        let repository = shop.repository()?;
        let log = shop
            .admin_dir(&site.worktree)
            .map(|admin| history::of_head(&repository, &admin));
        let visited: BTreeSet<Oid> = log.unwrap_or_default().into_iter().collect();
        let mut found = Vec::new();
        for moved in &self.moves {
            // Of objects that are not there any more nothing can be said.
            if brought(&repository, moved, &site.base, &visited).unwrap_or(false) {
                found.push(moved);
            }
        }
        Ok(found)
    }

    fn read(&self, repository: &Repository) -> Result<Refs, GitError> {
        let read = || -> Result<Refs, git2::Error> {
            let mut refs = Refs::new();
            for glob in ["refs/heads/*", "refs/tags/*"] {
                for reference in repository.references_glob(glob)? {
                    // One that vanishes at this moment is seen at the next look; one whose name is no text cannot be told.
                    let Ok(reference) = reference else { continue };
                    let Ok(name) = reference.name() else { continue };
                    if is_of_a_task(name) && self.base_branch.as_deref() != Some(name) {
                        continue;
                    }
                    let target = match reference.kind() {
                        Some(ReferenceType::Symbolic) => {
                            let target = reference.symbolic_target().ok().flatten();
                            target.map(|target| Target::Symbolic(target.to_owned()))
                        }
                        _ => reference.target().map(Target::Object),
                    };
                    refs.extend(target.map(|target| (name.to_owned(), target)));
                }
            }
            Ok(refs)
        };
        patiently(read).map_err(GitError::libgit2("cannot read the refs"))
    }
}

/// Whether a ref is called like the branch of a task.
fn is_of_a_task(name: &str) -> bool {
    let branch = name.strip_prefix("refs/heads/");
    let id = branch.and_then(|branch| branch.rsplit_once("-task-"));
    id.is_some_and(|(from, id)| !from.is_empty() && TaskId::parse(id).is_ok())
}

/// The refs that were there before and are not what they were.
fn compare(before: &Refs, now: &Refs, is_forward: impl Fn(Oid, Oid) -> bool) -> Vec<Move> {
    let mut moves = Vec::new();
    for (name, from) in before {
        let to = now.get(name);
        let kind = match (from, to) {
            (_, Some(to)) if to == from => continue,
            (_, None) => MoveKind::Deleted,
            (Target::Object(old), Some(Target::Object(new))) if is_forward(*old, *new) => MoveKind::Forward,
            (Target::Object(_), Some(Target::Object(_))) => MoveKind::Rewritten,
            _ => MoveKind::Symbolic,
        };
        moves.push(Move {
            name: name.clone(),
            from: from.clone(),
            to: to.cloned(),
            kind,
            kept: None,
            lost: None,
        });
    }
    moves
}

/// Whether a move made a ref lead to one of `visited`, to which it did not lead before and which is not of the base.
fn brought(repository: &Repository, moved: &Move, base: &str, visited: &BTreeSet<Oid>) -> Result<bool, git2::Error> {
    let (Target::Object(from), Some(Target::Object(to))) = (&moved.from, &moved.to) else {
        return Ok(false);
    };
    let mut walk = repository.revwalk()?;
    walk.push(*to)?;
    walk.hide(*from)?;
    walk.hide(Oid::from_str(base)?)?;
    Ok(walk.flatten().any(|commit| visited.contains(&commit)))
}

/// Keeps what a ref was, under a number of its own: one may be called as a directory of another was. No task can be
/// called as the directory of these refs is.
fn pin(shop: &Workshop, repository: &Repository, number: u32, name: &str, old: Oid) -> Result<String, GitError> {
    let short = name.trim_start_matches("refs/");
    let kept = format!("refs/pleach/{}/{MOVED}/{number}/{short}", shop.session);
    let make = || repository.reference(&kept, old, false, "pleach: kept").map(drop);
    patiently(make).map_err(GitError::libgit2(format!("cannot write {kept}")))?;
    Ok(kept)
}

/// The highest number of such a ref.
fn last_number(shop: &Workshop, repository: &Repository) -> Result<u32, git2::Error> {
    let all = format!("refs/pleach/{}/{MOVED}/", shop.session);
    let number = |name: &str| name.strip_prefix(&all)?.split('/').next()?.parse().ok();
    let found = repository.references_glob(&format!("{all}*"))?.flatten();
    Ok(found.filter_map(|r| number(r.name().ok()?)).max().unwrap_or(0))
}

/// Below the session's, the directory of what moved refs were.
pub(super) const MOVED: &str = "_moved";

#[cfg(test)]
mod tests {
    use super::*;

    fn object(byte: u8) -> Target {
        Target::Object(Oid::from_bytes(&[byte; 20]).unwrap())
    }

    #[test]
    fn branches_of_tasks_are_known_by_their_names() {
        for (name, expected) in [
            ("refs/heads/main-task-a", true),
            ("refs/heads/fix/x-task-a-1234abcd", true),
            ("refs/heads/main", false),
            ("refs/heads/-task-a", false),
            ("refs/heads/x-task-", false),
            ("refs/heads/x-task-a/b", false),
            ("refs/tags/main-task-a", false),
        ] {
            assert_eq!(is_of_a_task(name), expected, "{name}");
        }
    }

    #[test]
    fn how_refs_moved() {
        let refs = |entries: &[(&str, Target)]| -> Refs {
            let entries = entries.iter().cloned();
            entries.map(|(name, target)| (name.to_owned(), target)).collect()
        };
        let other = Target::Symbolic("refs/heads/main".into());
        let before = refs(&[
            ("deleted", object(1)),
            ("forward", object(1)),
            ("named", object(1)),
            ("rewritten", object(2)),
            ("same", object(1)),
            ("symbolic", other.clone()),
            ("unnamed", other.clone()),
        ]);
        let now = refs(&[
            ("forward", object(2)),
            ("named", other.clone()),
            ("new", object(9)),
            ("rewritten", object(1)),
            ("same", object(1)),
            ("symbolic", other),
            ("unnamed", object(1)),
        ]);
        let moves = compare(&before, &now, |old, new| old < new);
        let found: Vec<(&str, MoveKind)> = moves.iter().map(|m| (m.name.as_str(), m.kind)).collect();
        assert_eq!(
            found,
            [
                ("deleted", MoveKind::Deleted),
                ("forward", MoveKind::Forward),
                ("named", MoveKind::Symbolic),
                ("rewritten", MoveKind::Rewritten),
                ("unnamed", MoveKind::Symbolic),
            ]
        );
        assert!(compare(&now, &now, |_, _| false).is_empty());
    }
}
