//! What the scripted agent prints on standard output, as the Claude Code CLI prints it.
//!
//! One speaker knows the output format; the caller tells it everything that happens, and it prints what the format
//! shows of that. Every line is flushed, so that a reader sees it when it happened.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};
use uuid::Uuid;

use super::options::Options;

/// The longest line of [`Speaker::output`], its line break included.
const LONGEST_LINE: u64 = 60_000;

/// A line of [`Speaker::output`] as plain text.
const PLAIN_LINE: u64 = 1024;

/// How the agent prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// No JSON and nothing by itself.
    Plain,
    /// The final text.
    Text,
    /// The result object.
    Json,
    /// An event per line.
    Stream,
}

/// Prints the events of one run.
#[derive(Debug)]
pub struct Speaker {
    voice: Voice,
    session_id: Uuid,
}

impl Speaker {
    /// Prints in this voice, about this conversation.
    pub fn new(voice: Voice, session_id: Uuid) -> Self {
        Self { voice, session_id }
    }

    /// Whether there is no JSON and no result.
    pub fn is_plain(&self) -> bool {
        self.voice == Voice::Plain
    }

    /// The event at the start of a run.
    pub fn init(&self, options: &Options, cwd: &Path) -> io::Result<()> {
        let mode = match &options.permission_mode {
            _ if options.skip_permissions => "bypassPermissions",
            Some(mode) => mode,
            None => "default",
        };
        self.event(json!({
            "type": "system",
            "subtype": "init",
            "cwd": cwd.to_string_lossy(),
            "tools": ["Bash", "Edit", "Write"],
            "mcp_servers": [],
            "model": options.model.as_deref().unwrap_or("scripted"),
            "permissionMode": mode,
            "claude_code_version": "scripted",
        }))
    }

    /// A text of the model.
    pub fn text(&self, text: &str) -> io::Result<()> {
        self.event(assistant(&json!({"type": "text", "text": text})))
    }

    /// The call of a tool.
    pub fn tool_use(&self, id: &str, name: &str, input: &Value) -> io::Result<()> {
        self.event(assistant(
            &json!({"type": "tool_use", "id": id, "name": name, "input": input}),
        ))
    }

    /// What a tool gave.
    pub fn tool_result(&self, id: &str, content: &str, is_error: bool) -> io::Result<()> {
        let block = json!({
            "type": "tool_result",
            "tool_use_id": id,
            "content": content,
            "is_error": is_error,
        });
        self.event(json!({
            "type": "user",
            "message": {"role": "user", "content": [block]},
            "parent_tool_use_id": null,
        }))
    }

    /// A text of the program in place of an answer that the API has not given: the kind of the error, its status, the text.
    pub fn api_error(&self, kind: &str, status: Option<u16>, text: &str) -> io::Result<()> {
        let mut event = assistant(&json!({"type": "text", "text": text}));
        event["error"] = json!(kind);
        event["is_api_error_message"] = json!(true);
        event["api_error_status"] = json!(status);
        self.event(event)
    }

    /// How much may still be used: no more, until this time in Unix seconds.
    pub fn rejected(&self, resets_at: Option<u64>) -> io::Result<()> {
        self.event(json!({
            "type": "rate_limit_event",
            "rate_limit_info": {"status": "rejected", "resetsAt": resets_at, "rateLimitType": "five_hour"},
        }))
    }

    /// The API gives no answer, for this reason, and is asked again.
    pub fn retry(&self, (status, error): (u16, &str), attempt: u64, max_retries: u64, delay_ms: u64) -> io::Result<()> {
        self.event(json!({
            "type": "system",
            "subtype": "api_retry",
            "attempt": attempt,
            "max_retries": max_retries,
            "retry_delay_ms": delay_ms,
            "error_status": status,
            "error": error,
        }))
    }

