//! `pleach logs`: what an agent did and said, readable and as JSON.
//!
//! Scripted agents print what the CLI prints; what they cannot print (broken lines, hostile bytes) comes from shell
//! scripts.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Project, ran};

#[test]
fn every_kind_of_entry_is_shown() {
    let project = Project::new();
    let prompt = "@overloaded 1\n@write a/b.txt hi\n@run echo one; echo two >&2; exit 3\n@deny WebFetch\n\
                  @say all **done**\n@say and more";
    let ended = project.session(&[("works", prompt), ("fails", "@fail API Error: 500 broken")], &[]);
    ended.assert_failed("works", "denied_tools");
    let directory = project.worktree("works");
    let shown = project.run(&["logs", "works"]);
    let expected = format!(
        "— begins with scripted in {}
↻ overloaded (529): retry 1 of 10 in 0.0 s
→ Write a/b.txt
→ Bash echo one; echo two >&2; exit 3
✗ Bash: Exit code 3
  one
  two
→ WebFetch
✗ WebFetch: Claude requested permissions to use WebFetch, but you haven't granted it yet.

all **done**
and more

✗ denied: WebFetch

— success, 4 turns, $0.04
",
        directory.display()
    );
    assert_eq!((shown.code(), shown.out()), (0, expected));
    assert_eq!(
        shown.err(),
        "task works failed: denied_tools: the agent was refused: WebFetch\n"
    );
    let document = project.query(&["logs", "works"]);
    let call = |tool: &str, target: Value| json!({"kind": "tool", "tool": tool, "target": target, "sub_agent": false});
    let error =
        |tool: &str, error: &str| json!({"kind": "tool_error", "tool": tool, "error": error, "sub_agent": false});
    assert_eq!(
        document,
        json!({
            "schema": 1,
            "session_id": ended.status["session_id"],
            "task": "works",
            "entries": [
                {"kind": "start", "model": "scripted", "directory": directory},
                {"kind": "retry", "error": "overloaded", "status": 529, "attempt": 1, "max_attempts": 10, "delay_ms": 10},
                call("Write", json!("a/b.txt")),
                call("Bash", json!("echo one; echo two >&2; exit 3")),
                error("Bash", "Exit code 3\none\ntwo"),
                call("WebFetch", Value::Null),
                error("WebFetch", "Claude requested permissions to use WebFetch, but you haven't granted it yet."),
                {"kind": "text", "text": "all **done**\nand more", "sub_agent": false},
                {"kind": "denied", "tool": "WebFetch", "target": null},
                {"kind": "end", "success": true, "error": null, "turns": 4, "cost_usd": 0.04, "text": null},
            ],
        })
    );
    let shown = project.run(&["logs", "fails"]);
    let ending = "\nAPI Error: 500 broken\n\n— failed: API Error: 500 broken, 0 turns, $0.00\n";
    assert!(shown.out().ends_with(ending), "{shown:?}");
    assert_eq!(shown.err(), "task fails failed: agent_error: API Error: 500 broken\n");
}

#[test]
fn a_plain_text_agent_is_shown_as_it_printed() {
    let project = Project::new();
    let script = r#"printf 'one\n\n  two\t{"type":"user"}\n{"type":"user","n":1}\n{\n'; printf 'unfinished'; exit 3"#;
    project
        .shell_session(&[("plain", script)], &[])
        .assert_failed("plain", "exit");
    let shown = project.run(&["logs", "plain"]);
    let expected = "one\n\n  two\t{\"type\":\"user\"}\n{\"type\":\"user\",\"n\":1}\n{\nunfinished\n";
    assert_eq!((shown.code(), shown.out().as_str()), (0, expected));
    assert_eq!(shown.err(), "task plain failed: exit: exited with code 3: unfinished\n");
}

