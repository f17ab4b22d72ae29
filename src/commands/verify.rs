//! The verification of `pleach merge`: what it does is narrated, and signals stop it before anything has moved.

use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use super::signals::{Caught, Signals, suspend};
use crate::error::Error;
use crate::landing::Builder;
use crate::landing::verify::{Interrupts, Verdict, Verification, Verified, verify};
use crate::report;

/// Verifications that a signal stops. At any other time one ends the process, as it would have without them.
pub(super) struct Stoppable {
    interrupts: Interrupts,
    is_at_work: Arc<AtomicBool>,
}

impl Stoppable {
    /// From here on signals are caught.
    pub(super) fn new() -> Result<Self, Error> {
        let stoppable = Self {
            interrupts: Interrupts::default(),
            is_at_work: Arc::default(),
        };
        let (stop, is_at_work) = (stoppable.interrupts.stop(), stoppable.is_at_work.clone());
        let (sender, _) = channel();
        Signals::catch()?.forward(sender, move |caught| {
            match caught {
                Caught::Suspend => suspend(),
                Caught::Redraw => {}
                _ if is_at_work.load(Ordering::SeqCst) => stop(caught.exit_code()),
                _ => exit(caught.exit_code().into()),
            }
            Ok(())
        });
        Ok(stoppable)
    }

    /// Finds which steps pass. `branches` are theirs, `target` is what they are merged into.
    pub(super) fn verified(
        &self,
        asked: &Verification<'_>,
        builder: &mut Builder<'_>,
        branches: &[String],
        target: &str,
    ) -> Result<Verified, Error> {
        self.is_at_work.store(true, Ordering::SeqCst);
        let verdict = verify(asked, builder, &self.interrupts, &mut |progress| {
            report::note(&report::verifying(&progress, branches, target));
        });
        self.is_at_work.store(false, Ordering::SeqCst);
        if let Some(code) = self.interrupts.stopped() {
            stopped(code);
        }
        match verdict? {
            Verdict::Found(verified) => {
                for warning in &verified.warnings {
                    report::warning(warning);
                }
                Ok(verified)
            }
            Verdict::Stopped(code) => stopped(code),
            Verdict::TargetFails(ending) => {
                let output = report::end_of(&ending.output);
                if !output.is_empty() {
                    report::note(&format!("the end of what it printed:{output}"));
                }
                Err(Error::TargetFailsVerify {
                    target: target.to_owned(),
                    ending,
                })
            }
        }
    }
}

/// Nothing has moved, and what was made for the verification is gone again.
fn stopped(code: u8) -> ! {
    report::note("stopped: nothing was merged");
    exit(code.into())
}
