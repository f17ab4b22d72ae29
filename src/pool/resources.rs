//! Whether there is enough disk and memory for another task. Pure: from what is free to what is waited for, in words.

use std::path::PathBuf;

use crate::session::SessionOptions;
use crate::store::FILES_OF_ONE;
use crate::words::bytes;

/// What is free at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Free {
    /// Bytes on the disk of each of these directories.
    pub disks: Vec<(PathBuf, u64)>,
    /// Bytes of memory, where the system tells.
    pub memory: Option<u64>,
    /// Files that the supervisor can still open, where there is a limit.
    pub files: Option<u64>,
}

/// What there is too little of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The disk of this directory.
    Disk(PathBuf),
    /// Memory.
    Memory,
    /// Files that can be opened.
    Files,
}

impl Free {
    /// How many tasks there are files for, besides those that are prepared now.
    pub fn tasks(&self, preparing: usize) -> usize {
        let tasks = self.files.map_or(u64::MAX, |files| files / FILES_OF_ONE);
        usize::try_from(tasks).unwrap_or(usize::MAX).saturating_sub(preparing)
    }
}

/// What another task would have to wait for, and why in words. The words have the numbers of this moment.
pub fn lacking(free: &Free, options: &SessionOptions) -> Option<(Lack, String)> {
    let least = options.min_free_disk_bytes;
    if let Some((dir, free)) = free.disks.iter().find(|(_, free)| *free < least) {
        let (free, least) = (bytes(*free), bytes(least));
        let why = format!(
            "disk: {free} free in {}, {least} needed (--min-free-disk)",
            dir.display()
        );
        return Some((Lack::Disk(dir.clone()), why));
    }
    let least = options.min_free_memory_bytes;
    if let Some(free) = free.memory.filter(|free| *free < least) {
        let (free, least) = (bytes(free), bytes(least));
        let why = format!("memory: {free} available, {least} needed (--min-free-memory)");
        return Some((Lack::Memory, why));
    }
    let files = free.files.filter(|files| *files < FILES_OF_ONE)?;
    let why = format!("open files: the supervisor may open only {files} more (ulimit -n)");
    Some((Lack::Files, why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::fixture::spec;

    fn lacks(disks: &[(&str, u64)], memory: Option<u64>) -> Option<(Lack, String)> {
        let mut options = spec(&["a"]).options;
        (options.min_free_disk_bytes, options.min_free_memory_bytes) = (1 << 30, 512 << 20);
        let disks = disks.iter().map(|(dir, free)| (PathBuf::from(dir), *free)).collect();
        let files = None;
        lacking(&Free { disks, memory, files }, &options)
    }

    #[test]
    fn the_first_disk_with_too_little_is_named_with_both_numbers() {
        let (lack, why) = lacks(&[("/w", 1 << 30), ("/s", 512 << 20)], Some(0)).unwrap();
        assert_eq!(lack, Lack::Disk("/s".into()));
        assert_eq!(why, "disk: 512 MiB free in /s, 1.0 GiB needed (--min-free-disk)");
    }

    #[test]
    fn then_memory_where_it_is_known() {
        let enough = [("/w", 1 << 30)];
        let (lack, why) = lacks(&enough, Some((512 << 20) - (1 << 20))).unwrap();
        assert_eq!(lack, Lack::Memory);
        assert_eq!(why, "memory: 511 MiB available, 512 MiB needed (--min-free-memory)");
        assert_eq!(lacks(&enough, Some(512 << 20)), None);
        assert_eq!(lacks(&enough, None), None);
        assert_eq!(lacks(&[], None), None);
    }

    #[test]
    fn nothing_is_needed_by_who_wants_nothing_left() {
        let options = spec(&["a"]).options;
        let free = Free {
            disks: vec![("/w".into(), 0)],
            memory: Some(0),
            files: Some(FILES_OF_ONE),
        };
        assert_eq!(lacking(&free, &options), None);
        assert_eq!(
            (free.tasks(0), free.tasks(1), Free::default().tasks(9)),
            (1, 0, usize::MAX - 9)
        );
        let files = Some(FILES_OF_ONE - 1);
        let (lack, why) = lacking(&Free { files, ..free }, &options).unwrap();
        assert_eq!(lack, Lack::Files);
        assert_eq!(why, "open files: the supervisor may open only 15 more (ulimit -n)");
    }
}
