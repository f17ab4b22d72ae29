//! The whole of pleach with the real Claude Code CLI, which talks to a stub of its API.
//!
//! `PLEACH_TEST_CLAUDE` says where the CLI is. Without it the tests are skipped, and under `CI=true` they fail.

use std::fs;
use std::ops::Deref;
use std::process::Output;
use std::sync::mpsc::Receiver;

use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::geteuid;
use serde_json::{Value, json};

use crate::claude_stub::ClaudeStub;
use crate::support::{Ended, PATIENCE, Project, Ran};

#[test]
fn a_written_file_is_committed_on_the_branch_of_its_task() {
    let Some(project) = ClaudeProject::new() else {
        return;
    };
    let prompt = "STUB write a.txt <<<hi\\n>>>\nSTUB say all done";
    let ended = project.run(&[("writes", prompt)], &[]);
    ended.assert_exit(0);
    ended.assert_succeeded("writes");
    assert_eq!(ended.result("writes")["answer"], "all done");
    let task = ended.task("writes");
    assert_eq!(task["branch"], "main-task-writes");
    assert_eq!(task["turns"], 2);
    assert!(task["cost_usd"].as_f64() > Some(0.0), "{task:#}");
    assert_eq!(project.show("main-task-writes:a.txt"), "hi\n");
    assert_eq!(project.git(&["log", "--format=%s", "main"]), "first\n");
    assert_eq!(project.git(&["status", "--porcelain"]), "");
    // What the CLI says it took is what is shown everywhere.
    let told = project.results_in_log("writes").pop().expect("a result");
    let end = project.entries("writes", "end").pop().expect("an end");
    for shown in [task, ended.result("writes"), &end] {
        assert_eq!(
            (&shown["turns"], &shown["cost_usd"]),
            (&told["num_turns"], &told["total_cost_usd"])
        );
    }
    let shown = project.project.run(&["logs", "writes"]);
    let cost = told["total_cost_usd"].as_f64().expect("a number");
    let expected = format!("\n→ Write a.txt\n\nall done\n\n— success, 2 turns, ${cost:.2}\n");
    assert!(
        shown.out().starts_with("— begins with claude") && shown.out().ends_with(&expected),
        "{shown:?}"
    );
}

#[test]
fn a_commit_of_the_agent_stays_as_it_is() {
    let Some(project) = ClaudeProject::new() else {
        return;
    };
    let prompt = "STUB bash echo hi >b.txt && git add b.txt && git commit -qm 'by the agent'";
    let ended = project.run(&[("commits", prompt)], &[]);
    ended.assert_exit(0);
    ended.assert_succeeded("commits");
    let subjects = project.git(&["log", "--format=%s", "main..main-task-commits"]);
    assert_eq!(subjects, "by the agent\n");
    assert_eq!(project.show("main-task-commits:b.txt"), "hi\n");
}

#[test]
fn an_overload_that_passes_is_no_failure() {
    let Some(project) = ClaudeProject::new() else {
        return;
    };
    let ended = project.run(&[("waits", "STUB fail 529 1\nSTUB say recovered")], &[]);
    ended.assert_exit(0);
    ended.assert_succeeded("waits");
    assert_eq!(ended.result("waits")["answer"], "recovered");
    assert_eq!(ended.task("waits")["attempts"], 1);
    assert_eq!(project.stub.requests(), 2);
}

#[test]
fn an_error_that_stays_is_seen_in_every_retry_and_fails_the_task() {
    let Some(project) = ClaudeProject::new() else {
        return;
    };
    let ended = project.run(&[("broken", "STUB fail 500 99\nSTUB say never")], &[]);
    ended.assert_exit(1);
    ended.assert_failed("broken", "agent_error");
    let error = ended.task("broken")["error"].as_str().unwrap_or_default();
    assert!(error.contains("500"), "{error}");
    // As CLAUDE_CODE_MAX_RETRIES says.
    assert_eq!(project.stub.requests(), 3);
    let retries = project.entries("broken", "retry");
    let seen: Vec<Value> = ["attempt", "max_attempts", "status", "error"]
        .map(|key| retries.iter().map(|retry| retry[key].clone()).collect())
        .into();
    assert_eq!(
        seen,
        [
            json!([1, 2]),
            json!([2, 2]),
            json!([500, 500]),
            json!(["server_error", "server_error"])
        ]
    );
    let shown = project.project.run(&["logs", "broken"]).out();
    for retry in [1, 2] {
        assert!(
            shown.contains(&format!("\n↻ server_error (500): retry {retry} of 2 in ")),
            "{shown}"
        );
    }
    assert!(shown.contains(&format!("\n— failed: {error}, ")), "{shown}");
}

