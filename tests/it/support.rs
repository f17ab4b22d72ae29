//! What every test starts from: a repository of its own, the built program, and an environment of which everything is
//! said here.
//!
//! Nothing of the user's configuration is seen, nothing but loopback is reached, and whatever a test leaves running is
//! ended with its project. All of it lies under one short path: the real CLI keeps a Unix socket in its `TMPDIR`.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

mod injected;
mod observed;
pub mod picture;
mod terminal;

pub use injected::{Injected, SmallDisk, limit};
pub use observed::{Ended, Process, Ran, assert_same, contents};
pub use terminal::{CTRL_C, CTRL_Z, Left, Terminal};

/// How long anything may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A repository with one commit on `main`, and all else that a run needs.
pub struct Project {
    root: TempDir,
    environment: Vec<(String, String)>,
    /// Whether every command gives up the rights of root.
    lowered: bool,
}

/// A user without rights, as arguments of `setpriv`.
const NOBODY: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];

impl Project {
    /// With the repository in `repo`.
    pub fn new() -> Self {
        let project = Self::empty();
        fs::create_dir(project.repo()).expect("make a directory");
        project.write("README.md", "hi\n");
        project.git(&["init", "-q", "-b", "main"]);
        project.git(&["add", "README.md"]);
        project.git(&["commit", "-qm", "first"]);
        project
    }

    /// The same of a user who is not root, and who runs every command.
    pub fn unprivileged() -> Self {
        let mut project = Self::new();
        if geteuid().is_root() {
            // Where the build puts it may be closed to others.
            project.install(env!("CARGO_BIN_EXE_pleach").as_ref(), &project.root().join("pleach"));
            let chown = Command::new("chown")
                .args(["-R", "65534:65534"])
                .arg(project.root())
                .status();
            assert!(chown.expect("run chown").success());
            project.lowered = true;
        }
        project
    }

    /// Without a repository.
    pub fn empty() -> Self {
        let root = tempfile::Builder::new()
            .prefix("pl")
            .tempdir_in("/tmp")
            .expect("temporary directory");
        for directory in ["home", "tmp"] {
            fs::create_dir(root.path().join(directory)).expect("make a directory");
        }
        // A commit of an agent leaves no process behind that would be noted or not, as it happens.
        let config = "[user]\nname = Tester\nemail = tester@example.org\n[maintenance]\nauto = false\n";
        fs::write(root.path().join("gitconfig"), config).expect("write gitconfig");
        Self {
            root,
            environment: Vec::new(),
            lowered: false,
        }
    }

    /// Sets a variable for every command from here on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The directory that holds everything.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The checkout.
    pub fn repo(&self) -> PathBuf {
        self.root().join("repo")
    }

    /// The worktrees.
    pub fn worktrees(&self) -> PathBuf {
        self.root().join("repo.pleach")
    }

