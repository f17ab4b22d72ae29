//! How much of a disk files take.
//!
//! Counted is what is allocated, as `du` counts it: a hole in a file takes nothing, a file with several names counts
//! once, links are not followed. What vanishes while it is counted does not count; what cannot be read is named.

use std::collections::HashSet;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use walkdir::WalkDir;

/// Counts one tree after the other. What was counted once is not counted again, wherever it turns up.
#[derive(Debug, Default)]
pub struct Usage {
    /// Directories, and files with more than one name, by device and inode.
    seen: HashSet<(u64, u64)>,
    /// What could not be counted, a line each.
    pub unreadable: Vec<String>,
}

impl Usage {
    /// The bytes allocated for `root` and all below it. A root that is not there takes none.
    pub fn count(&mut self, root: &Path) -> u64 {
        let mut bytes = 0;
        let mut entries = WalkDir::new(root).follow_root_links(false).into_iter();
        while let Some(entry) = entries.next() {
            match entry.and_then(|entry| entry.metadata()) {
                Ok(metadata) if self.is_new(&metadata) => bytes += allocated(&metadata),
                Ok(metadata) if metadata.is_dir() => entries.skip_current_dir(),
                Ok(_) => {}
                Err(e) if e.io_error().is_some_and(|e| e.kind() == io::ErrorKind::NotFound) => {}
                Err(e) => self.unreadable.push(unreadable(root, &e)),
            }
        }
        bytes
    }

    fn is_new(&mut self, metadata: &Metadata) -> bool {
        let once = !metadata.is_dir() && metadata.nlink() == 1;
        once || self.seen.insert((metadata.dev(), metadata.ino()))
    }
}

/// The bytes that one file takes.
fn allocated(metadata: &Metadata) -> u64 {
    const BLOCK: u64 = 512;
    metadata.blocks() * BLOCK
}

fn unreadable(root: &Path, error: &walkdir::Error) -> String {
    let path = error.path().unwrap_or(root).display();
    match error.io_error() {
        Some(e) => format!("cannot read {path}: {e}"),
        None => format!("cannot read {path}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Writes a file that no file system can make smaller, to where its size is known.
    fn fill(path: &Path, bytes: usize) {
        let noise = (0..bytes).scan(1_u32, |state, _| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some((*state >> 24) as u8)
        });
        let mut file = fs::File::create(path).unwrap();
        file.write_all(&noise.collect::<Vec<u8>>()).unwrap();
        file.sync_all().unwrap();
    }

    #[test]
    fn every_block_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        for tree in [&one, &two] {
            fs::create_dir(tree).unwrap();
            fill(&tree.join("file"), 100_000);
        }
        let mut usage = Usage::default();
        let plain = usage.count(&one);
        assert!(plain >= 100_000, "{plain}");
        // The directory was seen, and nothing below it is looked at again.
        assert_eq!(usage.count(&dir.path().join("two/../one")), 0);
        // A second name, a link out of the tree, a link in a circle and a hole add nothing but themselves.
        fs::hard_link(two.join("file"), two.join("again")).unwrap();
        symlink("/", two.join("out")).unwrap();
        symlink(".", two.join("circle")).unwrap();
        fs::File::create(two.join("hole")).unwrap().set_len(1 << 40).unwrap();
        let all = usage.count(&two);
        assert!((100_000..plain + 16_384).contains(&all), "{all}");
        symlink(&one, dir.path().join("to-one")).unwrap();
        assert!(Usage::default().count(&dir.path().join("to-one")) < 10_000);
        assert_eq!(Usage::default().count(&dir.path().join("nothing")), 0);
        assert!(usage.unreadable.is_empty());
    }

    #[test]
    fn a_tree_inside_another_is_not_counted_again() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        fs::create_dir(&inner).unwrap();
        fill(&inner.join("file"), 50_000);
        let mut usage = Usage::default();
        let inside = usage.count(&inner);
        let around = usage.count(dir.path());
        assert!(inside >= 50_000 && around < 50_000, "{inside} {around}");
        assert_eq!(inside + around, Usage::default().count(dir.path()));
        assert_eq!(usage.count(dir.path()), 0);
    }
}
