//! What the engine says is what `git merge` does, and the repository stays as it is.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;

impl Engine {
    /// The paths that conflict, and of which git does not say how.
    pub(in crate::merge) fn unsaid(&self, ask: Ask) -> Vec<String> {
        let line = format!("{} {}\n", ask.ours, ask.theirs);
        let output = self.git().feed(&["merge-tree", "--stdin"], line.as_bytes());
        super::super::answers::unsaid(&output.unwrap())
    }
}

/// Runs a script in a directory, with a git that knows nothing of the user's configuration.
fn sh(directory: &Path, script: &str) -> String {
    let output = Command::new("sh")
        .args(["-ec", script])
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .envs(["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"].map(|name| (name, "a")))
        .envs(["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"].map(|name| (name, "a@example.org")))
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A repository that a script makes in a directory of this name.
fn repository(root: &Path, name: &[u8], script: &str) -> PathBuf {
    let directory = root.join(OsStr::from_bytes(name));
    fs::create_dir(&directory).unwrap();
    sh(&directory, "git init -q -b main");
    sh(&directory, script);
    directory
}

/// The commits that these revisions stand for.
fn commits<const N: usize>(directory: &Path, names: [&str; N]) -> [Oid; N] {
    names.map(|name| Oid::from_str(sh(directory, &format!("git rev-parse {name}")).trim()).unwrap())
}

fn engine(directory: &Path) -> Engine {
    Engine::new(&directory.join(".git"), &Drivers::new()).unwrap().0
}

fn ask(ours: Oid, theirs: Oid) -> Ask<'static> {
    Ask {
        ours,
        theirs,
        name: "topic/x",
        after: Some("first"),
    }
}

/// `main` and `topic/x` changed different lines of a file, `topic/y` the same as `main`.
const THREE: &str = "seq 9 >f; git add .; git commit -qm base; git branch topic/x; git branch topic/y
    sed -i 1s/.*/main/ f; git commit -qam main
    git checkout -q topic/x; sed -i 9s/.*/x/ f; git commit -qam x
    git checkout -q topic/y; sed -i 1s/.*/y/ f; git commit -qam y; git checkout -q main";

#[test]
fn the_repository_gains_nothing_wherever_it_is() {
    let root = tempfile::tempdir().unwrap();
    for name in [b"plain".as_slice(), b"line\nbreak", b"a:b", b"quote\"d", b"no\xfftext"] {
        let other = repository(root.path(), &[name, b"-other"].concat(), THREE);
        let directory = root.path().join(OsStr::from_bytes(name));
        fs::create_dir(&directory).unwrap();
        // Its objects are another one's.
        fs::rename(&other, directory.join("other")).unwrap();
        sh(
            &directory,
            "cp -a other/. .; rm -rf .git/objects/??; mkdir -p .git/objects/info
            echo ../../other/.git/objects >.git/objects/info/alternates; git fsck",
        );
        let before = sh(&directory, "find . | sort");
        let [main, x, y] = commits(&directory, ["main", "topic/x", "topic/y"]);
        let engine = engine(&directory);
        let merged = engine.merges_without_trees(&[ask(main, x), ask(main, y)]).unwrap();
        assert!(
            matches!(merged[..], [Merged::Clean(_), Merged::Conflicts { .. }]),
            "{merged:?}"
        );
        assert_eq!(engine.merges(&[ask(main, x), ask(main, y)]).unwrap(), merged);
        let Merged::Clean(tree) = engine.merge(ask(main, x)).unwrap() else {
            panic!("it merges");
        };
        engine.commit(tree, &[main, x], 1_700_000_000).unwrap();
        assert_eq!(sh(&directory, "find . | sort"), before);
        drop(engine);
        assert_eq!(
            sh(&directory, "git merge -q topic/x >&2; git rev-parse HEAD^{tree}").trim(),
            tree.to_string()
        );
    }
}

