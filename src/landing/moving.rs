//! Moves a target once, forward or back, with the checkout that has it: written down first, refused where anything of
//! the user's is in the way, and by compare-and-swap, so that nobody else's commit is lost.

use git2::{Oid, Repository};

use super::checkout::{Checkout, check_idle, check_unlocked, git_on, in_the_way, of_branch};
use super::interrupted::settle;
use super::record::{Intent, Merges, Record, State};
use super::{LandingError, reflog};
use crate::git::{self, Git, GitError};
use crate::store::failpoint;

/// Moves the target to what was built.
pub fn land(merges: &Merges, intent: Intent) -> Result<Record, LandingError> {
    carry_out(merges, Record::of_intent(intent), State::Landing)
}

/// A landing can be taken back only as long as its target is where it has put it.
pub fn check_undo(merges: &Merges, record: &Record) -> Result<(), LandingError> {
    let repository = Repository::open(merges.common_dir()).map_err(GitError::libgit2("cannot open the repository"))?;
    let Ok(at) = repository.refname_to_id(&record.target_ref()) else {
        return Err(moved_on(&repository, record));
    };
    if at.to_string() == record.new {
        return Ok(());
    }
    let commit = repository.find_commit(at).ok();
    let subject = commit
        .as_ref()
        .and_then(|c| c.summary().ok().flatten())
        .unwrap_or_default();
    Err(LandingError::CameAfter {
        branch: record.target.clone(),
        new: record.new.clone(),
        last: format!("{} {subject}", &at.to_string()[..12]),
    })
}

/// Moves the target back to where it was before a landing. What goes from it is kept under [`undone_pin`].
pub fn undo(merges: &Merges, record: Record) -> Result<Record, LandingError> {
    check_undo(merges, &record)?;
    carry_out(merges, record, State::Undoing)
}

/// The ref that keeps what was undone.
pub fn undone_pin(record: &Record) -> String {
    format!("refs/pleach/_undone/{}", record.id)
}

fn carry_out(merges: &Merges, mut record: Record, begun: State) -> Result<Record, LandingError> {
    let common_dir = merges.common_dir();
    record.state = begun;
    record.checkout = of_branch(common_dir, &record.target)?;
    let repository = Repository::open(common_dir).map_err(GitError::libgit2("cannot open the repository"))?;
    check_target(&repository, &record)?;
    check_unlocked(common_dir, &record.target_ref(), record.checkout.as_ref())?;
    let (from, to) = record.way();
    let checkout = record.checkout.clone();
    let git = match &checkout {
        None => Git::bare(common_dir),
        Some(checkout) => {
            check_idle(checkout)?;
            let git = git_on(common_dir, checkout, &record.drivers)?;
            let files = in_the_way(&git, checkout, from, to)?;
            if !files.is_empty() {
                return Err(LandingError::InTheWay {
                    path: checkout.path.clone(),
                    files,
                });
            }
            git
        }
    };
    let git = git.holding(merges.lock());
    if begun == State::Undoing {
        git::pin(&repository, &undone_pin(&record), &record.new)?;
    }
    merges.write(&record)?;
    failpoint::passed("intended");
    // git moves whatever is checked out when it starts. That was looked at long ago: files were compared since.
    let switched = of_branch(common_dir, &record.target).ok() != Some(checkout.clone());
    let moved = match (&checkout, begun) {
        _ if switched || check_target(&repository, &record).is_err() => Ok(()),
        (None, _) => move_target(&git, &record, reflog(&record)),
        (Some(_), State::Landing) => fast_forward(&git, &record),
        (Some(checkout), _) => go_back(&git, checkout, &record),
    };
    failpoint::passed("moved");
    // What git says of itself is one thing, where everything is now another.
    settle(merges, &mut record)?;
    match record.state {
        State::Landed if begun == State::Landing => Ok(record),
        State::Undone => Ok(record),
        _ => {
            check_target(&repository, &record)?;
            moved?;
            Err(LandingError::Switched { branch: record.target })
        }
    }
}

/// The target has to be where the move begins.
fn check_target(repository: &Repository, record: &Record) -> Result<(), LandingError> {
    let reference = repository.find_reference(&record.target_ref());
    let at = reference.as_ref().ok().and_then(git2::Reference::target);
    if reference.is_ok_and(|r| r.kind() == Some(git2::ReferenceType::Symbolic)) {
        return Err(LandingError::AnotherName {
            branch: record.target.clone(),
        });
    }
    let expected = match record.state {
        State::Undoing | State::Landed => &record.new,
        _ => &record.old,
    };
    match at {
        Some(at) if at.to_string() == *expected => Ok(()),
        _ => Err(moved_on(repository, record)),
    }
}

fn moved_on(repository: &Repository, record: &Record) -> LandingError {
    LandingError::Moved {
        branch: record.target.clone(),
        at: repository
            .refname_to_id(&record.target_ref())
            .ok()
            .as_ref()
            .map(Oid::to_string),
    }
}

/// Moves the ref, if it is where it is to come from.
pub(super) fn move_target(git: &Git, record: &Record, message: &str) -> Result<(), GitError> {
    let (from, to) = record.way();
    git.run(&["update-ref", "-m", message, &record.target_ref(), to, from])
        .map(drop)
}

/// As the user would: only git moves files and ref together.
fn fast_forward(git: &Git, record: &Record) -> Result<(), GitError> {
    let git = git
        .clone()
        .with_variable("GIT_REFLOG_ACTION", reflog(record))
        // What the user wants of every merge of this branch is not meant for this one.
        .with_variable("GIT_CONFIG_COUNT", "1")
        .with_variable("GIT_CONFIG_KEY_0", format!("branch.{}.mergeOptions", record.target))
        .with_variable("GIT_CONFIG_VALUE_0", "");
    git.run(&[
        "merge",
        "--quiet",
        "--ff-only",
        "--no-autostash",
        "--no-verify-signatures",
        "--no-overwrite-ignore",
        "--no-edit",
        &record.new,
    ])
    .map(drop)
}

/// git has no command that moves a branch back and keeps what is uncommitted beside: files first, then the ref.
fn go_back(git: &Git, checkout: &Checkout, record: &Record) -> Result<(), GitError> {
    let (from, to) = record.way();
    git.run(&["read-tree", "-m", "-u", from, to])?;
    failpoint::passed("files-moved");
    let moved = move_target(git, record, reflog(record));
    if moved.is_err() && checkout.path.is_dir() {
        git.run(&["read-tree", "-m", "-u", to, from])?;
    }
    moved
}
