//! The log of an agent as people read it, entry by entry as they come.
//!
//! What the model says stands by itself, between blank lines; all else is one line each, with a sign before it. On a
//! terminal those lines are cut to its width. What a sub-agent does has a mark before each line.

use std::time::Duration;

use console::{Style, style};
use schemars::JsonSchema;
use serde::Serialize;

use super::columns::cut;
use super::status::detail;
use super::{count, dollars, elapsed, escape, one_line, terminal_width, time_of_day};
use crate::agent::transcript::Entry;
use crate::session::{OverallStatus, StatusDocument, TaskStatusName};
use crate::task::Outcome;

/// The log as JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogsDocument {
    /// The number of this format.
    pub schema: u32,
    /// Which session.
    pub session_id: String,
    /// The id of the task.
    pub task: String,
    /// In the order in which they were printed; of the last attempt.
    pub entries: Vec<Entry>,
}

/// Before each line of a sub-agent.
const SUB_AGENT: &str = "┊ ";

/// What a line is about, for the blank lines between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Words,
    Line,
    End,
}

/// Shows one entry after the other.
#[derive(Debug)]
pub struct LogText {
    /// Columns of the terminal; nothing is cut without one.
    width: Option<usize>,
    last: Option<Shape>,
}

impl LogText {
    /// For standard output as it is.
    pub fn for_output() -> Self {
        Self::new(terminal_width())
    }

    fn new(width: Option<usize>) -> Self {
        Self { width, last: None }
    }

    /// The text of an entry, with its line breaks.
    pub fn show(&mut self, entry: &Entry) -> String {
        let (shape, text) = match entry {
            Entry::Start { model, directory } => (Shape::Line, self.start(model.as_deref(), directory.as_deref())),
            Entry::Text { text, sub_agent } => (Shape::Words, words(text, *sub_agent)),
            Entry::Tool {
                tool,
                target,
                sub_agent,
            } => {
                let call = call_of(Some(tool), target.as_deref());
                (Shape::Line, self.sign("→", &Style::new().cyan(), &call, *sub_agent))
            }
            Entry::ToolError { tool, error, sub_agent } => {
                (Shape::Line, self.tool_error(tool.as_deref(), error, *sub_agent))
            }
            Entry::Retry {
                error,
                status,
                attempt,
                max_attempts,
                delay_ms,
            } => {
                let retry = retry(error, *status, *attempt, *max_attempts, *delay_ms);
                (Shape::Line, self.sign("↻", &Style::new().yellow(), &retry, false))
            }
            Entry::Notice { text } => (Shape::Line, self.sign("!", &Style::new().yellow(), text, false)),
            Entry::RateLimit {
                status,
                limit: which,
                resets_at,
            } => {
                let limit = limit(status, which.as_deref(), *resets_at);
                (Shape::Line, self.sign("!", &Style::new().yellow(), &limit, false))
            }
            Entry::Denied { tool, target } => {
                let call = format!("denied: {}", call_of(tool.as_deref(), target.as_deref()));
                (Shape::Line, self.sign("✗", &Style::new().red(), &call, false))
            }
            Entry::End {
                success,
                error,
                turns,
                cost_usd,
                text,
            } => {
                let said = text
                    .as_ref()
                    .map(|text| words(text, false) + "\n\n")
                    .unwrap_or_default();
                let end = end(*success, error.as_deref(), *turns, *cost_usd);
                (Shape::End, said + &end)
            }
            Entry::Line { text } => (Shape::Line, escape(text)),
            Entry::Unreadable { bytes } => {
                let text = format!("(a line of {bytes} bytes is not shown; --raw shows it)");
                (Shape::Line, style(text).dim().to_string())
            }
        };
        let apart = match (self.last, shape) {
            (None, _) | (Some(Shape::Line), Shape::Line) => "",
            _ => "\n",
        };
        self.last = Some(shape);
        format!("{apart}{text}\n")
    }

    /// What is said when the task is tried again.
    pub fn next_attempt(&mut self) -> String {
        let apart = if self.last.take().is_some() { "\n" } else { "" };
        format!("{apart}— the task is tried again\n")
    }

    fn start(&self, model: Option<&str>, directory: Option<&str>) -> String {
        let model = model.map(|model| format!(" with {model}")).unwrap_or_default();
        let directory = directory
            .map(|directory| format!(" in {directory}"))
            .unwrap_or_default();
        self.sign("—", &Style::new().dim(), &format!("begins{model}{directory}"), false)
    }

