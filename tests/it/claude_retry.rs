//! Retries with the real Claude Code CLI: in the same conversation, which is told what went wrong, and anew when that is
//! gone.

use std::fs;

use serde_json::json;

use crate::claude::ClaudeProject;
use crate::resume::{kill, pid};
use crate::retry::{assert_cost, assert_went_on, conversations, waits};

/// What the attempts said that they cost, or rather their conversation until then.
fn said(project: &ClaudeProject) -> Vec<Option<f64>> {
    let ended = project.events("attempt_ended").into_iter();
    ended.map(|event| event["outcome"]["cost_usd"].as_f64()).collect()
}

#[test]
fn an_agent_that_failed_of_the_api_goes_on_and_its_cost_counts_once() {
    let Some(project) = ClaudeProject::new() else {
        return;
    };
    let prompt = "/do it\nSTUB write a.txt <<<one>>>\nSTUB fail 500 3\nSTUB write b.txt <<<two>>>\nSTUB say all done";
    let ended = project.run(&[("goes-on", prompt)], &["--retry", "1", "--retry-delay", "0"]);
    ended.assert_exit(0);
    ended.assert_succeeded("goes-on");
    let task = ended.task("goes-on");
    assert_eq!(task["attempts"], 2, "{task:#}");
    assert_went_on(&project, "goes-on");
    assert_eq!(project.changed_in("main-task-goes-on"), "a.txt\nb.txt\n");
    // The CLI counts on: what it said last is what all of it cost.
    let said = said(&project);
    let (first, last) = (said[0].expect("a cost"), said[1].expect("a cost"));
    assert!(0.0 < first && first < last, "{said:?}");
    assert_cost(task, last);
    assert_cost(&ended.status, last);
}

// Fault 2: kill -9 of the real agent, and a retry.
#[test]
fn an_agent_that_was_killed_goes_on_in_its_conversation() {
    let Some(project) = ClaudeProject::new() else {
        return;
    };
    let gate = project.beside("gate");
    let prompt = format!(
        "STUB write a.txt <<<one>>>\nSTUB bash perl -e 'select undef, undef, undef, 0.01 until -e shift' {gate}\n\
         STUB write b.txt <<<two>>>\nSTUB say all done"
    );
    let run = project.start(&[("killed", &prompt)], &["--retry", "1", "--retry-delay", "0"]);
    // The second brings the result of the first tool.
    project.stub.wait_for_requests(2);
    let agent = project.until("the pid of the agent", |project| {
        let pid = project.query(&["status"])["tasks"][0]["pid"].clone();
        pid.is_number().then_some(pid)
    });
    kill(pid(&agent));
    fs::write(&gate, "").expect("open the gate");
    let ended = project.ended(&run);
    ended.assert_exit(0);
    ended.assert_succeeded("killed");
    assert_eq!(ended.task("killed")["attempts"], 2);
    assert_eq!(ended.result("killed")["answer"], "all done");
    assert_went_on(&project, "killed");
    assert_eq!(project.changed_in("main-task-killed"), "a.txt\nb.txt\n");
    let wait = &project.events("task_waits")[0]["wait"];
    assert_eq!(wait["next"], "resume", "{wait:#}");
}

#[test]
fn a_conversation_that_is_gone_is_begun_anew() {
    let Some(project) = ClaudeProject::new() else {
        return;
    };
    let prompt = "STUB write a.txt <<<one>>>\nSTUB fail 500 3\nSTUB say all done";
    let run = project.start(&[("gone", prompt)], &["--retry", "1", "--retry-delay", "6s"]);
    waits(&project, "gone");
    fs::remove_dir_all(project.root().join("home/.claude")).expect("remove what the CLI keeps");
    let ended = project.ended(&run);
    ended.assert_exit(0);
    ended.assert_succeeded("gone");
    let task = ended.task("gone");
    assert_eq!(task["attempts"], 3, "{task:#}");
    let conversations = conversations(&project, "gone");
    assert_eq!((&conversations[0].0, true), (&conversations[1].0, conversations[1].1));
    assert!(conversations[2].0 != conversations[0].0 && !conversations[2].1);
    let second = &project.events("attempt_ended")[1]["outcome"];
    assert_eq!(
        (&second["conversation_gone"], &second["end"]),
        (&json!(true), &json!({"how": "exited", "code": 1})),
        "{second:#}"
    );
    // Of two conversations, each counts as it is; the one that was not there cost nothing.
    let said = said(&project);
    assert_eq!(said[1], Some(0.0));
    assert_cost(task, said[0].expect("a cost") + said[2].expect("a cost"));
}

#[test]
fn what_did_not_pass_is_told_in_the_conversation() {
    let Some(project) = ClaudeProject::new() else {
        return;
    };
    // The directives of the output are those of the last message with any: the model does what it is told there.
    let verify = "cat a.txt | grep -q good || { echo it is not good; echo 'STUB bash echo good >a.txt'; exit 1; }";
    let prompt = "STUB write a.txt <<<bad>>>\nSTUB say done";
    let options = ["--retry", "1", "--retry-delay", "0", "--verify", verify];
    let ended = project.run(&[("mends", prompt)], &options);
    ended.assert_exit(0);
    ended.assert_succeeded("mends");
    assert_eq!(ended.task("mends")["attempts"], 2);
    assert_eq!(project.show("main-task-mends:a.txt"), "good\n");
    assert_went_on(&project, "mends");
    assert_eq!(
        project.events("task_waits")[0]["wait"]["why"]
            .as_str()
            .map(|why| why.contains("exited with code 1")),
        Some(true)
    );
}
