//! The conversations of the scripted agent, each a file, so that a later run can go on with one.
//!
//! They lie in `$XDG_STATE_HOME/pleach/scripted` (`~/.local/state` when unset) and hold how many turns there were
//! and what they cost, and how far its last prompt with directives was followed: whoever resumes it without any goes on
//! from there, as a model would that is told to finish what it was asked. A conversation is on disk before its first event is printed, and after every turn: it can be
//! resumed after the agent was killed. Without a home nothing is kept.

use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::NamedTempFile;
use uuid::Uuid;

use super::options::{self, Options};

/// A conversation that goes on.
#[derive(Debug)]
pub struct Conversation {
    id: Uuid,
    turns: u64,
    /// What it costs besides its turns, in millionths of a dollar.
    extra: u64,
    script: Script,
    dir: Option<PathBuf>,
}

/// A prompt with directives, and how many of these are done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// The prompt.
    pub prompt: String,
    /// From its beginning.
    pub done: usize,
}

impl Conversation {
    /// The one that the options ask for: a new one, one to go on with, or a copy under a new id.
    pub fn open(options: &Options) -> Result<Self, String> {
        Self::open_in(state_dir(), options)
    }

    fn open_in(dir: Option<PathBuf>, options: &Options) -> Result<Self, String> {
        if let Some(dir) = &dir {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
            made.map_err(|e| format!("Error: {} cannot be created: {e}", dir.display()))?;
        }
        let mut conversation = Self {
            id: options.session_id.unwrap_or_else(Uuid::new_v4),
            turns: 0,
            extra: 0,
            script: Script::default(),
            dir: dir.clone(),
        };
        if let Some(wanted) = &options.resume {
            let found = find(dir, wanted)?;
            if !options.fork {
                return Ok(found);
            }
            let id = conversation.id;
            conversation = Self { id, ..found };
        }
        let id = conversation.id;
        match conversation.save(NamedTempFile::persist_noclobber) {
            Ok(()) => Ok(conversation),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                Err(format!("Error: Session ID {id} is already in use."))
            }
            Err(e) => Err(not_saved(id, &e)),
        }
    }

    /// Its id.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// What it costs, those of earlier runs too: a cent for each turn, and what was added.
    pub fn cost_usd(&self) -> f64 {
        const CENT: u64 = 10_000;
        self.turns.saturating_mul(CENT).saturating_add(self.extra) as f64 / 1e6
    }

    /// It costs so many millionths of a dollar more, which is on disk afterwards.
    pub fn add_cost(&mut self, millionths: u64) -> Result<(), String> {
        self.extra = self.extra.saturating_add(millionths);
        self.save(NamedTempFile::persist).map_err(|e| not_saved(self.id, &e))
    }

    /// What is left of the last prompt that had directives.
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// This prompt is followed from here on, which is on disk afterwards.
    pub fn follow(&mut self, script: Script) -> Result<(), String> {
        self.script = script;
        self.save(NamedTempFile::persist).map_err(|e| not_saved(self.id, &e))
    }

    /// So many of its directives are done, which is on disk afterwards.
    pub fn passed(&mut self, done: usize) -> Result<(), String> {
        self.script.done = done;
        self.save(NamedTempFile::persist).map_err(|e| not_saved(self.id, &e))
    }

    /// One more turn, which is on disk afterwards.
    pub fn add_turn(&mut self) -> Result<(), String> {
        self.turns += 1;
        self.save(NamedTempFile::persist).map_err(|e| not_saved(self.id, &e))
    }

    fn save<T>(&self, put: fn(NamedTempFile, PathBuf) -> Result<T, tempfile::PersistError>) -> io::Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let content = json!({
            "session_id": self.id,
            "turns": self.turns,
            "extra": self.extra,
            "total_cost_usd": self.cost_usd(),
            "prompt": self.script.prompt,
            "done": self.script.done,
        });
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(dir)?;
        writeln!(file, "{content}")?;
        put(file, path(dir, self.id)).map_err(|e| e.error)?;
        Ok(())
    }
}

fn not_saved(id: Uuid, error: &io::Error) -> String {
    format!("Error: conversation {id} cannot be saved: {error}")
}

fn path(dir: &Path, id: Uuid) -> PathBuf {
    dir.join(format!("{id}.json"))
}

/// A conversation on disk.
fn find(dir: Option<PathBuf>, wanted: &str) -> Result<Conversation, String> {
    let unknown = || format!("No conversation found with session ID: {wanted}");
    let id = options::uuid(wanted).ok_or_else(unknown)?;
    let path = path(dir.as_deref().ok_or_else(unknown)?, id);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(unknown()),
        Err(e) => return Err(format!("Error: {} cannot be read: {e}", path.display())),
    };
    let content: Option<Value> = serde_json::from_slice(&text).ok();
    let number = |name: &str| content.as_ref()?.get(name)?.as_u64();
    let turns = number("turns").ok_or_else(|| format!("Error: {} is damaged", path.display()))?;
    // Earlier versions wrote no more than that.
    let prompt = content.as_ref().and_then(|content| content.get("prompt")?.as_str());
    Ok(Conversation {
        id,
        turns,
        extra: number("extra").unwrap_or(0),
        script: Script {
            prompt: prompt.unwrap_or_default().to_owned(),
            done: number("done").and_then(|n| usize::try_from(n).ok()).unwrap_or(0),
        },
        dir,
    })
}

/// Where conversations lie; a relative path counts as none, as the XDG rules have it.
fn state_dir() -> Option<PathBuf> {
    let absolute = |name| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    Some(state?.join("pleach/scripted"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn resume(id: impl ToString) -> Options {
        Options {
            resume: Some(id.to_string()),
            ..Options::default()
        }
    }

    #[test]
    fn cost_goes_on_over_resume_and_fork() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("a/b");
        let open = |options: &Options| Conversation::open_in(Some(dir.clone()), options);
        let mut first = open(&Options::default()).unwrap();
        first.add_turn().unwrap();
        first.add_turn().unwrap();
        let mut second = open(&resume(first.id())).unwrap();
        second.add_turn().unwrap();
        second.add_cost(750_000).unwrap();
        let script = Script {
            prompt: "@say hi".into(),
            done: 1,
        };
        second
            .follow(Script {
                done: 0,
                ..script.clone()
            })
            .unwrap();
        second.passed(1).unwrap();
        assert_eq!(open(&resume(first.id())).unwrap().script(), &script);
        assert_eq!(second.id(), first.id());
        let fork = Options {
            fork: true,
            ..resume(first.id())
        };
        let third = open(&fork).unwrap();
        assert_ne!(third.id(), first.id());
        assert!((third.cost_usd() - 0.78).abs() < 1e-9);

        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&dir), 0o700);
        assert_eq!(mode(&path(&dir, first.id())), 0o600);
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 2);
    }

    #[test]
    fn an_id_is_used_once() {
        let home = tempfile::tempdir().unwrap();
        let open = |options: &Options| Conversation::open_in(Some(home.path().into()), options);
        let options = Options {
            session_id: Some(Uuid::new_v4()),
            ..Options::default()
        };
        open(&options).unwrap();
        assert!(open(&options).unwrap_err().contains("is already in use."));
    }

    #[test]
    fn an_unknown_id_is_refused() {
        let home = tempfile::tempdir().unwrap();
        for dir in [None, Some(home.path().to_owned())] {
            for id in [Uuid::nil().to_string(), "../../etc/passwd".into()] {
                let refused = Conversation::open_in(dir.clone(), &resume(&id)).unwrap_err();
                assert_eq!(refused, format!("No conversation found with session ID: {id}"));
            }
        }
    }
}
