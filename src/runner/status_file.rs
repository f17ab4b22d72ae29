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

/// So much of its end is looked at, in bytes: a line that says that the task is done may have a long answer behind it.
const END: u64 = 1 << 20;
/// What a line has that says that the task is done.
const COMPLETED: &str = "COMPLETED:";

/// The status file of one attempt.
#[derive(Debug, Default)]
pub(super) struct StatusFile {
    path: Option<PathBuf>,
    line: Option<String>,
    completed: bool,
    answer: Option<String>,
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
                put_aside(path, put_away, |from, to| fs::rename(from, to))?;
            }
        }
        Ok(Self {
            path: path.map(Path::to_owned),
            ..Self::default()
        })
    }

    /// The agent is about to begin. That the task is done nobody can have said before: a file with such a line, of a
    /// command before the agent or of another task, goes to `put_away`.
    pub(super) fn agent_begins(&self, put_away: &Path) -> io::Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let is_said = |end: Vec<u8>| String::from_utf8_lossy(&end).contains(COMPLETED);
        match end_of(path).is_ok_and(is_said) {
            true => put_aside(path, put_away, |from, to| fs::rename(from, to)),
            false => Ok(()),
        }
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
        if let Some((_, answer)) = text.rsplit_once(COMPLETED) {
            self.completed = true;
            let answer = answer.trim();
            if !answer.is_empty() {
                self.answer = Some(answer.to_owned());
            }
        }
    }

    /// Its last line, as far as it was seen; at most 200 characters.
    pub(super) fn line(&self) -> Option<&str> {
        self.line.as_deref()
    }

    /// Whether it was said that the task is done.
    pub(super) fn is_completed(&self) -> bool {
        self.completed
    }

    /// What it was said to have come to: the text behind the last `COMPLETED:` that was seen with any, with the lines
    /// that follow.
    pub(super) fn answer(&self) -> Option<&str> {
        self.answer.as_deref()
    }
}

/// Moves what an earlier attempt has left; beside it, under the name of this attempt, where `to` is on another file system.
fn put_aside(path: &Path, to: &Path, rename: impl Fn(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
    match rename(path, to) {
        Err(e) if e.kind() == io::ErrorKind::CrossesDevices => {
            let attempt = to.parent().and_then(Path::file_name).unwrap_or_default();
            let mut name = attempt.to_owned();
            name.push(".");
            name.push(to.file_stem().unwrap_or_default());
            rename(path, &path.with_file_name(name))
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
    fn what_an_earlier_attempt_wrote_on_another_file_system_is_put_beside() {
        let place = Place::new();
        let (attempts, shared) = (place.0.path().join("attempts/a.2"), place.0.path().join("shared"));
        let (status, earlier) = (shared.join("a.status"), attempts.join("earlier.status"));
        for directory in [&attempts, &shared] {
            fs::create_dir_all(directory).unwrap();
        }
        fs::write(&status, "COMPLETED: the first time").unwrap();
        // As the system does it when each directory is a file system of its own.
        let rename = |from: &Path, to: &Path| match from.parent() == to.parent() {
            true => fs::rename(from, to),
            false => Err(rustix::io::Errno::XDEV.into()),
        };
        put_aside(&status, &earlier, rename).unwrap();
        let kept = fs::read_to_string(shared.join("a.2.earlier")).unwrap();
        assert_eq!(kept, "COMPLETED: the first time");
        assert!(!status.exists() && !earlier.exists());
        // Whatever else is wrong is no reason to put it elsewhere.
        fs::write(&status, "again").unwrap();
        let refused = put_aside(&status, &earlier, |_, _| Err(rustix::io::Errno::ACCESS.into()));
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(fs::read_to_string(&status).unwrap(), "again");
    }

    #[test]
    fn what_stands_behind_it_is_the_answer_with_the_lines_that_follow() {
        let long = "x ".repeat(200_000);
        let completed = format!("COMPLETED: {long}");
        for (texts, answer) in [
            (&["working\n"][..], None),
            (&["COMPLETED: all of it\r\n"], Some("all of it")),
            (&["* COMPLETED:all\n"], Some("all")),
            (&["COMPLETED:\n", "COMPLETED: \n\n"], None),
            (&["COMPLETED: two files\n\n- a\n- b\n\n"], Some("two files\n\n- a\n- b")),
            (&["COMPLETED:\n- a\n- b\n"], Some("- a\n- b")),
            // Nothing else has a meaning of its own.
            (&["FAILED: no\nCOMPLETED: yes\nFAILED: b"], Some("yes\nFAILED: b")),
            (&["FAILED: no\n"], None),
            (&["COMPLETED: one\nCOMPLETED: two\n"], Some("two")),
            // The file is read anew each time; what was said stays said.
            (&["COMPLETED: ha", "COMPLETED: half and whole"], Some("half and whole")),
            (&["COMPLETED: one", "", "begins anew"], Some("one")),
            (&["COMPLETED: one", "COMPLETED:"], Some("one")),
            (&["COMPLETED: one", "COMPLETED: two"], Some("two")),
            (&[&completed], Some(long.trim())),
        ] {
            let place = Place::new();
            let mut file = place.begin();
            for text in texts {
                // Another file each time, as some editors write one.
                fs::write(place.0.path().join("new"), text).unwrap();
                fs::rename(place.0.path().join("new"), place.path()).unwrap();
                file.look();
            }
            let is_completed = texts.iter().any(|text| text.contains(COMPLETED));
            assert_eq!(
                (file.answer(), file.is_completed()),
                (answer, is_completed),
                "{texts:?}"
            );
        }
        let place = Place::new();
        let mut file = place.begin();
        fs::write(place.path(), b"\xff\xfe\nCOMPLETED: caf\xe9").unwrap();
        file.look();
        assert_eq!(file.answer(), Some("caf\u{fffd}"));
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
