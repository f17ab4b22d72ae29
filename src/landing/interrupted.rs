//! Finds out how a move ended, and brings one that was cut off to an end: the target, and the checkout that has it, are
//! then where they were or where they were to be.
//!
//! Who calls it holds `merge.lock`, which a git of ours would hold too: none is at work. A file is written only where it
//! holds what git put there and nothing else; whatever else there is, is named and left alone.

mod decide;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid, Repository};

use self::decide::{Decision, FileIs, Files, Index, LockIs, Seen, TargetAt, decide};
use super::checkout::{
    Change, Checkout, Entry, SUBMODULE, changes, check_unlocked, cleaned, differing, git_on, index_lock, is_linked,
    listed,
};
use super::moving::move_target;
use super::record::{Merges, Record, State};
use super::{LandingError, reflog};
use crate::git::{Git, GitError};
use crate::process::is_used;

/// Brings every landing to an end that was cut off, and tells of each how it ended.
pub fn settle_all(merges: &Merges) -> Result<Vec<Record>, LandingError> {
    let mut settled = merges.unfinished()?;
    for record in &mut settled {
        settle(merges, record)?;
    }
    Ok(settled)
}

/// Finds out how the move of a record ended, and writes it down.
pub(super) fn settle(merges: &Merges, record: &mut Record) -> Result<(), LandingError> {
    let repository = open(merges.common_dir())?;
    // One that is gone, or leads to other files now, is not looked at.
    let checkout = record.checkout.clone().filter(is_linked);
    let git = match &checkout {
        Some(checkout) => Some(git_on(merges.common_dir(), checkout, &record.drivers)?.holding(merges.lock())),
        None => None,
    };
    let target = target_at(&repository, record)?;
    // The target moves last.
    let place = git.as_ref().zip(checkout.as_ref()).filter(|_| target != TargetAt::To);
    let (from, to) = record.way();
    let changes = match place {
        Some((git, _)) => changes(git, from, to)?,
        None => Vec::new(),
    };
    let files = place.map(|(git, checkout)| look(&repository, git, checkout, record, &changes));
    let seen = Seen {
        target,
        files: files.transpose()?,
    };
    let done = match (decide(&seen), place) {
        (Decision::Done, _) => true,
        (Decision::Finish, Some((git, checkout))) => {
            check_unlocked(merges.common_dir(), &record.target_ref(), Some(checkout))?;
            move_target(git, record, reflog(record))?;
            true
        }
        (Decision::PutBack(paths), Some((git, checkout))) => {
            put_back(git, checkout, &changes, &paths, &seen)?;
            false
        }
        (Decision::Stuck(files), Some((_, checkout))) => {
            return Err(LandingError::HalfDone {
                path: checkout.path.clone(),
                files,
                lock: Some(index_lock(checkout)).filter(|lock| lock.symlink_metadata().is_ok()),
            });
        }
        (Decision::Locked, Some((_, checkout))) => {
            return Err(LandingError::Locked {
                lock: index_lock(checkout),
            });
        }
        _ => false,
    };
    record.state = match (record.state, done) {
        (State::Undoing, true) => State::Undone,
        (State::Undoing, false) | (_, true) => State::Landed,
        (_, false) => State::Abandoned,
    };
    merges.write_end(record)
}

fn open(common_dir: &Path) -> Result<Repository, GitError> {
    Repository::open(common_dir).map_err(GitError::libgit2("cannot open the repository"))
}

fn target_at(repository: &Repository, record: &Record) -> Result<TargetAt, GitError> {
    let unread = || GitError::libgit2(format!("cannot read the branch {}", record.target));
    let (from, to) = record.way();
    let at = match repository.refname_to_id(&record.target_ref()) {
        Err(e) if e.code() == git2::ErrorCode::NotFound => None,
        other => Some(other.map_err(unread())?),
    };
    let is = |id: &str| at.is_some_and(|at| at.to_string() == id);
    if is(to) {
        return Ok(TargetAt::To);
    }
    if is(from) {
        return Ok(TargetAt::From);
    }
    let new = Oid::from_str(&record.new).map_err(unread())?;
    let has_new = at.is_some_and(|at| repository.graph_descendant_of(at, new).unwrap_or(false));
    Ok(TargetAt::Elsewhere {
        after: has_new == (record.state == State::Landing),
    })
}

/// Looks at the files of a checkout that differ between the two commits.
fn look(
    repository: &Repository,
    git: &Git,
    checkout: &Checkout,
    record: &Record,
    changes: &[Change],
) -> Result<Files, LandingError> {
    let head = fs::read_to_string(checkout.git_dir.join("HEAD")).unwrap_or_default();
    let lock = index_lock(checkout);
    let lock = match lock.symlink_metadata() {
        Err(_) => LockIs::Free,
        Ok(found) if found.is_file() && found.len() == 0 && !is_used(&[&lock]) => LockIs::Left,
        Ok(_) => LockIs::Held,
    };
    let (from, to) = record.way();
    let in_index = |commit| -> Result<bool, GitError> {
        let other = differing(git, true, commit)?;
        Ok(changes.iter().any(|change| other.contains(&change.path)))
    };
    let index = match (in_index(from)?, in_index(to)?) {
        (false, _) => Index::From,
        (_, false) => Index::To,
        _ => Index::Neither,
    };
    let dirty = differing(git, false, "HEAD")?;
    let ids = cleaned(git, checkout, changes)?;
    let sparse = not_wanted(git)?;
    let mut paths = Vec::new();
    for (change, id) in changes.iter().zip(ids) {
        let path = checkout.path.join(&change.path);
        if change.has_mode(SUBMODULE) || sparse.contains(&change.path) && path.symlink_metadata().is_err() {
            continue;
        }
        let is = file_is(repository, &path, change, id.as_deref());
        paths.push((PathBuf::from(&change.path), is));
    }
    Ok(Files {
        on_target: head
            .strip_prefix("ref:")
            .is_some_and(|name| name.trim() == record.target_ref()),
        lock,
        index,
        dirty: (paths.iter())
            .filter(|(path, _)| dirty.contains(path.as_os_str()))
            .map(|(path, _)| path.clone())
            .collect(),
        paths,
    })
}

