//! Finds the repository, says where its parts lie, what HEAD is and who the user is.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use git2::{ErrorClass, ErrorCode, Oid, Repository, RepositoryOpenFlags};
use serde::{Deserialize, Serialize};

use super::{Drivers, Git, GitError, TO_TELL, without_foreign};
use crate::store::path_json;

/// Where the parts of a repository lie; all paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The git dir that HEAD is read from; of a linked worktree its own.
    #[serde(with = "path_json")]
    pub git_dir: PathBuf,
    /// The git dir that all worktrees share.
    #[serde(with = "path_json")]
    pub common_dir: PathBuf,
    /// The checkout that the command was given in; none in a bare repository.
    #[serde(with = "path_json::option")]
    pub work_dir: Option<PathBuf>,
}

impl Place {
    /// The directory a user would call the repository: the main checkout, or the bare repository itself.
    pub fn root(&self) -> &Path {
        if self.common_dir.file_name().is_some_and(|n| n == ".git") {
            return self.common_dir.parent().unwrap_or(&self.common_dir);
        }
        &self.common_dir
    }
}

/// The commit that work starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Its full id.
    pub commit: String,
    /// The branch that was checked out, without `refs/heads/`; none for a detached HEAD.
    pub branch: Option<String>,
}

/// Whose name stands on commits that are made for the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// `user.name`
    pub name: String,
    /// `user.email`
    pub email: String,
    /// False when the user has set none and this is a stand-in.
    pub configured: bool,
}

/// The content of a file in a commit; none when it is not there, or no file.
pub fn file_in(repository: &Repository, commit: &str, path: &str) -> Option<Vec<u8>> {
    let tree = repository.revparse_single(commit).ok()?.peel_to_tree().ok()?;
    let entry = tree.get_path(Path::new(path)).ok()?;
    let blob = repository.find_blob(entry.id()).ok()?;
    Some(blob.content().to_vec())
}

/// Opens the repository that `dir` is in. `None` when it is in none.
pub fn open(dir: &Path) -> Result<Option<Repository>, GitError> {
    let none: [&Path; 0] = [];
    match Repository::open_ext(dir, RepositoryOpenFlags::empty(), none) {
        Ok(repository) => Ok(Some(repository)),
        Err(e) if e.code() == ErrorCode::NotFound => Ok(None),
        Err(e) if e.code() == ErrorCode::Owner => {
            // libgit2 names it between apostrophes; it may be above `dir`.
            let named = e.message().split('\'').nth(1).map(|path| path.trim_end_matches('/'));
            Err(GitError::NotYours(named.map_or_else(|| dir.to_owned(), PathBuf::from)))
        }
        Err(e) => Err(GitError::libgit2(format!(
            "cannot open the repository at {}",
            dir.display()
        ))(e)),
    }
}

/// Where the parts of `repository` lie.
pub fn place_of(repository: &Repository) -> Place {
    let clean = |path: &Path| path.components().collect::<PathBuf>();
    let absolute = |path: &Path| path.canonicalize().unwrap_or_else(|_| clean(path));
    Place {
        git_dir: absolute(repository.path()),
        common_dir: absolute(repository.commondir()),
        work_dir: repository.workdir().map(absolute),
    }
}

