//! One run of the scripted agent: follows the directives one by one, tells the speaker, and ends with an exit code.
//!
//! A turn is one answer of the model: each use of a tool is one, and the final answer is one. Without JSON (`@plain`)
//! the lines of the answer are printed when their turn comes, and what would be a failed result goes to standard error.

use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use super::conversation::Conversation;
use super::directive::{Directive, Tool};
use super::options::Options;
use super::speaker::Speaker;
use super::{complain, stdout_failed};

/// The delay before the API is asked again, in milliseconds.
const RETRY_DELAY: u64 = 10;

/// How often the API is asked again, unless `CLAUDE_CODE_MAX_RETRIES` says it.
const MAX_RETRIES: u64 = 10;

/// How often it is looked whether the file of a `@wait` is there.
const POLL: Duration = Duration::from_millis(10);

/// An exit code when the run is over.
type Step = Result<Option<u8>, String>;

/// A run and what it has gathered so far.
#[derive(Debug)]
pub struct Performance<'a> {
    options: &'a Options,
    speaker: Speaker,
    conversation: Conversation,
    cwd: PathBuf,
    prompt_bytes: usize,
    /// What the conversation had cost before this run: a budget is of each run by itself.
    cost_before: f64,
    started: Instant,
    turns: u64,
    answer: Vec<String>,
    denials: Vec<Value>,
}

impl<'a> Performance<'a> {
    /// Before the first directive.
    pub fn new(
        options: &'a Options,
        speaker: Speaker,
        conversation: Conversation,
        cwd: PathBuf,
        prompt_bytes: usize,
    ) -> Self {
        Self {
            options,
            speaker,
            cost_before: conversation.cost_usd(),
            conversation,
            cwd,
            prompt_bytes,
            started: Instant::now(),
            turns: 0,
            answer: Vec::new(),
            denials: Vec::new(),
        }
    }

    /// What the CLI makes of a prompt that starts with `/`: success, and nothing is done.
    pub fn slash_command(&mut self) -> Result<u8, String> {
        self.init()?;
        self.success("scripted agent: the prompt is a slash command, nothing was done")?;
        Ok(0)
    }

    /// Follows the directives to the end of the run, but for those that are done.
    pub fn follow(&mut self, directives: &[Directive], done: usize) -> Result<u8, String> {
        self.init()?;
        for (directive, number) in directives.iter().zip(1..).skip(done) {
            let code = self.step(directive)?;
            // A tool that the last turn was over for was not used, and what was refused will be asked for again.
            let is_open = matches!(
                directive,
                Directive::Tool(_) | Directive::RateLimit(_) | Directive::UsageLimit(..) | Directive::Login(_)
            );
            if code.is_none() || !is_open {
                self.conversation.passed(number)?;
            }
            if let Some(code) = code {
                return Ok(code);
            }
        }
        if self.speaker.is_plain() {
            return Ok(0);
        }
        if let Some(code) = self.turn()? {
            return Ok(code);
        }
        let answer = match self.answer.as_slice() {
            [] => "done".to_owned(),
            lines => lines.join("\n"),
        };
        self.speaker.text(&answer).map_err(stdout_failed)?;
        self.success(&answer)?;
        Ok(0)
    }

    fn init(&self) -> Result<(), String> {
        let said = self.speaker.init(self.options, &self.cwd);
        said.map_err(stdout_failed)
    }

    fn step(&mut self, directive: &Directive) -> Step {
        match directive {
            Directive::Tool(tool) => return self.tool(tool),
            Directive::Sleep(time) => sleep(*time),
            Directive::Wait(path) => {
                while is_missing(path) {
                    sleep(POLL);
                }
            }
            Directive::Say(text) => self.say(text.clone())?,
            Directive::Env(name) => self.say(match std::env::var_os(name) {
                Some(value) => format!("{name}={}", value.to_string_lossy()),
                None => format!("{name} unset"),
            })?,
            Directive::Cwd => self.say(self.cwd.to_string_lossy().into_owned())?,
            Directive::System => self.say(self.options.system_prompt.clone().unwrap_or_default())?,
            Directive::PromptBytes => self.say(self.prompt_bytes.to_string())?,
            Directive::Fail(text) => return self.api_error(text, ("unknown", None)),
            Directive::RateLimit(path) if is_missing(path) => {
                return self.api_error(
                    "API Error: Request rejected (429) · slow down",
                    ("rate_limit", Some(429)),
                );
            }
            Directive::Limited(path) => self.limited(path)?,
            Directive::UsageLimit(path, resets) if is_missing(path) => return self.usage_limit(*resets),
            Directive::Login(path) if is_missing(path) => {
                return self.api_error("Not logged in · Please run /login", ("authentication_failed", None));
            }
            Directive::RateLimit(_) | Directive::UsageLimit(..) | Directive::Login(_) => {}
            Directive::Exit(code) => return Ok(Some(*code)),
            Directive::MaxTurns => return self.max_turns(),
            Directive::Overloaded(times) => return self.overloaded(*times),
            Directive::Output(bytes) => self.speaker.output(*bytes).map_err(stdout_failed)?,
            Directive::Line(bytes) => self.speaker.long_line(*bytes).map_err(stdout_failed)?,
            Directive::Cost(millionths) => self.conversation.add_cost(*millionths)?,
            Directive::Stderr(text) => complain(text),
            Directive::Plain | Directive::IgnoreSigterm => {}
        }
        Ok(None)
    }

