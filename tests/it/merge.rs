//! `pleach merge`: what lands is what `git merge`, typed in a copy, gives, and nothing else of the repository changes.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::clean::branches;
use crate::support::{Project, Ran};

/// A file with eight lines, of which agents change the first or the last.
pub const LINES: &str = "1\n2\n3\n4\n5\n6\n7\n8\n";
const FIRST: &str = "@run sed -i 1s/.*/first/ l.txt";
const LAST: &str = "@run sed -i 8s/.*/last/ l.txt";
const OTHER_FIRST: &str = "@run sed -i 1s/.*/other/ l.txt";

/// A repository with `l.txt`, and a session that has ended in it.
pub fn project_with(tasks: &[(&str, &str)]) -> Project {
    let project = Project::new();
    project.write("l.txt", LINES);
    project.sh("git add -A; git commit -qm lines");
    project.session(tasks, &[]);
    project
}

/// Two that merge, and one that conflicts with the first.
pub const TASKS: [(&str, &str); 3] = [("a", FIRST), ("b", LAST), ("c", OTHER_FIRST)];

/// Merges without being asked.
#[track_caller]
pub fn merge(project: &Project, code: i32, arguments: &[&str]) -> Value {
    let ran = project.run(&[&["merge", "-y", "--json"], arguments].concat());
    assert_eq!(ran.code(), code, "{ran:?}");
    ran.json()
}

pub fn at(project: &Project, revision: &str) -> String {
    project.git(&["rev-parse", revision]).trim().to_owned()
}

#[test]
fn settings_of_merges_count_as_they_do_for_git_merge() {
    let project = Project::new();
    project.write("g", "");
    project.sh("git add -A; git commit -qm base; git config merge.renormalize true");
    let union = "@write .gitattributes * merge=union\\n\n@write g changed 0\\n";
    project.session(&[("b", union)], &[]).assert_exit(0);
    project.write(".gitattributes", "new 2\nq binary\nnew 2\n");
    project.write("g", "changed 0\nnew 2\n");
    project.sh("git add -A; git commit -qm on; cp -a . ../copy");
    let copy = project.root().join("copy");
    project.git_in(&copy, &["merge", "-q", "--no-ff", "--no-edit", "main-task-b"]);
    merge(&project, 0, &[]);
    assert_eq!(
        at(&project, "main^{tree}"),
        project.git_in(&copy, &["rev-parse", "HEAD^{tree}"]).trim()
    );
}

/// The names of what was merged, or left out.
fn names<'a>(doc: &'a Value, key: &str) -> Vec<&'a str> {
    let all = doc[key].as_array().expect("a list").iter();
    all.map(|entry| entry["branch"].as_str().expect("a name")).collect()
}

/// The checkout is as its commit has it.
#[track_caller]
pub fn assert_clean(project: &Project) {
    assert_eq!(project.git(&["status", "--porcelain"]), "");
    project.git(&["fsck", "--no-dangling"]);
}

