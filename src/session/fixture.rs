//! What the unit tests of the pure parts start from: a session of some tasks on `main`, and the events of a task.
//!
//! Every event is as it would stand in a journal; a test that needs another value changes it.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{
    Event, EventKind, RepositorySpec, SessionEnd, SessionOptions, SessionSpec, SessionState, Settlement, Site,
    TaskPlace, WorktreeIntent, apply,
};
use crate::git::{Base, Changes, Identity, Place};
use crate::process::ProcessIdentity;
use crate::task::{
    AgentEnd, AgentKind, AgentSpec, AttemptOutcome, FailureReason, Outcome, Permissions, TaskId, TaskOptions, TaskSpec,
    Verdict,
};

/// When a session of a test was made, in Unix milliseconds.
pub const MADE: u64 = 1_700_000_000_000;

/// A session of tasks with these ids, without a limit.
pub fn spec(ids: &[&str]) -> SessionSpec {
    SessionSpec {
        schema: 1,
        version: "0".into(),
        session_id: Uuid::from_u128(0x1234_5678 << 96),
        created_ms: MADE,
        directory: "/src/app".into(),
        repository: Some(RepositorySpec {
            place: Place {
                git_dir: "/src/app/.git".into(),
                common_dir: "/src/app/.git".into(),
                work_dir: Some("/src/app".into()),
            },
            base: Base {
                commit: "0123456789abcdef".into(),
                branch: Some("main".into()),
            },
            worktrees: "/src/app.pleach".into(),
            identity: Identity {
                name: "Tester".into(),
                email: "tester@example.org".into(),
                configured: true,
            },
        }),
        other_agents: Vec::new(),
        agent: AgentSpec {
            name: "claude".into(),
            command: None,
            kind: AgentKind::Claude,
            program: "/bin/claude".into(),
            permissions: Permissions::Skip,
            model: None,
            args: Vec::new(),
        },
        options: SessionOptions {
            max_parallel: None,
            timeout_ms: None,
            grace_ms: 10_000,
            max_output_bytes: 64 << 20,
            keep_worktrees: false,
            max_cost_usd: None,
            snapshot_every_ms: None,
            min_free_disk_bytes: 0,
            min_free_memory_bytes: 0,
            agents_of_all: None,
            ports: None,
            fail_fast: false,
            retry_delay_ms: 5_000,
            retry_fresh: false,
            stagger_ms: 0,
            copy: Vec::new(),
            link: Vec::new(),
            on_done: None,
            handler_timeout_ms: 600_000,
            log_dir: None,
        },
        tasks: ids.iter().map(|id| task(id)).collect(),
        shared: None,
        places: ids.iter().map(|id| place(id)).collect(),
    }
}

fn task(id: &str) -> TaskSpec {
    TaskSpec {
        id: task_id(id),
        title: format!("Do {id}"),
        prompt: format!("Please do {id}"),
        options: TaskOptions::default(),
    }
}

fn place(id: &str) -> TaskPlace {
    let Site { branch, worktree, .. } = site(id);
    TaskPlace { branch, worktree }
}

/// An id.
pub fn task_id(id: &str) -> TaskId {
    TaskId::parse(id).unwrap()
}

/// Where a task works.
pub fn site(id: &str) -> Site {
    Site {
        branch: format!("main-task-{id}"),
        worktree: format!("/src/app.pleach/main-task-{id}").into(),
        base: "0123456789abcdef".into(),
    }
}

/// The state after these events, the first of them one second after the session was made, the others a second apart.
pub fn state_after(spec: &SessionSpec, events: &[EventKind]) -> SessionState {
    let mut state = SessionState::new(spec);
    for (kind, at_ms) in events.iter().zip((MADE + 1000..).step_by(1000)) {
        let kind = kind.clone();
        apply(&mut state, &Event { at_ms, kind }).unwrap();
    }
    state
}

