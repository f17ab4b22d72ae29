//! How files come into a worktree: by libgit2 or by the git program, through which filters, and without which hooks.

use std::path::PathBuf;

use git2::Config;
use rustix::fs::{Access, access};

use super::repository::Seen;
use super::{Check, Finding, Level, set_path};
use crate::error::Error;
use crate::git::{Base, Drivers, Git, drivers};
use crate::worktree::{Checkout, choose_checkout};

pub(super) fn look(seen: &Seen<'_>, found: &mut Vec<Finding>) {
    if let Some((git, base)) = seen.git.as_ref().zip(seen.base.as_ref()) {
        found.push(way(seen, git, base));
    }
    if let Some((git, survey)) = seen.git.as_ref().zip(seen.survey.as_ref()) {
        let filters = &survey.attributes.filters;
        match drivers(git) {
            Ok(configured) => found.extend(filters.iter().map(|name| {
                let driver = Driver::of(name, &configured);
                let there = driver.command.as_deref().map(is_there);
                filter(name, &driver, there)
            })),
            Err(e) => found.push(Finding::refusal(Check::Checkout, Level::Problem, &Error::from(e))),
        }
        for name in &survey.attributes.others {
            found.push(Check::Checkout.note(format!(
                "the attribute {name} is set in HEAD: the git program carries it out"
            )));
        }
    }
    if let Some(hook) = post_checkout_hook(seen) {
        found.push(
            Check::Checkout
                .note(format!(
                    "the hook {} is not run for worktrees of pleach",
                    hook.display()
                ))
                .hint("where an agent needs what it does, say so in its prompt"),
        );
    }
    // It may also be the path of a program.
    let fsmonitor = seen.settings.get("core.fsmonitor");
    if fsmonitor.is_some_and(|value| Config::parse_bool(value) != Ok(false)) {
        found.push(Check::Checkout.note("core.fsmonitor is set; the git that pleach starts does without it"));
    }
}

/// As a session would decide it.
fn way(seen: &Seen<'_>, git: &Git, base: &Base) -> Finding {
    match choose_checkout(seen.repository, git, &base.commit) {
        Ok(Checkout::Libgit2) => Check::Checkout.ok("worktrees are written by libgit2, the faster way"),
        Ok(Checkout::GitProgram(why)) => Check::Checkout.note(format!(
            "worktrees are written by the git program, the slower way, because of {why}"
        )),
        Err(e) => Finding::refusal(Check::Checkout, Level::Problem, &Error::from(e)),
    }
}

/// A filter as it is configured.
#[derive(Debug, Default, PartialEq, Eq)]
struct Driver {
    /// What turns the content of a commit into a file.
    command: Option<String>,
    /// Whether a checkout fails without it.
    required: bool,
}

impl Driver {
    fn of(name: &str, configured: &Drivers) -> Self {
        let setting = |what: &str| {
            configured
                .get(&format!("filter.{name}.{what}"))
                .filter(|v| !v.is_empty())
        };
        Self {
            command: setting("process").or_else(|| setting("smudge")).cloned(),
            required: setting("required").is_some_and(|v| Config::parse_bool(v.as_str()) == Ok(true)),
        }
    }
}

/// What a filter means for worktrees; `there` says whether its program was found.
fn filter(name: &str, driver: &Driver, there: Option<bool>) -> Finding {
    let lfs = name == "lfs";
    let what = if lfs {
        "Git LFS".to_owned()
    } else {
        format!("the filter {name}")
    };
    let install = match lfs {
        true => "install git-lfs, and then: git lfs install".to_owned(),
        false => format!("configure filter.{name}.smudge and filter.{name}.clean, as the project says"),
    };
    let Some(command) = &driver.command else {
        let effect = if lfs {
            "agents see pointers instead of the files"
        } else {
            "agents see the files as they are stored"
        };
        return Check::Checkout
            .warning(format!("files of HEAD need {what}, which is not configured: {effect}"))
            .hint(install);
    };
    if there == Some(false) {
        let program = program_of(command).unwrap_or_default();
        let message = format!("files of HEAD need {what}, and its program {program} is not there");
        return match driver.required {
            true => Check::Checkout
                .problem(format!("{message}: worktrees cannot be made"))
                .hint(install),
            false => Check::Checkout
                .warning(format!("{message}: files stay as they are stored"))
                .hint(install),
        };
    }
    Check::Checkout.ok(format!("files of HEAD go through {what}: {command}"))
}

/// The program that a command of the shell starts with; none where only a shell could say.
fn program_of(command: &str) -> Option<String> {
    let first = shlex::split(command)?.into_iter().next()?;
    let plain = !first.contains(['$', '=', '(', '`', ';', '&', '|', '~']);
    (plain && first != "test" && first != "if").then_some(first)
}

/// Whether that program can be found; where that cannot be known it is taken to be there.
fn is_there(command: &str) -> bool {
    program_of(command).is_none_or(|program| which::which(program).is_ok())
}

/// The hook that `git worktree add` would run.
fn post_checkout_hook(seen: &Seen<'_>) -> Option<PathBuf> {
    let common = &seen.place.common_dir;
    let from = seen.place.work_dir.as_deref().unwrap_or(common);
    let hooks = match seen.settings.get("core.hookspath") {
        Some(path) => from.join(in_home(path)),
        None => common.join("hooks"),
    };
    let hook = hooks.join("post-checkout");
    (hook.is_file() && access(&hook, Access::EXEC_OK).is_ok()).then_some(hook)
}

fn in_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), set_path("HOME")) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => path.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_as_they_are_configured() {
        let configured: Drivers = [
            ("filter.lfs.process", "git-lfs filter-process"),
            ("filter.lfs.smudge", "git-lfs smudge -- %f"),
            ("filter.lfs.required", "True"),
            ("filter.crypt.smudge", "decrypt"),
            ("filter.off.smudge", ""),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let of = |name| Driver::of(name, &configured);
        assert_eq!(of("lfs").command.as_deref(), Some("git-lfs filter-process"));
        assert!(of("lfs").required && !of("crypt").required);
        assert_eq!(of("off"), Driver::default());
        for (name, there, level) in [
            ("lfs", Some(true), Level::Ok),
            ("lfs", Some(false), Level::Problem),
            ("crypt", Some(false), Level::Warning),
            ("off", None, Level::Warning),
        ] {
            let finding = filter(name, &of(name), there);
            assert_eq!(finding.level, level, "{finding:?}");
            assert_eq!(finding.hint.is_some(), level != Level::Ok);
        }
        assert!(filter("lfs", &of("off"), None).message.contains("pointers"));
    }

    #[test]
    fn programs_of_commands() {
        for (command, program) in [
            ("git-lfs smudge -- %f", Some("git-lfs")),
            ("'/opt/my tool' x", Some("/opt/my tool")),
            ("A=1 tool", None),
            ("$TOOL x", None),
            ("", None),
            ("'", None),
        ] {
            assert_eq!(program_of(command).as_deref(), program, "{command}");
        }
    }
}
