//! Whether answers and logs can go where they are wanted: looked at before anything is started, since who waits for hours
//! should not learn then that a name was mistyped.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::preflight::existing;
use crate::error::{AroundError, Error};
use crate::task::TaskSpec;

/// Checks the files for answers, and makes the directory for logs.
pub(super) fn check(tasks: &[TaskSpec], log_dir: Option<PathBuf>) -> Result<(), Error> {
    let mut taken: HashMap<&Path, usize> = HashMap::new();
    for (number, task) in (1..).zip(tasks) {
        let Some(path) = task.options.output_file.as_deref() else {
            continue;
        };
        if let Some(problem) = problem(path) {
            let path = path.to_owned();
            return Err(AroundError::OutputFile { number, path, problem }.into());
        }
        if let Some(first) = taken.insert(path, number) {
            let (second, path) = (number, path.to_owned());
            return Err(AroundError::SameOutputFile { first, second, path }.into());
        }
    }
    if let Some(directory) = log_dir {
        let made = std::fs::create_dir_all(&directory);
        let usable = made.and_then(|()| Ok(access(&directory, Access::WRITE_OK | Access::EXEC_OK)?));
        usable.map_err(|source| AroundError::LogDir { directory, source })?;
    }
    Ok(())
}

/// What keeps a file from being written there.
fn problem(path: &Path) -> Option<String> {
    match path.symlink_metadata() {
        Ok(there) if there.is_dir() => return Some("is a directory".into()),
        Ok(there) if !there.is_file() && !there.is_symlink() => return Some("is no file".into()),
        _ => {}
    }
    if path.file_name().is_none() {
        return Some("names no file".into());
    }
    // An answer in the place of HEAD would take the repository with it.
    if path.components().any(|part| part.as_os_str() == ".git") {
        return Some("is in a .git directory".into());
    }
    let there = existing(path.parent()?);
    if !there.is_dir() {
        return Some(format!("would be below {}, which is no directory", there.display()));
    }
    let writable = access(there, Access::WRITE_OK | Access::EXEC_OK);
    writable
        .err()
        .map(|e| format!("would be made in {}: {e}", there.display()))
}
