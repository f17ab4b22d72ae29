//! The configuration: which layer counts more, what `pleach config` says of each setting, files that cannot be used, and
//! agents that are described there. What of it has to be approved is in `trust`.
//!
//! What a session is started with stands in its `session.json`: that is read.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, mkfifoat};
use serde_json::{Value, json};

use crate::support::{Project, ran};

const SCRIPTED: [&str; 5] = ["run", "--agent", "scripted", "-p", "@say hi"];

/// The user's own file.
fn user_file(project: &Project) -> PathBuf {
    project.root().join("home/.config/pleach/config.toml")
}

fn write_user(project: &Project, text: &str) {
    let path = user_file(project);
    fs::create_dir_all(path.parent().expect("a directory")).expect("make directories");
    fs::write(path, text).expect("write a file");
}

/// The `session.json` of a session that is started so, and ended again.
fn started(project: &Project, arguments: &[&str], environment: &[(&str, &str)]) -> Value {
    let mut command = project.pleach_command(arguments);
    command.envs(environment.iter().copied());
    let ran = ran(&mut command);
    assert_eq!(ran.code(), 0, "{ran:?}");
    let id = ran.out().trim().to_owned();
    let file = project
        .repo()
        .join(format!(".git/pleach/results/session-{id}/session.json"));
    let spec = serde_json::from_slice(&fs::read(file).expect("read session.json")).expect("JSON");
    let waited = project.run(&["wait", &id]);
    assert!([0, 1].contains(&waited.code()), "{waited:?}");
    spec
}

/// A key, its variable and its option with a value for each layer (as written in a file), and where it stands in
/// `session.json` with what stands there: usually, and for each layer.
struct Row {
    key: &'static str,
    user: &'static str,
    repository: &'static str,
    variable: Option<(&'static str, &'static str)>,
    option: &'static [&'static str],
    at: &'static str,
    found: [Value; 5],
}

