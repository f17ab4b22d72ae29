use super::*;
use crate::cli::Parallel;
use crate::config::Acting;
use crate::task::title::is_hidden;

const PATH: &str = "/repo/pleach.toml";

fn read(text: &[u8]) -> Result<Settings, ConfigError> {
    parse(text, Path::new(PATH), Layer::Repository)
}

#[test]
fn a_file_may_say_everything_and_each_line_is_known() {
    let said = read(
        br#"# How agents work here
max_parallel = "auto"
timeout = "10m"
idle_timeout = 1.5
grace = 20
retry = 2
fail_fast = true
max_cost = 2.50
max_cost_usd = "$1"
max_output = 0x400
log_dir = "logs"
model = "opus"
agent_args = ["--effort", "low", ""]
claude = "tools/claude"
verify = "cargo test"

[env]
CI = "1"
"A B" = ""

[worktree]
dir = "/trees"
copy = [".env", "!*.bak"]
setup = ["npm ci", "make"]

[agent]
default = "codex"

[agent.codex]
command = ["codex", "exec", ""]
prompt = "arg"
success = "status-file"
pty = true
resume = ["resume"]

[agent.other]
command = ["./other"]
"#,
    )
    .unwrap();
    assert_eq!(said.parallel("max_parallel"), Some(Parallel::Auto));
    assert_eq!(said.time("grace").unwrap().as_secs(), 20);
    assert_eq!(said.time("idle_timeout").unwrap().as_millis(), 1_500);
    assert_eq!(said.list("agent_args"), ["--effort", "low", ""]);
    assert_eq!((said.count("retry"), said.flag("fail_fast")), (Some(2), true));
    assert_eq!((said.usd("max_cost"), said.usd("max_cost_usd")), (Some(2.5), Some(1.0)));
    assert_eq!(said.bytes("max_output"), Some(1024));
    assert_eq!(said.path("log_dir"), Some(Path::new("/repo/logs")));
    assert_eq!(said.path("claude"), Some(Path::new("/repo/tools/claude")));
    assert_eq!(said.path("worktree.dir"), Some(Path::new("/trees")));
    assert_eq!(said.list("worktree.copy"), [".env", "!*.bak"]);
    assert_eq!(said.text("agent"), Some("codex"));
    let options = said.task_options();
    assert_eq!(options.env["A B"], "");
    assert_eq!(options.setup.unwrap(), ["npm ci", "make"]);
    let codex = &said.agents["codex"];
    assert_eq!(
        (codex.program.as_path(), codex.args.as_slice()),
        (Path::new("codex"), &["exec".to_owned(), "".into()][..])
    );
    assert_eq!(
        (codex.prompt, codex.success, codex.pty),
        (PromptBy::Arg, SuccessBy::StatusFile, true)
    );
    assert_eq!(codex.origin, Origin::File(Layer::Repository, PATH.into(), 29));
    assert_eq!(said.agents["other"].program, Path::new("/repo/./other"));
    assert_eq!(
        said.origin("verify"),
        Some(&Origin::File(Layer::Repository, PATH.into(), 15))
    );
    assert_eq!(
        said.origin("worktree.setup"),
        Some(&Origin::File(Layer::Repository, PATH.into(), 24))
    );
}

#[test]
fn what_is_approved_is_what_acts_in_one_form() {
    let approval = |text: &[u8]| Acting::of(Path::new(PATH), &read(text).unwrap(), &Settings::default());
    let text = |text: &[u8]| approval(text).map(|acting| acting.text);
    let one = text(b"verify = \"make\"\ntimeout = 1\n[agent.a]\ncommand = [\"a\"]\nprompt = \"stdin\"\n");
    let other = text(b"# other\ntimeout=2\nverify='make'\nagent.a={command=['a']}\n");
    assert_eq!(one.as_deref(), Some("verify = \"make\"\nagent.a.command = [\"a\"]\n"));
    assert_eq!(one, other);
    for said in [
        "verify = 'make '",
        "retry = 1",
        "max_parallel = 'unlimited'",
        "output_dir = 'r'",
        "on_done = 'x'",
        "on_task_done = 'x'",
        "claude = 'x'",
        "agent = 'scripted'",
        "agent_args = ['x']",
        "permission_mode = 'bypassPermissions'",
        "env.A = ''",
        "results_dir = 'r'",
        "log_dir = 'r'",
        "worktree.dir = 'r'",
        "worktree.setup = ['x']",
        "agent.a.command = ['a', '']",
        "agent.a = {command = ['a'], pty = true}",
        "agent.a = {command = ['a'], resume = []}",
        "agent.a = {command = ['a'], prompt = 'file'}",
        "agent.a = {command = ['a'], success = 'exit'}",
    ] {
        let acting = text(said.as_bytes());
        assert!(acting.is_some() && acting != one, "{said}");
    }
    let idle =
        "max_parallel = 2\nmodel = 'x'\nworktree.copy = ['.env']\nworktree.link = ['node_modules']\nmax_cost = 1";
    assert_eq!(approval(idle.as_bytes()), None);
}

