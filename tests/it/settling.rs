//! What becomes of a task's work when its agent has ended: all of it is committed on its branch and pinned, and the
//! worktree of a succeeded task goes to the trash, with what git ignores counted.
//!
//! Whether a branch holds everything is asked in one way: git checks it out beside the worktree that the agent left,
//! and the two must be the same.

use std::fs;
use std::path::Path;

use crate::support::{Project, assert_same, contents, pairs};

/// What agents leave, each with the commands that leave it, in a repository with the files of [`project`].
const LEFT: &str = r##"
untracked: echo x >x; mkdir -p d/e; echo y >d/e/y; : >empty
modified: echo changed >a.txt
modified-at-once: printf b >a.txt; printf '\n' >>a.txt
deleted: rm a.txt; rm -r src
staged: echo x >x; git add x; echo changed >a.txt; git add a.txt; git rm -q --cached b.txt
staged-and-changed: echo one >x; git add x; echo two >x
intended: echo x >x; git add -N x
forced: mkdir ign; echo x >ign/x; echo y >y.o; git add -f ign/x y.o
executable: chmod +x a.txt; chmod -x run
renamed: git mv a.txt c.txt; mv b.txt src/d.txt
names: for n in 'a b' '-x' '*' ':(top)x' '#x' '!x' "$(printf 'n\nl')" "$(printf '\377')" 'é' 'q"q' 'b\s' 'ign '; do echo x >"./$n"; done
directories-of-odd-names: d="$(printf 'd\377\n')"; mkdir "$d" ' '; echo x >"$d/x"; echo x >' /x'
links: ln -s a.txt l; rm b.txt; ln -s /nowhere b.txt; rm -r src; ln -s /etc src
file-to-directory: rm a.txt; mkdir a.txt; echo x >a.txt/x; rm -r src; echo x >src
ignored-no-more: rm .gitignore; mkdir ign; echo x >ign/x
attributes: echo '* text=auto' >.gitattributes; echo '*.x -text' >src/.gitattributes; printf 'a\r\nb\n' >src/c.x; printf 'a\0b' >bin
committed-and-left: echo x >x; git add x; git commit -qm mine; echo y >y
part-of-a-commit: echo x >x; echo y >y; git add x; git commit -qm mine
index-gone: echo x >x; echo changed >a.txt; rm "$(git rev-parse --git-dir)/index"
index-split: git update-index --split-index; echo x >x; git add x; echo y >y
many: i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo $i >f$i; done
"##;

fn project() -> Project {
    let project = Project::new();
    project.sh(
        "printf 'ign/\\n*.o\\n' >.gitignore; echo a >a.txt; echo b >b.txt; mkdir src; echo s >src/s; \
         echo x >run; chmod +x run; git add -A; git commit -qm second",
    );
    project
}

/// The worktree that a task was left in holds what its branch holds, but for ignored files, and git sees no change.
#[track_caller]
fn assert_all_committed(project: &Project, id: &str) {
    let (worktree, reference) = (project.worktree(id), project.root().join("reference"));
    assert_eq!(project.git_in(&worktree, &["status", "--porcelain"]), "", "{id}");
    let branch = format!("main-task-{id}");
    project.git(&["worktree", "add", "-q", "--detach", "--force", "../reference", &branch]);
    let ignored = project.git_in(
        &worktree,
        &["ls-files", "--others", "--ignored", "--exclude-standard", "--directory"],
    );
    let ignored: Vec<&Path> = ignored.lines().map(Path::new).collect();
    let files = |root: &Path| contents(root, |path| path == Path::new(".git") || ignored.contains(&path));
    assert_same(id, &files(&worktree), &files(&reference));
    project.git(&["worktree", "remove", "../reference"]);
}

