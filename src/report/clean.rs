//! What `clean` would remove, what stays and why, and what became of each thing.

use std::fmt::Write;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use super::words::unbroken;
use crate::clean::{Fate, Ignored, Item, Outcome, Plan, Thing};
use crate::store::path_json;
use crate::words::{bytes, count};

/// A plan to clean up, and how far it was carried out.
#[derive(Debug)]
pub struct Cleaning {
    document: CleanDocument,
    /// Whose the last line was.
    shown: Option<Option<String>>,
}

/// The same as JSON.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CleanDocument {
    /// The number of this format.
    pub schema: u32,
    /// Whether nothing was to be removed.
    pub dry_run: bool,
    /// How many things went, or would go.
    pub gone: usize,
    /// How many could not be removed.
    pub failed: usize,
    /// Everything that was looked at and is worth a word.
    pub items: Vec<CleanItem>,
}

/// One thing that goes or stays.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CleanItem {
    /// Whose it is; none when it is no session's.
    pub session_id: Option<String>,
    /// Whose it is.
    pub task: Option<String>,
    /// What it is.
    pub kind: CleanKind,
    /// The name of a branch.
    pub branch: Option<String>,
    /// Where it is; none for a branch.
    #[serde(with = "path_json::option")]
    #[schemars(with = "Option<path_json::Form>")]
    pub path: Option<PathBuf>,
    /// What becomes of it.
    pub state: CleanState,
    /// Why it goes or stays, or what went wrong.
    pub why: String,
    /// Where a worktree is now.
    #[serde(with = "path_json::option")]
    #[schemars(with = "Option<path_json::Form>")]
    pub trash: Option<PathBuf>,
    /// What it takes on the disk, of what is in the trash or was left by tasks for each other.
    pub bytes: Option<u64>,
    /// Files of a worktree that are in no commit, because git ignores them.
    pub ignored: Option<CleanIgnored>,
}

/// What something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CleanKind {
    /// A worktree.
    Worktree,
    /// A branch.
    Branch,
    /// The directory of a session: its journal, answers and logs.
    Record,
    /// What the tasks of a session left for each other, where that is not in its directory.
    Shared,
    /// Something in the trash.
    Trash,
    /// Something of pleach's that was being made by something that was killed.
    HalfMade,
    /// The commits of a session that was discarded.
    Discarded,
}

impl CleanKind {
    fn words(self) -> &'static str {
        match self {
            Self::Worktree => "worktree",
            Self::Branch => "branch",
            Self::Record => "record",
            Self::Shared => "notes",
            Self::Trash => "trash",
            Self::HalfMade => "half made",
            Self::Discarded => "commits",
        }
    }
}

/// What becomes of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CleanState {
    /// It would go.
    Goes,
    /// It is gone.
    Gone,
    /// It stays.
    Stays,
    /// It could not be removed.
    Failed,
}

/// Files that git ignores.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CleanIgnored {
    /// How many entries git names; a directory counts once.
    pub entries: usize,
    /// The largest of them.
    pub largest: Vec<String>,
    /// How long they are together.
    pub bytes: u64,
    /// What they take on the disk.
    pub disk_bytes: u64,
}

impl CleanIgnored {
    fn of(ignored: &Ignored) -> Option<Self> {
        (ignored.entries > 0).then(|| Self {
            entries: ignored.entries,
            largest: ignored.largest.clone(),
            bytes: ignored.bytes,
            disk_bytes: ignored.disk_bytes,
        })
    }
}

impl Cleaning {
    /// What is planned.
    pub fn new(plan: &Plan, dry_run: bool) -> Self {
        let items: Vec<CleanItem> = plan.items().iter().map(item).collect();
        let document = CleanDocument {
            schema: 1,
            dry_run,
            gone: items.iter().filter(|item| item.state == CleanState::Goes).count(),
            failed: 0,
            items,
        };
        Self { document, shown: None }
    }

    /// The plan as text.
    pub fn planned(&mut self) -> String {
        let mut text = String::new();
        for item in self.document.items.clone() {
            text += &self.line(&item);
        }
        let ends = match self.document.gone {
            0 => "nothing to remove".to_owned(),
            n => format!("{} to remove", count(n, "thing")),
        };
        self.shown = None;
        text + &ends + "\n"
    }

    /// What stays, as text.
    pub fn staying(&mut self) -> String {
        let stays = |item: &&CleanItem| item.state == CleanState::Stays;
        let items: Vec<CleanItem> = self.document.items.iter().filter(stays).cloned().collect();
        let text = items.iter().map(|item| self.line(item)).collect();
        self.shown = None;
        text
    }

