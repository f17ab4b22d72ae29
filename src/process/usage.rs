//! What the processes below a runner use: memory and CPU time, of all runners from one look at the process table.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use super::ProcessIdentity;
use super::table::{self, Entry, Family, Units};

/// Over less than this a share of the CPU says nothing: its time is counted in hundredths of a second.
const SHORTEST: Duration = Duration::from_millis(100);

/// What the descendants of a process use together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory; what several of them share is counted for each.
    pub memory_bytes: u64,
    /// CPU time, also of those that have ended and whose parents have taken notice.
    pub cpu: Duration,
}

/// What is used below each of these processes, without itself; none for one that is gone.
pub fn usage_below(runners: &[ProcessIdentity]) -> io::Result<Vec<Option<Usage>>> {
    if runners.is_empty() {
        return Ok(Vec::new());
    }
    Ok(below(runners, &table::all()?, table::units()))
}

/// The share of the CPU, in hundredths of one core with one decimal; none over too short a time.
pub fn cpu_percent(used: Duration, over: Duration) -> Option<f64> {
    (over >= SHORTEST).then(|| (used.as_secs_f64() / over.as_secs_f64() * 1000.0).round() / 10.0)
}

fn below(runners: &[ProcessIdentity], table: &[Entry], units: Units) -> Vec<Option<Usage>> {
    let by_pid: HashMap<i32, &Entry> = table.iter().map(|e| (e.pid, e)).collect();
    let family = Family::of(table);
    let of = |runner: &ProcessIdentity| {
        let root = by_pid.get(&runner.pid)?;
        if root.zombie || root.start.is_some_and(|start| start != runner.start_time) {
            return None;
        }
        // Orphans come to the runner: the time of those that have ended is counted there, as that of its children.
        let below = family.below(root.pid);
        let pages: u64 = below.iter().map(|entry| entry.pages).sum();
        let ticks: u64 = below.iter().map(|entry| entry.ticks + entry.children_ticks).sum();
        let ticks = root.children_ticks + ticks;
        Some(Usage {
            memory_bytes: pages * units.page,
            cpu: Duration::from_secs_f64(ticks as f64 / units.tick as f64),
        })
    };
    runners.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    const UNITS: Units = Units { page: 4096, tick: 100 };

    fn entry(pid: i32, parent: i32, pages: u64, ticks: u64, children_ticks: u64) -> Entry {
        Entry {
            pid,
            parent,
            zombie: false,
            start: Some(pid as u64 * 10),
            pages,
            ticks,
            children_ticks,
        }
    }

    fn runner(pid: i32) -> ProcessIdentity {
        ProcessIdentity {
            pid,
            start_time: pid as u64 * 10,
            boot_id: "boot".into(),
        }
    }

    fn usage(pages: u64, ms: u64) -> Option<Usage> {
        Some(Usage {
            memory_bytes: pages * 4096,
            cpu: Duration::from_millis(ms),
        })
    }

    #[test]
    fn each_runner_has_what_is_below_it_and_not_itself() {
        let zombie = Entry {
            zombie: true,
            ..entry(14, 11, 0, 7, 1)
        };
        let table = [
            entry(1, 0, 1000, 1000, 1000),
            // A runner, its agent, two tools, one of which has ended, and an orphan that came to the runner.
            entry(10, 1, 500, 500, 3),
            entry(11, 10, 100, 20, 5),
            entry(12, 11, 30, 2, 0),
            zombie,
            entry(13, 10, 1, 1, 0),
            // Another one, which has no agent yet.
            entry(20, 1, 500, 500, 0),
        ];
        let found = below(&[runner(10), runner(20), runner(30)], &table, UNITS);
        assert_eq!(found, [usage(131, 390), usage(0, 0), None]);
    }

    // Fault 4: the pid belongs to another process by now.
    #[test]
    fn a_pid_that_another_process_has_by_now_is_not_taken_for_the_runner() {
        let table = [entry(10, 1, 0, 0, 0), entry(11, 10, 5, 5, 0)];
        let reused = ProcessIdentity {
            start_time: 99,
            ..runner(10)
        };
        assert_eq!(below(&[reused], &table, UNITS), [None]);
        let dead = [Entry {
            zombie: true,
            ..entry(10, 1, 0, 0, 0)
        }];
        assert_eq!(below(&[runner(10)], &dead, UNITS), [None]);
        // Where the start is not told with the rest, the pid has to do.
        let untold = table.map(|entry| Entry { start: None, ..entry });
        assert_eq!(below(&[runner(10)], &untold, UNITS), [usage(5, 50)]);
    }

    #[test]
    fn a_table_that_changed_while_it_was_read_has_an_end() {
        let table = [entry(10, 11, 1, 0, 0), entry(11, 10, 2, 0, 0), entry(12, 12, 4, 0, 0)];
        assert_eq!(below(&[runner(10)], &table, UNITS), [usage(2, 0)]);
    }

    #[test]
    fn a_share_is_of_one_core_and_over_a_while() {
        let ms = Duration::from_millis;
        assert_eq!(cpu_percent(ms(500), ms(1000)), Some(50.0));
        assert_eq!(cpu_percent(ms(3000), ms(1000)), Some(300.0));
        assert_eq!(cpu_percent(ms(10), ms(3000)), Some(0.3));
        assert_eq!(cpu_percent(ms(0), ms(100)), Some(0.0));
        assert_eq!(cpu_percent(ms(50), ms(99)), None);
    }

    #[test]
    fn a_child_of_this_process_is_found() {
        // It ends with its standard input. The kernel counts few pages only roughly: so it holds many.
        let holds = r#"held=$(head -c 20000000 /dev/zero | tr '\0' a); echo ready; read -r line"#;
        let mut child = Command::new("sh")
            .args(["-c", holds])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let found = usage_below(&[ProcessIdentity::current()]).unwrap();
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(
            found[0].is_some_and(|usage| usage.memory_bytes > 20_000_000),
            "{line}{found:?}"
        );
        assert_eq!(usage_below(&[]).unwrap(), []);
    }
}
