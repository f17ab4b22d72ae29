//! The tasks of a run: every task file in its order, then the prompts of the command line.
//!
//! Called by the `run` command. It opens what was named, has the reader of its format read it, gives ids and titles where
//! there are none, sees to it that no two tasks have the same id, and has `links` find out which tasks depend on which.
//! It prints nothing and knows nothing of sessions. Every refusal is one [`InputError`]: a line that says what is wrong and
//! where, and a line that says what to do.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::store::tail::open_file;
use crate::task::TaskOptions;
use crate::task::entry::Entry;
use crate::task::id::TaskId;
use crate::task::json::{self, List};
use crate::task::markdown;
use crate::task::text;
use crate::task::title::{clean_title, is_blank, quoted, title_of};

mod links;
mod outputs;
pub(crate) mod problem;
mod source;

pub use outputs::{Outputs, set_outputs};
#[cfg(test)]
pub(crate) use problem::OF_THE_SESSION;
pub(crate) use problem::{Fault, Kind, Position, Problem, nearest};
pub use source::Format;
use source::Source;

/// The most bytes that are read from one file, and that the prompts of one file have together.
pub(crate) const LARGEST: u64 = 64 * 1024 * 1024;

/// One task as the user wrote it, with an id and a title if they gave none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// Names the task; unlike every other of its list, also when case is ignored.
    pub id: TaskId,
    /// One clean line; see [`clean_title`].
    pub title: String,
    /// What the agent shall do, exactly as given; something in it can be seen.
    pub prompt: String,
    /// Everything else.
    #[serde(default, skip_serializing_if = "TaskOptions::is_empty")]
    pub options: TaskOptions,
}

/// A task as it is written, and the defaults of the list it stands in.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedTask {
    /// With what its own entry says.
    pub task: TaskSpec,
    /// What its list says of all its tasks: weaker than the command line.
    pub defaults: TaskOptions,
    /// Whether its id was given, and not made up.
    pub named: bool,
}

/// What the user named.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// Task files; `-` is standard input.
    pub files: &'a [PathBuf],
    /// Prompts, a task each.
    pub prompts: &'a [String],
    /// What the files are; none if their names say it.
    pub format: Option<Format>,
    /// What relative paths start from that do not stand in a file.
    pub directory: &'a Path,
}

impl<'a> Given<'a> {
    /// Nothing, as asked for in this directory.
    pub fn here(directory: &'a Path) -> Self {
        Self {
            files: &[],
            prompts: &[],
            format: None,
            directory,
        }
    }
}

/// A task whose dependencies are names yet, with what messages about it need.
struct Draft {
    listed: ListedTask,
    source: Source,
    /// Of its entry, if the source has more than one.
    number: Option<usize>,
    prompt_at: Option<Position>,
    depends_on: Vec<(Position, String)>,
}

impl ListedTask {
    /// The id that was given, or else the title.
    fn called(&self) -> &str {
        if self.named {
            self.task.id.as_str()
        } else {
            &self.task.title
        }
    }
}

