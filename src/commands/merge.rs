//! `pleach merge`: carries out the merge plan of a session.

use std::collections::BTreeSet;

use super::confirm::{confirm, somebody_is_there};
use super::landings::{became, begin};
use super::place::{results_dir_here, stored, task_number};
use super::planning::{Wish, of_session};
use super::verify::Stoppable;
use super::{Context, output};
use crate::clean::{Grounds, Outcome, Plan, Request, Scope, carry_out, survey};
use crate::cli::MergeArgs;
use crate::error::{Error, exit};
use crate::git::{Drivers, Identity, Place, identity};
use crate::landing::verify::{Verification, Verified};
use crate::landing::{
    BuildRequest, Builder, Built, Intent, LandingError, Made, MergedBranch, Merges, Record, Template, land,
};
use crate::merge::{MergePlan, Mode};
use crate::report::{self, Cleaning, MergeDocument};
use crate::session::{RepositorySpec, Stored};
use crate::store::now_ms;
use crate::words::{count, quote};
use crate::worktree::naming::short;

/// How often a plan is made anew because somebody commits on the target.
const TRIES: usize = 5;

/// What is asked for.
struct Job<'a> {
    context: &'a Context,
    args: &'a MergeArgs,
    stored: &'a Stored,
    repository: &'a RepositorySpec,
    known: &'a Drivers,
    /// The tasks that are meant; none is all that have succeeded.
    tasks: Option<BTreeSet<usize>>,
    message: Option<Template>,
    identity: Identity,
    /// What stops a verification, if there is to be one.
    stoppable: Option<Stoppable>,
}

/// What is to land: commits, of which the last is where the target is to be.
struct Ready {
    commits: Vec<Made>,
    tip: String,
    verified: Option<Verified>,
}

pub(super) fn run(context: &Context, args: &MergeArgs) -> Result<u8, Error> {
    let message = args.message.as_deref().map(Template::parse).transpose()?;
    let stored = stored(context, args.session.as_deref())?;
    let spec = &stored.recorded.spec;
    let repository = spec.repository.as_ref().ok_or_else(|| Error::NothingToMerge {
        directory: spec.directory.clone(),
    })?;
    let place = &repository.place;
    if !place.common_dir.exists() {
        return Err(Error::RepositoryMoved {
            session: short(spec.session_id),
            was: place.common_dir.clone(),
        });
    }
    if args.onto.is_none() && repository.base.branch.is_none() {
        let name = format!("the detached HEAD {}", &repository.base.commit[..12]);
        return Err(Error::TargetNoBranch { name });
    }
    if !args.dry_run {
        somebody_is_there(args.yes)?;
    }
    let none = Drivers::new();
    let job = Job {
        context,
        args,
        stored: &stored,
        repository,
        known: stored.recorded.state.filters.as_ref().unwrap_or(&none),
        tasks: tasks(args, &stored)?,
        message,
        identity: identity(&Place {
            git_dir: place.origin().to_owned(),
            ..place.clone()
        })?,
        stoppable: match args.verify.is_some() && !args.dry_run {
            true => Some(Stoppable::new()?),
            false => None,
        },
    };
    if args.dry_run {
        let (plan, notes) = job.plan()?;
        let doc = MergeDocument::of(&plan, &spec.session_id.to_string(), true, notes);
        job.show(&doc)?;
        return job.end(&doc);
    }
    let (merges, settled) = begin(&place.common_dir)?;
    let doc = job.merge(&merges, settled.iter().map(became).collect())?;
    // Cleaning takes the lock of the session, which comes before this one.
    drop(merges);
    match doc {
        Some(doc) => job.finish(doc),
        None => Ok(exit::DONE),
    }
}

/// The numbers of the tasks that are meant.
fn tasks(args: &MergeArgs, stored: &Stored) -> Result<Option<BTreeSet<usize>>, Error> {
    let recorded = &stored.recorded;
    let numbers = |queries: &[String]| -> Result<BTreeSet<usize>, Error> {
        queries.iter().map(|query| task_number(&recorded.spec, query)).collect()
    };
    let (named, excluded) = (numbers(&args.tasks)?, numbers(&args.exclude)?);
    for number in &named {
        let record = &recorded.state.tasks[number - 1];
        if record.settlement().is_none() || record.site().is_none() {
            return Err(Error::TaskHasNoBranch {
                session: short(recorded.spec.session_id),
                task: record.id.to_string(),
            });
        }
    }
    Ok(match (named.is_empty(), excluded.is_empty()) {
        (true, true) => None,
        (true, false) => Some(
            (1..=recorded.spec.tasks.len())
                .filter(|n| !excluded.contains(n))
                .collect(),
        ),
        (false, _) => Some(named.difference(&excluded).copied().collect()),
    })
}

