//! The configuration: whether it can be read, and whether what the repository's file has done was approved.

use std::path::PathBuf;

use super::{Check, Finding, Level};
use crate::error::Error;

/// The configuration as `run` would find it.
pub struct Configuration {
    /// The files that are there.
    pub files: Vec<PathBuf>,
    /// Why it would be refused.
    pub refused: Option<Error>,
}

/// Where there is none there is nothing to say.
pub(super) fn look(seen: &Configuration, found: &mut Vec<Finding>) {
    let check = Check::Config;
    if let Some(error) = &seen.refused {
        found.push(Finding::refusal(check, Level::Problem, error));
    } else if !seen.files.is_empty() {
        let files: Vec<String> = seen.files.iter().map(|path| path.display().to_string()).collect();
        found.push(check.ok(format!(
            "settings come from {}; to see them: pleach config",
            files.join(" and ")
        )));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigError;

    #[test]
    fn a_file_that_run_would_refuse_is_a_problem_and_none_is_nothing() {
        let said = |files: &[&str], refused| {
            let mut found = Vec::new();
            let files = files.iter().map(PathBuf::from).collect();
            look(&Configuration { files, refused }, &mut found);
            found
        };
        assert_eq!(said(&[], None), []);
        let good = said(&["/a/pleach.toml", "/b/config.toml"], None);
        assert_eq!(good[0].level, Level::Ok);
        assert!(good[0].message.contains("/a/pleach.toml and /b/config.toml"));
        let refused = Error::Config(ConfigError::NotApproved {
            path: "/a/pleach.toml".into(),
        });
        let bad = said(&["/a/pleach.toml"], Some(refused));
        assert_eq!((bad.len(), bad[0].level), (1, Level::Problem));
        assert!(bad[0].hint.as_ref().unwrap().contains("pleach trust"));
    }
}
