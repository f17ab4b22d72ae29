//! Asks git what merges give: only git itself predicts git.
//!
//! Many are asked for at once: a process of `git merge-tree` for each core takes them in batches. Everything that is made
//! on the way goes to a temporary object directory with the repository as its alternate, so that the repository gains
//! nothing. Attributes are read from the first parent, as `git merge` in a clean checkout of it reads them; first
//! parents whose `.gitattributes` are the same everywhere share a process. git also reads those that come of the merge
//! where `merge.renormalize` is set, but not if it is told from which commit: then they lie in a work tree.

mod asking;

use std::collections::HashMap;
use std::fs::{create_dir_all, write};
use std::num::NonZero;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Builder};

use git2::{Oid, Repository, Signature, Time};
use schemars::JsonSchema;
use serde::Serialize;

pub(super) use asking::Asking;
use asking::incomplete;

use super::answers::Answer;
use super::names::Names;
use super::plan::PlanError;
use super::scratch::Scratch;
use super::trees::{self, Entry};
use crate::git::{Drivers, Git, GitError, without_foreign};

/// The most merges that one process makes: its memory grows with each.
const MOST: usize = 256;
/// Fewer are not worth another process.
const FEWEST: usize = 8;

/// One path in which a merge conflicts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Conflict {
    /// As `git merge` leaves it in the checkout.
    pub path: String,
    /// The kind of conflict, in git's own words, such as `content` or `modify/delete`.
    pub kind: String,
}

/// A merge that is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    /// The commit that is merged into; attributes are read from it.
    pub ours: Oid,
    /// The commit that is merged.
    pub theirs: Oid,
    /// What would be typed for it: git puts it into the names of paths that it cannot take.
    pub name: &'a str,
    /// The branch that is in `ours` and not in the target, when there is just one: only to say what failed.
    pub after: Option<&'a str>,
}

/// What merging two commits gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Merged {
    /// This tree.
    Clean(Oid),
    /// Conflicts, and the tree with their markers in it.
    Conflicts {
        /// The tree.
        tree: Oid,
        /// Where, in the order of the paths.
        paths: Vec<Conflict>,
    },
}

/// Merges that leave no trace.
pub(super) struct Engine {
    asking: Asking,
    repository: Repository,
    scratch: Scratch,
    plain: bool,
}

/// Merges for one process, by their places among all that are asked for.
struct Batch {
    /// The commit whose attributes are those of all first parents.
    attributes: Oid,
    places: Vec<usize>,
}

impl Engine {
    /// Drivers that are not `known` are not used; their settings are returned.
    pub(super) fn new(common_dir: &Path, known: &Drivers) -> Result<(Self, Vec<String>), GitError> {
        let scratch = Scratch::new().map_err(GitError::io("cannot make a directory for temporary objects"))?;
        make_object_directory(common_dir, scratch.path())?;
        let repository = open(common_dir, scratch.path())?;
        // Drivers have their files in the work tree.
        let work_tree = scratch.path().join("work-tree");
        create_dir_all(&work_tree).map_err(GitError::io("cannot make a directory for temporary files"))?;
        let git = Git::in_work_tree(common_dir, work_tree);
        let git = git.with_variable("GIT_OBJECT_DIRECTORY", scratch.path().join("objects"));
        // What is soon thrown away need be neither small nor durable.
        let git = git.with_configuration(["core.looseCompression=0".to_owned(), "core.fsync=none".to_owned()]);
        // Nothing is fetched either: a planted remote could name any command for that.
        let git = git
            .with_variable("GIT_NO_LAZY_FETCH", "1")
            .with_variable("GIT_ALLOW_PROTOCOL", "none");
        let (git, foreign) = without_foreign(git, known)?;
        let engine = Self {
            asking: Asking::new(git, scratch.path())?,
            plain: is_plain(&repository),
            repository,
            scratch,
        };
        Ok((engine, foreign))
    }

    /// The repository, with all that was made on the way.
    pub(super) fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The git that is asked.
    pub(super) fn git(&self) -> &Git {
        &self.asking.git
    }

    /// Whether libgit2 sees the history and the trees that git sees, which takes others in their place if it is told to.
    pub(super) fn is_plain(&self) -> bool {
        self.plain
    }

