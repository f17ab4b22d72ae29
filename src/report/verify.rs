//! What a verification does, while it does it, and what it found of each branch.

use schemars::JsonSchema;
use serde::Serialize;

use super::words::unbroken;
use super::{elapsed, escape};
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

/// How often the command to verify with was asked, as JSON.
#[derive(Clone, Copy, Debug, Default, Serialize, JsonSchema)]
pub struct VerifyRuns {
    /// How often it was run.
    pub runs: usize,
    /// How often it was remembered what it says.
    pub remembered: usize,
}

impl VerifyFailure {
    /// What was found; `names` are the branches of the steps.
    pub(super) fn of(culprit: &Culprit<Why>, names: &[String]) -> Self {
        let ending = match &culprit.why {
            Why::Fails(ending) => Some(ending),
            Why::Collides { .. } => None,
        };
        Self {
            exit_code: ending.and_then(|e| e.exit_code),
            signal: ending.and_then(|e| e.signal),
            output_tail: ending.map(|e| e.output.clone()).unwrap_or_default(),
            together_with: culprit.together_with.iter().map(|&step| names[step].clone()).collect(),
        }
    }
}

/// Why a branch is left out.
pub(super) fn why_not_passed(culprit: &Culprit<Why>, names: &[String]) -> String {
    let with: Vec<&String> = culprit.together_with.iter().map(|&step| &names[step]).collect();
    match &culprit.why {
        Why::Fails(ending) if with.is_empty() => format!("the command fails with it: {ending}"),
        Why::Fails(ending) => format!("the command fails only together with {}: {ending}", few(&with)),
        Why::Collides { step, paths } if *step == culprit.step => {
            format!("without those that are left out it conflicts in {}", few(paths))
        }
        Why::Collides { step, paths } => format!("with it {} conflicts in {}", names[*step], few(paths)),
    }
}

/// The end of what a command printed, indented, each line after a line break; empty when it printed nothing.
pub fn end_of(output: &str) -> String {
    let text = escape(output.trim_end());
    let lines: Vec<&str> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(LINES)..];
    shown.iter().map(|line| format!("\n    {line}")).collect()
}

/// What is being done, a line each; `branches` are those of the steps, `target` what they are merged into.
pub fn verifying(progress: &Progress<'_>, branches: &[String], target: &str) -> String {
    let what = |steps: &[usize]| format!("{} {}", unbroken(target), with(steps, branches));
    match *progress {
        Progress::Runs { run, steps } => format!("verify, run {run}: {}", what(steps)),
        Progress::Ended { ending, time } => format!("  {} ({})", outcome(ending), elapsed(time)),
        Progress::Remembered { ending, steps } => {
            format!("verify: {}: {}, as remembered", what(steps), outcome(ending))
        }
    }
}

/// Which branches the target is asked about with, in the fewest words.
fn with(steps: &[usize], branches: &[String]) -> String {
    let (inside, outside): (Vec<usize>, Vec<usize>) = (0..branches.len()).partition(|step| steps.contains(step));
    let names = |steps: &[usize]| {
        let names: Vec<&String> = steps.iter().map(|&step| &branches[step]).collect();
        unbroken(&few(&names))
    };
    match (inside.len(), outside.len()) {
        (0, _) => "as it is".into(),
        (1, _) => format!("with {}", names(&inside)),
        (2, 0) => "with both branches".into(),
        (all, 0) => format!("with all {all} branches"),
        (most, _) if most > outside.len() => format!("with all but {}", names(&outside)),
        _ => format!("with {}", names(&inside)),
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
    fn what_is_left_out_is_told_in_words() {
        let names = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let culprit = |together_with: &[usize], why| Culprit {
            step: 2,
            together_with: together_with.to_vec(),
            why,
        };
        let conflict = |step| Why::Collides {
            step,
            paths: vec!["x".into()],
        };
        for (culprit, expected) in [
            (
                culprit(&[], Why::Fails(failed("one"))),
                "the command fails with it: exit code 2",
            ),
            (
                culprit(&[0, 1], Why::Fails(failed(""))),
                "the command fails only together with a, b: exit code 2",
            ),
            (
                culprit(&[], conflict(2)),
                "without those that are left out it conflicts in x",
            ),
            (culprit(&[], conflict(1)), "with it b conflicts in x"),
        ] {
            assert_eq!(why_not_passed(&culprit, &names), expected);
        }
    }

    #[test]
    fn what_is_verified_is_named_by_what_is_fewer() {
        let branches: Vec<String> = ["a", "b", "c", "d", "e", "f\n", "g", "h", "i"].map(String::from).into();
        for (of, steps, expected) in [
            (3, &[][..], "main as it is"),
            (3, &[0, 1, 2], "main with all 3 branches"),
            (2, &[0, 1], "main with both branches"),
            (1, &[0], "main with a"),
            (3, &[0, 2], "main with all but b"),
            (4, &[0, 2], "main with a, c"),
            (9, &[0, 1, 2, 3], "main with a, b, c and 1 more"),
            (6, &[0, 1, 2, 3, 4], "main with all but f\\n"),
        ] {
            let progress = Progress::Runs { run: 4, steps };
            let said = verifying(&progress, &branches[..of], "main");
            assert_eq!(said, format!("verify, run 4: {expected}"));
        }
    }

    #[test]
    fn the_end_of_the_output_is_shown_and_does_nothing_to_a_terminal() {
        assert_eq!(end_of(""), "");
        assert_eq!(end_of("one\n\x1b[2Jtwo\n\n"), "\n    one\n    \\x1b[2Jtwo");
        let long: String = (0..100).map(|n| format!("{n}\n")).collect();
        let shown = end_of(&long);
        assert_eq!((shown.lines().count(), shown.ends_with("\n    99")), (LINES + 1, true));
    }
}