// Fault 24: escapes in every kind of event.
#[test]
fn what_an_agent_sends_is_never_done_to_the_terminal() {
    let project = Project::new();
    // As JSON writes them, and as they are.
    let script = r#"cat <<'END'
{"type":"system","subtype":"init","model":"m\u001b[31m\u0007","cwd":"/w"}
{"type":"assistant","message":{"content":[{"type":"text","text":"text \u001b[2J\u202e\u0000 end"}]}}
{"type":"assistant","message":{"content":[{"type":"tool_use","name":"Ba\u001bsh","input":{"command":"ls \u001b]0;x\u0007"}}]}}
{"type":"user","message":{"content":[{"type":"tool_result","is_error":true,"content":"bad\u001b[1m\nworse\u009b"}]}}
{"type":"rate_limit_event","rate_limit_info":{"status":"rej\u001bected"}}
{"type":"assistant","parent_tool_use_id":"t","message":{"content":[{"type":"text","text":"below\u001b"}]}}
{"type":"result","subtype":"success","is_error":true,"result":"over\u001b[0m"}
END
printf 'raw \033[5m\000\377\r bytes\n' >&2
exit 1"#;
    project.shell_session(&[("bad", script)], &[]);
    let shown = project.run(&["logs", "bad"]);
    let mut lines: Vec<String> = shown.out().lines().map(str::to_owned).collect();
    // The order of the two streams is not known.
    let raw = lines
        .iter()
        .position(|line| line.starts_with("raw"))
        .expect("standard error");
    assert_eq!(lines.remove(raw), "raw \\x1b[5m\\x00\u{fffd} bytes");
    lines.retain(|line| !line.is_empty());
    assert_eq!(
        lines,
        [
            "— begins with m\\x1b[31m\\x07 in /w",
            "text \\x1b[2J\\u{202e}\\x00 end",
            "→ Ba\\x1bsh ls \\x1b]0;x\\x07",
            "✗ bad\\x1b[1m",
            "  worse\\x9b",
            "! rate limit: rej\\x1bected",
            "┊ below\\x1b",
            "— failed: over\\x1b[0m",
        ]
    );
    assert!(
        !(shown.err() + &shown.out()).contains(['\x1b', '\x07', '\0']),
        "{shown:?}"
    );
}

