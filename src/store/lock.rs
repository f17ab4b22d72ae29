//! Locks between processes: `flock` on a file, held as long as the file stays open.
//!
//! The kernel drops such a lock when its holder ends, however it ends, so a held lock means a living holder. A lock
//! can be handed to a child process with the open file. They are taken in the order session, attempt, repository,
//! merge.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Serialize;

/// A held exclusive lock; dropping it (in every process that has it) lets go.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock, waiting for another holder to let go. The file is made when it is missing.
    pub fn acquire(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        file.lock()?;
        Ok(Self { file })
    }

    /// Takes the lock, or gives `None` when another process holds it.
    pub fn try_acquire(path: &Path) -> io::Result<Option<Self>> {
        Self::acquire_within(path, Duration::ZERO)
    }

    /// Takes the lock, or gives `None` when another process has held it all this time.
    pub fn acquire_within(path: &Path, patience: Duration) -> io::Result<Option<Self>> {
        const PAUSE: Duration = Duration::from_millis(10);
        let file = open(path)?;
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self { file })),
                Err(TryLockError::WouldBlock) if started.elapsed() < patience => sleep(PAUSE),
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(e)) => return Err(e),
            }
        }
    }

    /// Wraps a file whose lock was handed over by the process that took it.
    pub fn inherited(file: File) -> Self {
        Self { file }
    }

    /// The open file, to hand the lock to a child process.
    pub fn into_file(self) -> File {
        self.file
    }

    /// Writes down who holds it, instead of who did.
    pub fn write_holder(&self, holder: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_vec(holder)?;
        self.file.set_len(0)?;
        self.file.write_all_at(&text, 0)
    }

    /// The open file, to write down who holds the lock.
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// A lock that any number may hold together.
#[derive(Debug)]
pub struct SharedLock {
    file: File,
}

impl SharedLock {
    /// Takes it. Only who [looks](is_shared_held) at this moment is waited for.
    pub fn acquire(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        file.lock_shared()?;
        Ok(Self { file })
    }

    /// Wraps a file whose lock was handed over.
    pub fn inherited(file: File) -> Self {
        Self { file }
    }

    /// The open file, to hand the lock to a child process.
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// Whether anybody holds such a lock at `path`. Two who look at the same moment may take each other for a holder: whoever
/// waits looks again.
pub fn is_shared_held(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    match file.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

/// Whether some process holds the lock at `path`. A missing file is held by nobody.
pub fn is_held(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    // A shared lock, so that two who look at the same moment do not take each other for a holder.
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        assert!(!is_held(&path).unwrap());
        let lock = Lock::try_acquire(&path).unwrap().unwrap();
        assert!(is_held(&path).unwrap());
        assert!(Lock::try_acquire(&path).unwrap().is_none());
        drop(lock);
        assert!(!is_held(&path).unwrap());
    }

    #[test]
    fn several_hold_a_shared_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        assert!(!is_shared_held(&path).unwrap());
        let first = SharedLock::acquire(&path).unwrap();
        let second = SharedLock::acquire(&path).unwrap();
        drop(first);
        assert!(is_shared_held(&path).unwrap());
        drop(second);
        assert!(!is_shared_held(&path).unwrap());
    }
}
