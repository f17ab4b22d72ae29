//! What tasks changed: what stands above each diff, and the files as a list. The diffs themselves are shown by git.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use super::status::amount;
use super::{clock, one_line, unbroken};
use crate::store::path_json;
use crate::words::few;

/// The changes of tasks as JSON.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the documentation, in the README's table")]
pub struct DiffDocument {
    pub schema: u32,
    pub session_id: String,
    /// The id of the task that was compared with; the base is then its head.
    pub against: Option<String>,
    pub tasks: Vec<TaskDiff>,
}

/// The changes of one task.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the documentation, in the README's table")]
pub struct TaskDiff {
    pub task_num: usize,
    pub id: String,
    pub title: String,
    pub branch: Option<String>,
    /// None while there is no work.
    pub base: Option<String>,
    pub head: Option<String>,
    /// `branch`; `kept` when that is gone; `snapshot` for files of a task that still runs.
    pub source: Option<&'static str>,
    pub commits: usize,
    pub files_changed: usize,
    pub insertions: usize,
    pub deletions: usize,
    pub files: Vec<ChangedFile>,
}

/// A file that differs.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the documentation, in the README's table")]
pub struct ChangedFile {
    #[serde(with = "path_json")]
    #[schemars(with = "path_json::Form")]
    pub path: PathBuf,
    /// Of a renamed one.
    #[serde(with = "path_json::option")]
    #[schemars(with = "Option<path_json::Form>")]
    pub old_path: Option<PathBuf>,
    /// `added`, `deleted`, `modified`, `renamed` or `type_changed`.
    pub status: &'static str,
    /// None for a file that is no text.
    pub insertions: Option<usize>,
    pub deletions: Option<usize>,
}

/// What stands above the diff of one task among several.
pub fn heading(task: &TaskDiff) -> String {
    let branch = task
        .branch
        .as_ref()
        .map_or(String::new(), |branch| format!("{}  ", unbroken(branch)));
    let title = one_line(&task.title);
    format!("━━ {}  {title}\n   {branch}{}\n", task.task_num, changes(task))
}

/// `2 commits, 3 files, +10 -2`
fn changes(task: &TaskDiff) -> String {
    match (&task.head, task.files_changed) {
        (None, _) => "no work yet".into(),
        (_, 0) => "changed nothing".into(),
        (_, files) => amount(task.commits, files, task.insertions, task.deletions),
    }
}

/// What has to be known about where the work of a task was found, if that is not its branch at rest. `snapshot` is when
/// the snapshot was made, in Unix seconds.
pub fn about_work(task: &TaskDiff, settled: bool, snapshot: Option<u64>) -> Option<String> {
    let (id, branch) = (&task.id, unbroken(task.branch.as_deref().unwrap_or_default()));
    match (task.source, snapshot) {
        (Some("kept"), _) => Some(format!(
            "the branch {branch} is gone: this is the work of {id} as it was settled"
        )),
        (_, Some(at)) => Some(format!(
            "{id} is not settled yet: this is what was in its worktree at {}",
            clock(at.saturating_mul(1000))
        )),
        (Some(_), None) if !settled => Some(format!("{id} is not settled yet: this is what its branch has")),
        _ => None,
    }
}

/// The files with their numbers, the first `most` of them.
pub(super) fn files(files: &[ChangedFile], most: usize) -> Vec<String> {
    let shown = files.iter().take(most);
    let numbers = |file: &ChangedFile| match (file.insertions, file.deletions) {
        (Some(plus), Some(minus)) => format!("+{plus} -{minus}"),
        _ => "binary".to_owned(),
    };
    let width = shown.clone().map(|file| numbers(file).len()).max().unwrap_or(0);
    let line = |file: &ChangedFile| {
        let path = unbroken(&file.path.to_string_lossy());
        let what = match (&file.old_path, file.status) {
            (Some(old), _) => format!("  (was {})", unbroken(&old.to_string_lossy())),
            (None, status @ ("added" | "deleted")) => format!("  ({status})"),
            _ => String::new(),
        };
        format!("{:<width$}  {path}{what}", numbers(file))
    };
    shown.map(line).collect()
}

/// What is said of a task that changed nothing, if it did so.
pub fn without_changes(task: &TaskDiff) -> Option<String> {
    task.files.is_empty().then(|| format!("{}: {}", task.id, changes(task)))
}

/// What is said of programs that are configured and not used.
pub fn unused_to_show(settings: &[String]) -> String {
    let pager = match settings.iter().any(|key| key.contains("pager")) {
        true => "; a pager is also taken from GIT_PAGER",
        false => "",
    };
    format!(
        "not used, as they are not in the session's record of git's configuration: {}{pager}",
        few(settings)
    )
}
