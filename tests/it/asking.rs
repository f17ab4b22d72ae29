//! Asking about sessions: `status`, `results`, `list` and `wait`, as text for people and as JSON for programs.
//!
//! A session can be named by its id, the beginning of it, or not at all, a task also by its number. What is asked for
//! while agents run waits at a gate, a file that the test makes.

use std::collections::BTreeSet;
use std::io::pipe;
use std::process::Child;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::support::{PATIENCE, Project, Ran};

/// An agent that has begun its work, and goes on when the gate opens.
const WAITS: &str = "@write part.txt half\n@touch ../../here\n@wait ../../gate\n@say rest";

#[test]
fn a_session_is_named_by_its_id_a_beginning_of_it_or_nothing() {
    let project = Project::new();
    let old = project.start(&[("a", "@say hi")], &[]);
    project.run(&["wait"]);
    let new = project.start(&[("b", "@say hi")], &[]);
    project.run(&["wait"]);
    for command in ["status", "results", "plan", "wait", "stop"] {
        let full = format!("session-{old}");
        for (query, expected) in [
            (Some(old.as_str()), &old),
            (Some(&old[..8]), &old),
            (Some(&old.to_uppercase()[..13]), &old),
            (Some(&full), &old),
            (Some(&new[..8]), &new),
            (None, &new),
        ] {
            let arguments: Vec<&str> = [command].into_iter().chain(query).collect();
            let answer = project.query(&arguments);
            assert_eq!(answer["schema"], 1, "{command}");
            assert_eq!(answer["session_id"], **expected, "{command} {query:?}");
            let text = project.run(&arguments);
            assert_eq!(text.code(), 0, "{text:?}");
            assert!(!text.out().is_empty() && !text.out().starts_with('{'), "{text:?}");
        }
    }
    let results = project.repo().join(".git/pleach/results");
    let twin = format!("{}-0000-4000-8000-000000000000", &old[..8]);
    std::fs::create_dir(results.join(format!("session-{twin}"))).expect("make a directory");
    for command in ["status", "results", "plan", "wait", "stop"] {
        project
            .run(&[command, &old[..8]])
            .assert_refused(2, &[&old, &twin, "\n hint: "]);
        for unknown in ["f0f0f0f0f0", "nonsense", "*", ""] {
            project
                .run(&[command, unknown])
                .assert_refused(2, &[&format!("{unknown:?}"), "\n hint: ", "pleach list"]);
        }
    }
}

#[test]
fn without_any_session_a_question_is_refused_and_the_list_is_empty() {
    for project in [Project::new(), Project::empty()] {
        for command in ["status", "results", "plan", "wait", "stop"] {
            project
                .run(&[command])
                .assert_refused(2, &["no session", "\n hint: ", "pleach run"]);
        }
        assert_eq!(project.query(&["list"]), json!({"schema": 1, "sessions": []}));
        assert_eq!(project.run(&["list"]).out(), "no sessions\n");
    }
}

#[test]
fn a_task_is_named_by_its_id_a_beginning_of_it_or_its_number() {
    let project = Project::new();
    let tasks = ["alpha", "beta-1", "beta-2", "2"].map(|id| (id, "@say hi"));
    let session = project.start(&tasks, &[]);
    project.run(&["wait"]);
    for command in ["status", "results"] {
        for (query, number) in [("alpha", 1), ("al", 1), ("1", 1), ("2", 4), ("3", 3), ("beta-1", 2)] {
            let answer = project.query(&[command, &session, query]);
            let found = answer["tasks"].as_array().expect("tasks");
            assert_eq!(found.len(), 1, "{query}: {answer:#}");
            assert_eq!(found[0]["task_num"], number, "{query}");
            let text = project.run(&[command, &session, query]).out();
            let lines = text.lines().filter(|line| line.contains("succeeded")).count();
            assert_eq!(lines, 1, "{query}: {text}");
        }
        for (query, problem) in [
            ("beta", "2 tasks"),
            ("nope", "no task"),
            ("5", "no task"),
            ("0", "no task"),
        ] {
            project
                .run(&[command, &session, query])
                .assert_refused(2, &[&format!("{query:?}"), problem, "\n hint: "]);
        }
    }
}

