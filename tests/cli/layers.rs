//! Checks the map in src/main.rs: a module uses only modules below it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// The line of each module in the map, counted from the top.
fn map(main: &str) -> BTreeMap<&str, usize> {
    let lines = main.lines().filter_map(|line| line.strip_prefix("//! - "));
    let mut map = BTreeMap::new();
    for (number, line) in lines.enumerate() {
        let (names, _) = line
            .split_once("]:")
            .expect("a line in the map has no colon");
        for name in names.split('`').skip(1).step_by(2) {
            map.insert(name.trim_start_matches("mod@"), number);
        }
    }
    map
}

/// All source files except those with only tests.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of sources");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(
            |path| match path.file_name().and_then(|name| name.to_str()) {
                Some("tests" | "tests.rs" | "fake.rs" | "build.rs") => Vec::new(),
                _ if path.is_dir() => files(&path),
                Some(name) if name.ends_with(".rs") => vec![path],
                _ => Vec::new(),
            },
        )
        .collect()
}

/// The modules that a file uses outside its tests and comments.
fn used(text: &str) -> impl Iterator<Item = &str> {
    let tests = ["\n#[cfg(test)]\nmod tests", "\n#[cfg(test)]\npub mod tests"];
    let end = tests.iter().filter_map(|start| text.find(start)).min();
    let code = text[..end.unwrap_or(text.len())].lines();
    let code = code.filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| {
            let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
            &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())]
        })
}

#[test]
fn a_module_uses_only_modules_below_it() {
    let main = fs::read_to_string(Path::new(SOURCE).join("main.rs")).expect("main.rs");
    let map = map(&main);
    let program = main.split("#[cfg(test)]").next().unwrap_or_default();
    let declared = program
        .lines()
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    assert!(
        declared.eq(map.keys().copied()),
        "the map names every module once"
    );

    let mut arrows = 0;
    for path in files(Path::new(SOURCE)) {
        let inside = path
            .strip_prefix(SOURCE)
            .expect("below src")
            .display()
            .to_string();
        let module = inside.split(['/', '\\', '.']).next().unwrap_or_default();
        let text = fs::read_to_string(&path).expect("a source file");
        for other in used(&text).filter(|other| *other != module) {
            let below = map
                .get(other)
                .unwrap_or_else(|| panic!("{inside}: use crate::{other}, without braces"));
            assert!(
                map.get(module) < Some(below),
                "{inside} uses {other}, which is not below {module}"
            );
            arrows += 1;
        }
    }
    assert!(arrows > 100, "{arrows}");
}
