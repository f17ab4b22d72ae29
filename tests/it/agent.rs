//! What an agent is started with, how many of them at once, and what counts as success.
//!
//! A spy in the place of Claude Code writes down its arguments, environment and standard input. The verdicts are
//! shown with the scripted agent, which ends as the CLI does, and with shell scripts that print what no CLI should.

use std::fs;
use std::path::Path;

use serde_json::Value;
use uuid::Uuid;

use crate::support::{Ended, Project};

/// Writes down what it was started with in files beside the repository, `NAME.TASK` each.
const SPY: &str = r#"spied=${0%/*}
printf '%s\0' "$@" >"$spied/argv.$PLEACH_TASK_ID"
cat /proc/$$/environ >"$spied/environ.$PLEACH_TASK_ID"
cat >"$spied/stdin.$PLEACH_TASK_ID"
echo '{"type":"system","subtype":"init"}'
echo '{"type":"result","subtype":"success","is_error":false,"result":"fine"}'"#;

/// What a spy wrote down that is a list.
fn spied(project: &Project, name: &str) -> Vec<String> {
    let bytes = fs::read(project.beside(name)).expect("what the spy wrote");
    let text = String::from_utf8(bytes).expect("UTF-8");
    text.split_terminator('\0').map(str::to_owned).collect()
}

/// Runs spies on these tasks.
fn spy(project: &Project, tasks: &[(&str, &str)], options: &[&str]) -> Ended {
    let spy = project.program("spy", SPY);
    let file = project.tasks(tasks);
    let mut arguments = vec!["run", "--sync", "--claude", &spy];
    arguments.extend(options);
    arguments.push(&file);
    project.ended(&project.pleach(&arguments))
}

/// The events of one kind in the journal of the only session.
fn events(project: &Project, kind: &str) -> Vec<Value> {
    let journal = project.journal();
    journal.into_iter().filter(|event| event["event"] == kind).collect()
}

