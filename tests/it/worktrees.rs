//! The worktree and the branch of a task: what is in them is what `git worktree add` would have made, byte by byte,
//! wherever the user stands and however the repository is set up.
//!
//! Each kind of repository is made by a line of the shell. The task looks at `git status` before anything else, from
//! inside; the comparison is made with a worktree that git itself adds afterwards. When a worktree cannot be made its
//! task fails, alone, and neither a branch nor a directory is left of it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Ended, Project, assert_same, contents};

/// Kinds of repositories, each with what it takes to make one. What is not committed by that is afterwards.
const AS_THEY_STAND: &str = r##"
nested directories: mkdir -p a/b/c; echo 1 >a/b/c/d; : >a/empty
executables: echo '#!/bin/sh' >run; chmod +x run
links: ln -s README.md l; ln -s /nowhere n; mkdir d; ln -s ../l d/up; ln -s d dir
names: for n in 'a b' -x 'q"q' "$(printf 'n\nl')" 'b\s' c:d aux trail. 'trail ' '*' '[a]' '~'; do echo x >"./$n"; done
names that are not UTF-8: mkdir "$(printf 'd\377')"; echo x >"$(printf 'd\377/\351')"; echo y >"$(printf '\376.txt')"
ignored files that are committed: echo '*.o' >.gitignore; echo x >a.o; git add -f a.o
attributes for archives: printf 's export-ignore\nv export-subst\n*.x -diff\n' >.gitattributes; echo s >s; echo '$Format:%H$' >v
line ends that stay: printf '* text=auto\n*.bin binary\n*.raw -text\n' >.gitattributes; printf 'a\r\nb\n' >a.raw; printf 'a\r\n\0' >a.bin
attributes behind a link: printf '*.txt text eol=crlf\n' >rules; ln -s rules .gitattributes; echo a >a.txt
attributes that are a directory: mkdir .gitattributes; printf '*.txt eol=crlf\n' >.gitattributes/x; echo a >a.txt
modes not trusted: echo x >run; chmod +x run; git add -A; git commit -qm x; git config core.fileMode false
links not trusted: ln -s README.md l; git add -A; git commit -qm x; git config core.symlinks false; rm l; git checkout -q -f
many files: git config feature.manyFiles true; git config index.skipHash true; echo x >x
a group's repository: git config core.sharedRepository group; mkdir d; echo x >d/x
nothing at all: git rm -q README.md
"##;

const CHANGED_ON_THE_WAY: &str = r##"
autocrlf: printf 'a\nb\n' >a; printf 'a\r\nb\n' >mixed; printf 'a\n\0' >bin; COMMIT; git config core.autocrlf true; RESTORE
autocrlf of the user: echo a >a; COMMIT; git config --global core.autocrlf true; RESTORE
core.eol: echo '* text=auto' >.gitattributes; echo a >a; echo b >'!b'; printf 'a\0\n\0' >bin; COMMIT; git config core.eol crlf; RESTORE
eol before its attributes: printf '*.bat eol=crlf\n' >.gitattributes; for f in a.bat !b.bat +c.bat c; do echo x >$f; done
eol in a directory: mkdir s; printf '*.txt eol=crlf\n' >s/.gitattributes; for f in a.txt s/a.txt s/!a.txt s/a; do echo x >$f; done
old attributes: printf '*.c crlf\n*.d crlf=input\n[attr]dos eol=crlf\n*.e dos\n' >.gitattributes; for f in c d e; do echo x >a.$f; done
odd attributes: printf '"q q.h" eol=crlf\n*.f eol=crlf\r\n' >.gitattributes; echo x >'q q.h'; echo x >a.f
attributes of the repository: printf '*.txt eol=crlf\n' >.git/info/attributes; echo x >a.txt
attributes of the user: mkdir -p ~/.config/git; printf '*.c ident\n' >~/.config/git/attributes; echo '$Id$' >a.c
attributes elsewhere: echo '*.c eol=crlf' >~/rules; git config --global core.attributesFile '~/rules'; echo x >a.c
a filter: ROT; printf '*.rot filter=rot\n' >.gitattributes; echo abc >a.rot
a filter in a directory: ROT; mkdir -p a/b; printf '*.rot filter=rot\n' >a/b/.gitattributes; echo abc >a/b/a.rot
ident: printf '*.c ident\n' >.gitattributes; echo '$Id$' >a.c
working-tree-encoding: printf '*.u text working-tree-encoding=UTF-16LE\n' >.gitattributes; printf 'a\0\n\0' >a.u
"##;

