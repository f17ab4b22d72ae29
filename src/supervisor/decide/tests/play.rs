//! Any order of inputs comes to an end, along legal moves, with each word given only for an attempt that is recorded: also
//! when agents fail, are refused and lost, when there is no room, when somebody wants to stop, and when the supervisor is
//! killed at any moment and another one goes on.

mod endings;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::session::fixture::bad_attempt;
use crate::session::{Event, apply};
use crate::supervisor::recover::{Found, recover};
use crate::supervisor::waits::Waits;

/// What may go wrong in a play.
#[derive(Clone, Copy, Debug, Default)]
struct Trouble {
    stops: bool,
    crashes: bool,
    /// The service refuses, and somebody has to log in.
    refusals: bool,
    /// Disks are full for a while.
    shortages: bool,
}

/// A supervisor without processes: what was begun ends some time later, in an order that a number decides.
pub(super) struct Play {
    spec: SessionSpec,
    state: SessionState,
    trouble: Trouble,
    /// What can happen next.
    open: Vec<Action>,
    /// The attempt of each task that waits for the word.
    waiting: BTreeMap<usize, NewAttempt>,
    /// The tasks whose agent was told to end, and has not yet.
    told: BTreeSet<usize>,
    /// The tasks whose agent runs: those of a supervisor that was killed go on.
    agents: BTreeSet<usize>,
    /// The tasks that could not be settled yet.
    unsettled: Vec<usize>,
    /// The tasks for which somebody does what is to be done.
    handled: BTreeSet<usize>,
    waits: Waits,
    now: Instant,
    /// How often each task was settled, and handled, since it was tried again.
    settled: BTreeMap<usize, (u32, u32)>,
    /// What has happened, in words.
    seen: BTreeSet<String>,
    dice: u64,
}

impl Play {
    fn new(spec: SessionSpec, trouble: Trouble, dice: u64) -> Self {
        Self {
            state: state_after(&spec, &[session_started()]),
            spec,
            trouble,
            open: Vec::new(),
            waiting: BTreeMap::new(),
            told: BTreeSet::new(),
            agents: BTreeSet::new(),
            unsettled: Vec::new(),
            handled: BTreeSet::new(),
            waits: Waits::default(),
            now: Instant::now(),
            settled: BTreeMap::new(),
            seen: BTreeSet::new(),
            dice,
        }
    }

