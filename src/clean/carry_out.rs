//! Carries a plan out. Each session is locked, looked at and decided about anew: what would not go now stays.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use git2::{Oid, Repository};
use uuid::Uuid;

use super::age::Time;
use super::plan::{of_session, record_fate};
use super::survey::{BranchFacts, SessionFacts, TaskFacts, WorktreeFacts, again, without_record};
use super::{Fate, Grounds, Item, Outcome, Plan, Request, Thing, discarded, leftovers, shared, trash};
use crate::git::{GitError, delete_refs};
use crate::process::ProcessIdentity;
use crate::session::{SessionError, SessionSpec};
use crate::store::lock::Lock;
use crate::store::paths::{GOING_PREFIX, SessionPaths};
use crate::store::{atomic, failpoint};
use crate::store::{now_ms, tree};
use crate::task::{TaskId, TaskSpec};
use crate::worktree::{
    Removal, Standing, Workshop, WorktreeError, clear, keep, keep_branch, repository_lock, standing, users_of_branch,
};

/// Why something could not be removed.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Worktree(#[from] WorktreeError),
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Carries out a plan, and tells what becomes of each thing that was to go. What fails does not keep the rest.
pub fn carry_out(grounds: &Grounds, plan: &Plan, mut tell: impl FnMut(&Item, Outcome)) {
    let of_one = |a: &Item, b: &Item| a.session == b.session && is_of_session(a) && is_of_session(b);
    for items in plan.items().chunk_by(of_one) {
        match items {
            [first, ..] if is_of_session(first) => {
                let going: Vec<&Item> = items.iter().filter(|item| item.goes()).collect();
                if let Some(id) = first.session.filter(|_| !going.is_empty()) {
                    session(grounds, plan.request(), id, &going, &mut tell);
                }
            }
            others => {
                for item in others {
                    alone(grounds, plan.request(), item, &mut tell);
                }
            }
        }
    }
}

fn is_of_session(item: &Item) -> bool {
    let kind = matches!(
        item.thing,
        Thing::Worktree { .. } | Thing::Branch { .. } | Thing::Record(_) | Thing::Shared { .. }
    );
    kind && item.session.is_some()
}

/// What is no session's, or is that of one whose record is gone.
fn alone(grounds: &Grounds, request: &Request, item: &Item, tell: &mut impl FnMut(&Item, Outcome)) {
    let done = match &item.thing {
        Thing::Trash { path, .. } => trash::time_of(path).map_err(Trouble::from).and_then(|time| {
            if item.goes() && (time == Time::Over || request.empty_trash) {
                trash::delete(path)?;
                return Ok(Outcome::Gone(None));
            }
            if time == Time::Unknown {
                trash::begin_anew(path)?;
            }
            Ok(Outcome::Stayed("its time is not over".into()))
        }),
        Thing::HalfMade(path) => match leftovers::is_abandoned(path) {
            Ok(true) => shared::remove_of(path)
                .and_then(|()| tree::remove(path))
                .map(|()| Outcome::Gone(None))
                .map_err(Trouble::from),
            Ok(false) => Ok(Outcome::Stayed("something is at it now".into())),
            Err(e) => Err(e.into()),
        },
        Thing::Discarded(path) => forget(grounds, path),
        Thing::Worktree { path, head, .. } if item.goes() => lone_worktree(grounds, path, *head),
        Thing::Shared { path, .. } if item.goes() => lone_notes(grounds, path),
        Thing::Worktree { .. } | Thing::Branch { .. } | Thing::Record(_) | Thing::Shared { .. } => return,
    };
    let outcome = match done {
        Err(Trouble::Io(e)) if e.kind() == io::ErrorKind::NotFound => Outcome::Stayed("it is gone already".into()),
        Err(e) => Outcome::Failed(e.to_string()),
        Ok(outcome) => outcome,
    };
    if item.goes() || matches!(outcome, Outcome::Failed(_)) {
        tell(item, outcome);
    }
}

/// The worktree of a session without a record.
fn lone_worktree(grounds: &Grounds, path: &Path, head: Option<Oid>) -> Result<Outcome, Trouble> {
    let found = without_record(grounds)?;
    let Some(found) = found.iter().find(|found| found.site.worktree == path) else {
        return Ok(Outcome::Stayed("it has changed since".into()));
    };
    match &found.facts {
        WorktreeFacts::Uncommitted { why, .. } | WorktreeFacts::Stays { why, .. } => Ok(Outcome::Stayed(why.clone())),
        _ => Ok(removed(clear(&found.shop, &found.site, &found.task, true, head)?)),
    }
}

