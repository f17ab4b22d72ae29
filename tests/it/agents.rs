//! Other agents than Claude Code, as the configuration describes them: how they get their prompt, when they have
//! succeeded, and what becomes of those that want a terminal.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::support::{Ended, Project, skipped};

/// Describes the agent `other` in the user's configuration; `command` is what runs as `sh -c`.
pub fn describe(project: &Project, command: &str, more: &str) {
    let command = serde_json::to_string(&["sh", "-c", command]).expect("JSON");
    // An array of texts and a text are the same in TOML.
    describe_as(project, &command, more);
}

pub fn describe_as(project: &Project, command: &str, more: &str) {
    let directory = project.root().join("home/.config/pleach");
    fs::create_dir_all(&directory).expect("make a directory");
    let text = format!("[agent.other]\ncommand = {command}\n{more}");
    fs::write(directory.join("config.toml"), text).expect("write the configuration");
}

/// Runs a session of that agent to its end.
fn session(project: &Project, tasks: &[(&str, &str)], options: &[&str]) -> Ended {
    let file = project.tasks(tasks);
    let run = project.pleach(&[&["run", "--sync", "--agent", "other"], options, &[&file]].concat());
    project.ended(&run)
}

fn answer<'e>(ended: &'e Ended, id: &str) -> &'e str {
    ended.result(id)["answer"].as_str().expect("an answer")
}

/// The arguments of an agent that prints them, a line each, between the first and what it says at the end.
const PRINT: &str = r#"for arg; do printf '<%s>\n' "$arg"; done; echo "stdin: $(cat)""#;

fn printing(arguments: &[&str]) -> String {
    serde_json::to_string(&[&["sh", "-c", PRINT, "agent"], arguments].concat()).expect("JSON")
}

#[test]
fn the_prompt_comes_as_it_was_asked_for() {
    for (arguments, more, options, expected) in [
        (&["run"][..], "", &[][..], "<run>\nstdin: do\nit\n"),
        (
            &["run"],
            "prompt = \"stdin\"\n",
            &["--agent-arg=-x"],
            "<run>\n<-x>\nstdin: do\nit\n",
        ),
        (
            &["run"],
            "prompt = \"arg\"\n",
            &["--agent-arg=-x"],
            "<run>\n<-x>\n<do\nit>\nstdin: \n",
        ),
        (
            &["-p={prompt}", "-v"],
            "prompt = \"arg\"\n",
            &[],
            "<-p=do\nit>\n<-v>\nstdin: \n",
        ),
        (
            &["-m", "{model}", "--title={title}"],
            "",
            &["--model", "opus"],
            "<-m>\n<opus>\n<--title=do>\nstdin: do\nit\n",
        ),
        (&["-m", "{model}", "-v"], "", &[], "<-v>\nstdin: do\nit\n"),
    ] {
        let project = Project::new();
        describe_as(&project, &printing(arguments), more);
        let file = project.tasks(&[("one", "do\nit")]);
        let shown = project.run(&[&["run", "--dry-run", "--agent", "other"], options, &[&file]].concat());
        let fed = expected.ends_with("stdin: do\nit\n");
        assert_eq!(shown.out().contains(" < PROMPT"), fed, "{more} {}", shown.out());
        let ended = session(&project, &[("one", "do\nit")], options);
        ended.assert_exit(0);
        ended.assert_succeeded("one");
        assert_eq!(answer(&ended, "one"), expected, "{arguments:?} {more}");
        let task = ended.task("one");
        assert_eq!((&task["turns"], &task["cost_usd"]), (&Value::Null, &Value::Null));
    }
}

#[test]
fn a_prompt_in_a_file_is_private_and_outside_of_the_worktree() {
    let project = Project::new();
    let command = r#"stat -c %a "$1"; cat "$1"; echo "$1" >path"#;
    let command = serde_json::to_string(&["sh", "-c", command, "agent"]).expect("JSON");
    describe_as(&project, &command, "prompt = \"file\"\n");
    let long = "x".repeat(200_000);
    let ended = session(&project, &[("one", &long)], &[]);
    ended.assert_exit(0);
    assert_eq!(answer(&ended, "one"), format!("600\n{long}"));
    let path = project.show("main-task-one:path");
    assert_eq!(
        path.trim_end(),
        project.attempt_dir("one").join("prompt.md").to_str().expect("UTF-8")
    );
    assert_eq!(project.changed_in("main-task-one"), "path\n");
}

