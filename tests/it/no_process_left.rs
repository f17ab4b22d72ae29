//! No process of an agent is left, however its attempt ends.
//!
//! The agent ignores SIGTERM and so does all that it starts: daemons in OS sessions and groups of their own, one of them
//! without a single variable of its environment. Each writes down its pid. They are counted before and after: by the mark
//! that the processes of an attempt carry, and by those pids.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{Project, Ran};

/// Where the agent hides its daemons; each is `sh -c HIDDEN`.
const DAEMONS: [(&str, &str); 4] = [
    ("session", "setsid sh -c HIDDEN &"),
    ("orphan", "( ( setsid sh -c HIDDEN & ) & )"),
    ("group", "perl -e 'setpgrp; exec @ARGV' sh -c HIDDEN &"),
    ("unmarked", "( ( env -i PATH=\"$PATH\" setsid sh -c HIDDEN & ) & )"),
];

/// What happens to an attempt whose daemons are all there.
#[derive(Clone, Copy)]
enum Step {
    /// A command of pleach, to its end.
    Pleach(&'static [&'static str]),
    /// The agent may end by itself.
    Open,
    /// SIGKILL.
    Kill(Whom),
}

#[derive(Clone, Copy)]
enum Whom {
    Agent,
    Runner,
    Supervisor,
}

use Step::{Kill, Open, Pleach};

/// One way in which an attempt ends.
struct Case {
    /// Of `run`.
    options: &'static [&'static str],
    steps: &'static [Step],
    /// What its task has come to, and why it failed.
    outcome: (&'static str, Option<&'static str>),
}

const STOPPED: (&str, Option<&str>) = ("stopped", None);
const LOST: (&str, Option<&str>) = ("failed", Some("lost"));

/// Every row is a test of that name.
macro_rules! cases {
    ($($name:ident: $options:expr, $steps:expr => $outcome:expr;)*) => {
        $(#[test]
        fn $name() {
            no_process_is_left(&Case { options: &$options, steps: &$steps, outcome: $outcome });
        })*
    };
}

cases! {
    // Fault 26: SIGTERM ignored.
    after_a_stop: ["--grace", "200ms"], [Pleach(&["stop"])] => STOPPED;
    after_a_stop_with_a_time_of_its_own: ["--grace", "1h"], [Pleach(&["stop", "--grace", "200ms"])] => STOPPED;
    after_a_stop_at_once: ["--grace", "1h"], [Pleach(&["stop", "--now"])] => STOPPED;
    after_a_stop_of_its_task: ["--grace", "200ms"], [Pleach(&["stop", "", "hostile"])] => STOPPED;
    after_a_stop_of_its_task_at_once: ["--grace", "1h"], [Pleach(&["stop", "", "hostile", "--now"])] => STOPPED;
    after_a_stop_of_everything: ["--grace", "200ms"], [Pleach(&["stop", "--all"])] => STOPPED;
    after_a_time_out: ["--timeout", "8s", "--grace", "200ms"], [] => ("failed", Some("time_out"));
    // Fault 25: a daemon keeps the agent's standard output open.
    after_a_good_end: [], [Open] => ("succeeded", None);
    // Fault 2: kill -9 of the agent.
    after_the_agent_was_killed: [], [Kill(Whom::Agent)] => ("failed", Some("exit"));
    after_the_runner_was_killed: [], [Kill(Whom::Runner)] => LOST;
    after_agent_and_runner_were_killed: [], [Kill(Whom::Agent), Kill(Whom::Runner)] => LOST;
    // Fault 1: kill -9 of the supervisor.
    after_the_supervisor_was_killed_and_a_resume: [], [Kill(Whom::Supervisor), Pleach(&["resume"]), Open] => ("succeeded", None);
    after_the_supervisor_was_killed_and_a_stop: ["--grace", "200ms"], [Kill(Whom::Supervisor), Pleach(&["stop"])] => STOPPED;
    after_the_supervisor_was_killed_and_a_stop_of_everything: ["--grace", "200ms"], [Kill(Whom::Supervisor), Pleach(&["stop", "--all"])] => STOPPED;
    after_the_supervisor_was_killed_a_resume_and_a_stop: ["--grace", "200ms"], [Kill(Whom::Supervisor), Pleach(&["resume"]), Pleach(&["stop"])] => STOPPED;
    after_supervisor_and_runner_were_killed_and_a_stop: [], [Kill(Whom::Supervisor), Kill(Whom::Runner), Pleach(&["stop"])] => STOPPED;
    after_supervisor_and_runner_were_killed_and_a_stop_of_everything: [], [Kill(Whom::Supervisor), Kill(Whom::Runner), Pleach(&["stop", "--all"])] => STOPPED;
    // The second attempt makes the same daemons.
    after_supervisor_and_runner_were_killed_and_a_resume: [], [Kill(Whom::Supervisor), Kill(Whom::Runner), Pleach(&["resume"]), Open] => ("succeeded", None);
}