    /// Takes in what became of something, and gives it as text.
    pub fn done(&mut self, planned: &Item, outcome: Outcome) -> String {
        let mut done = item(planned);
        (done.state, done.why) = match outcome {
            Outcome::Gone(trash) => {
                done.trash = trash;
                (CleanState::Gone, done.why)
            }
            Outcome::Stayed(why) => (CleanState::Stays, why),
            Outcome::Failed(why) => (CleanState::Failed, why),
        };
        let text = self.line(&done);
        let known = self.document.items.iter_mut().find(|item| is_same(item, &done));
        match known {
            Some(item) => *item = done,
            None => self.document.items.push(done),
        }
        text
    }

    /// All of it.
    pub fn document(mut self) -> CleanDocument {
        let of = |state| self.document.items.iter().filter(|item| item.state == state).count();
        let gone = of(CleanState::Gone);
        self.document.failed = of(CleanState::Failed);
        if !self.document.dry_run {
            self.document.gone = gone;
        }
        self.document
    }

    /// A thing in a line, or two, under the session that it is of.
    fn line(&mut self, item: &CleanItem) -> String {
        let mut text = String::new();
        if self.shown.replace(item.session_id.clone()).as_ref() != Some(&item.session_id) {
            let _ = match &item.session_id {
                Some(id) => writeln!(text, "session {}", id.chars().take(8).collect::<String>()),
                None => writeln!(text, "beside the sessions"),
            };
        }
        let state = match item.state {
            CleanState::Goes => "goes",
            CleanState::Gone => "gone",
            CleanState::Stays => "stays",
            CleanState::Failed => "FAILED",
        };
        let name = match (&item.branch, &item.path) {
            (Some(branch), _) => unbroken(branch),
            (_, Some(path)) => unbroken(&path.display().to_string()),
            _ => String::new(),
        };
        let size = item.bytes.map(|size| format!(" ({})", bytes(size))).unwrap_or_default();
        let kind = item.kind.words();
        let _ = writeln!(text, "  {state:<6}  {kind:<9}  {name}{size}: {}", unbroken(&item.why));
        if let Some(trash) = &item.trash {
            let _ = writeln!(
                text,
                "{:21}in the trash for 24 hours: {}",
                "",
                unbroken(&trash.display().to_string())
            );
        }
        if let Some(ignored) = &item.ignored {
            let _ = writeln!(text, "{:21}{}", "", unbroken(&with_it(ignored)));
        }
        text
    }
}

/// What of a worktree is in no commit.
fn with_it(ignored: &CleanIgnored) -> String {
    let more = match ignored.entries - ignored.largest.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let disk = match ignored.disk_bytes.saturating_mul(2) < ignored.bytes {
        true => format!(", {} on the disk", bytes(ignored.disk_bytes)),
        false => String::new(),
    };
    format!(
        "with what git ignores ({}{disk}), which is in no commit: {}{more}",
        bytes(ignored.bytes),
        ignored.largest.join(", ")
    )
}

fn item(item: &Item) -> CleanItem {
    let (state, why) = match &item.fate {
        Fate::Goes(why) => (CleanState::Goes, why),
        Fate::Stays(why) => (CleanState::Stays, why),
    };
    let mut shown = CleanItem {
        session_id: item.session.map(|id| id.to_string()),
        task: None,
        kind: CleanKind::Record,
        branch: None,
        path: None,
        state,
        why: why.clone(),
        trash: None,
        bytes: None,
        ignored: None,
    };
    match &item.thing {
        Thing::Worktree {
            task, path, ignored, ..
        } => {
            shown.kind = CleanKind::Worktree;
            shown.task = Some(task.to_string());
            shown.path = Some(path.clone());
            shown.ignored = CleanIgnored::of(ignored);
        }
        Thing::Branch { task, name, .. } => {
            shown.kind = CleanKind::Branch;
            shown.task = Some(task.to_string());
            shown.branch = Some(name.clone());
        }
        Thing::Record(path) => shown.path = Some(path.clone()),
        Thing::Shared { path, bytes } => {
            shown.kind = CleanKind::Shared;
            shown.path = Some(path.clone());
            shown.bytes = Some(*bytes);
        }
        Thing::Trash { path, bytes } => {
            shown.kind = CleanKind::Trash;
            shown.path = Some(path.clone());
            shown.bytes = Some(*bytes);
        }
        Thing::HalfMade(path) => {
            shown.kind = CleanKind::HalfMade;
            shown.path = Some(path.clone());
        }
        Thing::Discarded(path) => {
            shown.kind = CleanKind::Discarded;
            shown.path = Some(path.clone());
        }
    }
    shown
}

fn is_same(a: &CleanItem, b: &CleanItem) -> bool {
    (&a.session_id, a.kind, &a.branch, &a.path) == (&b.session_id, b.kind, &b.branch, &b.path)
}
