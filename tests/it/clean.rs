//! Cleaning up after sessions: what goes, what stays whatever is asked for, and that nothing is lost by it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Project, Ran, Terminal};

/// The things of a plan, or what became of them, as `kind name state`.
pub fn things(json: &Value) -> Vec<String> {
    let items = json["items"].as_array().expect("items");
    let mut things: Vec<String> = items
        .iter()
        .map(|item| {
            let path = item["path"].as_str().map(|p| p.rsplit('/').next().unwrap_or_default());
            let name = item["branch"].as_str().or(path).unwrap_or_default();
            let name = if item["kind"] == "record" { "" } else { name };
            let words = [
                item["kind"].as_str().unwrap_or_default(),
                name,
                item["state"].as_str().unwrap_or_default(),
            ];
            words
                .iter()
                .filter(|w| !w.is_empty())
                .copied()
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    things.sort();
    things
}

/// Why something stays, or goes.
#[track_caller]
pub fn why<'a>(json: &'a Value, name: &str) -> &'a str {
    let items = json["items"].as_array().expect("items");
    let found = items.iter().find(|item| {
        let path = item["path"].as_str().unwrap_or_default();
        item["branch"] == name || path.ends_with(name)
    });
    found.unwrap_or_else(|| panic!("no {name} in {json:#}"))["why"]
        .as_str()
        .expect("a reason")
}

/// Cleans without being asked.
#[track_caller]
pub fn clean(project: &Project, arguments: &[&str]) -> Value {
    let ran = project.run(&[&["clean", "-y", "--json"], arguments].concat());
    assert_eq!(ran.code(), 0, "{ran:?}");
    ran.json()
}

pub fn planned(project: &Project, arguments: &[&str]) -> Value {
    let ran = project.run(&[&["clean", "--dry-run", "--json"], arguments].concat());
    assert_eq!(ran.code(), 0, "{ran:?}");
    ran.json()
}

pub fn trash(project: &Project) -> Vec<PathBuf> {
    let entries = fs::read_dir(project.worktrees().join(".trash"))
        .into_iter()
        .flatten()
        .flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    found.sort();
    found
}

pub fn branches(project: &Project) -> Vec<String> {
    let text = project.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads"]);
    text.lines().map(str::to_owned).collect()
}

pub fn session_of(project: &Project, tasks: &[(&str, &str)], options: &[&str]) -> String {
    let ended = project.session(tasks, options);
    ended.status["session_id"].as_str().expect("an id").to_owned()
}

#[test]
fn without_arguments_what_is_merged_goes_and_all_else_stays() {
    let project = Project::new();
    let tasks = [
        ("merged", "@write m.txt m\n@fail but merged by hand"),
        ("empty", "@say nothing to do"),
        ("open", "@write o.txt o"),
        ("failed", "@write f.txt f\n@fail no"),
    ];
    let id = session_of(&project, &tasks, &[]);
    project.git(&["merge", "-q", "--no-edit", "main-task-merged"]);
    let expected = |state: &str| {
        vec![
            format!("branch main-task-empty {state}"),
            "branch main-task-failed stays".into(),
            format!("branch main-task-merged {state}"),
            "branch main-task-open stays".into(),
            "worktree main-task-failed stays".into(),
            format!("worktree main-task-merged {state}"),
        ]
    };
    let before = project.git(&["for-each-ref"]);
    let plan = planned(&project, &[]);
    assert_eq!(things(&plan), expected("goes"), "{plan:#}");
    assert_eq!(why(&plan, "main-task-open"), "1 commit of it is not merged");
    assert_eq!(why(&plan, "main-task-merged"), "all of it is committed");
    assert_eq!(project.git(&["for-each-ref"]), before);
    assert!(project.worktree("merged").exists());

    let done = clean(&project, &[]);
    assert_eq!(things(&done), expected("gone"), "{done:#}");
    assert_eq!(branches(&project), ["main", "main-task-failed", "main-task-open"]);
    assert!(!project.worktree("merged").exists() && project.worktree("failed").join("f.txt").exists());
    assert_eq!(project.query(&["status", &id])["session_id"], id.as_str());
    assert_eq!(project.query(&["status"])["tasks"][0]["worktree"], Value::Null);
    // What was committed is in the trash too, and stays pinned.
    assert!(
        project
            .show(&format!("refs/pleach/{id}/merged/head:m.txt"))
            .starts_with('m')
    );
    assert!(!project.git(&["worktree", "list"]).contains("main-task-merged"));
    // Then there is nothing left to do.
    let again = project.run(&["clean", "-y"]);
    assert!(again.out().ends_with("nothing to remove\n"), "{again:?}");
    project.git(&["fsck", "--full", "--strict"]);
}