#[test]
fn the_status_has_exactly_its_documented_names() {
    const SESSION: &str = "completed cost_usd end_time error failed max_cost_usd overall_status schema session_id \
                           skipped start_time successful supervisor tasks total waiting_for warnings";
    const TASK: &str = "activity agent_runs attempts base branch commits cost_usd cpu_percent cpu_seconds deletions depends_on duration \
                        error exit_code files_changed head insertions last_activity memory_bytes notes outcome pid \
                        reason status stopping success task_num title transaction_id turns waiting_until worktree";
    let project = Project::new();
    let tasks = [("a", WAITS), ("b", "@exit 3"), ("c", WAITS)];
    let session = project.start(&tasks, &["--max-parallel", "1"]);
    project.await_file("here");
    project.until_it_runs(&session);
    let (running, results) = (project.query(&["status"]), project.query(&["results"]));
    let text = project.run(&["status"]).out();
    let on_disk = || std::fs::read(project.session_dir().join("status.json")).expect("read the status");
    let early: Value = serde_json::from_slice(&on_disk()).expect("JSON");
    assert!(
        text.starts_with(&format!("session {session}  running, 0 of 3 tasks settled")),
        "{text}"
    );
    for (line, word) in text.lines().skip(1).zip(["running", " pid ", "pending", "pending"]) {
        assert!(line.contains(word), "{text}");
    }
    project.open("gate");
    let ended = project.run(&["wait"]);
    assert_eq!(ended.code(), 1);
    let done = project.query(&["status"]);
    for answer in [&early, &running, &done] {
        assert_eq!(names(answer), SESSION, "{answer:#}");
        assert_eq!(names(&answer["supervisor"]), "alive pid");
        for task in answer["tasks"].as_array().expect("tasks") {
            assert_eq!(names(task), TASK, "{task:#}");
        }
    }
    assert_eq!(names(&results), "overall_status schema session_id tasks");
    for task in results["tasks"].as_array().expect("tasks") {
        let more: BTreeSet<&str> = "answer answer_file files id last_words log steps".split(' ').collect();
        let all: BTreeSet<&str> = TASK.split_whitespace().chain(more).collect();
        assert_eq!(names(task), all.into_iter().collect::<Vec<_>>().join(" "));
    }
    let states = |answer: &Value| ["status", "success", "outcome"].map(|key| answer["tasks"][0][key].clone());
    assert_eq!(states(&running), [json!("running"), Value::Null, Value::Null]);
    assert_eq!(states(&done), [json!("completed"), json!(true), json!("succeeded")]);
    assert_eq!(
        (&running["overall_status"], &running["supervisor"]["alive"]),
        (&json!("running"), &json!(true))
    );
    assert_eq!(
        (&done["overall_status"], &done["supervisor"]["alive"]),
        (&json!("completed"), &json!(false))
    );
    let counted = ["total", "completed", "successful", "failed"].map(|key| done[key].as_u64());
    assert_eq!(counted, [3, 3, 2, 1].map(Some));
    assert_eq!(serde_json::from_slice::<Value>(&on_disk()).expect("JSON"), done);
}

fn names(object: &Value) -> String {
    let keys = object.as_object().expect("an object").keys();
    let sorted: BTreeSet<&str> = keys.map(String::as_str).collect();
    sorted.into_iter().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_file_of_the_status_is_whole_at_every_moment() {
    let project = Project::new();
    let ids: Vec<String> = (0..30).map(|n| format!("t{n}")).collect();
    let tasks: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "@write n.txt new")).collect();
    project.start(&tasks, &["--max-parallel", "3"]);
    // From the moment that `run` has returned.
    let path = project.session_dir().join("status.json");
    let (mut completed, mut seen) = (0, BTreeSet::new());
    let last = project.until("the session ends", |_| {
        let text = std::fs::read(&path).expect("read the status");
        let status: Value = serde_json::from_slice(&text).expect("JSON");
        assert_eq!((&status["schema"], &status["total"]), (&json!(1), &json!(30)));
        let now = status["completed"].as_u64().expect("a number");
        assert!(now >= completed, "{completed}, then {now}");
        completed = now;
        seen.insert(now);
        (status["overall_status"] != "running").then_some(status)
    });
    assert!(seen.len() > 2 && completed == 30, "{seen:?}");
    assert_eq!(last, project.query(&["status"]));
}

