//! `pleach resume`: another supervisor for a session that has none, with what is left to do.

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use git2::{Oid, Repository};

use super::Context;
use super::agents::{problem_of, refuse_root};
use super::place::session;
use super::preflight::check_writable;
use super::run::{Session, announce, watch};
use super::signals::Signals;
use super::status::after_failure;
use crate::cli::ResumeArgs;
use crate::error::{Error, exit};
use crate::git::GitError;
use crate::pool;
use crate::process::ProcessIdentity;
use crate::report::{self, Left};
use crate::session::{
    NewSession, Recorded, RepositorySpec, SessionError, SessionSpec, SessionState, TaskRecord, is_above, read_json,
    recorded,
};
use crate::store::lock::Lock;
use crate::store::paths::SessionPaths;
use crate::supervisor::{GoOn, Stop, ask_to_go_on, ask_to_stop, launch, left_behind};
use crate::task::Outcome;
use crate::words::count;
use crate::worktree::naming::short;

/// How long a lock may be held by somebody who is not at work on the session: one that has just ended, one that only
/// looks, one that begins.
const PATIENCE: Duration = Duration::from_secs(5);
/// The time between two looks at it.
const PAUSE: Duration = Duration::from_millis(10);

pub(super) fn run(context: &Context, args: &ResumeArgs) -> Result<u8, Error> {
    let paths = session(context, args.session.as_deref())?;
    // What was asked of an earlier supervisor, and not taken up, is not meant for this one.
    let old = left_behind(&paths);
    let before = recorded(&paths)?;
    let held = hold(&paths, &before.spec)?;
    // Nobody else writes it from here on.
    let Recorded { spec, state, .. } = recorded(&paths)?;
    let id = short(spec.session_id);
    let failed = pool::to_retry(&state).len();
    let retried = if args.retry_failed { failed } else { 0 };
    if state.end.is_some() && state.all_settled() && retried == 0 {
        let again = report::resume(&id, context.results_dir.as_deref());
        report::note(&nothing_left(&state, &id, failed, &again));
        return Ok(exit::DONE);
    }
    check_limit(&state, &id, args.max_cost)?;
    check_place(&paths, &spec)?;
    check_agent(&spec)?;
    forget(old);
    let wanted = GoOn {
        retry_failed: args.retry_failed,
        max_cost_usd: args.max_cost,
    };
    if wanted != GoOn::default() {
        ask_to_go_on(&paths, wanted).map_err(|source| unwritable(paths.requests(), source))?;
    }
    let signals = args.sync.then(Signals::catch).transpose()?;
    launch(held, true)?;
    let left = Left {
        tasks: state.tasks.len() - state.tasks.iter().filter(|t| t.settlement().is_some()).count() + retried,
        max_cost_usd: args.max_cost.or(state.max_cost_usd),
    };
    announce(context, &spec, &paths, args.sync, Some(left))?;
    let verbose = false;
    let session = Session {
        spec,
        paths,
        signals,
        verbose,
    };
    if args.sync {
        watch(context, session)
    } else {
        Ok(exit::DONE)
    }
}

/// Removes requests to an earlier supervisor.
fn forget(requests: Vec<PathBuf>) {
    for path in requests {
        // It may have been taken up before the end.
        let _ = std::fs::remove_file(path);
    }
}

/// Starts a supervisor for a session that was interrupted, only to stop it. False when somebody else has taken it over
/// meanwhile, who can be asked.
pub(super) fn take_over_to_stop(paths: &SessionPaths, spec: &SessionSpec, stop: &Stop) -> Result<bool, Error> {
    let old = left_behind(paths);
    let held = match hold(paths, spec) {
        Err(Error::SessionHeld { .. }) => return Ok(false),
        other => other?,
    };
    check_place(paths, spec)?;
    forget(old);
    ask_to_stop(paths, stop).map_err(|source| Error::StopNotAsked {
        directory: paths.requests(),
        source,
    })?;
    launch(held, true)?;
    Ok(true)
}

