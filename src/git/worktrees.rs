//! Which checkouts a repository has, and what is checked out in them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::{Git, GitError};

/// The main checkout, or a linked one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// Where it is; its directory may be gone.
    pub path: PathBuf,
    /// Its branch, without `refs/heads/`; none for a detached HEAD.
    pub branch: Option<String>,
}

/// All checkouts, the main one first; a bare repository has no main one.
pub fn checkouts(git: &Git) -> Result<Vec<Checkout>, GitError> {
    let text = git.run(&["worktree", "list", "--porcelain", "-z"])?;
    Ok(parse(&text))
}

fn parse(text: &[u8]) -> Vec<Checkout> {
    let mut found: Vec<Checkout> = Vec::new();
    for line in text.split(|&b| b == 0) {
        if let Some(path) = line.strip_prefix(b"worktree ") {
            found.push(Checkout {
                path: OsStr::from_bytes(path).into(),
                branch: None,
            });
        } else if line == b"bare" {
            found.pop();
        } else if let (Some(branch), Some(last)) = (line.strip_prefix(b"branch refs/heads/"), found.last_mut()) {
            last.branch = Some(String::from_utf8_lossy(branch).into_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_lists() {
        let text = b"worktree /r\0HEAD 1\0branch refs/heads/main\0\0worktree /a\nb\0HEAD 1\0detached\0\0\
            worktree /c\0HEAD 1\0branch refs/heads/x/y\0locked why\0\0";
        let found: Vec<_> = parse(text).into_iter().map(|c| (c.path, c.branch)).collect();
        let branch = |name: &str| Some(name.to_owned());
        assert_eq!(
            found,
            [
                ("/r".into(), branch("main")),
                ("/a\nb".into(), None),
                ("/c".into(), branch("x/y")),
            ]
        );
        assert_eq!(parse(b"worktree /r.git\0bare\0\0"), []);
    }
}
