//! The scripted agent inside pleach: it takes the arguments of the Claude Code CLI, prints what the CLI prints, and
//! does what the directives in its prompt say instead of asking a model. For `pleach demo` and for tests.
//!
//! ```text
//! arguments -> options        prompt -> directives   (all of both is checked before anything is done)
//!    -> conversation (kept on disk, cumulative cost) -> one directive after the other -> events -> exit code
//! ```
//!
//! A directive is a line of the prompt that starts with `@`; `directive.rs` lists them. Every other line is ignored.
//! One that resumes a conversation without any goes on with what was asked there before.

mod conversation;
mod directive;
mod options;
mod performance;
mod speaker;
mod tool;

use std::ffi::OsString;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use conversation::{Conversation, Script};
use directive::Directive;
use options::{Format, Options, Request};
use performance::Performance;
use speaker::{Speaker, Voice};

/// Set to the pid of the process that ignores SIGTERM: an exec keeps the pid, a child has another one.
const SIGTERM_IGNORED: &str = "PLEACH_SCRIPTED_IGNORES_SIGTERM";

const NO_DIRECTIVE: &str = "scripted agent: no directive in the prompt (lines that start with @)";

/// Runs the agent with these arguments (without the program name) and returns its exit code.
pub fn main(args: Vec<OsString>) -> u8 {
    match answer(args) {
        Ok(code) => code,
        Err(problem) => {
            complain(&problem);
            1
        }
    }
}

/// Writes to standard error; nobody listening is no reason to fail.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn answer(args: Vec<OsString>) -> Result<u8, String> {
    let mut options = match options::parse(args)? {
        Request::Run(options) => options,
        Request::Version => {
            let version = concat!(env!("CARGO_PKG_VERSION"), " (pleach scripted agent)");
            writeln!(std::io::stdout(), "{version}").map_err(stdout_failed)?;
            return Ok(0);
        }
    };
    let positional = options.prompt.take();
    let from_stdin = positional.is_none();
    let prompt = match positional {
        Some(argument) => argument.into_encoded_bytes(),
        None => read_stdin()?,
    };
    let text = String::from_utf8_lossy(&prompt);
    if text.trim().is_empty() {
        return Err(
            "Error: Input must be provided either through stdin or as a prompt argument when using --print".into(),
        );
    }
    let slash = text.starts_with('/');
    let parse = |prompt: &str| directive::parse(prompt).map_err(|e| format!("error: {e}"));
    let mut directives = if slash { Vec::new() } else { parse(&text)? };
    let mut script = Script {
        prompt: text.clone().into_owned(),
        done: 0,
    };
    if options.resume.is_some() && directives.is_empty() && !slash {
        script = Conversation::open(&Options {
            fork: false,
            resume: options.resume.clone(),
            ..Options::default()
        })?
        .script()
        .clone();
        directives = parse(&script.prompt)?;
    }
    if directives.contains(&Directive::IgnoreSigterm) && !ignores_sigterm() {
        return Err(start_again_without_sigterm(from_stdin.then_some(&prompt)));
    }
    let voice = match options.format {
        _ if directives.contains(&Directive::Plain) => Voice::Plain,
        Format::Text => Voice::Text,
        Format::Json => Voice::Json,
        Format::StreamJson => Voice::Stream,
    };
    let cwd = std::env::current_dir().map_err(|e| format!("Error: the working directory cannot be read: {e}"))?;
    let mut conversation = Conversation::open(&options)?;
    let done = script.done;
    if !directives.is_empty() {
        conversation.follow(script)?;
    }
    let speaker = Speaker::new(voice, conversation.id());
    let mut performance = Performance::new(&options, speaker, conversation, cwd, prompt.len());
    if slash {
        return performance.slash_command();
    }
    if directives.is_empty() {
        return performance.follow(&[Directive::Say(NO_DIRECTIVE.into())], 0);
    }
    performance.follow(&directives, done)
}

fn stdout_failed(error: std::io::Error) -> String {
    format!("Error: standard output cannot be written: {error}")
}

fn read_stdin() -> Result<Vec<u8>, String> {
    let mut prompt = Vec::new();
    match std::io::stdin().lock().read_to_end(&mut prompt) {
        Ok(_) => Ok(prompt),
        Err(error) => Err(format!("Error: standard input cannot be read: {error}")),
    }
}

fn ignores_sigterm() -> bool {
    std::env::var(SIGTERM_IGNORED).is_ok_and(|pid| pid == std::process::id().to_string())
}

/// Replaces this process by itself with SIGTERM ignored. A shell does that, as setting a signal's disposition takes
/// unsafe code here. A prompt that was read from standard input is handed over. Returns only the failure.
fn start_again_without_sigterm(prompt: Option<&Vec<u8>>) -> String {
    let prepare = || -> std::io::Result<Command> {
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", r#"trap "" TERM; exec "$0" "$@""#])
            .arg(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .env(SIGTERM_IGNORED, std::process::id().to_string());
        if let Some(prompt) = prompt {
            let mut file = tempfile::tempfile()?;
            file.write_all(prompt)?;
            file.seek(SeekFrom::Start(0))?;
            shell.stdin(Stdio::from(file));
        }
        Ok(shell)
    };
    let error = match prepare() {
        Ok(mut shell) => shell.exec(),
        Err(error) => error,
    };
    format!("Error: @ignore-sigterm: the agent cannot be started again: {error}")
}
