//! `pleach completions`: what a shell asks this program while somebody types, and the answers.
//!
//! The script that it prints calls the program with `PLEACH_COMPLETE` set and the words that stand there. clap answers from
//! its own description of the command line; ids of sessions and tasks are looked up here. Whatever is wrong gives no
//! proposals and says nothing: somebody is typing.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use clap::{Command, CommandFactory};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::Shells;

use super::place::{results_dir_here, set_path};
use super::{Context, output};
use crate::cli::{Cli, CompletionsArgs, Shell};
use crate::error::{Error, exit};
use crate::report;
use crate::session::{Follower, find, ids};
use crate::store::paths::SessionPaths;

/// Set by the scripts; its value is the shell.
const VARIABLE: &str = "PLEACH_COMPLETE";
/// Options of commands about a session that take a value.
const WITH_VALUE: [&str; 6] = ["--results-dir", "--grace", "--timeout", "--to", "--from", "--max-cost"];

/// Answers a shell, if one has asked; then there is nothing else to do.
pub fn answered() -> bool {
    // The script has set it, and nobody else: what it asks cannot be wrong but by a defect, which nobody could read.
    let here = std::env::current_dir().ok();
    let asked = CompleteEnv::with_factory(command).var(VARIABLE).bin("pleach");
    asked.try_complete(std::env::args_os(), here.as_deref()).unwrap_or(true)
}

/// `pleach completions`
pub(super) fn run(args: &CompletionsArgs) -> Result<u8, Error> {
    let name = args.shell.name();
    let shells = Shells::builtins();
    let mut script = Vec::new();
    if let Some(shell) = shells.completer(name) {
        let own = which::which("pleach").ok().zip(std::env::current_exe().ok());
        let in_path = own.is_some_and(|(found, own)| found.canonicalize().unwrap_or(found) == own);
        let program = match std::env::current_exe() {
            Ok(own) if !in_path => own.to_string_lossy().into_owned(),
            _ => "pleach".to_owned(),
        };
        shell
            .write_registration(VARIABLE, "pleach", "pleach", &program, &mut script)
            .map_err(output)?;
    }
    if args.shell == Shell::Bash {
        script = for_bash(&String::from_utf8_lossy(&script)).into_bytes();
    }
    report::pour(&script).map_err(output)?;
    Ok(exit::DONE)
}

/// The script as bash needs it. What calls the program has it in double quotes around those that the path may need
/// already: then bash would look for another program, and run what is in the name of a directory. And a name of a file
/// is put on the line as it is, where it may be a command: bash quotes what it knows for such a name.
fn for_bash(script: &str) -> String {
    const CALL: &str = " -- \"${words[@]}\"";
    let lines = script.lines().map(|line| {
        let call = line
            .trim_start()
            .strip_suffix(" \\")
            .and_then(|call| call.strip_suffix(CALL));
        let program = call.and_then(|program| program.strip_prefix('"')?.strip_suffix('"'));
        match program {
            Some(program) => format!("        {program}{CALL} \\\n"),
            None if line == "    if [[ $? != 0 ]]; then" => format!("{QUOTES_NAMES}{line}\n"),
            None => format!("{line}\n"),
        }
    });
    lines.collect()
}

/// Has bash quote the proposals when one of them has more in it than letters, digits and a few marks.
const QUOTES_NAMES: &str = r#"    local _CLAP_COMPLETE_CODE=$?
    if [[ "${COMPREPLY[*]}" == *[^a-zA-Z0-9/._=:,+@%$'\013'-]* ]]; then
        compopt -o filenames 2> /dev/null
    fi
    (exit $_CLAP_COMPLETE_CODE)
"#;

/// The command line, with what completes the ids in it.
fn command() -> Command {
    Cli::command().mut_subcommands(|verb| {
        verb.mut_args(|arg| match arg.get_id().as_str() {
            "session" if arg.is_positional() => arg.add(ArgValueCompleter::new(sessions)),
            "task" | "tasks" if arg.is_positional() => arg.add(ArgValueCompleter::new(tasks)),
            _ => arg,
        })
    })
}

/// The words before the one that is completed.
fn words() -> Vec<String> {
    let all = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let mut words: Vec<String> = all.skip_while(|word| word != "--").skip(1).collect();
    let index = std::env::var("_CLAP_COMPLETE_INDEX")
        .ok()
        .and_then(|index| index.parse().ok());
    words.truncate(index.unwrap_or(words.len().saturating_sub(1)));
    words
}