#[test]
fn a_refusal_that_stays_is_an_agent_error() {
    let Some(project) = ClaudeProject::new() else {
        return;
    };
    let tasks = [
        ("invalid", "STUB fail 400 99\nSTUB say never"),
        ("cut", "STUB stop max_tokens\nSTUB say half a sen"),
        ("refused", "STUB stop refusal\nSTUB say I would rather not"),
    ];
    let ended = project.run(&tasks, &[]);
    ended.assert_exit(1);
    for (id, named) in [("invalid", "400"), ("cut", "token"), ("refused", "safeguards")] {
        ended.assert_failed(id, "agent_error");
        let error = ended.task(id)["error"].as_str().unwrap_or_default();
        assert!(error.contains(named), "{id}: {error}");
        // The CLI calls each a success, and an error.
        let told = project.results_in_log(id).pop().expect("a result");
        assert_eq!(
            (&told["subtype"], &told["is_error"]),
            (&json!("success"), &json!(true)),
            "{id}"
        );
        assert_eq!(project.entries(id, "end")[0]["success"], false, "{id}");
    }
}

#[test]
fn a_tool_that_is_denied_fails_the_task_although_the_cli_is_content() {
    let Some(project) = ClaudeProject::new() else {
        return;
    };
    for mode in ["default", "dontAsk"] {
        let id = mode.to_lowercase();
        let tasks = [(id.as_str(), "STUB write a.txt <<<x>>>\nSTUB say I could not")];
        let ended = project.run(&tasks, &["--permission-mode", mode]);
        ended.assert_exit(1);
        ended.assert_failed(&id, "denied_tools");
        let task = ended.task(&id);
        assert_eq!(
            (&task["exit_code"], &task["commits"]),
            (&json!(0), &json!(0)),
            "{task:#}"
        );
        assert_eq!(task["error"], "the agent was refused: Write");
        let told = project.results_in_log(&id).pop().expect("a result");
        assert_eq!(
            (&told["subtype"], &told["is_error"]),
            (&json!("success"), &json!(false))
        );
        let shown = project.project.run(&["logs", &id]);
        assert!(shown.out().contains("\n→ Write a.txt\n✗ Write: "), "{shown:?}");
        assert!(
            shown.out().contains("\n✗ denied: Write a.txt\n\n— success, 2 turns, "),
            "{shown:?}"
        );
        assert_eq!(
            shown.err(),
            format!("task {id} failed: denied_tools: the agent was refused: Write\n")
        );
    }
}

#[test]
fn what_a_sub_agent_was_denied_counts_and_so_do_the_turns_after_it() {
    let Some(project) = ClaudeProject::new() else {
        return;
    };
    // It works in the background: the CLI prints a result for the turns before it is done, and one for those after.
    let input = json!({
        "description": "look around",
        "subagent_type": "general-purpose",
        // It is refused an answer at first, so that it is done last.
        "prompt": "STUB fail 529 1\nSTUB bash touch a.txt\nSTUB say I could not",
    });
    let prompt = format!("STUB tool Task {input}\nSTUB say all");
    let ended = project.run(&[("delegates", &prompt)], &["--permission-mode", "default"]);
    ended.assert_exit(1);
    ended.assert_failed("delegates", "denied_tools");
    let task = ended.task("delegates");
    assert_eq!(task["error"], "the agent was refused: Bash");
    let told = project.results_in_log("delegates");
    let turns: u64 = told.iter().filter_map(|result| result["num_turns"].as_u64()).sum();
    assert_eq!((task["turns"].as_u64(), told.len()), (Some(turns), 2), "{told:#?}");
    let last = &told[1];
    assert_eq!(task["cost_usd"], last["total_cost_usd"]);
    assert_eq!(
        last["permission_denials"],
        json!([]),
        "the CLI repeats them now: {last:#}"
    );
    let shown = project.project.run(&["logs", "delegates"]).out();
    for part in [
        "\n→ Task look around\n",
        "\n┊ → Bash touch a.txt\n┊ ✗ Bash: ",
        "\n┊ I could not\n",
    ] {
        assert!(shown.contains(part), "{part:?} is not in: {shown}");
    }
    assert_eq!(shown.matches("— begins").count(), 1, "{shown}");
}

#[test]
fn a_limit_of_turns_that_is_reached_fails_the_task() {
    let Some(project) = ClaudeProject::new() else {
        return;
    };
    let prompt = "STUB write a.txt <<<one\\n>>>\nSTUB write b.txt <<<two\\n>>>\nSTUB say never";
    let options = ["--agent-arg", "--max-turns", "--agent-arg", "1"];
    let ended = project.run(&[("limited", prompt)], &options);
    ended.assert_exit(1);
    ended.assert_failed("limited", "agent_error");
    let error = ended.task("limited")["error"].as_str().unwrap_or_default();
    assert!(
        error.starts_with("error_max_turns: ") && error.contains("(1)"),
        "{error}"
    );
    // What it did until then is kept.
    assert_eq!(project.changed_in("main-task-limited"), "a.txt\n");
    let shown = project.project.run(&["logs", "limited"]).out();
    assert!(
        shown.contains(&format!("\n→ Write a.txt\n\n— failed: {error}, ")),
        "{shown}"
    );
}

