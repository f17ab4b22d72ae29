//! The JSON form of a task file: `{"prompts": [...]}`, each entry a string or an object.
//!
//! Called by `input`; it sees one text and does not know where that came from. serde_json reads, and the seeds and
//! visitors here check as it goes, so that the first thing wrong is the one that is told. The text is handed over
//! byte by byte: a seed can ask how far the reader has come, and a refusal points to the start of the very key or
//! value. Only one level of entries is ever gone into, so that no depth of nesting does harm.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::task::id::TaskId;
use crate::task::input::{Fault, Kind, Position, Problem};
use crate::task::title::is_blank;

mod reader;

use reader::{Feed, Reader, decode};

const TOP_KEYS: &[&str] = &["prompts", "tasks", "$schema"];
const ENTRY_KEYS: &[&str] = &["id", "prompt", "title"];

/// One entry that was found good.
#[derive(Debug)]
pub(crate) struct Entry {
    /// With the position where it is given.
    pub(crate) id: Option<(TaskId, Position)>,
    /// As given.
    pub(crate) title: Option<String>,
    /// As given, not blank.
    pub(crate) prompt: String,
}

/// Reads the entries of a text; there is at least one.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<Entry>, Fault> {
    let text = decode(bytes)?;
    let reader = Reader::new(text);
    let mut json = serde_json::Deserializer::from_reader(Feed(&reader));
    Top(&reader)
        .deserialize(&mut json)
        .and_then(|entries| json.end().map(|()| entries))
        .map_err(|error| reader.fault(&error))
}

impl Reader<'_> {
    /// Puts a value of the object in its slot, unless the key was there before.
    fn fill<'de, A: MapAccess<'de>, S: DeserializeSeed<'de>>(
        &self,
        slot: &mut Option<S::Value>,
        (at, key): (usize, &'static str),
        map: &mut A,
        seed: S,
    ) -> Result<(), A::Error> {
        if slot.is_some() {
            return Err(self.refuse(at, Problem::KeyTwice(key)));
        }
        *slot = Some(map.next_value_seed(seed)?);
        Ok(())
    }

    /// The next key of an object with its start, which must be a known one.
    fn key<'de, A: MapAccess<'de>>(
        &self,
        map: &mut A,
        known: &'static [&'static str],
    ) -> Result<Option<(usize, &'static str)>, A::Error> {
        let Some((at, key)) = map.next_key_seed(Words(self, "key"))? else {
            return Ok(None);
        };
        match known.iter().find(|&&name| name == key) {
            Some(&name) => Ok(Some((at, name))),
            None => Err(self.refuse(at, Problem::UnknownKey { key, known })),
        }
    }
}

/// The whole text.
struct Top<'a>(&'a Reader<'a>);

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = Vec<Entry>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        self.0.want(&[Kind::Object], Problem::TopLevel)?;
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = Vec<Entry>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let reader = self.0;
        let (mut entries, mut schema) = (None, None);
        let mut name = None;
        while let Some((at, key)) = reader.key(&mut map, TOP_KEYS)? {
            if key == "$schema" {
                reader.fill(&mut schema, (at, key), &mut map, Words(reader, key))?;
                continue;
            }
            if name.is_some_and(|name| name != key) {
                return Err(reader.refuse(at, Problem::BothNames));
            }
            name = Some(key);
            reader.fill(&mut entries, (at, key), &mut map, List(reader, key))?;
        }
        entries.ok_or_else(|| reader.refuse(None, Problem::NoPrompts))
    }
}

/// The list of entries; with its key.
struct List<'a>(&'a Reader<'a>, &'static str);

impl<'de> DeserializeSeed<'de> for List<'_> {
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

impl<'de> Visitor<'de> for List<'_> {
    type Value = Vec<Entry>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = seq.next_element_seed(One(self.0))? {
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
    start: usize,
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an object")
    }

    fn visit_str<E: Error>(self, prompt: &str) -> Result<Entry, E> {
        self.entry(None, None, Some((self.start, prompt.into())))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
        let reader = self.reader;
        let (mut id, mut title, mut prompt) = (None, None, None);
        while let Some((at, key)) = reader.key(&mut map, ENTRY_KEYS)? {
            let slot = match key {
                "id" => &mut id,
                "title" => &mut title,
                _ => &mut prompt,
            };
            reader.fill(slot, (at, key), &mut map, Words(reader, key))?;
            let name = id.as_ref().or(title.as_ref());
            reader.name.replace(name.map(|(_, name)| name.clone()));
        }
        self.entry(id, title.map(|(_, title)| title), prompt)
    }
}

impl Fields<'_> {
    fn entry<E: Error>(
        &self,
        id: Option<(usize, String)>,
        title: Option<String>,
        prompt: Option<(usize, String)>,
    ) -> Result<Entry, E> {
        let reader = self.reader;
        let id = match id {
            None => None,
            Some((at, id)) => match TaskId::parse(&id) {
                Ok(id) => Some((id, reader.position(at))),
                Err(error) => {
                    // The message shows it already.
                    reader.name.replace(title);
                    return Err(reader.refuse(at, Problem::BadId { id, error }));
                }
            },
        };
        let Some((at, prompt)) = prompt else {
            return Err(reader.refuse(self.start, Problem::NoPrompt));
        };
        if is_blank(&prompt) {
            return Err(reader.refuse(at, Problem::BlankPrompt));
        }
        Ok(Entry { id, title, prompt })
    }
}

/// A string with its start; with its key.
struct Words<'a>(&'a Reader<'a>, &'static str);

impl<'de> DeserializeSeed<'de> for Words<'_> {
    type Value = (usize, String);

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        let Self(reader, key) = self;
        let start = reader.want(&[Kind::String], |found| Problem::NotAString { key, found })?;
        Ok((start, String::deserialize(json)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_entries_and_both_names_of_the_list_are_read() {
        for text in [
            r#"{"prompts": ["one", {"prompt": "two", "id": "T.2", "title": "Two"}]}"#,
            r#"{"$schema": "x", "tasks": ["one", {"id": "T.2", "title": "Two", "prompt": "two"}]}"#,
            "\u{feff}\r\n{ \"prompts\" :\n[\"\\u006fne\",{\"id\":\"T.2\",\"title\":\"Two\",\"\\u0070rompt\":\"two\"}] }\n",
        ] {
            let entries = parse(text.as_bytes()).unwrap();
            let [one, two] = &entries[..] else {
                panic!("{entries:?}")
            };
            assert!(one.id.is_none() && one.title.is_none() && one.prompt == "one");
            assert_eq!(two.id.as_ref().unwrap().0.as_str(), "T.2");
            assert_eq!(two.title.as_deref(), Some("Two"));
            assert_eq!(two.prompt, "two");
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
            let fault = parse(text.as_bytes()).unwrap_err();
            assert_eq!(fault.position, Some(Position { line, column }), "{text} {fault:?}");
            assert_eq!(fault.entry, entry, "{text} {fault:?}");
        }
    }

    #[test]
    fn a_text_cut_at_any_byte_is_refused_and_never_half_read() {
        let text = r#"{"$schema": "s", "prompts": ["é\u00e9", {"id": "a", "prompt": "b"}]}"#;
        for cut in 0..text.len() {
            assert!(parse(&text.as_bytes()[..cut]).is_err(), "{cut}");
        }
        assert_eq!(parse(text.as_bytes()).unwrap().len(), 2);
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
                assert!(parse(text.as_bytes()).is_err());
            }
        }
    }
}
