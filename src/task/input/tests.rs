use super::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tasks").join(name)
}

fn files(names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(|name| fixture(name)).collect()
}

fn read(files: &[PathBuf], prompts: &[String], stdin: &mut dyn Read) -> Result<Vec<ListedTask>, InputError> {
    let given = Given {
        files,
        prompts,
        ..Given::here(Path::new("."))
    };
    super::read(&given, stdin)
}

/// What is said of a text on standard input, and the hint.
fn refused(text: &[u8]) -> (String, String) {
    let error = read(&["-".into()], &[], &mut &text[..]).unwrap_err();
    (error.to_string(), error.hint())
}

#[test]
fn good_files_are_read_in_order_and_prompts_follow() {
    let mut files = files(&["strings.json", "objects.json", "bom.json", "tasks-key.json"]);
    files.insert(1, "-".into());
    let stdin = &mut &br#"{"prompts": ["from stdin"]}"#[..];
    let tasks = read(&files, &["\n  last\nline".into()], stdin).unwrap();
    let titles: Vec<_> = tasks.iter().map(|listed| listed.task.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "Fix the failing test in the parser",
            "Add a --json flag to the list command.",
            "from stdin",
            "Rate limit for /login",
            "Rename the crate `util` to `support` in the whole workspace…",
            "Write the changelog",
            "Größe der Schrift anpassen",
            "Remove dead code",
            "last",
        ]
    );
    let ids: Vec<_> = tasks[3..5].iter().map(|listed| listed.task.id.as_str()).collect();
    assert_eq!(ids, ["login-rate-limit", "rename_util.2"]);
    assert_eq!(tasks[8].task.prompt, "\n  last\nline", "a prompt is kept as it is");
}

#[test]
fn an_id_is_taken_whatever_its_case_and_both_entries_are_named() {
    let error = read(&files(&["twice-id.json"]), &[], &mut io::empty()).unwrap_err();
    let path = fixture("twice-id.json");
    assert_eq!(
        error.to_string(),
        format!(
            "{}: line 5, column 12: entry 3: the id \"FIX-login\" is that of entry 1 (line 3, column 12)",
            path.display()
        )
    );
    let twice = files(&["objects.json", "objects.json"]);
    let error = read(&twice, &[], &mut io::empty()).unwrap_err();
    let end = "entry 1: the file is named twice";
    assert!(error.to_string().ends_with(end), "{error}");
    assert_eq!(error.hint(), "name the file once");
    let text = &mut &br#"{"prompts": [{"id": "Login-Rate-Limit", "prompt": "a"}]}"#[..];
    let error = read(&["-".into(), fixture("objects.json")], &[], text).unwrap_err();
    let end = "the id \"login-rate-limit\" is that of entry 1 of standard input (line 1, column 21)";
    assert!(error.to_string().ends_with(end), "{error}");
}

#[test]
fn sources_that_cannot_be_read_are_named() {
    let missing = fixture("no\u{1b}[2Jsuch.json");
    let blank = ["a".to_owned(), " \u{200b}\n".to_owned()];
    for (files, prompts, end) in [
        (vec![missing], &[][..], "no\\u{1b}[2Jsuch.json: no such file"),
        (vec![fixture(".")], &[], "it is a directory"),
        (vec!["-".into(), "-".into()], &[], "standard input: it is named twice"),
        (vec![], &blank, "-p number 2: the prompt is blank"),
        (vec![], &[], "no task is given"),
    ] {
        let stdin = &mut &br#"{"prompts": ["a"]}"#[..];
        let error = read(&files, prompts, stdin).unwrap_err();
        assert!(error.to_string().ends_with(end), "{error}");
        assert!(!error.hint().is_empty());
    }
    let error = read(&["-".into()], &[], &mut io::repeat(b' ')).unwrap_err();
    assert_eq!(error.to_string(), "standard input: it is larger than 64 MiB");
}

// Fault 38: each is refused with line and column.
#[test]
fn hostile_files_are_refused_with_the_place_and_a_hint() {
    for (name, words, hint) in [
        ("utf16le.json", "it is UTF-16, not UTF-8", "save it as UTF-8"),
        ("latin1.json", "line 2, column 6: this is not UTF-8", "save it as UTF-8"),
        (
            "unknown-key.json",
            "line 4, column 18: entry 2 (\"b\"): unknown key \"promt\"",
            "did you mean \"prompt\"? see all keys: pleach schema tasks",
        ),
        (
            "duplicate-key.json",
            "line 5, column 7: entry 1: key \"prompt\" is given twice",
            "keep one of the two",
        ),
        (
            "deep.json",
            "line 1, column 14: entry 1: it is an array, not a string or an object",
            r#"write "a prompt", or {"id": "...", "title": "...", "prompt": "..."}"#,
        ),
        (
            "trailing.json",
            "line 2, column 1: more text after the end of the object",
            "one file holds one object: keep what follows in a file of its own",
        ),
        (
            "blank-prompt.json",
            "line 4, column 38: entry 2 (\"Empty one\"): the prompt is blank",
            "write what the agent shall do",
        ),
        (
            "empty.json",
            "it is empty",
            r#"write {"prompts": ["first task", "second task"]}"#,
        ),
        (
            "no-prompts.json",
            "there is no key \"prompts\"",
            r#"write {"prompts": ["first task", "second task"]}"#,
        ),
    ] {
        let error = read(&files(&[name]), &[], &mut io::empty()).unwrap_err();
        let line = format!("{}: {words}", fixture(name).display());
        assert_eq!((error.to_string(), error.hint()), (line, hint.to_owned()));
    }
}

