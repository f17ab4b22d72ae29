//! Parses the command line, dispatches, and turns the result into an exit code.

use std::process::ExitCode;

use pleach::agent::{claude, scripted};
use pleach::cli::Cli;
use pleach::commands;
use pleach::report;

fn main() -> ExitCode {
    // The scripted agent takes the arguments of Claude Code, not ours.
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|a| a == claude::SCRIPTED_COMMAND) {
        return scripted::main(args.collect()).into();
    }
    if commands::answered() {
        return ExitCode::SUCCESS;
    }
    let cli = Cli::of_this_process();
    let results_option = cli.results_dir.clone();
    match commands::dispatch(cli) {
        Ok(code) => code.into(),
        Err(e) => {
            let hint = report::looking_there(&e.hint(), results_option.as_deref());
            report::error(&e.to_string(), &hint);
            e.exit_code().into()
        }
    }
}