#[test]
fn a_number_that_its_key_cannot_have_is_told_from_a_wrong_kind() {
    for (text, said) in [
        ("retry = 1.5", "\"retry\" is \"1.5\": it must be a whole number"),
        ("timeout = 0", "\"timeout\" is \"0\": it must be longer than nothing"),
        ("timeout = nan", "\"timeout\" is \"nan\": it must be a duration"),
    ] {
        let error = read(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_mistake_is_named_with_its_place_and_what_may_be_meant() {
    for (text, parts) in [
        (
            &b"max_paralel = 3"[..],
            &["line 1, column 1", "unknown key \"max_paralel\"", "max_parallel"][..],
        ),
        (
            b"\n\n  max-parallel = 3",
            &["line 3, column 3", "\"max-parallel\"", "max_parallel"],
        ),
        (
            b"[worktree]\nsetpu = []",
            &["line 2, column 1", "\"setpu\" in [worktree]", "setup"],
        ),
        (
            b"[agent.a]\ncomand = []",
            &["line 2, column 1", "\"comand\" in [agent.a]", "command"],
        ),
        (b"[worktre]", &["line 1, column 2", "\"worktre\"", "worktree"]),
        (b"setup = ['npm ci']", &["\"setup\"", "home: Some(\"worktree\")"]),
        (
            b"[worktree]\nverify = 'make'",
            &["\"verify\" in [worktree]", "home: Some(\"\")"],
        ),
        (b"trash.keep = '1d'", &["line 1, column 1", "unknown key \"trash\""]),
        (b"timeout = true", &["line 1, column 1", "\"timeout\" is true or false"]),
        (b"retry = '1'", &["\"retry\" is a text"]),
        (
            b"retry = -1",
            &["\"retry\" is \"-1\": it must be a whole number from 0"],
        ),
        (b"fail_fast = 'true'", &["\"fail_fast\" is a text"]),
        (b"model = 7", &["\"model\" is a number"]),
        (b"model = 2026-01-01", &["\"model\" is a date"]),
        (b"verify = ['a']", &["\"verify\" is a list"]),
        (b"worktree = 'x'", &["\"worktree\" is a text"]),
        (b"env = ['A=1']", &["\"env\" is a list"]),
        (b"env.A = 1", &["\"env.A\" is a number"]),
        (b"env.'A=B' = '1'", &["\"env\" is \"A=B\"", "name of a variable"]),
        (b"agent_args = 'x'", &["\"agent_args\" is a text"]),
        (
            b"agent_args = [\n  'a',\n  1]",
            &["line 3, column 3", "\"agent_args\" is a number"],
        ),
        (
            b"worktree.link = ['../x']",
            &["line 1, column 18", "below the main checkout"],
        ),
        (b"timeout = '1d'", &["\"timeout\" is \"1d\"", "10m"]),
        (b"log_dir = '~/logs'", &["~ stands for nothing"]),
        (b"verify = ''", &["must not be empty"]),
        (b"verify = \"a\\u0000\"", &["NUL"]),
        (b"agent.claude.command = ['x']", &["cannot be called \"claude\""]),
        (b"agent.'a b'.command = ['x']", &["cannot be called \"a b\""]),
        (b"agent.a = {prompt = 'arg'}", &["the agent \"a\" has no command"]),
        (b"agent.a.command = []", &["the agent \"a\" has no command"]),
        (b"agent.a.command = [1]", &["\"agent.a.command\" is a number"]),
        (
            b"agent.a = {command = ['x'], prompt = 'voice'}",
            &["\"agent.a.prompt\" is \"voice\"", "stdin"],
        ),
        (b"agent.a = 1", &["\"agent.a\" is a number"]),
        (b"a = [", &["not TOML"]),
        (b"retry = 1\nretry = 2", &["line 2", "not TOML"]),
        ("model = 'ä\u{fe0f}'\nretry = ".as_bytes(), &["line 2", "not TOML"]),
        (b"model = 'a\nb", &["line 1", "not TOML"]),
        (b"model = '\xe9'", &["line 1, column 10", "not UTF-8"]),
        (b"\xff\xfem\0", &["line 1, column 1", "not UTF-8"]),
    ] {
        let error = read(text).unwrap_err();
        let shown = format!("{error}; {error:?}");
        assert!(error.to_string().starts_with(&format!("{PATH}: line ")), "{shown}");
        for part in parts {
            let text = String::from_utf8_lossy(text);
            assert!(shown.contains(part), "{text}: {part:?} is not in {shown}");
        }
    }
}

#[test]
fn whatever_is_in_it_the_error_is_a_short_line() {
    for hostile in ["\u{1b}[2J", "\u{202e}", "x", "漢", "\n"] {
        let long = hostile.repeat(5_000);
        let quoted = crate::config::toml_text(&long);
        for text in [
            format!("{quoted} = 1"),
            format!("timeout = {quoted}"),
            format!("agent.{quoted}.command = ['x']"),
            format!("agent.a.{quoted} = 1"),
            format!("agent.a.prompt = {quoted}"),
            format!("a = {long}"),
            long.clone(),
        ] {
            let line = read(text.as_bytes()).map(|_| ()).unwrap_err_or_else();
            assert!(!line.chars().any(is_hidden) && line.chars().count() < 600, "{line}");
        }
    }
}

trait Shown {
    fn unwrap_err_or_else(self) -> String;
}

impl Shown for Result<(), ConfigError> {
    /// Nothing but line ends is a file that says nothing.
    fn unwrap_err_or_else(self) -> String {
        self.err().map_or(String::new(), |e| e.to_string())
    }
}
