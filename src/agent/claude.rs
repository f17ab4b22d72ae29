//! The command line of Claude Code.
//!
//! Measured on 2.1.329: an argument of 128 KiB or more fails in exec while standard input takes 10 MB, a prompt that
//! begins with `-` in argv is read as a flag, and `--allowedTools` would swallow it. So the prompt goes to standard
//! input. `stream-json` needs `--verbose`.

use std::path::Path;

use uuid::Uuid;

use crate::task::{AgentKind, AgentSpec, Permissions};

/// The longest prompt that Claude Code takes on standard input, in bytes.
pub const LONGEST_PROMPT: usize = 10_000_000;

/// The version of Claude Code that pleach is tested with.
pub const TESTED_VERSION: &str = "2.1.329";

/// Variables of a Claude Code session that pleach itself may have been started in: an agent is not a part of it.
/// With the first one inherited an agent keeps no history, and cannot be resumed (measured).
pub const SESSION_VARIABLES: &[&str] = &[
    "CLAUDE_CODE_SKIP_PROMPT_HISTORY",
    "CLAUDECODE",
    "CLAUDE_CODE_CHILD_NOTES_DIR",
    "CLAUDE_CODE_CHILD_SESSION",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_MESSAGING_SOCKET",
    "CLAUDE_CODE_MESSAGING_TOKEN",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_PID",
];

/// The hidden subcommand that is the scripted agent.
pub const SCRIPTED_COMMAND: &str = "__agent";

/// The conversation of an attempt.
#[derive(Clone, Copy, Debug)]
pub struct Conversation<'a> {
    /// Its id.
    pub id: Uuid,
    /// Whether it was begun before.
    pub resumes: bool,
    /// The branch that the agent works on, if it has one of its own.
    pub branch: Option<&'a str>,
    /// The directory that all agents of the session may use, unless its path cannot be an argument.
    pub shared: Option<&'a str>,
    /// What else it is to know from the beginning.
    pub note: Option<&'a str>,
}

/// The arguments that start an attempt.
pub fn arguments(agent: &AgentSpec, conversation: &Conversation<'_>) -> Vec<String> {
    let mut args: Vec<String> = Vec::new();
    if agent.kind == AgentKind::Scripted {
        args.push(SCRIPTED_COMMAND.into());
    }
    args.push("-p".into());
    match &agent.permissions {
        Permissions::Skip => args.push("--dangerously-skip-permissions".into()),
        Permissions::Mode(mode) => args.extend(["--permission-mode".into(), mode.clone()]),
    }
    args.extend(["--output-format", "stream-json", "--verbose"].map(String::from));
    args.push(
        if conversation.resumes {
            "--resume"
        } else {
            "--session-id"
        }
        .into(),
    );
    args.push(conversation.id.to_string());
    if let Some(model) = &agent.model {
        args.extend(["--model".into(), model.clone()]);
    }
    if let Some(shared) = conversation.shared {
        // It takes as many values as there are: an option has to follow.
        args.extend(["--add-dir".into(), shared.to_owned()]);
    }
    let usable = (conversation.shared).filter(|shared| may_write(&agent.permissions, Path::new(shared)));
    let mut rules = rules(conversation.branch) + &about(usable);
    if let Some(note) = conversation.note {
        rules.push_str("\n\n");
        rules.push_str(note);
    }
    args.extend(["--append-system-prompt".into(), rules]);
    args.extend(agent.args.iter().cloned());
    args
}

/// The arguments for the limits of one attempt: turns, and what it may cost in US dollars. The program counts the cost of
/// each run by itself, also when it goes on with a conversation (measured).
pub fn limits(max_turns: Option<u32>, max_cost_usd: Option<f64>) -> Vec<String> {
    /// It takes no limit of nothing, and what is left may be next to that.
    const LEAST_USD: f64 = 0.000_001;
    let turns = max_turns.map(|turns| ["--max-turns".into(), turns.to_string()]);
    let cost = max_cost_usd.map(|usd| {
        let usd = format!("{:.6}", usd.max(LEAST_USD));
        let usd = usd.trim_end_matches('0').trim_end_matches('.');
        ["--max-budget-usd".into(), usd.to_owned()]
    });
    turns.into_iter().chain(cost).flatten().collect()
}

/// The prompt as it goes to standard input: one whose first byte is a slash would be taken for a command of the CLI,
/// and the model never called; a space before it prevents that (measured).
pub fn standard_input(prompt: &str) -> String {
    if prompt.starts_with('/') {
        return format!(" {prompt}");
    }
    prompt.to_owned()
}

fn rules(branch: Option<&str>) -> String {
    match branch {
        Some(branch) => format!(
            "You work alone and unattended in a git worktree of your own, on the branch {branch}. Other agents work on \
             other branches of the same repository at the same time. Stay in the current directory and on this branch. \
             Commit what you finish with clear messages; what you leave uncommitted is committed for you. Do not push, \
             do not switch branches, do not touch other branches or worktrees. Nobody can answer questions: decide \
             yourself, and say at the end in a few sentences what you did and what is left."
        ),
        None => "You work alone and unattended; other agents may work in the same directory at the same time. Nobody \
                 can answer questions: decide yourself, and say at the end in a few sentences what you did and what \
                 is left."
            .to_owned(),
    }
}

