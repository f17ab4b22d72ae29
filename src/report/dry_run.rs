//! What `run` would start: each task with its branch, its worktree and the command of its agent.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::run::in_motion;
use super::{from_agent, quote, unbroken};
use crate::session::SessionSpec;
use crate::store::path_json;
use crate::task::{PromptBy, TaskOptions};
use crate::words::{count, dollars, elapsed};

/// What a session would be; nothing of it is there.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DryRun {
    /// The number of this format.
    pub schema: u32,
    /// How many agents would run at once; none is no limit.
    pub max_parallel: Option<usize>,
    /// In the order of the list.
    pub tasks: Vec<DryTask>,
}

/// What would be started for one task.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DryTask {
    /// Its id: the one that was given, or one made for this look.
    pub id: String,
    /// Its title.
    pub title: String,
    /// What was asked for.
    pub prompt: String,
    /// The branch that would be made; none with `--no-worktree`.
    pub branch: Option<String>,
    /// The worktree that would be made; none with `--no-worktree`.
    #[serde(with = "path_json::option")]
    #[schemars(with = "Option<path_json::Form>")]
    pub worktree: Option<PathBuf>,
    /// Where the agent would work.
    #[serde(with = "path_json")]
    #[schemars(with = "path_json::Form")]
    pub directory: PathBuf,
    /// Its command: the program, which may be given as bytes like any path, and its arguments.
    #[schemars(with = "Vec<path_json::Form>")]
    pub argv: Argv,
    /// What is said of it besides, from wherever it comes; what is not said is not there.
    pub options: TaskOptions,
}

/// A program and its arguments; in JSON one list.
#[derive(Debug)]
pub struct Argv {
    /// Absolute.
    pub program: PathBuf,
    /// Without the program.
    pub args: Vec<String>,
}

impl Serialize for Argv {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Program<'p>(#[serde(with = "path_json")] &'p std::path::Path);
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Word<'w> {
            Program(Program<'w>),
            Argument(&'w str),
        }
        let program = Word::Program(Program(&self.program));
        s.collect_seq(std::iter::once(program).chain(self.args.iter().map(|a| Word::Argument(a))))
    }
}

/// The same as text. The commands are as a shell takes them; what is said of ids is said once.
pub fn dry_run(spec: &SessionSpec, document: &DryRun) -> String {
    let mut text = in_motion(spec);
    text.push_str("\nnothing was started; this is what would be\n");
    let prompt_by = |index| {
        spec.agent_of(index)
            .command
            .map_or(PromptBy::Stdin, |command| command.prompt)
    };
    if (0..spec.tasks.len()).all(|index| prompt_by(index) == PromptBy::Stdin) {
        text.push_str("agents get their prompts on standard input; ");
    }
    text.push_str("ids that pleach makes up are others at every start\n");
    for (index, task) in document.tasks.iter().enumerate() {
        let _ = writeln!(text, "\n{}  {}", index + 1, task.title);
        if let (Some(branch), Some(worktree)) = (&task.branch, &task.worktree) {
            let _ = writeln!(
                text,
                "  branch    {}\n  worktree  {}",
                unbroken(branch),
                quote(worktree)
            );
        }
        for (label, said) in said_of(&task.options) {
            let _ = writeln!(text, "  {label:8}  {said}");
        }
        let command = command(task, prompt_by(index) == PromptBy::Stdin);
        let _ = writeln!(text, "  command   {command}");
    }
    from_agent(&text)
}

/// What is said of a task, a line each. Of variables only the names are shown: their values may be secrets.
fn said_of(options: &TaskOptions) -> Vec<(&'static str, String)> {
    let TaskOptions {
        depends_on,
        run_if,
        // These are in the command.
        model: _,
        agent: _,
        agent_args: _,
        env,
        timeout_ms,
        idle_timeout_ms,
        retry,
        verify,
        setup,
        output_file,
        on_done,
        max_turns,
        max_cost_usd,
        priority,
    } = options;
    let list = |items: Vec<String>| (!items.is_empty()).then(|| items.join(", "));
    let text = |text: &Option<String>| text.as_deref().map(unbroken);
    let time = |ms: &Option<u64>| ms.map(|ms| elapsed(Duration::from_millis(ms)));
    let commands = setup.iter().flatten().map(|command| ("setup", Some(unbroken(command))));
    let before = [
        ("after", list(depends_on.iter().map(ToString::to_string).collect())),
        ("run if", text(run_if)),
        ("env", list(env.keys().map(|name| unbroken(name)).collect())),
        ("timeout", time(timeout_ms)),
        ("idle", time(idle_timeout_ms)),
        ("retry", retry.map(|times| count(times, "time"))),
    ];
    let behind = [
        ("verify", text(verify)),
        ("on done", text(on_done)),
        ("answer", output_file.as_ref().map(quote)),
        ("turns", max_turns.map(|turns| turns.to_string())),
        ("cost", max_cost_usd.map(dollars)),
        ("priority", priority.map(|priority| priority.to_string())),
    ];
    // A line each: between commands a comma would look like a part of them.
    let all = before.into_iter().chain(commands).chain(behind);
    all.filter_map(|(label, said)| Some((label, said?))).collect()
}

/// The command as it would be typed; `fed` is one that reads its prompt.
fn command(task: &DryTask, fed: bool) -> String {
    let mut text = format!("cd {} && {}", quote(&task.directory), quote(&task.argv.program));
    for arg in &task.argv.args {
        let _ = write!(text, " {}", quote(arg));
    }
    text + if fed { " < PROMPT" } else { "" }
}