const LEFT_OUT: &str = r##"
a sparse checkout: TWO; git sparse-checkout set in
a sparse checkout by patterns: TWO; git sparse-checkout set --no-cone '/*' '!out/'
a sparse index: TWO; git sparse-checkout set --sparse-index in
a sparse checkout as of old: TWO; git config core.sparseCheckout true; echo in/ >.git/info/sparse-checkout; git read-tree -mu HEAD
configuration of worktrees: git config extensions.worktreeConfig true; git config --worktree core.autocrlf true; RESTORE
a split index: git config core.splitIndex true; git update-index --split-index; echo x >x
a submodule: git init -q ../lib; git -C ../lib commit -q --allow-empty -m lib; git -c protocol.file.allow=always submodule add -q ../lib sub/lib
"##;

/// With the first libgit2 makes worktrees, with the second git.
const ENGINES: [[&str; 2]; 2] = [["core.eol", "lf"], ["core.autocrlf", "true"]];

/// What is said again and again in these lines.
const WORDS: [(&str, &str); 4] = [
    ("COMMIT", "git add -A; git commit -qm x"),
    ("RESTORE", "rm -r *; git checkout -q -f"),
    (
        "ROT",
        "git config filter.rot.clean 'tr a-m n-z'; git config filter.rot.smudge 'tr n-z a-m'",
    ),
    (
        "TWO",
        "mkdir in out; echo a >in/a; echo b >out/b; git add -A; git commit -qm x",
    ),
];

#[test]
fn files_that_are_checked_out_as_they_stand_are_those_of_git() {
    compare_each(AS_THEY_STAND);
}

#[test]
fn files_that_change_on_their_way_are_those_of_git() {
    compare_each(CHANGED_ON_THE_WAY);
}

// Fault 18: submodules are as empty as git leaves them.
#[test]
fn files_that_are_left_out_are_those_that_git_leaves_out() {
    compare_each(LEFT_OUT);
}

#[test]
fn files_have_the_permissions_that_the_umask_gives() {
    for umask in ["002", "007", "077"] {
        compare(umask, "mkdir d; echo x >d/x; echo x >run; chmod +x run", umask);
    }
}

fn compare_each(kinds: &str) {
    for line in kinds.trim().lines() {
        let (kind, setup) = line.split_once(": ").expect("a kind and how it is made");
        let setup = WORDS
            .iter()
            .fold(setup.to_owned(), |setup, (word, is)| setup.replace(word, is));
        compare(kind, &setup, "022");
    }
}

