//! Asks before something is destroyed or moved.

use std::io::{IsTerminal, stderr, stdin};

use super::output;
use crate::error::Error;
use crate::report;

/// Refuses what needs an answer where nobody can give one.
pub(super) fn somebody_is_there(yes: bool) -> Result<(), Error> {
    match yes || stdin().is_terminal() && stderr().is_terminal() {
        true => Ok(()),
        false => Err(Error::NobodyToAsk),
    }
}

/// Asks, and gives whether the answer is yes. No answer is no.
pub(super) fn confirm(question: &str) -> Result<bool, Error> {
    report::ask(&format!("{question} [y/N] ")).map_err(output)?;
    let mut line = String::new();
    stdin().read_line(&mut line).map_err(output)?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
