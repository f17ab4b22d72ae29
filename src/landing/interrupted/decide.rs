//! Decides what became of a move that was cut off, from what is there now. Pure.

use std::path::PathBuf;

/// Where the target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TargetAt {
    /// Where it came from.
    From,
    /// Where it was to go.
    To,
    /// Somewhere else; whether that is what it leads to when the move was made before.
    Elsewhere { after: bool },
}

/// Which commit the index has, of the paths that differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Index {
    From,
    To,
    Neither,
}

/// What a file is that differs between the two commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileIs {
    /// As where it came from.
    From,
    /// As where it was to go.
    To,
    /// Gone, or the beginning of what it was to be: git was writing it.
    Begun,
    /// Something else.
    Other,
}

/// The index's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LockIs {
    /// There is none.
    Free,
    /// As a git leaves it that was killed while it wrote files: nothing is in it, and nobody has it open.
    Left,
    /// Somebody may be at work under it.
    Held,
}

/// The checkout that was to be updated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    /// Whether the target is still checked out there.
    pub on_target: bool,
    pub lock: LockIs,
    pub index: Index,
    /// The paths that differ.
    pub paths: Vec<(PathBuf, FileIs)>,
    /// Those of them that are not as its HEAD has them.
    pub dirty: Vec<PathBuf>,
}

/// What is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub target: TargetAt,
    /// None when no checkout was to be updated, or it is gone.
    pub files: Option<Files>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It was made.
    Done,
    /// Nothing has moved.
    NotDone,
    /// Only the target is missing: it is to be moved.
    Finish,
    /// These files are to be put back.
    PutBack(Vec<PathBuf>),
    /// Only the user can tell what these files are to be.
    Stuck(Vec<PathBuf>),
    /// Somebody may be at work on the index.
    Locked,
}

/// Decides.
pub(super) fn decide(seen: &Seen) -> Decision {
    let by_target = match seen.target {
        TargetAt::To | TargetAt::Elsewhere { after: true } => Decision::Done,
        TargetAt::From | TargetAt::Elsewhere { after: false } => Decision::NotDone,
    };
    let Some(files) = &seen.files else {
        return by_target;
    };
    match seen.target {
        TargetAt::To => Decision::Done,
        TargetAt::From if files.on_target => of_files(files),
        // The user has gone on: only what git wrote and nobody took up is left to be told of.
        _ => {
            let written = |path: &PathBuf| files.paths.iter().any(|(p, is)| p == path && *is == FileIs::To);
            let left: Vec<PathBuf> = files.dirty.iter().filter(|path| written(path)).cloned().collect();
            if left.is_empty() {
                by_target
            } else {
                Decision::Stuck(left)
            }
        }
    }
}

