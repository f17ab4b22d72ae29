//! Nothing fails for want of disk, memory, files or processes: tasks wait until there is enough, and it is said what for.
//!
//! Small disks are file systems of their own, limits are set on the running supervisor, and calls are made to fail by a
//! tracer; where one of these is not to be had, that test says that it is skipped.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, geteuid};
use serde_json::{Value, json};

use crate::support::{Project, SmallDisk, limit, ran};

/// What a running session waits for.
fn awaited(project: &Project) -> Option<String> {
    project.query(&["status"])["waiting_for"].as_str().map(str::to_owned)
}

pub fn until_it_waits_for(project: &Project, what: &str) -> String {
    project.until(what, |project| awaited(project).filter(|why| why.starts_with(what)))
}

pub fn supervisor(status: &Value) -> Pid {
    let pid = status["supervisor"]["pid"].as_i64().expect("a pid");
    Pid::from_raw(pid.try_into().expect("a pid")).expect("a pid")
}

/// All that was waited for in the only session.
pub fn waits(project: &Project) -> Vec<Value> {
    project
        .events("waiting")
        .into_iter()
        .map(|event| event["why"].clone())
        .collect()
}

#[test]
fn no_task_starts_while_too_little_is_free_and_every_display_says_so() {
    for (option, variable, what) in [
        ("--min-free-disk", "PLEACH_MIN_FREE_DISK", "disk: "),
        ("--min-free-memory", "PLEACH_MIN_FREE_MEMORY", "memory: "),
    ] {
        let mut project = Project::new();
        project.set(variable, "9000000G");
        let dry = project.run(&["run", "--dry-run", "--agent", "scripted", "-p", "@say hi"]);
        assert!(dry.err().contains(&format!("it would wait for {what}")), "{dry:?}");
        let run = project.start_session(&[("a", "@say hi"), ("b", "@say hi")], &[]);
        let sessions = |project: &Project| project.query(&["list"])["sessions"].as_array().map_or(0, Vec::len);
        project.until("a session", |project| (sessions(project) > 0).then_some(()));
        let why = until_it_waits_for(&project, what);
        assert!(why.ends_with(&format!("8.6 PiB needed ({option})")), "{why}");
        let text = project.run(&["status"]).out();
        assert!(
            text.contains(&format!("no task starts now: waits for {what}")),
            "{text}"
        );
        // It looks again, and finds other numbers, and says nothing of that.
        std::thread::sleep(Duration::from_millis(2500));
        assert_eq!(waits(&project).len(), 1);
        assert!(project.events("task_preparing").is_empty());
        let status: Value =
            serde_json::from_slice(&fs::read(project.session_dir().join("status.json")).expect("read it"))
                .expect("JSON");
        assert_eq!(status["waiting_for"], why);
        assert_eq!(project.run(&["stop"]).code(), 0);
        let output = run.recv_timeout(crate::support::PATIENCE).expect("the run ends");
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(shown.matches("waits for").count(), 1, "{shown}");
        let status = project.query(&["status"]);
        assert_eq!(
            (&status["overall_status"], &status["waiting_for"]),
            (&json!("stopped"), &Value::Null)
        );
        assert_eq!(waits(&project), [json!(why), Value::Null]);
        assert!(!project.worktrees().exists());
    }
}

#[test]
fn how_much_has_to_be_free_is_said_by_options_then_by_variables() {
    let project = Project::new();
    for name in ["PLEACH_MIN_FREE_DISK", "PLEACH_MIN_FREE_MEMORY"] {
        let mut command = project.pleach_command(&["run", "--agent", "scripted", "-p", "@say hi"]);
        ran(command.env(name, "much")).assert_refused(2, &[name, "\"much\"", "unset"]);
    }
    let options = ["--min-free-disk", "0", "--min-free-memory", "0"];
    let arguments = [&["run", "--sync", "--agent", "scripted", "-p", "@say hi"], &options[..]].concat();
    let mut command = project.pleach_command(&arguments);
    command.env("PLEACH_MIN_FREE_DISK", "9000000G");
    assert_eq!(ran(command.env("PLEACH_MIN_FREE_MEMORY", "9000000G")).code(), 0);
    assert!(waits(&project).is_empty());
    let mut doctor = project.pleach_command(&["doctor"]);
    let said = ran(doctor
        .env("PLEACH_MIN_FREE_DISK", "9000000G")
        .env("PLEACH_MIN_FREE_MEMORY", "9000000G"));
    for option in ["--min-free-disk", "--min-free-memory"] {
        assert!(said.out().contains(&format!("PiB ({option})")), "{said:?}");
    }
}

