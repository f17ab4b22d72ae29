//! Decides what goes: pure, from what was seen and what was asked for.

use std::time::Duration;

use super::age::Time;
use super::survey::{BranchFacts, SessionFacts, SessionStanding, Survey, TaskFacts, WorktreeFacts};
use super::{Fate, Ignored, Item, Request, Scope, Thing};
use crate::task::TaskId;
use crate::words::count;
use crate::worktree::naming::short;

/// What is to go and what stays. Only a decision from what was seen makes one.
#[derive(Debug)]
pub struct Plan {
    request: Request,
    items: Vec<Item>,
}

impl Plan {
    /// Decides.
    pub fn of(survey: &Survey, request: Request, now_ms: u64) -> Self {
        let mut items: Vec<Item> = (survey.sessions.iter())
            .flat_map(|session| of_session(session, &request, now_ms))
            .collect();
        items.extend(survey.vanished.iter().filter_map(|vanished| {
            let (thing, fate) = lone_worktree(&vanished.task.id, &vanished.facts)?;
            Some(alone(thing, fate))
        }));
        items.extend(survey.lost.iter().map(|lost| {
            let why = "its session has no record any more";
            let fate = (lost.stays.clone()).map_or_else(|| Fate::Goes(why.into()), Fate::Stays);
            let (path, bytes) = (lost.notes.path.clone(), lost.notes.bytes);
            alone(Thing::Shared { path, bytes }, fate)
        }));
        items.extend(survey.trash.iter().filter_map(|trashed| {
            let fate = match trashed.time {
                Time::Over => Fate::Goes("its 24 hours in the trash are over".into()),
                _ if request.empty_trash => Fate::Goes("the trash is emptied".into()),
                Time::Unknown => Fate::Stays("its date is that of a clock that was wrong: 24 hours begin now".into()),
                Time::Runs => return None,
            };
            let (path, bytes) = (trashed.path.clone(), trashed.bytes);
            Some(alone(Thing::Trash { path, bytes }, fate))
        }));
        let half = survey.half_made.iter();
        let why = "what was at it was killed, and nothing needs it";
        items.extend(half.map(|path| alone(Thing::HalfMade(path.clone()), Fate::Goes(why.into()))));
        items.extend(survey.discarded.iter().filter_map(|(path, session, time)| {
            let fate = match time {
                Time::Over => Fate::Goes("it was discarded more than 7 days ago".into()),
                Time::Unknown => Fate::Stays("its date is that of a clock that was wrong: 7 days begin now".into()),
                Time::Runs => return None,
            };
            Some(Item {
                session: Some(*session),
                thing: Thing::Discarded(path.clone()),
                fate,
            })
        }));
        Self { request, items }
    }

    /// Only worktrees and branches of it.
    #[must_use]
    pub fn of_tasks(mut self) -> Self {
        let is_of_task = |thing: &Thing| matches!(thing, Thing::Worktree { .. } | Thing::Branch { .. });
        self.items.retain(|item| is_of_task(&item.thing));
        self
    }

    /// All of it, in the order in which it is carried out.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// What was asked for.
    pub(super) fn request(&self) -> &Request {
        &self.request
    }

    /// Whether nothing would go.
    pub fn is_idle(&self) -> bool {
        !self.items.iter().any(Item::goes)
    }
}

impl Item {
    /// Whether it is to go.
    pub fn goes(&self) -> bool {
        matches!(self.fate, Fate::Goes(_))
    }
}

/// One whose session has no record: nothing says that it is discarded, and its branch stays.
pub(super) fn lone_worktree(task: &TaskId, facts: &WorktreeFacts) -> Option<(Thing, Fate)> {
    let (path, head, ignored, fate) = match facts {
        WorktreeFacts::Gone => return None,
        WorktreeFacts::Clear { path, head, ignored } => {
            let why = "its session has no record any more, and all of it is committed";
            (path, *head, ignored.clone(), Fate::Goes(why.into()))
        }
        WorktreeFacts::Uncommitted { path, why } | WorktreeFacts::Stays { path, why } => {
            (path, None, Ignored::default(), Fate::Stays(why.clone()))
        }
    };
    let thing = Thing::Worktree {
        task: task.clone(),
        path: path.clone(),
        head,
        ignored,
    };
    Some((thing, fate))
}

