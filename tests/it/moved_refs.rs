//! Branches and tags that move while agents run: the user is told which went from where to where, and the command that
//! is told puts it back, also after a `git gc`.

use std::fs;

use crate::snapshots::{pins, project, waits};
use crate::support::Project;

/// The warnings of the only session about itself.
fn warnings(project: &Project) -> Vec<String> {
    let all = project
        .events("warned")
        .into_iter()
        .filter(|event| event["task"].is_null());
    all.map(|event| event["text"].as_str().expect("text").to_owned())
        .collect()
}

/// The refs that are the user's own.
fn refs(project: &Project) -> String {
    let all = project.git(&[
        "for-each-ref",
        "--format=%(refname) %(objectname) %(symref)",
        "refs/heads",
        "refs/tags",
    ]);
    let own = all.lines().filter(|line| !line.contains("-task-"));
    own.map(|line| format!("{}\n", line.trim_end())).collect()
}

fn gone_for_good(project: &Project) {
    project.git(&["reflog", "expire", "--expire=now", "--all"]);
    project.git(&["gc", "-q", "--prune=now"]);
}

// Fault 30: the agent commits to the main branch, and deletes refs.
#[test]
fn each_is_told_once_with_the_command_that_puts_it_back() {
    // The agent commits to the main branch, and deletes refs.
    let project = project();
    project.sh(
        "git branch 'it'\"'\"'s'; git branch named; git tag light; git tag -a -m heavy heavy; git symbolic-ref refs/heads/other refs/heads/named; \
         git checkout -q -b deleted; echo d >d; git add d; git commit -qm deleted; \
         git checkout -q -b rewritten main; echo r >r; git add r; git commit -qm rewritten; git checkout -q main",
    );
    let before = refs(&project);
    let moves = "@run echo x >x; git add x; git commit -qm mine; \
                 git update-ref refs/heads/main HEAD; git update-ref \"refs/heads/it's\" HEAD; \
                 git update-ref -d refs/heads/deleted; git update-ref refs/heads/rewritten HEAD; \
                 git symbolic-ref refs/heads/named refs/heads/main; git update-ref --no-deref refs/heads/other HEAD; \
                 git tag -f light HEAD; git tag -d heavy; git branch new";
    let tasks = [("moves", moves), ("after", &*waits(&project, "after"))];
    let run = project.start_session(&tasks, &["--max-parallel", "2"]);
    project.await_file("here-after");
    project.until("the first is settled", |project| {
        (project.events("task_settled").len() == 1).then_some(())
    });
    project.open("gate-after");
    let ended = project.ended(&run);
    ended.assert_exit(0);
    let told = warnings(&project);
    assert_eq!(told.len(), 8, "{told:#?}");
    for (words, name) in [
        ("has moved on from", "the branch main "),
        ("has moved on from", "the branch it's "),
        ("and is gone", "the branch deleted "),
        ("which does not contain it", "the branch rewritten "),
        ("is another name of refs/heads/main now", "the branch named "),
        ("was another name of refs/heads/named", "the branch other "),
        ("has moved on from", "the tag light "),
        ("and is gone", "the tag heavy "),
    ] {
        let found = told.iter().any(|text| text.contains(words) && text.starts_with(name));
        assert!(found, "{name}{words}: {told:#?}");
        // Whose commits they are is known; not who deleted a ref.
        let is_noted = ended
            .notes("moves")
            .contains(&format!("the agent's commits are on {name}now"));
        assert_eq!(
            is_noted,
            ["main ", "it's ", "rewritten ", "light "]
                .iter()
                .any(|n| name.ends_with(n)),
            "{name}"
        );
    }
    assert_eq!(ended.notes("after"), "");
    gone_for_good(&project);
    for text in &told {
        let (_, command) = text.split_once("if that was not meant: ").expect("a command");
        project.sh(command);
    }
    project.git(&["branch", "-q", "-D", "new"]);
    assert_eq!(refs(&project), before);
    assert_eq!(project.git(&["status", "--porcelain"]), "");
}