/// Whether the tools of the CLI may write to a directory that it was given. In a directory of git they may only where
/// all checks are skipped, whatever rules allow it (measured): nobody is told to try.
fn may_write(permissions: &Permissions, directory: &Path) -> bool {
    let skips = match permissions {
        Permissions::Skip => true,
        Permissions::Mode(mode) => mode == "bypassPermissions",
    };
    skips || !directory.components().any(|c| c.as_os_str() == ".git")
}

fn about(shared: Option<&str>) -> String {
    match shared {
        Some(shared) => format!(
            " To leave notes for the other agents, or read theirs, use the directory {shared} ($PLEACH_COMM_DIR), which \
             is part of no repository."
        ),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(permissions: Permissions) -> AgentSpec {
        AgentSpec {
            name: "claude".into(),
            command: None,
            kind: AgentKind::Claude,
            program: "/bin/claude".into(),
            permissions,
            model: Some("opus".into()),
            args: vec!["--max-turns".into(), "3".into()],
        }
    }

    #[test]
    fn the_command_line() {
        let id = Uuid::nil();
        let mut conversation = Conversation {
            id,
            resumes: false,
            branch: Some("main-task-a"),
            shared: Some("/s/shared"),
            note: None,
        };
        let args = arguments(&agent(Permissions::Skip), &conversation);
        let fixed = format!(
            "-p --dangerously-skip-permissions --output-format stream-json --verbose --session-id {id} --model opus \
             --add-dir /s/shared --append-system-prompt"
        );
        let words: Vec<&str> = fixed.split(' ').collect();
        assert_eq!(args[..words.len()], words);
        assert!(args[words.len()].contains("branch main-task-a."));
        assert!(args[words.len()].contains("directory /s/shared ($PLEACH_COMM_DIR)"));
        assert_eq!(args[words.len() + 1..], ["--max-turns", "3"]);
        (conversation.branch, conversation.shared) = (None, None);
        let args = arguments(&agent(Permissions::Mode("plan".into())), &conversation);
        assert_eq!(args[..3], ["-p", "--permission-mode", "plan"]);
        assert!(!args.join(" ").contains("add-dir") && !args.join(" ").contains("COMM_DIR"));
    }

    #[test]
    fn nobody_is_told_to_write_where_it_would_be_refused() {
        for (permissions, shared, told) in [
            (Permissions::Skip, "/r/.git/pleach/s/shared", true),
            (
                Permissions::Mode("bypassPermissions".into()),
                "/r/.git/pleach/s/shared",
                true,
            ),
            (
                Permissions::Mode("acceptEdits".into()),
                "/r/.git/pleach/s/shared",
                false,
            ),
            (Permissions::Mode("acceptEdits".into()), "/r/results/s/shared", true),
        ] {
            let conversation = Conversation {
                id: Uuid::nil(),
                resumes: false,
                branch: None,
                shared: Some(shared),
                note: None,
            };
            let args = arguments(&agent(permissions), &conversation);
            assert_eq!(
                args.iter().any(|arg| arg.contains("$PLEACH_COMM_DIR")),
                told,
                "{args:?}"
            );
            // It may read there all the same.
            let at = args.iter().position(|arg| arg == "--add-dir").unwrap();
            assert_eq!(args[at + 1], shared);
        }
    }

    #[test]
    fn limits_are_arguments() {
        for (turns, usd, expected) in [
            (None, None, ""),
            (Some(3), None, "--max-turns 3"),
            (None, Some(2.5), "--max-budget-usd 2.5"),
            (Some(1), Some(10.0), "--max-turns 1 --max-budget-usd 10"),
            (None, Some(0.1 + 0.2), "--max-budget-usd 0.3"),
            (None, Some(0.0), "--max-budget-usd 0.000001"),
        ] {
            assert_eq!(limits(turns, usd).join(" "), expected);
        }
    }

    #[test]
    fn a_conversation_is_begun_or_gone_on_with() {
        let id = Uuid::nil();
        let of = |resumes, note| {
            let conversation = Conversation {
                id,
                resumes,
                branch: None,
                shared: None,
                note,
            };
            arguments(&agent(Permissions::Skip), &conversation)
        };
        let args = of(true, None);
        assert_eq!(args[5..7], ["--resume".to_owned(), id.to_string()]);
        assert!(!args.contains(&"--session-id".to_owned()));
        let rules = of(false, Some("--note")).remove(10);
        assert!(
            rules.starts_with("You work alone") && rules.ends_with("\n\n--note"),
            "{rules}"
        );
    }

    // Fault 40: a prompt that begins with a slash.
    #[test]
    fn a_slash_is_never_first() {
        for (prompt, sent) in [
            ("/exit", " /exit"),
            ("\n/help me", "\n/help me"),
            ("-x", "-x"),
            ("fix a/b", "fix a/b"),
        ] {
            assert_eq!(standard_input(prompt), sent);
        }
    }
}
