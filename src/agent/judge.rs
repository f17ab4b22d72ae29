//! When the run of an agent was a success.
//!
//! Success follows what was measured: never the exit code alone (SIGINT and denied tools give 0), never `subtype` alone
//! (an API error is `success` with `is_error`). Of other programs the user has said by what it is known.

use std::collections::BTreeSet;

use super::StreamReader;
use super::event::{RunResult, first_line};
use super::refusal::Refusal;
use crate::task::{AgentEnd, FailureReason, SuccessBy, UsageLimit, Verdict};

/// How much of the words of an agent is kept for a look at them, in characters.
const LAST_WORDS: usize = 2_000;

/// A verdict, and the end of what was said.
#[derive(Debug, PartialEq, Eq)]
pub struct Judged {
    /// Succeeded or failed; whether it was stopped or ran too long is not seen here.
    pub verdict: Verdict,
    /// At most 2,000 characters.
    pub last_words: String,
    /// The limit of the service that it came up against, if that is why it failed.
    pub limit: Option<UsageLimit>,
}

/// What of an attempt shows whether it was a success.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// How its process ended.
    pub end: &'a AgentEnd,
    /// What it printed, as a stream.
    pub stream: &'a StreamReader,
    /// The last that it printed outside of the stream: standard output of a plain-text agent, else standard error.
    pub printed: &'a str,
    /// Whether its status file says that it is done.
    pub completed: bool,
    /// What it says there is its answer.
    pub told: Option<&'a str>,
    /// Whether it counts what the stream tells of the service.
    pub is_believed: bool,
    /// In Unix milliseconds: times of the day are told, too.
    pub now_ms: u64,
}

/// Judges an attempt by what counts for its agent.
pub fn judge(success: SuccessBy, evidence: &Evidence<'_>) -> Judged {
    let Evidence {
        end,
        stream,
        printed,
        completed,
        told,
        is_believed,
        now_ms,
    } = *evidence;
    let refusal = stream.refusal(now_ms).filter(|_| is_believed);
    let ended = || ending(end);
    let exited = |what: String| failed(FailureReason::Exit, with_words(what, printed));
    let verdict = match (success, end) {
        (_, AgentEnd::NotStarted { error, .. }) => failed(FailureReason::Exit, error.clone()),
        (SuccessBy::StatusFile, _) if completed => Verdict::Succeeded,
        (SuccessBy::StatusFile, _) => exited(format!("{} without COMPLETED: in its status file", ended())),
        (SuccessBy::Exit, AgentEnd::Exited { code: 0 }) => Verdict::Succeeded,
        (SuccessBy::Exit, _) => exited(ended()),
        (SuccessBy::StreamJson, _) if !stream.is_stream() => exited(format!("{} and printed no stream-json", ended())),
        (SuccessBy::Output | SuccessBy::StreamJson, _) => by_output(end, stream, printed, refusal.as_ref()),
    };
    let said = told.unwrap_or_else(|| stream.answer());
    let words = if said.trim().is_empty() { printed } else { said };
    Judged {
        verdict,
        last_words: tail(words.trim()),
        limit: match refusal {
            Some(Refusal::Limit(limit)) => Some(limit),
            _ => None,
        },
    }
}

/// As the output says, if it is a stream; else the exit code decides.
fn by_output(end: &AgentEnd, stream: &StreamReader, printed: &str, refusal: Option<&Refusal>) -> Verdict {
    let problem_of = match refusal {
        Some(Refusal::Limit(_)) => FailureReason::RateLimit,
        Some(Refusal::Login) => FailureReason::Login,
        None => FailureReason::AgentError,
    };
    let ended = ending(end);
    let exited = |what: String| failed(FailureReason::Exit, with_words(what, printed));
    match (stream.result(), end) {
        (None, _) if stream.is_stream() => exited(format!("{ended} and printed no result")),
        (None, AgentEnd::Exited { code: 0 }) => Verdict::Succeeded,
        (None, _) => exited(ended),
        (Some(result), end) => match (result.problem(), denied(stream.denied()), end) {
            (Some(problem), ..) => failed(problem_of, problem),
            (None, Some(denied), _) => failed(FailureReason::DeniedTools, denied),
            (None, None, AgentEnd::Exited { code: 0 }) => Verdict::Succeeded,
            (None, None, _) => exited(ended),
        },
    }
}

