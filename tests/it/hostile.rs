//! Agents that tear at their worktree, at the repository or at pleach: their work is kept, the user is told in the
//! notes of the task, and nothing that an agent planted is run by pleach.
//!
//! Whether something is run is shown by a file that the planted command makes. That the trap works at all is shown
//! afterwards, by git commands as a user would type them.

use std::fs;
use std::path::PathBuf;

use crate::support::{Project, assert_same, contents};

/// `$G` is the git dir of the worktree, `$C` the one that all worktrees share.
const KNOWN: &str = "G=$(git rev-parse --absolute-git-dir); C=$(realpath $(git rev-parse --git-common-dir)); set -e; ";

/// What agents do, and what comes of it: the id; whether the worktree is kept or gone; how many commits are on the
/// branch; files on it, with the line in each; words of the notes; and what is done. No two make the same commit.
const CASES: &str = r#"
nested-without-commits | kept | 1 | x=x | in/ & git repository of its own | git init -q in; echo i >in/i; echo x >x
nested-with-commits | kept | 1 | d/x=x | d/in/ & git repository of its own | git init -q d/in; cd d/in; echo i >i; git add i; git commit -qm in; cd ../..; echo x >d/x
nested-and-staged | kept | 1 | x=x | in/ & git repository of its own | git init -q in; cd in; echo i >i; git add i; git commit -qm in; cd ..; echo x >x; git add .
nested-around-committed-files | kept | 1 | src/x=x | src & git repository of its own | cd src; git init -q; git add .; git commit -qm in; echo x >x
worktree-of-its-own | kept | 1 | x=x | in/ & git repository of its own | git worktree add -q -b inner in; echo i >in/i; echo x >x
switched | gone | 2 | c=c x=x | switched to elsewhere | git checkout -qb elsewhere; echo c >c; git add c; git commit -qm c1; echo x >x
detached | gone | 2 | c=c x=x | detached HEAD | git checkout -q --detach; echo c >c; git add c; git commit -qm c2; echo x >x
looked-back | kept | 1 | c=c | detached HEAD | echo c >c; git add c; git commit -qm c3; git checkout -q --detach HEAD~1
branch-deleted | gone | 3 | c=d x=x | main-task-branch-deleted was gone | echo c >c; git add c; git commit -qm c4; echo d >c; git commit -qam d4; git update-ref -d HEAD; echo x >x
branch-is-another | gone | 1 | x=x | another name of refs/heads/main | git symbolic-ref refs/heads/main-task-branch-is-another refs/heads/main; echo x >x
branch-locked | kept | 1 |  | main-task-branch-locked could not be moved & kept as refs/pleach/ | touch $C/refs/heads/main-task-branch-locked.lock; echo x >x
history-of-nothing | gone | 1 | x=x a.txt=a | switched to new | git checkout -q --orphan new; echo x >x
worktree-deleted | gone | 1 | c=c | worktree was gone | echo c >c; git add c; git commit -qm c5; echo x >x; rm -rf "$PWD"
worktree-is-a-link | gone | 1 | c=c | worktree was gone | echo c >c; git add c; git commit -qm c6; d="$PWD"; mv "$d" "$d.moved"; ln -s "$C/.." "$d"
worktree-forgotten | kept | 2 | c=c x=x | no longer knew the worktree | echo c >c; git add c; git commit -qm c7; echo x >x; rm -r $G
git-file-deleted | gone | 1 | x=x | .git file & put right | echo x >x; rm .git
git-file-swapped | gone | 1 | x=x | .git file & put right | echo x >x; git init -q ../other; echo gitdir: $(realpath ../other/.git) >.git
repository-of-its-own | kept | 1 | x=x | repository of its own | rm .git; git init -q; echo x >x; git add .; git commit -qm own
common-dir-swapped | gone | 1 | x=x |  | echo x >x; git init -q ../other2; realpath ../other2/.git >$G/commondir
head-gone | kept | 2 | c=c x=x | HEAD of the worktree could not be read | echo c >c; git add c; git commit -qm c8; echo x >x; rm $G/HEAD
index-locked | kept | 1 | x=x | index is locked | echo x >x; touch $G/index.lock
index-cut | gone | 1 | x=x a.txt=changed | index could not be read | echo x >x; git add x; head -c 60 $G/index >$G/cut; mv $G/cut $G/index; echo changed >a.txt
index-is-a-pipe | gone | 1 | x=x |  | echo x >x; rm $G/index; mkfifo $G/index
merging | kept | 2 | x=x | not finished a merge | git checkout -qb one; echo 1 >a.txt; git commit -qam c9; git checkout -q -; echo 2 >a.txt; git commit -qam d9; echo x >x; git merge -q one && false || true
rebasing | kept | 2 | a.txt=2 | not finished a rebase & which went another way | git checkout -qb two; echo 1 >a.txt; git commit -qam c10; git checkout -q -; echo 2 >a.txt; git commit -qam d10; echo x >x; git rebase -q two && false || true
"#;

