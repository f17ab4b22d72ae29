//! How a session starts, and that it is nobody's child.
//!
//! Agents wait at a gate (a file), so that a test decides how long they run: what must be there while they run is looked
//! at before the gate is opened, and that a session outlives something is shown by its end after that. Whoever starts a
//! session is killed, signalled, or loses its terminal; a watcher is signalled too.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::{Pid, Signal, getsid, kill_process, kill_process_group};
use serde_json::Value;
use uuid::Uuid;

use crate::support::{PATIENCE, Project, Ran, ran};

const SCRIPTED: [&str; 3] = ["run", "--agent", "scripted"];
const WATCHED: [&str; 4] = ["run", "--sync", "--agent", "scripted"];

/// Where agents wait until the test lets them go on.
struct Gate(PathBuf);

impl Gate {
    fn of(project: &Project) -> Self {
        Self(project.root().join("gate"))
    }

    fn wait(&self) -> String {
        format!("@wait {}", self.0.display())
    }

    fn open(&self) {
        fs::write(&self.0, "").expect("open the gate");
    }
}

/// The session that was printed alone.
#[track_caller]
fn session_of(ran: &Ran) -> String {
    assert_eq!(ran.code(), 0, "{ran:?}");
    let id = Uuid::parse_str(ran.out().trim_end()).expect("an id");
    assert_eq!(ran.out(), format!("{id}\n"));
    id.to_string()
}

fn pid_of(value: &Value) -> Pid {
    let pid = value.as_i64().and_then(|pid| i32::try_from(pid).ok());
    pid.and_then(Pid::from_raw).expect("a pid")
}

/// The only session, once its only task has an agent.
fn running(project: &Project) -> Value {
    project.until("an agent", |project| {
        let status = project.query(&["status"]);
        status["tasks"][0]["pid"].is_number().then_some(status)
    })
}

/// The session runs as it did before, and comes to its end when the gate is open.
#[track_caller]
fn assert_untouched(project: &Project, gate: &Gate, before: &Value, what: &str) {
    let now = project.query(&["status"]);
    assert_eq!(now["overall_status"], "running", "{what}: {now:#}");
    assert_eq!(now["supervisor"], before["supervisor"], "{what}");
    assert_eq!(now["tasks"][0]["pid"], before["tasks"][0]["pid"], "{what}");
    gate.open();
    let ended = project.query(&["wait"]);
    assert_eq!(ended["overall_status"], "completed", "{what}: {ended:#}");
    assert_eq!(ended["tasks"][0]["outcome"], "succeeded", "{what}: {ended:#}");
}

/// A command whose standard output is read by the line while it runs.
struct Talking {
    pid: Pid,
    said: Receiver<String>,
    ended: Receiver<Option<i32>>,
}

impl Talking {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::null()).spawn().expect("start a program");
        let pid = Pid::from_child(&child);
        let ((saying, said), (ending, ended)) = (channel(), channel());
        std::thread::spawn(move || {
            let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
            for line in lines {
                let _ = saying.send(line.expect("read a line"));
            }
            drop(saying);
            let _ = ending.send(child.wait().expect("wait for its end").code());
        });
        Self { pid, said, ended }
    }

    /// `run --sync`, after it has printed the id.
    fn watch(project: &Project, options: &[&str]) -> Self {
        let watcher = Self::start(&mut project.pleach_command(&[&WATCHED[..], options].concat()));
        Uuid::parse_str(&watcher.line()).expect("an id");
        watcher
    }

    fn line(&self) -> String {
        self.said.recv_timeout(PATIENCE).expect("a line")
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("send a signal");
    }

    /// How it ends, and what it prints until then.
    fn end(self) -> (Option<i32>, String) {
        let ended = self.ended.recv_timeout(PATIENCE).expect("it ends");
        (ended, self.said.iter().map(|line| line + "\n").collect())
    }
}

