//! Asks for merge plans: of a session's tasks, or of any branches.
//!
//! Finds the commits that are meant, and what the text of a plan needs besides: where its commands work, and what stays
//! of worktrees. `plan`, `merge` and the end of a watched run call it.

use std::collections::BTreeSet;
use std::path::Path;

use git2::{BranchType, Oid, Repository};

use super::Context;
use super::place::{results_dir_here, typed};
use crate::error::Error;
use crate::git::{self, Checkout, Drivers, Git, GitError, base_of, checkouts, drivers};
use crate::merge::{Candidate, MergePlan, Mode, PlanError, PlanRequest, Target, candidate, plan, target};
use crate::report::{Inside, PlanContext};
use crate::session::{RepositorySpec, SessionSpec, SessionState, Site, TaskState, WorktreeFate, find};
use crate::task::Outcome;
use crate::words::quote;
use crate::worktree::naming::short;
use crate::worktree::{self, Standing, Workshop, branch_at, standing};

/// What is wanted of a plan.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wish<'a> {
    /// Only the tasks with these numbers, from 1; else all.
    pub tasks: Option<&'a BTreeSet<usize>>,
    /// Settled tasks that did not succeed, too.
    pub unsuccessful: bool,
    /// What to merge into: a branch, tag or commit; else where the session started, or what is checked out here.
    pub onto: Option<&'a str>,
    /// How.
    pub mode: Mode,
}

/// The plan of a session's succeeded tasks, and what its text needs; none for a session without worktrees.
pub(super) fn of_session(
    context: &Context,
    spec: &SessionSpec,
    state: &SessionState,
    wish: &Wish,
) -> Result<Option<(MergePlan, PlanContext)>, Error> {
    let Some(repository) = &spec.repository else {
        return Ok(None);
    };
    let common_dir = &repository.place.common_dir;
    if !common_dir.exists() {
        return Err(Error::RepositoryMoved {
            session: short(spec.session_id),
            was: common_dir.clone(),
        });
    }
    let opened = Repository::open(common_dir).map_err(GitError::libgit2("cannot open the repository"))?;
    let Tasks {
        candidates,
        missing,
        others,
        mut about,
    } = tasks(&opened, spec, state, wish);
    let onto = match wish.onto {
        Some(name) => match here(context, common_dir)? {
            Some(here) => target(&here, name)?.into_target(),
            None => target(&opened, name)?.into_target(),
        },
        None => started_from(&opened, repository)?,
    };
    // The worktree that the session was started in may be gone since.
    let place = &repository.place;
    let dir = place.work_dir.as_deref();
    let dir = dir.map(|dir| if dir.is_dir() { dir } else { place.root() });
    let checkouts = checkouts(&Git::bare(common_dir))?;
    let leaves = find_the_way(&mut about, context, dir, &checkouts, &onto)?;
    hold_checked_out(&mut about, &checkouts, leaves.as_deref(), &candidates);
    hold_unpushed(&mut about, &opened, &onto, &candidates);
    about.merge = merge_command(context, spec, wish, &onto, about.change_to.as_deref())?;
    let plan = plan(&PlanRequest {
        common_dir,
        target: onto,
        candidates,
        missing,
        mode: wish.mode,
        known: state.filters.as_ref().unwrap_or(&Drivers::new()),
    })?;
    about.inside = inside(&opened, &plan, others);
    Ok(Some((plan, about)))
}

/// The plan of any branches, tags or commits of the repository here. Drivers are used as they are configured now: none
/// of these was made by a session.
pub(super) fn of_branches(context: &Context, names: &[String], wish: &Wish) -> Result<(MergePlan, PlanContext), Error> {
    let opened = git::open(&context.directory)?.ok_or_else(|| Error::NotInRepository {
        directory: context.directory.clone(),
    })?;
    let place = git::place_of(&opened);
    let mut candidates: Vec<Candidate> = Vec::new();
    for name in names {
        let found = candidate(&opened, name)?;
        if candidates.iter().all(|c| c.revision != found.revision) {
            candidates.push(found);
        }
    }
    let onto = match wish.onto {
        Some(name) => target(&opened, name)?.into_target(),
        None => base_of(&opened)?.map_or(Err(Error::NoCommit), |base| {
            Ok(Target {
                branch: base.branch,
                commit: base.commit,
            })
        })?,
    };
    let git = Git::bare(&place.git_dir);
    let checkouts = checkouts(&git)?;
    let dir = place.work_dir.as_deref();
    let mut about = PlanContext::default();
    let leaves = find_the_way(&mut about, context, dir, &checkouts, &onto)?;
    hold_checked_out(&mut about, &checkouts, leaves.as_deref(), &candidates);
    hold_unpushed(&mut about, &opened, &onto, &candidates);
    let plan = plan(&PlanRequest {
        common_dir: &place.common_dir,
        target: onto,
        candidates,
        missing: Vec::new(),
        mode: wish.mode,
        known: &drivers(&git)?,
    })?;
    Ok((plan, about))
}

