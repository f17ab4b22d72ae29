//! `pleach recover`: what is kept of a session's work under `refs/pleach`, and a new branch at one of it.
//!
//! Refs are all it needs: a session whose directory is gone or cannot be read is shown by what git keeps of it.

use std::collections::BTreeSet;

use git2::{Reference, Repository};
use uuid::Uuid;

use super::place::{results_dir_here, task_number, typed};
use super::{Context, output};
use crate::cli::RecoverArgs;
use crate::error::{Error, exit};
use crate::git::{self, GitError, patiently};
use crate::report::{self, KeptTask, KeptWork, RecoverDocument, Restored};
use crate::session::{self, SessionError, Stored};
use crate::store::paths::{SESSION_PREFIX, SessionPaths};
use crate::worktree::naming::short;
use crate::worktree::{Kept, KeptKind, kept, kept_base, kept_sessions};

/// The session that is asked about.
struct Subject {
    repository: Repository,
    id: Uuid,
    /// None when its directory is gone or cannot be read.
    stored: Option<Stored>,
}

pub(super) fn run(context: &Context, args: &RecoverArgs) -> Result<u8, Error> {
    let subject = subject(context, args.session.as_deref())?;
    let (mut all, unreadable) = kept(&subject.repository, subject.id)?;
    for name in unreadable {
        report::warning(&format!("{name} names no commit that is there"));
    }
    if let Some(query) = &args.task {
        let task = task_id(&subject, &all, query)?;
        all.retain(|k| k.task.as_ref() == Some(&task));
    }
    let restored = match &args.to {
        Some(branch) => Some(restore(&subject, &all, args.from.as_deref(), branch)?),
        None => None,
    };
    let doc = document(&subject, &all, restored);
    if args.json {
        report::json(&doc).map_err(output)?;
    } else if let Some(made) = &doc.restored {
        let base = kept_base(&subject.repository, subject.id).map(|id| id.to_string());
        report::out(&report::restored(made, base.as_deref())).map_err(output)?;
    } else {
        let command = typed(context, &format!("recover {}", short(subject.id)));
        report::out(&report::recover(&doc, &command)).map_err(output)?;
    }
    Ok(exit::DONE)
}

/// The session that is meant, among those with a directory and those of which only refs are left.
fn subject(context: &Context, query: Option<&str>) -> Result<Subject, Error> {
    let results = results_dir_here(context)?;
    let here = git::open(&context.directory)?;
    let by_refs = here.as_ref().map(kept_sessions).transpose()?.unwrap_or_default();
    let id = match query {
        None => match session::find(&results, None) {
            Ok(paths) => id_of(&paths),
            Err(SessionError::None { results }) => {
                let newest = by_refs.iter().max_by_key(|(id, time)| (**time, **id));
                newest.map(|(id, _)| *id).ok_or(SessionError::None { results })?
            }
            Err(e) => return Err(e.into()),
        },
        Some(query) => {
            let known: BTreeSet<Uuid> = session::ids(&results)?.into_iter().chain(by_refs.into_keys()).collect();
            let wanted = query.strip_prefix(SESSION_PREFIX).unwrap_or(query).to_ascii_lowercase();
            let fits = |id: &Uuid| !wanted.is_empty() && id.to_string().starts_with(&wanted);
            let found: Vec<Uuid> = known.into_iter().filter(fits).collect();
            let query = query.to_owned();
            match found.as_slice() {
                [id] => *id,
                [] => return Err(SessionError::NotFound { query, results }.into()),
                _ => {
                    let ids = found.iter().map(Uuid::to_string).collect();
                    return Err(SessionError::Ambiguous { query, ids }.into());
                }
            }
        }
    };
    let paths = SessionPaths::of(&results, id);
    let stored = match session::stored(&paths) {
        Ok(stored) => Some(stored),
        Err(_) if !paths.dir().exists() => None,
        Err(e) => {
            report::warning(&format!("the session cannot be read, only what git keeps of it: {e}"));
            None
        }
    };
    let of_session = stored.as_ref().and_then(|s| s.recorded.spec.repository.as_ref());
    // Of one that was moved since only the user knows where it is.
    let opened = of_session.and_then(|r| Repository::open(&r.place.common_dir).ok());
    let repository = opened.or(here).ok_or_else(|| Error::NoRepository {
        directory: context.directory.clone(),
    })?;
    Ok(Subject { repository, id, stored })
}