#[test]
fn who_has_waited_finds_the_end_in_the_file_of_the_status() {
    let project = Project::new();
    for _ in 0..20 {
        let id = project.start(&[("a", "@say hi")], &[]);
        assert_eq!(project.run(&["wait"]).code(), 0);
        let directory = project.repo().join(".git/pleach/results").join(format!("session-{id}"));
        let text = std::fs::read(directory.join("status.json")).expect("read the status");
        let status: Value = serde_json::from_slice(&text).expect("JSON");
        assert_eq!(
            (&status["overall_status"], &status["completed"]),
            (&json!("completed"), &json!(1))
        );
        // And nobody works on it any more.
        std::fs::remove_dir_all(directory).expect("remove the session");
    }
}

#[test]
fn an_answer_is_printed_whole() {
    let project = Project::new();
    let lines: Vec<String> = (0..400)
        .map(|n| format!("{n} \u{e4}\u{4e16} {}", "x".repeat(n)))
        .collect();
    let prompt: String = lines.iter().map(|line| format!("@say {line}\n")).collect();
    let plain = format!("@plain\n{prompt}");
    project
        .session(&[("a", &prompt), ("b", &plain), ("c", "@touch x")], &[])
        .assert_exit(0);
    let answer = lines.join("\n");
    let results = project.query(&["results"]);
    let text = project.run(&["results"]).out();
    for (task, ending) in [(0, ""), (1, "\n")] {
        let task = &results["tasks"][task];
        assert_eq!(task["answer"].as_str(), Some(format!("{answer}{ending}").as_str()));
        let file = task["answer_file"].as_str().expect("a path");
        assert_eq!(
            std::fs::read_to_string(file).expect("read it"),
            format!("{answer}{ending}")
        );
    }
    assert_eq!(text.matches(&format!("\n{answer}\n")).count(), 2);
    assert!(text.contains("main-task-c"), "{text}");
}

#[test]
fn of_a_running_task_what_there_is_is_shown() {
    let project = Project::new();
    let plain = "@plain\n@say half\n@touch ../../plain\n@wait ../../gate\n@say rest";
    let tasks = [("a", plain), ("b", WAITS), ("c", "@say hi")];
    project.start(&tasks, &["--max-parallel", "2"]);
    project.await_file("plain");
    project.await_file("here");
    let of = |project: &Project, task: usize, key: &str| project.query(&["results"])["tasks"][task][key].clone();
    project.until("half is there", |project| {
        (of(project, 0, "answer") == "half\n").then_some(())
    });
    project.until("it is seen what the other does", |project| {
        let activity = of(project, 1, "activity").to_string();
        activity.contains("here").then_some(())
    });
    assert_eq!(of(&project, 0, "status"), "running");
    assert_eq!(of(&project, 1, "answer"), Value::Null);
    let text = project.run(&["results"]).out();
    let parts: Vec<&str> = text.split("\u{2501}\u{2501} ").skip(1).collect();
    for (part, expected) in parts.iter().zip([
        &["running", "no output yet", "\nhalf\n"][..],
        &["running", "here"],
        &["pending", "waits for its turn"],
    ]) {
        for word in expected {
            assert!(part.contains(word), "{word:?} is not in: {part}");
        }
        assert!(!part.contains('{'), "{part}");
    }
    assert_eq!(parts.len(), 3, "{text}");
    project.open("gate");
    assert_eq!(project.run(&["wait"]).code(), 0);
    for (task, answer) in ["half\nrest\n", "rest", "hi"].into_iter().enumerate() {
        assert_eq!(of(&project, task, "answer"), answer);
    }
}

