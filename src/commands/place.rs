//! Finds sessions and their tasks for the commands that ask about them.

use std::path::{Path, PathBuf};

use git2::Repository;
use rustix::fs::{Access, access};
use uuid::Uuid;

use super::Context;
use super::preflight::existing;
use super::settings::results_named;
use crate::error::Error;
use crate::git::{self, GitError, Place};
use crate::report::{program, tries_again};
use crate::session::{
    self, RepositorySpec, SessionError, SessionSpec, StatusDocument, Stored, TaskRecord, TaskState, TaskStatusName,
    document, find, read_json,
};
use crate::store::atomic::{self, Durability};
use crate::store::lock;
use crate::store::now_ms;
use crate::store::paths::SessionPaths;
use crate::task::{AttemptOutcome, Live};
use crate::words::quote;
use crate::worktree::naming::{shared_dir as shared_of, short};

/// A path in the environment; a variable that is empty is not set.
pub(super) fn set_path(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|v| !v.is_empty()).map(PathBuf::from)
}

/// Where the sessions are: where the user says, else in the git directory, else in the user's state directory.
pub(super) fn results_dir(context: &Context, repository: Option<&Place>) -> Result<PathBuf, Error> {
    let configured = match context.results_dir {
        Some(_) => None,
        None => results_named(repository)?,
    };
    Ok(results_wanted(context, configured.as_deref(), repository)?.0)
}

/// The same, with what the configuration says of it; and whether anybody has named it.
pub(super) fn results_wanted(
    context: &Context,
    configured: Option<&Path>,
    repository: Option<&Place>,
) -> Result<(PathBuf, bool), Error> {
    match context.results_dir.as_deref().or(configured) {
        // Without `.` and the like in it: it is shown, and given to commands.
        Some(dir) => Ok((context.directory.join(dir).components().collect(), true)),
        None => Ok((usual_results_dir(context, repository)?, false)),
    }
}

fn usual_results_dir(context: &Context, repository: Option<&Place>) -> Result<PathBuf, Error> {
    if let Some(place) = repository {
        return Ok(place.common_dir.join("pleach/results"));
    }
    let state = state_dir().ok_or(Error::NoPlaceForResults)?;
    let name = context
        .directory
        .file_name()
        .unwrap_or("root".as_ref())
        .to_string_lossy()
        .into_owned();
    let path = context.directory.as_os_str().as_encoded_bytes();
    let hash = Uuid::new_v5(&Uuid::NAMESPACE_URL, path).simple().to_string();
    Ok(state
        .join("pleach")
        .join(format!("{name}-{}", &hash[..8]))
        .join("results"))
}

/// Where the user's programs keep what outlives them. Never the directory for temporary files.
pub(super) fn state_dir() -> Option<PathBuf> {
    let absolute = |name: &str| set_path(name).filter(|p| p.is_absolute());
    absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))
}

/// Where the places are that the agents of all sessions of the user share on this machine. Not in the directory for
/// what belongs to a login: sessions outlive that, and those that a timer starts have none.
pub(super) fn agents_dir() -> Result<PathBuf, Error> {
    shared_here("agents").ok_or(Error::NoPlaceForAgents)
}

/// Where it is kept which ports the attempts of all sessions of the user have on this machine; none when that directory
/// cannot be known: then no ports are given out.
pub(super) fn ports_dir() -> Option<PathBuf> {
    shared_here("ports")
}

/// A directory that all sessions of the user on this machine share.
fn shared_here(what: &str) -> Option<PathBuf> {
    // A home may be that of many machines.
    let machine = rustix::system::uname().nodename().to_string_lossy().replace('/', "-");
    Some(state_dir()?.join("pleach").join(format!("{what}-{machine}")))
}

