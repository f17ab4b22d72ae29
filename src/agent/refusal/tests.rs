//! What the CLI prints when the service refuses it, as measured with 2.1.329 and as earlier versions had it; and what only
//! looks like that.

use super::*;
use crate::agent::fixture::{INIT, OK, read};

/// 21 November 2026, 19:50 in UTC.
const NOW_MS: u64 = 1_795_290_600_000;

fn limit(what: &str, resets_at_ms: Option<u64>) -> Option<Refusal> {
    let what = what.to_owned();
    Some(Refusal::Limit(UsageLimit { what, resets_at_ms }))
}

fn refused(lines: &[&str]) -> Option<Refusal> {
    read(&[&[INIT], lines].concat()).refusal(NOW_MS)
}

/// The message in place of an answer, and the result, as 2.1.329 prints them.
fn api_error(kind: &str, status: &str, text: &str) -> [String; 2] {
    let said = format!(
        r#"{{"type":"assistant","message":{{"id":"m","model":"<synthetic>","content":[{{"type":"text","text":"{text}"}}]}},"parent_tool_use_id":null,"error":"{kind}","is_api_error_message":true,"api_error_status":{status}}}"#
    );
    let result = format!(
        r#"{{"type":"result","subtype":"success","is_error":true,"terminal_reason":"api_error","api_error_status":{status},"result":"{text}"}}"#
    );
    [said, result]
}

#[test]
fn refusals_as_they_were_measured() {
    for (kind, status, text, expected) in [
        (
            "rate_limit",
            "429",
            "API Error: Request rejected (429) · slow down",
            limit("429", None),
        ),
        (
            "server_error",
            "529",
            "API Error: 529 Overloaded. This is a server-side issue",
            limit("overloaded", None),
        ),
        (
            "authentication_failed",
            "401",
            "Invalid API key · Fix external API key",
            Some(Refusal::Login),
        ),
        (
            "authentication_failed",
            "null",
            "Not logged in · Please run /login",
            Some(Refusal::Login),
        ),
        (
            "authentication_failed",
            "403",
            "Failed to authenticate: OAuth token revoked.",
            Some(Refusal::Login),
        ),
        ("server_error", "500", "API Error: 500 Internal server error", None),
        ("invalid_request", "403", "API Error: 403 no such model for you", None),
        ("billing_error", "400", "Credit balance is too low", None),
    ] {
        let [said, result] = api_error(kind, status, text);
        assert_eq!(refused(&[&said, &result]), expected, "{text}");
        // A later answer counts.
        assert_eq!(refused(&[&said, &result, OK]), None, "{text}");
    }
}

#[test]
fn the_reset_time_of_a_usage_limit_is_that_of_the_event() {
    let event = |status: &str, resets: &str| {
        format!(
            r#"{{"type":"rate_limit_event","rate_limit_info":{{"status":"{status}","resetsAt":{resets},"rateLimitType":"five_hour"}}}}"#
        )
    };
    let [said, result] = api_error("rate_limit", "429", "You've hit your limit · resets 9:52pm (UTC)");
    let of = |event: &str| refused(&[event, &said, &result]);
    let at_reset = limit("five_hour", Some(1_795_297_931_000));
    assert_eq!(of(&event("rejected", "1795297931")), at_reset);
    assert_eq!(of(&event("rejected", "1795297931000")), at_reset);
    // Without it the text is read.
    let in_text = limit("usage limit", Some(1_795_297_920_000));
    for allowed in ["allowed", "allowed_warning"] {
        assert_eq!(of(&event(allowed, "1795297931")), in_text);
    }
    for bad in ["null", "-5", "1e300", "\"soon\""] {
        let Some(Refusal::Limit(limit)) = of(&event("rejected", bad)) else {
            panic!("{bad}");
        };
        assert_eq!(limit.resets_at_ms, Some(1_795_297_920_000), "{bad}");
    }
}