fn no_process_is_left(case: &Case) {
    let project = Project::new();
    let session = project.start(
        &[("hostile", &hostile(&project)), ("calm", "@wait ../../calm")],
        case.options,
    );
    let attempt = Attempt::of(&project);
    // Its time is not over before all are there, however long that takes.
    let times_out = case.steps.is_empty();
    if times_out {
        kill_process(attempt.runner, Signal::STOP).expect("stop the runner");
    }
    let daemons = DAEMONS.map(|(name, _)| (name, Seen::of(&project.line_beside(name))));
    project.await_file("up");
    // The agent too, and all but the one without an environment.
    assert!(
        attempt.marked(&project) >= DAEMONS.len(),
        "{}",
        attempt.marked(&project)
    );
    assert_eq!(living(&daemons), DAEMONS.map(|(name, _)| name));
    // Else it might be able to write down that its agent was killed before it is killed itself.
    if case.steps.iter().any(|s| matches!(s, Kill(Whom::Runner))) {
        kill_process(attempt.runner, Signal::STOP).expect("stop the runner");
    }
    if times_out {
        kill_process(attempt.runner, Signal::CONT).expect("let the runner go on");
    }
    for step in case.steps {
        match step {
            Open => project.open("gate"),
            Kill(Whom::Agent) => kill_process(attempt.agent, Signal::KILL).expect("kill the agent"),
            Kill(Whom::Runner) => kill_process(attempt.runner, Signal::KILL).expect("kill the runner"),
            Kill(Whom::Supervisor) => drop(project.kill_supervisor()),
            Pleach(arguments) => {
                let named = |&a: &&'static str| if a.is_empty() { session.clone() } else { a.to_owned() };
                let arguments: Vec<String> = arguments.iter().map(named).collect();
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                let ran: Ran = project.run(&arguments);
                assert_eq!(ran.code(), 0, "{arguments:?}: {ran:?}");
            }
        }
    }
    let task = project.until("the task is settled", |project| {
        let task = project.query(&["status"])["tasks"][0].clone();
        (task["status"] == "completed").then_some(task)
    });
    // From that moment on.
    assert_eq!(attempt.marked(&project), 0);
    let killed = |whom: fn(&Whom) -> bool| case.steps.iter().any(|s| matches!(s, Kill(w) if whom(w)));
    let both = killed(|w| matches!(w, Whom::Supervisor)) && killed(|w| matches!(w, Whom::Runner));
    // With nobody left whose child it could become, and nothing to be known by, that one is nobody's.
    let lost = if both { &["unmarked"][..] } else { &[] };
    assert_eq!(living(&daemons), lost);
    for (_, daemon) in daemons.iter().filter(|(name, _)| lost.contains(name)) {
        kill_process(pid_in(&daemon.0.parse::<i32>().expect("a pid").into()), Signal::KILL).expect("kill it");
    }
    // Those of another attempt, if there was one.
    let again = DAEMONS.iter().zip(&daemons).filter_map(|((name, _), (_, first))| {
        let pid = project.line_beside(name);
        (pid != first.0).then(|| (*name, Seen::of(&pid)))
    });
    assert_eq!(living(&again.collect::<Vec<_>>()), [""; 0]);
    assert_eq!(
        (&task["outcome"], &task["reason"]),
        (&case.outcome.0.into(), &case.outcome.1.into())
    );
    assert_eq!(project.show("main-task-hostile:a.txt"), "half\n");
    // Nor in the table of processes, as long as the session may run.
    let supervisor = project.query(&["status"])["supervisor"]["pid"].to_string();
    project.until("the dead are taken notice of", |_| {
        dead_below(&supervisor).is_empty().then_some(())
    });
    project.open("calm");
    project.run(&["wait"]);
    assert_eq!(project.agents(), [""; 0]);
}

