//! Processes: who they are, starting an agent so that it cannot outlive its runner, on a terminal if it wants one, ending
//! a whole tree.
//!
//! Called by the runner (its own agent), the supervisor (what a dead runner left behind), the commands and the doctor
//! (how much memory there is, what agents use, whether a shell controls this process). It knows pids and signals and
//! nothing of tasks. The only `unsafe` outside `git` is here: what has to happen between fork and exec, and to files
//! that this process only knows by their numbers.

mod brief;
mod identity;
mod job;
mod memory;
mod orphans;
mod spawn;
mod table;
mod terminal;
mod tree;
mod usage;
mod used;

pub use brief::{Brief, ask_briefly};
pub use identity::{ProcessIdentity, signal_process};
pub use job::{can_be_continued, is_ignored, is_in_foreground};
pub use memory::{available_memory, installed_memory, swap_space};
pub use orphans::reap_orphans;
pub use spawn::{
    become_subreaper, hand, keep_files_from_children, own_program, resign_as_subreaper, spawn_bound_to_parent,
    spawn_bound_without_terminal, spawn_without_terminal, take_handed, take_stdin,
};
pub use terminal::{Terminal, open_terminal, spawn_bound_on_terminal};
pub use tree::{
    end_lost, end_marked, is_any_alive, is_any_in, kill_descendants, kill_descendants_but_sessions, signal_group,
};
pub use usage::{Usage, cpu_percent, usage_below};
pub use used::{is_any_called_with, is_used};

/// The environment variable that marks every process of an attempt; its value is the attempt's uuid.
pub const ATTEMPT_MARK: &str = "PLEACH_ATTEMPT";

/// The environment variable that marks all that a supervisor has started itself, and no agent; its value is a uuid of
/// that supervisor alone.
pub const SUPERVISOR_MARK: &str = "PLEACH_SUPERVISOR";