#[test]
fn run_returns_while_agents_run_and_says_how_to_go_on() {
    let project = Project::new();
    let gate = Gate::of(&project);
    let file = project.tasks(&[("one", &gate.wait()), ("two", "@say two")]);
    // Its output is read to the end, so that nothing that it has left running may hold that open.
    let started = project.run(&[&SCRIPTED[..], &["--max-parallel", "1", &file]].concat());
    let id = session_of(&started);
    let before = running(&project);
    assert_eq!(before["session_id"], id);
    assert_eq!(before["tasks"][1]["status"], "pending", "{before:#}");
    let said = started.err();
    let mut lines = said.lines();
    let in_motion = "2 tasks, 1 at once, permissions skipped, no cost limit";
    assert_eq!(lines.next(), Some(in_motion));
    let directory = format!("results in {}", project.session_dir().display());
    assert_eq!(lines.next(), Some(&*directory));
    for (line, verb) in lines
        .by_ref()
        .zip(["watch", "status", "wait", "results", "plan", "stop"])
    {
        let (command, why) = line.split_once("  # ").expect("a command and what it is for");
        assert!(command.trim_end().ends_with(&format!(" {verb} {}", &id[..8])), "{line}");
        assert!(!why.is_empty());
        if ["status", "results"].contains(&verb) {
            let ran = ran(&mut project.shell(command));
            assert_eq!(ran.code(), 0, "{command}: {ran:?}");
        }
    }
    assert_eq!(lines.next(), None, "{said}");
    assert_untouched(&project, &gate, &before, "the end of run");
    assert_eq!(project.query(&["results"])["tasks"][1]["answer"], "two");
}

#[test]
fn one_line_says_what_was_set_in_motion() {
    let project = Project::new();
    let cases = "
        3         |                          | 1 task, 3 at once, permissions skipped, no cost limit
        3         | --max-parallel 2         | 1 task, 2 at once, permissions skipped, no cost limit
        3         | --max-parallel unlimited | 1 task, all at once, permissions skipped, no cost limit
        unlimited |                          | 1 task, all at once, permissions skipped, no cost limit
                  | --max-parallel 40        | 1 task, 40 at once, permissions skipped, no cost limit
        3         | --permission-mode plan   | 1 task, 3 at once, permission mode plan, no cost limit
        3         | --timeout 90s            | 1 task, 3 at once, permissions skipped, no cost limit, at most 1 m 30 s each
        3         | -p @cwd -p @cwd          | 3 tasks, 3 at once, permissions skipped, no cost limit
        3         | --no-worktree            | 1 task, 3 at once, permissions skipped, no cost limit, in the current directory";
    for case in cases.lines().skip(1) {
        let mut columns = case.split('|').map(str::trim);
        let mut column = || columns.next().expect("three columns");
        let (workers, options, line) = (column(), column(), column());
        let mut arguments = [&SCRIPTED[..], &["-p", "@say a"]].concat();
        arguments.extend(options.split_whitespace());
        let ran = ran(project.pleach_command(&arguments).env("MAX_CLAUDE_WORKERS", workers));
        let id = session_of(&ran);
        assert_eq!(ran.err().lines().next(), Some(line), "{case}");
        // Whatever can be stopped, the user is told how.
        assert!(ran.err().contains(&format!(" stop {}", &id[..8])), "{}", ran.err());
    }
    for bad in ["0", "many", "-1"] {
        let arguments = [&SCRIPTED[..], &["-p", "@say a"]].concat();
        let ran = ran(project.pleach_command(&arguments).env("MAX_CLAUDE_WORKERS", bad));
        ran.assert_refused(2, &["MAX_CLAUDE_WORKERS", bad, "unlimited"]);
    }
}

#[test]
fn the_supervisor_has_nothing_of_its_caller() {
    let project = Project::new();
    let gate = Gate::of(&project);
    let (input, writer) = std::io::pipe().expect("make a pipe");
    let mut command = project.pleach_command(&[&SCRIPTED[..], &["-p", &gate.wait()]].concat());
    // What it prints is read to the end, which comes only when nobody can print any more.
    session_of(&ran(command.stdin(input)));
    drop(writer);
    let before = running(&project);
    let supervisor = pid_of(&before["supervisor"]["pid"]);
    assert_eq!(getsid(Some(supervisor)).expect("its session"), supervisor);
    let inode = |file: &Path| fs::metadata(file).map(|m| (m.dev(), m.ino())).ok();
    let files = format!("/proc/{}/fd", supervisor.as_raw_nonzero());
    let file = |number: &str| inode(&Path::new(&files).join(number));
    assert_eq!(file("0"), inode("/dev/null".as_ref()));
    let log = inode(&project.session_dir().join("supervisor.log"));
    assert_eq!((file("1"), file("2")), (log, log));
    assert_untouched(&project, &gate, &before, "the end of its caller");
}