/// The prompt of the agent: work, daemons, and then it waits.
fn hostile(project: &Project) -> String {
    let daemon = |(name, command): (&str, &str)| {
        let file = project.beside(name);
        let hidden = format!("'echo $$ >{file}.new; mv {file}.new {file}; exec sleep 600'");
        let command = command.replace("HIDDEN", &hidden);
        format!("@run ({command}) >/dev/null 2>&1\n@wait {file}\n")
    };
    format!(
        "@ignore-sigterm\n@write a.txt half\n@daemon 600\n{}@touch {}\n@wait {}",
        DAEMONS.map(daemon).concat(),
        project.beside("up"),
        project.beside("gate")
    )
}

/// The first attempt of the first task.
struct Attempt {
    mark: String,
    runner: Pid,
    agent: Pid,
}

impl Attempt {
    fn of(project: &Project) -> Self {
        let agent = project.until("the agent's pid", |project| {
            let status = project.query(&["status"]);
            status["tasks"][0]["pid"]
                .is_number()
                .then(|| pid_in(&status["tasks"][0]["pid"]))
        });
        let journal = project.journal();
        let started = journal
            .iter()
            .find(|e| e["event"] == "attempt_started" && e["task"] == "hostile")
            .expect("an attempt");
        Self {
            mark: format!("PLEACH_ATTEMPT={}", started["attempt"].as_str().expect("an id")),
            runner: pid_in(&started["runner_pid"]),
            agent,
        }
    }

    /// How many living processes carry its mark.
    fn marked(&self, project: &Project) -> usize {
        let processes = project.processes();
        processes
            .iter()
            .filter(|p| p.has(|variable| variable == self.mark))
            .count()
    }
}

fn pid_in(value: &Value) -> Pid {
    let pid = value.as_i64().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
    pid.expect("a pid")
}

/// A process that was seen: its pid and when it started.
struct Seen(String, Option<String>);

impl Seen {
    fn of(pid: &str) -> Self {
        Self(pid.to_owned(), start(pid))
    }

    fn lives(&self) -> bool {
        self.1.is_some() && start(&self.0) == self.1
    }
}

/// The dead children of a process, of whose end it has taken no notice.
fn dead_below(parent: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("read /proc").flatten();
    let stats = entries.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    let is_one = |stat: &String| {
        let fields = stat.rsplit_once(") ").map(|(_, fields)| fields.split(' ').take(2));
        fields.is_some_and(|fields| fields.eq(["Z", parent]))
    };
    stats.filter(is_one).collect()
}

/// When a process started; nothing when it is gone, or only waits for somebody to take notice of its end.
fn start(pid: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    (!matches!(fields[0], "Z" | "X")).then(|| fields[19].to_owned())
}

fn living<'n>(daemons: &[(&'n str, Seen)]) -> Vec<&'n str> {
    let living = daemons.iter().filter(|(_, seen)| seen.lives());
    living.map(|(name, _)| *name).collect()
}
