//! Where tasks come from, and what is said of tasks that cannot be taken.
//!
//! The good ones are run by scripted agents, which do nothing with a prompt without directives, so that titles, ids and
//! prompts can be looked at where they arrive. The bad ones are refused before anything exists: the same look at the
//! disk follows every refusal.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{PATIENCE, Project, Ran, output_of, ran};

const SCRIPTED: [&str; 4] = ["run", "--sync", "--agent", "scripted"];
const ONE_TASK: &[u8] = br#"{"prompts": ["from stdin"]}"#;

/// Runs tasks to their end, and gives the titles that arrived.
fn titles(project: &Project, arguments: &[&str], input: &[u8]) -> Vec<String> {
    let ran = project.run_with_input(&[&SCRIPTED[..], arguments].concat(), input);
    assert_eq!(ran.code(), 0, "{arguments:?}: {ran:?}");
    texts(&project.query(&["status"]), "title")
}

fn texts(status: &Value, key: &str) -> Vec<String> {
    let tasks = status["tasks"].as_array().expect("tasks");
    let text = |task: &Value| task[key].as_str().expect("a text").to_owned();
    tasks.iter().map(text).collect()
}

pub fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tasks").join(name);
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// Nothing of a session is there, nor of what a session needs.
#[track_caller]
pub fn assert_nothing_made(project: &Project, of: &str) {
    let git = project.repo().join(".git/pleach");
    let state = project.root().join("home/.local");
    let elsewhere = project.root().join("elsewhere");
    for path in [git, state, elsewhere, project.worktrees()] {
        assert!(!path.exists(), "{of}: {} was made", path.display());
    }
    let refs = project.git(&["for-each-ref", "--format=%(refname)"]);
    assert_eq!(refs, "refs/heads/main\n", "{of}");
}

#[test]
fn tasks_come_from_files_from_standard_input_and_from_the_command_line() {
    let project = Project::new();
    let strings = [
        "Fix the failing test in the parser",
        "Add a --json flag to the list command.",
    ];
    let file = &fixture("strings.json");
    let tasks_key = &fixture("tasks-key.json");
    let cases: [(&[&str], &[&str]); 8] = [
        (&[file], &strings),
        (&[tasks_key, file], &["Remove dead code", strings[0], strings[1]]),
        (&["-"], &["from stdin"]),
        (&[], &["from stdin"]),
        (&["-p", "one", "--prompt", "--two"], &["one", "--two"]),
        (&["-p", "one", "-"], &["from stdin", "one"]),
        (&["-p", "one", tasks_key], &["Remove dead code", "one"]),
        (&[&fixture("bom.json")], &["Größe der Schrift anpassen"]),
    ];
    for (arguments, expected) in cases {
        assert_eq!(titles(&project, arguments, ONE_TASK), expected, "{arguments:?}");
    }
}

#[test]
fn standard_input_is_left_alone_when_tasks_are_given_otherwise() {
    let project = Project::new();
    let file = &fixture("tasks-key.json");
    for given in [["-p", "one"].as_slice(), &[file]] {
        let mut command = project.pleach_command(&[&SCRIPTED[..], given].concat());
        // Nobody ever writes to it or closes it: whoever reads it waits for ever.
        let (reader, writer) = std::io::pipe().expect("make a pipe");
        let ran = ran(command.stdin(reader));
        assert_eq!(ran.code(), 0, "{given:?}: {ran:?}");
        drop(writer);
    }
}

#[test]
fn standard_input_is_read_to_its_end_however_slowly_it_comes() {
    let project = Project::new();
    let mut command = project.pleach_command(&[&SCRIPTED[..], &["-"]].concat());
    let mut child = command.stdin(Stdio::piped()).spawn().expect("start pleach");
    let mut stdin = child.stdin.take().expect("a pipe");
    for byte in ONE_TASK.chunks(9) {
        stdin.write_all(byte).expect("write to pleach");
        stdin.flush().expect("write to pleach");
    }
    assert!(
        child.try_wait().expect("look at pleach").is_none(),
        "it did not wait for the end"
    );
    drop(stdin);
    let ran = Ran(output_of(child).recv_timeout(PATIENCE).expect("pleach ends"));
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert_eq!(texts(&project.query(&["status"]), "title"), ["from stdin"]);
}

