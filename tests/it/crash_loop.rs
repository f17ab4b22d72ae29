//! Sessions that are killed again and again, and resumed until they are done: at random moments, with seeds that are
//! told, and at every single step of a small one.
//!
//! Each agent writes the mark of its attempt to a file of its task outside of every worktree: its side effect. What has
//! to hold at the end: an attempt had its effect once and none twice, a task whose end was recorded was not done again,
//! every commit is there, and `status.json` could be read at every moment.
//!
//! `PLEACH_TEST_SEEDS=100` runs so many seeds instead of the usual few; `PLEACH_TEST_SEEDS=@17` only that one.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, UnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{PATIENCE, Process, Project};

/// How many seeds are run when nobody says.
const USUAL_SEEDS: u64 = 8;
/// So many are killed at once.
const SIDE_BY_SIDE: usize = 2;
/// The most often that a session of a seed is killed.
const MOST_KILLS: u64 = 4;
/// The points at which the program can be killed; all of them in the supervisor.
const POINTS: [&str; 15] = [
    "fsync",
    "rename",
    "journal",
    "journaled",
    "branched",
    "combined",
    "base-pinned",
    "registered",
    "checked-out",
    "spawned",
    "go",
    "gone",
    "committed",
    "settled",
    "trashed",
];

/// Random numbers that are the same for a seed, wherever it runs (splitmix64).
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// How a session is interrupted.
#[derive(Debug)]
pub enum Kill {
    /// The supervisor, at a point that it passes for the N-th time.
    At(String),
    /// The supervisor, after so many milliseconds.
    After(u64),
    /// The supervisor and then so many of its runners, or all that is there.
    With(u64, usize),
}

impl Kill {
    /// Any of them; there may be more points than those that every session passes.
    pub fn any(random: &mut Random, more: &[&'static str]) -> Self {
        match random.below(8) {
            0..=3 => {
                let points = [&POINTS, more].concat();
                let point = points[random.below(points.len() as u64) as usize];
                let most = if ["fsync", "rename", "journal", "journaled"].contains(&point) {
                    60
                } else {
                    12
                };
                Self::At(format!("{point}:{}@supervisor", 1 + random.below(most)))
            }
            4 | 5 => Self::After(random.below(900)),
            6 => Self::With(random.below(900), 1),
            _ => Self::With(random.below(900), usize::MAX),
        }
    }
}

/// A session whose agents append the mark of their attempt to a file each, and commit.
pub struct Crashing {
    pub project: Project,
    pub tasks: Vec<String>,
    /// How it is started.
    pub run: Vec<String>,
}

impl Crashing {
    fn new(tasks: usize) -> Self {
        let project = Project::new();
        let effects = project.root().join("effects");
        fs::create_dir(&effects).expect("make a directory");
        let tasks: Vec<String> = (0..tasks).map(|n| format!("t{n}")).collect();
        let script = |task: &String| {
            format!(
                "echo $PLEACH_ATTEMPT >>{}; echo $PLEACH_ATTEMPT >>{task}.txt; git add {task}.txt; \
                 git commit -qm did-{task}; echo more >left.txt",
                effects.join(task).display()
            )
        };
        let scripts: Vec<String> = tasks.iter().map(script).collect();
        let prompts: Vec<(&str, &str)> = tasks
            .iter()
            .zip(&scripts)
            .map(|(id, s)| (id.as_str(), s.as_str()))
            .collect();
        // An agent whose prompt is a shell script.
        let (agent, file) = (project.shell_agent(), project.beside("tasks.json"));
        let entry = |(number, (id, prompt)): (usize, (&str, &str))| {
            // From the third on each starts from one before it, or from the merge of two.
            let on: BTreeSet<usize> = [number / 3, number / 2].into_iter().filter(|_| number > 1).collect();
            let on: Vec<String> = on.into_iter().map(|n| format!("t{n}")).collect();
            json!({ "id": id, "prompt": prompt, "depends_on": on })
        };
        let entries: Vec<Value> = prompts.into_iter().enumerate().map(entry).collect();
        fs::write(&file, json!({ "prompts": entries }).to_string()).expect("write the tasks");
        let run = ["run", "--claude", &agent, "--max-parallel", "3", &file].map(str::to_owned);
        Self {
            project,
            tasks,
            run: run.to_vec(),
        }
    }