fn id_of(paths: &SessionPaths) -> Uuid {
    let name = paths.dir().file_name().and_then(|name| name.to_str());
    let id = name.and_then(|name| Uuid::parse_str(name.strip_prefix(SESSION_PREFIX)?).ok());
    id.unwrap_or_default()
}

/// The task that is meant: its number, its id or the beginning of it, also when only refs tell of it.
fn task_id(subject: &Subject, all: &[Kept], query: &str) -> Result<String, Error> {
    if let Some(stored) = &subject.stored {
        let spec = &stored.recorded.spec;
        return Ok(spec.tasks[task_number(spec, query)? - 1].id.to_string());
    }
    let known: BTreeSet<&String> = all.iter().filter_map(|k| k.task.as_ref()).collect();
    if known.contains(&query.to_owned()) {
        return Ok(query.to_owned());
    }
    let found: Vec<&String> = known.into_iter().filter(|id| id.starts_with(query)).collect();
    match found.as_slice() {
        [id] => Ok((*id).clone()),
        [] => Err(Error::NothingKept {
            what: format!("a task {query:?} of session {}", short(subject.id)),
        }),
        _ => Err(Error::TaskAmbiguous {
            query: query.to_owned(),
            ids: found.into_iter().cloned().collect(),
        }),
    }
}

/// Makes a new branch at what is chosen of `all`.
fn restore(subject: &Subject, all: &[Kept], from: Option<&str>, branch: &str) -> Result<Restored, Error> {
    let full = format!("refs/heads/{branch}");
    // git makes a branch of a full name, which is then another than the one that is meant.
    if branch.starts_with('-')
        || branch.starts_with("refs/")
        || ["HEAD", "@"].contains(&branch)
        || !Reference::is_valid_name(&full)
    {
        return Err(Error::BranchInvalid { name: branch.into() });
    }
    if let Some(there) = in_the_way(&subject.repository, branch)? {
        return Err(Error::BranchTaken { name: there });
    }
    let chosen = choose(subject, all, from, branch)?;
    let message = format!("pleach: recovered from {}", chosen.reference);
    let make = || {
        subject
            .repository
            .reference(&full, chosen.commit, false, &message)
            .map(drop)
    };
    patiently(make).map_err(GitError::libgit2(format!("cannot make the branch {branch}")))?;
    Ok(Restored {
        branch: branch.into(),
        task: chosen.task.clone(),
        name: chosen.name.clone(),
        commit: chosen.commit.to_string(),
    })
}

/// The branch because of which one of this name cannot be made.
fn in_the_way(repository: &Repository, branch: &str) -> Result<Option<String>, GitError> {
    let above = branch.match_indices('/').map(|(at, _)| &branch[..at]);
    for name in above.chain([branch]) {
        if repository.find_reference(&format!("refs/heads/{name}")).is_ok() {
            return Ok(Some(name.to_owned()));
        }
    }
    let below = repository.references_glob(&format!("refs/heads/{branch}/*"));
    let mut below = below.map_err(GitError::libgit2("cannot read the branches"))?.flatten();
    let name = below.find_map(|r| {
        r.name()
            .ok()
            .map(|name| name.trim_start_matches("refs/heads/").to_owned())
    });
    Ok(name)
}

