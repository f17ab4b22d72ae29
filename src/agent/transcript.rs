//! Makes what an agent printed readable: each line of its log becomes no entry, one, or several.
//!
//! Pure: it sees lines, and knows no files. What an entry holds is as the agent wrote it; whoever shows it escapes it.
//! A log holds both streams of the agent, so between the events there are lines of standard error. Until a stream has
//! shown itself every line is taken for plain text. Unknown events pass silently.

use std::collections::VecDeque;

use schemars::JsonSchema;
use serde::Serialize;

use super::event::{self, Block, Init, Kind, Notice, RateLimit, Retry, RunResult, Turn, first_line, parsed, target};
use super::lines::Line;

/// How many lines of an error of a tool are kept.
const ERROR_LINES: usize = 8;
/// How many texts are remembered, so that the result does not repeat one.
const RECENT_TEXTS: usize = 4;
/// How many calls of tools are remembered until their results come.
const OPEN_CALLS: usize = 64;
/// What stands between the events of a stream and is longer than this many bytes is a part of one, not a message.
const LONGEST_MESSAGE: usize = 4 << 10;

/// One thing that an agent did, said or met. In JSON `kind` says which.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    /// A run began.
    Start {
        /// The model.
        model: Option<String>,
        /// The directory it works in.
        directory: Option<String>,
    },
    /// The model said something.
    Text {
        /// As it is: mostly Markdown.
        text: String,
        /// Whether a sub-agent said it.
        sub_agent: bool,
    },
    /// The model called a tool.
    Tool {
        /// Its name.
        tool: String,
        /// What it is used on, in one line: a path below the working directory, a command, ...
        target: Option<String>,
        /// Whether a sub-agent called it.
        sub_agent: bool,
    },
    /// A tool gave an error.
    ToolError {
        /// Its name, when the call was seen.
        tool: Option<String>,
        /// The first lines of what it gave.
        error: String,
        /// Whether a sub-agent had called it.
        sub_agent: bool,
    },
    /// The API gave no answer and is asked again.
    Retry {
        /// What it said, in a word.
        error: String,
        /// The status code of its answer.
        status: Option<u16>,
        /// Which time it is asked again, from 1.
        attempt: Option<u64>,
        /// How often it is asked again at most.
        max_attempts: Option<u64>,
        /// How long the agent waits before that, in milliseconds.
        delay_ms: Option<u64>,
    },
    /// The program itself had something to say.
    Notice {
        /// In a line.
        text: String,
    },
    /// A limit of use is near or reached.
    RateLimit {
        /// Such as `allowed_warning` or `rejected`.
        status: String,
        /// Which limit, such as `five_hour`.
        limit: Option<String>,
        /// When it is over, in Unix seconds.
        resets_at: Option<u64>,
    },
    /// A call that was refused, as the result lists it.
    Denied {
        /// The tool.
        tool: Option<String>,
        /// What it was to be used on, in one line.
        target: Option<String>,
    },
    /// A run ended.
    End {
        /// Whether it reported success.
        success: bool,
        /// What went wrong, when it did not.
        error: Option<String>,
        /// Turns of the model, as the agent counts them.
        turns: Option<u64>,
        /// Cost of the conversation so far, in US dollars.
        cost_usd: Option<f64>,
        /// The answer, unless it was just said.
        text: Option<String>,
    },
    /// A line that is no event: of a plain-text agent, of standard error, or a note of pleach itself.
    Line {
        /// As it is.
        text: String,
    },
    /// A line that is not shown: too long, or a part of an event.
    Unreadable {
        /// How long it is.
        bytes: u64,
    },
}

/// What has to be remembered from one line to the next.
#[derive(Debug, Default)]
pub struct Transcript {
    is_stream: bool,
    start: Option<Init>,
    recent_texts: VecDeque<String>,
    /// Id and tool of the calls whose results have not come.
    open_calls: VecDeque<(String, String)>,
}

impl Transcript {
    /// Reads the next line.
    pub fn line(&mut self, line: Line<'_>) -> Vec<Entry> {
        let line = match line {
            Line::Whole(line) => line,
            Line::TooLong { bytes } => return vec![Entry::Unreadable { bytes }],
        };
        let kind = event::kind(line);
        self.is_stream |= matches!(kind, Some(Kind::Init | Kind::Result));
        match kind {
            // The program may have something to say before its first event.
            Some(Kind::System) => Vec::new(),
            Some(Kind::Retry) => parsed(line).map(retry).into_iter().collect(),
            Some(kind) if self.is_stream => self.event(kind, line),
            _ => self.no_event(line),
        }
    }

    fn event(&mut self, kind: Kind, line: &[u8]) -> Vec<Entry> {
        match kind {
            Kind::Init => self.start(parsed(line).unwrap_or_default()).into_iter().collect(),
            Kind::Notice => parsed(line).map(notice).into_iter().collect(),
            Kind::RateLimit => parsed(line).and_then(rate_limit).into_iter().collect(),
            Kind::Assistant => self.assistant(parsed(line).unwrap_or_default()),
            Kind::User => self.results(parsed(line).unwrap_or_default()),
            Kind::Result => self.end(&RunResult::of(line)),
            Kind::System | Kind::Retry | Kind::Other => Vec::new(),
        }
    }

