//! Puts the worktree of a task away long after it was settled, or was never settled at all: by then a user may have
//! worked in it, or another git. What it is now decides, not what was written down.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use git2::{Oid, Repository, Tree};

use super::inspect::{self, Head, is_real_dir, small_file};
use super::naming::trash_prefix;
use super::pins::CLEANED;
use super::remove::{GIT, Removal, WORKTREE, move_to_trash, trashed};
use super::settle::{Report, commit_leftovers};
use super::view::{LONGEST, View};
use super::{Workshop, WorktreeError, history};
use crate::git::{self, GitError};
use crate::session::Site;
use crate::task::{TaskId, TaskSpec};

/// How a worktree stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is not there, and git knows nothing of it.
    Gone,
    /// It can go.
    Clear(Clear),
    /// It has files that no commit has, for this reason; they can be committed.
    Uncommitted(String),
    /// It cannot go, for this reason.
    Stays(String),
}

/// A worktree that can go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clear {
    /// Its commit; none when it was never finished.
    pub head: Option<Oid>,
    /// What git ignores in it: absolute paths of files and directories.
    pub ignored: Vec<PathBuf>,
    /// Commits it has been at that no branch and no ref of the session leads to: they are kept before it goes.
    unkept: Vec<Oid>,
}

impl Clear {
    /// Whether git may remove it as well, which keeps no commit.
    pub fn is_kept(&self) -> bool {
        self.unkept.is_empty()
    }
}

/// Looks at a worktree. `attempted` says whether an agent ever worked in it.
pub fn standing(shop: &Workshop, site: &Site, attempted: bool) -> Result<Standing, WorktreeError> {
    let stays = |why: &str| Ok(Standing::Stays(why.into()));
    let path = &site.worktree;
    let there = fs::symlink_metadata(path).is_ok();
    let admin = shop.admin_dir(path);
    let Some(admin) = admin else {
        return match there {
            false => Ok(Standing::Gone),
            true if !attempted && is_empty(path) => Ok(never_finished()),
            true => stays("git does not know it as a worktree"),
        };
    };
    if !there && is_half_trashed(shop, path) {
        return Ok(Standing::Clear(Clear {
            head: inspect::head(&shop.repository()?, &admin).and_then(|head| head.commit),
            ..Clear::default()
        }));
    }
    if !there {
        return stays(
            "git knows it, and it is not there: git worktree repair if it was moved, else git worktree prune",
        );
    }
    if !is_real_dir(path) {
        return stays("something else is in its place");
    }
    if fs::symlink_metadata(admin.join("locked")).is_ok() {
        return stays("it is locked: git worktree unlock");
    }
    let repository = shop.repository()?;
    let head = inspect::head(&repository, &admin);
    if !attempted {
        return half_made(shop, site, &admin, head, &repository);
    }
    if is_real_dir(&path.join(".git")) {
        return stays("it holds another git repository");
    }
    if let Some(what) = history::unfinished(&admin) {
        return Ok(Standing::Stays(format!("a {what} in it is not finished")));
    }
    let Some(commit) = head.and_then(|head| head.commit) else {
        return stays("its HEAD leads to no commit");
    };
    let view = View::open(shop, path, Some(&admin), commit, LONGEST)?;
    let found = view.uncommitted()?;
    if let Some(why) = view.why_not(&found) {
        return Ok(Standing::Stays(why));
    }
    if let Some(why) = found.why_not() {
        return Ok(Standing::Uncommitted(why));
    }
    let mut visited = history::visited(&repository, Some(&admin), &full_name(site));
    visited.push(commit);
    let unkept = unkept(shop, &repository, visited).map_err(GitError::libgit2("cannot compare commits"))?;
    Ok(Standing::Clear(Clear {
        head: Some(commit),
        ignored: (found.ignored.iter().chain(&found.brought))
            .map(|p| path.join(inspect::path_of(p)))
            .collect(),
        unkept,
    }))
}

/// One in which no agent has ever worked: its files are those of the base, or a part of them.
fn half_made(
    shop: &Workshop,
    site: &Site,
    admin: &Path,
    head: Option<Head>,
    repository: &Repository,
) -> Result<Standing, WorktreeError> {
    let of_others = || Ok(Standing::Stays("it is not the worktree that was being made".into()));
    let Some(head) = head.filter(|head| head.reference.as_deref() == Some(&full_name(site))) else {
        return of_others();
    };
    let base = Oid::from_str(&site.base).map_err(GitError::libgit2("its base is no commit"))?;
    if head.commit.is_some_and(|commit| commit != base) {
        return of_others();
    }
    let view = View::open(shop, &site.worktree, Some(admin), base, LONGEST)?;
    let found = view.uncommitted()?;
    let tree = repository.find_commit(base).and_then(|commit| commit.tree());
    let tree = tree.map_err(GitError::libgit2("cannot read the base"))?;
    // Files of the base that are missing, or torn, are what is half about it.
    let is_half = |path: &Vec<u8>| is_beginning(repository, &tree, &site.worktree, path);
    let is_brought = |path: &Vec<u8>| view.brought.accounts_for(path);
    if found.nested.is_empty() && found.ignored.iter().all(is_brought) && found.changed.iter().all(is_half) {
        return Ok(never_finished());
    }
    Ok(Standing::Uncommitted(
        found.why_not().unwrap_or_else(|| "it has files of its own".into()),
    ))
}

