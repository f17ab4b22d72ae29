//! Snapshots of running work: whatever an agent destroys, what was there at the last snapshot can be had again, byte for
//! byte; and the agent sees nothing of them.
//!
//! Each agent says when it has made something, waits at a gate until git shows it in a snapshot, and then destroys it.

use std::fs;
use std::path::Path;

use crate::support::{Project, Ran, assert_same, contents};

/// `$G` is the git dir of the worktree, `$C` the one that all worktrees share.
const KNOWN: &str = "G=$(git rev-parse --absolute-git-dir); C=$(realpath $(git rev-parse --git-common-dir)); set -e; ";

/// What agents make, and how they destroy it: the id, the making, the destruction.
const CASES: &str = r#"
reset-hard | echo changed >a.txt; echo new >n; git add n; echo more >>n | git reset -q --hard
clean | echo u >u; mkdir -p d/e; echo v >d/e/v | git clean -qfdx
worktree-deleted | echo w >w; echo c >c; git add c; git commit -qm kept | rm -rf "$PWD"
worktree-and-all-git-knew-of-it-deleted | echo w >w; git add w; git commit -qm kept-too; echo v >v | rm -rf "$PWD" "$G" "$C/logs/refs/heads/main-task-worktree-and-all-git-knew-of-it-deleted"
git-file-deleted | rm .git; echo x >x | rm x
git-file-swapped | git init -q ../../other; echo "gitdir: ../../other/.git" >.git; echo x >x; echo a >>a.txt | git reset -q --hard; git clean -qfdx
repository-in-its-place | rm .git; git init -q; echo x >x | git clean -qfdx
amended | echo 1 >c; git add c; git commit -qm one | echo 2 >c; git commit -qa --amend -m two; rm -rf "$G/logs" "$C/logs/refs/heads/main-task-amended"
reset-away | echo 1 >c; git add c; git commit -qm lost; echo x >x | git reset -q --hard HEAD~1; rm -rf "$G/logs" "$G/ORIG_HEAD" "$C/logs/refs/heads/main-task-reset-away" x
on-another-branch | git checkout -qb elsewhere; echo o >o; git add o; git commit -qm o; echo x >x | rm x; git checkout -q main-task-on-another-branch; git branch -q -D elsewhere; rm -rf "$G/logs"
detached | git checkout -q --detach; echo o >o; git add o; git commit -qm detached; echo x >x | rm x; git checkout -q main-task-detached; rm -rf "$G/logs"
index-locked | echo x >x; touch "$G/index.lock" | rm x "$G/index.lock"
index-gone | echo x >x; echo y >a.txt; rm "$G/index" | rm x a.txt
odd-names | for n in 'a b' '-x' '*' ':(top)x' "$(printf 'n\nl')" "$(printf '\377')"; do echo x >"./$n"; done; ln -s /etc l; chmod +x a.txt | git clean -qfdx; git reset -q --hard
"#;

pub fn project() -> Project {
    let project = Project::new();
    project.sh("printf 'ign/\\n*.o\\n' >.gitignore; echo a >a.txt; mkdir src; echo s >src/s; git add -A; git commit -qm second");
    project
}

/// What waits at a gate of its own after it has said that it is there.
pub fn waits(project: &Project, id: &str) -> String {
    let (here, gate) = (
        project.beside(&format!("here-{id}")),
        project.beside(&format!("gate-{id}")),
    );
    format!("@touch {here}\n@wait {gate}")
}

/// The refs below one of ours, with what they name.
pub fn pins(project: &Project, session: &str, below: &str) -> Vec<String> {
    let text = project.git(&[
        "for-each-ref",
        "--sort=version:refname",
        "--format=%(refname)",
        &format!("refs/pleach/{session}/{below}"),
    ]);
    text.lines().map(str::to_owned).collect()
}

