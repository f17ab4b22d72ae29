//! What the agent of an attempt is told: the task, and what went wrong in the attempt before. Pure.
//!
//! Called by `runner_request` for every attempt.

use console::strip_ansi_codes;

use super::runner_request::Beginning;
use crate::session::WentWrong;
use crate::task::{AgentKind, AgentSpec, StepOutcome};

/// What the agent is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// As its prompt.
    pub prompt: String,
    /// Beside it.
    pub note: Option<String>,
}

/// Who goes on with a conversation knows the task, and is told what went wrong. Who begins one gets the whole prompt as the
/// user wrote it, and beside it that there was an attempt before; a program that can be told nothing beside its prompt
/// finds that at the end of it.
pub(super) fn told(prompt: &str, agent: &AgentSpec, begins: &Beginning<'_>) -> Told {
    let ended = |wrong: &WentWrong| {
        let why = plain(&wrong.why);
        format!("The last attempt at this task ended without success: {why}.")
    };
    let output = |wrong: &WentWrong| wrong.step.as_ref().map(end_of_output).unwrap_or_default();
    if begins.resumes {
        let prompt = match begins.went_wrong {
            Some(wrong) => format!("{}{}\n\nSee to that, and finish the task.", ended(wrong), output(wrong)),
            None => "You were interrupted before the task was finished. Go on where you stopped, and finish it.".into(),
        };
        return Told { prompt, note: None };
    }
    let note = begins.went_wrong.map(|wrong| {
        let left = match begins.from_base {
            true => "Nothing of it is here: you start where it started.",
            false => "What it left is in the current directory, committed or not: look at that first.",
        };
        format!("{} {left}{}", ended(wrong), output(wrong))
    });
    match (agent.kind, note) {
        (AgentKind::Command, Some(note)) => Told {
            prompt: format!("{prompt}\n\n{note}"),
            note: None,
        },
        (_, note) => Told {
            prompt: prompt.to_owned(),
            note,
        },
    }
}

fn end_of_output(step: &StepOutcome) -> String {
    let output = plain(&step.output);
    let output = output.trim();
    match output.is_empty() {
        true => format!("\n\n`{}` printed nothing.", step.command),
        false => format!("\n\nThe end of the output of `{}`:\n\n{output}", step.command),
    }
}

/// What a command has printed, without colours and other signs to a terminal: with a NUL no program can be started, and
/// into a terminal nothing of that can be typed.
fn plain(text: &str) -> String {
    let text = strip_ansi_codes(text);
    text.chars()
        .filter(|&c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use uuid::Uuid;

    use super::*;
    use crate::session::fixture::spec;
    use crate::task::StepKind;

    fn tests_fail(output: &str) -> WentWrong {
        WentWrong {
            why: "cargo test exited with code 101".into(),
            step: Some(StepOutcome {
                kind: StepKind::Verify,
                command: "cargo test".into(),
                exit_code: Some(101),
                duration_ms: 1,
                output: output.into(),
            }),
        }
    }

    fn told_after(wrong: Option<&WentWrong>, resumes: bool, kind: AgentKind) -> Told {
        let begins = Beginning {
            site: None,
            session: Path::new("/"),
            number: 2,
            cost_usd: None,
            attempt: Uuid::nil(),
            conversation: Uuid::nil(),
            resumes,
            from_base: false,
            went_wrong: wrong,
            sets_up: false,
            answers: &BTreeMap::new(),
        };
        let agent = AgentSpec {
            kind,
            ..spec(&["a"]).agent
        };
        told("/fix it", &agent, &begins)
    }

    #[test]
    fn who_goes_on_is_told_what_went_wrong_and_nothing_twice() {
        let wrong = tests_fail("\nassertion failed\n");
        let said = told_after(Some(&wrong), true, AgentKind::Claude);
        assert_eq!(
            said.prompt,
            "The last attempt at this task ended without success: cargo test exited with code 101.\n\nThe end of the \
             output of `cargo test`:\n\nassertion failed\n\nSee to that, and finish the task."
        );
        assert_eq!(said.note, None);
        let silent = told_after(Some(&tests_fail(" \n")), true, AgentKind::Claude).prompt;
        assert!(silent.contains("\n\n`cargo test` printed nothing.\n\n"), "{silent}");
        let interrupted = told_after(None, true, AgentKind::Claude).prompt;
        assert!(interrupted.starts_with("You were interrupted"), "{interrupted}");
    }

    #[test]
    fn who_begins_anew_gets_the_prompt_as_it_is_and_the_rest_beside_it() {
        let wrong = tests_fail("assertion failed");
        let said = told_after(Some(&wrong), false, AgentKind::Scripted);
        assert_eq!(said.prompt, "/fix it");
        let note = said.note.unwrap();
        assert!(
            note.contains("What it left is in the current directory") && note.ends_with("\n\nassertion failed"),
            "{note}"
        );
        let said = told_after(Some(&wrong), false, AgentKind::Command);
        assert_eq!((said.prompt, said.note), (format!("/fix it\n\n{note}"), None));
        let first = told_after(None, false, AgentKind::Claude);
        assert_eq!((first.prompt.as_str(), first.note), ("/fix it", None));
    }
}
