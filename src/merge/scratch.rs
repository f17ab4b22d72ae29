//! A directory for objects that nobody keeps: in memory where there is room, since making many small files takes longer
//! than the merges that they come from. `TMPDIR` has the last word.
//!
//! It goes when it is dropped; what a killed plan has left there goes with the next.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::statvfs;
use rustix::process::geteuid;
use tempfile::TempDir;

use crate::store::lock::Lock;

/// Where Linux has a file system in memory.
const MEMORY: &str = "/dev/shm";
/// So much has to be free there, in bytes.
const ROOM: u64 = 256 << 20;
const PREFIX: &str = "pleach-plan-";
/// Held as long as the directory is in use.
const LOCK: &str = "lock";
/// No longer does it take from making a directory to having its lock.
const MADE: Duration = Duration::from_secs(60);

/// The directory.
pub(super) struct Scratch {
    directory: TempDir,
    _lock: Lock,
}

impl Scratch {
    pub(super) fn new() -> io::Result<Self> {
        let place = place(Path::new(MEMORY));
        sweep(&place);
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(place)?;
        let lock = Lock::acquire(&directory.path().join(LOCK))?;
        Ok(Self { directory, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Where the user wants temporary files, if that is said; else `memory`, if there is one with room.
fn place(memory: &Path) -> PathBuf {
    if std::env::var_os("TMPDIR").is_some_and(|dir| !dir.is_empty()) {
        return std::env::temp_dir();
    }
    let free = statvfs(memory).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    match free >= ROOM && tempfile::tempdir_in(memory).is_ok() {
        true => memory.to_owned(),
        false => std::env::temp_dir(),
    }
}

/// Removes what nobody uses any more. What cannot be looked at, or is another user's, is left alone.
fn sweep(place: &Path) {
    let me = geteuid().as_raw();
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    for directory in entries.filter(|e| e.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes())) {
        if !directory.metadata().is_ok_and(|m| m.is_dir() && m.uid() == me) {
            continue;
        }
        let lock = directory.path().join(LOCK);
        let made = fs::symlink_metadata(&lock).and_then(|m| m.modified());
        let is_old = made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > MADE));
        if is_old && let Ok(Some(_held)) = Lock::try_acquire(&lock) {
            // The next one tries again.
            let _ = fs::remove_dir_all(directory.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_uses_is_swept() {
        let place = tempfile::tempdir().unwrap();
        let make = |name: &str, lock: bool, old: bool| {
            let directory = place.path().join(name);
            fs::create_dir(&directory).unwrap();
            if lock {
                let file = fs::File::create(directory.join(LOCK)).unwrap();
                let age = if old { MADE * 2 } else { Duration::ZERO };
                let made = file.metadata().unwrap().modified().unwrap() - age;
                file.set_modified(made).unwrap();
            }
            directory
        };
        let left = make("pleach-plan-left", true, true);
        let used = make("pleach-plan-used", true, true);
        let _held = Lock::try_acquire(&used.join(LOCK)).unwrap().unwrap();
        let others = [
            used,
            make("pleach-plan-new", true, false),
            make("pleach-plan-bare", false, true),
            make("other", true, true),
        ];
        sweep(place.path());
        assert!(!left.exists());
        assert!(others.iter().all(|directory| directory.exists()), "{others:?}");
    }

    #[test]
    fn without_room_in_memory_it_is_where_temporary_files_are() {
        assert_eq!(place(Path::new("/proc")), std::env::temp_dir());
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().to_owned();
        assert!(path.is_dir());
        drop(scratch);
        assert!(!path.exists());
    }
}
