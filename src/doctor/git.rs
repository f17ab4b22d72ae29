//! The git program, and libgit2, which is built in.

use super::{Check, Finding, Level};
use crate::error::Error;
use crate::git::{GitError, OLDEST_TO_PLAN, OLDEST_TO_RUN, Version, version};

/// Looks for git; false when there is none.
pub(super) fn look(found: &mut Vec<Finding>) -> bool {
    let asked = version();
    let works = asked.is_ok();
    found.push(judge(asked));
    let (major, minor, patch) = git2::Version::get().libgit2_version();
    found.push(Check::Git.ok(format!("libgit2 {major}.{minor}.{patch} is built in")));
    works
}

fn judge(asked: Result<Version, GitError>) -> Finding {
    match asked {
        Err(e) => Finding::refusal(Check::Git, Level::Problem, &Error::from(e)),
        Ok(version) if version < OLDEST_TO_RUN => {
            Finding::refusal(Check::Git, Level::Problem, &Error::GitTooOld { found: version })
        }
        Ok(version) if version < OLDEST_TO_PLAN => Check::Git
            .warning(format!(
                "git {version} runs sessions, and cannot plan merges: that needs {OLDEST_TO_PLAN} or newer"
            ))
            .hint("upgrade git to have merge plans"),
        Ok(version) => Check::Git.ok(format!("git {version}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_version_is_good_for() {
        for (version, level) in [
            (Version(1, 9), Level::Problem),
            (Version(2, 29), Level::Problem),
            (Version(2, 30), Level::Warning),
            (Version(2, 40), Level::Warning),
            (Version(2, 41), Level::Ok),
            (Version(3, 0), Level::Ok),
        ] {
            let finding = judge(Ok(version));
            assert_eq!(finding.level, level, "{version}");
            assert_eq!(finding.hint.is_some(), level != Level::Ok);
        }
        assert_eq!(
            judge(Err(GitError::NoProgram(std::io::ErrorKind::NotFound.into()))).level,
            Level::Problem
        );
    }
}
