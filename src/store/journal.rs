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

use super::failpoint;

/// The number of the format that this program writes and the highest that it reads.
pub const SCHEMA: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Header {
    schema: u32,
    version: String,
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

/// Appends records; one for each journal at a time.
#[derive(Debug)]
pub struct JournalWriter {
    file: File,
    length: u64,
}

impl JournalWriter {
    /// Makes a journal with its header, durable but for the name in the directory.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        let header = Header {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").into(),
        };
        let mut line = serde_json::to_vec(&header)?;
        line.push(b'\n');
        file.write_all(&line)?;
        file.sync_data()?;
        let length = line.len() as u64;
        Ok(Self { file, length })
    }

    /// Opens a journal to go on with it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file, length })
    }

    /// Appends the records and waits until they are durable. After an error none of them is in the file.
    pub fn append<T: Serialize>(&mut self, records: &[T]) -> io::Result<()> {
        let mut text = Vec::new();
        for record in records {
            serde_json::to_writer(&mut text, record)?;
            text.push(b'\n');
        }
        failpoint::passed("journal");
        let written = self.file.write_all(&text).and_then(|()| {
            failpoint::passed("fsync");
            self.file.sync_data()
        });
        if let Err(e) = written {
            // A half line in the middle would make the whole journal unreadable: take it back.
            self.file.set_len(self.length)?;
            return Err(e);
        }
        self.length += text.len() as u64;
        failpoint::passed("journaled");
        Ok(())
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
        JournalWriter::open(&path).unwrap().append(&[3]).unwrap();
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
            assert_eq!(reader.has_torn_tail(), cut > 0 && text[cut - 1] != b'\n');
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
}