    /// What `git merge name` gives in a clean checkout of `ours`, when `name` stands for `theirs`.
    pub(super) fn merge(&self, ask: Ask) -> Result<Merged, PlanError> {
        let answer = self.asking.one(ask).map_err(|e| ask.failed(e))?;
        self.merged(ask, answer)
    }

    /// The tree when all files are merged as text: no attribute drops what one side has changed, and no driver. None when
    /// that conflicts, or cannot be had.
    pub(super) fn as_text(&self, ask: Ask) -> Result<Option<Oid>, PlanError> {
        let git = self.git().clone().with_configuration([
            "core.attributesFile=/dev/null".to_owned(),
            "merge.default=text".to_owned(),
        ]);
        let Ok((git, _)) = without_foreign(git, &Drivers::new()) else {
            return Ok(None);
        };
        let nothing = self.repository.treebuilder(None).and_then(|empty| empty.write());
        let nothing = nothing.map_err(GitError::libgit2("cannot write an empty tree"))?;
        let answer = self.asking.otherwise(&git, nothing, ask);
        let answer = answer.map_err(|e| ask.failed(e))?;
        Ok(answer.conflicts.is_none().then_some(answer.tree))
    }

    /// What [`Self::merge`] gives, for each of these.
    pub(super) fn merges(&self, asked: &[Ask]) -> Result<Vec<Merged>, PlanError> {
        self.ask(asked, None)
    }

    /// The same, but the trees are not kept: thousands of merges leave no more than a few do.
    pub(super) fn merges_without_trees(&self, asked: &[Ask]) -> Result<Vec<Merged>, PlanError> {
        self.ask(asked, Some(self.scratch.path()))
    }