/// Waits until a snapshot of a task holds what is in a directory, and comes after the commit in the file beside it; gives
/// its name. One may have come between the writing of a file and the commit of it.
fn until_kept(project: &Project, session: &str, id: &str, copy: &Path) -> String {
    let copied = contents(copy, |path| path == Path::new(".git"));
    project.until(id, |project| {
        let last = pins(project, session, &format!("{id}/snap")).pop()?;
        let (_, name) = last.split_once(&format!("{id}/"))?;
        let parent = project.git(&["rev-parse", &format!("{last}~1")]);
        let is_after = fs::read_to_string(copy.with_extension("head")).is_ok_and(|head| head == parent);
        (is_after && files_of(project, &last, id) == copied).then(|| name.to_owned())
    })
}

/// What a commit holds, checked out.
fn files_of(
    project: &Project,
    commit: &str,
    id: &str,
) -> std::collections::BTreeMap<std::path::PathBuf, (u32, Vec<u8>)> {
    let place = format!("../reference-{id}");
    project.git(&["worktree", "add", "-q", "--detach", &place, commit]);
    let files = contents(&project.root().join(format!("reference-{id}")), |path| {
        path == Path::new(".git")
    });
    project.git(&["worktree", "remove", "--force", &place]);
    files
}

// Fault 33: `reset --hard` and `clean -fdx`.
// Fault 27: the worktree or its .git file is deleted.
// Fault 29: another branch, or none.
// Fault 31: history is rewritten.
#[test]
fn what_an_agent_destroys_is_in_the_last_snapshot() {
    // The worktree or its .git file is deleted; another branch, or none; history is rewritten.
    // `reset --hard` and `clean -fdx`.
    let project = project();
    let cases: Vec<Vec<&str>> = CASES
        .trim()
        .lines()
        .map(|line| line.splitn(3, " | ").collect())
        .collect();
    let tasks: Vec<(&str, String)> = (cases.iter())
        .map(|case| {
            let (id, makes, destroys) = (case[0], case[1], case[2]);
            let (git, copy) = (project.beside(&format!("git-{id}")), project.beside(&format!("copy-{id}")));
            let prompt = format!(
                "@run {KNOWN}printf '%s\\n%s\\n' \"$G\" \"$C\" >{git}; {makes}; git --git-dir=\"$G\" rev-parse HEAD >{copy}.head; \
                 cp -a . {copy}.new; mv {copy}.new {copy}\n\
                 {}\n@run set -e; {{ read G; read C; }} <{git}; {destroys}; touch {}\n@say done",
                waits(&project, id),
                project.beside(&format!("done-{id}"))
            );
            (id, prompt)
        })
        .collect();
    let tasks: Vec<(&str, &str)> = tasks.iter().map(|(id, prompt)| (*id, prompt.as_str())).collect();
    let session = project.start(&tasks, &["--snapshot-every", "100ms", "--max-parallel", "4"]);
    let mut kept = Vec::new();
    for (id, _) in &tasks {
        project.await_file(&format!("here-{id}"));
        let copy = project.root().join(format!("copy-{id}"));
        kept.push((*id, until_kept(&project, &session, id, &copy)));
        project.open(&format!("gate-{id}"));
    }
    assert_eq!(project.run(&["wait"]).code(), 0);
    // Nothing of it hangs on what git would throw away.
    project.git(&["reflog", "expire", "--expire=now", "--all"]);
    project.git(&["gc", "-q", "--prune=now"]);
    for (id, name) in kept {
        assert!(
            project.root().join(format!("done-{id}")).exists(),
            "{id}: its commands failed"
        );
        let back = format!("back-{id}");
        let ran = project.run(&["recover", &session, id, "--from", &name, "--to", &back]);
        assert_eq!(ran.code(), 0, "{id}: {ran:?}");
        let copy = contents(&project.root().join(format!("copy-{id}")), |path| {
            path == Path::new(".git")
        });
        assert_same(id, &files_of(&project, &back, id), &copy);
    }
    // The commits of the agents are kept too: what is brought back goes on from where HEAD was, or is that.
    for (id, _) in &tasks {
        let head = fs::read_to_string(project.root().join(format!("copy-{id}.head"))).expect("a commit");
        let newest = project.git(&["rev-list", "--max-count=2", &format!("back-{id}")]);
        assert!(newest.lines().any(|line| line == head.trim()), "{id}: {head} {newest}");
    }
}