#[test]
fn an_argument_that_is_too_long_is_said_before_anything_starts() {
    let project = Project::new();
    describe(&project, "touch started", "prompt = \"arg\"\n");
    let ended = session(&project, &[("one", &"x".repeat(131_072)), ("two", "short")], &[]);
    ended.assert_exit(1);
    ended.assert_failed("one", "exit");
    ended.assert_succeeded("two");
    let error = ended.task("one")["error"].as_str().expect("an error");
    assert!(
        error.contains("131072 bytes") && error.contains("prompt = \"stdin\" or \"file\""),
        "{error}"
    );
    assert_eq!(project.changed_in("main-task-one"), "");
}

#[test]
fn success_is_what_the_description_says() {
    const RESULT: &str = r#"echo '{"type":"result","subtype":"success","result":"said","num_turns":2}'"#;
    let plain_failure = r#"echo '{"type":"result","subtype":"success","is_error":true,"result":"said"}'"#;
    let completed = r#"echo 'COMPLETED: yes' >"$PLEACH_STATUS_FILE""#;
    for (script, success, error) in [
        ("echo words", "exit", None),
        ("echo words; exit 3", "exit", Some("exited with code 3: words")),
        (plain_failure, "exit", None),
        (RESULT, "stream-json", None),
        (
            "echo words",
            "stream-json",
            Some("exited with code 0 and printed no stream-json: words"),
        ),
        (plain_failure, "stream-json", Some("said")),
        (&format!("{completed}; exit 3"), "status-file", None),
        (
            "echo words; echo almost >\"$PLEACH_STATUS_FILE\"",
            "status-file",
            Some("exited with code 0 without COMPLETED: in its status file: words"),
        ),
        (&format!("{completed}; exit 3"), "exit", Some("exited with code 3")),
    ] {
        let project = Project::new();
        describe(&project, script, &format!("success = \"{success}\"\n"));
        let ended = session(&project, &[("one", "do it")], &[]);
        ended.assert_exit(i32::from(error.is_some()));
        assert_eq!(ended.task("one")["error"].as_str(), error, "{script} {success}");
    }
}

#[test]
fn an_agent_on_a_terminal_finds_one() {
    let project = Project::new();
    let script = r#"
        stty size; echo "$TERM"; tty >&2; echo "lines:$LINES columns:$COLUMNS"
        test -t 0 && test -t 1 && test -t 2 && echo "all three"
        # The leader of a session of its own, whose terminal that is, in the foreground.
        ps -o pid=,sid=,tpgid= -p $$ | awk '$1 == $2 && $2 == $3 { print "its own" }'
        echo typed >/dev/tty"#;
    describe(&project, script, "pty = true\nprompt = \"arg\"\n");
    let mut project = project;
    project.set("COLUMNS", "7");
    let ended = session(&project, &[("one", "do it")], &[]);
    ended.assert_exit(0);
    let text = answer(&ended, "one");
    let (first, rest) = text.split_once("/dev/pts/").unwrap_or_else(|| panic!("{text}"));
    assert_eq!(first, "30 80\nxterm-256color\n");
    let (_, rest) = rest.split_once('\n').expect("more lines");
    assert_eq!(rest, "lines: columns:\nall three\nits own\ntyped\n");
    if project
        .command("sh")
        .args(["-c", "command -v tput"])
        .status()
        .is_ok_and(|s| s.success())
    {
        describe(&project, "tput colors; tput cols", "pty = true\nprompt = \"arg\"\n");
        let ended = session(&project, &[("two", "do it")], &[]);
        assert_eq!(answer(&ended, "two"), "256\n80\n");
    } else {
        skipped("there is no tput");
    }
}