/// The directory that the tasks of a session share, where that is not in the session's own: beside the worktrees, and
/// without worktrees where the user's programs keep things, if the session's own is below `.git`.
pub(super) fn shared_dir(repository: Option<&RepositorySpec>, results: &Path, session: Uuid) -> Option<PathBuf> {
    if let Some(repository) = repository {
        return Some(shared_of(&repository.worktrees, session));
    }
    let below_git = results.components().any(|part| part.as_os_str() == ".git");
    let state = state_dir().filter(|_| below_git)?.join("pleach/shared");
    // What cannot be made there is better where the session is than nowhere.
    let usable = access(existing(&state), Access::WRITE_OK | Access::EXEC_OK).is_ok();
    usable.then(|| state.join(session.to_string()))
}

/// Makes the directory that the user named for results. A new one may be in a checkout, and has git ignore it: the
/// checkout is not dirty because of it, and nobody commits it by accident.
pub(super) fn make_results_dir(results: &Path) -> Result<(), Error> {
    if results.exists() {
        return Ok(());
    }
    let ignore = results.join(".gitignore");
    let made = atomic::private_dir(results).and_then(|()| atomic::write(&ignore, b"*\n", Durability::Fast));
    Ok(made.map_err(|source| SessionError::Unwritable {
        path: results.into(),
        source,
    })?)
}

/// A command of pleach's as it is typed here to look where this one looks.
pub(super) fn typed(context: &Context, command: &str) -> String {
    let option = (context.results_dir.as_ref()).map_or(String::new(), |dir| format!("--results-dir {} ", quote(dir)));
    format!("{} {option}{command}", program())
}

/// Where the sessions are, for a command that only asks about them.
pub(super) fn results_dir_here(context: &Context) -> Result<PathBuf, Error> {
    results_dir(context, repository_of_results(context)?.as_ref())
}

/// The repository whose sessions are meant; none where the user says where they are, and outside of a repository.
pub(super) fn repository_of_results(context: &Context) -> Result<Option<Place>, Error> {
    if context.results_dir.is_some() {
        return Ok(None);
    }
    Ok(git::open(&context.directory)?.as_ref().map(git::place_of))
}

/// The files of the session that is meant.
pub(super) fn session(context: &Context, query: Option<&str>) -> Result<SessionPaths, Error> {
    Ok(find(&results_dir_here(context)?, query)?)
}

/// The same, for a command that takes a task too: one that is named alone may be of the newest session.
pub(super) fn session_before_task(
    context: &Context,
    query: Option<&str>,
    verb: &'static str,
) -> Result<SessionPaths, Error> {
    let not_found = match session(context, query) {
        Err(Error::SessionNotFound(e)) => e,
        other => return other,
    };
    let newest = session(context, None).and_then(|paths| Ok(session::recorded(&paths)?.spec));
    let query = query.unwrap_or_default();
    Err(match newest {
        Ok(spec) if !query.is_empty() && task_number(&spec, query).is_ok() => Error::TaskWithoutSession {
            source: not_found,
            arguments: format!("{verb} {} {}", short(spec.session_id), quote(query)),
        },
        _ => Error::SessionNotFound(not_found),
    })
}

/// The session that is meant, as it stands.
pub(super) fn stored(context: &Context, query: Option<&str>) -> Result<Stored, Error> {
    Ok(session::stored(&session(context, query)?)?)
}

/// The repository of a session, opened; none for one without worktrees.
pub(super) fn repository_of(spec: &SessionSpec) -> Result<Option<(&RepositorySpec, Repository)>, Error> {
    let Some(repository) = &spec.repository else {
        return Ok(None);
    };
    let dir = &repository.place.common_dir;
    if !dir.exists() {
        return Err(Error::RepositoryMoved {
            session: short(spec.session_id),
            was: dir.clone(),
        });
    }
    let opened = Repository::open(dir).map_err(GitError::libgit2(format!("cannot open {}", dir.display())))?;
    Ok(Some((repository, opened)))
}

