//! Lines, and the entries that become of them.

use super::*;
use serde_json::{Value, json};

const INIT: &str = r#"{"type":"system","subtype":"init","model":"m","cwd":"/w"}"#;

/// The entries as JSON, without the kinds of `Start`.
fn read(lines: &[&str]) -> Value {
    let mut transcript = Transcript::default();
    let mut entries = Vec::new();
    for line in lines {
        entries.extend(transcript.line(Line::Whole(line.as_bytes())));
    }
    entries.retain(|entry| !matches!(entry, Entry::Start { .. }));
    serde_json::to_value(entries).unwrap()
}

fn assistant(id: &str, block: &Value) -> String {
    json!({"type": "assistant", "message": {"id": id, "content": [block]}}).to_string()
}

#[test]
fn calls_errors_and_texts() {
    let call = |id: &str, name: &str, input: &Value| {
        assistant(id, &json!({"type": "tool_use", "id": id, "name": name, "input": input}))
    };
    let read_file = call("t1", "Read", &json!({"file_path": "/w/src/a.rs"}));
    let bash = call("t2", "Bash", &json!({"command": "\n make\nls", "description": "x"}));
    let odd = call("t3", "Odd", &json!(3));
    let results = json!({"type": "user", "message": {"content": [
        {"type": "tool_result", "tool_use_id": "t2", "is_error": true, "content": "Exit code 2\n\n  no rule\n3\n4\n5\n6\n7\n8\n9"},
        {"type": "tool_result", "tool_use_id": "t1", "content": "the file"},
        {"type": "tool_result", "tool_use_id": "?", "is_error": true,
         "content": [{"type": "text", "text": "<tool_use_error>no such tool</tool_use_error>"}, {"type": "image"}]},
    ]}});
    let text = assistant("m", &json!({"type": "text", "text": "**done**\nwell"}));
    let thought = assistant("m", &json!({"type": "thinking", "thinking": "hm"}));
    assert_eq!(
        read(&[INIT, &read_file, &bash, &odd, &results.to_string(), &thought, &text]),
        json!([
            {"kind": "tool", "tool": "Read", "target": "src/a.rs", "sub_agent": false},
            {"kind": "tool", "tool": "Bash", "target": "make", "sub_agent": false},
            {"kind": "tool", "tool": "Odd", "target": null, "sub_agent": false},
            {"kind": "tool_error", "tool": "Bash", "sub_agent": false,
             "error": "Exit code 2\n  no rule\n3\n4\n5\n6\n7\n8\n…"},
            {"kind": "tool_error", "tool": null, "error": "no such tool", "sub_agent": false},
            {"kind": "text", "text": "**done**\nwell", "sub_agent": false},
        ])
    );
}

#[test]
fn an_end_repeats_nothing_and_says_what_went_wrong() {
    let said = assistant("m", &json!({"type": "text", "text": "done\n"}));
    let end = |more: Value| {
        let mut event = json!({"type": "result", "subtype": "success", "num_turns": 2, "total_cost_usd": 0.5});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event.to_string()
    };
    let ended = |success: bool, error: Value, text: Value| json!({"kind": "end", "success": success, "error": error, "turns": 2, "cost_usd": 0.5, "text": text});
    let denial = json!({"tool_name": "Write", "tool_input": {"file_path": "/w/a"}});
    for (event, expected) in [
        (json!({"result": "done"}), vec![ended(true, json!(null), json!(null))]),
        (
            json!({"result": "other"}),
            vec![ended(true, json!(null), json!("other"))],
        ),
        (
            json!({"is_error": true, "result": "API Error: 529"}),
            vec![ended(false, json!("API Error: 529"), json!(null))],
        ),
        (
            json!({"result": "done", "permission_denials": [denial, 1]}),
            vec![
                json!({"kind": "denied", "tool": "Write", "target": "a"}),
                json!({"kind": "denied", "tool": null, "target": null}),
                ended(true, json!(null), json!(null)),
            ],
        ),
    ] {
        let entries = read(&[INIT, &said, &end(event)]);
        assert_eq!(entries.as_array().unwrap()[1..], expected);
    }
    // A run that goes on when a sub-agent is done, as it was measured.
    let result = end(json!({"result": "done"}));
    let entries = read(&[INIT, &said, INIT, &said, &result, &result]);
    let kinds: Vec<&str> = entries
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["text", "text", "end", "end"]);
    assert!(entries[2]["text"].is_null() && entries[3]["text"].is_null());
    let mut transcript = Transcript::default();
    let starts = [INIT, INIT, r#"{"type":"system","subtype":"init","model":"other"}"#];
    let starts = starts.map(|init| transcript.line(Line::Whole(init.as_bytes())).len());
    assert_eq!(starts, [1, 0, 1]);
    let unreadable = r#"{"type":"result","subtype":"success","is_error":"no"}"#;
    assert_eq!(read(&[unreadable])[0]["success"], false);
}

