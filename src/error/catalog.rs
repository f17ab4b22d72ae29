//! The list of all errors that a user can see. No command can show one that is not in it.
//!
//! A new one is a variant with its message, an arm in [`Error::remedy`] with its kind and hint, and a sample in
//! `samples.rs`: without the second it does not compile, without the third a test fails. Message and hint are one line
//! each, the message without a next step, the hint with nothing else; if a hint ends in a command, that can be pasted.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::AroundError;
use super::Kind;
use crate::agent::claude::LONGEST_PROMPT;
use crate::config::ConfigError;
use crate::git::{GitError, OLDEST_TO_RUN, Version};
use crate::landing::LandingError;
use crate::landing::verify::Ending;
use crate::merge::PlanError;
use crate::session::SessionError;
use crate::supervisor::{LaunchError, SupervisorError};
use crate::task::input::InputError;
use crate::words::{dollars, few, quote};
use crate::worktree::WorktreeError;

/// An error for the user. Its name in the documentation is that of the variant, in lower case with hyphens.
#[derive(Debug, thiserror::Error)]
#[cfg_attr(
    test,
    derive(strum::EnumDiscriminants),
    strum_discriminants(
        name(Name),
        vis(pub(super)),
        derive(strum::EnumIter, strum::IntoStaticStr),
        strum(serialize_all = "kebab-case")
    )
)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    /// It was deleted, or may not be entered.
    #[error("the current directory cannot be used: {0}")]
    NoCurrentDirectory(io::Error),
    /// The disk is full, most of all.
    #[error("cannot write the output: {0}")]
    OutputUnwritable(io::Error),

    /// Every problem of a source of tasks; what they are stands in `task::input`.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The agent would refuse it.
    #[error("task {number} is longer than {} MB, which the agent does not take", LONGEST_PROMPT / 1_000_000)]
    TaskTooLong { number: usize },

    /// `run` was given outside of any.
    #[error("{} is in no git repository", directory.display())]
    NoRepository { directory: PathBuf },
    /// HEAD is unborn.
    #[error("the repository has no commit yet: there is nothing to start from")]
    NoCommit,
    /// Its configuration could run anything.
    #[error("{source}")]
    RepositoryNotYours { path: PathBuf, source: GitError },
    /// libgit2 does not know its format.
    #[error("{0}")]
    RepositoryUnsupported(GitError),
    /// Something in it cannot be read, and nothing was started yet.
    #[error("{0}")]
    RepositoryUnusable(GitError),
    /// libgit2 refused in the middle of something.
    #[error("{0}")]
    RepositoryBroken(GitError),
    /// The program is not in PATH.
    #[error("{0}")]
    NoGit(GitError),
    /// What is called git is something else.
    #[error("{0}")]
    GitVersionUnknown(GitError),
    /// For `run`.
    #[error("git {found} is too old: pleach needs {OLDEST_TO_RUN} or newer")]
    GitTooOld { found: Version },
    /// The program ended with an error.
    #[error("{0}")]
    GitFailed(GitError),
    /// The program was killed.
    #[error("{0}")]
    GitTimedOut(GitError),
    /// It would run a program, and is not of the time before the agents.
    #[error("{source}")]
    GitSettingForeign { setting: String, source: GitError },
    /// What git prints, or needs for a moment, has no place.
    #[error("{0}")]
    GitFiles(GitError),

    /// `..` after something that does not exist.
    #[error("the directory for worktrees {} goes through one that is not there", directory.display())]
    WorktreeDirUnknown { directory: PathBuf },
    /// A file stands where a directory has to be.
    #[error("worktrees cannot be made in {}: {} is not a directory", directory.display(), there.display())]
    WorktreeDirBlocked { directory: PathBuf, there: PathBuf },
    /// The user may not write there.
    #[error("worktrees cannot be made in {}: {} cannot be written: {source}", directory.display(), there.display())]
    WorktreeDirUnwritable {
        directory: PathBuf,
        there: PathBuf,
        source: Errno,
    },
    /// Nothing was named, and PATH has none.
    #[error("Claude Code is not installed: there is no claude in PATH")]
    AgentNotInstalled,
    /// What was named cannot be started.
    #[error("the agent program {} ({named_by}) {problem}", program.display())]
    AgentUnusable {
        program: PathBuf,
        named_by: &'static str,
        problem: &'static str,
    },
    /// Claude Code itself would refuse.
    #[error("Claude Code refuses to skip its permission checks for root")]
    RootNeedsPermissions,
    /// `MAX_CLAUDE_WORKERS`
    #[error("{name} is {value:?}: it {problem}")]
    VariableInvalid {
        name: &'static str,
        value: String,
        problem: String,
    },
    /// Everything about the files and what of them was approved; what there is stands in `config`.
    #[error("{0}")]
    Config(ConfigError),
    /// Neither a repository nor a home.
    #[error("there is no place for the results: this is no git repository, and HOME is not set")]
    NoPlaceForResults,
    /// `PLEACH_MAX_AGENTS` without a home.
    #[error("there is no place for the locks of PLEACH_MAX_AGENTS: HOME is not set")]
    NoPlaceForAgents,
    /// It cannot be made, or others may write there.
    #[error("places for agents cannot be kept in {}: {source}", directory.display())]
    AgentPlacesUnusable { directory: PathBuf, source: io::Error },
    /// A session's files cannot be made.
    #[error("{0}")]
    SessionUnwritable(SessionError),
    /// The scripted agent is this program.
    #[error("cannot find this program itself: {0}")]
    ProgramNotFound(io::Error),
    /// No files or threads are left.
    #[error("cannot catch signals: {0}")]
    SignalsNotCaught(io::Error),
    /// No process can be made.
    #[error("{0}")]
    SupervisorNotStarted(LaunchError),
    /// It said why in its log.
    #[error("{source}")]
    SupervisorEnded { log: PathBuf, source: LaunchError },
    /// Its repository cannot be made.
    #[error("cannot make the repository of the demo: {0}")]
    DemoNotMade(Box<dyn std::error::Error + Send + Sync>),

    /// Nothing has run here.
    #[error("{0}")]
    NoSession(SessionError),
    /// No id begins so.
    #[error("{0}")]
    SessionNotFound(SessionError),
    /// No id of a session begins so, but it is a task of the newest.
    #[error("{source}")]
    TaskWithoutSession { source: SessionError, arguments: String },
    /// More than one id begins so.
    #[error("{0}")]
    SessionAmbiguous(SessionError),
    /// No id of a task begins so, and it is no number of one.
    #[error("session {session} has no task {query:?}")]
    TaskNotFound { session: String, query: String },
    /// More than one id of a task begins so.
    #[error("{query:?} is the beginning of {} tasks: {}", ids.len(), few(ids))]
    TaskAmbiguous { query: String, ids: Vec<String> },
    /// A file or directory of pleach's cannot be read at all.
    #[error("{source}")]
    SessionUnreadable { path: PathBuf, source: SessionError },
    /// Written by another version.
    #[error("{0}")]
    FormatUnknown(SessionError),
    /// A file is no JSON of its kind.
    #[error("{0}")]
    SessionDamaged(SessionError),
    /// A line of the journal is none.
    #[error("{0}")]
    JournalDamaged(SessionError),
    /// Lines are missing, or changed.
    #[error("{0}")]
    JournalImpossible(SessionError),

    /// The session has no branches.
    #[error("the session ran without worktrees: it has no branches to merge")]
    NothingToMerge { directory: PathBuf },
    /// The branch that the session started from is not there.
    #[error("{source}")]
    TargetGone {
        branch: String,
        commit: String,
        source: PlanError,
    },
    /// For plans.
    #[error("{0}")]
    GitTooOldToPlan(PlanError),
    /// A merge that git does not get to the end of.
    #[error("{0}")]
    MergeNotForeseen(PlanError),
    /// `plan --branch` was given outside of any.
    #[error("{} is in no git repository", directory.display())]
    NotInRepository { directory: PathBuf },
    /// `--branch`, `--onto`
    #[error("there is no branch, tag or commit {name:?} here")]
    NoRevision { name: String },

    /// Everything that keeps a plan from being carried out, or taken back; what there is stands in `landing`.
    #[error("{0}")]
    Landing(LandingError),
    /// Everything about files that answers and logs go to; what there is stands in `around`.
    #[error("{0}")]
    Around(AroundError),
    /// A detached HEAD, a tag or a commit.
    #[error("{name} is no branch: there is nothing that could be moved")]
    TargetNoBranch { name: String },
    /// A task that was named has none.
    #[error("task {task} has no branch that could be merged")]
    TaskHasNoBranch { session: String, task: String },
    /// Again and again somebody commits on it.
    #[error("{branch} has moved again and again while the merge was made ready")]
    TargetRestless { branch: String },
    /// For `diff` and `open`.
    #[error("the session ran without worktrees: its tasks have no branches")]
    NoBranches { directory: PathBuf },
    /// It waits for its turn, or never began.
    #[error("task {task} has no work yet")]
    NoWorkYet { session: String, task: String },
    /// Somebody has deleted it.
    #[error("the branch {branch} of task {task} is gone")]
    BranchGone {
        session: String,
        task: String,
        branch: String,
    },
    /// Something that is no worktree is in its place.
    #[error("{source}")]
    WorktreeBlocked { branch: String, source: WorktreeError },
    /// No disk, most of all.
    #[error("{source}")]
    WorktreeNotMade { branch: String, source: WorktreeError },
    /// `$SHELL`
    #[error("the shell {} cannot be started: {source}", shell.display())]
    ShellNotStarted { shell: PathBuf, source: io::Error },

    /// A request to stop cannot be left.
    #[error("cannot ask the supervisor to stop, in {}: {source}", directory.display())]
    StopNotAsked { directory: PathBuf, source: io::Error },

    /// Of a session or task, for `recover`.
    #[error("nothing is kept of {what}")]
    NothingKept { what: String },
    /// `--from`
    #[error("{name:?} is not among what is kept: {}", few(there))]
    NotKept { name: String, there: Vec<String> },
    /// More than one task has something.
    #[error("work of {} tasks is kept: {}", tasks.len(), few(tasks))]
    TaskNotNamed { session: String, tasks: Vec<String> },
    /// git would refuse it.
    #[error("{name:?} cannot be the name of a branch")]
    BranchInvalid { name: String },
    /// Nothing is written over.
    #[error("there is a branch {name} already")]
    BranchTaken { name: String },

    /// `--verify`
    #[error("the command to verify with fails on {target} itself, and nothing was merged: {ending}")]
    TargetFailsVerify { target: String, ending: Ending },

    /// Neither a terminal nor `-y`.
    #[error("nobody can be asked here whether that is meant: this is no terminal")]
    NobodyToAsk,
    /// Its supervisor lives.
    #[error("session {session} is at work: nothing of it can be removed")]
    SessionAtWork { session: String },

    /// A supervisor is at work on it, or about to be.
    #[error("session {session} is held by {}", holder.map_or("another process".into(), |pid| format!("process {pid}")))]
    SessionHeld { session: String, holder: Option<i32> },
    /// No more tasks start.
    #[error("session {session} has cost {}, which is above its limit of {}", dollars(*cost), dollars(*limit))]
    CostLimitReached { session: String, limit: f64, cost: f64 },
    /// Or removed, or this is a copy of it.
    #[error("the repository of session {session} is not at {} any more", was.display())]
    RepositoryMoved { session: String, was: PathBuf },
    /// The repository is another, or has lost it.
    #[error("the base of session {session} is gone from its repository: {commit}")]
    BaseGone { session: String, commit: String },
    /// Of a session without worktrees.
    #[error("the directory in which the agents of the session work is gone: {}", directory.display())]
    DirectoryGone { directory: PathBuf },
    /// It was removed, or replaced.
    #[error("the agent program {} of the session {problem}", program.display())]
    AgentGone { program: PathBuf, problem: &'static str },

    /// Said in the supervisor's log.
    #[error("{0}")]
    SupervisorFailed(SupervisorError),
    /// Said to the supervisor.
    #[error("the runner of {} failed: {source}", directory.display())]
    RunnerFailed { directory: PathBuf, source: io::Error },
}