// Fault 46: files whose names are not UTF-8.
#[test]
fn whatever_an_agent_leaves_is_committed() {
    let project = project();
    let tasks: Vec<(&str, String)> = (LEFT.trim().lines())
        .map(|line| line.split_once(": ").expect("an id and what it does"))
        .map(|(id, line)| {
            (
                id,
                format!("@run set -e; {line}; touch {}", project.root().join(id).display()),
            )
        })
        .collect();
    let tasks: Vec<(&str, &str)> = tasks.iter().map(|(id, prompt)| (*id, prompt.as_str())).collect();
    let ended = project.session(&tasks, &["--keep-worktrees", "--max-parallel", "4"]);
    ended.assert_exit(0);
    for (id, _) in tasks {
        assert!(project.root().join(id).exists(), "{id}: its commands failed");
        ended.assert_succeeded(id);
        assert_ne!(ended.task(id)["commits"], 0, "{id}");
        assert_all_committed(&project, id);
        let head = project.git(&["rev-parse", &format!("main-task-{id}")]);
        assert_eq!(ended.task(id)["head"], head.trim(), "{id}");
    }
    assert_eq!(
        project.git(&["ls-tree", "-r", "--name-only", "main-task-forced", "ign", "y.o"]),
        "ign/x\ny.o\n"
    );
    assert_eq!(ended.task("many")["files_changed"], 2000);
    assert_eq!(ended.task("many")["commits"], 1);
}

/// Paths, and what is in the files; a file without content is not there.
type Files = &'static [(&'static str, &'static str)];

/// Configurations under which a plain `git add` or `git status` refuses, or leaves out what an agent left.
#[test]
fn what_an_agent_leaves_is_committed_whatever_git_is_told() {
    let cases: [(&str, &str, Files); 11] = [
        (
            "git config core.autocrlf input; git config core.safecrlf true",
            "printf 'a\\r\\nb\\r\\n' >x; echo y >y",
            &[("x", "a\nb\n"), ("y", "y\n")],
        ),
        (
            "git sparse-checkout set src",
            "mkdir out; echo x >out/x; echo y >src/y; rm a.txt",
            &[("a.txt", ""), ("out/x", "x\n"), ("src/y", "y\n")],
        ),
        (
            "git sparse-checkout set --sparse-index src",
            "mkdir out; echo x >out/x; echo y >src/y; git add src",
            &[("out/x", "x\n"), ("src/y", "y\n")],
        ),
        (
            ":",
            "git sparse-checkout set --sparse-index src; mkdir out; echo x >out/x",
            &[("out/x", "x\n")],
        ),
        (
            "git config core.splitIndex true",
            "echo x >x; git add x; echo y >y",
            &[("x", "x\n"), ("y", "y\n")],
        ),
        ("git config status.showUntrackedFiles no", "echo x >x", &[("x", "x\n")]),
        (
            "git config feature.manyFiles true; git config index.skipHash true",
            "echo x >x; git add x; echo y >y",
            &[("x", "x\n"), ("y", "y\n")],
        ),
        (
            "git config commit.gpgSign true; git config commit.template /nowhere; git config commit.cleanup verbatim",
            "echo x >x",
            &[("x", "x\n")],
        ),
        (
            ":",
            "git update-index --assume-unchanged a.txt; echo x >a.txt; git update-index --skip-worktree b.txt; echo y >b.txt",
            &[("a.txt", "x\n"), ("b.txt", "y\n")],
        ),
        // A file that changes within the tick of the clock in which the index is written.
        (
            "git config core.trustctime false",
            "echo x >x; touch -d @9 x; git add x; touch -d @9 $(git rev-parse --git-dir)/index; echo y >x; touch -d @9 x",
            &[("x", "y\n")],
        ),
        ("mkfifo pipe", "rm b.txt; mkfifo b.txt p; echo x >x", &[("x", "x\n")]),
    ];
    for (setup, left, expected) in cases {
        let project = project();
        project.sh(setup);
        let ended = project.session(&[("a", &format!("@run {left}"))], &[]);
        ended.assert_exit(0);
        ended.assert_succeeded("a");
        let paths: String = expected.iter().map(|(path, _)| format!("{path}\n")).collect();
        assert_eq!(project.changed_in("main-task-a"), paths, "{setup}: {left}");
        for (path, content) in expected.iter().filter(|(_, content)| !content.is_empty()) {
            assert_eq!(
                project.show(&format!("main-task-a:{path}")),
                *content,
                "{setup}: {left}"
            );
        }
        // Only what git cannot hold at all is told, and keeps the worktree.
        let pipe = left.contains("mkfifo b.txt");
        assert_eq!(ended.notes("a").contains("b.txt"), pipe, "{}", ended.notes("a"));
        assert_eq!(project.worktree("a").exists(), pipe, "{setup}: {left}");
    }
}

