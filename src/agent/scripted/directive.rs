//! The directives of a prompt: which there are, and how a line becomes one.
//!
//! A directive is a line that starts with `@`, a name, and what the name takes. PATH is one word, relative to the
//! working directory or absolute; TEXT is the rest of the line, where `\n`, `\t` and `\\` stand for a line break, a
//! tab and a backslash; DURATION is `200ms`, `2s`, `1m`, `1h`, or a number of seconds.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// What the agent does as a model does with a tool: one turn, with a call and a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `@write PATH TEXT`: replaces a file by this text.
    Write(PathBuf, String),
    /// `@append PATH TEXT`: adds this text to a file.
    Append(PathBuf, String),
    /// `@delete PATH`: removes a file, or a directory with all in it.
    Delete(PathBuf),
    /// `@touch PATH`: makes an empty file; one that exists keeps its content.
    Touch(PathBuf),
    /// `@commit MESSAGE`: commits everything.
    Commit(String),
    /// `@run COMMAND`: a shell command.
    Run(String),
    /// `@daemon SECONDS`: a process in a session of its own that has the agent's standard output.
    Daemon(Duration),
    /// `@deny TOOL`: a call of a tool that is not permitted.
    Deny(String),
}

/// One thing that the agent does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Directive {
    /// The use of a tool.
    Tool(Tool),
    /// `@sleep DURATION`
    Sleep(Duration),
    /// `@wait PATH`: waits until there is such a file.
    Wait(PathBuf),
    /// `@say TEXT`: a line of the final answer.
    Say(String),
    /// `@env NAME`: a variable's value, as a line of the final answer.
    Env(String),
    /// `@cwd`: the working directory, as a line of the final answer.
    Cwd,
    /// `@system`: the text of `--append-system-prompt`, as a line of the final answer.
    System,
    /// `@prompt-bytes`: the size of the prompt, as a line of the final answer.
    PromptBytes,
    /// `@fail TEXT`: ends as when the API refuses.
    Fail(String),
    /// `@exit CODE`: ends at once, without a result.
    Exit(u8),
    /// `@max-turns`: ends as when `--max-turns` is reached.
    MaxTurns,
    /// `@overloaded N`: so many tries that the API answers with "overloaded".
    Overloaded(u64),
    /// `@rate-limit PATH`: ends as when the API refuses with 429, unless there is such a file.
    RateLimit(PathBuf),
    /// `@limited PATH`: the API answers with 429, again and again, until there is such a file.
    Limited(PathBuf),
    /// `@usage-limit PATH [SECONDS]`: ends as when the usage limit is reached, unless there is such a file; it resets at this
    /// time in Unix seconds.
    UsageLimit(PathBuf, Option<u64>),
    /// `@login PATH`: ends as when nobody is logged in, unless there is such a file.
    Login(PathBuf),
    /// `@output BYTES`: about so many bytes of text on standard output, in lines of less than 64 KiB.
    Output(u64),
    /// `@line BYTES`: a line of exactly so many bytes on standard output, which is no JSON.
    Line(u64),
    /// `@cost USD`: the conversation costs so much more than a cent for each turn; in millionths of a dollar.
    Cost(u64),
    /// `@stderr TEXT`: a line on standard error.
    Stderr(String),
    /// `@plain`: no JSON at all in the whole run.
    Plain,
    /// `@ignore-sigterm`: SIGTERM is ignored in the whole run, by the processes it starts too.
    IgnoreSigterm,
}

/// A line of the prompt that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    number: usize,
    name: String,
    problem: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, name, problem } = self;
        write!(f, "line {number} of the prompt: @{name}: {problem}")
    }
}

/// The directives of a prompt in their order, or the first line that is none.
pub fn parse(prompt: &str) -> Result<Vec<Directive>, BadLine> {
    let mut directives = Vec::new();
    for (index, line) in prompt.lines().enumerate() {
        let Some(line) = line.strip_prefix('@') else {
            continue;
        };
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        directives.push(directive(name, rest).map_err(|problem| BadLine {
            number: index + 1,
            name: name.into(),
            problem,
        })?);
    }
    Ok(directives)
}

