//! What was being made, or deleted, by something that was killed meanwhile. It is known by its name, and by what is in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use crate::landing::{LandingError, cut_off};
use crate::store::lock;
use crate::store::paths::{GOING_PREFIX, HALF_MADE_PREFIX, SessionPaths, VIEW_PREFIX};

/// Something half made that is younger may be in the making: a session is there at once.
const MAKING: Duration = Duration::from_secs(60);
/// A look at a worktree may take as long as git may: ten minutes.
const LOOKING: Duration = Duration::from_secs(15 * 60);

/// What merges were merging into, or undone in, when they were cut off; the next that moves anything settles them.
pub fn cut_off_merges(common_dir: &Path) -> Result<Vec<String>, LandingError> {
    Ok(cut_off(common_dir)?.into_iter().map(|record| record.target).collect())
}

/// What nobody is making any more, of what is only there for a moment, and what could not be looked at, a line each.
pub fn half_made(dir: &Path) -> (Vec<PathBuf>, Vec<String>) {
    let (mut half, mut unseen) = (Vec::new(), Vec::new());
    let entries = match fs::read_dir(dir) {
        // Not there, or a file: whoever needs it says so.
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return (half, unseen),
        Err(e) => return (half, vec![format!("cannot read {}: {e}", dir.display())]),
        Ok(entries) => entries,
    };
    for entry in entries.flatten() {
        match is_abandoned(&entry.path()) {
            Ok(true) => half.push(entry.path()),
            Ok(false) => {}
            Err(e) => unseen.push(format!("cannot look at {}: {e}", entry.path().display())),
        }
    }
    half.sort_unstable();
    (half, unseen)
}

/// Whether something is half made, and nobody is at it any more.
pub(super) fn is_abandoned(path: &Path) -> io::Result<bool> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some(kind) = kind(&name).filter(|kind| is_ours(path, *kind)) else {
        return Ok(false);
    };
    let modified = match fs::symlink_metadata(path).and_then(|m| m.modified()) {
        // It was in the making.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    let held = lock::is_held(&SessionPaths::new(path).lock())?;
    let age = SystemTime::now().duration_since(modified).unwrap_or_default();
    Ok(!held && age >= kind.patience())
}

/// What is half made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A session.
    New,
    /// A session that is being deleted.
    Going,
    /// A look at a worktree.
    View,
}

impl Kind {
    /// How long it may be in the making.
    fn patience(self) -> Duration {
        match self {
            Self::New | Self::Going => MAKING,
            Self::View => LOOKING,
        }
    }
}

/// What has a name like this; none when it is no such thing.
fn kind(name: &str) -> Option<Kind> {
    let made = |own: &str| own.len() == 6 && own.chars().all(|c| c.is_ascii_alphanumeric());
    let of = |prefix| name.strip_prefix(prefix);
    match () {
        () if of(HALF_MADE_PREFIX).is_some_and(made) => Some(Kind::New),
        () if of(GOING_PREFIX).is_some_and(|id| Uuid::parse_str(id).is_ok()) => Some(Kind::Going),
        () if of(VIEW_PREFIX).is_some_and(made) => Some(Kind::View),
        () => None,
    }
}

/// Whether it is pleach's. The directory of results may be one of the user's, with others in it that are called so: a
/// session that is being made has nothing in it but what a session has, and a look is only ever beside the repository.
fn is_ours(path: &Path, kind: Kind) -> bool {
    let session = SessionPaths::new(path);
    let names = [
        session.attempts(),
        session.requests(),
        session.lock(),
        session.journal(),
        session.status(),
        session.spec(),
    ];
    let known = |inner: &Path| {
        let written = inner.file_name().unwrap_or_default().to_string_lossy();
        names.iter().any(|name| name == inner) || written.starts_with(HALF_MADE_PREFIX)
    };
    let in_git_dir = |dir: &Path| {
        let git_dir = dir.parent().filter(|_| dir.ends_with("pleach"));
        git_dir.is_some_and(|git_dir| git_dir.join("HEAD").exists() && git_dir.join("objects").is_dir())
    };
    let is_dir = fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    is_dir
        && match kind {
            Kind::Going => true,
            Kind::View => path.parent().is_some_and(in_git_dir),
            Kind::New => {
                fs::read_dir(path).is_ok_and(|mut inner| inner.all(|entry| entry.is_ok_and(|e| known(&e.path()))))
            }
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_half_made_is_known_by_its_name() {
        for (name, expected) in [
            (".new-Ab12Cd", Some(Kind::New)),
            (".trash-0c0b7bd0-93d1-4b53-8ba0-6a4b8c8c2d01", Some(Kind::Going)),
            ("view-Ab12Cd", Some(Kind::View)),
            (".new-Ab12", None),
            (".new-stuff", None),
            (".trash-1000", None),
            ("view-of-it", None),
            ("results", None),
            ("session-1", None),
            ("repo.lock", None),
        ] {
            assert_eq!(kind(name), expected, "{name}");
        }
    }
}
