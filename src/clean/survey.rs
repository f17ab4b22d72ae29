//! Looks at what there is: the sessions with their worktrees and branches, the trash, and what is half made.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use git2::{Oid, Repository};
use uuid::Uuid;
use walkdir::WalkDir;

use super::age::Time;
use super::branches::{branch, targets, unkept};
use super::claims::Claims;
use super::shared::{Lost, Notes, lost, notes};
use super::trash::{self, Trashed};
use super::vanished::{self, Vanished};
use super::{Ignored, Request, Scope, discarded, half_made};
use crate::git::{GitError, Place};
use crate::landing::in_targets;
use crate::process::{is_any_alive, is_used};
use crate::session::{SessionError, SessionSpec, Site, Stored, TaskState, all, stored};
use crate::store::lock;
use crate::store::paths::{AttemptPaths, SessionPaths};
use crate::store::usage::Usage;
use crate::task::TaskId;
use crate::worktree::{Checkout, Standing, Workshop, WorktreeError, naming, standing, trashed};

/// Where is cleaned.
#[derive(Clone, Debug)]
pub struct Grounds {
    /// Where the user is.
    pub directory: PathBuf,
    /// Where the records of sessions are.
    pub results: PathBuf,
    /// The repository that the user is in, if any.
    pub place: Option<Place>,
}

/// All that was seen.
#[derive(Debug, Default)]
pub struct Survey {
    pub(super) sessions: Vec<SessionFacts>,
    pub(super) vanished: Vec<Vanished>,
    pub(super) lost: Vec<Lost>,
    pub(super) trash: Vec<Trashed>,
    pub(super) half_made: Vec<PathBuf>,
    pub(super) discarded: Vec<(PathBuf, Uuid, Time)>,
    /// What could not be looked at, a line each.
    pub unseen: Vec<String>,
}

/// What matters of a session.
#[derive(Clone, Debug)]
pub(super) struct SessionFacts {
    pub id: Uuid,
    pub record: PathBuf,
    pub standing: SessionStanding,
    pub tasks: Vec<TaskFacts>,
    /// How many commits of it no branch has that stays whatever becomes of the session.
    pub unkept: usize,
    /// How many tags and other objects that are no commits only refs of ours name.
    pub loose: usize,
    /// What its tasks left for each other, outside of its record.
    pub notes: Option<Notes>,
}

/// Where a session stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SessionStanding {
    /// Its lock is held.
    AtWork,
    /// It has not ended, and nobody works on it.
    Interrupted { since_ms: u64 },
    /// It has ended.
    Ended { at_ms: u64 },
    /// It cannot be read, or its repository cannot.
    Unreadable(String),
}

/// What matters of a task.
#[derive(Clone, Debug)]
pub(super) struct TaskFacts {
    pub id: TaskId,
    /// Where it worked, unless that is another session's.
    pub site: Option<Site>,
    /// An agent has worked there.
    pub attempted: bool,
    pub settled: bool,
    /// A runner or a process of its agent lives.
    pub at_work: bool,
    pub worktree: WorktreeFacts,
    pub branch: BranchFacts,
}

/// The worktree of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WorktreeFacts {
    /// It is not there, or is another session's.
    Gone,
    /// It can go.
    Clear {
        path: PathBuf,
        head: Option<Oid>,
        ignored: Ignored,
    },
    /// It has files that no commit has.
    Uncommitted { path: PathBuf, why: String },
    /// It cannot go.
    Stays { path: PathBuf, why: String },
}

/// The branch of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BranchFacts {
    /// It is not there, or is another session's.
    Gone,
    /// All of it is elsewhere, which is said.
    Merged { name: String, tip: Oid, into: String },
    /// What it changes is in a target, as other commits: it was squashed. Its own are kept when it goes.
    Landed { name: String, tip: Oid, into: String },
    /// It has commits that its target has not.
    Unmerged { name: String, tip: Oid, commits: usize },
    /// It is used elsewhere, or is no branch any more.
    Busy {
        name: String,
        tip: Option<Oid>,
        why: String,
    },
}