pub(super) fn refused(hint: impl Into<String>) -> (Kind, String) {
    (Kind::Refused, hint.into())
}

pub(super) fn broken(hint: impl Into<String>) -> (Kind, String) {
    (Kind::Broken, hint.into())
}

impl Error {
    /// Whose turn it is, and what to do next.
    #[expect(clippy::too_many_lines, reason = "it is a table")]
    fn remedy(&self) -> (Kind, String) {
        match self {
            Self::NoCurrentDirectory(_) => refused("it may have been deleted: go to one that is there, such as: cd ~"),
            Self::OutputUnwritable(_) => {
                broken("make room where it goes and ask again; a session that was started goes on: pleach list")
            }

            Self::Input(e) => refused(e.hint()),
            Self::TaskTooLong { .. } => {
                refused("put the material into a file of the repository, and name it in the prompt")
            }

            Self::NoRepository { .. } => refused(
                "work in place with --no-worktree, or make it one: \
                 git init && git add -A && git commit --allow-empty -m start",
            ),
            Self::NoCommit => refused("make one: git add -A && git commit --allow-empty -m start"),
            Self::RepositoryNotYours { path, .. } => refused(format!(
                "if you trust whoever it is: git config --global --add safe.directory {}",
                quote(path)
            )),
            Self::RepositoryUnsupported(_) => {
                refused("pleach needs a repository with SHA-1 objects and with files for refs (not reftable)")
            }
            Self::RepositoryUnusable(_) => refused("mend what git itself says of it: git status"),
            Self::RepositoryBroken(_) => broken("mend what git itself says of it: git fsck"),
            Self::NoGit(_) => refused("install git, and see that it is in PATH: git --version"),
            Self::GitVersionUnknown(_) => refused("see whether it is git, or install git: command -v git"),
            Self::GitTooOld { .. } => refused("upgrade git, or put a newer one first in PATH: command -v git"),
            Self::GitFailed(_) => broken("mend what git says there, or look for damage: git fsck"),
            Self::GitTimedOut(_) => broken(
                "see which git that is, and what it waits for, such as a filter that hangs: command -v git; git config --list",
            ),
            Self::GitSettingForeign { setting, .. } => broken(format!(
                "remove it if you do not know it: git config --unset-all {}",
                quote(setting)
            )),
            Self::GitFiles(_) => broken("make room for temporary files, and try again: df -h \"${TMPDIR:-/tmp}\""),

            Self::WorktreeDirUnknown { .. } => refused("name it without ..: --worktree-dir DIR"),
            Self::WorktreeDirBlocked { .. } | Self::WorktreeDirUnwritable { .. } => {
                refused("name another place for them: --worktree-dir DIR")
            }
            Self::AgentNotInstalled => {
                refused("name its program with --claude PATH, or install it: npm install -g @anthropic-ai/claude-code")
            }
            Self::AgentUnusable { .. } => refused(
                "name the program of Claude Code with --claude PATH, or install it: \
                 npm install -g @anthropic-ai/claude-code",
            ),
            Self::RootNeedsPermissions => refused(
                "run as another user, give a --permission-mode, or, if this machine is a sandbox: export IS_SANDBOX=1",
            ),
            Self::Config(e) => super::config::remedy(e),
            Self::VariableInvalid { name, .. } => refused(format!("set it to such a value, or: unset {name}")),
            Self::NoPlaceForResults => refused("name one: --results-dir DIR"),
            Self::NoPlaceForAgents => refused("name a directory for state: export XDG_STATE_HOME=DIR"),
            Self::AgentPlacesUnusable { directory, .. } => refused(format!(
                "set XDG_STATE_HOME to another directory, or see who may write there: ls -ld {}",
                quote(directory)
            )),
            Self::SessionUnwritable(_) => {
                broken("make room or get the right to write there, or keep sessions elsewhere: --results-dir DIR")
            }
            Self::ProgramNotFound(_) => broken("it may have been replaced while it ran: call it again"),
            Self::SignalsNotCaught(_) => broken("end programs, or allow more open files than there are now: ulimit -n"),
            Self::SupervisorNotStarted(_) => {
                broken("end programs, or allow more processes than there are now: ulimit -u")
            }
            Self::SupervisorEnded { log, .. } => broken(format!("read all that it said: cat {}", quote(log))),
            Self::DemoNotMade(_) => broken("make room for it, or name another directory: TMPDIR=DIR pleach demo"),

            Self::NoSession(_) => refused("start one: pleach run -p \"Add a changelog\""),
            Self::SessionNotFound(_) => refused("see them all: pleach list"),
            Self::TaskWithoutSession { arguments, .. } => {
                refused(format!("for that task of the newest session: pleach {arguments}"))
            }
            Self::SessionAmbiguous(_) => refused("give more of its id; to see them all: pleach list"),
            Self::TaskNotFound { session, .. } => refused(format!("see its tasks: pleach status {session}")),
            Self::TaskAmbiguous { .. } => refused("give more of its id, or its number"),
            Self::SessionUnreadable { path, .. } => {
                let beside = path.parent().unwrap_or(Path::new("/"));
                broken(format!(
                    "see what is there, and who may read it: ls -la {}",
                    quote(beside)
                ))
            }
            Self::FormatUnknown(_) => {
                broken("read it with the pleach that wrote it, whose \"version\" stands in that file")
            }
            Self::SessionDamaged(_) | Self::JournalDamaged(_) | Self::JournalImpossible(_) => {
                broken("nothing was changed: its answers stand beside that file, its branches in git: git branch")
            }

            Self::NothingToMerge { directory } => {
                refused(format!("see what it changed where it ran: cd {}", quote(directory)))
            }
            Self::TargetGone { branch, commit, .. } => refused(format!(
                "make it again where the session started: git branch {} {commit}",
                quote(branch)
            )),
            Self::GitTooOldToPlan(e) => super::old_git(e),
            Self::MergeNotForeseen(_) => broken("see which objects are missing or damaged: git fsck"),
            Self::NotInRepository { .. } => refused("call it in the repository whose branches are meant"),
            Self::NoRevision { .. } => refused("see what there is: git branch --all, git tag"),

            Self::Landing(e) => super::landing::remedy(e),
            Self::Around(e) => super::around::remedy(e),
            Self::TargetNoBranch { .. } => refused("name a branch of this repository: --onto BRANCH"),
            Self::TaskHasNoBranch { session, .. } => refused(format!("see what became of it: pleach status {session}")),
            Self::TargetRestless { .. } => refused("nothing was moved; call it again when nobody commits there"),
            Self::NoBranches { directory } => {
                refused(format!("see what they changed where they ran: cd {}", quote(directory)))
            }
            Self::NoWorkYet { session, .. } => refused(format!("see where it stands: pleach status {session}")),
            Self::BranchGone { session, task, branch } => refused(format!(
                "make it again where its work was settled: pleach recover {session} {task} --to {}",
                quote(branch)
            )),
            Self::WorktreeBlocked { branch, .. } => refused(format!(
                "move that away and ask again, or choose a place: git worktree add DIR {}",
                quote(branch)
            )),
            Self::WorktreeNotMade { branch, .. } => broken(format!(
                "mend that and ask again, or choose a place: git worktree add DIR {}",
                quote(branch)
            )),
            Self::ShellNotStarted { .. } => refused("name one that is there, such as: export SHELL=/bin/sh"),

            Self::StopNotAsked { directory, .. } => broken(format!(
                "ask as the user who may write there: ls -ld {}",
                quote(directory)
            )),

            Self::NothingKept { .. } => refused("see what is kept of the newest session: pleach recover"),
            Self::NotKept { .. } => {
                refused("name one of them, or none for the newest; to see them all: pleach recover")
            }
            Self::TaskNotNamed { session, .. } => {
                refused(format!("name the task: pleach recover {session} TASK --to BRANCH"))
            }
            Self::BranchInvalid { .. } => refused("see what git allows: git check-ref-format --help"),
            Self::BranchTaken { .. } => refused("name another; nothing is written over: --to BRANCH"),

            Self::TargetFailsVerify { .. } => refused(
                "make it succeed in a worktree without ignored files; to ask again what is remembered: --verify-again",
            ),

            Self::NobodyToAsk => refused("see what it would do with --dry-run, and then do it without being asked: -y"),
            Self::SessionAtWork { session } => refused(format!("end it first: pleach stop {session}")),

            Self::SessionHeld { session, .. } => {
                broken(format!("it is being worked on; see it live: pleach watch {session}"))
            }
            Self::CostLimitReached { session, .. } => refused(format!(
                "set another limit of the whole: pleach resume {session} --max-cost USD"
            )),
            Self::RepositoryMoved { .. } => refused(
                "move it back to go on; its worktrees are found again where it is now, when you call there: \
                 git worktree repair",
            ),
            Self::BaseGone { .. } => refused("bring it back from wherever it still is, such as: git fetch --all"),
            Self::DirectoryGone { directory } => refused(format!("make it again: mkdir -p {}", quote(directory))),
            Self::AgentGone { .. } => {
                refused("put it back there; a new session of the tasks that are left takes another: pleach run --help")
            }

            Self::SupervisorFailed(_) => broken("mend that, and go on with the session: pleach resume"),
            Self::RunnerFailed { .. } => broken("mend that, and try the task again: pleach resume --retry-failed"),
        }
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> Kind {
        self.remedy().0
    }

    /// What to do next, one line without a full stop.
    pub fn hint(&self) -> String {
        self.remedy().1
    }

    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        self.kind().exit_code()
    }
}
