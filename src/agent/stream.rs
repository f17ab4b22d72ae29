//! Reads what an agent prints: Claude Code's stream-json, a line at a time, or plain text.
//!
//! Which of the two it is shows in the output: a line that is an object of type `system`/`init` or `result` makes it
//! a stream.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::event::{self, Block, Init, Kind, RateLimit, Retry, RunResult, Turn, first_line, parsed, target};
use super::refusal::{Refusal, Service};
use crate::task::UsageLimit;

/// So many of the tools that were refused are remembered: more than there are, unless their names are made up.
const MOST_DENIED: usize = 100;

/// What the stream has told so far.
#[derive(Debug, Default)]
pub struct StreamReader {
    is_stream: bool,
    /// Whether something else came before the stream.
    is_after_text: bool,
    messages: u64,
    last_message: Option<String>,
    text: String,
    activity: Option<String>,
    result: Option<RunResult>,
    turns_told: Option<u64>,
    denied: BTreeSet<Option<String>>,
    service: Service,
    /// The last that it said it is in.
    conversation: Option<Uuid>,
}

impl StreamReader {
    /// Takes in one line of standard output.
    pub fn line(&mut self, line: &[u8]) {
        let start = line.trim_ascii_start().first();
        self.is_after_text |= !self.is_stream && start.is_some_and(|&byte| byte != b'{');
        match event::kind(line) {
            Some(Kind::Init) => {
                self.is_stream = true;
                self.conversation = parsed::<Init>(line)
                    .and_then(|init| init.session_id)
                    .or(self.conversation);
            }
            Some(Kind::Retry) => {
                let Some(retry) = parsed::<Retry>(line) else { return };
                self.service.asked_again(&retry);
                let of = |n: Option<u64>| n.map_or("?".to_owned(), |n| n.to_string());
                let (attempt, most) = (of(retry.attempt), of(retry.max_retries));
                self.activity = Some(format!("{}: retry {attempt} of {most}", first_line(retry.why())));
            }
            Some(Kind::RateLimit) => {
                if let Some(limit) = parsed::<RateLimit>(line) {
                    self.service.told(limit.rate_limit_info);
                }
            }
            Some(Kind::Assistant) => {
                if let Some(turn) = parsed::<Turn>(line) {
                    self.assistant(turn);
                }
            }
            Some(Kind::Result) => {
                self.is_stream = true;
                self.activity = None;
                self.service.ended();
                self.ended(RunResult::of(line));
            }
            _ => {}
        }
    }

    /// A run may have several results: the model goes on when a sub-agent in the background is done. The last one
    /// decides; what was spent so far is in it, but turns and denials are of each by itself (measured). One that cannot
    /// be read takes the place of an earlier one all the same.
    fn ended(&mut self, result: RunResult) {
        if let Some(turns) = result.num_turns {
            self.turns_told = Some(self.turns_told.unwrap_or_default().saturating_add(turns));
        }
        // The names are the agent's: neither how many there are nor how long they are is known.
        let denied = result.denials().map(|(tool, _)| tool.map(first_line));
        self.denied
            .extend(denied.take(MOST_DENIED.saturating_sub(self.denied.len())));
        self.result = Some(result);
    }

    fn assistant(&mut self, turn: Turn) {
        self.service.said(&turn);
        let Some(message) = turn.message else { return };
        // What a sub-agent says is neither a turn of this conversation nor its answer.
        let own = turn.parent_tool_use_id.is_none();
        if own {
            // Several events carry the blocks of one message: they are one turn.
            if message.id.is_none() || message.id != self.last_message {
                self.messages += 1;
            }
            self.last_message = message.id;
        }
        for block in message.content.blocks() {
            if block.is_call() {
                self.activity = Some(describe(&block));
            } else if block.kind == "text" && !block.text.trim().is_empty() {
                self.activity = Some(first_line(&block.text));
                if own {
                    self.text = block.text;
                }
            }
        }
    }

    /// Whether the output is stream-json. Until it shows, it may be plain text.
    pub fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Whether the stream is the program's own, and not a piece of a file that it has printed: nothing else came before
    /// it, or it tells of the conversation, which nobody can know who was not told.
    pub fn is_own(&self, conversation: Option<Uuid>) -> bool {
        !self.is_after_text || conversation.is_some_and(|id| self.has_begun(id))
    }

    /// Whether a run has begun in this conversation.
    pub fn has_begun(&self, conversation: Uuid) -> bool {
        self.conversation == Some(conversation)
    }

    /// Whether no run has begun at all.
    pub(super) fn has_begun_none(&self) -> bool {
        self.conversation.is_none() && self.messages == 0
    }

    /// What the agent does now.
    pub fn activity(&self) -> Option<&str> {
        self.activity.as_deref()
    }

    /// Turns so far: as the agent counts them once it has told, before that the messages seen.
    pub fn turns(&self) -> Option<u64> {
        self.turns_told.or((self.messages > 0).then_some(self.messages))
    }

    /// Cost of the conversation so far, in US dollars, once the agent has told.
    pub fn cost_usd(&self) -> Option<f64> {
        self.result.as_ref().and_then(|r| r.total_cost_usd)
    }

    /// The answer: the result's text, or the last that was said when there is no result.
    pub fn answer(&self) -> &str {
        match self.result.as_ref().and_then(|r| r.result.as_deref()) {
            Some(text) => text,
            None => &self.text,
        }
    }

    /// The limit that the service refuses it for now, while it tries again by itself.
    pub fn limited(&self) -> Option<UsageLimit> {
        self.service.limited()
    }

