//! `pleach run`: from tasks to a session with a supervisor of its own; with `--sync` also to its end.

use std::io::{self, IsTerminal};
use std::mem;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::attend::{Attendance, Attended};
use super::follow::exit_code;
use super::handled::{await_handler, is_of_handler};
use super::place::make_results_dir;
use super::preflight::{Prepared, prepare};
use super::settings::{approved, config};
use super::signals::{Caught, Signals};
use super::stop::ask;
use super::watch::{Reader, Watched, show_end};
use super::{Context, dry_run, output};
use crate::cli::{self, RunArgs};
use crate::config::{Settings, milliseconds};
use crate::error::{Error, exit};
use crate::git::{self, Git};
use crate::report::{self, Left, Started};
use crate::session::{SessionSpec, create};
use crate::store::paths::SessionPaths;
use crate::supervisor::{Stop, check_places, launch};
use crate::task::input::{Format, Given, ListedTask, Outputs, set_outputs};
use crate::task::{TaskOptions, TaskSpec, input};

/// How long after its beginning `run` still takes in whether the checkout is dirty. Later it is in the status.
const FOR_WARNINGS: Duration = Duration::from_millis(30);

pub(super) fn run(context: &Context, args: &RunArgs) -> Result<u8, Error> {
    let mut listed = listed(context, args)?;
    let (config, place) = config(context)?;
    set_outputs(&mut listed, outputs(args, &config.settings), &context.directory)?;
    approved(&config, place.as_ref(), args.yes, !args.dry_run)?;
    let tasks = complete(listed, args, &config.settings);
    if args.dry_run {
        let prepared = prepare(context, args, &config.settings, tasks)?;
        // Here there is time to wait for it.
        let dirty = look_at_checkout(&prepared.spec).recv().ok();
        return dry_run::show(&prepared, dirty, args.json);
    }
    let session = start(context, args, &config.settings, tasks)?;
    if args.sync {
        watch(context, session)
    } else {
        Ok(exit::DONE)
    }
}

/// A session that was started.
pub(super) struct Session {
    pub spec: SessionSpec,
    pub paths: SessionPaths,
    /// Caught since before it was started, if it is to be watched.
    pub signals: Option<Signals>,
    /// Whether each event is shown.
    pub verbose: bool,
}

fn listed(context: &Context, args: &RunArgs) -> Result<Vec<ListedTask>, Error> {
    let mut files = args.files.clone();
    if files.is_empty() && args.prompts.is_empty() && !io::stdin().is_terminal() {
        files.push(PathBuf::from("-"));
    }
    let given = Given {
        files: &files,
        prompts: &args.prompts,
        format: args.format.map(|format| match format {
            cli::Format::Json => Format::Json,
            cli::Format::Text => Format::Text,
            cli::Format::Markdown => Format::Markdown,
        }),
        directory: &context.directory,
    };
    Ok(input::read(&given, &mut io::stdin().lock())?)
}

/// Where the answers go: as the command line says, else as is configured.
fn outputs<'a>(args: &'a RunArgs, settings: &'a Settings) -> Outputs<'a> {
    match (&args.output_dir, &args.output_file, settings.path("output_dir")) {
        (Some(dir), _, _) => Outputs::Directory(dir),
        (None, Some(file), _) => Outputs::File(file),
        (None, None, Some(dir)) => Outputs::Directory(dir),
        (None, None, None) => Outputs::Unsaid,
    }
}

/// The tasks with all that is said of them, wherever that is: what counts more comes first.
fn complete(listed: Vec<ListedTask>, args: &RunArgs, settings: &Settings) -> Vec<TaskSpec> {
    let (flags, configured) = (task_flags(args), settings.task_options());
    let complete = |listed: ListedTask| {
        let mut task = listed.task;
        task.options = task.options.or(&flags).or(&listed.defaults).or(&configured);
        task
    };
    listed.into_iter().map(complete).collect()
}

/// What the command line says of every task.
fn task_flags(args: &RunArgs) -> TaskOptions {
    TaskOptions {
        // Also those of the session's own agent: they count more than what a list says of all its tasks.
        model: args.model.clone(),
        agent: args.agent.clone(),
        agent_args: (!args.agent_args.is_empty()).then(|| args.agent_args.clone()),
        env: args.env.iter().cloned().collect(),
        timeout_ms: args.timeout.map(milliseconds),
        idle_timeout_ms: args.idle_timeout.map(milliseconds),
        retry: args.retry,
        verify: args.verify.clone(),
        setup: (!args.setup.is_empty()).then(|| args.setup.clone()),
        on_done: args.on_task_done.clone(),
        max_turns: args.max_turns,
        max_cost_usd: args.max_cost_usd,
        ..TaskOptions::default()
    }
}

