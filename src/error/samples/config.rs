//! One of each error of the configuration.

use std::path::PathBuf;

use super::{REPOSITORY, denied, full};
use crate::config::{ConfigError, Spot};
use crate::error::Error;

pub(super) fn all() -> Vec<Error> {
    let path = || PathBuf::from(format!("{REPOSITORY}/pleach.toml"));
    let approval = || PathBuf::from("/home/you/.local/state/pleach/trust/5d41402abc.json");
    let spot = || Spot {
        path: path(),
        line: 3,
        column: 1,
    };
    let errors = vec![
        ConfigError::Unreadable {
            path: path(),
            source: denied(),
        },
        ConfigError::NotAFile {
            path: path(),
            what: "a directory",
        },
        ConfigError::TooLarge {
            path: path(),
            most: 1 << 20,
        },
        ConfigError::NotUtf8 { spot: spot() },
        ConfigError::NotToml {
            spot: spot(),
            problem: "string values must be quoted".into(),
        },
        ConfigError::UnknownKey {
            spot: spot(),
            key: "max_paralel".into(),
            table: None,
            near: Some("max_parallel"),
            home: None,
        },
        ConfigError::WrongType {
            spot: spot(),
            key: "fail_fast".into(),
            found: "a number",
            wanted: "true or false",
        },
        ConfigError::BadValue {
            spot: spot(),
            what: "\"log_dir\" is \"~/logs\"".into(),
            wanted: "a path in quotes",
            problem: "must be in full: ~ stands for nothing".into(),
        },
        ConfigError::NoCommand {
            spot: spot(),
            name: "codex".into(),
        },
        ConfigError::AgentName {
            spot: spot(),
            name: "claude".into(),
        },
        ConfigError::UnknownAgent {
            name: "codx".into(),
            by: "task 3, login".into(),
            known: vec!["claude".into(), "scripted".into(), "codex".into()],
        },
        ConfigError::AgentProgram {
            name: "codex".into(),
            program: "codex".into(),
            problem: "is not there",
            path: path(),
            line: 12,
        },
        ConfigError::NotApproved { path: path() },
        ConfigError::NobodyToApprove,
        ConfigError::NoPlaceForApprovals,
        ConfigError::ApprovalUnreadable {
            path: approval(),
            source: denied(),
        },
        ConfigError::ApprovalUnwritable {
            path: approval(),
            source: full(),
        },
    ];
    errors.into_iter().map(Error::Config).collect()
}
