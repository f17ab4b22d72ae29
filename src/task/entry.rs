//! What an entry of a list of tasks may say: one table of keys, and what each of them takes.
//!
//! The readers of the formats (`json`, `front_matter`) bring keys and values with their positions here, so that a key means the
//! same wherever it stands. The table says which kinds of values a key takes, so that a reader never goes deeper into a
//! value than a key does; [`Entry::set`] checks what is in it. `form` describes the same keys for editors.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::task::TaskOptions;
use crate::task::id::TaskId;
use crate::task::input::{Kind, Position, Problem};
use crate::task::title::is_blank;
use crate::words::read_duration;

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// A string.
    Text,
    /// A string, or an array of them.
    OneOrMore,
    /// An array of strings.
    Texts,
    /// A string or a number of seconds.
    Time,
    /// A number.
    Number,
    /// An object of strings.
    Variables,
}

impl Takes {
    /// The kinds of values; what is inside of them are strings.
    pub(crate) fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Text => &[Kind::String],
            Self::OneOrMore => &[Kind::String, Kind::Array],
            Self::Texts => &[Kind::Array],
            Self::Time => &[Kind::String, Kind::Number],
            Self::Number => &[Kind::Number],
            Self::Variables => &[Kind::Object],
        }
    }
}

/// A key with what it takes.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) takes: Takes,
}

impl Key {
    /// What is wrong with a value of this kind.
    pub(crate) fn refuses(&self, found: Kind) -> Problem {
        Problem::WrongKind {
            key: self.name,
            found,
            takes: self.takes,
        }
    }

    /// What is wrong with a value of this kind inside of an array or an object.
    pub(crate) fn refuses_inside(&self, found: Kind) -> Problem {
        Problem::WrongInside { key: self.name, found }
    }
}

const fn key(name: &'static str, takes: Takes) -> Key {
    Key { name, takes }
}

/// All keys of an entry.
pub(crate) const KEYS: &[Key] = &[
    key("id", Takes::Text),
    key("title", Takes::Text),
    key("prompt", Takes::Text),
    key("prompt_file", Takes::Text),
    key("depends_on", Takes::OneOrMore),
    key("run_if", Takes::Text),
    key("model", Takes::Text),
    key("agent", Takes::Text),
    key("agent_args", Takes::Texts),
    key("env", Takes::Variables),
    key("timeout", Takes::Time),
    key("idle_timeout", Takes::Time),
    key("retry", Takes::Number),
    key("verify", Takes::Text),
    key("setup", Takes::OneOrMore),
    key("output_file", Takes::Text),
    key("on_done", Takes::Text),
    key("max_turns", Takes::Number),
    key("max_cost_usd", Takes::Number),
    key("priority", Takes::Number),
];

/// Where keys stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// In an entry of a list.
    Entry,
    /// In the defaults of a list.
    Defaults,
    /// At the start of a file that is one task.
    FrontMatter,
    /// At the start of a file that is several.
    Specification,
}

impl Scope {
    /// Those that make no sense there.
    fn without(self) -> &'static [&'static str] {
        match self {
            Self::Entry => &[],
            Self::Defaults => &["id", "title", "prompt", "prompt_file", "depends_on", "output_file"],
            Self::FrontMatter => &["prompt", "prompt_file"],
            Self::Specification => &["id", "title", "prompt", "prompt_file"],
        }
    }

    /// The names of those that may stand there.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        let names = KEYS.iter().map(|key| key.name);
        names.filter(move |name| !self.without().contains(name))
    }

    /// The key of this name, if it may stand there.
    pub(crate) fn key(self, name: &str) -> Result<&'static Key, Problem> {
        match KEYS.iter().find(|key| key.name == name) {
            Some(key) if self.without().contains(&key.name) => Err(Problem::NotHere {
                key: key.name,
                scope: self,
            }),
            Some(key) => Ok(key),
            None => Err(Problem::UnknownKey {
                key: name.to_owned(),
                known: self.names().collect(),
            }),
        }
    }
}

/// A value with its place, of a kind that its key takes.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) value: Value,
}

