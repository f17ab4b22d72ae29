//! An append-only file of JSON lines: a header with the format's number, then one record a line.
//!
//! The writer is the holder of the session's lock. A reader takes whole lines only: a last line without its newline
//! is being written, or was torn by a crash, and is left out. Any other line that cannot be read is an error that
//! names its number; nothing here ever repairs or overwrites.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Shortage, failpoint};

/// The number of the format that this program writes and the highest that it reads.
pub const SCHEMA: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Header {
    schema: u32,
    version: String,
}

fn header() -> Header {
    Header {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").into(),
    }
}

/// Why a journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The journal.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A whole line is not a record.
    #[error("{}: line {line}, column {}: {}", path.display(), source.column(), without_place(source))]
    Line {
        /// The journal.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Written by another version of the program.
    #[error("{}: format {found} is not known: this pleach reads up to {SCHEMA}", path.display())]
    Schema {
        /// The journal.
        path: PathBuf,
        /// The number in its first line.
        found: u32,
    },
}

/// What is wrong, without the place: that names the line in the text that was parsed, which is always the first.
fn without_place(e: &serde_json::Error) -> String {
    let text = e.to_string();
    let place = format!(" at line {} column {}", e.line(), e.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

/// Why records were not appended. None of them is durable.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// There is no room: it may be tried again.
    #[error("{0}")]
    NoRoom(io::Error),
    /// It must not be tried again: what the system has dropped once it does not report a second time.
    #[error("{0}")]
    Broken(io::Error),
}

impl From<AppendError> for io::Error {
    fn from(e: AppendError) -> Self {
        match e {
            AppendError::NoRoom(e) | AppendError::Broken(e) => e,
        }
    }
}

/// What a journal is written to.
pub trait Medium {
    /// Adds to its end.
    fn add(&mut self, text: &[u8]) -> io::Result<()>;
    /// Waits until all of it is durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Takes back what is after `length`.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl Medium for File {
    fn add(&mut self, text: &[u8]) -> io::Result<()> {
        self.write_all(text)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// Appends records; one for each journal at a time.
#[derive(Debug)]
pub struct JournalWriter<M = File> {
    medium: M,
    /// Of what is durable.
    length: u64,
    /// Whether there may be something after that.
    is_longer: bool,
}

impl JournalWriter {
    /// Makes a journal with its header, durable but for the name in the directory.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        let mut line = serde_json::to_vec(&header())?;
        line.push(b'\n');
        file.write_all(&line)?;
        file.sync_data()?;
        Ok(Self::on(file, line.len() as u64))
    }

    /// Opens a journal to go on with it. A part of a line at its end, which a crash has torn, is cut off; whether there
    /// was one is the other part of the answer. The caller has read all whole lines.
    pub fn open(path: &Path) -> io::Result<(Self, bool)> {
        let mut file = OpenOptions::new().read(true).append(true).open(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let whole = text.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
        let torn = whole < text.len();
        if torn {
            file.set_len(whole as u64)?;
            file.sync_data()?;
        }
        let mut writer = Self::on(file, whole as u64);
        if whole == 0 {
            writer.append(&[header()])?;
        }
        Ok((writer, torn))
    }
}

impl<M: Medium> JournalWriter<M> {
    fn on(medium: M, length: u64) -> Self {
        Self {
            medium,
            length,
            is_longer: false,
        }
    }

    /// Appends the records and waits until they are durable. After an error none of them is in the file, or they are
    /// taken away before anything else comes there.
    pub fn append<T: Serialize>(&mut self, records: &[T]) -> Result<(), AppendError> {
        let mut text = Vec::new();
        for record in records {
            serde_json::to_writer(&mut text, record).map_err(|e| AppendError::Broken(e.into()))?;
            text.push(b'\n');
        }
        // A half line in the middle would make the whole journal unreadable.
        self.cut_back().map_err(sorted)?;
        self.is_longer = true;
        failpoint::passed("journal");
        let written = self.medium.add(&text).and_then(|()| {
            failpoint::passed("fsync");
            self.medium.sync()
        });
        if let Err(e) = written {
            // Also whole lines: what is not durable, nobody may read tomorrow and rely on. If that fails, the next
            // append begins with it; if there is none, they are lines that nothing was done about.
            let _ = self.cut_back();
            return Err(sorted(e));
        }
        self.is_longer = false;
        self.length += text.len() as u64;
        failpoint::passed("journaled");
        Ok(())
    }

    /// What is written again after this is new to the system, which then reports anew whether it is durable.
    fn cut_back(&mut self) -> io::Result<()> {
        if self.is_longer {
            self.medium.cut(self.length)?;
            self.medium.sync()?;
            self.is_longer = false;
        }
        Ok(())
    }
}

fn sorted(e: io::Error) -> AppendError {
    match Shortage::of(&e) {
        Some(_) => AppendError::NoRoom(e),
        None => AppendError::Broken(e),
    }
}

/// Reads records as they come; [`poll`](Self::poll) gives those that are new.
#[derive(Debug)]
pub struct JournalReader<T> {
    path: PathBuf,
    file: File,
    rest: Vec<u8>,
    lines: u64,
    record: PhantomData<T>,
}

impl<T: DeserializeOwned> JournalReader<T> {
    /// Opens the journal at its beginning.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let file = File::open(path).map_err(|source| JournalError::Io {
            path: path.into(),
            source,
        })?;
        Ok(Self {
            path: path.into(),
            file,
            rest: Vec::new(),
            lines: 0,
            record: PhantomData,
        })
    }

    /// The records that were completed since the last call.
    pub fn poll(&mut self) -> Result<Vec<T>, JournalError> {
        self.file
            .read_to_end(&mut self.rest)
            .map_err(|source| self.io(source))?;
        let whole = self.rest.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
        let text: Vec<u8> = self.rest.drain(..whole).collect();
        let mut records = Vec::new();
        for line in text.split_inclusive(|&b| b == b'\n') {
            self.lines += 1;
            if self.lines == 1 {
                self.check_header(line)?;
            } else {
                records.push(serde_json::from_slice(line).map_err(|e| self.line(e))?);
            }
        }
        Ok(records)
    }

    /// Whether the file ends in a part of a line: one that is being written now, or was torn by a crash.
    pub fn has_torn_tail(&self) -> bool {
        !self.rest.is_empty()
    }

    fn check_header(&self, line: &[u8]) -> Result<(), JournalError> {
        let header: Header = serde_json::from_slice(line).map_err(|e| self.line(e))?;
        if header.schema == SCHEMA {
            return Ok(());
        }
        Err(JournalError::Schema {
            path: self.path.clone(),
            found: header.schema,
        })
    }

    fn line(&self, source: serde_json::Error) -> JournalError {
        JournalError::Line {
            path: self.path.clone(),
            line: self.lines,
            source,
        }
    }

    fn io(&self, source: io::Error) -> JournalError {
        JournalError::Io {
            path: self.path.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(text: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[test]
    fn what_is_appended_is_read_as_it_comes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let mut writer = JournalWriter::create(&path).unwrap();
        let mut reader = JournalReader::<u32>::open(&path).unwrap();
        assert!(reader.poll().unwrap().is_empty());
        writer.append(&[1, 2]).unwrap();
        assert_eq!(reader.poll().unwrap(), [1, 2]);
        let (mut writer, torn) = JournalWriter::open(&path).unwrap();
        assert!(!torn);
        writer.append(&[3]).unwrap();
        assert_eq!(reader.poll().unwrap(), [3]);
        assert!(!reader.has_torn_tail());
    }

    // Fault 5: the journal is cut at every byte.
    #[test]
    fn a_journal_cut_at_any_byte_gives_its_whole_lines() {
        let text = b"{\"schema\":1,\"version\":\"0\"}\n11\n22\n";
        for cut in 0..=text.len() {
            let (_dir, path) = journal(&text[..cut]);
            let mut reader = JournalReader::<u32>::open(&path).unwrap();
            let whole = text[..cut].iter().filter(|&&b| b == b'\n').count();
            assert_eq!(reader.poll().unwrap().len(), whole.saturating_sub(1), "{cut}");
            let torn = cut > 0 && text[cut - 1] != b'\n';
            assert_eq!(reader.has_torn_tail(), torn);
            // Whoever goes on with it cuts off that part, and nothing else.
            let (mut writer, cut_off) = JournalWriter::open(&path).unwrap();
            assert_eq!(cut_off, torn, "{cut}");
            writer.append(&[33]).unwrap();
            let mut records = JournalReader::<u32>::open(&path).unwrap().poll().unwrap();
            assert_eq!(records.pop(), Some(33));
            assert_eq!(records.len(), whole.saturating_sub(1), "{cut}");
        }
    }

    #[test]
    fn a_bad_line_is_named_and_an_unknown_format_refused() {
        let (_dir, path) = journal(b"{\"schema\":1,\"version\":\"0\"}\n1\nx\n2\n");
        let error = JournalReader::<u32>::open(&path).unwrap().poll().unwrap_err();
        assert!(matches!(error, JournalError::Line { line: 3, .. }), "{error}");
        let (_dir, path) = journal(b"{\"schema\":9,\"version\":\"0\"}\n");
        let error = JournalReader::<u32>::open(&path).unwrap().poll().unwrap_err();
        assert!(matches!(error, JournalError::Schema { found: 9, .. }), "{error}");
    }

    /// A file in which the step with this number fails, after it was done in part.
    #[derive(Default)]
    struct Failing {
        text: Vec<u8>,
        durable: Vec<u8>,
        step: usize,
        fails: Vec<(usize, rustix::io::Errno)>,
    }

    impl Failing {
        fn step(&mut self) -> io::Result<()> {
            self.step += 1;
            let fails = self.fails.iter().find(|(step, _)| *step == self.step);
            fails.map_or(Ok(()), |(_, e)| Err((*e).into()))
        }
    }

    impl Medium for Failing {
        fn add(&mut self, text: &[u8]) -> io::Result<()> {
            let result = self.step();
            let written = if result.is_ok() { text.len() } else { text.len() / 2 };
            self.text.extend_from_slice(&text[..written]);
            result
        }

        fn sync(&mut self) -> io::Result<()> {
            self.step()?;
            self.durable.clone_from(&self.text);
            Ok(())
        }

        fn cut(&mut self, length: u64) -> io::Result<()> {
            self.step()?;
            self.text.truncate(usize::try_from(length).unwrap());
            Ok(())
        }
    }

    // Fault 6: ENOSPC and EIO at each step of an append, and again while it is taken back.
    // Fault 8: the same.
    #[test]
    fn whatever_fails_the_journal_has_each_line_once_and_none_that_is_not_durable() {
        use rustix::io::Errno;
        for error in [Errno::NOSPC, Errno::DQUOT, Errno::IO] {
            // An append takes two steps, taking it back two more.
            for fails in (1..=8).flat_map(|first| (first..=8).map(move |second| [first, second])) {
                let medium = Failing {
                    fails: fails.map(|step| (step, error)).to_vec(),
                    ..Failing::default()
                };
                let mut writer = JournalWriter::on(medium, 0);
                let mut expected = Vec::new();
                for record in 1..=3 {
                    let mut result = writer.append(&[record]);
                    for _ in 0..3 {
                        if matches!(result, Err(AppendError::NoRoom(_))) {
                            result = writer.append(&[record]);
                        }
                    }
                    match result {
                        Ok(()) => expected.extend_from_slice(format!("{record}\n").as_bytes()),
                        Err(e) => {
                            assert!(matches!(e, AppendError::Broken(_)) && error == Errno::IO, "{fails:?}");
                            break;
                        }
                    }
                    assert_eq!(writer.medium.text, expected, "{error} {fails:?}");
                    assert_eq!(writer.medium.durable, expected, "{error} {fails:?}");
                }
                assert!(writer.medium.text.starts_with(&expected), "{error} {fails:?}");
                assert!(writer.medium.durable.starts_with(&expected), "{error} {fails:?}");
            }
        }
    }
}
