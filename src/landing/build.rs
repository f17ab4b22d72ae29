//! Makes the commits of a plan, off to the side: objects of the repository that no ref leads to until the target moves.
//!
//! Any part of the plan's steps can be built, in the plan's order; what has been built once is not built again. Where the
//! user signs commits, only what is to land is signed, at the end. git merges and signs, and nothing runs that was not
//! configured when the session started. It knows neither the target's ref nor a checkout.

use std::collections::HashMap;
use std::path::Path;

use git2::{Oid, Repository, Signature};
use tempfile::TempDir;

use super::LandingError;
use super::message::{self, About, Template};
use crate::git::{Drivers, Git, GitError, Identity, without_foreign};
use crate::merge::{Branch, Keeping, MergePlan, Mode};

/// What commits are made of.
#[derive(Clone, Debug)]
pub struct BuildRequest<'a> {
    /// The git dir that all worktrees share.
    pub common_dir: &'a Path,
    /// What is to be merged.
    pub plan: &'a MergePlan,
    /// Whose name stands on the commits.
    pub identity: &'a Identity,
    /// Drivers and programs that may be run.
    pub known: &'a Drivers,
    /// The session whose branches these are.
    pub session: &'a str,
    /// What the commits say, if the user says it.
    pub message: Option<&'a Template>,
}

/// Makes commits.
pub struct Builder<'a> {
    request: BuildRequest<'a>,
    git: Git,
    merges: Keeping,
    repository: Repository,
    /// The branch of each step.
    branches: Vec<&'a Branch>,
    signs: bool,
    target: Oid,
    /// What a step made on a commit.
    made: HashMap<(Oid, usize), Step>,
}

/// A commit of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Which step of the plan.
    pub step: usize,
    /// The commit; that before it when the step changes nothing.
    pub commit: Oid,
    /// Its tree.
    pub tree: Oid,
}

/// What came of building.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Built {
    /// All steps that were asked for.
    Whole {
        /// One for each step.
        commits: Vec<Made>,
        /// The last commit; the target's where there is none.
        tip: Oid,
        /// Its tree.
        tree: Oid,
    },
    /// A step conflicts, because others that were planned before it are not there.
    Collides {
        /// Which step of the plan.
        step: usize,
        /// Where.
        paths: Vec<String>,
    },
}

/// What a step makes on a commit.
#[derive(Clone)]
enum Step {
    Made(Made),
    Conflicts(Vec<String>),
}

impl<'a> Builder<'a> {
    /// Ready to build a plan. Everything is made at one time: that of now.
    pub fn new(request: BuildRequest<'a>) -> Result<Self, LandingError> {
        let bare = Git::bare(request.common_dir)
            // Nothing is fetched: a planted remote could name any command for that.
            .with_variable("GIT_NO_LAZY_FETCH", "1")
            .with_variable("GIT_ALLOW_PROTOCOL", "none");
        let (git, foreign) = without_foreign(bare, request.known)?;
        let now = Signature::now("pleach", "pleach@localhost").map_err(GitError::libgit2("cannot read the clock"))?;
        let date = date(&now);
        let Identity { name, email, .. } = request.identity;
        let git = git
            // What a branch is to lead to is on the disk before it does.
            .with_configuration(["i18n.commitEncoding=UTF-8", "core.fsync=committed"].map(str::to_owned))
            .with_variable("GIT_AUTHOR_NAME", name)
            .with_variable("GIT_AUTHOR_EMAIL", email)
            .with_variable("GIT_AUTHOR_DATE", &date)
            .with_variable("GIT_COMMITTER_NAME", name)
            .with_variable("GIT_COMMITTER_EMAIL", email)
            .with_variable("GIT_COMMITTER_DATE", &date);
        let signs = git.run(&["config", "--type=bool", "--default=false", "--get", "commit.gpgSign"])?;
        let signs = signs.trim_ascii() == b"true";
        if let Some(setting) = foreign.into_iter().find(|key| signs && key.starts_with("gpg.")) {
            return Err(LandingError::Foreign {
                setting,
                does: "sign the commits",
            });
        }
        let repository =
            Repository::open(request.common_dir).map_err(GitError::libgit2("cannot open the repository"))?;
        let of_step = |name: &String| request.plan.branches.iter().find(|b| b.name == *name);
        let branches = (request.plan.steps.iter())
            .filter_map(|step| of_step(&step.branch))
            .collect();
        Ok(Self {
            target: oid(&request.plan.target.commit)?,
            signs,
            merges: Keeping::new(&git)?,
            git,
            repository,
            branches,
            request,
            made: HashMap::new(),
        })
    }

