//! The user's pager, as git itself would start it.
//!
//! Several diffs go through one of them, with headings between: so it is started here, and each git prints into it. No
//! git starts one itself: of `pager.diff` it would take an earlier value that names a program, whatever stands later.
//! The pager is what keeps escape sequences in an agent's files from acting on the terminal. Called by `diff`.

use std::ffi::OsStr;
use std::io::{ErrorKind, IsTerminal, Write, stdout};
use std::process::{Child, Command, ExitStatus, Stdio};

use git2::Config;
use rustix::termios::tcgetwinsize;

use super::{Git, GitError};

/// Where what one looks at goes: into the user's pager, or straight to standard output.
#[derive(Debug)]
pub struct Pager(Option<Child>);

impl Pager {
    /// Starts the pager that git would take for `git diff`: none where standard output is no terminal, or where the user
    /// wants none.
    pub fn start(git: &Git) -> Result<Self, GitError> {
        if !stdout().is_terminal() {
            return Ok(Self(None));
        }
        let Some(command) = wanted(git)? else {
            return Ok(Self(None));
        };
        let mut pager = program(&command);
        pager.stdin(Stdio::piped());
        for (name, value) in [("LESS", "FRX"), ("LV", "-c")] {
            if std::env::var_os(name).is_none() {
                pager.env(name, value);
            }
        }
        match pager.spawn() {
            // As git does without `less`.
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Self(None)),
            other => Ok(Self(Some(other.map_err(GitError::io("cannot start the pager"))?))),
        }
    }

    /// Prints text before or after a diff; false when nobody looks any more, or when there is no pager to print into.
    pub fn say(&mut self, text: &str) -> Result<bool, GitError> {
        let Some(pipe) = self.0.as_mut().and_then(|child| child.stdin.as_mut()) else {
            return Ok(false);
        };
        match pipe.write_all(text.as_bytes()) {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
            other => other.map(|()| true).map_err(GitError::io("cannot write to the pager")),
        }
    }

    /// Whether there is one.
    pub fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// Runs git with its output going there.
    pub fn show<S: AsRef<OsStr>>(&self, git: &Git, args: &[S]) -> Result<ExitStatus, GitError> {
        let unclonable = GitError::io("cannot hand the pager over to git");
        match self.0.as_ref().and_then(|child| child.stdin.as_ref()) {
            None => git.show(args, Stdio::inherit(), None),
            Some(pipe) => {
                let pipe = rustix::io::fcntl_dupfd_cloexec(pipe, 0).map_err(|e| unclonable(e.into()))?;
                git.show(args, pipe.into(), Some(columns()))
            }
        }
    }

    /// Waits until the user has looked at all of it.
    pub fn wait(mut self) -> Result<(), GitError> {
        if let Some(mut child) = self.0.take() {
            drop(child.stdin.take());
            child.wait().map_err(GitError::io("cannot wait for the pager"))?;
        }
        Ok(())
    }
}

/// A pager is configured as a command of the shell; git starts one that is only a name without it, and so sees when
/// there is no such program.
fn program(command: &str) -> Command {
    const OF_THE_SHELL: &str = "|&;<>()$`\\\"' \t\n*?[#~=%";
    if command.contains(|c| OF_THE_SHELL.contains(c)) {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]);
        return shell;
    }
    Command::new(command)
}

/// The command of the pager; none when the user wants none.
fn wanted(git: &Git) -> Result<Option<String>, GitError> {
    let text = |args: &[&str]| -> Result<String, GitError> {
        let (_, text) = git.ask(args, &[0, 1])?;
        Ok(String::from_utf8_lossy(&text).trim_end_matches('\n').to_owned())
    };
    let of_diff = text(&["config", "--get", "pager.diff"])?;
    // It says whether, or which.
    let whether = (!of_diff.is_empty()).then(|| Config::parse_bool(of_diff.as_str()));
    let pager = match whether {
        Some(Ok(false)) => return Ok(None),
        Some(Err(_)) if std::env::var_os("GIT_PAGER").is_none() => of_diff,
        _ => text(&["var", "GIT_PAGER"])?,
    };
    Ok(Some(pager).filter(|pager| !pager.is_empty() && pager != "cat"))
}

/// How wide the terminal is: git cannot ask a pipe.
fn columns() -> u16 {
    tcgetwinsize(stdout()).map_or(0, |size| size.ws_col)
}
