//! Who may import whom: the table in CONTRIBUTING.md, held against every `crate::` in the sources.
//!
//! The sources are read as text, without comments, texts and what is only compiled for tests. With them it is held
//! that only the report and the scripted agent print, and that `unsafe` is where the table's section says it is.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What a module may import: paths below `crate`, or all.
type Rules = BTreeMap<String, Vec<String>>;

const ANYTHING: &str = "anything";

#[test]
fn every_module_imports_only_what_the_table_allows() {
    let rules = rules();
    let mut violations = Vec::new();
    let mut imports = 0;
    for source in sources() {
        if source.name == "lib.rs" {
            continue;
        }
        let module = source.module();
        let allowed = rules
            .get(module)
            .unwrap_or_else(|| panic!("{module} is not in the table of CONTRIBUTING.md"));
        for (line, path) in source.imports() {
            imports += 1;
            let fits = |rule: &String| rule == ANYTHING || path == *rule || path.starts_with(&format!("{rule}::"));
            let own = path.split("::").next() == Some(module);
            if !own && !allowed.iter().any(fits) {
                violations.push(format!("src/{}:{line}: {module} may not import {path}", source.name));
            }
        }
    }
    assert!(imports > 50, "only {imports} imports were found");
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

#[test]
fn every_module_of_the_table_is_there() {
    let here = |module: &str| {
        let source = root().join("src");
        source.join(format!("{module}.rs")).is_file() || source.join(module).is_dir()
    };
    for (module, allowed) in rules() {
        assert!(here(&module), "{module}");
        for path in allowed.iter().filter(|path| *path != ANYTHING) {
            assert!(
                here(path.split("::").next().unwrap_or_default()),
                "{module} may import {path}"
            );
        }
    }
}

#[test]
fn only_the_report_and_the_scripted_agent_print() {
    let prints = |code: &str| {
        ["println!", "eprintln!", "print!", "eprint!", "dbg!"]
            .iter()
            .any(|m| is_word(code, m))
    };
    for (source, line) in lines_with(prints) {
        let allowed = ["report/", "agent/scripted/"].iter().any(|dir| source.starts_with(dir));
        assert!(allowed, "src/{source}:{line} prints");
    }
    let lints = fs::read_to_string(root().join("Cargo.toml")).expect("read Cargo.toml");
    for lint in ["print_stdout", "print_stderr", "dbg_macro", "unsafe_code"] {
        let set = |line: &&str| {
            ["warn", "deny"]
                .iter()
                .any(|level| **line == format!("{lint} = \"{level}\""))
        };
        assert_eq!(lints.lines().filter(set).count(), 1, "{lint}");
    }
}

#[test]
fn unsafe_is_only_where_a_system_or_library_call_needs_it() {
    let found = lines_with(|code| is_word(code, "unsafe"));
    for (source, line) in &found {
        let allowed = ["process/", "git/"].iter().any(|dir| source.starts_with(dir));
        assert!(allowed, "src/{source}:{line} is unsafe");
    }
    assert!(!found.is_empty(), "the word is not found where it is");
}

// Fault 12: what decides does not look at the wall clock: only the store does, for what is shown, the doctor, which says how
// old things are, as the recovery of locks does, and what cleans up what the user has thrown away.
#[test]
fn the_wall_clock_is_read_in_one_place() {
    let found = lines_with(|code| is_word(code, "SystemTime"));
    for (source, line) in &found {
        let allowed = ["store/clock.rs", "doctor/", "clean/", "worktree/recover.rs"]
            .iter()
            .any(|place| source.starts_with(place));
        assert!(allowed, "src/{source}:{line} reads the wall clock");
    }
    assert!(!found.is_empty(), "the word is not found where it is");
    let decides = ["pool/", "session/transition", "supervisor/decide"];
    for (source, line) in lines_with(|code| is_word(code, "now_ms")) {
        let pure = decides.iter().any(|place| source.starts_with(place));
        assert!(!pure, "src/{source}:{line} decides by the wall clock");
    }
}

#[test]
fn the_sources_are_read_as_the_compiler_reads_them() {
    let text = r##"
        //! crate::comment, and it's one
        use crate::one::Thing; /* crate::comment */
        use crate::{two, three::{self, Four}, self as us};
        pub(crate) fn f<'a>(x: &'a str) -> crate::five::Six {
            let text = "crate::text \" crate::text"; let raw = r#"crate::raw " crate::raw"#;
            let (quote, escaped) = ('"', '\''); super::seven(); super::super::eight::x();
        }
        #[cfg(test)]
        mod tests { use crate::nine; fn g() { let brace = '{'; } }
        #[cfg(test)]
        use crate::ten;
        #[cfg(all(test, unix))]
        fn h() { crate::eleven() }
        #[cfg(not(test))]
        use crate::twelve::*;
    "##;
    let imports = |name: &str| -> Vec<String> {
        let source = Source {
            name: name.into(),
            code: code_of(text),
        };
        source.imports().into_iter().map(|(_, path)| path).collect()
    };
    let absolute = ["one::Thing", "two", "three", "self", "five::Six", "twelve"];
    let both = |more: &'static str| [&absolute[..5], &[more], &absolute[5..]].concat();
    assert_eq!(imports("a.rs"), both("seven"));
    assert_eq!(imports("a/mod.rs"), both("seven"));
    assert_eq!(imports("a/b.rs"), both("eight::x"));
    assert_eq!(imports("a/b/c.rs"), absolute);
    assert_eq!(code_of(text).lines().count(), text.lines().count());
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The table of CONTRIBUTING.md: its first column names a module, its last what that may import.
fn rules() -> Rules {
    let text = fs::read_to_string(root().join("CONTRIBUTING.md")).expect("read CONTRIBUTING.md");
    let rows = text
        .lines()
        .skip_while(|line| !line.ends_with("| may import |"))
        .skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let quoted = |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let rules: Rules = rows
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
            let [first, _, last] = cells[..] else {
                panic!("not three columns: {row}");
            };
            let module = quoted(first).remove(0);
            let allowed = match last.trim() {
                ANYTHING => vec![ANYTHING.to_owned()],
                _ => quoted(last),
            };
            (module.trim_end_matches(".rs").trim_end_matches('/').to_owned(), allowed)
        })
        .collect();
    assert!(rules.len() > 10, "no table in CONTRIBUTING.md: {rules:?}");
    rules
}

