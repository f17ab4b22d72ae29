//! How long a user waits, side by side with what git takes for the same by hand: until `pleach run` gives the prompt
//! back, against one `git worktree add`; and until 50 trivial tasks are done, against `xargs` with `git worktree add`
//! and `git commit` for each.
//!
//! All of one repository is measured in turn in one run, with fresh sessions and worktrees each time. A row shows the
//! medians, and how many times git's the one of pleach is. Run with `cargo bench --bench start`.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often everything is measured at most.
const ROUNDS: usize = 9;
/// After this no further round begins, so that the whole takes less than a minute.
const TIME: Duration = Duration::from_secs(10);
/// How many tasks are run to their end.
const TO_THE_END: usize = 50;
/// One worktree by hand.
const WORKTREE: &str = "git worktree add -q -b new ../tree";
/// Every task by hand, four at once. `git worktree add` fails when another one is at work (seen with 2.47: "failed to
/// read .git/worktrees/40/commondir"), and is then tried again.
const TASKS: &str = "seq 50 | xargs -P4 -I@ sh -ec 'git branch b@; until git worktree add -q ../trees/@ b@; do :; done
    cd ../trees/@; echo new >n.txt; git add n.txt; git commit -qm @'";

/// Something of pleach that is measured: what it is, and until when.
type Side = (&'static str, fn(&Bench) -> io::Result<Duration>);

fn main() -> io::Result<()> {
    let bench = Bench::new()?;
    let started = Instant::now();
    bench.say(&format!(
        "{:<40} {:>11} {:>11} {:>6} {:>7}",
        "median", "pleach", "git", "ratio", "rounds"
    ))?;
    bench.rows(1, &[("run returns, 1 task", |bench| bench.returns(1))], WORKTREE)?;
    let returns: [Side; 3] = [
        ("run returns, 1 task", |bench| bench.returns(1)),
        ("run returns, 100 tasks", |bench| bench.returns(100)),
        ("run returns, 10,000 tasks", |bench| bench.returns(10_000)),
    ];
    bench.rows(5_000, &returns, WORKTREE)?;
    for files in [1, 200] {
        bench.rows(files, &[("50 tasks end, 4 at once", Bench::ends)], TASKS)?;
    }
    bench.say(&format!("{:.0} s", started.elapsed().as_secs_f64()))
}

/// A directory with everything, which is removed at the end.
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
    fn new() -> io::Result<Self> {
        let root = std::env::temp_dir().join(format!("pleach-bench-{}", std::process::id()));
        fs::create_dir(&root)?;
        fs::write(
            root.join("gitconfig"),
            "[user]\nname = Bench\nemail = bench@example.org\n",
        )?;
        Ok(Self { root })
    }

    /// Measures what pleach does in a repository of so many files, and what is done by hand, in turn; and prints it.
    fn rows(&self, files: usize, sides: &[Side], by_hand: &str) -> io::Result<()> {
        self.repository(files)?;
        let mut times = vec![Vec::new(); sides.len() + 1];
        let started = Instant::now();
        let mut round = 0;
        while round == 0 || round < ROUNDS && started.elapsed() < TIME {
            for turn in 0..times.len() {
                let side = (round + turn) % times.len();
                times[side].push(match sides.get(side) {
                    Some((_, measure)) => measure(self)?,
                    None => self.shell("repo", by_hand)?,
                });
                self.clear()?;
            }
            round += 1;
        }
        let medians: Vec<f64> = times.into_iter().map(median).collect();
        for ((name, _), ours) in sides.iter().zip(&medians) {
            let (name, git) = (format!("{name}, {files} files"), medians[sides.len()]);
            let ratio = ours / git;
            self.say(&format!(
                "{name:<40} {ours:>8.1} ms {git:>8.1} ms {ratio:>6.2} {round:>7}"
            ))?;
        }
        Ok(())
    }

    fn say(&self, line: &str) -> io::Result<()> {
        writeln!(io::stdout(), "{line}")
    }

    /// Until `run` has returned; the session is ended afterwards.
    fn returns(&self, tasks: usize) -> io::Result<Duration> {
        self.tasks(tasks)?;
        let time = self.pleach(&["run", "--agent", "scripted", "--max-parallel", "1", "../tasks.json"])?;
        self.pleach(&["stop", "--now"])?;
        Ok(time)
    }

    /// Until all tasks are done.
    fn ends(&self) -> io::Result<Duration> {
        self.tasks(TO_THE_END)?;
        self.pleach(&[
            "run",
            "--sync",
            "--agent",
            "scripted",
            "--max-parallel",
            "4",
            "../tasks.json",
        ])
    }

    fn tasks(&self, number: usize) -> io::Result<()> {
        let prompts = vec![r#""@write n.txt new""#; number].join(",");
        fs::write(self.root.join("tasks.json"), format!(r#"{{"prompts":[{prompts}]}}"#))
    }

    /// Makes the repository with so many files, in directories of fifty.
    fn repository(&self, files: usize) -> io::Result<()> {
        let path = self.root.join("repo");
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        for file in 0..files {
            let directory = path.join(format!("d{}", file / 50));
            fs::create_dir_all(&directory)?;
            fs::write(
                directory.join(format!("f{file}.txt")),
                format!("text of file {file}\n").repeat(50),
            )?;
        }
        self.shell(
            "repo",
            "git init -q -b main; git add .; git commit -qm first; git gc -q",
        )?;
        Ok(())
    }

    /// Takes all sessions, worktrees and branches away.
    fn clear(&self) -> io::Result<()> {
        let clear = "rm -rf .git/pleach ../repo.pleach ../tree ../trees; git worktree prune
            git for-each-ref --format='delete %(refname)' refs/heads refs/pleach | grep -v heads/main$ |
            git update-ref --stdin";
        self.shell("repo", clear)?;
        Ok(())
    }

    /// How long a shell script takes in this directory of the bench.
    fn shell(&self, directory: &str, script: &str) -> io::Result<Duration> {
        self.time(
            Command::new("sh")
                .args(["-ec", script])
                .current_dir(self.root.join(directory)),
        )
    }

    fn pleach(&self, arguments: &[&str]) -> io::Result<Duration> {
        let mut pleach = Command::new(env!("CARGO_BIN_EXE_pleach"));
        self.time(pleach.args(arguments).current_dir(self.root.join("repo")))
    }

    /// How long a program takes, which knows nothing of the user's configuration and must succeed.
    fn time(&self, command: &mut Command) -> io::Result<Duration> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        command
            .env_clear()
            .env("PATH", path)
            .env("HOME", &self.root)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", self.root.join("gitconfig"))
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

/// In milliseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1000.0
}
