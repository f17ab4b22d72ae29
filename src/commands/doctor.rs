//! `pleach doctor`: everything that `run` needs, everything that is left over, and what to do. Exits 1 for a problem.

use std::path::Path;

use super::agents::{agent_as_asked, claude_asked, claude_program, is_claude_code, refuse_root};
use super::place::results_dir;
use super::preflight::{canonical, check_results, check_writable, options};
use super::settings::{approved, config_of, environment};
use super::{Context, output};
use crate::cli::{DoctorArgs, RunArgs};
use crate::config::{Config, Settings};
use crate::doctor::{Agent, Configuration, NoRepository, Subject, examine};
use crate::error::{Error, exit};
use crate::git::{self, Place};
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
    let (config, configuration) = configuration(context, place.as_ref());
    let settings = &config.settings;
    let worktrees = place.as_ref().map(|place| {
        let dir = settings.path("worktree.dir").map(Path::to_owned);
        let dir = dir.unwrap_or_else(|| naming::worktrees_dir(place));
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
    let options = options(context, &run, settings);
    let least = options.as_ref().ok();
    Subject {
        min_free_disk: least.map_or(USUAL_FREE_DISK, |o| o.min_free_disk_bytes),
        min_free_memory: least.map_or(USUAL_FREE_MEMORY, |o| o.min_free_memory_bytes),
        directory: context.directory.clone(),
        results,
        keeps,
        repository,
        worktrees,
        agent: agent(context, &run, settings),
        configuration,
        max_parallel: options.map(|options| options.max_parallel),
    }
}

/// The configuration if `run` would take it, else what the environment says.
fn configuration(context: &Context, place: Option<&Place>) -> (Config, Configuration) {
    let read = config_of(context, place).map_err(Error::from);
    let (config, refused) = match read.and_then(|config| approved(&config, place, false, false).map(|()| config)) {
        Ok(config) => (config, None),
        Err(e) => {
            let settings = environment(context).unwrap_or_default();
            let config = Config {
                settings,
                ..Config::default()
            };
            (config, Some(e))
        }
    };
    let there = config.files.iter().filter(|file| file.there);
    let files = there.map(|file| file.path.clone()).collect();
    (config, Configuration { files, refused })
}

fn agent(context: &Context, run: &RunArgs, settings: &Settings) -> Agent {
    let program = claude_program(context, run.claude.as_deref(), settings);
    let found = program.as_ref().ok();
    Agent {
        by: claude_asked(run.claude.as_deref(), settings).1,
        is_claude_code: found.is_some_and(|program| is_claude_code(program)),
        root: found.map_or(Ok(()), |program| {
            refuse_root(&agent_as_asked(run, settings, program.clone()))
        }),
        program,
    }
}
