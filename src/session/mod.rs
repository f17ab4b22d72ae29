//! A session: one run of a list of tasks, as it is written down.
//!
//! `spec` is what the user asked for, `graph` which task depends on which, `event` what happened, `state` the fold of the events, `transition` the only
//! code that changes a state, `files` the directory of a session, `status` the document that scripts read. Nothing
//! here starts a process or touches a repository.

mod event;
mod files;
#[cfg(test)]
pub(crate) mod fixture;
mod graph;
mod log;
mod spec;
mod state;
mod status;
mod transition;

pub use event::{
    Event, EventKind, KEPT_ON_REQUEST, NextAttempt, STOPPED_ON_REQUEST, SessionEnd, Settlement, Wait, WorktreeIntent,
};
pub use files::{
    Follower, NewSession, Recorded, SessionError, Stored, all, create, find, ids, is_held, read_json, recorded, stored,
};
pub use graph::{Graph, NoGraph};
pub use log::{log_line, log_line_of};
pub use spec::{
    Places, RepositorySpec, SessionOptions, SessionSpec, Site, TaskPlace, USUAL_FREE_DISK, USUAL_FREE_MEMORY,
    USUAL_GRACE_MS, USUAL_HANDLER_TIMEOUT_MS, USUAL_OUTPUT, USUAL_RETRY_DELAY_MS, USUAL_SNAPSHOT_EVERY_MS, is_above,
};
pub use state::{Attempt, SessionState, TaskRecord, TaskState, WentWrong, WorktreeFate};
pub use status::{OverallStatus, StatusDocument, Supervisor, TaskStatus, TaskStatusName, document};
pub use transition::{IllegalMove, apply};