#[test]
fn a_failed_task_shows_why_and_where_to_look() {
    let project = Project::new();
    let tasks = [
        (
            "a",
            "@write part.txt half\n@say so far\n@fail Credit balance is too low",
        ),
        ("b", "@plain\n@say I tried\n@stderr out of memory\n@exit 3"),
        ("c", "@say fine"),
    ];
    project.session(&tasks, &[]).assert_exit(1);
    let (results, text) = (project.query(&["results"]), project.run(&["results"]).out());
    let parts: Vec<&str> = text.split("\u{2501}\u{2501} ").skip(1).collect();
    for (task, reason, said) in [
        (0, "agent_error", "Credit balance is too low"),
        (1, "exit", "out of memory"),
    ] {
        let result = &results["tasks"][task];
        assert_eq!(
            (&result["outcome"], &result["reason"]),
            (&json!("failed"), &json!(reason))
        );
        let last = result["last_words"].as_str().expect("last words");
        assert!(last.contains(said), "{result:#}");
        let log = result["log"].as_str().expect("a log");
        let worktree = result["worktree"].as_str().expect("a worktree");
        let logged = std::fs::read_to_string(log).expect("read the log");
        assert!(logged.contains(said), "{logged}");
        assert!(std::path::Path::new(worktree).is_dir());
        let error = result["error"].as_str().expect("an error");
        let reason = format!("{reason}: {error}");
        for expected in [&reason, log, worktree, "last words:", last.trim_end()] {
            assert!(parts[task].contains(expected), "{expected:?} is not in: {text}");
        }
    }
    assert!(
        parts[2].contains("succeeded") && parts[2].contains("\nfine\n"),
        "{text}"
    );
    assert!(!parts[2].contains(".log") && !parts[2].contains("last words"), "{text}");
}

#[test]
fn the_list_has_the_newest_first_with_its_numbers() {
    let project = Project::new();
    let first = project.start(&[("a", "@say hi"), ("b", "@exit 3")], &[]);
    project.run(&["wait"]);
    let second = project.start(&[("c", "@say hi")], &[]);
    project.run(&["wait"]);
    let third = project.start(&[("d", WAITS), ("e", WAITS)], &["--max-parallel", "1"]);
    project.await_file("here");
    let list = project.query(&["list"]);
    assert_eq!(list["schema"], 1);
    let text = project.run(&["list"]).out();
    let mut lines = text.lines().skip(1);
    for (index, (id, state, numbers)) in [
        (&third, "running", [2, 0, 0, 0]),
        (&second, "completed", [1, 1, 1, 0]),
        (&first, "completed", [2, 2, 1, 1]),
    ]
    .into_iter()
    .enumerate()
    {
        let entry = &list["sessions"][index];
        assert_eq!(
            (&entry["session_id"], &entry["overall_status"]),
            (&json!(id), &json!(state))
        );
        let counted = ["total", "completed", "successful", "failed"].map(|key| entry[key].as_u64());
        assert_eq!(counted, numbers.map(Some), "{entry:#}");
        let status = project.query(&["status", id]);
        for key in ["start_time", "end_time", "error"] {
            assert_eq!(entry[key], status[key], "{key}");
        }
        let took = entry["duration"].as_u64().expect("a duration");
        assert!(took <= PATIENCE.as_secs(), "{entry:#}");
        let line: Vec<&str> = lines.next().expect("a line").split_whitespace().collect();
        let settled = format!("{}/{}", numbers[1], numbers[0]);
        let [_, date, clock, ..] = line[..] else {
            panic!("{text}");
        };
        assert!(date.len() == 10 && clock.len() == 5, "{text}");
        assert_eq!(
            [line[0], line[3], line[4], line[5]],
            [&id[..8], state, &settled, &numbers[2].to_string()]
        );
        assert!(line.len() > 6, "no time: {text}");
    }
    assert_eq!(lines.next(), None);
    project.open("gate");
    assert_eq!(project.run(&["wait"]).code(), 0);
}

