//! What a git that was killed leaves in the repository: locks that nobody holds, and worktrees that are registered and
//! gone. Nothing of it is removed: only the user knows whether another git is still at work, or a disk not mounted.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use walkdir::WalkDir;

use super::{Check, Finding, age};
use crate::git::Place;
use crate::words::{count, few, quote};

/// Younger ones may well be held: git holds a lock for the blink of an eye, or as long as a message is edited.
const STALE: Duration = Duration::from_secs(60);

pub(super) fn look(place: &Place, found: &mut Vec<Finding>) {
    let before = found.len();
    let now = SystemTime::now();
    for lock in locks(place, found) {
        let since = now.duration_since(lock.modified).unwrap_or_default();
        found.push(judge(&lock.path, since));
    }
    registrations(place, found);
    if found.len() == before {
        found.push(Check::Locks.ok("no lock of git is left over, and every registered worktree is there"));
    }
}

struct Lock {
    path: PathBuf,
    modified: SystemTime,
}

fn judge(path: &Path, since: Duration) -> Finding {
    let message = format!("{} is there, for {}", path.display(), age(since));
    if since < STALE {
        return Check::Locks.note(format!("{message}: a git may be at work"));
    }
    Check::Locks
        .warning(format!(
            "{message}: a git that was killed may have left it; git refuses what it locks"
        ))
        .hint(format!("when no git runs here: rm {}", quote(path)))
}

/// The locks in the git directories, among the refs and in what git keeps of worktrees.
fn locks(place: &Place, found: &mut Vec<Finding>) -> Vec<Lock> {
    let mut locks = Vec::new();
    // The git dir of a linked worktree is one of those below `worktrees`.
    for (dir, depth) in [
        (".", 1),
        ("info", 1),
        ("objects", 1),
        ("objects/info", 2),
        ("objects/pack", 1),
        ("refs", usize::MAX),
        ("worktrees", 2),
    ] {
        for entry in WalkDir::new(place.common_dir.join(dir)).max_depth(depth) {
            let read = entry.and_then(|entry| {
                let metadata = entry.metadata()?;
                Ok((entry.into_path(), metadata))
            });
            match read {
                Ok((path, metadata)) if metadata.is_file() && is_lock(&path) => {
                    // Every file system of Linux and macOS knows this date.
                    let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                    let path = path.components().collect();
                    locks.push(Lock { path, modified });
                }
                Ok(_) => {}
                Err(e) if e.io_error().is_some_and(|e| e.kind() == io::ErrorKind::NotFound) => {}
                Err(e) => found.push(Check::Locks.unseen(format!("locks of git could not be looked for: {e}"))),
            }
        }
    }
    locks
}

fn is_lock(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("lock"))
}

/// Worktrees that git knows and that are not there.
fn registrations(place: &Place, found: &mut Vec<Finding>) {
    let all = place.common_dir.join("worktrees");
    let entries = match fs::read_dir(&all) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return,
        Err(e) => return found.push(Check::Locks.unseen(format!("cannot read {}: {e}", all.display()))),
        Ok(entries) => entries,
    };
    let mut gone: Vec<String> = (entries.flatten())
        .filter(|entry| !entry.path().join("locked").exists())
        .filter_map(|entry| {
            let text = fs::read(entry.path().join("gitdir")).ok()?;
            let worktree = registered(&entry.path(), &text)?;
            let there = fs::symlink_metadata(&worktree).is_ok();
            (!there).then(|| worktree.display().to_string())
        })
        .collect();
    gone.sort_unstable();
    if !gone.is_empty() {
        let them = if gone.len() == 1 {
            "is registered and is"
        } else {
            "are registered and are"
        };
        found.push(
            Check::Locks
                .warning(format!(
                    "{} {them} not there: {}",
                    count(gone.len(), "worktree"),
                    few(&gone)
                ))
                .hint("if moved: git worktree repair PATH; if deleted: git worktree prune; if on a disk: mount it"),
        );
    }
}

/// The directory of a worktree by the `gitdir` file that git keeps of it, which names the `.git` in it.
fn registered(admin: &Path, gitdir: &[u8]) -> Option<PathBuf> {
    let git_file = Path::new(OsStr::from_bytes(gitdir.trim_ascii_end()));
    // Since git 2.48 it may be relative.
    admin.join(git_file).parent().map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    // Fault 35: a lock is stale when it is old.
    #[test]
    fn old_locks_are_warned_of_and_young_ones_noted() {
        let path = Path::new("/a b/.git/index.lock");
        let old = judge(path, Duration::from_secs(7200));
        assert_eq!(
            (old.level, old.hint.as_deref()),
            (Level::Warning, Some("when no git runs here: rm '/a b/.git/index.lock'"))
        );
        assert!(old.message.contains("2 hours"), "{old:?}");
        assert_eq!(judge(path, Duration::from_secs(5)).level, Level::Note);
    }

    #[test]
    fn where_a_worktree_is_registered() {
        let admin = Path::new("/r/.git/worktrees/x");
        assert_eq!(registered(admin, b"/w/x/.git\n"), Some("/w/x".into()));
        assert_eq!(
            registered(admin, b"../../../x/.git"),
            Some("/r/.git/worktrees/x/../../../x".into())
        );
        assert_eq!(registered(admin, b""), Some("/r/.git/worktrees".into()));
    }
}
