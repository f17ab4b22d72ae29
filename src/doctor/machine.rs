//! The machine: room on its disks, memory, limits, the watching of files, and what the system lacks.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{StatVfs, statvfs};
use rustix::process::{Resource, Rlimit, getrlimit};

use super::repository::Seen;
use super::{Check, Finding, Level, Subject};
use crate::pool;
use crate::process::{available_memory, installed_memory, swap_space};
use crate::session::USUAL_OUTPUT;
use crate::store::watch::can_watch;
use crate::words::{bytes, count};

pub(super) fn look(subject: &Subject, seen: Option<&Seen<'_>>, found: &mut Vec<Finding>) {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let memory = available_memory();
    let parallel = match &subject.max_parallel {
        Ok(Some(parallel)) => *parallel,
        // Without a limit as many as there are tasks: the smallest number that says anything is the usual one.
        Ok(None) => pool::automatic(cores, memory),
        Err(_) => pool::automatic(cores, memory),
    };
    disks(subject, seen, parallel, found);
    found.extend(judge_memory(
        cores,
        memory,
        subject.min_free_memory,
        installed_memory(),
        swap_space(),
    ));
    let limits = (getrlimit(Resource::Nofile), getrlimit(Resource::Nproc));
    let root = rustix::process::geteuid().is_root();
    if let Err(e) = &subject.max_parallel {
        found.push(Finding::refusal(Check::Limits, Level::Problem, e));
    }
    found.extend(judge_limits(&limits.0, &limits.1, root, parallel));
    watching(subject, found);
}

fn disks(subject: &Subject, seen: Option<&Seen<'_>>, parallel: usize, found: &mut Vec<Finding>) {
    match (&subject.keeps, &subject.results) {
        (Err(e), _) => found.push(Finding::refusal(Check::Disk, Level::Problem, e)),
        (Ok(()), Some(results)) => {
            let need = Need {
                bytes: USUAL_OUTPUT,
                files: 10,
                left: subject.min_free_disk,
            };
            found.push(room("results", results, &need, parallel));
        }
        (Ok(()), None) => {}
    }
    if let (Some(survey), Some((worktrees, _))) = (seen.and_then(|s| s.survey.as_ref()), &subject.worktrees) {
        let need = Need {
            bytes: survey.bytes,
            files: survey.files + survey.directories,
            left: subject.min_free_disk,
        };
        found.push(room("worktrees", worktrees, &need, parallel));
    }
}

/// The deepest directory of a path that is there.
fn existing(path: &Path) -> PathBuf {
    let there = path.ancestors().find(|p| p.is_dir());
    there.unwrap_or(Path::new("/")).to_owned()
}

/// What one agent needs on a disk.
struct Need {
    bytes: u64,
    files: u64,
    /// Without so many bytes free no task starts.
    left: u64,
}

fn room(what: &str, dir: &Path, need: &Need, parallel: usize) -> Finding {
    match statvfs(existing(dir)) {
        Ok(disk) => judge_room(what, dir, &disk, need, parallel),
        Err(e) => Check::Disk.unseen(format!(
            "how much room is left for {what} in {} is not known: {e}",
            dir.display()
        )),
    }
}

fn judge_room(what: &str, dir: &Path, disk: &StatVfs, need: &Need, parallel: usize) -> Finding {
    let all = parallel as u64;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let needed = need.bytes.saturating_mul(all);
    let place = dir.display();
    // Some file systems do not count files.
    let counted = disk.f_files > 0;
    let files = need.files.saturating_mul(all);
    if free < need.left {
        return Check::Disk
            .warning(format!(
                "{} free for {what} in {place}: no task starts with less than {} (--min-free-disk)",
                bytes(free),
                bytes(need.left)
            ))
            .hint(make_room(what));
    }
    if free < needed {
        return Check::Disk
            .warning(format!(
                "{} free for {what} in {place}: {parallel} at once may need {}",
                bytes(free),
                bytes(needed)
            ))
            .hint(make_room(what));
    }
    if counted && disk.f_favail < files {
        return Check::Disk
            .warning(format!(
                "room for {} more of {what} in {place}: {parallel} at once may need {}",
                count(disk.f_favail, "file"),
                count(files, "file")
            ))
            .hint(make_room(what));
    }
    Check::Disk.ok(format!(
        "{} free for {what} in {place}; {parallel} at once may need {}",
        bytes(free),
        bytes(needed)
    ))
}

