//! Where copies of the answers go: what the tasks say themselves, and what the command line says for the others.
//!
//! Called by `run` with the whole list. Paths become absolute, and no two tasks write to the same file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{InputError, ListedTask, Problem};

/// The most bytes of a title that become a part of a file name.
const LONGEST_SLUG: usize = 48;

/// What the command line says of answers.
#[derive(Clone, Copy, Debug)]
pub enum Outputs<'a> {
    /// Nothing.
    Unsaid,
    /// `--output-dir`
    Directory(&'a Path),
    /// `--output-file`
    File(&'a Path),
}

/// Gives each task its `output_file`, absolute; relative paths start from `directory`. What an entry says counts.
pub fn set_outputs(tasks: &mut [ListedTask], outputs: Outputs<'_>, directory: &Path) -> Result<(), InputError> {
    if let (Outputs::File(_), count @ 2..) = (outputs, tasks.len()) {
        return Err(InputError::general(Problem::OneOutput(count)));
    }
    let digits = tasks.len().to_string().len().max(2);
    let mut writers: HashMap<PathBuf, usize> = HashMap::new();
    for index in 0..tasks.len() {
        let own = tasks[index].task.options.output_file.clone();
        let path = own.or_else(|| match outputs {
            Outputs::Unsaid => None,
            Outputs::Directory(dir) => Some(dir.join(file_name(&tasks[index], index + 1, digits))),
            Outputs::File(file) => Some(file.to_owned()),
        });
        let Some(path) = path.map(|path| directory.join(path)) else {
            continue;
        };
        if path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/") || path.is_dir() {
            return Err(InputError::of_task(&tasks[index], Problem::OutputDirectory));
        }
        if let Some(first) = writers.insert(real(&path), index) {
            return Err(InputError::general(Problem::OutputTwice {
                tasks: Box::new([first, index].map(|index| tasks[index].called().to_owned())),
                path: path.to_string_lossy().into_owned(),
            }));
        }
        tasks[index].task.options.output_file = Some(path);
    }
    Ok(())
}

/// The path with what is there of its directory resolved: the same file has the same one.
fn real(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => real(parent).join(name),
        _ => path.to_owned(),
    }
}

/// What the file for an answer is called: the id if one was given, else the number and the title.
fn file_name(listed: &ListedTask, number: usize, digits: usize) -> String {
    if listed.named {
        return format!("{}.txt", listed.task.id);
    }
    let slug = slug(&listed.task.title);
    match slug.is_empty() {
        true => format!("{number:0digits$}.txt"),
        false => format!("{number:0digits$}-{slug}.txt"),
    }
}

/// The words of a title, in lower case, with hyphens between them: letters and digits of any script stay.
fn slug(title: &str) -> String {
    let mut slug = String::new();
    for word in title
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        let word = word.to_lowercase();
        if slug.len() + word.len() >= LONGEST_SLUG {
            if slug.is_empty() {
                slug.push_str(&word[..word.floor_char_boundary(LONGEST_SLUG)]);
            }
            break;
        }
        if !slug.is_empty() {
            slug.push('-');
        }
        slug.push_str(&word);
    }
    slug
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::input::{Given, read};

    fn listed(json: &str) -> Vec<ListedTask> {
        let files = ["-".into()];
        let given = Given {
            files: &files,
            ..Given::here(Path::new("/"))
        };
        read(&given, &mut json.as_bytes()).unwrap()
    }

    fn outputs(json: &str, outputs: Outputs<'_>) -> Result<Vec<Option<String>>, String> {
        let mut tasks = listed(json);
        set_outputs(&mut tasks, outputs, Path::new("/no/such")).map_err(|error| error.to_string())?;
        let path = |listed: &ListedTask| {
            let path = listed.task.options.output_file.as_ref();
            path.map(|path| path.to_str().unwrap().to_owned())
        };
        Ok(tasks.iter().map(path).collect())
    }

    #[test]
    fn answers_go_where_the_entry_says_or_else_the_command_line() {
        let tasks = r#"{"tasks": ["Fix the /login, now!", {"id": "B", "prompt": "p"},
            {"prompt": "q", "output_file": "own.md"}, {"prompt": "r", "output_file": "/tmp/x"}, "…"]}"#;
        let found = outputs(tasks, Outputs::Directory(Path::new("out"))).unwrap();
        let paths: Vec<&str> = found.iter().map(|path| path.as_deref().unwrap()).collect();
        assert_eq!(
            paths,
            [
                "/no/such/out/01-fix-the-login-now.txt",
                "/no/such/out/B.txt",
                "/no/such/own.md",
                "/tmp/x",
                "/no/such/out/05.txt"
            ]
        );
        let one = outputs(r#"{"tasks": ["a"]}"#, Outputs::File(Path::new("answer")));
        assert_eq!(one, Ok(vec![Some("/no/such/answer".into())]));
        assert_eq!(outputs(r#"{"tasks": ["a"]}"#, Outputs::Unsaid), Ok(vec![None]));
    }

    #[test]
    fn no_file_has_two_answers() {
        for (json, said, given) in [
            (
                r#"{"tasks": ["a", "b"]}"#,
                "--output-file is for one task, not for 2",
                Outputs::File(Path::new("x")),
            ),
            (
                r#"{"tasks": [{"prompt": "a", "output_file": "x"}, {"prompt": "b", "output_file": "./x"}]}"#,
                "\"a\" and \"b\" both write their answers to \"/no/such/./x\"",
                Outputs::Unsaid,
            ),
            (
                r#"{"tasks": [{"id": "x", "prompt": "a"}, {"prompt": "b", "output_file": "out/x.txt"}]}"#,
                "\"x\" and \"b\" both write their answers to \"/no/such/out/x.txt\"",
                Outputs::Directory(Path::new("out")),
            ),
            (
                r#"{"tasks": [{"id": "x", "prompt": "a", "output_file": "/tmp"}]}"#,
                "task \"a\": \"output_file\" names a directory",
                Outputs::Unsaid,
            ),
            (
                r#"{"tasks": [{"prompt": "a", "output_file": "new/"}]}"#,
                "task \"a\": \"output_file\" names a directory",
                Outputs::Unsaid,
            ),
        ] {
            assert_eq!(outputs(json, given), Err(said.into()));
        }
    }

    #[test]
    fn a_slug_is_short_and_has_no_marks() {
        for (title, expected) in [
            ("Fix the login", "fix-the-login"),
            ("  ../../etc/passwd\u{202e}", "etc-passwd"),
            ("Größe: 漢字", "größe-漢字"),
            ("--- …", ""),
        ] {
            assert_eq!(slug(title), expected);
        }
        assert!(slug(&"x".repeat(100)).len() <= LONGEST_SLUG && slug(&"漢".repeat(60)).len() <= LONGEST_SLUG);
        assert!(slug(&"word ".repeat(30)).len() < LONGEST_SLUG);
    }
}
