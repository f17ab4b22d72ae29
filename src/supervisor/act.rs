//! Carries out what was decided, each thing beside the loop, and reports back through its channel.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{Write, stderr};
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::spawn_blocking;
use tracing::debug;
use uuid::Uuid;

use super::answers;
use super::attempt::{self, Word};
use super::combine;
use super::decide::{Action, Input, NewAttempt, NoWorktree, Short, resumes};
use super::files::Files;
use super::handlers::Handling;
use super::keeping::Keeping;
use super::runner_request::{Beginning, exclude, runner_request};
use super::setting_up;
use super::takeover::{self, Ended};
use crate::clean;
use crate::git;
use crate::session::{Graph, NextAttempt, SessionSpec, SessionState, Site, TaskRecord, TaskState};
use crate::store::lock::Lock;
use crate::store::paths::{AttemptPaths, SessionPaths};
use crate::store::{Shortage, atomic};
use crate::worktree::{self, RefWatch, Workshop, WorktreeError, forget_removed};

/// What the supervisor works with.
pub(super) struct Hands {
    shared: Arc<Shared>,
    /// To those who look after the runners.
    words: HashMap<usize, UnboundedSender<Word>>,
    /// Among the agents of all sessions, for the runners of tasks that are prepared.
    places: HashMap<usize, Lock>,
    /// The settled tasks for which somebody does what is to be done.
    handled: HashSet<usize>,
}

pub(super) struct Shared {
    pub(super) paths: SessionPaths,
    pub(super) spec: SessionSpec,
    graph: Graph,
    pub(super) shop: Option<Workshop>,
    pub(super) files: Files,
    sender: UnboundedSender<Input>,
    /// What is known of each task's snapshots; held while its worktree is looked into.
    pub(super) keeping: Vec<Mutex<Keeping>>,
    /// The refs that are none of ours.
    pub(super) refs: Mutex<Option<RefWatch>>,
    pub(super) handling: Handling,
}

impl Hands {
    pub(super) fn new(
        paths: SessionPaths,
        spec: SessionSpec,
        shop: Option<Workshop>,
        sender: UnboundedSender<Input>,
    ) -> Self {
        let shared = Arc::new(Shared {
            paths,
            keeping: spec.tasks.iter().map(|_| Mutex::default()).collect(),
            refs: Mutex::default(),
            graph: Graph::of(&spec.tasks).unwrap_or_default(),
            handling: Handling::default(),
            spec,
            shop,
            files: Files::default(),
            sender,
        });
        shared.remember_refs();
        Self {
            shared,
            words: HashMap::new(),
            places: HashMap::new(),
            handled: HashSet::new(),
        }
    }

    /// Keeps a place for the runner of a task that is prepared.
    pub(super) fn keep_place(&mut self, task: usize, place: Lock) {
        self.places.insert(task, place);
    }

    /// Gives back the places of tasks that are not prepared any more.
    pub(super) fn give_places_back(&mut self, state: &SessionState) {
        let is_prepared = |task: usize| matches!(state.tasks[task].state, TaskState::Preparing { .. });
        self.places.retain(|task, _| is_prepared(*task));
    }

    /// Puts the logs of attempts that have ended where the user wants them.
    pub(super) fn copy_logs(&self, state: &SessionState) {
        self.shared.copy_logs(state);
    }

    /// Lets the commands for settled tasks end soon, when the session is to stop.
    pub(super) fn hurry_handlers(&self, state: &SessionState) {
        let grace_ms = self.shared.spec.options.grace_ms;
        self.shared.handling.hurry(state, grace_ms);
    }

    /// Warns, in its own time, when the checkout has changes that the agents will not see.
    pub(super) fn look_at_checkout(&self) {
        let shared = self.shared.clone();
        spawn_blocking(move || {
            let shop = shared.shop.as_ref();
            if let Some(text) = shop.and_then(|shop| git::dirty_warning(&shop.place, &shop.drivers)) {
                shared.tell(Input::Warning(text));
            }
        });
    }