/// The target has not moved, and is checked out.
fn of_files(files: &Files) -> Decision {
    let those = |wanted: &[FileIs]| -> Vec<PathBuf> {
        let found = files.paths.iter().filter(|(_, is)| wanted.contains(is));
        found.map(|(path, _)| path.clone()).collect()
    };
    let (written, begun, other) = (those(&[FileIs::To]), those(&[FileIs::Begun]), those(&[FileIs::Other]));
    // git takes its lock away when it fails by itself, on a full disk too; what the user takes out of the index is his.
    let touched =
        !written.is_empty() || !begun.is_empty() && (files.lock != LockIs::Free || files.index == Index::From);
    match files.index {
        Index::To if files.lock != LockIs::Free => Decision::Locked,
        Index::To if written.len() == files.paths.len() => Decision::Finish,
        Index::To => Decision::Stuck(those(&[FileIs::From, FileIs::Begun, FileIs::Other])),
        _ if !touched => Decision::NotDone,
        _ if files.lock == LockIs::Held => Decision::Locked,
        Index::Neither => Decision::Stuck(those(&[FileIs::To, FileIs::Begun, FileIs::Other])),
        Index::From if !other.is_empty() => Decision::Stuck(other),
        Index::From => Decision::PutBack(those(&[FileIs::To, FileIs::Begun])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    fn files(index: Index, lock: LockIs, states: &[FileIs]) -> Files {
        Files {
            on_target: true,
            lock,
            index,
            paths: ["a", "b", "c"]
                .map(PathBuf::from)
                .into_iter()
                .zip(states.iter().copied())
                .collect(),
            dirty: Vec::new(),
        }
    }

    #[test]
    fn without_a_checkout_the_target_tells() {
        for (target, expected) in [
            (TargetAt::From, Decision::NotDone),
            (TargetAt::To, Decision::Done),
            (TargetAt::Elsewhere { after: true }, Decision::Done),
            (TargetAt::Elsewhere { after: false }, Decision::NotDone),
        ] {
            assert_eq!(decide(&Seen { target, files: None }), expected, "{target:?}");
        }
    }

    #[test]
    fn with_the_target_where_it_was_the_checkout_tells() {
        use FileIs::{Begun, From, Other, To};
        use LockIs::{Free, Held, Left};
        let stuck = |names| Decision::Stuck(paths(names));
        for (index, lock, states, expected) in [
            // Nothing has moved; what the user has done since is no matter.
            (Index::From, Free, &[From, From][..], Decision::NotDone),
            (Index::From, Held, &[From, From], Decision::NotDone),
            (Index::From, Free, &[From, Other], Decision::NotDone),
            (Index::Neither, Free, &[Other, From], Decision::NotDone),
            (Index::Neither, Free, &[Begun, From], Decision::NotDone),
            // Files were being written.
            (Index::From, Left, &[To, From], Decision::PutBack(paths(&["a"]))),
            (Index::From, Free, &[To, From], Decision::PutBack(paths(&["a"]))),
            (Index::From, Left, &[Begun, From], Decision::PutBack(paths(&["a"]))),
            (Index::From, Free, &[Begun, From], Decision::PutBack(paths(&["a"]))),
            (
                Index::From,
                Left,
                &[To, Begun, From],
                Decision::PutBack(paths(&["a", "b"])),
            ),
            (Index::From, Left, &[To, To], Decision::PutBack(paths(&["a", "b"]))),
            (Index::From, Left, &[To, Other], stuck(&["b"])),
            (Index::Neither, Free, &[To, From], stuck(&["a"])),
            (Index::From, Held, &[To, From], Decision::Locked),
            // All but the target.
            (Index::To, Free, &[To, To], Decision::Finish),
            (Index::To, Held, &[To, To], Decision::Locked),
            (Index::To, Left, &[To, To], Decision::Locked),
            (Index::To, Free, &[To, Other], stuck(&["b"])),
            (Index::To, Free, &[From, To], stuck(&["a"])),
        ] {
            let files = files(index, lock, states);
            let what = format!("{files:?}");
            let seen = Seen {
                target: TargetAt::From,
                files: Some(files),
            };
            assert_eq!(decide(&seen), expected, "{what}");
        }
    }

    #[test]
    fn where_the_user_has_gone_on_only_what_git_wrote_is_told_of() {
        for (target, on_target, dirty, expected) in [
            (TargetAt::Elsewhere { after: true }, true, &[][..], Decision::Done),
            (TargetAt::Elsewhere { after: false }, true, &["b"], Decision::NotDone),
            (
                TargetAt::Elsewhere { after: false },
                true,
                &["a", "b"],
                Decision::Stuck(paths(&["a"])),
            ),
            (TargetAt::From, false, &[], Decision::NotDone),
            (TargetAt::From, false, &["a"], Decision::Stuck(paths(&["a"]))),
            (TargetAt::To, false, &["a"], Decision::Done),
        ] {
            let files = Files {
                on_target,
                dirty: paths(dirty),
                ..files(Index::Neither, LockIs::Free, &[FileIs::To, FileIs::Other])
            };
            let what = format!("{target:?} {files:?}");
            assert_eq!(
                decide(&Seen {
                    target,
                    files: Some(files)
                }),
                expected,
                "{what}"
            );
        }
    }
}
