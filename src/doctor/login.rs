//! Whether Claude Code has an account to work with, without asking it: to say so it would write files into its home.
//!
//! What counts was measured on 2.1.329 with `claude auth status`: variables, the stored login, a key in its own
//! configuration, and what settings files say. Only names and places are ever shown. Whether an account still works
//! only its provider knows.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::repository::Seen;
use super::{Check, Finding, Subject, set_path};
use crate::git::file_in;

/// Variables that are an account by being set.
const SECRETS: [&str; 3] = ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"];
/// Variables that choose a provider with accounts of its own.
const PROVIDERS: [&str; 5] = [
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    "CLAUDE_CODE_USE_FOUNDRY",
    "CLAUDE_CODE_USE_MANTLE",
    "CLAUDE_CODE_USE_ANTHROPIC_AWS",
];
/// Settings that an administrator has made.
const MANAGED: &str = "/etc/claude-code/managed-settings.json";

/// Where an account can be written down, each with what is in the file.
#[derive(Debug, Default)]
struct Written {
    /// The stored login.
    credentials: Option<(PathBuf, Value)>,
    /// Claude Code's own configuration.
    configuration: Option<(PathBuf, Value)>,
    /// Settings of the user and of the administrator.
    settings: Vec<(PathBuf, Value)>,
    /// Settings that come with the repository.
    project: Option<Value>,
    /// What is there and cannot be read.
    unreadable: Vec<String>,
}

pub(super) fn look(subject: &Subject, seen: Option<&Seen<'_>>, found: &mut Vec<Finding>) {
    // Named, it holds both files.
    let (dir, configuration) = match (set_path("CLAUDE_CONFIG_DIR"), set_path("HOME")) {
        (Some(dir), _) => (Some(dir.clone()), Some(dir.join(".claude.json"))),
        (None, Some(home)) => (Some(home.join(".claude")), Some(home.join(".claude.json"))),
        (None, None) => (None, None),
    };
    let mut written = Written::default();
    let mut read = |path: PathBuf| {
        let read = read(&path).unwrap_or_else(|e| {
            written.unreadable.push(e);
            None
        });
        read.map(|value| (path, value))
    };
    let credentials = dir.as_ref().and_then(|dir| read(dir.join(".credentials.json")));
    let configuration = configuration.and_then(&mut read);
    let settings = dir.map(|dir| dir.join("settings.json"));
    let settings: Vec<_> = settings
        .into_iter()
        .chain([MANAGED.into()])
        .filter_map(&mut read)
        .collect();
    let project = match seen {
        Some(seen) => committed_settings(seen),
        None => read(subject.directory.join(".claude/settings.json")).map(|(_, value)| value),
    };
    let written = Written {
        credentials,
        configuration,
        settings,
        project,
        ..written
    };
    for e in &written.unreadable {
        found.push(
            Check::Login
                .warning(e.clone())
                .hint("mend it: Claude Code itself may not read it either"),
        );
    }
    let account = account(|name| std::env::var(name).ok(), &written);
    let keychain = cfg!(target_os = "macos");
    found.push(judge(account, subject.agent.is_claude_code, keychain));
}

/// Reads a file that need not be there.
fn read(path: &Path) -> Result<Option<Value>, String> {
    let text = match fs::read(path) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        Err(e) => return Err(format!("cannot read {}: {e}", path.display())),
        Ok(text) => text,
    };
    // Of the parser's words only the place: the rest may be of the content.
    let broken = |e: serde_json::Error| {
        format!(
            "{} is no JSON at line {} column {}",
            path.display(),
            e.line(),
            e.column()
        )
    };
    serde_json::from_slice(&text).map(Some).map_err(broken)
}

/// The settings that agents find in their worktrees: those of the commit.
fn committed_settings(seen: &Seen<'_>) -> Option<Value> {
    let text = file_in(seen.repository, "HEAD", ".claude/settings.json")?;
    serde_json::from_slice(&text).ok()
}

