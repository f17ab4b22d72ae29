//! A look at the files of a worktree that an agent had, through a git dir of our own.
//!
//! Whatever git would read from the worktree's own git dir (HEAD, `commondir`, the index) the agent may have changed,
//! removed or made to point elsewhere. So a git dir is made beside it: its HEAD is the commit to compare with, it is
//! bound to the repository and to the files, and no command that works through it leaves a trace. Of what the agent
//! left only a copy of the index is taken: what was staged by force is in it, and the dates of all files.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use git2::{Index, Oid};
use tempfile::TempDir;

use super::bring::Brought;
use super::inspect::{self, Uncommitted};
use super::{Workshop, WorktreeError};
use crate::git::{Git, GitError};
use crate::store::atomic;
use crate::store::paths::VIEW_PREFIX;
use crate::words::few;

/// How long git may take to settle a worktree. It waits for ever where an agent has put a pipe in the place of a file
/// that git reads, such as `.gitignore`; to stage the largest of worktrees takes minutes.
pub(super) const LONGEST: Duration = Duration::from_secs(600);

/// How often git is asked to write objects: a `git gc` of the user removes empty directories of objects, also one that
/// another git has made a moment ago for an object, and that git then fails.
const ATTEMPTS: u32 = 4;

/// The worktree of a task, compared with a commit.
pub(super) struct View {
    git: Git,
    dir: TempDir,
    worktree: PathBuf,
    /// Whether filter drivers are switched off because they were not there when the session started.
    pub foreign_filters: bool,
    /// Whether the agent's index could not be read; then it is made anew from the commit.
    pub rebuilt: bool,
    /// The paths of submodules.
    pub links: Vec<Vec<u8>>,
    /// Directories with committed files in them that are repositories of their own.
    pub repositories: Vec<Vec<u8>>,
    /// What is in the worktree because pleach brought it there.
    pub brought: Brought,
}

/// A line of the index.
struct Entry {
    path: Vec<u8>,
    link: bool,
    /// git is told not to look at the file.
    assumed: bool,
    skipped: bool,
}

impl View {
    /// `limit` is for each command of git.
    pub(super) fn open(
        shop: &Workshop,
        worktree: &Path,
        admin: Option<&Path>,
        commit: Oid,
        limit: Duration,
    ) -> Result<Self, WorktreeError> {
        let parent = shop.place.common_dir.join("pleach");
        atomic::private_dir(&parent).map_err(WorktreeError::io("make", &parent))?;
        let dir = tempfile::Builder::new().prefix(VIEW_PREFIX).tempdir_in(&parent);
        let dir = dir.map_err(WorktreeError::io("make a directory in", &parent))?;
        fs::write(dir.path().join("HEAD"), format!("{commit}\n")).map_err(WorktreeError::io("write in", dir.path()))?;
        let copied = admin.map_or(Ok(false), |admin| copy(admin, dir.path()));
        let copied = copied.map_err(WorktreeError::io("copy the index to", dir.path()))?;
        let (git, foreign) = shop.git(dir.path(), worktree)?;
        let git = git.with_limit(limit).with_configuration(
            // What the user wants warned of, left out or split up is wanted whole here.
            ["core.safecrlf", "core.sparseCheckout", "core.splitIndex"].map(|key| format!("{key}=false")),
        );
        let mut view = Self {
            git,
            dir,
            worktree: worktree.to_owned(),
            foreign_filters: foreign.iter().any(|key| key.starts_with("filter.")),
            rebuilt: false,
            links: Vec::new(),
            repositories: Vec::new(),
            brought: Brought::at(shop, worktree, commit)?,
        };
        view.read_index(commit, copied)?;
        Ok(view)
    }

    /// Takes in what the index says, and lets nothing in it hide a file.
    fn read_index(&mut self, commit: Oid, copied: bool) -> Result<(), WorktreeError> {
        let left = if copied && self.is_whole() {
            self.entries().ok()
        } else {
            None
        };
        let entries = match left {
            Some(entries) => entries,
            None => {
                self.rebuilt = copied;
                let _ = fs::remove_file(self.dir.path().join("index"));
                self.git.run(&["read-tree", &commit.to_string()])?;
                self.entries()?
            }
        };
        let brought = entries.iter().filter(|e| self.brought.has(&e.path));
        self.unstage(brought.map(|e| e.path.as_slice()))?;
        let there = |path: &[u8]| fs::symlink_metadata(self.inside(path)).is_ok();
        let assumed = entries.iter().filter(|e| e.assumed).map(|e| e.path.as_slice());
        self.update(&["--no-assume-unchanged"], assumed)?;
        // Without its file it is one that a sparse checkout leaves out.
        let skipped = entries.iter().filter(|e| e.skipped && there(&e.path));
        self.update(&["--no-skip-worktree"], skipped.map(|e| e.path.as_slice()))?;
        let (bare, links) = (entries.iter().filter(|e| e.link))
            .map(|e| e.path.clone())
            .partition::<Vec<_>, _>(|path| self.is_bare_link(commit, path));
        self.update(&["--force-remove"], bare.iter().map(Vec::as_slice))?;
        let directories: BTreeSet<&[u8]> = entries.iter().flat_map(|e| parents(&e.path)).collect();
        self.repositories = directories
            .into_iter()
            .filter(|dir| there(&[*dir, b"/.git"].concat()))
            .map(<[u8]>::to_vec)
            .collect();
        self.links = links;
        Ok(())
    }

