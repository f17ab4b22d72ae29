//! A task: what the user wrote, which agent does it, and how an attempt at it ended.
//!
//! These are the words that the rest of the program speaks; all of it is plain data. `input` turns files and
//! arguments into a list of [`TaskSpec`] or one error that names the entry.

mod agent_spec;
mod entry;
mod form;
mod front_matter;
pub mod graph;
pub mod id;
pub mod input;
mod json;
mod live;
mod markdown;
mod options;
mod outcome;
mod text;
pub mod title;

pub use agent_spec::{AgentKind, AgentSpec, CommandSpec, Permissions, PromptBy, SuccessBy};
pub use form::TaskFile;
pub use id::TaskId;
pub use input::TaskSpec;
pub use live::Live;
pub use options::TaskOptions;
pub use outcome::{
    AgentEnd, AttemptOutcome, FailureReason, Outcome, StepKind, StepOutcome, UsageLimit, Verdict, counted_cost,
};
