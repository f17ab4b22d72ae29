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

/// For each key: what it is in the user's file, in the repository's, in the environment and as options, where it stands
/// in `session.json`, and what stands there usually and for each layer.
const ROWS: &str = r#"
max_parallel | 2 | "3" | MAX_CLAUDE_WORKERS=unlimited | ["--max-parallel", "5"] | /options/max_parallel | ["auto", 2, 3, null, 5]
timeout | 61 | "62s" | PLEACH_TIMEOUT=63s | ["--timeout", "64s"] | /tasks/0/options/timeout_ms | [null, 61000, 62000, 63000, 64000]
idle_timeout | 61 | "62s" | PLEACH_IDLE_TIMEOUT=63s | ["--idle-timeout", "64s"] | /tasks/0/options/idle_timeout_ms | [null, 61000, 62000, 63000, 64000]
grace | "1s" | "2s" | PLEACH_GRACE=3s | ["--grace", "4s"] | /options/grace_ms | [10000, 1000, 2000, 3000, 4000]
retry | 1 | 2 | PLEACH_RETRY=3 | ["--retry", "0"] | /tasks/0/options/retry | [null, 1, 2, 3, 0]
retry_delay | 1 | "2s" | PLEACH_RETRY_DELAY=3s | ["--retry-delay", "4s"] | /options/retry_delay_ms | [5000, 1000, 2000, 3000, 4000]
retry_fresh | true | false | PLEACH_RETRY_FRESH=yes | ["--retry-fresh"] | /options/retry_fresh | [false, true, false, true, true]
fail_fast | true | false | PLEACH_FAIL_FAST=yes | ["--keep-going"] | /options/fail_fast | [false, true, false, true, false]
stagger | "1ms" | "2ms" | PLEACH_STAGGER=3ms | ["--stagger", "4ms"] | /options/stagger_ms | [0, 1, 2, 3, 4]
max_cost | 1 | "$2.50" | PLEACH_MAX_COST=3 | ["--max-cost", "4"] | /options/max_cost_usd | [null, 1.0, 2.5, 3.0, 4.0]
max_cost_usd | 1 | "$2.50" | PLEACH_MAX_COST_USD=3 | ["--max-cost-usd", "4"] | /tasks/0/options/max_cost_usd | [null, 1.0, 2.5, 3.0, 4.0]
max_turns | 5 | 6 | PLEACH_MAX_TURNS=7 | ["--max-turns", "8"] | /tasks/0/options/max_turns | [null, 5, 6, 7, 8]
max_output | 4096 | "8K" | PLEACH_MAX_OUTPUT=1M | ["--max-output", "2M"] | /options/max_output_bytes | [67108864, 4096, 8192, 1048576, 2097152]
snapshot_every | 61 | "0s" | PLEACH_SNAPSHOT_EVERY=63s | ["--snapshot-every", "64s"] | /options/snapshot_every_ms | [300000, 61000, null, 63000, 64000]
min_free_disk | "1K" | "2K" | PLEACH_MIN_FREE_DISK=3K | ["--min-free-disk", "4K"] | /options/min_free_disk_bytes | [1073741824, 1024, 2048, 3072, 4096]
min_free_memory | "1K" | "2K" | PLEACH_MIN_FREE_MEMORY=3K | ["--min-free-memory", "4K"] | /options/min_free_memory_bytes | [536870912, 1024, 2048, 3072, 4096]
keep_worktrees | true | false | PLEACH_KEEP_WORKTREES=1 | ["--keep-worktrees"] | /options/keep_worktrees | [false, true, false, true, true]
model | "a" | "b" | PLEACH_MODEL=c | ["--model", "d"] | /tasks/0/options/model | [null, "a", "b", "c", "d"]
agent_args | ["--a"] | ["--b", "b c"] | PLEACH_AGENT_ARGS=--c 'c d' | ["--agent-arg", "--d"] | /tasks/0/options/agent_args | [null, ["--a"], ["--b", "b c"], ["--c", "c d"], ["--d"]]
permission_mode | "plan" | "acceptEdits" | PLEACH_PERMISSION_MODE=default | ["--permission-mode", "auto"] | /agent/permissions | ["skip", {"mode": "plan"}, {"mode": "acceptEdits"}, {"mode": "default"}, {"mode": "auto"}]
verify | "true 1" | "true 2" | PLEACH_VERIFY=true 3 | ["--verify", "true 4"] | /tasks/0/options/verify | [null, "true 1", "true 2", "true 3", "true 4"]
on_task_done | "true 1" | "true 2" | PLEACH_ON_TASK_DONE=true 3 | ["--on-task-done", "true 4"] | /tasks/0/options/on_done | [null, "true 1", "true 2", "true 3", "true 4"]
handler_timeout | 61 | "62s" | PLEACH_HANDLER_TIMEOUT=63s | ["--handler-timeout", "64s"] | /options/handler_timeout_ms | [600000, 61000, 62000, 63000, 64000]
on_done | "true 1" | "true 2" | PLEACH_ON_DONE=true 3 | ["--on-done", "true 4"] | /options/on_done | [null, "true 1", "true 2", "true 3", "true 4"]
worktree.setup | ["true 1"] | ["true 2", "true"] | | ["--setup", "true 4"] | /tasks/0/options/setup | [null, ["true 1"], ["true 2", "true"], ["true 2", "true"], ["true 4"]]
worktree.link | ["c"] | ["d"] | | [] | /options/link | [null, ["c"], ["d"], ["d"], ["d"]]
worktree.copy | ["a"] | ["b"] | | [] | /options/copy | [null, ["a"], ["b"], ["b"], ["b"]]
env.WHOSE | "user" | "repository" | | ["--env", "WHOSE=mine"] | /tasks/0/options/env/WHOSE | [null, "user", "repository", "repository", "mine"]
"#;