#[test]
fn a_session_goes_whole_once_all_of_it_is_on_a_branch_that_stays() {
    let project = Project::new();
    let tasks = [("one", "@write a.txt a"), ("two", "@write b.txt b\n@fail no")];
    let id = session_of(&project, &tasks, &[]);
    project.git(&["merge", "-q", "--no-edit", "main-task-one"]);
    // Not by itself: the second is not merged.
    let done = clean(&project, &["--all"]);
    assert_eq!(
        things(&done),
        [
            "branch main-task-one gone",
            "branch main-task-two stays",
            "record stays",
            "worktree main-task-two gone",
        ]
    );
    project.git(&["merge", "-q", "--no-edit", "main-task-two"]);
    // A commit that only a ref of ours has keeps the record, and with it the ref.
    let lost = project.git(&["commit-tree", "-m", "lost", "main^{tree}"]);
    let pin = format!("refs/pleach/{id}/one/left/1");
    project.git(&["update-ref", &pin, lost.trim()]);
    let done = clean(&project, &[&id[..8]]);
    assert_eq!(things(&done), ["branch main-task-two gone", "record stays"]);
    assert!(
        why(&done, &format!("session-{id}")).contains("1 commit of it is on no branch"),
        "{done:#}"
    );
    project.git(&["update-ref", "-d", &pin]);
    assert_eq!(things(&clean(&project, &[&id])), ["record gone"]);
    assert_eq!(project.git(&["for-each-ref", "refs/pleach"]), "");
    assert!(
        project.query(&["list"])["sessions"]
            .as_array()
            .expect("a list")
            .is_empty()
    );
    let results = project.repo().join(".git/pleach/results");
    assert_eq!(fs::read_dir(results).expect("the results").count(), 0);
}

#[test]
fn it_asks_on_a_terminal_and_no_answer_is_no() {
    let project = Project::new();
    session_of(&project, &[("a", "@write a.txt a\n@fail no")], &[]);
    for arguments in [&["clean"][..], &["clean", "--all"], &["clean", "--empty-trash"]] {
        project
            .run(arguments)
            .assert_refused(2, &["nobody can be asked", "-y", "--dry-run"]);
    }
    assert!(project.worktree("a").exists());
    for (answer, goes) in [("n", false), ("", false), ("yes please", false), ("y", true)] {
        let terminal = Terminal::start(&project.pleach_command(&["clean", "--all"]), (120, 30));
        terminal.until_shown("Remove these? [y/N]");
        terminal.send(&format!("{answer}\r"));
        let left = terminal.end();
        assert_eq!(left.code, 0, "{left:?}");
        assert_eq!(project.worktree("a").exists(), !goes, "{answer}: {}", left.text);
        assert_eq!(left.text.contains("nothing was removed"), !goes, "{}", left.text);
    }
}