    /// Frees, in its own time, what is past its time. What cannot be freed stays for the next one: it is no affair of
    /// this session, and is only said in the log.
    pub(super) fn empty_trash(&self) {
        let shared = self.shared.clone();
        spawn_blocking(move || {
            let Some(shop) = &shared.shop else { return };
            forget_removed(&shop.place);
            for what in clean::in_passing(&shop.place, &shop.worktrees) {
                let _ = writeln!(stderr(), "{what}");
            }
        });
    }

    /// Whether it is what is done already for a task that is settled.
    pub(super) fn is_under_way(&self, action: &Action) -> bool {
        matches!(action, Action::Handle { task } if self.handled.contains(task))
    }

    /// Begins to do it.
    pub(super) fn act(&mut self, action: Action, state: &SessionState) {
        debug!(?action, "begins");
        let shared = self.shared.clone();
        let record = |task: usize| state.tasks[task].clone();
        match action {
            Action::Combine { task } => {
                self.words.remove(&task);
                let parts = combine::parts(state, task);
                spawn_blocking(move || shared.combine(task, &parts));
            }
            Action::Provision { task, site } => {
                // Nobody looks after a runner of it now.
                self.words.remove(&task);
                let record = record(task);
                spawn_blocking(move || shared.provision(task, &record, site.as_ref()));
            }
            Action::Start { task, number } => {
                let (sender, words) = unbounded_channel();
                self.words.insert(task, sender);
                let (record, place) = (record(task), self.places.remove(&task));
                tokio::spawn(async move { shared.attempt((task, number), record, place, words).await });
            }
            Action::Go { task } => {
                self.tell(task, Word::Go);
                shared.keep_later(task, state);
            }
            Action::Snapshot { task, number } => shared.keep_now(task, number, record(task)),
            Action::End { task, how } => {
                if let Some(words) = self.words.get(&task) {
                    shared.end(task, how, record(task), words.clone());
                }
            }
            Action::TakeOver { task, search } => {
                let (sender, words) = unbounded_channel();
                self.words.insert(task, sender);
                shared.keep_later(task, state);
                let record = record(task);
                tokio::spawn(async move { shared.take_over(task, record, search, words).await });
            }
            Action::Release { task } => match self.words.remove(&task) {
                // The one who looks after the runner sees that the word will not come, and undoes the worktree.
                Some(words) => drop(words),
                None => {
                    let record = record(task);
                    spawn_blocking(move || shared.release(task, &record));
                }
            },
            Action::Settle { task } => {
                self.words.remove(&task);
                let record = record(task);
                spawn_blocking(move || {
                    let (settlement, short) = shared.settle(task, &record);
                    shared.tell(match short {
                        None => Input::Settled { task, settlement },
                        Some(short) => Input::Unsettled {
                            task,
                            short,
                            settlement,
                        },
                    });
                });
            }
            Action::Remove { task } => {
                let record = record(task);
                spawn_blocking(move || shared.remove(task, &record));
            }
            Action::Handle { task } => {
                if self.handled.insert(task) {
                    tokio::spawn(shared.handle(task, record(task)));
                }
            }
            Action::Forget(path) => {
                // One that stays is read again by another supervisor: that makes no difference.
                let _ = fs::remove_file(path);
            }
        }
    }

    fn tell(&self, task: usize, word: Word) {
        if let Some(words) = self.words.get(&task) {
            let _ = words.send(word);
        }
    }
}

impl Shared {
    pub(super) fn tell(&self, input: Input) {
        // Nobody listens only when the loop has ended with an error, which is in the log.
        let _ = self.sender.send(input);
    }

