//! A stub of the Anthropic Messages API on loopback, which the real Claude Code CLI takes for the
//! model.
//!
//! What it answers is written in the prompt: a line that starts with `STUB ` is a directive, and
//! they are obeyed in order. `write PATH <<<content>>>` (`\n` is a newline), `bash COMMAND` and
//! `tool NAME JSON` are tool calls; `fail CODE TIMES` refuses the next answer that often, `limit SECONDS TIMES` does so
//! because the usage limit is reached, which resets after so long; `usage IN OUT` holds from
//! there on; `say TEXT` and `stop REASON` are the last answer. The last user message with
//! directives counts. How far the conversation has come is read from the conversation itself: the
//! stub remembers nothing but the countdown of `fail`, which belongs to the prompt, whatever
//! conversation it is sent in.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri, header::CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use uuid::Uuid;

/// How long a wait for a request may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running stub on a port of its own; it stops when dropped.
pub struct ClaudeStub {
    address: SocketAddr,
    shared: Arc<Shared>,
    _stop: oneshot::Sender<()>,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Seen>,
    arrived: Condvar,
}

#[derive(Default)]
struct Seen {
    requests: usize,
    refused: HashMap<Refusal, u32>,
}

/// Which `fail` is counted: the directives of the prompt, the turn, the place before that turn.
type Refusal = (Vec<String>, usize, usize);

/// Status and message of an answer that is an error.
type ApiError = (u16, String);

/// What is refused before a turn: the status, and how often. With a number of seconds it is the usage limit, which resets
/// after them.
#[derive(Clone, Copy)]
struct Refused {
    code: u16,
    times: u32,
    resets_after: Option<u64>,
}

impl ClaudeStub {
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind loopback");
        listener.set_nonblocking(true).expect("listen unblocked");
        let address = listener.local_addr().expect("own address");
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = oneshot::channel();
        let app = Router::new()
            .route("/v1/messages", post(messages))
            .fallback(async |uri: Uri| error_reply((404, format!("the stub has no {uri}"))))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shared));
        std::thread::spawn(move || serve(listener, app, stopped));
        Self {
            address,
            shared,
            _stop: stop,
        }
    }

    /// What `ANTHROPIC_BASE_URL` must say.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often an agent asked for a turn of the model, those refused included. Requests without
    /// tools (titles and the like) do not count.
    pub fn requests(&self) -> usize {
        self.shared.seen().requests
    }

    /// Returns once `n` requests have arrived. The request after a tool call brings its result.
    pub fn wait_for_requests(&self, n: usize) {
        let (seen, waited) = self
            .shared
            .arrived
            .wait_timeout_while(self.shared.seen(), PATIENCE, |seen| seen.requests < n)
            .unwrap_or_else(PoisonError::into_inner);
        let arrived = seen.requests;
        assert!(!waited.timed_out(), "{arrived} of {n} requests in {PATIENCE:?}");
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this refusal still holds; that uses it up once.
    fn refuses(&self, refusal: Refusal, times: u32) -> bool {
        let mut seen = self.seen();
        let refused = seen.refused.entry(refusal).or_default();
        *refused = refused.saturating_add(1);
        *refused <= times
    }
}

/// Serves until the other end of `stopped` is dropped; open connections go with the runtime.
fn serve(listener: TcpListener, app: Router, stopped: oneshot::Receiver<()>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime").block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        tokio::select! {
            served = axum::serve(listener, app) => served.expect("serve the stub"),
            _ = stopped => {}
        }
    });
}

async fn messages(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let request: Value = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => return error_reply((400, format!("the stub cannot read this: {error}"))),
    };
    match answer(&shared, &request) {
        Err((error, Some(seconds))) => usage_limit(error, seconds),
        Err((error, None)) => error_reply(error),
        Ok(turn) if request["stream"] == true => {
            let events = event_stream(&turn.message(&request["model"]));
            ([(CONTENT_TYPE, "text/event-stream")], events).into_response()
        }
        Ok(turn) => reply(StatusCode::OK, &turn.message(&request["model"])),
    }
}

