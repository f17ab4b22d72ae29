//! What a command said of trees it was run on, so that nothing is asked twice: files in `<common dir>/pleach/verified`.
//!
//! A tree and a command decide; the environment does not count. Only answers are kept ([`Ending::answer`]). The files
//! can all be made again: one that cannot be read or written is named in a warning, and nothing else comes of it. Called
//! by `verify`.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid};
use serde::{Deserialize, Serialize};

use super::command::Ending;
use crate::store::atomic::{self, Durability};
use crate::store::now_ms;

/// The format of the files.
const SCHEMA: u32 = 1;
/// So many results are kept; the oldest go.
const MOST: usize = 1000;

/// A file.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    schema: u32,
    tree: String,
    command: String,
    /// In Unix milliseconds.
    at_ms: u64,
    exit_code: i32,
    /// The end of what it printed, if it failed.
    output: String,
}

/// What is remembered of one command.
#[derive(Debug)]
pub(super) struct Memory {
    dir: PathBuf,
    command: String,
    /// Whether what other runs of pleach left counts.
    reads: bool,
    /// What was asked by this one.
    asked: HashMap<Oid, Ending>,
    /// What could not be read or written, a line each.
    pub warnings: Vec<String>,
}

impl Memory {
    /// What is remembered in a repository; with `again` only what is asked from here on.
    pub fn new(common_dir: &Path, command: &str, again: bool) -> Self {
        Self {
            dir: common_dir.join("pleach/verified"),
            command: command.to_owned(),
            reads: !again,
            asked: HashMap::new(),
            warnings: Vec::new(),
        }
    }

    /// How the command ended on a tree, if that is known.
    pub fn recall(&mut self, tree: Oid) -> Option<Ending> {
        if let Some(ending) = self.asked.get(&tree) {
            return Some(ending.clone());
        }
        let path = self.path(tree)?;
        if !self.reads {
            return None;
        }
        match self.read(&path, tree) {
            Ok(ending) => ending,
            Err(why) => {
                self.warnings
                    .push(format!("cannot use what is remembered in {}: {why}", path.display()));
                None
            }
        }
    }

    /// Keeps how the command ended on a tree.
    pub fn keep(&mut self, tree: Oid, ending: &Ending) {
        self.asked.insert(tree, ending.clone());
        let (Some(path), Some(exit_code)) = (self.path(tree), ending.answer()) else {
            return;
        };
        let entry = Entry {
            schema: SCHEMA,
            tree: tree.to_string(),
            command: self.command.clone(),
            at_ms: now_ms(),
            exit_code,
            output: if exit_code == 0 {
                String::new()
            } else {
                ending.output.clone()
            },
        };
        let write = || {
            atomic::private_dir(&self.dir)?;
            atomic::write_json(&path, &entry, Durability::Fast)?;
            forget_the_oldest(&self.dir, MOST)
        };
        if let Err(e) = write() {
            let path = path.display();
            self.warnings
                .push(format!("cannot remember the result of the command in {path}: {e}"));
        }
    }

    fn read(&self, path: &Path, tree: Oid) -> Result<Option<Ending>, String> {
        let text = match fs::read(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|e| e.to_string())?,
        };
        let entry: Entry = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
        if entry.schema != SCHEMA {
            return Err(format!(
                "its schema is {}, and this pleach knows {SCHEMA}",
                entry.schema
            ));
        }
        if entry.tree != tree.to_string() || entry.command != self.command {
            return Err("it is about something else".into());
        }
        Ok(Some(Ending::exited(entry.exit_code, entry.output)))
    }

    /// Commands are of any length; what git makes of one is not, and tells it from all others.
    fn path(&self, tree: Oid) -> Option<PathBuf> {
        let command = Oid::hash_object(ObjectType::Blob, self.command.as_bytes()).ok()?;
        Some(self.dir.join(format!("{tree}-{command}.json")))
    }
}