/// Makes a worktree in such a repository, and has git make another.
fn compare(kind: &str, setup: &str, umask: &str) {
    let project = Project::new();
    let commit = "if git status --porcelain 2>&1 | grep -q .; then git add -A; git commit -qm made; fi";
    project.sh(&format!("umask {umask}; {setup}; {commit}"));
    let before = outside_of_pleach(&project);
    let seen = project.root().join("seen");
    let file = project.tasks(&[(
        "a",
        &format!("@run git status --porcelain >{} 2>/dev/null", seen.display()),
    )]);
    let mut command = project.command("sh");
    command.args([
        "-c",
        &format!("umask {umask}; exec \"$@\""),
        "sh",
        env!("CARGO_BIN_EXE_pleach"),
    ]);
    command.args(["run", "--sync", "--agent", "scripted", "--keep-worktrees", &file]);
    let output = command.output().expect("run pleach");
    assert!(output.status.success(), "{kind}: {output:?}");
    let status = project.query(&["status"]);
    assert_eq!(status["tasks"][0]["commits"], 0, "{kind}: {status:#}");
    assert_eq!(
        status["warnings"].as_array().map(Vec::len),
        Some(0),
        "{kind}: {status:#}"
    );
    assert_eq!(fs::read_to_string(seen).expect("what the agent saw"), "", "{kind}");
    assert_same(kind, &outside_of_pleach(&project), &before);

    let reference = project.root().join("reference");
    project.sh(&format!(
        "umask {umask}; git worktree add -q --detach ../reference main"
    ));
    let worktree = project.worktree("a");
    let files = |root: &Path| contents(root, |path| path == Path::new(".git"));
    let mode = |root: &Path| fs::metadata(root).expect("the directory").mode();
    assert_eq!(mode(&worktree), mode(&reference), "{kind}");
    assert_same(kind, &files(&worktree), &files(&reference));
    let index = |root: &Path| project.git_in(root, &["ls-files", "-t", "--stage"]);
    assert_eq!(index(&worktree), index(&reference), "{kind}");
}

/// The whole repository, but for what pleach adds to it.
fn outside_of_pleach(project: &Project) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    contents(&project.repo(), |path| {
        let added = ["objects", "pleach", "worktrees", "refs/pleach", "logs/refs/pleach"];
        let is_added = |name: &&str| path == Path::new(".git").join(name);
        let branch = |directory: &str| {
            let name = path.strip_prefix(directory).ok().and_then(Path::to_str);
            name.is_some_and(|name| name.contains("-task-"))
        };
        added.iter().any(is_added) || branch(".git/refs/heads") || branch(".git/logs/refs/heads")
    })
}

#[test]
fn a_branch_has_no_upstream_whatever_is_configured() {
    for setting in ENGINES {
        let project = Project::empty();
        project.sh("git init -q -b main origin; git -C origin commit -q --allow-empty -m x; git clone -q origin repo");
        project.git(&[&["config"], &setting[..]].concat());
        project.git(&["config", "branch.autoSetupMerge", "always"]);
        project.git(&["config", "branch.autoSetupRebase", "always"]);
        let before = project.git(&["config", "--local", "--list"]);
        let ended = project.session(&[("a", "@write a.txt hi")], &[]);
        ended.assert_exit(0);
        assert_eq!(ended.task("a")["branch"], "main-task-a");
        assert_eq!(project.git(&["config", "--local", "--list"]), before);
        let upstream = project.git(&["for-each-ref", "--format=%(upstream)", "refs/heads/main-task-a"]);
        assert_eq!(upstream, "\n");
    }
}

// Fault 49: hooks that would run at a checkout.
#[test]
fn the_hooks_of_the_user_are_not_run() {
    for setting in ENGINES {
        let project = Project::new();
        project.git(&[&["config"], &setting[..]].concat());
        let ran = project.root().join("ran");
        let hooks = "post-checkout reference-transaction post-index-change pre-commit commit-msg post-commit";
        for hook in hooks.split(' ') {
            let script = format!("#!/bin/sh\necho {hook} >>{}\n", ran.display());
            project.write(&format!(".git/hooks/{hook}"), script);
        }
        project.sh("chmod +x .git/hooks/*");
        let ended = project.session(&[("a", "@write a.txt hi"), ("b", "@write b.txt hi\n@fail no")], &[]);
        ended.assert_exit(1);
        assert_eq!(project.show("main-task-b:b.txt"), "hi\n");
        let what = fs::read_to_string(&ran).unwrap_or_default();
        assert!(!ran.exists(), "{setting:?}: {what}");
        // They do run: for the user.
        project.git(&["commit", "-q", "--allow-empty", "-m", "by hand"]);
        assert!(ran.exists());
    }
}

