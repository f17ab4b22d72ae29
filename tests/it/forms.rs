//! The forms of a task list, and all that its entries may say: looked at in dry runs, which show each task with its
//! options as a session would have them.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::input::{assert_nothing_made, fixture};
use crate::support::{Project, ran};

/// The tasks that a dry run shows.
fn dry(project: &Project, arguments: &[&str], input: &[u8]) -> Vec<Value> {
    let all = [&["run", "--dry-run", "--json", "--agent", "scripted"], arguments].concat();
    let ran = project.run_with_input(&all, input);
    assert_eq!(ran.code(), 0, "{arguments:?}: {ran:?}");
    ran.json()["tasks"].as_array().expect("tasks").clone()
}

#[test]
fn everything_that_an_entry_may_say_arrives() {
    let project = Project::new();
    let tasks = dry(&project, &[&fixture("everything.json")], b"");
    let [plan, build, docs] = &tasks[..] else {
        panic!("{tasks:#?}")
    };
    let build_id = build["id"].as_str().expect("an id");
    Uuid::parse_str(build_id).expect("a uuid");
    assert_eq!(plan["prompt"], "# The API\n\nSay in ten lines what it offers.\n");
    assert_eq!(build["prompt"], "Build what this says: {{answer plan}}");
    let env = |stage: &str| json!({ "CI": "1", "STAGE": stage });
    assert_eq!(
        plan["options"],
        json!({
            "env": env("test"), "setup": ["npm ci"], "model": "haiku", "timeout_ms": 90_000,
            "idle_timeout_ms": 300_000, "retry": 2, "max_turns": 40, "priority": 10,
            "output_file": project.repo().join("plan.txt"),
        })
    );
    assert_eq!(
        build["options"],
        json!({
            "depends_on": ["plan"], "run_if": "grep -q API", "model": "opus",
            "agent_args": ["--add-dir", "../lib"], "env": env("build"), "timeout_ms": 1_800_000, "retry": 0,
            "verify": "cargo test", "setup": ["cargo fetch", "make assets"], "on_done": "notify-send done",
            "max_turns": 10, "max_cost_usd": 2.5, "priority": -1,
        })
    );
    assert_eq!(docs["options"]["depends_on"], json!([build_id, "plan"]));
    assert_eq!(docs["options"]["setup"], json!([]), "nothing, said aloud");
    // As text, too.
    let shown = project.run(&["run", "--dry-run", "--agent", "scripted", &fixture("everything.json")]);
    for line in [
        "  after     plan\n",
        "  run if    grep -q API\n",
        "  env       CI, STAGE\n",
        "  timeout   30 m 00 s\n",
        "  setup     cargo fetch\n  setup     make assets\n",
        "  cost      $2.50\n",
        "  priority  10\n",
    ] {
        assert!(shown.out().contains(line), "{line}: {}", shown.out());
    }
}

#[test]
fn an_entry_counts_more_than_the_command_line_and_that_more_than_the_defaults() {
    let project = Project::new();
    let list = json!({
        "defaults": { "timeout": "1m", "retry": 1, "model": "haiku", "env": { "A": "list", "B": "list", "C": "list" } },
        "tasks": [{ "prompt": "own", "timeout": "3m", "env": { "A": "own" } }, "plain"],
    });
    let flags = [
        "--timeout",
        "2m",
        "--model",
        "opus",
        "--env",
        "A=flag",
        "--env",
        "B=flag",
        "-p",
        "given",
        "-",
    ];
    let tasks = dry(&project, &flags, list.to_string().as_bytes());
    let said = |task: &Value| {
        let options = &task["options"];
        let env = ["A", "B", "C"].map(|name| options["env"][name].as_str().unwrap_or("none").to_owned());
        let number = |key: &str| options[key].as_u64().unwrap_or(0);
        (
            number("timeout_ms") / 60_000,
            number("retry"),
            options["model"].clone(),
            env.join(" "),
        )
    };
    let found: Vec<_> = tasks.iter().map(said).collect();
    assert_eq!(
        found,
        [
            (3, 1, json!("opus"), "own flag list".into()),
            (2, 1, json!("opus"), "flag flag list".into()),
            // What a list says of its tasks holds for no other.
            (2, 0, json!("opus"), "flag flag none".into()),
        ]
    );
}

