//! Agents: what to start, how to read what they print, and when that was a success.
//!
//! `claude` builds the command line of Claude Code, `command` that of any other program, `stream` reads stream-json (or
//! takes the output as plain text) as it comes, `judge` says what it came to, `transcript` makes it readable afterwards;
//! `event` has the events that both read, `refusal` knows when the service refused; `obeyed` says what a repository tells
//! its agents. `scripted` is an agent inside this program that follows directives, for the demo and the tests.
//! Called by the supervisor (to start), the runner (to read) and `pleach logs`. It starts no process itself.

pub mod claude;
pub mod command;
mod event;
#[cfg(test)]
mod fixture;
mod judge;
pub mod lines;
mod obeyed;
mod refusal;
pub mod scripted;
mod stream;
pub mod transcript;

pub use event::first_line;
pub use judge::{Evidence, Judged, is_gone, judge};
pub use obeyed::obeyed;
pub use stream::StreamReader;
