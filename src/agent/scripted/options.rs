//! The arguments of the scripted agent: those of the Claude Code CLI that pleach uses.
//!
//! Messages and the refusal of combinations are as with the CLI, so that a mistake in how pleach calls the one shows
//! with the other too.

use std::ffi::OsString;

use uuid::Uuid;

/// What the arguments ask for.
#[derive(Debug, PartialEq)]
pub enum Request {
    /// `--version`
    Version,
    /// A run on a prompt.
    Run(Options),
}

/// `--output-format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Only the final text.
    #[default]
    Text,
    /// Only the result object.
    Json,
    /// An event per line.
    StreamJson,
}

/// The options of one run.
#[derive(Debug, Default, PartialEq)]
pub struct Options {
    /// The prompt, when it is an argument.
    pub prompt: Option<OsString>,
    /// What is printed.
    pub format: Format,
    /// `--verbose`
    pub verbose: bool,
    /// `--dangerously-skip-permissions`
    pub skip_permissions: bool,
    /// `--permission-mode`
    pub permission_mode: Option<String>,
    /// `--session-id`: the id of the new conversation.
    pub session_id: Option<Uuid>,
    /// `--resume`: the conversation to go on with, as it was written.
    pub resume: Option<String>,
    /// `--fork-session`: go on under a new id.
    pub fork: bool,
    /// `--model`
    pub model: Option<String>,
    /// `--append-system-prompt`
    pub system_prompt: Option<String>,
    /// `--max-turns`
    pub max_turns: Option<u64>,
    /// `--max-budget-usd`
    pub max_budget_usd: Option<f64>,
    /// `--add-dir`: it takes all that follows up to the next option.
    pub directories: Vec<OsString>,
}

/// Reads the arguments (without the program name).
pub fn parse(args: Vec<OsString>) -> Result<Request, String> {
    let mut options = Options::default();
    let mut args = args.into_iter().peekable();
    let mut only_prompt = false;
    while let Some(arg) = args.next() {
        if only_prompt || !is_option(&arg) {
            if options.prompt.replace(arg).is_some() {
                return Err("error: too many arguments. Expected 1 argument (the prompt)".into());
            }
        } else if arg == "--" {
            only_prompt = true;
        } else if arg == "--version" {
            return Ok(Request::Version);
        } else if arg == "--add-dir" {
            let several = std::iter::from_fn(|| args.next_if(|arg| !is_option(arg)));
            options.directories.extend(several);
            if options.directories.is_empty() {
                return Err("error: option '--add-dir <directories...>' argument missing".into());
            }
        } else if !flag(&mut options, &arg) {
            let arg = arg.to_string_lossy();
            let (name, attached) = match arg.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (&*arg, None),
            };
            valued(&mut options, name, attached, &mut args)?;
        }
    }
    check(&options)?;
    Ok(Request::Run(options))
}

fn is_option(arg: &OsString) -> bool {
    arg.len() > 1 && arg.as_encoded_bytes().starts_with(b"-")
}

/// Takes an option without a value; whether it is one.
fn flag(options: &mut Options, arg: &OsString) -> bool {
    match arg.to_str() {
        Some("-p" | "--print") => {}
        Some("--dangerously-skip-permissions") => options.skip_permissions = true,
        Some("--verbose") => options.verbose = true,
        Some("--fork-session") => options.fork = true,
        _ => return false,
    }
    true
}

/// Takes an option with a value, which is attached or the next argument.
fn valued(
    options: &mut Options,
    name: &str,
    attached: Option<String>,
    rest: &mut dyn Iterator<Item = OsString>,
) -> Result<(), String> {
    let mut value = |what: &str| {
        let next = || rest.next().map(|v| v.to_string_lossy().into_owned());
        attached
            .clone()
            .or_else(next)
            .ok_or_else(|| format!("error: option '{name} <{what}>' argument missing"))
    };
    match name {
        "--output-format" => options.format = format(&value("format")?)?,
        "--session-id" => {
            let id = value("uuid")?;
            let id = uuid(&id).ok_or("Error: Invalid session ID. Must be a valid UUID.")?;
            options.session_id = Some(id);
        }
        "--resume" => options.resume = Some(value("id")?),
        "--model" => options.model = Some(value("model")?),
        "--append-system-prompt" => options.system_prompt = Some(value("prompt")?),
        "--permission-mode" => options.permission_mode = Some(value("mode")?),
        "--max-turns" => {
            let number = value("turns")?;
            match number.parse() {
                Ok(turns) if turns > 0 => options.max_turns = Some(turns),
                _ => {
                    return Err(format!(
                        "error: option '--max-turns <turns>' argument '{number}' is invalid. \
                         It must be a positive number"
                    ));
                }
            }
        }
        "--max-budget-usd" => {
            let amount = value("amount")?;
            match amount.parse::<f64>() {
                Ok(usd) if usd > 0.0 && usd.is_finite() => options.max_budget_usd = Some(usd),
                _ => {
                    return Err(format!(
                        "error: option '--max-budget-usd <amount>' argument '{amount}' is invalid. --max-budget-usd must \
                         be a positive number greater than 0"
                    ));
                }
            }
        }
        _ => return Err(format!("error: unknown option '{name}'")),
    }
    Ok(())
}

