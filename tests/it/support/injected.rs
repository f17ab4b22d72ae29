//! What goes wrong with the machine: small disks, processes that get nothing more, calls that fail.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use rustix::process::{Pid, geteuid};

use super::{PATIENCE, Project, Ran, ran, skipped};

/// A file system of a size of its own, which only commands see that run there.
pub struct SmallDisk<'p> {
    project: &'p Project,
    holder: Child,
    /// Where it is.
    pub path: PathBuf,
}

impl<'p> SmallDisk<'p> {
    /// Makes one of that size, as `mount` takes it. None where that needs rights that this user does not have.
    pub fn new(project: &'p Project, size: &str) -> Option<Self> {
        let path = project.root().join("small");
        fs::create_dir(&path).expect("make a directory");
        let script = r#"mount -t tmpfs -o "size=$1" none "$2" && echo ready && exec sleep 600"#;
        let option = if geteuid().is_root() { "-m" } else { "-rm" };
        let mut unshare = project.command("unshare");
        unshare.args([option, "sh", "-c", script, "sh", size]).arg(&path);
        let mut holder = match unshare.spawn() {
            Ok(holder) => holder,
            Err(e) => {
                skipped(&format!("no small file system can be made: unshare: {e}"));
                return None;
            }
        };
        let mut line = String::new();
        let out = holder.stdout.take().expect("its output");
        BufReader::new(out).read_line(&mut line).expect("read a line");
        let disk = Self { project, holder, path };
        let usable = line == "ready\n" && disk.sh("true").is_ok_and(|ran| ran.code() == 0);
        if !usable {
            skipped("no small file system can be made: that needs root, or name spaces for users");
        }
        usable.then_some(disk)
    }

    /// A command that runs there, in the repository of the project.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = self.project.command("nsenter");
        command.args(["--target", &self.holder.id().to_string(), "--mount"]);
        if !geteuid().is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.args(["sh", "-c", r#"cd "$0" && exec "$@""#]);
        command.arg(self.project.repo()).arg(program);
        command
    }

    /// pleach itself.
    pub fn pleach(&self, arguments: &[&str]) -> Ran {
        ran(self.command(env!("CARGO_BIN_EXE_pleach")).args(arguments))
    }

    fn sh(&self, line: &str) -> std::io::Result<Ran> {
        let output = self.command("sh").args(["-ec", line, "sh"]).arg(&self.path).output()?;
        Ok(Ran(output))
    }

    /// What a line of the shell prints there; `$1` is the disk.
    #[track_caller]
    pub fn run(&self, line: &str) -> String {
        let ran = self.sh(line).expect("run a shell");
        assert_eq!(ran.code(), 0, "{line}: {ran:?}");
        ran.out()
    }

    /// Takes all the room that there is.
    pub fn fill(&self) {
        self.run(r#"cat /dev/zero >"$1/filler" 2>&1 || true"#);
    }

    /// Gives it back.
    pub fn free(&self) {
        self.run(r#"rm "$1/filler""#);
    }

    /// Makes it larger.
    pub fn grow(&self, size: &str) {
        // With the source too: else other options come with it, which a name space for users does not take.
        self.run(&format!(r#"mount -t tmpfs -o remount,size={size} none "$1""#));
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Sets the limit of a running process on this resource, as `prlimit` names it; the hard one stays.
#[track_caller]
pub fn limit(project: &Project, pid: Pid, resource: &str, most: &str) {
    let output = project
        .command("prlimit")
        .arg(format!("--pid={}", pid.as_raw_nonzero()))
        .arg(format!("--{resource}={most}:"))
        .output()
        .expect("run prlimit");
    assert!(output.status.success(), "{output:?}");
}

/// Calls of a process that fail, until this is dropped.
pub struct Injected {
    strace: Child,
    /// One for each call that was made to fail.
    failed: Receiver<()>,
}

impl Injected {
    /// Lets the calls of `syscall` on a file fail with `error`. None where another process cannot be traced.
    pub fn into(pid: Pid, file: &Path, syscall: &str, error: &str) -> Option<Self> {
        let mut strace = Command::new("strace");
        strace
            .args(["-f", "-p", &pid.as_raw_nonzero().to_string(), "-P"])
            .arg(file)
            .args(["-e", &format!("trace={syscall}")])
            .args(["-e", &format!("inject={syscall}:error={error}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut strace = match strace.spawn() {
            Ok(strace) => strace,
            Err(e) => {
                skipped(&format!("strace cannot be used: {e}"));
                return None;
            }
        };
        let mut said = BufReader::new(strace.stderr.take().expect("its errors"));
        let mut line = String::new();
        while said.read_line(&mut line).expect("read a line") > 0 {
            if line.contains(" attached") {
                let (sender, failed) = mpsc::channel();
                std::thread::spawn(move || {
                    let lines = said.split(b'\n').map_while(Result::ok);
                    for _ in lines.filter(|line| line.ends_with(b"(INJECTED)")) {
                        let _ = sender.send(());
                    }
                });
                return Some(Self { strace, failed });
            }
        }
        let _ = strace.wait();
        skipped(&format!("strace cannot be used: {line}"));
        None
    }
}

impl Injected {
    /// Waits until a call was made to fail.
    #[track_caller]
    pub fn await_one(&self) {
        self.failed.recv_timeout(PATIENCE).expect("a call that fails");
    }

    /// How many are made to fail from now on in so long.
    pub fn count_in(&self, time: Duration) -> usize {
        while self.failed.try_recv().is_ok() {}
        std::thread::sleep(time);
        self.failed.try_iter().count()
    }
}

impl Drop for Injected {
    /// Right after a call that failed, or after the process has ended: in the middle of one it would fail with another
    /// error. And strace is killed, which lets go of the process: one that is asked to end while the process ends waits
    /// for ever for its first thread, which waits for strace to take notice of the others.
    fn drop(&mut self) {
        while self.failed.try_recv().is_ok() {}
        let _ = self.failed.recv_timeout(PATIENCE / 4);
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}
