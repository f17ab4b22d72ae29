//! Waits for a session on the changes of its files, for `wait`, `stop` and (by `attend`) the commands that show it.

use std::fs;
use std::time::{Duration, Instant};

use super::place::{live, note_torn};
use crate::error::{Error, exit};
use crate::session::{
    Event, Follower, OverallStatus, SessionError, SessionSpec, SessionState, StatusDocument, document, is_held,
    read_json,
};
use crate::store::paths::SessionPaths;
use crate::store::watch::{DirectoryWatch, LOOK_AGAIN};

/// How following a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    /// It has ended, or its supervisor is gone.
    Ended,
    /// The time is over.
    TimedOut,
}

/// A session that is looked at again and again.
pub(super) struct Looks {
    paths: SessionPaths,
    follower: Follower,
}

/// What one look saw.
pub(super) struct Look {
    /// What happened since the one before.
    pub events: Vec<Event>,
    /// Where the session stands.
    pub doc: StatusDocument,
    /// Whether nothing more is to be seen: it has ended and that is written down, or its supervisor is gone.
    pub is_over: bool,
}

impl Looks {
    /// Opens a session at its beginning: the first look sees all that has happened.
    pub(super) fn open(paths: &SessionPaths) -> Result<Self, Error> {
        let follower = Follower::open(paths)?;
        let paths = paths.clone();
        Ok(Self { paths, follower })
    }

    /// What the session was asked to do.
    pub(super) fn spec(&self) -> &SessionSpec {
        &self.follower.spec
    }

    /// All that has happened, as of the last look.
    pub(super) fn state(&self) -> &SessionState {
        &self.follower.state
    }

    /// Takes in what happened, and says whether nothing of it is the end. That is all that most looks are for, and it
    /// costs next to nothing.
    fn goes_on(&mut self) -> Result<bool, Error> {
        let held = is_held(self.paths.lock())?;
        self.follower.poll()?;
        Ok(held && self.follower.state.end.is_none())
    }

    /// Looks.
    pub(super) fn look(&mut self) -> Result<Look, Error> {
        let (paths, follower) = (&self.paths, &mut self.follower);
        // The lock first: one that ends between the two looks is then seen as ended, not as abandoned.
        let held = is_held(paths.lock())?;
        let events = follower.poll()?;
        let mut doc = document(&follower.spec, &follower.state, held, |record| {
            live(paths, held, record)
        });
        note_torn(&mut doc, follower.is_torn(), held);
        if doc.overall_status == OverallStatus::Interrupted {
            // A session whose directory was taken away has no lock there, and may have a supervisor.
            let path = paths.journal();
            fs::metadata(&path).map_err(|source| SessionError::Unreadable { path, source })?;
        }
        // The supervisor replaces `status.json` after the journal; whoever waited may read it next.
        let is_over = doc.overall_status != OverallStatus::Running && (!held || is_written(paths, &doc));
        Ok(Look { events, doc, is_over })
    }
}

/// Follows a session until it has ended, its supervisor is gone, or `deadline` has come.
pub(super) fn follow(paths: &SessionPaths, deadline: Option<Instant>) -> Result<(Followed, StatusDocument), Error> {
    follow_until(paths, deadline, |_| false)
}

/// The same, or until `is_reached` holds and `status.json` tells so too.
pub(super) fn follow_until(
    paths: &SessionPaths,
    deadline: Option<Instant>,
    is_reached: impl Fn(&SessionState) -> bool,
) -> Result<(Followed, StatusDocument), Error> {
    let mut looks = Looks::open(paths)?;
    // Before the first look, so that nothing falls between the two.
    let watch = DirectoryWatch::new(paths.dir());
    loop {
        let goes_on = looks.goes_on()? && !is_reached(looks.state());
        let left = deadline.map_or(LOOK_AGAIN, |d| d.saturating_duration_since(Instant::now()));
        if !goes_on || left == Duration::ZERO {
            let Look { doc, is_over, .. } = looks.look()?;
            let is_reached = is_reached(looks.state());
            let has_ended = is_reached || doc.overall_status != OverallStatus::Running;
            match (is_over || is_reached && is_written(paths, &doc), left == Duration::ZERO) {
                (true, _) => return Ok((Followed::Ended, doc)),
                (false, true) if has_ended => return Ok((Followed::Ended, doc)),
                (false, true) => return Ok((Followed::TimedOut, doc)),
                (false, false) => {}
            }
        }
        watch.wait(left);
    }
}

/// Whether `status.json` tells of all that a document does: the end, and the tasks that are settled.
fn is_written(paths: &SessionPaths, doc: &StatusDocument) -> bool {
    read_json::<StatusDocument>(&paths.status())
        .is_ok_and(|written| (written.overall_status, written.completed) == (doc.overall_status, doc.completed))
}

/// The exit code for a session that is not running any more.
pub(super) fn exit_code(doc: &StatusDocument) -> u8 {
    // What was skipped because its condition does not hold is as it should be.
    let all = doc.failed == 0 && doc.completed == doc.total && doc.overall_status == OverallStatus::Completed;
    if all { exit::DONE } else { exit::UNSUCCESSFUL }
}