/// A file below `src`, without what is no code of the program.
struct Source {
    name: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let mut open: Vec<PathBuf> = vec![root().join("src")];
    let mut sources = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("read a directory");
            open.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root().join("src")).expect("a file of src");
            sources.push(Source {
                name: name.to_str().expect("UTF-8").to_owned(),
                code: code_of(&fs::read_to_string(&path).expect("read a source")),
            });
        }
    }
    sources
}

/// The file and number of every line whose code fits.
fn lines_with(fits: impl Fn(&str) -> bool) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for source in sources() {
        for (index, line) in source.code.lines().enumerate() {
            if fits(line) {
                found.push((source.name.clone(), index + 1));
            }
        }
    }
    found
}

impl Source {
    /// The part of the program that it belongs to.
    fn module(&self) -> &str {
        let first = self.name.split('/').next().unwrap_or_default();
        first.trim_end_matches(".rs")
    }

    /// Everything below `crate` that is named, with the line.
    fn imports(&self) -> Vec<(usize, String)> {
        let depth = self.name.trim_end_matches("/mod.rs").split('/').count();
        let up = "super::".repeat(depth);
        let mut found = Vec::new();
        for start in ["crate::", "pleach::", &up] {
            for (at, _) in self.code.match_indices(start) {
                let before = self.code[..at].chars().next_back();
                let further_up = start == up && self.code[..at].ends_with("super::");
                if !before.is_some_and(is_of_word) && !further_up {
                    let after = &self.code[at + start.len()..];
                    if !after.starts_with("super::") {
                        found.extend(paths(after).into_iter().map(|path| (at, path)));
                    }
                }
            }
        }
        found.sort_by_key(|(at, _)| *at);
        let line = |at: usize| self.code[..at].matches('\n').count() + 1;
        found.into_iter().map(|(at, path)| (line(at), path)).collect()
    }
}

/// The path that a text begins with; of a group in braces the first part of each.
fn paths(text: &str) -> Vec<String> {
    let Some(group) = text.strip_prefix('{') else {
        let end = text.find(|c: char| !is_of_word(c) && c != ':').unwrap_or(text.len());
        return vec![text[..end].trim_matches(':').to_owned()];
    };
    let mut depth = 0;
    let end = |c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth < 0 || depth == 0 && c == ','
    };
    let parts = group.split_inclusive(end);
    let mut found = Vec::new();
    for part in parts {
        let name: String = part.trim_start().chars().take_while(|&c| is_of_word(c)).collect();
        if !name.is_empty() {
            found.push(name);
        }
        if part.ends_with('}') && part.matches('{').count() < part.matches('}').count() {
            break;
        }
    }
    found
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether this stands in the code, and not as a part of a longer word.
fn is_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(is_of_word) && (word.ends_with('!') || !after.is_some_and(is_of_word))
    })
}

/// The code of a source, line by line: texts and comments are blank, and so is what is only compiled for tests.
fn code_of(source: &str) -> String {
    let mut code = blank_texts(source);
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(") {
        let start = from + found;
        let condition = code[start..].split(']').next().unwrap_or_default();
        from = start + condition.len();
        if is_word(condition, "test") && !is_word(condition, "not") {
            let mut depth = 0;
            let end = code[from..].char_indices().find(|&(_, c)| {
                depth += i32::from(c == '{') - i32::from(c == '}');
                depth == 0 && matches!(c, '}' | ';')
            });
            let end = end.map_or(code.len(), |(at, _)| from + at + 1);
            let blank: String = code[start..end]
                .chars()
                .map(|c| if c == '\n' { c } else { ' ' })
                .collect();
            code.replace_range(start..end, &blank);
            from = start + blank.len();
        }
    }
    code
}

fn blank_texts(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let in_word = code.chars().next_back().is_some_and(is_of_word);
        let length = text_length(rest, in_word);
        let end = if length == 0 { first.len_utf8() } else { length };
        let part = rest[..end].chars();
        code.extend(part.map(|c| if length == 0 || c == '\n' { c } else { ' ' }));
        rest = &rest[end..];
    }
    code
}

/// How long the comment or text is that begins here; 0 when none does.
fn text_length(rest: &str, in_word: bool) -> usize {
    let to = |start: usize, end: &str| rest[start..].find(end).map_or(rest.len(), |at| start + at + end.len());
    let raw = rest.strip_prefix('r').filter(|_| !in_word);
    let hashes = raw.map_or(0, |raw| raw.len() - raw.trim_start_matches('#').len());
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return to(2, "*/");
    }
    if raw.is_some_and(|raw| raw[hashes..].starts_with('"')) {
        return to(hashes + 2, &format!("\"{}", "#".repeat(hashes)));
    }
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
    let Some(quote) = quote else { return 0 };
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            // A lifetime: a character is over after one, or had a backslash.
            _ if quote == '\'' && at > 1 && !rest[1..].starts_with('\\') => return 0,
            _ => {}
        }
    }
    rest.len()
}
