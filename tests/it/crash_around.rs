//! Sessions with all that goes on around agents, killed again and again, and resumed until they are done: dependencies on
//! several others, retries, what is set up and verified, handlers, answers in files, a rate limit, a login that is lacking,
//! and tasks that are not wanted.
//!
//! As long as only supervisors are killed, everything happens exactly once: runners, handlers and agents outlive them.
//! When those are killed too, what was cut off happens again, and still no attempt works twice.
//!
//! `PLEACH_TEST_SEEDS` as for the other crashes.

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::crash_loop::{Crashing, Kill, Random, caught, seeds, side_by_side};
use crate::support::{PATIENCE, Project};

/// The tasks that are wanted.
const TASKS: u64 = 9;
/// What only such sessions pass.
const POINTS: [&str; 4] = ["kept", "put-away", "moved-back", "handler-started"];

/// What a seed makes of a session.
struct Around {
    crashing: Crashing,
    /// Whether retries begin from the base.
    fresh: bool,
    /// What each task meets on its way.
    way: Vec<Way>,
    /// Whether something but supervisors is killed.
    hard: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Way {
    /// The agent ends with an error once.
    exits: bool,
    /// It is not verified the first time.
    is_refused_once: bool,
    /// The service refuses it for a while.
    is_limited: bool,
    /// Nobody is logged in at first.
    needs_login: bool,
}

impl Way {
    /// Who is to be tried again is settled instead when the session stops for want of a login: so it is one or the other.
    fn any(random: &mut Random, fresh: bool, needs_login: bool) -> Self {
        Self {
            exits: !needs_login && !fresh && random.below(3) == 0,
            is_refused_once: !needs_login && random.below(3) == 0,
            is_limited: random.below(4) == 0,
            needs_login: needs_login && random.below(3) == 0,
        }
    }

    fn retries(self) -> usize {
        usize::from(self.exits) + usize::from(self.is_refused_once)
    }
}

impl Around {
    fn new(random: &mut Random, hard: bool) -> Self {
        let (fresh, needs_login) = (random.below(4) == 0, random.below(4) == 0);
        let project = Project::new();
        let beside = |name: &str| project.root().join(name).display().to_string();
        let ids: Vec<String> = (0..TASKS).map(|n| format!("t{n}")).collect();
        let way: Vec<Way> = ids.iter().map(|_| Way::any(random, fresh, needs_login)).collect();
        let mut entries: Vec<Value> = Vec::new();
        for (id, way) in ids.iter().zip(&way) {
            let number = entries.len() as u64;
            let on: BTreeSet<String> = (0..random.below(4).min(number))
                .map(|_| format!("t{}", random.below(number)))
                .collect();
            let mut prompt = String::new();
            if way.needs_login {
                prompt += &format!("@login {}\n", beside("login"));
            }
            prompt += &format!(
                "@run echo $PLEACH_ATTEMPT >>{}; echo $PLEACH_ATTEMPT >>{id}.txt; git add {id}.txt; git commit -qm did-{id}\n",
                beside(&format!("effect-{id}"))
            );
            if way.is_limited {
                prompt += &format!("@rate-limit {}\n", beside("open"));
            }
            if way.exits {
                prompt += "@exit 3\n";
            }
            prompt += &format!("@write left.txt more\n@say the answer of {id}\n");
            if let Some(on) = on.first() {
                prompt += &format!("After {{{{answer {on}}}}}\n");
            }
            let mut entry = json!({
                "id": id,
                "prompt": prompt,
                "depends_on": on,
                "retry": 3,
                "setup": format!("echo x >>{}", beside(&format!("setup-{id}"))),
                "on_done": format!("echo $PLEACH_TASK_ID >>{}", beside(&format!("done-{id}"))),
                "output_file": beside(&format!("out-{id}")),
            });
            if way.is_refused_once {
                let mark = beside(&format!("verified-{id}"));
                entry["verify"] = json!(format!("test -e {mark} || {{ touch {mark}; exit 1; }}"));
            }
            entries.push(entry);
        }
        entries.extend(unwanted(beside));
        let file = project.beside("tasks.json");
        fs::write(&file, json!({ "prompts": entries }).to_string()).expect("write the tasks");
        let mut run: Vec<String> = [
            "run",
            "--agent",
            "scripted",
            "--max-parallel",
            "3",
            "--retry-delay",
            "100ms",
        ]
        .map(str::to_owned)
        .to_vec();
        run.extend(fresh.then(|| "--retry-fresh".to_owned()));
        run.push(file);
        let tasks = entries.iter().map(|e| e["id"].as_str().expect("an id").to_owned());
        let tasks = tasks.collect();
        let crashing = Crashing { project, tasks, run };
        Self {
            crashing,
            fresh,
            way,
            hard,
        }
    }

