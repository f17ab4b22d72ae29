//! Takes in what an agent prints, without ever holding much of it or making it wait.
//!
//! All of it goes to the attempt's log up to a cap, whole lines at a time so that the two streams do not cut each
//! other's. Lines of standard output are read as stream-json; as long as it may be plain text it is also kept as the
//! answer. Of an agent on a terminal all of this gets the text that was on the screen; its answer may stand elsewhere.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::pty::OnTerminal;
use super::status_file::StatusFile;
use crate::agent::StreamReader;
use crate::agent::lines::{Line, Lines};
use crate::store::atomic::{self, Durability};
use crate::store::paths::AttemptPaths;

/// A part of a line that is longer than this goes to the log before its end has come.
const LONGEST_PENDING: usize = 64 << 10;
/// What is given back of a file that cannot be written any more: on a full disk, room for the answer and the outcome.
const GIVEN_BACK: u64 = 256 << 10;
/// How much of the end of a stream is kept to explain a failure.
const TAIL: usize = 4 << 10;

/// One of the two streams of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Everything that becomes of an agent's output.
pub(super) struct Output {
    log: CappedFile,
    answer: CappedFile,
    pending: [Vec<u8>; 2],
    tails: [Vec<u8>; 2],
    lines: Lines,
    /// What the stream has told.
    pub stream: StreamReader,
    /// All bytes that were printed.
    pub total: u64,
    /// The terminal that it comes from, if it does.
    pub terminal: Option<OnTerminal>,
    /// What the agent says elsewhere.
    pub status: StatusFile,
    /// Whether what it says there when it is done is its answer, before all that is on its screen.
    pub answers_by_status: bool,
}

impl Output {
    /// Makes the log and the answer of an attempt; each keeps at most `cap` bytes.
    pub fn create(paths: &AttemptPaths, cap: u64) -> io::Result<Self> {
        Ok(Self {
            log: CappedFile::create(&paths.log(), cap)?,
            answer: CappedFile::create(&paths.answer(), cap)?,
            pending: Default::default(),
            tails: Default::default(),
            lines: Lines::default(),
            stream: StreamReader::default(),
            total: 0,
            terminal: None,
            status: StatusFile::default(),
            answers_by_status: false,
        })
    }

    /// Takes in a piece of one stream.
    pub fn push(&mut self, stream: Stream, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        match self.terminal.take() {
            None => self.text(stream, bytes),
            Some(mut terminal) => {
                terminal.show(bytes, |text| self.text(stream, text));
                self.terminal = Some(terminal);
            }
        }
    }

    fn text(&mut self, stream: Stream, bytes: &[u8]) {
        let index = stream as usize;
        let tail = &mut self.tails[index];
        tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL)..]);
        tail.drain(..tail.len().saturating_sub(TAIL));
        if stream == Stream::Out {
            if !self.stream.is_stream() {
                self.answer.write(bytes);
            }
            self.lines.push(bytes, |line| read(&mut self.stream, line));
        }
        let pending = &mut self.pending[index];
        pending.extend_from_slice(bytes);
        let whole = match pending.iter().rposition(|&b| b == b'\n') {
            _ if pending.len() > LONGEST_PENDING => pending.len(),
            Some(newline) => newline + 1,
            None => 0,
        };
        self.log.write(&pending[..whole]);
        pending.drain(..whole);
    }

    /// Writes what is left, and the answer if the stream gave one.
    pub fn finish(&mut self, paths: &AttemptPaths) -> io::Result<()> {
        if let Some(mut terminal) = self.terminal.take() {
            self.text(Stream::Out, terminal.finish().as_bytes());
        }
        self.lines.finish(|line| read(&mut self.stream, line));
        for pending in &mut self.pending {
            self.log.write(pending);
            pending.clear();
        }
        let of_stream = self.stream.is_stream().then(|| self.stream.answer());
        if let Some(answer) = self.told().or(of_stream) {
            if atomic::write(&paths.answer(), answer.as_bytes(), Durability::Synced).is_err() {
                // What was printed, which it has until now, is no answer. The last words are in the outcome.
                std::fs::remove_file(paths.answer())?;
            }
        } else {
            self.answer.file.sync_data()?;
        }
        self.log.file.sync_data()
    }

    /// What the agent does now: what it has said in its status file, else what its stream tells.
    pub fn activity(&self) -> Option<&str> {
        self.status.line().or(self.stream.activity())
    }

    /// The answer that is not in what it printed.
    pub fn told(&self) -> Option<&str> {
        self.status.answer().filter(|_| self.answers_by_status)
    }

    /// Adds to the log what the agent did not print, such as what a command around it does.
    pub fn beside(&mut self, bytes: &[u8]) {
        self.log.write(bytes);
    }

    /// Has the log outlive a power failure, as far as it could be written.
    pub fn sync(&mut self) {
        self.log.sync();
    }

    /// Bytes that were over the cap of the log.
    pub fn dropped(&self) -> u64 {
        self.log.dropped
    }

    /// The last that was printed outside of a stream: of a stream the end of standard error, else of standard error
    /// or, when that is empty, of standard output.
    pub fn printed(&self) -> String {
        let [out, err] = &self.tails;
        let tail = if self.stream.is_stream() || !err.trim_ascii().is_empty() {
            err
        } else {
            out
        };
        String::from_utf8_lossy(tail).into_owned()
    }
}

