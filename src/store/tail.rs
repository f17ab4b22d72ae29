//! Reads a file while others append to it, put another in its place, or make it shorter.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

/// How much is read at once, in bytes.
const PIECE: usize = 64 << 10;

/// What has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'p> {
    /// The next bytes.
    Bytes(&'p [u8]),
    /// Another file is in its place: what comes now is from the beginning of that one.
    Replaced,
    /// The file is shorter than what was read of it: what comes now is from its beginning.
    Shrunk,
}

/// A file that is read bit by bit. It need not be there yet.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    offset: u64,
}

impl Tail {
    /// Before its beginning.
    pub fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    /// Whether there was a file so far.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Gives all that has come since the last call; ends early when `take` gives false. The answer is whether a file
    /// was opened.
    pub fn poll(&mut self, mut take: impl FnMut(Piece<'_>) -> io::Result<bool>) -> io::Result<bool> {
        let mut opened = false;
        loop {
            if let Some(open) = &mut self.open
                && !open.read(&mut take)?
            {
                return Ok(opened);
            }
            let file = match open_file(&self.path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(opened),
                other => other?,
            };
            if let Some(open) = &mut self.open {
                if is_same(&open.file, &file)? {
                    return Ok(opened);
                }
                // It may have grown after it was read, and before the other took its place.
                if !open.read(&mut take)? || !take(Piece::Replaced)? {
                    return Ok(opened);
                }
            }
            self.open = Some(Open { file, offset: 0 });
            opened = true;
        }
    }
}

/// Opens a file for reading. Whatever else may have been put in its place, such as a pipe, is not waited for.
pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.file_type() {
        kind if kind.is_dir() => Err(Errno::ISDIR.into()),
        kind if kind.is_file() => Ok(file),
        _ => Err(io::Error::other("it is no regular file")),
    }
}

impl Open {
    /// Gives what there is; false when `take` does not want more.
    fn read(&mut self, take: &mut impl FnMut(Piece<'_>) -> io::Result<bool>) -> io::Result<bool> {
        if self.file.metadata()?.len() < self.offset {
            self.file.seek(SeekFrom::Start(0))?;
            self.offset = 0;
            if !take(Piece::Shrunk)? {
                return Ok(false);
            }
        }
        let mut buffer = vec![0; PIECE];
        loop {
            match self.file.read(&mut buffer) {
                Ok(0) => return Ok(true),
                Ok(length) => {
                    self.offset += length as u64;
                    if !take(Piece::Bytes(&buffer[..length]))? {
                        return Ok(false);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

fn is_same(one: &File, other: &File) -> io::Result<bool> {
    let (one, other) = (one.metadata()?, other.metadata()?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    fn poll(tail: &mut Tail) -> String {
        let mut seen = String::new();
        tail.poll(|piece| {
            match piece {
                Piece::Bytes(bytes) => seen.push_str(&String::from_utf8_lossy(bytes)),
                Piece::Replaced => seen.push_str("<replaced>"),
                Piece::Shrunk => seen.push_str("<shrunk>"),
            }
            Ok(true)
        })
        .unwrap();
        seen
    }

    #[test]
    fn a_file_that_comes_grows_is_replaced_and_shrinks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut tail = Tail::new(path.clone());
        assert_eq!((poll(&mut tail).as_str(), tail.is_open()), ("", false));
        fs::write(&path, "one ").unwrap();
        assert_eq!((poll(&mut tail).as_str(), tail.is_open()), ("one ", true));
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"two").unwrap();
        assert_eq!(poll(&mut tail), "two");
        assert_eq!(poll(&mut tail), "");
        let other = dir.path().join("other");
        fs::write(&other, "three").unwrap();
        file.write_all(b" end").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(poll(&mut tail), " end<replaced>three");
        fs::write(&path, "4").unwrap();
        assert_eq!(poll(&mut tail), "<shrunk>4");
        fs::remove_file(&path).unwrap();
        assert_eq!(poll(&mut tail), "");
    }

    #[test]
    fn nothing_more_is_read_than_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, vec![b'x'; 3 * PIECE]).unwrap();
        let mut tail = Tail::new(path);
        let mut pieces = 0;
        tail.poll(|_| {
            pieces += 1;
            Ok(false)
        })
        .unwrap();
        assert_eq!(pieces, 1);
    }
}