#[test]
fn leftovers_of_every_outcome_are_committed_with_title_and_trailers() {
    let project = project();
    let there = project.root().join("there");
    let tasks = [
        ("done", "Do it\n\nwell\n@write x.txt x"),
        ("fails", "Try it: 50% \"so\"\n@write x.txt x\n@fail no"),
        (
            "stops",
            &*format!(
                "Wait\n@write x.txt x\n@touch {}\n@wait /nowhere/at/all",
                there.display()
            ),
        ),
    ];
    let run = project.start_session(&tasks, &["--grace", "0s", "--max-parallel", "3"]);
    project.until("the agent waits", |p| {
        (there.exists() && p.events("task_settled").len() == 2).then_some(())
    });
    assert_eq!(project.run(&["stop"]).code(), 0);
    let ended = project.ended(&run);
    let session = ended.mark();
    let subjects = [
        ("done", "succeeded", "Do it"),
        ("fails", "failed", "Try it: 50% \"so\""),
        ("stops", "stopped", "Wait"),
    ];
    for (id, outcome, title) in subjects {
        assert_eq!(ended.task(id)["outcome"], outcome, "{:#}", ended.task(id));
        let branch = format!("main-task-{id}");
        assert_eq!(project.show(&format!("{branch}:x.txt")), "x\n");
        let message = project.git(&["log", "-1", "--format=%B", &branch]);
        assert_eq!(
            message,
            format!("{title}\n\nPleach-Task: {id}\nPleach-Session: {session}\n")
        );
        let who = project.git(&["log", "-1", "--format=%an <%ae> %cn <%ce>", &branch]);
        assert_eq!(who, "Tester <tester@example.org> Tester <tester@example.org>\n");
        assert_eq!(
            project.git(&["rev-parse", &format!("{branch}~1")]),
            project.git(&["rev-parse", "main"])
        );
        let kept = outcome != "succeeded";
        assert_eq!(project.worktree(id).exists(), kept, "{id}");
        assert_eq!(ended.task(id)["worktree"].is_string(), kept, "{id}");
        if kept {
            assert_all_committed(&project, id);
        }
    }
}

#[test]
fn a_task_that_changed_nothing_says_so() {
    let project = project();
    // Something else that is no change: what is ignored, what is put back, and an empty directory.
    let prompt = "@run mkdir ign empty; echo x >ign/x; echo x >a.txt; git checkout -q a.txt; touch b.txt; rm run; git checkout run";
    let ended = project.session(&[("a", prompt)], &[]);
    ended.assert_exit(0);
    let task = ended.task("a");
    assert_eq!((&task["commits"], &task["files_changed"]), (&0.into(), &0.into()));
    assert_eq!(task["head"], project.git(&["rev-parse", "main"]).trim());
    assert_eq!(
        project.git(&["rev-parse", "main-task-a"]),
        project.git(&["rev-parse", "main"])
    );
    let text = project.run(&["status"]).out();
    assert!(text.contains("changed nothing"), "{text}");
}

#[test]
fn commits_bear_the_name_that_git_would_write() {
    let remote = "[includeIf \"hasconfig:remote.*.url:https://work.example/**\"]\n\tpath = ROOT/work\n";
    let cases = [
        (
            "[user]\n\tname = A U Thor\n\temail = <a@example.org>\n",
            "",
            "A U Thor <a@example.org>",
        ),
        (
            "",
            "git config user.name Local; git config user.email l@example.org",
            "Local <l@example.org>",
        ),
        (
            remote,
            "git remote add origin https://work.example/x; git config -f ../work user.name Work; git config -f ../work user.email w@work.example",
            "Work <w@work.example>",
        ),
        (
            "[user]\n\tname = U\n\temail = u@example.org\n[committer]\n\tname = C\n",
            "",
            "C <u@example.org>",
        ),
        ("", "", "pleach <pleach@localhost>"),
        (
            "[user]\n\tname = ...\n\temail = u@example.org\n",
            "",
            "pleach <u@example.org>",
        ),
    ];
    for (configuration, setup, expected) in cases {
        let project = project();
        let root = project.root().to_str().expect("UTF-8");
        fs::write(project.root().join("gitconfig"), configuration.replace("ROOT", root)).expect("write gitconfig");
        project.sh(&format!(":; {setup}"));
        let own = "@run echo x >x; git add x; git commit -qm own\n@write y y";
        let ended = project.session(&[("a", own)], &[]);
        ended.assert_exit(0);
        let who = |format: &str| project.git(&["log", "-2", &format!("--format={format}"), "main-task-a"]);
        assert_eq!(
            who("%cn <%ce>"),
            format!("{expected}\n{expected}\n"),
            "{configuration}{setup}"
        );
        assert_eq!(ended.task("a")["commits"], 2);
    }
}