// Fault 33: a snapshot between the writing of a file and its commit has the older commit below it, and the next one the
// newer: a commit is kept an interval after it was made, whatever becomes of it then.
#[test]
fn a_commit_of_what_is_in_a_snapshot_already_is_in_the_next() {
    let project = project();
    let commits = "@run git add x; git commit -qm new; git rev-parse HEAD >../../new";
    let drops = "@run git reset -q --hard HEAD~; git reflog expire --expire=now --all; rm -f \"$(git rev-parse --git-dir)/ORIG_HEAD\"";
    let prompt = format!(
        "@write x x\n{}\n{commits}\n{}\n{drops}",
        waits(&project, "1"),
        waits(&project, "2")
    );
    let session = project.start(&[("a", &prompt)], &["--snapshot-every", "50ms"]);
    let last = |project: &Project, below: &str| {
        let last = pins(project, &session, "a/snap").pop()?;
        let found = project.git(&["log", "-1", "--format=%P", &last]);
        (found.trim() == below && project.git(&["ls-tree", "--name-only", &last, "x"]) == "x\n").then_some(())
    };
    let base = project.git(&["rev-parse", "main"]);
    project.await_file("here-1");
    project.until("a snapshot before the commit", |p| last(p, base.trim()));
    project.open("gate-1");
    project.await_file("here-2");
    let new = project.line_beside("new");
    project.until("a snapshot after the commit", |p| last(p, &new));
    project.open("gate-2");
    assert_eq!(project.run(&["wait"]).code(), 0);
    project.git(&["gc", "-q", "--prune=now"]);
    assert_eq!(project.show(&format!("{new}:x")), "x\n");
}

#[test]
fn the_agent_sees_nothing_of_a_snapshot_and_it_says_what_it_is() {
    let project = project();
    let makes = "@run echo staged >s; git add s; echo more >>s; echo u >u; mkdir ign; echo i >ign/i; echo o >x.o; \
                 git init -q in; echo n >in/n; git checkout -q --detach";
    let session = project.start(
        &[("a", &format!("{makes}\n{}", waits(&project, "a")))],
        &["--snapshot-every", "1s"],
    );
    project.await_file("here-a");
    let worktree = project.worktree("a");
    let all = |project: &Project| {
        let admin = project.repo().join(".git/worktrees/main-task-a");
        (contents(&worktree, |_| false), contents(&admin, |_| false))
    };
    let before = all(&project);
    let name = project.until("a snapshot", |project| pins(project, &session, "a/snap").pop());
    let after = all(&project);
    assert_same("the worktree", &after.0, &before.0);
    assert_same("its git dir", &after.1, &before.1);
    assert_eq!(
        project.git(&["ls-tree", "-r", "--name-only", &name]),
        ".gitignore\nREADME.md\na.txt\ns\nsrc/s\nu\n"
    );
    assert_eq!(project.show(&format!("{name}:s")), "staged\nmore\n");
    let message = project.git(&["log", "-1", "--format=%B", &name]);
    let trailers = format!("\n\nPleach-Task: a\nPleach-Session: {session}\nPleach-Time: 20");
    assert!(
        message.starts_with("Snapshot of task a\n\n") && message.contains(&trailers),
        "{message}"
    );
    assert_eq!(
        project.git(&["log", "-1", "--format=%P %an <%ae>", &name]),
        format!(
            "{} Tester <tester@example.org>\n",
            project.git(&["rev-parse", "main"]).trim()
        )
    );
    project.open("gate-a");
    assert_eq!(project.run(&["wait"]).code(), 0);
}