/// Those whose values are paths, programs or agents, and how many agents there may be on the machine: each has a test of
/// its own.
const ELSEWHERE: [&str; 7] = [
    "agent",
    "claude",
    "log_dir",
    "max_agents",
    "output_dir",
    "results_dir",
    "worktree.dir",
];

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
    let rows: Vec<Vec<&str>> = ROWS
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let file = |column: usize| -> String {
        rows.iter()
            .map(|row| format!("{} = {}\n", row[0], row[column]))
            .collect()
    };
    let settings = project.query(&["config"])["settings"].clone();
    for key in settings
        .as_array()
        .expect("settings")
        .iter()
        .map(|s| s["key"].as_str().expect("a key"))
    {
        let here = rows.iter().any(|row| row[0].split('.').eq(key.split('.')));
        let known = here || ELSEWHERE.contains(&key) || key == "env";
        assert!(known, "{key} is not held by any row");
    }
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let auto = thread_count();
    let check = |layer: usize, spec: &Value| {
        for row in &rows {
            let mut expected = json(row[6])[layer].clone();
            if expected == "auto" {
                expected = auto.clone();
            }
            let found = spec.pointer(row[5]).unwrap_or(&Value::Null);
            assert_eq!(*found, expected, "layer {layer}: {}\n{spec:#}", row[0]);
        }
    };
    // Those of the project itself are not set.
    let mut environment = vec![
        ("MAX_CLAUDE_WORKERS", ""),
        ("PLEACH_MIN_FREE_DISK", ""),
        ("PLEACH_MIN_FREE_MEMORY", ""),
    ];
    check(0, &started(&project, &SCRIPTED, &environment));
    write_user(&project, &file(1));
    check(1, &started(&project, &SCRIPTED, &environment));
    project.write("pleach.toml", file(2));
    let approved = [&SCRIPTED[..], &["-y"]].concat();
    check(2, &started(&project, &approved, &environment));
    environment.extend(rows.iter().filter_map(|row| row[3].split_once('=')));
    check(3, &started(&project, &SCRIPTED, &environment));
    let options: Vec<String> = rows
        .iter()
        .flat_map(|row| serde_json::from_str::<Vec<String>>(row[4]).expect("options"))
        .collect();
    let options: Vec<&str> = SCRIPTED.into_iter().chain(options.iter().map(String::as_str)).collect();
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
    let (repository, user) = (project.repo().join("pleach.toml"), user_file(&project));
    let of = |key: &str| {
        let all = document["settings"].as_array().expect("settings");
        let found = all.iter().find(|s| s["key"] == key);
        let found = found.unwrap_or_else(|| panic!("no {key} in {document:#}"));
        json!(["value", "from", "variable", "path", "line", "needs_approval"].map(|name| found[name].clone()))
    };
    for (key, expected) in [
        ("timeout", json!(["5m", "repository", null, repository, 2, false])),
        ("grace", json!(["5s", "user", null, user, 2, false])),
        (
            "model",
            json!(["haiku", "environment", "PLEACH_MODEL", null, null, false]),
        ),
        ("env.A", json!(["1", "user", null, user, 4, false])),
        ("verify", json!(["cargo test", "repository", null, repository, 3, true])),
        (
            "agent.codex.command",
            json!([["codex", "exec"], "repository", null, repository, 5, true]),
        ),
        ("retry", json!([0, "usual", null, null, null, false])),
        ("log_dir", json!([null, "usual", null, null, null, false])),
    ] {
        assert_eq!(of(key), expected, "{key}");
    }
    assert_eq!(document["approved"], false);
    let files = json!([
        { "layer": "repository", "path": repository, "there": true },
        { "layer": "user", "path": user, "there": true },
    ]);
    assert_eq!(document["files"], files);
}