/// What is typed to have pleach carry such a plan out; nothing where it is not made for a branch. `change_to` is where
/// there is a checkout, if that is not here.
fn merge_command(
    context: &Context,
    spec: &SessionSpec,
    wish: &Wish,
    onto: &Target,
    change_to: Option<&Path>,
) -> Result<Option<String>, Error> {
    let Some(branch) = &onto.branch else {
        return Ok(None);
    };
    let mut command = format!("merge {}", short(spec.session_id));
    if wish.onto.is_some() {
        command += &format!(" --onto {}", quote(branch));
    }
    if wish.mode == Mode::Squash {
        command += " --squash";
    }
    let command = typed(context, &command);
    let is_found = find(&results_dir_here(context)?, Some(&spec.session_id.to_string())).is_ok();
    Ok(Some(match change_to {
        Some(dir) if !is_found => format!("cd {} && {command}", quote(dir)),
        _ => command,
    }))
}

/// What the tasks of a session have to merge.
struct Tasks {
    candidates: Vec<Candidate>,
    missing: Vec<String>,
    /// Branches of settled tasks that were not wanted.
    others: Vec<Candidate>,
    about: PlanContext,
}

fn tasks(opened: &Repository, spec: &SessionSpec, state: &SessionState, wish: &Wish) -> Tasks {
    let (mut candidates, mut missing, mut others) = (Vec::new(), Vec::new(), Vec::new());
    let mut about = PlanContext {
        session: Some(spec.session_id.to_string()),
        ..PlanContext::default()
    };
    // Nothing is checked out here.
    let shop = Workshop::of(spec, state, worktree::Checkout::Libgit2);
    for (index, (task, record)) in spec.tasks.iter().zip(&state.tasks).enumerate() {
        let settlement = record.settlement();
        if wish.tasks.is_some_and(|wanted| !wanted.contains(&(index + 1))) {
            let site = record.site().filter(|_| settlement.is_some());
            others.extend(site.and_then(|site| Candidate::of_task(opened, site, task.id.as_ref(), &task.title)));
            continue;
        }
        let planned = settlement.is_some_and(|s| wish.unsuccessful || s.outcome == Outcome::Succeeded);
        let Some(site) = record.site().filter(|_| planned) else {
            let became = settlement.map_or("not settled", |s| s.outcome.name());
            *about.unplanned.entry(became).or_default() += 1;
            continue;
        };
        match Candidate::of_task(opened, site, task.id.as_ref(), &task.title) {
            Some(candidate) => candidates.push(candidate),
            None => missing.push(site.branch.clone()),
        }
        let is_going = matches!(
            record.state,
            TaskState::Settled {
                worktree: WorktreeFate::Removing,
                ..
            }
        );
        if let Some(shop) = shop.as_ref().filter(|_| !is_going) {
            look_at_worktree(&mut about, shop, site);
        }
    }
    Tasks {
        candidates,
        missing,
        others,
        about,
    }
}

/// Which of these commits land although they are in no step of the plan: a step that builds on them has them. What the
/// target has is there already, and a branch without commits of its own brings nothing.
fn inside(opened: &Repository, plan: &MergePlan, others: Vec<Candidate>) -> Vec<Inside> {
    let has = |at: &str, head: Oid| {
        let at = Oid::from_str(at).ok();
        at.is_some_and(|at| at == head || opened.graph_descendant_of(at, head).unwrap_or(false))
    };
    let head_of = |name: &str| plan.branches.iter().find(|b| b.name == name).map(|b| b.head.as_str());
    let within = |other: Candidate| {
        if other.base == Some(other.head) || has(&plan.target.commit, other.head) {
            return None;
        }
        let lands = |branch: &&str| head_of(branch).is_some_and(|head| has(head, other.head));
        let inside = plan
            .steps
            .iter()
            .map(|step| step.branch.as_str())
            .find(lands)?
            .to_owned();
        Some(Inside {
            branch: other.name,
            task_id: other.task_id,
            inside,
            why: "not chosen".into(),
        })
    };
    others.into_iter().filter_map(within).collect()
}

