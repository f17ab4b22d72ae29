//! Commits what an agent left, and pins it so that it is kept whatever becomes of the branch.
//!
//! The commit is made through a view of its own, so that a stale lock, a half merge or a broken index of the agent do
//! not matter. It lands on the task's branch, also when the agent had switched to another one or to none: the branch
//! is moved only forward, and what the agent had and has no longer is pinned beside it.

use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use git2::{Oid, ReferenceType, Repository, Signature};

use super::again::put_unfinished_away;
use super::bring::Brought;
use super::history::{self, leads_to};
use super::inspect::{self, Head, Uncommitted};
use super::pins::{ATTEMPT, Pins};
use super::recover::drop_claim;
use super::view::{LONGEST, View};
use super::{Workshop, WorktreeError};
use crate::git::{self, Changes, GitError, changes_between, files_between, patiently};
use crate::session::Site;
use crate::store::{Shortage, failpoint};
use crate::task::{TaskId, TaskSpec};
use crate::words::few;

/// A task's work, committed.
#[derive(Debug)]
pub struct Settled {
    /// The commit with all of it.
    pub head: Oid,
    /// Against the base.
    pub changes: Changes,
    /// Whether something uncommitted was committed for the agent.
    pub committed: bool,
    /// What the user should know, a line each.
    pub notes: Vec<String>,
    /// Why the worktree must stay, if it must.
    pub keep: Option<String>,
}

/// Settles the work of `task` at `site`: commits, pins, moves the branch forward. `who` has worked there, as the user is
/// told: [`AGENT`] or another.
pub fn settle(shop: &Workshop, site: &Site, task: &TaskSpec, who: &'static str) -> Result<Settled, WorktreeError> {
    let repository = shop.repository()?;
    put_unfinished_away(shop, site, &task.id)?;
    let base = oid(&site.base)?;
    let mut report = Report::of(who);
    let admin = shop.admin_dir(&site.worktree);
    let branch = format!("refs/heads/{}", site.branch);
    let head = head_of(&repository, admin.as_deref(), &branch, &mut report);
    let tip = repository.refname_to_id(&branch).ok();
    let start = history::start(&repository, admin.as_deref(), head.commit.or(tip)).unwrap_or(base);
    let committed = if inspect::is_real_dir(&site.worktree) {
        check_git_file(&site.worktree, admin.as_deref(), &mut report);
        commit_leftovers(shop, &repository, site, task, admin.as_deref(), start, &mut report)
    } else {
        report.note(format!(
            "the worktree was gone when {who} had ended; only what was committed is kept"
        ));
        Ok(None)
    };
    let made = *committed.as_ref().unwrap_or(&None);
    failpoint::passed("committed");
    if let Some((made, admin)) = made.zip(admin.as_ref()).filter(|_| head.is_detached()) {
        // As a commit of the agent's own would have. A new file: the old one may be a link to another's.
        let new = admin.join(format!("HEAD.{made}"));
        let _ = fs::write(&new, format!("{made}\n")).and_then(|()| fs::rename(&new, admin.join("HEAD")));
    }
    let doing = || GitError::libgit2("cannot compare the commits of a task");
    let last = match (made, tip) {
        (Some(made), _) => made,
        // The agent had only gone back to look at something.
        (None, Some(tip)) if leads_to(&repository, tip, start).map_err(doing())? => tip,
        _ => start,
    };
    let _lock = shop.lock()?;
    let pin = shop.pin(&task.id, "head");
    let mut visited = history::visited(&repository, admin.as_deref(), &branch);
    visited.extend(tip);
    // What an earlier attempt had come to stays kept if this one went another way.
    visited.extend(repository.refname_to_id(&pin));
    let left = history::beside(&repository, visited, [last, base]).map_err(doing())?;
    pin_left(shop, &repository, &task.id, &left, &mut report)?;
    git::pin(&repository, &pin, &last.to_string())?;
    failpoint::passed("pinned");
    // Whatever has gone wrong, the commits are safe now.
    committed?;
    if let Err(e) = forward(&repository, &branch, tip, last, task, &mut report) {
        let short = &site.branch;
        if Shortage::behind(&e, &[&shop.place.common_dir]).is_some() {
            // That passes.
            return Err(GitError::libgit2(format!("cannot move the branch {short}"))(e).into());
        }
        report.note(format!(
            "the branch {short} could not be moved ({e}); its last commit {last} is kept as {}",
            shop.pin(&task.id, "head")
        ));
        report.keep("its last commit is not on its branch");
    }
    note_brought(
        &Brought::there(shop, &site.worktree)?,
        &repository,
        [base, last],
        &mut report,
    )?;
    // From here on the branch is known by what is pinned.
    drop_claim(shop, &repository, &task.id);
    failpoint::passed("settled");
    Ok(Settled {
        head: last,
        changes: changes_between(&repository, base, last)?,
        committed: made.is_some() || is_of_leftovers(shop, &repository, last),
        notes: report.notes,
        keep: report.keep,
    })
}

