//! Everything that `run` checks before anything is created, and the specification that comes of it.

use std::path::{Path, PathBuf};
use std::thread;

use git2::Repository;
use rustix::fs::{Access, access};
use rustix::io::Errno;
use uuid::Uuid;

use super::place::{agents_dir, results_dir, set_path};
use super::{Context, targets};
use crate::agent::claude::LONGEST_PROMPT;
use crate::agent::obeyed;
use crate::cli::{Parallel, RunArgs, parse_most, parse_parallel, parse_size};
use crate::error::Error;
use crate::git::{self, Base, OLDEST_TO_PLAN, OLDEST_TO_RUN, Place};
use crate::pool;
use crate::process::available_memory;
use crate::session::{
    Places, RepositorySpec, SessionError, SessionOptions, SessionSpec, TaskPlace, USUAL_FREE_DISK, USUAL_FREE_MEMORY,
    USUAL_HANDLER_TIMEOUT_MS, USUAL_OUTPUT, USUAL_RETRY_DELAY_MS, USUAL_SNAPSHOT_EVERY_MS,
};
use crate::store::now_ms;
use crate::task::{AgentKind, AgentSpec, Permissions, TaskSpec};
use crate::worktree::naming;

/// A session that can be started.
pub(super) struct Prepared {
    /// What it will be.
    pub spec: SessionSpec,
    /// Where sessions are kept.
    pub results: PathBuf,
    /// What the user should know, a line each.
    pub warnings: Vec<String>,
}

