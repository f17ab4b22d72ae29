//! How a branch stands to the target: what is in it already by other commits, after a squash, a rebase or a cherry-pick,
//! and what only looks so. What is called merged is compared with `git cherry`.

use serde_json::{Value, json};

use crate::plan_shown::{output, script, text, words};
use crate::support::Project;

/// What happened to the branch `b`, of two commits, which began at `main`.
struct Case {
    name: &'static str,
    /// A shell script on `main`, when `b` is there.
    after: &'static str,
    state: &'static str,
    /// Whether `git cherry` says so too of each of its commits.
    cherry: bool,
}

const CASE: Case = Case {
    name: "",
    after: "",
    state: "merged",
    cherry: false,
};

/// What makes the merge conflict, or give another tree, by now.
const GONE_ON: &str = "sed -i '1s/.*/mine/;8s/.*/mine/' l.txt; git commit -qam on";

fn is_so(cases: &[Case]) {
    for case in cases {
        let project = Project::new();
        script(
            &project,
            &project.repo(),
            "seq 8 >l.txt; git add .; git commit -qm lines; git switch -qc b
            sed -i 1s/.*/first/ l.txt; git commit -qam first; sed -i 8s/.*/last/ l.txt; git commit -qam last
            git switch -q main; echo on >on.txt; git add .; git commit -qm on",
        );
        script(&project, &project.repo(), &case.after.replace("GONE_ON", GONE_ON));
        let plan = project.query(&["plan", "--branch", "b"]);
        let said = project.run(&["plan", "--branch", "b"]).out();
        assert_eq!(plan["branches"][0]["state"], case.state, "{}: {plan:#}", case.name);
        let cherry = project.git(&["cherry", "main", "b"]);
        assert_eq!(cherry.lines().all(|l| l.starts_with('-')), case.cherry, "{}", case.name);
        if case.state != "merged" {
            continue;
        }
        assert_eq!(plan["steps"], json!([]));
        assert_eq!(plan["left_out"], json!([]));
        assert_eq!(plan["cleanup_commands"], json!([]), "git branch -d would refuse it");
        assert!(said.contains("\nnothing to merge\n"), "{said}");
        // It is offered apart, and works.
        let ask = "\n  git branch -D b\n";
        assert!(said.contains(ask), "{said}");
        script(&project, &project.repo(), ask);
    }
}

#[test]
fn what_is_in_the_target_by_other_commits_is_merged() {
    is_so(&[
        Case {
            name: "squashed",
            after: "git merge -q --squash b; git commit -qm squashed",
            ..CASE
        },
        Case {
            name: "squashed, and the target went on",
            after: "git merge -q --squash b; git commit -qm squashed; GONE_ON",
            ..CASE
        },
        Case {
            name: "rebased, and the target went on",
            after: "git branch r b; git rebase -q main r; git switch -q main; git merge -q r; GONE_ON",
            cherry: true,
            ..CASE
        },
        Case {
            name: "cherry-picked in another order, and the target went on",
            after: "git cherry-pick b b~ >../out; GONE_ON",
            cherry: true,
            ..CASE
        },
        Case {
            name: "cherry-picked among much else",
            after:
                "for i in 1 2 3; do echo $i >>on.txt; git commit -qam on$i; echo $i >>l.txt; git commit -qam l$i; done
                sed -i 9,11d l.txt; git commit -qam less
                git cherry-pick b~ b >../out; for i in 4 5; do echo $i >>on.txt; git commit -qam on$i; done; GONE_ON",
            cherry: true,
            ..CASE
        },
        Case {
            name: "the same changes, made by somebody else at once",
            after: "sed -i '1s/.*/first/;8s/.*/last/' l.txt; echo more >m.txt; git add .; git commit -qm mine",
            ..CASE
        },
        Case {
            name: "squashed after the branch had taken the target in",
            after:
                "git switch -q b; git merge -q --no-edit main; git switch -q main; echo two >on.txt; git commit -qam two
                git merge -q --squash b; git commit -qm squashed; GONE_ON",
            ..CASE
        },
        Case {
            name: "squashed with an empty commit on it",
            after: "git merge -q --squash b; git commit -qm squashed; GONE_ON; git switch -q b
                git commit -q --allow-empty -m nothing; git switch -q main",
            ..CASE
        },
    ]);
}

