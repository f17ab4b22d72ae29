//! One configuration file: from its bytes to settings, or to one error that names the place.
//!
//! Every key has to be known and every value of its kind: what is misspelt would otherwise be what nobody notices. Paths
//! are taken from the directory of the file. Reading is thin, the rest is pure.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Spot};
use super::key::{AGENT_KEYS, KEYS, Key, Kind, find};
use super::settings::{Described, ENV, Layer, Origin, Setting, Settings};
use super::value::Value;
use crate::task::input::{Position, nearest};
use crate::task::title::quoted;
use crate::task::{PromptBy, SuccessBy};

/// The most bytes that a configuration may have.
const MOST: u64 = 1 << 20;
/// Agents that are always there, and the word for the one that is usual.
const TAKEN: [&str; 3] = ["claude", "scripted", "default"];

/// The bytes of a file; none if it is not there.
pub fn load(path: &Path) -> Result<Option<Vec<u8>>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        path: path.into(),
        source,
    };
    let not_a_file = |what| ConfigError::NotAFile {
        path: path.into(),
        what,
    };
    // Not opened before that is known: a pipe would be waited for.
    let about = match fs::metadata(path) {
        // A link that leads nowhere was meant to be something.
        Err(e) if is_absent(&e) && path.symlink_metadata().is_err() => return Ok(None),
        other => other.map_err(unreadable)?,
    };
    if about.is_dir() {
        return Err(not_a_file("a directory"));
    }
    if !about.is_file() {
        return Err(not_a_file("something special"));
    }
    let mut text = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MOST + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MOST {
        return Err(ConfigError::TooLarge {
            path: path.into(),
            most: MOST,
        });
    }
    Ok(Some(text))
}

/// Where a directory should be is nothing, or something else.
fn is_absent(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// What a file says.
pub fn parse(bytes: &[u8], path: &Path, layer: Layer) -> Result<Settings, ConfigError> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let before = String::from_utf8_lossy(&bytes[..e.valid_up_to()]);
        ConfigError::NotUtf8 {
            spot: spot(&before, path),
        }
    })?;
    let (table, errors) = DeTable::parse_recoverable(text);
    // The parser goes on after the first, and what it says then may come of that.
    let start = |e: &toml::de::Error| e.span().map_or(0, |span| span.start);
    if let Some(first) = errors.iter().min_by_key(|e| start(e)) {
        return Err(ConfigError::NotToml {
            spot: spot(&text[..floor(text, start(first))], path),
            problem: one_line(first.message()),
        });
    }
    let mut reader = Reader {
        text,
        path,
        layer,
        found: Settings::default(),
    };
    reader.top(table.get_ref())?;
    Ok(reader.found)
}

fn spot(before: &str, path: &Path) -> Spot {
    let Position { line, column } = Position::START.past(before);
    Spot {
        path: path.into(),
        line,
        column,
    }
}

/// The last boundary of a character up to there.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len()))
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0)
}

/// What a parser says, which may quote the text.
fn one_line(message: &str) -> String {
    let lines: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join(", ")
}

struct Reader<'a> {
    text: &'a str,
    path: &'a Path,
    layer: Layer,
    found: Settings,
}

type Entry<'t> = (&'t Spanned<std::borrow::Cow<'t, str>>, &'t Spanned<DeValue<'t>>);

