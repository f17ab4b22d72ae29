//! `pleach doctor`: everything that `run` needs, everything that is left over, and what to do. Exits 1 for a problem.

use super::place::results_dir;
use super::preflight::{
    agent_as_asked, canonical, check_results, check_writable, claude_asked, claude_program, is_claude_code, options,
    refuse_root,
};
use super::{Context, output};
use crate::cli::{DoctorArgs, RunArgs};
use crate::doctor::{Agent, NoRepository, Subject, examine};
use crate::error::{Error, exit};
use crate::git;
use crate::report::{self, Diagnosis};
use crate::session::{USUAL_FREE_DISK, USUAL_FREE_MEMORY};
use crate::worktree::naming;

pub(super) fn run(context: &Context, args: &DoctorArgs) -> Result<u8, Error> {
    let mut findings = examine(&subject(context, args));
    for hint in findings.iter_mut().filter_map(|f| f.hint.as_mut()) {
        *hint = report::looking_there(hint, context.results_dir.as_deref());
    }
    let diagnosis = Diagnosis::new(findings);
    if args.json {
        report::json(&diagnosis).map_err(output)?;
    } else {
        report::out(&report::diagnosis(&diagnosis)).map_err(output)?;
    }
    Ok(match diagnosis.problems {
        0 => exit::DONE,
        _ => exit::UNSUCCESSFUL,
    })
}

/// What a `run` without options would find.
fn subject(context: &Context, args: &DoctorArgs) -> Subject {
    let run = RunArgs {
        claude: args.claude.clone(),
        ..RunArgs::default()
    };
    let repository = match git::open(&context.directory) {
        Ok(Some(repository)) => Ok(repository),
        Ok(None) => Err(NoRepository::None(Error::NoRepository {
            directory: context.directory.clone(),
        })),
        Err(e) => Err(NoRepository::Unusable(Error::unusable(e))),
    };
    let place = repository.as_ref().ok().map(git::place_of);
    let worktrees = place.as_ref().map(|place| {
        let dir = naming::worktrees_dir(place);
        let dir = canonical(&dir).unwrap_or(dir);
        let writable = check_writable(&dir);
        (dir, writable)
    });
    // In a repository that cannot be opened nobody knows where; and why is said with the repository.
    let unknown = context.results_dir.is_none() && matches!(repository, Err(NoRepository::Unusable(_)));
    let (results, keeps) = match results_dir(context, place.as_ref()) {
        _ if unknown => (None, Ok(())),
        Err(e) => (None, Err(e)),
        Ok(dir) => {
            let keeps = check_results(&dir);
            (Some(dir), keeps)
        }
    };
    let options = options(context, &run);
    let least = options.as_ref().ok();
    Subject {
        min_free_disk: least.map_or(USUAL_FREE_DISK, |o| o.min_free_disk_bytes),
        min_free_memory: least.map_or(USUAL_FREE_MEMORY, |o| o.min_free_memory_bytes),
        directory: context.directory.clone(),
        results,
        keeps,
        repository,
        worktrees,
        agent: agent(context, &run),
        max_parallel: options.map(|options| options.max_parallel),
    }
}

fn agent(context: &Context, run: &RunArgs) -> Agent {
    let program = claude_program(context, run.claude.as_deref());
    let found = program.as_ref().ok();
    Agent {
        by: claude_asked(run.claude.as_deref()).1,
        is_claude_code: found.is_some_and(|program| is_claude_code(program)),
        root: found.map_or(Ok(()), |program| refuse_root(&agent_as_asked(run, program.clone()))),
        program,
    }
}
