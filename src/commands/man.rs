//! `pleach man`: the pages of the manual, from clap's description of the command line.

use std::fs;

use clap::CommandFactory;
use clap_mangen::{Man, generate_to};

use super::{Context, output};
use crate::cli::{Cli, ManArgs};
use crate::error::{AroundError, Error, exit};
use crate::report;

pub(super) fn run(context: &Context, args: &ManArgs) -> Result<u8, Error> {
    let command = Cli::command().name("pleach");
    match &args.dir {
        None => {
            let mut page = Vec::new();
            Man::new(command).render(&mut page).map_err(output)?;
            report::pour(&page).map_err(output)?;
        }
        Some(dir) => {
            let directory = context.directory.join(dir);
            let written = fs::create_dir_all(&directory).and_then(|()| generate_to(command, &directory));
            written.map_err(|source| AroundError::ManPages { directory, source })?;
        }
    }
    Ok(exit::DONE)
}
