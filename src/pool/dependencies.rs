//! What becomes of tasks when one that they depend on does not succeed. Pure.

use crate::session::{SessionState, TaskState};
use crate::task::{FailureReason, Outcome};

use super::is_closed;

/// The longest part of another task's error that is told again, in characters.
const LONGEST: usize = 300;

/// A task that waits in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InVain {
    /// Which.
    pub task: usize,
    /// Whether that is because something failed, or because it is not wanted.
    pub reason: FailureReason,
    /// In words.
    pub error: String,
}

/// The pending tasks that depend on one that has come to its end without success, at however many removes, each after
/// those that it depends on. What was stopped with the session has others wait for another supervisor.
pub fn in_vain(state: &SessionState) -> Vec<InVain> {
    if state.tasks.iter().all(|task| !task.is_unsuccessful()) {
        return Vec::new();
    }
    let is_closed = is_closed(state);
    // Of each task that came or will come to nothing: where that began.
    let mut roots: Vec<Option<usize>> = vec![None; state.tasks.len()];
    let mut found = Vec::new();
    for &task in state.graph.sorted() {
        let dependencies = state.graph.dependencies(task);
        let lost = || dependencies.iter().filter_map(|on| Some((*on, roots[*on]?)));
        // What failed counts more than what is not wanted.
        let because = lost()
            .find(|(_, root)| !is_by_condition(state, *root))
            .or_else(|| lost().next());
        let record = &state.tasks[task];
        roots[task] = match record.settlement().map(|settlement| settlement.outcome) {
            Some(Outcome::Succeeded) => None,
            Some(Outcome::Stopped) if is_closed => None,
            Some(Outcome::Stopped | Outcome::Failed) => Some(task),
            Some(Outcome::Skipped) => Some(because.map_or(task, |(_, root)| root)),
            None => because.map(|(_, root)| root),
        };
        // What runs has had all it needed; what was stopped is settled by that.
        let waits = matches!(record.state, TaskState::Pending { .. }) && record.stop_asked.is_none();
        if let Some((on, root)) = because.filter(|_| waits) {
            found.push(InVain {
                task,
                reason: match is_by_condition(state, root) {
                    true => FailureReason::Condition,
                    false => FailureReason::Dependency,
                },
                error: because_of(state, on, root),
            });
        }
    }
    found
}

/// Whether a task was skipped because its own condition does not hold.
fn is_by_condition(state: &SessionState, task: usize) -> bool {
    (state.tasks[task].settlement()).is_some_and(|settlement| settlement.outcome == Outcome::Skipped)
}

/// `it depends on backend, which failed: exited with code 3`
fn because_of(state: &SessionState, on: usize, root: usize) -> String {
    let id = &state.tasks[root].id;
    let settlement = state.tasks[root].settlement();
    let what = match settlement.map(|s| s.outcome) {
        Some(Outcome::Stopped) => "was stopped",
        Some(Outcome::Skipped) => "was skipped",
        _ => "failed",
    };
    let why = settlement.filter(|s| s.outcome != Outcome::Stopped);
    let why = why.and_then(|s| s.error.as_deref()).map_or(String::new(), |error| {
        let mut short: String = error.chars().take(LONGEST).collect();
        if short.len() < error.len() {
            short.push('…');
        }
        format!(": {short}")
    });
    match on == root {
        true => format!("it depends on {id}, which {what}{why}"),
        false => format!(
            "it depends on {}, and that, in the end, on {id}, which {what}{why}",
            state.tasks[on].id
        ),
    }
}