/// Leaves the `most` newest files of a directory.
fn forget_the_oldest(dir: &Path, most: usize) -> std::io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // One that has gone meanwhile was forgotten by somebody else.
        if let Ok(metadata) = entry.metadata() {
            files.push((metadata.modified()?, entry.path()));
        }
    }
    files.sort_unstable();
    let over = files.len().saturating_sub(most);
    for (_, file) in files.into_iter().take(over) {
        match fs::remove_file(&file) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(n: u8) -> Oid {
        Oid::from_bytes(&[n; 20]).unwrap()
    }

    fn memory(dir: &Path, command: &str) -> Memory {
        Memory::new(dir, command, false)
    }

    #[test]
    fn answers_are_remembered_by_tree_and_command() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = memory(dir.path(), "make test");
        let failed = Ending::exited(1, "no rule to make target\n".into());
        first.keep(tree(1), &failed);
        first.keep(tree(2), &Ending::exited(0, "all is well\n".into()));
        let mut second = memory(dir.path(), "make test");
        assert_eq!(second.recall(tree(1)), Some(failed));
        assert_eq!(second.recall(tree(2)), Some(Ending::exited(0, String::new())));
        assert_eq!(second.recall(tree(3)), None);
        assert_eq!(memory(dir.path(), "make tests").recall(tree(1)), None);
        assert_eq!(second.warnings, [""; 0]);
    }

    #[test]
    fn what_is_no_answer_counts_only_now() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = memory(dir.path(), "x");
        for (n, ending) in [
            Ending::exited(126, String::new()),
            Ending::exited(127, String::new()),
            Ending::exited(137, String::new()),
            Ending::killed(9, String::new()),
        ]
        .into_iter()
        .enumerate()
        {
            let tree = tree(n as u8);
            first.keep(tree, &ending);
            assert_eq!(first.recall(tree), Some(ending));
            assert_eq!(memory(dir.path(), "x").recall(tree), None);
        }
    }

    #[test]
    fn asking_again_replaces_what_was_remembered() {
        let dir = tempfile::tempdir().unwrap();
        memory(dir.path(), "x").keep(tree(1), &Ending::exited(1, String::new()));
        let mut again = Memory::new(dir.path(), "x", true);
        assert_eq!(again.recall(tree(1)), None);
        let passed = Ending::exited(0, String::new());
        again.keep(tree(1), &passed);
        assert_eq!(again.recall(tree(1)), Some(passed.clone()));
        assert_eq!(memory(dir.path(), "x").recall(tree(1)), Some(passed));
    }

    #[test]
    fn what_cannot_be_used_is_named_and_asked_again() {
        let dir = tempfile::tempdir().unwrap();
        memory(dir.path(), "x").keep(tree(1), &Ending::exited(0, String::new()));
        let mut memory = memory(dir.path(), "x");
        let path = memory.path(tree(1)).unwrap();
        let other = memory.path(tree(2)).unwrap();
        fs::copy(&path, &other).unwrap();
        assert_eq!(memory.recall(tree(2)), None);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"schema\":1", "\"schema\":2")).unwrap();
        assert_eq!(memory.recall(tree(1)), None);
        fs::write(&path, "{").unwrap();
        assert_eq!(memory.recall(tree(1)), None);
        let reasons = ["it is about something else", "this pleach knows 1", "EOF"];
        assert_eq!(memory.warnings.len(), 3);
        for (warning, reason) in memory.warnings.iter().zip(reasons) {
            assert!(warning.contains(".json: ") && warning.contains(reason), "{warning}");
        }
        memory.keep(tree(1), &Ending::exited(0, String::new()));
        assert!(fs::read_to_string(&path).unwrap().contains("\"schema\":1"));
    }

    #[test]
    fn where_nothing_can_be_written_a_warning_says_so() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("pleach"), "").unwrap();
        let mut memory = memory(dir.path(), "x");
        memory.keep(tree(1), &Ending::exited(0, String::new()));
        assert!(
            memory.warnings[0].starts_with("cannot remember"),
            "{:?}",
            memory.warnings
        );
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let old = fs::File::create(dir.path().join("z")).unwrap();
        fs::write(dir.path().join("a"), "").unwrap();
        fs::write(dir.path().join("b"), "").unwrap();
        let time = old.metadata().unwrap().modified().unwrap();
        old.set_modified(time - std::time::Duration::from_secs(60)).unwrap();
        forget_the_oldest(dir.path(), 2).unwrap();
        let mut left: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["a", "b"]);
    }
}