#[test]
fn a_stop_in_a_tool_call_keeps_the_work_and_leaves_no_process() {
    let Some(project) = ClaudeProject::new() else {
        return;
    };
    let prompt = format!("STUB bash echo half >part.txt; {LEAVE_A_PROCESS}; perl -e 'sleep 300'\nSTUB say never");
    let run = project.start(&[("stops", &prompt)], &["--grace", "30s"]);
    let mark = project.worktree("stops").join("mark.txt");
    project.until("the tool is at work", |_| {
        fs::read_to_string(&mark)
            .is_ok_and(|text| text.ends_with('\n'))
            .then_some(())
    });
    let followed = project.pleach(&["logs", "--follow", "stops"]);
    let stop = project.project.run(&["stop"]);
    assert_eq!(stop.code(), 0, "{stop:?}");
    let ended = project.ended(&run);
    assert!(ended.left.is_empty(), "left running: {:?}", ended.left);
    let task = ended.task("stops");
    assert_eq!(
        (&task["outcome"], &task["reason"]),
        (&json!("stopped"), &Value::Null),
        "{task:#}"
    );
    // Of SIGTERM: it had not to be killed.
    assert_eq!(task["exit_code"], 143, "{task:#}");
    assert_eq!(project.show("main-task-stops:part.txt"), "half\n");
    assert_eq!(project.show("main-task-stops:mark.txt"), ended.mark());
    let followed = Ran(followed.recv_timeout(PATIENCE).expect("following ends"));
    assert!(followed.out().contains("\n→ Bash echo half"), "{followed:?}");
    assert_eq!(followed.err(), "task stops was stopped on request\n");
}

#[test]
fn two_tasks_run_at_the_same_time() {
    let Some(project) = ClaudeProject::new() else {
        return;
    };
    // Each end of a named pipe waits for the other: one after the other these would never end.
    let meeting = project.root().join("meeting");
    mkfifoat(CWD, &meeting, Mode::RUSR | Mode::WUSR).expect("make a named pipe");
    let hears = format!("STUB bash cat {} >one.txt", meeting.display());
    let says = format!("STUB bash echo hello >{}", meeting.display());
    let says = says + "\nSTUB write two.txt <<<two\\n>>>";
    let options = ["--max-parallel", "2", "--timeout", "40s"];
    let ended = project.run(&[("one", &hears), ("two", &says)], &options);
    ended.assert_exit(0);
    ended.assert_succeeded("one");
    ended.assert_succeeded("two");
    assert_eq!(project.changed_in("main-task-one"), "one.txt\n");
    assert_eq!(project.changed_in("main-task-two"), "two.txt\n");
    assert_eq!(project.show("main-task-one:one.txt"), "hello\n");
}

#[test]
fn a_time_out_leaves_no_process() {
    let Some(project) = ClaudeProject::new() else {
        return;
    };
    let prompt = format!("STUB bash {LEAVE_A_PROCESS}; perl -e 'sleep 300'\nSTUB say never");
    // The time-out must be longer than the start of the CLI on a busy machine.
    let options = ["--timeout", "10s", "--grace", "1s"];
    let run = project.start(&[("hangs", &prompt)], &options);
    project.stub.wait_for_requests(1);
    assert!(!project.agents().is_empty(), "the agent carries no mark");
    let ended = project.ended(&run);
    ended.assert_exit(1);
    ended.assert_failed("hangs", "time_out");
    assert_eq!(project.stub.requests(), 1);
    assert_eq!(project.show("main-task-hangs:mark.txt"), ended.mark());
}

#[test]
fn what_a_succeeded_task_left_running_is_ended() {
    let Some(project) = ClaudeProject::new() else {
        return;
    };
    let prompt = format!("STUB bash {LEAVE_A_PROCESS}\nSTUB say done");
    let ended = project.run(&[("leaves", &prompt)], &[]);
    ended.assert_exit(0);
    ended.assert_succeeded("leaves");
    assert_eq!(project.show("main-task-leaves:mark.txt"), ended.mark());
}

