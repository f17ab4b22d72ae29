//! Which files of the checkout a new worktree gets a copy of: those that git does not track there and that the user's
//! patterns mean.
//!
//! git says what it does not track. A directory that it ignores as a whole (`node_modules`, `target`) is looked into only
//! when a pattern means all of it, or names a path below it: so what is big and not wanted costs nothing. Patterns are
//! those of `.gitignore`. Reads, and changes nothing.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use walkdir::WalkDir;

use super::Notes;
use crate::git::{Git, GitError};
use crate::worktree::inspect;

/// What the user wants copied, line by line as in `.gitignore`.
#[derive(Debug)]
pub(super) struct Patterns {
    matcher: Gitignore,
    /// Only those that name a path, and not only a name; and those that take something back.
    of_paths: Gitignore,
    /// The components of those that name a path.
    paths: Vec<Vec<String>>,
}

impl Patterns {
    /// Of these lines, with notes of those that cannot be understood; nothing when no line says anything.
    pub(super) fn of<'l>(lines: impl Iterator<Item = &'l str>, notes: &mut Notes) -> Option<Self> {
        let mut builder = GitignoreBuilder::new("");
        let mut of_paths = GitignoreBuilder::new("");
        let mut paths = Vec::new();
        for line in lines {
            let as_git = without_alternatives(line);
            if let Err(e) = builder.add_line(None, &as_git) {
                notes.add("patterns that cannot be understood", format!("{line} ({e})"));
            }
            let named = components(line);
            if named.is_some() || line.starts_with('!') {
                // It was said above what is wrong with it.
                let _ = of_paths.add_line(None, &as_git);
            }
            paths.extend(named);
        }
        let mut built = |builder: GitignoreBuilder| {
            let built = builder.build();
            // Nobody is to think that they hold.
            built
                .map_err(|e| notes.add("patterns that cannot be understood", e))
                .ok()
        };
        let (matcher, of_paths) = (built(builder)?, built(of_paths)?);
        if matcher.is_empty() {
            return None;
        }
        Some(Self {
            matcher,
            of_paths,
            paths,
        })
    }

    fn mean(&self, path: &Path, is_dir: bool) -> bool {
        self.matcher.matched_path_or_any_parents(path, is_dir).is_ignore()
    }

    /// The same in a directory that git ignores as a whole.
    fn name(&self, path: &Path, is_dir: bool) -> bool {
        self.of_paths.matched_path_or_any_parents(path, is_dir).is_ignore()
    }

    /// Whether one of them names a path below a directory.
    fn reach_into(&self, dir: &Path) -> bool {
        let dir: Vec<_> = dir.components().map(|c| c.as_os_str().to_string_lossy()).collect();
        self.paths.iter().any(|path| {
            for (index, name) in dir.iter().enumerate() {
                match path.get(index).map(String::as_str) {
                    // Below a directory that it has named, anything.
                    Some("**") => return index > 0,
                    Some(part) if part == name || part.contains(['*', '?', '[']) => {}
                    _ => return false,
                }
            }
            path.len() > dir.len()
        })
    }
}

/// A pattern in which braces mean themselves, as they do to git.
fn without_alternatives(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut is_escaped = false;
    for c in line.chars() {
        if matches!(c, '{' | '}') && !is_escaped {
            text.push('\\');
        }
        is_escaped = c == '\\' && !is_escaped;
        text.push(c);
    }
    text
}

/// The components of a pattern with more than one.
fn components(line: &str) -> Option<Vec<String>> {
    let line = line.trim_end();
    if line.starts_with(['#', '!']) {
        return None;
    }
    let line = line.strip_prefix('/').unwrap_or(line);
    let line = line.strip_suffix('/').unwrap_or(line);
    let parts: Vec<String> = line.split('/').map(str::to_owned).collect();
    (parts.len() > 1).then_some(parts)
}

