//! The JSON form of a task file: `{"prompts": [...]}`, each entry a string or an object.
//!
//! Called by `input`; it sees one text and does not know where that came from. serde_json reads, and the seeds and
//! visitors here check as it goes, so that the first thing wrong is the one that is told. The text is handed over
//! byte by byte: a seed can ask how far the reader has come, and a refusal points to the start of the very key or
//! value. Nothing is gone into deeper than a key takes (`entry` says what that is), so that no depth of nesting does
//! harm.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::task::TaskOptions;
use crate::task::entry::{Entry, Key, Misfit, Node, Scope, Takes, Value};
use crate::task::input::{Fault, Kind, Position, Problem};

mod reader;

use reader::{Feed, Reader};

const TOP_KEYS: &[&str] = &["prompts", "tasks", "defaults", "$schema"];

/// A list of tasks as it is written.
#[derive(Debug)]
pub(crate) struct List {
    /// In their order; at least one.
    pub(crate) entries: Vec<Entry>,
    /// What it says of all of them.
    pub(crate) defaults: TaskOptions,
}

/// Reads a text.
pub(crate) fn parse(text: &str) -> Result<List, Fault> {
    let reader = Reader::new(text);
    let mut json = serde_json::Deserializer::from_reader(Feed(&reader));
    Top(&reader)
        .deserialize(&mut json)
        .and_then(|list| json.end().map(|()| list))
        .map_err(|error| reader.fault(&error))
}

impl Reader<'_> {
    /// The next key of an object with its start.
    fn key<'de, A: MapAccess<'de>>(&self, map: &mut A) -> Result<Option<(Position, String)>, A::Error> {
        map.next_key_seed(Words(self, "key"))
    }

    /// Reads what keys of `scope` say into an entry.
    fn fill<'de, A: MapAccess<'de>>(&self, entry: &mut Entry, scope: Scope, map: &mut A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some((at, name)) = self.key(map)? {
            let key = scope.key(&name).map_err(|problem| self.refuse(at, problem))?;
            if !seen.insert(key.name) {
                return Err(self.refuse(at, Problem::KeyTwice(key.name)));
            }
            let node = map.next_value_seed(Taken(self, key))?;
            entry.set(key, node).map_err(|misfit| self.misfit(misfit))?;
            self.name.replace(entry.name().map(str::to_owned));
        }
        Ok(())
    }

    fn misfit<E: Error>(&self, (at, problem): Misfit) -> E {
        self.refuse(at, problem)
    }
}

/// The whole text.
struct Top<'a>(&'a Reader<'a>);

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = List;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        self.0.want(&[Kind::Object], Problem::TopLevel)?;
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = List;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let reader = self.0;
        let (mut entries, mut defaults) = (None, None);
        let mut seen = Vec::new();
        while let Some((at, name)) = reader.key(&mut map)? {
            let Some(&key) = TOP_KEYS.iter().find(|&&key| key == name) else {
                let known = TOP_KEYS.to_vec();
                return Err(reader.refuse(at, Problem::UnknownKey { key: name, known }));
            };
            if seen.contains(&key) {
                return Err(reader.refuse(at, Problem::KeyTwice(key)));
            }
            seen.push(key);
            match key {
                "$schema" => {
                    map.next_value_seed(Words(reader, key))?;
                }
                "defaults" => defaults = Some(map.next_value_seed(Defaults(reader))?),
                _ if entries.is_some() => return Err(reader.refuse(at, Problem::BothNames)),
                _ => entries = Some(map.next_value_seed(Entries(reader, key))?),
            }
        }
        Ok(List {
            entries: entries.ok_or_else(|| reader.refuse(None, Problem::NoPrompts))?,
            defaults: defaults.unwrap_or_default(),
        })
    }
}

/// What holds for all entries.
struct Defaults<'a>(&'a Reader<'a>);