/// Looks at all that a request is about.
pub fn survey(grounds: &Grounds, request: &Request) -> Result<Survey, SessionError> {
    let mut found = Survey::default();
    let sessions: Vec<(Uuid, Result<Stored, SessionError>)> = all(&grounds.results)?.collect();
    let claims = Claims::of(sessions.iter().filter_map(|(_, read)| read.as_ref().ok()));
    let mut parents: BTreeSet<PathBuf> = grounds.place.iter().map(naming::worktrees_dir).collect();
    for (id, read) in sessions {
        if let Ok(stored) = &read {
            parents.extend(stored.recorded.spec.repository.as_ref().map(|r| r.worktrees.clone()));
        }
        let meant = match &request.scope {
            Scope::Nothing => false,
            Scope::Named(ids) => ids.contains(&id),
            Scope::All | Scope::Merged => true,
        };
        if meant {
            found
                .sessions
                .push(facts(grounds, id, read, &claims, request.scope != Scope::Merged));
        }
    }
    found.sessions.sort_by_key(|session| session.id);
    if request.scope == Scope::All {
        match without_record(grounds) {
            Ok(vanished) => {
                let of = |worktrees: &PathBuf| lost(grounds, worktrees, &vanished);
                found.lost = parents.iter().flat_map(of).collect();
                found.vanished = vanished;
            }
            Err(e) => found.unseen.push(e.to_string()),
        }
    }
    let mut usage = Usage::default();
    for parent in &parents {
        match trashed(parent) {
            Ok(paths) => found.trash.extend(paths.into_iter().filter_map(|path| {
                let time = trash::time_of(&path).ok()?;
                let bytes = usage.count(&path);
                Some(Trashed { path, bytes, time })
            })),
            Err(e) => found.unseen.push(e.to_string()),
        }
    }
    found.trash.sort_by(|a, b| a.path.cmp(&b.path));
    found.unseen.append(&mut usage.unreadable);
    if request.scope != Scope::Nothing {
        by_the_way(grounds, &parents, &mut found);
    }
    Ok(found)
}

/// The worktrees of sessions whose records are gone. When one cannot be read, nobody knows which are its own.
pub(super) fn without_record(grounds: &Grounds) -> Result<Vec<Vanished>, WorktreeError> {
    let read = all(&grounds.results).and_then(|sessions| sessions.map(|(_, read)| read).collect());
    let sessions: Vec<Stored> = match read {
        Ok(sessions) => sessions,
        Err(_) => return Ok(Vec::new()),
    };
    let claims = Claims::of(sessions.iter());
    vanished::look(grounds, |path| claims.knows(path))
}

/// What goes whichever sessions are meant.
fn by_the_way(grounds: &Grounds, worktrees: &BTreeSet<PathBuf>, found: &mut Survey) {
    let pleach = grounds.place.as_ref().map(|place| place.common_dir.join("pleach"));
    let shared: Vec<PathBuf> = worktrees.iter().map(|dir| dir.join(naming::SHARED)).collect();
    for dir in std::iter::once(&grounds.results).chain(&pleach).chain(&shared) {
        let (half, unseen) = half_made(dir);
        found.half_made.extend(half);
        found.unseen.extend(unseen);
    }
    let Some(place) = &grounds.place else { return };
    match discarded::all(&place.common_dir) {
        Ok(files) => {
            for path in files {
                match discarded::time_of(&path) {
                    Ok((session, time)) => found.discarded.push((path, session, time)),
                    Err(e) => found.unseen.push(e.to_string()),
                }
            }
        }
        Err(e) => found.unseen.push(format!("cannot read the discarded sessions: {e}")),
    }
    found.discarded.sort_by(|a, b| a.0.cmp(&b.0));
}

