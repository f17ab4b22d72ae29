//! The recipes of the documents: each one runs as it stands there, with an agent that follows a script.

use crate::documents::{Section, follow, sections, with_agent};
use crate::support::{Project, Ran};

fn recipe(heading: &str) -> Section {
    let found = sections("recipes.md")
        .into_iter()
        .find(|section| section.heading == heading);
    found.unwrap_or_else(|| panic!("there is no recipe {heading:?}"))
}

/// A small shop that has a bug, and tests that say so; its agent does what `script` says.
fn shop(script: &str) -> Project {
    let mut project = Project::new();
    for (path, text) in [
        ("src/cart.js", "const total = items => items.length\n"),
        ("src/user.js", "const name = user => user.name\n"),
        ("src/api.js", "const get = path => fetch(path)\n"),
        ("openapi.json", "{}\n"),
        // Passes when no test says that it fails, and the bug is mended where it is known.
        (
            "test.sh",
            "! grep -l FAILS tests/* 2>/dev/null || exit 1\n[ ! -e mended ] || grep -q both mended || { echo 'cart.js: total is wrong'; exit 1; }\n",
        ),
    ] {
        project.write(path, text);
    }
    project.git(&["add", "-A"]);
    project.git(&["commit", "-qm", "A shop"]);
    with_agent(&mut project, script);
    project
}

#[track_caller]
fn all_succeed(typed: &[Ran]) {
    for ran in typed {
        assert_eq!(ran.code(), 0, "{ran:?}");
    }
}

#[test]
fn a_pipeline_in_phases() {
    let project = shop(
        r#"case $prompt in
        *"SQL schema"*) echo '@write db/schema.sql create table customers;' ;;
        *"REST API"*) echo '@run cp db/schema.sql api.sql && mkdir api && mv api.sql api/' ;;
        *"command line client"*) echo '@run test -e db/schema.sql && mkdir client && echo orders > client/main' ;;
        *docs/shop.md*) echo '@run cat api/api.sql client/main > shop.md && mkdir docs && mv shop.md docs/' ;;
        esac"#,
    );
    let typed = follow(&project, &recipe("A pipeline in phases"));
    all_succeed(&typed);
    let docs = std::fs::read_to_string(project.repo().join("docs/shop.md")).expect("what the last task wrote");
    assert_eq!(docs, "create table customers;\norders\n");
    // The last one holds all of it.
    assert!(project.git(&["branch", "--merged", "main"]).contains("main-task-api"));
}

#[test]
fn the_same_task_in_five_languages() {
    let project = shop(
        r#"language=$(printf %s "$prompt" | sed 's/.*sdk.\([A-Za-z]*\),.*/\1/')
        echo "@write sdk/$language/README a client in $language""#,
    );
    let typed = follow(&project, &recipe("The same task in five languages"));
    all_succeed(&typed);
    let there = project.git(&["ls-files", "sdk"]);
    assert_eq!(
        there
            .lines()
            .map(|line| line.split('/').nth(1).unwrap_or_default())
            .collect::<Vec<_>>(),
        ["Go", "Python", "Ruby", "Rust", "TypeScript"]
    );
}

/// Reviews with so many findings; the fix is only half of it at first.
fn reviewer(findings: usize) -> Project {
    shop(&format!(
        r#"case $prompt in
        "Review src/"*) printf '@say src/cart.js:1: total counts items\n@say FINDINGS: {findings}\n' ;;
        *"total is wrong"*) echo '@write mended both' ;;
        *"src/cart.js:1: total counts items"*"Mend all of it"*) echo '@write mended one' ;;
        *) echo '@fail what is this' ;;
        esac"#
    ))
}

#[test]
fn review_then_fix_what_was_found() {
    let section = recipe("Review, then fix what was found");
    let project = reviewer(1);
    all_succeed(&follow(&project, &section));
    let status = project.query(&["status"]);
    // The tests failed after the first attempt, and the second was told why.
    assert_eq!(
        (&status["tasks"][1]["outcome"], &status["tasks"][1]["attempts"]),
        (&"succeeded".into(), &2.into())
    );
    assert_eq!(project.git(&["show", "main-task-fix:mended"]).trim(), "both");

    let project = reviewer(0);
    all_succeed(&follow(&project, &section));
    let status = project.query(&["status"]);
    assert_eq!(
        (&status["tasks"][1]["outcome"], &status["tasks"][1]["reason"]),
        (&"skipped".into(), &"condition".into())
    );
}

#[test]
fn all_kinds_of_tests_for_one_file() {
    let project = shop(
        r#"case $prompt in
        *unit*) echo '@write tests/unit.test.js ok' ;;
        *edge*) echo '@write tests/edge.test.js FAILS' ;;
        *speed*) echo '@write tests/speed.test.js ok' ;;
        esac"#,
    );
    let typed = follow(&project, &recipe("All kinds of tests for one file"));
    // A branch was left out, and that is said.
    assert_eq!(typed[0].code(), 1, "{typed:?}");
    assert_eq!(
        project.git(&["ls-files", "tests"]).trim(),
        "tests/speed.test.js\ntests/unit.test.js"
    );
}

#[test]
fn a_batch_that_retries() {
    let project = shop(
        r#"once=$PLEACH_COMM_DIR/once
        case $prompt in
        *user.js*) [ -e "$once" ] || { : > "$once"; echo '@exit 3'; return; } ;;
        esac
        echo "@say $prompt""#,
    );
    let typed = follow(&project, &recipe("A batch that retries"));
    all_succeed(&typed);
    let answers: Vec<String> = typed[0]
        .out()
        .lines()
        .filter(|line| line.ends_with(".txt"))
        .map(str::to_owned)
        .collect();
    assert_eq!(answers.len(), 3, "{typed:?}");
    let attempts = project.query(&["status"])["tasks"][1]["attempts"].clone();
    assert_eq!(attempts, 2);
}

#[test]
fn be_told_when_it_is_over() {
    let project = shop("echo @say done");
    let told = project.root().join("told");
    for program in ["notify-send", "curl", "mail"] {
        // What it is given on its command line, and on standard input.
        let writes = format!("{{ echo \"{program}: $*\"; cat; }} >> '{}'", told.display());
        project.program(program, &writes);
    }
    all_succeed(&follow(&project, &recipe("Be told when it is over")));
    let told = std::fs::read_to_string(told).expect("what was told");
    assert!(
        told.contains("notify-send: pleach: completed 1 of 1 succeeded"),
        "{told}"
    );
    assert!(told.contains("https://example.org/hook\n{\"schema\":1"), "{told}");
    // All went well, and there is nothing to write home about.
    assert!(!told.contains("mail:"), "{told}");
}

#[test]
fn one_session_after_the_other() {
    let project = shop(
        r#"case $prompt in
        *greeter*) echo '@write greet.sh echo hi' ;;
        *Describe*) echo '@run test -e greet.sh && echo greets > README.md' ;;
        esac"#,
    );
    all_succeed(&follow(&project, &recipe("One session after the other")));
    let list = project.query(&["list"]);
    let successful: Vec<_> = list["sessions"]
        .as_array()
        .expect("sessions")
        .iter()
        .map(|s| &s["successful"])
        .collect();
    assert_eq!(successful, [1, 1], "{list}");
}

#[test]
fn every_recipe_has_its_test() {
    let tested = include_str!("recipes.rs");
    for section in sections("recipes.md") {
        assert!(
            tested.contains(&format!("{:?}", section.heading)),
            "no test runs {:?}",
            section.heading
        );
    }
}