fn rows() -> Vec<Row> {
    let row = |key, [user, repository]: [&'static str; 2], variable, option, at, found| Row {
        key,
        user,
        repository,
        variable,
        option,
        at,
        found,
    };
    let auto = thread_count();
    vec![
        row(
            "max_parallel",
            ["2", "\"3\""],
            Some(("MAX_CLAUDE_WORKERS", "unlimited")),
            &["--max-parallel", "5"],
            "/options/max_parallel",
            [auto, json!(2), json!(3), Value::Null, json!(5)],
        ),
        row(
            "timeout",
            ["61", "\"62s\""],
            Some(("PLEACH_TIMEOUT", "63s")),
            &["--timeout", "64s"],
            "/tasks/0/options/timeout_ms",
            [Value::Null, json!(61_000), json!(62_000), json!(63_000), json!(64_000)],
        ),
        row(
            "grace",
            ["\"1s\"", "\"2s\""],
            Some(("PLEACH_GRACE", "3s")),
            &["--grace", "4s"],
            "/options/grace_ms",
            [json!(10_000), json!(1_000), json!(2_000), json!(3_000), json!(4_000)],
        ),
        row(
            "retry",
            ["1", "2"],
            Some(("PLEACH_RETRY", "3")),
            &["--retry", "0"],
            "/tasks/0/options/retry",
            [Value::Null, json!(1), json!(2), json!(3), json!(0)],
        ),
        row(
            "fail_fast",
            ["true", "false"],
            Some(("PLEACH_FAIL_FAST", "yes")),
            &["--keep-going"],
            "/options/fail_fast",
            [json!(false), json!(true), json!(false), json!(true), json!(false)],
        ),
        row(
            "max_cost",
            ["1", "\"$2.50\""],
            Some(("PLEACH_MAX_COST", "3")),
            &["--max-cost", "4"],
            "/options/max_cost_usd",
            [Value::Null, json!(1.0), json!(2.5), json!(3.0), json!(4.0)],
        ),
        row(
            "max_turns",
            ["5", "6"],
            Some(("PLEACH_MAX_TURNS", "7")),
            &["--max-turns", "8"],
            "/tasks/0/options/max_turns",
            [Value::Null, json!(5), json!(6), json!(7), json!(8)],
        ),
        row(
            "max_output",
            ["4096", "\"8K\""],
            Some(("PLEACH_MAX_OUTPUT", "1M")),
            &["--max-output", "2M"],
            "/options/max_output_bytes",
            [
                json!(64 << 20),
                json!(4096),
                json!(8192),
                json!(1 << 20),
                json!(2 << 20),
            ],
        ),
        row(
            "min_free_disk",
            ["\"1K\"", "\"2K\""],
            Some(("PLEACH_MIN_FREE_DISK", "3K")),
            &["--min-free-disk", "4K"],
            "/options/min_free_disk_bytes",
            [json!(1 << 30), json!(1024), json!(2048), json!(3072), json!(4096)],
        ),
        row(
            "model",
            ["\"a\"", "\"b\""],
            Some(("PLEACH_MODEL", "c")),
            &["--model", "d"],
            "/tasks/0/options/model",
            [Value::Null, json!("a"), json!("b"), json!("c"), json!("d")],
        ),
        row(
            "agent_args",
            ["[\"--a\"]", "[\"--b\", \"b c\"]"],
            Some(("PLEACH_AGENT_ARGS", "--c 'c d'")),
            &["--agent-arg", "--d"],
            "/tasks/0/options/agent_args",
            [
                Value::Null,
                json!(["--a"]),
                json!(["--b", "b c"]),
                json!(["--c", "c d"]),
                json!(["--d"]),
            ],
        ),
        row(
            "permission_mode",
            ["\"plan\"", "\"acceptEdits\""],
            Some(("PLEACH_PERMISSION_MODE", "default")),
            &["--permission-mode", "auto"],
            "/agent/permissions",
            [
                json!("skip"),
                json!({"mode": "plan"}),
                json!({"mode": "acceptEdits"}),
                json!({"mode": "default"}),
                json!({"mode": "auto"}),
            ],
        ),
        row(
            "verify",
            ["\"true 1\"", "\"true 2\""],
            Some(("PLEACH_VERIFY", "true 3")),
            &["--verify", "true 4"],
            "/tasks/0/options/verify",
            [
                Value::Null,
                json!("true 1"),
                json!("true 2"),
                json!("true 3"),
                json!("true 4"),
            ],
        ),
        row(
            "on_done",
            ["\"true 1\"", "\"true 2\""],
            Some(("PLEACH_ON_DONE", "true 3")),
            &["--on-done", "true 4"],
            "/options/on_done",
            [
                Value::Null,
                json!("true 1"),
                json!("true 2"),
                json!("true 3"),
                json!("true 4"),
            ],
        ),
        row(
            "worktree.setup",
            ["[\"true 1\"]", "[\"true 2\", \"true\"]"],
            None,
            &["--setup", "true 4"],
            "/tasks/0/options/setup",
            [
                Value::Null,
                json!(["true 1"]),
                json!(["true 2", "true"]),
                json!(["true 2", "true"]),
                json!(["true 4"]),
            ],
        ),
        row(
            "worktree.copy",
            ["[\"a\"]", "[\"b\"]"],
            None,
            &[],
            "/options/copy",
            [Value::Null, json!(["a"]), json!(["b"]), json!(["b"]), json!(["b"])],
        ),
        row(
            "env.WHOSE",
            ["\"user\"", "\"repository\""],
            None,
            &["--env", "WHOSE=mine"],
            "/tasks/0/options/env/WHOSE",
            [
                Value::Null,
                json!("user"),
                json!("repository"),
                json!("repository"),
                json!("mine"),
            ],
        ),
    ]
}

/// What is chosen by itself, which depends on the machine.
fn thread_count() -> Value {
    let project = Project::new();
    let tried = ran(project
        .pleach_command(&["run", "--dry-run", "--json", "--agent", "scripted", "-p", "@say a"])
        .env("MAX_CLAUDE_WORKERS", ""));
    tried.json()["max_parallel"].clone()
}

#[test]
fn options_count_more_than_environment_repository_and_user() {
    let project = Project::new();
    let rows = rows();
    let all = |part: &dyn Fn(&Row) -> &'static str| -> String {
        rows.iter()
            .map(|row| format!("{} = {}\n", row.key, part(row)))
            .collect()
    };
    // Those of the project itself are not set.
    let mut environment = vec![("MAX_CLAUDE_WORKERS", ""), ("PLEACH_MIN_FREE_DISK", "")];
    let check = |layer: usize, spec: &Value| {
        for row in &rows {
            let found = spec.pointer(row.at).unwrap_or(&Value::Null);
            assert_eq!(*found, row.found[layer], "layer {layer}: {}\n{spec:#}", row.key);
        }
    };
    check(0, &started(&project, &SCRIPTED, &environment));
    write_user(&project, &all(&|row| row.user));
    check(1, &started(&project, &SCRIPTED, &environment));
    project.write("pleach.toml", all(&|row| row.repository));
    let approved = [&SCRIPTED[..], &["-y"]].concat();
    check(2, &started(&project, &approved, &environment));
    environment.extend(rows.iter().filter_map(|row| row.variable));
    check(3, &started(&project, &SCRIPTED, &environment));
    let mut options = SCRIPTED.to_vec();
    options.extend(rows.iter().flat_map(|row| row.option));
    check(4, &started(&project, &options, &environment));
}

