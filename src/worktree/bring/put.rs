//! Puts files of the checkout into a worktree that has just been made, and nothing anywhere else.
//!
//! The commit may have links in the place of directories, and files in the place of others: so each path is opened
//! from the worktree downwards, a component at a time, and no link is followed. Nothing that is there is replaced.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, fchmod, mkdirat, open, openat, symlinkat, unlinkat};
use rustix::io::Errno;

/// What became of a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It is there now.
    Done,
    /// It is gone from the checkout, or cannot be read there: for this reason.
    Unreadable(String),
    /// It is no file, link or directory.
    Special,
    /// Something is in its place in the worktree, or in that of a directory above it.
    InTheWay,
}

/// Two directories, one to take from and one to put into.
pub(super) struct Way<'a> {
    from: &'a Path,
    root: OwnedFd,
    /// The directory of the path that was put last.
    last: Option<(PathBuf, OwnedFd)>,
}

impl<'a> Way<'a> {
    /// From the checkout `from` into the worktree `to`, which is no link.
    pub(super) fn new(from: &'a Path, to: &Path) -> io::Result<Self> {
        let root = open(to, DIRECTORY, Mode::empty())?;
        Ok(Self { from, root, last: None })
    }

    /// Copies a file with its mode, or a link as a link. An error means that the worktree could not be written.
    pub(super) fn copy(&mut self, path: &Path) -> io::Result<Put> {
        let source = self.from.join(path);
        let metadata = match source.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(e) => return Ok(Put::Unreadable(e.to_string())),
        };
        if metadata.is_symlink() {
            return match std::fs::read_link(&source) {
                Ok(target) => self.link(path, &target),
                Err(e) => Ok(Put::Unreadable(e.to_string())),
            };
        }
        if !metadata.is_file() {
            return Ok(Put::Special);
        }
        // Whatever is there by now: a pipe is not waited for, and a link not followed.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file = match open(&source, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(e) if is_shortage(e) => return Err(e.into()),
            Err(e) => return Ok(Put::Unreadable(io::Error::from(e).to_string())),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(Put::Special);
        }
        let Some((parent, name)) = self.parent(path)? else {
            return Ok(Put::InTheWay);
        };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut new = match openat(parent, name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(new) => File::from(new),
            Err(Errno::EXIST | Errno::ISDIR | Errno::LOOP) => return Ok(Put::InTheWay),
            Err(e) => return Err(e.into()),
        };
        // Shares the blocks where the file system can.
        if let Err(e) = io::copy(&mut file, &mut new) {
            // Whichever of the two it was: what cannot be read there is no reason not to begin.
            let unreadable = file.read(&mut [0]).err();
            unlinkat(parent, name, AtFlags::empty())?;
            return unreadable.map_or(Err(e), |e| Ok(Put::Unreadable(e.to_string())));
        }
        fchmod(&new, Mode::from_raw_mode(metadata.permissions().mode() & 0o777))?;
        Ok(Put::Done)
    }

    /// Makes a link at `path` to `target`. An error means that the worktree could not be written.
    pub(super) fn link(&mut self, path: &Path, target: &Path) -> io::Result<Put> {
        let Some((parent, name)) = self.parent(path)? else {
            return Ok(Put::InTheWay);
        };
        match symlinkat(target, parent, name) {
            Ok(()) => Ok(Put::Done),
            Err(Errno::EXIST) => Ok(Put::InTheWay),
            Err(e) => Err(e.into()),
        }
    }

    /// The directory that a path is in, made where it is missing, and the name in it; nothing where something else is.
    fn parent<'p>(&mut self, path: &'p Path) -> io::Result<Option<(&OwnedFd, &'p Path)>> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(None);
        };
        if parent.as_os_str().is_empty() {
            return Ok(Some((&self.root, Path::new(name))));
        }
        if self.last.as_ref().is_none_or(|(last, _)| last != parent) {
            let Some(opened) = self.opened(parent)? else {
                return Ok(None);
            };
            self.last = Some((parent.to_owned(), opened));
        }
        Ok(self.last.as_ref().map(|(_, opened)| (opened, Path::new(name))))
    }

    fn opened(&self, dir: &Path) -> io::Result<Option<OwnedFd>> {
        let mut at: Option<OwnedFd> = None;
        let mut source = self.from.to_owned();
        for component in dir.components() {
            let name = component.as_os_str();
            source.push(name);
            let above = at.as_ref().unwrap_or(&self.root);
            let inner = match openat(above, name, DIRECTORY, Mode::empty()) {
                Err(Errno::NOENT) => {
                    let mode = source.metadata().map_or(0o755, |m| m.mode());
                    mkdirat(above, name, Mode::from_raw_mode(mode & 0o777 | 0o700))?;
                    openat(above, name, DIRECTORY, Mode::empty())
                }
                other => other,
            };
            at = match inner {
                Ok(inner) => Some(inner),
                Err(Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                Err(e) => return Err(e.into()),
            };
        }
        Ok(at)
    }
}

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn is_shortage(e: Errno) -> bool {
    matches!(e, Errno::MFILE | Errno::NFILE | Errno::NOMEM)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn two() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("a/b")).unwrap();
        fs::create_dir(&to).unwrap();
        (dir, from, to)
    }

    #[test]
    fn files_come_with_their_modes_and_links_as_links() {
        let (_dir, from, to) = two();
        fs::write(from.join("a/b/run"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(from.join("a/b/run"), fs::Permissions::from_mode(0o4750)).unwrap();
        fs::set_permissions(from.join("a"), fs::Permissions::from_mode(0o710)).unwrap();
        symlink("/nowhere", from.join("a/link")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            from.join("pipe"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR,
            0,
        )
        .unwrap();
        let mut way = Way::new(&from, &to).unwrap();
        let mut copy = |path: &str| way.copy(Path::new(path)).unwrap();
        assert_eq!((copy("a/b/run"), copy("a/link")), (Put::Done, Put::Done));
        assert_eq!(copy("pipe"), Put::Special);
        assert!(matches!(copy("gone"), Put::Unreadable(_)));
        let mode = |path: &str| to.join(path).metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("a/b/run"), mode("a")), (0o750, 0o710));
        assert_eq!(fs::read_to_string(to.join("a/b/run")).unwrap(), "#!/bin/sh\n");
        assert_eq!(fs::read_link(to.join("a/link")).unwrap(), Path::new("/nowhere"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_can_be_opened_and_not_read_leaves_nothing_and_is_told() {
        let (_dir, _, to) = two();
        // Nothing is at the beginning of a process's memory.
        let mut way = Way::new(Path::new("/proc/self"), &to).unwrap();
        let put = way.copy(Path::new("mem")).unwrap();
        assert!(matches!(put, Put::Unreadable(_)), "{put:?}");
        assert_eq!(fs::read_dir(&to).unwrap().count(), 0);
    }

    #[test]
    fn nothing_is_replaced_and_nothing_leaves_the_worktree() {
        let (dir, from, to) = two();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        for path in ["a/b/x", "a/y", "file", "dangling"] {
            fs::write(from.join(path), "of the user").unwrap();
        }
        symlink(&outside, to.join("a")).unwrap();
        fs::write(to.join("file"), "of the commit").unwrap();
        symlink(outside.join("made"), to.join("dangling")).unwrap();
        let mut way = Way::new(&from, &to).unwrap();
        for path in ["a/b/x", "a/y", "file", "dangling", "file/below"] {
            fs::create_dir_all(from.join("file-dir")).unwrap();
            let put = way.copy(Path::new(path)).unwrap();
            assert!(matches!(put, Put::InTheWay | Put::Unreadable(_)), "{path}: {put:?}");
        }
        assert_eq!(way.link(Path::new("a/z"), &from).unwrap(), Put::InTheWay);
        assert_eq!(way.link(Path::new("file"), &from).unwrap(), Put::InTheWay);
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        assert_eq!(fs::read_to_string(to.join("file")).unwrap(), "of the commit");
    }
}
