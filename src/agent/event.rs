//! The events of stream-json, as Claude Code prints them: one JSON object a line.
//!
//! Only what is used of them has a place here; unknown types and fields are passed over. What an event is shows in its
//! [`Head`], and the rest is read only when somebody wants it: a result of a tool may have megabytes.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use uuid::Uuid;

/// What every event has.
#[derive(Debug, Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    subtype: Option<String>,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The beginning of a run: [`Init`].
    Init,
    /// The API is asked again: [`Retry`].
    Retry,
    /// The program has something to say: [`Notice`].
    Notice,
    /// Another one about the program itself.
    System,
    /// How much may still be used: [`RateLimit`].
    RateLimit,
    /// The model says or does something: [`Turn`].
    Assistant,
    /// What the model is told, such as the result of a tool: [`Turn`].
    User,
    /// The end of a run: [`RunResult`].
    Result,
    /// Not known.
    Other,
}

/// What event this line is; nothing when it is none.
pub(super) fn kind(line: &[u8]) -> Option<Kind> {
    if line.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let head = parsed::<Head>(line)?;
    Some(match (head.kind.as_str(), head.subtype.as_deref()) {
        ("system", Some("init")) => Kind::Init,
        ("system", Some("api_retry")) => Kind::Retry,
        ("system", Some("informational")) => Kind::Notice,
        ("system", _) => Kind::System,
        ("rate_limit_event", _) => Kind::RateLimit,
        ("assistant", _) => Kind::Assistant,
        ("user", _) => Kind::User,
        ("result", _) => Kind::Result,
        _ => Kind::Other,
    })
}

/// The event itself; nothing when it is not as expected.
pub(super) fn parsed<'l, T: Deserialize<'l>>(line: &'l [u8]) -> Option<T> {
    serde_json::from_slice(line).ok()
}

/// How a run begins.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Init {
    #[serde(default)]
    pub model: Option<String>,
    #[serde(default)]
    pub cwd: Option<String>,
    /// The id of the conversation, unless it has another form.
    #[serde(default, deserialize_with = "if_id")]
    pub session_id: Option<Uuid>,
}

fn if_id<'d, D: Deserializer<'d>>(deserializer: D) -> Result<Option<Uuid>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value.as_str().and_then(|id| Uuid::parse_str(id).ok()))
}

/// The API gave no answer and is asked again.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Retry {
    #[serde(default)]
    pub attempt: Option<u64>,
    #[serde(default)]
    pub max_retries: Option<u64>,
    #[serde(default)]
    pub retry_delay_ms: Option<f64>,
    #[serde(default)]
    pub error_status: Option<u16>,
    #[serde(default)]
    error: Option<Value>,
}

impl Retry {
    /// What the API said, in a word.
    pub fn why(&self) -> &str {
        self.error.as_ref().and_then(Value::as_str).unwrap_or("API error")
    }
}

/// What the program has to say, such as that an answer was stopped.
#[derive(Debug, Deserialize)]
pub(super) struct Notice {
    pub content: String,
}

/// How much may still be used.
#[derive(Debug, Default, Deserialize)]
pub(super) struct RateLimit {
    #[serde(default)]
    pub rate_limit_info: RateLimitInfo,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct RateLimitInfo {
    #[serde(default)]
    pub status: Option<String>,
    #[serde(default, rename = "resetsAt")]
    pub resets_at: Option<f64>,
    #[serde(default, rename = "rateLimitType")]
    pub kind: Option<String>,
}

/// A message of the model or to it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Turn {
    #[serde(default)]
    pub message: Option<Message>,
    /// Set in the conversation of a sub-agent: the call that started it.
    #[serde(default)]
    pub parent_tool_use_id: Option<String>,
    /// Whether the program says this in place of an answer that the API has not given.
    #[serde(default)]
    pub is_api_error_message: bool,
    /// The kind of that error, such as `rate_limit`.
    #[serde(default)]
    pub error: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Message {
    #[serde(default)]
    pub id: Option<String>,
    #[serde(default)]
    pub content: Content,
}

/// What is in a message or in the result of a tool.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
pub(super) enum Content {
    Blocks(Vec<Block>),
    Text(String),
    #[default]
    None,
}

impl Content {
    /// Its blocks; one text is one block.
    pub fn blocks(self) -> Vec<Block> {
        match self {
            Self::Blocks(blocks) => blocks,
            Self::Text(text) => vec![Block {
                kind: "text".into(),
                text,
                ..Block::default()
            }],
            Self::None => Vec::new(),
        }
    }

