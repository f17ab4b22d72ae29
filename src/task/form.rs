//! A task file as its author writes it, for the JSON Schema that editors complete and check it by.
//!
//! Nothing is read by these types: the readers check more than a schema can say, and with the place of what is wrong. A test
//! holds that both know the same keys, and others that both take the same files. What stands above a field is what an editor
//! shows.

#![expect(dead_code, reason = "only described, never made")]

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use serde_json::{Value, json};

/// A time as it is written: at least one digit that is not zero.
const TIME: &str = r"^\s*0*[1-9][0-9]*\s*(ms|s|m|h)?\s*$";
/// An id, but for a case of `.lock` that nobody writes.
const ID: &str = r"^[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?![.]|lock$|LOCK$|$))*$";
/// Something that is not white space alone.
const SEEN: &str = r"\S";

/// A key that is not said is left out: it has no value that stands for that.
fn only_said(schema: &mut Schema) {
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for property in properties.into_iter().flat_map(|properties| properties.values_mut()) {
        property.as_object_mut().map(|property| property.remove("default"));
    }
}

/// Tasks for pleach run: a prompt each, or an object.
#[derive(Default, JsonSchema, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Tasks of pleach", transform = only_said, extend("oneOf" = json!([{ "required": ["prompts"] }, { "required": ["tasks"] }])))]
pub struct TaskFile {
    /// Where the schema of this file is; for editors.
    #[serde(rename = "$schema")]
    #[schemars(extend("type" = "string"))]
    schema: Option<String>,
    /// What holds for all tasks of this list that say nothing else; the command line is stronger.
    #[schemars(with = "DefaultsForm")]
    defaults: Option<DefaultsForm>,
    /// The tasks.
    #[schemars(with = "Vec<EntryForm>", length(min = 1))]
    prompts: Option<Vec<EntryForm>>,
    /// The tasks: another name for "prompts".
    #[schemars(with = "Vec<EntryForm>", length(min = 1))]
    tasks: Option<Vec<EntryForm>>,
}

