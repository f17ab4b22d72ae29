//! `pleach demo`, and every command that it prints.

use std::process::Output;

use crate::support::{Project, Ran};

/// Runs the demo from a directory that is no repository.
fn demo(project: &Project) -> String {
    let ran = project.run(&["demo"]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    let text = ran.out();
    assert!(
        ran.err()
            .contains("5 tasks, 3 at once, permissions skipped, no cost limit"),
        "{ran:?}"
    );
    assert!(text.contains("5 of 5 tasks settled: 4 successful, 1 failed"), "{text}");
    text
}

/// The commands in a part of what was printed, without the remarks behind them.
fn commands(text: &str, heading: &str) -> Vec<String> {
    let (_, part) = text
        .split_once(heading)
        .unwrap_or_else(|| panic!("no {heading:?} in {text}"));
    let lines = part.lines().skip(1).take_while(|line| line.starts_with("  "));
    lines
        .filter(|line| !line.starts_with("    "))
        .map(|line| line.split("  # ").next().unwrap_or_default().trim().to_owned())
        .collect()
}

/// Types the commands into one shell.
fn typed(project: &Project, commands: &[String]) -> Ran {
    let output: Output = project
        .command("sh")
        .arg("-ec")
        .arg(commands.join("\n"))
        .output()
        .expect("run a shell");
    Ran(output)
}

#[test]
fn every_command_of_the_demo_works_when_pasted() {
    let project = Project::empty();
    let text = demo(&project);
    let next = commands(&text, "what to try next:");
    let (away, next) = next.split_last().expect("commands");
    assert!(next[0].starts_with("cd ") && next.len() == 8, "{next:?}");
    // It asks, and one branch is left out.
    let (merges, next): (Vec<String>, Vec<String>) = next.iter().cloned().partition(|line| line.contains(" merge "));
    let in_one_go = format!("{}\n{} -y || test $? = 1", next[0], merges[0]);
    let undo = merges[0]
        .split(" merge ")
        .next()
        .map(|pleach| format!("{pleach} undo -y"));
    let ran = typed(&project, &[in_one_go, undo.expect("a command")]);
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(ran.out().contains("1 left out"), "{ran:?}");
    let ran = typed(&project, &next);
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(
        ran.out().contains("API Error: 529 overloaded"),
        "results of the failed task: {ran:?}"
    );
    assert!(ran.out().contains("good day"), "the diff: {ran:?}");

    let merges = commands(&text, "these merge cleanly");
    let [go, .., last] = merges.as_slice() else {
        panic!("{merges:?}");
    };
    assert!(last.starts_with("git merge"), "{merges:?}");
    let ran = typed(&project, &merges);
    assert_eq!(ran.code(), 0, "{ran:?}");
    let mut conflict = commands(&text, "these conflict after that");
    conflict.insert(0, go.clone());
    let ran = typed(&project, &conflict);
    assert!(
        ran.code() != 0 && ran.out().contains("Merge conflict in greet.sh"),
        "{ran:?}"
    );
    let mut cleanup = commands(&text, "after that, clean up:");
    cleanup.insert(0, format!("{go}\ngit merge --abort"));
    let ran = typed(&project, &cleanup);
    assert_eq!(ran.code(), 0, "{ran:?}");

    let directory = go.trim_start_matches("cd ").trim_end_matches("/greeter");
    assert!(std::fs::exists(directory).expect("look"), "{directory}");
    assert_eq!(typed(&project, std::slice::from_ref(away)).code(), 0);
    assert!(!std::fs::exists(directory).expect("look"), "{directory}");
}

#[test]
fn the_demo_works_with_a_foreign_configuration() {
    let mut project = Project::empty();
    let hostile = "[init]\ndefaultBranch = trunk\n[commit]\ngpgSign = true\n[merge]\nff = only\n";
    std::fs::write(project.root().join("gitconfig"), hostile).expect("write gitconfig");
    let elsewhere = project.root().join("sessions");
    project.set("PLEACH_RESULTS_DIR", elsewhere.to_str().expect("a path in UTF-8"));
    let text = demo(&project);
    let mut next = commands(&text, "what to try next:");
    next.retain(|line| !line.contains(" merge ") && !line.contains("rm -rf"));
    let ran = typed(&project, &next);
    assert_eq!(ran.code(), 0, "{ran:?}");
    let ran = typed(&project, &commands(&text, "these merge cleanly"));
    assert_eq!(ran.code(), 0, "{ran:?}");
}