/// Says what was brought into the worktree and is in a commit now, between these two.
fn note_brought(
    brought: &Brought,
    repository: &Repository,
    [base, last]: [Oid; 2],
    report: &mut Report,
) -> Result<(), WorktreeError> {
    if brought.is_empty() {
        return Ok(());
    }
    let of_agent = files_between(repository, base, last)?.into_iter().map(|file| file.path);
    let of_agent: Vec<_> = of_agent
        .filter(|path| brought.has(path.as_os_str().as_bytes()))
        .collect();
    if !of_agent.is_empty() {
        let names: Vec<_> = of_agent.iter().map(|path| path.display()).collect();
        report.note(format!(
            "{} has committed what was brought into its worktree from the checkout: {}",
            report.who,
            few(&names)
        ));
    }
    Ok(())
}

/// Who works in a worktree, as the user is told.
pub const AGENT: &str = "the agent";

/// What the user should know, as it comes up.
pub(super) struct Report {
    who: &'static str,
    pub(super) notes: Vec<String>,
    keep: Option<String>,
}

impl Default for Report {
    fn default() -> Self {
        Self::of(AGENT)
    }
}

impl Report {
    fn of(who: &'static str) -> Self {
        Self {
            who,
            notes: Vec::new(),
            keep: None,
        }
    }

    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    fn keep(&mut self, why: impl Into<String>) {
        self.keep.get_or_insert(why.into());
    }
}

/// What HEAD of the worktree is, as far as it can be read.
fn head_of(repository: &Repository, admin: Option<&Path>, branch: &str, report: &mut Report) -> Head {
    let who = report.who;
    let Some(admin) = admin else {
        report.note(format!("git no longer knew the worktree when {who} had ended"));
        report.keep("git no longer knows it as a worktree");
        return Head::default();
    };
    if let Some(what) = history::unfinished(admin) {
        report.note(format!(
            "{who} had not finished a {what}: its files are committed as it left them"
        ));
        report.keep(format!("a {what} in it is not finished"));
    }
    let Some(head) = inspect::head(repository, admin) else {
        report.note(format!(
            "the HEAD of the worktree could not be read when {who} had ended"
        ));
        report.keep("its HEAD cannot be read");
        return Head::default();
    };
    match &head.reference {
        Some(name) if name == branch => {}
        Some(name) => report.note(format!(
            "{who} had switched to {}",
            name.trim_start_matches("refs/heads/")
        )),
        None => report.note(format!("{who} had detached HEAD")),
    }
    head
}

