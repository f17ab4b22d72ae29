//! What to do about each error of the configuration.

use super::catalog::{broken, refused};
use super::{Error, Kind};
use crate::config::{ConfigError, REPOSITORY_FILE};
use crate::words::{few, quote};

/// The kind and the hint.
pub(super) fn remedy(e: &ConfigError) -> (Kind, String) {
    match e {
        ConfigError::Unreadable { path, .. } => refused(format!(
            "get the right to read it, or move it away; to see whose it is: ls -l {}",
            quote(path)
        )),
        ConfigError::NotAFile { path, .. } | ConfigError::TooLarge { path, .. } => {
            refused(format!("see what that is, and move it away: ls -ld {}", quote(path)))
        }
        ConfigError::NotUtf8 { .. } => refused("save it as UTF-8"),
        ConfigError::NotToml { .. } => {
            refused("write it as TOML: key = value, texts in quotes, lists in brackets, comments after #")
        }
        ConfigError::UnknownKey { near, home, .. } => refused(match (near, home) {
            (_, Some("")) => "it belongs into no table: write it above the first line in [brackets]".to_owned(),
            (_, Some(home)) => format!("it belongs into [{home}]"),
            (Some(near), None) => format!("did you mean \"{near}\"? see them all: pleach config --keys"),
            (None, None) => "see them all: pleach config --keys".to_owned(),
        }),
        ConfigError::WrongType { wanted, .. } | ConfigError::BadValue { wanted, .. } => {
            refused(format!("write {wanted}, or leave the key out"))
        }
        ConfigError::Variable { name, .. } => refused(format!("set it to such a value, or: unset {name}")),
        ConfigError::NoCommand { .. } => {
            refused("add its program and arguments, such as: command = [\"codex\", \"exec\"]")
        }
        ConfigError::AgentName { .. } => {
            refused("give it another name: letters, digits, - and _; claude, scripted and default are taken")
        }
        ConfigError::UnknownAgent { known, .. } => refused(format!(
            "name one that is known ({}), or describe it in {REPOSITORY_FILE} as [agent.NAME]",
            few(known)
        )),
        ConfigError::AgentProgram { path, line, .. } => refused(format!(
            "install it, or mend its command: {}, line {line}",
            path.display()
        )),
        ConfigError::NotApproved { .. } => refused("look at it, and approve it if you want that: pleach trust"),
        ConfigError::NobodyToApprove => refused("read it with pleach config, and if you want that: pleach trust -y"),
        ConfigError::NoPlaceForApprovals => refused("name a directory for state: export XDG_STATE_HOME=DIR"),
        ConfigError::ApprovalUnreadable { path, .. } => broken(format!(
            "get the right to read it, or remove it and approve again: rm {}",
            quote(path)
        )),
        ConfigError::ApprovalUnwritable { path, .. } => broken(format!(
            "make room, or get the right to write there: ls -ld {}",
            quote(path.parent().unwrap_or(path))
        )),
    }
}

impl From<ConfigError> for Error {
    fn from(e: ConfigError) -> Self {
        match e {
            ConfigError::Variable { name, value, problem } => Self::VariableInvalid { name, value, problem },
            other => Self::Config(other),
        }
    }
}
