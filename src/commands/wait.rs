//! `pleach wait`: until a session has ended.

use std::time::Instant;

use super::follow::{Followed, exit_code, follow};
use super::place::session;
use super::status::say_interrupted;
use super::{Context, output};
use crate::cli::WaitArgs;
use crate::error::{Error, exit};
use crate::report;

pub(super) fn run(context: &Context, args: &WaitArgs) -> Result<u8, Error> {
    let deadline = args.timeout.map(|t| Instant::now() + t);
    let paths = session(context, args.session.as_deref())?;
    let (followed, doc) = follow(&paths, deadline)?;
    if args.json {
        report::json(&doc).map_err(output)?;
    } else {
        report::out(&report::status(&doc, None)).map_err(output)?;
        say_interrupted(context, &doc);
    }
    Ok(match followed {
        Followed::TimedOut => exit::TIMED_OUT,
        Followed::Ended => exit_code(&doc),
    })
}
