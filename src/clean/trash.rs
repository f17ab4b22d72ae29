//! The trash of worktrees: how long each has been there, and emptying it.
//!
//! Its date is that of its directory, which was made for it. Deleting begins with a rename, so that one that was cut off
//! is known as such whatever its date says then, and only what has a name of ours is ever deleted.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::age::{self, Time};
use crate::store::{failpoint, now_ms, tree};
use crate::worktree::naming::{going, is_going, is_trashed};

/// Something in the trash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trashed {
    pub path: PathBuf,
    pub bytes: u64,
    pub time: Time,
}

/// How something in the trash stands to its time. What is half deleted is past it.
pub(super) fn time_of(path: &Path) -> io::Result<Time> {
    if name_of(path).is_some_and(is_going) {
        return Ok(Time::Over);
    }
    let put = fs::symlink_metadata(path)?.modified()?;
    // A date before 1970 is as wrong as 1970 itself.
    let put = put.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(age::judge(
        u64::try_from(put.as_millis()).unwrap_or(u64::MAX),
        now_ms(),
        age::TRASH,
    ))
}

/// Lets the time of something in the trash begin now.
pub(super) fn begin_anew(path: &Path) -> io::Result<()> {
    File::open(path)?.set_modified(SystemTime::now())
}

/// Deletes something in the trash.
pub(super) fn delete(path: &Path) -> io::Result<()> {
    let name = name_of(path).filter(|name| is_trashed(name));
    let name = name.ok_or_else(|| io::Error::other("it is not pleach's"))?;
    // Two who take the same tree apart would trip over each other. Where a directory cannot be locked they may.
    let all = path.parent().map(File::open).transpose()?;
    let _ = all.as_ref().map(File::lock);
    if is_going(name) {
        return tree::remove(path);
    }
    let last = path.with_file_name(going(name));
    failpoint::passed("rename");
    match fs::rename(path, &last) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        other => other?,
    }
    tree::remove(&last)
}

fn name_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}
