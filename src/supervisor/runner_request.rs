//! What a runner is asked to do for a task: the agent's command line, directory, standard input and environment.
//!
//! The one place where that is decided. The supervisor sends it to the runner of an attempt, and `run --dry-run` shows
//! it: so what is shown is what would run. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::answers;
use super::told::{Told, told};
use crate::agent::claude::{self, Conversation};
use crate::agent::command::{self, Given, Invocation};
use crate::git::LOCAL_VARIABLES;
use crate::runner::{PathVariable, RunnerRequest, StepRequest};
use crate::session::{SessionSpec, Site, WentWrong};
use crate::store::paths::SessionPaths;
use crate::task::{AgentKind, AgentSpec, SuccessBy, TaskId, TaskSpec};

/// The variables that tell an agent and the commands around it where they are. Those of an outer session go from its
/// environment: not every one of them is set anew.
const OWN_VARIABLES: [&str; 9] = [
    "PLEACH_SESSION",
    "PLEACH_TASK_ID",
    "PLEACH_BRANCH",
    "PLEACH_BASE",
    "PLEACH_WORKTREE",
    "PLEACH_REPO",
    "PLEACH_PORT",
    "PLEACH_COMM_DIR",
    "PLEACH_STATUS_FILE",
];

/// What an attempt begins with, besides what the user has written.
pub struct Beginning<'a> {
    /// Where it works; without a site in the directory that `run` was called in.
    pub site: Option<&'a Site>,
    /// The directory of the session.
    pub session: &'a Path,
    /// The number of the attempt, from 1.
    pub number: u32,
    /// The mark of its processes.
    pub attempt: Uuid,
    /// The agent's conversation.
    pub conversation: Uuid,
    /// Whether that was begun in an earlier attempt.
    pub resumes: bool,
    /// Whether the worktree is as it was at the base, although there was an attempt before.
    pub from_base: bool,
    /// What went wrong in the attempt before.
    pub went_wrong: Option<&'a WentWrong>,
    /// What the attempts before it cost together, in US dollars.
    pub cost_usd: Option<f64>,
    /// Whether the worktree is to be set up.
    pub sets_up: bool,
    /// What the tasks answered that this one depends on, by their ids.
    pub answers: &'a BTreeMap<TaskId, String>,
}

/// The request for an attempt at the task with this index.
pub fn runner_request(spec: &SessionSpec, index: usize, begins: &Beginning<'_>) -> RunnerRequest {
    let Beginning { site, attempt, .. } = *begins;
    let task = &spec.tasks[index];
    let mut agent = spec.agent_of(index);
    if agent.kind != AgentKind::Command {
        let left = (task.options.max_cost_usd).map(|most| most - begins.cost_usd.unwrap_or(0.0));
        // First, so that what the user passes on himself counts.
        let limits = claude::limits(task.options.max_turns, left);
        agent.args.splice(0..0, limits);
    }
    let directory = site.map_or(&spec.directory, |s| &s.worktree);
    let options = &task.options;
    let paths = SessionPaths::new(begins.session);
    let shared = spec.shared(&paths);
    let command = agent.command.as_ref();
    let Invocation {
        args,
        stdin,
        prompt_file,
    } = invoked(&agent, task, begins, &paths, &shared);
    let status_file = shared.join(format!("{}.status", task.id));
    let (environment, environment_paths) = environment(spec, index, site, [&shared, &status_file]);
    let step = |command: &String, stdin: &str| StepRequest {
        command: command.clone(),
        stdin: stdin.to_owned(),
    };
    let setup = options.setup.as_deref().filter(|_| begins.sets_up).unwrap_or_default();
    RunnerRequest {
        schema: 1,
        attempt,
        program: agent.program.clone(),
        args,
        directory: directory.clone(),
        conversation: Some(begins.conversation),
        resumes: begins.resumes,
        stdin,
        environment,
        environment_paths,
        environment_removed: (LOCAL_VARIABLES.iter().chain(claude::SESSION_VARIABLES))
            .chain(&OWN_VARIABLES)
            .map(|&v| v.to_owned())
            .collect(),
        timeout_ms: spec.timeout_ms(index),
        grace_ms: spec.options.grace_ms,
        max_output_bytes: spec.options.max_output_bytes,
        // Another attempt at work that was begun is not asked about.
        run_if: answers::condition(task, begins.answers).filter(|_| begins.went_wrong.is_none() && !begins.resumes),
        setup: setup.iter().map(|command| step(command, "")).collect(),
        verify: options.verify.as_ref().map(|command| step(command, "")),
        idle_timeout_ms: options.idle_timeout_ms,
        success: command.map_or(SuccessBy::Output, |command| command.success),
        status_file: Some(status_file),
        prompt_file,
        resumable: command.is_some_and(|command| command.resume.is_some()),
        pty: command.is_some_and(|command| command.pty),
        ports: spec.options.ports.clone(),
    }
}

