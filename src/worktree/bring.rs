//! Brings files of the checkout into a worktree that has just been made: what git does not track there, and a task needs
//! all the same, such as `.env` (`.worktreeinclude`, `copy`) or `node_modules` (`link`).
//!
//! Before any of it is there it is written down which paths it will be, so that whoever looks at the worktree later, after
//! a crash too, knows them for what they are: not the agent's work, whatever git says of them, and no reason to keep the
//! worktree. What is there is never replaced, and what cannot be brought is told. `choose` says what is meant, `put` puts
//! it there.

mod choose;
mod put;
mod record;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Display;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use git2::{Oid, Tree};

use self::choose::{Patterns, chosen};
use self::put::{Put, Way};
pub use self::record::forget_removed;
pub(super) use self::record::{Brought, forget};
use self::record::{Item, What, excludes_of, item, write};
use super::inspect::{is_real_dir, small_file};
use super::view::{LONGEST, View};
use super::{Workshop, WorktreeError};
use crate::git::{Git, GitError, without_foreign};
use crate::store::atomic::{self, Durability};
use crate::store::failpoint;
use crate::words::few;

/// The file in the checkout that says what each worktree gets a copy of.
pub const INCLUDE: &str = ".worktreeinclude";

/// What new worktrees get from the checkout, besides what its own file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Patterns as in `.gitignore`: copies.
    pub copy: Vec<String>,
    /// Paths in the checkout: links.
    pub link: Vec<String>,
}

/// What the user should know, by the reason.
#[derive(Debug, Default)]
struct Notes(BTreeMap<String, Vec<String>>);

impl Notes {
    fn add(&mut self, why: impl Into<String>, what: impl Display) {
        self.0.entry(why.into()).or_default().push(what.to_string());
    }

    fn into_lines(self) -> Vec<String> {
        let line = |(why, what): (String, Vec<String>)| format!("{why}: {}", few(&what));
        self.0.into_iter().map(line).collect()
    }
}

/// Brings into a worktree, which is at `commit` and in which nobody has worked, what is wanted in it. Gives what the user
/// should know, a line each.
pub(super) fn bring(shop: &Workshop, worktree: &Path, commit: Oid) -> Result<Vec<String>, WorktreeError> {
    forget(shop, worktree)?;
    let Some(checkout) = shop.place.work_dir.as_deref().filter(|dir| is_real_dir(dir)) else {
        return Ok(Vec::new());
    };
    let mut notes = Notes::default();
    let include = checkout.join(INCLUDE);
    let read = small_file(&include);
    // It was meant to be something: a task without what it says may do other work.
    if read.is_none() && fs::symlink_metadata(&include).is_ok() {
        notes.add("not read, because it is no plain file that may be read", INCLUDE);
    }
    let include = read.unwrap_or_default();
    let include = String::from_utf8_lossy(&include);
    let lines = include.lines().chain(shop.wanted.copy.iter().map(String::as_str));
    let copies = match Patterns::of(lines, &mut notes) {
        Some(patterns) => chosen(&looking(shop, checkout)?, checkout, &patterns, &mut notes)?,
        None => Vec::new(),
    };
    // Where worktrees are made in the checkout itself, those of others and the trash are no files of it.
    let own = worktree.parent().and_then(|all| all.strip_prefix(checkout).ok());
    let is_own = |path: &PathBuf| own.is_some_and(|own| own != Path::new("") && path.starts_with(own));
    let copies: Vec<PathBuf> = copies.into_iter().filter(|path| !is_own(path)).collect();
    let repository = shop.repository()?;
    let tree = repository.find_commit(commit).and_then(|commit| commit.tree());
    let tree = tree.map_err(GitError::libgit2("cannot read the commit of a worktree"))?;
    let links = links(&shop.wanted.link, checkout, &tree, &mut notes);
    let is_linked = |path: &Path| links.iter().any(|link| path.starts_with(link));
    let mut wanted: Vec<&Path> = links.iter().map(PathBuf::as_path).collect();
    for path in copies.iter().filter(|path| !is_linked(path)) {
        match tree.get_path(path) {
            Ok(_) => notes.add("not copied, because it is in the commit", path.display()),
            Err(_) => wanted.push(path),
        }
    }
    if !wanted.is_empty() {
        let planned = wanted.iter().map(|path| item(path, What::Planned)).collect();
        write(shop, worktree, planned)?;
        failpoint::passed("bringing");
        let brought = put(checkout, worktree, &wanted, links.len(), &mut notes)?;
        failpoint::passed("brought");
        write(shop, worktree, brought)?;
        write_excludes(shop, worktree, commit)?;
    }
    Ok(notes.into_lines())
}

/// Writes down for the agent's git what was brought and what it does not ignore: a link is none of the directories that
/// `node_modules/` means, and `git add -A` would take it in.
fn write_excludes(shop: &Workshop, worktree: &Path, commit: Oid) -> Result<(), WorktreeError> {
    let admin = shop.admin_dir(worktree);
    let view = View::open(shop, worktree, admin.as_deref(), commit, LONGEST)?;
    let found = view.uncommitted()?.brought;
    // What the user ignores everywhere goes on to be ignored: git reads one such file.
    let mut text = match found.is_empty() {
        true => return Ok(()),
        false => user_excludes(&looking(shop, worktree)?)?,
    };
    // No pattern can have a line break in it.
    for path in found.iter().filter(|path| !path.contains(&b'\n')) {
        text.extend_from_slice(b"\n/");
        for &byte in path {
            if b"\\*?[ ".contains(&byte) {
                text.push(b'\\');
            }
            text.push(byte);
        }
    }
    text.push(b'\n');
    let path = excludes_of(&shop.place, worktree);
    atomic::write(&path, &text, Durability::Synced).map_err(WorktreeError::io("write", &path))
}

