//! `pleach config`: each setting that is in effect here, and where it comes from.

use super::settings::{config, is_approved};
use super::{Context, output};
use crate::cli::ConfigArgs;
use crate::error::{Error, exit};
use crate::report;

pub(super) fn run(context: &Context, args: &ConfigArgs) -> Result<u8, Error> {
    if args.keys {
        report::out(&report::config_keys()).map_err(output)?;
        return Ok(exit::DONE);
    }
    let (config, place) = config(context)?;
    let approved = is_approved(config.acting.as_ref(), place.as_ref())?;
    let document = report::config_document(&config, approved);
    if args.json {
        report::json(&document).map_err(output)?;
    } else {
        report::out(&report::config(&document)).map_err(output)?;
    }
    Ok(exit::DONE)
}