/// A value; where a key takes no such one, a reader has refused it already.
#[derive(Debug)]
pub(crate) enum Value {
    Text(String),
    Number(f64),
    Texts(Vec<(Position, String)>),
    Variables(Vec<(Position, String, String)>),
}

/// What is wrong with a value, and where.
pub(crate) type Misfit = (Position, Problem);

/// One entry, as far as it is read.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Where it starts.
    pub(crate) at: Position,
    /// With the position where it is given.
    pub(crate) id: Option<(TaskId, Position)>,
    /// As given.
    pub(crate) title: Option<String>,
    /// As given, with its place.
    pub(crate) prompt: Option<(Position, String)>,
    /// The path as given, with its place.
    pub(crate) prompt_file: Option<(Position, String)>,
    /// Ids or titles, as given, with their places.
    pub(crate) depends_on: Vec<(Position, String)>,
    /// The rest; without dependencies, and the paths as given.
    pub(crate) options: TaskOptions,
}

impl Entry {
    /// One that says nothing yet.
    pub(crate) fn new(at: Position) -> Self {
        Self {
            at,
            id: None,
            title: None,
            prompt: None,
            prompt_file: None,
            depends_on: Vec::new(),
            options: TaskOptions::default(),
        }
    }

    /// One that is nothing but a prompt.
    pub(crate) fn prompt(at: Position, prompt: String) -> Self {
        Self {
            prompt: Some((at, prompt)),
            ..Self::new(at)
        }
    }

    /// What it is called in messages.
    pub(crate) fn name(&self) -> Option<&str> {
        let id = self.id.as_ref().map(|(id, _)| id.as_str());
        id.or(self.title.as_deref())
    }

    /// Takes the value of a key, if it is a good one.
    pub(crate) fn set(&mut self, key: &'static Key, node: Node) -> Result<(), Misfit> {
        let at = node.at;
        let given = Given { key: key.name, node };
        let options = &mut self.options;
        match key.name {
            "id" => {
                let id = given.text();
                let parsed = TaskId::parse(&id).map_err(|error| (at, Problem::BadId { id, error }))?;
                self.id = Some((parsed, at));
            }
            "title" => self.title = Some(given.text()),
            "prompt" => self.prompt = Some((at, given.text())),
            "prompt_file" => self.prompt_file = Some((at, given.word()?)),
            "depends_on" => self.depends_on = given.texts(),
            "run_if" => options.run_if = Some(given.word()?),
            "model" => options.model = Some(given.word()?),
            "agent" => options.agent = Some(given.word()?),
            "agent_args" => options.agent_args = Some(given.words(false)?),
            "env" => options.env = given.variables()?.into_iter().collect(),
            "timeout" => options.timeout_ms = Some(given.milliseconds()?),
            "idle_timeout" => options.idle_timeout_ms = Some(given.milliseconds()?),
            "retry" => options.retry = Some(given.whole(0..=u32::MAX.into())?),
            "verify" => options.verify = Some(given.word()?),
            "setup" => options.setup = Some(given.words(true)?),
            "output_file" => options.output_file = Some(PathBuf::from(given.word()?)),
            "on_done" => options.on_done = Some(given.word()?),
            "max_turns" => options.max_turns = Some(given.whole(1..=u32::MAX.into())?),
            "max_cost_usd" => options.max_cost_usd = Some(given.amount()?),
            "priority" => options.priority = Some(given.whole(i32::MIN.into()..=i32::MAX.into())?),
            // The table has no other, which a test holds.
            _ => {}
        }
        Ok(())
    }

    /// The entry, if it is whole: it has exactly one prompt, in which something can be seen.
    pub(crate) fn whole(self) -> Result<Self, Misfit> {
        match (&self.prompt, &self.prompt_file) {
            (None, None) => Err((self.at, Problem::NoPrompt)),
            (Some(_), Some((at, _))) => Err((*at, Problem::BothPrompts)),
            (Some((at, prompt)), None) if is_blank(prompt) => Err((*at, Problem::BlankPrompt)),
            _ => Ok(self),
        }
    }
}