#[test]
fn what_has_not_changed_is_not_kept_again() {
    let project = project();
    let same = format!("@write x same\n{}", waits(&project, "same"));
    let nothing = format!("@run true\n{}", waits(&project, "nothing"));
    let committed = format!(
        "@run echo c >c; git add c; git commit -qm c\n{}",
        waits(&project, "committed")
    );
    let gate = project.beside("gate-same");
    let changes = format!("@run i=0; until [ -e {gate} ]; do i=$((i+1)); echo $i >x; sleep 0.02; done");
    let tasks = [
        ("same", &*same),
        ("nothing", &nothing),
        ("committed", &committed),
        ("changes", &changes),
    ];
    let session = project.start(&tasks, &["--snapshot-every", "20ms", "--max-parallel", "4"]);
    // One may have come while the agent had not done all of it yet.
    for (id, holds) in [("same", "x"), ("committed", "c")] {
        project.await_file(&format!("here-{id}"));
        project.until(id, |project| {
            let last = pins(project, &session, &format!("{id}/snap")).pop()?;
            let branch = project.git(&["rev-parse", &format!("main-task-{id}")]);
            let is_last = project.git(&["rev-parse", &format!("{last}~1")]) == branch;
            let size = project.git(&["ls-tree", "--format=%(objectsize)", &last, holds]);
            (is_last && size.trim().parse::<u32>().is_ok_and(|size| size > 0)).then_some(())
        });
    }
    project.await_file("here-nothing");
    let count = |project: &Project, id: &str| pins(project, &session, &format!("{id}/snap")).len();
    let before = [count(&project, "same"), count(&project, "committed")];
    let seen = count(&project, "changes");
    project.until("five more of what changes", |project| {
        (count(project, "changes") >= seen + 5).then_some(())
    });
    assert_eq!([count(&project, "same"), count(&project, "committed")], before);
    assert_eq!(count(&project, "nothing"), 0);
    // What is committed is kept as it is: the snapshot adds nothing to it.
    let last = pins(&project, &session, "committed/snap").pop().expect("a snapshot");
    assert_eq!(project.git(&["diff", "--name-only", &format!("{last}~1"), &last]), "");
    for id in ["same", "nothing", "committed"] {
        project.open(&format!("gate-{id}"));
    }
    assert_eq!(project.run(&["wait"]).code(), 0);
    let numbers: Vec<String> = pins(&project, &session, "changes/snap");
    for (index, name) in numbers.iter().enumerate() {
        assert!(name.ends_with(&format!("/snap/{}", index + 1)), "{name}");
    }
}

#[test]
fn zero_is_never() {
    let project = project();
    let session = project.start(
        &[("a", &format!("@write x x\n{}", waits(&project, "a")))],
        &["--snapshot-every", "0"],
    );
    project.await_file("here-a");
    assert_eq!(project.run(&["stop"]).code(), 0);
    assert!(pins(&project, &session, "a/snap").is_empty());
    assert_eq!(project.show("main-task-a:x"), "x\n");
}

#[test]
fn before_an_agent_is_asked_to_end_its_work_is_kept() {
    let project = project();
    let here = project.beside("here");
    let script = format!("echo x >x; trap 'rm -f x; exit 0' TERM; touch {here}; while :; do sleep 0.05; done");
    let run = project.start_shell_session(&[("a", &script)], &["--snapshot-every", "1h"]);
    project.await_file("here");
    assert_eq!(project.run(&["stop"]).code(), 0);
    let ended = project.ended(&run);
    let session = ended.mark();
    assert_eq!(project.changed_in("main-task-a"), "");
    let kept = pins(&project, session.trim(), "a/snap");
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(project.show(&format!("{}:x", kept[0])), "x\n");
}