fn directive(name: &str, rest: &str) -> Result<Directive, String> {
    let directive = match name {
        "write" => path_and_text(rest).map(|(path, text)| Tool::Write(path, text))?.into(),
        "append" => path_and_text(rest).map(|(path, text)| Tool::Append(path, text))?.into(),
        "delete" => Tool::Delete(path(rest)?).into(),
        "touch" => Tool::Touch(path(rest)?).into(),
        "commit" => Tool::Commit(unescape(needed(rest, "a MESSAGE")?)).into(),
        "run" => Tool::Run(needed(rest, "a COMMAND")?.into()).into(),
        "daemon" => Tool::Daemon(duration(rest)?).into(),
        "deny" => Tool::Deny(word(rest, "TOOL")?.into()).into(),
        "sleep" => Directive::Sleep(duration(rest)?),
        "wait" => Directive::Wait(path(rest)?),
        "say" => Directive::Say(unescape(rest)),
        "env" => Directive::Env(variable(rest)?),
        "cwd" => nothing(rest, Directive::Cwd)?,
        "system" => nothing(rest, Directive::System)?,
        "prompt-bytes" => nothing(rest, Directive::PromptBytes)?,
        "fail" => Directive::Fail(unescape(needed(rest, "a TEXT")?)),
        "exit" => Directive::Exit(number(rest, "CODE", "from 0 to 255")?),
        "max-turns" => nothing(rest, Directive::MaxTurns)?,
        "overloaded" => Directive::Overloaded(number(rest, "N", "from 0")?),
        "rate-limit" => Directive::RateLimit(path(rest)?),
        "limited" => Directive::Limited(path(rest)?),
        "usage-limit" => path_and_seconds(rest).map(|(path, resets)| Directive::UsageLimit(path, resets))?,
        "login" => Directive::Login(path(rest)?),
        "output" => Directive::Output(number(rest, "BYTES", "from 0")?),
        "line" => Directive::Line(number(rest, "BYTES", "from 0")?),
        "cost" => Directive::Cost(millionths(rest)?),
        "stderr" => Directive::Stderr(unescape(rest)),
        "plain" => nothing(rest, Directive::Plain)?,
        "ignore-sigterm" => nothing(rest, Directive::IgnoreSigterm)?,
        _ => return Err("unknown directive".into()),
    };
    Ok(directive)
}

impl From<Tool> for Directive {
    fn from(tool: Tool) -> Self {
        Self::Tool(tool)
    }
}

fn nothing(rest: &str, directive: Directive) -> Result<Directive, String> {
    if rest.trim().is_empty() {
        Ok(directive)
    } else {
        Err("takes nothing".into())
    }
}

fn needed<'a>(rest: &'a str, what: &str) -> Result<&'a str, String> {
    let rest = rest.trim();
    if rest.is_empty() {
        return Err(format!("needs {what}"));
    }
    Ok(rest)
}

fn word<'a>(rest: &'a str, what: &str) -> Result<&'a str, String> {
    let mut words = rest.split_whitespace();
    match (words.next(), words.next()) {
        (Some(word), None) => Ok(word),
        _ => Err(format!("needs one {what}")),
    }
}

fn path(rest: &str) -> Result<PathBuf, String> {
    no_nul(word(rest, "PATH without blanks")?).map(PathBuf::from)
}

fn path_and_text(rest: &str) -> Result<(PathBuf, String), String> {
    let rest = rest.trim_start();
    let (path, text) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    if path.is_empty() {
        return Err("needs a PATH and a TEXT".into());
    }
    let mut text = unescape(text);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok((no_nul(path)?.into(), text))
}

fn path_and_seconds(rest: &str) -> Result<(PathBuf, Option<u64>), String> {
    let (file, seconds) = rest.trim().split_once(char::is_whitespace).unwrap_or((rest, ""));
    let seconds = match seconds.trim() {
        "" => None,
        seconds => Some(number(seconds, "SECONDS", "from 0")?),
    };
    Ok((path(file)?, seconds))
}

fn no_nul(text: &str) -> Result<&str, String> {
    if text.contains('\0') {
        return Err("has a NUL character".into());
    }
    Ok(text)
}

fn variable(rest: &str) -> Result<String, String> {
    let name = no_nul(word(rest, "NAME")?)?;
    if name.contains('=') {
        return Err("the NAME of a variable has no `=`".into());
    }
    Ok(name.into())
}

fn number<T: std::str::FromStr>(rest: &str, what: &str, range: &str) -> Result<T, String> {
    let number = rest.trim().parse();
    number.map_err(|_| format!("{what} is a number {range}"))
}

/// An amount such as `0.75`, in millionths.
fn millionths(rest: &str) -> Result<u64, String> {
    let amount: Option<f64> = rest.trim().parse().ok();
    match amount {
        Some(usd) if (0.0..=1e9).contains(&usd) => Ok((usd * 1e6).round() as u64),
        _ => Err("needs an amount of USD such as 0.75".into()),
    }
}

