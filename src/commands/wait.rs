//! `pleach wait`: until a session has ended, or all that run.

use std::time::Instant;

use super::every::Every;
use super::follow::{Followed, exit_code, follow};
use super::handled::{await_handler, is_of_handler};
use super::place::session;
use super::status::say_how_to_go_on;
use super::{Context, output};
use crate::cli::WaitArgs;
use crate::error::{Error, exit};
use crate::report;
use crate::store::paths::SessionPaths;

pub(super) fn run(context: &Context, args: &WaitArgs) -> Result<u8, Error> {
    // A time that no clock can tell is none.
    let deadline = args.timeout.and_then(|t| Instant::now().checked_add(t));
    if args.all {
        return wait_for_all(context, deadline, args.json);
    }
    let paths = session(context, args.session.as_deref())?;
    let (followed, doc) = follow(&paths, deadline)?;
    if args.json {
        report::json(&doc).map_err(output)?;
    } else {
        report::out(&report::status(&doc, None)).map_err(output)?;
        say_how_to_go_on(context, &doc);
    }
    if followed == Followed::TimedOut || handler_timed_out(&paths, deadline)? {
        return Ok(exit::TIMED_OUT);
    }
    Ok(exit_code(&doc))
}

/// Waits for the command for the end of a session; true when the time was over before.
fn handler_timed_out(paths: &SessionPaths, deadline: Option<Instant>) -> Result<bool, Error> {
    if is_of_handler(paths) {
        return Ok(false);
    }
    let is_late = || deadline.filter(|deadline| Instant::now() >= *deadline).map(drop);
    Ok(await_handler(paths, is_late)?.is_some())
}

/// Those that run now: what is started meanwhile is not waited for.
fn wait_for_all(context: &Context, deadline: Option<Instant>, json: bool) -> Result<u8, Error> {
    let mut every = Every::of(context, |s| s.held && s.recorded.state.end.is_none())?;
    let all = every.paths();
    let seen = every.follow(deadline);
    let mut late = false;
    for paths in &all {
        late |= handler_timed_out(paths, deadline)?;
    }
    every.show(context, json)?;
    if late || seen.iter().any(|s| s.how == Followed::TimedOut) {
        return Ok(exit::TIMED_OUT);
    }
    if every.has_errors() {
        return Ok(exit::BROKEN);
    }
    let worst = seen.iter().map(|s| exit_code(&s.doc)).max();
    Ok(worst.unwrap_or(exit::DONE))
}
