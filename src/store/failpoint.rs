//! Places where a test can have the program killed, as a crash at that moment would.
//!
//! A build for use has none of it: [`passed`] is empty there. In a debug build the variable `PLEACH_TEST_KILL` holds
//! `NAME:N`: the process that passes the point of that name for the N-th time (counted from 1, in that process) ends
//! itself with SIGKILL. `NAME:N@ROLE` means only processes of that role: `supervisor`, `runner`, `handler` or
//! `command` (every other one). Points stand before what they are named for (`fsync`, `rename`), or, where the name is a participle,
//! after it.

/// The variable that names the point.
#[cfg(debug_assertions)]
const VARIABLE: &str = "PLEACH_TEST_KILL";

/// Passes the point `name`.
#[cfg(not(debug_assertions))]
#[inline]
pub fn passed(_name: &str) {}

/// Passes the point `name`.
#[cfg(debug_assertions)]
pub fn passed(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static POINT: OnceLock<Option<Point>> = OnceLock::new();
    static PASSAGES: AtomicU64 = AtomicU64::new(0);
    let point = POINT.get_or_init(|| {
        let point = Point::parse(&std::env::var(VARIABLE).ok()?)?;
        let me = role(std::env::args().nth(1).as_deref());
        point.role.as_deref().is_none_or(|role| role == me).then_some(point)
    });
    if let Some(point) = point.as_ref().filter(|point| point.name == name)
        && PASSAGES.fetch_add(1, Ordering::SeqCst) + 1 == point.passage
    {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // The signal is on its way; nothing more may happen.
        loop {
            std::thread::park();
        }
    }
}

#[cfg(debug_assertions)]
#[derive(Debug, PartialEq, Eq)]
struct Point {
    name: String,
    passage: u64,
    role: Option<String>,
}

#[cfg(debug_assertions)]
impl Point {
    fn parse(text: &str) -> Option<Self> {
        let (text, role) = match text.split_once('@') {
            Some((text, role)) => (text, Some(role.to_owned())),
            None => (text, None),
        };
        let (name, passage) = text.split_once(':')?;
        Some(Self {
            name: name.to_owned(),
            passage: passage.parse().ok()?,
            role,
        })
    }
}

/// What a process is, by the first word of its command line.
#[cfg(debug_assertions)]
fn role(verb: Option<&str>) -> &'static str {
    match verb {
        Some("__supervisor") => "supervisor",
        Some("__runner") => "runner",
        Some("__handler") => "handler",
        _ => "command",
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_named_with_its_passage_and_perhaps_a_role() {
        let point = |name: &str, passage, role: Option<&str>| {
            let (name, role) = (name.to_owned(), role.map(str::to_owned));
            Some(Point { name, passage, role })
        };
        for (text, expected) in [
            ("fsync:3", point("fsync", 3, None)),
            ("rename:1@supervisor", point("rename", 1, Some("supervisor"))),
            ("fsync", None),
            ("fsync:x", None),
            ("", None),
        ] {
            assert_eq!(Point::parse(text), expected, "{text}");
        }
        assert_eq!(role(Some("__supervisor")), "supervisor");
        assert_eq!(role(Some("run")), "command");
        // Nothing is set in tests: passing is nothing.
        passed("fsync");
    }
}
