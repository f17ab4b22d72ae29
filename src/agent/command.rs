//! The command line of another program than Claude Code, as the configuration describes it.
//!
//! Its arguments are: its own, those of `resume` when it goes on with a conversation, those that the user adds for the
//! session or the task, and at the end the prompt or the path of its file, unless a placeholder says where that stands.
//! Placeholders are filled in once: what is put in is never looked through again. Nothing goes through a shell. Pure.

use uuid::Uuid;

use crate::task::{AgentSpec, CommandSpec, PromptBy};

/// The longest argument that a program can be started with, in bytes (`MAX_ARG_STRLEN` of Linux without the NUL).
pub const LONGEST_ARGUMENT: usize = (128 << 10) - 1;
/// The longest line that can be typed into a terminal, in bytes: what is more is dropped without a word.
pub const LONGEST_TYPED: usize = 4095;

/// What an attempt puts in the place of the placeholders.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// What is to be done.
    pub prompt: &'a str,
    /// Where the prompt is, if the program reads it from a file.
    pub prompt_file: &'a str,
    /// The id that pleach has given to the conversation.
    pub conversation: Uuid,
    /// Whether that was begun in an earlier attempt.
    pub resumes: bool,
    /// The title of the task.
    pub title: &'a str,
}

/// How such a program is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// Its arguments.
    pub args: Vec<String>,
    /// What it reads on standard input, or what is typed into its terminal.
    pub stdin: String,
    /// What is in the file of the prompt, if there is one.
    pub prompt_file: Option<String>,
}

/// How a program is started for an attempt.
pub fn invocation(agent: &AgentSpec, command: &CommandSpec, given: &Given<'_>) -> Invocation {
    let resume = command.resume.iter().flatten().filter(|_| given.resumes);
    let written: Vec<&str> = command.args.iter().chain(resume).map(String::as_str).collect();
    let model = agent.model.as_deref();
    let mut args: Vec<String> = Vec::new();
    for (index, &arg) in written.iter().enumerate() {
        let is_left_out = |arg: &str| model.is_none() && arg.contains("{model}");
        // The option whose value it would have been goes too.
        let value_is_left_out = written.get(index + 1) == Some(&"{model}") && model.is_none() && arg.starts_with('-');
        if !is_left_out(arg) && !value_is_left_out {
            args.push(filled(arg, model.unwrap_or_default(), given));
        }
    }
    args.extend(agent.args.iter().cloned());
    let stands = |placeholder: &str| written.iter().any(|arg| arg.contains(placeholder));
    match command.prompt {
        PromptBy::Arg if !stands("{prompt}") => args.push(filled("{prompt}", "", given)),
        PromptBy::File if !stands("{prompt_file}") => args.push(given.prompt_file.to_owned()),
        _ => {}
    }
    let prompt = given.prompt.to_owned();
    Invocation {
        args,
        stdin: match command.prompt {
            PromptBy::Stdin => prompt.clone(),
            PromptBy::Arg | PromptBy::File => String::new(),
        },
        prompt_file: (command.prompt == PromptBy::File).then_some(prompt),
    }
}

/// An argument with its placeholders filled in.
fn filled(arg: &str, model: &str, given: &Given<'_>) -> String {
    let conversation = given.conversation.to_string();
    let values = [
        ("{prompt}", given.prompt),
        ("{prompt_file}", given.prompt_file),
        ("{model}", model),
        ("{conversation}", &conversation),
        ("{title}", given.title),
    ];
    let mut text = String::new();
    let mut rest = arg;
    while let Some(brace) = rest.find('{') {
        text.push_str(&rest[..brace]);
        rest = &rest[brace..];
        match values.iter().find(|(name, _)| rest.starts_with(name)) {
            Some((name, value)) => {
                // What begins with a hyphen would be taken for an option.
                if text.is_empty() && value.starts_with('-') {
                    text.push(' ');
                }
                text.push_str(value);
                rest = &rest[name.len()..];
            }
            None => {
                text.push('{');
                rest = &rest[1..];
            }
        }
    }
    text + rest
}

