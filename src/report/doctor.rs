//! What the doctor found: grouped by what was looked at, a line for each finding, and what to do in the next.

use std::fmt::Write;

use console::{Style, style};
use schemars::JsonSchema;
use serde::Serialize;

use super::{count, unbroken};
use crate::doctor::{Finding, Level};

/// Everything that was found, as JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Diagnosis {
    /// The number of this format.
    pub schema: u32,
    /// How many findings are problems: something does not work.
    pub problems: usize,
    /// How many are warnings: it works, and somebody will be surprised.
    pub warnings: usize,
    /// All, in the order in which they were looked for.
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// Counts what was found.
    pub fn new(findings: Vec<Finding>) -> Self {
        let of = |level| findings.iter().filter(|f| f.level == level).count();
        Self {
            schema: 1,
            problems: of(Level::Problem),
            warnings: of(Level::Warning),
            findings,
        }
    }
}

/// The findings as text.
pub fn diagnosis(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    let mut before = None;
    for finding in &diagnosis.findings {
        if before != Some(finding.check) {
            let _ = writeln!(text, "{}", style(finding.check.name()).bold());
            before = Some(finding.check);
        }
        let _ = writeln!(text, "  {}  {}", word(finding.level), unbroken(&finding.message));
        if let Some(hint) = &finding.hint {
            let _ = writeln!(text, "  {:7}  -> {}", "", unbroken(hint));
        }
    }
    let notes = diagnosis.findings.iter().filter(|f| f.level == Level::Note).count();
    let counted = [
        (diagnosis.problems, "problem"),
        (diagnosis.warnings, "warning"),
        (notes, "note"),
    ];
    let parts: Vec<String> = counted.iter().map(|(number, what)| count(*number, what)).collect();
    let sum = match diagnosis.problems {
        0 => "pleach can work here",
        _ => "something does not work",
    };
    let _ = writeln!(text, "\n{sum}: {}", parts.join(", "));
    text
}

/// The level in a word, padded.
fn word(level: Level) -> String {
    let (word, style) = match level {
        Level::Ok => ("ok", Style::new().green()),
        Level::Note => ("note", Style::new().cyan()),
        Level::Warning => ("warning", Style::new().yellow()),
        Level::Problem => ("PROBLEM", Style::new().red().bold()),
    };
    style.apply_to(format!("{word:<7}")).to_string()
}
