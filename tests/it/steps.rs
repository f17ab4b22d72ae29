//! Commands around an agent: whether a task is done at all, setting its worktree up, verifying its work; what they and
//! the agent find in their environment, and how long an agent may be silent.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Project, Ran, ran};

fn read_json(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

fn outcome(project: &Project, id: &str) -> Value {
    read_json(project.attempt_dir(id).join("outcome.json"))
}

/// Of each command what it was for and its exit code.
fn codes(steps: &Value) -> Vec<(String, Option<i64>)> {
    let steps = steps.as_array().expect("steps").iter();
    let code = |step: &Value| {
        (
            step["kind"].as_str().expect("a kind").to_owned(),
            step["exit_code"].as_i64(),
        )
    };
    steps.map(code).collect()
}

fn code(kind: &str, code: i64) -> (String, Option<i64>) {
    (kind.to_owned(), Some(code))
}

#[test]
fn everything_around_an_agent_runs_in_its_order_and_its_place() {
    let project = Project::new();
    let order =
        |what: &str| format!("echo {what} >>../../order; pwd >>../../where; echo $PLEACH_ATTEMPT >>../../marks");
    let (first, second, verify) = (
        order("first"),
        format!("{}; echo ready; echo warned >&2", order("second")),
        format!("{}; cat a.txt; test -z \"$(cat)\"", order("verify")),
    );
    let prompt = format!("@run {}\n@write a.txt work\n@say done", order("agent"));
    let ended = project.session(
        &[("one", &prompt)],
        &["--setup", &first, "--setup", &second, "--verify", &verify],
    );
    ended.assert_exit(0);
    ended.assert_succeeded("one");
    assert_eq!(project.sh("cat ../order"), "first\nsecond\nagent\nverify\n");
    let worktree = format!("{}\n", project.worktree("one").display());
    assert_eq!(project.sh("cat ../where"), worktree.repeat(4));
    assert_eq!(project.sh("sort -u ../marks | wc -l").trim(), "1");
    let outcome = outcome(&project, "one");
    assert_eq!(
        codes(&outcome["steps"]),
        [code("setup", 0), code("setup", 0), code("verify", 0)]
    );
    assert_eq!(outcome["is_set_up"], true);
    assert_eq!(outcome["steps"][1]["output"], "ready\nwarned\n");
    // All that each has printed is in a file of its own, and can be followed in the log of the task.
    let printed = |name: &str| fs::read_to_string(project.attempt_dir("one").join(name)).expect("its output");
    assert_eq!(
        (printed("setup.log"), printed("setup-2.log"), printed("verify.log")),
        (String::new(), "ready\nwarned\n".into(), "work\n".into())
    );
    let logs = project.run(&["logs", "one"]).out();
    for said in [
        "[pleach: setup: echo second",
        "| ready",
        "| warned",
        "[pleach: setup exited with code 0 after",
        "| work",
    ] {
        assert!(logs.contains(said), "{said} in {logs}");
    }
    let result = ended.result("one");
    assert_eq!(
        (&result["answer"], &result["steps"][2]["kind"]),
        (&"done".into(), &"verify".into())
    );
    assert_eq!(project.changed_in("main-task-one"), "a.txt\n");
}

#[test]
fn a_setup_that_fails_costs_no_agent() {
    let project = Project::new();
    let ended = project.session(
        &[("one", "@touch ../../agent")],
        &[
            "--setup",
            "echo fetching; echo no network >&2; exit 7",
            "--setup",
            "touch ../../second",
            "--verify",
            "true",
        ],
    );
    ended.assert_exit(1);
    let task = ended.task("one");
    assert_eq!((&task["outcome"], &task["reason"]), (&"failed".into(), &"setup".into()));
    assert_eq!(
        task["error"],
        "echo fetching; echo no network >&2; exit 7 exited with code 7: no network"
    );
    assert!(!project.root().join("agent").exists() && !project.root().join("second").exists());
    let outcome = outcome(&project, "one");
    assert_eq!(
        (&outcome["end"]["how"], &outcome["cost_usd"]),
        (&"not_started".into(), &Value::Null)
    );
    assert_eq!(outcome["is_set_up"], Value::Null);
    assert_eq!(codes(&outcome["steps"]), [code("setup", 7)]);
    let text = project.run(&["results"]).out();
    for said in [
        "reason   setup: ",
        "exited with code 7 after",
        "setup printed at last:\nfetching\nno network\n",
        "/one.1/setup.log)",
    ] {
        assert!(text.contains(said), "{said} in {text}");
    }
}

#[test]
fn a_verification_that_fails_fails_the_task_and_its_work_is_kept() {
    let project = Project::new();
    let ended = project.session(
        &[("good", "@write a.txt good"), ("bad", "@write a.txt bad\n@say done")],
        &[
            "--verify",
            "seq 30; grep -n good a.txt || { echo 'a.txt is \u{1b}[31mbad'; exit 4; }",
        ],
    );
    ended.assert_exit(1);
    ended.assert_succeeded("good");
    let task = ended.task("bad");
    assert_eq!(
        (&task["outcome"], &task["reason"]),
        (&"failed".into(), &"verify".into())
    );
    assert_eq!(project.show("main-task-bad:a.txt"), "bad\n");
    assert!(project.worktree("bad").exists());
    let result = ended.result("bad");
    assert_eq!(codes(&result["steps"]), [code("verify", 4)]);
    let log = result["steps"][0]["log"].as_str().expect("its output");
    assert!(fs::read_to_string(log).expect("its output").starts_with("1\n2\n3\n"));
    let text = project.run(&["results"]).out();
    // The end of it, and nothing that could do something to a terminal.
    assert!(
        text.contains("verify printed at last:\n12\n13\n") && text.contains("a.txt is \\x1b[31mbad\n"),
        "{text}"
    );
}

#[test]
fn what_an_agent_could_not_do_is_not_verified() {
    let project = Project::new();
    let ended = project.session(&[("one", "@fail no")], &["--verify", "touch ../../verified"]);
    ended.assert_exit(1);
    assert_eq!(ended.task("one")["reason"], "agent_error");
    assert!(!project.root().join("verified").exists());
}

/// Runs a runner by hand to the end of its attempt, and gives the outcome.
fn attempt(project: &Project, script: &str, more: &Value) -> Value {
    let dir = tempfile::tempdir_in(project.root()).expect("a directory").keep();
    let mut request = json!({
        "schema": 1, "attempt": uuid::Uuid::new_v4(), "program": "/bin/sh", "args": ["-c", script],
        "directory": project.root(), "stdin": "", "environment": [], "environment_removed": [],
        "timeout_ms": null, "grace_ms": 1000, "max_output_bytes": 1_000_000,
    });
    for (name, value) in more.as_object().expect("an object") {
        request[name] = value.clone();
    }
    fs::write(dir.join("request.json"), request.to_string()).expect("write the request");
    let mut command = project.pleach_command(&["__runner"]);
    let mut child = command.arg(&dir).stdin(Stdio::piped()).spawn().expect("start a runner");
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().expect("its output"));
    out.read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n");
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(b"go\n").expect("give the word");
    drop(stdin);
    let ran = Ran(child.wait_with_output().expect("wait for the runner"));
    assert_eq!(ran.code(), 0, "{ran:?}");
    read_json(dir.join("outcome.json"))
}