/// Whether a file is not there, or has the beginning of what `tree` has for it and nothing else. One that git's filters
/// would have changed does not look so when it was cut off: then it is taken for the user's.
fn is_beginning(repository: &Repository, tree: &Tree<'_>, worktree: &Path, name: &[u8]) -> bool {
    let relative = PathBuf::from(OsStr::from_bytes(name));
    let Ok(entry) = tree.get_path(&relative) else {
        return false;
    };
    let path = worktree.join(&relative);
    let content = match fs::symlink_metadata(&path) {
        Err(e) => return matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        Ok(found) if found.is_symlink() => fs::read_link(&path).map(|to| to.into_os_string().into_vec()),
        Ok(found) if found.is_file() => fs::read(&path),
        Ok(_) => return false,
    };
    let blob = repository.find_blob(entry.id());
    content.is_ok_and(|content| blob.is_ok_and(|blob| blob.content().starts_with(&content)))
}

fn never_finished() -> Standing {
    Standing::Clear(Clear::default())
}

/// Whether a worktree is in the trash, and what git keeps about it is not: somebody was killed between the two.
fn is_half_trashed(shop: &Workshop, worktree: &Path) -> bool {
    let prefix = trash_prefix(worktree, shop.session);
    let is_it = |entry: &PathBuf| {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&prefix) && is_real_dir(&entry.join(WORKTREE)) && !entry.join(GIT).exists()
    };
    trashed(&shop.worktrees).is_ok_and(|entries| entries.iter().any(is_it))
}

fn is_empty(path: &Path) -> bool {
    is_real_dir(path) && fs::read_dir(path).is_ok_and(|mut dir| dir.next().is_none())
}

/// Moves the worktree of `task` to the trash if it still stands as it did: with its commit at `head`.
pub fn clear(
    shop: &Workshop,
    site: &Site,
    task: &TaskSpec,
    attempted: bool,
    head: Option<Oid>,
) -> Result<Removal, WorktreeError> {
    let _lock = shop.lock()?;
    let clear = match standing(shop, site, attempted)? {
        Standing::Clear(clear) if clear.head == head => clear,
        Standing::Clear(_) => return Ok(Removal::Kept("it has another commit now".into())),
        Standing::Uncommitted(why) | Standing::Stays(why) => return Ok(Removal::Kept(why)),
        Standing::Gone => return Ok(Removal::Kept("it is gone already".into())),
    };
    let repository = shop.repository()?;
    for commit in &clear.unkept {
        pin_anew(shop, &repository, task, *commit)?;
    }
    let admin = shop.admin_dir(&site.worktree);
    Ok(Removal::Trashed {
        trash: move_to_trash(shop, &site.worktree, admin.as_deref())?,
        ignored: clear.ignored.iter().map(|p| p.display().to_string()).collect(),
    })
}

/// Keeps the tip of a task's branch under a ref of ours.
pub fn keep_branch(shop: &Workshop, site: &Site, task: &TaskSpec) -> Result<(), WorktreeError> {
    let repository = shop.repository()?;
    let _lock = shop.lock()?;
    match repository.refname_to_id(&full_name(site)) {
        Ok(tip) => pin_anew(shop, &repository, task, tip),
        Err(_) => Ok(()),
    }
}

/// Keeps what is uncommitted in a worktree under a ref of ours: as a commit that its HEAD is then at.
pub fn keep(shop: &Workshop, site: &Site, task: &TaskSpec) -> Result<(), WorktreeError> {
    let repository = shop.repository()?;
    let _lock = shop.lock()?;
    let admin = shop.admin_dir(&site.worktree);
    let head = (admin.as_ref()).and_then(|admin| inspect::head(&repository, admin)?.commit);
    let Some((admin, head)) = admin.zip(head).filter(|_| is_real_dir(&site.worktree)) else {
        return Ok(());
    };
    pin_anew(shop, &repository, task, head)?;
    // What cannot be committed is said when it is looked at again.
    let mut report = Report::default();
    if let Some(made) = commit_leftovers(shop, &repository, site, task, Some(&admin), head, &mut report)? {
        pin_anew(shop, &repository, task, made)?;
        let new = admin.join(format!("HEAD.{made}"));
        fs::write(&new, format!("{made}\n"))
            .and_then(|()| fs::rename(&new, admin.join("HEAD")))
            .map_err(WorktreeError::io("write", &new))?;
    }
    Ok(())
}

