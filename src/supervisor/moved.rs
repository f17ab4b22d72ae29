//! Tells of branches and tags that moved while agents ran: from where to where, and how to go back.
//!
//! Who moved a ref cannot be known, and a user who works on the base branch moves it too. Only where commits of a task
//! came onto it is it said whose they are.

use super::act::Shared;
use super::decide::Input;
use super::keeping::locked;
use crate::session::Site;
use crate::words::quote;
use crate::worktree::naming::short;
use crate::worktree::{Move, MoveKind, RefWatch, Target, Workshop};

/// How many are told one by one.
const MOST_TOLD: usize = 10;

impl Shared {
    /// Remembers what the refs are before any agent runs.
    pub(super) fn remember_refs(&self) {
        let Some((shop, repository)) = self.shop.as_ref().zip(self.spec.repository.as_ref()) else {
            return;
        };
        match RefWatch::new(shop, repository.base.branch.as_deref()) {
            Ok(watch) => *locked(&self.refs) = Some(watch),
            Err(e) => self.tell(Input::Warning(format!("refs that agents move are not told: {e}"))),
        }
    }

    /// Tells of all that have moved since the last look, and gives what is to be noted of the task whose commits are on
    /// them now.
    pub(super) fn moved_refs(&self, shop: &Workshop, site: &Site) -> Vec<String> {
        let mut refs = locked(&self.refs);
        let Some(watch) = refs.as_mut() else { return Vec::new() };
        match watch.look(shop) {
            Ok(moves) => {
                for text in moves.iter().take(MOST_TOLD).map(told) {
                    self.tell(Input::Warning(text));
                }
                let more = moves.len().saturating_sub(MOST_TOLD);
                if more > 0 {
                    self.tell(Input::Warning(format!(
                        "{more} more branches and tags have moved; what they were is kept: pleach recover {}",
                        short(shop.session)
                    )));
                }
            }
            Err(e) => self.tell(Input::Warning(format!("refs could not be compared: {e}"))),
        }
        match watch.with_commits_of(shop, site) {
            Ok(moves) => moves.into_iter().map(noted).collect(),
            Err(e) => vec![format!("its commits could not be looked for on other branches: {e}")],
        }
    }
}

/// What the user is told of a ref that moved.
fn told(moved: &Move) -> String {
    let (what, from) = (name(moved), brief(&moved.from));
    let undo = undo(moved);
    let happened = match (moved.kind, &moved.to) {
        (MoveKind::Forward, Some(to)) => format!("has moved on from {from} to {}", brief(to)),
        (MoveKind::Rewritten, Some(to)) => format!("was at {from} and is at {}, which does not contain it", brief(to)),
        (MoveKind::Symbolic, Some(to)) => format!("was {from} and is {} now", brief(to)),
        (_, _) => format!("was at {from} and is gone"),
    };
    let kept = match (&moved.kept, &moved.lost) {
        (Some(kept), _) => format!("; that is kept as {kept}"),
        (None, Some(why)) => format!("; that could not be kept ({why})"),
        (None, None) => String::new(),
    };
    format!("{what} {happened}{kept}; if that was not meant: {undo}")
}

/// What is noted of the task whose commits are on it now.
fn noted(moved: &Move) -> String {
    let to = moved.to.as_ref().map(brief).unwrap_or_default();
    format!(
        "the agent's commits are on {} now, which went from {} to {to}; if that was not meant: {}",
        name(moved),
        brief(&moved.from),
        undo(moved)
    )
}

fn name(moved: &Move) -> String {
    match moved.name.strip_prefix("refs/heads/") {
        Some(branch) => format!("the branch {branch}"),
        None => format!("the tag {}", moved.name.trim_start_matches("refs/tags/")),
    }
}

fn brief(target: &Target) -> String {
    match target {
        Target::Object(id) => id.to_string().chars().take(10).collect(),
        Target::Symbolic(other) => format!("another name of {other}"),
    }
}

/// The command that puts a ref back, as a shell takes it. It does nothing when the ref has moved again since.
fn undo(moved: &Move) -> String {
    let full = quote(&moved.name);
    match (&moved.from, &moved.to) {
        (Target::Symbolic(other), _) => format!("git symbolic-ref {full} {}", quote(other)),
        (Target::Object(old), Some(Target::Object(new))) => format!("git update-ref {full} {old} {new}"),
        (Target::Object(old), Some(Target::Symbolic(_))) => format!("git update-ref --no-deref {full} {old}"),
        (Target::Object(old), None) => match moved.name.strip_prefix("refs/heads/") {
            Some(branch) if !branch.starts_with('-') => format!("git branch {} {old}", quote(branch)),
            _ => format!("git update-ref {full} {old}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_with_the_command_that_undoes_it() {
        let object = |digit: &str| Target::Object(digit.repeat(40).parse().unwrap());
        let main = || Target::Symbolic("refs/heads/main".into());
        let (old, new) = ("1".repeat(40), "2".repeat(40));
        let cases = [
            (
                MoveKind::Forward,
                "refs/heads/main",
                object("1"),
                Some(object("2")),
                "the branch main has moved on from 1111111111 to 2222222222; if that was not meant: ",
                format!("git update-ref refs/heads/main {old} {new}"),
            ),
            (
                MoveKind::Rewritten,
                "refs/heads/a'b",
                object("1"),
                Some(object("2")),
                "the branch a'b was at 1111111111 and is at 2222222222, which does not contain it; if that was not meant: ",
                format!("git update-ref \"refs/heads/a'b\" {old} {new}"),
            ),
            (
                MoveKind::Deleted,
                "refs/heads/x",
                object("1"),
                None,
                "the branch x was at 1111111111 and is gone; if that was not meant: ",
                format!("git branch x {old}"),
            ),
            (
                MoveKind::Deleted,
                "refs/tags/v1",
                object("1"),
                None,
                "the tag v1 was at 1111111111 and is gone; if that was not meant: ",
                format!("git update-ref refs/tags/v1 {old}"),
            ),
            (
                MoveKind::Symbolic,
                "refs/heads/x",
                object("1"),
                Some(main()),
                "the branch x was 1111111111 and is another name of refs/heads/main now; if that was not meant: ",
                format!("git update-ref --no-deref refs/heads/x {old}"),
            ),
            (
                MoveKind::Symbolic,
                "refs/heads/x",
                main(),
                Some(object("1")),
                "the branch x was another name of refs/heads/main and is 1111111111 now; if that was not meant: ",
                "git symbolic-ref refs/heads/x refs/heads/main".into(),
            ),
        ];
        for (kind, name, from, to, text, undo) in cases {
            let moved = Move {
                name: name.into(),
                from,
                to,
                kind,
                kept: None,
                lost: None,
            };
            assert_eq!(told(&moved), format!("{text}{undo}"));
        }
    }
}
