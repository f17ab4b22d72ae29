//! What the tasks answered that a task depends on: for the places in its prompt that name them, `{{answer ID}}`, and for
//! the command that says whether it is done at all.
//!
//! Only what is named is read, and no more than an agent takes. What an answer says is never filled in again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use crate::agent::claude::LONGEST_PROMPT;
use crate::runner::StepRequest;
use crate::session::{Graph, SessionSpec};
use crate::store::Shortage;
use crate::store::paths::SessionPaths;
use crate::task::{TaskId, TaskSpec};
use crate::words::few;

/// The longest that a place with an id can be, in bytes: longer than any id.
const LONGEST_PLACE: usize = 256;

/// Answers by the ids of the tasks.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub of: BTreeMap<TaskId, String>,
    /// What the user should know, a line each.
    pub notes: Vec<String>,
}

/// Why there are none.
#[derive(Debug)]
pub(super) struct NoAnswers {
    pub error: String,
    /// What was lacking, if that is why.
    pub shortage: Option<Shortage>,
}

impl NoAnswers {
    /// They could not be read.
    pub(super) fn io(e: &io::Error) -> Self {
        Self {
            error: format!("cannot read the answers of what it depends on: {e}"),
            shortage: Shortage::of(e),
        }
    }
}

/// The prompt with the answers in their places. Where there is none for an id, the place stays as it is.
pub(super) fn filled(prompt: &str, answers: &BTreeMap<TaskId, String>) -> String {
    let mut text = String::with_capacity(prompt.len());
    let mut at = 0;
    for (place, id) in places(prompt) {
        if let Some((_, answer)) = answers.iter().find(|(known, _)| known.as_ref() == id) {
            text.push_str(&prompt[at..place.start]);
            // No program can be given one as an argument.
            text.extend(answer.chars().filter(|&c| c != '\0'));
            at = place.end;
        }
    }
    text.push_str(&prompt[at..]);
    text
}

/// The command that decides about the task, with the answers of those that it names as its dependencies.
pub(super) fn condition(task: &TaskSpec, answers: &BTreeMap<TaskId, String>) -> Option<StepRequest> {
    let command = task.options.run_if.clone()?;
    let mut stdin = String::new();
    for answer in task.options.depends_on.iter().filter_map(|id| answers.get(id)) {
        stdin.push_str(answer);
        stdin.push('\n');
    }
    Some(StepRequest { command, stdin })
}

/// Reads the answers that a task needs.
pub(super) fn gather(
    paths: &SessionPaths,
    spec: &SessionSpec,
    graph: &Graph,
    index: usize,
) -> Result<Answers, NoAnswers> {
    let task = &spec.tasks[index];
    let named: Vec<&str> = places(&task.prompt).into_iter().map(|(_, id)| id).collect();
    let mut answers = Answers::default();
    if named.is_empty() && task.options.run_if.is_none() {
        return Ok(answers);
    }
    let too_long = |what: &str, of: &[&TaskId]| NoAnswers {
        error: format!(
            "with the answers of {} {what} is longer than the {} MB that an agent takes",
            few(of),
            LONGEST_PROMPT / 1_000_000
        ),
        shortage: None,
    };
    let what_it_reads = "all that it reads";
    let mut left = LONGEST_PROMPT;
    for on in graph.all_dependencies(index) {
        let id = &spec.tasks[on].id;
        let is_named = named.contains(&id.as_ref());
        let is_judged = task.options.run_if.is_some() && task.options.depends_on.contains(id);
        if !is_named && !is_judged {
            continue;
        }
        let path = paths.answer(id.as_ref());
        let answer = match read(&path, left) {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                let of: Vec<&TaskId> = answers.of.keys().chain([id]).collect();
                return Err(too_long(what_it_reads, &of));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                answers
                    .notes
                    .push(format!("task {id} has left no answer: in its place there is nothing"));
                String::new()
            }
            Err(e) => {
                return Err(NoAnswers {
                    error: format!("cannot read {}: {e}", path.display()),
                    shortage: Shortage::of(&e),
                });
            }
        };
        left = left.saturating_sub(answer.len());
        answers.of.insert(id.clone(), answer);
    }
    let length = |id: &str| {
        answers
            .of
            .iter()
            .find(|(known, _)| known.as_ref() == id)
            .map_or(0, |(_, a)| a.len())
    };
    let of: Vec<&TaskId> = answers.of.keys().collect();
    // An answer may be wanted in many places.
    if !of.is_empty() && task.prompt.len() + named.iter().map(|id| length(id)).sum::<usize>() >= LONGEST_PROMPT {
        return Err(too_long("its prompt", &of));
    }
    Ok(answers)
}

/// What is in a file, if it is not longer than this. What is no text is shown as that.
fn read(path: &Path, longest: usize) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(longest).unwrap_or(u64::MAX);
    File::open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= longest).then(|| match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
    }))
}