// Fault 34: ignored files go to the trash and are named.
// Fault 48: a worktree with ignored files is not deleted.
#[test]
fn the_worktree_of_a_succeeded_task_goes_to_the_trash_with_what_is_ignored() {
    let project = project();
    let left = "@run mkdir -p ign/deep; echo 1 >ign/1; echo 2 >ign/deep/2; echo 3 >x.o; echo 4 >src/y.o; echo 5 >kept";
    let tasks = [("a", left), ("b", "@write b.txt b"), ("c", "@write c.txt c\n@fail no")];
    let ended = project.session(&tasks, &[]);
    ended.assert_exit(1);
    let removed = project.events("worktree_removed");
    assert_eq!(removed.len(), 2, "{removed:?}");
    let event = removed.iter().find(|event| event["task"] == "a").expect("an event");
    assert_eq!(event["ignored"], serde_json::json!(["ign/", "src/y.o", "x.o"]));
    let trash = Path::new(event["trash"].as_str().expect("a path"));
    assert_eq!(trash.parent(), Some(&*project.worktrees().join(".trash")));
    for (path, content) in [
        ("ign/1", "1\n"),
        ("ign/deep/2", "2\n"),
        ("x.o", "3\n"),
        ("src/y.o", "4\n"),
        ("kept", "5\n"),
    ] {
        let found = fs::read_to_string(trash.join("worktree").join(path));
        assert_eq!(found.expect("a file in the trash"), content, "{path}");
    }
    assert_eq!(project.changed_in("main-task-a"), "kept\n");
    assert!(!project.worktree("a").exists() && !project.worktree("b").exists() && project.worktree("c").exists());
    let listed = project.git(&["worktree", "list", "--porcelain"]);
    assert_eq!(listed.matches("worktree ").count(), 2, "{listed}");
    // The branches are free: nothing says that they are checked out.
    project.git(&["branch", "-q", "-D", "main-task-a"]);
    project.git(&["merge", "-q", "main-task-b"]);
    project.git(&["branch", "-q", "-d", "main-task-b"]);
    let refused = project
        .command("git")
        .args(["branch", "-D", "main-task-c"])
        .output()
        .expect("run git");
    assert!(
        !refused.status.success(),
        "the worktree of a failed task has its branch"
    );
}

#[test]
fn all_commits_of_a_session_are_pinned() {
    let project = project();
    let ended = project.session(
        &[
            ("a", "@write a b"),
            ("b", "@write b b\n@fail no"),
            ("c", "@say nothing"),
        ],
        &[],
    );
    ended.assert_exit(1);
    let session = ended.mark();
    let session = session.trim();
    let pinned = |name: &str| project.git(&["rev-parse", &format!("refs/pleach/{session}/{name}")]);
    assert_eq!(pinned("_base"), project.git(&["rev-parse", "main"]));
    for id in ["a", "b", "c"] {
        assert_eq!(
            pinned(&format!("{id}/head")),
            project.git(&["rev-parse", &format!("main-task-{id}")])
        );
    }
    assert_eq!(project.git(&["for-each-ref", "refs/pleach"]).lines().count(), 4);
    // What is pinned stays whatever becomes of the branch.
    project.git(&["branch", "-q", "-D", "main-task-a"]);
    project.git(&["gc", "-q", "--prune=now"]);
    assert_eq!(project.show(&format!("refs/pleach/{session}/a/head:a")), "b\n");
}

#[test]
fn a_locked_branch_is_waited_for() {
    let project = project();
    let lock = project.repo().join(".git/refs/heads/main-task-a.lock");
    let prompt = format!("@write x x\n@touch {}", lock.display());
    let run = project.start_session(&[("a", &prompt)], &[]);
    // The work is pinned before the branch is moved.
    project.until("the work is pinned", |p| {
        let refs = p.git(&["for-each-ref", "--format=%(refname)", "refs/pleach"]);
        refs.contains("/a/head").then_some(())
    });
    fs::remove_file(lock).expect("let go");
    let ended = project.ended(&run);
    ended.assert_exit(0);
    ended.assert_succeeded("a");
    assert_eq!(ended.notes("a"), "");
    assert_eq!(project.show("main-task-a:x"), "x\n");
}