/// The tasks that are tried again when the user wants that of all that failed: those that failed or were stopped, and
/// what was skipped because of them.
pub fn to_retry(state: &SessionState) -> Vec<usize> {
    let mut again = vec![false; state.tasks.len()];
    for &task in state.graph.sorted() {
        again[task] = match state.tasks[task].settlement().map(|s| s.outcome) {
            Some(Outcome::Failed | Outcome::Stopped) => true,
            Some(Outcome::Skipped) => state.graph.dependencies(task).iter().any(|on| again[*on]),
            Some(Outcome::Succeeded) | None => false,
        };
    }
    (0..again.len()).filter(|task| again[*task]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::fixture::{
        ended, good_attempt, preparing, retried, session_started, settled, spec, started, state_after, success, task_id,
    };
    use crate::session::{EventKind, SessionSpec, Settlement};
    use crate::task::{AttemptOutcome, Verdict};

    /// `b` and `c` depend on `a`, `d` on both, `e` on `d`; `f` on nothing, and `g` on `f` and `a`.
    fn list() -> SessionSpec {
        let mut spec = spec(&["a", "b", "c", "d", "e", "f", "g"]);
        for (task, on) in [
            (1, &["a"][..]),
            (2, &["a"]),
            (3, &["b", "c"]),
            (4, &["d"]),
            (6, &["f", "a"]),
        ] {
            spec.tasks[task].options.depends_on = on.iter().map(|id| task_id(id)).collect();
        }
        spec
    }

    fn with(outcome: Outcome, reason: Option<FailureReason>, error: &str) -> Settlement {
        Settlement {
            outcome,
            reason,
            error: Some(error.into()),
            ..Settlement::stopped()
        }
    }

    fn failed(id: &str) -> Vec<EventKind> {
        vec![
            preparing(id),
            settled(id, Settlement::failed(FailureReason::Exit, "exited with code 3")),
        ]
    }

    /// Its condition did not hold.
    fn not_wanted(id: &str) -> Vec<EventKind> {
        let error = "grep -q yes exited with 1";
        let verdict = Verdict::Skipped { error: error.into() };
        let outcome = AttemptOutcome {
            verdict,
            ..good_attempt()
        };
        let settlement = with(Outcome::Skipped, Some(FailureReason::Condition), error);
        vec![
            preparing(id),
            started(id, 1),
            ended(id, outcome),
            settled(id, settlement),
        ]
    }

    /// What waits in vain after these events, with the first letter of the reason.
    fn of(events: &[Vec<EventKind>]) -> String {
        let spec = list();
        let found = in_vain(&state_after(&spec, &events.concat()));
        let one = |v: &InVain| format!("{}{}", spec.tasks[v.task].id, &v.reason.name()[..1]);
        found.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_depends_on_a_failure_waits_in_vain_and_nothing_else() {
        assert_eq!(of(&[]), "");
        assert_eq!(of(&[success("a")]), "");
        assert_eq!(of(&[failed("a")]), "bd cd dd ed gd");
        assert_eq!(of(&[success("a"), failed("b")]), "dd ed");
        assert_eq!(of(&[failed("f")]), "gd");
        assert_eq!(of(&[failed("e")]), "");
    }

    #[test]
    fn the_root_is_named_with_what_it_came_to() {
        let spec = list();
        let said = |events: &[Vec<EventKind>], task: usize| {
            let found = in_vain(&state_after(&spec, &events.concat()));
            found.into_iter().find(|v| v.task == task).map(|v| v.error).unwrap()
        };
        assert_eq!(
            said(&[failed("a")], 1),
            "it depends on a, which failed: exited with code 3"
        );
        assert_eq!(
            said(&[failed("a")], 4),
            "it depends on d, and that, in the end, on a, which failed: exited with code 3"
        );
        let stop = EventKind::TaskStopAsked {
            task: task_id("a"),
            now: false,
        };
        let stopped = vec![stop, settled("a", Settlement::stopped())];
        assert_eq!(said(&[stopped], 2), "it depends on a, which was stopped");
        let long = vec![
            preparing("a"),
            settled("a", Settlement::failed(FailureReason::Exit, "é".repeat(9_999))),
        ];
        assert!(said(&[long], 1).chars().count() < 400);
        // The same when those in between are settled already.
        let skipped = with(Outcome::Skipped, Some(FailureReason::Dependency), "it depends on a");
        let between = ["b", "c", "d"].map(|id| settled(id, skipped.clone())).to_vec();
        assert_eq!(said(&[failed("a"), between], 4), said(&[failed("a")], 4));
    }

    #[test]
    fn what_is_not_wanted_takes_others_with_it_unless_something_failed() {
        assert_eq!(of(&[not_wanted("a")]), "bc cc dc ec gc");
        assert_eq!(of(&[not_wanted("f"), failed("a")]), "bd cd dd ed gd");
        assert_eq!(of(&[success("a"), not_wanted("b"), failed("c")]), "dd ed");
    }

    #[test]
    fn what_was_stopped_with_the_session_takes_nothing_with_it_before_somebody_goes_on() {
        let stop = vec![EventKind::StopAsked { now: false }];
        let stopped = vec![preparing("a"), settled("a", Settlement::stopped())];
        let halted = vec![EventKind::SessionHalted {
            why: "task f failed (--fail-fast)".into(),
            ends_agents: true,
        }];
        for closed in [&stop, &halted] {
            assert_eq!(of(&[closed.clone(), stopped.clone()]), "");
            // What failed all the same did.
            assert_eq!(of(&[closed.clone(), stopped.clone(), failed("f")]), "gd");
            let again = vec![session_started()];
            assert_eq!(of(&[closed.clone(), stopped.clone(), again.clone()]), "bd cd dd ed gd");
            assert_eq!(of(&[closed.clone(), stopped.clone(), again, vec![retried("a")]]), "");
        }
    }

    #[test]
    fn what_was_skipped_because_of_a_failure_is_tried_again_with_it() {
        let spec = list();
        let again = |events: &[Vec<EventKind>]| to_retry(&state_after(&spec, &events.concat()));
        let skipped = |ids: &[&str], reason| -> Vec<EventKind> {
            let settlement = with(Outcome::Skipped, Some(reason), "it depends on another");
            ids.iter().map(|id| settled(id, settlement.clone())).collect()
        };
        let by_a = skipped(&["b", "c", "d", "e", "g"], FailureReason::Dependency);
        assert_eq!(again(&[failed("a"), by_a]), [0, 1, 2, 3, 4, 6]);
        // By a condition, its own or another's, it is not.
        let by_b = skipped(&["d", "e"], FailureReason::Condition);
        assert!(again(&[success("a"), not_wanted("b"), by_b.clone()]).is_empty());
        // But where something failed besides.
        assert_eq!(again(&[success("a"), not_wanted("b"), by_b, failed("c")]), [2, 3, 4]);
    }
}
