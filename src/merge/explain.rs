//! Says why branches are left out: where they conflict with what was merged, with whom, and what resolving it takes.

use std::collections::BTreeSet;

use super::engine::Merged;
use super::look::Looked;
use super::plan::{BranchState, LeftOut, Pairs, PlanError, TARGET};
use super::walk::{Ground, Walked};

/// All that was not merged, in the order of the tasks.
pub(super) fn left_out(
    ground: &Ground,
    looked: &[Looked],
    walked: &Walked,
    pairs: &Pairs,
) -> Result<Vec<LeftOut>, PlanError> {
    let mut left_out = Vec::new();
    for (index, one) in looked.iter().enumerate() {
        let unrelated = one.merge_base.is_none();
        if !unrelated && (one.merged.is_none() || walked.merged.contains(&index)) {
            continue;
        }
        let mut paths = Vec::new();
        if !unrelated && let Merged::Conflicts { paths: found, .. } = ground.engine.merge(one.onto(walked.commit))? {
            paths = found.into_iter().map(|c| c.path).collect();
        }
        let with = match one.branch.state {
            BranchState::Conflicts => vec![TARGET.to_owned()],
            _ => collides_with(looked, walked, pairs, one),
        };
        left_out.push(LeftOut {
            branch: one.branch.name.clone(),
            with,
            hunks: paths.len(),
            paths,
            lines: 0,
        });
    }
    Ok(left_out)
}

/// The merged branches that conflict with this one when nothing else is merged; when none does by itself, all.
fn collides_with(looked: &[Looked], walked: &Walked, pairs: &Pairs, one: &Looked) -> Vec<String> {
    let name = &one.branch.name;
    let of_pairs: BTreeSet<&String> = pairs
        .conflicts
        .iter()
        .filter_map(|p| match () {
            () if p.a == *name => Some(&p.b),
            () if p.b == *name => Some(&p.a),
            () => None,
        })
        .collect();
    let merged = || walked.merged.iter().map(|i| looked[*i].branch.name.clone());
    let with: Vec<String> = merged().filter(|name| of_pairs.contains(name)).collect();
    if with.is_empty() { merged().collect() } else { with }
}