impl<'de> DeserializeSeed<'de> for Defaults<'_> {
    type Value = TaskOptions;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        let wrong = |found| Problem::NotAnObject { key: "defaults", found };
        self.0.want(&[Kind::Object], wrong)?;
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Defaults<'_> {
    type Value = TaskOptions;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut common = Entry::new(Position::START);
        self.0.fill(&mut common, Scope::Defaults, &mut map)?;
        Ok(common.options)
    }
}

/// The list of entries; with its key.
struct Entries<'a>(&'a Reader<'a>, &'static str);

impl<'de> DeserializeSeed<'de> for Entries<'_> {
    type Value = Vec<Entry>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        let Self(reader, key) = self;
        let start = reader.want(&[Kind::Array], |found| Problem::NotAnArray { key, found })?;
        let entries = json.deserialize_seq(self)?;
        reader.entry.set(0);
        reader.name.take();
        if entries.is_empty() {
            return Err(reader.refuse(start, Problem::NoEntries(key)));
        }
        Ok(entries)
    }
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = Vec<Entry>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element_seed(One(self.0))? {
            entries.push(entry);
        }
        Ok(entries)
    }
}

/// One entry.
struct One<'a>(&'a Reader<'a>);

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = Entry;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Entry, D::Error> {
        let reader = self.0;
        reader.entry.set(reader.entry.get() + 1);
        reader.name.take();
        let start = reader.want(&[Kind::String, Kind::Object], Problem::NotAnEntry)?;
        json.deserialize_any(Fields { reader, start })
    }
}

struct Fields<'a> {
    reader: &'a Reader<'a>,
    start: Position,
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an object")
    }

    fn visit_str<E: Error>(self, prompt: &str) -> Result<Entry, E> {
        let entry = Entry::prompt(self.start, prompt.to_owned());
        entry.whole().map_err(|misfit| self.reader.misfit(misfit))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
        let mut entry = Entry::new(self.start);
        self.reader.fill(&mut entry, Scope::Entry, &mut map)?;
        entry.whole().map_err(|misfit| self.reader.misfit(misfit))
    }
}

/// The value of a key, if it is of a kind that the key takes.
struct Taken<'a>(&'a Reader<'a>, &'static Key);

impl<'de> DeserializeSeed<'de> for Taken<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Node, D::Error> {
        let Self(reader, key) = self;
        let at = reader.want(key.takes.kinds(), |found| key.refuses(found))?;
        let value = json.deserialize_any(self)?;
        Ok(Node { at, value })
    }
}

impl<'de> Visitor<'de> for Taken<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what the key takes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = list.next_element_seed(Inner(self.0, self.1))? {
            texts.push(text);
        }
        Ok(Value::Texts(texts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut variables: Vec<(Position, String, String)> = Vec::new();
        let mut names = HashSet::new();
        while let Some((at, name)) = self.0.key(&mut map)? {
            if !names.insert(name.clone()) {
                return Err(self.0.refuse(at, Problem::VariableTwice(name)));
            }
            let (_, text) = map.next_value_seed(Inner(self.0, self.1))?;
            variables.push((at, name, text));
        }
        Ok(Value::Variables(variables))
    }
}

/// A string inside of the value of a key, with its start.
struct Inner<'a>(&'a Reader<'a>, &'static Key);

impl<'de> DeserializeSeed<'de> for Inner<'_> {
    type Value = (Position, String);

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        let Self(reader, key) = self;
        let at = reader.want(&[Kind::String], |found| key.refuses_inside(found))?;
        Ok((at, String::deserialize(json)?))
    }
}

/// A string with its start; with its key.
struct Words<'a>(&'a Reader<'a>, &'static str);