    fn ask(&self, asked: &[Ask], thrown_away_in: Option<&Path>) -> Result<Vec<Merged>, PlanError> {
        let processes = thread::available_parallelism().map_or(1, NonZero::get);
        let batches = self.batches(asked, processes)?;
        let extra = processes.min(batches.len()).saturating_sub(1);
        let (asking, waiting) = (&self.asking, Mutex::new(batches));
        let done = Mutex::new(Vec::new());
        let work = || {
            loop {
                let Some(batch) = lock(&waiting).pop() else {
                    return;
                };
                let answers = asking.answers_of(asked, &batch, thrown_away_in);
                lock(&done).push((batch.places, answers));
            }
        };
        thread::scope(|scope| {
            for _ in 0..extra {
                // Without a thread all is done in this one.
                let _ = Builder::new().spawn_scoped(scope, work);
            }
            work();
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_unstable_by_key(|(places, _)| places.first().copied());
        let mut merged = vec![None; asked.len()];
        for (places, answers) in done {
            for (place, answer) in places.into_iter().zip(answers?) {
                merged[place] = Some(self.merged(asked[place], answer)?);
            }
        }
        let whole = |(ask, merged): (&Ask, Option<Merged>)| merged.ok_or_else(|| ask.failed(incomplete()));
        asked.iter().zip(merged).map(whole).collect()
    }

    /// Merges for one process each: of first parents with the same attributes, and so few that there is work for all
    /// processes.
    fn batches(&self, asked: &[Ask], processes: usize) -> Result<Vec<Batch>, GitError> {
        let most = asked.len().div_ceil(processes).clamp(FEWEST, MOST);
        let mut parents: HashMap<Oid, usize> = HashMap::new();
        let mut known: HashMap<Vec<AttributeFile>, usize> = HashMap::new();
        let mut groups: Vec<Batch> = Vec::new();
        for (place, ask) in asked.iter().enumerate() {
            let group = match parents.get(&ask.ours) {
                Some(group) => *group,
                None => {
                    let unlike = groups.len();
                    let group = match self.plain {
                        true => *known.entry(self.attributes(asked[0].ours, ask.ours)?).or_insert(unlike),
                        false => unlike,
                    };
                    if group == unlike {
                        groups.push(Batch {
                            attributes: ask.ours,
                            places: Vec::new(),
                        });
                    }
                    parents.insert(ask.ours, group);
                    group
                }
            };
            groups[group].places.push(place);
        }
        let split = |group: &Batch| -> Vec<Batch> {
            let part = |places: &[usize]| Batch {
                attributes: group.attributes,
                places: places.to_vec(),
            };
            group.places.chunks(most).map(part).collect()
        };
        Ok(groups.iter().flat_map(split).collect())
    }

    /// What tells the attributes in a commit from those in another one: its files of attributes that are not the same.
    fn attributes(&self, other: Oid, commit: Oid) -> Result<Vec<AttributeFile>, GitError> {
        let changed = trees::changed(&self.repository, other, commit)?.entries.into_iter();
        let mut files: Vec<AttributeFile> = changed
            .filter(|(path, ..)| trees::is_attributes(path))
            .map(|(path, _, new)| (path, new))
            .collect();
        files.sort_unstable();
        Ok(files)
    }

    /// The answer as `git merge` would have given it.
    fn merged(&self, ask: Ask, answer: Answer) -> Result<Merged, PlanError> {
        let Some(conflicts) = answer.conflicts else {
            return Ok(Merged::Clean(answer.tree));
        };
        let mut names = Names::new(self, ask);
        let mut paths = Vec::new();
        for (path, kind) in conflicts {
            let path = names.of(&path)?;
            paths.push(Conflict { path, kind });
        }
        paths.sort_unstable();
        Ok(Merged::Conflicts {
            tree: answer.tree,
            paths,
        })
    }

    /// A commit of what was merged, for the next merge to start from. `date` is in Unix seconds.
    pub(super) fn commit(&self, tree: Oid, parents: &[Oid], date: i64) -> Result<Oid, GitError> {
        let write = || {
            let who = Signature::new("pleach", "pleach@localhost", &Time::new(date, 0))?;
            let parents: Vec<_> = parents
                .iter()
                .map(|id| self.repository.find_commit(*id))
                .collect::<Result<_, _>>()?;
            let parents: Vec<_> = parents.iter().collect();
            let tree = self.repository.find_tree(tree)?;
            self.repository.commit(None, &who, &who, "predicted", &tree, &parents)
        };
        write().map_err(GitError::libgit2("cannot write a predicted commit"))
    }
}

/// A file of attributes, and what is in it, unless it is gone.
type AttributeFile = (Vec<u8>, Option<Entry>);

impl Ask<'_> {
    fn failed(&self, source: GitError) -> PlanError {
        PlanError::NoAnswer {
            branch: self.name.to_owned(),
            after: self.after.map(str::to_owned),
            source: Box::new(source),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes `scratch` a repository with an object directory for all that is new, whose alternate is that of `common_dir`.
fn make_object_directory(common_dir: &Path, scratch: &Path) -> Result<(), GitError> {
    let unmade = "cannot make a directory for temporary objects";
    Repository::init_bare(scratch).map_err(GitError::libgit2(unmade))?;
    // A link, because the list of alternates takes no path with a line break, and libgit2 none that is not UTF-8.
    symlink(common_dir.join("objects"), scratch.join("alternate")).map_err(GitError::io(unmade))?;
    let alternates = scratch.join("objects/info/alternates");
    write(alternates, "../alternate\n").map_err(GitError::io(unmade))
}

/// The repository, with its new objects in `scratch`.
fn open(common_dir: &Path, scratch: &Path) -> Result<Repository, GitError> {
    let open = || -> Result<Repository, git2::Error> {
        let repository = Repository::open(common_dir)?;
        repository.set_odb(&Repository::open_bare(scratch)?.odb()?)?;
        Ok(repository)
    };
    open().map_err(GitError::libgit2("cannot open the repository"))
}

/// Whether no commit has other parents, and no object stands for another one, than is written in it.
fn is_plain(repository: &Repository) -> bool {
    let replaced = repository
        .references_glob("refs/replace/*")
        .map(|mut r| r.next().is_some());
    let heeds = repository
        .config()
        .and_then(|c| c.get_bool("core.useReplaceRefs"))
        .unwrap_or(true);
    let grafts = repository.commondir().join("info/grafts");
    let is_replaced = heeds && replaced.unwrap_or(true);
    !is_replaced && !repository.is_shallow() && !grafts.exists()
}

#[cfg(test)]
mod tests;
