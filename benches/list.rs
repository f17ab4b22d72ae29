//! How long it takes to look at many sessions: `pleach list`, `overview` and `status` where a hundred sessions of a
//! hundred tasks each have ended, where a thousand have, and `status` of one session of ten thousand tasks.
//!
//! The sessions are a frozen one with more tasks. A row shows the medians, and how many times the one over a hundred
//! sessions is that over a thousand: a list that only reads more takes ten times as long. Run with
//! `cargo bench --bench list`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How often everything is measured.
const ROUNDS: usize = 5;
/// The session that all are made of: its first task succeeded.
const FROZEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/sessions/v0.1.0-stopped");
/// The largest growth that is good, of ten times as many sessions.
const GOOD: f64 = 12.0;

fn main() -> io::Result<()> {
    let bench = Bench {
        root: std::env::temp_dir().join(format!("pleach-bench-{}", std::process::id())),
    };
    for (name, sessions, tasks) in [("100", 100, 100), ("1000", 1_000, 100), ("one", 1, 10_000)] {
        for number in 0..sessions {
            session(&bench.root.join(name), number, tasks)?;
        }
    }
    let mut out = io::stdout();
    writeln!(
        out,
        "{:<28} {:>12} {:>14} {:>6}",
        "median", "100 sessions", "1,000 sessions", "ratio"
    )?;
    let id = "00000000";
    for arguments in [&["list"][..], &["overview"], &["status", id]] {
        let name =
            arguments[0].to_owned() + if arguments.len() > 1 { " " } else { "" } + arguments.get(1).unwrap_or(&"");
        let (few, many) = (bench.median("100", arguments)?, bench.median("1000", arguments)?);
        let ratio = many / few;
        writeln!(out, "{name:<28} {few:>9.1} ms {many:>11.1} ms {ratio:>6.1}")?;
        if name == "list" && ratio > GOOD {
            return Err(io::Error::other(format!(
                "ten times the sessions take {ratio:.1} times as long"
            )));
        }
    }
    let one = bench.median("one", &["status", id])?;
    writeln!(out, "{:<28} {one:>9.1} ms", "status of 10,000 tasks")
}

/// Results directories, which are removed at the end.
struct Bench {
    root: PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Only the temporary directory would fill up.
        let _ = fs::remove_dir_all(&self.root);
    }
}

impl Bench {
    /// In milliseconds.
    fn median(&self, results: &str, arguments: &[&str]) -> io::Result<f64> {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            times.push(self.time(results, arguments)?);
        }
        times.sort_unstable();
        Ok(times[times.len() / 2].as_secs_f64() * 1000.0)
    }

    fn time(&self, results: &str, arguments: &[&str]) -> io::Result<Duration> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pleach"));
        command
            .args(arguments)
            .current_dir(&self.root)
            .env("PLEACH_RESULTS_DIR", self.root.join(results))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let started = Instant::now();
        let output = command.output()?;
        let time = started.elapsed();
        if output.status.success() {
            return Ok(time);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("{command:?}: {}: {said}", output.status)))
    }
}

/// Writes down a session whose tasks have all succeeded.
fn session(results: &Path, number: usize, tasks: usize) -> io::Result<()> {
    let read = |name: &str| fs::read_to_string(Path::new(FROZEN).join(name));
    let mut spec: Value = serde_json::from_str(&read("session.json")?)?;
    let id = format!("{number:08}-0000-4000-8000-000000000000");
    let named = |index: usize| format!("t{index}");
    let branch = |index: usize| format!("main-task-t{index}");
    spec["session_id"] = json!(id);
    spec["tasks"] = (0..tasks)
        .map(|index| json!({ "id": named(index), "title": format!("Do {index}"), "prompt": "Do it, please." }))
        .collect();
    spec["places"] = (0..tasks)
        .map(|index| json!({ "branch": branch(index), "worktree": format!("/src/app.pleach/{}", branch(index)) }))
        .collect();
    let frozen = read("journal.jsonl")?;
    let of_first: Vec<&str> = frozen
        .lines()
        .filter(|line| line.contains(r#""task":"first""#))
        .collect();
    let mut journal: Vec<String> = frozen.lines().take(2).map(str::to_owned).collect();
    for index in 0..tasks {
        let own = |line: &&str| line.replace("\"first\"", &format!("\"{}\"", named(index)));
        journal.extend(of_first.iter().map(own));
    }
    let end = json!({ "at_ms": 1_795_268_599_999_u64, "event": "session_ended", "end": "completed", "error": null });
    journal.push(end.to_string() + "\n");
    let directory = results.join(format!("session-{id}"));
    fs::create_dir_all(&directory)?;
    fs::write(directory.join("session.json"), spec.to_string())?;
    fs::write(directory.join("journal.jsonl"), journal.join("\n"))
}
