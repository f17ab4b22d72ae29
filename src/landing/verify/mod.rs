//! Verification: which steps of a plan a command of the user's succeeds on, and the commits of just these.
//!
//! The target is asked about first, then all steps together; when they fail, `search` finds what to leave out. The
//! command is run by `command` in a `scratch` worktree, which is made when the first run is due: what `memory` knows is
//! not asked. Called by the merge command, which holds the lock of merges and builds what passed; it tells what it does.

mod command;
mod memory;
mod scratch;
pub mod search;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use git2::Oid;

pub use command::{Ending, Interrupts};
pub use scratch::sweep;
pub use search::{Culprit, Found};

use super::{Builder, Built, LandingError};
use crate::git::{Drivers, GitError, Place};
use command::Ran;
use memory::Memory;
use scratch::Scratch;

/// Why nothing can land.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The command fails on the target itself.
    #[error("the command to verify with fails on the target itself: {0}")]
    Target(Ending),
    /// It was stopped; this is the exit code for it.
    #[error("the verification was stopped")]
    Stopped(u8),
    /// The command cannot be started.
    #[error("the command to verify with cannot be run: {0}")]
    NotRun(io::Error),
    /// The commits cannot be made.
    #[error(transparent)]
    Landing(#[from] LandingError),
    /// git refused.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A file cannot be made or removed.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// make, remove, lock
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl VerifyError {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
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
    /// The command begins to run, for the so many-th time, on the target with so many steps.
    Runs {
        /// Which time.
        run: usize,
        /// Steps that are in it; none: the target itself.
        steps: usize,
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
        steps: usize,
    },
}

/// Finds the steps that pass. What the builder makes of these is what passed, or has exactly the tree that did.
pub fn verify(
    asked: &Verification<'_>,
    builder: &mut Builder<'_>,
    interrupts: &Interrupts,
    tell: &mut dyn FnMut(Progress<'_>),
) -> Result<Verified, VerifyError> {
    let mut verifier = Verifier {
        asked,
        memory: Memory::new(&asked.place.common_dir, asked.command, asked.again),
        scratch: None,
        interrupts,
        tell,
        runs: 0,
        remembered: 0,
    };
    if asked.steps == 0 {
        return Ok(verifier.over(Found::default()));
    }
    if let Some(Why::Fails(ending)) = verifier.judge(builder, &[])? {
        return Err(VerifyError::Target(ending));
    }
    let mut ask = |steps: &[usize]| verifier.judge(builder, steps);
    let found = match asked.each {
        true => search::walk(asked.steps, &mut ask),
        false => search::search(asked.steps, &mut ask),
    }?;
    match interrupts.stopped() {
        Some(code) => Err(VerifyError::Stopped(code)),
        None => Ok(verifier.over(found)),
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

    /// Why these steps do not land together; nothing when they do.
    fn judge(&mut self, builder: &mut Builder<'_>, steps: &[usize]) -> Result<Option<Why>, VerifyError> {
        if let Some(code) = self.interrupts.stopped() {
            return Err(VerifyError::Stopped(code));
        }
        let (tip, tree) = match builder.build(steps)? {
            Built::Whole { tip, tree, .. } => (tip, tree),
            Built::Collides { step, paths } => return Ok(Some(Why::Collides { step, paths })),
        };
        let ending = match self.memory.recall(tree) {
            Some(ending) => {
                self.remembered += 1;
                (self.tell)(Progress::Remembered {
                    ending: &ending,
                    steps: steps.len(),
                });
                ending
            }
            None => {
                let ending = self.run(tip, steps.len())?;
                self.memory.keep(tree, &ending);
                ending
            }
        };
        Ok((!ending.passed()).then_some(Why::Fails(ending)))
    }

    fn run(&mut self, commit: Oid, steps: usize) -> Result<Ending, VerifyError> {
        let Verification { place, command, known, .. } = *self.asked;
        let scratch = match &mut self.scratch {
            Some(scratch) => scratch,
            none => none.insert(Scratch::new(place, known, commit)?),
        };
        scratch.check_out(commit)?;
        self.runs += 1;
        (self.tell)(Progress::Runs { run: self.runs, steps });
        let started = Instant::now();
        let ran = command::run(command, scratch.path(), place.root(), scratch.mark(), self.interrupts);
        match ran.map_err(VerifyError::NotRun)? {
            Ran::Stopped(code) => Err(VerifyError::Stopped(code)),
            Ran::Ended(ending) => {
                let time = started.elapsed();
                (self.tell)(Progress::Ended { ending: &ending, time });
                Ok(ending)
            }
        }
    }
}