#[test]
fn wait_tells_by_its_exit_code_how_the_session_ended() {
    let project = Project::new();
    for (prompt, code) in [("@say hi", 0), ("@exit 3", 1)] {
        let id = project.start(&[("a", prompt)], &[]);
        assert_eq!(project.run(&["wait", &id]).code(), code);
        assert_eq!(
            project.run(&["wait", &id, "--timeout", "1ms"]).code(),
            code,
            "after its end"
        );
    }
    project.start(&[("b", WAITS)], &[]);
    project.await_file("here");
    for timeout in ["0", "200ms"] {
        let ran = project.run(&["wait", "--timeout", timeout]);
        assert_eq!(ran.code(), 124, "{ran:?}");
        assert!(ran.out().contains("running, 0 of 1 task settled"), "{ran:?}");
        let ran = project.run(&["wait", "--timeout", timeout, "--json"]);
        assert_eq!((ran.code(), &ran.json()["overall_status"]), (124, &json!("running")));
    }
    for bad in ["1d", "soon", "-1"] {
        assert_eq!(project.run(&["wait", "--timeout", bad]).code(), 2, "{bad}");
    }
    // A supervisor that is killed is gone at once for those who wait.
    let waiting = project.pleach(&["wait"]);
    project.kill_supervisor();
    for ran in [
        Ran(waiting.recv_timeout(PATIENCE).expect("it ends")),
        project.run(&["wait"]),
    ] {
        assert_eq!(ran.code(), 1, "{ran:?}");
        assert!(
            ran.out().contains("interrupted") && ran.err().starts_with("warning: "),
            "{ran:?}"
        );
    }
    project.open("gate");
}

#[test]
fn all_who_wait_wake_up_when_it_ends() {
    let project = Project::new();
    project.start(&[("a", WAITS)], &[]);
    project.await_file("here");
    let wait = |_| project.pleach_command(&["wait"]).spawn().expect("start pleach");
    let mut waiting: Vec<Child> = (0..5).map(wait).collect();
    // The kernel will wake them up: they have a watch.
    for child in &waiting {
        let open = format!("/proc/{}/fd", child.id());
        project.until("it watches", |_| {
            let files = std::fs::read_dir(&open).expect("it runs").flatten();
            let mut targets = files.filter_map(|file| std::fs::read_link(file.path()).ok());
            targets.find(|target| target.to_string_lossy().contains("inotify"))
        });
    }
    project.open("gate");
    for child in &mut waiting {
        assert_eq!(child.wait().expect("it ends").code(), Some(0));
    }
    let journal = std::fs::read_to_string(project.session_dir().join("journal.jsonl")).expect("read the journal");
    let last: Value = serde_json::from_str(journal.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["event"], "session_ended");
    let ended = Duration::from_millis(last["at_ms"].as_u64().expect("a time"));
    let late = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("now") - ended;
    assert!(late < Duration::from_secs(1), "{late:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let project = Project::new();
    project
        .session(&[("a", "@write n.txt new"), ("b", "@exit 3")], &[])
        .assert_exit(1);
    for command in ["list", "status", "results", "plan", "wait", "stop"] {
        for option in [&[][..], &["--json"], &["--help"]] {
            let arguments = [&[command], option].concat();
            let (reader, writer) = pipe().expect("a pipe");
            drop(reader);
            let (reader, errors) = pipe().expect("a pipe");
            let mut asking = project.pleach_command(&arguments);
            let mut child = asking.stdout(writer).stderr(errors).spawn().expect("start pleach");
            let status = child.wait().expect("it ends");
            drop(asking);
            let said = std::io::read_to_string(reader).expect("read it");
            // It tells of the failed task as ever.
            let code = i32::from(command == "wait" && option != ["--help"]);
            assert_eq!(status.code(), Some(code), "{arguments:?}: {said}");
            assert!(!said.contains("panicked"), "{arguments:?}: {said}");
        }
    }
}