fn make_room(what: &str) -> String {
    let option = if what == "results" {
        "--results-dir DIR"
    } else {
        "--worktree-dir DIR"
    };
    format!("make room, or name another place: {option}; or run fewer at once: --max-parallel N")
}

fn judge_memory(
    cores: usize,
    available: Option<u64>,
    least: u64,
    installed: Option<u64>,
    swap: Option<u64>,
) -> Vec<Finding> {
    const SMALL: u64 = 4 << 30;
    let Some(available) = available else {
        return vec![
            Check::Memory
                .note("this system does not say how much memory is free; --max-parallel auto goes by the cores"),
        ];
    };
    let auto = pool::automatic(cores, Some(available));
    let free = bytes(available);
    let mut found = Vec::new();
    if available < least {
        found.push(
            Check::Memory
                .warning(format!(
                    "{free} of memory free: no task starts with less than {} (--min-free-memory)",
                    bytes(least)
                ))
                .hint("end something else, or wait until it has ended"),
        );
    } else if available < pool::MEMORY_OF_ONE {
        found.push(
            Check::Memory
                .warning(format!("{free} of memory free: not enough for one agent and its tools"))
                .hint("end something else, or wait until it has ended"),
        );
    } else if auto < pool::automatic(cores, None) {
        found.push(Check::Memory.note(format!(
            "{free} of memory free: enough for {auto} at once, fewer than {} would allow",
            count(cores, "core")
        )));
    } else {
        found.push(Check::Memory.ok(format!("{free} of memory free: {auto} at once by default")));
    }
    if swap == Some(0) && installed.is_some_and(|all| all < SMALL) {
        found.push(
            Check::Memory
                .note("a small machine without swap: when memory ends, the kernel kills an agent or its tools")
                .hint("add swap, or run fewer at once: --max-parallel N"),
        );
    }
    found
}

fn judge_limits(files: &Rlimit, processes: &Rlimit, root: bool, parallel: usize) -> Vec<Finding> {
    // The supervisor has some dozen files open, and a few more for each agent; agents are programs with many.
    const FILES: u64 = 1024;
    // An agent has about 30 threads, its tools have more.
    const THREADS_OF_ONE: u64 = 100;
    let mut found = Vec::new();
    let says = |limit: Option<u64>| limit.map_or("no limit".to_owned(), |n| format!("at most {n}"));
    let few_files = files.current.is_some_and(|n| n < FILES);
    let needed = THREADS_OF_ONE.saturating_mul(parallel as u64);
    // Root may have as many as it likes.
    let few_processes = !root && processes.current.is_some_and(|n| n < needed);
    if few_files {
        let n = says(files.current);
        found.push(
            Check::Limits
                .warning(format!(
                    "{n} open files for a process (ulimit -n): agents and their tools may need more"
                ))
                .hint(format!("ulimit -n {FILES}, in the shell that starts pleach")),
        );
    }
    if few_processes {
        let n = says(processes.current);
        found.push(
            Check::Limits
                .warning(format!(
                    "{n} processes and threads for you (ulimit -u): {parallel} at once may need {needed}"
                ))
                .hint("raise it (ulimit -u), or run fewer at once: --max-parallel N"),
        );
    }
    if found.is_empty() {
        found.push(Check::Limits.ok(format!(
            "open files: {}; processes: {}",
            says(files.current),
            says(processes.current)
        )));
    }
    found
}

/// Whether displays are told of changes. Without that they look once a second.
fn watching(subject: &Subject, found: &mut Vec<Finding>) {
    let limit = |name: &str| fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok();
    let number = |name: &str| limit(name).and_then(|text| text.trim().parse::<u64>().ok());
    let limits = number("max_user_watches").zip(number("max_user_instances"));
    let dir = subject
        .results
        .as_ref()
        .map_or_else(|| subject.directory.clone(), |r| existing(r));
    let tried = can_watch(&dir).map_err(|e| e.to_string());
    found.push(judge_watching(&dir, tried, limits));
}