/// Reads all tasks. The list is never empty, and what depends on what can be done.
pub fn read(given: &Given<'_>, stdin: &mut dyn Read) -> Result<Vec<ListedTask>, InputError> {
    let mut drafts = Vec::new();
    let mut taken = HashMap::new();
    let mut stdin = Some(stdin);
    for path in given.files {
        let source = Source::of(path);
        let bytes = match &source {
            Source::Stdin => stdin.take().map_or(Err(Problem::StdinTwice), load),
            _ => open(path).and_then(|mut file| load(&mut file)),
        };
        let List { entries, defaults } = bytes
            .map_err(Fault::whole)
            .and_then(|bytes| parse(&source, given.format, &bytes))
            .map_err(|fault| InputError::new(&source, fault))?;
        // Each task has all of the defaults.
        if weight(&defaults).saturating_mul(entries.len()) as u64 > LARGEST {
            return Err(InputError::new(&source, Fault::whole(Problem::TasksTooLarge)));
        }
        let mut files = PromptFiles::of(&source, given.directory);
        let markdown = matches!(source.format(given.format, ""), Ok(Format::Markdown));
        let several = entries.len() > 1 || !markdown;
        for (entry, number) in entries.into_iter().zip(1..) {
            let known = (number, several.then_some(number));
            drafts.push(draft_of(entry, known, (&source, &defaults), &mut files, &mut taken)?);
        }
    }
    for (prompt, number) in given.prompts.iter().zip(1..) {
        let source = Source::Prompt(number);
        if is_blank(prompt) {
            return Err(InputError::new(&source, Fault::whole(Problem::BlankPrompt)));
        }
        drafts.push(Draft {
            listed: ListedTask {
                task: TaskSpec {
                    id: TaskId::fresh(),
                    title: title_of(prompt),
                    prompt: prompt.clone(),
                    options: TaskOptions::default(),
                },
                defaults: TaskOptions::default(),
                named: false,
            },
            source,
            number: None,
            prompt_at: None,
            depends_on: Vec::new(),
        });
    }
    if drafts.is_empty() {
        return Err(InputError::general(Problem::NoTask));
    }
    links::resolve(&mut drafts)?;
    Ok(drafts.into_iter().map(|draft| draft.listed).collect())
}

/// About how many bytes options take.
fn weight(options: &TaskOptions) -> usize {
    serde_json::to_string(options).map_or(0, |text| text.len())
}

/// Reads the bytes of a source in its format.
fn parse(source: &Source, asked: Option<Format>, bytes: &[u8]) -> Result<List, Fault> {
    let text = text::decode(bytes).map_err(|fault| match fault.problem {
        // What belongs into it depends on what it is.
        Problem::Empty(_) => Fault::whole(Problem::Empty(source.format(asked, "").unwrap_or(Format::Json))),
        _ => fault,
    })?;
    let list = |entries| List {
        entries,
        defaults: TaskOptions::default(),
    };
    match source.format(asked, text).map_err(Fault::whole)? {
        Format::Json => json::parse(text),
        Format::Text => text::parse(text).map(list),
        Format::Markdown => markdown::parse(text, source.stem()).map(list),
    }
}

/// Where an id was given first, by the id in lower case.
type Taken = HashMap<String, (Source, usize, Position)>;

/// The draft of an entry; `known` is its number, and that which messages name.
fn draft_of(
    entry: Entry,
    known: (usize, Option<usize>),
    (source, defaults): (&Source, &TaskOptions),
    files: &mut PromptFiles,
    taken: &mut Taken,
) -> Result<Draft, InputError> {
    let (number, shown) = known;
    let name = entry.name().map(str::to_owned);
    let refused = |position, name, problem| {
        let fault = Fault {
            position: Some(position),
            entry: shown,
            name,
            problem,
        };
        InputError::new(source, fault)
    };
    let named = entry.id.is_some();
    let id = match entry.id {
        None => TaskId::fresh(),
        Some((id, position)) => {
            let here = (source.clone(), number, position);
            if let Some(first) = taken.insert(id.as_str().to_ascii_lowercase(), here) {
                return Err(refused(position, None, taken_id(id, &first, source, number)));
            }
            id
        }
    };
    let (prompt_at, prompt) = match (entry.prompt, entry.prompt_file) {
        (Some(prompt), _) => prompt,
        (None, Some((at, path))) => {
            let prompt = files.read(&path).map_err(|problem| refused(at, name, problem))?;
            (at, prompt)
        }
        // No reader gives an entry without a prompt.
        (None, None) => return Err(refused(entry.at, name, Problem::NoPrompt)),
    };
    let title = entry.title.as_deref().map(clean_title);
    let title = title.filter(|title| !title.is_empty());
    let task = TaskSpec {
        id,
        title: title.unwrap_or_else(|| title_of(&prompt)),
        prompt,
        options: entry.options,
    };
    Ok(Draft {
        listed: ListedTask {
            task,
            defaults: defaults.clone(),
            named,
        },
        source: source.clone(),
        number: shown,
        prompt_at: Some(prompt_at),
        depends_on: entry.depends_on,
    })
}

