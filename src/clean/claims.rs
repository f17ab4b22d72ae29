//! Which session has a worktree and a branch that more than one knows.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::session::{Site, Stored};

/// Whose a worktree and a branch are when more than one session knows them: the same ids in two runs, or a session that
/// was cut off before it learnt that somebody has the branch already.
pub(super) struct Claims(HashMap<(PathBuf, String), (Strength, Uuid)>);

/// The strongest has it: one at work, else the newest that had an agent there.
type Strength = (bool, bool, u64);

impl Claims {
    pub(super) fn of<'a>(sessions: impl Iterator<Item = &'a Stored>) -> Self {
        let mut claims = HashMap::new();
        for stored in sessions {
            let spec = &stored.recorded.spec;
            for record in &stored.recorded.state.tasks {
                let Some(site) = record.site() else { continue };
                let strength = (stored.held, record.attempts > 0, spec.created_ms);
                let own = (strength, spec.session_id);
                let entry = claims.entry(key(site)).or_insert(own);
                *entry = own.max(*entry);
            }
        }
        Self(claims)
    }

    pub(super) fn is_of(&self, site: &Site, session: Uuid) -> bool {
        self.0.get(&key(site)).is_some_and(|(_, owner)| *owner == session)
    }

    /// Whether some session knows a worktree.
    pub(super) fn knows(&self, worktree: &Path) -> bool {
        self.0.keys().any(|(path, _)| path == worktree)
    }
}

fn key(site: &Site) -> (PathBuf, String) {
    (site.worktree.clone(), site.branch.clone())
}
