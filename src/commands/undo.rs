//! `pleach undo`: takes the last merge back.

use std::path::Path;

use git2::Repository;

use super::confirm::{confirm, somebody_is_there};
use super::landings::{became, begin};
use super::{Context, output};
use crate::cli::UndoArgs;
use crate::error::{Error, exit};
use crate::git::{self, GitError};
use crate::landing::{LandingError, Record, State, check_undo, undo, undone_pin};
use crate::report::{self, UndoDocument, UndoneBranch};

pub(super) fn run(context: &Context, args: &UndoArgs) -> Result<u8, Error> {
    let opened = git::open(&context.directory)?.ok_or_else(|| Error::NotInRepository {
        directory: context.directory.clone(),
    })?;
    somebody_is_there(args.yes)?;
    let (merges, settled) = begin(&git::place_of(&opened).common_dir)?;
    let notes: Vec<String> = settled.iter().map(became).collect();
    notes.iter().for_each(|note| report::warning(note));
    // What was asked for then is done now, and is not asked for again.
    if let Some(record) = settled.iter().find(|record| record.state == State::Undone) {
        return told(&document(merges.common_dir(), record, notes)?, args);
    }
    let record = merges.last()?.ok_or(LandingError::NothingToUndo)?;
    check_undo(&merges, &record)?;
    let doc = document(merges.common_dir(), &record, notes)?;
    if !args.yes {
        report::out(&doc.planned()).map_err(output)?;
        if !confirm("Take this merge back?")? {
            report::note("nothing was moved");
            return Ok(exit::DONE);
        }
    }
    undo(&merges, record)?;
    told(&doc, args)
}

fn told(doc: &UndoDocument, args: &UndoArgs) -> Result<u8, Error> {
    match args.json {
        true => report::json(doc).map_err(output)?,
        false => report::out(&doc.undone()).map_err(output)?,
    }
    Ok(exit::DONE)
}

fn document(common_dir: &Path, record: &Record, notes: Vec<String>) -> Result<UndoDocument, Error> {
    let repository = Repository::open(common_dir).map_err(GitError::libgit2("cannot open the repository"))?;
    let gone = |name: &str| repository.refname_to_id(&format!("refs/heads/{name}")).is_err();
    Ok(UndoDocument {
        schema: 1,
        merge_id: record.id.to_string(),
        session_id: record.session_id.to_string(),
        target: record.target.clone(),
        old: record.new.clone(),
        new: record.old.clone(),
        kept: undone_pin(record),
        branches: (record.branches.iter())
            .map(|branch| UndoneBranch {
                branch: branch.name.clone(),
                head: branch.head.clone(),
                gone: gone(&branch.name),
            })
            .collect(),
        notes,
    })
}