#[test]
fn without_any_task_on_a_terminal_an_example_is_shown() {
    let project = Project::new();
    let Some(mut command) = project.on_terminal(r#""$PLEACH" run"#) else {
        return;
    };
    let shown = ran(&mut command);
    assert_eq!(shown.code(), 2, "{shown:?}");
    let out = shown.out();
    assert!(out.contains("no task is given"), "{out}");
    assert!(out.contains(r#"pleach run -p ""#), "{out}");
    assert_eq!(out.lines().count(), 2, "{out}");
    assert_nothing_made(&project, "a terminal");
}

#[test]
fn without_a_title_the_first_line_of_the_prompt_is_cut_at_60_columns() {
    let project = Project::new();
    let (long, wide) = ("x".repeat(61), "漢".repeat(31));
    let prompts = json!({ "$schema": "https://example.org/s.json", "tasks": [
        { "prompt": "p", "title": "Given title" },
        { "prompt": "\n  first line  \nsecond" },
        { "prompt": "x".repeat(60) },
        { "prompt": long },
        { "prompt": wide },
        { "prompt": "p", "title": long },
        "\u{1b}[31mred",
    ]});
    let shown = titles(&project, &["-"], prompts.to_string().as_bytes());
    let expected = [
        "Given title".to_owned(),
        "first line".into(),
        "x".repeat(60),
        format!("{}…", "x".repeat(59)),
        format!("{}…", "漢".repeat(29)),
        format!("{}…", "x".repeat(59)),
        "[31mred".into(),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn a_prompt_reaches_the_agent_byte_for_byte() {
    let project = Project::new();
    let prompt = "@prompt-bytes\n  größer \u{0}\u{1b}[2J \t\r\n\"\\ 漢\n\n";
    let prompts = json!({ "prompts": [prompt] }).to_string();
    titles(&project, &["-"], prompts.as_bytes());
    let results = project.query(&["results"]);
    assert_eq!(results["tasks"][0]["answer"], prompt.len().to_string());
}

#[test]
fn a_given_id_names_the_branch_and_an_absent_one_is_a_uuid() {
    let project = Project::new();
    let longest = "a".repeat(64);
    let given = ["7", "Fix_auth-2.1", "a.lock.b", "x-", &longest];
    let mut prompts: Vec<Value> = given.iter().map(|id| json!({ "id": id, "prompt": "p" })).collect();
    prompts.push(json!({ "prompt": "p" }));
    prompts.push("p".into());
    titles(&project, &["-"], json!({ "prompts": prompts }).to_string().as_bytes());
    let status = project.query(&["status"]);
    let ids = texts(&status, "transaction_id");
    assert_eq!(ids[..given.len()], given);
    for made in &ids[given.len()..] {
        let id = Uuid::parse_str(made).expect("a uuid");
        assert_eq!(id.get_version_num(), 4);
    }
    for (id, branch) in ids.iter().zip(texts(&status, "branch")) {
        assert_eq!(branch, format!("main-task-{id}"));
        project.git(&["rev-parse", "--verify", &format!("refs/heads/{branch}")]);
    }
}

// Fault 38: files of tasks that cannot be taken.
#[test]
fn bad_files_are_refused_before_anything_is_made() {
    let project = Project::new();
    let missing = project.root().join("missing.json").display().to_string();
    let huge = project.root().join("huge.json");
    let file = std::fs::File::create(&huge).expect("make a file");
    file.set_len((64 << 20) + 1).expect("make it large");
    let cases: [(&str, &[&str]); 17] = [
        (
            "bomb.md",
            &[
                "line 2, column 8",
                "an anchor, an alias or a tag",
                "write the value out",
            ],
        ),
        (
            "unknown-front-matter.md",
            &["line 3, column 1", "unknown key \"verfy\"", "did you mean \"verify\"?"],
        ),
        (
            "unknown-default.json",
            &["line 2, column 17", "unknown key \"modle\"", "did you mean \"model\"?"],
        ),
        (
            "unknown-option.json",
            &[
                "line 3, column 34",
                "entry 1",
                "\"time_out\"",
                "did you mean \"timeout\"?",
            ],
        ),
        ("utf16le.json", &["UTF-16", "save it as UTF-8"]),
        ("latin1.json", &["line 2, column 6", "not UTF-8"]),
        (
            "unknown-key.json",
            &[
                "line 4, column 18",
                "entry 2 (\"b\")",
                "\"promt\"",
                "did you mean \"prompt\"?",
            ],
        ),
        (
            "duplicate-key.json",
            &["line 5, column 7", "entry 1", "\"prompt\" is given twice"],
        ),
        (
            "twice-id.json",
            &["line 5, column 12", "entry 3", "\"FIX-login\"", "entry 1", "of its own"],
        ),
        ("deep.json", &["line 1, column 14", "entry 1", "an array"]),
        ("trailing.json", &["line 2, column 1", "a file of its own"]),
        (
            "blank-prompt.json",
            &["line 4, column 38", "entry 2 (\"Empty one\")", "blank"],
        ),
        ("empty.json", &["empty", r#"{"prompts": ["#]),
        ("no-prompts.json", &["no key \"prompts\"", r#"{"prompts": ["#]),
        (&missing, &["missing.json", "no such file", "-p"]),
        (huge.to_str().expect("a path in UTF-8"), &["64 MiB", "split it"]),
        (".", &["directory"]),
    ];
    for (name, parts) in cases {
        let path = if name.contains('/') {
            name.to_owned()
        } else {
            fixture(name)
        };
        // A good file does not help a bad one.
        for before in [&[][..], &[fixture("strings.json")]] {
            let mut arguments = vec!["run", "--results-dir", "../elsewhere", "--agent", "scripted"];
            arguments.extend(before.iter().map(String::as_str));
            arguments.push(&path);
            project.run(&arguments).assert_refused(2, parts);
            assert_nothing_made(&project, name);
        }
    }
}

#[test]
fn bad_texts_are_refused_before_anything_is_made() {
    let project = Project::new();
    let deep = format!(r#"{{"prompts": {}"#, "[".repeat(1_000_000));
    let deep_prompt = format!(r#"{{"prompts": [{{"prompt": {}"#, r#"{"a":"#.repeat(200_000));
    let deep_schema = format!(
        r#"{{"$schema": {0}{1}, "prompts": ["a"]}}"#,
        "[".repeat(9000),
        "]".repeat(9000)
    );
    let cases: [(&str, &[&str]); 20] = [
        ("Fix it", &["line 1, column 1", "not JSON", r#"{"prompts": ["#]),
        (
            "{\n \"prompts\": [\n  \"a\",\n ]\n}",
            &["line 4, column 2", "entry 1", "comma"],
        ),
        ("{\"prompts\": [\"a\"", &["line 1, column 17", "not JSON"]),
        (r#"{"prompts": ["a" "b"]}"#, &["line 1, column 18", "not JSON"]),
        (
            r#"{'prompts': ["a"]}"#,
            &["line 1, column 2", "not JSON", "double quotes"],
        ),
        (r#"["a"]"#, &["an array", r#"wrap it: {"prompts": [...]}"#]),
        (r#"{"prompts": []}"#, &["\"prompts\" is an empty array", "add a prompt"]),
        (r#"{"tasks": []}"#, &["\"tasks\" is an empty array"]),
        (r#"{"prompts": ["a", " \n "]}"#, &["entry 2", "blank"]),
        ("{\"prompts\": [\"\u{200b}\"]}", &["entry 1", "blank"]),
        (
            r#"{"prompts": [{"id": "a"}]}"#,
            &["entry 1 (\"a\")", "no key \"prompt\""],
        ),
        (r#"{"prompts": ["a", 7]}"#, &["entry 2", "a number"]),
        (
            r#"{"prompts": [{"prompt": "a", "retry_delay": "1s"}]}"#,
            &["\"retry_delay\"", "whole session: --retry-delay", "pleach.toml"],
        ),
        (r#"{"promps": ["a"]}"#, &["\"promps\"", "did you mean \"prompts\"?"]),
        (
            r#"{"prompts": ["a"], "tasks": ["b"]}"#,
            &["both \"prompts\" and \"tasks\""],
        ),
        (
            r#"{"prompts": [{"prompt": "a", "colour": 1}]}"#,
            &["\"colour\"", "known keys: id, title, prompt, prompt_file, depends_on,"],
        ),
        ("", &["empty"]),
        (&deep, &["line 1, column 14", "entry 1"]),
        (&deep_prompt, &["entry 1", "\"prompt\" is an object"]),
        (&deep_schema, &["\"$schema\" is an array"]),
    ];
    for (text, parts) in cases {
        let start: String = text.chars().take(40).collect();
        let ran = project.run_with_input(&["run", "--agent", "scripted"], text.as_bytes());
        ran.assert_refused(2, &[&["standard input"], parts].concat());
        assert_nothing_made(&project, &start);
    }
}

// Fault 37: ids that lead elsewhere, twins in Unicode, 252 characters.
#[test]
fn ids_that_are_no_part_of_a_branch_name_are_refused() {
    let project = Project::new();
    let (long, longest) = ("a".repeat(65), "a".repeat(252));
    // The same letter in both of its forms: they would be the same name for some file systems.
    let twins = ["\u{e9}", "e\u{301}"];
    for id in [
        "", "a b", "a/b", "../a", "../../x", "-a", "-x", ".a", "_a", "a..b", "a.", "a.lock", "a.LOCK", "a\n", "@",
        "a\u{0}", twins[0], twins[1], &long, &longest,
    ] {
        let tasks = json!({ "prompts": ["good", { "id": id, "prompt": "p" }] }).to_string();
        let ran = project.run_with_input(&["run", "--agent", "scripted"], tasks.as_bytes());
        ran.assert_refused(2, &["entry 2", "the id ", "is refused", "leave it out"]);
        assert_nothing_made(&project, id);
    }
}

// Fault 37: twins that differ in case.
#[test]
fn an_id_is_given_once_whatever_its_case_and_in_whichever_file() {
    let project = Project::new();
    let ids = |ids: &[&str]| {
        let prompts: Vec<Value> = ids.iter().map(|id| json!({ "id": id, "prompt": "p" })).collect();
        json!({ "prompts": prompts }).to_string()
    };
    project.write("one.json", ids(&["a", "b"]));
    project.write("two.json", ids(&["c", "B"]));
    let cases: [(&[&str], String, &[&str]); 4] = [
        (&["-"], ids(&["x", "y", "X"]), &["entry 3", "\"X\"", "entry 1"]),
        (
            &["one.json", "two.json"],
            String::new(),
            &["two.json", "entry 2", "\"B\"", "entry 2 of one.json"],
        ),
        (
            &["one.json", "-"],
            ids(&["A"]),
            &["standard input", "entry 1", "\"A\"", "entry 1 of one.json"],
        ),
        (&["one.json", "one.json"], String::new(), &["one.json", "named twice"]),
    ];
    for (files, input, parts) in cases {
        let ran = project.run_with_input(&[&["run", "--agent", "scripted"], files].concat(), input.as_bytes());
        ran.assert_refused(2, parts);
        assert_nothing_made(&project, &format!("{files:?}"));
    }
}

#[test]
fn bad_prompts_of_the_command_line_are_refused() {
    let project = Project::new();
    let cases: [(&[&str], &[&str]); 4] = [
        (&["-p", ""], &["-p number 1", "blank"]),
        (&["-p", "good", "-p", " \t\n"], &["-p number 2", "blank"]),
        (&["-p", "good", "-", "-"], &["standard input", "twice"]),
        (
            &["-p", "good", "no\u{1b}[2Jsuch"],
            &["no\\u{1b}[2Jsuch", "no such file"],
        ),
    ];
    for (arguments, parts) in cases {
        let ran = project.run_with_input(&[&["run", "--agent", "scripted"], arguments].concat(), ONE_TASK);
        ran.assert_refused(2, parts);
        assert_nothing_made(&project, &format!("{arguments:?}"));
    }
}

#[test]
fn a_number_below_zero_is_told_to_be_no_good_one() {
    let project = Project::new();
    for (option, number) in [
        ("--retry", "-1"),
        ("--retry", "1.5"),
        ("--max-turns", "-1"),
        ("--max-parallel", "-2"),
        ("--max-cost", "-0.5"),
        ("--max-cost-usd", "-3"),
    ] {
        let ran = project.run(&["run", "--dry-run", "-p", "a", option, number]);
        let said = format!("invalid value '{number}' for '{option} ");
        assert!(ran.code() == 2 && ran.err().contains(&said), "{ran:?}");
        assert!(!ran.err().contains("digit"), "{ran:?}");
    }
}
