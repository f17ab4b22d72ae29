//! What the commits of a landing say: in git's own words with the title of the task, or as the user says it. Pure.

use super::LandingError;

/// What a message may speak of.
#[derive(Clone, Copy, Debug)]
pub(super) struct About<'a> {
    pub branch: &'a str,
    pub task: &'a str,
    pub title: &'a str,
    pub session: &'a str,
    pub target: &'a str,
}

/// `--message`: a text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Branch,
    Task,
    Title,
    Session,
    Target,
}

impl Template {
    /// Reads it. A word in braces has to stand for something; other braces are text.
    pub fn parse(text: &str) -> Result<Self, LandingError> {
        if text.trim().is_empty() {
            return Err(LandingError::EmptyMessage);
        }
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find('{') {
            plain.push_str(&rest[..at]);
            rest = &rest[at..];
            let Some(word) = word(rest) else {
                plain.push('{');
                rest = &rest[1..];
                continue;
            };
            parts.push(Part::Text(std::mem::take(&mut plain)));
            parts.push(match word {
                "branch" => Part::Branch,
                "task" => Part::Task,
                "title" => Part::Title,
                "session" => Part::Session,
                "target" => Part::Target,
                other => return Err(LandingError::Placeholder(other.to_owned())),
            });
            rest = &rest[word.len() + 2..];
        }
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        Ok(Self(parts))
    }

    pub(super) fn fill(&self, about: &About) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Branch => about.branch.to_owned(),
            Part::Task => about.task.to_owned(),
            Part::Title => about.title.to_owned(),
            Part::Session => about.session.to_owned(),
            Part::Target => about.target.to_owned(),
        };
        let text: String = self.0.iter().map(part).collect();
        format!("{}\n", text.trim_end())
    }
}

/// The word in the braces that a text begins with.
fn word(text: &str) -> Option<&str> {
    let (word, _) = text.strip_prefix('{')?.split_once('}')?;
    let is_word = !word.is_empty()
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    is_word.then_some(word)
}

/// git's words, with the title of the task below the first line.
pub(super) fn of_merge(words_of_git: &str, about: &About) -> String {
    let (subject, more) = words_of_git.split_once('\n').unwrap_or((words_of_git, ""));
    let parts = [subject, about.title, more];
    joined(parts.iter().map(|part| part.trim()))
}

/// The title, then the messages of the branch's commits; of a single one its own.
pub(super) fn of_squash(messages: &[String], about: &About) -> String {
    let messages = messages.iter().map(|m| without_own_trailers(m));
    let messages: Vec<&str> = messages.filter(|m| !m.is_empty()).collect();
    let text = match messages.as_slice() {
        [single] => (*single).to_owned(),
        several => {
            let listed: Vec<String> = several.iter().map(|m| format!("* {m}")).collect();
            joined(std::iter::once(about.title).chain(listed.iter().map(|m| m.trim())))
        }
    };
    let text = text.trim();
    // Trailers are one paragraph.
    let has_trailers = git2::message_trailers_strs(text).is_ok_and(|t| t.iter().next().is_some());
    let gap = if has_trailers { "\n" } else { "\n\n" };
    format!("{text}{gap}{TASK} {}\n{SESSION} {}\n", about.task, about.session)
}

const TASK: &str = "Pleach-Task:";
const SESSION: &str = "Pleach-Session:";

/// A message without the trailers that settling puts at its end.
fn without_own_trailers(message: &str) -> &str {
    let mut text = message.trim();
    while let Some((rest, last)) = text.rsplit_once('\n') {
        if !last.starts_with(TASK) && !last.starts_with(SESSION) {
            break;
        }
        text = rest.trim_end();
    }
    text
}

/// Paragraphs, without those that are empty.
fn joined<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    format!("{}\n", parts.join("\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: About = About {
        branch: "main-task-a",
        task: "a",
        title: "Fix the parser",
        session: "5e55",
        target: "main",
    };

    #[test]
    fn a_template_is_filled_and_only_known_words_are_taken() {
        for (text, expected) in [
            ("{title}", Ok("Fix the parser\n")),
            (
                "{task}: {title} ({branch} -> {target})\n\n{session}\n",
                Ok("a: Fix the parser (main-task-a -> main)\n\n5e55\n"),
            ),
            ("fn() {} { x } {", Ok("fn() {} { x } {\n")),
            ("{{task}}", Ok("{a}\n")),
            ("{who}", Err("who")),
            ("{title} {Task}", Err("Task")),
        ] {
            let filled = Template::parse(text).map(|t| t.fill(&ABOUT));
            match (filled, expected) {
                (Ok(filled), Ok(expected)) => assert_eq!(filled, expected, "{text}"),
                (Err(LandingError::Placeholder(word)), Err(expected)) => assert_eq!(word, expected, "{text}"),
                (other, _) => panic!("{text}: {other:?}"),
            }
        }
        assert!(matches!(Template::parse(" \n"), Err(LandingError::EmptyMessage)));
    }

    #[test]
    fn the_title_stands_below_the_words_of_git() {
        for (words, expected) in [
            ("Merge branch 'a'\n", "Merge branch 'a'\n\nFix the parser\n"),
            (
                "Merge branch 'a' into x\n\n* a:\n  one\n",
                "Merge branch 'a' into x\n\nFix the parser\n\n* a:\n  one\n",
            ),
        ] {
            assert_eq!(of_merge(words, &ABOUT), expected);
        }
    }

    #[test]
    fn a_squashed_branch_says_what_its_commits_said() {
        let trailers = "Pleach-Task: a\nPleach-Session: 5e55\n";
        for (messages, expected) in [
            (&["Do it\n\nBecause.\n"][..], format!("Do it\n\nBecause.\n\n{trailers}")),
            (
                &["Do it\n\nPleach-Task: a\nPleach-Session: 5e55\n"],
                format!("Do it\n\n{trailers}"),
            ),
            (
                &["Do it\n\nSigned-off-by: A <a@b.c>\n"],
                format!("Do it\n\nSigned-off-by: A <a@b.c>\n{trailers}"),
            ),
            (
                &["One\n", "Two\n\nMore.\n"],
                format!("Fix the parser\n\n* One\n\n* Two\n\nMore.\n\n{trailers}"),
            ),
            (&[""], format!("Fix the parser\n\n{trailers}")),
        ] {
            let messages: Vec<String> = messages.iter().map(|m| (*m).to_owned()).collect();
            assert_eq!(of_squash(&messages, &ABOUT), expected);
        }
    }
}
