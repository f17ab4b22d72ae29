//! `pleach watch`: a session while it runs, or how it went.
//!
//! The display and the end of it are those of `run --sync` too. But who watches only looks on: leaving changes nothing.

use std::fs::File;
use std::io::{self, Read};

use super::attend::{Attendance, Attended, Display};
use super::follow::Look;
use super::place::session;
use super::plan::plan_of;
use super::signals::{Caught, Signals, end_at_the_second};
use super::status::say_how_to_go_on;
use super::{Context, output};
use crate::cli::WatchArgs;
use crate::error::{Error, exit};
use crate::report::{self, Progress};
use crate::session::{self, SessionSpec, SessionState, StatusDocument};
use crate::store::paths::SessionPaths;

/// How much of an answer is read for the one line that is shown of it, in bytes.
const ANSWER: u64 = 16 << 10;

pub(super) fn run(context: &Context, args: &WatchArgs) -> Result<u8, Error> {
    let paths = session(context, args.session.as_deref())?;
    let mut attendance = Attendance::begin(&paths, Signals::catch()?, end_at_the_second())?;
    let mut display = Watched::new(attendance.spec(), &paths, Reader::MayNotGo);
    let attended = attendance.stay(&mut display, Caught::leaves)?;
    drop(display);
    match attended {
        Attended::Ended(doc) => {
            show_end(context, &paths, &doc)?;
            Ok(exit::DONE)
        }
        Attended::Left(caught) => Ok(left(context, attendance.spec(), caught)),
        Attended::Unread => Ok(exit::DONE),
    }
}

/// Says that the session goes on without whoever leaves it, and gives the exit code.
pub(super) fn left(context: &Context, spec: &SessionSpec, caught: Caught) -> u8 {
    if caught.ends() {
        let results = context.results_dir.as_ref().map(|dir| context.directory.join(dir));
        report::note(&report::goes_on(spec, results.as_deref()));
    }
    caught.exit_code()
}

/// What it means when nobody reads standard output any more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// Nothing: the session is still waited for.
    MayGo,
    /// There is nothing left to do.
    MayNotGo,
}

/// The display of a session on this process's terminal, or on its output.
pub(super) struct Watched<'p> {
    progress: Progress,
    paths: &'p SessionPaths,
    reader: Reader,
}

impl<'p> Watched<'p> {
    pub(super) fn new(spec: &SessionSpec, paths: &'p SessionPaths, reader: Reader) -> Self {
        Self {
            progress: Progress::new(spec),
            paths,
            reader,
        }
    }

    /// The same, which shows each event too.
    pub(super) fn verbose(self, verbose: bool) -> Self {
        let progress = self.progress.verbose(verbose);
        Self { progress, ..self }
    }
}

impl Display for Watched<'_> {
    fn show(&mut self, look: &Look, _: &SessionState) -> io::Result<()> {
        let answer = |id: &str| beginning(&self.paths.answer(id));
        match self.progress.show(&look.events, &look.doc, answer) {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe && self.reader == Reader::MayGo => Ok(()),
            other => other,
        }
    }

    fn clear(&mut self) {
        self.progress.clear();
    }

    fn warn(&mut self, text: String) {
        self.progress.warn(text);
    }
}

/// The beginning of a text file that may not be there.
fn beginning(path: &std::path::Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(ANSWER).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// What comes after the last task: totals, the plan, and what an interruption means.
pub(super) fn show_end(context: &Context, paths: &SessionPaths, doc: &StatusDocument) -> Result<(), Error> {
    report::out(&format!("\n{}\n", report::headline(doc))).map_err(output)?;
    if doc.successful > 0 {
        let recorded = session::recorded(paths)?;
        match plan_of(context, &recorded.spec, &recorded.state) {
            Ok(Some((plan, about))) => report::out(&format!("\n{}", report::plan(&plan, &about))).map_err(output)?,
            Ok(None) => {}
            // The tasks are done all the same, and the exit code is theirs.
            Err(e) => report::warning(&format!("there is no merge plan: {e}\n hint: {}", e.hint())),
        }
    }
    say_how_to_go_on(context, doc);
    Ok(())
}