#[test]
fn no_file_that_the_caller_has_open_stays_open() {
    let project = Project::new();
    let gate = Gate::of(&project);
    // As with a lock or a pipe that a script has on a number of its own.
    let line = r#""$PLEACH" run --agent scripted -p "$PROMPT" 2>/dev/null 7>&1"#;
    let started = ran(project.shell(line).env("PROMPT", gate.wait()));
    session_of(&started);
    assert_untouched(&project, &gate, &running(&project), "a file of the caller");
}

#[test]
fn signals_to_the_group_of_the_starter_do_not_reach_the_session() {
    for signal in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::KILL] {
        let project = Project::new();
        let gate = Gate::of(&project);
        let mut command = project.shell(r#""$PLEACH" run --agent scripted -p "$PROMPT"; exec sleep 1000"#);
        let shell = Talking::start(command.env("PROMPT", gate.wait()).process_group(0));
        shell.line();
        let before = running(&project);
        kill_process_group(shell.pid, signal).expect("signal the group");
        assert_untouched(&project, &gate, &before, &format!("{signal:?}"));
    }
}

// Fault 42: the terminal of `run` is closed.
#[test]
fn a_closed_terminal_does_not_end_the_session() {
    // The shell on it ends by itself; the terminal goes away from under it.
    for (then, killed) in [("", false), ("; exec sleep 1000", true)] {
        let project = Project::new();
        let gate = Gate::of(&project);
        let line = format!(r#""$PLEACH" run --agent scripted -p "$PROMPT"; echo started{then}"#);
        let Some(mut command) = project.on_terminal(&line) else {
            return;
        };
        let terminal = Talking::start(command.env("PROMPT", gate.wait()));
        let named = terminal.line();
        let mut shown = named.clone();
        while shown != "started" {
            shown = terminal.line();
        }
        let before = running(&project);
        assert_eq!(
            named,
            format!("session {}", before["session_id"].as_str().expect("an id"))
        );
        if killed {
            terminal.signal(Signal::KILL);
        }
        terminal.end();
        assert_untouched(&project, &gate, &before, then);
    }
}

#[test]
fn a_watched_session_tells_of_each_task_as_it_settles_and_of_the_whole_at_the_end() {
    let project = Project::new();
    let gate = Gate::of(&project);
    let first = "@write one.txt one\n@say first answer\\nand more";
    let second = format!("{}\n@write two.txt two\n@say second answer", gate.wait());
    let file = project.tasks(&[("one", first), ("two", &second)]);
    let watcher = Talking::watch(&project, &["--max-parallel", "2", &file]);
    // The second one still waits at the gate.
    let line = watcher.line();
    assert!(line.contains("succeeded   1  @write one.txt one"), "{line}");
    assert!(
        line.ends_with(" s  1 file +1 -0  main-task-one  first answer"),
        "{line}"
    );
    assert_untouched(&project, &gate, &running_second(&project), "being watched");
    let (code, rest) = watcher.end();
    assert_eq!(code, Some(0), "{rest}");
    for part in [
        "succeeded   2",
        "second answer",
        "completed, 2 of 2 tasks settled: 2 successful, 0 failed",
        "plan: 2 branches into main",
        "git merge --no-ff --no-edit main-task-one",
        "git merge --no-ff --no-edit main-task-two",
    ] {
        assert!(rest.contains(part), "{part} is not in: {rest}");
    }
}

/// The only session, once its second task has an agent and its first is settled.
fn running_second(project: &Project) -> Value {
    project.until("the second agent", |project| {
        let status = project.query(&["status"]);
        let second = status["tasks"][1]["pid"].is_number();
        (second && status["completed"] == 1).then_some(status)
    })
}

#[test]
fn a_watched_session_ends_with_1_unless_every_task_succeeded() {
    let project = Project::new();
    for (prompts, code) in [
        (["@say a", "@say b"], 0),
        (["@say a", "@fail no"], 1),
        (["@exit 3", "@fail no"], 1),
    ] {
        let options = ["-p", prompts[0], "-p", prompts[1]];
        let (ended, out) = Talking::watch(&project, &options).end();
        assert_eq!(ended, Some(code), "{prompts:?}: {out}");
        let failed = prompts.iter().filter(|prompt| !prompt.starts_with("@say")).count();
        assert!(out.contains(&format!("{failed} failed")), "{out}");
        assert_eq!(out.contains("plan: "), failed < 2, "{out}");
        // Nobody may take it for a success because nobody read what it said.
        let (reader, unread) = std::io::pipe().expect("make a pipe");
        drop(reader);
        let mut command = project.pleach_command(&[&WATCHED[..], &options].concat());
        assert_eq!(ran(command.stdout(unread)).code(), code, "{prompts:?}");
    }
}

#[test]
fn a_killed_watcher_leaves_the_session_running() {
    let project = Project::new();
    let gate = Gate::of(&project);
    let watcher = Talking::watch(&project, &["-p", &gate.wait()]);
    let before = running(&project);
    watcher.signal(Signal::KILL);
    watcher.end();
    assert_untouched(&project, &gate, &before, "the death of the watcher");
}

#[test]
fn a_signal_to_the_watcher_stops_the_session_and_keeps_the_work() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let project = Project::new();
        let prompt = format!("@write work.txt half\n{}", Gate::of(&project).wait());
        let file = project.tasks(&[("works", &prompt), ("waits", "@say never")]);
        let watcher = Talking::watch(&project, &["--max-parallel", "1", &file]);
        let work = project.worktrees().join("main-task-works/work.txt");
        project.until("the work", |_| {
            fs::read_to_string(&work).ok().filter(|text| text == "half\n")
        });
        watcher.signal(signal);
        let (ended, out) = watcher.end();
        assert_eq!(ended, Some(code), "{out}");
        assert!(out.contains("stopped, 1 of 2 tasks settled"), "{out}");
        let status = project.query(&["status"]);
        assert_eq!(status["overall_status"], "stopped");
        assert_eq!(status["tasks"][0]["outcome"], "stopped", "{status:#}");
        assert_eq!(status["tasks"][1]["status"], "pending", "{status:#}");
        assert_eq!(project.show("main-task-works:work.txt"), "half\n");
        assert_eq!(fs::read_to_string(work).expect("its worktree"), "half\n");
        assert!(project.agents().is_empty());
    }
}

