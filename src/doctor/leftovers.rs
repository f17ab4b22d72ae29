//! What is left of sessions on disk: worktrees, trash, and what was half made when something was killed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::repository::Seen;
use super::{Check, Finding, Subject};
use crate::clean::{cut_off_merges, half_made, notes_without_record};
use crate::session::{Stored, TaskRecord, TaskState, WorktreeFate};
use crate::store::lock::is_held;
use crate::store::usage::Usage;
use crate::words::{bytes, count, few};
use crate::worktree::naming::{SHARED, TRASH, merge_of_scratch, short};
use crate::worktree::trashed;

/// Why a worktree is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    /// Its session was cut off, or could not go on.
    CutOff,
    /// Its task is settled, and it was kept.
    Kept,
    /// A session works in it. Of two sessions that know one place, this one counts.
    InUse,
}

pub(super) fn look(subject: &Subject, seen: Option<&Seen<'_>>, sessions: &[Stored], found: &mut Vec<Finding>) {
    let before = found.len();
    let mut usage = Usage::default();
    let known = known(sessions);
    worktrees(&known, sessions, &mut usage, found);
    let default = subject.worktrees.as_ref().map(|(dir, _)| dir.as_path());
    if let Some(dir) = default {
        let registered = seen.map(|seen| seen.place.common_dir.join("worktrees"));
        let scratch = |name: &OsStr| {
            let registered = registered.as_ref().is_some_and(|all| all.join(name).is_dir());
            registered && name.to_str().and_then(merge_of_scratch).is_some()
        };
        strangers(
            dir,
            |path| known.contains_key(path) || path.file_name().is_some_and(scratch),
            &mut usage,
            found,
        );
    }
    if let Some(seen) = seen {
        merges(&seen.place.common_dir, found);
    }
    if let (Some(dir), Some(seen)) = (default, seen) {
        scratch_worktrees(dir, &seen.place.common_dir, &mut usage, found);
    }
    let of_sessions = sessions.iter().filter_map(|s| s.recorded.spec.repository.as_ref());
    let parents: BTreeSet<&Path> = of_sessions.map(|r| r.worktrees.as_path()).chain(default).collect();
    for parent in &parents {
        trash(parent, &mut usage, found);
    }
    if let Some(results) = &subject.results {
        let all = parents.iter().flat_map(|parent| notes_without_record(results, parent));
        lost_notes(all.map(|(path, _)| path).collect(), &mut usage, found);
    }
    let mut half = Vec::new();
    let pleach = seen.map(|seen| seen.place.common_dir.join("pleach"));
    let shared: Vec<PathBuf> = parents.iter().map(|parent| parent.join(SHARED)).collect();
    for dir in subject.results.iter().chain(&pleach).chain(&shared) {
        let (here, unseen) = half_made(dir);
        half.extend(here);
        found.extend(unseen.into_iter().map(|what| Check::Leftovers.unseen(what)));
    }
    found.extend(judge_half_made(&half));
    found.extend(
        usage
            .unreadable
            .iter()
            .map(|what| Check::Leftovers.unseen(what.clone())),
    );
    // Where nothing is known of sessions nothing can be said of what they left.
    if found.len() == before && subject.results.is_some() {
        found.push(Check::Leftovers.ok("no worktree, trash or half-made file is left over"));
    }
}

/// The worktrees that sessions know of.
fn known(sessions: &[Stored]) -> BTreeMap<PathBuf, Why> {
    let mut known = BTreeMap::new();
    for session in sessions {
        for record in &session.recorded.state.tasks {
            let at_work = session.held && session.recorded.state.end.is_none();
            if let Some((site, why)) = record.site().zip(why(record, at_work)) {
                let entry = known.entry(site.worktree.clone()).or_insert(why);
                *entry = why.max(*entry);
            }
        }
    }
    known
}