// Fault 24: what an agent does to its terminal is text in its log, and does nothing to the one of the user.
#[test]
fn what_was_on_the_screen_is_kept_as_text() {
    let project = Project::new();
    let script = r#"
        printf '\033]0;title\007\033[1;31mred\033[0m\r\n10%%\r50%%\r100%%\n'
        i=0; while [ $i -lt 60 ]; do i=$((i+1)); printf '\033[32mline %d\033[m\n' $i; done
        printf '\033[?1049h\033[2J\033[Hfull\033[3;5Hscreen\033[?1049l'
        printf 'wrong\033[2K\rright\n\033[5;70Hfar away\n'"#;
    describe(&project, script, "pty = true\nprompt = \"arg\"\n");
    let ended = session(&project, &[("one", "do it")], &[]);
    ended.assert_exit(0);
    let text = answer(&ended, "one");
    assert!(text.starts_with("red\n100%\nline 1\nline 2\n"), "{text}");
    for part in ["line 31\nfull\n\n    screen\nline 32\n", "far away\n"] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert!(text.contains("right") && !text.contains("wrong"), "{text}");
    assert_eq!(text.chars().find(|c| c.is_control() && *c != '\n'), None);
    let kept = |name: &str| fs::read_to_string(project.session_dir().join(name)).expect("read");
    assert_eq!(kept("task-one.txt"), text);
    assert_eq!(kept("task-one.log"), text);
    let logs = project.run(&["logs", "one"]);
    assert!(
        logs.out().contains("line 60\n") && !logs.out().contains('\x1b'),
        "{logs:?}"
    );
}

#[test]
fn a_program_that_asks_its_terminal_gets_an_answer() {
    let project = Project::new();
    let script = r#"
        stty raw -echo; printf 'ab\033[6n'; answer=$(dd bs=1 count=6 2>/dev/null | tr -d '\033'); stty sane
        echo; echo "answer: $answer""#;
    describe(&project, script, "pty = true\nprompt = \"arg\"\n");
    let ended = session(&project, &[("one", "do it")], &["--timeout", "60s"]);
    ended.assert_exit(0);
    assert!(
        answer(&ended, "one").ends_with("answer: [1;3R\n"),
        "{}",
        answer(&ended, "one")
    );
}

#[test]
fn a_prompt_is_typed_into_a_terminal() {
    let project = Project::new();
    describe(
        &project,
        "read -r one; read -r two; echo \"<$one><$two>\"",
        "pty = true\n",
    );
    let ended = session(&project, &[("one", "do\nit \u{e4}"), ("two", &"x".repeat(4096))], &[]);
    ended.assert_exit(1);
    ended.assert_succeeded("one");
    assert!(
        answer(&ended, "one").ends_with("<do><it \u{e4}>\n"),
        "{}",
        answer(&ended, "one")
    );
    // A terminal would drop the end of it without a word.
    let error = ended.task("two")["error"].as_str().expect("an error");
    assert!(
        error.contains("4096 bytes") && error.contains("prompt = \"file\""),
        "{error}"
    );
}

/// The documented entry for programs that somebody would sit in front of.
#[test]
fn an_interactive_program_is_given_a_file_and_ends_when_it_says_so() {
    let project = Project::new();
    let program = project.program(
        "interactive",
        r#"
        test -t 0 || exit 9
        file=$(printf '%s\n' "$1" | sed -n 's/^Please read \(.*\) and execute the task$/\1/p')
        . "$file"
        echo "STATUS: working" >>"$PLEACH_STATUS_FILE"
        while [ ! -e "$GATE" ]; do sleep 0.01; done
        echo "COMPLETED: all of it" >>"$PLEACH_STATUS_FILE"
        printf 'What next? '
        # It never exits by itself.
        while :; do read -r line; done"#,
    );
    let command = serde_json::to_string(&[&program, "Please read {prompt_file} and execute the task"]).expect("JSON");
    describe_as(
        &project,
        &command,
        "prompt = \"file\"\npty = true\nsuccess = \"status-file\"\n",
    );
    let gate = project.beside("gate");
    let file = project.tasks(&[("one", &format!("GATE={gate}; echo done >work.txt; echo '# Hello'"))]);
    let started = project.run(&["run", "--agent", "other", &file]);
    let id = started.out().trim().to_owned();
    project.until("its status is its activity", |project| {
        (project.query(&["status", &id])["tasks"][0]["activity"] == "STATUS: working").then_some(())
    });
    project.open("gate");
    let ended = project.ended(&project.pleach(&["wait", &id]));
    ended.assert_exit(0);
    ended.assert_succeeded("one");
    assert_eq!(project.show("main-task-one:work.txt"), "done\n");
    // What it was said to have come to is the answer; all that was on its screen is in the log.
    assert_eq!(answer(&ended, "one"), "all of it");
    let kept = |name: &str| fs::read_to_string(project.session_dir().join(name)).expect("read");
    assert_eq!(kept("task-one.txt"), "all of it");
    assert_eq!(kept("task-one.log"), "# Hello\nWhat next?\n");
    assert!(project.agents().is_empty());
}