#[test]
fn a_list_that_an_entry_leaves_empty_has_nothing_in_it() {
    let project = Project::new();
    let list = json!({
        "defaults": { "agent_args": ["--list"], "setup": "list" },
        "tasks": [{ "prompt": "own", "agent_args": [], "setup": [] }, "plain"],
    });
    for (flags, args, setup) in [
        (&["-"][..], "--list", "list"),
        (&["--agent-arg=--flag", "--setup", "flag", "-"], "--flag", "flag"),
    ] {
        let tasks = dry(&project, flags, list.to_string().as_bytes());
        let said = |task: &Value| ["agent_args", "setup"].map(|key| task["options"][key].clone());
        assert_eq!(said(&tasks[0]), [json!([]), json!([])]);
        assert_eq!(said(&tasks[1]), [json!([args]), json!([setup])]);
        let last = |task: &Value| task["argv"].as_array().and_then(|argv| argv.last()).cloned();
        assert!(last(&tasks[0]) != last(&tasks[1]) && last(&tasks[1]) == Some(json!(args)));
    }
}

#[test]
fn each_form_is_read_and_all_of_them_in_one_run() {
    let project = Project::new();
    let files = [
        "prompts.txt",
        "worker2_instructions.md",
        "worker1_instructions.md",
        "specification.md",
        "tasks-key.json",
    ]
    .map(fixture);
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let tasks = dry(&project, &[&files[..], &["-p", "last"]].concat(), b"");
    let shown = |task: &Value| task["title"].as_str().expect("a title").to_owned();
    assert_eq!(
        tasks.iter().map(shown).collect::<Vec<_>>(),
        [
            "Fix the login",
            "Add a test for C# clients",
            "Frontend: the pages",
            "Worker 1: Backend",
            "Backend API",
            "Frontend",
            "Tests!",
            "Remove dead code",
            "last",
        ]
    );
    let [_, _, two, one, api, pages, tests, ..] = &tasks[..] else {
        panic!()
    };
    assert_eq!(
        (&one["id"], &two["id"]),
        (&json!("worker1_instructions"), &json!("frontend"))
    );
    assert_eq!(two["options"]["depends_on"], json!(["worker1_instructions"]));
    assert_eq!(two["options"]["verify"], "npm test\n");
    assert_eq!(two["options"]["setup"], json!(["npm ci", "npm run assets"]));
    let prompt = |task: &Value| task["prompt"].as_str().expect("a prompt").to_owned();
    assert!(prompt(two).ends_with("The API answered: {{answer worker1_instructions}}\n"));
    assert!(prompt(one).starts_with("# Worker 1: Backend\n") && !prompt(one).contains("---"));
    for (task, part) in [
        (api, "Your part of it: **Pane 1**: Backend API. The other parts"),
        (
            pages,
            "Your part of it:\n\nPane 2: Frontend\n  - the pages\n  - the styles\n\nThe other parts",
        ),
        (tests, "Your part of it: Pane 3: Tests! The other parts"),
    ] {
        let prompt = prompt(task);
        assert!(
            prompt.starts_with("# A shop\n") && prompt.contains("- Nothing of this is a task."),
            "{prompt}"
        );
        assert!(
            prompt.contains(part) && prompt.contains("are done by others at the same time."),
            "{prompt}"
        );
        assert_eq!(task["options"]["idle_timeout_ms"], 300_000);
    }
}

