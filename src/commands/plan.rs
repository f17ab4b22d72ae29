//! `pleach plan`: how the branches of a session merge, or any branches.

use super::place::stored;
use super::planning::{Wish, of_branches, of_session};
use super::{Context, output};
use crate::cli::PlanArgs;
use crate::error::{Error, exit};
use crate::merge::{MergePlan, Mode};
use crate::report::{self, PlanContext};
use crate::session::{SessionSpec, SessionState};

pub(super) fn run(context: &Context, args: &PlanArgs) -> Result<u8, Error> {
    let wish = Wish {
        onto: args.onto.as_deref(),
        mode: if args.squash { Mode::Squash } else { Mode::Merge },
        ..Wish::default()
    };
    let (plan, about) = if args.branches.is_empty() {
        let stored = stored(context, args.session.as_deref())?;
        let (spec, state) = (&stored.recorded.spec, &stored.recorded.state);
        of_session(context, spec, state, &wish)?.ok_or_else(|| Error::NothingToMerge {
            directory: spec.directory.clone(),
        })?
    } else {
        of_branches(context, &args.branches, &wish)?
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
    of_session(context, spec, state, &Wish::default())
}
