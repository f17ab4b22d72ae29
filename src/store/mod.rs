//! Files that must survive: atomic replacement, the append-only journal, locks, and where things lie.
//!
//! Called by every module that keeps state on disk. It knows bytes, lines and paths, and nothing of tasks or
//! sessions. Directories are made 0700 and files 0600, whatever the umask.

pub mod atomic;
mod clock;
pub mod failpoint;
pub mod journal;
pub mod lock;
pub mod path_json;
pub mod paths;
mod shortage;
pub mod tail;
pub mod tree;
pub mod usage;
pub mod watch;

pub use clock::now_ms;
pub use shortage::{FILES_OF_ONE, Shortage, free_files};