    pub(super) fn throw(&mut self, sides: usize) -> usize {
        // Numerical Recipes' generator: the same on every machine.
        self.dice = self.dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) & 0xffff_ffff;
        (self.dice >> 16) as usize % sides
    }

    fn record(&mut self, events: Vec<EventKind>) {
        for kind in events {
            self.look_at(&kind);
            let event = Event { at_ms: MADE, kind };
            apply(&mut self.state, &event).unwrap_or_else(|e| panic!("{e}: {event:?}"));
        }
        let at_work = self.state.tasks.iter().filter(|t| {
            !matches!(
                t.state,
                TaskState::Pending { .. } | TaskState::Waiting { .. } | TaskState::Settled { .. }
            )
        });
        // Those of a supervisor before are settled, whatever else is.
        let more = usize::from(self.trouble.stops) * 5;
        assert!(at_work.count() <= 2 + more);
    }

    /// What has to hold of an event, in the state before it.
    fn look_at(&mut self, kind: &EventKind) {
        match kind {
            EventKind::AttemptStarted { task, .. } => {
                let task = self.state.index_of(task).expect("a task");
                let on = self.state.graph.dependencies(task);
                let succeeded = |on: &usize| {
                    !self.state.tasks[*on].is_unsuccessful() && self.state.tasks[*on].settlement().is_some()
                };
                assert!(on.iter().all(succeeded), "{task} starts before {on:?}");
                assert!(!pool::is_closed(&self.state), "{task} starts in a closed session");
            }
            EventKind::TaskSettled { task, .. } => {
                let task = self.state.index_of(task).expect("a task");
                assert!(!self.agents.contains(&task), "{task} is settled while its agent runs");
                self.settled.entry(task).or_default().0 += 1;
                assert_eq!(self.settled[&task].0, 1, "{task} is settled twice");
            }
            EventKind::TaskHandled { task, .. } => {
                let task = self.state.index_of(task).expect("a task");
                self.settled.entry(task).or_default().1 += 1;
                assert_eq!(self.settled[&task], (1, 1), "{task} is handled");
            }
            EventKind::TaskRetried { task } => {
                let task = self.state.index_of(task).expect("a task");
                self.settled.remove(&task);
            }
            EventKind::TaskWaits { task, wait } => {
                let record = &self.state.tasks[self.state.index_of(task).expect("a task")];
                let most = if wait.counts { 2 } else { u32::MAX };
                assert!(record.retries < most, "{task} is tried again too often");
                self.seen.insert(format!("waits for {:?} {}", wait.next, wait.counts));
            }
            _ => {}
        }
    }

    fn begin(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Go { task } => {
                    assert!(
                        matches!(self.state.tasks[task].state, TaskState::Running { .. }),
                        "{task} is not recorded"
                    );
                    self.waiting.remove(&task).expect("a runner waits for the word");
                    assert!(self.agents.insert(task), "two agents work on {task}");
                    self.open.push(action);
                }
                Action::Settle { task } => {
                    // It may wait for another attempt instead.
                    match instead_of_settling(&self.spec, &self.state, task) {
                        Some(waits) => self.record(vec![waits]),
                        None => self.open_once(action),
                    }
                }
                Action::Snapshot { task, .. } => {
                    assert!(matches!(self.state.tasks[task].state, TaskState::Running { .. }));
                }
                Action::End { task, .. } => {
                    self.told.insert(task);
                }
                Action::Handle { task } => {
                    if self.handled.insert(task) {
                        self.open.push(action);
                    }
                }
                Action::Forget(_) => {}
                _ => self.open_once(action),
            }
        }
    }

    /// Nothing is done for a task twice at once.
    fn open_once(&mut self, action: Action) {
        let task = task_of(&action);
        let other = |o: &&Action| task_of(o) == task && !matches!(o, Action::Handle { .. });
        let found = self.open.iter().find(other);
        assert!(found.is_none(), "{action:?} is begun while {found:?}");
        self.open.push(action);
    }

    /// Takes in some inputs at once, as the loop does, and gives the end of the session when it has come.
    fn round(&mut self) -> Option<EventKind> {
        for _ in 0..=self.throw(3) {
            let input = match self.throw(12) {
                0 if self.trouble.stops => Input::StopAsked(stop::thrown(self)),
                1 => Input::SnapshotDue {
                    task: self.throw(5),
                    number: 1,
                },
                2 if self.trouble.crashes && self.throw(4) == 0 => {
                    self.crash();
                    continue;
                }
                _ if self.open.is_empty() => break,
                _ => {
                    let chosen = self.throw(self.open.len());
                    let action = self.open.swap_remove(chosen);
                    self.ending(action)
                }
            };
            self.take(input);
        }
        self.after();
        let end = finish(&self.state).filter(|_| handlers::are_done(&self.spec, &self.state));
        self.record(end.iter().cloned().collect());
        end
    }

    fn take(&mut self, input: Input) {
        let (events, actions) = decide(&self.spec, &self.state, input);
        self.record(events);
        self.begin(actions);
    }

    /// What follows from the state alone.
    fn after(&mut self) {
        self.now += Duration::from_millis(300);
        for task in std::mem::take(&mut self.unsettled) {
            match (self.state.tasks[task].settlement().is_some(), self.throw(2)) {
                (true, _) => {}
                (false, 0) => self.unsettled.push(task),
                (false, _) => self.open_once(Action::Settle { task }),
            }
        }
        let (now, state) = (self.now, self.state.clone());
        for (events, actions) in [never_started(&state), self.waits.look(&state, now, MADE)] {
            self.record(events);
            for action in actions {
                self.open_once(action);
            }
        }
        let events = skipped(&self.state);
        self.record(events);
        let (events, actions) = schedule(&self.spec, &self.state);
        self.record(events);
        self.begin(actions);
        let due = handlers::due(&self.spec, &self.state);
        self.begin(due);
        let halted = self
            .state
            .halted
            .as_ref()
            .is_some_and(|why| why.contains("--fail-fast"));
        for task in &self.agents {
            let is_to_end = halted || self.state.stop_asked.or(self.state.tasks[*task].stop_asked).is_some();
            assert!(!is_to_end || self.told.contains(task), "{task} was not told to end");
        }
    }

    /// The supervisor is killed, and another one goes on.
    fn crash(&mut self) {
        self.open.clear();
        self.waiting.clear();
        self.told.clear();
        self.unsettled.clear();
        self.handled.clear();
        self.waits = Waits::default();
        self.go_on(GoOn::default());
    }

    fn go_on(&mut self, wanted: GoOn) {
        self.record(vec![session_started()]);
        let events = go_on(&self.spec, &self.state, &wanted);
        self.record(events);
        let found = self.throw(3);
        let found = |task: usize, _: &crate::session::Attempt| match found {
            _ if task.is_multiple_of(2) => Found::Lives,
            0 => Found::Ended(Box::new(good_attempt())),
            1 => Found::Lost,
            _ => Found::LostWithTheMachine,
        };
        let (inputs, actions) = recover(&self.spec, &self.state, found);
        for input in &inputs {
            if let Input::AttemptEnded { task, .. } = input {
                assert!(self.agents.remove(task), "{task} had no agent");
            }
        }
        self.begin(actions);
        inputs.into_iter().for_each(|input| self.take(input));
    }

    /// Plays until the session has ended.
    fn play_on(&mut self, about: &str) {
        let end = (0..3000).find_map(|_| self.round());
        assert!(end.is_some(), "{about}: no end: {:?}", self.state);
        assert!(
            self.open.is_empty() && self.waiting.is_empty() && self.agents.is_empty(),
            "{about}: {:?}",
            self.open
        );
        for (task, record) in self.state.tasks.iter().enumerate() {
            let is_wanted = self.spec.tasks[task].options.on_done.is_some();
            let is_settled = record.settlement().is_some();
            assert_eq!(record.is_handled, is_wanted && is_settled, "{about}: {record:?}");
        }
    }
}