/// Looks again at one session whose lock this process holds.
pub(super) fn again(
    grounds: &Grounds,
    id: Uuid,
) -> Result<(SessionSpec, Option<Workshop>, SessionFacts), SessionError> {
    let mut others: Vec<Stored> = all(&grounds.results)?.filter_map(|(_, read)| read.ok()).collect();
    for other in &mut others {
        other.held &= other.recorded.spec.session_id != id;
    }
    let claims = Claims::of(others.iter());
    let mut own = stored(&SessionPaths::of(&grounds.results, id))?;
    own.held = false;
    let spec = own.recorded.spec.clone();
    let shop = Workshop::of(&spec, &own.recorded.state, Checkout::Libgit2);
    Ok((spec, shop, facts(grounds, id, Ok(own), &claims, true)))
}

/// `counts` says whether it matters which of its commits no branch has: that takes long where there are many.
fn facts(
    grounds: &Grounds,
    id: Uuid,
    read: Result<Stored, SessionError>,
    claims: &Claims,
    counts: bool,
) -> SessionFacts {
    let mut facts = SessionFacts {
        id,
        record: SessionPaths::of(&grounds.results, id).dir().to_owned(),
        standing: SessionStanding::AtWork,
        tasks: Vec::new(),
        unkept: 0,
        loose: 0,
        notes: None,
    };
    let looked = read.map_err(|e| e.to_string()).and_then(|stored| {
        if stored.held {
            return Ok(());
        }
        facts.standing = match &stored.recorded.state.end {
            Some((_, at_ms, _)) => SessionStanding::Ended { at_ms: *at_ms },
            None => SessionStanding::Interrupted {
                since_ms: last_change(&stored.paths),
            },
        };
        look(grounds, &stored, claims, counts, &mut facts).map_err(|e| e.to_string())
    });
    if let Err(why) = looked {
        facts.standing = SessionStanding::Unreadable(why);
    }
    facts
}

/// When a session's journal was last written to, in Unix milliseconds.
fn last_change(paths: &SessionPaths) -> u64 {
    let modified = fs::metadata(paths.journal()).and_then(|m| m.modified()).ok();
    let since = modified.and_then(|m| m.duration_since(std::time::UNIX_EPOCH).ok());
    // One that cannot be told is not long ago.
    since.map_or(u64::MAX, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

fn look(
    grounds: &Grounds,
    stored: &Stored,
    claims: &Claims,
    counts: bool,
    facts: &mut SessionFacts,
) -> Result<(), WorktreeError> {
    let at_work = tasks_at_work(stored).map_err(GitError::io("cannot look at its attempts"))?;
    // Nothing is checked out here.
    let shop = Workshop::of(&stored.recorded.spec, &stored.recorded.state, Checkout::Libgit2);
    let repository = shop.as_ref().map(|shop| {
        let dir = &shop.place.common_dir;
        Repository::open(dir).map_err(GitError::libgit2(format!("cannot open {}", dir.display())))
    });
    let seen = shop.as_ref().zip(repository.transpose()?);
    let (targets, landed) = match &seen {
        Some((_, repository)) => (targets(grounds, stored, repository)?, in_targets(repository)),
        None => (Vec::new(), Vec::new()),
    };
    for record in &stored.recorded.state.tasks {
        let site = record.site().filter(|site| claims.is_of(site, facts.id));
        let mut task = TaskFacts {
            id: record.id.clone(),
            site: site.cloned(),
            attempted: record.attempts > 0,
            settled: record.settlement().is_some(),
            at_work: at_work.contains(record.id.as_ref()),
            worktree: WorktreeFacts::Gone,
            branch: BranchFacts::Gone,
        };
        if let Some(((shop, repository), site)) = seen.as_ref().zip(site) {
            task.worktree = worktree(grounds, shop, site, record.attempts > 0);
            task.branch = branch(repository, site, &targets, &landed)
                .map_err(GitError::libgit2(format!("cannot look at the branch {}", site.branch)))?;
        }
        facts.tasks.push(task);
    }
    facts.notes = notes(&stored.recorded.spec).filter(|_| counts);
    if let Some((_, repository)) = seen.as_ref().filter(|_| counts) {
        let doing = || GitError::libgit2("cannot compare its commits");
        (facts.unkept, facts.loose) = unkept(repository, facts).map_err(doing())?;
    }
    Ok(())
}

/// The tasks of which a runner, or a process of a runner that was killed, lives.
fn tasks_at_work(stored: &Stored) -> std::io::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(stored.paths.attempts())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some((task, _)) = name.rsplit_once('.')
            && lock::is_held(&AttemptPaths::new(entry.path()).lock())?
        {
            found.insert(task.to_owned());
        }
    }
    let running = stored
        .recorded
        .state
        .tasks
        .iter()
        .filter_map(|record| match &record.state {
            TaskState::Running { attempt, .. } => Some((attempt.id.to_string(), record.id.to_string())),
            _ => None,
        });
    let (marks, tasks): (Vec<String>, Vec<String>) = running.unzip();
    let alive = is_any_alive(&marks)?;
    found.extend(
        tasks
            .into_iter()
            .zip(alive)
            .filter(|(_, alive)| *alive)
            .map(|(task, _)| task),
    );
    Ok(found)
}

