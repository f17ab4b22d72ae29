//! One of each error, with values as a user could meet them, by what the user was doing. The documentation shows them.

mod around;
mod config;
mod landing;
mod tasks;

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use super::Error;
use crate::git::{GitError, Version};
use crate::landing::verify::Ending;
use crate::merge::PlanError;
use crate::session::{IllegalMove, SessionError};
use crate::store::journal::JournalError;
use crate::supervisor::{LaunchError, SupervisorError};
use crate::task::TaskId;
use crate::worktree::WorktreeError;

const REPOSITORY: &str = "/home/you/shop";
const RESULTS: &str = "/home/you/shop/.git/pleach/results";
const SESSION: &str = "3f2a9c1e-7d44-4c1b-9a53-0c6a1f0e8b21";

/// All that are in the catalog, under headings; of [`Error::Input`] one for each problem.
pub(super) fn all() -> Vec<(&'static str, Vec<Error>)> {
    vec![
        ("Any command", any()),
        ("Reading the tasks", tasks::all()),
        ("Reading the configuration", config::all()),
        ("Using the repository", repository()),
        ("Starting a session", start()),
        ("Asking about a session", ask()),
        ("Planning the merge", plan()),
        ("Files that answers and logs go to", around::all()),
        ("Merging, and undoing it", landing::all()),
        ("Looking at the work", look()),
        (
            "Stopping a session",
            vec![Error::StopNotAsked {
                directory: in_session("requests"),
                source: denied(),
            }],
        ),
        ("Recovering work", recover()),
        (
            "Cleaning up",
            vec![
                Error::NobodyToAsk,
                Error::SessionAtWork {
                    session: SESSION[..8].into(),
                },
            ],
        ),
        ("Resuming a session", resume()),
        ("In the log of a supervisor (`supervisor.log`)", background()),
    ]
}

/// What keeps a task from its worktree, or its worktree from its branch. The task fails with it.
pub(super) fn worktrees() -> Vec<WorktreeError> {
    vec![
        WorktreeError::Taken("the branch main-task-login".into()),
        WorktreeError::Strange("/home/you/shop.pleach/main-task-login".into()),
        WorktreeError::Stays {
            path: "/home/you/shop.pleach/main-task-login".into(),
            why: "it holds another git repository: vendor".into(),
        },
        WorktreeError::Io {
            doing: "make",
            path: "/home/you/shop.pleach/main-task-login".into(),
            source: full(),
        },
        GitError::libgit2("cannot make the branch main-task-login")(git2::Error::from_str(
            "failed to write the reference",
        ))
        .into(),
    ]
}

fn any() -> Vec<Error> {
    vec![Error::NoCurrentDirectory(missing()), Error::OutputUnwritable(full())]
}

fn repository() -> Vec<Error> {
    let git = |message: &str| {
        GitError::libgit2(format!("cannot open the repository at {REPOSITORY}"))(git2::Error::from_str(message))
    };
    vec![
        Error::NoRepository {
            directory: "/home/you/notes".into(),
        },
        Error::NoCommit,
        GitError::NotYours(REPOSITORY.into()).into(),
        git("unsupported extension name extensions.refstorage").into(),
        Error::unusable(git("failed to parse config file: invalid section header")),
        git("failed to parse config file: invalid section header").into(),
        GitError::NoProgram(missing()).into(),
        GitError::NoVersion("hub 2.14".into()).into(),
        Error::GitTooOld { found: Version(2, 25) },
        GitError::Program {
            args: "diff --numstat -z HEAD".into(),
            code: Some(128),
            stderr: "fatal: unable to read tree 5b1e3c7".into(),
        }
        .into(),
        GitError::TimeOut {
            args: "add --all".into(),
            limit: std::time::Duration::from_secs(600),
        }
        .into(),
        GitError::Foreign("filter.a=b.clean".into()).into(),
        GitError::io("cannot make a directory for temporary objects")(full()).into(),
    ]
}

fn start() -> Vec<Error> {
    let directory = || PathBuf::from("/srv/trees");
    vec![
        Error::WorktreeDirUnknown {
            directory: "/home/you/shop/not-there/../trees".into(),
        },
        Error::WorktreeDirBlocked {
            directory: directory(),
            there: directory(),
        },
        Error::WorktreeDirUnwritable {
            directory: directory(),
            there: "/srv".into(),
            source: Errno::ACCESS,
        },
        Error::AgentNotInstalled,
        Error::AgentUnusable {
            program: "/opt/claude".into(),
            named_by: "CLAUDE_CLI_PATH",
            problem: "is not executable",
        },
        Error::RootNeedsPermissions,
        Error::VariableInvalid {
            name: "MAX_CLAUDE_WORKERS",
            value: "many".into(),
            problem: crate::cli::parse_parallel("many").unwrap_err(),
        },
        Error::NoPlaceForResults,
        Error::NoPlaceForAgents,
        Error::AgentPlacesUnusable {
            directory: "/home/me/.local/state/pleach/agents-a".into(),
            source: denied(),
        },
        SessionError::Unwritable {
            path: RESULTS.into(),
            source: denied(),
        }
        .into(),
        Error::ProgramNotFound(missing()),
        Error::SignalsNotCaught(io::Error::from(Errno::MFILE)),
        LaunchError::Start(io::Error::from(Errno::AGAIN)).into(),
        LaunchError::Ended {
            said: format!("cannot start: {}", io::Error::from(Errno::MFILE)),
            log: in_session("supervisor.log"),
        }
        .into(),
        Error::DemoNotMade(full().into()),
    ]
}