#[test]
fn reset_times_in_words_are_the_next_ones() {
    let hour = 3_600_000;
    let at_midnight = NOW_MS - 19 * hour - 50 * 60_000;
    for (text, expected) in [
        ("Claude AI usage limit reached|1735689600", Some(1_735_689_600_000)),
        (
            "You've hit your limit · resets 9pm (UTC)",
            Some(at_midnight + 21 * hour),
        ),
        (
            "You've hit your session limit · resets 12:50am (UTC)",
            Some(at_midnight + 24 * hour + 50 * 60_000),
        ),
        (
            "You've hit your limit · resets 3pm (America/New_York)",
            Some(at_midnight + 20 * hour),
        ),
        (
            "Claude usage limit reached. Your limit will reset at 10pm (UTC).",
            Some(at_midnight + 22 * hour),
        ),
        (
            "You've hit your weekly limit · resets Nov 23 at 4pm (UTC)",
            Some(at_midnight + (48 + 16) * hour),
        ),
        (
            "You've hit your limit · resets Jan 1, 2027 at 12am (UTC)",
            Some(1_798_761_600_000),
        ),
        (
            "You've hit your limit · resets Jan 1 at 12am (UTC)",
            Some(1_798_761_600_000),
        ),
        // Said when it was just over: nobody waits a day for it.
        (
            "You've hit your limit · resets 7:45pm (UTC)",
            Some(at_midnight + 19 * hour + 45 * 60_000),
        ),
        (
            "You've hit your limit · resets 7:39pm (UTC)",
            Some(at_midnight + (24 + 19) * hour + 39 * 60_000),
        ),
        ("You've hit your limit · resets 3pm (Nowhere/City)", None),
        ("You've hit your limit · resets 13pm (UTC)", None),
        ("You've hit your limit · resets 3:99pm (UTC)", None),
        ("You've hit your limit · resets Foo 3 at 3pm (UTC)", None),
        ("You've hit your limit · resets soon", None),
        ("Claude AI usage limit reached|soon", None),
        ("You've hit your limit", None),
    ] {
        assert_eq!(reset_in(text, NOW_MS), expected, "{text}");
    }
    let before_midnight = "You've hit your limit · resets 11:59pm (UTC)";
    assert_eq!(
        reset_in(before_midnight, at_midnight + 30_000),
        Some(at_midnight - 60_000)
    );
}

#[test]
fn versions_that_tell_in_words_only_are_understood() {
    let result = |text: &str| format!(r#"{{"type":"result","subtype":"success","is_error":true,"result":"{text}"}}"#);
    for (text, expected) in [
        (
            "Claude AI usage limit reached|1735689600",
            limit("usage limit", Some(1_735_689_600_000)),
        ),
        (
            "You've hit your session limit · resets 9pm (UTC)",
            limit("usage limit", Some(1_795_294_800_000)),
        ),
        ("API Error: 429 {}", limit("429", None)),
        ("API Error: 529 {}", limit("overloaded", None)),
        ("Invalid API key · Please run /login", Some(Refusal::Login)),
        ("API Error: 401 {} · Please run /login", Some(Refusal::Login)),
        ("API Error: 500 {}", None),
        ("I ran it: API Error: 429", None),
        ("You've hit your head", None),
    ] {
        assert_eq!(refused(&[&result(text)]), expected, "{text}");
    }
}

#[test]
fn what_a_model_or_a_tool_says_is_never_taken_for_a_refusal() {
    let tool = r#"{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"t","content":"API Error: 401 Unauthorized","is_error":true}]}}"#;
    let text = r#"{"type":"assistant","message":{"id":"m","content":[{"type":"text","text":"Not logged in"}]}}"#;
    // A model cannot write the fields beside its message; one without the mark of the program is a message of it.
    let claims = r#"{"type":"assistant","message":{"id":"m","content":[]},"error":"authentication_failed"}"#;
    let sub = r#"{"type":"assistant","message":{"id":"m","content":[]},"parent_tool_use_id":"t","error":"authentication_failed","is_api_error_message":true}"#;
    let result = |end: &str| {
        format!(r#"{{"type":"result","subtype":"success","result":"Not logged in · Please run /login",{end}}}"#)
    };
    let well = result(r#""is_error":false,"api_error_status":null"#);
    // It broke off in the middle of what the model said.
    let cut = result(r#""is_error":true,"terminal_reason":"max_tokens","api_error_status":null"#);
    let turns = r#"{"type":"result","subtype":"error_max_turns","is_error":true,"errors":["API Error: 429 "]}"#;
    for last in [&*well, &*cut, turns] {
        assert_eq!(refused(&[tool, text, claims, sub, last]), None, "{last}");
    }
    // Nor what one is refused that goes on afterwards.
    let [said, error] = api_error("server_error", "500", "API Error: 500");
    assert_eq!(refused(&[sub, &said, &error]), None);
}

#[test]
fn while_the_api_is_asked_again_the_limit_shows() {
    let retry = |status: &str, error: &str| {
        format!(
            r#"{{"type":"system","subtype":"api_retry","attempt":1,"max_retries":10,"error_status":{status},"error":"{error}"}}"#
        )
    };
    let limited = |lines: &[&str]| read(lines).limited().map(|limit| limit.what);
    let (slow, over, down) = (
        retry("429", "rate_limit"),
        retry("529", "overloaded"),
        retry("500", "server_error"),
    );
    let untold = retry("null", "rate_limit");
    let answer = r#"{"type":"assistant","message":{"id":"m","content":[]}}"#;
    assert_eq!(limited(&[INIT, &slow]).as_deref(), Some("429"));
    assert_eq!(limited(&[INIT, &slow, &over]).as_deref(), Some("overloaded"));
    assert_eq!(limited(&[INIT, &untold]).as_deref(), Some("429"));
    for over in [&*down, answer, OK] {
        assert_eq!(limited(&[INIT, &slow, over]), None, "{over}");
    }
}