    fn no_event(&self, line: &[u8]) -> Vec<Entry> {
        if self.is_stream && line.trim_ascii().is_empty() {
            return Vec::new();
        }
        if self.is_stream && (line.trim_ascii_start().starts_with(b"{") || line.len() > LONGEST_MESSAGE) {
            let bytes = line.len() as u64;
            return vec![Entry::Unreadable { bytes }];
        }
        let text = String::from_utf8_lossy(line).into_owned();
        vec![Entry::Line { text }]
    }

    /// A run may begin more than once, when a sub-agent in the background is done: that is no news.
    fn start(&mut self, init: Init) -> Option<Entry> {
        if self.start.as_ref() == Some(&init) {
            return None;
        }
        let start = self.start.insert(init);
        Some(Entry::Start {
            model: start.model.clone(),
            directory: start.cwd.clone(),
        })
    }

    fn assistant(&mut self, turn: Turn) -> Vec<Entry> {
        let sub_agent = turn.parent_tool_use_id.is_some();
        let mut entries = Vec::new();
        for block in turn.message.into_iter().flat_map(|m| m.content.blocks()) {
            if block.is_call() {
                entries.push(self.call(block, sub_agent));
            } else if block.kind == "text" && !block.text.trim().is_empty() {
                if !sub_agent {
                    self.recent_texts.push_front(block.text.clone());
                    self.recent_texts.truncate(RECENT_TEXTS);
                }
                let text = block.text;
                entries.push(Entry::Text { text, sub_agent });
            }
        }
        entries
    }

    fn call(&mut self, block: Block, sub_agent: bool) -> Entry {
        if let Some(id) = block.id {
            if self.open_calls.len() == OPEN_CALLS {
                self.open_calls.pop_front();
            }
            self.open_calls.push_back((id, block.name.clone()));
        }
        let target = target(&block.input).map(|target| self.below_directory(target));
        Entry::Tool {
            tool: block.name,
            target,
            sub_agent,
        }
    }

    /// The results that are errors; what a tool gave else is for the model.
    fn results(&mut self, turn: Turn) -> Vec<Entry> {
        let sub_agent = turn.parent_tool_use_id.is_some();
        let blocks = turn.message.into_iter().flat_map(|m| m.content.blocks());
        let mut entries = Vec::new();
        for block in blocks.filter(|block| block.kind == "tool_result") {
            let call = self
                .open_calls
                .iter()
                .position(|(id, _)| Some(id) == block.tool_use_id.as_ref());
            let tool = call.and_then(|at| self.open_calls.remove(at)).map(|(_, tool)| tool);
            if block.is_error == Some(true) {
                let error = error_of(&block.content.text());
                entries.push(Entry::ToolError { tool, error, sub_agent });
            }
        }
        entries
    }

    fn end(&mut self, result: &RunResult) -> Vec<Entry> {
        let denied = result.denials().map(|(tool, target)| Entry::Denied {
            tool: tool.map(str::to_owned),
            target: target.map(|target| self.below_directory(target)),
        });
        let mut entries: Vec<Entry> = denied.collect();
        let error = result.problem();
        let said = || self.recent_texts.iter().chain(error.as_ref());
        let is_said = |text: &str| said().any(|said| said.trim() == text.trim());
        let text = (result.result.as_ref()).filter(|text| !text.trim().is_empty() && !is_said(text));
        entries.push(Entry::End {
            success: error.is_none(),
            error,
            turns: result.num_turns,
            cost_usd: result.total_cost_usd,
            text: text.cloned(),
        });
        entries
    }

    /// A path in the directory of the agent is shown as it is from there.
    fn below_directory(&self, target: String) -> String {
        let directory = self.start.as_ref().and_then(|start| start.cwd.as_deref());
        let below = directory.and_then(|directory| {
            let path = target.strip_prefix(directory)?.strip_prefix('/')?;
            (!path.is_empty()).then(|| path.to_owned())
        });
        below.unwrap_or(target)
    }
}

fn retry(retry: Retry) -> Entry {
    Entry::Retry {
        error: retry.why().to_owned(),
        status: retry.error_status,
        attempt: retry.attempt,
        max_attempts: retry.max_retries,
        delay_ms: retry.retry_delay_ms.map(whole),
    }
}

fn notice(notice: Notice) -> Entry {
    let text = first_line(&notice.content);
    Entry::Notice { text }
}

/// Only when it is more than "there is enough left".
fn rate_limit(event: RateLimit) -> Option<Entry> {
    let info = event.rate_limit_info;
    let status = info.status.filter(|status| status != "allowed")?;
    Some(Entry::RateLimit {
        status,
        limit: info.kind,
        resets_at: info.resets_at.map(whole),
    })
}

/// The program gives some numbers with fractions.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it saturates, and a number of less than nothing is nothing"
)]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

/// The first lines of what a tool gave, without the mark that the program puts around it for the model.
fn error_of(text: &str) -> String {
    let text = text.trim();
    let inner = text
        .strip_prefix("<tool_use_error>")
        .and_then(|t| t.strip_suffix("</tool_use_error>"));
    let mut lines = inner.unwrap_or(text).lines().filter(|line| !line.trim().is_empty());
    let mut kept: Vec<String> = lines.by_ref().take(ERROR_LINES).map(cut).collect();
    if lines.next().is_some() {
        kept.push("…".into());
    }
    if kept.is_empty() {
        return "an error without a word".into();
    }
    kept.join("\n")
}

/// Like [`first_line`], with the blanks before it.
fn cut(line: &str) -> String {
    let blanks: String = line.chars().take_while(|c| c.is_whitespace()).take(16).collect();
    blanks + &first_line(line)
}

#[cfg(test)]
mod tests;
