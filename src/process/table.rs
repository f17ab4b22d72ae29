//! The processes of this machine: from `/proc` on Linux, elsewhere from `ps`.

use std::collections::{HashMap, HashSet};
use std::io;

/// One process, as far as this program wants to know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub pid: i32,
    pub parent: i32,
    /// Ended, and only waiting for its parent to take notice.
    pub zombie: bool,
    /// When it started, as in its identity; none where that is not told with the rest.
    pub start: Option<u64>,
    /// Resident memory, in [`Units::page`].
    pub pages: u64,
    /// CPU time, in [`Units::tick`].
    pub ticks: u64,
    /// CPU time of its children that have ended and that it has taken notice of, and of theirs.
    pub children_ticks: u64,
}

/// The processes by their parents.
#[derive(Debug)]
pub(super) struct Family<'t>(HashMap<i32, Vec<&'t Entry>>);

impl<'t> Family<'t> {
    pub(super) fn of(table: &'t [Entry]) -> Self {
        let mut children: HashMap<i32, Vec<&Entry>> = HashMap::new();
        for entry in table {
            children.entry(entry.parent).or_default().push(entry);
        }
        Self(children)
    }

    /// All below `root`, the dead among them: what they have left behind them is below them still. The table may have
    /// changed while it was read, and have loops.
    pub(super) fn below(&self, root: i32) -> Vec<&'t Entry> {
        let mut found = Vec::new();
        let mut seen = HashSet::from([root]);
        let mut open = vec![root];
        while let Some(pid) = open.pop() {
            for child in self.0.get(&pid).into_iter().flatten() {
                if seen.insert(child.pid) {
                    open.push(child.pid);
                    found.push(*child);
                }
            }
        }
        found
    }
}

/// Whose child a process is, and with whom it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Relations {
    pub parent: i32,
    pub group: i32,
    pub session: i32,
}

/// What the numbers of an [`Entry`] stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Units {
    /// Bytes.
    pub page: u64,
    /// So many are a second.
    pub tick: u64,
}

/// The units of this machine.
#[cfg(target_os = "linux")]
pub(super) fn units() -> Units {
    Units {
        page: rustix::param::page_size() as u64,
        tick: rustix::param::clock_ticks_per_second(),
    }
}

/// Every process that can be seen.
#[cfg(target_os = "linux")]
pub(super) fn all() -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for dir in std::fs::read_dir("/proc")? {
        let name = dir?.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.parse::<i32>().ok()) else {
            continue;
        };
        // Gone since the directory was read: no longer of interest.
        let Ok(stat) = std::fs::read(format!("/proc/{pid}/stat")) else {
            continue;
        };
        entries.extend(parse_stat(pid, &stat));
    }
    Ok(entries)
}

/// When a process started, in clock ticks since the boot (proc(5), field 22 of `stat`); `None` when there is none.
#[cfg(target_os = "linux")]
pub(super) fn start_time(pid: i32) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(pid, &stat)?.start
}

/// The same, and `None` for one that has ended and only waits for its parent to take notice.
#[cfg(target_os = "linux")]
pub(super) fn alive_since(pid: i32) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(pid, &stat).filter(|entry| !entry.zombie)?.start
}

/// The same: `ps` does not tell when those started that have ended.
#[cfg(not(target_os = "linux"))]
pub(super) fn alive_since(pid: i32) -> Option<u64> {
    start_time(pid)
}

/// The parent, the group and the session of a process; `None` when there is none. Not from the system calls: in a pid
/// namespace a leader outside of it has the number 0, which is no pid for them.
#[cfg(target_os = "linux")]
pub(super) fn relations(pid: i32) -> Option<Relations> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let fields = fields_of(&stat)?;
    let number = |field: usize| fields.get(field - FIRST)?.parse().ok();
    Some(Relations {
        parent: number(4)?,
        group: number(5)?,
        session: number(6)?,
    })
}

/// The number of the first of the fields in proc(5).
#[cfg(target_os = "linux")]
const FIRST: usize = 3;

/// The fields of a line of `/proc/PID/stat` from the third one on. The second is the program's name in parentheses,
/// which may itself hold spaces and parentheses, so they are counted from the last one.
#[cfg(target_os = "linux")]
fn fields_of(stat: &[u8]) -> Option<Vec<&str>> {
    let after = stat.iter().rposition(|&b| b == b')')? + 1;
    let rest = std::str::from_utf8(stat.get(after..)?).ok()?;
    Some(rest.split_ascii_whitespace().collect())
}

/// Reads a line of `/proc/PID/stat`.
#[cfg(target_os = "linux")]
fn parse_stat(pid: i32, stat: &[u8]) -> Option<Entry> {
    let fields = fields_of(stat)?;
    let number = |field: usize| fields.get(field - FIRST)?.parse::<u64>().ok();
    // Waited-for children are told as signed numbers: one of a negative time has no time.
    let [utime, stime, cutime, cstime] = [14, 15, 16, 17].map(|field| number(field).unwrap_or(0));
    Some(Entry {
        pid,
        zombie: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        start: Some(number(22)?),
        pages: number(24).unwrap_or(0),
        ticks: utime + stime,
        children_ticks: cutime + cstime,
    })
}

/// Whether the environment that a process was started with has `entry` (`NAME=value`).
#[cfg(target_os = "linux")]
pub(super) fn was_started_with(pid: i32, entry: &str) -> bool {
    std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|env| env.split(|&b| b == 0).any(|e| e == entry.as_bytes()))
}

/// Whether the environment that a process was started with has a variable of this name.
#[cfg(target_os = "linux")]
pub(super) fn was_started_with_variable(pid: i32, name: &str) -> bool {
    let is_it = |entry: &[u8]| (entry.strip_prefix(name.as_bytes())).is_some_and(|rest| rest.starts_with(b"="));
    std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|env| env.split(|&b| b == 0).any(is_it))
}

