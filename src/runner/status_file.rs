//! The file in which a task says how far it is, for people and for programs that never exit.
//!
//! Anybody can put anything there: only the end of a regular file is read, never through a link, and nothing is waited
//! for. What an earlier attempt has written is put away first.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::agent::first_line;
use crate::store::atomic::private_dir;

/// So much of its end is looked at, in bytes.
const END: u64 = 64 << 10;
/// What a line has that says that the task is done.
const COMPLETED: &str = "COMPLETED:";

/// The status file of one attempt.
#[derive(Debug, Default)]
pub(super) struct StatusFile {
    path: Option<PathBuf>,
    line: Option<String>,
    completed: bool,
}

impl StatusFile {
    /// That of an attempt which is about to begin. What is there in its place goes to `put_away`. The directory that it
    /// is in is made.
    pub(super) fn begin(path: Option<&Path>, put_away: &Path) -> io::Result<Self> {
        if let Some(path) = path {
            if let Some(directory) = path.parent() {
                private_dir(directory)?;
            }
            // Where there is none, a move to another file system is an error all the same.
            if path.symlink_metadata().is_ok() {
                put_aside(path, put_away)?;
            }
        }
        Ok(Self {
            path: path.map(Path::to_owned),
            line: None,
            completed: false,
        })
    }

    /// Reads what is there now. What cannot be read says nothing new.
    pub(super) fn look(&mut self) {
        let Some(end) = self.path.as_deref().and_then(|path| end_of(path).ok()) else {
            return;
        };
        let text = String::from_utf8_lossy(&end);
        if let Some(line) = text.lines().rev().find(|line| !line.trim().is_empty()) {
            self.line = Some(first_line(line));
        }
        self.completed |= text.lines().any(|line| line.contains(COMPLETED));
    }

    /// Its last line, as far as it was seen; at most 200 characters.
    pub(super) fn line(&self) -> Option<&str> {
        self.line.as_deref()
    }

    /// Whether it was said that the task is done.
    pub(super) fn is_completed(&self) -> bool {
        self.completed
    }
}

/// Moves what an earlier attempt has left; beside it, under the name of this attempt, where `to` is on another file system.
fn put_aside(path: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(path, to) {
        Err(e) if e.kind() == io::ErrorKind::CrossesDevices => {
            let attempt = to.parent().and_then(Path::file_name).unwrap_or_default();
            let mut name = attempt.to_owned();
            name.push(".earlier");
            fs::rename(path, path.with_file_name(name))
        }
        other => other,
    }
}

/// The last lines of a regular file, from the beginning of one.
fn end_of(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let skipped = about.len().saturating_sub(END);
    file.seek(SeekFrom::Start(skipped))?;
    let mut end = Vec::new();
    file.take(END).read_to_end(&mut end)?;
    if skipped > 0 {
        // The first line may have lost its beginning.
        let line = end.iter().position(|&b| b == b'\n').map_or(0, |newline| newline + 1);
        end.drain(..line);
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::symlink;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("a.status")
        }

        fn begin(&self) -> StatusFile {
            StatusFile::begin(Some(&self.path()), &self.0.path().join("earlier")).unwrap()
        }
    }

    fn seen(file: &mut StatusFile) -> (Option<&str>, bool) {
        file.look();
        (file.line(), file.is_completed())
    }

    #[test]
    fn the_last_line_that_says_something_counts_and_what_is_done_stays_done() {
        let place = Place::new();
        let mut file = place.begin();
        assert_eq!(seen(&mut file), (None, false));
        for (text, line, completed) in [
            ("", None, false),
            ("one\n", Some("one"), false),
            ("one\n  two \n\n", Some("two"), false),
            ("half of\na line", Some("a line"), false),
            ("COMPLETED\n", Some("COMPLETED"), false),
            ("x COMPLETED: all\nbye\n", Some("bye"), true),
            ("begins anew", Some("begins anew"), true),
            ("", Some("begins anew"), true),
        ] {
            fs::write(place.path(), text).unwrap();
            assert_eq!(seen(&mut file), (line, completed), "{text:?}");
        }
        fs::remove_file(place.path()).unwrap();
        assert_eq!(seen(&mut file), (Some("begins anew"), true));
    }

    #[test]
    fn what_an_earlier_attempt_wrote_is_put_away() {
        let place = Place::new();
        fs::write(place.path(), "COMPLETED: the first time").unwrap();
        let mut file = place.begin();
        assert_eq!(seen(&mut file), (None, false));
        let kept = fs::read_to_string(place.0.path().join("earlier")).unwrap();
        assert_eq!(kept, "COMPLETED: the first time");
        // A directory, too.
        fs::create_dir(place.path()).unwrap();
        fs::remove_file(place.0.path().join("earlier")).unwrap();
        assert_eq!(seen(&mut place.begin()), (None, false));
        assert!(!place.path().exists());
    }

    #[test]
    fn whatever_is_put_in_its_place_neither_holds_up_nor_misleads() {
        let place = Place::new();
        let mut file = place.begin();
        let secret = place.0.path().join("secret");
        fs::write(&secret, "COMPLETED: elsewhere\n").unwrap();
        symlink(&secret, place.path()).unwrap();
        assert_eq!(seen(&mut file), (None, false));
        fs::remove_file(place.path()).unwrap();
        let fifo = std::process::Command::new("mkfifo").arg(place.path()).status().unwrap();
        assert!(fifo.success());
        assert_eq!(seen(&mut file), (None, false));
        fs::remove_file(place.path()).unwrap();
        fs::create_dir(place.path()).unwrap();
        assert_eq!(seen(&mut file), (None, false));
        fs::remove_dir(place.path()).unwrap();
        // Ten gigabytes of holes, and a line of which the beginning is too far away.
        File::create(place.path()).unwrap().set_len(10 << 30).unwrap();
        let mut end = OpenOptions::new().append(true).open(place.path()).unwrap();
        io::Write::write_all(&mut end, b"\nnearly there\n").unwrap();
        assert_eq!(seen(&mut file), (Some("nearly there"), false));
        let long = format!("COMPLETED: {}", "x".repeat(10_000));
        fs::write(place.path(), long).unwrap();
        file.look();
        assert!(file.is_completed() && file.line().unwrap().chars().count() <= 201);
    }
}
