//! The Markdown form of a task file: instructions, which are one task, or a specification with a plan, which is several.
//!
//! Called by `input`. The first heading is the title of instructions and all of the text is their prompt. A
//! specification has a heading "Task Distribution Plan" with a list under it: each entry of the list is a task, which
//! is given the whole specification, and told which part of it is its own. `front_matter` reads what may stand before
//! the text; it holds for every task of the file.

use std::ops::Range;

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::task::TaskId;
use crate::task::entry::{Entry, Scope};
use crate::task::front_matter;
use crate::task::input::{Fault, LARGEST, Position, Problem};
use crate::task::title::{clean_title, is_blank};

/// The heading that makes a specification of a text, in lower case.
const PLAN: &str = "task distribution plan";

/// Reads the entries of a text; there is at least one. `stem` is the name of its file, without the extension.
pub(crate) fn parse(text: &str, stem: Option<&str>) -> Result<Vec<Entry>, Fault> {
    let (yaml, body, line) = front_matter::split(text)?;
    let start = Position { line, column: 1 };
    if is_blank(body) {
        return Err(Fault {
            position: Some(start),
            ..Fault::whole(Problem::BlankPrompt)
        });
    }
    let outline = Outline::of(body);
    let read = |scope| front_matter::read(yaml.unwrap_or_default(), scope);
    match outline.plan {
        Some(heading) => {
            // Each has all of the text: a long one with many entries would not fit anywhere.
            if text.len().saturating_mul(outline.items.len()) as u64 > LARGEST {
                return Err(Fault::whole(Problem::TasksTooLarge));
            }
            tasks_of(body, start, heading, &outline.items, read(Scope::Specification)?)
        }
        None => {
            let mut entry = read(Scope::FrontMatter)?;
            let named = stem.and_then(|stem| TaskId::parse(stem).ok());
            entry.id = entry.id.or(named.map(|id| (id, start)));
            entry.title = entry.title.or(outline.title);
            entry.prompt = Some((start, body.to_owned()));
            Ok(vec![entry])
        }
    }
}

/// A task for each entry of the plan, with what the front matter says of all of them.
fn tasks_of(body: &str, start: Position, heading: usize, items: &[Item], common: Entry) -> Result<Vec<Entry>, Fault> {
    let fault = |at: usize, problem| Fault {
        position: Some(start.past(&body[..at])),
        ..Fault::whole(problem)
    };
    if items.is_empty() {
        return Err(fault(heading, Problem::NoPlan));
    }
    let mut entries = Vec::new();
    for (item, number) in items.iter().zip(1..) {
        let part = item.text.map_or("", |text| body[text..item.all.end].trim());
        if is_blank(&item.label) || is_blank(part) {
            return Err(Fault {
                entry: Some(number),
                ..fault(item.all.start, Problem::BlankPrompt)
            });
        }
        let at = start.past(&body[..item.all.start]);
        entries.push(Entry {
            title: Some(title_of(&item.label).to_owned()),
            options: common.options.clone(),
            depends_on: common.depends_on.clone(),
            ..Entry::prompt(at, with_part(body, part))
        });
    }
    Ok(entries)
}

/// What follows the colon of `Pane 1: Backend API`; all if there is none.
fn title_of(label: &str) -> &str {
    let after = label.split_once(": ").map(|(_, after)| after.trim());
    after
        .filter(|after| !is_blank(after))
        .unwrap_or(label.trim_end_matches(':'))
}

/// The specification, and what of it is whose.
fn with_part(specification: &str, part: &str) -> String {
    const OTHERS: &str = "The other parts are done by others at the same time.";
    let specification = specification.trim_end();
    match part {
        lines if lines.contains('\n') => format!("{specification}\n\nYour part of it:\n\n{lines}\n\n{OTHERS}\n"),
        line => {
            let stop = if line.ends_with(['.', '!', '?']) { "" } else { "." };
            format!("{specification}\n\nYour part of it: {line}{stop} {OTHERS}\n")
        }
    }
}

/// What of a text counts here.
#[derive(Default)]
struct Outline {
    /// The first heading in which something can be seen.
    title: Option<String>,
    /// Where the heading of the plan starts.
    plan: Option<usize>,
    /// The entries of the lists under it.
    items: Vec<Item>,
}

/// An entry of the plan.
struct Item {
    /// Where it stands.
    all: Range<usize>,
    /// Where its text starts, after the mark of the list, if it has one.
    text: Option<usize>,
    /// Its first paragraph, without marks.
    label: String,
}