#[test]
fn what_a_file_is_follows_from_its_name_or_is_said() {
    let project = Project::new();
    let list = br#"{"prompts": ["of a list"]}"#;
    for (name, content) in [
        ("a.JSON", &list[..]),
        ("tasks", list),
        ("a.text", b"a\n"),
        ("a.prompts", b"a\n"),
    ] {
        project.write(name, content);
        assert_eq!(dry(&project, &[name], b"").len(), 1, "{name}");
    }
    project.write("many.md", "one\ntwo\n");
    assert_eq!(dry(&project, &["many.md"], b"").len(), 1);
    assert_eq!(dry(&project, &["many.md", "--format", "text"], b"").len(), 2);
    assert_eq!(dry(&project, &["--format", "text", "-"], b"one\ntwo\n").len(), 2);
    let read = dry(&project, &["--format", "markdown"], b"# Title\n");
    assert_eq!(read[0]["title"], "Title");
    project.write("tasks.yaml", "- a\n");
    for (arguments, parts) in [
        (
            &["tasks.yaml"][..],
            &["tasks.yaml", "does not say what it is", "--format"][..],
        ),
        (&["many.md", "--format", "json"], &["many.md", "not JSON"]),
        (&["a.text", "--format", "yaml"], &["'yaml'"]),
    ] {
        let ran = project.run(&[&["run", "--agent", "scripted"], arguments].concat());
        assert_eq!(ran.code(), 2, "{ran:?}");
        assert!(parts.iter().all(|part| ran.err().contains(part)), "{ran:?}");
    }
    assert_nothing_made(&project, "formats");
}

#[test]
fn answers_have_files_that_can_be_told_beforehand() {
    let project = Project::new();
    let list =
        br#"{"prompts": ["Fix the login", {"id": "docs", "prompt": "p"}, {"prompt": "q", "output_file": "own.txt"}]}"#;
    let outputs = |arguments: &[&str]| -> Vec<Value> {
        let tasks = dry(&project, &[arguments, &["-"]].concat(), list);
        tasks
            .iter()
            .map(|task| task["options"]["output_file"].clone())
            .collect()
    };
    let here = |name: &str| json!(project.repo().join(name));
    let expected = ["out/01-fix-the-login.txt", "out/docs.txt", "own.txt"].map(here);
    assert_eq!(outputs(&["--output-dir", "out"]), expected);
    assert_eq!(outputs(&[]), [Value::Null, Value::Null, here("own.txt")]);
    // The repository's file says where, and the environment and the command line count more.
    project.write("pleach.toml", "output_dir = \"out\"\n");
    assert_eq!(outputs(&["-y"]), expected);
    assert_eq!(
        outputs(&["-y", "--output-dir", "other"])[..2],
        ["other/01-fix-the-login.txt", "other/docs.txt"].map(here)
    );
    project.write("pleach.toml", "");
    let mut environment = project.pleach_command(&["run", "--dry-run", "--json", "--agent", "scripted", "-p", "a"]);
    let listed = ran(environment.env("PLEACH_OUTPUT_DIR", "from")).json();
    assert_eq!(listed["tasks"][0]["options"]["output_file"], here("from/01-a.txt"));
    let one = dry(&project, &["-p", "a", "--output-file", "../answer"], b"");
    assert_eq!(one[0]["options"]["output_file"], here("../answer"));
    for (arguments, parts) in [
        (&["--output-file", "x"][..], &["one task", "--output-dir"][..]),
        (&["--output-dir", ".", "-p", "x"], &[]),
    ] {
        let ran = project.run_with_input(
            &[&["run", "--dry-run", "--agent", "scripted", "-"], arguments].concat(),
            list,
        );
        match parts {
            [] => assert_eq!(ran.code(), 0, "{ran:?}"),
            _ => ran.assert_refused(2, parts),
        }
    }
    let same = json!({ "tasks": [{ "prompt": "a", "output_file": "x" }, { "prompt": "b", "output_file": "./x" }] });
    let ran = project.run_with_input(&["run", "--agent", "scripted"], same.to_string().as_bytes());
    ran.assert_refused(2, &["\"a\" and \"b\"", "file of its own"]);
    assert_nothing_made(&project, "outputs");
}