#[test]
fn lines_fit_a_terminal_and_colour_is_asked_for() {
    let project = Project::new();
    let long = format!("@run : {}\n@say done", "long-command-".repeat(30));
    project.session(&[("a", &long)], &[]).assert_exit(0);
    for columns in [40, 80, 200] {
        let line = format!(r#"stty rows 24 cols {columns}; "$PLEACH" logs a"#);
        let Some(mut command) = project.on_terminal(&line) else {
            return;
        };
        let shown = ran(command.env("TERM", "xterm")).out();
        assert!(shown.contains("\x1b["), "{shown:?}");
        let plain = ran(command.env("NO_COLOR", "1")).out();
        assert!(!plain.contains('\x1b'), "{plain:?}");
        let call = plain.lines().find(|line| line.starts_with("→ Bash")).expect("the call");
        assert_eq!(call.trim_end().chars().count(), columns, "{plain}");
        assert!(plain.lines().all(|line| line.trim_end().chars().count() <= columns));
    }
}

#[test]
fn what_was_over_the_limit_and_what_was_torn_by_it_is_said() {
    let project = Project::new();
    let prompt = "@output 100000\n@say unseen";
    project
        .session(&[("much", prompt)], &["--max-output", "70K"])
        .assert_exit(0);
    let shown = project.run(&["logs", "much"]).out();
    let note = "[pleach: the output is longer than 71680 bytes; the rest was dropped]";
    let lines: Vec<&str> = shown.lines().collect();
    let [.., torn, last] = lines[..] else { panic!("{shown}") };
    assert_eq!(last, note);
    assert!(
        torn.starts_with("(a line of ") && torn.ends_with(" bytes is not shown; --raw shows it)"),
        "{torn}"
    );
    let entries = project.query(&["logs", "much"])["entries"].clone();
    let kinds: Vec<&str> = entries
        .as_array()
        .expect("entries")
        .iter()
        .filter_map(|e| e["kind"].as_str())
        .collect();
    assert_eq!(kinds, ["start", "text", "unreadable", "line"]);
}

// Fault 23: such a line is shown.
#[test]
fn a_line_of_any_length_needs_little_memory() {
    let project = Project::new();
    let script = r#"printf '{"type":"system","subtype":"init"}\n'; yes x | head -c 120000000 | tr -d '\n'; echo
        printf '{"type":"result","subtype":"success","result":"ok"}'"#;
    project.shell_session(&[("long", script)], &[]).assert_exit(0);
    let mut shell = project.shell(r#"ulimit -v 262144; "$PLEACH" logs long"#);
    let shown = ran(&mut shell);
    let expected = "— begins\n(a line of 60000000 bytes is not shown; --raw shows it)\n\nok\n\n— success\n";
    assert_eq!((shown.code(), shown.out().as_str()), (0, expected), "{}", shown.err());
}

#[test]
fn a_task_and_its_session_are_named_in_both_forms() {
    let project = Project::new();
    let old = project.start(&[("alpha", "@say old alpha"), ("beta", "@say old beta")], &[]);
    project.run(&["wait"]);
    let new = project.start(&[("alpha", "@say new alpha"), ("gamma", "@say new gamma")], &[]);
    project.run(&["wait"]);
    for (arguments, said, session) in [
        (&["alpha"][..], "new alpha", &new),
        (&["1"], "new alpha", &new),
        (&["ga"], "new gamma", &new),
        (&[&old, "alpha"], "old alpha", &old),
        (&[&old[..8], "2"], "old beta", &old),
        (&[&new[..8], "2"], "new gamma", &new),
    ] {
        let shown = project.run(&[&["logs"], arguments].concat());
        assert_eq!(shown.code(), 0, "{arguments:?}: {shown:?}");
        assert!(shown.out().contains(&format!("\n{said}\n")), "{arguments:?}: {shown:?}");
        assert_eq!(shown.err(), "");
        let document = project.query(&[&["logs"], arguments].concat());
        assert_eq!(document["session_id"], **session);
    }
    for (arguments, parts) in [
        (&["beta"][..], &["no task", "\"beta\"", "\n hint: "][..]),
        (&["3"], &["no task", "\n hint: "]),
        (&[&old, "gamma"], &["no task", "\"gamma\""]),
        (&["f0f0f0", "alpha"], &["\"f0f0f0\"", "pleach list"]),
    ] {
        for more in [&[][..], &["--follow"], &["--raw"], &["--json"]] {
            project
                .run(&[&["logs"], arguments, more].concat())
                .assert_refused(2, parts);
        }
    }
    for wrong in [
        &["logs"][..],
        &["logs", "1", "--json", "--raw"],
        &["logs", "1", "--json", "-f"],
    ] {
        let refused = project.run(wrong);
        assert_eq!(refused.code(), 2, "{refused:?}");
        assert!(refused.err().contains("[SESSION] <TASK>"), "{refused:?}");
    }
    Project::new()
        .run(&["logs", "1"])
        .assert_refused(2, &["no session", "pleach run"]);
}

#[test]
fn a_log_that_cannot_be_read_is_named() {
    let project = Project::new();
    project.session(&[("a", "@say hi")], &[]).assert_exit(0);
    let log = project.session_dir().join("task-a.log");
    fs::remove_file(&log).expect("remove the log");
    let name = log.to_str().expect("UTF-8").to_owned();
    for more in [&[][..], &["-f"], &["--raw"], &["--json"]] {
        project
            .run(&[&["logs", "a"], more].concat())
            .assert_refused(3, &[&name, "No such file"]);
    }
    fs::create_dir(&log).expect("make a directory");
    project.run(&["logs", "a"]).assert_refused(3, &[&name, "directory"]);
    // What an agent may put there instead is not waited for.
    project.sh(&format!("rmdir '{name}'; mkfifo '{name}'"));
    project
        .run(&["logs", "a"])
        .assert_refused(3, &[&name, "no regular file"]);
    fs::write(project.session_dir().join("session.json"), "{").expect("damage the session");
    project.run(&["logs", "a"]).assert_refused(3, &["session.json"]);
}

#[test]
fn a_task_that_could_not_begin_says_why() {
    let project = Project::new();
    // No branch can have that name any more.
    project.git(&["update-ref", "refs/heads/main-task-a/x", "HEAD"]);
    let ended = project.session(&[("a", "@say hi")], &[]);
    let error = ended.task("a")["error"].as_str().expect("an error").to_owned();
    for more in [&[][..], &["-f"], &["--raw"]] {
        let shown = project.run(&[&["logs", "a"], more].concat());
        assert_eq!((shown.code(), shown.out().as_str()), (0, ""));
        assert_eq!(
            shown.err(),
            format!("task a failed before its agent began: provisioning: {error}\n")
        );
    }
}
