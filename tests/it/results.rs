//! `pleach results`: what each task answered, what it changed and what it took, in one place.

use serde_json::Value;

use crate::support::{Project, ran};

#[test]
fn answer_changes_and_cost_stand_in_one_place() {
    let project = Project::new();
    project.sh("seq 1 40 >long.txt; git add .; git commit -qm long");
    let tasks = [
        (
            "many",
            "@run for i in $(seq 11 25); do echo x >$i.txt; done\n@cost 0.5\n@say done",
        ),
        (
            "few",
            "@run git mv long.txt new.txt; printf '\\0' >bin; rm README.md\n@say moved",
        ),
        ("none", "@say nothing"),
    ];
    let ended = project.session(&tasks, &["--max-parallel", "1"]);
    let text = project.run(&["results"]).out();
    for part in [
        "   files    +1 -0  11.txt  (added)\n            +1 -0  12.txt  (added)\n",
        "+1 -0  20.txt  (added)\n            and 5 more: ",
        "1 attempt, 2 turns, $0.52\n",
        "   files    +0 -1   README.md  (deleted)\n            binary  bin  (added)\n",
        "+0 -0   new.txt  (was long.txt)\n",
        "changed nothing\n   took     ",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert!(!text.contains("21.txt"), "{text}");
    // The command that shows the rest is whole.
    let (_, rest) = text.split_once("and 5 more: ").expect("a command");
    let command = rest.lines().next().expect("a line");
    let shown = ran(&mut project.shell(command));
    assert_eq!(shown.out().matches("\n+x\n").count(), 15, "{shown:?}");
    let many = ended.result("many");
    assert_eq!(many["files"].as_array().map(Vec::len), Some(15));
    assert_eq!(
        (&many["files"][0]["path"], &many["files"][0]["status"]),
        (&"11.txt".into(), &"added".into())
    );
    for name in ["cost_usd", "turns", "attempts", "duration", "commits", "insertions"] {
        assert!(many[name].is_number(), "{name}: {many:#}");
    }
    // Without its repository the answers are there all the same.
    let results = project.session_dir();
    let results = results.parent().expect("the results").to_str().expect("UTF-8");
    project.sh(&format!("cp -r {results} ../copy; mv .git ../away"));
    let alone = project.run(&["--results-dir", "../copy", "results", "--json"]).json();
    assert_eq!(
        (&alone["tasks"][0]["answer"], &alone["tasks"][0]["files"]),
        (&many["answer"], &Value::Null)
    );
}