#[test]
fn a_condition_decides_before_everything_else_by_the_answers_it_is_given() {
    let project = Project::new();
    let step = |command: &str, stdin: &str| json!({"command": command, "stdin": stdin});
    let asks = |answer: &str| {
        let more = json!({"run_if": step("grep -q yes", answer), "setup": [step("echo setup >>order", "")]});
        attempt(&project, "echo agent >>order", &more)
    };
    let skipped = asks("no\n");
    assert_eq!(skipped["verdict"], "skipped");
    assert_eq!(skipped["error"], "grep -q yes exited with code 1");
    assert!(!project.root().join("order").exists());
    let done = asks("yes\n");
    assert_eq!(done["verdict"], "succeeded");
    assert_eq!(codes(&done["steps"]), [code("run_if", 0), code("setup", 0)]);
    assert_eq!(
        fs::read_to_string(project.root().join("order")).expect("the order"),
        "setup\nagent\n"
    );
    // One that reads nothing of three megabytes is not waited for.
    let more = json!({"run_if": step("exit 1", &"x".repeat(3 << 20))});
    assert_eq!(attempt(&project, "true", &more)["verdict"], "skipped");
}

#[test]
fn a_command_that_cannot_be_started_is_a_failure_that_says_so() {
    let project = Project::new();
    let step = json!({"command": "true", "stdin": ""});
    for (name, value, reason) in [("run_if", step.clone(), "setup"), ("setup", json!([step]), "setup")] {
        let more = json!({name: value, "directory": project.root().join("gone")});
        let outcome = attempt(&project, "true", &more);
        assert_eq!(
            (&outcome["verdict"], &outcome["reason"]),
            (&"failed".into(), &reason.into())
        );
        let error = outcome["error"].as_str().expect("an error");
        assert!(error.starts_with("cannot start true: its directory "), "{error}");
    }
    // The agent takes its own directory away.
    let here = project.root().join("here");
    fs::create_dir(&here).expect("make a directory");
    let outcome = attempt(&project, "rmdir $PWD", &json!({"verify": step, "directory": here}));
    assert_eq!(
        (&outcome["reason"], &outcome["is_set_up"]),
        (&"verify".into(), &true.into())
    );
}

