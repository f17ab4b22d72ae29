//! What the tasks of a run say of each other: `depends_on`, and `{{answer ID}}` in prompts.
//!
//! Called by `input` when all tasks are known. Names become ids, each once; whatever cannot be done is refused here, before
//! anything exists. A name is an id of the list, or else the title of exactly one of its tasks. Pure.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::problem::nearest;
use super::{Draft, Fault, InputError, Position, Problem};
use crate::task::TaskId;
use crate::task::graph::{all_before, cycle};
use crate::task::title::clean_title;

/// The tasks of a list by what they are called.
struct Names {
    ids: HashMap<String, usize>,
    titles: HashMap<String, Vec<usize>>,
}

impl Names {
    fn of(drafts: &[Draft]) -> Self {
        let mut names = Self {
            ids: HashMap::new(),
            titles: HashMap::new(),
        };
        for (index, draft) in drafts.iter().enumerate() {
            let task = &draft.listed.task;
            names.ids.insert(task.id.to_string(), index);
            names.titles.entry(task.title.clone()).or_default().push(index);
        }
        names
    }

    /// The task that another one, `by`, means.
    fn find(&self, name: &str, by: usize, drafts: &[Draft]) -> Result<usize, Problem> {
        let found = match (
            self.ids.get(name),
            self.titles.get(&clean_title(name)).map(Vec::as_slice),
        ) {
            (Some(&index), _) | (None, Some(&[index])) => Ok(index),
            (None, Some(several)) => Err(Problem::AmbiguousTask {
                name: name.to_owned(),
                count: several.len(),
            }),
            (None, None) => Err(Problem::UnknownTask {
                name: name.to_owned(),
                near: near(name, by, drafts),
            }),
        };
        match found {
            Ok(index) if index == by => Err(Problem::ItsOwn),
            found => found,
        }
    }
}

/// The id that was given, or the title, that comes near to a name; nobody means the task itself.
fn near(name: &str, by: usize, drafts: &[Draft]) -> Option<String> {
    let others = || drafts[..by].iter().chain(&drafts[by + 1..]);
    let given = others().filter(|draft| draft.listed.named);
    let ids = given.map(|draft| draft.listed.task.id.as_str());
    let titles = others().map(|draft| draft.listed.task.title.as_str());
    nearest(name, ids.chain(titles)).map(str::to_owned)
}

/// Finds out which tasks are meant, and writes their ids in the place of what they are called.
pub(super) fn resolve(drafts: &mut [Draft]) -> Result<(), InputError> {
    let names = Names::of(drafts);
    let mut depends: Vec<Vec<usize>> = Vec::new();
    for (index, draft) in drafts.iter().enumerate() {
        let mut before = Vec::new();
        let mut seen = HashSet::new();
        for (at, name) in &draft.depends_on {
            let found = names.find(name, index, drafts);
            let found = found.map_err(|problem| refused(draft, Some(*at), problem))?;
            if seen.insert(found) {
                before.push(found);
            }
        }
        depends.push(before);
    }
    if let Some(cycle) = cycle(&depends) {
        let draft = &drafts[cycle[0]];
        let at = draft.depends_on.first().map(|(at, _)| *at);
        let round = cycle.iter().chain(cycle.first());
        let names = round.map(|&index| drafts[index].listed.called().to_owned()).collect();
        return Err(refused(draft, at, Problem::Cycle(names)));
    }
    let ids: Vec<TaskId> = drafts.iter().map(|draft| draft.listed.task.id.clone()).collect();
    for index in 0..drafts.len() {
        let draft = &drafts[index];
        let mut before: Option<HashSet<usize>> = None;
        let prompt = with_ids(&draft.listed.task.prompt, |name| {
            let found = names.find(name, index, drafts)?;
            let before = before.get_or_insert_with(|| all_before(&depends, index).into_iter().collect());
            match before.contains(&found) {
                true => Ok(ids[found].as_str()),
                false => Err(Problem::NotBefore(drafts[found].listed.called().to_owned())),
            }
        });
        let prompt = prompt.map_err(|problem| refused(draft, draft.prompt_at, problem))?;
        let task = &mut drafts[index].listed.task;
        if let Some(prompt) = prompt {
            task.prompt = prompt;
        }
        task.options.depends_on = depends[index].iter().map(|&before| ids[before].clone()).collect();
    }
    Ok(())
}