/// The paths that a sparse checkout leaves out.
fn not_wanted(git: &Git) -> Result<BTreeSet<OsString>, GitError> {
    let tagged = listed(git, &["ls-files", "-t", "-z"])?;
    let left_out = tagged.iter().filter_map(|line| line.as_bytes().strip_prefix(b"S "));
    Ok(left_out.map(|path| OsString::from_vec(path.to_vec())).collect())
}

/// What a file is; `cleaned` is its id as git would add it. Line ends that git would change only when it adds the file
/// are those that it wrote.
fn file_is(repository: &Repository, path: &Path, change: &Change, cleaned: Option<&str>) -> FileIs {
    let found = match path.symlink_metadata() {
        Ok(found) if !found.is_dir() => Some(found),
        Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return FileIs::Other,
        // In the place of a file a directory has nothing of it.
        _ => None,
    };
    let ids = match &found {
        Some(found) if found.is_symlink() => {
            let to = fs::read_link(path).unwrap_or_default();
            [None, Oid::hash_object(ObjectType::Blob, to.as_os_str().as_bytes()).ok()]
        }
        Some(_) => [
            cleaned.and_then(|id| Oid::from_str(id).ok()),
            Oid::hash_file(ObjectType::Blob, path).ok(),
        ],
        None => [None, None],
    };
    let content_is = |entry: &Option<Entry>| {
        let entry = entry.as_ref();
        entry.is_some_and(|e| ids.iter().flatten().any(|id| id.to_string() == e.id))
    };
    let is = |entry: &Option<Entry>| match (entry, &found) {
        (None, None) => true,
        (Some(of_commit), Some(found)) => {
            let link = of_commit.mode == "120000";
            let executable = of_commit.mode == "100755";
            let mode_fits = link || executable == (found.permissions().mode() & 0o100 != 0);
            link == found.is_symlink() && mode_fits && content_is(entry)
        }
        _ => false,
    };
    match () {
        () if is(&change.from) => FileIs::From,
        () if is(&change.to) => FileIs::To,
        // git takes the old file away before it writes the new one.
        () if found.is_none() => FileIs::Begun,
        // The file system knows no links or nothing of what is executable, or the user has changed that.
        () if content_is(&change.from) => FileIs::From,
        () if content_is(&change.to) => FileIs::To,
        () if change.to.as_ref().is_some_and(|to| is_beginning(repository, path, to)) => FileIs::Begun,
        () => FileIs::Other,
    }
}

/// Whether a file has the beginning of what it was to have, and nothing else.
fn is_beginning(repository: &Repository, path: &Path, to: &Entry) -> bool {
    let blob = Oid::from_str(&to.id).and_then(|id| repository.find_blob(id));
    let is_file = path.symlink_metadata().is_ok_and(|m| m.is_file());
    is_file && blob.is_ok_and(|blob| fs::read(path).is_ok_and(|content| blob.content().starts_with(&content)))
}

/// Puts files back as they were. The index has never changed.
fn put_back(
    git: &Git,
    checkout: &Checkout,
    changes: &[Change],
    paths: &[PathBuf],
    seen: &Seen,
) -> Result<(), LandingError> {
    if seen.files.as_ref().is_some_and(|files| files.lock == LockIs::Left) {
        let lock = index_lock(checkout);
        fs::remove_file(&lock).map_err(LandingError::io("remove", &lock))?;
    }
    let meant = changes
        .iter()
        .filter(|change| paths.iter().any(|p| p.as_os_str() == change.path));
    let (old, new): (Vec<&Change>, Vec<&Change>) = meant.partition(|change| change.from.is_some());
    for change in new {
        let path = checkout.path.join(&change.path);
        match fs::remove_file(&path) {
            Err(e)
                if !matches!(
                    e.kind(),
                    ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory
                ) =>
            {
                return Err(LandingError::io("remove", &path)(e));
            }
            _ => {}
        }
        let above = path.ancestors().skip(1).take_while(|dir| *dir != checkout.path);
        // One that holds something else stays.
        for dir in above {
            if fs::remove_dir(dir).is_err() {
                break;
            }
        }
    }
    let names: Vec<u8> = old
        .iter()
        .flat_map(|change| [change.path.clone().into_vec(), vec![0]].concat())
        .collect();
    if !names.is_empty() {
        git.feed(&["checkout-index", "-f", "-u", "-q", "-z", "--stdin"], &names)?;
    }
    Ok(())
}
