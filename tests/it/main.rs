//! Integration tests: the built program, on real repositories, with scripted agents and with the real Claude CLI.

#![expect(clippy::print_stderr, reason = "a test that cannot run here says so")]

mod adverse;
mod agent;
mod asking;
mod claude;
mod claude_stub;
mod cost;
mod crash_loop;
mod damaged;
mod demo;
mod doctor;
mod doctor_agent;
mod doctor_repository;
mod dry_run;
mod errors;
mod formats;
mod hostile;
mod input;
mod leaving;
mod logs;
mod logs_followed;
mod overview;
mod plan;
mod plan_printed;
mod plan_shown;
mod preflight;
mod processes;
mod recording;
mod runner;
mod schema;
mod settling;
mod shown;
mod start;
mod stopping;
mod support;
mod unattended;
mod usage;
mod watch;
mod worktrees;