    fn arguments(&self) -> Vec<&str> {
        self.run.iter().map(String::as_str).collect()
    }

    /// Starts the session, whose supervisor may be killed at a point, even before it has said a word.
    pub fn start(&self, at: Option<&str>) {
        assert!(self.command(&self.arguments(), at) || at.is_some(), "it does not start");
    }

    pub fn resume(&self, at: Option<&str>) {
        assert!(self.command(&["resume"], at) || at.is_some(), "it does not go on");
    }

    /// Whether it succeeds.
    fn command(&self, arguments: &[&str], at: Option<&str>) -> bool {
        let mut command = self.project.pleach_command(arguments);
        command.envs(at.map(|at| ("PLEACH_TEST_KILL", at)));
        let output = command.output().expect("run pleach");
        if at.is_none() && !output.status.success() {
            eprintln!("{arguments:?}: {output:?}");
        }
        output.status.success()
    }

    pub fn status(&self) -> Value {
        self.project.query(&["status"])
    }

    /// Lets it go on until it has ended or its supervisor is gone; and says whether it has ended.
    fn until_quiet(&self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.status()["overall_status"].as_str() {
                Some("running") => assert!(Instant::now() < deadline, "it runs for ever: {:#}", self.status()),
                Some("interrupted") => return false,
                Some("completed") => return true,
                other => panic!("{other:?}: {:#}", self.status()),
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills the supervisor, and as many runners; all of them and what is below them for the largest number.
    pub fn kill(&self, runners: usize) {
        let of = |verb: &str| -> Vec<Process> {
            let processes = self.project.processes();
            processes.into_iter().filter(|p| p.line.contains(verb)).collect()
        };
        let victims = of("__supervisor").into_iter().map(|p| p.pid);
        let mut victims: Vec<Pid> = victims.collect();
        if runners == usize::MAX {
            victims.extend(self.project.processes().into_iter().map(|p| p.pid));
        } else {
            victims.extend(of("__runner").into_iter().map(|p| p.pid).take(runners));
        }
        for pid in victims {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    fn session_dir(&self) -> Option<PathBuf> {
        let entries = fs::read_dir(self.project.repo().join(".git/pleach/results")).ok()?;
        let mut sessions = entries
            .flatten()
            .filter(|e| e.file_name().to_string_lossy().starts_with("session-"));
        sessions.next().map(|entry| entry.path())
    }

    pub fn journal(&self) -> Vec<Value> {
        let path = self.session_dir().expect("a session").join("journal.jsonl");
        let text = fs::read_to_string(path).expect("read the journal");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a record"))
            .collect()
    }

    /// Reads `status.json` as often as it can until `done`, and gives how often that was.
    fn poll(&self, done: &AtomicBool) -> usize {
        let mut reads = 0;
        while !done.load(Ordering::Relaxed) {
            if let Some(dir) = self.session_dir() {
                let text = fs::read(dir.join("status.json")).expect("there is a status");
                let status: Value = serde_json::from_slice(&text)
                    .unwrap_or_else(|e| panic!("{e} in {}", String::from_utf8_lossy(&text)));
                assert_eq!(status["schema"], 1, "{status:#}");
                assert_eq!(status["tasks"].as_array().map(Vec::len), Some(self.tasks.len()));
                reads += 1;
            }
            thread::sleep(Duration::from_millis(3));
        }
        reads
    }

    /// What has to hold when it is done, and no task had to be tried again.
    fn check(&self, about: &str) {
        self.check_effects(about);
        let journal = self.journal();
        for task in &self.tasks {
            let count = |event: &str| {
                journal
                    .iter()
                    .filter(|r| r["event"] == event && r["task"] == **task)
                    .count()
            };
            assert_eq!(
                (count("attempt_ended"), count("task_settled")),
                (1, 1),
                "{about}, {task}"
            );
            assert_eq!(count("attempt_started"), 1 + count("attempt_lost"), "{about}, {task}");
        }
        assert_eq!(self.project.agents(), Vec::<String>::new(), "{about}");
        assert_eq!(self.project.git(&["status", "--porcelain"]), "", "{about}");
        let checked = self
            .project
            .command("git")
            .args(["fsck", "--no-dangling"])
            .output()
            .expect("run git");
        assert!(checked.status.success(), "{about}: {checked:?}");
    }

    /// Every task succeeded, no attempt ran twice or before it was recorded, and every commit is there.
    fn check_effects(&self, about: &str) {
        let (status, journal) = (self.status(), self.journal());
        let refs = self.project.git(&["for-each-ref", "--format=%(refname)"]);
        for (index, task) in self.tasks.iter().enumerate() {
            let shown = &status["tasks"][index];
            assert_eq!(shown["outcome"], "succeeded", "{about}: {shown:#}");
            let starts = journal
                .iter()
                .filter(|r| r["event"] == "attempt_started" && r["task"] == **task);
            let started: Vec<&str> = starts.filter_map(|r| r["attempt"].as_str()).collect();
            let effects = fs::read_to_string(self.project.root().join("effects").join(task)).unwrap_or_default();
            let ran: BTreeSet<&str> = effects.lines().collect();
            assert_eq!(
                ran.len(),
                effects.lines().count(),
                "{about}, {task}: an attempt ran twice: {effects}"
            );
            let recorded = |mark: &&str| started.contains(mark);
            assert!(
                ran.iter().all(recorded),
                "{about}, {task}: {ran:?} ran, and {started:?} were recorded"
            );
            // The last one is the one whose end is recorded.
            let last = *started.last().expect("an attempt");
            assert!(ran.contains(last), "{about}, {task}: {last} did not run");
            let branch = shown["branch"].as_str().expect("a branch");
            let show = |what: &str| self.project.show(&format!("{branch}:{what}"));
            // Every attempt went on where the one before had left its file.
            let marks = show(&format!("{task}.txt"));
            assert!(marks.lines().all(|mark| ran.contains(mark)), "{about}, {task}: {marks}");
            assert_eq!(marks.lines().last(), Some(last), "{about}, {task}");
            assert_eq!(show("left.txt"), "more\n", "{about}, {task}");
            let log = self.project.git(&["log", "--format=%s", &format!("main..{branch}")]);
            assert!(
                log.lines().any(|subject| subject == format!("did-{task}")),
                "{about}, {task}: {log}"
            );
            assert!(refs.contains(&format!("/{task}/head\n")), "{about}, {task}: {refs}");
        }
    }
}

/// One session of twenty tasks, killed as its seed has it.
fn crash(seed: u64) -> usize {
    let mut random = Random(seed);
    let kills: Vec<Kill> = (0..=random.below(MOST_KILLS))
        .map(|_| Kill::any(&mut random, &[]))
        .collect();
    let about = format!("seed {seed}: {kills:?}");
    let crashing = Crashing::new(20);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let poll = scope.spawn(|| crashing.poll(&done));
        let mut started = false;
        let mut go_on = |at: Option<&str>| match std::mem::replace(&mut started, true) {
            false => crashing.start(at),
            true => crashing.resume(at),
        };
        for kill in &kills {
            let ended = match kill {
                Kill::At(point) => {
                    go_on(Some(point));
                    crashing.until_quiet()
                }
                Kill::After(ms) | Kill::With(ms, _) => {
                    go_on(None);
                    thread::sleep(Duration::from_millis(*ms));
                    crashing.kill(if let Kill::With(_, runners) = kill { *runners } else { 0 });
                    crashing.until_quiet()
                }
            };
            if ended {
                break;
            }
        }
        if crashing.status()["overall_status"] != "completed" {
            go_on(None);
            assert!(crashing.until_quiet(), "{about}: {:#}", crashing.status());
        }
        done.store(true, Ordering::Relaxed);
        let reads = poll
            .join()
            .unwrap_or_else(|_| panic!("{about}: the status could not be read"));
        crashing.check(&about);
        reads
    })
}

/// The seeds that are asked for.
pub fn seeds() -> Vec<u64> {
    let asked = std::env::var("PLEACH_TEST_SEEDS").unwrap_or_default();
    match asked.strip_prefix('@').map(str::parse) {
        Some(Ok(seed)) => vec![seed],
        _ => (1..=asked.parse().unwrap_or(USUAL_SEEDS)).collect(),
    }
}

/// Does this for each, some side by side; and fails with all that failed.
pub fn side_by_side<T: Sync>(items: &[T], run: impl Fn(&T) -> Option<String> + Sync) {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failed = Vec::new();
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            failed.extend(run(item));
        }
        failed
    };
    let failed: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..SIDE_BY_SIDE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|w| w.join().expect("no panic")).collect()
    });
    assert!(
        failed.is_empty(),
        "{} of {} failed: {failed:?}",
        failed.len(),
        items.len()
    );
}

