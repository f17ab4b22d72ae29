//! What a verification does, while it does it, and what it found of each branch.

use schemars::JsonSchema;
use serde::Serialize;

use super::words::unbroken;
use super::{count, elapsed, escape};
use crate::landing::verify::{Culprit, Ending, Progress, Why};
use crate::words::few;

/// So many lines of the end of a command's output are shown.
const LINES: usize = 20;

/// A branch that is left out because of the command to verify with, as JSON.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct VerifyFailure {
    /// The command's exit code; none when a signal killed it, or when it was not run because the branch conflicts.
    pub exit_code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// The end of what it printed.
    pub output_tail: String,
    /// The merged branches without any of which it does not fail that way; empty: it fails with this one alone.
    pub together_with: Vec<String>,
}

/// The same of what was found; `names` are the branches of the steps.
pub fn verify_failure(culprit: &Culprit<Why>, names: &[String]) -> VerifyFailure {
    let together_with = culprit.together_with.iter().filter_map(|&s| names.get(s).cloned());
    let ending = match &culprit.why {
        Why::Fails(ending) => Some(ending),
        Why::Collides { .. } => None,
    };
    VerifyFailure {
        exit_code: ending.and_then(|e| e.exit_code),
        signal: ending.and_then(|e| e.signal),
        output_tail: ending.map(|e| e.output.clone()).unwrap_or_default(),
        together_with: together_with.collect(),
    }
}

/// Why a branch is left out, in a line, and the end of the output below it.
pub fn left_out_by_verify(culprit: &Culprit<Why>, names: &[String]) -> String {
    let name = |step: usize| names.get(step).map(|name| unbroken(name)).unwrap_or_default();
    let branch = name(culprit.step);
    let with: Vec<String> = culprit.together_with.iter().map(|&step| name(step)).collect();
    match &culprit.why {
        Why::Fails(ending) => {
            let how = match with.is_empty() {
                true => format!("the command fails with it: {ending}"),
                false => format!("the command fails only together with {}: {ending}", few(&with)),
            };
            format!("{branch}: {how}{}", output_of(ending))
        }
        Why::Collides { step, paths } => {
            let paths: Vec<String> = paths.iter().map(|path| unbroken(path)).collect();
            let paths = few(&paths);
            match *step == culprit.step {
                true => format!("{branch}: without those that are left out it conflicts in {paths}"),
                false => format!("{branch}: with it {} conflicts in {paths}", name(*step)),
            }
        }
    }
}

/// The end of what the command printed, indented; empty when it printed nothing.
pub fn output_of(ending: &Ending) -> String {
    let text = escape(ending.output.trim_end());
    let lines: Vec<&str> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(LINES)..];
    shown.iter().map(|line| format!("\n    {line}")).collect()
}

/// What is being done, a line each; `branches` is how many there are, `target` what they are merged into.
pub fn verifying(progress: &Progress<'_>, branches: usize, target: &str) -> String {
    let what = |steps: usize| match steps {
        0 => format!("{} as it is", unbroken(target)),
        n if n == branches => format!("{} with {}", unbroken(target), all(n)),
        n => format!("{} with {n} of {branches} branches", unbroken(target)),
    };
    match *progress {
        Progress::Runs { run, steps } => format!("verify, run {run}: {}", what(steps)),
        Progress::Ended { ending, time } => format!("  {} ({})", outcome(ending), elapsed(time)),
        Progress::Remembered { ending, steps } => format!("verify: {}: {}, as remembered", what(steps), outcome(ending)),
    }
}

fn all(branches: usize) -> String {
    match branches {
        1 => "its branch".into(),
        n => format!("all {}", count(n, "branch")),
    }
}

fn outcome(ending: &Ending) -> String {
    match ending.passed() {
        true => "passed".into(),
        false => format!("failed: {ending}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(output: &str) -> Ending {
        Ending {
            exit_code: Some(2),
            signal: None,
            output: output.into(),
        }
    }

    #[test]
    fn what_is_left_out_is_told_with_the_end_of_the_output() {
        let names = ["a\n".to_owned(), "b".to_owned(), "c".to_owned()];
        let culprit = |together_with: &[usize], why| Culprit {
            step: 2,
            together_with: together_with.to_vec(),
            why,
        };
        let conflict = |step| Why::Collides {
            step,
            paths: vec!["x\x1b".into()],
        };
        for (culprit, expected) in [
            (
                culprit(&[], Why::Fails(failed("one\n\x1b[2Jtwo\n\n"))),
                "c: the command fails with it: exit code 2\n    one\n    \\x1b[2Jtwo",
            ),
            (
                culprit(&[0, 1], Why::Fails(failed(""))),
                "c: the command fails only together with a\\n, b: exit code 2",
            ),
            (
                culprit(&[], conflict(2)),
                "c: without those that are left out it conflicts in x\\x1b",
            ),
            (culprit(&[], conflict(1)), "c: with it b conflicts in x\\x1b"),
        ] {
            assert_eq!(left_out_by_verify(&culprit, &names), expected);
        }
        let long: String = (0..100).map(|n| format!("{n}\n")).collect();
        let shown = output_of(&failed(&long));
        assert_eq!((shown.lines().count(), shown.ends_with("\n    99")), (LINES + 1, true));
    }
}
