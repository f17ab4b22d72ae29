use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::CommandFactory;

use super::*;
use crate::cli::{Cli, Parallel};

#[test]
fn every_key_is_there_once_and_its_option_exists() {
    let names: BTreeSet<&str> = KEYS.iter().map(|key| key.name).collect();
    let variables: Vec<&str> = KEYS.iter().filter_map(|key| key.variable).collect();
    assert_eq!(names.len(), KEYS.len());
    assert_eq!(variables.iter().collect::<BTreeSet<_>>().len(), variables.len());
    let cli = Cli::command();
    let run = cli.find_subcommand("run").unwrap();
    let known = |long: &str| {
        let all = run.get_arguments().chain(cli.get_arguments());
        all.into_iter().any(|a| a.get_long() == Some(long))
    };
    for flag in KEYS
        .iter()
        .filter_map(|key| key.flag)
        .flat_map(|flags| flags.split(", "))
    {
        assert!(known(flag.trim_start_matches("--")), "{flag}");
    }
}

#[test]
fn what_a_task_cannot_say_can_be_said_of_a_session() {
    for name in crate::task::input::OF_THE_SESSION {
        let flag = format!("--{}", name.replace('_', "-"));
        let said = find(name).and_then(|key| key.flag);
        assert!(said.is_some_and(|flags| flags.split(", ").any(|f| f == flag)), "{name}");
    }
}

#[test]
fn a_usual_value_is_of_its_kind_or_in_words() {
    for key in &KEYS {
        let words = key.usual == NONE || key.usual.contains([' ', '<']);
        assert!(words || key.usual_value().is_some(), "{}", key.name);
    }
    assert_eq!(
        find("grace").unwrap().usual_value(),
        Some(Value::Time(Duration::from_secs(10)))
    );
    assert_eq!(
        find("max_parallel").unwrap().usual_value(),
        Some(Value::Parallel(Parallel::Auto))
    );
    assert_eq!(find("claude").unwrap().usual_value(), None);
}

#[test]
fn each_kind_takes_what_it_says_and_nothing_else() {
    let base = Path::new("/base");
    let parse = |kind: Kind, text: &str| kind.parse(text, base);
    let path = |text: &str| Ok(Value::Path(PathBuf::from(text)));
    assert_eq!(parse(Kind::Path, "logs"), path("/base/logs"));
    assert_eq!(parse(Kind::Path, "/logs"), path("/logs"));
    assert_eq!(parse(Kind::Program, "tools/agent"), path("/base/tools/agent"));
    assert_eq!(parse(Kind::Program, "agent"), path("agent"));
    assert_eq!(parse(Kind::Flag, "Yes"), Ok(Value::Flag(true)));
    assert_eq!(parse(Kind::Patterns, "/*.env"), Ok(Value::Text("/*.env".into())));
    assert_eq!(parse(Kind::Inside, "a/b"), Ok(Value::Text("a/b".into())));
    for (kind, text) in [
        (Kind::Path, ""),
        (Kind::Path, "~/logs"),
        (Kind::Program, "~/agent"),
        (Kind::Flag, "maybe"),
        (Kind::Count, "-1"),
        (Kind::Count, "4294967296"),
        (Kind::CountFromOne, "0"),
        (Kind::CountFromOne, "4294967296"),
        (Kind::TimeLimit, "0s"),
        (Kind::Usd, "0"),
        (Kind::Size, "1P"),
        (Kind::Shell, " \n"),
        (Kind::Shell, "a\0b"),
        (Kind::Patterns, "../secret"),
        (Kind::Inside, "a/../../secret"),
        (Kind::Inside, ".."),
        (Kind::Inside, "/etc"),
        (Kind::Inside, "~/secret"),
    ] {
        assert!(parse(kind, text).is_err(), "{kind:?} {text:?}");
    }
}
