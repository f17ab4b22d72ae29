//! The merge plan of any branches, tags and commits, also those that no session made: which commits are meant, and that
//! the commands do what the plan says.

use serde_json::{Value, json};

use crate::plan_shown::{output, script, text, words};
use crate::support::Project;

/// `a` and `b` both change the same line, `c` adds a file; `main` is checked out.
fn three() -> Project {
    let project = Project::new();
    script(
        &project,
        &project.repo(),
        "for b in a b; do git switch -qc $b main; echo $b >README.md; git commit -qam \"greet as $b\"; done
        git switch -qc c main; echo c >c.txt; git add .; git commit -qm 'add c.txt'; git switch -q main",
    );
    project
}

/// Types the commands of a plan in a copy of the repository, and holds every tree against it.
#[track_caller]
fn types(project: &Project, plan: &Value) {
    let copy = project.root().join("copy");
    script(project, project.root(), "rm -rf copy; cp -a repo copy");
    let target = match plan["target"]["branch"].as_str() {
        Some(branch) => format!("git switch -q {branch}"),
        None => format!("git switch -q --detach {}", text(&plan["target"]["commit"])),
    };
    script(project, &copy, &target);
    for command in words(&plan["merge_commands"]) {
        script(project, &copy, command);
    }
    let tree = output(project, &copy, "git rev-parse HEAD^{tree}; git status --porcelain");
    assert_eq!(tree, format!("{}\n", text(&plan["final_tree"])), "{plan:#}");
    for command in words(&plan["cleanup_commands"]) {
        script(project, &copy, command);
    }
}

fn names<'p>(plan: &'p Value, key: &str, of: &str) -> Vec<&'p str> {
    plan[key]
        .as_array()
        .expect("a list")
        .iter()
        .map(|b| text(&b[of]))
        .collect()
}

#[test]
fn branches_that_no_session_made_are_planned() {
    let project = three();
    let plan = project.query(&["plan", "--branch", "a", "--branch", "b", "--branch", "c"]);
    assert_eq!(plan["session_id"], Value::Null);
    assert_eq!(plan["target"]["branch"], "main");
    assert_eq!(names(&plan, "branches", "name"), ["a", "b", "c"]);
    assert_eq!(
        names(&plan, "branches", "title"),
        ["greet as a", "greet as b", "add c.txt"]
    );
    assert_eq!(plan["branches"][0]["task_id"], Value::Null);
    assert_eq!(names(&plan, "steps", "branch"), ["a", "c"]);
    assert_eq!(names(&plan, "left_out", "branch"), ["b"]);
    assert_eq!(plan["cleanup_commands"], json!(["git branch -d a c"]));
    types(&project, &plan);
    // There is no session, so nothing is asked of one.
    assert!(!project.repo().join(".git/pleach").exists());
}

#[test]
fn each_is_meant_once_however_it_is_named() {
    let project = three();
    script(
        &project,
        &project.repo(),
        "git tag v1 c; git tag -m annotated v2 a; git update-ref refs/remotes/origin/b b; git tag c
        git update-ref refs/heads/-x refs/heads/c",
    );
    for (arguments, branches, merges, cleanup) in [
        (vec!["a", "refs/heads/a", "a"], vec!["a"], vec!["a"], "git branch -d a"),
        (vec!["v1", "refs/tags/v1", "tags/v1"], vec!["v1"], vec!["v1"], ""),
        (vec!["v2", "v1"], vec!["v2", "v1"], vec!["v2", "v1"], ""),
        (vec!["origin/b"], vec!["origin/b"], vec!["origin/b"], ""),
        // A tag goes by that name too.
        (vec!["c"], vec!["c"], vec!["refs/heads/c"], "git branch -d c"),
        (vec!["main", "a"], vec!["main", "a"], vec!["a"], "git branch -d a"),
        (vec!["HEAD", "@"], vec!["main"], vec![], ""),
        (vec!["-x"], vec!["-x"], vec!["refs/heads/-x"], "git branch -d -- -x"),
    ] {
        let named: Vec<String> = arguments.iter().map(|a| format!("--branch={a}")).collect();
        let named: Vec<&str> = named.iter().map(String::as_str).collect();
        let plan = project.query(&[&["plan"], &named[..]].concat());
        assert_eq!(names(&plan, "branches", "name"), branches, "{plan:#}");
        let merges: Vec<String> = merges
            .iter()
            .map(|m| format!("git merge --no-ff --no-edit {m}"))
            .collect();
        assert_eq!(words(&plan["merge_commands"]), merges);
        assert_eq!(words(&plan["cleanup_commands"]).join("; "), cleanup);
        for branch in plan["branches"].as_array().expect("a list") {
            let merged = branch["name"] == "main";
            assert_eq!(branch["state"] == "merged", merged, "{plan:#}");
        }
        types(&project, &plan);
    }
    // A commit is named by what does not change when HEAD does.
    let id = project.git(&["rev-parse", "a"]);
    let plan = project.query(&["plan", "--branch", "a^{commit}"]);
    let command = format!("git merge --no-ff --no-edit {}", id.trim());
    assert_eq!(plan["merge_commands"], json!([command]));
    types(&project, &plan);
}

