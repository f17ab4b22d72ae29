//! Which task depends on which, by their places in the list: made once of a session's specification. Pure.
//!
//! The order is that in which tasks start if all of them can: by priority, then by the longest chain of dependants, then
//! as in the list. Lists with unknown names and cycles are refused before a session is made of them; a specification that
//! has one all the same was not written by this program, and is refused when it is read.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use crate::task::{TaskId, TaskSpec, graph};

/// A specification whose dependencies make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoGraph {
    /// A name that no task has.
    #[error("task {task} depends on {unknown}, and there is no such task")]
    Unknown {
        /// Whose dependency it is.
        task: TaskId,
        /// The name.
        unknown: TaskId,
    },
    /// Tasks that depend on each other.
    #[error("tasks depend on each other: {}", chain(.0))]
    Cycle(Vec<TaskId>),
}

fn chain(cycle: &[TaskId]) -> String {
    let names: Vec<&str> = cycle.iter().chain(cycle.first()).map(AsRef::as_ref).collect();
    names.join(" -> ")
}

/// The dependencies of a list of tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// Of each task those that it depends on, as the user wrote them, each once.
    dependencies: Vec<Vec<usize>>,
    /// All tasks, each after those that it depends on.
    sorted: Vec<usize>,
    /// All tasks in the order in which they start if all of them can.
    order: Vec<usize>,
}

impl Graph {
    /// Of a list of tasks.
    pub fn of(tasks: &[TaskSpec]) -> Result<Self, NoGraph> {
        let places: HashMap<&TaskId, usize> = tasks.iter().enumerate().map(|(i, t)| (&t.id, i)).collect();
        let mut dependencies: Vec<Vec<usize>> = vec![Vec::new(); tasks.len()];
        for (index, task) in tasks.iter().enumerate() {
            for id in &task.options.depends_on {
                let on = *places.get(id).ok_or_else(|| NoGraph::Unknown {
                    task: task.id.clone(),
                    unknown: id.clone(),
                })?;
                dependencies[index].push(on);
            }
            let mut seen = HashSet::new();
            dependencies[index].retain(|on| seen.insert(*on));
        }
        let (Some(sorted), Some(chains)) = (graph::order(&dependencies), graph::longest_chains(&dependencies)) else {
            let cycle = graph::cycle(&dependencies).unwrap_or_default();
            return Err(NoGraph::Cycle(cycle.into_iter().map(|i| tasks[i].id.clone()).collect()));
        };
        let mut order: Vec<usize> = (0..tasks.len()).collect();
        let priority = |task: usize| tasks[task].options.priority.unwrap_or(0);
        order.sort_by_key(|&task| (Reverse(priority(task)), Reverse(chains[task]), task));
        Ok(Self {
            dependencies,
            sorted,
            order,
        })
    }

    /// Those that a task depends on itself.
    pub fn dependencies(&self, task: usize) -> &[usize] {
        self.dependencies.get(task).map_or(&[], Vec::as_slice)
    }

    /// Those that a task depends on, and those that they depend on, and so on.
    pub fn all_dependencies(&self, task: usize) -> Vec<usize> {
        match self.dependencies.is_empty() {
            true => Vec::new(),
            false => graph::all_before(&self.dependencies, task),
        }
    }

    /// All tasks, each after those that it depends on.
    pub fn sorted(&self) -> &[usize] {
        &self.sorted
    }

    /// All tasks in the order in which they start if all of them can.
    pub fn order(&self) -> &[usize] {
        &self.order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::fixture::{spec, task_id};

    /// Tasks with what each depends on.
    fn tasks(list: &[(&str, &[&str])]) -> Vec<TaskSpec> {
        let ids: Vec<&str> = list.iter().map(|(id, _)| *id).collect();
        let mut tasks = spec(&ids).tasks;
        for (task, (_, on)) in tasks.iter_mut().zip(list) {
            task.options.depends_on = on.iter().map(|id| task_id(id)).collect();
        }
        tasks
    }

    #[test]
    fn the_longest_chain_starts_first_and_a_higher_priority_before_it() {
        let mut list = tasks(&[
            ("alone", &[]),
            ("end", &["middle"]),
            ("middle", &["start"]),
            ("start", &[]),
            ("short", &[]),
            ("after", &["short"]),
        ]);
        let graph = Graph::of(&list).unwrap();
        assert_eq!(graph.order(), [3, 2, 4, 0, 1, 5]);
        assert_eq!(graph.dependencies(1), [2]);
        assert_eq!(graph.all_dependencies(1), [2, 3]);
        assert!(graph.all_dependencies(3).is_empty());
        let place = |task: usize| graph.sorted().iter().position(|t| *t == task).unwrap();
        assert!(place(3) < place(2) && place(2) < place(1) && place(4) < place(5));
        list[0].options.priority = Some(1);
        list[3].options.priority = Some(-1);
        assert_eq!(Graph::of(&list).unwrap().order(), [0, 2, 4, 1, 5, 3]);
    }

    #[test]
    fn a_dependency_that_is_named_twice_is_one() {
        let graph = Graph::of(&tasks(&[("a", &[]), ("b", &["a", "a"])])).unwrap();
        assert_eq!(graph.dependencies(1), [0]);
        assert_eq!(graph.sorted(), [0, 1]);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let said = |list: &[(&str, &[&str])]| Graph::of(&tasks(list)).unwrap_err().to_string();
        assert_eq!(said(&[("a", &["b"])]), "task a depends on b, and there is no such task");
        assert_eq!(said(&[("a", &["a"])]), "tasks depend on each other: a -> a");
        // The cycle, and not what only leads to it or away from it.
        let found = said(&[
            ("x", &["a"]),
            ("a", &["b"]),
            ("b", &["free", "c"]),
            ("c", &["a"]),
            ("free", &[]),
        ]);
        assert_eq!(found, "tasks depend on each other: a -> b -> c -> a");
    }

    #[test]
    fn ten_thousand_tasks_cost_nothing() {
        let ids: Vec<String> = (0..10_000).map(|n| format!("t{n}")).collect();
        let mut list = spec(&ids.iter().map(String::as_str).collect::<Vec<_>>()).tasks;
        // One chain, from the last to the first: the deepest there can be.
        for n in 0..9_999 {
            list[n].options.depends_on = vec![task_id(&ids[n + 1])];
        }
        let graph = Graph::of(&list).unwrap();
        assert_eq!((graph.order()[0], graph.order()[9_999]), (9_999, 0));
        assert_eq!(graph.all_dependencies(0).len(), 9_999);
        // And one that depends on all others.
        let mut list = spec(&ids.iter().map(String::as_str).collect::<Vec<_>>()).tasks;
        list[0].options.depends_on = ids[1..].iter().map(|id| task_id(id)).collect();
        let graph = Graph::of(&list).unwrap();
        assert_eq!((graph.order()[0], graph.order()[9_999]), (1, 0));
    }
}
