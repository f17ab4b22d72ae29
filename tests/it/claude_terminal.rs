//! The real Claude Code CLI on a terminal, as somebody would sit in front of it: with the agent that the documents describe.

use std::fs;

use serde_json::json;

use crate::claude::ClaudeProject;

/// The description of the documents, with this program. What it asks for is also told as the stub understands it, which
/// reads no files and follows nothing else.
fn documented(program: &str) -> String {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md")).expect("read");
    let (_, from) = text
        .split_once("```toml\n[agent.interactive]\n")
        .expect("the description");
    let (entry, _) = from.split_once("```").expect("its end");
    let (before, from) = entry.split_once("'Please ").expect("the prompt");
    let (asks, after) = from.split_once('\'').expect("its end");
    assert!(asks.starts_with("read {prompt_file} and execute the task"), "{asks}");
    let (_, finish) = asks.split_once("Then: ").expect("how to say that it is done");
    let before = before.replace("\"claude\"", &json!(program).to_string());
    assert!(before.contains(program), "{before}");
    format!(
        "[agent.interactive]\n{before}'''Please {asks}\nSTUB bash . {{prompt_file}}; {finish}\nSTUB say done'''{after}"
    )
}

#[test]
fn the_documented_agent_reads_its_file_and_ends_when_its_work_is_done() {
    let Some(project) = ClaudeProject::new() else {
        return;
    };
    // What a first start by hand has asked, and was answered: all of it in the main checkout, not in a worktree.
    let answered = json!({
        "hasCompletedOnboarding": true,
        "theme": "dark",
        "bypassPermissionsModeAccepted": true,
        "customApiKeyResponses": { "approved": ["dummy"], "rejected": [] },
        "projects": { project.repo().to_str().expect("a text"): { "hasTrustDialogAccepted": true } },
    });
    fs::write(project.root().join("home/.claude.json"), answered.to_string()).expect("write");
    project.write("pleach.toml", documented(&project.claude));
    let file = project.tasks(&[("one", "echo done >one.txt; echo working >>\"$PLEACH_STATUS_FILE\"")]);
    let arguments = [
        "run",
        "--sync",
        "-y",
        "--agent",
        "interactive",
        "--timeout",
        "2m",
        &file,
    ];
    let ended = project.ended(&project.pleach(&arguments));
    let screen = fs::read_to_string(project.session_dir().join("task-one.log")).expect("read");
    assert_eq!(ended.output.status.code(), Some(0), "{screen}");
    assert_eq!(ended.result("one")["answer"], "<what you did>", "{screen}");
    ended.assert_succeeded("one");
    assert_eq!(project.show("main-task-one:one.txt"), "done\n");
    assert!(screen.contains("Please read /"), "{screen}");
    let session = project.query(&["status"])["session_id"].clone();
    let shared = project
        .worktrees()
        .join(".shared")
        .join(session.as_str().expect("an id"));
    let status = shared.join("one.status");
    let status = fs::read_to_string(status).expect("read");
    assert_eq!(status, "working\nCOMPLETED: <what you did>\n");
    assert!(project.agents().is_empty());
}