#[test]
fn each_setting_is_shown_with_where_it_comes_from() {
    let mut project = Project::new();
    write_user(
        &project,
        "timeout = \"10m\"\ngrace = 5\nmodel = \"opus\"\nenv.A = \"1\"\n",
    );
    project.write(
        "pleach.toml",
        "# ours\ntimeout = \"5m\"\nverify = \"cargo test\"\n\n[agent.codex]\ncommand = [\"codex\", \"exec\"]\n",
    );
    project.set("PLEACH_MODEL", "haiku");
    let document = project.query(&["config"]);
    let repository = project.repo().join("pleach.toml").display().to_string();
    let user = user_file(&project).display().to_string();
    let of = |key: &str| {
        let all = document["settings"].as_array().expect("settings");
        let found = all.iter().find(|s| s["key"] == key);
        let found = found.unwrap_or_else(|| panic!("no {key} in {document:#}"));
        ["value", "from", "variable", "path", "line", "needs_approval"].map(|name| found[name].clone())
    };
    let none = Value::Null;
    for (key, expected) in [
        (
            "timeout",
            [
                json!("5m"),
                json!("repository"),
                none.clone(),
                json!(repository),
                json!(2),
                json!(false),
            ],
        ),
        (
            "grace",
            [
                json!("5s"),
                json!("user"),
                none.clone(),
                json!(user),
                json!(2),
                json!(false),
            ],
        ),
        (
            "model",
            [
                json!("haiku"),
                json!("environment"),
                json!("PLEACH_MODEL"),
                none.clone(),
                none.clone(),
                json!(false),
            ],
        ),
        (
            "env.A",
            [
                json!("1"),
                json!("user"),
                none.clone(),
                json!(user),
                json!(4),
                json!(false),
            ],
        ),
        (
            "verify",
            [
                json!("cargo test"),
                json!("repository"),
                none.clone(),
                json!(repository),
                json!(3),
                json!(true),
            ],
        ),
        (
            "agent.codex.command",
            [
                json!(["codex", "exec"]),
                json!("repository"),
                none.clone(),
                json!(repository),
                json!(5),
                json!(true),
            ],
        ),
        (
            "retry",
            [
                json!(0),
                json!("usual"),
                none.clone(),
                none.clone(),
                none.clone(),
                json!(false),
            ],
        ),
        (
            "log_dir",
            [
                none.clone(),
                json!("usual"),
                none.clone(),
                none.clone(),
                none.clone(),
                json!(false),
            ],
        ),
    ] {
        assert_eq!(of(key), expected, "{key}");
    }
    assert_eq!(document["approved"], false);
    let files = json!([
        { "layer": "repository", "path": repository, "there": true },
        { "layer": "user", "path": user, "there": true },
    ]);
    assert_eq!(document["files"], files);
    let text = project.run(&["config"]).out();
    for part in [
        format!("timeout = \"5m\"{}# {repository}:2\n", " "),
        format!("# {repository}:3, not approved\n"),
        "# PLEACH_MODEL\n".into(),
        "pleach trust".into(),
    ] {
        let squeezed: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
        assert!(squeezed.join(" ").contains(&part), "{part}: {text}");
    }
}

