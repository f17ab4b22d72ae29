//! `pleach diff`: what tasks have changed against the commit they started from, or against each other.
//!
//! git itself shows it, with the user's pager and colours; here it is only decided which commits are compared.

use std::ops::ControlFlow;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use git2::Repository;
use rustix::process::Signal;

use super::place::{repository_of, session_before_task, task_number};
use super::signals::leave_interrupts;
use super::{Context, output};
use crate::cli::DiffArgs;
use crate::error::{Error, exit};
use crate::git::{
    FileChange, Git, GitError, OLDEST_TO_PLAN, Pager, Place, Showing, changes_between, files_between, for_showing,
    version,
};
use crate::report::{self, ChangedFile, DiffDocument, TaskDiff};
use crate::session::{Stored, stored};
use crate::worktree::naming::short;
use crate::worktree::{Work, WorkSource, work_of};

pub(super) fn run(context: &Context, args: &DiffArgs) -> Result<u8, Error> {
    let stored = stored(&session_before_task(context, args.session.as_deref(), "diff")?)?;
    let spec = &stored.recorded.spec;
    let Some((repository, opened)) = repository_of(spec)? else {
        return Err(Error::NoBranches {
            directory: spec.directory.clone(),
        });
    };
    let number = |query: &Option<String>| query.as_deref().map(|t| task_number(spec, t)).transpose();
    let (only, against) = (number(&args.task)?, number(&args.against)?);
    let other = against.map(|number| other(&stored, &opened, number)).transpose()?;
    let numbers = only.map_or(1..=spec.tasks.len(), |number| number..=number);
    let compared: Vec<Compared> = numbers
        .map(|number| compare(&stored, &opened, number, other))
        .collect::<Result<_, _>>()?;
    let one_task = compared.len() == 1;
    for one in &compared {
        say_where_from(&stored, one, one_task);
    }
    if args.json {
        let document = DiffDocument {
            schema: 1,
            session_id: spec.session_id.to_string(),
            against: against.map(|number| spec.tasks[number - 1].id.to_string()),
            tasks: compared.into_iter().map(|c| c.diff).collect(),
        };
        report::json(&document).map_err(output)?;
        return Ok(exit::DONE);
    }
    let format = match args {
        args if args.stat => "--stat",
        args if args.name_only => "--name-only",
        args if args.patch || one_task => "--patch",
        _ => "--stat",
    };
    if one_task && compared.iter().all(|c| c.diff.files.is_empty()) {
        return Ok(exit::DONE);
    }
    let showing = showing(&repository.place, &stored)?;
    show(&showing, format, &compared, !one_task)
}

/// The work of one task, and what it comes to in files and numbers.
struct Compared {
    work: Option<Work>,
    diff: TaskDiff,
}

/// The work of the task that is compared with.
fn other(stored: &Stored, repository: &Repository, number: usize) -> Result<Work, Error> {
    find(stored, repository, number)?.ok_or_else(|| Error::NoWorkYet {
        session: short(stored.recorded.spec.session_id),
        task: stored.recorded.spec.tasks[number - 1].id.to_string(),
    })
}

fn find(stored: &Stored, repository: &Repository, number: usize) -> Result<Option<Work>, Error> {
    let (spec, record) = (&stored.recorded.spec, &stored.recorded.state.tasks[number - 1]);
    let settled = record.settlement().is_some();
    let Some(site) = record.site() else {
        return Ok(None);
    };
    let work = work_of(repository, spec.session_id, &record.id, site, settled)?;
    match work {
        Some(work) if repository.find_commit(work.base).is_err() => Err(Error::BaseGone {
            session: short(spec.session_id),
            commit: work.base.to_string(),
        }),
        other => Ok(other),
    }
}

/// Compares the work of a task with its base, or with that of another task.
fn compare(stored: &Stored, repository: &Repository, number: usize, other: Option<Work>) -> Result<Compared, Error> {
    let task = &stored.recorded.spec.tasks[number - 1];
    let work = find(stored, repository, number)?.map(|work| Work {
        base: other.map_or(work.base, |other| other.head),
        ..work
    });
    let (changes, files) = match work {
        Some(work) => (
            changes_between(repository, work.base, work.head)?,
            files_between(repository, work.base, work.head)?,
        ),
        None => Default::default(),
    };
    let site = stored.recorded.state.tasks[number - 1].site();
    let diff = TaskDiff {
        task_num: number,
        id: task.id.to_string(),
        title: task.title.clone(),
        branch: site.map(|site| site.branch.clone()),
        base: work.map(|work| work.base.to_string()),
        head: work.map(|work| work.head.to_string()),
        source: work.map(|work| match work.source {
            WorkSource::Branch => "branch",
            WorkSource::Kept => "kept",
            WorkSource::Snapshot(_) => "snapshot",
        }),
        commits: changes.commits,
        files_changed: changes.files_changed,
        insertions: changes.insertions,
        deletions: changes.deletions,
        files: files.into_iter().map(listed).collect(),
    };
    Ok(Compared { work, diff })
}