fn alone(thing: Thing, fate: Fate) -> Item {
    Item {
        session: None,
        thing,
        fate,
    }
}

/// What becomes of one session. Of one that is not asked about, nothing is said.
pub(super) fn of_session(session: &SessionFacts, request: &Request, now_ms: u64) -> Vec<Item> {
    let id = short(session.id);
    let record = |fate| Item {
        session: Some(session.id),
        thing: Thing::Record(session.record.clone()),
        fate,
    };
    let named = match &request.scope {
        Scope::Nothing => return Vec::new(),
        Scope::Named(ids) if !ids.contains(&session.id) => return Vec::new(),
        Scope::Named(_) => true,
        Scope::All | Scope::Merged => false,
    };
    let ended_ms = match &session.standing {
        SessionStanding::Unreadable(why) => return vec![record(Fate::Stays(format!("it cannot be read: {why}")))],
        SessionStanding::AtWork => {
            return vec![record(Fate::Stays(format!("it is at work: pleach stop {id} ends it")))];
        }
        SessionStanding::Interrupted { .. } if !named => {
            let why = format!("it was interrupted: pleach resume {id} goes on with it, pleach clean {id} does not");
            return vec![record(Fate::Stays(why))];
        }
        SessionStanding::Interrupted { since_ms: at } | SessionStanding::Ended { at_ms: at } => *at,
    };
    if !request.older_than.is_none_or(|age| is_older(ended_ms, now_ms, age)) {
        return Vec::new();
    }
    let merged_only = request.merged || request.scope == Scope::Merged;
    let mut items = Vec::new();
    for task in &session.tasks {
        let item = |(thing, fate)| Item {
            session: Some(session.id),
            thing,
            fate,
        };
        let worktree = worktree(task, request, merged_only);
        let stays = matches!(worktree, Some((_, Fate::Stays(_))));
        items.extend(worktree.map(item));
        items.extend(branch(task, request, stays).map(item));
    }
    // What a session said and cost is worth keeping until somebody says otherwise.
    if request.scope != Scope::Merged {
        let item = record(record_fate(session, request, items.iter().any(|item| !item.goes())));
        let notes = session.notes.iter().filter(|_| item.goes()).map(|notes| Item {
            session: Some(session.id),
            thing: Thing::Shared {
                path: notes.path.clone(),
                bytes: notes.bytes,
            },
            fate: Fate::Goes("what its tasks left for each other goes with its record".into()),
        });
        let notes: Vec<Item> = notes.collect();
        items.push(item);
        items.extend(notes);
    }
    items
}

/// A date that is still to come says nothing of an age.
fn is_older(ended_ms: u64, now_ms: u64, age: Duration) -> bool {
    let since = now_ms.checked_sub(ended_ms).map(Duration::from_millis);
    since.is_some_and(|since| since >= age)
}