/// The value of a key.
struct Given {
    key: &'static str,
    node: Node,
}

impl Given {
    fn text(self) -> String {
        match self.node.value {
            Value::Text(text) => text,
            // No reader brings anything else to a key that takes a string.
            _ => String::new(),
        }
    }

    fn texts(self) -> Vec<(Position, String)> {
        match self.node.value {
            Value::Text(text) => vec![(self.node.at, text)],
            Value::Texts(texts) => texts,
            _ => Vec::new(),
        }
    }

    /// Something that a program is started with.
    fn word(self) -> Result<String, Misfit> {
        let (key, at) = (self.key, self.node.at);
        checked(key, at, self.text(), true)
    }

    fn words(self, seen: bool) -> Result<Vec<String>, Misfit> {
        let key = self.key;
        let texts = self.texts().into_iter();
        texts.map(|(at, text)| checked(key, at, text, seen)).collect()
    }

    fn variables(self) -> Result<Vec<(String, String)>, Misfit> {
        let Value::Variables(variables) = self.node.value else {
            return Ok(Vec::new());
        };
        let good = |(at, name, value): (Position, String, String)| {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err((at, Problem::BadVariable(name)));
            }
            let value = checked(self.key, at, value, false)?;
            Ok((name, value))
        };
        variables.into_iter().map(good).collect()
    }

    fn number(&self) -> f64 {
        match self.node.value {
            Value::Number(number) => number,
            _ => f64::NAN,
        }
    }

    fn milliseconds(self) -> Result<u64, Misfit> {
        let time = match &self.node.value {
            Value::Text(text) => read_duration(text),
            _ => Duration::try_from_secs_f64(self.number()).ok(),
        };
        let ms = time.and_then(|time| u64::try_from(time.as_millis()).ok());
        ms.filter(|&ms| ms > 0).ok_or_else(|| {
            let given = match self.node.value {
                Value::Text(text) => Some(text),
                _ => None,
            };
            (self.node.at, Problem::BadTime { key: self.key, given })
        })
    }

    fn whole<N: TryFrom<i64>>(self, fits: RangeInclusive<i64>) -> Result<N, Misfit> {
        let number = self.number();
        // What a float is cut to when it is too large is in none of the ranges.
        let whole = (number.fract() == 0.0).then_some(number as i64);
        let good = whole
            .filter(|whole| fits.contains(whole))
            .and_then(|whole| N::try_from(whole).ok());
        good.ok_or((self.node.at, Problem::BadNumber { key: self.key, fits }))
    }

    fn amount(self) -> Result<f64, Misfit> {
        let usd = self.number();
        if usd > 0.0 && usd.is_finite() {
            Ok(usd)
        } else {
            Err((self.node.at, Problem::BadAmount(self.key)))
        }
    }
}