#[test]
fn a_task_without_a_worktree_fails_alone_and_nothing_runs_in_the_checkout() {
    let project = Project::new();
    project.git(&["update-ref", "refs/heads/main-task-ref/x", "HEAD"]);
    let before = outside_of_pleach(&project);
    // A file at the path, and at the one that is tried next: its name is known once the session has an id.
    let occupy = "@run for n in path path-$(echo $PLEACH_SESSION | cut -c1-8); do echo mine >../main-task-$n; done";
    let leave = "@run echo was here >was-here";
    let tasks = [("first", occupy), ("ref", leave), ("path", leave), ("last", leave)];
    let ended = project.session(&tasks, &["--max-parallel", "1"]);
    ended.assert_exit(1);
    ended.assert_succeeded("first");
    ended.assert_succeeded("last");
    assert_eq!(project.show("main-task-last:was-here"), "was here\n");
    for (id, named) in [("ref", "main-task-ref"), ("path", "main-task-path")] {
        ended.assert_failed(id, "provisioning");
        let task = ended.task(id);
        let error = task["error"].as_str().expect("an error");
        assert!(error.contains(named), "{error}");
        assert_eq!(
            (&task["attempts"], &task["head"], &task["worktree"]),
            (&0.into(), &Value::Null, &Value::Null)
        );
    }
    let mine = fs::read_to_string(project.worktree("path")).expect("the file in the way");
    assert_eq!(mine, "mine\n");
    assert_same("the checkout", &outside_of_pleach(&project), &before);
    let branches = project.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads"]);
    assert_eq!(branches, "main\nmain-task-first\nmain-task-last\nmain-task-ref/x\n");
}

// Fault 7: a checkout fails half-way.
// Fault 36: a worktree is half made.
#[test]
fn a_worktree_that_fails_half_way_leaves_neither_a_branch_nor_a_directory() {
    let missing = "id=$(git rev-parse HEAD:d/x); rm -f .git/objects/$(echo $id | sed 's,..,&/,')";
    let refused = "git config filter.no.smudge false; git config filter.no.required true";
    let kinds = [
        (
            "libgit2",
            format!("mkdir d; echo x >d/x; git add -A; git commit -qm x; {missing}"),
        ),
        (
            "git",
            format!("printf '*.z filter=no\\n' >.gitattributes; echo x >a.z; git add -A; git commit -qm x; {refused}"),
        ),
    ];
    for (kind, setup) in kinds {
        let project = Project::new();
        project.sh(&setup);
        let before = outside_of_pleach(&project);
        let ended = project.session(&[("a", "@write was-here x")], &[]);
        ended.assert_exit(1);
        ended.assert_failed("a", "provisioning");
        assert_same(kind, &outside_of_pleach(&project), &before);
        let branches = project.git(&["branch", "--format=%(refname:short)"]);
        assert_eq!(branches, "main\n", "{kind}");
        let worktrees = project.git(&["worktree", "list"]);
        assert_eq!(worktrees.lines().count(), 1, "{kind}: {worktrees}");
        assert!(!project.worktree("a").exists(), "{kind}");
        let admin = fs::read_dir(project.repo().join(".git/worktrees")).map_or(0, Iterator::count);
        assert_eq!(admin, 0, "{kind}");
    }
}