fn worktree(task: &TaskFacts, request: &Request, merged_only: bool) -> Option<(Thing, Fate)> {
    let thing = |path: &std::path::PathBuf| Thing::Worktree {
        task: task.id.clone(),
        path: path.clone(),
        head: None,
        ignored: Ignored::default(),
    };
    let stays = |path, why: &str| Some((thing(path), Fate::Stays(why.into())));
    let not_merged = match &task.branch {
        BranchFacts::Unmerged { name, .. } if merged_only => Some(format!("its branch {name} is not merged")),
        BranchFacts::Busy { name, why, .. } if merged_only => Some(format!("its branch {name} stays: {why}")),
        _ => None,
    };
    match &task.worktree {
        WorktreeFacts::Gone => None,
        WorktreeFacts::Clear { path, .. }
        | WorktreeFacts::Uncommitted { path, .. }
        | WorktreeFacts::Stays { path, .. }
            if task.at_work =>
        {
            stays(path, "an agent works in it")
        }
        WorktreeFacts::Stays { path, why } => stays(path, why),
        WorktreeFacts::Uncommitted { path, .. } if request.discard => Some((
            thing(path),
            Fate::Goes("it is discarded; its uncommitted files are committed and kept first".into()),
        )),
        WorktreeFacts::Uncommitted { path, why } => stays(path, why),
        WorktreeFacts::Clear { path, head, ignored } => match not_merged {
            Some(why) => stays(path, &why),
            None => Some((
                Thing::Worktree {
                    task: task.id.clone(),
                    path: path.clone(),
                    head: *head,
                    ignored: ignored.clone(),
                },
                Fate::Goes(match (head, request.discard) {
                    (_, true) => "it is discarded".into(),
                    (None, _) => "it was never finished".into(),
                    _ => "all of it is committed".into(),
                }),
            )),
        },
    }
}

fn branch(task: &TaskFacts, request: &Request, worktree_stays: bool) -> Option<(Thing, Fate)> {
    let (name, tip, fate) = match &task.branch {
        BranchFacts::Gone => return None,
        BranchFacts::Merged { name, tip, .. }
        | BranchFacts::Landed { name, tip, .. }
        | BranchFacts::Unmerged { name, tip, .. }
            if worktree_stays =>
        {
            (name, Some(*tip), Fate::Stays("its worktree stays".into()))
        }
        BranchFacts::Merged { name, tip, into } | BranchFacts::Landed { name, tip, into } => {
            (name, Some(*tip), Fate::Goes(into.clone()))
        }
        BranchFacts::Unmerged { name, tip, commits } => {
            let what = format!("{} of it {} not merged", count(*commits, "commit"), is_or_are(*commits));
            let fate = match request {
                Request { discard: true, .. } => Fate::Goes(format!("it is discarded; {what}, and kept for 7 days")),
                Request { unmerged: true, .. } => Fate::Goes(format!("--unmerged; {what}, and kept in refs/pleach")),
                _ => Fate::Stays(what),
            };
            (name, Some(*tip), fate)
        }
        BranchFacts::Busy { name, tip, why } => (name, *tip, Fate::Stays(why.clone())),
    };
    let thing = Thing::Branch {
        task: task.id.clone(),
        name: name.clone(),
        tip,
    };
    Some((thing, fate))
}

fn is_or_are(number: usize) -> &'static str {
    if number == 1 { "is" } else { "are" }
}

/// What becomes of the record of a session. `needed` says whether something stays that it tells of.
pub(super) fn record_fate(session: &SessionFacts, request: &Request, needed: bool) -> Fate {
    let unsettled = session.tasks.iter().filter(|task| !task.settled).count();
    let at_work = session.tasks.iter().any(|task| task.at_work);
    match () {
        () if needed || at_work => Fate::Stays("something of it stays".into()),
        () if request.discard => Fate::Goes("it is discarded; its commits are kept for 7 days".into()),
        () if unsettled > 0 => {
            let what = count(unsettled, "task");
            Fate::Stays(format!(
                "{what} of it can still be done: pleach resume {}; with --discard it goes",
                short(session.id)
            ))
        }
        () if session.unkept > 0 => {
            let (what, are) = (count(session.unkept, "commit"), is_or_are(session.unkept));
            Fate::Stays(format!("{what} of it {are} on no branch: with --discard it goes"))
        }
        () if session.loose > 0 => {
            let (what, are) = (count(session.loose, "tag"), is_or_are(session.loose));
            Fate::Stays(format!(
                "{what} that moved {are} kept by it alone: with --discard it goes"
            ))
        }
        () => Fate::Goes("nothing of it is left, and all of its commits are on branches that stay".into()),
    }
}
