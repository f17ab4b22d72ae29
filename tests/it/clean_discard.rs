//! What goes in time: the trash, and the commits of sessions that were discarded.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use serde_json::Value;

use crate::clean::{RefusedByClap, branches, clean, date, planned, session_of, things, trash, why};
use crate::support::Project;

/// A run of which everything can be wrong.
fn messy(project: &Project) -> String {
    let id = session_of(
        project,
        &[
            ("good", "@write g.txt g"),
            ("failed", "@write f.txt f\n@fail no"),
            ("dirty", "@write d.txt d\n@fail no"),
        ],
        &[],
    );
    fs::write(project.worktree("dirty").join("new.txt"), "uncommitted\n").expect("write a file");
    project.sh("cd ../repo.pleach/main-task-dirty; echo staged >s; git add s");
    project.sh("cd ../repo.pleach/main-task-failed; git checkout -q --detach; echo x >x; git add x; git commit -qm x");
    id
}

fn record_of(project: &Project, id: &str) -> PathBuf {
    project.repo().join(format!(".git/pleach/discarded/{id}.json"))
}

fn pins(project: &Project, id: &str) -> Vec<String> {
    let text = project.git(&["for-each-ref", "--format=%(refname)", &format!("refs/pleach/{id}")]);
    text.lines().map(str::to_owned).collect()
}

/// Sets when a session was discarded, so many days ago.
fn discarded_ago(project: &Project, id: &str, days: i64) {
    let path = record_of(project, id);
    let mut record: Value = serde_json::from_slice(&fs::read(&path).expect("the record")).expect("JSON");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = i64::try_from(now.expect("a time after 1970").as_millis()).expect("a time");
    record["discarded_ms"] = (now - days * 86_400_000 - 1000).into();
    fs::write(path, record.to_string()).expect("write the record");
}

// Fault 12: after six days nothing goes, after eight all, and a clock that was wrong begins anew.
#[test]
fn a_discarded_run_is_gone_and_its_commits_are_kept_for_a_week() {
    let project = Project::new();
    let id = messy(&project);
    let main = project.git(&["rev-parse", "main"]);
    for nobody in [
        &["clean", "-y", "--discard"][..],
        &["clean", "-y", "--all", "--discard"],
    ] {
        project.run(nobody).assert_refused_by_clap();
    }
    let done = clean(&project, &[&id, "--discard"]);
    assert_eq!(
        things(&done),
        [
            "branch main-task-dirty gone",
            "branch main-task-failed gone",
            "branch main-task-good gone",
            "record gone",
            "worktree main-task-dirty gone",
            "worktree main-task-failed gone",
        ],
        "{done:#}"
    );
    assert_eq!(branches(&project), ["main"]);
    assert_eq!(project.git(&["rev-parse", "main"]), main);
    let list = project.git(&["worktree", "list"]);
    assert_eq!(list.lines().count(), 1, "{list}");
    // All of it is there, what was uncommitted too.
    project.git(&["gc", "-q", "--prune=now"]);
    let kept = |file: &str| {
        let has = |pin: &String| {
            let shown = project.command("git").args(["show", &format!("{pin}:{file}")]).output();
            let shown = shown.expect("run git");
            shown
                .status
                .success()
                .then(|| String::from_utf8_lossy(&shown.stdout).into_owned())
        };
        pins(&project, &id).iter().find_map(has)
    };
    for (file, content) in [
        ("g.txt", "g"),
        ("f.txt", "f"),
        ("x", "x"),
        ("d.txt", "d"),
        ("new.txt", "uncommitted"),
        ("s", "staged"),
    ] {
        assert_eq!(kept(file).as_deref().map(str::trim), Some(content), "{file}");
    }
    // After six days nothing goes, after eight all, and a clock that was wrong begins anew.
    let count = pins(&project, &id).len();
    for days in [6, 365, -365] {
        discarded_ago(&project, &id, days);
        clean(&project, &[]);
        assert_eq!(pins(&project, &id).len(), count, "{days}");
    }
    clean(&project, &[]);
    assert_eq!(pins(&project, &id).len(), count);
    discarded_ago(&project, &id, 8);
    let plan = planned(&project, &[]);
    assert!(
        things(&plan).iter().any(|thing| thing.starts_with("discarded ")),
        "{plan:#}"
    );
    assert_eq!(pins(&project, &id).len(), count);
    clean(&project, &[]);
    assert!(pins(&project, &id).is_empty() && !record_of(&project, &id).exists());
}

