//! Says why branches are left out: where they conflict with what was merged, with whom, and what resolving it takes.

use std::collections::BTreeSet;
use std::path::Path;

use git2::{ObjectType, Oid, Repository, Tree};

use super::chain::Chains;
use super::engine::{Conflict, Merged};
use super::look::Looked;
use super::markers::{self, Marked};
use super::plan::{LeftOut, Pairs, PlanError, TARGET};
use super::walk::Walked;
use crate::git::GitError;

/// git puts no markers into what is larger, or nobody would resolve it by hand.
const MOST_BYTES: usize = 64 << 20;

/// All that was not merged, in the order of the tasks.
pub(super) fn left_out(chains: &mut Chains, walked: &Walked, pairs: &Pairs) -> Result<Vec<LeftOut>, PlanError> {
    let mut left_out = Vec::new();
    for (index, one) in chains.looked.iter().enumerate() {
        if one.merge_base.is_none() {
            left_out.push(unrelated(one));
            continue;
        }
        if one.merged.is_none() || walked.links.iter().any(|link| link.branch == index) {
            continue;
        }
        let Merged::Conflicts { tree, paths } = chains.merge(walked.commit, index)? else {
            continue;
        };
        let with = collides_with(chains, walked, pairs, index, &paths)?;
        let resolving = Resolving {
            repository: chains.ground().engine.repository(),
            ours: walked.commit.to_string(),
            theirs: one,
        };
        let paths: BTreeSet<String> = paths.into_iter().map(|c| c.path).collect();
        let marked = resolving.takes(tree, &paths);
        let marked = marked.map_err(GitError::libgit2("cannot read what a merge leaves"))?;
        left_out.push(LeftOut {
            branch: one.branch.name.clone(),
            with,
            paths: paths.into_iter().collect(),
            hunks: marked.hunks,
            lines: marked.lines,
        });
    }
    Ok(left_out)
}

/// git refuses to merge what has no commit in common.
fn unrelated(one: &Looked) -> LeftOut {
    LeftOut {
        branch: one.branch.name.clone(),
        with: vec![TARGET.to_owned()],
        paths: Vec::new(),
        hunks: 0,
        lines: 0,
    }
}

/// The target, where the branch conflicts with it by itself; and for all other conflicts the merged
/// branches that conflict with this one when nothing else is merged, or those that it takes together.
fn collides_with(
    chains: &mut Chains,
    walked: &Walked,
    pairs: &Pairs,
    index: usize,
    paths: &[Conflict],
) -> Result<Vec<String>, PlanError> {
    let looked = chains.looked;
    let with_target: BTreeSet<&String> = match &looked[index].merged {
        Some(Merged::Conflicts { paths, .. }) => paths.iter().map(|c| &c.path).collect(),
        _ => BTreeSet::new(),
    };
    let is_new = |c: &Conflict| !with_target.contains(&c.path);
    let mut with = Vec::new();
    // Also when a merged branch has renamed what it conflicts in.
    if !with_target.is_empty() {
        with.push(TARGET.to_owned());
    }
    if paths.iter().any(is_new) {
        let name = &looked[index].branch.name;
        let is_pair = |other: &String| {
            let mut conflicts = pairs.conflicts.iter();
            conflicts.any(|p| (&p.a, &p.b) == (name, other) || (&p.a, &p.b) == (other, name))
        };
        let merged = walked.links.iter().map(|link| link.branch);
        let mut others: Vec<usize> = merged.filter(|b| is_pair(&looked[*b].branch.name)).collect();
        if others.is_empty() {
            others = chains.needed(&walked.links, index, &is_new)?;
        }
        with.extend(others.into_iter().map(|b| looked[b].branch.name.clone()));
    }
    Ok(with)
}

/// A merge that leaves conflicts.
struct Resolving<'r> {
    repository: &'r Repository,
    /// The commit that is merged into.
    ours: String,
    theirs: &'r Looked,
}

impl Resolving<'_> {
    /// What it takes: a file without markers is one place.
    fn takes(&self, tree: Oid, paths: &BTreeSet<String>) -> Result<Marked, git2::Error> {
        let tree = self.repository.find_tree(tree)?;
        let mut all = Marked::default();
        for path in paths {
            let marked = self.marked(&tree, path)?;
            all.hunks += marked.hunks.max(1);
            all.lines += marked.lines;
        }
        Ok(all)
    }

    /// What is between markers in one file.
    fn marked(&self, tree: &Tree, path: &str) -> Result<Marked, git2::Error> {
        let id = &self.theirs.branch.head;
        // In the tree a file that had to make way has the commit's id in its name, which nothing else is named after.
        let typed = self.theirs.branch.revision.replace('/', "_");
        let free = path.trim_end_matches(|c: char| c.is_ascii_digit());
        let free = free.strip_suffix('_').unwrap_or(path);
        let moved = [
            path.to_owned(),
            free.replace("~HEAD", &format!("~{}", self.ours)),
            free.replace(&format!("~{typed}"), &format!("~{id}")),
            path.replace(&format!("~{typed}"), &format!("~{id}")),
        ];
        let entry = moved.iter().find_map(|path| tree.get_path(Path::new(path)).ok());
        let Some(entry) = entry.filter(|e| e.kind() == Some(ObjectType::Blob)) else {
            return Ok(Marked::default());
        };
        if self.repository.odb()?.read_header(entry.id())?.0 > MOST_BYTES {
            return Ok(Marked::default());
        }
        let blob = self.repository.find_blob(entry.id())?;
        Ok(markers::count(blob.content(), &self.ours, id))
    }
}
