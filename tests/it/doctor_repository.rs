//! What the doctor finds in repositories: their kinds, how they are checked out, and what a git that was killed leaves.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::doctor::{assert_found, complaints, diagnosed, doctor, findings, healthy};
use crate::support::{Project, ran, skipped};

/// A repository of a format that not every git can make; nothing when this one cannot.
fn repository_of(format: &str) -> Option<Project> {
    let project = healthy(Project::empty());
    fs::create_dir(project.repo()).expect("make a directory");
    let made = project.command("git").args(["init", "-q", format]).output();
    if !made.expect("run git").status.success() {
        skipped(&format!("this git has no {format}"));
        return None;
    }
    project.git(&["commit", "-q", "--allow-empty", "-m", "first"]);
    Some(project)
}

#[test]
fn git_is_missing_or_too_old() {
    let mut project = healthy(Project::new());
    let real = project.sh("command -v git");
    for (said, level, parts) in [
        ("git version 2.29.3", "problem", ["2.29 is too old", "upgrade git"]),
        ("git version 2.30.0", "warning", ["cannot plan merges", "2.41"]),
        ("nonsense", "problem", ["nonsense", "install git"]),
    ] {
        let script = format!(
            "case \"$*\" in --version) echo '{said}' ;; *) exec {} \"$@\" ;; esac",
            real.trim()
        );
        project.program("bin/git", &script);
        let doc = doctor(&project, &[]);
        assert_found(&doc, "git", level, &parts);
        assert_eq!(complaints(&doc, "git").len(), 1, "{doc:#}");
    }
    fs::remove_file(project.root().join("bin/git")).expect("remove a program");
    project.set("PATH", project.root().join("bin").to_str().expect("UTF-8"));
    let doc = doctor(&project, &[]);
    assert_found(&doc, "git", "problem", &["git cannot be started", "install git"]);
    assert_eq!(doc["problems"], 1, "{doc:#}");
}

#[test]
fn without_a_repository_or_a_commit() {
    let project = healthy(Project::empty());
    let doc = doctor(&project, &[]);
    assert_found(
        &doc,
        "repository",
        "warning",
        &["no git repository", "git init", "--no-worktree"],
    );
    assert_eq!(doc["problems"], 0, "{doc:#}");
    fs::create_dir(project.repo()).expect("make a directory");
    project.git(&["init", "-q", "-b", "main"]);
    assert_found(
        &doctor(&project, &[]),
        "repository",
        "problem",
        &["no commit yet", "git commit"],
    );
    // The hint works as it stands.
    project.sh(&format!(
        "{} -q",
        hint_of(&project, "no commit yet").trim_start_matches("make one: ")
    ));
    assert_eq!(doctor(&project, &[])["problems"], 0);
}

/// What to do about what is so.
fn hint_of(project: &Project, so: &str) -> String {
    let doc = project.run(&["doctor", "--json"]).json();
    let found = findings(&doc)
        .iter()
        .find(|f| f["message"].as_str().is_some_and(|m| m.contains(so)));
    let hint = found.and_then(|f| f["hint"].as_str());
    hint.unwrap_or_else(|| panic!("no hint about {so} in {doc:#}"))
        .to_owned()
}

#[test]
fn a_git_that_hangs_is_asked_once() {
    let project = healthy(Project::new());
    let real = project.sh("command -v git");
    for hangs in ["*", "*config*"] {
        let script = format!(
            "case \"$*\" in {hangs}) sleep 600 ;; *) exec {} \"$@\" ;; esac",
            real.trim()
        );
        project.program("bin/git", &script);
        let began = Instant::now();
        let doc = project.run(&["doctor", "--json"]).json();
        assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
        let check = if hangs == "*" { "git" } else { "repository" };
        assert_found(
            &doc,
            check,
            "problem",
            &["not ended by itself after 10 s", "command -v git"],
        );
        assert_eq!(doc["problems"], 1, "{doc:#}");
        let left: Vec<String> = project.processes().into_iter().map(|process| process.line).collect();
        assert_eq!(left, [""; 0]);
    }
    // Nor does a session wait for it for ever.
    let ran = project.run(&["run", "--agent", "scripted", "-p", "@say hi"]);
    ran.assert_refused(3, &["not ended by itself after 10 s"]);
}