// Fault 20: the base branch moves and garbage is collected.
#[test]
fn tasks_settle_while_the_user_commits_packs_and_collects_garbage() {
    let project = project();
    let (go, stop) = (project.root().join("go"), project.root().join("stop"));
    let ids: Vec<String> = (0..8).map(|n| format!("t{n}")).collect();
    let prompts: Vec<String> = (ids.iter())
        .map(|id| {
            let up = project.root().join(format!("{id}.up"));
            let work = "@run for n in 1 2 3; do echo $n >n$n; git add -A; git commit -qm $n; done; echo left >left";
            format!("@touch {}\n@wait {}\n{work}", up.display(), go.display())
        })
        .collect();
    let tasks = pairs(&ids, &prompts);
    let run = project.start_session(&tasks, &["--max-parallel", "8"]);
    project.until("all agents are there", |p| {
        let up = |id: &String| p.root().join(format!("{id}.up")).exists();
        ids.iter().all(up).then_some(())
    });
    let busy = [
        "git commit -q --allow-empty -m user",
        "git gc -q",
        "git pack-refs --all",
    ]
    .map(|line| {
        let line = format!("while [ ! -e {} ]; do {line}; done", stop.display());
        project
            .command("sh")
            .args(["-c", &line])
            .spawn()
            .expect("start a shell")
    });
    fs::write(&go, "").expect("let them go");
    let ended = project.ended(&run);
    fs::write(&stop, "").expect("let them stop");
    for mut child in busy {
        child.wait().expect("wait for a shell");
    }
    ended.assert_exit(0);
    for id in &ids {
        ended.assert_succeeded(id);
        // An agent's commit starts a `git maintenance` that may still be there, and is then ended: that is told.
        let notes = ended.notes(id);
        assert!(!notes.contains("branch") && !notes.contains("commit"), "{id}: {notes}");
        // The agent's own commits may have met a lock: what matters is that all of its files are there.
        let refs = [format!("main-task-{id}"), format!("--glob=refs/pleach/*/{id}/*")];
        let log = [
            &["log", "--stat", "--oneline"],
            &refs.each_ref().map(String::as_str)[..],
        ]
        .concat();
        assert_eq!(
            project.changed_in(&refs[0]),
            "left\nn1\nn2\nn3\n",
            "{:#}\n{}",
            ended.task(id),
            project.git(&log)
        );
        assert!(!project.worktree(id).exists(), "{id}");
    }
    project.git(&["fsck", "--full", "--strict"]);
}

// Fault 18: what is in submodules is left out, which is said.
#[test]
fn a_submodule_with_files_keeps_its_worktree() {
    let project = project();
    project.sh("git init -q ../lib; cd ../lib; echo l >l; git add l; git commit -qm lib");
    let file = "git -c protocol.file.allow=always";
    project.sh(&format!(
        "{file} submodule add -q ../lib lib; git commit -qm 'with lib'"
    ));
    let tasks = [
        ("untouched", "@write x.txt x".to_owned()),
        (
            "files-without-a-repository",
            "@run echo mine >lib/mine; echo x >x.txt".to_owned(),
        ),
        (
            "changed",
            format!("@run {file} submodule -q update --init; echo mine >lib/mine; echo x >x.txt"),
        ),
        (
            "added",
            format!("@run {file} submodule add -q ../../lib other; echo mine >other/mine; echo x >x.txt"),
        ),
    ];
    let tasks: Vec<(&str, &str)> = tasks.iter().map(|(id, prompt)| (*id, prompt.as_str())).collect();
    let ended = project.session(&tasks, &[]);
    ended.assert_exit(0);
    for (id, kept) in [
        ("untouched", None),
        ("files-without-a-repository", Some("lib")),
        ("changed", Some("lib")),
        ("added", Some("other")),
    ] {
        ended.assert_succeeded(id);
        let added = if id == "added" {
            ".gitmodules\nother\nx.txt\n"
        } else {
            "x.txt\n"
        };
        assert_eq!(project.changed_in(&format!("main-task-{id}")), added, "{id}");
        let notes = ended.notes(id);
        assert_eq!(notes.contains("submodules"), kept.is_some(), "{id}: {notes}");
        assert_eq!(project.worktree(id).exists(), kept.is_some(), "{id}");
        if let Some(path) = kept {
            let mine = fs::read_to_string(project.worktree(id).join(path).join("mine"));
            assert_eq!(mine.expect("a file in a submodule"), "mine\n", "{id}");
        }
    }
}
