//! The rules of the house that a compiler does not know: who may use whom, how long a file may be.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lie in the workspace").to_owned()
}

fn sources(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder exists").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == ending) {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has no .{ending}");
    found
}

/// The lines of a file before its own tests, without comments.
fn product(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("a source is text");
    let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    code.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned()).collect()
}

fn banned(folder: &str, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for path in sources(folder, "rs") {
        for (n, line) in product(&path).iter().enumerate() {
            for word in words.iter().filter(|word| line.contains(**word)) {
                found.push(format!("{}:{}: {word}", path.display(), n + 1));
            }
        }
    }
    found
}

#[test]
fn the_core_is_pure() {
    let words = [
        "std::fs",
        "std::net",
        "std::thread",
        "std::io",
        "std::env",
        "std::process",
        "Instant",
        "SystemTime",
        "HashMap",
        "HashSet",
        "tokio",
        "async ",
        "rand::",
        "println!",
        "eprintln!",
        "tracing",
        "serde",
        "bincode",
        "libc",
        "unsafe",
    ];
    assert_eq!(banned("raft-engine/src/consensus", &words), Vec::<String>::new());
}

#[test]
fn the_core_uses_nothing_above_it() {
    let mut found = Vec::new();
    for path in sources("raft-engine/src/consensus", "rs") {
        for line in product(&path) {
            let upwards = line.contains("crate::") && !line.contains("crate::consensus");
            if upwards {
                found.push(format!("{}: {line}", path.display()));
            }
        }
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn ports_know_neither_driver_nor_facade_and_the_driver_no_adapter() {
    let ports = ["raft-engine/src/storage", "raft-engine/src/transport"];
    for port in ports {
        assert_eq!(banned(port, &["crate::driver", "crate::service"]), Vec::<String>::new());
    }
    let adapters = [
        "storage::wal",
        "storage::sled",
        "storage::memory",
        "transport::tcp",
        "transport::memory",
        "crate::service",
    ];
    assert_eq!(banned("raft-engine/src/driver", &adapters), Vec::<String>::new());
}

#[test]
fn no_file_is_too_long_and_each_says_what_it_is() {
    for folder in ["raft-engine/src", "raft-ffi/src", "bindings/python/src"] {
        for path in sources(folder, "rs") {
            let lines = product(&path).len();
            assert!(lines <= 800, "{} has {lines} lines", path.display());
            let text = fs::read_to_string(&path).expect("a source is text");
            assert!(text.starts_with("//!"), "{} does not say what it is", path.display());
        }
    }
}

#[test]
fn unsafe_code_of_the_engine_stands_in_two_files() {
    let all = banned("raft-engine/src", &["unsafe "]);
    let elsewhere: Vec<_> = all
        .iter()
        .filter(|line| !line.contains("storage/fs.rs") && !line.contains("src/os.rs"))
        .collect();
    assert_eq!(elsewhere, Vec::<&String>::new());
}
