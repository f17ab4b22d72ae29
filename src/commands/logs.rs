//! `pleach logs`: what the agent of a task does and says, readable or as it was captured, and as it comes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use tokio::io::Interest;
use tokio::net::unix::pipe::OpenOptions;

use super::place::{session, status_of, task_number};
use super::{Context, output};
use crate::agent::lines::{Line, Lines};
use crate::agent::transcript::{Entry, Transcript};
use crate::cli::LogsArgs;
use crate::error::{Error, exit};
use crate::report::{self, LogText, LogsDocument};
use crate::session::{Follower, SessionError, TaskState, is_held, log_line, stored};
use crate::store::paths::SessionPaths;
use crate::store::tail::{Piece, Tail};
use crate::store::watch::{DirectoryWatch, LOOK_AGAIN};

/// The task whose log is read.
struct Logged {
    paths: SessionPaths,
    follower: Follower,
    /// Its place in the list.
    index: usize,
}

/// What becomes of a log.
enum Shown {
    Raw,
    Text(Box<Reading>, LogText),
    Json(Box<Reading>, Vec<Entry>),
}

/// A log on its way from bytes to entries.
#[derive(Default)]
struct Reading {
    lines: Lines,
    transcript: Transcript,
}

pub(super) fn run(context: &Context, args: &LogsArgs) -> Result<u8, Error> {
    let Some(task) = args.task.as_deref().filter(|_| !args.whole) else {
        // The only word is taken for the last of two.
        let named = args.session.as_deref().or(args.task.as_deref());
        return whole(&session(context, named)?, args.follow);
    };
    let paths = session(context, args.session.as_deref())?;
    let follower = Follower::open(&paths)?;
    let index = task_number(&follower.spec, task)? - 1;
    let mut logged = Logged { paths, follower, index };
    let reading = Box::<Reading>::default();
    let mut shown = match args {
        args if args.raw => Shown::Raw,
        args if args.json => Shown::Json(reading, Vec::new()),
        _ => Shown::Text(reading, LogText::for_output()),
    };
    let read_on = logged.read(&mut shown, args.follow)?;
    if let Shown::Json(_, entries) = shown {
        let spec = &logged.follower.spec;
        let document = LogsDocument {
            schema: 1,
            session_id: spec.session_id.to_string(),
            task: spec.tasks[index].id.to_string(),
            entries,
        };
        report::json(&document).map_err(output)?;
    } else if read_on {
        let doc = status_of(&stored(&logged.paths)?);
        if let Some(text) = report::about_log(&doc, index + 1) {
            report::note(&text);
        }
    }
    Ok(exit::DONE)
}

impl Logged {
    /// Reads the log to its end; with `follow` that is when nothing more can come. False when whoever reads the output
    /// has gone away.
    fn read(&mut self, shown: &mut Shown, follow: bool) -> Result<bool, Error> {
        let path = self.paths.log(self.follower.spec.tasks[self.index].id.as_ref());
        let unreadable = |source: io::Error| SessionError::Unreadable {
            path: path.clone(),
            source,
        };
        let mut tail = Tail::new(path.clone());
        // Before the first look, so that nothing falls between the two.
        let mut watch = DirectoryWatch::new(self.paths.dir());
        let gone = follow.then(reader_gone).unwrap_or_default();
        loop {
            // Before the log is read: what is printed until the end is then seen.
            let over = self.is_over()?;
            let mut read_on = Ok(true);
            let take = |piece: Piece<'_>| {
                read_on = shown.piece(piece);
                Ok(*read_on.as_ref().unwrap_or(&false))
            };
            let opened = tail.poll(take).map_err(unreadable)?;
            if !read_on.map_err(output)? || gone.load(Ordering::Relaxed) {
                return Ok(false);
            }
            if !follow || over {
                if !tail.is_open() && self.has_begun() {
                    return Err(unreadable(Errno::NOENT.into()).into());
                }
                return if over { shown.finish().map_err(output) } else { Ok(true) };
            }
            if opened {
                // It may have grown since: it is looked at once more before anything is waited for.
                watch.and_file(&path);
            } else {
                watch.wait(LOOK_AGAIN);
            }
        }
    }

    /// Whether the agent has ended, or will never begin. An interrupted session has no supervisor, but its runners go
    /// on.
    fn is_over(&mut self) -> Result<bool, Error> {
        // The lock first: a session that ends between the two looks is then seen as ended.
        let held = is_held(self.paths.lock())?;
        self.follower.poll()?;
        let record = &self.follower.state.tasks[self.index];
        Ok(match &record.state {
            TaskState::Settled { .. } => true,
            _ if self.follower.state.end.is_some() => true,
            TaskState::Running { attempt, .. } if !held => {
                !is_held(self.paths.attempt(record.id.as_ref(), attempt.number).lock())?
            }
            _ => !held,
        })
    }

    /// Whether there must be a log.
    fn has_begun(&self) -> bool {
        self.follower.state.tasks[self.index].attempts > 0
    }
}

