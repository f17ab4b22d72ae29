//! What the user has approved: a file each, named by the SHA-256 of the repository and of the exact text.
//!
//! They lie outside of every repository, where nothing that comes with one can write. An approval holds for one
//! repository: a clone of it is another. The text stands in the file too, so that it can be read, and is compared.

use std::fmt::Write;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::ConfigError;
use crate::store::atomic::{self, Durability};
use crate::store::{now_ms, path_json};

/// The approvals of one repository.
#[derive(Clone, Debug)]
pub struct Trust {
    directory: PathBuf,
    repository: PathBuf,
}

/// One approval, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Approval {
    schema: u32,
    #[serde(with = "path_json")]
    repository: PathBuf,
    text: String,
    approved_ms: u64,
}

impl Trust {
    /// Those in `directory`, which need not be there, of the repository with this common git dir.
    pub fn new(directory: impl Into<PathBuf>, repository: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            repository: repository.into(),
        }
    }

    fn path(&self, text: &str) -> PathBuf {
        let mut hash = Sha256::new();
        hash.update(b"pleach approval 1\0");
        hash.update(self.repository.as_os_str().as_bytes());
        hash.update(b"\0");
        hash.update(text.as_bytes());
        let mut name = String::new();
        for byte in hash.finalize() {
            let _ = write!(name, "{byte:02x}");
        }
        self.directory.join(name + ".json")
    }

    /// Whether this text was approved.
    pub fn is_approved(&self, text: &str) -> Result<bool, ConfigError> {
        let found = read(&self.path(text))?;
        Ok(found.is_some_and(|approval| approval.text == text && approval.repository == self.repository))
    }

    /// Remembers that it was.
    pub fn approve(&self, text: &str) -> Result<(), ConfigError> {
        let path = self.path(text);
        let approval = Approval {
            schema: 1,
            repository: self.repository.clone(),
            text: text.into(),
            approved_ms: now_ms(),
        };
        let made = atomic::private_dir(&self.directory);
        made.and_then(|()| atomic::write_json(&path, &approval, Durability::Synced))
            .map_err(|source| ConfigError::ApprovalUnwritable { path, source })
    }

    /// Forgets all that was approved of this repository, and says how many that were.
    pub fn forget(&self) -> Result<usize, ConfigError> {
        let unreadable = |source| ConfigError::ApprovalUnreadable {
            path: self.directory.clone(),
            source,
        };
        let entries = match fs::read_dir(&self.directory) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
            other => other.map_err(unreadable)?,
        };
        let mut forgotten = 0;
        for entry in entries {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            let Some(approval) = read(&path)? else { continue };
            if approval.repository == self.repository {
                fs::remove_file(&path).map_err(|source| ConfigError::ApprovalUnwritable { path, source })?;
                forgotten += 1;
            }
        }
        Ok(forgotten)
    }
}

fn read(path: &Path) -> Result<Option<Approval>, ConfigError> {
    let read = match fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.and_then(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::from)),
    };
    read.map(Some).map_err(|source| ConfigError::ApprovalUnreadable {
        path: path.into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    // Fault 51: files are private.
    #[test]
    fn an_approval_is_of_one_text_in_one_repository_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state/trust");
        let trust = Trust::new(&state, "/repo/.git");
        let clone = Trust::new(&state, "/clone/.git");
        assert!(!trust.is_approved("verify = \"a\"\n").unwrap());
        assert_eq!(trust.forget().unwrap(), 0);
        trust.approve("verify = \"a\"\n").unwrap();
        trust.approve("verify = \"a\"\n").unwrap();
        clone.approve("verify = \"b\"\n").unwrap();
        assert!(trust.is_approved("verify = \"a\"\n").unwrap());
        assert!(!trust.is_approved("verify = \"b\"\n").unwrap() && !clone.is_approved("verify = \"a\"\n").unwrap());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&state), 0o700);
        let files: Vec<PathBuf> = fs::read_dir(&state)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(files.len(), 2);
        assert!(files.iter().all(|path| mode(path) == 0o600));
        assert_eq!(trust.forget().unwrap(), 1);
        assert!(!trust.is_approved("verify = \"a\"\n").unwrap() && clone.is_approved("verify = \"b\"\n").unwrap());
    }

    #[test]
    fn what_is_damaged_is_named_and_approves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let trust = Trust::new(dir.path(), "/repo/.git");
        trust.approve("a").unwrap();
        fs::write(trust.path("a"), "").unwrap();
        let error = trust.is_approved("a").unwrap_err().to_string();
        assert!(error.contains(".json"), "{error}");
        // One that was moved to the name of another is none of that.
        trust.approve("a").unwrap();
        fs::rename(trust.path("a"), trust.path("b")).unwrap();
        assert!(!trust.is_approved("b").unwrap());
    }
}
