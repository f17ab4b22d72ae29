//! What tests look at: what a command printed, how a session ended, which processes are there, what is in a directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use rustix::process::Pid;
use serde_json::Value;

/// What pleach printed, and how it ended.
#[derive(Debug)]
pub struct Ran(pub Output);

impl Ran {
    pub fn code(&self) -> i32 {
        self.0.status.code().expect("an exit code")
    }

    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.0.stdout).expect("JSON on standard output")
    }

    /// Refused with this code, in one line of error and at most one of hint, which name all of `parts`.
    #[track_caller]
    pub fn assert_refused(&self, code: i32, parts: &[&str]) {
        let err = self.err();
        assert_eq!(self.code(), code, "{self:?}");
        assert!(err.starts_with("error: ") && err.lines().count() <= 2, "{err}");
        for part in parts {
            assert!(err.contains(part), "{part:?} is not in: {err}");
        }
    }
}

/// A process of a project.
pub struct Process {
    pub pid: Pid,
    environment: String,
    pub line: String,
}

impl Process {
    /// Nothing when it has ended or is of another user.
    pub(super) fn read(pid: i32) -> Option<Self> {
        let read = |name| fs::read(format!("/proc/{pid}/{name}")).ok();
        Some(Self {
            pid: Pid::from_raw(pid)?,
            environment: String::from_utf8_lossy(&read("environ")?).into_owned(),
            line: String::from_utf8_lossy(&read("cmdline")?).replace('\0', " "),
        })
    }

    pub fn has(&self, variable: impl Fn(&str) -> bool) -> bool {
        self.environment.split('\0').any(variable)
    }
}

/// An ended run, and what pleach says about it.
pub struct Ended {
    pub output: Output,
    /// The agents' processes that were still there when the run had ended.
    pub left: Vec<String>,
    pub status: Value,
    pub results: Value,
}

impl Ended {
    #[track_caller]
    pub fn assert_exit(&self, code: i32) {
        let (output, status) = (&self.output, &self.status);
        assert_eq!(output.status.code(), Some(code), "{output:?}\n{status:#}");
        assert_eq!(status["schema"], 1);
        assert_eq!(status["overall_status"], "completed", "{status:#}");
        assert!(self.left.is_empty(), "left running: {:?}", self.left);
    }

    /// The mark of the agents' processes, as an agent sees it in `PLEACH_SESSION`, with a newline.
    #[track_caller]
    pub fn mark(&self) -> String {
        format!("{}\n", self.status["session_id"].as_str().expect("an id"))
    }

    #[track_caller]
    pub fn assert_succeeded(&self, id: &str) {
        let task = self.task(id);
        assert_eq!(task["outcome"], "succeeded", "{task:#}");
        assert_eq!(task["status"], "completed", "{task:#}");
        assert_eq!(task["success"], true, "{task:#}");
        assert_eq!(task["reason"], Value::Null, "{task:#}");
    }

    #[track_caller]
    pub fn assert_failed(&self, id: &str, reason: &str) {
        let task = self.task(id);
        assert_eq!(task["outcome"], "failed", "{task:#}");
        assert_eq!(task["reason"], reason, "{task:#}");
        assert_eq!(task["status"], "completed", "{task:#}");
        assert_eq!(task["success"], false, "{task:#}");
        assert_eq!(self.result(id)["outcome"], "failed");
    }

    /// The task in `pleach status`.
    #[track_caller]
    pub fn task(&self, id: &str) -> &Value {
        find(&self.status, "transaction_id", id)
    }

    /// What the user is told about a task, a line each.
    #[track_caller]
    pub fn notes(&self, id: &str) -> String {
        let notes = self.task(id)["notes"].as_array().expect("notes").iter();
        notes
            .map(|note| format!("{}\n", note.as_str().expect("text")))
            .collect()
    }

    /// The task in `pleach results`.
    #[track_caller]
    pub fn result(&self, id: &str) -> &Value {
        find(&self.results, "id", id)
    }
}

fn find<'a>(answer: &'a Value, key: &str, id: &str) -> &'a Value {
    let mut tasks = answer["tasks"].as_array().into_iter().flatten();
    tasks
        .find(|task| task[key] == id)
        .unwrap_or_else(|| panic!("no task {id} in {answer:#}"))
}

/// All that is in a directory, but for what `left_out` names by its path in it: the mode of each entry, and what is in
/// a file or what a link points to.
pub fn contents(root: &Path, left_out: impl Fn(&Path) -> bool) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).expect("read a directory") {
            let path = entry.expect("an entry").path();
            let inside = path.strip_prefix(root).expect("a path inside").to_owned();
            if left_out(&inside) {
                continue;
            }
            let metadata = path.symlink_metadata().expect("look at an entry");
            let content = if metadata.is_symlink() {
                fs::read_link(&path)
                    .expect("read a link")
                    .into_os_string()
                    .into_encoded_bytes()
            } else if metadata.is_file() {
                fs::read(&path).expect("read a file")
            } else {
                Vec::new()
            };
            if metadata.is_dir() {
                open.push(path);
            }
            found.insert(inside, (metadata.mode(), content));
        }
    }
    found
}

/// Two directories hold the same.
#[track_caller]
pub fn assert_same(
    what: &str,
    found: &BTreeMap<PathBuf, (u32, Vec<u8>)>,
    expected: &BTreeMap<PathBuf, (u32, Vec<u8>)>,
) {
    let text =
        |entry: Option<&(u32, Vec<u8>)>| entry.map(|(mode, content)| format!("{mode:o} {}", content.escape_ascii()));
    let paths: BTreeSet<&PathBuf> = found.keys().chain(expected.keys()).collect();
    for path in paths {
        assert_eq!(
            text(found.get(path)),
            text(expected.get(path)),
            "{what}: {}",
            path.display()
        );
    }
}
