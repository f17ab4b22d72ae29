//! What tasks have changed: `pleach diff` shows what git shows, in the user's pager, and runs nothing that an agent
//! planted.

use std::fs;

use serde_json::{Value, json};

use crate::support::{CTRL_C, Project, Ran, Terminal};

/// Tasks that change a file in two ways, one that renames, and one that changes nothing.
const TASKS: [(&str, &str); 4] = [
    (
        "a",
        "@run seq 1 9 >n.txt; printf '\\0\\1' >bin\n@commit first\n@append n.txt ten\\n",
    ),
    ("b", "@run seq 1 8 >n.txt\n@delete README.md"),
    (
        "moves",
        "@run git mv long.txt 'new name.txt'\n@append long.txt.notes x\\n",
    ),
    ("idle", "@say nothing"),
];

/// A repository with a file that is long enough to be known again.
fn project() -> Project {
    let project = Project::new();
    project.sh("seq 1 40 >long.txt; git add .; git commit -qm long");
    project
}

fn id(status: &Value) -> String {
    status["session_id"].as_str().expect("an id").to_owned()
}

/// The task of a document.
fn of<'a>(document: &'a Value, id: &str) -> &'a Value {
    let tasks = document["tasks"].as_array().expect("tasks");
    tasks.iter().find(|t| t["id"] == id).expect("the task")
}

#[test]
fn it_is_what_git_shows_against_the_commit_that_the_task_started_from() {
    let project = project();
    let base = project.git(&["rev-parse", "main"]);
    let session = id(&project.session(&TASKS, &[]).status);
    // The branch that it started from goes on, and the user's configuration counts.
    project.sh("seq 1 3 >n.txt; git add .; git commit -qm more; git config --global diff.noPrefix true");
    for (task, format) in [
        ("a", "--patch"),
        ("a", "--stat"),
        ("a", "--name-only"),
        ("moves", "--patch"),
        ("moves", "--stat"),
        ("b", "--patch"),
    ] {
        let branch = format!("main-task-{task}");
        let by_git = project.git(&["diff", "-M", format, base.trim(), &branch]);
        let ran = project.run(&["diff", &session, task, format]);
        assert_eq!((ran.code(), ran.err().as_str()), (0, ""), "{ran:?}");
        assert_eq!(ran.out(), by_git, "{task} {format}");
        assert!(!by_git.is_empty());
    }
    assert!(
        project
            .run(&["diff", &session, "moves"])
            .out()
            .contains("rename to new name.txt")
    );
    let idle = project.run(&["diff", &session, "idle"]);
    assert_eq!((idle.code(), idle.out().as_str()), (0, ""));
    assert_eq!(idle.err(), "idle: changed nothing\n");
    // Two tasks: the lines of the one that is named have a plus.
    let against = project.run(&["diff", &session, "a", "--against", "b"]);
    assert_eq!(
        against.out(),
        project.git(&["diff", "-M", "main-task-b", "main-task-a"])
    );
    assert!(against.out().contains("\n+ten\n"), "{against:?}");
    let same = project.run(&["diff", &session, "a", "--against", "1"]);
    assert_eq!((same.code(), same.out().as_str()), (0, ""), "{same:?}");
    // One that is named alone is not taken for a session.
    project
        .run(&["diff", "moves"])
        .assert_refused(2, &[&format!("pleach diff {} moves", &session[..8])]);
}

#[test]
fn all_tasks_come_one_after_the_other() {
    let project = project();
    let session = id(&project.session(&TASKS, &[]).status);
    let ran = project.run(&["diff"]);
    assert_eq!(ran.code(), 0);
    let out = ran.out();
    let mut rest = out.as_str();
    for part in [
        "━━ 1  ",
        "main-task-a  2 commits, 2 files, +10 -0",
        " n.txt |  10 ",
        "━━ 2  ",
        " README.md | 1 -",
        "━━ 3  ",
        "long.txt => new name.txt",
        "━━ 4  ",
        "main-task-idle  changed nothing",
    ] {
        let at = rest
            .find(part)
            .unwrap_or_else(|| panic!("{part:?} does not follow in {out}"));
        rest = &rest[at + part.len()..];
    }
    assert!(!out.contains("@@"), "{out}");
    // Whole, it can be applied: headings are no part of a patch.
    let patch = project.run(&["diff", &session, "--patch"]).out();
    assert_eq!(patch.matches("\n@@").count(), 4, "{patch}");
    assert!(!patch.contains('\x1b'), "{patch}");
}