/// What the tasks of a session without a record left for each other.
fn lone_notes(grounds: &Grounds, path: &Path) -> Result<Outcome, Trouble> {
    let vanished = without_record(grounds)?;
    let worktrees = path.parent().and_then(Path::parent).unwrap_or(path);
    let found = shared::lost(grounds, worktrees, &vanished);
    match found.iter().find(|lost| lost.notes.path == path) {
        None => Ok(Outcome::Stayed("it has changed since".into())),
        Some(shared::Lost { stays: Some(why), .. }) => Ok(Outcome::Stayed(why.clone())),
        Some(lost) => Ok(Outcome::Gone(Some(shared::put_away(lost)?))),
    }
}

fn removed(removal: Removal) -> Outcome {
    match removal {
        Removal::Trashed { trash, .. } => Outcome::Gone(Some(trash)),
        Removal::Kept(why) => Outcome::Stayed(why),
    }
}

fn forget(grounds: &Grounds, path: &Path) -> Result<Outcome, Trouble> {
    let Some(place) = &grounds.place else {
        return Ok(Outcome::Stayed("its repository is not here".into()));
    };
    match discarded::time_of(path)?.1 {
        Time::Runs => Ok(Outcome::Stayed("its time is not over".into())),
        Time::Unknown => {
            discarded::begin_anew(&place.common_dir, path)?;
            Ok(Outcome::Stayed("its time begins now".into()))
        }
        Time::Over => {
            let _lock = Lock::acquire(&repository_lock(place))?;
            discarded::forget(&place.common_dir, path)?;
            Ok(Outcome::Gone(None))
        }
    }
}

/// Takes the lock of a session, as a supervisor would; none when somebody has it.
fn take(paths: &SessionPaths) -> io::Result<Option<Lock>> {
    let Some(lock) = Lock::try_acquire(&paths.lock())? else {
        return Ok(None);
    };
    let mut file = lock.file();
    file.set_len(0)?;
    file.write_all(&serde_json::to_vec(&ProcessIdentity::current())?)?;
    Ok(Some(lock))
}

fn session(grounds: &Grounds, request: &Request, id: Uuid, going: &[&Item], tell: &mut impl FnMut(&Item, Outcome)) {
    let paths = SessionPaths::of(&grounds.results, id);
    let mut all = |outcome: &Outcome| going.iter().for_each(|item| tell(item, outcome.clone()));
    let lock = match take(&paths) {
        Ok(Some(lock)) => lock,
        Ok(None) => return all(&Outcome::Stayed("somebody works on the session now".into())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return all(&Outcome::Stayed("it is gone already".into())),
        Err(e) => return all(&Outcome::Failed(format!("{}: {e}", paths.lock().display()))),
    };
    let (spec, shop, facts) = match again(grounds, id) {
        Ok(seen) => seen,
        Err(e) => return all(&Outcome::Failed(e.to_string())),
    };
    let now = of_session(&facts, request, now_ms());
    let hands = Hands {
        grounds,
        request,
        spec: &spec,
        shop: shop.as_ref(),
        facts: &facts,
    };
    let mut complete = true;
    for item in going {
        let outcome = match (&item.thing, reconsidered(item, &now)) {
            (_, Some(why)) => Outcome::Stayed(why),
            (Thing::Record(_) | Thing::Shared { .. }, None) if !complete => {
                Outcome::Stayed("something of it stays".into())
            }
            (thing, None) => hands.remove(thing).unwrap_or_else(|e| Outcome::Failed(e.to_string())),
        };
        complete &= matches!(outcome, Outcome::Gone(_));
        tell(item, outcome);
    }
    drop(lock);
}

/// Why something that was to go stays, by how things stand now.
fn reconsidered(item: &Item, now: &[Item]) -> Option<String> {
    let changed = || Some("it has changed since".to_owned());
    let is_it = |other: &&Item| match (&item.thing, &other.thing) {
        (Thing::Worktree { path: a, .. }, Thing::Worktree { path: b, .. }) => a == b,
        (Thing::Branch { name: a, .. }, Thing::Branch { name: b, .. }) => a == b,
        (Thing::Record(a), Thing::Record(b)) => a == b,
        (Thing::Shared { path: a, .. }, Thing::Shared { path: b, .. }) => a == b,
        _ => false,
    };
    match now.iter().find(is_it) {
        None => changed(),
        Some(Item {
            fate: Fate::Stays(why), ..
        }) => Some(why.clone()),
        Some(other) => match (&item.thing, &other.thing) {
            (Thing::Worktree { head: a, .. }, Thing::Worktree { head: b, .. }) if a != b => changed(),
            (Thing::Branch { tip: a, .. }, Thing::Branch { tip: b, .. }) if a != b => changed(),
            _ => None,
        },
    }
}

/// What a session is cleaned with, its lock held.
struct Hands<'a> {
    grounds: &'a Grounds,
    request: &'a Request,
    spec: &'a SessionSpec,
    shop: Option<&'a Workshop>,
    facts: &'a SessionFacts,
}