/// What is meant: by its name; without one the settled work for the task's own branch, else the newest.
fn choose<'k>(subject: &Subject, all: &'k [Kept], from: Option<&str>, branch: &str) -> Result<&'k Kept, Error> {
    let tasks: BTreeSet<&String> = all.iter().filter_map(|k| k.task.as_ref()).collect();
    let of_tasks = || all.iter().filter(|k| k.task.is_some());
    let session = short(subject.id);
    let mut wanted: Vec<&Kept> = match from {
        Some(name) => all.iter().filter(|k| k.name == name).collect(),
        None => of_tasks().filter(|k| k.kind != KeptKind::Dropped).collect(),
    };
    if all.is_empty() {
        let what = format!("session {session}");
        return Err(Error::NothingKept { what });
    }
    if let (Some(name), true) = (from, wanted.is_empty()) {
        return Err(Error::NotKept {
            name: name.into(),
            there: all.iter().map(|k| k.name.clone()).collect(),
        });
    }
    let mine = |k: &&Kept| site_branch(subject, k.task.as_deref()).is_some_and(|own| own == branch);
    if wanted.iter().any(mine) {
        wanted.retain(mine);
    }
    let owners: BTreeSet<Option<&String>> = wanted.iter().map(|k| k.task.as_ref()).collect();
    if owners.len() > 1 {
        return Err(Error::TaskNotNamed {
            session,
            tasks: tasks.into_iter().cloned().collect(),
        });
    }
    let settled = wanted.iter().find(|k| k.kind == KeptKind::Head && mine(k)).copied();
    // Only what an agent has dropped, then: the newest of that.
    settled
        .or_else(|| wanted.first().copied())
        .or_else(|| of_tasks().next())
        .or_else(|| all.first())
        .ok_or_else(|| Error::NothingKept { what: session })
}

/// The branch of a task, as far as it is known.
fn site_branch(subject: &Subject, task: Option<&str>) -> Option<String> {
    let recorded = &subject.stored.as_ref()?.recorded;
    let index = recorded.spec.tasks.iter().position(|t| Some(t.id.as_ref()) == task)?;
    let site = recorded.state.tasks[index].site().cloned();
    Some(site.or_else(|| recorded.spec.site(index))?.branch)
}

fn document(subject: &Subject, all: &[Kept], restored: Option<Restored>) -> RecoverDocument {
    let spec = subject.stored.as_ref().map(|s| &s.recorded.spec);
    let index_of = |id: &str| spec?.tasks.iter().position(|t| t.id.as_ref() == id);
    let ids: BTreeSet<&String> = all.iter().filter_map(|k| k.task.as_ref()).collect();
    let mut tasks: Vec<KeptTask> = Vec::new();
    for id in ids {
        let branch = site_branch(subject, Some(id));
        let is_gone = |name: &String| {
            subject
                .repository
                .find_reference(&format!("refs/heads/{name}"))
                .is_err()
        };
        tasks.push(KeptTask {
            id: id.clone(),
            task_num: index_of(id).map(|index| index + 1),
            title: index_of(id).and_then(|index| Some(spec?.tasks[index].title.clone())),
            branch_gone: branch.as_ref().is_some_and(is_gone),
            branch,
            kept: all.iter().filter(|k| k.task.as_ref() == Some(id)).map(work).collect(),
        });
    }
    tasks.sort_by_key(|task| task.task_num.unwrap_or(usize::MAX));
    RecoverDocument {
        schema: 1,
        session_id: subject.id.to_string(),
        tasks,
        moved: all.iter().filter(|k| k.task.is_none()).map(work).collect(),
        restored,
    }
}

fn work(kept: &Kept) -> KeptWork {
    KeptWork {
        name: kept.name.clone(),
        what: what(kept),
        reference: kept.reference.clone(),
        commit: kept.commit.to_string(),
        time: u64::try_from(kept.time).unwrap_or(0),
        on_branch: kept.on_branch,
        commits: kept.changes.map(|c| c.commits),
        files_changed: kept.changes.map(|c| c.files_changed),
        insertions: kept.changes.map(|c| c.insertions),
        deletions: kept.changes.map(|c| c.deletions),
    }
}

fn what(kept: &Kept) -> &'static str {
    match kept.kind {
        KeptKind::Head => "its work as it was settled",
        KeptKind::Snapshot if kept.uncommitted => "its files while the agent worked",
        KeptKind::Snapshot => "its commit while the agent worked",
        KeptKind::Attempt if kept.uncommitted => "its files at the end of an attempt",
        KeptKind::Attempt => "its commit at the end of an attempt",
        KeptKind::Dropped => "a commit that was dropped",
        KeptKind::Cleaned => "kept before it was cleaned up",
        KeptKind::Begun => "where its branch was made",
        KeptKind::Moved => "what it was before it moved",
        KeptKind::Other => "",
    }
}
