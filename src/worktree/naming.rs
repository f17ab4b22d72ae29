//! What branches and worktrees are called. Pure.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::git::{Base, Place};
use crate::session::{Site, TaskPlace};
use crate::task::{TaskId, TaskSpec};

/// The directory, below the one of the worktrees, that removed ones are moved to.
pub const TRASH: &str = ".trash";

/// The directory, beside the trash, in which each session has one that its tasks share.
pub const SHARED: &str = ".shared";

/// The directory that the tasks of a session share. No part of the repository, nor of its git directory: there the tools
/// of agents do not write.
pub fn shared_dir(worktrees: &Path, session: Uuid) -> PathBuf {
    worktrees.join(SHARED).join(session.to_string())
}

/// Where worktrees go unless the user says otherwise: beside the repository, not in it, so that no tool walks up
/// from one of them into the main checkout.
pub fn worktrees_dir(place: &Place) -> PathBuf {
    let root = place.root();
    let mut name = root.file_name().unwrap_or_default().to_owned();
    if name.as_encoded_bytes().ends_with(b".git") && name.len() > 4 {
        name = Path::new(&name).file_stem().unwrap_or_default().to_owned();
    }
    name.push(".pleach");
    root.parent().unwrap_or(root).join(name)
}

/// How the name of a worktree begins in which the command of a merge is run; the id of the merge follows.
const SCRATCH_PREFIX: &str = "verify-";

/// The worktree, among the others, in which a merge runs its command.
pub fn scratch_worktree(worktrees: &Path, merge: Uuid) -> PathBuf {
    worktrees.join(format!("{SCRATCH_PREFIX}{merge}"))
}

/// The merge whose scratch worktree has this name.
pub fn merge_of_scratch(name: &str) -> Option<Uuid> {
    let id = Uuid::parse_str(name.strip_prefix(SCRATCH_PREFIX)?).ok()?;
    // Not in any of the other forms in which one can be written.
    (name.strip_prefix(SCRATCH_PREFIX) == Some(&id.to_string())).then_some(id)
}

/// The branch of a task: `<branch>-task-<id>`, on a detached HEAD `<short commit>-task-<id>`.
pub fn branch_of(base: &Base, task: &TaskId) -> String {
    let from = match &base.branch {
        Some(branch) => branch.as_str(),
        None => base.commit.get(..7).unwrap_or(&base.commit),
    };
    format!("{from}-task-{task}")
}

/// The branch that is used instead when that one exists already.
pub fn other_branch(branch: &str, session: Uuid) -> String {
    format!("{branch}-{}", short(session))
}

/// The beginning of a session's id, as it is shown and as it is enough to name the session.
pub fn short(session: Uuid) -> String {
    session.to_string().chars().take(8).collect()
}

/// How the names of a worktree's places in the trash begin; what makes each its own follows.
pub fn trash_prefix(worktree: &Path, session: Uuid) -> String {
    let name = worktree.file_name().unwrap_or_default().to_string_lossy();
    format!("{name}.{}.", short(session))
}

/// How long that is.
pub const OWN: usize = 6;

/// Whether a directory in the trash is one of pleach's, by its name.
pub fn is_trashed(name: &str) -> bool {
    let mut parts = name.rsplitn(3, '.');
    let (own, session, worktree) = (parts.next(), parts.next(), parts.next());
    let is = |part: Option<&str>, fits: fn(char) -> bool| part.is_some_and(|p| !p.is_empty() && p.chars().all(fits));
    is(own, |c| c.is_ascii_alphanumeric())
        && own.is_some_and(|own| own.len() == OWN)
        && is(session, |c| c.is_ascii_hexdigit())
        && session.is_some_and(|s| s.len() == 8)
        && worktree.is_some_and(|w| !w.is_empty())
}

/// How the name of something in the trash begins that is being deleted. No branch has such a name.
const GOING: char = '~';

/// The name of something in the trash from when on it is deleted.
pub fn going(name: &str) -> String {
    format!("{GOING}{name}")
}

/// Whether the deletion of something in the trash has begun.
pub fn is_going(name: &str) -> bool {
    name.starts_with(GOING) && is_trashed(name)
}

/// The branch and worktree meant for each task. `exists` says whether a branch is there already; it is not asked of
/// ids that are uuids, which are new, so that ten thousand of them cost nothing.
pub fn places(
    base: &Base,
    worktrees: &Path,
    session: Uuid,
    tasks: &[TaskSpec],
    exists: impl Fn(&str) -> bool,
) -> Vec<TaskPlace> {
    let place = |task: &TaskSpec| {
        let mut branch = branch_of(base, &task.id);
        if Uuid::parse_str(task.id.as_ref()).is_err() && exists(&branch) {
            branch = other_branch(&branch, session);
        }
        TaskPlace {
            worktree: worktrees.join(directory_of(&branch)),
            branch,
        }
    };
    tasks.iter().map(place).collect()
}

