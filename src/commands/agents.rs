//! The agents of a session: which ones its tasks name, how each is started, and whether it can be.
//!
//! `claude` and `scripted` are always known, others are described in the configuration. Only those that a task is done by
//! are looked for. Nothing is started.

use std::path::{Path, PathBuf};

use super::Context;
use crate::cli::RunArgs;
use crate::config::{ConfigError, Described, Layer, Origin, Settings};
use crate::error::Error;
use crate::task::{AgentKind, AgentSpec, CommandSpec, Permissions, TaskSpec};

/// Those that are always there.
const OWN: [&str; 2] = ["claude", "scripted"];
/// The one that does what nobody has another for.
const USUAL: &str = "claude";

/// The agents of a session.
pub(super) struct Agents {
    /// The one of every task that names none.
    pub usual: AgentSpec,
    /// Those that tasks name.
    pub others: Vec<AgentSpec>,
}

/// Finds all agents that the tasks need, and has each task name its own only where that is not the session's.
pub(super) fn agents(
    context: &Context,
    args: &RunArgs,
    settings: &Settings,
    tasks: &mut [TaskSpec],
) -> Result<Agents, Error> {
    let (asked, by) = match (&args.agent, settings.text("agent")) {
        (Some(name), _) => (name.as_str(), "--agent".to_owned()),
        (None, Some(name)) => (name, said_by(settings.origin("agent"))),
        (None, None) => (USUAL, String::new()),
    };
    known(settings, asked, || by)?;
    // In the order of their tasks.
    let mut names: Vec<&str> = Vec::new();
    for (task, number) in tasks.iter().zip(1..) {
        let name = task.options.agent.as_deref().unwrap_or(asked);
        if !names.contains(&name) {
            known(settings, name, || format!("task {number}, {}", task.id))?;
            names.push(name);
        }
    }
    // One that does nothing need not be there.
    let usual = match names.contains(&asked) {
        false if !names.is_empty() => names[0],
        _ => asked,
    };
    let usual = agent(context, args, settings, usual)?;
    let others = names.iter().filter(|name| **name != usual.name);
    let others = others
        .map(|name| agent(context, args, settings, name))
        .collect::<Result<_, _>>()?;
    for task in tasks {
        task.options.agent.take_if(|name| *name == usual.name);
    }
    Ok(Agents { usual, others })
}

/// Refuses the name of an agent that nobody has described.
fn known(settings: &Settings, name: &str, by: impl FnOnce() -> String) -> Result<(), ConfigError> {
    if OWN.contains(&name) || settings.agents.contains_key(name) {
        return Ok(());
    }
    let all = OWN.iter().map(|&name| name.to_owned());
    Err(ConfigError::UnknownAgent {
        name: name.into(),
        by: by(),
        known: all.chain(settings.agents.keys().cloned()).collect(),
    })
}

fn said_by(origin: Option<&Origin>) -> String {
    match origin {
        Some(Origin::Variable(name)) => (*name).into(),
        Some(Origin::File(_, path, line)) => format!("{}, line {line}", path.display()),
        None => String::new(),
    }
}

fn agent(context: &Context, args: &RunArgs, settings: &Settings, name: &str) -> Result<AgentSpec, Error> {
    let (kind, program, command) = match (name, settings.agents.get(name)) {
        (_, Some(described)) => {
            let (program, command) = described_program(context, name, described)?;
            (AgentKind::Command, program, Some(command))
        }
        ("scripted", None) => {
            let own = std::env::current_exe().map_err(Error::ProgramNotFound)?;
            (AgentKind::Scripted, own, None)
        }
        (_, None) => {
            let program = claude_program(context, args.claude.as_deref(), settings)?;
            (AgentKind::Claude, program, None)
        }
    };
    let agent = AgentSpec {
        name: name.into(),
        kind,
        command,
        ..agent_as_asked(args, settings, program)
    };
    refuse_root(&agent)?;
    Ok(agent)
}

fn described_program(context: &Context, name: &str, said: &Described) -> Result<(PathBuf, CommandSpec), Error> {
    let found = which::which_in(&said.program, std::env::var_os("PATH"), &context.directory);
    let program = found.map_err(|_| {
        let (path, line) = match &said.origin {
            Origin::File(_, path, line) => (path.clone(), *line),
            Origin::Variable(_) => (PathBuf::new(), 0),
        };
        ConfigError::AgentProgram {
            name: name.into(),
            problem: problem_of(&context.directory.join(&said.program)),
            program: said.program.clone(),
            path,
            line,
        }
    })?;
    let command = CommandSpec {
        args: said.args.clone(),
        prompt: said.prompt,
        success: said.success,
        pty: said.pty,
        resume: said.resume.clone(),
    };
    Ok((program, command))
}

/// Claude Code, started as the options and the configuration say. What is passed on to it stands with each task.
pub(super) fn agent_as_asked(args: &RunArgs, settings: &Settings, program: PathBuf) -> AgentSpec {
    let mode = args.permission_mode.as_deref().or(settings.text("permission_mode"));
    let model = args.model.as_deref().or(settings.text("model"));
    AgentSpec {
        name: USUAL.into(),
        command: None,
        kind: AgentKind::Claude,
        program,
        permissions: mode.map_or(Permissions::Skip, |mode| Permissions::Mode(mode.to_owned())),
        model: model.map(str::to_owned),
        args: Vec::new(),
    }
}

