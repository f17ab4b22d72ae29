//! The command line of Claude Code.
//!
//! Measured on 2.1.329: an argument of 128 KiB or more fails in exec while standard input takes 10 MB, a prompt that
//! begins with `-` in argv is read as a flag, and `--allowedTools` would swallow it. So the prompt goes to standard
//! input. `stream-json` needs `--verbose`.

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
    let mut rules = rules(conversation.branch);
    if let Some(note) = conversation.note {
        rules.push_str("\n\n");
        rules.push_str(note);
    }
    args.extend(["--append-system-prompt".into(), rules]);
    args.extend(agent.args.iter().cloned());
    args
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
            note: None,
        };
        let args = arguments(&agent(Permissions::Skip), &conversation);
        let fixed = format!(
            "-p --dangerously-skip-permissions --output-format stream-json --verbose --session-id {id} --model opus \
             --append-system-prompt"
        );
        let words: Vec<&str> = fixed.split(' ').collect();
        assert_eq!(args[..words.len()], words);
        assert!(args[words.len()].contains("branch main-task-a."));
        assert_eq!(args[words.len() + 1..], ["--max-turns", "3"]);
        conversation.branch = None;
        let args = arguments(&agent(Permissions::Mode("plan".into())), &conversation);
        assert_eq!(args[..3], ["-p", "--permission-mode", "plan"]);
    }

    #[test]
    fn a_conversation_is_begun_or_gone_on_with() {
        let id = Uuid::nil();
        let of = |resumes, note| {
            let conversation = Conversation {
                id,
                resumes,
                branch: None,
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
