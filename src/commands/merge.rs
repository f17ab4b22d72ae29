//! `pleach merge`

use super::Context;
use crate::cli::MergeArgs;
use crate::error::{Error, exit};

pub(super) fn run(_context: &Context, _args: &MergeArgs) -> Result<u8, Error> {
    Ok(exit::REFUSED)
}
