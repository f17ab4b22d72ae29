//! Brings what was cut off to an end before anything else moves: for `merge`, `undo` and `clean`.

use std::path::Path;

use crate::error::Error;
use crate::landing::verify::sweep;
use crate::landing::{LandingError, Merges, Record, State, forget_past, settle_all};
use crate::report;

/// Takes the lock of landings, settles those that were cut off, which it gives, forgets those of long ago, and removes
/// what verifications left.
pub(super) fn begin(common_dir: &Path) -> Result<(Merges, Vec<Record>), Error> {
    let merges = Merges::hold(common_dir)?;
    let settled = settle_all(&merges)?;
    forget_past(&merges)?;
    sweep(common_dir)?;
    Ok((merges, settled))
}

/// The same, for who moves nothing: whoever has the lock settles them himself.
pub(super) fn settle_before_cleaning(common_dir: &Path) -> Result<(), Error> {
    if !common_dir.join("pleach/merge.lock").exists() {
        return Ok(());
    }
    match begin(common_dir) {
        Ok((_, settled)) => {
            settled.iter().for_each(|record| report::warning(&became(record)));
            Ok(())
        }
        Err(Error::Landing(LandingError::Held { .. })) => Ok(()),
        Err(e) => Err(e),
    }
}

/// What became of a landing that was cut off, in a line.
pub(super) fn became(record: &Record) -> String {
    let target = &record.target;
    match record.state {
        State::Landed => format!("a merge or undo that was cut off: the merge into {target} stands"),
        State::Undone => format!("an undo that was cut off is done: {target} is where it was before the merge"),
        _ => format!("a merge that was cut off: {target} has not moved"),
    }
}
