//! One of each error of merging and undoing.

use std::path::PathBuf;

use super::{REPOSITORY, SESSION, denied};
use crate::error::Error;
use crate::git::GitError;
use crate::landing::LandingError;

pub(super) fn all() -> Vec<Error> {
    let (branch, path) = (|| "main".to_owned(), || PathBuf::from(REPOSITORY));
    let files = || vec!["src/cart.rs".into(), "src/price.rs".into()];
    let landings = vec![
        LandingError::Placeholder("name".into()),
        LandingError::EmptyMessage,
        LandingError::NotAsPlanned {
            branch: "main-task-login".into(),
        },
        LandingError::Unsigned(GitError::Program {
            args: "commit-tree".into(),
            code: Some(128),
            stderr: "fatal: failed to write commit object".into(),
        }),
        LandingError::Foreign {
            setting: "gpg.program".into(),
            does: "sign the commits",
        },
        LandingError::Held { holder: Some(4711) },
        LandingError::CheckedOutTwice {
            branch: branch(),
            paths: vec![path(), "/home/you/shop-2".into()],
        },
        LandingError::NotItsCheckout {
            branch: branch(),
            path: path(),
        },
        LandingError::Busy {
            branch: branch(),
            what: "rebased",
            path: path(),
        },
        LandingError::Unfinished {
            what: "cherry-pick",
            path: path(),
        },
        LandingError::Locked {
            lock: format!("{REPOSITORY}/.git/index.lock").into(),
        },
        LandingError::InTheWay {
            path: path(),
            files: files(),
        },
        LandingError::AnotherName { branch: branch() },
        LandingError::Switched { branch: branch() },
        LandingError::Moved {
            branch: branch(),
            at: Some("9b1f0c7d2e5a48c6b3f7a90d1e2c3b4a5f60718d".into()),
        },
        LandingError::NothingToUndo,
        LandingError::CameAfter {
            branch: branch(),
            new: "4b825dc642cb6eb9a060e54bf8d69288fbee4904".into(),
            last: "9b1f0c7d2e5a Fix the tax of gift cards".into(),
        },
        LandingError::HalfDone {
            path: path(),
            files: files(),
            lock: None,
        },
        LandingError::Damaged {
            path: format!("{REPOSITORY}/.git/pleach/merges/{SESSION}.json").into(),
            why: "it is empty".into(),
        },
        LandingError::Io {
            doing: "lock",
            path: format!("{REPOSITORY}/.git/pleach/merge.lock").into(),
            source: denied(),
        },
    ];
    let others = vec![
        Error::TargetNoBranch { name: "v1.0".into() },
        Error::TaskHasNoBranch {
            session: SESSION[..8].into(),
            task: "login".into(),
        },
        Error::TargetRestless { branch: branch() },
    ];
    landings.into_iter().map(Error::Landing).chain(others).collect()
}
