//! What the command for the end of a task or of a session is told in its environment. Pure.
//!
//! A variable is there only when there is something to tell; one that an outer session may have set is removed.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

use super::ROLE;
use crate::git::LOCAL_VARIABLES;
use crate::process::{ATTEMPT_MARK, SUPERVISOR_MARK};
use crate::session::{OverallStatus, SessionSpec, SessionState, TaskState, WorktreeFate, document};
use crate::store::paths::SessionPaths;
use crate::task::FailureReason;

/// All that is told, or was told by an outer session.
const OURS: [&str; 27] = [
    ROLE,
    "PLEACH_SESSION",
    "PLEACH_TASK_ID",
    "PLEACH_TASK_TITLE",
    "PLEACH_OUTCOME",
    "PLEACH_REASON",
    "PLEACH_EXIT_CODE",
    "PLEACH_BRANCH",
    "PLEACH_BASE",
    "PLEACH_HEAD",
    "PLEACH_WORKTREE",
    "PLEACH_REPO",
    "PLEACH_ANSWER_FILE",
    "PLEACH_OUTPUT_FILE",
    "PLEACH_LOG_FILE",
    "PLEACH_RESULTS_DIR",
    "PLEACH_TOTAL",
    "PLEACH_SUCCESSFUL",
    "PLEACH_FAILED",
    "PLEACH_STATUS_JSON",
    "PLEACH_ERROR",
    "PLEACH_PORT",
    "PLEACH_COMM_DIR",
    "PLEACH_STATUS_FILE",
    "PLEACH_ATTEMPTS",
    ATTEMPT_MARK,
    SUPERVISOR_MARK,
];

/// Variables for a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Environment(Vec<(&'static str, OsString)>);

impl Environment {
    fn of(role: &str, paths: &SessionPaths, spec: &SessionSpec) -> Self {
        let mut told = Self::default();
        told.set(ROLE, role);
        told.set("PLEACH_SESSION", spec.session_id.to_string());
        let results = paths.dir().parent().unwrap_or(Path::new("/"));
        told.set("PLEACH_RESULTS_DIR", results);
        told.set("PLEACH_COMM_DIR", spec.shared(paths));
        if let Some(repository) = &spec.repository {
            let place = &repository.place;
            told.set("PLEACH_REPO", place.work_dir.as_ref().unwrap_or(&place.git_dir));
        }
        told
    }

    fn set(&mut self, name: &'static str, value: impl Into<OsString>) {
        self.0.push((name, value.into()));
    }

    fn set_some(&mut self, name: &'static str, value: Option<impl Into<OsString>>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    #[cfg(test)]
    fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.iter().find(|(set, _)| *set == name).map(|(_, v)| v.as_os_str())
    }

    /// Sets them on a command, and removes what is not meant for it.
    pub(super) fn set_on(&self, command: &mut Command) {
        for name in LOCAL_VARIABLES.iter().chain(&OURS) {
            command.env_remove(name);
        }
        let pairs = self.0.iter().map(|(name, value)| (OsStr::new(name), value));
        // A NUL, which no variable can have, would keep the command from starting.
        command.envs(pairs.map(|(name, value)| (name, without_nul(value))));
    }
}

fn without_nul(value: &OsStr) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    OsString::from_vec(value.as_bytes().iter().copied().filter(|&b| b != 0).collect())
}

/// For the command of the task with this index, which is settled, with an answer or without. Without one the file that it
/// would be copied to may be there all the same, from another session.
pub(super) fn of_task(
    paths: &SessionPaths,
    spec: &SessionSpec,
    state: &SessionState,
    index: usize,
    is_answered: bool,
) -> Environment {
    let mut told = Environment::of("task", paths, spec);
    let (task, record) = (&spec.tasks[index], &state.tasks[index]);
    let id = task.id.as_ref();
    told.set("PLEACH_TASK_ID", id);
    told.set("PLEACH_TASK_TITLE", &task.title);
    told.set("PLEACH_ATTEMPTS", record.attempts_made().to_string());
    if let Some(settlement) = record.settlement() {
        told.set("PLEACH_OUTCOME", settlement.outcome.name());
        told.set_some("PLEACH_REASON", settlement.reason.map(FailureReason::name));
        told.set_some("PLEACH_ERROR", settlement.error.as_ref());
        told.set_some("PLEACH_HEAD", settlement.head.as_ref());
    }
    let exit_code = record.attempt_outcome().and_then(|outcome| outcome.end.exit_code());
    told.set(
        "PLEACH_EXIT_CODE",
        exit_code.map_or_else(String::new, |code| code.to_string()),
    );
    if let Some(site) = record.site() {
        told.set("PLEACH_BRANCH", &site.branch);
        told.set("PLEACH_BASE", &site.base);
    }
    // One that goes to the trash may go while the command runs.
    if let TaskState::Settled {
        worktree: WorktreeFate::Kept(_),
        ..
    } = &record.state
    {
        told.set_some("PLEACH_WORKTREE", record.site().map(|site| &site.worktree));
    }
    if is_answered {
        told.set("PLEACH_ANSWER_FILE", paths.answer(id));
        told.set_some("PLEACH_OUTPUT_FILE", task.options.output_file.as_ref());
    }
    told.set("PLEACH_LOG_FILE", paths.log(id));
    told
}

