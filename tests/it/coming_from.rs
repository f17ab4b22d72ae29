//! The tables that say what functions and options of other runners are in pleach: each row is run.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::documents::with_agent;
use crate::support::{Project, Ran, ran};

/// The first cells of the table below a heading.
fn rows(heading: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/coming-from.md");
    let text = fs::read_to_string(path).expect("read a document");
    let lines = text
        .lines()
        .skip_while(|line| !line.starts_with(&format!("## {heading}")));
    let table = lines
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| line.starts_with('|'));
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').splitn(2, " | ").collect();
        (cells[0].trim().to_owned(), cells[1].trim().to_owned())
    };
    // Without the head.
    table.skip(2).map(row).collect()
}

/// A project whose agent answers with its prompt, or waits where the prompt says so, and in which a line of the shell is
/// typed as it stands in a table.
struct There(Project);

impl There {
    fn new() -> Self {
        let mut project = Project::new();
        with_agent(
            &mut project,
            r#"case $prompt in
            *wait*) echo "@wait $PLEACH_REPO/../gate" ;;
            *) echo "@say you said: $prompt" ;;
            esac"#,
        );
        Self(project)
    }

    #[track_caller]
    fn types(&self, line: &str) -> Ran {
        let ran = ran(self.0.command("sh").args(["-ec", line]));
        assert_eq!(ran.code(), 0, "{line}: {ran:?}");
        ran
    }

    fn status(&self) -> Value {
        self.0.query(&["status"])
    }

    /// Runs a line that starts a session, and waits for its end.
    #[track_caller]
    fn session(&self, line: &str) -> Value {
        self.types(line);
        self.types("pleach wait");
        self.status()
    }
}

