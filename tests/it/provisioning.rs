//! What a new worktree gets from the checkout: copies of what git does not track there, and links; and that none of it is
//! ever taken for the agent's work, keeps a worktree, or is put where it should not be.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::support::{Project, ran};

/// A project whose checkout has files that git ignores, and a file that says which of them are wanted.
fn project(include: &str) -> Project {
    let project = Project::new();
    project.write(".gitignore", ".env\n*.local\nnode_modules/\ntarget/\n");
    project.write(".worktreeinclude", include);
    project.write("src/main.txt", "code\n");
    project.git(&["add", "-A"]);
    project.git(&["commit", "-qm", "files"]);
    project.write(".env", "SECRET=1\n");
    project.write("packages/a/.env", "SECRET=2\n");
    project.write("other.local", "mine\n");
    project.write("node_modules/dep/index.js", "code");
    project.write("node_modules/dep/.env", "not wanted");
    project
}

/// What there is in the worktree besides what git tracks.
const LIST: &str = "@run git ls-files --others >../../list";

fn listed(project: &Project) -> Vec<String> {
    project.sh("sort ../list").lines().map(str::to_owned).collect()
}

#[test]
fn ignored_files_that_are_named_come_along_and_are_never_committed() {
    let project = project("# what agents need\n.env\n*.local\n!other.local\n");
    project.write("run.local", "#!/bin/sh\necho hi\n");
    fs::set_permissions(project.repo().join("run.local"), fs::Permissions::from_mode(0o750)).expect("set the mode");
    symlink("/nowhere/at/all", project.repo().join("link.local")).expect("make a link");
    let prompt = format!(
        "{LIST}\n@run cat .env packages/a/.env\n@run test \"$(./run.local)\" = hi && test -L link.local\n@write a.txt work"
    );
    let ended = project.session(&[("one", &prompt)], &["--setup", "grep -q SECRET=1 .env"]);
    ended.assert_succeeded("one");
    assert_eq!(listed(&project), [".env", "link.local", "packages/a/.env", "run.local"]);
    assert_eq!(project.changed_in("main-task-one"), "a.txt\n");
    // They do not keep the worktree: it is in the trash with them.
    assert!(!project.worktree("one").exists());
    let trashed = project.sh("find ../repo.pleach/.trash -name .env | wc -l");
    assert_eq!(trashed.trim(), "2");
    assert_eq!(project.sh("ls .git/pleach/brought"), "");
    assert_eq!(ended.notes("one"), "");
}

#[test]
fn what_git_does_not_ignore_in_the_worktree_is_not_committed_either() {
    // What is ignored is said in a file that the commit does not have: in the worktree it is not.
    let project = Project::new();
    project.write("a.txt", "a\n");
    project.git(&["add", "-A"]);
    project.git(&["commit", "-qm", "files"]);
    project.write(".gitignore", ".env*\n/.worktreeinclude\n.gitignore\n");
    project.write(".worktreeinclude", ".env*\n");
    for name in [".env", ".env.test", ".env.changed", ".env.staged"] {
        project.write(name, "SECRET\n");
    }
    let prompt = "@append .env.changed more\n@run git add -f .env.staged && git status --short\n@write b.txt work\n\
                  @delete .env.test\n@write .env.own of-the-agent";
    let ended = project.session(&[("one", prompt)], &["--snapshot-every", "1s"]);
    ended.assert_succeeded("one");
    assert_eq!(project.changed_in("main-task-one"), ".env.own\nb.txt\n");
    assert!(!project.worktree("one").exists());
    let notes = ended.notes("one");
    assert!(
        notes.contains("has written to what was copied into its worktree, which is not committed: .env.changed"),
        "{notes}"
    );
    // Nor has any commit that pleach keeps it.
    let kept = project.sh("git log --all --name-only --format= | sort -u");
    let of_the_first = first_file(&project);
    let mut kept: Vec<&str> = kept.lines().filter(|name| !of_the_first.contains(name)).collect();
    kept.sort_unstable();
    assert_eq!(kept, [".env.own", "a.txt", "b.txt"]);
    // A failed task keeps its worktree, and `clean` finds nothing of the agent's in it that is in no commit.
    let ended = project.session(&[("two", "@fail no")], &[]);
    ended.assert_exit(1);
    assert!(project.worktree("two").join(".env").exists());
    let cleaned = project.run(&["clean", "-y"]);
    assert_eq!(cleaned.code(), 0, "{cleaned:?}");
    assert!(!project.worktree("two").exists(), "{cleaned:?}");
}

