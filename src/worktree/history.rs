//! Where a worktree's HEAD has been: commits that an agent made and that are on its branch no longer.
//!
//! git forgets them with the worktree, since what it wrote down about them goes with it.

use std::path::Path;

use git2::{Oid, Repository};
use walkdir::WalkDir;

use super::inspect::small_file;

/// What git keeps while something is going on in a worktree, and what that is.
const UNFINISHED: [(&str, &str); 7] = [
    ("MERGE_HEAD", "merge"),
    ("rebase-merge", "rebase"),
    ("rebase-apply", "rebase"),
    ("CHERRY_PICK_HEAD", "cherry-pick"),
    ("REVERT_HEAD", "revert"),
    // Of several commits, one of which is just done.
    ("sequencer", "cherry-pick or revert"),
    ("BISECT_LOG", "bisect"),
];

/// The most commits that are looked at: the newest.
const MOST: usize = 200;

/// The merge, rebase or the like that is not finished in a worktree with this git dir.
pub fn unfinished(admin: &Path) -> Option<&'static str> {
    let found = UNFINISHED
        .iter()
        .find(|(name, _)| admin.join(name).symlink_metadata().is_ok());
    found.map(|(_, what)| *what)
}

/// The commits that a worktree's HEAD was at, the newest last.
pub(super) fn of_head(repository: &Repository, admin: &Path) -> Vec<Oid> {
    of_log(repository, &admin.join("logs/HEAD"))
}

/// The commit that the files of a worktree come after: HEAD or else the tip of the branch, as given, or where HEAD was
/// last.
pub(super) fn start(repository: &Repository, admin: Option<&Path>, known: Option<Oid>) -> Option<Oid> {
    known.or_else(|| of_head(repository, admin?).last().copied())
}

/// The commits that HEAD, the branch (a full name) and whatever git was doing have been at.
pub(super) fn visited(repository: &Repository, admin: Option<&Path>, branch: &str) -> Vec<Oid> {
    let mut found = of_log(repository, &repository.commondir().join("logs").join(branch));
    if let Some(admin) = admin {
        found.extend(of_head(repository, admin));
        for name in ["ORIG_HEAD", "MERGE_HEAD", "CHERRY_PICK_HEAD", "rebase-merge/orig-head"] {
            let text = small_file(&admin.join(name)).unwrap_or_default();
            found.extend(commit(repository, text.trim_ascii_end()));
        }
        // The refs that only this worktree has.
        let refs = WalkDir::new(admin.join("refs")).into_iter().flatten().take(MOST);
        for entry in refs.filter(|entry| entry.file_type().is_file()) {
            let text = small_file(entry.path()).unwrap_or_default();
            found.extend(commit(repository, text.trim_ascii_end()));
        }
    }
    found
}

/// Those of `commits` that neither `kept` nor anything before the base leads to; of a row of them only the last.
pub(super) fn beside(repository: &Repository, mut commits: Vec<Oid>, kept: [Oid; 2]) -> Result<Vec<Oid>, git2::Error> {
    commits.sort_unstable();
    commits.dedup();
    let mut found: Vec<Oid> = Vec::new();
    for commit in commits {
        let mut known = false;
        for by in kept.iter().chain(&found) {
            known = known || leads_to(repository, *by, commit)?;
        }
        if known {
            continue;
        }
        let mut last = Vec::new();
        for other in found {
            if !leads_to(repository, commit, other)? {
                last.push(other);
            }
        }
        last.push(commit);
        found = last;
    }
    Ok(found)
}

/// Whether `old` is `new` or before it.
pub(super) fn leads_to(repository: &Repository, new: Oid, old: Oid) -> Result<bool, git2::Error> {
    Ok(new == old || repository.graph_descendant_of(new, old)?)
}

/// Whether no branch leads to a commit.
pub(super) fn is_on_no_branch(repository: &Repository, commit: Oid) -> Result<bool, git2::Error> {
    let mut walk = repository.revwalk()?;
    walk.push(commit)?;
    walk.hide_glob("refs/heads/*")?;
    Ok(walk.next().is_some())
}

/// The commits of a reflog: `<old> <new> <who> <when>`, a tab and what was done.
fn of_log(repository: &Repository, path: &Path) -> Vec<Oid> {
    let text = small_file(path).unwrap_or_default();
    let lines: Vec<&[u8]> = text.split(|&b| b == b'\n').collect();
    let newest = &lines[lines.len().saturating_sub(MOST)..];
    let new = newest.iter().filter_map(|line| line.get(41..81));
    new.filter_map(|id| commit(repository, id)).collect()
}

fn commit(repository: &Repository, id: &[u8]) -> Option<Oid> {
    let id = Oid::from_str(std::str::from_utf8(id).ok()?).ok()?;
    repository.find_commit(id).ok().map(|c| c.id())
}
