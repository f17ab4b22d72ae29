//! What the dependencies of a task mean for it: where it begins, and that it is skipped; and what the first failure means
//! for a session that is to stop with it. Pure.
//!
//! A task works from what those have come to that it depends on: from the commit of one, or from the merge of several,
//! which is made before its worktree is.

use super::Action;
use crate::pool;
use crate::runner::Ending;
use crate::session::{EventKind, SessionSpec, SessionState, Settlement, Site, TaskRecord, TaskState};
use crate::task::{Outcome, TaskId};

/// The beginning of a task that works nowhere yet: its worktree is made, or first the commit that it starts from.
pub(super) fn begin(spec: &SessionSpec, state: &SessionState, task: usize) -> (EventKind, Action) {
    let mut heads: Vec<&String> = Vec::new();
    let mut dependencies = state.graph.dependencies(task).to_vec();
    dependencies.sort_unstable();
    for on in dependencies {
        let head = state.tasks[on]
            .settlement()
            .and_then(|settlement| settlement.head.as_ref());
        heads.extend(head.filter(|head| !heads.contains(head)));
    }
    let (site, action) = match (spec.site(task), heads.as_slice()) {
        (Some(_), [_, _, ..]) => (None, Action::Combine { task }),
        (site, heads) => {
            let base = |site: Site| match heads.first() {
                Some(head) => Site {
                    base: (*head).clone(),
                    ..site
                },
                None => site,
            };
            let site = site.map(base);
            (site.clone(), Action::Provision { task, site })
        }
    };
    let event = EventKind::TaskPreparing {
        task: spec.tasks[task].id.clone(),
        site,
    };
    (event, action)
}

/// The commit is there that a task starts from.
pub(super) fn combined(spec: &SessionSpec, task: usize, base: String) -> (Vec<EventKind>, Vec<Action>) {
    let site = spec.site(task).map(|site| Site { base, ..site });
    let event = EventKind::TaskPreparing {
        task: spec.tasks[task].id.clone(),
        site: site.clone(),
    };
    (vec![event], vec![Action::Provision { task, site }])
}

/// Settles the tasks that wait in vain.
pub(in crate::supervisor) fn skipped(state: &SessionState) -> Vec<EventKind> {
    if state.end.is_some() {
        return Vec::new();
    }
    let settled = pool::in_vain(state).into_iter().map(|found| EventKind::TaskSettled {
        task: state.tasks[found.task].id.clone(),
        settlement: Settlement {
            outcome: Outcome::Skipped,
            reason: Some(found.reason),
            error: Some(found.error),
            ..Settlement::stopped()
        },
    });
    settled.collect()
}

/// Adds to what was decided what follows from tasks being settled by it: the first that fails may end the session.
pub(super) fn follow(
    spec: &SessionSpec,
    state: &SessionState,
    (mut events, mut actions): (Vec<EventKind>, Vec<Action>),
) -> (Vec<EventKind>, Vec<Action>) {
    let mut failed: Option<TaskId> = None;
    for event in &mut events {
        let EventKind::TaskSettled { task, settlement } = event else {
            continue;
        };
        let record = state.index_of(task).map(|index| &state.tasks[index]);
        match (settlement.outcome, record.and_then(|record| ended_for(state, record))) {
            (Outcome::Failed, _) if state.halted.is_none() => failed = failed.or_else(|| Some(task.clone())),
            (Outcome::Stopped, Some(why)) => settlement.error = Some(format!("stopped: {why}")),
            _ => {}
        }
    }
    if let Some(task) = failed.filter(|_| spec.options.fail_fast && !pool::is_closed(state)) {
        let why = format!("task {task} failed (--fail-fast)");
        let ends_agents = true;
        events.push(EventKind::SessionHalted { why, ends_agents });
        let how = Ending::Within {
            grace_ms: spec.options.grace_ms,
        };
        let running = (state.tasks.iter().enumerate())
            .filter(|(_, record)| matches!(record.state, TaskState::Running { .. }) && record.id != task);
        actions.extend(running.map(|(task, _)| Action::End { task, how }));
    }
    (events, actions)
}

/// Why a task was stopped, if nobody has asked for that. The one who halted the session may be gone since.
fn ended_for<'s>(state: &'s SessionState, record: &'s TaskRecord) -> Option<&'s String> {
    let asked = state.stop_asked.or(record.stop_asked).is_some();
    record.ended_for.as_ref().or(state.halted.as_ref().filter(|_| !asked))
}