/// The site that is tried when `site` turned out to be taken; `None` when this was that already.
pub fn other_site(site: &Site, session: Uuid) -> Option<Site> {
    if site.branch.ends_with(&format!("-{}", short(session))) {
        return None;
    }
    let branch = other_branch(&site.branch, session);
    Some(Site {
        worktree: site.worktree.with_file_name(directory_of(&branch)),
        branch,
        base: site.base.clone(),
    })
}

/// A branch as the name of one directory.
pub fn directory_of(branch: &str) -> String {
    branch.replace('/', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(branch: Option<&str>) -> Base {
        Base {
            commit: "0123456789abcdef".into(),
            branch: branch.map(str::to_owned),
        }
    }

    fn task(id: &str) -> TaskSpec {
        TaskSpec {
            id: TaskId::parse(id).unwrap(),
            title: String::new(),
            prompt: String::new(),
            options: crate::task::TaskOptions::default(),
        }
    }

    #[test]
    fn branches_and_directories() {
        let session = Uuid::from_u128(0x1234_5678_0000_0000_0000_0000_0000_0000);
        let tasks = [task("a"), task("b")];
        let taken = |branch: &str| branch == "fix/x-task-b";
        let places = places(&base(Some("fix/x")), Path::new("/w"), session, &tasks, taken);
        assert_eq!(places[0].branch, "fix/x-task-a");
        assert_eq!(places[0].worktree, Path::new("/w/fix-x-task-a"));
        assert_eq!(places[1].branch, "fix/x-task-b-12345678");
        assert_eq!(places[1].worktree, Path::new("/w/fix-x-task-b-12345678"));
        assert_eq!(branch_of(&base(None), &tasks[0].id), "0123456-task-a");
    }

    #[test]
    fn another_site_is_tried_once() {
        let session = Uuid::from_u128(0x1234_5678_0000_0000_0000_0000_0000_0000);
        let site = Site {
            branch: "main-task-a".into(),
            worktree: "/w/main-task-a".into(),
            base: String::new(),
        };
        let other = other_site(&site, session).unwrap();
        assert_eq!(other.branch, "main-task-a-12345678");
        assert_eq!(other.worktree, Path::new("/w/main-task-a-12345678"));
        assert_eq!(other_site(&other, session), None);
    }

    #[test]
    fn what_is_in_the_trash_is_known_by_its_name() {
        let session = Uuid::from_u128(0x1234_abcd_0000_0000_0000_0000_0000_0000);
        let prefix = trash_prefix(Path::new("/w/main-task-a.b"), session);
        assert_eq!(prefix, "main-task-a.b.1234abcd.");
        let name = format!("{prefix}Xy12Zk");
        assert!(is_trashed(&name) && !is_going(&name));
        assert!(is_trashed(&going(&name)) && is_going(&going(&name)));
        for other in [
            "notes",
            "a.b.c",
            ".1234abcd.Xy12Zk",
            "a.1234abcd.",
            "a.1234abc.Xy12Zk",
            "a.1234abcx.Xy12Zk",
        ] {
            assert!(!is_trashed(other), "{other}");
        }
    }

    #[test]
    fn a_scratch_worktree_is_known_by_its_name() {
        let merge = Uuid::from_u128(0x1234_abcd_0000_0000_0000_0000_0000_0000);
        let path = scratch_worktree(Path::new("/w"), merge);
        assert_eq!(path, Path::new("/w/verify-1234abcd-0000-0000-0000-000000000000"));
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(merge_of_scratch(name), Some(merge));
        for other in [
            "verify-",
            "verify-x",
            &name.to_uppercase(),
            &name.replace("0-0", "00"),
            &name[7..],
        ] {
            assert_eq!(merge_of_scratch(other), None, "{other}");
        }
    }

    #[test]
    fn worktrees_lie_beside_the_repository() {
        for (common, expected) in [
            ("/src/app/.git", "/src/app.pleach"),
            ("/src/app.git", "/src/app.pleach"),
            ("/src/bare", "/src/bare.pleach"),
        ] {
            let place = Place {
                git_dir: common.into(),
                common_dir: common.into(),
                work_dir: None,
            };
            assert_eq!(worktrees_dir(&place), Path::new(expected));
        }
    }
}