/// The refs of ours that are of this session: those of others go in their own time.
fn own_pins(shop: &Workshop) -> String {
    format!("refs/pleach/{}/*", shop.session)
}

/// Pins a commit of a task under a number of its own, unless a ref of the session leads to it already.
fn pin_anew(shop: &Workshop, repository: &Repository, task: &TaskSpec, commit: Oid) -> Result<(), WorktreeError> {
    let doing = || GitError::libgit2(format!("cannot keep the commit {commit}"));
    if is_kept(repository, commit, &[&own_pins(shop)]).map_err(doing())? {
        return Ok(());
    }
    let name = |n: u32| shop.pin(&task.id, &format!("{CLEANED}/{n}"));
    let free = (1..).find(|n| repository.find_reference(&name(*n)).is_err());
    Ok(git::pin(
        repository,
        &name(free.unwrap_or(u32::MAX)),
        &commit.to_string(),
    )?)
}

/// Whether a ref that fits one of these patterns leads to a commit.
fn is_kept(repository: &Repository, commit: Oid, by: &[&str]) -> Result<bool, git2::Error> {
    let mut walk = repository.revwalk()?;
    walk.push(commit)?;
    for glob in by {
        walk.hide_glob(glob)?;
    }
    Ok(walk.next().is_none())
}

fn unkept(shop: &Workshop, repository: &Repository, mut commits: Vec<Oid>) -> Result<Vec<Oid>, git2::Error> {
    commits.sort_unstable();
    commits.dedup();
    let mut found = Vec::new();
    for commit in commits {
        if !is_kept(repository, commit, &["refs/heads/*", &own_pins(shop)])? {
            found.push(commit);
        }
    }
    Ok(found)
}

/// The worktrees (or git dirs, where none is known) that are at work on a branch (without `refs/heads/`): it is checked
/// out there, or being rebased or bisected.
pub fn users_of_branch(common_dir: &Path, branch: &str) -> Vec<PathBuf> {
    let full = format!("refs/heads/{branch}");
    let linked = fs::read_dir(common_dir.join("worktrees"));
    let linked = linked.into_iter().flatten().flatten().map(|entry| entry.path());
    let uses = |dir: &PathBuf| {
        let says = |file: &str| {
            let text = small_file(&dir.join(file)).unwrap_or_default();
            String::from_utf8_lossy(text.trim_ascii()).into_owned()
        };
        let head = says("HEAD");
        head.strip_prefix("ref:").is_some_and(|name| name.trim() == full)
            || ["rebase-merge/head-name", "rebase-apply/head-name"]
                .iter()
                .any(|file| says(file) == full)
            || says("BISECT_START") == branch
    };
    let worktree = |git_dir: PathBuf| {
        let named = small_file(&git_dir.join("gitdir")).map(|text| git_dir.join(inspect::path_of(&text)));
        let git_file = named.or_else(|| git_dir.file_name().filter(|n| *n == ".git").map(|_| git_dir.clone()));
        git_file.and_then(|f| f.parent().map(Path::to_owned)).unwrap_or(git_dir)
    };
    let all = std::iter::once(common_dir.to_owned()).chain(linked);
    all.filter(uses).map(worktree).collect()
}

/// The branch (without `refs/heads/`) that git has at a worktree; none when it knows none there, or no branch.
pub fn branch_at(shop: &Workshop, worktree: &Path) -> Option<String> {
    let head = inspect::head(&shop.repository().ok()?, &shop.admin_dir(worktree)?)?;
    Some(head.reference?.strip_prefix("refs/heads/")?.to_owned())
}

/// Whether a branch leads to the work of a task as it was settled, if that is kept: else anybody may have made it.
pub fn leads_on(shop: &Workshop, task: &TaskId, branch: &str) -> bool {
    let Ok(repository) = shop.repository() else {
        return false;
    };
    let at = |name: &str| repository.refname_to_id(name).ok();
    match (at(&shop.pin(task, "head")), at(&format!("refs/heads/{branch}"))) {
        (None, _) => true,
        (Some(head), Some(tip)) => history::leads_to(&repository, tip, head).unwrap_or(false),
        (Some(_), None) => false,
    }
}

fn full_name(site: &Site) -> String {
    format!("refs/heads/{}", site.branch)
}
