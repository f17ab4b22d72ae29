//! Registers a worktree without checking it out: the one call of libgit2 that git2 does not wrap.
//!
//! `git_worktree_add` with its `checkout_options` set to nothing makes the administrative directory, the `.git` file
//! and HEAD; files and index are made afterwards, outside the lock. git2's `WorktreeAddOptions` always checks out.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use libgit2_sys as raw;

use super::GitError;

/// Adds a worktree `name` at `path` on the existing branch `branch`. Nothing is checked out; the parent of `path`
/// must exist. The caller holds the repository's lock: libgit2 does not take one.
pub fn add_worktree_without_checkout(common_dir: &Path, name: &str, path: &Path, branch: &str) -> Result<(), GitError> {
    let c_string = |bytes: &[u8]| {
        CString::new(bytes).map_err(|e| GitError::Io {
            doing: format!("cannot add the worktree {name}"),
            source: e.into(),
        })
    };
    let common_dir = c_string(common_dir.as_os_str().as_bytes())?;
    let reference = c_string(format!("refs/heads/{branch}").as_bytes())?;
    let c_name = c_string(name.as_bytes())?;
    let c_path = c_string(path.as_os_str().as_bytes())?;
    // git2 sets libgit2 up on its first use; this makes that first use now.
    let _ = git2::Version::get();
    // SAFETY: every pointer given to libgit2 is a live CString or an object that it returned itself with success,
    // freed once, in the reverse order; the options are initialised by libgit2's own initialiser.
    #[expect(unsafe_code, reason = "git2 does not offer a worktree without a checkout")]
    let code = unsafe {
        raw::init();
        let mut repository = ptr::null_mut();
        let mut head = ptr::null_mut();
        let mut code = raw::git_repository_open(&mut repository, common_dir.as_ptr());
        if code == 0 {
            code = raw::git_reference_lookup(&mut head, repository, reference.as_ptr());
        }
        if code == 0 {
            code = add(repository, head, &c_name, &c_path);
        }
        raw::git_reference_free(head);
        raw::git_repository_free(repository);
        code
    };
    if code == 0 {
        return Ok(());
    }
    Err(GitError::libgit2(format!("cannot add the worktree {}", path.display()))(git2::Error::last_error(code)))
}

/// # Safety
/// `repository` and `head` are live objects of libgit2, `head` one of `repository`.
#[expect(unsafe_code, reason = "the body of the call above")]
unsafe fn add(
    repository: *mut raw::git_repository,
    head: *mut raw::git_reference,
    name: &CString,
    path: &CString,
) -> i32 {
    // SAFETY: as the caller promises; a zeroed options struct is what the initialiser expects.
    unsafe {
        let mut options: raw::git_worktree_add_options = std::mem::zeroed();
        let code = raw::git_worktree_add_options_init(&mut options, raw::GIT_WORKTREE_ADD_OPTIONS_VERSION);
        if code != 0 {
            return code;
        }
        options.reference = head;
        options.checkout_options.checkout_strategy = raw::GIT_CHECKOUT_NONE;
        let mut worktree = ptr::null_mut();
        let code = raw::git_worktree_add(&mut worktree, repository, name.as_ptr(), path.as_ptr(), &options);
        raw::git_worktree_free(worktree);
        code
    }
}