impl Outline {
    fn of(text: &str) -> Self {
        let mut found = Self::default();
        let mut heading: Option<(HeadingLevel, usize, String)> = None;
        // The level of the heading that the plan stands under, as long as it goes on.
        let mut plan: Option<HeadingLevel> = None;
        let mut depth = 0_usize;
        let mut item: Option<Item> = None;
        let mut labelled = false;
        for (event, range) in Parser::new_ext(text, Options::ENABLE_TASKLISTS).into_offset_iter() {
            let inner = !matches!(
                event,
                Event::Start(Tag::Item) | Event::End(_) | Event::TaskListMarker(_)
            );
            if let Some(item) = item.as_mut().filter(|_| inner) {
                item.text.get_or_insert(range.start);
            }
            match event {
                Event::Start(Tag::Heading { level, .. }) => heading = Some((level, range.start, String::new())),
                Event::End(TagEnd::Heading(_)) => {
                    let Some((level, start, words)) = heading.take() else {
                        continue;
                    };
                    if is_plan(&words) {
                        plan = Some(level);
                        found.plan.get_or_insert(start);
                    } else if plan.is_some_and(|of| level <= of) {
                        plan = None;
                    }
                    let title = clean_title(&words);
                    found.title = found.title.or(Some(title).filter(|title| !title.is_empty()));
                }
                Event::Start(Tag::List(_)) => {
                    labelled |= depth > 0;
                    depth += 1;
                }
                Event::End(TagEnd::List(_)) => depth -= 1,
                Event::Start(Tag::Item) if depth == 1 && plan.is_some() => {
                    labelled = false;
                    item = Some(Item {
                        all: range,
                        text: None,
                        label: String::new(),
                    });
                }
                Event::End(TagEnd::Item) if depth == 1 => found.items.extend(item.take()),
                Event::Start(Tag::CodeBlock(_)) | Event::End(TagEnd::Paragraph) => labelled = true,
                Event::Text(words) | Event::Code(words) => match (&mut heading, &mut item) {
                    (Some((_, _, title)), _) => title.push_str(&words),
                    (None, Some(item)) if !labelled => item.label.push_str(&words),
                    _ => {}
                },
                Event::SoftBreak | Event::HardBreak => match (&mut heading, &mut item) {
                    (Some((_, _, title)), _) => title.push(' '),
                    (None, Some(item)) if !labelled => item.label.push(' '),
                    _ => {}
                },
                _ => {}
            }
        }
        found
    }
}

