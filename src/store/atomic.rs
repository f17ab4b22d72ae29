//! Replace a file so that a reader sees the old content or the new one, never a part of either.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use serde::Serialize;

use super::failpoint;
use super::paths::HALF_MADE_PREFIX;

/// Whether the new content has to outlive a power failure once the call has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// File and directory are fsynced.
    Synced,
    /// Only atomic. For files that are derived from others, or that change twice a second.
    Fast,
}

/// Makes a directory and its missing parents with mode 0700; one that exists is left as it is.
pub fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a directory for what a user's programs share if it is not there; one that others may write to is refused.
pub fn own_dir(path: &Path) -> io::Result<()> {
    private_dir(path)?;
    let metadata = path.symlink_metadata()?;
    let ours = metadata.is_dir()
        && metadata.uid() == rustix::process::geteuid().as_raw()
        && metadata.permissions().mode() & 0o022 == 0;
    if ours {
        return Ok(());
    }
    let name = path.display();
    Err(io::Error::other(format!(
        "{name} is not a directory that only you may write to"
    )))
}

/// Makes the names in a directory durable.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    failpoint::passed("fsync");
    File::open(path)?.sync_all()
}

/// Replaces `path` by `content` with mode 0600, through a temporary file beside it.
pub fn write(path: &Path, content: &[u8], durability: Durability) -> io::Result<()> {
    let dir = path
        .parent()
        .ok_or_else(|| io::Error::other("a path without a directory"))?;
    let mut file = tempfile::Builder::new().prefix(HALF_MADE_PREFIX).tempfile_in(dir)?;
    file.write_all(content)?;
    if durability == Durability::Synced {
        failpoint::passed("fsync");
        file.as_file().sync_all()?;
    }
    failpoint::passed("rename");
    file.persist(path).map_err(|e| e.error)?;
    if durability == Durability::Synced {
        sync_dir(dir)?;
    }
    Ok(())
}

/// [`write`] of a value as JSON with a final newline.
pub fn write_json<T: Serialize>(path: &Path, value: &T, durability: Durability) -> io::Result<()> {
    let mut text = serde_json::to_vec(value)?;
    text.push(b'\n');
    write(path, &text, durability)
}

/// Gives a file a second name, replacing what had that name before; a copy where the file system has no links.
pub fn publish(from: &Path, to: &Path) -> io::Result<()> {
    put(to, |half| match std::fs::hard_link(from, half) {
        Err(_) => std::fs::copy(from, half).map(drop),
        linked => linked,
    })
}

/// Makes a copy of a file, with its mode, in the place of what is there. It is the user's: what is done to it is not done
/// to the original.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    put(to, |half| std::fs::copy(from, half).map(drop))
}

/// Makes a file beside its place, and puts it there.
fn put(to: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let dir = to
        .parent()
        .ok_or_else(|| io::Error::other("a path without a directory"))?;
    let half = dir.join(format!("{HALF_MADE_PREFIX}{}", uuid::Uuid::new_v4()));
    let done = make(&half).and_then(|()| {
        failpoint::passed("rename");
        std::fs::rename(&half, to)
    });
    // A rename onto another name of the same file does nothing, and leaves this one.
    match std::fs::remove_file(&half) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => done.and(Err(e)),
        _ => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    // Fault 51: files are private.
    #[test]
    fn replaces_with_private_mode_and_leaves_no_other_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write_json(&path, &[1, 2], Durability::Synced).unwrap();
        write_json(&path, &[3], Durability::Fast).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "[3]\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_put_in_its_place_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::write(&from, "x").unwrap();
        std::fs::create_dir(&to).unwrap();
        for put in [publish, copy] {
            assert!(put(&from, &to).is_err());
            assert!(put(&dir.path().join("none"), &dir.path().join("new")).is_err());
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
        }
    }

    // Fault 51: directories are private.
    #[test]
    fn directories_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        private_dir(&path).unwrap();
        private_dir(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