// Fault 12: the time of the last begins anew.
#[test]
fn the_next_supervisor_lets_go_of_what_is_past_its_time() {
    let project = Project::new();
    let id = messy(&project);
    clean(&project, &[&id, "--discard"]);
    let entries = trash(&project);
    assert_eq!(entries.len(), 3, "{entries:?}");
    date(&entries[0], "25 hours ago");
    date(&entries[1], "23 hours ago");
    date(&entries[2], "1970-01-02");
    discarded_ago(&project, &id, 8);
    project.start(
        &[("later", &format!("@wait {}\n@fail no", project.beside("gate")))],
        &[],
    );
    project.until("the trash is emptied of it", |p| (trash(p).len() == 2).then_some(()));
    project.until("the commits are let go", |p| pins(p, &id).is_empty().then_some(()));
    project.open("gate");
    project.until("the end of all", |p| p.processes().is_empty().then_some(()));
    assert_eq!(trash(&project), entries[1..]);
    assert!(pins(&project, &id).is_empty());
    // The time of the last begins anew.
    let age = fs::metadata(&entries[2])
        .and_then(|m| m.modified())
        .expect("a date")
        .elapsed();
    assert!(age.is_ok_and(|age| age.as_secs() < 3600));
}

#[test]
fn a_record_of_a_discarded_session_that_is_no_record_is_left() {
    let project = Project::new();
    let id = messy(&project);
    clean(&project, &[&id, "--discard"]);
    let count = pins(&project, &id).len();
    for text in [
        "",
        "{\"schema\":2}",
        "{\"schema\":2,\"session_id\":\"00000000-0000-0000-0000-000000000000\",\"discarded_ms\":0,\"results\":\"/\"}",
    ] {
        fs::write(record_of(&project, &id), text).expect("damage it");
        let ran = project.run(&["clean", "-y"]);
        assert!(ran.err().contains("warning:") && ran.err().contains(&id), "{ran:?}");
        assert_eq!(pins(&project, &id).len(), count);
        assert_eq!(fs::read_to_string(record_of(&project, &id)).expect("it is there"), text);
    }
}

#[test]
fn the_trash_is_emptied_of_what_is_pleachs_and_of_nothing_else() {
    // Root may delete what is read-only.
    let project = Project::unprivileged();
    let mine = project.root().join("mine");
    fs::write(&mine, "mine").expect("write a file");
    let make = "@run mkdir -p ro/in; touch ro/in/f; chmod 500 ro/in ro; mkdir none; chmod 0 none; mkdir -p i/target; echo ro >.gitignore; echo none >>.gitignore";
    session_of(&project, &[("old", make), ("young", "@write a a")], &[]);
    let entries = trash(&project);
    assert_eq!(entries.len(), 2, "{entries:?}");
    symlink(&mine, entries[0].join("worktree/link")).expect("make a link");
    symlink(project.root(), entries[0].join("worktree/i-link")).expect("make a link");
    date(&entries[0], "25 hours ago");
    let others = ["notes", "a.b.c"].map(|name| project.worktrees().join(".trash").join(name));
    project.sh("mkdir ../repo.pleach/.trash/notes; ln -s ../../mine ../repo.pleach/.trash/a.b.c; touch -d '9 days ago' ../repo.pleach/.trash/notes");
    let plan = planned(&project, &[]);
    assert!(
        things(&plan).iter().filter(|thing| thing.starts_with("trash ")).count() == 1,
        "{plan:#}"
    );
    clean(&project, &[]);
    assert_eq!(trash(&project).len(), 3, "{:?}", trash(&project));
    // At once, and nothing but the trash.
    let done = clean(&project, &["--empty-trash"]);
    assert_eq!(things(&done).len(), 1, "{done:#}");
    assert!(done["items"][0]["bytes"].as_u64() > Some(0), "{done:#}");
    assert!(others.iter().all(|path| path.symlink_metadata().is_ok()));
    assert_eq!(trash(&project).len(), 2);
    assert_eq!(fs::read_to_string(&mine).expect("it is there"), "mine");
    assert!(branches(&project).contains(&"main-task-old".into()));
}

#[test]
fn what_cannot_be_removed_is_said_and_the_rest_goes() {
    let project = Project::unprivileged();
    session_of(&project, &[("a", "@write a a\n@fail no"), ("b", "@say nothing")], &[]);
    let parent = project.worktrees();
    let all = parent.join(".trash");
    let before = fs::metadata(&all).expect("the trash").permissions();
    fs::set_permissions(&all, Permissions::from_mode(0o500)).expect("close the trash");
    let ran = project.run(&["clean", "-y", "--all"]);
    assert_eq!(ran.code(), 3, "{ran:?}");
    assert!(
        ran.out().contains("FAILED  worktree") && ran.out().contains("gone    branch     main-task-b"),
        "{ran:?}"
    );
    assert!(project.worktree("a").join("a").exists());
    fs::set_permissions(&all, before).expect("open the trash");
    let done = clean(&project, &["--all"]);
    assert!(things(&done).contains(&"worktree main-task-a gone".into()), "{done:#}");
    assert!(!why(&done, "main-task-a").is_empty());
}
