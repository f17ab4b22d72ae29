//! The merge plan as it is printed: at the end of a watched run and by `pleach plan`, from wherever it is asked for,
//! so that its commands can be typed there; and what is said where there can be no plan.

use serde_json::{Value, json};

use crate::plan_shown::{output, script, words};
use crate::support::Project;

#[test]
fn the_commands_work_from_where_the_plan_was_asked_for() {
    let kept = "repo.pleach/main-task-z";
    for (place, after, first) in [
        ("repo", "", vec!["git merge --no-ff --no-edit main-task-a"]),
        ("repo/sub", "", vec!["git merge --no-ff --no-edit main-task-a"]),
        (kept, "", vec!["cd REPO"]),
        ("repo", "git switch -qc other", vec!["git switch main"]),
        (kept, "git checkout -q --detach", vec!["cd REPO", "git switch main"]),
    ] {
        let project = Project::new();
        project.write("sub/x.txt", "x\n");
        script(&project, &project.repo(), "git add -A; git commit -qm sub");
        let tasks = [("a", "@write a.txt new"), ("b", "@write b.txt new"), ("z", "@exit 3")];
        assert_eq!(project.session(&tasks, &[]).output.status.code(), Some(1));
        script(&project, &project.repo(), after);
        types_the_commands(&project, place, &first);
    }
}

#[test]
fn a_detached_head_that_was_left_is_gone_back_to() {
    let project = Project::new();
    project.git(&["checkout", "-q", "--detach"]);
    let base = project.git(&["rev-parse", "HEAD"]);
    project.session(&[("a", "@write a.txt new")], &[]).assert_exit(0);
    project.git(&["checkout", "-q", "main"]);
    types_the_commands(&project, "repo", &[&format!("git switch --detach {}", base.trim())]);
}

#[test]
fn a_worktree_that_the_session_was_started_in_may_be_gone() {
    let project = Project::new();
    project.git(&["worktree", "add", "-q", "-b", "feature", "../other"]);
    let file = project.tasks(&[("a", "@write a.txt new")]);
    let mut run = project.pleach_command(&["run", "--sync", "--agent", "scripted", &file]);
    let run = run
        .current_dir(project.root().join("other"))
        .output()
        .expect("run pleach");
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    project.git(&["worktree", "remove", "../other"]);
    types_the_commands(&project, "repo", &["git switch feature"]);
}

#[test]
fn without_a_checkout_one_is_asked_for() {
    let project = Project::new();
    project.session(&[("a", "@write a.txt new")], &[]).assert_exit(0);
    script(&project, project.root(), "git clone -q --mirror repo bare.git");
    let bare = project.root().join("bare.git");
    let ask = || {
        let mut asked = project.pleach_command(&["plan", "--branch", "main-task-a"]);
        let plan = asked.current_dir(&bare).output().expect("run pleach");
        String::from_utf8(plan.stdout).expect("UTF-8")
    };
    let add = "git worktree add DIR main\n";
    assert!(
        ask().contains(&format!("\n  # git merge needs a checkout: {add}")),
        "{}",
        ask()
    );
    script(&project, &bare, &add.replace("DIR", "-q ../checkout"));
    let there = ask();
    let go = format!("\n  cd {}\n  git merge ", project.root().join("checkout").display());
    assert!(there.contains(&go), "{there}");
}

/// Types the commands in the plan's text, which begin with `first`, where the plan was asked for.
#[track_caller]
fn types_the_commands(project: &Project, place: &str, first: &[&str]) {
    let place = project.root().join(place);
    let mut asked = project.pleach_command(&["plan"]);
    let plan = asked.current_dir(&place).output().expect("run pleach");
    let plan = String::from_utf8(plan.stdout).expect("UTF-8");
    let typed = plan.split("in this order:\n").nth(1).expect("merges");
    let typed = typed.split("\n\n").next().expect("commands");
    let repo = project.repo().canonicalize().expect("a checkout");
    for (line, first) in typed.lines().zip(first) {
        assert_eq!(
            line.trim(),
            first.replace("REPO", &repo.display().to_string()),
            "{plan}"
        );
    }
    script(project, &place, typed);
    let tree = project.git(&["rev-parse", "HEAD^{tree}"]);
    let mut again = project.pleach_command(&["plan", "--json"]);
    let again = again.current_dir(&place).output().expect("run pleach");
    let again: Value = serde_json::from_slice(&again.stdout).expect("JSON");
    match again["target"]["branch"].as_str() {
        // All is merged by now.
        Some(_) => assert_eq!(again["merge_commands"], json!([]), "{again:#}"),
        None => assert_eq!(again["final_tree"], tree.trim(), "{again:#}"),
    }
}

