//! The merge plan: which branches merge into a target, in which order, with which result.
//!
//! `predict` asks git what a merge gives, with objects that go to a temporary directory; `plan` walks the branches
//! and puts it together. Called by `plan`, and at the end of a session that is watched. It changes nothing in the
//! repository.

mod plan;
mod predict;

pub use plan::{Branch, BranchState, Candidate, LeftOut, MergePlan, PlanError, Step, TARGET, Target, plan};