fn judge_watching(dir: &Path, tried: Result<(), String>, limits: Option<(u64, u64)>) -> Finding {
    let limits = limits.map_or(String::new(), |(watches, instances)| {
        format!(" (at most {watches} watches and {instances} instances of inotify for you)")
    });
    match tried {
        Ok(()) => Check::Watching.ok(format!("changes of files are reported{limits}")),
        Err(e) => Check::Watching
            .warning(format!(
                "{} cannot be watched: {e}{limits}; displays look once a second instead",
                dir.display()
            ))
            .hint("end programs that watch many files, or raise fs.inotify.max_user_instances and max_user_watches"),
    }
}

/// What a system lacks that pleach would use.
pub(super) fn platform(system: &str, found: &mut Vec<Finding>) {
    found.push(match system {
        "linux" => Check::Platform.ok("Linux: what an agent starts is ended with it"),
        other => Check::Platform
            .note(format!(
                "{other} has no subreaper and no parent-death signal: what an agent starts and hides may live on, \
                 and so may an agent whose runner is killed"
            ))
            .hint("look for such processes after a session: ps -E -ax | grep PLEACH_ATTEMPT"),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(free: u64, files: u64) -> StatVfs {
        let mut disk = statvfs("/").unwrap();
        (disk.f_frsize, disk.f_bavail) = (1, free);
        (disk.f_files, disk.f_favail) = (files, files);
        disk
    }

    #[test]
    fn room_for_all_at_once() {
        let need = Need {
            bytes: 100,
            files: 5,
            left: 390,
        };
        let level = |disk: &StatVfs| judge_room("worktrees", Path::new("/w"), disk, &need, 4).level;
        assert_eq!(level(&disk(400, 20)), Level::Ok);
        assert_eq!(level(&disk(399, 20)), Level::Warning);
        assert_eq!(level(&disk(400, 19)), Level::Warning);
        assert_eq!(level(&disk(400, 0)), Level::Ok);
        let finding = judge_room("worktrees", Path::new("/w"), &disk(389, 0), &need, 4);
        assert!(finding.message.contains("--min-free-disk"), "{finding:?}");
        assert!(finding.hint.is_some_and(|h| h.contains("--worktree-dir")));
    }

    #[test]
    fn memory_by_what_is_free() {
        let levels = |available, installed, swap| -> Vec<Level> {
            judge_memory(4, available, 0, installed, swap)
                .iter()
                .map(|f| f.level)
                .collect()
        };
        let gib = |n: u64| Some(n << 30);
        assert_eq!(levels(gib(16), gib(24), Some(0)), [Level::Ok]);
        assert_eq!(levels(gib(2), gib(8), Some(0)), [Level::Note]);
        assert_eq!(levels(Some(100 << 20), gib(2), Some(0)), [Level::Warning, Level::Note]);
        assert_eq!(levels(Some(100 << 20), gib(2), gib(1)), [Level::Warning]);
        assert_eq!(levels(None, None, None), [Level::Note]);
        let finding = &judge_memory(4, gib(1), 2 << 30, gib(8), Some(0))[0];
        assert_eq!(finding.level, Level::Warning);
        assert!(finding.message.contains("--min-free-memory"), "{finding:?}");
    }

    #[test]
    fn limits_that_are_low() {
        let limit = |current| Rlimit { current, maximum: None };
        let levels = |files, processes, root| -> Vec<Level> {
            let found = judge_limits(&limit(files), &limit(processes), root, 4);
            found.iter().map(|f| f.level).collect()
        };
        assert_eq!(levels(None, None, false), [Level::Ok]);
        assert_eq!(levels(Some(1024), Some(400), false), [Level::Ok]);
        assert_eq!(levels(Some(256), None, false), [Level::Warning]);
        assert_eq!(levels(Some(256), Some(399), false), [Level::Warning, Level::Warning]);
        assert_eq!(levels(None, Some(10), true), [Level::Ok]);
    }

    #[test]
    fn watching_and_systems() {
        let dir = Path::new("/d");
        assert_eq!(judge_watching(dir, Ok(()), Some((8192, 128))).level, Level::Ok);
        let fails = judge_watching(dir, Err("no space".into()), None);
        assert_eq!(fails.level, Level::Warning);
        assert!(fails.message.contains("once a second"), "{fails:?}");
        for (system, level) in [("linux", Level::Ok), ("macos", Level::Note)] {
            let mut found = Vec::new();
            platform(system, &mut found);
            assert_eq!(found[0].level, level);
        }
    }
}