    /// Writes a file of the checkout.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.repo().join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("make directories");
        fs::write(path, content).expect("write a file");
    }

    /// Copies a program. Another process does that: one that is started at the same moment by another test would have
    /// the copy open for writing, and then it cannot be run.
    pub fn install(&self, from: &Path, to: &Path) {
        let mut install = self.command("install");
        let ended = install.args(["-D", "-m", "755"]).args([from, to]).status();
        assert!(ended.expect("run install").success());
    }

    /// A program in the repository (or beside it, when there is none).
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = if self.lowered {
            let mut command = Command::new("setpriv");
            command.args(NOBODY).arg(program);
            command
        } else {
            Command::new(program)
        };
        let directory = if self.repo().is_dir() {
            self.repo()
        } else {
            self.root().to_owned()
        };
        command
            .current_dir(directory)
            .env_clear()
            .env("PATH", search_path())
            .env("HOME", self.root().join("home"))
            .env("TMPDIR", self.root().join("tmp"))
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            // Else it depends on the machine whether two agents run side by side.
            .env("MAX_CLAUDE_WORKERS", "4")
            // And whether they run at all.
            .env("PLEACH_MIN_FREE_DISK", "0")
            .env("PLEACH_MIN_FREE_MEMORY", "0")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", self.root().join("gitconfig"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// pleach itself, in the repository.
    pub fn pleach_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(self.binary());
        command.args(arguments);
        command
    }

    fn binary(&self) -> PathBuf {
        if self.lowered {
            self.root().join("pleach")
        } else {
            env!("CARGO_BIN_EXE_pleach").into()
        }
    }

    /// A line of the shell, in which `"$PLEACH"` is pleach.
    pub fn shell(&self, line: &str) -> Command {
        let mut command = self.command("sh");
        command.args(["-c", line]).env("PLEACH", self.binary());
        command
    }

    /// The same on a terminal of its own, which is gone when the line or the command has ended. What is printed there
    /// comes on standard output. Nothing when there is no program that makes one.
    pub fn on_terminal(&self, line: &str) -> Option<Command> {
        let mut command = self.command("script");
        if let Err(e) = self.command("script").arg("--version").output() {
            skipped(&format!("no terminal: script: {e}"));
            return None;
        }
        command.args(["-qec", line, "/dev/null"]).env("PLEACH", self.binary());
        Some(command)
    }

    /// Starts pleach and hands over its output when it has ended.
    pub fn pleach(&self, arguments: &[&str]) -> Receiver<Output> {
        output_of(self.pleach_command(arguments).spawn().expect("start pleach"))
    }

    /// Runs pleach to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        ran(&mut self.pleach_command(arguments))
    }

    /// Runs pleach with something on its standard input.
    pub fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let path = self.root().join("input");
        fs::write(&path, input).expect("write the input");
        let mut command = self.pleach_command(arguments);
        command.stdin(fs::File::open(path).expect("open the input"));
        ran(&mut command)
    }

    /// Runs a session of scripted agents to its end; tasks are pairs of id and prompt.
    pub fn session(&self, tasks: &[(&str, &str)], options: &[&str]) -> Ended {
        self.ended(&self.start_session(tasks, options))
    }

    /// Starts such a session and watches it.
    pub fn start_session(&self, tasks: &[(&str, &str)], options: &[&str]) -> Receiver<Output> {
        let file = self.tasks(tasks);
        let mut arguments = vec!["run", "--sync", "--agent", "scripted"];
        arguments.extend(options);
        arguments.push(&file);
        self.pleach(&arguments)
    }

    /// Starts a session of scripted agents in the background, and gives its id.
    pub fn start(&self, tasks: &[(&str, &str)], options: &[&str]) -> String {
        let file = self.tasks(tasks);
        let ran = self.run(&[&["run", "--agent", "scripted"], options, &[&file]].concat());
        assert_eq!(ran.code(), 0, "{ran:?}");
        ran.out().trim().to_owned()
    }

    /// Makes an empty file in the project's directory: an agent's `@wait ../../gate` is over when there is `gate`.
    pub fn open(&self, gate: &str) {
        fs::write(self.root().join(gate), "").expect("open a gate");
    }

    /// Waits until there is such a file: an agent's `@touch ../../here` makes `here`.
    pub fn await_file(&self, name: &str) {
        self.until(name, |project| project.root().join(name).exists().then_some(()));
    }

    /// Writes a task file beside the repository, and gives its path.
    pub fn tasks(&self, tasks: &[(&str, &str)]) -> String {
        let prompts: Vec<Value> = tasks
            .iter()
            .map(|(id, prompt)| json!({ "id": id, "prompt": prompt }))
            .collect();
        let file = self.root().join("tasks.json");
        fs::write(&file, json!({ "prompts": prompts }).to_string()).expect("write the tasks");
        file.to_str().expect("a path in UTF-8").to_owned()
    }

    /// Waits for the end of a watched run.
    pub fn ended(&self, run: &Receiver<Output>) -> Ended {
        let output = run.recv_timeout(PATIENCE).expect("the run ends");
        let left = self.agents();
        let (status, results) = (self.query(&["status"]), self.query(&["results"]));
        Ended {
            output,
            left,
            status,
            results,
        }
    }

    /// What a query of pleach prints with `--json`; it must succeed.
    pub fn query(&self, arguments: &[&str]) -> Value {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        let ran = self.run(&arguments);
        assert_eq!(ran.code(), 0, "{arguments:?}: {ran:?}");
        ran.json()
    }

    /// Looks again and again until `found` gives something. For what happens outside of any process that could be
    /// waited for.
    pub fn until<T>(&self, what: &str, mut found: impl FnMut(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = found(self) {
                return value;
            }
            assert!(Instant::now() < deadline, "in vain: {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What git prints in the repository; it must succeed.
    pub fn git(&self, arguments: &[&str]) -> String {
        let output = self.command("git").args(arguments).output().expect("run git");
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("git prints UTF-8")
    }

    /// The content of a file, as `branch:path`.
    pub fn show(&self, file: &str) -> String {
        self.git(&["show", file])
    }

    /// The files that a branch changed.
    pub fn changed_in(&self, branch: &str) -> String {
        self.git(&["diff", "--name-only", &format!("main...{branch}")])
    }

    /// The worktree of a task of a session on `main`.
    pub fn worktree(&self, id: &str) -> PathBuf {
        self.worktrees().join(format!("main-task-{id}"))
    }

    /// What git prints in another directory; it must succeed.
    pub fn git_in(&self, directory: &Path, arguments: &[&str]) -> String {
        let directory = directory.to_str().expect("a path in UTF-8");
        self.git(&[&["-C", directory], arguments].concat())
    }

    /// What a line of the shell prints in the repository; it must succeed.
    pub fn sh(&self, line: &str) -> String {
        let output = self.command("sh").args(["-ec", line]).output().expect("run a shell");
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// The records of one kind in the journal of the only session.
    pub fn events(&self, kind: &str) -> Vec<Value> {
        let journal = fs::read_to_string(self.session_dir().join("journal.jsonl")).expect("read the journal");
        let records = journal
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        records.filter(|record| record["event"] == kind).collect()
    }

    /// Waits until it is shown that the agent of a session's first task runs.
    pub fn until_it_runs(&self, session: &str) {
        self.until("the agent of the first task", |project| {
            let status = project.query(&["status", session]);
            status["tasks"][0]["pid"].is_number().then_some(())
        });
    }

    /// Kills the supervisor of the newest session, whose agents go on, and gives what is shown of it then.
    pub fn kill_supervisor(&self) -> Value {
        let pid = self.query(&["status"])["supervisor"]["pid"].as_i64();
        let pid = Pid::from_raw(pid.expect("a pid").try_into().expect("a pid"));
        kill_process(pid.expect("a pid"), Signal::KILL).expect("kill the supervisor");
        self.until("the session is interrupted", |project| {
            let status = project.query(&["status"]);
            (status["overall_status"] == "interrupted").then_some(status)
        })
    }

    /// Has the first task of the only session, at which nobody works, cost so much at most.
    pub fn limit_cost(&self, max_cost_usd: f64) {
        let path = self.session_dir().join("session.json");
        let mut spec: Value = serde_json::from_slice(&fs::read(&path).expect("read the session")).expect("JSON");
        spec["tasks"][0]["options"]["max_cost_usd"] = json!(max_cost_usd);
        fs::write(path, spec.to_string()).expect("write the session");
    }

    /// The only session's directory.
    pub fn session_dir(&self) -> PathBuf {
        let results = self.repo().join(".git/pleach/results");
        let mut found: Vec<PathBuf> = fs::read_dir(results)
            .expect("read the results")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    /// The directory that the tasks of the only session share, as its record says.
    pub fn shared_dir(&self) -> PathBuf {
        let spec = fs::read(self.session_dir().join("session.json")).expect("read the specification");
        let spec: Value = serde_json::from_slice(&spec).expect("JSON");
        spec["shared"].as_str().expect("a directory").into()
    }

    /// A path beside the repository, where no worktree is, for what an agent and its test tell each other.
    pub fn beside(&self, name: &str) -> String {
        let path = self.root().join(name);
        path.into_os_string().into_string().expect("a path in UTF-8")
    }

    /// Waits until a whole line stands in a file beside the repository, and gives its text.
    pub fn line_beside(&self, name: &str) -> String {
        self.until(name, |project| {
            let text = fs::read_to_string(project.root().join(name)).ok()?;
            text.ends_with('\n').then(|| text.trim_end().to_owned())
        })
    }

    /// Writes a shell script beside the repository, and gives its path.
    pub fn program(&self, name: &str, script: &str) -> String {
        let draft = self.root().join("draft");
        fs::write(&draft, format!("#!/bin/sh\n{script}\n")).expect("write a program");
        self.install(&draft, &self.root().join(name));
        self.beside(name)
    }

    /// An agent whose prompt is a shell script, which runs in the agent's own process.
    pub fn shell_agent(&self) -> String {
        self.program("shell-agent", r#"eval "$(cat)""#)
    }

    /// Starts a session of such agents and watches it; tasks are pairs of id and script.
    pub fn start_shell_session(&self, tasks: &[(&str, &str)], options: &[&str]) -> Receiver<Output> {
        let (agent, file) = (self.shell_agent(), self.tasks(tasks));
        let mut arguments = vec!["run", "--sync", "--claude", &agent];
        arguments.extend(options);
        arguments.push(&file);
        self.pleach(&arguments)
    }

    /// Runs such a session to its end.
    pub fn shell_session(&self, tasks: &[(&str, &str)], options: &[&str]) -> Ended {
        self.ended(&self.start_shell_session(tasks, options))
    }

    /// What happened in the only session: the journal without its header.
    pub fn journal(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.session_dir().join("journal.jsonl")).expect("read the journal");
        let mut records = text.lines().map(|l| serde_json::from_str(l).expect("a record"));
        let header: Value = records.next().expect("a header");
        assert_eq!(header["schema"], 1, "{header}");
        records.collect()
    }

    /// The directory of a task's first attempt.
    pub fn attempt_dir(&self, id: &str) -> PathBuf {
        self.session_dir().join("attempts").join(format!("{id}.1"))
    }

    /// Every process that was started by a command of this project: it has its home.
    pub fn processes(&self) -> Vec<Process> {
        let home = format!("HOME={}", self.root().join("home").display());
        let entries = fs::read_dir("/proc").expect("read /proc").flatten();
        entries
            .filter_map(|entry| Process::read(entry.file_name().to_str()?.parse().ok()?))
            .filter(|process| process.has(|variable| variable == home))
            .collect()
    }

    /// The command lines of the agents' processes, which carry the mark of their attempt.
    pub fn agents(&self) -> Vec<String> {
        self.processes()
            .into_iter()
            .filter(|process| process.has(|variable| variable.starts_with("PLEACH_ATTEMPT=")))
            .map(|process| process.line)
            .collect()
    }
}

impl Drop for Project {
    /// Ends what a failed test left running.
    fn drop(&mut self) {
        for process in self.processes() {
            // It may have ended by itself.
            let _ = kill_process(process.pid, Signal::KILL);
        }
    }
}

/// Says that a part of a test was left out, and why; not through what the test runner captures.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    // Nobody there to read it is no failure.
    let _ = writeln!(std::io::stderr(), "skipped a part of {test}: {why}");
}

/// Tasks of these ids and prompts.
pub fn pairs<'t>(ids: &'t [String], prompts: &'t [String]) -> Vec<(&'t str, &'t str)> {
    let prompts = prompts.iter().map(String::as_str);
    ids.iter().map(String::as_str).zip(prompts).collect()
}

/// Runs a command to its end, and to that of what it prints.
pub fn ran(command: &mut Command) -> Ran {
    let output = output_of(command.spawn().expect("start a program"));
    Ran(output.recv_timeout(PATIENCE).expect("the program ends"))
}

/// The output of a program, once it has ended.
pub fn output_of(child: Child) -> Receiver<Output> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output().expect("wait for pleach")));
    receiver
}

/// The usual directories of programs, after the one of the git that this test finds.
fn search_path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let git = std::env::split_paths(&path).find(|directory| directory.join("git").is_file());
    let usual = ["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::join_paths(git.into_iter().chain(usual)).expect("no colon in a directory of PATH")
}