    /// Whether a copied index is whole: git itself does not look at its checksum.
    fn is_whole(&self) -> bool {
        match Index::open(&self.dir.path().join("index")) {
            Ok(_) => true,
            // Those of sparse and split indexes; git reads them.
            Err(e) => e.message().starts_with("unsupported mandatory extension"),
        }
    }

    fn entries(&self) -> Result<Vec<Entry>, GitError> {
        let text = self.git.run(&["ls-files", "-z", "--stage", "-v"])?;
        Ok(text.split(|&b| b == 0).filter_map(entry).collect())
    }

    fn update<'a>(&self, how: &[&str], paths: impl Iterator<Item = &'a [u8]>) -> Result<(), GitError> {
        let input: Vec<u8> = paths.flat_map(|path| [path, b"\0"].concat()).collect();
        if !input.is_empty() {
            let args = [&["update-index"], how, &["-z", "--stdin"]].concat();
            self.git.feed(&args, &input)?;
        }
        Ok(())
    }

    /// Has the index be as the commit in these paths, whatever the agent has staged.
    fn unstage<'a>(&self, paths: impl Iterator<Item = &'a [u8]>) -> Result<(), WorktreeError> {
        let list: Vec<u8> = paths
            .flat_map(|path| [b":(top,literal)", path, b"\0"].concat())
            .collect();
        if list.is_empty() {
            return Ok(());
        }
        let args = ["reset", "--quiet", "--pathspec-from-file=-", "--pathspec-file-nul"];
        Ok(self.git.feed(&args, &list).map(drop)?)
    }

    /// Whether a link to a commit was only staged, and is no submodule: then nobody could ever follow it.
    fn is_bare_link(&self, commit: Oid, path: &[u8]) -> bool {
        let known = |args: &[&str]| self.git.run(args).ok();
        let path = String::from_utf8_lossy(path);
        let in_commit = known(&["rev-parse", "--quiet", "--verify", &format!("{commit}:{path}")]).is_some();
        let modules = known(&["config", "--file", ".gitmodules", "--null", "--get-regexp", r"\.path$"]);
        let named = |text: Vec<u8>| {
            let mut entries = text.split(|&b| b == 0);
            entries.any(|e| e.ends_with(format!("\n{path}").as_bytes()))
        };
        !in_commit && !modules.is_some_and(named)
    }

    /// What is in the files and not in the commit.
    pub(super) fn uncommitted(&self) -> Result<Uncommitted, GitError> {
        let mut found = inspect::uncommitted(&self.git)?;
        found.set_apart(|path| self.brought.has(path));
        Ok(found)
    }

    /// Stages all that is in the files, as they were found, but for nested repositories, submodules and what was brought
    /// in. Returns the paths that git cannot read.
    pub(super) fn stage(&self, found: &Uncommitted) -> Result<Vec<Vec<u8>>, GitError> {
        // `git add` would look into submodules and link nested repositories: both are left out by name.
        let mut paths = b".\0".to_vec();
        for path in found.nested.iter().chain(&self.links).chain(&found.brought) {
            paths.extend_from_slice(b":(top,exclude,literal)");
            paths.extend_from_slice(path.strip_suffix(b"/").unwrap_or(path));
            paths.push(0);
        }
        let list = self.dir.path().join("paths");
        fs::write(&list, paths).map_err(GitError::io("cannot write what is to be staged"))?;
        let mut from = std::ffi::OsString::from("--pathspec-from-file=");
        from.push(&list);
        let args = ["add", "--all", "--ignore-errors", "--pathspec-file-nul"].map(Into::into);
        let args = [&args[..], &[from]].concat();
        let mut left = Vec::new();
        for attempt in 0..ATTEMPTS {
            pause_before(attempt);
            if self.git.ask(&args, &[0, 1])?.0 == 0 {
                return Ok(Vec::new());
            }
            left = self.uncommitted()?.unstaged;
        }
        Ok(left)
    }

    /// Writes what is staged as a tree, and gives its id.
    pub(super) fn tree(&self) -> Result<String, GitError> {
        let mut tree = self.git.run(&["write-tree"]);
        for attempt in 1..ATTEMPTS {
            if tree.is_ok() {
                break;
            }
            pause_before(attempt);
            tree = self.git.run(&["write-tree"]);
        }
        Ok(String::from_utf8_lossy(&tree?).trim().to_owned())
    }

    /// Makes what is staged the worktree's own index, so that its status is clean; false when that one is locked.
    pub(super) fn install(&self, admin: &Path) -> bool {
        let locked = fs::symlink_metadata(admin.join("index.lock")).is_ok();
        !locked && fs::rename(self.dir.path().join("index"), admin.join("index")).is_ok()
    }

    /// The submodules that have files: git sees none of them, also when there is no repository with them.
    pub(super) fn populated(&self) -> Vec<Vec<u8>> {
        let holds_files = |path: &&Vec<u8>| fs::read_dir(self.inside(path)).is_ok_and(|mut dir| dir.next().is_some());
        self.links.iter().filter(holds_files).cloned().collect()
    }

    /// Why a worktree must stay whose files cannot all be committed, if it must.
    pub(super) fn why_not(&self, found: &Uncommitted) -> Option<String> {
        let populated = self.populated();
        let nested = || {
            found
                .nested
                .iter()
                .chain(&self.repositories)
                .cloned()
                .collect::<Vec<_>>()
        };
        match () {
            () if self.foreign_filters => Some("git filters were configured during the run".into()),
            () if !nested().is_empty() => {
                let names = few(&inspect::names(&nested()));
                Some(format!("it holds another git repository: {names}"))
            }
            () if !populated.is_empty() => Some(format!("it holds submodules: {}", few(&inspect::names(&populated)))),
            () => None,
        }
    }

    fn inside(&self, path: &[u8]) -> PathBuf {
        self.worktree.join(inspect::path_of(path))
    }
}

