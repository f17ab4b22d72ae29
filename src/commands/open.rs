//! `pleach open`

use super::Context;
use crate::cli::OpenArgs;
use crate::error::{Error, exit};

pub(super) fn run(_context: &Context, _args: &OpenArgs) -> Result<u8, Error> {
    Ok(exit::REFUSED)
}