/// The places for answers, with the ids that they name.
fn places(prompt: &str) -> Vec<(Range<usize>, &str)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = prompt[from..].find("{{").map(|at| from + at) {
        // One byte of a character of one byte.
        from = start + 1;
        let within = &prompt.as_bytes()[start + 2..prompt.len().min(start + LONGEST_PLACE)];
        let Some(end) = within.windows(2).position(|two| two == b"}}").map(|at| start + 2 + at) else {
            continue;
        };
        let inner = prompt[start + 2..end].trim();
        let id = inner
            .strip_prefix("answer")
            .filter(|rest| rest.starts_with(char::is_whitespace));
        let id = id
            .map(str::trim)
            .filter(|id| !id.is_empty() && !id.contains(char::is_whitespace));
        if let Some(id) = id {
            found.push((start..end + 2, id));
            from = end + 2;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::session::fixture::{spec, task_id};
    use crate::store::atomic;

    fn answers(pairs: &[(&str, &str)]) -> BTreeMap<TaskId, String> {
        pairs
            .iter()
            .map(|&(id, answer)| (task_id(id), answer.to_owned()))
            .collect()
    }

    #[test]
    fn an_answer_stands_in_its_place_and_is_not_filled_in_again() {
        let known = answers(&[("a", "1"), ("b", "{{answer a}}"), ("empty", ""), ("nul", "x\0\u{1b}y")]);
        assert_eq!(filled("{{answer nul}}", &known), "x\u{1b}y");
        for (prompt, expected) in [
            ("{{answer a}}", "1"),
            ("x{{ answer  a }}y{{answer b}}z", "x1y{{answer a}}z"),
            ("é{{answer a}}é{{answer empty}}", "é1é"),
            // Nothing that names a task with an answer.
            (
                "{{answer c}} {{answera}} {{answer}} {{answer a b}} {{a}}",
                "{{answer c}} {{answera}} {{answer}} {{answer a b}} {{a}}",
            ),
            ("{{answer a", "{{answer a"),
            ("{{{answer a}}}", "{1}"),
            ("{{ {{answer a}} }}", "{{ 1 }}"),
            ("{{é {{answer\na}}", "{{é 1"),
            ("", ""),
        ] {
            assert_eq!(filled(prompt, &known), expected, "{prompt}");
        }
        // Whatever stands in a prompt costs no more than to read it.
        let braces = "{".repeat(1_000_000);
        assert_eq!(filled(&braces, &known), braces);
    }

    #[test]
    fn a_condition_reads_the_answers_in_the_order_of_the_dependencies() {
        let mut task = spec(&["z"]).tasks.remove(0);
        let known = answers(&[("a", "1"), ("b", "2\n"), ("c", "3")]);
        assert_eq!(condition(&task, &known), None);
        task.options.run_if = Some("grep -q 2".into());
        task.options.depends_on = vec![task_id("b"), task_id("a")];
        let step = condition(&task, &known).unwrap();
        assert_eq!((step.command.as_str(), step.stdin.as_str()), ("grep -q 2", "2\n\n1\n"));
    }

    #[test]
    fn only_what_is_named_is_read_and_no_more_than_an_agent_takes() {
        let dir = tempfile::tempdir().unwrap();
        let paths = SessionPaths::new(dir.path());
        let mut spec = spec(&["a", "b", "c", "other"]);
        spec.tasks[1].options.depends_on = vec![task_id("a")];
        spec.tasks[2].options.depends_on = vec![task_id("b")];
        let gathered = |spec: &SessionSpec| gather(&paths, spec, &Graph::of(&spec.tasks).unwrap(), 2);
        let put = |id: &str, answer: &[u8]| atomic::write(&paths.answer(id), answer, atomic::Durability::Fast).unwrap();
        let ids = |answers: &Answers| answers.of.keys().map(ToString::to_string).collect::<Vec<_>>();
        put("a", b"one\xff");
        put("other", b"no dependency");
        assert!(gathered(&spec).unwrap().of.is_empty());
        spec.tasks[2].prompt = "{{answer a}} {{answer b}} {{answer other}}".into();
        let found = gathered(&spec).unwrap();
        assert_eq!(found.of, answers(&[("a", "one\u{fffd}"), ("b", "")]));
        assert_eq!(
            found.notes,
            ["task b has left no answer: in its place there is nothing"]
        );
        // The condition reads those of the direct ones.
        spec.tasks[2].prompt = "alone".into();
        spec.tasks[2].options.run_if = Some("true".into());
        assert_eq!(ids(&gathered(&spec).unwrap()), ["b"]);
        spec.tasks[2].options.run_if = None;
        spec.tasks[2].prompt = "{{answer a}} and {{answer a}}".into();
        put("a", "x".repeat(4_999_990).as_bytes());
        let said = gathered(&spec).unwrap_err();
        assert_eq!(
            said.error,
            "with the answers of a its prompt is longer than the 10 MB that an agent takes"
        );
        spec.tasks[2].prompt = "{{answer a}}".into();
        assert_eq!(ids(&gathered(&spec).unwrap()), ["a"]);
        put("a", &[0xff; 10_000_001]);
        assert!(
            gathered(&spec)
                .unwrap_err()
                .error
                .contains("all that it reads is longer")
        );
        fs::remove_file(paths.answer("a")).unwrap();
        fs::create_dir(paths.answer("a")).unwrap();
        let said = gathered(&spec).unwrap_err();
        assert!(
            said.error.starts_with("cannot read ") && said.shortage.is_none(),
            "{said:?}"
        );
    }
}