    /// How many steps the plan has.
    pub fn steps(&self) -> usize {
        self.branches.len()
    }

    /// These steps of the plan, ascending, one after the other on its target.
    pub fn build(&mut self, steps: &[usize]) -> Result<Built, LandingError> {
        let mut tip = self.target;
        let mut commits = Vec::new();
        for (at, &step) in steps.iter().enumerate() {
            let made = match self.step(tip, step)? {
                Step::Made(made) => made,
                Step::Conflicts(paths) => return Ok(Built::Collides { step, paths }),
            };
            let planned = &self.request.plan.steps[step].tree;
            // As long as none is missing, it is just what was planned.
            if at == step && *planned != made.tree.to_string() {
                return Err(LandingError::NotAsPlanned {
                    branch: self.branches[step].name.clone(),
                });
            }
            tip = made.commit;
            commits.push(made);
        }
        let tree = self.tree_of(tip)?;
        Ok(Built::Whole { commits, tip, tree })
    }

    /// What has been built, as it is to land: where the user signs, the same commits with a signature.
    pub fn signed(&self, commits: Vec<Made>) -> Result<Vec<Made>, LandingError> {
        if !self.signs {
            return Ok(commits);
        }
        let (mut drafted, mut tip) = (self.target, self.target);
        let mut signed = Vec::new();
        for made in commits {
            if made.commit != drafted {
                let draft = self.commit_of(made.commit)?;
                let parents: Vec<Oid> = std::iter::once(tip).chain(draft.parent_ids().skip(1)).collect();
                let commit = self.write(made.tree, &parents, draft.message_raw_bytes(), "-S");
                tip = commit.map_err(LandingError::Unsigned)?;
                drafted = made.commit;
            }
            signed.push(Made { commit: tip, ..made });
        }
        Ok(signed)
    }

    fn step(&mut self, ours: Oid, step: usize) -> Result<Step, LandingError> {
        if let Some(known) = self.made.get(&(ours, step)) {
            return Ok(known.clone());
        }
        let branch = self.branches[step];
        let theirs = oid(&branch.head)?;
        let done = match self.merges.merge(ours, theirs)? {
            Err(paths) => Step::Conflicts(paths),
            Ok(tree) => Step::Made(Made {
                step,
                commit: self.commit(branch, ours, theirs, tree)?,
                tree,
            }),
        };
        self.made.insert((ours, step), done.clone());
        Ok(done)
    }

    /// The commit of a merge, not signed; the one before it where git makes none.
    fn commit(&self, branch: &Branch, ours: Oid, theirs: Oid, tree: Oid) -> Result<Oid, LandingError> {
        let parents: &[Oid] = match self.request.plan.mode {
            Mode::Merge if self.contains(ours, theirs)? => return Ok(ours),
            Mode::Squash if self.tree_of(ours)? == tree => return Ok(ours),
            Mode::Merge => &[ours, theirs],
            Mode::Squash => &[ours],
        };
        let message = self.message(branch, ours)?.replace('\0', "");
        Ok(self.write(tree, parents, message.as_bytes(), "--no-gpg-sign")?)
    }

    fn write(&self, tree: Oid, parents: &[Oid], message: &[u8], sign: &str) -> Result<Oid, GitError> {
        let tree = tree.to_string();
        let parents: Vec<String> = parents.iter().map(|parent| format!("-p{parent}")).collect();
        let mut args = vec!["commit-tree", sign, &tree];
        args.extend(parents.iter().map(String::as_str));
        args.extend(["-F", "-"]);
        let made = self.git.feed(&args, message)?;
        oid(String::from_utf8_lossy(&made).trim())
    }

