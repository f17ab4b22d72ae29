//! The configuration: each setting with where it comes from, and what of a repository's file is to be approved.

use std::fmt::Write;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value as Json;

use super::columns::width;
use super::{escape, unbroken};
use crate::config::{AGENT_KEYS, Acting, Config, ENV, KEYS, Layer, Origin, Setting, Value, toml_text};

/// All settings that are in effect, as JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ConfigDocument {
    /// The number of this format.
    pub schema: u32,
    /// The files that are looked at, the stronger first.
    pub files: Vec<ConfigFile>,
    /// Whether all was approved that the repository's file has run, written where it says, or allowed beyond what the user
    /// wanted; also if there is nothing of that kind in it.
    pub approved: bool,
    /// Each setting.
    pub settings: Vec<ConfigEntry>,
}

/// A file that is looked at.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ConfigFile {
    /// `repository` or `user`.
    pub layer: &'static str,
    /// Where it is.
    pub path: String,
    /// Whether it is there.
    pub there: bool,
}

/// A setting.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ConfigEntry {
    /// Its key.
    pub key: String,
    /// Its value; null if there is none.
    pub value: Json,
    /// `environment`, `repository`, `user` or `usual`.
    pub from: &'static str,
    /// The variable of the environment that says it.
    pub variable: Option<&'static str>,
    /// The file that says it.
    pub path: Option<String>,
    /// The line in it.
    pub line: Option<usize>,
    /// Whether it counts only when it is approved.
    pub needs_approval: bool,
    #[serde(skip)]
    #[schemars(skip)]
    text: String,
}

/// What is in effect. `approved` says whether all was approved that has to be.
pub fn config_document(config: &Config, approved: bool) -> ConfigDocument {
    let said = &config.settings.said;
    let entry = |key: String, setting: &Setting| {
        let acts = (config.acting.as_ref()).is_some_and(|acting| acting.names.contains(&key));
        entry(key, setting, acts)
    };
    let mut settings = Vec::new();
    for key in &KEYS {
        let below = format!("{}.", key.name);
        let variables = said.iter().filter(|(name, _)| below == ENV && name.starts_with(ENV));
        let before = settings.len();
        settings.extend(variables.map(|(name, setting)| entry(name.clone(), setting)));
        if settings.len() > before {
            continue;
        }
        settings.push(match said.get(key.name) {
            Some(setting) => entry(key.name.into(), setting),
            None => usual(key.name, key.usual_value(), key.usual),
        });
    }
    for (name, agent) in &config.settings.agents {
        settings.extend(agent.lines(name).into_iter().map(|(key, value)| {
            let origin = agent.origin.clone();
            entry(key, &Setting { value, origin })
        }));
    }
    ConfigDocument {
        schema: 1,
        files: config.files.iter().map(file).collect(),
        approved,
        settings,
    }
}

fn file(looked: &crate::config::Looked) -> ConfigFile {
    ConfigFile {
        layer: layer(looked.layer),
        path: looked.path.to_string_lossy().into_owned(),
        there: looked.there,
    }
}

fn layer(layer: Layer) -> &'static str {
    match layer {
        Layer::Repository => "repository",
        Layer::User => "user",
    }
}

fn entry(key: String, setting: &Setting, acts: bool) -> ConfigEntry {
    let (from, variable, path, line) = match &setting.origin {
        Origin::Variable(name) => ("environment", Some(*name), None, None),
        Origin::File(of, path, line) => (layer(*of), None, Some(path.to_string_lossy().into_owned()), Some(*line)),
    };
    ConfigEntry {
        key,
        value: setting.value.json(),
        from,
        variable,
        path,
        line,
        needs_approval: acts && from == "repository",
        text: setting.value.toml(),
    }
}

fn usual(key: &str, value: Option<Value>, words: &str) -> ConfigEntry {
    ConfigEntry {
        key: key.into(),
        value: value.as_ref().map_or(Json::Null, Value::json),
        from: "usual",
        variable: None,
        path: None,
        line: None,
        needs_approval: false,
        text: value.map_or_else(|| words.to_owned(), |value| value.toml()),
    }
}

/// The same as text: a line for each setting.
pub fn config(document: &ConfigDocument) -> String {
    let mut text = String::new();
    for file in &document.files {
        let there = if file.there { "" } else { " (not there)" };
        let _ = writeln!(text, "# {}: {}{there}", file.layer, unbroken(&file.path));
    }
    let left: Vec<String> = document
        .settings
        .iter()
        .map(|entry| {
            let plain = entry
                .key
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
            let key = if plain {
                entry.key.clone()
            } else {
                toml_text(&entry.key)
            };
            format!("{key} = {}", unbroken(&entry.text))
        })
        .collect();
    // A long one is not what the others stand far to the right for.
    const WIDEST: usize = 40;
    let columns = left
        .iter()
        .map(|line| width(line))
        .filter(|&w| w <= WIDEST)
        .max()
        .unwrap_or(0);
    for (entry, left) in document.settings.iter().zip(left) {
        let from = match (entry.variable, &entry.path, entry.line) {
            (Some(variable), ..) => variable.to_owned(),
            (None, Some(path), Some(line)) => format!("{}:{line}", unbroken(path)),
            _ => entry.from.to_owned(),
        };
        let not = match entry.needs_approval && !document.approved {
            true => ", not approved",
            false => "",
        };
        let room = " ".repeat(columns.saturating_sub(width(&left)));
        let _ = writeln!(text, "{left}{room}  # {from}{not}");
    }
    if !document.approved {
        text += "\nwhat is not approved keeps pleach run from starting anything; to look at it: pleach trust\n";
    }
    text
}

/// All keys that there are, with what each takes and means: a file of the configuration that sets none of them yet.
pub fn config_keys() -> String {
    let mut text = String::from("# What pleach.toml and config.toml may say. What is in effect: pleach config\n");
    let mut table = "";
    for key in &KEYS {
        let (of, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if of != table {
            let _ = writeln!(text, "\n[{of}]");
            table = of;
        }
        let value = key.usual_value().map_or_else(String::new, |value| value.toml());
        let (about, wanted, usual) = (key.about, key.kind.wanted(), key.usual);
        let _ = write!(text, "\n# {about}:\n# {wanted}; usually {usual}\n#{name} = {value}\n");
    }
    text += "\n#[agent.NAME]\n";
    for (name, wanted, about) in &AGENT_KEYS {
        let _ = write!(text, "\n# {about}:\n# {wanted}\n#{name} = \n");
    }
    text
}

/// What a repository's file has run and allowed, for the user to read. It is in the form in which nothing can hide.
pub fn acting(acting: &Acting) -> String {
    format!(
        "{} has pleach run this, write there, or go beyond your limits, as you:\n\n{}\n",
        unbroken(&acting.path.to_string_lossy()),
        escape(&acting.text)
    )
}

/// Said when it was approved on the way.
pub fn approved(acting: &Acting) -> String {
    format!(
        "approved what {} has pleach do; to see it: pleach trust",
        unbroken(&acting.path.to_string_lossy())
    )
}

/// Said when sessions are looked for in another place than a file says.
pub fn results_not_there(path: &Path) -> String {
    format!(
        "the results_dir in {} was not approved and does not count; to look at it: pleach trust",
        path.display()
    )
}
