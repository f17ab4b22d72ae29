//! The worktree in which a merge runs its command: detached, beside those of the tasks, gone when the merge ends.
//!
//! git checks out each commit in it, with filters and sparse checkout as in the checkout that the user is in. From one
//! commit to the next only what git ignores stays, so that what was built need not be built anew. It holds nothing that
//! is not in a commit or made by the command, and is deleted without the trash. One that a killed merge left is known by
//! its registration. Called by `verify`.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use git2::Oid;
use uuid::Uuid;

use super::super::LandingError;
use crate::git::{Drivers, Git, GitError, Place, without_foreign};
use crate::process::end_marked;
use crate::store::atomic;
use crate::store::lock::Lock;
use crate::store::{failpoint, tree};
use crate::worktree::naming::{merge_of_scratch, scratch_worktree, worktrees_dir};
use crate::worktree::repository_lock;

/// A worktree of a merge. It is deleted when this is dropped.
#[derive(Debug)]
pub(super) struct Scratch<'a> {
    place: &'a Place,
    known: &'a Drivers,
    id: Uuid,
    path: PathBuf,
    /// What git keeps about it.
    admin: PathBuf,
}

impl<'a> Scratch<'a> {
    /// Makes one. Drivers that are not known are not run in it.
    pub fn new(place: &'a Place, known: &'a Drivers, commit: Oid) -> Result<Self, LandingError> {
        let id = Uuid::new_v4();
        let worktrees = worktrees_dir(place);
        atomic::private_dir(&worktrees).map_err(LandingError::io("make", &worktrees))?;
        // As git will write it down.
        let worktrees = worktrees.canonicalize().map_err(LandingError::io("find", &worktrees))?;
        let path = scratch_worktree(&worktrees, id);
        let scratch = Self {
            place,
            known,
            id,
            admin: registration(place, id),
            path,
        };
        scratch.register(commit)?;
        Ok(scratch)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What stands in the environment of all processes that work in it.
    pub fn mark(&self) -> Uuid {
        self.id
    }

    /// Makes its files those of a commit, and those that git ignores. Whatever the command has made of it is undone; if
    /// that cannot be, it is made anew.
    pub fn check_out(&self, commit: Oid) -> Result<(), LandingError> {
        if self.is_whole() && matches!(self.switch(commit), Ok(true)) {
            return Ok(());
        }
        self.delete()?;
        self.register(commit)?;
        self.switch(commit)?;
        Ok(())
    }

    /// Deletes it.
    pub fn remove(self) -> Result<(), LandingError> {
        self.delete()
    }

    fn register(&self, commit: Oid) -> Result<(), LandingError> {
        let _lock = lock(self.place)?;
        let args = ["worktree", "add", "--quiet", "--detach", "--no-checkout"].map(AsRef::as_ref);
        let commit = commit.to_string();
        let args = [&args[..], &[self.path.as_os_str(), commit.as_ref()]].concat();
        // Its sparse checkout and configuration are taken over: those of the checkout that the user is in.
        Git::bare(self.place.origin()).run(&args)?;
        failpoint::passed("scratch");
        Ok(())
    }

    /// Whether it is still the worktree that git was told of. A link in its place would lead to other people's files,
    /// another `.git` file the command to another repository.
    fn is_whole(&self) -> bool {
        let link = fs::read(self.path.join(".git")).unwrap_or_default();
        let leads_to = link
            .strip_prefix(b"gitdir: ")
            .map(|l| Path::new(std::ffi::OsStr::from_bytes(l.trim_ascii_end())));
        let is_dir = fs::symlink_metadata(&self.path).is_ok_and(|m| m.is_dir());
        let ours = self.admin.canonicalize().ok();
        is_dir && ours.is_some() && leads_to.and_then(|to| self.path.join(to).canonicalize().ok()) == ours
    }

    /// Whether all of its files are those of the commit then: one that git was told to take for unchanged is not.
    fn switch(&self, commit: Oid) -> Result<bool, GitError> {
        // No process is left that could have them.
        for stale in ["index.lock", "HEAD.lock"] {
            let _ = fs::remove_file(self.admin.join(stale));
        }
        let git = self.git()?;
        let clean = ["clean", "-ffdq"];
        git.run(&clean)?;
        // Detached: a branch that the command has checked out stays where it is.
        let commit = commit.to_string();
        git.run(&[
            "checkout",
            "--quiet",
            "--force",
            "--detach",
            "--no-recurse-submodules",
            &commit,
        ])?;
        // What git ignored before, and does not any more.
        git.run(&clean)?;
        let listed = git.run(&["ls-files", "-z", "-v", "--stage"])?;
        let mut is_whole = true;
        for entry in listed.split(|&b| b == 0) {
            // `H 160000 <id> <stage>\t<path>`: what the command has checked out of a submodule is of another commit.
            let path = entry.iter().position(|&b| b == b'\t').map(|tab| &entry[tab + 1..]);
            let is_submodule = entry.get(2..8) == Some(b"160000");
            if let Some(path) = path.filter(|_| is_submodule) {
                empty(&self.path.join(std::ffi::OsStr::from_bytes(path)))?;
            }
            is_whole &= !entry.first().is_some_and(u8::is_ascii_lowercase);
        }
        Ok(is_whole)
    }

    /// git on it, whatever is written in its files.
    fn git(&self) -> Result<Git, GitError> {
        let git = Git::in_work_tree(&self.admin, &self.path)
            .with_variable("GIT_COMMON_DIR", &self.place.common_dir)
            // A planted remote could be asked for objects that are missing: by a command of its choice.
            .with_variable("GIT_NO_LAZY_FETCH", "1")
            .with_variable("GIT_ALLOW_PROTOCOL", "none");
        Ok(without_foreign(git, self.known)?.0)
    }

    fn delete(&self) -> Result<(), LandingError> {
        delete(self.place, &self.path, &self.admin)
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        // What stays is removed by the next merge.
        let _ = self.delete();
    }
}

/// Removes what killed merges left: their worktrees, and the processes that their commands still have. The caller holds
/// the lock of merges, so that none of them is at work.
pub fn sweep(common_dir: &Path) -> Result<(), LandingError> {
    let place = Place {
        git_dir: common_dir.to_owned(),
        common_dir: common_dir.to_owned(),
        work_dir: None,
    };
    let registered = common_dir.join("worktrees");
    let worktrees = worktrees_dir(&place);
    for entry in fs::read_dir(registered).into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(merge_of_scratch) else {
            continue;
        };
        end_marked(&id.to_string()).map_err(LandingError::io("end what still works in", &entry.path()))?;
        delete(&place, &scratch_worktree(&worktrees, id), &entry.path())?;
    }
    Ok(())
}

/// The files first: as long as it is registered it is known for what it is.
fn delete(place: &Place, path: &Path, admin: &Path) -> Result<(), LandingError> {
    tree::remove(path).map_err(LandingError::io("remove", path))?;
    failpoint::passed("scratch-gone");
    let _lock = lock(place)?;
    tree::remove(admin).map_err(LandingError::io("remove", admin))
}

fn empty(directory: &Path) -> Result<(), GitError> {
    let make = || {
        tree::remove(directory)?;
        fs::create_dir(directory)
    };
    make().map_err(GitError::io(format!("cannot empty {}", directory.display())))
}

/// What git keeps about such a worktree: it calls it by its last name.
fn registration(place: &Place, id: Uuid) -> PathBuf {
    let name = scratch_worktree(Path::new(""), id);
    place.common_dir.join("worktrees").join(name)
}

fn lock(place: &Place) -> Result<Lock, LandingError> {
    let path = repository_lock(place);
    if let Some(dir) = path.parent() {
        atomic::private_dir(dir).map_err(LandingError::io("make", dir))?;
    }
    Lock::acquire(&path).map_err(LandingError::io("lock", &path))
}