#[test]
fn the_arguments_are_exactly_those_that_were_measured_and_those_that_were_asked_for() {
    type Case<'c> = (&'c [&'c str], &'c [&'c str], &'c [&'c str], &'c [&'c str]);
    let skip: &[&str] = &["--dangerously-skip-permissions"];
    let cases: &[Case<'_>] = &[
        (&[], skip, &[], &[]),
        (&["--model", "opus"], skip, &["--model", "opus"], &[]),
        (
            &["--permission-mode", "acceptEdits"],
            &["--permission-mode", "acceptEdits"],
            &[],
            &[],
        ),
        (
            &[
                "--agent-arg",
                "--max-turns",
                "--agent-arg",
                "3",
                "--agent-arg",
                "two words\n",
            ],
            skip,
            &[],
            &["--max-turns", "3", "two words\n"],
        ),
        (
            &[
                "--no-worktree",
                "--agent-arg=-x",
                "--model",
                "a b",
                "--permission-mode",
                "plan",
            ],
            &["--permission-mode", "plan"],
            &["--model", "a b"],
            &["-x"],
        ),
    ];
    for (options, permissions, model, passed_on) in cases {
        let project = Project::new();
        spy(&project, &[("one", "do it")], options).assert_exit(0);
        let argv = spied(&project, "argv.one");
        let after = |option: &str| {
            let found = argv.iter().position(|a| a == option).map(|at| argv[at + 1].as_str());
            found.unwrap_or_else(|| panic!("{option} in {argv:?}"))
        };
        let (id, rules) = (after("--session-id"), after("--append-system-prompt"));
        let mut expected = vec!["-p"];
        expected.extend(*permissions);
        expected.extend(["--output-format", "stream-json", "--verbose", "--session-id", id]);
        expected.extend(*model);
        expected.extend(["--add-dir", after("--add-dir"), "--append-system-prompt", rules]);
        expected.extend(*passed_on);
        assert_eq!(argv, expected);
        assert!(
            Uuid::try_parse(id).is_ok_and(|uuid| uuid.get_version_num() == 4),
            "{id}"
        );
        assert_eq!(events(&project, "attempt_started")[0]["conversation"], id);
        let in_worktree = !options.contains(&"--no-worktree");
        assert_eq!(rules.contains("main-task-one"), in_worktree, "{rules}");
        assert_eq!(rules.contains("Do not push"), in_worktree, "{rules}");
    }
}

#[test]
fn the_working_rules_name_the_branch_and_the_agent_stands_in_its_worktree() {
    let project = Project::new();
    let ended = project.session(&[("rules", "@system\n@cwd\n@run pwd >cwd.txt")], &[]);
    ended.assert_exit(0);
    let answer = ended.result("rules")["answer"].as_str().expect("an answer");
    let (rules, cwd) = answer.rsplit_once('\n').expect("two lines");
    for rule in [
        "on the branch main-task-rules.",
        "git worktree",
        "Commit ",
        "Do not push",
        "do not switch",
    ] {
        assert!(rules.contains(rule), "{rule:?} is not in: {rules}");
    }
    let cwd = Path::new(cwd);
    assert_eq!(cwd.parent(), Some(project.worktrees().as_path()));
    assert_eq!(project.show("main-task-rules:cwd.txt"), format!("{}\n", cwd.display()));
}

// Fault 39: a prompt of 3 MB.
// Fault 40: prompts that look like options or commands.
#[test]
fn a_prompt_goes_to_standard_input_and_is_never_read_as_an_argument() {
    let project = Project::new();
    let large = format!("{}ends", "ä line\n".repeat(400_000));
    assert!(large.len() > 3_000_000);
    let prompts = [
        ("dash", "-x", "-x"),
        ("option", "--settings=x", "--settings=x"),
        ("dashes", "--", "--"),
        ("slash", "/exit", " /exit"),
        ("later", "read\n/exit\n", "read\n/exit\n"),
        ("blank", " two  blanks\t\n\n", " two  blanks\t\n\n"),
        ("large", &large, &large),
    ];
    let tasks = prompts.map(|(id, prompt, _)| (id, prompt));
    spy(&project, &tasks, &["--max-parallel", "3"]).assert_exit(0);
    for (id, _, sent) in prompts {
        let stdin = fs::read_to_string(project.beside(&format!("stdin.{id}"))).expect("what the spy wrote");
        assert!(stdin == sent, "{id}: {} bytes, not {}", stdin.len(), sent.len());
        let argv = spied(&project, &format!("argv.{id}"));
        assert_eq!(argv.len(), 11, "{id}: {argv:?}");
    }
}

// Fault 39: such a prompt that nobody reads.
#[test]
fn an_agent_that_does_not_read_its_prompt_is_not_waited_for() {
    let project = Project::new();
    let deaf = project.program("deaf", "echo deaf");
    let file = project.tasks(&[("deaf", &"x".repeat(3_000_000))]);
    let ended = project.ended(&project.pleach(&["run", "--sync", "--claude", &deaf, &file]));
    ended.assert_exit(0);
    assert_eq!(ended.result("deaf")["answer"], "deaf\n");
}

/// A row: id, outcome or reason of failure, exit code (`-` for none), the answer or a part of the error; and behind the
/// arrow the prompt. ` ; ` stands for a new line in a prompt and `\n` in an answer.
struct Row<'r> {
    id: &'r str,
    came_to: &'r str,
    code: Option<i64>,
    said: String,
    prompt: String,
}

fn rows(table: &str) -> Vec<Row<'_>> {
    let row = |line| -> Option<Row<'_>> {
        let (expected, prompt) = str::split_once(line, "<-")?;
        let mut words = expected.trim().splitn(4, ' ');
        let mut word = || words.next();
        Some(Row {
            id: word()?,
            came_to: word()?,
            code: word()?.parse().ok(),
            said: word().unwrap_or_default().trim().replace("\\n", "\n"),
            prompt: prompt.trim().replace(" ; ", "\n"),
        })
    };
    let lines = table.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| row(line).expect("a row")).collect()
}

/// The tasks of a table.
fn tasks<'r>(rows: &'r [Row<'_>]) -> Vec<(&'r str, &'r str)> {
    rows.iter().map(|row| (row.id, row.prompt.as_str())).collect()
}