/// What the API says of an account whose limit for five hours is reached.
fn usage_limit(error: ApiError, seconds: u64) -> Response {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    let resets = (now.as_secs() + seconds).to_string();
    let mut response = error_reply(error);
    for (name, value) in [
        ("anthropic-ratelimit-unified-status", "rejected"),
        ("anthropic-ratelimit-unified-reset", &resets),
        ("anthropic-ratelimit-unified-representative-claim", "five_hour"),
        ("retry-after", &seconds.to_string()),
    ] {
        let value = HeaderValue::from_str(value).expect("a header");
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
    response
}

/// The turn that the conversation has come to, or the refusal that is due before it.
fn answer(shared: &Shared, request: &Value) -> Result<Turn, (ApiError, Option<u64>)> {
    if request["tools"].as_array().is_none_or(Vec::is_empty) {
        return Ok(Turn::text("ok"));
    }
    shared.seen().requests += 1;
    shared.arrived.notify_all();
    let (directives, done) = directives(&request["messages"]);
    if directives.is_empty() {
        return Ok(Turn::text("stub: the prompt has no directive"));
    }
    let mut turns = plan(&directives, request).map_err(|message| ((400, message), None))?;
    let at = done.min(turns.len() - 1);
    let turn = turns.swap_remove(at);
    for (place, refused) in turn.refusals.iter().enumerate() {
        if shared.refuses((directives.clone(), at, place), refused.times) {
            let error = (refused.code, format!("stub: refused with {}", refused.code));
            return Err((error, refused.resets_after));
        }
    }
    Ok(turn)
}

/// The directives of the last user message that has any, and how many turns of the model follow it.
fn directives(messages: &Value) -> (Vec<String>, usize) {
    let mut turns = 0;
    for message in messages.as_array().into_iter().flatten().rev() {
        turns += usize::from(message["role"] == "assistant");
        let directives: Vec<String> = texts(&message["content"])
            .flat_map(str::lines)
            .filter_map(|line| Some(line.trim().strip_prefix("STUB ")?.trim().to_owned()))
            .collect();
        if message["role"] == "user" && !directives.is_empty() {
            return (directives, turns);
        }
    }
    (Vec::new(), 0)
}

/// The texts of a content, which is one string or an array of blocks.
fn texts(content: &Value) -> impl Iterator<Item = &str> {
    let blocks = content.as_array().into_iter().flatten();
    content
        .as_str()
        .into_iter()
        .chain(blocks.filter_map(|block| block["text"].as_str()))
}

/// One answer of the model, and what is refused before it is given.
struct Turn {
    refusals: Vec<Refused>,
    content: Value,
    stop_reason: String,
    usage: (u64, u64),
}

impl Turn {
    fn text(text: &str) -> Self {
        let content = json!({ "type": "text", "text": text });
        Self {
            refusals: Vec::new(),
            content,
            stop_reason: "end_turn".into(),
            usage: (1200, 50),
        }
    }

    /// The tool call before this turn, which takes the refusals collected so far.
    fn call_before(&mut self, name: &str, input: &Value) -> Self {
        let id = unique("toolu");
        Self {
            refusals: std::mem::take(&mut self.refusals),
            content: json!({ "type": "tool_use", "id": id, "name": name, "input": input }),
            stop_reason: "tool_use".into(),
            usage: self.usage,
        }
    }

    fn message(&self, model: &Value) -> Value {
        let (input, output) = self.usage;
        json!({
            "id": unique("msg"), "type": "message", "role": "assistant", "model": model,
            "content": [self.content], "stop_reason": self.stop_reason, "stop_sequence": null,
            "usage": { "input_tokens": input, "output_tokens": output },
        })
    }
}

/// The turns that the directives ask for: one for each tool call, then the final text.
fn plan(directives: &[String], request: &Value) -> Result<Vec<Turn>, String> {
    let mut turns = Vec::new();
    let mut last = Turn::text("done");
    for directive in directives {
        let malformed = || format!("stub: malformed directive: {directive}");
        let (verb, rest) = directive.split_once(' ').ok_or_else(malformed)?;
        match verb {
            "write" => {
                let (path, content) = path_and_content(rest).ok_or_else(malformed)?;
                let directory = working_directory(request).ok_or("stub: working directory unknown")?;
                let path = Path::new(directory).join(path);
                let input = json!({ "file_path": path, "content": content });
                turns.push(last.call_before("Write", &input));
            }
            "bash" => {
                let input = json!({ "command": rest, "description": "as scripted" });
                turns.push(last.call_before("Bash", &input));
            }
            "tool" => {
                let (name, input) = rest.split_once(' ').ok_or_else(malformed)?;
                let input: Value = serde_json::from_str(input).map_err(|_| malformed())?;
                turns.push(last.call_before(name, &input));
            }
            "fail" => {
                let refusal = two_numbers(rest).filter(|(code, _)| (400..600).contains(code));
                let (code, times) = refusal.ok_or_else(malformed)?;
                last.refusals.push(Refused {
                    code,
                    times,
                    resets_after: None,
                });
            }
            "limit" => {
                let (seconds, times) = two_numbers(rest).ok_or_else(malformed)?;
                last.refusals.push(Refused {
                    code: 429,
                    times,
                    resets_after: Some(seconds),
                });
            }
            "usage" => last.usage = two_numbers(rest).ok_or_else(malformed)?,
            "say" => last.content["text"] = rest.into(),
            "stop" => last.stop_reason = rest.into(),
            _ => return Err(malformed()),
        }
    }
    turns.push(last);
    Ok(turns)
}

fn two_numbers<A: FromStr, B: FromStr>(text: &str) -> Option<(A, B)> {
    let (first, second) = text.split_once(' ')?;
    Some((first.parse().ok()?, second.trim().parse().ok()?))
}

fn path_and_content(rest: &str) -> Option<(&str, String)> {
    let (path, content) = rest.strip_suffix(">>>")?.split_once("<<<")?;
    Some((path.trim(), content.replace("\\n", "\n")))
}

/// Where the CLI says it works; its Write tool takes absolute paths only.
fn working_directory(request: &Value) -> Option<&str> {
    let messages = request["messages"].as_array().into_iter().flatten();
    let (_, directory) = texts(&request["system"])
        .chain(messages.flat_map(|message| texts(&message["content"])))
        .flat_map(str::lines)
        .find_map(|line| line.split_once("orking directory: "))?;
    Some(directory.trim())
}

fn unique(prefix: &str) -> String {
    format!("{prefix}_{}", Uuid::new_v4().simple())
}

/// The message as the server-sent events of a streamed answer.
fn event_stream(message: &Value) -> String {
    let (mut block, mut start) = (message["content"][0].clone(), message.clone());
    let delta = if block["type"] == "text" {
        let text = std::mem::replace(&mut block["text"], "".into());
        json!({ "type": "text_delta", "text": text })
    } else {
        let input = std::mem::replace(&mut block["input"], json!({}));
        json!({ "type": "input_json_delta", "partial_json": input.to_string() })
    };
    start["content"] = json!([]);
    let end = json!({ "stop_reason": start["stop_reason"].take(), "stop_sequence": null });
    let usage = json!({ "output_tokens": message["usage"]["output_tokens"] });
    let events = [
        ("message_start", json!({ "message": start })),
        ("content_block_start", json!({ "index": 0, "content_block": block })),
        ("content_block_delta", json!({ "index": 0, "delta": delta })),
        ("content_block_stop", json!({ "index": 0 })),
        ("message_delta", json!({ "delta": end, "usage": usage })),
        ("message_stop", json!({})),
    ];
    let line = |(name, mut event): (&str, Value)| {
        event["type"] = name.into();
        format!("event: {name}\ndata: {event}\n\n")
    };
    events.map(line).concat()
}

fn error_reply((code, message): ApiError) -> Response {
    let kind = match code {
        400 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let error = json!({ "type": kind, "message": message });
    reply(status, &json!({ "type": "error", "error": error }))
}

fn reply(status: StatusCode, body: &Value) -> Response {
    let head = [(CONTENT_TYPE, "application/json")];
    (status, head, body.to_string()).into_response()
}