#[test]
fn a_run_that_is_watched_ends_with_its_plan() {
    let project = Project::new();
    let tasks = [("a", "@write n.txt one"), ("b", "@write n.txt two"), ("c", "@exit 3")];
    let ended = project.session(&tasks, &[]);
    ended.assert_exit(1);
    let plan = project.run(&["plan"]).out();
    let shown = String::from_utf8_lossy(&ended.output.stdout);
    assert!(shown.ends_with(&format!("\n\n{plan}")), "{shown}");
    for part in [
        "\n  1  main-task-a  ready        1      1  +1 -0  @write n.txt one\n",
        "\n  1 task without a finished branch: not in the plan (1 failed)\n",
        "\n  git merge --no-ff --no-edit main-task-b\n    conflicts with main-task-a\n",
        " to resolve in n.txt\n",
        "\n  git branch -d main-task-a\n",
    ] {
        assert!(plan.contains(part), "{part:?} is not in: {plan}");
    }
}

#[test]
fn what_a_plan_cannot_foresee_is_named() {
    let project = Project::new();
    project.session(&[("a", "@write a.txt new")], &[]).assert_exit(0);
    assert_eq!(project.query(&["plan"])["cannot_foresee"], json!([]));
    script(
        &project,
        &project.repo(),
        "git config branch.main.mergeOptions '-X ours'; cd .git/hooks; touch pre-merge-commit commit-msg post-merge
        chmod +x pre-merge-commit commit-msg",
    );
    let hooks = ["the hook pre-merge-commit", "the hook commit-msg"];
    let plan = project.query(&["plan"]);
    assert_eq!(
        plan["cannot_foresee"],
        json!(["branch.main.mergeOptions = -X ours", hooks[0], hooks[1]])
    );
    let said = words(&plan["cannot_foresee"]).join("\n    ");
    assert!(project.run(&["plan"]).out().contains(&format!("\n    {said}\n")));
    script(
        &project,
        &project.repo(),
        "git config --unset branch.main.mergeOptions; git config core.hooksPath hooks; mkdir hooks
        mv .git/hooks/commit-msg hooks",
    );
    assert_eq!(project.query(&["plan"])["cannot_foresee"], json!([hooks[1]]));
}

#[test]
fn worktrees_that_were_kept_on_request_go_before_their_branches() {
    let project = Project::new();
    let inner = "@run git init -q inner && cd inner && git commit -q --allow-empty -m inner";
    let tasks = [("a", "@write a.txt new"), ("b", "@write b.txt new"), ("c", inner)];
    project.session(&tasks, &["--keep-worktrees"]).assert_exit(0);
    let plan = project.query(&["plan"]);
    for command in [words(&plan["merge_commands"]), words(&plan["cleanup_commands"])].concat() {
        script(&project, &project.repo(), command);
    }
    let left = project.git(&["for-each-ref", "--format=%(refname)", "refs/heads"]);
    assert_eq!(left, "refs/heads/main\nrefs/heads/main-task-c\n", "{plan:#}");
    assert!(!project.worktrees().join("main-task-a").exists());
    // It holds what is in no commit of this repository.
    assert!(project.worktrees().join("main-task-c/inner/.git").is_dir());
}