fn project() -> Project {
    let project = Project::new();
    project.sh("echo a >a.txt; mkdir src; echo s >src/s; git add -A; git commit -qm second");
    project
}

// Fault 14: the worktree is deleted.
// Fault 15: the task's branch is deleted.
// Fault 27: the worktree or its .git file is deleted by the agent.
// Fault 29: another branch is checked out, or none.
// Fault 30: refs are deleted.
// Fault 32: repositories are nested.
#[test]
fn whatever_an_agent_does_to_its_worktree_its_work_is_kept_and_the_user_told() {
    let project = project();
    let cases: Vec<Vec<&str>> = CASES
        .trim()
        .lines()
        .map(|line| line.splitn(6, " | ").collect())
        .collect();
    let tasks: Vec<(&str, String)> = (cases.iter())
        .map(|case| (case[0], project.root().join(case[0]), case[5]))
        .map(|(id, done, does)| (id, format!("@run {KNOWN}{does}; touch {}", done.display())))
        .collect();
    let tasks: Vec<(&str, &str)> = tasks.iter().map(|(id, prompt)| (*id, prompt.as_str())).collect();
    let main = project.git(&["rev-parse", "main"]);
    let files = |project: &Project| contents(&project.repo(), |path| path.starts_with(".git"));
    let before = files(&project);
    let ended = project.session(&tasks, &["--max-parallel", "4"]);
    assert_same("the checkout", &files(&project), &before);
    assert_eq!(project.git(&["rev-parse", "main"]), main);
    assert_eq!(project.git(&["status", "--porcelain"]), "");
    ended.assert_exit(0);
    let pin = |id: &str| format!("refs/pleach/{}/{id}/head", ended.mark().trim());
    for case in &cases {
        let (id, told) = (case[0], case[4]);
        assert!(project.root().join(id).exists(), "{id}: its commands failed");
        ended.assert_succeeded(id);
        let notes = ended.notes(id);
        for words in told.split(" & ") {
            assert!(notes.contains(words), "{id}: {words:?} is not in: {notes}");
        }
        assert_eq!(notes.is_empty(), told.is_empty(), "{id}: {notes}");
        assert_eq!(ended.task(id)["commits"].to_string(), case[2], "{id}");
        for (path, line) in case[3].split_whitespace().filter_map(|file| file.split_once('=')) {
            let found = project.show(&format!("main-task-{id}:{path}"));
            assert_eq!(found, format!("{line}\n"), "{id}: {path}");
        }
        assert_eq!(
            project.git(&["rev-parse", &pin(id)]).trim(),
            ended.task(id)["head"],
            "{id}"
        );
        let tree = project.git(&["ls-tree", "-r", &pin(id)]);
        assert!(!tree.contains("160000"), "{id}: {tree}");
        let worktree = project.worktree(id);
        assert_eq!(worktree.symlink_metadata().is_ok(), case[1] == "kept", "{id}");
    }
    // What could not come onto the branch is under the pin.
    for id in ["rebasing", "branch-locked"] {
        assert_eq!(project.show(&format!("{}:x", pin(id))), "x\n", "{id}");
    }
    let conflict = project.show("main-task-merging:a.txt");
    assert!(
        conflict.contains("<<<<<<<") && conflict.contains("\n1\n") && conflict.contains("\n2\n"),
        "{conflict}"
    );
    for path in [
        "nested-without-commits/in/i",
        "nested-with-commits/d/in/i",
        "nested-and-staged/in/i",
    ] {
        let nested = project.worktrees().join(format!("main-task-{path}"));
        assert_eq!(fs::read_to_string(nested).expect("a nested file"), "i\n", "{path}");
    }
}