#[test]
fn what_a_program_on_a_terminal_has_completed_is_what_others_are_given() {
    let project = Project::new();
    let script = r#"
        echo "on the screen: $1"; printf 'COMPLETED: %b' "$2" >>"$PLEACH_STATUS_FILE"; exec sleep 60"#;
    let describe = |more: &str| {
        let program = project.program("full-screen", script);
        let command = serde_json::to_string(&[&program, "asked", "{prompt}"]).expect("JSON");
        describe_as(
            &project,
            &command,
            &format!("prompt = \"arg\"\nsuccess = \"status-file\"\n{more}"),
        );
    };
    describe("pty = true\n");
    let tasks = serde_json::json!({ "prompts": [
        { "id": "says", "prompt": r"done\n- \0033[2Ja\n", "output_file": "says.txt" },
        { "id": "silent", "prompt": r"\n" },
        { "id": "is-told", "prompt": "told <{{answer says}}>", "depends_on": ["says"] },
    ] });
    let file = project.beside("tasks.json");
    fs::write(&file, tasks.to_string()).expect("write a file");
    let ended = project.ended(&project.pleach(&["run", "--sync", "-y", "--agent", "other", &file]));
    ended.assert_exit(0);
    let said = "done\n- \u{1b}[2Ja";
    assert_eq!(answer(&ended, "says"), said);
    let output = fs::read_to_string(project.repo().join("says.txt")).expect("read");
    assert_eq!(output, said);
    assert_eq!(answer(&ended, "is-told"), format!("told <{said}>"));
    assert_eq!(answer(&ended, "silent"), "on the screen: asked\n");
    // Of one that prints into a pipe what it prints is the answer.
    describe("");
    let ended = session(&project, &[("one", "done")], &[]);
    assert_eq!(answer(&ended, "one"), "on the screen: asked\n");
}

#[test]
fn what_an_earlier_attempt_has_completed_does_not_end_the_next() {
    let project = Project::new();
    // The first attempt is lost when it has said that it is done, and before it is ended.
    let script = r#"
        trap '' TERM
        if [ ! -e first ]; then
            touch first; echo 'COMPLETED: once' >"$PLEACH_STATUS_FILE"; touch ../../here; sleep 60
        fi
        trap - TERM
        [ ! -e "$PLEACH_STATUS_FILE" ] || exit 7
        echo again >"$PLEACH_STATUS_FILE"
        until [ -e ../../gate ]; do sleep 0.01; done
        echo 'COMPLETED: twice' >>"$PLEACH_STATUS_FILE"; sleep 60"#;
    describe(&project, script, "success = \"status-file\"\n");
    let file = project.tasks(&[("one", "do it")]);
    let started = project.run(&["run", "--agent", "other", "--grace", "60s", &file]);
    let id = started.out().trim().to_owned();
    project.await_file("here");
    for process in project.processes() {
        // It may have ended with another.
        let _ = kill_process(process.pid, Signal::KILL);
    }
    project.until("the session is interrupted", |project| {
        (project.query(&["status"])["overall_status"] == "interrupted").then_some(())
    });
    let resumed = project.run(&["resume", &id]);
    assert_eq!(resumed.code(), 0, "{resumed:?}");
    project.until("the second attempt says something", |project| {
        (project.query(&["status"])["tasks"][0]["activity"] == "again").then_some(())
    });
    project.open("gate");
    let waited = project.run(&["wait", &id]);
    assert_eq!(waited.code(), 0, "{waited:?}");
    let earlier = project.session_dir().join("attempts/one.2/earlier.status");
    assert_eq!(fs::read_to_string(earlier).expect("read"), "COMPLETED: once\n");
}

