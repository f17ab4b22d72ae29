//! Completions, asked for by the shells themselves, and the pages of the manual, read by the program that shows them.

use std::fs;
use std::process::Command;

use crate::support::{Project, ran, skipped};

/// A project with a session of two tasks, and the id of the session.
fn project() -> (Project, String) {
    let mut project = Project::new();
    let programs = project.root().join("bin");
    project.install(env!("CARGO_BIN_EXE_pleach").as_ref(), &programs.join("pleach"));
    let path = std::env::var("PATH").expect("a path");
    project.set("PATH", &format!("{}:{path}", programs.display()));
    let session = project.start(&[("login", "@say hi"), ("logout", "@say hi"), ("cart", "@say hi")], &[]);
    assert_eq!(project.run(&["wait"]).code(), 0);
    (project, session)
}

fn is_there(project: &Project, shell: &str) -> bool {
    let found = project.command(shell).arg("--version").output().is_ok();
    if !found {
        skipped(&format!("{shell} is not installed"));
    }
    found
}

/// What bash proposes for the last of these words.
fn bash(project: &Project, words: &[&str]) -> Vec<String> {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let (last, index) = (quoted.last().expect("a word"), words.len() - 1);
    let line = format!(
        "set -e; source <(pleach completions bash); complete -p pleach >&2
         COMP_WORDS=({}); COMP_CWORD={index}; COMP_TYPE=9
         set +e; _clap_complete_pleach pleach {last} ''
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" ")
    );
    let mut command = project.command("bash");
    proposals(command.args(["--norc", "-c", &line]))
}

/// The same by zsh, up to where it would draw them.
fn zsh(project: &Project, words: &[&str]) -> Vec<String> {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let line = format!(
        "compdef() {{ }}; _describe() {{ local name=$3; print -rl -- ${{(P)name}} }}
         source <(pleach completions zsh)
         words=({}); CURRENT={}; _clap_dynamic_completer_pleach",
        quoted.join(" "),
        words.len()
    );
    let mut command = project.command("zsh");
    // A description follows.
    let all = proposals(command.args(["-f", "-c", &line]));
    all.iter()
        .map(|line| line.split(':').next().expect("a value").to_owned())
        .collect()
}

fn fish(project: &Project, words: &[&str]) -> Vec<String> {
    let line = format!("pleach completions fish | source; complete -C '{}'", words.join(" "));
    let mut command = project.command("fish");
    let all = proposals(command.args(["--no-config", "-c", &line]));
    all.iter()
        .map(|line| line.split('\t').next().expect("a value").to_owned())
        .collect()
}

