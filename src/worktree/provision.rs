//! Makes the branch and the worktree of a task, or nothing at all.
//!
//! Registration takes git's locks and is done by one process at a time; the files are written outside of the lock.
//! libgit2 checks them out where they are to be as they stand in the commit; where anything is to be changed on the
//! way, or left out, the git program does it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use git2::build::CheckoutBuilder;
use git2::{ErrorCode, ObjectType, Oid, Repository, Tree};
use rustix::fs::Mode;
use rustix::process::umask;

use super::bring::bring;
use super::recover::{discard, drop_claim, release};
use super::{MADE, Workshop, WorktreeError};
use crate::git::{self, Git, GitError, add_worktree_without_checkout, patiently};
use crate::session::Site;
use crate::store::{Shortage, atomic, failpoint};
use crate::task::TaskId;

/// Who writes the files of a worktree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checkout {
    /// libgit2.
    Libgit2,
    /// The git program, because of what is named.
    GitProgram(&'static str),
}

/// Attributes that change a file on its way into a worktree. (`text` does so only by configuration, which is asked.)
const CHANGING: [&str; 5] = ["filter", "ident", "working-tree-encoding", "eol", "crlf"];

/// Decides who checks out `commit`: libgit2 runs no filters, knows neither `ident` and `working-tree-encoding` nor
/// sparse checkouts, worktree configuration and split indexes, converts line ends by attributes that it has not yet
/// checked out, and gives files fixed permissions. `git` is on the checkout that the user is in: it reads all
/// configuration that counts there, libgit2 only a part.
pub fn choose_checkout(repository: &Repository, git: &Git, commit: &str) -> Result<Checkout, GitError> {
    let configuration = configuration(git)?;
    let is = |key: &str| configuration.get(key).is_some_and(|value| is_true(value));
    let word = |key: &str| configuration.get(key).map(|value| value.to_ascii_lowercase());
    for (found, what) in [
        (is("core.sparsecheckout"), "a sparse checkout"),
        (is("extensions.worktreeconfig"), "configuration of worktrees"),
        (is("core.splitindex"), "a split index"),
        (is("core.autocrlf"), "core.autocrlf"),
        (word("core.eol").as_deref() == Some("crlf"), "core.eol"),
        (
            word("core.sharedrepository").is_some_and(|value| !matches!(&*value, "umask" | "false" | "0")),
            "core.sharedRepository",
        ),
        (shares_files(), "a umask that lets others write"),
    ] {
        if found {
            return Ok(Checkout::GitProgram(what));
        }
    }
    let mut files = vec![
        repository.commondir().join("info/attributes"),
        "/etc/gitattributes".into(),
    ];
    files.extend(user_attributes(git, configuration.contains_key("core.attributesfile"))?);
    for file in files {
        if let Some(name) = fs::read(file).ok().and_then(|text| changing(&text)) {
            return Ok(Checkout::GitProgram(name));
        }
    }
    let find = || -> Result<Option<&'static str>, git2::Error> {
        let tree = repository.find_commit(Oid::from_str(commit)?)?.tree()?;
        changing_in(repository, &tree)
    };
    let found = find().map_err(GitError::libgit2("cannot read how files are to be checked out"))?;
    Ok(found.map_or(Checkout::Libgit2, Checkout::GitProgram))
}

impl Workshop {
    /// The same for a task that starts from another commit than the session does: what stands in it may be checked out in
    /// another way.
    pub fn starting_from(&self, commit: &str) -> Result<Self, WorktreeError> {
        let mut shop = self.clone();
        if shop.checkout == Checkout::Libgit2 {
            let repository = self.repository()?;
            let find = || changing_in(&repository, &repository.find_commit(Oid::from_str(commit)?)?.tree()?);
            let found = find().map_err(GitError::libgit2("cannot read how files are to be checked out"))?;
            shop.checkout = found.map_or(Checkout::Libgit2, Checkout::GitProgram);
        }
        Ok(shop)
    }
}

/// The settings that count, with names in lower case; of one that is set again and again the last.
fn configuration(git: &Git) -> Result<HashMap<String, String>, GitError> {
    const KEYS: &str = r"^(core\.(sparsecheckout|splitindex|autocrlf|eol|attributesfile|sharedrepository)|extensions\.worktreeconfig)$";
    let (_, text) = git.ask(&["config", "--null", "--get-regexp", KEYS], &[0, 1])?;
    let text = String::from_utf8_lossy(&text);
    let entry = |entry: &str| match entry.split_once('\n') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        // A key alone is true.
        None => (entry.to_owned(), "true".to_owned()),
    };
    Ok(text.split('\0').filter(|e| !e.is_empty()).map(entry).collect())
}