#[test]
fn the_files_as_json() {
    let project = project();
    let ended = project.session(&TASKS, &[]);
    let document = project.query(&["diff"]);
    assert_eq!(document["session_id"], ended.status["session_id"]);
    assert_eq!(document["against"], Value::Null);
    for task in document["tasks"].as_array().expect("tasks") {
        let status = ended.task(task["id"].as_str().expect("an id"));
        for name in [
            "branch",
            "base",
            "head",
            "commits",
            "files_changed",
            "insertions",
            "deletions",
        ] {
            assert_eq!(task[name], status[name], "{name}");
        }
        assert_eq!(task["source"], "branch");
    }
    let file = |path: &str, status: &str, plus: Value, minus: Value| json!({ "path": path, "old_path": null, "status": status, "insertions": plus, "deletions": minus });
    assert_eq!(
        of(&document, "a")["files"],
        json!([
            file("bin", "added", Value::Null, Value::Null),
            file("n.txt", "added", json!(10), json!(0))
        ])
    );
    assert_eq!(
        of(&document, "b")["files"][0],
        file("README.md", "deleted", json!(0), json!(1))
    );
    let moved = &of(&document, "moves")["files"][1];
    assert_eq!(moved["path"], "new name.txt");
    assert_eq!(
        (&moved["old_path"], &moved["status"]),
        (&json!("long.txt"), &json!("renamed"))
    );
    assert_eq!(of(&document, "idle")["files"], json!([]));
    let session = id(&ended.status);
    let against = project.query(&["diff", &session, "a", "--against", "b"]);
    assert_eq!(against["against"], "b");
    assert_eq!(against["tasks"][0]["base"], ended.task("b")["head"]);
    // `results` has the same files.
    for task in document["tasks"].as_array().expect("tasks") {
        assert_eq!(
            ended.result(task["id"].as_str().expect("an id"))["files"],
            task["files"]
        );
    }
}

#[test]
fn of_a_branch_that_is_gone_the_kept_work_is_shown() {
    let project = project();
    let session = id(&project.session(&TASKS, &[]).status);
    let before = project.run(&["diff", &session, "a"]).out();
    project.git(&["branch", "-D", "main-task-a"]);
    let ran = project.run(&["diff", &session, "a"]);
    assert_eq!((ran.code(), ran.out()), (0, before));
    assert!(ran.err().contains("main-task-a is gone"), "{ran:?}");
    assert_eq!(project.query(&["diff", &session, "a"])["tasks"][0]["source"], "kept");
}

#[test]
fn of_a_running_task_its_last_snapshot_is_shown() {
    let project = Project::new();
    let (here, gate) = (project.beside("here"), project.beside("gate"));
    let works =
        format!("@write part.txt half\n@touch {here}\n@wait {gate}\n@run git add -A; git commit -qm more; sleep 60");
    let tasks = [("works", &*works), ("waits", "@say never")];
    let session = project.start(&tasks, &["--max-parallel", "1", "--snapshot-every", "100ms"]);
    project.await_file("here");
    let snapshot = |project: &Project| {
        let ran = project.run(&["diff", &session, "works"]);
        assert_eq!(ran.code(), 0, "{ran:?}");
        ran.out().contains("+half").then_some(ran)
    };
    let ran = project.until("a snapshot", snapshot);
    assert!(
        ran.err()
            .contains("works is not settled yet: this is what was in its worktree at"),
        "{ran:?}"
    );
    let waits = project.run(&["diff", &session, "waits"]);
    assert_eq!((waits.code(), waits.err().as_str()), (0, "waits: no work yet\n"));
    project
        .run(&["diff", &session, "works", "--against", "waits"])
        .assert_refused(2, &["waits has no work yet", "pleach status"]);
    project.open("gate");
    project.until("the commit", |project| {
        let task = project.query(&["diff", &session, "works"])["tasks"][0].clone();
        let tip = project.git(&["rev-parse", "main-task-works"]);
        (task["head"] == tip.trim() && task["commits"] == 1).then_some(())
    });
    project.run(&["stop", "--now"]);
}

#[test]
fn what_it_cannot_show_is_refused() {
    let project = project();
    let session = id(&project.session(&[("a", "@say hi")], &["--no-worktree"]).status);
    project
        .run(&["diff", &session])
        .assert_refused(2, &["without worktrees", "cd "]);
    let usage = project.run(&["diff", "--against", "a"]);
    assert_eq!(usage.code(), 2, "{usage:?}");
}