#[test]
fn dependencies_that_cannot_be_are_refused_before_anything_is_made() {
    let project = Project::new();
    let cycle = fixture("cycle.json");
    let cases: [(&[&str], &str, &[&str]); 5] = [
        (
            &[&cycle],
            "",
            &["cycle.json", "a -> b -> \"The third\" -> a", "leave out one"],
        ),
        (
            &["-"],
            r#"{"tasks": [{"id": "login", "prompt": "p"}, {"prompt": "q", "depends_on": "lgoin"}]}"#,
            &["line 1, column 74", "entry 2", "\"lgoin\"", "did you mean \"login\"?"],
        ),
        (
            &["-"],
            r#"{"tasks": [{"id": "a", "prompt": "p", "depends_on": ["a"]}]}"#,
            &["entry 1 (\"a\")", "itself"],
        ),
        (
            &["-p", "same", "-p", "same", "-"],
            r#"{"tasks": [{"prompt": "q", "depends_on": "same"}]}"#,
            &["2 tasks", "\"same\"", "give them ids"],
        ),
        (
            &["-p", "first", "-p", "use {{answer first}}"],
            "",
            &["-p number 2", "wants the answer of \"first\"", "depends_on"],
        ),
    ];
    for (arguments, input, parts) in cases {
        let ran = project.run_with_input(&[&["run", "--agent", "scripted"], arguments].concat(), input.as_bytes());
        ran.assert_refused(2, parts);
        assert_nothing_made(&project, &format!("{arguments:?}"));
    }
}

// Fault 38: a prompt file that is no file is not waited for.
#[test]
fn a_prompt_file_is_a_file_of_text_and_nothing_else() {
    let project = Project::new();
    let place = |name: &str| project.root().join(name);
    std::fs::create_dir(place("prompts")).expect("make a directory");
    std::fs::write(place("prompts/good.md"), "\u{feff}# Good\n").expect("write a prompt");
    std::os::unix::fs::symlink("good.md", place("prompts/link.md")).expect("make a link");
    std::fs::write(place("prompts/latin1.md"), b"Gr\xfc\xdfe").expect("write a prompt");
    std::fs::write(place("prompts/blank.md"), " \n\t").expect("write a prompt");
    let huge = std::fs::File::create(place("prompts/huge.md")).expect("make a file");
    huge.set_len((64 << 20) + 1).expect("make it large");
    let made = std::process::Command::new("mkfifo").arg(place("prompts/fifo")).status();
    assert!(made.expect("run mkfifo").success());
    let list = |file: &str| json!({ "tasks": [{ "id": "t", "prompt_file": file }] }).to_string();
    for file in ["prompts/good.md", "prompts/link.md", "./prompts/../prompts/good.md"] {
        // Its path starts from the directory of the list, not from here.
        std::fs::write(place("list.json"), list(file)).expect("write a list");
        let tasks = dry(&project, &["../list.json"], b"");
        assert_eq!(tasks[0]["prompt"], "# Good\n", "{file}");
    }
    let here = dry(&project, &["-"], list("../prompts/good.md").as_bytes());
    assert_eq!(here[0]["title"], "# Good");
    for (file, part) in [
        ("prompts/none.md", "no such file"),
        ("prompts", "it is a directory"),
        ("prompts/fifo", "no regular file"),
        ("/dev/zero", "no regular file"),
        ("/dev/tty", "it cannot be read"),
        ("prompts/latin1.md", "line 1, column 3: this is not UTF-8"),
        ("prompts/blank.md", "it is empty"),
        ("prompts/huge.md", "larger than 64 MiB"),
        ("prompts/\u{1b}[2J", "\\u{1b}[2J"),
    ] {
        std::fs::write(place("list.json"), list(file)).expect("write a list");
        let ran = project.run(&["run", "--agent", "scripted", "../list.json"]);
        ran.assert_refused(2, &["line 1, column 35", "entry 1 (\"t\")", "the prompt file", part]);
        assert_nothing_made(&project, file);
    }
}
