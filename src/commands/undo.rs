//! `pleach undo`

use super::Context;
use crate::cli::UndoArgs;
use crate::error::{Error, exit};

pub(super) fn run(_context: &Context, _args: &UndoArgs) -> Result<u8, Error> {
    Ok(exit::REFUSED)
}
