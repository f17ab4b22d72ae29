//! Whether systemd-logind ends a session of ours when its user logs out.
//!
//! With `KillUserProcesses=yes` it kills whatever a user has left running, unless that user lingers. Its settings are
//! read as systemd reads them: one main file, and then the files of the `logind.conf.d` directories in the order of
//! their names, of which one in `/etc` hides those of the same name in `/run` and `/usr`. The last setting wins.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Check, Finding};

/// Where systemd looks, the most important first.
const DIRECTORIES: [&str; 4] = ["etc/systemd", "run/systemd", "usr/local/lib/systemd", "usr/lib/systemd"];

pub(super) fn look(found: &mut Vec<Finding>) {
    let root = Path::new("/");
    let uid = rustix::process::geteuid().as_raw();
    let user = user_name(root, uid).or_else(|| std::env::var("USER").ok());
    if cfg!(target_os = "linux") {
        found.push(judge(root, user.as_deref()));
    }
}

/// What logging out means to the sessions of `user`.
fn judge(root: &Path, user: Option<&str>) -> Finding {
    if !root.join("run/systemd/system").is_dir() {
        return Check::Logout.ok("this system was not started by systemd: nothing ends sessions at logout");
    }
    let settings = Settings::read(root);
    let Some(user) = user else {
        return Check::Logout.note("the name of this user is not known, and so not what happens at logout");
    };
    let lingers = root.join("var/lib/systemd/linger").join(user).exists();
    match settings.kills(user) {
        Some(false) => Check::Logout.ok("sessions outlive your logout"),
        Some(true) if lingers => Check::Logout.ok("sessions outlive your logout, because you linger"),
        Some(true) => Check::Logout
            .warning("systemd-logind kills what you have started when you log out (KillUserProcesses), sessions too")
            .hint("loginctl enable-linger"),
        None if lingers => Check::Logout.ok("sessions outlive your logout, because you linger"),
        None => Check::Logout
            .note("whether systemd-logind kills what you have started when you log out is not written down")
            .hint("to be sure that it does not: loginctl enable-linger"),
    }
}

/// What logind is told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Settings {
    kill: Option<bool>,
    only: Vec<String>,
    /// None as long as nothing is set: then it is root.
    exclude: Option<Vec<String>>,
}

impl Settings {
    fn read(root: &Path) -> Self {
        let mut settings = Self::default();
        let main = DIRECTORIES.iter().map(|dir| root.join(dir).join("logind.conf"));
        if let Some(text) = main.filter_map(|path| fs::read_to_string(path).ok()).next() {
            settings.kill = built_in(&text);
            settings.take_in(&text);
        }
        let mut parts: BTreeMap<OsString, PathBuf> = BTreeMap::new();
        for dir in DIRECTORIES.iter().rev() {
            let entries = fs::read_dir(root.join(dir).join("logind.conf.d"))
                .into_iter()
                .flatten()
                .flatten();
            let named = entries.filter(|e| e.path().extension().is_some_and(|x| x == "conf"));
            parts.extend(named.map(|e| (e.file_name(), e.path())));
        }
        for path in parts.values() {
            // One that cannot be read is one that logind does not obey.
            settings.take_in(&fs::read_to_string(path).unwrap_or_default());
        }
        settings
    }

    fn take_in(&mut self, text: &str) {
        let mut in_section = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with('[') {
                in_section = line == "[Login]";
            }
            let Some((key, value)) = line.split_once('=').filter(|_| in_section) else {
                continue;
            };
            let value = value.trim();
            match key.trim() {
                // What is neither is ignored.
                "KillUserProcesses" => self.kill = boolean(value).or(self.kill),
                "KillOnlyUsers" => add(&mut self.only, value),
                "KillExcludeUsers" => add(self.exclude.get_or_insert_default(), value),
                _ => {}
            }
        }
    }

    /// As logind decides it; none when nothing says what the default is.
    fn kills(&self, user: &str) -> Option<bool> {
        let excluded = match &self.exclude {
            Some(names) if !names.is_empty() => names.iter().any(|n| n == user),
            _ => user == "root",
        };
        if excluded {
            return Some(false);
        }
        if !self.only.is_empty() {
            return Some(self.only.iter().any(|n| n == user));
        }
        self.kill
    }
}

/// A list of names that grows; an empty value begins it anew.
fn add(names: &mut Vec<String>, value: &str) {
    if value.is_empty() {
        names.clear();
    }
    names.extend(value.split_ascii_whitespace().map(str::to_owned));
}

fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

