//! Reads what `git merge-tree --stdin` prints, and says of which kind the conflict in each path is. Pure.
//!
//! An answer is the status, the tree, and, of a merge with conflicts, each stage of each unmerged path, an empty field,
//! and messages: how many paths they are about, these, a type that is the same in all versions, and a text. It ends
//! with an empty field, or, for submodules, with advice of many lines in it.

use git2::Oid;

/// What git says of one merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The tree of what was merged.
    pub tree: Oid,
    /// Where it conflicts and how, in the order of the paths; nothing when it is clean.
    pub conflicts: Option<Vec<(Vec<u8>, String)>>,
}

/// A path that is not merged, and which of base, ours and theirs (1, 2, 3) it has.
#[derive(Debug)]
struct Unmerged<'o> {
    path: &'o [u8],
    stages: Vec<u8>,
    submodule: bool,
}

/// What git says about paths.
#[derive(Debug)]
struct Message<'o> {
    paths: Vec<&'o [u8]>,
    /// Without "CONFLICT" and what is around it.
    kind: &'o str,
}

/// The answers; none when they are not whole.
pub(super) fn read(output: &[u8]) -> Option<Vec<Answer>> {
    let mut fields = output.strip_suffix(b"\0").map(|o| o.split(|&b| b == 0))?;
    let mut answers = Vec::new();
    while let Some(status) = fields.next() {
        let tree = Oid::from_str(std::str::from_utf8(fields.next()?).ok()?).ok()?;
        let conflicts = match status {
            b"1" => {
                fields.next().filter(|f| f.is_empty())?;
                None
            }
            b"0" => {
                let (unmerged, messages) = (unmerged(&mut fields)?, messages(&mut fields)?);
                Some(with_kinds(&unmerged, &messages))
            }
            _ => return None,
        };
        answers.push(Answer { tree, conflicts });
    }
    Some(answers)
}

fn unmerged<'o>(fields: &mut impl Iterator<Item = &'o [u8]>) -> Option<Vec<Unmerged<'o>>> {
    let mut unmerged: Vec<Unmerged> = Vec::new();
    loop {
        let field = fields.next()?;
        if field.is_empty() {
            return Some(unmerged);
        }
        // `<mode> <object> <stage>\t<path>`
        let tab = field.iter().position(|&b| b == b'\t')?;
        let (about, path) = (&field[..tab], &field[tab + 1..]);
        let stage = *about.last()?;
        let submodule = about.starts_with(b"160000 ");
        match unmerged.last_mut() {
            Some(last) if last.path == path => {
                last.stages.push(stage);
                last.submodule |= submodule;
            }
            _ => unmerged.push(Unmerged {
                path,
                stages: vec![stage],
                submodule,
            }),
        }
    }
}

fn messages<'o>(fields: &mut impl Iterator<Item = &'o [u8]>) -> Option<Vec<Message<'o>>> {
    let mut messages = Vec::new();
    loop {
        let Ok(paths) = std::str::from_utf8(fields.next()?).unwrap_or_default().parse() else {
            return Some(messages);
        };
        let paths: Vec<&[u8]> = (0..paths).map(|_| fields.next()).collect::<Option<_>>()?;
        let kind = std::str::from_utf8(fields.next()?).ok()?;
        fields.next()?;
        // Older versions write `CONFLICT(...)` too. What is no conflict is only told.
        let kind = kind.strip_prefix("CONFLICT").map(|k| k.trim_start());
        if let Some(kind) = kind.and_then(|k| k.strip_prefix('(')?.strip_suffix(')')) {
            messages.push(Message { paths, kind });
        }
    }
}

/// The kind of each path that is not merged. Where all paths are merged, as when a directory was renamed to several, a
/// conflict is in the path that git names first.
fn with_kinds(unmerged: &[Unmerged], messages: &[Message]) -> Vec<(Vec<u8>, String)> {
    let mut found: Vec<(Vec<u8>, String)> = unmerged
        .iter()
        .map(|one| (one.path.to_vec(), one.kind(messages).to_owned()))
        .collect();
    let only_told: &[Message] = if unmerged.is_empty() { messages } else { &[] };
    for message in only_told {
        let named = |(path, _): &(Vec<u8>, String)| message.paths.contains(&path.as_slice());
        if !found.iter().any(named)
            && let Some(path) = message.paths.first()
        {
            found.push((path.to_vec(), spoken(message.kind).to_owned()));
        }
    }
    found.sort_unstable();
    found
}

