//! Verification.
pub mod search;
