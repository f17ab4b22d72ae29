//! What the queries print with `--json`, held to the schemas that are made from the types: nothing is missing, nothing
//! is there that the schema does not name, and the schemas in `docs/schema` are those of this program.

use std::fs;
use std::path::Path;

use jsonschema::Validator;
use pleach::report::schemas;
use serde_json::{Value, json};

use crate::support::Project;

#[test]
fn what_is_printed_is_what_the_schema_says() {
    let project = Project::new();
    let (here, gate) = (project.beside("here"), project.beside("gate"));
    let works = format!("@write a.txt one\n@touch {here}\n@wait {gate}\n@say done");
    let tasks = [
        ("good", "@write b.txt two\n@say good"),
        ("bad", "@fail API Error: 529 overloaded"),
        ("same", "@write b.txt three\n@say same"),
        ("works", &works),
        ("waits", "@say never"),
    ];
    project.start(&tasks, &["--max-parallel", "1"]);
    project.await_file("here");
    all_hold(&project);
    project.run(&["stop"]);
    all_hold(&project);
    // And with an unreadable one in the list.
    fs::write(project.session_dir().join("session.json"), "{").expect("damage the session");
    hold(&project, "list", &["list"]);
    hold(&project, "overview", &["overview"]);
}

#[test]
fn a_merge_and_its_undo_are_what_the_schema_says() {
    let project = Project::new();
    let tasks = [
        ("a", "@write a.txt one"),
        ("b", "@write a.txt two"),
        ("same", "@say nothing"),
    ];
    project.session(&tasks, &[]);
    for arguments in [
        &["merge", "--dry-run"][..],
        &["merge", "-y", "--clean"],
        &["merge", "-y"],
    ] {
        hold(&project, "merge", arguments);
    }
    hold(&project, "undo", &["undo", "-y"]);
}

#[test]
fn there_are_sessions_or_none() {
    let project = Project::new();
    hold(&project, "list", &["list"]);
    hold(&project, "overview", &["overview"]);
    hold(&project, "doctor", &["doctor"]);
    hold(&project, "config", &["config"]);
    project.write("pleach.toml", "env.A = \"1\"\nagent.a.command = [\"a\"]\n");
    hold(&project, "config", &["config"]);
}

#[test]
fn the_schemas_that_are_shipped_are_those_of_the_types() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema");
    let update = std::env::var_os("PLEACH_UPDATE").is_some();
    for (name, schema) in schemas() {
        let path = directory.join(format!("{name}.json"));
        let text = format!("{}\n", serde_json::to_string_pretty(&schema).expect("JSON"));
        if update {
            fs::create_dir_all(&directory).expect("make docs/schema");
            fs::write(&path, &text).expect("write a schema");
        }
        let shipped = fs::read_to_string(&path).unwrap_or_default();
        let how = "write it anew with: PLEACH_UPDATE=1 cargo test --test it schema";
        assert!(shipped == text, "{} is not that of the types; {how}", path.display());
    }
}

#[test]
fn a_field_that_the_schema_does_not_name_is_found() {
    let list = validator("list");
    assert!(list.is_valid(&json!({ "schema": 1, "sessions": [] })));
    for other in [
        json!({ "schema": 1 }),
        json!({ "schema": 1, "sessions": [], "more": 1 }),
        json!({ "schema": 1, "sessions": [{}] }),
    ] {
        assert!(!list.is_valid(&other), "{other}");
    }
}

