//! What a runner is asked to do for a task: the agent's command line, directory, standard input and environment.
//!
//! The one place where that is decided. The supervisor sends it to the runner of an attempt, and `run --dry-run` shows
//! it: so what is shown is what would run. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use uuid::Uuid;

use crate::agent::claude::{self, Conversation};
use crate::git::LOCAL_VARIABLES;
use crate::runner::RunnerRequest;
use crate::session::{SessionSpec, Site, WentWrong};
use crate::task::{AgentKind, AgentSpec, StepOutcome, SuccessBy, TaskId};

/// What an attempt begins with, besides what the user has written.
pub struct Beginning<'a> {
    /// Where it works; without a site in the directory that `run` was called in.
    pub site: Option<&'a Site>,
    /// The directory of the session.
    pub session: &'a Path,
    /// The mark of its processes.
    pub attempt: Uuid,
    /// The agent's conversation.
    pub conversation: Uuid,
    /// Whether that was begun in an earlier attempt.
    pub resumes: bool,
    /// Whether the worktree is as it was at the base, although there was an attempt before.
    pub from_base: bool,
    /// What went wrong in the attempt before.
    pub went_wrong: Option<&'a WentWrong>,
    /// Whether the worktree is to be set up.
    pub sets_up: bool,
    /// What the tasks answered that this one depends on, by their ids.
    pub answers: &'a BTreeMap<TaskId, String>,
}

/// The request for an attempt at the task with this index.
pub fn runner_request(spec: &SessionSpec, index: usize, begins: &Beginning<'_>) -> RunnerRequest {
    let Beginning {
        site,
        attempt,
        conversation,
        ..
    } = *begins;
    let task = &spec.tasks[index];
    let agent = spec.agent_of(index);
    let told = told(&task.prompt, &agent, begins);
    let directory = site.map_or(&spec.directory, |s| &s.worktree);
    let mut environment = vec![
        ("PLEACH_SESSION".to_owned(), spec.session_id.to_string()),
        ("PLEACH_TASK_ID".to_owned(), task.id.to_string()),
    ];
    let mut set = |name: &str, value: &str| environment.push((name.to_owned(), value.to_owned()));
    if let Some((site, repository)) = site.zip(spec.repository.as_ref()) {
        set("PLEACH_BRANCH", &site.branch);
        set("PLEACH_BASE", &site.base);
        let who = &repository.identity;
        if !who.configured {
            for role in ["AUTHOR", "COMMITTER"] {
                set(&format!("GIT_{role}_NAME"), &who.name);
                set(&format!("GIT_{role}_EMAIL"), &who.email);
            }
        }
    }
    RunnerRequest {
        schema: 1,
        attempt,
        program: agent.program.clone(),
        args: claude::arguments(
            &agent,
            &Conversation {
                id: conversation,
                resumes: begins.resumes,
                branch: site.map(|s| s.branch.as_str()),
                note: told.note.as_deref(),
            },
        ),
        directory: directory.clone(),
        conversation: Some(conversation),
        resumes: begins.resumes,
        stdin: claude::standard_input(&told.prompt),
        environment,
        // Those of an outer session go too: not every one of them is set anew.
        environment_removed: (LOCAL_VARIABLES.iter().chain(claude::SESSION_VARIABLES))
            .chain(&["PLEACH_BRANCH", "PLEACH_BASE"])
            .map(|&v| v.to_owned())
            .collect(),
        timeout_ms: spec.timeout_ms(index),
        grace_ms: spec.options.grace_ms,
        max_output_bytes: spec.options.max_output_bytes,
        run_if: None,
        setup: Vec::new(),
        verify: None,
        idle_timeout_ms: spec.tasks[index].options.idle_timeout_ms,
        success: SuccessBy::Output,
        status_file: None,
        pty: false,
        ports: None,
    }
}

/// What the agent is told.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    /// As its prompt.
    prompt: String,
    /// Beside it.
    note: Option<String>,
}

/// Who goes on with a conversation knows the task, and is told what went wrong. Who begins one gets the whole prompt as the
/// user wrote it, and beside it that there was an attempt before; a program that can be told nothing beside its prompt
/// finds that at the end of it.
fn told(prompt: &str, agent: &AgentSpec, begins: &Beginning<'_>) -> Told {
    let ended = |wrong: &WentWrong| format!("The last attempt at this task ended without success: {}.", wrong.why);
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
    let output = step.output.trim();
    match output.is_empty() {
        true => format!("\n\n`{}` printed nothing.", step.command),
        false => format!("\n\nThe end of the output of `{}`:\n\n{output}", step.command),
    }
}

#[cfg(test)]
mod tests {
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