    /// The end of a run. `text` is what the format `text` shows of it.
    pub fn result(&self, event: Value, text: &str) -> io::Result<()> {
        match self.voice {
            Voice::Plain => Ok(()),
            Voice::Text => line(text),
            Voice::Json => line(&self.signed(event).to_string()),
            Voice::Stream => self.event(event),
        }
    }

    /// About so many bytes of text of the model: exactly, unless they are fewer than an event has without any text.
    pub fn output(&self, bytes: u64) -> io::Result<()> {
        let filler = "x".repeat(usize::try_from(LONGEST_LINE).unwrap_or(usize::MAX));
        let (longest, frame) = match self.voice {
            Voice::Plain => (PLAIN_LINE, 1),
            Voice::Stream => (LONGEST_LINE, self.frame()),
            Voice::Text | Voice::Json => return Ok(()),
        };
        for length in line_lengths(bytes, longest, frame) {
            let text = usize::try_from(length - frame).unwrap_or(usize::MAX);
            match self.voice {
                Voice::Plain => line(&filler[..text])?,
                _ => self.text(&filler[..text])?,
            }
        }
        Ok(())
    }

    /// One line of exactly so many bytes, whatever the format.
    pub fn long_line(&self, bytes: u64) -> io::Result<()> {
        let mut out = io::stdout().lock();
        io::copy(&mut io::Read::take(io::repeat(b'x'), bytes), &mut out)?;
        out.write_all(b"\n")?;
        out.flush()
    }

    /// A line as it is: only where there is no JSON.
    pub fn plain(&self, text: &str) -> io::Result<()> {
        line(text)
    }

    /// The bytes of an event of the model without any text in it, with the line break.
    fn frame(&self) -> u64 {
        let event = self.signed(assistant(&json!({"type": "text", "text": ""})));
        event.to_string().len() as u64 + 1
    }

    fn event(&self, event: Value) -> io::Result<()> {
        if self.voice != Voice::Stream {
            return Ok(());
        }
        line(&self.signed(event).to_string())
    }

    fn signed(&self, mut event: Value) -> Value {
        event["session_id"] = json!(self.session_id);
        event["uuid"] = json!(Uuid::new_v4());
        event
    }
}

fn assistant(block: &Value) -> Value {
    json!({
        "type": "assistant",
        "message": {
            "id": format!("msg_{}", Uuid::new_v4().simple()),
            "type": "message",
            "role": "assistant",
            "model": "scripted",
            "content": [block],
            "stop_reason": null,
            "usage": {},
        },
        "parent_tool_use_id": null,
    })
}

fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Splits `bytes` into lines of at most `longest` and at least `shortest` bytes each. What is too short for a line of
/// its own is left out, or made a line of `shortest` when there is no other.
fn line_lengths(bytes: u64, longest: u64, shortest: u64) -> impl Iterator<Item = u64> {
    let mut left = if bytes == 0 { 0 } else { bytes.max(shortest) };
    std::iter::from_fn(move || {
        let length = match left {
            _ if left < shortest || left == 0 => return None,
            _ if left <= longest => left,
            // The rest has to be long enough for a line.
            _ => longest.min(left - shortest),
        };
        left -= length;
        Some(length)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_add_up() {
        let lengths = |bytes| line_lengths(bytes, 100, 30).collect::<Vec<_>>();
        assert!(lengths(0).is_empty());
        assert_eq!(lengths(1), [30]);
        assert_eq!(lengths(100), [100]);
        assert_eq!(lengths(110), [80, 30]);
        assert_eq!(lengths(250), [100, 100, 50]);
        for bytes in 30..1000 {
            let lengths = lengths(bytes);
            assert_eq!(lengths.iter().sum::<u64>(), bytes);
            assert!(lengths.iter().all(|l| (30..=100).contains(l)), "{bytes}");
        }
    }

    #[test]
    fn every_event_has_the_same_frame() {
        let speaker = Speaker::new(Voice::Stream, Uuid::new_v4());
        assert_eq!(speaker.frame(), speaker.frame());
        assert!(speaker.frame() < 1000);
    }
}