/// Whatever is wrong with one of the files, nothing is started, and file and place are named.
#[test]
fn a_file_that_cannot_be_used_is_an_error_that_names_it() {
    let project = Project::unprivileged();
    let files = [project.repo().join("pleach.toml"), user_file(&project)];
    fs::create_dir_all(files[1].parent().expect("a directory")).expect("make directories");
    let texts: [(&[u8], &[&str]); 6] = [
        (b"max_parallel = \n", &["line 1", "not TOML"]),
        (b"retry = 1\nretry = 2\n", &["line 2", "not TOML"]),
        (
            b"\nmax_paralel = 3\n",
            &["line 2, column 1", "unknown key \"max_paralel\"", "max_parallel"],
        ),
        (
            b"retry = \"often\"\n",
            &["line 1, column 1", "\"retry\" is a text", "a number"],
        ),
        (b"timeout = \"1d\"\n", &["\"timeout\" is \"1d\"", "10m"]),
        (b"model = \"caf\xe9\"\n", &["line 1, column 13", "not UTF-8"]),
    ];
    let refused = |file: &PathBuf, parts: &[&str]| {
        let named = file.display().to_string();
        for arguments in [&SCRIPTED[..], &["config"], &["trust"]] {
            project
                .run(arguments)
                .assert_refused(2, &[&[named.as_str()], parts].concat());
        }
        assert!(!project.repo().join(".git/pleach").exists() && !project.worktrees().exists());
    };
    for file in &files {
        for (text, parts) in texts {
            fs::write(file, text).expect("write a file");
            refused(file, parts);
        }
        fs::set_permissions(file, Permissions::from_mode(0)).expect("change the mode");
        refused(file, &["cannot read", "denied"]);
        fs::remove_file(file).expect("remove it");
        fs::create_dir(file).expect("make a directory");
        refused(file, &["is a directory"]);
        fs::remove_dir(file).expect("remove it");
        mkfifoat(CWD, file, Mode::RWXU).expect("make a pipe");
        refused(file, &["something special"]);
        fs::remove_file(file).expect("remove it");
        std::os::unix::fs::symlink("nowhere", file).expect("make a link");
        refused(file, &["cannot read"]);
        fs::remove_file(file).expect("remove it");
        fs::write(file, "#".repeat((1 << 20) + 1)).expect("write a file");
        refused(file, &["larger than 1024 KiB"]);
        fs::remove_file(file).expect("remove it");
    }
    let ran = project.run(&[&SCRIPTED[..], &["--sync"]].concat());
    assert_eq!(ran.code(), 0, "{ran:?}");
    // Who only looks is not kept from it by a mistake that is about something else, nor is who runs the demo.
    fs::write(&files[0], "max_paralel = 3\n").expect("write a file");
    assert_eq!(project.query(&["status"])["successful"], 1);
}

#[test]
fn a_doctor_says_what_run_would_refuse() {
    let project = Project::new();
    let of_config = |project: &Project| {
        let doc = project.run(&["doctor", "--json"]).json();
        let all = doc["findings"].as_array().expect("findings").clone();
        let found = all.into_iter().filter(|f| f["check"] == "config");
        found.map(|f| (f["level"].clone(), f.to_string())).collect::<Vec<_>>()
    };
    assert!(of_config(&project).is_empty());
    for (text, level, part) in [
        ("retry = 1\n", "ok", "settings come from"),
        ("retry = x\n", "problem", "not TOML"),
        ("verify = 'x'\n", "problem", "pleach trust"),
    ] {
        project.write("pleach.toml", text);
        let found = of_config(&project);
        assert!(
            found.len() == 1 && found[0].0 == level && found[0].1.contains(part),
            "{found:?}"
        );
    }
}

#[test]
fn each_checkout_has_its_own_and_a_bare_repository_none() {
    let project = Project::new();
    project.write("pleach.toml", "retry = 1\n");
    let (linked, bare) = (project.beside("linked"), project.beside("bare"));
    project.git(&["worktree", "add", "-q", &linked]);
    project.git(&["clone", "-q", "--bare", ".", &bare]);
    fs::write(format!("{bare}/pleach.toml"), "retry = 7\n").expect("write a file");
    let retry = |directory: &str| {
        let ran = ran(project.pleach_command(&["config", "--json"]).current_dir(directory));
        assert_eq!(ran.code(), 0, "{ran:?}");
        let settings = ran.json()["settings"].clone();
        let all = settings.as_array().expect("settings").clone();
        all.into_iter().find(|s| s["key"] == "retry").expect("retry")["value"].clone()
    };
    // It is the file as it is now, committed or not.
    assert_eq!(retry(project.repo().to_str().expect("UTF-8")), 1);
    assert_eq!(retry(&linked), 0);
    fs::write(format!("{linked}/pleach.toml"), "retry = 2\n").expect("write a file");
    fs::create_dir(format!("{linked}/below")).expect("make a directory");
    assert_eq!(retry(&format!("{linked}/below")), 2);
    assert_eq!(retry(&bare), 0);
    assert_eq!(retry(project.root().to_str().expect("UTF-8")), 0);
}