fn task_of(action: &Action) -> Option<usize> {
    match action {
        Action::Combine { task }
        | Action::Provision { task, .. }
        | Action::Start { task, .. }
        | Action::Go { task }
        | Action::Release { task }
        | Action::Snapshot { task, .. }
        | Action::End { task, .. }
        | Action::TakeOver { task, .. }
        | Action::Settle { task }
        | Action::Remove { task }
        | Action::Handle { task } => Some(*task),
        Action::Forget(_) => None,
    }
}

/// Five tasks, two at once, some of which depend on others and some of which are handled.
fn of_five(seed: u64) -> SessionSpec {
    let mut spec = match seed % 3 {
        0 => dependencies::diamond(),
        _ => spec(&["a", "b", "c", "d", "e"]),
    };
    spec.options.fail_fast = seed.is_multiple_of(5);
    spec.options.retry_fresh = seed % 7 == 1;
    spec.options.retry_delay_ms = 1000;
    spec.tasks[1].options.on_done = Some("true".into());
    spec.tasks[3].options.on_done = Some("true".into());
    for task in &mut spec.tasks[..4] {
        task.options.retry = Some(2);
    }
    spec.options.max_parallel = Some(2);
    spec
}

#[test]
fn any_order_of_inputs_comes_to_an_end_with_nothing_left_over() {
    for seed in 0..1000 {
        let trouble = Trouble {
            stops: seed % 2 == 1,
            crashes: seed % 4 > 1,
            refusals: seed % 8 > 3,
            shortages: seed % 16 > 7,
        };
        let about = format!("{seed}: {trouble:?}");
        let mut play = Play::new(of_five(seed), trouble, seed);
        play.play_on(&about);
        // Whoever wants all of it has all of it, if nothing goes wrong with the session any more.
        play.trouble = Trouble::default();
        play.spec.options.fail_fast = false;
        play.handled.clear();
        play.waits = Waits::default();
        play.go_on(GoOn {
            retry_failed: true,
            max_cost_usd: None,
        });
        play.play_on(&about);
        assert!(play.state.all_settled(), "{about}: {:?}", play.state);
    }
}

#[test]
fn a_session_that_costs_too_much_starts_no_more_than_runs_by_then() {
    for seed in 0..500 {
        let mut spec = of_five(seed);
        for task in &mut spec.tasks {
            task.options.retry = None;
        }
        // A good attempt costs half a dollar: there is something left when it is above that.
        spec.options.max_cost_usd = Some(0.5);
        let trouble = Trouble {
            stops: seed % 2 == 1,
            ..Trouble::default()
        };
        let mut play = Play::new(spec, trouble, seed);
        play.play_on(&format!("{seed}"));
        let cost = play.state.cost_usd.unwrap_or_default();
        // Above the limit with the second that ends, while one more may run.
        assert!(cost <= 1.5, "{seed}: {cost}");
    }
}

#[test]
fn a_play_goes_through_all_that_can_happen() {
    let mut seen = BTreeSet::new();
    for seed in 0..400 {
        let trouble = Trouble {
            stops: false,
            crashes: true,
            refusals: true,
            shortages: true,
        };
        let mut play = Play::new(of_five(seed), trouble, seed);
        for _ in 0..3000 {
            let end = play.round();
            for record in &play.state.tasks {
                match &record.state {
                    TaskState::Pending { site: Some(_) } => {
                        seen.insert(format!("pending between {}", record.is_between_attempts()))
                    }
                    TaskState::Settled { settlement, .. } => seen.insert(format!("{:?}", settlement.outcome)),
                    _ => false,
                };
            }
            if end.is_some() {
                break;
            }
        }
        seen.append(&mut play.seen);
    }
    let expected = [
        "Failed",
        "Skipped",
        "Stopped",
        "Succeeded",
        "pending between false",
        "pending between true",
        "waits for Anew false",
        "waits for Anew true",
        "waits for FromBase true",
        "waits for Resume true",
    ];
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}