fn failed(reason: FailureReason, error: String) -> Verdict {
    Verdict::Failed {
        reason,
        error: first_line(&error),
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

    fn judged(success: SuccessBy, end: &AgentEnd, lines: &[&str], printed: &str, completed: bool) -> Option<String> {
        let evidence = Evidence {
            end,
            stream: &read(lines),
            printed,
            completed,
            told: None,
            is_believed: true,
            now_ms: 0,
        };
        match judge(success, &evidence).verdict {
            Verdict::Failed { reason, error } => Some(format!("{}: {error}", reason.name())),
            _ => None,
        }
    }

    fn verdict(code: i32, lines: &[&str], printed: &str) -> (Option<FailureReason>, String) {
        let evidence = Evidence {
            end: &AgentEnd::Exited { code },
            stream: &read(lines),
            printed,
            completed: true,
            told: None,
            is_believed: true,
            now_ms: 0,
        };
        match judge(SuccessBy::Output, &evidence).verdict {
            Verdict::Failed { reason, error } => (Some(reason), error),
            _ => (None, String::new()),
        }
    }

    #[test]
    fn of_other_programs_that_counts_which_the_user_has_said() {
        use SuccessBy::{Exit, Output, StatusFile, StreamJson};
        let (good, bad) = (AgentEnd::Exited { code: 0 }, AgentEnd::Exited { code: 2 });
        let killed = AgentEnd::Killed { signal: 15 };
        let failing = r#"{"type":"result","subtype":"success","is_error":true,"result":"no"}"#;
        type Row<'r> = (SuccessBy, &'r AgentEnd, &'r [&'r str], bool, Option<&'r str>);
        let table: &[Row<'_>] = &[
            (Exit, &good, &[INIT, failing], false, None),
            (Exit, &bad, &[INIT, OK], true, Some("exit: exited with code 2: words")),
            (StreamJson, &good, &[INIT, OK], false, None),
            (
                StreamJson,
                &bad,
                &[INIT, OK],
                false,
                Some("exit: exited with code 2: words"),
            ),
            (StreamJson, &good, &[INIT, failing], false, Some("agent_error: no")),
            (
                StreamJson,
                &good,
                &["words"],
                true,
                Some("exit: exited with code 0 and printed no stream-json: words"),
            ),
            (Output, &good, &["words"], false, None),
            (StatusFile, &killed, &["words"], true, None),
            (StatusFile, &bad, &[INIT, failing], true, None),
            (
                StatusFile,
                &good,
                &[INIT, OK],
                false,
                Some("exit: exited with code 0 without COMPLETED: in its status file: words"),
            ),
        ];
        for (success, end, lines, completed, expected) in table {
            let error = judged(*success, end, lines, "words", *completed);
            assert_eq!(error.as_deref(), *expected, "{success:?} {end:?} {lines:?}");
        }
    }

    #[test]
    fn the_last_words_are_the_answer_or_what_was_printed() {
        for (told, lines, expected) in [
            (None, &["text"][..], "printed"),
            (None, &[INIT, OK], "all done"),
            (Some("told\nin two lines"), &["text"], "told\nin two lines"),
        ] {
            let evidence = Evidence {
                end: &AgentEnd::Exited { code: 0 },
                stream: &read(lines),
                printed: "printed\n",
                completed: true,
                told,
                is_believed: true,
                now_ms: 0,
            };
            assert_eq!(judge(SuccessBy::StatusFile, &evidence).last_words, expected);
        }
    }

    #[test]
    fn success_is_never_the_exit_code_alone() {
        use FailureReason::{AgentError, DeniedTools, Exit, RateLimit};
        let api = r#"{"type":"result","subtype":"success","is_error":true,"result":"API Error: 529 overloaded"}"#;
        let turns = r#"{"type":"result","subtype":"error_max_turns","is_error":true,"errors":["Reached maximum number of turns (2)"]}"#;
        let denied = r#"{"type":"result","subtype":"success","result":"ok","permission_denials":[{"tool_name":"Write"},{"tool_name":"Bash"},{"tool_name":"Bash"}]}"#;
        let odd = r#"{"type":"result","subtype":"success","is_error":"no","result":"done"}"#;
        let nulls = r#"{"type":"result","subtype":"success","result":null,"num_turns":null,"permission_denials":null}"#;
        type Row<'r> = (i32, &'r [&'r str], &'r str, Option<FailureReason>, &'r str);
        let table: &[Row<'_>] = &[
            (0, &[INIT, OK], "", None, ""),
            (1, &[INIT, OK], "", Some(Exit), "exited with code 1"),
            (1, &[INIT, api], "", Some(RateLimit), "API Error: 529 overloaded"),
            (0, &[INIT, api], "", Some(RateLimit), "API Error: 529 overloaded"),
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
