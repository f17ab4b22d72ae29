//! The configuration as a command finds it here, and the approval of what a repository's file has done.

use std::path::PathBuf;

use super::Context;
use super::place::{set_path, state_dir};
use crate::config::{self, Acting, Config, ConfigError, REPOSITORY_FILE, Results, Settings, Sources, Trust, USER_FILE};
use crate::error::Error;
use crate::git::{self, Place};
use crate::report;

/// All layers below the command line, of the repository that the command was given in, if it was in one.
pub(super) fn config(context: &Context) -> Result<(Config, Option<Place>), Error> {
    let place = git::open(&context.directory).map_err(Error::unusable)?;
    let place = place.as_ref().map(git::place_of);
    Ok((config_of(context, place.as_ref())?, place))
}

/// The same, of this repository.
pub(super) fn config_of(context: &Context, place: Option<&Place>) -> Result<Config, ConfigError> {
    Config::read(&Sources {
        repository: repository_file(place),
        user: user_file(),
        variable: &|name| std::env::var_os(name),
        directory: &context.directory,
    })
}

/// What the environment alone says.
pub(super) fn environment(context: &Context) -> Result<Settings, ConfigError> {
    Settings::of_environment(&|name| std::env::var_os(name), &context.directory)
}

fn repository_file(place: Option<&Place>) -> Option<PathBuf> {
    Some(place?.work_dir.as_ref()?.join(REPOSITORY_FILE))
}

fn user_file() -> Option<PathBuf> {
    let absolute = |name: &str| set_path(name).filter(|p| p.is_absolute());
    let directory = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(directory.join(USER_FILE))
}

/// What was approved of a repository.
pub(super) fn trust(place: &Place) -> Result<Trust, ConfigError> {
    let state = state_dir().ok_or(ConfigError::NoPlaceForApprovals)?;
    Ok(Trust::new(state.join("pleach/trust"), &place.common_dir))
}

/// Whether all of it was approved that has to be.
pub(super) fn is_approved(acting: Option<&Acting>, place: Option<&Place>) -> Result<bool, ConfigError> {
    match acting.zip(place) {
        Some((acting, place)) => trust(place)?.is_approved(&acting.text),
        None => Ok(true),
    }
}

/// Refuses a repository's file that has something done nobody has approved. With `yes` it is approved now, and remembered
/// unless nothing is to be started.
pub(super) fn approved(config: &Config, place: Option<&Place>, yes: bool, remember: bool) -> Result<(), Error> {
    let Some((acting, place)) = config.acting.as_ref().zip(place) else {
        return Ok(());
    };
    if is_approved(Some(acting), Some(place))? {
        return Ok(());
    }
    if !yes {
        return Err(Error::Config(ConfigError::NotApproved {
            path: acting.path.clone(),
        }));
    }
    if remember {
        trust(place)?.approve(&acting.text)?;
        report::note(&report::approved(acting));
    }
    Ok(())
}

/// Where the files want sessions to be kept. What was not approved does not count, and that is said.
pub(super) fn results_named(place: Option<&Place>) -> Result<Option<PathBuf>, Error> {
    let repository = repository_file(place);
    let approved = |acting: &Acting| is_approved(Some(acting), place);
    let Results { directory, unapproved } =
        config::results_dir(repository.as_deref(), user_file().as_deref(), approved)?;
    if let Some(path) = unapproved {
        report::warning(&report::results_not_there(&path));
    }
    Ok(directory)
}