fn pause_before(attempt: u32) {
    std::thread::sleep(Duration::from_millis(50) * attempt);
}

/// Copies what counts of a worktree's git dir; false when there is no index. Only plain files: nothing else is ever
/// made by git, and a pipe would never end.
fn copy(admin: &Path, to: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(admin)?.flatten() {
        let name = entry.file_name();
        let wanted =
            name == "index" || name == "config.worktree" || name.as_encoded_bytes().starts_with(b"sharedindex.");
        if !wanted || !entry.file_type()?.is_file() {
            continue;
        }
        let (from, to) = (entry.path(), to.join(&name));
        fs::copy(&from, &to)?;
        // git compares it with the dates of files, to find those that changed while it was written.
        File::options()
            .write(true)
            .open(&to)?
            .set_modified(fs::metadata(&from)?.modified()?)?;
    }
    Ok(to.join("index").exists())
}

/// Reads a line of `git ls-files --stage -v`: a letter, the mode, the object, the stage, and behind a tab the path.
fn entry(line: &[u8]) -> Option<Entry> {
    let tab = line.iter().position(|&b| b == b'\t')?;
    let (tag, mode) = (*line.first()?, line.get(2..8)?);
    Some(Entry {
        path: line[tab + 1..].to_vec(),
        link: mode == b"160000",
        assumed: tag.is_ascii_lowercase(),
        skipped: tag.eq_ignore_ascii_case(&b's'),
    })
}

/// The directories that a path is in.
fn parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().filter(|(_, b)| **b == b'/');
    slashes.map(|(at, _)| &path[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_index() {
        let read = |line: &str| {
            let Entry {
                path,
                link,
                assumed,
                skipped,
            } = entry(line.as_bytes()).unwrap();
            (String::from_utf8(path).unwrap(), link, assumed, skipped)
        };
        let id = "0".repeat(40);
        for (tag, mode, expected) in [
            ("H", "100644", (false, false, false)),
            ("h", "100755", (false, true, false)),
            ("S", "120000", (false, false, true)),
            ("s", "100644", (false, true, true)),
            ("H", "160000", (true, false, false)),
        ] {
            let (path, link, assumed, skipped) = read(&format!("{tag} {mode} {id} 0\ta\tb c"));
            assert_eq!((link, assumed, skipped), expected, "{tag} {mode}");
            assert_eq!(path, "a\tb c");
        }
        assert!(entry(b"").is_none());
        let dirs: Vec<&[u8]> = parents(b"a/b/c").collect();
        assert_eq!(dirs, [&b"a"[..], b"a/b"]);
    }
}
