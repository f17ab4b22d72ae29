//! What it costs to look on: the CPU time of `pleach watch` on a terminal, against a shell that asks `pleach status`
//! once a second, both at the same session of 200 tasks of which 40 run and use a tool each second.
//!
//! A row shows the share of one core, and how many times the one of asking that of watching is. Run with
//! `cargo bench --bench watch`; it needs `script`, and takes half a minute.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long is measured.
const LOOKED_ON: Duration = Duration::from_secs(20);
/// What `proc(5)` counts CPU time in, on every Linux of today.
const TICK: f64 = 0.01;
const WATCH: &str = "exec script -qec 'stty cols 120 rows 50; exec \"$PLEACH\" watch' /dev/null";
const ASK: &str = "while :; do \"$PLEACH\" status; sleep 1; done";

fn main() -> io::Result<()> {
    let bench = Bench::new()?;
    let watch = bench.shell(WATCH)?;
    let ask = bench.shell(ASK)?;
    let watching = bench.until(|| process_with(b"watch"))?;
    // The share is that of a display that stands, not of its beginning.
    sleep(Duration::from_secs(3));
    let cpu = || Some((cpu_of(watching)?.0, cpu_of(ask.0.id())?.1));
    let gone = || io::Error::other("one of the two has ended");
    let (began, before) = (Instant::now(), cpu().ok_or_else(gone)?);
    sleep(LOOKED_ON);
    let (time, after) = (began.elapsed().as_secs_f64(), cpu().ok_or_else(gone)?);
    let share = |ticks: u64| ticks as f64 * TICK / time * 100.0;
    let (watched, asked) = (share(after.0 - before.0), share(after.1 - before.1));
    drop((watch, ask));
    let mut out = io::stdout();
    writeln!(out, "200 tasks, 40 at once       share of a core")?;
    writeln!(out, "pleach watch                {watched:>13.2} %")?;
    writeln!(out, "pleach status each second   {asked:>13.2} %")?;
    writeln!(out, "ratio                       {:>13.1}", asked / watched)
}

/// A session in a repository of its own, which is stopped and removed at the end.
struct Bench {
    root: PathBuf,
}

/// A process that is killed at the end.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.command("exec \"$PLEACH\" stop --now").output();
        // Only the temporary directory would fill up.
        let _ = fs::remove_dir_all(&self.root);
    }
}

impl Bench {
    fn new() -> io::Result<Self> {
        let root = std::env::temp_dir().join(format!("pleach-bench-{}", std::process::id()));
        fs::create_dir_all(root.join("repo"))?;
        let bench = Self { root };
        let prompt = format!("\"{}\"", r"@run true\n@sleep 1s\n".repeat(60));
        let prompts = vec![prompt; 200].join(",");
        fs::write(bench.root.join("tasks.json"), format!(r#"{{"prompts":[{prompts}]}}"#))?;
        let start =
            "git init -q -b main; git -c user.name=b -c user.email=b@example.org commit -q --allow-empty -m first
            exec \"$PLEACH\" run --agent scripted --max-parallel 40 ../tasks.json";
        let output = bench.command(start).output()?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let status = bench.root.join("repo/.git/pleach/results");
        bench.until(|| (running_in(&status)? >= 40).then_some(()))?;
        Ok(bench)
    }

    /// A line of the shell, in which `"$PLEACH"` is pleach, without any configuration of the user.
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-ec", line])
            .current_dir(self.root.join("repo"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.root)
            .env("TERM", "xterm")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("PLEACH", env!("CARGO_BIN_EXE_pleach"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    fn shell(&self, line: &str) -> io::Result<Running> {
        self.command(line).spawn().map(Running)
    }

    /// Looks again and again until something is found.
    fn until<T>(&self, found: impl Fn() -> Option<T>) -> io::Result<T> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            if let Some(found) = found() {
                return Ok(found);
            }
            sleep(Duration::from_millis(50));
        }
        Err(io::Error::other("the session does not come to where it is measured"))
    }
}

/// How many tasks of the only session run.
fn running_in(results: &Path) -> Option<usize> {
    let session = fs::read_dir(results).ok()?.next()?.ok()?.path();
    let text = fs::read_to_string(session.join("status.json")).ok()?;
    let status: serde_json::Value = serde_json::from_str(&text).ok()?;
    let tasks = status["tasks"].as_array()?;
    Some(tasks.iter().filter(|task| task["status"] == "running").count())
}

/// The process of the measured program that was given this verb.
fn process_with(verb: &[u8]) -> Option<u32> {
    let program = env!("CARGO_BIN_EXE_pleach").as_bytes();
    let mut pids = fs::read_dir("/proc").ok()?.flatten();
    pids.find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let mut words = line.split(|&byte| byte == 0);
        (words.next()? == program && words.next()? == verb).then_some(pid)
    })
}

/// The CPU time of a process, and of its children that have ended, in ticks: fields 14 to 17 of its `stat`.
fn cpu_of(pid: u32) -> Option<(u64, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(')')?;
    let fields: Vec<u64> = after.split_ascii_whitespace().map(|f| f.parse().unwrap_or(0)).collect();
    Some((fields.get(11)? + fields.get(12)?, fields.get(13)? + fields.get(14)?))
}
