//! `pleach clean`: shows what would go, asks, and removes it.

use super::confirm::{confirm, somebody_is_there};
use super::landings::settle_before_cleaning;
use super::place::results_dir;
use super::{Context, output};
use crate::clean::{Grounds, Outcome, Plan, Request, Scope, carry_out, survey};
use crate::cli::CleanArgs;
use crate::error::{Error, exit};
use crate::git;
use crate::report::{self, Cleaning};
use crate::session::{find, stored};
use crate::store::now_ms;
use crate::worktree::naming::short;

pub(super) fn run(context: &Context, args: &CleanArgs) -> Result<u8, Error> {
    if !args.dry_run {
        somebody_is_there(args.yes)?;
    }
    let place = git::open(&context.directory)?.as_ref().map(git::place_of);
    let grounds = Grounds {
        directory: context.directory.clone(),
        results: results_dir(context, place.as_ref())?,
        place,
    };
    if let Some(place) = grounds.place.as_ref().filter(|_| !args.dry_run) {
        settle_before_cleaning(&place.common_dir)?;
    }
    let request = request(&grounds, args)?;
    let seen = survey(&grounds, &request)?;
    for what in &seen.unseen {
        report::warning(what);
    }
    let plan = Plan::of(&seen, request, now_ms());
    let mut cleaning = Cleaning::new(&plan, args.dry_run);
    let asks = !args.dry_run && !args.yes && !plan.is_idle();
    if !args.json && (asks || args.dry_run || plan.is_idle()) {
        report::out(&cleaning.planned()).map_err(output)?;
    }
    if asks && !confirm("Remove these?")? {
        report::note("nothing was removed");
        return Ok(exit::DONE);
    }
    let mut failed = false;
    if !args.dry_run {
        let mut printed = Ok(());
        if !args.json && !plan.is_idle() && !asks {
            printed = report::out(&cleaning.staying());
        }
        carry_out(&grounds, &plan, |item, outcome| {
            failed |= matches!(outcome, Outcome::Failed(_));
            let line = cleaning.done(item, outcome);
            if !args.json && printed.is_ok() {
                printed = report::out(&line);
            }
        });
        printed.map_err(output)?;
    }
    if args.json {
        report::json(&cleaning.document()).map_err(output)?;
    }
    Ok(if failed { exit::BROKEN } else { exit::DONE })
}

/// What is asked for. A session that is named has to be one that can be cleaned.
fn request(grounds: &Grounds, args: &CleanArgs) -> Result<Request, Error> {
    let mut named = Vec::new();
    for query in &args.sessions {
        let paths = find(&grounds.results, Some(query))?;
        let session = stored(&paths)?;
        let id = session.recorded.spec.session_id;
        if session.held {
            return Err(Error::SessionAtWork { session: short(id) });
        }
        named.push(id);
    }
    let scope = match () {
        () if !named.is_empty() => Scope::Named(named),
        () if args.all => Scope::All,
        () if args.empty_trash && !args.merged && args.older_than.is_none() => Scope::Nothing,
        () => Scope::Merged,
    };
    Ok(Request {
        scope,
        merged: args.merged,
        unmerged: args.unmerged,
        discard: args.discard,
        older_than: args.older_than,
        empty_trash: args.empty_trash,
    })
}