pub fn caught(about: String, run: impl FnOnce() + UnwindSafe) -> Option<String> {
    catch_unwind(run).is_err().then_some(about)
}

// Fault 1: the supervisor is killed at random moments, again and again.
// Fault 3: everything is killed at once, as by a reboot.
#[test]
fn a_session_that_is_killed_at_random_and_resumed_does_everything_once() {
    side_by_side(&seeds(), |&seed| {
        caught(format!("seed {seed}"), move || {
            let reads = crash(seed);
            assert!(reads > 10, "the status was read {reads} times only");
        })
    });
}

/// Kills a small session at the first, the second, ... passage of each point, until one passes without being killed.
/// `go` starts it, brings it to its end, and says whether it was killed.
fn at_every_passage(points: &[&str], role: &str, at_least: u64, go: impl Fn(&Crashing, &str) -> bool + Sync) {
    side_by_side(points, |point| {
        for passage in 1.. {
            let at = format!("{point}:{passage}@{role}");
            let mut was_killed = false;
            let killed = &mut was_killed;
            let failed = caught(at.clone(), AssertUnwindSafe(|| *killed = go(&Crashing::new(2), &at)));
            if failed.is_some() || !was_killed {
                assert!(
                    passage > at_least || failed.is_some(),
                    "{point} is passed {passage} times only"
                );
                return failed;
            }
        }
        None
    });
}