/// The beginning of a session.
pub fn session_started() -> EventKind {
    EventKind::SessionStarted {
        supervisor: ProcessIdentity {
            pid: 7,
            start_time: 42,
            boot_id: "boot".into(),
        },
        filters: BTreeMap::new(),
    }
}

/// Its end.
pub fn session_ended() -> EventKind {
    EventKind::SessionEnded {
        end: SessionEnd::Completed,
        error: None,
    }
}

/// A task was chosen.
pub fn preparing(id: &str) -> EventKind {
    EventKind::TaskPreparing {
        task: task_id(id),
        site: Some(site(id)),
    }
}

/// A task went back.
pub fn released(id: &str) -> EventKind {
    EventKind::TaskReleased { task: task_id(id) }
}

/// An attempt of a task started.
pub fn started(id: &str, number: u32) -> EventKind {
    EventKind::AttemptStarted {
        task: task_id(id),
        number,
        attempt: Uuid::from_u128(u128::from(number)),
        conversation: Uuid::from_u128(100 + u128::from(number)),
        runner_pid: 70,
        resumes: false,
    }
}

/// An attempt of a task ended.
pub fn ended(id: &str, outcome: AttemptOutcome) -> EventKind {
    EventKind::AttemptEnded {
        task: task_id(id),
        outcome,
    }
}

/// An attempt of a task was lost.
pub fn lost(id: &str, outcome: AttemptOutcome) -> EventKind {
    EventKind::AttemptLost {
        task: task_id(id),
        outcome,
    }
}

/// A task is to be tried again.
pub fn retried(id: &str) -> EventKind {
    EventKind::TaskRetried { task: task_id(id) }
}

/// A task was settled.
pub fn settled(id: &str, settlement: Settlement) -> EventKind {
    EventKind::TaskSettled {
        task: task_id(id),
        settlement,
    }
}

/// Its worktree was moved to the trash.
pub fn removed(id: &str) -> EventKind {
    EventKind::WorktreeRemoved {
        task: task_id(id),
        trash: "/src/app.pleach/.trash/x".into(),
        ignored: vec!["target/".into()],
    }
}

/// Its worktree was meant to go and stays.
pub fn kept(id: &str) -> EventKind {
    EventKind::WorktreeKept {
        task: task_id(id),
        why: "it is in use".into(),
    }
}

/// All that a task goes through when all goes well.
pub fn success(id: &str) -> Vec<EventKind> {
    vec![
        preparing(id),
        started(id, 1),
        ended(id, good_attempt()),
        settled(id, good_settlement(WorktreeIntent::Remove)),
        removed(id),
    ]
}

/// How a good attempt ended.
pub fn good_attempt() -> AttemptOutcome {
    AttemptOutcome {
        verdict: Verdict::Succeeded,
        end: AgentEnd::Exited { code: 0 },
        duration_ms: 1000,
        turns: Some(3),
        cost_usd: Some(0.5),
        last_words: "done".into(),
        output_bytes: 100,
        dropped_bytes: 0,
        killed_processes: 0,
        left_processes: Vec::new(),
        conversation_seen: true,
        conversation_gone: false,
        is_set_up: true,
        steps: Vec::new(),
        limit: None,
        notes: Vec::new(),
    }
}

/// How one ended whose agent exited with code 3.
pub fn bad_attempt() -> AttemptOutcome {
    let end = AgentEnd::Exited { code: 3 };
    AttemptOutcome::unseen(end, FailureReason::Exit, "exited with code 3")
}

/// What a good task came to.
pub fn good_settlement(worktree: WorktreeIntent) -> Settlement {
    Settlement {
        outcome: Outcome::Succeeded,
        reason: None,
        error: None,
        head: Some("fedcba9876543210".into()),
        changes: Some(Changes {
            commits: 1,
            files_changed: 2,
            renames: 0,
            insertions: 3,
            deletions: 4,
        }),
        committed_leftovers: true,
        notes: vec!["a note".into()],
        worktree,
    }
}
