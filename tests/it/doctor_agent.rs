//! What the doctor finds out about the agent: whether it can be started, its version, its account.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use rustix::process::geteuid;
use serde_json::{Value, json};

use crate::doctor::{VERSION, agent, assert_found, complaints, doctor, healthy};
use crate::support::{Project, ran, skipped};

#[test]
fn an_agent_that_cannot_be_started() {
    let mut project = healthy(Project::new());
    fs::remove_file(project.root().join("bin/claude")).expect("remove a program");
    let install = "npm install -g @anthropic-ai/claude-code";
    assert_found(
        &doctor(&project, &[]),
        "agent",
        "problem",
        &["no claude in PATH", install],
    );
    let plain = project.root().join("gitconfig").display().to_string();
    let missing = project.root().join("missing").display().to_string();
    assert_found(
        &doctor(&project, &["--claude", &plain]),
        "agent",
        "problem",
        &[&plain, "--claude", "not executable"],
    );
    project.set("CLAUDE_CLI_PATH", &missing);
    assert_found(
        &doctor(&project, &[]),
        "agent",
        "problem",
        &[&missing, "CLAUDE_CLI_PATH", "is not there"],
    );
    let interpreter = project.root().join("claude");
    fs::write(&interpreter, "#!/not/there\n").expect("write a script");
    fs::set_permissions(&interpreter, Permissions::from_mode(0o755)).expect("make it executable");
    let interpreter = interpreter.display().to_string();
    let doc = doctor(&project, &["--claude", &interpreter]);
    assert_found(&doc, "agent", "problem", &["does not say its version", "No such file"]);
}

#[test]
fn what_an_agent_says_of_its_version() {
    let project = healthy(Project::new());
    for (script, level, parts) in [
        (
            "echo '2.1.197 (Claude Code)'",
            "note",
            &["2.1.197", "tested with 2.1.329"][..],
        ),
        ("echo 'mine 1'", "note", &["mine 1"]),
        ("echo broken >&2; exit 3", "problem", &["exit status: 3", "broken"]),
        (
            "printf '\\033[2J%s\\n' \"$CLAUDECODE$GIT_DIR$PLEACH_CANARY\"",
            "note",
            &["\\u{1b}[2J"],
        ),
        // More than is read.
        ("yes 'x y z'", "problem", &["version"]),
    ] {
        agent(&project, script);
        let doc = doctor(&project, &[]);
        assert_found(&doc, "agent", level, parts);
        let text = project.run(&["doctor"]).out();
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }
    // It has the environment that agents have.
    agent(&project, "echo \"1${CLAUDECODE-}2${GIT_INDEX_FILE-}3 $HOME\"");
    let mut command = project.pleach_command(&["doctor", "--json"]);
    let said = ran(command.envs([("CLAUDECODE", "outer"), ("GIT_INDEX_FILE", "outer")])).json();
    let home = project.root().join("home").display().to_string();
    assert_found(&said, "agent", "note", &["123", &home]);
}

#[test]
fn an_agent_that_hangs_is_ended_with_all_that_it_started() {
    let project = healthy(Project::new());
    agent(&project, "setsid sleep 60 & trap '' TERM; echo 2.1.329; sleep 60");
    let began = Instant::now();
    let json = project.run(&["doctor", "--json"]);
    assert!(began.elapsed() < Duration::from_secs(45), "{:?}", began.elapsed());
    let itself = format!("{}/bin/claude --version", project.root().display());
    assert_found(
        &json.json(),
        "agent",
        "problem",
        &["had not answered after 10 s", &itself],
    );
    let left: Vec<String> = project.processes().into_iter().map(|process| process.line).collect();
    assert_eq!(left, [""; 0]);
    // What it leaves behind when it answers is ended too.
    agent(&project, &format!("setsid sleep 60 & {VERSION}"));
    assert_found(&project.run(&["doctor", "--json"]).json(), "agent", "ok", &["2.1.329"]);
    assert!(project.processes().is_empty());
}

#[test]
fn root_is_told_the_ways_out() {
    let mut project = healthy(Project::new());
    let refused = ["refuses to skip its permission checks for root", "IS_SANDBOX=1"];
    if geteuid().is_root() {
        project.set("IS_SANDBOX", "0");
        assert_found(&doctor(&project, &[]), "agent", "problem", &refused);
    } else {
        skipped("not root");
    }
    let other = healthy(Project::unprivileged());
    let doc = ran(other.pleach_command(&["doctor", "--json"]).env_remove("IS_SANDBOX")).json();
    assert_eq!(complaints(&doc, "agent"), [""; 0], "{doc:#}");
}

// Fault 51: keys are not shown.
#[test]
fn an_account_is_looked_for_without_being_shown() {
    let mut project = healthy(Project::new());
    project.set("ANTHROPIC_API_KEY", "");
    let claude = project.root().join("home/.claude");
    fs::create_dir(&claude).expect("make a directory");
    let login = |scopes: Value| json!({"claudeAiOauth": {"accessToken": "canary", "scopes": scopes}}).to_string();
    let credentials = claude.join(".credentials.json");
    assert_found(
        &doctor(&project, &[]),
        "login",
        "problem",
        &["no account", "claude auth login"],
    );
    fs::write(&credentials, login(json!([]))).expect("write a file");
    assert_found(&doctor(&project, &[]), "login", "problem", &["no account"]);
    fs::write(&credentials, login(json!(["user:inference"]))).expect("write a file");
    let doc = doctor(&project, &[]);
    assert_found(&doc, "login", "ok", &[credentials.to_str().expect("UTF-8")]);
    assert!(!doc.to_string().contains("canary"));
    // What is broken is named, and nothing of it is shown.
    fs::write(&credentials, "{\"canary\": canary}").expect("write a file");
    let doc = doctor(&project, &[]);
    let message = complaints(&doc, "login").join("; ");
    assert!(
        message.contains(".credentials.json is no JSON at line 1") && !message.contains("canary"),
        "{message}"
    );
    fs::remove_file(&credentials).expect("remove a file");
    // Agents find the settings that are committed.
    project.write(".claude/settings.json", r#"{"apiKeyHelper": "echo canary"}"#);
    assert_found(&doctor(&project, &[]), "login", "problem", &["no account"]);
    project.git(&["add", "."]);
    project.git(&["commit", "-qm", "settings"]);
    assert_found(&doctor(&project, &[]), "login", "ok", &["apiKeyHelper", "repository"]);
    // What is no Claude Code may need none.
    let other = project.program("other", "echo other");
    project.sh("git rm -rq .claude; git commit -qm 'no settings'");
    let doc = doctor(&project, &["--claude", &other]);
    assert_found(&doc, "login", "note", &["may need none"]);
}