/// Whether this is the heading of a plan; what is no word around it, and how much space is in it, does not count.
fn is_plan(heading: &str) -> bool {
    let words = heading.trim_matches(|c: char| !c.is_alphabetic());
    words.split_whitespace().map(str::to_lowercase).eq(PLAN.split(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(text: &str) -> Vec<String> {
        let entries = parse(text, None).unwrap();
        entries.into_iter().filter_map(|entry| entry.title).collect()
    }

    #[test]
    fn a_file_is_a_task_with_its_first_heading_as_title() {
        let text = "Before.\n\n```sh\n# no heading\n```\n\n# Fix *the* `login`\n\nIt fails.\n\n# Another\n";
        let entries = parse(text, Some("worker1_instructions")).unwrap();
        let [entry] = &entries[..] else { panic!("{entries:?}") };
        assert_eq!(entry.title.as_deref(), Some("Fix the login"));
        assert_eq!(entry.name(), Some("worker1_instructions"));
        assert_eq!(entry.prompt.as_ref().unwrap().1, text);
        let text = "---\nid: own\ntitle: Mine\nretry: 1\n---\n\nSetext\n======\n";
        let entries = parse(text, Some("worker1")).unwrap();
        assert_eq!(
            (entries[0].name(), entries[0].title.as_deref()),
            (Some("own"), Some("Mine"))
        );
        assert_eq!(entries[0].options.retry, Some(1));
        assert_eq!(
            entries[0].prompt.as_ref().unwrap(),
            &(Position { line: 6, column: 1 }, "\nSetext\n======\n".into())
        );
        assert_eq!(titles("Fix the\nlogin\n=====\n"), ["Fix the login"]);
        // A name that is no id gives none.
        assert!(parse("text", Some("my task")).unwrap()[0].id.is_none());
        assert!(titles("no heading\n").is_empty());
    }

    #[test]
    fn a_plan_makes_a_task_of_each_entry_of_its_list() {
        for (list, expected) in [
            (
                "- Pane 1: Backend API\n- Pane 2: Frontend\n",
                &["Backend API", "Frontend"][..],
            ),
            (
                "* **Pane 1**: `api`\n\n* **Pane 2:** Front *end*\n",
                &["api", "Front end"],
            ),
            ("1. Worker 1: A: b\n2. Only a name\n", &["A: b", "Only a name"]),
            ("- [ ] Pane 1: Open\n- [x] Pane 2: Done\n", &["Open", "Done"]),
            (
                "- Pane 1: A\n  over two lines\n  - inner: x\n- Pane 2:\n  - inner\n",
                &["A over two lines", "Pane 2"],
            ),
            (
                "Words.\n\n- Pane 1: A\n\n### Later\n\n+ Pane 2: B\n\n## Notes\n\n- Pane 3: no task\n",
                &["A", "B"],
            ),
        ] {
            for heading in [
                "## Task Distribution Plan",
                "# 3. TASK distribution plan:",
                "Task Distribution Plan\n---",
                "## Task  distribution   plan",
                "Task Distribution\nPlan\n---",
            ] {
                let text = format!("# Shop\n\n- no task\n\n{heading}\n\n{list}");
                let expected = match (heading.starts_with("# "), list.contains("### Later")) {
                    // Under a heading of the first level the notes belong to the plan.
                    (true, true) => vec!["A", "B", "no task"],
                    _ => expected.to_vec(),
                };
                assert_eq!(titles(&text), expected, "{text}");
            }
        }
    }

    #[test]
    fn each_task_of_a_plan_has_all_of_the_text_and_its_part() {
        let text = "---\ntimeout: 5m\n---\n# Shop\n\n## Task Distribution Plan\n- **Pane 1**: API\n- [ ] Pane 2: UI!\n- Pane 3: Two\n  - a\n  - b\n";
        let body = text.split("---\n").nth(2).unwrap().trim_end();
        let entries = parse(text, Some("spec")).unwrap();
        let others = "The other parts are done by others at the same time.\n";
        for (entry, (part, line)) in entries.iter().zip([
            (format!("Your part of it: **Pane 1**: API. {others}"), 7),
            (format!("Your part of it: Pane 2: UI! {others}"), 8),
            (format!("Your part of it:\n\nPane 3: Two\n  - a\n  - b\n\n{others}"), 9),
        ]) {
            let (at, prompt) = entry.prompt.as_ref().unwrap();
            assert_eq!(*prompt, format!("{body}\n\n{part}"));
            assert_eq!(at.line, line);
            assert_eq!(entry.options.timeout_ms, Some(300_000));
            assert!(entry.id.is_none());
        }
        assert_eq!(entries.len(), 3);
    }

    #[test]
    fn a_file_without_a_task_is_refused_where_it_should_be() {
        for (text, line, words) in [
            ("---\nretry: 1\n---\n \n", 4, "the prompt is blank"),
            (
                "# A\n\n## Task Distribution Plan\n\nlater\n\n## B\n- c\n",
                3,
                "there is no list under \"Task Distribution Plan\"",
            ),
            ("# Task Distribution Plan\n- a\n-\n", 3, "the prompt is blank"),
            (
                "---\nid: a\n---\n# Task Distribution Plan\n- a\n",
                2,
                "\"id\" cannot stand in the front matter of a specification",
            ),
        ] {
            let fault = parse(text, None).unwrap_err();
            let (at, said) = (fault.position.unwrap(), fault.problem.to_string());
            assert_eq!((at.line, said.as_str()), (line, words), "{text}");
        }
    }

    // Fault 38: nesting without end, and a text that each of very many tasks would get.
    #[test]
    fn no_text_is_gone_into_or_multiplied_without_end() {
        for unit in [">", "- ", "* ", "[", "![", "(", "`", "*_", "1. ", "<", "# ", "\n- a\n"] {
            let text = format!("{}\n\n# Task Distribution Plan\n\n{0}x", unit.repeat(20_000));
            let _ = parse(&text, None);
        }
        let text = format!("# Task Distribution Plan\n{}", "- Pane: a\n".repeat(100_000));
        let fault = parse(&text, None).unwrap_err();
        assert!(matches!(fault.problem, Problem::TasksTooLarge));
    }
}
