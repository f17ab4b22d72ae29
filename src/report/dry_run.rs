//! What `run` would start: each task with its branch, its worktree and the command of its agent.

use std::fmt::Write;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::run::in_motion;
use super::{from_agent, quote, unbroken};
use crate::session::SessionSpec;
use crate::store::path_json;
use crate::task::PromptBy;

/// What a session would be; nothing of it is there.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DryRun {
    /// The number of this format.
    pub schema: u32,
    /// How many agents would run at once; none is no limit.
    pub max_parallel: Option<usize>,
    /// In the order in which they would start.
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
    text.push_str("\nnothing was started; this is what would be, in this order\n");
    let prompts_are_in_words = (0..spec.tasks.len()).any(|index| {
        let command = spec.agent_of(index).command;
        command.is_some_and(|command| command.prompt != PromptBy::Stdin)
    });
    if !prompts_are_in_words {
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
        let _ = writeln!(text, "  command   {}", command(task));
    }
    from_agent(&text)
}

/// The command as it would be typed.
fn command(task: &DryTask) -> String {
    let mut text = format!("cd {} && {}", quote(&task.directory), quote(&task.argv.program));
    for arg in &task.argv.args {
        let _ = write!(text, " {}", quote(arg));
    }
    text + " < PROMPT"
}