#[track_caller]
fn assert_came_to(ended: &Ended, rows: &[Row<'_>]) {
    ended.assert_exit(1);
    let succeeded = rows.iter().filter(|row| row.came_to == "succeeded").count();
    assert_eq!(ended.status["successful"], succeeded);
    assert_eq!(ended.status["failed"], rows.len() - succeeded);
    for Row { id, code, .. } in rows {
        let task = ended.task(id);
        assert_eq!(task["attempts"], 1, "{id}");
        assert_eq!(task["exit_code"].as_i64(), *code, "{id}: {task:#}");
    }
    for Row { id, said, came_to, .. } in rows {
        if *came_to == "succeeded" {
            ended.assert_succeeded(id);
            let answer = (!said.is_empty()).then_some(said.as_str());
            assert_eq!(ended.result(id)["answer"].as_str(), answer, "{id}");
            continue;
        }
        ended.assert_failed(id, came_to);
        let error = ended.task(id)["error"].as_str().unwrap_or_default();
        assert!(error.contains(said), "{id}: {said:?} is not in: {error}");
        assert_eq!(error.lines().count(), 1, "{id}: {error}");
    }
}

#[test]
fn success_is_what_was_measured_of_the_cli() {
    let mut project = Project::new();
    project.set("CLAUDE_CODE_MAX_RETRIES", "2");
    let rows = rows(
        "
        ok succeeded 0 all\\ndone                      <- @say all ; @say done
        prose succeeded 0 ok                          <- Please do it. ; @say ok
        recovered succeeded 0 fine                    <- @overloaded 2 ; @say fine
        tool succeeded 0 went on                      <- @run exit 3 ; @say went on
        refused agent_error 1 API Error: 400 bad      <- @fail API Error: 400 bad
        turns agent_error 1 error_max_turns           <- @write a.txt x ; @max-turns
        denied denied_tools 0 WebFetch                <- @deny WebFetch ; @say done
        silent exit 0 code 0 and printed no result    <- @exit 0
        code exit 3 code 3 and printed no result      <- @exit 3
        why exit 4 no result: such thing              <- @stderr no\\nsuch thing ; @exit 4
        killed exit 137 was killed by signal 9        <- @run kill -9 $PPID
        ended exit 143 was killed by signal 15        <- @run kill $PPID
        usage exit 1 exited with code 1: error: line 1 <- @fly
        ",
    );
    let ended = project.session(&tasks(&rows), &["--max-parallel", "3"]);
    assert_came_to(&ended, &rows);
    // What a failed agent had done is kept all the same.
    assert_eq!(project.show("main-task-turns:a.txt"), "x\n");
}

/// Runs its prompt as a shell script, in which these functions print events.
const EMITTER: &str = r#"
init() { echo '{"type":"system","subtype":"init"}'; }
result() { echo "{\"type\":\"result\",\"subtype\":\"$1\",\"is_error\":$2,\"result\":\"$3\"$4}"; }
ok() { result success false fine; }
refused() { result success true refused; }
denied() { result success false fine ',"permission_denials":[{"tool_name":"Bash"}]'; }
budget() { result error_max_budget_usd false ''; }
eval "$(cat)""#;

#[test]
fn success_of_any_program_is_in_its_stream_or_without_one_in_its_exit_code() {
    let rows = rows(
        r#"
        plain succeeded 0 hello\nworld\n               <- echo hello ; echo world
        mute succeeded 0                              <- exit 0
        json succeeded 0 {"type":"other"}\n           <- echo '{"type":"other"}'
        apart succeeded 0 answer\n                    <- echo answer ; echo aside >&2
        plaincode exit 4 code 4: no such option       <- echo 'no such option' >&2 ; exit 4
        plainout exit 1 code 1: last                  <- echo first ; echo last ; exit 1
        stream succeeded 0 fine                       <- init ; ok
        noinit succeeded 0 fine                       <- ok
        unended succeeded 0 fine                      <- init ; printf %s "$(ok)"
        noise succeeded 0 fine                        <- echo Warning ; init ; echo '{' ; ok ; echo bye
        last succeeded 0 fine                         <- init ; refused ; ok
        lasterror agent_error 0 refused               <- init ; ok ; refused
        initonly exit 0 code 0 and printed no result  <- init ; echo late
        aside exit 0 code 0 and printed no result     <- init ; ok >&2
        resultcode exit 1 exited with code 1          <- init ; ok ; exit 1
        resultsignal exit 137 killed by signal 9      <- init ; ok ; kill -9 $$
        budget agent_error 0 error_max_budget_usd     <- init ; budget
        denied denied_tools 0 Bash                    <- init ; denied
        "#,
    );
    let project = Project::new();
    let (emitter, file) = (project.program("emitter", EMITTER), project.tasks(&tasks(&rows)));
    let arguments = ["run", "--sync", "--max-parallel", "3", "--claude", &emitter, &file];
    assert_came_to(&project.ended(&project.pleach(&arguments)), &rows);
}

#[test]
fn a_program_that_cannot_be_started_fails_its_task_and_says_which() {
    let project = Project::new();
    let broken = project.beside("broken");
    project.program("broken", "");
    fs::write(&broken, "#!/nowhere/interpreter\n").expect("write a program");
    let file = project.tasks(&[("never", "do it")]);
    let ended = project.ended(&project.pleach(&["run", "--sync", "--claude", &broken, &file]));
    assert_came_to(&ended, &rows(&format!("never exit - cannot start {broken}: <-")));
}

#[test]
fn never_more_agents_than_allowed_and_never_fewer() {
    let project = Project::new();
    let ids = ["a", "b", "c", "d", "e", "f"];
    let prompts = ids.map(|id| {
        let log = project.beside("log");
        let gate = project.beside(&format!("gate.{id}"));
        format!("@append {log} start {id}\n@wait {gate}\n@append {log} end {id}")
    });
    let tasks: Vec<_> = ids.into_iter().zip(prompts.iter().map(String::as_str)).collect();
    let run = project.start_session(&tasks, &["--max-parallel", "2"]);
    let lines = |project: &Project| -> Vec<String> {
        let log = fs::read_to_string(project.beside("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    };
    for ended in 0..ids.len() {
        let both = (ended + 2).min(ids.len());
        let started = project.until("two agents at once", |project| {
            let mut started = lines(project);
            started.retain(|l| l.starts_with("start "));
            (started.len() >= both).then_some(started)
        });
        // The one that has waited longest.
        let id = started[ended].strip_prefix("start ").expect("an id");
        project.open(&format!("gate.{id}"));
    }
    project.ended(&run).assert_exit(0);
    let (mut now, mut most) = (0, 0);
    for line in lines(&project) {
        now += if line.starts_with("start ") { 1 } else { -1 };
        most = most.max(now);
    }
    assert_eq!((now, most), (0, 2), "{:?}", lines(&project));
}

#[test]
fn without_a_limit_all_agents_run_at_once() {
    let project = Project::new();
    let gate = project.beside("gate");
    let ids: Vec<String> = (0..12).map(|n| format!("n{n}")).collect();
    let prompts: Vec<String> = ids
        .iter()
        .map(|id| format!("@touch {}\n@wait {gate}", project.beside(&format!("arrived.{id}"))))
        .collect();
    let tasks: Vec<_> = ids
        .iter()
        .zip(&prompts)
        .map(|(id, p)| (id.as_str(), p.as_str()))
        .collect();
    let run = project.start_session(&tasks, &["--max-parallel", "unlimited"]);
    project.until("all have arrived", |project| {
        let arrived = ids
            .iter()
            .filter(|id| project.root().join(format!("arrived.{id}")).exists());
        (arrived.count() == ids.len()).then_some(())
    });
    project.open("gate");
    let ended = project.ended(&run);
    ended.assert_exit(0);
    assert_eq!(ended.status["successful"], ids.len());
}

#[test]
fn the_limit_is_the_options_else_the_variables_else_automatic() {
    let cases: &[(&[&str], &str, &str)] = &[
        (&["--max-parallel", "1"], "7", "1 at once"),
        (&["--max-parallel", "unlimited"], "7", "all at once"),
        (&[], "7", "7 at once"),
        (&[], "unlimited", "all at once"),
        (&[], "", " at once"),
        (&["--max-parallel", "auto"], "unlimited", " at once"),
    ];
    for (options, variable, said) in cases {
        let mut project = Project::new();
        project.set("MAX_CLAUDE_WORKERS", variable);
        let mut arguments = vec!["run", "--sync", "--agent", "scripted", "-p", "@say hi"];
        arguments.extend(*options);
        let ran = project.run(&arguments);
        assert_eq!(ran.code(), 0, "{ran:?}");
        let first = ran.err().lines().next().unwrap_or_default().to_owned();
        assert!(first.contains(said), "{options:?}: {first}");
        let automatic = *said == " at once";
        assert_eq!(first.contains("all at once"), *said == "all at once", "{first}");
        let number: Option<u32> = first.split(", ").nth(1).and_then(|w| w.split(' ').next()?.parse().ok());
        assert!(!automatic || number >= Some(1), "{first}");
    }
}

#[test]
fn an_agent_knows_its_task_and_nothing_of_the_callers_git_and_session() {
    let mut project = Project::new();
    let git_dir = project.repo().join(".git");
    let git_dir = git_dir.to_str().expect("UTF-8").to_owned();
    let of_caller = [
        ("GIT_DIR", git_dir.clone()),
        ("GIT_WORK_TREE", project.repo().display().to_string()),
        ("GIT_INDEX_FILE", format!("{git_dir}/index")),
        ("GIT_OBJECT_DIRECTORY", format!("{git_dir}/objects")),
        ("GIT_COMMON_DIR", git_dir.clone()),
        ("GIT_PREFIX", String::new()),
        ("GIT_NAMESPACE", "other".into()),
        ("GIT_QUARANTINE_PATH", format!("{git_dir}/objects")),
        ("GIT_ALTERNATE_OBJECT_DIRECTORIES", "/nowhere".into()),
        ("GIT_CONFIG_COUNT", "1".into()),
        ("GIT_CONFIG_PARAMETERS", "'user.name'='Other'".into()),
        ("CLAUDECODE", "1".into()),
        ("CLAUDE_CODE_ENTRYPOINT", "cli".into()),
        ("CLAUDE_CODE_SESSION_ID", Uuid::nil().to_string()),
    ];
    let base = project.git(&["rev-parse", "main"]);
    for (name, value) in &of_caller {
        project.set(name, value);
    }
    project.set("GIT_CONFIG_KEY_0", "user.name");
    project.set("GIT_CONFIG_VALUE_0", "Other");
    project.set("OF_THE_USER", "passed on");
    let ended = spy(&project, &[("one", "do it")], &[]);
    ended.assert_exit(0);
    let environment = spied(&project, "environ.one");
    for (name, _) in &of_caller {
        let passed = environment.iter().find(|v| v.starts_with(&format!("{name}=")));
        assert_eq!(passed, None);
    }
    let session = ended.status["session_id"].as_str().expect("an id");
    let attempt = events(&project, "attempt_started")[0]["attempt"].clone();
    for (name, value) in [
        ("OF_THE_USER", "passed on"),
        ("PLEACH_SESSION", session),
        ("PLEACH_TASK_ID", "one"),
        ("PLEACH_BRANCH", "main-task-one"),
        ("PLEACH_BASE", base.trim()),
        ("PLEACH_ATTEMPT", attempt.as_str().expect("an id")),
    ] {
        let entry = format!("{name}={value}");
        assert!(environment.contains(&entry), "{entry} is not in {environment:#?}");
    }
}

#[test]
fn an_agent_without_a_worktree_is_not_told_the_branch_of_an_outer_session() {
    let mut project = Project::new();
    for name in [
        "PLEACH_SESSION",
        "PLEACH_TASK_ID",
        "PLEACH_BRANCH",
        "PLEACH_BASE",
        "PLEACH_COMM_DIR",
        "PLEACH_STATUS_FILE",
    ] {
        project.set(name, "outer");
    }
    let ended = spy(&project, &[("one", "do it")], &["--no-worktree"]);
    ended.assert_exit(0);
    let environment = spied(&project, "environ.one");
    let mut of_pleach: Vec<&str> = environment.iter().filter_map(|v| v.strip_prefix("PLEACH_")).collect();
    // The settings of the user are an inner session's too.
    of_pleach.retain(|v| !v.starts_with("MIN_FREE_"));
    of_pleach.sort_unstable();
    let session = format!("SESSION={}", ended.status["session_id"].as_str().expect("an id"));
    let shared = project.shared_dir();
    let (shared, status_file) = (
        format!("COMM_DIR={}", shared.display()),
        format!("STATUS_FILE={}/one.status", shared.display()),
    );
    let told: Vec<&str> = of_pleach
        .iter()
        .copied()
        .filter(|v| !v.starts_with("ATTEMPT=") && !v.starts_with("PORT="))
        .collect();
    assert_eq!(told, [&shared, &session, &status_file, "TASK_ID=one"]);
    assert_eq!(of_pleach.len(), told.len() + 2, "{of_pleach:?}");
}

#[test]
fn a_git_hook_can_start_a_session() {
    let project = Project::new();
    let tasks = project.tasks(&[("hooked", "@write new.txt by the agent\n@commit By the agent")]);
    let pleach = env!("CARGO_BIN_EXE_pleach");
    let seen = project.beside("hook.env");
    project.program(
        "repo/.git/hooks/pre-commit",
        &format!("env | grep ^GIT_ >{seen}\nexec {pleach} run --sync --agent scripted {tasks}"),
    );
    project.write("mine.txt", "mine\n");
    project.git(&["add", "mine.txt"]);
    project.git(&["commit", "-qm", "mine"]);
    assert!(project.line_beside("hook.env").contains("GIT_INDEX_FILE="));
    assert_eq!(
        project.git(&["log", "--format=%s", "main-task-hooked"]),
        "By the agent\nfirst\n"
    );
    assert_eq!(project.changed_in("main-task-hooked"), "new.txt\n");
    assert_eq!(
        project.git(&["show", "--name-only", "--format=%s", "main"]),
        "mine\n\nmine.txt\n"
    );
    assert_eq!(project.git(&["status", "--porcelain"]), "");
}
