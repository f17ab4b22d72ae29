//! `PLEACH_MAX_AGENTS`: the agents of all sessions of a user on this machine share so many places.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{Project, ran};

/// Counts the agents that are at work, and keeps the most that there were: an agent is there as long as it has its file.
fn counting(project: &Project, gate: &str) -> String {
    let (there, most) = (project.beside("there"), project.beside("most"));
    fs::create_dir_all(&there).expect("make a directory");
    format!(
        "@run touch {there}/$PLEACH_ATTEMPT; ls {there} | wc -l >>{most}\n@wait {}\n@run rm {there}/$PLEACH_ATTEMPT",
        project.beside(gate)
    )
}

fn there(project: &Project) -> usize {
    fs::read_dir(project.root().join("there")).expect("read it").count()
}

fn until_there_are(project: &Project, agents: usize) {
    project.until("agents", |project| (there(project) == agents).then_some(()));
}

fn most(project: &Project) -> usize {
    let counted = fs::read_to_string(project.root().join("most")).expect("read it");
    counted
        .lines()
        .map(|line| line.trim().parse().expect("a number"))
        .max()
        .expect("agents")
}

fn start(project: &Project, cap: &str, prompt: &str, tasks: usize) -> String {
    let prompts: Vec<&str> = ["-p", prompt].repeat(tasks);
    let mut command = project.pleach_command(&[&["run", "--agent", "scripted"], &prompts[..]].concat());
    let ran = ran(command.env("PLEACH_MAX_AGENTS", cap));
    assert_eq!(ran.code(), 0, "{ran:?}");
    ran.out().trim().to_owned()
}

fn pid(value: &Value) -> Pid {
    Pid::from_raw(value.as_i64().expect("a pid").try_into().expect("a pid")).expect("a pid")
}

fn waits(project: &Project, session: &str) -> bool {
    let why = project.query(&["status", session])["waiting_for"].clone();
    why.as_str()
        .is_some_and(|why| why.starts_with("a free place among the "))
}

#[test]
fn all_sessions_together_run_so_many_agents() {
    let project = Project::new();
    let prompt = counting(&project, "gate");
    let sessions: Vec<String> = (0..3).map(|_| start(&project, "2", &prompt, 3)).collect();
    until_there_are(&project, 2);
    project.until("a session waits", |p| {
        sessions.iter().any(|s| waits(p, s)).then_some(())
    });
    let waiting = sessions.iter().find(|s| waits(&project, s)).expect("one waits");
    let said = project.run(&["status", waiting]).out();
    assert!(
        said.contains("among the 2 agents of this machine (PLEACH_MAX_AGENTS)"),
        "{said}"
    );
    project.open("gate");
    for session in &sessions {
        assert_eq!(project.run(&["wait", session]).code(), 0);
    }
    assert_eq!((most(&project), there(&project)), (2, 0));
    let state = project.root().join("home/.local/state/pleach");
    let modes = |path: &std::path::Path| {
        use std::os::unix::fs::PermissionsExt;
        path.metadata().expect("look at it").permissions().mode() & 0o777
    };
    assert_eq!(modes(&state), 0o700);
}

#[test]
fn each_session_obeys_its_own_number() {
    let project = Project::new();
    let prompt = counting(&project, "gate");
    let small = start(&project, "1", &prompt, 2);
    until_there_are(&project, 1);
    let large = start(&project, "3", &prompt, 4);
    until_there_are(&project, 3);
    project.until("both wait", |p| (waits(p, &small) && waits(p, &large)).then_some(()));
    project.open("gate");
    for session in [&small, &large] {
        assert_eq!(project.run(&["wait", session]).code(), 0);
    }
    assert_eq!(most(&project), 3);
}

#[test]
fn a_runner_keeps_its_place_when_its_supervisor_is_killed_and_loses_it_when_it_is() {
    let project = Project::new();
    let prompt = counting(&project, "gate");
    let first = start(&project, "1", &prompt, 1);
    until_there_are(&project, 1);
    project.until_it_runs(&first);
    let status = project.query(&["status", &first]);
    kill_process(pid(&status["supervisor"]["pid"]), Signal::KILL).expect("kill the supervisor");
    let second = start(&project, "1", "@say hi", 1);
    project.until("it waits", |project| waits(project, &second).then_some(()));
    // No agent has the place itself: what it leaves behind does not keep it.
    let agent = pid(&status["tasks"][0]["pid"]);
    let files = fs::read_dir(format!("/proc/{}/fd", agent.as_raw_nonzero())).expect("its files");
    let has = files.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    assert!(!has.into_iter().any(|path| path.to_string_lossy().contains("/agent-")));
    let attempts = project
        .repo()
        .join(format!(".git/pleach/results/session-{first}/attempts"));
    let attempt = fs::read_dir(attempts)
        .expect("attempts")
        .next()
        .expect("one")
        .expect("an entry")
        .path();
    let identity: Value =
        serde_json::from_slice(&fs::read(attempt.join("identity.json")).expect("read it")).expect("JSON");
    assert!(waits(&project, &second));
    kill_process(pid(&identity["pid"]), Signal::KILL).expect("kill the runner");
    assert_eq!(project.run(&["wait", &second]).code(), 0);
    assert_eq!(most(&project), 1);
}

#[test]
fn a_session_that_waits_for_a_place_can_be_stopped() {
    let project = Project::new();
    let prompt = counting(&project, "gate");
    let first = start(&project, "1", &prompt, 1);
    until_there_are(&project, 1);
    let second = start(&project, "1", "@say hi", 1);
    project.until("it waits", |project| waits(project, &second).then_some(()));
    assert_eq!(project.run(&["stop", &second]).code(), 0);
    assert_eq!(project.query(&["status", &second])["overall_status"], "stopped");
    project.open("gate");
    assert_eq!(project.run(&["wait", &first]).code(), 0);
}

#[test]
fn a_number_that_is_none_and_a_place_that_is_none_are_refused() {
    let project = Project::new();
    let run = ["run", "--agent", "scripted", "-p", "@say hi"];
    for value in ["0", "many", "-1", "1.5"] {
        let mut command = project.pleach_command(&run);
        ran(command.env("PLEACH_MAX_AGENTS", value)).assert_refused(2, &["PLEACH_MAX_AGENTS", value, "from 1"]);
    }
    let mut command = project.pleach_command(&run);
    command.env("PLEACH_MAX_AGENTS", "2").env_remove("HOME");
    ran(&mut command).assert_refused(2, &["PLEACH_MAX_AGENTS", "HOME is not set", "XDG_STATE_HOME"]);
    let state = project.root().join("state");
    fs::create_dir(&state).expect("make a directory");
    fs::write(state.join("pleach"), "").expect("write a file");
    let mut command = project.pleach_command(&run);
    command.env("PLEACH_MAX_AGENTS", "2").env("XDG_STATE_HOME", &state);
    ran(&mut command).assert_refused(2, &["places for agents cannot be kept in", "ls -ld"]);
    assert!(!project.repo().join(".git/pleach/results").exists());
    let mut command = project.pleach_command(&[&run[..], &["--dry-run"]].concat());
    let dry = ran(command.env("PLEACH_MAX_AGENTS", "2"));
    assert!(dry.out().contains("2 agents on this machine"), "{dry:?}");
    assert!(!project.root().join("home/.local").exists());
}