/// For the command of a session that has ended.
pub(super) fn of_session(paths: &SessionPaths, spec: &SessionSpec, state: &SessionState) -> Environment {
    let mut told = Environment::of("session", paths, spec);
    let doc = document(spec, state, false, |_| None);
    let is_good = doc.overall_status == OverallStatus::Completed && doc.failed == 0;
    told.set("PLEACH_OUTCOME", doc.overall_status.name());
    told.set_some("PLEACH_ERROR", doc.error);
    told.set("PLEACH_EXIT_CODE", if is_good { "0" } else { "1" });
    told.set("PLEACH_TOTAL", doc.total.to_string());
    told.set("PLEACH_SUCCESSFUL", doc.successful.to_string());
    told.set("PLEACH_FAILED", doc.failed.to_string());
    told.set("PLEACH_STATUS_JSON", paths.status());
    told.set("PLEACH_LOG_FILE", paths.session_log());
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::WorktreeIntent;
    use crate::session::fixture::{self, session_ended, session_started, site, spec, state_after, task_id};
    use crate::session::{EventKind, Settlement};

    #[test]
    fn what_is_told_of_a_task_and_only_what_there_is() {
        let mut spec = spec(&["a", "b"]);
        for task in &mut spec.tasks {
            task.options.output_file = Some(format!("/out/{}", task.id).into());
        }
        let paths = SessionPaths::new("/r/session-x");
        let preparing = |id: &str| EventKind::TaskPreparing {
            task: task_id(id),
            site: Some(site(id)),
        };
        let settled = |id: &str, worktree| EventKind::TaskSettled {
            task: task_id(id),
            settlement: Settlement {
                worktree,
                ..Settlement::failed(FailureReason::Provisioning, "no room")
            },
        };
        let state = state_after(
            &spec,
            &[session_started(), preparing("a"), settled("a", WorktreeIntent::None)],
        );
        let told = of_task(&paths, &spec, &state, 0, false);
        for (name, value) in [
            ("PLEACH_HANDLER", Some("task")),
            ("PLEACH_TASK_ID", Some("a")),
            ("PLEACH_TASK_TITLE", Some("Do a")),
            ("PLEACH_OUTCOME", Some("failed")),
            ("PLEACH_REASON", Some("provisioning")),
            ("PLEACH_ERROR", Some("no room")),
            ("PLEACH_EXIT_CODE", Some("")),
            ("PLEACH_BRANCH", None),
            ("PLEACH_WORKTREE", None),
            ("PLEACH_REPO", Some("/src/app")),
            ("PLEACH_RESULTS_DIR", Some("/r")),
            ("PLEACH_COMM_DIR", Some("/r/session-x/shared")),
            ("PLEACH_ANSWER_FILE", None),
            ("PLEACH_OUTPUT_FILE", None),
            ("PLEACH_LOG_FILE", Some("/r/session-x/task-a.log")),
        ] {
            assert_eq!(told.get(name), value.map(OsStr::new), "{name}");
        }
        let all: Vec<EventKind> = fixture::success("b");
        let kept: Vec<EventKind> = all
            .into_iter()
            .map(|event| match event {
                EventKind::TaskSettled { task, mut settlement } => {
                    settlement.worktree = WorktreeIntent::Keep("the user wants it".into());
                    EventKind::TaskSettled { task, settlement }
                }
                other => other,
            })
            .filter(|event| !matches!(event, EventKind::WorktreeRemoved { .. }))
            .collect();
        let told = of_task(&paths, &spec, &state_after(&spec, &kept), 1, true);
        let worktree = told.get("PLEACH_WORKTREE");
        assert_eq!(worktree, Some(OsStr::new("/src/app.pleach/main-task-b")));
        assert_eq!(told.get("PLEACH_EXIT_CODE"), Some(OsStr::new("0")));
        let answer = told.get("PLEACH_ANSWER_FILE");
        assert_eq!(answer, Some(OsStr::new("/r/session-x/task-b.txt")));
        assert_eq!(told.get("PLEACH_OUTPUT_FILE"), Some(OsStr::new("/out/b")));
    }

    #[test]
    fn what_is_told_of_a_session() {
        let spec = spec(&["a"]);
        let paths = SessionPaths::new("/r/session-x");
        let events = [fixture::success("a"), vec![session_ended()]].concat();
        let told = of_session(&paths, &spec, &state_after(&spec, &events));
        for (name, value) in [
            ("PLEACH_HANDLER", "session"),
            ("PLEACH_OUTCOME", "completed"),
            ("PLEACH_EXIT_CODE", "0"),
            ("PLEACH_TOTAL", "1"),
            ("PLEACH_SUCCESSFUL", "1"),
            ("PLEACH_FAILED", "0"),
            ("PLEACH_STATUS_JSON", "/r/session-x/status.json"),
        ] {
            assert_eq!(told.get(name), Some(OsStr::new(value)), "{name}");
        }
    }

    #[test]
    fn everything_that_is_told_is_removed_first() {
        let spec = spec(&["a"]);
        let paths = SessionPaths::new("/r/session-x");
        let state = state_after(&spec, &[fixture::success("a"), vec![session_ended()]].concat());
        for told in [
            of_task(&paths, &spec, &state, 0, true),
            of_session(&paths, &spec, &state),
        ] {
            assert!(told.0.iter().all(|(name, _)| OURS.contains(name)), "{told:?}");
        }
    }
}