fn proposals(command: &mut Command) -> Vec<String> {
    let ran = ran(command);
    assert!(!ran.err().contains("rror"), "{ran:?}");
    let out = ran.out();
    out.split(['\n', '\u{b}'])
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

type Shell = fn(&Project, &[&str]) -> Vec<String>;

#[test]
fn every_shell_completes_commands_and_the_ids_of_sessions_and_tasks() {
    let (project, session) = project();
    for (name, shell) in [("bash", bash as Shell), ("zsh", zsh), ("fish", fish)] {
        if !is_there(&project, name) {
            continue;
        }
        let completed = |words: &[&str]| shell(&project, words);
        assert_eq!(completed(&["pleach", "resul"]), ["results"], "{name}");
        assert_eq!(
            completed(&["pleach", "status", &session[..4]]),
            [session.as_str()],
            "{name}"
        );
        let tasks = completed(&["pleach", "status", &session[..8], "log"]);
        assert_eq!(tasks, ["login", "logout"], "{name}");
        let tasks = completed(&["pleach", "logs", "-f", &session, ""]);
        for id in ["login", "logout", "cart"] {
            assert!(tasks.iter().any(|task| task == id), "{name}: {tasks:?}");
        }
        let stopped = completed(&["pleach", "stop", &session[..8], "login", "ca"]);
        assert_eq!(stopped, ["cart"], "{name}");
        let options = completed(&["pleach", "run", "--max-p"]);
        assert_eq!(options, ["--max-parallel"], "{name}");
        // Nothing of ours is proposed that nobody is to call.
        let verbs = completed(&["pleach", ""]);
        assert!(verbs.iter().any(|verb| verb == "run"), "{name}: {verbs:?}");
        assert!(!verbs.iter().any(|verb| verb.starts_with("__")), "{name}: {verbs:?}");
    }
    // Sessions are told from one another by when they were started; without any words zsh puts them behind the options.
    let mut asked = project.command(env!("CARGO_BIN_EXE_pleach"));
    asked
        .env("PLEACH_COMPLETE", "fish")
        .args(["--", "pleach", "status", ""]);
    let (first, answer) = (format!("{session}\tstarted 20"), ran(&mut asked));
    assert!(answer.out().starts_with(&first), "{answer:?}");
}

#[test]
fn names_of_directories_and_files_are_never_taken_for_commands() {
    let (mut project, session) = project();
    // The program is where nothing has a usual name, and not in PATH.
    let programs = project.root().join("my $(touch ran)`touch ran`'\"; touch ran; #");
    project.install(env!("CARGO_BIN_EXE_pleach").as_ref(), &programs.join("pleach"));
    project.set("PATH", "/usr/local/bin:/usr/bin:/bin");
    project.set("PROGRAM", programs.join("pleach").to_str().expect("UTF-8"));
    for shell in ["bash", "zsh"] {
        if !is_there(&project, shell) {
            continue;
        }
        let (ask, answer) = match shell {
            "bash" => (
                "COMP_CWORD=2; COMP_WORDS=(pleach status \"$ID\"); _clap_complete_pleach pleach \"$ID\" ''",
                "${COMPREPLY[@]}",
            ),
            _ => (
                "words=(pleach status \"$ID\"); CURRENT=3; _clap_dynamic_completer_pleach",
                "",
            ),
        };
        let line = format!(
            "compdef() {{ :; }}; _describe() {{ echo \"${{(P)3}}\"; }}
             eval \"$(\"$PROGRAM\" completions {shell})\"; {ask}; echo \"{answer}\""
        );
        let mut command = project.command(shell);
        let asked = ran(command.args(["-c", &line]).env("ID", &session[..4]));
        assert!(asked.out().contains(&session), "{shell}: {asked:?}");
        assert!(!project.repo().join("ran").exists(), "{shell}: it was run");
    }
    // bash puts on the line what it is told: it is told that these are files.
    project.write("tasks $(touch ran).md", "x");
    project.write("plain.md", "x");
    for (begins, quoted) in [("tasks", true), ("plain", false)] {
        let line = format!(
            "compopt() {{ echo \"compopt $*\"; }}; source <(\"$PROGRAM\" completions bash)
             COMP_CWORD=2; COMP_WORDS=(pleach run {begins}); _clap_complete_pleach pleach {begins} ''
             echo \"${{COMPREPLY[@]}}\""
        );
        let mut command = project.command("bash");
        let asked = ran(command.args(["--norc", "-c", &line]));
        assert!(asked.out().contains(".md"), "{asked:?}");
        assert_eq!(asked.out().contains("filenames"), quoted, "{asked:?}");
    }
}

#[test]
fn sessions_elsewhere_are_completed_too_and_without_any_it_is_quiet() {
    let (mut project, session) = project();
    let results = project.repo().join(".git/pleach/results");
    let outside = project.root().join("home");
    let asked = |project: &Project, words: &[&str]| {
        let mut command = project.pleach_command(&[&["--", "pleach"], words].concat());
        let index = words.len().to_string();
        let command = command.current_dir(&outside).env("PLEACH_COMPLETE", "bash");
        ran(command.env("_CLAP_COMPLETE_INDEX", index))
    };
    let none = asked(&project, &["status", &session[..4]]);
    assert_eq!((none.code(), none.out(), none.err()), (0, String::new(), String::new()));
    let dir = results.to_str().expect("UTF-8");
    let named = asked(&project, &["--results-dir", dir, "status", &session[..4]]);
    assert_eq!((named.code(), named.out()), (0, session.clone()), "{named:?}");
    project.set("PLEACH_RESULTS_DIR", dir);
    assert_eq!(asked(&project, &["status", &session[..4]]).out(), session);
    // A session that cannot be read gives no tasks, and no error.
    let spec = project.session_dir().join("session.json");
    fs::write(spec, "{").expect("damage it");
    let none = asked(&project, &["status", &session, "log"]);
    assert_eq!((none.code(), none.err()), (0, String::new()), "{none:?}");
}

#[test]
fn the_manual_has_a_page_for_each_command_that_is_read_without_a_warning() {
    let project = Project::new();
    let page = project.run(&["man"]);
    assert_eq!(page.code(), 0, "{page:?}");
    let out = page.out();
    assert!(
        out.contains(".TH pleach 1") && !out.contains("supervisor(1)") && !out.contains("__"),
        "{out}"
    );
    assert_eq!(project.run(&["man", "--dir", "pages/man1"]).code(), 0);
    let pages = project.repo().join("pages/man1");
    let mut names: Vec<String> = (fs::read_dir(&pages).expect("read the pages").flatten())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    let help = project.run(&["--help"]).out();
    let commands = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty());
    let verbs = commands.filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let mut expected: Vec<String> = verbs
        .filter(|verb| *verb != "help")
        .map(|verb| format!("pleach-{verb}.1"))
        .chain(["pleach.1".into()])
        .collect();
    expected.sort_unstable();
    let ours: Vec<String> = names.iter().filter(|name| !name.contains("-help")).cloned().collect();
    assert_eq!(ours, expected);
    project.write("file", "");
    project
        .run(&["man", "--dir", "file/pages"])
        .assert_refused(3, &["cannot write the pages to", "file/pages"]);
    if !is_there(&project, "groff") {
        return;
    }
    for name in names {
        let mut groff = project.command("groff");
        let read = ran(groff.args(["-ww", "-man", "-z"]).arg(pages.join(&name)));
        assert_eq!((read.code(), read.err()), (0, String::new()), "{name}");
    }
}
