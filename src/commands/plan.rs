//! `pleach plan`: how the branches of a session merge.

use git2::Repository;

use super::place::stored;
use super::{Context, output};
use crate::cli::PlanArgs;
use crate::error::{Error, exit};
use crate::git::{Drivers, GitError, base_of};
use crate::merge::{Candidate, MergePlan, Mode, PlanError, PlanRequest, Target, plan, target};
use crate::report::{self, PlanContext};
use crate::session::{KEPT_ON_REQUEST, RepositorySpec, SessionSpec, SessionState, TaskState, WorktreeFate};
use crate::task::Outcome;
use crate::words::quote;
use crate::worktree::naming::short;

pub(super) fn run(context: &Context, args: &PlanArgs) -> Result<u8, Error> {
    let stored = stored(context, args.session.as_deref())?;
    let (spec, state) = (&stored.recorded.spec, &stored.recorded.state);
    let Some((plan, about)) = plan_of(context, spec, state)? else {
        return Err(Error::NothingToMerge {
            directory: spec.directory.clone(),
        });
    };
    if args.json {
        report::json(&report::plan_document(&plan, &about)).map_err(output)?;
    } else {
        report::out(&report::plan(&plan, &about)).map_err(output)?;
    }
    Ok(exit::DONE)
}

/// The plan of a session's succeeded tasks; none for a session without worktrees.
pub(super) fn plan_of(
    context: &Context,
    spec: &SessionSpec,
    state: &SessionState,
) -> Result<Option<(MergePlan, PlanContext)>, Error> {
    let Some(repository) = &spec.repository else {
        return Ok(None);
    };
    if !repository.place.common_dir.exists() {
        return Err(Error::RepositoryMoved {
            session: short(spec.session_id),
            was: repository.place.common_dir.clone(),
        });
    }
    let opened =
        Repository::open(&repository.place.common_dir).map_err(GitError::libgit2("cannot open the repository"))?;
    let (mut candidates, mut missing) = (Vec::new(), Vec::new());
    let (mut worktrees, mut held) = (Vec::new(), Vec::new());
    for (task, record) in spec.tasks.iter().zip(&state.tasks) {
        let succeeded = record.settlement().is_some_and(|s| s.outcome == Outcome::Succeeded);
        let Some(site) = record.site().filter(|_| succeeded) else {
            continue;
        };
        match Candidate::of_task(&opened, &site.branch, task.id.as_ref(), &task.title) {
            Some(candidate) => candidates.push(candidate),
            None => missing.push(site.branch.clone()),
        }
        match &record.state {
            TaskState::Settled {
                worktree: WorktreeFate::Kept(why),
                ..
            } if why == KEPT_ON_REQUEST => worktrees.push((site.branch.clone(), site.worktree.clone())),
            TaskState::Settled {
                worktree: WorktreeFate::Kept(_),
                ..
            } => held.push(site.branch.clone()),
            _ => {}
        }
    }
    let base = &repository.base;
    let onto = match &base.branch {
        None => Target {
            branch: None,
            commit: base.commit.clone(),
        },
        Some(branch) => target(&opened, &format!("refs/heads/{branch}"))
            .map_err(|_| PlanError::NoTarget {
                branch: branch.clone(),
                commit: base.commit.clone(),
            })?
            .into_target(),
    };
    let unplanned = spec.tasks.len() - candidates.len() - missing.len();
    let plan = plan(&PlanRequest {
        common_dir: &repository.place.common_dir,
        target: onto,
        candidates,
        missing,
        mode: Mode::Merge,
        known: state.filters.as_ref().unwrap_or(&Drivers::new()),
    })?;
    let about = PlanContext {
        session: Some(spec.session_id.to_string()),
        unplanned,
        worktrees,
        held,
        ..checkout(context, repository)?
    };
    Ok(Some((plan, about)))
}

/// What has to be done before the commands work: go to the checkout, and check the target out.
fn checkout(context: &Context, repository: &RepositorySpec) -> Result<PlanContext, Error> {
    let Some(dir) = &repository.place.work_dir else {
        return Ok(PlanContext::default());
    };
    // The worktree that the session was started in may be gone since.
    let dir = if dir.is_dir() { dir } else { repository.place.root() };
    let here = crate::git::open(&context.directory)?.and_then(|r| r.workdir()?.canonicalize().ok());
    let opened = Repository::open(dir).map_err(GitError::libgit2(format!("cannot open {}", dir.display())))?;
    let now = base_of(&opened)?;
    let base = &repository.base;
    let switch = match (&base.branch, now) {
        (Some(branch), Some(now)) if now.branch.as_ref() == Some(branch) => None,
        (Some(branch), _) => Some(quote(branch)),
        (None, Some(now)) if now.branch.is_none() && now.commit == base.commit => None,
        (None, _) => Some(format!("--detach {}", base.commit)),
    };
    Ok(PlanContext {
        change_to: (here.as_deref() != Some(dir)).then(|| dir.to_owned()),
        switch,
        ..PlanContext::default()
    })
}