fn why(record: &TaskRecord, at_work: bool) -> Option<Why> {
    match &record.state {
        TaskState::Settled {
            worktree: WorktreeFate::None | WorktreeFate::Trashed { .. },
            ..
        } => None,
        _ if at_work && record.settlement().is_none() => Some(Why::InUse),
        TaskState::Settled {
            worktree: WorktreeFate::Kept(_),
            ..
        } => Some(Why::Kept),
        // On its way to the trash.
        TaskState::Settled { .. } if at_work => Some(Why::InUse),
        _ => Some(Why::CutOff),
    }
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|m| m.is_dir())
}

/// Of one session its id, of several the word for it.
fn named(sessions: &[Stored], why_of: impl Fn(&Stored) -> bool) -> String {
    let mut ids = sessions
        .iter()
        .filter(|s| why_of(s))
        .map(|s| short(s.recorded.spec.session_id));
    match (ids.next(), ids.next()) {
        (Some(id), None) => id,
        _ => "SESSION".into(),
    }
}

fn worktrees(known: &BTreeMap<PathBuf, Why>, sessions: &[Stored], usage: &mut Usage, found: &mut Vec<Finding>) {
    let with = |why: Why| {
        let has = |record: &TaskRecord| {
            record
                .site()
                .is_some_and(|site| known.get(&site.worktree) == Some(&why))
        };
        named(sessions, |s| s.recorded.state.tasks.iter().any(has))
    };
    let (cut_off, kept) = (with(Why::CutOff), with(Why::Kept));
    for wanted in [Why::Kept, Why::CutOff] {
        let there: Vec<&PathBuf> = known
            .iter()
            .filter(|(p, why)| **why == wanted && is_there(p))
            .map(|(p, _)| p)
            .collect();
        if there.is_empty() {
            continue;
        }
        let size = bytes(there.iter().map(|p| usage.count(p)).sum());
        let names: Vec<String> = there.iter().map(|p| p.display().to_string()).collect();
        let (number, names) = (count(there.len(), "worktree"), few(&names));
        found.push(match wanted {
            Why::CutOff => Check::Leftovers
                .warning(format!(
                    "{number} of interrupted sessions ({size}), perhaps with work that is in no commit: {names}"
                ))
                .hint(format!(
                    "to go on where they are: pleach resume {cut_off}; to remove those that hold nothing uncommitted: \
                     pleach clean {cut_off}"
                )),
            _ => Check::Leftovers
                .note(format!("{number} of settled tasks ({size}): {names}"))
                .hint(format!(
                    "to see what each came to: pleach status {kept}; to remove them: pleach clean --all"
                )),
        });
    }
}

/// What is where worktrees go, and belongs to no session.
fn strangers(dir: &Path, is_known: impl Fn(&Path) -> bool, usage: &mut Usage, found: &mut Vec<Finding>) {
    let entries = match fs::read_dir(dir) {
        // Not there, or a file: that is said with the repository.
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return,
        Err(e) => return found.push(Check::Leftovers.unseen(format!("cannot read {}: {e}", dir.display()))),
        Ok(entries) => entries,
    };
    let mut strangers: Vec<PathBuf> = (entries.flatten())
        .filter(|entry| ![SHARED, TRASH].iter().any(|ours| entry.file_name() == *ours))
        .map(|entry| entry.path())
        .filter(|path| !is_known(path))
        .collect();
    strangers.sort_unstable();
    if strangers.is_empty() {
        return;
    }
    let size = bytes(strangers.iter().map(|p| usage.count(p)).sum());
    let names: Vec<String> = strangers.iter().map(|p| p.display().to_string()).collect();
    let (what, belong) = match names.len() {
        1 => ("1 entry".to_owned(), "belongs"),
        n => (format!("{n} entries"), "belong"),
    };
    found.push(
        Check::Leftovers
            .note(format!(
                "{what} beside the worktrees ({size}) {belong} to no session that can be read here: {}",
                few(&names)
            ))
            .hint("a session with another --results-dir may know them; see what of them is pleach's and can go: pleach clean --dry-run"),
    );
}