/// What HEAD is; `None` when it has no commit yet.
pub fn base_of(repository: &Repository) -> Result<Option<Base>, GitError> {
    let head = match repository.head() {
        Ok(head) => head,
        Err(e) if matches!(e.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => return Ok(None),
        Err(e) => return Err(GitError::libgit2("cannot read HEAD")(e)),
    };
    let commit = head
        .peel_to_commit()
        .map_err(GitError::libgit2("cannot read the commit of HEAD"))?;
    let branch = (head.is_branch())
        .then(|| head.shorthand().ok().map(str::to_owned))
        .flatten();
    Ok(Some(Base {
        commit: commit.id().to_string(),
        branch,
    }))
}

/// A warning when the user's checkout differs from HEAD, in one line; drivers that are not `known` are not run.
/// Submodules are not looked into. A checkout that cannot be read is nothing to warn of here: what needs it says so
/// itself.
pub fn dirty_warning(place: &Place, known: &Drivers) -> Option<String> {
    // By git itself: only it knows what a filter or a sparse checkout makes of a file that nobody has touched.
    let git = Git::in_work_tree(&place.git_dir, place.work_dir.as_ref()?);
    let (git, _) = without_foreign(git, known).ok()?;
    let text = git.run(&[
        "status",
        "--porcelain=v1",
        "-z",
        "--ignore-submodules=all",
        "--no-renames",
    ]);
    let text = text.ok()?;
    let entries = text.split(|&b| b == 0).filter(|e| e.len() > 3);
    let (untracked, changed): (Vec<&[u8]>, Vec<&[u8]>) = entries.partition(|e| e.starts_with(b"??"));
    let parts: Vec<String> = [(changed.len(), "changed"), (untracked.len(), "untracked")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    (!parts.is_empty()).then(|| {
        format!(
            "the checkout has uncommitted files ({}): agents start from the commit and do not see them",
            parts.join(", ")
        )
    })
}

/// Does something to refs or objects, again for a while as long as another git is in the way: one that has a ref
/// locked, or that packs and takes directories away which have just become empty. libgit2 itself does not wait.
pub fn patiently<T>(mut act: impl FnMut() -> Result<T, git2::Error>) -> Result<T, git2::Error> {
    const PATIENCE: Duration = Duration::from_secs(2);
    const PAUSE: Duration = Duration::from_millis(10);
    let deadline = Instant::now() + PATIENCE;
    let passes = |e: &git2::Error| match e.code() {
        ErrorCode::Locked | ErrorCode::Modified => true,
        _ => e.class() == ErrorClass::Os && e.message().contains("No such file"),
    };
    loop {
        match act() {
            Err(e) if passes(&e) && Instant::now() < deadline => std::thread::sleep(PAUSE),
            other => return other,
        }
    }
}

/// Points the ref `name` at a commit, so that git keeps it. One that points there already is left alone.
pub fn pin(repository: &Repository, name: &str, commit: &str) -> Result<(), GitError> {
    let write = || -> Result<(), git2::Error> {
        repository.reference(name, Oid::from_str(commit)?, true, "pleach: pinned")?;
        Ok(())
    };
    patiently(write).map_err(GitError::libgit2(format!("cannot write {name}")))
}

/// The user's identity as git would write it, from the environment and from git's configuration. The git program reads
/// that: libgit2 knows neither `GIT_CONFIG_GLOBAL` nor every condition of an include.
pub fn identity(place: &Place) -> Result<Identity, GitError> {
    const KEYS: &str = r"^(user|committer)\.(name|email)$";
    let git = Git::bare(&place.git_dir).with_limit(TO_TELL);
    let (_, text) = git.ask(&["config", "--null", "--get-regexp", KEYS], &[0, 1])?;
    let text = String::from_utf8_lossy(&text);
    let entries: HashMap<&str, &str> = text.split('\0').filter_map(|entry| entry.split_once('\n')).collect();
    let from = |variables: &[&str], keys: [&str; 2]| {
        let of_environment = variables.iter().find_map(|v| written(&std::env::var(v).ok()?));
        of_environment.or_else(|| keys.iter().find_map(|key| written(entries.get(key)?)))
    };
    let name = from(&["GIT_COMMITTER_NAME"], ["committer.name", "user.name"]);
    let email = from(&["GIT_COMMITTER_EMAIL"], ["committer.email", "user.email"])
        .or_else(|| written(&std::env::var("EMAIL").ok()?));
    Ok(Identity {
        configured: name.is_some() && email.is_some(),
        name: name.unwrap_or_else(|| "pleach".into()),
        email: email.unwrap_or_else(|| "pleach@localhost".into()),
    })
}

/// A name or address as git writes it into a commit: without what would end it there. `None` when nothing is left.
fn written(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|c| !matches!(c, '<' | '>' | '\n' | '\0')).collect();
    let crud = |c: char| c <= ' ' || matches!(c, '.' | ',' | ':' | ';' | '"' | '\\' | '\'');
    let text = text.trim_matches(crud);
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::written;

    #[test]
    fn names_as_git_writes_them() {
        for (given, expected) in [
            ("A U Thor", Some("A U Thor")),
            (" <a@example.org> ", Some("a@example.org")),
            ("\"A. <U>\".", Some("A. U")),
            (" .<>", None),
        ] {
            assert_eq!(written(given).as_deref(), expected, "{given}");
        }
    }
}
