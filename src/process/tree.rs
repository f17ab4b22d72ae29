//! Ending all that an agent started, also what moved to sessions and groups of its own.
//!
//! A runner is a subreaper: whatever its agent starts stays below it, however often it forks, and is found by
//! walking the process table. When a runner was killed its agent's children are found by the mark in their
//! environment instead; and what has none falls to the supervisor, which is a subreaper too.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, wait, waitpid};

use super::table::{self, Entry, Family};
use super::{ATTEMPT_MARK, SUPERVISOR_MARK};

/// How long to wait between two looks at processes that were killed a moment ago.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// After this, what is left cannot be killed now: it waits for a device, or belongs to another user.
const PATIENCE: Duration = Duration::from_secs(5);

/// The living processes below `root`, without itself.
fn descendants(root: i32) -> io::Result<Vec<i32>> {
    Ok(below(root, &Family::of(&table::all()?)))
}

fn below(root: i32, family: &Family<'_>) -> Vec<i32> {
    let living = family.below(root).into_iter().filter(|entry| !entry.zombie);
    living.map(|entry| entry.pid).collect()
}

/// Sends `signal` to a process group; one that has no process left is no error.
pub fn signal_group(leader: i32, signal: Signal) -> io::Result<()> {
    let Some(pid) = Pid::from_raw(leader) else {
        return Ok(());
    };
    match kill_process_group(pid, signal) {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        other => Ok(other?),
    }
}