    /// Waits until it has ended, is stopped, or its supervisor is gone: how it is shown.
    fn until_quiet(&self, about: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.crashing.status();
            let shown = status["overall_status"].as_str().expect("a status");
            if shown != "running" {
                return shown.to_owned();
            }
            assert!(Instant::now() < deadline, "{about}: it runs for ever: {status:#}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.crashing.project.root().join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn open(&self, name: &str) {
        fs::write(self.crashing.project.root().join(name), "").expect("open the gate");
    }

    /// What has to hold when it is done.
    fn check(&self, about: &str) {
        let (status, journal) = (self.crashing.status(), self.crashing.journal());
        for (index, id) in self.crashing.tasks.iter().enumerate() {
            let shown = &status["tasks"][index];
            let about = format!("{about}, {id}");
            let of = |event: &str| {
                journal
                    .iter()
                    .filter(|r| r["event"] == event && r["task"] == **id)
                    .count()
            };
            assert_eq!((of("task_settled"), of("task_handled")), (1, 1), "{about}: {shown:#}");
            assert_eq!(
                of("attempt_started"),
                of("attempt_ended") + of("attempt_lost"),
                "{about}: {shown:#}"
            );
            let handled = self.lines(&format!("done-{id}"));
            assert!(
                handled.len() == 1 || self.hard && !handled.is_empty(),
                "{about}: {handled:?}"
            );
            // One whose supervisor was killed before it gave the word is made again.
            let mut notes = shown["notes"]
                .as_array()
                .expect("notes")
                .iter()
                .filter_map(Value::as_str);
            let said = notes.all(|note| note.contains("was cut off with its runner"));
            assert!(said || self.hard, "{about}: {shown:#}");
            match self.way.get(index) {
                Some(way) => self.check_wanted(&about, id, *way, shown, &journal),
                None => assert_eq!(
                    (&shown["outcome"], &shown["reason"]),
                    (&json!("skipped"), &json!("condition")),
                    "{about}: {shown:#}"
                ),
            }
        }
        let project = &self.crashing.project;
        assert_eq!(project.agents(), Vec::<String>::new(), "{about}");
        assert_eq!(project.git(&["status", "--porcelain"]), "", "{about}");
        let checked = project.command("git").args(["fsck", "--no-dangling"]).output();
        let checked = checked.expect("run git");
        assert!(checked.status.success(), "{about}: {checked:?}");
    }

    fn check_wanted(&self, about: &str, id: &str, way: Way, shown: &Value, journal: &[Value]) {
        assert_eq!(shown["outcome"], "succeeded", "{about}: {shown:#}");
        let of = |event: &str| -> Vec<&Value> {
            journal
                .iter()
                .filter(|r| r["event"] == event && r["task"] == *id)
                .collect()
        };
        let started: Vec<&str> = of("attempt_started")
            .iter()
            .filter_map(|r| r["attempt"].as_str())
            .collect();
        let effects = self.lines(&format!("effect-{id}"));
        let ran: BTreeSet<&str> = effects.iter().map(String::as_str).collect();
        assert_eq!(
            ran.len(),
            effects.len(),
            "{about}: an attempt worked twice: {effects:?}"
        );
        assert!(ran.iter().all(|mark| started.contains(mark)), "{about}: {effects:?}");
        let set_up = self.lines(&format!("setup-{id}")).len();
        let begun = 1 + if self.fresh { way.retries() } else { 0 };
        if self.hard {
            assert!(effects.len() >= begun && set_up >= 1, "{about}: {effects:?} {set_up}");
        } else {
            assert_eq!((effects.len(), set_up), (begun, begun), "{about}: {shown:#}");
            assert_eq!(of("task_waits").len(), way.retries(), "{about}: {shown:#}");
        }
        let resumed = of("attempt_started").iter().filter(|r| r["resumes"] == true).count();
        assert!(
            self.fresh || self.hard || resumed >= way.retries(),
            "{about}: {resumed}"
        );
        let branch = shown["branch"].as_str().expect("a branch");
        let show = |what: &str| self.crashing.project.show(&format!("{branch}:{what}"));
        let marks = show(&format!("{id}.txt"));
        assert!(marks.lines().all(|mark| ran.contains(mark)), "{about}: {marks}");
        assert!(self.hard || marks.lines().count() == 1, "{about}: {marks}");
        assert_eq!(show("left.txt"), "more\n", "{about}");
        // All that it depends on is in it.
        let file = &self.crashing.run.last().expect("the tasks");
        let list: Value = serde_json::from_slice(&fs::read(file).expect("the tasks")).expect("JSON");
        let mut entries = list["prompts"].as_array().expect("tasks").iter();
        let entry = entries.find(|e| e["id"] == *id).expect("the task");
        for on in entry["depends_on"].as_array().expect("ids") {
            let on = on.as_str().expect("an id");
            assert_ne!(show(&format!("{on}.txt")), "", "{about}: {on}");
        }
        let answer = self.lines(&format!("out-{id}"));
        // What goes on after all was done has nothing else to say.
        if !way.is_refused_once && !self.hard {
            assert_eq!(answer, [format!("the answer of {id}")], "{about}");
        }
        assert!(!answer.is_empty(), "{about}");
    }
}

/// A task that is not wanted, and one that depends on it.
fn unwanted(beside: impl Fn(&str) -> String) -> [Value; 2] {
    [
        json!({
            "id": "not",
            "prompt": "@say no",
            "depends_on": ["t0"],
            "run_if": "false",
            "on_done": format!("echo $PLEACH_TASK_ID >>{}", beside("done-not")),
        }),
        json!({
            "id": "neither",
            "prompt": "@say no",
            "depends_on": ["not", "t1"],
            "on_done": format!("echo $PLEACH_TASK_ID >>{}", beside("done-neither")),
        }),
    ]
}

fn crash(seed: u64) {
    let mut random = Random(seed.wrapping_mul(77));
    let kills: Vec<Kill> = (0..=random.below(5)).map(|_| Kill::any(&mut random, &POINTS)).collect();
    let hard = kills.iter().any(|kill| matches!(kill, Kill::With(..)));
    let around = Around::new(&mut random, hard);
    let about = format!("seed {seed}: {kills:?}");
    let mut kills = kills.into_iter();
    let (mut started, mut refused) = (false, 0);
    let (gate, later) = (around.crashing.project.root().join("open"), random.below(3000));
    // Somebody else: a session that is to be killed may wait for it.
    let opens = thread::spawn(move || {
        thread::sleep(Duration::from_millis(later));
        fs::write(gate, "").expect("open the gate");
    });
    loop {
        let kill = kills.next();
        let point = match &kill {
            Some(Kill::At(point)) => Some(point.as_str()),
            _ => None,
        };
        match std::mem::replace(&mut started, true) {
            false => around.crashing.start(point),
            true => around.crashing.resume(point),
        }
        if let Some(Kill::After(ms) | Kill::With(ms, _)) = &kill {
            thread::sleep(Duration::from_millis(*ms));
            around.crashing.kill(if let Some(Kill::With(_, runners)) = kill {
                runners
            } else {
                0
            });
        }
        match around.until_quiet(&about).as_str() {
            "completed" => break,
            "interrupted" => assert!(kill.is_some(), "{about}: {:#}", around.crashing.status()),
            // Nobody was logged in, and now somebody is.
            "stopped" => {
                refused += 1;
                assert!(refused < 3, "{about}: {:#}", around.crashing.status());
                around.open("login");
            }
            other => panic!("{about}: {other}: {:#}", around.crashing.status()),
        }
    }
    opens.join().expect("it is open");
    around.check(&about);
}

// Fault 1: the supervisor is killed at random moments, again and again, and everything happens once.
// Fault 3: everything is killed at once, as by a reboot.
#[test]
fn what_goes_on_around_agents_happens_once_whenever_a_supervisor_is_killed() {
    side_by_side(&seeds(), |&seed| caught(format!("seed {seed}"), move || crash(seed)));
}
