//! Verification: which steps of a plan a command of the user's succeeds on, and the commits of just these.
//!
//! The target is asked about first, then all steps together; when they fail, `search` finds what to leave out. The
//! command is run by `command` in a `scratch` worktree, which is made when the first run is due: what `memory` knows is
//! not asked. Called by the merge command, which holds the lock of merges and builds what passed; it tells what it does.

mod command;
mod memory;
mod scratch;
pub mod search;

use std::time::{Duration, Instant};

use git2::Oid;

pub use command::{Ending, Interrupts};
pub use scratch::sweep;
pub use search::{Culprit, Found};

use super::{Builder, Built, LandingError};
use crate::git::{Drivers, Place};
use command::Ran;
use memory::Memory;
use scratch::Scratch;

/// How a verification ended.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// With what can land.
    Found(Verified),
    /// The command fails on the target itself: nothing that it says of a branch could be relied on.
    TargetFails(Ending),
    /// It was stopped, and pleach is to end with this exit code.
    Stopped(u8),
}

/// Why it does not go on.
enum Halt {
    Stopped(u8),
    Error(LandingError),
}

impl<E: Into<LandingError>> From<E> for Halt {
    fn from(e: E) -> Self {
        Self::Error(e.into())
    }
}

/// What is to be verified, and how.
#[derive(Clone, Copy, Debug)]
pub struct Verification<'a> {
    /// The repository, as the user is in it.
    pub place: &'a Place,
    /// A command of the shell.
    pub command: &'a str,
    /// Whether each step has to pass, and not only the last.
    pub each: bool,
    /// Whether what was remembered before counts for nothing.
    pub again: bool,
    /// Drivers that may be run.
    pub known: &'a Drivers,
    /// How many steps the plan has.
    pub steps: usize,
}

/// Why some steps do not land together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The command fails.
    Fails(Ending),
    /// Without those that are left out a step conflicts.
    Collides {
        /// Which.
        step: usize,
        /// Where.
        paths: Vec<String>,
    },
}

/// What was found out.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What passed, and what is left out.
    pub found: Found<Why>,
    /// How often the command was run.
    pub runs: usize,
    /// How often it did not have to be.
    pub remembered: usize,
    /// What went wrong without doing harm, a line each.
    pub warnings: Vec<String>,
}

/// What is being done.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'p> {
    /// The command begins to run, for the so many-th time, on the target with these steps.
    Runs {
        /// Which time.
        run: usize,
        /// Steps that are in it; none: the target itself.
        steps: &'p [usize],
    },
    /// It has ended.
    Ended {
        /// How.
        ending: &'p Ending,
        /// How long it took.
        time: Duration,
    },
    /// How it ends is known.
    Remembered {
        /// How.
        ending: &'p Ending,
        /// Steps that are in it; none: the target itself.
        steps: &'p [usize],
    },
}

/// Finds the steps that pass. What the builder makes of these is what passed, or has exactly the tree that did.
pub fn verify(
    asked: &Verification<'_>,
    builder: &mut Builder<'_>,
    interrupts: &Interrupts,
    tell: &mut dyn FnMut(Progress<'_>),
) -> Result<Verdict, LandingError> {
    let mut verifier = Verifier {
        asked,
        memory: Memory::new(&asked.place.common_dir, asked.command, asked.again),
        scratch: None,
        interrupts,
        tell,
        runs: 0,
        remembered: 0,
    };
    match verifier.go(builder) {
        Ok(Ok(found)) => Ok(Verdict::Found(verifier.over(found))),
        Ok(Err(ending)) => Ok(Verdict::TargetFails(ending)),
        Err(Halt::Stopped(code)) => Ok(Verdict::Stopped(code)),
        Err(Halt::Error(e)) => Err(e),
    }
}

struct Verifier<'a, 't> {
    asked: &'a Verification<'a>,
    memory: Memory,
    scratch: Option<Scratch<'a>>,
    interrupts: &'a Interrupts,
    tell: &'t mut dyn FnMut(Progress<'_>),
    runs: usize,
    remembered: usize,
}

impl Verifier<'_, '_> {
    fn over(self, found: Found<Why>) -> Verified {
        let mut warnings = self.memory.warnings;
        if let Some(Err(e)) = self.scratch.map(Scratch::remove) {
            warnings.push(e.to_string());
        }
        Verified {
            found,
            runs: self.runs,
            remembered: self.remembered,
            warnings,
        }
    }

    /// Finds what passes, or how the target fails.
    fn go(&mut self, builder: &mut Builder<'_>) -> Result<Result<Found<Why>, Ending>, Halt> {
        let Verification { steps, each, .. } = *self.asked;
        if steps == 0 {
            return Ok(Ok(Found::default()));
        }
        if let Some(Why::Fails(ending)) = self.judge(builder, &[])? {
            return Ok(Err(ending));
        }
        let ask = |steps: &[usize]| self.judge(builder, steps);
        let found = match each {
            true => search::walk(steps, ask),
            false => search::search(steps, ask),
        }?;
        match self.interrupts.stopped() {
            Some(code) => Err(Halt::Stopped(code)),
            None => Ok(Ok(found)),
        }
    }

    /// Why these steps do not land together; nothing when they do.
    fn judge(&mut self, builder: &mut Builder<'_>, steps: &[usize]) -> Result<Option<Why>, Halt> {
        if let Some(code) = self.interrupts.stopped() {
            return Err(Halt::Stopped(code));
        }
        let (tip, tree) = match builder.build(steps)? {
            Built::Whole { tip, tree, .. } => (tip, tree),
            Built::Collides { step, paths } => return Ok(Some(Why::Collides { step, paths })),
        };
        let ending = match self.memory.recall(tree) {
            Some(ending) => {
                self.remembered += 1;
                (self.tell)(Progress::Remembered { ending: &ending, steps });
                ending
            }
            None => {
                let ending = self.run(tip, steps)?;
                self.memory.keep(tree, &ending);
                ending
            }
        };
        Ok((!ending.passed()).then_some(Why::Fails(ending)))
    }

    fn run(&mut self, commit: Oid, steps: &[usize]) -> Result<Ending, Halt> {
        let Verification {
            place, command, known, ..
        } = *self.asked;
        let scratch = match &mut self.scratch {
            Some(scratch) => scratch,
            none => none.insert(Scratch::new(place, known, commit)?),
        };
        scratch.check_out(commit)?;
        self.runs += 1;
        (self.tell)(Progress::Runs { run: self.runs, steps });
        let started = Instant::now();
        let ran = command::run(command, scratch.path(), place.root(), scratch.mark(), self.interrupts);
        match ran.map_err(LandingError::io("run the command in", scratch.path()))? {
            Ran::Stopped(code) => Err(Halt::Stopped(code)),
            Ran::Ended(ending) => {
                let time = started.elapsed();
                (self.tell)(Progress::Ended { ending: &ending, time });
                Ok(ending)
            }
        }
    }
}