#[test]
fn retries_limits_and_sub_agents() {
    let retry = r#"{"type":"system","subtype":"api_retry","attempt":1,"max_retries":10,"retry_delay_ms":581.6,"error_status":529,"error":"overloaded"}"#;
    let enough = r#"{"type":"rate_limit_event","rate_limit_info":{"status":"allowed","resetsAt":5}}"#;
    let near = r#"{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":5,"rateLimitType":"five_hour"}}"#;
    let notice = r#"{"type":"system","subtype":"informational","content":"stopped, and goes on"}"#;
    let sub = r#"{"type":"assistant","parent_tool_use_id":"t","message":{"content":"its words"}}"#;
    assert_eq!(
        read(&[
            retry,
            INIT,
            notice,
            enough,
            near,
            sub,
            r#"{"type":"new"}"#,
            r#"{"type":"system"}"#
        ]),
        json!([
            {"kind": "retry", "error": "overloaded", "status": 529, "attempt": 1, "max_attempts": 10, "delay_ms": 582},
            {"kind": "notice", "text": "stopped, and goes on"},
            {"kind": "rate_limit", "status": "rejected", "limit": "five_hour", "resets_at": 5},
            {"kind": "text", "text": "its words", "sub_agent": true},
        ])
    );
}

#[test]
fn lines_that_are_no_events() {
    let line = |text: &str| json!({"kind": "line", "text": text});
    let plain = ["hello", "", "{\"type\":\"user\",\"name\":\"x\"}", "{ brace", "null"];
    assert_eq!(read(&plain), json!(plain.map(line)));
    let torn = r#"{"type":"assistant","message":{"con"#;
    let long = "x".repeat(LONGEST_MESSAGE + 1);
    assert_eq!(
        read(&[INIT, "", "warning: \t x ", torn, &long]),
        json!([
            line("warning: \t x "),
            {"kind": "unreadable", "bytes": torn.len()},
            {"kind": "unreadable", "bytes": long.len()},
        ])
    );
    let mut transcript = Transcript::default();
    assert_eq!(
        transcript.line(Line::Whole(b"a\xff\0b")),
        [Entry::Line {
            text: "a\u{fffd}\0b".into()
        }]
    );
    assert_eq!(
        transcript.line(Line::TooLong { bytes: 9 }),
        [Entry::Unreadable { bytes: 9 }]
    );
}

#[test]
fn only_so_many_calls_are_remembered_and_no_blank_cuts_a_character() {
    let mut transcript = Transcript::default();
    transcript.line(Line::Whole(INIT.as_bytes()));
    for n in 0..1000 {
        let call = json!({"type": "tool_use", "id": n.to_string(), "name": "Bash"});
        transcript.line(Line::Whole(assistant("m", &call).as_bytes()));
    }
    assert_eq!(transcript.open_calls.len(), OPEN_CALLS);
    let blanks = "\u{3000}".repeat(20);
    assert_eq!(
        error_of(&format!("x\n{blanks}y")),
        format!("x\n{}y", "\u{3000}".repeat(16))
    );
    assert_eq!(error_of(" \n"), "an error without a word");
}
