//! A port of its own for each attempt, for the servers that an agent starts: `PLEACH_PORT`.
//!
//! A port is a file in a directory that all sessions of a user on a machine share, and whoever has it locked: so no two
//! attempts ever have the same, and it is free again when the runner ends, however that is. Ports that something
//! listens at are passed over, and those are not used that the system gives to connections by itself.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::path::Path;

use tokio::net::TcpSocket;

use super::RunnerRequest;
use crate::store::atomic;
use crate::store::lock::Lock;

/// The variable.
pub(super) const VARIABLE: &str = "PLEACH_PORT";

/// The ports that are used, unless the system uses them itself.
const USUAL: std::ops::RangeInclusive<u16> = 20_000..=29_999;
/// With fewer of them all others are looked at that need no rights.
const ENOUGH: usize = 1_000;
/// What Linux gives to connections when nobody says.
const GIVEN_BY_LINUX: (u16, u16) = (32_768, 60_999);

/// A port that nobody else of ours has as long as this lives.
#[derive(Debug)]
pub(super) struct Port {
    number: u16,
    _lock: Lock,
}

impl Port {
    pub(super) fn number(&self) -> u16 {
        self.number
    }
}

/// Takes a port for an attempt, if it is to have one. That it could not be had is a note, and the attempt goes on: most
/// agents need none.
pub(super) fn of_attempt(request: &RunnerRequest) -> (Option<Port>, Option<String>) {
    let Some(directory) = &request.ports else {
        return (None, None);
    };
    let ephemeral = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok();
    let ephemeral = ephemeral.and_then(|text| range(&text)).unwrap_or(GIVEN_BY_LINUX);
    // Elsewhere for each attempt: a port is not used again soon, and many who start at once do not ask for the same.
    let start = request.attempt.as_u128();
    match take(directory, &candidates(ephemeral), start, is_free) {
        Ok(Some(port)) => (Some(port), None),
        Ok(None) => (
            None,
            Some(format!("it had no port of its own ({VARIABLE}): none is free")),
        ),
        Err(e) => (
            None,
            Some(format!(
                "it had no port of its own ({VARIABLE}): {}: {e}",
                directory.display()
            )),
        ),
    }
}

fn range(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn candidates((low, high): (u16, u16)) -> Vec<u16> {
    let free = |port: &u16| !(low..=high).contains(port);
    let usual: Vec<u16> = USUAL.filter(free).collect();
    if usual.len() >= ENOUGH {
        return usual;
    }
    (1024..=u16::MAX).filter(free).collect()
}

fn take(
    directory: &Path,
    ports: &[u16],
    start: u128,
    is_free: impl Fn(u16) -> io::Result<bool>,
) -> io::Result<Option<Port>> {
    atomic::own_dir(directory)?;
    let first = usize::try_from(start % (ports.len().max(1) as u128)).unwrap_or_default();
    for &number in ports[first..].iter().chain(&ports[..first]) {
        let lock = Lock::try_acquire(&directory.join(format!("port-{number}.lock")))?;
        if let Some(lock) = lock
            && is_free(number)?
        {
            return Ok(Some(Port { number, _lock: lock }));
        }
    }
    Ok(None)
}

/// Whether nothing listens at a port of this machine.
fn is_free(port: u16) -> io::Result<bool> {
    for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        if !may_be_free(TcpListener::bind((address, port)).map(drop))? {
            return Ok(false);
        }
    }
    // A server may want it at all addresses of the machine. Nothing listens here, not even for a moment.
    let of_all = TcpSocket::new_v4().and_then(|socket| socket.bind((Ipv4Addr::UNSPECIFIED, port).into()));
    may_be_free(of_all)
}

/// What taking a port at an address tells of it.
fn may_be_free(taken: io::Result<()>) -> io::Result<bool> {
    match taken {
        Err(e) if matches!(e.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied) => Ok(false),
        // The machine has no such address.
        Err(e) if e.kind() == ErrorKind::AddrNotAvailable || is_unsupported(&e) => Ok(true),
        other => other.map(|()| true),
    }
}

fn is_unsupported(e: &io::Error) -> bool {
    e.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_that_the_system_gives_away_are_left_to_it() {
        let usual = candidates(GIVEN_BY_LINUX);
        assert_eq!((usual.len(), usual[0]), (10_000, 20_000));
        assert_eq!(candidates((25_000, 60_000)).last(), Some(&24_999));
        let others = candidates((15_000, 61_000));
        assert!(others.len() > ENOUGH && !others.contains(&20_000) && others.contains(&61_001));
        assert!(candidates((1024, u16::MAX)).is_empty());
        assert_eq!(range("32768\t60999\n"), Some((32_768, 60_999)));
        assert_eq!(range("none"), None);
    }

    #[test]
    fn each_has_its_own_and_none_has_one_that_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("ports");
        let free = |port| Ok(port != 2);
        let port = |start| take(&dir, &[1, 2, 3], start, free).unwrap();
        let first = port(1).unwrap();
        let second = port(1).unwrap();
        assert_eq!((first.number(), second.number()), (3, 1));
        assert!(port(0).is_none());
        drop(first);
        assert_eq!(port(0).map(|p| p.number()), Some(3));
        assert!(take(&dir, &[], 7, free).unwrap().is_none());
    }

    #[test]
    fn a_port_that_something_listens_at_is_not_free() {
        // Linux has more than one address that is always there.
        let other = if cfg!(target_os = "linux") { 2 } else { 1 };
        for address in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, other)] {
            let listener = TcpListener::bind((address, 0)).unwrap();
            let number = listener.local_addr().unwrap().port();
            assert!(!is_free(number).unwrap(), "{address}");
        }
    }

    #[test]
    fn a_machine_without_an_address_has_nobody_who_listens_there() {
        use rustix::io::Errno;
        let tried = |errno: Errno| may_be_free(Err(errno.into()));
        for absent in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL] {
            assert!(tried(absent).unwrap(), "{absent}");
        }
        for taken in [Errno::ADDRINUSE, Errno::ACCESS] {
            assert!(!tried(taken).unwrap(), "{taken}");
        }
        assert!(tried(Errno::MFILE).is_err() && may_be_free(Ok(())).unwrap());
    }
}