pub(super) fn worktree(grounds: &Grounds, shop: &Workshop, site: &Site, attempted: bool) -> WorktreeFacts {
    let path = site.worktree.clone();
    match standing(shop, site, attempted) {
        Ok(Standing::Gone) => WorktreeFacts::Gone,
        _ if grounds.directory.starts_with(&path) => WorktreeFacts::Stays {
            path,
            why: "you are in it".into(),
        },
        Ok(Standing::Clear(_) | Standing::Uncommitted(_)) if is_in_use(&path) => WorktreeFacts::Stays {
            path,
            why: "a process is in it".into(),
        },
        Ok(Standing::Clear(clear)) => WorktreeFacts::Clear {
            ignored: measure(&path, &clear.ignored),
            head: clear.head,
            path,
        },
        Ok(Standing::Uncommitted(why)) => WorktreeFacts::Uncommitted { path, why },
        Ok(Standing::Stays(why)) => WorktreeFacts::Stays { path, why },
        // One that cannot be looked at hides no other.
        Err(e) => WorktreeFacts::Stays {
            path,
            why: format!("it cannot be looked at: {e}"),
        },
    }
}

/// Whether somebody works in a worktree: what is written after it went would be gone with the trash. Where the system does
/// not tell, nobody does.
fn is_in_use(worktree: &Path) -> bool {
    let real = worktree.canonicalize();
    cfg!(target_os = "linux") && is_used(&[real.as_deref().unwrap_or(worktree)])
}

/// Measures ignored files: only the largest are named.
fn measure(worktree: &Path, ignored: &[PathBuf]) -> Ignored {
    const NAMED: usize = 3;
    let mut usage = Usage::default();
    let mut sized: Vec<(u64, &PathBuf)> = (ignored.iter())
        .map(|path| {
            let files = WalkDir::new(path).into_iter().flatten();
            let lengths = files.filter_map(|file| file.metadata().ok().filter(fs::Metadata::is_file));
            (lengths.map(|m| m.len()).sum(), path)
        })
        .collect();
    sized.sort_by(|a, b| b.cmp(a));
    Ignored {
        entries: ignored.len(),
        largest: (sized.iter().take(NAMED))
            .map(|(_, path)| path.strip_prefix(worktree).unwrap_or(path).display().to_string())
            .collect(),
        bytes: sized.iter().map(|(bytes, _)| bytes).sum(),
        disk_bytes: ignored.iter().map(|path| usage.count(path)).sum(),
    }
}