/// One that is too long is passed over.
fn read(stream: &mut StreamReader, line: Line<'_>) {
    if let Line::Whole(line) = line {
        stream.line(line);
    }
}

/// A file that takes a number of bytes, and then one line that says so.
#[derive(Debug)]
pub(super) struct CappedFile {
    file: File,
    left: u64,
    cap: u64,
    dropped: u64,
}

impl CappedFile {
    pub(super) fn create(path: &Path, cap: u64) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        Ok(Self {
            file,
            left: cap,
            cap,
            dropped: 0,
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        // A full disk costs the end of the log, not the agent's work.
        if let Err(e) = self.file.write_all(&bytes[..kept]) {
            self.dropped += bytes.len() as u64;
            self.give_up(&e);
            return;
        }
        self.left -= kept as u64;
        let over = (bytes.len() - kept) as u64;
        if over > 0 && self.dropped == 0 {
            let note = format!(
                "\n[pleach: the output is longer than {} bytes; the rest was dropped]\n",
                self.cap
            );
            let _ = self.file.write_all(note.as_bytes());
        }
        self.dropped += over;
    }

    /// Has it outlive a power failure. On a full disk there is less of it, and that is said in it.
    pub(super) fn sync(&self) {
        let _ = self.file.sync_data();
    }

    /// Writes nothing more, and leaves some room to others.
    fn give_up(&mut self, why: &io::Error) {
        let written = self.cap - self.left;
        let kept = written.saturating_sub(GIVEN_BACK);
        self.left = 0;
        if self.file.set_len(kept).is_ok() {
            self.dropped += written - kept;
            let note = format!("\n[pleach: the output could not be written: {why}; the rest was dropped]\n");
            let _ = self.file.seek(SeekFrom::Start(kept));
            let _ = self.file.write_all(note.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::lines::LONGEST_LINE;

    fn output(cap: u64) -> (tempfile::TempDir, AttemptPaths, Output) {
        let dir = tempfile::tempdir().unwrap();
        let paths = AttemptPaths::new(dir.path());
        let output = Output::create(&paths, cap).unwrap();
        (dir, paths, output)
    }

    #[test]
    fn lines_of_the_two_streams_do_not_cut_each_other() {
        let (_dir, paths, mut output) = output(1000);
        output.push(Stream::Out, b"one ");
        output.push(Stream::Err, b"warning\nhalf");
        output.push(Stream::Out, b"line\n");
        output.finish(&paths).unwrap();
        let log = std::fs::read_to_string(paths.log()).unwrap();
        assert_eq!(log, "warning\none line\nhalf");
        assert_eq!(std::fs::read_to_string(paths.answer()).unwrap(), "one line\n");
    }

    #[test]
    fn what_is_over_the_cap_is_counted_and_said() {
        let (_dir, paths, mut output) = output(10);
        for _ in 0..5 {
            output.push(Stream::Out, b"1234\n");
        }
        output.finish(&paths).unwrap();
        let log = std::fs::read_to_string(paths.log()).unwrap();
        assert!(log.starts_with("1234\n1234\n\n[pleach: the output is longer than 10 bytes"));
        assert_eq!((output.total, output.dropped()), (25, 15));
    }

    #[test]
    fn a_stream_is_read_beyond_the_cap_and_past_a_line_that_is_too_long() {
        let (_dir, paths, mut output) = output(10);
        output.push(Stream::Out, b"{\"type\":\"system\",\"subtype\":\"init\"}\n");
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..20 {
            output.push(Stream::Out, &piece);
            assert!(output.lines.held() <= LONGEST_LINE && output.pending[0].len() <= LONGEST_PENDING);
        }
        output.push(
            Stream::Out,
            b"\n{\"type\":\"result\",\"subtype\":\"success\",\"result\":\"hi\"}",
        );
        output.finish(&paths).unwrap();
        assert_eq!(std::fs::read_to_string(paths.answer()).unwrap(), "hi");
    }
}