#[test]
fn what_lands_is_what_git_merge_gives() {
    let project = project_with(&TASKS);
    project.sh("cp -a . ../copy");
    let copy = project.root().join("copy");
    for branch in ["main-task-a", "main-task-b"] {
        project.git_in(&copy, &["merge", "-q", "--no-ff", "--no-edit", branch]);
    }
    let old = at(&project, "main");
    let refs = project.git(&["for-each-ref"]);
    let doc = merge(&project, 1, &[]);
    assert_eq!(names(&doc, "merged"), ["main-task-a", "main-task-b"]);
    assert_eq!(names(&doc, "left_out"), ["main-task-c"]);
    assert_eq!(doc["left_out"][0]["with"][0], "main-task-a");
    assert_eq!(doc["left_out"][0]["paths"][0], "l.txt");
    assert_eq!(
        (&doc["old"], &doc["new"]),
        (&old.clone().into(), &at(&project, "main").into())
    );
    assert_eq!(doc["merged"][1]["commit"], doc["new"]);
    // Tree for tree, parent for parent.
    for revision in ["main^{tree}", "main^^{tree}", "main^2", "main^^2", "main^^^1"] {
        let other = project.git_in(&copy, &["rev-parse", revision]);
        assert_eq!(at(&project, revision), other.trim(), "{revision}");
    }
    assert_eq!(
        project
            .git(&["log", "-1", "--format=%B%an <%ae> %cn <%ce>", "main^"])
            .trim(),
        format!("Merge branch 'main-task-a'\n\n{FIRST}\nTester <tester@example.org> Tester <tester@example.org>")
    );
    assert_clean(&project);
    let rest = |refs: &str| {
        refs.lines()
            .filter(|l| !l.ends_with("refs/heads/main"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(rest(&project.git(&["for-each-ref"])), rest(&refs));
    assert_eq!(
        project.git(&["reflog", "-1", "--format=%gs", "main"]).trim(),
        "pleach merge: Fast-forward"
    );
    // What is in the target is not merged again.
    let again = merge(&project, 1, &[]);
    assert_eq!(again["new"], Value::Null);
    assert_eq!(names(&again, "left_out"), ["main-task-c"]);
}

#[test]
fn a_squash_makes_one_commit_of_each_branch() {
    let two = "@write x.txt 1\n@commit One\n@write y.txt 2\n@commit Two";
    let project = project_with(&[("a", FIRST), ("two", two), ("same", FIRST)]);
    project.sh("cp -a . ../copy");
    let copy = project.root().join("copy");
    for branch in ["main-task-a", "main-task-two"] {
        project.git_in(&copy, &["merge", "-q", "--squash", branch]);
        project.git_in(&copy, &["commit", "-qm", "squashed"]);
    }
    let (old, doc) = (at(&project, "main"), merge(&project, 0, &["--squash"]));
    assert_eq!(
        at(&project, "main^{tree}"),
        project.git_in(&copy, &["rev-parse", "HEAD^{tree}"]).trim()
    );
    let count = project.git(&["rev-list", "--count", "--first-parent", &format!("{old}..main")]);
    // The one that changes nothing any more has no commit of its own.
    assert_eq!(count.trim(), "2", "{doc:#}");
    assert_eq!(project.git(&["rev-list", "--merges", &format!("{old}..main")]), "");
    let session = doc["session_id"].as_str().expect("an id");
    let said = |revision| project.git(&["log", "-1", "--format=%B", revision]).trim().to_owned();
    assert_eq!(
        said("main^"),
        format!("{FIRST}\n\nPleach-Task: a\nPleach-Session: {session}")
    );
    let title = said("main").lines().next().expect("a title").to_owned();
    assert_eq!(
        said("main"),
        format!("{title}\n\n* One\n\n* Two\n\nPleach-Task: two\nPleach-Session: {session}")
    );
    assert_clean(&project);
}

#[test]
fn the_message_says_what_the_user_wants() {
    let project = project_with(&TASKS);
    project
        .run(&["merge", "-y", "--message", "{titel}"])
        .assert_refused(2, &["{titel}", "{title}"]);
    project
        .run(&["merge", "-y", "--message", ""])
        .assert_refused(2, &["empty"]);
    let doc = merge(
        &project,
        0,
        &[
            "--task",
            "b",
            "--message",
            "{task} of {session}: {branch} -> {target}\n\n{title}",
        ],
    );
    let said = project.git(&["log", "-1", "--format=%B"]);
    let session = doc["session_id"].as_str().expect("an id");
    assert_eq!(said.trim(), format!("b of {session}: main-task-b -> main\n\n{LAST}"));
}

#[test]
fn what_git_adds_to_messages_is_added() {
    let project = project_with(&TASKS);
    project.git(&["config", "merge.log", "true"]);
    project.git(&["branch", "other"]);
    merge(&project, 0, &["--task", "b", "--onto", "other"]);
    let said = project.git(&["log", "-1", "--format=%B", "other"]);
    let subject = project.git(&["log", "-1", "--format=%s", "main-task-b"]);
    let expected = format!(
        "Merge branch 'main-task-b' into other\n\n{LAST}\n\n* main-task-b:\n  {}",
        subject.trim()
    );
    assert_eq!(said.trim(), expected);
}

#[test]
fn only_the_tasks_that_are_named() {
    let tasks = [
        ("a", FIRST),
        ("b", LAST),
        ("f", "@write f.txt f\n@fail no"),
        ("d", "@write d.txt d"),
    ];
    for (arguments, expected) in [
        (&[][..], "a b d"),
        (&["--task", "b", "--task", "1"], "a b"),
        (&["--exclude", "a", "--exclude", "d"], "b"),
        (&["--task", "f", "--task", "b"], "b f"),
        (&["--task", "f", "--task", "b", "--exclude", "b"], "f"),
    ] {
        let project = project_with(&tasks);
        let doc = merge(&project, 0, arguments);
        let merged: Vec<&str> = names(&doc, "merged")
            .iter()
            .filter_map(|n| n.strip_prefix("main-task-"))
            .collect();
        assert_eq!(merged.join(" "), expected, "{arguments:?}");
        if arguments.is_empty() {
            project
                .run(&["merge", "-y", "--task", "nobody"])
                .assert_refused(2, &["no task \"nobody\""]);
        }
    }
}

#[test]
fn nothing_to_merge_is_said() {
    let project = project_with(&[("a", "@say nothing")]);
    let old = at(&project, "main");
    let ran = project.run(&["merge", "-y"]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(ran.out().ends_with("  @say nothing\n\nnothing to merge\n"), "{ran:?}");
    assert_eq!(at(&project, "main"), old);
    assert!(!project.repo().join(".git/pleach/merges").exists());
}

#[test]
fn what_is_said_of_it() {
    let project = project_with(&TASKS);
    let old = at(&project, "main");
    let refused = project.run(&["merge"]);
    refused.assert_refused(2, &["nobody can be asked", "-y"]);
    let shown = project.run(&["merge", "--dry-run"]);
    assert_eq!(shown.code(), 1, "{shown:?}");
    let plan = shown.out();
    assert_eq!(at(&project, "main"), old);
    assert!(!project.repo().join(".git/pleach/merge.lock").exists());
    let ran = project.run(&["merge", "-y"]);
    assert_eq!(ran.code(), 1, "{ran:?}");
    let new = at(&project, "main");
    let landed = format!(
        "\nmain: {} -> {}, 2 branches merged, 1 left out\nto take it back: ",
        &old[..7],
        &new[..7]
    );
    assert!(ran.out().starts_with(&format!("{plan}{landed}")), "{ran:?}");
    assert!(
        ran.err().contains("to remove what is merged: ") && ran.err().contains(" --merged"),
        "{ran:?}"
    );
}

/// The target may be checked out in the repository, in another worktree, or nowhere.
#[test]
fn the_checkout_of_the_target_follows_and_no_other() {
    for (place, onto) in [
        ("nowhere", "other"),
        ("linked", "other"),
        ("bare", "main"),
        ("detached", "main"),
    ] {
        let project = project_with(&TASKS);
        match place {
            "nowhere" => project.sh("git branch other"),
            "linked" => project.sh("git worktree add -q -b other ../linked; touch ../linked/mine"),
            "bare" => project.sh("git config core.bare true"),
            _ => project.sh("git checkout -q --detach"),
        };
        let (head, old) = (at(&project, "HEAD"), at(&project, onto));
        let doc = merge(&project, 1, &["--onto", onto]);
        assert_eq!(at(&project, onto), doc["new"].as_str().expect("a commit"), "{place}");
        assert_eq!(at(&project, &format!("{onto}^^1")), old, "{place}");
        let l = fs::read_to_string(project.repo().join("l.txt")).expect("read a file");
        assert_eq!(l, LINES, "{place}");
        if place == "linked" {
            let linked = project.root().join("linked");
            assert_eq!(project.git_in(&linked, &["status", "--porcelain"]), "?? mine\n");
            assert!(
                fs::read_to_string(linked.join("l.txt"))
                    .expect("read")
                    .starts_with("first\n")
            );
        }
        if place != "bare" {
            assert_eq!(at(&project, "HEAD"), head, "{place}");
            assert_clean(&project);
        }
        let logged = project.git(&["reflog", "-1", "--format=%gs", onto]);
        assert!(logged.contains("pleach merge"), "{place}: {logged}");
    }
}

#[test]
fn files_of_the_user_that_are_not_in_the_way_stay_as_they_are() {
    let project = project_with(&TASKS);
    project.write("README.md", "changed\n");
    project.write("staged.txt", "staged\n");
    project.git(&["add", "staged.txt"]);
    project.write("staged.txt", "staged and changed\n");
    project.write("new.txt", "new\n");
    let before = project.git(&["status", "--porcelain"]);
    merge(&project, 1, &[]);
    assert_eq!(project.git(&["status", "--porcelain"]), before);
    assert_eq!(project.show(":staged.txt"), "staged\n");
}

#[test]
fn hooks_and_options_of_the_user_are_not_used_and_that_is_said() {
    let project = project_with(&TASKS);
    let ran = project.root().join("ran");
    for hook in [
        "pre-merge-commit",
        "commit-msg",
        "post-merge",
        "reference-transaction",
        "post-checkout",
        "pre-auto-gc",
    ] {
        let path = project.program("hook", &format!("echo {hook} >>{}; exit 0", ran.display()));
        project.install(Path::new(&path), &project.repo().join(".git/hooks").join(hook));
    }
    project.git(&["config", "branch.main.mergeOptions", "--squash --no-commit"]);
    project.git(&["config", "merge.ff", "false"]);
    project.git(&["config", "merge.verifySignatures", "true"]);
    let doc = merge(&project, 1, &[]);
    let notes = doc["notes"].to_string();
    assert!(
        notes.contains("the hook pre-merge-commit") && notes.contains("branch.main.mergeOptions"),
        "{notes}"
    );
    assert!(!ran.exists(), "{:?}", fs::read_to_string(&ran));
    assert_eq!(at(&project, "main"), doc["new"].as_str().expect("a commit"));
    assert_clean(&project);
}

#[test]
fn what_cannot_be_signed_does_not_land() {
    for (known_before, words) in [
        (true, &["could not be signed", "commit.gpgSign"][..]),
        (
            false,
            &[
                "gpg.program was configured after the session started",
                "git config --unset-all gpg.program",
            ],
        ),
    ] {
        let project = Project::new();
        let ran = project.beside("ran");
        let fails = project.program("fails", &format!("touch {ran}; echo no key >&2; exit 1"));
        let config = project.root().join("gitconfig");
        let text = fs::read_to_string(&config).expect("read gitconfig");
        let signing = format!("{text}[gpg]\nprogram = {fails}\n");
        if known_before {
            fs::write(&config, &signing).expect("write gitconfig");
        }
        project.session(&[("a", "@write a.txt a")], &[]).assert_exit(0);
        fs::write(&config, signing).expect("write gitconfig");
        project.git(&["config", "commit.gpgSign", "true"]);
        let old = at(&project, "main");
        project.run(&["merge", "-y"]).assert_refused(2, words);
        assert_eq!(Path::new(&ran).exists(), known_before);
        assert_eq!(at(&project, "main"), old);
        assert_clean(&project);
    }
}

/// The program of the user's time before the agents signs, each commit that lands and no other.
#[test]
fn each_commit_has_its_signature() {
    for mode in ["--no-ff", "--squash"] {
        let project = Project::new();
        let signed = project.root().join("signed");
        let signs = format!(
            "cat >/dev/null; echo >>{}; printf '\\n[GNUPG:] SIG_CREATED \\n' >&2; \
             echo -----BEGIN PGP SIGNATURE-----; echo x; echo -----END PGP SIGNATURE-----",
            signed.display()
        );
        let signs = project.program("signs", &signs);
        let config = project.root().join("gitconfig");
        let known = fs::read_to_string(&config).expect("read gitconfig");
        let text = format!("{known}[gpg]\nprogram = {signs}\n[commit]\ngpgSign = true\n");
        project.write("l.txt", LINES);
        project.sh("git add -A; git commit -qm lines");
        fs::write(&config, text).expect("write gitconfig");
        project.session(&[TASKS[0], ("bad", "@write bad.txt bad"), TASKS[1]], &[]);
        let _ = fs::remove_file(&signed);
        let doc = merge(&project, 1, &[mode, "--verify", "test ! -f bad.txt"]);
        assert_eq!(names(&doc, "merged"), ["main-task-a", "main-task-b"]);
        for merged in doc["merged"].as_array().expect("a list") {
            let commit = project.git(&["cat-file", "commit", merged["commit"].as_str().expect("a commit")]);
            assert!(commit.contains("\ngpgsig -----BEGIN PGP SIGNATURE-----"), "{commit}");
        }
        let signed = fs::read_to_string(&signed).expect("what was signed");
        assert_eq!(signed.lines().count(), 2, "{mode}");
        assert_eq!(at(&project, "main"), doc["new"].as_str().expect("a commit"));
        assert_clean(&project);
    }
}

#[test]
fn a_session_that_runs_gives_what_is_settled() {
    let project = Project::new();
    let gate = project.beside("gate");
    let tasks = [("a", "@write a.txt a"), ("b", &format!("@write b.txt b\n@wait {gate}"))];
    let session = project.start(&tasks, &["--max-parallel", "2"]);
    project.until("a is settled", |p| {
        let status = p.query(&["status"]);
        (status["tasks"][0]["outcome"] == "succeeded").then_some(())
    });
    let doc = merge(&project, 0, &[]);
    assert_eq!(names(&doc, "merged"), ["main-task-a"]);
    assert!(
        doc["notes"]
            .to_string()
            .contains("is still at work: 1 task of it not settled yet"),
        "{doc:#}"
    );
    project
        .run(&["merge", "-y", "--task", "b"])
        .assert_refused(2, &["task b has no branch"]);
    project.open("gate");
    project.run(&["wait", &session]);
    assert_eq!(names(&merge(&project, 0, &[]), "merged"), ["main-task-b"]);
}

#[test]
fn what_is_merged_goes_with_clean() {
    for squash in [false, true] {
        let project = project_with(&TASKS);
        let mut arguments = vec!["--clean"];
        arguments.extend(squash.then_some("--squash"));
        let head = at(&project, "main-task-a");
        let doc = merge(&project, 1, &arguments);
        assert_eq!(branches(&project), ["main", "main-task-c"], "{doc:#}");
        assert_eq!(doc["cleaned"]["gone"], 2, "{doc:#}");
        // Nothing is lost by it.
        project.git(&["gc", "-q", "--prune=now"]);
        assert_eq!(at(&project, &format!("{head}^{{commit}}")), head);
        assert_eq!(project.query(&["list"])["sessions"].as_array().map(Vec::len), Some(1));
    }
}

#[test]
fn clean_knows_what_a_landing_has_squashed() {
    let project = project_with(&TASKS);
    let unmerged = || crate::clean::planned(&project, &[]);
    let fate = |plan: &Value| crate::clean::things(plan);
    let stays = [
        "branch main-task-a stays",
        "branch main-task-b stays",
        "branch main-task-c stays",
    ];
    assert_eq!(fate(&unmerged()), stays);
    merge(&project, 1, &["--squash"]);
    assert_eq!(
        fate(&unmerged()),
        [
            "branch main-task-a goes",
            "branch main-task-b goes",
            "branch main-task-c stays"
        ]
    );
    // A branch that has gone on is not what was merged.
    project.sh("git switch -q main-task-b; git commit -q --allow-empty -m more; git switch -q main");
    assert_eq!(fate(&unmerged())[1], "branch main-task-b stays");
    // Nor is one whose landing is in the target no more.
    project.git(&["reset", "-q", "--hard", "main^^"]);
    assert_eq!(fate(&unmerged()), stays);
}

#[test]
fn another_merge_is_not_waited_for() {
    let project = project_with(&TASKS);
    let (here, gate) = (project.beside("here"), project.beside("gate"));
    // A filter of the user's that waits, when the checkout is updated.
    let armed = project.beside("armed");
    let script = format!("cat; [ ! -e {armed} ] || {{ touch {here}; while [ ! -e {gate} ]; do sleep 0.02; done; }}");
    let filter = project.program("filter", &script);
    let config = project.root().join("gitconfig");
    let known = fs::read_to_string(&config).expect("read gitconfig");
    let text = format!("{known}[filter \"slow\"]\nsmudge = {filter}\nclean = cat\n");
    fs::write(&config, text).expect("write gitconfig");
    project.write(".git/info/attributes", "l.txt filter=slow\n");
    project.session(&[("x", FIRST)], &["--max-parallel", "1"]);
    project.open("armed");
    let running = project.pleach(&["merge", "-y"]);
    project.await_file("here");
    let refused: Ran = project.run(&["merge", "-y"]);
    assert_eq!(refused.code(), 3, "{refused:?}");
    assert!(refused.err().contains("is merging or undoing"), "{refused:?}");
    project
        .run(&["undo", "-y"])
        .assert_refused(3, &["is merging or undoing"]);
    project.open("gate");
    let ended = running.recv_timeout(crate::support::PATIENCE).expect("it ends");
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}