#[test]
fn every_other_mistake_is_told_in_words() {
    for (text, words) in [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("Fix it", "line 1, column 1: not JSON"),
        (r#"["a"]"#, "line 1, column 1: the top level is an array, not an object"),
        ("\"a\"", "line 1, column 1: the top level is a string, not an object"),
        (
            r#"{"prompts": {}}"#,
            "line 1, column 13: \"prompts\" is an object, not an array",
        ),
        (r#"{"tasks": []}"#, "line 1, column 11: \"tasks\" is an empty array"),
        (
            r#"{"prompts": ["a"], "tasks": ["b"]}"#,
            "line 1, column 20: there is both \"prompts\" and \"tasks\"",
        ),
        (
            r#"{"prompts": ["a"], "prompts": ["b"]}"#,
            "line 1, column 20: key \"prompts\" is given twice",
        ),
        (
            r#"{"$schema": 1}"#,
            "line 1, column 13: \"$schema\" is a number, not a string",
        ),
        (
            r#"{"prompts": [null]}"#,
            "line 1, column 14: entry 1: it is null, not a string or an object",
        ),
        (
            r#"{"prompts": ["a", ""]}"#,
            "line 1, column 19: entry 2: the prompt is blank",
        ),
        (
            r#"{"prompts": [{"id": "a", "title": true}]}"#,
            "line 1, column 35: entry 1 (\"a\"): \"title\" is a boolean, not a string",
        ),
        (
            r#"{"prompts": [{"title": "T"}]}"#,
            "line 1, column 14: entry 1 (\"T\"): there is no key \"prompt\"",
        ),
        (
            r#"{"prompts": [{"prompt": "p", "title": "T", "id": "a b"}]}"#,
            "line 1, column 50: entry 1 (\"T\"): the id \"a b\" is refused: it contains a space",
        ),
        (
            r#"{"prompts": ["a", "b""#,
            "line 1, column 22: entry 2: not JSON: the text ends inside a list",
        ),
        (
            r#"{"prompts": ["a",]}"#,
            "line 1, column 18: entry 1: not JSON: a comma before a closing bracket",
        ),
        (
            r#"{prompts: ["a"]}"#,
            "line 1, column 2: not JSON: a key without double quotes",
        ),
        (
            "{\"prompts\": [\"a\n\"]}",
            "line 1, column 16: entry 1: not JSON: a line break or another control character inside a string \
             (write \\n or \\u001b)",
        ),
    ] {
        let (said, hint) = refused(text.as_bytes());
        assert_eq!(said, format!("standard input: {words}"), "{text}");
        assert!(!hint.is_empty() && !hint.contains('\n'), "{hint}");
    }
}

#[test]
fn what_to_do_fits_the_form() {
    let hint = |text: &str, format| {
        let files = ["-".into()];
        let given = Given {
            files: &files,
            format,
            ..Given::here(Path::new("."))
        };
        super::read(&given, &mut text.as_bytes()).unwrap_err().hint()
    };
    for (text, format, expected) in [
        ("", None, r#"write {"prompts": ["first task", "second task"]}"#),
        (
            "",
            Some(Format::Text),
            "write a prompt a line; lines that start with # are left out",
        ),
        (" ", Some(Format::Markdown), "write what the agent shall do"),
        (
            "Fix it",
            None,
            r#"write {"prompts": ["first task", "second task"]}, or say what it is: --format text or markdown"#,
        ),
        (
            "---\nretry: two\n---\ntext",
            Some(Format::Markdown),
            "write a number such as 3, without quotes, or leave the key out",
        ),
    ] {
        assert_eq!(hint(text, format), expected, "{text:?} {format:?}");
    }
}

// Fault 38: what a list says of all its tasks is not multiplied without end.
#[test]
fn defaults_are_given_to_no_more_tasks_than_there_is_room_for() {
    let long = "x".repeat(1 << 20);
    let prompts = |count: usize| vec!["a"; count];
    let list = |count| serde_json::json!({ "defaults": { "verify": &long }, "prompts": prompts(count) }).to_string();
    let (said, hint) = refused(list(64).as_bytes());
    assert_eq!(
        said,
        "standard input: what its tasks are given is together larger than 64 MiB"
    );
    assert_eq!(hint, "shorten it, or make several sessions of it");
    let good = list(60);
    assert_eq!(read(&["-".into()], &[], &mut good.as_bytes()).unwrap().len(), 60);
}