/// Where an account comes from, in words.
fn account(variable: impl Fn(&str) -> Option<String>, written: &Written) -> Option<String> {
    let secret = |get: &dyn Fn(&str) -> Option<String>| {
        SECRETS
            .iter()
            .find(|name| get(name).is_some_and(|v| !v.trim().is_empty()))
            .copied()
    };
    let provider = |get: &dyn Fn(&str) -> Option<String>| {
        PROVIDERS
            .iter()
            .find(|name| get(name).is_some_and(|v| is_true(&v)))
            .copied()
    };
    if let Some(name) = provider(&variable).or_else(|| secret(&variable)) {
        return Some(format!("the variable {name}"));
    }
    for (path, settings) in &written.settings {
        let entry = |name: &str| in_settings(settings, name);
        if settings["apiKeyHelper"].is_string() {
            return Some(format!("apiKeyHelper in {}", path.display()));
        }
        if let Some(name) = provider(&entry).or_else(|| secret(&entry)) {
            return Some(format!("{name} in {}", path.display()));
        }
    }
    if let Some(settings) = &written.project {
        if settings["apiKeyHelper"].is_string() {
            return Some("apiKeyHelper in .claude/settings.json of the repository".into());
        }
        // Its keys are not used, only its choice of a provider.
        if let Some(name) = provider(&|name: &str| in_settings(settings, name)) {
            return Some(format!("{name} in .claude/settings.json of the repository"));
        }
    }
    if let Some((path, credentials)) = &written.credentials {
        let login = &credentials["claudeAiOauth"];
        let text = |key: &str| login[key].as_str().is_some_and(|t| !t.is_empty());
        let scopes = login["scopes"]
            .as_array()
            .is_some_and(|s| s.iter().any(|s| s == "user:inference"));
        if text("accessToken") && scopes {
            return Some(format!("the login in {}", path.display()));
        }
    }
    let (path, configuration) = written.configuration.as_ref()?;
    let key = configuration["primaryApiKey"].as_str().is_some_and(|k| !k.is_empty());
    key.then(|| format!("a key in {}", path.display()))
}

fn in_settings(settings: &Value, variable: &str) -> Option<String> {
    settings["env"][variable].as_str().map(str::to_owned)
}

fn is_true(value: &str) -> bool {
    matches!(value.trim().to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on")
}

fn judge(account: Option<String>, is_claude_code: bool, keychain: bool) -> Finding {
    match account {
        Some(from) => Check::Login.ok(format!("the account is {from}; whether it works is only known online")),
        None if !is_claude_code => {
            Check::Login.note("no account of Claude Code was found, and this agent may need none")
        }
        None if keychain => Check::Login.note(
            "no account was found in variables and files; the login may be in the keychain, which is not looked into",
        ),
        None => Check::Login
            .problem("no account of Claude Code was found: every agent would fail with \"Not logged in\"")
            .hint("log in: claude auth login; or set ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Level;
    use super::*;

    fn with_variable(name: &str, value: &str) -> Option<String> {
        account(|asked| (asked == name).then(|| value.to_owned()), &Written::default())
    }

    #[test]
    fn variables_that_are_accounts() {
        for name in SECRETS {
            let found = with_variable(name, "canary").unwrap();
            assert!(found.contains(name) && !found.contains("canary"), "{found}");
            assert_eq!(with_variable(name, ""), None);
        }
        for name in PROVIDERS {
            assert!(
                with_variable(name, "1").is_some() && with_variable(name, "0").is_none(),
                "{name}"
            );
        }
        assert_eq!(with_variable("ANTHROPIC_BASE_URL", "http://x"), None);
    }

    #[test]
    fn files_that_are_accounts() {
        let path = PathBuf::from("/f");
        let of = |written: Written| account(|_| None, &written);
        let login = |value: Value| {
            of(Written {
                credentials: Some((path.clone(), value)),
                ..Written::default()
            })
        };
        let good = json!({"claudeAiOauth": {"accessToken": "canary", "scopes": ["user:inference"]}});
        assert_eq!(login(good).as_deref(), Some("the login in /f"));
        for other in [
            json!({}),
            json!({"mcpOAuth": {}}),
            json!({"claudeAiOauth": {"accessToken": "canary", "scopes": []}}),
            json!({"claudeAiOauth": {"accessToken": "", "scopes": ["user:inference"]}}),
            json!([1]),
        ] {
            assert_eq!(login(other), None);
        }
        let settings = |value: Value| {
            of(Written {
                settings: vec![(path.clone(), value)],
                ..Written::default()
            })
        };
        assert_eq!(
            settings(json!({"apiKeyHelper": "x"})).as_deref(),
            Some("apiKeyHelper in /f")
        );
        assert!(settings(json!({"env": {"ANTHROPIC_API_KEY": "canary"}})).is_some_and(|s| !s.contains("canary")));
        assert_eq!(settings(json!({"env": {"OTHER": "x"}})), None);
        let project = |value: Value| {
            of(Written {
                project: Some(value),
                ..Written::default()
            })
        };
        assert!(project(json!({"apiKeyHelper": "x"})).is_some());
        assert!(project(json!({"env": {"CLAUDE_CODE_USE_BEDROCK": "1"}})).is_some());
        assert_eq!(project(json!({"env": {"ANTHROPIC_API_KEY": "x"}})), None);
        let key = Written {
            configuration: Some((path.clone(), json!({"primaryApiKey": "canary"}))),
            ..Written::default()
        };
        assert_eq!(of(key).as_deref(), Some("a key in /f"));
    }

    #[test]
    fn no_account_is_a_problem_only_where_that_is_sure() {
        for (claude, keychain, level) in [
            (true, false, Level::Problem),
            (true, true, Level::Note),
            (false, false, Level::Note),
        ] {
            assert_eq!(judge(None, claude, keychain).level, level);
        }
        assert_eq!(judge(Some("x".into()), true, false).level, Level::Ok);
    }
}