/// How the agent is started: Claude Code and what takes its arguments, or as the configuration says.
fn invoked(
    agent: &AgentSpec,
    task: &TaskSpec,
    begins: &Beginning<'_>,
    paths: &SessionPaths,
    shared: &Path,
) -> Invocation {
    let Told { prompt, note } = told(&answers::filled(&task.prompt, begins.answers), agent, begins);
    if let Some(command) = &agent.command {
        let file = paths.attempt(task.id.as_ref(), begins.number).prompt();
        let given = Given {
            prompt: &prompt,
            // The runner starts nothing where the path is not exactly this.
            prompt_file: &file.to_string_lossy(),
            conversation: begins.conversation,
            resumes: begins.resumes && command.resume.is_some(),
            title: &task.title,
        };
        return command::invocation(agent, command, &given);
    }
    let conversation = Conversation {
        id: begins.conversation,
        resumes: begins.resumes,
        branch: begins.site.map(|s| s.branch.as_str()),
        shared: shared.to_str(),
        note: note.as_deref(),
    };
    Invocation {
        args: claude::arguments(agent, &conversation),
        stdin: claude::standard_input(&prompt),
        prompt_file: None,
    }
}

/// Has git of the agent read a file with patterns in the place of the user's, of which that has a copy: by git's own
/// variables for such a setting, behind those that the user gives the task.
pub(super) fn exclude(request: &mut RunnerRequest, excludes: PathBuf) {
    const COUNT: &str = "GIT_CONFIG_COUNT";
    let variables = &mut request.environment;
    let given = variables.iter().find(|(name, _)| name == COUNT);
    let number = given
        .and_then(|(_, count)| count.parse::<u32>().ok())
        .unwrap_or_default();
    variables.retain(|(name, _)| name != COUNT);
    variables.push((COUNT.into(), (number + 1).to_string()));
    variables.push((format!("GIT_CONFIG_KEY_{number}"), "core.excludesFile".into()));
    let name = format!("GIT_CONFIG_VALUE_{number}");
    request.environment_paths.push(PathVariable { name, path: excludes });
}

