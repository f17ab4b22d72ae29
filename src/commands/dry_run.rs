//! `pleach run --dry-run`: all that `run` checks, and what it would start. Nothing is made.

use std::collections::BTreeMap;
use std::path::Path;

use uuid::Uuid;

use super::output;
use super::preflight::Prepared;
use crate::error::{Error, exit};
use crate::report::{self, DryRun, DryTask};
use crate::session::SessionSpec;
use crate::store::paths::SessionPaths;
use crate::supervisor::{Beginning, runner_request, would_wait};

/// Shows it. `dirty` is the warning about the checkout, if there is one.
pub(super) fn show(prepared: &Prepared, dirty: Option<String>, as_json: bool) -> Result<u8, Error> {
    let session = SessionPaths::of(&prepared.results, prepared.spec.session_id);
    let document = dry_run(&prepared.spec, session.dir());
    if as_json {
        report::json(&document).map_err(output)?;
    } else {
        report::out(&report::dry_run(&prepared.spec, &document)).map_err(output)?;
    }
    for warning in prepared.warnings.iter().cloned().chain(dirty) {
        report::warning(&warning);
    }
    if let Some(why) = would_wait(&prepared.spec, &prepared.results) {
        report::warning(&format!("no task would start now: it would wait for {why}"));
    }
    Ok(exit::DONE)
}

fn dry_run(spec: &SessionSpec, session: &Path) -> DryRun {
    let task = |index: usize| {
        let site = spec.site(index);
        let begins = Beginning {
            site: site.as_ref(),
            session,
            attempt: Uuid::new_v4(),
            conversation: Uuid::new_v4(),
            resumes: false,
            went_wrong: None,
            sets_up: true,
            answers: &BTreeMap::new(),
        };
        let request = runner_request(spec, index, &begins);
        let (branch, worktree) = site.map(|s| (s.branch, s.worktree)).unzip();
        let about = &spec.tasks[index];
        DryTask {
            id: about.id.to_string(),
            title: about.title.clone(),
            prompt: about.prompt.clone(),
            branch,
            worktree,
            directory: request.directory,
            argv: report::Argv {
                program: request.program,
                args: request.args,
            },
            options: about.options.clone(),
        }
    };
    DryRun {
        schema: 1,
        max_parallel: spec.options.max_parallel,
        tasks: (0..spec.tasks.len()).map(task).collect(),
    }
}
