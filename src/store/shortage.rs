//! What the machine is short of, when that is why something failed: it comes back, so the work waits instead of failing.
//!
//! The one place where errors are told apart by that. The number that the system gave is looked for along the whole
//! chain of causes; where only a text is left (libgit2, the git program) its end is compared with the system's words.
//! git does not always say why a file could not be written: then the disk itself is asked.

use std::error::Error;
use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::statvfs;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use serde::{Deserialize, Serialize};

/// Something that there is not enough of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shortage {
    /// Room on a disk, or in a quota.
    Disk,
    /// Open files, of a process or of the system.
    Files,
    /// Processes and threads.
    Processes,
    /// Memory.
    Memory,
}

/// What the system calls it.
const KNOWN: [(Errno, &str, Shortage); 7] = [
    (Errno::NOSPC, "No space left on device", Shortage::Disk),
    (Errno::DQUOT, "Disk quota exceeded", Shortage::Disk),
    (Errno::MFILE, "Too many open files", Shortage::Files),
    (Errno::NFILE, "Too many open files in system", Shortage::Files),
    (Errno::AGAIN, "Resource temporarily unavailable", Shortage::Processes),
    (Errno::NOMEM, "Cannot allocate memory", Shortage::Memory),
    (Errno::NOMEM, "Out of memory", Shortage::Memory),
];

/// With less than this a disk counts as full: not even one more object and its directories can be written.
const NOTHING: u64 = 64 << 10;

impl Shortage {
    /// What an error comes from, if it is a shortage.
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            let known = |e: &io::Error| e.raw_os_error().map(Self::of_code);
            if let Some(known) = error.downcast_ref::<io::Error>().and_then(known) {
                return known;
            }
            cause = error.source();
        }
        Self::of_text(&error.to_string())
    }

    fn of_code(code: i32) -> Option<Self> {
        let found = KNOWN.iter().find(|(errno, ..)| errno.raw_os_error() == code);
        found.map(|(.., shortage)| *shortage)
    }

    /// By the words at the end of a part of a message. Not anywhere in it: a path may say anything.
    fn of_text(text: &str) -> Option<Self> {
        let parts = text.lines().flat_map(|line| line.split("; "));
        let said = parts.map(|part| match part.rsplit_once(" (os error ") {
            Some((before, _)) => before,
            None => part.trim_end_matches(['.', ' ']),
        });
        let known = |part: &str| {
            let by_words =
                |(_, words, _): &&(Errno, &str, Self)| part == *words || part.ends_with(&format!(": {words}"));
            KNOWN.iter().find(by_words).map(|(.., shortage)| *shortage)
        };
        said.filter_map(known).next()
    }

    /// [`Shortage::of`], and where the error does not say, whether the disk that was written to is full, or hardly a file
    /// more can be opened: libgit2 takes one that it cannot open for one that is not there.
    pub fn behind(error: &(dyn Error + 'static), written: &[&Path]) -> Option<Self> {
        let full = || written.iter().any(|path| is_full(path)).then_some(Self::Disk);
        let few = || free_files().is_some_and(|n| n < FILES_OF_ONE).then_some(Self::Files);
        Self::of(error).or_else(full).or_else(few)
    }

    /// In words, after "waits for".
    pub fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Files => "open files",
            Self::Processes => "processes",
            Self::Memory => "memory",
        }
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Disk, Self::Files, Self::Processes, Self::Memory];
        all.into_iter().find(|shortage| shortage.name() == name)
    }
}

/// How many files one task may have open in this process while it is prepared or settled.
pub const FILES_OF_ONE: u64 = 16;

/// How many more files this process can open; `None` without a limit, or where that cannot be counted.
pub fn free_files() -> Option<u64> {
    let most = getrlimit(Resource::Nofile).current?;
    let open = if cfg!(target_os = "linux") {
        "/proc/self/fd"
    } else {
        "/dev/fd"
    };
    match fs::read_dir(open) {
        // One of them is open only for this look.
        Ok(files) => Some((most + 1).saturating_sub(files.count() as u64)),
        Err(e) => Shortage::of(&e).map(|_| 0),
    }
}

/// Whether nothing more can be written where this path is, or would be.
fn is_full(path: &Path) -> bool {
    let there = path.ancestors().find(|p| p.is_dir());
    there.and_then(|dir| statvfs(dir).ok()).is_some_and(|disk| {
        let counted = disk.f_files > 0;
        disk.f_bavail.saturating_mul(disk.f_frsize) < NOTHING || (counted && disk.f_favail == 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outside")]
    struct Outside(#[source] io::Error);

    fn os(code: Errno) -> io::Error {
        code.into()
    }

    #[test]
    fn an_error_is_known_by_its_number_wherever_it_stands() {
        for (code, shortage) in [
            (Errno::NOSPC, Some(Shortage::Disk)),
            (Errno::DQUOT, Some(Shortage::Disk)),
            (Errno::MFILE, Some(Shortage::Files)),
            (Errno::NFILE, Some(Shortage::Files)),
            (Errno::AGAIN, Some(Shortage::Processes)),
            (Errno::NOMEM, Some(Shortage::Memory)),
            (Errno::NOENT, None),
            (Errno::ACCESS, None),
            (Errno::IO, None),
        ] {
            assert_eq!(Shortage::of(&os(code)), shortage, "{code}");
            assert_eq!(Shortage::of(&Outside(os(code))), shortage, "{code}");
            // As somebody else wraps it: only the text is left.
            let named = io::Error::other(format!("/a/b: {}", os(code)));
            assert_eq!(Shortage::of(&named), shortage, "{named}");
        }
    }

    #[test]
    fn a_message_is_known_by_its_end_and_a_path_in_it_says_nothing() {
        for (text, shortage) in [
            (
                "git gc failed: fatal: write error: No space left on device",
                Some(Shortage::Disk),
            ),
            (
                "a; error: cannot fork() for x: Resource temporarily unavailable; b",
                Some(Shortage::Processes),
            ),
            ("could not open '/x': Too many open files", Some(Shortage::Files)),
            ("fatal: cannot read 'No space left on device': No such file", None),
            ("fatal: bad No space left on device", None),
            ("", None),
        ] {
            assert_eq!(Shortage::of(&io::Error::other(text)), shortage, "{text}");
        }
    }

    #[test]
    fn every_name_is_known_again() {
        for shortage in [Shortage::Disk, Shortage::Files, Shortage::Processes, Shortage::Memory] {
            assert_eq!(Shortage::named(shortage.name()), Some(shortage));
        }
        assert_eq!(Shortage::named("ready"), None);
    }
}