/// Whose an id is already.
fn taken_id(id: TaskId, first: &(Source, usize, Position), source: &Source, number: usize) -> Problem {
    let (of, its_number, position) = first;
    let of = match of == source {
        true if *its_number == number => return Problem::FileTwice,
        true => format!("entry {its_number} ({position})"),
        false => format!("entry {its_number} of {of} ({position})"),
    };
    Problem::TakenId { id, of }
}

/// Reads the files that entries of one source name for their prompts.
struct PromptFiles {
    /// What their paths start from.
    directory: PathBuf,
    /// So many bytes may still be read.
    left: u64,
}

impl PromptFiles {
    fn of(source: &Source, directory: &Path) -> Self {
        let own = match source {
            Source::File(path) => path.parent(),
            _ => None,
        };
        Self {
            directory: own.map_or_else(|| directory.to_owned(), |own| directory.join(own)),
            left: LARGEST,
        }
    }

    fn read(&mut self, path: &str) -> Result<String, Problem> {
        let wrong = |at, problem| Problem::PromptFile {
            path: path.to_owned(),
            at,
            problem: Box::new(problem),
        };
        // Whatever is no file of text, such as a pipe, is not waited for.
        let file = open_file(&self.directory.join(path)).map_err(|e| wrong(None, e.into()))?;
        let bytes = load(&mut { file }).map_err(|problem| wrong(None, problem))?;
        let text = text::decode(&bytes).map_err(|fault| wrong(fault.position, fault.problem))?;
        if is_blank(text) {
            return Err(wrong(None, Problem::BlankPrompt));
        }
        let left = self.left.checked_sub(text.len() as u64);
        self.left = left.ok_or(Problem::TasksTooLarge)?;
        Ok(text.to_owned())
    }
}

fn open(path: &Path) -> Result<File, Problem> {
    File::open(path).map_err(Problem::from)
}

fn load(from: &mut dyn Read) -> Result<Vec<u8>, Problem> {
    let mut text = Vec::new();
    from.take(LARGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(Problem::TooLarge);
    }
    Ok(text)
}

/// Why there are no tasks: shown, it is one line that says where and what; [`hint`](Self::hint) says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{}{problem}", place.as_deref().unwrap_or_default())]
pub struct InputError {
    place: Option<String>,
    problem: Problem,
}

impl InputError {
    fn new(source: &Source, fault: Fault) -> Self {
        let mut place = format!("{source}: ");
        if let Some(position) = fault.position {
            place += &format!("{position}: ");
        }
        if let Some(number) = fault.entry {
            let name = fault.name.map(|name| format!(" ({})", quoted(&name)));
            place += &format!("entry {number}{}: ", name.unwrap_or_default());
        }
        Self {
            place: Some(place),
            problem: fault.problem,
        }
    }

    /// Of nothing that stands anywhere.
    fn general(problem: Problem) -> Self {
        Self { place: None, problem }
    }

    fn of_task(listed: &ListedTask, problem: Problem) -> Self {
        Self {
            place: Some(format!("task {}: ", quoted(&listed.task.title))),
            problem,
        }
    }

    /// What the user may do about it: one line, without a full stop.
    pub fn hint(&self) -> String {
        self.problem.hint()
    }

    /// The name of the problem, in the documentation.
    #[cfg(test)]
    pub(crate) fn name(&self) -> &'static str {
        problem::Name::from(&self.problem).into()
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::IsADirectory => Self::Directory,
            _ => Self::Unreadable(error),
        }
    }
}

#[cfg(test)]
mod tests;