/// What tasks left for each other, of sessions whose records somebody has deleted.
fn lost_notes(lost: Vec<PathBuf>, usage: &mut Usage, found: &mut Vec<Finding>) {
    if lost.is_empty() {
        return;
    }
    let size = bytes(lost.iter().map(|path| usage.count(path)).sum());
    let names: Vec<String> = lost.iter().map(|path| path.display().to_string()).collect();
    let number = count(lost.len(), "session");
    found.push(
        Check::Leftovers
            .note(format!(
                "notes of {number} without a record here ({size}), which its tasks left for each other: {}",
                few(&names)
            ))
            .hint(
                "a session with another --results-dir may know them; to put those into the trash that nobody is at: \
                 pleach clean --all",
            ),
    );
}

/// Merges and undos that were cut off: a checkout may be half updated.
fn merges(common_dir: &Path, found: &mut Vec<Finding>) {
    match cut_off_merges(common_dir) {
        Ok(targets) => found.extend(targets.iter().map(|target| {
            Check::Leftovers
                .warning(format!(
                    "a merge into {target}, or the undoing of one, was cut off: its checkout may be half updated"
                ))
                .hint("the next merge, undo or clean brings it to an end, and tells how: pleach clean")
        })),
        Err(e) => found.push(Check::Leftovers.unseen(e.to_string())),
    }
}

/// Worktrees in which merges run a command. One that is at work needs its own, and removes it.
fn scratch_worktrees(dir: &Path, common_dir: &Path, usage: &mut Usage, found: &mut Vec<Finding>) {
    let entries = fs::read_dir(common_dir.join("worktrees"))
        .into_iter()
        .flatten()
        .flatten();
    let registered = entries.filter(|entry| entry.file_name().to_str().and_then(merge_of_scratch).is_some());
    let mut left: Vec<PathBuf> = registered.map(|entry| dir.join(entry.file_name())).collect();
    left.sort_unstable();
    // Whether a merge is at work is asked last: what is seen of one that has ended since is gone.
    if left.is_empty() || is_held(&common_dir.join("pleach/merge.lock")).unwrap_or(true) {
        return;
    }
    left.retain(|path| is_there(path));
    if left.is_empty() {
        return;
    }
    let size = bytes(left.iter().map(|path| usage.count(path)).sum());
    let names: Vec<String> = left.iter().map(|path| path.display().to_string()).collect();
    let number = count(left.len(), "worktree");
    found.push(
        Check::Leftovers
            .note(format!(
                "{number} of merges that were killed while they verified ({size}): {}",
                few(&names)
            ))
            .hint("nothing in them is needed; the next merge removes them: pleach merge"),
    );
}

fn trash(parent: &Path, usage: &mut Usage, found: &mut Vec<Finding>) {
    let dir = parent.join(TRASH);
    let ours = match trashed(parent) {
        Ok(ours) => ours,
        Err(e) => return found.push(Check::Leftovers.unseen(e.to_string())),
    };
    if ours.is_empty() {
        return;
    }
    let size = bytes(ours.iter().map(|p| usage.count(p)).sum());
    found.push(
        Check::Leftovers
            .note(format!(
                "{} in the trash {} ({size})",
                count(ours.len(), "worktree"),
                dir.display()
            ))
            .hint(
                "each goes after 24 hours; when you miss no file that git ignored in them: pleach clean --empty-trash",
            ),
    );
}

fn judge_half_made(half: &[PathBuf]) -> Option<Finding> {
    if half.is_empty() {
        return None;
    }
    let names: Vec<String> = half.iter().map(|h| h.display().to_string()).collect();
    let (what, are) = match half.len() {
        1 => ("1 entry".to_owned(), "is"),
        n => (format!("{n} entries"), "are"),
    };
    Some(
        Check::Leftovers
            .note(format!(
                "{what} of something that was killed {are} left, half made: {}",
                few(&names)
            ))
            .hint("no agent ever ran with them, and nothing needs them: pleach clean"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_half_made_is_named() {
        assert_eq!(judge_half_made(&[]), None);
        let half = ["/a b/.new-1".into(), "/view-2".into()];
        let finding = judge_half_made(&half).unwrap();
        assert!(finding.message.ends_with("/a b/.new-1, /view-2"), "{finding:?}");
        assert!(
            finding.hint.as_deref().is_some_and(|h| h.ends_with(": pleach clean")),
            "{finding:?}"
        );
    }
}
