//! The repository: whether it can be used, what kind of repository it is, and whose name is on commits.

use std::collections::HashMap;

use git2::{Oid, Repository};
use rustix::fs::{Access, access};

use super::survey::Survey;
use super::{Check, Finding, Level, NoRepository, Subject};
use crate::error::Error;
use crate::git::{self, Base, Git, Place};
use crate::words::{count, few};

/// A repository that could be opened, and what it holds.
pub(super) struct Seen<'a> {
    pub repository: &'a Repository,
    pub place: Place,
    /// On the checkout the user is in; none when the git program does not answer.
    pub git: Option<Git>,
    /// What HEAD is; none without a commit.
    pub base: Option<Base>,
    pub settings: Settings,
    /// What HEAD's commit holds; none without one, or when it cannot be read.
    pub survey: Option<Survey>,
}

/// git's configuration; of a setting that is given again and again the last.
#[derive(Debug, Default)]
pub(super) struct Settings(HashMap<String, String>);

impl Settings {
    fn of(git: &Git) -> Result<Self, git::GitError> {
        Ok(Self::parse(&git.run(&[
            "config",
            "--null",
            "--show-scope",
            "--list",
        ])?))
    }

    /// Reads scope, key and value of each entry. What pleach itself gives to git is not of the user's configuration.
    fn parse(text: &[u8]) -> Self {
        let words: Vec<&[u8]> = text.split(|&b| b == 0).collect();
        let entries = words.chunks_exact(2).filter(|pair| pair[0] != b"command");
        let read = |pair: &[&[u8]]| {
            let entry = String::from_utf8_lossy(pair[1]).into_owned();
            match entry.split_once('\n') {
                Some((key, value)) => (key.to_owned(), value.to_owned()),
                // A key alone is true.
                None => (entry, "true".to_owned()),
            }
        };
        Self(entries.map(read).collect())
    }

    /// The value of a setting, whose name is in lower case.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    fn any(&self, fits: impl Fn(&str) -> bool) -> bool {
        self.0.keys().any(|key| fits(key))
    }
}

/// Looks at the repository, and gives it on to the checks that need it.
pub(super) fn look<'a>(subject: &'a Subject, git_works: bool, found: &mut Vec<Finding>) -> Option<Seen<'a>> {
    let repository = match &subject.repository {
        Ok(repository) => repository,
        Err(NoRepository::None(e)) => {
            found.push(Finding::refusal(Check::Repository, Level::Warning, e));
            return None;
        }
        Err(NoRepository::Unusable(e)) => {
            found.push(Finding::refusal(Check::Repository, Level::Problem, e));
            return None;
        }
    };
    let place = git::place_of(repository);
    let base = base(repository, &place, found);
    writable(subject, &place, found);
    let mut git = git_works.then(|| Git::bare(&place.git_dir).with_limit(git::TO_TELL));
    let mut settings = Settings::default();
    match git.as_ref().map(Settings::of) {
        Some(Ok(read)) => {
            settings = read;
            identity(&place, found);
        }
        // It would say the same, or hang, whatever else it is asked.
        Some(Err(e)) => {
            found.push(refused(e));
            git = None;
        }
        None => {}
    }
    let survey = base.as_ref().and_then(|base| survey(repository, base, found));
    kind(repository, &settings, survey.as_ref(), found);
    Some(Seen {
        repository,
        place,
        git,
        base,
        settings,
        survey,
    })
}

fn refused(e: git::GitError) -> Finding {
    Finding::refusal(Check::Repository, Level::Problem, &Error::from(e))
}

fn base(repository: &Repository, place: &Place, found: &mut Vec<Finding>) -> Option<Base> {
    match git::base_of(repository) {
        Ok(Some(base)) => {
            let on = base
                .branch
                .as_deref()
                .map_or("a detached HEAD".into(), |b| format!("branch {b}"));
            let commit = base.commit.get(..7).unwrap_or(&base.commit);
            let root = place.root().display();
            found.push(Check::Repository.ok(format!("{root}, {on} at {commit}")));
            Some(base)
        }
        Ok(None) => {
            found.push(Finding::refusal(Check::Repository, Level::Problem, &Error::NoCommit));
            None
        }
        Err(e) => {
            found.push(refused(e));
            None
        }
    }
}

/// Whether branches and worktrees can be made.
fn writable(subject: &Subject, place: &Place, found: &mut Vec<Finding>) {
    if let Err(e) = access(&place.common_dir, Access::WRITE_OK | Access::EXEC_OK) {
        found.push(
            Check::Repository
                .problem(format!(
                    "the git directory {} cannot be written: {e}",
                    place.common_dir.display()
                ))
                .hint("run as its owner, or give yourself the right to write there"),
        );
    }
    if let Some((_, Err(e))) = &subject.worktrees {
        found.push(Finding::refusal(Check::Repository, Level::Problem, e));
    }
}