/// Puts the `.git` file of a worktree right when the agent had removed or replaced it: whoever looks into the
/// worktree later should not find another repository. A repository in its place is left alone.
pub(super) fn check_git_file(worktree: &Path, admin: Option<&Path>, report: &mut Report) {
    let path = worktree.join(".git");
    if inspect::is_real_dir(&path) {
        report.note(format!(
            "{} had made a repository of its own there: what it has committed in that is on no branch",
            report.who
        ));
        report.keep("it holds another git repository");
        return;
    }
    let Some(admin) = admin else { return };
    let text = inspect::small_file(&path);
    let named = text.as_deref().and_then(|t| t.strip_prefix(b"gitdir:"));
    let named = named.map(|name| worktree.join(inspect::path_of(name.trim_ascii_start())));
    if named.and_then(|named| named.canonicalize().ok()) == admin.canonicalize().ok() {
        return;
    }
    report.note("the .git file of the worktree was gone or pointed elsewhere; it was put right");
    let mend = || {
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let line = [b"gitdir: ", admin.as_os_str().as_encoded_bytes(), b"\n"].concat();
        fs::File::create_new(&path)?.write_all(&line)
    };
    if let Err(e) = mend() {
        report.note(format!("the .git file could not be written: {e}"));
        report.keep("its .git file is not its own");
    }
}

/// Commits what is uncommitted on top of `parent`, on no branch yet. `None` when there is nothing.
pub(super) fn commit_leftovers(
    shop: &Workshop,
    repository: &Repository,
    site: &Site,
    task: &TaskSpec,
    admin: Option<&Path>,
    parent: Oid,
    report: &mut Report,
) -> Result<Option<Oid>, WorktreeError> {
    let view = View::open(shop, &site.worktree, admin, parent, LONGEST)?;
    if view.foreign_filters {
        report.note("git filters were configured during the run; they were not used when its work was committed");
        report.keep("git filters were configured during the run");
    }
    if view.rebuilt {
        report.note("the worktree's index could not be read; its files were committed without it");
    }
    let found = view.uncommitted()?;
    flag_repositories(&found, &view, report);
    let changed = view.brought.changed(&site.worktree);
    if !changed.is_empty() {
        report.note(format!(
            "{} has written to what was copied into its worktree, which is not committed: {}",
            report.who,
            few(&changed)
        ));
    }
    if found.changed.is_empty() {
        return Ok(None);
    }
    let unreadable = view.stage(&found)?;
    if !unreadable.is_empty() {
        let names = inspect::names(&unreadable).join(", ");
        report.note(format!("not committed, because git cannot read it: {names}"));
        report.keep(format!("git cannot read all of it: {names}"));
    }
    let tree = oid(&view.tree()?)?;
    let make = || -> Result<Option<Oid>, git2::Error> {
        let parent = repository.find_commit(parent)?;
        if parent.tree_id() == tree {
            return Ok(None);
        }
        // A settling that was cut off has made it already.
        if let Some(made) = made_before(shop, repository, task, &parent, tree) {
            return Ok(Some(made));
        }
        let who = Signature::now(&shop.identity.name, &shop.identity.email)?;
        let message = format!(
            "{}\n\nPleach-Task: {}\nPleach-Session: {}\n",
            task.title, task.id, shop.session
        );
        repository
            .commit(None, &who, &who, &message, &repository.find_tree(tree)?, &[&parent])
            .map(Some)
    };
    let made = patiently(make).map_err(GitError::libgit2("cannot commit what the agent left"))?;
    if admin.is_some_and(|admin| !view.install(admin)) {
        report.note("the worktree's index is locked by a git that did not end well; it was left as it is");
    }
    Ok(made)
}

/// The commit of the same files on the same parent that is pinned already.
fn made_before(
    shop: &Workshop,
    repository: &Repository,
    task: &TaskSpec,
    parent: &git2::Commit<'_>,
    tree: Oid,
) -> Option<Oid> {
    let pinned = repository.find_reference(&shop.pin(&task.id, "head")).ok()?;
    let commit = pinned.peel_to_commit().ok()?;
    let same = commit.tree_id() == tree && commit.parent_ids().eq([parent.id()]);
    same.then(|| commit.id())
}