    /// Whether the last run ended because the service refused it; `now_ms` in Unix milliseconds.
    pub(super) fn refusal(&self, now_ms: u64) -> Option<Refusal> {
        self.service.refusal(self.result.as_ref()?, now_ms)
    }

    /// The tools that were refused; none is one without a name.
    pub(super) fn denied(&self) -> &BTreeSet<Option<String>> {
        &self.denied
    }

    /// How the last run ended, once the agent has told.
    pub(super) fn result(&self) -> Option<&RunResult> {
        self.result.as_ref()
    }
}

fn describe(call: &Block) -> String {
    match target(&call.input) {
        Some(target) => format!("{} {target}", first_line(&call.name)),
        None => first_line(&call.name),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use crate::agent::fixture::{INIT, OK, read};

    #[test]
    fn the_stream_tells_activity_turns_cost_and_answer() {
        let tool = r#"{"type":"assistant","message":{"id":"m1","content":[{"type":"tool_use","name":"Write","input":{"file_path":"a.txt"}}]}}"#;
        let text = r#"{"type":"assistant","message":{"id":"m2","content":[{"type":"text","text":"done\nmore"}]}}"#;
        let retry = r#"{"type":"system","subtype":"api_retry","attempt":1,"max_retries":10,"error":"overloaded"}"#;
        let reader = read(&[INIT, tool, tool]);
        assert_eq!((reader.turns(), reader.activity()), (Some(1), Some("Write a.txt")));
        let reader = read(&[INIT, tool, text]);
        assert_eq!((reader.turns(), reader.activity()), (Some(2), Some("done")));
        assert_eq!(reader.answer(), "done\nmore");
        assert_eq!(read(&[INIT, retry]).activity(), Some("overloaded: retry 1 of 10"));
        let reader = read(&[INIT, tool, text, OK]);
        assert_eq!(
            (reader.turns(), reader.cost_usd(), reader.answer()),
            (Some(3), Some(0.5), "all done")
        );
    }

    #[test]
    fn turns_of_all_results_are_counted_and_the_cost_of_the_last_one() {
        let result = |turns: &str, cost: f64| {
            format!(r#"{{"type":"result","subtype":"success","num_turns":{turns},"total_cost_usd":{cost}}}"#)
        };
        let (first, none, last) = (result("3", 0.5), result("null", 0.5), result("1", 0.6));
        let reader = read(&[INIT, &first, &none, INIT, &last]);
        assert_eq!((reader.turns(), reader.cost_usd()), (Some(4), Some(0.6)));
    }

    #[test]
    fn a_sub_agent_is_no_turn_and_gives_no_answer() {
        let own = r#"{"type":"assistant","message":{"id":"m1","content":[{"type":"text","text":"mine"}]}}"#;
        let sub = r#"{"type":"assistant","parent_tool_use_id":"t1","message":{"id":"m2","content":[{"type":"text","text":"its"}]}}"#;
        let reader = read(&[INIT, own, sub]);
        assert_eq!(
            (reader.turns(), reader.answer(), reader.activity()),
            (Some(1), "mine", Some("its"))
        );
    }

    #[test]
    fn names_that_an_agent_makes_up_take_no_room() {
        let long = "x".repeat(10_000);
        let call = format!(r#"{{"type":"assistant","message":{{"content":[{{"type":"tool_use","name":"{long}"}}]}}}}"#);
        let retry = format!(r#"{{"type":"system","subtype":"api_retry","error":"{long}"}}"#);
        for line in [call, retry] {
            let reader = read(&[INIT, &line]);
            assert!(reader.activity().is_some_and(|activity| activity.len() < 250));
        }
        let mut reader = read(&[INIT]);
        for n in 0..1000 {
            let denials = format!(r#"[{{"tool_name":"{n}"}},{{"tool_name":"{n}{long}"}}]"#);
            let result = format!(r#"{{"type":"result","subtype":"success","permission_denials":{denials}}}"#);
            reader.line(result.as_bytes());
        }
        let denied: usize = reader.denied().iter().flatten().map(String::len).sum();
        assert!((1..25_000).contains(&denied), "{denied}");
    }

    #[test]
    fn a_stream_after_other_text_is_own_only_if_it_knows_the_conversation() {
        let id = Uuid::from_u128(7);
        let init = format!(r#"{{"type":"system","subtype":"init","session_id":"{id}"}}"#);
        for (lines, own) in [
            (&[][..], true),
            (&["", INIT, OK, "the end"], true),
            (&[r#"{"type":"system","subtype":"hook_started"}"#, INIT, OK], true),
            (&["I look at a file:", INIT, OK], false),
            (&["  words", &init, OK], true),
            (
                &[
                    "words",
                    &init,
                    INIT.replace(
                        "init\"",
                        "init\",\"session_id\":\"00000000-0000-0000-0000-000000000008\"",
                    )
                    .as_str(),
                    OK,
                ],
                false,
            ),
        ] {
            assert_eq!(read(lines).is_own(Some(id)), own, "{lines:?}");
        }
        assert!(!read(&["words", &init]).is_own(None));
    }

    #[test]
    fn odd_lines_are_passed_over() {
        let odd = [
            "",
            "{",
            "null",
            "[]",
            "{\"type\":3}",
            "{\"type\":\"assistant\",\"message\":{\"content\":\"text\"}}",
        ];
        let reader = read(&odd);
        assert!(!reader.is_stream());
        assert_eq!(reader.answer(), "text");
    }
}