#[test]
fn a_file_of_tasks_is_taken_if_the_schema_takes_it() {
    let project = Project::new();
    let schema = of_tasks();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tasks");
    let files = fs::read_dir(&directory).expect("read fixtures/tasks");
    let (mut taken, mut both) = (0, 0);
    for path in files.map(|entry| entry.expect("an entry").path()) {
        let Some(name) = path.to_str().filter(|name| name.ends_with(".json")) else {
            continue;
        };
        let good = project.run(&["run", "--dry-run", "--agent", "scripted", name]).code() == 0;
        let text = fs::read_to_string(name).unwrap_or_default();
        let json: Option<Value> = serde_json::from_str(text.trim_start_matches('\u{feff}')).ok();
        let valid = json.is_some_and(|json| schema.is_valid(&json));
        // A schema knows nothing of keys that are there twice, and of what is the same elsewhere.
        let beyond = ["duplicate-key.json", "twice-id.json", "cycle.json"];
        let only_read = beyond.iter().any(|end| name.ends_with(end));
        assert_eq!(valid, good || only_read, "{name}");
        taken += usize::from(good);
        both += usize::from(!good && !valid);
    }
    assert!(taken >= 5 && both >= 8, "{taken} {both}");
}

#[test]
fn what_a_file_of_tasks_may_not_say_is_not_in_the_schema() {
    let schema = of_tasks();
    let task = |key: &str, value: Value| json!({ "tasks": [{ "prompt": "p", key: value }] });
    for (key, good, bad) in [
        (
            "id",
            vec![json!("a.B-1"), json!("a.locks")],
            vec![
                json!("a b"),
                json!(""),
                json!(7),
                json!(null),
                json!("a..b"),
                json!("a."),
                json!("a.lock"),
            ],
        ),
        ("title", vec![json!("T")], vec![json!(["T"])]),
        (
            "depends_on",
            vec![json!("a"), json!(["a", "b"])],
            vec![json!([1]), json!({})],
        ),
        ("run_if", vec![json!("true")], vec![json!(" "), json!(true)]),
        ("agent_args", vec![json!([]), json!(["-x"])], vec![json!("-x")]),
        (
            "env",
            vec![json!({ "A": "" })],
            vec![json!({ "A": 1 }), json!({ "": "a" }), json!({ "A=": "a" })],
        ),
        (
            "timeout",
            vec![
                json!("90s"),
                json!("10m"),
                json!("200ms"),
                json!("7"),
                json!(90),
                json!(0.5),
            ],
            vec![
                json!("0s"),
                json!("soon"),
                json!("-1s"),
                json!(0),
                json!(-1),
                json!(true),
            ],
        ),
        (
            "retry",
            vec![json!(0), json!(3)],
            vec![json!(-1), json!(1.5), json!("3"), json!(4_294_967_296_u64)],
        ),
        (
            "setup",
            vec![json!("a"), json!(["a", "b"]), json!([])],
            vec![json!(" "), json!([""])],
        ),
        ("max_turns", vec![json!(1)], vec![json!(0)]),
        ("max_cost_usd", vec![json!(0.1)], vec![json!(0), json!(-1), json!("$5")]),
        ("priority", vec![json!(-3)], vec![json!(0.5), json!(2_147_483_648_u64)]),
        ("output_file", vec![json!("a.txt")], vec![json!("")]),
        ("prompt_file", vec![], vec![json!("both.md")]),
        ("colour", vec![], vec![json!("blue")]),
    ] {
        let project = Project::new();
        for (values, expected) in [(good, true), (bad, false)] {
            for value in values {
                let file = task(key, value);
                assert_eq!(schema.is_valid(&file), expected, "{file}");
                // What the schema says is what the reader does; there is no task that could be depended on.
                if key != "depends_on" || !expected {
                    let text = file.to_string();
                    let dry = project.run_with_input(&["run", "--dry-run", "--agent", "scripted"], text.as_bytes());
                    assert_eq!(dry.code() == 0, expected, "{file} {dry:?}");
                }
            }
        }
    }
}

#[test]
fn a_list_of_tasks_is_one_list_with_defaults() {
    let schema = of_tasks();
    for (file, good) in [
        (json!({ "prompts": ["a"] }), true),
        (json!({ "prompts": ["a"], "tasks": ["b"] }), false),
        (json!({ "tasks": [] }), false),
        (json!({ "tasks": [""] }), false),
        (json!({ "tasks": [{}] }), false),
        (json!({ "defaults": { "timeout": "5m" } }), false),
        (json!({ "tasks": ["a"], "defaults": { "timeout": "5m" } }), true),
        (json!({ "tasks": ["a"], "defaults": { "prompt": "p" } }), false),
        (json!({ "tasks": ["a"], "more": 1 }), false),
    ] {
        assert_eq!(schema.is_valid(&file), good, "{file}");
    }
}