fn ask() -> Vec<Error> {
    let json = |text| serde_json::from_str::<u8>(text).unwrap_err();
    let illegal = IllegalMove::Task {
        task: TaskId::parse("login").unwrap(),
        state: "pending",
        event: "settled",
    };
    let ambiguous = ["3f2a9c1e", "3f2b7d20"].map(|start| format!("{start}{}", &SESSION[8..]));
    vec![
        SessionError::None {
            results: RESULTS.into(),
        }
        .into(),
        SessionError::NotFound {
            query: "77".into(),
            results: RESULTS.into(),
        }
        .into(),
        Error::TaskWithoutSession {
            source: SessionError::NotFound {
                query: "login".into(),
                results: RESULTS.into(),
            },
            arguments: format!("stop {} login", &SESSION[..8]),
        },
        SessionError::Ambiguous {
            query: "3f2".into(),
            ids: ambiguous.into(),
        }
        .into(),
        Error::TaskNotFound {
            session: SESSION[..8].into(),
            query: "logon".into(),
        },
        Error::TaskAmbiguous {
            query: "log".into(),
            ids: vec!["login".into(), "logout".into()],
        },
        SessionError::Unreadable {
            path: in_session("session.json"),
            source: missing(),
        }
        .into(),
        SessionError::Schema {
            path: in_session("session.json"),
            found: 2,
        }
        .into(),
        SessionError::Json {
            path: in_session("session.json"),
            source: json("{"),
        }
        .into(),
        SessionError::Journal(JournalError::Line {
            path: in_session("journal.jsonl"),
            line: 7,
            source: json("garbage"),
        })
        .into(),
        SessionError::Illegal {
            path: in_session("journal.jsonl"),
            source: illegal,
        }
        .into(),
    ]
}

fn look() -> Vec<Error> {
    let (session, branch) = (|| SESSION[..8].to_owned(), || "main-task-login".to_owned());
    let place = || PathBuf::from("/home/you/shop.pleach/main-task-login");
    vec![
        Error::NoBranches {
            directory: REPOSITORY.into(),
        },
        Error::NoWorkYet {
            session: session(),
            task: "login".into(),
        },
        Error::BranchGone {
            session: session(),
            task: "login".into(),
            branch: branch(),
        },
        Error::WorktreeBlocked {
            branch: branch(),
            source: WorktreeError::Strange(place()),
        },
        Error::WorktreeNotMade {
            branch: branch(),
            source: WorktreeError::Io {
                doing: "make",
                path: place(),
                source: full(),
            },
        },
        Error::ShellNotStarted {
            shell: "/usr/bin/fish".into(),
            source: missing(),
        },
    ]
}

fn plan() -> Vec<Error> {
    vec![
        Error::NothingToMerge {
            directory: REPOSITORY.into(),
        },
        PlanError::NoTarget {
            branch: "main".into(),
            commit: "9b1f0c7d2e5a48c6b3f7a90d1e2c3b4a5f60718d".into(),
        }
        .into(),
        PlanError::OldGit(Version(2, 39)).into(),
        Error::NotInRepository {
            directory: REPOSITORY.into(),
        },
        PlanError::NoRevision("fix/retry".into()).into(),
        PlanError::NoAnswer {
            branch: "main-task-b".into(),
            after: Some("main-task-a".into()),
            source: Box::new(GitError::Program {
                args: "merge-tree --stdin".into(),
                code: Some(128),
                stderr: "fatal: failure to merge".into(),
            }),
        }
        .into(),
        Error::TargetFailsVerify {
            target: "main".into(),
            ending: Ending {
                exit_code: Some(101),
                signal: None,
                output: String::new(),
            },
        },
    ]
}

fn recover() -> Vec<Error> {
    vec![
        Error::NothingKept {
            what: format!("session {}", &SESSION[..8]),
        },
        Error::NotKept {
            name: "snap/9".into(),
            there: vec!["snap/2".into(), "snap/1".into(), "head".into()],
        },
        Error::TaskNotNamed {
            session: SESSION[..8].into(),
            tasks: vec!["login".into(), "logout".into()],
        },
        Error::BranchInvalid { name: "a..b".into() },
        Error::BranchTaken {
            name: "main-task-login".into(),
        },
    ]
}

fn resume() -> Vec<Error> {
    let session = || SESSION[..8].to_owned();
    vec![
        Error::SessionHeld {
            session: session(),
            holder: Some(4711),
        },
        Error::CostLimitReached {
            session: session(),
            limit: 5.0,
            cost: 5.12,
        },
        Error::RepositoryMoved {
            session: session(),
            was: format!("{REPOSITORY}/.git").into(),
        },
        Error::BaseGone {
            session: session(),
            commit: "9b1f0c7d2e5a48c6b3f7a90d1e2c3b4a5f60718d".into(),
        },
        Error::DirectoryGone {
            directory: "/home/you/notes".into(),
        },
        Error::AgentGone {
            program: "/opt/claude".into(),
            problem: "is not there",
        },
    ]
}

fn background() -> Vec<Error> {
    vec![
        SupervisorError::Io {
            doing: "cannot write the journal",
            source: full(),
        }
        .into(),
        Error::RunnerFailed {
            directory: in_session("attempts/login.1"),
            source: full(),
        },
    ]
}

fn in_session(file: &str) -> PathBuf {
    PathBuf::from(format!("{RESULTS}/session-{SESSION}/{file}"))
}

fn denied() -> io::Error {
    Errno::ACCESS.into()
}

fn missing() -> io::Error {
    Errno::NOENT.into()
}

fn full() -> io::Error {
    Errno::NOSPC.into()
}