/// Whatever became of the worktrees since, the clean-up works as it is typed and takes nothing with it.
#[test]
fn worktrees_that_are_there_go_before_their_branches_unless_they_hold_something() {
    let project = Project::new();
    let tasks = ["open", "gone", "changed", "stashed", "branched"].map(|id| (id, format!("@write {id}.txt new")));
    let tasks = tasks.each_ref().map(|(id, prompt)| (*id, prompt.as_str()));
    project.session(&tasks, &["--keep-worktrees"]).assert_exit(0);
    script(
        &project,
        &project.worktrees(),
        "git -C ../repo worktree remove ../repo.pleach/main-task-gone; echo mine >main-task-changed/mine.txt
        git -C ../repo worktree remove ../repo.pleach/main-task-open
        git -C main-task-branched switch -qc mine
        cd main-task-stashed; git commit -q --allow-empty -m lost; git reset -q --keep HEAD~",
    );
    assert_eq!(project.run(&["open", "open"]).code(), 0);
    let plan = project.query(&["plan"]);
    for command in [words(&plan["merge_commands"]), words(&plan["cleanup_commands"])].concat() {
        script(&project, &project.repo(), command);
    }
    let left = project.git(&["branch", "--format=%(refname:short)"]);
    assert_eq!(left, "main\nmain-task-changed\nmain-task-stashed\nmine\n", "{plan:#}");
    let there = |id: &str| project.worktrees().join(format!("main-task-{id}")).exists();
    let there: Vec<_> = tasks.iter().map(|(id, _)| there(id)).collect();
    assert_eq!(there, [false, false, true, true, true], "{plan:#}");
}

/// git takes a file for unchanged by its size and time, unless it was written when the index was: as here.
#[test]
fn a_change_that_shows_only_in_the_content_is_in_the_branch() {
    let project = Project::new();
    project.git(&["config", "core.trustctime", "false"]);
    let prompt = "@run touch -d 2020-01-01 README.md; git update-index --refresh; echo ho >README.md\n\
        @run touch -d 2020-01-01 README.md \"$(git rev-parse --git-dir)/index\"";
    project.session(&[("a", prompt)], &[]).assert_exit(0);
    assert_eq!(project.show("main-task-a:README.md"), "ho\n");
}

#[test]
fn a_git_that_cannot_plan_is_refused_and_its_bound_named() {
    let mut project = Project::new();
    project.session(&[("a", "@write a.txt new")], &[]).assert_exit(0);
    let path = output(&project, project.root(), "echo \"$PATH\"");
    let real = output(&project, project.root(), "command -v git");
    let old = project.root().join("old");
    std::fs::create_dir(&old).expect("make a directory");
    let fake = format!(
        "printf '%s\\n' '#!/bin/sh' '[ \"$1\" = --version ] && exec echo git version 2.40.1' 'exec {} \"$@\"' >old/git
        chmod +x old/git",
        real.trim()
    );
    script(&project, project.root(), &fake);
    project.set("PATH", &format!("{}:{path}", old.display()));
    for arguments in [&["plan"][..], &["plan", "--json"]] {
        let refused = project.run(arguments);
        refused.assert_refused(2, &["2.40", "2.41", "\n hint: "]);
        assert_eq!(refused.out(), "");
    }
    // A run is no failure for it.
    let again = project.session(&[("b", "@write b.txt new")], &[]);
    assert_eq!(again.output.status.code(), Some(0), "{:?}", again.output);
    let said = String::from_utf8_lossy(&again.output.stderr);
    assert!(said.contains("2.41"), "{said}");

    project.set("PATH", "/nowhere");
    project.run(&["plan"]).assert_refused(2, &["git", "install"]);
}

#[test]
fn what_cannot_be_planned_is_refused() {
    let project = Project::new();
    let in_place = project.session(&[("a", "@write a.txt new")], &["--no-worktree"]);
    assert_eq!(in_place.output.status.code(), Some(0));
    assert!(!String::from_utf8_lossy(&in_place.output.stdout).contains("plan:"));
    project
        .run(&["plan"])
        .assert_refused(2, &["without worktrees", "\n hint: "]);
    // The target goes while the agent runs: the run itself has succeeded.
    let gone = project.session(&[("b", "@run git update-ref -d refs/heads/main")], &[]);
    gone.assert_exit(0);
    let said = String::from_utf8_lossy(&gone.output.stderr);
    assert!(
        said.contains("\n hint: make it again where the session started: git branch main "),
        "{said}"
    );
    project.run(&["plan"]).assert_refused(2, &["main", "git branch main"]);
}
