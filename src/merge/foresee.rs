//! What can make `git merge` do something else than a plan says, or refuse.

use git2::Repository;
use rustix::fs::{Access, access};

/// The options that `git merge` takes from the configuration of the target, and the hooks that it runs.
pub(super) fn cannot_foresee(repository: &Repository, onto: Option<&str>) -> Vec<String> {
    let Ok(config) = repository.config().and_then(|mut c| c.snapshot()) else {
        return Vec::new();
    };
    let key = onto.map(|branch| format!("branch.{branch}.mergeOptions"));
    let options = key.and_then(|key| Some(format!("{key} = {}", config.get_str(&key).ok()?)));
    let root = repository.workdir().unwrap_or(repository.path());
    let hooks = match config.get_path("core.hooksPath") {
        Ok(dir) => root.join(dir),
        Err(_) => repository.commondir().join("hooks"),
    };
    let runs = |name: &&str| access(hooks.join(name), Access::EXEC_OK).is_ok();
    let hooks = ["pre-merge-commit", "prepare-commit-msg", "commit-msg", "post-merge"];
    let hooks = hooks.into_iter().filter(runs).map(|name| format!("the hook {name}"));
    options.into_iter().chain(hooks).collect()
}
