//! The table of a plan's branches, aligned by what terminals show.

use console::style;

use crate::merge::{Branch, BranchState, MergePlan};
use crate::report::columns::{cut, width};
use crate::report::one_line;

/// A longer name shifts its own line, not those of all others.
const NAME: usize = 40;

/// A title is shown where it has so much room.
const TITLE: usize = 12;

/// The table; nothing without branches. Names are never cut: they are what is typed.
pub(super) fn table(plan: &MergePlan, columns: usize) -> String {
    if plan.branches.is_empty() && plan.missing.is_empty() {
        return String::new();
    }
    let mut cells: Vec<Vec<String>> = vec![HEADER.map(str::to_owned).into()];
    let digits = |of: fn(&Branch) -> usize| plan.branches.iter().map(|b| of(b).to_string().len()).max().unwrap_or(1);
    let (more, less) = (digits(|b| b.insertions), digits(|b| b.deletions));
    for (at, branch) in plan.branches.iter().enumerate() {
        let mut row = of_branch(at + 1, branch);
        if branch.files_changed > 0 {
            let (added, removed) = (format!("+{}", branch.insertions), format!("-{}", branch.deletions));
            row[LINES] = format!("{added:>0$} {removed:>1$}", more + 1, less + 1);
        }
        cells.push(row);
    }
    cells.extend(plan.missing.iter().map(|name| of_missing(name)));
    if plan.branches.iter().all(|b| b.renames == 0) {
        for row in &mut cells {
            row[RENAMED].clear();
        }
    }
    let mut widths = [0; HEADER.len()];
    for row in &cells {
        for (most, cell) in widths.iter_mut().zip(row) {
            *most = width(cell).max(*most);
        }
    }
    widths[NAME_AT] = widths[NAME_AT].min(NAME);
    let titles = plan.branches.iter().map(|b| b.title.as_str());
    let titles = std::iter::once("title").chain(titles).chain(std::iter::repeat(""));
    let mut text = String::new();
    for (at, (row, title)) in cells.iter().zip(titles).enumerate() {
        let mut line = String::new();
        for (index, (cell, most)) in row.iter().zip(widths).enumerate().filter(|(_, (_, most))| *most > 0) {
            let blank = " ".repeat(most.saturating_sub(width(cell)));
            let shown = if index == STATE { coloured(cell) } else { cell.clone() };
            line.push_str("  ");
            match index {
                NAME_AT | STATE => line.extend([shown, blank]),
                _ => line.extend([blank, shown]),
            }
        }
        let room = columns.saturating_sub(width(&console::strip_ansi_codes(&line)) + 2);
        if room >= TITLE {
            line.push_str("  ");
            line.push_str(&cut(title, room));
        }
        let line = line.trim_end();
        match at {
            0 => text.push_str(&style(line).dim().to_string()),
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

const HEADER: [&str; 7] = ["", "branch", "state", "commits", "files", "renamed", "lines"];
const NAME_AT: usize = 1;
const STATE: usize = 2;
const RENAMED: usize = 5;
const LINES: usize = 6;

fn of_branch(number: usize, branch: &Branch) -> Vec<String> {
    let mut row = vec![
        number.to_string(),
        one_line(&branch.name),
        branch.state.name().to_owned(),
    ];
    // Numbers of nothing are noise.
    let or_nothing = |number: usize| match number {
        0 => String::new(),
        _ => number.to_string(),
    };
    row.extend([branch.commits, branch.files_changed, branch.renames].map(or_nothing));
    row.push(String::new());
    row
}

fn of_missing(name: &str) -> Vec<String> {
    let mut row = vec![String::new(); HEADER.len()];
    row[NAME_AT] = one_line(name);
    row[STATE] = "deleted".into();
    row
}

/// The states in colours of their own; they are words all the same.
fn coloured(state: &str) -> String {
    let plain = style(state);
    let styled = match state {
        s if s == BranchState::Ready.name() => plain.green(),
        s if s == BranchState::Conflicts.name() => plain.red(),
        _ => plain,
    };
    styled.to_string()
}
