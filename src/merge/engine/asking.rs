//! Asks one process of `git merge-tree` what some merges give, with what `git merge` heeds besides the commits.
//!
//! `engine` says which merges. Attributes are those of a commit: `--attr-source` names it. With `merge.renormalize` git
//! looks at those that come of the merge first; it does not when their source is named, so they lie in a work tree then.

use std::fs::{create_dir_all, write};
use std::path::{Path, PathBuf};

use git2::Oid;
use tempfile::TempDir;

use super::{Ask, Batch};
use crate::git::{Git, GitError, Version, version};
use crate::merge::answers::{self, Answer};
use crate::merge::plan::PlanError;

/// Since then `git merge` heeds `diff.algorithm`.
const HEEDS_ALGORITHM: Version = Version(2, 47);

/// How git is asked.
pub(in crate::merge) struct Asking {
    pub(super) git: Git,
    scratch: PathBuf,
    /// Whether files are made to have the same line ends, and go through the same filters, before they are merged.
    renormalizes: bool,
    /// How lines are compared: some versions of `git merge-tree` do not look at the setting by themselves.
    algorithm: Option<String>,
}

impl Asking {
    /// By this git, with temporary files in `scratch`.
    pub(in crate::merge) fn new(git: Git, scratch: &Path) -> Result<Self, GitError> {
        let setting = |name: &str, kind: &str| -> Result<Option<String>, GitError> {
            let (code, value) = git.ask(&["config", kind, "--get", name], &[0, 1])?;
            let value = String::from_utf8_lossy(&value);
            Ok((code == 0).then(|| value.trim_end().to_owned()))
        };
        let mut asking = Self {
            scratch: scratch.to_owned(),
            renormalizes: setting("merge.renormalize", "--type=bool")?.as_deref() == Some("true"),
            algorithm: setting("diff.algorithm", "--no-type")?,
            git,
        };
        if asking.algorithm.is_some() && version()? < HEEDS_ALGORITHM {
            asking.algorithm = None;
        }
        Ok(asking)
    }

    /// What git says of a batch, whose objects are thrown away at once if there is a place for that.
    pub(super) fn answers_of(
        &self,
        asked: &[Ask],
        batch: &Batch,
        scratch: Option<&Path>,
    ) -> Result<Vec<Answer>, PlanError> {
        let Some(scratch) = scratch else {
            return self.answers(&self.git, asked, batch);
        };
        let unmade = "cannot make a directory for temporary objects";
        let own = tempfile::tempdir_in(scratch).map_err(GitError::io(unmade))?;
        let objects = own.path().join("objects");
        create_dir_all(objects.join("info")).map_err(GitError::io(unmade))?;
        write(objects.join("info/alternates"), "../../objects\n../../alternate\n").map_err(GitError::io(unmade))?;
        let git = self.git.clone().with_variable("GIT_OBJECT_DIRECTORY", objects);
        self.answers(&git, asked, batch)
    }

    /// What git says of these merges, all of them. When it fails in one of them, each is asked for alone, to say which.
    fn answers(&self, git: &Git, asked: &[Ask], batch: &Batch) -> Result<Vec<Answer>, PlanError> {
        let asked: Vec<Ask> = batch.places.iter().map(|place| asked[*place]).collect();
        match self.run(git, batch.attributes, &asked) {
            Err(GitError::Program { .. }) => {
                let alone = |ask: &Ask| self.alone(git, *ask).map_err(|e| ask.failed(e));
                asked.iter().map(alone).collect()
            }
            answers => Ok(answers?),
        }
    }

    /// What git says of one merge.
    pub(in crate::merge) fn one(&self, ask: Ask) -> Result<Answer, GitError> {
        self.alone(&self.git, ask)
    }

    /// What another git says of one merge, with the attributes of another tree.
    pub(super) fn otherwise(&self, git: &Git, attributes: Oid, ask: Ask) -> Result<Answer, GitError> {
        self.run(git, attributes, &[ask])?.pop().ok_or_else(incomplete)
    }

    fn alone(&self, git: &Git, ask: Ask) -> Result<Answer, GitError> {
        self.otherwise(git, ask.ours, ask)
    }

    fn run(&self, git: &Git, attributes: Oid, asked: &[Ask]) -> Result<Vec<Answer>, GitError> {
        let mut arguments = vec!["merge-tree".to_owned(), "--stdin".to_owned()];
        if let Some(algorithm) = &self.algorithm {
            arguments.push(format!("-Xdiff-algorithm={algorithm}"));
        }
        let input: String = asked.iter().map(|a| format!("{} {}\n", a.ours, a.theirs)).collect();
        let output = if self.renormalizes {
            let work_tree = self.work_tree_of(attributes)?;
            let git = git.clone().with_work_tree(work_tree.path());
            git.feed(&arguments, input.as_bytes())?
        } else {
            arguments.insert(0, format!("--attr-source={attributes}"));
            git.feed(&arguments, input.as_bytes())?
        };
        let whole = |answers: &Vec<Answer>| answers.len() == asked.len();
        answers::read(&output).filter(whole).ok_or_else(incomplete)
    }

    /// A work tree with the files of attributes of a commit, as they are checked out, and nothing else.
    fn work_tree_of(&self, commit: Oid) -> Result<TempDir, GitError> {
        let unmade = "cannot make a directory for temporary files";
        let work_tree = tempfile::tempdir_in(&self.scratch).map_err(GitError::io(unmade))?;
        let index = tempfile::tempdir_in(&self.scratch).map_err(GitError::io(unmade))?;
        let git = self.git.clone().with_work_tree(work_tree.path());
        let git = git.with_variable("GIT_INDEX_FILE", index.path().join("index"));
        git.run(&["read-tree", &commit.to_string()])?;
        let files = git.run(&["ls-files", "-z", "--", ":(glob)**/.gitattributes"])?;
        if !files.is_empty() {
            git.feed(&["checkout-index", "-z", "--stdin"], &files)?;
        }
        Ok(work_tree)
    }
}

pub(super) fn incomplete() -> GitError {
    GitError::Program {
        args: "merge-tree --stdin".into(),
        code: Some(0),
        stderr: "it did not say what every merge gives".into(),
    }
}