#[test]
fn what_is_no_commit_is_refused_by_its_name() {
    let project = three();
    for arguments in [
        &["plan", "--branch", "nowhere"][..],
        &["plan", "--branch=-q"],
        &["plan", "--branch=--all"],
        &["plan", "--branch", ""],
        &["plan", "--branch", "main^{tree}"],
        &["plan", "--branch", "main:README.md"],
        &["plan", "--branch", "a..b"],
        &["plan", "--branch", "a\x1b[2J\nb"],
        &["plan", "--branch", "a", "--onto", "nowhere"],
        &["plan", "--branch", "a", "--onto=-q"],
    ] {
        let refused = project.run(arguments);
        refused.assert_refused(2, &["no branch, tag or commit", "\n hint: see what there is"]);
        assert_eq!(refused.out(), "");
    }
    let mut outside = project.pleach_command(&["plan", "--branch", "a"]);
    let outside = outside.current_dir(project.root()).output().expect("run pleach");
    assert_eq!(outside.status.code(), Some(2), "{outside:?}");
    assert!(String::from_utf8_lossy(&outside.stderr).contains("is in no git repository\n hint: call it in the"));
    project.git(&["checkout", "-q", "--orphan", "unborn"]);
    project
        .run(&["plan", "--branch", "a"])
        .assert_refused(2, &["no commit yet"]);
    let onto = project.query(&["plan", "--branch", "a", "--onto", "main"]);
    assert_eq!(onto["target"]["branch"], "main");
}

#[test]
fn another_target_may_be_named() {
    let project = three();
    script(&project, &project.repo(), "git tag v1 main; git switch -q c");
    let commit = project.git(&["rev-parse", "main"]);
    for (onto, branch, switch) in [
        ("main", json!("main"), "git switch main".to_owned()),
        ("refs/heads/main", json!("main"), "git switch main".to_owned()),
        ("v1", Value::Null, format!("git switch --detach {}", commit.trim())),
        ("c~", Value::Null, format!("git switch --detach {}", commit.trim())),
    ] {
        let arguments = ["plan", "--branch", "a", "--branch", "c", "--onto", onto];
        let plan = project.query(&arguments);
        assert_eq!(plan["target"], json!({"branch": branch, "commit": commit.trim()}));
        assert_eq!(names(&plan, "steps", "branch"), ["a", "c"]);
        let said = project.run(&arguments).out();
        assert!(said.contains(&format!("\n  {switch}\n  git merge ")), "{said}");
        // What is checked out now is so no more when the target is. Without a branch to hold the result these stay.
        let clean_up = if branch.is_null() {
            vec![]
        } else {
            vec!["git branch -d a c"]
        };
        assert_eq!(words(&plan["cleanup_commands"]), clean_up);
        types(&project, &plan);
    }
    let here = project.query(&["plan", "--branch", "a"]);
    assert_eq!(here["target"]["branch"], "c");
    project.git(&["checkout", "-q", "--detach"]);
    let detached = project.query(&["plan", "--branch", "a"]);
    assert_eq!(detached["target"]["branch"], Value::Null);
    assert_eq!(detached["target"]["commit"], project.git(&["rev-parse", "c"]).trim());
    types(&project, &detached);
}

#[test]
fn a_session_may_be_planned_onto_another_branch() {
    let project = Project::new();
    let tasks = [("a", "@write n.txt one"), ("b", "@write m.txt two")];
    project.session(&tasks, &[]).assert_exit(0);
    script(
        &project,
        &project.repo(),
        "git switch -qc release main; echo other >n.txt; git add .; git commit -qm other; git switch -q main",
    );
    let plan = project.query(&["plan", "--onto", "release"]);
    assert_eq!(plan["target"]["branch"], "release");
    assert_eq!(names(&plan, "steps", "branch"), ["main-task-b"]);
    assert_eq!(plan["left_out"][0]["with"], json!(["<target>"]));
    types(&project, &plan);
    project
        .run(&["plan", "--onto", "nowhere"])
        .assert_refused(2, &["no branch, tag or commit \"nowhere\""]);
}

/// A branch that is checked out somewhere cannot be switched to elsewhere, nor deleted.
#[test]
fn worktrees_are_gone_to_and_their_branches_stay() {
    let project = three();
    script(&project, &project.repo(), "git worktree add -q ../other c");
    let there = project.root().join("other").canonicalize().expect("a worktree");
    let onto = project.run(&["plan", "--branch", "a", "--onto", "c"]).out();
    let go = format!("\n  cd {}\n  git merge --no-ff --no-edit a\n", there.display());
    assert!(onto.contains(&go), "{onto}");
    let plan = project.query(&["plan", "--branch", "a", "--branch", "c"]);
    assert_eq!(words(&plan["cleanup_commands"]), ["git branch -d a"]);
    let mut asked = project.pleach_command(&["plan", "--json", "--branch", "a", "--onto", "HEAD"]);
    let asked = asked.current_dir(&there).output().expect("run pleach");
    let plan: Value = serde_json::from_slice(&asked.stdout).expect("JSON");
    assert_eq!(plan["target"]["branch"], "c");
}