/// A pager that says what it got: the first line marks it, so that a screen shows who printed.
fn with_pager(project: &Project, script: &str) {
    let pager = project.program("pager", script);
    project.git(&["config", "--global", "core.pager", &pager]);
}

#[test]
fn on_a_terminal_the_pager_of_the_user_shows_all_of_it() {
    let project = project();
    with_pager(&project, "echo PAGED; cat; echo END");
    let session = id(&project.session(&TASKS, &[]).status);
    let show = |project: &Project, arguments: &[&str]| {
        Terminal::start(&project.pleach_command(&[&["diff"], arguments].concat()), (90, 60)).end()
    };
    let all = show(&project, &[]);
    assert_eq!(all.code, 0);
    assert_eq!(
        (all.text.matches("PAGED").count(), all.text.matches("END").count()),
        (1, 1),
        "{}",
        all.text
    );
    for part in ["━━ 1  ", "━━ 4  ", "n.txt"] {
        assert!(all.text.contains(part), "{}", all.text);
    }
    let one = show(&project, &[&session, "a"]);
    // In colours, as git has them on a terminal.
    assert!(
        one.text.contains("PAGED") && one.raw.contains("\x1b[32m+"),
        "{}",
        one.raw
    );
    // What `git diff` itself would do.
    for (setting, paged) in [
        ("false", false),
        ("cat", false),
        ("no-such-pager", false),
        ("true", true),
        ("echo OTHER; cat", true),
    ] {
        let mut project = Project::new();
        with_pager(&project, "echo PAGED; cat");
        project.git(&["config", "--global", "pager.diff", setting]);
        project.session(&[("b", "@write b.txt b")], &[]);
        let by_git = Terminal::start(project.command("git").args(["diff", "main", "main-task-b"]), (90, 60)).end();
        let ours = show(&project, &[]);
        let pagers = |text: &str| ["PAGED", "OTHER"].map(|word| text.contains(word));
        assert_eq!(pagers(&ours.text), pagers(&by_git.text), "{setting}: {}", ours.text);
        assert_eq!(pagers(&ours.text).contains(&true), paged, "{setting}");
        assert!(ours.text.contains("+b"), "{setting}: {}", ours.text);
        project.set("GIT_PAGER", "echo NAMED; cat");
        let named = show(&project, &[]).text.contains("NAMED");
        assert_eq!(named, setting != "false", "{setting}");
    }
}

#[test]
fn a_pager_may_end_early_and_gets_the_interrupts() {
    let project = Project::new();
    with_pager(&project, "head -n 1");
    let much = project.session(&[("much", "@run seq 1 200000 >much.txt")], &[]);
    let session = id(&much.status);
    let arguments = ["diff", &session, "much"];
    let left = Terminal::start(&project.pleach_command(&arguments), (90, 10)).end();
    assert_eq!(left.code, 0, "{}", left.text);
    let gone = project.shell("\"$PLEACH\" diff --patch | head -n 1; exit 0");
    assert_eq!(crate::support::ran(&mut { gone }).err(), "");

    // As with git, Ctrl-C is for the pager: pleach waits for it.
    let (got, gate) = (project.beside("got"), project.beside("gate"));
    let script = format!(
        "trap 'touch {got}' INT\necho READY\nuntil [ -e {gate} ]; do sleep 0.05; done\ncat >/dev/null\necho END"
    );
    let mut project = project;
    let pager = project.program("waiting-pager", &script);
    project.set("GIT_PAGER", &pager);
    let terminal = Terminal::start(&project.pleach_command(&arguments), (90, 10));
    terminal.until_shown("READY");
    terminal.send(CTRL_C);
    project.await_file("got");
    project.open("gate");
    let left = terminal.end();
    // git had more to print, and was ended by it.
    assert_eq!(left.code, 130, "{}", left.text);
    assert!(left.text.contains("END"), "{}", left.text);
}

/// Every way to have `git diff` run a program, as commands of the shell; CMD is the program.
const PROGRAMS: [(&str, &str); 6] = [
    ("core.pager", "git config core.pager CMD"),
    ("pager.diff", "git config pager.diff CMD"),
    ("diff.external", "git config diff.external CMD"),
    ("diff.e.command", "git config diff.e.command CMD"),
    ("diff.e.textconv", "git config diff.e.textconv CMD"),
    ("diff.e.textconv", "git config --global diff.e.textconv CMD"),
];