#[test]
fn what_is_only_partly_there_is_not() {
    is_so(&[
        Case {
            name: "the first of two",
            after: "git cherry-pick b~ >../out; GONE_ON",
            state: "conflicts",
            ..CASE
        },
        Case {
            name: "the same lines with another white space, for which git cherry does not care",
            after: "sed -i '1s/.*/fi rst/' l.txt; git commit -qam 1; sed -i '8s/.*/la st/' l.txt; git commit -qam 2",
            state: "conflicts",
            cherry: true,
        },
        Case {
            name: "one of two commits that are alike",
            after: "git switch -qC b; yes same | head -8 >l.txt; git commit -qam base; git branch -f main
                echo same >>l.txt; git commit -qam 1; echo same >>l.txt; git commit -qam 2; git switch -q main
                echo >new; git add .; git commit -qm new; git cherry-pick b~ >../out
                echo other >>l.txt; git commit -qam other",
            state: "conflicts",
            cherry: true,
        },
        Case {
            name: "squashed, and the branch went on",
            after:
                "git merge -q --squash b; git commit -qm squashed; GONE_ON; git switch -q b; sed -i 1s/.*/more/ l.txt
                git commit -qam more; git switch -q main",
            state: "conflicts",
            ..CASE
        },
        Case {
            name: "before the branch began",
            after: "git reset -q --hard; git branch -D b -q; sed -i 1s/.*/first/ l.txt; git commit -qam 1
                git revert --no-edit HEAD >../out; git switch -qc b; sed -i 1s/.*/first/ l.txt; git commit -qam 2
                git switch -q main; sed -i 1s/.*/mine/ l.txt; git commit -qam 3",
            state: "conflicts",
            ..CASE
        },
        Case {
            name: "with a merge that holds a change of its own, at which git cherry does not look",
            after: "git cherry-pick b~ b >../out; git switch -q b; git merge -q --no-commit main~2
                sed -i 4s/.*/evil/ l.txt; git commit -qam evil; git switch -q main; GONE_ON",
            state: "conflicts",
            cherry: true,
        },
    ]);
}

#[test]
fn modes_bytes_and_renames_count() {
    for (change, same, state) in [
        ("chmod +x l.txt", "chmod +x l.txt", "merged"),
        ("chmod +x x.sh; seq 9 >l.txt", "chmod +x x.sh; seq 9 >l.txt", "merged"),
        // What git cherry takes for the same: the other way round.
        ("chmod +x x.sh; seq 9 >l.txt", "chmod -x y.sh; seq 9 >l.txt", "ready"),
        (r"printf 'a\000b' >x.bin", r"printf 'a\000b' >x.bin", "merged"),
        (r"printf 'a\000b' >x.bin", r"printf 'a\000c' >x.bin", "conflicts"),
        ("git mv l.txt m.txt", "git mv l.txt m.txt", "merged"),
        ("git rm -q l.txt", "git rm -q l.txt", "merged"),
        ("ln -s l.txt s", "ln -s l.txt s", "merged"),
        ("seq 300000 >big", "seq 300000 >big", "merged"),
        ("seq 300000 >big", "seq 300001 >big", "conflicts"),
        ("printf x >e", "echo x >e", "conflicts"),
    ] {
        let project = Project::new();
        script(
            &project,
            &project.repo(),
            &format!(
                "seq 8 >l.txt; touch x.sh y.sh; chmod +x y.sh; git add .; git commit -qm lines; git switch -qc b
                {change}; git add .; git commit -qm b; git switch -q main; {same}; git add .; git commit -qm same"
            ),
        );
        // Here the tree decides; when the target has changed all of it again, the patch does.
        let plan = project.query(&["plan", "--branch", "b"]);
        assert_eq!(plan["branches"][0]["state"], state, "{change}, {same}: {plan:#}");
        script(&project, &project.repo(), "git revert --no-edit HEAD >../out");
        let plan = project.query(&["plan", "--branch", "b"]);
        let state = if state == "merged" { "merged" } else { "ready" };
        assert_eq!(plan["branches"][0]["state"], state, "{change}, {same}: {plan:#}");
    }
}

/// What a driver or an attribute drops is in the target in no way: with the branch it would be gone.
#[test]
fn what_a_merge_drops_is_not_called_merged() {
    for (attribute, change) in [
        ("merge=keep", "sed -i s/3/three/ l.txt"),
        ("merge=union", "sed -i 3d l.txt"),
    ] {
        let project = Project::new();
        script(
            &project,
            &project.repo(),
            &format!(
                "git config merge.keep.driver true; seq 5 >l.txt; echo 'l.txt {attribute}' >.gitattributes; git add .
                git commit -qm lines; git switch -qc b; {change}; git commit -qam b
                git switch -q main; sed -i s/3/drei/ l.txt; git commit -qam mine"
            ),
        );
        let plan = project.query(&["plan", "--branch", "b"]);
        assert_eq!(plan["branches"][0]["state"], "empty", "{plan:#}");
        let said = project.run(&["plan", "--branch", "b"]).out();
        assert!(!said.contains("git branch"), "{said}");
    }
}

