//! Merges that tasks were to start from which git does not make.

use serde_json::json;

use crate::dependencies::session;
use crate::support::Project;

#[test]
fn branches_without_a_common_history_are_named() {
    let project = Project::new();
    let anew = "git checkout -q --orphan anew && git rm -rqf . && echo a >a.txt && git add -A && git commit -qm anew && \
                git branch -qf $PLEACH_BRANCH && git checkout -q $PLEACH_BRANCH && git branch -qD anew";
    let entries = json!([
        { "id": "a", "prompt": anew },
        { "id": "b", "prompt": "echo b >b.txt" },
        { "id": "c", "prompt": "true", "depends_on": ["a", "b"] },
    ]);
    let ran = session(&project, &entries, &[]);
    assert_eq!(ran.code(), 1, "{ran:?}");
    let status = project.query(&["status"]);
    let task = &status["tasks"][2];
    assert_eq!(task["reason"], "conflict", "{status:#}");
    assert_eq!(
        task["error"],
        "the branches of what it depends on have no history in common, and git does not merge such: main-task-b with main-task-a"
    );
}