// Fault 31: history is rewritten.
#[test]
fn commits_that_an_agent_drops_are_pinned() {
    let make = "echo 1 >c; git add c; git commit -qm dropped";
    let cases = [
        (
            "amended",
            format!("{make}; echo 2 >c; git commit -qa --amend -m amended"),
            true,
        ),
        ("reset", format!("{make}; git reset -q --hard HEAD~1"), true),
        (
            "rebased",
            format!("{make}; git commit -q --amend --no-edit --date=@9; git rebase -q --force-rebase HEAD~1"),
            true,
        ),
        (
            "left-detached",
            format!("git checkout -q --detach; {make}; git checkout -q -; echo x >x"),
            true,
        ),
        (
            "reset-without-a-log",
            format!("git config core.logAllRefUpdates false; {make}; git reset -q --hard HEAD~1"),
            true,
        ),
        // On a branch they stay anyway: that is nothing to tell.
        (
            "left-on-a-branch",
            format!("git checkout -qb side; {make}; git checkout -q -; echo x >x"),
            false,
        ),
    ];
    for (id, does, told) in cases {
        let project = project();
        let ended = project.session(&[(id, &format!("@run {does}"))], &[]);
        ended.assert_exit(0);
        ended.assert_succeeded(id);
        assert_eq!(
            ended.notes(id).contains("dropped the commit"),
            told,
            "{id}: {}",
            ended.notes(id)
        );
        assert!(!project.worktree(id).exists(), "{id}");
        // Nothing else keeps them any more: the worktree's own log went with it.
        project.sh(
            "for b in $(git branch --format='%(refname:short)' --list '*-task-*' side); do git branch -q -D $b; done",
        );
        project.git(&["reflog", "expire", "--expire=now", "--all"]);
        project.git(&["gc", "-q", "--prune=now"]);
        let left = project.git(&["log", "--format=%s", "--glob=refs/pleach", "--not", "main"]);
        assert!(left.contains("dropped\n"), "{id}: {left}");
    }
}

/// What agents plant, and words of the note that tells of it (without one it does no harm). `CMD` is a program that
/// shows that it was run.
const TRAPS: &str = r#"
fsmonitor |  | git config core.fsmonitor 'CMD #'
hooks |  | mkdir -p $C/hooks; for h in post-index-change reference-transaction post-commit; do cp CMD $C/hooks/$h; done
hooks-path |  | mkdir h; cp CMD h/post-index-change; git config core.hooksPath $PWD/h
filter | filters were configured | git config filter.e.clean CMD; echo '* filter=e' >.gitattributes
process | filters were configured | git config filter.e.process CMD; git config filter.e.required true; echo '* filter=e' >.gitattributes
included | filters were configured | git config -f i filter.e.clean CMD; git config include.path $PWD/i; echo '* filter=e' >$C/info/attributes
of-the-worktree | filters were configured | git config extensions.worktreeConfig true; git config --worktree filter.e.clean CMD; echo '* filter=e' >.gitattributes
equals-sign | filter.e=f.clean | git config filter.e=f.clean CMD; echo '* filter=e=f' >.gitattributes
no-text | filter.e | n=$(printf 'e\377'); git config "filter.$n.clean" CMD; echo "* filter=$n" >.gitattributes
git-file | put right | git init -q ../evil; git -C ../evil config core.fsmonitor 'CMD #'; echo gitdir: $(realpath ../evil/.git) >.git
common-dir |  | git init -q ../evil; git -C ../evil config core.fsmonitor 'CMD #'; realpath ../evil/.git >$G/commondir
nested | in/ | git init -q in; git -C in commit -q --allow-empty -m x; git -C in config core.fsmonitor 'CMD #'; echo i >in/i
linked | submodules | git init -q in; git -C in commit -q --allow-empty -m x; git add in; git commit -qm in; git -C in config core.fsmonitor 'CMD #'
submodule | submodules | git -c protocol.file.allow=always submodule -q update --init; git -C lib config core.fsmonitor 'CMD #'; echo i >lib/i
fetching |  | git config remote.e.promisor true; git config remote.e.url $C; git config remote.e.uploadpack 'CMD </dev/null;git-upload-pack'; git config core.autocrlf input; MISSING
"#;