/// What is to be merged: branches, each at a commit.
fn wanted(plan: &MergePlan) -> Vec<(String, String)> {
    let of_step = |name: &String| plan.branches.iter().find(|b| b.name == *name);
    let planned = plan.steps.iter().filter_map(|step| of_step(&step.branch));
    planned.map(|b| (b.name.clone(), b.head.clone())).collect()
}

impl Job<'_> {
    /// Merges, and tells what came of it; nothing when the user did not want it.
    fn merge(&self, merges: &Merges, settled: Vec<String>) -> Result<Option<MergeDocument>, Error> {
        let (args, session) = (self.args, self.stored.recorded.spec.session_id);
        let mut before = settled;
        let mut agreed = None;
        for _ in 0..TRIES {
            let (plan, notes) = self.plan()?;
            before.extend(
                notes
                    .into_iter()
                    .filter(|note| !before.contains(note))
                    .collect::<Vec<_>>(),
            );
            let mut doc = MergeDocument::of(&plan, &session.to_string(), false, before.clone());
            let wanted = wanted(&plan);
            if agreed.as_ref() != Some(&wanted) {
                self.show(&doc)?;
                if wanted.is_empty() {
                    return Ok(Some(doc));
                }
                if !args.yes && !confirm(&format!("Merge into {}?", doc.target))? {
                    report::note("nothing was merged");
                    return Ok(None);
                }
                agreed = Some(wanted);
            }
            let ready = self.ready(&plan)?;
            if let Some(verified) = &ready.verified {
                doc.verified(verified);
                if ready.commits.is_empty() {
                    return Ok(Some(doc));
                }
            }
            // Squashed, what is in the target already makes no commit.
            if ready.tip == doc.old {
                doc.nothing_to_merge
                    .extend(doc.merged.drain(..).map(|merged| merged.branch));
                return Ok(Some(doc));
            }
            match self.land(merges, &plan, &ready) {
                Ok(record) => {
                    doc.merge_id = Some(record.id.to_string());
                    doc.new = Some(record.new);
                    for (merged, made) in doc.merged.iter_mut().zip(&ready.commits) {
                        merged.commit = Some(made.commit.to_string());
                    }
                    return Ok(Some(doc));
                }
                Err(LandingError::Moved { branch, at: Some(at) }) => {
                    let note = format!("{branch} has moved to {} meanwhile: planned again", &at[..7]);
                    report::warning(&note);
                    before.push(note);
                }
                Err(e) => return Err(e.into()),
            }
        }
        Err(Error::TargetRestless {
            branch: agreed.map(|_| self.target_name()).unwrap_or_default(),
        })
    }

    fn target_name(&self) -> String {
        let onto = self.args.onto.clone().or_else(|| self.repository.base.branch.clone());
        onto.unwrap_or_default()
    }

    /// The plan, and what the user should know of it, a line each.
    fn plan(&self) -> Result<(MergePlan, Vec<String>), Error> {
        let recorded = &self.stored.recorded;
        let wish = Wish {
            tasks: self.tasks.as_ref(),
            unsuccessful: !self.args.tasks.is_empty(),
            onto: self.args.onto.as_deref(),
            mode: if self.args.squash { Mode::Squash } else { Mode::Merge },
        };
        let planned = of_session(self.context, &recorded.spec, &recorded.state, &wish)?;
        let (plan, _) = planned.ok_or_else(|| Error::NothingToMerge {
            directory: recorded.spec.directory.clone(),
        })?;
        if plan.target.branch.is_none() {
            return Err(Error::TargetNoBranch {
                name: self.target_name(),
            });
        }
        let notes = self.notes(&plan);
        Ok((plan, notes))
    }

    fn notes(&self, plan: &MergePlan) -> Vec<String> {
        let recorded = &self.stored.recorded;
        let unsettled = recorded.state.tasks.iter().filter(|t| t.settlement().is_none()).count();
        let mut notes = Vec::new();
        if !self.identity.configured {
            let Identity { name, email, .. } = &self.identity;
            notes.push(format!(
                "git has no user.name and user.email: the commits will say {name} <{email}>"
            ));
        }
        if self.stored.held && unsettled > 0 {
            let (id, what) = (short(recorded.spec.session_id), count(unsettled, "task"));
            notes.push(format!("session {id} is still at work: {what} of it not settled yet"));
        }
        notes.extend(plan.missing.iter().map(|name| format!("the branch {name} is gone")));
        if !plan.cannot_foresee.is_empty() {
            let what = plan.cannot_foresee.join(", ");
            notes.push(format!("pleach does not use or run what git merge would: {what}"));
        }
        if !plan.unused_drivers.is_empty() {
            let what = plan.unused_drivers.join(", ");
            notes.push(format!(
                "not used, because it was configured during the session: {what}"
            ));
        }
        notes
    }

    /// What is going to happen.
    fn show(&self, doc: &MergeDocument) -> Result<(), Error> {
        doc.notes.iter().for_each(|note| report::warning(note));
        if self.args.json {
            return Ok(());
        }
        report::out(&doc.planned()).map_err(output)
    }

    /// Builds what is to land: all of the plan, or what of it passes the verification.
    fn ready(&self, plan: &MergePlan) -> Result<Ready, Error> {
        let session = self.stored.recorded.spec.session_id.to_string();
        let place = &self.repository.place;
        let mut builder = Builder::new(BuildRequest {
            common_dir: &place.common_dir,
            plan,
            identity: &self.identity,
            known: self.known,
            session: &session,
            message: self.message.as_ref(),
        })?;
        let all: Vec<usize> = (0..builder.steps()).collect();
        let verified = match self.args.verify.as_deref().zip(self.stoppable.as_ref()) {
            None => None,
            Some((command, stoppable)) => {
                let asked = Verification {
                    place,
                    command,
                    each: self.args.verify_each,
                    again: self.args.verify_again,
                    known: self.known,
                    steps: all.len(),
                };
                Some(stoppable.verified(&asked, &mut builder, &self.target_name())?)
            }
        };
        let steps = verified.as_ref().map_or(&all, |verified| &verified.found.kept);
        match builder.build(steps)? {
            Built::Whole { commits, tip, .. } => Ok(Ready {
                commits,
                tip: tip.to_string(),
                verified,
            }),
            Built::Collides { step, .. } => Err(LandingError::NotAsPlanned {
                branch: plan.steps[step].branch.clone(),
            }
            .into()),
        }
    }

    fn land(&self, merges: &Merges, plan: &MergePlan, ready: &Ready) -> Result<Record, LandingError> {
        let of_step = |made: &Made| {
            let name = &plan.steps[made.step].branch;
            let branch = plan.branches.iter().find(|b| b.name == *name)?;
            Some(MergedBranch {
                name: name.clone(),
                head: branch.head.clone(),
                task_id: branch.task_id.clone(),
            })
        };
        land(
            merges,
            Intent {
                session_id: self.stored.recorded.spec.session_id,
                target: plan.target.branch.clone().unwrap_or_default(),
                old: plan.target.commit.clone(),
                new: ready.tip.clone(),
                squash: plan.mode == Mode::Squash,
                branches: ready.commits.iter().filter_map(of_step).collect(),
                drivers: self.known.clone(),
            },
        )
    }

    /// Tells what has happened, and removes what is merged.
    fn finish(&self, mut doc: MergeDocument) -> Result<u8, Error> {
        if !self.args.json {
            report::out(&doc.landed()).map_err(output)?;
        }
        if doc.new.is_some() {
            self.clean(&mut doc)?;
        }
        self.end(&doc)
    }

    fn end(&self, doc: &MergeDocument) -> Result<u8, Error> {
        if self.args.json {
            report::json(doc).map_err(output)?;
        }
        Ok(match doc.left_out.is_empty() {
            true => exit::DONE,
            false => exit::UNSUCCESSFUL,
        })
    }

    /// Branches that are merged, and their worktrees: removed, offered, or named with the command that does it.
    fn clean(&self, doc: &mut MergeDocument) -> Result<(), Error> {
        let session = self.stored.recorded.spec.session_id;
        let grounds = Grounds {
            directory: self.context.directory.clone(),
            results: results_dir_here(self.context)?,
            place: Some(self.repository.place.clone()),
        };
        let request = Request {
            scope: Scope::Named(vec![session]),
            merged: true,
            unmerged: false,
            discard: false,
            older_than: None,
            empty_trash: false,
        };
        let plan = Plan::of(&survey(&grounds, &request)?, request, now_ms()).of_tasks();
        if plan.is_idle() {
            return Ok(());
        }
        let mut cleaning = Cleaning::new(&plan, false);
        let asks = !self.args.clean && !self.args.yes && !self.args.json;
        if asks {
            report::out(&cleaning.planned()).map_err(output)?;
        }
        let removes = self.args.clean || asks && confirm("Remove these?")?;
        if !removes {
            let option = (self.context.results_dir.as_ref())
                .map_or(String::new(), |dir| format!("--results-dir {} ", quote(dir)));
            let (program, id) = (report::program(), short(session));
            report::note(&format!(
                "to remove what is merged: {program} {option}clean {id} --merged"
            ));
            return Ok(());
        }
        let mut printed = Ok(());
        carry_out(&grounds, &plan, |item, became: Outcome| {
            let line = cleaning.done(item, became);
            if !self.args.json && printed.is_ok() {
                printed = report::out(&line);
            }
        });
        printed.map_err(output)?;
        doc.cleaned = Some(cleaning.document());
        Ok(())
    }
}