/// What stands in such words: the directory of the results, and the words that belong to no option.
fn read(words: &[String]) -> (Option<PathBuf>, Vec<&str>) {
    let (mut results_dir, mut plain) = (None, Vec::new());
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if let Some(dir) = word.strip_prefix("--results-dir=") {
            results_dir = Some(dir.into());
        } else if WITH_VALUE.contains(&word) {
            let value = words.next();
            results_dir = value
                .filter(|_| word == "--results-dir")
                .map(Into::into)
                .or(results_dir);
        } else if !word.starts_with('-') {
            plain.push(word);
        }
    }
    (results_dir, plain)
}

/// Where sessions are looked for, as the command itself would.
fn results(named: Option<PathBuf>) -> Option<PathBuf> {
    let context = Context {
        directory: std::env::current_dir().ok()?,
        results_dir: named.or_else(|| set_path("PLEACH_RESULTS_DIR")),
    };
    results_dir_here(&context).ok()
}

/// The ids of sessions that begin so, the newest first.
fn sessions(current: &OsStr) -> Vec<CompletionCandidate> {
    let words = words();
    let Some(results) = results(read(&words).0) else {
        return Vec::new();
    };
    let current = current.to_string_lossy();
    let all = ids(&results).unwrap_or_default();
    let begin = all.into_iter().filter(|id| id.to_string().starts_with(&*current));
    let mut all: Vec<_> = begin
        .map(|id| {
            let spec = fs::metadata(SessionPaths::of(&results, id).spec());
            (spec.ok().map(|spec| (spec.mtime(), spec.mtime_nsec())), id)
        })
        .collect();
    all.sort_by_key(|(written, _)| Reverse(*written));
    // When it was started is what tells one from another; and zsh puts what has no description last.
    let started = |(seconds, _)| Some(report::time_of_day(u64::try_from(seconds).ok()?));
    all.iter()
        .map(|(written, id)| {
            let started = written.and_then(started).map(|at| format!("started {at}"));
            CompletionCandidate::new(id.to_string()).help(started.map(Into::into))
        })
        .collect()
}

/// The ids of tasks that begin so, of the session that stands before; of the newest if none does.
fn tasks(current: &OsStr) -> Vec<CompletionCandidate> {
    let words = words();
    let (named, plain) = read(&words);
    // The program, the verb, the session.
    let session = plain.get(2).copied();
    let follower = results(named)
        .and_then(|results| find(&results, session).ok())
        .and_then(|paths| Follower::open(&paths).ok());
    let current = current.to_string_lossy();
    let spec = follower.map(|follower| follower.spec);
    let tasks = spec.iter().flat_map(|spec| &spec.tasks);
    let begin = tasks.filter(|task| task.id.as_ref().starts_with(&*current));
    begin
        .map(|task| {
            let title = report::escape(&task.title).replace(['\n', '\t'], " ");
            CompletionCandidate::new(task.id.as_ref()).help(Some(title.into()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_their_values_are_no_session() {
        let of = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let (dir, plain) = read(&words);
            (dir, plain.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
        };
        for (line, dir, plain) in [
            ("pleach status abc", None, vec!["pleach", "status", "abc"]),
            ("pleach --results-dir /r status", Some("/r"), vec!["pleach", "status"]),
            (
                "pleach --results-dir=/r logs -f abc",
                Some("/r"),
                vec!["pleach", "logs", "abc"],
            ),
            ("pleach stop --grace 2s --now abc", None, vec!["pleach", "stop", "abc"]),
        ] {
            let plain: Vec<String> = plain.into_iter().map(str::to_owned).collect();
            assert_eq!(of(line), (dir.map(PathBuf::from), plain), "{line}");
        }
    }

    #[test]
    fn every_positional_session_and_task_is_completed() {
        let command = command();
        for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
            for arg in verb.get_positionals() {
                let is_id = ["session", "task", "tasks"].contains(&arg.get_id().as_str());
                assert_eq!(
                    arg.get::<ArgValueCompleter>().is_some(),
                    is_id,
                    "{} {}",
                    verb.get_name(),
                    arg.get_id()
                );
            }
        }
    }
}