impl Unmerged<'_> {
    fn kind<'a>(&self, messages: &[Message<'a>]) -> &'a str {
        // Of a path that is content or deleted as well, what else is said of it tells more.
        let rank = |kind: &str| match kind {
            "contents" => 2,
            "modify/delete" => 1,
            _ => 0,
        };
        let about = messages.iter().filter(|m| m.paths.contains(&self.path));
        match about.map(|m| m.kind).min_by_key(|kind| rank(kind)) {
            Some("contents") | None => self.by_stages(),
            Some(kind) => spoken(kind),
        }
    }

    /// What git writes about a path whose content it has not merged.
    fn by_stages(&self) -> &'static str {
        match self.stages.as_slice() {
            _ if self.submodule => "submodule",
            b"23" => "add/add",
            b"12" | b"13" => "modify/delete",
            _ => "content",
        }
    }
}

/// The kind as `git merge` prints it: its types have words of their own.
fn spoken(kind: &str) -> &str {
    match kind {
        "contents" => "content",
        "distinct modes" => "distinct types",
        "directory rename suggested" => "file location",
        "file in way of directory rename" | "directory rename collision" => "implicit dir rename",
        "directory rename unclear split" => "directory rename split",
        _ if kind.starts_with("submodule") => "submodule",
        _ => kind,
    }
}

/// The paths of one merge that conflict, and of which no message says how.
#[cfg(test)]
pub(super) fn unsaid(output: &[u8]) -> Vec<String> {
    let mut fields = output.split(|&b| b == 0).skip(2);
    let unmerged = unmerged(&mut fields).expect("paths");
    let messages = messages(&mut fields).expect("messages");
    let said = |one: &Unmerged| messages.iter().any(|m| m.paths.contains(&one.path));
    let paths = unmerged.iter().filter(|one| !said(one));
    paths
        .map(|one| String::from_utf8_lossy(one.path).into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "34cc65700b7944d50f6e15cca0d11dd429674859";

    fn stage(number: u8, path: &str) -> String {
        format!("100644 {TREE} {number}\t{path}\0")
    }

    #[track_caller]
    fn kinds(stages: &str, messages: &str, expected: &[(&str, &str)]) {
        let output = format!("0\0{TREE}\0{stages}\0{messages}\x001\0{TREE}\0\0");
        let answers = read(output.as_bytes()).expect("whole answers");
        assert_eq!(answers.len(), 2, "{answers:?}");
        assert_eq!(answers[1].conflicts, None);
        let found = answers[0].conflicts.as_ref().expect("conflicts");
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(path, kind)| (std::str::from_utf8(path).unwrap(), kind.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    fn message(paths: &[&str], kind: &str) -> String {
        format!("{}\0{}\0{kind}\0any text\n\0", paths.len(), paths.join("\0"))
    }

    #[test]
    fn each_path_has_the_kind_that_tells_most() {
        let three = stage(1, "f") + &stage(2, "f") + &stage(3, "f");
        let content = message(&["f"], "Auto-merging") + &message(&["f"], "CONFLICT (contents)");
        kinds(&three, &content, &[("f", "content")]);
        kinds(
            &(stage(2, "f") + &stage(3, "f")),
            &message(&["f"], "CONFLICT (contents)"),
            &[("f", "add/add")],
        );
        kinds(
            &three,
            &(content.clone() + &message(&["f"], "CONFLICT (binary)")),
            &[("f", "binary")],
        );
        kinds(
            &(stage(1, "o") + &stage(2, "p")),
            &(message(&["p"], "CONFLICT (modify/delete)") + &message(&["p", "o"], "CONFLICT (rename/delete)")),
            &[("o", "rename/delete"), ("p", "rename/delete")],
        );
        kinds(
            "",
            &message(&["d"], "CONFLICT(directory rename unclear split)"),
            &[("d", "directory rename split")],
        );
        // The advice about submodules ends the answer.
        kinds(
            &three.replace("100644", "160000"),
            &(message(&["f"], "CONFLICT (contents)") + "Recursive merging with submodules\n - go to f\n"),
            &[("f", "submodule")],
        );
    }

    #[test]
    fn an_answer_that_is_not_whole_is_none() {
        let whole = format!(
            "0\0{TREE}\0{}\0{}\0",
            stage(1, "f"),
            message(&["f"], "CONFLICT (binary)")
        );
        assert!(read(whole.as_bytes()).is_some());
        for cut in 1..whole.len() {
            assert_eq!(read(&whole.as_bytes()[..cut]), None, "{cut}");
        }
        assert_eq!(read(format!("-1\0{TREE}\0\0").as_bytes()), None);
        assert_eq!(read(b"garbage"), None);
    }
}
