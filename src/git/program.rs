//! Runs the git program on exactly the repository that is meant.
//!
//! Everything that an agent could have planted to make git run its code is switched off: hooks, the fsmonitor, and
//! discovery of another repository through a swapped `.git` file (git dir and work tree are always named).

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::Builder;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tracing::{Level, debug, enabled};

use super::GitError;

/// The variables that bind git to one repository (`git rev-parse --local-env-vars`), and those that add
/// configuration: none of them may reach an agent or a git that works elsewhere.
pub const LOCAL_VARIABLES: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// How long git may take to tell something that it need not look for, such as its version or a setting: whoever waits
/// for it should learn that it hangs.
pub const TO_TELL: Duration = Duration::from_secs(10);

/// A version of git: major and minor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// The version of the git program in PATH.
pub fn version() -> Result<Version, GitError> {
    let mut command = Command::new("git");
    let output = output(&mut command, &["--version"], b"", Some(TO_TELL), None)?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse_version(&text).ok_or_else(|| GitError::NoVersion(text.trim().to_owned()))
}

fn parse_version(text: &str) -> Option<Version> {
    let mut numbers = text.trim().strip_prefix("git version ")?.split('.');
    Some(Version(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The git program, bound to one repository and perhaps a work tree of it.
#[derive(Clone, Debug)]
pub struct Git {
    git_dir: PathBuf,
    work_tree: Option<PathBuf>,
    configuration: Vec<String>,
    environment: Vec<(&'static str, PathBuf)>,
    limit: Option<Duration>,
    held: Option<Arc<File>>,
}

impl Git {
    /// On the repository whose git dir this is, without a work tree.
    pub fn bare(git_dir: impl Into<PathBuf>) -> Self {
        Self {
            git_dir: git_dir.into(),
            work_tree: None,
            configuration: Vec::new(),
            environment: Vec::new(),
            limit: None,
            held: None,
        }
    }

    /// On a work tree whose git dir (`<common dir>/worktrees/<name>` for a linked one) is known.
    pub fn in_work_tree(git_dir: impl Into<PathBuf>, work_tree: impl Into<PathBuf>) -> Self {
        let work_tree = Some(work_tree.into());
        Self {
            work_tree,
            ..Self::bare(git_dir)
        }
    }

    /// The same on another work tree.
    #[must_use]
    pub fn with_work_tree(mut self, work_tree: impl Into<PathBuf>) -> Self {
        self.work_tree = Some(work_tree.into());
        self
    }

    /// The same with `key=value` of configuration above all files.
    #[must_use]
    pub fn with_configuration(mut self, entries: impl IntoIterator<Item = String>) -> Self {
        self.configuration.extend(entries);
        self
    }

    /// The same with one of git's own variables set to a path.
    #[must_use]
    pub fn with_variable(mut self, name: &'static str, path: impl Into<PathBuf>) -> Self {
        self.environment.push((name, path.into()));
        self
    }

    /// The same, but killed when it has not ended after `limit`.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// The same with a lock that git holds too, as its standard input: it is free only when git has ended.
    #[must_use]
    pub fn holding(mut self, lock: Arc<File>) -> Self {
        self.held = Some(lock);
        self
    }

    /// Runs git and gives what it printed; an exit code that is not 0 is an error.
    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Vec<u8>, GitError> {
        let output = self.output(args, b"")?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(failure(args, &output))
    }

    /// Runs git where more than one exit code is an answer: gives the code and what it printed.
    pub fn ask<S: AsRef<OsStr>>(&self, args: &[S], answers: &[i32]) -> Result<(i32, Vec<u8>), GitError> {
        let output = self.output(args, b"")?;
        match output.status.code() {
            Some(code) if answers.contains(&code) => Ok((code, output.stdout)),
            _ => Err(failure(args, &output)),
        }
    }

    /// Runs git with `input` on its standard input.
    pub fn feed<S: AsRef<OsStr>>(&self, args: &[S], input: &[u8]) -> Result<Vec<u8>, GitError> {
        let output = self.output(args, input)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(failure(args, &output))
    }

    /// Runs git for somebody who looks on, without a pager of its own: what it prints goes to `output`, what it
    /// complains of to standard error, and it belongs to this process's job, so that Ctrl-C reaches it. `paged` says
    /// that a pager shows what it prints, on so many columns.
    pub fn show<S: AsRef<OsStr>>(&self, args: &[S], output: Stdio, paged: Option<u16>) -> Result<ExitStatus, GitError> {
        let mut command = self.command();
        if let Some(columns) = paged {
            // As git tells itself: with it there are colours, though it prints into a pipe.
            command.env("GIT_PAGER_IN_USE", "true");
            if columns > 0 {
                command.env("COLUMNS", columns.to_string());
            }
        }
        let started = command
            .arg("--no-pager")
            .args(args)
            .stdin(Stdio::null())
            .stdout(output)
            .status();
        started.map_err(GitError::NoProgram)
    }

    fn output<S: AsRef<OsStr>>(&self, args: &[S], input: &[u8]) -> Result<Output, GitError> {
        let held = self.held.as_ref().filter(|_| input.is_empty());
        let held = held.map(|file| file.try_clone()).transpose();
        let held = held.map_err(GitError::io("cannot hand a lock to git"))?;
        output(&mut self.command(), args, input, self.limit, held)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("git");
        for name in LOCAL_VARIABLES {
            command.env_remove(name);
        }
        command
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_DIR", &self.git_dir)
            .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]);
        for entry in &self.configuration {
            command.args(["-c", entry]);
        }
        for (name, path) in &self.environment {
            command.env(name, path);
        }
        match &self.work_tree {
            Some(tree) => command.env("GIT_WORK_TREE", tree).current_dir(tree),
            None => command.current_dir(existing(&self.git_dir)),
        };
        command
    }
}

/// Runs git, and says so to whoever looks for a fault.
fn output<S: AsRef<OsStr>>(
    command: &mut Command,
    args: &[S],
    input: &[u8],
    limit: Option<Duration>,
    held: Option<File>,
) -> Result<Output, GitError> {
    let began = enabled!(Level::DEBUG).then(Instant::now);
    let result = unseen(command, args, input, limit, held);
    if let Some(began) = began {
        let (args, ms) = (words(args), began.elapsed().as_millis());
        match &result {
            Ok(output) => debug!(args, code = output.status.code(), ms, "git"),
            Err(error) => debug!(args, %error, ms, "git"),
        }
    }
    result
}

/// Runs git as the leader of a process group of its own.
fn unseen<S: AsRef<OsStr>>(
    command: &mut Command,
    args: &[S],
    input: &[u8],
    limit: Option<Duration>,
    held: Option<File>,
) -> Result<Output, GitError> {
    let mut child = command
        .process_group(0)
        .args(args)
        .stdin(match held {
            Some(file) => file.into(),
            None if input.is_empty() => Stdio::null(),
            None => Stdio::piped(),
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(GitError::NoProgram)?;
    let leader = Pid::from_child(&child);
    // It has not ended, or has this very moment: its group is its own, or nobody's yet.
    let end = || {
        let _ = kill_process_group(leader, Signal::KILL);
    };
    // There may be no threads left: then git cannot be used now, as if it could not be started.
    let no_thread = |e| {
        end();
        GitError::NoProgram(e)
    };
    if let Some(mut pipe) = child.stdin.take() {
        let input = input.to_vec();
        // A thread of its own: git may print before it has read all, and would then wait for its reader.
        let feed = move || pipe.write_all(&input);
        if let Err(e) = Builder::new().spawn(feed) {
            let error = no_thread(e);
            let _ = child.wait();
            return Err(error);
        }
    }
    let unread = GitError::io("cannot read what git printed");
    let Some(limit) = limit else {
        return child.wait_with_output().map_err(unread);
    };
    let (sender, ended) = channel();
    let wait = move || sender.send(child.wait_with_output());
    Builder::new().spawn(wait).map_err(no_thread)?;
    match ended.recv_timeout(limit) {
        Ok(output) => output.map_err(unread),
        Err(_) => {
            end();
            let args = words(args);
            Err(GitError::TimeOut { args, limit })
        }
    }
}

fn existing(dir: &Path) -> &Path {
    if dir.is_dir() { dir } else { Path::new("/") }
}

fn words<S: AsRef<OsStr>>(args: &[S]) -> String {
    let args: Vec<_> = args.iter().map(|a| a.as_ref().to_string_lossy()).collect();
    args.join(" ")
}

fn failure<S: AsRef<OsStr>>(args: &[S], output: &Output) -> GitError {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let mut lines: Vec<&str> = stderr.lines().filter(|l| !l.trim().is_empty()).collect();
    let last = lines.split_off(lines.len().saturating_sub(2));
    GitError::Program {
        args: words(args),
        code: output.status.code(),
        stderr: if last.is_empty() {
            output.status.to_string()
        } else {
            last.join("; ")
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_all_vendors() {
        for (text, version) in [
            ("git version 2.47.3\n", Some(Version(2, 47))),
            ("git version 2.39.5 (Apple Git-154)", Some(Version(2, 39))),
            ("git version 2.30.rc1", Some(Version(2, 30))),
            ("hub 1", None),
        ] {
            assert_eq!(parse_version(text), version);
        }
        assert!(Version(2, 9) < Version(2, 30) && Version(3, 0) > Version(2, 41));
    }

    #[test]
    fn a_git_that_does_not_end_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        git2::Repository::init_bare(dir.path()).unwrap();
        let git = Git::bare(dir.path())
            .with_configuration(["alias.hang=!sleep 60".into()])
            .with_limit(Duration::from_millis(100));
        let error = git.run(&["hang"]).unwrap_err();
        assert!(matches!(error, GitError::TimeOut { .. }), "{error}");
        assert_eq!(
            error.to_string(),
            "git hang was ended: it had not ended by itself after 0 s"
        );
    }
}
