//! What the user wants by default: the layers below the command line, and where each setting comes from.
//!
//! The environment counts more than the repository's `pleach.toml`, that more than the user's `config.toml`. `key` is the
//! table of all keys, `file` reads one file, `settings` puts the layers together, and `trust` remembers what of the
//! repository's file the user has approved: whatever is run because of that file, written where it says, or lets more
//! happen than the user wanted. Both files are read once; what was approved is what is used.

#[cfg(test)]
mod docs;
mod error;
mod file;
mod key;
mod settings;
mod trust;
mod value;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub use error::{ConfigError, Spot};
pub use key::{AGENT_KEYS, KEYS, Key, Kind, find};
use settings::line;
pub use settings::{Described, ENV, Layer, Origin, Setting, Settings, milliseconds};
pub use trust::Trust;
pub use value::{Value, toml_text};

#[cfg(test)]
pub(crate) use error::ConfigErrorName;

/// The repository's file, in the top directory of the checkout.
pub const REPOSITORY_FILE: &str = "pleach.toml";
/// The user's, in their directory for configuration.
pub const USER_FILE: &str = "pleach/config.toml";

/// Where the layers are.
pub struct Sources<'a> {
    /// The repository's file, which need not be there.
    pub repository: Option<PathBuf>,
    /// The user's, which need not be there.
    pub user: Option<PathBuf>,
    /// The environment.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// Relative paths in the environment are below it.
    pub directory: &'a Path,
}

/// A file that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// Whose.
    pub layer: Layer,
    /// Where.
    pub path: PathBuf,
    /// Whether it is there.
    pub there: bool,
}

/// What of the repository's file has to be approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acting {
    /// The file.
    pub path: PathBuf,
    /// A line for each setting, in one form whatever way it is written in the file.
    pub text: String,
    /// The names of these settings.
    pub names: BTreeSet<String>,
}

impl Acting {
    /// Of what the repository's file says, for a user whose own file says `yours`; none if all of it may count at once.
    fn of(path: &Path, said: &Settings, yours: &Settings) -> Option<Self> {
        let settings = said.to_approve(yours);
        (!settings.is_empty()).then(|| Self {
            path: path.into(),
            text: settings.iter().map(|(name, value)| line(name, value)).collect(),
            names: settings.into_iter().map(|(name, _)| name).collect(),
        })
    }
}

/// All layers below the command line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// What they say together.
    pub settings: Settings,
    /// The files.
    pub files: Vec<Looked>,
    /// What has to be approved, if anything.
    pub acting: Option<Acting>,
}

impl Config {
    /// Reads all layers.
    pub fn read(sources: &Sources<'_>) -> Result<Self, ConfigError> {
        let mut config = Self {
            settings: Settings::of_environment(sources.variable, sources.directory)?,
            ..Self::default()
        };
        let mut read = |layer, path: &Option<PathBuf>| {
            let Some(path) = path else { return Ok(None) };
            let bytes = file::load(path)?;
            config.files.push(Looked {
                layer,
                path: path.clone(),
                there: bytes.is_some(),
            });
            bytes.map(|bytes| file::parse(&bytes, path, layer)).transpose()
        };
        let repository = read(Layer::Repository, &sources.repository)?;
        let user = read(Layer::User, &sources.user)?.unwrap_or_default();
        if let Some((said, path)) = repository.zip(sources.repository.as_deref()) {
            config.acting = Acting::of(path, &said, &user);
            config.settings = config.settings.over(said);
        }
        config.settings = config.settings.over(user);
        Ok(config)
    }
}

/// Where the files want sessions to be kept: the repository's only if what it has pleach do is approved. Nothing else in
/// them is looked at where none of them speaks of that: a mistake there is for who starts a session.
pub fn results_dir(
    repository: Option<&Path>,
    user: Option<&Path>,
    approved: impl FnOnce(&Acting) -> Result<bool, ConfigError>,
) -> Result<Results, ConfigError> {
    const NAME: &str = "results_dir";
    let read = |path: Option<&Path>, layer, all: bool| {
        let Some(path) = path else { return Ok(None) };
        let names = |bytes: &Vec<u8>| all || bytes.windows(NAME.len()).any(|part| part == NAME.as_bytes());
        let bytes = file::load(path)?.filter(names);
        bytes.map(|bytes| file::parse(&bytes, path, layer)).transpose()
    };
    let theirs = read(repository, Layer::Repository, false)?.filter(|said| said.path(NAME).is_some());
    // What has to be approved of theirs depends on what the user's own says.
    let yours = read(user, Layer::User, theirs.is_some())?.unwrap_or_default();
    let of = |said: &Settings| said.path(NAME).map(Path::to_owned);
    let mut unapproved = None;
    if let Some((said, path)) = theirs.zip(repository)
        && let Some(acting) = Acting::of(path, &said, &yours)
    {
        if approved(&acting)? {
            return Ok(Results {
                directory: of(&said),
                unapproved,
            });
        }
        unapproved = Some(acting.path);
    }
    Ok(Results {
        directory: of(&yours),
        unapproved,
    })
}

/// Where sessions are kept, as far as files say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Results {
    /// The directory.
    pub directory: Option<PathBuf>,
    /// A file that names another, which does not count until that is approved.
    pub unapproved: Option<PathBuf>,
}
