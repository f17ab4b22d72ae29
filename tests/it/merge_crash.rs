//! Merges and their undoing, killed at many moments, the gits that they run too: the target is where it was or where
//! it was to be, every file of the user's is intact, and the next command settles what was cut off.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::merge::at;
use crate::support::Project;

const FILES: usize = 300;

/// A checkout of a few hundred files, of which a session changes, deletes, moves and adds many.
fn project() -> Project {
    let project = Project::new();
    for number in 0..FILES {
        let line = format!("{number} is a line\n");
        project.write(&format!("d{}/{number}.txt", number % 7), line.repeat(40));
    }
    project.sh("git add -A; git commit -qm many; git gc -q");
    let does = "@run sed -i 1s/.*/first/ d1/*.txt d2/*.txt\n@run rm -r d3; mkdir d3x; mv d4 d3x/; echo file >d3; \
                chmod +x d5/*.txt; for n in $(seq 80); do mkdir -p new/$n; echo $n >new/$n/n.txt; done";
    project.session(&[("t", does)], &[]).assert_exit(0);
    // What is the user's: staged, changed, untracked and ignored.
    project.write(".git/info/exclude", "*.ignored\n");
    project.write("d1/mine.ignored", "ignored\n");
    project.write("untracked.txt", "untracked\n");
    project.write("staged.txt", "staged\n");
    project.sh("git add staged.txt; echo changed >>README.md");
    project
}

/// The children of a process that run git.
fn gits_of(parent: u32) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_one = |dir: &Path| {
        let stat = fs::read_to_string(dir.join("stat")).unwrap_or_default();
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        stat.contains("(git)") && rest.split_whitespace().nth(1) == Some(&parent.to_string())
    };
    let pids = entries.filter(|entry| is_one(&entry.path()));
    pids.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}

/// Kills pleach, its git, or both, after a while; tells whether it was too late.
fn killed_after(command: &mut Command, wait: Duration, who: u64) -> bool {
    let mut child = (command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0))
        .spawn()
        .expect("start pleach");
    sleep(wait);
    let ended = child.try_wait().expect("look").is_some();
    let gits = gits_of(child.id());
    if who != 0 {
        for pid in &gits {
            let _ = kill_process(*pid, Signal::KILL);
        }
    }
    if who != 1 {
        let _ = child.kill();
    }
    child.wait().expect("wait");
    ended
}

#[test]
fn whatever_is_killed_when_all_or_nothing_has_moved_and_nothing_is_lost() {
    if !Path::new("/proc/self/stat").exists() {
        return crate::support::skipped("whose child a git is cannot be told here");
    }
    let project = project();
    let repetitions: u32 = std::env::var("PLEACH_TEST_CRASHES").map_or(3, |n| n.parse().expect("a number"));
    let mut tried = 0_u32;
    let status = || project.git(&["status", "--porcelain", "--ignored"]);
    let (old, before) = (at(&project, "main"), status());
    let begun = Instant::now();
    assert_eq!(project.run(&["merge", "-y"]).code(), 0);
    let (takes, tree) = (begun.elapsed(), at(&project, "main^{tree}"));
    assert_eq!(project.run(&["undo", "-y"]).code(), 0);
    for n in 0..repetitions {
        for verb in ["merge", "undo"] {
            // Moments that lie apart from each other, whatever their number.
            tried += 1;
            let wait = takes.mul_f64(f64::from(tried) * 0.618_034 % 1.1);
            let who = u64::from(tried % 3);
            let what = format!("{n}: {verb}, killed after {wait:?}, {who}");
            let from = at(&project, "main");
            let late = killed_after(&mut project.pleach_command(&[verb, "-y"]), wait, who);
            let now = at(&project, "main");
            assert!(
                now == from || now == old || at(&project, "main^{tree}") == tree,
                "{what}"
            );
            // A git that lost its pleach goes on; who has an index or its lock is waited for, or named.
            let ran = project.until("it is settled", |project| {
                let ran = project.run(&[verb, "-y"]);
                let words = ["is merging or undoing", ".lock"];
                let waits = ran.code() == 3 && words.iter().any(|word| ran.err().contains(word));
                if waits && ran.err().contains(".lock") {
                    // As the hint says.
                    project.sh("rm -f .git/index.lock .git/HEAD.lock .git/refs/heads/main.lock");
                }
                (!waits).then_some(ran)
            });
            // An undo that was too late to be killed has left none.
            let none = verb == "undo" && ran.err().contains("no merge of pleach's here");
            assert!(ran.code() == 0 || none, "{what}, {late}: {ran:?}");
            let expected = if verb == "merge" {
                &tree
            } else {
                &at(&project, &format!("{old}^{{tree}}"))
            };
            assert_eq!(at(&project, "main^{tree}"), *expected, "{what}: {ran:?}");
            assert_eq!(status(), before, "{what}: {ran:?}");
            for (file, content) in [
                ("d1/mine.ignored", "ignored\n"),
                ("untracked.txt", "untracked\n"),
                ("staged.txt", "staged\n"),
            ] {
                let found = fs::read_to_string(project.repo().join(file)).ok();
                assert_eq!(found.as_deref(), Some(content), "{what}: {file}");
            }
        }
    }
    assert_eq!(at(&project, "main"), old);
    project.git(&["fsck", "--no-dangling"]);
    let records = project.sh("cat .git/pleach/merges/*.json");
    for state in ["\"landing\"", "\"undoing\""] {
        assert!(!records.contains(state), "{records}");
    }
}