fn answers(there: &There) -> Vec<String> {
    let results = there.0.query(&["results"]);
    let tasks = results["tasks"].as_array().expect("tasks").clone();
    tasks
        .iter()
        .map(|task| task["answer"].as_str().expect("an answer").trim().to_owned())
        .collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, row by row")]
fn the_zsh_functions() {
    for (row, here) in rows("The zsh functions") {
        let there = There::new();
        // What stands there is what is typed here.
        let says = |command: &str| assert!(here.contains(command), "{row}: {here:?} does not say {command:?}");
        match row.as_str() {
            r#"`run_claude_parallel "A" "B" "C"`"# => {
                let line = r#"pleach run -p "A" -p "B" -p "C""#;
                says(line);
                there.session(line);
                assert_eq!(answers(&there), ["you said: A", "you said: B", "you said: C"]);
            }
            r#"`run_claude_async "A"`"# => {
                let line = r#"pleach run -p "A""#;
                says(line);
                assert_eq!(there.types(line).out().trim(), there.status()["session_id"]);
            }
            "`claude_job_status`" => {
                says("pleach status");
                there.types("pleach run -p wait");
                assert!(there.types("pleach status").out().contains("wait"));
                assert!(there.types("pleach list").out().contains("running"));
                there.types("pleach stop --all");
            }
            "`stop_claude_jobs`" => {
                says("pleach stop --all");
                there.types("pleach run -p wait");
                there.types("pleach stop --all");
                assert_eq!(there.status()["overall_status"], "stopped");
            }
            "`wait_for_claude_jobs`" => {
                says("pleach wait");
                there.types("pleach run -p A; pleach wait");
                assert_eq!(there.status()["overall_status"], "completed");
            }
            "`wait_for_claude_jobs 120`" => {
                says("pleach wait --timeout 120");
                there.types("pleach run -p A; pleach wait --timeout 120");
                there.types("pleach run -p wait; pleach wait --timeout 100ms || test $? = 124; pleach stop");
            }
            "`run_claude_with_handler \"A\" out.txt callback`" => {
                let line = r#"pleach run --output-file out.txt --on-task-done 'callback' -p "A""#;
                says(line);
                let program = there.0.program(
                    "callback",
                    "{ cat; echo; echo \"$PLEACH_EXIT_CODE\"; } > \"$(dirname \"$0\")/called\"",
                );
                there.session(&line.replace("callback", &program));
                let called = fs::read_to_string(there.0.root().join("called")).expect("what the handler was given");
                assert_eq!(
                    called.split_whitespace().collect::<Vec<_>>(),
                    ["you", "said:", "A", "0"]
                );
                let written = fs::read_to_string(there.0.repo().join("out.txt")).expect("the answer");
                assert_eq!(written.trim(), "you said: A");
            }
            "`claude_batch_process prompts.txt out/`" => {
                let line = "pleach run --output-dir out/ prompts.txt";
                says(line);
                there.0.write("prompts.txt", "one\n\ntwo\n");
                there.session(line);
                let mut written: Vec<String> = fs::read_dir(there.0.repo().join("out"))
                    .expect("the directory")
                    .map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("an answer"))
                    .map(|text| text.trim().to_owned())
                    .collect();
                written.sort();
                assert_eq!(written, ["you said: one", "you said: two"]);
            }
            "`CLAUDE_ASYNC_DEBUG=1`" => {
                says("CLAUDE_ASYNC_DEBUG=1 pleach run");
                there.session("CLAUDE_ASYNC_DEBUG=1 pleach run -p A 2>debug");
                let log = fs::read_to_string(there.0.session_dir().join("supervisor.log")).expect("the log");
                assert!(log.contains("DEBUG"), "{log}");
            }
            "`CLAUDE_ASYNC_OUTPUT_DIR=DIR`" => {
                says("--output-dir DIR");
                there.session("pleach run --output-dir DIR -p A");
                assert_eq!(fs::read_dir(there.0.repo().join("DIR")).expect("it").count(), 1);
                says("PLEACH_OUTPUT_DIR=DIR");
                there.session("PLEACH_OUTPUT_DIR=other pleach run -p A");
                assert_eq!(fs::read_dir(there.0.repo().join("other")).expect("it").count(), 1);
            }
            "`CLAUDE_ASYNC_TIMEOUT=300`" => {
                says("--timeout 300");
                let shown = there.types("pleach run --timeout 300 --dry-run --json -p A").json();
                assert!(shown.to_string().contains("300000"), "{shown}");
            }
            "`get_optimal_parallel_count`" => {
                says("--max-parallel auto");
                let shown = there
                    .types("pleach run --max-parallel auto --dry-run --json -p A")
                    .json();
                assert!(shown["max_parallel"].as_u64() > Some(0), "{shown}");
            }
            "`run_claude_limited`, `MAX_PARALLEL_JOBS=3`" => {
                says("--max-parallel 3");
                let shown = there.types("pleach run --max-parallel 3 --dry-run --json -p A").json();
                assert_eq!(shown["max_parallel"], 3);
            }
            "`batch_process_optimized prompts.txt`, `adaptive_batch_processor`" => {
                says("pleach run --max-parallel auto prompts.txt");
                there.0.write("prompts.txt", "A\n\nB\n");
                let done = there.session("pleach run --max-parallel auto prompts.txt");
                assert_eq!(done["successful"], 2);
            }
            "`check_memory_before_run 500 4`" => {
                says("--min-free-memory 2G");
                there.session("pleach run --min-free-memory 1K -p A");
                there.types("pleach run --min-free-memory 9999999G -p A");
                there.0.until("it waits for memory", |_| {
                    there.status()["waiting_for"].as_str().map(str::to_owned)
                });
                there.types("pleach stop");
            }
            "`check_system_resources`" => {
                says("pleach doctor");
                let checked = ran(there.0.command("sh").args(["-c", "pleach doctor"]));
                assert!(
                    checked.out().contains("memory") && checked.out().contains("disk"),
                    "{checked:?}"
                );
            }
            "`rate_limited_batch_processor`" => {
                says("--stagger 2s --max-parallel 3");
                there.session("pleach run --stagger 10ms --max-parallel 3 -p A -p B");
            }
            "`async_with_retry`, `run_claude_with_retry`, `run_batch_with_retry`" => {
                says("--retry 5 --retry-delay 1s");
                there.session("pleach run --retry 5 --retry-delay 1s -p A");
            }
            "`claude_async_usage`" => {
                says("pleach help run");
                assert!(there.types("pleach help run").out().contains("--retry"));
            }
            other => panic!("no test runs the row {other}"),
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, row by row")]
fn the_perl_runner() {
    let there = There::new();
    there
        .0
        .write("prompts.json", r#"{"prompts": ["A", {"id": "custom", "prompt": "B"}]}"#);
    for (row, here) in rows("The Perl runner") {
        let says = |command: &str| assert!(here.contains(command), "{row}: {here:?} does not say {command:?}");
        let newest = || there.status()["session_id"].as_str().expect("an id").to_owned();
        match row.as_str() {
            "`claude-parallel-runner prompts.json`" => {
                says("pleach run prompts.json");
                assert_eq!(there.session("pleach run prompts.json")["successful"], 2);
            }
            "`... < prompts.json`" => {
                says("pleach run - < prompts.json");
                assert_eq!(there.session("pleach run - < prompts.json")["successful"], 2);
            }
            "`--help`, `--version`" => {
                says("the same");
                says("pleach help COMMAND");
                assert!(there.types("pleach --version").out().starts_with("pleach "));
                assert!(there.types("pleach --help").out().contains("overview"));
                assert!(there.types("pleach help run").out().contains("--sync"));
                assert!(there.types("pleach man").out().contains(".TH pleach"));
            }
            "`--sync`" => {
                says("pleach run --sync prompts.json");
                there.types("pleach run --sync prompts.json");
                assert_eq!(there.status()["overall_status"], "completed");
            }
            "`--status ID`" => {
                says("pleach status ID");
                assert!(
                    there
                        .types(&format!("pleach status {}", newest()))
                        .out()
                        .contains("succeeded")
                );
            }
            "`--results ID`" => {
                says("pleach results ID");
                assert!(
                    there
                        .types(&format!("pleach results {}", newest()))
                        .out()
                        .contains("you said: B")
                );
            }
            "`--list`" => {
                says("pleach list");
                assert!(there.types("pleach list").out().contains(&newest()[..8]));
            }
            "`--overview`" => {
                says("pleach overview");
                assert!(there.types("pleach overview").out().contains("sessions"));
            }
            "`--max-parallel=3`" => {
                says("pleach run --max-parallel=3 prompts.json");
                there.session("pleach run --max-parallel=3 prompts.json");
            }
            "`--worktree`" => {
                says("`--worktree` is understood");
                let status = there.session("pleach run --worktree prompts.json");
                assert!(status["tasks"][0]["branch"].is_string());
                let status = there.session("pleach run --no-worktree prompts.json");
                assert!(status["tasks"][0]["branch"].is_null());
            }
            "`--verbose`" => {
                says("pleach run --sync --verbose prompts.json");
                assert!(
                    there
                        .types("pleach run --sync --verbose prompts.json")
                        .err()
                        .contains("attempt 1")
                );
            }
            "`results/session-ID/`" => {
                says("pleach run --results-dir results prompts.json");
                there.types("pleach run --sync --results-dir results prompts.json");
                let list = there.types("ls results/session-*/").out();
                assert!(
                    list.contains("status.json") && list.contains("task-custom.txt"),
                    "{list}"
                );
            }
            "branches `main-task-UUID`" => {
                let branch = there.session("pleach run prompts.json")["tasks"][0]["branch"].clone();
                let id = branch
                    .as_str()
                    .and_then(|b| b.strip_prefix("main-task-"))
                    .expect("its name");
                assert!(uuid::Uuid::parse_str(id).is_ok(), "{branch}");
            }
            other => panic!("no test runs the row {other}"),
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, row by row")]
fn the_node_runner() {
    let specification =
        "# Shop\n\nBuild a shop.\n\n## Task Distribution Plan\n\n- Pane 1: Backend API\n- Pane 2: Frontend\n";
    for (row, here) in rows("The Node runner") {
        let there = There::new();
        for number in [1, 2] {
            let text = format!("# Worker {number}\n\nDo part {number}.\n");
            there.0.write(&format!("worker{number}_instructions.md"), text);
        }
        let says = |command: &str| assert!(here.contains(command), "{row}: {here:?} does not say {command:?}");
        match row.as_str() {
            "`node parallel_claude_runner.js worker1_instructions.md worker2_instructions.md`" => {
                let line = "pleach run worker1_instructions.md worker2_instructions.md";
                says(line);
                let status = there.session(line);
                assert_eq!(status["tasks"][0]["title"], "Worker 1");
                assert!(answers(&there)[1].contains("Worker 2"));
            }
            "`task.md` with a Task Distribution Plan" => {
                says("pleach run task.md");
                there.0.write("task.md", specification);
                let status = there.session("pleach run task.md");
                assert_eq!(
                    (&status["total"], &status["tasks"][0]["title"]),
                    (&2.into(), &"Backend API".into())
                );
            }
            "`comm/`, notes between workers" => {
                says("$PLEACH_COMM_DIR");
                let agent = there
                    .0
                    .program("noter", "echo hello > \"$PLEACH_COMM_DIR/note-$PLEACH_TASK_ID\"");
                there.session(&format!("pleach run --claude {agent} -p A -p B"));
                let list = there
                    .types("ls \"$(dirname \"$(find .. -name 'note-*' | head -n 1)\")\"")
                    .out();
                assert_eq!(
                    list.lines().filter(|line| line.starts_with("note-")).count(),
                    2,
                    "{list}"
                );
            }
            "`comm/worker1_status.txt`, `COMPLETED:`" => {
                says("success = \"status-file\"");
                let agent = there.0.program(
                    "worker",
                    "echo working >> \"$PLEACH_STATUS_FILE\"\necho 'COMPLETED: all' >> \"$PLEACH_STATUS_FILE\"\nexec tail -f /dev/null",
                );
                let table = format!("[agent.worker]\ncommand = [\"{agent}\"]\nsuccess = \"status-file\"\n");
                there.0.write("pleach.toml", table);
                assert_eq!(there.session("pleach run -y --agent worker -p A")["successful"], 1);
            }
            "the monitor" => {
                says("pleach watch");
                there.types("pleach run -p A && pleach wait");
                assert!(there.types("pleach watch").out().contains("succeeded"));
            }
            "`logs/worker1.log`" => {
                says("pleach logs SESSION TASK");
                says("--log-dir logs");
                let id = there.session("pleach run --log-dir logs -p A")["session_id"].clone();
                let id = id.as_str().expect("an id").to_owned();
                assert!(
                    there
                        .types(&format!("pleach logs {id} 1"))
                        .out()
                        .contains("you said: A")
                );
                assert!(there.types("ls logs").out().contains(".1.log"));
            }
            "2 seconds between starts" => {
                says("--stagger 2s");
                there.session("pleach run --stagger 10ms -p A -p B");
            }
            "the pseudo-terminal" => {
                says("pty = true");
                let agent = there.0.program("sized", "stty size");
                there.0.write(
                    "pleach.toml",
                    format!("[agent.sized]\ncommand = [\"{agent}\"]\npty = true\n"),
                );
                there.session("pleach run -y --agent sized -p A");
                assert!(answers(&there)[0].contains("30 80"), "{:?}", answers(&there));
            }
            "`CLAUDE_CLI_PATH`, `MAX_CLAUDE_WORKERS`, `DEBUG=true`" => {
                let shown = there
                    .types("MAX_CLAUDE_WORKERS=3 pleach run --dry-run --json -p A")
                    .json();
                assert_eq!(shown["max_parallel"], 3);
                // That of the table's agent is set by CLAUDE_CLI_PATH.
                assert!(shown.to_string().contains("stand-in"), "{shown}");
                there.session("DEBUG=true pleach run -p A 2>debug");
                let log = fs::read_to_string(there.0.session_dir().join("supervisor.log")).expect("the log");
                assert!(log.contains("DEBUG"), "{log}");
            }
            other => panic!("no test runs the row {other}"),
        }
    }
}