/// Takes the lock of a session, or says who has it.
fn hold(paths: &SessionPaths, spec: &SessionSpec) -> Result<NewSession, Error> {
    let path = paths.lock();
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Lock::try_acquire(&path) {
            Ok(Some(lock)) => {
                return Ok(NewSession {
                    paths: paths.clone(),
                    lock,
                });
            }
            Ok(None) => {}
            Err(source) => return Err(unwritable(path, source)),
        }
        let holder: Option<ProcessIdentity> = read_json(&path).ok().filter(ProcessIdentity::is_alive);
        let at_work = holder.is_some() && recorded(paths)?.state.end.is_none();
        if at_work || Instant::now() >= deadline {
            return Err(Error::SessionHeld {
                session: short(spec.session_id),
                holder: holder.map(|holder| holder.pid),
            });
        }
        sleep(PAUSE);
    }
}

fn unwritable(path: PathBuf, source: std::io::Error) -> Error {
    SessionError::Unwritable { path, source }.into()
}

fn nothing_left(state: &SessionState, id: &str, failed: usize, again: &str) -> String {
    match failed {
        0 if state.tasks.iter().any(TaskRecord::is_unsuccessful) => {
            format!("nothing is left to do: every task of session {id} has succeeded, or was skipped by a condition")
        }
        0 => format!("nothing is left to do: every task of session {id} has succeeded"),
        _ => {
            let settled = state.tasks.iter().filter_map(TaskRecord::settlement);
            let ended = settled.filter(|s| matches!(s.outcome, Outcome::Failed | Outcome::Stopped));
            format!(
                "nothing is left to do: all tasks of session {id} are settled; {} without success; {}",
                count(failed, "task"),
                after_failure(ended.map(|s| s.reason), again)
            )
        }
    }
}

/// A session that has ended at its limit goes on only with another one.
fn check_limit(state: &SessionState, id: &str, max_cost: Option<f64>) -> Result<(), Error> {
    let limit = max_cost.or(state.max_cost_usd);
    match (limit, state.cost_usd) {
        (Some(limit), Some(cost)) if state.end.is_some() && is_above(Some(limit), Some(cost)) => {
            Err(Error::CostLimitReached {
                session: id.to_owned(),
                limit,
                cost,
            })
        }
        _ => Ok(()),
    }
}

/// Whether all is where the session needs it.
fn check_place(paths: &SessionPaths, spec: &SessionSpec) -> Result<(), Error> {
    let Some(repository) = &spec.repository else {
        return match spec.directory.is_dir() {
            true => Ok(()),
            false => Err(Error::DirectoryGone {
                directory: spec.directory.clone(),
            }),
        };
    };
    let was = &repository.place.common_dir;
    let opened = Repository::open(was);
    // A session in a repository is one of that repository: in a copy of it two would do the same work.
    let now = repository_around(paths.dir()).filter(|now| now != was);
    match (opened, now) {
        (Ok(opened), None) => check_repository(&opened, spec, repository),
        _ => Err(Error::RepositoryMoved {
            session: short(spec.session_id),
            was: was.clone(),
        }),
    }
}

/// The git directory that keeps a session, if one does.
fn repository_around(session: &Path) -> Option<PathBuf> {
    let results = session.parent()?.canonicalize().ok()?;
    let around = results
        .parent()?
        .parent()
        .filter(|_| results.ends_with("pleach/results"))?;
    around.join("HEAD").is_file().then(|| around.to_owned())
}

fn check_repository(opened: &Repository, spec: &SessionSpec, repository: &RepositorySpec) -> Result<(), Error> {
    let commit = &repository.base.commit;
    let base = Oid::from_str(commit).and_then(|id| opened.find_commit(id));
    match base {
        Ok(_) => check_writable(&repository.worktrees),
        Err(e) if e.code() == git2::ErrorCode::NotFound => Err(Error::BaseGone {
            session: short(spec.session_id),
            commit: commit.clone(),
        }),
        Err(e) => Err(Error::unusable(GitError::libgit2(
            "cannot read the commit that the session started from",
        )(e))),
    }
}

fn check_agent(spec: &SessionSpec) -> Result<(), Error> {
    for agent in spec.other_agents.iter().chain([&spec.agent]) {
        let program = &agent.program;
        if which::which(program).is_err() {
            return Err(Error::AgentGone {
                program: program.clone(),
                problem: problem_of(program),
            });
        }
        refuse_root(agent)?;
    }
    Ok(())
}
