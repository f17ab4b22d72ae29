//! What `run` says of the session that it started.

use std::path::Path;

use super::{commands_of, count, dollars, escape, one_line, program, quote};
use crate::session::SessionSpec;
use crate::store::paths::SessionPaths;
use crate::task::Permissions;
use crate::worktree::naming::short;

/// A session that was just started.
pub struct Started<'s> {
    /// What was asked for.
    pub spec: &'s SessionSpec,
    /// Where its results are.
    pub dir: &'s Path,
    /// Given with `--results-dir`, so that the commands need it too.
    pub results_option: Option<&'s Path>,
    /// Whether this process stays and shows it.
    pub watched: bool,
    /// What there is to do of one that goes on.
    pub left: Option<Left>,
}

/// What there is to do of a session that goes on.
pub struct Left {
    /// How many tasks are not settled.
    pub tasks: usize,
    /// The cost, in US dollars, above which no more of them start.
    pub max_cost_usd: Option<f64>,
}

/// What was set in motion, where its results are, and how to follow it.
pub fn started(session: &Started<'_>) -> String {
    let what = format!(
        "{}\nresults in {}",
        what_of(session.spec, session.left.as_ref()),
        quote(session.dir)
    );
    if session.watched {
        return what;
    }
    let command = |verb: &str| command(verb, session.spec, session.results_option);
    let commands = [
        (command("watch"), "see it live"),
        (command("status"), "where each task stands"),
        (command("wait"), "until all is done"),
        (command("results"), "what the agents answered"),
        (command("plan"), "how the branches merge"),
        (command("stop"), "end it, and keep the work"),
    ];
    let no_plan = session.spec.repository.is_none();
    let commands: Vec<_> = commands
        .into_iter()
        .filter(|(c, _)| !(no_plan && c.contains(" plan ")))
        .collect();
    format!("{what}\n{}", commands_of(&commands).trim_end())
}

/// What else is known of a session that was started, a line each: for `--verbose`.
pub fn details(spec: &SessionSpec, paths: &SessionPaths) -> String {
    let mut lines = vec![format!(
        "agent {} ({})",
        escape(&spec.agent.name),
        quote(&spec.agent.program)
    )];
    if let Some(repository) = &spec.repository {
        let base = &repository.base;
        let branch = base.branch.as_ref().map(|branch| format!(", {branch}"));
        let commit = base.commit.get(..12).unwrap_or(&base.commit);
        lines.push(format!("from {commit}{}", escape(&branch.unwrap_or_default())));
        lines.push(format!("worktrees in {}", quote(&repository.worktrees)));
    }
    lines.push(format!("log in {}", quote(paths.session_log())));
    if let Some(dir) = &spec.options.log_dir {
        lines.push(format!("logs of the agents in {}", quote(dir)));
    }
    lines.extend(
        spec.options
            .on_done
            .as_ref()
            .map(|line| format!("at the end: {}", one_line(line))),
    );
    for (index, task) in spec.tasks.iter().enumerate() {
        let on = spec.place(index).map(|place| format!(" on {}", place.branch));
        let title = one_line(&task.title);
        // Its title follows anyway.
        let name = if task.id.is_made_up() {
            (index + 1).to_string()
        } else {
            task.id.to_string()
        };
        lines.push(format!("task {name}: {title}{}", escape(&on.unwrap_or_default())));
        let options = &task.options;
        lines.extend(
            options
                .output_file
                .as_ref()
                .map(|file| format!("  answer to {}", quote(file))),
        );
        lines.extend(
            options
                .on_done
                .as_ref()
                .map(|line| format!("  then: {}", one_line(line))),
        );
    }
    lines.join("\n")
}

/// What is said to whoever leaves a session that still runs.
pub fn goes_on(spec: &SessionSpec, results_option: Option<&Path>) -> String {
    format!("the session goes on: {}", command("watch", spec, results_option))
}

/// The command that goes on with a session.
pub fn resume(session: &str, results_option: Option<&Path>) -> String {
    command_on("resume", session.get(..8).unwrap_or(session), results_option)
}

/// A command about a session, as it can be typed.
fn command(verb: &str, spec: &SessionSpec, results_option: Option<&Path>) -> String {
    command_on(verb, &short(spec.session_id), results_option)
}

fn command_on(verb: &str, session: &str, results_option: Option<&Path>) -> String {
    let mut pleach = program();
    if let Some(dir) = results_option {
        pleach.push_str(&format!(" --results-dir {}", quote(dir)));
    }
    format!("{pleach} {verb} {session}")
}

/// `40 tasks, 4 at once, permissions skipped, no cost limit`
pub(super) fn in_motion(spec: &SessionSpec) -> String {
    what_of(spec, None)
}

fn what_of(spec: &SessionSpec, left: Option<&Left>) -> String {
    let all = count(spec.tasks.len(), "task");
    let (tasks, limit) = match left {
        Some(left) => (format!("{} of {all}", left.tasks), left.max_cost_usd),
        None => (all, spec.options.max_cost_usd),
    };
    let at_once = match spec.options.max_parallel {
        Some(most) => format!("{most} at once"),
        None => "all at once".into(),
    };
    let permissions = match &spec.agent.permissions {
        Permissions::Skip => "permissions skipped".into(),
        Permissions::Mode(mode) => format!("permission mode {mode}"),
    };
    let limit = match limit {
        Some(limit) => format!("cost limit {}", dollars(limit)),
        None => "no cost limit".into(),
    };
    // Programs that the configuration describes are told nothing of permissions.
    let is_told = (0..spec.tasks.len()).any(|index| spec.agent_of(index).command.is_none());
    let mut parts = vec![tasks, at_once];
    parts.extend(is_told.then_some(permissions));
    parts.push(limit);
    if let Some(ms) = spec.options.timeout_ms {
        let limit = super::elapsed(std::time::Duration::from_millis(ms));
        parts.push(format!("at most {limit} each"));
    }
    if let Some(places) = &spec.options.agents_of_all {
        parts.push(format!("{} on this machine", count(places.most, "agent")));
    }
    if spec.repository.is_none() {
        parts.push("in the current directory".into());
    }
    parts.join(", ")
}
