//! Whose name is on the commits of `pleach merge`, and in which words.

use std::fs;

use crate::merge::merge;
use crate::support::Project;

#[test]
fn commits_without_a_name_of_the_users_are_told_of_before() {
    let project = Project::new();
    project.session(&[("t", "@write n.txt new")], &[]).assert_exit(0);
    let config = project.root().join("gitconfig");
    let known = fs::read_to_string(&config).expect("read gitconfig");
    let nameless: Vec<&str> = known
        .lines()
        .filter(|l| !l.contains("name =") && !l.contains("email ="))
        .collect();
    fs::write(&config, nameless.join("\n")).expect("write gitconfig");
    let note = "git has no user.name and user.email: the commits will say pleach <pleach@localhost>";
    let shown = project.run(&["merge", "--dry-run"]);
    assert!(shown.err().contains(note), "{shown:?}");
    assert_eq!(merge(&project, 0, &[])["notes"][0], note);
}

#[test]
fn messages_in_other_encodings_are_squashed_as_they_read() {
    let project = Project::new();
    let commit = r#"printf 'caf\351\n' | git -c i18n.commitEncoding=ISO-8859-1 commit -qF -"#;
    let does = format!("@run echo 1 >a; git add a; {commit}; echo 2 >a; git commit -qam two");
    project.session(&[("t", &does)], &[]).assert_exit(0);
    merge(&project, 0, &["--squash"]);
    let said = project.git(&["log", "-1", "--format=%B"]);
    assert!(said.contains("\n* café\n\n* two\n\nPleach-Task: t\n"), "{said}");
}
