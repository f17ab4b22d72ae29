//! The log of a session: a line for each event of the journal, in `session.log` and in the directory that the user wants
//! logs in.
//!
//! It follows from the journal, and is never relied on: a supervisor that takes over counts the lines that are there and
//! writes those that are missing, and what cannot be written now is written with what comes next.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::session::{Event, Follower, SessionSpec, log_line};
use crate::store::paths::SessionPaths;

/// All files that have the log.
pub(super) struct SessionLog {
    files: Vec<OneLog>,
}

/// One of them.
struct OneLog {
    path: PathBuf,
    /// Of a new one: the user's own files have that of any other.
    mode: u32,
    /// None until it could be opened.
    file: Option<File>,
    /// What is still to be written.
    missing: Vec<u8>,
    /// Whether it was said that it cannot be written.
    is_said: bool,
}

impl SessionLog {
    /// Brings the files up to what the journal has.
    pub(super) fn open(paths: &SessionPaths, spec: &SessionSpec) -> Self {
        let copy = spec.options.log_dir.as_ref();
        let copy = copy.map(|dir| dir.join(format!("{}.log", spec.session_id)));
        let mut files = Vec::new();
        for (path, mode) in [(paths.session_log(), 0o600)]
            .into_iter()
            .chain(copy.map(|path| (path, 0o666)))
        {
            let mut one = OneLog {
                path,
                mode,
                file: None,
                missing: Vec::new(),
                is_said: false,
            };
            // Whoever cannot read the journal says so elsewhere.
            let past = Follower::open(paths)
                .and_then(|mut follower| follower.poll())
                .unwrap_or_default();
            match open(&one.path, one.mode) {
                Ok((file, lines)) => {
                    one.file = Some(file);
                    one.add(past.get(lines..).unwrap_or_default());
                }
                Err(_) => one.add(&past),
            }
            files.push(one);
        }
        Self { files }
    }

    /// Adds these events, which are durable. Gives what the user should know.
    pub(super) fn append(&mut self, events: &[Event]) -> Vec<String> {
        let mut problems = Vec::new();
        for one in &mut self.files {
            one.add(events);
            if let Err(e) = one.write()
                && !std::mem::replace(&mut one.is_said, true)
            {
                problems.push(format!("the log {} cannot be written: {e}", one.path.display()));
            }
        }
        problems
    }
}

impl OneLog {
    fn add(&mut self, events: &[Event]) {
        for event in events {
            self.missing.extend_from_slice(log_line(event).as_bytes());
            self.missing.push(b'\n');
        }
    }

    fn write(&mut self) -> io::Result<()> {
        if self.missing.is_empty() {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let (file, lines) = open(&self.path, self.mode)?;
                // All of the log was missing while it could not be opened. Some of it is from a supervisor before.
                let there = self.missing.split_inclusive(|&b| b == b'\n').take(lines);
                let there: usize = there.map(<[u8]>::len).sum();
                self.missing.drain(..there);
                none.insert(file)
            }
        };
        while !self.missing.is_empty() {
            let written = file.write(&self.missing)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.missing.drain(..written);
        }
        self.is_said = false;
        Ok(())
    }
}

/// Opens a log at its end, and counts its lines. A torn last line is cut off.
fn open(path: &Path, mode: u32) -> io::Result<(File, usize)> {
    let mut options = OpenOptions::new();
    let file = options.read(true).append(true).create(true).mode(mode).open(path)?;
    let (mut lines, mut whole, mut line) = (0, 0, Vec::new());
    let mut reader = BufReader::new(&file);
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)? as u64;
        if length == 0 || !line.ends_with(b"\n") {
            break;
        }
        (lines, whole) = (lines + 1, whole + length);
    }
    if file.metadata()?.len() > whole && file.metadata()?.is_file() {
        file.set_len(whole)?;
    }
    Ok((file, lines))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::session::fixture::{spec, success};
    use crate::store::atomic::{self, Durability};
    use crate::store::journal::JournalWriter;

    #[test]
    fn a_log_is_continued_without_a_line_missing_or_doubled_wherever_it_was_cut() {
        let dir = tempfile::tempdir().unwrap();
        let paths = SessionPaths::new(dir.path());
        let mut spec = spec(&["a"]);
        spec.options.log_dir = Some(dir.path().join("logs"));
        let events: Vec<Event> = (success("a").into_iter().zip(1..))
            .map(|(kind, at_ms)| Event { at_ms, kind })
            .collect();
        atomic::write_json(&paths.spec(), &spec, Durability::Fast).unwrap();
        JournalWriter::create(&paths.journal()).unwrap();
        JournalWriter::open(&paths.journal())
            .unwrap()
            .0
            .append(&events[..3])
            .unwrap();
        // It cannot be written there yet, which is said once.
        let mut log = SessionLog::open(&paths, &spec);
        assert_eq!(log.append(&events[3..4]).len(), 1);
        assert!(log.append(&[]).is_empty());
        fs::create_dir(dir.path().join("logs")).unwrap();
        assert!(log.append(&events[4..]).is_empty());
        let copy = dir.path().join(format!("logs/{}.log", spec.session_id));
        let whole: String = events.iter().map(|event| log_line(event) + "\n").collect();
        assert_eq!(fs::read_to_string(&copy).unwrap(), whole);
        let (mut journal, _) = JournalWriter::open(&paths.journal()).unwrap();
        journal.append(&events[3..]).unwrap();
        for cut in 0..=whole.len() {
            fs::write(paths.session_log(), &whole[..cut]).unwrap();
            assert!(SessionLog::open(&paths, &spec).append(&[]).is_empty());
            assert_eq!(fs::read_to_string(paths.session_log()).unwrap(), whole, "{cut}");
        }
        assert_eq!(fs::read_to_string(&copy).unwrap(), whole);
        // It could not be opened when another supervisor took over.
        let (logs, away) = (dir.path().join("logs"), dir.path().join("away"));
        for cut in [0, whole.len() / 2, whole.len()] {
            fs::write(&copy, &whole[..cut]).unwrap();
            fs::rename(&logs, &away).unwrap();
            let mut log = SessionLog::open(&paths, &spec);
            assert_eq!(log.append(&[]).len(), 1);
            fs::rename(&away, &logs).unwrap();
            assert!(log.append(&[]).is_empty());
            assert_eq!(fs::read_to_string(&copy).unwrap(), whole, "{cut}");
        }
    }
}