/// The program of Claude Code that is meant, and by what: `--claude`, else the configuration, else nothing, and then it
/// is `claude` in PATH.
pub(super) fn claude_asked(option: Option<&Path>, settings: &Settings) -> (PathBuf, &'static str) {
    match (option, settings.path("claude")) {
        (Some(path), _) => (path.to_owned(), "--claude"),
        (None, Some(path)) => {
            let by = match settings.origin("claude") {
                Some(Origin::File(Layer::Repository, ..)) => "claude in pleach.toml",
                Some(Origin::File(Layer::User, ..)) => "claude in config.toml",
                Some(Origin::Variable(_)) | None => "CLAUDE_CLI_PATH",
            };
            (path.to_owned(), by)
        }
        (None, None) => ("claude".into(), ""),
    }
}

/// Finds that program.
pub(super) fn claude_program(context: &Context, option: Option<&Path>, settings: &Settings) -> Result<PathBuf, Error> {
    let (asked, named_by) = claude_asked(option, settings);
    let found = which::which_in(&asked, std::env::var_os("PATH"), &context.directory);
    found.map_err(|_| {
        let path = context.directory.join(&asked);
        if named_by.is_empty() {
            return Error::AgentNotInstalled;
        }
        Error::AgentUnusable {
            program: asked,
            named_by,
            problem: problem_of(&path),
        }
    })
}

/// Why a program cannot be started.
pub(super) fn problem_of(program: &Path) -> &'static str {
    if program.is_dir() {
        "is a directory"
    } else if program.exists() {
        "is not executable"
    } else {
        "is not there"
    }
}

/// Claude Code refuses to skip permissions for root, unless told that this is a sandbox (measured on 2.1.329: by these
/// values alone). Only the user can say that.
pub(super) fn refuse_root(agent: &AgentSpec) -> Result<(), Error> {
    let real = agent.kind == AgentKind::Claude && is_claude_code(&agent.program);
    let is = |name: &str, values: &[&str]| std::env::var(name).is_ok_and(|v| values.contains(&v.as_str()));
    let sandbox = is("IS_SANDBOX", &["1"]) || is("CLAUDE_CODE_BUBBLEWRAP", &["1", "true"]);
    let skips = match &agent.permissions {
        Permissions::Skip => true,
        Permissions::Mode(mode) => mode == "bypassPermissions",
    };
    if !(real && skips && rustix::process::geteuid().is_root()) || sandbox {
        return Ok(());
    }
    Err(Error::RootNeedsPermissions)
}

/// Whether a program is Claude Code itself, by its name or where it is installed. What wraps it is not known: there
/// the refusal comes from Claude Code.
pub(super) fn is_claude_code(program: &Path) -> bool {
    let real = program.canonicalize().unwrap_or_else(|_| program.to_owned());
    let named = |path: &Path| path.file_name().is_some_and(|n| n == "claude");
    let packaged = real
        .components()
        .any(|c| c.as_os_str().to_string_lossy().starts_with("claude-code"));
    named(program) || named(&real) || packaged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{PromptBy, SuccessBy, TaskId, TaskOptions};

    fn task(id: &str, agent: Option<&str>) -> TaskSpec {
        TaskSpec {
            id: TaskId::parse(id).unwrap(),
            title: id.into(),
            prompt: id.into(),
            options: TaskOptions {
                agent: agent.map(str::to_owned),
                ..TaskOptions::default()
            },
        }
    }

    /// The names of the session's agent and of the others, and the agent that each task names then.
    type Found = (String, Vec<String>, Vec<Option<String>>);

    fn found(asked: Option<&str>, named: &[Option<&str>]) -> Result<Found, String> {
        let mut settings = Settings::default();
        for (name, program) in [("shell", "/bin/sh"), ("missing", "/no/such/program")] {
            let described = Described {
                program: program.into(),
                args: Vec::new(),
                prompt: PromptBy::default(),
                success: SuccessBy::default(),
                pty: false,
                resume: None,
                origin: Origin::File(Layer::User, "/a.toml".into(), 1),
            };
            settings.agents.insert(name.into(), described);
        }
        let context = Context {
            directory: "/".into(),
            results_dir: None,
        };
        let args = RunArgs {
            agent: asked.map(str::to_owned),
            ..RunArgs::default()
        };
        let mut tasks: Vec<TaskSpec> = named.iter().zip(["a", "b", "c"]).map(|(n, id)| task(id, *n)).collect();
        let agents = agents(&context, &args, &settings, &mut tasks).map_err(|e| e.to_string())?;
        let others = agents.others.into_iter().map(|agent| agent.name).collect();
        let of_tasks = tasks.into_iter().map(|task| task.options.agent).collect();
        Ok((agents.usual.name, others, of_tasks))
    }

    #[test]
    fn those_that_tasks_name_are_found_and_no_others() {
        let (usual, others, of_tasks) = found(Some("scripted"), &[None, Some("shell"), Some("scripted")]).unwrap();
        assert_eq!((usual.as_str(), others), ("scripted", vec!["shell".to_owned()]));
        assert_eq!(of_tasks, [None, Some("shell".to_owned()), None]);
        // What nobody is done by need not be there: here Claude Code, and a program that is missing.
        let (usual, others, of_tasks) = found(None, &[Some("shell"), Some("scripted"), Some("shell")]).unwrap();
        assert_eq!((usual.as_str(), others), ("shell", vec!["scripted".to_owned()]));
        assert_eq!(of_tasks, [None, Some("scripted".to_owned()), None]);
        assert!(found(Some("missing"), &[Some("shell")]).is_ok());
        let error = found(None, &[Some("shell"), Some("missing")]).unwrap_err();
        assert_eq!(error, "the program /no/such/program of the agent missing is not there");
    }

    #[test]
    fn an_unknown_one_is_refused_with_who_names_it() {
        let error = found(None, &[Some("shell"), Some("shel")]).unwrap_err();
        assert_eq!(error, "there is no agent \"shel\" (task 2, b)");
        let error = found(Some("shel"), &[Some("shell")]).unwrap_err();
        assert_eq!(error, "there is no agent \"shel\" (--agent)");
    }
}