/// Whether pleach made this commit, of what an agent of this session had left.
fn is_of_leftovers(shop: &Workshop, repository: &Repository, commit: Oid) -> bool {
    let trailer = format!("\nPleach-Session: {}\n", shop.session);
    let found = repository.find_commit(commit);
    found.is_ok_and(|c| c.message_bytes().ends_with(trailer.as_bytes()))
}

fn flag_repositories(found: &Uncommitted, view: &View, report: &mut Report) {
    if !found.nested.is_empty() {
        let names = inspect::names(&found.nested).join(", ");
        report.note(format!("not committed: {names} (a git repository of its own)"));
        report.keep(format!("it holds another git repository: {names}"));
    }
    if !view.repositories.is_empty() {
        let names = inspect::names(&view.repositories).join(", ");
        report.note(format!(
            "its files are committed, its history is not: {names} (a git repository of its own)"
        ));
        report.keep(format!("it holds another git repository: {names}"));
    }
    let submodules = view.populated();
    if !submodules.is_empty() {
        let names = inspect::names(&submodules).join(", ");
        report.note(format!("changes in submodules are not committed: {names}"));
        report.keep(format!("it holds submodules: {names}"));
    }
}

/// Pins what the agent had and has no longer, such as a commit that it amended.
pub(super) fn pin_left(
    shop: &Workshop,
    repository: &Repository,
    task: &TaskId,
    commits: &[Oid],
    report: &mut Report,
) -> Result<(), WorktreeError> {
    let doing = || GitError::libgit2("cannot compare the commits of a task");
    let mut pins = Pins::read(shop, repository, task).map_err(doing())?;
    // What an attempt before had left is kept under its number.
    let of_attempts: Vec<Oid> = pins.of(ATTEMPT).into_iter().map(|(_, commit)| commit).collect();
    for commit in commits {
        let mut is_kept = false;
        for kept in &of_attempts {
            is_kept = is_kept || leads_to(repository, *kept, *commit).map_err(doing())?;
        }
        if is_kept {
            continue;
        }
        let name = pins.keep_dropped(*commit)?;
        if history::is_on_no_branch(repository, *commit).map_err(doing())? {
            report.note(format!(
                "{} had dropped the commit {commit}; it is kept as {name}",
                report.who
            ));
        }
    }
    Ok(())
}

/// Moves the task's branch forward to `last`, never back and never sideways.
fn forward(
    repository: &Repository,
    branch: &str,
    tip: Option<Oid>,
    last: Oid,
    task: &TaskSpec,
    report: &mut Report,
) -> Result<(), git2::Error> {
    let short = branch.trim_start_matches("refs/heads/");
    let message = format!("pleach: settled {}", task.id);
    let found = repository.find_reference(branch).ok();
    let other = found.filter(|r| r.kind() == Some(ReferenceType::Symbolic));
    if let Some(target) = other.as_ref().and_then(|r| r.symbolic_target().ok().flatten()) {
        report.note(format!(
            "{} had made {short} another name of {target}; it is a branch again",
            report.who
        ));
        return patiently(|| repository.reference(branch, last, true, &message)).map(drop);
    }
    match tip {
        Some(tip) if tip == last => {}
        None => {
            report.note(format!("the branch {short} was gone and was made again"));
            patiently(|| repository.reference(branch, last, false, &message))?;
        }
        Some(tip) if leads_to(repository, last, tip)? => {
            patiently(|| repository.reference_matching(branch, last, true, tip, &message))?;
        }
        Some(_) => {
            report.note(format!(
                "its last commit {last} is not on {short}, which went another way; it is kept"
            ));
            report.keep("its last commit is not on its branch");
        }
    }
    Ok(())
}

fn oid(text: &str) -> Result<Oid, GitError> {
    Oid::from_str(text).map_err(GitError::libgit2(format!("{text:?} is not the id of a commit or tree")))
}