#[test]
fn a_repository_that_libgit2_cannot_open() {
    for format in ["--object-format=sha256", "--ref-format=reftable"] {
        if let Some(project) = repository_of(format) {
            let doc = doctor(&project, &[]);
            assert_found(&doc, "repository", "problem", &["cannot open", "SHA-1", "not reftable"]);
            assert_eq!(doc["problems"], 1, "{doc:#}");
            // Where its sessions are is not known: nothing is said of them.
            let of_them = |f: &Value| f["check"] == "sessions" || f["check"] == "leftovers";
            assert!(!findings(&doc).iter().any(of_them), "{doc:#}");
        }
    }
}

// Fault 18: submodules are named.
#[test]
fn what_is_unusual_about_a_repository_is_said_with_what_it_means() {
    let mut project = healthy(Project::new());
    // A submodule, and an identity that is not there.
    project.sh("git init -q ../inner; git -C ../inner commit -q --allow-empty -m inner");
    project.git(&[
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        "../inner",
        "lib/inner",
    ]);
    project.git(&["commit", "-qm", "with a submodule"]);
    project.set("GIT_CONFIG_GLOBAL", "/dev/null");
    let doc = doctor(&project, &[]);
    assert_found(
        &doc,
        "repository",
        "warning",
        &["1 submodule", "lib/inner", "empty", "git submodule update --init"],
    );
    assert_found(
        &doc,
        "repository",
        "warning",
        &["does not know who you are", "pleach@localhost", "user.email"],
    );
    // Shallow and bare.
    let url = format!("file://{}", project.repo().display());
    for (kind, part) in [("--depth=1", "shallow"), ("--bare", "bare")] {
        let clone = project.root().join(part);
        project.git(&["clone", "-q", kind, &url, clone.to_str().expect("UTF-8")]);
        let json = ran(project.pleach_command(&["doctor", "--json"]).current_dir(&clone));
        let text = ran(project.pleach_command(&["doctor"]).current_dir(&clone));
        assert_found(&diagnosed(&json, &text), "repository", "note", &[part, "sessions run"]);
    }
}

// Fault 17: a partial clone.
#[test]
fn a_partial_clone_works_as_far_as_its_files_are_there() {
    let project = healthy(Project::new());
    project.git(&["config", "uploadpack.allowFilter", "true"]);
    let url = format!("file://{}", project.repo().display());
    let clone = project.root().join("clone");
    let to = clone.to_str().expect("UTF-8");
    project.git(&["clone", "-q", "--filter=blob:none", "--no-checkout", &url, to]);
    let look = || {
        let json = ran(project.pleach_command(&["doctor", "--json"]).current_dir(&clone));
        let text = ran(project.pleach_command(&["doctor"]).current_dir(&clone));
        diagnosed(&json, &text)
    };
    let doc = look();
    assert_found(
        &doc,
        "repository",
        "problem",
        &["1 object is", "partial clone", "git archive"],
    );
    // As it says: worktrees cannot be made.
    let run = |prompt: &str| {
        let arguments = ["run", "--sync", "--agent", "scripted", "-p", prompt];
        ran(project.pleach_command(&arguments).current_dir(&clone))
    };
    assert_eq!(run("@say hi").code(), 1);
    // And what it says helps.
    let hints = findings(&doc).iter().filter_map(|f| f["hint"].as_str());
    let command = hints
        .filter_map(|h| h.split_once("git archive"))
        .map(|(_, rest)| format!("git archive{rest}"))
        .next();
    let fetched = project
        .command("sh")
        .args(["-c", &command.expect("a command")])
        .current_dir(&clone)
        .status();
    assert!(fetched.expect("run git").success());
    assert_found(&look(), "repository", "note", &["partial clone", "all of HEAD"]);
    assert_eq!(run("@say hi").code(), 0);
}