/// Checks what can be checked at once.
pub(super) fn prepare(context: &Context, args: &RunArgs, tasks: Vec<TaskSpec>) -> Result<Prepared, Error> {
    // A process of its own: it runs while the rest is looked at.
    let git_version = (!args.no_worktree).then(|| thread::spawn(git::version));
    let opened = git::open(&context.directory).map_err(Error::unusable)?;
    let place = opened.as_ref().map(git::place_of);
    let results = results_dir(context, place.as_ref())?;
    let session_id = Uuid::new_v4();
    let mut warnings = Vec::new();
    let mut repository = None;
    let mut places = Vec::new();
    if !args.no_worktree {
        let here = opened.as_ref().zip(place);
        let (opened, place) = here.ok_or_else(|| Error::NoRepository {
            directory: context.directory.clone(),
        })?;
        let found = repository_spec(context, args, opened, place)?;
        let exists = |branch: &str| opened.find_reference(&format!("refs/heads/{branch}")).is_ok();
        places = naming::places(&found.base, &found.worktrees, session_id, &tasks, exists);
        warnings = renamed(&found.base, &tasks, &places);
        repository = Some(found);
    }
    let agent = agent_spec(context, args)?;
    if agent.kind == AgentKind::Claude {
        warnings.extend(obeyed(|file| match (&repository, &opened) {
            (Some(spec), Some(opened)) => git::file_in(opened, &spec.base.commit, file),
            _ => std::fs::read(context.directory.join(file)).ok(),
        }));
    }
    if let Some(index) = tasks.iter().position(|t| t.prompt.len() >= LONGEST_PROMPT) {
        return Err(Error::TaskTooLong { number: index + 1 });
    }
    check_results(&results)?;
    targets::check(&tasks, args.log_dir.as_deref().map(|dir| context.directory.join(dir)))?;
    if let Some(version) = git_version {
        let version = version.join().unwrap_or_else(|_| git::version())?;
        if version < OLDEST_TO_RUN {
            return Err(Error::GitTooOld { found: version });
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
        repository,
        agent,
        other_agents: Vec::new(),
        options: options(context, args)?,
        tasks,
        places,
    };
    Ok(Prepared {
        spec,
        results,
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

fn repository_spec(
    context: &Context,
    args: &RunArgs,
    opened: &Repository,
    place: Place,
) -> Result<RepositorySpec, Error> {
    let base = git::base_of(opened)?.ok_or(Error::NoCommit)?;
    let worktrees = match &args.worktree_dir {
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

fn agent_spec(context: &Context, args: &RunArgs) -> Result<AgentSpec, Error> {
    let name = args.agent.as_deref().unwrap_or("claude");
    let (kind, program) = match name {
        "claude" => (AgentKind::Claude, claude_program(context, args.claude.as_deref())?),
        "scripted" => {
            let own = std::env::current_exe().map_err(Error::ProgramNotFound)?;
            (AgentKind::Scripted, own)
        }
        other => {
            return Err(Error::AgentUnusable {
                program: other.into(),
                named_by: "--agent",
                problem: "is not there",
            });
        }
    };
    let agent = AgentSpec {
        name: name.into(),
        kind,
        ..agent_as_asked(args, program)
    };
    refuse_root(&agent)?;
    Ok(agent)
}

/// Claude Code, started as the options say.
pub(super) fn agent_as_asked(args: &RunArgs, program: PathBuf) -> AgentSpec {
    AgentSpec {
        name: "claude".into(),
        command: None,
        kind: AgentKind::Claude,
        program,
        permissions: match &args.permission_mode {
            Some(mode) => Permissions::Mode(mode.clone()),
            None => Permissions::Skip,
        },
        model: args.model.clone(),
        args: args.agent_args.clone(),
    }
}

/// The program of Claude Code that is meant, and by what: `--claude`, else `CLAUDE_CLI_PATH`, else nothing, and then
/// it is `claude` in PATH.
pub(super) fn claude_asked(option: Option<&Path>) -> (PathBuf, &'static str) {
    match (option, set_path("CLAUDE_CLI_PATH")) {
        (Some(path), _) => (path.to_owned(), "--claude"),
        (None, Some(path)) => (path, "CLAUDE_CLI_PATH"),
        (None, None) => ("claude".into(), ""),
    }
}

/// Finds that program.
pub(super) fn claude_program(context: &Context, option: Option<&Path>) -> Result<PathBuf, Error> {
    let (asked, named_by) = claude_asked(option);
    let found = which::which_in(&asked, std::env::var_os("PATH"), &context.directory);
    found.map_err(|_| {
        let path = context.directory.join(&asked);
        if named_by.is_empty() {
            return Error::AgentNotInstalled;
        }
        Error::AgentUnusable {
            program: asked,
            named_by,
            problem: problem_of(&path),
        }
    })
}

/// Why a program cannot be started.
pub(super) fn problem_of(program: &Path) -> &'static str {
    if program.is_dir() {
        "is a directory"
    } else if program.exists() {
        "is not executable"
    } else {
        "is not there"
    }
}

/// Claude Code refuses to skip permissions for root, unless told that this is a sandbox (measured on 2.1.329: by these
/// values alone). Only the user can say that.
pub(super) fn refuse_root(agent: &AgentSpec) -> Result<(), Error> {
    let real = agent.kind == AgentKind::Claude && is_claude_code(&agent.program);
    let is = |name: &str, values: &[&str]| std::env::var(name).is_ok_and(|v| values.contains(&v.as_str()));
    let sandbox = is("IS_SANDBOX", &["1"]) || is("CLAUDE_CODE_BUBBLEWRAP", &["1", "true"]);
    let skips = match &agent.permissions {
        Permissions::Skip => true,
        Permissions::Mode(mode) => mode == "bypassPermissions",
    };
    if !(real && skips && rustix::process::geteuid().is_root()) || sandbox {
        return Ok(());
    }
    Err(Error::RootNeedsPermissions)
}

/// Whether a program is Claude Code itself, by its name or where it is installed. What wraps it is not known: there
/// the refusal comes from Claude Code.
pub(super) fn is_claude_code(program: &Path) -> bool {
    let real = program.canonicalize().unwrap_or_else(|_| program.to_owned());
    let named = |path: &Path| path.file_name().is_some_and(|n| n == "claude");
    let packaged = real
        .components()
        .any(|c| c.as_os_str().to_string_lossy().starts_with("claude-code"));
    named(program) || named(&real) || packaged
}

pub(super) fn options(context: &Context, args: &RunArgs) -> Result<SessionOptions, Error> {
    let milliseconds = |d: std::time::Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    let max_parallel = match parallel(args)? {
        Parallel::Most(most) => Some(most),
        Parallel::Unlimited => None,
        Parallel::Auto => {
            let cores = thread::available_parallelism().map_or(1, usize::from);
            Some(pool::automatic(cores, available_memory()))
        }
    };
    Ok(SessionOptions {
        max_parallel,
        timeout_ms: args.timeout.map(milliseconds),
        grace_ms: args.grace.map_or(10_000, milliseconds),
        max_output_bytes: args.max_output.unwrap_or(USUAL_OUTPUT),
        keep_worktrees: args.keep_worktrees,
        max_cost_usd: args.max_cost,
        snapshot_every_ms: match args.snapshot_every.map(milliseconds) {
            None => Some(USUAL_SNAPSHOT_EVERY_MS),
            Some(0) => None,
            every => every,
        },
        min_free_disk_bytes: match args.min_free_disk {
            Some(least) => least,
            None => of_environment("PLEACH_MIN_FREE_DISK", parse_size)?.unwrap_or(USUAL_FREE_DISK),
        },
        min_free_memory_bytes: match args.min_free_memory {
            Some(least) => least,
            None => of_environment("PLEACH_MIN_FREE_MEMORY", parse_size)?.unwrap_or(USUAL_FREE_MEMORY),
        },
        fail_fast: args.fail_fast,
        retry_delay_ms: args.retry_delay.map_or(USUAL_RETRY_DELAY_MS, milliseconds),
        retry_fresh: args.retry_fresh,
        stagger_ms: args.stagger.map_or(0, milliseconds),
        copy: Vec::new(),
        link: Vec::new(),
        on_done: args.on_done.clone(),
        handler_timeout_ms: args.handler_timeout.map_or(USUAL_HANDLER_TIMEOUT_MS, milliseconds),
        log_dir: args.log_dir.as_ref().map(|dir| context.directory.join(dir)),
        agents_of_all: match of_environment("PLEACH_MAX_AGENTS", parse_most)? {
            Some(most) => Some(Places {
                most,
                directory: agents_dir()?,
            }),
            None => None,
        },
    })
}

fn parallel(args: &RunArgs) -> Result<Parallel, Error> {
    match args.max_parallel {
        Some(parallel) => Ok(parallel),
        None => Ok(of_environment("MAX_CLAUDE_WORKERS", parse_parallel)?.unwrap_or(Parallel::Auto)),
    }
}

/// What a variable says; one that is empty is not set.
fn of_environment<T>(name: &'static str, parse: fn(&str) -> Result<T, String>) -> Result<Option<T>, Error> {
    let value = match std::env::var_os(name) {
        Some(value) if !value.to_string_lossy().trim().is_empty() => value.to_string_lossy().into_owned(),
        _ => return Ok(None),
    };
    let parsed = parse(&value);
    parsed
        .map(Some)
        .map_err(|problem| Error::VariableInvalid { name, value, problem })
}