    fn contains(&self, ours: Oid, theirs: Oid) -> Result<bool, LandingError> {
        let follows = self.repository.graph_descendant_of(ours, theirs);
        let follows = follows.map_err(GitError::libgit2("cannot compare two commits"))?;
        Ok(ours == theirs || follows)
    }

    fn message(&self, branch: &Branch, ours: Oid) -> Result<String, LandingError> {
        let about = About {
            branch: &branch.name,
            task: branch.task_id.as_deref().unwrap_or_default(),
            title: &branch.title,
            session: self.request.session,
            target: self.request.plan.target.branch.as_deref().unwrap_or("HEAD"),
        };
        if let Some(template) = self.request.message {
            return Ok(template.fill(&about));
        }
        match self.request.plan.mode {
            Mode::Merge => Ok(message::of_merge(
                &self.words_of_git(branch, ours, about.target)?,
                &about,
            )),
            Mode::Squash => Ok(message::of_squash(&self.messages(branch)?, &about)),
        }
    }

    /// What `git merge` would say, with what `merge.log` and the like add to it.
    fn words_of_git(&self, branch: &Branch, ours: Oid, target: &str) -> Result<String, LandingError> {
        // It looks at HEAD, which is to be what was merged so far.
        let view = View::at(self.request.common_dir, ours).map_err(GitError::io("cannot make a temporary git dir"))?;
        let kind = if branch.is_branch { "branch" } else { "commit" };
        let input = format!("{}\t\t{kind} '{}' of .\n", branch.head, branch.name);
        let git = Git::bare(view.dir.path());
        let said = git.feed(&["fmt-merge-msg", "--into-name", target], input.as_bytes())?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    /// The messages of a branch's commits, the oldest first.
    fn messages(&self, branch: &Branch) -> Result<Vec<String>, LandingError> {
        // git knows in which encoding each was written.
        let args = [
            "log",
            "-z",
            "-s",
            "--format=%B",
            "--encoding=UTF-8",
            "--no-show-signature",
        ];
        let (order, target) = (["--topo-order", "--reverse"], self.target.to_string());
        let said = (self.git).run(&[&args[..], &order, &[&branch.head, "--not", &target]].concat())?;
        let messages = said.split(|&b| b == 0);
        Ok(messages.map(|m| String::from_utf8_lossy(m).into_owned()).collect())
    }

    fn tree_of(&self, commit: Oid) -> Result<Oid, LandingError> {
        Ok(self.commit_of(commit)?.tree_id())
    }

    fn commit_of(&self, commit: Oid) -> Result<git2::Commit<'_>, GitError> {
        let found = self.repository.find_commit(commit);
        found.map_err(GitError::libgit2("cannot read a commit"))
    }
}

/// A git dir of our own whose HEAD is a commit.
struct View {
    dir: TempDir,
}

impl View {
    fn at(common_dir: &Path, head: Oid) -> std::io::Result<Self> {
        let dir = tempfile::tempdir()?;
        // A link, because the file takes no path with a line break.
        std::os::unix::fs::symlink(common_dir, dir.path().join("common"))?;
        std::fs::write(dir.path().join("commondir"), "common\n")?;
        std::fs::write(dir.path().join("HEAD"), format!("{head}\n"))?;
        Ok(Self { dir })
    }
}

fn oid(text: &str) -> Result<Oid, GitError> {
    Oid::from_str(text).map_err(GitError::libgit2(format!("{text:?} is not the id of a commit or tree")))
}

/// The date of a signature as git reads it.
fn date(signature: &Signature) -> String {
    let when = signature.when();
    let minutes = when.offset_minutes();
    let (hours, rest) = (minutes.abs() / 60, minutes.abs() % 60);
    format!("@{} {}{hours:02}{rest:02}", when.seconds(), when.sign())
}