#[test]
fn how_worktrees_are_checked_out_and_why() {
    let project = healthy(Project::new());
    project.write(".gitattributes", "*.bin filter=lfs\n*.c ident\n");
    project.git(&["add", "."]);
    project.git(&["commit", "-qm", "attributes"]);
    let doc = doctor(&project, &[]);
    assert_found(&doc, "checkout", "note", &["the git program", "because of filter"]);
    assert_found(
        &doc,
        "checkout",
        "warning",
        &["Git LFS", "not configured", "pointers", "git lfs install"],
    );
    assert_found(&doc, "checkout", "note", &["attribute ident"]);
    // Configured, and its program is not there.
    project.git(&["config", "filter.lfs.process", "not-there filter-process"]);
    assert_found(
        &doctor(&project, &[]),
        "checkout",
        "warning",
        &["not-there", "is not there"],
    );
    project.git(&["config", "filter.lfs.required", "true"]);
    assert_found(
        &doctor(&project, &[]),
        "checkout",
        "problem",
        &["not-there", "worktrees cannot be made"],
    );
    project.program("bin/not-there", "");
    let doc = doctor(&project, &[]);
    assert_found(&doc, "checkout", "ok", &["Git LFS", "not-there filter-process"]);
    assert_eq!(complaints(&doc, "checkout"), [""; 0]);
    // A hook, and what makes git slower or other.
    project.sh("printf '#!/bin/sh\n' >.git/hooks/post-checkout; chmod +x .git/hooks/post-checkout");
    project.git(&["config", "core.fsmonitor", "true"]);
    project.git(&["config", "core.splitIndex", "true"]);
    let doc = doctor(&project, &[]);
    assert_found(&doc, "checkout", "note", &["post-checkout", "not run"]);
    assert_found(&doc, "checkout", "note", &["core.fsmonitor"]);
    assert_found(&doc, "checkout", "note", &["a split index"]);
    project.git(&["config", "core.hooksPath", "elsewhere"]);
    let doc = doctor(&project, &[]);
    assert!(!doc.to_string().contains("post-checkout"), "{doc:#}");
    project.git(&["sparse-checkout", "set", "--no-cone", "*.md"]);
    assert_found(&doctor(&project, &[]), "checkout", "note", &["a sparse checkout"]);
}

// Fault 35: stale locks are named with their age.
#[test]
fn stale_locks_and_worktrees_that_are_gone() {
    let project = healthy(Project::new());
    project.sh("git worktree add -q ../here; git worktree add -q ../gone; rm -r ../gone");
    let locks = [
        "index.lock",
        "objects/maintenance.lock",
        "refs/heads/some/branch.lock",
        "worktrees/here/HEAD.lock",
    ];
    for lock in locks {
        project.sh(&format!(
            "mkdir -p .git/$(dirname {lock}); touch -d '2 hours ago' .git/{lock}"
        ));
    }
    project.sh("touch .git/config.lock");
    let doc = doctor(&project, &[]);
    for lock in locks {
        assert_found(
            &doc,
            "locks",
            "warning",
            &[lock, "2 hours", "when no git runs here: rm "],
        );
    }
    assert_found(&doc, "locks", "note", &["config.lock", "may be at work"]);
    let gone = project.root().join("gone").display().to_string();
    assert_found(
        &doc,
        "locks",
        "warning",
        &["1 worktree", &gone, "git worktree prune", "git worktree repair"],
    );
    assert_eq!(complaints(&doc, "locks").len(), 5, "{doc:#}");
    assert_eq!(doc["problems"], 0, "{doc:#}");
}