/// What the first commit of a project has, a line each.
fn first_file(project: &Project) -> String {
    project.sh("git log --format= --name-only --diff-filter=A $(git rev-list --max-parents=0 main) | sort -u")
}

#[test]
fn what_the_agent_commits_itself_is_told() {
    let project = project(".env\n");
    let ended = project.session(&[("one", "@run git add -f .env && git commit -qm mine")], &[]);
    ended.assert_succeeded("one");
    let notes = ended.notes("one");
    assert!(
        notes.contains("has committed what was brought into its worktree from the checkout: .env"),
        "{notes}"
    );
}

#[test]
fn what_the_agent_makes_its_own_of_what_was_brought_is_its_work() {
    let project = Project::new();
    project.write("pleach.toml", "[worktree]\ncopy = [\"*.local\"]\nlink = [\"deps\"]\n");
    project.write(".git/info/exclude", "*.local\ndeps\npleach.toml\n");
    project.write("a.local", "SECRET\n");
    project.write("deps/dep", "code\n");
    let prompt = "@run git add -f a.local && git commit -qm mine && echo more >>a.local\n\
                  @run rm deps && echo mine >deps && git add -f deps";
    let ended = project.session(&[("one", prompt)], &["-y"]);
    ended.assert_succeeded("one");
    assert_eq!(project.show("main-task-one:a.local"), "SECRET\nmore\n");
    assert_eq!(project.show("main-task-one:deps"), "mine\n");
    assert!(!project.worktree("one").exists());
    assert_eq!(
        fs::read_to_string(project.repo().join("deps/dep")).expect("read"),
        "code\n"
    );
}

#[test]
fn what_the_agent_puts_in_the_place_of_what_was_brought_is_its_work() {
    let project = Project::new();
    project.write("a.txt", "a\n");
    project.git(&["add", "-A"]);
    project.git(&["commit", "-qm", "files"]);
    // The commit ignores none of it: whatever is not known as brought is committed.
    project.write(".gitignore", "*.local\n/deps*\npleach.toml\n.gitignore\n");
    project.write(
        "pleach.toml",
        "[worktree]\ncopy = [\"*.local\"]\nlink = [\"deps\", \"deps-dir\", \"deps-other\", \"deps-kept\"]\n",
    );
    for name in ["file", "dir", "link", "kept", "written", "gone"] {
        project.write(&format!("{name}.local"), "SECRET\n");
    }
    for name in ["l-file", "l-dir", "l-other", "l-kept"] {
        symlink("/nowhere", project.repo().join(format!("{name}.local"))).expect("make a link");
    }
    for name in ["deps", "deps-dir", "deps-other", "deps-kept"] {
        project.write(&format!("{name}/dep"), "code\n");
    }
    let prompt = "@run rm l-file.local && echo mine >l-file.local\n\
                  @run rm l-dir.local && mkdir l-dir.local && echo mine >l-dir.local/x\n\
                  @run ln -sfn /elsewhere l-other.local\n\
                  @run rm dir.local && mkdir dir.local && echo mine >dir.local/x\n\
                  @run ln -sfn /elsewhere link.local\n\
                  @run rm gone.local && echo more >>written.local\n\
                  @run rm deps && echo mine >deps\n\
                  @run rm deps-dir && mkdir deps-dir && echo mine >deps-dir/x\n\
                  @run ln -sfn /elsewhere deps-other";
    let ended = project.session(&[("one", prompt)], &[]);
    ended.assert_succeeded("one");
    let mine = [
        "deps",
        "deps-dir/x",
        "deps-other",
        "dir.local/x",
        "l-dir.local/x",
        "l-file.local",
        "l-other.local",
        "link.local",
    ];
    let changed = project.changed_in("main-task-one");
    assert_eq!(changed.lines().collect::<Vec<_>>(), mine);
    assert_eq!(project.show("main-task-one:link.local"), "/elsewhere");
    // It is the agent's, so nobody says that it has committed what is the user's.
    let notes = ended.notes("one");
    assert_eq!(
        notes.trim(),
        "the agent has written to what was copied into its worktree, which is not committed: written.local"
    );
    // What was written to is in no commit, but in the trash with the worktree.
    assert!(!project.worktree("one").exists());
    assert_eq!(
        project.sh("cat ../repo.pleach/.trash/*/worktree/written.local"),
        "SECRET\nmore\n"
    );
    assert_eq!(
        project.sh("cat deps*/dep *.local 2>/dev/null | sort -u || true"),
        "SECRET\ncode\n"
    );
}