/// A file as it stands in a list.
pub(super) fn listed(file: FileChange) -> ChangedFile {
    ChangedFile {
        path: file.path,
        old_path: file.old_path,
        status: file.status.name(),
        insertions: file.insertions,
        deletions: file.deletions,
    }
}

/// Tells where the work was found, and of a single task whether there is any: of several the headings say it.
fn say_where_from(stored: &Stored, compared: &Compared, one_task: bool) {
    let settled = stored.recorded.state.tasks[compared.diff.task_num - 1]
        .settlement()
        .is_some();
    let made = match compared.work.map(|work| work.source) {
        Some(WorkSource::Snapshot(at)) => u64::try_from(at).ok(),
        _ => None,
    };
    let notes = [
        report::about_work(&compared.diff, settled, made),
        report::without_changes(&compared.diff).filter(|_| one_task),
    ];
    for note in notes.into_iter().flatten() {
        report::note(&note);
    }
}

/// git as the user has it, with the programs that were known when the session started.
fn showing(place: &Place, stored: &Stored) -> Result<Showing, Error> {
    let git = match place.work_dir.as_ref().filter(|dir| dir.is_dir()) {
        Some(dir) => Git::in_work_tree(place.origin(), dir),
        None => Git::bare(place.origin()),
    };
    // A planted remote could be asked for objects that are missing: by a command of the agent's choice.
    let git = git
        .with_variable("GIT_NO_LAZY_FETCH", "1")
        .with_variable("GIT_ALLOW_PROTOCOL", "none");
    let known = stored.recorded.state.filters.clone().unwrap_or_default();
    let showing = for_showing(git, &known)?;
    if !showing.unused.is_empty() {
        report::warning(&report::unused_to_show(&showing.unused));
    }
    Ok(showing)
}

/// Has git show all of it, in one run of the pager.
fn show(showing: &Showing, format: &str, compared: &[Compared], headings: bool) -> Result<u8, Error> {
    leave_interrupts()?;
    let reads_attributes = version()? >= OLDEST_TO_PLAN;
    let mut pager = Pager::start(&showing.git)?;
    let mut each = |index: usize, one: &Compared| -> Result<ControlFlow<u8>, Error> {
        let gap = if index > 0 { "\n" } else { "" };
        if headings && !say(&mut pager, &format!("{gap}{}", report::heading(&one.diff)))? {
            return Ok(ControlFlow::Break(exit::DONE));
        }
        let Some(work) = one.work.filter(|_| !one.diff.files.is_empty()) else {
            return Ok(ControlFlow::Continue(()));
        };
        let (base, head) = (work.base.to_string(), work.head.to_string());
        // Which files are text, and of which kind, the work itself says.
        let attributes = reads_attributes.then(|| format!("--attr-source={head}"));
        let mut args: Vec<&str> = attributes.as_deref().into_iter().collect();
        // Not a look into submodules: their own configuration is no more known than this one.
        args.extend(["diff", "--find-renames", "--submodule=short", format]);
        args.extend(&showing.options);
        args.extend([base.as_str(), head.as_str(), "--"]);
        after(pager.show(&showing.git, &args)?, &args)
    };
    let mut ended = Ok(exit::DONE);
    for (index, one) in compared.iter().enumerate() {
        match each(index, one) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(code)) => {
                ended = Ok(code);
                break;
            }
            Err(e) => {
                ended = Err(e);
                break;
            }
        }
    }
    // The terminal is the pager's until then, also when something failed.
    pager.wait()?;
    ended
}

/// Prints text between diffs; false when nobody looks any more.
fn say(pager: &mut Pager, text: &str) -> Result<bool, Error> {
    match pager.is_there() {
        true => Ok(pager.say(text)?),
        false => report::pour(text.as_bytes()).map_err(output),
    }
}

/// What follows from how git ended: to go on, or to end with an exit code.
fn after(status: ExitStatus, args: &[&str]) -> Result<ControlFlow<u8>, Error> {
    let is = |signal: Signal| status.signal() == Some(signal.as_raw());
    match status {
        _ if status.success() => Ok(ControlFlow::Continue(())),
        // Whoever looked has seen enough.
        _ if is(Signal::PIPE) => Ok(ControlFlow::Break(exit::DONE)),
        _ if is(Signal::INT) => Ok(ControlFlow::Break(exit::INTERRUPTED)),
        // What it complained of stands above.
        _ => Err(GitError::Program {
            args: args.join(" "),
            code: status.code(),
            stderr: status.to_string(),
        }
        .into()),
    }
}
