//! The place where a task works: a worktree and a branch of its own, from making them to putting them away.
//!
//! `naming` decides where (pure), `provision` makes, `bring` adds files of the user's checkout, `again` makes it fit for
//! another attempt, `afresh` makes it as it was at the base, `settle` commits what the agent left and pins it, `remove`
//! moves a worktree to the trash, `clear` does that long after the task, `snapshot` keeps what is in a worktree while its
//! agent works. `recover` undoes what a crash left half made. `kept` reads what is pinned, `work` says what a task has come
//! to, `reopen` gives the user a worktree of it, `moved` watches the refs that are none of ours. Called by the supervisor,
//! `clean`, and the commands. Nothing here forces, and nothing that an agent may have planted is run: a `view` names git
//! dir, common dir and work tree, hooks, fsmonitor and fetching are off, drivers only as they were when the session
//! started.

mod afresh;
mod again;
mod bring;
mod clear;
mod history;
mod inspect;
mod kept;
mod moved;
pub mod naming;
mod pins;
mod provision;
mod recover;
mod remove;
mod reopen;
mod settle;
pub mod snapshot;
mod view;
mod work;

use std::path::{Path, PathBuf};

use git2::{ErrorCode, Repository};
use uuid::Uuid;

pub use afresh::afresh;
pub use again::{Again, again};
pub use bring::{Wanted, excludes, forget_removed};
pub use clear::{Clear, Standing, branch_at, clear, keep, keep_branch, leads_on, standing, users_of_branch};
pub use history::unfinished;
pub use kept::{Kept, KeptKind, kept, kept_base, kept_sessions};
pub use moved::{Move, MoveKind, RefWatch, Target};
pub use provision::{Checkout, Unmade, choose_checkout, provision};
pub use recover::{clear_locks, discard, release, release_untouched};
pub use remove::{Removal, put_in_trash, remove, trashed};
pub use reopen::{Opened, reopen};
pub use settle::{AGENT, Settled, settle};
pub use work::{Work, WorkSource, work_of};

use crate::git::{self, Drivers, Git, GitError, Identity, Place, without_foreign};
use crate::session::{SessionSpec, SessionState};
use crate::store::lock::Lock;
use crate::store::{Shortage, atomic};
use crate::task::TaskId;

/// The ref of a task that stands for: its branch and its worktree are made by pleach. It is there before they are, and
/// goes when the task's work is pinned.
const MADE: &str = "made";

/// The ref of a task that keeps the commit it starts from, where that was made for it.
const BASE: &str = "base";

/// Why something could not be done with a worktree.
#[derive(Debug, thiserror::Error)]
#[cfg_attr(
    test,
    derive(strum::EnumDiscriminants),
    strum_discriminants(
        name(WorktreeErrorName),
        vis(pub(crate)),
        derive(strum::EnumIter, strum::IntoStaticStr),
        strum(serialize_all = "kebab-case")
    )
)]
pub enum WorktreeError {
    /// The branch or the directory is there already, made by somebody else.
    #[error("{0} exists already")]
    Taken(String),
    /// Something is where a task's worktree was, and it is none.
    #[error("{} is there, and git does not know it as a worktree", .0.display())]
    Strange(PathBuf),
    /// It was to be made anew, and something in it would be lost.
    #[error("{} cannot be made anew: {why}", path.display())]
    Stays {
        /// Where it is.
        path: PathBuf,
        /// What, in words.
        why: String,
    },
    /// git refused.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A file could not be read, written or moved.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// make, read, move, ...
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl WorktreeError {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}

/// The repository as the tasks of one session use it.
#[derive(Clone, Debug)]
pub struct Workshop {
    /// The session.
    pub session: Uuid,
    /// Where the repository lies.
    pub place: Place,
    /// The directory of the worktrees.
    pub worktrees: PathBuf,
    /// Who commits.
    pub identity: Identity,
    /// The drivers when the session started.
    pub drivers: Drivers,
    /// How files are checked out.
    pub checkout: Checkout,
    /// What new worktrees get from the checkout of the user.
    pub wanted: Wanted,
}

impl Workshop {
    /// As it is recorded of a session; none of one without worktrees.
    pub fn of(spec: &SessionSpec, state: &SessionState, checkout: Checkout) -> Option<Self> {
        let repository = spec.repository.as_ref()?;
        Some(Self {
            session: spec.session_id,
            place: repository.place.clone(),
            worktrees: repository.worktrees.clone(),
            identity: repository.identity.clone(),
            drivers: state.filters.clone().unwrap_or_default(),
            checkout,
            wanted: Wanted {
                copy: spec.options.copy.clone(),
                link: spec.options.link.clone(),
            },
        })
    }