// Fault 40: a slash, with the real CLI.
#[test]
fn a_prompt_that_begins_with_a_slash_reaches_the_model() {
    let Some(project) = ClaudeProject::new() else {
        return;
    };
    let ended = project.run(&[("slash", "/exit\nSTUB say hello")], &[]);
    ended.assert_exit(0);
    ended.assert_succeeded("slash");
    assert_eq!(ended.result("slash")["answer"], "hello");
    assert_eq!(project.stub.requests(), 1);
}

// They are not in a directory of git: there the CLI writes nothing, whatever it is allowed.
#[test]
fn notes_for_other_agents_are_written_and_read_with_its_own_tools() {
    let Some(project) = ClaudeProject::new() else {
        return;
    };
    let prompt = "STUB write notes/hello.md <<<hi\\n>>>\nSTUB say all done";
    // Whatever asks for permission fails. An option of the user's that takes several values comes after those of pleach.
    let options = [
        "--permission-mode=acceptEdits",
        "--setup=ln -s \"$PLEACH_COMM_DIR\" notes",
        "--verify=cp notes/hello.md told.txt && rm notes && echo halfway >\"$PLEACH_STATUS_FILE\"",
        "--agent-arg=--add-dir",
        "--agent-arg=/tmp",
    ];
    let ended = project.run(&[("notes", prompt)], &options);
    ended.assert_exit(0);
    ended.assert_succeeded("notes");
    assert_eq!(ended.result("notes")["answer"], "all done");
    assert_eq!(project.changed_in("main-task-notes"), "told.txt\n");
    assert_eq!(project.show("main-task-notes:told.txt"), "hi\n");
    let shared = project.shared_dir();
    assert_eq!(fs::read_to_string(shared.join("hello.md")).expect("read"), "hi\n");
    assert_eq!(
        fs::read_to_string(shared.join("notes.status")).expect("read"),
        "halfway\n"
    );
}

/// Starts a process that outlives the tool call, in a session of its own, and writes its mark down.
const LEAVE_A_PROCESS: &str =
    "(setsid perl -e 'sleep 300' >/dev/null 2>&1 </dev/null &); echo \"$PLEACH_SESSION\" >mark.txt";

/// A project whose agent is the real CLI, with a stub of its own.
pub struct ClaudeProject {
    pub project: Project,
    pub claude: String,
    pub stub: ClaudeStub,
}

impl ClaudeProject {
    /// Nothing when the test is to be skipped.
    pub fn new() -> Option<Self> {
        Self::with(("ANTHROPIC_API_KEY", "dummy"))
    }

    /// The same with this account, as a variable.
    pub fn with(account: (&str, &str)) -> Option<Self> {
        let Ok(claude) = std::env::var("PLEACH_TEST_CLAUDE") else {
            let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!ci, "PLEACH_TEST_CLAUDE is not set");
            eprintln!("skipped: PLEACH_TEST_CLAUDE is not set");
            return None;
        };
        let stub = ClaudeStub::start();
        let mut project = Project::new();
        for (name, value) in [
            account,
            ("ANTHROPIC_BASE_URL", &stub.base_url()),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ("CLAUDE_CODE_MAX_RETRIES", "2"),
            ("DISABLE_AUTOUPDATER", "1"),
            ("DISABLE_ERROR_REPORTING", "1"),
            ("DISABLE_TELEMETRY", "1"),
        ] {
            project.set(name, value);
        }
        if geteuid().is_root() {
            // Else the CLI refuses to work as root without asking for each tool.
            project.set("IS_SANDBOX", "1");
        }
        Some(Self { project, claude, stub })
    }

    /// Starts a run of these tasks, each an id and a prompt.
    pub fn start(&self, tasks: &[(&str, &str)], options: &[&str]) -> Receiver<Output> {
        let file = self.tasks(tasks);
        let mut arguments = vec!["run", "--sync", "--claude", &self.claude];
        arguments.extend(options);
        arguments.push(&file);
        self.pleach(&arguments)
    }

    pub fn run(&self, tasks: &[(&str, &str)], options: &[&str]) -> Ended {
        self.ended(&self.start(tasks, options))
    }

    /// The events of the kind `result` in what the CLI printed.
    pub fn results_in_log(&self, id: &str) -> Vec<Value> {
        let raw = self.project.run(&["logs", "--raw", id]).out();
        let events = raw.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|event| event["type"] == "result").collect()
    }

    /// The entries of one kind in `pleach logs --json`.
    fn entries(&self, id: &str, kind: &str) -> Vec<Value> {
        let mut document = self.query(&["logs", id]);
        let entries: Vec<Value> = serde_json::from_value(document["entries"].take()).expect("entries");
        entries.into_iter().filter(|entry| entry["kind"] == kind).collect()
    }
}

impl Deref for ClaudeProject {
    type Target = Project;

    fn deref(&self) -> &Project {
        &self.project
    }
}