/// Why a program cannot be given this, in words, before it is tried: the system would say something that helps nobody,
/// or nothing.
pub fn unfit(args: &[String], typed: Option<&str>) -> Option<String> {
    if let Some(long) = args.iter().map(String::len).find(|&length| length > LONGEST_ARGUMENT) {
        return Some(format!(
            "an argument has {long} bytes, and no program can be given more than {LONGEST_ARGUMENT}: have it read its \
             prompt from standard input or a file (prompt = \"stdin\" or \"file\")"
        ));
    }
    if args.iter().any(|arg| arg.contains('\0')) {
        let why = "an argument has the character NUL, and no program can be given that: have it read its prompt from \
                   standard input or a file (prompt = \"stdin\" or \"file\")";
        return Some(why.into());
    }
    let typed = typed?;
    let why = if let Some(long) = typed.lines().map(str::len).find(|&length| length > LONGEST_TYPED) {
        format!("a line of the prompt has {long} bytes, and no more than {LONGEST_TYPED} can be typed into a terminal")
    } else if let Some(control) = typed
        .chars()
        .find(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    {
        format!("the prompt has the control character {control:?}, which a terminal acts upon")
    } else {
        return None;
    };
    Some(format!(
        "{why}: have it read its prompt from a file (prompt = \"file\")"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{AgentKind, Permissions, SuccessBy};

    const FILE: &str = "/s/attempts/a.1/prompt.md";

    fn given(prompt: &str) -> Given<'_> {
        Given {
            prompt,
            prompt_file: FILE,
            conversation: Uuid::nil(),
            resumes: false,
            title: "Do {prompt}",
        }
    }

    fn agent(model: Option<&str>, args: &[&str]) -> AgentSpec {
        AgentSpec {
            name: "other".into(),
            kind: AgentKind::Command,
            program: "/bin/other".into(),
            permissions: Permissions::Skip,
            model: model.map(str::to_owned),
            args: args.iter().map(|&a| a.to_owned()).collect(),
            command: None,
        }
    }

    fn command(args: &[&str], prompt: PromptBy) -> CommandSpec {
        CommandSpec {
            args: args.iter().map(|&a| a.to_owned()).collect(),
            prompt,
            success: SuccessBy::Exit,
            pty: false,
            resume: Some(vec!["--go-on".into(), "{conversation}".into()]),
        }
    }

    fn args(written: &[&str], prompt: PromptBy, given: &Given<'_>) -> Vec<String> {
        invocation(&agent(None, &[]), &command(written, prompt), given).args
    }

    #[test]
    fn the_prompt_is_where_it_was_asked_for_and_nowhere_else() {
        let given = given("fix it");
        type Row<'r> = (&'r [&'r str], PromptBy, &'r [&'r str], &'r str, Option<&'r str>);
        let table: &[Row<'_>] = &[
            (&["run"], PromptBy::Stdin, &["run"], "fix it", None),
            (&["run"], PromptBy::Arg, &["run", "fix it"], "", None),
            (&["-p={prompt}", "-x"], PromptBy::Arg, &["-p=fix it", "-x"], "", None),
            (&["run"], PromptBy::File, &["run", FILE], "", Some("fix it")),
            (
                &["Please read {prompt_file} and execute the task", "-x"],
                PromptBy::File,
                &["Please read /s/attempts/a.1/prompt.md and execute the task", "-x"],
                "",
                Some("fix it"),
            ),
            (
                &["{title}", "{conversation}", "{other} {", "{{title}}"],
                PromptBy::Stdin,
                &[
                    "Do {prompt}",
                    "00000000-0000-0000-0000-000000000000",
                    "{other} {",
                    "{Do {prompt}}",
                ],
                "fix it",
                None,
            ),
        ];
        for (written, prompt, expected, stdin, file) in table {
            let made = invocation(&agent(None, &[]), &command(written, *prompt), &given);
            assert_eq!(made.args, *expected, "{written:?}");
            assert_eq!((made.stdin.as_str(), made.prompt_file.as_deref()), (*stdin, *file));
        }
    }

    // Fault 40: a prompt that looks like an option, or like a placeholder.
    #[test]
    fn a_prompt_is_neither_an_option_nor_looked_through_again() {
        assert_eq!(args(&[], PromptBy::Arg, &given("--help")), [" --help"]);
        assert_eq!(args(&["p={prompt}"], PromptBy::Arg, &given("-x")), ["p=-x"]);
        let text = "{title} {prompt} {model} $(touch /tmp/x) \"'";
        assert_eq!(args(&["{prompt}"], PromptBy::Arg, &given(text)), [text]);
    }

    #[test]
    fn a_model_stands_only_where_the_command_has_a_place_for_it() {
        let spec = command(&["--model", "{model}", "-m={model}", "-v"], PromptBy::Stdin);
        let with = invocation(&agent(Some("opus"), &["--more"]), &spec, &given("x"));
        assert_eq!(with.args, ["--model", "opus", "-m=opus", "-v", "--more"]);
        let without = invocation(&agent(None, &["--more"]), &spec, &given("x"));
        assert_eq!(without.args, ["-v", "--more"]);
        let nowhere = command(&["-v"], PromptBy::Stdin);
        assert_eq!(
            invocation(&agent(Some("opus"), &[]), &nowhere, &given("x")).args,
            ["-v"]
        );
    }

    #[test]
    fn a_conversation_is_gone_on_with_by_its_own_arguments() {
        let resumes = Given {
            resumes: true,
            ..given("and now?")
        };
        let id = Uuid::nil().to_string();
        let made = invocation(&agent(None, &["-v"]), &command(&["run"], PromptBy::Arg), &resumes);
        assert_eq!(made.args, ["run", "--go-on", &id, "-v", "and now?"]);
    }

    #[test]
    fn what_no_program_can_be_given_is_said_beforehand() {
        let fits = |length: usize| unfit(&["x".repeat(length)], None);
        assert_eq!(fits(LONGEST_ARGUMENT), None);
        assert!(fits(LONGEST_ARGUMENT + 1).is_some_and(|why| why.contains("131072 bytes")));
        assert!(unfit(&["a\0b".into()], None).is_some_and(|why| why.contains("NUL")));
        let typed = |text: &str| unfit(&[], Some(text));
        assert_eq!(typed("one\n\ttwo\r\n"), None);
        assert!(typed(&"x".repeat(LONGEST_TYPED + 1)).is_some_and(|why| why.contains("4096 bytes")));
        assert!(typed("a\u{3}").is_some_and(|why| why.contains(r"'\u{3}'")));
    }
}
