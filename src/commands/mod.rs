//! One verb per file: reads its arguments, calls the domain, prints through `report`.

mod agents;
mod attend;
mod clean;
mod completions;
mod config;
mod confirm;
mod demo;
mod diagnostics;
mod diff;
mod doctor;
mod dry_run;
mod every;
mod follow;
mod handled;
mod landings;
mod list;
mod logs;
mod man;
mod merge;
mod open;
mod overview;
mod place;
mod plan;
mod planning;
mod preflight;
mod recover;
mod results;
mod resume;
mod run;
mod schema;
mod settings;
mod signals;
mod status;
mod stop;
mod targets;
mod trust;
mod undo;
mod usage;
mod verify;
mod wait;
mod watch;

pub use completions::answered;

use std::path::{Path, PathBuf};
use std::time::Instant;

use tracing::debug;

use crate::cli::{Cli, Command};
use crate::error::{Error, exit};
use crate::handler;
use crate::runner;
use crate::supervisor;
use crate::task::TaskId;

/// Where a command was called, and what holds for all of them.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// The current directory.
    pub directory: PathBuf,
    /// `--results-dir`
    pub results_dir: Option<PathBuf>,
}

/// Does what the command line says, and gives the exit code.
pub fn dispatch(cli: Cli) -> Result<u8, Error> {
    diagnostics::begin()?;
    let began = Instant::now();
    let verb = std::env::args().nth(1).unwrap_or_default();
    debug!(verb, "begins");
    let done = carry_out(cli);
    let code = done.as_ref().map_or_else(Error::exit_code, |code| *code);
    debug!(verb, code, ms = began.elapsed().as_millis(), "ends");
    done
}

fn carry_out(cli: Cli) -> Result<u8, Error> {
    let directory = std::env::current_dir().map_err(Error::NoCurrentDirectory)?;
    let context = Context {
        directory,
        results_dir: cli.results_dir.or_else(|| place::set_path("PLEACH_RESULTS_DIR")),
    };
    match cli.command {
        Command::Run(args) => run::run(&context, &args),
        Command::Watch(args) => watch::run(&context, &args),
        Command::Status(args) => status::run(&context, &args),
        Command::Results(args) => results::run(&context, &args),
        Command::Logs(args) => logs::run(&context, &args),
        Command::List(args) => list::run(&context, &args),
        Command::Overview(args) => overview::run(&context, &args),
        Command::Wait(args) => wait::run(&context, &args),
        Command::Stop(args) => stop::run(&context, &args),
        Command::Resume(args) => resume::run(&context, &args),
        Command::Recover(args) => recover::run(&context, &args),
        Command::Plan(args) => plan::run(&context, &args),
        Command::Merge(args) => merge::run(&context, &args),
        Command::Undo(args) => undo::run(&context, &args),
        Command::Diff(args) => diff::run(&context, &args),
        Command::Open(args) => open::run(&context, &args),
        Command::Clean(args) => clean::run(&context, &args),
        Command::Doctor(args) => doctor::run(&context, &args),
        Command::Config(args) => config::run(&context, &args),
        Command::Trust(args) => trust::run(&context, &args),
        Command::Schema(args) => schema::run(&args),
        Command::Demo => demo::run(&context),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&context, &args),
        Command::Supervisor { dir, again } => Ok(supervisor::main(&dir, again).map(|()| exit::DONE)?),
        Command::Handler { dir, task, lock } => handle(&dir, task, lock),
        Command::Runner { dir, place } => {
            runner::main(&dir, place)
                .map(|()| exit::DONE)
                .map_err(|e| Error::RunnerFailed {
                    directory: dir,
                    source: e,
                })
        }
    }
}

/// Runs the command for the end of a task, or of a session.
fn handle(dir: &Path, task: Option<String>, lock: Option<i32>) -> Result<u8, Error> {
    let role = match (task.map(|id| TaskId::parse(&id)), lock) {
        (Some(Ok(id)), _) => handler::Role::Task(id),
        (_, Some(number)) => handler::Role::Session(number),
        // Only the supervisor calls this, with the ids of its session.
        _ => return Ok(exit::REFUSED),
    };
    Ok(handler::main(dir, &role).map(|()| exit::DONE)?)
}

/// Output that cannot be written.
fn output(e: std::io::Error) -> Error {
    Error::OutputUnwritable(e)
}