#[test]
fn what_a_command_leaves_behind_is_ended_before_the_next_begins() {
    let project = Project::new();
    let step = |command: &str| json!({"command": command, "stdin": ""});
    let more = json!({
        "setup": [step("setsid sh -c 'echo $$ >pid; exec sleep 600' & until [ -s pid ]; do sleep 0.01; done")],
        "verify": step("! kill -0 $(cat pid)"),
    });
    let outcome = attempt(&project, "! kill -0 $(cat pid)", &more);
    assert_eq!(outcome["verdict"], "succeeded", "{outcome:#}");
    assert_eq!(outcome["killed_processes"], 1);
    assert_eq!(project.agents(), [""; 0]);
}

#[test]
fn what_a_command_prints_is_capped_and_its_end_is_known() {
    let project = Project::new();
    let command = "yes 'a line' | head -c 3000000; echo the end";
    let more = json!({"setup": [{"command": command, "stdin": ""}]});
    let outcome = attempt(&project, "true", &more);
    assert_eq!(outcome["verdict"], "succeeded");
    let shown = outcome["steps"][0]["output"].as_str().expect("its output");
    assert_eq!(shown.chars().count(), 4000);
    assert!(shown.ends_with("the end\n"), "{shown}");
    let found = project
        .sh("stat -c %s ../*/setup.log ../*/output.log ../.tmp*/setup.log ../.tmp*/output.log 2>/dev/null || true");
    let sizes: Vec<u64> = found.lines().map(|l| l.parse().expect("a size")).collect();
    assert_eq!(sizes.len(), 2, "{found}");
    assert!(
        (1_000_000..1_000_200).contains(&sizes[0]) && sizes[1] < 100_000,
        "{sizes:?}"
    );
}

#[test]
fn the_time_of_an_attempt_holds_for_all_of_it() {
    let project = Project::new();
    let forever = "trap '' TERM; sleep 600 & wait; sleep 600";
    for (id, options, error) in [
        ("setup", ["--setup", forever], "at last setup"),
        ("verify", ["--verify", forever], "at last verify"),
    ] {
        let project = Project::new();
        let limits = ["--timeout", "1s", "--grace", "100ms"];
        let ended = project.session(&[(id, "@write a.txt work")], &[&options[..], &limits].concat());
        ended.assert_exit(1);
        let task = ended.task(id);
        assert_eq!(task["reason"], "time_out", "{task:#}");
        let said = task["error"].as_str().expect("an error");
        assert!(
            said.starts_with("ran longer than 1 s") && said.contains(error),
            "{said}"
        );
        assert_eq!(project.agents(), [""; 0]);
    }
    // Of an agent as before.
    let ended = project.session(&[("agent", "@sleep 600")], &["--timeout", "1s", "--setup", "true"]);
    assert_eq!(ended.task("agent")["error"], "ran longer than 1 s");
}

#[test]
fn an_agent_that_prints_nothing_for_too_long_is_ended() {
    let project = Project::new();
    // One that speaks now and then, on either stream, and one around which it is silent for long, are not.
    let speaks = "for i in 1 2 3 4 5 6; do sleep 0.5; echo $i >&$((i % 2 + 1)); done";
    let ended = project.shell_session(
        &[("silent", "echo hello; sleep 600"), ("speaks", speaks)],
        &["--idle-timeout", "1500ms", "--grace", "100ms", "--setup", "sleep 2"],
    );
    ended.assert_exit(1);
    let task = ended.task("silent");
    assert_eq!(
        (&task["reason"], &task["error"]),
        (&"idle_time_out".into(), &"printed nothing for 1500 ms".into())
    );
    ended.assert_succeeded("speaks");
}