#[test]
fn a_snapshot_that_fails_is_told_once_and_tried_again() {
    let project = project();
    // Where a ref is none can be below it.
    let blocks = "@run echo x >x; git update-ref refs/pleach/$PLEACH_SESSION/a/snap HEAD";
    let frees = "@run git update-ref -d refs/pleach/$PLEACH_SESSION/a/snap";
    let prompt = format!("{blocks}\n{}\n{frees}\n{}", waits(&project, "1"), waits(&project, "2"));
    let session = project.start(&[("a", &prompt)], &["--snapshot-every", "20ms"]);
    let warnings = |project: &Project| {
        let all = project.events("warned").into_iter();
        all.filter(|event| event["task"] == "a").collect::<Vec<_>>()
    };
    project.until("a warning", |project| warnings(project).pop());
    project.await_file("here-1");
    project.open("gate-1");
    project.await_file("here-2");
    let name = project.until("a snapshot", |project| pins(project, &session, "a/snap/").pop());
    assert_eq!(project.show(&format!("{name}:x")), "x\n");
    project.open("gate-2");
    assert_eq!(project.run(&["wait"]).code(), 0);
    let told = warnings(&project);
    assert_eq!(told.len(), 1, "{told:?}");
    let text = told[0]["text"].as_str().expect("text");
    assert!(text.contains("snapshot") && text.contains("tried again"), "{text}");
}

#[test]
fn an_agent_that_works_at_the_same_time_is_no_hindrance() {
    let project = project();
    let gate = project.beside("gate");
    let busy = format!(
        "@run i=0; until [ -e {gate} ]; do i=$((i+1)); mkdir -p t; echo $i >t/$i; echo $i >f; mv t/$i t/x; rm -r t; \
         git add -A; [ $((i % 20)) -eq 0 ] && git gc -q --prune=now; true; done; rm -f \"$(git rev-parse --git-dir)/gc.pid\""
    );
    let session = project.start(&[("a", &busy)], &["--snapshot-every", "10ms"]);
    project.until("some snapshots", |project| {
        (pins(project, &session, "a/snap").len() > 8).then_some(())
    });
    project.open("gate");
    assert_eq!(project.run(&["wait"]).code(), 0);
    for name in pins(&project, &session, "a/snap") {
        project.git(&["rev-list", "--objects", "--quiet", &name]);
    }
    project.git(&["fsck", "--connectivity-only"]);
}

// Fault 30: the agent deletes refs, those of pleach.
#[test]
fn snapshots_that_an_agent_deletes_are_there_again_when_it_is_settled() {
    // The agent deletes refs, those of pleach.
    let project = project();
    let deletes = "@run git for-each-ref --format='delete %(refname)' refs/pleach/$PLEACH_SESSION | git update-ref --stdin; rm -f x";
    let (a, b) = (waits(&project, "a"), waits(&project, "b"));
    // The next one takes the name of one that was deleted.
    let prompt = format!("@write x x\n{a}\n{deletes}\n@write y y\n{b}\n@run rm -f y");
    let session = project.start(&[("a", &prompt)], &["--snapshot-every", "100ms", "--keep-worktrees"]);
    project.await_file("here-a");
    let kept_with = |file: &str| {
        project.until("a snapshot", |project| {
            let last = pins(project, &session, "a/snap").pop()?;
            let held = project.git(&["ls-tree", "--name-only", &last, file]);
            (held.trim_end() == file).then(|| project.git(&["rev-parse", &last]))
        })
    };
    let first = kept_with("x");
    project.open("gate-a");
    project.await_file("here-b");
    let second = kept_with("y");
    project.open("gate-b");
    assert_eq!(project.run(&["wait"]).code(), 0);
    let kept: Vec<String> = pins(&project, &session, "a/snap")
        .iter()
        .map(|name| project.git(&["rev-parse", name]))
        .collect();
    assert!(kept.contains(&first) && kept.contains(&second), "{kept:?}");
    assert_eq!(pins(&project, &session, "_base").len(), 1);
    let ran: Ran = project.run(&["status"]);
    assert!(
        ran.out()
            .contains("refs that keep its work were deleted while it ran, and are there again"),
        "{ran:?}"
    );
    assert!(!project.worktree("a").join("x").exists() && !project.worktree("a").join("y").exists());
}