/// Also beside a file that cannot be read: it says what such a file may have.
#[test]
fn the_list_of_keys_is_a_file_that_changes_nothing() {
    let project = Project::new();
    write_user(&project, "setup = 1");
    let listed = project.run(&["config", "--keys"]).out();
    let (mut set, mut keys) = (String::new(), 0);
    for line in listed.lines() {
        let key = line.strip_prefix('#').filter(|rest| !rest.starts_with(' '));
        keys += usize::from(key.is_some_and(|key| key.contains(" =")));
        let has_value = key.is_some_and(|key| !key.ends_with("= ") && !key.starts_with('['));
        set += if has_value { key.unwrap_or_default() } else { line };
        set += "\n";
    }
    let usual = |text: &str| -> Vec<Value> {
        write_user(&project, text);
        let document: Value = serde_json::from_str(&project.run(&["config", "--json"]).out()).expect("JSON");
        let settings = document["settings"].as_array().expect("a list");
        settings.iter().map(|s| json!([s["key"], s["value"]])).collect()
    };
    assert_eq!(usual(&set), usual(""), "{set}");
    assert_eq!(keys, usual("").len() + 5, "those of agents too: {listed}");
    assert!(
        set.contains("\nmax_parallel = \"auto\"\n") && set.contains("\ngrace = \"10s\"\n"),
        "{set}"
    );
}

/// Whatever is wrong with one of the files, nothing is started, and file and place are named.
#[test]
fn a_file_that_cannot_be_used_is_an_error_that_names_it() {
    let project = Project::unprivileged();
    let files = [project.repo().join("pleach.toml"), user_file(&project)];
    fs::create_dir_all(files[1].parent().expect("a directory")).expect("make directories");
    let texts: [(&[u8], &[&str]); 8] = [
        (b"max_parallel = \n", &["line 1", "not TOML"]),
        (b"retry = 1\nretry = 2\n", &["line 2", "not TOML"]),
        (
            b"\nmax_paralel = 3\n",
            &["line 2, column 1", "unknown key \"max_paralel\"", "max_parallel"],
        ),
        (
            b"setup = [\"npm ci\"]\n",
            &["line 1", "unknown key \"setup\"", "belongs into [worktree]"],
        ),
        (
            b"[worktree]\nretry = 1\n",
            &["line 2", "\"retry\" in [worktree]", "belongs into no table"],
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
        fs::set_permissions(file, Permissions::from_mode(0o000)).expect("change the mode");
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
        ("timeout = 1\n", "ok", "settings come from"),
        ("retry = x\n", "problem", "not TOML"),
        ("verify = 'x'\n", "problem", "pleach trust"),
        ("retry = 1\n", "problem", "pleach trust"),
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
    let program = project.program("bin/other", "echo done");
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