#[test]
fn a_schema_is_printed_by_its_name() {
    let project = Project::new();
    let names = project.run(&["schema"]);
    let expected: Vec<&str> = schemas().iter().map(|(name, _)| *name).collect();
    assert_eq!(names.out().lines().collect::<Vec<_>>(), expected);
    let tasks = project.run(&["schema", "tasks"]);
    let (_, schema) = &schemas()[0];
    assert_eq!(tasks.json(), *schema.as_value());
    let other = project.run(&["schema", "task"]);
    assert!(other.code() == 2 && other.err().contains("'tasks'"), "{other:?}");
}

/// The schema of task files as it is shipped.
fn of_tasks() -> Validator {
    let schemas = schemas();
    let (_, schema) = schemas.iter().find(|(name, _)| *name == "tasks").expect("it");
    jsonschema::validator_for(schema.as_value()).expect("a schema")
}

fn all_hold(project: &Project) {
    for (name, arguments) in [
        ("status", &["status"][..]),
        ("results", &["results"]),
        ("list", &["list"]),
        ("plan", &["plan"]),
        ("diff", &["diff"]),
        ("recover", &["recover"]),
        ("overview", &["overview"]),
        ("logs", &["logs", "works"]),
    ] {
        hold(project, name, arguments);
    }
    // Both give the state of the session; the exit code is not what this is about.
    let waited = project.run(&["wait", "--timeout", "0s", "--json"]);
    assert_valid("status", &waited.json());
    hold(project, "clean", &["clean", "--all", "--dry-run"]);
    // Of all that run they give a list.
    let waited = project.run(&["wait", "--all", "--timeout", "0s", "--json"]);
    assert_valid("list", &waited.json());
    let tried = project.run(&["run", "--dry-run", "--json", "--agent", "scripted", "-p", "@say a"]);
    assert_valid("dry-run", &tried.json());
}

fn hold(project: &Project, name: &str, arguments: &[&str]) {
    let ran = project.run(&[arguments, &["--json"]].concat());
    assert_valid(name, &ran.json());
}

#[track_caller]
fn assert_valid(name: &str, printed: &Value) {
    let problems: Vec<String> = validator(name)
        .iter_errors(printed)
        .map(|e| format!("{}: {e}", e.instance_path()))
        .collect();
    assert!(problems.is_empty(), "{name}: {problems:#?}\n{printed:#}");
}

/// The validator of a query, which also refuses what its schema does not name, and misses all that may be null.
fn validator(name: &str) -> Validator {
    let (_, schema) = schemas()
        .into_iter()
        .find(|(n, _)| *n == name)
        .unwrap_or_else(|| panic!("no schema of {name}"));
    let mut schema = schema.to_value();
    close(&mut schema);
    jsonschema::validator_for(&schema).expect("a schema")
}

/// Every property has to be there, and no other: every document always has all of its names, but for the options of a
/// task, where silence means something.
fn close(schema: &mut Value) {
    let defs = schema.get_mut("$defs").and_then(Value::as_object_mut);
    if let Some(mut options) = defs.and_then(|defs| defs.remove("TaskOptions")) {
        close(schema);
        options["additionalProperties"] = false.into();
        schema["$defs"]["TaskOptions"] = options;
        return;
    }
    if let Some(names) = schema.get("properties").and_then(Value::as_object) {
        let names: Vec<Value> = names.keys().cloned().map(Value::String).collect();
        let object = schema.as_object_mut().expect("an object");
        object.insert("required".into(), names.into());
        object.insert("additionalProperties".into(), false.into());
    }
    match schema {
        Value::Object(parts) => parts.values_mut().for_each(close),
        Value::Array(parts) => parts.iter_mut().for_each(close),
        _ => {}
    }
}