fn format(name: &str) -> Result<Format, String> {
    match name {
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        "stream-json" => Ok(Format::StreamJson),
        _ => Err(format!(
            "error: option '--output-format <format>' argument '{name}' is invalid. \
             Allowed choices are text, json, stream-json."
        )),
    }
}

/// An id in its usual form only: 36 characters with hyphens.
pub fn uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok())?
}

fn check(options: &Options) -> Result<(), String> {
    if options.format == Format::StreamJson && !options.verbose {
        return Err("Error: When using --print, --output-format=stream-json requires --verbose".into());
    }
    if options.session_id.is_some() && options.resume.is_some() && !options.fork {
        return Err("Error: --session-id can only be used with --resume if --fork-session is also specified.".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> Result<Options, String> {
        match parse(args.iter().map(OsString::from).collect())? {
            Request::Run(options) => Ok(options),
            Request::Version => Err("version".into()),
        }
    }

    #[test]
    fn takes_what_pleach_passes() {
        let id = "6f2c1c2e-7a4b-4f0e-9d56-0123456789ab";
        let options = run(&[
            "-p",
            "--dangerously-skip-permissions",
            "--output-format",
            "stream-json",
            "--verbose",
            "--session-id",
            id,
            "--model=opus",
            "--append-system-prompt",
            "--be brief",
            "--max-turns",
            "3",
            "--max-budget-usd",
            "0.25",
        ])
        .unwrap();
        assert_eq!(options.format, Format::StreamJson);
        assert_eq!(options.session_id.unwrap().to_string(), id);
        assert_eq!(options.model.as_deref(), Some("opus"));
        assert_eq!(options.system_prompt.as_deref(), Some("--be brief"));
        assert_eq!((options.max_turns, options.max_budget_usd), (Some(3), Some(0.25)));
        assert_eq!(options.prompt, None);
    }

    #[test]
    fn takes_one_prompt() {
        assert_eq!(run(&["-p", "hello"]).unwrap().prompt.unwrap(), "hello");
        assert_eq!(run(&["--", "-x"]).unwrap().prompt.unwrap(), "-x");
        let swallowed = run(&["--add-dir", "/a", "hello", "-p"]).unwrap();
        assert_eq!(swallowed.directories, ["/a", "hello"]);
        assert_eq!(swallowed.prompt, None);
        assert!(run(&["--add-dir", "-p"]).unwrap_err().contains("argument missing"));
        assert!(run(&["one", "two"]).unwrap_err().contains("too many"));
    }

    #[test]
    fn refuses_as_the_cli_does() {
        let refused = |args: &[&str]| run(args).unwrap_err();
        assert_eq!(refused(&["--nope"]), "error: unknown option '--nope'");
        assert_eq!(refused(&["--nope=1"]), "error: unknown option '--nope'");
        assert_eq!(refused(&["-x"]), "error: unknown option '-x'");
        assert!(refused(&["--resume"]).contains("argument missing"));
        assert!(refused(&["--output-format", "xml"]).contains("'xml' is invalid"));
        assert!(refused(&["--output-format", "stream-json"]).contains("requires --verbose"));
        assert!(refused(&["--session-id", "7"]).contains("Invalid session ID"));
        assert!(refused(&["--max-turns", "0"]).contains("'0' is invalid"));
        assert!(refused(&["--max-budget-usd", "0"]).contains("'0' is invalid"));
        assert_eq!(refused(&["--version"]), "version");
        let id = "6f2c1c2e-7a4b-4f0e-9d56-0123456789ab";
        assert!(refused(&["--session-id", id, "--resume", id]).contains("--fork-session"));
        assert!(run(&["--session-id", id, "--resume", id, "--fork-session"]).is_ok());
    }
}