#[test]
fn a_name_that_is_taken_is_numbered_as_git_merge_does() {
    let root = tempfile::tempdir().unwrap();
    let directory = repository(
        root.path(),
        b"repo",
        "echo 1 >'d~HEAD'; echo 1 >'e~topic_x'; echo 1 >'e~topic_x_0'; git add .; git commit -qm base; git branch topic/x
        echo file >d; mkdir e; echo in >e/f; git add .; git commit -qm main
        git checkout -q topic/x; mkdir d; echo in >d/f; echo file >e; git add .; git commit -qm x; git checkout -q main",
    );
    let [main, x] = commits(&directory, ["main", "topic/x"]);
    let Merged::Conflicts { paths, .. } = engine(&directory).merge(ask(main, x)).unwrap() else {
        panic!("it conflicts");
    };
    let paths: Vec<String> = paths.into_iter().map(|c| format!("{} {}\n", c.path, c.kind)).collect();
    assert_eq!(paths, ["d~HEAD_0 file/directory\n", "e~topic_x_1 file/directory\n"]);
    let unmerged = sh(
        &directory,
        "git merge topic/x >&2 || git diff --name-only --diff-filter=U",
    );
    assert_eq!(unmerged, "d~HEAD_0\ne~topic_x_1\n");
}

#[test]
fn what_git_cannot_merge_names_the_branches() {
    let root = tempfile::tempdir().unwrap();
    let directory = repository(root.path(), b"repo", THREE);
    let [main, x, y] = commits(&directory, ["main", "topic/x", "topic/y"]);
    // The file as x has it is gone; merging y needs it not.
    sh(
        &directory,
        "f=$(git rev-parse topic/x:f | sed 's,^..,&/,'); rm -f .git/objects/$f",
    );
    let engine = engine(&directory);
    let asked = [ask(main, y), ask(main, x), ask(y, main)];
    for failed in [
        engine.merges(&asked),
        engine.merges_without_trees(&asked),
        engine.merge(asked[1]).map(|m| vec![m]),
    ] {
        let error = failed.unwrap_err().to_string();
        assert!(
            error.starts_with("git cannot say what merging topic/x after first gives: git "),
            "{error}"
        );
    }
    assert!(engine.merge(asked[0]).is_ok());
}

#[test]
fn history_that_is_not_as_written_is_seen_as_git_sees_it() {
    let root = tempfile::tempdir().unwrap();
    // With the parents as they are written each merges; without a common ancestor of that line it conflicts.
    let replaced = "git replace --graft topic/x $(git rev-list --max-parents=0 HEAD)";
    let grafted = "echo $(git rev-parse topic/x) $(git rev-list --max-parents=0 HEAD) >.git/info/grafts";
    for (name, hide) in [("replaced", replaced), ("grafted", grafted), ("plain", "true")] {
        let directory = repository(
            root.path(),
            name.as_bytes(),
            "seq 9 >f; git add .; git commit -qm base; sed -i 1s/.*/second/ f; git commit -qam second
            git branch topic/x; sed -i 1s/.*/main/ f; git commit -qam main
            git checkout -q topic/x; sed -i 9s/.*/x/ f; git commit -qam x; git checkout -q main",
        );
        sh(&directory, hide);
        let [main, x] = commits(&directory, ["main", "topic/x"]);
        let engine = engine(&directory);
        assert_eq!(engine.is_plain(), hide == "true", "{name}");
        let clean = matches!(engine.merge(ask(main, x)).unwrap(), Merged::Clean(_));
        let merges = sh(&directory, "git merge -q topic/x >&2 && echo clean || echo conflicts");
        assert_eq!(clean, merges == "clean\n", "{name}");
        assert_eq!(clean, hide == "true", "{name}");
    }
}

#[test]
fn attributes_are_those_of_the_first_parent_in_every_batch() {
    let root = tempfile::tempdir().unwrap();
    let directory = repository(
        root.path(),
        b"repo",
        "mkdir d; seq 9 >d/f; git add .; git commit -qm base; git branch x; sed -i 1s/.*/main/ d/f; git commit -qam main
        git branch plain; git checkout -q -b same; echo n >n; git add .; git commit -qm same
        git checkout -q -b union; echo 'f merge=union' >d/.gitattributes; git add .; git commit -qm union
        git checkout -q x; sed -i 1s/.*/x/ d/f; git commit -qam x",
    );
    let [plain, same, union, x] = commits(&directory, ["plain", "same", "union", "x"]);
    let engine = engine(&directory);
    let asked: Vec<Ask> = [plain, union, same, union, plain].map(|ours| ask(ours, x)).into();
    let clean = |merged: Vec<Merged>| merged.iter().map(|m| matches!(m, Merged::Clean(_))).collect::<Vec<_>>();
    assert_eq!(clean(engine.merges(&asked).unwrap()), [false, true, false, true, false]);
    let batches = engine.batches(&asked, 1).unwrap();
    let places: Vec<&[usize]> = batches.iter().map(|b| b.places.as_slice()).collect();
    assert_eq!(places, [&[0, 2, 4][..], &[1, 3]]);
}
