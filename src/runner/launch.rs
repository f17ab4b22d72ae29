//! Starts the agent of an attempt, with its prompt: on pipes, or on a terminal of its own.
//!
//! What no program can be started with is said in words before it is tried.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;

use super::RunnerRequest;
use super::attempt::surrounded;
use super::output::Output;
use super::pty;
use crate::agent::command::unfit;
use crate::process::spawn_bound_to_parent;
use crate::store::atomic::{self, Durability};
use crate::store::paths::AttemptPaths;

/// An agent that runs.
pub(super) struct Agent {
    pub pid: i32,
    pub out: pipe::Receiver,
    pub err: pipe::Receiver,
    /// Its end of the terminal, if it is on one.
    pub line: Option<File>,
}

/// Why an agent does not run.
pub(super) struct NotLaunched {
    /// What could not be done, in words.
    pub doing: String,
    /// Why.
    pub source: io::Error,
}

/// Starts the agent of an attempt.
pub(super) fn launch(paths: &AttemptPaths, request: &RunnerRequest, output: &mut Output) -> Result<Agent, NotLaunched> {
    let failed = |doing: &str| {
        let doing = doing.to_owned();
        move |source| NotLaunched { doing, source }
    };
    if let Some(prompt) = &request.prompt_file {
        let path = paths.prompt();
        let utf8 = path.to_str().ok_or_else(|| io::Error::other("its path is not UTF-8"));
        let written = utf8.and_then(|_| atomic::write(&path, prompt.as_bytes(), Durability::Fast));
        written.map_err(failed("cannot write the file of its prompt"))?;
    }
    let cannot_start = format!("cannot start {}", request.program.display());
    if let Some(why) = unfit(&request.args, request.pty.then_some(&request.stdin)) {
        return Err(failed(&cannot_start)(io::Error::other(why)));
    }
    let mut command = surrounded(request, &request.program);
    command.args(&request.args);
    let begun = match request.pty {
        true => on_terminal(&mut command, request, output),
        false => on_pipes(&mut command, request),
    };
    begun.map_err(|e| failed(&cannot_start)(for_want_of_directory(request, e)))
}

/// The same error, in words where it is the directory that is gone: the system says that of the program.
pub(super) fn for_want_of_directory(request: &RunnerRequest, e: io::Error) -> io::Error {
    match e.kind() {
        kind @ (ErrorKind::NotFound | ErrorKind::NotADirectory) if !request.directory.is_dir() => {
            let directory = request.directory.display();
            io::Error::new(kind, format!("its directory {directory} is not there any more"))
        }
        _ => e,
    }
}

fn on_terminal(command: &mut Command, request: &RunnerRequest, output: &mut Output) -> io::Result<Agent> {
    // Nothing comes on this: both streams are the terminal.
    let (err, _) = io::pipe()?;
    let err = pipe::Receiver::from_owned_fd(err.into())?;
    let started = pty::start(command, &request.stdin)?;
    output.terminal = Some(started.terminal);
    Ok(Agent {
        pid: started.child.id().cast_signed(),
        out: started.out,
        err,
        line: Some(started.line),
    })
}

fn on_pipes(command: &mut Command, request: &RunnerRequest) -> io::Result<Agent> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = spawn_bound_to_parent(command)?;
    if let Some(stdin) = child.stdin.take() {
        let mut stdin = pipe::Sender::from_owned_fd(OwnedFd::from(stdin))?;
        let prompt = request.stdin.clone().into_bytes();
        // An agent that does not read its prompt to the end closes the pipe: its own affair.
        tokio::spawn(async move { stdin.write_all(&prompt).await });
    }
    let pipe_of = |fd: Option<OwnedFd>| match fd {
        Some(fd) => pipe::Receiver::from_owned_fd(fd),
        None => Err(io::Error::other("the agent has no output pipe")),
    };
    Ok(Agent {
        pid: child.id().cast_signed(),
        out: pipe_of(child.stdout.take().map(Into::into))?,
        err: pipe_of(child.stderr.take().map(Into::into))?,
        line: None,
    })
}