#[test]
fn a_signal_as_soon_as_the_session_is_named_stops_it_too() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)].repeat(5) {
        let project = Project::new();
        let wait = Gate::of(&project).wait();
        let watcher = Talking::watch(&project, &["--max-parallel", "1", "-p", &wait, "-p", &wait]);
        watcher.signal(signal);
        let (ended, out) = watcher.end();
        assert_eq!(ended, Some(code), "{out}");
        assert_eq!(project.query(&["status"])["overall_status"], "stopped");
    }
}

// Fault 13: twenty invocations at once on one repository.
#[test]
fn twenty_sessions_at_the_same_moment_share_nothing() {
    let project = Project::new();
    let write = "@run echo \"$PLEACH_SESSION\" >who.txt";
    let file = project.tasks(&[("a", write), ("b", write)]);
    let arguments = [&SCRIPTED[..], &["--max-parallel", "1", &file]].concat();
    let started: Vec<_> = (0..20).map(|_| project.pleach(&arguments)).collect();
    let mut branches = HashSet::new();
    for run in started {
        let ran = Ran(run.recv_timeout(PATIENCE).expect("run returns"));
        let id = session_of(&ran);
        let status = project.query(&["wait", &id]);
        assert_eq!(status["successful"], 2, "{status:#}");
        for task in status["tasks"].as_array().expect("tasks") {
            let wanted = format!("main-task-{}", task["transaction_id"].as_str().expect("an id"));
            let branch = task["branch"].as_str().expect("a branch");
            assert_eq!(project.show(&format!("{branch}:who.txt")), format!("{id}\n"));
            assert!(branches.insert(branch.to_owned()), "{branch} is shared");
            if branch != wanted {
                assert_eq!(branch, format!("{wanted}-{}", &id[..8]));
                let told = format!("{} {} {}", ran.err(), status["warnings"], task["notes"]);
                assert!(told.contains(&format!("the task works on {branch}")), "{told}");
            }
        }
    }
    assert!(branches.contains("main-task-a") && branches.contains("main-task-b"));
    assert_eq!(branches.len(), 40);
    let sessions = project.query(&["list"]);
    assert_eq!(sessions["sessions"].as_array().map(Vec::len), Some(20));
}

