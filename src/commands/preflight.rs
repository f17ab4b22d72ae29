//! Everything that `run` checks before anything is created, and the specification that comes of it.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use git2::Repository;
use rustix::fs::{Access, access};
use rustix::io::Errno;
use uuid::Uuid;

use super::agents::{Agents, agents};
use super::place::{agents_dir, ports_dir, results_wanted, shared_dir};
use super::{Context, targets};
use crate::agent::claude::LONGEST_PROMPT;
use crate::agent::obeyed;
use crate::cli::{Parallel, RunArgs};
use crate::config::{Settings, milliseconds};
use crate::error::Error;
use crate::git::{self, Base, OLDEST_TO_PLAN, OLDEST_TO_RUN, Place};
use crate::merge::PlanError;
use crate::pool;
use crate::process::available_memory;
use crate::session::{
    Places, RepositorySpec, SessionError, SessionOptions, SessionSpec, TaskPlace, USUAL_FREE_DISK, USUAL_FREE_MEMORY,
    USUAL_GRACE_MS, USUAL_HANDLER_TIMEOUT_MS, USUAL_OUTPUT, USUAL_RETRY_DELAY_MS, USUAL_SNAPSHOT_EVERY_MS,
};
use crate::store::now_ms;
use crate::task::{AgentKind, TaskSpec};
use crate::worktree::naming;

/// A session that can be started.
pub(super) struct Prepared {
    /// What it will be.
    pub spec: SessionSpec,
    /// Where sessions are kept.
    pub results: PathBuf,
    /// Whether the user has named that place.
    pub results_named: bool,
    /// What the user should know, a line each.
    pub warnings: Vec<String>,
}

/// Checks what can be checked at once. The tasks have all that was said of them.
pub(super) fn prepare(
    context: &Context,
    args: &RunArgs,
    settings: &Settings,
    mut tasks: Vec<TaskSpec>,
) -> Result<Prepared, Error> {
    // A process of its own: it runs while the rest is looked at.
    let git_version = (!args.no_worktree).then(|| thread::spawn(git::version));
    let opened = git::open(&context.directory).map_err(Error::unusable)?;
    let place = opened.as_ref().map(git::place_of);
    let (results, results_named) = results_wanted(context, settings.path("results_dir"), place.as_ref())?;
    let session_id = Uuid::new_v4();
    let mut warnings = Vec::new();
    let mut repository = None;
    let mut places = Vec::new();
    if !args.no_worktree {
        let here = opened.as_ref().zip(place);
        let (opened, place) = here.ok_or_else(|| Error::NoRepository {
            directory: context.directory.clone(),
        })?;
        let found = repository_spec(context, worktrees_asked(args, settings), opened, place)?;
        let exists = |branch: &str| opened.find_reference(&format!("refs/heads/{branch}")).is_ok();
        places = naming::places(&found.base, &found.worktrees, session_id, &tasks, exists);
        warnings = renamed(&found.base, &tasks, &places);
        repository = Some(found);
    }
    let Agents { usual, others } = agents(context, args, settings, &mut tasks)?;
    if others
        .iter()
        .chain([&usual])
        .any(|agent| agent.kind == AgentKind::Claude)
    {
        warnings.extend(obeyed(|file| match (&repository, &opened) {
            (Some(spec), Some(opened)) => git::file_in(opened, &spec.base.commit, file),
            _ => std::fs::read(context.directory.join(file)).ok(),
        }));
    }
    if let Some(index) = tasks.iter().position(|t| t.prompt.len() >= LONGEST_PROMPT) {
        return Err(Error::TaskTooLong { number: index + 1 });
    }
    check_results(&results)?;
    let log_dir = args.log_dir.as_deref().or(settings.path("log_dir"));
    targets::check(&tasks, log_dir.map(|dir| context.directory.join(dir)))?;
    if let Some(version) = git_version {
        let version = version.join().unwrap_or_else(|_| git::version())?;
        if version < OLDEST_TO_RUN {
            return Err(Error::GitTooOld { found: version });
        }
        // What several tasks have come to is merged as it is planned.
        let several = tasks.iter().position(|task| task.options.depends_on.len() > 1);
        if let Some(index) = several.filter(|_| version < OLDEST_TO_PLAN) {
            let (found, number) = (version, index + 1);
            return Err(PlanError::OldGitForBase { found, number }.into());
        }
        if version < OLDEST_TO_PLAN {
            warnings.push(format!(
                "git {version} cannot plan merges: that needs {OLDEST_TO_PLAN} or newer"
            ));
        }
    }
    let spec = SessionSpec {
        schema: 1,
        version: env!("CARGO_PKG_VERSION").into(),
        session_id,
        created_ms: now_ms(),
        directory: context.directory.clone(),
        shared: shared_dir(repository.as_ref(), &results, session_id),
        repository,
        agent: usual,
        other_agents: others,
        options: options(context, args, settings)?,
        tasks,
        places,
    };
    Ok(Prepared {
        spec,
        results,
        results_named,
        warnings,
    })
}

/// What to say of tasks whose branch exists already.
fn renamed(base: &Base, tasks: &[TaskSpec], places: &[TaskPlace]) -> Vec<String> {
    let named = tasks.iter().map(|t| naming::branch_of(base, &t.id)).zip(places);
    named
        .filter(|(wanted, place)| *wanted != place.branch)
        .map(|(wanted, place)| format!("the branch {wanted} exists already: the task works on {}", place.branch))
        .collect()
}

