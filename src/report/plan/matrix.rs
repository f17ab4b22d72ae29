//! Which two branches conflict: a matrix by their numbers in the table, or, where that has no room, a list.

use std::collections::BTreeSet;
use std::fmt::Write;

use console::style;

use crate::merge::{BranchState, MergePlan};
use crate::report::columns::{cut, wrap};

/// With more branches only those that conflict are shown.
const ALL: usize = 10;

/// A name is shown beside its row where it has so much room.
const NAME: usize = 12;

/// The matrix with its title; nothing when no two conflict.
pub(super) fn matrix(plan: &MergePlan, columns: usize) -> String {
    let pairs = pairs(plan);
    if pairs.is_empty() {
        return String::new();
    }
    let colliding: BTreeSet<usize> = pairs.iter().map(|(a, _)| *a).collect();
    let paired: BTreeSet<usize> = (0..plan.branches.len())
        .filter(|i| plan.branches[*i].state == BranchState::Ready || colliding.contains(i))
        .collect();
    let fits = |shown: &BTreeSet<usize>| row_width(shown) <= columns;
    let whole = paired.len() <= ALL && fits(&paired);
    let shown = if whole { &paired } else { &colliding };
    let mut text = "which conflict with each other:\n".to_owned();
    match fits(shown) {
        true => drawn(&mut text, plan, &pairs, shown, columns),
        false => listed(&mut text, &pairs, shown, columns),
    }
    let others = paired.len() - shown.len();
    if others > 0 {
        let others = match others {
            1 => "1 branch that conflicts with no other is".to_owned(),
            _ => format!("{others} branches that conflict with no other are"),
        };
        let _ = writeln!(text, "  {others} not shown");
    }
    text
}

/// The pairs that conflict, both ways, as places of the branches in the table.
fn pairs(plan: &MergePlan) -> BTreeSet<(usize, usize)> {
    let place = |name: &str| plan.branches.iter().position(|b| b.name == name);
    let found = plan.pairs.conflicts.iter();
    let found = found.filter_map(|p| Some((place(&p.a)?, place(&p.b)?)));
    found.flat_map(|(a, b)| [(a, b), (b, a)]).collect()
}

/// A cell takes as many columns as the highest number, and one between.
fn cell_width(shown: &BTreeSet<usize>) -> usize {
    shown.last().map_or(1, |last| (last + 1).to_string().len()).max(2) + 1
}

fn row_width(shown: &BTreeSet<usize>) -> usize {
    1 + cell_width(shown) * (shown.len() + 1)
}

fn drawn(
    text: &mut String,
    plan: &MergePlan,
    pairs: &BTreeSet<(usize, usize)>,
    shown: &BTreeSet<usize>,
    columns: usize,
) {
    let cell = cell_width(shown);
    let numbers: String = shown.iter().map(|i| format!("{:>cell$}", i + 1)).collect();
    let header = format!(" {:>cell$}{numbers}", "");
    let _ = writeln!(text, "{}", style(header).dim());
    let room = columns.saturating_sub(row_width(shown) + 2);
    for row in shown {
        let mut line = format!(" {:>cell$}", row + 1);
        for column in shown {
            line.push_str(&" ".repeat(cell - 1));
            match () {
                () if row == column => line.push('-'),
                () if pairs.contains(&(*row, *column)) => line.push_str(&style("x").red().to_string()),
                () => line.push('·'),
            }
        }
        if room >= NAME {
            let _ = write!(line, "  {}", cut(&plan.branches[*row].name, room));
        }
        let _ = writeln!(text, "{line}");
    }
}

fn listed(text: &mut String, pairs: &BTreeSet<(usize, usize)>, shown: &BTreeSet<usize>, columns: usize) {
    let cell = cell_width(shown);
    for row in shown {
        let others = pairs.iter().filter(|(a, _)| a == row).map(|(_, b)| (b + 1).to_string());
        let others = others.collect::<Vec<_>>().join(" ");
        let room = columns.saturating_sub(cell + 6).max(cell);
        for (at, line) in wrap(&others, room).iter().enumerate() {
            let _ = match at {
                0 => writeln!(text, " {:>cell$}  x  {line}", row + 1),
                _ => writeln!(text, " {:>cell$}     {}", "", line.trim_start()),
            };
        }
    }
}
