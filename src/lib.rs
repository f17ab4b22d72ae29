//! pleach runs many Claude Code agents side by side in one git repository, each task in a worktree and on a branch of
//! its own, and then weaves the branches back together.
//!
//! The way of the data: a file of tasks becomes a list of [`task::TaskSpec`], written down with a pinned base as a
//! [`session`]; a detached [`supervisor`] provisions a [`worktree`] for each task that the [`pool`] picks, starts a
//! [`runner`] for each attempt, which starts the [`agent`]; what the agent left is committed and the task settled.
//! Every change of state is an event in the session's journal, and every display ([`report`]) reads that. At the end
//! stands the [`merge`] plan. CONTRIBUTING.md says who may call whom.

#![warn(missing_docs)]

#[cfg(not(unix))]
compile_error!("pleach needs the processes, signals and file locks of a Unix system: it runs on Linux and macOS");

pub mod agent;
pub mod clean;
pub mod cli;
pub mod commands;
pub mod config;
pub mod doctor;
pub mod error;
pub mod git;
pub mod handler;
pub mod landing;
pub mod merge;
pub mod pool;
pub mod process;
pub mod report;
pub mod runner;
pub mod session;
pub mod store;
pub mod supervisor;
pub mod task;
pub mod words;
pub mod worktree;