/// Where the user wants worktrees, if not where they usually are.
fn worktrees_asked<'a>(args: &'a RunArgs, settings: &'a Settings) -> Option<&'a Path> {
    args.worktree_dir.as_deref().or(settings.path("worktree.dir"))
}

fn repository_spec(
    context: &Context,
    asked: Option<&Path>,
    opened: &Repository,
    place: Place,
) -> Result<RepositorySpec, Error> {
    let base = git::base_of(opened)?.ok_or(Error::NoCommit)?;
    let worktrees = match asked {
        Some(dir) => context.directory.join(dir),
        None => naming::worktrees_dir(&place),
    };
    let worktrees = canonical(&worktrees).ok_or(Error::WorktreeDirUnknown { directory: worktrees })?;
    check_writable(&worktrees)?;
    Ok(RepositorySpec {
        identity: git::identity(&place)?,
        place,
        base,
        worktrees,
    })
}

/// The path with its existing part resolved: git writes down what a path really is. `None` when that cannot be known,
/// because `..` follows something that is not there.
pub(super) fn canonical(path: &Path) -> Option<PathBuf> {
    if let Ok(real) = path.canonicalize() {
        return Some(real);
    }
    Some(canonical(path.parent()?)?.join(path.file_name()?))
}

/// The part of a path that is there.
pub(super) fn existing(path: &Path) -> &Path {
    let there = path.ancestors().find(|p| p.symlink_metadata().is_ok());
    there.unwrap_or(Path::new("/"))
}

/// Whether sessions can be kept in this directory, which need not be there.
pub(super) fn check_results(results: &Path) -> Result<(), Error> {
    let there = existing(results);
    let writable = match there.is_dir() {
        true => access(there, Access::WRITE_OK | Access::EXEC_OK),
        false => Err(Errno::NOTDIR),
    };
    writable.map_err(|e| {
        Error::SessionUnwritable(SessionError::Unwritable {
            path: results.to_owned(),
            source: e.into(),
        })
    })
}

pub(super) fn check_writable(worktrees: &Path) -> Result<(), Error> {
    let (directory, there) = (worktrees.to_owned(), existing(worktrees).to_owned());
    if !there.is_dir() {
        return Err(Error::WorktreeDirBlocked { directory, there });
    }
    access(&there, Access::WRITE_OK | Access::EXEC_OK).map_err(|source| Error::WorktreeDirUnwritable {
        directory,
        there,
        source,
    })
}

/// The limits of a session, and what to keep of it.
pub(super) fn options(context: &Context, args: &RunArgs, settings: &Settings) -> Result<SessionOptions, Error> {
    let time = |option: Option<Duration>, key| option.or(settings.time(key)).map(milliseconds);
    let bytes = |option: Option<u64>, key, usual| option.or(settings.bytes(key)).unwrap_or(usual);
    let parallel = args.max_parallel.or(settings.parallel("max_parallel"));
    let max_parallel = match parallel.unwrap_or(Parallel::Auto) {
        Parallel::Most(most) => Some(most),
        Parallel::Unlimited => None,
        Parallel::Auto => {
            let cores = thread::available_parallelism().map_or(1, usize::from);
            Some(pool::automatic(cores, available_memory()))
        }
    };
    let log_dir = args.log_dir.as_deref().or(settings.path("log_dir"));
    let on_done = args.on_done.as_deref().or(settings.text("on_done"));
    Ok(SessionOptions {
        max_parallel,
        timeout_ms: time(args.timeout, "timeout"),
        grace_ms: time(args.grace, "grace").unwrap_or(USUAL_GRACE_MS),
        max_output_bytes: bytes(args.max_output, "max_output", USUAL_OUTPUT),
        keep_worktrees: args.keep_worktrees || settings.flag("keep_worktrees"),
        max_cost_usd: args.max_cost.or(settings.usd("max_cost")),
        snapshot_every_ms: match time(args.snapshot_every, "snapshot_every") {
            None => Some(USUAL_SNAPSHOT_EVERY_MS),
            Some(0) => None,
            every => every,
        },
        min_free_disk_bytes: bytes(args.min_free_disk, "min_free_disk", USUAL_FREE_DISK),
        min_free_memory_bytes: bytes(args.min_free_memory, "min_free_memory", USUAL_FREE_MEMORY),
        ports: ports_dir(),
        fail_fast: !args.keep_going && (args.fail_fast || settings.flag("fail_fast")),
        retry_delay_ms: time(args.retry_delay, "retry_delay").unwrap_or(USUAL_RETRY_DELAY_MS),
        retry_fresh: args.retry_fresh || settings.flag("retry_fresh"),
        stagger_ms: time(args.stagger, "stagger").unwrap_or(0),
        copy: settings.list("worktree.copy").to_vec(),
        link: settings.list("worktree.link").to_vec(),
        on_done: on_done.map(str::to_owned),
        handler_timeout_ms: time(args.handler_timeout, "handler_timeout").unwrap_or(USUAL_HANDLER_TIMEOUT_MS),
        log_dir: log_dir.map(|dir| context.directory.join(dir)),
        agents_of_all: match settings.count("max_agents") {
            Some(most) => Some(Places {
                most: usize::try_from(most).unwrap_or(usize::MAX),
                directory: agents_dir()?,
            }),
            None => None,
        },
    })
}