/// The files and links that are meant, as paths in the checkout, in order.
pub(super) fn chosen(
    git: &Git,
    checkout: &Path,
    patterns: &Patterns,
    notes: &mut Notes,
) -> Result<Vec<PathBuf>, GitError> {
    let text = inspect::status(git)?;
    let mut found = Vec::new();
    for entry in text.split(|&b| b == 0).filter(|e| e.len() > 3) {
        if !matches!(&entry[..2], b"??" | b"!!") {
            continue;
        }
        let is_dir = entry.ends_with(b"/");
        let path = entry[3..].strip_suffix(b"/").unwrap_or(&entry[3..]);
        let path = PathBuf::from(OsStr::from_bytes(path));
        match (is_dir, patterns.mean(&path, is_dir)) {
            (false, true) => found.push(path),
            (false, false) => {}
            (true, true) => below(checkout, &path, |_, _| true, &mut found, notes),
            (true, false) if patterns.reach_into(&path) => {
                let meant = |path: &Path, is_dir| patterns.name(path, is_dir) || is_dir && patterns.reach_into(path);
                below(checkout, &path, meant, &mut found, notes);
            }
            (true, false) => {}
        }
    }
    found.sort();
    Ok(found)
}

/// Adds what is below a directory as far as it is meant, but for repositories of their own.
fn below(
    checkout: &Path,
    dir: &Path,
    meant: impl Fn(&Path, bool) -> bool,
    found: &mut Vec<PathBuf>,
    notes: &mut Notes,
) {
    let mut walk = WalkDir::new(checkout.join(dir)).into_iter();
    while let Some(entry) = walk.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(e) => {
                if e.io_error().is_none_or(|e| e.kind() != ErrorKind::NotFound) {
                    notes.add("not copied, because it cannot be read", e.to_string());
                }
                continue;
            }
        };
        let Ok(path) = entry.path().strip_prefix(checkout) else {
            continue;
        };
        let is_dir = entry.file_type().is_dir();
        if is_dir && fs::symlink_metadata(entry.path().join(".git")).is_ok() {
            notes.add("not copied, because it is a git repository of its own", path.display());
            walk.skip_current_dir();
        } else if !meant(path, is_dir) && entry.depth() > 0 {
            if is_dir {
                walk.skip_current_dir();
            }
        } else if !is_dir {
            found.push(path.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(text: &str) -> Patterns {
        Patterns::of(text.lines(), &mut Notes::default()).unwrap()
    }

    #[test]
    fn patterns_are_those_of_gitignore() {
        let patterns = patterns("# secrets\n.env\n*.local\n!keep.local\n/top.txt\ncache/\nconfig/dev/*.yml\n{a,b}\n");
        for (path, is_dir, meant) in [
            (".env", false, true),
            ("packages/a/.env", false, true),
            ("a.local", false, true),
            ("keep.local", false, false),
            ("top.txt", false, true),
            ("sub/top.txt", false, false),
            ("cache", true, true),
            ("cache", false, false),
            ("cache/in/it", false, true),
            ("config/dev/a.yml", false, true),
            ("config/prod/a.yml", false, false),
            ("{a,b}", false, true),
            ("a", false, false),
        ] {
            assert_eq!(patterns.mean(Path::new(path), is_dir), meant, "{path}");
        }
        assert!(Patterns::of("# only a comment\n\n".lines(), &mut Notes::default()).is_none());
    }

    #[test]
    fn a_directory_is_looked_into_only_for_what_names_a_path_below_it() {
        for (line, dir, reaches) in [
            (".env", "node_modules", false),
            ("**/.env", "node_modules", false),
            ("node_modules/a/.env", "node_modules", true),
            ("/node_modules/a/.env", "node_modules/a", true),
            ("node_modules/a/.env", "node_modules/b", false),
            ("node_modules/**/x", "node_modules/b/c", true),
            ("*/cache/x", "node_modules", true),
            ("target/", "target", false),
            ("target", "target", false),
            ("a/b", "a/b", false),
        ] {
            assert_eq!(patterns(line).reach_into(Path::new(dir)), reaches, "{line} in {dir}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_a_note() {
        let mut notes = Notes::default();
        let patterns = Patterns::of(["[z-a]", ".env"].into_iter(), &mut notes).unwrap();
        assert!(patterns.mean(Path::new(".env"), false));
        let notes = notes.into_lines();
        assert!(
            notes.len() == 1 && notes[0].contains("cannot be understood: [z-a]"),
            "{notes:?}"
        );
    }
}
