//! Merges into checkouts that are not like every other: sparse, with submodules, on a full disk, or switched meanwhile.
//! What is cut off there is brought to an end, too, and nothing of the user's is touched.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::merge::{TASKS, assert_clean, at, merge, project_with};
use crate::merge_interrupted::killed;
use crate::support::{Project, SmallDisk};

#[test]
fn a_checkout_that_fills_the_disk_is_put_back() {
    let project = Project::new();
    project.write("big.txt", "old\n".repeat(50_000));
    project.sh("git add -A; git commit -qm lines; git branch other");
    let Some(disk) = SmallDisk::new(&project, "1m") else {
        return;
    };
    disk.run(r#"git worktree add -q "$1/w" other"#);
    // Alone: git goes on with others, and they would tell.
    let does = "@run yes new | head -c 3000000 >big.txt";
    project.session(&[("t", does)], &[]).assert_exit(0);
    disk.run(r#"echo mine >"$1/w/mine.txt""#);
    let merge = ["merge", "-y", "--onto", "other"];
    let old = at(&project, "other");
    let ran = disk.pleach(&merge);
    assert!([2, 3].contains(&ran.code()), "{ran:?}");
    assert_eq!(at(&project, "other"), old);
    assert_eq!(
        disk.run(r#"git -C "$1/w" status --porcelain; ls "$1/w""#),
        "?? mine.txt\nREADME.md\nbig.txt\nmine.txt\n"
    );
    disk.grow("64m");
    let ran = disk.pleach(&merge);
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert_eq!(disk.run(r#"git -C "$1/w" status --porcelain"#), "?? mine.txt\n");
}

/// Files and index are those of the merge, and the target is not: as when git is killed right before it moves the ref.
#[test]
fn checkouts_that_only_lack_their_ref_are_finished() {
    for (name, before, does, after, status) in [
        ("plain", "true", "@write c.txt new\n@write n.txt new", "true", ""),
        (
            "sparse",
            "true",
            "@write c.txt new\n@write d.txt new",
            "git sparse-checkout set --no-cone '/*' '!/c.txt'",
            "",
        ),
        (
            "only a submodule",
            "git init -q ../sub; git -C ../sub commit -q --allow-empty -m one; git -C ../sub commit -q --allow-empty -m two; \
             git -c protocol.file.allow=always submodule --quiet add ../sub sub; \
             git -C sub checkout -q HEAD^; git add -A",
            "@run git update-index --cacheinfo 160000,$(git -C ../../sub rev-parse HEAD),sub && git commit -qm moved",
            "true",
            " M sub\n",
        ),
    ] {
        let project = Project::new();
        project.write("c.txt", "old\n");
        project.sh("git add -A; git commit -qm one");
        project.sh(&format!("{before}; git commit -qm two --allow-empty"));
        let old = at(&project, "main");
        project.session(&[("t", does)], &[]).assert_exit(0);
        project.sh(after);
        assert!(killed(&project, &["merge", "-y"], "intended:1"), "{name}");
        let record = project.sh("cat .git/pleach/merges/*.json");
        let record: Value = serde_json::from_str(&record).expect("JSON");
        let new = record["new"].as_str().expect("a commit");
        project.git(&["read-tree", "-m", "-u", &old, new]);
        let ran = project.run(&["merge", "-y"]);
        assert_eq!(ran.code(), 0, "{name}: {ran:?}");
        assert!(ran.err().contains("the merge into main stands"), "{name}: {ran:?}");
        assert_eq!(at(&project, "main"), new, "{name}");
        assert_eq!(project.git(&["status", "--porcelain"]), status, "{name}");
        assert_eq!(project.run(&["undo", "-y"]).code(), 0, "{name}");
        assert_eq!(at(&project, "main"), old, "{name}");
        assert_eq!(project.git(&["status", "--porcelain"]), "", "{name}");
    }
}

#[test]
fn what_the_user_did_since_a_merge_was_killed_stays() {
    let project = project_with(&TASKS[..2]);
    assert!(killed(&project, &["merge", "-y"], "intended:1"));
    let file = project.repo().join("l.txt");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("chmod");
    let ran = project.run(&["merge", "-y"]);
    assert_eq!(ran.code(), 2, "{ran:?}");
    assert!(
        ran.err().contains("in the way") && ran.err().contains("/repo: l.txt\n"),
        "{ran:?}"
    );
    let mode = fs::metadata(&file).expect("look").permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    project.sh("chmod -x l.txt");
    merge(&project, 0, &[]);
    assert_clean(&project);
}

/// A filter that is run when files are compared checks out another branch: git would move that one.
#[test]
fn a_branch_that_is_checked_out_meanwhile_is_not_moved() {
    let project = Project::new();
    let (armed, did) = (project.beside("armed"), project.beside("did"));
    let script =
        format!("cat; if [ -e {armed} ]; then rm {armed}; git symbolic-ref HEAD refs/heads/other; touch {did}; fi");
    let filter = project.program("filter", &script);
    let config = project.root().join("gitconfig");
    let known = fs::read_to_string(&config).expect("read gitconfig");
    let text = format!("{known}[filter \"switch\"]\nclean = {filter}\n");
    fs::write(&config, text).expect("write gitconfig");
    project.write("x.txt", "x\n");
    project.write(".gitattributes", "x.txt filter=switch\n");
    project.sh("git add -A; git commit -qm lines; git branch other");
    project.session(&[("t", "@write n.txt new")], &[]).assert_exit(0);
    let old = at(&project, "main");
    // git has to look into it.
    project.sh("touch -d 2001-01-01 x.txt");
    project.open("armed");
    let ran = project.run(&["merge", "-y"]);
    assert!(fs::exists(&did).expect("look"), "{ran:?}");
    ran.assert_refused(2, &["another branch was checked out meanwhile"]);
    assert_eq!([at(&project, "main"), at(&project, "other")], [old.clone(), old]);
    assert_clean(&project);
}