impl Reader<'_> {
    fn spot_of<T>(&self, at: &Spanned<T>) -> Spot {
        spot(&self.text[..floor(self.text, at.span().start)], self.path)
    }

    fn base(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    fn top(&mut self, table: &DeTable<'_>) -> Result<(), ConfigError> {
        for (name, value) in table {
            match (name.get_ref().as_ref(), value.get_ref()) {
                ("worktree", DeValue::Table(inner)) => {
                    for (name, value) in inner {
                        let dotted = format!("worktree.{}", name.get_ref());
                        let key = find(&dotted).ok_or_else(|| self.unknown(name, Some("worktree")))?;
                        self.setting(key, (name, value))?;
                    }
                }
                ("worktree", _) => return Err(self.wrong(name, "worktree", value, "a table: [worktree]")),
                ("agent", DeValue::Table(inner)) => self.agents(inner)?,
                ("env", DeValue::Table(inner)) => self.variables(inner)?,
                // Those of tables are not known without theirs.
                (dotless, _) => match find(dotless).filter(|key| !key.name.contains('.')) {
                    Some(key) => self.setting(key, (name, value))?,
                    None => return Err(self.unknown(name, None)),
                },
            }
        }
        Ok(())
    }

    fn setting(&mut self, key: &Key, (name, value): Entry<'_>) -> Result<(), ConfigError> {
        let value = match value.get_ref() {
            DeValue::Array(items) if key.kind.is_list() => {
                let items = items.iter().map(|item| {
                    let text = self.scalar(key.name, key.kind, item, item)?;
                    Ok(match text {
                        Value::Text(text) => text,
                        other => other.toml(),
                    })
                });
                Value::List(items.collect::<Result<_, ConfigError>>()?)
            }
            _ if key.kind.is_list() || key.kind == Kind::Variables => {
                return Err(self.wrong(name, key.name, value, key.kind.wanted()));
            }
            _ => self.scalar(key.name, key.kind, name, value)?,
        };
        self.say(key.name, name, value);
        Ok(())
    }

    fn say<T>(&mut self, name: &str, at: &Spanned<T>, value: Value) {
        let origin = self.origin(at);
        self.found.said.insert(name.to_owned(), Setting { value, origin });
    }

    fn origin<T>(&self, at: &Spanned<T>) -> Origin {
        Origin::File(self.layer, self.path.into(), self.spot_of(at).line)
    }

    /// One value. Where something is wrong is at `at`.
    fn scalar<T>(
        &self,
        name: &str,
        kind: Kind,
        at: &Spanned<T>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Value, ConfigError> {
        let text = match value.get_ref() {
            DeValue::Boolean(flag) if kind == Kind::Flag => return Ok(Value::Flag(*flag)),
            DeValue::String(text) if !matches!(kind, Kind::Flag | Kind::Count | Kind::CountFromOne) => text.to_string(),
            DeValue::Integer(number) if is_number(kind) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => number.to_string(),
                Err(_) => number.to_string(),
            },
            DeValue::Float(number) if kind == Kind::Usd => number.as_str().to_owned(),
            DeValue::Float(number) if matches!(kind, Kind::Time | Kind::TimeLimit) => milliseconds(number.as_str()),
            DeValue::Float(number) if is_number(kind) => {
                return Err(self.bad(
                    name,
                    at,
                    number.as_str(),
                    kind.wanted(),
                    "must be a whole number".into(),
                ));
            }
            _ => return Err(self.wrong(at, name, value, kind.wanted())),
        };
        let parsed = kind.parse(&text, self.base());
        parsed.map_err(|problem| self.bad(name, at, &text, kind.wanted(), problem))
    }

    fn variables(&mut self, table: &DeTable<'_>) -> Result<(), ConfigError> {
        for (name, value) in table {
            let dotted = format!("{ENV}{}", name.get_ref());
            if name.get_ref().is_empty() || name.get_ref().contains(['=', '\0']) {
                let (wanted, problem) = (Kind::Variables.wanted(), "cannot be the name of a variable");
                return Err(self.bad("env", name, name.get_ref(), wanted, problem.into()));
            }
            let value = self.scalar(&dotted, Kind::Variables, name, value)?;
            self.say(&dotted, name, value);
        }
        Ok(())
    }

    fn agents(&mut self, table: &DeTable<'_>) -> Result<(), ConfigError> {
        for (name, value) in table {
            match (name.get_ref().as_ref(), value.get_ref()) {
                ("default", _) => {
                    let value = self.scalar("agent.default", Kind::Text, name, value)?;
                    self.say("agent", name, value);
                }
                (called, DeValue::Table(inner)) => {
                    if TAKEN.contains(&called) || !is_name(called) {
                        return Err(ConfigError::AgentName {
                            spot: self.spot_of(name),
                            name: called.into(),
                        });
                    }
                    let agent = self.agent(called, name, inner)?;
                    self.found.agents.insert(called.to_owned(), agent);
                }
                (called, _) => {
                    let wanted = "a table such as [agent.codex]";
                    return Err(self.wrong(name, &format!("agent.{called}"), value, wanted));
                }
            }
        }
        Ok(())
    }

    fn agent<T>(&self, called: &str, at: &Spanned<T>, table: &DeTable<'_>) -> Result<Described, ConfigError> {
        let mut agent = Described {
            program: PathBuf::new(),
            args: Vec::new(),
            prompt: PromptBy::default(),
            success: SuccessBy::default(),
            pty: false,
            resume: None,
            origin: self.origin(at),
        };
        for (name, value) in table {
            let part = name.get_ref().as_ref();
            let dotted = format!("agent.{called}.{part}");
            let Some((_, wanted, _)) = AGENT_KEYS.iter().find(|(known, ..)| *known == part) else {
                return Err(self.unknown(name, Some(&format!("agent.{called}"))));
            };
            match (part, value.get_ref()) {
                ("command", DeValue::Array(_)) => {
                    let mut words = self.words(&dotted, value)?.into_iter();
                    let Some(program) = words.next() else { continue };
                    let path = Kind::Program.parse(&program, self.base());
                    let path = path.map_err(|problem| self.bad(&dotted, name, &program, wanted, problem))?;
                    if let Value::Path(path) = path {
                        agent.program = path;
                    }
                    agent.args = words.collect();
                }
                ("resume", DeValue::Array(_)) => agent.resume = Some(self.words(&dotted, value)?),
                ("pty", DeValue::Boolean(pty)) => agent.pty = *pty,
                ("prompt", DeValue::String(text)) => agent.prompt = self.chosen(&dotted, name, text, wanted)?,
                ("success", DeValue::String(text)) => agent.success = self.chosen(&dotted, name, text, wanted)?,
                _ => return Err(self.wrong(name, &dotted, value, wanted)),
            }
        }
        match agent.program.as_os_str().is_empty() {
            true => Err(ConfigError::NoCommand {
                spot: self.spot_of(at),
                name: called.into(),
            }),
            false => Ok(agent),
        }
    }

    fn words(&self, name: &str, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, ConfigError> {
        let items = value.get_ref().as_array().into_iter().flat_map(|items| items.iter());
        let word = |item: &Spanned<DeValue<'_>>| match item.get_ref() {
            // An argument may be empty.
            DeValue::String(text) if text.is_empty() => Ok(String::new()),
            _ => self.scalar(name, Kind::Variables, item, item).map(|value| match value {
                Value::Text(text) => text,
                other => other.toml(),
            }),
        };
        items.map(word).collect()
    }

    /// One of a few words.
    fn chosen<T: serde::de::DeserializeOwned, S>(
        &self,
        name: &str,
        at: &Spanned<S>,
        text: &str,
        wanted: &'static str,
    ) -> Result<T, ConfigError> {
        let one = serde_json::from_value(text.into());
        one.map_err(|_| self.bad(name, at, text, wanted, format!("must be {wanted}")))
    }

    fn bad<T>(&self, key: &str, at: &Spanned<T>, value: &str, wanted: &'static str, problem: String) -> ConfigError {
        ConfigError::BadValue {
            spot: self.spot_of(at),
            what: format!("{} is {}", quoted(key), quoted(value)),
            wanted,
            problem,
        }
    }

    fn wrong<T>(&self, at: &Spanned<T>, key: &str, value: &Spanned<DeValue<'_>>, wanted: &'static str) -> ConfigError {
        ConfigError::WrongType {
            spot: self.spot_of(at),
            key: key.into(),
            found: match value.get_ref() {
                DeValue::String(_) => "a text",
                DeValue::Integer(_) | DeValue::Float(_) => "a number",
                DeValue::Boolean(_) => "true or false",
                DeValue::Datetime(_) => "a date",
                DeValue::Array(_) => "a list",
                DeValue::Table(_) => "a table",
            },
            wanted,
        }
    }

    fn unknown(&self, name: &Spanned<std::borrow::Cow<'_, str>>, table: Option<&str>) -> ConfigError {
        let dotted = |key: &&Key| key.name.split_once('.');
        let known: Vec<&'static str> = match table {
            None => {
                let plain = KEYS.iter().filter(|key| dotted(key).is_none()).map(|key| key.name);
                plain.chain(["worktree"]).collect()
            }
            Some(table) if table.starts_with("agent.") => AGENT_KEYS.iter().map(|(name, ..)| *name).collect(),
            Some(table) => {
                let inner = KEYS.iter().filter_map(|key| dotted(&key));
                inner.filter(|(of, _)| *of == table).map(|(_, name)| name).collect()
            }
        };
        // As keys are spelt elsewhere.
        let meant = name.get_ref().replace('-', "_");
        let places = KEYS.iter().map(|key| dotted(&key).unwrap_or(("", key.name)));
        let home = places.filter(|(_, name)| *name == meant).map(|(of, _)| of).next();
        ConfigError::UnknownKey {
            home: home.filter(|of| *of != table.unwrap_or_default()),
            spot: self.spot_of(name),
            key: name.get_ref().to_string(),
            table: table.map(str::to_owned),
            near: nearest(&meant, known.iter().copied()),
        }
    }
}

/// Seconds as a time is written; what is none as it is.
fn milliseconds(seconds: &str) -> String {
    let time = seconds.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
    time.map_or(seconds.to_owned(), |time| format!("{}ms", time.as_millis()))
}

/// Whether a number stands for it too.
fn is_number(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Parallel | Kind::Time | Kind::TimeLimit | Kind::Count | Kind::CountFromOne | Kind::Usd | Kind::Size
    )
}

/// Whether an agent can be called so: it is shown, and typed.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    !name.is_empty() && name.len() <= 64 && name.chars().all(fits) && !name.starts_with('-')
}

#[cfg(test)]
mod tests;
