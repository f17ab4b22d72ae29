//! The agent program: whether it is there, which version it is, whether it runs as this user, and what it would run with.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::repository::Seen;
use super::{Agent, Check, Finding, Level, Subject, login};
use crate::agent::claude::{SESSION_VARIABLES, TESTED_VERSION};
use crate::agent::obeyed;
use crate::git::{LOCAL_VARIABLES, file_in};
use crate::process::{Brief, ask_briefly};
use crate::words::quote;

/// How long the program may take to say its version.
const LIMIT: Duration = Duration::from_secs(10);

/// Where Claude Code is told to keep its files while it says its version: nothing can be made there. It makes none then
/// anyway (measured on 2.1.329); other versions may.
const NOWHERE: &str = "/dev/null/pleach";

pub(super) fn look(subject: &Subject, seen: Option<&Seen<'_>>, found: &mut Vec<Finding>) {
    let Agent {
        program,
        by,
        is_claude_code,
        root,
    } = &subject.agent;
    let program = match program {
        Ok(program) => program,
        Err(e) => return found.push(Finding::refusal(Check::Agent, Level::Problem, e)),
    };
    let by = if by.is_empty() { "PATH" } else { by };
    found.push(Check::Agent.ok(format!("{} (by {by})", program.display())));
    if let Err(e) = root {
        found.push(Finding::refusal(Check::Agent, Level::Problem, e));
    }
    let asked = ask_briefly(&mut version_command(program, &subject.directory), LIMIT);
    let said = asked.map_err(|e| e.to_string()).and_then(said);
    found.push(version(program, *is_claude_code, &said));
    let obeyed = obeyed(|file| match seen {
        Some(seen) => file_in(seen.repository, "HEAD", file),
        None => std::fs::read(subject.directory.join(file)).ok(),
    });
    found.extend(obeyed.map(|what| Check::Agent.note(what)));
    login::look(subject, seen, found);
}

/// With the same environment as an agent of a session.
fn version_command(program: &Path, directory: &Path) -> Command {
    let mut command = Command::new(program);
    for name in LOCAL_VARIABLES.iter().chain(SESSION_VARIABLES) {
        command.env_remove(name);
    }
    command
        .arg("--version")
        .current_dir(directory)
        .env("CLAUDE_CONFIG_DIR", NOWHERE);
    command
}

/// The first line of the answer, or why there is none.
fn said(brief: Brief) -> Result<String, String> {
    let first = |text: &[u8]| {
        let text = String::from_utf8_lossy(text);
        text.lines()
            .map(str::trim)
            .find(|l| !l.is_empty())
            .map(|l| l.chars().take(200).collect::<String>())
    };
    match brief.status {
        None => Err(format!("it had not answered after {} s", LIMIT.as_secs())),
        Some(status) if status.success() => first(&brief.out).ok_or_else(|| "it printed nothing".into()),
        Some(status) => Err(match first(&brief.err).or_else(|| first(&brief.out)) {
            Some(line) => format!("{status}: {line}"),
            None => status.to_string(),
        }),
    }
}

fn version(program: &Path, is_claude_code: bool, said: &Result<String, String>) -> Finding {
    match said {
        Ok(line) if line.split_ascii_whitespace().next() == Some(TESTED_VERSION) => {
            Check::Agent.ok(format!("it is {line}, the version that pleach is tested with"))
        }
        Ok(line) if line.contains("Claude Code") => Check::Agent.note(format!(
            "it is {line}; pleach is tested with {TESTED_VERSION}, and others may behave otherwise"
        )),
        Ok(line) => Check::Agent.note(format!(
            "it says that it is {line:?}: what it prints is taken as its answer, unless it is stream-json"
        )),
        // What only stands in for Claude Code need not know the option.
        Err(why) => {
            let finding = if is_claude_code {
                Check::Agent.problem("")
            } else {
                Check::Agent.warning("")
            };
            Finding {
                message: format!("{} does not say its version: {why}", program.display()),
                ..finding
            }
            .hint(format!(
                "name another with --claude PATH, or see whether it works by itself: {} --version",
                quote(program)
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn what_an_answer_says() {
        let brief = |status: Option<i32>, out: &str, err: &str| {
            said(Brief {
                status: status.map(ExitStatus::from_raw),
                out: out.into(),
                err: err.into(),
            })
        };
        assert_eq!(
            brief(Some(0), "\n 2.1.0 (Claude Code)\nmore\n", "noise"),
            Ok("2.1.0 (Claude Code)".into())
        );
        for (asked, part) in [
            (brief(None, "2.1.0", ""), "after 10 s"),
            (brief(Some(0), "\n", "noise"), "nothing"),
            (brief(Some(256), "", "no such option\nusage"), "no such option"),
            (brief(Some(9), "", ""), "signal: 9"),
        ] {
            let why = asked.unwrap_err();
            assert!(why.contains(part), "{why}");
        }
        assert_eq!(brief(Some(0), &"x".repeat(4096), "").map(|l| l.len()), Ok(200));
    }

    #[test]
    fn versions() {
        let level = |claude, said: Result<&str, &str>| {
            version(Path::new("/a"), claude, &said.map(str::to_owned).map_err(str::to_owned)).level
        };
        assert_eq!(level(true, Ok("2.1.329 (Claude Code)")), Level::Ok);
        assert_eq!(level(true, Ok("2.1.3290 (Claude Code)")), Level::Note);
        assert_eq!(level(false, Ok("mine 1.0")), Level::Note);
        assert_eq!(level(true, Err("x")), Level::Problem);
        assert_eq!(level(false, Err("x")), Level::Warning);
    }
}