/// The number, from 1, of the task that is meant: its id, the beginning of it, or its number.
pub(super) fn task_number(spec: &SessionSpec, query: &str) -> Result<usize, Error> {
    let position = |wanted: &dyn Fn(&str) -> bool| -> Vec<usize> {
        let found = spec.tasks.iter().enumerate().filter(|(_, t)| wanted(t.id.as_ref()));
        found.map(|(index, _)| index + 1).collect()
    };
    let exact = position(&|id| id == query);
    let by_number = query
        .parse::<usize>()
        .ok()
        .filter(|n| (1..=spec.tasks.len()).contains(n));
    if let Some(number) = exact.first().copied().or(by_number) {
        return Ok(number);
    }
    let found = position(&|id| id.starts_with(query));
    match found.as_slice() {
        [number] => Ok(*number),
        [] => Err(Error::TaskNotFound {
            session: short(spec.session_id),
            query: query.to_owned(),
        }),
        _ => Err(Error::TaskAmbiguous {
            query: query.to_owned(),
            ids: found.iter().map(|n| spec.tasks[n - 1].id.to_string()).collect(),
        }),
    }
}

/// The document of a session, with what its runners say at this moment.
pub(super) fn status_of(stored: &Stored) -> StatusDocument {
    let recorded = &stored.recorded;
    let mut doc = document(&recorded.spec, &recorded.state, stored.held, |record| {
        live(&stored.paths, stored.held, record)
    });
    note_torn(&mut doc, recorded.torn, stored.held);
    // What was kept may have been removed since, by clean or by the user, and what was removed made anew by `open`.
    for (task, record) in doc.tasks.iter_mut().zip(&recorded.state.tasks) {
        if task.status == TaskStatusName::Completed {
            task.worktree.take_if(|path| path.symlink_metadata().is_err());
            let there = record.site().map(|site| &site.worktree);
            let reopened = || there.filter(|path| path.join(".git").is_file()).cloned();
            task.worktree = task.worktree.take().or_else(reopened);
        }
    }
    doc
}

/// Says that the journal ends in a part of a line; while somebody holds the session it is being written.
pub(super) fn note_torn(doc: &mut StatusDocument, torn: bool, held: bool) {
    if torn && !held {
        doc.warnings
            .push("the last line of the journal was torn and is left out".into());
    }
}

/// What the runner of a task says, if one is at work. `held` says whether the session has a supervisor: one that has
/// sees the end of its runners by itself.
pub(super) fn live(paths: &SessionPaths, held: bool, record: &TaskRecord) -> Option<Live> {
    let running = match &record.state {
        TaskState::Running { attempt, .. } => attempt,
        TaskState::Waiting { wait, .. } => {
            return Some(Live {
                activity: Some(tries_again(wait, held.then(now_ms))),
                ..Live::default()
            });
        }
        _ => return None,
    };
    let attempt = paths.attempt(record.id.as_ref(), running.number);
    if !held && !lock::is_held(&attempt.lock()).unwrap_or(false) {
        let ended = attempt.outcome().exists();
        let said = if ended {
            "ended, and not settled"
        } else {
            "its runner is gone"
        };
        // What it cost, although nobody took that into the journal.
        let outcome: Option<AttemptOutcome> = ended.then(|| read_json(&attempt.outcome()).ok()).flatten();
        let ended_ms = match &outcome {
            Some(outcome) => Some(running.started_ms.saturating_add(outcome.duration_ms)),
            None => read_json::<Live>(&attempt.live())
                .ok()
                .and_then(|live| live.last_output_ms),
        };
        return Some(Live {
            activity: Some(said.into()),
            ended_ms,
            turns: outcome.as_ref().and_then(|o| o.turns),
            cost_usd: outcome.and_then(|o| o.cost_usd),
            ..Live::default()
        });
    }
    // Not there yet, at the beginning. It only ever adds to what the journal says.
    read_json(&attempt.live()).ok()
}

/// Reads a text file that may not be there; bytes that are no text are replaced.
pub(super) fn text_of(path: &Path) -> Option<String> {
    std::fs::read(path)
        .ok()
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