#[test]
fn worktrees_in_the_checkout_are_not_copied_into_each_other() {
    let project = Project::new();
    project.write(".gitignore", "*.local\n/trees/\n");
    project.git(&["add", "-A"]);
    project.git(&["commit", "-qm", "files"]);
    project.write("a.local", "mine\n");
    project.write("trees/.trash/x/worktree/b.local", "of another\n");
    project.write(".worktreeinclude", "*\n");
    let prompt = "@run git ls-files --others";
    let ended = project.session(&[("one", prompt)], &["--worktree-dir", "trees", "--keep-worktrees"]);
    ended.assert_succeeded("one");
    assert_eq!(
        project.sh("git -C trees/main-task-one ls-files --others"),
        ".worktreeinclude\na.local\n"
    );
}

#[test]
fn what_is_ignored_as_a_whole_is_copied_when_it_is_named_and_else_not_looked_into() {
    let project = project("/node_modules/dep/*.js\n/target\n.env\n");
    project.write("target/debug/out", "built");
    project.write("target/debug/deep/out", "built");
    project.write("target/inner/x", "of a repository of its own");
    project.git(&["init", "-q", "target/inner"]);
    // Who looks in there gets an error.
    project.write("node_modules/closed/x", "closed");
    let closed = project.repo().join("node_modules/closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("close it");
    let ended = project.session(&[("one", LIST)], &[]);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("open it");
    ended.assert_succeeded("one");
    assert_eq!(
        listed(&project),
        [
            ".env",
            "node_modules/dep/index.js",
            "packages/a/.env",
            "target/debug/deep/out",
            "target/debug/out"
        ]
    );
    let notes = ended.notes("one");
    assert!(
        notes.contains("not copied, because it is a git repository of its own: target/inner"),
        "{notes}"
    );
    assert!(!notes.contains("closed"), "{notes}");
}

#[test]
fn nothing_of_the_commit_is_replaced_and_nothing_is_put_outside_of_the_worktree() {
    let project = Project::new();
    let outside = project.root().join("outside");
    fs::create_dir(&outside).expect("make a directory");
    // The commit has links and files where the checkout has directories and other files.
    symlink(&outside, project.repo().join("conf")).expect("make a link");
    symlink(&outside, project.repo().join("deps")).expect("make a link");
    project.write("file", "of the commit\n");
    project.write(".env", "of the commit\n");
    project.write(
        "pleach.toml",
        "[worktree]\ncopy = [\"*\"]\nlink = [\"deps/all\", \"gone\", \".env\"]\n",
    );
    project.git(&["add", "-A"]);
    project.git(&["commit", "-qm", "hostile"]);
    project.sh("git rm -q --cached conf deps file .env; rm conf deps file; mkdir -p conf/deep deps/all");
    for path in ["conf/secret", "conf/deep/secret", "deps/all/x", "file/below", ".env"] {
        project.write(path, "of the user\n");
    }
    project.sh("mkfifo pipe");
    let prompt = "@run cat .env file\n@run test \"$(cat .env)\" = \"of the commit\"\n@write a.txt work";
    let ended = project.session(&[("one", prompt)], &[]);
    ended.assert_succeeded("one");
    assert_eq!(fs::read_dir(&outside).expect("read it").count(), 0);
    assert_eq!(project.changed_in("main-task-one"), "a.txt\n");
    let notes = ended.notes("one");
    for said in [
        "not linked, because it is not in the checkout: gone",
        "not linked, because it is in the commit: .env",
        "because something else is in its place",
        "not copied, because it is in the commit: .env",
    ] {
        assert!(notes.contains(said), "{said} in {notes}");
    }
}

#[test]
fn directories_are_linked_and_no_link_is_committed() {
    let project = project("");
    project.write(
        "pleach.toml",
        "[worktree]\nlink = [\"node_modules/\", \"packages/a/.env\"]\n",
    );
    project.git(&["add", "-A"]);
    project.git(&["commit", "-qm", "configuration"]);
    // `node_modules/` of .gitignore means no link.
    let prompt = "@run test \"$(cat node_modules/dep/index.js)\" = code && test -L node_modules && test -L packages/a/.env\n\
                  @write a.txt work\n@write of-the-user x\n@run git add -A && git commit -qm all\n@write b.txt more";
    // What the user ignores everywhere is ignored for the agent too.
    let config = project.root().join("home/.config/git");
    fs::create_dir_all(&config).expect("make a directory");
    fs::write(config.join("ignore"), "of-the-user").expect("write the patterns");
    let ended = project.session(&[("one", prompt)], &[]);
    ended.assert_succeeded("one");
    assert_eq!(ended.notes("one"), "");
    assert_eq!(project.changed_in("main-task-one"), "a.txt\nb.txt\n");
    assert!(!project.worktree("one").exists());
    assert_eq!(project.sh("ls .git/pleach/brought"), "");
    // What they lead to is there as ever.
    assert_eq!(
        fs::read_to_string(project.repo().join("node_modules/dep/index.js")).expect("a file"),
        "code"
    );
}

#[test]
fn without_a_checkout_there_is_nothing_to_bring() {
    let project = project(".env\n");
    project.sh("git clone -q --bare . ../bare.git");
    let file = project.tasks(&[("one", LIST)]);
    let mut command = project.pleach_command(&["run", "--sync", "--agent", "scripted", &file]);
    let ran = ran(command.current_dir(project.root().join("bare.git")));
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert_eq!(project.sh("find .. -name list | xargs cat"), "");
}

// Fault 1: kill -9 of the supervisor while files are brought into a worktree.
#[test]
fn a_worktree_that_was_being_filled_is_undone_and_made_again() {
    for point in ["bringing", "brought"] {
        let mut project = project(".env\n");
        project.set("PLEACH_TEST_KILL", &format!("{point}:1@supervisor"));
        let session = project.start(&[("one", "@run cat .env\n@write a.txt work")], &[]);
        project.until("the supervisor is killed", |project| {
            (project.query(&["status"])["overall_status"] == "interrupted").then_some(())
        });
        project.set("PLEACH_TEST_KILL", "");
        assert_eq!(project.run(&["resume", &session]).code(), 0, "{point}");
        assert_eq!(project.run(&["wait"]).code(), 0, "{point}");
        assert_eq!(project.changed_in("main-task-one"), "a.txt\n", "{point}");
        // Nobody had worked in it: nothing of it was taken for work, and the secret is in no commit.
        let refs = project.git(&["for-each-ref", "--format=%(refname)", "refs/pleach"]);
        assert!(!refs.contains("/snap/"), "{point}: {refs}");
        assert_eq!(
            project
                .sh("git log --all --format= --name-only | grep -c .env || true")
                .trim(),
            "0"
        );
        assert_eq!(project.sh("ls .git/pleach/brought"), "", "{point}");
    }
}

#[test]
fn a_worktree_that_is_made_again_gets_everything_again() {
    let project = project(".env\n");
    let prompt = "@run cat .env\n@touch ../../up\n@wait ../../gate\n@write a.txt work";
    let session = project.start(&[("one", prompt)], &["--setup", "cat .env >>../../set-up"]);
    project.await_file("up");
    let identity = fs::read_to_string(project.attempt_dir("one").join("identity.json")).expect("the runner");
    let identity: serde_json::Value = serde_json::from_str(&identity).expect("JSON");
    project.kill_supervisor();
    project.sh(&format!("kill -9 {}", identity["pid"]));
    project.until("the agent is gone", |project| project.agents().is_empty().then_some(()));
    fs::remove_dir_all(project.worktree("one")).expect("remove the worktree");
    project.open("gate");
    assert_eq!(project.run(&["resume", &session]).code(), 0);
    assert_eq!(project.run(&["wait"]).code(), 0);
    assert_eq!(project.sh("cat ../set-up"), "SECRET=1\nSECRET=1\n");
    assert_eq!(project.changed_in("main-task-one"), "a.txt\n");
}

#[test]
fn a_record_that_cannot_be_read_is_an_error_that_names_it_and_costs_no_work() {
    let project = project(".env\n");
    let session = project.start(&[("one", "@write a.txt work\n@touch ../../up\n@wait ../../gate")], &[]);
    project.await_file("up");
    project.sh("for record in .git/pleach/brought/*; do echo '{\"schema\":2' >$record; done");
    project.open("gate");
    assert_eq!(project.run(&["wait", &session]).code(), 1);
    let task = project.query(&["status"])["tasks"][0].clone();
    assert_eq!(task["reason"], "settling", "{task:#}");
    assert!(
        task["error"]
            .as_str()
            .expect("an error")
            .contains("/.git/pleach/brought/"),
        "{task:#}"
    );
    assert!(project.worktree("one").join("a.txt").exists());
}

#[test]
fn a_file_of_patterns_that_cannot_be_read_is_told_and_holds_nothing_up() {
    for make in ["mkfifo", "mkdir", "ln -s /dev/zero"] {
        let project = project(".env\n");
        project.sh(&format!("rm .worktreeinclude; {make} .worktreeinclude"));
        let ended = project.session(&[("one", "@run test ! -e .env")], &[]);
        ended.assert_succeeded("one");
        let notes = ended.notes("one");
        assert!(
            notes.contains("not read") && notes.contains(".worktreeinclude"),
            "{make}: {notes}"
        );
    }
}