#[test]
fn an_agent_on_a_terminal_ends_like_any_other() {
    // A shell that somebody types into takes no notice of SIGTERM, and this one starts what outlives a hang-up.
    for (script, grace, by) in [
        ("exec sh -i", "20s", "hang-up"),
        (
            "trap '' TERM HUP; setsid sleep 60 & nohup sleep 60 >/dev/null & touch ../../here; wait; wait",
            "0s",
            "kill",
        ),
    ] {
        let project = Project::new();
        describe(&project, script, "pty = true\n");
        let file = project.tasks(&[("one", "touch ../../here")]);
        let id = project
            .run(&["run", "--agent", "other", "--grace", grace, &file])
            .out()
            .trim()
            .to_owned();
        project.await_file("here");
        let started = std::time::Instant::now();
        assert_eq!(project.run(&["stop", &id]).code(), 0);
        assert_eq!(project.run(&["wait", &id]).code(), 1);
        if by == "hang-up" {
            assert!(started.elapsed().as_secs() < 19, "{:?}", started.elapsed());
        }
        let status = project.query(&["status"]);
        assert_eq!(status["tasks"][0]["outcome"], "stopped", "{status:#}");
        assert!(project.agents().is_empty(), "{by}: {:?}", project.agents());
        assert_eq!(
            fs::metadata(project.session_dir().join("task-one.log"))
                .expect("a log")
                .permissions()
                .mode()
                & 0o777,
            0o600
        );
    }
}

#[test]
fn a_dry_run_shows_how_it_would_be_started() {
    let project = Project::new();
    describe_as(
        &project,
        "[\"sh\", \"{title}\", \"read {prompt_file}\"]",
        "prompt = \"file\"\n",
    );
    let file = project.tasks(&[("one", "do 'it'")]);
    let shown = project.run(&["run", "--dry-run", "--agent", "other", &file]);
    assert_eq!(shown.code(), 0, "{shown:?}");
    let shown = shown.out();
    assert!(
        shown.contains("/sh \"do 'it'\" 'read ") || shown.contains("/sh 'do '"),
        "{shown}"
    );
    assert!(shown.contains("/attempts/one.1/prompt.md"), "{shown}");
    assert!(!shown.contains("standard input"), "{shown}");
}

#[test]
fn one_whose_directory_is_gone_says_that_of_the_directory() {
    let project = Project::new();
    describe(&project, "true", "");
    let ended = session(&project, &[("one", "x")], &["--setup", "rm -rf \"$PLEACH_WORKTREE\""]);
    ended.assert_failed("one", "exit");
    describe(&project, "rm -rf \"$PLEACH_WORKTREE\"", "");
    let verified = session(&project, &[("two", "x")], &["--verify", "true"]);
    verified.assert_failed("two", "verify");
    for (ended, id) in [(ended, "one"), (verified, "two")] {
        let error = ended.task(id)["error"].as_str().expect("an error").to_owned();
        let directory = project.worktrees().join(format!("main-task-{id}"));
        let said = format!("its directory {} is not there any more", directory.display());
        assert!(error.ends_with(&said), "{error}");
    }
}

/// A stream of Claude Code, as a file of the repository may have it, in which the service refuses.
const REFUSED: &str = r#"{"type":"system","subtype":"init"}
{"type":"system","subtype":"api_retry","attempt":1,"max_retries":10,"error_status":429,"error":"rate_limit"}
{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":99999999999,"rateLimitType":"five_hour"}}
{"type":"result","subtype":"success","is_error":true,"api_error_status":STATUS,"result":"x"}
"#;

#[test]
fn a_stream_in_what_a_program_prints_of_a_file_holds_up_no_session() {
    for (status, more) in [
        ("429", ""),
        ("401", ""),
        ("429", "success = \"exit\"\n"),
        ("401", "success = \"exit\"\n"),
        ("429", "success = \"status-file\"\n"),
    ] {
        let project = Project::new();
        let file = project.beside("stream.jsonl");
        fs::write(&file, REFUSED.replace("STATUS", status)).expect("write a file");
        describe(
            &project,
            &format!("cat >/dev/null; echo I read a file:; cat {file}; exit 1"),
            more,
        );
        let ended = session(&project, &[("a", "x"), ("b", "y")], &["--max-parallel", "1"]);
        // Both are over: neither a limit nor a login is waited for.
        ended.assert_exit(1);
        for id in ["a", "b"] {
            let reason = ended.task(id)["reason"].clone();
            assert!(reason == "exit" || reason == "agent_error", "{status} {more}: {reason}");
        }
    }
}