/// The default that was built in: the main file has each as a comment.
fn built_in(text: &str) -> Option<bool> {
    let value = |line: &str| {
        boolean(
            line.trim()
                .strip_prefix('#')?
                .trim()
                .strip_prefix("KillUserProcesses=")?
                .trim(),
        )
    };
    text.lines().find_map(value)
}

/// The name of a user, as far as it stands in the file of users.
fn user_name(root: &Path, uid: u32) -> Option<String> {
    let text = fs::read_to_string(root.join("etc/passwd")).ok()?;
    let fields = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = fields
        .into_iter()
        .find(|f| f.get(2).is_some_and(|id| id.parse() == Ok(uid)))?;
    found.first().map(|name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    /// A system with these files.
    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("run/systemd/system")).unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn level(files: &[(&str, &str)], user: &str) -> Level {
        judge(system(files).path(), Some(user)).level
    }

    const YES: &str = "[Login]\nKillUserProcesses=yes\n";
    const NO: &str = "[Login]\nKillUserProcesses=no\n";

    #[test]
    fn the_last_setting_wins() {
        let etc = "etc/systemd/logind.conf";
        for (files, expected) in [
            (&[][..], Level::Note),
            (&[(etc, YES)], Level::Warning),
            (&[(etc, NO)], Level::Ok),
            (&[(etc, "[Login]\n#KillUserProcesses=no\n")], Level::Ok),
            (&[(etc, "[Login]\n#KillUserProcesses=yes\n")], Level::Warning),
            (&[(etc, "[Other]\nKillUserProcesses=yes\n")], Level::Note),
            (
                &[(
                    etc,
                    "[Login]\nKillUserProcesses=yes\nKillUserProcesses = off\nKillUserProcesses=maybe\n",
                )],
                Level::Ok,
            ),
            // The first main file is the only one.
            (&[(etc, NO), ("usr/lib/systemd/logind.conf", YES)], Level::Ok),
            (&[("usr/lib/systemd/logind.conf", YES)], Level::Warning),
            // The parts come after it, in the order of their names.
            (
                &[(etc, NO), ("usr/lib/systemd/logind.conf.d/a.conf", YES)],
                Level::Warning,
            ),
            (
                &[
                    ("etc/systemd/logind.conf.d/10.conf", YES),
                    ("usr/lib/systemd/logind.conf.d/20.conf", NO),
                ],
                Level::Ok,
            ),
            // Of the same name that in /etc is the only one, also when it is empty.
            (
                &[
                    ("etc/systemd/logind.conf.d/a.conf", ""),
                    ("run/systemd/logind.conf.d/a.conf", YES),
                    (etc, NO),
                ],
                Level::Ok,
            ),
            (&[("etc/systemd/logind.conf.d/a.txt", YES), (etc, NO)], Level::Ok),
        ] {
            assert_eq!(level(files, "ann"), expected, "{files:?}");
        }
    }

    #[test]
    fn users_that_are_named() {
        let etc = "etc/systemd/logind.conf";
        let with = |more: &str| format!("{YES}{more}");
        for (text, user, expected) in [
            (with(""), "root", Level::Ok),
            (with("KillExcludeUsers=ann bob"), "bob", Level::Ok),
            (with("KillExcludeUsers=ann bob"), "root", Level::Warning),
            (with("KillExcludeUsers=ann\nKillExcludeUsers=\n"), "ann", Level::Warning),
            (with("KillOnlyUsers=bob"), "ann", Level::Ok),
            (format!("{NO}KillOnlyUsers=ann"), "ann", Level::Warning),
        ] {
            assert_eq!(level(&[(etc, &text)], user), expected, "{user}: {text}");
        }
    }

    #[test]
    fn who_lingers_stays_and_elsewhere_there_is_no_logind() {
        let linger = ("var/lib/systemd/linger/ann", "");
        let etc = ("etc/systemd/logind.conf", YES);
        assert_eq!(level(&[etc, linger], "ann"), Level::Ok);
        assert_eq!(level(&[linger], "ann"), Level::Ok);
        let root = system(&[etc]);
        let warning = judge(root.path(), Some("ann"));
        assert_eq!(warning.hint.as_deref(), Some("loginctl enable-linger"));
        assert_eq!(judge(root.path(), None).level, Level::Note);
        fs::remove_dir(root.path().join("run/systemd/system")).unwrap();
        assert_eq!(judge(root.path(), Some("ann")).level, Level::Ok);
    }

    #[test]
    fn names_of_users() {
        let root = system(&[("etc/passwd", "root:x:0:0::/:/bin/sh\nann:x:1000:1000::/:/bin/sh\n")]);
        assert_eq!(user_name(root.path(), 1000).as_deref(), Some("ann"));
        assert_eq!(user_name(root.path(), 100), None);
    }
}
