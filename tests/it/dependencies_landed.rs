//! Merging tasks that depend on others: what one contains lands with it, once.

use serde_json::{Value, json};

use crate::dependencies::{at, diamond, session};
use crate::support::Project;

#[test]
fn a_diamond_lands_once_and_gives_what_its_last_task_has() {
    for mode in [&[][..], &["--squash"]] {
        let project = Project::new();
        assert_eq!(session(&project, &diamond(), &[]).code(), 0);
        let plan = project.query(&[&["plan"], mode].concat());
        let steps: Vec<&str> = plan["steps"]
            .as_array()
            .expect("steps")
            .iter()
            .filter_map(|s| s["branch"].as_str())
            .collect();
        assert_eq!(
            steps,
            ["main-task-a", "main-task-b", "main-task-c", "main-task-d"],
            "{plan:#}"
        );
        let counts = |key: &str| -> Vec<u64> {
            let branches = plan["branches"].as_array().expect("branches");
            branches.iter().filter_map(|branch| branch[key].as_u64()).collect()
        };
        // The merge that `d` starts from lands with it.
        assert_eq!(counts("commits"), [1, 1, 1, 3], "{plan:#}");
        assert_eq!(counts("files_changed"), [1, 1, 1, 1], "{plan:#}");
        assert_eq!(plan["final_tree"], json!(at(&project, "main-task-d^{tree}")));
        // Typed one after the other in a clean checkout, the commands give just these trees.
        project.sh("cp -a . ../typed");
        let typed = project.root().join("typed");
        let commands = plan["merge_commands"].as_array().expect("commands").iter();
        for (command, step) in commands
            .filter_map(Value::as_str)
            .zip(plan["steps"].as_array().expect("steps"))
        {
            project.sh(&format!("cd ../typed; {command}"));
            assert_eq!(
                project.git_in(&typed, &["write-tree"]).trim(),
                step["tree"],
                "{command}"
            );
        }
        let ran = project.run(&[&["merge", "-y"], mode].concat());
        assert_eq!(ran.code(), 0, "{ran:?}");
        assert_eq!(at(&project, "main^{tree}"), at(&project, "main-task-d^{tree}"));
    }
}

#[test]
fn a_branch_that_is_excluded_and_lands_with_another_is_named() {
    let project = Project::new();
    assert_eq!(session(&project, &diamond(), &[]).code(), 0);
    let ran = project.run(&["merge", "--dry-run", "--exclude", "a"]);
    let said = "main-task-a lands inside main-task-b, which builds on it (not chosen)";
    assert!(ran.out().contains(said), "{ran:?}");
    let doc = project.query(&["merge", "-y", "--task", "c"]);
    assert_eq!(
        doc["inside"],
        json!([{ "branch": "main-task-a", "task_id": "a", "inside": "main-task-c", "why": "not chosen" }])
    );
    // It is there now, and nothing comes unasked.
    assert_eq!(project.query(&["merge", "-y", "--exclude", "a"])["inside"], json!([]));
}

#[test]
fn what_has_landed_squashed_inside_another_goes_with_it() {
    let project = Project::new();
    assert_eq!(session(&project, &diamond(), &[]).code(), 0);
    // Nothing of it has landed: all stay.
    let stay = project.run(&["clean", "--dry-run"]);
    assert!(!stay.out().contains("goes"), "{stay:?}");
    let ran = project.run(&["merge", "-y", "--squash", "--task", "c"]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    let cleaned = project.run(&["clean", "-y"]);
    let said = "main-task-a: pleach merge has merged it into main inside main-task-c";
    assert!(cleaned.out().contains(said), "{cleaned:?}");
    let left = project.git(&["branch", "--format=%(refname:short)", "--list", "main-task-*"]);
    assert_eq!(left, "main-task-b\nmain-task-d\n", "{cleaned:?}");
}