/// A branch whose commits are all in the target by then is deleted by `git branch -d`; one that is there by content is not.
#[test]
fn the_clean_up_works_for_each_kind_of_merged() {
    let project = Project::new();
    script(
        &project,
        &project.repo(),
        "for b in ready ancestor picked upstream local; do
            git switch -qc $b main; echo $b >$b.txt; git add .; git commit -qm $b; done
        git switch -q main; git merge -q --no-edit ancestor; git cherry-pick picked >../out
        git update-ref refs/remotes/origin/upstream upstream~; git branch -q --set-upstream-to=main local
        git config remote.origin.url nowhere
        git config remote.origin.fetch '+refs/heads/*:refs/remotes/origin/*'
        git branch -q --set-upstream-to=origin/upstream upstream",
    );
    let named = ["ready", "ancestor", "picked", "upstream", "local"].map(|name| format!("--branch={name}"));
    for (squash, cleanup, left) in [
        ("", vec!["git branch -d ready ancestor local"], "main picked upstream "),
        (
            "--squash",
            vec!["git branch -d ancestor"],
            "local main picked ready upstream ",
        ),
    ] {
        let mut arguments = vec!["plan"];
        arguments.extend(named.iter().map(String::as_str));
        arguments.extend((!squash.is_empty()).then_some(squash));
        let plan = project.query(&arguments);
        let states: Vec<&str> = plan["branches"]
            .as_array()
            .expect("branches")
            .iter()
            .map(|b| text(&b["state"]))
            .collect();
        assert_eq!(states, ["ready", "merged", "merged", "ready", "ready"]);
        assert_eq!(words(&plan["cleanup_commands"]), cleanup);
        let copy = project.root().join("copy");
        script(&project, project.root(), "rm -rf copy; cp -a repo copy");
        for command in [words(&plan["merge_commands"]), words(&plan["cleanup_commands"])].concat() {
            script(&project, &copy, command);
        }
        let branches = output(&project, &copy, "git branch --format='%(refname:short)' | tr '\\n' ' '");
        assert_eq!(branches, left);
        let tree = output(&project, &copy, "git rev-parse HEAD^{tree}; git status --porcelain");
        assert_eq!(tree.trim(), text(&plan["final_tree"]));
    }
}

/// Whatever the user's configuration says of fast-forwards, the commands of a squash work, and leave the trees that the
/// plan names; afterwards all is merged.
#[test]
fn the_commands_of_a_squash_work_as_they_are_typed() {
    for configuration in ["true", "git config merge.ff only", "git config merge.ff false"] {
        let project = Project::new();
        script(
            &project,
            &project.repo(),
            &format!(
                "{configuration}; seq 8 >l.txt; git add .; git commit -qm lines
                git switch -qc a; sed -i 1s/.*/a/ l.txt; git commit -qam a; git switch -qc on-a
                sed -i 4s/.*/a/ l.txt; git commit -qam on-a; git switch -qc same main; sed -i 1s/.*/a/ l.txt
                git commit -qam same; git switch -qc c main; echo c >c.txt; git add .; git commit -qm c; git switch -q main"
            ),
        );
        let named = ["a", "on-a", "same", "c"].map(|name| format!("--branch={name}"));
        let arguments = [&["plan", "--squash"][..], &named.each_ref().map(String::as_str)].concat();
        let plan = project.query(&arguments);
        assert_eq!(plan["mode"], "squash");
        assert_eq!(plan["steps"].as_array().map(Vec::len), Some(4), "{plan:#}");
        let commands = words(&plan["merge_commands"]);
        // Of what changes nothing any more there is nothing to commit.
        let squash = |name: &str| format!("git merge --squash --ff {name} && git commit --no-edit");
        assert_eq!(commands, [squash("a"), squash("on-a"), squash("c")]);
        for command in commands {
            script(&project, &project.repo(), command);
        }
        let tree = project.git(&["rev-parse", "HEAD^{tree}"]);
        assert_eq!(tree.trim(), text(&plan["final_tree"]));
        assert_eq!(project.git(&["status", "--porcelain"]), "");
        assert_eq!(project.git(&["rev-list", "--count", "--merges", "HEAD"]), "0\n");
        let again = project.query(&arguments);
        for branch in again["branches"].as_array().expect("branches") {
            assert_eq!(branch["state"], "merged", "{again:#}");
        }
        assert_eq!(again["steps"], Value::Array(Vec::new()));
    }
}