/// Whether the environment that a process was started with has a variable of this name.
#[cfg(not(target_os = "linux"))]
pub(super) fn was_started_with_variable(pid: i32, name: &str) -> bool {
    let start = format!("{name}=");
    ps(&["-E", "-ww", "-o", "command=", "-p", &pid.to_string()])
        .is_ok_and(|text| text.split_ascii_whitespace().any(|word| word.starts_with(&start)))
}

/// Whether the environment that a process was started with certainly has no `entry`. A process that is just starting a
/// program has neither arguments nor an environment for that moment, and other arguments after it.
#[cfg(target_os = "linux")]
pub(super) fn was_started_without(pid: i32, entry: &str) -> bool {
    let read = |name| std::fs::read(format!("/proc/{pid}/{name}")).ok();
    let arguments = read("cmdline").filter(|line| !line.is_empty());
    let environment = read("environ");
    arguments.is_some()
        && arguments == read("cmdline")
        && environment.is_some_and(|env| env.split(|&b| b == 0).all(|e| e != entry.as_bytes()))
}

/// Elsewhere no process inherits the orphans of another.
#[cfg(not(target_os = "linux"))]
pub(super) fn was_started_without(_: i32, _: &str) -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
pub(super) fn all() -> io::Result<Vec<Entry>> {
    let listed = ps(&["-A", "-o", "pid=,ppid=,stat=,rss=,time="])?;
    Ok(listed.lines().filter_map(parse_ps).collect())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn relations(pid: i32) -> Option<Relations> {
    use rustix::process::{Pid, getpgid, getsid};
    let listed = ps(&["-o", "ppid=", "-p", &pid.to_string()]).ok()?;
    let of = Pid::from_raw(pid);
    Some(Relations {
        parent: listed.trim().parse().ok()?,
        group: getpgid(of).ok()?.as_raw_nonzero().get(),
        session: getsid(of).ok()?.as_raw_nonzero().get(),
    })
}

/// The units of `ps`: it rounds memory to KiB, and time to hundredths of a second where it tells them.
#[cfg(not(target_os = "linux"))]
pub(super) fn units() -> Units {
    Units { page: 1024, tick: 100 }
}

/// Reads a line of `ps -o pid=,ppid=,stat=,rss=,time=`.
#[cfg(any(test, not(target_os = "linux")))]
fn parse_ps(line: &str) -> Option<Entry> {
    let mut fields = line.split_ascii_whitespace();
    Some(Entry {
        pid: fields.next()?.parse().ok()?,
        parent: fields.next()?.parse().ok()?,
        zombie: fields.next()?.starts_with('Z'),
        pages: fields.next().and_then(|kib| kib.parse().ok()).unwrap_or(0),
        ticks: fields.next().and_then(hundredths).unwrap_or(0),
        ..Entry::default()
    })
}

/// Reads a CPU time, `[[days-]hours:]minutes:seconds[.hundredths]`, in hundredths of a second.
#[cfg(any(test, not(target_os = "linux")))]
fn hundredths(time: &str) -> Option<u64> {
    let (days, clock) = time.split_once('-').unwrap_or(("0", time));
    let (clock, rest) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut seconds = 0;
    for part in clock.split(':') {
        seconds = seconds * 60 + part.parse::<u64>().ok()?;
    }
    Some((days.parse::<u64>().ok()? * 86_400 + seconds) * 100 + rest.parse::<u64>().ok()?)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn start_time(pid: i32) -> Option<u64> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let text = ps(&["-o", "lstart=", "-p", &pid.to_string()]).ok()?;
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    // Only ever compared with itself, so any number that stands for the text will do.
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    Some(hasher.finish())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn was_started_with(pid: i32, entry: &str) -> bool {
    ps(&["-E", "-ww", "-o", "command=", "-p", &pid.to_string()])
        .is_ok_and(|text| text.split_ascii_whitespace().any(|word| word == entry))
}

#[cfg(not(target_os = "linux"))]
fn ps(args: &[&str]) -> io::Result<String> {
    let output = std::process::Command::new("ps").args(args).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_parentheses_does_not_shift_the_fields() {
        let stat = b"7 (a) b) R 3 7 7 0 -1 4194304 1 0 0 0 11 12 13 14 20 0 1 0 4242 1 99";
        let expected = Entry {
            pid: 7,
            parent: 3,
            zombie: false,
            start: Some(4242),
            pages: 99,
            ticks: 23,
            children_ticks: 27,
        };
        assert_eq!(parse_stat(7, stat), Some(expected));
        assert!(parse_stat(7, b"").is_none());
    }

    #[test]
    fn lines_of_ps_are_read_too() {
        let entry = parse_ps("  501     1 Ss     2048   1:02.03").unwrap();
        assert_eq!((entry.pid, entry.parent, entry.zombie), (501, 1, false));
        assert_eq!((entry.pages, entry.ticks), (2048, 6203));
        assert!(parse_ps("7 1 Z 0 -").unwrap().zombie);
        assert_eq!(parse_ps("PID"), None);
        for (time, ticks) in [
            ("0:00", 0),
            ("59:59.99", 359_999),
            ("1:00:01", 360_100),
            ("2-03:04:05", 18_384_500),
        ] {
            assert_eq!(hundredths(time), Some(ticks), "{time}");
        }
    }

    #[test]
    fn this_process_is_in_the_table() {
        let me = std::process::id() as i32;
        assert!(all().unwrap().iter().any(|e| e.pid == me && !e.zombie));
        assert!(start_time(me).unwrap() > 0);
    }
}
