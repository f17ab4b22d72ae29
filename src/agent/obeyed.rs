//! What a repository itself tells Claude Code: settings and servers that every agent of it obeys.
//!
//! Who runs a foreign repository should know of them: hooks are commands, and permissions decide what an agent is asked
//! for. Pure: others read the files from the commit or the directory that agents start from. A file that is no JSON is
//! named too, since only Claude Code can say what it makes of it.

use serde_json::Value;

/// The files that are read in the directory of an agent.
pub const FILES: [&str; 3] = [".claude/settings.json", ".claude/settings.local.json", ".mcp.json"];

/// What in them starts programs, or decides about what may be started.
const SETTINGS: [&str; 11] = [
    "hooks",
    "permissions",
    "env",
    "apiKeyHelper",
    "awsAuthRefresh",
    "awsCredentialExport",
    "otelHeadersHelper",
    "statusLine",
    "enableAllProjectMcpServers",
    "enabledMcpjsonServers",
    "mcpServers",
];

/// One line about what agents obey; none when there is nothing of the kind. `read` gives the content of one of
/// [`FILES`].
pub fn obeyed(read: impl Fn(&str) -> Option<Vec<u8>>) -> Option<String> {
    let told: Vec<String> = FILES
        .iter()
        .filter_map(|file| Some(format!("{} in {file}", settings(&read(file)?)?)))
        .collect();
    (!told.is_empty()).then(|| format!("agents obey what the repository itself says: {}", told.join("; ")))
}

fn settings(text: &[u8]) -> Option<String> {
    let Ok(found) = serde_json::from_slice::<Value>(text) else {
        return Some("what is no JSON".into());
    };
    let set = |name: &&&str| match &found[**name] {
        Value::Null | Value::Bool(false) => false,
        Value::Object(entries) => !entries.is_empty(),
        Value::Array(entries) => !entries.is_empty(),
        _ => true,
    };
    let names: Vec<&str> = SETTINGS.iter().filter(set).copied().collect();
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Fault 49: the settings of a hostile repository are reported.
    #[test]
    fn what_starts_programs_or_permits_them_is_named() {
        let said = |settings: &str, servers: &str| {
            obeyed(|file| match file {
                ".claude/settings.json" => Some(settings.into()),
                ".mcp.json" => Some(servers.into()),
                _ => None,
            })
        };
        assert_eq!(said("{}", r#"{"mcpServers": {}}"#), None);
        assert_eq!(said(r#"{"model": "opus", "hooks": {}, "env": null}"#, "[]"), None);
        let both = said(
            r#"{"hooks": {"Stop": []}, "permissions": {"allow": ["Bash"]}, "enableAllProjectMcpServers": false}"#,
            r#"{"mcpServers": {"x": {"command": "evil"}}}"#,
        );
        let told = "hooks, permissions in .claude/settings.json; mcpServers in .mcp.json";
        assert_eq!(
            both.unwrap(),
            format!("agents obey what the repository itself says: {told}")
        );
        assert!(
            said("{", "{}")
                .unwrap()
                .contains("what is no JSON in .claude/settings.json")
        );
        assert_eq!(obeyed(|_| None), None);
    }
}
