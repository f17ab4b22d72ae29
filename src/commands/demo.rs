//! `pleach demo`: the whole way on a small repository of its own, with the built-in scripted agent.
//!
//! It makes the repository in a temporary directory, and from there on does what `pleach run --sync` does.

use std::fs;
use std::path::{Path, PathBuf};

use git2::{IndexAddOption, Repository, RepositoryInitOptions};

use super::run::{start, watch};
use super::settings::environment;
use super::{Context, output};
use crate::cli::{Parallel, RunArgs};
use crate::error::{Error, exit};
use crate::report;
use crate::task::{TaskId, TaskOptions, TaskSpec};
use crate::words::quote;
use crate::worktree::naming::short;

/// The files of the repository: path, content.
const FILES: [(&str, &str); 3] = [
    ("README.md", "# greeter\n\nPrints a greeting.\n"),
    ("greet.sh", "#!/bin/sh\nname=${1:-world}\necho \"hello, $name\"\n"),
    (".gitignore", "*.tmp\n"),
];

/// The tasks: id, title, and what the scripted agent is told. One fails, and two change the same line.
const TASKS: [(&str, &str, &str); 5] = [
    (
        "changelog",
        "Add a changelog",
        "@write CHANGELOG.md # Changelog\\n\\n- The first greeting.\n@sleep 1600ms\n@commit Add a changelog\n\
         @say Added CHANGELOG.md and committed it.",
    ),
    (
        "polite",
        "Make the greeting polite",
        "@run cat greet.sh\n@sleep 1200ms\n@write greet.sh #!/bin/sh\\nname=${1:-world}\\necho \"good day, $name\"\n\
         @say The greeting is polite now. I left the change uncommitted.",
    ),
    (
        "loud",
        "Make the greeting loud",
        "@run cat greet.sh\n@sleep 2s\n@write greet.sh #!/bin/sh\\nname=${1:-world}\\necho \"HELLO, $name!\"\n\
         @run sh greet.sh\n\
         @say The greeting is loud now, and greet.sh still runs.",
    ),
    (
        "test",
        "Test the greeting",
        "@write test.sh #!/bin/sh\\nsh greet.sh you | grep -q you && echo passed\n@sleep 2400ms\n@run sh test.sh\n\
         @commit Test the greeting\n@say test.sh checks that the name is in the greeting. It passes.",
    ),
    (
        "translate",
        "Translate the README",
        "@write LIESMICH.md # greeter\\n\\nGibt einen Gru\n@sleep 1s\n\
         @fail API Error: 529 overloaded (this failure is part of the demo)",
    ),
];

pub(super) fn run(user: &Context) -> Result<u8, Error> {
    let here = make()?;
    let repository = here.join("greeter");
    report::note(&format!(
        "A demo: {} tasks in a small repository, done by a scripted agent instead of Claude Code.\nIt is in {}\n",
        TASKS.len(),
        quote(&repository)
    ));
    let context = Context {
        directory: repository.clone(),
        results_dir: user.results_dir.as_ref().map(|dir| user.directory.join(dir)),
    };
    let args = RunArgs {
        sync: true,
        agent: Some("scripted".into()),
        max_parallel: Some(Parallel::Most(3)),
        ..RunArgs::default()
    };
    // It is the same for everybody: nothing else is run, and by nobody else.
    let settings = environment(&context)?.idle();
    let session = start(&context, &args, &settings, tasks()?)?;
    let name = short(session.spec.session_id);
    report::note("");
    // From where the user is: so the plan says where to go.
    let code = watch(user, session)?;
    if code > exit::UNSUCCESSFUL {
        return Ok(code);
    }
    report::out(&next(&here, &repository, &name)).map_err(output)?;
    Ok(exit::DONE)
}

/// What to try next.
fn next(here: &Path, repository: &Path, session: &str) -> String {
    let pleach = report::program();
    let commands = [
        (format!("cd {}", quote(repository)), "everything below works there"),
        (format!("{pleach} results"), "what each task answered"),
        (format!("{pleach} status"), "where each one stands"),
        (format!("{pleach} diff {session} polite"), "what one of them changed"),
        ("git log --oneline --graph --all".into(), "all branches"),
        (
            format!("{pleach} merge {session}"),
            "all that fits together, in one go; undo takes it back",
        ),
        (
            format!("{pleach} run --sync --agent scripted -p '@write hello.txt hi'"),
            "a session of your own",
        ),
        (format!("{pleach} list"), "all sessions"),
        (format!("cd / && rm -rf {}", quote(here)), "when you have seen enough"),
    ];
    format!("\nwhat to try next:\n{}", report::commands_of(&commands))
}

fn tasks() -> Result<Vec<TaskSpec>, Error> {
    let task = |(id, title, prompt): &(&str, &str, &str)| {
        let id = TaskId::parse(id).map_err(|e| Error::DemoNotMade(e.into()))?;
        Ok(TaskSpec {
            id,
            title: (*title).into(),
            prompt: (*prompt).into(),
            options: TaskOptions::default(),
        })
    };
    TASKS.iter().map(task).collect()
}

/// Makes the repository, and gives the directory that it is in.
fn make() -> Result<PathBuf, Error> {
    let failed = |e: std::io::Error| Error::DemoNotMade(e.into());
    let dir = tempfile::Builder::new()
        .prefix("pleach-demo-")
        .tempdir()
        .map_err(failed)?;
    let dir = dir.keep().canonicalize().map_err(failed)?;
    let repository = dir.join("greeter");
    fs::create_dir(&repository).map_err(failed)?;
    for (path, content) in FILES {
        fs::write(repository.join(path), content).map_err(failed)?;
    }
    commit(&repository).map_err(|e| Error::DemoNotMade(e.into()))?;
    Ok(dir)
}

fn commit(path: &Path) -> Result<(), git2::Error> {
    let repository = Repository::init_opts(path, RepositoryInitOptions::new().initial_head("main"))?;
    // So that the commands that are printed work whatever the user has configured, or has not.
    let mut config = repository.config()?;
    config.set_str("user.name", "pleach demo")?;
    config.set_str("user.email", "demo@localhost")?;
    config.set_bool("commit.gpgSign", false)?;
    let mut index = repository.index()?;
    index.add_all(["*"], IndexAddOption::DEFAULT, None)?;
    index.write()?;
    let tree = repository.find_tree(index.write_tree()?)?;
    let who = repository.signature()?;
    repository.commit(Some("HEAD"), &who, &who, "Start with a greeting", &tree, &[])?;
    Ok(())
}