#[test]
fn sessions_are_kept_and_found_where_a_file_says() {
    let project = Project::new();
    write_user(&project, &format!("results_dir = \"{}\"\n", project.beside("kept")));
    let ran = project.run(&[&SCRIPTED[..], &["--sync"]].concat());
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(!project.repo().join(".git/pleach/results").exists());
    assert_eq!(project.query(&["status"])["successful"], 1);
    assert_eq!(project.query(&["list"])["sessions"].as_array().map(Vec::len), Some(1));
    // What a repository says of that counts when it was approved, and until then somebody is told.
    project.write("pleach.toml", "results_dir = \"results\"\n");
    let listed = project.run(&["list", "--json"]);
    assert_eq!(listed.json()["sessions"].as_array().map(Vec::len), Some(1));
    assert!(
        listed.err().contains("was not approved") && listed.err().contains("pleach trust"),
        "{listed:?}"
    );
    assert_eq!(project.run(&["trust", "-y"]).code(), 0);
    let listed = project.run(&["list", "--json"]);
    assert_eq!(
        (listed.json()["sessions"].clone(), listed.err()),
        (json!([]), String::new())
    );
    let ran = project.run(&[&SCRIPTED[..], &["--sync"]].concat());
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert_eq!(project.query(&["list"])["sessions"].as_array().map(Vec::len), Some(1));
    assert!(
        project
            .git(&["status", "--porcelain", "--ignored=no"])
            .ends_with("pleach.toml\n")
    );
}

#[test]
fn a_task_is_done_by_the_agent_that_counts_most_for_it() {
    let project = Project::new();
    let program = project.program("bin/other", "cat >/dev/null; echo done");
    write_user(
        &project,
        &format!(
            "[agent]\ndefault = \"other\"\n[agent.other]\ncommand = [\"{program}\", \"-x\", \"{{prompt}}\"]\n\
             prompt = \"arg\"\nsuccess = \"exit\"\npty = true\nresume = [\"again\"]\n\
             [agent.missing]\ncommand = [\"no-such-program\"]\n"
        ),
    );
    let spec = started(&project, &["run", "-p", "hi"], &[]);
    assert_eq!(spec["agent"]["name"], "other");
    assert_eq!(spec["agent"]["kind"], "command");
    assert_eq!(spec["agent"]["program"], program);
    let command = json!({
        "args": ["-x", "{prompt}"],
        "prompt": "arg",
        "success": "exit",
        "pty": true,
        "resume": ["again"],
    });
    assert_eq!(spec["agent"]["command"], command);
    assert_eq!(spec["tasks"][0].pointer("/options/agent"), None);
    // The option counts more, and what does nothing need not be there.
    let spec = started(&project, &["run", "--agent", "scripted", "-p", "@say hi"], &[]);
    assert_eq!(
        (&spec["agent"]["name"], spec.get("other_agents")),
        (&json!("scripted"), None)
    );
    let missing = project.run(&["run", "--agent", "missing", "-p", "hi"]);
    let user = user_file(&project).display().to_string();
    missing.assert_refused(
        2,
        &["no-such-program of the agent missing is not there", &user, "line 9"],
    );
    let unknown = project.run(&["run", "--agent", "othr", "-p", "hi"]);
    unknown.assert_refused(
        2,
        &[
            "no agent \"othr\" (--agent)",
            "claude, scripted, missing and 1 more",
            "[agent.NAME]",
        ],
    );
    let unknown = ran(project.pleach_command(&["run", "-p", "hi"]).env("PLEACH_AGENT", "codx"));
    unknown.assert_refused(2, &["no agent \"codx\" (PLEACH_AGENT)"]);
}

#[test]
fn the_demo_is_the_same_whatever_is_configured() {
    let project = Project::new();
    write_user(&project, "verify = \"false\"\nmax_paralel = 7\n");
    let ran = ran(project
        .pleach_command(&["demo"])
        .env("PLEACH_VERIFY", "touch ../verified; false"));
    let (out, err) = (ran.out(), ran.err());
    assert!(
        out.contains("what to try next") && !err.contains("error:"),
        "{out}{err}"
    );
    let found = project.sh("find .. -name verified");
    assert_eq!(found, "");
}