// Fault 1: the supervisor is killed before every fsync and rename, and around every record.
#[test]
fn a_supervisor_that_is_killed_at_any_step_leaves_a_session_that_goes_on() {
    at_every_passage(
        &["fsync", "rename", "journal", "journaled"],
        "supervisor",
        5,
        |crashing, at| {
            crashing.start(Some(at));
            let killed = !crashing.until_quiet();
            if killed {
                crashing.resume(None);
                assert!(crashing.until_quiet(), "{at}: {:#}", crashing.status());
            }
            crashing.check(at);
            killed
        },
    );
}

// Fault 1: `run` itself is killed before every fsync and rename: there is a session that goes on, or none.
#[test]
fn a_run_that_is_killed_at_any_step_leaves_a_session_or_none() {
    at_every_passage(&["fsync", "rename"], "command", 1, |crashing, at| {
        let killed = !crashing.command(&crashing.arguments(), Some(at));
        if crashing.session_dir().is_none() {
            assert!(killed, "{at}: it was not killed, and there is no session");
            assert_eq!(crashing.project.query(&["list"])["sessions"], json!([]), "{at}");
            crashing.start(None);
        }
        if !crashing.until_quiet() {
            crashing.resume(None);
            assert!(crashing.until_quiet(), "{at}: {:#}", crashing.status());
        }
        crashing.check(at);
        killed
    });
}

// Fault 1: each runner is killed before every fsync and rename: its attempt has ended, or is lost and can be made again.
#[test]
fn a_runner_that_is_killed_at_any_step_loses_its_attempt_and_no_work() {
    at_every_passage(&["fsync", "rename"], "runner", 1, |crashing, at| {
        crashing.start(Some(at));
        assert!(crashing.until_quiet(), "{at}: {:#}", crashing.status());
        let failed = crashing.status()["failed"] != 0;
        if failed {
            assert!(crashing.command(&["resume", "--retry-failed"], None), "{at}");
            assert!(crashing.until_quiet(), "{at}: {:#}", crashing.status());
        }
        assert_eq!(crashing.status()["successful"], 2, "{at}: {:#}", crashing.status());
        crashing.check_effects(at);
        failed
    });
}
