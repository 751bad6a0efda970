//! quorate.h is what the sources give, names what the library has, and nothing else.

use quorate_engine::error::ErrorKind;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What build.rs made of the present sources.
const HEADER: &str = include_str!(concat!(env!("OUT_DIR"), "/quorate.h"));

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the workspace")
}

/// The shared library that this test was built with.
fn library() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    test.with_file_name("libquorate.so")
}

fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(workspace()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

/// The functions that the header declares: what begins at the margin and has arguments.
fn declared() -> BTreeSet<String> {
    let is_declaration = |line: &&str| {
        line.starts_with(|c: char| c.is_ascii_lowercase()) && !line.starts_with("typedef")
    };
    let function = |line: &str| names(line.split_once('(')?.0).last().map(str::to_owned);
    HEADER.lines().filter(is_declaration).filter_map(function).collect()
}

/// build.rs has already written the file, so what counts is the file that is in version control; in
/// a copy without that, the file as it is.
#[test]
fn the_header_under_version_control_is_the_generated_one() {
    let on_disk = || std::fs::read_to_string(workspace().join("include/quorate.h")).ok();
    let kept = run("git", &["show", ":include/quorate.h"]).or_else(on_disk);
    let is_same = kept.as_deref() == Some(HEADER);
    assert!(is_same, "include/quorate.h is stale: look at its diff, then git add it");
}

#[test]
fn library_and_header_have_the_same_functions() {
    let library = library();
    let symbols = run("nm", &["-D", "--defined-only", &library.to_string_lossy()]);
    let symbols = symbols.expect("nm of binutils reads the library");
    let name = |line: &str| line.split_whitespace().last().map(str::to_owned);
    let exported: BTreeSet<String> = symbols.lines().filter_map(name).collect();
    assert!(exported.len() > 40, "these are not all: {exported:?}");
    assert_eq!(exported, declared());
}

#[test]
fn the_library_has_its_soname_and_stays_loaded() {
    let library = library();
    let dynamic = run("readelf", &["-d", &library.to_string_lossy()]);
    let dynamic = dynamic.expect("readelf of binutils reads the library");
    assert!(dynamic.contains("Library soname: [libquorate.so.0]"), "{dynamic}");
    assert!(dynamic.contains("NODELETE"), "{dynamic}");
}

/// `StateMachineFailed` is `QUORATE_ERR_STATE_MACHINE_FAILED`.
fn constant(kind: ErrorKind) -> String {
    let mut name = String::from("QUORATE_ERR");
    for c in format!("{kind:?}").chars() {
        if c.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

#[test]
fn every_error_of_the_engine_has_its_number_and_no_other_has() {
    let ours = ErrorKind::ALL.iter().map(|kind| (constant(*kind), kind.code().to_string()));
    let theirs = HEADER.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix("#define ")?.split_once(' ')?;
        let value = value.trim_matches(['(', ')']);
        name.starts_with("QUORATE_ERR_").then(|| (name.to_owned(), value.to_owned()))
    });
    assert_eq!(theirs.collect::<BTreeMap<_, _>>(), ours.collect::<BTreeMap<_, _>>());
}

/// The comment in front of a function says since when it exists.
#[test]
fn every_function_says_since_when_it_is_there() {
    let blocks = HEADER.split("\n\n").filter(|block| block.contains(");"));
    let functions = blocks.filter(|block| !block.contains("typedef") && !block.contains("/*"));
    let (mut seen, mut silent) = (0, Vec::new());
    for block in functions {
        seen += 1;
        if !block.contains("Since: 0.1") {
            silent.push(block);
        }
    }
    assert_eq!(seen, declared().len());
    assert_eq!(silent, Vec::<&str>::new());
}

/// Everything written in one language of the table in docs/ffi.md.
fn sources(folder: &str, endings: &[&str]) -> String {
    let mut text = String::new();
    let mut folders = vec![workspace().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the folder is there").flatten() {
            let path = entry.path();
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            if path.is_dir() {
                folders.push(path);
            } else if endings.contains(&ending) {
                text += &std::fs::read_to_string(&path).expect("a source is text");
            }
        }
    }
    text
}

/// The names in backticks: of `Service::start` the last word.
fn words_in(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2).filter_map(|name| {
        let name = name.split('(').next()?;
        names(name).last()
    })
}

#[test]
fn every_name_of_the_table_is_there_in_its_language() {
    let page = std::fs::read_to_string(workspace().join("docs/ffi.md")).expect("docs/ffi.md");
    let languages = [
        ("C", HEADER.to_owned()),
        ("C++", sources("bindings/cpp/include", &["hpp"]) + HEADER),
        ("Python", sources("bindings/python/python", &["py", "pyi"])),
        ("Go", sources("bindings/go", &["go"])),
    ];
    let known = languages.map(|(language, text)| {
        (language, names(&text).map(str::to_owned).collect::<BTreeSet<String>>())
    });
    let (_, tables) = page.split_once("\n## Names").expect("the chapter is there");
    let rows = tables.lines().filter(|line| line.starts_with('|'));
    let rows: Vec<_> = rows.map(|row| row.split('|').collect::<Vec<_>>()).collect();
    assert!(rows.len() > 90, "the tables have only {} rows", rows.len());
    let torn: Vec<_> = rows.iter().filter(|cells| cells.len() != 7).collect();
    assert!(torn.is_empty(), "five columns, and not as in {torn:?}");
    let mut unknown = Vec::new();
    for cells in rows {
        for (cell, (language, known)) in cells[2..6].iter().zip(&known) {
            let missing = words_in(cell).filter(|word| !known.contains(*word));
            unknown.extend(missing.map(|word| format!("{language}: {word}")));
        }
    }
    assert_eq!(unknown, Vec::<String>::new());
}

#[test]
fn every_setting_is_in_the_table() {
    let page = std::fs::read_to_string(workspace().join("docs/ffi.md")).expect("docs/ffi.md");
    let rows = quorate_engine::settings::Settings::all().iter().map(|setting| {
        let default = match setting.default_value {
            "" => String::new(),
            value => format!("`{value}`"),
        };
        format!("| `{}` | {default} | {} |", setting.key, setting.meaning)
    });
    let missing: Vec<String> = rows.filter(|row| !page.contains(row.as_str())).collect();
    assert!(missing.is_empty(), "docs/ffi.md lacks:\n{}", missing.join("\n"));
}
