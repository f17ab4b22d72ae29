//! The tools of the scripted agent: what the events say about a call, and the call itself.
//!
//! A call that fails is a result with an error in it, as a model would see it; the run goes on. A command runs in a
//! process group of its own and is over when its shell is: what it leaves in the background lives on, as with the
//! Claude Code CLI.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::directive::Tool;

/// How much of a command's output is in its result.
const MOST_OUTPUT: usize = 30_000;

/// What a call gave: a text, which is an error message in the other case.
pub type Outcome = Result<String, String>;

impl Tool {
    /// The name of the tool and the input that a model would give it.
    pub fn call(&self, cwd: &Path) -> (&str, Value) {
        let full = |path: &Path| cwd.join(path).to_string_lossy().into_owned();
        let shell = |command: String| ("Bash", json!({ "command": command }));
        match self {
            Self::Write(path, text) => ("Write", json!({"file_path": full(path), "content": text})),
            Self::Append(path, text) => (
                "Edit",
                json!({"file_path": full(path), "old_string": "", "new_string": text}),
            ),
            Self::Delete(path) => shell(format!("rm -r {}", path.display())),
            Self::Touch(path) => shell(format!("touch {}", path.display())),
            Self::Commit(message) => shell(format!("git add -A && git commit -q -m {message:?}")),
            Self::Run(command) => shell(command.clone()),
            Self::Daemon(time) => shell(format!("setsid sleep {} &", seconds(*time))),
            Self::Deny(name) => (name, json!({})),
        }
    }

    /// Does it.
    pub fn execute(&self) -> Outcome {
        let done = |result: io::Result<()>, path: &Path, what: &str| match result {
            Ok(()) => Ok(format!("{} {what}", path.display())),
            Err(error) => Err(format!("{}: {error}", path.display())),
        };
        match self {
            Self::Write(path, text) => done(write(path, text), path, "written"),
            Self::Append(path, text) => done(append(path, text), path, "updated"),
            Self::Delete(path) => done(delete(path), path, "deleted"),
            Self::Touch(path) => done(append(path, ""), path, "touched"),
            Self::Commit(message) => commit(message),
            Self::Run(command) => run(Command::new("/bin/sh").arg("-c").arg(command)),
            Self::Daemon(time) => daemon(*time),
            Self::Deny(name) => Err(format!(
                "Claude requested permissions to use {name}, but you haven't granted it yet."
            )),
        }
    }
}

fn seconds(time: Duration) -> String {
    time.as_secs_f64().to_string()
}

fn make_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => fs::create_dir_all(parent),
        _ => Ok(()),
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    make_parent(path)?;
    fs::write(path, text)
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    make_parent(path)?;
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(text.as_bytes())
}

fn delete(path: &Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

fn commit(message: &str) -> Outcome {
    run(Command::new("git").args(["add", "-A"]))?;
    // Else git may leave a process behind that looks whether there is anything to be packed.
    let commit = ["-c", "maintenance.auto=false", "commit", "-q", "-m", message];
    run(Command::new("git").args(commit))
}

/// Starts a process that outlives the agent and keeps its standard output open.
fn daemon(time: Duration) -> Outcome {
    // Not in a group of its own: `setsid` would fork then, and the pid would be another one.
    let child = Command::new("setsid")
        .arg("sleep")
        .arg(seconds(time))
        .stdin(Stdio::null())
        .spawn();
    match child {
        Ok(child) => Ok(child.id().to_string()),
        Err(error) => Err(format!("setsid: {error}")),
    }
}

/// Runs a program. Its output goes to a file: a pipe would be open as long as anything that it left behind.
fn run(command: &mut Command) -> Outcome {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut outcome = || -> io::Result<Outcome> {
        let output = tempfile::tempfile()?;
        let status = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output.try_clone()?)
            .process_group(0)
            .status()?;
        let text = beginning(&output)?;
        if status.success() {
            return Ok(Ok(text));
        }
        let signalled = || status.signal().map(|signal| 128 + signal);
        let code = status.code().or_else(signalled).unwrap_or(1);
        Ok(Err(format!("Exit code {code}\n{text}")))
    };
    outcome().unwrap_or_else(|error| Err(format!("{program}: {error}")))
}

/// The beginning of a file as text. The file's offset, which processes still running may share, stays.
fn beginning(file: &File) -> io::Result<String> {
    let mut bytes = vec![0; MOST_OUTPUT];
    let mut length = 0;
    while length < bytes.len() {
        match file.read_at(&mut bytes[length..], length as u64) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut text = String::from_utf8_lossy(&bytes[..length]).into_owned();
    text.truncate(text.trim_end_matches('\n').len());
    if file.metadata()?.len() > length as u64 {
        text.push_str("\n... (output cut)");
    }
    Ok(text)
}