#[test]
fn a_stop_ends_the_command_that_runs_and_begins_nothing_more() {
    for (option, others) in [("--setup", ["agent", "verified"]), ("--verify", ["stays", "verified"])] {
        let project = Project::new();
        // It ignores SIGTERM, and so do those that it has sent elsewhere.
        let hangs = "trap '' TERM; (setsid sleep 600 &); touch ../../up; sleep 600; touch ../../verified";
        let prompt = match option {
            "--setup" => "@touch ../../agent",
            _ => "@write a.txt work",
        };
        let session = project.start(&[("one", prompt)], &[option, hangs, "--grace", "200ms"]);
        project.await_file("up");
        let activity = project.until("its activity", |project| {
            project.query(&["status"])["tasks"][0]["activity"]
                .as_str()
                .map(str::to_owned)
        });
        assert!(activity.starts_with(&format!("{}: trap", &option[2..])), "{activity}");
        assert_eq!(project.run(&["stop", &session]).code(), 0);
        let task = project.until("it is settled", |project| {
            let task = project.query(&["status"])["tasks"][0].clone();
            (task["status"] == "completed").then_some(task)
        });
        assert_eq!(task["outcome"], "stopped", "{task:#}");
        assert_eq!(project.agents(), [""; 0]);
        for other in others {
            assert!(!project.root().join(other).exists(), "{other}");
        }
        if option == "--verify" {
            assert_eq!(project.show("main-task-one:a.txt"), "work\n");
        }
    }
}

// Fault 1: kill -9 of the supervisor while a worktree is set up.
#[test]
fn a_setup_outlives_its_supervisor_and_is_done_once() {
    let project = Project::new();
    let setup = "echo setup >>../../order; until [ -e ../../gate ]; do sleep 0.05; done; echo is >>../../order";
    let verify = "echo verify >>../../order";
    let session = project.start(
        &[("one", "@run echo agent >>../../order\n@write a.txt work")],
        &["--setup", setup, "--verify", verify],
    );
    project.line_beside("order");
    project.kill_supervisor();
    assert_eq!(project.run(&["resume", &session]).code(), 0);
    project.open("gate");
    assert_eq!(project.run(&["wait"]).code(), 0);
    assert_eq!(project.sh("cat ../order"), "setup\nis\nagent\nverify\n");
    assert_eq!(project.show("main-task-one:a.txt"), "work\n");
}

// Fault 2: kill -9 of the runner, and of its supervisor, while a worktree is set up.
#[test]
fn a_setup_that_was_cut_off_is_done_again_before_the_agent() {
    let project = Project::new();
    let setup = "echo $$ >>../../order; [ $(wc -l <../../order) -gt 1 ] || sleep 600";
    let session = project.start(&[("one", "@write a.txt work")], &["--setup", setup]);
    project.line_beside("order");
    let identity = read_json(project.attempt_dir("one").join("identity.json"));
    project.kill_supervisor();
    project.sh(&format!("kill -9 {}", identity["pid"]));
    assert_eq!(project.run(&["resume", &session]).code(), 0);
    assert_eq!(project.run(&["wait"]).code(), 0);
    assert_eq!(project.sh("wc -l <../order").trim(), "2");
    assert_eq!(project.show("main-task-one:a.txt"), "work\n");
}

/// What `env` says of the variables that begin so.
fn variables(text: &str, prefix: &str) -> Vec<String> {
    let mut found: Vec<String> = text
        .lines()
        .filter(|l| l.starts_with(prefix))
        .map(str::to_owned)
        .collect();
    found.sort();
    found
}

