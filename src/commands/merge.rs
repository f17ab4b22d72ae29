//! `pleach merge`: carries out the merge plan of a session.

use std::collections::BTreeSet;

use git2::{Oid, Repository};

use super::confirm::{confirm, somebody_is_there};
use super::landings::{became, begin};
use super::place::{results_dir_here, stored, task_number, typed};
use super::planning::{Wish, of_session};
use super::verify::Stoppable;
use super::{Context, output};
use crate::clean::{Grounds, Outcome, Plan, Request, Scope, carry_out, survey};
use crate::cli::MergeArgs;
use crate::error::{Error, exit};
use crate::git::{Drivers, GitError, Identity, Place, identity};
use crate::landing::verify::{Verification, Verified};
use crate::landing::{
    BuildRequest, Builder, Built, Intent, LandingError, Made, MergedBranch, Merges, Record, Template, land,
};
use crate::merge::{MergePlan, Mode};
use crate::report::{self, Cleaning, MergeDocument, PlanContext};
use crate::session::{RepositorySpec, Stored};
use crate::store::now_ms;
use crate::words::count;
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
    let notes = job.notes();
    if args.dry_run {
        notes.iter().for_each(|note| report::warning(note));
        let (plan, about) = job.plan()?;
        let mut doc = MergeDocument::of(&plan, &spec.session_id.to_string(), true, notes);
        doc.inside.clone_from(&about.inside);
        if !args.json {
            report::out(&report::foreseen(&plan, &about)).map_err(output)?;
        }
        return job.end(&doc);
    }
    let (merges, settled) = begin(&place.common_dir)?;
    let before: Vec<String> = settled.iter().map(became).chain(notes).collect();
    before.iter().for_each(|note| report::warning(note));
    let doc = job.merge(&merges, before)?;
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

/// Whether the commit `tip` is `head`, or has it in its history.
fn has(opened: &Repository, tip: &str, head: &str) -> bool {
    let (Ok(tip), Ok(head)) = (Oid::from_str(tip), Oid::from_str(head)) else {
        return false;
    };
    tip == head || opened.graph_descendant_of(tip, head).unwrap_or(false)
}

impl Job<'_> {
    /// Merges, and tells what came of it; nothing when the user did not want it. `notes` is what was told before.
    fn merge(&self, merges: &Merges, mut notes: Vec<String>) -> Result<Option<MergeDocument>, Error> {
        let session = self.stored.recorded.spec.session_id;
        let (mut agreed, mut verification) = (None, None);
        for _ in 0..TRIES {
            let (plan, about) = self.plan()?;
            let mut doc = MergeDocument::of(&plan, &session.to_string(), false, notes.clone());
            doc.inside.clone_from(&about.inside);
            doc.verification = verification;
            let wanted = wanted(&plan);
            if agreed.as_ref() != Some(&wanted) {
                if !self.wants(&plan, &about)? {
                    report::note("nothing was merged");
                    return Ok(None);
                }
                if wanted.is_empty() {
                    return Ok(Some(doc));
                }
                agreed = Some(wanted);
            }
            let ready = self.ready(&plan)?;
            if let Some(verified) = &ready.verified {
                let opened = Repository::open(&self.repository.place.common_dir)
                    .map_err(GitError::libgit2("cannot open the repository"))?;
                doc.verified(verified, &|tip, head| has(&opened, tip, head));
                verification = doc.verification;
            }
            let tip = ready
                .commits
                .last()
                .map_or(doc.old.clone(), |made| made.commit.to_string());
            if tip == doc.old {
                // Squashed, what is in the target already makes no commit.
                for merged in doc.merged.drain(..) {
                    report::note(&format!("{} has all of {} already", doc.target, merged.branch));
                    doc.nothing_to_merge.push(merged.branch);
                }
                return Ok(Some(doc));
            }
            match self.land(merges, &plan, &ready.commits, tip) {
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
                    notes.push(note);
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

    /// The plan, and what its text needs.
    fn plan(&self) -> Result<(MergePlan, PlanContext), Error> {
        let recorded = &self.stored.recorded;
        let wish = Wish {
            tasks: self.tasks.as_ref(),
            unsuccessful: !self.args.tasks.is_empty(),
            onto: self.args.onto.as_deref(),
            mode: if self.args.squash { Mode::Squash } else { Mode::Merge },
        };
        let planned = of_session(self.context, &recorded.spec, &recorded.state, &wish)?;
        let (plan, about) = planned.ok_or_else(|| Error::NothingToMerge {
            directory: recorded.spec.directory.clone(),
        })?;
        if plan.target.branch.is_none() {
            return Err(Error::TargetNoBranch {
                name: self.target_name(),
            });
        }
        Ok((plan, about))
    }

    /// What the user should know before, a line each.
    fn notes(&self) -> Vec<String> {
        let recorded = &self.stored.recorded;
        let mut notes = Vec::new();
        if !self.identity.configured {
            let Identity { name, email, .. } = &self.identity;
            notes.push(format!(
                "git has no user.name and user.email: the commits will say {name} <{email}>"
            ));
        }
        let unsettled = recorded.state.tasks.iter().filter(|t| t.settlement().is_none()).count();
        if self.stored.held && unsettled > 0 {
            // There may be more to merge later.
            let (id, what) = (short(recorded.spec.session_id), count(unsettled, "task"));
            notes.push(format!("session {id} is still at work: {what} of it not settled yet"));
        }
        notes
    }

    /// Shows what is going to happen, and asks whether it is to, if there is anything to ask.
    fn wants(&self, plan: &MergePlan, about: &PlanContext) -> Result<bool, Error> {
        let asks = !self.args.yes && !plan.steps.is_empty();
        let text = report::foreseen(plan, about);
        if !self.args.json {
            report::out(&text).map_err(output)?;
        } else if asks {
            report::note(text.trim_end());
        }
        if asks {
            report::note("");
        }
        let what = match plan.steps.len() {
            1 => "1 branch".to_owned(),
            n => format!("{n} branches"),
        };
        Ok(!asks || confirm(&format!("Merge {what} into {}?", self.target_name()))?)
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
                let branches: Vec<String> = plan.steps.iter().map(|step| step.branch.clone()).collect();
                Some(stoppable.verified(&asked, &mut builder, &branches, &self.target_name())?)
            }
        };
        let steps = verified.as_ref().map_or(&all, |verified| &verified.found.kept);
        match builder.build(steps)? {
            Built::Whole { commits, .. } => Ok(Ready {
                commits: builder.signed(commits)?,
                verified,
            }),
            Built::Collides { step, .. } => Err(LandingError::NotAsPlanned {
                branch: plan.steps[step].branch.clone(),
            }
            .into()),
        }
    }

    fn land(&self, merges: &Merges, plan: &MergePlan, commits: &[Made], tip: String) -> Result<Record, LandingError> {
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
                new: tip,
                squash: plan.mode == Mode::Squash,
                branches: commits.iter().filter_map(of_step).collect(),
                drivers: self.known.clone(),
            },
        )
    }

    /// Tells what has happened, and removes what is merged.
    fn finish(&self, mut doc: MergeDocument) -> Result<u8, Error> {
        // Without anything to merge the plan has said all.
        let was_tried = doc.new.is_some() || doc.verification.is_some();
        if !self.args.json && was_tried {
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
            report::out(&format!("\n{}", cleaning.planned())).map_err(output)?;
        }
        let removes = self.args.clean || asks && confirm("Remove these?")?;
        if !removes {
            let id = short(session);
            let command = typed(self.context, &format!("clean {id} --merged"));
            report::note(&format!("to remove what is merged: {command}"));
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