    fn tool_error(&self, tool: Option<&str>, error: &str, sub_agent: bool) -> String {
        let mut lines = error.lines();
        let first = lines.next().unwrap_or_default();
        let first = match tool {
            Some(tool) => format!("{tool}: {first}"),
            None => first.to_owned(),
        };
        let mut text = self.sign("✗", &Style::new().red(), &first, sub_agent);
        for line in lines {
            text.push('\n');
            text.push_str(&self.line("  ", line, sub_agent));
        }
        text
    }

    /// One line with a sign before it.
    fn sign(&self, sign: &str, look: &Style, text: &str, sub_agent: bool) -> String {
        self.line(&format!("{} ", look.apply_to(sign)), text, sub_agent)
    }

    fn line(&self, before: &str, text: &str, sub_agent: bool) -> String {
        let mark = mark(sub_agent);
        let text = one_line(text);
        let text = match self.width {
            Some(width) => {
                let taken = console::measure_text_width(&mark) + console::measure_text_width(before);
                cut(&text, width.saturating_sub(taken).max(1))
            }
            None => text,
        };
        format!("{mark}{before}{text}")
    }
}

fn words(text: &str, sub_agent: bool) -> String {
    let text = escape(text.trim_end().trim_start_matches('\n'));
    let marked: Vec<String> = text.lines().map(|line| mark(sub_agent) + line).collect();
    marked.join("\n")
}

fn mark(sub_agent: bool) -> String {
    if sub_agent {
        style(SUB_AGENT).dim().to_string()
    } else {
        String::new()
    }
}

fn call_of(tool: Option<&str>, target: Option<&str>) -> String {
    let tool = tool.unwrap_or("a tool");
    target.map_or_else(|| tool.to_owned(), |target| format!("{tool} {target}"))
}

/// `overloaded (529): retry 1 of 10 in 0.6 s`
fn retry(error: &str, status: Option<u16>, attempt: Option<u64>, most: Option<u64>, delay_ms: Option<u64>) -> String {
    let mut text = error.to_owned();
    if let Some(status) = status {
        text.push_str(&format!(" ({status})"));
    }
    text.push_str(": retry");
    if let Some(attempt) = attempt {
        text.push_str(&format!(" {attempt}"));
    }
    if let Some(most) = most {
        text.push_str(&format!(" of {most}"));
    }
    if let Some(delay) = delay_ms {
        text.push_str(&format!(" in {}", elapsed(Duration::from_millis(delay))));
    }
    text
}

/// `rate limit five_hour: rejected until 2026-01-31 14:05`
fn limit(status: &str, limit: Option<&str>, resets_at: Option<u64>) -> String {
    let limit = limit.map(|limit| format!(" {limit}")).unwrap_or_default();
    let until = resets_at
        .map(|at| format!(" until {}", time_of_day(at)))
        .unwrap_or_default();
    format!("rate limit{limit}: {status}{until}")
}

/// `— success, 3 turns, $0.02`
fn end(success: bool, error: Option<&str>, turns: Option<u64>, cost_usd: Option<f64>) -> String {
    let mut text = match (success, error) {
        (true, _) => style("success").green().bold().to_string(),
        (false, error) => {
            let failed = style("failed").red().bold();
            let first = error.and_then(|error| error.trim().lines().next());
            first.map_or_else(|| failed.to_string(), |first| format!("{failed}: {}", one_line(first)))
        }
    };
    if let Some(turns) = turns {
        text.push_str(&format!(", {}", count(turns, "turn")));
    }
    if let Some(cost) = cost_usd {
        text.push_str(&format!(", {}", dollars(cost)));
    }
    format!("— {text}")
}

