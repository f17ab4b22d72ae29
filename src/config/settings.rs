//! Settings with where each comes from, and how a stronger layer is put over a weaker one.
//!
//! Names are those of the table of keys; a variable for agents is `env.NAME`. What a layer does not say is not in it.
//! Pure: files are read by `file`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::ConfigError;
use super::key::{Approval, KEYS, Key, Kind, find};
use super::value::{Value, toml_text};
use crate::cli::Parallel;
use crate::task::{PromptBy, SuccessBy, TaskOptions};

/// Where a file stands among the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// In the checkout.
    Repository,
    /// The user's own.
    User,
}

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A variable of the environment.
    Variable(&'static str),
    /// A file, with the line.
    File(Layer, PathBuf, usize),
}

/// Something that was said.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// What.
    pub value: Value,
    /// Where.
    pub origin: Origin,
}

/// The description of another agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its program: absolute, or the name of one in PATH.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// How it gets the prompt.
    pub prompt: PromptBy,
    /// What is success.
    pub success: SuccessBy,
    /// Whether it runs on a terminal.
    pub pty: bool,
    /// The arguments that go on with a conversation.
    pub resume: Option<Vec<String>>,
    /// Where it is described.
    pub origin: Origin,
}

impl Described {
    /// What it is told, a line for each part that is not as usual.
    pub fn lines(&self, name: &str) -> Vec<(String, Value)> {
        let named = |key: &str| format!("agent.{name}.{key}");
        let text = |text: serde_json::Value| Value::Text(text.as_str().unwrap_or_default().to_owned());
        let program = self.program.to_string_lossy().into_owned();
        let command = [program].into_iter().chain(self.args.iter().cloned());
        let mut lines = vec![(named("command"), Value::List(command.collect()))];
        if self.prompt != PromptBy::default() {
            lines.push((named("prompt"), text(serde_json::json!(self.prompt))));
        }
        if self.success != SuccessBy::default() {
            lines.push((named("success"), text(serde_json::json!(self.success))));
        }
        if self.pty {
            lines.push((named("pty"), Value::Flag(true)));
        }
        if let Some(resume) = &self.resume {
            lines.push((named("resume"), Value::List(resume.clone())));
        }
        lines
    }
}

/// What one layer says, or several together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// By name.
    pub said: BTreeMap<String, Setting>,
    /// Agents, by name.
    pub agents: BTreeMap<String, Described>,
}

impl Settings {
    /// These, and where they say nothing what the weaker ones say.
    #[must_use]
    pub fn over(self, weaker: Self) -> Self {
        let mut all = weaker;
        all.said.extend(self.said);
        all.agents.extend(self.agents);
        all
    }

    /// What the environment says; relative paths are below `directory`.
    pub fn of_environment(variable: &dyn Fn(&str) -> Option<OsString>, directory: &Path) -> Result<Self, ConfigError> {
        let mut found = Self::default();
        for key in &KEYS {
            let Some(name) = key.variable else { continue };
            // One that is empty is not set.
            let Some(given) = variable(name).filter(|v| !v.to_string_lossy().trim().is_empty()) else {
                continue;
            };
            let value = of_variable(key, &given, directory).map_err(|problem| ConfigError::Variable {
                name,
                value: given.to_string_lossy().into_owned(),
                problem,
            })?;
            let origin = Origin::Variable(name);
            found.said.insert(key.name.to_owned(), Setting { value, origin });
        }
        Ok(found)
    }

    /// What of these, as a repository's file says them, has to be approved by a user whose own file says `yours`.
    pub fn to_approve(&self, yours: &Self) -> Vec<(String, Value)> {
        let needed = |(name, setting): &(&String, &Setting)| {
            let yours = yours.said.get(*name).map(|setting| &setting.value);
            name.starts_with(ENV) || find(name).is_some_and(|key| key.needs_approval(&setting.value, yours))
        };
        let said = (self.said.iter().filter(needed)).map(|(name, setting)| (name.clone(), setting.value.clone()));
        let agents = self.agents.iter().flat_map(|(name, agent)| agent.lines(name));
        said.chain(agents).collect()
    }