impl<'de> DeserializeSeed<'de> for Words<'_> {
    type Value = (Position, String);

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        let Self(reader, key) = self;
        let wrong = |found| Problem::WrongKind {
            key,
            found,
            takes: Takes::Text,
        };
        let start = reader.want(&[Kind::String], wrong)?;
        Ok((start, String::deserialize(json)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::text::decode;

    #[test]
    fn both_forms_of_entries_and_both_names_of_the_list_are_read() {
        for text in [
            r#"{"prompts": ["one", {"prompt": "two", "id": "T.2", "title": "Two"}]}"#,
            r#"{"$schema": "x", "tasks": ["one", {"id": "T.2", "title": "Two", "prompt": "two"}]}"#,
            "\u{feff}\r\n{ \"prompts\" :\n[\"\\u006fne\",{\"id\":\"T.2\",\"title\":\"Two\",\"\\u0070rompt\":\"two\"}] }\n",
        ] {
            let entries = parse(decode(text.as_bytes()).unwrap()).unwrap().entries;
            let [one, two] = &entries[..] else {
                panic!("{entries:?}")
            };
            let prompts = [one, two].map(|entry| entry.prompt.as_ref().unwrap().1.as_str());
            assert_eq!(prompts, ["one", "two"]);
            assert!(one.id.is_none() && one.title.is_none());
            assert_eq!(two.id.as_ref().unwrap().0.as_str(), "T.2");
            assert_eq!(two.title.as_deref(), Some("Two"));
        }
    }

    #[test]
    fn a_refusal_points_to_the_start_of_what_it_is_about() {
        for (text, line, column, entry) in [
            ("[\n \"a\"\n]", 1, 1, None),
            ("\n  5", 2, 3, None),
            ("{\"prompts\":\n  \"a\"}", 2, 3, None),
            ("{\"prompts\":\n\n  []\n}", 3, 3, None),
            ("{\n \"a\"\n:\n[]}", 2, 2, None),
            ("{\"prompts\": [\"é\", 5, \"\"]}", 1, 19, Some(2)),
            ("{\"prompts\": [\"é\", \"b\"\n ,\n[\n[", 3, 1, Some(3)),
            ("{\"prompts\": [\"a\",\n \"b\" \"c\"]}", 2, 6, Some(2)),
            ("{\"prompts\": [\"a\",\n\n", 1, 18, Some(1)),
            ("{\"prompts\": [\"a\nb\"]}", 1, 16, Some(1)),
            ("{\"prompts\": [\"a\",]}", 1, 18, Some(1)),
            (
                "{\"prompts\": [{\"id\":\n\n \"a/\", \"prompt\": \"b\"}]}",
                3,
                2,
                Some(1),
            ),
            ("{\"prompts\": [{\n}]}", 1, 14, Some(1)),
            ("{\"prompts\": [\"a\"]}\n{}", 2, 1, None),
            ("{\"prompts\": [\"a\"], \"x\": 1}", 1, 20, None),
        ] {
            let fault = parse(text).unwrap_err();
            assert_eq!(fault.position, Some(Position { line, column }), "{text} {fault:?}");
            assert_eq!(fault.entry, entry, "{text} {fault:?}");
        }
    }

    #[test]
    fn a_text_cut_at_any_byte_is_refused_and_never_half_read() {
        let text = r#"{"$schema": "s", "prompts": ["é\u00e9", {"id": "a", "prompt": "b"}]}"#;
        for cut in 0..text.len() {
            assert!(
                parse(&String::from_utf8_lossy(&text.as_bytes()[..cut])).is_err(),
                "{cut}"
            );
        }
        assert_eq!(parse(text).unwrap().entries.len(), 2);
    }

    // Fault 38: nesting without end.
    #[test]
    fn no_depth_of_nesting_does_harm() {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
            for text in [
                deep.clone(),
                format!(r#"{{"prompts": {deep}}}"#),
                format!(r#"{{"prompts": [{deep}]}}"#),
                format!(r#"{{"$schema": {deep}}}"#),
                format!(r#"{{"prompts": [{{"prompt": {deep}}}]}}"#),
            ] {
                assert!(parse(&text).is_err());
            }
        }
    }
}
