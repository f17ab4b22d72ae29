//! What is kept of a session's work beside its branches, and what was brought back.

use std::fmt::Write;

use console::{Alignment, measure_text_width, pad_str};
use schemars::JsonSchema;
use serde::Serialize;

use super::{commands_of, count, quote, time_of_day, unbroken};

/// What is kept, as JSON.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the documentation, in the README's table")]
pub struct RecoverDocument {
    pub schema: u32,
    pub session_id: String,
    /// Those of which something is kept.
    pub tasks: Vec<KeptTask>,
    /// What branches and tags were before they moved.
    pub moved: Vec<KeptWork>,
    /// The branch that was made with `--to`.
    pub restored: Option<Restored>,
}

/// A task of which something is kept.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the documentation, in the README's table")]
pub struct KeptTask {
    pub id: String,
    /// None when the session's own files are gone or unreadable.
    pub task_num: Option<usize>,
    pub title: Option<String>,
    pub branch: Option<String>,
    /// Whether the branch is not there any more.
    pub branch_gone: bool,
    /// Newest first.
    pub kept: Vec<KeptWork>,
}

/// A commit that is kept.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the documentation, in the README's table")]
pub struct KeptWork {
    /// For `--from`: `head`, `snap/3`, `left/1`, ...
    pub name: String,
    /// What it is, in words.
    pub what: &'static str,
    pub reference: String,
    pub commit: String,
    /// Unix seconds.
    pub time: u64,
    /// Whether a branch leads to it.
    pub on_branch: bool,
    /// Against the base of the session, as all that follow; none when it is not known.
    pub commits: Option<usize>,
    pub files_changed: Option<usize>,
    pub insertions: Option<usize>,
    pub deletions: Option<usize>,
}

/// What was brought back.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the documentation, in the README's table")]
pub struct Restored {
    pub branch: String,
    pub task: Option<String>,
    pub name: String,
    pub commit: String,
}

/// All that is kept; `command` is `pleach recover SESSION` as it can be typed.
pub fn recover(doc: &RecoverDocument, command: &str) -> String {
    let mut text = format!("session {}\n", doc.session_id);
    if doc.tasks.is_empty() && doc.moved.is_empty() {
        text.push_str("  nothing is kept beside its branches\n");
        return text;
    }
    for task in &doc.tasks {
        let title = task
            .title
            .as_deref()
            .map_or(String::new(), |t| format!("  {}", unbroken(t)));
        let _ = writeln!(text, "\ntask {}{title}", unbroken(&task.id));
        rows(&mut text, &task.kept);
        if let (Some(branch), true) = (&task.branch, task.branch_gone) {
            let _ = writeln!(text, "  its branch {} is gone", unbroken(branch));
        }
    }
    if !doc.moved.is_empty() {
        text.push_str("\nbranches and tags that moved\n");
        rows(&mut text, &doc.moved);
    }
    text.push_str("\nfiles that git ignores are in none of them\n");
    text.push_str(&commands_of(&commands(doc, command)));
    text
}

fn commands(doc: &RecoverDocument, command: &str) -> Vec<(String, &'static str)> {
    let mut commands = Vec::new();
    let gone = |task: &&KeptTask| task.branch_gone && task.kept.iter().any(|k| k.name == "head");
    for task in doc.tasks.iter().filter(gone) {
        if let Some(branch) = &task.branch {
            let line = format!("{command} {} --from head --to {}", quote(&task.id), quote(branch));
            commands.push((line, "make its branch again"));
        }
    }
    let all = || {
        doc.tasks
            .iter()
            .flat_map(|task| task.kept.iter().map(move |kept| (task, kept)))
    };
    // What a branch has can be had without this.
    let example = all().find(|(_, kept)| !kept.on_branch).or_else(|| all().next());
    if let Some((task, kept)) = example {
        let (id, name) = (quote(&task.id), quote(&kept.name));
        commands.push((format!("git show --stat {}", quote(&kept.reference)), "look at one"));
        commands.push((format!("{command} {id} --from {name} --to BRANCH"), "bring one back"));
    } else if let Some(kept) = doc.moved.first() {
        let name = quote(&kept.name);
        commands.push((format!("{command} --from {name} --to BRANCH"), "bring one back"));
    }
    commands
}

fn rows(text: &mut String, kept: &[KeptWork]) {
    let cells: Vec<[String; 6]> = kept.iter().map(cells).collect();
    let width = |column: usize| {
        cells
            .iter()
            .map(|row| measure_text_width(&row[column]))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..6).map(width).collect();
    for row in &cells {
        let mut line = String::from(" ");
        for (cell, width) in row.iter().zip(&widths).filter(|(_, width)| **width > 0) {
            let _ = write!(line, " {} ", pad_str(cell, *width, Alignment::Left, None));
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

fn cells(kept: &KeptWork) -> [String; 6] {
    let changes = kept.files_changed.map_or(String::new(), |files| {
        let (more, less) = (kept.insertions.unwrap_or(0), kept.deletions.unwrap_or(0));
        format!("{}, +{more} -{less}", count(files, "file"))
    });
    [
        unbroken(&kept.name),
        kept.commit.chars().take(10).collect(),
        time_of_day(kept.time),
        kept.what.into(),
        changes,
        if kept.on_branch { "" } else { "on no branch" }.into(),
    ]
}

/// What was brought back, and how to go on; `base` is the commit that the session started from.
pub fn restored(made: &Restored, base: Option<&str>) -> String {
    let of = (made.task.as_ref()).map_or(String::new(), |task| format!(" of task {}", unbroken(task)));
    let branch = quote(&made.branch);
    let mut commands = vec![(format!("git switch {branch}"), "work on it")];
    if let Some(base) = base {
        let base: String = base.chars().take(10).collect();
        commands.push((format!("git diff {base} {branch}"), "what is different in it"));
    }
    let commit: String = made.commit.chars().take(10).collect();
    format!(
        "the branch {} is at {commit}: {}{of}\n{}",
        unbroken(&made.branch),
        unbroken(&made.name),
        commands_of(&commands)
    )
}