fn duration(rest: &str) -> Result<Duration, String> {
    let text = rest.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(unit_at.unwrap_or(text.len()));
    let milliseconds: Option<u64> = match unit {
        "ms" => Some(1),
        "" | "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let number: Option<u64> = number.parse().ok();
    number
        .zip(milliseconds)
        .and_then(|(number, unit)| number.checked_mul(unit))
        .map(Duration::from_millis)
        .ok_or_else(|| "needs a DURATION such as 200ms, 2s or 1m".into())
}

/// Replaces `\n`, `\t` and `\\`; any other backslash stays.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let replaced = match (c, chars.peek()) {
            ('\\', Some('n')) => Some('\n'),
            ('\\', Some('t')) => Some('\t'),
            ('\\', Some('\\')) => Some('\\'),
            _ => None,
        };
        if replaced.is_some() {
            chars.next();
        }
        out.push(replaced.unwrap_or(c));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Directive {
        let mut all = parse(line).unwrap();
        assert_eq!(all.len(), 1, "{line}");
        all.remove(0)
    }

    fn refused(prompt: &str) -> String {
        parse(prompt).unwrap_err().to_string()
    }

    #[test]
    fn prose_is_ignored_and_order_is_kept() {
        let prompt = "Do this.\r\n@say a\r\n @say indented\nmail me@example.org\n\n@cwd\n@say b";
        let said = |text: &str| Directive::Say(text.into());
        assert_eq!(parse(prompt).unwrap(), [said("a"), Directive::Cwd, said("b")]);
        assert_eq!(parse("no directive").unwrap(), []);
    }

    #[test]
    fn text_is_the_rest_of_the_line_with_escapes() {
        assert_eq!(
            one(r"@write src/a.rs fn main() {}\n\t\\n \x \"),
            Tool::Write("src/a.rs".into(), "fn main() {}\n\t\\n \\x \\\n".into()).into()
        );
        assert_eq!(
            one("@write a  two blanks "),
            Tool::Write("a".into(), " two blanks \n".into()).into()
        );
        assert_eq!(
            one(r"@append a ends\n"),
            Tool::Append("a".into(), "ends\n".into()).into()
        );
        assert_eq!(one("@write a"), Tool::Write("a".into(), "\n".into()).into());
        assert_eq!(one(r"@say a\nb"), Directive::Say("a\nb".into()));
        assert_eq!(one("@say"), Directive::Say(String::new()));
        assert_eq!(one("@say ä\\"), Directive::Say("ä\\".into()));
    }

    #[test]
    fn a_command_is_taken_as_it_is() {
        assert_eq!(
            one(r"@run printf 'a\nb' | cat"),
            Tool::Run(r"printf 'a\nb' | cat".into()).into()
        );
    }

    #[test]
    fn durations_have_units() {
        let ms = |line: &str| match one(line) {
            Directive::Sleep(duration) => duration.as_millis(),
            other => panic!("{other:?}"),
        };
        assert_eq!(ms("@sleep 200ms"), 200);
        assert_eq!(ms("@sleep 2s"), 2000);
        assert_eq!(ms("@sleep 3"), 3000);
        assert_eq!(ms("@sleep 1m"), 60_000);
        assert_eq!(ms("@sleep 1h"), 3_600_000);
        for bad in ["", "ms", "-1s", "1.5s", "1d", "2 s", "99999999999999999999h"] {
            let message = refused(&format!("@sleep {bad}"));
            assert!(message.contains("DURATION"), "{bad}: {message}");
        }
    }

    #[test]
    fn a_bad_line_is_named() {
        assert_eq!(
            refused("@say hi\n\n@fly away"),
            "line 3 of the prompt: @fly: unknown directive"
        );
        assert!(refused("@").contains("unknown directive"));
        assert!(refused("@exit 256").contains("from 0 to 255"));
        assert!(refused("@exit").contains("CODE"));
        assert!(refused("@output 1k").contains("BYTES"));
        assert!(refused("@line -1").contains("BYTES"));
        assert_eq!(one("@cost 0.75"), Directive::Cost(750_000));
        for bad in ["", "-1", "NaN", "inf", "$1"] {
            assert!(refused(&format!("@cost {bad}")).contains("USD"), "{bad}");
        }
        assert!(refused("@plain text").contains("takes nothing"));
        assert!(refused("@delete a b").contains("needs one PATH"));
        assert!(refused("@touch").contains("needs one PATH"));
        assert!(refused("@touch a\0b").contains("NUL"));
        assert!(refused("@write").contains("needs a PATH"));
        assert!(refused("@commit  ").contains("needs a MESSAGE"));
        assert!(refused("@run").contains("needs a COMMAND"));
        assert!(refused("@fail").contains("needs a TEXT"));
        assert!(refused("@env A=B").contains("no `=`"));
        assert!(refused("@deny").contains("needs one TOOL"));
        assert!(refused("@usage-limit a b").contains("SECONDS is a number"));
        for name in ["rate-limit", "limited", "usage-limit", "login"] {
            assert!(refused(&format!("@{name}")).contains("needs one PATH"), "{name}");
        }
    }
}
