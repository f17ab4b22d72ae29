//! Agents: what to start, how to read what they print, and when that was a success.
//!
//! `claude` builds the command line of Claude Code, `stream` reads its stream-json (or takes the output as plain
//! text) as it comes, `judge` says what it came to, `transcript` makes it readable afterwards; `event` has the events
//! that both read; `obeyed` says what a repository tells its agents. `scripted` is an agent inside this program that follows directives, for the demo and the tests.
//! Called by the supervisor (to start), the runner (to read) and `pleach logs`. It starts no process itself.

pub mod claude;
mod event;
#[cfg(test)]
mod fixture;
mod judge;
pub mod lines;
mod obeyed;
pub mod scripted;
mod stream;
pub mod transcript;

pub use judge::{Judged, is_gone, judge};
pub use obeyed::obeyed;
pub use stream::StreamReader;
