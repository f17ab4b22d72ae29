//! Places for agents, which all sessions of a user on a machine share (`PLEACH_MAX_AGENTS`).
//!
//! A place is a file, and whoever has it locked. The supervisor takes one for a task before it prepares it, and hands
//! the open file to the runner: so the place is taken exactly as long as one of the two lives, however they end, and an
//! agent does not know of it. Each session looks at as many files as it allows agents.

use std::io;
use std::path::Path;

use crate::session::Places;
use crate::store::atomic;
use crate::store::lock::Lock;

/// Takes free places until there are `wanted` in `taken`, or none is free. What was taken before an error stays.
pub(super) fn take(places: &Places, wanted: usize, taken: &mut Vec<Lock>) -> io::Result<()> {
    taken.truncate(wanted);
    if taken.len() == wanted {
        return Ok(());
    }
    check(&places.directory)?;
    for number in 1..=places.most {
        if taken.len() == wanted {
            break;
        }
        // One that is held already, by this process too, is not free.
        taken.extend(Lock::try_acquire(
            &places.directory.join(format!("agent-{number}.lock")),
        )?);
    }
    Ok(())
}

/// Makes the directory of the places if it is not there; one that others may write to is refused.
pub fn check(directory: &Path) -> io::Result<()> {
    atomic::own_dir(directory)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn there_are_as_many_places_as_a_session_allows_and_each_has_one_holder() {
        let dir = tempfile::tempdir().unwrap();
        let places = |most| Places {
            most,
            directory: dir.path().join("agents"),
        };
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        take(&places(2), 3, &mut ours).unwrap();
        assert_eq!(ours.len(), 2);
        take(&places(2), 1, &mut theirs).unwrap();
        assert!(theirs.is_empty());
        // One who allows more sees more of the same.
        take(&places(3), 9, &mut theirs).unwrap();
        assert_eq!(theirs.len(), 1);
        take(&places(2), 1, &mut ours).unwrap();
        assert_eq!(ours.len(), 1);
        take(&places(3), 2, &mut theirs).unwrap();
        assert_eq!(theirs.len(), 2);
    }

    #[test]
    fn a_directory_of_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join("open");
        atomic::private_dir(&open).unwrap();
        check(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(check(&open).is_err());
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        assert!(check(&link).is_err());
    }
}