/// A task.
#[derive(JsonSchema, Deserialize)]
#[serde(untagged)]
enum EntryForm {
    /// What the agent shall do.
    Prompt(#[schemars(regex(pattern = SEEN))] String),
    /// What the agent shall do, and how.
    Task(Box<TaskForm>),
}

/// One string, or several.
#[derive(JsonSchema, Deserialize)]
#[serde(untagged)]
#[schemars(inline)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// One command, or several.
#[derive(JsonSchema, Deserialize)]
#[serde(untagged)]
#[schemars(inline)]
enum Commands {
    One(#[schemars(regex(pattern = SEEN))] String),
    More(#[schemars(inner(regex(pattern = SEEN)))] Vec<String>),
}

/// A time: "200ms", "90s", "10m", "2h", or a number of seconds.
#[derive(JsonSchema, Deserialize)]
#[serde(untagged)]
enum Time {
    Written(#[schemars(regex(pattern = TIME))] String),
    Seconds(#[schemars(range(min = 0.001))] f64),
}

macro_rules! forms {
    ($($(#[$about:meta])* $name:ident: $form:ty,)*) => {
        /// A task with what is special about it.
        #[derive(Default, JsonSchema, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        #[schemars(transform = only_said, extend("oneOf" = json!([{ "required": ["prompt"] }, { "required": ["prompt_file"] }])))]
        struct TaskForm {
            /// Names the task in commands, and its branch. It is unlike every other of the run, also when case is ignored.
            #[schemars(with = "String", length(max = 64), regex(pattern = ID))]
            id: Option<String>,
            /// One line for people [default: the first line of the prompt].
            #[schemars(with = "String")]
            title: Option<String>,
            /// What the agent shall do. {{answer ID}} is replaced by the answer of a task that this one depends on.
            #[schemars(with = "String", regex(pattern = SEEN))]
            prompt: Option<String>,
            /// A file that holds the prompt; its path starts from the directory of this file.
            #[schemars(with = "String", regex(pattern = SEEN))]
            prompt_file: Option<String>,
            /// Ids or titles of tasks that have to succeed first; this one starts from the merge of their branches.
            #[schemars(with = "OneOrMore")]
            depends_on: Option<OneOrMore>,
            /// Where a copy of the answer goes; the path starts from the directory where pleach run is called.
            #[schemars(with = "String", regex(pattern = SEEN))]
            output_file: Option<String>,
            $($(#[$about])* $name: Option<$form>,)*
        }

        /// What holds for all tasks of a list.
        #[derive(Default, JsonSchema, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        #[schemars(transform = only_said)]
        struct DefaultsForm {
            $($(#[$about])* $name: Option<$form>,)*
        }
    };
}

forms! {
    /// A shell command that gets the answers of the tasks that this one depends on: unless it exits with 0 the task is skipped.
    #[schemars(with = "String", regex(pattern = SEEN))]
    run_if: String,
    /// The model.
    #[schemars(with = "String", regex(pattern = SEEN))]
    model: String,
    /// The agent: claude, scripted, or one of the configuration.
    #[schemars(with = "String", regex(pattern = SEEN))]
    agent: String,
    /// More arguments for the agent.
    #[schemars(with = "Vec<String>")]
    agent_args: Vec<String>,
    /// Variables for the agent and the commands around it.
    #[schemars(with = "BTreeMap<String, String>", extend("propertyNames" = json!({ "pattern": "^[^=]+$" })))]
    env: BTreeMap<String, String>,
    /// The longest that an attempt may run [default: no limit].
    #[schemars(with = "Time")]
    timeout: Time,
    /// The longest that an attempt may print nothing [default: no limit].
    #[schemars(with = "Time")]
    idle_timeout: Time,
    /// How many more attempts there may be after one that failed [default: 0].
    #[schemars(with = "u32", range(max = 4_294_967_295_u32))]
    retry: u32,
    /// A shell command that is run in the worktree after the agent: unless it exits with 0 the attempt has failed.
    #[schemars(with = "String", regex(pattern = SEEN))]
    verify: String,
    /// Shell commands that are run in a new worktree before the agent.
    #[schemars(with = "Commands")]
    setup: Commands,
    /// A shell command that is run when the task is settled, with its answer on standard input.
    #[schemars(with = "String", regex(pattern = SEEN))]
    on_done: String,
    /// The most turns of the model in one attempt.
    #[schemars(with = "u32", range(min = 1, max = 4_294_967_295_u32))]
    max_turns: u32,
    /// What the attempts of a task may cost together, in US dollars.
    #[schemars(with = "f64", extend("exclusiveMinimum" = 0))]
    max_cost_usd: f64,
    /// Tasks with a higher one start first [default: 0].
    #[schemars(with = "i32", range(min = -2_147_483_648_i32, max = 2_147_483_647_i32))]
    priority: i32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::entry::{KEYS, Scope};
    use schemars::schema_for;
    use std::collections::BTreeSet;

    #[test]
    fn it_has_the_keys_that_the_readers_know() {
        let schema = schema_for!(TaskFile).to_value();
        let keys = |form: &str| -> BTreeSet<String> {
            let form = &schema["$defs"][form];
            assert_eq!(form["additionalProperties"], false);
            form["properties"].as_object().unwrap().keys().cloned().collect()
        };
        let names = |names: &mut dyn Iterator<Item = &'static str>| names.map(str::to_owned).collect();
        assert_eq!(keys("TaskForm"), names(&mut KEYS.iter().map(|key| key.name)));
        assert_eq!(keys("DefaultsForm"), names(&mut Scope::Defaults.names()));
        // What is not said is left out.
        let text = schema.to_string();
        assert!(!text.contains("\"null\"") && !text.contains("\"default\":"), "{text}");
        assert!(schema.get("required").is_none() && schema["$defs"]["TaskForm"].get("required").is_none());
    }
}