    /// Its texts.
    pub fn text(self) -> String {
        let texts = self.blocks().into_iter().map(|block| block.text);
        texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Block {
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub text: String,
    #[serde(default)]
    pub id: Option<String>,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub input: Value,
    #[serde(default)]
    pub tool_use_id: Option<String>,
    #[serde(default)]
    pub is_error: Option<bool>,
    #[serde(default)]
    pub content: Content,
}

impl Block {
    /// Whether it is the call of a tool, by the program or by the API itself.
    pub fn is_call(&self) -> bool {
        matches!(self.kind.as_str(), "tool_use" | "server_tool_use")
    }
}

/// How a run ended.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct RunResult {
    #[serde(default)]
    subtype: Option<String>,
    #[serde(default)]
    is_error: bool,
    #[serde(default)]
    pub num_turns: Option<u64>,
    #[serde(default)]
    pub result: Option<String>,
    #[serde(default)]
    pub total_cost_usd: Option<f64>,
    /// The status of the answer with which the API refused.
    #[serde(default)]
    pub api_error_status: Option<u16>,
    /// What that was about, such as `usage_limit_reached`.
    #[serde(default)]
    pub api_error: Option<String>,
    /// Why it ended; older versions do not tell.
    #[serde(default)]
    terminal_reason: Option<String>,
    #[serde(default)]
    permission_denials: Option<Vec<Value>>,
    #[serde(default)]
    errors: Option<Vec<Value>>,
}

impl RunResult {
    /// Of a line of that kind. One that cannot be read is no success.
    pub fn of(line: &[u8]) -> Self {
        parsed(line).unwrap_or_default()
    }

    /// Whether the API gave no answer, and what stands in its place was said by the program itself.
    pub fn is_api_error(&self) -> bool {
        let by_that = self
            .terminal_reason
            .as_deref()
            .is_none_or(|reason| reason == "api_error");
        self.is_error && self.subtype.as_deref() == Some("success") && by_that
    }

    /// What went wrong, if something did. An API error is `success` with `is_error`: neither says it alone.
    pub fn problem(&self) -> Option<String> {
        if !self.is_error && self.subtype.as_deref() == Some("success") {
            return None;
        }
        let texts = self.errors.iter().flatten().filter_map(Value::as_str);
        let mut said = self.result.as_deref().into_iter().chain(texts);
        let said = said.find(|t| !t.trim().is_empty());
        Some(match (self.subtype.as_deref().unwrap_or_default(), said) {
            ("success" | "", Some(text)) => text.to_owned(),
            ("success" | "", None) => "the agent reported an error without a word".into(),
            (subtype, Some(text)) => format!("{subtype}: {text}"),
            (subtype, None) => subtype.to_owned(),
        })
    }

    /// The calls that were refused: the tool, if it is named, and what it was to be used on.
    pub fn denials(&self) -> impl Iterator<Item = (Option<&str>, Option<String>)> {
        let denials = self.permission_denials.iter().flatten();
        denials.map(|denial| {
            let name = denial.get("tool_name").and_then(Value::as_str);
            (name, denial.get("tool_input").and_then(target))
        })
    }
}

/// What a tool is used on, in one line.
pub(super) fn target(input: &Value) -> Option<String> {
    const TARGETS: [&str; 9] = [
        "file_path",
        "command",
        "pattern",
        "path",
        "notebook_path",
        "url",
        "query",
        "description",
        "skill",
    ];
    let input: &Map<String, Value> = input.as_object()?;
    let target = TARGETS.iter().find_map(|key| input.get(*key)?.as_str())?;
    Some(first_line(target))
}

/// The first line that says something, at most 200 characters of it.
pub fn first_line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or_default();
    match line.char_indices().nth(200) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line.to_owned(),
    }
}