    fn provision(&self, task: usize, record: &TaskRecord, site: Option<&Site>) {
        let result = match self.shop.as_ref().zip(site) {
            None => Ok(()),
            Some((shop, site)) => self.files.turn().map_err(NoWorktree::Short).and_then(|_turn| {
                let fitting = self.shop_at(shop, site);
                let shop = &fitting.map_err(|e| without(e.to_string(), shop.shortage_behind(&e)))?;
                if record.attempts > 0 {
                    return self.provision_again(task, record, shop, site);
                }
                let made = worktree::provision(shop, site, &record.id);
                let notes = made.map_err(|e| match (e.error, e.shortage) {
                    (WorktreeError::Taken(what), None) => NoWorktree::Taken(what),
                    (error, shortage) => without(error.to_string(), shortage),
                })?;
                self.note(task, notes);
                Ok(())
            }),
        };
        self.tell(Input::Provisioned { task, result });
    }

    fn provision_again(
        &self,
        task: usize,
        record: &TaskRecord,
        shop: &Workshop,
        site: &Site,
    ) -> Result<(), NoWorktree> {
        let again = if record.next == NextAttempt::FromBase {
            let _undisturbed = self.of_task(task);
            worktree::afresh(shop, site, &record.id, record.attempts)
        } else {
            worktree::again(shop, site, &record.id)
        };
        let again = again.map_err(|e| without(e.to_string(), shop.shortage_behind(&e)))?;
        if again.is_new {
            let next = self.paths.attempt(record.id.as_ref(), record.attempts + 1);
            setting_up::mark_new(&next).map_err(|e| without(e.to_string(), Shortage::of(&e)))?;
        }
        self.note(task, again.notes);
        Ok(())
    }

    fn note(&self, task: usize, notes: Vec<String>) {
        for text in notes {
            self.tell(Input::TaskWarning { task, text });
        }
    }

    /// Undoes what was made for a task; not where an agent has worked before.
    fn undo(&self, record: &TaskRecord, shortage: Option<Shortage>) -> Result<(), WorktreeError> {
        match self.shop.as_ref().zip(record.site()) {
            Some((shop, site)) if record.attempts == 0 => match shortage {
                Some(_) => worktree::discard(shop, site, &record.id),
                None => worktree::release(shop, site, &record.id),
            },
            _ => Ok(()),
        }
    }

    /// Looks after an attempt that an earlier supervisor had started.
    async fn take_over(&self, task: usize, record: TaskRecord, search: bool, words: UnboundedReceiver<Word>) {
        let TaskState::Running { attempt, .. } = &record.state else {
            return;
        };
        let paths = self.paths.attempt(record.id.as_ref(), attempt.number);
        let ended = takeover::wait_for_end(&paths, attempt, search, words).await;
        self.copy_log(task, attempt.number);
        self.tell(match ended {
            Ended::Told(outcome) => Input::AttemptEnded { task, outcome },
            Ended::Lost(outcome) => Input::AttemptLost { task, outcome },
        });
    }

    fn release(&self, task: usize, record: &TaskRecord) {
        // After a crash: a runner that never had the word may be about to end.
        takeover::await_unheard(&self.paths.attempt(record.id.as_ref(), record.attempts + 1));
        let _turn = self.files.turn();
        if let Err(e) = self.undo(record, None) {
            self.tell(Input::Warning(format!(
                "the worktree of {} could not be undone: {e}",
                record.id
            )));
        }
        self.tell(Input::Released { task });
    }