    fn say(&mut self, text: String) -> Result<(), String> {
        if self.speaker.is_plain() {
            return self.speaker.plain(&text).map_err(stdout_failed);
        }
        self.answer.push(text);
        Ok(())
    }

    /// Begins a turn, unless `--max-turns` or `--max-budget-usd` is reached.
    fn turn(&mut self) -> Step {
        let spent = self.conversation.cost_usd() - self.cost_before;
        if let Some(max) = self.options.max_budget_usd.filter(|max| spent >= *max) {
            return self.no_budget(max);
        }
        if self.options.max_turns.is_some_and(|max| self.turns >= max) {
            return self.max_turns();
        }
        self.turns += 1;
        self.conversation.add_turn()?;
        Ok(None)
    }

    fn tool(&mut self, tool: &Tool) -> Step {
        if let Some(code) = self.turn()? {
            return Ok(Some(code));
        }
        let id = format!("toolu_{}", Uuid::new_v4().simple());
        let (name, input) = tool.call(&self.cwd);
        let said = self.speaker.tool_use(&id, name, &input);
        said.map_err(stdout_failed)?;
        let outcome = tool.execute();
        if matches!(tool, Tool::Deny(_)) {
            let denial = json!({"tool_name": name, "tool_use_id": id, "tool_input": input});
            self.denials.push(denial);
        }
        let (Ok(content) | Err(content)) = &outcome;
        let said = self.speaker.tool_result(&id, content, outcome.is_err());
        said.map_err(stdout_failed)?;
        Ok(None)
    }

    fn overloaded(&mut self, times: u64) -> Step {
        let max = std::env::var("CLAUDE_CODE_MAX_RETRIES").ok();
        let max = max.and_then(|m| m.parse().ok()).unwrap_or(MAX_RETRIES);
        for attempt in 1..=times.min(max) {
            let said = self.speaker.retry((529, "overloaded"), attempt, max, RETRY_DELAY);
            said.map_err(stdout_failed)?;
            sleep(Duration::from_millis(RETRY_DELAY));
        }
        if times > max {
            return self.api_error("API Error: 529 Overloaded", ("server_error", Some(529)));
        }
        Ok(None)
    }

    /// Asks again until there is such a file.
    fn limited(&self, path: &Path) -> Result<(), String> {
        for attempt in 1.. {
            if !is_missing(path) {
                break;
            }
            let said = self
                .speaker
                .retry((429, "rate_limit"), attempt, MAX_RETRIES, RETRY_DELAY);
            said.map_err(stdout_failed)?;
            sleep(Duration::from_millis(RETRY_DELAY));
        }
        Ok(())
    }

    fn usage_limit(&mut self, resets_at: Option<u64>) -> Step {
        self.speaker.rejected(resets_at).map_err(stdout_failed)?;
        self.api_error("You've hit your limit", ("rate_limit", Some(429)))
    }

    /// The end that the CLI makes when the API gives no answer: the kind of the error, and its status.
    fn api_error(&mut self, text: &str, (kind, status): (&str, Option<u16>)) -> Step {
        if self.speaker.is_plain() {
            complain(text);
        }
        self.speaker.api_error(kind, status, text).map_err(stdout_failed)?;
        let end = json!({
            "subtype": "success",
            "is_error": true,
            "result": text,
            "stop_reason": "stop_sequence",
            "terminal_reason": "api_error",
            "api_error_status": status,
        });
        self.result(end, text).map_err(stdout_failed)?;
        Ok(Some(1))
    }

    /// The end that the CLI makes when `--max-turns` is reached.
    fn max_turns(&mut self) -> Step {
        let max = self.options.max_turns.unwrap_or(self.turns.max(1));
        let text = format!("Error: Reached max turns ({max})");
        if self.speaker.is_plain() {
            complain(&text);
        }
        let end = json!({
            "subtype": "error_max_turns",
            "is_error": true,
            "stop_reason": "tool_use",
            "terminal_reason": "max_turns",
            "errors": [format!("Reached maximum number of turns ({max})")],
        });
        self.result(end, &text).map_err(stdout_failed)?;
        Ok(Some(1))
    }

    /// The end that the CLI makes when `--max-budget-usd` is reached.
    fn no_budget(&mut self, max: f64) -> Step {
        let text = format!("Error: Exceeded USD budget ({max})");
        if self.speaker.is_plain() {
            complain(&text);
        }
        let end = json!({
            "subtype": "error_max_budget_usd",
            "is_error": true,
            "stop_reason": "end_turn",
            "terminal_reason": "budget_exhausted",
            "errors": [format!("Reached maximum budget (${max})")],
        });
        self.result(end, &text).map_err(stdout_failed)?;
        Ok(Some(1))
    }

    fn success(&self, text: &str) -> Result<(), String> {
        let end = json!({
            "subtype": "success",
            "is_error": false,
            "result": text,
            "stop_reason": "end_turn",
            "terminal_reason": "completed",
            "api_error_status": null,
        });
        self.result(end, text).map_err(stdout_failed)
    }

    /// Completes a result event with what every one has, and says it.
    fn result(&self, mut event: Value, text: &str) -> io::Result<()> {
        let duration = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        event["type"] = json!("result");
        event["num_turns"] = json!(self.turns);
        event["total_cost_usd"] = json!(self.conversation.cost_usd());
        event["usage"] = json!({});
        event["permission_denials"] = json!(self.denials);
        event["duration_ms"] = json!(duration);
        self.speaker.result(event, text)
    }
}

fn is_missing(path: &Path) -> bool {
    path.symlink_metadata().is_err()
}
