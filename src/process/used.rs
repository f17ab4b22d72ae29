//! Whether a file or directory is in use by any process.

use std::path::Path;

/// Whether a process that may be looked at works in one of these directories or has one of these files open, or one in
/// them. Where the system does not tell, everything is in use.
#[cfg(target_os = "linux")]
pub fn is_used(paths: &[&Path]) -> bool {
    use std::fs::{read_dir, read_link};

    let Ok(processes) = read_dir("/proc") else {
        return true;
    };
    let is_one = |link: &Path| read_link(link).is_ok_and(|at| paths.iter().any(|path| at.starts_with(path)));
    processes.flatten().any(|process| {
        let dir = process.path();
        // What is no process has neither.
        is_one(&dir.join("cwd"))
            || read_dir(dir.join("fd"))
                .into_iter()
                .flatten()
                .flatten()
                .any(|fd| is_one(&fd.path()))
    })
}

/// Whether a process that may be looked at works in one of these directories or has one of these files open, or one in
/// them. Where the system does not tell, everything is in use.
#[cfg(not(target_os = "linux"))]
pub fn is_used(_paths: &[&Path]) -> bool {
    true
}

/// Whether a process has `text` in its arguments. Where the system does not tell, one has.
pub fn is_any_called_with(text: &str) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return true;
    };
    let has = |line: Vec<u8>| line.windows(text.len().max(1)).any(|part| part == text.as_bytes());
    let mut lines = processes
        .flatten()
        .map(|process| std::fs::read(process.path().join("cmdline")));
    lines.any(|line| line.is_ok_and(has))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn an_open_file_is_in_use_and_so_is_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let file = File::create(&path).unwrap();
        assert!(is_used(&[&path]) && is_used(&[dir.path()]));
        drop(file);
        assert!(!is_used(&[&path, dir.path()]));
    }
}
