//! `pleach stop`: asks the supervisor to end the agents, and waits until it has. An interrupted session gets one for that.

use super::follow::follow;
use super::place::session;
use super::resume::take_over_to_stop;
use super::status::say_interrupted;
use super::{Context, output};
use crate::cli::StopArgs;
use crate::error::{Error, exit};
use crate::report;
use crate::session::{OverallStatus, stored};
use crate::store::paths::SessionPaths;
use crate::supervisor::{Stop, ask_to_stop};

pub(super) fn run(context: &Context, args: &StopArgs) -> Result<u8, Error> {
    let paths = session(context, args.session.as_deref())?;
    let before = stored(&paths)?;
    let stop = Stop { now: args.now };
    if before.recorded.state.end.is_none() && (before.held || !take_over_to_stop(&paths, &before.recorded.spec, stop)?)
    {
        ask(&paths, args.now)?;
    }
    let (_, doc) = follow(&paths, None)?;
    if args.json {
        report::json(&doc).map_err(output)?;
    } else {
        report::out(&report::status(&doc, None)).map_err(output)?;
        say_interrupted(context, &doc);
    }
    // Its supervisor was killed meanwhile.
    let interrupted = doc.overall_status == OverallStatus::Interrupted;
    Ok(if interrupted { exit::BROKEN } else { exit::DONE })
}

/// Leaves the request.
pub(super) fn ask(paths: &SessionPaths, now: bool) -> Result<(), Error> {
    ask_to_stop(paths, Stop { now }).map_err(|source| Error::StopNotAsked {
        directory: paths.requests(),
        source,
    })
}
