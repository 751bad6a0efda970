//! Every story under `tests/scripts`, told again. `UPDATE_GOLDENFILES=1` writes them anew;
//! `SCRIPT=part of a path` picks some.

use quorate_tests::script;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_script_tells_its_story() {
    let only = std::env::var("SCRIPT").unwrap_or_default();
    let wanted = |path: &PathBuf| path.to_string_lossy().contains(&only);
    let all: Vec<PathBuf> = scripts().into_iter().filter(wanted).collect();
    assert!(!all.is_empty(), "no script has {only:?} in its path");
    let told = |path: &PathBuf| match std::panic::catch_unwind(|| script::run(path)) {
        Ok(told) => told.err(),
        Err(_) => Some(format!("{}: the core gave up, see above", path.display())),
    };
    let wrong: Vec<String> = all.iter().filter_map(told).collect();
    assert!(wrong.is_empty(), "{} of {}:\n\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

#[test]
fn scripts_are_short_enough_to_read() {
    for path in scripts() {
        let text = fs::read_to_string(&path).expect("it was just listed");
        let lines = text.lines().count();
        assert!(lines <= 80, "{} has {lines} lines, 80 at most", path.display());
        let wide = text.lines().find(|line| line.chars().count() > 260);
        assert_eq!(wide, None, "{}", path.display());
        assert!(text.starts_with("# "), "{} does not say what it is about", path.display());
    }
}

/// All scripts, in order.
fn scripts() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut found = Vec::new();
    collect(&root, &mut found);
    found.sort();
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).expect("tests/scripts is a folder");
    for path in entries.map(|entry| entry.expect("a folder can be read").path()) {
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "txt") {
            found.push(path);
        }
    }
}