    /// Looks after one attempt to its end.
    async fn attempt(
        self: Arc<Self>,
        (task, number): (usize, u32),
        record: TaskRecord,
        place: Option<Lock>,
        words: UnboundedReceiver<Word>,
    ) {
        self.keep_before(task, number, &record).await;
        let paths = self.paths.attempt(record.id.as_ref(), number);
        let goes_on = record.conversation.filter(|_| resumes(&self.spec, task, &record));
        let attempt = NewAttempt {
            number,
            id: Uuid::new_v4(),
            conversation: goes_on.unwrap_or_else(Uuid::new_v4),
            resumes: goes_on.is_some(),
            runner_pid: 0,
        };
        let shared = self.clone();
        let gathered = spawn_blocking(move || answers::gather(&shared.paths, &shared.spec, &shared.graph, task)).await;
        let answers = match gathered.unwrap_or_else(|e| Err(answers::NoAnswers::io(&e.into()))) {
            Ok(answers) => answers,
            Err(e) => return self.not_started(task, record, e.error, e.shortage).await,
        };
        for text in answers.notes {
            self.tell(Input::TaskWarning { task, text });
        }
        let begins = Beginning {
            site: record.site(),
            session: self.paths.dir(),
            number,
            attempt: attempt.id,
            conversation: attempt.conversation,
            resumes: attempt.resumes,
            from_base: record.next == NextAttempt::FromBase,
            went_wrong: record.went_wrong.as_ref(),
            cost_usd: record.cost_usd,
            sets_up: record.next == NextAttempt::FromBase
                || setting_up::is_due(&record, number, |n| self.paths.attempt(record.id.as_ref(), n)),
            answers: &answers.of,
        };
        let mut request = runner_request(&self.spec, task, &begins);
        if let Some((shop, site)) = self.shop.as_ref().zip(record.site())
            && let Some(excludes) = worktree::excludes(shop, &site.worktree)
        {
            exclude(&mut request, excludes);
        }
        let started = match self.publish_log(&record, &paths) {
            Ok(()) => attempt::start(&paths, &request, attempt, place).await,
            Err(e) => Err(e.into()),
        };
        let waiting = match started {
            Ok(waiting) => waiting,
            Err(e) => {
                let error = format!("its runner cannot be started: {}", e.error);
                return self.not_started(task, record, error, e.shortage).await;
            }
        };
        self.tell(Input::RunnerReady {
            task,
            attempt: waiting.attempt(),
        });
        match waiting.run(&paths, words).await {
            Some(outcome) => {
                self.copy_log(task, number);
                self.tell(Input::AttemptEnded { task, outcome });
            }
            None => {
                let shared = self.clone();
                let _ = spawn_blocking(move || shared.release(task, &record)).await;
            }
        }
    }

    /// No attempt is made after all.
    async fn not_started(self: Arc<Self>, task: usize, record: TaskRecord, error: String, shortage: Option<Shortage>) {
        let shared = self.clone();
        let _ = spawn_blocking(move || shared.undo(&record, shortage)).await;
        let result = Err(without(error, shortage));
        self.tell(Input::Provisioned { task, result });
    }

    /// Makes the log of the attempt the log of the task, before there is anything in it, so that it can be followed.
    fn publish_log(&self, record: &TaskRecord, paths: &AttemptPaths) -> std::io::Result<()> {
        atomic::private_dir(paths.dir())?;
        atomic::write(&paths.log(), b"", atomic::Durability::Fast)?;
        atomic::publish(&paths.log(), &self.paths.log(record.id.as_ref()))
    }

    /// Puts the log of an attempt that has ended into the directory that the user wants logs in.
    fn copy_log(&self, task: usize, number: u32) {
        let Some(dir) = &self.spec.options.log_dir else { return };
        let id = &self.spec.tasks[task].id;
        let to = dir.join(format!("{id}.{number}.log"));
        let from = self.paths.attempt(id.as_ref(), number).log();
        if let Err(e) = atomic::copy(&from, &to) {
            let text = format!(
                "the log of attempt {number} could not be copied to {}: {e}",
                to.display()
            );
            self.tell(Input::TaskWarning { task, text });
        }
    }

    /// The same for all that have ended: some of them while there was no supervisor.
    pub(super) fn copy_logs(&self, state: &SessionState) {
        if self.spec.options.log_dir.is_none() {
            return;
        }
        for (task, record) in state.tasks.iter().enumerate() {
            let last = self.paths.attempt(record.id.as_ref(), record.attempts).outcome();
            let runs = matches!(record.state, TaskState::Running { .. }) && !last.exists();
            (1..=record.attempts - u32::from(runs)).for_each(|number| self.copy_log(task, number));
        }
    }
}

pub(super) fn without(error: String, shortage: Option<Shortage>) -> NoWorktree {
    match shortage {
        Some(of) => NoWorktree::Short(Short { of, error }),
        None => NoWorktree::Failed(error),
    }
}