// Fault 21: the agents work in a checkout with edits.
#[test]
fn without_worktrees_agents_work_where_the_user_is_and_nothing_is_committed() {
    let project = Project::new();
    project.write("sub/x", "x\n");
    project.sh("git add -A; git commit -qm sub");
    let refs = project.git(&["for-each-ref"]);
    let file = project.tasks(&[
        ("a", "@cwd\n@write a.txt hi"),
        ("b", "@run echo new >x; git add x\n@fail no"),
    ]);
    let mut command = project.pleach_command(&["run", "--sync", "--agent", "scripted", "--no-worktree", &file]);
    let output = command
        .current_dir(project.repo().join("sub"))
        .output()
        .expect("run pleach");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let results = project.query(&["results"]);
    let task = &results["tasks"][0];
    assert_eq!(task["answer"], project.repo().join("sub").to_str().expect("UTF-8"));
    assert_eq!(
        (&task["branch"], &task["worktree"], &task["head"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(project.git(&["for-each-ref"]), refs);
    assert_eq!(project.git(&["status", "--porcelain"]), "M  sub/x\n?? sub/a.txt\n");
    assert!(!project.worktrees().exists());
}

/// Runs one task that leaves a file, from `directory`, and gives where it ran.
fn leave_a_file(project: &Project, directory: &Path, options: &[&str]) -> (PathBuf, Ended) {
    let file = project.tasks(&[("a", "@write left.txt left\n@cwd")]);
    let mut arguments = vec!["run", "--sync", "--agent", "scripted"];
    arguments.extend(options);
    arguments.push(&file);
    let mut command = project.pleach_command(&arguments);
    command
        .current_dir(directory)
        .env("PLEACH_RESULTS_DIR", project.root().join("results"));
    let output = command.output().expect("run pleach");
    let query = |verb| {
        let mut command = project.pleach_command(&[verb, "--json"]);
        command
            .current_dir(directory)
            .env("PLEACH_RESULTS_DIR", project.root().join("results"));
        let output = command.output().expect("run pleach");
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    };
    let ended = Ended {
        output,
        left: project.agents(),
        status: query("status"),
        results: query("results"),
    };
    ended.assert_exit(0);
    ended.assert_succeeded("a");
    let at = ended.result("a")["answer"].as_str().expect("where it ran").into();
    (at, ended)
}

#[test]
fn worktrees_are_made_where_the_user_says() {
    let cases: [(&str, &[&str], &str); 6] = [
        ("", &[], "repo.pleach"),
        ("", &["--worktree-dir", "../trees/here"], "trees/here"),
        ("sub", &["--worktree-dir", "../in"], "repo/in"),
        ("", &["--worktree-dir", "ROOT/absolute"], "absolute"),
        ("", &["--worktree-dir", "../link/x"], "real/x"),
        ("link the default", &[], "real"),
    ];
    for (from, options, expected) in cases {
        let project = Project::new();
        let root = project.root().to_owned();
        fs::create_dir(root.join("real")).expect("make a directory");
        symlink("real", root.join("link")).expect("make a link");
        fs::create_dir(project.repo().join("sub")).expect("make a directory");
        if from.starts_with("link") {
            symlink("real", project.worktrees()).expect("make a link");
        }
        let options: Vec<String> = options
            .iter()
            .map(|o| o.replace("ROOT", root.to_str().expect("UTF-8")))
            .collect();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let from = if from == "sub" {
            project.repo().join(from)
        } else {
            project.repo()
        };
        let (at, _) = leave_a_file(&project, &from, &options);
        assert_eq!(at, root.join(expected).join("main-task-a"), "{options:?}");
        assert_eq!(project.show("main-task-a:left.txt"), "left\n", "{options:?}");
        assert!(!at.exists(), "{options:?}");
        let trash = fs::read_dir(root.join(expected).join(".trash"))
            .expect("the trash")
            .count();
        assert_eq!(trash, 1, "{options:?}");
    }
}

// Fault 16: a detached HEAD.
// Fault 17: a bare repository, and a shallow clone.
// Fault 46: a directory that is not UTF-8.
#[test]
fn a_session_starts_from_wherever_the_user_is() {
    let cases = [
        (
            "a subdirectory",
            "mkdir d; echo x >d/x; git add -A; git commit -qm d",
            "repo/d",
            "main-task-a",
            "main",
        ),
        (
            "a linked worktree",
            "git worktree add -q -b feat/one ../linked; git -C ../linked commit -q --allow-empty -m one",
            "linked",
            "feat/one-task-a",
            "feat/one",
        ),
        (
            "a detached HEAD",
            "git checkout -q --detach",
            "repo",
            "SHORT-task-a",
            "HEAD",
        ),
        (
            "a bare repository",
            "git clone -q --bare . ../bare.git",
            "bare.git",
            "main-task-a",
            "main",
        ),
        (
            "a shallow clone",
            "git commit -q --allow-empty -m two; git clone -q --depth 1 file://$PWD ../shallow",
            "shallow",
            "main-task-a",
            "main",
        ),
        (
            "a git dir elsewhere",
            "git init -q -b main --separate-git-dir ../elsewhere ../apart; git -C ../apart commit -q --allow-empty -m x",
            "apart",
            "main-task-a",
            "main",
        ),
        (
            "a directory that is not UTF-8",
            "d=\"../$(printf 'd\\377')\"; mkdir \"$d\"; git clone -q . \"$d/repo\"; ln -s \"${d#../}/repo\" ../odd",
            "odd",
            "main-task-a",
            "main",
        ),
    ];
    for (kind, setup, from, branch, base) in cases {
        let project = Project::new();
        project.sh(setup);
        let from = project.root().join(from);
        let base = project.git_in(&from, &["rev-parse", base]);
        let (_, ended) = leave_a_file(&project, &from, &[]);
        let branch = branch.replace("SHORT", &base[..7]);
        assert_eq!(ended.task("a")["branch"], *branch, "{kind}");
        assert_eq!(ended.task("a")["base"], base.trim(), "{kind}");
        assert_eq!(
            project.git_in(&from, &["rev-parse", &format!("{branch}~1")]),
            base,
            "{kind}"
        );
        assert_eq!(
            project.git_in(&from, &["show", &format!("{branch}:left.txt")]),
            "left\n",
            "{kind}"
        );
    }
}

#[test]
fn the_sparse_checkout_is_that_of_the_worktree_the_user_is_in() {
    let project = Project::new();
    project.sh("mkdir in out; echo a >in/a; echo b >out/b; git add -A; git commit -qm x");
    project.sh("git worktree add -q -b other ../linked; cd ../linked; git sparse-checkout set in");
    let linked = project.root().join("linked");
    let (at, _) = leave_a_file(&project, &linked, &["--keep-worktrees"]);
    project.sh("cd ../linked; git worktree add -q --detach ../reference");
    let files = |root: &Path| contents(root, |path| path == Path::new(".git") || path == Path::new("left.txt"));
    assert_same("sparse", &files(&at), &files(&project.root().join("reference")));
    assert!(at.join("in/a").exists() && !at.join("out").exists());
    assert_eq!(
        project.git(&["diff", "--name-status", "other", "other-task-a"]),
        "A\tleft.txt\n"
    );
}

// Fault 35: locks are left in the checkout.
#[test]
fn locks_that_a_git_left_in_the_checkout_do_not_matter() {
    for setting in ENGINES {
        let project = Project::new();
        project.git(&[&["config"], &setting[..]].concat());
        for lock in [
            "index.lock",
            "HEAD.lock",
            "config.lock",
            "packed-refs.lock",
            "refs/heads/main.lock",
        ] {
            project.write(&format!(".git/{lock}"), "");
        }
        let ended = project.session(&[("a", "@write a.txt a"), ("b", "@write b.txt b")], &[]);
        ended.assert_exit(0);
        assert_eq!(project.show("main-task-b:b.txt"), "b\n", "{setting:?}");
        assert_eq!(ended.notes("a"), "", "{setting:?}");
    }
}

// Fault 19: other worktrees point nowhere.
#[test]
fn other_worktrees_that_are_broken_do_not_matter() {
    for setting in ENGINES {
        let project = Project::new();
        project.git(&[&["config"], &setting[..]].concat());
        project.sh("for w in head gitdir commondir files; do git worktree add -q ../$w; done; rm -r ../files");
        project.sh("cd .git/worktrees; rm head/HEAD gitdir/gitdir commondir/commondir; mkdir empty; touch file");
        let ended = project.session(&[("a", "@write a.txt a"), ("b", "@write b.txt b")], &[]);
        ended.assert_exit(0);
        assert_eq!(project.show("main-task-b:b.txt"), "b\n", "{setting:?}");
        assert_eq!(ended.notes("a"), "", "{setting:?}");
    }
}