/// What stands in the file of the user's with patterns for all repositories.
fn user_excludes(git: &Git) -> Result<Vec<u8>, GitError> {
    let args = ["config", "--null", "--type=path", "--get", "core.excludesFile"];
    let (code, path) = git.ask(&args, &[0, 1])?;
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let path = match code {
        0 => Some(PathBuf::from(OsStr::from_bytes(
            path.strip_suffix(b"\0").unwrap_or(&path),
        ))),
        _ => set("XDG_CONFIG_HOME")
            .or_else(|| Some(set("HOME")?.join(".config")))
            .map(|dir| dir.join("git/ignore")),
    };
    // A link to it is as good.
    let path = path.and_then(|path| path.canonicalize().ok());
    Ok(path.and_then(|path| small_file(&path)).unwrap_or_default())
}

/// The file with what an agent's git has to be told to ignore in a worktree, and the user's own patterns; none where
/// there is nothing to tell.
pub fn excludes(shop: &Workshop, worktree: &Path) -> Option<PathBuf> {
    Some(excludes_of(&shop.place, worktree)).filter(|path| path.is_file())
}

/// Puts the paths into the worktree, of which the first so many become links.
fn put(
    checkout: &Path,
    worktree: &Path,
    wanted: &[&Path],
    links: usize,
    notes: &mut Notes,
) -> Result<Vec<Item>, WorktreeError> {
    let mut way = Way::new(checkout, worktree).map_err(WorktreeError::io("open", worktree))?;
    let mut brought = Vec::new();
    for (index, path) in wanted.iter().enumerate() {
        let (done, doing) = if index < links {
            (way.link(path, &checkout.join(path)), "linked")
        } else {
            (way.copy(path), "copied")
        };
        let inside = worktree.join(path);
        match done.map_err(WorktreeError::io("write", &inside))? {
            Put::Done => brought.push(item(path, What::at(&inside))),
            Put::Unreadable(why) => notes.add(format!("not {doing} ({why})"), path.display()),
            Put::Special => notes.add(
                format!("not {doing}, because it is no file, directory or link"),
                path.display(),
            ),
            Put::InTheWay => notes.add(
                format!("not {doing}, because something else is in its place"),
                path.display(),
            ),
        }
    }
    Ok(brought)
}

/// git on the checkout, which only looks.
fn looking(shop: &Workshop, checkout: &Path) -> Result<Git, GitError> {
    let git = Git::in_work_tree(shop.place.origin(), checkout)
        .with_variable("GIT_COMMON_DIR", &shop.place.common_dir)
        .with_variable("GIT_NO_LAZY_FETCH", "1")
        .with_variable("GIT_ALLOW_PROTOCOL", "none")
        .with_limit(LONGEST);
    Ok(without_foreign(git, &shop.drivers)?.0)
}

/// The links that can be made: what they lead to is there, and the commit has nothing of that name.
fn links(wanted: &[String], checkout: &Path, tree: &Tree<'_>, notes: &mut Notes) -> Vec<PathBuf> {
    let mut links: Vec<PathBuf> = Vec::new();
    for written in wanted {
        let path = normal(written);
        let is_name = |c: Component<'_>| matches!(c, Component::Normal(name) if name != ".git");
        if path.as_os_str().is_empty() || !path.components().all(is_name) {
            notes.add("not linked, because it is no path in the checkout", written);
        } else if fs::symlink_metadata(checkout.join(&path)).is_err() {
            notes.add("not linked, because it is not in the checkout", written);
        } else if tree.get_path(&path).is_ok() {
            notes.add("not linked, because it is in the commit", written);
        } else if !links.iter().any(|link| path.starts_with(link)) {
            links.retain(|link| !link.starts_with(&path));
            links.push(path);
        }
    }
    links
}

/// A path as it is written, without what leads nowhere else.
fn normal(written: &str) -> PathBuf {
    let components = Path::new(written).components();
    components.filter(|c| *c != Component::CurDir).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_in_the_checkout_are_linked() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["a/b", "c", "in-commit", ".git"] {
            fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        let repository = git2::Repository::init(dir.path().join("c")).unwrap();
        let blob = repository.blob(b"").unwrap();
        let mut builder = repository.treebuilder(None).unwrap();
        builder.insert("in-commit", blob, 0o100_644).unwrap();
        let tree = repository.find_tree(builder.write().unwrap()).unwrap();
        let wanted = [
            "./a/b/",
            "a/b/c",
            "c",
            "..",
            "../c",
            "a/../c",
            "/etc",
            ".git",
            "",
            "gone",
            "in-commit",
            "a",
        ];
        let mut notes = Notes::default();
        let links = links(&wanted.map(String::from), dir.path(), &tree, &mut notes);
        assert_eq!(links, [Path::new("c"), Path::new("a")]);
        assert_eq!(
            notes.into_lines(),
            [
                "not linked, because it is in the commit: in-commit",
                "not linked, because it is no path in the checkout: .., ../c, a/../c and 3 more",
                "not linked, because it is not in the checkout: a/b/c, gone",
            ]
        );
    }

    #[test]
    fn notes_say_each_reason_once() {
        let mut notes = Notes::default();
        notes.add("not linked", "a");
        notes.add("not copied", "b");
        notes.add("not copied", "c");
        assert_eq!(notes.into_lines(), ["not copied: b, c", "not linked: a"]);
    }
}