/// The variables of an attempt, and those of them that are paths. What the user has set comes before git's identity,
/// and never in the place of what says where an agent is.
fn environment(
    spec: &SessionSpec,
    index: usize,
    site: Option<&Site>,
    [shared, status_file]: [&Path; 2],
) -> (Vec<(String, String)>, Vec<PathVariable>) {
    let task = &spec.tasks[index];
    let mut variables = BTreeMap::new();
    let path = |name: &str, path: &Path| PathVariable {
        name: name.into(),
        path: path.into(),
    };
    let mut paths = vec![path("PLEACH_COMM_DIR", shared), path("PLEACH_STATUS_FILE", status_file)];
    let site = site.zip(spec.repository.as_ref());
    if let Some((_, repository)) = site.filter(|(_, repository)| !repository.identity.configured) {
        let who = &repository.identity;
        for role in ["AUTHOR", "COMMITTER"] {
            variables.insert(format!("GIT_{role}_NAME"), who.name.clone());
            variables.insert(format!("GIT_{role}_EMAIL"), who.email.clone());
        }
    }
    let options = task.options.env.iter();
    variables.extend(options.map(|(name, value)| (name.clone(), value.clone())));
    variables.retain(|name, _| !OWN_VARIABLES.contains(&name.as_str()));
    let mut set = |name: &str, value: String| variables.insert(name.to_owned(), value);
    set("PLEACH_SESSION", spec.session_id.to_string());
    set("PLEACH_TASK_ID", task.id.to_string());
    if let Some((site, repository)) = site {
        set("PLEACH_BRANCH", site.branch.clone());
        set("PLEACH_BASE", site.base.clone());
        paths.push(path("PLEACH_WORKTREE", &site.worktree));
        paths.push(path("PLEACH_REPO", repository.place.root()));
    }
    (variables.into_iter().collect(), paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::fixture::{site, spec, task_id};

    fn request(spec: &SessionSpec, site: Option<&Site>, sets_up: bool) -> RunnerRequest {
        let answers = [("b", "yes"), ("c", "no\n"), ("d", "not asked")];
        let answers = answers.map(|(id, answer)| (task_id(id), answer.to_owned())).into();
        let begins = Beginning {
            site,
            session: Path::new("/session"),
            number: 1,
            cost_usd: None,
            from_base: false,
            attempt: Uuid::nil(),
            conversation: Uuid::nil(),
            resumes: false,
            went_wrong: None,
            sets_up,
            answers: &answers,
        };
        runner_request(spec, 0, &begins)
    }

    #[test]
    fn commands_around_an_agent_are_asked_for_where_they_are_due() {
        let mut spec = spec(&["a"]);
        let options = &mut spec.tasks[0].options;
        options.run_if = Some("grep yes".into());
        options.depends_on = vec![task_id("c"), task_id("b")];
        options.setup = Some(vec!["one".into(), "two".into()]);
        options.verify = Some("check".into());
        let of = |sets_up| {
            let request = request(&spec, None, sets_up);
            let setup: Vec<String> = request.setup.into_iter().map(|step| step.command).collect();
            (
                request.run_if.unwrap().stdin,
                setup.join(" "),
                request.verify.unwrap().command,
            )
        };
        // Each answer is followed by the end of its line.
        assert_eq!(of(true), ("no\n\nyes\n".into(), "one two".into(), "check".into()));
        assert_eq!(of(false).1, "");
    }

    #[test]
    fn what_the_user_sets_is_set_but_for_what_says_where_an_agent_is() {
        let mut spec = spec(&["a"]);
        for (name, value) in [
            ("PLEACH_TASK_ID", "b"),
            ("PLEACH_PORT", "1"),
            ("GIT_CONFIG_COUNT", "2"),
            ("A", "a"),
        ] {
            spec.tasks[0].options.env.insert(name.into(), value.into());
        }
        let mut request = request(&spec, Some(&site("a")), true);
        let value = |request: &RunnerRequest, name: &str| {
            let found = request.environment.iter().find(|(n, _)| n == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let values = ["PLEACH_TASK_ID", "PLEACH_PORT", "A"].map(|name| value(&request, name));
        assert_eq!(values, ["a", "", "a"]);
        exclude(&mut request, "/excludes".into());
        assert_eq!(value(&request, "GIT_CONFIG_COUNT"), "3");
        assert_eq!(value(&request, "GIT_CONFIG_KEY_2"), "core.excludesFile");
        let last = request.environment_paths.last().unwrap();
        assert_eq!(
            (last.name.as_str(), last.path.as_path()),
            ("GIT_CONFIG_VALUE_2", Path::new("/excludes"))
        );
    }
}