#[test]
fn a_session_that_waits_for_disk_goes_on_when_there_is_enough() {
    let project = Project::new();
    let Some(disk) = SmallDisk::new(&project, "4m") else {
        return;
    };
    let tasks = project.tasks(&[("a", "@write a.txt a")]);
    let small = disk.path.join("results").display().to_string();
    let results = ["--results-dir", &small];
    let run = ["run", "--agent", "scripted", "--min-free-disk", "16M", &tasks];
    assert_eq!(disk.pleach(&[&results[..], &run].concat()).code(), 0);
    let status = |disk: &SmallDisk| disk.pleach(&[&results[..], &["status", "--json"]].concat()).json();
    project.until("it waits", |_| status(&disk)["waiting_for"].as_str().map(str::to_owned));
    disk.grow("64m");
    assert_eq!(disk.pleach(&[&results[..], &["wait"]].concat()).code(), 0);
    assert_eq!(project.show("main-task-a:a.txt"), "a\n");
}

/// A session of an agent that waits for a gate, and another task after it.
pub fn one_after_the_other(project: &Project, options: &[&str]) -> Value {
    let first = format!(
        "@touch {}\n@wait {}\n@write a.txt a",
        project.beside("here"),
        project.beside("gate")
    );
    let options = [&["--max-parallel", "1"], options].concat();
    let id = project.start(&[("a", &first), ("b", "@write b.txt b")], &options);
    project.await_file("here");
    project.until_it_runs(&id);
    project.query(&["status"])
}

fn files_of(pid: Pid) -> usize {
    let open = format!("/proc/{}/fd", pid.as_raw_nonzero());
    fs::read_dir(open).expect("its files").count()
}

// Fault 9: EMFILE while an outcome is read and work is committed.
#[test]
fn without_open_files_tasks_wait() {
    let project = Project::new();
    let status = one_after_the_other(&project, &[]);
    let pid = supervisor(&status);
    limit(&project, pid, "nofile", "3");
    project.open("gate");
    project.until("the agent has ended", |project| {
        project.agents().is_empty().then_some(())
    });
    // Its outcome cannot be read, and so it is not settled; that is not taken for one that is lost.
    std::thread::sleep(Duration::from_millis(1500));
    let status = project.query(&["status"]);
    assert_eq!(
        (&status["completed"], &status["overall_status"]),
        (&json!(0), &json!("running")),
        "{status:#}"
    );
    // Enough for that, and not for committing.
    limit(&project, pid, "nofile", &(files_of(pid) + 4).to_string());
    until_it_waits_for(&project, "open files: ");
    assert_eq!(project.query(&["status"])["completed"], 0);
    limit(&project, pid, "nofile", "1024");
    assert_eq!(project.run(&["wait"]).code(), 0);
    assert_eq!(project.query(&["status"])["successful"], 2);
    assert_eq!(project.show("main-task-a:a.txt"), "a\n");
}

// Fault 9: EMFILE from the beginning, with more agents than there are files for.
#[test]
fn with_few_open_files_all_tasks_get_their_turn() {
    let project = Project::new();
    let tasks: Vec<(String, String)> = (0..24)
        .map(|n| {
            (
                format!("t{n}"),
                format!("@wait {}\n@write {n}.txt hi", project.beside("gate")),
            )
        })
        .collect();
    let tasks: Vec<(&str, &str)> = tasks
        .iter()
        .map(|(id, prompt)| (id.as_str(), prompt.as_str()))
        .collect();
    let file = project.tasks(&tasks);
    let line = format!("ulimit -n 36; exec \"$PLEACH\" run --agent scripted --max-parallel unlimited {file}");
    assert_eq!(ran(&mut project.shell(&line)).code(), 0);
    until_it_waits_for(&project, "open files: ");
    project.open("gate");
    assert_eq!(project.run(&["wait"]).code(), 0);
    let status = project.query(&["status"]);
    assert_eq!(status["successful"], 24, "{status:#}");
    let branches = project.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads"]);
    assert_eq!(branches.lines().count(), 25, "{branches}");
}