// Fault 48: between the question and the answer the user goes on working.
#[test]
fn what_changed_since_it_was_shown_stays() {
    let project = Project::new();
    let tasks = [
        ("file", "@write a.txt a\n@fail no"),
        ("commit", "@write b.txt b\n@fail no"),
        ("still", "@write c.txt c\n@fail no"),
        ("branch", "@say nothing"),
        ("used", "@say nothing"),
    ];
    session_of(&project, &tasks, &[]);
    let terminal = Terminal::start(&project.pleach_command(&["clean", "--all"]), (120, 40));
    terminal.until_shown("[y/N]");
    fs::write(project.worktree("file").join("new.txt"), "mine").expect("write a file");
    project.sh("cd ../repo.pleach/main-task-commit; echo x >x; git add x; git commit -qm mine");
    project.sh("git branch -qf main-task-branch $(git commit-tree -p main -m new main^{tree})");
    project.sh("git worktree add -q ../used main-task-used");
    terminal.send("y\r");
    let left = terminal.end();
    assert_eq!(left.code, 0, "{left:?}");
    for (id, stays) in [("file", true), ("commit", true), ("still", false)] {
        assert_eq!(project.worktree(id).exists(), stays, "{id}: {}", left.text);
    }
    let text = left.text.replace('\n', " ");
    for part in ["uncommitted files: new.txt", "has changed since", "checked out in"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for name in ["branch", "used", "file", "commit"] {
        assert!(branches(&project).contains(&format!("main-task-{name}")), "{name}");
    }
}

// Fault 34: what git ignores is named with its size before it goes, and is in the trash then.
#[test]
fn ignored_files_are_named_and_survive_in_the_trash() {
    let project = Project::new();
    project.write(".gitignore", "*.bin\n.env\ntarget/\n");
    project.git(&["add", "."]);
    project.git(&["commit", "-qm", "ignore"]);
    let make = "@run echo secret >.env; truncate -s 10G big.bin; echo x >y.bin; mkdir target; echo t >target/t; chmod 0 target/t";
    session_of(&project, &[("a", &format!("{make}\n@write a.txt a\n@fail no"))], &[]);
    let plan = planned(&project, &["--all"]);
    let ignored = &plan["items"][0]["ignored"];
    assert_eq!(ignored["entries"], 4, "{plan:#}");
    assert_eq!(ignored["largest"][0], "big.bin");
    assert!(ignored["bytes"].as_u64() >= Some(10 << 30), "{ignored}");
    assert!(ignored["disk_bytes"].as_u64() < Some(1 << 20), "{ignored}");
    let text = project.run(&["clean", "--all", "--dry-run"]).out();
    assert!(
        text.contains("10 GiB") && text.contains("big.bin") && text.contains("and 1 more"),
        "{text}"
    );
    clean(&project, &["--all"]);
    let kept = trash(&project).remove(0).join("worktree");
    assert_eq!(fs::read_to_string(kept.join(".env")).expect("it is there"), "secret\n");
    assert_eq!(fs::metadata(kept.join("big.bin")).expect("it is there").len(), 10 << 30);
}

// Fault 48: what is only ignored goes to the trash, what is detached is pinned, what is unmerged or uncommitted stays.
#[test]
fn work_that_nothing_else_keeps_stays_or_is_kept_first() {
    let project = Project::new();
    let id = session_of(
        &project,
        &[
            ("detached", "@write a.txt a\n@fail no"),
            ("dirty", "@write a.txt a\n@fail no"),
            ("staged", "@write a.txt a\n@fail no"),
            ("nested", "@write a.txt a\n@fail no"),
            ("merging", "@write a.txt a\n@fail no"),
            ("locked", "@write a.txt a\n@fail no"),
            ("rewound", "@write a.txt a\n@fail no"),
        ],
        &[],
    );
    project.sh(
        "cd ../repo.pleach
         (cd main-task-detached; git checkout -q --detach; echo d >d; git add d; git commit -qm d)
         echo more >>main-task-dirty/a.txt
         (cd main-task-staged; echo s >s; git add -f s; rm s)
         git init -q main-task-nested/in; echo n >main-task-nested/in/n
         (cd main-task-merging; echo m >m; git add m; git commit -qm m; git merge -q --no-commit --no-ff main-task-dirty || :)
         git -C main-task-locked worktree lock .
         (cd main-task-rewound; echo r >r; git add r; git commit -qm r; git reset -q --hard HEAD~)",
    );
    let tips = |name: &str| {
        project.git(&[
            "-C",
            project.worktree(name).to_str().expect("UTF-8"),
            "rev-parse",
            "HEAD",
        ])
    };
    let detached = tips("detached");
    let rewound = project.sh("cd ../repo.pleach/main-task-rewound; git rev-parse HEAD@{1}");
    let done = clean(&project, &["--all"]);
    for (name, state) in [
        ("detached", "gone"),
        ("dirty", "stays"),
        ("staged", "stays"),
        ("nested", "stays"),
        ("merging", "stays"),
        ("locked", "stays"),
        ("rewound", "gone"),
    ] {
        let thing = format!("worktree main-task-{name} {state}");
        assert!(things(&done).contains(&thing), "{thing}: {done:#}");
        assert!(
            things(&done).contains(&format!("branch main-task-{name} stays")),
            "{name}: {done:#}"
        );
    }
    let pinned = project.git(&["for-each-ref", "--format=%(objectname)", &format!("refs/pleach/{id}")]);
    assert!(
        pinned.contains(detached.trim()) && pinned.contains(rewound.trim()),
        "{pinned}"
    );
    // An unmerged branch goes when that is said, of a session that is named, and its commits are kept.
    project.run(&["clean", "-y", "--unmerged"]).assert_refused_by_clap();
    project
        .run(&["clean", "-y", "--all", "--unmerged"])
        .assert_refused_by_clap();
    let done = clean(&project, &[&id, "--unmerged"]);
    assert!(
        things(&done).contains(&"branch main-task-detached gone".into()),
        "{done:#}"
    );
    assert!(
        things(&done).contains(&"branch main-task-dirty stays".into()),
        "{done:#}"
    );
    assert!(things(&done).contains(&"record stays".into()), "{done:#}");
    project.git(&["gc", "-q", "--prune=now"]);
    assert_eq!(project.show(&format!("{}:d", detached.trim())), "d\n");
    assert_eq!(project.show(&format!("{}:r", rewound.trim())), "r\n");
}

/// What clap refuses.
pub trait RefusedByClap {
    fn assert_refused_by_clap(&self);
}

impl RefusedByClap for Ran {
    #[track_caller]
    fn assert_refused_by_clap(&self) {
        assert_eq!(self.code(), 2, "{self:?}");
        assert!(self.err().contains("--help"), "{self:?}");
    }
}

#[test]
fn a_branch_that_is_checked_out_or_of_another_session_stays() {
    let project = Project::new();
    let tasks = [("a", "@say nothing"), ("b", "@say nothing")];
    let old = session_of(&project, &tasks, &[]);
    // The user is on one of them, and has another session use the other name again.
    project.git(&["checkout", "-q", "main-task-a"]);
    project.git(&["branch", "-q", "-D", "main-task-b"]);
    project.git(&["checkout", "-q", "main"]);
    let gate = project.beside("gate");
    let new = project.start(&[("b", &format!("@wait {gate}"))], &[]);
    project.until_it_runs(&new);
    project.git(&["checkout", "-q", "main-task-a"]);
    let done = clean(&project, &[&old]);
    assert_eq!(things(&done), ["branch main-task-a stays", "record stays"], "{done:#}");
    assert!(why(&done, "main-task-a").contains("checked out in"), "{done:#}");
    assert!(project.worktree("b").exists() && branches(&project).contains(&"main-task-b".into()));
    project.open("gate");
    project.run(&["wait"]);
}

#[test]
fn sessions_by_age_and_those_that_cannot_be_read() {
    let project = Project::new();
    let id = session_of(&project, &[("a", "@write a.txt a\n@fail no")], &[]);
    assert_eq!(things(&planned(&project, &["--all", "--older-than", "7d"])), [""; 0]);
    assert_eq!(things(&planned(&project, &["--all", "--older-than", "0"])).len(), 3);
    project.run(&["clean", "--older-than", "1w"]).assert_refused_by_clap();
    let spec = project.session_dir().join("session.json");
    fs::write(&spec, "{").expect("damage it");
    let done = clean(&project, &["--all"]);
    assert_eq!(things(&done), ["record stays"]);
    assert!(
        why(&done, &format!("session-{id}")).contains("cannot be read"),
        "{done:#}"
    );
    assert!(project.worktree("a").exists() && spec.exists());
    project.run(&["clean", "-y", &id]).assert_refused(3, &["session.json"]);
}

/// Makes it look as if something had been put there at another time.
pub fn date(path: &Path, when: &str) {
    let touched = std::process::Command::new("touch")
        .arg("-d")
        .arg(when)
        .arg(path)
        .status();
    assert!(touched.expect("run touch").success());
}