/// A file that git compares with an object that is not there.
const MISSING: &str =
    r"printf 'a\r\n' >t; git update-index --add --cacheinfo 100644,1234567890123456789012345678901234567890,t";

// Fault 28: git files are swapped, and traps are planted.
#[test]
fn nothing_that_an_agent_plants_is_run() {
    for line in TRAPS.trim().lines() {
        let [id, told, plant] = line.splitn(3, " | ").collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let project = Project::empty();
        project.sh("git init -q lib; git -C lib commit -q --allow-empty -m lib; git init -q -b main repo");
        project.sh("git -c protocol.file.allow=always submodule add -q ../lib lib; git commit -qm first");
        let (program, ran) = (project.root().join("program"), project.root().join("ran"));
        let script = format!("#!/bin/sh\ntouch {}\nexec cat\n", ran.display());
        fs::write(&program, script).expect("write a script");
        project.sh("chmod +x ../program");
        let plant = plant
            .replace("CMD", program.to_str().expect("UTF-8"))
            .replace("MISSING", MISSING);
        let prompt = format!(
            "@write x x\n@run {KNOWN}{plant}; rm -f {0}; touch {0}.planted",
            ran.display()
        );
        // A second task comes after it: what is done for that one runs nothing either.
        let tasks = [(id, &*prompt), ("next", "@write n n")];
        let ended = project.session(&tasks, &["--max-parallel", "1", "--keep-worktrees"]);
        assert!(project.root().join("ran.planted").exists(), "{id}: its commands failed");
        project.run(&["plan"]);
        assert!(!ran.exists(), "{id}: it was run");
        let error = ended.task(id)["error"].as_str().unwrap_or_default();
        let notes = format!("{}{error}", ended.notes(id));
        assert!(
            notes.contains(told) && told.is_empty() == notes.is_empty(),
            "{id}: {notes}"
        );
        // Where it cannot be switched off nothing is looked at: then the work stays in the worktree alone.
        let kept = fs::read_to_string(project.worktree(id).join("x"));
        assert_eq!(kept.expect("the work"), "x\n", "{id}");
        match error {
            "" => assert_eq!(project.show(&format!("main-task-{id}:x")), "x\n", "{id}"),
            _ => ended.assert_failed(id, "settling"),
        }
        let by_hand = format!("(cd $d && git status; {MISSING}; echo y >y; git add -A; git add y t)");
        let line = format!("cd ../repo.pleach/main-task-{id}; for d in . in lib ../evil; do {by_hand}; done");
        project
            .command("timeout")
            .args(["60", "sh", "-c", &line])
            .output()
            .expect("run git");
        assert!(ran.exists(), "{id}: the trap does not work at all");
    }
}

// Fault 28: a merge driver is planted.
#[test]
fn a_merge_driver_that_an_agent_plants_is_not_run_by_the_plan() {
    let project = project();
    let ran: PathBuf = project.root().join("ran");
    let plant = format!(
        "@run echo '*.txt merge=evil' >.gitattributes; git config merge.evil.driver 'touch {}; exit 1'",
        ran.display()
    );
    let tasks = [("a", &*plant), ("b", "@write a.txt b"), ("c", "@write a.txt c")];
    let ended = project.session(&tasks, &["--max-parallel", "1"]);
    ended.assert_exit(0);
    let plan = project.run(&["plan"]);
    assert_eq!(plan.code(), 0);
    assert!(!ran.exists(), "{}", plan.out());
    assert!(plan.out().contains("merge.evil.driver"), "{}", plan.out());
    // The user's own git would run it.
    project.sh("git merge -q main-task-a; git merge -q main-task-b; git merge -q main-task-c || true");
    assert!(ran.exists());
}