fn checked(key: &'static str, at: Position, text: String, seen: bool) -> Result<String, Misfit> {
    if text.contains('\0') {
        return Err((at, Problem::Nul(key)));
    }
    if seen && is_blank(&text) {
        return Err((at, Problem::Blank(key)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Position = Position::START;

    fn set(name: &str, value: Value) -> Result<Entry, String> {
        let mut entry = Entry::new(AT);
        let key = Scope::Entry.key(name).map_err(|problem| problem.to_string())?;
        let node = Node { at: AT, value };
        entry.set(key, node).map_err(|(_, problem)| problem.to_string())?;
        Ok(entry)
    }

    fn options(name: &str, value: Value) -> TaskOptions {
        set(name, value).unwrap().options
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn every_key_of_the_table_is_taken_up() {
        for key in KEYS {
            let (name, one) = (key.name, || (AT, "x".to_owned()));
            let value = match key.takes {
                Takes::Text | Takes::OneOrMore => text("x"),
                Takes::Texts => Value::Texts(vec![one()]),
                Takes::Time | Takes::Number => Value::Number(3.0),
                Takes::Variables => Value::Variables(vec![(AT, "X".into(), "x".into())]),
            };
            let entry = set(name, value).unwrap();
            let own = entry.id.is_some() || entry.title.is_some() || entry.prompt.is_some();
            let named = entry.prompt_file.is_some() || !entry.depends_on.is_empty();
            assert!(own || named || !entry.options.is_empty(), "{name}");
        }
    }

    #[test]
    fn times_are_written_as_on_the_command_line_or_are_seconds() {
        for (value, ms) in [
            (text("90s"), 90_000),
            (text(" 10m "), 600_000),
            (text("200ms"), 200),
            (text("90"), 90_000),
            (Value::Number(90.0), 90_000),
            (Value::Number(1.5), 1_500),
            (Value::Number(0.001), 1),
        ] {
            assert_eq!(options("timeout", value).timeout_ms, Some(ms));
        }
        for value in [0.0, -1.0, 0.0001, f64::NAN, f64::INFINITY, 1e300] {
            assert!(set("idle_timeout", Value::Number(value)).is_err(), "{value}");
        }
        for written in ["", "0s", "-5s", "soon", "1.5h", "99999999999999999h"] {
            let said = set("timeout", text(written)).unwrap_err();
            assert_eq!(
                said,
                format!("\"timeout\" is \"{written}\", which is no time above zero")
            );
        }
    }

    #[test]
    fn numbers_are_whole_and_in_their_range() {
        assert_eq!(options("retry", Value::Number(0.0)).retry, Some(0));
        assert_eq!(
            options("max_turns", Value::Number(4_294_967_295.0)).max_turns,
            Some(u32::MAX)
        );
        assert_eq!(options("priority", Value::Number(-7.0)).priority, Some(-7));
        assert_eq!(options("max_cost_usd", Value::Number(0.25)).max_cost_usd, Some(0.25));
        for (key, number) in [
            ("retry", -1.0),
            ("retry", 1.5),
            ("retry", 4_294_967_296.0),
            ("retry", f64::NAN),
            ("max_turns", 0.0),
            ("priority", 2_147_483_648.0),
            ("priority", -1e300),
            ("max_cost_usd", 0.0),
            ("max_cost_usd", -1.0),
            ("max_cost_usd", f64::INFINITY),
        ] {
            assert!(set(key, Value::Number(number)).is_err(), "{key} {number}");
        }
    }

    #[test]
    fn what_programs_are_started_with_has_something_in_it_and_no_nul() {
        for key in [
            "run_if",
            "model",
            "agent",
            "verify",
            "setup",
            "on_done",
            "output_file",
            "prompt_file",
        ] {
            for (given, words) in [(" \u{200b}", "is blank"), ("a\0b", "has a NUL in it")] {
                assert_eq!(set(key, text(given)).unwrap_err(), format!("\"{key}\" {words}"));
            }
        }
        let args = |arg: &str| Value::Texts(vec![(AT, arg.into())]);
        // An argument may be empty.
        assert_eq!(options("agent_args", args("")).agent_args, Some(vec![String::new()]));
        assert!(set("agent_args", args("\0")).is_err());
        assert_eq!(options("setup", Value::Texts(Vec::new())).setup, Some(Vec::new()));
        let variable = |name: &str, value: &str| Value::Variables(vec![(AT, name.into(), value.into())]);
        assert_eq!(options("env", variable("A B", "")).env.len(), 1);
        for (name, value) in [("", "a"), ("A=B", "a"), ("A\0", "a"), ("A", "\0")] {
            assert!(set("env", variable(name, value)).is_err(), "{name:?} {value:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_somewhere_is_not_called_unknown() {
        for (scope, name) in [
            (Scope::Defaults, "prompt"),
            (Scope::Defaults, "depends_on"),
            (Scope::FrontMatter, "prompt_file"),
            (Scope::Specification, "title"),
        ] {
            assert!(matches!(scope.key(name), Err(Problem::NotHere { .. })), "{name}");
            assert!(scope.names().all(|known| known != name));
        }
        assert!(matches!(Scope::Entry.key("promt"), Err(Problem::UnknownKey { .. })));
        assert!(Scope::Specification.key("depends_on").is_ok() && Scope::FrontMatter.key("id").is_ok());
    }
}
