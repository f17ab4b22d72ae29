//! How long a plan for many branches takes, side by side with what one would do by hand: a process of `git merge-tree` for
//! each pair.
//!
//! The repository has 5,000 files. Of the branches, 32 and 100, either many change a common file, and some of these
//! conflict, or each changes files of its own. Both sides are measured in turn in one run; a row shows the medians, and
//! how many times faster the plan is, although it also looks at each branch, chooses and walks. By hand the branches are not
//! merged into the target first, which would take longer. With 100 branches only a part of the pairs is done by hand, and
//! the rest reckoned. The last column is the most memory that pleach and its gits had together. Run with
//! `cargo bench --bench merge_plan`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How often each side is measured.
const ROUNDS: usize = 5;
/// How many files the repository has, in directories of fifty.
const FILES: usize = 5_000;
/// The most pairs that are done by hand.
const BY_HAND: usize = 500;
/// How many times faster a plan for 32 branches has to be.
const GOOD: f64 = 3.0;
/// How much memory all processes of a plan may have together, in MB.
const ROOM: u64 = 200;

fn main() -> io::Result<()> {
    let bench = Bench::new()?;
    bench.say(&format!(
        "{:<36} {:>11} {:>12} {:>7} {:>7} {:>9} {:>9}",
        "median", "pleach plan", "by hand", "faster", "pairs", "conflicts", "memory"
    ))?;
    for overlapping in [true, false] {
        let mut before: Option<f64> = None;
        for branches in [32, 100] {
            let time = bench.row(branches, overlapping)?;
            if let Some(before) = before {
                bench.say(&format!(
                    "    100 branches take {:.1} times as long as 32",
                    time / before
                ))?;
            }
            before = Some(time);
        }
    }
    Ok(())
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
        let bench = Self { root };
        for file in 0..FILES {
            let path = bench.repository().join(path(file));
            fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
            fs::write(path, text(file, &[]))?;
        }
        bench.shell("git init -q -b main; git add .; git commit -qm first; git gc -q")?;
        Ok(bench)
    }

    fn repository(&self) -> PathBuf {
        self.root.join("repo")
    }

    fn say(&self, line: &str) -> io::Result<()> {
        writeln!(io::stdout(), "{line}")
    }

    /// Measures both sides in turn, prints the medians, and gives that of the plan in milliseconds.
    fn row(&self, branches: usize, overlapping: bool) -> io::Result<f64> {
        let kind = if overlapping { "many in common" } else { "apart" };
        let names: Vec<String> = (0..branches).map(|b| format!("{branches}-{b}-{overlapping}")).collect();
        self.branches(&names, overlapping)?;
        let mut plan = self.pleach();
        plan.args(["plan", "--json"]);
        for name in &names {
            plan.args(["--branch", name]);
        }
        let pairs: Vec<(&String, &String)> = names
            .iter()
            .enumerate()
            .flat_map(|(at, first)| names[at + 1..].iter().map(move |second| (first, second)))
            .collect();
        let part = pairs.len().div_ceil(BY_HAND);
        let (mut ours, mut by_hand) = (Vec::new(), Vec::new());
        let (mut memory, mut printed) = (0, Vec::new());
        for round in 0..ROUNDS {
            let started = Instant::now();
            let child = plan.spawn()?;
            let watched = thread::spawn({
                let pid = child.id();
                move || watch(pid)
            });
            let output = self.ended(&plan, child)?;
            ours.push(started.elapsed());
            memory = memory.max(watched.join().unwrap_or_default());
            printed = output;
            // New objects are written each time, as they are when this is done once.
            let objects = self.root.join(format!("{kind}-{branches}-{round}"));
            fs::create_dir(&objects)?;
            let started = Instant::now();
            for (first, second) in pairs.iter().skip(round % part).step_by(part) {
                self.merge_tree(&objects, first, second)?;
            }
            let done = pairs.iter().skip(round % part).step_by(part).count();
            by_hand.push(started.elapsed().mul_f64(pairs.len() as f64 / done as f64));
        }
        let (ours, by_hand) = (median(ours), median(by_hand));
        let ratio = by_hand / ours;
        let conflicts = String::from_utf8_lossy(&printed).matches("\"a\":").count();
        let reckoned = if part > 1 { "~" } else { "" };
        self.say(&format!(
            "{:<36} {ours:>8.0} ms {:>9} ms {ratio:>7.1} {:>7} {conflicts:>9} {memory:>6} MB",
            format!("{branches} branches, {kind}"),
            format!("{reckoned}{by_hand:.0}"),
            pairs.len(),
        ))?;
        if branches == 32 && ratio < GOOD {
            return Err(io::Error::other(format!("a plan is only {ratio:.1} times faster")));
        }
        if memory > ROOM {
            return Err(io::Error::other(format!("a plan takes {memory} MB")));
        }
        Ok(ours)
    }

    /// Makes branches of one commit each: two files of its own changed, one new, and of those that overlap three of
    /// forty common ones.
    fn branches(&self, names: &[String], overlapping: bool) -> io::Result<()> {
        let mut input = String::new();
        for (number, name) in names.iter().enumerate() {
            let own = 1_000 + number * 7;
            let mut changes: Vec<(String, String)> = [own, own + 3]
                .map(|file| (path(file), text(file, &[(number % 40, number)])))
                .into();
            changes.push((format!("new/n{number}.txt"), text(number, &[])));
            if overlapping {
                for turn in 0..3 {
                    // Lines far from each other, but for every eighth branch the first line of the first file.
                    let (file, line) = match turn {
                        0 if number % 8 == 0 => (0, 0),
                        _ => ((number * (2 * turn + 1) + turn * 13) % 40, 4 + number * 5 % 200),
                    };
                    changes.push((path(file), text(file, &[(line, number)])));
                }
            }
            input += &format!("commit refs/heads/{name}\ncommitter a <a@example.org> 1700000000 +0000\n");
            input += "data 2\nb\n\nfrom refs/heads/main^0\n";
            for (path, text) in changes {
                input += &format!("M 100644 inline {path}\ndata {}\n{text}\n", text.len());
            }
        }
        let file = self.root.join("import");
        fs::write(&file, input)?;
        self.shell("git fast-import --quiet <../import")
    }

    fn merge_tree(&self, objects: &Path, first: &str, second: &str) -> io::Result<()> {
        let attributes = format!("--attr-source={first}");
        let mut git = self.command("git");
        git.args([&attributes, "merge-tree", "--write-tree", first, second])
            .env("GIT_OBJECT_DIRECTORY", objects)
            .env(
                "GIT_ALTERNATE_OBJECT_DIRECTORIES",
                self.repository().join(".git/objects"),
            );
        match git.stdout(Stdio::null()).status()?.code() {
            Some(0 | 1) => Ok(()),
            code => Err(io::Error::other(format!("{git:?}: {code:?}"))),
        }
    }

    fn shell(&self, script: &str) -> io::Result<()> {
        let mut shell = self.command("sh");
        shell.args(["-ec", script]);
        let child = shell.spawn()?;
        self.ended(&shell, child).map(drop)
    }

    fn ended(&self, command: &Command, child: Child) -> io::Result<Vec<u8>> {
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("{command:?}: {}: {said}", output.status)))
    }

    fn pleach(&self) -> Command {
        self.command(env!("CARGO_BIN_EXE_pleach"))
    }

    /// A program in the repository, which knows nothing of the user's configuration.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.root)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_NAME", "a")
            .env("GIT_AUTHOR_EMAIL", "a@example.org")
            .env("GIT_COMMITTER_NAME", "a")
            .env("GIT_COMMITTER_EMAIL", "a@example.org")
            .current_dir(self.repository())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

fn path(file: usize) -> String {
    format!("d{}/e{}/f{file}.txt", file / 500, file / 50 % 10)
}

/// The content of a file, in which these lines are as these branches changed them.
fn text(file: usize, changes: &[(usize, usize)]) -> String {
    let line = |line: usize| match changes.iter().find(|(at, _)| *at == line) {
        Some((_, branch)) => format!("line {line} as {branch} has it\n"),
        None => format!("line {line} of file {file}\n"),
    };
    (0..220).map(line).collect()
}

/// In milliseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

/// The most memory, in MB, that a process and those that it starts have together as long as it runs.
fn watch(pid: u32) -> u64 {
    let mut most = 0;
    loop {
        let (resident, ended) = resident(pid);
        if ended {
            return most / 1024;
        }
        most = most.max(resident);
        thread::sleep(Duration::from_millis(5));
    }
}

/// In kB; and whether the process has ended.
fn resident(pid: u32) -> (u64, bool) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.split_whitespace().next())
    };
    let Some(own) = field("VmRSS:").and_then(|kb| kb.parse::<u64>().ok()) else {
        return (0, true);
    };
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<u32> = children
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect();
    (
        own + children.into_iter().map(|child| resident(child).0).sum::<u64>(),
        false,
    )
}
