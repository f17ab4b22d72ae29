//! Taking notice of dead orphans: what a process leaves behind comes to the next subreaper above it, and stays in the
//! table of processes when it dies until that has taken notice.
//!
//! Others in this process wait for the children that they have started, and must find how these ended. So only such are
//! meant here as this process certainly has not started: all that it starts leads a group of its own or is in this
//! process's, and is in its session.

use std::io;

use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, waitid, waitpid};

use super::table::{self, Relations};

/// Takes notice of the orphans that have died; of `known` too, which is one if it is a dead child.
pub fn reap_orphans(known: Option<i32>) -> io::Result<()> {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    // Mostly nobody is dead: then the table is not read.
    if !matches!(waitid(WaitId::All, look), Ok(Some(_))) {
        return Ok(());
    }
    let me = std::process::id().cast_signed();
    let Some(mine) = table::relations(me) else {
        return Ok(());
    };
    let dead = table::all()?.into_iter().filter(|e| e.zombie && e.parent == me);
    for pid in dead.map(|entry| entry.pid) {
        let is_orphan = || table::relations(pid).is_some_and(|its| was_not_started_by(mine, pid, its));
        if (Some(pid) == known || is_orphan())
            && let Some(pid) = Pid::from_raw(pid)
        {
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }
    Ok(())
}

/// Whether a child cannot have been started by the process that has these relations.
fn was_not_started_by(mine: Relations, pid: i32, its: Relations) -> bool {
    its.session != mine.session || (its.group != pid && its.group != mine.group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_a_group_in_our_session_may_be_a_child_that_somebody_waits_for() {
        let of = |group, session| Relations {
            parent: 7,
            group,
            session,
        };
        for (group, session, orphan) in [(9, 7, false), (7, 7, false), (8, 7, true), (9, 9, true), (8, 9, true)] {
            assert_eq!(was_not_started_by(of(7, 7), 9, of(group, session)), orphan, "{group}");
        }
    }
}