#[test]
fn an_agent_and_the_commands_around_it_know_where_they_are() {
    let mut project = Project::new();
    for outer in [
        "SESSION",
        "BRANCH",
        "WORKTREE",
        "REPO",
        "BASE",
        "PORT",
        "COMM_DIR",
        "STATUS_FILE",
    ] {
        project.set(&format!("PLEACH_{outer}"), "of an outer session");
    }
    let env = [
        "--env",
        "GREETING=hello=you",
        "--env",
        "GIT_AUTHOR_NAME=Robot",
        "--env",
        "PLEACH_BRANCH=other",
    ];
    let around = ["--setup", "env >../../setup", "--verify", "env >../../verify"];
    let ended = project.session(&[("one", "@run env >../../agent")], &[&env[..], &around].concat());
    ended.assert_succeeded("one");
    let base = project.git(&["rev-parse", "main"]);
    let id = ended.status["session_id"].as_str().expect("an id");
    let (worktree, repo) = (project.worktree("one"), project.repo());
    for who in ["setup", "agent", "verify"] {
        let text = project.sh(&format!("cat ../{who}"));
        for line in [
            format!("PLEACH_SESSION={id}"),
            "PLEACH_TASK_ID=one".into(),
            "PLEACH_BRANCH=main-task-one".into(),
            format!("PLEACH_BASE={}", base.trim()),
            format!("PLEACH_WORKTREE={}", worktree.display()),
            format!("PLEACH_REPO={}", repo.display()),
            "GREETING=hello=you".into(),
            "GIT_AUTHOR_NAME=Robot".into(),
        ] {
            assert!(text.lines().any(|l| l == line), "{line} for the {who} in {text}");
        }
        assert!(!text.contains("outer"), "{text}");
        let port: u16 = variables(&text, "PLEACH_PORT=")[0][12..].parse().expect("a port");
        assert!((20_000..30_000).contains(&port), "{port}");
    }
    // Without worktrees there is none of what belongs to one, and nothing of the outer session either.
    let project = {
        let mut project = Project::new();
        project.set("PLEACH_WORKTREE", "of an outer session");
        project.set("PLEACH_COMM_DIR", "of an outer session");
        project
    };
    let ended = project.session(
        &[("one", "@run env >../agent")],
        &["--no-worktree", "--env", "GREETING=hi"],
    );
    ended.assert_succeeded("one");
    let text = project.sh("cat ../agent");
    assert!(text.contains("\nGREETING=hi\n") && !text.contains("outer"), "{text}");
    assert_eq!(variables(&text, "PLEACH_WORKTREE="), [""; 0]);
}

#[test]
fn each_running_attempt_has_a_port_that_nobody_else_has() {
    let project = Project::new();
    let prompt =
        |id: &str| format!("@run echo $PLEACH_PORT >../../{id}.new; mv ../../{id}.new ../../{id}\n@wait ../../gate");
    let prompts: Vec<(String, String)> = ["a", "b", "c"].map(|id| (id.to_owned(), prompt(id))).into();
    let tasks: Vec<(&str, &str)> = prompts.iter().map(|(id, prompt)| (&**id, &**prompt)).collect();
    project.start(&tasks, &[]);
    let other = prompt("d");
    project.start(&[("d", &other)], &[]);
    let mut ports: Vec<String> = ["a", "b", "c", "d"].map(|id| project.line_beside(id)).into();
    ports.sort();
    ports.dedup();
    assert_eq!(ports.len(), 4, "{ports:?}");
    // It can be listened at.
    let number: u16 = ports[0].parse().expect("a port");
    drop(std::net::TcpListener::bind(("127.0.0.1", number)).expect("listen"));
    project.open("gate");
    project.run(&["wait", "--timeout", "60s"]);
}

#[test]
fn an_attempt_without_a_port_of_its_own_goes_on_and_says_so() {
    let project = Project::new();
    let state = project.root().join("home/.local/state/pleach");
    fs::create_dir_all(&state).expect("make a directory");
    let machine = project.sh("uname -n");
    std::os::unix::fs::symlink("/", state.join(format!("ports-{}", machine.trim()))).expect("make a link");
    let ended = project.session(&[("one", "@run env >../../agent")], &[]);
    ended.assert_succeeded("one");
    let notes = ended.task("one")["notes"].to_string();
    assert!(
        notes.contains("no port of its own (PLEACH_PORT)") && notes.contains("only you may write to"),
        "{notes}"
    );
    assert_eq!(variables(&project.sh("cat ../agent"), "PLEACH_PORT"), [""; 0]);
}

#[test]
fn paths_that_are_no_text_come_whole_into_the_environment() {
    use std::os::unix::ffi::OsStringExt;
    let project = Project::new();
    let mut name = project.root().as_os_str().to_owned().into_encoded_bytes();
    name.extend_from_slice(b"/n\xff");
    let place = PathBuf::from(std::ffi::OsString::from_vec(name));
    fs::create_dir(&place).expect("make a directory");
    let file = project.tasks(&[("one", "@run test \"$PWD\" = \"$PLEACH_WORKTREE\" && touch ../../it-is")]);
    let mut command = project.pleach_command(&["run", "--sync", "--agent", "scripted", "--worktree-dir"]);
    let ran = ran(command.arg(place.join("trees")).arg(file));
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(place.join("it-is").exists());
}