fn refused(draft: &Draft, position: Option<Position>, problem: Problem) -> InputError {
    let name = draft.listed.named.then(|| draft.listed.task.id.to_string());
    let fault = Fault {
        position,
        entry: draft.number,
        name: name.or_else(|| draft.number.map(|_| draft.listed.task.title.clone())),
        problem,
    };
    InputError::new(&draft.source, fault)
}

/// The prompt with `{{answer ID}}` for each `{{ answer NAME }}`, if it has one.
fn with_ids<'i>(
    prompt: &str,
    mut id_of: impl FnMut(&str) -> Result<&'i str, Problem>,
) -> Result<Option<String>, Problem> {
    let mut text = String::new();
    let mut copied = 0;
    for (range, name) in answers(prompt) {
        text.push_str(&prompt[copied..range.start]);
        text.push_str(&format!("{{{{answer {}}}}}", id_of(name)?));
        copied = range.end;
    }
    Ok((copied > 0).then(|| text + &prompt[copied..]))
}

/// Where a prompt wants an answer, and whose. What else stands in braces is none of ours.
fn answers(prompt: &str) -> Vec<(Range<usize>, &str)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(end) = prompt[from..].find("}}").map(|end| from + end) {
        let start = prompt[from..end].rfind("{{").map(|start| from + start);
        let inner = start.map(|start| prompt[start + 2..end].trim());
        let name = inner.and_then(|inner| inner.strip_prefix("answer"));
        let name = name.filter(|rest| rest.starts_with(char::is_whitespace) && !rest.contains(['\n', '\r']));
        if let (Some(start), Some(name)) = (start, name.map(str::trim)) {
            found.push((start..end + 2, name));
        }
        from = end + 2;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::input::{Given, read};
    use serde_json::{Value, json};
    use std::path::Path;

    /// The dependencies of a task by title, and its prompt.
    type Linked = (Vec<String>, String);

    /// All tasks; or what is said, with the hint.
    fn read_tasks(tasks: &Value) -> Result<Vec<Linked>, (String, String)> {
        let text = json!({ "tasks": tasks }).to_string();
        let files = ["-".into()];
        let given = Given {
            files: &files,
            ..Given::here(Path::new("/"))
        };
        let listed = read(&given, &mut text.as_bytes()).map_err(|error| (error.to_string(), error.hint()))?;
        let title = |id: &TaskId| {
            let named = listed.iter().find(|listed| listed.task.id == *id);
            named.unwrap().task.title.clone()
        };
        let task = |listed: &crate::task::input::ListedTask| {
            let mut prompt = listed.task.prompt.clone();
            for other in &listed.task.options.depends_on {
                prompt = prompt.replace(other.as_str(), &format!("<{}>", title(other)));
            }
            (listed.task.options.depends_on.iter().map(title).collect(), prompt)
        };
        Ok(listed.iter().map(task).collect())
    }

    #[test]
    fn names_are_ids_or_titles_and_become_ids_once() {
        let tasks = read_tasks(&json!([
            { "title": "Write it", "prompt": "p", "depends_on": "plan" },
            { "id": "plan", "prompt": "the plan" },
            { "prompt": "Test it", "depends_on": ["Write it", "plan", " Write  it", "the plan"] },
            // An id counts before a title.
            { "id": "x", "title": "plan", "prompt": "q", "depends_on": [] },
        ]))
        .unwrap();
        let depends: Vec<_> = tasks.iter().map(|(depends, _)| depends.clone()).collect();
        assert_eq!(
            depends,
            [vec!["the plan"], vec![], vec!["Write it", "the plan"], vec![]]
        );
    }

    #[test]
    fn answers_are_those_of_tasks_before_and_are_named_by_id() {
        let tasks = read_tasks(&json!([
            { "id": "a", "prompt": "p" },
            { "title": "Then this", "prompt": "{{answer a}}, {{  answer\ta  }} {{answers a}} {{answer}} {{ x }} {{", "depends_on": "a" },
            { "id": "c", "prompt": "{{ {{answer Then this}}}}{{answer a}}", "depends_on": "Then this" },
        ]))
        .unwrap();
        assert_eq!(
            tasks[1].1.replace("<p>", "a"),
            "{{answer a}}, {{answer a}} {{answers a}} {{answer}} {{ x }} {{"
        );
        // Of a task that comes before through another.
        assert_eq!(tasks[2].1, "{{ {{answer <Then this>}}}}{{answer a}}");
        let marks = answers("}} {{answer a\nb}} {{answer  }} {{answer x}}");
        assert_eq!(marks.len(), 1, "{marks:?}");
    }

    #[test]
    fn what_cannot_be_done_is_said_with_place_and_hint() {
        for (tasks, said, hint) in [
            (
                json!([{ "id": "build", "prompt": "p" }, { "prompt": "q", "depends_on": ["biuld"] }]),
                "entry 2 (\"q\"): no task of the list is called \"biuld\"",
                "did you mean \"build\"?",
            ),
            (
                json!([{ "prompt": "p" }, { "prompt": "q", "depends_on": "nothing like it" }]),
                "entry 2 (\"q\"): no task of the list is called \"nothing like it\"",
                "write the id or the title of another task of this run",
            ),
            (
                json!([{ "prompt": "same" }, { "prompt": "same" }, { "id": "c", "prompt": "q", "depends_on": "same" }]),
                "entry 3 (\"c\"): 2 tasks of the list are called \"same\"",
                "give them ids, and write the id",
            ),
            (
                json!([{ "id": "a", "prompt": "p", "depends_on": "a" }]),
                "entry 1 (\"a\"): the task depends on itself",
                "leave it out",
            ),
            (
                json!([{ "id": "a", "prompt": "{{answer a}}" }]),
                "entry 1 (\"a\"): the task depends on itself",
                "leave it out",
            ),
            (
                json!([{ "id": "api", "prompt": "api", "depends_on": "apo" }, "q"]),
                "entry 1 (\"api\"): no task of the list is called \"apo\"",
                "write the id or the title of another task of this run",
            ),
            (
                json!([
                    { "id": "a", "prompt": "p", "depends_on": "b" },
                    { "id": "b", "prompt": "p", "depends_on": "Third one" },
                    { "title": "Third one", "prompt": "p", "depends_on": "a" },
                ]),
                "entry 1 (\"a\"): tasks depend on each other: a -> b -> \"Third one\" -> a",
                "leave out one of these dependencies",
            ),
            (
                json!([{ "id": "a", "prompt": "p" }, { "id": "b", "prompt": "{{answer a}}" }]),
                "entry 2 (\"b\"): it wants the answer of \"a\", but does not depend on it",
                "add it to the task: \"depends_on\": [\"a\"]",
            ),
            (
                json!([{ "id": "a", "prompt": "p", "depends_on": [] }, { "prompt": "{{answer aa}}" }]),
                "entry 2 (\"{{answer aa}}\"): no task of the list is called \"aa\"",
                "did you mean \"a\"?",
            ),
        ] {
            let (error, hinted) = read_tasks(&tasks).unwrap_err();
            assert!(
                error.starts_with("standard input: line 1, column ") && error.ends_with(said),
                "{error}"
            );
            assert_eq!(hinted, hint);
        }
    }

    #[test]
    fn a_long_cycle_is_shown_by_its_ends() {
        let id = |n: usize| format!("t{n}");
        let tasks: Vec<Value> = (0..2_000)
            .map(|n| json!({ "id": id(n), "prompt": "p", "depends_on": id((n + 1) % 2_000) }))
            .collect();
        let (error, _) = read_tasks(&tasks.into()).unwrap_err();
        let end = "t0 -> t1 -> t2 -> t3 -> (1993 more) -> t1997 -> t1998 -> t1999 -> t0";
        assert!(error.ends_with(end), "{error}");
    }
}