/// Shows the work of the newest session on a terminal.
fn shown(project: &Project) -> String {
    let command = project.pleach_command(&["diff", "--patch"]);
    let left = Terminal::start(&command, (120, 60)).end();
    assert_eq!(left.code, 0, "{}", left.text);
    left.text
}

// Fault 28: programs that show diffs are planted.
#[test]
fn nothing_that_an_agent_plants_is_run_to_show_its_work() {
    for (setting, plant) in PROGRAMS {
        let mut project = Project::new();
        project.set("PAGER", "cat");
        let ran = project.beside("ran");
        let program = project.program("program", &format!("touch {ran}; [ $# -gt 1 ] || cat \"$@\""));
        let plant = plant.replace("CMD", &program);
        let prompt = format!("@write x.e agent\n@run echo '*.e diff=e' >.gitattributes; {plant}");
        let ended = project.session(&[("a", &*prompt)], &[]);
        ended.assert_exit(0);
        let text = shown(&project);
        assert!(text.contains("+agent"), "{setting}: {text}");
        assert!(text.contains("not used") && text.contains(setting), "{setting}: {text}");
        assert!(!project.root().join("ran").exists(), "{setting}: it was run");
        // The plan has no use for it, and says nothing.
        let plan: Ran = project.run(&["plan"]);
        assert!(!plan.out().contains(setting), "{plan:?}");
        // The user's own git would run it.
        project.git(&["checkout", "-q", "main-task-a"]);
        Terminal::start(project.command("git").args(["diff", "main"]), (120, 60)).end();
        assert!(
            project.root().join("ran").exists(),
            "{setting}: the trap does not work at all"
        );
    }
}

#[test]
fn what_was_configured_before_the_session_is_used() {
    let project = Project::new();
    let converter = project.program("converter", "tr a-z A-Z <\"$1\"");
    let differ = project.program("differ", "echo DIFFER $1");
    project.git(&["config", "diff.up.textconv", &converter]);
    project.git(&["config", "--global", "diff.own.command", &differ]);
    let prompt = "@write x.up loud\n@write y.own y\n@run printf '*.up diff=up\\n*.own diff=own\\n' >.gitattributes";
    project.session(&[("a", prompt)], &[]).assert_exit(0);
    let ran = project.run(&["diff"]);
    assert_eq!(ran.err(), "");
    assert!(
        ran.out().contains("+LOUD") && ran.out().contains("DIFFER y.own"),
        "{ran:?}"
    );
    // One of the two kinds is planted since: then none of that kind is used.
    project.git(&["config", "diff.late.textconv", &converter]);
    let ran = project.run(&["diff"]);
    assert!(
        ran.out().contains("+loud") && ran.out().contains("DIFFER y.own"),
        "{ran:?}"
    );
    assert!(ran.err().contains("diff.late.textconv"), "{ran:?}");
}

// Fault 28: what has another value than at the start is planted, too, and of sessions of version 0.1.0 nothing is known.
#[test]
fn only_what_stands_in_the_record_is_used() {
    let project = Project::new();
    with_pager(&project, "echo PAGED; cat");
    let (ran, record) = (project.root().join("ran"), |project: &Project| {
        project.session_dir().join("journal.jsonl")
    });
    let other = project.program("other", &format!("touch {}; cat", ran.display()));
    let plant = format!("@write x x\n@run git config core.pager {other}");
    project.session(&[("a", &*plant)], &[]);
    let first = &project.events("session_started")[0];
    assert_eq!(first["filters"]["core.pager"], project.beside("pager"), "{first}");
    assert!(shown(&project).contains("core.pager"));
    project.git(&["config", "--unset", "core.pager"]);
    assert!(shown(&project).contains("PAGED"));
    // As an earlier version would have written it down.
    let journal = fs::read_to_string(record(&project)).expect("read the journal");
    let setting = format!("\"core.pager\":\"{}\"", project.beside("pager"));
    assert!(journal.contains(&setting), "{journal}");
    fs::write(record(&project), journal.replace(&setting, "")).expect("write the journal");
    let text = shown(&project);
    assert!(text.contains("not used") && !text.contains("PAGED"), "{text}");
    // There is a way to have it all the same.
    assert!(text.contains("GIT_PAGER"), "{text}");
    assert!(!ran.exists());
}