fn is_true(value: &str) -> bool {
    let word = value.to_ascii_lowercase();
    matches!(word.as_str(), "true" | "yes" | "on") || word.parse::<i64>().is_ok_and(|n| n != 0)
}

/// Whether git, which leaves permissions to the umask, would give others more than libgit2, which does not.
fn shares_files() -> bool {
    // It can only be read by setting it; nothing else runs yet that could make a file in between.
    let mask = umask(Mode::empty());
    umask(mask);
    !mask.contains(Mode::WGRP | Mode::WOTH)
}

/// The user's own attributes file.
fn user_attributes(git: &Git, named: bool) -> Result<Option<PathBuf>, GitError> {
    if named {
        let (_, path) = git.ask(
            &["config", "--null", "--type=path", "--get", "core.attributesFile"],
            &[0, 1],
        )?;
        let path = path.strip_suffix(b"\0").unwrap_or(&path);
        return Ok(Some(PathBuf::from(OsStr::from_bytes(path))));
    }
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
    Ok(config.map(|dir| dir.join("git/attributes")))
}

/// The first attribute in all of a tree that changes files.
fn changing_in(repository: &Repository, tree: &Tree<'_>) -> Result<Option<&'static str>, git2::Error> {
    for entry in tree {
        let found = match entry.kind() {
            Some(ObjectType::Blob) if entry.name_bytes() == b".gitattributes" => {
                changing(repository.find_blob(entry.id())?.content())
            }
            Some(ObjectType::Tree) => changing_in(repository, &repository.find_tree(entry.id())?)?,
            _ => None,
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The first attribute in an attributes file that changes files.
fn changing(attributes: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(attributes);
    CHANGING.into_iter().find(|&name| mentions(&text, name))
}

/// Whether an attributes file sets the attribute `name` for anything.
fn mentions(attributes: &str, name: &str) -> bool {
    let lines = attributes.lines().map(str::trim).filter(|l| !l.starts_with('#'));
    lines.flat_map(|l| l.split_ascii_whitespace().skip(1)).any(|word| {
        let set = word.split('=').next().unwrap_or_default();
        set == name
    })
}

/// Why a worktree was not made.
#[derive(Debug)]
pub struct Unmade {
    /// What went wrong.
    pub error: WorktreeError,
    /// What was lacking, if that is why: it may come back.
    pub shortage: Option<Shortage>,
}

/// Makes the branch and the worktree of `site` for a task. After an error neither of them is there, unless somebody else
/// made it ([`WorktreeError::Taken`]). Gives what the user should know, a line each.
pub fn provision(shop: &Workshop, site: &Site, task: &TaskId) -> Result<Vec<String>, Unmade> {
    let unmade = |error| Unmade {
        // Before anything is undone: that makes room.
        shortage: shop.shortage_behind(&error),
        error,
    };
    let mut is_ours = false;
    let mut make = || {
        atomic::private_dir(&shop.worktrees).map_err(WorktreeError::io("make", &shop.worktrees))?;
        register(shop, site, task, &mut is_ours)?;
        failpoint::passed("registered");
        check_out(shop, site, &site.base)?;
        failpoint::passed("checked-out");
        let base = Oid::from_str(&site.base).map_err(GitError::libgit2("the base is no commit"))?;
        bring(shop, &site.worktree, base)
    };
    make().map_err(unmade).inspect_err(|unmade| {
        if is_ours {
            // The first error is the one to tell; what cannot be undone is recognised by the journal later.
            let _ = match unmade.shortage {
                Some(_) => discard(shop, site, task),
                None => release(shop, site, task),
            };
        }
    })
}

/// `is_ours` says afterwards whether something was made.
fn register(shop: &Workshop, site: &Site, task: &TaskId, is_ours: &mut bool) -> Result<(), WorktreeError> {
    let _lock = shop.lock()?;
    if fs::symlink_metadata(&site.worktree).is_ok() {
        return Err(WorktreeError::Taken(site.worktree.display().to_string()));
    }
    let (name, admin) = registered_as(shop, site);
    if admin.exists() {
        return Err(WorktreeError::Taken(format!("a worktree named {name}")));
    }
    let repository = shop.repository()?;
    let branch = format!("refs/heads/{}", site.branch);
    if repository.find_reference(&branch).is_ok() {
        return Err(WorktreeError::Taken(format!("the branch {}", site.branch)));
    }
    // None of it is there: what is found under this name after a crash was made for this task.
    git::pin(&repository, &shop.pin(task, MADE), &site.base)?;
    failpoint::passed("claimed");
    if let Err(e) = make_branch(&repository, site) {
        drop_claim(shop, &repository, task);
        return Err(e);
    }
    *is_ours = true;
    failpoint::passed("branched");
    Ok(add(shop, site)?)
}

/// The name under which git knows a worktree, unless it had to choose another, and what it keeps about it.
pub(super) fn registered_as(shop: &Workshop, site: &Site) -> (String, PathBuf) {
    let name = site.worktree.file_name().unwrap_or_default().to_string_lossy();
    (
        name.clone().into_owned(),
        shop.place.common_dir.join("worktrees").join(&*name),
    )
}

/// Registers the worktree of a site whose branch is there. The caller holds the lock.
pub(super) fn add(shop: &Workshop, site: &Site) -> Result<(), GitError> {
    let by_git = || -> Result<(), GitError> {
        let args = ["worktree", "add", "--no-checkout"].map(AsRef::as_ref);
        let args = [&args[..], &[site.worktree.as_os_str(), site.branch.as_ref()]].concat();
        // Its sparse checkout and configuration are taken over: those of the checkout that the user was in.
        Git::bare(shop.place.origin()).run(&args).map(drop)
    };
    let (name, _) = registered_as(shop, site);
    match &shop.checkout {
        // libgit2 (1.9) says that a branch "is already checked out" as soon as it cannot look into any other worktree:
        // one that vanishes at that moment, or one that is broken. git goes on.
        Checkout::Libgit2 => add_worktree_without_checkout(&shop.place.common_dir, &name, &site.worktree, &site.branch)
            .or_else(|first| by_git().map_err(|second| if Shortage::of(&second).is_some() { second } else { first })),
        Checkout::GitProgram(_) => by_git(),
    }
}

/// Writes the files of a registered worktree, as they are in `commit`, which its branch is at.
pub(super) fn check_out(shop: &Workshop, site: &Site, commit: &str) -> Result<(), WorktreeError> {
    match &shop.checkout {
        Checkout::Libgit2 => checkout_libgit2(&site.worktree, commit),
        Checkout::GitProgram(_) => checkout_program(shop, site),
    }
}

fn make_branch(repository: &Repository, site: &Site) -> Result<(), WorktreeError> {
    let make = || -> Result<(), git2::Error> {
        let commit = repository.find_commit(Oid::from_str(&site.base)?)?;
        repository.branch(&site.branch, &commit, false)?;
        Ok(())
    };
    patiently(make).map_err(|e| match e.code() {
        ErrorCode::Exists => WorktreeError::Taken(format!("the branch {}", site.branch)),
        _ => GitError::libgit2(format!("cannot make the branch {}", site.branch))(e).into(),
    })
}

fn checkout_libgit2(worktree: &Path, commit: &str) -> Result<(), WorktreeError> {
    let write = || -> Result<(), git2::Error> {
        // Just made by this process, no agent has seen it: its `.git` file is ours.
        let repository = Repository::open(worktree)?;
        let commit = repository.find_commit(Oid::from_str(commit)?)?;
        let mut as_it_stands = CheckoutBuilder::new();
        as_it_stands.force().disable_filters(true);
        repository.checkout_tree(commit.as_object(), Some(&mut as_it_stands))
    };
    let doing = format!("cannot check out {}", worktree.display());
    Ok(write().map_err(GitError::libgit2(doing))?)
}

fn checkout_program(shop: &Workshop, site: &Site) -> Result<(), WorktreeError> {
    let admin = shop.admin_dir(&site.worktree);
    let admin = admin.ok_or_else(|| WorktreeError::Taken(site.worktree.display().to_string()))?;
    // What `git worktree add` itself runs to fill a new worktree.
    shop.git(&admin, &site.worktree)?
        .0
        .run(&["reset", "--hard", "--quiet", "--no-recurse-submodules"])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::mentions;

    #[test]
    fn attributes_that_libgit2_does_not_do() {
        for (text, name, expected) in [
            ("*.bin filter=lfs diff=lfs -text", "filter", true),
            ("# *.bin filter=lfs", "filter", false),
            ("filter text", "filter", false),
            ("*.c ident", "ident", true),
            ("*.c identity", "ident", false),
            ("*.txt working-tree-encoding=UTF-16", "working-tree-encoding", true),
        ] {
            assert_eq!(mentions(text, name), expected, "{text}");
        }
    }
}