    /// These without what is run because of them, or written where they say.
    #[must_use]
    pub fn idle(mut self) -> Self {
        self.said
            .retain(|name, _| find(name).is_some_and(|key| key.approval != Approval::Always));
        self.agents.clear();
        self
    }

    fn value(&self, name: &str) -> Option<&Value> {
        debug_assert!(find(name).is_some(), "{name} is not in the table");
        self.said.get(name).map(|setting| &setting.value)
    }

    /// How many agents at once.
    pub fn parallel(&self, name: &str) -> Option<Parallel> {
        match self.value(name)? {
            Value::Parallel(parallel) => Some(*parallel),
            _ => None,
        }
    }

    /// A length of time.
    pub fn time(&self, name: &str) -> Option<Duration> {
        match self.value(name)? {
            Value::Time(time) => Some(*time),
            _ => None,
        }
    }

    /// A number.
    pub fn count(&self, name: &str) -> Option<u32> {
        match self.value(name)? {
            Value::Count(number) => Some(*number),
            _ => None,
        }
    }

    /// An amount of US dollars.
    pub fn usd(&self, name: &str) -> Option<f64> {
        match self.value(name)? {
            Value::Usd(usd) => Some(*usd),
            _ => None,
        }
    }

    /// A size in bytes.
    pub fn bytes(&self, name: &str) -> Option<u64> {
        match self.value(name)? {
            Value::Bytes(bytes) => Some(*bytes),
            _ => None,
        }
    }

