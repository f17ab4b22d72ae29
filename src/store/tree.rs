//! Removes a directory with all in it, whatever an agent made of it; and copies one.
//!
//! No link is followed. A directory that cannot be read or written is made so first. A tree of any depth is taken apart
//! level by level, by moving what is in a directory up to the root: paths and open files stay few. What was cut off in
//! the middle is a smaller tree, and can be removed again.

use std::cell::Cell;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, chmodat, fchmod, open, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use walkdir::WalkDir;

use super::{atomic, failpoint};

/// Removes what is at `path`: a directory with all in it, or anything else by itself. What is not there is removed
/// already.
pub fn remove(path: &Path) -> io::Result<()> {
    let metadata = match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if !metadata.is_dir() {
        return std::fs::remove_file(path);
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other("it has no directory that it is in"));
    };
    let parent = open(parent, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let name = CString::new(name.as_bytes())?;
    let root = open_writable(parent.as_fd(), &name)?;
    let taken_apart = Apart {
        root,
        last: Cell::new(0),
    };
    let mut waiting = taken_apart.empty(None)?;
    while let Some(inner) = waiting.pop() {
        waiting.extend(taken_apart.empty(Some(&inner))?);
        gone(unlinkat(&taken_apart.root, inner.as_c_str(), AtFlags::REMOVEDIR))?;
    }
    Ok(gone(unlinkat(&parent, name.as_c_str(), AtFlags::REMOVEDIR))?)
}

/// Copies a directory to `to`, which is not there: directories, files and links, each on the disk when it is done. What is
/// none of these is left out: whoever opened a pipe would wait.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut made = Vec::new();
    for entry in WalkDir::new(from).follow_root_links(false) {
        let entry = entry?;
        let kind = entry.file_type();
        let new = match entry.path().strip_prefix(from) {
            Ok(relative) if relative.as_os_str().is_empty() => to.to_owned(),
            Ok(relative) => to.join(relative),
            Err(e) => return Err(io::Error::other(e)),
        };
        if kind.is_dir() {
            std::fs::DirBuilder::new().mode(0o700).create(&new)?;
            made.push(new);
        } else if kind.is_symlink() {
            symlink(std::fs::read_link(entry.path())?, &new)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), &new)?;
            std::fs::File::open(&new)?.sync_all()?;
        }
    }
    made.iter().rev().try_for_each(|dir| atomic::sync_dir(dir))
}

/// A tree that is taken apart.
struct Apart {
    root: OwnedFd,
    /// The number of the last directory that was moved up.
    last: Cell<u64>,
}

impl Apart {
    /// Empties a directory in the root, or the root of all but directories. Gives the names that the directories have
    /// in the root.
    fn empty(&self, inner: Option<&CString>) -> rustix::io::Result<Vec<CString>> {
        let opened;
        let dir = match inner {
            None => self.root.as_fd(),
            Some(name) => {
                opened = open_writable(self.root.as_fd(), name)?;
                opened.as_fd()
            }
        };
        let mut names = Vec::new();
        for entry in Dir::read_from(dir)? {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
        }
        let mut directories = Vec::new();
        for name in names {
            let is_dir = match statat(dir, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode) == FileType::Directory,
                Err(Errno::NOENT) => continue,
                Err(e) => return Err(e),
            };
            match (is_dir, inner) {
                (false, _) => gone(unlinkat(dir, name.as_c_str(), AtFlags::empty()))?,
                (true, None) => directories.push(name),
                (true, Some(_)) => {
                    failpoint::passed("removing");
                    // A directory that is moved is written: its `..` is another.
                    drop(open_writable(dir, &name)?);
                    directories.push(self.move_up(dir, &name)?);
                }
            }
        }
        Ok(directories)
    }

    fn move_up(&self, dir: BorrowedFd<'_>, name: &CString) -> rustix::io::Result<CString> {
        loop {
            self.last.set(self.last.get() + 1);
            let new = number(self.last.get());
            match renameat(dir, name.as_c_str(), &self.root, new.as_c_str()) {
                Ok(()) => return Ok(new),
                // Something has that name already.
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                Err(e) => return Err(e),
            }
        }
    }
}

fn number(n: u64) -> CString {
    // Digits have no NUL in them.
    CString::new(format!("~{n}")).unwrap_or_default()
}

/// Opens a directory, and never a link to one, that can then be read and written.
fn open_writable(parent: BorrowedFd<'_>, name: &CString) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = match openat(parent, name.as_c_str(), flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            chmodat(parent, name.as_c_str(), Mode::RWXU, AtFlags::empty())?;
            openat(parent, name.as_c_str(), flags, Mode::empty())?
        }
        other => other?,
    };
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&dir)?.st_mode);
    if !mode.contains(Mode::RWXU) {
        fchmod(&dir, mode | Mode::RWXU)?;
    }
    Ok(dir)
}

fn gone(result: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_agents_make_is_removed_and_no_link_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, other) = (dir.path().join("tree"), dir.path().join("other"));
        fs::create_dir_all(tree.join("a/b/c")).unwrap();
        fs::create_dir_all(tree.join("x/b")).unwrap();
        fs::create_dir_all(tree.join("~1/in")).unwrap();
        fs::write(tree.join("~2"), "").unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("mine"), "mine").unwrap();
        symlink(&other, tree.join("a/link")).unwrap();
        symlink(other.join("mine"), tree.join("file-link")).unwrap();
        symlink(".", tree.join("a/b/circle")).unwrap();
        for (path, mode) in [("a/b/c", 0o000), ("a/b", 0o500), ("x", 0o100)] {
            fs::set_permissions(tree.join(path), Permissions::from_mode(mode)).unwrap();
        }
        remove(&tree).unwrap();
        assert!(fs::symlink_metadata(&tree).is_err());
        assert_eq!(fs::read_to_string(other.join("mine")).unwrap(), "mine");
        // What is a link itself goes, and not what it leads to.
        symlink(&other, &tree).unwrap();
        remove(&tree).unwrap();
        assert!(other.join("mine").exists() && fs::symlink_metadata(&tree).is_err());
        remove(&tree).unwrap();
    }

    #[test]
    fn a_tree_deeper_than_paths_are_long() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("tree");
        fs::create_dir(&root).unwrap();
        let mut at = open(&root, OFlags::DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&at, "deep", Mode::RWXU).unwrap();
            at = openat(&at, "deep", OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        drop(at);
        remove(&root).unwrap();
        assert!(!root.exists());
    }
}
