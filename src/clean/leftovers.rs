//! What was being made, or deleted, by something that was killed meanwhile. It is known by its name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::store::lock;
use crate::store::paths::{GOING_PREFIX, HALF_MADE_PREFIX, SessionPaths, VIEW_PREFIX};

/// Something half made that is younger may be in the making: a session is there at once.
const MAKING: Duration = Duration::from_secs(60);
/// A look at a worktree may take as long as git may: ten minutes.
const LOOKING: Duration = Duration::from_secs(15 * 60);

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
    let Some(patience) = patience(&name) else {
        return Ok(false);
    };
    let modified = match fs::symlink_metadata(path).and_then(|m| m.modified()) {
        // It was in the making.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    let held = match lock::is_held(&SessionPaths::new(path).lock()) {
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => false,
        other => other?,
    };
    let age = SystemTime::now().duration_since(modified).unwrap_or_default();
    Ok(!held && age >= patience)
}

/// How long something with this name may be in the making; none when it is no such thing.
fn patience(name: &str) -> Option<Duration> {
    match name {
        _ if name.starts_with(HALF_MADE_PREFIX) || name.starts_with(GOING_PREFIX) => Some(MAKING),
        _ if name.starts_with(VIEW_PREFIX) => Some(LOOKING),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_half_made_is_known_by_its_name() {
        for (name, expected) in [
            (".new-Ab12", Some(MAKING)),
            (".trash-Ab12", Some(MAKING)),
            ("view-Ab12", Some(LOOKING)),
            ("results", None),
            ("session-1", None),
            ("repo.lock", None),
        ] {
            assert_eq!(patience(name), expected, "{name}");
        }
    }
}
