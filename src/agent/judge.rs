//! When the run of an agent was a success.
//!
//! Success follows what was measured: never the exit code alone (SIGINT and denied tools give 0), never `subtype` alone
//! (an API error is `success` with `is_error`).

use std::collections::BTreeSet;

use super::StreamReader;
use super::event::{RunResult, first_line};
use crate::task::{AgentEnd, FailureReason, Verdict};

/// How much of the words of an agent is kept for a look at them, in characters.
const LAST_WORDS: usize = 2_000;

/// A verdict, and the end of what was said.
#[derive(Debug, PartialEq, Eq)]
pub struct Judged {
    /// Succeeded or failed; whether it was stopped or ran too long is not seen here.
    pub verdict: Verdict,
    /// At most 2,000 characters.
    pub last_words: String,
}

/// Judges an attempt by the end of its process, its stream, and the last that it printed outside of the stream
/// (standard output of a plain-text agent, else standard error).
pub fn judge(end: &AgentEnd, stream: &StreamReader, printed: &str) -> Judged {
    let failed = |reason, error: String| Verdict::Failed {
        reason,
        error: first_line(&error),
    };
    let ended = ending(end);
    let verdict = match (stream.result(), end) {
        (_, AgentEnd::NotStarted { error, .. }) => failed(FailureReason::Exit, error.clone()),
        (None, _) if stream.is_stream() => failed(
            FailureReason::Exit,
            with_words(format!("{ended} and printed no result"), printed),
        ),
        (None, AgentEnd::Exited { code: 0 }) => Verdict::Succeeded,
        (None, _) => failed(FailureReason::Exit, with_words(ended, printed)),
        (Some(result), end) => match (result.problem(), denied(stream.denied()), end) {
            (Some(problem), ..) => failed(FailureReason::AgentError, problem),
            (None, Some(denied), _) => failed(FailureReason::DeniedTools, denied),
            (None, None, AgentEnd::Exited { code: 0 }) => Verdict::Succeeded,
            (None, None, _) => failed(FailureReason::Exit, with_words(ended, printed)),
        },
    };
    let said = stream.answer();
    let words = if said.trim().is_empty() { printed } else { said };
    Judged {
        verdict,
        last_words: tail(words.trim()),
    }
}

/// Whether an agent that was to go on with a conversation did not find it. Claude Code (measured on 2.1.329) says so on
/// standard error, and in a result without a run before it.
pub fn is_gone(stream: &StreamReader, printed: &str) -> bool {
    const SAID: &str = "No conversation found with session ID";
    let told = stream.result().and_then(RunResult::problem);
    stream.has_begun_none() && (printed.contains(SAID) || told.is_some_and(|problem| problem.contains(SAID)))
}

fn ending(end: &AgentEnd) -> String {
    match end {
        AgentEnd::Exited { code } => format!("exited with code {code}"),
        AgentEnd::Killed { signal } => format!("was killed by signal {signal}"),
        AgentEnd::NotStarted { error, .. } => error.clone(),
        AgentEnd::Unknown => "ended unseen".into(),
    }
}

fn with_words(what: String, printed: &str) -> String {
    match printed.trim().lines().rev().find(|l| !l.trim().is_empty()) {
        Some(line) => format!("{what}: {}", line.trim()),
        None => what,
    }
}

/// The tools that were refused, if any were.
fn denied(tools: &BTreeSet<Option<String>>) -> Option<String> {
    if tools.is_empty() {
        return None;
    }
    let named: Vec<&str> = tools.iter().flatten().map(String::as_str).collect();
    Some(match named.as_slice() {
        [] => "the agent was refused a tool".into(),
        named => format!("the agent was refused: {}", named.join(", ")),
    })
}

fn tail(text: &str) -> String {
    match text.char_indices().rev().nth(LAST_WORDS - 1) {
        Some((cut, _)) => text[cut..].to_owned(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::fixture::{INIT, OK, read};

    fn verdict(code: i32, lines: &[&str], printed: &str) -> (Option<FailureReason>, String) {
        match judge(&AgentEnd::Exited { code }, &read(lines), printed).verdict {
            Verdict::Failed { reason, error } => (Some(reason), error),
            _ => (None, String::new()),
        }
    }

    #[test]
    fn success_is_never_the_exit_code_alone() {
        use FailureReason::{AgentError, DeniedTools, Exit};
        let api = r#"{"type":"result","subtype":"success","is_error":true,"result":"API Error: 529 overloaded"}"#;
        let turns = r#"{"type":"result","subtype":"error_max_turns","is_error":true,"errors":["Reached maximum number of turns (2)"]}"#;
        let denied = r#"{"type":"result","subtype":"success","result":"ok","permission_denials":[{"tool_name":"Write"},{"tool_name":"Bash"},{"tool_name":"Bash"}]}"#;
        let odd = r#"{"type":"result","subtype":"success","is_error":"no","result":"done"}"#;
        let nulls = r#"{"type":"result","subtype":"success","result":null,"num_turns":null,"permission_denials":null}"#;
        type Row<'r> = (i32, &'r [&'r str], &'r str, Option<FailureReason>, &'r str);
        let table: &[Row<'_>] = &[
            (0, &[INIT, OK], "", None, ""),
            (1, &[INIT, OK], "", Some(Exit), "exited with code 1"),
            (1, &[INIT, api], "", Some(AgentError), "API Error: 529 overloaded"),
            (0, &[INIT, api], "", Some(AgentError), "API Error: 529 overloaded"),
            (0, &[INIT, api, OK], "", None, ""),
            (0, &[INIT, nulls], "", None, ""),
            (
                0,
                &[OK, odd],
                "",
                Some(AgentError),
                "the agent reported an error without a word",
            ),
            (
                1,
                &[INIT, turns],
                "",
                Some(AgentError),
                "error_max_turns: Reached maximum number of turns (2)",
            ),
            (
                0,
                &[INIT, denied],
                "",
                Some(DeniedTools),
                "the agent was refused: Bash, Write",
            ),
            (
                0,
                &[INIT, denied, OK],
                "",
                Some(DeniedTools),
                "the agent was refused: Bash, Write",
            ),
            (0, &[INIT], "", Some(Exit), "exited with code 0 and printed no result"),
            (0, &["hello"], "hello", None, ""),
            (0, &["{\"type\":\"other\"}"], "", None, ""),
            (
                3,
                &[],
                "warning\nno such option\n\n",
                Some(Exit),
                "exited with code 3: no such option",
            ),
        ];
        for (code, lines, printed, reason, error) in table {
            assert_eq!(
                verdict(*code, lines, printed),
                (*reason, (*error).to_owned()),
                "{lines:?}"
            );
        }
    }
}
