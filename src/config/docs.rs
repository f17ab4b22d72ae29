//! `docs/configuration.md`, written from the table of keys. A test holds the file against it, or writes it.

use std::fs;
use std::path::Path;

use super::key::{AGENT_KEYS, KEYS};

const UPDATE: &str = "PLEACH_UPDATE=1 cargo test --lib configuration_md";

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn code(text: Option<&str>) -> String {
    let one = |text: &str| format!("`{text}`");
    text.map_or(String::new(), |text| {
        text.split(", ").map(one).collect::<Vec<_>>().join(", ")
    })
}

fn configuration_md() -> String {
    let mut text = format!(
        "<!-- Written by: {UPDATE} -->\n{}",
        include_str!("docs/introduction.md")
    );
    text += "\n| key | takes | meaning | usual | variable | option | approval |\n|---|---|---|---|---|---|---|\n";
    for key in &KEYS {
        let approval = key.approval_in_words();
        text += &format!(
            "| `{}` | {} | {} | {} | {} | {} | {approval} |\n",
            key.name,
            cell(key.kind.wanted()),
            cell(key.about),
            cell(&key.usual.replace('<', "\\<")),
            code(key.variable),
            code(key.flag),
        );
    }
    text += "\n## Agents\n\n";
    text += include_str!("docs/agents.md");
    text += "\n| key | takes | meaning |\n|---|---|---|\n";
    for (name, wanted, about) in AGENT_KEYS {
        text += &format!("| `{name}` | {} | {} |\n", cell(wanted), cell(about));
    }
    text
}

#[test]
fn configuration_md_says_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let now = configuration_md();
    if std::env::var_os("PLEACH_UPDATE").is_some() {
        fs::write(&path, &now).unwrap();
    }
    let shipped = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        shipped == now,
        "{} is not that of the program; write it anew: {UPDATE}",
        path.display()
    );
}