/// The worktree of a task may be there, kept or opened again: it goes before its branch if nothing is lost with it, and
/// else the branch stays too.
fn look_at_worktree(about: &mut PlanContext, shop: &Workshop, site: &Site) {
    let path = &site.worktree;
    match standing(shop, site, true) {
        Ok(Standing::Gone) => {}
        Ok(Standing::Clear(clear)) if clear.is_kept() && path.is_dir() => {
            // One with another branch is the user's.
            if branch_at(shop, path).as_ref() == Some(&site.branch) {
                about.worktrees.push((site.branch.clone(), path.clone()));
            }
        }
        _ => about.held.push(site.branch.clone()),
    }
}

/// The repository as the user's directory sees it, where HEAD is that of this checkout; none in another one.
fn here(context: &Context, common_dir: &Path) -> Result<Option<Repository>, Error> {
    let opened = git::open(&context.directory)?;
    Ok(opened.filter(|r| git::place_of(r).common_dir == common_dir))
}

fn started_from(opened: &Repository, repository: &RepositorySpec) -> Result<Target, Error> {
    let base = &repository.base;
    let Some(branch) = &base.branch else {
        return Ok(Target {
            branch: None,
            commit: base.commit.clone(),
        });
    };
    let found = target(opened, &format!("refs/heads/{branch}")).map_err(|_| PlanError::NoTarget {
        branch: branch.clone(),
        commit: base.commit.clone(),
    })?;
    Ok(found.into_target())
}

/// What has to be done before the commands work: go to a checkout, and check the target out there. `dir` is the checkout
/// to do it in, unless another has the target; a bare repository has none. Gives the branch that is checked out no more after that.
fn find_the_way(
    about: &mut PlanContext,
    context: &Context,
    dir: Option<&Path>,
    checkouts: &[Checkout],
    onto: &Target,
) -> Result<Option<String>, Error> {
    let here = git::open(&context.directory)?.and_then(|r| r.workdir()?.canonicalize().ok());
    let has_it = |c: &&Checkout| onto.branch.is_some() && c.branch == onto.branch && c.path.is_dir();
    let Some(dir) = checkouts.iter().find(has_it).map(|c| c.path.as_path()).or(dir) else {
        about.no_checkout = true;
        return Ok(None);
    };
    let opened = Repository::open(dir).map_err(GitError::libgit2(format!("cannot open {}", dir.display())))?;
    let now = base_of(&opened)?;
    about.switch = match (&onto.branch, &now) {
        (Some(branch), Some(now)) if now.branch.as_ref() == Some(branch) => None,
        (Some(branch), _) => Some(quote(branch)),
        (None, Some(now)) if now.branch.is_none() && now.commit == onto.commit => None,
        (None, _) => Some(format!("--detach {}", onto.commit)),
    };
    let leaves = now.and_then(|now| now.branch).filter(|_| about.switch.is_some());
    about.change_to = (here.as_deref() != Some(dir)).then(|| dir.to_owned());
    Ok(leaves)
}

/// git does not delete a branch that is checked out: those that still are after the commands are held.
fn hold_checked_out(about: &mut PlanContext, checkouts: &[Checkout], leaves: Option<&str>, candidates: &[Candidate]) {
    for checkout in checkouts {
        let goes = about.worktrees.iter().any(|(_, path)| *path == checkout.path);
        let Some(branch) = checkout.branch.as_ref().filter(|_| !goes) else {
            continue;
        };
        if leaves != Some(branch) && candidates.iter().any(|c| c.is_branch && c.name == *branch) {
            about.held.push(branch.clone());
        }
    }
}

/// git deletes a branch that has an upstream only when the upstream has its commits, whatever else has them.
fn hold_unpushed(about: &mut PlanContext, opened: &Repository, onto: &Target, candidates: &[Candidate]) {
    for candidate in candidates.iter().filter(|c| c.is_branch) {
        let branch = opened.find_branch(&candidate.name, BranchType::Local);
        let Ok(upstream) = branch.and_then(|b| b.upstream()) else {
            continue;
        };
        // The target has them by then.
        let local = upstream.get().is_branch();
        let is_target = local
            && onto
                .branch
                .as_deref()
                .is_some_and(|b| upstream.name().is_ok_and(|u| u == Some(b)));
        let has = |upstream: Oid| {
            upstream == candidate.head || opened.graph_descendant_of(upstream, candidate.head).unwrap_or(false)
        };
        if !is_target && !upstream.get().target().is_some_and(has) {
            about.held.push(candidate.name.clone());
        }
    }
}