    /// Held while git's own locks are taken: git's are not waited for by others, ours is.
    fn lock(&self) -> Result<Lock, WorktreeError> {
        let path = repository_lock(&self.place);
        // With the results elsewhere nothing else makes this directory.
        if let Some(dir) = path.parent() {
            atomic::private_dir(dir).map_err(WorktreeError::io("make", dir))?;
        }
        Lock::acquire(&path).map_err(WorktreeError::io("lock", &path))
    }

    fn repository(&self) -> Result<Repository, WorktreeError> {
        let open = Repository::open(&self.place.common_dir);
        Ok(open.map_err(GitError::libgit2(format!(
            "cannot open the repository at {}",
            self.place.common_dir.display()
        )))?)
    }

    /// What was lacking, if that is behind an error with files of the repository or its worktrees.
    pub fn shortage_behind(&self, error: &WorktreeError) -> Option<Shortage> {
        Shortage::behind(error, &[&self.worktrees, &self.place.common_dir])
    }

    /// Deletes a ref, if it is there and stays what it is now. By git: libgit2 writes the packed refs anew from what it
    /// knew of them before it had their lock, and so may undo what a `git pack-refs` of the user's packed meanwhile.
    fn drop_ref(&self, repository: &Repository, name: &str) -> Result<(), GitError> {
        match repository.find_reference(name).map(|found| found.target()) {
            Ok(Some(at)) => git::delete_refs(&self.place.common_dir, &[(name.to_owned(), at)]),
            Ok(None) => Ok(()),
            Err(e) if e.code() == ErrorCode::NotFound => Ok(()),
            Err(e) => Err(GitError::libgit2(format!("cannot read {name}"))(e)),
        }
    }

    /// The ref under which a commit of a task is kept, whatever becomes of its branch.
    fn pin(&self, task: &TaskId, what: &str) -> String {
        format!("refs/pleach/{}/{task}/{what}", self.session)
    }

    /// Where git keeps what belongs to one worktree; `None` when git knows no worktree there.
    fn admin_dir(&self, worktree: &Path) -> Option<PathBuf> {
        let all = self.place.common_dir.join("worktrees");
        let belongs = |dir: &Path| {
            let text = inspect::small_file(&dir.join("gitdir"));
            text.is_some_and(|text| inspect::path_of(&text) == worktree.join(".git"))
        };
        let likely = all.join(worktree.file_name()?);
        if belongs(&likely) {
            return Some(likely);
        }
        let entries = std::fs::read_dir(&all).ok()?;
        entries.flatten().map(|e| e.path()).find(|dir| belongs(dir))
    }

    /// git on the files of a task through `git_dir`, bound to them and to the repository whatever is written in
    /// either, and the drivers that had to be switched off because they were not there when the session started.
    fn git(&self, git_dir: &Path, worktree: &Path) -> Result<(Git, Vec<String>), GitError> {
        let git = Git::in_work_tree(git_dir, worktree)
            .with_variable("GIT_COMMON_DIR", &self.place.common_dir)
            // A planted remote could be asked for objects that are missing: by a command of the agent's choice.
            .with_variable("GIT_NO_LAZY_FETCH", "1")
            .with_variable("GIT_ALLOW_PROTOCOL", "none");
        without_foreign(git, &self.drivers)
    }
}

/// Keeps the commit that a task starts from, which nothing else leads to yet.
pub fn pin_base(shop: &Workshop, task: &TaskId, commit: &str) -> Result<(), WorktreeError> {
    let _lock = shop.lock()?;
    Ok(git::pin(&shop.repository()?, &base_pin_of(shop, task), commit)?)
}

/// The ref that keeps it.
pub fn base_pin_of(shop: &Workshop, task: &TaskId) -> String {
    shop.pin(task, BASE)
}

/// The ref that keeps the commit a session started from. No task can be called as it is.
pub fn base_pin(session: Uuid) -> String {
    format!("refs/pleach/{session}/_base")
}

/// The lock that serialises what pleach does to a repository's refs and worktrees.
pub fn repository_lock(place: &Place) -> PathBuf {
    place.common_dir.join("pleach/repo.lock")
}
