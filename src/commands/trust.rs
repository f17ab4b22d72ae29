//! `pleach trust`: shows what the repository's file makes run and allows, asks, and remembers the answer.

use std::io::{IsTerminal, stderr, stdin};

use super::confirm::confirm;
use super::settings::{config, trust};
use super::{Context, output};
use crate::cli::TrustArgs;
use crate::config::ConfigError;
use crate::error::{Error, exit};
use crate::report;
use crate::words::count;

pub(super) fn run(context: &Context, args: &TrustArgs) -> Result<u8, Error> {
    // What is forgotten need not be readable.
    if args.remove {
        return forget(context);
    }
    let (config, place) = config(context)?;
    let place = place.ok_or_else(|| Error::NotInRepository {
        directory: context.directory.clone(),
    })?;
    let Some(acting) = config.acting else {
        report::note(
            "there is nothing to approve: no pleach.toml here has anything run, written elsewhere, or go beyond your limits",
        );
        return Ok(exit::DONE);
    };
    let trust = trust(&place)?;
    let already = trust.is_approved(&acting.text)?;
    let asks = !already && !args.yes;
    if asks && !(stdin().is_terminal() && stderr().is_terminal()) {
        return Err(Error::Config(ConfigError::NobodyToApprove));
    }
    report::out(&report::acting(&acting)).map_err(output)?;
    if already {
        report::note("that is approved already");
        return Ok(exit::DONE);
    }
    if asks && !confirm("Approve that?")? {
        report::note("nothing was approved");
        return Ok(exit::DONE);
    }
    trust.approve(&acting.text)?;
    report::note("approved");
    Ok(exit::DONE)
}

fn forget(context: &Context) -> Result<u8, Error> {
    let opened = crate::git::open(&context.directory).map_err(Error::unusable)?;
    let place = opened.as_ref().map(crate::git::place_of);
    let place = place.ok_or_else(|| Error::NotInRepository {
        directory: context.directory.clone(),
    })?;
    let forgotten = trust(&place)?.forget()?;
    report::note(&format!(
        "{} of this repository forgotten",
        count(forgotten, "approval")
    ));
    Ok(exit::DONE)
}