/// Starts the session and says so.
pub(super) fn start(
    context: &Context,
    args: &RunArgs,
    settings: &Settings,
    tasks: Vec<TaskSpec>,
) -> Result<Session, Error> {
    let began = Instant::now();
    let Prepared {
        spec,
        results,
        results_named,
        warnings,
    } = prepare(context, args, settings, tasks)?;
    let dirty = look_at_checkout(&spec);
    // Before there is a session: one that comes while it starts is for the session too.
    let signals = args.sync.then(Signals::catch).transpose()?;
    if results_named {
        make_results_dir(&results)?;
    }
    if let Some(places) = &spec.options.agents_of_all {
        let directory = &places.directory;
        check_places(directory).map_err(|source| Error::AgentPlacesUnusable {
            directory: directory.clone(),
            source,
        })?;
    }
    let new = create(&results, &spec)?;
    let paths = new.paths.clone();
    launch(new, false)?;
    announce(context, &spec, &paths, args.sync, None)?;
    for warning in warnings {
        report::warning(&warning);
    }
    if !args.sync
        && let Ok(warning) = dirty.recv_timeout(FOR_WARNINGS.saturating_sub(began.elapsed()))
    {
        report::warning(&warning);
    }
    if args.verbose && !args.sync {
        report::note(&report::details(&spec, &paths));
    }
    Ok(Session {
        spec,
        paths,
        signals,
        verbose: args.verbose,
    })
}

/// Says that a supervisor is at work on a session: its id, what is set in motion, and how to follow it. `left` is what
/// there is to do of one that goes on.
pub(super) fn announce(
    context: &Context,
    spec: &SessionSpec,
    paths: &SessionPaths,
    watched: bool,
    left: Option<Left>,
) -> Result<(), Error> {
    if io::stdout().is_terminal() {
        report::note(&format!("session {}", spec.session_id));
    } else {
        report::out(&format!("{}\n", spec.session_id)).map_err(output)?;
    }
    let results_option = context.results_dir.as_ref().and(paths.dir().parent());
    let started = Started {
        spec,
        dir: paths.dir(),
        results_option,
        watched,
        left,
    };
    report::note(&report::started(&started));
    Ok(())
}

/// Looks for changes that the agents will not see, beside everything else.
fn look_at_checkout(spec: &SessionSpec) -> Receiver<String> {
    let (sender, receiver) = channel();
    if let Some(place) = spec.repository.as_ref().map(|r| r.place.clone()) {
        // Read before any agent can have added to them.
        let drivers = git::drivers(&Git::bare(&place.git_dir));
        thread::spawn(move || {
            if let Some(warning) = drivers.ok().and_then(|known| git::dirty_warning(&place, &known)) {
                let _ = sender.send(warning);
            }
        });
    }
    receiver
}

/// Watches the session to its end: each task as it settles, then totals and the plan. The first signal that asks to
/// end asks the session to stop, a second one to stop at once.
pub(super) fn watch(context: &Context, session: Session) -> Result<u8, Error> {
    let Session {
        spec,
        paths,
        signals,
        verbose,
    } = session;
    let asks = paths.clone();
    let mut now = false;
    let stop = move |caught: Caught| {
        if caught.ends() {
            let stop = Stop {
                now: mem::replace(&mut now, true),
                ..Stop::default()
            };
            ask(&asks, &stop)?;
        }
        Ok(())
    };
    let signals = signals.map_or_else(Signals::catch, Ok)?;
    let mut attendance = Attendance::begin(&paths, signals, stop)?;
    let mut display = Watched::new(&spec, &paths, Reader::MayGo).verbose(verbose);
    let attended = attendance.stay(&mut display, |caught| caught.leaves() && !caught.ends())?;
    drop(display);
    match attended {
        Attended::Ended(doc) => {
            show_end(context, &paths, &doc)?;
            if !is_of_handler(&paths)
                && let Some(caught) = await_handler(&paths, || attendance.caught())?
            {
                return Ok(caught.exit_code());
            }
            Ok(attendance.asked.map_or_else(|| exit_code(&doc), Caught::exit_code))
        }
        Attended::Left(caught) => Ok(caught.exit_code()),
        Attended::Unread => Ok(exit::DONE),
    }
}