// Fault 51: what agents print is for the user alone.
#[test]
fn nobody_else_may_read_what_a_session_keeps() {
    let project = Project::new();
    let line = r#"umask 0; exec "$PLEACH" run --sync --agent scripted -p "@write a.txt a" -p "@fail no" -p "@plain""#;
    assert_eq!(ran(&mut project.shell(line)).code(), 1);
    let mut open = vec![project.repo().join(".git/pleach")];
    let mut files = 0;
    while let Some(path) = open.pop() {
        let metadata = fs::symlink_metadata(&path).expect("look at it");
        let mode = metadata.permissions().mode() & 0o777;
        if metadata.is_dir() {
            assert_eq!(mode, 0o700, "{}", path.display());
            let entries = fs::read_dir(path).expect("read it");
            open.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else {
            assert_eq!(mode, 0o600, "{}", path.display());
            files += 1;
        }
    }
    assert!(files > 20, "only {files} files were looked at");
}

#[test]
fn results_go_where_the_user_wants_them() {
    let project = Project::new();
    let elsewhere = project.root().join("else where");
    let directory = elsewhere.display().to_string();
    let cases: [(&str, &[&str]); 3] = [
        (&directory, &[]),
        ("", &["--results-dir", "../else where"]),
        ("/nowhere", &["--results-dir", "../else where"]),
    ];
    for (environment, options) in cases {
        let arguments = [options, &SCRIPTED[..], &["-p", "@say hi"]].concat();
        let mut command = project.pleach_command(&arguments);
        command.env("PLEACH_RESULTS_DIR", environment);
        let started = ran(&mut command);
        let id = session_of(&started);
        // The commands that it names find it again.
        let said = started.err();
        let wait = said.lines().find(|line| line.contains(" wait ")).expect("a command");
        let waited = ran(&mut project.shell(wait));
        assert_eq!(waited.code(), 0, "{wait}: {waited:?}");
        assert!(waited.out().contains(&id), "{waited:?}");
        assert!(elsewhere.join(format!("session-{id}/journal.jsonl")).is_file());
    }
    let in_git = project.repo().join(".git/pleach/results");
    assert!(!in_git.exists());
    let mut command = project.pleach_command(&[&SCRIPTED[..], &["-p", "@say hi"]].concat());
    session_of(&ran(command.env("PLEACH_RESULTS_DIR", "")));
    assert!(in_git.exists(), "an empty variable is none");
}

#[test]
fn results_in_the_checkout_do_not_make_it_dirty() {
    let project = Project::new();
    let watched = project.run(&[&WATCHED[..], &["--results-dir", "results", "-p", "@say hi"]].concat());
    assert_eq!(watched.code(), 0, "{watched:?}");
    assert!(!watched.err().contains("warning"), "{watched:?}");
    assert!(project.repo().join("results").is_dir());
    assert_eq!(project.git(&["status", "--porcelain"]), "");
}

#[test]
fn branches_and_worktrees_are_named_after_what_is_checked_out() {
    let project = Project::new();
    let commit = project.git(&["rev-parse", "HEAD"]);
    project.git(&["branch", "fix/one.two"]);
    let detached = format!("{}-task-a", &commit[..7]);
    for (checkout, branch, directory) in [
        ("fix/one.two", "fix/one.two-task-a", "fix-one.two-task-a"),
        ("--detach", &detached, &detached),
    ] {
        project.git(&["checkout", "-q", checkout]);
        let ended = project.session(&[("a", "@write a.txt a\n@cwd")], &[]);
        ended.assert_exit(0);
        let task = ended.task("a");
        assert_eq!(task["branch"], branch);
        assert_eq!(task["base"], commit.trim());
        let worked_in = project.worktrees().join(directory).display().to_string();
        assert_eq!(ended.result("a")["answer"], worked_in);
        assert_eq!(project.show(&format!("{branch}:a.txt")), "a\n");
    }
}

#[test]
fn a_user_without_rights_runs_a_session_to_its_end() {
    let project = Project::unprivileged();
    let tasks = [("a", "@write a.txt hi\n@run id -u >id.txt"), ("b", "@fail no")];
    let ended = project.session(&tasks, &[]);
    ended.assert_exit(1);
    ended.assert_succeeded("a");
    ended.assert_failed("b", "agent_error");
    let user = project.command("id").arg("-u").output().expect("run id").stdout;
    assert_ne!(user, b"0\n");
    assert_eq!(project.show("main-task-a:id.txt").as_bytes(), user);
    assert!(!project.worktrees().join("main-task-a").exists());
}
