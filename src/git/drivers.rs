//! Programs that git's configuration names for files: filter drivers and merge drivers.
//!
//! An agent can configure one as well as the user can, and have it chosen by attributes that it commits. Those that
//! were there when a session started are the user's; with any other switched off git runs nothing of an agent's.

use std::collections::BTreeMap;

use super::{Git, GitError};

/// The drivers, each setting with its value (of one that is set again and again the last).
pub type Drivers = BTreeMap<String, String>;

/// The drivers in git's configuration, as the git program reads it.
pub fn drivers(git: &Git) -> Result<Drivers, GitError> {
    let keys = r"^(filter\..*|merge\..*\.driver)$";
    let (_, text) = git.ask(&["config", "--null", "--get-regexp", keys], &[0, 1])?;
    let entries = text.split(|&b| b == 0).filter(|e| !e.is_empty());
    Ok(entries
        .map(|entry| {
            let entry = String::from_utf8_lossy(entry);
            let (key, value) = entry.split_once('\n').unwrap_or((&entry, ""));
            (key.to_owned(), value.to_owned())
        })
        .collect())
}

/// The same git without the drivers that are not `known`, and the names of their settings.
pub fn without_foreign(git: Git, known: &Drivers) -> Result<(Git, Vec<String>), GitError> {
    let now = drivers(&git)?;
    let foreign = now.into_iter().filter(|(key, value)| known.get(key) != Some(value));
    let foreign: Vec<String> = foreign.map(|(key, _)| key).collect();
    let off = foreign
        .iter()
        .map(|key| switched_off(key))
        .collect::<Result<Vec<_>, _>>()?;
    Ok((git.with_configuration(off), foreign))
}

fn switched_off(key: &str) -> Result<String, GitError> {
    // On the command line the first equals sign ends the name, and what is no text was read with a stand-in.
    if key.contains(['=', char::REPLACEMENT_CHARACTER]) {
        return Err(GitError::Foreign(key.to_owned()));
    }
    Ok(match key.rsplit('.').next() {
        // This one is no command but a word of git's.
        Some("required") => format!("{key}=false"),
        // A command that fails: what it would have merged is a conflict.
        Some("driver") if key.starts_with("merge.") => format!("{key}=false"),
        _ => format!("{key}="),
    })
}

#[cfg(test)]
mod tests {
    use super::switched_off;

    #[test]
    fn settings_that_run_nothing() {
        for (key, expected) in [
            ("filter.lfs.clean", Some("filter.lfs.clean=")),
            ("filter.lfs.required", Some("filter.lfs.required=false")),
            ("merge.ours.driver", Some("merge.ours.driver=false")),
            ("filter.driver.process", Some("filter.driver.process=")),
            ("filter.a=b.clean", None),
            ("filter.\u{fffd}.clean", None),
        ] {
            assert_eq!(switched_off(key).ok().as_deref(), expected, "{key}");
        }
    }
}
