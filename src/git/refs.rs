//! Deletes refs, each only where it is known to be.

use std::path::Path;

use super::{Git, GitError};
use crate::store::failpoint;

/// Deletes refs in one go, by git itself: either all of them are at the commits given, or none goes. libgit2 would drop
/// the reflog before it looks, and does not know the lock of packed refs.
pub fn delete_refs(common_dir: &Path, refs: &[(String, git2::Oid)]) -> Result<(), GitError> {
    if refs.is_empty() {
        return Ok(());
    }
    failpoint::passed("delete-refs");
    let lines: Vec<u8> = refs
        .iter()
        .flat_map(|(name, at)| format!("delete {name}\0{at}\0").into_bytes())
        .collect();
    let git = Git::bare(common_dir).with_configuration(["core.filesRefLockTimeout=2000".to_owned()]);
    git.feed(&["update-ref", "--no-deref", "-z", "--stdin"], &lines)
        .map(drop)
}