fn identity(place: &Place, found: &mut Vec<Finding>) {
    match git::identity(place) {
        Ok(who) if who.configured => {
            found.push(Check::Repository.ok(format!("commits are by {} <{}>", who.name, who.email)));
        }
        Ok(who) => found.push(
            Check::Repository
                .warning(format!(
                    "git does not know who you are: commits of agents and of what they leave will be by {} <{}>",
                    who.name, who.email
                ))
                .hint("git config --global user.name \"YOUR NAME\" && git config --global user.email YOUR@ADDRESS"),
        ),
        Err(e) => found.push(refused(e)),
    }
}

fn survey(repository: &Repository, base: &Base, found: &mut Vec<Finding>) -> Option<Survey> {
    let survey = || -> Result<Survey, git2::Error> {
        Survey::of(repository, &repository.find_commit(Oid::from_str(&base.commit)?)?)
    };
    match survey() {
        Ok(survey) => Some(survey),
        Err(e) => {
            found.push(
                Check::Repository
                    .problem(format!("the commit of HEAD cannot be read: {}", e.message()))
                    .hint("see what git itself says of it: git fsck"),
            );
            None
        }
    }
}

/// What is unusual about the repository, and what that means.
fn kind(repository: &Repository, settings: &Settings, survey: Option<&Survey>, found: &mut Vec<Finding>) {
    if repository.is_bare() {
        found.push(
            Check::Repository
                .note("it is bare: sessions run, and to merge you need a checkout")
                .hint("merge in a clone, or in a worktree: git worktree add DIR"),
        );
    }
    if repository.is_shallow() {
        found.push(
            Check::Repository
                .note("it is a shallow clone: sessions run, and old commits that a merge may need are not here")
                .hint("to have them: git fetch --unshallow"),
        );
    }
    let Some(survey) = survey else { return };
    let partial = settings.get("extensions.partialclone").is_some()
        || settings.any(|key| key.starts_with("remote.") && key.ends_with(".promisor"));
    if let Some(finding) = objects(partial, survey.missing, survey.files) {
        found.push(finding);
    }
    if !survey.submodules.is_empty() {
        found.push(
            Check::Repository
                .warning(format!(
                    "{} in it ({}): in worktrees their directories are empty",
                    count(survey.submodules.len(), "submodule"),
                    few(&survey.submodules)
                ))
                .hint("where an agent needs one, say so in its prompt: git submodule update --init PATH"),
        );
    }
}

/// What it means when objects of HEAD are not in the repository.
fn objects(partial: bool, missing: u64, files: u64) -> Option<Finding> {
    let what = match (partial, missing) {
        (true, 0) => {
            return Some(Check::Repository.note(format!(
                "it is a partial clone; all of HEAD ({}) is here, and pleach fetches nothing",
                count(files, "file")
            )));
        }
        (false, 0) => return None,
        (true, _) => "it is a partial clone, and pleach fetches nothing",
        (false, _) => "it is damaged",
    };
    let hint = match partial {
        true => "fetch what HEAD needs, now and after each pull: git archive -o /dev/null --format=tar HEAD",
        false => "see what git itself says of it: git fsck",
    };
    Some(
        Check::Repository
            .problem(format!(
                "{} of HEAD not in the repository ({what}): worktrees cannot be made",
                match missing {
                    1 => "1 object is".to_owned(),
                    _ => format!("{missing} objects are"),
                }
            ))
            .hint(hint),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_configuration_without_ours() {
        let text =
            b"global\0user.name\nA\nB\0local\0core.bare\0command\0core.hookspath\n/dev/null\0local\0core.bare\nfalse\0";
        let settings = Settings::parse(text);
        assert_eq!(settings.get("user.name"), Some("A\nB"));
        assert_eq!(settings.get("core.bare"), Some("false"));
        assert_eq!(settings.get("core.hookspath"), None);
        assert!(settings.any(|key| key.starts_with("user.")));
        assert_eq!(Settings::parse(b"local\0core.bare\0").get("core.bare"), Some("true"));
    }

    #[test]
    fn objects_that_are_not_there() {
        assert_eq!(objects(false, 0, 9), None);
        let level = |partial, missing| objects(partial, missing, 9).map(|f| f.level);
        assert_eq!(level(true, 0), Some(Level::Note));
        assert_eq!(level(true, 1), Some(Level::Problem));
        assert_eq!(level(false, 2), Some(Level::Problem));
        let damaged = objects(false, 2, 9).unwrap();
        assert!(damaged.message.starts_with("2 objects are"), "{damaged:?}");
        assert!(!damaged.message.contains("partial"), "{damaged:?}");
    }
}