impl Shown {
    /// Shows a piece of the log; false when nobody looks any more.
    fn piece(&mut self, piece: Piece<'_>) -> io::Result<bool> {
        match (self, piece) {
            (Self::Raw, Piece::Bytes(bytes)) => report::pour(bytes),
            (Self::Raw, Piece::Replaced) => Ok(true),
            (Self::Text(reading, text), Piece::Bytes(bytes)) => {
                let mut new = String::new();
                reading.push(bytes, |entry| new.push_str(&text.show(&entry)));
                report::pour(new.as_bytes())
            }
            (Self::Text(reading, text), Piece::Replaced) => {
                let mut new = String::new();
                reading.finish(|entry| new.push_str(&text.show(&entry)));
                **reading = Reading::default();
                report::pour((new + &text.next_attempt()).as_bytes())
            }
            (Self::Json(reading, entries), Piece::Bytes(bytes)) => {
                reading.push(bytes, |entry| entries.push(entry));
                Ok(true)
            }
            (Self::Json(reading, entries), Piece::Replaced | Piece::Shrunk) => {
                **reading = Reading::default();
                entries.clear();
                Ok(true)
            }
            (shown, Piece::Shrunk) => {
                report::warning("the log was made shorter: it is shown from its beginning");
                if let Self::Text(reading, _) = shown {
                    **reading = Reading::default();
                }
                Ok(true)
            }
        }
    }

    /// Shows the last line, if its end has not come.
    fn finish(&mut self) -> io::Result<bool> {
        match self {
            Self::Raw => Ok(true),
            Self::Text(reading, text) => {
                let mut new = String::new();
                reading.finish(|entry| new.push_str(&text.show(&entry)));
                report::pour(new.as_bytes())
            }
            Self::Json(reading, entries) => {
                reading.finish(|entry| entries.push(entry));
                Ok(true)
            }
        }
    }
}

impl Reading {
    fn push(&mut self, bytes: &[u8], on_entry: impl FnMut(Entry)) {
        self.lines.push(bytes, each(&mut self.transcript, on_entry));
    }

    fn finish(&mut self, on_entry: impl FnMut(Entry)) {
        self.lines.finish(each(&mut self.transcript, on_entry));
    }
}

fn each(transcript: &mut Transcript, mut on_entry: impl FnMut(Entry)) -> impl FnMut(Line<'_>) {
    move |line| transcript.line(line).into_iter().for_each(&mut on_entry)
}

/// Shows what happened in a session: from its journal, which sessions of every version have.
fn whole(paths: &SessionPaths, follow: bool) -> Result<u8, Error> {
    let mut follower = Follower::open(paths)?;
    // Before the first look, so that nothing falls between the two.
    let watch = DirectoryWatch::new(paths.dir());
    let gone = follow.then(reader_gone).unwrap_or_default();
    loop {
        let held = is_held(paths.lock())?;
        let lines: String = follower.poll()?.iter().map(|event| log_line(event) + "\n").collect();
        let read_on = report::pour(lines.as_bytes()).map_err(output)?;
        let is_over = follower.state.end.is_some() || !held;
        if !follow || is_over || !read_on || gone.load(Ordering::Relaxed) {
            return Ok(exit::DONE);
        }
        watch.wait(LOOK_AGAIN);
    }
}

/// Becomes true when whoever reads standard output goes away: an agent may be silent for long before a write would
/// tell. Where that cannot be seen (a file, another system than Linux), it stays false.
fn reader_gone() -> Arc<AtomicBool> {
    let gone = Arc::new(AtomicBool::new(false));
    let told = gone.clone();
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else {
            return;
        };
        runtime.block_on(async {
            // Opened anew: it does not block, and standard output must.
            if let Ok(pipe) = OpenOptions::new().open_sender("/proc/self/fd/1")
                && pipe.ready(Interest::ERROR).await.is_ok()
            {
                told.store(true, Ordering::Relaxed);
            }
        });
    });
    gone
}
