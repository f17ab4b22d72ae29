//! `pleach diff`

use super::Context;
use crate::cli::DiffArgs;
use crate::error::{Error, exit};

pub(super) fn run(_context: &Context, _args: &DiffArgs) -> Result<u8, Error> {
    Ok(exit::REFUSED)
}