/// What the log itself cannot say about a task: that it has not begun, or how it came to an end that is no success.
pub fn about_log(doc: &StatusDocument, number: usize) -> Option<String> {
    let task = &doc.tasks[number - 1];
    let name = escape(&task.transaction_id);
    let session = doc.overall_status;
    Some(match (task.status, task.outcome) {
        (_, Some(Outcome::Succeeded)) => return None,
        (_, Some(Outcome::Stopped)) if task.attempts > 0 => format!("task {name} was {}", detail(task)),
        (_, Some(Outcome::Skipped)) => format!("task {name} was skipped: {}", detail(task)),
        (TaskStatusName::Completed, outcome) => {
            let outcome = outcome.map_or("ended", Outcome::name);
            let before = if task.agent_runs == 0 {
                " before its agent began"
            } else {
                ""
            };
            format!("task {name} {outcome}{before}: {}", detail(task))
        }
        _ if session == OverallStatus::Running => match task.attempts {
            0 => format!("task {name} has not begun yet"),
            _ => return None,
        },
        (TaskStatusName::Pending, _) if task.attempts > 0 => {
            let (made, state) = (count(task.attempts, "attempt"), session.name());
            format!("task {name} is to be tried again, after {made}: the session is {state}")
        }
        (TaskStatusName::Pending, _) => format!("task {name} never began: the session is {}", session.name()),
        (TaskStatusName::Running, _) => format!("task {name} is not settled: the session is {}", session.name()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::columns;

    fn shown(width: Option<usize>, entries: &[Entry]) -> String {
        let mut text = LogText::new(width);
        let shown: String = entries.iter().map(|entry| text.show(entry)).collect();
        console::strip_ansi_codes(&shown).into_owned()
    }

    fn tool(target: &str, sub_agent: bool) -> Entry {
        Entry::Tool {
            tool: "Bash".into(),
            target: Some(target.into()),
            sub_agent,
        }
    }

    fn text(text: &str, sub_agent: bool) -> Entry {
        let text = text.into();
        Entry::Text { text, sub_agent }
    }

    fn ended(success: bool, said: &str, turns: u64, cost_usd: Option<f64>) -> Entry {
        let said = Some(said.to_owned());
        let (text, error) = if success { (said, None) } else { (None, said) };
        Entry::End {
            success,
            error,
            turns: Some(turns),
            cost_usd,
            text,
        }
    }

    #[test]
    fn every_kind_of_entry() {
        let entries = [
            Entry::Start {
                model: Some("m".into()),
                directory: Some("/w".into()),
            },
            Entry::Retry {
                error: "overloaded".into(),
                status: Some(529),
                attempt: Some(1),
                max_attempts: Some(10),
                delay_ms: Some(581),
            },
            text("\n# Plan\n\n- one\n", false),
            text("more", false),
            tool("cargo test", false),
            tool("ls", true),
            text("its\nwords", true),
            Entry::ToolError {
                tool: Some("Bash".into()),
                error: "Exit code 1\nno such file".into(),
                sub_agent: false,
            },
            Entry::Notice {
                text: "the answer was stopped".into(),
            },
            Entry::RateLimit {
                status: "rejected".into(),
                limit: Some("five_hour".into()),
                resets_at: None,
            },
            Entry::Line {
                text: "[pleach: cut]".into(),
            },
            Entry::Unreadable { bytes: 7 },
            Entry::Denied {
                tool: Some("Write".into()),
                target: Some("a".into()),
            },
            ended(true, "done", 3, Some(0.0174)),
            ended(false, "API Error\nmore", 1, None),
        ];
        let expected = "\
— begins with m in /w
↻ overloaded (529): retry 1 of 10 in 0.6 s

# Plan

- one

more

→ Bash cargo test
┊ → Bash ls

┊ its
┊ words

✗ Bash: Exit code 1
  no such file
! the answer was stopped
! rate limit five_hour: rejected
[pleach: cut]
(a line of 7 bytes is not shown; --raw shows it)
✗ denied: Write a

done

— success, 3 turns, $0.02

— failed: API Error, 1 turn
";
        assert_eq!(shown(None, &entries), expected);
    }

    #[test]
    fn lines_fit_the_terminal_and_nothing_reaches_it_unescaped() {
        let wide = "漢字 \x1b[2J\u{202e} and\tmore 👩\u{200d}💻☀\u{fe0f} of it".repeat(10);
        for width in [40, 80, 200] {
            for entry in [tool(&wide, false), tool(&wide, true)] {
                let shown = shown(Some(width), &[entry]);
                assert!(columns::width(shown.trim_end()) <= width, "{shown}");
                assert_eq!(shown.lines().count(), 1);
            }
        }
        let hostile = "a\x1b]0;x\x07\rb\0";
        let entries = [
            tool(hostile, false),
            text(hostile, true),
            Entry::Line { text: hostile.into() },
            Entry::End {
                success: false,
                error: Some(hostile.into()),
                turns: None,
                cost_usd: None,
                text: Some(hostile.into()),
            },
        ];
        let mut log = LogText::new(None);
        for entry in &entries {
            let shown = log.show(entry);
            assert!(shown.contains("a\\x1b]0;x\\x07b\\x00"), "{shown}");
            assert!(!shown.contains(['\x07', '\0', '\r']), "{shown:?}");
        }
    }
}