    /// Yes or no; no if nothing is said.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.value(name), Some(Value::Flag(true)))
    }

    /// A path.
    pub fn path(&self, name: &str) -> Option<&Path> {
        match self.value(name)? {
            Value::Path(path) => Some(path),
            _ => None,
        }
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.value(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A list; empty if nothing is said.
    pub fn list(&self, name: &str) -> &[String] {
        match self.value(name) {
            Some(Value::List(items)) => items,
            _ => &[],
        }
    }

    /// Where a setting comes from.
    pub fn origin(&self, name: &str) -> Option<&Origin> {
        self.said.get(name).map(|setting| &setting.origin)
    }

    /// What is said of every task, except which agent.
    pub fn task_options(&self) -> TaskOptions {
        let text = |name| self.text(name).map(str::to_owned);
        let ms = |name| self.time(name).map(milliseconds);
        let variables = self
            .said
            .iter()
            .filter_map(|(name, setting)| match (name.strip_prefix(ENV), &setting.value) {
                (Some(name), Value::Text(value)) => Some((name.to_owned(), value.clone())),
                _ => None,
            });
        TaskOptions {
            model: text("model"),
            agent_args: Some(self.list("agent_args").to_vec()).filter(|args| !args.is_empty()),
            env: variables.collect(),
            timeout_ms: ms("timeout"),
            idle_timeout_ms: ms("idle_timeout"),
            retry: self.count("retry"),
            verify: text("verify"),
            setup: self
                .value("worktree.setup")
                .map(|_| self.list("worktree.setup").to_vec()),
            on_done: text("on_task_done"),
            max_turns: self.count("max_turns"),
            max_cost_usd: self.usd("max_cost_usd"),
            ..TaskOptions::default()
        }
    }
}

/// How the names of variables for agents begin.
pub const ENV: &str = "env.";

/// A length of time as sessions have it.
pub fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A setting in the form in which it is approved.
pub(super) fn line(name: &str, value: &Value) -> String {
    // A name of a variable or of an agent may be anything that TOML has in quotes.
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name = match name.chars().all(bare) {
        true => name.to_owned(),
        false => match name.split_once('.') {
            Some((table, rest)) => format!("{table}.{}", toml_text(rest)),
            None => toml_text(name),
        },
    };
    format!("{name} = {}\n", value.toml())
}

fn of_variable(key: &Key, given: &OsString, directory: &Path) -> Result<Value, String> {
    match (key.kind, given.to_str()) {
        // Any bytes can be a path.
        (Kind::Path, _) => Ok(Value::Path(directory.join(given))),
        (Kind::Program, _) => Ok(Value::Path(given.into())),
        (_, None) => Err("must be UTF-8".into()),
        (Kind::Words, Some(text)) => {
            let words = shlex::split(text).ok_or("must be words as a shell has them: a quote is not closed")?;
            Ok(Value::List(words))
        }
        (kind, Some(text)) => kind.parse(text, directory),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        let variable = |name: &str| {
            let found = pairs.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| OsString::from(value))
        };
        Settings::of_environment(&variable, Path::new("/here"))
    }

    #[test]
    fn the_environment_says_what_it_has_and_what_is_empty_is_not_said() {
        let said = environment(&[
            ("MAX_CLAUDE_WORKERS", "3"),
            ("PLEACH_TIMEOUT", "10m"),
            ("PLEACH_RETRY", " "),
            ("PLEACH_FAIL_FAST", "1"),
            ("PLEACH_LOG_DIR", "logs"),
            ("CLAUDE_CLI_PATH", "../claude"),
            ("PLEACH_AGENT_ARGS", "--effort 'very low'"),
            ("PLEACH_MAX_COST", "$2.50"),
            ("PLEACH_MAX_OUTPUT", "1M"),
            ("PLEACH_VERIFY", "cargo test"),
        ])
        .unwrap();
        assert_eq!(said.parallel("max_parallel"), Some(Parallel::Most(3)));
        assert_eq!(said.time("timeout"), Some(Duration::from_secs(600)));
        assert_eq!(said.count("retry"), None);
        assert!(said.flag("fail_fast") && !said.flag("retry_fresh"));
        assert_eq!(said.path("log_dir"), Some(Path::new("/here/logs")));
        assert_eq!(said.path("claude"), Some(Path::new("../claude")));
        assert_eq!(said.list("agent_args"), ["--effort", "very low"]);
        assert_eq!(said.usd("max_cost"), Some(2.5));
        assert_eq!(said.bytes("max_output"), Some(1 << 20));
        assert_eq!(said.origin("timeout"), Some(&Origin::Variable("PLEACH_TIMEOUT")));
        let options = said.task_options();
        assert_eq!(
            (options.timeout_ms, options.verify.as_deref()),
            (Some(600_000), Some("cargo test"))
        );
        assert_eq!(options.setup, None);
        let idle = said.idle();
        assert_eq!((idle.text("verify"), idle.path("claude")), (None, None));
        assert!(idle.time("timeout").is_some() && idle.to_approve(&Settings::default()).is_empty());
    }

    #[test]
    fn a_variable_that_says_something_else_is_an_error_that_names_it() {
        for (name, value) in [
            ("MAX_CLAUDE_WORKERS", "many"),
            ("PLEACH_TIMEOUT", "1d"),
            ("PLEACH_FAIL_FAST", "maybe"),
            ("PLEACH_AGENT_ARGS", "'open"),
        ] {
            let error = environment(&[(name, value)]).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("{name} is {value:?}: it must be ")),
                "{error}"
            );
        }
    }

    #[test]
    fn each_setting_and_each_variable_counts_by_itself() {
        let layer = |layer, pairs: &[(&str, &str)]| {
            let said = pairs.iter().map(|(name, text)| {
                let setting = Setting {
                    value: Value::Text((*text).into()),
                    origin: Origin::File(layer, "/a.toml".into(), 1),
                };
                ((*name).to_owned(), setting)
            });
            Settings {
                said: said.collect(),
                agents: BTreeMap::new(),
            }
        };
        let strong = layer(Layer::Repository, &[("model", "opus"), ("env.A", "1")]);
        let weak = layer(
            Layer::User,
            &[("model", "haiku"), ("env.A", "2"), ("env.B \"", "3"), ("verify", "x")],
        );
        let both = strong.over(weak);
        assert_eq!(both.text("model"), Some("opus"));
        let env = both.task_options().env;
        assert_eq!((env["A"].as_str(), env["B \""].as_str()), ("1", "3"));
        let lines = both.to_approve(&Settings::default());
        let lines: Vec<String> = lines.iter().map(|(name, value)| line(name, value)).collect();
        assert_eq!(
            lines,
            ["env.A = \"1\"\n", "env.\"B \\\"\" = \"3\"\n", "verify = \"x\"\n"]
        );
    }
}