impl Hands<'_> {
    fn remove(&self, thing: &Thing) -> Result<Outcome, Trouble> {
        match thing {
            Thing::Worktree { task, head, .. } => self.worktree(task, *head),
            Thing::Branch { task, name, tip } => self.branch(task, name, *tip),
            Thing::Record(path) => self.record(path),
            // They went with the record, if that did.
            Thing::Shared { path, .. } => Ok(match path.symlink_metadata() {
                Ok(_) => Outcome::Stayed("it is there again".into()),
                Err(_) => Outcome::Gone(None),
            }),
            // These are no session's.
            Thing::Trash { .. } | Thing::HalfMade(_) | Thing::Discarded(_) => Ok(Outcome::Stayed(String::new())),
        }
    }

    fn task(&self, id: &TaskId) -> Option<(&TaskFacts, &TaskSpec)> {
        let facts = self.facts.tasks.iter().find(|task| task.id == *id)?;
        Some((facts, self.spec.tasks.iter().find(|task| task.id == *id)?))
    }

    fn worktree(&self, id: &TaskId, head: Option<Oid>) -> Result<Outcome, Trouble> {
        let Some((shop, (facts, task))) = self.shop.zip(self.task(id)) else {
            return Ok(Outcome::Stayed("its session does not know it".into()));
        };
        let Some(site) = &facts.site else {
            return Ok(Outcome::Stayed("it is another session's".into()));
        };
        let (mut expected, mut worked_in) = (head, facts.attempted);
        if self.request.discard {
            // Without an agent the user may have.
            worked_in = worked_in || matches!(standing(shop, site, false)?, Standing::Uncommitted(_));
            if worked_in {
                keep(shop, site, task)?;
            }
            if let Standing::Clear(clear) = standing(shop, site, worked_in)? {
                expected = clear.head;
            }
        }
        Ok(removed(clear(shop, site, task, worked_in, expected)?))
    }

    fn branch(&self, id: &TaskId, name: &str, tip: Option<Oid>) -> Result<Outcome, Trouble> {
        let (Some(shop), Some((facts, task)), Some(tip)) = (self.shop, self.task(id), tip) else {
            return Ok(Outcome::Stayed("its session does not know it".into()));
        };
        let Some(site) = &facts.site else {
            return Ok(Outcome::Stayed("it is another session's".into()));
        };
        if site.worktree.symlink_metadata().is_ok() {
            return Ok(Outcome::Stayed("its worktree stays".into()));
        }
        let landed = matches!(facts.branch, BranchFacts::Landed { .. });
        if self.request.discard || self.request.unmerged || landed {
            keep_branch(shop, site, task)?;
        }
        let common_dir = &shop.place.common_dir;
        let _lock = Lock::acquire(&repository_lock(&shop.place))?;
        if let Some(there) = users_of_branch(common_dir, name).first() {
            return Ok(Outcome::Stayed(format!("it is checked out in {}", there.display())));
        }
        let full = format!("refs/heads/{name}");
        let deleted = delete_refs(common_dir, &[(full.clone(), tip)]);
        let now = Repository::open(common_dir).and_then(|repository| repository.refname_to_id(&full));
        match (deleted, now) {
            (Ok(()), _) => Ok(Outcome::Gone(None)),
            (Err(_), Ok(now)) if now != tip => Ok(Outcome::Stayed("it has moved since".into())),
            (Err(e), _) => Err(e.into()),
        }
    }

    /// The record goes last, when nothing is left that it tells of.
    fn record(&self, path: &Path) -> Result<Outcome, Trouble> {
        let (_, _, facts) = again(self.grounds, self.facts.id)?;
        let rest = of_session(&facts, self.request, now_ms());
        let left = rest
            .iter()
            .any(|item| !matches!(item.thing, Thing::Record(_) | Thing::Shared { .. }));
        if let Fate::Stays(why) = record_fate(&facts, self.request, left) {
            return Ok(Outcome::Stayed(why));
        }
        if let Some(shop) = self.shop {
            let common_dir = &shop.place.common_dir;
            if self.request.discard {
                discarded::note(common_dir, &self.grounds.results, facts.id)?;
            } else {
                // All of them are on branches.
                let _lock = Lock::acquire(&repository_lock(&shop.place))?;
                let doing = || GitError::libgit2("cannot list what is kept of the session");
                let repository = Repository::open(common_dir).map_err(doing())?;
                let pins = discarded::pins(&repository, facts.id).map_err(doing())?;
                delete_refs(common_dir, &pins)?;
            }
        }
        let going = self.grounds.results.join(format!("{GOING_PREFIX}{}", Uuid::new_v4()));
        failpoint::passed("rename");
        fs::rename(path, &going)?;
        atomic::sync_dir(&self.grounds.results)?;
        // From here on it is no session any more: what is left of it is removed the next time.
        let removed = shared::remove(self.spec).and_then(|()| tree::remove(&going));
        removed.map_err(|e| io::Error::other(format!("it is at {} now: {e}", going.display())))?;
        Ok(Outcome::Gone(None))
    }
}
