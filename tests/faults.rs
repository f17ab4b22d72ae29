//! Which test holds which fault: the table in CONTRIBUTING.md, against the comments above the tests.
//!
//! A test that holds a fault has a line `// Fault N: ...` right above it, and its name, `module::name`, in the row of the
//! table; one without a test says that it is not held, and why.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// All faults, from 1.
const FAULTS: std::ops::RangeInclusive<u32> = 1..=51;
/// What the cell of a fault without a test begins with.
const NOT_HELD: &str = "not held: ";

#[test]
fn every_fault_is_held_by_a_test_or_said_not_to_be() {
    let tests = tests();
    let commented: BTreeSet<(u32, &str)> = (tests.iter())
        .flat_map(|(name, faults)| faults.iter().map(move |fault| (*fault, name.as_str())))
        .collect();
    let table = table();
    let mut wrong = Vec::new();
    for fault in FAULTS {
        if !table.contains_key(&fault) {
            wrong.push(format!("fault {fault} is not in the table"));
        }
    }
    for (fault, cell) in &table {
        let named: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        if named.is_empty() && cell.strip_prefix(NOT_HELD).is_none_or(|why| why.len() < 10) {
            wrong.push(format!("fault {fault}: neither a test nor `{NOT_HELD}` and why"));
        }
        for name in named {
            if !tests.contains_key(name) {
                wrong.push(format!("fault {fault}: there is no test {name}"));
            } else if !commented.contains(&(*fault, name)) {
                wrong.push(format!("fault {fault}: {name} has no comment `// Fault {fault}: ...`"));
            }
        }
    }
    for (fault, name) in commented {
        let in_row = |cell: &String| cell.split('`').any(|word| word == name);
        if !table.get(&fault).is_some_and(in_row) {
            wrong.push(format!("fault {fault}: {name} is not in the table"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rows of the table `| fault | what | held by |`: the number, and the last cell.
fn table() -> BTreeMap<u32, String> {
    let text = fs::read_to_string(root().join("CONTRIBUTING.md")).expect("read CONTRIBUTING.md");
    let rows = text.lines().skip_while(|line| *line != "| fault | what | held by |");
    let mut table = BTreeMap::new();
    for row in rows.skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [fault, _, held] = cells[..] else {
            panic!("not three columns: {row}");
        };
        let fault = fault.parse().expect("the number of a fault");
        assert!(
            table.insert(fault, held.to_owned()).is_none(),
            "fault {fault} is there twice"
        );
    }
    table
}

/// Every test of the project by `module::name`, with the faults that its comments name.
fn tests() -> BTreeMap<String, BTreeSet<u32>> {
    let mut found = BTreeMap::new();
    let mut open: Vec<PathBuf> = vec![root().join("src"), root().join("tests")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(path).expect("read a directory");
            open.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).expect("read a source");
            let module = module_of(&path);
            for (name, faults) in tests_in(&source) {
                let name = format!("{module}::{name}");
                assert!(found.insert(name.clone(), faults).is_none(), "{name} is there twice");
            }
        }
    }
    found
}

/// `tests/it/runner.rs` and `tests/imports.rs` by their names, `src/store/journal.rs` as `store::journal`,
/// `src/session/status/tests.rs` as `session::status`.
fn module_of(path: &Path) -> String {
    let inside = path
        .strip_prefix(root())
        .expect("a path of the project")
        .with_extension("");
    let parts = inside.iter().map(|part| part.to_str().expect("UTF-8"));
    let parts: Vec<&str> = parts
        .filter(|part| !["src", "tests", "it", "mod"].contains(part))
        .collect();
    parts.join("::")
}

/// The names of the tests in a source, with the faults in the comments right above each.
fn tests_in(source: &str) -> Vec<(String, BTreeSet<u32>)> {
    let mut tests = Vec::new();
    let mut faults = BTreeSet::new();
    let mut is_test = false;
    let mut in_table = false;
    for line in source.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("// Fault ") {
            let number = comment.split_once(": ").and_then(|(number, _)| number.parse().ok());
            faults.insert(number.unwrap_or_else(|| panic!("not `// Fault N: ...`: {line}")));
        } else if line.ends_with("! {") {
            // A table of tests: each row begins with the name of one.
            in_table = true;
        } else if let Some((name, _)) = line.split_once(": [").filter(|_| in_table) {
            tests.push((name.to_owned(), std::mem::take(&mut faults)));
        } else if line == "}" {
            in_table = false;
        } else if line == "#[test]" {
            is_test = true;
        } else if let Some(rest) = line.strip_prefix("fn ").filter(|_| is_test) {
            let name = rest.split('(').next().unwrap_or_default();
            tests.push((name.to_owned(), std::mem::take(&mut faults)));
            is_test = false;
        } else if !line.starts_with("//") && !line.starts_with("#[") {
            assert!(
                faults.is_empty(),
                "the comment on faults {faults:?} stands above no test: {line}"
            );
        }
    }
    tests
}

#[test]
fn comments_are_found_above_their_tests() {
    let source = "// Fault 3: a.\n/// Docs.\n#[test]\nfn one() {}\n    // Fault 4: b.\n    // Fault 5: c.\n    #[test]\n    fn two() {\n}\ncases! {\n    // Fault 6: c.\n    three: [], [] => 1;\n}\n";
    let found = tests_in(source);
    assert_eq!(found[0], ("one".to_owned(), BTreeSet::from([3])));
    assert_eq!(found[1], ("two".to_owned(), BTreeSet::from([4, 5])));
    assert_eq!(found[2], ("three".to_owned(), BTreeSet::from([6])));
    assert_eq!(module_of(&root().join("src/store/journal.rs")), "store::journal");
    assert_eq!(module_of(&root().join("tests/it/runner.rs")), "runner");
}