/// Kills everything below this process and takes the dead in, until nothing is left. `on_reaped` is told the pid and
/// the wait status of each. Returns how many were killed, and the pids that would not go.
pub fn kill_descendants(mut on_reaped: impl FnMut(i32, i32)) -> io::Result<(usize, Vec<i32>)> {
    let me = std::process::id() as i32;
    let deadline = Instant::now() + PATIENCE;
    let mut killed = HashSet::new();
    loop {
        let left = descendants(me)?;
        for &pid in &left {
            if kill(pid) {
                killed.insert(pid);
            }
        }
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            on_reaped(pid.as_raw_nonzero().get(), status.as_raw());
        }
        if left.is_empty() || Instant::now() >= deadline {
            return Ok((killed.len(), left));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Kills everything below this process but supervisors and what is below them: a command of the user may have started a
/// session, which goes on by itself. Takes the dead in, all but `known`, which somebody else waits for. Returns how many
/// were killed, and the pids that would not go.
pub fn kill_descendants_but_sessions(known: i32) -> io::Result<(usize, Vec<i32>)> {
    let me = std::process::id() as i32;
    let deadline = Instant::now() + PATIENCE;
    let mut killed = HashSet::new();
    loop {
        let table = table::all()?;
        let family = Family::of(&table);
        let all = below(me, &family);
        let spared: HashSet<i32> = (all
            .iter()
            .filter(|&&pid| table::was_started_with_variable(pid, SUPERVISOR_MARK)))
        .flat_map(|&pid| below(pid, &family).into_iter().chain([pid]))
        .collect();
        let left: Vec<i32> = all.into_iter().filter(|pid| !spared.contains(pid)).collect();
        for &pid in &left {
            if kill(pid) {
                killed.insert(pid);
            }
        }
        for dead in table.iter().filter(|e| e.zombie && e.parent == me && e.pid != known) {
            if let Some(pid) = Pid::from_raw(dead.pid) {
                let _ = waitpid(Some(pid), WaitOptions::NOHANG);
            }
        }
        if left.is_empty() || Instant::now() >= deadline {
            return Ok((killed.len(), left));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Kills every process that carries the mark `attempt`, and all below them, until none is left. Returns how many
/// were killed, and the pids that would not go.
pub fn end_marked(attempt: &str) -> io::Result<(usize, Vec<i32>)> {
    let mark = format!("{ATTEMPT_MARK}={attempt}");
    end(|entry| table::was_started_with(entry.pid, &mark), |_| ())
}

/// The same for a supervisor, of an attempt whose runner has died: also what has put off its mark. As a subreaper it
/// inherits what was below the dead. All that it has started itself carries its own mark, which no agent is given; so a
/// child without that is one of those orphans, unless it is of another session: a handler may have started that, which
/// goes on by itself. One that this very agent has started carries the attempt's mark.
pub fn end_lost(attempt: &str) -> io::Result<(usize, Vec<i32>)> {
    let mark = format!("{ATTEMPT_MARK}={attempt}");
    let me = std::process::id() as i32;
    let own = std::env::var(SUPERVISOR_MARK).map(|own| format!("{SUPERVISOR_MARK}={own}"));
    let is_orphan = |entry: &Entry| {
        let own = own.as_ref().ok();
        entry.parent == me
            && own.is_some_and(|own| table::was_started_without(entry.pid, own))
            && !table::was_started_with_variable(entry.pid, SUPERVISOR_MARK)
    };
    // Nobody else will: this process only waits for those that it has started.
    let reap = |dead: &Entry| {
        if let Some(pid) = Pid::from_raw(dead.pid).filter(|_| dead.parent == me) {
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
    };
    end(
        |entry| table::was_started_with(entry.pid, &mark) || is_orphan(entry),
        reap,
    )
}

/// Kills every process for which `is_meant` holds, and all below them, until none is left. `on_dead` is told of those
/// that are dead and that nobody has taken notice of yet.
fn end(is_meant: impl Fn(&Entry) -> bool, on_dead: impl Fn(&Entry)) -> io::Result<(usize, Vec<i32>)> {
    let me = std::process::id() as i32;
    let deadline = Instant::now() + PATIENCE;
    let mut killed = HashMap::new();
    let mut seen_none = false;
    loop {
        let table = table::all()?;
        let family = Family::of(&table);
        let mut left = HashSet::new();
        for entry in table.iter().filter(|e| !e.zombie && e.pid != me) {
            if is_meant(entry) {
                left.insert(entry.pid);
                left.extend(below(entry.pid, &family));
            }
        }
        left.remove(&me);
        for entry in &table {
            if left.contains(&entry.pid) && kill(entry.pid) {
                killed.insert(entry.pid, entry.start);
            }
            // The very one that was killed, and not another of that number.
            if entry.zombie && killed.get(&entry.pid) == Some(&entry.start) {
                on_dead(entry);
            }
        }
        // Twice: the environment of a process that is just starting a program looks empty for that moment.
        if left.is_empty() && seen_none || Instant::now() >= deadline {
            return Ok((killed.len(), left.into_iter().collect()));
        }
        seen_none = left.is_empty();
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Of each attempt whether some process carries its mark.
pub fn is_any_alive(attempts: &[String]) -> io::Result<Vec<bool>> {
    if attempts.is_empty() {
        return Ok(Vec::new());
    }
    let table = table::all()?;
    let carries = |attempt: &String| {
        let mark = format!("{ATTEMPT_MARK}={attempt}");
        (table.iter().filter(|e| !e.zombie)).any(|e| table::was_started_with(e.pid, &mark))
    };
    Ok(attempts.iter().map(carries).collect())
}

/// Whether some process that can be seen is in a directory, or below it. Where the system has no way to tell, one is.
pub fn is_any_in(directory: &Path) -> io::Result<bool> {
    if !cfg!(target_os = "linux") {
        return Ok(true);
    }
    let is_in = |pid: i32| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(directory));
    Ok(table::all()?.iter().any(|e| !e.zombie && is_in(e.pid)))
}

fn kill(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
}

#[cfg(test)]
mod tests {
    use super::super::table::Entry;
    use super::*;

    fn entry(pid: i32, parent: i32, zombie: bool) -> Entry {
        Entry {
            pid,
            parent,
            zombie,
            ..Entry::default()
        }
    }

    #[test]
    fn the_tree_below_a_process_goes_through_zombies_and_survives_loops() {
        let table = [
            entry(2, 1, false),
            entry(3, 2, true),
            entry(4, 3, false),
            entry(5, 9, false),
            entry(1, 4, false),
        ];
        let family = Family::of(&table);
        let mut found = below(1, &family);
        found.sort();
        assert_eq!(found, [2, 4]);
        assert!(below(7, &family).is_empty());
    }
}