// Fault 10: fork gives EAGAIN, to git and to the start of a runner.
#[test]
fn without_processes_tasks_wait() {
    for options in [&[][..], &["--no-worktree"]] {
        let project = Project::unprivileged();
        let status = one_after_the_other(&project, options);
        let pid = supervisor(&status);
        limit(&project, pid, "nproc", "1");
        project.open("gate");
        until_it_waits_for(&project, "processes: ");
        limit(&project, pid, "nproc", "4096");
        assert_eq!(project.run(&["wait"]).code(), 0);
        assert_eq!(project.query(&["status"])["successful"], 2);
    }
}

// Fault 10: the runner has started, and the agent cannot be.
#[test]
fn an_agent_that_cannot_be_forked_has_done_nothing_and_says_why() {
    let project = Project::unprivileged();
    let dir = project.root().join("attempt");
    fs::create_dir(&dir).expect("make a directory");
    let request = json!({
        "schema": 1, "attempt": "8a0c71a4-4d0b-4f35-9a53-b5f4a7b1c7de", "program": "/bin/true", "args": [],
        "directory": project.root(), "stdin": "", "environment": [], "environment_removed": [],
        "timeout_ms": null, "grace_ms": 1000, "max_output_bytes": 1000,
    });
    fs::write(dir.join("request.json"), request.to_string()).expect("write the request");
    if geteuid().is_root() {
        let owner = std::process::Command::new("chown")
            .args(["-R", "65534"])
            .arg(&dir)
            .status();
        assert!(owner.expect("run chown").success());
    }
    let line = format!(
        r#"{{ echo go; }} | prlimit --nproc=1 "$PLEACH" __runner {}"#,
        dir.display()
    );
    // The shell has forked before the limit holds.
    let ended = ran(&mut project.shell(&line));
    assert_eq!(ended.out(), "ready\n", "{ended:?}");
    let outcome: Value =
        serde_json::from_slice(&fs::read(dir.join("outcome.json")).expect("an outcome")).expect("JSON");
    assert_eq!(outcome["end"]["how"], "not_started", "{outcome:#}");
    assert_eq!(outcome["end"]["shortage"], "processes", "{outcome:#}");
}

// Fault 11: the directory for state is read-only.
#[test]
fn a_directory_for_state_that_is_read_only_is_refused_before_anything_starts() {
    use std::os::unix::fs::PermissionsExt;
    let project = Project::unprivileged();
    let pleach = project.repo().join(".git/pleach");
    fs::create_dir(&pleach).expect("make a directory");
    fs::set_permissions(&pleach, fs::Permissions::from_mode(0o555)).expect("close it");
    if geteuid().is_root() {
        let owner = std::process::Command::new("chown").arg("65534").arg(&pleach).status();
        assert!(owner.expect("run chown").success());
    }
    let ran = project.run(&["run", "--agent", "scripted", "-p", "@write a.txt a"]);
    ran.assert_refused(
        3,
        &[
            "cannot write",
            "/.git/pleach/results",
            "Permission denied",
            "--results-dir",
        ],
    );
    assert!(fs::read_dir(&pleach).expect("read it").next().is_none());
    assert!(!project.worktrees().exists());
    assert_eq!(project.git(&["branch", "--format=%(refname:short)"]), "main\n");
}

// Fault 45: /tmp is full, and HOME is not set.
#[test]
fn state_is_never_in_the_directory_for_temporary_files() {
    let project = Project::empty();
    let mut command = project.pleach_command(&["run", "--no-worktree", "--agent", "scripted", "-p", "@say hi"]);
    command.env_remove("HOME").env_remove("XDG_STATE_HOME");
    ran(&mut command).assert_refused(2, &["no place for the results", "HOME is not set", "--results-dir DIR"]);
    let left = fs::read_dir(project.root().join("tmp")).expect("read it").count();
    assert_eq!(left, 0);
    // In a repository it does not need them.
    let project = Project::new();
    let Some(disk) = SmallDisk::new(&project, "64k") else {
        return;
    };
    disk.fill();
    let arguments = ["run", "--sync", "--agent", "scripted", "-p", "@write a.txt a"];
    let mut command = disk.command(env!("CARGO_BIN_EXE_pleach"));
    let ran = ran(command.args(arguments).env("TMPDIR", &disk.path).env_remove("HOME"));
    assert_eq!(ran.code(), 0, "{ran:?}");
}
