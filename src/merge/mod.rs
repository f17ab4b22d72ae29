//! The merge plan: which branches merge into a target, in which order, with which result.
//!
//! `resolve` finds commits for names; `plan` puts the plan together: `look` at each branch by itself, `once` counts what several have only once, `patches` for what
//! is in the target by other commits, `pairs` for which two conflict, `choose` (pure) for the most that fit together,
//! `walk` for what they give one after the other (by `chain`, which makes no merge twice), `explain` for what is left out,
//! `foresee` for what the user's git may do besides. What a merge gives is asked of git alone, through `engine` (`history` adds how commits stand to each other), whose
//! objects go to a temporary directory: planning changes nothing in the repository.

mod answers;
mod chain;
mod choose;
mod engine;
mod explain;
mod foresee;
mod guess;
mod history;
mod keeping;
mod look;
mod markers;
mod names;
mod once;
mod overlap;
mod pairs;
mod patches;
mod plan;
mod resolve;
mod scratch;
mod trees;
mod walk;

pub use engine::Conflict;
pub use keeping::Keeping;
pub use plan::{
    Branch, BranchState, Candidate, LeftOut, MergePlan, Mode, PairConflict, Pairs, PlanError, PlanRequest, Step,
    TARGET, Target, plan,
};
pub use resolve::{Resolved, candidate, target};
