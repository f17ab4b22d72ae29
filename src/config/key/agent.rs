//! The keys of the description of an agent.

/// A key of the description of an agent, what it takes, and what it means.
pub const AGENT_KEYS: [(&str, &str, &str); 5] = [
    (
        "command",
        "a list such as [\"codex\", \"exec\"]",
        "The program and its arguments; `{prompt}`, `{prompt_file}` and the like in them are filled in",
    ),
    (
        "prompt",
        "\"stdin\", \"arg\" or \"file\"",
        "How it gets the prompt: on standard input (usual), as its last argument, or in a file that this names",
    ),
    (
        "success",
        "\"exit\", \"stream-json\", \"status-file\" or \"output\"",
        "What is success: it exits with 0; its stream of Claude Code says so; a line with `COMPLETED:` in its status \
         file; a stream if it prints one, else its exit code (usual)",
    ),
    ("pty", "true or false", "Whether it runs on a terminal (usually not)"),
    (
        "resume",
        "a list of arguments",
        "The arguments that go on with a conversation; without them each attempt is a new one",
    ),
];