// Fault 20: the base branch moves or is rewritten during the run.
#[test]
fn a_user_who_works_on_the_base_is_told_in_one_line_and_no_error() {
    // The base branch moves or is rewritten during the run.
    let project = project();
    let base = project.git(&["rev-parse", "main"]);
    let tasks = [
        ("one", format!("@write one.txt 1\n{}", waits(&project, "one"))),
        ("two", format!("@write two.txt 2\n{}", waits(&project, "two"))),
    ];
    let tasks: Vec<(&str, &str)> = tasks.iter().map(|(id, prompt)| (*id, prompt.as_str())).collect();
    let run = project.start_session(&tasks, &["--max-parallel", "2"]);
    project.await_file("here-one");
    project.await_file("here-two");
    project.sh("echo mine >a.txt; git commit -qam mine");
    let mine = project.git(&["rev-parse", "main"]);
    project.open("gate-one");
    project.until("the first is settled", |project| {
        (project.events("task_settled").len() == 1).then_some(())
    });
    project.sh("git reset -q --hard HEAD~2; echo other >b.txt; git add b.txt; git commit -qm other");
    project.open("gate-two");
    let ended = project.ended(&run);
    gone_for_good(&project);
    ended.assert_exit(0);
    let told = warnings(&project);
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(
        told[0].starts_with("the branch main has moved on from") && !told[0].contains("kept"),
        "{told:#?}"
    );
    assert!(
        told[1].contains("does not contain it; that is kept as refs/pleach/"),
        "{told:#?}"
    );
    for (id, file) in [("one", "one.txt\n"), ("two", "two.txt\n")] {
        ended.assert_succeeded(id);
        assert_eq!(ended.notes(id), "");
        assert_eq!(ended.task(id)["base"], base.trim());
        assert_eq!(ended.task(id)["files_changed"], 1);
        let branch = format!("main-task-{id}");
        assert_eq!(project.git(&["diff", "--name-only", base.trim(), &branch]), file);
    }
    let moved = pins(&project, ended.mark().trim(), "_moved");
    assert_eq!(moved.len(), 1, "{moved:?}");
    assert_eq!(project.git(&["rev-parse", &moved[0]]), mine);
}

// Fault 30: the agent deletes refs, all of them.
#[test]
fn of_very_many_some_are_told_and_all_are_kept() {
    // The agent deletes refs, all of them.
    let project = project();
    project.sh("for i in $(seq 30); do git branch side/$i $(echo $i | git commit-tree HEAD^{tree} -p HEAD); done");
    let before = refs(&project);
    let deletes = "@run git for-each-ref --format='delete %(refname)' refs/heads/side | git update-ref --stdin";
    let ended = project.session(&[("a", deletes)], &[]);
    ended.assert_exit(0);
    let told = warnings(&project);
    assert_eq!(told.len(), 11, "{told:#?}");
    assert!(told[10].starts_with("20 more branches and tags have moved; what they were is kept: pleach recover "));
    gone_for_good(&project);
    let kept = project.query(&["recover"]);
    let kept = kept["moved"].as_array().expect("a list");
    assert_eq!(kept.len(), 30);
    for moved in kept {
        let (name, commit) = (
            moved["name"].as_str().expect("a name"),
            moved["commit"].as_str().expect("a commit"),
        );
        let (_, branch) = name.split_once("/heads/").expect("a branch");
        assert_eq!(project.run(&["recover", "--from", name, "--to", branch]).code(), 0);
        assert_eq!(project.git(&["rev-parse", branch]).trim(), commit);
    }
    assert_eq!(refs(&project), before);
}

#[test]
fn what_pleach_and_other_sessions_do_is_not_told() {
    let project = project();
    let long = format!("@write a.txt 1\n@commit one\n{}", waits(&project, "long"));
    let first = project.start(&[("long", &long)], &["--snapshot-every", "50ms"]);
    project.await_file("here-long");
    let second = project.start(&[("short", "@write b.txt 2\n@commit two")], &[]);
    assert_eq!(project.run(&["wait", &second]).code(), 0);
    project.sh("git branch mine; git tag v1; git update-ref refs/remotes/origin/main HEAD");
    project.open("gate-long");
    assert_eq!(project.run(&["wait", &first]).code(), 0);
    for session in [first, second] {
        let status = project.query(&["status", &session]);
        assert_eq!(status["warnings"].as_array().map(Vec::len), Some(0), "{status:#}");
        assert_eq!(
            status["tasks"][0]["notes"].as_array().map(Vec::len),
            Some(0),
            "{status:#}"
        );
    }
    assert!(fs::metadata(project.worktrees()).is_ok());
}
